// tests/nets/test_kinds_of_nets.c: networks of other kinds than the zoo's give on every list of
// backends what they give on the reference: outputs, all gradients, auxiliary states.
//
// Each has what the others lack: convolutions by groups, by channels and with holes, 1-D and 3-D;
// branches that are joined; windows that go over the edge; what enlarges pictures; attention;
// sequences of several lengths; parameters that two parts share; several heads, of which some are
// no losses. Biases whose gradient is 0 (before a norm, of keys) are left out.
//
// What a list cannot run goes to the reference.
#include "tests/nets/zoo_run.h"

// x (a, b, c) as (a b, c)
static tn_symbol rows(tn_symbol x)
{
    return tn_op("Reshape", "shape=(-3,-2)", x);
}

// Scores of the five classes, after a mean over each picture.
static tn_symbol classify(tn_symbol x)
{
    x = tn_op("Pooling", "kernel=(1,1); pool_type=avg; global_pool=1", x);
    return tn_op("SoftmaxOutput", "normalization=batch", zoo_dense("num_hidden=5", x));
}

// ------------------------------------------------------------------ pictures

// data (n, 3, 17, 17): convolutions by channels with stride and holes, and channels that are
// weighted by what their mean says.
static tn_symbol by_channels(void)
{
    tn_symbol x = tn_op("Convolution", "kernel=(3,3); stride=(2,2); pad=(1,1); num_filter=18",
                        tn_var("data"));
    x = tn_op("Convolution", "kernel=(3,3); pad=(2,2); dilate=(2,2); num_group=18; num_filter=18",
              zoo_act("act_type=hard_swish", x));
    x = zoo_conv_norm_relu(zoo_act("act_type=mish", x), "kernel=(1,1); num_filter=20; no_bias=1",
                           true);
    x = zoo_conv_norm_relu(
        x, "kernel=(5,5); stride=(2,2); pad=(2,2); num_group=20; num_filter=20; no_bias=1", true);
    tn_symbol say = tn_op("Pooling", "kernel=(1,1); pool_type=avg; global_pool=1", x);
    say = zoo_act("act_type=tanh", tn_op("Convolution", "kernel=(1,1); num_filter=6", say));
    say = zoo_act("act_type=sigmoid", tn_op("Convolution", "kernel=(1,1); num_filter=20", say));
    return classify(tn_op("broadcast_mul", NULL, x, say));
}

// data (n, 3, 10, 10): convolutions in groups, whose channels are mixed between.
static tn_symbol in_groups(void)
{
    tn_symbol x = zoo_conv_norm_relu(tn_var("data"),
                                     "kernel=(3,3); pad=(1,1); num_filter=32; no_bias=1", true);
    tn_symbol y = zoo_conv_norm_relu(
        x, "kernel=(3,3); pad=(1,1); num_group=4; num_filter=32; no_bias=1", true);
    y = tn_op("SwapAxis", "dim1=1; dim2=2", tn_op("Reshape", "shape=(0,-4,4,-1,-2)", y));
    x = tn_op("elemwise_add", NULL, x, tn_op("Reshape", "shape=(0,-3,-2)", y));
    return classify(tn_op("Convolution",
                          "kernel=(3,3); dilate=(3,3); pad=(3,3); num_group=2; "
                          "num_filter=10",
                          x));
}

// data (n, 3, 10, 10): each layer sees all that is before it.
static tn_symbol joined(void)
{
    tn_symbol x =
        tn_op("Convolution", "kernel=(3,3); pad=(1,1); num_filter=8; no_bias=1", tn_var("data"));
    for (int i = 0; i < 3; i++) {
        tn_symbol y = zoo_act("act_type=relu", tn_op("BatchNorm", "fix_gamma=0; eps=0.001", x));
        y = tn_op("Convolution", "kernel=(3,3); pad=(1,1); num_filter=5; no_bias=1", y);
        x = tn_op("Concat", "num_args=2; dim=1", x, y);
        if (i == 1) x = tn_op("Pooling", "kernel=(2,2); stride=(2,2); pool_type=avg", x);
    }
    return classify(zoo_act("act_type=relu", tn_op("BatchNorm", "eps=0.001", x)));
}

