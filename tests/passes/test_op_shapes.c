// tests/passes/test_op_shapes.c: shape rules of elementwise, dense, softmax, loss, reduction and
// optimizer operators, both directions. Values were worked out by hand.
#include "op_cases.h"

static void elementwise(void)
{
    OP_SHAPES({"exp", NULL, "(2,3) -> ?", "(2,3) -> (2,3)"}, //
              {"exp", NULL, "? -> (2,3)", "(2,3) -> (2,3)"},
              {"exp", NULL, "(?,3) -> (2,?)", "(2,3) -> (2,3)"},
              {"exp", NULL, "(2,3) -> (3,2)", "!(3,2)"},
              {"_backward_tanh", NULL, "? (2,3) -> ?", "(2,3) (2,3) -> (2,3)"},
              {"_backward_gamma", NULL, "(2) ? ? -> ?", "(2) (2) (2) -> (2)"},
              {"elemwise_add", NULL, "(2,?) (?,3) -> ?", "(2,3) (2,3) -> (2,3)"},
              {"_mul", NULL, "? ? -> (4)", "(4) (4) -> (4)"},
              {"_sub", NULL, "(2,3) (3) -> ?", "!rhs: shape (3), wanted (2,3)"},
              {"_plus_scalar", "scalar=1", "() -> ?", "() -> ()"},
              {"_rdiv_scalar", "scalar=1", "(0,2) -> ?", "(0,2) -> (0,2)"},
              {"Activation", "act_type=tanh", "? -> (2,3)", "(2,3) -> (2,3)"},
              {"clip", "a_min=0; a_max=1", "(5) -> ?", "(5) -> (5)"},
              {"_backward_clip", "a_min=0; a_max=1", "(5) ? -> ?", "(5) (5) -> (5)"},
              {"smooth_l1", "scalar=1", "(5) -> ?", "(5) -> (5)"},
              {"_backward_smooth_l1", "scalar=1", "? (5) -> ?", "(5) (5) -> (5)"},
              {"_leaky", NULL, "? -> (5)", "(5) -> (5)"},
              {"_backward_leaky", NULL, "? (5) -> ?", "(5) (5) -> (5)"},
              {"Dropout", NULL, "(2,3) ->", "(2,3) -> (2,3) (2,3)"},
              {"Dropout", NULL, "? -> ? (2,3)", "(2,3) -> (2,3) (2,3)"},
              {"Dropout", "axes=(2,)", "(2,3) ->", "!axes: 2 of a value with 2 axes"},
              {"_copy", NULL, "? -> (2)", "(2) -> (2)"},
              {"BlockGrad", NULL, "(2) -> ?", "(2) -> (2)"},
              {"Cast", "dtype=int32", "? -> (2)", "(2) -> (2)"},
              {"_cast_like", NULL, "? (2) -> ?", "(2) (2) -> (2)"},
              {"_identity_with_attr_like_rhs", NULL, "? (2) -> ?", "(2) (2) -> (2)"},
              {"add_n", "num_args=3", "(2,?) ? (?,3) -> ?", "(2,3) (2,3) (2,3) -> (2,3)"},
              {"_grad_add", NULL, "(2) ? -> ?", "(2) (2) -> (2)"},
              {"_CrossDeviceCopy", NULL, "(2) -> ?", "(2) -> (2)"},
              {"_reorder", NULL, "? -> (2)", "(2) -> (2)"},
              {"zeros_like", NULL, "(2) -> ?", "(2) -> (2)"},
              {"ones_like", NULL, "? -> (2)", "(2) -> (2)"});
}

static void choosing(void)
{
    OP_SHAPES({"where", NULL, "(2,3) (2,3) ? -> ?", "(2,3) (2,3) (2,3) -> (2,3)"},
              {"where", NULL, "(2) ? (?,3) -> ?", "(2) (2,3) (2,3) -> (2,3)"},
              {"where", NULL, "(?) (2,3) ? -> ?", "(2) (2,3) (2,3) -> (2,3)"},
              {"where", NULL, "(4) (?) ? -> ?", "(4) (4) (4) -> (4)"},
              {"where", NULL, "? (2,3) ? -> ?", "? (2,3) (2,3) -> (2,3)"},
              {"where", NULL, "(3) (2,3) ? -> ?", "!condition: shape"},
              {"where", NULL, "(2,4) (2,3) ? -> ?", "!condition: shape"});
}

