// backends/reference/reference_elementwise.c: the rows of <tenon/elementwise.h> as kernels.
//
// The C text of each row becomes two scalar functions, one over double and one over int64_t. A
// kernel finds its pair by the operator's name at setup; one loop runs them all.
#include <tenon/elementwise.h>
#include <tenon/scalar.h>

#include "reference.h"

// ------------------------------------------------------------------ scalar functions

typedef double (*real_fn)(double a, double b);
typedef int64_t (*int_fn)(int64_t a, int64_t b);

// forward_<op>_real(x, unused), forward_<op>_real(a, b), and derivative_<op>_real(x, y).
#define REAL_FN(name, a, b, text)                 \
    static double name##_real(double a, double b) \
    {                                             \
        (void)a, (void)b;                         \
        return text;                              \
    }
#define INT_FN(name, a, b, text)                    \
    static int64_t name##_int(int64_t a, int64_t b) \
    {                                               \
        (void)a, (void)b;                           \
        return text;                                \
    }
#define NO_FN(name, a, b, text)

// Which functions a row has: integers only for ALL, a derivative unless it is a constant.
#define DERIVES_X(FN) FN
#define DERIVES_Y(FN) FN
#define DERIVES_XY(FN) FN
#define DERIVES_NONE(FN) NO_FN
#define DERIVES_ZERO(FN) NO_FN
#define INT_OF_ALL(FN) FN
#define INT_OF_FLOATS(FN) NO_FN

