// tests/backends/test_blas_layers.c: the layers of the blas backend against the reference backend
// on random shapes, and the same bits for any number of threads.
#include "random_rows.h"

// Shapes that are the data's, the weight's and the result's of one Convolution.
static const random_row rows[] = {
    ROW("Convolution", "kernel=(3,3); pad=(1,1); num_filter=$b", "c,d,a9,9 b,d,3,3 b"),
    ROW("Convolution", "kernel=(3,2); stride=(2,3); dilate=(2,1); num_filter=$b; no_bias=1",
        "2,d,a9,b9 b,d,3,2"),
    ROW("Convolution", "kernel=(1,1); num_filter=$b", "c,d,a,e b,d,1,1 b"),
    ROW("Convolution", "kernel=(1,1); stride=(2,2); num_filter=$b; no_bias=1", "c,d,a,e b,d,1,1"),
    ROW("Convolution", "kernel=(5,); pad=(4,); dilate=(2,); num_filter=$a", "c,d,b9 a,d,5 a"),
    ROW("Convolution", "kernel=(2,3,2); pad=(1,2,0); num_filter=7", "2,3,5,4,b9 7,3,2,3,2 7"),
    ROW("Convolution", "kernel=(3,3); num_group=4; num_filter=12; pad=(2,0)",
        "c,8,a9,b9 12,2,3,3 12"),
    ROW("Convolution", "kernel=(3,3); num_group=6; num_filter=6; stride=(2,2); pad=(1,1)",
        "c,6,a9,b9 6,1,3,3 6"),
    ROW("Convolution", "kernel=(3,3); num_group=3; num_filter=6; pad=(1,1); dilate=(1,2)",
        "c,6,a9,b9 6,2,3,3 6"),
    ROW("_backward_Convolution_data", "kernel=(3,3); num_filter=5; pad=(1,1)",
        "c,5,9,9 5,b,3,3 c,b,9,9"),
    ROW("_backward_Convolution_data", "kernel=(3,2); num_filter=5; stride=(2,3); dilate=(1,2)",
        "c,5,4,5 5,b,3,2 c,b,9,15"),
    ROW("_backward_Convolution_data", "kernel=(1,1); num_filter=9", "c,9,a,e 9,b,1,1 c,b,a,e"),
    ROW("_backward_Convolution_data", "kernel=(5,5); num_filter=6", "c,6,4,9 6,9,5,5 c,9,8,13"),
    ROW("_backward_Convolution_data", "kernel=(5,5); stride=(2,1); num_filter=6",
        "c,6,4,9 6,9,5,5 c,9,12,13"),
    ROW("_backward_Convolution_data", "kernel=(3,2,2); num_filter=6; dilate=(1,2,2)",
        "c,6,2,3,4 6,5,3,2,2 c,5,4,5,6"),
    ROW("_backward_Convolution_data", "kernel=(3,); num_group=4; num_filter=4; stride=(2,)",
        "c,4,6 4,2,3 c,8,13"),
    ROW("_backward_Convolution_weight", "kernel=(3,3); num_filter=5; pad=(1,1)",
        "c,5,9,9 c,b,9,9 5,b,3,3"),
    ROW("_backward_Convolution_weight", "kernel=(3,2); num_filter=5; stride=(2,3); dilate=(1,2)",
        "c,5,4,5 c,b,9,15 5,b,3,2"),
    ROW("_backward_Convolution_weight", "kernel=(1,1); num_filter=9", "c,9,a,e c,b,a,e 9,b,1,1"),
    ROW("_backward_Convolution_weight", "kernel=(3,); num_group=4; num_filter=4; stride=(2,)",
        "c,4,6 c,8,13 4,2,3"),
    ROW("_backward_Convolution_weight", "kernel=(2,2,2); num_group=2; num_filter=6",
        "c,6,3,4,5 c,8,4,5,6 6,4,2,2,2"),
    ROW("Deconvolution", "kernel=(4,4); stride=(2,2); pad=(1,1); num_filter=$b; no_bias=0",
        "c,d,5,e d,b,4,4 b"),
    ROW("Deconvolution", "kernel=(3,3); stride=(2,2); adj=(1,1); num_filter=6; num_group=2",
        "c,4,5,e 4,3,3,3"),
    ROW("Deconvolution", "kernel=(4,4); stride=(3,3); target_shape=(12,13); num_filter=$b",
        "c,d,4,4 d,b,4,4"),
    ROW("Pooling", "kernel=(2,2); stride=(2,2); pool_type=max", "c,d,a9,b9"),
    ROW("Pooling", "kernel=(3,3); stride=(2,2); pad=(1,1); pooling_convention=full", "c,d,a9,b9"),
    ROW("Pooling", "kernel=(3,2); stride=(1,2); pad=(1,0); pool_type=avg", "c,d,a9,b9"),
    ROW("Pooling", "kernel=(3,3); pad=(2,1); pool_type=avg; count_include_pad=0", "c,d,a9,b9"),
    ROW("Pooling", "kernel=(5,); stride=(3,); pool_type=sum; pooling_convention=full", "c,d,b9"),
    ROW("Pooling", "kernel=(2,3,2); stride=(2,1,2); pad=(1,1,1); pool_type=max", "2,d,5,6,b9"),
    ROW("Pooling", "kernel=(1,1); global_pool=1; pool_type=max", "c,d,a,b"),
    ROW("Pooling", "kernel=(1,1); global_pool=1; pool_type=avg", "c,d,a,b"),
    ROW("_backward_Pooling_max", "kernel=(3,3); stride=(2,2); pad=(1,1)",
        "c,d,5,8 c,d,9,15 c,d,5,8"),
    ROW("_backward_Pooling_max", "kernel=(2,2); stride=(2,2)", "c,d,5,8 c,d,11,17 c,d,5,8"),
    ROW("Pooling", "kernel=(2,2); stride=(2,2)", "2,3,7,6"),  // squares: 3 in a row
    ROW("Pooling", "kernel=(2,2); stride=(2,2)", "3,2,5,10"), // 5, by fours
    ROW("Pooling", "kernel=(2,2); stride=(2,2)", "1,2,7,35"), // 17
    ROW("Pooling", "kernel=(3,3); stride=(3,4); pad=(2,2)", "2,3,20,150"),
    ROW("Pooling", "kernel=(2,5); pad=(1,2); pool_type=avg", "1,3,6,300"),
    ROW("Pooling", "kernel=(3,); stride=(50,)", "1,2,5000"), // wider than a row with pads has room
    ROW("Pooling", "kernel=(1,1); global_pool=1", "2,3,13,11"),
    ROW("Pooling", "kernel=(1,1); global_pool=1; pool_type=sum", "2,3,9,30"),
    ROW("_backward_Pooling_max", "kernel=(3,5); pad=(1,2)", "1,2,6,150 1,2,6,150 1,2,6,150"),
    ROW("_backward_Pooling_max", "kernel=(3,); stride=(50,)", "1,2,100 1,2,5000 1,2,100"),
    ROW("_backward_Pooling_max", "kernel=(2,2); stride=(2,2)", "2,3,3,3 2,3,7,6 2,3,3,3"),
    ROW("_backward_Pooling_max", "kernel=(2,2); stride=(2,2)", "3,2,2,5 3,2,5,10 3,2,2,5"),
    ROW("_backward_Pooling_max", "kernel=(2,2); stride=(2,2)", "1,2,3,17 1,2,7,35 1,2,3,17"),
    ROW("_backward_Pooling_max", "kernel=(2,); global_pool=1", "c,d,1 c,d,b c,d,1"),
    ROW("_backward_Pooling_sum", "kernel=(3,3); stride=(2,2); pad=(1,1); pool_type=avg",
        "c,d,5,8 c,d,9,15"),
    ROW("_backward_Pooling_sum", "kernel=(3,3); pool_type=avg; count_include_pad=0; pad=(1,2)",
        "c,d,9,17 c,d,9,15"),
    ROW("_backward_Pooling_sum", "kernel=(1,1); global_pool=1; pool_type=avg", "c,d,1,1 c,d,a,b"),
    ROW("BatchNorm", "fix_gamma=0", "c,d,a,b d d d d", .lo = 0.1, .hi = 3),
    ROW("BatchNorm", "eps=1e-5; momentum=0.5", "b,a9 a9 a9 a9 a9", .lo = 0.1, .hi = 3),
    ROW("BatchNorm", "fix_gamma=0; axis=-1; use_global_stats=1", "a,b,c c c c c", .lo = 0.1,
        .hi = 3),
    ROW("_backward_BatchNorm", "fix_gamma=0", "c,d,a,b c,d,a,b d d d d d", .lo = 0.5, .hi = 3),
    ROW("_backward_BatchNorm", "fix_gamma=0; axis=-1", "a,b a,b b b b b b", .lo = 0.5, .hi = 3),
    ROW("_backward_BatchNorm", "use_global_stats=1", "c,d,a c,d,a d d d d d", .lo = 0.5, .hi = 3),
    ROW("LayerNorm", "eps=0.1", "a,b,c c c"),
    ROW("LayerNorm", "axis=1", "a9,b b b"),
    ROW("_backward_LayerNorm", NULL, "a,b,c9 a,b,c9 c9 a,b,1 a,b,1", .lo = 0.5, .hi = 3),
    ROW("_backward_LayerNorm", NULL, "a9,d a9,d d a9,1 a9,1", .lo = 0.5, .hi = 3),
    ROW("GroupNorm", "num_groups=2; eps=0.1", "a,b*2,c,d b*2 b*2", .outputs = 3),
    ROW("GroupNorm", "num_groups=3; eps=0.1", "c,b*3 b*3 b*3", .outputs = 3),
    ROW("GroupNorm", NULL, "c,d,a9 d d", .outputs = 3),
    ROW("InstanceNorm", "eps=0.1", "a,b,c9 b b", .outputs = 3),
    ROW("InstanceNorm", NULL, "d,b,a9,c b b", .outputs = 3),
    ROW("_backward_GroupNorm", "num_groups=2", "a,b*2,c a,b*2,c b*2 a,2 a,2", .lo = 0.5, .hi = 3),
    ROW("_backward_GroupNorm", "num_groups=1", "a,b a,b b a,1 a,1", .lo = 0.5, .hi = 3),
    ROW("_backward_GroupNorm", "num_groups=0", "a,b,c,d9 a,b,c,d9 b a,b a,b", .lo = 0.5, .hi = 3),
    ROW("RNN", "mode=lstm; state_size=5; num_layers=1", "a,c,3 200 1,c,5 1,c,5", .lo = -0.4,
        .hi = 0.4),
    ROW("RNN", "mode=gru; state_size=70; num_layers=2; state_outputs=1", "a,c,3 45570 2,c,70",
        .lo = -0.4, .hi = 0.4),
    ROW("RNN", "mode=rnn_tanh; state_size=3; num_layers=2; p=0.5; bidirectional=1",
        "a,c,2 108 4,c,3", .lo = -0.4, .hi = 0.4),
    ROW("RNN", "mode=rnn_relu; state_size=2; num_layers=1", "a,c,2 12 1,c,2", .lo = -0.3,
        .hi = 0.3),
    ROW("_backward_RNN", "mode=lstm; state_size=5; num_layers=1",
        "a,c,3 200 1,c,5 a,c,5 1,c,5 1,c,5 1,c,5", .lo = -0.4, .hi = 0.4),
    ROW("_backward_RNN", "mode=gru; state_size=3; num_layers=2; bidirectional=1",
        "a,c,2 324 4,c,3 a,c,6 4,c,3", .lo = -0.4, .hi = 0.4),
    ROW("_backward_RNN", "mode=rnn_tanh; state_size=3; num_layers=2; dropout=1",
        "a,c,2 45 2,c,3 a,c,3 2,c,3 1,a,c,3", .lo = -0.4, .hi = 0.4),
    ROW("_take_along", "axis=1", "a,b,c a,d,c", .lo = -2, .hi = 12),
    ROW("_take_along", "axis=2", "a,b,c a,b,d", .lo = -2, .hi = 12),
    ROW("_take_along", "axis=0", "a,b,c d,1,1", .lo = -2, .hi = 12),
    ROW("_backward_take_along", "axis=1", "a,d,c a,d,c a,b,c", .lo = -2, .hi = 12),
    ROW("_backward_take_along", "axis=1", "a,d 1,d a,b", .lo = -2, .hi = 12),
    ROW("_argsort", "axis=1", "a,b,c"),
    ROW("_argsort", "axis=-1; is_ascend=0", "a,b"),
    ROW("_check_index", "extent=12", "a,b", .lo = 0, .hi = 11),
    ROW("sample_multinomial", "shape=(5,); get_prob=1", "a,b", .lo = 0, .hi = 1),
    ROW("cumsum", "axis=1; reverse=1", "a,b,c"),
    ROW("cumsum", "exclusive=1", "a,b"),
    ROW("LRN", "nsize=5", "c,a,b,d"),
    ROW("LRN", "nsize=3; alpha=0.5; beta=0.6; knorm=1", "c,a,b,2"),
    ROW("_backward_LRN", "nsize=5", "c,a,b,d c,a,b,d c,a,b,d", .lo = 0.5, .hi = 2),
};
static const random_rows all = {sizeof rows / sizeof *rows, rows};

