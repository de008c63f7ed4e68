// tests/passes/inferred.h: what the tests of inference share: small networks, results as text.
#ifndef TENON_TESTS_INFERRED_H
#define TENON_TESTS_INFERRED_H

#include "extra_ops.h"

// The shape of the argument, output or auxiliary state of that name: "(2,?)", or "none".
static inline const char *shape_of(const tn_shape_result *r, const char *name)
{
    static tni_text t;
    const tn_named_shape *v = r ? r->args : NULL;
    t.n = 0;
    tni_text_add(&t, "");
    for (size_t i = 0; r && i < r->n_args + r->n_outs + r->n_auxs; i++) {
        if (strcmp(v[i].name, name) != 0) continue;
        tni_text_shape(&t, &v[i].shape);
        return t.s;
    }
    return "none";
}

static inline const char *dtype_of(const tn_dtype_result *r, const char *name)
{
    for (size_t i = 0; r && i < r->n_args + r->n_outs + r->n_auxs; i++)
        if (strcmp(r->args[i].name, name) == 0) return tn_dtype_name(r->args[i].dtype);
    return "none";
}

// Error of the graph without the places: of the node in front, of the call at the end.
static inline const char *error_text(void)
{
    static char text[2048];
    const char *whole = tn_graph_error(bench.g), *space = strchr(whole, ' ');
    snprintf(text, sizeof text, "%s", space ? space + 1 : whole);
    char *call = strstr(text, " (in the call at ");
    if (call) *call = 0;
    return text;
}

static inline tn_symbol apply(const char *op, tn_symbol x)
{
    return tn_call(bench.g, op, .inputs = TN_SYMS(x));
}

static inline tn_symbol fully_connected(tn_symbol x, const char *n, const char *name)
{
    return tn_call(bench.g, "FullyConnected", .name = name, .inputs = TN_SYMS(x),
                   .params = TN_ATTRS({"num_hidden", n}));
}

static inline tn_symbol mlp(void)
{
    tn_symbol x = tn_variable(bench.g, "data");
    x = fully_connected(x, "128", "fc1");
    x = apply("relu", x);
    x = fully_connected(x, "10", "fc2");
    return tn_call(bench.g, "SoftmaxOutput", .name = "out", .inputs = TN_SYMS(x));
}

#endif
