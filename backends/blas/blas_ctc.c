// backends/blas/blas_ctc.c: the CTC loss and its gradient, a sequence an item.
//
// The labels l1 … lm of a sequence, with blanks around each, are S = 2 m + 1 places. From step to
// step a path stays, goes one place on, or two from one label to another one. All is kept as
// logarithms, since what is likely differs from what is not by more than doubles span:
//
//     ahead[t, s]   of all beginnings that are at place s at step t, t included
//     behind[t, s]  of all ends from there, t not included
//     loss = -log(exp ahead[T-1, S-1] + exp ahead[T-1, S-2])
//     dx[t, k] = p[t, k] - Σ over places s of class k of exp(ahead[t, s] + behind[t, s] + loss)
//
// Source: Graves et al., "Connectionist temporal classification", ICML 2006.
#include "blas.h"

typedef struct ctc {
    int64_t steps, batch, classes, labels; // T, N, A, L
    bool data_lengths, label_lengths;
    int64_t blank, lowest; // lowest: the first class that is a label
    uint64_t worker_bytes;
} ctc;

// One sequence, in the scratch of its worker.
typedef struct walk {
    int64_t steps, places;
    double *p;         // (steps, classes): logarithms of softmax
    double *ahead;     // (steps, places)
    double *behind[2]; // (places): of this step, of the next
    double *sum;       // (classes)
    int64_t *class_of; // (places)
} walk;

// Doubles that a walk takes; INT64_MAX: too many.
static int64_t walk_size(const ctc *c)
{
    const int64_t places = 2 * c->labels + 1;
    int64_t n;
    if (__builtin_mul_overflow(c->steps, c->classes + places, &n) ||
        __builtin_add_overflow(n, 3 * places + c->classes, &n) || n > INT64_MAX / 64)
        return INT64_MAX;
    return n;
}

static walk walk_in(const ctc *c, double *room)
{
    const int64_t places = 2 * c->labels + 1;
    walk w = {.p = room};
    w.ahead = w.p + c->steps * c->classes;
    w.behind[0] = w.ahead + c->steps * places;
    w.behind[1] = w.behind[0] + places;
    w.sum = w.behind[1] + places;
    w.class_of = (int64_t *)(void *)(w.sum + c->classes);
    return w;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    ctc *c = k->state;
    const int64_t *dims = k->call->in[0]->dims;
    const bool last = tn_call_is(k->call, "blank_label", "last");
    *c = (ctc){.steps = dims[0],
               .batch = dims[1],
               .classes = dims[2],
               .labels = k->call->in[1]->dims[1],
               .data_lengths = tn_call_bool(k->call, "use_data_lengths", false),
               .label_lengths = tn_call_bool(k->call, "use_label_lengths", false),
               .blank = last ? dims[2] - 1 : 0,
               .lowest = last ? 0 : 1};
    if (c->batch == 0) return TN_OK;
    const int64_t size = c->labels > INT64_MAX / 64 ? INT64_MAX : walk_size(c);
    const uint32_t threads = k->host->threads(k->host->host);
    if (size == INT64_MAX || (uint64_t)size > UINT64_MAX / 64 / threads)
        return tn_fail(k->host, TN_E_NOMEM, "its sequences are too long");
    c->worker_bytes = ((uint64_t)size * sizeof(double) + 63) / 64 * 64;
    info->scratch_bytes = c->worker_bytes * threads;
    return TN_OK;
}

static int64_t length(const blas_run *r, uint32_t input, int64_t n, int64_t most)
{
    const int64_t v = blas_get_int(r->k->call->in[input]->dtype, blas_in(r->a, input), n);
    return v < 0 ? 0 : v > most ? most : v;
}

// Steps and places of sequence n. False: it has a label that no class is.
static bool spell(const blas_run *r, int64_t n, walk *w)
{
    const ctc *c = r->k->state;
    const int64_t most = c->label_lengths ? length(r, r->a->n_in - 1, n, c->labels) : c->labels;
    w->steps = c->data_lengths ? length(r, 2, n, c->steps) : c->steps;
    w->places = 1;
    w->class_of[0] = c->blank;
    for (int64_t j = 0; j < most; j++) {
        const int64_t at = n * c->labels + j;
        const int64_t v = blas_get_int(r->k->call->in[1]->dtype, blas_in(r->a, 1), at);
        if (v < c->lowest && !c->label_lengths) break;
        if (v < c->lowest || v >= c->classes || v == c->blank) return false;
        w->class_of[w->places++] = v;
        w->class_of[w->places++] = c->blank;
    }
    return true;
}

// p of sequence n
static void take_logarithms(const blas_run *r, int64_t n, const walk *w)
{
    const ctc *c = r->k->state;
    for (int64_t t = 0; t < w->steps; t++) {
        double *p = w->p + t * c->classes, most = -INFINITY, sum = 0;
        blas_load_f64(r->k->call->in[0]->dtype, blas_in(r->a, 0), (t * c->batch + n) * c->classes,
                      c->classes, p);
        for (int64_t i = 0; i < c->classes; i++) most = p[i] > most ? p[i] : most;
        for (int64_t i = 0; i < c->classes; i++) sum += exp(p[i] - most);
        const double all = most + log(sum);
        for (int64_t i = 0; i < c->classes; i++) p[i] -= all;
    }
}

