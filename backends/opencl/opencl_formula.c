// backends/opencl/opencl_formula.c: elementwise operators as text: the rows of
// <tenon/elementwise.h>, and those that are no row.
#include <tenon/elementwise.h>

#include "opencl.h"

// ------------------------------------------------------------------ rows

typedef struct unary_op {
    const char *name, *backward, *forward, *derivative, *uses;
    bool whole; // over integers too
} unary_op;

typedef struct binary_op {
    const char *name, *scalar, *rscalar, *broadcast, *forward;
} binary_op;

#define WHOLE_ALL true
#define WHOLE_FLOATS false
#define UNARY_OP(op, dtypes, uses, forward, derivative, doc) \
    {#op, "_backward_" #op, #forward, "dy * (" #derivative ")", #uses, WHOLE_##dtypes},
#define BINARY_OP(op, scalar, rscalar, broadcast, grads, forward, da, db, doc) \
    {#op, #scalar, #rscalar, #broadcast, #forward},

static const unary_op unary_ops[] = {TN_UNARY_ROWS(UNARY_OP)};
static const binary_op binary_ops[] = {TN_BINARY_ROWS(BINARY_OP)};
enum {
    N_UNARY = sizeof unary_ops / sizeof unary_ops[0],
    N_BINARY = sizeof binary_ops / sizeof binary_ops[0]
};

static bool unary_formula(const unary_op *u, const char *name, ocl_formula *f)
{
    if (strcmp(name, u->name) == 0) {
        *f = (ocl_formula){.text = u->forward, .operand = {"x"}, .n_in = 1};
        return true;
    }
    if (strcmp(name, u->backward) != 0) return false;
    *f = (ocl_formula){.text = u->derivative, .operand = {"dy"}, .n_in = 1};
    if (strchr(u->uses, 'X')) f->operand[f->n_in++] = "x";
    if (strchr(u->uses, 'Y')) f->operand[f->n_in++] = "y";
    return true;
}

static bool binary_formula(const binary_op *b, const tn_call *c, ocl_formula *f)
{
    const char *name = c->op->name;
    const bool rscalar = strcmp(name, b->rscalar) == 0;
    *f = (ocl_formula){.text = b->forward, .operand = {"a", "b"}, .n_in = 2};
    // The only row whose text can trap over integers.
    if (strcmp(b->name, "_div") == 0 && !ocl_is_float(c->in[0]->dtype))
        f->text = "tn_quotient(a, b)";
    if (strcmp(name, b->name) == 0 || strcmp(name, b->broadcast) == 0) return true;
    if (!rscalar && strcmp(name, b->scalar) != 0) return false;
    f->operand[0] = rscalar ? "b" : "a";
    f->n_in = f->n_constants = 1;
    f->constant_name[0] = rscalar ? "a" : "b";
    f->constant[0] = tn_call_f64(c, "scalar", 0);
    f->rounded = true;
    return true;
}

static bool row_formula(const tn_call *c, ocl_formula *f)
{
    for (int i = 0; i < N_UNARY; i++)
        if (unary_formula(&unary_ops[i], c->op->name, f))
            return unary_ops[i].whole || ocl_is_float(c->in[0]->dtype);
    for (int i = 0; i < N_BINARY; i++)
        if (binary_formula(&binary_ops[i], c, f)) return true;
    return false;
}

// ------------------------------------------------------------------ the others

static bool activation(const tn_call *c, ocl_formula *f)
{
    for (int i = 0; i < N_UNARY; i++)
        if (tn_call_is(c, "act_type", unary_ops[i].name))
            return unary_formula(&unary_ops[i], unary_ops[i].name, f);
    return false;
}

// Constants of self-normalising networks (Klambauer et al., 2017).
#define SELU_LAMBDA 1.0507009873554804934193349852946
#define SELU_ALPHA 1.6732632423543772848170429916717

// leaky, elu, selu, gelu; the others run as their parts.
// box.
static bool leaky(const tn_call *c, ocl_formula *f)
{
    *f = (ocl_formula){.operand = {"x"}, .n_in = 1, .n_constants = 1};
    f->constant[0] = tn_call_f64(c, "slope", 0.25);
    if (tn_call_is(c, "act_type", "leaky"))
        f->text = "x > 0 ? x : c0 * x";
    else if (tn_call_is(c, "act_type", "elu"))
        f->text = "x > 0 ? x : c0 * expm1(x)";
    else if (tn_call_is(c, "act_type", "gelu"))
        f->text = "x / 2 * erfc(-x * C(0.70710678118654752440))";
    else if (tn_call_is(c, "act_type", "selu")) {
        f->text = "x > 0 ? c0 * x : c1 * expm1(x)";
        f->n_constants = 2;
        f->constant[0] = SELU_LAMBDA;
        f->constant[1] = SELU_LAMBDA * SELU_ALPHA;
    } else
        return false;
    return true;
}

static bool clip(const tn_call *c, ocl_formula *f)
{
    const bool forward = strcmp(c->op->name, "clip") == 0;
    *f = (ocl_formula){.rounded = true, .n_constants = 2};
    f->text = forward ? "x < c0 ? c0 : x > c1 ? c1 : x" : "x < c0 || x > c1 ? 0 : dy";
    f->operand[f->n_in++] = forward ? "x" : "dy";
    if (!forward) f->operand[f->n_in++] = "x";
    f->constant[0] = tn_call_f64(c, "a_min", -INFINITY);
    f->constant[1] = tn_call_f64(c, "a_max", INFINITY);
    return true;
}

// c0 = s², c1 = 1 / s²
static bool smooth_l1(const tn_call *c, ocl_formula *f)
{
    const bool forward = strcmp(c->op->name, "smooth_l1") == 0;
    const double s = tn_call_f64(c, "scalar", 1);
    *f = (ocl_formula){.n_constants = 2, .constant = {s * s, 1 / (s * s)}};
    f->text = forward ? "fabs(x) > c1 ? fabs(x) - C(0.5) * c1 : C(0.5) * c0 * x * x"
                      : "dy * (x > c1 ? (A)1 : x < -c1 ? (A)-1 : c0 * x)";
    f->operand[f->n_in++] = forward ? "x" : "dy";
    if (!forward) f->operand[f->n_in++] = "x";
    return true;
}

static bool add_n(const tn_call *c, ocl_formula *f)
{
    static const char *const names[OCL_OPERANDS] = {"x0",  "x1",  "x2",  "x3", "x4",  "x5",
                                                    "x6",  "x7",  "x8",  "x9", "x10", "x11",
                                                    "x12", "x13", "x14", "x15"};
    size_t at = 0;
    *f = (ocl_formula){.n_in = c->n_in};
    if (c->n_in > OCL_OPERANDS || c->n_in == 0) return false;
    for (uint32_t i = 0; i < c->n_in; i++) {
        f->operand[i] = names[i];
        at += (size_t)snprintf(f->built + at, sizeof f->built - at, i ? " + %s" : "%s", names[i]);
    }
    return true;
}

// The same elements, in another dtype or not. Inputs after the first give no
// data.
static bool same(const tn_call *c, ocl_formula *f)
{
    (void)c;
    *f = (ocl_formula){.text = "x", .operand = {"x"}, .n_in = 1};
    return true;
}

static bool logistic(const tn_call *c, ocl_formula *f)
{
    (void)c;
    *f = (ocl_formula){.text = "1 / (1 + exp(-x))", .operand = {"x"}, .n_in = 1};
    return true;
}

// Inputs out, label. c0 = s / (outputs per sample): the label's elements over
// its first extent.
static bool regression(const tn_call *c, ocl_formula *f)
{
    const bool mae = strcmp(c->op->name, "_backward_MAERegressionOutput") == 0;
    *f = (ocl_formula){.operand = {"x", "label"}, .n_in = 2, .n_constants = 1};
    f->text = mae ? "x > label ? c0 : x < label ? -c0 : 0" : "c0 * (x - label)";
    f->constant[0] = tn_call_f64(c, "grad_scale", 1) / (double)tn_span(c->in[1], 1, c->in[1]->ndim);
    return true;
}

// dx = s (null), or s / (product of all extents but the last) (batch); valid
// counts: no formula.
static bool make_loss(const tn_call *c, ocl_formula *f)
{
    const tn_value_info *x = c->in[0];
    *f = (ocl_formula){.text = "c0", .n_constants = 1};
    f->constant[0] = tn_call_f64(c, "grad_scale", 1);
    if (tn_call_is(c, "normalization", "batch"))
        f->constant[0] /= (double)tn_span(x, 0, x->ndim - 1);
    return !tn_call_is(c, "normalization", "valid");
}

static bool fill(const tn_call *c, ocl_formula *f)
{
    const char *name = c->op->name;
    *f = (ocl_formula){.text = "c0", .n_constants = 1, .rounded = true};
    f->constant[0] = strstr(name, "zeros")  ? 0
                     : strstr(name, "ones") ? 1
                                            : tn_call_f64(c, "value", 0);
    return true;
}

// y[i] = start + (i / repeat) step; i is the element's number.
static bool arange(const tn_call *c, ocl_formula *f)
{
    const tn_progress p = tn_progress_of(c);
    *f = (ocl_formula){.text = "c0 + (A)(i / (int)c2) * c1", .n_constants = 3};
    f->constant[0] = p.start;
    f->constant[1] = p.step;
    f->constant[2] = (double)p.repeat;
    if (f->constant[2] > INT32_MAX) return false;
    return ocl_is_float(c->out[0]->dtype) ||
           (f->constant[0] == floor(f->constant[0]) && f->constant[1] == floor(f->constant[1]));
}

// Places along an axis: i is the element's number.
static bool positions(const tn_call *c, ocl_formula *f)
{
    const tn_value_info *x = c->in[0];
    const int32_t axis = tn_axis(tn_call_i64(c, "axis", 0), x->ndim);
    if (axis < 0) return false;
    const tn_line line = tn_around(x, axis);
    *f = (ocl_formula){.text = "(A)(i / (int)c0 % (int)c1)", .n_constants = 2};
    f->constant[0] = (double)line.inner;
    f->constant[1] = (double)line.n;
    return line.inner < 1 << 24 && line.n < 1 << 24; // as float32 holds them
}

static const struct {
    const char *op;
    bool (*formula)(const tn_call *c, ocl_formula *f);
} others[] = {
    {"Activation", activation},
    {"LeakyReLU", leaky},
    {"clip", clip},
    {"_backward_clip", clip},
    {"smooth_l1", smooth_l1},
    {"_backward_smooth_l1", smooth_l1},
    {"add_n", add_n},
    {"_grad_add", add_n},
    {"Cast", same},
    {"_cast_like", same},
    {"_copy", same},
    {"BlockGrad", same},
    {"make_loss", same},
    {"Flatten", same},
    {"Reshape", same},
    {"reshape_like", same},
    {"expand_dims", same},
    {"_identity_with_attr_like_rhs", same},
    {"LinearRegressionOutput", same},
    {"MAERegressionOutput", same},
    {"MakeLoss", same},
    {"LogisticRegressionOutput", logistic},
    {"_backward_LinearRegressionOutput", regression},
    {"_backward_MAERegressionOutput", regression},
    {"_backward_MakeLoss", make_loss},
    {"_zeros", fill},
    {"_ones", fill},
    {"_full", fill},
    {"zeros_like", fill},
    {"ones_like", fill},
    {"_arange", arange},
    {"_positions", positions},
};

bool ocl_formula_of(const tn_call *c, ocl_formula *f)
{
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(others[i].op, c->op->name) == 0) return others[i].formula(c, f);
    return ocl_update_formula(c, f) || row_formula(c, f);
}

// ------------------------------------------------------------------ rows of
// the backend

static const char *formula_cannot(const tn_call *c)
{
    ocl_formula f;
    return ocl_formula_of(c, &f) ? NULL : "no formula for these parameters and dtypes";
}

#define MAP(op_, dtypes_)            \
    {.op = op_,                      \
     .dtypes = dtypes_,              \
     .flags = OCL_FLAGS,             \
     .impl = "generated",            \
     .state_size = sizeof(ocl_plan), \
     .cannot = formula_cannot,       \
     .setup = ocl_map_setup,         \
     .run = ocl_run,                 \
     .teardown = ocl_teardown},
#define DTYPES_ALL TN_ALL_DTYPES
#define DTYPES_FLOATS TN_FLOATS
#define BACKWARD_X(op, dtypes) MAP("_backward_" #op, DTYPES_##dtypes)
#define BACKWARD_Y(op, dtypes) MAP("_backward_" #op, DTYPES_##dtypes)
#define BACKWARD_XY(op, dtypes) MAP("_backward_" #op, DTYPES_##dtypes)
#define BACKWARD_NONE(op, dtypes)
#define BACKWARD_ZERO(op, dtypes)
#define UNARY_MAP(op, dtypes, uses, forward, derivative, doc) \
    MAP(#op, DTYPES_##dtypes) BACKWARD_##uses(op, dtypes)
// A row named "-", for an operator without rscalar form, is never asked for.
#define BINARY_MAP(op, scalar, rscalar, broadcast, grads, forward, da, db, doc) \
    MAP(#op, TN_ALL_DTYPES)                                                     \
    MAP(#scalar, TN_ALL_DTYPES)                                                 \
    MAP(#rscalar, TN_ALL_DTYPES) MAP(#broadcast, TN_ALL_DTYPES)

// clang-format off
const tn_kernel_row ocl_maps[] = {
    TN_UNARY_ROWS(UNARY_MAP) TN_BINARY_ROWS(BINARY_MAP)
    MAP("Activation", TN_FLOATS)
    MAP("LeakyReLU", TN_FLOATS)
    MAP("clip", TN_ALL_DTYPES)
    MAP("_backward_clip", TN_ALL_DTYPES)
    MAP("smooth_l1", TN_FLOATS)
    MAP("_backward_smooth_l1", TN_FLOATS)
    MAP("add_n", TN_ALL_DTYPES)
    MAP("_grad_add", TN_ALL_DTYPES)
    MAP("Cast", TN_ALL_DTYPES)
    MAP("_cast_like", TN_ALL_DTYPES)
    MAP("_copy", TN_ALL_DTYPES)
    MAP("BlockGrad", TN_ALL_DTYPES)
    MAP("make_loss", TN_ALL_DTYPES)
    MAP("Flatten", TN_ALL_DTYPES)
    MAP("Reshape", TN_ALL_DTYPES)
    MAP("reshape_like", TN_ALL_DTYPES)
    MAP("expand_dims", TN_ALL_DTYPES)
    MAP("_identity_with_attr_like_rhs", TN_ALL_DTYPES)
    MAP("LinearRegressionOutput", TN_FLOATS)
    MAP("MAERegressionOutput", TN_FLOATS)
    MAP("LogisticRegressionOutput", TN_FLOATS)
    MAP("MakeLoss", TN_FLOATS)
    MAP("_backward_LinearRegressionOutput", TN_FLOATS)
    MAP("_backward_MAERegressionOutput", TN_FLOATS)
    MAP("_backward_MakeLoss", TN_FLOATS)
    MAP("_zeros", TN_ALL_DTYPES)
    MAP("_ones", TN_ALL_DTYPES)
    MAP("_full", TN_ALL_DTYPES)
    MAP("zeros_like", TN_ALL_DTYPES)
    MAP("ones_like", TN_ALL_DTYPES)
    MAP("_arange", TN_ALL_DTYPES)
    MAP("_positions", TN_ALL_DTYPES)
    MAP("sgd_update", TN_FLOATS)
    MAP("sgd_mom_update", TN_FLOATS)
    MAP("adam_update", TN_FLOATS)
    MAP("mp_sgd_update", TN_FLOATS)
    MAP("mp_sgd_mom_update", TN_FLOATS)
    MAP("rmsprop_update", TN_FLOATS)
    MAP("rmspropalex_update", TN_FLOATS)
    {0},
};
