// tests/graph/test_base.c: errors, arenas, maps, text, numbers and spelling.
#include <locale.h>

#include "core/base/base.h"
#include "tests/tn_test.h"

static void the_first_error_stays(void)
{
    tni_error e = {0};
    TN_CHECK_STR(tni_error_text(&e), "");
    CU_ASSERT_EQUAL(tni_fail(&e, TN_E_SHAPE, "a.c:3", "x is %d", 7), TN_E_SHAPE);
    CU_ASSERT_EQUAL(tni_fail(&e, TN_E_IO, NULL, "later"), TN_E_SHAPE);
    TN_CHECK_STR(tni_error_text(&e), "a.c:3: x is 7");
    tni_error_clear(&e);
    CU_ASSERT_EQUAL(e.status, TN_OK);
    tni_fail(&e, TN_E_IO, NULL, "plain");
    TN_CHECK_STR(tni_error_text(&e), "plain");
    tni_error_clear(&e);
}

static void a_long_error_is_whole(void)
{
    char long_word[3000];
    memset(long_word, 'x', sizeof long_word);
    long_word[sizeof long_word - 1] = 0;
    tni_error e = {0};
    tni_fail(&e, TN_E_INVALID, NULL, "%s!", long_word);
    CU_ASSERT_EQUAL(strlen(tni_error_text(&e)), sizeof long_word);
    tni_error_clear(&e);
}

static void an_arena_hands_out_zeroed_aligned_memory(void)
{
    tni_arena a = {0};
    bool ok = true;
    for (size_t n = 0; n < 3000; n += 7) {
        unsigned char *p = tni_alloc(&a, n);
        ok = ok && p && (uintptr_t)p % 16 == 0;
        for (size_t i = 0; ok && i < n; i++) ok = p[i] == 0;
        if (ok) memset(p, 0xff, n);
    }
    CU_ASSERT_TRUE(ok);
    CU_ASSERT_PTR_NULL(tni_alloc(&a, SIZE_MAX));
    CU_ASSERT_PTR_NULL(tni_alloc(&a, SIZE_MAX - 8));
    TN_CHECK_STR(tni_printf(&a, "%d-%s", 5, "five"), "5-five");
    TN_CHECK_STR(tni_strndup(&a, "abcdef", 3), "abc");
    tni_arena_free(&a);
    CU_ASSERT_EQUAL(a.used, 0);
    CU_ASSERT_PTR_NULL(a.last);
}

static void an_arena_goes_back_to_a_mark(void)
{
    tni_arena a = {0};
    char *before = tni_strdup(&a, "kept");
    const tni_mark mark = tni_arena_mark(&a);
    char *first = tni_strdup(&a, "gone");
    for (int i = 0; i < 100; i++) tni_alloc(&a, 5000);
    tni_arena_reset(&a, mark);
    CU_ASSERT_EQUAL(a.used, mark.used);
    TN_CHECK_STR(before, "kept");
    char *again = tni_alloc(&a, 5);
    CU_ASSERT_PTR_EQUAL(again, first);
    CU_ASSERT_EQUAL(again[0], 0);
    tni_arena_free(&a);
}

static void a_map_finds_what_was_put(void)
{
    tni_map m = {0};
    tni_arena keys = {0};
    uint32_t v = 9;
    bool ok = true;
    CU_ASSERT_FALSE(tni_map_get(&m, "a", &v));
    CU_ASSERT_FALSE(tni_map_remove(&m, "a"));
    for (uint32_t i = 0; i < 5000; i++) ok = ok && tni_map_put(&m, tni_printf(&keys, "k%u", i), i);
    CU_ASSERT_EQUAL(m.n, 5000);
    CU_ASSERT_TRUE(tni_map_put(&m, "k77", 1077));
    CU_ASSERT_EQUAL(m.n, 5000);
    for (uint32_t i = 0; i < 5000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        ok = ok && tni_map_get(&m, key, &v) && v == (i == 77 ? 1077 : i);
    }
    CU_ASSERT_TRUE(ok);
    tni_map_free(&m);
    tni_arena_free(&keys);
}

