// tests/files/test_tensor.c: tensors: making, viewing, converting, copying; and the 16-bit floats.
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/half.h>

#include "core/exec/exec.h"
#include "tests/tn_test.h"

static const tn_dtype all_dtypes[] = {TN_F32, TN_F64, TN_F16,  TN_U8,  TN_I32,
                                      TN_I8,  TN_I64, TN_BOOL, TN_BF16};
enum { N_DTYPES = sizeof all_dtypes / sizeof *all_dtypes };

// ------------------------------------------------------------------ making

static void new_tensor_is_zeros_in_aligned_host_memory(void)
{
    for (int i = 0; i < N_DTYPES; i++) {
        tn_tensor *t = tn_tensor_new(bench.env, all_dtypes[i], TN_DIMS(3, 5));
        if (!t) {
            CU_FAIL("no tensor");
            return;
        }
        CU_ASSERT_EQUAL(tn_tensor_dtype(t), all_dtypes[i]);
        CU_ASSERT_EQUAL(tn_tensor_size(t), 15);
        CU_ASSERT_EQUAL(tn_tensor_bytes(t), 15 * tn_dtype_size(all_dtypes[i]));
        CU_ASSERT_EQUAL((uintptr_t)tn_tensor_data(t) % 64, 0);
        TN_CHECK_STR(tn_tensor_device(t), "host");
        for (int64_t k = 0; k < 15; k++) CU_ASSERT_EQUAL(tn_tensor_at(t, k), 0);
        tn_tensor_release(t);
    }
}

static void tensors_may_be_scalars_or_empty(void)
{
    tn_tensor *scalar = tn_tensor_new(bench.env, TN_F32, TN_SCALAR);
    CU_ASSERT_EQUAL(tn_tensor_size(scalar), 1);
    CU_ASSERT_EQUAL(tn_tensor_shape(scalar).ndim, 0);
    tn_tensor *empty = tn_tensor_new(bench.env, TN_I64, TN_DIMS(4, 0, 2));
    CU_ASSERT_EQUAL(tn_tensor_size(empty), 0);
    CU_ASSERT_EQUAL(tn_tensor_set(empty, NULL, 0), TN_OK);
    CU_ASSERT_EQUAL(tn_tensor_fill(empty, 3), TN_OK);
    tn_tensor_release(scalar);
    tn_tensor_release(empty);
    tn_tensor_release(NULL);
}

static void refuses(tn_tensor *t, tn_status status, const char *part)
{
    CU_ASSERT_PTR_NULL(t);
    CU_ASSERT_EQUAL(tn_env_status(bench.env), status);
    TN_CHECK_HAS(tn_env_error(bench.env), part);
    tn_tensor_release(t);
}

static void shapes_that_cannot_be_are_refused(void)
{
    tn_env *env = bench.env;
    refuses(tn_tensor_new(env, TN_F32, TN_DIMS(2, -1)), TN_E_INVALID, "axis 1");
    refuses(tn_tensor_new(env, TN_F32, (tn_dims){2, NULL}), TN_E_INVALID, "not given");
    refuses(tn_tensor_new(env, TN_F32, TN_DIMS(1, 1, 1, 1, 1, 1, 1, 1, 1)), TN_E_INVALID,
            "at most 8 axes, got 9");
    refuses(tn_tensor_new(env, 9, TN_DIMS(1)), TN_E_DTYPE, "dtype 9");
    refuses(tn_tensor_new(env, TN_F32, TN_DIMS(1 << 30, 1 << 30, 1 << 30)), TN_E_NOMEM, "bytes");
    refuses(tn_tensor_new(env, TN_F32, TN_DIMS(INT64_MAX)), TN_E_NOMEM, "bytes");
    // An empty axis does not make the product of the others harmless.
    refuses(tn_tensor_new(env, TN_F32, TN_DIMS(0, INT64_MAX, INT64_MAX)), TN_E_NOMEM, "bytes");
    refuses(tn_tensor_wrap(env, TN_F32, TN_DIMS(3), NULL), TN_E_INVALID, "12 bytes, got NULL");
    refuses(tn_tensor_from(env, TN_F32, TN_DIMS(3), NULL), TN_E_INVALID, "3 numbers, got NULL");
}

