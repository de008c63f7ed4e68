// tools/cmd_run.c: `tenon run`: a network on .npy files, forward and backward.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/tool.h"

enum { MAX_INPUTS = 256, MAX_OUTPUTS = 64, MAX_VALUES = 2048 };

typedef struct options {
    const char *network, *params, *backends, *out;
    char *inputs[MAX_INPUTS]; // NAME=FILE.npy
    size_t n_inputs;
    const char *outputs[MAX_OUTPUTS];
    size_t n_outputs;
    tn_dtype dtype, compute;
    uint64_t seed;
    bool train, grad;
    tool_groups groups;
} options;

enum { KEY_COMPUTE = 1000 };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    options *o = state->input;
    switch (key) {
    case 'p': o->params = arg; break;
    case 'b': o->backends = arg; break;
    case 'd': o->out = arg; break;
    case 't': o->train = true; break;
    case 'g': o->grad = true; break;
    case 's': o->seed = (uint64_t)tool_long(arg, "--seed", 0, state); break;
    case 'G':
        if (!tool_group_parse(&o->groups, arg))
            argp_error(state, "--group: wanted NAME=DEVICE, got \"%s\"", arg);
        break;
    case 'T': o->dtype = tool_dtype(arg, "--dtype", state); break;
    case KEY_COMPUTE: o->compute = tool_compute(arg, state); break;
    case 'i':
        if (!strchr(arg, '=') || arg[0] == '=' || o->n_inputs == MAX_INPUTS)
            argp_error(state, "--input: wanted NAME=FILE.npy, got \"%s\"", arg);
        o->inputs[o->n_inputs++] = arg;
        break;
    case 'o':
        if (o->n_outputs == MAX_OUTPUTS) argp_error(state, "--output: too many");
        o->outputs[o->n_outputs++] = arg;
        break;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0) argp_error(state, "one network at a time");
        o->network = arg;
        break;
    case ARGP_KEY_END:
        if (!o->network) argp_error(state, "wanted a NET-symbol.json");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_option argp_options[] = {
    {.name = "params", .key = 'p', .arg = "FILE", .doc = ".params file with arg: and aux: names"},
    {.name = "input",
     .key = 'i',
     .arg = "NAME=FILE.npy",
     .doc = "value of an argument; repeatable"},
    {.name = "output",
     .key = 'o',
     .arg = "NAME",
     .doc = "output to compute, internal ones such as fc1_output too; repeatable"},
    {.name = "backend", .key = 'b', .arg = "LIST", .doc = "backends in order of preference"},
    {.name = "group",
     .key = 'G',
     .arg = "NAME=DEVICE",
     .doc = "device of the nodes whose __ctx_group__ is NAME; repeatable"},
    {.name = "dtype", .key = 'T', .arg = "NAME", .doc = "convert inputs and parameters to this"},
    TOOL_COMPUTE_OPTION(KEY_COMPUTE),
    {.name = "train", .key = 't', .doc = "run as in training; writes DIR/aux_<name>.npy"},
    {.name = "grad",
     .key = 'g',
     .doc = "backward too, with ones for outputs that are no loss; writes DIR/grad_<argument>.npy"},
    {.name = "out", .key = 'd', .arg = "DIR", .doc = "write DIR/<output name>.npy"},
    {.name = "seed", .key = 's', .arg = "N", .doc = "of random operators (default 1)"},
    {0},
};
static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "NET-symbol.json",
    .doc = "Runs a network. Arguments that nobody gives and that have no stored value are filled "
           "with zeros and named on stderr. Without --out a summary of each output is printed.",
};

// ------------------------------------------------------------------ values

// Everything that a run holds; released in one place.
typedef struct run {
    tn_env *env;
    tn_graph *g;
    tn_exec *exec;
    tn_symbol net;
    tn_tensor_list params;              // as stored, names with arg: or aux:
    tn_named_tensor values[MAX_VALUES]; // what the network is fed with: inputs first, then params
    bool owned[MAX_VALUES];             // made here, to be released
    size_t n_values, n_given;           // the first n_given are inputs
} run;

static bool contains(tn_names names, const char *name)
{
    for (size_t i = 0; i < names.n; i++)
        if (strcmp(names.v[i], name) == 0) return true;
    return false;
}

static bool has_value(const run *r, const char *name)
{
    for (size_t i = 0; i < r->n_values; i++)
        if (strcmp(r->values[i].name, name) == 0) return true;
    return false;
}

