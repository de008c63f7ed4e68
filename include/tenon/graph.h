// tenon/graph.h: build a computation graph: variables, operators, names, attributes, gradients.
//
// A graph owns all that is built in it: nodes, names, attributes, and every string and array that
// a function here returns; they live until the graph is freed. A tn_symbol is a value, not a
// pointer: copy it, return it, drop it. A node uses only older nodes, so id order is a topological
// order.
//
// Errors stick. The first one stays in the graph, each later call returns TN_NONE (or NULL, or the
// status) at once, and the builder checks tn_graph_status() once, at the end. A failed call
// changes nothing else, so after tn_graph_forgive() the graph is as it was before that call.
//
// A graph is used by one thread at a time; graphs in different threads may share an env.
//
// Most names here are also macros that note the caller's file and line for error messages; other
// languages call the functions themselves, and tn_graph_at() first if they have a place to report.
#ifndef TENON_GRAPH_H
#define TENON_GRAPH_H

#include <tenon/env.h>

TN_BEGIN_DECLS

typedef struct tn_graph tn_graph;

// One output of one node, all visible outputs of a node, or a group. All-zero is TN_NONE. As an
// argument it asks for the default: a new variable <node>_<argument>, or nothing if the argument
// is optional. As a result it says that the graph holds an error.
typedef struct tn_symbol {
    uint32_t node;  // id in its graph, from 1
    uint16_t out;   // output of that node, from 0; TN_ALL_OUTPUTS
    uint16_t graph; // tag of the owner: a foreign symbol is an error, not a crash
} tn_symbol;
#define TN_ALL_OUTPUTS 0xFFFFu

typedef struct tn_symbols {
    size_t n;
    const tn_symbol *v;
} tn_symbols;

typedef struct tn_names {
    size_t n;
    const char *const *v;
} tn_names;

typedef struct tn_attr {
    const char *key, *value;
} tn_attr;
typedef struct tn_attrs {
    size_t n;
    const tn_attr *v;
} tn_attrs;

typedef struct tn_named_symbol {
    const char *name;
    tn_symbol symbol;
} tn_named_symbol;
typedef struct tn_named_symbols {
    size_t n;
    const tn_named_symbol *v;
} tn_named_symbols;

// Numbers of which zero is a value apart from "not given": .p = TN_SET(0.0).
typedef struct tn_opt_f64 {
    double v;
    bool given;
} tn_opt_f64;
typedef struct tn_opt_i64 {
    int64_t v;
    bool given;
} tn_opt_i64;
typedef struct tn_opt_bool {
    bool v;
    bool given;
} tn_opt_bool;

#ifndef __cplusplus
#define TN_NONE ((tn_symbol){0})
#define TN_SET(value) \
    {                 \
        (value), true \
    }
#define TN_LIST_(list, item, ...) \
    ((list){TN_COUNT_(item, __VA_ARGS__), (const item[]){__VA_ARGS__}})
#define TN_SYMS(...) TN_LIST_(tn_symbols, tn_symbol, __VA_ARGS__) // TN_SYMS(a, b)
#define TN_ATTRS(...) TN_LIST_(tn_attrs, tn_attr, __VA_ARGS__)    // TN_ATTRS({"k", "v"})
#define TN_NAMED(...) TN_LIST_(tn_named_symbols, tn_named_symbol, __VA_ARGS__) // ({"data", x})
#define TN_SHAPES(...) TN_LIST_(tn_shapes, tn_named_dims, __VA_ARGS__)  // ({"data", TN_DIMS(2, 3)})
#define TN_DTYPES(...) TN_LIST_(tn_dtypes, tn_named_dtype, __VA_ARGS__) // ({"data", TN_F64})
#define TN_GRAPH_AT_(g) tn_graph_at((g), __FILE__, __LINE__)
#endif

// ------------------------------------------------------------------ the graph

// New empty graph; NULL when out of memory, or if env is NULL. Operators are looked up in env,
// which must outlive it. NULL graphs, envs, executors and tensors are harmless: every call here and
// in <tenon/env.h>, exec.h and tensor.h then gives NULL, 0 or a status, so that only the end needs
// a check.
TN_API tn_graph *tn_graph_new(tn_env *env);

// Frees g and all it owns. Executors bound from it stay valid. NULL is allowed.
TN_API void tn_graph_free(tn_graph *g);