// data (n, 3, 10, 10): branches; means with and without the padding, windows over the edge.
static tn_symbol branches(void)
{
    tn_symbol x = zoo_act("act_type=relu",
                          tn_op("Convolution", "kernel=(3,3); num_filter=9", tn_var("data")));
    x = tn_op("Pooling", "kernel=(3,3); stride=(2,2); pool_type=max; pooling_convention=full", x);
    const tn_symbol flat = tn_op("Convolution", "kernel=(1,3); pad=(0,1); num_filter=4", x);
    const tn_symbol all[] = {
        zoo_act("act_type=relu", tn_op("Convolution", "kernel=(1,1); num_filter=7", x)),
        zoo_act("act_type=relu",
                tn_op("Convolution", "kernel=(3,1); pad=(1,0); num_filter=6", flat)),
        tn_op("Pooling", "kernel=(3,3); pad=(1,1); pool_type=avg", x),
        tn_op("Pooling", "kernel=(3,3); pad=(1,1); pool_type=avg; count_include_pad=0", x),
        tn_op("Pooling", "kernel=(3,3); pad=(1,1); pool_type=max", x)};
    x = tn_call(bench.g, "Concat", .inputs = {5, all}, .params = TN_ATTRS({"num_args", "5"}));
    x = tn_op("Pooling", "kernel=(3,3); stride=(2,2); pool_type=sum; pooling_convention=full",
              tn_op("LRN", "nsize=5", x));
    return tn_op("SoftmaxOutput", "normalization=batch", zoo_dense("num_hidden=5", x));
}

// data (n, 3, 10, 10) → scores for each pixel of which those of class 3 are ignored: down twice,
// and up again by a Deconvolution and by repeated pixels, both cut to what they are joined with.
static tn_symbol up_and_down(void)
{
    const char *conv = "kernel=(3,3); pad=(1,1); num_filter=6";
    const char *half = "kernel=(2,2); stride=(2,2); pool_type=max; pooling_convention=full";
    const tn_symbol top = zoo_act("act_type=relu", tn_op("Convolution", conv, tn_var("data")));
    const tn_symbol mid =
        zoo_act("act_type=relu", tn_op("Convolution", conv, tn_op("Pooling", half, top)));
    tn_symbol x = zoo_act("act_type=relu", tn_op("Convolution", conv, tn_op("Pooling", half, mid)));
    x = tn_op("Deconvolution", "kernel=(4,4); stride=(2,2); pad=(1,1); num_filter=7; no_bias=0", x);
    x = tn_op("Concat", "num_args=2", tn_op("Crop", "num_args=2; offset=(1,0)", x, mid), mid);
    x = zoo_act("act_type=relu", tn_op("Convolution", conv, x));
    x = tn_op("UpSampling", "scale=2; sample_type=nearest; num_args=1", x);
    x = tn_op("Concat", "num_args=2", tn_op("Crop", "num_args=2; center_crop=1", x, top), top);
    x = tn_op("Convolution", "kernel=(1,1); num_filter=5", x);
    return tn_op("SoftmaxOutput",
                 "multi_output=1; use_ignore=1; ignore_label=3; normalization=valid", x);
}

// data (n, 2, 19) and volume (n, 2, 5, 6, 4): one and three spatial axes, down and up.
static tn_symbol lines_and_volumes(void)
{
    tn_symbol x =
        tn_op("Convolution", "kernel=(3,); stride=(2,); num_filter=6; no_bias=1", tn_var("data"));
    x = zoo_act("act_type=relu", tn_op("BatchNorm", "fix_gamma=0", x));
    x = tn_op("Pooling", "kernel=(2,); stride=(2,); pool_type=avg", x);
    x = tn_op("Deconvolution", "kernel=(3,); stride=(2,); num_filter=4", x);
    tn_symbol y = tn_op("Convolution", "kernel=(3,2,3); stride=(1,2,1); pad=(1,0,1); num_filter=5",
                        tn_var("volume"));
    y = tn_op("Pooling", "kernel=(2,2,2); stride=(2,1,2); pool_type=max",
              zoo_act("act_type=tanh", y));
    y = tn_op("Deconvolution", "kernel=(2,2,2); stride=(2,2,2); num_filter=3; no_bias=0", y);
    return tn_group(bench.g, TN_SYMS(tn_op("LinearRegressionOutput", NULL, x),
                                     tn_op("MAERegressionOutput", NULL, y)));
}

// ------------------------------------------------------------------ sequences

enum { WIDTH = 12, PARTS = 3, PART = WIDTH / PARTS };

// x (n, t, width) as (n parts, t, part), after a dense layer
static tn_symbol parts_of(tn_symbol x)
{
    x = tn_op("Reshape", "shape=(-4,4,6,-4,3,4)", zoo_dense("num_hidden=12; no_bias=1", rows(x)));
    return rows(tn_op("transpose", "axes=(0,2,1,3)", x));
}

