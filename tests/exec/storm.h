// tests/exec/storm.h: drawn calls of any operator, valid and invalid; a seed and a number name one.
#ifndef TENON_TESTS_STORM_H
#define TENON_TESTS_STORM_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/ops/row_names.h"
#include "tests/passes/op_rows.h"

enum { STORM_MOST_IN = 8, STORM_TEXT = 6000 };

// One call: op(params) of n_in given inputs; what is not given is made by composition.
typedef struct storm_call {
    uint64_t state; // of the draws
    const tni_op *op;
    char params[STORM_TEXT]; // "key=value; key=value"
    size_t n_in;
    tn_shape shape[STORM_MOST_IN];
    tn_dtype dtype[STORM_MOST_IN];
    bool train;
} storm_call;

// Source of the generator: Steele, Lea, Flood, SplitMix64, 2014.
static inline uint64_t storm_draw(storm_call *c, uint64_t n)
{
    uint64_t z = c->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (z ^ (z >> 31)) % n;
}

static inline bool storm_one_in(storm_call *c, uint64_t n)
{
    return storm_draw(c, n) == 0;
}

#define STORM_OF(c, array) ((array)[storm_draw((c), sizeof(array) / sizeof *(array))])

// ------------------------------------------------------------------ numbers

static inline int64_t storm_integer(storm_call *c, const tni_param *p)
{
    static const int64_t some[] = {0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 7, 8, -1, -1, -2, -3, -4};
    static const int64_t wild[] = {100,       1000,           65000,     100000,
                                   -100,      INT32_MAX,      INT32_MIN, 4294967296,
                                   INT64_MAX, -INT64_MAX + 1, -65000};
    if (p && isfinite(p->lo) && storm_one_in(c, 4))
        return (int64_t)fmin(9e18, p->lo) - (int64_t)storm_draw(c, 2);
    if (p && isfinite(p->hi) && storm_one_in(c, 12))
        return (int64_t)fmin(9e18, p->hi) + (int64_t)storm_draw(c, 2);
    if (storm_one_in(c, 14)) return STORM_OF(c, wild);
    return STORM_OF(c, some);
}

static inline double storm_real(storm_call *c, const tni_param *p)
{
    static const double some[] = {0, 1, -1, 0.5, 0.25, 2, 3, 0.1, 1e-3, 7, -0.5};
    static const double wild[] = {1e-30, 1e30, -1e30, 1e308, 1e-320, 65000, -1e9, 4e9, 1e19};
    if (storm_one_in(c, 24))
        return storm_one_in(c, 2) ? NAN : storm_one_in(c, 2) ? INFINITY : -INFINITY;
    if (p && isfinite(p->lo) && storm_one_in(c, 6)) return p->lo;
    if (p && isfinite(p->hi) && storm_one_in(c, 6)) return p->hi;
    if (storm_one_in(c, 10)) return STORM_OF(c, wild);
    return STORM_OF(c, some);
}

static inline int64_t storm_extent(storm_call *c)
{
    static const int64_t some[] = {1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 8, 0};
    static const int64_t wild[] = {17, 100, 65000, INT32_MAX, 4294967296, INT64_MAX, -1, -1, -1};
    return storm_one_in(c, 12) ? STORM_OF(c, wild) : STORM_OF(c, some);
}

static inline tn_shape storm_shape(storm_call *c)
{
    static const int32_t ranks[] = {-1, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 6, 8};
    tn_shape s = {.ndim = STORM_OF(c, ranks)};
    for (int32_t i = 0; i < s.ndim; i++) s.dim[i] = storm_extent(c);
    return s;
}

// ------------------------------------------------------------------ parameters

static inline void storm_add(storm_call *c, const char *text)
{
    const size_t n = strlen(c->params);
    snprintf(c->params + n, sizeof c->params - n, "%s", text);
}

