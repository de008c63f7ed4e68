// tools/cmd_backends.c: `tenon backends`: what was found, and what was refused and why.
#include <string.h>
#include <unistd.h>

#include "tools/tool.h"

typedef struct options {
    bool json, names;
} options;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    options *o = state->input;
    switch (key) {
    case 'j': o->json = true; break;
    case 'n': o->names = true; break;
    case ARGP_KEY_ARG: argp_error(state, "unexpected argument \"%s\"", arg); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_option argp_options[] = {
    {.name = "json", .key = 'j', .doc = "for programs"},
    {.name = "names", .key = 'n', .doc = "names only, in the default order"},
    {0},
};
static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .doc = "Lists the backends with their devices, and every plugin file that was looked at.",
};

// Operators that a backend has a kernel for on that dtype.
static size_t count_ops(const tn_env *env, size_t backend, tn_dtype dtype)
{
    size_t n = 0;
    for (size_t i = 0; i < tn_env_num_ops(env); i++)
        n += tn_env_backend_has(env, backend, tn_env_op(env, i)->name, dtype);
    return n;
}

// Bytes of a device's memory; those of this machine for what computes in host memory and says
// nothing of its own. 0: unknown.
static uint64_t memory_of(const tn_device_info *d, bool free)
{
    const uint64_t own = free ? d->mem_free : d->mem_total;
    const long pages = sysconf(free ? _SC_AVPHYS_PAGES : _SC_PHYS_PAGES);
    if (own || !(d->flags & TN_DEV_HOST_MEMORY) || pages < 0) return own;
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static json_t *bytes_json(uint64_t bytes)
{
    return bytes ? json_integer((json_int_t)bytes) : json_null();
}

static json_t *device_json(const tn_device_info *d)
{
    json_t *j =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "id", tool_json_text(d->id), "kind",
                  tool_json_text(d->kind), "name", tool_json_text(d->name ? d->name : ""), "driver",
                  tool_json_text(d->driver ? d->driver : ""), "mem_total",
                  bytes_json(memory_of(d, false)), "mem_free", bytes_json(memory_of(d, true)),
                  "host_memory", (d->flags & TN_DEV_HOST_MEMORY) != 0);
    json_object_set_new(j, "unusable", tool_json_text(d->unusable));
    return j;
}

static json_t *backend_json(const tn_env *env, size_t i)
{
    const tn_backend_entry *b = tn_env_backend(env, i);
    json_t *devices = json_array(), *ops = json_object();
    for (size_t d = 0; d < b->n_devices; d++)
        json_array_append_new(devices, device_json(tn_env_device(env, i, d)));
    for (tn_dtype t = 1; t < TN_DTYPE_END; t++)
        if (tn_dtype_size(t))
            json_object_set_new(ops, tn_dtype_name(t),
                                json_integer((json_int_t)count_ops(env, i, t)));
    return json_pack("{s:o, s:i, s:o, s:o, s:o, s:o, s:o}", "name", tool_json_text(b->name), "rank",
                     b->rank, "plugin", tool_json_text(b->plugin), "version",
                     tool_json_text(b->version), "path", tool_json_text(b->path), "devices",
                     devices, "operators", ops);
}

static json_t *abi_json(const tn_candidate *c)
{
    if (!c->has_abi) return json_null();
    return json_pack("{s:I, s:I}", "epoch", (json_int_t)c->epoch, "minor", (json_int_t)c->minor);
}

static json_t *candidate_json(const tn_candidate *c)
{
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o}", "path", tool_json_text(c->path), "step",
                     tn_step_name(c->step), "name", tool_json_text(c->name), "version",
                     tool_json_text(c->version), "reason", tool_json_text(c->reason), "dependency",
                     tool_json_text(c->dependency), "abi", abi_json(c));
}

static int print_json(const tn_env *env)
{
    json_t *backends = json_array(), *candidates = json_array();
    for (size_t i = 0; i < tn_env_num_backends(env); i++)
        json_array_append_new(backends, backend_json(env, i));
    for (size_t i = 0; i < tn_env_num_candidates(env); i++)
        json_array_append_new(candidates, candidate_json(tn_env_candidate(env, i)));
    return tool_print_json("backends",
                           json_pack("{s:s, s:i, s:i, s:o, s:o}", "version", TN_VERSION_TEXT,
                                     "epoch", (int)TN_EPOCH, "minor", (int)TN_MINOR, "backends",
                                     backends, "candidates", candidates));
}

static void print_backend(const tn_env *env, size_t i)
{
    const tn_backend_entry *b = tn_env_backend(env, i);
    printf("%s  (plugin %s %s, rank %d)\n    %s\n", b->name, b->plugin, b->version, b->rank,
           b->path);
    for (size_t d = 0; d < b->n_devices; d++) {
        const tn_device_info *info = tn_env_device(env, i, d);
        printf("    device %s: %s", info->id, info->kind);
        if (info->name && *info->name) printf(", %s", info->name);
        if (info->driver && *info->driver) printf(", %s", info->driver);
        const bool host = (info->flags & TN_DEV_HOST_MEMORY) != 0;
        const uint64_t memory = memory_of(info, false);
        if (memory)
            printf(", %.1f GiB%s", (double)memory / (1 << 30), host ? " of host memory" : "");
        if (info->unusable) printf(" — cannot be used: %s", info->unusable);
        putchar('\n');
    }
    printf("    kernels:");
    for (tn_dtype t = 1; t < TN_DTYPE_END; t++) {
        const size_t n = tn_dtype_size(t) ? count_ops(env, i, t) : 0;
        if (n) printf(" %s %zu", tn_dtype_name(t), n);
    }
    putchar('\n');
}

// Every file that was looked at: plugins in use, those of operators too, and what was refused.
static void print_candidates(const tn_env *env)
{
    size_t n = 0;
    printf("\nplugins in use (ABI epoch %d, minor %d):\n", (int)TN_EPOCH, (int)TN_MINOR);
    for (size_t i = 0; i < tn_env_num_candidates(env); i++) {
        const tn_candidate *c = tn_env_candidate(env, i);
        if (c->step != TN_STEP_USED) continue;
        printf("    %s %s, built for ABI %u.%u\n", c->name, c->version, c->epoch, c->minor);
        n++;
    }
    if (n == 0) puts("    none");
    n = 0;
    for (size_t i = 0; i < tn_env_num_candidates(env); i++) {
        const tn_candidate *c = tn_env_candidate(env, i);
        if (c->step == TN_STEP_USED) continue;
        if (n++ == 0) puts("\nnot used:");
        printf("    %s\n        %s: %s\n", c->path, tn_step_name(c->step), c->reason);
        if (*c->dependency) printf("        missing: %s\n", c->dependency);
    }
}

int cmd_backends(int argc, char **argv)
{
    options o = {0};
    tool_parse(&argp, argc, argv, &o);
    tn_env *env = tool_env(0);
    int code = EXIT_OK;
    if (o.json) {
        code = print_json(env);
    } else if (o.names) {
        for (size_t i = 0; i < tn_env_num_backends(env); i++)
            if (tn_env_backend(env, i)->rank >= -100) puts(tn_env_backend(env, i)->name);
    } else {
        for (size_t i = 0; i < tn_env_num_backends(env); i++) print_backend(env, i);
        if (tn_env_num_backends(env) == 0) puts("no backend was found");
        print_candidates(env);
    }
    tn_env_free(env);
    return code;
}
