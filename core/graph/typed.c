// core/graph/typed.c: tn_apply(): reads an operator's generated argument struct by its layout.
#include "core/graph/graph.h"

// A struct being read.
typedef struct args {
    tn_graph *g;
    const tni_op *op;
    const char *bytes; // the caller's struct
    uint32_t size;     // what the caller knows of it
    tni_arena scratch;
    tn_attr *params;
    tni_given *given;
    size_t n_params, n_given;
} args;

// A field's value into `to` (of the field's size); zero if the caller's struct ends before it.
static void read_field(const args *a, const tni_field *f, void *to)
{
    memset(to, 0, f->size);
    if (f->offset <= a->size && f->size <= a->size - f->offset)
        memcpy(to, a->bytes + f->offset, f->size);
}

// ------------------------------------------------------------------ parameters as text

static void list_text(tni_text *t, tn_ints ints, tn_reals reals)
{
    const size_t n = ints.v ? ints.n : reals.n;
    char number[TNI_NUMBER];
    tni_text_add(t, "(");
    for (size_t i = 0; i < n; i++) {
        if (i) tni_text_add(t, ", ");
        if (!ints.v)
            tni_text_add(t, tni_number(number, reals.v[i]));
        else if (ints.v[i] == TN_NONE_I64)
            tni_text_add(t, "None");
        else
            tni_text_printf(t, "%lld", (long long)ints.v[i]);
    }
    tni_text_add(t, n == 1 ? ",)" : ")");
}

static void i64_text(tni_text *t, int64_t v)
{
    if (v == TN_NONE_I64)
        tni_text_add(t, "None");
    else
        tni_text_printf(t, "%lld", (long long)v);
}

// "" if the value was not given. 0 of a plain integer is a value only where one is required and
// legal; a required one that cannot be 0 was left out.
static void integer_text(tni_text *t, const tni_param *p, const tni_field *f, const args *a)
{
    if (f->size == sizeof(tn_opt_i64)) {
        tn_opt_i64 v;
        read_field(a, f, &v);
        if (v.given || v.v) i64_text(t, v.v);
        return;
    }
    int64_t v;
    read_field(a, f, &v);
    const bool zero_legal = p->lo_open ? p->lo < 0 : p->lo <= 0;
    if (v || (!p->decl.def && zero_legal)) i64_text(t, v);
}

static void real_text(tni_text *t, const tni_field *f, const args *a)
{
    char number[TNI_NUMBER];
    tn_opt_f64 v = {0};
    read_field(a, f, &v);
    const bool required = f->size == sizeof(double);
    if (required || v.given || v.v != 0) tni_text_add(t, tni_number(number, v.v));
}

static void bool_text(tni_text *t, const tni_field *f, const args *a)
{
    tn_opt_bool v = {0};
    read_field(a, f, &v);
    const bool plain = f->size == sizeof(bool);
    if (v.v || (!plain && v.given)) tni_text_add(t, v.v ? "True" : "False");
}

static void enum_text(tni_text *t, const tni_param *p, const tni_field *f, const args *a)
{
    int v, n = 0;
    read_field(a, f, &v);
    while (p->choices[n]) n++;
    if (v >= 1 && v <= n)
        tni_text_add(t, p->choices[v - 1]);
    else if (v)
        tni_text_printf(t, "%d", v); // no choice: the parser says so
}

static void text_of(tni_text *t, const tni_param *p, const tni_field *f, const args *a)
{
    union {
        const char *text;
        tn_ints ints;
        tn_reals reals;
        tn_dtype dtype;
    } v;
    switch (p->decl.type) {
    case TN_P_BOOL: bool_text(t, f, a); return;
    case TN_P_I64: integer_text(t, p, f, a); return;
    case TN_P_F64: real_text(t, f, a); return;
    case TN_P_ENUM: enum_text(t, p, f, a); return;
    default: break;
    }
    read_field(a, f, &v);
    if (p->decl.type == TN_P_STR && v.text)
        tni_text_add(t, v.text);
    else if (p->decl.type == TN_P_I64S && v.ints.v)
        list_text(t, v.ints, (tn_reals){0});
    else if (p->decl.type == TN_P_F64S && v.reals.v)
        list_text(t, (tn_ints){0}, v.reals);
    else if (p->decl.type == TN_P_DTYPE && v.dtype)
        tni_text_add(t, tn_dtype_name(v.dtype));
}

