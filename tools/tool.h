// tools/tool.h: what the subcommands of `tenon` share.
#ifndef TENON_TOOLS_TOOL_H
#define TENON_TOOLS_TOOL_H

#include <argp.h>
#include <jansson.h>
#include <tenon/tenon.h>

// The reader of a message or a plan is interested in the network, not in the lines of this program.
#undef TN_GRAPH_AT_
#define TN_GRAPH_AT_(g) (g)

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

// The error of an env, or of a graph, which is told of `path` (may be NULL) unless it begins with
// it. option: how shapes are given on this command line, where the error asks for them; or NULL.
int tool_env_fail(const char *command, const tn_env *env);
// After a file could not be read: the error of the env, unless its first bytes say what it is and
// that is not `wanted`, "a .params file".
int tool_file_fail(const char *command, const tn_env *env, const char *path, const char *wanted);
int tool_graph_fail(const char *command, const tn_graph *g, const char *path, const char *option);

// The env of a command: plugins searched as documented in tenon/env.h; threads of its pool, 0: as
// many as is usual. Exits on out of memory, and where TENON_NUM_THREADS or TENON_NAN makes no
// sense. Warnings of the library go to stderr; those of making an env once in a process, and where
// tool_warns is false never, as in processes that are made to do a part of the work.
extern bool tool_warns;
tn_env *tool_env(int32_t threads);

// Can a bind with that list of backends (NULL: the usual one) find and open its devices? EXIT_OK,
// or a message, which begins with `option` unless that is NULL.
int tool_devices_check(const char *command, tn_env *env, const char *option, const char *list);

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

// Devices of __ctx_group__ names, given on the command line as NAME=DEVICE.
typedef struct tool_groups {
    size_t n;
    tn_attr v[32];
} tool_groups;
// False if text is not of that form; it is cut in two.
bool tool_group_parse(tool_groups *groups, char *text);
tn_attrs tool_groups_of(const tool_groups *groups);
// EXIT_OK if each device can be used (and some node of net is in each group), or a message.
int tool_groups_devices(const char *command, tn_env *env, const tool_groups *groups);
int tool_groups_check(const char *command, tn_graph *g, tn_symbol net, const tool_groups *groups);

// "(64,784)" in a static buffer, for printf; "?" where unknown.
const char *tool_shape_text(const tn_shape *shape);

// A JSON string; bytes of text that is not UTF-8 become "?". null for NULL.
json_t *tool_json_text(const char *text);

// Writes a JSON value to stdout, indented, with a newline, and drops the reference.
int tool_print_json(const char *command, json_t *value);

// Joined names, "data fc1_weight …", to stdout behind a label; further lines are indented.
void tool_print_names(const char *label, tn_names names);

// Words of text, which starts at column `at`, with no line beyond `width`; further lines are
// indented. Ends the line. Width 0: no limit.
void tool_wrap(const char *text, int at, int indent, int width);

// Value of --compute for tn_bind_options: float32 is TN_DTYPE_NONE, bfloat16 or bf16 is TN_BF16;
// exits with EXIT_USAGE through argp if it is something else.
tn_dtype tool_compute(const char *text, struct argp_state *state);
// The option itself, the same for all commands.
#define TOOL_COMPUTE_OPTION(number)                                                 \
    {                                                                               \
        .name = "compute", .key = (number), .arg = "DTYPE", .doc = tool_compute_doc \
    }
#define tool_compute_doc                                                                        \
    "float32, bfloat16 or bf16: kernels may compute float32 networks in that, where a backend " \
    "can; what is stored stays float32"

// Columns of the terminal that f is, 80 if it does not say; 0 if f is no terminal or a dumb one.
int tool_columns(FILE *f);

// Value of a command-line number; exits with EXIT_USAGE through argp if it is none or below
// `least`.
long tool_long(const char *text, const char *what, long least, struct argp_state *state);
double tool_double(const char *text, const char *what, struct argp_state *state);
// A dtype by its name; "bf16" is one too.
tn_dtype tool_dtype(const char *text, const char *what, struct argp_state *state);

#endif
