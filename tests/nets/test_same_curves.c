// tests/nets/test_same_curves.c: networks learn on every backend as on the reference: the loss of
// each step of gradient descent with momentum is the same.
//
// Runs once for each list of backends that tests/CMakeLists.txt names. The update runs on the same
// list, and writes the parameters where the network reads them.
#include "tests/nets/zoo_run.h"

enum { STEPS = 40, MOST_ARGS = 40 };

// Both executors of one training.
typedef struct training {
    tn_exec *net, *update;
} training;

static bool is_parameter(const char *name)
{
    return strcmp(name, "data") != 0 && strncmp(name, "state", 5) != 0 && !strstr(name, "label");
}

// w := w + m, m := 0.9 m - rate · gradient, for every parameter of the network.
static tn_exec *bind_update(tn_exec *net, const char *backends, double rate)
{
    static char names[MOST_ARGS][2][64];
    tn_named_tensor in[2 * MOST_ARGS], out[MOST_ARGS];
    tn_symbol news[MOST_ARGS];
    const tn_names args = tn_exec_arguments(net);
    size_t n = 0;
    tn_fresh();
    for (size_t i = 0; i < args.n && n < MOST_ARGS; i++) {
        if (!is_parameter(args.v[i])) continue;
        snprintf(names[n][0], sizeof names[n][0], "%.50s_grad", args.v[i]);
        snprintf(names[n][1], sizeof names[n][1], "new%zu_output", n);
        in[2 * n] = (tn_named_tensor){args.v[i], tn_exec_arg(net, args.v[i])};
        in[2 * n + 1] = (tn_named_tensor){names[n][0], tn_exec_grad(net, args.v[i])};
        out[n] = (tn_named_tensor){names[n][1], in[2 * n].tensor};
        char name[16];
        snprintf(name, sizeof name, "new%zu", n);
        news[n] =
            tn_sgd_mom_update(bench.g, .weight = tn_var(args.v[i]), .name = name,
                              .grad = tn_var(names[n][0]), .lr = rate, .momentum = TN_SET(0.9));
        n++;
    }
    tn_exec *e = tn_simple_bind(bench.g, tn_group(bench.g, (tn_symbols){n, news}),
                                .backends = backends, .args = {2 * n, in}, .outs = {n, out});
    TN_CHECK_EXEC(e);
    return e;
}

static training begin(const zoo_net *net, const char *backends)
{
    training t = {zoo_bind(net, &(zoo_way){.backends = backends}), NULL};
    if (t.net) t.update = bind_update(t.net, backends, net->rate);
    return t;
}

static void end(training t)
{
    tn_exec_free(t.update);
    tn_exec_free(t.net);
}

// Mean cross-entropy of the last forward; labels count the classes.
static double loss_of(tn_exec *e)
{
    tn_tensor *p = tn_exec_output(e, 0);
    const int64_t rows = tn_tensor_size(p) / ZOO_CLASSES;
    double sum = 0;
    for (int64_t i = 0; i < rows; i++)
        sum -= log(tn_tensor_at(p, i * ZOO_CLASSES + i % ZOO_CLASSES));
    return sum / (double)rows;
}

static double train_step(training t)
{
    tn_forward(t.net, true);
    const double loss = loss_of(t.net);
    tn_backward(t.net, TN_NO_HEADS);
    TN_CHECK_EXEC(t.net);
    tn_forward(t.update, false);
    TN_CHECK_EXEC(t.update);
    return loss;
}

// A step adds rounding of 1e-6 of the parameters, and what differs grows with what is learned from
// it: networks that learn at these rates stay together for 40 steps to a few 1e-5. So step k may
// differ by 1e-5 (1 + k) of the first loss; a wrong gradient shows in the second step.
static double tolerance(int step, double first)
{
    return 1e-5 * (1 + step) * first;
}

static void check(size_t i)
{
    training got = begin(&zoo[i], bench.backends), wanted = begin(&zoo[i], "reference");
    double first = 0, last = 0;
    for (int step = 0; step < STEPS && got.update && wanted.update; step++) {
        const double reference = train_step(wanted);
        last = train_step(got);
        if (step == 0) first = reference;
        if (!TN_CHECK_NEAR(last, reference, tolerance(step, first))) break;
    }
    CU_ASSERT(last < 0.6 * first); // it has learned
    end(got);
    end(wanted);
}

static void perceptron(void)
{
    check(0);
}

static void lenet(void)
{
    check(1);
}

static void residual_network(void)
{
    check(2);
}

static void lstm(void)
{
    check(3);
}

static void unrolled_lstm(void)
{
    check(4);
}

TN_TEST_MAIN({"perceptron", perceptron}, {"LeNet", lenet}, {"residual network", residual_network},
             {"LSTM", lstm}, {"unrolled LSTM", unrolled_lstm})