static void wrapped_memory_is_shared_not_copied(void)
{
    float x[4] = {1, 2, 3, 4};
    tn_tensor *t = tn_tensor_wrap(bench.env, TN_F32, TN_DIMS(2, 2), x);
    CU_ASSERT_PTR_EQUAL(tn_tensor_data(t), x);
    x[2] = 7;
    CU_ASSERT_EQUAL(tn_tensor_at(t, 2), 7);
    tn_tensor_fill(t, -1);
    CU_ASSERT_EQUAL(x[0], -1);
    tn_tensor_release(t);
    CU_ASSERT_EQUAL(x[3], -1);
}

// ------------------------------------------------------------------ views

static void views_share_memory_and_keep_it_alive(void)
{
    tn_tensor *t = TN_TENSOR(TN_I32, TN_DIMS(3, 2), 1, 2, 3, 4, 5, 6);
    tn_tensor *rows = tn_tensor_slice(t, 1, 3);
    tn_tensor *flat = tn_tensor_reshape(rows, TN_DIMS(4));
    tn_tensor *none = tn_tensor_slice(t, 2, 2);
    CU_ASSERT_EQUAL(tn_tensor_shape(rows).dim[0], 2);
    CU_ASSERT_EQUAL(tn_tensor_size(none), 0);
    tn_tensor_fill(rows, 9);
    TN_CHECK_VALUES(t, 0, 1, 2, 9, 9, 9, 9);
    tn_tensor_release(t);
    tn_tensor_release(rows);
    TN_CHECK_VALUES(flat, 0, 9, 9, 9, 9);
    tn_tensor_release(flat);
    tn_tensor_release(none);
}

static void views_outside_are_refused(void)
{
    tn_tensor *t = TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4);
    refuses(tn_tensor_slice(t, -1, 1), TN_E_INVALID, "begin -1");
    refuses(tn_tensor_slice(t, 2, 1), TN_E_INVALID, "begin 2, end 1");
    refuses(tn_tensor_slice(t, 0, 3), TN_E_INVALID, "end 3");
    refuses(tn_tensor_reshape(t, TN_DIMS(3)), TN_E_INVALID, "wanted 4 elements, got 3");
    tn_tensor *scalar = tn_tensor_new(bench.env, TN_F32, TN_SCALAR);
    refuses(tn_tensor_slice(scalar, 0, 1), TN_E_INVALID, "rank 0");
    tn_tensor_release(scalar);
    tn_tensor_release(t);
}

static void bytes_go_in_and_out_whole(void)
{
    const double x[3] = {1, 2, 3};
    double y[3] = {0};
    tn_tensor *t = tn_tensor_new(bench.env, TN_F64, TN_DIMS(3));
    CU_ASSERT_EQUAL(tn_tensor_set(t, x, sizeof x), TN_OK);
    CU_ASSERT_EQUAL(tn_tensor_get(t, y, sizeof y), TN_OK);
    CU_ASSERT_EQUAL(memcmp(x, y, sizeof x), 0);
    CU_ASSERT_EQUAL(tn_tensor_set(t, x, 23), TN_E_INVALID);
    TN_CHECK_HAS(tn_env_error(bench.env), "wanted 24 bytes, got 23");
    CU_ASSERT_EQUAL(tn_tensor_get(t, y, 25), TN_E_INVALID);
    CU_ASSERT_EQUAL(tn_tensor_at(t, 3), 0); // out of range
    CU_ASSERT_EQUAL(tn_tensor_at(t, -1), 0);
    tn_tensor_release(t);
}

// ------------------------------------------------------------------ conversion

