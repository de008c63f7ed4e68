// tools/cmd_ops.c: `tenon ops`: the operators, from the registry.
#include <stdlib.h>
#include <string.h>

#include "tools/tool.h"

typedef struct options {
    const char *name;
    bool json, all;
} options;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    options *o = state->input;
    switch (key) {
    case 'j': o->json = true; break;
    case 'a': o->all = true; break;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) argp_error(state, "one operator at a time");
        o->name = arg;
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_option argp_options[] = {
    {.name = "json", .key = 'j', .doc = "an array of objects, for programs"},
    {.name = "all", .key = 'a', .doc = "internal operators too"},
    {0},
};
static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "[NAME]",
    .doc = "Lists the operators by family, or explains the one of that name or alias.",
};

static const char *gradient_kind(const tn_op_decl *op)
{
    if (op->flags & TN_OP_ZERO_GRAD) return "zero";
    if (op->flags & TN_OP_NO_GRAD) return "none";
    return op->gradient ? "symbolic" : op->expand ? "expand" : "none";
}

// The heading of an operator in lists: what its declaration says, or the plugin it comes from.
static const char *family(const tn_env *env, const tn_op_decl *op)
{
    const char *plugin = tn_env_op_plugin(env, op);
    if (op->family) return op->family;
    return *plugin ? plugin : op->flags & TN_OP_INTERNAL ? "machinery" : "other";
}

static const char *shape_rule(const tn_op_decl *op)
{
    if (op->shape_rule) return op->shape_rule;
    return op->infer_shape ? NULL : "all inputs and outputs have one shape";
}

static const char *param_type(const tn_param_decl *p)
{
    switch (p->type) {
    case TN_P_BOOL: return "bool";
    case TN_P_I64: return "int";
    case TN_P_F64: return "float";
    case TN_P_STR: return "string";
    case TN_P_ENUM: return p->choices;
    case TN_P_I64S: return "tuple of int";
    case TN_P_F64S: return "tuple of float";
    case TN_P_DTYPE: return "dtype";
    default: return "?";
    }
}

static bool backend_has_op(const tn_env *env, size_t backend, const char *op)
{
    for (tn_dtype t = 1; t < TN_DTYPE_END; t++)
        if (tn_dtype_size(t) && tn_env_backend_has(env, backend, op, t)) return true;
    return false;
}

// ------------------------------------------------------------------ JSON

static void set_text(json_t *object, const char *key, const char *text)
{
    json_object_set_new(object, key, tool_json_text(text));
}

static json_t *ports_json(const tn_port_decl *const *ports, bool aux)
{
    json_t *list = json_array();
    for (; ports && *ports; ports++) {
        const tn_port_decl *p = *ports;
        if (((p->flags & TN_PORT_AUX) != 0) != aux) continue;
        json_t *j = json_pack("{s:o, s:o, s:b, s:b, s:b}", "name", tool_json_text(p->name), "doc",
                              tool_json_text(p->doc ? p->doc : ""), "variadic",
                              (p->flags & TN_PORT_VARIADIC) != 0, "hidden",
                              (p->flags & TN_PORT_HIDDEN) != 0, "shape_only",
                              (p->flags & TN_PORT_SHAPE_ONLY) != 0);
        set_text(j, "when", p->when);
        set_text(j, "visible", p->visible);
        json_array_append_new(list, j);
    }
    return list;
}

static json_t *params_json(const tn_op_decl *op)
{
    json_t *list = json_array();
    for (const tn_param_decl *const *p = op->params; p && *p; p++) {
        json_t *j =
            json_pack("{s:o, s:o, s:o, s:b}", "name", tool_json_text((*p)->name), "type",
                      tool_json_text(param_type(*p)), "doc",
                      tool_json_text((*p)->doc ? (*p)->doc : ""), "required", (*p)->def == NULL);
        set_text(j, "default", (*p)->def);
        set_text(j, "range", (*p)->range);
        json_array_append_new(list, j);
    }
    return list;
}

static json_t *names_json(const char *bars)
{
    json_t *list = json_array();
    for (const char *at = bars; at && *at;) {
        const size_t n = strcspn(at, "|");
        json_array_append_new(list, json_stringn(at, n));
        at += n + (at[n] == '|');
    }
    return list;
}

