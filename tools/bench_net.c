// tools/bench_net.c: a network of `tenon bench`, bound and filled, and one step of it.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/philox.h>

#include "tools/bench.h"

// Small steps: weights must neither run away nor, with their momentum, fade to denormal numbers.
#define LEARNING_RATE 1e-4
#define MOMENTUM 0.9

tn_env *bench_env(const bench_options *o)
{
    return tool_env((int32_t)o->threads);
}

// ------------------------------------------------------------------ values

// Uniform numbers: whole ones below `below`, or, if that is 0, from -most to most.
static int fill(bench_net *n, tn_tensor *t, uint32_t stream, int64_t below, double most)
{
    enum { PART = 4096 }; // elements at a time, so that the peak of memory is the network's
    const int64_t size = tn_tensor_size(t);
    tn_tensor *flat = tn_tensor_reshape(t, TN_DIMS(size));
    double part[PART];
    bool ok = flat != NULL;
    for (int64_t at = 0; ok && at < size; at += PART) {
        const int64_t count = size - at < PART ? size - at : PART;
        for (int64_t i = 0; i < count; i++) {
            const double u = (double)tn_philox_uniform_f32(1, stream, (uint64_t)(at + i));
            part[i] = below ? floor(u * (double)below) : (2.0 * u - 1.0) * most;
        }
        tn_tensor *to = tn_tensor_slice(flat, at, at + count);
        tn_tensor *from = tn_tensor_from(n->env, tn_tensor_dtype(t), TN_DIMS(count), part);
        ok = to && from && tn_tensor_copy(to, from) == TN_OK;
        tn_tensor_release(to);
        tn_tensor_release(from);
    }
    tn_tensor_release(flat);
    return ok ? EXIT_OK : tool_env_fail("bench", n->env);
}

static bool ends_with(const char *name, const char *ending)
{
    const size_t n = strlen(name), m = strlen(ending);
    return n >= m && strcmp(name + n - m, ending) == 0;
}

// Weights such that a layer's results are about as large as its inputs.
static double most_of(const char *name, const tn_shape *shape)
{
    double inputs = 1.0;
    for (int32_t i = 1; i < shape->ndim; i++) inputs *= (double)shape->dim[i];
    if (ends_with(name, "_parameters")) return 0.06; // of RNN: 1 / sqrt(units)
    if (ends_with(name, "embed_weight")) return 1.0;
    return ends_with(name, "_weight") ? sqrt(3.0 / inputs) : 1.0;
}

static int fill_argument(bench_net *n, const char *name, uint32_t stream)
{
    const bench_model *m = n->model;
    tn_tensor *t = tn_exec_arg(n->exec, name);
    const tn_shape shape = tn_tensor_shape(t);
    if (ends_with(name, "_label")) return fill(n, t, stream, m->classes, 0.0);
    if (strcmp(name, "data") == 0) return fill(n, t, stream, m->tokens, 1.0);
    if (ends_with(name, "_bias") || ends_with(name, "_beta") || ends_with(name, "_state") ||
        ends_with(name, "_state_cell"))
        return EXIT_OK; // zeros
    if (!ends_with(name, "_gamma")) return fill(n, t, stream, 0, most_of(name, &shape));
    return tn_tensor_fill(t, 1.0) == TN_OK ? EXIT_OK : tool_env_fail("bench", n->env);
}

static int fill_all(bench_net *n)
{
    const tn_names args = tn_exec_arguments(n->exec), auxs = tn_exec_auxiliary_states(n->exec);
    int code = EXIT_OK;
    for (size_t i = 0; i < args.n && code == EXIT_OK; i++)
        code = fill_argument(n, args.v[i], (uint32_t)i);
    for (size_t i = 0; i < auxs.n && code == EXIT_OK; i++)
        if (ends_with(auxs.v[i], "_var") &&
            tn_tensor_fill(tn_exec_aux(n->exec, auxs.v[i]), 1.0) != TN_OK)
            code = tool_env_fail("bench", n->env);
    tn_exec_refresh(n->exec);
    return code;
}

// ------------------------------------------------------------------ updates

// One parameter: its tensors, and the names that the second graph knows them by.
typedef struct parameter {
    char grad[128], made[128], output[160];
} parameter;

// The second graph: w := w - lr (grad / batch), with momentum, for every parameter at once. It
// reads the network's own tensors and writes over them.
static tn_exec *bind_updates(bench_net *n, tn_graph *g, parameter *p, tn_named_tensor *in,
                             tn_named_tensor *out, tn_symbol *news)
{
    const tn_names args = tn_exec_arguments(n->exec);
    const double scale = 1.0 / (double)n->batch;
    size_t k = 0;
    for (size_t i = 0; i < args.n; i++) {
        const char *name = args.v[i];
        tn_tensor *weight = tn_exec_arg(n->exec, name), *grad = tn_exec_grad(n->exec, name);
        if (!grad) continue;
        snprintf(p[k].grad, sizeof p->grad, "%.100s_grad", name);
        snprintf(p[k].made, sizeof p->made, "%.100s_new", name);
        snprintf(p[k].output, sizeof p->output, "%s_output", p[k].made);
        news[k] =
            tn_sgd_mom_update(g, .weight = tn_variable(g, name), .grad = tn_variable(g, p[k].grad),
                              .lr = LEARNING_RATE, .momentum = TN_SET(MOMENTUM),
                              .rescale_grad = TN_SET(scale), .name = p[k].made);
        in[2 * k] = (tn_named_tensor){name, weight};
        in[2 * k + 1] = (tn_named_tensor){p[k].grad, grad};
        out[k] = (tn_named_tensor){p[k].output, weight};
        k++;
    }
    return tn_simple_bind(g, tn_group(g, (tn_symbols){k, news}), .backends = n->o->backends,
                          .args = {2 * k, in}, .outs = {k, out}, .threads = (int32_t)n->o->threads);
}

