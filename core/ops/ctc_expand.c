// core/ops/ctc_expand.c: the CTC loss in terms of simpler operators, step by step.
//
// All sequences go together, as rows: α and β of a step are (N, S) with S = 2 L + 1 places; rows
// with fewer labels have places that lead nowhere. The logarithm of 0 is a large negative number,
// from which sums and differences stay finite. See ctc.c and Graves et al. for α and β:
//
//     α[t, s] = q[t, s] + log Σ exp α[t-1, r]      r: s, s - 1, and s - 2 where one may skip
//     β[t, s] = log Σ exp (β[t+1, r] + q[t+1, r])  r: s, s + 1, and s + 2 where one may skip
#include <stdlib.h>

#include "core/ops/ctc.h"

// More steps are refused: each has 45 nodes, and a placement takes 100000.
enum { MOST_STEPS = 2000 };
static const double log_zero = -1e30, impossible = 1e29; // of a loss: what is above

typedef struct unrolled {
    const tn_builder *b;
    const tni_ctc *p;
    int64_t t, classes, labels, places;
    const char *dtype;       // that it is computed in: float64 for float64, else float32
    tn_sym x;                // (T, N, A) in that dtype
    tn_sym steps;            // (N, 1) int64: of each sequence
    tn_sym count;            // (N, 1) int64: labels of each sequence
    tn_sym letter;           // (N, S) int64: labels with blanks around
    tn_sym outside;          // (N, 1) int64: has a label that is none
    tn_sym skip, begin, end; // (N, S): 0 where a path may skip to, begin, end; else log_zero
    tn_sym nothing[2];       // (N, 1) and (N, 2): log_zero
    tn_sym q;                // first of T parts (N, S): log probability of each place's letter
    tn_sym *alpha, *beta;    // (T)
} unrolled;

static tn_sym scalar(const unrolled *u, const char *op, tn_sym x, double v)
{
    return tni_call_scalar(u->b, op, x, v);
}

static tn_sym cast(const unrolled *u, tn_sym x, const char *dtype)
{
    char text[TN_TEXT];
    return tn_emit(u->b, "Cast", tn_text(text, "dtype=%s", dtype), &x, 1);
}

static tn_sym columns(const unrolled *u, tn_sym x, int64_t begin, int64_t end)
{
    char text[TN_TEXT];
    tn_text(text, "axis=1; begin=%lld; end=%lld", (long long)begin, (long long)end);
    return tn_emit(u->b, "slice_axis", text, &x, 1);
}

static tn_sym beside(const unrolled *u, tn_sym x, tn_sym y)
{
    return TN_EMIT(u->b, "Concat", "num_args=2; dim=1", x, y);
}

static tn_sym numbers_like(const unrolled *u, tn_sym like, double v)
{
    const tn_sym zeros = tni_call(u->b, "zeros_like", like);
    return v == 0 ? zeros : scalar(u, "_plus_scalar", zeros, v);
}

// 0 where a condition holds, else log_zero; in the dtype of the computation.
static tn_sym log_of(const unrolled *u, tn_sym condition)
{
    const tn_sym missing = scalar(u, "_rminus_scalar", cast(u, condition, u->dtype), 1);
    return scalar(u, "_mul_scalar", missing, log_zero);
}

// (N, 1) or (N) int64 out of an input of lengths, within 0 … most.
static tn_sym lengths(const unrolled *u, uint32_t input, int64_t most)
{
    const tn_sym whole = cast(u, tn_grad_in(u->b, input), "int64");
    const tn_sym low = scalar(u, "_maximum_scalar", whole, 0);
    const tn_sym both = scalar(u, "_minimum_scalar", low, (double)most);
    return tn_emit(u->b, "expand_dims", "axis=1", &both, 1);
}

// ------------------------------------------------------------------ labels

