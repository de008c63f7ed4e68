// tests/passes/parity_lists.h: what of MXNet 0.11 is not here or differs on purpose, and why.
#ifndef TENON_TESTS_PARITY_LISTS_H
#define TENON_TESTS_PARITY_LISTS_H

#include <stdbool.h>

// Operators and what of them, each "a|b|c". The test notes which entries it has met: one that says
// nothing any more is an error.
typedef struct parity_note {
    const char *op, *what, *why;
    bool met;
} parity_note;
// clang-format off
#define NOTE(op, what, why) {(op), (what), (why), false}

// ------------------------------------------------------------------ left out for good

static parity_note omitted[] = {
    NOTE("_NoGradient", "", "a mark of MXNet's gradient pass, never in a saved graph"),
    NOTE("_Native|_NDArray|_CustomFunction", "", "carries pointers of one running process"),
    NOTE("Custom", "", "operators of one's own come as plugins"),
    NOTE("CuDNNBatchNorm", "", "BatchNorm on one library; files are read as BatchNorm's"),
    NOTE("_set_value", "", "writes an array in place: tn_tensor_fill()"),
    NOTE("_cvimdecode|_cvimread|_cvimresize|_cvcopyMakeBorder|_imdecode", "",
         "images are read by tools, not by a graph"),
};
enum { N_OMITTED = sizeof omitted / sizeof *omitted };

// ------------------------------------------------------------------ different on purpose

static parity_note differences[] = {
    // wider than MXNet 0.11
    NOTE("FullyConnected", "parameter flatten", "of MXNet 1.x; the default is as in 0.11"),
    NOTE("Dropout", "parameter axes", "of MXNet 1.x"),
    NOTE("softmax|log_softmax", "parameter temperature", "of MXNet 1.x"),
    NOTE("LeakyReLU", "act_type=selu|act_type=gelu", "of MXNet 1.x"),
    NOTE("Activation", "act_type=softsign", "of MXNet 1.x"),
    NOTE("Activation",
         "act_type=softplus|act_type=gelu|act_type=gelu_tanh|act_type=silu|act_type=mish|"
         "act_type=hard_sigmoid|act_type=hard_swish",
         "the functions of ONNX by these names"),
    NOTE("Pooling", "parameter count_include_pad", "of MXNet 1.x"),
    NOTE("_arange", "parameter infer_range", "of MXNet 1.x"),
    NOTE("slice|_slice_assign", "parameter step", "of MXNet 1.x"),
    NOTE("Pooling|Pooling_v1", "default of kernel|default of pool_type", "may be left out since MXNet 1.0"),
    NOTE("slice_axis", "default of end", "None may be left out"),
    NOTE("_crop_assign_scalar", "None for begin|None for end", "as for the other slices"),
    NOTE("Concat", "range of dim", "Tenon has 8 axes, MXNet 0.11 had 5"),
    NOTE("Convolution|Convolution_v1|Deconvolution|UpSampling", "range of workspace",
         "the number has no effect, so no file is refused for it"),
    NOTE("_contrib_CTCLoss",
         "parameter use_data_lengths|parameter use_label_lengths|parameter blank_label|arguments",
         "of MXNet 1.x, as are the lengths that come in by the first two"),
    NOTE("RNN", "hidden outputs", "states are there, and hidden, where they are not asked for; "
         "masks of dropout go to the gradient, where MXNet has a space of its own"),
    // narrower, where MXNet 0.11 fails or divides by zero later
    NOTE("RNN", "range of state_size|range of num_layers", "at least one unit and one layer; "
         "states are taken apart by layers, and outputs are counted in 16 bits"),
    NOTE("Convolution|Convolution_v1|Deconvolution|Pooling|Pooling_v1",
         "range of kernel|range of stride|range of dilate|range of pad|range of adj",
         "an extent is at least 1 (a padding 0); a limit keeps sums inside 64 bits"),
    NOTE("Correlation",
         "range of kernel_size|range of max_displacement|range of stride1|range of stride2|"
         "range of pad_size",
         "a step is at least 1, and a limit keeps sums inside 64 bits"),
    NOTE("_contrib_DeformableConvolution",
         "range of kernel|range of stride|range of dilate|range of pad|range of num_group|"
         "range of num_deformable_group",
         "as for Convolution"),
    NOTE("GridGenerator|SpatialTransformer", "range of target_shape",
         "extents are not negative, and limited: positions are counted in float32"),
    NOTE("ROIPooling", "range of pooled_size", "at least one bin; a limit keeps products inside "
         "64 bits"),
    NOTE("_contrib_PSROIPooling|_contrib_DeformablePSROIPooling",
         "range of output_dim|range of pooled_size|range of group_size|range of part_size|"
         "range of sample_per_part",
         "at least one of each; a limit keeps products inside 64 bits"),
    NOTE("Deconvolution|Reshape", "range of target_shape", "extents are not negative"),
    NOTE("Convolution|Convolution_v1|Deconvolution", "range of num_group", "0 groups divide by zero"),
    NOTE("LRN", "range of nsize", "a window of 0 divides by zero"),
    NOTE("LeakyReLU", "range of lower_bound|range of upper_bound", "slopes between 0 and 1"),
    NOTE("BatchNorm|BatchNorm_v1", "range of eps", "a negative one takes the root of a negative number"),
    NOTE("random_normal", "range of scale", "a standard deviation is not negative"),
    NOTE("SliceChannel", "range of num_outputs", "outputs are counted in 16 bits"),
    NOTE("_arange", "range of repeat", "0 repeats have no meaning there"),
    NOTE("one_hot", "range of depth", "an axis of 0 classes can hold no index"),
    NOTE("repeat", "range of repeats", "an axis repeated 0 times is gone"),
    NOTE("_zeros|_ones|random_uniform|random_normal|random_gamma|random_exponential|"
         "random_poisson|random_negative_binomial|random_generalized_negative_binomial",
         "range of shape", "an extent is not negative; -1 says unknown, as in MXNet 1.x"),
    NOTE("sample_uniform|sample_normal|sample_gamma|sample_exponential|sample_poisson|"
         "sample_negative_binomial|sample_generalized_negative_binomial|sample_multinomial",
         "range of shape", "extents are not negative"),
    NOTE("random_gamma|random_exponential|random_poisson|random_negative_binomial|"
         "random_generalized_negative_binomial",
         "range of alpha|range of beta|range of lam|range of mu|range of k|range of p",
         "where the distribution is one"),
    NOTE("_contrib_count_sketch", "range of out_dim", "a sketch of 0 places holds nothing"),
    NOTE("_contrib_fft|_contrib_ifft", "range of compute_size", "batches of 0 never end"),
    NOTE("broadcast_axis", "range of size", "extents are not negative"),
    NOTE("Crop", "range of offset|range of h_w", "places and extents are not negative"),
    NOTE("Pad", "range of pad_width", "widths are not negative; a limit keeps sums inside 64 bits"),
    NOTE("UpSampling", "range of num_filter", "as for convolutions"),
    NOTE("tile", "range of reps", "nothing is repeated less than 0 times"),
    NOTE("broadcast_to", "range of shape", "extents are not negative"),
};
enum { N_DIFFERENCES = sizeof differences / sizeof *differences };
// clang-format on

#endif
