// tests/files/test_idx_csv.c: idx and CSV files, plain and gzip, real, wrong and damaged.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "tests/files/bytes.h"
#include "tests/files/damage.h"

static const char *gzip_file(const char *name, const void *p, size_t n)
{
    const char *path = tn_temporary(name);
    gzFile f = gzopen(path, "wb9");
    if (!f || gzwrite(f, p, (unsigned)n) != (int)n) CU_FAIL("cannot write a gzip file");
    if (f) gzclose(f);
    return path;
}

static void refused(tn_tensor *t, tn_status status, const char *part)
{
    CU_ASSERT_PTR_NULL(t);
    CU_ASSERT_EQUAL(tn_env_status(bench.env), status);
    TN_CHECK_HAS(tn_env_error(bench.env), part);
    tn_tensor_release(t);
}

// ------------------------------------------------------------------ idx

static made idx_of(int type, int ndim, const uint32_t *dim)
{
    made b = {.n = 0};
    put_be(&b, (uint64_t)(type << 8 | ndim), 4);
    for (int i = 0; i < ndim; i++) put_be(&b, dim[i], 4);
    return b;
}

static tn_tensor *idx_load(const made *b)
{
    return tn_idx_load(bench.env, damage_file("x-idx", b->v, b->n));
}

static void every_type_is_read(void)
{
    static const struct {
        int type;
        tn_dtype dtype;
        int width;
        uint64_t bits;
        double value;
    } types[] = {{8, TN_U8, 1, 0xFE, 254},         {9, TN_I8, 1, 0xFE, -2},
                 {11, TN_I32, 2, 0xFFFE, -2},      {12, TN_I32, 4, 0xFFFFFFFE, -2},
                 {13, TN_F32, 4, 0x3FC00000, 1.5}, {14, TN_F64, 8, 0x3FF8000000000000, 1.5}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        made b = idx_of(types[i].type, 2, (const uint32_t[]){1, 2});
        for (int k = 0; k < 2; k++) put_be(&b, types[i].bits, types[i].width);
        tn_tensor *plain = idx_load(&b);
        tn_tensor *packed = tn_idx_load(bench.env, gzip_file("x-idx.gz", b.v, b.n));
        CU_ASSERT(plain && tn_tensor_dtype(plain) == types[i].dtype);
        CU_ASSERT(packed && tn_tensor_shape(packed).ndim == 2);
        if (plain) TN_CHECK_VALUES(plain, 0, types[i].value, types[i].value);
        if (packed) TN_CHECK_VALUES(packed, 0, types[i].value, types[i].value);
        tn_tensor_release(plain);
        tn_tensor_release(packed);
    }
    made b = idx_of(8, 0, NULL);
    put_be(&b, 7, 1);
    tn_tensor *scalar = idx_load(&b);
    CU_ASSERT(scalar && tn_tensor_shape(scalar).ndim == 0 && tn_tensor_at(scalar, 0) == 7);
    b = idx_of(14, 2, (const uint32_t[]){5, 0});
    tn_tensor *empty = idx_load(&b);
    CU_ASSERT(empty && tn_tensor_size(empty) == 0);
    tn_tensor_release(scalar);
    tn_tensor_release(empty);
}

static void idx_files_that_are_wrong_are_refused(void)
{
    made b = idx_of(10, 1, (const uint32_t[]){1});
    refused(idx_load(&b), TN_E_FORMAT, "byte 0: wanted idx magic");
    b = idx_of(8, 9, (const uint32_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1});
    refused(idx_load(&b), TN_E_FORMAT, "at most 8 axes; got 00 00 08 09");
    b = idx_of(8, 1, (const uint32_t[]){3});
    put_be(&b, 0, 2);
    refused(idx_load(&b), TN_E_FORMAT, "byte 10: elements: wanted 3 bytes, got 2");
    put_be(&b, 0, 2);
    refused(idx_load(&b), TN_E_FORMAT, "byte 11: wanted the end of the file, got more");
    b.n = 6;
    refused(idx_load(&b), TN_E_FORMAT, "extent: wanted 4 bytes, got 2");
    b.n = 0;
    refused(idx_load(&b), TN_E_FORMAT, "idx magic: wanted 4 bytes, got 0");
    refused(tn_idx_load(bench.env, tn_temporary("missing")), TN_E_IO, "No such file");
    refused(tn_idx_load(bench.env, NULL), TN_E_IO, "(no path)");
    refused(tn_idx_load(bench.env, "/tmp"), TN_E_IO, "neither a file nor a pipe");
}