static json_t *op_json(const tn_env *env, const tn_op_decl *op)
{
    json_t *backends = json_array();
    for (size_t i = 0; i < tn_env_num_backends(env); i++)
        if (backend_has_op(env, i, op->name))
            json_array_append_new(backends, tool_json_text(tn_env_backend(env, i)->name));
    json_t *j = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:b, s:o, s:o}", "name", tool_json_text(op->name),
        "aliases", names_json(op->aliases), "doc", tool_json_text(op->doc ? op->doc : ""), "inputs",
        ports_json(op->inputs, false), "params", params_json(op), "outputs",
        ports_json(op->outputs, false), "aux", ports_json(op->inputs, true), "gradient",
        gradient_kind(op), "expansion", op->expand != NULL, "backends", backends, "plugin",
        tool_json_text(tn_env_op_plugin(env, op)));
    set_text(j, "family", family(env, op));
    set_text(j, "formula", op->formula);
    set_text(j, "shape_rule", shape_rule(op));
    set_text(j, "source", op->source);
    set_text(j, "count", op->count);
    set_text(j, "count_outputs", op->count_outputs);
    return j;
}

static int print_json(const tn_env *env, const options *o, const tn_op_decl *only)
{
    json_t *list = json_array();
    for (size_t i = 0; i < tn_env_num_ops(env); i++) {
        const tn_op_decl *op = tn_env_op(env, i);
        if (only ? op == only : o->all || !(op->flags & TN_OP_INTERNAL))
            json_array_append_new(list, op_json(env, op));
    }
    return tool_print_json("ops", list);
}

// ------------------------------------------------------------------ text

enum { WIDTH = 80, INDENT = 20 }; // of explanations

// "  name    text", the text wrapped.
static void print_entry(const char *name, const char *text, const char *notes)
{
    char *all = NULL;
    if (asprintf(&all, "%s%s", text ? text : "", notes) < 0) return;
    const int at = printf("  %-*s", INDENT - 3, name) + 1;
    putchar(at > INDENT ? '\n' : ' ');
    if (at > INDENT) printf("%*s", INDENT, "");
    tool_wrap(all, INDENT, INDENT, WIDTH);
    free(all);
}

static void print_ports(const char *title, const tn_port_decl *const *ports, bool aux)
{
    bool first = true;
    for (; ports && *ports; ports++) {
        const tn_port_decl *p = *ports;
        char notes[512];
        if (((p->flags & TN_PORT_AUX) != 0) != aux) continue;
        if (first) printf("\n%s\n", title);
        first = false;
        const bool hidden = p->flags & TN_PORT_HIDDEN;
        snprintf(notes, sizeof notes, "%s%s%s%s%s%s%s%s",
                 p->flags & TN_PORT_VARIADIC ? " [any number of]" : "", hidden ? " [hidden" : "",
                 hidden && p->visible ? " unless " : "", hidden && p->visible ? p->visible : "",
                 hidden ? "]" : "",
                 p->flags & TN_PORT_SHAPE_ONLY ? " [only its shape is used]" : "",
                 p->when ? " [if " : "", p->when ? p->when : "");
        if (p->when) strncat(notes, "]", sizeof notes - strlen(notes) - 1);
        print_entry(p->name, p->doc, notes);
    }
}

static void print_param(const tn_param_decl *p)
{
    char *type = NULL;
    const int n = asprintf(&type, "%s%s%s%s%s", param_type(p), p->range ? " in " : "",
                           p->range ? p->range : "", p->def ? ", default " : ", required",
                           !p->def   ? ""
                           : *p->def ? p->def
                                     : "\"\"");
    if (n < 0) return;
    print_entry(p->name, type, "");
    if (p->doc) {
        printf("%*s", INDENT, "");
        tool_wrap(p->doc, INDENT, INDENT, WIDTH);
    }
    free(type);
}

// One line for each backend that has kernels.
static void print_kernels(const tn_env *env, const tn_op_decl *op)
{
    bool first = true;
    for (size_t i = 0; i < tn_env_num_backends(env); i++) {
        if (!backend_has_op(env, i, op->name)) continue;
        printf("%-9s %s:", first ? "Kernels:" : "", tn_env_backend(env, i)->name);
        for (tn_dtype t = 1; t < TN_DTYPE_END; t++)
            if (tn_dtype_size(t) && tn_env_backend_has(env, i, op->name, t))
                printf(" %s", tn_dtype_name(t));
        putchar('\n');
        first = false;
    }
    if (first) puts(op->expand ? "Kernels:  none here; runs as its parts" : "Kernels:  none here");
}

// "Formula:  text", wrapped behind the label.
static void print_labelled(const char *label, const char *text)
{
    if (!text) return;
    const int at = printf("%-9s ", label);
    tool_wrap(text, at, at, WIDTH);
}

// What asking for a gradient through the operator comes to.
static void print_gradient(const tn_op_decl *op)
{
    const char *kind = gradient_kind(op), *means = "";
    if (strcmp(kind, "none") == 0) means = ": asking for one is an error";
    if (strcmp(kind, "symbolic") == 0 && op->flags & TN_OP_LOSS)
        means = ": of the layer's own loss; the one that arrives is not used";
    char text[200];
    snprintf(text, sizeof text, "%s%s%s", kind, means,
             op->expand ? "; can be expanded into simpler operators" : "");
    print_labelled("Gradient:", text);
}

