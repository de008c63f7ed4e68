// tests/graph/test_typed.c: the argument structs that tn_apply() reads, field by field.
#include <tenon/sdk.h>

#include "core/graph/graph.h"
#include "tests/tn_test.h"

// ------------------------------------------------------------------ an operator with every kind

typedef struct kinds_params {
    int64_t n, times, level, depth, maybe, end;
    double rate, scalar;
    const char *label;
    tn_ints size, begin;
    tn_reals ratios;
    int32_t off, on, mode, act;
    tn_dtype dtype;
} kinds_params;

static const tn_op_decl kinds =
    TN_OP(.name = "Kinds", .aliases = "kinds_alias", .count = "n",
          .inputs =
              TN_PORTS(TN_PORT(.name = "data", .flags = TN_PORT_VARIADIC),
                       TN_PORT(.name = "state", .flags = TN_PORT_AUX, .init = "[\"one\", {}]")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), .params_size = sizeof(kinds_params),
          .params = TN_PARAMS(
              TN_PARAM(kinds_params, n, TN_P_I64, .range = "[1,)"),
              TN_PARAM(kinds_params, off, TN_P_BOOL, .def = "False"),
              TN_PARAM(kinds_params, on, TN_P_BOOL, .def = "True"),
              TN_PARAM(kinds_params, times, TN_P_I64, .def = "0"),
              TN_PARAM(kinds_params, level, TN_P_I64, .def = "3", .range = "[1,9]"),
              TN_PARAM(kinds_params, depth, TN_P_I64, .def = "-1"),
              TN_PARAM(kinds_params, maybe, TN_P_I64, .def = "None", .flags = TN_PF_NONE),
              TN_PARAM(kinds_params, end, TN_P_I64, .flags = TN_PF_NONE),
              TN_PARAM(kinds_params, rate, TN_P_F64, .def = "0.5"),
              TN_PARAM(kinds_params, scalar, TN_P_F64, .doc = "a number"),
              TN_PARAM(kinds_params, label, TN_P_STR, .def = "none"),
              TN_PARAM(kinds_params, mode, TN_P_ENUM, .def = "slow", .choices = "slow|fast"),
              TN_PARAM(kinds_params, act, TN_P_ENUM, .choices = "relu|tanh"),
              TN_PARAM(kinds_params, size, TN_P_I64S, .def = "()"),
              TN_PARAM(kinds_params, begin, TN_P_I64S, .def = "()", .flags = TN_PF_NONE),
              TN_PARAM(kinds_params, ratios, TN_P_F64S, .def = "()"),
              TN_PARAM(kinds_params, dtype, TN_P_DTYPE, .def = "float32")));

// As the generator writes it.
typedef struct kinds_args {
    uint32_t size;
    tn_symbols data;
    tn_symbol state;
    bool off;
    tn_opt_bool on;
    int64_t times;
    int64_t level;
    tn_opt_i64 depth;
    tn_opt_i64 maybe;
    int64_t end;
    tn_opt_f64 rate;
    double scalar;
    const char *label;
    int mode;
    int act;
    tn_ints size_;
    tn_ints begin;
    tn_reals ratios;
    tn_dtype dtype;
    const char *name;
    tn_attrs attrs;
} kinds_args;

typedef struct wanted_field {
    const char *name, *type;
    size_t offset, size;
} wanted_field;
#define FIELD(type, name)                                      \
    {                                                          \
#name, #type, offsetof(kinds_args, name), sizeof(type) \
    }

static const wanted_field wanted[] = {
    FIELD(uint32_t, size),      FIELD(tn_symbols, data),   FIELD(tn_symbol, state),
    FIELD(bool, off),           FIELD(tn_opt_bool, on),    FIELD(int64_t, times),
    FIELD(int64_t, level),      FIELD(tn_opt_i64, depth),  FIELD(tn_opt_i64, maybe),
    FIELD(int64_t, end),        FIELD(tn_opt_f64, rate),   FIELD(double, scalar),
    FIELD(const char *, label), FIELD(int, mode),          FIELD(int, act),
    FIELD(tn_ints, size_),      FIELD(tn_ints, begin),     FIELD(tn_reals, ratios),
    FIELD(tn_dtype, dtype),     FIELD(const char *, name), FIELD(tn_attrs, attrs)};

