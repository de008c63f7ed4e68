// core/base/text.c: growable text, growable arrays, and numbers as text in the C locale.
#include "core/base/base.h"

#include <locale.h>

bool tni_grow(void **array, size_t *capacity, size_t wanted, size_t item_bytes)
{
    if (wanted <= *capacity) return true;
    size_t n = *capacity ? *capacity : 8;
    while (n < wanted) {
        if (n > SIZE_MAX / 2 / item_bytes) return false;
        n *= 2;
    }
    void *p = realloc(*array, n * item_bytes);
    if (!p) return false;
    *array = p;
    *capacity = n;
    return true;
}

static bool reserve(tni_text *t, size_t more)
{
    void *s = t->s;
    if (t->failed || more > SIZE_MAX / 2 - t->n ||
        !tni_grow(&s, &t->capacity, t->n + more + 1, 1)) {
        t->failed = true;
        return false;
    }
    t->s = s;
    return true;
}

void tni_text_addn(tni_text *t, const char *s, size_t n)
{
    if (!reserve(t, n)) return;
    memcpy(t->s + t->n, s, n);
    t->n += n;
    t->s[t->n] = 0;
}

void tni_text_add(tni_text *t, const char *s)
{
    tni_text_addn(t, s, strlen(s));
}

void tni_text_printf(tni_text *t, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (n >= 0 && reserve(t, (size_t)n)) {
        vsnprintf(t->s + t->n, (size_t)n + 1, format, again);
        t->n += (size_t)n;
    }
    va_end(again);
}

void tni_text_free(tni_text *t)
{
    free(t->s);
    *t = (tni_text){0};
}

void tni_text_shape(tni_text *t, const tn_shape *shape)
{
    if (shape->ndim < 0) {
        tni_text_add(t, "?");
        return;
    }
    tni_text_add(t, "(");
    for (int32_t i = 0; i < shape->ndim && i < TN_MAX_NDIM; i++) {
        if (i) tni_text_add(t, ",");
        if (shape->dim[i] < 0)
            tni_text_add(t, "?");
        else
            tni_text_printf(t, "%lld", (long long)shape->dim[i]);
    }
    tni_text_add(t, ")");
}

// A host that called setlocale() may have a decimal comma; files and parameters never do.
double tni_strtod(const char *text, char **end)
{
    const locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c) return strtod(text, end);
    const double v = strtod_l(text, end, c);
    freelocale(c);
    return v;
}

const char *tni_number(char buffer[TNI_NUMBER], double value)
{
    const locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    const locale_t before = c ? uselocale(c) : (locale_t)0;
    // Integers are written out ("100", not "1e+02") as far as doubles hold them all.
    const bool integral = value > -0x1p53 && value < 0x1p53 && value == (double)(int64_t)value;
    if (integral) snprintf(buffer, TNI_NUMBER, "%.0f", value);
    for (int digits = 1; !integral && digits <= 17; digits++) { // 17 tell any two doubles apart
        snprintf(buffer, TNI_NUMBER, "%.*g", digits, value);
        if (strtod(buffer, NULL) == value) break;
    }
    if (c) {
        uselocale(before);
        freelocale(c);
    }
    return buffer;
}
