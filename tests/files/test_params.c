// tests/files/test_params.c: MXNet's array lists: V0 to V3 by hand, real ones, V2 written, damaged.
#include <stdlib.h>
#include <string.h>

#include "tests/files/bytes.h"
#include "tests/files/damage.h"

enum { V1 = 1, V2, V3 };

static void put_list(made *b, uint64_t n)
{
    put_le(b, 0x112, 8);
    put_le(b, 0, 8);
    put_le(b, n, 8);
}

// Everything of an array but its elements.
static void put_array(made *b, int version, uint32_t type, int ndim, const int64_t *dim)
{
    if (version) put_le(b, 0xF993FAC7u + (uint32_t)version, 4);
    if (version >= V2) put_le(b, 0, 4); // dense
    put_le(b, (uint64_t)ndim, 4);
    for (int i = 0; i < ndim; i++) put_le(b, (uint64_t)dim[i], version ? 8 : 4);
    put_le(b, 1, 4); // cpu(0)
    put_le(b, 0, 4);
    put_le(b, type, 4);
}

static void put_names(made *b, size_t n, const char *const *names)
{
    put_le(b, n, 8);
    for (size_t i = 0; i < n; i++) {
        put_le(b, strlen(names[i]), 8);
        put_text(b, names[i]);
    }
}

// A list of one float32 (2, 2) array, "arg:w" = 1 2 3 4.
static made small_list(int version)
{
    made b = {.n = 0};
    put_list(&b, 1);
    put_array(&b, version, 0, 2, (const int64_t[]){2, 2});
    for (int i = 1; i <= 4; i++) put_f32(&b, (float)i);
    put_names(&b, 1, (const char *const[]){"arg:w"});
    return b;
}

static void refuses(const made *b, tn_status status, const char *part)
{
    tn_tensor_list list = {.n = 99};
    CU_ASSERT_EQUAL(tn_params_parse(bench.env, b->v, b->n, &list), status);
    CU_ASSERT_EQUAL(list.n, 0);
    CU_ASSERT_PTR_NULL(list.v);
    TN_CHECK_HAS(tn_env_error(bench.env), part);
}

// ------------------------------------------------------------------ reading

static void every_version_is_read(void)
{
    for (int version = 0; version <= V3; version++) {
        const made b = small_list(version);
        tn_tensor_list list;
        CU_ASSERT_EQUAL(tn_params_parse(bench.env, b.v, b.n, &list), TN_OK);
        CU_ASSERT_EQUAL(list.n, 1);
        if (list.n != 1) continue;
        TN_CHECK_STR(list.v[0].name, "arg:w");
        CU_ASSERT_EQUAL(tn_tensor_dtype(list.v[0].tensor), TN_F32);
        CU_ASSERT_EQUAL(tn_tensor_shape(list.v[0].tensor).ndim, 2);
        TN_CHECK_VALUES(list.v[0].tensor, 0, 1, 2, 3, 4);
        tn_tensors_free(&list);
        CU_ASSERT_PTR_NULL(list.v);
        tn_tensors_free(&list);
    }
    tn_tensors_free(NULL);
}

