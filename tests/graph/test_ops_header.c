// tests/graph/test_ops_header.c: the constructors of <tenon/ops.h> in a user's hands.
//
// That the structs are laid out as the core reads them is checked for all by test_generated.sh, and
// here for a sample while running.
#include <tenon/kernel.h>
#include <tenon/tenon.h>

#include "core/graph/schema.h"
#include "tests/tn_test.h"

// ------------------------------------------------------------------ layout

static const tni_field *field_of(const char *op, const char *name)
{
    const tni_field *f;
    for (uint32_t i = 0; (f = tni_args_field(tni_op_find(tni_env_registry(bench.env), op), i)); i++)
        if (strcmp(f->name, name) == 0) return f;
    return NULL;
}

#define CHECK_FIELD(op, args, field)                           \
    do {                                                       \
        const tni_field *f_ = field_of(op, #field);            \
        CU_ASSERT_FATAL(f_ != NULL);                           \
        CU_ASSERT_EQUAL(f_->offset, offsetof(args, field));    \
        CU_ASSERT_EQUAL(f_->size, sizeof(((args *)0)->field)); \
    } while (0)

static void fields_stand_where_the_core_reads_them(void)
{
    CHECK_FIELD("relu", tn_relu_args, size);
    CHECK_FIELD("relu", tn_relu_args, data);
    CHECK_FIELD("relu", tn_relu_args, attrs);
    CHECK_FIELD("FullyConnected", tn_fully_connected_args, bias);
    CHECK_FIELD("FullyConnected", tn_fully_connected_args, no_bias);
    CHECK_FIELD("FullyConnected", tn_fully_connected_args, flatten);
    CHECK_FIELD("FullyConnected", tn_fully_connected_args, name);
    CHECK_FIELD("Dropout", tn_dropout_args, p);
    CHECK_FIELD("Dropout", tn_dropout_args, axes);
    CHECK_FIELD("Concat", tn_concat_args, arg);
    CHECK_FIELD("Concat", tn_concat_args, dim);
    CHECK_FIELD("broadcast_axis", tn_broadcast_axis_args, size_);
    CHECK_FIELD("adam_update", tn_adam_update_args, var);
    CHECK_FIELD("adam_update", tn_adam_update_args, clip_gradient);
    CHECK_FIELD("_arange", tn_arange_args, ctx);
    CHECK_FIELD("SliceChannel", tn_slice_channel_args, squeeze_axis);
}

// ------------------------------------------------------------------ use

static void check_attr(tn_symbol s, const char *key, const char *wanted)
{
    const char *got = tn_attr_get(bench.g, s, key);
    TN_CHECK_STR(got ? got : "none", wanted);
}

static void a_network_of_constructors(void)
{
    tn_graph *g = bench.g;
    tn_symbol x = tn_variable(g, "data");
    x = tn_fully_connected(g, .data = x, .num_hidden = 128, .name = "fc1");
    x = tn_activation(g, .data = x, .act_type = TN_RELU, .name = "relu1");
    x = tn_dropout(g, .data = x, .p = TN_SET(0.25), .name = "drop");
    x = tn_fully_connected(g, .data = x, .num_hidden = 10, .no_bias = true, .name = "fc2");
    x = tn_softmax_output(g, .data = x, .normalization = TN_SOFTMAX_OUTPUT_BATCH, .name = "out");
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(g, x), "data fc1_weight fc1_bias fc2_weight out_label");
    TN_CHECK_NAMES(tn_outputs(g, x), "out_output");
    TN_CHECK_STR(tn_symbol_op(g, x), "SoftmaxOutput");
    check_attr(x, "normalization", "batch");
}

static void every_kind_of_parameter_arrives(void)
{
    tn_graph *g = bench.g;
    tn_symbol x = tn_variable(g, "x");
    check_attr(tn_fully_connected(g, .data = x, .num_hidden = 7), "num_hidden", "7");
    check_attr(tn_fully_connected(g, x, .num_hidden = 7, .flatten = TN_SET(false)), "flatten",
               "False");
    check_attr(tn_dropout(g, x, .p = TN_SET(0.0)), "p", "0");
    check_attr(tn_softmax(g, x, .axis = TN_SET(0)), "axis", "0");
    check_attr(tn_activation(g, x, .act_type = TN_ACTIVATION_TANH), "act_type", "tanh");
    check_attr(tn_activation(g, x, .act_type = TN_SOFTRELU), "act_type", "softrelu");
    check_attr(tn_reshape(g, x, .shape = TN_INTS(-1, 4)), "shape", "(-1, 4)");
    check_attr(tn_cast(g, x, .dtype = TN_F16), "dtype", "float16");
    check_attr(tn_clip(g, x, .a_min = 0, .a_max = 6), "a_max", "6");
    check_attr(tn_clip(g, x, .a_min = 0, .a_max = 6), "a_min", "0");
    check_attr(tn_zeros(g, .shape = TN_INTS(2, 3)), "shape", "(2, 3)");
    check_attr(tn_broadcast_axis(g, x, .axis = TN_INTS(0), .size_ = TN_INTS(3)), "size", "(3,)");
    check_attr(tn_expand_dims(g, x, .axis = 0), "axis", "0");
    check_attr(tn_relu(g, x, .attrs = TN_ATTRS({"ctx_group", "dev1"})), "__ctx_group__", "dev1");
    TN_CHECK_GRAPH();
}

