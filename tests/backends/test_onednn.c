// tests/backends/test_onednn.c: operators on the onednn backend: values and gradients against the
// reference backend, and what it refuses, with the reasons that people read.
#include "onednn_calls.h"

// ------------------------------------------------------------------ calls

static const op_row calls[] = {
    {"Convolution", "kernel=(3,3); num_filter=8", "2,5,9,8 8,5,3,3 8"},
    {"Convolution", "kernel=(3,3); num_filter=40; pad=(1,1); no_bias=1", "2,17,9,8 40,17,3,3"},
    {"Convolution", "kernel=(1,1); num_filter=32; stride=(2,2); no_bias=1", "2,16,9,9 32,16,1,1"},
    {"Convolution", "kernel=(3,3); num_filter=24; stride=(2,2); pad=(1,1)",
     "2,17,9,8 24,17,3,3 24"},
    {"Convolution", "kernel=(3,2); num_filter=8; stride=(2,1); pad=(2,1); dilate=(1,2)",
     "2,3,11,10 8,3,3,2 8"},
    {"Convolution", "kernel=(3,3); num_filter=24; num_group=3", "2,12,8,8 24,4,3,3 24"},
    {"Convolution", "kernel=(3,3); num_filter=16; num_group=16; pad=(1,1)", "2,16,8,8 16,1,3,3 16"},
    {"Convolution", "kernel=(3,); num_filter=8; pad=(1,)", "2,5,9 8,5,3 8"},
    {"Convolution", "kernel=(3,50); num_filter=40", "3,1,9,50 40,1,3,50 40"},
    {"Convolution", "kernel=(12,11); num_filter=20; stride=(3,2); pad=(4,3)",
     "2,1,17,23 20,1,12,11 20"},
    {"Convolution", "kernel=(2,3,2); num_filter=8", "2,4,5,6,5 8,4,2,3,2 8"},
    {"Deconvolution", "kernel=(4,4); stride=(2,2); pad=(1,1); num_filter=6", "2,5,7,6 5,6,4,4"},
    {"Deconvolution", "kernel=(3,3); num_filter=6; num_group=2; no_bias=0", "2,4,5,5 4,3,3,3 6"},
    {"Deconvolution", "kernel=(3,3); stride=(2,2); adj=(1,1); num_filter=16; no_bias=0",
     "2,8,5,5 8,16,3,3 16"},
    {"Deconvolution", "kernel=(3,); num_filter=5; no_bias=0", "2,4,9 4,5,3 5"},
    {"Deconvolution", "kernel=(2,3,2); stride=(2,1,1); num_filter=3; no_bias=0",
     "2,4,3,4,5 4,3,2,3,2 3"},
    {"Deconvolution", "kernel=(3,3); stride=(2,2); target_shape=(10,9); num_filter=6",
     "2,8,5,5 8,6,3,3"},
    {"FullyConnected", "num_hidden=7", "5,11 7,11 7"},
    {"FullyConnected", "num_hidden=33; no_bias=1", "5,2,3,4 33,24"},
    {"FullyConnected", "num_hidden=5; flatten=0", "2,3,8 5,8 5"},
    {"dot", NULL, "7,5 5,9"},
    {"dot", "transpose_a=1", "5,7 5,9"},
    {"dot", "transpose_b=1", "2,7,5 9,5"},
    {"dot", "transpose_a=1; transpose_b=1", "5,7 9,5"},
    {"dot", NULL, "5 5"},
    {"batch_dot", NULL, "3,4,5 3,5,6"},
    {"batch_dot", "transpose_a=1; transpose_b=1", "3,5,4 3,6,5"},
    {"Pooling", "kernel=(3,3); stride=(2,2); pool_type=max", "2,5,9,9"},
    {"Pooling", "kernel=(2,2); stride=(2,2); pool_type=max; pooling_convention=full", "2,5,9,8"},
    {"Pooling", "kernel=(3,3); stride=(2,2); pad=(1,1); pool_type=avg", "2,16,9,9"},
    {"Pooling", "kernel=(3,3); pad=(1,1); pool_type=avg; count_include_pad=0", "2,5,9,9"},
    {"Pooling", "kernel=(2,2); stride=(2,2); pool_type=avg; pooling_convention=full", "2,5,9,9"},
    {"Pooling", "kernel=(1,1); global_pool=1; pool_type=avg", "2,5,9,9"},
    {"Pooling", "kernel=(1,1); global_pool=1; pool_type=max", "2,5,9,9"},
    {"Pooling", "kernel=(3,); pool_type=max", "2,5,9"},
    {"Pooling", "kernel=(2,); stride=(2,); pool_type=max", "2,1,9"},
    {"Pooling", "kernel=(2,2,2); pool_type=avg", "2,5,4,5,6"},
    {"Pooling", "kernel=(2,2); pool_type=sum", "2,5,4,5"},
    {"BatchNorm", "fix_gamma=0", "3,5,4,4 5 5 5 5"},
    {"BatchNorm", NULL, "3,16,4,4 16 16 16 16"},
    {"BatchNorm", "fix_gamma=0; use_global_stats=1", "3,16,4,4 16 16 16 16"},
    {"BatchNorm", "fix_gamma=0; axis=-1", "3,4,4,6 6 6 6 6"},
    {"BatchNorm", "fix_gamma=0", "9,6 6 6 6 6"},
    {"BatchNorm", "fix_gamma=0", "9,32 32 32 32 32"}, // rows of whole vectors
    {"BatchNorm", "axis=-1", "3,4,5,16 16 16 16 16"},
    {"BatchNorm", "fix_gamma=0; use_global_stats=1; axis=2", "3,4,48 48 48 48 48"},
    {"BatchNorm", "fix_gamma=0", "5,16,1,1 16 16 16 16"},
    {"BatchNorm", "fix_gamma=0; axis=0", "16,5 16 16 16 16"},
    {"LRN", "nsize=5; alpha=0.3; beta=0.7; knorm=1.5", "2,16,4,5"},
    {"LRN", "nsize=3", "2,7,4,5"},
    {"LRN", "nsize=5", "2,40,9,9"}, // more than a tile of points
    {"LRN", "nsize=9; beta=0.5", "2,3,4,5"},
    {"LRN", "nsize=1; alpha=0.2", "3,1,2,2"},
    {"softmax", NULL, "4,9"},
    {"softmax", "axis=1", "2,7,5"},
    {"log_softmax", NULL, "4,9"},
    {"Activation", "act_type=relu", "3,5,4,4"},
    {"Activation", "act_type=sigmoid", "3,5"},
    {"Activation", "act_type=tanh", "3,5"},
    {"Activation", "act_type=softrelu", "3,5"},
    {"_leaky", "below=0.1", "3,5"},
    {"_backward_leaky", "below=0.1", "3,5 3,5"},
    {"sqrt", NULL, "3,5"},
    {"square", NULL, "3,5"},
    {"abs", NULL, "3,5"},
    {"negative", NULL, "3,5"},
    {"_mul_scalar", "scalar=-1.5", "3,5"},
    {"_plus_scalar", "scalar=0.7", "3,5"},
    {"elemwise_add", NULL, "3,5,2,2 3,5,2,2"},
    {"_sub", NULL, "3,5 3,5"},
    {"_mul", NULL, "3,5 3,5"},
    {"_div", NULL, "3,5 3,5"},
    {"broadcast_add", NULL, "3,5 1,5"},
    {"broadcast_mul", NULL, "1,5 3,5"},
    {"broadcast_sub", NULL, "3,1 3,5"},
    {"broadcast_div", NULL, "2,3,4,4 1,3,1,1"},
    {"add_n", "num_args=3", "3,5 3,5 3,5"},
    {"sum", NULL, "3,5"},
    {"sum", "axis=(0,)", "7,5"},
    {"sum", "axis=(1,)", "7,5"},
    {"sum", "axis=(1,); exclude=1", "3,8,4,4"},
    {"sum", "axis=(1,); exclude=1", "1,8,1,1"},
    {"sum", "axis=(1,); exclude=1", "9,20,31,13"}, // rows for several threads, and a rest of them
    {"sum", "axis=(0,)", "5,512"},                 // the longest rows that loops add up
    {"sum", "axis=(0,)", "5,513"},
    {"mean", "axis=(1,); keepdims=1", "3,8,4"},
    {"max", "axis=(2,3)", "3,8,4,4"},
    {"min", "axis=(-1,)", "3,8,4"},
    {"Concat", "num_args=3; dim=1", "2,3,4,4 2,5,4,4 2,1,4,4"},
    {"Concat", "num_args=2; dim=0", "2,3 1,3"},
};

