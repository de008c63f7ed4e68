// tests/backends/test_blas_along.c: looking up and adding up by indices on the blas backend against
// the reference, bit by bit: the elements are small whole numbers, NaN, infinities and zeros,
// indices go out of range at both ends, and rows, columns and indices are few and many.
#include "random_rows.h"

// Elements are whole numbers, in some rows with others; indices (input `index` of the row) are from
// -3 on, and of float dtypes have fractions.
static size_t index_input;
static int64_t extent_of_axis;
static bool with_specials;

static tn_tensor *value(size_t i, tn_dtype dtype, const tn_shape *shape)
{
    static const double special[] = {-0.0, 0.0, INFINITY, -INFINITY, NAN};
    const int64_t n = tn_shape_size(shape);
    const bool real = dtype == TN_F32 || dtype == TN_F64 || dtype == TN_F16 || dtype == TN_BF16;
    double *v = malloc(((size_t)n + 1) * sizeof *v);
    CU_ASSERT_FATAL(v != NULL);
    for (int64_t at = 0; at < n; at++) {
        v[at] = (double)pick((uint64_t)(at * 3) + i, -5, 5);
        if (i == index_input) v[at] = (double)pick((uint64_t)at, -3, extent_of_axis + 2);
        if (i == index_input && real) v[at] += 0.25;
        if (i != index_input && real && with_specials && at % 7 == 3)
            v[at] = special[pick((uint64_t)at, 0, 4)];
    }
    return tensor_of(v, dtype, shape);
}

typedef struct along_row {
    random_row row;
    int64_t extent;
} along_row;

#define ALONG(extent_, op_, params_, ...)                 \
    {                                                     \
        ROW(op_, params_, __VA_ARGS__), .extent = extent_ \
    }
static const along_row rows[] = {
    ALONG(9, "_take_along", "axis=1", "3,9 3,4"),
    ALONG(9, "_take_along", "axis=1", "3,9 3,1"),
    ALONG(700, "_take_along", "axis=1", "3,700 3,600"),
    ALONG(700, "_take_along", "axis=1", "4,700 1,600"), // the same index for all lines
    ALONG(40, "_take_along", "axis=1", "2,40 1,50"),
    ALONG(5, "_take_along", "axis=0", "5,300 9,300"),
    ALONG(5, "_take_along", "axis=0", "5,300 9,1"),
    ALONG(5, "_take_along", "axis=1", "3,5,4,6 1,7,1,6"),
    ALONG(5, "_take_along", "axis=1", "3,5,4,6 3,7,4,1"),
    ALONG(5, "_take_along", "axis=1", "3,5,4,6 3,7,4,6"),
    ALONG(5, "_take_along", "axis=1", "3,5,1 3,8,1"),
    ALONG(6, "_take_along", "axis=-1", "2,3,6 2,1,3"),
    ALONG(9, "_backward_take_along", "axis=1", "3,4 3,4 3,9"),
    ALONG(9, "_backward_take_along", "axis=1", "700,1 700,1 700,9"), // one for each line
    ALONG(9, "_backward_take_along", "axis=1", "70,1 1,1 70,9"),
    ALONG(700, "_backward_take_along", "axis=1", "3,600 3,600 3,700"),
    ALONG(700, "_backward_take_along", "axis=1", "4,600 1,600 4,700"),
    ALONG(5, "_backward_take_along", "axis=0", "9,300 9,300 5,300"),
    ALONG(5, "_backward_take_along", "axis=0", "9,300 9,1 5,300"),
    ALONG(3000, "_backward_take_along", "axis=0", "90,37 90,37 3000,37"), // in blocks of columns
    ALONG(3000, "_backward_take_along", "axis=0", "90,37 90,1 3000,37"),
    ALONG(5, "_backward_take_along", "axis=1", "3,7,4,6 1,7,1,6 3,5,4,6"),
    ALONG(5, "_backward_take_along", "axis=1", "3,7,4,6 3,7,4,1 3,5,4,6"),
    ALONG(5, "_backward_take_along", "axis=1", "3,7,4,6 3,7,4,6 3,5,4,6"),
    ALONG(5, "_backward_take_along", "axis=1", "3,8,1 3,8,1 3,5,1"),
    ALONG(4, "_backward_take_along", "axis=1", "3,0 3,0 3,4"),
    ALONG(9, "_backward_take", NULL, "600,3 600 9,3"), // sums of all rows in a cache
    ALONG(9, "_backward_take", NULL, "30,20,3 30,20 9,3"),
    ALONG(90, "_backward_take", NULL, "500 500 90"),
    ALONG(50, "_backward_take", "axis=1", "4,300 300 4,50"),
    ALONG(50, "_backward_take", "axis=1; mode=wrap", "2,70,40 70 2,50,40"),
    ALONG(20, "_backward_take", NULL, "100,300 100 20,300"),
    ALONG(9000, "_backward_take", NULL, "700,30 700 9000,30"), // lists
    ALONG(9000, "_backward_take", NULL, "70,300 70 9000,300"),
    ALONG(9000, "_backward_take", "axis=1", "2,700,17 700 2,9000,17"),
    ALONG(9000, "_backward_take", NULL, "7,3 7 9000,3"), // few
    ALONG(900, "_backward_take", "axis=1; mode=wrap", "3,20,5 20 3,900,5"),
    ALONG(9, "_backward_take", NULL, "0,3 0 9,3"),
    ALONG(9, "_backward_Embedding", "input_dim=9; output_dim=4", "7,8,4 7,8 9,4"),
};

