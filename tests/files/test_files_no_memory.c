// tests/files/test_files_no_memory.c: the N-th allocation of a call fails, for each N: the call
// then says so, gives back all it took, and works when it is called again.
#include <jansson.h>
#include <string.h>

#include "core/exec/exec.h"
#include "tests/files/bytes.h"
#include "tests/files/damage.h"
#include "tests/files/symbol_texts.h"

static long countdown = -1; // allocations until the one that fails; negative: none does
static long live;           // blocks that are allocated and not freed

// Exported, so that the C library's own calls of malloc come here too. Sanitizers bring allocators
// of their own, which these would bypass.
#if TN_SANITIZER == 0
#define CAN_FAIL 1
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *p, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);
void __libc_free(void *p);

static bool fails(void)
{
    return countdown >= 0 && countdown-- == 0;
}

static void *counted(void *p)
{
    live += p != NULL;
    return p;
}

TN_API void *malloc(size_t bytes)
{
    return fails() ? NULL : counted(__libc_malloc(bytes));
}

TN_API void *calloc(size_t n, size_t bytes)
{
    return fails() ? NULL : counted(__libc_calloc(n, bytes));
}

TN_API void *aligned_alloc(size_t align, size_t bytes)
{
    return fails() ? NULL : counted(__libc_memalign(align, bytes));
}

TN_API void *realloc(void *p, size_t bytes)
{
    if (fails()) return NULL;
    return p ? __libc_realloc(p, bytes) : counted(__libc_malloc(bytes));
}

TN_API void free(void *p)
{
    live -= p != NULL;
    __libc_free(p);
}

// jansson writes beyond its buffers when it gets no memory, so it always gets some here.
static void *surely(size_t bytes)
{
    return counted(__libc_malloc(bytes));
}

static void spare_jansson(void)
{
    json_set_alloc_funcs(surely, free);
}
#else
#define CAN_FAIL 0
static void spare_jansson(void)
{
}
#endif

// The env keeps the texts of its last eight failures: afterwards all eight are there.
static void fill_messages(void)
{
    for (int i = 0; i < 8; i++) CU_ASSERT_PTR_NULL(tn_tensor_new(bench.env, 99, TN_SCALAR));
}

// Runs the call with each of its allocations failing, in turn, until none does. The call frees
// what it gets, and says whether it got it.
static void check(bool (*call)(void))
{
    if (!CAN_FAIL) {
        tn_skip("the sanitizer has its own allocator");
        return;
    }
    CU_ASSERT_TRUE(call()); // what is allocated once only is there from now on
    bool done = false, kept = true, told = true;
    long n = 0;
    for (; !done && n < 10000; n++) {
        fill_messages();
        const size_t nodes = tn_graph_num_nodes(bench.g);
        const long before = live;
        countdown = n;
        done = call();
        const bool reached = countdown < 0;
        countdown = -1;
        if (done) break;
        const bool said = tn_graph_status(bench.g) || tn_env_status(bench.env);
        told = told && reached && said && tn_graph_num_nodes(bench.g) == nodes;
        tn_graph_forgive(bench.g);
        fill_messages();
        kept = kept && live == before;
    }
    CU_ASSERT_TRUE(done);
    CU_ASSERT_TRUE(told);
    CU_ASSERT_TRUE(kept);
    CU_ASSERT_TRUE(n > 0);
}

static bool got(tn_tensor *t)
{
    tn_tensor_release(t);
    return t != NULL;
}

// ------------------------------------------------------------------ the calls

static char symbol_text[4096];

static bool parse_symbol(void)
{
    return tn_symbol_parse(bench.g, symbol_text, strlen(symbol_text)).node != 0;
}

static bool write_symbol(void)
{
    const tn_symbol relu = {2, 0, bench.g->tag};
    return tn_symbol_json(bench.g, relu) != NULL;
}

static bool save_symbol(void)
{
    const tn_symbol relu = {2, 0, bench.g->tag};
    return tn_symbol_save(bench.g, relu, tn_temporary("m.json")) == 0;
}

static bool load_symbol(void)
{
    return tn_symbol_load(bench.g, tn_temporary("m.json")).node != 0;
}

