// core/passes/builder.c: the host's side of tn_builder: values behind numbers, calls as text.
//
// A tn_sym is a place + 1 in a list of entries, so 0 can mean "none", and a number from elsewhere
// is an error text. All errors stick in the graph, so that rules need not check in between.
#include "core/passes/pass.h"

// Most parameters in one text; operators have far fewer.
#define MAX_PARAMS 64

// A node to append.
typedef struct call {
    const char *op, *params;
    const tni_entry *in;
    uint32_t n_in, forward;
    const char *name;
    const char *file;
    int32_t line;
    tni_attr *pins;
} call;

// ------------------------------------------------------------------ appending

// Cuts "a=1; b=(2;3)" into keys and values, in a copy. -1: not of that form.
static int split_params(tni_arena *arena, const char *text, tn_attr attrs[MAX_PARAMS])
{
    int n = 0;
    char *s = tni_strdup(arena, text);
    while (s && *s) {
        int depth = 0;
        char *end = s, *equal = NULL;
        for (; *end && (*end != ';' || depth > 0); end++) {
            if (*end == '(' || *end == '[') depth++;
            if (*end == ')' || *end == ']') depth--;
            if (*end == '=' && !equal) equal = end;
        }
        char *next = *end ? end + 1 : end;
        while (*s == ' ') s++;
        if (s < end) {
            if (!equal || n == MAX_PARAMS) return -1;
            char *value = equal + 1;
            while (equal > s && equal[-1] == ' ') equal--;
            while (*value == ' ') value++;
            while (end > value && end[-1] == ' ') end--;
            *end = *equal = 0;
            attrs[n++] = (tn_attr){s, value};
        }
        s = next;
    }
    return s ? n : -1;
}

// The parameters of a call as blob and as attributes. false, and an error in g.
static bool read_params(tn_graph *g, const tni_op *op, const call *c, tni_node_spec *spec)
{
    tn_attr attrs[MAX_PARAMS];
    char place[256], what[256];
    const int n = c->params ? split_params(&g->arena, c->params, attrs) : 0;
    if (n < 0) {
        tni_graph_fail(g, TN_E_INVALID, 0, "%s (%s): parameters \"%s\", wanted \"key=value; …\"",
                       c->name, op->decl.name, c->params);
        return false;
    }
    if (n > 0 || op->n_params > 0) {
        snprintf(place, sizeof place, "%s:%d", c->file ? c->file : "", (int)c->line);
        snprintf(what, sizeof what, "%s (%s)", c->name, op->decl.name);
        spec->params = tni_params_parse(op, &g->arena, attrs, (size_t)n, c->file ? place : NULL,
                                        what, &g->error);
    }
    for (int i = 0; i < n && g->error.status == TN_OK; i++)
        spec->attrs = tni_attr_add(g, spec->attrs, attrs[i].key, attrs[i].value);
    return g->error.status == TN_OK;
}

// The id of the new node; 0 and an error in g.
static uint32_t append(tn_graph *g, tni_types *types, const call *c)
{
    if (g->error.status != TN_OK) return 0;
    const tni_op *op = tni_op_find(g->registry, c->op);
    tni_node_spec spec = {.op = op,
                          .name = c->name,
                          .in = c->in,
                          .n_in = c->n_in,
                          .attrs = c->pins,
                          .file = c->file,
                          .line = c->line,
                          .forward = c->forward};
    if (!op) {
        tni_graph_fail(g, TN_E_NOT_FOUND, 0, "%s: no operator is named %s", c->name, c->op);
        return 0;
    }
    if (!read_params(g, op, c, &spec)) return 0;
    const uint32_t wanted = tni_op_arity(op, spec.params).n_in;
    if (c->n_in != wanted) {
        tni_graph_fail(g, TN_E_INVALID, 0, "%s (%s): %u inputs, wanted %u", c->name, op->decl.name,
                       c->n_in, wanted);
        return 0;
    }
    const uint32_t id = tni_node_add(g, &spec);
    if (id && types && tni_infer_node(g, types, id) != TN_OK) return 0;
    return id;
}

// Writes `stem` and number (0: none) into text. Has an operator that name?
static bool taken(const tn_graph *g, const char *stem, uint32_t number, char *text, size_t room)
{
    snprintf(text, room, number ? "%s%u" : "%s", stem, number);
    return tni_map_get(&g->operators, text, NULL);
}

// `stem` with a number from *number on that makes it free, which *number then is beyond. Numbers
// are taken without gaps, so steps that double and then halve find the end in few look-ups, and a
// name that is needed 100,000 times does not cost the square of that.
static const char *free_name(tn_graph *g, const char *stem, uint32_t *number, char *buffer,
                             size_t size)
{
    const size_t room = strlen(stem) + 12 > size ? strlen(stem) + 12 : size;
    char *text = room > size ? tni_alloc(&g->arena, room) : buffer;
    uint32_t last = *number, next = last;
    if (!text) return stem;
    for (uint32_t step = 1; taken(g, stem, next, text, room); step *= 2) {
        last = next;
        next += step;
    }
    while (next - last > 1) {
        const uint32_t middle = last + (next - last) / 2;
        if (taken(g, stem, middle, text, room))
            last = middle;
        else
            next = middle;
    }
    taken(g, stem, next, text, room);
    *number = next + 1;
    return text;
}

