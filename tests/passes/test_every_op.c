// tests/passes/test_every_op.c: every operator of the core is declared well: it has a row, its
// gradient and its expansion build, and their shapes and dtypes are those of what they stand for.
#include "op_rows.h"

static const tni_op *op_of(const op_row *row)
{
    return tni_op_find(tni_env_registry(bench.env), row->op);
}

static bool has_row(const char *op)
{
    for (size_t i = 0; i < N_OP_ROWS; i++)
        if (strcmp(op_rows[i].op, op) == 0) return true;
    return false;
}

static void every_operator_has_a_row(void)
{
    size_t n = 0;
    for (size_t i = 0; i < tn_env_num_ops(bench.env); i++) {
        const tn_op_decl *d = tn_env_op(bench.env, i);
        if (*tn_env_op_plugin(bench.env, d)) continue; // of the build tree's plugins
        n++;
        // Made after inference: test_fusion, test_multi.
        if (strcmp(d->name, "_fused") == 0 || strcmp(d->name, "_multi") == 0) continue;
        if (!has_row(d->name)) TN_CHECK_STR(d->name, "an operator with a row in op_rows.h");
    }
    CU_ASSERT(n > 150);
    for (size_t i = 0; i < N_OP_ROWS; i++)
        if (strcmp(op_rows[i].op, "-") != 0 && !op_of(&op_rows[i]))
            TN_CHECK_STR(op_rows[i].op, "a row of an operator that exists");
}

// ------------------------------------------------------------------ documentation

static void check_ports(const tn_op_decl *d, const tn_port_decl *const *p, bool needs_doc)
{
    for (; p && *p; p++)
        if (needs_doc && (!(*p)->doc || !*(*p)->doc)) TN_CHECK_STR(d->name, "all ports explained");
}

static void public_operators_are_explained(void)
{
    for (size_t i = 0; i < tn_env_num_ops(bench.env); i++) {
        const tn_op_decl *d = tn_env_op(bench.env, i);
        const bool open = !(d->flags & TN_OP_INTERNAL);
        if (*tn_env_op_plugin(bench.env, d)) continue;
        CU_ASSERT(d->doc && *d->doc && strlen(d->doc) < 400);
        if (open) CU_ASSERT(d->source != NULL);
        check_ports(d, d->inputs, open);
        check_ports(d, d->outputs, open);
        for (const tn_param_decl *const *p = d->params; p && *p; p++)
            if (!(*p)->doc || !*(*p)->doc) TN_CHECK_STR(d->name, "all parameters explained");
    }
}

// ------------------------------------------------------------------ gradients

// Their derivative needs what no operator computes: trigamma, or a look-up of maxima's places; or,
// of RNN, it needs the shapes, which a bind knows.
static bool has_no_second_derivative(const char *op)
{
    return strcmp(op, "_backward_gamma") == 0 || strcmp(op, "_backward_gammaln") == 0 ||
           strcmp(op, "_backward_Pooling_max") == 0 || strcmp(op, "_backward_RNN") == 0;
}

// Is the gradient of this call an operator without a gradient?
static bool first_order_only(const op_row *row)
{
    if (strcmp(row->op, "IdentityAttachKLSparseReg") == 0) return true;
    return strncmp(row->op, "gamma", 5) == 0 || strcmp(row->op, "BatchNorm") == 0 ||
           strcmp(row->op, "RNN") == 0 || strcmp(row->op, "_contrib_CTCLoss") == 0 ||
           (strcmp(row->op, "Pooling") == 0 && strstr(row->params, "max"));
}

// Has this call no expansion though others of its operator have one?
static bool cannot_expand(const op_row *row)
{
    return strncmp(row->op, "_backward_gamma", 15) == 0 ||
           (strcmp(row->op, "LeakyReLU") == 0 && row->params && strstr(row->params, "rrelu"));
}

static void show_row(const op_row *row, const char *what)
{
    char text[512];
    snprintf(text, sizeof text, "%s(%s) on %s: %s", row->op, row->params ? row->params : "",
             row->shapes, tn_graph_error(bench.g));
    TN_CHECK_STR(text, what);
}

