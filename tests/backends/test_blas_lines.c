// tests/backends/test_blas_lines.c: convolutions of one or two filters or channels in a group on
// the blas backend, which are sums of lines, against the reference: odd shapes, many groups, pads
// larger than the kernel, numbers that are not finite; and the same bits for any number of threads.
#include "random_rows.h"

// Shapes that are the data's, the weight's and the result's of one Convolution. With $a and a: so
// many groups of one channel.
static const random_row rows[] = {
    ROW("Convolution", "kernel=(3,3); pad=(1,1); num_filter=$a; num_group=$a",
        "c,a,b9,d9 a,1,3,3 a"),
    ROW("Convolution", "kernel=(5,5); pad=(2,2); stride=(2,2); num_filter=$a; num_group=$a",
        "c,a,b9,d9 a,1,5,5 a"),
    ROW("Convolution", "kernel=(7,7); pad=(9,8); num_filter=5; num_group=5", "c,5,b,d 5,1,7,7 5"),
    ROW("Convolution", "kernel=(3,3); pad=(2,4); dilate=(2,3); num_filter=6; num_group=3",
        "c,3,b9,d9 6,1,3,3 6"),
    ROW("Convolution", "kernel=(3,3); stride=(3,1); num_filter=4; num_group=4; no_bias=1",
        "c,4,b9,d9 4,1,3,3"),
    ROW("Convolution", "kernel=(2,3); stride=(1,2); pad=(1,0); num_filter=2; num_group=2",
        "c,4,b9,d9 2,2,2,3 2"),
    ROW("Convolution", "kernel=(3,3); pad=(1,1); num_filter=1", "c,d,b9,a9 1,d,3,3 1"),
    ROW("Convolution", "kernel=(3,3); stride=(2,2); pad=(1,1); num_filter=2",
        "c,d,b9,a9 2,d,3,3 2"),
    ROW("Convolution", "kernel=(9,); pad=(4,); num_filter=$a; num_group=$a", "c,a,b9 a,1,9 a"),
    ROW("Convolution", "kernel=(4,); stride=(3,); num_filter=$a; num_group=$a", "c,a,b9 a,1,4 a"),
    ROW("Convolution", "kernel=(3,3,3); pad=(1,1,1); num_filter=$a; num_group=$a",
        "2,a,4,b,d9 a,1,3,3,3 a"),
    ROW("Convolution", "kernel=(2,3,2); stride=(2,2,2); pad=(1,1,1); num_filter=3; num_group=3",
        "2,3,4,b,d9 3,1,2,3,2 3"),
    ROW("Convolution", "kernel=(12,11); pad=(6,5); num_filter=3; num_group=3", // too many elements
        "2,3,b9,d9 3,1,12,11 3"),
    ROW("_backward_Convolution_data", "kernel=(3,3); pad=(1,1); num_filter=$a; num_group=$a",
        "c,a,b,d a,1,3,3 c,a,b,d"),
    ROW("_backward_Convolution_data", "kernel=(3,3); pad=(1,1); num_filter=6; num_group=3",
        "c,6,b,d 6,1,3,3 c,3,b,d"),
    ROW("_backward_Convolution_data",
        "kernel=(3,3); pad=(1,1); stride=(2,2); num_filter=$a; num_group=$a",
        "c,a,5,9 a,1,3,3 c,a,9,17"),
    ROW("_backward_Convolution_data",
        "kernel=(3,3); pad=(1,1); stride=(2,2); num_filter=$a; num_group=$a",
        "c,a,5,9 a,1,3,3 c,a,10,18"),
    ROW("_backward_Convolution_data",
        "kernel=(5,5); pad=(2,2); stride=(2,2); num_filter=$a; num_group=$a",
        "c,a,4,7 a,1,5,5 c,a,7,14"),
    ROW("_backward_Convolution_data",
        "kernel=(2,3); pad=(0,5); stride=(3,1); dilate=(2,3); num_filter=4; num_group=4",
        "c,4,4,14 4,1,2,3 c,4,13,10"),
    ROW("_backward_Convolution_data", "kernel=(4,); stride=(4,); num_filter=3; num_group=3",
        "c,3,7 3,1,4 c,3,30"),
    ROW("_backward_Convolution_data",
        "kernel=(3,2,3); stride=(2,1,2); pad=(1,1,1); num_filter=2; num_group=2",
        "c,2,3,5,6 2,1,3,2,3 c,2,5,4,11"),
    ROW("_backward_Convolution_data", "kernel=(2,2); stride=(5,5); num_filter=2; num_group=2",
        "c,2,3,4 2,1,2,2 c,2,14,17"), // more lines than there may be
    ROW("_backward_Convolution_weight", "kernel=(3,3); pad=(1,1); num_filter=$a; num_group=$a",
        "c,a,b,d c,a,b,d a,1,3,3"),
    ROW("_backward_Convolution_weight",
        "kernel=(5,5); pad=(2,2); stride=(2,2); num_filter=$a; num_group=$a",
        "c,a,5,8 c,a,9,16 a,1,5,5"),
    ROW("_backward_Convolution_weight",
        "kernel=(3,3); pad=(2,3); dilate=(2,3); num_filter=4; num_group=2",
        "c,4,b9,d9 c,4,b9,d9 4,2,3,3"),
    ROW("_backward_Convolution_weight", "kernel=(7,); pad=(3,); num_filter=$a; num_group=$a",
        "c,a,b c,a,b a,1,7"),
    ROW("_backward_Convolution_weight",
        "kernel=(3,2,3); stride=(2,1,2); pad=(1,1,1); num_filter=2; num_group=2",
        "c,2,3,5,6 c,2,5,4,11 2,1,3,2,3"),
    ROW("Deconvolution", "kernel=(4,4); stride=(2,2); pad=(1,1); num_filter=$a; num_group=$a",
        "c,a,b,d a,1,4,4"),
    ROW("Deconvolution",
        "kernel=(4,4); stride=(2,2); pad=(1,1); num_filter=3; num_group=3; no_bias=0",
        "c,3,b,d 3,1,4,4 3"),
    ROW("Deconvolution",
        "kernel=(3,3); stride=(2,2); target_shape=(10,12); num_filter=3; num_group=3",
        "c,3,5,6 3,1,3,3"),
    ROW("Deconvolution", "kernel=(3,); stride=(2,); adj=(1,); num_filter=4; num_group=2",
        "c,4,b 4,2,3"),
};
static const random_rows all = {sizeof rows / sizeof *rows, rows};