static void float32_agrees_with_the_reference(void)
{
    if (!ready()) return;
    for (uint64_t seed = 0; seed < 3; seed++) compare_all(all, TN_F32, seed, 1, 12);
}

static void float64_agrees_with_the_reference(void)
{
    if (!ready()) return;
    for (uint64_t seed = 3; seed < 5; seed++) compare_all(all, TN_F64, seed, 1, 12);
}

// Layers in 16 bits run on blas, too: the kernels of float32 between two conversions.
static void sixteen_bits_agree_with_the_reference(void)
{
    static const char *const layers[] = {"Convolution",
                                         "_backward_Convolution_data",
                                         "_backward_Convolution_weight",
                                         "Deconvolution",
                                         "Pooling",
                                         "_backward_Pooling_max",
                                         "_backward_Pooling_sum",
                                         "BatchNorm",
                                         "_backward_BatchNorm",
                                         "LRN",
                                         "_backward_LRN",
                                         "RNN",
                                         "_backward_RNN"};
    enum { LAYERS = sizeof layers / sizeof *layers };
    static const tn_dtype dtypes[] = {TN_F16, TN_BF16};
    if (!ready()) return;
    for (size_t i = 0; i < LAYERS; i++)
        for (size_t row = 0; row < all.n; row++) {
            if (strcmp(rows[row].op, layers[i]) != 0) continue;
            for (size_t k = 0; k < 2; k++) {
                int64_t extent[5];
                for (uint64_t j = 0; j < 5; j++) extent[j] = pick(row * 5 + j, 1, 9);
                random_row r = rows[row];
                drawn d;
                draw(&d, &r, extent);
                CU_ASSERT(tn_env_backend_has(bench.env, backend_index("blas"), r.op, dtypes[k]));
                compare_row(&r, &d, dtypes[k]);
            }
        }
}

