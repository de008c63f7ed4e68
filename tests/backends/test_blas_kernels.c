// tests/backends/test_blas_kernels.c: the blas backend against the reference backend on random
// shapes, and the same bits for any number of threads.
#include "random_rows.h"

static const random_row rows[] = {
    ROW("FullyConnected", "num_hidden=$b", "a,c b,c b", .floats_only = true),
    ROW("FullyConnected", "num_hidden=$b; no_bias=1; flatten=0", "a,d,c b,c", .floats_only = true),
    ROW("dot", NULL, "a,b b,c", .floats_only = true),
    ROW("dot", NULL, "b b", .floats_only = true),
    ROW("dot", NULL, "a,b b", .floats_only = true),
    ROW("dot", NULL, "1,b b,c", .floats_only = true),
    ROW("dot", "transpose_a=1", "b,a b,c", .floats_only = true),
    ROW("dot", "transpose_a=1", "b,1 b,c", .floats_only = true),
    ROW("dot", "transpose_b=1", "a,b 1,b", .floats_only = true),
    ROW("dot", "transpose_b=1", "a,d,b c,b", .floats_only = true),
    ROW("dot", "transpose_a=1; transpose_b=1", "b,a c,b", .floats_only = true),
    ROW("_backward_dot_lhs", "transpose_a=1", "a,c b,c b,a", .floats_only = true),
    ROW("_backward_dot_lhs", "transpose_b=1", "a,c c,b a,b", .floats_only = true),
    ROW("_backward_dot_rhs", "transpose_b=1", "a,c a,b c,b", .floats_only = true),
    ROW("_backward_dot_rhs", "transpose_a=1", "a,c b,a b,c", .floats_only = true),
    ROW("batch_dot", NULL, "e,a,b e,b,c", .floats_only = true),
    ROW("batch_dot", "transpose_a=1; transpose_b=1", "e,b,a e,c,b", .floats_only = true),
    ROW("Activation", "act_type=tanh", "a,b"),
    ROW("Activation", "act_type=softrelu", "a,b"),
    ROW("softmax", NULL, "a,b", .floats_only = true),
    ROW("softmax", "axis=0; temperature=2", "a,b,c", .floats_only = true),
    ROW("log_softmax", "temperature=0.5", "a,b", .floats_only = true),
    ROW("log_softmax", "axis=1", "a,b,c", .floats_only = true),
    ROW("_backward_softmax", NULL, "a,b a,b", .floats_only = true),
    ROW("_backward_softmax", "axis=1; temperature=3", "a,b,c a,b,c", .floats_only = true),
    ROW("_backward_log_softmax", NULL, "a,b a,b", .lo = -4, .hi = 0, .floats_only = true),
    ROW("_backward_log_softmax", "axis=0", "a,b a,b", .lo = -4, .hi = 0, .floats_only = true),
    ROW("SoftmaxOutput", NULL, "a,b a", .lo = 0, .hi = 9, .floats_only = true),
    ROW("SoftmaxOutput", "multi_output=1", "a,b,c a,c", .lo = 0, .hi = 9, .floats_only = true),
    ROW("_backward_SoftmaxOutput", "grad_scale=0.3", "a,b a", .lo = 0, .hi = 9,
        .floats_only = true),
    ROW("_backward_SoftmaxOutput", "normalization=batch", "a,b a", .lo = 0, .hi = 9,
        .floats_only = true),
    ROW("_backward_SoftmaxOutput", "use_ignore=1; ignore_label=2; normalization=valid", "a,b a",
        .lo = 0, .hi = 4, .floats_only = true),
    ROW("_backward_SoftmaxOutput", "multi_output=1; use_ignore=1; ignore_label=1", "a,b,c a,c",
        .lo = 0, .hi = 4, .floats_only = true),
    ROW("_backward_SoftmaxOutput", "out_grad=1", "a,b a,b a,b", .floats_only = true),
    ROW("_backward_SoftmaxOutput", "out_grad=1", "a,b a a,b", .lo = 0, .hi = 4,
        .floats_only = true),
    ROW("LogisticRegressionOutput", NULL, "a,b a,b", .floats_only = true),
    ROW("_backward_LinearRegressionOutput", "grad_scale=3", "a,b a,b", .floats_only = true),
    ROW("_backward_MAERegressionOutput", NULL, "a,b a,b", .floats_only = true),
    ROW("_backward_MakeLoss", "normalization=valid; valid_thresh=0.5", "a,b", .floats_only = true),
    ROW("sgd_update", "lr=0.1; wd=0.01; rescale_grad=0.5; clip_gradient=0.3", "a,b a,b",
        .floats_only = true),
    ROW("sgd_mom_update", "lr=0.1; momentum=0.9; wd=0.01", "a,b a,b a,b", .floats_only = true),
    ROW("adam_update", "lr=0.1; wd=0.01; clip_gradient=0.7", "a,b a,b a,b a,b", .lo = 0.1, .hi = 2,
        .floats_only = true),
    ROW("rmsprop_update", "lr=0.1; wd=0.01; clip_weights=1", "a,b a,b a,b", .lo = 0.1, .hi = 2,
        .floats_only = true),
    ROW("rmspropalex_update", "lr=0.1; clip_gradient=0.5", "a9 a9 a9 a9 a9", .lo = 0.1, .hi = 0.3,
        .floats_only = true),
    ROW("MAERegressionOutput", NULL, "a,b a,b", .floats_only = true),
    ROW("MakeLoss", NULL, "a,b", .floats_only = true),
    ROW("_backward_IdentityAttachKLSparseReg", "momentum=0.5", "a,b,c a,b,c b", .lo = 0.1,
        .hi = 0.8, .floats_only = true),
    ROW("clip", "a_min=-1; a_max=1", "a,b"),
    ROW("_backward_clip", "a_min=-1; a_max=1", "a,b a,b"),
    ROW("_leaky", "below=0.1", "a,b", .reals_only = true),
    ROW("_leaky", "above=2; below=0.5; curved=1", "a,b", .reals_only = true),
    ROW("_backward_leaky", "below=0.1", "a,b a,b", .reals_only = true),
    ROW("_backward_leaky", "above=2; below=0.5; curved=1", "a,b a,b", .reals_only = true),
    ROW("smooth_l1", "scalar=1.5", "a,b"),
    ROW("_backward_smooth_l1", "scalar=1.5", "a,b a,b"),
    ROW("where", NULL, "a,b a,b a,b"),
    ROW("where", NULL, "a a,b,c a,b,c"),
    ROW("where", NULL, "a a,b a,b"),
    ROW("LeakyReLU", "act_type=leaky; slope=0.3", "a,b,c", .floats_only = true),
    ROW("LeakyReLU", "act_type=elu", "a,b", .floats_only = true),
    ROW("LeakyReLU", "act_type=selu", "a,b", .floats_only = true),
    ROW("LeakyReLU", "act_type=prelu", "a,b,c b", .floats_only = true),
    ROW("add_n", "num_args=2", "a,b a,b"),
    ROW("add_n", "num_args=4", "a,b a,b a,b a,b"),
    ROW("_grad_add", NULL, "a,b a,b"),
    ROW("Cast", "dtype=float64", "a,b"),
    ROW("Cast", "dtype=float32", "a,b", .lo = -300, .hi = 300),
    ROW("Cast", "dtype=float16", "a,b"),
    ROW("Cast", "dtype=bfloat16", "a,b", .lo = -300, .hi = 300),
    ROW("Cast", "dtype=uint8", "a,b", .lo = -300, .hi = 300),
    ROW("Cast", "dtype=int32", "a,b", .lo = -300, .hi = 300),
    ROW("Flatten", NULL, "a,b,c"),
    ROW("transpose", NULL, "a,b"),
    ROW("transpose", NULL, "a,b,c"),
    ROW("transpose", "axes=(0,2,1)", "a,b,c"),
    ROW("transpose", "axes=(1,0,2)", "a,b,c"),
    ROW("transpose", "axes=(2,0,3,1)", "e,a,d,b"),
    ROW("SwapAxis", "dim1=0; dim2=2", "a,b,c"),
    ROW("Concat", "num_args=3; dim=1", "a,b a,c a,d"),
    ROW("Concat", "num_args=2; dim=0", "a,b c,b"),
    ROW("Concat", "num_args=3; dim=1", "a,1 a,1 a,1"),
    ROW("Concat", "num_args=3; dim=2", "a,b,1 a,b,40 a,b,3"),
    ROW("_backward_Concat", "num_args=3; dim=1", "a,25 a,2 a,3 a,20"),
    ROW("_backward_SliceChannel", "num_args=3; axis=-1; squeeze_axis=1", "a,b a,b a,b"),
    ROW("cumsum", "axis=1", "a,b"),
    ROW("cumsum", "axis=0; exclusive=1; reverse=1", "a,b"),
    ROW("cumsum", "axis=1; reverse=1", "a,b,c"),
    ROW("cumsum", "axis=1; exclusive=1", "a,3"),
    ROW("cumsum", NULL, "a,b,c"),
    ROW("_backward_Concat", "num_args=2; dim=1", "a,4 a,1 a,3"),
    ROW("SliceChannel", "num_outputs=3; axis=1", "a,6,b"),
    ROW("_backward_SliceChannel", "num_args=2; axis=1", "a,b,c a,b,c"),
    ROW("slice", "begin=(1,0); end=(None,None)", "a,b"),
    ROW("slice", "begin=(None,None); end=(None,None); step=(2,-1)", "a,b"),
    ROW("_backward_slice", "begin=(0,2); end=(None,6)", "a,4 a,b9"),
    ROW("slice", "begin=(None,None,None); end=(None,None,None); step=(-1,1,-1)", "a,b,4"),
    ROW("slice", "begin=(None,None); end=(None,None); step=(1,-1)", "a,3"),
    ROW("slice", "begin=(0,1); end=(None,3)", "a,b9"),
    ROW("slice", "begin=(None,1,None); end=(None,None,None); step=(-1,1,-3)", "a,b,c9"),
    ROW("slice", "begin=(None,2); end=(None,None); step=(1,2)", "a,b9"),
    ROW("slice_axis", "axis=1; begin=1; end=None", "a,b,c"),
    ROW("_backward_slice_axis", "axis=0; begin=2; end=5", "3,b a9,b"),
    ROW("broadcast_to", "shape=($a,$b,$c)", "a,1,c"),
    ROW("broadcast_to", "shape=($a,$b,2)", "a,b,1"),
    ROW("broadcast_to", "shape=($a,3,$c,4)", "a,1,c,1"),
    ROW("broadcast_axis", "axis=0; size=$a", "1,b,c"),
    ROW("transpose", "axes=(0,2,1)", "a,2,b"),
    ROW("broadcast_like", NULL, "c a,b,c"),
    ROW("_broadcast_reduced", "axis=1; scale_by_count=1", "a a,b"),
    ROW("_broadcast_reduced", "axis=(0,2)", "b a,b,c"),
    ROW("_sum_like", NULL, "a,b,c b,1"),
    ROW("_sum_like", NULL, "a,b b"),
    ROW("sum", NULL, "a,b,c"),
    ROW("sum", "axis=0", "a,b"),
    ROW("sum", "axis=1", "a,b"),
    ROW("sum", "axis=(0,2)", "a,b,c"),
    ROW("sum", "axis=(1,3); keepdims=1", "a,b,c,d"),
    ROW("mean", "axis=(0,1)", "a,b,c"),
    ROW("mean", "axis=-1; exclude=1", "a,b,c"),
    ROW("prod", "axis=1", "a,5", .lo = 0.5, .hi = 1.5),
    ROW("prod", "axis=0", "4,b", .lo = 0.5, .hi = 1.5),
    ROW("max", "axis=1", "a,b"),
    ROW("prod", "axis=1", "a,b9", .lo = 0.8, .hi = 1.2),
    ROW("max", "axis=0", "a,b"),
    ROW("max", "axis=(0,2)", "a,b,c"),
    ROW("argmin", "axis=1", "a,b,c"),
    ROW("min", NULL, "a,b"),
    ROW("min", "axis=1", "a,b,c"),
    ROW("norm", NULL, "a,b"),
    ROW("argmax", "axis=1", "a,b"),
    ROW("argmax", "axis=0", "a,b"),
    ROW("argmin", NULL, "a,b"),
    ROW("Embedding", "input_dim=$c; output_dim=$d", "a,b c,d", .lo = 0, .hi = 30),
    ROW("_backward_Embedding", "input_dim=$c; output_dim=$d", "a,b,d a,b c,d", .lo = 0, .hi = 30),
    ROW("take", "mode=wrap", "a,b c", .lo = -20, .hi = 20),
    ROW("_backward_take", NULL, "c,b c a,b", .lo = -3, .hi = 20),
    ROW("one_hot", "depth=$b; on_value=2; off_value=-1", "a", .lo = -3, .hi = 20),
    ROW("_zeros", "shape=($a,$b)", ""),
    ROW("_full", "shape=($a,$b); value=2.5", ""),
    ROW("_arange", "start=1; stop=$a; step=0.5", ""),
    ROW("ones_like", NULL, "a,b"),
    ROW("random_uniform", "shape=($a,$b); low=-1; high=3", ""),
    ROW("random_normal", "shape=($a,$b); loc=1; scale=2", ""),
    ROW("random_normal", "shape=($a,$b); dtype=float64", ""),
    ROW("Dropout", "p=0.3", "a,b"),
    ROW("Dropout", "p=0.3; axes=(1,)", "a,b"),
    ROW("_copy", NULL, "a,b"),
    ROW("_identity_with_attr_like_rhs", NULL, "a,b a,b"),
    ROW("_power_scalar", "scalar=2", "a,b"),
// Rows of <tenon/elementwise.h>
#define UNARY(op, dtypes, uses, ...) \
    ROW(#op, NULL, "a,b", .lo = 0.1, .hi = 0.9), BACKWARD_WITH_##uses(op)
#define BACKWARD_WITH_X(op) ROW("_backward_" #op, NULL, "a,b a,b", .lo = 0.1, .hi = 0.9),
#define BACKWARD_WITH_Y(op) ROW("_backward_" #op, NULL, "a,b a,b", .lo = 0.1, .hi = 0.9),
#define BACKWARD_WITH_XY(op) ROW("_backward_" #op, NULL, "a,b a,b a,b", .lo = 0.1, .hi = 0.9),
#define BACKWARD_WITH_NONE(op)
#define BACKWARD_WITH_ZERO(op)
#define BINARY(op, scalar, rscalar, broadcast, ...)             \
    ROW(#op, NULL, "a,b a,b", .lo = 0.3, .hi = 3),              \
        ROW(#scalar, "scalar=1.5", "a,b", .lo = 0.3, .hi = 3),  \
        ROW(#rscalar, "scalar=1.5", "a,b", .lo = 0.3, .hi = 3), \
        ROW(#broadcast, NULL, "a,b b", .lo = 0.3, .hi = 3),     \
        ROW(#broadcast, NULL, "a,1 1,b", .lo = 0.3, .hi = 3),   \
        ROW(#broadcast, NULL, "a,b,c b,1", .lo = 0.3, .hi = 3), \
        ROW(#broadcast, NULL, "1 a,b", .lo = 0.3, .hi = 3),
    TN_UNARY_ROWS(UNARY) TN_BINARY_ROWS(BINARY)};
static const random_rows all = {sizeof rows / sizeof *rows, rows};

static void float32_agrees_with_the_reference(void)
{
    if (!ready()) return;
    for (uint64_t seed = 0; seed < 3; seed++) compare_all(all, TN_F32, seed, 1, 24);
}

static void float64_agrees_with_the_reference(void)
{
    if (!ready()) return;
    for (uint64_t seed = 3; seed < 5; seed++) compare_all(all, TN_F64, seed, 1, 24);
}

static void other_dtypes_agree_with_the_reference(void)
{
    static const tn_dtype dtypes[] = {TN_F16, TN_BF16, TN_I8, TN_U8, TN_I32, TN_I64, TN_BOOL};
    if (!ready()) return;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        compare_all(all, dtypes[i], 10 + i, 1, 24);
}

static void empty_tensors_agree_with_the_reference(void)
{
    if (!ready()) return;
    for (uint64_t seed = 20; seed < 23; seed++) compare_all(all, TN_F32, seed, 0, 2);
    compare_all(all, TN_I32, 23, 0, 2);
}

// What the reference backend runs in float32 and float64, blas runs, but for what other parts of
// the build tree add.
static void nothing_is_left_to_the_reference(void)
{
    if (!ready()) return;
    for (size_t i = 0; i < all.n; i++) {
        if (strcmp(rows[i].op, "-") == 0) continue;
        const bool has = tn_env_backend_has(bench.env, backend_index("blas"), rows[i].op, TN_F32) &&
                         tn_env_backend_has(bench.env, backend_index("blas"), rows[i].op, TN_F64);
        CU_ASSERT(has);
        if (!has) printf("\n    no kernel of %s\n", rows[i].op);
    }
}

// ------------------------------------------------------------------ NaN

// An extreme along axis 1 of (ROWS, n), or along axis 0 of (n, ROWS), in which one element is NaN.
enum { ROWS = 3 };
static void check_nan(const char *op, int64_t n, int64_t axis)
{
    char axis_text[32];
    const int64_t dims[2] = {axis ? ROWS : n, axis ? n : ROWS};
    tn_fresh();
    snprintf(axis_text, sizeof axis_text, "%lld", (long long)axis);
    const tn_symbol y = tn_call(bench.g, op, .inputs = TN_SYMS(tn_var("x")),
                                .params = TN_ATTRS({"axis", axis_text}));
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = "blas", .grad_req = TN_NULL,
                                .shapes = TN_SHAPES({"x", TN_DIMS(dims[0], dims[1])}));
    TN_CHECK_EXEC(e);
    if (!e) return;
    float *x = tn_tensor_data(tn_exec_arg(e, "x"));
    const float *got = tn_tensor_data(tn_exec_output(e, 0));
    const bool place = strncmp(op, "arg", 3) == 0, larger = strstr(op, "max") != NULL;
    for (int64_t at = 0; at < n; at += 1 + n / 7) {
        for (int64_t i = 0; i < ROWS * n; i++) x[i] = (float)(i * 7 % 11);
        x[axis ? n + at : at * ROWS + 1] = NAN; // of result 1
        tn_forward(e, false);
        for (int64_t o = 0; o < ROWS; o++) {
            int64_t best = 0;
            for (int64_t i = 1; i < n; i++) {
                const float v = x[axis ? o * n + i : i * ROWS + o];
                const float b = x[axis ? o * n + best : best * ROWS + o];
                if (larger ? v > b : v < b) best = i;
            }
            const float value = x[axis ? o * n + best : best * ROWS + o];
            const float wanted = place ? (float)(o == 1 ? at : best) : o == 1 ? NAN : value;
            CU_ASSERT(isnan(wanted) ? isnan(got[o]) : got[o] == wanted);
        }
    }
    tn_exec_free(e);
}

// Long lines are sorted by digits: equal numbers, both zeros, infinities and NaN among them.
static void long_lines_are_sorted_as_short_ones(void)
{
    static const tn_dtype dtypes[] = {TN_F32, TN_F16, TN_I32, TN_U8, TN_F64};
    static const float special[] = {-0.0f, 0.0f, INFINITY, -INFINITY, NAN, -1, 1, 3e38f};
    enum { N_SORTED = 1000 };
    if (!ready()) return;
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
        for (int ascend = 0; ascend < 2; ascend++) {
            tn_exec *e[2];
            for (int b = 0; b < 2; b++) {
                tn_fresh();
                const tn_symbol x = tn_variable(bench.g, "x", .dtype = dtypes[d]);
                const tn_symbol y = tn_op("_argsort", ascend ? "axis=1" : "axis=1; is_ascend=0", x);
                e[b] = tn_simple_bind(bench.g, y, .backends = b ? "reference" : "blas",
                                      .shapes = TN_SHAPES({"x", TN_DIMS(2, N_SORTED)}));
                TN_CHECK_EXEC(e[b]);
                if (!e[b]) return;
                double v[2 * N_SORTED];
                for (int i = 0; i < 2 * N_SORTED; i++) {
                    const bool odd = i % 9 == 4 && dtypes[d] <= TN_F16; // of the floats here
                    v[i] = odd ? (double)special[i / 9 % 8] : (i * 7919 + i / 7) % 211 - 100;
                }
                tn_tensor *data = tn_tensor_from(bench.env, TN_F64, TN_DIMS(2, N_SORTED), v);
                tn_exec_set(e[b], "x", data);
                tn_tensor_release(data);
                tn_forward(e[b], false);
                TN_CHECK_EXEC(e[b]);
            }
            const tn_tensor *y = tn_exec_output(e[0], 0);
            CU_ASSERT(memcmp(tn_tensor_data(tn_exec_output(e[0], 0)),
                             tn_tensor_data(tn_exec_output(e[1], 0)),
                             (size_t)tn_tensor_bytes(y)) == 0);
            for (int b = 0; b < 2; b++) tn_exec_free(e[b]);
        }
    }
}

static void a_nan_is_every_extreme(void)
{
    static const char *const ops[] = {"max", "min", "argmax", "argmin"};
    static const int64_t sizes[] = {1, 2, 7, 15, 16, 17, 63, 64, 65, 130, 1000};
    if (!ready()) return;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
            for (int64_t axis = 0; axis < 2; axis++) check_nan(ops[i], sizes[j], axis);
}

// ------------------------------------------------------------------ threads

static void any_number_of_threads_gives_the_same_bits(void)
{
    static const int64_t extent[5] = {331, 257, 17, 7, 5};
    if (!ready()) return;
    for (size_t i = 0; i < all.n; i++) {
        drawn d;
        if (strcmp(rows[i].op, "-") == 0) continue;
        draw(&d, &rows[i], extent);
        same_bits(&rows[i], &d);
    }
}

// Products of several tiles, and long axes, which are cut as well.
static void large_work_is_cut_in_fixed_parts(void)
{
    static const random_row large[] = {
        ROW("FullyConnected", "num_hidden=$b", "b,500 b,500 b", .lo = -0.5, .hi = 0.5),
        ROW("dot", "transpose_a=1", "300,b 300,400", .lo = -0.5, .hi = 0.5),
        ROW("dot", NULL, "1,2000 2000,b0", .lo = -0.5, .hi = 0.5),
        ROW("dot", NULL, "b0,2000 2000,1", .lo = -0.5, .hi = 0.5),
        ROW("_backward_dot_lhs", "transpose_a=1", "200,b 333,b 333,200", .lo = -0.5, .hi = 0.5),
        ROW("batch_dot", "transpose_b=1", "d,200,90 d,150,90", .lo = -0.5, .hi = 0.5),
        ROW("sum", NULL, "a"),
        ROW("mean", "axis=0", "a,d"),
        ROW("max", "axis=1", "e,a"),
        ROW("norm", NULL, "a"),
        ROW("sum", "axis=0", "a,d,e"),
        ROW("sum", "axis=0", "a,1"),
        ROW("min", "axis=0", "a,d"),
        ROW("norm", NULL, "e,a"),
        ROW("sum", "axis=0", "500,3000"),
        ROW("argmax", "axis=0", "a,d"),
        ROW("_argsort", "axis=1", "3,5000"),
        ROW("_argsort", "axis=0; is_ascend=0", "700,3"),
        ROW("sum", "axis=(0,2)", "a,d,e"),
        ROW("_sum_like", NULL, "a,d d"),
        ROW("softmax", NULL, "e,a"),
        ROW("softmax", "axis=0", "e,a"),
    };
    static const int64_t extent[5] = {300007, 257, 0, 7, 3};
    if (!ready()) return;
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        drawn d;
        draw(&d, &large[i], extent);
        same_bits(&large[i], &d);
        if (strcmp(large[i].op, "FullyConnected") != 0) compare_row(&large[i], &d, TN_F32);
    }
}

TN_TEST_MAIN({"float32 agrees with the reference", float32_agrees_with_the_reference},
             {"float64 agrees with the reference", float64_agrees_with_the_reference},
             {"other dtypes agree with the reference", other_dtypes_agree_with_the_reference},
             {"empty tensors agree with the reference", empty_tensors_agree_with_the_reference},
             {"nothing is left to the reference", nothing_is_left_to_the_reference},
             {"long lines are sorted as short ones", long_lines_are_sorted_as_short_ones},
             {"a NaN is every extreme", a_nan_is_every_extreme},
             {"any number of threads gives the same bits",
              any_number_of_threads_gives_the_same_bits},
             {"large work is cut in fixed parts", large_work_is_cut_in_fixed_parts})
