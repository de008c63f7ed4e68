// tests/tn_numeric.c: operators by strings, one-shot runs, gradients against central differences.
#include "tests/tn_numeric.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ARGS = 16, TEXT = 512 };

static bool report(int line, const char *file, bool ok, const char *text)
{
    CU_assertImplementation(ok ? CU_TRUE : CU_FALSE, (unsigned)line, text, file, "", CU_FALSE);
    return ok;
}

void tn_fresh(void)
{
    tn_graph_free(bench.g);
    bench.g = tn_graph_new(bench.env);
}

const char *tn_backends(void)
{
    static char list[256];
    snprintf(list, sizeof list, "%s%s", bench.backends,
             strstr(bench.backends, "reference") ? "" : ",reference");
    return list;
}

// ------------------------------------------------------------------ operators by strings

// "a=1; b=(2,3)" taken apart in place.
static size_t split_params(char *text, tn_attr *out)
{
    size_t n = 0;
    char *rest = text;
    for (char *word; (word = strsep(&rest, ";")) && n < MAX_ARGS;) {
        char *value = strchr(word, '=');
        if (!value) continue;
        *value = 0;
        while (*word == ' ') word++;
        out[n++] = (tn_attr){word, value + 1};
    }
    return n;
}

tn_symbol tn_op_make(int line, const char *file, const char *op, const char *params, tn_symbols in)
{
    char text[TEXT] = "";
    tn_attr attrs[MAX_ARGS];
    if (params) snprintf(text, sizeof text, "%s", params);
    const tn_attrs list = {split_params(text, attrs), attrs};
    return tn_call_make(
        tn_graph_at(bench.g, file, line), op,
        &(tn_call_args){.size = sizeof(tn_call_args), .inputs = in, .params = list});
}

// ------------------------------------------------------------------ one-shot runs

static bool has_word(const char *words, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = words; at && (at = strstr(at, word)); at += n)
        if ((at == words || at[-1] == ' ') && (at[n] == 0 || at[n] == ' ')) return true;
    return false;
}

static tn_exec *bind(tn_symbol s, const tn_trial *trial)
{
    tn_named_dims shapes[MAX_ARGS];
    tn_shape known[MAX_ARGS];
    tn_named_dtype dtypes[2 * MAX_ARGS];
    tn_named_req reqs[2 * MAX_ARGS];
    size_t n = trial->given.n, n_dtypes = n, n_reqs = 0;
    if (n > MAX_ARGS) return NULL;
    for (size_t i = 0; i < n; i++) {
        const tn_named_tensor *t = &trial->given.v[i];
        known[i] = tn_tensor_shape(t->tensor);
        shapes[i] = (tn_named_dims){t->name, {(size_t)known[i].ndim, known[i].dim}};
        dtypes[i] = (tn_named_dtype){t->name, tn_tensor_dtype(t->tensor)};
    }
    const tn_names names = tn_arguments(bench.g, s);
    for (size_t i = 0; i < names.n && i < MAX_ARGS; i++) {
        bool given = false;
        for (size_t j = 0; j < n; j++) given = given || !strcmp(names.v[i], shapes[j].name);
        if (!given && trial->dtype) dtypes[n_dtypes++] = (tn_named_dtype){names.v[i], trial->dtype};
        if (has_word(trial->wrt, names.v[i])) reqs[n_reqs++] = (tn_named_req){names.v[i], TN_WRITE};
    }
    return tn_simple_bind(bench.g, s, .backends = tn_backends(), .shapes = {n, shapes},
                          .dtypes = {n_dtypes, dtypes}, .grad_req = TN_NULL,
                          .grad_reqs = {n_reqs, reqs});
}

tn_exec *tn_try_make(int line, const char *file, tn_symbol s, const tn_trial *trial)
{
    tn_exec *e = bind(s, trial);
    bool ok = tn_check_ok(line, file, tn_graph_status(bench.g), tn_graph_error(bench.g)) && e;
    if (ok) {
        tn_exec_set_all(e, trial->given, false);
        tn_forward(e, trial->train);
        ok = tn_check_ok(line, file, tn_exec_status(e), tn_exec_error(e));
    }
    for (size_t i = 0; i < trial->given.n; i++) tn_tensor_release(trial->given.v[i].tensor);
    if (ok) return e;
    tn_exec_free(e);
    return NULL;
}

bool tn_back_make(int line, const char *file, tn_exec *e, tn_tensors heads)
{
    bool ok = e;
    if (e) {
        tn_backward(e, heads);
        ok = tn_check_ok(line, file, tn_exec_status(e), tn_exec_error(e));
    }
    for (size_t i = 0; i < heads.n; i++) tn_tensor_release(heads.v[i].tensor);
    return ok;
}

tn_tensor *tn_out(tn_exec *e, size_t i)
{
    return e ? tn_exec_output(e, i) : NULL;
}

tn_tensor *tn_grad(tn_exec *e, const char *name)
{
    return e ? tn_exec_grad(e, name) : NULL;
}

