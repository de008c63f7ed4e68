// tests/nets/test_further_nets.c: networks whose parts choose, move, repeat and remember give on
// every list of backends what they give on the reference: outputs, all gradients, states.
//
// What the other networks of this folder lack: layers behind what cuts row-major, states that go
// from an RNN into cells, grids, displaced kernels and regions, several sizes of a picture in one
// call, routing that gradients do not pass, memories that are written to, factors of matrices,
// alignments, elements by rank, one weight in fifty places, two thousand nodes, averages of two
// norms in one place, and gradients that are added, stored or not wanted.
#include "tests/nets/zoo_run.h"

static tn_symbol add(tn_symbol a, tn_symbol b)
{
    return tn_op("elemwise_add", NULL, a, b);
}

static tn_symbol mul(tn_symbol a, tn_symbol b)
{
    return tn_op("elemwise_mul", NULL, a, b);
}

static tn_symbol times(double factor, tn_symbol x)
{
    char text[48];
    snprintf(text, sizeof text, "scalar=%g", factor);
    return tn_op("_mul_scalar", text, x);
}

static tn_symbol tanh_of(tn_symbol x)
{
    return zoo_act("act_type=tanh", x);
}

static tn_symbol sigmoid_of(tn_symbol x)
{
    return zoo_act("act_type=sigmoid", x);
}

static tn_symbol conv(const char *params, tn_symbol x)
{
    return tn_op("Convolution", params, x);
}

static tn_symbol joined(const char *params, size_t n, const tn_symbol *all)
{
    char count[24];
    snprintf(count, sizeof count, "%zu", n);
    return tn_call(bench.g, "Concat", .inputs = {n, all},
                   .params = TN_ATTRS({"dim", params}, {"num_args", count}));
}

// ------------------------------------------------------------------ pictures

// data (n, 3, 10, 10): norms across channels of what a crop and a slice left row-major.
static tn_symbol norms_of_pieces(void)
{
    tn_symbol x = conv("kernel=(3,3); pad=(1,1); num_filter=32", tn_var("data"));
    x = tn_op("Crop", "num_args=1; offset=(1,0); h_w=(8,9)", x);
    x = conv("kernel=(1,1); num_filter=40", tn_op("LRN", "nsize=5; alpha=0.4", x));
    x = tn_op("slice_axis", "axis=1; begin=3; end=27", x);
    x = tanh_of(tn_op("LRN", "nsize=3; alpha=0.3; knorm=1", x));
    return tn_op("SoftmaxOutput", "multi_output=1; normalization=valid",
                 conv("kernel=(1,1); num_filter=5", x));
}

// data (n, 3, 10, 10): turned by a matrix and bent by a flow that it says itself.
static tn_symbol moved_pictures(void)
{
    const tn_symbol x = tn_var("data");
    const tn_symbol say = tanh_of(conv("kernel=(3,3); stride=(2,2); num_filter=4", x));
    const tn_symbol turn =
        tn_op("broadcast_add", NULL, times(0.3, zoo_dense("num_hidden=6", say)), tn_var("start"));
    const tn_symbol flow = conv("kernel=(3,3); pad=(1,1); num_filter=2", x);
    const tn_symbol grid =
        tn_op("GridGenerator", "transform_type=affine; target_shape=(7,6)", turn);
    tn_symbol bent = tn_op("GridGenerator", "transform_type=warp", flow);
    bent = tn_op("BilinearSampler", NULL, x, bent);
    const tn_symbol all[] = {
        tn_op("SpatialTransformer",
              "target_shape=(7,6); transform_type=affine; sampler_type=bilinear", x, turn),
        tn_op("BilinearSampler", NULL, tanh_of(x), grid),
        tn_op("Crop", "num_args=2; offset=(1,2)", bent, grid)};
    return tn_op("SoftmaxOutput", NULL, zoo_dense("num_hidden=5", joined("1", 3, all)));
}

