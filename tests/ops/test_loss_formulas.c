// tests/ops/test_loss_formulas.c: gradients of losses, which are not those of their outputs,
// against formulas written down anew: tables of parameters and shapes. And Dropout, seeds held.
#include <math.h>

#include "tests/tn_numeric.h"

// One loss with numbers as parameters; what they mean is said by the operator's formula.
typedef struct loss {
    const char *op, *params;
    tn_dims data, label; // label.dim NULL: none
    double scale, extra;
    bool flag;
} loss;

// What the gradient is to be: x and label are the inputs, n elements in rows of k.
typedef void (*formula)(const loss *l, const double *x, const double *label, int64_t n, int64_t k,
                        double *dx);
enum { MOST = 64 };

static void check(const loss *l, formula f, double labels)
{
    double x[MOST], label[MOST] = {0}, dx[MOST];
    tn_fresh();
    tn_tensor *data = tn_sample(TN_F64, l->data, -2, 2, 5);
    const int64_t n = tn_tensor_size(data), k = l->data.dim[l->data.ndim - 1];
    for (int64_t i = 0; i < n; i++) x[i] = tn_tensor_at(data, i);
    tn_exec *e;
    if (l->label.dim) {
        tn_tensor *given = tn_sample(TN_F64, l->label, 0, labels, 6);
        for (int64_t i = 0; i < tn_tensor_size(given); i++) label[i] = tn_tensor_at(given, i);
        e = tn_try(tn_op(l->op, l->params, tn_var("x"), tn_var("y")), .wrt = "x", .train = true,
                   .given = TN_TENSORS({"x", data}, {"y", given}));
    } else {
        e = tn_try(tn_op(l->op, l->params, tn_var("x")), .wrt = "x", .train = true,
                   .given = TN_TENSORS({"x", data}));
    }
    tn_back_loss(e);
    f(l, x, label, n, k, dx);
    if (!tn_check_values(__LINE__, __FILE__, tn_grad(e, "x"), dx, (size_t)n, 1e-13))
        TN_CHECK_STR(l->params ? l->params : "no parameters", l->op);
    tn_exec_free(e);
}

// scale / (outputs of a sample) · (y - label), y = x or its sigmoid (flag)
static void regression(const loss *l, const double *x, const double *label, int64_t n, int64_t k,
                       double *dx)
{
    const double each = (double)(n / l->data.dim[0]);
    (void)k;
    for (int64_t i = 0; i < n; i++)
        dx[i] = l->scale / each * ((l->flag ? 1 / (1 + exp(-x[i])) : x[i]) - label[i]);
}

static void absolute(const loss *l, const double *x, const double *label, int64_t n, int64_t k,
                     double *dx)
{
    const double each = (double)(n / l->data.dim[0]);
    (void)k;
    for (int64_t i = 0; i < n; i++)
        dx[i] = ((x[i] > label[i]) - (x[i] < label[i])) * l->scale / each;
}

static void regressions(void)
{
    static const char *const params[] = {"grad_scale=1", "grad_scale=2.5", "grad_scale=-1",
                                         "grad_scale=0.1", "grad_scale=3"};
    const double scale[] = {1, 2.5, -1, 0.1, 3};
    const tn_dims data[] = {TN_DIMS(4), TN_DIMS(2, 3), TN_DIMS(5, 1), TN_DIMS(2, 2, 3),
                            TN_DIMS(1, 6)};
    const tn_dims label[] = {TN_DIMS(4), TN_DIMS(2, 3), TN_DIMS(5), TN_DIMS(2, 2, 3),
                             TN_DIMS(1, 6)};
    for (int i = 0; i < 5; i++) {
        loss l = {"LinearRegressionOutput", params[i], data[i], label[i], scale[i], 0, false};
        check(&l, regression, 2);
        l.op = "MAERegressionOutput";
        check(&l, absolute, 2);
        l.op = "LogisticRegressionOutput";
        l.flag = true;
        check(&l, regression, 1);
    }
}

// -2 r max(0, m - x) at the label, 2 r max(0, m + x) elsewhere; with use_linear (flag) -r [m > x]
// and r [m > -x]. extra is m.
static void hinge(const loss *l, const double *x, const double *label, int64_t n, int64_t k,
                  double *dx)
{
    const double r = l->scale, m = l->extra;
    for (int64_t i = 0; i < n; i++) {
        const bool here = i % k == (int64_t)label[i / k];
        const double slack = here ? m - x[i] : m + x[i];
        const double size = l->flag ? slack > 0 : 2 * fmax(0, slack);
        dx[i] = (here ? -r : r) * size;
    }
}

