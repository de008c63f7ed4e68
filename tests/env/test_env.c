// tests/env/test_env.c: where plugins are found, which one wins, and what an env says of itself.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/env/env.h"
#include "tests/tn_test.h"

// ------------------------------------------------------------------ helpers

static tn_env *env_of(uint32_t flags, const char *const *paths)
{
    return tn_env_new(
        &(tn_env_options){.size = sizeof(tn_env_options), .flags = flags, .paths = paths});
}

static tn_env *empty_env(void)
{
    return env_of(TN_ENV_NO_SEARCH, NULL);
}

// A copy of a file of the hostile folder (which has good plugins, too): <temporary>/<dir>/<name>.
static const char *copy_into(const char *dir, const char *from, const char *name)
{
    static char path[2048];
    char bytes[4096];
    size_t n;
    mkdir(tn_temporary(dir), 0700);
    snprintf(path, sizeof path, "%s/%s", tn_temporary(dir), name);
    char source[1024];
    snprintf(source, sizeof source, "%s/%s", TN_HOSTILE_DIR, from);
    FILE *in = fopen(source, "rb"), *out = fopen(path, "wb");
    CU_ASSERT(in && out);
    while (in && out && (n = fread(bytes, 1, sizeof bytes, in)) > 0) fwrite(bytes, 1, n, out);
    if (in) fclose(in);
    if (out) fclose(out);
    return path;
}

// All records as "file:step", one after the other, without directories.
static const char *records(const tn_env *env)
{
    static char text[8192];
    size_t at = 0;
    text[0] = 0;
    for (size_t i = 0; i < tn_env_num_candidates(env) && at < sizeof text; i++) {
        const tn_candidate *c = tn_env_candidate(env, i);
        const char *slash = strrchr(c->path, '/');
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s:%s", i ? " " : "",
                               slash ? slash + 1 : c->path, tn_step_name(c->step));
    }
    return text;
}

static const tn_backend_entry *backend(const tn_env *env, const char *name, size_t *index)
{
    for (size_t i = 0; i < tn_env_num_backends(env); i++) {
        *index = i;
        if (strcmp(tn_env_backend(env, i)->name, name) == 0) return tn_env_backend(env, i);
    }
    return NULL;
}

// ------------------------------------------------------------------ names of files

static void bare_names_are_refused(void)
{
    tn_env *env = empty_env();
    CU_ASSERT_EQUAL(tn_env_status(env), TN_OK);
    TN_CHECK_STR(tn_env_error(env), "");
    CU_ASSERT_EQUAL(tn_env_load(env, "good.so"), TN_E_INVALID);
    TN_CHECK_STR(tn_env_error(env),
                 "tn_env_load: \"good.so\" is a bare name; a file here is \"./good.so\"");
    CU_ASSERT_EQUAL(tn_env_load(env, ""), TN_E_INVALID);
    CU_ASSERT_EQUAL(tn_env_load(env, NULL), TN_E_INVALID);
    CU_ASSERT_EQUAL(tn_env_num_candidates(env), 0);
    CU_ASSERT_EQUAL(tn_env_load(env, "/nonexistent/good.so"), TN_E_IO);
    TN_CHECK_HAS(tn_env_error(env), "/nonexistent/good.so: file: cannot open it: No such file");
    CU_ASSERT_EQUAL(tn_env_status(env), TN_E_IO);
    tn_env_free(env);
}

static void a_relative_path_is_made_absolute(void)
{
    char before[1024];
    tn_env *env = empty_env();
    copy_into("here", "good.so", "good.so");
    CU_ASSERT_PTR_NOT_NULL(getcwd(before, sizeof before));
    CU_ASSERT_EQUAL(chdir(tn_temporary("here")), 0);
    CU_ASSERT_EQUAL(tn_env_load(env, "./good.so"), TN_OK);
    CU_ASSERT_EQUAL(chdir(before), 0);
    CU_ASSERT_EQUAL(tn_env_candidate(env, 0)->path[0], '/');
    TN_CHECK_STR(tn_env_candidate(env, 0)->name, "good");
    TN_CHECK_STR(tn_env_candidate(env, 0)->version, "1.0");
    tn_env_free(env);
}

// ------------------------------------------------------------------ places

