// tools/train_loop.c: binding, initial parameters, steps of momentum SGD, scores.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/philox.h>

#include "tools/train.h"

static bool ends_with(const char *name, const char *suffix)
{
    const size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

// ------------------------------------------------------------------ parameters

// Weights uniform in ±0.07 as in the tutorial; gamma and moving_var 1; everything else 0. The
// numbers depend on the seed and on the place in the argument list only, not on the backend.
static int draw_parameter(trainer *t, const char *name, uint32_t index)
{
    tn_tensor *w = tn_exec_arg(t->exec, name);
    if (ends_with(name, "_gamma"))
        return tn_tensor_fill(w, 1.0) == TN_OK ? EXIT_OK
                                               : tool_fail("train", "%s", tn_env_error(t->env));
    if (!ends_with(name, "_weight")) return EXIT_OK;
    const int64_t n = tn_tensor_size(w);
    double *v = malloc((size_t)n * sizeof *v);
    const tn_shape shape = tn_tensor_shape(w);
    if (!v) return tool_fail("train", "out of memory");
    for (int64_t i = 0; i < n; i++)
        v[i] = (2.0 * tn_philox_uniform_f32(t->o->seed, index, (uint64_t)i) - 1.0) * 0.07;
    tn_tensor *drawn =
        tn_tensor_from(t->env, tn_tensor_dtype(w), (tn_dims){(size_t)shape.ndim, shape.dim}, v);
    free(v);
    const bool ok = drawn && tn_tensor_copy(w, drawn) == TN_OK;
    tn_tensor_release(drawn);
    return ok ? EXIT_OK : tool_fail("train", "%s", tn_env_error(t->env));
}

static int draw_parameters(trainer *t)
{
    const tn_names args = tn_exec_arguments(t->exec), auxs = tn_exec_auxiliary_states(t->exec);
    for (size_t i = 0; i < args.n; i++)
        if (strcmp(args.v[i], t->data) != 0 && strcmp(args.v[i], t->label) != 0 &&
            draw_parameter(t, args.v[i], (uint32_t)i) != EXIT_OK)
            return EXIT_FAILED;
    for (size_t i = 0; i < auxs.n; i++)
        if (ends_with(auxs.v[i], "_var")) tn_tensor_fill(tn_exec_aux(t->exec, auxs.v[i]), 1.0);
    return EXIT_OK;
}

// ------------------------------------------------------------------ the update

// A second graph whose arguments are the network's own parameters and gradients and whose outputs
// are written back into the parameters.
static int bind_update(trainer *t)
{
    const tn_names args = tn_exec_arguments(t->exec);
    tn_graph *g = tn_graph_new(t->env);
    tn_symbol *news = calloc(args.n, sizeof *news);
    tn_named_tensor *in = calloc(args.n * 2, sizeof *in), *out = calloc(args.n, sizeof *out);
    char *texts = calloc(args.n * 2, 512);
    size_t n = 0;
    for (size_t i = 0; g && news && in && out && texts && i < args.n; i++) {
        tn_tensor *grad = tn_exec_grad(t->exec, args.v[i]);
        if (!grad) continue;
        char *grad_name = texts + 1024 * n, *out_name = grad_name + 512;
        snprintf(grad_name, 512, "%s_grad", args.v[i]);
        snprintf(out_name, 512, "%s_new", args.v[i]);
        news[n] = tn_sgd_mom_update(
            g, .weight = tn_variable(g, args.v[i]), .grad = tn_variable(g, grad_name),
            .lr = t->o->lr, .momentum = TN_SET(t->o->momentum), .wd = TN_SET(t->o->wd),
            .rescale_grad = TN_SET(1.0 / (double)t->batch), .name = out_name);
        in[2 * n] = (tn_named_tensor){args.v[i], tn_exec_arg(t->exec, args.v[i])};
        in[2 * n + 1] = (tn_named_tensor){grad_name, grad};
        strcat(out_name, "_output");
        out[n] = (tn_named_tensor){out_name, in[2 * n].tensor};
        n++;
    }
    if (g && n)
        t->update =
            tn_simple_bind(g, tn_group(g, (tn_symbols){n, news}), .backends = t->o->backends,
                           .args = {2 * n, in}, .outs = {n, out});
    const int code =
        t->update ? EXIT_OK
                  : tool_fail("train", "%s", g && n ? tn_graph_error(g) : "no parameter to train");
    free(news);
    free(in);
    free(out);
    free(texts);
    tn_graph_free(g);
    return code;
}

// ------------------------------------------------------------------ binding

// The two inputs by MXNet's conventions: "data" (or the first argument), and the argument that
// ends in "label".
static int find_inputs(trainer *t)
{
    const tn_names args = tn_arguments(t->g, t->net);
    for (size_t i = 0; i < args.n; i++) {
        if (strcmp(args.v[i], "data") == 0) t->data = args.v[i];
        if (ends_with(args.v[i], "label")) t->label = args.v[i];
    }
    if (!t->data && args.n) t->data = args.v[0];
    if (!t->data || !t->label)
        return tool_fail("train", "the network has no argument that ends in \"label\"; it must end "
                                  "in a loss such as SoftmaxOutput");
    return EXIT_OK;
}

int trainer_bind(trainer *t, const dataset *data)
{
    if (find_inputs(t) != EXIT_OK) return EXIT_FAILED;
    // Pictures as (batch, 1, height, width): convolutions want it, FullyConnected flattens it.
    const int64_t dims[] = {t->batch, 1, data->height, data->width};
    t->exec = tn_simple_bind(t->g, t->net, .backends = t->o->backends, .seed = t->o->seed,
                             .grad_req = TN_WRITE, .shapes = TN_SHAPES({t->data, {4, dims}}),
                             .grad_reqs = TN_REQS({t->data, TN_NULL}, {t->label, TN_NULL}));
    if (!t->exec) return tool_fail("train", "%s", tn_graph_error(t->g));
    t->x = tn_exec_arg(t->exec, t->data);
    t->y = tn_exec_arg(t->exec, t->label);
    const tn_shape out = tn_tensor_shape(tn_exec_output(t->exec, 0));
    if (out.ndim != 2 || out.dim[0] != t->batch || out.dim[1] < data->classes)
        return tool_fail("train",
                         "the network's output is %s, wanted (%lld,%lld): a row per "
                         "picture, a column per class",
                         tool_shape_text(&out), (long long)t->batch, (long long)data->classes);
    t->classes = out.dim[1];
    if (draw_parameters(t) != EXIT_OK) return EXIT_FAILED;
    return bind_update(t);
}

void trainer_free(trainer *t)
{
    tn_exec_free(t->update);
    tn_exec_free(t->exec);
    tn_graph_free(t->g);
    tn_env_free(t->env);
}

// ------------------------------------------------------------------ steps

// Puts `count` pictures into the inputs; the rest of the batch repeats the last one.
static int feed(trainer *t, const dataset *data, const int64_t *order, int64_t first, int64_t count)
{
    const size_t pixels = (size_t)(data->height * data->width);
    float *x = malloc((size_t)t->batch * pixels * sizeof *x);
    float *y = malloc((size_t)t->batch * sizeof *y);
    tn_status s = x && y ? TN_OK : TN_E_NOMEM;
    for (int64_t i = 0; s == TN_OK && i < t->batch; i++) {
        const int64_t at = first + (i < count ? i : count - 1);
        const int64_t row = order ? order[at] : at;
        memcpy(x + (size_t)i * pixels, data->x + (size_t)row * pixels, pixels * sizeof *x);
        y[i] = data->y[row];
    }
    const int64_t x_dims[] = {t->batch, 1, data->height, data->width};
    tn_tensor *tx = tn_tensor_wrap(t->env, TN_F32, (tn_dims){4, x_dims}, x);
    tn_tensor *ty = tn_tensor_wrap(t->env, TN_F32, TN_DIMS(t->batch), y);
    if (s == TN_OK) s = tx && ty ? tn_tensor_copy(t->x, tx) : TN_E_NOMEM;
    if (s == TN_OK) s = tn_tensor_copy(t->y, ty);
    tn_tensor_release(tx);
    tn_tensor_release(ty);
    free(x);
    free(y);
    return s == TN_OK ? EXIT_OK : tool_fail("train", "%s", tn_env_error(t->env));
}

// Adds up loss and right answers of the first `count` rows of the output.
static void add_score(trainer *t, const dataset *data, const int64_t *order, int64_t first,
                      int64_t count, score *sum)
{
    tn_tensor *out = tn_exec_output(t->exec, 0);
    for (int64_t i = 0; i < count; i++) {
        const int64_t wanted = (int64_t)data->y[order ? order[first + i] : first + i];
        int64_t best = 0;
        for (int64_t c = 1; c < t->classes; c++)
            if (tn_tensor_at(out, i * t->classes + c) > tn_tensor_at(out, i * t->classes + best))
                best = c;
        sum->loss -= log(fmax(tn_tensor_at(out, i * t->classes + wanted), 1e-30));
        sum->accuracy += best == wanted;
    }
}

// Fisher-Yates; draws depend on seed and epoch only.
static int64_t *shuffled(const trainer *t, int64_t n, long epoch)
{
    int64_t *order = malloc((size_t)n * sizeof *order);
    for (int64_t i = 0; order && i < n; i++) order[i] = i;
    for (int64_t i = n - 1; order && i > 0; i--) {
        const double u = tn_philox_uniform_f64(t->o->seed, 1000003u + (uint64_t)epoch, (uint64_t)i);
        const int64_t j = (int64_t)(u * (double)(i + 1)), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
    return order;
}

static void progress(const trainer *t, long epoch, int64_t done, int64_t total, const score *s)
{
    enum { WIDTH = 30 };
    char bar[WIDTH + 1];
    const int full = (int)(done * WIDTH / total);
    for (int i = 0; i < WIDTH; i++) bar[i] = i < full ? '=' : i == full ? '>' : ' ';
    bar[WIDTH] = 0;
    printf("\repoch %3ld/%ld [%s] %5lld/%lld  loss %.4f  accuracy %.4f", epoch + 1, t->o->epochs,
           bar, (long long)done, (long long)total, s->loss / (double)done,
           s->accuracy / (double)done);
    fflush(stdout);
}

int trainer_epoch(trainer *t, const dataset *data, long epoch, FILE *log, score *out)
{
    int64_t *order = shuffled(t, data->n, epoch);
    score sum = {0};
    int code = order ? EXIT_OK : tool_fail("train", "out of memory");
    int64_t done = 0;
    // A last batch that is not full is left out: its gradient would be of another scale.
    for (; code == EXIT_OK && done + t->batch <= data->n; done += t->batch) {
        const score before = sum;
        code = feed(t, data, order, done, t->batch);
        if (code == EXIT_OK &&
            (tn_forward(t->exec, true) != TN_OK || tn_backward(t->exec, TN_NO_HEADS) != TN_OK))
            code = tool_fail("train", "%s", tn_exec_error(t->exec));
        if (code == EXIT_OK) add_score(t, data, order, done, t->batch, &sum);
        if (code == EXIT_OK && tn_forward(t->update, true) != TN_OK)
            code = tool_fail("train", "%s", tn_exec_error(t->update));
        if (log) fprintf(log, "%.9g\n", (sum.loss - before.loss) / (double)t->batch);
        if (!t->o->quiet) progress(t, epoch, done + t->batch, data->n, &sum);
    }
    free(order);
    if (code == EXIT_OK && done == 0)
        code = tool_fail("train", "a batch of %lld needs more than %lld pictures",
                         (long long)t->batch, (long long)data->n);
    if (code == EXIT_OK) *out = (score){sum.loss / (double)done, sum.accuracy / (double)done};
    return code;
}

int trainer_score(trainer *t, const dataset *data, score *out)
{
    score sum = {0};
    for (int64_t done = 0; done < data->n; done += t->batch) {
        const int64_t count = data->n - done < t->batch ? data->n - done : t->batch;
        if (feed(t, data, NULL, done, count) != EXIT_OK) return EXIT_FAILED;
        if (tn_forward(t->exec, false) != TN_OK)
            return tool_fail("train", "%s", tn_exec_error(t->exec));
        add_score(t, data, NULL, done, count, &sum);
    }
    *out = (score){sum.loss / (double)data->n, sum.accuracy / (double)data->n};
    return EXIT_OK;
}

int trainer_predict(trainer *t, const dataset *data, int64_t i, float *p)
{
    if (feed(t, data, NULL, i, 1) != EXIT_OK) return EXIT_FAILED;
    if (tn_forward(t->exec, false) != TN_OK)
        return tool_fail("train", "%s", tn_exec_error(t->exec));
    for (int64_t c = 0; c < t->classes; c++)
        p[c] = (float)tn_tensor_at(tn_exec_output(t->exec, 0), c);
    return EXIT_OK;
}