// Removing closes gaps in runs of colliding keys; whatever is left must still be found.
static void a_map_forgets_only_what_was_removed(void)
{
    tni_map m = {0};
    tni_arena keys = {0};
    bool ok = true;
    for (uint32_t i = 0; i < 2000; i++) ok = ok && tni_map_put(&m, tni_printf(&keys, "%u", i), i);
    for (uint32_t i = 0; i < 2000; i += 3) {
        char key[16];
        snprintf(key, sizeof key, "%u", i);
        ok = ok && tni_map_remove(&m, key) && !tni_map_remove(&m, key);
    }
    for (uint32_t i = 0; i < 2000; i++) {
        char key[16];
        uint32_t v = 0;
        snprintf(key, sizeof key, "%u", i);
        const bool found = tni_map_get(&m, key, &v);
        ok = ok && (i % 3 == 0 ? !found : found && v == i);
    }
    CU_ASSERT_TRUE(ok);
    CU_ASSERT_EQUAL(m.n, 2000 - 667);
    tni_map_free(&m);
    tni_arena_free(&keys);
}

static void text_grows(void)
{
    tni_text t = {0};
    for (int i = 0; i < 1000; i++) tni_text_printf(&t, "%d,", i % 10);
    CU_ASSERT_EQUAL(t.n, 2000);
    CU_ASSERT_EQUAL(strlen(t.s), 2000);
    CU_ASSERT_FALSE(t.failed);
    tni_text_free(&t);
    tni_text_addn(&t, "abc", SIZE_MAX);
    CU_ASSERT_TRUE(t.failed);
    tni_text_add(&t, "more");
    CU_ASSERT_EQUAL(t.n, 0);
    tni_text_free(&t);
}

static void check_shape(const char *wanted, tn_shape shape)
{
    tni_text t = {0};
    tni_text_shape(&t, &shape);
    TN_CHECK_STR(t.s, wanted);
    tni_text_free(&t);
}

static void shapes_are_told(void)
{
    check_shape("(2,3)", (tn_shape){.ndim = 2, .dim = {2, 3}});
    check_shape("(?,3)", (tn_shape){.ndim = 2, .dim = {-1, 3}});
    check_shape("?", (tn_shape){.ndim = -1});
    check_shape("()", (tn_shape){.ndim = 0});
    check_shape("(0)", (tn_shape){.ndim = 1, .dim = {0}});
}

static void check_number(const char *wanted, double v)
{
    char text[TNI_NUMBER];
    TN_CHECK_STR(tni_number(text, v), wanted);
    if (v == v) CU_ASSERT_EQUAL(tni_strtod(text, NULL), v);
}

static void numbers_are_short_and_exact(void)
{
    check_number("0.5", 0.5);
    check_number("2", 2);
    check_number("-3", -3);
    check_number("10", 10);
    check_number("123456789", 123456789);
    check_number("1e+300", 1e300);
    check_number("-0", -0.0);
    check_number("0.1", 0.1);
    check_number("1e-05", 1e-5);
    check_number("0.3333333333333333", 1.0 / 3);
    check_number("1.7976931348623157e+308", 1.7976931348623157e308);
    check_number("inf", (double)__builtin_inff());
    check_number("nan", (double)__builtin_nanf(""));
}

// Hosts call setlocale(); a decimal comma must not reach parameters and files.
static void numbers_ignore_the_locale(void)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"};
    bool found = false;
    for (size_t i = 0; i < 4 && !found; i++) found = setlocale(LC_ALL, names[i]) != NULL;
    if (!found) {
        tn_skip("no locale with a decimal comma is installed");
        return;
    }
    check_number("0.5", 0.5);
    TN_CHECK_NEAR(tni_strtod("1.25", NULL), 1.25, 0);
    setlocale(LC_ALL, "C");
}