static inline void storm_number(storm_call *c, const tni_param *p)
{
    char text[64];
    const bool real = p->decl.type == TN_P_F64 || p->decl.type == TN_P_F64S;
    if (storm_one_in(c, 24))
        snprintf(text, sizeof text, "None");
    else if (real)
        snprintf(text, sizeof text, "%.17g", storm_real(c, p));
    else
        snprintf(text, sizeof text, "%lld", (long long)storm_integer(c, p));
    storm_add(c, text);
}

static inline void storm_list(storm_call *c, const tni_param *p)
{
    static const size_t lengths[] = {0, 1, 1, 2, 2, 2, 2, 3, 3, 4, 5, 8, 9};
    const size_t n = storm_one_in(c, 60) ? 70 : STORM_OF(c, lengths);
    storm_add(c, "(");
    for (size_t i = 0; i < n; i++) {
        storm_number(c, p);
        storm_add(c, ",");
    }
    storm_add(c, ")");
}

// A value that mostly suits a parameter of that type, and sometimes does not.
static inline void storm_value(storm_call *c, const tni_param *p)
{
    static const char *const wrong[] = {
        "",      "nonsense", "(",   "None", "()",   "1e999", "-",
        "(1,2)", "0x",       "nan", ";",    "True", "2",     "99999999999999999999"};
    static const char *const bools[] = {"True", "False", "1", "0"};
    size_t n = 0;
    if (storm_one_in(c, 40)) {
        storm_add(c, STORM_OF(c, wrong));
        return;
    }
    switch (p->decl.type) {
    case TN_P_BOOL: storm_add(c, STORM_OF(c, bools)); return;
    case TN_P_DTYPE: storm_add(c, tn_dtype_name((tn_dtype)storm_draw(c, TN_DTYPE_END))); return;
    case TN_P_ENUM:
        while (p->choices[n]) n++;
        storm_add(c, p->choices[storm_draw(c, n)]);
        return;
    case TN_P_STR: storm_add(c, storm_one_in(c, 2) ? "" : "cpu(0)"); return;
    case TN_P_I64S:
    case TN_P_F64S: storm_list(c, p); return;
    default: storm_number(c, p);
    }
}

static inline void storm_param(storm_call *c, const tni_param *p)
{
    storm_add(c, p->decl.name);
    storm_add(c, "=");
    storm_value(c, p);
    storm_add(c, "; ");
}

// All required parameters and some of the others, none of which needs to fit the rest.
static inline void storm_params(storm_call *c)
{
    for (uint32_t i = 0; i < c->op->n_params; i++) {
        const tni_param *p = &c->op->params[i];
        char text[64];
        if ((int32_t)i == c->op->count_param && !storm_one_in(c, 10)) {
            snprintf(text, sizeof text, "%s=%zu; ", p->decl.name,
                     c->n_in + 1 > c->op->n_in ? c->n_in + 1 - c->op->n_in : 1);
            storm_add(c, text);
        } else if ((!p->decl.def && !storm_one_in(c, 50)) || storm_one_in(c, 3)) {
            storm_param(c, p);
        }
    }
}

// ------------------------------------------------------------------ calls

// Parameters and shapes of a valid call, with some changes.
static inline void storm_from_row(storm_call *c, const op_row *row)
{
    const bool params = storm_one_in(c, 3), shapes = storm_one_in(c, 3);
    for (const char *at = row->shapes; *at && c->n_in < STORM_MOST_IN; c->n_in++)
        at = op_row_shape(at, &c->shape[c->n_in]);
    if (row->params) {
        storm_add(c, row->params);
        storm_add(c, "; ");
    }
    for (size_t i = 0; params && c->op->n_params && i < 1 + storm_draw(c, 2); i++) {
        const tni_param *p = &c->op->params[storm_draw(c, c->op->n_params)];
        char key[64];
        snprintf(key, sizeof key, "%s=", p->decl.name);
        if (!strstr(c->params, key)) storm_param(c, p);
    }
    for (size_t i = 0; shapes && c->n_in && i < 1 + storm_draw(c, 2); i++) {
        tn_shape *s = &c->shape[storm_draw(c, c->n_in)];
        if (storm_one_in(c, 6))
            *s = storm_shape(c);
        else if (s->ndim > 0)
            s->dim[storm_draw(c, (uint64_t)s->ndim)] = storm_extent(c);
    }
}