static int add_value(run *r, const options *o, const char *name, tn_tensor *t, bool owned)
{
    if (r->n_values == sizeof r->values / sizeof r->values[0])
        return tool_fail("run", "more than %zu values", r->n_values);
    if (o->dtype && tn_tensor_dtype(t) != o->dtype) {
        tn_tensor *cast = tn_tensor_cast(t, o->dtype);
        if (owned) tn_tensor_release(t);
        if (!cast) return tool_fail("run", "%s: %s", name, tn_env_error(r->env));
        t = cast;
        owned = true;
    }
    r->owned[r->n_values] = owned;
    r->values[r->n_values++] = (tn_named_tensor){.name = name, .tensor = t};
    return EXIT_OK;
}

// The first names of a list, for messages.
static const char *some_names(tn_names names)
{
    static char text[1024];
    size_t at = 0, i = 0;
    for (; i < names.n && i < 8 && at + strlen(names.v[i]) + 8 < sizeof text; i++)
        at += (size_t)sprintf(text + at, "%s%s", i ? " " : "", names.v[i]);
    if (i < names.n) strcpy(text + at, " …");
    return text;
}

static bool is_given_before(const options *o, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (strcmp(o->inputs[i], o->inputs[j]) == 0) return true;
    return false;
}

// Every input must belong to the network; those that the chosen outputs do not need are read and
// dropped.
static int load_inputs(run *r, const options *o, tn_names inputs)
{
    const tn_names all = tn_inputs(r->g, r->net);
    for (size_t i = 0; i < o->n_inputs; i++) {
        const char *name = o->inputs[i];
        char *equals = strchr(o->inputs[i], '=');
        *equals = 0;
        if (is_given_before(o, i)) return tool_fail("run", "--input %s is given twice", name);
        if (!contains(all, name))
            return tool_fail("run", "--input %s: %s has no input of that name; it has: %s", name,
                             o->network, some_names(all));
        tn_tensor *t = tn_npy_load(r->env, equals + 1);
        if (!t) return tool_env_fail("run", r->env);
        if (!contains(inputs, name))
            tn_tensor_release(t);
        else if (add_value(r, o, name, t, true) != EXIT_OK)
            return EXIT_FAILED;
    }
    r->n_given = r->n_values;
    return EXIT_OK;
}

// Parameters of the file that the chosen outputs need and no --input replaces. A file of another
// network is an error, single arrays of another one are named.
static int load_params(run *r, const options *o, tn_names inputs)
{
    if (!o->params) return EXIT_OK;
    if (tn_params_load(r->env, o->params, &r->params) != TN_OK)
        return tool_file_fail("run", r->env, o->params, "a .params file");
    const tn_names all = tn_inputs(r->g, r->net);
    size_t foreign = 0;
    for (size_t i = 0; i < r->params.n; i++) {
        const char *name = r->params.v[i].name ? r->params.v[i].name : "";
        if (strncmp(name, "arg:", 4) == 0 || strncmp(name, "aux:", 4) == 0) name += 4;
        if (!contains(all, name)) {
            fprintf(stderr, foreign++ ? " %s" : "tenon run: not in the network: %s", name);
            continue;
        }
        if (!contains(inputs, name) || has_value(r, name)) continue;
        if (add_value(r, o, name, r->params.v[i].tensor, false) != EXIT_OK) return EXIT_FAILED;
    }
    if (foreign) fputc('\n', stderr);
    if (foreign && foreign == r->params.n)
        return tool_fail("run", "%s: none of its %zu arrays belongs to %s", o->params, foreign,
                         o->network);
    return EXIT_OK;
}

static bool is_floating(tn_dtype d)
{
    return d == TN_F32 || d == TN_F64 || d == TN_F16 || d == TN_BF16;
}

// The first floating dtype of the values from that one on.
static tn_dtype floating_from(const run *r, size_t first)
{
    for (size_t i = first; i < r->n_values; i++)
        if (is_floating(tn_tensor_dtype(r->values[i].tensor)))
            return tn_tensor_dtype(r->values[i].tensor);
    return TN_DTYPE_NONE;
}

static int convert(run *r, size_t i, tn_dtype wanted)
{
    const tn_dtype d = tn_tensor_dtype(r->values[i].tensor);
    tn_tensor *cast = tn_tensor_cast(r->values[i].tensor, wanted);
    if (!cast) return tool_env_fail("run", r->env);
    fprintf(stderr, "tenon run: %s is converted from %s to %s, as the parameters are\n",
            r->values[i].name, tn_dtype_name(d), tn_dtype_name(wanted));
    if (r->owned[i]) tn_tensor_release(r->values[i].tensor);
    r->values[i].tensor = cast;
    r->owned[i] = true;
    return EXIT_OK;
}

// Does the network take the values as they are? Its complaint is forgotten.
static bool dtypes_agree(run *r, tn_symbol net)
{
    tn_named_dtype dtypes[MAX_VALUES];
    for (size_t i = 0; i < r->n_values; i++)
        dtypes[i] = (tn_named_dtype){r->values[i].name, tn_tensor_dtype(r->values[i].tensor)};
    if (tn_infer_dtype(r->g, net, (tn_dtypes){r->n_values, dtypes})) return true;
    tn_graph_forgive(r->g);
    return false;
}

