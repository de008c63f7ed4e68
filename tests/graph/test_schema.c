// tests/graph/test_schema.c: declarations that make no sense are refused with the reason.
#include <tenon/sdk.h>

#include "core/graph/schema.h"
#include "tests/tn_test.h"

typedef struct blob {
    int64_t n, m;
    double r;
    const char *s;
    tn_ints list;
    int32_t flag, choice;
} blob;

#define OUT .outputs = TN_PORTS(TN_PORT(.name = "output"))
#define OP(...) &(const tn_op_decl)TN_OP(.name = "Op", .params_size = sizeof(blob), __VA_ARGS__)
#define PLAIN(...) TN_PORT(.name = __VA_ARGS__)
#define N TN_PARAM(blob, n, TN_P_I64, .doc = "a count")

// The reason, or "" if the declaration is taken.
static void check(int line, const tn_op_decl *decl, const char *reason)
{
    char wanted[512];
    tni_arena arena = {0};
    tni_error error = {0};
    const tni_op *op = tni_op_new(&arena, decl, "plugin", &error);
    snprintf(wanted, sizeof wanted, "operator Op: %s", reason);
    tn_check_str(line, __FILE__, tni_error_text(&error), *reason ? wanted : "");
    CU_ASSERT_EQUAL(op != NULL, !*reason);
    tni_error_clear(&error);
    tni_arena_free(&arena);
}
#define CHECK(reason, ...) check(__LINE__, OP(__VA_ARGS__), reason)

static void ports(void)
{
    CHECK("", OUT);
    CHECK("no output is declared", .inputs = TN_PORTS(PLAIN("data")));
    CHECK("two inputs are called a", OUT, .inputs = TN_PORTS(PLAIN("a"), PLAIN("a")));
    CHECK("input: 'a b' is no name", OUT, .inputs = TN_PORTS(PLAIN("a b")));
    CHECK("input: 'NULL' is no name", OUT, .inputs = TN_PORTS(PLAIN(NULL)));
    CHECK("alias 'x-y' is no name", OUT, .aliases = "fine|x-y");
    CHECK("c_name '2nd' is no name", OUT, .c_name = "2nd");
    CHECK("input b stands behind a variadic input or an auxiliary state", OUT,
          .inputs = TN_PORTS(PLAIN("a", .flags = TN_PORT_AUX), PLAIN("b")));
    CHECK("a variadic input needs `count`, the parameter that counts it", OUT,
          .inputs = TN_PORTS(PLAIN("a", .flags = TN_PORT_VARIADIC)));
    CHECK("`count` without a variadic input", OUT, .count = "n", .params = TN_PARAMS(N));
    CHECK("m is to count ports, but is no integer parameter", OUT, .count = "m",
          .inputs = TN_PORTS(PLAIN("a", .flags = TN_PORT_VARIADIC)));
    CHECK("", OUT, .count = "n", .params = TN_PARAMS(N),
          .inputs = TN_PORTS(PLAIN("x"), PLAIN("a", .flags = TN_PORT_VARIADIC),
                             PLAIN("state", .flags = TN_PORT_AUX)));
    CHECK("output b stands behind a hidden one",
          .outputs = TN_PORTS(PLAIN("a", .flags = TN_PORT_HIDDEN), PLAIN("b")));
}

static void conditions(void)
{
#define FLAG TN_PARAM(blob, flag, TN_P_BOOL, .def = "False")
#define CHOICE TN_PARAM(blob, choice, TN_P_ENUM, .def = "a", .choices = "a|b")
#define WITH(when_)                                                                  \
    OUT, .params = TN_PARAMS(FLAG, CHOICE, TN_PARAM(blob, n, TN_P_I64, .def = "0")), \
         .inputs = TN_PORTS(PLAIN("data"), PLAIN("extra", .when = when_))
    CHECK("", WITH("flag"));
    CHECK("", WITH("!flag"));
    CHECK("", WITH("n"));
    CHECK("", WITH("choice=b"));
    CHECK("", WITH("!choice=a|b"));
    CHECK("", WITH("flag=True"));
    CHECK("extra: condition 'flags' names no parameter", WITH("flags"));
    CHECK("extra: condition '!' names no parameter", WITH("!"));
    CHECK("extra: condition 'choice=c' names a value that choice does not have", WITH("choice=c"));
    CHECK("extra: condition 'choice=a|c' names a value that choice does not have",
          WITH("choice=a|c"));
    CHECK("extra: condition 'n=3' compares a parameter that has no words", WITH("n=3"));
    CHECK("input data stands behind a conditional one", OUT, .params = TN_PARAMS(FLAG),
          .inputs = TN_PORTS(PLAIN("extra", .when = "flag"), PLAIN("data")));
}

static void parameters(void)
{
    CHECK("two parameters are called n", OUT, .params = TN_PARAMS(N, N));
    CHECK("an input and a parameter are called n", OUT, .inputs = TN_PORTS(PLAIN("n")),
          .params = TN_PARAMS(N));
    CHECK("n: 99 is no type of a parameter", OUT,
          .params = TN_PARAMS(TN_PARAM(blob, n, 99, .doc = "?")));
    CHECK("choice: an enumeration without choices", OUT,
          .params = TN_PARAMS(TN_PARAM(blob, choice, TN_P_ENUM, .doc = "?")));
    CHECK("n: '1..2' is no range", OUT,
          .params = TN_PARAMS(TN_PARAM(blob, n, TN_P_I64, .range = "1..2")));
    CHECK("n: '[2,1]' is no range", OUT,
          .params = TN_PARAMS(TN_PARAM(blob, n, TN_P_I64, .range = "[2,1]")));
    CHECK("default of n: 'x' is no integer", OUT,
          .params = TN_PARAMS(TN_PARAM(blob, n, TN_P_I64, .def = "x")));
    CHECK("default of n: 0 is outside [1,9]", OUT,
          .params = TN_PARAMS(TN_PARAM(blob, n, TN_P_I64, .def = "0", .range = "[1,9]")));
    CHECK("", OUT,
          .params = TN_PARAMS(TN_PARAM(blob, n, TN_P_I64, .def = "3", .range = "(2,)"),
                              TN_PARAM(blob, r, TN_P_F64, .def = "-1", .range = "(,0)")));
}

