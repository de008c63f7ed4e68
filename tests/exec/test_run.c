// tests/exec/test_run.c: forward and backward: numbers, head gradients, modes, random draws,
// errors.
#include <math.h>

#include "tests/exec/nets.h"

#define BIND(net, ...) tn_simple_bind(bench.g, (net), .backends = bench.backends, __VA_ARGS__)
#define RUN_OK(call) tn_check_ok(__LINE__, __FILE__, (call), e ? tn_exec_error(e) : "no executor")

// Sets an argument to these numbers.
#define SET(e, name, ...)                                             \
    set_numbers(__LINE__, (e), (name), (const double[]){__VA_ARGS__}, \
                sizeof((const double[]){__VA_ARGS__}) / sizeof(double))
static void set_numbers(int line, tn_exec *e, const char *name, const double *v, size_t n)
{
    tn_tensor *t =
        tn_tensor_from(bench.env, TN_F32, (tn_dims){1, (const int64_t[]){(int64_t)n}}, v);
    tn_tensor *to = tn_exec_arg(e, name);
    tn_check_ok(line, __FILE__, to ? tn_tensor_copy(to, t) : TN_E_NOT_FOUND,
                tn_env_error(bench.env));
    tn_tensor_release(t);
}

// ------------------------------------------------------------------ numbers

static void a_layer_and_its_gradients(void)
{
    tn_symbol y = CALL("FullyConnected", "fc", tn_variable(bench.g, "x"), {"num_hidden", "2"});
    tn_exec *e = BIND(y, .shapes = TN_SHAPES({"x", TN_DIMS(2, 3)}), .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return;
    SET(e, "x", 1, 2, 3, 4, 5, 6);
    SET(e, "fc_weight", 1, 0, 0, 0, 1, 0);
    SET(e, "fc_bias", 10, 20);
    RUN_OK(tn_forward(e, true));
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 11, 22, 14, 25);
    tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4);
    RUN_OK(tn_backward(e, TN_TENSORS({NULL, head})));
    TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 1, 2, 0, 3, 4, 0);
    TN_CHECK_VALUES(tn_exec_grad(e, "fc_weight"), 0, 13, 17, 21, 18, 24, 30);
    TN_CHECK_VALUES(tn_exec_grad(e, "fc_bias"), 0, 4, 6);
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 11, 22, 14, 25);
    tn_tensor_release(head);
    tn_exec_free(e);
}

static void training_lowers_the_loss(void)
{
    tn_exec *e = BIND(net_mlp(), .shapes = TN_SHAPES({"data", TN_DIMS(6, 6)}), .grad_req = TN_WRITE,
                      .grad_reqs = TN_REQS({"data", TN_NULL}, {"out_label", TN_NULL}));
    if (!TN_CHECK_EXEC(e)) return;
    net_fill(e);
    double first = 0, last = 0;
    for (int step = 0; step < 100; step++) {
        RUN_OK(tn_forward(e, true));
        RUN_OK(tn_backward(e, TN_NO_HEADS));
        last = 0;
        for (int i = 0; i < 6; i++) last -= log(tn_tensor_at(tn_exec_output(e, 0), 3 * i + i % 3));
        if (step == 0) first = last;
        const tn_names names = tn_exec_arguments(e);
        for (size_t i = 1; i + 1 < names.n; i++) {
            float *w = tn_tensor_data(tn_exec_arg(e, names.v[i]));
            const float *dw = tn_tensor_data(tn_exec_grad(e, names.v[i]));
            for (int64_t k = 0; k < tn_tensor_size(tn_exec_arg(e, names.v[i])); k++)
                w[k] -= 0.1f * dw[k];
        }
    }
    CU_ASSERT_TRUE(last < 0.3 * first);
    tn_exec_free(e);
}

