// tools/tool.c: what the subcommands of `tenon` share.
#include "tools/tool.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void tool_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    setenv("ARGP_HELP_FMT", "no-dup-args-note", 0); // that note explains nothing here
    argp_err_exit_status = EXIT_USAGE;
    if (argp_parse(argp, argc, argv, 0, NULL, input) != 0) exit(EXIT_USAGE);
}

int tool_fail(const char *command, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fflush(stdout);
    fprintf(stderr, "tenon %s: ", command);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    return EXIT_FAILED;
}

// The library names the function that failed; here that is the subcommand.
static const char *without_function(const char *text)
{
    const size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return strncmp(text, "tn_", 3) == 0 && strncmp(text + n, ": ", 2) == 0 ? text + n + 2 : text;
}

int tool_env_fail(const char *command, const tn_env *env)
{
    return tool_fail(command, "%s", without_function(tn_env_error(env)));
}

// What the file is by its first bytes, for who took it for something else; NULL if that is unknown.
static const char *kind_of(const char *path)
{
    static const struct {
        size_t n;
        const char *begin, *kind;
    } kinds[] = {{8, "\x12\1\0\0\0\0\0\0", "a .params file"}, // MXNet's lists of arrays
                 {6, "\x93NUMPY", "an .npy file"},
                 {1, "{", "a NET-symbol.json"},
                 {2, "\x1F\x8B", "compressed by gzip"},
                 {4,
                  "\x7F"
                  "ELF",
                  "a program or library"}};
    char begin[8] = {0};
    FILE *f = fopen(path, "rb");
    const size_t n = f ? fread(begin, 1, sizeof begin, f) : 0;
    if (f) fclose(f);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (n >= kinds[i].n && memcmp(begin, kinds[i].begin, kinds[i].n) == 0) return kinds[i].kind;
    return NULL;
}

int tool_file_fail(const char *command, const tn_env *env, const char *path, const char *wanted)
{
    const char *kind = kind_of(path);
    return kind && strcmp(kind, wanted) != 0
               ? tool_fail(command, "%s: this is %s; wanted %s", path, kind, wanted)
               : tool_env_fail(command, env);
}

int tool_graph_fail(const char *command, const tn_graph *g, const char *path, const char *option)
{
    const char *kind = path ? kind_of(path) : NULL;
    if (kind && strcmp(kind, "a NET-symbol.json") != 0)
        return tool_fail(command, "%s: this is %s; wanted a NET-symbol.json", path, kind);
    const char *text = without_function(tn_graph_error(g)), *colon = path ? ": " : "";
    const char *advice = option ? strstr(text, " in .shapes") : NULL;
    if (!path || strncmp(text, path, strlen(path)) == 0) path = colon = "";
    if (strncmp(text, "no kernel for", 13) == 0)
        return tool_fail(command, "%s%s%s\n  `tenon ops OPERATOR` names the backends that have one",
                         path, colon, text);
    if (!advice) return tool_fail(command, "%s%s%s", path, colon, text);
    return tool_fail(command, "%s%s%.*s with %s", path, colon, (int)(advice - text), text, option);
}

bool tool_warns = true;

// What the library says without an error, such as a variable for an option that a plugin has not.
// While an env is made it is kept: what stands in the env's error as well is said once, by that.
static struct {
    char text[2048];
    bool open;
} kept;

static void warn(void *ctx, uint32_t severity, const char *text)
{
    const size_t n = strlen(kept.text);
    (void)ctx;
    if (severity < TN_LOG_WARN || !tool_warns) return;
    if (kept.open)
        fprintf(stderr, "tenon: %s\n", text);
    else
        snprintf(kept.text + n, sizeof kept.text - n, "tenon: %s\n", text);
}

tn_env *tool_env(int32_t threads)
{
    tn_env *env = tn_env_new(
        &(tn_env_options){.size = sizeof(tn_env_options), .threads = threads, .log = warn});
    if (!env) {
        fprintf(stderr, "tenon: out of memory\n");
        exit(EXIT_FAILED);
    }
    if (tn_env_status(env) != TN_OK) { // TENON_NUM_THREADS or TENON_NAN makes no sense
        fprintf(stderr, "tenon: %s\n", tn_env_error(env));
        tn_env_free(env);
        exit(EXIT_USAGE);
    }
    if (!kept.open) fputs(kept.text, stderr);
    kept.open = true;
    return env;
}

