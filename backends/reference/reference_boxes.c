// backends/reference/reference_boxes.c: overlap of boxes, and suppression of those that overlap.
#include "reference_boxes.h"

double ref_overlap(const double a[4], const double b[4], double extra)
{
    const double w = fmin(a[2], b[2]) - fmax(a[0], b[0]) + extra;
    const double h = fmin(a[3], b[3]) - fmax(a[1], b[1]) + extra;
    const double both = w > 0 && h > 0 ? w * h : 0;
    const double area_a = (a[2] - a[0] + extra) * (a[3] - a[1] + extra);
    const double area_b = (b[2] - b[0] + extra) * (b[3] - b[1] + extra);
    const double all = area_a + area_b - both; // NaN if a corner is
    return all > 0 ? both / all : 0;
}

// Marks the boxes behind box i that it makes go.
static void suppress_behind(const ref_suppression *s, int64_t i, uint8_t *gone)
{
    for (int64_t j = i + 1; j < s->n; j++) {
        if (gone[j] || (s->group && s->group[i] != s->group[j])) continue;
        const double overlap = ref_overlap(s->box + 4 * i, s->box + 4 * j, s->extra);
        gone[j] = overlap > s->threshold || (s->inclusive && overlap == s->threshold);
    }
}

int64_t ref_suppress(const ref_suppression *s, uint8_t *gone, int64_t *keep)
{
    int64_t kept = 0;
    if (s->n > 0) memset(gone, 0, (size_t)s->n);
    for (int64_t i = 0; i < s->n && kept < s->most; i++) {
        if (gone[i]) continue;
        keep[kept++] = i;
        suppress_behind(s, i, gone);
    }
    return kept;
}