#define pymod pymod_real
#define UNARY_REAL(op, dtypes, uses, forward, derivative, doc) \
    REAL_FN(forward_##op, x, unused, forward)                  \
    DERIVES_##uses(REAL_FN)(derivative_##op, x, y, derivative)
#define BINARY_REAL(op, scalar, rscalar, broadcast, grads, forward, da, db, doc) \
    REAL_FN(forward_##op, a, b, forward)
TN_UNARY_ROWS(UNARY_REAL)
TN_BINARY_ROWS(BINARY_REAL)
#undef pymod

// Rounding an integer changes nothing.
#define pymod pymod_int
#define pow pow_int
#define hypot hypot_int
#define round(x) (x)
#define floor(x) (x)
#define ceil(x) (x)
#define trunc(x) (x)
#define UNARY_INT(op, dtypes, uses, forward, derivative, doc) \
    INT_OF_##dtypes(INT_FN)(forward_##op, x, unused, forward) \
        DERIVES_##uses(INT_OF_##dtypes(INT_FN))(derivative_##op, x, y, derivative)
#define BINARY_INT(op, scalar, rscalar, broadcast, grads, forward, da, db, doc) \
    INT_FN(forward_##op, a, b, forward)
TN_UNARY_ROWS(UNARY_INT)
TN_BINARY_ROWS(BINARY_INT)
#undef pymod
#undef pow
#undef hypot
#undef round
#undef floor
#undef ceil
#undef trunc

// ------------------------------------------------------------------ tables of them

typedef struct functions {
    real_fn real;
    int_fn integer; // NULL: floats only
} functions;

typedef struct unary_op {
    const char *name, *backward;
    functions forward, derivative;
    bool uses_x, uses_y; // what the derivative reads
} unary_op;

typedef struct binary_op {
    const char *name, *scalar, *rscalar, *broadcast;
    functions forward;
} binary_op;

#define FUNCTION_ALL(name)      \
    {                           \
        name##_real, name##_int \
    }
#define FUNCTION_FLOATS(name) \
    {                         \
        name##_real, NULL     \
    }
#define DERIVATIVE_X(FUNCTION, op) FUNCTION(derivative_##op), true, false
#define DERIVATIVE_Y(FUNCTION, op) FUNCTION(derivative_##op), false, true
#define DERIVATIVE_XY(FUNCTION, op) FUNCTION(derivative_##op), true, true
#define DERIVATIVE_NONE(FUNCTION, op) {NULL, NULL}, false, false
#define DERIVATIVE_ZERO(FUNCTION, op) {NULL, NULL}, false, false

#define UNARY_OP(op, dtypes, uses, forward, derivative, doc) \
    {#op, "_backward_" #op, FUNCTION_##dtypes(forward_##op), \
     DERIVATIVE_##uses(FUNCTION_##dtypes, op)},
#define BINARY_OP(op, scalar, rscalar, broadcast, grads, forward, da, db, doc) \
    {#op, #scalar, #rscalar, #broadcast, FUNCTION_ALL(forward_##op)},

static const unary_op unary_ops[] = {TN_UNARY_ROWS(UNARY_OP)};
static const binary_op binary_ops[] = {TN_BINARY_ROWS(BINARY_OP)};
enum {
    N_UNARY = sizeof unary_ops / sizeof unary_ops[0],
    N_BINARY = sizeof binary_ops / sizeof binary_ops[0]
};

// ------------------------------------------------------------------ the kernel

// One argument of the scalar function.
typedef struct operand {
    int32_t in; // input that it comes from, walked by box; -1: the number
    ref_box box;
    double real;
    int64_t integer;
} operand;

typedef struct elementwise {
    functions f;
    operand a, b;
    bool times_dy; // the result is multiplied by input 0: backward operators
} elementwise;

static operand from_input(const tn_sdk_kernel *k, uint32_t i)
{
    return (operand){.in = (int32_t)i, .box = ref_broadcast(k->call->in[i], k->call->out[0])};
}

static operand from_number(const tn_sdk_kernel *k, double v)
{
    const tn_dtype dtype = k->call->in[0]->dtype;
    return (operand){.in = -1, .real = ref_as_real(dtype, v), .integer = ref_as_int(dtype, v)};
}

static bool set_unary(const tn_sdk_kernel *k, elementwise *e, const unary_op *op)
{
    const char *name = k->call->op->name;
    e->a = e->b = from_number(k, 0);
    if (strcmp(name, op->name) == 0) {
        e->f = op->forward;
        e->a = from_input(k, 0);
        return true;
    }
    if (strcmp(name, op->backward) != 0) return false;
    e->f = op->derivative;
    e->times_dy = true;
    if (op->uses_x) e->a = from_input(k, 1);
    if (op->uses_y) e->b = from_input(k, op->uses_x ? 2 : 1);
    return true;
}

static bool set_binary(const tn_sdk_kernel *k, elementwise *e, const binary_op *op)
{
    const char *name = k->call->op->name;
    e->f = op->forward;
    if (strcmp(name, op->name) == 0 || strcmp(name, op->broadcast) == 0) {
        e->a = from_input(k, 0);
        e->b = from_input(k, 1);
        return true;
    }
    const operand number = from_number(k, tn_call_f64(k->call, "scalar", 0));
    if (strcmp(name, op->scalar) == 0) {
        e->a = from_input(k, 0);
        e->b = number;
        return true;
    }
    e->a = number;
    e->b = from_input(k, 0);
    return strcmp(name, op->rscalar) == 0;
}

static tn_status elementwise_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    elementwise *e = k->state;
    for (int i = 0; i < N_UNARY; i++)
        if (set_unary(k, e, &unary_ops[i])) return TN_OK;
    for (int i = 0; i < N_BINARY; i++) {
        if (!set_binary(k, e, &binary_ops[i])) continue;
        // The only row whose C text can trap.
        if (e->f.integer == forward__div_int) e->f.integer = quotient_int;
        return TN_OK;
    }
    return tn_fail(k->host, TN_E_INTERNAL, "%s: a row without a function", k->call->op->name);
}

// An activation that is no row runs as its parts.
static const char *activation_cannot(const tn_call *call)
{
    for (int i = 0; i < N_UNARY; i++)
        if (tn_call_is(call, "act_type", unary_ops[i].name)) return NULL;
    return "act_type: no kernel for this one";
}

// The activation is the unary operator of that name.
static tn_status activation_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    elementwise *e = k->state;
    e->a = from_input(k, 0);
    e->b = from_number(k, 0);
    for (int i = 0; i < N_UNARY; i++) {
        if (!tn_call_is(k->call, "act_type", unary_ops[i].name)) continue;
        e->f = unary_ops[i].forward;
        return TN_OK;
    }
    return tn_fail(k->host, TN_E_UNSUPPORTED, "%s: no such act_type", k->call->name);
}

static double real_operand(const tn_sdk_kernel *k, const tn_run_args *a, const operand *o,
                           int64_t i)
{
    return o->in < 0 ? o->real : ref_get_real(ref_in(k, a, (uint32_t)o->in), ref_at(&o->box, i));
}

static int64_t int_operand(const tn_sdk_kernel *k, const tn_run_args *a, const operand *o,
                           int64_t i)
{
    return o->in < 0 ? o->integer : ref_get_int(ref_in(k, a, (uint32_t)o->in), ref_at(&o->box, i));
}

static tn_status elementwise_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const elementwise *e = k->state;
    const ref_array first = ref_in(k, a, 0), y = ref_out(k, a, 0);

    for (int64_t i = 0; i < y.n; i++) {
        if (ref_is_float(first.dtype)) {
            const double v = e->f.real(real_operand(k, a, &e->a, i), real_operand(k, a, &e->b, i));
            ref_put_real(y, i, e->times_dy ? ref_get_real(first, i) * v : v);
        } else {
            const int64_t v =
                e->f.integer(int_operand(k, a, &e->a, i), int_operand(k, a, &e->b, i));
            ref_put_int(y, i, e->times_dy ? ref_get_int(first, i) * v : v);
        }
    }
    return TN_OK;
}

// ------------------------------------------------------------------ rows

#define ROW(op_, dtypes_)                 \
    {.op = op_,                           \
     .dtypes = dtypes_,                   \
     .flags = REF_FLAGS | TN_ROW_INPLACE, \
     .state_size = sizeof(elementwise),   \
     .setup = elementwise_setup,          \
     .run = elementwise_run},

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

const tn_kernel_row ref_elementwise[] = {
    {.op = "Activation",
     .dtypes = TN_FLOATS,
     .flags = REF_FLAGS | TN_ROW_INPLACE,
     .state_size = sizeof(elementwise),
     .cannot = activation_cannot,
     .setup = activation_setup,
     .run = elementwise_run},
    TN_UNARY_ROWS(UNARY_ROW) TN_BINARY_ROWS(BINARY_ROW){0},
};