static void lists_of_inputs(void)
{
    tn_graph *g = bench.g;
    tn_symbol a = tn_variable(g, "a"), b = tn_variable(g, "b");
    tn_symbol c = tn_concat(g, .arg = TN_SYMS(a, b), .dim = TN_SET(0), .name = "both");
    check_attr(c, "num_args", "2");
    tn_symbol s = tn_slice_channel(g, .data = c, .num_outputs = 3, .axis = TN_SET(0));
    TN_CHECK_NAMES(tn_outputs(g, s),
                   "slicechannel0_output0 slicechannel0_output1 slicechannel0_output2");
    tn_symbol sum = tn_add_n(g, .arg = TN_SYMS(tn_output(g, s, 0), tn_output(g, s, 2)));
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(g, sum), "a b");
}

// The arithmetic macros have the short names; the operators behind them have longer ones.
static void operators_beside_the_macros(void)
{
    tn_graph *g = bench.g;
    tn_symbol a = tn_variable(g, "a"), b = tn_variable(g, "b");
    TN_CHECK_STR(tn_symbol_op(g, tn_sub(g, a, b)), "_sub");
    TN_CHECK_STR(tn_symbol_op(g, tn_elemwise_sub(g, a, b)), "_sub");
    TN_CHECK_STR(tn_symbol_op(g, tn_sub(g, 1.0, b)), "_rminus_scalar");
    TN_CHECK_STR(tn_symbol_op(g, tn_rminus_scalar(g, b, .scalar = 1)), "_rminus_scalar");
    TN_CHECK_STR(tn_symbol_op(g, tn_elemwise_maximum(g, a, b)), "_maximum");
    TN_CHECK_STR(tn_symbol_op(g, tn_elemwise_equal(g, a, b)), "_equal");
    TN_CHECK_STR(tn_symbol_op(g, tn_identity(g, a)), "_copy");
    TN_CHECK_STR(tn_symbol_op(g, tn_softmax(g, a)), "softmax");
    TN_CHECK_STR(tn_symbol_op(g, tn_softmax_deprecated(g, a)), "Softmax");
    TN_CHECK_STR(tn_symbol_op(g, tn_make_loss(g, a)), "make_loss");
    TN_CHECK_STR(tn_symbol_op(g, tn_make_loss_output(g, a)), "MakeLoss");
    TN_CHECK_STR(tn_symbol_op(g, tn_mae_regression_output(g, a)), "MAERegressionOutput");
    TN_CHECK_GRAPH();
}

static void what_is_required_is_asked_for(void)
{
    tn_graph *g = bench.g;
    tn_symbol x = tn_variable(g, "x");
    CU_ASSERT_EQUAL(tn_fully_connected(g, .data = x).node, 0);
    TN_CHECK_HAS(tn_graph_error(g), "test_ops_header.c:");
    TN_CHECK_HAS(tn_graph_error(g), "num_hidden");
    tn_graph_forgive(g);
    CU_ASSERT_EQUAL(tn_activation(g, .data = x).node, 0);
    TN_CHECK_HAS(tn_graph_error(g), "act_type");
    tn_graph_forgive(g);
    CU_ASSERT_EQUAL(tn_activation(g, .data = x, .act_type = 99).node, 0);
    TN_CHECK_HAS(tn_graph_error(g), "act_type");
    tn_graph_forgive(g);
    CU_ASSERT_EQUAL(tn_dropout(g, .data = x, .p = TN_SET(1.5)).node, 0);
    TN_CHECK_HAS(tn_graph_error(g), "[0,1]");
}

TN_TEST_MAIN({"fields stand where the core reads them", fields_stand_where_the_core_reads_them},
             {"a network of constructors", a_network_of_constructors},
             {"every kind of parameter arrives", every_kind_of_parameter_arrives},
             {"lists of inputs", lists_of_inputs},
             {"operators beside the macros", operators_beside_the_macros},
             {"what is required is asked for", what_is_required_is_asked_for})