static void small_integers_survive_any_conversion(void)
{
    const double x[5] = {0, 1, 2, 100, 127};
    for (int i = 0; i < N_DTYPES; i++) {
        if (all_dtypes[i] == TN_BOOL) continue;
        tn_tensor *from = tn_tensor_from(bench.env, all_dtypes[i], TN_DIMS(5), x);
        for (int j = 0; j < N_DTYPES; j++) {
            tn_tensor *to = tn_tensor_cast(from, all_dtypes[j]);
            CU_ASSERT_EQUAL(tn_tensor_dtype(to), all_dtypes[j]);
            for (int k = 0; k < 5; k++)
                CU_ASSERT_EQUAL(tn_tensor_at(to, k), all_dtypes[j] == TN_BOOL ? x[k] != 0 : x[k]);
            tn_tensor_release(to);
        }
        tn_tensor_release(from);
    }
}

static void converts(tn_dtype from, tn_dtype to, double x, double wanted)
{
    tn_tensor *a = tn_tensor_from(bench.env, from, TN_DIMS(1), &x);
    tn_tensor *b = tn_tensor_cast(a, to);
    const double got = tn_tensor_at(b, 0);
    CU_ASSERT(isnan(wanted) ? isnan(got) : got == wanted);
    tn_tensor_release(a);
    tn_tensor_release(b);
}

static void floats_are_cut_and_saturate_as_integers(void)
{
    converts(TN_F64, TN_I32, 2.9, 2);
    converts(TN_F64, TN_I32, -2.9, -2);
    converts(TN_F32, TN_I32, 1e30, INT32_MAX);
    converts(TN_F32, TN_I32, -1e30, INT32_MIN);
    converts(TN_F32, TN_I64, 1e30, (double)INT64_MAX);
    converts(TN_F64, TN_I64, -0x1p63, (double)INT64_MIN);
    converts(TN_F64, TN_U8, 300, 255);
    converts(TN_F64, TN_U8, -3, 0);
    converts(TN_F64, TN_U8, -0.5, 0);
    converts(TN_F16, TN_I8, -200, -128);
    converts(TN_F64, TN_I32, NAN, 0);
    converts(TN_F64, TN_I64, INFINITY, (double)INT64_MAX);
    converts(TN_I64, TN_I8, 1000, 127);
    converts(TN_I32, TN_U8, -1, 0);
    converts(TN_F64, TN_BOOL, 0.25, 1);
    converts(TN_F64, TN_BOOL, NAN, 1);
    converts(TN_F64, TN_BOOL, -0.0, 0);
}

static void floats_become_smaller_floats_by_rounding_once(void)
{
    converts(TN_F64, TN_F32, 1e300, INFINITY);
    converts(TN_F64, TN_F16, 65520, INFINITY);
    converts(TN_F64, TN_F16, 65519.99, 65504);
    converts(TN_F64, TN_BF16, 1 + 0x1p-8, 1); // a tie, to even
    converts(TN_F64, TN_BF16, 1 + 3 * 0x1p-8, 1 + 0x1p-6);
    // Through float32 the last bit would be lost and the tie then go to even.
    converts(TN_F64, TN_F16, 1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-10);
    converts(TN_F64, TN_BF16, 1 + 0x1p-8 + 0x1p-40, 1 + 0x1p-7);
    converts(TN_F64, TN_F16, -1 - 0x1p-11 + 0x1p-40, -1);
    converts(TN_F64, TN_F16, NAN, NAN);
    converts(TN_F64, TN_BF16, 3.5e38, INFINITY);
}

static void large_integers_stay_exact(void)
{
    const int64_t x[3] = {INT64_MAX, INT64_MIN, (1ll << 53) + 1};
    tn_tensor *t = tn_tensor_new(bench.env, TN_I64, TN_DIMS(3));
    tn_tensor *copy = tn_tensor_new(bench.env, TN_I64, TN_DIMS(3));
    tn_tensor_set(t, x, sizeof x);
    CU_ASSERT_EQUAL(tn_tensor_copy(copy, t), TN_OK);
    CU_ASSERT_EQUAL(memcmp(tn_tensor_data(copy), x, sizeof x), 0);
    tn_tensor *narrow = tn_tensor_cast(t, TN_I32);
    TN_CHECK_VALUES(narrow, 0, INT32_MAX, INT32_MIN, INT32_MAX);
    tn_tensor *single = tn_tensor_cast(t, TN_F32);
    TN_CHECK_VALUES(single, 0, 0x1p63, -0x1p63, 0x1p53);
    tn_tensor_release(t);
    tn_tensor_release(copy);
    tn_tensor_release(narrow);
    tn_tensor_release(single);
}

