// tests/graph/test_values.c: parameter values as MXNet writes them, and what is refused.
#include <tenon/sdk.h>

#include "core/graph/schema.h"
#include "tests/tn_test.h"

typedef struct blob {
    int64_t integer, maybe, positive;
    double real, share;
    const char *text;
    tn_ints ints, kernel, begin;
    tn_reals reals;
    int32_t flag, choice;
    tn_dtype dtype;
} blob;

static const tn_op_decl all_kinds =
    TN_OP(.name = "AllKinds", .inputs = TN_PORTS(TN_PORT(.name = "data")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), .params_size = sizeof(blob),
          .params = TN_PARAMS(
              TN_PARAM(blob, integer, TN_P_I64, .def = "0"),
              TN_PARAM(blob, maybe, TN_P_I64, .def = "None", .flags = TN_PF_NONE),
              TN_PARAM(blob, positive, TN_P_I64, .def = "1", .range = "[1,100]"),
              TN_PARAM(blob, real, TN_P_F64, .def = "0.5", .flags = TN_PF_NONE),
              TN_PARAM(blob, share, TN_P_F64, .def = "0.5", .range = "(0,1]"),
              TN_PARAM(blob, text, TN_P_STR, .def = ""),
              TN_PARAM(blob, ints, TN_P_I64S, .def = "()"),
              TN_PARAM(blob, kernel, TN_P_I64S, .def = "(1, 1)", .min_len = 1, .max_len = 3,
                       .flags = TN_PF_POSITIVE),
              TN_PARAM(blob, begin, TN_P_I64S, .def = "()", .flags = TN_PF_NONE),
              TN_PARAM(blob, reals, TN_P_F64S, .def = "(1, 0.5)"),
              TN_PARAM(blob, flag, TN_P_BOOL, .def = "False"),
              TN_PARAM(blob, choice, TN_P_ENUM, .def = "None", .flags = TN_PF_NONE,
                       .choices = "relu|sigmoid|tanh"),
              TN_PARAM(blob, dtype, TN_P_DTYPE, .def = "float32", .choices = "float32|int32")));

static tni_arena arena;
static const tni_op *op;

static bool setup(void)
{
    tni_error error = {0};
    op = tni_op_new(&arena, &all_kinds, "", &error);
    tn_check_ok(__LINE__, __FILE__, error.status, tni_error_text(&error));
    tni_error_clear(&error);
    return op;
}

static void teardown(void)
{
    tni_arena_free(&arena);
}

// One parameter as text, read and written again; or the error, without who and where.
static const char *read_back(const char *key, const char *value)
{
    tni_error error = {0};
    const tn_attr one = {key, value};
    const void *b = tni_params_parse(op, &arena, &one, 1, NULL, "x", &error);
    const int32_t i = tni_param_find(op, key);
    const char *text =
        b ? tni_param_text(&op->params[i], b, &arena) : tni_strdup(&arena, tni_error_text(&error));
    tni_error_clear(&error);
    return text;
}

#define READS(key, text, wanted) TN_CHECK_STR(read_back(key, text), wanted)
#define REFUSES(key, text, reason) TN_CHECK_STR(read_back(key, text), "x: " key ": " reason)

static void integers(void)
{
    if (!setup()) return;
    READS("integer", "42", "42");
    READS("integer", " -7 ", "-7");
    READS("integer", "+7", "7");
    READS("integer", "9223372036854775807", "9223372036854775807");
    READS("maybe", "None", "None");
    READS("maybe", "0", "0");
    REFUSES("integer", "", "'' is no integer");
    REFUSES("integer", "abc", "'abc' is no integer");
    REFUSES("integer", "3.0", "'3.0' is no integer");
    REFUSES("integer", "1e3", "'1e3' is no integer");
    REFUSES("integer", "12 3", "'12 3' is no integer");
    REFUSES("integer", "- 3", "'- 3' is no integer");
    REFUSES("integer", "9223372036854775808", "'9223372036854775808' is no integer");
    REFUSES("integer", "-9223372036854775808", "'-9223372036854775808' is no integer");
    REFUSES("integer", "None", "'None' is no integer");
    REFUSES("positive", "0", "0 is outside [1,100]");
    REFUSES("positive", "101", "101 is outside [1,100]");
    teardown();
}

static void reals(void)
{
    if (!setup()) return;
    READS("real", "1e-3", "0.001");
    READS("real", ".5", "0.5");
    READS("real", "3", "3");
    READS("real", "-2.50", "-2.5");
    READS("real", "inf", "inf");
    READS("real", "-inf", "-inf");
    READS("real", "None", "None");
    REFUSES("real", "nan", "'nan' is no number");
    REFUSES("real", "1e999", "'1e999' is no number");
    REFUSES("real", "0x10", "'0x10' is no number");
    REFUSES("real", "1,5", "'1,5' is no number");
    REFUSES("real", "one", "'one' is no number");
    REFUSES("share", "0", "0 is outside (0,1]");
    READS("share", "1", "1");
    REFUSES("share", "1.0001", "1.0001 is outside (0,1]");
    teardown();
}

