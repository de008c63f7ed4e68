// core/ops/ops.h: the core's own operators, and what the files that declare them share.
//
// An operator is one block in one file: formula, parameters, shape and dtype rule, gradient or
// expansion, declaration. A new one also gets a word in TNI_OPS below; nothing else changes.
#ifndef TENON_CORE_OPS_H
#define TENON_CORE_OPS_H

#include <tenon/elementwise.h>
#include <tenon/sdk.h>

// The core's operators as a plugin table: core/env registers it like anybody's.
extern const tn_plugin tni_core_plugin;

// Every operator that is not a row of <tenon/elementwise.h>, by the file that declares it.
// clang-format off
#define TNI_OPS(X) \
    /* activation.c */ X(activation) X(clip) X(backward_clip) X(smooth_l1) X(backward_smooth_l1) \
    X(hard_sigmoid) \
    /* softmax.c */ X(softmax) X(backward_softmax) X(log_softmax) X(backward_log_softmax) \
    /* loss.c */ X(softmax_output) X(softmax_deprecated) X(backward_softmax_output) \
    X(make_loss) X(make_loss_output) X(backward_make_loss) \
    /* regression.c */ X(linear_regression) X(logistic_regression) X(backward_linear_regression) \
    X(mae_regression) X(backward_mae_regression) \
    /* dense.c */ X(fully_connected) X(dot) X(backward_dot_lhs) X(backward_dot_rhs) X(batch_dot) \
    /* linalg.c */ X(linalg_gemm) X(linalg_gemm2) X(linalg_syrk) X(linalg_trmm) X(linalg_trsm) \
    /* cholesky.c */ X(linalg_potrf) X(linalg_potri) X(linalg_sumlogdiag) X(tril) X(linalg_transpose) \
    /* matmul.c */ X(matmul) X(backward_matmul_a) X(backward_matmul_b) \
    /* attention.c */ X(attention) X(masked_scores) X(backward_attn_mask) X(scale_by_extent) \
    X(repeat_heads) X(backward_repeat_heads) \
    /* scan.c */ X(cumsum) \
    /* gather.c */ X(gather_nd) X(scatter_nd) X(backward_gather_nd) X(check_index) \
    /* diag.c */ X(diag) X(backward_diag) \
    /* squeeze.c */ X(squeeze) \
    /* conv.c */ X(convolution_v1) X(convolution) X(backward_convolution_data) X(backward_convolution_weight) \
    /* deconv.c */ X(deconvolution) X(backward_deconvolution_data) \
    X(backward_deconvolution_weight) \
    /* pool.c */ X(pooling_v1) X(backward_pooling_v1) X(pooling_v1_chosen) X(pooling) X(backward_pooling_max) X(backward_pooling_sum) \
    /* norm.c */ X(batch_norm_v1) X(batch_norm) X(backward_batch_norm) X(lrn) X(backward_lrn) \
    /* leaky.c */ X(leaky_relu) X(leaky) X(backward_leaky) \
    /* reshape.c */ X(flatten) X(reshape) X(reshape_like) X(expand_dims) \
    /* matrix.c */ X(transpose) X(swap_axis) X(concat) X(backward_concat) \
    /* channel.c */ X(slice_channel) X(backward_slice_channel) X(stack) \
    /* slice.c */ X(slice) X(backward_slice) X(slice_assign) \
    X(slice_assign_scalar) X(slice_axis) X(backward_slice_axis) \
    /* reduce.c */ X(sum) X(mean) X(max) X(min) X(prod) X(nansum) X(nanprod) X(norm) X(broadcast_reduced) \
    X(argmax) X(argmin) X(argmax_channel) \
    /* broadcast.c */ X(broadcast_to) X(broadcast_axis) X(broadcast_like) X(sum_like) \
    /* index.c */ X(embedding) X(backward_embedding) X(take) X(backward_take) X(one_hot) \
    /* deferred.c, bilinear.c */ X(extent) X(cast_as) X(wide) X(narrow) X(bilinear) X(backward_bilinear) \
    /* grid.c */ X(bilinear_sampler) X(grid_generator) X(spatial_transformer) \
    /* roi.c */ X(roi_pooling) X(backward_roi_pooling) X(psroi_pooling) X(backward_psroi_pooling) \
    /* deformable.c */ X(deformable_convolution) X(deformable_psroi_pooling) \
    /* correlation.c */ X(zero_border) X(correlation) \
    /* along.c */ X(positions) X(take_along) X(backward_take_along) \
    /* pick.c */ X(pick) X(backward_pick) X(batch_take) X(choose_element) X(fill_element) \
    X(onehot_encode) \
    /* rnn.c */ X(rnn) X(backward_rnn) \
    /* ctc.c */ X(ctc_loss) \
    /* sequence.c */ X(sequence_last) X(sequence_mask) X(sequence_reverse) \
    /* order.c */ X(argsort_whole) X(argsort_first) X(sort) X(argsort) X(topk) \
    /* pad.c */ X(pad) X(backward_pad) X(tile) X(backward_tile) \
    /* crop.c */ X(crop) X(backward_crop) X(up_sampling) X(enlarge_like) X(backward_enlarge) \
    /* repeat.c */ X(repeat) X(reverse) \
    /* entropy.c */ X(softmax_activation) X(softmax_cross_entropy) X(svm_output) \
    /* layer_norm.c */ X(layer_norm) X(backward_layer_norm) X(rms_norm) \
    /* group_norm.c */ X(group_norm) X(backward_group_norm) \
    /* instance.c */ X(instance_norm) X(l2_normalization) \
    /* init.c */ X(zeros) X(ones) X(full) X(arange) X(zeros_like) X(ones_like) \
    /* random.c */ X(random_uniform) X(random_normal) X(dropout) \
    /* random.c */ X(random_gamma) X(random_exponential) X(random_poisson) \
    X(random_negative_binomial) X(random_generalized_negative_binomial) \
    /* sample.c */ X(standard_gamma) X(poisson) X(sample_uniform) X(sample_normal) \
    X(sample_gamma) X(sample_exponential) X(sample_poisson) X(sample_negative_binomial) \
    X(sample_generalized_negative_binomial) \
    /* multinomial.c */ X(sample_multinomial) \
    /* fourier.c */ X(fft) X(ifft) \
    /* sketch.c */ X(count_sketch) \
    /* quantize.c */ X(quantize) X(dequantize) \
    /* sparse_reg.c */ X(sparse_reg) X(backward_sparse_reg) \
    /* optimizer.c */ X(sgd_update) X(sgd_mom_update) X(adam_update) X(rmsprop_update) \
    X(rmspropalex_update) X(mp_sgd_update) X(mp_sgd_mom_update) \
    /* multibox.c */ X(multibox_prior) X(multibox_target) X(multibox_detection) \
    /* proposal.c */ X(proposal) X(multi_proposal) \
    /* control.c */ X(copyto) X(block_grad) X(identity) X(identity_like) X(cast) X(cast_like) X(where) \
    X(add_n) X(grad_add) X(fused) X(multi) X(cross_device_copy) X(reorder)