// What onednn takes on every CPU.
static const op_row taken_calls[] = {
    {"softmax", "temperature=2.5", "4,9"},
    {"log_softmax", "temperature=0.5; axis=1", "2,7,1"},
    {"rsqrt", NULL, "3,5"},
    {"reciprocal", NULL, "3,5"},
    {"Flatten", NULL, "3,5,2,2"},
    {"Reshape", "shape=(5,-1)", "3,5,2"},
    {"expand_dims", "axis=1", "3,5"},
    {"broadcast_to", "shape=(2,3,4,5)", "1,3,1,5"},
    {"broadcast_axis", "axis=(0,2); size=(2,4)", "1,3,1,5"},
    {"broadcast_like", NULL, "3,1 2,3,4"},
    {"broadcast_mul", NULL, "4,1,1 4,3,5"},
    {"broadcast_add", NULL, "5 2,3,5"},
    {"broadcast_sub", NULL, "2,3,4,5 3,4,1"},
    {"broadcast_to", "shape=(3,70,5)", "3,1,5"},
    {"broadcast_to", "shape=(70,3,1)", "70,1,1"},
    {"broadcast_to", "shape=(4,5,6,3)", "1,5,1,1"},
    {"broadcast_to", "shape=(2,9,5,3)", "2,1,5,1"},
    {"mean", "axis=(1,)", "90,7"},
    {"mean", "axis=(2,)", "2,90,65"},
    {"broadcast_to", "shape=(2,40000)", "2,1"},
    {"broadcast_to", "shape=(300,7,50)", "1,7,1"},
    {"broadcast_to", "shape=(1,1)", "1,1"},
    {"broadcast_axis", "axis=1; size=40000", "2,1"},
    {"broadcast_axis", "axis=(0,1); size=(3,400)", "1,1,130"},
    {"sum", "axis=(0,2,3)", "3,5,7,9"},
    {"sum", "axis=(0,2,3)", "3,40,31,33"}, // of several threads
    {"sum", "axis=(0,2)", "1,2,3"},
    {"sum", "axis=(1,)", "9000,5"},
    {"transpose", NULL, "3,5,4"},
    {"transpose", "axes=(0,3,1,2)", "2,3,4,5"},
    {"SwapAxis", "dim1=0; dim2=2", "2,3,4"},
    {"SoftmaxOutput", NULL, "4,9 4"},
    {"SoftmaxOutput", "multi_output=1; use_ignore=1; ignore_label=1", "2,7,3,4 2,3,4"},
    {"SoftmaxOutput", "preserve_shape=1; grad_scale=3", "2,3,7 2,3"},
    {"SoftmaxOutput", "multi_output=1; normalization=valid; use_ignore=1", "2,7,3 2,3"},
    {"SoftmaxOutput", "normalization=batch; out_grad=1", "4,9 4"},
    {"SoftmaxOutput", NULL, "4,9 4,9"},
    {"Dropout", "p=0.4", "3,500"},
    {"UpSampling", "scale=2; sample_type=nearest; num_args=1", "2,5,4,3"},
    {"UpSampling", "scale=3; sample_type=nearest; num_args=1", "2,1,4,3"},
    {"SliceChannel", "num_outputs=3; axis=1", "2,6,4"},
    {"SliceChannel", "num_outputs=4; axis=-1; squeeze_axis=1", "2,3,4"},
    {"SliceChannel", "num_outputs=2; axis=0", "6,5"},
    {"Embedding", "input_dim=3; output_dim=5", "7 3,5"},
    {"LayerNorm", NULL, "4,33 33 33"},
    {"LayerNorm", "eps=0.1; axis=2", "2,3,16 16 16"},
};
enum { N_TAKEN = sizeof taken_calls / sizeof *taken_calls };

