// core/base/error.c: the one door through which every error of the library passes.
#include "core/base/base.h"

tn_status tni_vfail(tni_error *e, tn_status status, const char *place, const char *format,
                    va_list ap)
{
    if (e->status != TN_OK) return e->status;
    tni_text t = {0};
    char small[512];
    va_list again;
    va_copy(again, ap);
    const int n = vsnprintf(small, sizeof small, format, ap);
    if (place) tni_text_printf(&t, "%s: ", place);
    if (n >= 0 && (size_t)n < sizeof small) {
        tni_text_addn(&t, small, (size_t)n);
    } else if (n >= 0) {
        char *big = malloc((size_t)n + 1);
        if (big) vsnprintf(big, (size_t)n + 1, format, again);
        tni_text_add(&t, big ? big : small);
        free(big);
    }
    va_end(again);
    e->status = status == TN_OK ? TN_E_INTERNAL : status;
    if (t.failed) tni_text_free(&t);
    e->text = t.s;
    return e->status;
}

tn_status tni_fail(tni_error *e, tn_status status, const char *place, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    const tn_status s = tni_vfail(e, status, place, format, ap);
    va_end(ap);
    return s;
}

const char *tni_error_text(const tni_error *e)
{
    if (e->status == TN_OK) return "";
    return e->text ? e->text : tn_status_text(e->status);
}

void tni_error_clear(tni_error *e)
{
    free(e->text);
    *e = (tni_error){0};
}
