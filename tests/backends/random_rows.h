// tests/backends/random_rows.h: calls of operators on random shapes: one backend alone against the
// reference, and against itself with other numbers of threads.
#ifndef TENON_TESTS_RANDOM_ROWS_H
#define TENON_TESTS_RANDOM_ROWS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/passes/op_rows.h"
#include "tests/tn_numeric.h"

// More threads than the smallest machine has CPUs, so that work is really cut.
__attribute__((constructor)) static inline void seven_threads(void)
{
    setenv("TENON_NUM_THREADS", "7", 1);
}

static inline size_t backend_index(const char *name)
{
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++)
        if (strcmp(tn_env_backend(bench.env, i)->name, name) == 0) return i;
    return SIZE_MAX;
}

static inline bool ready(void)
{
    if (backend_index("blas") != SIZE_MAX) return true;
    tn_skip("the blas backend is not built");
    return false;
}

// ------------------------------------------------------------------ random calls

// A call whose shapes hold letters a to e: extents that are drawn, in params written $a. Inputs are
// drawn from lo … hi, by default -2 … 2.
typedef struct random_row {
    const char *op, *params, *shapes;
    double lo, hi;
    bool reals_only;  // float32 and float64
    bool floats_only; // those and float16 and bfloat16
    // Where a range of numbers says too little: the value of input i, of that shape. May be NULL.
    tn_tensor *(*value)(size_t i, tn_dtype dtype, const tn_shape *shape);
    uint16_t outputs; // how many are compared, hidden ones too; 0: the visible ones
} random_row;

// The tensor of these numbers, which are freed: what `value` of a row makes them of.
static inline tn_tensor *tensor_of(double *v, tn_dtype dtype, const tn_shape *shape)
{
    tn_tensor *wide =
        tn_tensor_from(bench.env, TN_F64, (tn_dims){(size_t)shape->ndim, shape->dim}, v);
    tn_tensor *t = wide ? tn_tensor_cast(wide, dtype) : NULL;
    CU_ASSERT_FATAL(t != NULL);
    tn_tensor_release(wide);
    free(v);
    return t;
}

typedef struct random_rows {
    size_t n;
    const random_row *v;
} random_rows;

#define ROW(op_, params_, ...)                                  \
    {                                                           \
        .op = (op_), .params = (params_), .shapes = __VA_ARGS__ \
    }
enum { TEXT_SIZE = 160 };

// A row with its letters replaced by extents: "$a" in params, "a" in shapes.
typedef struct drawn {
    char params[TEXT_SIZE], shapes[TEXT_SIZE];
    op_row row;
    uint16_t outputs;
} drawn;

static inline void replace(char out[TEXT_SIZE], const char *text, const int64_t extent[5],
                           bool dollar)
{
    size_t n = 0;
    for (; *text && n < TEXT_SIZE - 24; text++) {
        if (dollar && *text == '$') {
            text++;
            n += (size_t)snprintf(out + n, TEXT_SIZE - n, "%lld", (long long)extent[*text - 'a']);
        } else if (!dollar && *text >= 'a' && *text <= 'e') {
            // "b9" is at least 9, "b*4" four times b
            const bool large = text[1] == '9', times = text[1] == '*';
            n += (size_t)snprintf(out + n, TEXT_SIZE - n, "%lld",
                                  (long long)extent[*text - 'a'] * (times ? text[2] - '0' : 1) +
                                      (large ? 9 : 0));
            text += times ? 2 : large ? 1 : 0;
        } else {
            out[n++] = *text;
        }
    }
    out[n] = 0;
}

static inline void draw(drawn *d, const random_row *r, const int64_t extent[5])
{
    replace(d->params, r->params ? r->params : "", extent, true);
    replace(d->shapes, r->shapes, extent, false);
    d->row = (op_row){r->op, r->params ? d->params : NULL, d->shapes};
    d->outputs = r->outputs;
}

static const char *const names[] = {"x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7"};

// Of input i: what a batch norm or KL penalty has for each channel is never in 16 bits.
static inline tn_dtype dtype_of_input(const char *op, size_t i, tn_dtype dtype)
{
    const size_t data = strncmp(op, "_backward_", 10) == 0 ? 2 : 1;
    const bool half = dtype == TN_F16 || dtype == TN_BF16;
    const bool by_channel = strstr(op, "BatchNorm") || strstr(op, "SparseReg");
    return half && i >= data && by_channel ? TN_F32 : dtype;
}

