// tests/ops/test_rnn.c: RNN: cells, packing, states, dropout, and its gradient.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/tn_numeric.h"

// ------------------------------------------------------------------ by hand

// One unit over one feature of one sequence: parameters are W, U, w, u, of each gate in turn.
static tn_exec *unit(const char *params, tn_tensor *x, tn_tensor *parameters, double state)
{
    tn_fresh();
    const tn_symbol y = tn_op("RNN", params, tn_var("x"), tn_var("p"), tn_var("s"));
    return tn_try(y, .wrt = "x s",
                  .given = TN_TENSORS({"x", x}, {"p", parameters},
                                      {"s", TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1), state)}));
}

// h₁ = 1 + 2 · 3 + 0.5 + 0.25,  h₂ = 2 + 2 h₁ + 0.5 + 0.25;  d h₂ / d x₁ = 2
static void plain_cells(void)
{
    tn_exec *e =
        unit("mode=rnn_relu; state_size=1; num_layers=1", TN_TENSOR(TN_F64, TN_DIMS(2, 1, 1), 1, 2),
             TN_TENSOR(TN_F64, TN_DIMS(4), 1, 2, 0.5, 0.25), 3);
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 7.75, 18.25);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(2, 1, 1), 0, 1)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 2, 1);
    TN_CHECK_VALUES(tn_grad(e, "s"), 0, 4);
    tn_exec_free(e);
    e = unit("mode=rnn_relu; state_size=1; num_layers=1", TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1), -4),
             TN_TENSOR(TN_F64, TN_DIMS(4), 1, 0, 0, 0), 0);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0);
    tn_exec_free(e);
    e = unit("mode=rnn_tanh; state_size=1; num_layers=1", TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1), 2),
             TN_TENSOR(TN_F64, TN_DIMS(4), 0.25, 2, 0.5, -1), 0.5);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, tanh(1));
    tn_exec_free(e);
}

// Biases of ±100 open and close gates. What is open: in 1, forget 2, out 4.
static tn_exec *lstm(int open)
{
    const double in = open & 1 ? 100 : -100, forget = open & 2 ? 100 : -100,
                 out = open & 4 ? 100 : -100;
    tn_fresh();
    const tn_symbol y = tn_op("RNN", "mode=lstm; state_size=1; num_layers=1; state_outputs=1",
                              tn_var("x"), tn_var("p"), tn_var("s"), tn_var("c"));
    const tn_tensors given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1), 0.5)},
                                        {"p", TN_TENSOR(TN_F64, TN_DIMS(16), 0, 0, 1, 0, 0, 0, 2, 0,
                                                        in, forget, 0.25, out, 0, 0, 0.125, 0)},
                                        {"s", TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1), 0.25)},
                                        {"c", TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1), 3)});
    return tn_try(y, .given = given);
}

// The new cell is made of x + 2 h + 0.25 + 0.125 = 1.375.
static void lstm_gates_are_in_forget_new_out(void)
{
    tn_exec *e = lstm(1 | 4);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, tanh(tanh(1.375)));
    TN_CHECK_VALUES(tn_out(e, 1), 1e-15, tanh(tanh(1.375)));
    TN_CHECK_VALUES(tn_out(e, 2), 1e-15, tanh(1.375));
    tn_exec_free(e);
    e = lstm(2 | 4);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, tanh(3));
    TN_CHECK_VALUES(tn_out(e, 2), 1e-15, 3);
    tn_exec_free(e);
    e = lstm(1 | 2);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-15, 0);
    TN_CHECK_VALUES(tn_out(e, 2), 1e-15, 3 + tanh(1.375));
    tn_exec_free(e);
}

