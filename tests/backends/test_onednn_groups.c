// tests/backends/test_onednn_groups.c: GroupNorm, InstanceNorm and their gradient on the onednn
// backend, and, where numbers are not finite, on blas; batch norms and LRN with such numbers.
#include "onednn_calls.h"

static const op_row rows[] = {
    {"GroupNorm", "num_groups=2; eps=0.1", "3,6,5,7 6 6"},
    {"GroupNorm", "num_groups=3; output_mean_var=1", "2,6,33 6 6"},
    {"GroupNorm", NULL, "4,5,3,2,3 5 5"},
    {"GroupNorm", "num_groups=5; eps=0.1", "3,10 10 10"},
    {"GroupNorm", "num_groups=4", "2,64,30,31 64 64"},
    {"InstanceNorm", NULL, "2,3,17 3 3"},
    {"InstanceNorm", "eps=0.5", "1,40,8,9 40 40"},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static void operators_agree_with_the_reference(void)
{
    if (!onednn_ready()) return;
    for (size_t i = 0; i < N_ROWS; i++) {
        if (!check_call(&rows[i], TN_F32, 1e-5)) TN_CHECK_STR(rows[i].shapes, "taken");
        check_call(&rows[i], TN_BF16, 0.03); // by the expansion
        tn_exec *e = run_call(&rows[i], "onednn,reference", TN_F32);
        if (e) TN_CHECK_HAS(tn_exec_report_text(e), "_backward_GroupNorm");
        tn_exec_free(e);
    }
}

// ------------------------------------------------------------------ channels last

// data (n, 3, h, w)
static tn_symbol net_of_groups(void)
{
    tn_symbol x = tn_var("data");
    x = layer("Convolution", "c1", "kernel=(3,3); pad=(1,1); num_filter=32; no_bias=1", x);
    x = layer("Activation", "r1", "act_type=relu", layer("GroupNorm", "n1", "num_groups=8", x));
    x = layer("Convolution", "c2", "kernel=(3,3); pad=(1,1); num_filter=24; no_bias=1", x);
    x = layer("InstanceNorm", "n2", "eps=0.01", x);
    return layer("Convolution", "c3", "kernel=(1,1); num_filter=16; no_bias=1", x);
}

// Of more channels than an LRN takes together.
static tn_symbol net_of_lrn(void)
{
    tn_symbol x = tn_var("data");
    x = layer("Convolution", "c1", "kernel=(3,3); pad=(1,1); num_filter=144; no_bias=1", x);
    x = layer("LRN", "n1", "nsize=5; alpha=0.3", x);
    return layer("Convolution", "c2", "kernel=(3,3); num_filter=16; no_bias=1", x);
}

static void check_net(net_fn net, tn_dims data, int32_t threads, bool narrow)
{
    tn_fresh();
    tn_exec *got = tn_simple_bind(bench.g, net(), .backends = "onednn", .grad_req = TN_WRITE,
                                  .threads = threads, .compute = narrow ? TN_BF16 : TN_DTYPE_NONE,
                                  .shapes = TN_SHAPES({"data", data}));
    if (!TN_CHECK_EXEC(got)) return;
    fill(got);
    tn_exec *wanted = bind_net(net, data, "reference", true, 0);
    step(got, true);
    step(wanted, true);
    if (wanted) CU_ASSERT(all_near(got, wanted, narrow ? 0.2 : 1e-4));
    const char *text = tn_exec_report_text(got);
    if (!narrow) CU_ASSERT(!strstr(text, "reorder \"n1") && !strstr(text, "reorder \"n2"));
    tn_exec_free(got);
    tn_exec_free(wanted);
}

// Whole samples, and a large one in pieces.
static void values_with_channels_last_stay_there(void)
{
    if (!onednn_ready()) return;
    check_net(net_of_groups, TN_DIMS(3, 3, 9, 7), 1, false);
    check_net(net_of_groups, TN_DIMS(3, 3, 9, 7), 4, false);
    check_net(net_of_groups, TN_DIMS(3, 3, 9, 7), 2, true);
    check_net(net_of_groups, TN_DIMS(2, 3, 64, 81), 1, false);
    check_net(net_of_groups, TN_DIMS(1, 3, 64, 81), 4, false);
    check_net(net_of_lrn, TN_DIMS(3, 3, 9, 7), 1, false);
    check_net(net_of_lrn, TN_DIMS(3, 3, 19, 17), 4, false);
    check_net(net_of_lrn, TN_DIMS(3, 3, 9, 7), 2, true);
}

// ------------------------------------------------------------------ what is not finite

// Row i, with NaN in the second group and an infinity in the last one.
static tn_exec *run_odd(const op_row *row, const char *backends, int32_t threads)
{
    tn_shape s[8];
    tn_symbol x[8];
    size_t n = 0;
    const tni_entry y = op_row_call(row, x, &n, TN_F32);
    shapes_of(row, s);
    const tn_symbol call = {y.node, 0, x[0].graph};
    tn_exec *e = tn_simple_bind(bench.g, call, .backends = backends, .grad_req = TN_WRITE,
                                .threads = threads);
    if (!TN_CHECK_EXEC(e)) return NULL;
    for (size_t i = 0; i < n && i < 3; i++) // states stay as they are
        fill_tensor(tn_exec_arg(e, names[i]), names[i], (uint32_t)i);
    float *data = tn_tensor_data(tn_exec_arg(e, "x0"));
    const int64_t size = tn_tensor_size(tn_exec_arg(e, "x0"));
    data[size / s[0].dim[0] / s[0].dim[1] * 3 + 1] = NAN;
    data[size - 1] = -INFINITY;
    step(e, true);
    return e;
}

// Is some element NaN; or all?
static bool nans(tn_tensor *t, bool all)
{
    int64_t n = 0;
    for (int64_t i = 0; i < tn_tensor_size(t); i++) n += isnan(tn_tensor_at(t, i)) != 0;
    return all ? n == tn_tensor_size(t) : n > 0;
}

static void what_is_not_finite_stays_in_its_group(void)
{
    static const char *const lists[] = {"onednn,reference", "blas"};
    if (!onednn_ready()) return;
    for (size_t i = 0; i < N_ROWS; i++) {
        if (strstr(rows[i].shapes, "3,10")) continue; // a group of two numbers
        for (int l = 0; l < 2; l++) {
            tn_exec *got = run_odd(&rows[i], lists[l], 1);
            tn_exec *wanted = run_odd(&rows[i], "reference", 1);
            if (got && wanted) {
                CU_ASSERT(all_near(got, wanted, 1e-5));
                CU_ASSERT(nans(tn_exec_output(got, 0), false));
                CU_ASSERT(!nans(tn_exec_output(got, 0), true));
                CU_ASSERT(nans(tn_exec_grad(got, "x1"), false));
            }
            tn_exec_free(got);
            tn_exec_free(wanted);
        }
    }
}

// Batch norms by loops over planes, and over rows; of an LRN in its window.
static void what_is_not_finite_stays_in_its_channel(void)
{
    static const op_row norms[] = {
        {"BatchNorm", "fix_gamma=0", "3,6,5,7 6 6 6 6"},
        {"BatchNorm", "fix_gamma=0", "2,16,31,9 16 16 16 16"},
        {"BatchNorm", "axis=2", "2,3,5,9 5 5 5 5"},
        {"BatchNorm", "fix_gamma=0", "9,6 6 6 6 6"},
        {"LRN", "nsize=3; alpha=0.1", "2,16,5,7"},
    };
    if (!onednn_ready()) return;
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) {
        tn_exec *got = run_odd(&norms[i], "onednn,reference", 1 + (int32_t)i % 3);
        tn_exec *wanted = run_odd(&norms[i], "reference", 1);
        if (got && wanted) {
            CU_ASSERT(all_near(got, wanted, 1e-5));
            CU_ASSERT(nans(tn_exec_output(got, 0), false));
            CU_ASSERT(!nans(tn_exec_output(got, 0), true));
        }
        tn_exec_free(got);
        tn_exec_free(wanted);
    }
}

static void any_number_of_threads_gives_the_same_bits(void)
{
    if (!onednn_ready()) return;
    for (size_t i = 0; i < N_ROWS; i++) {
        tn_exec *one = run_odd(&rows[i], "onednn,reference", 1);
        tn_exec *more = run_odd(&rows[i], "onednn,reference", 3);
        if (one && more) CU_ASSERT(all_near(one, more, 0));
        tn_exec_free(one);
        tn_exec_free(more);
    }
}

TN_TEST_MAIN({"operators agree with the reference", operators_agree_with_the_reference},
             {"values with channels last stay there", values_with_channels_last_stay_there},
             {"what is not finite stays in its group", what_is_not_finite_stays_in_its_group},
             {"what is not finite stays in its channel", what_is_not_finite_stays_in_its_channel},
             {"any number of threads gives the same bits",
              any_number_of_threads_gives_the_same_bits})