static void a_directory_is_taken_in_order_of_names(void)
{
    copy_into("sorted", "good.so", "b.so");
    copy_into("sorted", "good_too.so", "a.so");
    copy_into("sorted", "good.so", "c.so.disabled");
    copy_into("sorted", "good.so", ".hidden.so");
    const char *const paths[] = {tn_temporary("sorted"), NULL};
    tn_env *env = env_of(TN_ENV_NO_SEARCH, paths);
    TN_CHECK_STR(records(env), "a.so:used b.so:used");
    tn_env_free(env);
}

static void the_first_plugin_of_a_name_wins(void)
{
    copy_into("first", "good.so", "x.so");
    copy_into("second", "good.so", "y.so");
    const char *const paths[] = {tn_temporary("first"), tn_temporary("second"), NULL};
    tn_env *env = env_of(TN_ENV_NO_SEARCH, paths);
    TN_CHECK_STR(records(env), "x.so:used y.so:shadowed");
    const tn_candidate *c = tn_env_candidate(env, 1);
    CU_ASSERT_EQUAL(c->status, TN_E_EXISTS);
    TN_CHECK_STR(c->name, "good");
    TN_CHECK_HAS(c->reason, "a plugin named good (1.0) was loaded from /");
    TN_CHECK_HAS(c->reason, "/first/x.so");
    CU_ASSERT_EQUAL(tn_env_num_backends(env), 1);
    tn_env_free(env);
}

static void one_file_under_two_names_is_loaded_once(void)
{
    const char *file = copy_into("links", "good.so", "real.so");
    char link[1024];
    snprintf(link, sizeof link, "%s/zlink.so", tn_temporary("links"));
    CU_ASSERT_EQUAL(symlink(file, link), 0);
    const char *const paths[] = {tn_temporary("links"), tn_temporary("links"), NULL};
    tn_env *env = env_of(TN_ENV_NO_SEARCH, paths);
    TN_CHECK_STR(records(env), "real.so:used real.so:shadowed real.so:shadowed real.so:shadowed");
    TN_CHECK_HAS(tn_env_candidate(env, 1)->reason, "the same file as");
    tn_env_free(env);
}

static void the_environment_comes_after_the_options(void)
{
    char list[4096], good[1024];
    copy_into("given", "good.so", "given.so");
    copy_into("environment", "good.so", "late.so");
    snprintf(good, sizeof good, "%s", copy_into("environment_file", "good_too.so", "file.so"));
    snprintf(list, sizeof list, ":%s::%s:bare.so:", tn_temporary("environment"), good);
    setenv("TENON_PLUGIN_PATH", list, 1);
    const char *const paths[] = {tn_temporary("given"), NULL};
    tn_env *env = env_of(0, paths);
    TN_CHECK_STR(records(env), "given.so:used late.so:shadowed file.so:used bare.so:file");
    TN_CHECK_STR(tn_env_candidate(env, 3)->reason, "a bare name; a place here is \"./bare.so\"");
    tn_env_free(env);
    env = env_of(TN_ENV_NO_SEARCH, paths);
    TN_CHECK_STR(records(env), "given.so:used");
    tn_env_free(env);
    unsetenv("TENON_PLUGIN_PATH");
}

static void the_current_directory_is_never_searched(void)
{
    char before[1024];
    copy_into("cwd", "good.so", "good.so");
    copy_into("cwd/plugins", "good.so", "good.so");
    copy_into("cwd/tenon", "good.so", "good.so");
    CU_ASSERT_PTR_NOT_NULL(getcwd(before, sizeof before));
    CU_ASSERT_EQUAL(chdir(tn_temporary("cwd")), 0);
    setenv("TENON_PLUGIN_PATH", "::", 1);
    tn_env *env = env_of(0, NULL);
    TN_CHECK_STR(records(env), "");
    tn_env_free(env);
    unsetenv("TENON_PLUGIN_PATH");
    CU_ASSERT_EQUAL(chdir(before), 0);
}

static void a_place_that_is_not_there_is_a_record(void)
{
    const char *const paths[] = {"/nonexistent/plugins", NULL};
    tn_env *env = env_of(TN_ENV_NO_SEARCH, paths);
    TN_CHECK_STR(records(env), "plugins:file");
    CU_ASSERT_EQUAL(tn_env_candidate(env, 0)->status, TN_E_IO);
    tn_env_free(env);
}

