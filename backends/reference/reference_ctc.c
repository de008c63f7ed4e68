// backends/reference/reference_ctc.c: the CTC loss and its gradient, in logarithms.
//
// The labels of a sequence with blanks before, between and behind them are S = 2 m + 1 letters.
// With q[t, k] = log softmax of the data, and sums over places r a step may come from or go to (the
// place itself, its neighbour, and the one behind a blank that parts two different labels),
//
//     α[t, s] = q[t, letter s] + log Σ exp α[t-1, r]      paths up to step t that end in place s
//     β[t, s] = log Σ exp (β[t+1, r] + q[t+1, letter r])  what follows, step t not included
//     loss = -log (exp α[T-1, S-1] + exp α[T-1, S-2])
//     d loss / d data[t, k] = exp q[t, k] - Σ exp (α[t, s] + β[t, s] + loss)    over s of letter k
//
// Source: Graves et al., "Connectionist temporal classification", ICML 2006.
#include "reference.h"

typedef struct ctc {
    int64_t t, n, classes, labels; // T, N, A, L
    bool data_lengths, label_lengths;
    int64_t blank, first; // first: smallest label
} ctc;

// One sequence, in the scratch memory.
typedef struct sequence {
    int64_t steps, places; // places: S
    double *q;             // (steps, classes)
    double *alpha;         // (steps, places)
    double *beta, *next;   // (places)
    double *sum;           // (classes)
    int64_t *letter;       // (places)
} sequence;

// Bytes for the longest sequence; INT64_MAX if it is too large. Lays it out from base, if not NULL.
static int64_t lay_out(const ctc *c, double *base, sequence *s)
{
    const int64_t places = 2 * c->labels + 1;
    const int64_t q = tn_extent_times(c->t, c->classes), alpha = tn_extent_times(c->t, places);
    int64_t n;
    if (__builtin_add_overflow(q, alpha, &n) || __builtin_add_overflow(n, 3 * places, &n) ||
        __builtin_add_overflow(n, c->classes, &n))
        return INT64_MAX;
    if (!base) return tn_extent_times(n, sizeof(double));
    double *const rows = base + q + alpha;
    *s = (sequence){.q = base,
                    .alpha = base + q,
                    .beta = rows,
                    .next = rows + places,
                    .letter = (int64_t *)(void *)(rows + 2 * places),
                    .sum = rows + 3 * places};
    return tn_extent_times(n, sizeof(double));
}

static tn_status ctc_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    ctc *c = k->state;
    const int64_t *data = k->call->in[0]->dims;
    c->t = data[0];
    c->n = data[1];
    c->classes = data[2];
    c->labels = k->call->in[1]->dims[1];
    c->data_lengths = tn_call_bool(k->call, "use_data_lengths", false);
    c->label_lengths = tn_call_bool(k->call, "use_label_lengths", false);
    const bool last = tn_call_is(k->call, "blank_label", "last");
    c->blank = last ? c->classes - 1 : 0;
    c->first = last ? 0 : 1;
    const bool long_labels = c->labels > INT64_MAX / 64; // of no sequences
    const int64_t bytes = long_labels ? INT64_MAX : lay_out(c, NULL, NULL);
    if (bytes == INT64_MAX && c->n > 0)
        return tn_fail(k->host, TN_E_NOMEM, "its sequences are too long");
    info->scratch_bytes = c->n > 0 ? (uint64_t)bytes : 0;
    return TN_OK;
}

static int64_t within(int64_t v, int64_t most)
{
    return v < 0 ? 0 : v > most ? most : v;
}

// Sets steps, places and letters of sequence n. False: it has a label that is none.
static bool read_labels(const ctc *c, const tn_sdk_kernel *k, const tn_run_args *a, int64_t n,
                        sequence *s)
{
    const ref_array label = ref_in(k, a, 1);
    int64_t m = c->labels;
    s->steps = c->data_lengths ? within(ref_get_int(ref_in(k, a, 2), n), c->t) : c->t;
    if (c->label_lengths) m = within(ref_get_int(ref_in(k, a, a->n_in - 1), n), m);
    s->letter[0] = c->blank;
    s->places = 1;
    for (int64_t j = 0; j < m; j++) {
        const int64_t v = ref_get_int(label, n * c->labels + j);
        if (v < c->first && !c->label_lengths) break;
        if (v < c->first || v >= c->classes || v == c->blank) return false;
        s->letter[s->places++] = v;
        s->letter[s->places++] = c->blank;
    }
    return true;
}

// log (exp a + exp b), also of -∞
static double log_add(double a, double b)
{
    const double high = a > b ? a : b, low = a > b ? b : a;
    return high == -INFINITY ? high : high + log1p(exp(low - high));
}

