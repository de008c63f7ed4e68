// tools/genops.c: writes include/tenon/ops.h and docs/operators.md from the core's operators.
//
//     genops header|docs|asserts FILE    writes FILE
//     genops --check header|docs FILE    exits with 1 if FILE is not what would be written
//
// asserts is a C file that compiles only if the structs of the header are laid out as the core
// reads them.
//
// It links the core's objects and reads the registry of an env without plugins, so declarations
// are the only source. It does not include <tenon/ops.h>, so it builds while that is wrong.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/env.h>

#include "core/graph/schema.h"
#include "tools/genops.h"

// ------------------------------------------------------------------ what both outputs use

static bool is_public(const tni_op *op)
{
    return !(op->decl.flags & TN_OP_INTERNAL);
}

// Order of a reader: without regard to case and leading underscores.
static int by_reading(const void *a, const void *b)
{
    const char *x = (*(const tni_op *const *)a)->decl.name;
    const char *y = (*(const tni_op *const *)b)->decl.name;
    const int order = strcasecmp(x + strspn(x, "_"), y + strspn(y, "_"));
    return order ? order : strcmp(x, y);
}

// FullyConnected → fully_connected, unless the declaration says otherwise.
const char *genops_c_name(const tni_op *op, char buffer[64])
{
    const char *name = op->decl.c_name ? op->decl.c_name : op->decl.name;
    size_t n = 0;
    for (const char *s = name; *s && n + 2 < 64; s++) {
        const bool starts = isupper((unsigned char)*s) && s > name &&
                            (islower((unsigned char)s[-1]) ||
                             (isupper((unsigned char)s[-1]) && islower((unsigned char)s[1])));
        if (starts && s[-1] != '_') buffer[n++] = '_';
        buffer[n++] = (char)tolower((unsigned char)*s);
    }
    buffer[n] = 0;
    return buffer;
}

// "required, at least 1", "default 0.5, in [0,1]": what a reader must know of a parameter.
const char *genops_limits(const tni_param *p, char buffer[160])
{
    const tn_param_decl *d = &p->decl;
    const char *def = d->def && !*d->def ? "\"\"" : d->def;
    size_t n = (size_t)snprintf(buffer, 160, def ? "default %s" : "required%s", def ? def : "");
    if (d->range && n < 160) n += (size_t)snprintf(buffer + n, 160 - n, ", in %s", d->range);
    if ((d->flags & TN_PF_NONE) && n < 160) snprintf(buffer + n, 160 - n, ", may be None");
    return buffer;
}

// ------------------------------------------------------------------ the program

static const tni_op **sorted_ops(const tni_registry *r)
{
    const tni_op **ops = calloc(r->n_ops + 1, sizeof *ops);
    for (uint32_t i = 0; ops && i < r->n_ops; i++) ops[i] = r->ops[i];
    if (ops) qsort(ops, r->n_ops, sizeof *ops, by_reading);
    return ops;
}

static void generate(tni_text *t, const tni_registry *r, const char *what)
{
    const tni_op **ops = sorted_ops(r);
    uint32_t n = 0;
    if (!ops) {
        t->failed = true;
        return;
    }
    // public operators first, both parts in the order of a reader
    const tni_op **parted = calloc(r->n_ops + 1, sizeof *parted);
    for (int part = 0; parted && part < 2; part++)
        for (uint32_t i = 0; i < r->n_ops; i++)
            if (is_public(ops[i]) == (part == 0)) parted[n++] = ops[i];
    uint32_t n_public = 0;
    while (n_public < n && is_public(parted[n_public])) n_public++;
    if (!parted)
        t->failed = true;
    else if (strcmp(what, "header") == 0)
        genops_header(t, parted, n_public);
    else if (strcmp(what, "asserts") == 0)
        genops_asserts(t, parted, n_public);
    else
        genops_docs(t, parted, n_public, n);
    free(parted);
    free(ops);
}

static int check(const char *path, const tni_text *wanted)
{
    FILE *f = fopen(path, "rb");
    size_t at = 0, line = 1;
    int c = EOF;
    if (!f) {
        perror(path);
        return 1;
    }
    while ((c = getc(f)) != EOF && at < wanted->n && (char)c == wanted->s[at]) {
        line += c == '\n';
        at++;
    }
    fclose(f);
    if (c == EOF && at == wanted->n) return 0;
    fprintf(stderr, "%s:%zu: is not what the declarations give; run genops without --check\n", path,
            line);
    return 1;
}

static int write_file(const char *path, const tni_text *t)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(t->s, 1, t->n, f) != t->n) {
        perror(path);
        if (f) fclose(f);
        return 1;
    }
    if (fclose(f) == 0) return 0;
    perror(path);
    return 1;
}

int main(int argc, char **argv)
{
    const bool checks = argc == 4 && strcmp(argv[1], "--check") == 0;
    const char *what = argc == 3 || checks ? argv[argc - 2] : "";
    if (strcmp(what, "header") && strcmp(what, "docs") && strcmp(what, "asserts")) {
        fprintf(stderr, "usage: genops [--check] header|docs|asserts FILE\n");
        return 2;
    }
    const tn_env_options options = {.size = sizeof options, .flags = TN_ENV_NO_SEARCH};
    tn_env *env = tn_env_new(&options);
    tni_text t = {0};
    if (!env) {
        fprintf(stderr, "genops: out of memory\n");
        return 1;
    }
    if (tn_env_status(env) != TN_OK) fprintf(stderr, "genops: %s\n", tn_env_error(env));
    generate(&t, tni_env_registry(env), what);
    int status = 1;
    if (t.failed || !t.s)
        fprintf(stderr, "genops: out of memory, or no operators\n");
    else
        status = checks ? check(argv[argc - 1], &t) : write_file(argv[argc - 1], &t);
    tni_text_free(&t);
    tn_env_free(env);
    return status;
}