// clang-format on

// Expressions of the rows as text for readers, in which C(0.5) is 0.5: a file that has formulas of
// rows says `#define C(number) number` first.
#define TNI_TEXT(...) TNI_TEXT_(__VA_ARGS__)
#define TNI_TEXT_(...) #__VA_ARGS__

// The rows of <tenon/elementwise.h> as operators: op, its backward operator, its other forms.
// clang-format off
#define TNI_ROW_UNARY(op, dtypes, uses, ...) TNI_ITEM(op) TNI_BACKWARD_##uses(op)
#define TNI_BACKWARD_X(op) TNI_ITEM(backward_##op)
#define TNI_BACKWARD_Y(op) TNI_ITEM(backward_##op)
#define TNI_BACKWARD_XY(op) TNI_ITEM(backward_##op)
#define TNI_BACKWARD_NONE(op)
#define TNI_BACKWARD_ZERO(op)
#define TNI_ROW_BINARY(op, scalar, rscalar, broadcast, ...) \
    TNI_ITEM(op) TNI_ITEM(scalar) TNI_ITEM(broadcast)
// Forms with the number on the left: where the rows do not say "-".
#define TNI_RSCALARS(X) X(_rminus_scalar) X(_rdiv_scalar) X(_rmod_scalar) X(_rpower_scalar)