// data (n, 3, 10, 10) and regions (4, 4): a displaced kernel, maxima over regions, two losses.
static tn_symbol regions(void)
{
    tn_symbol x = tanh_of(conv("kernel=(3,3); pad=(1,1); num_filter=6", tn_var("data")));
    const tn_symbol off = times(0.6, conv("kernel=(3,3); pad=(1,1); num_filter=36", x));
    x = tn_op("_contrib_DeformableConvolution",
              "kernel=(3,3); pad=(1,1); num_filter=6; num_group=2; num_deformable_group=2", x, off);
    const tn_symbol of = tn_op("Reshape", "shape=(4,1)", tn_op0("_arange", "start=0; stop=4"));
    tn_symbol boxes = times(60, tn_op("abs", NULL, tn_var("regions")));
    boxes = tn_op("Concat", "num_args=2; dim=1", of, tn_op("BlockGrad", NULL, boxes));
    x = tn_op("ROIPooling", "pooled_size=(3,2); spatial_scale=0.5", x, boxes);
    x = tanh_of(zoo_dense("num_hidden=9", x));
    const tn_symbol far = tn_op("smooth_l1", "scalar=2", zoo_dense("num_hidden=4", x));
    return tn_group(bench.g, TN_SYMS(tn_op("SoftmaxOutput", NULL, zoo_dense("num_hidden=5", x)),
                                     tn_op("MakeLoss", "grad_scale=0.25", far)));
}

// data (n, 3, 12, 12): three sizes, each enlarged to the first one's, added and joined.
static tn_symbol pyramid(void)
{
    const tn_symbol c1 = tanh_of(conv("kernel=(3,3); pad=(1,1); num_filter=6", tn_var("data")));
    const char *half = "kernel=(3,3); pad=(1,1); stride=(2,2); num_filter=8";
    const tn_symbol c2 = tanh_of(conv(half, c1)), c3 = tanh_of(conv(half, c2));
    const char *thin = "kernel=(1,1); num_filter=5";
    const tn_symbol p3 = conv(thin, c3);
    const tn_symbol p2 =
        add(conv(thin, c2), tn_op("UpSampling", "scale=2; sample_type=nearest; num_args=1", p3));
    const tn_symbol p1 =
        add(conv(thin, c1),
            tn_op("UpSampling", "scale=2; sample_type=bilinear; num_filter=5; num_args=2", p2));
    const tn_symbol both[] = {
        tn_op("UpSampling", "scale=1; sample_type=nearest; num_args=3; multi_input_mode=sum", p1,
              p2, p3),
        tn_op("UpSampling", "scale=2; sample_type=nearest; num_args=2", p2, p3)};
    return tn_op("SoftmaxOutput",
                 "multi_output=1; grad_scale=0.7; use_ignore=1; ignore_label=2; "
                 "normalization=batch",
                 conv("kernel=(3,3); pad=(1,1); num_filter=5", joined("1", 2, both)));
}

// x |x| / (1 + |x|^2), over axis 2
static tn_symbol squash(tn_symbol x)
{
    const tn_symbol n = tn_op("sum", "axis=(2,); keepdims=1", tn_op("square", NULL, x));
    const tn_symbol root = tn_op("sqrt", NULL, tn_op("_plus_scalar", "scalar=1e-6", n));
    return tn_op("broadcast_mul", NULL, x,
                 tn_op("elemwise_div", NULL, root, tn_op("_plus_scalar", "scalar=1", n)));
}

// data (n, 3, 10, 10): parts that vote for wholes, weighted by how far they agree; what they agree
// on has no gradient.
static tn_symbol capsules(void)
{
    tn_symbol x = tanh_of(conv("kernel=(3,3); stride=(2,2); num_filter=12", tn_var("data")));
    x = tn_op("transpose", "axes=(0,1,3,2)", tn_op("Reshape", "shape=(0,3,4,16)", x));
    const tn_symbol vote =
        tn_op("sum", "axis=(3,)",
              tn_op("broadcast_mul", NULL, tn_op("Reshape", "shape=(0,48,1,4,1)", x),
                    times(3, tn_var("votes"))));
    const tn_symbol fixed = tn_op("BlockGrad", NULL, vote);
    tn_symbol agree = tn_op("zeros_like", NULL, tn_op("sum", "axis=(3,)", fixed)), whole = fixed;
    for (int i = 0; i < 3; i++) {
        const tn_symbol c = tn_op("expand_dims", "axis=3", tn_op("softmax", "axis=2", agree));
        whole = squash(
            tn_op("sum", "axis=(1,)", tn_op("broadcast_mul", NULL, i == 2 ? vote : fixed, c)));
        if (i == 2) break;
        const tn_symbol with = tn_op("expand_dims", "axis=1", whole);
        agree = add(agree, tn_op("sum", "axis=(3,)", tn_op("broadcast_mul", NULL, fixed, with)));
    }
    const tn_symbol n = tn_op("sum", "axis=(2,)", tn_op("square", NULL, whole));
    return tn_op("SVMOutput", "margin=0.9",
                 tn_op("sqrt", NULL, tn_op("_plus_scalar", "scalar=1e-6", n)));
}

