// backends/blas/blas_rnn_back.c: the gradient of RNN: back through time, step by step; what the
// weights, the biases and the data get is then one product for all steps each.
#include "blas_rnn.h"

// The matrix of some array, `row` elements a row.
static blas_matrix matrix(const void *p, int64_t row, bool transposed)
{
    return (blas_matrix){(void *)(uintptr_t)p, row, transposed};
}

// c(m, n) = or += a · b with all threads.
static void product(const blas_rnn_run *run, blas_product size, blas_matrix c, blas_matrix a,
                    blas_matrix b, bool add)
{
    const blas_gemm g = {
        .dtype = run->r->dtype, .size = size, .c = c, .a = a, .b = b, .add = add, .batch = 1};
    blas_multiply(run->k, run->a, &g);
}

// ------------------------------------------------------------------ one step

typedef struct step {
    const blas_rnn_run *run;
    const blas_rnn_lane *a;
    const char *dy; // of the layer
    int64_t i;      // the i-th step, -1: what is before the first
} step;

// Units of the i-th step: from dh and dc after it to da.
static void deactivate(const step *s, const blas_rnn_block *b)
{
    const blas_rnn_run *run = s->run;
    const blas_rnn *r = run->r;
    const blas_rnn_rows h = blas_rnn_state_before(run, s->a, s->i);
    const blas_rnn_rows c = blas_rnn_cell_before(run, s->a, s->i);
    const int64_t rows = r->is.g * r->is.h, width = r->is.d * r->is.h, first = b->first;
    for (int64_t j = 0; j < r->is.n; j++) {
        const int64_t at = tn_rnn_step(&r->is, s->a->at.d, s->i) * r->is.n + j;
        const blas_rnn_back back = {
            .s = {.mode = r->is.cell,
                  .h = r->is.h,
                  .n = b->n,
                  .gate = blas_rnn_at(r, s->a->gate, at * rows + first),
                  .h_before = blas_rnn_at(r, h.p, j * h.row + first),
                  .c_before = c.p ? blas_rnn_at(r, c.p, j * c.row + first) : NULL,
                  .cell = blas_rnn_at(r, s->a->cell, at * r->is.h + first)},
            .dy = blas_rnn_at(r, s->dy, at * width + s->a->at.d * r->is.h + first),
            .dh = blas_rnn_at(r, run->work.dh, j * r->is.h + first),
            .dc = blas_rnn_at(r, run->work.dc, j * r->is.h + first),
            .da = blas_rnn_at(r, run->work.da, at * rows + first),
            .db = blas_rnn_at(r, run->work.db, at * r->is.h + first)};
        (r->dtype == TN_F64 ? blas_rnn_deactivate_f64 : blas_rnn_deactivate_f32)(&back);
    }
}

// Items are blocks of units: what dh gets through U from the step after, then the step itself.
static void step_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const step *s = ctx;
    const blas_rnn *r = s->run->r;
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        const blas_rnn_block b = blas_rnn_block_of(s->run, s->a, item);
        if (s->i + 1 < r->is.t) blas_rnn_recur_back(&b, tn_rnn_step(&r->is, s->a->at.d, s->i + 1));
        if (s->i >= 0) deactivate(s, &b);
    }
}

// ------------------------------------------------------------------ all steps

// dU += (rows of da, or db₂)ᵀ · (the states before), for `units` rows of U from `row` on.
static void state_weights(const blas_rnn_run *run, const blas_rnn_lane *a, char *du, blas_matrix da,
                          int64_t units)
{
    const blas_rnn *r = run->r;
    const blas_rnn_rows first = blas_rnn_state_before(run, a, 0);
    const int64_t width = r->is.d * r->is.h, at = tn_rnn_step(&r->is, a->at.d, 0) * r->is.n;
    const blas_matrix c = matrix(du, r->is.h, false);
    product(run, (blas_product){units, r->is.h, r->is.n}, c,
            matrix(blas_rnn_at(r, da.p, at * da.row), da.row, true),
            matrix(first.p, first.row, false), false);
    if (r->is.t < 2) return;
    // Each other step meets the results of the step that its direction came by before.
    const int64_t steps = a->at.d ? 0 : r->is.n, before = a->at.d ? r->is.n : 0;
    product(run, (blas_product){units, r->is.h, (r->is.t - 1) * r->is.n}, c,
            matrix(blas_rnn_at(r, da.p, steps * da.row), da.row, true),
            matrix(blas_rnn_at(r, a->y, before * width + a->at.d * r->is.h), width, false), true);
}

typedef struct summing {
    const blas_rnn_run *run;
    const char *da;
    int64_t row;
    char *out;
} summing;

static void sum_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const summing *s = ctx;
    const blas_rnn *r = s->run->r;
    double *sums = s->run->work.column + begin;
    (void)worker;
    (r->dtype == TN_F64 ? blas_rnn_columns_f64 : blas_rnn_columns_f32)(
        blas_rnn_at(r, s->da, begin), r->is.t * r->is.n, s->row, sums, end - begin);
    blas_store_f64(r->dtype, s->out, begin, end - begin, sums);
}