// All shapes alike now and then, so that calls of several inputs fit.
static inline void storm_from_nothing(storm_call *c)
{
    const bool alike = storm_one_in(c, 2);
    c->n_in = storm_one_in(c, 20) ? storm_draw(c, STORM_MOST_IN) : c->op->n_in;
    if (c->op->count_param >= 0) c->n_in += storm_draw(c, 3);
    if (c->n_in > STORM_MOST_IN) c->n_in = STORM_MOST_IN;
    for (size_t i = 0; i < c->n_in; i++) c->shape[i] = i && alike ? c->shape[0] : storm_shape(c);
    storm_params(c);
}

static inline const op_row *storm_row(storm_call *c)
{
    size_t n = 0;
    for (size_t i = 0; i < N_OP_ROWS; i++) n += strcmp(op_rows[i].op, c->op->decl.name) == 0;
    if (!n) return NULL;
    size_t k = storm_draw(c, n);
    for (size_t i = 0; i < N_OP_ROWS; i++)
        if (strcmp(op_rows[i].op, c->op->decl.name) == 0 && k-- == 0) return &op_rows[i];
    return NULL;
}

static inline void storm_dtypes(storm_call *c)
{
    static const tn_dtype any[] = {TN_F32, TN_F64, TN_F16, TN_BF16, TN_I8,
                                   TN_U8,  TN_I32, TN_I64, TN_BOOL, TN_DTYPE_NONE};
    const tn_dtype one = storm_one_in(c, 2) ? TN_F32 : STORM_OF(c, any);
    const bool mixed = storm_one_in(c, 8);
    for (size_t i = 0; i < c->n_in; i++) c->dtype[i] = mixed ? STORM_OF(c, any) : one;
}

// Is it a row of <tenon/elementwise.h>? There are many, and they are alike: they come less often.
static inline bool storm_elementwise(const char *op)
{
    return row_name(strncmp(op, "_backward_", 10) == 0 ? op + 10 : op);
}

static inline void storm_make(storm_call *c, uint64_t seed, uint64_t number)
{
    const tni_registry *r = tni_env_registry(bench.env);
    memset(c, 0, sizeof *c);
    c->state = seed * 0x9E3779B97F4A7C15u ^ number * 0xD1B54A32D192ED03u;
    do c->op = r->ops[storm_draw(c, r->n_ops)];
    while (*c->op->plugin || (storm_elementwise(c->op->decl.name) && !storm_one_in(c, 4)));
    const op_row *row = storm_one_in(c, 3) ? NULL : storm_row(c);
    if (row)
        storm_from_row(c, row);
    else
        storm_from_nothing(c);
    storm_dtypes(c);
    c->train = storm_one_in(c, 2);
}

// Fills a tensor with numbers of all kinds.
static inline void storm_fill(storm_call *c, tn_tensor *t)
{
    static const double odd[] = {NAN,   INFINITY, -INFINITY, 1e30,        -1e30,
                                 1e308, -7,       100,       2147483648.0};
    static const double low[] = {0, 1, 2, 3, -1, 0.5};
    const int64_t n = tn_tensor_size(t);
    double *v = malloc((size_t)(n + 1) * sizeof *v);
    const uint64_t kind = storm_draw(c, 4);
    for (int64_t i = 0; v && i < n; i++) {
        v[i] = (double)storm_draw(c, 4001) / 1000 - 2;
        if (kind == 1) v[i] = STORM_OF(c, low);
        if (kind == 2 && storm_one_in(c, 4)) v[i] = STORM_OF(c, odd);
        if (kind == 3) v[i] *= 100;
    }
    const tn_shape s = tn_tensor_shape(t);
    tn_tensor *from = v ? tn_tensor_from(bench.env, TN_F64, tn_shape_dims(&s), v) : NULL;
    if (from) tn_tensor_copy(t, from);
    tn_tensor_release(from);
    free(v);
}

#endif
