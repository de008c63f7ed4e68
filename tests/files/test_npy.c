// tests/files/test_npy.c: NumPy files: every dtype, version, order and byte order, and damaged
// ones.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/files/bytes.h"
#include "tests/files/damage.h"

// Magic, version, header; the elements are for the caller to add.
static made npy_of(int version, const char *header)
{
    made b = {.n = 0};
    put_text(&b, "\x93NUMPY");
    put_le(&b, (uint64_t)version, 1);
    put_le(&b, 0, 1);
    put_le(&b, strlen(header), version == 1 ? 2 : 4);
    put_text(&b, header);
    return b;
}

static made dict_of(const char *descr, const char *fortran, const char *shape)
{
    char text[256];
    snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }          \n",
             descr, fortran, shape);
    return npy_of(1, text);
}

static tn_tensor *load(const made *b)
{
    return tn_npy_load(bench.env, damage_file("x.npy", b->v, b->n));
}

static void refuses(const made *b, const char *part)
{
    tn_tensor *t = load(b);
    CU_ASSERT_PTR_NULL(t);
    CU_ASSERT_EQUAL(tn_env_status(bench.env), TN_E_FORMAT);
    TN_CHECK_HAS(tn_env_error(bench.env), part);
    tn_tensor_release(t);
}

// ------------------------------------------------------------------ reading

static void every_dtype_is_read_in_both_byte_orders(void)
{
    static const struct {
        const char *descr;
        tn_dtype dtype;
        int width;
        uint64_t bits;
        double value;
    } types[] = {
        {"?", TN_BOOL, 1, 5, 1},
        {"b1", TN_BOOL, 1, 0, 0},
        {"i1", TN_I8, 1, 0xFE, -2},
        {"u1", TN_U8, 1, 0xFE, 254},
        {"i2", TN_I32, 2, 0xFFFE, -2},
        {"u2", TN_I32, 2, 0xFFFE, 65534},
        {"i4", TN_I32, 4, 0xFFFFFFFE, -2},
        {"u4", TN_I64, 4, 0xFFFFFFFE, 4294967294},
        {"i8", TN_I64, 8, 0xFFFFFFFFFFFFFFFE, -2},
        {"u8", TN_I64, 8, 0x0102030405060700, 0x0102030405060700p0},
        {"f2", TN_F16, 2, 0x3E00, 1.5},
        {"f4", TN_F32, 4, 0x3FC00000, 1.5},
        {"f8", TN_F64, 8, 0x3FF8000000000001, 1.5000000000000002},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        for (int big = 0; big < 2; big++) {
            char descr[8];
            snprintf(descr, sizeof descr, "%c%s",
                     big                   ? '>'
                     : types[i].width == 1 ? '|'
                                           : '<',
                     types[i].descr);
            made b = dict_of(descr, "False", "(2,)");
            for (int k = 0; k < 2; k++) (big ? put_be : put_le)(&b, types[i].bits, types[i].width);
            tn_tensor *t = load(&b);
            CU_ASSERT_PTR_NOT_NULL(t);
            if (!t) continue;
            CU_ASSERT_EQUAL(tn_tensor_dtype(t), types[i].dtype);
            TN_CHECK_VALUES(t, 0, types[i].value, types[i].value);
            tn_tensor_release(t);
        }
    }
    made b = dict_of("<u8", "False", "()");
    put_le(&b, UINT64_MAX, 8);
    refuses(&b, "element 0: wanted at most 9223372036854775807 for int64");
}

static void all_three_versions_are_read(void)
{
    for (int version = 1; version <= 3; version++) {
        made b = npy_of(version, "{\"shape\":(2,1),\"fortran_order\":False,\"descr\":\"<f4\"}");
        put_f32(&b, 3);
        put_f32(&b, 4);
        tn_tensor *t = load(&b);
        CU_ASSERT_PTR_NOT_NULL(t);
        if (!t) continue;
        CU_ASSERT_EQUAL(tn_tensor_shape(t).ndim, 2);
        TN_CHECK_VALUES(t, 0, 3, 4);
        tn_tensor_release(t);
    }
}

static void shapes_may_be_empty_scalar_or_from_python_2(void)
{
    made b = dict_of("<f4", "False", "()");
    put_f32(&b, 2);
    tn_tensor *scalar = load(&b);
    CU_ASSERT(scalar && tn_tensor_shape(scalar).ndim == 0 && tn_tensor_at(scalar, 0) == 2);
    b = dict_of("<f8", "True", "(3, 0, 2)");
    tn_tensor *empty = load(&b);
    CU_ASSERT(empty && tn_tensor_shape(empty).dim[2] == 2 && tn_tensor_size(empty) == 0);
    b = dict_of("|u1", "False", "(2L, 1L)");
    put_le(&b, 0x0201, 2);
    tn_tensor *old = load(&b);
    CU_ASSERT(old && tn_tensor_at(old, 1) == 2);
    tn_tensor_release(scalar);
    tn_tensor_release(empty);
    tn_tensor_release(old);
}