static void check_nearest(const char *wanted, const char *word)
{
    static const char *const names[] = {"num_hidden", "no_bias", "flatten", "num_filter", "kernel"};
    tni_text t = {0};
    tni_text_nearest(&t, word, names, 5);
    TN_CHECK_STR(t.s, wanted);
    tni_text_free(&t);
}

static void the_nearest_names_are_proposed(void)
{
    check_nearest(" — did you mean num_hidden?", "num_hiden");
    check_nearest(" — did you mean num_hidden?", "NUM_HIDDEN");
    check_nearest(" — did you mean num_filter?", "num_fitler");
    check_nearest(" — did you mean no_bias?", "nobias");
    check_nearest(" — did you mean kernel?", "kernels");
    check_nearest(" — candidates: num_hidden, no_bias, flatten, num_filter, kernel",
                  "completely_else");
    tni_text t = {0};
    tni_text_nearest(&t, "x", NULL, 0);
    CU_ASSERT_PTR_NULL(t.s);
}

static void the_nearest_stands_first(void)
{
    static const char *const names[] = {"fc11", "fc12", "fc1", "fc1", "gc1", "hc1"};
    tni_text t = {0};
    tni_text_nearest(&t, "fc1", names, 6);
    TN_CHECK_STR(t.s, " — did you mean fc1, fc11, fc12?");
    tni_text_free(&t);
}

static void many_candidates_are_cut(void)
{
    static const char *const names[] = {"aa", "bb", "cc", "dd", "ee", "ff",
                                        "gg", "hh", "ii", "jj", "kk", "ll"};
    tni_text t = {0};
    tni_text_nearest(&t, "wordwordword", names, 12);
    TN_CHECK_STR(t.s, " — candidates: aa, bb, cc, dd, ee, ff, gg, hh, ii, jj, … (12 in all)");
    tni_text_free(&t);
}

static void dtypes_have_names(void)
{
    for (tn_dtype d = TN_DTYPE_NONE + 1; d < TN_DTYPE_END; d++)
        if (tn_dtype_size(d)) CU_ASSERT_EQUAL(tn_dtype_find(tn_dtype_name(d)), d);
    TN_CHECK_STR(tn_dtype_name(TN_BF16), "bfloat16");
    TN_CHECK_STR(tn_dtype_name(TN_DTYPE_NONE), "unknown");
    TN_CHECK_STR(tn_dtype_name(-3), "unknown");
    TN_CHECK_STR(tn_dtype_name(9), "unknown");
    CU_ASSERT_EQUAL(tn_dtype_find("unknown"), TN_DTYPE_NONE);
    CU_ASSERT_EQUAL(tn_dtype_find(NULL), TN_DTYPE_NONE);
    TN_CHECK_STR(tn_status_text(TN_E_NO_GRADIENT), "no gradient");
    TN_CHECK_STR(tn_status_text(-1), "failure");
    TN_CHECK_STR(tn_status_text(999), "failure");
}

TN_TEST_MAIN({"the first error stays", the_first_error_stays},
             {"a long error is whole", a_long_error_is_whole},
             {"an arena hands out zeroed aligned memory", an_arena_hands_out_zeroed_aligned_memory},
             {"an arena goes back to a mark", an_arena_goes_back_to_a_mark},
             {"a map finds what was put", a_map_finds_what_was_put},
             {"a map forgets only what was removed", a_map_forgets_only_what_was_removed},
             {"text grows", text_grows}, {"shapes are told", shapes_are_told},
             {"numbers are short and exact", numbers_are_short_and_exact},
             {"numbers ignore the locale", numbers_ignore_the_locale},
             {"the nearest names are proposed", the_nearest_names_are_proposed},
             {"the nearest stands first", the_nearest_stands_first},
             {"many candidates are cut", many_candidates_are_cut},
             {"dtypes have names", dtypes_have_names})
