// core/graph/schema.c: takes an operator's declaration apart and refuses what makes no sense.
#include "core/graph/schema.h"

#include <ctype.h>
#include <math.h>

enum {
    MOST_PORTS = 256, // a longer list is one without its NULL
    MOST_PARAMS = 256,
    MOST_PARAM_BYTES = 1 << 16
};

// One declaration on its way in.
typedef struct intake {
    tni_op *op;
    tni_arena *arena;
    tni_error *error;
} intake;

__attribute__((format(printf, 2, 3))) static bool refuse(const intake *in, const char *format, ...)
{
    char text[384];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    tni_fail(in->error, TN_E_INVALID, NULL, "operator %s: %s",
             in->op && in->op->decl.name ? in->op->decl.name : "without a name", text);
    return false;
}

static bool no_memory(const intake *in)
{
    tni_fail(in->error, TN_E_NOMEM, NULL, "out of memory while registering an operator");
    return false;
}

static bool is_identifier(const char *s)
{
    if (!s || !(isalpha((unsigned char)*s) || *s == '_')) return false;
    while (isalnum((unsigned char)*s) || *s == '_') s++;
    return *s == 0;
}

// A growable struct of the plugin's size into one of ours: what it does not have reads as zero.
static bool copy_sized(void *to, uint32_t to_bytes, const void *from, size_t least)
{
    uint32_t bytes;
    memcpy(&bytes, from, sizeof bytes);
    if (bytes < least) return false;
    memcpy(to, from, bytes < to_bytes ? bytes : to_bytes);
    memcpy(to, &to_bytes, sizeof to_bytes);
    return true;
}

// "a|b|c" → NULL-terminated list. NULL: out of memory.
static const char **split(tni_arena *arena, const char *text)
{
    size_t n = text && *text ? 1 : 0;
    for (const char *s = text; s && *s; s++) n += *s == '|';
    const char **list = tni_alloc(arena, (n + 1) * sizeof *list);
    for (size_t i = 0; list && i < n; i++) {
        const size_t length = strcspn(text, "|");
        list[i] = tni_strndup(arena, text, length);
        if (!list[i]) return NULL;
        text += length + 1;
    }
    return list;
}

// ------------------------------------------------------------------ ports

static bool port_in(const intake *in, tn_port_decl *to, const tn_port_decl *from, const char *what)
{
    if (!copy_sized(to, sizeof *to, from, offsetof(tn_port_decl, when)))
        return refuse(in, "%s: struct_size %u is too small", what, from->struct_size);
    if (!is_identifier(to->name))
        return refuse(in, "%s: '%s' is no name", what, to->name ? to->name : "NULL");
    return true;
}

// Copies a list of ports; *list becomes a NULL-terminated list of the copies.
static bool ports_in(const intake *in, const tn_port_decl *const **list, uint32_t *count,
                     const tn_port_decl **array, const char *what)
{
    uint32_t n = 0;
    const tn_port_decl *const *from = *list;
    while (from && from[n] && n <= MOST_PORTS) n++;
    if (n > MOST_PORTS) return refuse(in, "more than %d %ss", MOST_PORTS, what);
    tn_port_decl *copies = tni_alloc(in->arena, (n + 1) * sizeof *copies);
    const tn_port_decl **pointers = tni_alloc(in->arena, (n + 1) * sizeof *pointers);
    if (!copies || !pointers) return no_memory(in);
    for (uint32_t i = 0; i < n; i++) {
        if (!port_in(in, &copies[i], from[i], what)) return false;
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(copies[i].name, copies[j].name) == 0)
                return refuse(in, "two %ss are called %s", what, copies[i].name);
        pointers[i] = &copies[i];
    }
    *list = pointers;
    *count = n;
    *array = copies;
    return true;
}

// The order of inputs: plain ones, conditional ones, the variadic one (which may have a condition,
// and has one if others do), auxiliary states.
static bool inputs_ordered(const intake *in)
{
    const tni_op *op = in->op;
    bool variadic = false, conditional = false, aux = false;
    for (uint32_t i = 0; i < op->n_in; i++) {
        const tn_port_decl *p = &op->in[i];
        const bool is_aux = p->flags & TN_PORT_AUX;
        if (!is_aux && (variadic || aux))
            return refuse(in, "input %s stands behind a variadic input or an auxiliary state",
                          p->name);
        if (!p->when && conditional && !is_aux)
            return refuse(in, "input %s stands behind a conditional one", p->name);
        conditional = conditional || (p->when && !is_aux);
        aux = aux || is_aux;
        if (!(p->flags & TN_PORT_VARIADIC)) continue;
        if (is_aux) return refuse(in, "a variadic input is no auxiliary state");
        variadic = true;
    }
    if (variadic && op->count_param < 0)
        return refuse(in, "a variadic input needs `count`, the parameter that counts it");
    if (!variadic && op->count_param >= 0) return refuse(in, "`count` without a variadic input");
    return true;
}