// The reset gate is on U h + u, so that w stays where it is closed.
static void gru_gates_are_reset_update_new(void)
{
    static const struct {
        double reset, update, wanted;
    } cases[] = {{100, -100, 1.75}, {-100, -100, 0.5}, {100, 100, 0}};
    for (int i = 0; i < 3; i++) {
        tn_exec *e =
            unit("mode=gru; state_size=1; num_layers=1", TN_TENSOR(TN_F64, TN_DIMS(1, 1, 1), 0.25),
                 TN_TENSOR(TN_F64, TN_DIMS(12), 0, 0, 1, 0, 0, 3, cases[i].reset, cases[i].update,
                           0.25, 0, 0, 0.5),
                 0.25);
        TN_CHECK_VALUES(tn_out(e, 0), 1e-15, i == 2 ? 0.25 : tanh(cases[i].wanted));
        tn_exec_free(e);
    }
}

// Sums from both ends: U is 1 on the way there and 2 on the way back.
static void the_second_direction_comes_from_the_end(void)
{
    tn_fresh();
    const tn_symbol y =
        tn_op("RNN", "mode=rnn_relu; state_size=1; num_layers=1; bidirectional=1; state_outputs=1",
              tn_var("x"), tn_var("p"), tn_var("s"));
    tn_exec *e =
        tn_try(y, .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(3, 1, 1), 1, 2, 3)},
                                      {"p", TN_TENSOR(TN_F32, TN_DIMS(8), 1, 1, 1, 2, 0, 0, 0, 0)},
                                      {"s", TN_TENSOR(TN_F32, TN_DIMS(2, 1, 1), 0, 0)}));
    TN_CHECK_DIMS(tn_out(e, 0), 3, 1, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 17, 3, 8, 6, 3);
    TN_CHECK_DIMS(tn_out(e, 1), 2, 1, 1);
    TN_CHECK_VALUES(tn_out(e, 1), 0, 6, 17);
    tn_exec_free(e);
}

// ------------------------------------------------------------------ against NumPy

// 3 steps of 2 sequences of 3 features, 2 layers of 2 units; samples in -1 … 1.
typedef struct numpy_case {
    const char *mode;
    int directions, length;
    double first, last, sum, states; // of output; sum of the last states
    double dx4, dp3, dp_last, ds1;   // of Σ sample · output
} numpy_case;

static tn_symbol call_of(const char *params, bool lstm)
{
    const tn_symbol x = tn_var("x"), p = tn_var("p"), s = tn_var("s");
    return lstm ? tn_op("RNN", params, x, p, s, tn_var("c")) : tn_op("RNN", params, x, p, s);
}

static tn_tensor *sample(tn_dims dims, uint64_t seed)
{
    return tn_sample(TN_F64, dims, -1, 1, seed);
}

static double sum_of(tn_tensor *t)
{
    double sum = 0;
    for (int64_t i = 0; t && i < tn_tensor_size(t); i++) sum += tn_tensor_at(t, i);
    return sum;
}

