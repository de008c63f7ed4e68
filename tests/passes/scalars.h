// tests/passes/scalars.h: what a small graph of operators with one output computes for one number.
//
// Differentiation is tested with this interpreter, since kernels have their own tests.
#ifndef TENON_TESTS_SCALARS_H
#define TENON_TESTS_SCALARS_H

#include <math.h>

#include "extra_ops.h"

static inline double scalar_of(const tni_node *n)
{
    const char *text = tni_attr_find(n, "scalar");
    return text ? strtod(text, NULL) : 0;
}

static inline double node_value(const tni_node *n, const double *in)
{
    const char *op = n->op->decl.name;
    double sum = 0;
#define IS(name) (strcmp(op, name) == 0)
    for (uint32_t i = 0; i < n->n_in; i++) sum += in[i];
    if (IS("elemwise_add") || IS("add_n") || IS("_grad_add")) return sum;
    if (IS("_sub")) return in[0] - in[1];
    if (IS("_mul") || IS("scaled")) return in[0] * in[1];
    if (IS("_mul_scalar")) return in[0] * scalar_of(n);
    if (IS("_plus_scalar")) return in[0] + scalar_of(n);
    if (IS("_minus_scalar")) return in[0] - scalar_of(n);
    if (IS("_rminus_scalar")) return scalar_of(n) - in[0];
    if (IS("negative")) return -in[0];
    if (IS("sigmoid")) return 1 / (1 + exp(-in[0]));
    if (IS("_backward_sigmoid")) return in[0] * in[1] * (1 - in[1]);
    if (IS("relu")) return in[0] > 0 ? in[0] : 0;
    if (IS("_backward_relu")) return in[1] > 0 ? in[0] : 0;
    if (IS("BlockGrad") || IS("MakeLoss") || IS("_copy") || IS("opaque") || IS("through"))
        return in[0];
    if (IS("_identity_with_attr_like_rhs") || IS("blind")) return in[0];
    if (IS("_backward_MakeLoss") || IS("ones_like")) return 1;
    if (IS("zeros_like")) return 0;
    if (IS("cube") || IS("deep_cube")) return in[0] * in[0] * in[0];
#undef IS
    CU_FAIL("the interpreter does not know an operator");
    printf(" [%s]", op);
    return NAN;
}

// The value of s where every variable has the value x. Nodes have one output.
static inline double value_at(tn_symbol s, double x)
{
    const tn_graph *g = bench.g;
    double *v = calloc(g->n_nodes + 1, sizeof *v);
    for (uint32_t id = 1; id <= s.node; id++) {
        const tni_node *n = tni_node_at(g, id);
        double in[64];
        if (!n->op || n->n_in > 64) {
            v[id] = x;
            continue;
        }
        for (uint32_t i = 0; i < n->n_in; i++) in[i] = v[n->in[i].node];
        v[id] = node_value(n, in);
    }
    const double result = v[s.node];
    free(v);
    return result;
}

// ------------------------------------------------------------------ building

static inline tn_symbol variable(const char *name)
{
    return tn_variable(bench.g, name);
}

static inline tn_symbol apply(const char *op, tn_symbol x)
{
    return tn_call(bench.g, op, .inputs = TN_SYMS(x));
}

static inline tn_symbol named(const char *op, const char *name, tn_symbol x)
{
    return tn_call(bench.g, op, .name = name, .inputs = TN_SYMS(x));
}

static inline tn_symbol gradient(tn_symbol y, tn_symbol x)
{
    tn_symbol dx = TN_NONE;
    tn_gradient(bench.g, TN_SYMS(y), (tn_symbols){0}, TN_SYMS(x), &dx);
    TN_CHECK_GRAPH();
    return dx;
}

// How many nodes after the first `from` are calls of op.
static inline size_t count(const char *op, size_t from)
{
    size_t n = 0;
    for (size_t id = from + 1; id <= bench.g->n_nodes; id++) {
        const tni_node *node = tni_node_at(bench.g, (uint32_t)id);
        n += node->op && strcmp(node->op->decl.name, op) == 0;
    }
    return n;
}

static inline const tni_node *node_of(tn_symbol s)
{
    return tni_node_at(bench.g, s.node);
}

// Error of the graph without the place.
static inline const char *error_text(void)
{
    const char *text = tn_graph_error(bench.g), *space = strchr(text, ' ');
    return space ? space + 1 : text;
}

#endif
