// core/base/spelling.c: "did you mean …?": the names nearest to one that was not found.
#include "core/base/base.h"

#include <ctype.h>

enum {
    LONGEST = 63, // only so much of a name is compared
    BEST = 3,     // names that are proposed
    LISTED = 10   // names that are listed when none is near
};

static int lower(char c)
{
    return tolower((unsigned char)c);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

// Optimal string alignment distance: insertions, deletions, changes and swaps of neighbours.
// Letters that differ in case only are equal.
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][LONGEST + 1];
    const size_t n = strnlen(a, LONGEST), m = strnlen(b, LONGEST);
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= m; j++) above[j] = before[j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            const bool same = lower(a[i - 1]) == lower(b[j - 1]);
            row[j] = smaller(above[j - 1] + !same, smaller(above[j], row[j - 1]) + 1);
            const bool swap = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                              lower(a[i - 2]) == lower(b[j - 1]);
            if (swap) row[j] = smaller(row[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[m];
}

typedef struct guess {
    const char *name;
    size_t distance;
} guess;

// Keeps the nearest in order; of equal ones the earlier. A name already kept is not kept again.
static size_t keep(guess *best, size_t n, guess g)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(best[i].name, g.name) == 0) return n;
    size_t at = n;
    while (at > 0 && best[at - 1].distance > g.distance) at--;
    if (at == BEST) return n;
    if (n < BEST) n++;
    memmove(best + at + 1, best + at, (n - 1 - at) * sizeof *best);
    best[at] = g;
    return n;
}

void tni_text_nearest(tni_text *t, const char *wanted, const char *const *names, size_t n)
{
    guess best[BEST];
    size_t n_best = 0;
    const size_t length = strnlen(wanted, LONGEST);
    const size_t limit = length < 3 ? 1 : smaller(4, (length + 2) / 3);
    for (size_t i = 0; i < n; i++) {
        const size_t other = strnlen(names[i], LONGEST);
        if (other > length + limit || length > other + limit) continue;
        const size_t d = distance(wanted, names[i]);
        if (d <= limit) n_best = keep(best, n_best, (guess){names[i], d});
    }
    // What is clearly farther away than the best would only distract.
    while (n_best && best[n_best - 1].distance > best[0].distance + 1) n_best--;
    if (n_best) {
        tni_text_add(t, " — did you mean ");
        for (size_t i = 0; i < n_best; i++) tni_text_printf(t, "%s%s", i ? ", " : "", best[i].name);
        tni_text_add(t, "?");
        return;
    }
    if (n) tni_text_add(t, " — candidates: ");
    for (size_t i = 0; i < n && i < LISTED; i++)
        tni_text_printf(t, "%s%s", i ? ", " : "", names[i]);
    if (n > LISTED) tni_text_printf(t, ", … (%zu in all)", n);
}
