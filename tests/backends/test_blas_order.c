// tests/backends/test_blas_order.c: the first few places of an order on the blas backend against
// the reference, which orders all: every dtype, ties, NaN, infinities, both zeros, lines of
// neighbours and others, and orders in which every element comes before those so far.
#include "random_rows.h"

enum { DRAWN, RISING, FALLING, EQUAL, PATTERNS };
static int pattern;

static double number(int64_t i, tn_dtype dtype)
{
    static const double special[] = {-0.0, 0.0, INFINITY, -INFINITY, NAN, -1, 1, 2};
    const bool real = dtype == TN_F32 || dtype == TN_F64 || dtype == TN_F16 || dtype == TN_BF16;
    if (pattern == EQUAL) return 3;
    if (pattern != DRAWN) return (double)(pattern == RISING ? i % 30000 : 30000 - i % 30000) / 256;
    if (real && i % 9 == 4) return special[pick((uint64_t)i, 0, 7)];
    return (double)pick((uint64_t)i, 0, 200) - (dtype == TN_U8 ? 0 : 100);
}

static tn_tensor *value(size_t i, tn_dtype dtype, const tn_shape *shape)
{
    double *v = malloc(((size_t)tn_shape_size(shape) + 1) * sizeof *v);
    CU_ASSERT_FATAL(i == 0 && v != NULL);
    for (int64_t at = 0; at < tn_shape_size(shape); at++) v[at] = number(at, dtype);
    return tensor_of(v, dtype, shape);
}

#define FIRST(params_, ...) ROW("_argsort_first", params_, __VA_ARGS__)
static const random_row rows[] = {
    FIRST("axis=1; k=1; is_ascend=0", "3,300"),    FIRST("axis=1; k=1; is_ascend=1", "2,31"),
    FIRST("axis=-1; k=5; is_ascend=0", "2,1000"),  FIRST("axis=-1; k=5; is_ascend=1", "2,1000"),
    FIRST("axis=1; k=33; is_ascend=0", "3,700"), // may stop and sort
    FIRST("axis=2; k=40; is_ascend=1", "2,2,900"), FIRST("axis=0; k=30; is_ascend=0", "800,70"),
    FIRST("axis=0; k=3; is_ascend=0", "257,3"),    FIRST("axis=1; k=4; is_ascend=1", "2,100,77"),
    FIRST("axis=1; k=2; is_ascend=0", "40,7"),     FIRST("axis=1; k=7; is_ascend=1", "40,7"),
    FIRST("axis=0; k=90; is_ascend=0", "100,5"), // most of them: sorts
    FIRST("axis=0; k=600; is_ascend=1", "1000,2"), FIRST("axis=0; k=1", "1"),
};

static bool the_same(const random_row *r, tn_dtype dtype)
{
    random_row row = *r;
    row.value = value;
    const drawn d = {.row = {r->op, r->params, r->shapes}};
    tn_exec *got = run_row(&row, &d, "blas", dtype, 0);
    tn_exec *alone = run_row(&row, &d, "blas", dtype, 1);
    tn_exec *wanted = run_row(&row, &d, "reference", dtype, 0);
    bool same = got && alone && wanted;
    for (int i = 0; same && i < 2; i++) {
        tn_tensor *a = tn_exec_output(i ? alone : got, 0), *b = tn_exec_output(wanted, 0);
        same = tn_tensor_bytes(a) == tn_tensor_bytes(b) && tn_tensor_dtype(a) == TN_I64 &&
               memcmp(tn_tensor_data(a), tn_tensor_data(b), tn_tensor_bytes(b)) == 0;
    }
    tn_exec_free(got);
    tn_exec_free(alone);
    tn_exec_free(wanted);
    return same;
}

static void first_places_are_those_of_the_whole_order(void)
{
    static const tn_dtype dtypes[] = {TN_F32, TN_F64, TN_F16, TN_BF16, TN_I8,
                                      TN_U8,  TN_I32, TN_I64, TN_BOOL};
    if (!ready()) return;
    for (pattern = 0; pattern < PATTERNS; pattern++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
                const bool same = the_same(&rows[i], dtypes[d]);
                CU_ASSERT(same);
                if (!same)
                    printf("\n    %s of %s, %s, pattern %d\n", rows[i].params, rows[i].shapes,
                           tn_dtype_name(dtypes[d]), pattern);
            }
}

static void there_may_be_no_lines(void)
{
    if (!ready()) return;
    pattern = DRAWN;
    CU_ASSERT(the_same(&(random_row)FIRST("axis=1; k=2", "0,5"), TN_F32));
    CU_ASSERT(the_same(&(random_row)FIRST("axis=0; k=2", "5,0"), TN_F64));
}

// topk is made of it, whatever it gives.
static void topk_takes_the_selection(void)
{
    static const char *const params[] = {"k=3", "k=3; ret_typ=value", "k=3; ret_typ=both",
                                         "k=3; ret_typ=mask", "k=3; axis=None; is_ascend=1"};
    if (!ready()) return;
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
        const drawn d = {.row = {"topk", params[i], "4,50"}};
        tn_exec *e = bind_row(&d, "blas", TN_F32, 1);
        CU_ASSERT_FATAL(e != NULL);
        TN_CHECK_HAS(tn_exec_report_json(e), "selection");
        tn_exec_free(e);
    }
}

static const random_row topks[] = {
    ROW("topk", "k=3", "a,b9"),
    ROW("topk", "k=2; ret_typ=both; axis=0", "b9,a"),
    ROW("topk", "k=4; ret_typ=mask; is_ascend=1", "a,b9"),
    ROW("topk", "k=5; ret_typ=value; axis=None", "a,b9"),
};

static void topk_agrees_with_the_reference(void)
{
    if (!ready()) return;
    for (uint64_t seed = 0; seed < 5; seed++)
        for (size_t i = 0; i < sizeof topks / sizeof *topks; i++) {
            int64_t extent[5];
            drawn d;
            for (uint64_t j = 0; j < 5; j++) extent[j] = pick(seed * 5 + j, 1, 12);
            draw(&d, &topks[i], extent);
            compare_row(&topks[i], &d, TN_F32);
            compare_row(&topks[i], &d, TN_I32);
        }
}

TN_TEST_MAIN({"first places are those of the whole order",
              first_places_are_those_of_the_whole_order},
             {"there may be no lines", there_may_be_no_lines},
             {"topk takes the selection", topk_takes_the_selection},
             {"topk agrees with the reference", topk_agrees_with_the_reference})