static void words(void)
{
    if (!setup()) return;
    READS("flag", "True", "True");
    READS("flag", "true", "True");
    READS("flag", "1", "True");
    READS("flag", "False", "False");
    READS("flag", "0", "False");
    REFUSES("flag", "yes", "'yes' is no boolean (True, False, 1, 0)");
    REFUSES("flag", "2", "'2' is no boolean (True, False, 1, 0)");
    READS("choice", "tanh", "tanh");
    READS("choice", "None", "None");
    REFUSES("choice", "reluu", "'reluu' is none of relu, sigmoid, tanh — did you mean relu?");
    REFUSES("choice", "", "'' is none of relu, sigmoid, tanh");
    READS("dtype", "int32", "int32");
    REFUSES("dtype", "int64", "'int64' is none of float32|int32");
    REFUSES("dtype", "float", "'float' is no dtype");
    READS("text", "any thing", "any thing");
    READS("text", "", "");
    teardown();
}

static void lists(void)
{
    if (!setup()) return;
    READS("ints", "(3, 3)", "(3, 3)");
    READS("ints", "[3,3]", "(3, 3)");
    READS("ints", "3", "(3,)");
    READS("ints", "(3)", "(3,)");
    READS("ints", "(3,)", "(3,)");
    READS("ints", "(3L, 4L)", "(3, 4)");
    READS("ints", " ( 1 , -2 ) ", "(1, -2)");
    READS("ints", "()", "()");
    READS("ints", "[ ]", "()");
    READS("ints", "None", "()");
    REFUSES("ints", "", "'' is no list of integers");
    REFUSES("ints", "(1, 2", "'(1, 2' is no list of integers");
    REFUSES("ints", "(1 2)", "'(1 2)' is no list of integers");
    REFUSES("ints", "1, 2", "'1, 2' is no list of integers");
    REFUSES("ints", "(,)", "'(,)' is no list of integers");
    REFUSES("ints", "(1,,2)", "'(1,,2)' is no list of integers");
    REFUSES("ints", "(1, 2) 3", "'(1, 2) 3' is no list of integers");
    REFUSES("ints", "(1, 2]", "'(1, 2]' is no list of integers");
    REFUSES("ints", "(1.5, 2)", "'(1.5, 2)' is no list of integers");
    REFUSES("ints", "(None, 2)", "'(None, 2)' is no list of integers");
    READS("begin", "(None, 1)", "(None, 1)");
    READS("kernel", "(5, 5)", "(5, 5)");
    READS("kernel", "3", "(3,)");
    REFUSES("kernel", "(1, 2, 3, 4)", "4 entries, wanted 1 to 3");
    REFUSES("kernel", "()", "0 entries, wanted 1 to 3");
    REFUSES("kernel", "(3, 0)", "0 is less than 1");
    READS("reals", "(0.1, 2)", "(0.1, 2)");
    READS("reals", "1e-3", "(0.001,)");
    REFUSES("reals", "(0.1, x)", "'(0.1, x)' is no list of numbers");
    teardown();
}