static void empty_tensors_agree_with_the_reference(void)
{
    if (!ready()) return;
    for (uint64_t seed = 20; seed < 23; seed++) compare_all(all, TN_F32, seed, 0, 2);
}

static void any_number_of_threads_gives_the_same_bits(void)
{
    static const int64_t extent[5] = {37, 21, 9, 6, 14};
    if (!ready()) return;
    for (size_t i = 0; i < all.n; i++) {
        drawn d;
        draw(&d, &rows[i], extent);
        same_bits(&rows[i], &d);
    }
}

// One image shared by all threads; columns in pieces; parts of a batch; images side by side.
static void large_work_is_cut_in_fixed_parts(void)
{
    static const random_row large[] = {
        ROW("Convolution", "kernel=(3,3); pad=(1,1); num_filter=32", "1,64,7,7 32,64,3,3 32"),
        ROW("Convolution", "kernel=(3,3); pad=(1,1); num_filter=8", "1,40,56,50 8,40,3,3 8"),
        ROW("Convolution", "kernel=(7,7); pad=(3,3); stride=(2,2); num_filter=8",
            "2,3,64,64 8,3,7,7 8"),
        ROW("Convolution", "kernel=(1,1); num_filter=32", "1,64,5,9 32,64,1,1 32"),
        ROW("Convolution", "kernel=(9,); num_filter=3; no_bias=1", "1,2,20000 3,2,9"),
        ROW("_backward_Convolution_data", "kernel=(3,3); pad=(1,1); num_filter=32",
            "1,32,30,30 32,64,3,3 1,64,30,30"),
        ROW("_backward_Convolution_data", "kernel=(9,); num_filter=3", "1,3,19992 3,2,9 1,2,20000"),
        ROW("_backward_Convolution_weight", "kernel=(5,5); num_filter=20",
            "19,20,12,12 19,1,16,16 20,1,5,5"),
        ROW("_backward_Convolution_weight", "kernel=(3,3); pad=(1,1); num_filter=32",
            "5,32,7,7 5,64,7,7 32,64,3,3"),
        ROW("_backward_Convolution_weight", "kernel=(3,3); num_filter=8",
            "1,8,54,48 1,20,56,50 8,20,3,3"),
        ROW("Pooling", "kernel=(3,); stride=(2,)", "1,3,9999"),
        ROW("RNN", "mode=lstm; state_size=150; num_layers=1", "5,33,40 115200 1,33,150 1,33,150",
            .lo = -0.2, .hi = 0.2),
        ROW("_backward_RNN", "mode=lstm; state_size=130; num_layers=1",
            "3,40,50 94640 1,40,130 3,40,130 1,40,130 1,40,130 1,40,130", .lo = -0.2, .hi = 0.2),
        ROW("RNN", "mode=gru; state_size=70; num_layers=1", "3,9,9 17010 1,9,70", .lo = -0.3,
            .hi = 0.3),
        ROW("_backward_RNN", "mode=gru; state_size=70; num_layers=1",
            "3,9,9 17010 1,9,70 3,9,70 1,9,70", .lo = -0.3, .hi = 0.3),
        ROW("_backward_RNN", "mode=rnn_tanh; state_size=40; num_layers=2; bidirectional=1",
            "4,6,7 13680 4,6,40 4,6,80 4,6,40", .lo = -0.2, .hi = 0.2),
        ROW("BatchNorm", "fix_gamma=0", "16,3,40,40 3 3 3 3", .lo = 0.1, .hi = 3),
    };
    if (!ready()) return;
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        const drawn d = {.row = {large[i].op, large[i].params, large[i].shapes}};
        random_row r = large[i];
        if (r.lo == 0 && r.hi == 0) r.lo = -0.3, r.hi = 0.3;
        same_bits(&r, &d);
        compare_row(&r, &d, TN_F32);
        compare_row(&r, &d, TN_F64);
    }
}

