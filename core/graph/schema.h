// core/graph/schema.h: operators and backends as the core keeps them once they are registered.
//
// A registry is filled while an env loads plugins (core/env) and only read afterwards. Tables of
// plugins are copied here to the size that this core knows, so no reader checks sizes again.
#ifndef TENON_CORE_SCHEMA_H
#define TENON_CORE_SCHEMA_H

#include <tenon/graph.h>

#include "core/base/base.h"

typedef struct tni_op tni_op;

// One parameter with its texts taken apart.
typedef struct tni_param {
    tn_param_decl decl;
    const char **choices; // NULL-terminated; ENUM only
    double lo, hi;        // open ends are ∓infinity
    bool lo_open, hi_open;
} tni_param;

// One field of the struct that tn_apply() reads. The rule of the layout stands in fields.c.
typedef enum tni_field_kind {
    TNI_FIELD_SIZE,  // uint32_t size
    TNI_FIELD_INPUT, // tn_symbol, or tn_symbols for a variadic input
    TNI_FIELD_PARAM, // a parameter
    TNI_FIELD_NAME,  // const char *name
    TNI_FIELD_ATTRS  // tn_attrs attrs
} tni_field_kind;
typedef struct tni_field {
    tni_field_kind kind;
    uint32_t index;   // of the input or parameter in the declaration
    const char *name; // in C: the declared one, with "_" behind it if C or the struct needs that
    const char *type; // in C: "tn_symbol", "tn_opt_i64", "const char *"
    uint32_t offset, size;
} tni_field;

struct tni_op {
    tn_op_decl decl;    // what tn_env_op() gives out; its lists point to normalised copies
    const char *plugin; // name of the plugin, "" for the core
    tni_param *params;
    uint32_t n_params;
    uint32_t n_in, n_out;                 // declared ports
    const tn_port_decl *in, *out;         // arrays
    const char **aliases;                 // NULL-terminated
    int32_t count_param, count_out_param; // index in params, or -1
    const tni_field *fields;              // of the argument struct of tn_apply()
    uint32_t n_fields;
};

// One opened or openable device of a backend.
typedef struct tni_device {
    struct tni_backend *backend;
    tn_device_info info;
    char *uri;         // "blas", or "opencl:0" where a backend has several
    tn_device *handle; // NULL until first used; opened under the registry's lock
    tn_status open_status;
    char *open_error;
} tni_device;

typedef struct tni_backend {
    tn_backend_api api;
    const struct tni_plugin *plugin;
    void *self; // what the plugin's init() returned
    tni_device *devices;
    uint32_t n_devices;
    tn_backend_entry entry;
} tni_backend;

typedef struct tni_kernel_decl {
    tn_kernel_decl decl;
    const struct tni_plugin *plugin;
    void *self;
} tni_kernel_decl;

// Everything that is registered in one env.
typedef struct tni_registry {
    tni_op **ops; // sorted by name
    uint32_t n_ops;
    tni_map by_name;        // names and aliases → index in ops
    tni_backend **backends; // by rank, then name
    uint32_t n_backends;
    tni_kernel_decl *kernels; // in order of loading
    uint32_t n_kernels;
    tni_arena arena;
} tni_registry;

const tni_op *tni_op_find(const tni_registry *r, const char *name); // name or alias; or NULL

// The registry of an env, and what else lower layers need of it (defined in core/env).
const tni_registry *tni_env_registry(const tn_env *env);
// Opens a device once; later calls return the same handle or the same failure. [any thread]
tn_status tni_device_open(tn_env *env, tni_device *device, tni_error *error);
// Reason that a plugin callback of `backend` left with host->fail() in this thread; "" if none.
// Reading takes it away.
const char *tni_host_take_error(const struct tni_plugin *plugin);
const char *tni_plugin_name(const struct tni_plugin *plugin);
// A failed call that took the env: keeps status and text, returns status. [any thread]
__attribute__((format(printf, 3, 4))) tn_status tni_env_fail(tn_env *env, tn_status status,
                                                             const char *format, ...);

// ------------------------------------------------------------------ declarations (schema.c)

// Normalises a declaration and checks that it makes sense (names unique, offsets inside the blob,
// defaults that parse, conditions that name parameters, …). NULL and `error` if not.
tni_op *tni_op_new(tni_arena *arena, const tn_op_decl *decl, const char *plugin, tni_error *error);

// Field `index` of the struct that tn_apply() reads for op, in order; NULL past the end. The
// generator of <tenon/ops.h> prints these. (fields.c)
const tni_field *tni_args_field(const tni_op *op, uint32_t index);
bool tni_fields_lay(tni_op *op, tni_arena *arena); // for tni_op_new(); false: out of memory

// ------------------------------------------------------------------ parameters (params.c,
// values.c)

// Parses parameter texts into a new blob: defaults filled in, ranges checked. Keys of the form
// __x__ are skipped. `what` names the call in messages ("fc1 (FullyConnected)").
// Errors: unknown key with the nearest spellings and the list; required one missing; bad text.
void *tni_params_parse(const tni_op *op, tni_arena *arena, const tn_attr *attrs, size_t n,
                       const char *place, const char *what, tni_error *error);

// A copy of a blob, its texts and lists included. NULL: out of memory.
void *tni_params_copy(const tni_op *op, tni_arena *arena, const void *params);

// Index of a parameter, or -1.
int32_t tni_param_find(const tni_op *op, const char *name);

// Text of a parameter as MXNet writes it: "(3, 3)", "True", "0.5", "relu", "None".
char *tni_param_text(const tni_param *p, const void *blob, tni_arena *arena);

// Parses one value; false and a reason if it does not fit. For lists memory is from arena.
bool tni_param_parse(const tni_param *p, const char *text, void *blob, tni_arena *arena,
                     tni_text *reason);

// ------------------------------------------------------------------ ports of a call (ports.c)

// "use_sequence_length", "!no_bias", "act_type=prelu", "ret_typ=value|both"; NULL is true.
bool tni_when(const tni_op *op, const void *params, const char *condition);
// False, and a reason, if a condition names no parameter or a value that it cannot have.
bool tni_when_valid(const tni_op *op, const char *condition, tni_text *reason);

// Most inputs that a variadic call, and most outputs that any call, may have.
#define TNI_MAX_PORTS 65000

typedef struct tni_arity {
    uint32_t n_in, n_out, n_visible;
} tni_arity;
// How many inputs (auxiliary states included) and outputs a call with these parameters has.
tni_arity tni_op_arity(const tni_op *op, const void *params);

// Number of the input of such a call that is input `index` of declared input `port`; false if the
// call has none.
bool tni_op_slot(const tni_op *op, const void *params, uint32_t port, uint32_t index,
                 uint32_t *slot);

// Declaration of input or output i of such a call (skipping those whose `when` is false), and its
// name: "weight", "arg0", "output1". The name is written into buffer.
const tn_port_decl *tni_op_in(const tni_op *op, const void *params, uint32_t i);
const tn_port_decl *tni_op_out(const tni_op *op, const void *params, uint32_t i);
const char *tni_op_in_name(const tni_op *op, const void *params, uint32_t i, char buffer[64]);
const char *tni_op_out_name(const tni_op *op, const void *params, uint32_t i, char buffer[64]);
// The operator whose declaration this is.
static inline const tni_op *tni_op_of(const tn_op_decl *decl)
{
    return (const tni_op *)(const void *)((const char *)decl - offsetof(tni_op, decl));
}

// MXNet tuple text "(64, 0, 5)" → shape with 0 or -1 as unknown extents; false if it is no tuple.
bool tni_shape_parse(const char *text, tn_shape *shape);

#endif