static tni_registry registry;
static tni_op *own_ops[1];

// The graph of the bench with an env that has this operator only.
static void setup(void)
{
    tni_error error = {0};
    registry = (tni_registry){.ops = own_ops, .n_ops = 1};
    own_ops[0] = tni_op_new(&registry.arena, &kinds, "", &error);
    tn_check_ok(__LINE__, __FILE__, error.status, tni_error_text(&error));
    tni_map_put(&registry.by_name, "Kinds", 0);
    tni_map_put(&registry.by_name, "kinds_alias", 0);
    bench.g->registry = &registry;
}

static void teardown(void)
{
    tni_map_free(&registry.by_name);
    tni_arena_free(&registry.arena);
}

static void the_layout_is_that_of_the_struct(void)
{
    setup();
    CU_ASSERT_EQUAL(own_ops[0]->n_fields, sizeof wanted / sizeof *wanted);
    for (uint32_t i = 0; i < own_ops[0]->n_fields; i++) {
        const tni_field *f = tni_args_field(own_ops[0], i);
        TN_CHECK_STR(f->name, wanted[i].name);
        TN_CHECK_STR(f->type, wanted[i].type);
        CU_ASSERT_EQUAL(f->offset, wanted[i].offset);
        CU_ASSERT_EQUAL(f->size, wanted[i].size);
    }
    CU_ASSERT_PTR_NULL(tni_args_field(own_ops[0], own_ops[0]->n_fields));
    teardown();
}

static tn_symbol make(kinds_args a)
{
    a.size = sizeof a;
    return tn_apply(bench.g, "Kinds", &a);
}

// The parameter as it was parsed; the attribute shows what was given.
static const char *parsed(tn_symbol s, const char *name)
{
    const tni_op *op = own_ops[0];
    const tni_node *n = tni_node_at(bench.g, s.node);
    return tni_param_text(&op->params[tni_param_find(op, name)], n->params, &bench.g->arena);
}

static void zero_is_the_default(void)
{
    setup();
    const tn_symbol x = tn_variable(bench.g, "x");
    const tn_symbol s = make((kinds_args){.data = TN_SYMS(x), .act = 1});
    TN_CHECK_GRAPH();
    TN_CHECK_STR(parsed(s, "n"), "1");
    TN_CHECK_STR(parsed(s, "off"), "False");
    TN_CHECK_STR(parsed(s, "on"), "True");
    TN_CHECK_STR(parsed(s, "times"), "0");
    TN_CHECK_STR(parsed(s, "level"), "3");
    TN_CHECK_STR(parsed(s, "depth"), "-1");
    TN_CHECK_STR(parsed(s, "maybe"), "None");
    TN_CHECK_STR(parsed(s, "rate"), "0.5");
    TN_CHECK_STR(parsed(s, "label"), "none");
    TN_CHECK_STR(parsed(s, "mode"), "slow");
    TN_CHECK_STR(parsed(s, "act"), "relu");
    TN_CHECK_STR(parsed(s, "size"), "()");
    TN_CHECK_STR(parsed(s, "dtype"), "float32");
    // Required numbers are always given, so their zero is a value.
    TN_CHECK_STR(parsed(s, "end"), "0");
    TN_CHECK_STR(parsed(s, "scalar"), "0");
    // Only what was given becomes an attribute.
    const tn_attrs all = tn_attr_list(bench.g, s);
    CU_ASSERT_EQUAL_FATAL(all.n, 4);
    TN_CHECK_STR(all.v[0].key, "act");
    TN_CHECK_STR(all.v[1].key, "end");
    TN_CHECK_STR(all.v[2].key, "n");
    TN_CHECK_STR(all.v[3].key, "scalar");
    teardown();
}