static void every_dtype_is_read(void)
{
    static const struct {
        tn_dtype dtype;
        int width;
        uint64_t bits;
        double value;
    } types[] = {
        {TN_F32, 4, 0x3FC00000, 1.5},
        {TN_F64, 8, 0xBFF8000000000000, -1.5},
        {TN_F16, 2, 0x3E00, 1.5},
        {TN_U8, 1, 200, 200},
        {TN_I32, 4, 0xFFFFFFFF, -1},
        {TN_I8, 1, 0x80, -128},
        {TN_I64, 8, 0xFFFFFFFFFFFFFFFE, -2},
        {TN_BOOL, 1, 7, 1},                     // anything but 0
        {TN_I32, 2, 0x8000, -32768},            // int16
        {TN_I32, 2, 0x8000, 32768},             // uint16
        {TN_I64, 4, 0x80000000, 2147483648},    // uint32
        {TN_I64, 8, 1ull << 40, 1099511627776}, // uint64
        {TN_BF16, 2, 0x3FC0, 1.5},
    };
    for (uint32_t i = 0; i < sizeof types / sizeof *types; i++) {
        made b = {.n = 0};
        put_list(&b, 1);
        put_array(&b, V2, i, 1, (const int64_t[]){1});
        put_le(&b, types[i].bits, types[i].width);
        put_le(&b, 0, 8);
        tn_tensor_list list;
        CU_ASSERT_EQUAL(tn_params_parse(bench.env, b.v, b.n, &list), TN_OK);
        if (list.n != 1) continue;
        CU_ASSERT_PTR_NULL(list.v[0].name);
        CU_ASSERT_EQUAL(tn_tensor_dtype(list.v[0].tensor), types[i].dtype);
        CU_ASSERT_EQUAL(tn_tensor_at(list.v[0].tensor, 0), types[i].value);
        tn_tensors_free(&list);
    }
    made b = {.n = 0};
    put_list(&b, 1);
    put_array(&b, V2, 11, 1, (const int64_t[]){2}); // uint64
    put_le(&b, 5, 8);
    put_le(&b, 1ull << 63, 8);
    put_le(&b, 0, 8);
    refuses(&b, TN_E_FORMAT, "element 1: wanted at most 9223372036854775807 for int64, got 9223");
    b.v[24 + 4 + 4 + 4 + 8 + 8] = 13;
    refuses(&b, TN_E_FORMAT, "byte 52: dtype: wanted 0 to 12, got 13");
}

static void arrays_without_a_shape_are_empty(void)
{
    made b = {.n = 0};
    put_list(&b, 4);
    put_le(&b, 0, 4); // V0: rank 0 and nothing else
    put_le(&b, 0xF993FAC8u, 4);
    put_le(&b, 0, 4);
    put_le(&b, 0xF993FACAu, 4); // V3: rank -1
    put_le(&b, 0, 4);
    put_le(&b, UINT32_MAX, 4);
    put_array(&b, V3, 0, 0, NULL); // V3: rank 0 is a number
    put_f32(&b, 2.5f);
    put_le(&b, 0, 8);
    tn_tensor_list list;
    CU_ASSERT_EQUAL(tn_params_parse(bench.env, b.v, b.n, &list), TN_OK);
    CU_ASSERT_EQUAL(list.n, 4);
    if (list.n == 4) {
        for (int i = 0; i < 3; i++) CU_ASSERT_EQUAL(tn_tensor_size(list.v[i].tensor), 0);
        CU_ASSERT_EQUAL(tn_tensor_shape(list.v[3].tensor).ndim, 0);
        CU_ASSERT_EQUAL(tn_tensor_at(list.v[3].tensor, 0), 2.5);
    }
    tn_tensors_free(&list);
}

static void sparse_arrays_are_refused_by_name(void)
{
    for (int stype = 1; stype <= 2; stype++) {
        made b = {.n = 0};
        put_list(&b, 2);
        put_array(&b, V2, 0, 1, (const int64_t[]){1});
        put_f32(&b, 1);
        put_le(&b, 0xF993FAC9u, 4);
        put_le(&b, (uint64_t)stype, 4);
        put_le(&b, 1, 4); // storage shape (1)
        put_le(&b, 1, 8);
        put_le(&b, 1, 4); // shape (5)
        put_le(&b, 5, 8);
        put_le(&b, 1, 4);
        put_le(&b, 0, 4);
        put_le(&b, 0, 4); // float32
        for (int i = 0; i < stype; i++) {
            put_le(&b, 6, 4); // indices: int64 (1)
            put_le(&b, 1, 4);
            put_le(&b, 1, 8);
        }
        put_f32(&b, 7);
        for (int i = 0; i < stype; i++) put_le(&b, 3, 8);
        put_names(&b, 2, (const char *const[]){"arg:dense", "arg:thin"});
        refuses(&b, TN_E_UNSUPPORTED,
                stype == 1 ? "array \"arg:thin\": wanted dense storage, got row_sparse"
                           : "array \"arg:thin\": wanted dense storage, got csr");
    }
}