static bool the_same(const along_row *r, tn_dtype dtype)
{
    tn_exec *e[3] = {NULL, NULL, NULL};
    random_row row = r->row;
    const drawn d = {.row = {row.op, row.params, row.shapes}};
    row.value = value;
    index_input = 1;
    extent_of_axis = r->extent;
    for (int i = 0; i < 3; i++) e[i] = run_row(&row, &d, i ? "blas" : "reference", dtype, 3 * i);
    bool same = e[0] && e[1] && e[2];
    for (int i = 1; same && i < 3; i++) {
        tn_tensor *a = tn_exec_output(e[i], 0), *b = tn_exec_output(e[0], 0);
        same = tn_tensor_bytes(a) == tn_tensor_bytes(b);
        for (int64_t at = 0; same && at < tn_tensor_size(b); at++) {
            const double g = tn_tensor_at(a, at), w = tn_tensor_at(b, at);
            same = (isnan(g) && isnan(w)) || (g == w && signbit(g) == signbit(w));
        }
    }
    for (int i = 0; i < 3; i++) tn_exec_free(e[i]);
    return same;
}

static void indices_say_where_elements_go(void)
{
    static const tn_dtype dtypes[] = {TN_F32, TN_F64, TN_F16, TN_BF16, TN_I8,
                                      TN_U8,  TN_I32, TN_I64, TN_BOOL};
    if (!ready()) return;
    for (int special = 0; special < 2; special++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
                if (rows[i].extent > 5000 && dtypes[d] != TN_F32 && dtypes[d] != TN_I64) continue;
                with_specials = special;
                const bool same = the_same(&rows[i], dtypes[d]);
                CU_ASSERT(same);
                if (!same)
                    printf("\n    %s(%s) of %s, %s\n", rows[i].row.op,
                           rows[i].row.params ? rows[i].row.params : "", rows[i].row.shapes,
                           tn_dtype_name(dtypes[d]));
            }
}

// Sums that round: the order of the part alone decides.
static void any_number_of_threads_gives_the_same_bits(void)
{
    if (!ready()) return;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        random_row r = rows[i].row;
        const drawn d = {.row = {r.op, r.params, r.shapes}};
        r.lo = -3, r.hi = (double)rows[i].extent;
        same_bits(&r, &d);
        compare_row(&r, &d, TN_F32);
    }
}

// Each way of adding up is taken by the call that is meant for it.
static void gradients_choose_their_way(void)
{
    static const struct {
        const char *shapes, *way;
    } cases[] = {{"600,3 600 9,3", "\"dense\""},
                 {"700,30 700 9000,30", "\"lists\""},
                 {"7,3 7 9000,3", "\"sparse\""}};
    if (!ready()) return;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const drawn d = {.row = {"_backward_take", NULL, cases[i].shapes}};
        tn_exec *e = bind_row(&d, "blas", TN_F32, 2);
        CU_ASSERT_FATAL(e != NULL);
        TN_CHECK_HAS(tn_exec_report_json(e), cases[i].way);
        tn_exec_free(e);
    }
}

static void masks_replace_what_is_behind_the_ends(void)
{
    static const random_row masks[] = {
        ROW("SequenceMask", "use_sequence_length=1", "9,7,5 7"),
        ROW("SequenceMask", "use_sequence_length=1; value=3", "9,7 7"),
        ROW("SequenceMask", "use_sequence_length=1; value=-2", "40,3,20,50 3"),
        ROW("SequenceMask", "value=3", "9,7,5"),
        ROW("SequenceMask", "use_sequence_length=1", "0,7,5 7"),
        ROW("SequenceMask", "use_sequence_length=1", "9,0,5 0"),
    };
    static const tn_dtype dtypes[] = {TN_F32, TN_F64, TN_F16, TN_BF16,
                                      TN_I8,  TN_U8,  TN_I32, TN_I64};
    if (!ready()) return;
    with_specials = true;
    index_input = 1;
    extent_of_axis = 9;
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++)
        for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
            random_row r = masks[i];
            const drawn call = {.row = {r.op, r.params, r.shapes}};
            r.value = value;
            CU_ASSERT(tn_env_backend_has(bench.env, backend_index("blas"), r.op, dtypes[d]));
            compare_row(&r, &call, dtypes[d]);
            if (dtypes[d] == TN_F32) same_bits(&r, &call);
        }
}

TN_TEST_MAIN({"indices say where elements go", indices_say_where_elements_go},
             {"any number of threads gives the same bits",
              any_number_of_threads_gives_the_same_bits},
             {"gradients choose their way", gradients_choose_their_way},
             {"masks replace what is behind the ends", masks_replace_what_is_behind_the_ends})
