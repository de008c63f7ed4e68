// tests/passes/op_rows.h: a valid call of every operator of the core, for tests that walk over all.
//
// Operators that are rows of <tenon/elementwise.h> are added by code: op_row_next().
#ifndef TENON_TESTS_OP_ROWS_H
#define TENON_TESTS_OP_ROWS_H

#include <tenon/elementwise.h>

#include "inferred.h"

typedef struct op_row {
    const char *op, *params;
    const char *shapes; // of the inputs, auxiliary states too: one word each
} op_row;

static const op_row op_rows[] = {
    {"Activation", "act_type=relu", "2,3"},
    {"Activation", "act_type=softrelu", "2,3"},
    {"Activation", "act_type=gelu", "2,3"},
    {"Activation", "act_type=silu", "2,3"},
    {"Activation", "act_type=hard_sigmoid", "2,3"},
    {"hard_sigmoid", "alpha=0.3", "2,3"},
    {"clip", "a_min=-1; a_max=1", "2,3"},
    {"_backward_clip", "a_min=-1; a_max=1", "2,3 2,3"},
    {"smooth_l1", "scalar=2", "2,3"},
    {"smooth_l1", "scalar=0", "2,3"},
    {"_backward_smooth_l1", "scalar=2", "2,3 2,3"},
    {"softmax", NULL, "2,3"},
    {"softmax", "axis=0; temperature=2", "2,3"},
    {"_backward_softmax", "axis=0; temperature=2", "2,3 2,3"},
    {"log_softmax", "axis=1", "2,3,4"},
    {"_backward_log_softmax", "axis=-2; temperature=0.5", "2,3,4 2,3,4"},
    {"SoftmaxOutput", NULL, "2,3 2"},
    {"SoftmaxOutput", "out_grad=1; grad_scale=0.5", "2,3,4 2,3"},
    {"SoftmaxOutput", "multi_output=1; normalization=valid; use_ignore=1", "2,3,4 2,4"},
    {"SoftmaxOutput", "preserve_shape=1", "2,3,4 2,3"},
    {"Softmax", "ignore_label=3", "2,3 2"},
    {"_backward_SoftmaxOutput", NULL, "2,3 2"},
    {"_backward_SoftmaxOutput", "out_grad=1", "2,3 2 2,3"},
    {"make_loss", NULL, "2,3"},
    {"MakeLoss", "grad_scale=2; normalization=batch", "2,3"},
    {"_backward_MakeLoss", "normalization=valid", "2,3"},
    {"LinearRegressionOutput", "grad_scale=3", "2,3 2,3"},
    {"LogisticRegressionOutput", NULL, "2,1 2"},
    {"MAERegressionOutput", NULL, "2,3 2,3"},
    {"_backward_LinearRegressionOutput", NULL, "2,3 2,3"},
    {"_backward_MAERegressionOutput", NULL, "2,3 2,3"},
    {"FullyConnected", "num_hidden=5", "2,3,4 5,12 5"},
    {"FullyConnected", "num_hidden=5; no_bias=1; flatten=0", "2,3,4 5,4"},
    {"FullyConnected", "num_hidden=5; flatten=0", "4 5,4 5"},
    {"dot", NULL, "2,3 3,4"},
    {"dot", NULL, "3 3"},
    {"dot", NULL, "2,3,4 4,5,6"},
    {"dot", "transpose_a=1", "3,2,4 3,5"},
    {"dot", "transpose_b=1", "2,3 4,5,3"},
    {"dot", "transpose_a=1; transpose_b=1", "3,2 4,3"},
    {"_backward_dot_lhs", "transpose_a=1", "2,5 3,5 3,2"},
    {"_backward_dot_rhs", "transpose_b=1", "2,5 2,3 5,3"},
    {"batch_dot", NULL, "6,2,3 6,3,4"},
    {"batch_dot", "transpose_a=1", "6,3,2 6,3,4"},
    {"batch_dot", "transpose_b=1", "6,2,3 6,4,3"},
    {"batch_dot", "transpose_a=1; transpose_b=1", "6,3,2 6,4,3"},
    {"Convolution", "kernel=(3,2); num_filter=4", "2,3,5,6 4,3,3,2 4"},
    {"Convolution", "kernel=3; num_filter=4; stride=2; pad=1; num_group=2; no_bias=1",
     "2,6,7 4,3,3"},
    {"Convolution", "kernel=(2,2,2); num_filter=1; dilate=(2,1,1); no_bias=1",
     "1,2,4,3,3 1,2,2,2,2"},
    {"_backward_Convolution_data", "kernel=(3,3); num_filter=4; stride=(2,2)",
     "2,4,2,2 4,3,3,3 2,3,6,5"},
    {"_backward_Convolution_weight", "kernel=(3,3); num_filter=4; pad=(1,1); num_group=2",
     "2,4,5,5 2,6,5,5 4,3,3,3"},
    {"Deconvolution", "kernel=(3,3); num_filter=4; stride=(2,2); adj=(1,0)", "2,6,4,3 6,4,3,3"},
    {"Deconvolution", "kernel=4; num_filter=2; num_group=2; stride=2; target_shape=7; no_bias=0",
     "2,4,4 4,1,4 2"},
    {"_backward_Deconvolution_data", "kernel=(3,); num_filter=4; pad=(1,)", "2,4,5 6,4,3 2,6,5"},
    {"_backward_Deconvolution_weight", "kernel=(3,); num_filter=4; stride=2", "2,4,9 2,6,4 6,4,3"},
    {"Pooling", "kernel=(2,2); stride=(2,2); pool_type=max", "2,3,4,5"},
    {"Pooling", "kernel=(3,); pad=(1,); pool_type=avg", "2,3,5"},
    {"Pooling", "global_pool=1; pool_type=avg", "2,3,4,5"},
    {"Pooling", "kernel=(2,2); stride=(2,2); pool_type=sum; pooling_convention=full", "2,3,4,5"},
    {"_backward_Pooling_max", "kernel=(2,2)", "2,3,3,4 2,3,4,5 2,3,3,4"},
    {"_backward_Pooling_sum", "kernel=(2,); pool_type=avg", "2,3,4 2,3,5"},
    {"BatchNorm", NULL, "2,3,4 3 3 3 3"},
    {"BatchNorm", "axis=-1; use_global_stats=1; fix_gamma=0", "2,3,4 4 4 4 4"},
    {"_backward_BatchNorm", NULL, "2,3 2,3 3 3 3 3 3"},
    {"BatchNorm_v1", NULL, "2,3,4 3 3 3 3"},
    {"BatchNorm_v1", "fix_gamma=0; output_mean_var=1", "2,3 3 3 3 3"},
    {"Convolution_v1", "kernel=(3,2); num_filter=4", "2,3,5,6 4,3,3,2 4"},
    {"Convolution_v1", "kernel=(2,2,2); num_filter=2; num_group=2; no_bias=1; layout=NCDHW",
     "1,2,4,3,3 2,1,2,2,2"},
    {"Pooling_v1", "kernel=(2,2); stride=(2,2); pool_type=max", "2,3,4,5"},
    {"Pooling_v1", "kernel=(3,2); pad=(1,1); pool_type=avg; pooling_convention=full", "2,3,5,4"},
    {"Pooling_v1", "kernel=(2,2); pool_type=sum", "2,3,4,5"},
    {"Pooling_v1", "global_pool=1; pool_type=avg", "2,3,4,5"},
    {"Pooling_v1", "global_pool=1; pool_type=max", "2,3,4,5"},
    {"_backward_Pooling_v1", "kernel=(2,3); pad=(1,1); stride=(2,1)", "2,3,3,5 2,3,4,5 2,3,3,5"},
    {"_Pooling_v1_chosen", "kernel=(2,3); pad=(1,1); stride=(2,1)", "2,3,4,5 2,3,4,5 2,3,3,5"},
    {"LRN", "nsize=3", "2,5,2,3"},
    {"_backward_LRN", "nsize=3; alpha=0.1", "2,5,2,3 2,5,2,3 2,5,2,3"},
    {"LeakyReLU", NULL, "2,3"},
    {"LeakyReLU", "act_type=prelu", "2,3,4 3"},
    {"LeakyReLU", "act_type=elu; slope=0.5", "2,3"},
    {"LeakyReLU", "act_type=selu", "2,3"},
    {"LeakyReLU", "act_type=gelu", "2,3"},
    {"LeakyReLU", "act_type=rrelu", "2,3"},
    {"Flatten", NULL, "2,3,4"},
    {"Reshape", "shape=(-1,0); reverse=1", "2,3,4"},
    {"Reshape", "target_shape=(0,4)", "2,3,4"},
    {"reshape_like", NULL, "2,6 3,4"},
    {"expand_dims", "axis=1", "2,3"},
    {"transpose", NULL, "2,3,4"},
    {"transpose", "axes=(1,2,0)", "2,3,4"},
    {"SwapAxis", "dim1=0; dim2=2", "2,3,4"},
    {"Concat", "num_args=3; dim=1", "2,3 2,1 2,4"},
    {"_backward_Concat", "num_args=2; dim=0", "5,3 2,3 3,3"},
    {"SliceChannel", "num_outputs=2; axis=-1", "2,3,4"},
    {"SliceChannel", "num_outputs=3; squeeze_axis=1", "2,3,4"},
    {"_backward_SliceChannel", "num_args=2; axis=1", "2,3 2,3"},
    {"_backward_SliceChannel", "num_args=2; axis=-1; squeeze_axis=1", "2,3 2,3"},
    {"stack", "num_args=2; axis=-1", "2,3 2,3"},
    {"stack", "num_args=3", "2 2 2"},
    {"slice", "begin=(None,-3); end=(1,None)", "2,4"},
    {"slice", "begin=(4,); end=(None,); step=(-2,)", "6,3"},
    {"_backward_slice", "begin=(None,1); end=(None,3)", "2,2 2,4"},
    {"_slice_assign", "begin=(None,1); end=(None,3)", "2,4 2,2"},
    {"_crop_assign_scalar", "scalar=3; begin=(0,1); end=(1,3)", "2,4"},
    {"slice_axis", "axis=-1; begin=-3; end=None", "2,4"},
    {"_backward_slice_axis", "axis=1; begin=1; end=-1", "2,2 2,4"},
    {"sum", NULL, "2,3"},
    {"sum", "axis=(0,-1); keepdims=1", "2,3,4"},
    {"sum", "axis=-1; exclude=1", "2,3,4"},
    {"mean", "axis=1", "2,3,4"},
    {"max", "axis=0", "2,3"},
    {"min", "axis=(1,); keepdims=1", "2,3"},
    {"prod", "axis=1", "2,3"},
    {"norm", NULL, "2,3"},
    {"_broadcast_reduced", "axis=(0,); scale_by_count=1", "3 2,3"},
    {"_broadcast_reduced", NULL, "1 2,3"},
    {"argmax", "axis=1", "2,3"},
    {"argmin", NULL, "2,3"},
    {"argmax_channel", NULL, "2,3"},
    {"broadcast_to", "shape=(2,0,4)", "2,3,1"},
    {"broadcast_axis", "axis=(0,2); size=(5,6)", "1,3,1"},
    {"broadcast_like", NULL, "3,1 2,3,4"},
    {"_sum_like", NULL, "2,3,4 3,1"},
    {"Embedding", "input_dim=4; output_dim=3", "2,5 4,3"},
    {"_backward_Embedding", "input_dim=4; output_dim=3", "2,5,3 2,5 4,3"},
    {"take", NULL, "4,2,3 5"},
    {"take", "mode=wrap", "4 2,2"},
    {"take", NULL, "4 1"},
    {"_backward_take", "mode=wrap", "5,2,3 5 4,2,3"},
    {"one_hot", "depth=3; on_value=2; off_value=-1", "2"},
    {"_positions", "axis=-1", "2,3"},
    {"_take_along", "axis=1", "2,3,4 2,5,1"},
    {"_backward_take_along", "axis=-2", "2,5,4 1,5,4 2,3,4"},
    {"pick", NULL, "2,3 2"},
    {"pick", "axis=1; keepdims=1", "2,3,4 2,1,4"},
    {"pick", "axis=0", "3 1"},
    {"_backward_pick", NULL, "2 2 2,3"},
    {"_backward_pick", "axis=0; keepdims=1", "1,3 1,3 2,3"},
    {"batch_take", NULL, "2,3 2"},
    {"choose_element_0index", NULL, "2,3 2"},
    {"fill_element_0index", NULL, "2,3 2 2"},
    {"_onehot_encode", NULL, "2 2,3"},
    {"_copyto", NULL, "2,3"},
    {"SequenceLast", NULL, "3,2,4"},
    {"SequenceLast", "use_sequence_length=1", "3,2,4 2"},
    {"SequenceMask", "value=2", "3,2,4"},
    {"SequenceMask", "use_sequence_length=1; value=2", "3,2,4 2"},
    {"SequenceReverse", NULL, "3,2,4"},
    {"SequenceReverse", "use_sequence_length=1", "3,2,4 2"},
    {"RNN", "mode=lstm; state_size=2; num_layers=1; state_outputs=1", "4,2,3 56 1,2,2 1,2,2"},
    {"RNN", "mode=lstm; state_size=2; num_layers=2; p=0.5", "4,2,3 104 2,2,2 2,2,2"},
    {"RNN", "mode=gru; state_size=2; num_layers=2; bidirectional=1", "4,2,3 180 4,2,2"},
    {"RNN", "mode=rnn_tanh; state_size=2; num_layers=2", "4,2,3 26 2,2,2"},
    {"RNN", "mode=rnn_relu; state_size=2; num_layers=1; bidirectional=1", "4,2,3 28 2,2,2"},
    {"_backward_RNN", "mode=lstm; state_size=2; num_layers=1",
     "4,2,3 56 1,2,2 4,2,2 1,2,2 1,2,2 1,2,2"},
    {"_backward_RNN", "mode=gru; state_size=2; num_layers=2; bidirectional=1; dropout=1",
     "4,2,3 180 4,2,2 4,2,4 4,2,2 1,4,2,4"},
    {"_backward_RNN", "mode=rnn_tanh; state_size=2; num_layers=2", "4,2,3 26 2,2,2 4,2,2 2,2,2"},
    {"_backward_RNN", "mode=rnn_relu; state_size=2; num_layers=1; bidirectional=1",
     "4,2,3 28 2,2,2 4,2,4 2,2,2"},
    {"_contrib_CTCLoss", NULL, "5,2,3 2,2"},
    {"_contrib_CTCLoss", NULL, "4,8,3 8,3"},
    {"_contrib_CTCLoss", NULL, "2,3,1 3,1"},
    {"_contrib_CTCLoss", "use_data_lengths=1", "3,6,4 6,2 6"},
    {"_contrib_CTCLoss", "use_data_lengths=1; use_label_lengths=1; blank_label=last",
     "5,2,4 2,2 2 2"},
    {"_argsort", "axis=0; is_ascend=0", "2,3"},
    {"sort", NULL, "2,3"},
    {"sort", "axis=None; is_ascend=0", "2,3"},
    {"argsort", "axis=0", "2,3"},
    {"topk", NULL, "2,3"},
    {"topk", "axis=None; k=4; ret_typ=value", "2,3"},
    {"topk", "axis=0; k=2; ret_typ=both; is_ascend=1", "2,3"},
    {"topk", "axis=1; k=2; ret_typ=mask", "2,3"},
    {"repeat", "repeats=2", "2,3"},
    {"repeat", "repeats=3; axis=1", "2,3,4"},
    {"repeat", "repeats=2; axis=-1", "2,3"},
    {"repeat", "repeats=2; axis=-2", "2,3"},
    {"reverse", "axis=(0,-1)", "2,3,4"},
    {"Pad", "mode=constant; pad_width=(0,0,1,2)", "2,3"},
    {"Pad", "mode=constant; pad_width=(1,0,0,2); constant_value=3", "2,3"},
    {"Pad", "mode=edge; pad_width=(1,2,0,3)", "2,3"},
    {"Pad", "mode=reflect; pad_width=(0,0,1,1,2,5)", "2,1,3"},
    {"tile", "reps=(2,1,3)", "2,3"},
    {"tile", "reps=3", "2,3"},
    {"tile", "reps=(2,0)", "2,3"},
    {"Crop", "num_args=1; h_w=(2,3); offset=(1,0)", "2,3,4,3"},
    {"Crop", "num_args=2; center_crop=1", "2,3,5,4 1,1,2,2"},
    {"UpSampling", "scale=2; sample_type=nearest; num_args=1", "2,3,2,1"},
    {"UpSampling", "scale=2; sample_type=nearest; num_args=2", "2,3,2,2 2,1,4,4"},
    {"UpSampling", "scale=3; sample_type=nearest; num_args=2; multi_input_mode=sum",
     "1,2,2,2 1,2,3,3"},
    {"_backward_Pad", "mode=edge; pad_width=(1,2,0,3)", "5,6 2,3"},
    {"_backward_Pad", "mode=reflect; pad_width=(0,0,1,1,2,5)", "2,3,10 2,1,3"},
    {"_backward_tile", "reps=(2,1,3)", "2,2,9 2,3"},
    {"_backward_Crop", "num_args=2; offset=(1,0)", "2,3,2,3 2,3,4,3"},
    {"_enlarge_like", NULL, "2,3,2,4 1,1,4,8"},
    {"_backward_enlarge", NULL, "2,3,4,8 2,3,2,4"},
    {"UpSampling", "scale=2; sample_type=bilinear; num_filter=3; num_args=2", "2,3,2,3 3,1,4,4"},
    {"SoftmaxActivation", NULL, "2,3,4"},
    {"SoftmaxActivation", "mode=channel", "2,3,4"},
    {"softmax_cross_entropy", NULL, "2,3 2"},
    {"SVMOutput", NULL, "2,3 2"},
    {"SVMOutput", "use_linear=1; margin=0.5", "2,4,3 2,4"},
    {"LayerNorm", NULL, "2,3,4 4 4"},
    {"LayerNorm", "axis=1; eps=0.1; output_mean_var=1", "2,3,4 3 3"},
    {"GroupNorm", "num_groups=2", "2,4,3 4 4"},
    {"GroupNorm", "num_groups=3; output_mean_var=1", "2,3 3 3"},
    {"RMSNorm", NULL, "2,3,4 4"},
    {"RMSNorm", "axis=1", "2,3,4 3,4"},
    {"RMSNorm", "axis=-2; epsilon=0.1", "2,3,4 3,4"},
    {"RMSNorm", "axis=0", "2,3 2,3"},
    {"InstanceNorm", NULL, "2,3,4 3 3"},
    {"L2Normalization", NULL, "2,3,4"},
    {"L2Normalization", "mode=spatial", "2,3,4"},
    {"L2Normalization", "mode=channel", "2,3"},
    {"_contrib_MultiBoxPrior", "sizes=(0.5,0.7); ratios=(1,2); clip=1", "1,2,2,3"},
    {"_contrib_MultiBoxPrior", "steps=(0.3,0.2); offsets=(0,1)", "1,2,2,1"},
    {"_contrib_MultiBoxTarget", NULL, "1,4,4 2,3,5 2,3,4"},
    {"_contrib_MultiBoxTarget", "negative_mining_ratio=2", "1,4,4 2,3,6 2,3,4"},
    {"_contrib_MultiBoxDetection", NULL, "2,3,4 2,16 1,4,4"},
    {"_contrib_MultiBoxDetection", "force_suppress=1; nms_topk=2; clip=0", "2,3,4 2,16 1,4,4"},
    {"_contrib_Proposal", "scales=2; ratios=(1,2); rpn_post_nms_top_n=5", "1,4,2,3 1,8,2,3 1,3"},
    {"_contrib_MultiProposal", "scales=2; ratios=1; rpn_post_nms_top_n=5; iou_loss=1",
     "2,2,2,3 2,4,2,3 2,3"},
    {"nansum", "axis=0", "2,3"},
    {"nanprod", "axis=(1,); keepdims=1", "2,3"},
    {"_zeros", "shape=(2,3)", ""},
    {"_ones", "shape=(2,3); dtype=float64", ""},
    {"_full", "shape=(2,3); value=7", ""},
    {"_arange", "start=1; stop=4; step=0.5", ""},
    {"zeros_like", NULL, "2,3"},
    {"ones_like", NULL, "2,3"},
    {"random_uniform", "shape=(2,3)", ""},
    {"random_normal", "shape=(2,3)", ""},
    {"Dropout", "p=0.25", "2,3"},
    {"sgd_update", "lr=0.1", "2,3 2,3"},
    {"sgd_mom_update", "lr=0.1; momentum=0.9", "2,3 2,3 2,3"},
    {"adam_update", "lr=0.1", "2,3 2,3 2,3 2,3"},
    {"rmsprop_update", "lr=0.1", "2,3 2,3 2,3"},
    {"rmspropalex_update", "lr=0.1", "2,3 2,3 2,3 2,3 2,3"},
    {"mp_sgd_update", "lr=0.1", "2,3 2,3 2,3"},
    {"mp_sgd_mom_update", "lr=0.1; momentum=0.9", "2,3 2,3 2,3 2,3"},
    {"_copy", NULL, "2,3"},
    {"BlockGrad", NULL, "2,3"},
    {"_identity_with_attr_like_rhs", NULL, "2,3 2,3"},
    {"Cast", "dtype=float32", "2,3"},
    {"_cast_like", NULL, "2,3 2,3"},
    {"where", NULL, "2,3 2,3 2,3"},
    {"where", NULL, "2 2,3 2,3"},
    {"add_n", "num_args=3", "2,3 2,3 2,3"},
    {"add_n", "num_args=1", "2,3"},
    {"_grad_add", NULL, "2,3 2,3"},
    {"_CrossDeviceCopy", NULL, "2,3"},
    {"_reorder", NULL, "2,3"},
    // the constants of a derivative fold for these
    {"_power_scalar", "scalar=0", "2,3"},
    {"_power_scalar", "scalar=1", "2,3"},
    {"_power_scalar", "scalar=2", "2,3"},
    {"broadcast_add", NULL, "3,1 2,1,4"},
    {"broadcast_power", NULL, "2,3 1"},
    {"broadcast_hypot", NULL, "2,1 1,3"},
#define ROW_OF(op, dtypes, uses, ...) {#op, NULL, "2,3"}, BACKWARD_OF_##uses(op)
#define BACKWARD_OF_X(op) {"_backward_" #op, NULL, "2,3 2,3"},
#define BACKWARD_OF_Y(op) {"_backward_" #op, NULL, "2,3 2,3"},
#define BACKWARD_OF_XY(op) {"_backward_" #op, NULL, "2,3 2,3 2,3"},
#define BACKWARD_OF_NONE(op)
#define BACKWARD_OF_ZERO(op)
    TN_UNARY_ROWS(ROW_OF)
#undef ROW_OF
#define ROW_OF(op, scalar, rscalar, broadcast, ...)                                          \
    {#op, NULL, "2,3 2,3"}, {#scalar, "scalar=1.5", "2,3"}, {#rscalar, "scalar=1.5", "2,3"}, \
        {#broadcast, NULL, "2,3 3"},
        TN_BINARY_ROWS(ROW_OF)
#undef ROW_OF
};
enum { N_OP_ROWS = sizeof op_rows / sizeof *op_rows };

// "2,3" → (2,3). Returns what stands behind the word.
static inline const char *op_row_shape(const char *text, tn_shape *shape)
{
    *shape = (tn_shape){0};
    while (*text == ' ') text++;
    for (; *text && *text != ' '; text++) {
        if (*text == ',') continue;
        shape->dim[shape->ndim++] = strtoll(text, (char **)&text, 10);
        text--;
    }
    return text;
}

// Inputs of a row as variables x0, x1, … of known shape and dtype; how many there are.
static inline size_t op_row_inputs(const op_row *row, tn_symbol x[8], tn_dtype dtype)
{
    static const char *const names[] = {"x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7"};
    size_t n = 0;
    for (const char *at = row->shapes; *at && n < 8; n++) {
        tn_shape s;
        at = op_row_shape(at, &s);
        x[n] = tn_variable(bench.g, names[n], .shape = {(size_t)s.ndim, s.dim}, .dtype = dtype);
    }
    return n;
}

// The call of a row; {0,0} on an error, which is in bench.g. A fresh graph is made for it.
static inline tni_entry op_row_call(const op_row *row, tn_symbol x[8], size_t *n, tn_dtype dtype)
{
    tni_entry in[8];
    tn_graph_free(bench.g);
    bench.g = tn_graph_new(bench.env);
    *n = op_row_inputs(row, x, dtype);
    for (size_t i = 0; i < *n; i++) in[i] = (tni_entry){x[i].node, x[i].out};
    return tni_build(bench.g, NULL, row->op, row->params, in, (uint32_t)*n, "op", 0);
}

#endif