static void print_op(const tn_env *env, const tn_op_decl *op)
{
    printf("%s", op->name);
    if (op->aliases) printf("  (also %s)", op->aliases);
    putchar('\n');
    tool_wrap(op->doc ? op->doc : "", 0, 0, WIDTH);
    if (*tn_env_op_plugin(env, op)) printf("From plugin %s.\n", tn_env_op_plugin(env, op));
    print_ports("Inputs", op->inputs, false);
    print_ports("Auxiliary states", op->inputs, true);
    if (op->params && op->params[0]) puts("\nParameters");
    for (const tn_param_decl *const *p = op->params; p && *p; p++) print_param(*p);
    print_ports("Outputs", op->outputs, false);
    putchar('\n');
    print_labelled("Formula:", op->formula);
    print_labelled("Shapes:", shape_rule(op));
    print_gradient(op);
    print_kernels(env, op);
    print_labelled("Source:", op->source);
}

// Bytes of the first sentence: up to a full stop that a space follows.
static int first_sentence(const char *doc)
{
    const char *end = strchr(doc, '.');
    while (end && end[1] && end[1] != ' ' && end[1] != '\n') end = strchr(end + 1, '.');
    return (int)(end ? end - doc + 1 : (ptrdiff_t)strlen(doc));
}

// One line an operator, cut at the edge of a terminal.
static void print_line(const tn_op_decl *op, int width, int columns)
{
    const char *doc = op->doc ? op->doc : "";
    int n = first_sentence(doc);
    const bool cut = columns > width + 20 && n > columns - width - 5;
    if (cut) n = columns - width - 6;
    while (cut && n > 0 && ((unsigned char)doc[n] & 0xC0) == 0x80) n--; // whole characters
    printf("  %-*s  %.*s%s\n", width, op->name, n, doc, cut ? "…" : "");
}

// A line of the list, and the family it stands under.
typedef struct entry {
    const char *family;
    const tn_op_decl *op;
} entry;

static int by_family(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    const int order = strcmp(x->family, y->family);
    return order ? order : strcmp(x->op->name, y->op->name);
}

static void print_list(const tn_env *env, const options *o)
{
    const size_t most = tn_env_num_ops(env);
    entry *list = calloc(most ? most : 1, sizeof *list);
    size_t n = 0;
    int width = 0;
    if (!list) return;
    for (size_t i = 0; i < most; i++) {
        const tn_op_decl *op = tn_env_op(env, i);
        if (!o->all && (op->flags & TN_OP_INTERNAL)) continue;
        if ((int)strlen(op->name) > width) width = (int)strlen(op->name);
        list[n++] = (entry){family(env, op), op};
    }
    qsort(list, n, sizeof *list, by_family);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(list[i].family, list[i - 1].family) != 0)
            printf("%s%s\n", i ? "\n" : "", list[i].family);
        print_line(list[i].op, width, tool_columns(stdout));
    }
    free(list);
}

// A name that is like no other, or only nearly: a graph knows what is near.
static int misspelt(tn_env *env, const char *name)
{
    tn_graph *g = tn_graph_new(env);
    tn_call(g, name, .name = NULL);
    const char *near = strstr(tn_graph_error(g), " — did you mean");
    const int rc = near ? tool_fail("ops", "no operator \"%s\"%s", name, near)
                        : tool_fail("ops", "no operator \"%s\"; `tenon ops` lists them", name);
    tn_graph_free(g);
    return rc;
}

// Public operators whose name or alias contains the text, in any case, for somebody who asked for
// one that does not exist.
static int no_such(tn_env *env, const char *name)
{
    char near[512] = "";
    for (size_t i = 0; i < tn_env_num_ops(env); i++) {
        const tn_op_decl *op = tn_env_op(env, i);
        if (op->flags & TN_OP_INTERNAL || strlen(near) + strlen(op->name) + 3 > sizeof near)
            continue;
        if (!strcasestr(op->name, name) && !(op->aliases && strcasestr(op->aliases, name)))
            continue;
        strcat(near, " ");
        strcat(near, op->name);
    }
    if (!*near) return misspelt(env, name);
    return tool_fail("ops", "no operator \"%s\"; there is%s", name, near);
}

int cmd_ops(int argc, char **argv)
{
    options o = {0};
    tool_parse(&argp, argc, argv, &o);
    tn_env *env = tool_env(0);
    const tn_op_decl *op = o.name ? tn_env_op_find(env, o.name) : NULL;
    int code = EXIT_OK;
    if (o.name && !op)
        code = no_such(env, o.name);
    else if (o.json)
        code = print_json(env, &o, op);
    else if (op)
        print_op(env, op);
    else
        print_list(env, &o);
    tn_env_free(env);
    return code;
}