// TN_OK, or the first error since tn_graph_new() or tn_graph_forgive().
TN_API tn_status tn_graph_status(const tn_graph *g);

// That error for a reader, owned by g; "" if none. "mlp.c:12: fc1 (FullyConnected): num_hidden: …".
TN_API const char *tn_graph_error(const tn_graph *g);

// Forgets the error. The graph is as it was before the call that failed.
TN_API void tn_graph_forgive(tn_graph *g);

// Notes where the next call stands. Returns g. file must outlive g, and executors bound from it (a
// string literal).
TN_API tn_graph *tn_graph_at(tn_graph *g, const char *file, int line);

TN_API tn_env *tn_graph_env(const tn_graph *g);
TN_API size_t tn_graph_num_nodes(const tn_graph *g);

// ------------------------------------------------------------------ variables and operators

typedef struct tn_variable_args {
    uint32_t size;    // set by the macro
    const char *name; // required
    tn_dims shape;    // __shape__; -1 unknown
    tn_dtype dtype;   // __dtype__
    tn_opt_f64 lr_mult, wd_mult;
    const char *init; // __init__: name of an initializer, or MXNet's JSON form
    tn_attrs attrs;   // more: keys that start and end with "__", or ctx_group and its like
} tn_variable_args;

// A variable: an input, a parameter or a label. tn_variable(g, "w", .shape = TN_DIMS(3, 4)).
// Errors: TN_E_INVALID empty name, bad attribute key; TN_E_EXISTS a variable of that name is in g.
TN_API tn_symbol tn_variable_make(tn_graph *g, const tn_variable_args *args);

// An operator by its generated argument struct (<tenon/ops.h>). Missing inputs become variables
// <name>_<input>; the name defaults to the lower-cased operator name and a number.
// Errors: TN_E_NOT_FOUND no such operator; TN_E_INVALID wrong parameter or input; TN_E_EXISTS.
TN_API tn_symbol tn_apply(tn_graph *g, const char *op, const void *args);

typedef struct tn_call_args {
    uint32_t size;          // set by the macro
    const char *name;       // NULL: automatic
    tn_symbols inputs;      // by position, or …
    tn_named_symbols named; // … by input name; not both
    tn_attrs params;        // parameters as MXNet text: {"kernel", "(3, 3)"}
    tn_attrs attrs;         // attributes of the node, as for variables
} tn_call_args;

// An operator by strings, for other languages, files and tools:
// tn_call(g, "FullyConnected", .inputs = TN_SYMS(x), .params = TN_ATTRS({"num_hidden", "10"})).
TN_API tn_symbol tn_call_make(tn_graph *g, const char *op, const tn_call_args *args);

// One side of an arithmetic expression: a symbol or a number.
typedef struct tn_operand {
    tn_symbol symbol; // all-zero: the number
    double number;
} tn_operand;
TN_API tn_symbol tn_arith(tn_graph *g, const char *op, tn_operand a, tn_operand b);

static inline tn_operand tn_operand_symbol(tn_symbol s)
{
    tn_operand o = {s, 0.0};
    if (!s.node) o.symbol.out = TN_ALL_OUTPUTS; // TN_NONE is an error here, and no number
    return o;
}
static inline tn_operand tn_operand_number(double v)
{
    const tn_symbol none = {0, 0, 0};
    const tn_operand o = {none, v};
    return o;
}

#ifndef __cplusplus
#define tn_variable(g, ...)           \
    tn_variable_make(TN_GRAPH_AT_(g), \
                     &(tn_variable_args){.size = sizeof(tn_variable_args), __VA_ARGS__})
#define tn_call(g, op, ...) \
    tn_call_make(TN_GRAPH_AT_(g), (op), &(tn_call_args){.size = sizeof(tn_call_args), __VA_ARGS__})

