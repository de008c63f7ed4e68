// tests/passes/test_op_abuse.c: no shapes and no parameters make a rule crash, hang or give
// nonsense: it finds a result, or an error with a text. Draws are deterministic.
#include "op_rows.h"

static uint64_t state;

static uint64_t draw(uint64_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % n;
}

static int64_t any_number(void)
{
    static const int64_t numbers[] = {0,  1,  1,  1,         2,         2,         2,  3,
                                      4,  5,  7,  8,         100,       65000,     -1, -1,
                                      -2, -3, -4, INT32_MAX, INT64_MAX, -INT64_MAX};
    return numbers[draw(sizeof numbers / sizeof *numbers)];
}

static tn_shape any_shape(void)
{
    tn_shape s = {.ndim = (int32_t)draw(11) - 1};
    if (s.ndim > TN_MAX_NDIM) s.ndim = 4;
    for (int32_t i = 0; i < s.ndim; i++) {
        s.dim[i] = any_number();
        if (s.dim[i] < -1) s.dim[i] = 2;
    }
    return s;
}

// A value that may or may not suit a parameter of that type.
static void any_value(tni_text *t, const tni_param *p)
{
    const bool list = p->decl.type == TN_P_I64S;
    const size_t n = list ? draw(6) : 1;
    size_t choices = 0;
    while (p->choices && p->choices[choices]) choices++;
    if (choices) {
        tni_text_add(t, p->choices[draw(choices)]);
        return;
    }
    if (p->decl.type == TN_P_DTYPE) {
        tni_text_add(t, tn_dtype_name((tn_dtype)(1 + draw(8))));
        return;
    }
    if (list) tni_text_add(t, "(");
    for (size_t i = 0; i < n; i++) {
        if (draw(12) == 0)
            tni_text_add(t, "None");
        else
            tni_text_printf(t, "%lld", (long long)any_number());
        if (list) tni_text_add(t, ",");
    }
    if (list) tni_text_add(t, ")");
}

static void any_params(tni_text *t, const tni_op *op, size_t n_in)
{
    t->n = 0;
    tni_text_add(t, "");
    for (uint32_t i = 0; i < op->n_params; i++) {
        const tni_param *p = &op->params[i];
        if ((int32_t)i == op->count_param) {
            const size_t fixed = op->n_in - 1; // inputs before the variadic one
            tni_text_printf(t, "%s=%zu; ", p->decl.name, n_in > fixed ? n_in - fixed : 1);
        } else if (!p->decl.def || draw(2)) {
            tni_text_printf(t, "%s=", p->decl.name);
            any_value(t, p);
            tni_text_add(t, "; ");
        }
    }
}

static bool sensible(const tn_shape *s)
{
    bool ok = s->ndim >= -1 && s->ndim <= TN_MAX_NDIM;
    for (int32_t i = 0; ok && i < s->ndim; i++) ok = s->dim[i] >= -1;
    return ok;
}

// Infers one call with drawn shapes, some of the outputs' too. Returns the status.
static tn_status infer_any(const char *op, const char *params, size_t n_in)
{
    tni_entry in[8];
    uint32_t ids[16];
    tni_types types;
    tn_graph_free(bench.g);
    bench.g = tn_graph_new(bench.env);
    for (size_t i = 0; i < n_in; i++)
        in[i] = (tni_entry){tni_node_add(bench.g, &(tni_node_spec){.name = "x"}), 0};
    const tni_entry y = tni_build(bench.g, NULL, op, params, in, (uint32_t)n_in, "op", 0);
    if (!y.node) return tn_graph_status(bench.g);
    CU_ASSERT_FATAL(tni_types_init(&types) && tni_types_grow(&types, bench.g));
    for (uint32_t i = 0; i < y.node; i++) ids[i] = i + 1;
    const size_t n_values = bench.g->n_values;
    for (uint32_t v = 0; v < n_values; v++) {
        const tn_shape s = any_shape();
        const bool output = v >= n_in;
        if (draw(4) < (output ? 1u : 3u)) tni_types_merge_shape(&types, v, &s);
    }
    const tn_status s = tni_infer(bench.g, &types, ids, y.node, TNI_INFER_SHAPES);
    for (uint32_t v = 0; v < n_values; v++)
        if (!sensible(tni_types_shape(&types, v))) TN_CHECK_STR(op, "sensible shapes");
    if (s == TN_E_INTERNAL || (s && !*tn_graph_error(bench.g)))
        TN_CHECK_STR(tn_graph_error(bench.g), "an error of the shapes");
    tni_types_free(&types);
    return s;
}

static size_t inputs_of(const op_row *row)
{
    size_t n = 0;
    tn_shape s;
    for (const char *at = row->shapes; *at; n++) at = op_row_shape(at, &s);
    return n;
}

static void any_shapes(void)
{
    size_t good = 0, bad = 0;
    state = 1;
    for (size_t i = 0; i < N_OP_ROWS; i++) {
        if (strcmp(op_rows[i].op, "-") == 0) continue;
        for (int round = 0; round < 60; round++)
            *(infer_any(op_rows[i].op, op_rows[i].params, inputs_of(&op_rows[i])) ? &bad : &good) +=
                1;
    }
    CU_ASSERT(good > 1000);
    CU_ASSERT(bad > 1000);
}

static void any_parameters(void)
{
    tni_text text = {0};
    size_t good = 0, bad = 0;
    state = 2;
    for (size_t i = 0; i < N_OP_ROWS; i++) {
        const tni_op *op = tni_op_find(tni_env_registry(bench.env), op_rows[i].op);
        if (!op || !op->n_params) continue;
        for (int round = 0; round < 60; round++) {
            any_params(&text, op, inputs_of(&op_rows[i]));
            *(infer_any(op->decl.name, text.s, inputs_of(&op_rows[i])) ? &bad : &good) += 1;
        }
    }
    tni_text_free(&text);
    CU_ASSERT(good > 300);
    CU_ASSERT(bad > 300);
}

TN_TEST_MAIN({"any shapes", any_shapes}, {"any parameters", any_parameters})