static void check_numpy(const numpy_case *c)
{
    const bool lstm = strcmp(c->mode, "lstm") == 0;
    char params[128];
    tn_fresh();
    snprintf(params, sizeof params,
             "mode=%s; state_size=2; num_layers=2; bidirectional=%d; state_outputs=1", c->mode,
             c->directions - 1);
    tn_named_tensor given[] = {{"x", sample(TN_DIMS(3, 2, 3), 1)},
                               {"p", sample(TN_DIMS(c->length), 2)},
                               {"s", sample(TN_DIMS(2 * c->directions, 2, 2), 3)},
                               {"c", sample(TN_DIMS(2 * c->directions, 2, 2), 4)}};
    if (!lstm) tn_tensor_release(given[3].tensor);
    tn_exec *e = tn_try(call_of(params, lstm), .wrt = "x p s", .given = {lstm ? 4 : 3, given});
    if (!e) return;
    tn_tensor *y = tn_out(e, 0);
    TN_CHECK_NEAR(tn_tensor_at(y, 0), c->first, 1e-14);
    TN_CHECK_NEAR(tn_tensor_at(y, tn_tensor_size(y) - 1), c->last, 1e-14);
    TN_CHECK_NEAR(sum_of(y), c->sum, 1e-13);
    TN_CHECK_NEAR(sum_of(tn_out(e, 1)), c->states, 1e-13);
    tn_tensor *heads[3] = {sample(TN_DIMS(3, 2, 2 * c->directions), 5)};
    for (int i = 1; i < 3; i++)
        heads[i] = tn_tensor_new(bench.env, TN_F64, TN_DIMS(2 * c->directions, 2, 2));
    const tn_named_tensor all[] = {{NULL, heads[0]}, {NULL, heads[1]}, {NULL, heads[2]}};
    tn_back_make(__LINE__, __FILE__, e, (tn_tensors){lstm ? 3 : 2, all});
    if (!lstm) tn_tensor_release(heads[2]);
    TN_CHECK_NEAR(tn_tensor_at(tn_grad(e, "x"), 4), c->dx4, 1e-8);
    TN_CHECK_NEAR(tn_tensor_at(tn_grad(e, "p"), 3), c->dp3, 1e-8);
    TN_CHECK_NEAR(tn_tensor_at(tn_grad(e, "p"), c->length - 1), c->dp_last, 1e-8);
    TN_CHECK_NEAR(tn_tensor_at(tn_grad(e, "s"), 1), c->ds1, 1e-8);
    tn_exec_free(e);
}