// a ∘ b elementwise; each of a and b is a symbol or a number, at least one a symbol. Shapes must
// be equal (no broadcasting: that is tn_broadcast_add …). Automatic names as MXNet's: _plus0,
// _mulscalar0. Comparisons give 0 or 1 in the dtype of the inputs.
#define TN_OPERAND_(x) _Generic((x), tn_symbol : tn_operand_symbol, default : tn_operand_number)(x)
#define TN_ARITH_(g, op, a, b) tn_arith(TN_GRAPH_AT_(g), (op), TN_OPERAND_(a), TN_OPERAND_(b))
#define tn_add(g, a, b) TN_ARITH_(g, "+", a, b)
#define tn_sub(g, a, b) TN_ARITH_(g, "-", a, b)
#define tn_mul(g, a, b) TN_ARITH_(g, "*", a, b)
#define tn_div(g, a, b) TN_ARITH_(g, "/", a, b)
#define tn_mod(g, a, b) TN_ARITH_(g, "%", a, b) // sign of the divisor, x % 0 = 0
#define tn_pow(g, a, b) TN_ARITH_(g, "**", a, b)
#define tn_maximum(g, a, b) TN_ARITH_(g, "maximum", a, b)
#define tn_minimum(g, a, b) TN_ARITH_(g, "minimum", a, b)
#define tn_hypot(g, a, b) TN_ARITH_(g, "hypot", a, b)
#define tn_equal(g, a, b) TN_ARITH_(g, "==", a, b)
#define tn_not_equal(g, a, b) TN_ARITH_(g, "!=", a, b)
#define tn_greater(g, a, b) TN_ARITH_(g, ">", a, b)
#define tn_greater_equal(g, a, b) TN_ARITH_(g, ">=", a, b)
#define tn_lesser(g, a, b) TN_ARITH_(g, "<", a, b)
#define tn_lesser_equal(g, a, b) TN_ARITH_(g, "<=", a, b)
#endif

// ------------------------------------------------------------------ scopes

// Prepends prefix to every operator name until the pop; nested prefixes join. Automatic names
// count from 0 in each new prefix.
TN_API tn_status tn_prefix_push(tn_graph *g, const char *prefix);
TN_API tn_status tn_prefix_pop(tn_graph *g);

// Gives every new variable and operator these attributes until the pop. Inner scopes and explicit
// attributes win.
TN_API tn_status tn_attr_scope_push(tn_graph *g, tn_attrs attrs);
TN_API tn_status tn_attr_scope_pop(tn_graph *g);

// ------------------------------------------------------------------ looking at symbols

// Names in depth-first order from the heads, inputs left to right. Arguments are the variables
// that no operator writes; auxiliary states those that one does; inputs are both as met.
TN_API tn_names tn_arguments(tn_graph *g, tn_symbol s);
TN_API tn_names tn_auxiliary_states(tn_graph *g, tn_symbol s);
TN_API tn_names tn_inputs(tn_graph *g, tn_symbol s);

// One name per output: <node>_output, or the variable's own name.
TN_API tn_names tn_outputs(tn_graph *g, tn_symbol s);

// Name of the node, or NULL for a group. Operator's name, or NULL for variables and groups.
TN_API const char *tn_symbol_name(tn_graph *g, tn_symbol s);
TN_API const char *tn_symbol_op(tn_graph *g, tn_symbol s);

// Output i, or the output of that name ("fc1_output"; a node name works if it has one output).
// Errors: TN_E_INVALID index; TN_E_NOT_FOUND with the nearest names; TN_E_EXISTS ambiguous.
TN_API tn_symbol tn_output(tn_graph *g, tn_symbol s, size_t i);
TN_API tn_symbol tn_output_named(tn_graph *g, tn_symbol s, const char *name);

// All the outputs of all members, as one symbol.
TN_API tn_symbol tn_group(tn_graph *g, tn_symbols members);

// Every visible output of every node below s, variables included, in depth-first order.
TN_API tn_symbol tn_internals(tn_graph *g, tn_symbol s);

// The direct inputs of the head nodes; TN_NONE, without error, if there are none.
TN_API tn_symbol tn_children(tn_graph *g, tn_symbol s);

// ------------------------------------------------------------------ attributes

// The attribute, or NULL. ctx_group, lr_mult, wd_mult, force_mirroring, mirror_stage are found
// with and without their underscores. "name" and "op_name" work too. NULL for groups.
TN_API const char *tn_attr_get(tn_graph *g, tn_symbol s, const char *key);

// Sets an attribute of the node. An operator parameter is parsed anew; "name" renames.
// Errors: TN_E_INVALID group, parameter that does not parse or would change the node's arity.
TN_API tn_status tn_attr_set(tn_graph *g, tn_symbol s, const char *key, const char *value);

