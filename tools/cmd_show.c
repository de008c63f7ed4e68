// tools/cmd_show.c: `tenon show`: names, shapes, memory plan and placement of a network.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tool.h"

typedef struct options {
    const char *path, *backends, *inputs, *dot;
    tn_dtype compute;
    tool_shapes shapes;
    bool train, json;
} options;

enum { KEY_COMPUTE = 1000 };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    options *o = state->input;
    switch (key) {
    case 's':
        if (!tool_shape_parse(&o->shapes, arg))
            argp_error(state, "--shape: wanted NAME=1,3,224,224, got \"%s\"", arg);
        break;
    case 'b': o->backends = arg; break;
    case 'i': o->inputs = arg; break;
    case KEY_COMPUTE: o->compute = tool_compute(arg, state); break;
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
    {.name = "shape",
     .key = 's',
     .arg = "NAME=N,...",
     .doc = "shape of an input; -1: unknown; repeatable"},
    {.name = "backend", .key = 'b', .arg = "LIST", .doc = "backends to place on, in order"},
    {.name = "inputs",
     .key = 'i',
     .arg = "NAMES",
     .doc =
         "what alone changes from run to run, as in inference: data,label; all else is constant"},
    TOOL_COMPUTE_OPTION(KEY_COMPUTE),
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

// A network as a list of rows, one a node.
typedef struct row {
    const char *name, *op; // op NULL: a variable
    json_t *node;          // inputs, attrs
    char *shapes;          // "(64,128)", or one for each visible output; owned
    const char *dtype;     // of the first output, "?" if unknown
} row;
typedef struct table {
    json_t *json; // owns the texts
    row *rows;
    size_t n;
} table;

static void table_free(table *t)
{
    for (size_t i = 0; i < t->n; i++) free(t->rows[i].shapes);
    free(t->rows);
    json_decref(t->json);
}

static bool append_shape(row *r, const tn_shape *shape)
{
    char *all = NULL;
    const char *text = tool_shape_text(shape);
    if (asprintf(&all, "%s%s%s", r->shapes ? r->shapes : "", r->shapes ? " " : "", text) < 0)
        return false;
    free(r->shapes);
    r->shapes = all;
    return true;
}

// Dtypes of the internals. As when binding, arguments that nothing gives a dtype are float32, and
// if that contradicts itself they stay unknown: binding will say why.
static const tn_dtype_result *infer_dtypes(tn_graph *g, tn_symbol internals)
{
    const tn_dtype_result *own = tn_infer_dtype(g, internals, (tn_dtypes){0, NULL});
    if (!own || own->complete) return own;
    tn_named_dtype *given = calloc(own->n_args + own->n_auxs, sizeof *given);
    size_t n = 0;
    for (size_t i = 0; given && i < own->n_args + own->n_auxs; i++) {
        const tn_named_dtype *v = i < own->n_args ? &own->args[i] : &own->auxs[i - own->n_args];
        if (v->dtype == TN_DTYPE_NONE) given[n++] = (tn_named_dtype){v->name, TN_F32};
    }
    const tn_dtype_result *all = tn_infer_dtype(g, internals, (tn_dtypes){n, given});
    free(given);
    if (!all) tn_graph_forgive(g);
    return all ? all : own;
}

// The heads of the JSON of the internals are the outputs of which the results tell, in that order.
static bool table_fill(table *t, const tn_shape_result *shapes, const tn_dtype_result *dtypes)
{
    json_t *nodes = json_object_get(t->json, "nodes"), *heads = json_object_get(t->json, "heads");
    t->rows = calloc(json_array_size(nodes) + 1, sizeof *t->rows);
    if (!t->rows) return false;
    t->n = json_array_size(nodes);
    for (size_t i = 0; i < t->n; i++) {
        json_t *node = json_array_get(nodes, i);
        const char *op = json_string_value(json_object_get(node, "op"));
        t->rows[i] = (row){.node = node,
                           .op = strcmp(op, "null") == 0 ? NULL : op,
                           .name = json_string_value(json_object_get(node, "name")),
                           .dtype = "?"};
    }
    for (size_t i = 0; i < shapes->n_outs; i++) {
        json_t *head = json_array_get(heads, i);
        row *r = &t->rows[json_integer_value(json_array_get(head, 0))];
        if (json_integer_value(json_array_get(head, 1)) == 0 && dtypes->outs[i].dtype)
            r->dtype = tn_dtype_name(dtypes->outs[i].dtype);
        if (!append_shape(r, &shapes->outs[i].shape)) return false;
    }
    return true;
}

static int table_make(table *t, tn_graph *g, tn_symbol net, const options *o, bool *complete)
{
    tn_named_dims places[64];
    const tn_symbol internals = tn_internals(g, net);
    const char *text = tn_symbol_json(g, internals);
    const tn_shape_result *shapes =
        tn_infer_shape_partial(g, internals, tool_shapes_of(&o->shapes, places));
    const tn_dtype_result *dtypes = infer_dtypes(g, internals);
    if (tn_graph_status(g) != TN_OK) return tool_graph_fail("show", g, o->path, NULL);
    *complete = shapes->complete;
    t->json = json_loads(text, 0, NULL);
    if (!t->json || !table_fill(t, shapes, dtypes)) return tool_fail("show", "out of memory");
    return EXIT_OK;
}

// Behind so many spaces and two: inputs as "3 4 7:1", a number behind a colon being an output other
// than the first, and parameters.
static void print_details(const row *r, int spaces)
{
    size_t i;
    json_t *input, *value;
    const char *key;
    printf("%*s ", spaces > 0 ? spaces : 0, "");
    json_array_foreach(json_object_get(r->node, "inputs"), i, input)
    {
        const long long out = (long long)json_integer_value(json_array_get(input, 1));
        printf(" %lld", (long long)json_integer_value(json_array_get(input, 0)));
        if (out) printf(":%lld", out);
    }
    json_object_foreach(json_object_get(r->node, "attrs"), key, value)
        printf("  %s=%s", key, json_string_value(value));
}

static int wider(const char *text, int width)
{
    return text && strlen(text) > (size_t)width ? (int)strlen(text) : width;
}

static void print_table(const table *t)
{
    int op = wider("operator", 0), name = wider("name", 0), shape = wider("shape", 0);
    for (size_t i = 0; i < t->n; i++) {
        op = wider(t->rows[i].op, op);
        name = wider(t->rows[i].name, name);
        shape = wider(t->rows[i].shapes, shape);
    }
    printf("\n%5s  %-*s  %-*s  %-*s  %-8s  %s\n", "node", op, "operator", name, "name", shape,
           "shape", "dtype", "inputs, parameters");
    for (size_t i = 0; i < t->n; i++) {
        const row *r = &t->rows[i];
        printf("%5zu  %-*s  %-*s  %-*s  %s", i, op, r->op ? r->op : "variable", name, r->name,
               shape, r->shapes ? r->shapes : "?", r->dtype);
        if (r->op) print_details(r, 8 - (int)strlen(r->dtype));
        putchar('\n');
    }
}

// ------------------------------------------------------------------ drawing

static void dot_text(FILE *to, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') fputc('\\', to);
        fputc(*text, to);
    }
}