// A floating input follows the floating dtype of the parameters, so that a float64 array can be
// fed to a float32 network. So does one of whole numbers, such as pixels, if the network does not
// take it as it is: indices stay what they are.
static int match_dtypes(run *r, tn_symbol net)
{
    const tn_dtype stored = floating_from(r, r->n_given), any = floating_from(r, 0);
    for (size_t i = 0; stored && i < r->n_given; i++) {
        const tn_dtype d = tn_tensor_dtype(r->values[i].tensor);
        if (d != stored && is_floating(d) && convert(r, i, stored) != EXIT_OK) return EXIT_FAILED;
    }
    for (size_t i = 0; any && i < r->n_given; i++) {
        if (is_floating(tn_tensor_dtype(r->values[i].tensor)) || dtypes_agree(r, net)) continue;
        if (convert(r, i, stored ? stored : any) != EXIT_OK) return EXIT_FAILED;
    }
    return EXIT_OK;
}

// What the file says of the dtypes of its variables gives way to --dtype.
static void override_dtypes(run *r, const options *o, tn_names inputs)
{
    const tn_symbol internals = tn_internals(r->g, r->net);
    char number[16]; // MXNet's
    snprintf(number, sizeof number, "%d", (int)o->dtype - 1);
    for (size_t i = 0; i < inputs.n; i++) {
        const tn_symbol s = tn_output_named(r->g, internals, inputs.v[i]);
        if (tn_attr_get(r->g, s, "__dtype__")) tn_attr_set(r->g, s, "__dtype__", number);
    }
}

static tn_symbol choose_outputs(run *r, const options *o)
{
    tn_symbol chosen[MAX_OUTPUTS];
    if (o->n_outputs == 0) return r->net;
    const tn_symbol internals = tn_internals(r->g, r->net);
    for (size_t i = 0; i < o->n_outputs; i++)
        chosen[i] = tn_output_named(r->g, internals, o->outputs[i]);
    return o->n_outputs == 1 ? chosen[0] : tn_group(r->g, (tn_symbols){o->n_outputs, chosen});
}

// ------------------------------------------------------------------ running

static int bind(run *r, const options *o, tn_symbol net)
{
    tn_named_dims shapes[MAX_VALUES];
    tn_named_dtype dtypes[MAX_VALUES];
    tn_shape kept[MAX_VALUES];
    for (size_t i = 0; i < r->n_values; i++) {
        kept[i] = tn_tensor_shape(r->values[i].tensor);
        shapes[i] =
            (tn_named_dims){.name = r->values[i].name, .dims = {(size_t)kept[i].ndim, kept[i].dim}};
        dtypes[i] = (tn_named_dtype){.name = r->values[i].name,
                                     .dtype = tn_tensor_dtype(r->values[i].tensor)};
    }
    r->exec = tn_simple_bind(r->g, net, .backends = o->backends, .shapes = {r->n_values, shapes},
                             .dtypes = {r->n_values, dtypes}, .groups = tool_groups_of(&o->groups),
                             .grad_req = o->grad ? TN_WRITE : TN_NULL, .compute = o->compute,
                             .seed = o->seed);
    if (!r->exec) return tool_graph_fail("run", r->g, o->network, "--input NAME=FILE.npy");
    if (tn_exec_set_all(r->exec, (tn_tensors){r->n_values, r->values}, false) != TN_OK)
        return tool_fail("run", "%s", tn_exec_error(r->exec));
    return EXIT_OK;
}

static void name_zeros(const run *r, tn_names names)
{
    size_t n = 0;
    for (size_t i = 0; i < names.n; i++) {
        if (has_value(r, names.v[i])) continue;
        fprintf(stderr, n++ ? " %s" : "tenon run: filled with zeros: %s", names.v[i]);
    }
    if (n) fputc('\n', stderr);
}

static int backward(run *r)
{
    const size_t n = tn_exec_num_outputs(r->exec);
    const tn_names names = tn_exec_outputs(r->exec);
    tn_named_tensor heads[1024];
    int code = EXIT_OK;
    size_t made = 0;
    if (n > 1024) return tool_fail("run", "--grad: more than 1024 outputs");
    for (; made < n; made++) {
        tn_tensor *out = tn_exec_output(r->exec, made);
        const tn_shape shape = tn_tensor_shape(out);
        heads[made].name = names.v[made];
        heads[made].tensor =
            tn_tensor_new(r->env, tn_tensor_dtype(out), (tn_dims){(size_t)shape.ndim, shape.dim});
        if (!heads[made].tensor || tn_tensor_fill(heads[made].tensor, 1.0) != TN_OK) {
            code = tool_env_fail("run", r->env);
            break;
        }
    }
    if (code == EXIT_OK && tn_backward(r->exec, (tn_tensors){n, heads}) != TN_OK)
        code = tool_fail("run", "%s", tn_exec_error(r->exec));
    for (size_t i = 0; i < made; i++) tn_tensor_release(heads[i].tensor);
    return code;
}