// All attributes of the node of output 0, sorted by key; hidden keys in both spellings.
TN_API tn_attrs tn_attr_list(tn_graph *g, tn_symbol s);

typedef struct tn_node_attrs {
    const char *node;
    tn_attrs attrs;
} tn_node_attrs;
typedef struct tn_attr_dict_result {
    size_t n;
    const tn_node_attrs *v;
} tn_attr_dict_result;

// The attributes of every node below s that has any, in depth-first order.
TN_API tn_attr_dict_result tn_attr_dict(tn_graph *g, tn_symbol s);

// ------------------------------------------------------------------ composing and copying

// s with each variable that is named in `with` replaced by that symbol. Only nodes that depend on
// a replaced variable are copied, so everything else, the parameters above all, is shared between
// s and the result. Copies keep their names; `name` (may be NULL) names the copied head.
// Errors: TN_E_NOT_FOUND no such variable below s (with the nearest); TN_E_EXISTS two variables of
// that name; TN_E_INVALID a symbol with several outputs, a name given twice.
TN_API tn_symbol tn_compose(tn_graph *g, tn_symbol s, const char *name, tn_named_symbols with);

// A deep copy of s, from graph `from` (may be g itself), variables included; names stay.
TN_API tn_symbol tn_symbol_copy(tn_graph *g, tn_graph *from, tn_symbol s);

// ------------------------------------------------------------------ inference

typedef struct tn_named_dims {
    const char *name;
    tn_dims dims;
} tn_named_dims;
typedef struct tn_shapes {
    size_t n;
    const tn_named_dims *v;
} tn_shapes;
typedef struct tn_named_dtype {
    const char *name;
    tn_dtype dtype;
} tn_named_dtype;
typedef struct tn_dtypes {
    size_t n;
    const tn_named_dtype *v;
} tn_dtypes;

typedef struct tn_named_shape {
    const char *name;
    tn_shape shape;
} tn_named_shape;

// Shapes in the order of tn_arguments, tn_outputs and tn_auxiliary_states.
typedef struct tn_shape_result {
    size_t n_args, n_outs, n_auxs;
    const tn_named_shape *args, *outs, *auxs;
    bool complete; // nothing is unknown, internal values included
} tn_shape_result;

// Infers every shape below s from those given by name (arguments or auxiliary states) and from
// __shape__ attributes, in both directions, to a fixpoint. tn_infer_shape fails if anything stays
// unknown and lists it; the partial form returns what is known.
// Errors: TN_E_SHAPE with node, argument, wanted, got and the node's own file:line;
// TN_E_NOT_FOUND a name that is no argument. Returns NULL on error.
TN_API const tn_shape_result *tn_infer_shape(tn_graph *g, tn_symbol s, tn_shapes known);
TN_API const tn_shape_result *tn_infer_shape_partial(tn_graph *g, tn_symbol s, tn_shapes known);

// Dtypes likewise; what stays unknown is TN_DTYPE_NONE.
typedef struct tn_dtype_result {
    size_t n_args, n_outs, n_auxs;
    const tn_named_dtype *args, *outs, *auxs;
    bool complete;
} tn_dtype_result;
TN_API const tn_dtype_result *tn_infer_dtype(tn_graph *g, tn_symbol s, tn_dtypes known);

// ------------------------------------------------------------------ gradients

// Appends to g the nodes that compute dx[j] = Σᵢ head[i] · ∂y[i]/∂x[j] and stores their symbols in
// dx (x.n places). head.n 0, or a TN_NONE in head, means ones. x may be variables or any values
// below y. dx[j] has the shape of x[j]; it is zeros where no path leads from x[j] to y. Gradients
// are ordinary nodes and can be differentiated again.
// Errors: TN_E_NO_GRADIENT names the operator; TN_E_INVALID. On error dx is not written.
TN_API tn_status tn_gradient(tn_graph *g, tn_symbols y, tn_symbols head, tn_symbols x,
                             tn_symbol *dx);

// ------------------------------------------------------------------ text and files

// One line a node: %7 = FullyConnected(%3, %4, %5) num_hidden=128  "fc1"  mlp.c:12
TN_API const char *tn_symbol_text(tn_graph *g, tn_symbol s);

// MXNet 1.x symbol JSON of s. NULL on error.
TN_API const char *tn_symbol_json(tn_graph *g, tn_symbol s);