// The numbers are of an implementation in NumPy that was written from the formulas alone; its
// gradients are central differences.
static void values_agree_with_numpy(void)
{
    static const numpy_case cases[] = {
        {"rnn_relu", 1, 26, 0, 0.682203752861056, 3.679373443962692, 0.806633810386187, 0, 0,
         0.228581417, 0},
        {"rnn_relu", 2, 60, 0, 0.407958812555282, 5.252521405490770, 4.467682722419909,
         -0.010019662, -0.189956744, -0.260645893, -0.121424280},
        {"rnn_tanh", 1, 26, -0.894454785859295, 0.379170989642310, -3.299057064876321,
         -4.250617295333473, 0.019848861, -0.098645308, 1.349966693, -0.199456387},
        {"rnn_tanh", 2, 60, -0.983482921556386, -0.240247854813379, -6.255452668557284,
         -0.959783606908777, 0.222317703, 0.041283207, 0.001548264, -0.013247144},
        {"lstm", 1, 104, -0.063889406981998, 0.101655973349069, -0.159043114413392,
         0.011239857448361, 0.008878283, 0.014618048, 0.003467583, 0.030739296},
        {"lstm", 2, 240, -0.145198484455518, -0.094897988859998, 0.644409151814135,
         1.316050839462253, 0.100766931, 0.048508261, -0.082789802, 0.053303292},
        {"gru", 1, 78, 0.172036178094892, 0.515536803535335, 3.092154794330154, 2.376773931514928,
         0.071399389, -0.018128073, 0.134104575, 0.301997146},
        {"gru", 2, 180, 0.305439971375891, 0.728031322458353, -2.021456787264531, 0.718044811440992,
         0.260762885, 0.017493146, 0.068546852, 0.040046143},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_numpy(&cases[i]);
}

// ------------------------------------------------------------------ kernel and parts

typedef struct shape_case {
    const char *params;
    int64_t t, n, features, length, directions, units; // of all layers; of one
} shape_case;

static const shape_case shapes[] = {
    {"mode=lstm; num_layers=1; state_size=2; state_outputs=1", 4, 3, 3, 56, 1, 2},
    {"mode=lstm; num_layers=2; state_size=2; state_outputs=1; p=0.5", 4, 3, 3, 104, 2, 2},
    {"mode=gru; num_layers=2; state_size=2; bidirectional=1; state_outputs=1; p=0.25", 3, 2, 3, 180,
     4, 4},
    {"mode=gru; num_layers=1; state_size=3; state_outputs=1", 1, 2, 1, 54, 1, 3},
    {"mode=rnn_tanh; num_layers=3; state_size=2; state_outputs=1; p=0.5", 5, 2, 3, 38, 3, 2},
    {"mode=rnn_relu; num_layers=2; state_size=2; bidirectional=1; state_outputs=1", 3, 1, 2, 56, 4,
     4},
    {"mode=lstm; num_layers=2; state_size=2; bidirectional=1; state_outputs=1; p=0.5", 0, 3, 3, 240,
     4, 4},
    {"mode=gru; num_layers=2; state_size=2; state_outputs=1; p=0.5", 3, 0, 3, 78, 2, 2},
};

// The call of a case, trained on `backends`: forward, and backward from samples.
static tn_exec *trained(const shape_case *c, const char *backends)
{
    const bool lstm = strstr(c->params, "lstm");
    const int64_t h = c->units / (strstr(c->params, "bidirectional") ? 2 : 1);
    const tn_dims state = TN_DIMS(c->directions, c->n, h);
    tn_fresh();
    const tn_named_tensor given[] = {{"x", sample(TN_DIMS(c->t, c->n, c->features), 1)},
                                     {"p", sample(TN_DIMS(c->length), 2)},
                                     {"s", sample(state, 3)},
                                     {"c", sample(state, 4)}};
    const tn_named_tensor heads[] = {{NULL, sample(TN_DIMS(c->t, c->n, c->units), 5)},
                                     {NULL, sample(state, 6)},
                                     {NULL, sample(state, 7)}};
    tn_exec *e = tn_simple_bind(bench.g, call_of(c->params, lstm), .backends = backends,
                                .args = {lstm ? 4 : 3, given}, .grad_req = TN_WRITE);
    TN_CHECK_EXEC(e);
    if (e) tn_forward(e, true);
    if (e) tn_backward(e, (tn_tensors){lstm ? 3 : 2, heads});
    TN_CHECK_EXEC(e);
    for (int i = 0; i < 4; i++) tn_tensor_release(given[i].tensor);
    for (int i = 0; i < 3; i++) tn_tensor_release(heads[i].tensor);
    return e;
}

static void check_same(const char *what, tn_tensor *got, tn_tensor *wanted)
{
    CU_ASSERT_FATAL(got && wanted && tn_tensor_size(got) == tn_tensor_size(wanted));
    for (int64_t i = 0; i < tn_tensor_size(got); i++)
        if (!TN_CHECK_NEAR(tn_tensor_at(got, i), tn_tensor_at(wanted, i), 1e-12))
            TN_CHECK_STR(what, "the same");
}

// parts has no kernel for RNN. Dropout draws the same numbers.
static void parts_do_what_the_kernel_does(void)
{
    static const char *const names[] = {"x", "p", "s", "c"};
    TN_CHECK_STR(
        tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/parts.so") ? tn_env_error(bench.env) : "", "");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const shape_case *c = &shapes[i];
        const size_t n = strstr(c->params, "lstm") ? 4 : 3;
        tn_exec *whole = trained(c, tn_backends()), *parts = trained(c, "parts");
        if (whole && parts) {
            TN_CHECK_HAS(tn_exec_report_text(parts), "RNN runs as its parts");
            for (size_t o = 0; o + 1 < n; o++)
                check_same(c->params, tn_out(whole, o), tn_out(parts, o));
            for (size_t j = 0; j < n; j++)
                check_same(c->params, tn_grad(whole, names[j]), tn_grad(parts, names[j]));
        }
        tn_exec_free(whole);
        tn_exec_free(parts);
    }
}

// ------------------------------------------------------------------ corners

// Without steps, states pass through and parameters do not matter.
static void a_sequence_may_be_empty(void)
{
    tn_fresh();
    const tn_tensors given = TN_TENSORS({"x", tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2, 3))},
                                        {"p", tn_sample(TN_F32, TN_DIMS(26), -1, 1, 1)},
                                        {"s", tn_sample(TN_F32, TN_DIMS(2, 2, 2), -1, 1, 2)});
    tn_tensor *s = tn_tensor_retain(given.v[2].tensor);
    tn_exec *e =
        tn_try(call_of("mode=rnn_tanh; state_size=2; num_layers=2; state_outputs=1", false),
               .wrt = "p s", .given = given);
    TN_CHECK_DIMS(tn_out(e, 0), 0, 2, 2);
    if (e) check_same("state", tn_out(e, 1), s);
    tn_back(e, {NULL, tn_tensor_new(bench.env, TN_F32, TN_DIMS(0, 2, 2))},
            {NULL, tn_tensor_retain(s)});
    if (e) check_same("gradient of state", tn_grad(e, "s"), s);
    TN_CHECK_NEAR(sum_of(tn_grad(e, "p")), 0, 0);
    tn_tensor_release(s);
    tn_exec_free(e);
}

