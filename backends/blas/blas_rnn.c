// backends/blas/blas_rnn.c: RNN: all steps, layers and directions.
#include <limits.h>
#include <tenon/philox.h>

#include "blas_panel.h"
#include "blas_rnn.h"

// ------------------------------------------------------------------ memory

// One more array of a · b · c elements; where it begins. Saturates.
static int64_t take(const blas_rnn *r, int64_t *total, int64_t a, int64_t b, int64_t c)
{
    const int64_t at = *total, n = tn_extent_times(tn_extent_times(a, b), c);
    int64_t bytes = tn_extent_times(n, (int64_t)r->size);
    if (bytes > INT64_MAX - 64) bytes = INT64_MAX - 64;
    bytes = (bytes + 63) / 64 * 64;
    if (__builtin_add_overflow(at, bytes, total)) *total = INT64_MAX;
    return at;
}

int64_t blas_rnn_lay_kept(const blas_rnn *r, char *base, blas_rnn_kept *kept)
{
    const int64_t tn = tn_extent_times(r->is.t, r->is.n);
    const int64_t lanes = r->is.backward || r->stashed ? r->is.layers * r->is.d : 1;
    const bool has_cell = r->is.cell == TN_CELL_LSTM || r->is.cell == TN_CELL_GRU;
    int64_t bytes = 0;
    const int64_t y = take(r, &bytes, r->is.layers, tn, r->is.d * r->is.h);
    const int64_t gate = take(r, &bytes, lanes, tn, r->is.g * r->is.h);
    const int64_t cell = take(r, &bytes, has_cell ? lanes : 0, tn, r->is.h);
    if (base) *kept = (blas_rnn_kept){base + y, base + gate, base + cell};
    return bytes;
}

int64_t blas_rnn_lay_work(const blas_rnn *r, char *base, blas_rnn_work *w)
{
    const int64_t tn = tn_extent_times(r->is.t, r->is.n), width = r->is.d * r->is.h;
    const int64_t back = r->is.backward, below = r->is.backward && r->is.layers > 1;
    int64_t bytes = r->stashed ? 0 : blas_rnn_lay_kept(r, NULL, NULL);
    if (bytes == INT64_MAX) return bytes;
    const struct {
        char **array;
        int64_t at;
    } all[] = {
        {&w->x, take(r, &bytes, r->is.masked, tn, width)},
        {&w->bias, take(r, &bytes, 1, r->is.g, r->is.h)},
        {&w->panels, take(r, &bytes, r->packed, 1, blas_rnn_panel_elements(r))},
        {&w->da, take(r, &bytes, back, tn, r->is.g * r->is.h)},
        {&w->db, take(r, &bytes, back && r->is.cell == TN_CELL_GRU, tn, r->is.h)},
        {&w->dx[0], take(r, &bytes, below, tn, width)},
        {&w->dx[1], take(r, &bytes, below, tn, width)},
        {&w->dh, take(r, &bytes, back, r->is.n, r->is.h)},
        {&w->dc, take(r, &bytes, back, r->is.n, r->is.h)},
    };
    const int64_t column = take(r, &bytes, 2 * back, r->is.g, r->is.h);
    if (!base) return bytes;
    if (!r->stashed) blas_rnn_lay_kept(r, base, &w->kept);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) *all[i].array = base + all[i].at;
    w->column = (double *)(void *)(base + column);
    return bytes;
}

// A forward call of an executor that can run backward.
static bool leaves_stash(const tn_call *forward)
{
    return forward && (forward->flags & TN_CALL_TRAINING);
}

static void set_sizes(const tn_call *c, blas_rnn *r)
{
    r->is = tn_rnn_of(c);
    r->dtype = c->in[0]->dtype;
    r->size = tn_dtype_size(r->dtype);
    r->stashed = leaves_stash(r->is.backward ? c->forward : c);
    // Panels have to pay for being made.
    r->packed = blas_panel_fast() && r->is.t > 1 && tn_extent_times(r->is.t, r->is.n) >= 16;
    r->units = r->packed ? blas_panel_width(r->dtype) : 64;
}

const char *blas_rnn_cannot(const tn_call *c)
{
    blas_rnn r = {0};
    set_sizes(c, &r);
    if (tn_extent_times(r.is.t, r.is.n) > INT_MAX || r.is.g * r.is.h > INT_MAX ||
        r.is.d * r.is.h > INT_MAX || r.is.in > INT_MAX)
        return "a size is over INT_MAX, the index type of BLAS";
    return NULL;
}

tn_status blas_rnn_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blas_rnn *r = k->state;
    blas_rnn_work w;
    blas_rnn_kept kept;
    set_sizes(k->call, r);
    const int64_t scratch = blas_rnn_lay_work(r, NULL, &w);
    const int64_t stash = r->stashed && !r->is.backward ? blas_rnn_lay_kept(r, NULL, &kept) : 0;
    if (scratch == INT64_MAX || stash == INT64_MAX)
        return tn_fail(k->host, TN_E_NOMEM, "its intermediate values are too large");
    info->scratch_bytes = (uint64_t)scratch;
    info->stash_bytes = (uint64_t)stash;
    info->impl = blas_gemm_impl(r->dtype);
    return TN_OK;
}