// Gradients with respect to all inputs, built before any shape is known, have the inputs' shapes.
static void check_gradient(const op_row *row)
{
    const tni_op *op = op_of(row);
    tn_symbol x[8], dx[8];
    size_t n = 0;
    const tni_entry y = op_row_call(row, x, &n, TN_F64);
    if (!y.node) {
        show_row(row, "a call");
        return;
    }
    if (n == 0) return;
    const tn_symbol call = {y.node, TN_ALL_OUTPUTS, x[0].graph};
    const tn_status s =
        tn_gradient(bench.g, TN_SYMS(call), (tn_symbols){0}, (tn_symbols){n, x}, dx);
    if ((op->decl.flags & TN_OP_NO_GRAD) || has_no_second_derivative(row->op)) {
        if (s != TN_E_NO_GRADIENT) show_row(row, "no gradient");
        return;
    }
    if (s != TN_OK) {
        show_row(row, "a gradient");
        return;
    }
    const tn_symbol all = tn_group(bench.g, (tn_symbols){n, dx});
    const tn_shape_result *shapes = tn_infer_shape(bench.g, all, (tn_shapes){0});
    const tn_dtype_result *dtypes = tn_infer_dtype(bench.g, all, (tn_dtypes){0});
    if (!shapes || !dtypes || shapes->n_outs != n || !shapes->complete) {
        show_row(row, "shapes of the gradient");
        return;
    }
    const char *at = row->shapes;
    for (size_t i = 0; i < n; i++) {
        tn_shape wanted;
        at = op_row_shape(at, &wanted);
        if (!tn_shape_equal(&shapes->outs[i].shape, &wanted) || dtypes->outs[i].dtype != TN_F64)
            show_row(row, "a gradient of the shape and dtype of its input");
    }
}

static void every_gradient_builds_and_fits(void)
{
    for (size_t i = 0; i < N_OP_ROWS; i++)
        if (strcmp(op_rows[i].op, "-") != 0) check_gradient(&op_rows[i]);
    CU_PASS("walked");
}

// The gradient of the gradient, where there is one: backward operators are differentiated by rows
// of their own, so here it matters that the composition holds together.
static void every_second_gradient_builds(void)
{
    for (size_t i = 0; i < N_OP_ROWS; i++) {
        const op_row *row = &op_rows[i];
        const tni_op *op = strcmp(row->op, "-") ? op_of(row) : NULL;
        tn_symbol x[8], dx[8], ddx[8];
        size_t n = 0;
        if (!op || (op->decl.flags & (TN_OP_NO_GRAD | TN_OP_LOSS | TN_OP_INTERNAL))) continue;
        if (first_order_only(row) || strcmp(row->op, "BatchNorm_v1") == 0) continue;
        const tni_entry y = op_row_call(row, x, &n, TN_F64);
        if (n == 0 || !y.node) continue;
        const tn_symbol call = {y.node, TN_ALL_OUTPUTS, x[0].graph};
        tn_gradient(bench.g, TN_SYMS(call), (tn_symbols){0}, (tn_symbols){n, x}, dx);
        tn_gradient(bench.g, (tn_symbols){n, dx}, (tn_symbols){0}, (tn_symbols){n, x}, ddx);
        if (tn_graph_status(bench.g) != TN_OK) show_row(row, "a second gradient");
    }
    CU_PASS("walked");
}

// ------------------------------------------------------------------ expansions

static void check_expansion(const op_row *row)
{
    tn_symbol x[8];
    size_t n = 0;
    const tni_entry y = op_row_call(row, x, &n, TN_F32);
    tni_types types;
    tni_entry results[8] = {{0, 0}};
    uint32_t ids[16];
    if (!y.node || !tni_types_init(&types)) {
        show_row(row, "a call");
        return;
    }
    for (uint32_t i = 0; i < y.node; i++) ids[i] = i + 1;
    tn_status s = tni_types_grow(&types, bench.g) ? TN_OK : TN_E_NOMEM;
    if (!s) s = tni_infer(bench.g, &types, ids, y.node, TNI_INFER_SHAPES | TNI_INFER_DTYPES);
    tni_builder b;
    tni_builder_init(&b, bench.g, &types, y.node);
    b.results = results;
    b.suffix = "_expand";
    if (!s) s = tni_builder_expand(&b);
    const tni_node *node = tni_node_at(bench.g, y.node);
    for (uint32_t i = 0; !s && i < node->n_visible; i++) {
        const uint32_t got = tni_value(bench.g, results[i]), wanted = node->value0 + i;
        if (!tn_shape_equal(tni_types_shape(&types, got), tni_types_shape(&types, wanted)) ||
            types.dtype[got] != types.dtype[wanted])
            show_row(row, "an expansion of the shape and dtype of the output");
    }
    if ((s != TN_OK) != cannot_expand(row)) show_row(row, "an expansion, or none");
    tni_builder_free(&b);
    tni_types_free(&types);
}

static void every_expansion_builds_and_fits(void)
{
    size_t n = 0;
    for (size_t i = 0; i < N_OP_ROWS; i++) {
        const tni_op *op = strcmp(op_rows[i].op, "-") ? op_of(&op_rows[i]) : NULL;
        if (!op || !op->decl.expand) continue;
        check_expansion(&op_rows[i]);
        n++;
    }
    CU_ASSERT(n > 40);
}

TN_TEST_MAIN({"every operator has a row", every_operator_has_a_row},
             {"public operators are explained", public_operators_are_explained},
             {"every gradient builds and fits", every_gradient_builds_and_fits},
             {"every second gradient builds", every_second_gradient_builds},
             {"every expansion builds and fits", every_expansion_builds_and_fits})
