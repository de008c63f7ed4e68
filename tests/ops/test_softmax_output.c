// tests/ops/test_softmax_output.c: SoftmaxOutput: what it normalises, and its exact gradient.
//
// Data of zeros makes every probability 1/k, so that gradients can be read off.
#include <math.h>

#include "tests/tn_numeric.h"

static tn_exec *run(const char *op, const char *params, tn_tensor *data, tn_tensor *label)
{
    tn_fresh();
    return tn_try(tn_op(op, params, tn_var("data"), tn_var("label")), .wrt = "data", .train = true,
                  .given = TN_TENSORS({"data", data}, {"label", label}));
}

static tn_tensor *zeros(tn_dims dims)
{
    return tn_tensor_new(bench.env, TN_F32, dims);
}

// Forward and backward, without a head gradient, then the check of the gradient.
#define CHECK(params, data, label, ...)                                \
    do {                                                               \
        tn_exec *e_ = run("SoftmaxOutput", (params), (data), (label)); \
        tn_back_loss(e_);                                              \
        TN_CHECK_VALUES(tn_grad(e_, "data"), 1e-6, __VA_ARGS__);       \
        tn_exec_free(e_);                                              \
    } while (0)

static void forward_normalises_rows_of_everything_but_the_first_axis(void)
{
    const double LN3 = 1.0986122886681098;
    tn_exec *e = run("SoftmaxOutput", NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 2), 0, LN3),
                     TN_TENSOR(TN_F32, TN_DIMS(1), 0));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 0.25, 0.75);
    tn_exec_free(e);
    e = run("SoftmaxOutput", NULL, zeros(TN_DIMS(2, 2, 2)), zeros(TN_DIMS(2, 2)));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, .25, .25, .25, .25, .25, .25, .25, .25);
    tn_exec_free(e);
    e = run("SoftmaxOutput", "preserve_shape=1", zeros(TN_DIMS(2, 2, 2)), zeros(TN_DIMS(2, 2)));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, .5, .5, .5, .5, .5, .5, .5, .5);
    tn_exec_free(e);
    e = run("SoftmaxOutput", "multi_output=1", TN_TENSOR(TN_F32, TN_DIMS(1, 2, 2), 0, 0, LN3, 0),
            zeros(TN_DIMS(1, 2)));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, .25, .5, .75, .5);
    tn_exec_free(e);
}

static void gradient_is_probability_minus_one_hot(void)
{
    tn_tensor *label = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 0);
    CHECK(NULL, zeros(TN_DIMS(2, 2)), tn_tensor_retain(label), .5, -.5, -.5, .5);
    CHECK("grad_scale=4", zeros(TN_DIMS(2, 2)), tn_tensor_retain(label), 2, -2, -2, 2);
    CHECK("normalization=batch", zeros(TN_DIMS(2, 2)), tn_tensor_retain(label), .25, -.25, -.25,
          .25);
    CHECK("normalization=valid", zeros(TN_DIMS(2, 2)), tn_tensor_retain(label), .25, -.25, -.25,
          .25);
    tn_tensor_release(label);
    CHECK(NULL, zeros(TN_DIMS(1, 2)), TN_TENSOR(TN_I32, TN_DIMS(1), 1), .5, -.5);
}

static void labels_outside_the_classes_take_nothing_away(void)
{
    CHECK(NULL, zeros(TN_DIMS(2, 2)), TN_TENSOR(TN_F32, TN_DIMS(2), 7, -3), .5, .5, .5, .5);
    // int(1.9) is 1
    CHECK(NULL, zeros(TN_DIMS(1, 2)), TN_TENSOR(TN_F32, TN_DIMS(1), 1.9), .5, -.5);
}