// The shared library itself, opened here, finds the plugins of the build tree it lies in.
static void the_library_finds_its_build_tree(void)
{
    void *library = dlopen(TN_TEST_BUILD_DIR "/libtenon.so", RTLD_NOW | RTLD_LOCAL);
    CU_ASSERT_PTR_NOT_NULL(library);
    if (!library) {
        printf(" %s", dlerror());
        return;
    }
    tn_env *(*new)(const tn_env_options *);
    void (*free_env)(tn_env *);
    size_t (*count)(const tn_env *);
    const tn_candidate *(*get)(const tn_env *, size_t);
    *(void **)&new = dlsym(library, "tn_env_new");
    *(void **)&free_env = dlsym(library, "tn_env_free");
    *(void **)&count = dlsym(library, "tn_env_num_candidates");
    *(void **)&get = dlsym(library, "tn_env_candidate");
    tn_env *env = new (NULL);
    bool found = false;
    for (size_t i = 0; i < count(env); i++) {
        const tn_candidate *c = get(env, i);
        TN_CHECK_HAS(c->path, TN_TEST_PLUGIN_DIR "/");
        if (strcmp(c->name, "null") == 0) found = c->step == TN_STEP_USED;
    }
    CU_ASSERT(found);
    free_env(env);
}

// ------------------------------------------------------------------ several envs

static const int *shutdowns_of(const tn_env *env)
{
    const tni_registry *r = tni_env_registry(env);
    for (uint32_t i = 0; i < r->n_backends; i++)
        if (strcmp(r->backends[i]->entry.name, "good") == 0)
            return r->backends[i]->api.get_extension(r->backends[i]->self, "test.shutdowns/1");
    return NULL;
}

static const char *const good_only[] = {TN_HOSTILE_DIR "/good.so", NULL};

static void an_env_again_after_it_was_freed(void)
{
    for (int round = 0; round < 3; round++) {
        tn_env *env = env_of(TN_ENV_NO_SEARCH, good_only);
        const int *shutdowns = shutdowns_of(env);
        CU_ASSERT_PTR_NOT_NULL(shutdowns);
        const int before = shutdowns ? *shutdowns : 0;
        CU_ASSERT_PTR_NOT_NULL(tn_env_op_find(env, "good_op"));
        tn_env_free(env);
        CU_ASSERT(shutdowns && *shutdowns == before + 1); // mapped to the end of the process
    }
}

static void two_envs_know_nothing_of_each_other(void)
{
    tn_env *one = env_of(TN_ENV_NO_SEARCH, good_only), *two = empty_env();
    CU_ASSERT_PTR_NOT_NULL(tn_env_op_find(one, "good_op"));
    CU_ASSERT_PTR_NULL(tn_env_op_find(two, "good_op"));
    CU_ASSERT_EQUAL(tn_env_load(two, TN_HOSTILE_DIR "/good.so"), TN_OK);
    const int *shutdowns = shutdowns_of(one);
    const int before = *shutdowns;
    tn_env_free(one);
    CU_ASSERT_PTR_NOT_NULL(tn_env_op_find(two, "good_op"));
    CU_ASSERT_EQUAL(*shutdowns, before + 1);
    tn_env_free(two);
    CU_ASSERT_EQUAL(*shutdowns, before + 2);
    tn_env_free(NULL);
}

static void *make_envs(void *ctx)
{
    unsigned *wrong = ctx;
    for (int i = 0; i < 20; i++) {
        tn_env *env = env_of(TN_ENV_NO_SEARCH, good_only);
        *wrong += !env || !tn_env_op_find(env, "good_op");
        *wrong += tn_env_load(env, "nothing.so") != TN_E_INVALID;
        tn_env_free(env);
    }
    return NULL;
}