// q[t, k] of sequence n
static void log_softmax(const ctc *c, ref_array data, int64_t n, const sequence *s)
{
    for (int64_t t = 0; t < s->steps; t++) {
        double *q = s->q + t * c->classes, largest = -INFINITY, sum = 0;
        for (int64_t i = 0; i < c->classes; i++) {
            q[i] = ref_get_real(data, (t * c->n + n) * c->classes + i);
            if (q[i] > largest) largest = q[i];
        }
        for (int64_t i = 0; i < c->classes; i++) sum += exp(q[i] - largest);
        for (int64_t i = 0; i < c->classes; i++) q[i] = q[i] - largest - log(sum);
    }
}

// May a path go from place s - 2 to place s at once?
static bool may_skip(const sequence *q, int64_t s)
{
    return s % 2 == 1 && s >= 3 && q->letter[s] != q->letter[s - 2];
}

// α; the loss.
static double forward(const ctc *c, const sequence *q)
{
    for (int64_t t = 0; t < q->steps; t++) {
        double *now = q->alpha + t * q->places;
        const double *before = now - q->places;
        for (int64_t s = 0; s < q->places; s++) {
            double sum = t == 0 ? (s < 2 ? 0 : -INFINITY) : before[s];
            if (t > 0 && s >= 1) sum = log_add(sum, before[s - 1]);
            if (t > 0 && may_skip(q, s)) sum = log_add(sum, before[s - 2]);
            now[s] = sum + q->q[t * c->classes + q->letter[s]];
        }
    }
    if (q->steps == 0) return q->places == 1 ? 0 : INFINITY; // the empty path spells nothing
    const double *end = q->alpha + q->steps * q->places;
    return -(q->places == 1 ? end[-1] : log_add(end[-1], end[-2]));
}

// β of a step from that of the next one, `t`.
static void step_back(const ctc *c, const sequence *q, int64_t t)
{
    const double *p = q->q + t * c->classes;
    for (int64_t s = 0; s < q->places; s++) {
        double sum = q->next[s] + p[q->letter[s]];
        if (s + 1 < q->places) sum = log_add(sum, q->next[s + 1] + p[q->letter[s + 1]]);
        if (s + 2 < q->places && may_skip(q, s + 2))
            sum = log_add(sum, q->next[s + 2] + p[q->letter[s + 2]]);
        q->beta[s] = sum;
    }
}

// The gradient of step t of sequence n.
static void put_gradient(const ctc *c, const sequence *q, double loss, ref_array grad, int64_t at)
{
    const int64_t t = at / c->n;
    const double *alpha = q->alpha + t * q->places;
    for (int64_t i = 0; i < c->classes; i++) q->sum[i] = 0;
    for (int64_t s = 0; s < q->places; s++)
        q->sum[q->letter[s]] += exp(alpha[s] + q->beta[s] + loss);
    for (int64_t i = 0; i < c->classes; i++)
        ref_put_real(grad, at * c->classes + i, exp(q->q[t * c->classes + i]) - q->sum[i]);
}

static void backward(const ctc *c, sequence *q, double loss, ref_array grad, int64_t n)
{
    for (int64_t s = 0; s < q->places; s++) q->beta[s] = s + 2 < q->places ? -INFINITY : 0;
    for (int64_t t = q->steps; t-- > 0;) {
        if (t + 1 < q->steps) {
            double *const next = q->beta;
            q->beta = q->next;
            q->next = next;
            step_back(c, q, t + 1);
        }
        put_gradient(c, q, loss, grad, t * c->n + n);
    }
}

// Inputs data, label, lengths of either; outputs loss, gradient.
static tn_status ctc_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ctc *c = k->state;
    const ref_array data = ref_in(k, a, 0), output = ref_out(k, a, 0), grad = ref_out(k, a, 1);
    for (int64_t n = 0; n < c->n; n++) {
        sequence s = {0};
        double loss = INFINITY;
        lay_out(c, a->scratch.host, &s);
        if (read_labels(c, k, a, n, &s)) {
            log_softmax(c, data, n, &s);
            loss = forward(c, &s);
        }
        ref_put_real(output, n, loss);
        const bool taught = loss != INFINITY; // NaN is shown
        if (taught) backward(c, &s, loss, grad, n);
        for (int64_t t = taught ? s.steps : 0; t < c->t; t++)
            for (int64_t i = 0; i < c->classes; i++)
                ref_put_real(grad, (t * c->n + n) * c->classes + i, 0);
    }
    return TN_OK;
}

const tn_kernel_row ref_ctc[] = {
    {.op = "_contrib_CTCLoss",
     .dtypes = TN_FLOATS,
     .flags = REF_FLAGS,
     .state_size = sizeof(ctc),
     .setup = ctc_setup,
     .run = ctc_run},
    {0},
};
