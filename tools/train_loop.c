// tools/train_loop.c: binding, initial parameters, steps of momentum SGD, scores.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/philox.h>
#include <time.h>

#include "tools/train.h"

static bool ends_with(const char *name, const char *suffix)
{
    const size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

// ------------------------------------------------------------------ parameters

// The constant that an initializer in MXNet's form stands for: "zeros", ["one", {}],
// ["Constant", {"value": 0.25}]. False if it is none of these.
static bool constant_of(const char *init, double *value)
{
    json_t *json = json_loads(init, 0, NULL);
    const char *name = json ? json_string_value(json_array_get(json, 0)) : init;
    json_t *given = json_object_get(json_array_get(json, 1), "value");
    if (!name) name = "";
    const bool zero = strcasecmp(name, "zero") == 0 || strcasecmp(name, "zeros") == 0;
    const bool one = strcasecmp(name, "one") == 0 || strcasecmp(name, "ones") == 0;
    const bool constant = strcasecmp(name, "constant") == 0 && json_is_number(given);
    *value = constant ? json_number_value(given) : one ? 1.0 : 0.0;
    json_decref(json);
    return zero || one || constant;
}

// Of a variable: what its __init__ says, else by MXNet's endings of names. False: it is drawn.
static bool is_constant(trainer *t, tn_symbol internals, const char *name, double *value)
{
    static const struct {
        const char *ending;
        double value;
    } kinds[] = {
        {.ending = "_bias", .value = 0.0}, {.ending = "_beta", .value = 0.0},
        {.ending = "_mean", .value = 0.0}, {.ending = "_gamma", .value = 1.0},
        {.ending = "_var", .value = 1.0},
    };
    const tn_symbol variable = tn_output_named(t->g, internals, name);
    const char *init = tn_attr_get(t->g, variable, "__init__");
    if (init) return constant_of(init, value);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        *value = kinds[i].value;
        if (ends_with(name, kinds[i].ending)) return true;
    }
    return false;
}

// Uniform in ±0.07 as in the tutorial. The numbers depend on the seed and on the place in the
// argument list only, not on the backend.
static int draw_uniform(trainer *t, tn_tensor *w, uint32_t index)
{
    const int64_t n = tn_tensor_size(w);
    const tn_shape shape = tn_tensor_shape(w);
    double *v = malloc((size_t)n * sizeof *v + 1);
    if (!v) return tool_fail("train", "out of memory");
    for (int64_t i = 0; i < n; i++)
        v[i] = (2.0 * tn_philox_uniform_f32(t->o->seed, index, (uint64_t)i) - 1.0) * 0.07;
    tn_tensor *drawn =
        tn_tensor_from(t->env, tn_tensor_dtype(w), (tn_dims){(size_t)shape.ndim, shape.dim}, v);
    free(v);
    const bool ok = drawn && tn_tensor_copy(w, drawn) == TN_OK;
    tn_tensor_release(drawn);
    return ok ? EXIT_OK : tool_env_fail("train", t->env);
}

static int draw_parameters(trainer *t)
{
    const tn_names args = tn_exec_arguments(t->exec), auxs = tn_exec_auxiliary_states(t->exec);
    const tn_symbol internals = tn_internals(t->g, t->net);
    for (size_t i = 0; i < args.n + auxs.n; i++) {
        const bool aux = i >= args.n;
        const char *name = aux ? auxs.v[i - args.n] : args.v[i];
        double value = 0.0;
        if (strcmp(name, t->data) == 0 || strcmp(name, t->label) == 0) continue;
        tn_tensor *tensor = aux ? tn_exec_aux(t->exec, name) : tn_exec_arg(t->exec, name);
        if (is_constant(t, internals, name, &value) || aux) {
            if (tn_tensor_fill(tensor, value) != TN_OK) return tool_env_fail("train", t->env);
        } else if (draw_uniform(t, tensor, (uint32_t)i) != EXIT_OK) {
            return EXIT_FAILED;
        }
    }
    return tn_graph_status(t->g) == TN_OK ? EXIT_OK
                                          : tool_graph_fail("train", t->g, t->o->network, NULL);
}

// ------------------------------------------------------------------ the update

// The multiplier that a variable carries in an attribute, else `otherwise`.
static double multiplier(trainer *t, tn_symbol internals, const char *name, const char *key,
                         double otherwise)
{
    const char *text = tn_attr_get(t->g, tn_output_named(t->g, internals, name), key);
    char *end = NULL;
    const double v = text ? strtod(text, &end) : otherwise;
    return end && (end == text || *end) ? otherwise : v;
}

// w := w - lr (grad / batch + wd w), with momentum. As with MXNet, only weights and gammas decay
// where no __wd_mult__ says otherwise.
static tn_symbol update_of(trainer *t, tn_graph *g, tn_symbol internals, const char *name,
                           const char *grad, const char *as)
{
    const bool decays = ends_with(name, "_weight") || ends_with(name, "_gamma");
    const double lr = t->o->lr * multiplier(t, internals, name, "__lr_mult__", 1.0);
    const double wd = t->o->wd * multiplier(t, internals, name, "__wd_mult__", decays);
    return tn_sgd_mom_update(g, .weight = tn_variable(g, name), .grad = tn_variable(g, grad),
                             .lr = lr, .momentum = TN_SET(t->o->momentum), .wd = TN_SET(wd),
                             .rescale_grad = TN_SET(1.0 / (double)t->batch), .name = as);
}