static void sixteen_bits(void)
{
    static const tn_dtype dtypes[] = {TN_F16, TN_BF16};
    for (int i = 0; i < 2; i++) {
        tn_fresh();
        const tn_symbol y = call_of("mode=rnn_relu; state_size=1; num_layers=1", false);
        tn_exec *e =
            tn_try(y, .wrt = "p",
                   .given = TN_TENSORS({"x", TN_TENSOR(dtypes[i], TN_DIMS(2, 1, 1), 1, 2)},
                                       {"p", TN_TENSOR(dtypes[i], TN_DIMS(4), 1, 2, 0.5, 0)},
                                       {"s", TN_TENSOR(dtypes[i], TN_DIMS(1, 1, 1), 1)}));
        if (!e) return;
        CU_ASSERT_EQUAL(tn_tensor_dtype(tn_out(e, 0)), dtypes[i]);
        TN_CHECK_VALUES(tn_out(e, 0), 0, 3.5, 9.5);
        tn_back(e, {NULL, TN_TENSOR(dtypes[i], TN_DIMS(2, 1, 1), 0, 1)}); // d h₂: W x₂ + U h₁
        TN_CHECK_VALUES(tn_grad(e, "p"), 0, 4, 5.5, 3, 3);
        tn_exec_free(e);
    }
}

// Two layers that hand their input on: the output is the mask, and so is the gradient of data.
static tn_exec *handed_on(const char *params, bool train)
{
    tn_fresh();
    tn_tensor *x = tn_tensor_new(bench.env, TN_F32, TN_DIMS(40, 25, 1));
    tn_tensor_fill(x, 1);
    return tn_try(call_of(params, false), .wrt = "x", .train = train,
                  .given = TN_TENSORS({"x", x},
                                      {"p", TN_TENSOR(TN_F32, TN_DIMS(8), 1, 0, 1, 0, 0, 0, 0, 0)},
                                      {"s", tn_tensor_new(bench.env, TN_F32, TN_DIMS(2, 25, 1))}));
}

static void dropout_is_between_layers_while_training(void)
{
    tn_exec *e = handed_on("mode=rnn_relu; state_size=1; num_layers=2; p=0.75", true);
    if (!e) return;
    int64_t kept = 0;
    for (int64_t i = 0; i < 1000; i++) {
        const double v = tn_tensor_at(tn_out(e, 0), i);
        CU_ASSERT(v == 0 || v == 4);
        kept += v == 4;
    }
    CU_ASSERT(kept > 200 && kept < 300); // 250 are expected, with a deviation of 14
    tn_tensor *y = tn_tensor_cast(tn_out(e, 0), TN_F64),
              *head = tn_tensor_new(bench.env, TN_F32, TN_DIMS(40, 25, 1));
    tn_tensor_fill(head, 1);
    tn_back(e, {NULL, head});
    check_same("mask", tn_grad(e, "x"), y);
    tn_tensor_release(y);
    tn_exec_free(e);
    e = handed_on("mode=rnn_relu; state_size=1; num_layers=2; p=0.75", false);
    TN_CHECK_NEAR(sum_of(tn_out(e, 0)), 1000, 0);
    tn_exec_free(e);
    e = handed_on("mode=rnn_relu; state_size=1; num_layers=2; p=1", true);
    TN_CHECK_NEAR(sum_of(tn_out(e, 0)), 0, 0);
    tn_exec_free(e);
}