static bool read_param(args *a, const tni_field *f)
{
    const tni_param *p = &a->op->params[f->index];
    tni_text t = {0};
    text_of(&t, p, f, a);
    char *value = t.s && !t.failed ? tni_strdup(&a->scratch, t.s) : NULL;
    const bool lost = t.failed || (t.s && !value);
    tni_text_free(&t);
    if (value) a->params[a->n_params++] = (tn_attr){p->decl.name, value};
    return !lost;
}

// ------------------------------------------------------------------ inputs

static tn_symbols variadic_of(const args *a)
{
    tn_symbols list = {0};
    for (uint32_t i = 0; i < a->op->n_fields; i++) {
        const tni_field *f = &a->op->fields[i];
        if (f->kind == TNI_FIELD_INPUT && a->op->in[f->index].flags & TN_PORT_VARIADIC)
            read_field(a, f, &list);
    }
    return list;
}

static void read_input(args *a, const tni_field *f)
{
    if (a->op->in[f->index].flags & TN_PORT_VARIADIC) {
        tn_symbols list;
        read_field(a, f, &list);
        for (size_t i = 0; i < list.n; i++)
            a->given[a->n_given++] = (tni_given){list.v[i], NULL, f->index, (uint32_t)i};
        return;
    }
    tn_symbol s;
    read_field(a, f, &s);
    if (s.node) a->given[a->n_given++] = (tni_given){s, NULL, f->index, 0};
}

static bool read_fields(args *a, tni_call *c)
{
    const tni_op *op = a->op;
    const size_t variadic = variadic_of(a).n;
    if (variadic > TNI_MAX_PORTS) {
        tni_graph_fail(a->g, TN_E_INVALID, 0, "%s: %zu inputs, at most %d", op->decl.name, variadic,
                       TNI_MAX_PORTS);
        return false;
    }
    a->params = tni_alloc(&a->scratch, (op->n_params + 1) * sizeof *a->params);
    a->given = tni_alloc(&a->scratch, (op->n_in + variadic) * sizeof *a->given);
    bool ok = a->params && a->given;
    for (uint32_t i = 0; i < op->n_fields && ok; i++) {
        const tni_field *f = &op->fields[i];
        if (f->kind == TNI_FIELD_INPUT) read_input(a, f);
        if (f->kind == TNI_FIELD_PARAM) ok = read_param(a, f);
        if (f->kind == TNI_FIELD_NAME) read_field(a, f, &c->name);
        if (f->kind == TNI_FIELD_ATTRS) read_field(a, f, &c->attrs);
    }
    if (!ok) tni_graph_no_memory(a->g);
    c->params = a->params;
    c->n_params = a->n_params;
    c->given = a->given;
    c->n_given = a->n_given;
    return ok;
}

tn_symbol(tn_apply)(tn_graph *g, const char *name, const void *struct_)
{
    if (!tni_ready(g)) return TN_NONE;
    args a = {.g = g, .op = tni_op_wanted(g, name), .bytes = struct_};
    if (!a.op) return TN_NONE;
    if (!struct_) {
        tni_graph_fail(g, TN_E_INVALID, 0, "%s: no arguments (NULL)", name);
        return TN_NONE;
    }
    memcpy(&a.size, struct_, sizeof a.size);
    tni_call c = {.op = a.op, .hint = name, .by = TNI_BY_PORT};
    const tn_symbol s = read_fields(&a, &c) ? tni_call_make(g, &c) : TN_NONE;
    tni_arena_free(&a.scratch);
    return s;
}
