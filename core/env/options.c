// core/env/options.c: options of plugins: declared, read from the environment, checked once.
//
// A declaration is that of a parameter, so parsing, ranges and messages are those of operators: an
// operator that exists only here carries the plugin's options as its parameters.
#include <ctype.h>
#include <sys/auxv.h>

#include "core/env/env.h"

extern char **environ;

enum { MAX_OPTIONS = 256, MAX_VARIABLE = 160, CELL = 16 }; // CELL: the largest value in a blob

// "TENON_OPT_<PLUGIN>_<KEY>": upper case, and _ for what a shell does not take.
static void variable_name(char out[MAX_VARIABLE], const char *plugin, const char *key)
{
    snprintf(out, MAX_VARIABLE, "TENON_OPT_%.63s_%.63s", plugin, key);
    for (char *c = out; *c; c++) *c = isalnum((unsigned char)*c) ? (char)toupper(*c) : '_';
}

// The plugin's options as an operator. NULL, and a reason.
static const tni_op *options_op(tn_env *env, tni_plugin *p, size_t n, tni_error *error)
{
    static const tn_port_decl port = {.struct_size = sizeof port, .name = "output"};
    static const tn_port_decl *const ports[] = {&port, NULL};
    static const tn_port_decl *const none[] = {NULL};
    tni_arena *arena = &env->arena;
    tn_param_decl *decls = tni_alloc(arena, n * sizeof *decls);
    const tn_param_decl **list = tni_alloc(arena, (n + 1) * sizeof *list);
    if (!decls || !list) {
        tni_fail(error, TN_E_NOMEM, NULL, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        if (!tni_normalise(&decls[i], sizeof *decls, p->table.options[i],
                           TN_END_OF(tn_param_decl, max_len), "an option (tn_param_decl)", error))
            return NULL;
        decls[i].offset = (uint32_t)(i * CELL);
        list[i] = &decls[i];
    }
    const tn_op_decl decl = {.struct_size = sizeof decl,
                             .name = "options",
                             .inputs = none,
                             .outputs = ports,
                             .params = list,
                             .params_size = (uint32_t)(n * CELL),
                             .version = 1};
    return tni_op_new(arena, &decl, p->name, error);
}

// The value of one option: what the environment says if it fits, else the default.
static bool read_option(tn_env *env, tni_plugin *p, const tni_param *param, tni_option *out,
                        tni_error *error)
{
    char variable[MAX_VARIABLE];
    uint64_t blob[CELL / sizeof(uint64_t)] = {0};
    tni_text reason = {0};
    tni_param here = *param;
    here.decl.offset = 0;
    variable_name(variable, p->name, param->decl.name);
    const char *given = secure_getenv(variable);
    *out = (tni_option){param->decl.name, param->decl.def};
    if (!given) return true;
    const bool fits = tni_param_parse(&here, given, blob, &env->arena, &reason);
    if (fits)
        out->value = tni_strdup(&env->arena, given);
    else
        tni_fail(error, TN_E_INVALID, NULL, "%s=%.128s: %s", variable, given,
                 reason.s ? reason.s : "out of memory");
    tni_text_free(&reason);
    if (fits && !out->value) tni_fail(error, TN_E_NOMEM, NULL, "out of memory");
    return out->value != NULL && fits;
}

static bool is_declared(const tni_plugin *p, const char *text)
{
    char variable[MAX_VARIABLE];
    for (size_t i = 0; i < p->n_options; i++) {
        variable_name(variable, p->name, p->options[i].key);
        const size_t n = strlen(variable);
        if (strncmp(text, variable, n) == 0 && text[n] == '=') return true;
    }
    return false;
}

// A variable for this plugin that it does not know is most likely a slip. It may also belong to
// another plugin whose name begins with this one's, so it is no error.
static void warn_of_unknown(tn_env *env, const tni_plugin *p)
{
    char prefix[MAX_VARIABLE];
    variable_name(prefix, p->name, "");
    const size_t n = strlen(prefix);
    if (getauxval(AT_SECURE)) return;
    for (char **e = environ; e && *e; e++)
        if (strncmp(*e, prefix, n) == 0 && !is_declared(p, *e))
            tni_log(env, TN_LOG_WARN, "%s: has no option for %.*s", p->name, (int)strcspn(*e, "="),
                    *e);
}

bool tni_options_read(tn_env *env, tni_plugin *p, tni_error *error)
{
    size_t n = 0;
    while (p->table.options && p->table.options[n] && n < MAX_OPTIONS) n++;
    if (n == MAX_OPTIONS) {
        tni_fail(error, TN_E_INVALID, NULL, "its list of options has no NULL within %d entries",
                 MAX_OPTIONS);
        return false;
    }
    if (n) {
        const tni_op *op = options_op(env, p, n, error);
        if (!op) return false;
        p->options = tni_alloc(&env->arena, n * sizeof *p->options);
        if (!p->options) {
            tni_fail(error, TN_E_NOMEM, NULL, "out of memory");
            return false;
        }
        for (size_t i = 0; i < n; i++)
            if (!read_option(env, p, &op->params[i], &p->options[i], error)) return false;
        p->n_options = n;
    }
    if (*p->name) warn_of_unknown(env, p);
    return true;
}