// The count of valid labels leaves out ignore_label (-1 by default) even without use_ignore; the
// gradient of such a row is left out only with it.
static void ignored_labels(void)
{
    CHECK("normalization=valid", zeros(TN_DIMS(2, 2)), TN_TENSOR(TN_F32, TN_DIMS(2), 1, -1), .5,
          -.5, .5, .5);
    CHECK("normalization=valid; use_ignore=1", zeros(TN_DIMS(2, 2)),
          TN_TENSOR(TN_F32, TN_DIMS(2), 1, -1), .5, -.5, 0, 0);
    CHECK("use_ignore=1; ignore_label=1", zeros(TN_DIMS(2, 2)), TN_TENSOR(TN_F32, TN_DIMS(2), 1, 0),
          0, 0, -.5, .5);
    // none is valid: divided by 1
    CHECK("normalization=valid; use_ignore=1; ignore_label=0", zeros(TN_DIMS(2, 2)),
          TN_TENSOR(TN_F32, TN_DIMS(2), 0, 0), 0, 0, 0, 0);
    CHECK("normalization=valid; ignore_label=0", zeros(TN_DIMS(1, 2)),
          TN_TENSOR(TN_F32, TN_DIMS(1), 0), -.5, .5);
    CHECK("use_ignore=1; ignore_label=1; normalization=batch", zeros(TN_DIMS(2, 2)),
          TN_TENSOR(TN_F32, TN_DIMS(2), 1, 0), 0, 0, -.25, .25);
}

// Two samples, two classes, two places; null and batch divide by the places, too.
static void multi_output_has_a_label_for_each_place(void)
{
    tn_tensor *label = TN_TENSOR(TN_F32, TN_DIMS(2, 2), 0, 1, 1, -1);
    const char *const params[] = {
        "multi_output=1", "multi_output=1; normalization=batch",
        "multi_output=1; normalization=valid",
        "multi_output=1; normalization=valid; use_ignore=1; grad_scale=6"};
    const double d[] = {2, 4, 3, 0.5}; // what the unscaled gradient is divided by
    for (int i = 0; i < 4; i++) {
        const double g = .5 / d[i], last = i == 3 ? 0 : g; // the place with label -1
        CHECK(params[i], zeros(TN_DIMS(2, 2, 2)), tn_tensor_retain(label), -g, g, g, -g, g, last,
              -g, last);
    }
    tn_tensor_release(label);
}

static void multi_output_takes_three_shapes_of_labels(void)
{
    const double g = .5 / 2; // two places
    CHECK("multi_output=1", zeros(TN_DIMS(1, 2, 1, 2)), TN_TENSOR(TN_F32, TN_DIMS(1, 2), 0, 1), -g,
          g, g, -g);
    CHECK("multi_output=1", zeros(TN_DIMS(1, 2, 1, 2)), TN_TENSOR(TN_F32, TN_DIMS(1, 1, 2), 0, 1),
          -g, g, g, -g);
    CHECK("multi_output=1", zeros(TN_DIMS(1, 2, 1, 2)),
          TN_TENSOR(TN_F32, TN_DIMS(1, 1, 1, 2), 0, 1), -g, g, g, -g);
}

static void preserve_shape_has_a_label_for_each_row(void)
{
    CHECK("preserve_shape=1", zeros(TN_DIMS(1, 2, 2)), TN_TENSOR(TN_F32, TN_DIMS(1, 2), 1, 0), .5,
          -.5, -.5, .5);
    CHECK("preserve_shape=1; normalization=batch", zeros(TN_DIMS(1, 2, 2)),
          TN_TENSOR(TN_F32, TN_DIMS(1, 2), 1, 0), .25, -.25, -.25, .25);
}

// Labels have the shape of data without its last axis, but one is read for each row of (d0, rest),
// and batch divides by all of them.
static void more_axes_without_preserve_shape(void)
{
    CHECK("normalization=batch", zeros(TN_DIMS(2, 2, 2)),
          TN_TENSOR(TN_F32, TN_DIMS(2, 2), 3, 0, 1, 1), .0625, .0625, .0625, -.1875, -.1875, .0625,
          .0625, .0625);
}

// A label of the data's shape is a probability; ignoring and normalising do not apply.
static void labels_may_be_probabilities(void)
{
    CHECK("normalization=batch; use_ignore=1; ignore_label=0; grad_scale=2", zeros(TN_DIMS(2, 2)),
          TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 0, .25, .75), -1, 1, .5, -.5);
    CHECK("multi_output=1", zeros(TN_DIMS(1, 2, 2)),
          TN_TENSOR(TN_F32, TN_DIMS(1, 2, 2), 1, 0, 0, 1), -.5, .5, .5, -.5);
}