static void adding_accumulates_and_writing_does_not(void)
{
    tn_symbol x = tn_variable(bench.g, "x"), w = tn_variable(bench.g, "w");
    tn_exec *e = BIND(tn_mul(bench.g, x, w), .shapes = TN_SHAPES({"x", TN_DIMS(2)}),
                      .grad_reqs = TN_REQS({"x", TN_WRITE}, {"w", TN_ADD}));
    if (!TN_CHECK_EXEC(e)) return;
    SET(e, "x", 2, 3);
    SET(e, "w", 5, 7);
    tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 10);
    tn_tensor_fill(tn_exec_grad(e, "w"), 100);
    for (int i = 0; i < 3; i++) {
        RUN_OK(tn_forward(e, true));
        RUN_OK(tn_backward(e, TN_TENSORS({NULL, head})));
    }
    TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 5, 70);
    TN_CHECK_VALUES(tn_exec_grad(e, "w"), 0, 106, 190);
    tn_tensor_release(head);
    tn_exec_free(e);
}

// d(a + b): both gradients are the head gradient itself.
static void one_value_may_be_several_gradients(void)
{
    tn_symbol a = tn_variable(bench.g, "a"), b = tn_variable(bench.g, "b");
    tn_exec *e = BIND(tn_add(bench.g, a, b), .shapes = TN_SHAPES({"a", TN_DIMS(2)}),
                      .grad_reqs = TN_REQS({"a", TN_WRITE}, {"b", TN_ADD}));
    if (!TN_CHECK_EXEC(e)) return;
    tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(2), 3, 4);
    for (int i = 0; i < 2; i++) {
        RUN_OK(tn_forward(e, true));
        RUN_OK(tn_backward(e, TN_TENSORS({NULL, head})));
    }
    TN_CHECK_VALUES(tn_exec_grad(e, "a"), 0, 3, 4);
    TN_CHECK_VALUES(tn_exec_grad(e, "b"), 0, 6, 8);
    tn_tensor_release(head);
    tn_exec_free(e);
}

static void a_gradient_that_is_zero_is_written(void)
{
    tn_exec *e = BIND(net_mlp(), .shapes = TN_SHAPES({"data", TN_DIMS(2, 6)}), .grad_req = TN_WRITE,
                      .grad_reqs = TN_REQS({"data", TN_ADD}));
    if (!TN_CHECK_EXEC(e)) return;
    net_fill(e);
    tn_tensor_fill(tn_exec_grad(e, "out_label"), 9);
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_NO_HEADS));
    TN_CHECK_VALUES(tn_exec_grad(e, "out_label"), 0, 0, 0);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ outputs

static void an_argument_may_be_an_output(void)
{
    tn_symbol x = tn_variable(bench.g, "x"), y = tn_add(bench.g, x, 1);
    tn_exec *e = BIND(tn_group(bench.g, TN_SYMS(x, y, y)), .shapes = TN_SHAPES({"x", TN_DIMS(2)}),
                      .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return;
    SET(e, "x", 5, 6);
    RUN_OK(tn_forward(e, true));
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 5, 6);
    TN_CHECK_VALUES(tn_exec_output(e, 1), 0, 6, 7);
    TN_CHECK_VALUES(tn_exec_output(e, 2), 0, 6, 7);
    CU_ASSERT_PTR_NULL(tn_exec_output(e, 3));
    tn_tensor *a = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2), *b = TN_TENSOR(TN_F32, TN_DIMS(2), 10, 20),
              *c = TN_TENSOR(TN_F32, TN_DIMS(2), 100, 200);
    RUN_OK(tn_backward(e, TN_TENSORS({NULL, a}, {NULL, b}, {NULL, c})));
    TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 111, 222);
    tn_tensor_release(a);
    tn_tensor_release(b);
    tn_tensor_release(c);
    tn_exec_free(e);
}

// x := x + 1 in the argument's own memory.
static void an_update_in_place(void)
{
    tn_tensor *x = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2);
    tn_symbol y = tn_add(bench.g, tn_variable(bench.g, "x"), 1);
    tn_exec *e =
        BIND(y, .args = TN_TENSORS({"x", x}), .outs = TN_TENSORS({"_plusscalar0_output", x}));
    if (!TN_CHECK_EXEC(e)) return;
    for (int i = 0; i < 3; i++) RUN_OK(tn_forward(e, false));
    TN_CHECK_VALUES(x, 0, 4, 5);
    CU_ASSERT_EQUAL(e->n_rows, 1);
    CU_ASSERT_EQUAL(tn_exec_memory(e).planned, 0);
    tn_exec_free(e);
    tn_tensor_release(x);
}

