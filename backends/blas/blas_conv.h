// backends/blas/blas_conv.h: what the convolutions share.
//
// All are one of three sums over a kernel that slides over a wide side x (n, c, spatial...), with
// its positions o on the narrow side y (n, f, spatial...), weight w (f, c / groups, kernel...):
//
//     narrow   y[n, f, o] = bias[f] + Σ_{c, j} w[f, c, j] · x[n, group(f) + c, s o + d j - p]
//     wide     x[n, c, i] = bias[c] + Σ_{f, j, o: s o + d j - p = i} w[f, c, j] · y[n, f, o]
//     weight   w[f, c, j] = Σ_{n, o} y[n, f, o] · x[n, group(f) + c, s o + d j - p]
//
// Column (c, j) of an image is the row of numbers x[c, s o + d j - p] for all o. With the columns
// as a matrix each sum is a matrix product. They are made in pieces that stay in a cache.
#ifndef TENON_BLAS_CONV_H
#define TENON_BLAS_CONV_H

#include "blas_lines.h"

// The wide side as blas_grid.c has it: (channels, images, planes, len[0], len[1], len[2]). Of large
// images only a band at a time is there.
typedef struct blas_grid {
    int axis;                   // that bands are cut along: the first of more than one position
    int64_t band, bands;        // positions of a band along it; bands of an image
    int64_t images;             // in one grid; 1 if there are bands
    int64_t len[TN_SPATIAL];    // extents of a plane
    int64_t phases[TN_SPATIAL]; // planes along each axis
    int64_t phase, plane;       // elements of one plane, and of all of a channel
    int64_t channel_step, image_step; // elements from one to the next
    bool in_place;                    // the data are their own grid
} blas_grid;

typedef struct blas_conv {
    blas_lead lead; // narrow
    tn_slide axis[TN_SPATIAL];
    tn_dtype dtype;
    size_t size; // bytes of an element
    int64_t batch, groups;
    int64_t wide, narrow;               // channels of both sides, in one group
    int64_t wide_points, narrow_points; // elements of one channel
    int64_t weight_points;
    bool direct;              // so few filters share a column that making it would not pay
    blas_lines lines;         // of direct sums: the plan of those that are made of lines
    int64_t items;            // narrow: as many at least. They change no sum, so threads may count
    bool turned;              // wide: it is worked out as a sum from wide to narrow
    blas_grid grid;           // not for direct sums, and for wide only if turned
    int64_t points;           // wide, weight: positions whose columns are there at a time
    int64_t pieces;           // narrow: items, grids that cover all positions
    int64_t channels, blocks; // of an item (narrow: filters); items that cover all of them
    int64_t chunks;           // weight: parts of the batch that are summed apart
    uint64_t worker_bytes;    // scratch of one worker
    uint64_t shared_bytes;    // scratch before that of the workers
} blas_conv;

enum {
    BLAS_CONV_CACHED = 1 << 19, // bytes of columns at a time: half of a second-level cache
    BLAS_CONV_ITEMS = 8,        // as many items at least, where the sizes permit; or c->items
    BLAS_CONV_SIDE = 64,        // filters or columns below which an item is not cut
    BLAS_CONV_POINTS = 512      // positions at a time, at most
};

// ------------------------------------------------------------------ setup (blas_conv_setup.c)

void blas_conv_sizes(const tn_call *call, blas_conv *c, const tn_value_info *x,
                     const tn_value_info *w, const tn_value_info *y);
const char *blas_conv_cannot(const tn_call *call, const tn_value_info *x, const tn_value_info *w,
                             const tn_value_info *y);
// Items that are enough for the threads there are, at most BLAS_CONV_ITEMS.
int64_t blas_conv_items(const tn_sdk_kernel *k);
// How many items are made of n, so that there are `items` of them with the `others`, none has more
// than size[1], and none is cut below size[0].
int64_t blas_conv_cut(int64_t n, int64_t items, int64_t others, const int64_t size[2]);
// Positions whose columns, `rows` of them, are made at a time: whole panels.
int64_t blas_conv_points(const blas_conv *c, int64_t rows);
// Fills info from what c says of scratch.
tn_status blas_conv_finish(const tn_sdk_kernel *k, const blas_conv *c, tn_kernel_info *info);
// Bytes of n · m elements, in whole cache lines.
uint64_t blas_conv_bytes(const blas_conv *c, int64_t n, int64_t m);