static void every_kind_is_read(void)
{
    setup();
    const tn_symbol x = tn_variable(bench.g, "x"), y = tn_variable(bench.g, "y");
    const tn_symbol s = make((kinds_args){.data = TN_SYMS(x, y, x),
                                          .off = true,
                                          .on = TN_SET(false),
                                          .times = -5,
                                          .level = 9,
                                          .depth = TN_SET(0),
                                          .maybe = TN_SET(7),
                                          .end = TN_NONE_I64,
                                          .rate = TN_SET(0.0),
                                          .scalar = 1e-3,
                                          .label = "text",
                                          .mode = 2,
                                          .act = 2,
                                          .size_ = TN_INTS(3, 4),
                                          .begin = TN_INTS(TN_NONE_I64, 1),
                                          .ratios = TN_REALS(0.5),
                                          .dtype = TN_I8,
                                          .name = "all",
                                          .attrs = TN_ATTRS({"ctx_group", "a"})});
    TN_CHECK_GRAPH();
    static const char *const pairs[][2] = {
        {"n", "3"},       {"off", "True"},     {"on", "False"},        {"times", "-5"},
        {"level", "9"},   {"depth", "0"},      {"maybe", "7"},         {"end", "None"},
        {"rate", "0"},    {"scalar", "0.001"}, {"label", "text"},      {"mode", "fast"},
        {"act", "tanh"},  {"size", "(3, 4)"},  {"begin", "(None, 1)"}, {"ratios", "(0.5,)"},
        {"dtype", "int8"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        TN_CHECK_STR(parsed(s, pairs[i][0]), pairs[i][1]);
        TN_CHECK_STR(tn_attr_get(bench.g, s, pairs[i][0]), pairs[i][1]);
    }
    TN_CHECK_STR(tn_symbol_name(bench.g, s), "all");
    TN_CHECK_STR(tn_attr_get(bench.g, s, "__ctx_group__"), "a");
    TN_CHECK_NAMES(tn_inputs(bench.g, s), "x y all_state");
    teardown();
}

// A caller built against an older header knows fewer fields.
static void fields_beyond_the_size_read_as_zero(void)
{
    setup();
    const tn_symbol x = tn_variable(bench.g, "x");
    kinds_args a = {.data = TN_SYMS(x), .act = 2, .size_ = TN_INTS(3), .name = "unseen"};
    a.size = offsetof(kinds_args, size_);
    const tn_symbol s = tn_apply(bench.g, "kinds_alias", &a);
    TN_CHECK_GRAPH();
    TN_CHECK_STR(parsed(s, "act"), "tanh");
    TN_CHECK_STR(parsed(s, "size"), "()");
    TN_CHECK_STR(tn_symbol_name(bench.g, s), "kinds_alias0");
    teardown();
}

static void check_refused(tn_symbol s, tn_status status, const char *part)
{
    CU_ASSERT_EQUAL(s.node, 0);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), status);
    TN_CHECK_HAS(tn_graph_error(bench.g), part);
    tn_graph_forgive(bench.g);
}

static void wrong_values_are_named(void)
{
    setup();
    const tn_symbol x = tn_variable(bench.g, "x");
    check_refused(make((kinds_args){.data = TN_SYMS(x)}), TN_E_INVALID,
                  "Kinds: act: required (one of relu|tanh)");
    check_refused(make((kinds_args){.data = TN_SYMS(x), .act = 3}), TN_E_INVALID,
                  "Kinds: act: '3' is none of relu, tanh");
    check_refused(make((kinds_args){.data = TN_SYMS(x), .act = 1, .level = 10}), TN_E_INVALID,
                  "Kinds: level: 10 is outside [1,9]");
    check_refused(make((kinds_args){.data = TN_SYMS(x), .act = 1, .dtype = 77}), TN_E_INVALID,
                  "Kinds: dtype: 'unknown' is no dtype");
    check_refused(make((kinds_args){.act = 1}), TN_E_INVALID,
                  "Kinds: n: required (an integer in [1,))");
    check_refused(tn_apply(bench.g, "Kinds", NULL), TN_E_INVALID, "Kinds: no arguments (NULL)");
    check_refused(tn_apply(bench.g, "Kind", NULL), TN_E_NOT_FOUND,
                  "no operator Kind — did you mean Kinds?");
    teardown();
}