// ------------------------------------------------------------------ where things are

blas_rnn_lane blas_rnn_lane_of(const blas_rnn *r, const blas_rnn_kept *kept, int64_t l, int64_t d)
{
    const int64_t rows = r->is.g * r->is.h, width = r->is.d * r->is.h, tn = r->is.t * r->is.n;
    const int64_t lane = r->is.backward || r->stashed ? l * r->is.d + d : 0;
    return (blas_rnn_lane){.at = tn_rnn_lane_of(&r->is, l, d),
                           .y = blas_rnn_at(r, kept->y, l * tn * width),
                           .gate = blas_rnn_at(r, kept->gate, lane * tn * rows),
                           .cell = blas_rnn_at(r, kept->cell, lane * tn * r->is.h)};
}

blas_rnn_rows blas_rnn_state_before(const blas_rnn_run *run, const blas_rnn_lane *a, int64_t i)
{
    const blas_rnn *r = run->r;
    const int64_t width = r->is.d * r->is.h;
    if (i == 0) return (blas_rnn_rows){blas_rnn_at(r, run->state, a->at.state), r->is.h};
    const int64_t at = tn_rnn_step(&r->is, a->at.d, i - 1) * r->is.n * width + a->at.d * r->is.h;
    return (blas_rnn_rows){blas_rnn_at(r, a->y, at), width};
}

blas_rnn_rows blas_rnn_cell_before(const blas_rnn_run *run, const blas_rnn_lane *a, int64_t i)
{
    const blas_rnn *r = run->r;
    const char *p = NULL;
    if (r->is.cell == TN_CELL_LSTM)
        p = i == 0
                ? blas_rnn_at(r, run->cell, a->at.state)
                : blas_rnn_at(r, a->cell, tn_rnn_step(&r->is, a->at.d, i - 1) * r->is.n * r->is.h);
    return (blas_rnn_rows){p, r->is.h};
}

void blas_rnn_mask(const blas_rnn_run *run, int64_t l, const char *x, char *out)
{
    const blas_rnn *r = run->r;
    const int64_t size = r->is.t * r->is.n * r->is.d * r->is.h;
    (r->dtype == TN_F64 ? blas_rnn_times_f64 : blas_rnn_times_f32)(
        x, blas_rnn_at(r, run->mask, (l - 1) * size), out, size);
}

const char *blas_rnn_input(const blas_rnn_run *run, const char *data, int64_t l)
{
    if (l == 0) return data;
    const char *below = blas_rnn_lane_of(run->r, &run->kept, l - 1, 0).y;
    if (!run->r->is.masked) return below;
    blas_rnn_mask(run, l, below, run->work.x);
    return run->work.x;
}

// ------------------------------------------------------------------ forward

// One step of a lane, of which blocks of units are items.
typedef struct step {
    const blas_rnn_run *run;
    const blas_rnn_lane *a;
    int64_t i, t; // the i-th step, which is step t of the sequence
} step;

static void step_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const step *s = ctx;
    const blas_rnn *r = s->run->r;
    const blas_rnn_lane *a = s->a;
    const blas_rnn_rows h = blas_rnn_state_before(s->run, a, s->i);
    const blas_rnn_rows c = blas_rnn_cell_before(s->run, a, s->i);
    const int64_t rows = r->is.g * r->is.h, width = r->is.d * r->is.h;
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        const blas_rnn_block block = blas_rnn_block_of(s->run, a, item);
        const int64_t first = block.first;
        blas_rnn_recur(&block, s->i);
        for (int64_t j = 0; j < r->is.n; j++) {
            const int64_t at = s->t * r->is.n + j;
            const blas_rnn_cells cells = {
                .mode = r->is.cell,
                .h = r->is.h,
                .n = block.n,
                .gate = blas_rnn_at(r, a->gate, at * rows + first),
                .h_before = blas_rnn_at(r, h.p, j * h.row + first),
                .c_before = c.p ? blas_rnn_at(r, c.p, j * c.row + first) : NULL,
                .cell = blas_rnn_at(r, a->cell, at * r->is.h + first),
                .out = blas_rnn_at(r, a->y, at * width + a->at.d * r->is.h + first)};
            (r->dtype == TN_F64 ? blas_rnn_activate_f64 : blas_rnn_activate_f32)(&cells);
        }
    }
}

