// tools/tool.h: what the subcommands of `tenon` share.
#ifndef TENON_TOOLS_TOOL_H
#define TENON_TOOLS_TOOL_H

#include <argp.h>
#include <jansson.h>
#include <tenon/tenon.h>

// Exit codes of every subcommand.
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

int cmd_backends(int argc, char **argv);
int cmd_ops(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_train(int argc, char **argv);
int cmd_bench(int argc, char **argv);

// Parses with argp; argv[0] is "tenon <name>". Usage errors exit with EXIT_USAGE, --help with 0.
void tool_parse(const struct argp *argp, int argc, char **argv, void *input);

// "tenon run: <text>" on stderr; returns EXIT_FAILED.
__attribute__((format(printf, 2, 3))) int tool_fail(const char *command, const char *format, ...);

// The env of a command: plugins searched as documented in tenon/env.h. Exits on out of memory.
tn_env *tool_env(void);

// Names given on the command line as NAME=1,3,224,224.
typedef struct tool_shapes {
    size_t n;
    struct tool_shape {
        char name[256];
        tn_shape shape;
    } v[64];
} tool_shapes;
// False if text is not of that form.
bool tool_shape_parse(tool_shapes *shapes, const char *text);
// As the library wants them; `places` has room for shapes->n.
tn_shapes tool_shapes_of(const tool_shapes *shapes, tn_named_dims *places);

// "(64,784)" in a static buffer, for printf; "?" where unknown.
const char *tool_shape_text(const tn_shape *shape);

// Writes a JSON value to stdout, indented, with a newline, and drops the reference.
int tool_print_json(const char *command, json_t *value);

// Joined names, "data fc1_weight …", on one line to stdout behind a label.
void tool_print_names(const char *label, tn_names names);

// Value of a command-line number; exits with EXIT_USAGE through argp if it is none or below
// `least`.
long tool_long(const char *text, const char *what, long least, struct argp_state *state);
double tool_double(const char *text, const char *what, struct argp_state *state);

#endif
