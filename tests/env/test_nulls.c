// tests/env/test_nulls.c: NULL objects are harmless everywhere, and NULL lists are errors.

#include "tests/tn_test.h"

// A bind that failed gives NULL, and who forgot to look gets statuses.
static void no_executor(void)
{
    tn_tensor *t = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2);
    CU_ASSERT_EQUAL(tn_exec_status(NULL), TN_E_INVALID);
    TN_CHECK_HAS(tn_exec_error(NULL), "no executor");
    tn_exec_forgive(NULL);
    CU_ASSERT_EQUAL(tn_forward(NULL, true), TN_E_INVALID);
    CU_ASSERT_EQUAL(tn_backward(NULL, TN_NO_HEADS), TN_E_INVALID);
    CU_ASSERT_PTR_NULL(tn_exec_arg(NULL, "x"));
    CU_ASSERT_PTR_NULL(tn_exec_grad(NULL, "x"));
    CU_ASSERT_PTR_NULL(tn_exec_aux(NULL, "x"));
    CU_ASSERT_PTR_NULL(tn_exec_out(NULL, "x"));
    CU_ASSERT_PTR_NULL(tn_exec_output(NULL, 0));
    CU_ASSERT_EQUAL(tn_exec_num_outputs(NULL), 0);
    CU_ASSERT_EQUAL(tn_exec_arguments(NULL).n, 0);
    CU_ASSERT_EQUAL(tn_exec_auxiliary_states(NULL).n, 0);
    CU_ASSERT_EQUAL(tn_exec_outputs(NULL).n, 0);
    CU_ASSERT_FALSE(tn_exec_is_loss(NULL, 0));
    CU_ASSERT_EQUAL(tn_exec_set(NULL, "x", t), TN_E_INVALID);
    CU_ASSERT_EQUAL(tn_exec_set_all(NULL, TN_TENSORS({"x", t}), true), TN_E_INVALID);
    CU_ASSERT_PTR_NULL(tn_exec_reshape(NULL, (tn_shapes){0, NULL}));
    tn_exec_seed(NULL, 1);
    tn_exec_monitor(NULL, NULL, NULL);
    CU_ASSERT_EQUAL(tn_exec_profile(NULL, true), TN_E_INVALID);
    CU_ASSERT_PTR_NULL(tn_exec_profile_row(NULL, 0));
    CU_ASSERT_PTR_NULL(tn_exec_report_text(NULL));
    CU_ASSERT_PTR_NULL(tn_exec_report_json(NULL));
    CU_ASSERT_PTR_NULL(tn_exec_plan_text(NULL));
    CU_ASSERT_EQUAL(tn_exec_memory(NULL).planned, 0);
    tn_exec_free(NULL);
    tn_tensor_release(t);
}

static void no_tensor(void)
{
    double x = 0;
    tn_tensor *t = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2);
    CU_ASSERT_EQUAL(tn_tensor_dtype(NULL), TN_DTYPE_NONE);
    CU_ASSERT_EQUAL(tn_tensor_shape(NULL).ndim, -1);
    CU_ASSERT_EQUAL(tn_tensor_size(NULL), 0);
    CU_ASSERT_EQUAL(tn_tensor_bytes(NULL), 0);
    CU_ASSERT_PTR_NULL(tn_tensor_data(NULL));
    TN_CHECK_STR(tn_tensor_device(NULL), "host");
    CU_ASSERT_PTR_NULL(tn_tensor_retain(NULL));
    tn_tensor_release(NULL);
    CU_ASSERT_PTR_NULL(tn_tensor_slice(NULL, 0, 1));
    CU_ASSERT_PTR_NULL(tn_tensor_reshape(NULL, TN_DIMS(1)));
    CU_ASSERT_PTR_NULL(tn_tensor_cast(NULL, TN_F64));
    CU_ASSERT_EQUAL(tn_tensor_set(NULL, &x, sizeof x), TN_E_INVALID);
    CU_ASSERT_EQUAL(tn_tensor_get(NULL, &x, sizeof x), TN_E_INVALID);
    CU_ASSERT_EQUAL(tn_tensor_copy(NULL, t), TN_E_INVALID);
    CU_ASSERT_EQUAL(tn_tensor_fill(NULL, 1), TN_E_INVALID);
    CU_ASSERT_EQUAL(tn_tensor_at(NULL, 0), 0);
    CU_ASSERT_EQUAL(tn_tensor_copy(t, NULL), TN_E_INVALID);
    TN_CHECK_HAS(tn_env_error(bench.env), "src: no tensor");
    CU_ASSERT_EQUAL(tn_tensor_set(t, NULL, 8), TN_E_INVALID);
    TN_CHECK_HAS(tn_env_error(bench.env), "wanted 8 bytes, got 8 at NULL");
    CU_ASSERT_EQUAL(tn_tensor_get(t, NULL, 8), TN_E_INVALID);
    TN_CHECK_VALUES(t, 0, 1, 2);
    tn_tensors_free(NULL);
    tn_tensor_release(t);
}