static void float32_agrees_with_the_reference(void)
{
    if (!ready()) return;
    for (uint64_t seed = 0; seed < 5; seed++) compare_all(all, TN_F32, seed, 1, 12);
}

static void float64_agrees_with_the_reference(void)
{
    if (!ready()) return;
    for (uint64_t seed = 5; seed < 9; seed++) compare_all(all, TN_F64, seed, 1, 12);
}

static void sixteen_bits_agree_with_the_reference(void)
{
    if (!ready()) return;
    compare_all(all, TN_F16, 9, 1, 9);
    compare_all(all, TN_BF16, 10, 1, 9);
}

static void empty_tensors_agree_with_the_reference(void)
{
    if (!ready()) return;
    for (uint64_t seed = 20; seed < 24; seed++) compare_all(all, TN_F32, seed, 0, 2);
}

// Each dtype's numbers with some that are not finite, in corners and inside: pads must not meet
// them. Of the second input only in the first half, so that some channels stay finite.
static tn_tensor *with_infinities(size_t i, tn_dtype dtype, const tn_shape *shape)
{
    tn_tensor *t = tn_sample(dtype, (tn_dims){(size_t)shape->ndim, shape->dim}, -1, 1, 3 + i);
    const int64_t n = tn_tensor_size(t), end = i == 1 ? n / 2 : n;
    for (int64_t at = i == 0 ? 0 : 1; at < end; at += i == 0 ? 61 : 5 + at) {
        const double v = at % 3 == 0   ? (double)INFINITY
                         : at % 3 == 1 ? (double)NAN
                                       : -(double)INFINITY;
        if (dtype == TN_F32)
            ((float *)tn_tensor_data(t))[at] = (float)v;
        else
            ((double *)tn_tensor_data(t))[at] = v;
    }
    return t;
}