// ------------------------------------------------------------------ running

// The two sides and the weight; which of them is written, depends.
typedef struct blas_conv_run {
    const blas_conv *c;
    const tn_run_args *a;
    const char *x, *w, *y;
    const void *bias;
    char *parts; // weight: where the sums of the parts of the batch go
} blas_conv_run;

static inline char *blas_conv_scratch(const blas_conv *c, const tn_run_args *a, uint32_t worker)
{
    return (char *)a->scratch.host + c->shared_bytes + worker * c->worker_bytes;
}

// The address some elements further on.
static inline void *blas_conv_move(const void *p, const blas_conv *c, int64_t elements)
{
    return (char *)(uintptr_t)p + (size_t)elements * c->size;
}

static inline double blas_conv_number(const blas_conv *c, const void *p, int64_t i)
{
    return c->dtype == TN_F64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

// ------------------------------------------------------------------ lines (blas_line_grid.c,
// blas_lines.c)

// Plans c->lines, from so many channels to one.
void blas_lines_plan(blas_conv *c, blas_lines_way way, int64_t channels);
// Scratch of one worker: for sums, for weights.
uint64_t blas_lines_bytes(const blas_conv *c);
uint64_t blas_lines_weight_bytes(const blas_conv *c);
// wide: from the narrow side to the wide one.
void blas_lines_run(const tn_sdk_kernel *k, const blas_conv_run *r, bool wide);
void blas_lines_weight(const tn_sdk_kernel *k, const blas_conv_run *r);

// A grid in scratch, behind the taps; wide: of a gradient.
blas_line_grid blas_lines_grid(const blas_conv *c, char *scratch, bool wide);
// Puts the channels from x on there, as far as a band meets them; `plane` names them.
void blas_lines_fill(const blas_conv *c, blas_line_grid *g, const char *x, int64_t plane,
                     int64_t band);
// The sums t of each axis that a band has, and numbers of a line up to their last one.
void blas_lines_sums(const blas_lines *l, int64_t band, tn_interval t[3]);
int64_t blas_lines_length(const blas_lines *l, const tn_interval t[3]);

// One filter's and one channel's weights, number `item` of all, without lines; sums has room for
// them. (blas_conv_weight.c)
void blas_weight_by_elements(const blas_conv_run *r, int64_t item, double *sums);

// ------------------------------------------------------------------ columns (blas_grid.c)

// Chooses c->grid for so many channels at a time and `others` items beside bands; several: of
// several images, too.
void blas_grid_plan(blas_conv *c, int64_t channels, int64_t others, bool several);
int64_t blas_grid_bytes(const blas_conv *c, int64_t channels);
// Positions of an image that are in a band.
tn_interval blas_grid_positions(const blas_conv *c, int64_t band);
// Puts channels of an image into a grid; at: which image of the grid, and the band. Returns where
// columns are taken from.
const void *blas_grid_of(const blas_conv *c, const void *x, int64_t channels, const int64_t at[2],
                         void *grid);

// Numbers that are neighbours in a column and in the grid.
typedef struct blas_run_of {
    int64_t to, from, n;
} blas_run_of;

// The runs of positions q, which are counted from the first image of the grid on. How many: not
// more than positions.
int64_t blas_grid_runs(const blas_conv *c, int64_t band, tn_interval q, blas_run_of *runs);

typedef struct blas_columns_of {
    const void *grid;
    int64_t channels, n_runs;
    const blas_run_of *runs;
} blas_columns_of;

// Rows of `row` elements in out: a column each. Up to 60 bytes behind a column are written, too.
void blas_grid_columns(const blas_conv *c, const blas_columns_of *k, void *out, int64_t row);

// ------------------------------------------------------------------ loops (blas_columns.c)

// Some of the wide side: channels from x on, and positions begin … end-1.
typedef struct blas_patch {
    int64_t channels, begin, end;
} blas_patch;

#define BLAS_CONV_LOOPS(kind)                                                                  \
    void blas_begin_##kind(const blas_conv *c, const void *bias, int64_t rows, int64_t n,      \
                           void *y);                                                           \
    void blas_put_##kind(const blas_conv *c, const void *sums, const void *bias, int64_t rows, \
                         int64_t n, void *y);                                                  \
    void blas_turn_##kind(const void *w, const int64_t sizes[3], bool turned, void *to);       \
    void blas_rows_##kind(const blas_conv *c, const void *y, int64_t rows, int64_t n,          \
                          void *panel);                                                        \
    void blas_back_##kind(const blas_conv *c, const void *sums, int64_t rows, int64_t step,    \
                          void *w);                                                            \
    void blas_sum_parts_##kind(const void *parts, int64_t n_parts, int64_t step, void *out,    \
                               int64_t n);                                                     \
    void blas_fill_##kind(void *p, int64_t n, double v);                                       \
    void blas_add_columns_##kind(const blas_conv *c, const blas_patch *p, void *x,             \
                                 const void *col, int64_t row);                                \
    void blas_direct_narrow_##kind(const blas_conv *c, const void *x, const void *w, void *y); \
    void blas_direct_wide_##kind(const blas_conv *c, const void *y, const void *w, void *x);   \
    void blas_direct_weight_##kind(const blas_conv *c, const void *x, const void *y, double *w);
