// tests/backends/test_onednn_pieces.c: Concat, SliceChannel and their gradients on the onednn
// backend: every byte as on the reference, in any order of axes; values that are turned.
#include "onednn_calls.h"

static const op_row rows[] = {
    {"Concat", "num_args=2; dim=0", "3,5 2,5"},
    {"Concat", "num_args=3; dim=1", "7,1 7,1 7,1"},
    {"Concat", "num_args=5; dim=1", "9,1 9,2 9,3 9,4 9,5"},
    {"Concat", "num_args=4; dim=1", "5,7 5,8 5,9 5,15"},
    {"Concat", "num_args=5; dim=1", "6,16 6,17 6,31 6,32 6,33"},
    {"Concat", "num_args=3; dim=1", "4,64 4,65 4,200"},
    {"Concat", "num_args=1; dim=1", "4,3"},
    {"Concat", "num_args=2; dim=2", "3,4,5,2 3,4,1,2"},
    {"Concat", "num_args=2; dim=0", "2,40000 1,40000"}, // rows in blocks
    {"Concat", "num_args=3; dim=1", "2,40000 2,3 2,50001"},
    {"Concat", "num_args=2; dim=1", "9000,5 9000,2"}, // many rows
    {"_backward_Concat", "num_args=2; dim=0", "5,5 3,5 2,5"},
    {"_backward_Concat", "num_args=5; dim=1", "9,15 9,1 9,2 9,3 9,4 9,5"},
    {"_backward_Concat", "num_args=5; dim=1", "6,129 6,16 6,17 6,31 6,32 6,33"},
    {"_backward_Concat", "num_args=2; dim=2", "3,4,6,2 3,4,5,2 3,4,1,2"},
    {"_backward_Concat", "num_args=3; dim=1", "2,90004 2,40000 2,3 2,50001"},
    {"SliceChannel", "num_outputs=3; axis=1", "5,9,2"},
    {"SliceChannel", "num_outputs=3; axis=-1; squeeze_axis=1", "5,4,3"},
    {"SliceChannel", "num_outputs=2; axis=0", "4,40000"},
    {"_backward_SliceChannel", "num_args=3; axis=1", "5,3,2 5,3,2 5,3,2"},
    {"_backward_SliceChannel", "num_args=2; axis=-1; squeeze_axis=1", "5,4 5,4"},
    {"_backward_SliceChannel", "num_args=2; axis=0", "1,40000 1,40000"},
};

// Bytes of all kinds: among them NaN of every sign and payload, and infinities.
static void fill_bytes(tn_tensor *t, uint32_t stream)
{
    unsigned char *to = tn_tensor_data(t);
    for (uint64_t i = 0; i < tn_tensor_bytes(t); i++)
        to[i] = (unsigned char)(tn_philox_uniform_f32(5, stream, i) * 256);
}

// One forward of the call, with all its outputs.
static tn_exec *run_bytes(const op_row *row, const char *backends, tn_dtype dtype, int32_t threads)
{
    tn_symbol x[8];
    size_t n = 0;
    const tni_entry y = op_row_call(row, x, &n, dtype);
    const tn_symbol all = {y.node, TN_ALL_OUTPUTS, x[0].graph};
    tn_exec *e = tn_simple_bind(bench.g, all, .backends = backends, .threads = threads);
    if (!TN_CHECK_EXEC(e)) return NULL;
    for (size_t i = 0; i < n; i++) fill_bytes(tn_exec_arg(e, names[i]), (uint32_t)i);
    tn_forward(e, false);
    TN_CHECK_EXEC(e);
    return e;
}

static void check_bytes(const op_row *row, tn_dtype dtype, int32_t threads)
{
    tn_exec *got = run_bytes(row, "onednn", dtype, threads);
    tn_exec *wanted = run_bytes(row, "reference", dtype, 1);
    for (size_t i = 0; got && wanted && i < tn_exec_num_outputs(wanted); i++) {
        tn_tensor *a = tn_exec_output(got, i), *b = tn_exec_output(wanted, i);
        const bool same =
            tn_tensor_bytes(a) == tn_tensor_bytes(b) &&
            memcmp(tn_tensor_data(a), tn_tensor_data(b), (size_t)tn_tensor_bytes(b)) == 0;
        CU_ASSERT(same);
        if (!same) printf("\n    %s(%s) %s\n", row->op, row->params, row->shapes);
    }
    tn_exec_free(got);
    tn_exec_free(wanted);
}