enum { N_CALLS = sizeof calls / sizeof *calls };

static void operators_agree_with_the_reference(void)
{
    size_t taken = 0;
    if (!onednn_ready()) return;
    for (size_t i = 0; i < N_CALLS; i++) taken += check_call(&calls[i], TN_F32, 1e-5);
    CU_ASSERT(taken >= N_CALLS - 12); // seven where there is AVX-512
}

static void these_are_always_taken(void)
{
    if (!onednn_ready()) return;
    for (size_t i = 0; i < N_TAKEN; i++)
        if (!check_call(&taken_calls[i], TN_F32, 1e-5)) TN_CHECK_STR(taken_calls[i].op, "taken");
}

// Several images: the others become as large as the first one's result.
static void images_are_enlarged(void)
{
    static const op_row rows[] = {
        {"UpSampling", "scale=2; sample_type=nearest; num_args=2", "2,5,4,6 2,3,2,3"},
        {"UpSampling", "scale=2; sample_type=nearest; num_args=2; multi_input_mode=sum",
         "1,5,4,4 1,5,2,2"},
    };
    if (!onednn_ready()) return;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_call(&rows[i], TN_F32, 1e-5);
        tn_exec *e = run_call(&rows[i], "onednn,reference", TN_F32);
        if (e) TN_CHECK_HAS(tn_exec_report_text(e), "_backward_enlarge");
        tn_exec_free(e);
    }
}

