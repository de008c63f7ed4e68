// core/graph/values.c: parameter values as MXNet writes them: "(3, 3)", "True", "1e-3", "None".
//
// Source: the readers of dmlc-core (parameter.h) and nnvm (tuple.h) at the versions that MXNet
// 0.11 has: a list stands in () or [], a bare number is a list of one, an integer may end in L.
#include "core/graph/schema.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>

static const char *skip_space(const char *s)
{
    while (isspace((unsigned char)*s)) s++;
    return s;
}

static bool is_end(const char *s)
{
    return *skip_space(s) == 0;
}

// Is s, but for the space around it, that word?
static bool is_word(const char *s, const char *word)
{
    s = skip_space(s);
    const size_t n = strlen(word);
    return strncmp(s, word, n) == 0 && is_end(s + n);
}

static void reject(tni_text *reason, const char *text, const char *wanted)
{
    tni_text_printf(reason, "'%.80s' is no %s", text, wanted);
}

// ------------------------------------------------------------------ one number

static bool read_i64(const char **s, int64_t *v)
{
    const char *at = skip_space(*s);
    if (!isdigit((unsigned char)at[*at == '-' || *at == '+'])) return false;
    char *end;
    errno = 0;
    const long long n = strtoll(at, &end, 10);
    if (errno) return false;
    *v = n;
    *s = end;
    return *v != TN_NONE_I64;
}