static void broadcasting(void)
{
    OP_SHAPES({"broadcast_add", NULL, "(2,1) (1,3) -> ?", "(2,1) (1,3) -> (2,3)"},
              {"broadcast_add", NULL, "(3) (2,3) -> ?", "(3) (2,3) -> (2,3)"},
              {"broadcast_mul", NULL, "() (2,3) -> ?", "() (2,3) -> (2,3)"},
              {"broadcast_mul", NULL, "(0,3) (1,3) -> ?", "(0,3) (1,3) -> (0,3)"},
              {"broadcast_sub", NULL, "(2,?) (2,5) -> ?", "(2,?) (2,5) -> (2,5)"},
              {"broadcast_sub", NULL, "(?,3) (1,3) -> (4,3)", "(4,3) (1,3) -> (4,3)"},
              {"broadcast_sub", NULL, "(?,3) (2,3) -> ?", "(?,3) (2,3) -> (2,3)"},
              {"broadcast_sub", NULL, "(?) (?) -> (1)", "(?) (?) -> (1)"},
              {"broadcast_sub", NULL, "(1) (?) -> (1)", "(1) (1) -> (1)"},
              {"broadcast_equal", NULL, "? (2) -> ?", "? (2) -> ?"},
              {"broadcast_div", NULL, "(2,3) (2) -> ?", "!cannot broadcast (2,3) with (2,)"},
              {"broadcast_div", NULL, "(2,3) (3) -> (3)", "!(3)"},
              {"broadcast_div", NULL, "(2,3) (3) -> (4,3)", "!cannot broadcast"},
              {"broadcast_to", "shape=(2,0,4)", "(1,3,1) -> ?", "(1,3,1) -> (2,3,4)"},
              {"broadcast_to", "shape=(2,0)", "(?,?) -> (?,7)", "(?,7) -> (2,7)"},
              {"broadcast_to", "shape=(2,3)", "(3) -> ?", "!one entry for each of 1 axes, got 2"},
              {"broadcast_to", "shape=(2,3)", "(4,3) -> ?", "!(4,3) cannot be broadcast to (2,3)"},
              {"broadcast_axis", "axis=(0,-1); size=(5,6)", "(1,3,1) -> ?", "(1,3,1) -> (5,3,6)"},
              {"broadcast_axis", "axis=0; size=5", "? -> (?,3)", "(1,3) -> (5,3)"},
              {"broadcast_axis", "axis=0; size=5", "(2,3) -> ?",
               "!axis 0 of data: wanted extent 1, got 2"},
              {"broadcast_axis", "axis=2; size=5", "(1,3) -> ?", "!axis: 2 of a value with 2 axes"},
              {"broadcast_axis", "axis=2", "(1,3) -> ?", "!axis has 1 entries and size has 0"},
              {"broadcast_like", NULL, "(3,1) (2,3,4) -> ?", "(3,1) (2,3,4) -> (2,3,4)"},
              {"broadcast_like", NULL, "(3) ? -> (2,?)", "(3) (2,3) -> (2,3)"},
              {"broadcast_like", NULL, "(3,1) (3) -> ?", "!(3,1) cannot be broadcast to (3,)"},
              {"_sum_like", NULL, "(2,3,4) (3,1) -> ?", "(2,3,4) (3,1) -> (3,1)"},
              {"_sum_like", NULL, "(2,?) (3) -> ?", "(2,3) (3) -> (3)"},
              {"_sum_like", NULL, "(2,3) (2,4) -> ?", "!(2,4) cannot be broadcast to (2,3)"});
}