static void out_grad_multiplies_by_the_head(void)
{
    tn_exec *e = run("SoftmaxOutput", "out_grad=1", zeros(TN_DIMS(2, 2)),
                     TN_TENSOR(TN_F32, TN_DIMS(2), 1, 0));
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4)});
    TN_CHECK_VALUES(tn_grad(e, "data"), 1e-6, .5, -1, -1.5, 2);
    tn_exec_free(e);
    e = run("SoftmaxOutput", "out_grad=1", zeros(TN_DIMS(1, 2)),
            TN_TENSOR(TN_F32, TN_DIMS(1, 2), 1, 0));
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(1, 2), 10, 20)});
    TN_CHECK_VALUES(tn_grad(e, "data"), 1e-6, -5, 10);
    tn_exec_free(e);
}

static void the_old_name_is_the_same_layer(void)
{
    tn_exec *e = run("Softmax", "normalization=batch", zeros(TN_DIMS(2, 2)),
                     TN_TENSOR(TN_F32, TN_DIMS(2), 1, 0));
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, .5, .5, .5, .5);
    tn_back_loss(e);
    TN_CHECK_VALUES(tn_grad(e, "data"), 1e-6, .25, -.25, -.25, .25);
    tn_exec_free(e);
}

// The loss the layer does not show: −Σ log p[label], of outputs at x ± h.
static double cross_entropy(tn_exec *e, const double *label, int64_t rows, int64_t k)
{
    double loss = 0;
    tn_forward(e, true);
    for (int64_t r = 0; r < rows; r++)
        loss -= log(tn_tensor_at(tn_exec_output(e, 0), r * k + (int64_t)label[r]));
    return loss;
}

static void gradient_is_that_of_cross_entropy(void)
{
    const double label[] = {2, 0, 1}, h = 1e-5;
    tn_exec *e = run("SoftmaxOutput", NULL, tn_sample(TN_F64, TN_DIMS(3, 4), -2, 2, 5),
                     tn_tensor_from(bench.env, TN_F64, TN_DIMS(3), label));
    if (!tn_back_loss(e)) return;
    tn_tensor *data = tn_exec_arg(e, "data");
    double gradient[12], x[12];
    CU_ASSERT_EQUAL(tn_tensor_get(data, x, sizeof x), TN_OK);
    for (int i = 0; i < 12; i++) gradient[i] = tn_tensor_at(tn_grad(e, "data"), i);
    for (int i = 0; i < 12; i++) {
        const double x0 = x[i];
        x[i] = x0 + h;
        tn_tensor_set(data, x, sizeof x);
        const double above = cross_entropy(e, label, 3, 4);
        x[i] = x0 - h;
        tn_tensor_set(data, x, sizeof x);
        const double below = cross_entropy(e, label, 3, 4);
        x[i] = x0;
        TN_CHECK_NEAR(gradient[i], (above - below) / (2 * h), 1e-8);
    }
    tn_exec_free(e);
}

TN_TEST_MAIN({"forward normalises rows of everything but the first axis",
              forward_normalises_rows_of_everything_but_the_first_axis},
             {"gradient is probability minus one-hot", gradient_is_probability_minus_one_hot},
             {"labels outside the classes take nothing away",
              labels_outside_the_classes_take_nothing_away},
             {"ignored labels", ignored_labels},
             {"multi_output has a label for each place", multi_output_has_a_label_for_each_place},
             {"multi_output takes three shapes of labels",
              multi_output_takes_three_shapes_of_labels},
             {"preserve_shape has a label for each row", preserve_shape_has_a_label_for_each_row},
             {"more axes without preserve_shape", more_axes_without_preserve_shape},
             {"labels may be probabilities", labels_may_be_probabilities},
             {"out_grad multiplies by the head", out_grad_multiplies_by_the_head},
             {"the old name is the same layer", the_old_name_is_the_same_layer},
             {"gradient is that of cross-entropy", gradient_is_that_of_cross_entropy})
