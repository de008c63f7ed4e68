// backends/reference/reference_rnn.c: RNN and its gradient: all steps, layers and directions.
//
// One step of one direction makes of its input x, the state h and, in an LSTM, the cell c
//
//     a = W x + w,  b = U h + u     g blocks of H numbers each
//     rnn    h ← act(a + b), act: relu or tanh
//     lstm   i f n o = blocks of a + b;  c ← σ(f) c + σ(i) tanh(n);  h ← σ(o) tanh(c)
//     gru    r = σ(a₀ + b₀);  z = σ(a₁ + b₁);  n = tanh(a₂ + r b₂);  h ← (1 - z) n + z h
//
// Everything is float64 inside and rounded once, at the end. The gradient runs forward again, then
// back through time: nothing of the forward run is needed but the masks of dropout. A forward run
// keeps what belongs to one layer only, the gradient keeps all layers.
#include <tenon/philox.h>

#include "reference.h"

typedef tn_rnn_call rnn;

// Arrays of doubles in the scratch memory. Those by layer have one place only in a forward run.
typedef struct work {
    double *parameters;    // (length)
    double *x, *y;         // by layer: (t, n, width) of inputs, (t, n, d h) of results
    double *gate;          // by layer and direction: (t, n, g h), after their activations
    double *cell;          // lstm: (t, n, h), c after each step; gru: b₂
    double *state, *cell0; // (layers d, n, h): at the beginning
    double *b;             // (g h)
    // of the gradient
    double *dparameters, *dx, *dy, *da; // (length), (t, n, width), (t, n, d h), (g h)
    double *dh, *dc;                    // (h)
} work;

// ------------------------------------------------------------------ memory

// One more array of a·b·c doubles; the place where it begins. Saturates.
static int64_t take(int64_t *total, int64_t a, int64_t b, int64_t c)
{
    const int64_t at = *total;
    if (__builtin_add_overflow(at, tn_extent_times(tn_extent_times(a, b), c), total))
        *total = INT64_MAX;
    return at;
}

static int64_t widest(const rnn *r)
{
    return r->in > r->d * r->h ? r->in : r->d * r->h;
}

// Lays the arrays out from base on; the number of doubles, INT64_MAX if it is too large. With base
// NULL only that.
static int64_t lay_out(const rnn *r, double *base, work *w)
{
    const int64_t tn = tn_extent_times(r->t, r->n), kept = r->backward ? r->layers : 1;
    const int64_t states = tn_extent_times(r->layers * r->d, r->n);
    const bool has_cell = r->cell == TN_CELL_LSTM || r->cell == TN_CELL_GRU;
    int64_t n = 0;
    const struct {
        double **array;
        int64_t at;
    } all[] = {
        {&w->parameters, take(&n, r->length, 1, 1)},
        {&w->x, take(&n, kept, tn, widest(r))},
        {&w->y, take(&n, kept, tn, r->d * r->h)},
        {&w->gate, take(&n, kept * r->d, tn, r->g * r->h)},
        {&w->cell, take(&n, has_cell ? kept * r->d : 0, tn, r->h)},
        {&w->state, take(&n, states, r->h, 1)},
        {&w->cell0, take(&n, r->cell == TN_CELL_LSTM ? states : 0, r->h, 1)},
        {&w->b, take(&n, r->g, r->h, 1)},
        {&w->dparameters, take(&n, r->backward ? r->length : 0, 1, 1)},
        {&w->dx, take(&n, r->backward, tn, widest(r))},
        {&w->dy, take(&n, r->backward, tn, r->d * r->h)},
        {&w->da, take(&n, r->backward, r->g, r->h)},
        {&w->dh, take(&n, r->backward, r->h, 1)},
        {&w->dc, take(&n, r->backward, r->h, 1)},
    };
    for (size_t i = 0; base && i < sizeof all / sizeof *all; i++) *all[i].array = base + all[i].at;
    return n;
}

static tn_status rnn_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    rnn *r = k->state;
    work w;
    *r = tn_rnn_of(k->call);
    const int64_t doubles = lay_out(r, NULL, &w);
    if (doubles > INT64_MAX / (int64_t)sizeof(double))
        return tn_fail(k->host, TN_E_NOMEM, "its intermediate values are too large");
    info->scratch_bytes = (uint64_t)doubles * sizeof(double);
    return TN_OK;
}

// ------------------------------------------------------------------ where things are

// Direction d of layer l, and its arrays.
typedef struct lane {
    tn_rnn_lane at;
    double *x, *y, *gate, *cell;
} lane;