static bool conditions_valid(const intake *in)
{
    const tni_op *op = in->op;
    for (uint32_t i = 0; i < op->n_in + op->n_out; i++) {
        const tn_port_decl *p = i < op->n_in ? &op->in[i] : &op->out[i - op->n_in];
        tni_text reason = {0};
        const bool ok =
            tni_when_valid(op, p->when, &reason) && tni_when_valid(op, p->visible, &reason);
        if (!ok) refuse(in, "%s: %s", p->name, reason.s ? reason.s : "bad condition");
        tni_text_free(&reason);
        if (!ok) return false;
    }
    bool hidden = false;
    for (uint32_t i = 0; i < op->n_out; i++) {
        if (hidden && !(op->out[i].flags & TN_PORT_HIDDEN))
            return refuse(in, "output %s stands behind a hidden one", op->out[i].name);
        hidden = op->out[i].flags & TN_PORT_HIDDEN;
    }
    return true;
}

// ------------------------------------------------------------------ parameters

static bool range_in(tni_param *p)
{
    p->lo = -INFINITY;
    p->hi = INFINITY;
    const char *s = p->decl.range;
    if (!s) return true;
    if (*s != '[' && *s != '(') return false;
    p->lo_open = *s++ == '(';
    char *end;
    if (*s != ',') {
        p->lo = tni_strtod(s, &end);
        if (end == s) return false;
        s = end;
    }
    if (*s++ != ',') return false;
    if (*s != ')' && *s != ']') {
        p->hi = tni_strtod(s, &end);
        if (end == s) return false;
        s = end;
    }
    p->hi_open = *s == ')';
    return (*s == ')' || *s == ']') && s[1] == 0 && p->lo <= p->hi;
}

static size_t param_bytes(uint32_t type)
{
    switch (type) {
    case TN_P_BOOL:
    case TN_P_ENUM: return sizeof(int32_t);
    case TN_P_I64: return sizeof(int64_t);
    case TN_P_F64: return sizeof(double);
    case TN_P_STR: return sizeof(char *);
    case TN_P_I64S: return sizeof(tn_ints);
    case TN_P_F64S: return sizeof(tn_reals);
    case TN_P_DTYPE: return sizeof(tn_dtype);
    default: return 0;
    }
}

// Lies the value inside the blob, aligned, and apart from the parameters before it?
static bool offset_valid(const intake *in, uint32_t index)
{
    const tn_param_decl *d = &in->op->params[index].decl;
    const size_t bytes = param_bytes(d->type), begin = d->offset, end = begin + bytes;
    if (begin % (bytes < 8 ? bytes : 8) || end > in->op->decl.params_size)
        return refuse(in, "%s: offset %u does not fit a blob of %u bytes", d->name, d->offset,
                      in->op->decl.params_size);
    for (uint32_t j = 0; j < index; j++) {
        const tn_param_decl *o = &in->op->params[j].decl;
        if (begin < o->offset + param_bytes(o->type) && o->offset < end)
            return refuse(in, "%s and %s overlap in the blob", o->name, d->name);
    }
    return true;
}

static bool name_free(const intake *in, uint32_t index)
{
    const char *name = in->op->params[index].decl.name;
    if (!is_identifier(name))
        return refuse(in, "'%s' is no name of a parameter", name ? name : "NULL");
    for (uint32_t j = 0; j < index; j++)
        if (strcmp(in->op->params[j].decl.name, name) == 0)
            return refuse(in, "two parameters are called %s", name);
    for (uint32_t j = 0; j < in->op->n_in; j++)
        if (strcmp(in->op->in[j].name, name) == 0)
            return refuse(in, "an input and a parameter are called %s", name);
    return true;
}

static bool default_valid(const intake *in, const tni_param *p)
{
    if (!p->decl.def) return true;
    tni_text reason = {0};
    void *blob = tni_alloc(in->arena, in->op->decl.params_size);
    const bool ok = blob && tni_param_parse(p, p->decl.def, blob, in->arena, &reason);
    if (!ok) refuse(in, "default of %s: %s", p->decl.name, reason.s ? reason.s : "out of memory");
    tni_text_free(&reason);
    return ok;
}