// The same into a file, written beside it and renamed, so that a failure leaves the old one.
TN_API tn_status tn_symbol_save(tn_graph *g, tn_symbol s, const char *path);

// Adds the graph of an MXNet symbol JSON (0.8 to 1.x) to g. Names in the file are kept; later
// automatic names avoid them. Operators that are not registered are named in one error. Nodes that
// no head depends on, and control_deps, are checked and left out.
// Errors: TN_E_FORMAT with the byte or node; TN_E_NOT_FOUND operators; TN_E_IO.
TN_API tn_symbol tn_symbol_parse(tn_graph *g, const char *text, size_t bytes);
TN_API tn_symbol tn_symbol_load(tn_graph *g, const char *path);

#ifndef __cplusplus
#define tn_apply(g, op, args) tn_apply(TN_GRAPH_AT_(g), op, args)
#define tn_prefix_push(g, prefix) tn_prefix_push(TN_GRAPH_AT_(g), prefix)
#define tn_prefix_pop(g) tn_prefix_pop(TN_GRAPH_AT_(g))
#define tn_attr_scope_push(g, attrs) tn_attr_scope_push(TN_GRAPH_AT_(g), attrs)
#define tn_attr_scope_pop(g) tn_attr_scope_pop(TN_GRAPH_AT_(g))
#define tn_arguments(g, s) tn_arguments(TN_GRAPH_AT_(g), s)
#define tn_auxiliary_states(g, s) tn_auxiliary_states(TN_GRAPH_AT_(g), s)
#define tn_inputs(g, s) tn_inputs(TN_GRAPH_AT_(g), s)
#define tn_outputs(g, s) tn_outputs(TN_GRAPH_AT_(g), s)
#define tn_symbol_name(g, s) tn_symbol_name(TN_GRAPH_AT_(g), s)
#define tn_symbol_op(g, s) tn_symbol_op(TN_GRAPH_AT_(g), s)
#define tn_output(g, s, i) tn_output(TN_GRAPH_AT_(g), s, i)
#define tn_output_named(g, s, name) tn_output_named(TN_GRAPH_AT_(g), s, name)
#define tn_group(g, ...) tn_group(TN_GRAPH_AT_(g), __VA_ARGS__)
#define tn_internals(g, s) tn_internals(TN_GRAPH_AT_(g), s)
#define tn_children(g, s) tn_children(TN_GRAPH_AT_(g), s)
#define tn_attr_get(g, s, key) tn_attr_get(TN_GRAPH_AT_(g), s, key)
#define tn_attr_set(g, s, key, value) tn_attr_set(TN_GRAPH_AT_(g), s, key, value)
#define tn_attr_list(g, s) tn_attr_list(TN_GRAPH_AT_(g), s)
#define tn_attr_dict(g, s) tn_attr_dict(TN_GRAPH_AT_(g), s)
#define tn_compose(g, s, name, ...) tn_compose(TN_GRAPH_AT_(g), s, name, __VA_ARGS__)
#define tn_symbol_copy(g, from, s) tn_symbol_copy(TN_GRAPH_AT_(g), from, s)
#define tn_infer_shape(g, s, ...) tn_infer_shape(TN_GRAPH_AT_(g), s, __VA_ARGS__)
#define tn_infer_shape_partial(g, s, ...) tn_infer_shape_partial(TN_GRAPH_AT_(g), s, __VA_ARGS__)
#define tn_infer_dtype(g, s, ...) tn_infer_dtype(TN_GRAPH_AT_(g), s, __VA_ARGS__)
#define tn_gradient(g, ...) tn_gradient(TN_GRAPH_AT_(g), __VA_ARGS__)
#define tn_symbol_text(g, s) tn_symbol_text(TN_GRAPH_AT_(g), s)
#define tn_symbol_json(g, s) tn_symbol_json(TN_GRAPH_AT_(g), s)
#define tn_symbol_save(g, s, path) tn_symbol_save(TN_GRAPH_AT_(g), s, path)
#define tn_symbol_parse(g, text, bytes) tn_symbol_parse(TN_GRAPH_AT_(g), text, bytes)
#define tn_symbol_load(g, path) tn_symbol_load(TN_GRAPH_AT_(g), path)
#endif

TN_END_DECLS

#endif