#define TNI_ALL_OPS \
    TN_UNARY_ROWS(TNI_ROW_UNARY) TN_BINARY_ROWS(TNI_ROW_BINARY) TNI_RSCALARS(TNI_ITEM) \
    TNI_OPS(TNI_ITEM)
#define TNI_ITEM(id) extern const tn_op_decl tni_op_##id;
TNI_ALL_OPS
#undef TNI_ITEM
// clang-format on

// ------------------------------------------------------------------ rules (rules.c)

// A value of a call: input i, or output i.
typedef int32_t tni_slot;
#define TNI_IN(i) ((tni_slot)(i))
#define TNI_OUT(i) (-1 - (tni_slot)(i))

#define TNI_TRY(call)                   \
    do {                                \
        const tn_status try_ = (call);  \
        if (try_ != TN_OK) return try_; \
    } while (0)

tn_shape tni_shape(const tn_infer *io, tni_slot slot);
tn_status tni_merge(const tn_infer *io, tni_slot slot, tn_shape shape);
tn_status tni_link(const tn_infer *io, tni_slot a, tni_slot b); // both have one shape

tn_dtype tni_dtype(const tn_infer *io, tni_slot slot);
tn_status tni_merge_dtype(const tn_infer *io, tni_slot slot, tn_dtype dtype);
tn_status tni_link_dtype(const tn_infer *io, tni_slot a, tni_slot b);

// Dtype rules that several operators use.
tn_status tni_dtype_all_but_in1(const tn_infer *io); // input 1 is free
tn_status tni_dtype_label(const tn_infer *io);       // input 1 takes that of input 0 if nobody says

// If exactly one of the axes begin … end-1 is unknown and `total` is their product, fills it in.
void tni_solve(tn_shape *shape, int32_t begin, int32_t end, int64_t total);

// Unknown extents of a are taken from b where the ranks agree. False: they contradict.
bool tni_compatible(const tn_shape *a, const tn_shape *b);

// "(2,?,4)" for messages; "?" for unknown rank. Returns buffer.
#define TNI_SHOW 192
const char *tni_show(char buffer[TNI_SHOW], const tn_shape *shape);

// Shape parameter of an operator without inputs: 0 and -1 are unknown extents, () unknown rank.
tn_status tni_merge_param_shape(const tn_infer *io, tn_ints shape);

// Is `dtype` a floating one, or NONE? Otherwise writes into reason what is wanted. (sample.c)
tn_status tni_check_float(tn_dtype dtype, char *reason, size_t size);
// What one axis of two values and of the value that they are broadcast to say about each other
// (broadcast.c). False: they contradict.
bool tni_join_axis(int64_t *a, int64_t *b, int64_t *y);

// ------------------------------------------------------------------ builder (rules.c)

tn_sym tni_call(const tn_builder *b, const char *op, tn_sym x); // no parameters
tn_sym tni_call2(const tn_builder *b, const char *op, tn_sym x, tn_sym y);
tn_sym tni_call_scalar(const tn_builder *b, const char *op, tn_sym x, double scalar);

// Appends "key=(1,None,3); " to a parameter text. Lists of up to TN_MAX_NDIM entries always fit in.
#define TNI_LONG_TEXT 1024
void tni_text_list(char text[TNI_LONG_TEXT], const char *key, tn_ints list);

// out_grad(i), or zeros in the shape of that output if it is known to be zero.
tn_sym tni_head_or_zeros(const tn_builder *b, uint32_t i);

