// core/graph/params.c: parameter texts of one call into the operator's typed blob.
#include "core/graph/schema.h"

enum { MOST_PARAMS = 256 }; // as schema.c admits

// What a call is given, and where its errors go.
typedef struct reading {
    const tni_op *op;
    const char *place, *what;
    tni_error *error;
} reading;

int32_t tni_param_find(const tni_op *op, const char *name)
{
    for (uint32_t i = 0; i < op->n_params; i++)
        if (strcmp(op->params[i].decl.name, name) == 0) return (int32_t)i;
    return -1;
}

static bool is_hidden(const char *key)
{
    const size_t n = strlen(key);
    return n > 4 && strncmp(key, "__", 2) == 0 && strcmp(key + n - 2, "__") == 0;
}

static bool no_memory(const reading *r)
{
    tni_fail(r->error, TN_E_NOMEM, r->place, "%s: out of memory", r->what);
    return false;
}

// "weight_lr_mult" was once how a multiplier of an input was set.
static const char *multiplier_of(const char *key)
{
    static const char *const suffixes[] = {"_lr_mult", "_wd_mult", "_ctx_group"};
    const size_t n = strlen(key);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        const size_t m = strlen(suffixes[i]);
        if (n > m && strcmp(key + n - m, suffixes[i]) == 0) return suffixes[i] + 1;
    }
    return NULL;
}

static bool unknown_key(const reading *r, const char *key)
{
    const tni_op *op = r->op;
    const char *names[MOST_PARAMS];
    tni_text t = {0};
    for (uint32_t i = 0; i < op->n_params; i++) names[i] = op->params[i].decl.name;
    tni_text_nearest(&t, key, names, op->n_params);
    bool input = false;
    for (uint32_t i = 0; i < op->n_in; i++) input = input || strcmp(op->in[i].name, key) == 0;
    const char *more = t.s ? t.s : "; it takes none";
    if (input)
        tni_fail(r->error, TN_E_INVALID, r->place,
                 "%s: %s is an input, not a parameter: give it a symbol", r->what, key);
    else if (multiplier_of(key))
        tni_fail(r->error, TN_E_INVALID, r->place,
                 "%s: no parameter %s; set %s on the variable itself", r->what, key,
                 multiplier_of(key));
    else
        tni_fail(r->error, TN_E_INVALID, r->place, "%s: no parameter %s%s", r->what, key, more);
    tni_text_free(&t);
    return false;
}

static bool bad_value(const reading *r, const tni_param *p, const char *text, tni_text *reason)
{
    if (p->decl.type == TN_P_ENUM && text) {
        size_t n = 0;
        tni_text near = {0};
        while (p->choices[n]) n++;
        tni_text_nearest(&near, text, p->choices, n);
        if (near.s && strstr(near.s, "did you mean")) tni_text_add(reason, near.s);
        tni_text_free(&near);
    }
    tni_fail(r->error, reason->failed ? TN_E_NOMEM : TN_E_INVALID, r->place, "%s: %s: %s", r->what,
             p->decl.name, reason->s ? reason->s : "out of memory");
    tni_text_free(reason);
    return false;
}

static const char *kind_of(const tni_param *p)
{
    switch (p->decl.type) {
    case TN_P_BOOL: return "True or False";
    case TN_P_I64: return "an integer";
    case TN_P_F64: return "a number";
    case TN_P_STR: return "a text";
    case TN_P_ENUM: return "one of";
    case TN_P_I64S: return "a list of integers";
    case TN_P_F64S: return "a list of numbers";
    default: return "a dtype";
    }
}

static bool missing(const reading *r, const tni_param *p)
{
    const char *range = p->decl.type == TN_P_ENUM ? p->decl.choices : p->decl.range;
    const char *in = !range ? "" : p->decl.type == TN_P_ENUM ? " " : " in ";
    tni_fail(r->error, TN_E_INVALID, r->place, "%s: %s: required (%s%s%s)", r->what, p->decl.name,
             kind_of(p), in, range ? range : "");
    return false;
}