// ------------------------------------------------------------------ refusing

static void refuses_changed(size_t at, uint64_t v, int width, const char *part)
{
    made b = small_list(V2);
    const size_t n = b.n;
    b.n = at;
    put_le(&b, v, width);
    b.n = n;
    refuses(&b, TN_E_FORMAT, part);
}

static void fields_that_are_wrong_are_named_with_their_byte(void)
{
    refuses_changed(0, 0x113, 8, "byte 0: list magic: wanted 0x112, got 0x113");
    refuses_changed(16, 1u << 30, 8, "byte 16: number of arrays: wanted at most");
    refuses_changed(24, 0xF993FAC7u, 4, "byte 24: array: wanted a magic or a rank");
    refuses_changed(28, 3, 4, "byte 28: storage type: wanted 0, 1 or 2, got 3");
    refuses_changed(32, 9, 4, "byte 32: rank: wanted at most 8 axes, got 9");
    refuses_changed(36, UINT64_MAX, 8, "byte 36: extent 0: wanted at least 0, got -1");
    refuses_changed(36, 1ull << 62, 8,
                    "byte 64: elements: the extents make more than memory holds");
    refuses_changed(36, 1u << 20, 8, "byte 64: elements: wanted 8388608 bytes, got 37");
    refuses_changed(52, 9, 4, "byte 52: device: wanted 1 to 5, got 9");
    refuses_changed(80, 2, 8, "byte 80: number of names: wanted at most 1");
    refuses_changed(88, 6, 8, "byte 96: name: wanted 6 bytes, got 5");
    refuses_changed(88, UINT64_MAX, 8, "byte 96: name: wanted 18446744073709551615 bytes, got 5");
    refuses_changed(98, 0, 1, "byte 96: name: a NUL in it");
    refuses_changed(88, 4, 8, "byte 100: wanted the end of the file, got 1 bytes more");
    made b = {.n = 0};
    put_list(&b, 0);
    put_names(&b, 1, (const char *const[]){"x"});
    refuses(&b, TN_E_FORMAT, "byte 24: number of names: wanted 0 or 0, got 1");
    CU_ASSERT_EQUAL(tn_params_parse(bench.env, NULL, 0, &(tn_tensor_list){0}), TN_E_INVALID);
}

static void small_files_cannot_ask_for_much(void)
{
    made b = {.n = 0};
    put_list(&b, UINT64_MAX / 16);
    put_array(&b, V2, 1, 3, (const int64_t[]){1 << 20, 1 << 20, 1 << 10});
    memory_limited(64 << 20);
    refuses(&b, TN_E_FORMAT, "number of arrays");
    b.n = 16;
    put_le(&b, 1, 8);
    b.n = 24 + 4 + 4 + 4 + 3 * 8 + 12;
    refuses(&b, TN_E_FORMAT, "elements: wanted 9007199254740992 bytes, got 0");
    // 4000 arrays in 4 bytes each: one empty tensor will do for all.
    made many = {.n = 0};
    put_list(&many, 1000);
    many.n += 4000;
    memset(many.v + 24, 0, 4000);
    put_le(&many, 0, 8);
    tn_tensor_list list;
    CU_ASSERT_EQUAL(tn_params_parse(bench.env, many.v, many.n, &list), TN_OK);
    CU_ASSERT_EQUAL(list.n, 1000);
    if (list.n == 1000) CU_ASSERT_PTR_EQUAL(list.v[0].tensor, list.v[999].tensor);
    tn_tensors_free(&list);
    memory_unlimited();
}

static bool reader_behaves(const void *p, size_t n, void *ctx)
{
    (void)ctx;
    tn_tensor_list list = {0};
    const tn_status status = tn_params_parse(bench.env, p, n, &list);
    const bool ok = status ? !list.v && !list.n && *tn_env_error(bench.env) : list.v != NULL;
    tn_tensors_free(&list);
    return ok;
}

static void damaged_files_are_refused_or_read(void)
{
    for (int version = 0; version <= V3; version++) {
        const made b = small_list(version);
        CU_ASSERT_EQUAL(damage(b.v, b.n, 4000, reader_behaves, NULL), 0);
    }
}