// For expansions, where shapes and dtypes are known. x stretched to `whole`, of which its own shape
// is a part aligned at the last axes; x in another dtype; x with all its elements in reverse order
// of size, exactly. Where nothing is to be done each returns x.
tn_sym tni_stretch(const tn_builder *b, tn_sym x, const tn_shape *whole);
tn_sym tni_cast(const tn_builder *b, tn_sym x, tn_dtype dtype);
tn_sym tni_complement(const tn_builder *b, tn_sym x);
// The result of an expansion; a copy of it if it is input 0.
tn_status tni_expanded(const tn_builder *b, tn_sym y);

// The part of x from `begin` on, n long, along an axis. (channel.c)
tn_sym tni_segment(const tn_builder *b, tn_sym x, int64_t axis, int64_t begin, int64_t n);
// Emits op over the gradients of all outputs, zeros where one is known to be zero. (channel.c)
tn_sym tni_join_heads(const tn_builder *b, const char *op, const char *text);

// Sums x down to the shape of `like`; x itself if both shapes are known and equal.
tn_sym tni_sum_like(const tn_builder *b, tn_sym x, tn_sym like);

// ------------------------------------------------------------------ before a bind (deferred.c)

tn_sym tni_call_with(const tn_builder *b, const char *op, const char *params, tn_sym x);
// Element i of an axis, which stays with extent 1.
tn_sym tni_part(const tn_builder *b, tn_sym x, int32_t axis, int64_t i);
// The extent of an axis as (1,), int64: for expansions that are made before shapes are known.
tn_sym tni_extent(const tn_builder *b, tn_sym like, int32_t axis);
// x in a dtype that holds its squares and sums: float32 for float16 and bfloat16, otherwise its
// own. An expansion of sums of squares, or of positions in images, begins with this, and ends with
// the other: output i is y in the dtype of input 0.
tn_sym tni_wide(const tn_builder *b, tn_sym x);
void tni_set_narrow(const tn_builder *b, uint32_t i, tn_sym y);
// Of GroupNorm, or with groups 0 InstanceNorm (inputs data, gamma, beta; output 1 mean), whose
// output 0 has a head: sets the gradients of gamma and beta, returns that of data. group_norm.c
tn_sym tni_group_backward(const tn_builder *b, tn_sym std, int64_t groups, double eps);
// All inputs and outputs have one floating dtype.
tn_status tni_dtype_one_float(const tn_infer *io);
// For expansions, where shapes and dtypes are known: a value in another shape of as many elements,
// whatever its extents, and zeros. Empty values are made anew, so no gradient passes there.
tn_sym tni_reshape(const tn_builder *b, tn_sym x, tn_shape to);
tn_sym tni_zeros(const tn_builder *b, tn_shape shape, tn_dtype dtype);

// Product of the matrices in the last two axes; x and y have two axes at least, and those before
// are broadcast (matmul.c).
tn_sym tni_matmul(const tn_builder *b, tn_sym x, tn_sym y, bool transpose_x, bool transpose_y);

// ------------------------------------------------------------------ convolutions (conv.c)

// Parameters of Convolution, Deconvolution and their gradients.
typedef struct tni_conv {
    tn_ints kernel, stride, dilate, pad, adj, target_shape;
    int64_t num_filter, num_group, workspace;
    int32_t no_bias, cudnn_tune, cudnn_off, layout;
} tni_conv;
enum { TNI_MOST_SPATIAL = 3 };
// Longer spatial axes are refused, so that sums with kernel, stride and pad stay inside int64_t.
#define TNI_MOST_EXTENT (INT64_C(1) << 40)