static void blobs(void)
{
    const tn_param_decl far = {
        .struct_size = sizeof far, .type = TN_P_I64, .offset = 4096, .name = "far"};
    const tn_param_decl odd = {
        .struct_size = sizeof odd, .type = TN_P_I64, .offset = 4, .name = "odd"};
    const tn_param_decl half = {
        .struct_size = sizeof half, .type = TN_P_BOOL, .offset = 4, .name = "half"};
    const tn_param_decl tiny = {.struct_size = 8, .type = TN_P_BOOL, .name = "tiny"};
    CHECK("far: offset 4096 does not fit a blob of 56 bytes", OUT, .params = TN_PARAMS(&far));
    CHECK("odd: offset 4 does not fit a blob of 56 bytes", OUT, .params = TN_PARAMS(&odd));
    CHECK("n and half overlap in the blob", OUT, .params = TN_PARAMS(N, &half));
    CHECK("a parameter: struct_size 8 is too small", OUT, .params = TN_PARAMS(&tiny));
    CU_ASSERT_EQUAL(sizeof(blob), 56);
}

// A plugin built against an older header has smaller structs: what is missing reads as zero.
static void older_plugins_have_smaller_tables(void)
{
    static const tn_port_decl out = {
        .struct_size = offsetof(tn_port_decl, when), .name = "y", .when = "garbage"};
    static const tn_port_decl *const outs[] = {&out, NULL};
    const tn_op_decl old = {.struct_size = offsetof(tn_op_decl, count),
                            .name = "Old",
                            .outputs = outs,
                            .count = "garbage"};
    tni_arena arena = {0};
    tni_error error = {0};
    const tni_op *op = tni_op_new(&arena, &old, "", &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(op);
    CU_ASSERT_PTR_NULL(op->decl.count);
    CU_ASSERT_PTR_NULL(op->out[0].when);
    CU_ASSERT_EQUAL(op->decl.struct_size, sizeof(tn_op_decl));
    CU_ASSERT_PTR_NULL(op->decl.params[0]);
    const tn_op_decl older = {.struct_size = 16, .name = "Older", .outputs = outs};
    CU_ASSERT_PTR_NULL(tni_op_new(&arena, &older, "", &error));
    TN_CHECK_HAS(tni_error_text(&error), "struct_size 16 is too small");
    tni_error_clear(&error);
    tni_arena_free(&arena);
}

static const tn_op_decl norm =
    TN_OP(.name = "Norm", .params_size = sizeof(blob),
          .inputs =
              TN_PORTS(PLAIN("data"), PLAIN("gamma", .when = "!flag"),
                       PLAIN("extra", .when = "choice=b"), PLAIN("mean", .flags = TN_PORT_AUX)),
          .outputs =
              TN_PORTS(PLAIN("output"), PLAIN("mean", .flags = TN_PORT_HIDDEN, .visible = "flag"),
                       PLAIN("mask", .flags = TN_PORT_HIDDEN)),
          .params = TN_PARAMS(FLAG, CHOICE));

static void ports_depend_on_parameters(void)
{
    tni_arena arena = {0};
    tni_error error = {0};
    char name[64];
    const tni_op *op = tni_op_new(&arena, &norm, "", &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(op);
    const tn_attr given[] = {{"flag", "1"}, {"choice", "b"}};
    const void *plain = tni_params_parse(op, &arena, NULL, 0, NULL, "x", &error);
    const void *all = tni_params_parse(op, &arena, given, 2, NULL, "x", &error);
    tni_arity a = tni_op_arity(op, plain);
    CU_ASSERT_EQUAL(a.n_in, 3);
    CU_ASSERT_EQUAL(a.n_out, 3);
    CU_ASSERT_EQUAL(a.n_visible, 1);
    TN_CHECK_STR(tni_op_in_name(op, plain, 1, name), "gamma");
    TN_CHECK_STR(tni_op_in_name(op, plain, 2, name), "mean");
    a = tni_op_arity(op, all);
    CU_ASSERT_EQUAL(a.n_in, 3);
    CU_ASSERT_EQUAL(a.n_visible, 2);
    TN_CHECK_STR(tni_op_in_name(op, all, 1, name), "extra");
    TN_CHECK_STR(tni_op_out_name(op, all, 2, name), "mask");
    CU_ASSERT_PTR_NULL(tni_op_in(op, all, 3));
    uint32_t slot;
    CU_ASSERT_TRUE(tni_op_slot(op, all, 3, 0, &slot));
    CU_ASSERT_EQUAL(slot, 2);
    CU_ASSERT_FALSE(tni_op_slot(op, all, 1, 0, &slot));
    tni_arena_free(&arena);
}

TN_TEST_MAIN({"ports", ports}, {"conditions", conditions}, {"parameters", parameters},
             {"blobs", blobs},
             {"older plugins have smaller tables", older_plugins_have_smaller_tables},
             {"ports depend on parameters", ports_depend_on_parameters})