// An env with a pool of so many threads, in place of the one there is.
static bool pool_of(int32_t threads)
{
    static const char *const paths[] = {TN_TEST_PLUGIN_DIR, NULL};
    tn_graph_free(bench.g);
    tn_env_free(bench.env);
    bench.env = tn_env_new(&(tn_env_options){.size = sizeof(tn_env_options),
                                             .flags = TN_ENV_NO_SEARCH,
                                             .paths = paths,
                                             .threads = threads});
    bench.g = bench.env ? tn_graph_new(bench.env) : NULL;
    CU_ASSERT_FATAL(bench.g != NULL);
    return true;
}

// Panels that are whole for one number of threads are cut for another one.
static void any_pool_gives_the_same_bits(void)
{
    static const random_row rows_[] = {
        ROW("Convolution", "kernel=(3,3); pad=(1,1); num_filter=8", "1,8,28,28 8,8,3,3 8"),
        ROW("Convolution", "kernel=(3,3); pad=(1,1); num_filter=16", "1,16,56,56 16,16,3,3 16"),
        ROW("Convolution", "kernel=(3,3); pad=(1,1); num_filter=16", "4,16,14,14 16,16,3,3 16"),
        ROW("Convolution", "kernel=(3,3); pad=(1,1); num_filter=8", "16,8,7,7 8,8,3,3 8"),
        ROW("Convolution", "kernel=(5,5); stride=(2,2); num_filter=9", "6,5,31,29 9,5,5,5 9"),
        ROW("_backward_Convolution_data", "kernel=(3,3); pad=(1,1); num_filter=16",
            "4,16,14,14 16,16,3,3 4,16,14,14"),
        ROW("_backward_Convolution_weight", "kernel=(3,3); pad=(1,1); num_filter=16",
            "4,16,14,14 4,16,14,14 16,16,3,3"),
    };
    if (!ready()) return;
    for (size_t i = 0; i < sizeof rows_ / sizeof *rows_; i++) {
        const drawn d = {.row = {rows_[i].op, rows_[i].params, rows_[i].shapes}};
        static const int32_t pools[] = {1, 2, 4, 8};
        void *wanted = NULL;
        for (size_t p = 0; p < 4 && pool_of(pools[p]); p++) {
            tn_exec *e = run_row(&rows_[i], &d, "blas", TN_F32, 0);
            CU_ASSERT_FATAL(e != NULL);
            tn_tensor *y = tn_exec_output(e, 0);
            const size_t bytes = tn_tensor_bytes(y);
            if (p == 0) wanted = malloc(bytes);
            CU_ASSERT_FATAL(wanted != NULL);
            if (p == 0) memcpy(wanted, tn_tensor_data(y), bytes);
            const bool same = memcmp(tn_tensor_data(y), wanted, bytes) == 0;
            CU_ASSERT(same);
            if (!same) printf("\n    %s of %s: %d threads\n", d.row.op, d.row.shapes, pools[p]);
            tn_exec_free(e);
        }
        free(wanted);
    }
    pool_of(0);
}

