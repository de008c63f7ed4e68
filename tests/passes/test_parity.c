// tests/passes/test_parity.c: every operator of MXNet 0.11 is here, under its names, with the same
// inputs, outputs, auxiliary states, parameters and automatic names; what differs stands in a list.
#include "parity.h"

#include "parity_lists.h"

static parity_table table;
static size_t n_checked; // properties that were compared

static bool listed(parity_note *list, size_t n, const char *op, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (parity_among(op, strlen(op), list[i].op) &&
            (!*what || parity_among(what, strlen(what), list[i].what)))
            return list[i].met = true;
    return false;
}

// A property that should be as in the table, unless the list says that it is not.
static void check(const char *op, const char *what, bool same, const char *got)
{
    char text[600];
    n_checked++;
    if (same || listed(differences, N_DIFFERENCES, op, what)) return;
    snprintf(text, sizeof text, "%s: %s: %s", op, what, got ? got : "none");
    TN_CHECK_STR(text, "as in MXNet 0.11");
}

static bool left_out(const char *op)
{
    return listed(omitted, N_OMITTED, op, "");
}

// ------------------------------------------------------------------ names

static const tni_op *op_of(const char *name)
{
    return tni_op_find(tni_env_registry(bench.env), name);
}

static void every_name_is_here(void)
{
    size_t names = 0;
    for (size_t i = 0; i < table.n; i++) {
        const parity_row *row = &table.rows[i];
        char aliases[200];
        char *rest = aliases;
        if (left_out(row->name)) {
            if (op_of(row->name)) TN_CHECK_STR(row->name, "an operator that no list leaves out");
            continue;
        }
        const tni_op *op = op_of(row->name);
        check(row->name, "name", op && strcmp(op->decl.name, row->name) == 0, NULL);
        names++;
        snprintf(aliases, sizeof aliases, "%s", row->aliases);
        for (char *word; (word = parity_word(&rest, ",")) && *word; names++)
            check(row->name, word, op && op_of(word) == op, NULL);
    }
    CU_ASSERT(table.n == 237);
    CU_ASSERT(names > 280);
}

// ------------------------------------------------------------------ parameters

// Do both texts mean the same value of p?
static bool same_value(const tni_param *p, const char *a, const char *b)
{
    tni_arena arena = {0};
    tni_text reason = {0};
    tni_param at0 = *p;
    char *text[2] = {NULL, NULL};
    const char *given[2] = {strcmp(a, "''") == 0 ? "" : a, b};
    at0.decl.offset = 0;
    for (int i = 0; i < 2; i++) {
        void *blob = tni_alloc(&arena, 64);
        if (blob && tni_param_parse(&at0, given[i], blob, &arena, &reason))
            text[i] = tni_param_text(&at0, blob, &arena);
    }
    const bool same = text[0] && text[1] && strcmp(text[0], text[1]) == 0;
    tni_text_free(&reason);
    tni_arena_free(&arena);
    return same;
}

static void check_choices(const char *op, const parity_param *wanted, const tni_param *p)
{
    char what[160];
    for (const char *s = wanted->choices; s && *s != ')'; s += *s == '|') {
        const size_t n = strcspn(s, "|)");
        bool found = p->decl.type == TN_P_DTYPE; // every one of Tenon's, which are more
        for (size_t i = 0; p->choices && p->choices[i]; i++)
            found = found || (strlen(p->choices[i]) == n && strncmp(p->choices[i], s, n) == 0);
        snprintf(what, sizeof what, "%s=%.*s", p->decl.name, (int)n, s);
        check(op, what, found, NULL);
        s += n;
    }
    if (wanted->decl.type != TN_P_ENUM || p->decl.type != TN_P_ENUM) return;
    for (size_t i = 0; p->choices[i]; i++) {
        snprintf(what, sizeof what, "%s=%s", p->decl.name, p->choices[i]);
        if (!parity_among(p->choices[i], strlen(p->choices[i]), wanted->choices))
            check(op, what, false, "not in MXNet");
    }
}