static void symbols(void)
{
    static const char nodes[] =
        VAR("x") ", {\"op\": \"Activation\", \"name\": \"r\", \"param\": {\"act_type\": \"relu\"}, "
                 "\"attr\": {\"lr_mult\": \"1\", \"data_wd_mult\": \"2\", \"cudnn_off\": \"1\"}, "
                 "\"inputs\": [[0, 0]]}, {\"op\": \"sgd_mom_update\", \"name\": \"u\", \"attr\": "
                 "{\"lr\": \"1\"}, \"inputs\": [[0, 0], [1, 0]]}";
    spare_jansson();
    strcpy(symbol_text, file_of(nodes, "0", "[1, 0], [2, 0]", "800"));
    check(parse_symbol);
    check(write_symbol);
    check(save_symbol);
    check(load_symbol);
    // An operator that is not registered, and a failure while that is being said.
    strcpy(symbol_text,
           file_of("{\"op\": \"No\", \"name\": \"n\", \"inputs\": []}", "", "[0, 0]", "1"));
    for (long n = 0; n < 20 && CAN_FAIL; n++) {
        countdown = n;
        CU_ASSERT_FALSE(parse_symbol());
        countdown = -1;
        CU_ASSERT_NOT_EQUAL(tn_graph_status(bench.g), TN_OK);
        tn_graph_forgive(bench.g);
    }
}

static bool new_tensor(void)
{
    return got(tn_tensor_new(bench.env, TN_F32, TN_DIMS(2, 3)));
}

static bool work_with_tensors(void)
{
    float x[4] = {1, 2, 3, 4};
    tn_tensor *t = tn_tensor_wrap(bench.env, TN_F32, TN_DIMS(2, 2), x);
    tn_tensor *row = t ? tn_tensor_slice(t, 0, 1) : NULL;
    tn_tensor *flat = row ? tn_tensor_reshape(row, TN_DIMS(2)) : NULL;
    tn_tensor *cast = flat ? tn_tensor_cast(flat, TN_I8) : NULL;
    const bool ok = cast && tn_tensor_fill(cast, 3) == TN_OK && tn_tensor_copy(flat, cast) == TN_OK;
    tn_tensor_release(t);
    tn_tensor_release(row);
    tn_tensor_release(flat);
    return got(cast) && ok;
}

static void tensors(void)
{
    check(new_tensor);
    check(work_with_tensors);
}

static bool save_params(void)
{
    tn_tensor *t = TN_TENSOR(TN_F64, TN_DIMS(2), 1, 2);
    const bool ok =
        t && !tn_params_save(bench.env, tn_temporary("p"), TN_TENSORS({"a", t}, {"b", t}));
    return got(t) && ok;
}

static bool load_params(void)
{
    tn_tensor_list list;
    const bool ok = tn_params_load(bench.env, tn_temporary("p"), &list) == TN_OK;
    const bool whole = ok ? list.n == 2 : !list.n && !list.v;
    tn_tensors_free(&list);
    return ok && whole;
}

static bool save_npy(void)
{
    tn_tensor *t = TN_TENSOR(TN_BF16, TN_DIMS(2), 1, 2);
    const bool ok = t && !tn_npy_save(bench.env, tn_temporary("n"), t);
    return got(t) && ok;
}

static bool load_npy(void)
{
    return got(tn_npy_load(bench.env, tn_temporary("f")));
}

static void lists_and_arrays(void)
{
    check(save_params);
    check(load_params);
    check(save_npy);
    made b = {.n = 0};
    const char *const head = "{'descr': '>i2', 'fortran_order': True, 'shape': (1, 2)}";
    put(&b, "\x93NUMPY\x01\0", 8);
    put_le(&b, strlen(head), 2);
    put_text(&b, head);
    put_be(&b, 0x00010002, 4);
    damage_file("f", b.v, b.n);
    check(load_npy);
}

static bool load_idx(void)
{
    return got(tn_idx_load(bench.env, tn_temporary("i")));
}

static bool load_csv(void)
{
    return got(tn_csv_load(bench.env, tn_temporary("c")));
}

static void tables(void)
{
    made b = {.n = 0};
    put_be(&b, 0x0B01, 4);
    put_be(&b, 2, 4);
    put_be(&b, 0x00010002, 4);
    damage_file("i", b.v, b.n);
    damage_file("c", "a,b\n1,2\n3,4\n", 12);
    check(load_idx);
    check(load_csv);
}

TN_TEST_MAIN({"symbols", symbols}, {"tensors", tensors}, {"lists and arrays", lists_and_arrays},
             {"tables", tables})