// On CPUs without bfloat16 everything of it goes to the reference backend, and still agrees.
static void bfloat16_agrees_with_the_reference(void)
{
    if (!onednn_ready()) return;
    for (size_t i = 0; i < N_CALLS; i++)
        if (strcmp(calls[i].op, "BatchNorm") != 0) check_call(&calls[i], TN_BF16, 0.03);
}

// ------------------------------------------------------------------ max pooling

// Of equal values the first one gets the gradient, as in the reference.
static void the_first_maximum_gets_the_gradient(void)
{
    if (!onednn_ready()) return;
    const tn_symbol y =
        layer("Pooling", "p", "kernel=(2,2); stride=(1,1); pool_type=max", tn_var("x"));
    tn_tensor *x = TN_TENSOR(TN_F32, TN_DIMS(1, 1, 3, 3), 5, 5, 1, 5, 5, 1, 0, 0, 0);
    tn_exec *e = tn_simple_bind(bench.g, y, .backends = "onednn", .grad_req = TN_WRITE,
                                .shapes = TN_SHAPES({"x", TN_DIMS(1, 1, 3, 3)}));
    if (TN_CHECK_EXEC(e)) {
        tn_exec_set(e, "x", x);
        step(e, true);
        // Windows begin at (0,0), (0,1), (1,0), (1,1); their first maxima are these.
        tn_tensor *head = tn_sample(TN_F32, TN_DIMS(1, 1, 2, 2), -1, 1, 3);
        const double h[4] = {tn_tensor_at(head, 0), tn_tensor_at(head, 1), tn_tensor_at(head, 2),
                             tn_tensor_at(head, 3)};
        TN_CHECK_VALUES(tn_exec_grad(e, "x"), 1e-6, h[0], h[1], 0, h[2], h[3], 0, 0, 0, 0);
        tn_tensor_release(head);
    }
    tn_tensor_release(x);
    tn_exec_free(e);
}