BLAS_CONV_LOOPS(f32)
BLAS_CONV_LOOPS(f64)

// n elements := v.
static inline void blas_conv_fill(const blas_conv *c, void *p, int64_t n, double v)
{
    (c->dtype == TN_F64 ? blas_fill_f64 : blas_fill_f32)(p, n, v);
}

// x += the patch's columns, rows of `row` elements in col.
static inline void blas_conv_add_columns(const blas_conv *c, const blas_patch *p, void *x,
                                         const void *col, int64_t row)
{
    (c->dtype == TN_F64 ? blas_add_columns_f64 : blas_add_columns_f32)(c, p, x, col, row);
}

// Rows of y, narrow_points apart: n numbers of each := the row's bias.
static inline void blas_conv_begin(const blas_conv *c, const void *bias, int64_t rows, int64_t n,
                                   void *y)
{
    (c->dtype == TN_F64 ? blas_begin_f64 : blas_begin_f32)(c, bias, rows, n, y);
}

// The same: := sums, rows of which are a panel's, + bias (which may be NULL).
static inline void blas_conv_store(const blas_conv *c, const void *sums, const void *bias,
                                   int64_t rows, int64_t n, void *y)
{
    (c->dtype == TN_F64 ? blas_put_f64 : blas_put_f32)(c, sums, bias, rows, n, y);
}

// The weights of one channel, rows sizes = {filters, step, weight_points}: (f, j) becomes (j, f)
// or, turned, (f, k - 1 - j).
static inline void blas_conv_turn(const blas_conv *c, const void *w, const int64_t sizes[3],
                                  bool turned, void *to)
{
    (c->dtype == TN_F64 ? blas_turn_f64 : blas_turn_f32)(w, sizes, turned, to);
}

// n numbers of each row of y, narrow_points apart, as a panel, with zeros behind them.
static inline void blas_conv_rows(const blas_conv *c, const void *y, int64_t rows, int64_t n,
                                  void *panel)
{
    (c->dtype == TN_F64 ? blas_rows_f64 : blas_rows_f32)(c, y, rows, n, panel);
}

// Sums (rows, f) as weights (f, rows), `step` elements from filter to filter.
static inline void blas_conv_back(const blas_conv *c, const void *sums, int64_t rows, int64_t step,
                                  void *w)
{
    (c->dtype == TN_F64 ? blas_back_f64 : blas_back_f32)(c, sums, rows, step, w);
}

#endif