// ------------------------------------------------------------------ sequences

enum { CELL = 8 };

// words (6, 4) are read by an LSTM whose last states start cells that look back at all steps.
static tn_symbol translator(void)
{
    const tn_symbol w[] = {tn_var("i2h_weight"), tn_var("i2h_bias"),   tn_var("h2h_weight"),
                           tn_var("h2h_bias"),   tn_var("ask_weight"), tn_var("say_weight"),
                           tn_var("say_bias")};
    tn_symbol x = tn_op("Embedding", "input_dim=11; output_dim=5", tn_var("words"));
    x = tn_op("RNN", "mode=lstm; state_size=8; num_layers=1; state_outputs=1", x,
              tn_var("parameters"), tn_var("state"), tn_var("state_cell"));
    const tn_symbol seen = tn_op("transpose", "axes=(1,0,2)", tn_output(bench.g, x, 0));
    tn_symbol h = tn_op("Reshape", "shape=(-3,0)", tn_output(bench.g, x, 1));
    tn_symbol c = tn_op("Reshape", "shape=(-3,0)", tn_output(bench.g, x, 2));
    tn_symbol look = tn_op("mean", "axis=(1,)", seen), all[4];
    for (int t = 0; t < 4; t++) {
        const tn_symbol i2h = tn_op("FullyConnected", "num_hidden=32", look, w[0], w[1]);
        const tn_symbol h2h = tn_op("FullyConnected", "num_hidden=32", h, w[2], w[3]);
        const tn_symbol gates = tn_op("SliceChannel", "num_outputs=4", add(i2h, h2h));
        const tn_symbol in = sigmoid_of(tn_output(bench.g, gates, 0));
        const tn_symbol keep = sigmoid_of(tn_output(bench.g, gates, 1));
        c = add(mul(keep, c), mul(in, tanh_of(tn_output(bench.g, gates, 2))));
        h = mul(sigmoid_of(tn_output(bench.g, gates, 3)), tanh_of(c));
        const tn_symbol ask = tn_op("FullyConnected", "num_hidden=8; no_bias=1", h, w[4]);
        tn_symbol at = tn_op("batch_dot", NULL, seen, tn_op("expand_dims", "axis=2", ask));
        at = tn_op("softmax", NULL, tn_op("Reshape", "shape=(0,-1)", at));
        look = tn_op("batch_dot", NULL, tn_op("expand_dims", "axis=1", at), seen);
        look = tn_op("Reshape", "shape=(0,-1)", look);
        all[t] = tn_op("FullyConnected", "num_hidden=11",
                       tn_op("Concat", "num_args=2; dim=1", h, look), w[5], w[6]);
    }
    return tn_op("SoftmaxOutput", "use_ignore=1; ignore_label=0; normalization=valid",
                 joined("0", 4, all));
}

// data (6, 4, 7) by an LSTM both ways, aligned with letters.
static tn_symbol spelling(void)
{
    tn_symbol x =
        tn_op("RNN", "mode=lstm; state_size=12; num_layers=1; bidirectional=1", tn_var("data"),
              tn_var("parameters"), tn_var("state"), tn_var("state_cell"));
    x = zoo_dense("num_hidden=6; flatten=0", tn_output(bench.g, x, 0));
    x = tn_op("_contrib_CTCLoss", NULL, x, tn_var("letters_label"));
    return tn_op("MakeLoss", "grad_scale=0.5", tn_output(bench.g, x, 0));
}

// a / |a|, over axis 2
static tn_symbol unit(tn_symbol a)
{
    tn_symbol n = tn_op("sum", "axis=(2,); keepdims=1", tn_op("square", NULL, a));
    n = tn_op("rsqrt", NULL, tn_op("_plus_scalar", "scalar=0.01", n));
    return tn_op("broadcast_mul", NULL, a, n);
}

