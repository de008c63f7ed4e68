// core/graph/arith.c: arithmetic on symbols and numbers, with the names that MXNet's Python gives.
#include "core/graph/graph.h"

// An operator, and the hint of its automatic name: Python's own spelling in lower case.
typedef struct spelled {
    const char *op, *hint;
} spelled;

// What a sign means between two symbols, with the number on the right, and with it on the left.
typedef struct form {
    const char *sign;
    spelled both, right, left;
} form;

// A comparison with the number on the left is the opposite one with the number on the right.
// clang-format off
static const form forms[] = {
    {.sign = "+",
     .both = {"elemwise_add", "_plus"},
     .right = {"_plus_scalar", "_plusscalar"}, .left = {"_plus_scalar", "_plusscalar"}},
    {.sign = "-",
     .both = {"_sub", "_minus"},
     .right = {"_minus_scalar", "_minusscalar"}, .left = {"_rminus_scalar", "_rminusscalar"}},
    {.sign = "*",
     .both = {"_mul", "_mul"},
     .right = {"_mul_scalar", "_mulscalar"}, .left = {"_mul_scalar", "_mulscalar"}},
    {.sign = "/",
     .both = {"_div", "_div"},
     .right = {"_div_scalar", "_divscalar"}, .left = {"_rdiv_scalar", "_rdivscalar"}},
    {.sign = "%",
     .both = {"_mod", "_mod"},
     .right = {"_mod_scalar", "_modscalar"}, .left = {"_rmod_scalar", "_rmodscalar"}},
    {.sign = "**",
     .both = {"_power", "_power"},
     .right = {"_power_scalar", "_powerscalar"}, .left = {"_rpower_scalar", "_rpowerscalar"}},
    {.sign = "maximum",
     .both = {"_maximum", "_maximum"},
     .right = {"_maximum_scalar", "_maximumscalar"}, .left = {"_maximum_scalar", "_maximumscalar"}},
    {.sign = "minimum",
     .both = {"_minimum", "_minimum"},
     .right = {"_minimum_scalar", "_minimumscalar"}, .left = {"_minimum_scalar", "_minimumscalar"}},
    {.sign = "hypot",
     .both = {"_hypot", "_hypot"},
     .right = {"_hypot_scalar", "_hypotscalar"}, .left = {"_hypot_scalar", "_hypotscalar"}},
    {.sign = "==",
     .both = {"_equal", "_equal"},
     .right = {"_equal_scalar", "_equal_scalar"}, .left = {"_equal_scalar", "_equal_scalar"}},
    {.sign = "!=",
     .both = {"_not_equal", "_not_equal"},
     .right = {"_not_equal_scalar", "_not_equal_scalar"},
     .left = {"_not_equal_scalar", "_not_equal_scalar"}},
    {.sign = ">",
     .both = {"_greater", "_greater"},
     .right = {"_greater_scalar", "_greater_scalar"}, .left = {"_lesser_scalar", "_lesser_scalar"}},
    {.sign = ">=",
     .both = {"_greater_equal", "_greater_equal"},
     .right = {"_greater_equal_scalar", "_greater_equal_scalar"},
     .left = {"_lesser_equal_scalar", "_lesser_equal_scalar"}},
    {.sign = "<",
     .both = {"_lesser", "_lesser"},
     .right = {"_lesser_scalar", "_lesser_scalar"}, .left = {"_greater_scalar", "_greater_scalar"}},
    {.sign = "<=",
     .both = {"_lesser_equal", "_lesser_equal"},
     .right = {"_lesser_equal_scalar", "_lesser_equal_scalar"},
     .left = {"_greater_equal_scalar", "_greater_equal_scalar"}},
};
// clang-format on
enum { N_FORMS = sizeof forms / sizeof *forms };

static const form *form_of(tn_graph *g, const char *sign)
{
    const char *signs[N_FORMS];
    for (size_t i = 0; i < N_FORMS; i++) {
        signs[i] = forms[i].sign;
        if (sign && strcmp(sign, forms[i].sign) == 0) return &forms[i];
    }
    tni_text t = {0};
    if (sign) tni_text_nearest(&t, sign, signs, N_FORMS);
    tni_graph_fail(g, TN_E_INVALID, 0, "no arithmetic %s%s", sign ? sign : "NULL", t.s ? t.s : "");
    tni_text_free(&t);
    return NULL;
}

// tn_operand_symbol() marks a TN_NONE, so that it is not taken for the number 0.
static bool is_none(tn_operand o)
{
    return o.symbol.node == 0 && o.symbol.out != 0;
}

tn_symbol tn_arith(tn_graph *g, const char *op, tn_operand a, tn_operand b)
{
    if (!tni_ready(g)) return TN_NONE;
    const form *f = form_of(g, op);
    if (!f) return TN_NONE;
    const bool left = a.symbol.node == 0, right = b.symbol.node == 0;
    const char *wrong = NULL;
    if (is_none(a) || is_none(b))
        wrong = is_none(a) ? "the left side is TN_NONE" : "the right side is TN_NONE";
    else if (left && right)
        wrong = "both sides are numbers; one must be a symbol";
    if (wrong) {
        tni_graph_fail(g, TN_E_INVALID, 0, "%s: %s", op, wrong);
        return TN_NONE;
    }
    const spelled s = left ? f->left : right ? f->right : f->both;
    char number[TNI_NUMBER];
    const tn_attr scalar = {"scalar", tni_number(number, left ? a.number : b.number)};
    const tni_given given[] = {{.symbol = left ? b.symbol : a.symbol}, {.symbol = b.symbol}};
    const tni_call c = {.op = tni_op_wanted(g, s.op),
                        .hint = s.hint,
                        .params = &scalar,
                        .n_params = left || right,
                        .by = TNI_BY_PLACE,
                        .given = given,
                        .n_given = left || right ? 1 : 2};
    return c.op ? tni_call_make(g, &c) : TN_NONE;
}