// Element (i, j, k) of a (2, 3, 4) array is 100 i + 10 j + k.
static void fortran_order_is_turned(void)
{
    made b = dict_of(">i2", "True", "(2, 3, 4)");
    for (int k = 0; k < 4; k++)
        for (int j = 0; j < 3; j++)
            for (int i = 0; i < 2; i++) put_be(&b, (uint64_t)(100 * i + 10 * j + k), 2);
    tn_tensor *t = load(&b);
    CU_ASSERT_PTR_NOT_NULL(t);
    int wrong = 0;
    for (int64_t n = 0; t && n < 24; n++)
        wrong += tn_tensor_at(t, n) != (double)(100 * (n / 12) + 10 * (n / 4 % 3) + n % 4);
    CU_ASSERT_EQUAL(wrong, 0);
    tn_tensor_release(t);
}

// ------------------------------------------------------------------ refusing

static void headers_that_are_wrong_are_refused(void)
{
    static const char *const headers[][2] = {
        {"", "wanted '{'"},
        {"{", "wanted a string"},
        {"{}", "wanted descr, got none"},
        {"{'descr': '<f4', 'shape': (1,)}", "wanted fortran_order, got none"},
        {"{'descr': '<f4', 'descr': '<f4'}", "once, got descr"},
        {"{'colour': '<f4'}", "got colour"},
        {"{'descr' '<f4'}", "wanted ':', got '''"},
        {"{'descr': [('a', '<f4')]}", "wanted a plain dtype, got a structured one"},
        {"{'descr': '<c8'}", "descr: wanted b1"},
        {"{'descr': '<f3'}", "got \"<f3\""},
        {"{'descr': '<f16'}", "got \"<f16\""},
        {"{'descr': '<U5'}", "descr: wanted"},
        {"{'descr': '<w2'}", "descr: wanted"},
        {"{'descr': ''}", "descr: wanted"},
        {"{'descr': '<f4444444444444444444444'}", "string of at most 15"},
        {"{'descr': '<f4", "end of a string"},
        {"{'fortran_order': 0}", "wanted True or False"},
        {"{'shape': 3}", "wanted '('"},
        {"{'shape': (-1,)}", "wanted an extent"},
        {"{'shape': (1 2)}", "wanted ','"},
        {"{'shape': (9223372036854775808,)}", "beyond 2^63"},
        {"{'shape': (1,1,1,1,1,1,1,1,1)}", "at most 8 axes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", "wanted its end, got 'x'"},
        {"{'descr': '<f4' 'fortran_order': False}", "wanted ','"},
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        const made b = npy_of(1, headers[i][0]);
        refuses(&b, headers[i][1]);
    }
    made b = {.n = 0};
    refuses(&b, "magic");
    put_text(&b, "\x93NUMPX\x01");
    put_le(&b, 0, 1);
    refuses(&b, "magic");
    b = npy_of(4, "{}");
    refuses(&b, "wanted 1, 2 or 3, got 4.0");
    b = npy_of(2, "{}");
    b.v[11] = 0x7f; // a header of 2 GiB
    refuses(&b, "byte 12: header: wanted 2130706434 bytes, got 2");
}

static void sizes_are_compared_with_the_bytes_that_are_there(void)
{
    memory_limited(64 << 20);
    made b = dict_of("<f8", "True", "(1000000, 1000000)");
    refuses(&b, "elements: wanted 8000000000000 bytes for the shape, got 0");
    b = dict_of("<f8", "False", "(4294967296, 4294967296, 4294967296)");
    refuses(&b, "elements: wanted");
    b = dict_of("<f8", "False", "(0, 4294967296, 4294967296)");
    refuses(&b, "elements: wanted");
    memory_unlimited();
    b = dict_of("<f4", "False", "(2,)");
    put_f32(&b, 1);
    refuses(&b, "got 4");
    put_f32(&b, 1);
    put_le(&b, 0, 1);
    refuses(&b, "got 9");
    CU_ASSERT_PTR_NULL(tn_npy_load(bench.env, tn_temporary("missing.npy")));
    CU_ASSERT_EQUAL(tn_env_status(bench.env), TN_E_IO);
}

static bool reader_behaves(const char *path)
{
    tn_tensor *t = tn_npy_load(bench.env, path);
    const bool ok = t ? tn_tensor_size(t) >= 0 : *tn_env_error(bench.env) != 0;
    tn_tensor_release(t);
    return ok;
}

static void damaged_files_are_refused_or_read(void)
{
    damage_load_fn load_fn = reader_behaves;
    made b = dict_of(">i2", "True", "(2, 3)");
    put_le(&b, 0x0102030405060708, 8);
    put_le(&b, 0, 4);
    CU_ASSERT_EQUAL(damage(b.v, b.n, 3000, damage_by_file, &load_fn), 0);
}