// Gradients of maxima of data with ties, with -∞ and with NaN: element i gets what the reference
// gives it.
static void the_first_maximum_gets_the_gradient(void)
{
    static const struct {
        const char *params;
        int64_t x[4], y[4];
    } cases[] = {{"kernel=(3,3); stride=(2,2); pad=(1,1)", {1, 2, 9, 67}, {1, 2, 5, 34}},
                 {"kernel=(5,5); pad=(2,2)", {1, 3, 7, 18}, {1, 3, 7, 18}},
                 {"kernel=(2,3); stride=(1,3)", {2, 1, 6, 40}, {2, 1, 5, 13}},
                 {"kernel=(1,1); global_pool=1", {2, 3, 6, 40}, {2, 3, 1, 1}},
                 {"kernel=(3,3); stride=(2,2); pad=(2,2)", {1, 1, 3, 3}, {1, 1, 3, 3}}};
    if (!ready()) return;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double sums[2] = {0, 0};
        tn_exec *e[2];
        for (int b = 0; b < 2; b++) {
            tn_fresh();
            const tn_symbol y = tn_op("Pooling", cases[c].params, tn_var("x"));
            e[b] =
                tn_simple_bind(bench.g, y, .backends = b ? "reference" : "blas",
                               .grad_req = TN_WRITE, .shapes = TN_SHAPES({"x", {4, cases[c].x}}));
            TN_CHECK_EXEC(e[b]);
            if (!e[b]) return;
            tn_tensor *data = tn_exec_arg(e[b], "x");
            float *x = tn_tensor_data(data);
            for (int64_t i = 0; i < tn_tensor_size(data); i++) {
                const int64_t v = i * i % 37 % 7;
                x[i] = i % 31 == 5 ? NAN : i / 20 % 2 ? -INFINITY : (float)v;
            }
            tn_tensor *head = tn_tensor_new(bench.env, TN_F32, (tn_dims){4, cases[c].y});
            for (int64_t i = 0; i < tn_tensor_size(head); i++)
                ((float *)tn_tensor_data(head))[i] = (float)(1 + i % 13);
            tn_forward(e[b], true);
            tn_backward(e[b], TN_TENSORS({NULL, head}));
            TN_CHECK_EXEC(e[b]);
            tn_tensor_release(head);
        }
        const float *got = tn_tensor_data(tn_exec_grad(e[0], "x"));
        const float *wanted = tn_tensor_data(tn_exec_grad(e[1], "x"));
        for (int64_t i = 0; i < tn_tensor_size(tn_exec_arg(e[0], "x")); i++) {
            CU_ASSERT(got[i] == wanted[i]);
            sums[0] += (double)got[i], sums[1] += (double)wanted[i];
        }
        CU_ASSERT(sums[0] == sums[1] && sums[0] > 0);
        for (int b = 0; b < 2; b++) tn_exec_free(e[b]);
    }
}

