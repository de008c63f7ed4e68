// tests/ops/test_sequence.c: SequenceLast, SequenceMask, SequenceReverse.
#include <math.h>

#include "tests/tn_numeric.h"

// Three steps of two sequences, each of one number; lengths as given.
static tn_exec *sequences(const char *op, const char *params, tn_tensor *lengths)
{
    tn_fresh();
    return tn_try(tn_op(op, params, tn_var("x"), tn_var("n")), .wrt = "x",
                  .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(3, 2, 1), 1, 2, 3, 4, 5, 6)},
                                      {"n", lengths}));
}

static tn_exec *whole(const char *op)
{
    tn_fresh();
    return tn_try(tn_op(op, NULL, tn_var("x")), .wrt = "x",
                  .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(3, 2), 1, 2, 3, 4, 5, 6)}));
}

static void last_steps(void)
{
    tn_exec *e =
        sequences("SequenceLast", "use_sequence_length=1", TN_TENSOR(TN_I32, TN_DIMS(2), 2, 3));
    TN_CHECK_DIMS(tn_out(e, 0), 2, 1);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, 6);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(2, 1), 7, 8)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 0, 0, 7, 0, 0, 8);
    tn_exec_free(e);
    e = whole("SequenceLast");
    TN_CHECK_DIMS(tn_out(e, 0), 2);
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 6);
    tn_exec_free(e);
}

static void an_empty_sequence_has_no_last_step(void)
{
    tn_exec *e =
        sequences("SequenceLast", "use_sequence_length=1", TN_TENSOR(TN_F32, TN_DIMS(2), 0, 1));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 0, 2);
    tn_exec_free(e);
}

// What is masked does not count, not even if it is not a number.
static void masked_steps(void)
{
    tn_exec *e = sequences("SequenceMask", "use_sequence_length=1; value=-1",
                           TN_TENSOR(TN_F32, TN_DIMS(2), 1, 5));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, -1, 4, -1, 6);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(3, 2, 1), 1, 2, 3, 4, 5, 6)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 1, 2, 0, 4, 0, 6);
    tn_exec_free(e);
    e = whole("SequenceMask");
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 2, 3, 4, 5, 6);
    tn_exec_free(e);
    tn_fresh();
    e = tn_try(tn_op("SequenceMask", "use_sequence_length=1", tn_var("x"), tn_var("n")),
               .given = TN_TENSORS({"x", TN_TENSOR(TN_F32, TN_DIMS(2, 1), 1, NAN)},
                                   {"n", TN_TENSOR(TN_I64, TN_DIMS(1), 1)}));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 1, 0);
    tn_exec_free(e);
}

static void reversed_steps(void)
{
    tn_exec *e =
        sequences("SequenceReverse", "use_sequence_length=1", TN_TENSOR(TN_U8, TN_DIMS(2), 2, 3));
    TN_CHECK_VALUES(tn_out(e, 0), 0, 3, 6, 1, 4, 5, 2);
    tn_back(e, {NULL, TN_TENSOR(TN_F32, TN_DIMS(3, 2, 1), 1, 2, 3, 4, 5, 6)});
    TN_CHECK_VALUES(tn_grad(e, "x"), 0, 3, 6, 1, 4, 5, 2);
    tn_exec_free(e);
    e = whole("SequenceReverse");
    TN_CHECK_VALUES(tn_out(e, 0), 0, 5, 6, 3, 4, 1, 2);
    tn_exec_free(e);
}

static void gradients_agree_with_differences(void)
{
    // lengths are the whole parts of samples in lo … hi: from 0 to beyond the last step
    TN_CHECK_CASES(
        TN_CASE("SequenceLast", NULL, "3,2,2"), TN_CASE("SequenceLast", NULL, "1,4"),
        TN_CASE("SequenceLast", "use_sequence_length=1", "3,2,2 2", .lo = 1, .hi = 3.9,
                .fixed = "1"),
        TN_CASE("SequenceLast", "use_sequence_length=1", "4,6 6", .hi = 6, .fixed = "1"),
        TN_CASE("SequenceLast", "use_sequence_length=1", "2,3,1,2 3", .hi = 3, .fixed = "1"));
    TN_CHECK_CASES(TN_CASE("SequenceMask", NULL, "3,2,2"),
                   TN_CASE("SequenceMask", "value=4", "2,3"),
                   TN_CASE("SequenceMask", "use_sequence_length=1; value=3", "4,3,2 3", .lo = 1,
                           .hi = 3.9, .fixed = "1"),
                   TN_CASE("SequenceMask", "use_sequence_length=1", "4,6 6", .hi = 6, .fixed = "1"),
                   TN_CASE("SequenceMask", "use_sequence_length=1; value=-1", "3,3,2,2 3", .hi = 4,
                           .fixed = "1"));
    TN_CHECK_CASES(
        TN_CASE("SequenceReverse", NULL, "4,3"), TN_CASE("SequenceReverse", NULL, "1,2,3"),
        TN_CASE("SequenceReverse", "use_sequence_length=1", "4,3,2 3", .lo = 1, .hi = 3.9,
                .fixed = "1"),
        TN_CASE("SequenceReverse", "use_sequence_length=1", "5,6 6", .hi = 5.9, .fixed = "1"),
        TN_CASE("SequenceReverse", "use_sequence_length=1", "3,2,2,2 2", .hi = 3.9, .fixed = "1"));
}

TN_TEST_MAIN({"last steps", last_steps},
             {"an empty sequence has no last step", an_empty_sequence_has_no_last_step},
             {"masked steps", masked_steps}, {"reversed steps", reversed_steps},
             {"gradients agree with differences", gradients_agree_with_differences})