static void check_range(const char *op, const parity_param *wanted, const tni_param *p)
{
    char what[160], got[100];
    const bool whole = p->decl.type == TN_P_I64 || p->decl.type == TN_P_I64S;
    const bool positive = p->decl.flags & TN_PF_POSITIVE;
    const double lo = positive ? 1 : whole && p->lo_open ? p->lo + 1 : p->lo;
    const bool same = (lo == wanted->lo && p->hi == wanted->hi) &&
                      (whole || !p->lo_open || isinf(p->lo)) && (!p->hi_open || isinf(p->hi));
    snprintf(what, sizeof what, "range of %s", p->decl.name);
    snprintf(got, sizeof got, "%s%s", p->decl.range ? p->decl.range : "open",
             positive ? ", positive" : "");
    check(op, what, same, got);
    snprintf(what, sizeof what, "length of %s", p->decl.name);
    const uint32_t n = wanted->length;
    check(op, what, !n || (p->decl.min_len == n && p->decl.max_len == n), NULL);
}

static void check_param(const char *op, const parity_param *wanted, const tni_param *p)
{
    char what[160];
    snprintf(what, sizeof what, "type of %s", wanted->name);
    const bool few = wanted->decl.type == TN_P_DTYPE && p->decl.type == TN_P_ENUM; // of the dtypes
    check(op, what, p->decl.type == wanted->decl.type || few, NULL);
    snprintf(what, sizeof what, "None for %s", wanted->name);
    check(op, what, (p->decl.flags & TN_PF_NONE) == (wanted->decl.flags & TN_PF_NONE), NULL);
    snprintf(what, sizeof what, "default of %s", wanted->name);
    check(op, what,
          wanted->def ? p->decl.def && same_value(p, wanted->def, p->decl.def) : !p->decl.def,
          p->decl.def);
    check_choices(op, wanted, p);
    check_range(op, wanted, p);
}

static void check_params(const parity_row *row, const tni_op *op)
{
    char text[1000], what[160];
    bool known[64] = {false};
    char *rest = text;
    snprintf(text, sizeof text, "%s", row->params);
    for (char *word; (word = parity_word(&rest, ";")) && *word;) {
        parity_param wanted;
        CU_ASSERT(parity_param_of(word, &wanted));
        const int32_t i = tni_param_find(op, wanted.name);
        snprintf(what, sizeof what, "parameter %s", wanted.name);
        check(row->name, what, i >= 0, NULL);
        if (i < 0 || i >= 64) continue;
        known[i] = true;
        check_param(row->name, &wanted, &op->params[i]);
    }
    for (uint32_t i = 0; i < op->n_params && i < 64; i++) {
        snprintf(what, sizeof what, "parameter %s", op->params[i].decl.name);
        if (!known[i]) check(row->name, what, false, "not in MXNet");
    }
}

// An expansion of an operator without a gradient of its own is differentiated.
static void check_gradient(const parity_row *row, const tni_op *op)
{
    const tn_op_decl *d = &op->decl;
    const bool none = d->flags & TN_OP_NO_GRAD, zero = d->flags & TN_OP_ZERO_GRAD;
    if (strcmp(row->gradient, "yes") == 0)
        check(row->name, "gradient", !none && !zero && (d->gradient || d->expand), "none or zero");
    if (strcmp(row->gradient, "zero") == 0) check(row->name, "gradient", !none, "none");
}

static void every_parameter_is_the_same(void)
{
    n_checked = 0;
    for (size_t i = 0; i < table.n; i++) {
        const tni_op *op = left_out(table.rows[i].name) ? NULL : op_of(table.rows[i].name);
        if (!op) continue;
        check_params(&table.rows[i], op);
        check_gradient(&table.rows[i], op);
    }
    CU_ASSERT(n_checked > 1500);
}

// ------------------------------------------------------------------ automatic names

static size_t n_composed;

static void check_names(const parity_row *row, const char *what, const char *prefix, char *column,
                        bool hidden, const tni_node *node, const char *got)
{
    char copy[300];
    tni_text wanted = {0};
    snprintf(copy, sizeof copy, "%s", column);
    tni_text_add(&wanted, "");
    parity_names(&wanted, node->op, node->params, copy, prefix, hidden);
    if (strcmp(got, wanted.s) != 0 && !listed(differences, N_DIFFERENCES, row->name, what)) {
        char text[600];
        snprintf(text, sizeof text, "%s: %s: %s", row->name, what, got);
        TN_CHECK_STR(text, wanted.s);
    }
    tni_text_free(&wanted);
}

static const char *joined(tni_text *t, tn_names names)
{
    t->n = 0;
    tni_text_add(t, "");
    for (size_t i = 0; i < names.n; i++) tni_text_printf(t, "%s ", names.v[i]);
    return t->s;
}