// data (4, 6, 7): each step looks up a memory by content, sharpens, reads and writes.
static tn_symbol memory(void)
{
    const tn_symbol w[] = {tn_var("key_weight"), tn_var("power_weight"), tn_var("wipe_weight"),
                           tn_var("fill_weight")};
    const tn_symbol xs =
        tn_op("SliceChannel", "num_outputs=6; axis=1; squeeze_axis=1", tn_var("data"));
    tn_symbol m = tn_op("broadcast_axis", "axis=(0,); size=(4,)", tn_var("memory")), read[6];
    for (size_t t = 0; t < 6; t++) {
        tn_symbol part[4];
        for (int k = 0; k < 4; k++) {
            part[k] = tn_op("FullyConnected",
                            k == 1 ? "num_hidden=1; no_bias=1" : "num_hidden=5; no_bias=1",
                            tn_output(bench.g, xs, t), w[k]);
            part[k] = tn_op("expand_dims", "axis=1", part[k]);
        }
        tn_symbol at = tn_op("batch_dot", "transpose_b=1", unit(m), unit(part[0]));
        at = tn_op("softmax", "axis=1", times(4, at));
        const tn_symbol power = tn_op("_plus_scalar", "scalar=1", sigmoid_of(part[1]));
        at = tn_op("broadcast_power", NULL, at, power);
        at = tn_op("broadcast_div", NULL, at, tn_op("sum", "axis=(1,); keepdims=1", at));
        const tn_symbol wiped = tn_op("batch_dot", NULL, at, sigmoid_of(part[2]));
        m = add(mul(m, tn_op("_rminus_scalar", "scalar=1", wiped)),
                tn_op("batch_dot", NULL, at, tanh_of(part[3])));
        read[t] = tn_op("Reshape", "shape=(0,-1)", tn_op("batch_dot", "transpose_a=1", at, m));
    }
    return tn_op("SoftmaxOutput", NULL, zoo_dense("num_hidden=5", joined("1", 6, read)));
}

// ------------------------------------------------------------------ rows

// data (14, 20): by rank and by size; both halves of a choice have a gradient.
static tn_symbol chosen(void)
{
    const tn_symbol x = zoo_dense("num_hidden=12", tn_var("data"));
    const tn_symbol cut = tn_op("clip", "a_min=-0.5; a_max=0.7", x);
    const tn_symbol which = tn_op("_greater_scalar", "scalar=0.1", x);
    const tn_symbol one = tn_op("where", NULL, which, x, tn_op("square", NULL, x));
    const tn_symbol best = tn_op("topk", "k=4; ret_typ=mask", x);
    const tn_symbol y = mul(add(cut, tn_op("sort", "axis=1; is_ascend=0", one)), best);
    const tn_symbol low = tn_op("broadcast_minimum", NULL, tn_op("min", "axis=1; keepdims=1", y),
                                tn_op("_minimum_scalar", "scalar=0.2", x));
    const tn_symbol high =
        tn_op("broadcast_maximum", NULL, tn_op("max", "axis=1; keepdims=1", one), cut);
    const tn_symbol first = tn_op("topk", "k=3; ret_typ=value; axis=0", x);
    return tn_group(bench.g, TN_SYMS(tn_op("LinearRegressionOutput", NULL, mul(low, high)),
                                     tn_op("MakeLoss", NULL, tn_op("square", NULL, first)),
                                     tn_op("BlockGrad", NULL, tn_op("argsort", "axis=1", x))));
}

// points (2, 6, 3), wanted (2, 6, 1): how likely a process with a covariance of Gaussians is.
static tn_symbol likelihood(void)
{
    const tn_symbol z = tn_op("broadcast_mul", NULL, times(6, tn_var("points")),
                              tn_op("exp", NULL, tn_var("scale")));
    const tn_symbol n = tn_op("sum", "axis=(2,); keepdims=1", tn_op("square", NULL, z));
    tn_symbol k = tn_op("linalg_gemm2", "transpose_b=1; alpha=-2", z, z);
    k = tn_op("broadcast_add", NULL, tn_op("broadcast_add", NULL, k, n),
              tn_op("transpose", "axes=(0,2,1)", n));
    k = tn_op("exp", NULL, times(-0.5, k));
    const tn_symbol some =
        tn_op("one_hot", "depth=6; on_value=0.3", tn_op0("_arange", "start=0; stop=6"));
    k = tn_op("broadcast_add", NULL, k, tn_op("expand_dims", "axis=0", some));
    const tn_symbol l = tn_op("linalg_potrf", NULL, k);
    const tn_symbol a = tn_op("linalg_trsm", NULL, l, tn_var("wanted"));
    const tn_symbol far = tn_op("sum", "axis=(1,2)", tn_op("square", NULL, a));
    return tn_op("MakeLoss", NULL, add(times(0.5, far), tn_op("linalg_sumlogdiag", NULL, l)));
}

