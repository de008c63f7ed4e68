// tests/env/test_hostile.c: plugins and files that are wrong: each refused by name, good ones load.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/env/env.h"
#include "tests/tn_test.h"

// ------------------------------------------------------------------ helpers

static tn_env *env_of(const char *const *paths)
{
    return tn_env_new(&(tn_env_options){
        .size = sizeof(tn_env_options), .flags = TN_ENV_NO_SEARCH, .paths = paths});
}

// The first record of a file of that name; NULL, and a failed check, if there is none.
static const tn_candidate *candidate(const tn_env *env, const char *file)
{
    for (size_t i = 0; i < tn_env_num_candidates(env); i++) {
        const tn_candidate *c = tn_env_candidate(env, i);
        const char *slash = strrchr(c->path, '/');
        if (strcmp(slash ? slash + 1 : c->path, file) == 0) return c;
    }
    TN_CHECK_STR("no record", file);
    return NULL;
}

typedef struct wanted {
    const char *file;
    tn_step step;
    tn_status status;
    const char *reason; // part of the text
} wanted;

static void check_refused(const tn_env *env, const wanted *w)
{
    const tn_candidate *c = candidate(env, w->file);
    char got[128], expected[128];
    if (!c) return;
    snprintf(got, sizeof got, "%s: %s: %s", w->file, tn_step_name(c->step),
             tn_status_text(c->status));
    snprintf(expected, sizeof expected, "%s: %s: %s", w->file, tn_step_name(w->step),
             tn_status_text(w->status));
    TN_CHECK_STR(got, expected);
    TN_CHECK_HAS(c->reason, w->reason);
}

static bool is_used(const tn_env *env, const char *file)
{
    const tn_candidate *c = candidate(env, file);
    if (c && c->step != TN_STEP_USED) TN_CHECK_STR(c->reason, "");
    return c && c->step == TN_STEP_USED;
}

static const char *const hostile_paths[] = {TN_HOSTILE_DIR "/good.so", TN_HOSTILE_DIR, NULL};

static const tni_device *only_device(const tn_env *env, const char *backend)
{
    const tni_registry *r = tni_env_registry(env);
    for (uint32_t i = 0; i < r->n_backends; i++)
        if (strcmp(r->backends[i]->entry.name, backend) == 0 && r->backends[i]->n_devices == 1)
            return &r->backends[i]->devices[0];
    return NULL;
}

// ------------------------------------------------------------------ modules