// ------------------------------------------------------------------ writing

static void saved_lists_are_v2_byte_for_byte(void)
{
    tn_tensor *w = TN_TENSOR(TN_F32, TN_DIMS(2, 2), 1, 2, 3, 4);
    char path[1024];
    snprintf(path, sizeof path, "%s", tn_temporary("a.params"));
    CU_ASSERT_EQUAL(tn_params_save(bench.env, path, TN_TENSORS({"arg:w", w})), TN_OK);
    const made wanted = small_list(V2);
    unsigned char got[4096];
    FILE *f = fopen(path, "rb");
    const size_t n = f ? fread(got, 1, sizeof got, f) : 0;
    if (f) fclose(f);
    CU_ASSERT(n == wanted.n && !memcmp(got, wanted.v, n));
    tn_tensor_release(w);
}

static void saved_lists_are_read_again(void)
{
    static const tn_dtype dtypes[] = {TN_F32, TN_F64, TN_F16,  TN_U8,  TN_I32,
                                      TN_I8,  TN_I64, TN_BOOL, TN_BF16};
    enum { N = 9 };
    tn_named_tensor items[N + 2] = {{NULL, NULL}};
    for (int i = 0; i < N; i++) items[i].tensor = TN_TENSOR(dtypes[i], TN_DIMS(3, 1), 0, 1, 1);
    items[N].tensor = TN_TENSOR(TN_F64, TN_SCALAR, 2.5);
    items[N + 1].tensor = tn_tensor_new(bench.env, TN_F32, TN_DIMS(2, 0));
    char path[1024];
    snprintf(path, sizeof path, "%s", tn_temporary("b.params"));
    tn_tensor_list list;
    CU_ASSERT_EQUAL(tn_params_save(bench.env, path, (tn_tensors){N + 2, items}), TN_OK);
    CU_ASSERT_EQUAL(tn_params_load(bench.env, path, &list), TN_OK);
    CU_ASSERT_EQUAL(list.n, N + 2);
    for (size_t i = 0; i < list.n && i < N; i++) {
        CU_ASSERT_PTR_NULL(list.v[i].name);
        CU_ASSERT_EQUAL(tn_tensor_dtype(list.v[i].tensor), dtypes[i]);
        TN_CHECK_VALUES(list.v[i].tensor, 0, 0, 1, 1);
    }
    if (list.n == N + 2) {
        CU_ASSERT_EQUAL(tn_tensor_shape(list.v[N].tensor).ndim, 0);
        CU_ASSERT_EQUAL(tn_tensor_at(list.v[N].tensor, 0), 2.5);
        CU_ASSERT_EQUAL(tn_tensor_shape(list.v[N + 1].tensor).dim[0], 2);
        CU_ASSERT_EQUAL(tn_tensor_size(list.v[N + 1].tensor), 0);
    }
    tn_tensors_free(&list);
    CU_ASSERT_EQUAL(tn_params_save(bench.env, path, (tn_tensors){0, NULL}), TN_OK);
    CU_ASSERT_EQUAL(tn_params_load(bench.env, path, &list), TN_OK);
    CU_ASSERT_EQUAL(list.n, 0);
    tn_tensors_free(&list);
    for (int i = 0; i < N + 2; i++) tn_tensor_release(items[i].tensor);
}

static void lists_that_cannot_be_saved_are_refused(void)
{
    tn_tensor *w = TN_TENSOR(TN_F32, TN_DIMS(1), 1);
    char path[1024];
    snprintf(path, sizeof path, "%s", tn_temporary("c.params"));
    CU_ASSERT_EQUAL(tn_params_save(bench.env, path, TN_TENSORS({"a", w}, {NULL, w})), TN_E_INVALID);
    TN_CHECK_HAS(tn_env_error(bench.env), "item 1: wanted names for all tensors or for none");
    CU_ASSERT_EQUAL(tn_params_save(bench.env, path, TN_TENSORS({"a", NULL})), TN_E_INVALID);
    TN_CHECK_HAS(tn_env_error(bench.env), "item 0: wanted a tensor, got NULL");
    CU_ASSERT_EQUAL(tn_params_save(bench.env, "/dev/full", TN_TENSORS({"a", w})), TN_E_IO);
    CU_ASSERT_EQUAL(tn_params_save(bench.env, tn_temporary("no/c"), TN_TENSORS({"a", w})), TN_E_IO);
    tn_tensor_list list;
    CU_ASSERT_EQUAL(tn_params_load(bench.env, path, &list), TN_E_IO);
    TN_CHECK_HAS(tn_env_error(bench.env), "c.params: No such file");
    tn_tensor_release(w);
}

