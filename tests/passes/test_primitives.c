// tests/passes/test_primitives.c: docs/primitives.md lists the operators without an expansion, all
// of them and no other, and every expansion ends in them.
#include <stdlib.h>

#include "op_rows.h"
#include "tests/ops/row_names.h"

enum { MOST = 400, MOST_NODES = 3000 };

static char *listed[MOST];
static size_t n_listed;
static char text[1 << 16];

static bool is_listed(const char *op)
{
    for (size_t i = 0; i < n_listed; i++)
        if (strcmp(listed[i], op) == 0) return true;
    return false;
}

// Notes the names in `…` of the first column of a line of a table.
static void read_line(char *line)
{
    char *end = strstr(line + 1, " |");
    if (!end) return;
    *end = 0;
    for (char *at = line; (at = strchr(at, '`')) && n_listed < MOST;) {
        char *name = at + 1, *close = strchr(name, '`');
        if (!close) return;
        *close = 0;
        listed[n_listed++] = name;
        at = close + 1;
    }
}

static void read_page(void)
{
    FILE *f = fopen(TN_TEST_SOURCE_DIR "/docs/primitives.md", "rb");
    const size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    char counted[64];
    if (f) fclose(f);
    CU_ASSERT(n > 1000 && n < sizeof text - 1);
    char *count = strstr(text, "There are ");
    const unsigned long said = count ? strtoul(count + 10, NULL, 10) : 0;
    char *rest = text;
    n_listed = 0;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (*line == '|') read_line(line);
    snprintf(counted, sizeof counted, "There are %zu primitives", n_listed);
    if (said != n_listed) TN_CHECK_STR("another number in docs/primitives.md", counted);
}

static void the_page_lists_the_operators_without_an_expansion(void)
{
    size_t n = 0;
    read_page();
    for (size_t i = 0; i < tn_env_num_ops(bench.env); i++) {
        const tn_op_decl *d = tn_env_op(bench.env, i);
        if (*tn_env_op_plugin(bench.env, d) || d->expand || row_name(d->name)) continue;
        n++;
        if (!is_listed(d->name)) TN_CHECK_STR(d->name, "a line in docs/primitives.md");
    }
    for (size_t i = 0; i < n_listed; i++) {
        const tn_op_decl *d = tn_env_op_find(bench.env, listed[i]);
        if (!d || d->expand || strcmp(d->name, listed[i]) != 0 || row_name(d->name))
            TN_CHECK_STR(listed[i], "an operator without an expansion");
    }
    CU_ASSERT(n > 20);
    CU_ASSERT(n < 100);
}

// ------------------------------------------------------------------ to the end

// Appends the expansion of node id to bench.g. False: it has none for this call.
static bool expand_node(uint32_t id)
{
    tni_types types;
    tni_entry results[64] = {{0, 0}};
    uint32_t *ids = calloc(id, sizeof *ids);
    CU_ASSERT_FATAL(ids && tni_types_init(&types) && tni_types_grow(&types, bench.g));
    for (uint32_t i = 0; i < id; i++) ids[i] = i + 1;
    tni_infer(bench.g, &types, ids, id, TNI_INFER_SHAPES | TNI_INFER_DTYPES);
    tni_builder b;
    tni_builder_init(&b, bench.g, &types, id);
    b.results = results;
    b.suffix = "_expand";
    const bool ok = tni_builder_expand(&b) == TN_OK;
    tni_builder_free(&b);
    tni_types_free(&types);
    free(ids);
    return ok;
}

// Expands a call, then what it was expanded into, until only primitives are left.
static size_t expand_whole(const op_row *row)
{
    tn_symbol x[8];
    size_t n = 0;
    const tni_entry y = op_row_call(row, x, &n, TN_F32);
    if (!y.node) return 0;
    for (uint32_t id = y.node; id <= bench.g->n_nodes && id < MOST_NODES; id++) {
        const tni_node *node = tni_node_at(bench.g, id);
        if (!node->op || !node->op->decl.expand || expand_node(id)) continue;
        // A call may have no expansion where others of its operator do, but never a part of one.
        tn_graph_forgive(bench.g);
        // Nothing simpler gives a value without axes: squeeze to one runs where it has a kernel.
        const bool scalar = strcmp(node->op->decl.name, "squeeze") == 0;
        if (id != y.node && !scalar) TN_CHECK_STR(node->op->decl.name, "a part that expands");
    }
    return bench.g->n_nodes;
}

static void every_expansion_ends(void)
{
    size_t n = 0, largest = 0;
    const char *which = "";
    for (size_t i = 0; i < N_OP_ROWS; i++) {
        const tn_op_decl *d = tn_env_op_find(bench.env, op_rows[i].op);
        if (!d || !d->expand) continue;
        const size_t nodes = expand_whole(&op_rows[i]);
        n++;
        if (nodes > largest) which = op_rows[i].op;
        if (nodes > largest) largest = nodes;
    }
    CU_ASSERT(n > 100);
    if (largest >= MOST_NODES) TN_CHECK_STR(which, "an expansion that ends");
    printf("\n    the longest is %s, of %zu nodes ", which, largest);
}

TN_TEST_MAIN({"the page lists the operators without an expansion",
              the_page_lists_the_operators_without_an_expansion},
             {"every expansion ends", every_expansion_ends})