// data (14, 20): one weight in fifty places, whose results all count.
static tn_symbol fifty_places(void)
{
    const tn_symbol w = tn_var("again_weight"), b = tn_var("again_bias");
    static const char *const kinds[] = {"act_type=tanh", "act_type=sigmoid", "act_type=softsign"};
    tn_symbol x = zoo_dense("num_hidden=9", tn_var("data")), all[50];
    for (int i = 0; i < 50; i++)
        all[i] = x = zoo_act(kinds[i % 3], tn_op("FullyConnected", "num_hidden=9", x, w, b));
    x = tn_call(bench.g, "add_n", .inputs = {50, all}, .params = TN_ATTRS({"num_args", "50"}));
    return tn_op("SoftmaxOutput", "normalization=batch", zoo_dense("num_hidden=5", x));
}

// data (14, 20): two thousand nodes; the first value is used all along.
static tn_symbol long_way(void)
{
    const tn_symbol x = tn_var("data");
    tn_symbol y = x;
    for (int i = 0; i < 400; i++) {
        y = times(0.9, tanh_of(tn_op("_plus_scalar", "scalar=0.01", y)));
        y = add(y, times(0.1, x));
    }
    return tn_op("SoftmaxOutput", "normalization=batch", zoo_dense("num_hidden=5", y));
}

// data (n, 3, 10, 10): two norms move one pair of averages, the third only looks at it.
static tn_symbol shared_averages(void)
{
    const tn_symbol mean = tn_var("shared_mean"), var = tn_var("shared_var");
    tn_symbol x = conv("kernel=(3,3); num_filter=6; no_bias=1", tn_var("data"));
    for (int i = 0; i < 3; i++) {
        char gamma[16], beta[16];
        snprintf(gamma, sizeof gamma, "gamma_%d", i);
        snprintf(beta, sizeof beta, "beta_%d", i);
        x = tn_op("BatchNorm",
                  i == 2 ? "fix_gamma=0; use_global_stats=1" : "fix_gamma=0; momentum=0.7", x,
                  tn_var(gamma), tn_var(beta), mean, var);
        x = conv("kernel=(3,3); pad=(1,1); num_filter=6; no_bias=1", tanh_of(x));
    }
    return tn_op("SoftmaxOutput", NULL, zoo_dense("num_hidden=5", x));
}

// ------------------------------------------------------------------ gradients by request

static tn_exec *bind_requests(const char *backends)
{
    static const int64_t pictures[] = {4, 3, 10, 10};
    static const tn_grad_req kinds[] = {TN_ADD, TN_WRITE, TN_NULL, TN_ADD, TN_ADD};
    tn_fresh();
    tn_symbol x = zoo_conv_norm_relu(tn_var("data"), "kernel=(3,3); num_filter=6; no_bias=1", true);
    x = tn_op("BatchNorm", NULL, conv("kernel=(3,3); stride=(2,2); num_filter=6", x));
    x = tanh_of(zoo_dense("num_hidden=6", x));
    const tn_symbol w = tn_var("shared_weight");
    for (int i = 0; i < 3; i++) x = tn_op("FullyConnected", "num_hidden=6; no_bias=1", x, w);
    x = tn_op("LayerNorm", NULL, x);
    const tn_symbol s = tn_op("SoftmaxOutput", NULL, zoo_dense("num_hidden=5", add(x, tanh_of(x))));
    const tn_names args = tn_arguments(bench.g, s);
    tn_named_req reqs[32];
    size_t n = 0;
    for (; n < args.n && n < 32; n++)
        reqs[n] = (tn_named_req){args.v[n], strstr(args.v[n], "label") ? TN_NULL : kinds[n % 5]};
    tn_exec *e = tn_simple_bind(bench.g, s, .backends = backends, .grad_reqs = {n, reqs},
                                .shapes = {1, (const tn_named_dims[]){{"data", {4, pictures}}}});
    if (!TN_CHECK_EXEC(e)) return NULL;
    zoo_fill(e);
    size_t none = 0;
    const tn_names bound = tn_exec_arguments(e);
    for (size_t i = 0; i < bound.n; i++) {
        tn_tensor *g = tn_exec_grad(e, bound.v[i]);
        none += g == NULL;
        if (g) CU_ASSERT(tn_tensor_fill(g, 0.5) == TN_OK);
    }
    CU_ASSERT(none >= 3 && none < bound.n / 2);
    return e;
}