static void missing_inputs_are_made(void)
{
    tn_symbol y = tn_rnn(bench.g, .data = tn_var("data"), .mode = TN_RNN_LSTM, .state_size = 4,
                         .num_layers = 2, .name = "net", .state_outputs = true);
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "data net_parameters net_state net_state_cell");
    TN_CHECK_NAMES(tn_outputs(bench.g, y), "net_output net_state net_state_cell");
    y = tn_rnn(bench.g, .data = tn_var("x"), .mode = TN_RNN_GRU, .state_size = 4, .num_layers = 1);
    TN_CHECK_NAMES(tn_arguments(bench.g, y), "x rnn0_parameters rnn0_state");
    TN_CHECK_NAMES(tn_outputs(bench.g, y), "rnn0_output");
    TN_CHECK_GRAPH();
}

// ------------------------------------------------------------------ gradients

static void gradients_agree_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("RNN", "mode=lstm; state_size=2; num_layers=1; state_outputs=1",
                           "3,2,3 56 1,2,2 1,2,2", .lo = -1, .hi = 1, .first_order = 1),
                   TN_CASE("RNN", "mode=lstm; state_size=2; num_layers=2; bidirectional=1",
                           "2,2,3 240 4,2,2 4,2,2", .lo = -1, .hi = 1, .first_order = 1),
                   TN_CASE("RNN",
                           "mode=gru; state_size=2; num_layers=2; bidirectional=1; state_outputs=1",
                           "3,2,3 180 4,2,2", .lo = -1, .hi = 1, .first_order = 1),
                   TN_CASE("RNN", "mode=gru; state_size=1; num_layers=1", "4,1,2 15 1,1,1",
                           .lo = -1, .hi = 1, .first_order = 1),
                   TN_CASE("RNN", "mode=rnn_tanh; state_size=2; num_layers=2; state_outputs=1",
                           "3,2,3 26 2,2,2", .lo = -1, .hi = 1, .first_order = 1),
                   TN_CASE("RNN", "mode=rnn_tanh; state_size=3; num_layers=1; bidirectional=1",
                           "2,1,1 36 2,1,3", .lo = -1, .hi = 1, .first_order = 1),
                   TN_CASE("RNN", "mode=rnn_relu; state_size=2; num_layers=1; bidirectional=1",
                           "3,2,3 28 2,2,2", .first_order = 1),
                   TN_CASE("RNN", "mode=rnn_relu; state_size=2; num_layers=2; state_outputs=1",
                           "3,1,2 24 2,1,2", .first_order = 1));
}

// Σ head · d RNN / dx
static double weighted(tn_exec *e, tn_tensor *head)
{
    double sum = 0;
    tn_forward(e, false);
    for (int64_t i = 0; i < tn_tensor_size(head); i++)
        sum += tn_tensor_at(head, i) * tn_tensor_at(tn_out(e, 0), i);
    return sum;
}

