// tests/backends/test_blas_math.c: the blas backend's functions of float32 against double, over all
// kinds of floats: within 3 units in the last place.
#include "float_functions.h"

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double softrelu(double x)
{
    return x > 700 ? x : log1p(exp(x));
}

static double rsqrt(double x)
{
    return 1 / sqrt(x);
}

static void exponentials(void)
{
    if (!ready()) return;
    check_function("exp", exp, 2);
    check_function("expm1", expm1, 3);
}

static void logarithms(void)
{
    if (!ready()) return;
    check_function("log", log, 2);
    check_function("log1p", log1p, 3);
}

static void activations(void)
{
    if (!ready()) return;
    check_function("tanh", tanh, 3);
    check_function("sigmoid", sigmoid, 3);
    check_function("softrelu", softrelu, 3);
}

static void roots_and_rounding(void)
{
    if (!ready()) return;
    check_function("sqrt", sqrt, 0.5);
    check_function("rsqrt", rsqrt, 1.5);
    check_function("floor", floor, 0);
    check_function("ceil", ceil, 0);
    check_function("trunc", trunc, 0);
    check_function("round", round, 0);
}

static void functions_by_way_of_double(void)
{
    if (!ready()) return;
    check_function("sin", sin, 1);
    check_function("cos", cos, 1);
    check_function("tan", tan, 1);
    check_function("cbrt", cbrt, 0.51);
}

// Every pair of special numbers, then pairs of all kinds of floats, then those that give no end.
static float operand(uint32_t i, int side)
{
    static const float special[] = {0.0f,   -0.0f,   1.0f, -1.0f,    2.0f,      -2.0f,
                                    3.0f,   -3.0f,   0.5f, -0.5f,    1e30f,     -1e30f,
                                    1e-40f, -1e-40f, 2.5f, INFINITY, -INFINITY, NAN};
    enum { KINDS = sizeof special / sizeof *special };
    if (i < KINDS * KINDS) return special[side ? i / KINDS : i % KINDS];
    const uint32_t z = (i + (side ? 7919u : 0u)) * 2654435761u;
    if (i < N / 4) return tn_f32_from_bits(z);
    return side ? (float)(z >> 8) * 0x1p-20f - 8.0f : (float)(z >> 8) * 0x1p-18f;
}

static void check_pairs(const char *op, double (*exact)(double, double), double most)
{
    tn_fresh();
    tn_exec *e = tn_simple_bind(bench.g, tn_op(op, NULL, tn_var("x"), tn_var("y")),
                                .backends = "blas", .grad_req = TN_NULL,
                                .shapes = TN_SHAPES({"x", TN_DIMS(N)}, {"y", TN_DIMS(N)}));
    TN_CHECK_EXEC(e);
    if (!e) return;
    float *x = inputs(e), *y = tn_tensor_data(tn_exec_arg(e, "y"));
    for (uint32_t i = 0; i < N; i++) x[i] = operand(i, 0), y[i] = operand(i, 1);
    tn_forward(e, false);
    TN_CHECK_EXEC(e);
    const float *got = tn_tensor_data(tn_exec_output(e, 0));
    double worst = 0;
    int at = 0;
    for (int i = 0; i < N; i++) {
        const double error = ulps(got[i], exact((double)x[i], (double)y[i]));
        if (error > worst) worst = error, at = i;
    }
    CU_ASSERT(worst <= most);
    if (worst > most)
        printf("\n    %s(%.9g, %.9g): %.9g, wanted %.9g: %.2f units\n", op, (double)x[at],
               (double)y[at], (double)got[at], exact((double)x[at], (double)y[at]), worst);
    tn_exec_free(e);
}

// The remainder with the sign of b.
static double modulo(double a, double b)
{
    const double r = b == 0 ? 0 : fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static void functions_of_two(void)
{
    if (!ready()) return;
    check_pairs("_power", pow, 0.51);
    check_pairs("_hypot", hypot, 0.51);
    check_pairs("_mod", modulo, 0.51);
}

static void the_ends_are_exact(void)
{
    static const struct {
        const char *op;
        double x, y;
    } cases[] = {{"exp", -INFINITY, 0},
                 {"exp", INFINITY, INFINITY},
                 {"exp", 0, 1},
                 {"log", 0, -INFINITY},
                 {"log", 1, 0},
                 {"log", INFINITY, INFINITY},
                 {"log1p", -1, -INFINITY},
                 {"tanh", INFINITY, 1},
                 {"tanh", -INFINITY, -1},
                 {"sigmoid", -INFINITY, 0},
                 {"sigmoid", INFINITY, 1},
                 {"sigmoid", 0, 0.5},
                 {"softrelu", -INFINITY, 0},
                 {"expm1", -INFINITY, -1},
                 {"expm1", INFINITY, INFINITY},
                 {"softrelu", 50, 50},
                 {"tanh", 1e-40, 1e-40},
                 {"expm1", 1e-40, 1e-40},
                 {"log1p", 1e-40, 1e-40},
                 {"exp", -103, 1.4012984643e-45}};
    if (!ready()) return;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tn_fresh();
        tn_exec *e = tn_try(tn_op(cases[i].op, NULL, tn_var("x")),
                            .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(1), cases[i].x)}));
        tn_tensor *y = tn_out(e, 0);
        const float wanted = (float)cases[i].y, got = y ? (float)tn_tensor_at(y, 0) : NAN;
        CU_ASSERT(got == wanted);
        if (got != wanted) printf("\n    %s(%g): %g\n", cases[i].op, cases[i].x, (double)got);
        tn_exec_free(e);
    }
}

TN_TEST_MAIN({"exponentials", exponentials}, {"logarithms", logarithms},
             {"activations", activations}, {"roots and rounding", roots_and_rounding},
             {"functions by way of double", functions_by_way_of_double},
             {"functions of two", functions_of_two}, {"the ends are exact", the_ends_are_exact})