static bool read_f64(const char **s, double *v)
{
    const char *at = skip_space(*s);
    const char *digits = at + (*at == '-' || *at == '+');
    if (digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X')) return false; // no hex
    char *end;
    *v = tni_strtod(at, &end);
    if (end == at || isnan(*v)) return false;
    // "1e999" is a mistake; "inf" says what it means.
    if (isinf(*v) && tolower((unsigned char)*digits) != 'i') return false;
    *s = end;
    return true;
}

// Entries of lists must be at least 1 with TN_PF_POSITIVE, and everything inside the range.
static bool in_range(const tni_param *p, double v, tni_text *reason)
{
    const bool low = p->lo_open ? v > p->lo : v >= p->lo;
    const bool high = p->hi_open ? v < p->hi : v <= p->hi;
    char number[TNI_NUMBER];
    if (!low || !high) {
        tni_text_printf(reason, "%s is outside %s", tni_number(number, v), p->decl.range);
        return false;
    }
    if (p->decl.flags & TN_PF_POSITIVE && v < 1) {
        tni_text_printf(reason, "%s is less than 1", tni_number(number, v));
        return false;
    }
    return true;
}

static bool parse_i64(const tni_param *p, const char *text, void *to, tni_text *reason)
{
    const char *s = text;
    int64_t v;
    if (!read_i64(&s, &v) || !is_end(s)) {
        reject(reason, text, "integer");
        return false;
    }
    *(int64_t *)to = v;
    return in_range(p, (double)v, reason);
}

static bool parse_f64(const tni_param *p, const char *text, void *to, tni_text *reason)
{
    const char *s = text;
    double v;
    if (!read_f64(&s, &v) || !is_end(s)) {
        reject(reason, text, "number");
        return false;
    }
    *(double *)to = v;
    return in_range(p, v, reason);
}

// ------------------------------------------------------------------ words

static bool parse_bool(const char *text, void *to, tni_text *reason)
{
    const bool yes = is_word(text, "True") || is_word(text, "true") || is_word(text, "1");
    const bool no = is_word(text, "False") || is_word(text, "false") || is_word(text, "0");
    *(int32_t *)to = yes;
    if (!yes && !no) reject(reason, text, "boolean (True, False, 1, 0)");
    return yes || no;
}

static bool parse_enum(const tni_param *p, const char *text, void *to, tni_text *reason)
{
    size_t n = 0;
    for (; p->choices[n]; n++) {
        if (strcmp(p->choices[n], text) != 0) continue;
        *(int32_t *)to = (int32_t)n;
        return true;
    }
    tni_text_printf(reason, "'%.80s' is none of ", text);
    for (size_t i = 0; i < n; i++) tni_text_printf(reason, "%s%s", i ? ", " : "", p->choices[i]);
    return false;
}

static bool parse_dtype(const tni_param *p, const char *text, void *to, tni_text *reason)
{
    const tn_dtype d = tn_dtype_find(text);
    bool allowed = d != TN_DTYPE_NONE && !p->choices[0];
    for (size_t i = 0; p->choices[i]; i++) allowed = allowed || strcmp(p->choices[i], text) == 0;
    *(tn_dtype *)to = d;
    if (d == TN_DTYPE_NONE)
        reject(reason, text, "dtype");
    else if (!allowed)
        tni_text_printf(reason, "'%.80s' is none of %s", text, p->decl.choices);
    return d != TN_DTYPE_NONE && allowed;
}

// ------------------------------------------------------------------ lists

// A list being read: `at` behind what was read so far, room for `most` entries.
typedef struct list {
    const tni_param *param;
    const char *at;
    char close; // the bracket that ends it; 0: a bare number
    size_t n;
    int64_t *i64s; // one of the two
    double *f64s;
} list;

static bool read_entry(list *l, tni_text *reason)
{
    const char *s = skip_space(l->at);
    if (l->param->decl.flags & TN_PF_NONE && strncmp(s, "None", 4) == 0) {
        if (l->i64s) l->i64s[l->n] = TN_NONE_I64;
        if (l->f64s) l->f64s[l->n] = NAN;
        l->at = s + 4;
        l->n++;
        return true;
    }
    double v = 0;
    const bool read = l->i64s ? read_i64(&s, &l->i64s[l->n]) : read_f64(&s, &l->f64s[l->n]);
    if (!read) return false;
    v = l->i64s ? (double)l->i64s[l->n] : l->f64s[l->n];
    if (l->i64s && *s == 'L') s++;
    l->at = skip_space(s);
    l->n++;
    return in_range(l->param, v, reason);
}

// Reads to the closing bracket. A comma may stand before it.
static bool read_entries(list *l, tni_text *reason)
{
    l->at = skip_space(l->at);
    while (*l->at != l->close) {
        if (!read_entry(l, reason)) return false;
        l->at = skip_space(l->at);
        if (*l->at == ',')
            l->at = skip_space(l->at + 1);
        else if (*l->at != l->close)
            return false;
    }
    l->at += l->close != 0;
    return is_end(l->at);
}

// An empty list is legal where lengths are free, and where it is the default ("() means ones").
static bool length_valid(const tni_param *p, size_t n, tni_text *reason)
{
    const tn_param_decl *d = &p->decl;
    if (!d->min_len && !d->max_len) return true;
    if (n == 0 && d->def && (strcmp(d->def, "()") == 0 || strcmp(d->def, "None") == 0)) return true;
    const uint32_t most = d->max_len ? d->max_len : UINT32_MAX;
    if (n >= d->min_len && n <= most) return true;
    if (d->min_len == most)
        tni_text_printf(reason, "%zu entries, wanted %u", n, most);
    else if (d->max_len)
        tni_text_printf(reason, "%zu entries, wanted %u to %u", n, d->min_len, most);
    else
        tni_text_printf(reason, "%zu entries, wanted at least %u", n, d->min_len);
    return false;
}

static bool parse_list(const tni_param *p, const char *text, void *to, tni_arena *arena,
                       tni_text *reason)
{
    const bool ints = p->decl.type == TN_P_I64S;
    size_t most = 1;
    for (const char *s = text; *s; s++) most += *s == ',';
    void *v = tni_alloc(arena, most * sizeof(int64_t));
    if (!v) {
        tni_text_add(reason, "out of memory");
        return false;
    }
    list l = {p, skip_space(text), 0, 0, ints ? v : NULL, ints ? NULL : v};
    if (is_word(text, "None")) {
        l.at = "";
    } else if (*l.at == '(' || *l.at == '[') {
        l.close = *l.at++ == '(' ? ')' : ']';
    }
    const bool bare_ok = l.close || !strchr(text, ',');
    if (!bare_ok || (!l.close && is_end(text)) || !read_entries(&l, reason)) {
        if (!reason->n) reject(reason, text, ints ? "list of integers" : "list of numbers");
        return false;
    }
    if (ints)
        *(tn_ints *)to = (tn_ints){l.n, v};
    else
        *(tn_reals *)to = (tn_reals){l.n, v};
    return length_valid(p, l.n, reason);
}

// ------------------------------------------------------------------ any value

static void put_none(const tni_param *p, void *to)
{
    switch (p->decl.type) {
    case TN_P_I64: *(int64_t *)to = TN_NONE_I64; break;
    case TN_P_F64: *(double *)to = NAN; break;
    case TN_P_STR: *(const char **)to = NULL; break;
    case TN_P_ENUM: *(int32_t *)to = -1; break;
    default: *(tn_dtype *)to = TN_DTYPE_NONE; break;
    }
}

bool tni_param_parse(const tni_param *p, const char *text, void *blob, tni_arena *arena,
                     tni_text *reason)
{
    void *to = (char *)blob + p->decl.offset;
    const uint32_t type = p->decl.type;
    const bool is_list = type == TN_P_I64S || type == TN_P_F64S;
    if (p->decl.flags & TN_PF_NONE && !is_list && type != TN_P_BOOL && is_word(text, "None")) {
        put_none(p, to);
        return true;
    }
    switch (type) {
    case TN_P_BOOL: return parse_bool(text, to, reason);
    case TN_P_I64: return parse_i64(p, text, to, reason);
    case TN_P_F64: return parse_f64(p, text, to, reason);
    case TN_P_ENUM: return parse_enum(p, text, to, reason);
    case TN_P_DTYPE: return parse_dtype(p, text, to, reason);
    case TN_P_STR: {
        char *copy = tni_strdup(arena, text);
        *(const char **)to = copy;
        if (!copy) tni_text_add(reason, "out of memory");
        return copy != NULL;
    }
    default: return parse_list(p, text, to, arena, reason);
    }
}

static void add_number(tni_text *t, double v)
{
    char number[TNI_NUMBER];
    tni_text_add(t, isnan(v) ? "None" : tni_number(number, v));
}

static void add_i64(tni_text *t, int64_t v)
{
    if (v == TN_NONE_I64)
        tni_text_add(t, "None");
    else
        tni_text_printf(t, "%lld", (long long)v);
}

static void add_list(tni_text *t, const tn_ints *ints, const tn_reals *reals)
{
    const size_t n = ints ? ints->n : reals->n;
    tni_text_add(t, "(");
    for (size_t i = 0; i < n; i++) {
        if (i) tni_text_add(t, ", ");
        if (ints)
            add_i64(t, ints->v[i]);
        else
            add_number(t, reals->v[i]);
    }
    tni_text_add(t, n == 1 ? ",)" : ")");
}

char *tni_param_text(const tni_param *p, const void *blob, tni_arena *arena)
{
    const void *at = (const char *)blob + p->decl.offset;
    tni_text t = {0};
    int32_t i;
    const char *s;
    switch (p->decl.type) {
    case TN_P_BOOL: tni_text_add(&t, *(const int32_t *)at ? "True" : "False"); break;
    case TN_P_I64: add_i64(&t, *(const int64_t *)at); break;
    case TN_P_F64: add_number(&t, *(const double *)at); break;
    case TN_P_I64S: add_list(&t, at, NULL); break;
    case TN_P_F64S: add_list(&t, NULL, at); break;
    case TN_P_ENUM:
        i = *(const int32_t *)at;
        tni_text_add(&t, i < 0 ? "None" : p->choices[i]);
        break;
    case TN_P_STR:
        s = *(const char *const *)at;
        tni_text_add(&t, s ? s : "None");
        break;
    default:
        i = *(const tn_dtype *)at;
        tni_text_add(&t, i == TN_DTYPE_NONE ? "None" : tn_dtype_name(i));
        break;
    }
    char *copy = t.failed || !t.s ? NULL : tni_strndup(arena, t.s, t.n);
    tni_text_free(&t);
    return copy;
}

bool tni_shape_parse(const char *text, tn_shape *shape)
{
    *shape = (tn_shape){.ndim = -1};
    const char *s = skip_space(text);
    if (is_word(s, "None")) return true;
    const char close = *s == '(' ? ')' : *s == '[' ? ']' : 0;
    if (close) s = skip_space(s + 1);
    int32_t n = 0;
    while (*s != close) {
        if (n == TN_MAX_NDIM || !read_i64(&s, &shape->dim[n]) || shape->dim[n] < -1) return false;
        if (shape->dim[n] == 0) shape->dim[n] = -1; // MXNet's word for unknown
        n++;
        s = skip_space(s + (*s == 'L'));
        if (close && *s == ',')
            s = skip_space(s + 1);
        else if (*s != close)
            return false;
    }
    if (!is_end(s + (close != 0))) return false;
    if (n) shape->ndim = n; // "()" says nothing
    return close || n;
}
