// backends/blas/blas_rnn.h: what RNN and its gradient share.
//
// One step of one direction makes of its input x, the state h and, in an LSTM, the cell c
//
//     a = W x + w,  b = U h + u     g blocks of H numbers each
//     rnn    h ← act(a + b), act: relu or tanh
//     lstm   i f n o = blocks of a + b;  c ← σ(f) c + σ(i) tanh(n);  h ← σ(o) tanh(c)
//     gru    r = σ(a₀ + b₀);  z = σ(a₁ + b₁);  n = tanh(a₂ + r b₂);  h ← (1 - z) n + z h
//
// a of all steps is one product. b takes one product a step, cut into blocks of units.
#ifndef TENON_BLAS_RNN_H
#define TENON_BLAS_RNN_H

#include "blas.h"

typedef struct blas_rnn {
    tn_rnn_call is;
    tn_dtype dtype;
    size_t size;   // bytes of an element
    bool stashed;  // a forward run leaves `kept` in its stash, and the gradient finds it there
    bool packed;   // the weights U are made panels, once for all steps
    int64_t units; // of a block: what one thread makes of a step at once
} blas_rnn;

// What a forward run makes and the gradient needs: arrays by layer, or by layer and direction.
// Without a stash a forward run has one place for all gates, and one for all cells.
typedef struct blas_rnn_kept {
    char *y;    // by layer: (t, n, d h) of results
    char *gate; // (t, n, g h), after the activations
    char *cell; // lstm: (t, n, h), c after each step; gru: b₂
} blas_rnn_kept;

// Scratch memory beside that.
typedef struct blas_rnn_work {
    blas_rnn_kept kept; // where there is no stash
    char *x;            // (t, n, d h): results of a layer times their mask
    char *bias;         // (g h)
    char *panels;       // of U: see blas_rnn_state.c
    // of the gradient
    char *da;       // (t, n, g h)
    char *db;       // gru: (t, n, h), for b₂
    char *dx[2];    // (t, n, d h): of a layer's input
    char *dh, *dc;  // (n, h)
    double *column; // (g h): sums
} blas_rnn_work;

// Bytes of `kept`, INT64_MAX if it is too large; with base not NULL sets the pointers.
int64_t blas_rnn_lay_kept(const blas_rnn *r, char *base, blas_rnn_kept *kept);
int64_t blas_rnn_lay_work(const blas_rnn *r, char *base, blas_rnn_work *w);
tn_status blas_rnn_setup(tn_sdk_kernel *k, tn_kernel_info *info);
const char *blas_rnn_cannot(const tn_call *c);

// Direction d of layer l, and its arrays.
typedef struct blas_rnn_lane {
    tn_rnn_lane at;
    char *y, *gate, *cell; // y: of the layer
} blas_rnn_lane;

blas_rnn_lane blas_rnn_lane_of(const blas_rnn *r, const blas_rnn_kept *kept, int64_t l, int64_t d);

// A run.
typedef struct blas_rnn_run {
    const blas_rnn *r;
    const tn_sdk_kernel *k;
    const tn_run_args *a;
    const char *parameters, *state, *cell; // inputs
    const char *mask;
    blas_rnn_kept kept;
    blas_rnn_work work;
} blas_rnn_run;

// All layers; y of the last one is in kept.
void blas_rnn_forward(const blas_rnn_run *run, const char *data);

// The input of layer l: the data, or the results of the layer below times their mask.
const char *blas_rnn_input(const blas_rnn_run *run, const char *data, int64_t l);

// x times the mask of the layer below l, into out.
void blas_rnn_mask(const blas_rnn_run *run, int64_t l, const char *x, char *out);

// fn over the blocks of units of a step.
void blas_rnn_blocks(const blas_rnn_run *run, tn_range_fn fn, void *ctx);

static inline char *blas_rnn_at(const blas_rnn *r, const void *p, int64_t element)
{
    return (char *)(uintptr_t)p + (size_t)element * r->size;
}

// The states, or cells, of all sequences before the i-th step, and elements from one to the next.
typedef struct blas_rnn_rows {
    const char *p;
    int64_t row;
} blas_rnn_rows;

blas_rnn_rows blas_rnn_state_before(const blas_rnn_run *run, const blas_rnn_lane *a, int64_t i);
blas_rnn_rows blas_rnn_cell_before(const blas_rnn_run *run, const blas_rnn_lane *a, int64_t i);

// ------------------------------------------------------------------ U (blas_rnn_state.c)

// Some units of a lane.
typedef struct blas_rnn_block {
    const blas_rnn_run *run;
    const blas_rnn_lane *a;
    int64_t first, n;
} blas_rnn_block;

blas_rnn_block blas_rnn_block_of(const blas_rnn_run *run, const blas_rnn_lane *a, int64_t item);

// Makes panels of a lane's U, for one of the two products, if the kernel wants them.
void blas_rnn_pack(const blas_rnn_run *run, const blas_rnn_lane *a, bool backward);
int64_t blas_rnn_panel_elements(const blas_rnn *r);

// gates of the i-th step += h U of these units; of a GRU's new gate b₂ = h U + u.
void blas_rnn_recur(const blas_rnn_block *b, int64_t i);
// dh of these units += da U of step t, where a GRU's new gate has db₂ in place of da.
void blas_rnn_recur_back(const blas_rnn_block *b, int64_t t);

// ------------------------------------------------------------------ cells (blas_rnn_cells.c)

// One step of one sequence: n units, where gates are h elements apart. Pointers are to the first of
// these units.
typedef struct blas_rnn_cells {
    tn_rnn_cell mode;
    int64_t h, n;
    void *gate;
    const void *h_before, *c_before; // c: of an LSTM
    void *cell, *out;
} blas_rnn_cells;

// From a + b, or for a GRU's new gate a and `cell` = b₂, to gates, cell and state.
void blas_rnn_activate_f32(const blas_rnn_cells *s);
void blas_rnn_activate_f64(const blas_rnn_cells *s);

// From dh + dy and dc after a step to da and, for a GRU, db₂, and to what of dh and dc does not
// pass through U.
typedef struct blas_rnn_back {
    blas_rnn_cells s;
    const void *dy;
    void *dh, *dc, *da, *db;
} blas_rnn_back;

void blas_rnn_deactivate_f32(const blas_rnn_back *b);
void blas_rnn_deactivate_f64(const blas_rnn_back *b);

// out[j] = x[j] · y[j]
void blas_rnn_times_f32(const void *x, const void *y, void *out, int64_t n);
void blas_rnn_times_f64(const void *x, const void *y, void *out, int64_t n);
// out[j] = x[j] + y[j]
void blas_rnn_plus_f32(const void *x, const void *y, void *out, int64_t n);
void blas_rnn_plus_f64(const void *x, const void *y, void *out, int64_t n);
// sum[j] = Σ over rows of x, which are `step` apart
void blas_rnn_columns_f32(const void *x, int64_t rows, int64_t step, double *sum, int64_t n);
void blas_rnn_columns_f64(const void *x, int64_t rows, int64_t step, double *sum, int64_t n);

#endif