// words (4, 6) → scores for each of the next words, where label 0 is padding: attention in parts
// behind a mask, a layer of two widths, norms before both.
static tn_symbol attention(void)
{
    tn_symbol x = tn_op("Embedding", "input_dim=11; output_dim=12", tn_var("words"));
    x = tn_op("broadcast_add", NULL, x, tn_var("place_weight"));
    const tn_symbol norm = tn_op("LayerNorm", NULL, x);
    const tn_symbol q = parts_of(norm), k = parts_of(norm), v = parts_of(norm);
    tn_symbol y = tn_op("_mul_scalar", "scalar=0.5", tn_op("batch_dot", "transpose_b=1", q, k));
    y = tn_op("softmax", "axis=-1", tn_op("broadcast_add", NULL, y, tn_var("mask")));
    y = tn_op("Reshape", "shape=(-4,4,3,-2)", tn_op("batch_dot", NULL, y, v));
    y = tn_op("Reshape", "shape=(-3,-3)", tn_op("transpose", "axes=(0,2,1,3)", y));
    x = tn_op("elemwise_add", NULL, rows(x), zoo_dense("num_hidden=12", y));
    y = zoo_act("act_type=gelu", zoo_dense("num_hidden=24", tn_op("LayerNorm", NULL, x)));
    x = tn_op("elemwise_add", NULL, x, zoo_dense("num_hidden=12", y));
    x = zoo_dense("num_hidden=11", tn_op("RMSNorm", NULL, x));
    return tn_op("SoftmaxOutput", "use_ignore=1; ignore_label=0; normalization=valid", x);
}

// words (6, 4) of sequences of several lengths: a GRU both ways, what is behind the end masked, and
// the hinge loss of the last step.
static tn_symbol words_both_ways(void)
{
    const tn_symbol lengths = tn_var("lengths");
    tn_symbol x = tn_op("Embedding", "input_dim=11; output_dim=7", tn_var("words"));
    x = tn_op("RNN", "mode=gru; state_size=5; num_layers=2; bidirectional=1; state_outputs=1", x,
              tn_var("parameters"), tn_var("state"));
    const tn_symbol last = tn_op("transpose", "axes=(1,0,2)", tn_output(bench.g, x, 1));
    x = tn_output(bench.g, x, 0);
    tn_symbol y = tn_op("SequenceReverse", "use_sequence_length=1", x, lengths);
    x = tn_op("SequenceMask", "use_sequence_length=1; value=-0.5", x, lengths);
    x = tn_op("SequenceLast", "use_sequence_length=1", tn_op("elemwise_mul", NULL, x, y), lengths);
    x = tn_op("Concat", "num_args=2; dim=1", x, tn_op("Flatten", NULL, last));
    return tn_op("SVMOutput", "margin=0.7; regularization_coefficient=0.5",
                 zoo_dense("num_hidden=5", x));
}

// ------------------------------------------------------------------ pairs

// Judges pictures (n, 1, 12, 12) by parameters that all judges share.
static tn_symbol judge(tn_symbol x, const tn_symbol w[3])
{
    const char *conv = "kernel=(4,4); stride=(2,2); pad=(1,1); num_filter=6; no_bias=1";
    x = tn_op("LeakyReLU", "act_type=leaky; slope=0.2", tn_op("Convolution", conv, x, w[0]));
    x = tn_op("LeakyReLU", "act_type=elu", tn_op("Convolution", conv, x, w[1]));
    x = tn_op("FullyConnected", "num_hidden=1; no_bias=1", x, w[2]);
    return tn_op("LogisticRegressionOutput", NULL, x);
}

// noise (4, 5) → pictures, judged as those of data are; the pictures are given out as well.
static tn_symbol maker_and_judge(void)
{
    const tn_symbol w[] = {tn_var("first_weight"), tn_var("second_weight"), tn_var("last_weight")};
    const char *up = "kernel=(4,4); stride=(2,2); pad=(1,1); num_filter=5";
    tn_symbol x = tn_op("Reshape", "shape=(0,6,3,3)", zoo_dense("num_hidden=54", tn_var("noise")));
    x = tn_op("Deconvolution", up, zoo_act("act_type=relu", x));
    x = zoo_act("act_type=relu", tn_op("BatchNorm", "fix_gamma=0", x));
    x = tn_op("Deconvolution", "kernel=(4,4); stride=(2,2); pad=(1,1); num_filter=1", x);
    x = zoo_act("act_type=tanh", x);
    return tn_group(bench.g,
                    TN_SYMS(judge(x, w), judge(tn_var("data"), w), tn_op("BlockGrad", NULL, x)));
}

// data (n, 2, 9, 9) → unit vectors (n, 6), by parameters that are shared.
static tn_symbol vector_of(const char *data, const tn_symbol w[3])
{
    tn_symbol x = tn_op("Convolution", "kernel=(3,3); num_filter=9", tn_var(data), w[0], w[1]);
    x = tn_op("Pooling", "kernel=(2,2); stride=(2,2); pool_type=max", zoo_act("act_type=relu", x));
    return tn_op("L2Normalization", NULL,
                 tn_op("FullyConnected", "num_hidden=6; no_bias=1", x, w[2]));
}