tni_entry tni_build(tn_graph *g, tni_types *types, const char *op, const char *params,
                    const tni_entry *in, uint32_t n_in, const char *name, uint32_t forward)
{
    char buffer[256];
    uint32_t number = 0;
    if (g->error.status != TN_OK) return (tni_entry){0, 0};
    call c = {.op = op, .params = params, .in = in, .n_in = n_in, .forward = forward};
    c.name = name && *name ? free_name(g, name, &number, buffer, sizeof buffer) : "";
    c.file = forward ? tni_node_at(g, forward)->file : g->file;
    c.line = forward ? tni_node_at(g, forward)->line : g->line;
    return (tni_entry){append(g, types, &c), 0};
}

// ------------------------------------------------------------------ what a rule calls

static tni_builder *builder_of(void *ctx)
{
    return ctx;
}

// The graph's error about the node of the builder, which may be a node of another graph.
__attribute__((format(printf, 3, 4))) static tn_status
builder_fail(const tni_builder *b, tn_status status, const char *format, ...)
{
    tn_graph *g = b->g;
    const char *file = g->file;
    const int line = g->line;
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (b->file) {
        g->file = b->file;
        g->line = b->line;
    }
    const tn_status s =
        tni_graph_fail(g, status, 0, "%s (%s): %s", b->api.name, b->api.op->name, text);
    g->file = file;
    g->line = line;
    return s;
}

static tn_sym symbol_of(tni_builder *b, tni_entry e)
{
    void *symbols = b->symbols;
    if (!e.node) return 0;
    if (!tni_grow(&symbols, &b->symbols_capacity, b->n_symbols + 1, sizeof *b->symbols)) {
        tni_graph_fail(b->g, TN_E_NOMEM, 0, "out of memory");
        return 0;
    }
    b->symbols = symbols;
    b->symbols[b->n_symbols++] = e;
    return (tn_sym)b->n_symbols;
}

// The entry behind a number that is not 0; {0,0} and an error for one that was never given out.
static tni_entry entry_of(const tni_builder *b, tn_sym value)
{
    if (value > 0 && value <= b->n_symbols) return b->symbols[value - 1];
    if (value > 0)
        builder_fail(b, TN_E_INTERNAL, "a rule uses value %u, which it never got", value);
    return (tni_entry){0, 0};
}

static bool index_ok(const tni_builder *b, const char *what, uint32_t i, uint32_t n)
{
    if (b->g->error.status != TN_OK) return false;
    if (i < n) return true;
    builder_fail(b, TN_E_INTERNAL, "a rule asks for %s %u, there are %u", what, i, n);
    return false;
}

static bool in_gradient(const tni_builder *b)
{
    return b->out_grads || b->out_grad;
}

static tn_sym on_input(void *ctx, uint32_t i)
{
    tni_builder *b = builder_of(ctx);
    return index_ok(b, "input", i, b->api.n_in) ? symbol_of(b, b->inputs[i]) : 0;
}

static tn_sym on_output(void *ctx, uint32_t i)
{
    tni_builder *b = builder_of(ctx);
    if (!index_ok(b, "output", i, in_gradient(b) ? b->api.n_out : 0)) return 0;
    return symbol_of(b, (tni_entry){b->node, i});
}

static tn_sym on_out_grad(void *ctx, uint32_t i)
{
    tni_builder *b = builder_of(ctx);
    if (!index_ok(b, "out-gradient", i, in_gradient(b) ? b->api.n_out : 0)) return 0;
    return symbol_of(b, b->out_grad ? b->out_grad(b, i) : b->out_grads[i]);
}

static const char *next_name(tni_builder *b, char *buffer, size_t size)
{
    char stem[256];
    const char *text = stem;
    if (!*b->api.name) return "";
    if (snprintf(stem, sizeof stem, "%s%s", b->api.name, b->suffix) >= (int)sizeof stem)
        text = tni_printf(&b->g->arena, "%s%s", b->api.name, b->suffix);
    return free_name(b->g, text ? text : stem, &b->made, buffer, size);
}

static tn_sym on_apply(void *ctx, const char *op, const char *params, const tn_sym *in,
                       uint32_t n_in)
{
    tni_builder *b = builder_of(ctx);
    tni_entry few[16], *entries = few;
    char name[256];
    if (b->g->error.status != TN_OK) return 0;
    if (n_in > 16 && !(entries = malloc(n_in * sizeof *entries))) {
        tni_graph_fail(b->g, TN_E_NOMEM, 0, "out of memory");
        return 0;
    }
    for (uint32_t i = 0; i < n_in; i++) {
        entries[i] = entry_of(b, in[i]);
        if (!entries[i].node)
            builder_fail(b, TN_E_INTERNAL,
                         "a rule calls %s without a value for input %u (a gradient that is zero?)",
                         op, i);
    }
    const call c = {.op = op,
                    .params = params,
                    .in = entries,
                    .n_in = n_in,
                    .forward = b->forward,
                    .name = next_name(b, name, sizeof name),
                    .file = b->file,
                    .line = b->line,
                    .pins = b->pins};
    const uint32_t id = append(b->g, b->types, &c);
    if (entries != few) free(entries);
    return symbol_of(b, (tni_entry){id, 0});
}