// The output overwrites x, but x is read afterwards: through a temporary.
static void an_update_that_must_wait(void)
{
    tn_tensor *x = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2);
    tn_symbol v = tn_variable(bench.g, "x");
    tn_symbol y = tn_add(bench.g, v, 1), z = tn_mul(bench.g, v, y);
    tn_exec *e = BIND(tn_group(bench.g, TN_SYMS(y, z)), .args = TN_TENSORS({"x", x}),
                      .outs = TN_TENSORS({"_plusscalar0_output", x}));
    if (!TN_CHECK_EXEC(e)) return;
    RUN_OK(tn_forward(e, false));
    TN_CHECK_VALUES(x, 0, 2, 3);
    TN_CHECK_VALUES(tn_exec_output(e, 1), 0, 2, 6);
    RUN_OK(tn_forward(e, false));
    TN_CHECK_VALUES(x, 0, 3, 4);
    TN_CHECK_VALUES(tn_exec_output(e, 1), 0, 6, 12);
    tn_exec_free(e);
    tn_tensor_release(x);
}

// A product cannot be written over its factor while it is computed.
static void an_update_by_an_operator_that_reads_on(void)
{
    tn_tensor *w = TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4);
    tn_symbol v = tn_variable(bench.g, "w");
    tn_exec *e = BIND(BINARY("dot", "square", v, v), .args = TN_TENSORS({"w", w}),
                      .outs = TN_TENSORS({"square_output", w}));
    if (!TN_CHECK_EXEC(e)) return;
    RUN_OK(tn_forward(e, false));
    TN_CHECK_VALUES(w, 0, 7, 10, 15, 22);
    CU_ASSERT_EQUAL(e->n_rows, 2); // the product, and a copy
    tn_exec_free(e);
    tn_tensor_release(w);
}

// An identity of the argument is read after the update: it must not share the memory.
static void an_identity_of_what_is_updated(void)
{
    tn_tensor *x = TN_TENSOR(TN_F32, TN_DIMS(1, 2), 1, 2);
    tn_symbol v = tn_variable(bench.g, "x"), flat = UNARY("Flatten", "flat", v);
    tn_symbol first = tn_mul(bench.g, flat, 3), update = tn_add(bench.g, v, 1),
              second = tn_mul(bench.g, flat, 2);
    tn_exec *e = BIND(tn_group(bench.g, TN_SYMS(first, update, second)),
                      .args = TN_TENSORS({"x", x}), .outs = TN_TENSORS({"_plusscalar0_output", x}));
    if (!TN_CHECK_EXEC(e)) return;
    RUN_OK(tn_forward(e, false));
    TN_CHECK_VALUES(tn_exec_output(e, 0), 0, 3, 6);
    TN_CHECK_VALUES(x, 0, 2, 3);
    TN_CHECK_VALUES(tn_exec_output(e, 2), 0, 2, 4);
    tn_exec_free(e);
    tn_tensor_release(x);
}

static void outputs_that_swap_two_arguments(void)
{
    tn_tensor *a = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2), *b = TN_TENSOR(TN_F32, TN_DIMS(2), 3, 4);
    tn_symbol x = tn_variable(bench.g, "x"), y = tn_variable(bench.g, "y");
    tn_exec *e = BIND(tn_group(bench.g, TN_SYMS(x, y)), .args = TN_TENSORS({"x", a}, {"y", b}),
                      .outs = TN_TENSORS({"x", b}, {"y", a}));
    if (!TN_CHECK_EXEC(e)) return;
    RUN_OK(tn_forward(e, false));
    TN_CHECK_VALUES(a, 0, 3, 4);
    TN_CHECK_VALUES(b, 0, 1, 2);
    tn_exec_free(e);
    tn_tensor_release(a);
    tn_tensor_release(b);
}

