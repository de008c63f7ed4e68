// tests/ops/test_expansions.c: an operator and its expansion into simpler ones give the same
// values.
#include "tests/passes/op_rows.h"
#include "tests/tn_numeric.h"

// The expansion of node y, appended to bench.g, with what is known of shapes and dtypes.
static tn_symbol expansion_of(tni_entry y, tn_symbol call)
{
    tni_types types;
    tni_entry results[8] = {{0, 0}};
    uint32_t ids[16];
    CU_ASSERT_FATAL(tni_types_init(&types) && tni_types_grow(&types, bench.g));
    for (uint32_t i = 0; i < y.node; i++) ids[i] = i + 1;
    tni_infer(bench.g, &types, ids, y.node, TNI_INFER_SHAPES | TNI_INFER_DTYPES);
    tni_builder b;
    tni_builder_init(&b, bench.g, &types, y.node);
    b.results = results;
    b.suffix = "_expand";
    tni_builder_expand(&b);
    tni_builder_free(&b);
    tni_types_free(&types);
    return (tn_symbol){results[0].node, (uint16_t)results[0].out, call.graph};
}

static void check_row(const op_row *row)
{
    static const char *const names[] = {"x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7"};
    tn_symbol x[8];
    tn_named_tensor given[8];
    size_t n = 0;
    char what[256];
    const tni_entry y = op_row_call(row, x, &n, TN_F64);
    snprintf(what, sizeof what, "%s(%s)", row->op, row->params ? row->params : "");
    const tn_symbol call = {y.node, 0, n ? x[0].graph : 0};
    const tn_symbol expanded = expansion_of(y, call);
    if (!TN_CHECK_GRAPH()) {
        TN_CHECK_STR(what, "an expansion");
        return;
    }
    const char *at = row->shapes;
    for (size_t i = 0; i < n; i++) {
        tn_shape s;
        at = op_row_shape(at, &s);
        given[i] =
            (tn_named_tensor){names[i], tn_sample(TN_F64, tn_shape_dims(&s), 0.1, 2.9, 7 + i)};
    }
    tn_symbol both = tn_group(bench.g, TN_SYMS(call, expanded));
    tn_exec *e = tn_try(both, .given = {n, given}, .dtype = TN_F64);
    tn_tensor *a = tn_out(e, 0), *b = tn_out(e, 1);
    bool same = a && b && tn_tensor_size(a) == tn_tensor_size(b);
    for (int64_t i = 0; same && i < tn_tensor_size(a); i++) {
        const double va = tn_tensor_at(a, i), vb = tn_tensor_at(b, i);
        const double size = va < 0 ? -va : va;
        same = (va != va && vb != vb) || va == vb ||
               (va - vb <= 1e-12 * (1 + size) && vb - va <= 1e-12 * (1 + size));
        if (!same) TN_CHECK_NEAR(vb, va, 1e-12);
    }
    if (!same) TN_CHECK_STR(what, "the values of its expansion");
    tn_exec_free(e);
}

static void expansions_give_the_same_values(void)
{
    size_t n = 0;
    for (size_t i = 0; i < N_OP_ROWS; i++) {
        const op_row *row = &op_rows[i];
        const tn_op_decl *d = tn_env_op_find(bench.env, row->op);
        if (!d || !d->expand) continue;
        if (d->flags & TN_OP_RANDOM) continue;                      // draws other numbers
        if (strncmp(row->op, "_backward_gamma", 15) == 0) continue; // digamma is no operator
        if (row->params && strstr(row->params, "rrelu")) continue;  // random, so without one
        check_row(row);
        n++;
    }
    CU_ASSERT(n > 40);
}

TN_TEST_MAIN({"expansions give the same values", expansions_give_the_same_values})