static void many_elements_are_converted_in_pieces(void)
{
    enum { N = 5000 };
    tn_tensor *t = tn_tensor_new(bench.env, TN_F32, TN_DIMS(N));
    float *x = tn_tensor_data(t);
    for (int i = 0; i < N; i++) x[i] = (float)i;
    tn_tensor *wide = tn_tensor_cast(t, TN_I64);
    const int64_t *y = tn_tensor_data(wide);
    int wrong = 0;
    for (int i = 0; i < N; i++) wrong += y[i] != i;
    CU_ASSERT_EQUAL(wrong, 0);
    tn_tensor_release(t);
    tn_tensor_release(wide);
}

static void copy_wants_as_many_elements(void)
{
    tn_tensor *a = TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4);
    tn_tensor *b = tn_tensor_new(bench.env, TN_I32, TN_DIMS(4));
    tn_tensor *c = tn_tensor_new(bench.env, TN_I32, TN_DIMS(3));
    CU_ASSERT_EQUAL(tn_tensor_copy(b, a), TN_OK);
    TN_CHECK_VALUES(b, 0, 1, 2, 3, 4);
    CU_ASSERT_EQUAL(tn_tensor_copy(c, a), TN_E_INVALID);
    TN_CHECK_HAS(tn_env_error(bench.env), "wanted 4 elements as src has, got 3");
    refuses(tn_tensor_cast(a, 99), TN_E_DTYPE, "dtype 99");
    // Parts of one tensor may overlap.
    tn_tensor *first = tn_tensor_slice(b, 0, 3), *last = tn_tensor_slice(b, 1, 4);
    CU_ASSERT_EQUAL(tn_tensor_copy(last, first), TN_OK);
    TN_CHECK_VALUES(b, 0, 1, 1, 2, 3);
    tn_tensor_release(first);
    tn_tensor_release(last);
    tn_tensor_release(a);
    tn_tensor_release(b);
    tn_tensor_release(c);
}

static void fill_converts_its_value(void)
{
    for (int i = 0; i < N_DTYPES; i++) {
        tn_tensor *t = tn_tensor_new(bench.env, all_dtypes[i], TN_DIMS(300, 301));
        CU_ASSERT_EQUAL(tn_tensor_fill(t, 2.5), TN_OK);
        const bool whole = all_dtypes[i] == TN_U8 || all_dtypes[i] == TN_I8 ||
                           all_dtypes[i] == TN_I32 || all_dtypes[i] == TN_I64;
        const double wanted = all_dtypes[i] == TN_BOOL ? 1 : whole ? 2 : 2.5;
        CU_ASSERT_EQUAL(tn_tensor_at(t, 0), wanted);
        CU_ASSERT_EQUAL(tn_tensor_at(t, 300 * 301 - 1), wanted);
        tn_tensor_release(t);
    }
}

// ------------------------------------------------------------------ sharing

static void *hold_and_let_go(void *t)
{
    for (int i = 0; i < 20000; i++) {
        tn_tensor *view = tn_tensor_slice(tn_tensor_retain(t), 0, 1);
        tn_tensor_release(view);
        tn_tensor_release(t);
    }
    return NULL;
}

static void counting_is_safe_between_threads(void)
{
    tn_tensor *t = TN_TENSOR(TN_F32, TN_DIMS(2), 4, 5);
    pthread_t thread[3];
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(pthread_create(&thread[i], NULL, hold_and_let_go, t), 0);
    for (int i = 0; i < 3; i++) pthread_join(thread[i], NULL);
    CU_ASSERT_EQUAL(atomic_load(&t->refs), 1);
    CU_ASSERT_EQUAL(atomic_load(&t->storage->refs), 1);
    TN_CHECK_VALUES(t, 0, 4, 5);
    tn_tensor_release(t);
}