// Composes the operator as "op" with nothing but parameters. True if they are legal together.
static bool compose(const parity_row *row, const char *params)
{
    tn_attr attrs[32];
    char text[400];
    char *rest = text;
    size_t n = 0;
    tni_text names = {0};
    snprintf(text, sizeof text, "%s", params);
    for (char *word; (word = parity_word(&rest, ";")) && n < 32;) {
        char *value = strchr(word, '=');
        if (!value) continue;
        *value = 0;
        attrs[n++] = (tn_attr){word, value + 1};
    }
    tn_graph_free(bench.g);
    bench.g = tn_graph_new(bench.env);
    const tn_symbol y = tn_call(bench.g, row->name, .name = "op", .params = {n, attrs});
    if (!y.node) return false;
    const tni_node *node = tni_node_at(bench.g, y.node);
    joined(&names, tn_arguments(bench.g, y));
    check_names(row, "arguments", "op_", row->inputs, false, node, names.s);
    joined(&names, tn_auxiliary_states(bench.g, y));
    check_names(row, "auxiliary states", "op_", row->aux, false, node, names.s);
    joined(&names, tn_outputs(bench.g, y));
    check_names(row, "outputs", "op_", row->outputs, false, node, names.s);
    names.n = 0;
    tni_text_add(&names, "");
    for (uint32_t i = node->n_visible; i < node->n_out; i++) {
        char buffer[64];
        tni_text_printf(&names, "%s ", tni_op_out_name(node->op, node->params, i, buffer));
    }
    check_names(row, "hidden outputs", "", row->outputs, true, node, names.s);
    tni_text_free(&names);
    n_composed++;
    return true;
}

// The parameters of a valid call with one of them said otherwise.
static void with_other(char text[400], const char *params, const char *key, const char *value)
{
    char copy[400];
    char *rest = copy;
    size_t n = (size_t)snprintf(text, 400, "%s=%s; ", key, value);
    snprintf(copy, sizeof copy, "%s", params ? params : "");
    for (char *word; (word = parity_word(&rest, ";"));) {
        const size_t length = strcspn(word, "=");
        if (length == strlen(key) && strncmp(word, key, length) == 0) continue;
        n += (size_t)snprintf(text + n, n < 400 ? 400 - n : 0, "%s; ", word);
        if (n >= 400) return;
    }
}

static void compose_all(const parity_row *row, const tni_op *op)
{
    size_t good = 0;
    char text[400];
    for (size_t i = 0; i < N_OP_ROWS; i++) {
        const char *params = op_rows[i].params ? op_rows[i].params : "";
        if (strcmp(op_rows[i].op, row->name) != 0) continue;
        good += compose(row, params);
        for (uint32_t p = 0; p < op->n_params; p++) {
            static const char *const truths[] = {"True", "False", NULL};
            const bool truth = op->params[p].decl.type == TN_P_BOOL;
            const char *const *choices = truth ? truths : op->params[p].choices;
            for (size_t k = 0; choices && choices[k]; k++) {
                with_other(text, params, op->params[p].decl.name, choices[k]);
                compose(row, text);
            }
        }
    }
    if (!good) TN_CHECK_STR(row->name, "composed without inputs");
}

static void every_automatic_name_is_the_same(void)
{
    n_composed = 0;
    for (size_t i = 0; i < table.n; i++) {
        const tni_op *op = left_out(table.rows[i].name) ? NULL : op_of(table.rows[i].name);
        if (op) compose_all(&table.rows[i], op);
    }
    CU_ASSERT(n_composed > 500);
}

// ------------------------------------------------------------------ the lists themselves

static void check_met(parity_note *list, size_t n)
{
    char text[300];
    for (size_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, "%s: %s", list[i].op, list[i].what);
        if (!list[i].met) TN_CHECK_STR(text, "a note that still says something");
        if (!list[i].why || strlen(list[i].why) < 10) TN_CHECK_STR(text, "a note with a reason");
    }
}

static void every_note_is_needed(void)
{
    CU_ASSERT(n_checked > 0);
    check_met(omitted, N_OMITTED);
    check_met(differences, N_DIFFERENCES);
}

static void the_table_is_read(void)
{
    CU_ASSERT(parity_read(&table, TN_TEST_SOURCE_DIR "/tests/passes/mxnet-0.11-operators.tsv"));
}

TN_TEST_MAIN({"the table is read", the_table_is_read}, {"every name is here", every_name_is_here},
             {"every parameter is the same", every_parameter_is_the_same},
             {"every automatic name is the same", every_automatic_name_is_the_same},
             {"every note is needed", every_note_is_needed})