static lane lane_of(const rnn *r, const work *w, int64_t l, int64_t d)
{
    const int64_t rows = r->g * r->h, width = r->d * r->h, tn = r->t * r->n;
    const int64_t kept = r->backward ? l : 0;
    return (lane){.at = tn_rnn_lane_of(r, l, d),
                  .x = w->x + kept * tn * widest(r),
                  .y = w->y + kept * tn * width,
                  .gate = w->gate + (kept * r->d + d) * tn * rows,
                  .cell = w->cell + (kept * r->d + d) * tn * r->h};
}

// State of sequence n before the i-th step.
static const double *state_before(const rnn *r, const work *w, const lane *a, int64_t i, int64_t n)
{
    if (i == 0) return w->state + a->at.state + n * r->h;
    return a->y + (tn_rnn_step(r, a->at.d, i - 1) * r->n + n) * r->d * r->h + a->at.d * r->h;
}

static const double *cell_before(const rnn *r, const work *w, const lane *a, int64_t i, int64_t n)
{
    if (i == 0) return w->cell0 + a->at.state + n * r->h;
    return a->cell + (tn_rnn_step(r, a->at.d, i - 1) * r->n + n) * r->h;
}

// ------------------------------------------------------------------ forward

static double sigmoid(double v)
{
    return 1 / (1 + exp(-v));
}

// out = weight · x + bias, weight (rows, columns)
static void affine(double *out, const double *weight, const double *bias, const double *x,
                   int64_t rows, int64_t columns)
{
    for (int64_t i = 0; i < rows; i++) {
        double sum = 0;
        for (int64_t j = 0; j < columns; j++) sum += weight[i * columns + j] * x[j];
        out[i] = sum + bias[i];
    }
}

// Gates, cell and state h of one step from a, which stands in `gate`, and b.
static void activate(const rnn *r, double *gate, const double *b, const double *h_before,
                     const double *c_before, double *cell, double *h)
{
    const int64_t n = r->h;
    for (int64_t j = 0; j < n; j++) {
        double *g = gate + j;
        switch (r->cell) {
        case TN_CELL_LSTM:
            for (int64_t i = 0; i < 4; i++) g[i * n] += b[i * n + j];
            for (int64_t i = 0; i < 4; i++) g[i * n] = i == 2 ? tanh(g[i * n]) : sigmoid(g[i * n]);
            cell[j] = g[n] * c_before[j] + g[0] * g[2 * n];
            h[j] = g[3 * n] * tanh(cell[j]);
            break;
        case TN_CELL_GRU:
            cell[j] = b[2 * n + j];
            g[0] = sigmoid(g[0] + b[j]);
            g[n] = sigmoid(g[n] + b[n + j]);
            g[2 * n] = tanh(g[2 * n] + g[0] * cell[j]);
            h[j] = (1 - g[n]) * g[2 * n] + g[n] * h_before[j];
            break;
        default:
            g[0] += b[j];
            g[0] = r->cell == TN_CELL_TANH ? tanh(g[0]) : g[0] > 0 ? g[0] : 0;
            h[j] = g[0];
        }
    }
}

static void lane_forward(const rnn *r, const work *w, const lane *a)
{
    const double *p = w->parameters;
    const int64_t rows = r->g * r->h;
    for (int64_t i = 0; i < r->t; i++) {
        for (int64_t n = 0; n < r->n; n++) {
            const int64_t at = tn_rnn_step(r, a->at.d, i) * r->n + n;
            const double *h_before = state_before(r, w, a, i, n);
            const double *c_before = r->cell == TN_CELL_LSTM ? cell_before(r, w, a, i, n) : NULL;
            double *gate = a->gate + at * rows;
            affine(gate, p + a->at.i2h, p + a->at.i2h_bias, a->x + at * a->at.in, rows, a->at.in);
            affine(w->b, p + a->at.h2h, p + a->at.h2h_bias, h_before, rows, r->h);
            activate(r, gate, w->b, h_before, c_before, a->cell + at * r->h,
                     a->y + at * r->d * r->h + a->at.d * r->h);
        }
    }
}

// Where a layer's states, or cells, go when the sequence is over; NULL p: nowhere.
static void put_ends(const rnn *r, const work *w, const lane *a, ref_array out, bool cells)
{
    for (int64_t n = 0; out.p && n < r->n; n++) {
        const double *end = cells ? cell_before(r, w, a, r->t, n) : state_before(r, w, a, r->t, n);
        const int64_t at = a->at.state + n * r->h;
        for (int64_t j = 0; j < r->h; j++) ref_put_real(out, at + j, end[j]);
    }
}

static void load(double *to, ref_array from)
{
    for (int64_t i = 0; i < from.n; i++) to[i] = ref_get_real(from, i);
}