static int write_dot(const table *t, const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f) return tool_fail("show", "%s: %s", path, strerror(errno));
    fprintf(f, "digraph network {\n  rankdir=BT;\n  node [fontname=\"Helvetica\", fontsize=10];\n"
               "  edge [fontname=\"Helvetica\", fontsize=9];\n");
    for (size_t i = 0; i < t->n; i++) {
        const row *r = &t->rows[i];
        fprintf(f, "  n%zu [shape=%s, label=\"", i, r->op ? "box" : "ellipse");
        dot_text(f, r->name);
        if (r->op) fprintf(f, "\\n%s", r->op);
        if (r->shapes) fprintf(f, "\\n%s", r->shapes);
        fprintf(f, "\"%s];\n", r->op ? "" : ", style=dashed");
        size_t j;
        json_t *input;
        json_array_foreach(json_object_get(r->node, "inputs"), j, input) fprintf(
            f, "  n%lld -> n%zu;\n", (long long)json_integer_value(json_array_get(input, 0)), i);
    }
    fprintf(f, "}\n");
    const bool failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed) return tool_fail("show", "%s: %s", path, strerror(errno));
    fprintf(stderr, "wrote %s; draw it with: dot -Tsvg %s -o network.svg\n", path, path);
    return EXIT_OK;
}

// ------------------------------------------------------------------ placement

static int show_placement(tn_graph *g, tn_symbol net, const options *o)
{
    tn_named_dims places[64];
    tn_exec *e = tn_simple_bind(g, net, .backends = o->backends,
                                .shapes = tool_shapes_of(&o->shapes, places), .inputs = o->inputs,
                                .compute = o->compute, .grad_req = o->train ? TN_WRITE : TN_NULL);
    if (!e) return tool_graph_fail("show", g, o->path, "--shape NAME=N,...");
    if (o->json) {
        fputs(tn_exec_report_json(e), stdout);
    } else {
        const tn_memory_report m = tn_exec_memory(e);
        printf("\nMemory plan\n%s\n", tn_exec_plan_text(e));
        printf("planned %llu bytes; at least needed %llu; without reuse %llu; besides, arguments "
               "and outputs %llu\n",
               (unsigned long long)m.planned, (unsigned long long)m.lower_bound,
               (unsigned long long)m.naive, (unsigned long long)m.external);
        printf("\nPlacement\n%s", tn_exec_report_text(e));
    }
    tn_exec_free(e);
    return EXIT_OK;
}

static int show(tn_graph *g, const options *o)
{
    table t = {0};
    bool complete = false;
    const tn_symbol net = tn_symbol_load(g, o->path);
    if (!net.node) return tool_graph_fail("show", g, o->path, NULL);
    if (o->backends && tool_devices_check("show", tn_graph_env(g), NULL, o->backends) != EXIT_OK)
        return EXIT_FAILED;
    int code = table_make(&t, g, net, o, &complete);
    if (code == EXIT_OK && !o->json) {
        tool_print_names("arguments:", tn_arguments(g, net));
        tool_print_names("outputs:", tn_outputs(g, net));
        const tn_names states = tn_auxiliary_states(g, net);
        if (states.n) tool_print_names("auxiliary states:", states);
        print_table(&t);
    }
    if (code == EXIT_OK && o->dot) code = write_dot(&t, o->dot);
    table_free(&t);
    if (code != EXIT_OK) return code;
    // What is missing is told by the attempt, where somebody asked for a placement.
    if (complete || o->json || o->backends || o->inputs || o->compute || o->train)
        return show_placement(g, net, o);
    puts("\nGive the shapes of the inputs (--shape data=1,3,224,224) for the memory plan and the "
         "placement.");
    return EXIT_OK;
}

int cmd_show(int argc, char **argv)
{
    static options o; // large, and zeroed
    tool_parse(&argp, argc, argv, &o);
    tn_env *env = tool_env(0);
    tn_graph *g = tn_graph_new(env);
    const int code = g ? show(g, &o) : tool_fail("show", "out of memory");
    tn_graph_free(g);
    tn_env_free(env);
    return code;
}
