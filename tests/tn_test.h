// tests/tn_test.h: what a test needs: a fresh bench per test, checks that show what came, skipping.
//
// A test file defines `static void` functions and ends with TN_TEST_MAIN({"says what", function},
// …). Each test runs with a new env (plugins of the build tree only) and a new graph. The program
// takes --backend LIST (default: reference), --plugin FILE (searched before the build tree) and a
// part of a test's name; it exits 0, 1 on a failure, 77 if all were skipped.
#ifndef TENON_TESTS_TN_TEST_H
#define TENON_TESTS_TN_TEST_H

#include <CUnit/CUnit.h>
#include <tenon/tenon.h>

typedef struct tn_bench {
    tn_env *env;
    tn_graph *g;
    const char *backends; // what --backend said
} tn_bench;
extern tn_bench bench;

typedef struct tn_test_case {
    const char *name;
    void (*run)(void);
} tn_test_case;

int tn_test_run(int argc, char **argv, const char *file, const tn_test_case *tests, size_t n);

#define TN_TEST_MAIN(...)                                                                \
    int main(int argc, char **argv)                                                      \
    {                                                                                    \
        static const tn_test_case tests[] = {__VA_ARGS__};                               \
        return tn_test_run(argc, argv, __FILE__, tests, sizeof tests / sizeof tests[0]); \
    }

// Marks the running test as skipped and says why; the test then returns.
void tn_skip(const char *reason);

// Path of a file in the folder that TENON_DATA_DIR names, or NULL if it is not there. Valid until
// the next call but three.
const char *tn_data(const char *name);

// Path of a new file in a directory that is removed at the end; valid until the next call but
// three.
const char *tn_temporary(const char *name);

// Checks report the caller's line, what came and what was wanted; they return whether they passed.
bool tn_check_str(int line, const char *file, const char *got, const char *wanted);
bool tn_check_has(int line, const char *file, const char *text, const char *part);
bool tn_check_near(int line, const char *file, double got, double wanted, double tolerance);
bool tn_check_names(int line, const char *file, tn_names got, const char *wanted);
bool tn_check_ok(int line, const char *file, tn_status status, const char *error);
// All elements within tolerance · max(1, |largest wanted|); NaN equals only NaN.
bool tn_check_values(int line, const char *file, tn_tensor *got, const double *wanted, size_t n,
                     double tolerance);

#define TN_CHECK_STR(got, wanted) tn_check_str(__LINE__, __FILE__, (got), (wanted))
#define TN_CHECK_HAS(text, part) tn_check_has(__LINE__, __FILE__, (text), (part))
#define TN_CHECK_NEAR(got, wanted, tol) tn_check_near(__LINE__, __FILE__, (got), (wanted), (tol))
#define TN_CHECK_NAMES(got, wanted) tn_check_names(__LINE__, __FILE__, (got), (wanted))
// The graph of the bench holds no error; shows it if it does.
#define TN_CHECK_GRAPH() \
    tn_check_ok(__LINE__, __FILE__, tn_graph_status(bench.g), tn_graph_error(bench.g))
#define TN_CHECK_EXEC(e)                                                                \
    tn_check_ok(__LINE__, __FILE__, (e) ? tn_exec_status(e) : tn_graph_status(bench.g), \
                (e) ? tn_exec_error(e) : tn_graph_error(bench.g))
// TN_CHECK_VALUES(tensor, 1e-6, 1, 2, 3): shape is not looked at, the number of elements is.
#define TN_CHECK_VALUES(tensor, tol, ...)                                        \
    tn_check_values(__LINE__, __FILE__, (tensor), (const double[]){__VA_ARGS__}, \
                    sizeof((const double[]){__VA_ARGS__}) / sizeof(double), (tol))

// Tensor in bench.env: TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4). The caller releases it.
#define TN_TENSOR(dtype, dims, ...) \
    tn_tensor_from(bench.env, (dtype), (dims), (const double[]){__VA_ARGS__})

#endif