// ------------------------------------------------------------------ writing

static void files_are_written_as_numpy_writes_them(void)
{
    // numpy.save of float32 [[1, 2, 3]], NumPy 1.24.
    static const char head[] = "\x93NUMPY\x01\0v\0{'descr': '<f4', 'fortran_order': False, "
                               "'shape': (1, 3), }";
    tn_tensor *t = TN_TENSOR(TN_F32, TN_DIMS(1, 3), 1, 2, 3);
    char path[1024];
    snprintf(path, sizeof path, "%s", tn_temporary("out.npy"));
    CU_ASSERT_EQUAL(tn_npy_save(bench.env, path, t), TN_OK);
    unsigned char got[256];
    FILE *f = fopen(path, "rb");
    CU_ASSERT_EQUAL(f ? fread(got, 1, sizeof got, f) : 0, 128 + 12);
    if (f) fclose(f);
    CU_ASSERT_EQUAL(memcmp(got, head, sizeof head - 1), 0);
    for (size_t i = sizeof head - 1; i < 127; i++) CU_ASSERT_EQUAL(got[i], ' ');
    CU_ASSERT_EQUAL(got[127], '\n');
    CU_ASSERT_EQUAL(memcmp(got + 128, tn_tensor_data(t), 12), 0);
    tn_tensor_release(t);
}

static void saved_tensors_are_read_again(void)
{
    static const tn_dtype dtypes[] = {TN_F32, TN_F64, TN_F16,  TN_U8,  TN_I32,
                                      TN_I8,  TN_I64, TN_BOOL, TN_BF16};
    char path[1024];
    snprintf(path, sizeof path, "%s", tn_temporary("again.npy"));
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        tn_tensor *t = TN_TENSOR(dtypes[i], TN_DIMS(2, 1, 2), 0, 1, 1, 0);
        CU_ASSERT_EQUAL(tn_npy_save(bench.env, path, t), TN_OK);
        tn_tensor *again = tn_npy_load(bench.env, path);
        CU_ASSERT_PTR_NOT_NULL(again);
        if (again) {
            CU_ASSERT_EQUAL(tn_tensor_dtype(again), dtypes[i] == TN_BF16 ? TN_F32 : dtypes[i]);
            CU_ASSERT_EQUAL(tn_tensor_shape(again).ndim, 3);
            TN_CHECK_VALUES(again, 0, 0, 1, 1, 0);
        }
        tn_tensor_release(t);
        tn_tensor_release(again);
    }
    tn_tensor *scalar = TN_TENSOR(TN_F64, TN_SCALAR, 0.1);
    CU_ASSERT_EQUAL(tn_npy_save(bench.env, path, scalar), TN_OK);
    tn_tensor *again = tn_npy_load(bench.env, path);
    CU_ASSERT(again && tn_tensor_shape(again).ndim == 0 && tn_tensor_at(again, 0) == 0.1);
    CU_ASSERT_EQUAL(tn_npy_save(bench.env, path, NULL), TN_E_INVALID);
    CU_ASSERT_EQUAL(tn_npy_save(bench.env, tn_temporary("no/x.npy"), scalar), TN_E_IO);
    CU_ASSERT_EQUAL(tn_npy_save(bench.env, "/dev/full", scalar), TN_E_IO);
    tn_tensor_release(scalar);
    tn_tensor_release(again);
}

static void real_files_are_read(void)
{
    const char *path = tn_data("mlp-onnx/cosmin-mlp.out0.npy");
    const char *large = tn_data("lenet-2019/mnist-fcrc-lenet.in.data.npy");
    if (!path || !large) {
        tn_skip("TENON_DATA_DIR has no .npy files");
        return;
    }
    tn_tensor *out = tn_npy_load(bench.env, path), *in = tn_npy_load(bench.env, large);
    CU_ASSERT(out && tn_tensor_dtype(out) == TN_F32 && tn_tensor_bytes(out) == 140 - 128);
    CU_ASSERT(in && tn_tensor_shape(in).dim[0] == 16 && tn_tensor_size(in) == 16 * 784);
    tn_tensor_release(out);
    tn_tensor_release(in);
}

TN_TEST_MAIN({"every dtype is read in both byte orders", every_dtype_is_read_in_both_byte_orders},
             {"all three versions are read", all_three_versions_are_read},
             {"shapes may be empty, scalar, or from Python 2",
              shapes_may_be_empty_scalar_or_from_python_2},
             {"Fortran order is turned", fortran_order_is_turned},
             {"headers that are wrong are refused", headers_that_are_wrong_are_refused},
             {"sizes are compared with the bytes that are there",
              sizes_are_compared_with_the_bytes_that_are_there},
             {"damaged files are refused or read", damaged_files_are_refused_or_read},
             {"files are written as NumPy writes them", files_are_written_as_numpy_writes_them},
             {"saved tensors are read again", saved_tensors_are_read_again},
             {"real files are read", real_files_are_read})
