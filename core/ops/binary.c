// core/ops/binary.c: operators of two values of one shape, and of a value and a number, from the
// rows of TN_BINARY_ROWS. Their broadcast forms are in broadcast.c.
#include "core/ops/ops.h"

// ------------------------------------------------------------------ rows at run time

typedef struct row {
    const char *op, *scalar, *rscalar, *da, *db;
} row;
#define ROW(op, scalar, rscalar, broadcast, grads, forward, da, db, doc) \
    {#op, #scalar, #rscalar, #da, #db},
static const row rows[] = {TN_BINARY_ROWS(ROW)};

// The row in which an operator has any of its forms. Every operator here is made from a row.
static const row *row_of(const char *op)
{
    size_t i = 0;
    while (i + 1 < sizeof rows / sizeof *rows && strcmp(rows[i].op, op) != 0 &&
           strcmp(rows[i].scalar, op) != 0 && strcmp(rows[i].rscalar, op) != 0)
        i++;
    return &rows[i];
}

// ------------------------------------------------------------------ y = f(a, b)
//
//     da = dy · ∂f/∂a,  db = dy · ∂f/∂b
//
// Shapes and dtypes of both inputs and the output are equal (the default rules).

static tn_status binary_gradient(const tn_builder *b)
{
    const row *r = row_of(b->op->name);
    const tni_operand dy = {tn_grad_head(b, 0), 0, 1};
    if (!dy.sym) return TN_OK;
    const tni_letters at = {.a = {tn_grad_in(b, 0), 0, 1},
                            .b = {tn_grad_in(b, 1), 0, 1},
                            .y = {tn_grad_out(b, 0), 0, 1}};
    tn_grad_set(b, 0, tni_derive(b, r->da, dy, &at));
    tn_grad_set(b, 1, tni_derive(b, r->db, dy, &at));
    return TN_OK;
}

// ------------------------------------------------------------------ y = f(x, scalar), f(scalar, x)

typedef struct scalar_params {
    double scalar;
} scalar_params;

static tn_status scalar_gradient(const tn_builder *b)
{
    const row *r = row_of(b->op->name);
    const scalar_params *p = b->params;
    const tni_operand dy = {tn_grad_head(b, 0), 0, 1};
    if (!dy.sym) return TN_OK;
    const bool left = strcmp(r->rscalar, b->op->name) == 0;
    const tni_operand x = {tn_grad_in(b, 0), 0, 1}, number = {0, p->scalar, 0};
    const tni_letters at = {
        .a = left ? number : x, .b = left ? x : number, .y = {tn_grad_out(b, 0), 0, 1}};
    tn_grad_set(b, 0, tni_derive(b, left ? r->db : r->da, dy, &at));
    return TN_OK;
}

// ------------------------------------------------------------------ declarations

// Aliases (spellings of older and newer versions) and constructor names. The plain names tn_sub,
// tn_maximum, … belong to the arithmetic macros of <tenon/graph.h>.
#define NAMES_elemwise_add .aliases = "_add|_plus|_Plus"
#define NAMES__sub .aliases = "_minus|_Minus|elemwise_sub", .c_name = "elemwise_sub"
#define NAMES__mul .aliases = "_Mul|elemwise_mul", .c_name = "elemwise_mul"
#define NAMES__div .aliases = "_Div|elemwise_div", .c_name = "elemwise_div"
#define NAMES__mod .aliases = "_Mod", .c_name = "elemwise_mod"
#define NAMES__power .aliases = "_Power", .c_name = "elemwise_power"
#define NAMES__maximum .aliases = "_Maximum", .c_name = "elemwise_maximum"
#define NAMES__minimum .aliases = "_Minimum", .c_name = "elemwise_minimum"
#define NAMES__hypot .aliases = "_Hypot", .c_name = "elemwise_hypot"
#define NAMES__equal .aliases = "_Equal", .c_name = "elemwise_equal"
#define NAMES__not_equal .aliases = "_Not_Equal", .c_name = "elemwise_not_equal"
#define NAMES__greater .aliases = "_Greater", .c_name = "elemwise_greater"
#define NAMES__greater_equal .aliases = "_Greater_Equal", .c_name = "elemwise_greater_equal"
#define NAMES__lesser .aliases = "_Lesser", .c_name = "elemwise_lesser"
#define NAMES__lesser_equal .aliases = "_Lesser_Equal", .c_name = "elemwise_lesser_equal"

#define NAMES__logical_and .c_name = "elemwise_logical_and"
#define NAMES__logical_or .c_name = "elemwise_logical_or"
#define NAMES__logical_xor .c_name = "elemwise_logical_xor"

#define NAMES__plus_scalar .aliases = "_PlusScalar", .c_name = "plus_scalar"
#define NAMES__minus_scalar .aliases = "_MinusScalar", .c_name = "minus_scalar"
#define NAMES__rminus_scalar .aliases = "_RMinusScalar", .c_name = "rminus_scalar"
#define NAMES__mul_scalar .aliases = "_MulScalar", .c_name = "mul_scalar"
#define NAMES__div_scalar .aliases = "_DivScalar", .c_name = "div_scalar"
#define NAMES__rdiv_scalar .aliases = "_RDivScalar", .c_name = "rdiv_scalar"
#define NAMES__mod_scalar .aliases = "_ModScalar", .c_name = "mod_scalar"
#define NAMES__rmod_scalar .aliases = "_RModScalar", .c_name = "rmod_scalar"
#define NAMES__power_scalar .aliases = "_PowerScalar", .c_name = "power_scalar"
#define NAMES__rpower_scalar .aliases = "_RPowerScalar", .c_name = "rpower_scalar"
#define NAMES__maximum_scalar .aliases = "_MaximumScalar", .c_name = "maximum_scalar"
#define NAMES__minimum_scalar .aliases = "_MinimumScalar", .c_name = "minimum_scalar"
#define NAMES__hypot_scalar .aliases = "_HypotScalar", .c_name = "hypot_scalar"
#define NAMES__equal_scalar .aliases = "_EqualScalar", .c_name = "equal_scalar"
#define NAMES__not_equal_scalar .aliases = "_NotEqualScalar", .c_name = "not_equal_scalar"
#define NAMES__greater_scalar .aliases = "_GreaterScalar", .c_name = "greater_scalar"
#define NAMES__greater_equal_scalar \
    .aliases = "_GreaterEqualScalar", .c_name = "greater_equal_scalar"
#define NAMES__lesser_scalar .aliases = "_LesserScalar", .c_name = "lesser_scalar"
#define NAMES__lesser_equal_scalar .aliases = "_LesserEqualScalar", .c_name = "lesser_equal_scalar"

#define NAMES__logical_and_scalar .aliases = "_LogicalAndScalar", .c_name = "logical_and_scalar"
#define NAMES__logical_or_scalar .aliases = "_LogicalOrScalar", .c_name = "logical_or_scalar"
#define NAMES__logical_xor_scalar .aliases = "_LogicalXorScalar", .c_name = "logical_xor_scalar"

#define GRADIENT_BOTH(f) .flags = TN_OP_ELEMENTWISE, .gradient = f
#define GRADIENT_ZERO(f) .flags = TN_OP_ELEMENTWISE | TN_OP_ZERO_GRAD

#define C(number) number
#define FORMULA_BOTH(f, da, db) \
    "y = " TNI_TEXT(f) ",  da = dy * (" TNI_TEXT(da) "),  db = dy * (" TNI_TEXT(db) ")"
#define FORMULA_ZERO(f, da, db) "y = " TNI_TEXT(f)
#define NUMBER_BOTH(f, da) "y = " TNI_TEXT(f) ",  da = dy * (" TNI_TEXT(da) ")"
#define NUMBER_ZERO(f, da) "y = " TNI_TEXT(f)

#define SCALAR(op, grads, version, formula_, doc_)                                                 \
    const tn_op_decl tni_op_##op =                                                                 \
        TN_OP(.name = #op, NAMES_##op, GRADIENT_##grads(scalar_gradient), .doc = doc_,             \
              .source = version ", src/operator/tensor/elemwise_binary_scalar_op*.cc",             \
              .family = "arithmetic with a number", .formula = formula_,                           \
              .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),                  \
              .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data")),       \
              .params = TN_PARAMS(TN_PARAM(scalar_params, scalar, TN_P_F64, .doc = "the number")), \
              .params_size = sizeof(scalar_params));

#define DECLARE(op, grads, version, formula_, doc_)                                        \
    const tn_op_decl tni_op_##op =                                                         \
        TN_OP(.name = #op, NAMES_##op, GRADIENT_##grads(binary_gradient),                  \
              .doc = doc_ ". Elementwise on two values of one shape.",                     \
              .source = version ", src/operator/tensor/elemwise_binary_op*.cc",            \
              .family = "arithmetic", .formula = formula_,                                 \
              .inputs = TN_PORTS(TN_PORT(.name = "lhs", .doc = "a, of any shape"),         \
                                 TN_PORT(.name = "rhs", .doc = "b, in the shape of lhs")), \
              .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of lhs")));

#define BOTH_FORMS(op, scalar, grads, version, forward, da, db, doc)   \
    DECLARE(op, grads, version, FORMULA_##grads(forward, da, db), doc) \
    SCALAR(scalar, grads, version, NUMBER_##grads(forward, da),        \
           doc ". Elementwise, a is data and b the number.")
#define BINARY(op, scalar, rscalar, broadcast, grads, forward, da, db, doc) \
    BOTH_FORMS(op, scalar, grads, "MXNet 0.11", forward, da, db, doc)
#define LATER(op, scalar, rscalar, broadcast, grads, forward, da, db, doc) \
    BOTH_FORMS(op, scalar, grads, "MXNet 1.x", forward, da, db, doc)
TN_BINARY_ROWS_0_11(BINARY)
TN_BINARY_ROWS_LATER(LATER)

#define RSCALAR(op)                                      \
    SCALAR(op, BOTH, "MXNet 0.11", RSCALAR_FORMULA_##op, \
           RSCALAR_DOC_##op ": the number stands on the left.")
#define RSCALAR_DOC__rminus_scalar "scalar - data"
#define RSCALAR_DOC__rdiv_scalar "scalar / data"
#define RSCALAR_DOC__rmod_scalar "scalar - floor(scalar / data) * data"
#define RSCALAR_DOC__rpower_scalar "scalar to the data"
#define RSCALAR_FORMULA__rminus_scalar "y = scalar - x,  dx = -dy"
#define RSCALAR_FORMULA__rdiv_scalar "y = scalar / x,  dx = -dy * y / x"
#define RSCALAR_FORMULA__rmod_scalar "y = pymod(scalar, x),  dx = -dy * floor(scalar / x)"
#define RSCALAR_FORMULA__rpower_scalar "y = scalar^x,  dx = dy * y * log(scalar)"
TNI_RSCALARS(RSCALAR)
