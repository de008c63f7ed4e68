// backends/blas/blas_lines.h: convolutions of one or two filters or channels in a group, as sums
// over neighbours in a line.
//
// What is read is copied into a grid with its pads around it, and with a plane for each residue of
// a stride. One row behind the other, the grid is a line in which element j of the kernel lies at a
// distance far[j] from each position, so that the sums at all positions are
//
//     line[q] = bias + Σ_{c, j} w[c, j] · grid[c][q + far[j]]
//
// vectors of neighbours, however short the rows are. Behind each row stand a few sums that belong
// to no position. Where a gradient leaves out positions, its stride s makes s lines for an axis,
// each of every s-th result.
#ifndef TENON_BLAS_LINES_H
#define TENON_BLAS_LINES_H

#include "blas.h"

enum {
    BLAS_LINE_TAPS = 128, // elements of a kernel, at most
    BLAS_LINE_PARTS = 16, // lines of one result, at most
    BLAS_LINE_BLOCK = 9,  // elements whose products are summed together
    BLAS_LINE_SUMS = 64,  // bytes of the sums of one element, side by side
    BLAS_LINE_SLACK = 64  // bytes behind a line that may be read or written
};

typedef enum { BLAS_LINES_NARROW, BLAS_LINES_WIDE, BLAS_LINES_WEIGHT } blas_lines_way;

// A plan: from `channels` planes that are read (axis[].wide) to one of sums (axis[].narrow).
typedef struct blas_lines {
    bool on; // these sums are worked out so
    tn_slide axis[TN_SPATIAL];
    int64_t channels;
    int cut;                                     // the axis that bands are cut along
    int64_t band, bands;                         // positions of a band along it; how many there are
    int64_t len[TN_SPATIAL], phases[TN_SPATIAL]; // of a plane; planes along each axis
    int64_t phase, plane; // elements of one plane; of all of a channel and what is behind them
    int64_t line;         // elements of a line and what is behind it
    // Sum number t of an axis, line r, is element step t + r + shift of the result, if there is
    // one.
    int64_t step[TN_SPATIAL], shift[TN_SPATIAL], extent[TN_SPATIAL];
    int64_t parts; // lines of a result
    uint64_t line_bytes;
} blas_lines;

// Where the elements of the kernel are met.
typedef struct blas_taps {
    int64_t begin[BLAS_LINE_PARTS + 1];            // of each line, the first of its elements
    int64_t far[BLAS_LINE_TAPS + BLAS_LINE_BLOCK]; // of each element, line by line
    uint8_t tap[BLAS_LINE_TAPS];                   // which element of the kernel it is
} blas_taps;

// Rows of one plane of a grid that are data: n[0] times n[1] rows of n[2] numbers. Elements of a
// channel's planes and of what is read at which they begin.
typedef struct blas_line_piece {
    int64_t to, from;
    int64_t n[TN_SPATIAL];
} blas_line_piece;

// A grid, and what it holds. Pads are written once, as long as they lie where they did.
typedef struct blas_line_grid {
    blas_taps *taps;
    char *p;
    bool filled;
    int64_t plane, band; // with what
    int n_pieces;
    blas_line_piece piece[BLAS_LINE_PARTS];
} blas_line_grid;

#define BLAS_TAPS_BYTES ((sizeof(blas_taps) + 63) / 64 * 64)

// What one line is the sum of.
typedef struct blas_line {
    const void *w; // (channels, taps)
    const int64_t *far;
    int64_t taps, channels, plane; // plane: elements from channel to channel
    double bias;
} blas_line;

// ------------------------------------------------------------------ loops (blas_line_loops.c)

#define BLAS_LINE_LOOPS(kind)                                                                      \
    /* The first n numbers of a line, and of whole vectors; grid: where position 0 lies. */        \
    void blas_line_sum_##kind(const blas_line *l, const void *grid, int64_t n, void *line);        \
    /* sums[j] += Σ_i y[i] · grid[i + far[j]], side by side, for n numbers and whole vectors. */ \
    void blas_line_dots_##kind(const int64_t *far, int64_t taps, const void *grid, const void *y,  \
                               int64_t n, void *sums);                                             \
    /* total[j] += all of sums[j], which become 0. */                                              \
    void blas_line_total_##kind(void *sums, int64_t taps, double *total);                          \
    bool blas_line_finite_##kind(const void *w, int64_t n);                                        \
    /* size[0] rows of size[1] numbers, of which from has only every step-th one. */               \
    void blas_line_rows_##kind(void *to, int64_t to_row, const void *from, int64_t from_row,       \
                               const int64_t size[2], int64_t step);                               \
    /* size[0] rows of size[1] numbers, in turn of lines a and b; a begins, or else b. */          \
    void blas_line_mix_##kind(void *to, int64_t to_row, const void *const ab[2], int64_t row,      \
                              const int64_t size[2], bool a_first);                                \
    /* (channels, taps): of each channel's weights, step apart, those that tap says. */            \
    void blas_line_weights_##kind(const void *w, int64_t step, const uint8_t *tap,                 \
                                  const int64_t size[2], void *to);                                \
    /* to[i step] = from[i] */                                                                     \
    void blas_line_spread_##kind(void *to, const void *from, int64_t n, int64_t step);
BLAS_LINE_LOOPS(f32)
BLAS_LINE_LOOPS(f64)

#endif
