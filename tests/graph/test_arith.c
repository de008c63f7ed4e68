// tests/graph/test_arith.c: arithmetic on symbols and numbers: operators, names, mistakes.
#include "tests/tn_test.h"

static tn_symbol x, y;

static void setup(void)
{
    x = tn_variable(bench.g, "x");
    y = tn_variable(bench.g, "y");
}

static void check(tn_symbol s, const char *op, const char *name, const char *scalar)
{
    TN_CHECK_GRAPH();
    TN_CHECK_STR(tn_symbol_op(bench.g, s), op);
    TN_CHECK_STR(tn_symbol_name(bench.g, s), name);
    TN_CHECK_STR(tn_attr_get(bench.g, s, "scalar"), scalar);
}

// Names as MXNet's Python gives them, which are not always those of the operators.
static void symbol_and_symbol(void)
{
    setup();
    check(tn_add(bench.g, x, y), "elemwise_add", "_plus0", NULL);
    check(tn_sub(bench.g, x, y), "_sub", "_minus0", NULL);
    check(tn_mul(bench.g, x, y), "_mul", "_mul0", NULL);
    check(tn_div(bench.g, x, y), "_div", "_div0", NULL);
    check(tn_mod(bench.g, x, y), "_mod", "_mod0", NULL);
    check(tn_pow(bench.g, x, y), "_power", "_power0", NULL);
    check(tn_maximum(bench.g, x, y), "_maximum", "_maximum0", NULL);
    check(tn_minimum(bench.g, x, y), "_minimum", "_minimum0", NULL);
    check(tn_hypot(bench.g, x, y), "_hypot", "_hypot0", NULL);
    check(tn_equal(bench.g, x, y), "_equal", "_equal0", NULL);
    check(tn_not_equal(bench.g, x, y), "_not_equal", "_not_equal0", NULL);
    check(tn_greater(bench.g, x, y), "_greater", "_greater0", NULL);
    check(tn_greater_equal(bench.g, x, y), "_greater_equal", "_greater_equal0", NULL);
    check(tn_lesser(bench.g, x, y), "_lesser", "_lesser0", NULL);
    check(tn_lesser_equal(bench.g, x, y), "_lesser_equal", "_lesser_equal0", NULL);
}

static void symbol_and_number(void)
{
    setup();
    check(tn_add(bench.g, x, 2), "_plus_scalar", "_plusscalar0", "2");
    check(tn_sub(bench.g, x, 0.5), "_minus_scalar", "_minusscalar0", "0.5");
    check(tn_mul(bench.g, x, -1.0), "_mul_scalar", "_mulscalar0", "-1");
    check(tn_div(bench.g, x, 3), "_div_scalar", "_divscalar0", "3");
    check(tn_mod(bench.g, x, 3), "_mod_scalar", "_modscalar0", "3");
    check(tn_pow(bench.g, x, 1e-3f), "_power_scalar", "_powerscalar0", "0.0010000000474974513");
    check(tn_maximum(bench.g, x, 0), "_maximum_scalar", "_maximumscalar0", "0");
    check(tn_minimum(bench.g, x, 0.0), "_minimum_scalar", "_minimumscalar0", "0");
    check(tn_hypot(bench.g, x, 1), "_hypot_scalar", "_hypotscalar0", "1");
    check(tn_equal(bench.g, x, 1), "_equal_scalar", "_equal_scalar0", "1");
    check(tn_greater(bench.g, x, 1), "_greater_scalar", "_greater_scalar0", "1");
    check(tn_lesser_equal(bench.g, x, 1), "_lesser_equal_scalar", "_lesser_equal_scalar0", "1");
}

static void number_and_symbol(void)
{
    setup();
    check(tn_add(bench.g, 2, x), "_plus_scalar", "_plusscalar0", "2");
    check(tn_sub(bench.g, 2, x), "_rminus_scalar", "_rminusscalar0", "2");
    check(tn_mul(bench.g, 2, x), "_mul_scalar", "_mulscalar0", "2");
    check(tn_div(bench.g, 1, x), "_rdiv_scalar", "_rdivscalar0", "1");
    check(tn_mod(bench.g, 7, x), "_rmod_scalar", "_rmodscalar0", "7");
    check(tn_pow(bench.g, 2, x), "_rpower_scalar", "_rpowerscalar0", "2");
    check(tn_maximum(bench.g, 2, x), "_maximum_scalar", "_maximumscalar0", "2");
    check(tn_hypot(bench.g, 3, x), "_hypot_scalar", "_hypotscalar0", "3");
    check(tn_equal(bench.g, 3, x), "_equal_scalar", "_equal_scalar0", "3");
    check(tn_greater(bench.g, 3, x), "_lesser_scalar", "_lesser_scalar0", "3");
    check(tn_greater_equal(bench.g, 3, x), "_lesser_equal_scalar", "_lesser_equal_scalar0", "3");
    check(tn_lesser(bench.g, 3, x), "_greater_scalar", "_greater_scalar0", "3");
    check(tn_lesser_equal(bench.g, 3, x), "_greater_equal_scalar", "_greater_equal_scalar0", "3");
}

static void check_refused(tn_symbol s, const char *part)
{
    CU_ASSERT_EQUAL(s.node, 0);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), TN_E_INVALID);
    TN_CHECK_HAS(tn_graph_error(bench.g), part);
    tn_graph_forgive(bench.g);
}

static void mistakes_are_named(void)
{
    setup();
    check_refused(tn_add(bench.g, 1, 2), "+: both sides are numbers; one must be a symbol");
    check_refused(tn_add(bench.g, x, TN_NONE), "+: the right side is TN_NONE");
    check_refused(tn_sub(bench.g, TN_NONE, 1), "-: the left side is TN_NONE");
    check_refused(tn_arith(bench.g, "maximun", tn_operand_symbol(x), tn_operand_symbol(y)),
                  "no arithmetic maximun — did you mean maximum?");
    check_refused(tn_arith(bench.g, NULL, tn_operand_symbol(x), tn_operand_symbol(y)),
                  "no arithmetic NULL");
    check_refused(tn_mul(bench.g, x, (double)__builtin_nanf("")), "scalar: 'nan' is no number");
    const tn_symbol two = tn_group(bench.g, TN_SYMS(x, y));
    check_refused(tn_add(bench.g, x, two), "elemwise_add: rhs: a group has 2 outputs");
}

static void infinity_is_a_number(void)
{
    setup();
    check(tn_minimum(bench.g, x, (double)__builtin_inff()), "_minimum_scalar", "_minimumscalar0",
          "inf");
}

TN_TEST_MAIN({"symbol and symbol", symbol_and_symbol}, {"symbol and number", symbol_and_number},
             {"number and symbol", number_and_symbol}, {"mistakes are named", mistakes_are_named},
             {"infinity is a number", infinity_is_a_number})
