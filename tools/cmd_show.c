// tools/cmd_show.c: `tenon show`: names, shapes, memory plan and placement of a network.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tool.h"

typedef struct options {
    const char *path, *backends, *dot;
    tool_shapes shapes;
    bool train, json;
} options;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    options *o = state->input;
    switch (key) {
    case 's':
        if (!tool_shape_parse(&o->shapes, arg))
            argp_error(state, "--shape: wanted NAME=1,3,224,224, got \"%s\"", arg);
        break;
    case 'b': o->backends = arg; break;
    case 'd': o->dot = arg; break;
    case 't': o->train = true; break;
    case 'j': o->json = true; break;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) argp_error(state, "one network at a time");
        o->path = arg;
        break;
    case ARGP_KEY_END:
        if (!o->path) argp_error(state, "wanted a NET-symbol.json");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_option argp_options[] = {
    {.name = "shape", .key = 's', .arg = "NAME=N,…", .doc = "shape of an input; -1: unknown"},
    {.name = "backend", .key = 'b', .arg = "LIST", .doc = "backends to place on, in order"},
    {.name = "train", .key = 't', .doc = "with the backward nodes"},
    {.name = "dot", .key = 'd', .arg = "FILE", .doc = "write a Graphviz drawing"},
    {.name = "json", .key = 'j', .doc = "the placement report, for programs"},
    {0},
};
static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "NET-symbol.json",
    .doc = "Shows arguments, outputs and auxiliary states, a table of nodes with shapes and dtypes "
           "and, once the shapes are known, the memory plan and the placement.",
};

// ------------------------------------------------------------------ nodes

// Shape of the first output of a node, looked up by output name among the internals.
typedef struct known {
    const tn_shape_result *shapes;
    const tn_dtype_result *dtypes;
} known;

static const tn_shape *shape_of(const known *k, const char *output)
{
    for (size_t i = 0; k->shapes && i < k->shapes->n_outs; i++)
        if (strcmp(k->shapes->outs[i].name, output) == 0) return &k->shapes->outs[i].shape;
    return NULL;
}

static const char *dtype_of(const known *k, const char *output)
{
    for (size_t i = 0; k->dtypes && i < k->dtypes->n_outs; i++)
        if (strcmp(k->dtypes->outs[i].name, output) == 0)
            return k->dtypes->outs[i].dtype ? tn_dtype_name(k->dtypes->outs[i].dtype) : "";
    return "";
}

// Parameters of a node as "num_hidden=128 no_bias=True"; attributes like __lr_mult__ too.
static void print_attrs(FILE *to, json_t *node, const char *separator)
{
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(node, "attrs"), key, value)
        fprintf(to, "%s%s=%s", separator, key, json_string_value(value));
}

// The name under which the internals list output 0 of a node.
static void output_name(tn_graph *g, tn_symbol internals, size_t *at, json_t *node, char *name)
{
    const tn_names outs = tn_outputs(g, internals);
    const char *own = json_string_value(json_object_get(node, "name"));
    const size_t n = strlen(own);
    snprintf(name, 512, "%s", own);
    // Internals are in the order of the nodes: go on to the next output of this node.
    for (size_t i = *at; i < outs.n; i++) {
        if (strncmp(outs.v[i], own, n) != 0 || (outs.v[i][n] && outs.v[i][n] != '_')) continue;
        snprintf(name, 512, "%s", outs.v[i]);
        *at = i + 1;
        return;
    }
}

static void print_nodes(tn_graph *g, tn_symbol internals, const known *k, json_t *nodes)
{
    size_t i, at = 0;
    json_t *node;
    printf("\n%5s  %-20s %-28s %-18s %-9s %s\n", "node", "operator", "name", "shape", "dtype",
           "inputs and parameters");
    json_array_foreach(nodes, i, node)
    {
        char output[512];
        const char *op = json_string_value(json_object_get(node, "op"));
        output_name(g, internals, &at, node, output);
        const tn_shape *shape = shape_of(k, output);
        printf("%5zu  %-20s %-28s %-18s %-9s", i, strcmp(op, "null") == 0 ? "variable" : op,
               json_string_value(json_object_get(node, "name")),
               shape ? tool_shape_text(shape) : "?", dtype_of(k, output));
        size_t j;
        json_t *input;
        json_array_foreach(json_object_get(node, "inputs"), j, input)
            printf(" %lld", (long long)json_integer_value(json_array_get(input, 0)));
        if (strcmp(op, "null") != 0) print_attrs(stdout, node, "  ");
        putchar('\n');
    }
}

static void dot_text(FILE *to, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') fputc('\\', to);
        fputc(*text, to);
    }
}