// log(exp a + exp b + exp c) of numbers that are not above 0 by much; -∞ is none.
static double join(double a, double b, double c)
{
    const double ab = a > b ? a : b, most = ab > c ? ab : c;
    if (most == -INFINITY) return a + b + c; // a NaN stays
    return most + log(exp(a - most) + exp(b - most) + exp(c - most));
}

// Does a step lead from place s - 2 to place s, past the blank between?
static bool passes(const walk *w, int64_t s)
{
    return s >= 3 && s % 2 && w->class_of[s] != w->class_of[s - 2];
}

// Fills ahead; the loss.
static double go(const ctc *c, const walk *w)
{
    if (w->steps == 0) return w->places == 1 ? 0 : INFINITY; // what is empty spells nothing
    for (int64_t t = 0; t < w->steps; t++) {
        const double *p = w->p + t * c->classes;
        double *now = w->ahead + t * w->places;
        for (int64_t s = 0; s < w->places; s++) {
            const double *from = now - w->places + s;
            double sum = s < 2 ? 0 : -INFINITY; // paths begin at the first two places
            if (t > 0)
                sum = join(from[0], s >= 1 ? from[-1] : -INFINITY,
                           passes(w, s) ? from[-2] : -INFINITY);
            now[s] = sum + p[w->class_of[s]];
        }
    }
    const double *end = w->ahead + w->steps * w->places;
    return -join(end[-1], w->places > 1 ? end[-2] : -INFINITY, -INFINITY);
}

// behind[0] of step t from that of step t + 1, which becomes behind[1].
static void go_back(const ctc *c, walk *w, int64_t t)
{
    double *const later = w->behind[0], *const now = w->behind[1];
    const double *p = w->p + (t + 1) * c->classes;
    w->behind[0] = now;
    w->behind[1] = later;
    for (int64_t s = 0; s < w->places; s++) later[s] += p[w->class_of[s]];
    for (int64_t s = 0; s < w->places; s++)
        now[s] = join(later[s], s + 1 < w->places ? later[s + 1] : -INFINITY,
                      s + 2 < w->places && passes(w, s + 2) ? later[s + 2] : -INFINITY);
}

static void put_gradient(const blas_run *r, int64_t n, walk *w, double loss)
{
    const ctc *c = r->k->state;
    for (int64_t s = 0; s < w->places; s++)
        w->behind[0][s] = s + 2 < w->places ? -INFINITY : 0; // paths end at the last two
    for (int64_t t = w->steps; t-- > 0;) {
        double *p = w->p + t * c->classes;
        const double *ahead = w->ahead + t * w->places;
        if (t + 1 < w->steps) go_back(c, w, t);
        for (int64_t i = 0; i < c->classes; i++) w->sum[i] = exp(p[i]);
        for (int64_t s = 0; s < w->places; s++)
            w->sum[w->class_of[s]] -= exp(ahead[s] + w->behind[0][s] + loss);
        blas_store_f64(r->k->call->out[1]->dtype, blas_out(r->a, 1),
                       (t * c->batch + n) * c->classes, c->classes, w->sum);
    }
}

// Sequences begin … end-1. One that no path spells has an infinite loss and no gradient.
static void sequences(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_run *r = ctx;
    const ctc *c = r->k->state;
    for (int64_t n = begin; n < end; n++) {
        walk w = walk_in(c, (void *)((char *)r->a->scratch.host + worker * c->worker_bytes));
        double loss = INFINITY;
        if (spell(r, n, &w)) {
            take_logarithms(r, n, &w);
            loss = go(c, &w);
        }
        blas_store_f64(r->k->call->out[0]->dtype, blas_out(r->a, 0), n, 1, &loss);
        const bool taught = loss != INFINITY; // a NaN is shown
        if (taught) put_gradient(r, n, &w, loss);
        for (int64_t i = 0; i < c->classes; i++) w.sum[i] = 0;
        for (int64_t t = taught ? w.steps : 0; t < c->steps; t++)
            blas_store_f64(r->k->call->out[1]->dtype, blas_out(r->a, 1),
                           (t * c->batch + n) * c->classes, c->classes, w.sum);
    }
}

// Inputs data, label, lengths of either; outputs loss, gradient
static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ctc *c = k->state;
    blas_run r = {k, a};
    if (c->batch)
        blas_items(k, a, c->batch, c->steps * (c->classes + 6 * c->labels), BLAS_COSTLY, sequences,
                   &r);
    return TN_OK;
}

const tn_kernel_row blas_ctcs[] = {
    {.op = "_contrib_CTCLoss",
     .dtypes = TN_FLOATS,
     .flags = BLAS_FLAGS,
     .state_size = sizeof(ctc),
     .setup = setup,
     .run = run},
    {0},
};