static void overlapping_memory_is_refused_where_it_would_hurt(void)
{
    tn_tensor *x = TN_TENSOR(TN_F32, TN_DIMS(4), 1, 2, 3, 4);
    tn_tensor *lo = tn_tensor_slice(x, 0, 3), *hi = tn_tensor_slice(x, 1, 4);
    tn_symbol v = tn_variable(bench.g, "x"), y = tn_add(bench.g, v, 1), z = tn_mul(bench.g, v, v);
    const tn_symbol both = tn_group(bench.g, TN_SYMS(y, z));
    tn_exec *e = BIND(both, .shapes = TN_SHAPES({"x", TN_DIMS(3)}),
                      .outs = TN_TENSORS({"_plusscalar0_output", lo}, {"_mul0_output", hi}));
    CU_ASSERT_PTR_NULL(e);
    TN_CHECK_HAS(tn_graph_error(bench.g), "overlapping memory, and both are written");
    tn_graph_forgive(bench.g);
    // A part of the argument's memory, shifted by one element: never in place.
    e = BIND(y, .args = TN_TENSORS({"x", lo}), .outs = TN_TENSORS({"_plusscalar0_output", hi}));
    if (!TN_CHECK_EXEC(e)) return;
    RUN_OK(tn_forward(e, false));
    TN_CHECK_VALUES(x, 0, 1, 2, 3, 4);
    tn_exec_free(e);
    e = BIND(z, .args = TN_TENSORS({"x", lo}), .outs = TN_TENSORS({"_mul0_output", lo}),
             .grad_req = TN_WRITE);
    CU_ASSERT_PTR_NULL(e);
    TN_CHECK_HAS(tn_graph_error(bench.g), "would overwrite \"x\", which backward still reads");
    tn_graph_forgive(bench.g);
    tn_tensor_release(lo);
    tn_tensor_release(hi);
    tn_tensor_release(x);
}

// ------------------------------------------------------------------ head gradients

static void head_gradients_are_asked_for_by_name(void)
{
    tn_symbol x = tn_variable(bench.g, "x");
    tn_symbol a = tn_mul(bench.g, x, 2), loss = UNARY("make_loss", "loss", tn_mul(bench.g, x, 5)),
              b = tn_mul(bench.g, x, 3);
    tn_exec *e = BIND(tn_group(bench.g, TN_SYMS(a, loss, b)),
                      .shapes = TN_SHAPES({"x", TN_DIMS(2)}), .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_FALSE(tn_exec_is_loss(e, 0));
    CU_ASSERT_TRUE(tn_exec_is_loss(e, 1));
    CU_ASSERT_FALSE(tn_exec_is_loss(e, 2));
    tn_tensor *p = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 10), *q = TN_TENSOR(TN_F32, TN_DIMS(2), 2, 20);
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_TENSORS({NULL, p}, {NULL, q}))); // those that are no loss
    TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 13, 85);
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_TENSORS({NULL, p}, {NULL, NULL}, {NULL, q}))); // all outputs
    TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 13, 85);
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_TENSORS({tn_exec_outputs(e).v[2], p}, {tn_exec_outputs(e).v[0], q})));
    TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 12, 75);
    tn_tensor_release(p);
    tn_tensor_release(q);
    tn_exec_free(e);
}

