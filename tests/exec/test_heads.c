// tests/exec/test_heads.c: head gradients that are read where the caller has them, and gradients
// that are head gradients.
#include "tests/exec/nets.h"

#define BIND(symbol, ...) \
    tn_simple_bind(bench.g, (symbol), .backends = "reference", .grad_req = TN_WRITE, __VA_ARGS__)
#define RUN_OK(call) tn_check_ok(__LINE__, __FILE__, (call), e ? tn_exec_error(e) : "no executor")

static tn_symbol var(const char *name)
{
    return tn_variable(bench.g, name, .shape = TN_DIMS(2));
}

static size_t copies(const tn_exec *e)
{
    size_t n = 0;
    for (size_t r = 0; r < e->n_rows; r++) n += e->row_node[r] == 0;
    return n;
}

static void set(tn_tensor *t, double a, double b)
{
    const float v[] = {(float)a, (float)b};
    CU_ASSERT(tn_tensor_set(t, v, sizeof v) == TN_OK);
}

// y = x², head 3, 4: what the caller writes there later counts.
static void heads_are_read_in_place(void)
{
    tn_symbol x = var("x");
    tn_tensor *head = tn_tensor_new(bench.env, TN_F32, TN_DIMS(2));
    tn_exec *e = BIND(BINARY("_mul", "y", x, x), .heads = TN_TENSORS({"y_output", head}));
    if (!TN_CHECK_EXEC(e)) return;
    set(tn_exec_arg(e, "x"), 5, 6);
    for (int i = 1; i < 3; i++) {
        RUN_OK(tn_forward(e, true));
        set(head, 3 * i, 4 * i);
        RUN_OK(tn_backward(e, TN_NO_HEADS));
        TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 30 * i, 48 * i);
        TN_CHECK_VALUES(head, 0, 3 * i, 4 * i);
    }
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_TENSORS({NULL, head}))); // the same one may be named again
    CU_ASSERT(e->head[0] == head);
    tn_tensor_release(head);
    RUN_OK(tn_forward(e, true)); // the executor still holds it
    RUN_OK(tn_backward(e, TN_NO_HEADS));
    TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 60, 96);
    tn_exec_free(e);
}

// d(x·x + y): y's gradient is the head gradient, and nothing is copied.
static void a_gradient_may_be_the_head(void)
{
    tn_symbol x = var("x"), z = BINARY("_add", "z", BINARY("_mul", "p", x, x), var("y"));
    tn_tensor *head = tn_tensor_new(bench.env, TN_F32, TN_DIMS(2));
    set(head, 2, 3);
    tn_exec *e = BIND(z, .heads = TN_TENSORS({"z_output", head}), .grads = TN_TENSORS({"y", head}));
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(copies(e), 0);
    set(tn_exec_arg(e, "x"), 5, 6);
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_NO_HEADS));
    TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 20, 36);
    TN_CHECK_VALUES(tn_exec_grad(e, "y"), 0, 2, 3);
    CU_ASSERT(tn_exec_grad(e, "y") == head);
    tn_exec_free(e);
    e = BIND(z, .heads = TN_TENSORS({"z_output", head})); // a tensor of its own: one copy
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(copies(e), 1);
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_NO_HEADS));
    TN_CHECK_VALUES(tn_exec_grad(e, "y"), 0, 2, 3);
    tn_exec_free(e);
    tn_tensor_release(head);
}

// Without .heads tn_backward() copies the head into the gradient that it is: one copy, no row.
static void heads_that_are_copied_go_where_they_belong(void)
{
    tn_symbol x = var("x"), z = BINARY("_add", "z", BINARY("_mul", "p", x, x), var("y"));
    tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(2), 2, 3);
    for (int i = 0; i < 2; i++) {
        tn_exec *e = BIND(z, .flags = i ? TN_BIND_NO_REUSE : 0);
        if (!TN_CHECK_EXEC(e)) return;
        CU_ASSERT_EQUAL(copies(e), 0);
        CU_ASSERT(tni_same_place(e->head[0], tn_exec_grad(e, "y")));
        set(tn_exec_arg(e, "x"), 5, 6);
        RUN_OK(tn_forward(e, true));
        RUN_OK(tn_backward(e, TN_TENSORS({NULL, head})));
        TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 20, 36);
        TN_CHECK_VALUES(tn_exec_grad(e, "y"), 0, 2, 3);
        tn_exec_free(e);
    }
    tn_tensor_release(head);
}

// The gradient's tensor is read by backward: the head must not be written over it.
static void a_head_does_not_overwrite_what_is_read(void)
{
    tn_symbol x = var("x"), z = BINARY("_add", "z", BINARY("_mul", "p", x, x), var("y"));
    tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(2), 2, 3), *t = TN_TENSOR(TN_F32, TN_DIMS(2), 5, 6);
    tn_exec *e = BIND(z, .args = TN_TENSORS({"x", t}), .grads = TN_TENSORS({"y", t}));
    if (!TN_CHECK_EXEC(e)) return;
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_TENSORS({NULL, head})));
    TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 20, 36);
    TN_CHECK_VALUES(t, 0, 2, 3);
    tn_exec_free(e);
    tn_tensor_release(head);
    tn_tensor_release(t);
}

