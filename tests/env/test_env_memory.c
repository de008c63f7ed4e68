// tests/env/test_env_memory.c: every single allocation of loading may fail, and nothing breaks.
//
// This program's own malloc and its like stand before those of the C library. The n-th call fails,
// for each n in turn, while an env is made; what comes out must be NULL or an env that works.
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/env/env.h"
#include "tests/tn_test.h"

static atomic_llong left;    // calls until one fails
static atomic_bool counting; // calls fail only then

#if TN_SANITIZER == 0
// The C library's own, under the names that interposers use.
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);

static bool fails(void)
{
    if (!atomic_load(&counting) || atomic_fetch_sub(&left, 1) != 1) return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n)
{
    return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return fails() ? NULL : __libc_realloc(p, n);
}

int posix_memalign(void **p, size_t align, size_t n)
{
    *p = fails() ? NULL : __libc_memalign(align, n);
    return *p ? 0 : ENOMEM;
}
#endif

static const char *const paths[] = {TN_TEST_BACKEND_DIR "/far.so", TN_HOSTILE_DIR "/good.so",
                                    TN_HOSTILE_DIR "/init_reason.so", NULL};
static const tn_env_options options = {
    .size = sizeof options, .flags = TN_ENV_NO_SEARCH, .paths = paths};

// What is there must be whole: each plugin is used or says why not, and lists agree.
static void check_whole(const tn_env *env)
{
    bool good = false;
    for (size_t i = 0; i < tn_env_num_candidates(env); i++) {
        const tn_candidate *c = tn_env_candidate(env, i);
        CU_ASSERT((c->step == TN_STEP_USED) == (c->status == TN_OK));
        CU_ASSERT(c->step == TN_STEP_USED || *c->reason);
        good = good || (strcmp(c->name, "good") == 0 && c->step == TN_STEP_USED);
    }
    CU_ASSERT((tn_env_op_find(env, "good_op") != NULL) == good);
    for (size_t i = 0; i < tn_env_num_ops(env); i++)
        CU_ASSERT_PTR_EQUAL(tn_env_op_find(env, tn_env_op(env, i)->name), tn_env_op(env, i));
}

static void each_allocation_of_an_env_may_fail(void)
{
    size_t none = 0, partial = 0, whole = 0;
    if (TN_SANITIZER != 0) {
        tn_skip("sanitizers have a malloc of their own");
        return;
    }
    tn_env_free(tn_env_new(&options)); // now the objects are mapped: later rounds are ours alone
    for (bool failed = true; failed;) {
        const long long n = (long long)(none + partial) + 1;
        atomic_store(&left, n);
        atomic_store(&counting, true);
        tn_env *env = tn_env_new(&options);
        atomic_store(&counting, false);
        failed = atomic_load(&left) <= 0;
        if (!env) {
            CU_ASSERT(failed);
            none++;
            continue;
        }
        check_whole(env);
        const bool used = tn_env_num_candidates(env) == 3 && tn_env_op_find(env, "good_op") &&
                          tn_env_num_backends(env) == 4;
        if (!failed && used)
            whole++;
        else
            partial++;
        CU_ASSERT(failed || used);
        tn_env_free(env);
    }
    CU_ASSERT(none > 10);
    CU_ASSERT(partial > 10);
    CU_ASSERT_EQUAL(whole, 1);
}

static void each_allocation_of_a_later_load_may_fail(void)
{
    bool done = false;
    if (TN_SANITIZER != 0) {
        tn_skip("sanitizers have a malloc of their own");
        return;
    }
    for (long long n = 1; n < 100000 && !done; n++) {
        const size_t before = tn_env_num_ops(bench.env);
        atomic_store(&left, n);
        atomic_store(&counting, true);
        const tn_status s = tn_env_load(bench.env, TN_HOSTILE_DIR "/good.so");
        atomic_store(&counting, false);
        done = s == TN_OK;
        CU_ASSERT(done || tn_env_num_ops(bench.env) == before);
        CU_ASSERT(done || *tn_env_error(bench.env));
        check_whole(bench.env);
    }
    CU_ASSERT(done && tn_env_op_find(bench.env, "good_op"));
}

TN_TEST_MAIN({"each allocation of an env may fail", each_allocation_of_an_env_may_fail},
             {"each allocation of a later load may fail", each_allocation_of_a_later_load_may_fail})
