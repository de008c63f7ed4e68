// core/env/handshake.c: opens a plugin's file, asks tn_plugin_query, and reads sized structs.
#include <ctype.h>
#include <dlfcn.h>
#include <link.h>

#include "core/env/env.h"

// ------------------------------------------------------------------ sized structs, names

bool tni_normalise(void *mine, size_t known, const void *theirs, size_t min, const char *what,
                   tni_error *error)
{
    const uint32_t known_size = (uint32_t)known;
    uint32_t size;
    memset(mine, 0, known);
    if (!theirs) {
        tni_fail(error, TN_E_INVALID, NULL, "%s is NULL", what);
        return false;
    }
    memcpy(&size, theirs, sizeof size);
    if (size < min) {
        tni_fail(error, TN_E_INVALID, NULL, "%s has struct_size %u, wanted at least %zu", what,
                 size, min);
        return false;
    }
    memcpy(mine, theirs, size < known ? size : known);
    memcpy(mine, &known_size, sizeof known_size);
    return true;
}

bool tni_name_ok(const char *name)
{
    size_t n = 0;
    if (!name || name[0] == '.' || name[0] == '-') return false;
    for (; name[n]; n++)
        if (n >= 63 || (!isalnum((unsigned char)name[n]) && !strchr("_-.+", name[n]))) return false;
    return n > 0;
}

// ------------------------------------------------------------------ the dynamic linker

static void *open_object(tni_attempt *a, tni_arena *arena)
{
    a->step = TN_STEP_DLOPEN;
    // NOW: a missing symbol shows here and not in the middle of a run. NODELETE: threads and exit
    // handlers of libraries below the plugin may outlive any moment at which it could be unmapped.
    void *handle = dlopen(a->path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle) return handle;
    const char *said = dlerror();
    char message[1024];
    snprintf(message, sizeof message, "%s", said ? said : "no reason given");
    a->dependency = tni_elf_missing(a->path, message, arena);
    if (a->dependency)
        tni_fail(&a->error, TN_E_UNAVAILABLE, NULL,
                 "the library %s, which it needs, is missing or broken (%s)", a->dependency,
                 message);
    else
        tni_fail(&a->error, TN_E_INCOMPATIBLE, NULL, "%s", message);
    return NULL;
}

// tn_plugin_query of the object itself: dlsym would also find one of a library below it.
static tn_plugin_query_fn find_query(tni_attempt *a, void *handle)
{
    struct link_map *own = NULL, *owner = NULL;
    tn_plugin_query_fn query;
    Dl_info info;
    a->step = TN_STEP_SYMBOL;
    void *symbol = dlsym(handle, "tn_plugin_query");
    if (symbol && dlinfo(handle, RTLD_DI_LINKMAP, &own) == 0 &&
        dladdr1(symbol, &info, (void **)&owner, RTLD_DL_LINKMAP) && own != owner)
        symbol = NULL;
    if (!symbol) {
        tni_fail(&a->error, TN_E_INCOMPATIBLE, NULL,
                 "exports no tn_plugin_query: not a plugin, or built with the symbol hidden");
        return NULL;
    }
    memcpy(&query, &symbol, sizeof query); // POSIX: a function pointer fits
    return query;
}

// ------------------------------------------------------------------ the query

static const char *sanitizer_name(uint32_t sanitizer)
{
    switch (sanitizer) {
    case 0: return "no sanitizer";
    case 1: return "AddressSanitizer";
    case 2: return "MemorySanitizer";
    case 3: return "ThreadSanitizer";
    default: return "an unknown sanitizer";
    }
}

static tn_status refused(tni_attempt *a, tn_reply *r)
{
    r->reason[sizeof r->reason - 1] = 0;
    return tni_fail(&a->error, TN_E_INCOMPATIBLE, NULL,
                    "it refuses: %s (it speaks ABI epochs %u to %u, this core %u)",
                    r->reason[0] ? r->reason : "no reason given", r->epoch_lo, r->epoch_hi,
                    TN_EPOCH);
}

static tn_status check_reply(tni_attempt *a, tn_reply *r)
{
    if (r->magic != TN_MAGIC)
        return tni_fail(&a->error, TN_E_INCOMPATIBLE, NULL,
                        "answered with magic 0x%08x, wanted 0x%08x", r->magic, TN_MAGIC);
    if (r->status != TN_OK) return refused(a, r);
    a->has_abi = true;
    a->epoch = r->epoch;
    a->minor = r->built_minor;
    if (r->epoch != TN_EPOCH)
        return tni_fail(&a->error, TN_E_INCOMPATIBLE, NULL,
                        "chose ABI epoch %u, which was not offered (%u)", r->epoch, TN_EPOCH);
    if (r->needs_minor > TN_MINOR)
        return tni_fail(&a->error, TN_E_INCOMPATIBLE, NULL,
                        "needs ABI minor %u, this core has %u: a newer Tenon is wanted",
                        r->needs_minor, TN_MINOR);
    if (TN_EPOCH == 0 && r->built_minor != TN_MINOR)
        return tni_fail(&a->error, TN_E_INCOMPATIBLE, NULL,
                        "built for ABI epoch 0 minor %u, this core has %u: rebuild it (epoch 0 "
                        "wants equal minors)",
                        r->built_minor, TN_MINOR);
    if (r->sanitizer != TN_SANITIZER)
        return tni_fail(&a->error, TN_E_INCOMPATIBLE, NULL, "built with %s, this core with %s",
                        sanitizer_name(r->sanitizer), sanitizer_name(TN_SANITIZER));
    if (!r->table.p)
        return tni_fail(&a->error, TN_E_INCOMPATIBLE, NULL, "accepts, but gives no table");
    return TN_OK;
}

const tn_plugin *tni_handshake(tni_attempt *a, tni_arena *arena)
{
    const tn_hello hello = {.magic = TN_MAGIC,
                            .size = sizeof hello,
                            .sanitizer = TN_SANITIZER,
                            .core_version = TN_VERSION,
                            .n_offers = 1,
                            .offers = {{TN_EPOCH, TN_MINOR}}};
    tn_reply reply = {.magic = TN_MAGIC, .size = sizeof reply};
    void *handle = open_object(a, arena);
    const tn_plugin_query_fn query = handle ? find_query(a, handle) : NULL;
    if (!query) return NULL;
    a->step = TN_STEP_HANDSHAKE;
    const tn_status said = query(&hello, &reply);
    if (said != TN_OK && reply.status == TN_OK) reply.status = said;
    return check_reply(a, &reply) == TN_OK ? reply.table.p : NULL;
}