// Two pictures: their distance where they are of one class, and what it lacks to 1.5 where not.
static tn_symbol twins(void)
{
    const tn_symbol w[] = {tn_var("shared_weight"), tn_var("shared_bias"), tn_var("head_weight")};
    tn_symbol x = tn_op("_sub", NULL, vector_of("data", w), vector_of("other", w));
    x = tn_op("sum", "axis=1", tn_op("square", NULL, x));
    const tn_symbol same = tn_var("same"), root = tn_op("_plus_scalar", "scalar=0.0001", x);
    tn_symbol y = tn_op("_rminus_scalar", "scalar=1.5", tn_op("sqrt", NULL, root));
    y = tn_op("square", NULL, tn_op("_maximum_scalar", "scalar=0", y));
    x = tn_op("elemwise_add", NULL, tn_op("elemwise_mul", NULL, x, same),
              tn_op("elemwise_mul", NULL, y, tn_op("_rminus_scalar", "scalar=1", same)));
    return tn_op("MakeLoss", "normalization=batch", x);
}

// data (14, 20): parts of one layer, each with a loss or none.
static tn_symbol several_heads(void)
{
    tn_symbol x = zoo_act("act_type=softsign", zoo_dense("num_hidden=13", tn_var("data")));
    const tn_symbol parts = tn_op("SliceChannel", "num_outputs=3", zoo_dense("num_hidden=15", x));
    const tn_symbol a = tn_output(bench.g, parts, 0), b = tn_output(bench.g, parts, 1),
                    c = tn_output(bench.g, parts, 2);
    const tn_symbol far = tn_op("smooth_l1", "scalar=2", tn_op("_sub", NULL, a, b));
    return tn_group(bench.g,
                    TN_SYMS(tn_op("MakeLoss", "grad_scale=0.3", far), tn_op("BlockGrad", NULL, c),
                            tn_op("SVMOutput", "use_linear=1", b),
                            tn_op("MAERegressionOutput", NULL, a),
                            tn_op("make_loss", NULL,
                                  tn_op("softmax_cross_entropy", NULL, c, tn_var("label")))));
}

// ------------------------------------------------------------------ all

static const int64_t pictures[] = {3, 3, 10, 10}, odd_pictures[] = {2, 3, 17, 17},
                     lines[] = {2, 2, 19}, volumes[] = {2, 2, 5, 6, 4}, words[] = {4, 6},
                     mask[] = {1, 6, 6}, places[] = {1, 6, WIDTH}, steps[] = {ZOO_STEPS, 4},
                     states[] = {4, 4, 5}, lengths[] = {4}, noise[] = {4, 5},
                     drawings[] = {4, 1, 12, 12}, halves[] = {5, 2, 9, 9};

static void convolutions_by_channels(void)
{
    ZOO_CHECK(by_channels, {"data", {4, odd_pictures}});
}

static void convolutions_in_groups(void)
{
    ZOO_CHECK(in_groups, {"data", {4, pictures}});
}

static void layers_that_see_all_before(void)
{
    ZOO_CHECK(joined, {"data", {4, pictures}});
}

static void branches_of_windows(void)
{
    ZOO_CHECK(branches, {"data", {4, pictures}});
}

static void scores_of_pixels(void)
{
    ZOO_CHECK(up_and_down, {"data", {4, pictures}});
}

static void one_and_three_axes(void)
{
    ZOO_CHECK(lines_and_volumes, {"data", {3, lines}}, {"volume", {5, volumes}});
}

static void attention_in_parts(void)
{
    ZOO_CHECK(attention, {"words", {2, words}}, {"mask", {3, mask}}, {"place_weight", {3, places}});
}

static void sequences_of_several_lengths(void)
{
    ZOO_CHECK(words_both_ways, {"words", {2, steps}}, {"state", {3, states}},
              {"lengths", {1, lengths}});
}

static void shared_judge(void)
{
    ZOO_CHECK(maker_and_judge, {"noise", {2, noise}}, {"data", {4, drawings}});
}

static void pairs_of_pictures(void)
{
    ZOO_CHECK(twins, {"data", {4, halves}}, {"other", {4, halves}});
}

static void losses_and_values(void)
{
    ZOO_CHECK(several_heads, {"data", {2, zoo_rows}});
}

TN_TEST_MAIN({"convolutions by channels", convolutions_by_channels},
             {"convolutions in groups", convolutions_in_groups},
             {"layers that see all before them", layers_that_see_all_before},
             {"branches of windows", branches_of_windows}, {"scores of pixels", scores_of_pixels},
             {"one and three spatial axes", one_and_three_axes},
             {"attention in parts", attention_in_parts},
             {"sequences of several lengths", sequences_of_several_lengths},
             {"two judges with one set of parameters", shared_judge},
             {"pairs of pictures", pairs_of_pictures}, {"losses and values", losses_and_values})