static void envs_in_several_threads(void)
{
    pthread_t threads[4];
    unsigned wrong[4] = {0};
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(pthread_create(&threads[i], NULL, make_envs, &wrong[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        CU_ASSERT_EQUAL(wrong[i], 0);
    }
}

typedef struct opening {
    tn_env *env;
    tni_device *device;
    tn_device *handle;
    tn_status status;
} opening;

static void *open_device(void *ctx)
{
    opening *o = ctx;
    tni_error error = {0};
    o->status = tni_device_open(o->env, o->device, &error);
    o->handle = o->device->handle;
    tni_error_clear(&error);
    return NULL;
}

static void a_device_is_opened_once(void)
{
    size_t index = 0;
    pthread_t threads[4];
    opening o[4];
    CU_ASSERT_EQUAL(tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/far.so"), TN_OK);
    if (!backend(bench.env, "far", &index)) return;
    tni_device *device = &tni_env_registry(bench.env)->backends[index]->devices[1];
    for (int i = 0; i < 4; i++) {
        o[i] = (opening){.env = bench.env, .device = device};
        CU_ASSERT_EQUAL(pthread_create(&threads[i], NULL, open_device, &o[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        CU_ASSERT_EQUAL(o[i].status, TN_OK);
        CU_ASSERT(o[i].handle && o[i].handle == o[0].handle);
    }
}

// ------------------------------------------------------------------ errors

static void eight_error_texts_stay_valid(void)
{
    tn_env *env = empty_env();
    const char *texts[8];
    for (int i = 0; i < 8; i++) {
        char path[64];
        snprintf(path, sizeof path, "bare%d.so", i);
        CU_ASSERT_EQUAL(tn_env_load(env, path), TN_E_INVALID);
        texts[i] = tn_env_error(env);
    }
    for (int i = 0; i < 8; i++) {
        char part[64];
        snprintf(part, sizeof part, "\"bare%d.so\"", i);
        TN_CHECK_HAS(texts[i], part);
    }
    tn_env_free(env);
}

// ------------------------------------------------------------------ lists

static void backends_stand_in_order_of_rank(void)
{
    size_t i = 0, last = tn_env_num_backends(bench.env);
    CU_ASSERT(last >= 2);
    for (size_t j = 1; j < last; j++) {
        const tn_backend_entry *a = tn_env_backend(bench.env, j - 1);
        const tn_backend_entry *b = tn_env_backend(bench.env, j);
        CU_ASSERT(a->rank > b->rank || (a->rank == b->rank && strcmp(a->name, b->name) < 0));
    }
    const tn_backend_entry *null = backend(bench.env, "null", &i);
    CU_ASSERT(null && null->rank < TN_RANK_LAST && null->n_devices == 1);
    if (null) {
        TN_CHECK_STR(null->plugin, "null");
        TN_CHECK_STR(null->version, TN_VERSION_TEXT);
        TN_CHECK_HAS(null->path, TN_TEST_PLUGIN_DIR "/");
        TN_CHECK_STR(tn_env_device(bench.env, i, 0)->id, "0");
    }
    const tn_backend_entry *reference = backend(bench.env, "reference", &i);
    CU_ASSERT(reference && reference->rank == TN_RANK_LAST);
    CU_ASSERT_PTR_NULL(tn_env_backend(bench.env, last));
    CU_ASSERT_PTR_NULL(tn_env_device(bench.env, last, 0));
    CU_ASSERT_PTR_NULL(tn_env_device(bench.env, 0, 99));
}

static void devices_have_names_of_their_own(void)
{
    size_t i = 0;
    CU_ASSERT_EQUAL(tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/far.so"), TN_OK);
    const tn_backend_entry *far = backend(bench.env, "far", &i);
    CU_ASSERT(far && far->n_devices == 2);
    const tni_backend *b = tni_env_registry(bench.env)->backends[i];
    TN_CHECK_STR(b->devices[0].uri, "far:0");
    TN_CHECK_STR(b->devices[1].uri, "far:1");
    TN_CHECK_STR(tn_env_device(bench.env, i, 1)->kind, "accelerator");
    CU_ASSERT_PTR_NULL(tn_env_device(bench.env, i, 2));
    backend(bench.env, "null", &i);
    TN_CHECK_STR(tni_env_registry(bench.env)->backends[i]->devices[0].uri, "null");
}

static void what_a_backend_has(void)
{
    size_t i = 0;
    CU_ASSERT_PTR_NOT_NULL(backend(bench.env, "null", &i));
    CU_ASSERT(tn_env_backend_has(bench.env, i, "_copy", TN_I8));
    CU_ASSERT(!tn_env_backend_has(bench.env, i, "FullyConnected", TN_F32));
    CU_ASSERT(!tn_env_backend_has(bench.env, i, "no_such_operator", TN_F32));
    CU_ASSERT(!tn_env_backend_has(bench.env, i, NULL, TN_F32));
    CU_ASSERT(!tn_env_backend_has(bench.env, 99, "_copy", TN_F32));
    CU_ASSERT(tn_env_backend_has(bench.env, i, "cdist", TN_F32)); // a plugin's, for any host device
    CU_ASSERT_EQUAL(tn_env_load(bench.env, TN_TEST_BACKEND_DIR "/far.so"), TN_OK);
    CU_ASSERT_PTR_NOT_NULL(backend(bench.env, "far", &i));
    CU_ASSERT(tn_env_backend_has(bench.env, i, "dot", TN_F32));
    CU_ASSERT(!tn_env_backend_has(bench.env, i, "dot", TN_F64));
    CU_ASSERT(!tn_env_backend_has(bench.env, i, "cdist", TN_F32));
}

static void operators_are_listed_and_found(void)
{
    const size_t n = tn_env_num_ops(bench.env);
    CU_ASSERT(n > 100);
    for (size_t i = 1; i < n; i++)
        CU_ASSERT(strcmp(tn_env_op(bench.env, i - 1)->name, tn_env_op(bench.env, i)->name) < 0);
    for (size_t i = 0; i < n; i++)
        CU_ASSERT_PTR_EQUAL(tn_env_op_find(bench.env, tn_env_op(bench.env, i)->name),
                            tn_env_op(bench.env, i));
    CU_ASSERT_PTR_NULL(tn_env_op(bench.env, n));
    CU_ASSERT_PTR_NULL(tn_env_op_find(bench.env, "FullyDisconnected"));
    CU_ASSERT_PTR_NULL(tn_env_op_find(bench.env, NULL));
    TN_CHECK_STR(tn_env_op_plugin(bench.env, tn_env_op_find(bench.env, "swish")), "swish");
    TN_CHECK_STR(tn_env_op_plugin(bench.env, tn_env_op_find(bench.env, "FullyConnected")), "");
    TN_CHECK_STR(tn_env_op_plugin(bench.env, NULL), "");
    const tn_op_decl *alias = tn_env_op_find(bench.env, "uniform");
    CU_ASSERT(alias && strcmp(alias->name, "random_uniform") == 0);
}

// A failed load after a good one keeps what is there, and addresses given out stay valid.
static void later_loads_move_nothing(void)
{
    const tn_op_decl *before = tn_env_op_find(bench.env, "FullyConnected");
    const tni_kernel_decl *kernel = tni_env_registry(bench.env)->kernels;
    const tn_kernel_decl copy = kernel->decl;
    const size_t n = tn_env_num_ops(bench.env);
    CU_ASSERT_EQUAL(tn_env_load(bench.env, TN_HOSTILE_DIR "/null_run.so"), TN_E_INVALID);
    CU_ASSERT_EQUAL(tn_env_num_ops(bench.env), n);
    CU_ASSERT_EQUAL(tn_env_load(bench.env, TN_HOSTILE_DIR "/good.so"), TN_OK);
    CU_ASSERT_EQUAL(tn_env_num_ops(bench.env), n + 1);
    CU_ASSERT_PTR_EQUAL(tn_env_op_find(bench.env, "FullyConnected"), before);
    CU_ASSERT(memcmp(&copy, &kernel->decl, sizeof copy) == 0);
}

static void options_of_an_older_caller(void)
{
    // A caller whose struct ended after `log_ctx` cannot exist (the first version had more), so a
    // size below that is read as the first version's.
    const tn_env_options small = {.size = 0, .flags = TN_ENV_NO_SEARCH, .paths = good_only};
    tn_env *env = tn_env_new(&small);
    CU_ASSERT(env && tn_env_op_find(env, "good_op"));
    tn_env_free(env);
    TN_CHECK_STR(tn_step_name(TN_STEP_DLOPEN), "dlopen");
    TN_CHECK_STR(tn_step_name((tn_step)99), "unknown");
}

TN_TEST_MAIN({"bare names are refused", bare_names_are_refused},
             {"a relative path is made absolute", a_relative_path_is_made_absolute},
             {"a directory is taken in order of names", a_directory_is_taken_in_order_of_names},
             {"the first plugin of a name wins", the_first_plugin_of_a_name_wins},
             {"one file under two names is loaded once", one_file_under_two_names_is_loaded_once},
             {"the environment comes after the options", the_environment_comes_after_the_options},
             {"the current directory is never searched", the_current_directory_is_never_searched},
             {"a place that is not there is a record", a_place_that_is_not_there_is_a_record},
             {"the library finds its build tree", the_library_finds_its_build_tree},
             {"an env again after it was freed", an_env_again_after_it_was_freed},
             {"two envs know nothing of each other", two_envs_know_nothing_of_each_other},
             {"envs in several threads", envs_in_several_threads},
             {"a device is opened once", a_device_is_opened_once},
             {"eight error texts stay valid", eight_error_texts_stay_valid},
             {"backends stand in order of rank", backends_stand_in_order_of_rank},
             {"devices have names of their own", devices_have_names_of_their_own},
             {"what a backend has", what_a_backend_has},
             {"operators are listed and found", operators_are_listed_and_found},
             {"later loads move nothing", later_loads_move_nothing},
             {"options of an older caller", options_of_an_older_caller})
