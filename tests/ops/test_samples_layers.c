// tests/ops/test_samples_layers.c: more samples of layers: their derivatives agree with central
// differences, twice where the gradient has a derivative of its own.
#include "tests/tn_numeric.h"

static void activations(void)
{
    TN_CHECK_CASES(
        TN_CASE("Activation", "act_type=softrelu", "4"),
        TN_CASE("Activation", "act_type=relu", "3,2"),
        TN_CASE("Activation", "act_type=softrelu", "2,3"),

        TN_CASE("Activation", "act_type=tanh", "1"),
        TN_CASE("Activation", "act_type=sigmoid", "2,1,3"),
        TN_CASE("clip", "a_min=-0.5; a_max=0.5", "6"), TN_CASE("clip", "a_min=0; a_max=5", "2,3"),
        TN_CASE("clip", "a_min=-5; a_max=5", "2,1,2"), TN_CASE("clip", "a_min=-5; a_max=0", "1"),
        TN_CASE("smooth_l1", "scalar=0.5", "2,3"), TN_CASE("smooth_l1", "scalar=2", "1"),
        TN_CASE("smooth_l1", "scalar=1.5", "2,1,3"), TN_CASE("Dropout", "p=0.3", "2,3"),
        TN_CASE("Dropout", "p=0", "4"), TN_CASE("Dropout", NULL, "2,1,2"),
        TN_CASE("Dropout", "p=0.9", "1"), TN_CASE("Dropout", "p=0.5; axes=(1,)", "3,2"));
}

static void softmaxes(void)
{
    TN_CHECK_CASES(
        TN_CASE("softmax", "axis=-2; temperature=2", "2,3"), TN_CASE("log_softmax", NULL, "5"),
        TN_CASE("log_softmax", "axis=-1; temperature=0.5", "2,3"),
        TN_CASE("SoftmaxActivation", NULL, "2,3"), TN_CASE("SoftmaxActivation", NULL, "1,5"),
        TN_CASE("SoftmaxActivation", "mode=channel", "1,3,2,2"),
        TN_CASE("softmax_cross_entropy", NULL, "2,3 2", .lo = 0.1, .hi = 2.9, .fixed = "1"),
        TN_CASE("softmax_cross_entropy", NULL, "1,4 1", .lo = 0.1, .hi = 3.9, .fixed = "1"),
        TN_CASE("softmax_cross_entropy", NULL, "4,2 4", .lo = 0.1, .hi = 1.9, .fixed = "1"),
        TN_CASE("softmax_cross_entropy", NULL, "5,3 5", .lo = 0.1, .hi = 2.9, .fixed = "1"));
}

static void products(void)
{
    TN_CHECK_CASES(TN_CASE("FullyConnected", "num_hidden=1", "3,2 1,2 1"),
                   TN_CASE("FullyConnected", "num_hidden=2; flatten=0; no_bias=1", "2,1,2 2,2"),
                   TN_CASE("batch_dot", NULL, "1,3,1 1,1,2"),
                   TN_CASE("batch_dot", "transpose_b=1", "3,1,2 3,1,2"),
                   TN_CASE("Deconvolution", "kernel=2; num_filter=1", "1,2,3 2,1,2"),
                   TN_CASE("Deconvolution", "kernel=(2,2); num_filter=2; stride=(2,1); pad=(0,1)",
                           "1,1,2,2 1,2,2,2"));
}

static void normalisations(void)
{
    TN_CHECK_CASES(
        TN_CASE("BatchNorm", "eps=0.5; fix_gamma=0; use_global_stats=1", "2,3 3 3",
                .first_order = 1),
        TN_CASE("BatchNorm", "eps=0.1; fix_gamma=0; axis=-1", "2,1,3 3 3", .first_order = 1),
        TN_CASE("InstanceNorm", "eps=0.5", "1,2,4 2 2"),
        TN_CASE("InstanceNorm", "eps=0.1", "3,1,3 1 1"),
        TN_CASE("InstanceNorm", "eps=1", "2,2,2,2 2 2"),
        TN_CASE("InstanceNorm", "eps=0.3", "1,3,3 3 3"),
        TN_CASE("L2Normalization", "eps=0.5", "3,4"),
        TN_CASE("L2Normalization", "mode=channel; eps=0.2", "1,4"),
        TN_CASE("LRN", "nsize=1; alpha=0.5", "2,3,1,1"),
        TN_CASE("LRN", "nsize=3; alpha=2; beta=1; knorm=3", "1,5,2,1"));
}

static void sequences(void)
{
    TN_CHECK_CASES(TN_CASE("SequenceLast", NULL, "1,2,1"), TN_CASE("SequenceLast", NULL, "4,1,2"),
                   TN_CASE("SequenceLast", "use_sequence_length=1", "4,3,1 3", .lo = 1, .hi = 4.9,
                           .fixed = "1"),
                   TN_CASE("SequenceMask", NULL, "3,2,2"),
                   TN_CASE("SequenceMask", "use_sequence_length=1", "2,2,1 2", .lo = 1, .hi = 2.9,
                           .fixed = "1"),
                   TN_CASE("SequenceMask", "use_sequence_length=1; value=-1", "3,1,2 1", .lo = 1,
                           .hi = 3.9, .fixed = "1"),
                   TN_CASE("SequenceMask", "value=2", "2,1,1"),
                   TN_CASE("SequenceReverse", NULL, "3,2,1"),
                   TN_CASE("SequenceReverse", NULL, "1,2,2"),
                   TN_CASE("SequenceReverse", "use_sequence_length=1", "3,2,1 2", .lo = 1,
                           .hi = 3.9, .fixed = "1"));
}

TN_TEST_MAIN({"activations", activations}, {"softmaxes", softmaxes}, {"products", products},
             {"normalisations", normalisations}, {"sequences", sequences})