// Binds the row on one backend alone. Shapes are given here, where they may be empty.
static inline tn_exec *bind_row(const drawn *d, const char *backend, tn_dtype dtype,
                                int32_t threads)
{
    tn_shape shape[8];
    tn_named_dims shapes[8];
    tni_entry in[8];
    uint32_t n = 0;
    tn_fresh();
    tn_symbol x = tn_var("unused");
    for (const char *at = d->row.shapes; *at && n < 8; n++) {
        at = op_row_shape(at, &shape[n]);
        x = tn_variable(bench.g, names[n], .dtype = dtype_of_input(d->row.op, n, dtype));
        in[n] = (tni_entry){x.node, x.out};
        shapes[n] = (tn_named_dims){names[n], {(size_t)shape[n].ndim, shape[n].dim}};
    }
    const tni_entry y = tni_build(bench.g, NULL, d->row.op, d->row.params, in, n, "op", 0);
    tn_symbol out[4], call = {y.node, TN_ALL_OUTPUTS, x.graph};
    for (uint16_t i = 0; i < d->outputs; i++) out[i] = (tn_symbol){y.node, i, x.graph};
    if (d->outputs) call = tn_group(bench.g, (tn_symbols){d->outputs, out});
    return tn_simple_bind(bench.g, call, .backends = backend, .shapes = {n, shapes},
                          .grad_req = TN_NULL, .threads = threads, .seed = 5);
}

// Results are sums of products of inputs: linear in the absolute values of each. In 16 bits what
// counts is that they are rounded once.
static inline bool is_sum(const random_row *r, tn_dtype dtype)
{
    return strstr(r->op, "onvolution") != NULL && (dtype == TN_F32 || dtype == TN_F64);
}

static inline void make_positive(tn_tensor *t)
{
    const bool single = tn_tensor_dtype(t) == TN_F32;
    float *f32 = tn_tensor_data(t);
    double *f64 = tn_tensor_data(t);
    for (int64_t i = 0; i < tn_tensor_size(t); i++)
        if (single)
            f32[i] = fabsf(f32[i]);
        else
            f64[i] = fabs(f64[i]);
}

// An executor of the row after a training forward on sampled inputs, or on their absolute values.
static inline tn_exec *run_row_of(const random_row *r, const drawn *d, const char *backend,
                                  tn_dtype dtype, int32_t threads, bool positive)
{
    tn_exec *e = bind_row(d, backend, dtype, threads);
    if (!TN_CHECK_GRAPH() || !e) {
        printf("\n    %s(%s) of %s on %s\n", d->row.op, d->params, tn_dtype_name(dtype), backend);
        return NULL;
    }
    const bool wide = r->lo == 0 && r->hi == 0;
    size_t i = 0;
    for (const char *at = d->row.shapes; *at && i < 8; i++) {
        tn_shape s;
        at = op_row_shape(at, &s);
        const tn_dtype kind = dtype_of_input(d->row.op, i, dtype);
        tn_tensor *t = r->value ? r->value(i, kind, &s)
                                : tn_sample(kind, (tn_dims){(size_t)s.ndim, s.dim},
                                            wide ? -2 : r->lo, wide ? 2 : r->hi, 7 + i);
        if (positive) make_positive(t);
        tn_exec_set_all(e, TN_TENSORS({names[i], t}), false);
        tn_tensor_release(t);
    }
    tn_forward(e, true);
    TN_CHECK_EXEC(e);
    return e;
}

static inline tn_exec *run_row(const random_row *r, const drawn *d, const char *backend,
                               tn_dtype dtype, int32_t threads)
{
    return run_row_of(r, d, backend, dtype, threads, false);
}

// ------------------------------------------------------------------ against reference

static inline double tolerance_of(tn_dtype dtype)
{
    return dtype == TN_F32    ? 1e-5
           : dtype == TN_F64  ? 1e-12
           : dtype == TN_F16  ? 1e-3
           : dtype == TN_BF16 ? 1e-2
                              : 0;
}

// How far elements may be from what is wanted: tolerance · max(1, |wanted|), or of a sum of n
// products p: 4 ε Σ|p|, ε the dtype's. Each addition rounds by at most ε/2 of the sum so far. That
// has about √n times the size of a product, and n roundings add up to about √n times one: n times
// ε/2 of a product's size, or ε/2 Σ|p|. 4 ε are eight such deviations: few for the 10⁵ elements
// that are looked at, many thousands less than a product too few.
static inline double allowed(tn_tensor *wanted, tn_tensor *sizes, int64_t i)
{
    const tn_dtype dtype = tn_tensor_dtype(wanted);
    if (!sizes) return tolerance_of(dtype) * fmax(1, fabs(tn_tensor_at(wanted, i)));
    return 4 * (dtype == TN_F32 ? 0x1p-23 : 0x1p-52) * tn_tensor_at(sizes, i);
}