int tool_devices_check(const char *command, tn_env *env, const char *option, const char *list)
{
    tn_graph *g = tn_graph_new(env);
    const tn_symbol x = tn_variable(g, "x", .shape = TN_DIMS(1)); // no node, so no kernel either
    tn_exec *e = tn_simple_bind(g, x, .backends = list);
    const int code = e ? EXIT_OK : tool_graph_fail(command, g, option, NULL);
    tn_exec_free(e);
    tn_graph_free(g);
    return code;
}

bool tool_shape_parse(tool_shapes *shapes, const char *text)
{
    const char *equals = strchr(text, '=');
    const size_t length = equals ? (size_t)(equals - text) : 0;
    if (shapes->n == sizeof shapes->v / sizeof shapes->v[0]) return false;
    struct tool_shape *s = &shapes->v[shapes->n];
    if (length == 0 || length >= sizeof s->name) return false;
    memcpy(s->name, text, length);
    s->name[length] = 0;
    s->shape = (tn_shape){0};
    for (const char *at = equals + 1; *at;) {
        char *end;
        errno = 0;
        const long long extent = strtoll(at, &end, 10);
        if (end == at || errno || extent < -1 || s->shape.ndim == TN_MAX_NDIM) return false;
        s->shape.dim[s->shape.ndim++] = extent;
        if (*end && *end != ',') return false;
        at = *end ? end + 1 : end;
    }
    shapes->n++;
    return true;
}

tn_shapes tool_shapes_of(const tool_shapes *shapes, tn_named_dims *places)
{
    for (size_t i = 0; i < shapes->n; i++)
        places[i] =
            (tn_named_dims){.name = shapes->v[i].name,
                            .dims = {(size_t)shapes->v[i].shape.ndim, shapes->v[i].shape.dim}};
    return (tn_shapes){shapes->n, places};
}

bool tool_group_parse(tool_groups *groups, char *text)
{
    char *equals = strchr(text, '=');
    if (!equals || equals == text || !equals[1]) return false;
    if (groups->n == sizeof groups->v / sizeof groups->v[0]) return false;
    *equals = 0;
    groups->v[groups->n++] = (tn_attr){text, equals + 1};
    return true;
}

tn_attrs tool_groups_of(const tool_groups *groups)
{
    return (tn_attrs){groups->n, groups->v};
}

int tool_groups_devices(const char *command, tn_env *env, const tool_groups *groups)
{
    int code = EXIT_OK;
    for (size_t i = 0; i < groups->n && code == EXIT_OK; i++) {
        char option[128];
        snprintf(option, sizeof option, "--group %.100s", groups->v[i].key);
        code = tool_devices_check(command, env, option, groups->v[i].value);
    }
    return code;
}

// Appends " name" unless it is there already; what does not fit is left out.
static void add_name(char *names, size_t size, const char *name)
{
    const size_t n = strlen(names), m = strlen(name);
    for (const char *at = names; (at = strstr(at, name)); at += m)
        if (at > names && at[-1] == ' ' && (at[m] == ' ' || at[m] == 0)) return;
    if (n + m + 2 <= size) snprintf(names + n, size - n, " %s", name);
}

int tool_groups_check(const char *command, tn_graph *g, tn_symbol net, const tool_groups *groups)
{
    const tn_attr_dict_result all = groups->n ? tn_attr_dict(g, net) : (tn_attr_dict_result){0};
    for (size_t i = 0; i < groups->n; i++) {
        char names[512] = "";
        bool found = false;
        for (size_t k = 0; k < all.n; k++)
            for (size_t a = 0; a < all.v[k].attrs.n; a++) {
                const tn_attr *attr = &all.v[k].attrs.v[a];
                if (strcmp(attr->key, "__ctx_group__") != 0) continue;
                found = found || strcmp(attr->value, groups->v[i].key) == 0;
                add_name(names, sizeof names, attr->value);
            }
        if (!found)
            return tool_fail(command, "--group %s: no node has that __ctx_group__; there are:%s",
                             groups->v[i].key, *names ? names : " none");
    }
    return tool_groups_devices(command, tn_graph_env(g), groups);
}

