// tests/tn_test.c: the test program around CUnit: options, bench, skipping, checks.
#include "tests/tn_test.h"

#include <CUnit/Basic.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

tn_bench bench;

enum { SKIPPED = 77 }; // what CTest is told to read as "skipped"

static unsigned n_skipped, n_run;
static bool test_skipped;
static char temporary_dir[64];

void tn_skip(const char *reason)
{
    printf(" [skipped: %s]", reason);
    test_skipped = true;
}

static char *next_path(void)
{
    static char paths[4][1024];
    static unsigned next;
    return paths[next++ % 4];
}

const char *tn_data(const char *name)
{
    const char *dir = getenv("TENON_DATA_DIR");
    char *path = next_path();
    if (!dir || !*dir) return NULL;
    snprintf(path, 1024, "%s/%s", dir, name);
    return access(path, R_OK) == 0 ? path : NULL;
}

const char *tn_temporary(const char *name)
{
    char *path = next_path();
    if (!temporary_dir[0]) {
        strcpy(temporary_dir, "/tmp/tenon-test-XXXXXX");
        if (!mkdtemp(temporary_dir)) temporary_dir[0] = 0;
    }
    snprintf(path, 1024, "%s/%s", temporary_dir, name);
    return path;
}

// Removes the files of the temporary directory; tests make no directories deeper than one.
static void remove_temporary(const char *dir, int depth)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[1400];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (unlink(path) != 0 && depth < 8) remove_temporary(path, depth + 1);
    }
    if (d) closedir(d);
    rmdir(dir);
}

// ------------------------------------------------------------------ checks

static bool report(int line, const char *file, bool ok, const char *text)
{
    CU_assertImplementation(ok ? CU_TRUE : CU_FALSE, (unsigned)line, text, file, "", CU_FALSE);
    return ok;
}

bool tn_check_str(int line, const char *file, const char *got, const char *wanted)
{
    char text[2048];
    const bool ok = got && wanted ? strcmp(got, wanted) == 0 : got == wanted;
    snprintf(text, sizeof text, "got \"%s\", wanted \"%s\"", got ? got : "(null)",
             wanted ? wanted : "(null)");
    return report(line, file, ok, text);
}

bool tn_check_has(int line, const char *file, const char *text, const char *part)
{
    char message[2048];
    const bool ok = text && strstr(text, part);
    snprintf(message, sizeof message, "\"%s\" does not contain \"%s\"", text ? text : "(null)",
             part);
    return report(line, file, ok, message);
}

bool tn_check_near(int line, const char *file, double got, double wanted, double tolerance)
{
    char text[256];
    const bool ok = isnan(wanted) ? isnan(got) : fabs(got - wanted) <= tolerance || got == wanted;
    snprintf(text, sizeof text, "got %.17g, wanted %.17g within %g", got, wanted, tolerance);
    return report(line, file, ok, text);
}