// MXNet sets __init__ on the variables it makes for states such as a moving mean.
static void made_variables_get_the_ports_initializer(void)
{
    setup();
    const tn_symbol x = tn_variable(bench.g, "x");
    const tn_symbol a = make((kinds_args){.data = TN_SYMS(x, TN_NONE), .act = 1, .name = "a"});
    const tn_symbol b = make((kinds_args){
        .data = TN_SYMS(x), .act = 1, .name = "b", .attrs = TN_ATTRS({"__init__", "own"})});
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_inputs(bench.g, a), "x a_arg1 a_state");
    TN_CHECK_NAMES(tn_auxiliary_states(bench.g, a), "a_state");
    const tn_symbol all = tn_internals(bench.g, tn_group(bench.g, TN_SYMS(a, b)));
    const tn_symbol state = tn_output_named(bench.g, all, "a_state");
    TN_CHECK_STR(tn_attr_get(bench.g, state, "__init__"), "[\"one\", {}]");
    TN_CHECK_STR(tn_attr_get(bench.g, tn_output_named(bench.g, all, "a_arg1"), "__init__"), NULL);
    TN_CHECK_STR(tn_attr_get(bench.g, tn_output_named(bench.g, all, "b_state"), "__init__"), "own");
    teardown();
}

// ------------------------------------------------------------------ the generated constructors

static void constructors_build_a_network(void)
{
    tn_symbol net = tn_variable(bench.g, "data");
    net = tn_fully_connected(bench.g, .data = net, .num_hidden = 128, .name = "fc1");
    net = tn_activation(bench.g, .data = net, .act_type = TN_RELU, .name = "relu1");
    net = tn_fully_connected(bench.g, net, .num_hidden = 64, .name = "fc2");
    net = tn_softmax_output(bench.g, .data = net, .name = "out");
    TN_CHECK_GRAPH();
    TN_CHECK_NAMES(tn_arguments(bench.g, net),
                   "data fc1_weight fc1_bias fc2_weight fc2_bias out_label");
}

static void constructors_say_what_is_required(void)
{
    const tn_symbol x = tn_variable(bench.g, "x");
    check_refused(tn_fully_connected(bench.g, x, .name = "fc"), TN_E_INVALID,
                  "fc (FullyConnected): num_hidden: required");
    check_refused(tn_activation(bench.g, x, .name = "a"), TN_E_INVALID,
                  "a (Activation): act_type: required (one of relu|");
    check_refused(tn_concat(bench.g, .name = "c"), TN_E_INVALID, "c (Concat): num_args: required");
    const tn_symbol zero = tn_plus_scalar(bench.g, x, .scalar = 0.0);
    TN_CHECK_STR(tn_attr_get(bench.g, zero, "scalar"), "0");
    const tn_symbol drop = tn_dropout(bench.g, x, .p = TN_SET(0.0));
    TN_CHECK_STR(tn_attr_get(bench.g, drop, "p"), "0");
    TN_CHECK_GRAPH();
}

TN_TEST_MAIN({"the layout is that of the struct", the_layout_is_that_of_the_struct},
             {"zero is the default", zero_is_the_default},
             {"every kind is read", every_kind_is_read},
             {"fields beyond the size read as zero", fields_beyond_the_size_read_as_zero},
             {"wrong values are named", wrong_values_are_named},
             {"made variables get the port's initializer",
              made_variables_get_the_ports_initializer},
             {"constructors build a network", constructors_build_a_network},
             {"constructors say what is required", constructors_say_what_is_required})
