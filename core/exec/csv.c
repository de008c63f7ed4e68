// core/exec/csv.c: numbers in comma-separated lines, plain or gzip, as a float32 table.
#include <locale.h>
#include <math.h>
#include <tenon/tensor.h>

#include "core/exec/exec.h"

enum {
    PIECE = 1 << 16,    // bytes read at a time
    LONGEST_FIELD = 256 // a float64 in full has fewer than 30 characters
};

typedef struct csv {
    tn_env *env;
    const char *path;
    locale_t c; // a decimal point, whatever the host's locale is
    float *v;   // rows one after the other
    size_t n, capacity;
    uint64_t line, byte;  // of the character that is looked at, from 1 and 0
    size_t rows, columns; // columns 0: no row was read yet
    size_t column;        // fields of the running line so far
    size_t numbers, bad;  // of the first line: fields that are numbers; first that is none
    char field[LONGEST_FIELD + 1];
    size_t length;
} csv;

// The field's first characters, for a message: what a terminal might obey is escaped.
static const char *shown(const csv *c, char *text, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < c->length && at + 8 < size; i++) {
        const unsigned char ch = (unsigned char)c->field[i];
        const bool plain = ch >= ' ' && ch < 0x7F;
        at += (size_t)snprintf(text + at, size - at, plain ? "%c" : "\\x%02x", ch);
        if (at + 8 >= size && i + 1 < c->length) snprintf(text + at, size - at, "…");
    }
    if (!c->length) text[0] = '\0';
    return text;
}

static bool fail_at(csv *c, const char *wanted)
{
    char text[48];
    tni_env_fail(c->env, TN_E_FORMAT, "%s: byte %llu: line %llu, column %zu: wanted %s, got \"%s\"",
                 c->path, (unsigned long long)c->byte, (unsigned long long)c->line, c->column + 1,
                 wanted, shown(c, text, sizeof text));
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void trim(csv *c)
{
    size_t first = 0;
    while (c->length && is_space(c->field[c->length - 1])) c->length--;
    while (first < c->length && is_space(c->field[first])) first++;
    c->length -= first;
    memmove(c->field, c->field + first, c->length);
    c->field[c->length] = '\0';
}

static bool push(csv *c, float value)
{
    void *v = c->v;
    if (!tni_grow(&v, &c->capacity, c->n + 1, sizeof *c->v)) {
        tni_env_fail(c->env, TN_E_NOMEM, "%s: out of memory after %zu numbers", c->path, c->n);
        return false;
    }
    c->v = v;
    c->v[c->n++] = value;
    return true;
}

// The field that just ended. In the first line what is no number is only noted: it may be a header.
static bool end_field(csv *c)
{
    trim(c);
    char *end;
    const float value = strtof_l(c->field, &end, c->c);
    const bool number = c->length && end == c->field + c->length;
    if (number && isinf(value) && strpbrk(c->field, "0123456789"))
        return fail_at(c, "a number that float32 can hold");
    if (!number && c->columns) return fail_at(c, "a number");
    if (!number && !c->bad) c->bad = c->column + 1;
    if (number) c->numbers++;
    if (number && !push(c, value)) return false;
    c->column++;
    c->length = 0;
    return true;
}

static bool end_first_line(csv *c)
{
    if (!c->numbers) return true; // a header
    if (c->bad) {
        tni_env_fail(c->env, TN_E_FORMAT,
                     "%s: line %llu, column %zu: wanted a number, as in the other columns", c->path,
                     (unsigned long long)c->line, c->bad);
        return false;
    }
    c->columns = c->column;
    c->rows = 1;
    return true;
}

static bool end_line(csv *c)
{
    trim(c);
    if (!c->column && !c->length) return true; // a blank line
    if (!end_field(c)) return false;
    if (!c->columns) {
        const bool ok = end_first_line(c);
        if (ok && !c->columns) c->columns = SIZE_MAX; // the header was met: now count
        c->column = 0;
        return ok;
    }
    if (c->columns == SIZE_MAX) c->columns = c->column;
    if (c->column != c->columns) {
        tni_env_fail(c->env, TN_E_FORMAT,
                     "%s: byte %llu: line %llu: wanted %zu columns as in the first row, got %zu",
                     c->path, (unsigned long long)c->byte, (unsigned long long)c->line, c->columns,
                     c->column);
        return false;
    }
    c->rows++;
    c->column = 0;
    return true;
}

static bool take(csv *c, char ch)
{
    bool ok = true;
    if (ch == '\n') {
        ok = end_line(c);
        c->line++;
    } else if (ch == ',') {
        ok = end_field(c);
    } else if (c->length < LONGEST_FIELD) {
        c->field[c->length++] = ch;
    } else {
        c->field[c->length] = '\0';
        ok = fail_at(c, "a number of at most 256 characters");
    }
    c->byte++;
    return ok;
}

static bool read_all(csv *c, tni_stream *s)
{
    char *const piece = malloc(PIECE);
    if (!piece) {
        tni_env_fail(c->env, TN_E_NOMEM, "%s: out of memory", c->path);
        return false;
    }
    int64_t got;
    bool ok = true;
    while (ok && (got = tni_stream_read(s, piece, PIECE)) > 0) {
        const bool mark = !c->byte && got >= 3 && !memcmp(piece, "\xEF\xBB\xBF", 3);
        if (mark) c->byte = 3; // a byte order mark
        for (int64_t i = mark ? 3 : 0; i < got && ok; i++) ok = take(c, piece[i]);
    }
    free(piece);
    return ok && got == 0 && end_line(c);
}

static tn_tensor *table(const csv *c)
{
    if (!c->rows) {
        tni_env_fail(c->env, TN_E_FORMAT, "%s: byte %llu: wanted a line of numbers, got none",
                     c->path, (unsigned long long)c->byte);
        return NULL;
    }
    tn_tensor *const t =
        tn_tensor_new(c->env, TN_F32, TN_DIMS((int64_t)c->rows, (int64_t)c->columns));
    if (t) memcpy(tn_tensor_data(t), c->v, c->n * sizeof *c->v);
    return t;
}

tn_tensor *tn_csv_load(tn_env *env, const char *path)
{
    tni_stream s;
    tn_tensor *result = NULL;
    if (!tni_stream_open(&s, env, path)) return NULL;
    csv c = {.env = env, .path = path, .line = 1};
    c.c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c.c)
        tni_env_fail(env, TN_E_NOMEM, "%s: out of memory", path);
    else if (read_all(&c, &s))
        result = table(&c);
    if (c.c) freelocale(c.c);
    free(c.v);
    tni_stream_close(&s);
    return result;
}