bool tn_check_names(int line, const char *file, tn_names got, const char *wanted)
{
    char text[4096] = "";
    size_t at = 0;
    for (size_t i = 0; i < got.n && at < sizeof text; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", i ? " " : "", got.v[i]);
    return tn_check_str(line, file, text, wanted);
}

bool tn_check_ok(int line, const char *file, tn_status status, const char *error)
{
    char text[2048];
    snprintf(text, sizeof text, "%s: %s", tn_status_text(status), error);
    return report(line, file, status == TN_OK, text);
}

bool tn_check_values(int line, const char *file, tn_tensor *got, const double *wanted, size_t n,
                     double tolerance)
{
    char text[256];
    double largest = 1;
    if (!got || tn_tensor_size(got) != (int64_t)n) {
        snprintf(text, sizeof text, "got %lld elements, wanted %zu",
                 got ? (long long)tn_tensor_size(got) : -1LL, n);
        return report(line, file, false, text);
    }
    for (size_t i = 0; i < n; i++)
        if (isfinite(wanted[i])) largest = fmax(largest, fabs(wanted[i]));
    for (size_t i = 0; i < n; i++) {
        const double v = tn_tensor_at(got, (int64_t)i);
        const bool same = isnan(wanted[i])
                              ? isnan(v)
                              : v == wanted[i] || fabs(v - wanted[i]) <= tolerance * largest;
        if (same) continue;
        snprintf(text, sizeof text, "element %zu: got %.9g, wanted %.9g (difference %g)", i, v,
                 wanted[i], v - wanted[i]);
        return report(line, file, false, text);
    }
    return report(line, file, true, "values");
}

// ------------------------------------------------------------------ running

static const tn_test_case *all_tests;
static size_t current;
static const char *given_plugin; // --plugin: file or directory, NULL if there is none

static void bench_close(void)
{
    tn_graph_free(bench.g);
    tn_env_free(bench.env);
    bench.g = NULL;
    bench.env = NULL;
}

static bool bench_open(void)
{
    const char *const paths[] = {given_plugin ? given_plugin : TN_TEST_PLUGIN_DIR,
                                 given_plugin ? TN_TEST_PLUGIN_DIR : NULL, NULL};
    bench.env = tn_env_new(&(tn_env_options){
        .size = sizeof(tn_env_options), .flags = TN_ENV_NO_SEARCH, .paths = paths});
    bench.g = bench.env ? tn_graph_new(bench.env) : NULL;
    return bench.g;
}

// A plugin that was asked for has to be usable, or its tests would be those of something else.
static bool plugin_used(void)
{
    if (!given_plugin) return true;
    if (!bench_open()) return false;
    bool used = false;
    for (size_t i = 0; i < tn_env_num_candidates(bench.env); i++) {
        const tn_candidate *c = tn_env_candidate(bench.env, i);
        if (strncmp(c->path, given_plugin, strlen(given_plugin)) != 0) continue;
        used = used || c->step == TN_STEP_USED;
        if (c->step != TN_STEP_USED) fprintf(stderr, "%s: %s\n", c->path, c->reason);
    }
    if (!used) fprintf(stderr, "%s: no plugin of it is used\n", given_plugin);
    bench_close();
    return used;
}

// Why nothing can run on the first of the bench's backends here: its plugin is there, and finds no
// device. NULL: it can, or the tests will say what is wrong.
static const char *no_device(void)
{
    const size_t n = strcspn(bench.backends, ",:");
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++) {
        const tn_backend_entry *b = tn_env_backend(bench.env, i);
        if (strlen(b->name) != n || strncmp(b->name, bench.backends, n) != 0) continue;
        for (size_t d = 0; d < b->n_devices; d++)
            if (!tn_env_device(bench.env, i, d)->unusable) return NULL;
        return "the backend has no device here";
    }
    return NULL;
}

// CUnit calls functions without arguments in the order of registration; this counts along.
static void run_current(void)
{
    const tn_test_case *t = &all_tests[current++];
    const unsigned before = CU_get_number_of_asserts();
    test_skipped = false;
    if (!bench_open()) {
        CU_FAIL("no env or graph");
        bench_close();
        return;
    }
    const char *why = no_device();
    if (why)
        tn_skip(why);
    else
        t->run();
    bench_close();
    n_run++;
    if (test_skipped)
        n_skipped++;
    else if (CU_get_number_of_asserts() == before)
        CU_FAIL("the test checked nothing");
}

int tn_test_run(int argc, char **argv, const char *file, const tn_test_case *tests, size_t n)
{
    const char *only = NULL;
    bench.backends = "reference";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--backend") == 0 && i + 1 < argc)
            bench.backends = argv[++i];
        else if (strcmp(argv[i], "--plugin") == 0 && i + 1 < argc)
            given_plugin = argv[++i];
        else
            only = argv[i]; // part of a test's name
    }
    setvbuf(stdout, NULL, _IONBF, 0);
    if (!plugin_used()) return 1;
    if (CU_initialize_registry() != CUE_SUCCESS) return 1;
    tn_test_case *chosen = calloc(n, sizeof *chosen);
    CU_pSuite suite = CU_add_suite(file, NULL, NULL);
    if (!chosen || !suite) return 1;
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (only && !strstr(tests[i].name, only)) continue;
        chosen[m++] = tests[i];
        if (!CU_add_test(suite, tests[i].name, run_current)) return 1;
    }
    all_tests = chosen;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    const unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    free(chosen);
    if (temporary_dir[0]) remove_temporary(temporary_dir, 0);
    if (failures || n_run != m || m == 0) return 1;
    return n_skipped == m ? SKIPPED : 0;
}