// Central difference of the weighted output by element i of an argument.
static double slope(tn_exec *e, tn_tensor *head, tn_tensor *of, int64_t i)
{
    enum { MOST = 64 };
    const double h = 1e-5;
    double v[MOST];
    const uint64_t bytes = (uint64_t)tn_tensor_size(of) * sizeof *v;
    if (bytes > sizeof v || tn_tensor_get(of, v, bytes) != TN_OK) return NAN;
    const double at = v[i];
    v[i] = at + h;
    tn_tensor_set(of, v, bytes);
    const double above = weighted(e, head);
    v[i] = at - h;
    tn_tensor_set(of, v, bytes);
    const double below = weighted(e, head);
    v[i] = at;
    tn_tensor_set(of, v, bytes);
    return (above - below) / (2 * h);
}

// A bind knows the shapes, so it can go back through the parts of the gradient.
static void check_second(const char *params, tn_dims states, int64_t length)
{
    static const char *const names[] = {"x", "p", "s"};
    tn_symbol dx;
    tn_fresh();
    const tn_symbol x = tn_var("x"), y = tn_op("RNN", params, x, tn_var("p"), tn_var("s"));
    tn_gradient(bench.g, TN_SYMS(y), (tn_symbols){0}, TN_SYMS(x), &dx);
    const tn_tensors given =
        TN_TENSORS({"x", sample(TN_DIMS(3, 2, 2), 1)}, {"p", sample(TN_DIMS(length), 2)},
                   {"s", sample(states, 3)});
    tn_exec *e = tn_try(dx, .wrt = "x p s", .given = given);
    tn_tensor *head = sample(TN_DIMS(3, 2, 2), 4);
    tn_back(e, {NULL, tn_tensor_retain(head)});
    for (int a = 0; e && a < 3; a++) {
        tn_tensor *of = tn_exec_arg(e, names[a]), *got = tn_exec_grad(e, names[a]);
        for (int64_t i = 0; i < tn_tensor_size(of); i++)
            TN_CHECK_NEAR(tn_tensor_at(got, i), slope(e, head, of, i), 1e-7);
    }
    tn_tensor_release(head);
    tn_exec_free(e);
}

static void a_bind_differentiates_twice(void)
{
    check_second("mode=rnn_tanh; state_size=2; num_layers=2", TN_DIMS(2, 2, 2), 24);
    check_second("mode=gru; state_size=1; num_layers=1; bidirectional=1", TN_DIMS(2, 2, 1), 30);
}

static void twice_without_shapes_is_refused(void)
{
    tn_symbol dx, ddx;
    const tn_symbol x = tn_var("x");
    const tn_symbol y = tn_rnn(bench.g, .data = x, .mode = TN_RNN_GRU, .state_size = 4,
                               .num_layers = 1, .name = "net");
    tn_gradient(bench.g, TN_SYMS(y), (tn_symbols){0}, TN_SYMS(x), &dx);
    TN_CHECK_GRAPH();
    CU_ASSERT_EQUAL(tn_gradient(bench.g, TN_SYMS(dx), (tn_symbols){0}, TN_SYMS(x), &ddx),
                    TN_E_NO_GRADIENT);
    TN_CHECK_HAS(tn_graph_error(bench.g), "_backward_RNN");
    TN_CHECK_HAS(tn_graph_error(bench.g), "second derivatives are made by a bind");
}

TN_TEST_MAIN({"plain cells", plain_cells},
             {"LSTM gates are in, forget, new, out", lstm_gates_are_in_forget_new_out},
             {"GRU gates are reset, update, new", gru_gates_are_reset_update_new},
             {"the second direction comes from the end", the_second_direction_comes_from_the_end},
             {"values agree with NumPy", values_agree_with_numpy},
             {"parts do what the kernel does", parts_do_what_the_kernel_does},
             {"a sequence may be empty", a_sequence_may_be_empty}, {"sixteen bits", sixteen_bits},
             {"dropout is between layers while training", dropout_is_between_layers_while_training},
             {"missing inputs are made", missing_inputs_are_made},
             {"gradients agree with differences", gradients_agree_with_differences},
             {"a bind differentiates twice", a_bind_differentiates_twice},
             {"twice without shapes is refused", twice_without_shapes_is_refused})