static void hinges(void)
{
    const loss cases[] = {
        {"SVMOutput", "use_linear=0", TN_DIMS(3, 4), TN_DIMS(3), 1, 1, false},
        {"SVMOutput", "use_linear=1", TN_DIMS(3, 4), TN_DIMS(3), 1, 1, true},
        {"SVMOutput", "margin=0.3", TN_DIMS(2, 5), TN_DIMS(2), 1, 0.3, false},
        {"SVMOutput", "margin=2; regularization_coefficient=0.5", TN_DIMS(1, 4), TN_DIMS(1), 0.5, 2,
         false},
        {"SVMOutput", "use_linear=1; regularization_coefficient=3", TN_DIMS(2, 2, 4), TN_DIMS(2, 2),
         3, 1, true},
        {"SVMOutput", "use_linear=1; margin=0.1", TN_DIMS(4, 4), TN_DIMS(4), 1, 0.1, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(&cases[i], hinge, 3.99);
}

// scale / D, where D is extra, or the number of x above it (flag)
static void constant(const loss *l, const double *x, const double *label, int64_t n, int64_t k,
                     double *dx)
{
    double d = l->flag ? 0 : l->extra;
    (void)label, (void)k;
    for (int64_t i = 0; l->flag && i < n; i++) d += x[i] > l->extra;
    for (int64_t i = 0; i < n; i++) dx[i] = l->scale / fmax(1, d);
}

static void constants(void)
{
    const tn_dims none = {0, NULL};
    const loss cases[] = {
        {"MakeLoss", "grad_scale=2", TN_DIMS(2, 3), none, 2, 1, false},
        {"MakeLoss", "normalization=batch", TN_DIMS(4, 3), none, 1, 4, false},
        {"MakeLoss", "normalization=batch; grad_scale=3", TN_DIMS(2, 2, 3), none, 3, 4, false},
        {"MakeLoss", "normalization=valid", TN_DIMS(20), none, 1, 0, true},
        {"MakeLoss", "normalization=valid; valid_thresh=1; grad_scale=-2", TN_DIMS(5, 4), none, -2,
         1, true},
        {"make_loss", NULL, TN_DIMS(5, 4), none, 1, 1, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(&cases[i], constant, 0);
}

// scale (p - onehot) / extra by rows; labels of class 1 count nothing with use_ignore (flag).
static void probabilities(const loss *l, const double *x, const double *label, int64_t n, int64_t k,
                          double *dx)
{
    for (int64_t r = 0; r < n / k; r++) {
        double sum = 0;
        for (int64_t j = 0; j < k; j++) sum += exp(x[r * k + j]);
        for (int64_t j = 0; j < k; j++) {
            const double g = exp(x[r * k + j]) / sum - (j == (int64_t)label[r]);
            dx[r * k + j] = l->flag && (int64_t)label[r] == 1 ? 0 : g * l->scale / l->extra;
        }
    }
}

static void softmax_outputs(void)
{
    const loss cases[] = {
        {"SoftmaxOutput", "grad_scale=1", TN_DIMS(3, 4), TN_DIMS(3), 1, 1, false},
        {"SoftmaxOutput", "grad_scale=0.5", TN_DIMS(1, 5), TN_DIMS(1), 0.5, 1, false},
        {"SoftmaxOutput", "normalization=batch", TN_DIMS(4, 4), TN_DIMS(4), 1, 4, false},
        {"SoftmaxOutput", "normalization=valid; grad_scale=3", TN_DIMS(2, 6), TN_DIMS(2), 3, 2,
         false},
        {"SoftmaxOutput", "use_ignore=1; ignore_label=1", TN_DIMS(9, 4), TN_DIMS(9), 1, 1, true},
        {"SoftmaxOutput", "preserve_shape=1; normalization=batch", TN_DIMS(2, 3, 4), TN_DIMS(2, 3),
         1, 6, false},
        {"Softmax", "normalization=batch; grad_scale=2", TN_DIMS(4, 4), TN_DIMS(4), 2, 4, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(&cases[i], probabilities, 3.99);
}

// With the mask of one seed Dropout is linear.
static void dropout_agrees_with_differences(void)
{
    TN_CHECK_CASES(TN_CASE("Dropout", "p=0.5; mode=always", "4,5"),
                   TN_CASE("Dropout", "p=0.2; mode=always", "7"),
                   TN_CASE("Dropout", "p=0.5; mode=always; axes=(1,)", "4,3"),
                   TN_CASE("Dropout", "p=0.9; mode=always", "2,3,2"),
                   TN_CASE("Dropout", "p=0.5; mode=always; axes=(0,2)", "2,5,2"));
}

TN_TEST_MAIN({"regressions", regressions}, {"hinges", hinges}, {"constants", constants},
             {"softmax outputs", softmax_outputs},
             {"Dropout agrees with differences", dropout_agrees_with_differences})