// ------------------------------------------------------------------ real files

static void mxnets_own_v0_list_is_read(void)
{
    const char *path = tn_data("symbols/legacy_ndarray.v0");
    if (!path) {
        tn_skip("TENON_DATA_DIR has no symbols/legacy_ndarray.v0");
        return;
    }
    tn_tensor_list list;
    CU_ASSERT_EQUAL(tn_params_load(bench.env, path, &list), TN_OK);
    CU_ASSERT_EQUAL(list.n, 6);
    int wrong = 0;
    for (size_t i = 0; i < list.n; i++) {
        const float *x = tn_tensor_data(list.v[i].tensor);
        wrong += tn_tensor_size(list.v[i].tensor) != 128;
        for (int k = 0; k < 128 && !wrong; k++) wrong += x[k] != (float)k;
    }
    CU_ASSERT_EQUAL(wrong, 0);
    tn_tensors_free(&list);
}

static tn_tensor *find(const tn_tensor_list *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (!strcmp(list->v[i].name, name)) return list->v[i].tensor;
    return NULL;
}

static void real_checkpoints_have_their_shapes(void)
{
    static const struct {
        const char *path, *name;
        size_t n;
        int64_t first, size;
    } files[] = {
        {"lenet-2015/lenet-0010.params", "arg:convolution0_weight", 8, 20, 20 * 25},
        {"lenet-2019/lenet-0001.params", "arg:hybridsequential0_conv0_weight", 8, 5, 5 * 25},
        {"mlp-onnx/model-0004.params", "arg:hybridsequential0_dense0_bias", 6, 9, 9},
        {"tiny/go_test-0001.params", "arg:pred_bias", 2, 10, 10},
        {"squeezenet/squeezenet-0000.params", "arg:conv1_weight", 52, 96, 96 * 3 * 49},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *path = tn_data(files[i].path);
        if (!path) {
            tn_skip("TENON_DATA_DIR has no checkpoints");
            return;
        }
        tn_tensor_list list;
        CU_ASSERT_EQUAL(tn_params_load(bench.env, path, &list), TN_OK);
        CU_ASSERT_EQUAL(list.n, files[i].n);
        tn_tensor *t = find(&list, files[i].name);
        CU_ASSERT_PTR_NOT_NULL(t);
        if (t) CU_ASSERT_EQUAL(tn_tensor_shape(t).dim[0], files[i].first);
        if (t) CU_ASSERT_EQUAL(tn_tensor_size(t), files[i].size);
        tn_tensors_free(&list);
    }
}

TN_TEST_MAIN({"every version is read", every_version_is_read},
             {"every dtype is read", every_dtype_is_read},
             {"arrays without a shape are empty", arrays_without_a_shape_are_empty},
             {"sparse arrays are refused by name", sparse_arrays_are_refused_by_name},
             {"fields that are wrong are named with their byte",
              fields_that_are_wrong_are_named_with_their_byte},
             {"small files cannot ask for much", small_files_cannot_ask_for_much},
             {"damaged files are refused or read", damaged_files_are_refused_or_read},
             {"saved lists are V2 byte for byte", saved_lists_are_v2_byte_for_byte},
             {"saved lists are read again", saved_lists_are_read_again},
             {"lists that cannot be saved are refused", lists_that_cannot_be_saved_are_refused},
             {"MXNet's own V0 list is read", mxnets_own_v0_list_is_read},
             {"real checkpoints have their shapes", real_checkpoints_have_their_shapes})