// oneDNN has plain loops for row-major rows, and vectors for rows with channels last.
static void rows_are_pooled_with_channels_last(void)
{
    static const op_row rows[] = {
        {"Pooling", "kernel=(3,); stride=(2,); pad=(1,); pool_type=max", "2,16,33"},
        {"Pooling", "kernel=(3,); stride=(2,); pad=(1,); pool_type=avg", "2,16,33"},
        {"Pooling", "kernel=(2,); stride=(2,); pool_type=max", "3,13,199"},
        {"Pooling", "kernel=(5,); pool_type=avg; count_include_pad=0; pad=(2,)", "1,7,12"},
        {"Pooling", "kernel=(2,); global_pool=1; pool_type=max", "4,2,9"},
        {"Pooling", "kernel=(2,2); stride=(2,2); pool_type=max", "2,3,112,112"},
    };
    if (!onednn_ready()) return;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!check_call(&rows[i], TN_F32, 1e-5)) TN_CHECK_STR(rows[i].shapes, "taken");
        check_call(&rows[i], TN_BF16, 0.03);
        tn_exec *e = run_call(&rows[i], "onednn,reference", TN_F32);
        if (e) CU_ASSERT(strstr(tn_exec_report_text(e), "simple_nchw") == NULL);
        tn_exec_free(e);
    }
}

// ------------------------------------------------------------------ refusals

typedef struct refusal {
    op_row row;
    const char *why;
} refusal;

static const refusal refusals[] = {
    {{"Pooling", "kernel=(2,2); pool_type=sum", "2,5,4,5"}, "oneDNN does not sum over windows"},
    {{"Pooling", "kernel=(2,2); stride=(2,2); pool_type=avg; pooling_convention=full", "2,5,9,9"},
     "a mean over windows that reach beyond the padding: oneDNN counts all of it"},
    {{"broadcast_div", NULL, "1,5 3,5"}, "the first side is broadcast"},
    {{"LayerNorm", "axis=0", "4,9 4 4"}, "oneDNN normalises along the last axis only"},
    {{"UpSampling", "scale=2; sample_type=nearest; num_args=2", "2,5,4,6 2,3,2,3"},
     "several images"},
    {{"Dropout", "axes=(1,)", "3,5"}, "draws that are shared along axes"},
    {{"Activation", "act_type=softrelu", "3,5"}, "oneDNN has no such function"},
    {{"broadcast_add", NULL, "3,1 1,5"}, "both sides are broadcast"},
    {{"Convolution", "kernel=(1,1); num_filter=2; no_bias=1", "0,3,4,4 2,3,1,1"},
     "a value without elements"},
    {{"Concat", "num_args=2; dim=1", "2,3 2,0"}, "a value without elements"},
    {{"SliceChannel", "num_outputs=2; axis=1", "0,4"}, "a value without elements"},
    {{"GroupNorm", NULL, "0,4,3 4 4"}, "a value without elements"},
    {{"arctan", NULL, "3,5"}, "no kernel for arctan"},
};

// Strictly on onednn the bind fails, and the error says which operator, and why.
static void refusals_say_why(void)
{
    if (!onednn_ready()) return;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        tn_shape s[8];
        tn_named_dims shapes[8];
        tn_symbol x[8];
        size_t n = shapes_of(&refusals[i].row, s), m = 0;
        tn_fresh();
        for (size_t j = 0; j < n; j++)
            shapes[j] = (tn_named_dims){names[j], {(size_t)s[j].ndim, s[j].dim}};
        tni_entry in[8];
        for (; m < n; m++) {
            x[m] = tn_variable(bench.g, names[m]);
            in[m] = (tni_entry){x[m].node, x[m].out};
        }
        const tni_entry y = tni_build(bench.g, NULL, refusals[i].row.op, refusals[i].row.params, in,
                                      (uint32_t)n, "op", 0);
        const tn_symbol call = {y.node, 0, x[0].graph};
        tn_exec *e =
            tn_simple_bind(bench.g, call, .backends = "onednn,reference", .shapes = {n, shapes});
        if (TN_CHECK_EXEC(e)) TN_CHECK_HAS(tn_exec_report_text(e), refusals[i].why);
        tn_exec_free(e);
    }
}

// ------------------------------------------------------------------ whole numbers

