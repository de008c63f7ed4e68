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
    .doc = "Lists the operators, or explains the one of that name or alias.",
};

static const char *gradient_kind(const tn_op_decl *op)
{
    if (op->gradient) return "symbolic";
    if (op->flags & TN_OP_ZERO_GRAD) return "zero";
    if (op->flags & TN_OP_NO_GRAD) return "none";
    return op->expand ? "expand" : "none";
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
    json_object_set_new(object, key, text ? json_string(text) : json_null());
}

static json_t *ports_json(const tn_port_decl *const *ports, bool aux)
{
    json_t *list = json_array();
    for (; ports && *ports; ports++) {
        const tn_port_decl *p = *ports;
        if (((p->flags & TN_PORT_AUX) != 0) != aux) continue;
        json_t *j = json_pack("{s:s, s:s, s:b, s:b, s:b}", "name", p->name, "doc",
                              p->doc ? p->doc : "", "variadic", (p->flags & TN_PORT_VARIADIC) != 0,
                              "hidden", (p->flags & TN_PORT_HIDDEN) != 0, "shape_only",
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
        json_t *j = json_pack("{s:s, s:s, s:s, s:b}", "name", (*p)->name, "type", param_type(*p),
                              "doc", (*p)->doc ? (*p)->doc : "", "required", (*p)->def == NULL);
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
            json_array_append_new(backends, json_string(tn_env_backend(env, i)->name));
    json_t *j =
        json_pack("{s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:s, s:b, s:o, s:s}", "name", op->name,
                  "aliases", names_json(op->aliases), "doc", op->doc ? op->doc : "", "inputs",
                  ports_json(op->inputs, false), "params", params_json(op), "outputs",
                  ports_json(op->outputs, false), "aux", ports_json(op->inputs, true), "gradient",
                  gradient_kind(op), "expansion", op->expand != NULL, "backends", backends,
                  "plugin", tn_env_op_plugin(env, op));
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

static void print_ports(const char *title, const tn_port_decl *const *ports, bool aux)
{
    bool first = true;
    for (; ports && *ports; ports++) {
        const tn_port_decl *p = *ports;
        if (((p->flags & TN_PORT_AUX) != 0) != aux) continue;
        if (first) printf("\n%s\n", title);
        first = false;
        printf("  %-16s %s", p->name, p->doc ? p->doc : "");
        if (p->flags & TN_PORT_VARIADIC) printf(" [any number of]");
        if (p->flags & TN_PORT_HIDDEN)
            printf(" [hidden%s%s]", p->visible ? " unless " : "", p->visible ? p->visible : "");
        if (p->flags & TN_PORT_SHAPE_ONLY) printf(" [only its shape is used]");
        if (p->when) printf(" [if %s]", p->when);
        putchar('\n');
    }
}

static void print_op(const tn_env *env, const tn_op_decl *op)
{
    printf("%s", op->name);
    if (op->aliases) printf("  (also %s)", op->aliases);
    printf("\n%s\n", op->doc ? op->doc : "");
    if (*tn_env_op_plugin(env, op)) printf("From plugin %s.\n", tn_env_op_plugin(env, op));
    print_ports("Inputs", op->inputs, false);
    print_ports("Auxiliary states", op->inputs, true);
    if (op->params && op->params[0]) puts("\nParameters");
    for (const tn_param_decl *const *p = op->params; p && *p; p++) {
        printf("  %-16s %s", (*p)->name, param_type(*p));
        if ((*p)->range) printf(" in %s", (*p)->range);
        if ((*p)->def)
            printf(", default %s", *(*p)->def ? (*p)->def : "\"\"");
        else
            printf(", required");
        printf("\n  %-16s %s\n", "", (*p)->doc ? (*p)->doc : "");
    }
    print_ports("Outputs", op->outputs, false);
    printf("\nGradient: %s%s\nKernels:", gradient_kind(op),
           op->expand ? "; can be expanded into simpler operators" : "");
    for (size_t i = 0; i < tn_env_num_backends(env); i++) {
        bool any = false;
        for (tn_dtype t = 1; t < TN_DTYPE_END; t++) {
            if (!tn_dtype_size(t) || !tn_env_backend_has(env, i, op->name, t)) continue;
            printf("%s%s", any ? " " : " ", "");
            if (!any) printf("%s:", tn_env_backend(env, i)->name);
            printf(" %s", tn_dtype_name(t));
            any = true;
        }
        if (any) putchar(';');
    }
    printf("\n");
    if (op->source) printf("Source: %s\n", op->source);
}

static void print_list(const tn_env *env, const options *o)
{
    for (size_t i = 0; i < tn_env_num_ops(env); i++) {
        const tn_op_decl *op = tn_env_op(env, i);
        if (!o->all && (op->flags & TN_OP_INTERNAL)) continue;
        const char *doc = op->doc ? op->doc : "";
        printf("%-32s %.*s\n", op->name, (int)strcspn(doc, "\n"), doc);
    }
}

int cmd_ops(int argc, char **argv)
{
    options o = {0};
    tool_parse(&argp, argc, argv, &o);
    tn_env *env = tool_env();
    const tn_op_decl *op = o.name ? tn_env_op_find(env, o.name) : NULL;
    int code = EXIT_OK;
    if (o.name && !op)
        code = tool_fail("ops", "no operator \"%s\"; `tenon ops` lists them", o.name);
    else if (o.json)
        code = print_json(env, &o, op);
    else if (op)
        print_op(env, op);
    else
        print_list(env, &o);
    tn_env_free(env);
    return code;
}
