// backends/blas/blas_boxes.c: overlaps of boxes, and suppression of those that overlap.
#include "blas_boxes.h"

enum { CHUNK = 256 }; // boxes whose overlaps are found at a time

BLAS_CLONES static void overlaps_of_boxes(const blas_boxes *b, int64_t first, int64_t n,
                                          const double one[4], double extra, double *out)
{
    const double *x1 = b->corner[0] + first, *y1 = b->corner[1] + first;
    const double *x2 = b->corner[2] + first, *y2 = b->corner[3] + first;
    const double l = one[0], t = one[1], r = one[2], u = one[3];
    const double area = (r - l + extra) * (u - t + extra);
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) {
        const double w = (x2[i] < r ? x2[i] : r) - (x1[i] > l ? x1[i] : l) + extra;
        const double h = (y2[i] < u ? y2[i] : u) - (y1[i] > t ? y1[i] : t) + extra;
        const double both = w > 0 && h > 0 ? w * h : 0;
        const double all = area + (x2[i] - x1[i] + extra) * (y2[i] - y1[i] + extra) - both;
        out[i] = all > 0 ? both / all : 0;
    }
}

// clang gives the clones' chooser a name of its own, so that only this file can call it.
void blas_overlaps(const blas_boxes *b, int64_t first, int64_t n, const double one[4], double extra,
                   double *out)
{
    overlaps_of_boxes(b, first, n, one, extra, out);
}

// Marks those of the boxes behind box i that it makes go.
static void make_go(const blas_suppression *s, int64_t i, uint8_t *gone)
{
    double one[4], overlap[CHUNK];
    blas_box_get(&s->boxes, i, one);
    for (int64_t begin = i + 1; begin < s->n; begin += CHUNK) {
        const int64_t n = s->n - begin < CHUNK ? s->n - begin : CHUNK;
        blas_overlaps(&s->boxes, begin, n, one, s->extra, overlap);
        for (int64_t j = 0; j < n; j++) {
            const bool goes =
                overlap[j] > s->threshold || (s->inclusive && overlap[j] == s->threshold);
            if (goes && (!s->name || s->name[begin + j] == s->name[i])) gone[begin + j] = 1;
        }
    }
}

int64_t blas_suppress(const blas_suppression *s, uint8_t *gone, int64_t *keep)
{
    int64_t kept = 0;
    if (s->n > 0) memset(gone, 0, (size_t)s->n);
    for (int64_t i = 0; i < s->n && kept < s->most; i++) {
        if (gone[i]) continue;
        keep[kept++] = i;
        make_go(s, i, gone);
    }
    return kept;
}