// One forward on these backends of whole numbers from -100 on, or, of uint8, from 0; in dtype `as`.
static tn_exec *run_whole(const op_row *row, const char *backends, tn_dtype dtype, tn_dtype as)
{
    tn_shape s[8];
    tn_symbol x[8];
    size_t n = 0;
    const tni_entry y = op_row_call(row, x, &n, as);
    shapes_of(row, s);
    const tn_symbol call = {y.node, 0, x[0].graph};
    tn_exec *e = tn_simple_bind(bench.g, call, .backends = backends, .grad_req = TN_NULL);
    if (!TN_CHECK_EXEC(e)) return NULL;
    for (size_t i = 0; i < n; i++) {
        const double low = dtype == TN_U8 ? 0 : -100;
        tn_tensor *t =
            tn_sample(dtype, (tn_dims){(size_t)s[i].ndim, s[i].dim}, low, low + 227, 7 + i);
        float *wide = as == dtype ? NULL : tn_tensor_data(tn_exec_arg(e, names[i]));
        for (int64_t j = 0; wide && j < tn_tensor_size(t); j++) wide[j] = (float)tn_tensor_at(t, j);
        if (!wide) tn_exec_set_all(e, TN_TENSORS({names[i], t}), false);
        tn_tensor_release(t);
    }
    tn_forward(e, false);
    TN_CHECK_EXEC(e);
    return e;
}

// The reference backend pools floats only.
static void whole_numbers_are_exact(void)
{
    static const op_row rows[] = {
        {"Pooling", "kernel=(3,3); stride=(2,2); pad=(1,1); pool_type=max", "2,5,9,9"},
        {"Pooling", "kernel=(2,2); pool_type=max; pooling_convention=full", "1,16,5,7"},
        {"Concat", "num_args=2; dim=1", "2,3,4,4 2,5,4,4"},
        {"Activation", "act_type=relu", "3,5,4"},
        {"Cast", "dtype=float32", "3,100"},
        {"Flatten", NULL, "3,5,2"},
        {"transpose", NULL, "3,5,7"},
        {"broadcast_to", "shape=(4,70,5)", "1,70,1"},
        {"broadcast_to", "shape=(2,40000)", "2,1"},
        {"broadcast_axis", "axis=0; size=300", "1,13"},
    };
    static const tn_dtype dtypes[] = {TN_I8, TN_U8, TN_I32};
    if (!onednn_ready()) return;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t d = 0; d < 3; d++) {
            if (dtypes[d] == TN_I32 && strcmp(rows[i].op, "Activation") == 0) continue;
            tn_exec *got = run_whole(&rows[i], "onednn,reference", dtypes[d], dtypes[d]);
            tn_exec *wanted =
                run_whole(&rows[i], "reference", dtypes[d], i < 2 ? TN_F32 : dtypes[d]);
            if (got && wanted) CU_ASSERT(all_near(got, wanted, 0));
            if (got && !is_taken(got)) TN_CHECK_STR(rows[i].op, "taken");
            tn_exec_free(got);
            tn_exec_free(wanted);
        }
}

static void doubles_go_elsewhere(void)
{
    if (!onednn_ready()) return;
    const tn_symbol y =
        layer("Activation", "a", "act_type=relu", tn_variable(bench.g, "x", .dtype = TN_F64));
    tn_exec *e =
        tn_simple_bind(bench.g, y, .backends = "onednn", .shapes = TN_SHAPES({"x", TN_DIMS(2, 2)}));
    CU_ASSERT(e == NULL);
    TN_CHECK_HAS(tn_graph_error(bench.g), "no kernel for relu of this dtype");
    tn_exec_free(e);
}

TN_TEST_MAIN({"operators agree with the reference", operators_agree_with_the_reference},
             {"these are always taken", these_are_always_taken},
             {"images are enlarged", images_are_enlarged},
             {"bfloat16 agrees with the reference", bfloat16_agrees_with_the_reference},
             {"the first maximum gets the gradient", the_first_maximum_gets_the_gradient},
             {"rows are pooled with channels last", rows_are_pooled_with_channels_last},
             {"refusals say why", refusals_say_why},
             {"whole numbers are exact", whole_numbers_are_exact},
             {"doubles go elsewhere", doubles_go_elsewhere})
