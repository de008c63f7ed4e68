// tests/backends/test_coverage.c: no operator is without a kernel of reference and of opencl, and
// none without a test.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tn_test.h"

static size_t backend_index(const char *name)
{
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++)
        if (strcmp(tn_env_backend(bench.env, i)->name, name) == 0) return i;
    return SIZE_MAX;
}

// The core's own operators; those of plugins are their authors' matter.
static const tn_op_decl *core_op(size_t i)
{
    const tn_op_decl *op = tn_env_op(bench.env, i);
    return op && tn_env_op_plugin(bench.env, op)[0] == 0 ? op : NULL;
}

// The executor and prepare_reorder() run the first two, the others are only made where they are
// taken.
static bool is_core_node(const char *name)
{
    return strcmp(name, "_CrossDeviceCopy") == 0 || strcmp(name, "_reorder") == 0 ||
           strcmp(name, "_fused") == 0 || strcmp(name, "_multi") == 0;
}

static void runs_every_operator(size_t backend, tn_dtype dtype)
{
    const char *name = tn_env_backend(bench.env, backend)->name;
    for (size_t i = 0; i < tn_env_num_ops(bench.env); i++) {
        const tn_op_decl *op = core_op(i);
        if (!op || is_core_node(op->name)) continue;
        const bool runs = op->expand || tn_env_backend_has(bench.env, backend, op->name, dtype);
        CU_ASSERT(runs);
        if (!runs)
            printf("\n    %s: no kernel of %s for %s\n", name, op->name, tn_dtype_name(dtype));
    }
}

static const tn_dtype floats[] = {TN_F32, TN_F64, TN_F16, TN_BF16};

static void reference_runs_every_operator(void)
{
    const size_t reference = backend_index("reference");
    CU_ASSERT_NOT_EQUAL_FATAL(reference, SIZE_MAX);
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        runs_every_operator(reference, floats[i]);
}

// So that a network never has to leave the device. Not every device has float64.
static void opencl_runs_every_operator(void)
{
    const size_t opencl = backend_index("opencl");
    if (opencl == SIZE_MAX) {
        tn_skip("no opencl backend here");
        return;
    }
    if (tn_env_device(bench.env, opencl, 0)->unusable) {
        tn_skip("no OpenCL device here");
        return;
    }
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        if (floats[i] != TN_F64) runs_every_operator(opencl, floats[i]);
}

// All of tests/ops/*.c as one text.
static char *test_sources(void)
{
    const char *dir = TN_TEST_SOURCE_DIR "/tests/ops";
    size_t size = 1;
    char *all = calloc(1, 1), path[1024];
    DIR *d = opendir(dir);
    for (struct dirent *e; d && all && (e = readdir(d));) {
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".c") != 0) continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        FILE *f = fopen(path, "rb");
        char block[4096];
        for (size_t n; f && (n = fread(block, 1, sizeof block, f)) > 0;) {
            char *grown = realloc(all, size + n);
            if (!grown) break;
            all = grown;
            memcpy(all + size - 1, block, n);
            size += n;
            all[size - 1] = 0;
        }
        if (f) fclose(f);
    }
    if (d) closedir(d);
    return all;
}

// A test names what it tests: "FullyConnected" stands in a string of some file in tests/ops.
static void every_operator_is_named_in_a_test(void)
{
    char *text = test_sources(), quoted[128];
    CU_ASSERT_FATAL(text != NULL);
    for (size_t i = 0; i < tn_env_num_ops(bench.env); i++) {
        const tn_op_decl *op = core_op(i);
        if (!op || op->flags & TN_OP_INTERNAL) continue;
        snprintf(quoted, sizeof quoted, "\"%s\"", op->name);
        const bool named = strstr(text, quoted);
        CU_ASSERT(named);
        if (!named) printf("\n    no test of %s\n", op->name);
    }
    free(text);
}

TN_TEST_MAIN({"reference runs every operator", reference_runs_every_operator},
             {"opencl runs every operator", opencl_runs_every_operator},
             {"every operator is named in a test", every_operator_is_named_in_a_test})