static void no_env(void)
{
    tn_tensor_list list = {0};
    CU_ASSERT_EQUAL(tn_env_status(NULL), TN_E_NOMEM);
    TN_CHECK_STR(tn_env_error(NULL), tn_status_text(TN_E_NOMEM));
    CU_ASSERT_EQUAL(tn_env_load(NULL, "./x.so"), TN_E_INVALID);
    CU_ASSERT_EQUAL(tn_env_num_candidates(NULL), 0);
    CU_ASSERT_PTR_NULL(tn_env_candidate(NULL, 0));
    CU_ASSERT_EQUAL(tn_env_num_backends(NULL), 0);
    CU_ASSERT_PTR_NULL(tn_env_backend(NULL, 0));
    CU_ASSERT_PTR_NULL(tn_env_device(NULL, 0, 0));
    CU_ASSERT_FALSE(tn_env_backend_has(NULL, 0, "relu", TN_F32));
    CU_ASSERT_EQUAL(tn_env_num_ops(NULL), 0);
    CU_ASSERT_PTR_NULL(tn_env_op(NULL, 0));
    CU_ASSERT_PTR_NULL(tn_env_op_find(NULL, "relu"));
    TN_CHECK_STR(tn_env_op_plugin(NULL, NULL), "");
    CU_ASSERT_PTR_NULL(tn_graph_new(NULL));
    CU_ASSERT_PTR_NULL(tn_npy_load(NULL, "nowhere.npy"));
    CU_ASSERT_PTR_NULL(tn_idx_load(NULL, "nowhere.idx"));
    CU_ASSERT_PTR_NULL(tn_csv_load(NULL, "nowhere.csv"));
    CU_ASSERT_EQUAL(tn_params_load(NULL, "nowhere.params", &list), TN_E_IO);
    CU_ASSERT_NOT_EQUAL(tn_params_parse(NULL, "abcd", 4, &list), TN_OK);
    tn_env_free(NULL);
}

static void no_graph(void)
{
    const tn_symbol none = TN_NONE;
    tn_symbol dx;
    CU_ASSERT_NOT_EQUAL(tn_graph_status(NULL), TN_OK);
    CU_ASSERT_PTR_NULL(tn_graph_env(NULL));
    CU_ASSERT_PTR_EQUAL(tn_graph_env(bench.g), bench.env);
    CU_ASSERT_EQUAL(tn_graph_num_nodes(NULL), 0);
    CU_ASSERT_EQUAL(tn_variable(NULL, "x").node, 0);
    CU_ASSERT_EQUAL(tn_call(NULL, "relu", .inputs = TN_SYMS(none)).node, 0);
    CU_ASSERT_PTR_NULL(tn_infer_shape(NULL, none, (tn_shapes){0, NULL}));
    CU_ASSERT_PTR_NULL(tn_infer_shape_partial(NULL, none, (tn_shapes){0, NULL}));
    CU_ASSERT_PTR_NULL(tn_infer_dtype(NULL, none, (tn_dtypes){0, NULL}));
    CU_ASSERT_NOT_EQUAL(tn_gradient(NULL, TN_SYMS(none), (tn_symbols){0}, TN_SYMS(none), &dx),
                        TN_OK);
    CU_ASSERT_PTR_NULL(tn_simple_bind(NULL, none, .backends = "reference"));
    CU_ASSERT_PTR_NULL(tn_bind(NULL, none, .backends = "reference"));
    tn_graph_free(NULL);
}

// The call is refused with the name of the list, and the graph stays as it was.
#define REFUSED(what, call)                                                                  \
    do {                                                                                     \
        const size_t before = tn_graph_num_nodes(bench.g);                                   \
        (void)(call);                                                                        \
        CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_INVALID);                             \
        TN_CHECK_HAS(tn_graph_error(bench.g), what ": 1 are counted, and the list is NULL"); \
        CU_ASSERT_EQUAL(tn_graph_num_nodes(bench.g), before);                                \
        tn_graph_forgive(bench.g);                                                           \
    } while (0)