static tni_device *far_device(uint32_t i)
{
    if (tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/far.so")) {
        CU_ASSERT_EQUAL(tn_env_status(bench.env), TN_E_EXISTS); // it is loaded already
    }
    const tni_registry *r = tni_env_registry(bench.env);
    for (uint32_t b = 0; b < r->n_backends; b++)
        if (!strcmp(r->backends[b]->entry.name, "far") && r->backends[b]->n_devices > i)
            return &r->backends[b]->devices[i];
    return NULL;
}

static tn_tensor *far_tensor(tni_device *device, tn_dtype dtype, int64_t n)
{
    const tn_shape shape = {.ndim = 1, .dim = {n}};
    tni_storage *s = tni_storage_new(bench.env, device, (uint64_t)n * tn_dtype_size(dtype));
    if (!s) return NULL;
    tn_tensor *t = tni_tensor_over(bench.env, s, 0, dtype, &shape);
    tni_storage_release(s);
    return t;
}

static void device_tensors_are_read_and_written_through_their_backend(void)
{
    tni_device *device = far_device(0);
    tn_tensor *t = device ? far_tensor(device, TN_F32, 4) : NULL;
    if (!t) {
        TN_CHECK_STR(tn_env_error(bench.env), "");
        CU_FAIL("the backend far is not there");
        return;
    }
    CU_ASSERT_PTR_NULL(tn_tensor_data(t));
    TN_CHECK_HAS(tn_tensor_device(t), "far");
    TN_CHECK_VALUES(t, 0, 0, 0, 0, 0);
    tn_tensor *host = TN_TENSOR(TN_I32, TN_DIMS(2, 2), 1, 2, 3, 4);
    CU_ASSERT_EQUAL(tn_tensor_copy(t, host), TN_OK); // int32 on the host → float32 there
    TN_CHECK_VALUES(t, 0, 1, 2, 3, 4);
    tn_tensor *part = tn_tensor_slice(t, 1, 3);
    CU_ASSERT_EQUAL(tn_tensor_fill(part, 7.5), TN_OK);
    CU_ASSERT_EQUAL(tn_tensor_copy(host, t), TN_OK);
    TN_CHECK_VALUES(host, 0, 1, 7, 7, 4);

    tn_tensor *same = far_tensor(device, TN_F32, 4), *other = far_tensor(far_device(1), TN_F32, 4);
    CU_ASSERT_EQUAL(tn_tensor_copy(same, t), TN_OK);
    CU_ASSERT_EQUAL(tn_tensor_copy(other, t), TN_OK);
    TN_CHECK_VALUES(same, 0, 1, 7.5, 7.5, 4);
    TN_CHECK_VALUES(other, 0, 1, 7.5, 7.5, 4);
    tn_tensor *cast = tn_tensor_cast(t, TN_F64);
    TN_CHECK_STR(tn_tensor_device(cast), "host");
    TN_CHECK_VALUES(cast, 0, 1, 7.5, 7.5, 4);
    const tn_arg arg = tni_tensor_arg(part);
    CU_ASSERT_PTR_NULL(arg.host);
    CU_ASSERT_EQUAL(arg.offset, 4);
    CU_ASSERT_EQUAL(arg.bytes, 8);
    tn_tensor *const all[] = {t, host, part, same, other, cast};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) tn_tensor_release(all[i]);
}

// ------------------------------------------------------------------ 16-bit floats