static void each_is_refused_at_its_step(void)
{
    static const wanted all[] = {
        {"no_symbol.so", TN_STEP_SYMBOL, TN_E_INCOMPATIBLE, "exports no tn_plugin_query"},
        {"needs_host.so", TN_STEP_DLOPEN, TN_E_INCOMPATIBLE, "tn_env_new"},
        {"missing_library.so", TN_STEP_DLOPEN, TN_E_UNAVAILABLE, "the library libtn_gone.so.9"},
        {"wrong_magic.so", TN_STEP_HANDSHAKE, TN_E_INCOMPATIBLE, "magic 0x464c457f"},
        {"newer_epoch.so", TN_STEP_HANDSHAKE, TN_E_INCOMPATIBLE,
         "it refuses: wants epoch 7 (it speaks ABI epochs 7 to 7, this core 0)"},
        {"refuses_silently.so", TN_STEP_HANDSHAKE, TN_E_INCOMPATIBLE, "no reason given"},
        {"epoch_not_offered.so", TN_STEP_HANDSHAKE, TN_E_INCOMPATIBLE, "epoch 9"},
        {"older_minor.so", TN_STEP_HANDSHAKE, TN_E_INCOMPATIBLE, "rebuild it"},
        {"newer_minor.so", TN_STEP_HANDSHAKE, TN_E_INCOMPATIBLE, "a newer Tenon is wanted"},
        {"other_sanitizer.so", TN_STEP_HANDSHAKE, TN_E_INCOMPATIBLE, "anitizer"},
        {"no_table.so", TN_STEP_HANDSHAKE, TN_E_INCOMPATIBLE, "no table"},
        {"reason_without_end.so", TN_STEP_HANDSHAKE, TN_E_INCOMPATIBLE, "it refuses: xxx"},
        {"init_reason.so", TN_STEP_INIT, TN_E_UNAVAILABLE, "no licence for mars"},
        {"init_silent.so", TN_STEP_INIT, TN_E_DEVICE_LOST, "gave no reason"},
        {"bad_option_default.so", TN_STEP_INIT, TN_E_INVALID, "level"},
        {"null_name.so", TN_STEP_REGISTER, TN_E_INVALID, "its name \"(NULL)\""},
        {"odd_name.so", TN_STEP_REGISTER, TN_E_INVALID, "its name \"../evil\""},
        {"small_table.so", TN_STEP_REGISTER, TN_E_INVALID, "struct_size 24"},
        {"small_backend.so", TN_STEP_REGISTER, TN_E_INVALID, "backend 0 has struct_size 48"},
        {"small_operator.so", TN_STEP_REGISTER, TN_E_INVALID, "struct_size 16"},
        {"small_kernel.so", TN_STEP_REGISTER, TN_E_INVALID, "kernel 0 has struct_size 32"},
        {"null_op_name.so", TN_STEP_REGISTER, TN_E_INVALID, "is no name"},
        {"null_backend_name.so", TN_STEP_REGISTER, TN_E_INVALID, "\"(NULL)\" cannot be its name"},
        {"host_backend_name.so", TN_STEP_REGISTER, TN_E_INVALID, "\"host\" cannot be its name"},
        {"null_run.so", TN_STEP_REGISTER, TN_E_INVALID, "backend null_run: its function run"},
        {"null_kernel_op.so", TN_STEP_REGISTER, TN_E_INVALID, "kernel 0"},
        {"null_kernel_run.so", TN_STEP_REGISTER, TN_E_INVALID, "its function run is NULL"},
        {"half_memory.so", TN_STEP_REGISTER, TN_E_INVALID, "1 of 5"},
        {"half_queue.so", TN_STEP_REGISTER, TN_E_INVALID, "1 of 7"},
        {"lone_flush.so", TN_STEP_REGISTER, TN_E_INVALID,
         "queue_flush and download_begin, without"},
        {"no_reorder.so", TN_STEP_REGISTER, TN_E_INVALID, "layouts without prepare_reorder"},
        {"offset_outside.so", TN_STEP_REGISTER, TN_E_INVALID, "offset 4096"},
        {"bad_default.so", TN_STEP_REGISTER, TN_E_INVALID, "default of slope"},
        {"op_twice.so", TN_STEP_REGISTER, TN_E_EXISTS, "op_twice_op"},
        {"op_taken.so", TN_STEP_REGISTER, TN_E_EXISTS,
         "operator FullyConnected: the name FullyConnected is taken by operator FullyConnected of "
         "the core"},
        {"alias_taken.so", TN_STEP_REGISTER, TN_E_EXISTS, "the name FullyConnected is taken"},
        {"backend_twice.so", TN_STEP_REGISTER, TN_E_EXISTS, "is taken by plugin backend_twice"},
        {"backend_taken.so", TN_STEP_REGISTER, TN_E_EXISTS, "is taken by plugin good ("},
        {"device_twice.so", TN_STEP_REGISTER, TN_E_EXISTS, "two devices have the id 0"},
        {"device_without_id.so", TN_STEP_REGISTER, TN_E_INVALID, "\"(NULL)\" cannot be the id"},
        {"device_with_comma.so", TN_STEP_REGISTER, TN_E_INVALID, "\"0,1\" cannot be the id"},
    };
    tn_env *env = env_of(hostile_paths);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) check_refused(env, &all[i]);
    tn_env_free(env);
}

static void good_ones_load_beside_them(void)
{
    tn_env *env = env_of(hostile_paths);
    CU_ASSERT(is_used(env, "good.so"));
    CU_ASSERT(is_used(env, "good_too.so"));
    CU_ASSERT_PTR_NOT_NULL(tn_env_op_find(env, "good_op"));
    TN_CHECK_STR(tn_env_op_plugin(env, tn_env_op_find(env, "good_too_op")), "good_too");
    TN_CHECK_STR(tn_env_op_plugin(env, tn_env_op_find(env, "FullyConnected")), "");
    tn_env_free(env);
}

// All or nothing: of a plugin that was refused no operator and no backend is left.
static void refused_plugins_leave_nothing(void)
{
    static const char *const ops[] = {
        "null_run_op", "device_twice_op",    "init_reason_op", "small_backend_op",
        "op_twice_op", "null_kernel_run_op", "spare"};
    tn_env *env = env_of(hostile_paths);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        CU_ASSERT_PTR_NULL(tn_env_op_find(env, ops[i]));
    for (size_t i = 0; i < tn_env_num_backends(env); i++) {
        const tn_backend_entry *b = tn_env_backend(env, i);
        CU_ASSERT(is_used(env, strrchr(b->path, '/') + 1));
    }
    tn_env_free(env);
}