// A second graph whose arguments are the network's own parameters and gradients and whose outputs
// are written back into the parameters.
static int bind_update(trainer *t)
{
    const tn_names args = tn_exec_arguments(t->exec);
    const tn_symbol internals = tn_internals(t->g, t->net);
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
        news[n] = update_of(t, g, internals, args.v[i], grad_name, out_name);
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
        if (strlen(args.v[i]) > 400) // names are put together in buffers of 512
            return tool_fail("train", "an argument's name of %zu bytes; at most 400 are possible",
                             strlen(args.v[i]));
        if (strcmp(args.v[i], "data") == 0) t->data = args.v[i];
        if (ends_with(args.v[i], "label")) t->label = args.v[i];
    }
    if (!t->data && args.n) t->data = args.v[0];
    if (!t->data || !t->label)
        return tool_fail("train", "the network has no argument that ends in \"label\"; it must end "
                                  "in a loss such as SoftmaxOutput");
    return EXIT_OK;
}

// The shape in which the network takes a batch of pictures and gives a row of scores for each.
// Convolutions want (batch, 1, height, width), and most other networks take that, too.
static int find_shape(trainer *t, const dataset *data)
{
    const tn_shape shapes[] = {
        {.ndim = 4, .dim = {t->batch, 1, data->height, data->width}},
        {.ndim = 2, .dim = {t->batch, data->height * data->width}},
    };
    tn_shape out = {.ndim = -1};
    for (size_t i = 0; i < 2; i++) {
        const tn_dims dims = {(size_t)shapes[i].ndim, shapes[i].dim};
        const tn_shape_result *r = tn_infer_shape_partial(t->g, t->net, TN_SHAPES({t->data, dims}));
        if (!r) {
            tn_graph_forgive(t->g);
            continue;
        }
        out = r->outs[0].shape;
        t->shape = shapes[i];
        t->classes = out.dim[1];
        if (out.ndim == 2 && out.dim[0] == t->batch && out.dim[1] >= data->classes) return EXIT_OK;
    }
    const tn_dims wanted = {4, shapes[0].dim};
    if (out.ndim < 0 && !tn_infer_shape_partial(t->g, t->net, TN_SHAPES({t->data, wanted})))
        return tool_graph_fail("train", t->g, t->o->network, NULL);
    return tool_fail("train",
                     "%s: the first output is %s, wanted (%lld,%lld): a row for each picture, a "
                     "column for each class",
                     t->o->network ? t->o->network : "the network", tool_shape_text(&out),
                     (long long)t->batch, (long long)data->classes);
}

int trainer_bind(trainer *t, const dataset *data)
{
    if (find_inputs(t) != EXIT_OK || find_shape(t, data) != EXIT_OK) return EXIT_FAILED;
    const tn_dims dims = {(size_t)t->shape.ndim, t->shape.dim};
    t->exec = tn_simple_bind(t->g, t->net, .backends = t->o->backends, .seed = t->o->seed,
                             .grad_req = TN_WRITE, .shapes = TN_SHAPES({t->data, dims}),
                             .compute = t->o->compute,
                             .grad_reqs = TN_REQS({t->data, TN_NULL}, {t->label, TN_NULL}));
    if (!t->exec) return tool_graph_fail("train", t->g, t->o->network, NULL);
    t->x = tn_exec_arg(t->exec, t->data);
    t->y = tn_exec_arg(t->exec, t->label);
    if (tn_tensor_size(t->y) != t->batch)
        return tool_fail("train", "%s has %lld elements, wanted one for each of %lld pictures",
                         t->label, (long long)tn_tensor_size(t->y), (long long)t->batch);
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
    tn_tensor *tx =
        tn_tensor_wrap(t->env, TN_F32, (tn_dims){(size_t)t->shape.ndim, t->shape.dim}, x);
    tn_tensor *ty = tn_tensor_wrap(t->env, TN_F32, TN_DIMS(t->batch), y);
    if (s == TN_OK) s = tx && ty ? tn_tensor_copy(t->x, tx) : TN_E_NOMEM;
    if (s == TN_OK) s = tn_tensor_copy(t->y, ty);
    tn_tensor_release(tx);
    tn_tensor_release(ty);
    free(x);
    free(y);
    return s == TN_OK ? EXIT_OK : tool_env_fail("train", t->env);
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

int trainer_digits(long n)
{
    return snprintf(NULL, 0, "%ld", n);
}

double trainer_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// One line that replaces itself, at most ten times a second; the bar takes what the numbers leave.
static void progress(trainer *t, long epoch, int64_t done, int64_t total, const score *s)
{
    char numbers[160], head[64], bar[64];
    const double now = trainer_now();
    if (t->o->columns == 0 || now - t->drawn < 0.1) return;
    t->drawn = now;
    snprintf(head, sizeof head, "epoch %*ld/%ld", trainer_digits(t->o->epochs), epoch + 1,
             t->o->epochs);
    snprintf(numbers, sizeof numbers, "%*lld/%lld  loss %.4f accuracy %.4f",
             trainer_digits((long)total), (long long)done, (long long)total, s->loss / (double)done,
             s->accuracy / (double)done);
    int width = t->o->columns - (int)strlen(head) - (int)strlen(numbers) - 6;
    if (width > 40) width = 40;
    const int full = (int)(done * width / total);
    for (int i = 0; i < width; i++) bar[i] = i < full ? '=' : i == full ? '>' : ' ';
    bar[width > 0 ? width : 0] = 0;
    char line[320];
    if (width >= 8)
        snprintf(line, sizeof line, "%s [%s] %s", head, bar, numbers);
    else
        snprintf(line, sizeof line, "%s  %s", head, numbers);
    printf("\r\033[K%.*s", t->o->columns - 1, line);
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
        if (code == EXIT_OK) progress(t, epoch, done + t->batch, data->n, &sum);
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
