// backends/onednn/onednn_winograd.h: 3×3 convolutions by Winograd's way: what its two files share.
//
// A tile is 4×4 points of what a convolution yields, and the 6×6 points of its data that they are
// made of. For each tile, with the matrices that onednn_tiles.c has,
//
//     result = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ data B) ] A
//
// where ⊙ stands for 36 matrix products, one for each of 6×6 places: of tiles × channels with
// channels × filters. They take 36 multiplications where the convolution itself takes 144.
// The gradient of the data is a convolution with the weight turned round. That of the weight is
//
//     dw = Gᵀ [ sum of tiles of (A dy Aᵀ) ⊙ (Bᵀ data B) ] G
//
// Data and results lie with channels last, and may be stored as bfloat16; weights and their
// gradients lie row-major. Everything between is float32.
#ifndef TENON_ONEDNN_WINOGRAD_H
#define TENON_ONEDNN_WINOGRAD_H

#include "onednn.h"

// Where the polynomials are taken, a and b of onednn_tiles.c, and what comes of them.
#define A1 0.625f
#define B1 1.5f
#define A2 (A1 * A1)
#define B2 (B1 * B1)
#define NA (2 * A2 * (A2 - B2))
#define NB (2 * B2 * (B2 - A2))

typedef enum od_winograd_kind { OD_WINO_FORWARD, OD_WINO_DATA, OD_WINO_WEIGHT } od_winograd_kind;

enum {
    OD_TILE = 4,                     // results of a tile, down and across
    OD_PATCH = 6,                    // data of a tile
    OD_PLACES = OD_PATCH * OD_PATCH, // places of a patch
    OD_LANES = 16,                   // float32 in a vector
    OD_PANEL = 64                    // columns of a matrix that lie together
};

// Extents of a call, and what becomes of results. "Data" are what is cut into patches: x, or of the
// gradient of the data dy. "Results" are y, or dx; of the gradient of the weight dy, which is read.
typedef struct od_winograd {
    od_winograd_kind kind;
    int64_t images, in[2], out[2], pad[2]; // of data and results: height, width
    int64_t channels, filters;             // of data, of results
    int64_t down, across, tiles;           // tiles of a picture, and of all
    int64_t begin, columns;                // filters begin … of them are in u and m
    int64_t block;                         // tiles that a worker, or all of them, take at a time
    int64_t step_u, step_v, step_m;        // elements from one place to the next of u, v, m
    bool adds, relu;                       // to what is there; then x > 0 ? x : slope x
    float slope;
    bool narrow; // data and results are stored as bfloat16
} od_winograd;

// Tiles first … first + n - 1 of all, as rows at … of v and m.
typedef struct od_tiles {
    int64_t first, n, at;
} od_tiles;

// Matrices of all places, by place:
//
//     u    weight: panels of OD_PANEL columns (or what is left), each (channels, columns);
//          its gradient: (columns, channels)
//     v    data: (tiles, channels)
//     m    results: (tiles, columns)

bool od_tiles_ready(void); // has this machine the instructions?
// u from the weight: items are OD_LANES rows of panels.
int64_t od_tiles_weight_items(const od_winograd *g);
void od_tiles_weight(const od_winograd *g, const float *w, float *u, int64_t begin, int64_t end);
// v from data. zeros: g->channels of them.
void od_tiles_data(const od_winograd *g, const void *x, const float *zeros, float *v,
                   od_tiles tiles);
// m from the gradient of the result. zeros: g->filters of them.
void od_tiles_gradient(const od_winograd *g, const void *dy, const float *zeros, float *m,
                       od_tiles tiles);
// m = v u, for n tiles.
void od_tiles_products(const od_winograd *g, const float *v, const float *u, float *m, int64_t n);
// u (+)= mᵀ v, at places begin … end - 1. The first tiles of all overwrite what is there.
void od_tiles_sums(const od_winograd *g, const float *v, const float *m, float *u, od_tiles tiles,
                   int64_t begin, int64_t end);
// Results from m. bias: g->filters, or NULL.
void od_tiles_results(const od_winograd *g, const float *m, const float *bias, void *y,
                      od_tiles tiles);
// Rows begin … end - 1 of u to the gradient of the weight.
void od_tiles_weight_gradient(const od_winograd *g, const float *u, float *dw, int64_t begin,
                              int64_t end);

#endif