static void shape_text(char *out, size_t size, size_t ndim, const int64_t *dim)
{
    size_t at = (size_t)snprintf(out, size, "(");
    for (size_t i = 0; i < ndim && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%lld,", (long long)dim[i]);
    if (at < size) snprintf(out + at, size - at, ")");
}

bool tn_check_dims(int line, const char *file, tn_tensor *t, tn_dims dims)
{
    char got[128], wanted[128], text[320];
    if (!t) return report(line, file, false, "no tensor");
    const tn_shape s = tn_tensor_shape(t);
    shape_text(got, sizeof got, (size_t)s.ndim, s.dim);
    shape_text(wanted, sizeof wanted, dims.ndim, dims.dim);
    snprintf(text, sizeof text, "shape %s, wanted %s", got, wanted);
    return report(line, file, strcmp(got, wanted) == 0, text);
}

// ------------------------------------------------------------------ central differences

// A number in [0, 1) for each (seed, i). Source: Steele, Lea, Flood, SplitMix64, 2014.
static double noise(uint64_t seed, uint64_t i)
{
    uint64_t z = (seed * 1000003 + i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

tn_tensor *tn_sample(tn_dtype dtype, tn_dims dims, double lo, double hi, uint64_t seed)
{
    tn_tensor *t = tn_tensor_new(bench.env, TN_F64, dims);
    double *p = t ? tn_tensor_data(t) : NULL;
    for (int64_t i = 0; p && i < tn_tensor_size(t); i++)
        p[i] = lo + (hi - lo) * noise(seed, (uint64_t)i);
    if (!t || dtype == TN_F64) return t;
    tn_tensor *converted = tn_tensor_cast(t, dtype);
    tn_tensor_release(t);
    return converted;
}

// Weights of output i in the weighted sum.
static tn_tensor *weights_like(tn_tensor *output, size_t i)
{
    const tn_shape s = tn_tensor_shape(output);
    return tn_sample(TN_F64, tn_shape_dims(&s), 0.1, 1.1, 77 + i);
}

// A forward run that draws the same random numbers as every other.
static void run_forward(tn_exec *e)
{
    tn_exec_seed(e, 1);
    tn_forward(e, false);
}

// Σ weight · output over all outputs, after a forward run
static double weighted_sum(tn_exec *e, tn_tensor *const *weights)
{
    double sum = 0;
    run_forward(e);
    for (size_t i = 0; i < tn_exec_num_outputs(e); i++) {
        tn_tensor *y = tn_exec_output(e, i);
        for (int64_t j = 0; j < tn_tensor_size(y); j++)
            sum += tn_tensor_at(weights[i], j) * tn_tensor_at(y, j);
    }
    return sum;
}

// d (weighted sum) / d (element i of x)
static double difference(tn_exec *e, tn_tensor *const *weights, tn_tensor *x, int64_t i)
{
    double *at = (double *)tn_tensor_data(x) + i;
    const double x0 = *at, h = 1e-5 * fmax(1, fabs(x0));
    *at = x0 + h;
    const double above = weighted_sum(e, weights), up = *at;
    *at = x0 - h;
    const double below = weighted_sum(e, weights), down = *at;
    *at = x0;
    return (above - below) / (up - down);
}

static bool compare(int line, const char *file, const char *what, const tn_point *p, tn_tensor *got,
                    const double *wanted)
{
    char text[TEXT];
    double largest = 0.01;
    const int64_t n = tn_tensor_size(p->value);
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fmax(fabs(wanted[i]), fabs(tn_tensor_at(got, i))));
    for (int64_t i = 0; i < n; i++) {
        const double g = tn_tensor_at(got, i);
        if (fabs(g - wanted[i]) <= 1e-6 * largest) continue;
        snprintf(text, sizeof text, "%s: d %s [%lld]: gradient %.12g, central difference %.12g",
                 what, tn_symbol_name(bench.g, p->x), (long long)i, g, wanted[i]);
        return report(line, file, false, text);
    }
    return report(line, file, true, what);
}

// What one comparison works with; all arrays have n or n_out places.
typedef struct comparison {
    int line;
    const char *file, *what;
    const tn_point *points; // arguments, then the heads
    size_t n, n_out;
    tn_exec *e; // of y
    tn_tensor *weights[MAX_ARGS];
} comparison;

static tn_exec *bind_points(tn_symbol s, const tn_point *points, size_t n)
{
    tn_named_tensor given[MAX_ARGS];
    const tn_names used = tn_arguments(bench.g, s);
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = tn_symbol_name(bench.g, points[i].x);
        for (size_t j = 0; j < used.n; j++)
            if (strcmp(used.v[j], name) == 0) {
                given[m++] = (tn_named_tensor){name, points[i].value};
                break;
            }
    }
    return tn_simple_bind(bench.g, s, .backends = tn_backends(), .args = {m, given});
}

// Compares what the gradient symbol gives for each point with differences of y.
static bool compare_all(const comparison *c, tn_symbol gradient, size_t n_with_heads)
{
    tn_exec *e = bind_points(gradient, c->points, n_with_heads);
    bool ok = tn_check_ok(c->line, c->file, tn_graph_status(bench.g), tn_graph_error(bench.g));
    if (e && ok) {
        run_forward(e);
        ok = tn_check_ok(c->line, c->file, tn_exec_status(e), tn_exec_error(e));
    }
    for (size_t i = 0, out = 0; e && ok && i < c->n; i++) {
        const tn_point *p = &c->points[i];
        if (p->fixed) continue;
        const int64_t size = tn_tensor_size(p->value);
        double *wanted = calloc((size_t)size + 1, sizeof *wanted);
        for (int64_t j = 0; j < size; j++) wanted[j] = difference(c->e, c->weights, p->value, j);
        ok = compare(c->line, c->file, c->what, p, tn_exec_output(e, out++), wanted);
        free(wanted);
    }
    tn_exec_free(e);
    return ok;
}

// The gradients of y, as one symbol: heads are new variables, which become points behind the n.
static tn_symbol gradient_of(const comparison *c, tn_symbol y, tn_point *points)
{
    tn_symbol outputs[MAX_ARGS], heads[MAX_ARGS], x[MAX_ARGS], dx[MAX_ARGS];
    char name[32];
    size_t m = 0;
    for (size_t i = 0; i < c->n_out; i++) {
        snprintf(name, sizeof name, "head%zu_%zu", i, c->n);
        outputs[i] = tn_output(bench.g, y, i);
        heads[i] = tn_var(name);
        points[c->n + i] = (tn_point){heads[i], c->weights[i], false};
    }
    for (size_t i = 0; i < c->n; i++)
        if (!points[i].fixed) x[m++] = points[i].x;
    tn_gradient(bench.g, (tn_symbols){c->n_out, outputs}, (tn_symbols){c->n_out, heads},
                (tn_symbols){m, x}, dx);
    return tn_group(bench.g, (tn_symbols){m, dx});
}

bool tn_check_gradient(int line, const char *file, const char *what, tn_symbol y,
                       const tn_point *given, size_t n, int order)
{
    tn_point points[MAX_ARGS];
    comparison c = {line, file, what, points, n, 0, NULL, {NULL}};
    memcpy(points, given, n * sizeof *points);
    c.e = bind_points(y, points, n);
    bool ok = tn_check_ok(line, file, tn_graph_status(bench.g), tn_graph_error(bench.g)) && c.e;
    if (ok) {
        run_forward(c.e);
        ok = tn_check_ok(line, file, tn_exec_status(c.e), tn_exec_error(c.e));
        c.n_out = tn_exec_num_outputs(c.e);
    }
    ok = ok && n + c.n_out <= MAX_ARGS;
    for (size_t i = 0; ok && i < c.n_out; i++)
        c.weights[i] = weights_like(tn_exec_output(c.e, i), i + n);
    if (ok) {
        const tn_symbol gradient = gradient_of(&c, y, points);
        ok = compare_all(&c, gradient, n + c.n_out);
        if (ok && order > 1)
            ok = tn_check_gradient(line, file, what, gradient, points, n + c.n_out, order - 1);
    }
    for (size_t i = 0; i < c.n_out; i++) tn_tensor_release(c.weights[i]);
    tn_exec_free(c.e);
    if (!ok) printf("\n    in the case %s\n", what);
    return ok;
}

// ------------------------------------------------------------------ tables of cases

// "2,3" → dims; returns what follows the word.
static const char *next_shape(const char *text, int64_t dim[TN_MAX_NDIM], size_t *ndim)
{
    *ndim = 0;
    while (*text == ' ') text++;
    while (*text && *text != ' ') {
        char *end;
        dim[(*ndim)++] = strtoll(text, &end, 10);
        text = *end == ',' ? end + 1 : end;
    }
    return text;
}

static void check_case(int line, const char *file, const tn_case *c)
{
    tn_point points[MAX_ARGS];
    tn_symbol in[MAX_ARGS];
    char name[32], what[TEXT];
    size_t n = 0;
    const bool ranged = c->lo != 0 || c->hi != 0;

    tn_fresh();
    for (const char *at = c->shapes; *at && n < MAX_ARGS / 2; n++) {
        int64_t dim[TN_MAX_NDIM];
        size_t ndim;
        at = next_shape(at, dim, &ndim);
        snprintf(name, sizeof name, "%zu", n);
        const bool fixed = has_word(c->fixed, name);
        snprintf(name, sizeof name, "x%zu", n);
        in[n] = tn_var(name);
        points[n] = (tn_point){
            in[n],
            tn_sample(TN_F64, (tn_dims){ndim, dim}, ranged ? c->lo : -2, ranged ? c->hi : 2, n + 1),
            fixed};
    }
    const tn_symbol y = tn_op_make(line, file, c->op, c->params, (tn_symbols){n, in});
    snprintf(what, sizeof what, "%s(%s) of %s", c->op, c->params ? c->params : "", c->shapes);
    tn_check_gradient(line, file, what, y, points, n, c->first_order ? 1 : 2);
    for (size_t i = 0; i < n; i++) tn_tensor_release(points[i].value);
}

void tn_check_cases(int line, const char *file, const tn_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) check_case(line, file, &cases[i]);
}