static void lists_without_items(void)
{
    tn_symbol x = tn_variable(bench.g, "x"), y = tn_add(bench.g, x, 1), dx;
    const tn_symbols none = {1, NULL};
    REFUSED("inputs", tn_call(bench.g, "relu", .inputs = none));
    REFUSED("named", tn_call(bench.g, "relu", .named = {1, NULL}));
    REFUSED("params", tn_call(bench.g, "relu", .params = {1, NULL}));
    REFUSED("attrs", tn_call(bench.g, "relu", .attrs = {1, NULL}));
    REFUSED("attributes", tn_attr_scope_push(bench.g, ((tn_attrs){1, NULL})));
    REFUSED("members", tn_group(bench.g, none));
    REFUSED("with", tn_compose(bench.g, y, NULL, ((tn_named_symbols){1, NULL})));
    REFUSED("known", tn_infer_shape(bench.g, y, ((tn_shapes){1, NULL})));
    REFUSED("known", tn_infer_dtype(bench.g, y, ((tn_dtypes){1, NULL})));
    REFUSED("y", tn_gradient(bench.g, none, (tn_symbols){0}, TN_SYMS(x), &dx));
    REFUSED("head", tn_gradient(bench.g, TN_SYMS(y), none, TN_SYMS(x), &dx));
    REFUSED("x", tn_gradient(bench.g, TN_SYMS(y), (tn_symbols){0}, none, &dx));
    REFUSED("dx", tn_gradient(bench.g, TN_SYMS(y), (tn_symbols){0}, TN_SYMS(x), NULL));
    REFUSED(".shapes", tn_simple_bind(bench.g, y, .shapes = {1, NULL}));
    REFUSED(".dtypes", tn_simple_bind(bench.g, y, .dtypes = {1, NULL}));
    REFUSED(".grad_reqs", tn_simple_bind(bench.g, y, .grad_reqs = {1, NULL}));
    REFUSED(".args", tn_simple_bind(bench.g, y, .args = {1, NULL}));
    REFUSED(".grads", tn_simple_bind(bench.g, y, .grads = {1, NULL}));
    REFUSED(".auxs", tn_simple_bind(bench.g, y, .auxs = {1, NULL}));
    REFUSED(".outs", tn_simple_bind(bench.g, y, .outs = {1, NULL}));
    REFUSED(".groups", tn_simple_bind(bench.g, y, .groups = {1, NULL}));
}

static void lists_without_items_of_an_executor(void)
{
    tn_symbol x = tn_variable(bench.g, "x");
    tn_exec *e = tn_simple_bind(bench.g, tn_add(bench.g, x, 1), .backends = "reference",
                                .grad_req = TN_WRITE, .shapes = TN_SHAPES({"x", TN_DIMS(2)}));
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_OK);
    CU_ASSERT_EQUAL(tn_backward(e, (tn_tensors){1, NULL}), TN_E_INVALID);
    TN_CHECK_HAS(tn_exec_error(e), "1 head gradients, and no list");
    tn_exec_forgive(e);
    CU_ASSERT_EQUAL(tn_exec_set_all(e, (tn_tensors){1, NULL}, true), TN_E_INVALID);
    TN_CHECK_HAS(tn_exec_error(e), "1 values, and no list");
    tn_exec_forgive(e);
    CU_ASSERT_PTR_NULL(tn_exec_reshape(e, (tn_shapes){1, NULL}));
    TN_CHECK_HAS(tn_exec_error(e), "shapes are counted, and not given");
    tn_exec_free(e);
    const char *path = tn_temporary("x.params");
    CU_ASSERT_EQUAL(tn_params_save(bench.env, path, (tn_tensors){1, NULL}), TN_E_INVALID);
    CU_ASSERT_EQUAL(tn_params_load(bench.env, path, NULL), TN_E_INVALID);
    CU_ASSERT_EQUAL(tn_params_parse(bench.env, "abcd", 4, NULL), TN_E_INVALID);
}

TN_TEST_MAIN({"no executor", no_executor}, {"no tensor", no_tensor}, {"no env", no_env},
             {"no graph", no_graph}, {"lists without items", lists_without_items},
             {"lists without items of an executor", lists_without_items_of_an_executor})