static int make_updates(bench_net *n)
{
    const size_t most = tn_exec_arguments(n->exec).n + 1;
    tn_graph *g = tn_graph_new(n->env);
    parameter *p = calloc(most, sizeof *p);
    tn_named_tensor *in = calloc(2 * most, sizeof *in), *out = calloc(most, sizeof *out);
    tn_symbol *news = calloc(most, sizeof *news);
    if (g && p && in && out && news) n->update = bind_updates(n, g, p, in, out, news);
    const int code = n->update ? EXIT_OK : tool_fail("bench", "%s", tn_graph_error(g));
    free(p);
    free(in);
    free(out);
    free(news);
    tn_graph_free(g);
    return code;
}

// ------------------------------------------------------------------ binding

// Ones for the gradient of an output that is no loss.
static bool make_head(bench_net *n)
{
    const tn_shape_result *shapes = tn_infer_shape(n->g, n->net, (tn_shapes){0, NULL});
    if (!shapes) return false;
    const tn_shape *s = &shapes->outs[0].shape;
    n->head = tn_tensor_new(n->env, n->o->dtype, (tn_dims){(size_t)s->ndim, s->dim});
    return n->head && tn_tensor_fill(n->head, 1.0) == TN_OK;
}

// Gradients of all parameters; of all arguments, if the network has none. The head gradient is read
// where it is, and is the summand's gradient as well.
static tn_exec *bind_training(bench_net *n)
{
    if (n->model->summand && !make_head(n)) return NULL;
    const tn_named_tensor head = {n->head ? tn_outputs(n->g, n->net).v[0] : NULL, n->head};
    const tn_named_tensor summand = {n->model->summand, n->head};
    const tn_names args = tn_arguments(n->g, n->net);
    tn_named_req *reqs = calloc(args.n + 1, sizeof *reqs);
    bool learns = false;
    if (!reqs) return NULL;
    for (size_t i = 0; i < args.n; i++) learns = learns || bench_is_parameter(args.v[i]);
    for (size_t i = 0; i < args.n; i++)
        reqs[i] = (tn_named_req){args.v[i],
                                 !learns || bench_is_parameter(args.v[i]) ? TN_WRITE : TN_NULL};
    tn_exec *e =
        tn_simple_bind(n->g, n->net, .backends = n->o->backends, .grad_reqs = {args.n, reqs},
                       .groups = tool_groups_of(&n->o->groups), .threads = (int32_t)n->o->threads,
                       .compute = n->o->compute, .heads = {n->head != NULL, &head},
                       .grads = {n->head != NULL, &summand});
    free(reqs);
    return e;
}

static int bind(bench_net *n)
{
    const double start = bench_now();
    n->exec =
        n->training
            ? bind_training(n)
            : tn_simple_bind(n->g, n->net, .backends = n->o->backends, .inputs = n->model->inputs,
                             .groups = tool_groups_of(&n->o->groups),
                             .threads = (int32_t)n->o->threads, .compute = n->o->compute);
    n->bind_seconds = bench_now() - start;
    return n->exec ? EXIT_OK : tool_graph_fail("bench", n->g, NULL, NULL);
}

int bench_net_bind(bench_net *n)
{
    const bench_size size = {.batch = n->batch,
                             .quick = n->o->quick,
                             .grouped = n->o->groups.n > 0,
                             .dtype = n->o->dtype};
    n->env = bench_env(n->o);
    n->g = tn_graph_new(n->env);
    if (size.grouped) tn_attr_scope_push(n->g, TN_ATTRS({"ctx_group", "first"}));
    n->net = n->g ? n->model->make(n->g, &size) : TN_NONE;
    if (size.grouped) tn_attr_scope_pop(n->g);
    n->flops = bench_flops(n->g, n->net, n->training);
    if (n->flops < 0) return tool_graph_fail("bench", n->g, NULL, NULL);
    int code = bind(n);
    if (code == EXIT_OK) code = fill_all(n);
    if (code == EXIT_OK && n->training && !n->head) code = make_updates(n);
    return code;
}

void bench_net_free(bench_net *n)
{
    tn_tensor_release(n->head);
    tn_exec_free(n->update);
    tn_exec_free(n->exec);
    tn_graph_free(n->g);
    tn_env_free(n->env);
}

int bench_net_step(bench_net *n)
{
    tn_status status = tn_forward(n->exec, n->training);
    if (!status && n->training) status = tn_backward(n->exec, TN_NO_HEADS);
    if (status) return tool_fail("bench", "%s", tn_exec_error(n->exec));
    if (n->update && tn_forward(n->update, true) != TN_OK)
        return tool_fail("bench", "%s", tn_exec_error(n->update));
    tn_exec *const last = n->update ? n->update : n->exec; // a step is what the device has done
    return tn_exec_wait(last) ? tool_fail("bench", "%s", tn_exec_error(last)) : EXIT_OK;
}
