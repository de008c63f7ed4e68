// backends/blas/blas_elementwise.c: the rows of <tenon/elementwise.h> as kernels.
//
// The C text of each row becomes loops over double and over int64_t; blas_fast.c has loops over
// float for the common rows. A kernel chooses its loop at setup, blas_map.c runs it: float32 uses
// float loops where there are any and otherwise double, the 16-bit floats likewise.
#ifndef T

#include <tenon/elementwise.h>
#include <tenon/scalar.h>

#include "blas.h"

// ------------------------------------------------------------------ loops

// before: what does not change from element to element.
#define LOOP(name, before, text)                                                \
    BLAS_CLONES static void name(int64_t n, const void *const in[3], void *out) \
    {                                                                           \
        const T *p = in[0], *q = in[1], *r = in[2];                             \
        T *to = out;                                                            \
        (void)p, (void)q, (void)r;                                              \
        before BLAS_SIMD for (int64_t i = 0; i < n; i++) to[i] = (T)(text);     \
    }
#define NO_LOOPS(op, dtypes, uses, forward, derivative)

// A row's text as a function of one element, and the loops over it. Operands are dy and what the
// derivative uses; a and b.
#define FORWARD(op, text)              \
    BLAS_INLINE T N(forward_##op)(T x) \
    {                                  \
        return (T)(text);              \
    }                                  \
    LOOP(N(loop_##op), , N(forward_##op)(p[i]))
#define DERIVATIVE(op, text, x_, y_)           \
    BLAS_INLINE T N(derivative_##op)(T x, T y) \
    {                                          \
        (void)x, (void)y;                      \
        return (T)(text);                      \
    }                                          \
    LOOP(N(loop_backward_##op), , p[i] * N(derivative_##op)(x_, y_))
#define DERIVATIVE_X(op, text) DERIVATIVE(op, text, q[i], 0)
#define DERIVATIVE_Y(op, text) DERIVATIVE(op, text, 0, q[i])
#define DERIVATIVE_XY(op, text) DERIVATIVE(op, text, q[i], r[i])
#define DERIVATIVE_NONE(op, text)
#define DERIVATIVE_ZERO(op, text)

#define UNARY_LOOPS(op, dtypes, uses, forward, derivative, doc) \
    LOOPS_OF_##dtypes(op, uses, forward, derivative)
#define BINARY_LOOPS(op, scalar, rscalar, broadcast, grads, forward, da, db, doc) \
    BLAS_INLINE T N(binary_##op)(T a, T b)                                        \
    {                                                                             \
        return (T)(forward);                                                      \
    }                                                                             \
    LOOP(N(op##_vv), , N(binary_##op)(p[i], q[i]))                                \
    LOOP(N(op##_vs), const T one = q[0];, N(binary_##op)(p[i], one))              \
    LOOP(N(op##_sv), const T one = p[0];, N(binary_##op)(one, q[i]))

#define BOTH_LOOPS(op, uses, forward, derivative) \
    FORWARD(op, forward) DERIVATIVE_##uses(op, derivative)
#define NONE_OF_THEM(op, uses, forward, derivative)

#define THIS_FILE "blas_elementwise.c"
#define N_(name, kind) name##kind

#define T double
#define N(name) N_(name, _f64)
#define pymod pymod_real
#define LOOPS_OF_ALL BOTH_LOOPS
#define LOOPS_OF_FLOATS BOTH_LOOPS
#include THIS_FILE
#undef T
#undef N
#undef pymod
#undef LOOPS_OF_FLOATS

// Rounding an integer changes nothing; floats only: no loops.
#define T int64_t
#define N(name) N_(name, _i64)
#define pymod pymod_int
#define pow pow_int
#define hypot hypot_int
#define round(x) (x)
#define floor(x) (x)
#define ceil(x) (x)
#define trunc(x) (x)
#define LOOPS_OF_FLOATS NONE_OF_THEM
#include THIS_FILE
#undef T
#undef N
#undef pymod
#undef pow
#undef hypot
#undef round
#undef floor
#undef ceil
#undef trunc

// The only row whose C text can trap.
#define T int64_t
LOOP(quotient_vv, , quotient_int(p[i], q[i]))
LOOP(quotient_vs, const T one = q[0];, quotient_int(p[i], one))
LOOP(quotient_sv, const T one = p[0];, quotient_int(one, q[i]))
#undef T

// ------------------------------------------------------------------ tables of them

typedef struct entry {
    const char *name;
    const char *scalar, *rscalar, *broadcast; // NULL in unary and backward rows
    int32_t n_operands;
    blas_loops f64, i64; // i64.form[0] NULL: floats only
} entry;

#define I64_ALL(loop) \
    {                 \
        {             \
            loop      \
        }             \
    }
#define I64_FLOATS(loop) \
    {                    \
        {                \
            NULL         \
        }                \
    }
#define UNARY_ENTRY(op, dtypes, uses, forward, derivative, doc)                     \
    {#op, NULL, NULL, NULL, 1, {{loop_##op##_f64}}, I64_##dtypes(loop_##op##_i64)}, \
        BACKWARD_##uses(op, I64_##dtypes)
#define BACKWARD_ENTRY(op, I64, n) \
    {"_backward_" #op,             \
     NULL,                         \
     NULL,                         \
     NULL,                         \
     n,                            \
     {{loop_backward_##op##_f64}}, \
     I64(loop_backward_##op##_i64)},
#define BACKWARD_X(op, I64) BACKWARD_ENTRY(op, I64, 2)
#define BACKWARD_Y(op, I64) BACKWARD_ENTRY(op, I64, 2)
#define BACKWARD_XY(op, I64) BACKWARD_ENTRY(op, I64, 3)
#define BACKWARD_NONE(op, I64)
#define BACKWARD_ZERO(op, I64)
#define BINARY_ENTRY(op, scalar, rscalar, broadcast, grads, forward, da, db, doc) \
    {#op,                                                                         \
     #scalar,                                                                     \
     #rscalar,                                                                    \
     #broadcast,                                                                  \
     2,                                                                           \
     {{op##_vv_f64, op##_vs_f64, op##_sv_f64}},                                   \
     {{op##_vv_i64, op##_vs_i64, op##_sv_i64}}},

static const entry entries[] = {TN_UNARY_ROWS(UNARY_ENTRY) TN_BINARY_ROWS(BINARY_ENTRY)};
enum { N_ENTRIES = sizeof entries / sizeof entries[0] };
#undef BACKWARD_X
#undef BACKWARD_Y
#undef BACKWARD_XY
#undef BACKWARD_NONE
#undef BACKWARD_ZERO

// ------------------------------------------------------------------ the kernel

#define FLOAT_HOLDS (TN_BIT(TN_F32) | TN_BIT(TN_F16) | TN_BIT(TN_BF16))

// The loops of a row for the dtype of input 0, and in m->number what they compute in.
static const blas_loops *choose(const tn_sdk_kernel *k, const entry *e, blas_map *m)
{
    static const blas_loops quotient = {{quotient_vv, quotient_vs, quotient_sv}};
    const tn_dtype dtype = k->call->in[0]->dtype;
    m->grain = BLAS_COSTLY;
    m->number = blas_is_float(dtype) ? TN_F64 : TN_I64;
    if (m->number == TN_I64) return strcmp(e->name, "_div") == 0 ? &quotient : &e->i64;
    const blas_loops *fast = blas_fast(e->name);
    for (uint32_t i = 0; i < k->call->n_in; i++)
        if (!(FLOAT_HOLDS & TN_BIT(k->call->in[i]->dtype))) fast = NULL;
    if (!fast) return &e->f64;
    m->number = TN_F32;
    if (dtype == TN_F32 && e->broadcast) m->grain = BLAS_CHEAP;
    return fast;
}

static const entry *entry_of(const char *name)
{
    for (int i = 0; i < N_ENTRIES; i++)
        if (strcmp(entries[i].name, name) == 0) return &entries[i];
    return NULL;
}

// a and b are inputs: equal shapes or broadcast. Otherwise one of them is the number.
static void set_binary(const tn_sdk_kernel *k, blas_map *m, const entry *e)
{
    const char *name = k->call->op->name;
    const blas_loops *loops = choose(k, e, m);
    if (strcmp(name, e->name) == 0 || strcmp(name, e->broadcast) == 0) {
        blas_map_broadcast(k, m, loops);
        return;
    }
    const double number = tn_call_f64(k->call, "scalar", 0);
    const bool reversed = strcmp(name, e->scalar) != 0;
    if (strcmp(name, "_power_scalar") == 0 && number == 2) { // its most common use
        blas_map_same(k, m, choose(k, entry_of("square"), m)->form[0], 1);
        return;
    }
    blas_map_same(k, m, loops->form[reversed ? BLAS_SV : BLAS_VS], 1);
    blas_map_constants(k, m, 1, &number);
    m->constants_first = reversed;
}

static bool is_of(const char *name, const entry *e)
{
    if (strcmp(name, e->name) == 0) return true;
    return e->broadcast && (strcmp(name, e->broadcast) == 0 || strcmp(name, e->scalar) == 0 ||
                            strcmp(name, e->rscalar) == 0);
}

static tn_status elementwise_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blas_map *m = k->state;
    for (int i = 0; i < N_ENTRIES; i++) {
        const entry *e = &entries[i];
        if (!is_of(k->call->op->name, e)) continue;
        if (e->broadcast)
            set_binary(k, m, e);
        else
            blas_map_same(k, m, choose(k, e, m)->form[0], e->n_operands);
        info->impl = m->number == TN_F32 ? "float loop" : "loop";
        return TN_OK;
    }
    return tn_fail(k->host, TN_E_INTERNAL, "%s: a row without a loop", k->call->op->name);
}

// An activation that is no row runs as its parts.
static const char *activation_cannot(const tn_call *call)
{
    for (int i = 0; i < N_ENTRIES; i++)
        if (tn_call_is(call, "act_type", entries[i].name)) return NULL;
    return "act_type: no kernel for this one";
}

// The activation is the unary operator of that name.
static tn_status activation_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blas_map *m = k->state;
    for (int i = 0; i < N_ENTRIES; i++) {
        const entry *e = &entries[i];
        if (!tn_call_is(k->call, "act_type", e->name)) continue;
        blas_map_same(k, m, choose(k, e, m)->form[0], 1);
        info->impl = m->number == TN_F32 ? "float loop" : "loop";
        return TN_OK;
    }
    return tn_fail(k->host, TN_E_UNSUPPORTED, "%s: no such act_type", k->call->name);
}

// ------------------------------------------------------------------ rows

#define ROW(op_, dtypes_)                  \
    {.op = op_,                            \
     .dtypes = dtypes_,                    \
     .flags = BLAS_FLAGS | TN_ROW_INPLACE, \
     .state_size = sizeof(blas_map),       \
     .setup = elementwise_setup,           \
     .run = blas_map_run},

#define DTYPES_ALL TN_ALL_DTYPES
#define DTYPES_FLOATS TN_FLOATS
#define BACKWARD_X(op, dtypes) ROW("_backward_" #op, DTYPES_##dtypes)
#define BACKWARD_Y(op, dtypes) ROW("_backward_" #op, DTYPES_##dtypes)
#define BACKWARD_XY(op, dtypes) ROW("_backward_" #op, DTYPES_##dtypes)
#define BACKWARD_NONE(op, dtypes)
#define BACKWARD_ZERO(op, dtypes)

#define UNARY_ROW(op, dtypes, uses, forward, derivative, doc) \
    ROW(#op, DTYPES_##dtypes) BACKWARD_##uses(op, dtypes)
// A row named "-", for an operator without rscalar form, is never asked for.
#define BINARY_ROW(op, scalar, rscalar, broadcast, grads, forward, da, db, doc) \
    ROW(#op, TN_ALL_DTYPES)                                                     \
    ROW(#scalar, TN_ALL_DTYPES) ROW(#rscalar, TN_ALL_DTYPES) ROW(#broadcast, TN_ALL_DTYPES)

const tn_kernel_row blas_elementwise[] = {
    {.op = "Activation",
     .dtypes = TN_FLOATS,
     .flags = BLAS_FLAGS | TN_ROW_INPLACE,
     .state_size = sizeof(blas_map),
     .cannot = activation_cannot,
     .setup = activation_setup,
     .run = blas_map_run},
    TN_UNARY_ROWS(UNARY_ROW) TN_BINARY_ROWS(BINARY_ROW){0},
};

#else // once per type of number

TN_UNARY_ROWS(UNARY_LOOPS)
TN_BINARY_ROWS(BINARY_LOOPS)

#endif