static void defaults_are_filled_in(void)
{
    if (!setup()) return;
    tni_error error = {0};
    const blob *b = tni_params_parse(op, &arena, NULL, 0, NULL, "x", &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    CU_ASSERT_EQUAL(b->integer, 0);
    CU_ASSERT_EQUAL(b->maybe, TN_NONE_I64);
    CU_ASSERT_EQUAL(b->real, 0.5);
    CU_ASSERT_EQUAL(b->kernel.n, 2);
    CU_ASSERT_EQUAL(b->choice, -1);
    CU_ASSERT_EQUAL(b->dtype, TN_F32);
    TN_CHECK_STR(b->text, "");
    teardown();
}

static void copies_own_what_they_point_to(void)
{
    if (!setup()) return;
    tni_arena other = {0};
    tni_error error = {0};
    const tn_attr given[] = {{"ints", "(4, 5)"}, {"text", "hello"}};
    const blob *b = tni_params_parse(op, &other, given, 2, NULL, "x", &error);
    const blob *copy = tni_params_copy(op, &arena, b);
    tni_arena_free(&other);
    CU_ASSERT_EQUAL(copy->ints.v[1], 5);
    TN_CHECK_STR(copy->text, "hello");
    teardown();
}

static void keys_are_checked(void)
{
    if (!setup()) return;
    tni_error error = {0};
    const tn_attr twice[] = {{"integer", "1"}, {"__mood__", "any"}, {"integer", "2"}};
    CU_ASSERT_PTR_NULL(tni_params_parse(op, &arena, twice, 3, "a.c:1", "n (Op)", &error));
    TN_CHECK_STR(tni_error_text(&error), "a.c:1: n (Op): integer: given twice");
    tni_error_clear(&error);
    const tn_attr unknown = {"intger", "1"};
    CU_ASSERT_PTR_NULL(tni_params_parse(op, &arena, &unknown, 1, NULL, "x", &error));
    TN_CHECK_STR(tni_error_text(&error), "x: no parameter intger — did you mean integer?");
    tni_error_clear(&error);
    const tn_attr input = {"data", "1"};
    CU_ASSERT_PTR_NULL(tni_params_parse(op, &arena, &input, 1, NULL, "x", &error));
    TN_CHECK_STR(tni_error_text(&error), "x: data is an input, not a parameter: give it a symbol");
    tni_error_clear(&error);
    const tn_attr old = {"weight_lr_mult", "2"};
    CU_ASSERT_PTR_NULL(tni_params_parse(op, &arena, &old, 1, NULL, "x", &error));
    TN_CHECK_HAS(tni_error_text(&error), "set lr_mult on the variable itself");
    tni_error_clear(&error);
    teardown();
}

// A text of at most n - 1 characters that looks like a value, often nearly.
static void random_text(char *text, size_t n, uint32_t *seed)
{
    static const char letters[] = "((([]),,,--+..0123456789eELNone nfTrue\t";
    size_t length = 0;
    for (; length + 1 < n; length++) {
        *seed = *seed * 1664525u + 1013904223u;
        const uint32_t r = *seed >> 16;
        if (r % 13 == 0) break;
        text[length] = letters[r % (sizeof letters - 1)];
    }
    text[length] = 0;
}

// Whatever is accepted is written so that it reads back as itself; everything else has a reason.
static void any_text_is_read_back_or_refused(void)
{
    if (!setup()) return;
    uint32_t seed = 7, taken = 0, refused = 0;
    bool ok = true;
    for (int i = 0; i < 20000 && ok; i++) {
        char text[24];
        random_text(text, sizeof text, &seed);
        const tni_param *p = &op->params[(uint32_t)i % op->n_params];
        const tni_mark mark = tni_arena_mark(&arena);
        tni_text reason = {0};
        blob *b = tni_alloc(&arena, sizeof *b);
        if (tni_param_parse(p, text, b, &arena, &reason)) {
            const char *once = tni_param_text(p, b, &arena);
            ok = tni_param_parse(p, once, b, &arena, &reason) &&
                 strcmp(once, tni_param_text(p, b, &arena)) == 0;
            taken++;
        } else {
            ok = reason.n > 0;
            refused++;
        }
        tni_text_free(&reason);
        tni_arena_reset(&arena, mark);
    }
    CU_ASSERT_TRUE(ok);
    CU_ASSERT_TRUE(taken > 1000 && refused > 1000);
    teardown();
}

static void check_shape(const char *text, int32_t ndim, int64_t a, int64_t b)
{
    tn_shape s;
    CU_ASSERT_TRUE(tni_shape_parse(text, &s));
    CU_ASSERT_EQUAL(s.ndim, ndim);
    if (ndim > 0) CU_ASSERT_EQUAL(s.dim[0], a);
    if (ndim > 1) CU_ASSERT_EQUAL(s.dim[1], b);
}

static void shapes(void)
{
    tn_shape s;
    check_shape("(64, 784)", 2, 64, 784);
    check_shape("(0, 3)", 2, -1, 3);
    check_shape("[-1, 3]", 2, -1, 3);
    check_shape("(100L,2L)", 2, 100, 2);
    check_shape("(5,)", 1, 5, 0);
    check_shape("5", 1, 5, 0);
    check_shape("()", -1, 0, 0);
    check_shape("None", -1, 0, 0);
    CU_ASSERT_FALSE(tni_shape_parse("", &s));
    CU_ASSERT_FALSE(tni_shape_parse("(1, 2", &s));
    CU_ASSERT_FALSE(tni_shape_parse("(1, -2)", &s));
    CU_ASSERT_FALSE(tni_shape_parse("(a)", &s));
    CU_ASSERT_FALSE(tni_shape_parse("(1,2,3,4,5,6,7,8,9)", &s));
    CU_ASSERT_FALSE(tni_shape_parse("(1) x", &s));
}

TN_TEST_MAIN({"integers", integers}, {"reals", reals}, {"words", words}, {"lists", lists},
             {"defaults are filled in", defaults_are_filled_in},
             {"copies own what they point to", copies_own_what_they_point_to},
             {"keys are checked", keys_are_checked},
             {"any text is read back or refused", any_text_is_read_back_or_refused},
             {"shapes", shapes})