static int write_dot(tn_graph *g, tn_symbol internals, const known *k, json_t *nodes,
                     const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f) return tool_fail("show", "%s: %s", path, strerror(errno));
    size_t i, at = 0;
    json_t *node;
    fprintf(f, "digraph network {\n  rankdir=BT;\n  node [fontname=\"Helvetica\", fontsize=10];\n"
               "  edge [fontname=\"Helvetica\", fontsize=9];\n");
    json_array_foreach(nodes, i, node)
    {
        char output[512];
        const char *op = json_string_value(json_object_get(node, "op"));
        const bool variable = strcmp(op, "null") == 0;
        output_name(g, internals, &at, node, output);
        const tn_shape *shape = shape_of(k, output);
        fprintf(f, "  n%zu [shape=%s, label=\"", i, variable ? "ellipse" : "box");
        dot_text(f, json_string_value(json_object_get(node, "name")));
        if (!variable) fprintf(f, "\\n%s", op);
        if (shape) fprintf(f, "\\n%s", tool_shape_text(shape));
        fprintf(f, "\"%s];\n", variable ? ", style=dashed" : "");
        size_t j;
        json_t *input;
        json_array_foreach(json_object_get(node, "inputs"), j, input) fprintf(
            f, "  n%lld -> n%zu;\n", (long long)json_integer_value(json_array_get(input, 0)), i);
    }
    fprintf(f, "}\n");
    if (fclose(f) != 0) return tool_fail("show", "%s: %s", path, strerror(errno));
    fprintf(stderr, "wrote %s; draw it with: dot -Tpng %s -o network.png\n", path, path);
    return EXIT_OK;
}

// ------------------------------------------------------------------ placement

static int show_placement(tn_graph *g, tn_symbol net, const options *o, tn_shapes shapes)
{
    tn_exec *e = tn_simple_bind(g, net, .backends = o->backends, .shapes = shapes,
                                .grad_req = o->train ? TN_WRITE : TN_NULL);
    if (!e) return tool_fail("show", "%s", tn_graph_error(g));
    if (o->json) {
        puts(tn_exec_report_json(e));
    } else {
        const tn_memory_report m = tn_exec_memory(e);
        printf("\nMemory plan (bytes)\n%s\n", tn_exec_plan_text(e));
        printf("planned %llu, lower bound %llu, sum of all values %llu, arguments and outputs "
               "%llu\n",
               (unsigned long long)m.planned, (unsigned long long)m.lower_bound,
               (unsigned long long)m.naive, (unsigned long long)m.external);
        printf("\nPlacement\n%s\n", tn_exec_report_text(e));
    }
    tn_exec_free(e);
    return EXIT_OK;
}

static int show(tn_graph *g, const options *o)
{
    tn_named_dims places[64];
    const tn_shapes shapes = tool_shapes_of(&o->shapes, places);
    const tn_symbol net = tn_symbol_load(g, o->path);
    const char *text = tn_symbol_json(g, net);
    const tn_shape_result *partial = tn_infer_shape_partial(g, net, shapes);
    const tn_symbol internals = tn_internals(g, net);
    const known k = {.shapes = tn_infer_shape_partial(g, internals, shapes),
                     .dtypes = tn_infer_dtype(g, internals, (tn_dtypes){0, NULL})};
    if (tn_graph_status(g) != TN_OK) return tool_fail("show", "%s", tn_graph_error(g));
    json_t *json = json_loads(text, 0, NULL);
    json_t *nodes = json_object_get(json, "nodes");
    if (!json) return tool_fail("show", "out of memory");
    if (!o->json) {
        tool_print_names("arguments:", tn_arguments(g, net));
        tool_print_names("outputs:", tn_outputs(g, net));
        tool_print_names("auxiliary states:", tn_auxiliary_states(g, net));
        print_nodes(g, internals, &k, nodes);
    }
    int code = o->dot ? write_dot(g, internals, &k, nodes, o->dot) : EXIT_OK;
    json_decref(json);
    if (code != EXIT_OK) return code;
    if (partial->complete) return show_placement(g, net, o, shapes);
    if (o->json || o->backends)
        return tn_infer_shape(g, net, shapes) ? EXIT_OK
                                              : tool_fail("show", "%s", tn_graph_error(g));
    puts("\nGive the shapes of the inputs (--shape data=1,3,224,224) for the memory plan and the "
         "placement.");
    return EXIT_OK;
}

int cmd_show(int argc, char **argv)
{
    static options o; // large, and zeroed
    tool_parse(&argp, argc, argv, &o);
    tn_env *env = tool_env();
    tn_graph *g = tn_graph_new(env);
    const int code = g ? show(g, &o) : tool_fail("show", "out of memory");
    tn_graph_free(g);
    tn_env_free(env);
    return code;
}