static void the_missing_library_is_named(void)
{
    tn_env *env = env_of(hostile_paths);
    const tn_candidate *c = candidate(env, "missing_library.so");
    if (c) {
        TN_CHECK_STR(c->dependency, "libtn_gone.so.9");
        TN_CHECK_HAS(c->reason, "cannot open shared object file");
    }
    tn_env_free(env);
}

static void explicit_loading_is_required_loading(void)
{
    tn_env *env = env_of((const char *const[]){NULL});
    CU_ASSERT_EQUAL(tn_env_load(env, TN_HOSTILE_DIR "/init_reason.so"), TN_E_UNAVAILABLE);
    TN_CHECK_HAS(tn_env_error(env), "init_reason.so: init: no licence for mars");
    CU_ASSERT_EQUAL(tn_env_load(env, TN_HOSTILE_DIR "/good.so"), TN_OK);
    CU_ASSERT_EQUAL(tn_env_load(env, TN_HOSTILE_DIR "/good.so"), TN_E_EXISTS);
    CU_ASSERT_EQUAL(tn_env_load(env, TN_HOSTILE_DIR "/backend_taken.so"), TN_E_EXISTS);
    TN_CHECK_HAS(tn_env_error(env), "register: backend good: the name is taken by plugin good");
    CU_ASSERT_EQUAL(tn_env_num_candidates(env), 4);
    tn_env_free(env);
}

// ------------------------------------------------------------------ devices

// A driver that is not here is no fault of the plugin: it is listed with the reason.
static void a_missing_driver_is_an_unusable_device(void)
{
    tn_env *env = env_of(hostile_paths);
    const tni_device *d = only_device(env, "no_driver"), *e = only_device(env, "no_driver_silent");
    const tni_device *f = only_device(env, "far_device");
    CU_ASSERT_PTR_NOT_NULL(d);
    if (d) TN_CHECK_STR(d->info.unusable, "libdriver.so.1 is not here");
    if (e) TN_CHECK_HAS(e->info.unusable, "gave no reason");
    if (f) TN_CHECK_HAS(f->info.unusable, "has memory of its own, but the backend no functions");
    CU_ASSERT(is_used(env, "no_device.so"));
    CU_ASSERT_PTR_NULL(only_device(env, "no_device"));
    tn_env_free(env);
}

static void opening_fails_with_the_reason_and_only_once(void)
{
    tn_env *env = env_of(hostile_paths);
    for (int i = 0; i < 2; i++) {
        tni_error error = {0};
        CU_ASSERT_EQUAL(tni_device_open(env, (tni_device *)only_device(env, "good"), &error),
                        TN_E_UNAVAILABLE);
        TN_CHECK_STR(tni_error_text(&error),
                     "device good cannot be opened: the device is on holiday");
        tni_error_clear(&error);
    }
    tni_error error = {0};
    CU_ASSERT_EQUAL(tni_device_open(env, (tni_device *)only_device(env, "open_lies"), &error),
                    TN_E_INTERNAL);
    TN_CHECK_HAS(tni_error_text(&error), "without a device");
    tni_error_clear(&error);
    CU_ASSERT_EQUAL(tni_device_open(env, (tni_device *)only_device(env, "no_driver"), &error),
                    TN_E_UNAVAILABLE);
    TN_CHECK_HAS(tni_error_text(&error), "libdriver.so.1 is not here");
    tni_error_clear(&error);
    tn_env_free(env);
}

// ------------------------------------------------------------------ files made here

// Bytes of good.so, malloc'ed.
static char *good_bytes(size_t *n)
{
    FILE *f = fopen(TN_HOSTILE_DIR "/good.so", "rb");
    char *bytes = NULL;
    *n = 0;
    if (!f) return NULL;
    if (fseek(f, 0, SEEK_END) == 0) {
        const long size = ftell(f);
        rewind(f);
        bytes = size > 0 ? malloc((size_t)size) : NULL;
        if (bytes) *n = fread(bytes, 1, (size_t)size, f);
    }
    fclose(f);
    return bytes;
}