static void dense(void)
{
    OP_SHAPES(
        {"FullyConnected", "num_hidden=10", "(64,3,4) ? ? -> ?",
         "(64,3,4) (10,12) (10) -> (64,10)"},
        {"FullyConnected", "num_hidden=10", "(?,3,4) ? ? -> (64,?)",
         "(64,3,4) (10,12) (10) -> (64,10)"},
        {"FullyConnected", "num_hidden=10", "(64,?) (?,7) ? -> ?", "(64,7) (10,7) (10) -> (64,10)"},
        {"FullyConnected", "num_hidden=10", "(64,?,4) (?,12) ? -> ?",
         "(64,3,4) (10,12) (10) -> (64,10)"},
        {"FullyConnected", "num_hidden=10", "(64) ? ? -> ?", "(64) (10,1) (10) -> (64,10)"},
        {"FullyConnected", "num_hidden=10", "? ? ? -> ?", "? (10,?) (10) -> (?,10)"},
        {"FullyConnected", "num_hidden=10; no_bias=1", "(2,3) ? -> ?", "(2,3) (10,3) -> (2,10)"},
        {"FullyConnected", "num_hidden=10", "(0,3) ? ? -> ?", "(0,3) (10,3) (10) -> (0,10)"},
        {"FullyConnected", "num_hidden=10; flatten=0", "(64,3,4) ? ? -> ?",
         "(64,3,4) (10,4) (10) -> (64,3,10)"},
        {"FullyConnected", "num_hidden=10; flatten=0", "? (?,4) ? -> (64,3,?)",
         "(64,3,4) (10,4) (10) -> (64,3,10)"},
        {"FullyConnected", "num_hidden=10; flatten=0", "(4) ? ? -> ?", "(4) (10,4) (10) -> (10)"},
        {"FullyConnected", "num_hidden=10", "(64,3) (10,4) ? -> ?", "!weight"},
        {"FullyConnected", "num_hidden=10", "(64,3) ? (11) -> ?", "!bias"},
        {"FullyConnected", "num_hidden=10", "() ? ? -> ?", "!data: wanted at least 1 axis"},
        {"dot", NULL, "(2,3) (3,4) -> ?", "(2,3) (3,4) -> (2,4)"},
        {"dot", NULL, "(3) (3) -> ?", "(3) (3) -> (1)"}, //
        {"dot", NULL, "(?) (3) -> ?", "(3) (3) -> (1)"},
        {"dot", NULL, "(2,3) (3) -> ?", "(2,3) (3) -> (2)"},
        {"dot", NULL, "(2,3,4) (4,5,6) -> ?", "(2,3,4) (4,5,6) -> (2,3,5,6)"},
        {"dot", "transpose_a=1", "(3,2,4) (3,5) -> ?", "(3,2,4) (3,5) -> (2,4,5)"},
        {"dot", "transpose_b=1", "(2,3) (4,5,3) -> ?", "(2,3) (4,5,3) -> (2,4,5)"},
        {"dot", NULL, "(?,3) (?,?) -> (2,4)", "(2,3) (3,4) -> (2,4)"},
        {"dot", "transpose_a=1; transpose_b=1", "(?,2) (4,3) -> ?", "(3,2) (4,3) -> (2,4)"},
        {"dot", NULL, "(2,3) (4,5) -> ?", "!axis 1 of lhs (2,3) and axis 0 of rhs (4,5) differ"},
        {"dot", "transpose_a=1", "(3) (3) -> ?", "!vectors cannot be transposed"},
        {"dot", NULL, "() (3) -> ?", "!lhs: wanted at least 1 axis, got a scalar"},
        {"dot", NULL, "(1,1,1,1,1,1) (1,1,1,1,1) -> ?", "!9 axes, at most 8"},
        {"_backward_dot_lhs", NULL, "(2,4) (?,4) (2,3) -> ?", "(2,4) (3,4) (2,3) -> (2,3)"},
        {"_backward_dot_rhs", "transpose_b=1", "(2,4) (2,3) ? -> (?,?)",
         "(2,4) (2,3) (4,3) -> (4,3)"},
        {"batch_dot", NULL, "(5,2,3) (?,?,4) -> ?", "(5,2,3) (5,3,4) -> (5,2,4)"},
        {"batch_dot", "transpose_a=1", "(5,3,2) (5,3,4) -> ?", "(5,3,2) (5,3,4) -> (5,2,4)"},
        {"batch_dot", "transpose_b=1", "? (5,4,3) -> (?,2,?)", "(5,2,3) (5,4,3) -> (5,2,4)"},
        {"batch_dot", NULL, "(5,2,3) (6,3,4) -> ?", "!batches of lhs, rhs and output differ: 5, 6"},
        {"batch_dot", NULL, "(2,3) ? -> ?", "!lhs"});
}