const char *tool_shape_text(const tn_shape *shape)
{
    static char buffers[4][160];
    static unsigned next;
    char *text = buffers[next++ % 4];
    size_t at = 0;
    if (shape->ndim < 0) return "?";
    at += (size_t)snprintf(text, 160, "(");
    for (int32_t i = 0; i < shape->ndim; i++) {
        const char *comma = i ? "," : "";
        if (shape->dim[i] < 0)
            at += (size_t)snprintf(text + at, 160 - at, "%s?", comma);
        else
            at += (size_t)snprintf(text + at, 160 - at, "%s%lld", comma, (long long)shape->dim[i]);
    }
    snprintf(text + at, 160 - at, ")");
    return text;
}

json_t *tool_json_text(const char *text)
{
    json_t *value = text ? json_string(text) : json_null();
    char *ascii = value ? NULL : strdup(text);
    if (!ascii) return value;
    for (char *at = ascii; *at; at++)
        if (*at & 0x80) *at = '?';
    value = json_string(ascii);
    free(ascii);
    return value;
}

int tool_print_json(const char *command, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(value);
    if (!text) return tool_fail(command, "out of memory");
    puts(text);
    free(text);
    return EXIT_OK;
}

// ------------------------------------------------------------------ lines

int tool_columns(FILE *f)
{
    const char *kind = getenv("TERM");
    struct winsize size;
    if (!isatty(fileno(f)) || !kind || strcmp(kind, "dumb") == 0) return 0;
    return ioctl(fileno(f), TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

// Columns of n bytes of UTF-8, each character one.
static int columns_of(const char *text, size_t n)
{
    int columns = 0;
    for (size_t i = 0; i < n; i++) columns += ((unsigned char)text[i] & 0xC0) != 0x80;
    return columns;
}

// One word, on the next line if it does not fit on this one. Returns the column behind it.
static int put_word(const char *word, size_t bytes, int at, int indent, int width)
{
    const int columns = columns_of(word, bytes);
    if (width && at > indent && at + 1 + columns > width) {
        printf("\n%*s", indent, "");
        at = indent;
    } else if (at > indent) {
        putchar(' ');
        at++;
    }
    fwrite(word, 1, bytes, stdout);
    return at + columns;
}

void tool_wrap(const char *text, int at, int indent, int width)
{
    while (*(text += strspn(text, " \n"))) {
        const size_t n = strcspn(text, " \n");
        at = put_word(text, n, at, indent, width);
        text += n;
    }
    putchar('\n');
}

void tool_print_names(const char *label, tn_names names)
{
    int at = printf("%s", label);
    for (size_t i = 0; i < names.n; i++) at = put_word(names.v[i], strlen(names.v[i]), at, 2, 100);
    putchar('\n');
}

// ------------------------------------------------------------------ numbers

long tool_long(const char *text, const char *what, long least, struct argp_state *state)
{
    char *end;
    errno = 0;
    const long v = strtol(text, &end, 10);
    if (end == text || *end || errno || v < least)
        argp_error(state, "%s: wanted a whole number of at least %ld, got \"%s\"", what, least,
                   text);
    return v;
}

double tool_double(const char *text, const char *what, struct argp_state *state)
{
    char *end;
    const double v = strtod(text, &end);
    if (end == text || *end || !isfinite(v))
        argp_error(state, "%s: wanted a number, got \"%s\"", what, text);
    return v;
}

tn_dtype tool_compute(const char *text, struct argp_state *state)
{
    if (strcmp(text, "float32") == 0) return TN_DTYPE_NONE;
    if (strcmp(text, "bfloat16") != 0 && strcmp(text, "bf16") != 0)
        argp_error(state, "--compute: wanted float32, bfloat16 or bf16, got \"%s\"", text);
    return TN_BF16;
}

tn_dtype tool_dtype(const char *text, const char *what, struct argp_state *state)
{
    char names[256] = "";
    const tn_dtype found = strcmp(text, "bf16") == 0 ? TN_BF16 : tn_dtype_find(text);
    if (found) return found;
    for (int d = TN_DTYPE_NONE + 1; d < TN_DTYPE_END; d++) {
        if (!tn_dtype_size((tn_dtype)d)) continue;
        const size_t n = strlen(names);
        snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", tn_dtype_name((tn_dtype)d));
    }
    argp_error(state, "%s: no dtype \"%s\"; there are %s", what, text, names);
    return TN_DTYPE_NONE;
}