// All layers. state and cell: the outputs that take the last states and cells, or none.
static void forward(const rnn *r, const work *w, ref_array mask, ref_array state, ref_array cell)
{
    const int64_t size = r->t * r->n * r->d * r->h;
    for (int64_t l = 0; l < r->layers; l++) {
        lane a = {0};
        for (int64_t d = 0; d < r->d; d++) {
            a = lane_of(r, w, l, d);
            lane_forward(r, w, &a);
            put_ends(r, w, &a, state, false);
            put_ends(r, w, &a, cell, true);
        }
        if (l + 1 == r->layers) continue;
        double *next = lane_of(r, w, l + 1, 0).x;
        for (int64_t i = 0; i < size; i++)
            next[i] = a.y[i] * (r->masked ? ref_get_real(mask, l * size + i) : 1);
    }
}

// 0 where the draw is below p, else 1 / (1 - p); 1 everywhere outside of training.
static void draw_mask(const rnn *r, const tn_run_args *a, ref_array mask)
{
    const bool drops = a->flags & TN_RUN_TRAIN;
    const double kept = drops ? ref_as_real(mask.dtype, 1 / (1 - r->p)) : 1;
    for (int64_t i = 0; i < mask.n; i++) {
        const uint64_t e = (uint64_t)i;
        const double draw = mask.dtype == TN_F64
                                ? tn_philox_uniform_f64(a->rng_key, a->rng_counter, e)
                                : (double)tn_philox_uniform_f32(a->rng_key, a->rng_counter, e);
        ref_put_real(mask, i, drops && draw < r->p ? 0 : kept);
    }
}

// Inputs data, parameters, state, state_cell of an LSTM; outputs output, state, state_cell of an
// LSTM, mask.
static tn_status rnn_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const rnn *r = k->state;
    const ref_array y = ref_out(k, a, 0), none = {NULL, TN_F64, 0};
    const ref_array mask = ref_out(k, a, a->n_out - 1);
    work w;
    lay_out(r, a->scratch.host, &w);
    load(w.parameters, ref_in(k, a, 1));
    load(w.x, ref_in(k, a, 0));
    load(w.state, ref_in(k, a, 2));
    if (r->cell == TN_CELL_LSTM) load(w.cell0, ref_in(k, a, 3));
    if (r->masked) draw_mask(r, a, mask);
    forward(r, &w, mask, ref_out(k, a, 1), r->cell == TN_CELL_LSTM ? ref_out(k, a, 2) : none);
    for (int64_t i = 0; i < y.n; i++) ref_put_real(y, i, w.y[i]);
    return TN_OK;
}

// ------------------------------------------------------------------ backward

// From dh and dc after a step to da and db before the activations, where db goes to w->b, and to
// what of dh and dc does not pass through U.
static void deactivate(const rnn *r, const work *w, const double *gate, const double *cell,
                       const double *h_before, const double *c_before)
{
    const int64_t n = r->h;
    for (int64_t j = 0; j < n; j++) {
        const double *g = gate + j, dh = w->dh[j];
        double *da = w->da + j, *db = w->b + j;
        w->dh[j] = 0;
        if (r->cell == TN_CELL_LSTM) {
            const double e = tanh(cell[j]), dc = w->dc[j] + dh * g[3 * n] * (1 - e * e);
            da[0] = dc * g[2 * n] * g[0] * (1 - g[0]);
            da[n] = dc * c_before[j] * g[n] * (1 - g[n]);
            da[2 * n] = dc * g[0] * (1 - g[2 * n] * g[2 * n]);
            da[3 * n] = dh * e * g[3 * n] * (1 - g[3 * n]);
            w->dc[j] = dc * g[n];
        } else if (r->cell == TN_CELL_GRU) {
            da[2 * n] = dh * (1 - g[n]) * (1 - g[2 * n] * g[2 * n]);
            da[0] = da[2 * n] * cell[j] * g[0] * (1 - g[0]);
            da[n] = dh * (h_before[j] - g[2 * n]) * g[n] * (1 - g[n]);
            w->dh[j] = dh * g[n];
        } else {
            da[0] = r->cell == TN_CELL_TANH ? dh * (1 - g[0] * g[0]) : g[0] > 0 ? dh : 0;
        }
        for (int64_t i = 0; i < r->g; i++)
            db[i * n] = da[i * n] * (r->cell == TN_CELL_GRU && i == 2 ? g[0] : 1);
    }
}

// For y = weight · x + bias: dweight += dy ⊗ x, dbias += dy, dx += weightᵀ · dy
static void affine_back(const double *weight, double *dweight, double *dbias, const double *dy,
                        const double *x, double *dx, int64_t rows, int64_t columns)
{
    for (int64_t i = 0; i < rows; i++) {
        dbias[i] += dy[i];
        for (int64_t j = 0; j < columns; j++) {
            dweight[i * columns + j] += dy[i] * x[j];
            dx[j] += weight[i * columns + j] * dy[i];
        }
    }
}