static void write_file(const char *path, const char *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL(f);
    if (!f) return;
    CU_ASSERT_EQUAL(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

// Writes good.so with one byte changed.
static void write_patched(const char *name, size_t at, char value)
{
    size_t n;
    char *bytes = good_bytes(&n);
    CU_ASSERT(bytes && n > at);
    if (bytes && n > at) {
        bytes[at] = value;
        write_file(tn_temporary(name), bytes, n);
    }
    free(bytes);
}

// Loads the file and checks how that was refused.
static void check_file(const char *name, tn_status status, const char *reason)
{
    tn_env *env = env_of((const char *const[]){NULL});
    CU_ASSERT_EQUAL(tn_env_load(env, tn_temporary(name)), status);
    check_refused(env, &(wanted){name, TN_STEP_FILE, status, reason});
    tn_env_free(env);
}

static void files_that_are_no_shared_object(void)
{
    write_file(tn_temporary("empty.so"), "", 0);
    check_file("empty.so", TN_E_FORMAT, "0 bytes: too short for an ELF file");
    write_file(tn_temporary("text.so"),
               "just a text that somebody called .so, long enough to be "
               "taken for a header",
               75);
    check_file("text.so", TN_E_FORMAT, "not an ELF file: it begins with 6a 75 73 74");
    mkdir(tn_temporary("directory.so"), 0700);
    mkfifo(tn_temporary("pipe.so"), 0600);
    check_file("pipe.so", TN_E_FORMAT, "no regular file");
    check_file("absent.so", TN_E_IO, "No such file or directory");
    CU_ASSERT_EQUAL(symlink("/nonexistent/x.so", tn_temporary("dangling.so")), 0);
    check_file("dangling.so", TN_E_IO, "No such file or directory");
    check_file("directory.so", TN_E_FORMAT, "a directory, wanted a regular file");
}

static void files_of_another_machine(void)
{
    write_patched("machine.so", 18, (char)0xB7); // e_machine: AArch64
    check_file("machine.so", TN_E_INCOMPATIBLE, "(AArch64), this is ");
    write_patched("class.so", 4, 1); // EI_CLASS: 32 bits
    check_file("class.so", TN_E_INCOMPATIBLE, "a 32-bit object, this process is 64-bit");
    write_patched("order.so", 5, 2); // EI_DATA: big-endian
    check_file("order.so", TN_E_INCOMPATIBLE, "the other byte order");
    write_patched("type.so", 16, 1); // e_type: object file
    check_file("type.so", TN_E_FORMAT, "type 1, wanted a shared object (3)");
    write_patched("entry.so", 54, 1); // e_phentsize
    check_file("entry.so", TN_E_FORMAT, "program headers of");
}

static void files_that_were_cut_off(void)
{
    size_t n;
    char *bytes = good_bytes(&n);
    const size_t sizes[] = {64, 100, 1000, n / 4, n / 2, n - 64, n - 1};
    CU_ASSERT(bytes && n > 4096);
    for (size_t i = 0; bytes && i < sizeof sizes / sizeof *sizes; i++) {
        write_file(tn_temporary("cut.so"), bytes, sizes[i]);
        check_file("cut.so", TN_E_FORMAT, "cut off: its headers speak of");
    }
    if (bytes) write_file(tn_temporary("cut.so"), bytes, 63);
    check_file("cut.so", TN_E_FORMAT, "63 bytes: too short for an ELF file");
    free(bytes);
}

// Headers with random bytes in them are read, never followed out of the file.
static void headers_at_random_do_no_harm(void)
{
    size_t n, refused = 0;
    char *good = good_bytes(&n), *bytes = good ? malloc(n) : NULL;
    const char *path = tn_temporary("random.so");
    uint64_t random = 20240229;
    for (int round = 0; bytes && round < 500; round++) {
        memcpy(bytes, good, n);
        for (int i = 0; i < 4; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bytes[4 + (random >> 33) % 1020] = (char)(random >> 56);
        }
        write_file(path, bytes, n);
        tni_error error = {0};
        tni_arena arena = {0};
        const int fd = open(path, O_RDONLY);
        refused += !tni_elf_check(fd, &error);
        tni_elf_missing(path, "libm.so.6: cannot open", &arena);
        close(fd);
        tni_error_clear(&error);
        tni_arena_free(&arena);
    }
    CU_ASSERT(refused > 50);
    free(good);
    free(bytes);
}

TN_TEST_MAIN({"each is refused at its step with its reason", each_is_refused_at_its_step},
             {"good plugins load beside them", good_ones_load_beside_them},
             {"refused plugins leave nothing behind", refused_plugins_leave_nothing},
             {"the missing library is named", the_missing_library_is_named},
             {"explicit loading is required loading", explicit_loading_is_required_loading},
             {"a missing driver is an unusable device", a_missing_driver_is_an_unusable_device},
             {"opening a device fails with its reason",
              opening_fails_with_the_reason_and_only_once},
             {"files that are no shared object", files_that_are_no_shared_object},
             {"files of another machine", files_of_another_machine},
             {"files that were cut off", files_that_were_cut_off},
             {"headers at random do no harm", headers_at_random_do_no_harm})