// Two outputs, one with a head of its own: what is left is given to backward.
static void the_others_are_still_given(void)
{
    tn_symbol x = var("x"), a = BINARY("_mul", "a", x, x), b = BINARY("_add", "b", x, x);
    tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 1),
              *rest = TN_TENSOR(TN_F32, TN_DIMS(2), 7, 8);
    tn_exec *e = BIND(tn_group(bench.g, TN_SYMS(a, b)), .heads = TN_TENSORS({"a_output", head}));
    if (!TN_CHECK_EXEC(e)) return;
    set(tn_exec_arg(e, "x"), 5, 6);
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_TENSORS({NULL, rest})));
    TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 24, 28);
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_TENSORS({NULL, head}, {NULL, rest})));
    TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 24, 28);
    RUN_OK(tn_forward(e, true));
    CU_ASSERT_EQUAL(tn_backward(e, TN_NO_HEADS), TN_E_INVALID);
    TN_CHECK_HAS(tn_exec_error(e), "0 head gradients are given, and 1 outputs need one: b_output");
    tn_exec_forgive(e);
    CU_ASSERT_EQUAL(tn_backward(e, TN_TENSORS({"a_output", rest}, {"b_output", rest})),
                    TN_E_INVALID);
    TN_CHECK_HAS(tn_exec_error(e), "head gradient of a_output: the bind had another tensor");
    tn_exec_free(e);
    tn_tensor_release(head);
    tn_tensor_release(rest);
}

static void expect_error(tn_symbol y, tn_tensors heads, const char *text)
{
    tn_exec *e = BIND(y, .heads = heads);
    CU_ASSERT(e == NULL);
    TN_CHECK_HAS(tn_graph_error(bench.g), text);
    tn_graph_forgive(bench.g);
    tn_exec_free(e);
}

static void heads_that_do_not_fit_are_errors(void)
{
    tn_symbol x = var("x"), y = BINARY("_mul", "y", x, x);
    tn_tensor *wide = tn_tensor_new(bench.env, TN_F32, TN_DIMS(3)),
              *fine = tn_tensor_new(bench.env, TN_F64, TN_DIMS(2));
    expect_error(y, TN_TENSORS({"y_output", wide}), ".heads: y_output: shape (3), wanted (2)");
    expect_error(y, TN_TENSORS({"y_output", fine}), ".heads: y_output: dtype float64, wanted");
    expect_error(y, TN_TENSORS({"z_output", fine}), "no output has the name \"z_output\"");
    expect_error(y, TN_TENSORS({NULL, fine}), ".heads: an entry has no name");
    expect_error(y, TN_TENSORS({"y_output", NULL}), ".heads: y_output: the tensor is NULL");
    expect_error(y, TN_TENSORS({"y_output", fine}, {"y_output", fine}), "is given twice");
    tn_tensor_release(wide);
    tn_tensor_release(fine);
}

static void a_reshape_keeps_what_fits(void)
{
    tn_symbol x = tn_variable(bench.g, "x"), y = BINARY("_mul", "y", x, x);
    tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(2), 2, 3);
    tn_exec *first =
        BIND(y, .shapes = TN_SHAPES({"x", TN_DIMS(2)}), .heads = TN_TENSORS({"y_output", head}));
    if (!TN_CHECK_EXEC(first)) return;
    tn_exec *e = tn_exec_reshape(first, TN_SHAPES({"x", TN_DIMS(2)}));
    CU_ASSERT(e && e->head[0] == head);
    tn_exec_free(e);
    e = tn_exec_reshape(first, TN_SHAPES({"x", TN_DIMS(3)}));
    CU_ASSERT(e && !e->head_given[0]);
    tn_exec_free(e);
    tn_exec_free(first);
    tn_tensor_release(head);
}

static void heads_in_another_memory_are_brought(void)
{
    CU_ASSERT(tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/far.so") == TN_OK);
    tn_symbol x = var("x");
    tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(2), 2, 3);
    tn_exec *e = tn_simple_bind(bench.g, BINARY("_mul", "y", x, x), .backends = "lazy,reference",
                                .grad_req = TN_WRITE, .heads = TN_TENSORS({"y_output", head}));
    if (!TN_CHECK_EXEC(e)) return;
    set(tn_exec_arg(e, "x"), 5, 6);
    for (int i = 1; i < 3; i++) {
        RUN_OK(tn_forward(e, true));
        set(head, i, i);
        RUN_OK(tn_backward(e, TN_NO_HEADS));
        TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 10 * i, 12 * i);
    }
    tn_exec_free(e);
    tn_tensor_release(head);
}

TN_TEST_MAIN({"heads are read in place", heads_are_read_in_place},
             {"a gradient may be the head", a_gradient_may_be_the_head},
             {"heads that are copied go where they belong",
              heads_that_are_copied_go_where_they_belong},
             {"a head does not overwrite what is read", a_head_does_not_overwrite_what_is_read},
             {"the others are still given", the_others_are_still_given},
             {"heads that do not fit are errors", heads_that_do_not_fit_are_errors},
             {"a reshape keeps what fits", a_reshape_keeps_what_fits},
             {"heads in another memory are brought", heads_in_another_memory_are_brought})