// count, letter and outside, from labels (N, L) that are there.
static void read_some_labels(unrolled *u, tn_sym label)
{
    const tn_builder *b = u->b;
    const bool last = u->p->blank_label;
    const int64_t first = last ? 0 : 1, blank = last ? u->classes - 1 : 0;
    const tn_sym place = tn_emit(b, "_positions", "axis=1", &label, 1);
    const tn_sym low = scalar(u, "_lesser_scalar", label, (double)first);
    if (!u->p->use_label_lengths) {
        const tn_sym none = numbers_like(u, label, (double)u->labels);
        const tn_sym stop = TN_EMIT(b, "where", NULL, low, place, none);
        u->count = tn_emit(b, "min", "axis=(1,); keepdims=1", &stop, 1);
    }
    const tn_sym inside = tni_call2(b, "broadcast_lesser", place, u->count);
    const tn_sym most = scalar(u, "_lesser_scalar", label, (double)(first + u->classes - 1));
    const tn_sym good = tni_call2(b, "_sub", most, low); // low labels are below the most, too
    const tn_sym counts = tni_call2(b, "_mul", inside, good);
    const tn_sym bad = tni_call2(b, "_sub", inside, counts);
    u->outside = tn_emit(b, "max", "axis=(1,); keepdims=1", &bad, 1);
    const tn_sym blanks = numbers_like(u, label, (double)blank);
    const tn_sym safe = TN_EMIT(b, "where", NULL, counts, label, blanks);
    const tn_sym pairs = TN_EMIT(b, "stack", "num_args=2; axis=2", safe, blanks);
    const tn_sym behind = tn_emit(b, "Reshape", "shape=(0,-3)", &pairs, 1);
    u->letter = beside(u, columns(u, blanks, 0, 1), behind);
}

static void read_labels(unrolled *u)
{
    const tn_builder *b = u->b;
    const tn_sym label = cast(u, tn_grad_in(b, 1), "int64");
    // (N, 1) zeros: a sum over nothing where there are no labels
    const tn_sym sums = tn_emit(b, "sum", "axis=(1,); keepdims=1", &label, 1);
    const tn_sym zeros = tni_call(b, "zeros_like", sums);
    u->steps = u->p->use_data_lengths ? lengths(u, 2, u->t)
                                      : scalar(u, "_plus_scalar", zeros, (double)u->t);
    u->count = u->p->use_label_lengths ? lengths(u, b->n_in - 1, u->labels) : zeros;
    u->outside = zeros;
    u->letter = numbers_like(u, zeros, u->p->blank_label ? (double)(u->classes - 1) : 0);
    if (u->labels > 0) read_some_labels(u, label);
}

// skip, begin and end from count and letter.
static void find_ways(unrolled *u)
{
    const tn_builder *b = u->b;
    const tn_sym place = tn_emit(b, "_positions", "axis=1", &u->letter, 1);
    const tn_sym twice = scalar(u, "_mul_scalar", u->count, 2);
    const tn_sym left = tni_call2(b, "broadcast_sub", twice, place);
    const tn_sym at_end = tni_call2(b, "_mul", scalar(u, "_greater_equal_scalar", left, 0),
                                    scalar(u, "_lesser_scalar", left, 2));
    u->begin = log_of(u, scalar(u, "_lesser_scalar", place, 2));
    u->end = log_of(u, at_end);
    tn_sym differs = tni_call(b, "zeros_like", u->letter);
    const tn_sym none = log_of(u, differs);
    u->nothing[0] = columns(u, none, 0, 1);
    if (u->places > 2) u->nothing[1] = columns(u, none, 0, 2);
    if (u->places > 2) { // blanks equal blanks, so none of them is skipped to
        const tn_sym here = columns(u, u->letter, 2, u->places);
        const tn_sym there = columns(u, u->letter, 0, u->places - 2);
        differs = beside(u, columns(u, differs, 0, 2), tni_call2(b, "_not_equal", here, there));
    }
    u->skip = log_of(u, differs);
}

// ------------------------------------------------------------------ steps

static tn_sym part(const unrolled *u, tn_sym first, int64_t i)
{
    return u->b->result(u->b->ctx, first, (uint32_t)i);
}

// Row by row, x moved to the right (or, for negative n, to the left) by n places.
static tn_sym moved(const unrolled *u, tn_sym x, int64_t n)
{
    const int64_t by = n < 0 ? -n : n;
    if (by >= u->places) return u->nothing[0]; // there is one place only
    const tn_sym nothing = u->nothing[by - 1];
    return n > 0 ? beside(u, nothing, columns(u, x, 0, u->places - by))
                 : beside(u, columns(u, x, by, u->places), nothing);
}

// log (exp x + exp y + exp z)
static tn_sym log_sum(const unrolled *u, tn_sym x, tn_sym y, tn_sym z)
{
    const tn_builder *b = u->b;
    const tn_sym v[3] = {x, y, z};
    const tn_sym top = tni_call2(b, "_maximum", tni_call2(b, "_maximum", x, y), z);
    tn_sym sum = 0;
    for (int i = 0; i < 3; i++) {
        const tn_sym e = tni_call(b, "exp", tni_call2(b, "_sub", v[i], top));
        sum = sum ? tni_call2(b, "elemwise_add", sum, e) : e;
    }
    return tni_call2(b, "elemwise_add", top, tni_call(b, "log", sum));
}

