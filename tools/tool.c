// tools/tool.c: what the subcommands of `tenon` share.
#include "tools/tool.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void tool_parse(const struct argp *argp, int argc, char **argv, void *input)
{
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

tn_env *tool_env(void)
{
    tn_env *env = tn_env_new(NULL);
    if (!env) {
        fprintf(stderr, "tenon: out of memory\n");
        exit(EXIT_FAILED);
    }
    return env;
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

int tool_print_json(const char *command, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(value);
    if (!text) return tool_fail(command, "out of memory, or text that is not UTF-8");
    puts(text);
    free(text);
    return EXIT_OK;
}

void tool_print_names(const char *label, tn_names names)
{
    printf("%s", label);
    for (size_t i = 0; i < names.n; i++) printf(" %s", names.v[i]);
    putchar('\n');
}

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