// Of a stride far wider than the picture only the places that the window reaches are kept.
static void wide_strides_take_no_memory(void)
{
    static const random_row far =
        ROW("Convolution", "kernel=(3,3); stride=(3000,3000); num_filter=16", "1,3,8,8 16,3,3,3 16",
            .lo = -1, .hi = 1);
    const drawn d = {.row = {far.op, far.params, far.shapes}};
    if (!ready()) return;
    compare_row(&far, &d, TN_F32);
    tn_exec *e = bind_row(&d, "blas", TN_F32, 1);
    CU_ASSERT_FATAL(e != NULL);
    CU_ASSERT(tn_exec_memory(e).planned < 1 << 20);
    tn_exec_free(e);
}

// Every layer here runs on blas in both precisions.
static void nothing_is_left_to_the_reference(void)
{
    if (!ready()) return;
    for (size_t i = 0; i < all.n; i++)
        CU_ASSERT(tn_env_backend_has(bench.env, backend_index("blas"), rows[i].op, TN_F32) &&
                  tn_env_backend_has(bench.env, backend_index("blas"), rows[i].op, TN_F64));
}

TN_TEST_MAIN({"float32 agrees with the reference", float32_agrees_with_the_reference},
             {"float64 agrees with the reference", float64_agrees_with_the_reference},
             {"sixteen bits agree with the reference", sixteen_bits_agree_with_the_reference},
             {"empty tensors agree with the reference", empty_tensors_agree_with_the_reference},
             {"any number of threads gives the same bits",
              any_number_of_threads_gives_the_same_bits},
             {"large work is cut in fixed parts", large_work_is_cut_in_fixed_parts},
             {"any pool gives the same bits", any_pool_gives_the_same_bits},
             {"the first maximum gets the gradient", the_first_maximum_gets_the_gradient},
             {"wide strides take no memory", wide_strides_take_no_memory},
             {"nothing is left to the reference", nothing_is_left_to_the_reference})
