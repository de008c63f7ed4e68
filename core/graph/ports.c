// core/graph/ports.c: which inputs and outputs a call has, by its parameters, and their names.
#include "core/graph/schema.h"

// ------------------------------------------------------------------ conditions

// A condition taken apart: "!name", "name", "name=values".
typedef struct condition {
    bool negated;
    int32_t param;      // index, or -1
    const char *values; // "a|b", or NULL
} condition;

static condition condition_of(const tni_op *op, const char *text)
{
    condition c = {.negated = *text == '!', .param = -1};
    if (c.negated) text++;
    const size_t n = strcspn(text, "=");
    if (text[n] == '=') c.values = text + n + 1;
    for (uint32_t i = 0; i < op->n_params; i++) {
        const char *name = op->params[i].decl.name;
        if (strlen(name) == n && strncmp(name, text, n) == 0) c.param = (int32_t)i;
    }
    return c;
}

static const void *field_of(const tni_param *p, const void *params)
{
    return (const char *)params + p->decl.offset;
}

// The value as one word, as conditions have it.
static const char *word_of(const tni_param *p, const void *params)
{
    const void *at = field_of(p, params);
    const int32_t i = *(const int32_t *)at;
    if (p->decl.type == TN_P_BOOL) return i ? "True" : "False";
    return i < 0 ? "None" : p->choices[i];
}

static bool word_among(const char *word, const char *values)
{
    const size_t length = strlen(word);
    for (const char *s = values; *s; s += *s == '|') {
        const size_t n = strcspn(s, "|");
        if (n == length && strncmp(s, word, n) == 0) return true;
        s += n;
    }
    return false;
}

static bool is_true(const tni_param *p, const void *params)
{
    const void *at = field_of(p, params);
    switch (p->decl.type) {
    case TN_P_BOOL: return *(const int32_t *)at != 0;
    case TN_P_I64: return *(const int64_t *)at != 0 && *(const int64_t *)at != TN_NONE_I64;
    case TN_P_F64: return *(const double *)at < 0 || *(const double *)at > 0;
    case TN_P_STR: return *(const char *const *)at && **(const char *const *)at;
    case TN_P_ENUM: return *(const int32_t *)at >= 0;
    case TN_P_I64S: return ((const tn_ints *)at)->n > 0;
    case TN_P_F64S: return ((const tn_reals *)at)->n > 0;
    default: return *(const tn_dtype *)at != TN_DTYPE_NONE;
    }
}

bool tni_when(const tni_op *op, const void *params, const char *text)
{
    if (!text) return true;
    const condition c = condition_of(op, text);
    if (c.param < 0) return false;
    const tni_param *p = &op->params[c.param];
    const bool value = c.values ? word_among(word_of(p, params), c.values) : is_true(p, params);
    return value != c.negated;
}

bool tni_when_valid(const tni_op *op, const char *text, tni_text *reason)
{
    if (!text) return true;
    const condition c = condition_of(op, text);
    if (c.param < 0) {
        tni_text_printf(reason, "condition '%s' names no parameter", text);
        return false;
    }
    if (!c.values) return true;
    const tni_param *p = &op->params[c.param];
    if (p->decl.type != TN_P_ENUM && p->decl.type != TN_P_BOOL) {
        tni_text_printf(reason, "condition '%s' compares a parameter that has no words", text);
        return false;
    }
    static const char *const truths[] = {"True", "False", NULL};
    const char *const *words = p->decl.type == TN_P_BOOL ? truths : p->choices;
    size_t known = 0, wanted = 1;
    for (const char *s = c.values; *s; s++) wanted += *s == '|';
    for (size_t i = 0; words[i]; i++) known += word_among(words[i], c.values);
    known += p->decl.type == TN_P_ENUM && word_among("None", c.values);
    if (known == wanted) return true;
    tni_text_printf(reason, "condition '%s' names a value that %s does not have", text,
                    p->decl.name);
    return false;
}

// ------------------------------------------------------------------ ports

static uint32_t count_of(const tni_op *op, int32_t param, const void *params)
{
    const int64_t n = *(const int64_t *)field_of(&op->params[param], params);
    return n < 0 ? 0 : n > TNI_MAX_PORTS ? TNI_MAX_PORTS : (uint32_t)n;
}

// How many ports of a call the declared input i stands for.
static uint32_t span_in(const tni_op *op, const void *params, uint32_t i)
{
    if (!tni_when(op, params, op->in[i].when)) return 0;
    return op->in[i].flags & TN_PORT_VARIADIC ? count_of(op, op->count_param, params) : 1;
}

// With `count_outputs` the last declared output is the one that is counted.
static bool is_counted_out(const tni_op *op, uint32_t i)
{
    return op->count_out_param >= 0 && i + 1 == op->n_out;
}

static uint32_t span_out(const tni_op *op, const void *params, uint32_t i)
{
    if (is_counted_out(op, i)) return count_of(op, op->count_out_param, params);
    return tni_when(op, params, op->out[i].when);
}

static bool is_visible(const tni_op *op, const void *params, uint32_t i)
{
    const tn_port_decl *p = &op->out[i];
    if (!(p->flags & TN_PORT_HIDDEN)) return true;
    return p->visible && tni_when(op, params, p->visible);
}

tni_arity tni_op_arity(const tni_op *op, const void *params)
{
    tni_arity a = {0};
    for (uint32_t i = 0; i < op->n_in; i++) a.n_in += span_in(op, params, i);
    for (uint32_t i = 0; i < op->n_out; i++) {
        const uint32_t n = span_out(op, params, i);
        a.n_out += n;
        if (is_visible(op, params, i)) a.n_visible += n;
    }
    return a;
}

// The declared input that port i of a call belongs to; *i becomes its number within it.
static const tn_port_decl *in_at(const tni_op *op, const void *params, uint32_t *i)
{
    for (uint32_t k = 0; k < op->n_in; k++) {
        const uint32_t n = span_in(op, params, k);
        if (*i < n) return &op->in[k];
        *i -= n;
    }
    return NULL;
}

static const tn_port_decl *out_at(const tni_op *op, const void *params, uint32_t *i)
{
    for (uint32_t k = 0; k < op->n_out; k++) {
        const uint32_t n = span_out(op, params, k);
        if (*i < n) return &op->out[k];
        *i -= n;
    }
    return NULL;
}

const tn_port_decl *tni_op_in(const tni_op *op, const void *params, uint32_t i)
{
    return in_at(op, params, &i);
}

const tn_port_decl *tni_op_out(const tni_op *op, const void *params, uint32_t i)
{
    return out_at(op, params, &i);
}

const char *tni_op_in_name(const tni_op *op, const void *params, uint32_t i, char buffer[64])
{
    const tn_port_decl *p = in_at(op, params, &i);
    if (p && p->flags & TN_PORT_VARIADIC)
        snprintf(buffer, 64, "arg%u", i);
    else
        snprintf(buffer, 64, "%s", p ? p->name : "");
    return buffer;
}

const char *tni_op_out_name(const tni_op *op, const void *params, uint32_t i, char buffer[64])
{
    const tn_port_decl *p = out_at(op, params, &i);
    if (p && is_counted_out(op, (uint32_t)(p - op->out)))
        snprintf(buffer, 64, "%.48s%u", p->name, i);
    else
        snprintf(buffer, 64, "%s", p ? p->name : "");
    return buffer;
}

bool tni_op_slot(const tni_op *op, const void *params, uint32_t port, uint32_t index,
                 uint32_t *slot)
{
    *slot = index;
    for (uint32_t k = 0; k < port; k++) *slot += span_in(op, params, k);
    return index < span_in(op, params, port);
}