static void every_float16_goes_to_float32_and_back(void)
{
    int wrong = 0;
    for (uint32_t h = 0; h < 65536; h++) {
        const float f = tn_f16_to_f32((uint16_t)h);
        const int e = (int)(h >> 10 & 31), m = (int)(h & 1023);
        const double magnitude = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
        const double wanted = h & 0x8000 ? -magnitude : magnitude;
        if (e == 31 && m)
            wrong += !isnan(f) || tn_f32_to_f16(f) != (h | 0x200); // quiet
        else if (e == 31)
            wrong += f != (h & 0x8000 ? -INFINITY : INFINITY) || tn_f32_to_f16(f) != h;
        else
            wrong +=
                (double)f != wanted || !signbit(f) != !signbit(wanted) || tn_f32_to_f16(f) != h;
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

// Every float32 that matters lies on, or beside, the middle between two neighbours.
static void float16_rounds_to_the_nearest_even(void)
{
    int wrong = 0;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        const double lo = (double)tn_f16_to_f32((uint16_t)h);
        const double hi = h + 1 < 0x7c00 ? (double)tn_f16_to_f32((uint16_t)(h + 1)) : 65536;
        const float middle = (float)((lo + hi) / 2);
        const uint16_t even = (uint16_t)(h & 1 ? h + 1 : h);
        wrong += tn_f32_to_f16(middle) != even;
        wrong += tn_f32_to_f16(nextafterf(middle, 0)) != h;
        wrong += tn_f32_to_f16(nextafterf(middle, INFINITY)) != h + 1;
        wrong += tn_f32_to_f16(-middle) != (0x8000 | even);
        wrong += tn_f64_to_f16((double)middle) != even;
        wrong += tn_f64_to_f16(nextafter((double)middle, 0)) != h;
        wrong += tn_f64_to_f16(nextafter((double)middle, INFINITY)) != h + 1;
    }
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_EQUAL(tn_f32_to_f16(FLT_MAX), 0x7c00);
    CU_ASSERT_EQUAL(tn_f32_to_f16(-FLT_MIN), 0x8000);
    CU_ASSERT_EQUAL(tn_f64_to_f16(DBL_MAX), 0x7c00);
    CU_ASSERT_EQUAL(tn_f64_to_f16(-DBL_MIN), 0x8000);
}

static void bfloat16_rounds_to_the_nearest_even(void)
{
    int wrong = 0;
    for (uint32_t b = 0; b < 65536; b++) {
        const uint16_t h = (uint16_t)b;
        const float f = tn_bf16_to_f32(h);
        if (isnan(f)) {
            wrong += tn_f32_to_bf16(f) != (h | 0x40) || tn_f64_to_bf16((double)f) != (h | 0x40);
            continue;
        }
        wrong += tn_f32_to_bf16(f) != h || tn_f64_to_bf16((double)f) != h;
        if (isinf(f)) continue;
        const float middle = tn_f32_from_bits(b << 16 | 0x8000);
        wrong += tn_f32_to_bf16(middle) != (uint16_t)(h + (h & 1));
        wrong += tn_f32_to_bf16(tn_f32_from_bits(b << 16 | 0x7fff)) != h;
        wrong += tn_f32_to_bf16(tn_f32_from_bits(b << 16 | 0x8001)) != (uint16_t)(h + 1);
        const double beyond = nextafter((double)middle, (double)middle * 2);
        wrong += middle != 0 && tn_f64_to_bf16(beyond) != (uint16_t)(h + 1);
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

TN_TEST_MAIN({"new tensor is zeros in aligned host memory",
              new_tensor_is_zeros_in_aligned_host_memory},
             {"tensors may be scalars or empty", tensors_may_be_scalars_or_empty},
             {"shapes that cannot be are refused", shapes_that_cannot_be_are_refused},
             {"wrapped memory is shared, not copied", wrapped_memory_is_shared_not_copied},
             {"views share memory and keep it alive", views_share_memory_and_keep_it_alive},
             {"views outside are refused", views_outside_are_refused},
             {"bytes go in and out whole", bytes_go_in_and_out_whole},
             {"small integers survive any conversion", small_integers_survive_any_conversion},
             {"floats are cut and saturate as integers", floats_are_cut_and_saturate_as_integers},
             {"floats become smaller floats by rounding once",
              floats_become_smaller_floats_by_rounding_once},
             {"large integers stay exact", large_integers_stay_exact},
             {"many elements are converted in pieces", many_elements_are_converted_in_pieces},
             {"copy wants as many elements", copy_wants_as_many_elements},
             {"fill converts its value", fill_converts_its_value},
             {"counting is safe between threads", counting_is_safe_between_threads},
             {"device tensors are read and written through their backend",
              device_tensors_are_read_and_written_through_their_backend},
             {"every float16 goes to float32 and back", every_float16_goes_to_float32_and_back},
             {"float16 rounds to the nearest even", float16_rounds_to_the_nearest_even},
             {"bfloat16 rounds to the nearest even", bfloat16_rounds_to_the_nearest_even})