static void every_byte_arrives(void)
{
    static const tn_dtype dtypes[] = {TN_F32, TN_BF16, TN_F16, TN_F64, TN_I8, TN_U8, TN_I64};
    if (!onednn_ready()) return;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++)
            check_bytes(&rows[i], dtypes[d], 1 + 3 * (int32_t)(d % 2));
}

static void gradients_agree_with_the_reference(void)
{
    if (!onednn_ready()) return;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].op[0] != '_' && !check_call(&rows[i], TN_F32, 0))
            TN_CHECK_STR(rows[i].op, "taken");
}

// ------------------------------------------------------------------ channels last

static const char *axis_text;

// data (2, 3, 8, 6): a convolution, its result cut in two on an axis, put together the other way
// round, and another convolution.
static tn_symbol net_turned_halves(void)
{
    char params[64];
    tn_symbol x = tn_var("data");
    x = layer("Convolution", "c1", "kernel=(3,3); pad=(1,1); num_filter=32; no_bias=1", x);
    snprintf(params, sizeof params, "num_outputs=2; axis=%s", axis_text);
    x = layer("SliceChannel", "cut", params, x);
    x = tn_call(bench.g, "Concat",
                .inputs = TN_SYMS(tn_output(bench.g, x, 1), tn_output(bench.g, x, 0)),
                .name = "all", .params = TN_ATTRS({"dim", axis_text}));
    return layer("Convolution", "c2", "kernel=(3,3); pad=(1,1); num_filter=16; no_bias=1", x);
}

// Halves of what a convolution leaves are not reordered, forward nor backward.
static void halves_lie_as_the_whole_does(void)
{
    static const char *const axes[] = {"0", "1", "2", "3"};
    if (!onednn_ready()) return;
    for (size_t i = 0; i < 4; i++) {
        axis_text = axes[i];
        for (int narrow = 0; narrow < 2; narrow++) {
            tn_fresh();
            tn_exec *got =
                tn_simple_bind(bench.g, net_turned_halves(), .backends = "onednn",
                               .grad_req = TN_WRITE, .compute = narrow ? TN_BF16 : TN_DTYPE_NONE,
                               .shapes = TN_SHAPES({"data", TN_DIMS(2, 3, 8, 6)}));
            if (!TN_CHECK_EXEC(got)) return;
            fill(got);
            tn_exec *wanted =
                bind_net(net_turned_halves, TN_DIMS(2, 3, 8, 6), "reference", true, 0);
            step(got, true);
            step(wanted, true);
            if (wanted) CU_ASSERT(all_near(got, wanted, narrow ? 0.03 : 1e-5));
            const char *text = tn_exec_report_text(got);
            CU_ASSERT(!strstr(text, "reorder \"cut") && !strstr(text, "reorder \"all"));
            tn_exec_free(got);
            tn_exec_free(wanted);
        }
    }
}

// ------------------------------------------------------------------ turned

static const char *filters;

static tn_symbol net_of_one_layer(void)
{
    char params[64];
    snprintf(params, sizeof params, "kernel=(3,3); pad=(1,1); no_bias=1; num_filter=%s", filters);
    return layer("Convolution", "c", params, tn_var("data"));
}

static bool turns(tn_exec *e)
{
    const tn_profile_row *row;
    tn_exec_profile(e, true);
    for (size_t i = 0; (row = tn_exec_profile_row(e, i)) != NULL; i++)
        if (strcmp(row->impl, "turn (no primitive)") == 0) return true;
    return false;
}

// Many channels, whose points lie in few sets of the cache: all squares, and points that are left.
static void many_channels_become_row_major(void)
{
    static const int64_t sides[][2] = {{8, 8}, {13, 14}, {11, 7}, {16, 16}};
    if (!onednn_ready()) return;
    for (int i = 0; i < 8; i++) {
        const tn_dims data = TN_DIMS(2, 3, sides[i / 2][0], sides[i / 2][1]);
        filters = i % 2 ? "512" : "256";
        tn_exec *got = bind_net(net_of_one_layer, data, "onednn", true, 1 + i % 3);
        tn_exec *wanted = bind_net(net_of_one_layer, data, "reference", true, 0);
        step(got, true);
        step(wanted, true);
        if (got && wanted) CU_ASSERT(all_near(got, wanted, 1e-5));
        if (got) CU_ASSERT(turns(got));
        tn_exec_free(got);
        tn_exec_free(wanted);
    }
}

TN_TEST_MAIN({"every byte arrives", every_byte_arrives},
             {"gradients agree with the reference", gradients_agree_with_the_reference},
             {"halves lie as the whole does", halves_lie_as_the_whole_does},
             {"many channels become row-major", many_channels_become_row_major})