static void small_idx_files_cannot_ask_for_much(void)
{
    memory_limited(64 << 20);
    made b = idx_of(14, 2, (const uint32_t[]){1u << 20, 1u << 20});
    put_be(&b, 0, 8);
    refused(idx_load(&b), TN_E_FORMAT, "elements: wanted 8796093022208 bytes, got 8");
    refused(tn_idx_load(bench.env, gzip_file("y.gz", b.v, b.n)), TN_E_FORMAT, "got 8");
    b = idx_of(14, 3, (const uint32_t[]){UINT32_MAX, UINT32_MAX, UINT32_MAX});
    refused(idx_load(&b), TN_E_FORMAT, "more elements than memory holds");
    memory_unlimited();
}

static bool idx_behaves(const char *path)
{
    tn_tensor *t = tn_idx_load(bench.env, path);
    const bool ok = t ? tn_tensor_size(t) >= 0 : *tn_env_error(bench.env) != 0;
    tn_tensor_release(t);
    return ok;
}

static size_t read_back(const char *path, unsigned char *buffer, size_t size)
{
    FILE *f = fopen(path, "rb");
    const size_t n = f ? fread(buffer, 1, size, f) : 0;
    if (f) fclose(f);
    return n;
}

static void damaged_idx_files_are_refused_or_read(void)
{
    damage_load_fn load = idx_behaves;
    made b = idx_of(11, 2, (const uint32_t[]){4, 5});
    for (int i = 0; i < 20; i++) put_be(&b, (uint64_t)i, 2);
    CU_ASSERT_EQUAL(damage(b.v, b.n, 1500, damage_by_file, &load), 0);
    unsigned char packed[512];
    const size_t n = read_back(gzip_file("z.gz", b.v, b.n), packed, sizeof packed);
    CU_ASSERT(n > 20);
    CU_ASSERT_EQUAL(damage(packed, n, 1500, damage_by_file, &load), 0);
    // A gzip file that is cut off, or whose checksum does not fit, is not taken for a whole one.
    refused(tn_idx_load(bench.env, damage_file("cut.gz", packed, n - 9)), TN_E_FORMAT, "cut.gz");
    packed[n - 6] ^= 1;
    refused(tn_idx_load(bench.env, damage_file("sum.gz", packed, n)), TN_E_FORMAT, "data check");
}

static void mnist_is_read(void)
{
    const char *images = tn_data("mnist/t10k-images-idx3-ubyte.gz");
    const char *labels = tn_data("mnist/t10k-labels-idx1-ubyte.gz");
    if (!images || !labels) {
        tn_skip("TENON_DATA_DIR has no mnist");
        return;
    }
    tn_tensor *x = tn_idx_load(bench.env, images), *y = tn_idx_load(bench.env, labels);
    CU_ASSERT(x && tn_tensor_dtype(x) == TN_U8 && tn_tensor_shape(x).ndim == 3);
    CU_ASSERT(x && tn_tensor_size(x) == 10000 * 784);
    CU_ASSERT(y && tn_tensor_size(y) == 10000);
    // The first digits of the test set are 7, 2, 1, 0, 4.
    static const int first[] = {7, 2, 1, 0, 4};
    for (int i = 0; i < 5 && y; i++) CU_ASSERT_EQUAL(tn_tensor_at(y, i), first[i]);
    tn_tensor_release(x);
    tn_tensor_release(y);
}

// ------------------------------------------------------------------ csv

static tn_tensor *csv_load(const char *text)
{
    return tn_csv_load(bench.env, damage_file("x.csv", text, strlen(text)));
}

static void tables_are_read(void)
{
    static const char *const texts[] = {
        "1,2,3\n4,5,6\n",
        "1,2,3\r\n4,5,6",
        " 1 ,\t2, 3\n\n4,5,6\n\n",
        "a,\"b,c\",d\n1,2,3\n4,5,6\n",
        "\xEF\xBB\xBF\n1,2,3\n4,5,6",
        "\nx\n+1,2e0,0.3e1\n4.0,0x5,600e-2\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        tn_tensor *t = csv_load(texts[i]);
        CU_ASSERT_PTR_NOT_NULL(t);
        if (!t) continue;
        CU_ASSERT_EQUAL(tn_tensor_dtype(t), TN_F32);
        CU_ASSERT_EQUAL(tn_tensor_shape(t).dim[0], 2);
        CU_ASSERT_EQUAL(tn_tensor_shape(t).dim[1], 3);
        TN_CHECK_VALUES(t, 0, 1, 2, 3, 4, 5, 6);
        tn_tensor_release(t);
    }
    tn_tensor *t = csv_load("-inf,nan,1e-50,16777217\n");
    CU_ASSERT(t && isinf(tn_tensor_at(t, 0)) && isnan(tn_tensor_at(t, 1)));
    CU_ASSERT(t && tn_tensor_at(t, 2) == 0 && tn_tensor_at(t, 3) == 16777216);
    tn_tensor_release(t);
}