static void infinities_and_nans_meet_no_pad(void)
{
    static const int64_t extent[5] = {6, 7, 3, 5, 4};
    if (!ready()) return;
    for (size_t i = 0; i < all.n; i++) {
        random_row r = rows[i];
        drawn d;
        r.value = with_infinities;
        draw(&d, &r, extent);
        compare_row(&r, &d, TN_F32);
        compare_row(&r, &d, TN_F64);
        same_bits(&r, &d);
    }
}

// Planes that are cut into bands, of one channel and of several; many images in one sum.
static const random_row large[] = {
    ROW("Convolution", "kernel=(3,3); pad=(1,1); num_filter=6; num_group=6",
        "2,6,150,131 6,1,3,3 6"),
    ROW("Convolution", "kernel=(5,5); pad=(2,2); stride=(2,2); num_filter=3; num_group=3",
        "2,3,151,130 3,1,5,5 3"),
    ROW("Convolution", "kernel=(3,3); pad=(1,1); num_filter=1", "2,60,56,57 1,60,3,3 1"),
    ROW("Convolution", "kernel=(9,); pad=(4,); num_filter=2; num_group=2", "2,2,20001 2,1,9 2"),
    ROW("Convolution", "kernel=(3,3,3); pad=(1,1,1); num_filter=4; num_group=4",
        "1,4,17,30,31 4,1,3,3,3 4"),
    ROW("_backward_Convolution_data",
        "kernel=(3,3); pad=(1,1); stride=(2,2); num_filter=3; num_group=3",
        "2,3,91,80 3,1,3,3 2,3,182,159"),
    ROW("_backward_Convolution_data",
        "kernel=(4,); pad=(1,); stride=(2,); num_filter=2; num_group=2",
        "2,2,9000 2,1,4 2,2,18000"),
    ROW("_backward_Convolution_data", "kernel=(5,); stride=(3,); num_filter=2; num_group=2",
        "2,2,9000 2,1,5 2,2,27003"),
    ROW("_backward_Convolution_weight", "kernel=(3,3); pad=(1,1); num_filter=6; num_group=6",
        "3,6,150,131 3,6,150,131 6,1,3,3"),
    ROW("_backward_Convolution_weight",
        "kernel=(5,5); pad=(2,2); stride=(2,2); num_filter=9; num_group=9",
        "40,9,14,14 40,9,28,27 9,1,5,5"),
    ROW("_backward_Convolution_weight", "kernel=(3,3); pad=(1,1); num_filter=2; num_group=1",
        "4,2,30,31 4,20,30,31 2,20,3,3"),
    ROW("Deconvolution", "kernel=(4,4); stride=(2,2); pad=(1,1); num_filter=5; num_group=5",
        "2,5,60,70 5,1,4,4"),
};

static void large_planes_are_cut_into_bands(void)
{
    if (!ready()) return;
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        const drawn d = {.row = {large[i].op, large[i].params, large[i].shapes}};
        random_row r = large[i];
        r.lo = -1, r.hi = 1;
        compare_row(&r, &d, TN_F32);
        compare_row(&r, &d, TN_F64);
        same_bits(&r, &d);
    }
}

// Whoever takes these calls says that it did so by lines.
static void such_convolutions_run_by_lines(void)
{
    if (!ready()) return;
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        const drawn d = {.row = {large[i].op, large[i].params, large[i].shapes}};
        tn_exec *e = bind_row(&d, "blas", TN_F32, 2);
        CU_ASSERT_FATAL(e != NULL);
        TN_CHECK_HAS(tn_exec_report_json(e), "\"lines\"");
        tn_exec_free(e);
    }
}

TN_TEST_MAIN({"float32 agrees with the reference", float32_agrees_with_the_reference},
             {"float64 agrees with the reference", float64_agrees_with_the_reference},
             {"sixteen bits agree with the reference", sixteen_bits_agree_with_the_reference},
             {"empty tensors agree with the reference", empty_tensors_agree_with_the_reference},
             {"infinities and NaNs meet no pad", infinities_and_nans_meet_no_pad},
             {"large planes are cut into bands", large_planes_are_cut_into_bands},
             {"such convolutions run by lines", such_convolutions_run_by_lines})
