// tests/ops/test_rows.c: the derivative of every elementwise row agrees with central differences.
#include "row_samples.h"

static void derivatives_of_all_rows_agree_with_differences(void)
{
    size_t rows = 0;
    for (size_t i = 0; i < tn_env_num_ops(bench.env); i++) {
        tn_case cases[ROW_SAMPLES];
        const size_t n = row_samples(tn_env_op(bench.env, i)->name, cases);
        if (!n) continue;
        tn_check_cases(__LINE__, __FILE__, cases, n);
        rows++;
    }
    CU_ASSERT(rows > 60);
}

TN_TEST_MAIN({"derivatives of all rows agree with differences",
              derivatives_of_all_rows_agree_with_differences})