static void wrong_head_gradients_are_errors(void)
{
    tn_symbol x = tn_variable(bench.g, "x");
    tn_exec *e =
        BIND(tn_mul(bench.g, x, x), .shapes = TN_SHAPES({"x", TN_DIMS(2)}), .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return;
    tn_tensor *wide = tn_tensor_new(bench.env, TN_F32, TN_DIMS(3)),
              *good = TN_TENSOR(TN_F64, TN_DIMS(2), 1, 1);
    SET(e, "x", 3, 4);
    RUN_OK(tn_forward(e, true));
    CU_ASSERT_EQUAL(tn_backward(e, TN_NO_HEADS), TN_E_INVALID);
    TN_CHECK_HAS(tn_exec_error(e), "1 outputs need one: _mul0_output");
    CU_ASSERT_EQUAL(tn_forward(e, true), TN_E_INVALID); // the error stays
    tn_exec_forgive(e);
    CU_ASSERT_EQUAL(tn_backward(e, TN_TENSORS({NULL, wide})), TN_E_SHAPE);
    TN_CHECK_HAS(tn_exec_error(e), "_mul0_output: shape (3), wanted (2)");
    tn_exec_forgive(e);
    CU_ASSERT_EQUAL(tn_backward(e, TN_TENSORS({"_mul1_output", good})), TN_E_NOT_FOUND);
    TN_CHECK_HAS(tn_exec_error(e), "did you mean _mul0_output");
    tn_exec_forgive(e);
    RUN_OK(tn_backward(e, TN_TENSORS({NULL, good}))); // the dtype is converted
    TN_CHECK_VALUES(tn_exec_grad(e, "x"), 0, 6, 8);
    tn_tensor_release(wide);
    tn_tensor_release(good);
    tn_exec_free(e);
}

static void backward_wants_a_forward(void)
{
    tn_exec *e =
        BIND(net_mlp(), .shapes = TN_SHAPES({"data", TN_DIMS(2, 6)}), .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(tn_backward(e, TN_NO_HEADS), TN_E_INVALID);
    TN_CHECK_HAS(tn_exec_error(e), "call tn_forward()");
    tn_exec_forgive(e);
    RUN_OK(tn_forward(e, false));
    RUN_OK(tn_backward(e, TN_NO_HEADS));
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_backward(e, TN_NO_HEADS));
    CU_ASSERT_EQUAL(tn_backward(e, TN_NO_HEADS), TN_E_INVALID); // its values are gone
    tn_exec_free(e);
}

static void kept_values_allow_several_backwards(void)
{
    tn_symbol x = tn_variable(bench.g, "x");
    tn_exec *e =
        BIND(UNARY("exp", NULL, tn_mul(bench.g, x, x)), .shapes = TN_SHAPES({"x", TN_DIMS(2)}),
             .grad_req = TN_WRITE, .flags = TN_BIND_NO_REUSE);
    if (!TN_CHECK_EXEC(e)) return;
    SET(e, "x", 0, 1);
    RUN_OK(tn_forward(e, true));
    for (int i = 1; i <= 3; i++) {
        tn_tensor *head = TN_TENSOR(TN_F32, TN_DIMS(2), 1, i);
        RUN_OK(tn_backward(e, TN_TENSORS({NULL, head})));
        TN_CHECK_VALUES(tn_exec_grad(e, "x"), 1e-6, 0, 2 * i * exp(1));
        tn_tensor_release(head);
    }
    tn_exec_free(e);
}

static void backward_without_gradients_does_nothing(void)
{
    tn_exec *e = BIND(net_mlp(), .shapes = TN_SHAPES({"data", TN_DIMS(2, 6)}));
    if (!TN_CHECK_EXEC(e)) return;
    CU_ASSERT_EQUAL(tn_backward(e, TN_NO_HEADS), TN_OK);
    CU_ASSERT_TRUE(tn_exec_is_loss(e, 0));
    tn_exec_free(e);
}

// ------------------------------------------------------------------ modes and random numbers

static double sum_of(tn_tensor *t)
{
    double sum = 0;
    for (int64_t i = 0; i < tn_tensor_size(t); i++) sum += tn_tensor_at(t, i);
    return sum;
}

static void dropout_drops_in_training_only(void)
{
    tn_symbol y = CALL("Dropout", "drop", tn_variable(bench.g, "x"), {"p", "0.25"});
    tn_exec *e = BIND(y, .shapes = TN_SHAPES({"x", TN_DIMS(10000)}), .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) return;
    tn_tensor_fill(tn_exec_arg(e, "x"), 1);
    RUN_OK(tn_forward(e, false));
    TN_CHECK_NEAR(sum_of(tn_exec_output(e, 0)), 10000, 0);
    RUN_OK(tn_forward(e, true));
    TN_CHECK_NEAR(sum_of(tn_exec_output(e, 0)), 10000, 300); // 5 standard deviations
    CU_ASSERT_NOT_EQUAL(sum_of(tn_exec_output(e, 0)), 10000);
    tn_tensor *head = tn_tensor_new(bench.env, TN_F32, TN_DIMS(10000));
    tn_tensor_fill(head, 1);
    RUN_OK(tn_backward(e, TN_TENSORS({NULL, head})));
    CU_ASSERT_TRUE(net_equal(tn_exec_grad(e, "x"), tn_exec_output(e, 0))); // the same mask
    RUN_OK(tn_forward(e, false));
    TN_CHECK_NEAR(sum_of(tn_exec_output(e, 0)), 10000, 0);
    tn_tensor_release(head);
    tn_exec_free(e);
}

static tn_symbol two_draws(void)
{
    const tn_attrs shape = TN_ATTRS({"shape", "(50,)"});
    return tn_group(bench.g, TN_SYMS(tn_call(bench.g, "random_uniform", .params = shape),
                                     tn_call(bench.g, "random_uniform", .params = shape)));
}

static void a_seed_repeats_the_draws(void)
{
    const tn_symbol net = two_draws();
    tn_exec *e = BIND(net, .seed = 42), *f = BIND(net, .seed = 42), *g = BIND(net, .seed = 43);
    if (!TN_CHECK_EXEC(e) || !TN_CHECK_EXEC(f) || !TN_CHECK_EXEC(g)) return;
    RUN_OK(tn_forward(e, true));
    RUN_OK(tn_forward(f, false));
    RUN_OK(tn_forward(g, true));
    CU_ASSERT_TRUE(net_equal(tn_exec_output(e, 0), tn_exec_output(f, 0)));
    CU_ASSERT_FALSE(net_equal(tn_exec_output(e, 0), tn_exec_output(e, 1))); // nodes differ
    CU_ASSERT_FALSE(net_equal(tn_exec_output(e, 0), tn_exec_output(g, 0))); // seeds differ
    RUN_OK(tn_forward(e, true));
    CU_ASSERT_FALSE(net_equal(tn_exec_output(e, 0), tn_exec_output(f, 0))); // runs differ
    tn_exec_seed(e, 42);
    RUN_OK(tn_forward(e, true));
    CU_ASSERT_TRUE(net_equal(tn_exec_output(e, 1), tn_exec_output(f, 1)));
    tn_exec_free(e);
    tn_exec_free(f);
    tn_exec_free(g);
}

// ------------------------------------------------------------------ NaN

static void stopping_at_the_first_nan(void)
{
    tn_symbol x = tn_variable(bench.g, "x");
    tn_symbol y = UNARY("exp", "after", UNARY("log", "culprit", tn_add(bench.g, x, -1)));
    setenv("TENON_NAN", "stop", 1);
    tn_exec *e = BIND(y, .shapes = TN_SHAPES({"x", TN_DIMS(2)}));
    unsetenv("TENON_NAN");
    if (!TN_CHECK_EXEC(e)) return;
    SET(e, "x", 3, 4);
    RUN_OK(tn_forward(e, false));
    SET(e, "x", 3, 0.5);
    CU_ASSERT_EQUAL(tn_forward(e, false), TN_E_INVALID);
    TN_CHECK_HAS(tn_exec_error(e), "culprit (log): output 0 has a NaN");
    TN_CHECK_HAS(tn_exec_error(e), "test_run.c:");
    tn_exec_free(e);
    e = BIND(y, .shapes = TN_SHAPES({"x", TN_DIMS(2)}));
    if (!TN_CHECK_EXEC(e)) return;
    RUN_OK(tn_forward(e, false)); // not unless it is asked for
    tn_exec_free(e);
}

TN_TEST_MAIN({"a layer and its gradients", a_layer_and_its_gradients},
             {"training lowers the loss", training_lowers_the_loss},
             {"adding accumulates and writing does not", adding_accumulates_and_writing_does_not},
             {"one value may be several gradients", one_value_may_be_several_gradients},
             {"a gradient that is zero is written", a_gradient_that_is_zero_is_written},
             {"an argument may be an output", an_argument_may_be_an_output},
             {"an update in place", an_update_in_place},
             {"an update that must wait", an_update_that_must_wait},
             {"an update by an operator that reads on", an_update_by_an_operator_that_reads_on},
             {"an identity of what is updated", an_identity_of_what_is_updated},
             {"outputs that swap two arguments", outputs_that_swap_two_arguments},
             {"overlapping memory is refused where it would hurt",
              overlapping_memory_is_refused_where_it_would_hurt},
             {"head gradients are asked for by name", head_gradients_are_asked_for_by_name},
             {"wrong head gradients are errors", wrong_head_gradients_are_errors},
             {"backward wants a forward of either mode", backward_wants_a_forward},
             {"kept values allow several backwards", kept_values_allow_several_backwards},
             {"backward without gradients does nothing", backward_without_gradients_does_nothing},
             {"dropout drops in training only", dropout_drops_in_training_only},
             {"a seed repeats the draws", a_seed_repeats_the_draws},
             {"stopping at the first NaN", stopping_at_the_first_nan})