// Sums over all steps and sequences.
static void biases(const blas_rnn_run *run, char *da, int64_t row, int64_t n, char *out)
{
    summing s = {run, da, row, out};
    blas_items(run->k, run->a, n, run->r->is.t * run->r->is.n, BLAS_CHEAP, sum_range, &s);
}

// What the parameters of a lane and its input get.
static void lane_sums(const blas_rnn_run *run, const blas_rnn_lane *a, const char *x, char *dx)
{
    const blas_rnn *r = run->r;
    const int64_t rows = r->is.g * r->is.h, tn = r->is.t * r->is.n;
    const bool gru = r->is.cell == TN_CELL_GRU;
    char *dp = blas_out(run->a, 1), *du = blas_rnn_at(r, dp, a->at.h2h);
    char *bias = blas_rnn_at(r, dp, a->at.i2h_bias), *bias_u = blas_rnn_at(r, dp, a->at.h2h_bias);
    const blas_matrix da = matrix(run->work.da, rows, false),
                      db = matrix(run->work.db, r->is.h, false);
    product(run, (blas_product){rows, a->at.in, tn},
            matrix(blas_rnn_at(r, dp, a->at.i2h), a->at.in, false), matrix(da.p, rows, true),
            matrix(x, a->at.in, false), false);
    state_weights(run, a, du, da, gru ? 2 * r->is.h : rows);
    if (gru) state_weights(run, a, blas_rnn_at(r, du, 2 * r->is.h * r->is.h), db, r->is.h);
    biases(run, da.p, rows, rows, bias);
    memcpy(bias_u, bias, (size_t)rows * r->size);
    if (gru) biases(run, db.p, r->is.h, r->is.h, blas_rnn_at(r, bias_u, 2 * r->is.h));
    product(run, (blas_product){tn, a->at.in, rows}, matrix(dx, a->at.in, false), da,
            matrix(blas_rnn_at(r, run->parameters, a->at.i2h), a->at.in, false), a->at.d > 0);
}

static void lane_backward(const blas_rnn_run *run, const blas_rnn_lane *a, const char *dy)
{
    const blas_rnn *r = run->r;
    const bool lstm = r->is.cell == TN_CELL_LSTM;
    const size_t bytes = (size_t)(r->is.n * r->is.h) * r->size;
    const int64_t at = a->at.state;
    blas_copy(run->work.dh, blas_rnn_at(r, blas_in(run->a, 4), at), bytes);
    if (lstm) blas_copy(run->work.dc, blas_rnn_at(r, blas_in(run->a, 6), at), bytes);
    blas_rnn_pack(run, a, true);
    for (int64_t i = r->is.t - 1; i >= -1; i--) {
        step s = {run, a, dy, i};
        blas_rnn_blocks(run, step_range, &s);
    }
    blas_copy(blas_rnn_at(r, blas_out(run->a, 2), at), run->work.dh, bytes);
    if (lstm) blas_copy(blas_rnn_at(r, blas_out(run->a, 3), at), run->work.dc, bytes);
}

// Inputs data, parameters, state, dy, dstate, state_cell and dstate_cell of an LSTM, mask if there
// is one; outputs the gradients of data, parameters, state, state_cell of an LSTM.
static tn_status backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const blas_rnn *r = k->state;
    const char *data = blas_in(a, 0), *dy = blas_in(a, 3);
    blas_rnn_run run = {.r = r,
                        .k = k,
                        .a = a,
                        .parameters = blas_in(a, 1),
                        .state = blas_in(a, 2),
                        .cell = r->is.cell == TN_CELL_LSTM ? blas_in(a, 5) : NULL,
                        .mask = blas_in(a, a->n_in - 1)};
    blas_rnn_lay_work(r, a->scratch.host, &run.work);
    run.kept = run.work.kept;
    if (r->stashed)
        blas_rnn_lay_kept(r, a->stash.host, &run.kept);
    else
        blas_rnn_forward(&run, data);
    if (r->is.t == 0) memset(blas_out(a, 1), 0, (size_t)r->is.length * r->size);
    for (int64_t l = r->is.layers; l-- > 0;) {
        char *dx = l ? run.work.dx[l % 2] : blas_out(a, 0);
        const char *x = blas_rnn_input(&run, data, l);
        for (int64_t d = 0; d < r->is.d; d++) {
            const blas_rnn_lane lane = blas_rnn_lane_of(r, &run.kept, l, d);
            lane_backward(&run, &lane, dy);
            if (r->is.t) lane_sums(&run, &lane, x, dx);
        }
        if (l && r->is.masked) blas_rnn_mask(&run, l, dx, dx);
        dy = dx;
    }
    return TN_OK;
}

const tn_kernel_row blas_rnn_backs[] = {
    {.op = "_backward_RNN",
     .dtypes = BLAS_REALS,
     .flags = BLAS_FLAGS,
     .state_size = sizeof(blas_rnn),
     .cannot = blas_rnn_cannot,
     .setup = blas_rnn_setup,
     .run = backward},
    {0},
};
