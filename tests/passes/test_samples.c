// tests/passes/test_samples.c: every differentiable operator is compared with central differences
// in at least five samples, as the tables of tests/ops say them.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/ops/row_samples.h"
#include "tests/tn_test.h"

enum { ENOUGH = 5, MOST_OPS = 2000, MOST_SAMPLES = 40 };

typedef struct excuse {
    const char *op, *why;
} excuse;

// Operators whose gradient has none of its own.
static const excuse first_order[] = {
    {"BatchNorm", "its fused backward operator has no gradient"},
    {"BatchNorm_v1", "as BatchNorm"},
    {"gamma", "the derivative of digamma is no operator"},
    {"gammaln", "the derivative of digamma is no operator"},
    {"_contrib_CTCLoss", "the gradient that forward keeps has none"},
    {"RNN", "the gradient goes through its expansion, for which a bind has the shapes"},
};
enum { N_FIRST_ORDER = sizeof first_order / sizeof *first_order };

// Operators that are compared otherwise, in the test of their name.
static const excuse by_hand[] = {
    {"IdentityAttachKLSparseReg", "a term is added to the derivative"},
    {"linalg_potrf", "only symmetric changes have a meaning"},
    {"_contrib_quantize", "one of its outputs is of bytes"},
    {"linalg_potrf", "its gradient is for matrices that stay symmetric: five of X Xᵀ + C"},
    {"sample_multinomial", "one of its outputs is of indices"},
};
enum { N_BY_HAND = sizeof by_hand / sizeof *by_hand };

typedef struct sampled {
    char op[64];
    char *sample[MOST_SAMPLES]; // texts, to tell them apart
    size_t n;
    bool second; // one of them looks at the second derivative
} sampled;
static sampled found[MOST_OPS];
static size_t n_found;

static sampled *sampled_of(const char *op)
{
    for (size_t i = 0; i < n_found; i++)
        if (strcmp(found[i].op, op) == 0) return &found[i];
    if (n_found == MOST_OPS) return NULL;
    snprintf(found[n_found].op, sizeof found[n_found].op, "%s", op);
    return &found[n_found++];
}

static void note(const char *op, const char *text, size_t n)
{
    sampled *s = sampled_of(op);
    if (!s) return;
    for (size_t i = 0; i < s->n; i++)
        if (strncmp(s->sample[i], text, n) == 0 && s->sample[i][n] == 0) return;
    if (s->n < MOST_SAMPLES) s->sample[s->n++] = strndup(text, n);
    if (!memmem(text, n, ".first_order", 12)) s->second = true;
}

// Name of an operator that stands there as "name", or as a word that the file defines as one.
static void op_named(const char *text, const char *at, char op[64])
{
    char define[100];
    if (*at != '"') {
        snprintf(define, sizeof define, "#define %.*s \"", (int)strcspn(at, ",) "), at);
        at = strstr(text, define);
        at = at ? at + strlen(define) - 1 : "\"\"";
    }
    snprintf(op, 64, "%.*s", (int)strcspn(at + 1, "\""), at + 1);
}

// Notes each TN_CASE("name", …) of a source file.
static void read_cases(const char *text)
{
    static const char head[] = "TN_CASE(";
    for (const char *at = text; (at = strstr(at, head));) {
        char op[64];
        const char *name = at + sizeof head - 1;
        int depth = 1;
        bool quoted = false;
        const char *end = name;
        for (; *end && depth > 0; end++) {
            if (*end == '"') quoted = !quoted;
            if (!quoted) depth += (*end == '(') - (*end == ')');
        }
        op_named(text, name, op);
        note(op, name, (size_t)(end - name) - 1);
        at = end;
    }
}

static void read_file(const char *dir, const char *name)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    const size_t size = 1 << 18;
    char *text = calloc(1, size);
    if (f && text) {
        fread(text, 1, size - 1, f);
        read_cases(text);
    }
    if (f) fclose(f);
    free(text);
}

static void read_samples(void)
{
    const char *dir = TN_TEST_SOURCE_DIR "/tests/ops";
    if (n_found) return;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strncmp(e->d_name, "test_", 5) == 0) read_file(dir, e->d_name);
    if (d) closedir(d);
}

// Samples of rows are made by code: row_samples().
static size_t samples_of(const char *op)
{
    tn_case cases[ROW_SAMPLES];
    return row_samples(op, cases) + sampled_of(op)->n;
}

static bool second_of(const char *op)
{
    tn_case cases[ROW_SAMPLES];
    return sampled_of(op)->second || (row_samples(op, cases) && !cases[0].first_order);
}

static const excuse *excuse_of(const excuse *list, size_t n, const char *op)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].op, op) == 0) return &list[i];
    return NULL;
}

// Has it a gradient that is a derivative? Losses define theirs, and what has no input has none.
static bool differentiable(const tn_op_decl *d)
{
    if (*tn_env_op_plugin(bench.env, d) || !d->inputs || !*d->inputs) return false;
    if (d->flags & (TN_OP_INTERNAL | TN_OP_LOSS | TN_OP_NO_GRAD | TN_OP_ZERO_GRAD)) return false;
    if (excuse_of(by_hand, N_BY_HAND, d->name)) return false;
    return d->gradient || d->expand;
}

static void every_differentiable_operator_has_five_samples(void)
{
    size_t n = 0;
    char text[200];
    read_samples();
    for (size_t i = 0; i < tn_env_num_ops(bench.env); i++) {
        const tn_op_decl *d = tn_env_op(bench.env, i);
        if (!differentiable(d)) continue;
        n++;
        snprintf(text, sizeof text, "%s, with %zu samples", d->name, samples_of(d->name));
        if (samples_of(d->name) < ENOUGH) TN_CHECK_STR(text, "an operator with five samples");
    }
    CU_ASSERT(n > 100);
}

static void second_derivatives_are_looked_at(void)
{
    read_samples();
    for (size_t i = 0; i < tn_env_num_ops(bench.env); i++) {
        const tn_op_decl *d = tn_env_op(bench.env, i);
        if (!differentiable(d) || !samples_of(d->name)) continue;
        const bool listed = excuse_of(first_order, N_FIRST_ORDER, d->name);
        if (second_of(d->name) == listed)
            TN_CHECK_STR(d->name, listed ? "an operator whose samples are of first order"
                                         : "an operator with a sample of second order");
    }
    CU_PASS("walked");
}

TN_TEST_MAIN({"every differentiable operator has five samples",
              every_differentiable_operator_has_five_samples},
             {"second derivatives are looked at", second_derivatives_are_looked_at})