// What data, weight and output say of each other's shapes, wherever these are in a call.
tn_status tni_conv_rule(const tn_infer *io, tni_slot data, tni_slot weight, tni_slot output);
// Entry i of a list, or what an empty list means.
int64_t tni_conv_entry(tn_ints list, int32_t i, int64_t otherwise);
// Extent that the kernel covers on spatial axis i: d (k - 1) + 1.
int64_t tni_conv_covered(const tni_conv *p, int32_t i);
tn_status tni_conv_check(const void *params, char *reason, size_t size);
// The same for blobs of operators without `layout`.
tn_status tni_conv_check_lists(const void *params, char *reason, size_t size);
// Parameter text of kernel, stride, dilate, pad, num_filter, num_group, followed by `more`.
const char *tni_conv_text(char text[TNI_LONG_TEXT], const tni_conv *p, const char *more);
// Gradient of a bias: dy summed over all axes but that of the channels.
tn_sym tni_bias_gradient(const tn_builder *b, tn_sym dy);

// clang-format off
#define TNI_CONV_LISTS                                                                             \
    TN_PARAM(tni_conv, kernel, TN_P_I64S, .range = "[1,100000]", .min_len = 1,                     \
             .max_len = TNI_MOST_SPATIAL, .doc = "extents of the kernel on 1 to 3 spatial axes"),  \
    TN_PARAM(tni_conv, stride, TN_P_I64S, .def = "()", .range = "[1,100000]",                      \
             .doc = "step on each axis; (): 1"),                                                   \
    TN_PARAM(tni_conv, dilate, TN_P_I64S, .def = "()", .range = "[1,100000]",                      \
             .doc = "distance of the kernel's elements; (): 1"),                                   \
    TN_PARAM(tni_conv, pad, TN_P_I64S, .def = "()", .range = "[0,100000]",                         \
             .doc = "zeros added on both sides of each axis; (): 0")
#define TNI_CONV_COUNTS                                                                            \
    TN_PARAM(tni_conv, num_filter, TN_P_I64, .range = "[1,100000]",                                \
             .doc = "channels of the output"),                                                     \
    TN_PARAM(tni_conv, num_group, TN_P_I64, .def = "1", .range = "[1,)",                           \
             .doc = "channels are cut into so many groups that do not mix")
#define TNI_CONV_WORKSPACE                                                                         \
    TN_PARAM(tni_conv, workspace, TN_P_I64, .def = "1024", .range = "[0,)",                        \
             .doc = "MB of scratch memory that a faster way may take")
#define TNI_CONV_LAYER(bias_default, workspace_, layouts)                                          \
    TN_PARAM(tni_conv, no_bias, TN_P_BOOL, .def = bias_default, .doc = "leave the bias out"),      \
    TN_PARAM(tni_conv, layout, TN_P_ENUM, .def = "None", .flags = TN_PF_NONE, .choices = layouts,  \
             .doc = "order of the axes: channels must stand behind the batch"),                    \
    workspace_,                                                                                    \
    TN_PARAM(tni_conv, cudnn_tune, TN_P_ENUM, .def = "None", .flags = TN_PF_NONE,                  \
             .choices = "off|limited_workspace|fastest", .doc = "read from files, without effect"),\
    TN_PARAM(tni_conv, cudnn_off, TN_P_BOOL, .def = "False",                                       \
             .doc = "read from files, without effect")
#define TNI_CONV_LAYOUTS "NCW|NCHW|NCDHW|NHWC|NDHWC"
#define TNI_PORT_LIKE                                                                              \
    TN_PORT(.name = "like", .doc = "gives the shape",                                              \
            .flags = TN_PORT_SHAPE_ONLY | TN_PORT_NO_GRAD)
// clang-format on

// ------------------------------------------------------------------ expressions (expr.c)

// What a letter of a derivative's text stands for: a value, or a number where sym is 0. Values
// with the same `space` have one shape; others are combined with broadcast operators, and the
// result has the union of the bits.
typedef struct tni_operand {
    tn_sym sym;
    double number;
    uint32_t space;
} tni_operand;
typedef struct tni_letters {
    tni_operand a, b, x, y;
} tni_letters;

// Emits dy · text, where text is the derivative of a row of <tenon/elementwise.h>. Constants are
// folded. 0: the product is zero, or an error (in which case the builder holds it).
tn_sym tni_derive(const tn_builder *b, const char *text, tni_operand dy, const tni_letters *at);

#endif