static void gradients_added_stored_or_not_wanted(void)
{
    tn_exec *wanted = bind_requests("reference"), *got = bind_requests(tn_backends());
    zoo_compare("requests", got, wanted, 1e-4);
    tn_exec_free(got);
    tn_exec_free(wanted);
}

// ------------------------------------------------------------------ all

static const int64_t few[] = {3, 3, 10, 10}, even[] = {2, 3, 12, 12}, one_each[] = {4, 3, 10, 10},
                     boxes[] = {4, 4}, start[] = {1, 6}, votes[] = {1, 48, 5, 4, 3},
                     steps[] = {ZOO_STEPS, ZOO_SEQUENCES}, cells[] = {1, ZOO_SEQUENCES, CELL},
                     letters[] = {ZOO_SEQUENCES, 3}, places[] = {1, 7, 5}, points[] = {2, 6, 3},
                     numbers[] = {2, 6, 1}, scale[] = {1, 1, 3};

static void check_norms_of_pieces(void)
{
    ZOO_CHECK(norms_of_pieces, {"data", {4, few}});
}

static void check_moved_pictures(void)
{
    ZOO_CHECK(moved_pictures, {"data", {4, few}}, {"start", {2, start}});
}

static void check_regions(void)
{
    ZOO_CHECK(regions, {"data", {4, one_each}}, {"regions", {2, boxes}});
}

static void check_pyramid(void)
{
    ZOO_CHECK(pyramid, {"data", {4, even}});
}

static void check_capsules(void)
{
    ZOO_CHECK(capsules, {"data", {4, few}}, {"votes", {5, votes}});
}

static void check_translator(void)
{
    ZOO_CHECK(translator, {"words", {2, steps}}, {"state", {3, cells}}, {"state_cell", {3, cells}});
}

static void check_spelling(void)
{
    ZOO_CHECK(spelling, {"data", {3, zoo_steps}}, {"state", {3, zoo_states}},
              {"state_cell", {3, zoo_states}}, {"letters_label", {2, letters}});
}

static void check_memory(void)
{
    ZOO_CHECK(memory, {"data", {3, zoo_sequences}}, {"memory", {3, places}});
}

static void check_chosen(void)
{
    ZOO_CHECK(chosen, {"data", {2, zoo_rows}});
}

static void check_likelihood(void)
{
    ZOO_CHECK(likelihood, {"points", {3, points}}, {"wanted", {3, numbers}}, {"scale", {3, scale}});
}

static void check_fifty_places(void)
{
    ZOO_CHECK(fifty_places, {"data", {2, zoo_rows}});
}

static void check_long_way(void)
{
    ZOO_CHECK(long_way, {"data", {2, zoo_rows}});
}

static void check_shared_averages(void)
{
    ZOO_CHECK(shared_averages, {"data", {4, few}});
}

TN_TEST_MAIN(
    {"norms across channels of pieces", check_norms_of_pieces},
    {"pictures that are moved", check_moved_pictures}, {"regions of pictures", check_regions},
    {"a pyramid of sizes", check_pyramid}, {"capsules", check_capsules},
    {"states that start cells", check_translator}, {"letters that are aligned", check_spelling},
    {"a memory that is written to", check_memory}, {"elements by rank", check_chosen},
    {"factors of matrices", check_likelihood}, {"one weight in fifty places", check_fifty_places},
    {"two thousand nodes", check_long_way}, {"averages of two norms", check_shared_averages},
    {"gradients that are added, stored or not wanted", gradients_added_stored_or_not_wanted})