static void softmaxes(void)
{
    OP_SHAPES({"softmax", NULL, "? -> (2,3)", "(2,3) -> (2,3)"},
              {"softmax", "axis=2", "(2,3) -> ?", "!axis: 2 of a value with 2 axes"},
              {"softmax", NULL, "() -> ?", "!axis: -1 of a value with 0 axes"},
              {"_backward_softmax", NULL, "? (2,3) -> ?", "(2,3) (2,3) -> (2,3)"},
              {"log_softmax", NULL, "(2,?) -> (?,3)", "(2,3) -> (2,3)"},
              {"_backward_log_softmax", NULL, "(2,3) ? -> ?", "(2,3) (2,3) -> (2,3)"});
}

static void losses(void)
{
    OP_SHAPES(
        {"SoftmaxOutput", NULL, "(32,10) ? -> ?", "(32,10) (32) -> (32,10)"},
        {"SoftmaxOutput", NULL, "(32,10) (32,10) -> ?", "(32,10) (32,10) -> (32,10)"},
        {"SoftmaxOutput", NULL, "(?,10) (32) -> ?", "(32,10) (32) -> (32,10)"},
        {"SoftmaxOutput", NULL, "(4,5,6) ? -> ?", "(4,5,6) (4,5) -> (4,5,6)"},
        {"SoftmaxOutput", NULL, "? (32) -> (?,10)", "(32,10) (32) -> (32,10)"},
        {"SoftmaxOutput", "multi_output=1", "(4,5,6,7) ? -> ?", "(4,5,6,7) (4,42) -> (4,5,6,7)"},
        {"SoftmaxOutput", "multi_output=1", "(4,5,6,7) (4,6,7) -> ?",
         "(4,5,6,7) (4,6,7) -> (4,5,6,7)"},
        {"SoftmaxOutput", "multi_output=1", "(4,5,6,7) (4,1,6,7) -> ?",
         "(4,5,6,7) (4,1,6,7) -> (4,5,6,7)"},
        {"SoftmaxOutput", "multi_output=1", "(?,5,6,7) (4,42) -> ?",
         "(4,5,6,7) (4,42) -> (4,5,6,7)"},
        {"SoftmaxOutput", NULL, "(32,10) (31) -> ?",
         "!label: wanted (32,) for data (32,10), got (31,)"},
        {"SoftmaxOutput", NULL, "(32,10) (32,1) -> ?", "!label: wanted (32,)"},
        {"SoftmaxOutput", "multi_output=1", "(4,5,6) (4,5) -> ?", "!label: wanted (4,6)"},
        {"SoftmaxOutput", NULL, "(10) ? -> ?", "!data: wanted at least 2 axes, got 1"},
        {"Softmax", NULL, "(32,10) ? -> ?", "(32,10) (32) -> (32,10)"},
        {"_backward_SoftmaxOutput", NULL, "(32,10) ? -> ?", "(32,10) (32) -> (32,10)"},
        {"_backward_SoftmaxOutput", "out_grad=1", "? (32) (32,10) -> ?",
         "(32,10) (32) (32,10) -> (32,10)"},
        {"MakeLoss", NULL, "(4) -> ?", "(4) -> (4)"}, //
        {"make_loss", NULL, "? -> (4)", "(4) -> (4)"},
        {"_backward_MakeLoss", NULL, "(4) -> ?", "(4) -> (4)"},
        {"LinearRegressionOutput", NULL, "(5,1) ? -> ?", "(5,1) (5) -> (5,1)"},
        {"LinearRegressionOutput", NULL, "(5,2) ? -> ?", "(5,2) (5,2) -> (5,2)"},
        {"LinearRegressionOutput", NULL, "(5) ? -> ?", "(5) (5) -> (5)"},
        {"LogisticRegressionOutput", NULL, "(5,2,3) (5,6) -> ?", "(5,2,3) (5,6) -> (5,2,3)"},
        {"LogisticRegressionOutput", NULL, "(?,2,3) (5,6) -> ?", "(5,2,3) (5,6) -> (5,2,3)"},
        {"MAERegressionOutput", NULL, "(5,2) (5) -> ?",
         "!label: wanted the first extent and the size"},
        {"MAERegressionOutput", NULL, "(5,2) (2,5) -> ?", "!(2,5)"},
        {"_backward_LinearRegressionOutput", NULL, "(5,1) ? -> ?", "(5,1) (5) -> (5,1)"},
        {"_backward_MAERegressionOutput", NULL, "? (5,2) -> (5,?)", "(5,2) (5,2) -> (5,2)"});
}

