// backends/blas/blas_rnn_state.c: the products of RNN with U, step after step, by blocks of units.
//
// All steps of a lane multiply by the same matrix. Where there are enough of them it is made panels
// first, a block of units next to the other:
//   forward    (blocks, g, h) rows of panels: row p of gate's panel is U[gate h + first …][p]
//   backward   (blocks, g h) rows: row p is U[p][first …]
// So a thread that takes the same blocks in every step finds them in its cache.
#include "blas_panel.h"
#include "blas_rnn.h"

static int64_t blocks(const blas_rnn *r)
{
    return (r->is.h + r->units - 1) / r->units;
}

int64_t blas_rnn_panel_elements(const blas_rnn *r)
{
    return tn_extent_times(tn_extent_times(blocks(r) * r->units, r->is.h), r->is.g);
}

blas_rnn_block blas_rnn_block_of(const blas_rnn_run *run, const blas_rnn_lane *a, int64_t item)
{
    const int64_t units = run->r->units, first = item * units, rest = run->r->is.h - first;
    return (blas_rnn_block){run, a, first, rest < units ? rest : units};
}

void blas_rnn_blocks(const blas_rnn_run *run, tn_range_fn fn, void *ctx)
{
    const blas_rnn *r = run->r;
    blas_items(run->k, run->a, blocks(r), r->is.g * r->units * r->is.n * r->is.h, 4 * BLAS_CHEAP,
               fn, ctx);
}

// The panels of a block.
static char *panels_of(const blas_rnn_block *b)
{
    const blas_rnn *r = b->run->r;
    return blas_rnn_at(r, b->run->work.panels, b->first * r->is.g * r->is.h);
}

typedef struct packing {
    const blas_rnn_run *run;
    const blas_rnn_lane *a;
    bool backward;
} packing;

// Items are blocks.
static void pack_range(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const packing *k = ctx;
    const blas_rnn *r = k->run->r;
    const char *u = blas_rnn_at(r, k->run->parameters, k->a->at.h2h);
    (void)worker;
    for (int64_t item = begin; item < end; item++) {
        const blas_rnn_block b = blas_rnn_block_of(k->run, k->a, item);
        char *to = panels_of(&b);
        if (k->backward) {
            blas_panel_along(r->dtype, blas_rnn_at(r, u, b.first), r->is.h,
                             (const int64_t[]){r->is.g * r->is.h, b.n}, to);
            continue;
        }
        for (int64_t gate = 0; gate < r->is.g; gate++)
            blas_panel_across(r->dtype, blas_rnn_at(r, u, (gate * r->is.h + b.first) * r->is.h),
                              r->is.h, (const int64_t[]){b.n, r->is.h},
                              to + gate * r->is.h * BLAS_PANEL);
    }
}

void blas_rnn_pack(const blas_rnn_run *run, const blas_rnn_lane *a, bool backward)
{
    const blas_rnn *r = run->r;
    packing k = {run, a, backward};
    if (!r->packed) return;
    blas_items(run->k, run->a, blocks(r), r->is.g * r->units * r->is.h, BLAS_CHEAP, pack_range, &k);
}

// c(n, units) += a(n, k) · rows of U's panel, or of U itself.
static void product(const blas_rnn_block *b, blas_gemm g, const char *panel)
{
    const blas_rnn *r = b->run->r;
    g.dtype = r->dtype;
    g.add = true;
    if (!r->packed) {
        const int threads = blas_alone();
        blas_multiply_alone(&g);
        blas_alone_end(threads);
        return;
    }
    const blas_panel p = {.dtype = r->dtype,
                          .m = g.size.m,
                          .n = g.size.n,
                          .k = g.size.k,
                          .a = g.a.p,
                          .a_row = g.a.row,
                          .b = panel};
    blas_panel_into(&p, g.c.p, g.c.row, true);
}

// b₂ = u, to which h U is added.
static void begin_b2(const blas_rnn_block *b, char *b2)
{
    const blas_rnn *r = b->run->r;
    const char *u = blas_rnn_at(r, b->run->parameters, b->a->at.h2h_bias + 2 * r->is.h + b->first);
    for (int64_t j = 0; j < r->is.n; j++)
        memcpy(blas_rnn_at(r, b2, j * r->is.h), u, (size_t)b->n * r->size);
}

void blas_rnn_recur(const blas_rnn_block *b, int64_t i)
{
    const blas_rnn *r = b->run->r;
    const blas_rnn_rows h = blas_rnn_state_before(b->run, b->a, i);
    const int64_t rows = r->is.g * r->is.h, at = tn_rnn_step(&r->is, b->a->at.d, i) * r->is.n;
    const char *panels = panels_of(b);
    for (int64_t gate = 0; gate < r->is.g; gate++) {
        const int64_t row = gate * r->is.h + b->first;
        const bool apart = r->is.cell == TN_CELL_GRU && gate == 2;
        char *c = apart ? blas_rnn_at(r, b->a->cell, at * r->is.h + b->first)
                        : blas_rnn_at(r, b->a->gate, at * rows + row);
        if (apart) begin_b2(b, c);
        const blas_gemm g = {
            .size = {r->is.n, b->n, r->is.h},
            .c = {c, apart ? r->is.h : rows, false},
            .a = {(void *)(uintptr_t)h.p, h.row, false},
            .b = {blas_rnn_at(r, b->run->parameters, b->a->at.h2h + row * r->is.h), r->is.h, true}};
        product(b, g, panels + gate * r->is.h * BLAS_PANEL);
    }
}

void blas_rnn_recur_back(const blas_rnn_block *b, int64_t t)
{
    const blas_rnn *r = b->run->r;
    const blas_rnn_work *w = &b->run->work;
    const bool gru = r->is.cell == TN_CELL_GRU;
    const int64_t rows = r->is.g * r->is.h, some = gru ? 2 * r->is.h : rows;
    char *u = blas_rnn_at(r, b->run->parameters, b->a->at.h2h + b->first);
    blas_gemm g = {.size = {r->is.n, b->n, some},
                   .c = {blas_rnn_at(r, w->dh, b->first), r->is.h, false},
                   .a = {blas_rnn_at(r, w->da, t * r->is.n * rows), rows, false},
                   .b = {u, r->is.h, false}};
    product(b, g, panels_of(b));
    if (!gru) return;
    g.size.k = r->is.h;
    g.a = (blas_matrix){blas_rnn_at(r, w->db, t * r->is.n * r->is.h), r->is.h, false};
    g.b.p = blas_rnn_at(r, u, some * r->is.h);
    product(b, g, panels_of(b) + some * BLAS_PANEL);
}