static void tables_that_are_wrong_are_refused(void)
{
    static const char *const texts[][2] = {
        {"", "wanted a line of numbers, got none"},
        {"\n \r\n", "got none"},
        {"a,b\n", "wanted a line of numbers, got none"},
        {"1,2\n3\n", "line 2: wanted 2 columns as in the first row, got 1"},
        {"1,2\n3,4,5\n", "wanted 2 columns as in the first row, got 3"},
        {"1,2\n3,x\n", "byte 7: line 2, column 2: wanted a number, got \"x\""},
        {"1,x\n3,4\n", "line 1, column 2: wanted a number, as in the other columns"},
        {"1,2\n3,\n", "line 2, column 2: wanted a number, got \"\""},
        {"a,b\nc,d\n", "line 2, column 1: wanted a number, got \"c\""},
        {"1,2\n3,4 5\n", "got \"4 5\""},
        {"1\n1e39\n", "wanted a number that float32 can hold, got \"1e39\""},
        {"1\n\x1b[2J\x93\n", "got \"\\x1b[2J\\x93\""}, // nothing that a terminal obeys
        {"1\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", "xxxxxxxx…\""},
        {"1;2\n3;4\n", "line 2, column 1: wanted a number, got \"3;4\""},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        refused(csv_load(texts[i][0]), TN_E_FORMAT, texts[i][1]);
    char longest[400];
    memset(longest, '1', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    refused(csv_load(longest), TN_E_FORMAT, "at most 256 characters");
    refused(tn_csv_load(bench.env, tn_temporary("missing.csv")), TN_E_IO, "No such file");
}

static bool csv_behaves(const char *path)
{
    tn_tensor *t = tn_csv_load(bench.env, path);
    const bool ok = t ? tn_tensor_size(t) > 0 : *tn_env_error(bench.env) != 0;
    tn_tensor_release(t);
    return ok;
}

static void damaged_tables_are_refused_or_read(void)
{
    static const char text[] = "x,y,z\n1,2.5,3\n-4,5e1,6\n7,8,9\n";
    damage_load_fn load = csv_behaves;
    CU_ASSERT_EQUAL(damage(text, sizeof text - 1, 1500, damage_by_file, &load), 0);
    unsigned char packed[512];
    const size_t n = read_back(gzip_file("t.gz", text, sizeof text - 1), packed, sizeof packed);
    CU_ASSERT_EQUAL(damage(packed, n, 1000, damage_by_file, &load), 0);
}

static void long_tables_are_read_in_pieces(void)
{
    enum { ROWS = 30000 };
    char *text = malloc(ROWS * 16);
    size_t n = 0;
    if (!text) return;
    for (int i = 0; i < ROWS; i++) n += (size_t)snprintf(text + n, 16, "%d,%d\n", i, -i);
    tn_tensor *t = tn_csv_load(bench.env, gzip_file("long.csv.gz", text, n));
    CU_ASSERT(t && tn_tensor_size(t) == 2 * ROWS);
    int wrong = 0;
    for (int64_t i = 0; t && i < ROWS; i++)
        wrong += tn_tensor_at(t, 2 * i) != (double)i || tn_tensor_at(t, 2 * i + 1) != (double)-i;
    CU_ASSERT_EQUAL(wrong, 0);
    tn_tensor_release(t);
    free(text);
}

static void real_tables_are_read(void)
{
    const char *digits = tn_data("digits/digits.csv.gz"), *housing = tn_data("tables/housing.csv");
    if (!digits || !housing) {
        tn_skip("TENON_DATA_DIR has no tables");
        return;
    }
    tn_tensor *x = tn_csv_load(bench.env, digits), *y = tn_csv_load(bench.env, housing);
    CU_ASSERT(x && tn_tensor_shape(x).dim[0] == 1797 && tn_tensor_shape(x).dim[1] == 65);
    CU_ASSERT(y && tn_tensor_shape(y).dim[0] == 506 && tn_tensor_shape(y).dim[1] == 14);
    TN_CHECK_STR(x && y ? "" : tn_env_error(bench.env), "");
    tn_tensor_release(x);
    tn_tensor_release(y);
}

TN_TEST_MAIN({"every idx type is read", every_type_is_read},
             {"idx files that are wrong are refused", idx_files_that_are_wrong_are_refused},
             {"small idx files cannot ask for much", small_idx_files_cannot_ask_for_much},
             {"damaged idx files are refused or read", damaged_idx_files_are_refused_or_read},
             {"MNIST is read", mnist_is_read}, {"tables are read", tables_are_read},
             {"tables that are wrong are refused", tables_that_are_wrong_are_refused},
             {"damaged tables are refused or read", damaged_tables_are_refused_or_read},
             {"long tables are read in pieces", long_tables_are_read_in_pieces},
             {"real tables are read", real_tables_are_read})