// Sequence n, backwards. dh and dc come in as gradients of the last state and cell, and go out as
// those of the first ones.
static void lane_backward(const rnn *r, const work *w, const lane *a, int64_t n)
{
    const double *p = w->parameters;
    double *dp = w->dparameters;
    const int64_t rows = r->g * r->h;
    for (int64_t i = r->t; i-- > 0;) {
        const int64_t at = tn_rnn_step(r, a->at.d, i) * r->n + n;
        const double *h_before = state_before(r, w, a, i, n);
        const double *c_before = r->cell == TN_CELL_LSTM ? cell_before(r, w, a, i, n) : NULL;
        const double *dy = w->dy + at * r->d * r->h + a->at.d * r->h;
        for (int64_t j = 0; j < r->h; j++) w->dh[j] += dy[j];
        deactivate(r, w, a->gate + at * rows, a->cell + at * r->h, h_before, c_before);
        affine_back(p + a->at.i2h, dp + a->at.i2h, dp + a->at.i2h_bias, w->da, a->x + at * a->at.in,
                    w->dx + at * a->at.in, rows, a->at.in);
        affine_back(p + a->at.h2h, dp + a->at.h2h, dp + a->at.h2h_bias, w->b, h_before, w->dh, rows,
                    r->h);
    }
}

static void layer_backward(const tn_sdk_kernel *k, const tn_run_args *args, const work *w,
                           int64_t l)
{
    const rnn *r = k->state;
    const bool lstm = r->cell == TN_CELL_LSTM;
    for (int64_t d = 0; d < r->d; d++) {
        const lane a = lane_of(r, w, l, d);
        for (int64_t n = 0; n < r->n; n++) {
            const int64_t at = a.at.state + n * r->h;
            for (int64_t j = 0; j < r->h; j++) {
                w->dh[j] = ref_get_real(ref_in(k, args, 4), at + j);
                if (lstm) w->dc[j] = ref_get_real(ref_in(k, args, 6), at + j);
            }
            lane_backward(r, w, &a, n);
            for (int64_t j = 0; j < r->h; j++) {
                ref_put_real(ref_out(k, args, 2), at + j, w->dh[j]);
                if (lstm) ref_put_real(ref_out(k, args, 3), at + j, w->dc[j]);
            }
        }
    }
}

// Inputs data, parameters, state, dy, dstate, state_cell and dstate_cell of an LSTM, mask if there
// is one; outputs the gradients of data, parameters, state, state_cell of an LSTM.
static tn_status rnn_backward_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const rnn *r = k->state;
    const ref_array mask = ref_in(k, a, a->n_in - 1), none = {NULL, TN_F64, 0};
    const ref_array dx = ref_out(k, a, 0), dparameters = ref_out(k, a, 1);
    const int64_t size = r->t * r->n * r->d * r->h;
    work w;
    lay_out(r, a->scratch.host, &w);
    load(w.parameters, ref_in(k, a, 1));
    load(w.x, ref_in(k, a, 0));
    load(w.state, ref_in(k, a, 2));
    load(w.dy, ref_in(k, a, 3));
    if (r->cell == TN_CELL_LSTM) load(w.cell0, ref_in(k, a, 5));
    forward(r, &w, mask, none, none);
    for (int64_t i = 0; i < r->length; i++) w.dparameters[i] = 0;
    for (int64_t l = r->layers; l-- > 0;) {
        for (int64_t i = 0; i < r->t * r->n * (l ? r->d * r->h : r->in); i++) w.dx[i] = 0;
        layer_backward(k, a, &w, l);
        for (int64_t i = 0; l && i < size; i++)
            w.dy[i] = w.dx[i] * (r->masked ? ref_get_real(mask, (l - 1) * size + i) : 1);
    }
    for (int64_t i = 0; i < dx.n; i++) ref_put_real(dx, i, w.dx[i]);
    for (int64_t i = 0; i < dparameters.n; i++) ref_put_real(dparameters, i, w.dparameters[i]);
    return TN_OK;
}

#define ROW(op_, setup_, run_)                                                         \
    {                                                                                  \
        .op = op_, .dtypes = TN_FLOATS, .flags = REF_FLAGS, .state_size = sizeof(rnn), \
        .setup = setup_, .run = run_                                                   \
    }

const tn_kernel_row ref_rnn[] = {
    ROW("RNN", rnn_setup, rnn_run),
    ROW("_backward_RNN", rnn_setup, rnn_backward_run),
    {0},
};