static tn_sym on_result(void *ctx, tn_sym first, uint32_t i)
{
    tni_builder *b = builder_of(ctx);
    const tni_entry e = entry_of(b, first);
    if (b->g->error.status != TN_OK || !e.node) return 0;
    if (!index_ok(b, "result", i, tni_node_at(b->g, e.node)->n_out)) return 0;
    return symbol_of(b, (tni_entry){e.node, i});
}

static void on_set_in_grad(void *ctx, uint32_t i, tn_sym value)
{
    tni_builder *b = builder_of(ctx);
    if (!index_ok(b, "in-gradient", i, in_gradient(b) ? b->api.n_in : 0)) return;
    b->results[i] = entry_of(b, value);
}

static void on_set_output(void *ctx, uint32_t i, tn_sym value)
{
    tni_builder *b = builder_of(ctx);
    if (!index_ok(b, "output", i, in_gradient(b) ? 0 : b->api.n_out)) return;
    b->results[i] = entry_of(b, value);
}

static const tn_shape *on_shape(void *ctx, tn_sym value)
{
    static const tn_shape unknown = {.ndim = -1};
    const tni_builder *b = builder_of(ctx);
    const tni_entry e = entry_of(b, value);
    return e.node && b->types ? tni_types_shape(b->types, tni_value(b->g, e)) : &unknown;
}

static tn_dtype on_dtype(void *ctx, tn_sym value)
{
    const tni_builder *b = builder_of(ctx);
    const tni_entry e = entry_of(b, value);
    if (!e.node || !b->types || tni_value(b->g, e) >= b->types->n) return TN_DTYPE_NONE;
    return b->types->dtype[tni_value(b->g, e)];
}

static tn_status on_fail(void *ctx, tn_status status, const char *text)
{
    const tn_status s = status == TN_OK ? TN_E_INTERNAL : status;
    return builder_fail(builder_of(ctx), s, "%s", text ? text : tn_status_text(s));
}

// ------------------------------------------------------------------ for the passes

void tni_builder_reset(tni_builder *b, uint32_t node)
{
    static const char *const keys[] = {"__ctx_group__", "__backend__"};
    const tni_node *n = tni_node_at(b->g, node);
    b->api.op = n->op ? &n->op->decl : NULL;
    b->api.params = n->params;
    b->api.name = n->name;
    b->api.n_in = n->n_in;
    b->api.n_out = n->n_out;
    b->n_visible = n->n_visible;
    b->node = b->forward = node;
    b->inputs = n->in;
    b->file = n->file;
    b->line = n->line;
    b->n_symbols = b->made = 0;
    b->pins = NULL;
    for (size_t i = 0; i < 2 && n->attrs; i++) {
        const char *value = tni_attr_find(n, keys[i]);
        if (value) b->pins = tni_attr_add(b->g, b->pins, keys[i], value);
    }
}

void tni_builder_init(tni_builder *b, tn_graph *g, tni_types *types, uint32_t node)
{
    *b = (tni_builder){.g = g, .types = types, .suffix = "_backward"};
    b->api = (tn_builder){
        .struct_size = sizeof b->api,
        .ctx = b,
        .input = on_input,
        .output = on_output,
        .out_grad = on_out_grad,
        .apply = on_apply,
        .result = on_result,
        .set_in_grad = on_set_in_grad,
        .set_output = on_set_output,
        .shape = on_shape,
        .dtype = on_dtype,
        .fail = on_fail,
    };
    tni_builder_reset(b, node);
}

void tni_builder_free(tni_builder *b)
{
    free(b->symbols);
    b->symbols = NULL;
    b->n_symbols = b->symbols_capacity = 0;
}

static tn_status run_rule(tni_builder *b, const char *kind, tn_status (*rule)(const tn_builder *b))
{
    if (b->g->error.status != TN_OK) return b->g->error.status;
    const tn_status s = rule(&b->api);
    if (b->g->error.status != TN_OK) return b->g->error.status;
    if (s == TN_OK) return TN_OK;
    return builder_fail(b, s, "its %s failed (%s) without saying why", kind, tn_status_text(s));
}

tn_status tni_builder_gradient(tni_builder *b)
{
    memset(b->results, 0, b->api.n_in * sizeof *b->results);
    return run_rule(b, "gradient", b->api.op->gradient);
}

tn_status tni_builder_expand(tni_builder *b)
{
    memset(b->results, 0, b->api.n_out * sizeof *b->results);
    const tn_status s = run_rule(b, "expansion", b->api.op->expand);
    if (s != TN_OK) return s;
    for (uint32_t i = 0; i < b->n_visible; i++)
        if (!b->results[i].node)
            return builder_fail(b, TN_E_INTERNAL, "its expansion sets no output %u", i);
    return TN_OK;
}