// ------------------------------------------------------------------ results

static int save(run *r, const options *o, const char *prefix, const char *name, tn_tensor *t)
{
    char path[4096];
    const int n = snprintf(path, sizeof path, "%s/%s%s.npy", o->out, prefix, name);
    if (n < 0 || (size_t)n >= sizeof path || strchr(name, '/'))
        return tool_fail("run", "cannot name a file after \"%s\"", name);
    if (tn_npy_save(r->env, path, t) != TN_OK) return tool_env_fail("run", r->env);
    printf("%s\n", path);
    return EXIT_OK;
}

static void summarise(const char *prefix, const char *name, tn_tensor *t)
{
    const tn_shape shape = tn_tensor_shape(t);
    const int64_t n = tn_tensor_size(t);
    printf("%s%s %s %s:", prefix, name, tool_shape_text(&shape), tn_dtype_name(tn_tensor_dtype(t)));
    for (int64_t i = 0; i < n && i < 8; i++) printf(" %.6g", tn_tensor_at(t, i));
    puts(n > 8 ? " …" : "");
}

static int give(run *r, const options *o, const char *prefix, const char *name, tn_tensor *t)
{
    if (o->out) return save(r, o, prefix, name, t);
    summarise(prefix, name, t);
    return EXIT_OK;
}

static int results(run *r, const options *o)
{
    const tn_names outs = tn_exec_outputs(r->exec), args = tn_exec_arguments(r->exec);
    const tn_names auxs = tn_exec_auxiliary_states(r->exec);
    int code = EXIT_OK;
    if (o->out && mkdir(o->out, 0777) != 0 && errno != EEXIST)
        return tool_fail("run", "%s: %s", o->out, strerror(errno));
    for (size_t i = 0; i < outs.n && code == EXIT_OK; i++)
        code = give(r, o, "", outs.v[i], tn_exec_output(r->exec, i));
    for (size_t i = 0; o->grad && i < args.n && code == EXIT_OK; i++) {
        tn_tensor *grad = tn_exec_grad(r->exec, args.v[i]);
        if (grad) code = give(r, o, "grad_", args.v[i], grad);
    }
    for (size_t i = 0; o->train && i < auxs.n && code == EXIT_OK; i++)
        code = give(r, o, "aux_", auxs.v[i], tn_exec_aux(r->exec, auxs.v[i]));
    return code;
}

static int execute(run *r, const options *o)
{
    r->net = tn_symbol_load(r->g, o->network);
    const tn_symbol net = choose_outputs(r, o);
    const tn_names inputs = tn_inputs(r->g, net);
    if (o->dtype) override_dtypes(r, o, inputs);
    if (tn_graph_status(r->g) != TN_OK) return tool_graph_fail("run", r->g, o->network, NULL);
    if (tool_groups_check("run", r->g, r->net, &o->groups) != EXIT_OK) return EXIT_FAILED;
    if (load_inputs(r, o, inputs) != EXIT_OK || load_params(r, o, inputs) != EXIT_OK)
        return EXIT_FAILED;
    if (!o->dtype && match_dtypes(r, net) != EXIT_OK) return EXIT_FAILED;
    if (bind(r, o, net) != EXIT_OK) return EXIT_FAILED;
    name_zeros(r, tn_exec_arguments(r->exec));
    name_zeros(r, tn_exec_auxiliary_states(r->exec));
    if (tn_forward(r->exec, o->train) != TN_OK)
        return tool_fail("run", "%s", tn_exec_error(r->exec));
    if (o->grad && backward(r) != EXIT_OK) return EXIT_FAILED;
    return results(r, o);
}

int cmd_run(int argc, char **argv)
{
    static options o;
    static run r; // large, and zeroed
    tool_parse(&argp, argc, argv, &o);
    r.env = tool_env(0);
    r.g = tn_graph_new(r.env);
    const int code = r.g ? execute(&r, &o) : tool_fail("run", "out of memory");
    tn_exec_free(r.exec);
    for (size_t i = 0; i < r.n_values; i++)
        if (r.owned[i]) tn_tensor_release(r.values[i].tensor);
    tn_tensors_free(&r.params);
    tn_graph_free(r.g);
    tn_env_free(r.env);
    return code;
}
