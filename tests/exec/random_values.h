// tests/exec/random_values.h: the values that a random network has so far, and choices among them.
#ifndef TENON_TESTS_RANDOM_VALUES_H
#define TENON_TESTS_RANDOM_VALUES_H

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tn_numeric.h"

enum { RN_VALUES = 96, RN_VARS = 40, RN_HEADS = 8, RN_BOUND = 8, RN_ELEMENTS = 240 };

typedef struct rn_value {
    tn_symbol s;
    tn_shape shape;
    double most; // bound on absolute values
    bool exact;  // variable elements, moved about
} rn_value;

typedef struct rn_var {
    tn_symbol s;
    tn_shape shape;
    double lo, hi;
    bool integer; // whole numbers: labels and indices, which have no gradient
    char name[16];
} rn_var;

typedef struct rn_net {
    uint64_t state;
    tn_dtype dtype;
    bool jumps;  // operators that jump may read everything
    bool smooth; // everything can be differentiated: no losses, no random numbers, no BlockGrad
    bool empty;  // extents may be 0
    bool groups; // operators get a __ctx_group__ "one" or "two", or none
    bool random; // random numbers are drawn
    rn_value v[RN_VALUES];
    size_t n;
    rn_var var[RN_VARS];
    size_t n_vars;
    tn_symbol heads[RN_HEADS];
    size_t n_heads;
} rn_net;

// SplitMix64: Steele, Lea, Flood, 2014.
static inline uint64_t rn_draw(rn_net *r, uint64_t below)
{
    uint64_t z = (r->state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (z ^ (z >> 31)) % below;
}

static inline bool rn_one_in(rn_net *r, uint64_t n)
{
    return rn_draw(r, n) == 0;
}

#define RN_OF(r, ...)       \
    ((const char *const[]){ \
        __VA_ARGS__})[rn_draw((r), sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))]

// Text of parameters, valid until the next but three.
__attribute__((format(printf, 1, 2))) static inline const char *rn_text(const char *format, ...)
{
    static char texts[4][256];
    static unsigned next;
    char *text = texts[next++ % 4];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof texts[0], format, ap);
    va_end(ap);
    return text;
}

// ------------------------------------------------------------------ values

// Shapes of the variables below s, for inference and binding.
static inline tn_shapes rn_shapes(const rn_net *r, tn_symbol s, tn_named_dims shapes[RN_VARS])
{
    const tn_names used = tn_arguments(bench.g, s);
    size_t n = 0;
    for (size_t i = 0; i < r->n_vars; i++)
        for (size_t k = 0; k < used.n; k++) {
            const rn_var *x = &r->var[i];
            if (strcmp(used.v[k], x->name) != 0) continue;
            shapes[n++] = (tn_named_dims){x->name, {(size_t)x->shape.ndim, x->shape.dim}};
        }
    return (tn_shapes){n, shapes};
}

static inline bool rn_known(const rn_net *r, tn_symbol s, tn_shape *shape)
{
    tn_named_dims shapes[RN_VARS];
    const tn_shape_result *known = tn_infer_shape(bench.g, s, rn_shapes(r, s, shapes));
    if (known) *shape = known->outs[0].shape;
    return known != NULL;
}

static inline rn_value *rn_add(rn_net *r, tn_symbol s, double most, bool exact)
{
    rn_value x = {.s = s, .most = most, .exact = exact};
    if (r->n == RN_VALUES) return NULL;
    if (most > RN_BOUND || most != most) {
        x = (rn_value){.s = tn_op("tanh", NULL, s), .most = 1};
    }
    if (!rn_known(r, x.s, &x.shape)) return NULL;
    r->v[r->n] = x;
    return &r->v[r->n++];
}

// A value: often one of the newest.
static inline rn_value rn_pick(rn_net *r)
{
    const size_t recent = r->n < 4 ? r->n : 4;
    return rn_one_in(r, 2) ? r->v[rn_draw(r, r->n)] : r->v[r->n - 1 - rn_draw(r, recent)];
}

// One that an operator with a jump may read.
static inline rn_value rn_pick_exact(rn_net *r)
{
    rn_value x = rn_pick(r);
    for (int i = 0; i < 20 && !x.exact && !r->jumps; i++) x = rn_pick(r);
    return x.exact || r->jumps ? x : r->v[0];
}

// One of `rank`, a new variable if there is none.
static inline bool rn_same(const tn_shape *a, const tn_shape *b)
{
    bool same = a->ndim == b->ndim;
    for (int32_t i = 0; same && i < a->ndim; i++) same = a->dim[i] == b->dim[i];
    return same;
}

static inline tn_shape rn_dims(size_t n, const int64_t *dim)
{
    tn_shape s = {.ndim = (int32_t)n};
    memcpy(s.dim, dim, n * sizeof *dim);
    return s;
}
#define RN_DIMS(...)                                                  \
    rn_dims(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t), \
            (const int64_t[]){__VA_ARGS__})

// A variable of that shape; an old one sometimes, if it has the same bounds.
static inline rn_value rn_variable(rn_net *r, tn_shape shape, double lo, double hi, bool integer)
{
    rn_var *x = NULL;
    for (size_t i = 0; i < r->n_vars && !x; i++) {
        x = &r->var[i];
        const bool fits = rn_same(&x->shape, &shape) && x->lo >= lo && x->hi <= hi;
        if (!fits || x->integer != integer || rn_one_in(r, 2)) x = NULL;
    }
    if (!x && r->n_vars < RN_VARS) {
        x = &r->var[r->n_vars++];
        *x = (rn_var){.shape = shape, .lo = lo, .hi = hi, .integer = integer};
        snprintf(x->name, sizeof x->name, "%s%zu", integer ? "i" : "x", r->n_vars);
        x->s = tn_variable(bench.g, x->name, .dtype = r->dtype);
    }
    if (!x) return (rn_value){.s = TN_NONE};
    return (rn_value){x->s, shape, fmax(fabs(lo), fabs(hi)), true};
}

static inline rn_value rn_weight(rn_net *r, tn_shape shape)
{
    return rn_variable(r, shape, -1, 1, false);
}

static inline int64_t rn_extent(rn_net *r)
{
    return r->empty && rn_one_in(r, 6) ? 0 : 1 + (int64_t)rn_draw(r, 4);
}

// A value of the same shape: itself, another one, or a new variable.
static inline rn_value rn_partner(rn_net *r, const rn_value *x, bool exact)
{
    size_t found = r->n;
    for (size_t i = 0, at = rn_draw(r, r->n); i < r->n && found == r->n; i++, at++)
        if (rn_same(&r->v[at % r->n].shape, &x->shape) && (!exact || r->v[at % r->n].exact))
            found = at % r->n;
    return found < r->n && !rn_one_in(r, 6) ? r->v[found] : rn_weight(r, x->shape);
}

// An axis, counted from behind sometimes; x has one.
static inline int rn_axis(rn_net *r, const rn_value *x, int *plain)
{
    *plain = (int)rn_draw(r, (uint64_t)x->shape.ndim);
    return rn_one_in(r, 3) ? *plain - x->shape.ndim : *plain;
}

#endif