static bool param_in(const intake *in, uint32_t index, const tn_param_decl *from)
{
    tni_param *p = &in->op->params[index];
    if (!copy_sized(&p->decl, sizeof p->decl, from, offsetof(tn_param_decl, choices)))
        return refuse(in, "a parameter: struct_size %u is too small", from->struct_size);
    if (!name_free(in, index)) return false;
    if (!param_bytes(p->decl.type))
        return refuse(in, "%s: %u is no type of a parameter", p->decl.name, p->decl.type);
    if (!offset_valid(in, index)) return false;
    if (!range_in(p)) return refuse(in, "%s: '%s' is no range", p->decl.name, p->decl.range);
    p->choices = split(in->arena, p->decl.choices);
    if (!p->choices) return no_memory(in);
    if (p->decl.type == TN_P_ENUM && !p->choices[0])
        return refuse(in, "%s: an enumeration without choices", p->decl.name);
    return default_valid(in, p);
}

static bool params_in(const intake *in)
{
    tni_op *op = in->op;
    uint32_t n = 0;
    const tn_param_decl *const *from = op->decl.params;
    while (from && from[n] && n <= MOST_PARAMS) n++;
    if (n > MOST_PARAMS) return refuse(in, "more than %d parameters", MOST_PARAMS);
    if (op->decl.params_size > MOST_PARAM_BYTES)
        return refuse(in, "params_size %u is over %d", op->decl.params_size, MOST_PARAM_BYTES);
    op->params = tni_alloc(in->arena, (n + 1) * sizeof *op->params);
    const tn_param_decl **pointers = tni_alloc(in->arena, (n + 1) * sizeof *pointers);
    if (!op->params || !pointers) return no_memory(in);
    for (uint32_t i = 0; i < n; i++) {
        if (!param_in(in, i, from[i])) return false;
        pointers[i] = &op->params[i].decl;
    }
    op->n_params = n;
    op->decl.params = pointers;
    return true;
}

// The parameter that counts ports: its index, or -1 for none; -2 and an error if it cannot count.
static int32_t count_in(const intake *in, const char *name)
{
    if (!name) return -1;
    const int32_t i = tni_param_find(in->op, name);
    if (i < 0 || in->op->params[i].decl.type != TN_P_I64) {
        refuse(in, "%s is to count ports, but is no integer parameter", name);
        return -2;
    }
    return i;
}

// ------------------------------------------------------------------ all of it

static bool op_in(const intake *in, const tn_op_decl *from)
{
    tni_op *op = in->op;
    if (!copy_sized(&op->decl, sizeof op->decl, from, offsetof(tn_op_decl, count)))
        return refuse(in, "struct_size %u is too small", from->struct_size);
    if (!is_identifier(op->decl.name))
        return refuse(in, "'%s' is no name", op->decl.name ? op->decl.name : "NULL");
    if (op->decl.c_name && !is_identifier(op->decl.c_name))
        return refuse(in, "c_name '%s' is no name", op->decl.c_name);
    op->aliases = split(in->arena, op->decl.aliases);
    if (!op->aliases) return no_memory(in);
    for (const char **a = op->aliases; *a; a++)
        if (!is_identifier(*a)) return refuse(in, "alias '%s' is no name", *a);
    if (!ports_in(in, &op->decl.inputs, &op->n_in, &op->in, "input")) return false;
    if (!ports_in(in, &op->decl.outputs, &op->n_out, &op->out, "output")) return false;
    if (!op->n_out) return refuse(in, "no output is declared");
    if (!params_in(in)) return false;
    op->count_param = count_in(in, op->decl.count);
    op->count_out_param = count_in(in, op->decl.count_outputs);
    if (op->count_param == -2 || op->count_out_param == -2) return false;
    return inputs_ordered(in) && conditions_valid(in);
}

tni_op *tni_op_new(tni_arena *arena, const tn_op_decl *decl, const char *plugin, tni_error *error)
{
    intake in = {tni_alloc(arena, sizeof(tni_op)), arena, error};
    if (!in.op) {
        no_memory(&in);
        return NULL;
    }
    in.op->plugin = plugin;
    if (!op_in(&in, decl)) return NULL;
    if (!tni_fields_lay(in.op, arena)) {
        no_memory(&in);
        return NULL;
    }
    return in.op;
}

const tni_op *tni_op_find(const tni_registry *r, const char *name)
{
    uint32_t i;
    return r && tni_map_get(&r->by_name, name, &i) ? r->ops[i] : NULL;
}