// x where sequences have more than t steps, else y.
static tn_sym while_it_lasts(const unrolled *u, int64_t t, tn_sym x, tn_sym y)
{
    if (!u->p->use_data_lengths) return x;
    const tn_sym lasts = scalar(u, "_greater_scalar", u->steps, (double)t);
    const tn_sym flat = tn_emit(u->b, "Reshape", "shape=(-1,)", &lasts, 1);
    return TN_EMIT(u->b, "where", NULL, flat, x, y);
}

static void forward(const unrolled *u)
{
    const tn_builder *b = u->b;
    u->alpha[0] = tni_call2(b, "elemwise_add", u->begin, part(u, u->q, 0));
    for (int64_t t = 1; t < u->t; t++) {
        const tn_sym last = u->alpha[t - 1];
        const tn_sym skips = tni_call2(b, "elemwise_add", moved(u, last, 2), u->skip);
        const tn_sym sum = log_sum(u, last, moved(u, last, 1), skips);
        const tn_sym now = tni_call2(b, "elemwise_add", sum, part(u, u->q, t));
        u->alpha[t] = while_it_lasts(u, t, now, last);
    }
}

static void backward(const unrolled *u)
{
    const tn_builder *b = u->b;
    u->beta[u->t - 1] = u->end;
    for (int64_t t = u->t - 1; t-- > 0;) {
        const tn_sym v = tni_call2(b, "elemwise_add", u->beta[t + 1], part(u, u->q, t + 1));
        const tn_sym skips = moved(u, tni_call2(b, "elemwise_add", v, u->skip), -2);
        const tn_sym sum = log_sum(u, v, moved(u, v, -1), skips);
        u->beta[t] = while_it_lasts(u, t + 1, sum, u->end);
    }
}

// ------------------------------------------------------------------ results

// (N, 1): the loss without regard to what cannot be.
static tn_sym loss_of(const unrolled *u)
{
    const tn_builder *b = u->b;
    const tn_sym v = tni_call2(b, "elemwise_add", u->alpha[u->t - 1], u->end);
    const tn_sym top = tn_emit(b, "max", "axis=(1,); keepdims=1", &v, 1);
    const tn_sym e = tni_call(b, "exp", tni_call2(b, "broadcast_sub", v, top));
    const tn_sym sum = tn_emit(b, "sum", "axis=(1,); keepdims=1", &e, 1);
    return tni_call(b, "negative", tni_call2(b, "elemwise_add", top, tni_call(b, "log", sum)));
}

// In the shape of x: 1 where n of (N, 1) is not 0.
static tn_sym spread(const unrolled *u, tn_sym n, tn_sym x)
{
    const tn_sym flat = tn_emit(u->b, "Reshape", "shape=(-1,)", &n, 1);
    return TN_EMIT(u->b, "_broadcast_reduced", "axis=(1,); exclude=1", flat, x);
}

// (T, N, A): softmax minus what paths that spell the labels have of each letter.
static tn_sym gradient(const unrolled *u, tn_sym loss)
{
    const tn_builder *b = u->b;
    char text[TN_TEXT];
    for (int64_t t = 0; t < u->t; t++) { // α becomes the share of each place
        const tn_sym both = tni_call2(b, "elemwise_add", u->alpha[t], u->beta[t]);
        u->alpha[t] = tni_call(b, "exp", tni_call2(b, "broadcast_add", both, loss));
    }
    tn_text(text, "num_args=%lld; axis=1", (long long)u->t);
    const tn_sym shares = tn_emit(b, "stack", text, u->alpha, (uint32_t)u->t);
    tn_text(text, "depth=%lld; dtype=%s", (long long)u->classes, u->dtype);
    const tn_sym letters = tn_emit(b, "one_hot", text, &u->letter, 1);
    const tn_sym sums = TN_EMIT(b, "batch_dot", NULL, shares, letters);
    const tn_sym turned = tn_emit(b, "transpose", "axes=(1,0,2)", &sums, 1);
    return tni_call2(b, "_sub", tni_call(b, "softmax", u->x), turned);
}