static void reductions(void)
{
    OP_SHAPES(
        {"sum", NULL, "(2,3) -> ?", "(2,3) -> (1)"}, //
        {"sum", NULL, "? -> ?", "? -> (1)"}, {"sum", "keepdims=1", "(2,3) -> ?", "(2,3) -> (1,1)"},
        {"sum", "axis=(0,-1)", "(2,3,4) -> ?", "(2,3,4) -> (3)"},
        {"sum", "axis=(0,1)", "(2,3) -> ?", "(2,3) -> (1)"},
        {"sum", "axis=1", "(2,3,4) -> ?", "(2,3,4) -> (2,4)"},
        {"sum", "axis=1; exclude=1", "(2,3,4) -> ?", "(2,3,4) -> (3)"},
        {"sum", "axis=(0,1); exclude=1", "(2,3) -> ?", "(2,3) -> (2,3)"},
        {"mean", "axis=1; keepdims=1", "(2,?,4) -> (?,1,4)", "(2,?,4) -> (2,1,4)"},
        {"mean", "axis=1; keepdims=1", "? -> (2,1,4)", "(2,?,4) -> (2,1,4)"},
        {"max", "axis=0", "(?,?) -> (3)", "(?,3) -> (3)"},
        {"min", "axis=-1", "(2,0) -> ?", "(2,0) -> (2)"}, {"prod", NULL, "() -> ?", "() -> (1)"},
        {"prod", "axis=2", "(2,3) -> ?", "!axis: 2 of a value with 2 axes"},
        {"prod", "axis=(0,-2)", "(2,3) -> ?", "!axis: 0 stands there twice"},
        {"sum", "axis=0; keepdims=1", "(2,3) -> (2,3)", "!(1,3)"},
        {"norm", NULL, "(2,3) -> ?", "(2,3) -> (1)"},
        {"_broadcast_reduced", "axis=1", "(2,4) (2,3,4) -> ?", "(2,4) (2,3,4) -> (2,3,4)"},
        {"_broadcast_reduced", "axis=1", "? ? -> (2,3,4)", "(2,4) (2,3,4) -> (2,3,4)"},
        {"_broadcast_reduced", "axis=1", "(2,5) (2,3,4) -> ?", "!data"},
        {"argmax", "axis=1", "(2,3) -> ?", "(2,3) -> (2)"},
        {"argmax", "axis=-2; keepdims=1", "(2,3) -> ?", "(2,3) -> (1,3)"},
        {"argmin", NULL, "(2,3) -> ?", "(2,3) -> (1)"},
        {"argmin", "axis=0", "(2) -> ?", "(2) -> (1)"},
        {"argmax_channel", NULL, "(2,3,4) -> ?", "(2,3,4) -> (2,4)"},
        {"argmax_channel", NULL, "(2) -> ?", "!axis: 1 of a value with 1 axes"});
}

static void steps(void)
{
    OP_SHAPES({"sgd_update", "lr=1", "(2) ? -> ?", "(2) (2) -> (2)"},
              {"sgd_mom_update", "lr=1", "? ? (2,3) -> ?", "(2,3) (2,3) (2,3) -> (2,3)"},
              {"adam_update", "lr=1", "? (2) ? ? -> ?", "(2) (2) (2) (2) -> (2)"},
              {"adam_update", "lr=1", "(3) (2) ? ? -> ?", "!grad"});
}

TN_TEST_MAIN({"elementwise: one shape", elementwise}, {"where", choosing},
             {"broadcasting", broadcasting}, {"FullyConnected and products", dense},
             {"softmax", softmaxes}, {"losses and their labels", losses},
             {"reductions", reductions}, {"optimizer steps", steps})
