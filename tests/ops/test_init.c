// tests/ops/test_init.c: _zeros, _ones, _full, _arange, zeros_like, ones_like.
#include "tests/tn_numeric.h"

static void check(const char *op, const char *params, tn_dtype dtype, const double *wanted,
                  size_t n)
{
    tn_fresh();
    tn_exec *e = tn_try(tn_op0(op, params), .wrt = NULL);
    if (!tn_check_values(__LINE__, __FILE__, tn_out(e, 0), wanted, n, 1e-6))
        printf("\n    in %s(%s)\n", op, params);
    CU_ASSERT(e && tn_tensor_dtype(tn_out(e, 0)) == dtype);
    tn_exec_free(e);
}
#define CHECK(op, params, dtype, ...)                       \
    check(op, params, dtype, (const double[]){__VA_ARGS__}, \
          sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

static void constants(void)
{
    CHECK("_zeros", "shape=(2,2)", TN_F32, 0, 0, 0, 0);
    CHECK("_ones", "shape=(2,); dtype=int64", TN_I64, 1, 1);
    CHECK("_ones", "shape=(2,); dtype=float16", TN_F16, 1, 1);
    CHECK("_full", "shape=(3,); value=2.5; dtype=float64", TN_F64, 2.5, 2.5, 2.5);
    CHECK("_full", "shape=(1,); value=2.5; dtype=int32", TN_I32, 2);
}

static void arange_counts(void)
{
    CHECK("_arange", "start=3", TN_F32, 0, 1, 2);
    CHECK("_arange", "start=1; stop=2; step=0.3", TN_F32, 1, 1.3, 1.6, 1.9);
    CHECK("_arange", "start=5; stop=0; step=-2", TN_F32, 5, 3, 1);
    CHECK("_arange", "start=0; stop=2; repeat=3; dtype=int32", TN_I32, 0, 0, 0, 1, 1, 1);
    CHECK("_arange", "start=9007199254740990; stop=9007199254740992; dtype=int64", TN_I64,
          9007199254740990, 9007199254740991);
}

static void arange_may_take_its_length_from_elsewhere(void)
{
    const tn_symbol range = tn_op0("_arange", "start=5; infer_range=1");
    tn_exec *e = tn_try(tn_op("elemwise_add", NULL, tn_var("x"), range),
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(3), 10, 20, 30)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 15, 26, 37);
    tn_exec_free(e);
}

static void likes_take_shape_and_dtype(void)
{
    tn_exec *e = tn_try(tn_op("ones_like", NULL, tn_var("x")), .wrt = "x",
                        .given = TN_TENSORS({"x", TN_TENSOR(TN_F64, TN_DIMS(1, 2), 7, 8)}));
    TN_CHECK_DIMS(tn_out(e, 0), 1, 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 1);
    CU_ASSERT(e && tn_tensor_dtype(tn_out(e, 0)) == TN_F64);
    tn_back(e, {NULL, TN_TENSOR(TN_F64, TN_DIMS(1, 2), 1, 1)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 0);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("zeros_like", NULL, tn_var("x")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_I8, TN_DIMS(2), 7, 8)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 0);
    tn_exec_free(e);
}

TN_TEST_MAIN({"constants", constants}, {"_arange counts", arange_counts},
             {"_arange may take its length from elsewhere",
              arange_may_take_its_length_from_elsewhere},
             {"likes take shape and dtype", likes_take_shape_and_dtype})