static bool read_given(const reading *r, tni_arena *arena, const tn_attr *attrs, size_t n,
                       void *blob, bool *given)
{
    for (size_t i = 0; i < n; i++) {
        if (is_hidden(attrs[i].key)) continue;
        const int32_t at = tni_param_find(r->op, attrs[i].key);
        if (at < 0) return unknown_key(r, attrs[i].key);
        const tni_param *p = &r->op->params[at];
        tni_text reason = {0};
        if (given[at]) {
            tni_text_add(&reason, "given twice");
            return bad_value(r, p, NULL, &reason);
        }
        given[at] = true;
        if (!tni_param_parse(p, attrs[i].value, blob, arena, &reason))
            return bad_value(r, p, attrs[i].value, &reason);
        tni_text_free(&reason);
    }
    return true;
}

static bool read_defaults(const reading *r, tni_arena *arena, void *blob, const bool *given)
{
    for (uint32_t i = 0; i < r->op->n_params; i++) {
        const tni_param *p = &r->op->params[i];
        if (given[i]) continue;
        if (!p->decl.def) return missing(r, p);
        tni_text reason = {0};
        if (!tni_param_parse(p, p->decl.def, blob, arena, &reason))
            return bad_value(r, p, p->decl.def, &reason);
        tni_text_free(&reason);
    }
    return true;
}

static bool count_valid(const reading *r, int32_t param, const void *blob)
{
    if (param < 0) return true;
    const tni_param *p = &r->op->params[param];
    const int64_t n = *(const int64_t *)(const void *)((const char *)blob + p->decl.offset);
    if (n >= 0 && n <= TNI_MAX_PORTS) return true;
    tni_fail(r->error, TN_E_INVALID, r->place, "%s: %s: %lld is outside [0,%d]", r->what,
             p->decl.name, (long long)n, TNI_MAX_PORTS);
    return false;
}

static bool checked(const reading *r, const void *blob)
{
    if (!count_valid(r, r->op->count_param, blob)) return false;
    if (!count_valid(r, r->op->count_out_param, blob)) return false;
    if (!r->op->decl.check) return true;
    char reason[256] = "";
    const tn_status s = r->op->decl.check(blob, reason, sizeof reason);
    if (s == TN_OK) return true;
    reason[sizeof reason - 1] = 0;
    tni_fail(r->error, s, r->place, "%s: %s", r->what, *reason ? reason : tn_status_text(s));
    return false;
}

void *tni_params_parse(const tni_op *op, tni_arena *arena, const tn_attr *attrs, size_t n,
                       const char *place, const char *what, tni_error *error)
{
    const reading r = {op, place, what, error};
    bool given[MOST_PARAMS] = {0};
    void *blob = tni_alloc(arena, op->decl.params_size);
    if (!blob) {
        no_memory(&r);
        return NULL;
    }
    if (!read_given(&r, arena, attrs, n, blob, given)) return NULL;
    if (!read_defaults(&r, arena, blob, given)) return NULL;
    return checked(&r, blob) ? blob : NULL;
}

// ------------------------------------------------------------------ copies

static bool copy_array(tni_arena *arena, const void **v, size_t n, size_t item)
{
    if (!*v) return true;
    void *copy = tni_alloc(arena, n * item);
    if (copy) memcpy(copy, *v, n * item);
    *v = copy;
    return copy != NULL;
}

static bool copy_field(const tni_param *p, tni_arena *arena, void *blob)
{
    void *at = (char *)blob + p->decl.offset;
    const void *v;
    bool ok = true;
    if (p->decl.type == TN_P_STR) {
        const char **s = at;
        if (*s) ok = (*s = tni_strdup(arena, *s)) != NULL;
    } else if (p->decl.type == TN_P_I64S) {
        tn_ints *list = at;
        v = list->v;
        ok = copy_array(arena, &v, list->n, sizeof *list->v);
        list->v = v;
    } else if (p->decl.type == TN_P_F64S) {
        tn_reals *list = at;
        v = list->v;
        ok = copy_array(arena, &v, list->n, sizeof *list->v);
        list->v = v;
    }
    return ok;
}

void *tni_params_copy(const tni_op *op, tni_arena *arena, const void *params)
{
    void *blob = tni_alloc(arena, op->decl.params_size);
    if (!blob) return NULL;
    if (op->decl.params_size) memcpy(blob, params, op->decl.params_size);
    for (uint32_t i = 0; i < op->n_params; i++)
        if (!copy_field(&op->params[i], arena, blob)) return NULL;
    return blob;
}
