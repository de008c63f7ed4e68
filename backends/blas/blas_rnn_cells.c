// backends/blas/blas_rnn_cells.c: the elementwise parts of RNN.
#ifndef T

#include "blas_rnn.h"

#define THIS_FILE "blas_rnn_cells.c"
#include "blas_each_type.h"

#else // once per type

#if IS_F32
#define SIGMOID blas_sigmoidf
#define TANH blas_tanhf
#else
#define SIGMOID(v) (1 / (1 + exp(-(v))))
#define TANH tanh
#endif

// ------------------------------------------------------------------ forward

BLAS_CLONES static void N(lstm)(T *g, const T *c_before, T *cell, T *out, int64_t h, int64_t n)
{
    BLAS_SIMD
    for (int64_t j = 0; j < n; j++) {
        const T in = SIGMOID(g[j]), forget = SIGMOID(g[h + j]);
        const T new = TANH(g[2 * h + j]), open = SIGMOID(g[3 * h + j]);
        const T c = forget * c_before[j] + in * new;
        g[j] = in, g[h + j] = forget, g[2 * h + j] = new, g[3 * h + j] = open;
        cell[j] = c;
        out[j] = open * TANH(c);
    }
}

BLAS_CLONES static void N(gru)(T *g, const T *before, const T *b2, T *out, int64_t h, int64_t n)
{
    BLAS_SIMD
    for (int64_t j = 0; j < n; j++) {
        const T reset = SIGMOID(g[j]), update = SIGMOID(g[h + j]);
        const T new = TANH(g[2 * h + j] + reset * b2[j]);
        g[j] = reset, g[h + j] = update, g[2 * h + j] = new;
        out[j] = (1 - update) * new + update *before[j];
    }
}

BLAS_CLONES static void N(plain)(T *g, T *out, int64_t n, bool is_tanh)
{
    if (is_tanh) {
        BLAS_SIMD
        for (int64_t j = 0; j < n; j++) out[j] = g[j] = TANH(g[j]);
    } else {
        BLAS_SIMD
        for (int64_t j = 0; j < n; j++) out[j] = g[j] = g[j] > 0 ? g[j] : 0;
    }
}

void N(blas_rnn_activate)(const blas_rnn_cells *s)
{
    switch (s->mode) {
    case TN_CELL_LSTM: N(lstm)(s->gate, s->c_before, s->cell, s->out, s->h, s->n); break;
    case TN_CELL_GRU: N(gru)(s->gate, s->h_before, s->cell, s->out, s->h, s->n); break;
    default: N(plain)(s->gate, s->out, s->n, s->mode == TN_CELL_TANH); break;
    }
}

// ------------------------------------------------------------------ backward

BLAS_CLONES static void N(lstm_back)(const T *g, const T *cell, const T *c_before, const T *dy,
                                     const blas_rnn_back *b)
{
    const int64_t h = b->s.h, n = b->s.n;
    T *dh = b->dh, *dc = b->dc, *da = b->da;
    BLAS_SIMD
    for (int64_t j = 0; j < n; j++) {
        const T in = g[j], forget = g[h + j], new = g[2 * h + j], open = g[3 * h + j];
        const T e = TANH(cell[j]), d = dh[j] + dy[j];
        const T c = dc[j] + d * open * (1 - e * e);
        da[j] = c * new *in *(1 - in);
        da[h + j] = c * c_before[j] * forget * (1 - forget);
        da[2 * h + j] = c * in * (1 - new *new);
        da[3 * h + j] = d * e * open * (1 - open);
        dc[j] = c * forget;
        dh[j] = 0;
    }
}

BLAS_CLONES static void N(gru_back)(const T *g, const T *b2, const T *before, const T *dy,
                                    const blas_rnn_back *b)
{
    const int64_t h = b->s.h, n = b->s.n;
    T *dh = b->dh, *db = b->db, *da = b->da;
    BLAS_SIMD
    for (int64_t j = 0; j < n; j++) {
        const T reset = g[j], update = g[h + j], new = g[2 * h + j], d = dh[j] + dy[j];
        const T dn = d * (1 - update) * (1 - new *new);
        da[2 * h + j] = dn;
        da[j] = dn * b2[j] * reset * (1 - reset);
        da[h + j] = d * (before[j] - new) * update * (1 - update);
        db[j] = dn * reset;
        dh[j] = d * update;
    }
}

BLAS_CLONES static void N(plain_back)(const T *g, const T *dy, T *dh, T *da, int64_t n,
                                      bool is_tanh)
{
    BLAS_SIMD
    for (int64_t j = 0; j < n; j++) {
        const T d = dh[j] + dy[j];
        da[j] = is_tanh ? d * (1 - g[j] * g[j]) : g[j] > 0 ? d : 0;
        dh[j] = 0;
    }
}

void N(blas_rnn_deactivate)(const blas_rnn_back *b)
{
    const blas_rnn_cells *s = &b->s;
    switch (s->mode) {
    case TN_CELL_LSTM: N(lstm_back)(s->gate, s->cell, s->c_before, b->dy, b); break;
    case TN_CELL_GRU: N(gru_back)(s->gate, s->cell, s->h_before, b->dy, b); break;
    default: N(plain_back)(s->gate, b->dy, b->dh, b->da, s->n, s->mode == TN_CELL_TANH); break;
    }
}

// ------------------------------------------------------------------ rows

BLAS_CLONES static void N(cell_times)(const T *x, const T *y, T *out, int64_t n)
{
    BLAS_SIMD
    for (int64_t j = 0; j < n; j++) out[j] = x[j] * y[j];
}

void N(blas_rnn_times)(const void *x, const void *y, void *out, int64_t n)
{
    N(cell_times)(x, y, out, n);
}

BLAS_CLONES static void N(plus)(const T *x, const T *y, T *out, int64_t n)
{
    BLAS_SIMD
    for (int64_t j = 0; j < n; j++) out[j] = x[j] + y[j];
}

void N(blas_rnn_plus)(const void *x, const void *y, void *out, int64_t n)
{
    N(plus)(x, y, out, n);
}

BLAS_CLONES static void N(add_columns)(const T *x, double *sum, int64_t n)
{
    BLAS_SIMD
    for (int64_t j = 0; j < n; j++) sum[j] += (double)x[j];
}

void N(blas_rnn_columns)(const void *x, int64_t rows, int64_t step, double *sum, int64_t n)
{
    for (int64_t j = 0; j < n; j++) sum[j] = 0;
    for (int64_t i = 0; i < rows; i++) N(add_columns)((const T *)x + i * step, sum, n);
}

#undef SIGMOID
#undef TANH

#endif