// sizes: Σ|p| of each element, or NULL.
static inline bool same_values(tn_tensor *got, tn_tensor *wanted, tn_tensor *sizes)
{
    const int64_t n = got && wanted ? tn_tensor_size(wanted) : -1;
    if (n < 0 || tn_tensor_size(got) != n || tn_tensor_dtype(got) != tn_tensor_dtype(wanted))
        return false;
    for (int64_t i = 0; i < n; i++) {
        const double g = tn_tensor_at(got, i), w = tn_tensor_at(wanted, i);
        if (g == w || (isnan(g) && isnan(w))) continue;
        if (fabs(g - w) <= allowed(wanted, sizes, i)) continue;
        printf("\n    [%lld]: %.9g, wanted %.9g, off by %.2g of %.2g", (long long)i, g, w,
               fabs(g - w), allowed(wanted, sizes, i));
        return false;
    }
    return true;
}

static inline void compare_row(const random_row *r, const drawn *d, tn_dtype dtype)
{
    tn_exec *got = run_row(r, d, "blas", dtype, 0);
    tn_exec *wanted = run_row(r, d, "reference", dtype, 0);
    tn_exec *sizes = is_sum(r, dtype) ? run_row_of(r, d, "reference", dtype, 0, true) : NULL;
    bool ok = got && wanted && (sizes || !is_sum(r, dtype));
    for (size_t i = 0; ok && i < tn_exec_num_outputs(wanted); i++)
        ok = same_values(tn_exec_output(got, i), tn_exec_output(wanted, i),
                         sizes ? tn_exec_output(sizes, i) : NULL);
    const tn_names auxs = wanted ? tn_exec_auxiliary_states(wanted) : (tn_names){0, NULL};
    for (size_t i = 0; ok && i < auxs.n; i++)
        ok = same_values(tn_exec_aux(got, auxs.v[i]), tn_exec_aux(wanted, auxs.v[i]), NULL);
    CU_ASSERT(ok);
    if (!ok)
        printf("\n    %s(%s) of %s %s\n", d->row.op, d->row.params, tn_dtype_name(dtype),
               d->row.shapes);
    tn_exec_free(got);
    tn_exec_free(wanted);
    tn_exec_free(sizes);
}

// A number in lo … hi for each seed.
static inline int64_t pick(uint64_t seed, int64_t lo, int64_t hi)
{
    uint64_t z = (seed + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    return lo + (int64_t)((z ^ (z >> 31)) % (uint64_t)(hi - lo + 1));
}

// All rows, with extents up to `most`; where there are empty ones, those that can be bound. How
// many were compared.
static inline void compare_all(random_rows rows, tn_dtype dtype, uint64_t seed, int64_t least,
                               int64_t most)
{
    size_t n = 0;
    for (size_t i = 0; i < rows.n; i++) {
        const random_row *r = &rows.v[i];
        const bool real = dtype == TN_F32 || dtype == TN_F64;
        if (strcmp(r->op, "-") == 0 || (r->reals_only && !real)) continue;
        const bool half = dtype == TN_F16 || dtype == TN_BF16;
        if (r->floats_only && !real && !half) continue;
        if (!tn_env_backend_has(bench.env, backend_index("reference"), r->op, dtype)) continue;
        int64_t extent[5];
        for (uint64_t j = 0; j < 5; j++) extent[j] = pick(seed * 1000 + i * 5 + j, least, most);
        drawn d;
        draw(&d, r, extent);
        if (least == 0) {
            tn_exec *e = bind_row(&d, "reference", dtype, 1);
            tn_exec_free(e);
            if (!e) continue;
        }
        compare_row(r, &d, dtype);
        n++;
    }
    CU_ASSERT(n > rows.n / 5);
}

static inline void same_bits(const random_row *r, const drawn *d)
{
    static const int32_t threads[] = {2, 3, 7};
    tn_exec *wanted = run_row(r, d, "blas", TN_F32, 1);
    for (size_t t = 0; wanted && t < 3; t++) {
        tn_exec *got = run_row(r, d, "blas", TN_F32, threads[t]);
        for (size_t i = 0; got && i < tn_exec_num_outputs(got); i++) {
            tn_tensor *a = tn_exec_output(got, i), *b = tn_exec_output(wanted, i);
            const bool same = memcmp(tn_tensor_data(a), tn_tensor_data(b), tn_tensor_bytes(a)) == 0;
            CU_ASSERT(same);
            if (!same)
                printf("\n    %s(%s) %s differs with %d threads\n", r->op, d->params, d->shapes,
                       (int)threads[t]);
        }
        tn_exec_free(got);
    }
    tn_exec_free(wanted);
}

#endif
