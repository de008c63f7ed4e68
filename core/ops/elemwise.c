// core/ops/elemwise.c: operators of one value, one for each row of TN_UNARY_ROWS, and their
// backward operators.
#include "core/ops/ops.h"

// ------------------------------------------------------------------ rows at run time

typedef struct row {
    const char *op, *uses, *derivative;
} row;
#define ROW(op, dtypes, uses, forward, derivative, doc) {#op, #uses, #derivative},
static const row rows[] = {TN_UNARY_ROWS(ROW)};

// The row of an operator or of its backward operator. Every operator here is made from a row.
static const row *row_of(const char *op)
{
    static const char prefix[] = "_backward_";
    if (strncmp(op, prefix, sizeof prefix - 1) == 0) op += sizeof prefix - 1;
    size_t i = 0;
    while (i + 1 < sizeof rows / sizeof *rows && strcmp(rows[i].op, op) != 0) i++;
    return &rows[i];
}

// ------------------------------------------------------------------ y = f(x)
//
//     dx = dy · f'(x), by the fused operator _backward_f where f' is no constant
//
// Shapes and dtypes of input and output are equal (the default rules).

static tn_status unary_gradient(const tn_builder *b)
{
    const row *r = row_of(b->op->name);
    const tn_sym dy = tn_grad_head(b, 0);
    char name[64];
    tn_sym in[3] = {dy};
    uint32_t n = 1;
    if (!dy) return TN_OK;
    if (strcmp(r->uses, "NONE") == 0) {
        const tni_letters none = {0};
        tn_grad_set(b, 0, tni_derive(b, r->derivative, (tni_operand){dy, 0, 1}, &none));
        return TN_OK;
    }
    if (strchr(r->uses, 'X')) in[n++] = tn_grad_in(b, 0);
    if (strchr(r->uses, 'Y')) in[n++] = tn_grad_out(b, 0);
    snprintf(name, sizeof name, "_backward_%s", r->op);
    tn_grad_set(b, 0, tn_emit(b, name, NULL, in, n));
    return TN_OK;
}

// ------------------------------------------------------------------ dx = _backward_f(dy, x, y)
//
// In terms of simpler operators this is dy · f', which also gives it a gradient.

static tn_status backward_expand(const tn_builder *b)
{
    const row *r = row_of(b->op->name);
    tni_letters at = {0};
    uint32_t n = 1;
    if (strchr(r->uses, 'X')) at.x = (tni_operand){tn_grad_in(b, n++), 0, 1};
    if (strchr(r->uses, 'Y')) at.y = (tni_operand){tn_grad_in(b, n++), 0, 1};
    const tni_operand dy = {tn_grad_in(b, 0), 0, 1};
    b->set_output(b->ctx, 0, tni_derive(b, r->derivative, dy, &at));
    return TN_OK;
}

// ------------------------------------------------------------------ declarations

#define DY TN_PORT(.name = "dy", .doc = "gradient of the result")
#define PORT_X TN_PORT(.name = "x", .doc = "the input")
#define PORT_Y TN_PORT(.name = "y", .doc = "the result")

#define GRADIENT_X .flags = TN_OP_ELEMENTWISE, .gradient = unary_gradient
#define GRADIENT_Y .flags = TN_OP_ELEMENTWISE, .gradient = unary_gradient
#define GRADIENT_XY .flags = TN_OP_ELEMENTWISE, .gradient = unary_gradient
#define GRADIENT_NONE .flags = TN_OP_ELEMENTWISE, .gradient = unary_gradient
#define GRADIENT_ZERO .flags = TN_OP_ELEMENTWISE | TN_OP_ZERO_GRAD

#define BACKWARD_X(op, derivative) BACKWARD(op, derivative, TN_PORTS(DY, PORT_X))
#define BACKWARD_Y(op, derivative) BACKWARD(op, derivative, TN_PORTS(DY, PORT_Y))
#define BACKWARD_XY(op, derivative) BACKWARD(op, derivative, TN_PORTS(DY, PORT_X, PORT_Y))
#define BACKWARD_NONE(op, derivative)
#define BACKWARD_ZERO(op, derivative)
#define BACKWARD(op, derivative, ports)                                                          \
    const tn_op_decl tni_op_backward_##op =                                                      \
        TN_OP(.name = "_backward_" #op, .flags = TN_OP_INTERNAL | TN_OP_ELEMENTWISE,             \
              .doc = "Gradient of " #op ": dy * (" derivative "), elementwise", .inputs = ports, \
              .outputs = TN_PORTS(TN_PORT(.name = "output")), .expand = backward_expand);

#define C(number) number
#define FORMULA_X(f, df) "y = " TNI_TEXT(f) ",  dx = dy * (" TNI_TEXT(df) ")"
#define FORMULA_Y(f, df) FORMULA_X(f, df)
#define FORMULA_XY(f, df) FORMULA_X(f, df)
#define FORMULA_NONE(f, df) FORMULA_X(f, df)
#define FORMULA_ZERO(f, df) "y = " TNI_TEXT(f)

#define DECLARE(op, formula_, doc_, source_, ...)                                        \
    const tn_op_decl tni_op_##op =                                                       \
        TN_OP(.name = #op, __VA_ARGS__, .doc = doc_ ". Elementwise.", .source = source_, \
              .family = "function", .formula = formula_,                                 \
              .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "x, of any shape")),     \
              .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "y, in the shape of data")));

#define UNARY(op, dtypes, uses, forward, derivative, doc)                            \
    DECLARE(op, FORMULA_##uses(forward, derivative), doc,                            \
            "MXNet 0.11, src/operator/tensor/elemwise_unary_op.cc", GRADIENT_##uses) \
    BACKWARD_##uses(op, #derivative)
#define LATER(op, dtypes, uses, forward, derivative, doc)                               \
    DECLARE(op, FORMULA_##uses(forward, derivative), doc, SOURCE_##op, GRADIENT_##uses) \
    BACKWARD_##uses(op, #derivative)

#define MXNET_1 "MXNet 1.x, src/operator/tensor/elemwise_unary_op"
#define SOURCE_erf MXNET_1
#define SOURCE_erfinv MXNET_1
#define SOURCE_cbrt MXNET_1
#define SOURCE_rcbrt MXNET_1
#define SOURCE_logical_not MXNET_1
#define SOURCE_softsign MXNET_1
#define SOURCE_softplus "ONNX Softplus"
#define SOURCE_silu "PyTorch silu; ONNX Swish with alpha 1"
#define SOURCE_mish "ONNX Mish"
#define SOURCE_hard_swish "ONNX HardSwish"
#define SOURCE_gelu "ONNX Gelu; MXNet 1.x, LeakyReLU with act_type gelu"
#define SOURCE_gelu_tanh "ONNX Gelu with approximate=tanh"

TN_UNARY_ROWS_0_11(UNARY)
TN_UNARY_ROWS_LATER(LATER)