// The results from loss (N, 1) and gradient (T, N, A), where `lost` of (N, 1) marks what cannot be.
static void set_results(const unrolled *u, tn_sym loss, tn_sym grad, tn_sym lost)
{
    const tn_builder *b = u->b;
    const char *dtype = tn_dtype_name(b->dtype(b->ctx, tn_grad_in(b, 0)));
    const tn_sym nothing = tni_call(b, "log", tni_call(b, "zeros_like", loss));
    const tn_sym all = TN_EMIT(b, "where", NULL, lost, tni_call(b, "negative", nothing), loss);
    const tn_sym flat = tn_emit(b, "Reshape", "shape=(-1,)", &all, 1);
    const tn_sym zeros = tni_call(b, "zeros_like", grad);
    tn_sym taught = TN_EMIT(b, "where", NULL, spread(u, lost, grad), zeros, grad);
    if (u->p->use_data_lengths) {
        const tn_sym t = tn_emit(b, "_positions", "axis=0", &grad, 1);
        const tn_sym lasts = tni_call2(b, "_lesser", t, spread(u, u->steps, grad));
        taught = TN_EMIT(b, "where", NULL, lasts, taught, zeros);
    }
    b->set_output(b->ctx, 0, cast(u, flat, dtype));
    b->set_output(b->ctx, 1, cast(u, taught, dtype));
}

// Without steps: no loss where there are no labels.
static void without_steps(const unrolled *u)
{
    const tn_sym any = scalar(u, "_greater_scalar", u->count, 0);
    const tn_sym lost = tni_call2(u->b, "_maximum", any, u->outside);
    const tn_sym loss = cast(u, tni_call(u->b, "zeros_like", u->count), u->dtype);
    set_results(u, loss, u->x, lost);
}

static void with_steps(unrolled *u)
{
    const tn_builder *b = u->b;
    char text[TN_TEXT];
    find_ways(u);
    const tn_sym raw = tni_call(b, "log_softmax", u->x);
    const tn_sym low = scalar(u, "_lesser_scalar", raw, log_zero); // not for NaN
    const tn_sym q = TN_EMIT(b, "where", NULL, low, numbers_like(u, raw, log_zero), raw);
    const tn_sym index = tn_emit(b, "expand_dims", "axis=0", &u->letter, 1);
    const tn_sym places = TN_EMIT(b, "_take_along", "axis=2", q, index);
    tn_text(text, "num_outputs=%lld; axis=0; squeeze_axis=1", (long long)u->t);
    u->q = tn_emit(b, "SliceChannel", text, &places, 1);
    forward(u);
    backward(u);
    tn_sym loss = loss_of(u);
    if (u->p->use_data_lengths) { // sequences without steps have none, or cannot be
        const tn_sym none = scalar(u, "_equal_scalar", u->steps, 0);
        const tn_sym any = cast(u, scalar(u, "_greater_scalar", u->count, 0), u->dtype);
        loss = TN_EMIT(b, "where", NULL, none, scalar(u, "_mul_scalar", any, -2 * log_zero), loss);
    }
    const tn_sym cannot = cast(u, scalar(u, "_greater_scalar", loss, impossible), "int64");
    const tn_sym lost = tni_call2(b, "_maximum", cannot, u->outside);
    set_results(u, loss, gradient(u, loss), lost);
}

tn_status tni_ctc_expand(const tn_builder *b)
{
    const tn_shape data = *b->shape(b->ctx, tn_grad_in(b, 0));
    const tn_shape label = *b->shape(b->ctx, tn_grad_in(b, 1));
    if (tn_shape_size(&data) < 0 || tn_shape_size(&label) < 0)
        return b->fail(b->ctx, TN_E_SHAPE,
                       "its steps can be told apart only where shapes are known");
    if (data.dim[0] > MOST_STEPS)
        return b->fail(b->ctx, TN_E_UNSUPPORTED,
                       "more than 2000 steps need a backend with a kernel for the CTC loss");
    const bool wide = b->dtype(b->ctx, tn_grad_in(b, 0)) == TN_F64;
    unrolled u = {.b = b,
                  .p = b->params,
                  .t = data.dim[0],
                  .classes = data.dim[2],
                  .labels = label.dim[1],
                  .places = 2 * label.dim[1] + 1,
                  .dtype = wide ? "float64" : "float32"};
    u.alpha = calloc(2 * (size_t)u.t + 1, sizeof *u.alpha);
    if (!u.alpha) return b->fail(b->ctx, TN_E_NOMEM, "out of memory");
    u.beta = u.alpha + u.t;
    u.x = cast(&u, tn_grad_in(b, 0), u.dtype);
    read_labels(&u);
    if (u.t == 0)
        without_steps(&u);
    else
        with_steps(&u);
    free(u.alpha);
    return TN_OK;
}
