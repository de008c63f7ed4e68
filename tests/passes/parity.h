// tests/passes/parity.h: reads the table of another framework's operators, row by row.
#ifndef TENON_TESTS_PARITY_H
#define TENON_TESTS_PARITY_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "op_rows.h"

// A row, taken apart in place; "-" has become "".
typedef struct parity_row {
    char *name, *aliases, *inputs, *aux, *outputs, *params, *gradient;
} parity_row;

typedef struct parity_table {
    char *text;
    parity_row rows[400];
    size_t n;
} parity_table;

static inline char *parity_word(char **rest, const char *separators)
{
    char *word = strsep(rest, separators);
    if (!word) return NULL;
    while (*word == ' ') word++;
    return word;
}

static inline bool parity_read(parity_table *t, const char *path)
{
    FILE *f = fopen(path, "rb");
    const size_t size = 1 << 17;
    t->n = 0;
    t->text = calloc(1, size);
    if (f && t->text) fread(t->text, 1, size - 1, f);
    if (f) fclose(f);
    char *rest = t->text;
    for (char *line; rest && (line = strsep(&rest, "\n")) && t->n < 400;) {
        if (!*line || *line == '#') continue;
        char **column = &t->rows[t->n].name;
        size_t n = 0;
        for (char *word; n < 7 && (word = strsep(&line, "\t")); n++)
            column[n] = strcmp(word, "-") == 0 ? word + 1 : word;
        if (n == 7) t->n++;
    }
    return t->n > 0;
}

// ------------------------------------------------------------------ parameters

typedef struct parity_param {
    const char *name, *def, *choices; // def NULL: required; choices "a|b)", or NULL
    tn_param_decl decl;               // type and the flag for None
    double lo, hi;
    bool hi_open;
    uint32_t length; // 0: any
} parity_param;

static inline uint32_t parity_type(const char *word, size_t n)
{
    static const struct {
        const char *word;
        uint32_t type;
    } types[] = {{"bool", TN_P_BOOL},  {"int", TN_P_I64},    {"real", TN_P_F64},
                 {"text", TN_P_STR},   {"enum", TN_P_ENUM},  {"ints", TN_P_I64S},
                 {"reals", TN_P_F64S}, {"dtype", TN_P_DTYPE}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strlen(types[i].word) == n && strncmp(types[i].word, word, n) == 0)
            return types[i].type;
    return 0;
}

// "num_filter:int=1 [1,100000]", taken apart in place. False: it is malformed.
static inline bool parity_param_of(char *text, parity_param *p)
{
    *p = (parity_param){.lo = -INFINITY, .hi = INFINITY, .name = text};
    char *type = strchr(text, ':');
    if (!type) return false;
    *type++ = 0;
    const size_t n = strcspn(type, "?(= ");
    p->decl.type = parity_type(type, n);
    char *at = type + n;
    if (*at == '?') p->decl.flags = TN_PF_NONE, at++;
    if (*at == '(') {
        p->choices = ++at;
        at += strcspn(at, ")") + 1;
    }
    if (*at == '=') {
        p->def = at + 1;
        at += strcspn(at, " ");
    }
    char *range = strchr(at, '['), *length = strchr(at, '#');
    if (*at == ' ') *at = 0;
    if (range && range > at) {
        char *end;
        p->lo = strtod(range + 1, &end);
        if (end[1] != ')') p->hi = strtod(end + 1, NULL);
    }
    if (length && length > at) p->length = (uint32_t)strtoul(length + 1, NULL, 10);
    return p->decl.type != 0;
}

// Is the word of n characters among "a|b|c" or "a|b|c)"?
static inline bool parity_among(const char *word, size_t n, const char *list)
{
    for (const char *s = list; *s && *s != ')'; s += *s == '|') {
        const size_t m = strcspn(s, "|)");
        if (m == n && strncmp(s, word, n) == 0) return true;
        s += m;
    }
    return false;
}

// ------------------------------------------------------------------ ports

// Do the parameters of a call fulfil "!no_bias", "state_outputs&mode=lstm"?
static inline bool parity_holds(const tni_op *op, const void *params, const char *condition)
{
    char text[128];
    char *rest = text;
    snprintf(text, sizeof text, "%s", condition);
    for (char *word; (word = strsep(&rest, "&"));)
        if (!tni_when(op, params, word)) return false;
    return true;
}

static inline int64_t parity_count(const tni_op *op, const void *params, const char *name)
{
    const int32_t i = tni_param_find(op, name);
    return i < 0 ? 0 : *(const int64_t *)((const char *)params + op->params[i].decl.offset);
}

// Appends the names that a column gives for a call, each with `prefix` and followed by a space:
// the hidden ones, or the others.
static inline void parity_names(tni_text *t, const tni_op *op, const void *params, char *column,
                                const char *prefix, bool hidden)
{
    char *rest = column;
    for (char *word; (word = parity_word(&rest, ",")) && *word;) {
        char *condition = strchr(word, '?'), *count = strchr(word, '*');
        char *seen = *word == '~' ? strchr(word, '|') : NULL;
        if (condition && seen && seen > condition) seen = NULL; // a "|" of values
        if (condition) *condition++ = 0;
        if (count) *count++ = 0;
        if (seen) *seen++ = 0;
        if (condition && !parity_holds(op, params, condition)) continue;
        const bool is_hidden = *word == '~' && !(seen && parity_holds(op, params, seen));
        if (is_hidden != hidden) continue;
        const int64_t n = count ? parity_count(op, params, count) : 1;
        for (int64_t i = 0; i < n; i++) {
            tni_text_printf(t, "%s%s", prefix, word + (*word == '~'));
            if (count) tni_text_printf(t, "%lld", (long long)i);
            tni_text_add(t, " ");
        }
    }
}

#endif
