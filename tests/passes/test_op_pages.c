// tests/passes/test_op_pages.c: no operator has an empty page: each public one of the core says its
// family, its formula and its shapes, and each says whether it has a gradient.
#include <string.h>

#include "tests/tn_test.h"

// The core's own operators; those of plugins are their authors' matter.
static const tn_op_decl *core_op(size_t i)
{
    const tn_op_decl *op = tn_env_op(bench.env, i);
    return op && tn_env_op_plugin(bench.env, op)[0] == 0 ? op : NULL;
}

static void wanted(const char *text, const tn_op_decl *op, const char *what)
{
    const bool is_there = text && *text;
    CU_ASSERT(is_there);
    if (!is_there) TN_CHECK_STR(op->name, what);
}

static void public_operators_have_formulas(void)
{
    size_t n = 0;
    for (size_t i = 0; i < tn_env_num_ops(bench.env); i++) {
        const tn_op_decl *op = core_op(i);
        if (!op || op->flags & TN_OP_INTERNAL) continue;
        wanted(op->family, op, "an operator with .family");
        wanted(op->formula, op, "an operator with .formula");
        if (op->infer_shape) wanted(op->shape_rule, op, "an operator with .shape_rule");
        n++;
    }
    CU_ASSERT(n > 200);
}

static void gradients_are_not_forgotten(void)
{
    size_t none = 0;
    for (size_t i = 0; i < tn_env_num_ops(bench.env); i++) {
        const tn_op_decl *op = core_op(i);
        if (!op || op->gradient || op->expand) continue;
        const bool says = op->flags & (TN_OP_NO_GRAD | TN_OP_ZERO_GRAD);
        CU_ASSERT(says);
        if (!says) TN_CHECK_STR(op->name, "a flag: TN_OP_ZERO_GRAD or TN_OP_NO_GRAD");
        none++;
    }
    CU_ASSERT(none > 10);
}

TN_TEST_MAIN({"public operators have formulas", public_operators_have_formulas},
             {"gradients are not forgotten", gradients_are_not_forgotten})