// a of all steps, with both biases where they may be added at once.
static void inputs_forward(const blas_rnn_run *run, const blas_rnn_lane *a, const char *x)
{
    const blas_rnn *r = run->r;
    const int64_t rows = r->is.g * r->is.h, both = r->is.cell == TN_CELL_GRU ? 2 * r->is.h : rows;
    const char *w = blas_rnn_at(r, run->parameters, a->at.i2h_bias);
    const char *u = blas_rnn_at(r, run->parameters, a->at.h2h_bias);
    memcpy(run->work.bias, w, (size_t)rows * r->size);
    (r->dtype == TN_F64 ? blas_rnn_plus_f64 : blas_rnn_plus_f32)(w, u, run->work.bias, both);
    const blas_gemm g = {.dtype = r->dtype,
                         .size = {r->is.t * r->is.n, rows, a->at.in},
                         .c = {a->gate, rows, false},
                         .a = {(void *)(uintptr_t)x, a->at.in, false},
                         .b = {blas_rnn_at(r, run->parameters, a->at.i2h), a->at.in, true},
                         .bias = run->work.bias,
                         .batch = 1};
    blas_multiply(run->k, run->a, &g);
}

// Where a layer's states, or cells, go when the sequence is over.
static void put_ends(const blas_rnn_run *run, const blas_rnn_lane *a, uint32_t out, bool cells)
{
    const blas_rnn *r = run->r;
    const blas_rnn_rows rows =
        cells ? blas_rnn_cell_before(run, a, r->is.t) : blas_rnn_state_before(run, a, r->is.t);
    char *to = blas_rnn_at(r, blas_out(run->a, out), a->at.state);
    for (int64_t n = 0; n < r->is.n; n++)
        blas_copy(blas_rnn_at(r, to, n * r->is.h), blas_rnn_at(r, rows.p, n * rows.row),
                  (size_t)r->is.h * r->size);
}

void blas_rnn_forward(const blas_rnn_run *run, const char *data)
{
    const blas_rnn *r = run->r;
    for (int64_t l = 0; l < r->is.layers; l++) {
        const char *x = blas_rnn_input(run, data, l);
        for (int64_t d = 0; d < r->is.d; d++) {
            const blas_rnn_lane a = blas_rnn_lane_of(r, &run->kept, l, d);
            inputs_forward(run, &a, x);
            blas_rnn_pack(run, &a, false);
            for (int64_t i = 0; i < r->is.t; i++) {
                step s = {run, &a, i, tn_rnn_step(&r->is, d, i)};
                blas_rnn_blocks(run, step_range, &s);
            }
            if (r->is.backward) continue;
            put_ends(run, &a, 1, false);
            if (r->is.cell == TN_CELL_LSTM) put_ends(run, &a, 2, true);
        }
    }
}

// ------------------------------------------------------------------ dropout

// 0 where the draw is below p, else 1 / (1 - p); 1 everywhere outside of training.
static void draw_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const blas_rnn_run *run = ctx;
    const blas_rnn *r = run->r;
    const tn_run_args *a = run->a;
    const bool drops = a->flags & TN_RUN_TRAIN;
    void *mask = blas_out(a, a->n_out - 1);
    const double kept = drops ? blas_as_real(blas_stored(run->k->call), 1 / (1 - r->is.p)) : 1;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const uint64_t e = (uint64_t)i;
        const double draw = r->dtype == TN_F64
                                ? tn_philox_uniform_f64(a->rng_key, a->rng_counter, e)
                                : (double)tn_philox_uniform_f32(a->rng_key, a->rng_counter, e);
        const double v = drops && draw < r->is.p ? 0 : kept;
        if (r->dtype == TN_F64)
            ((double *)mask)[i] = v;
        else
            ((float *)mask)[i] = (float)v;
    }
}

// Inputs data, parameters, state, state_cell of an LSTM; outputs output, state, state_cell of an
// LSTM, mask.
static tn_status rnn_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const blas_rnn *r = k->state;
    blas_rnn_run run = {.r = r,
                        .k = k,
                        .a = a,
                        .parameters = blas_in(a, 1),
                        .state = blas_in(a, 2),
                        .cell = r->is.cell == TN_CELL_LSTM ? blas_in(a, 3) : NULL,
                        .mask = blas_out(a, a->n_out - 1)};
    blas_rnn_lay_work(r, a->scratch.host, &run.work);
    run.kept = run.work.kept;
    if (r->stashed) blas_rnn_lay_kept(r, a->stash.host, &run.kept);
    if (r->is.masked)
        blas_elements(k, a, k->call->out[a->n_out - 1]->size, BLAS_COSTLY, draw_range, &run);
    blas_rnn_forward(&run, blas_in(a, 0));
    blas_copy(blas_out(a, 0), blas_rnn_lane_of(r, &run.kept, r->is.layers - 1, 0).y,
              (size_t)k->call->out[0]->size * r->size);
    return TN_OK;
}

const tn_kernel_row blas_rnns[] = {
    {.op = "RNN",
     .dtypes = BLAS_REALS,
     .flags = BLAS_FLAGS,
     .state_size = sizeof(blas_rnn),
     .cannot = blas_rnn_cannot,
     .setup = blas_rnn_setup,
     .run = rnn_run},
    {0},
};
