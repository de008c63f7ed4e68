// core/passes/devices.c: reads lists of devices: "onednn,blas", "opencl:gpu,reference".
#include "core/passes/place.h"

typedef struct reader {
    tn_graph *g;
    const char *what; // "backends", "TENON_BACKENDS", "group \"stage1\""
    const char *list; // NULL: the default order
    tni_device **devices;
    size_t n, capacity;
} reader;

static tn_status add_device(reader *r, tni_device *d)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->devices[i] == d) return TN_OK;
    void *devices = r->devices;
    if (!tni_grow(&devices, &r->capacity, r->n + 1, sizeof *r->devices))
        return tni_graph_fail(r->g, TN_E_NOMEM, 0, "out of memory");
    r->devices = devices;
    r->devices[r->n++] = d;
    return TN_OK;
}

static tni_backend *find_backend(const tni_registry *registry, const char *name)
{
    for (uint32_t i = 0; i < registry->n_backends; i++)
        if (strcmp(registry->backends[i]->api.name, name) == 0) return registry->backends[i];
    return NULL;
}

// Is `which` ("0", "gpu", "GPU-9f3a"; NULL: any) a name of this device?
static bool device_is(const tni_device *d, const char *which)
{
    char number[24];
    if (!which) return true;
    if (d->info.id && strcmp(d->info.id, which) == 0) return true;
    if (d->info.kind && strcmp(d->info.kind, which) == 0) return true;
    snprintf(number, sizeof number, "%td", d - d->backend->devices);
    return strcmp(number, which) == 0;
}

bool tni_device_is(const tni_device *d, const char *name)
{
    const char *backend = d->backend->api.name;
    const size_t n = strlen(backend);
    if (strcmp(d->uri, name) == 0) return true;
    if (strncmp(name, backend, n) != 0) return false;
    return name[n] == 0 || (name[n] == ':' && device_is(d, name + n + 1));
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Does the file's name have this word in it, as "libtenon_onednn.so" has "onednn"?
static bool names_file(const char *path, const char *word)
{
    const char *base = strrchr(path, '/');
    const size_t n = strlen(word);
    base = base ? base + 1 : path;
    for (const char *at = strstr(base, word); at && n; at = strstr(at + 1, word))
        if ((at == base || !is_word(at[-1])) && !is_word(at[n])) return true;
    return false;
}

// The record of a refused plugin that seems to bring this backend; NULL if there is none.
static const tn_candidate *find_refused(const tn_env *env, const char *name)
{
    for (size_t i = 0; i < tn_env_num_candidates(env); i++) {
        const tn_candidate *c = tn_env_candidate(env, i);
        if (c->step == TN_STEP_USED || c->step == TN_STEP_SHADOWED) continue;
        if (strcmp(c->name, name) == 0 || names_file(c->path, name)) return c;
    }
    return NULL;
}

static tn_status no_backend(const reader *r, const char *name)
{
    const tni_registry *registry = r->g->registry;
    const tn_candidate *c = find_refused(r->g->env, name);
    if (c)
        return tni_graph_fail(r->g, TN_E_UNAVAILABLE, 0,
                              "%s \"%s\": backend \"%s\" is not loaded: %s was refused at %s: %s",
                              r->what, r->list, name, c->path, tn_step_name(c->step), c->reason);
    const char **names = calloc(registry->n_backends + 1, sizeof *names);
    tni_text near = {0};
    for (uint32_t i = 0; names && i < registry->n_backends; i++)
        names[i] = registry->backends[i]->api.name;
    if (names) tni_text_nearest(&near, name, names, registry->n_backends);
    const tn_status s = tni_graph_fail(r->g, TN_E_NOT_FOUND, 0, "%s \"%s\": no backend \"%s\"%s",
                                       r->what, r->list, name,
                                       registry->n_backends == 0 ? "; no backend is loaded at all"
                                       : near.s                  ? near.s
                                                                 : "");
    tni_text_free(&near);
    free(names);
    return s;
}

// No device of b is called `which`.
static tn_status no_device(const reader *r, const tni_backend *b, const char *which)
{
    tni_text has = {0};
    for (uint32_t i = 0; i < b->n_devices; i++)
        tni_text_printf(&has, "%s%s:%s (%s)", i ? ", " : "", b->api.name, b->devices[i].info.id,
                        b->devices[i].info.kind ? b->devices[i].info.kind : "device");
    const tn_status s =
        which ? tni_graph_fail(r->g, TN_E_NOT_FOUND, 0,
                               "%s \"%s\": backend \"%s\" has no device \"%s\"; it has: %s",
                               r->what, r->list, b->api.name, which, has.s ? has.s : "none")
              : tni_graph_fail(r->g, TN_E_UNAVAILABLE, 0, "%s \"%s\": backend \"%s\" has no device",
                               r->what, r->list, b->api.name);
    tni_text_free(&has);
    return s;
}

// First device of b with that name that opens; NULL and the failures in why, and how many tried.
static tni_device *open_first(const reader *r, tni_backend *b, const char *which, tni_text *why,
                              size_t *tried)
{
    *tried = 0;
    for (uint32_t i = 0; i < b->n_devices; i++) {
        tni_device *d = &b->devices[i];
        tni_error error = {0};
        if (!device_is(d, which)) continue;
        if (tni_device_open(r->g->env, d, &error) == TN_OK) return d;
        tni_text_printf(why, "%s%s: %s", why->n ? "; " : "", d->uri, tni_error_text(&error));
        tni_error_clear(&error);
        ++*tried;
    }
    return NULL;
}

// One item of a list. The text is taken apart.
static tn_status add_item(reader *r, char *item)
{
    char *which = strchr(item, ':');
    if (which) *which++ = 0;
    if (!*item || (which && !*which))
        return tni_graph_fail(r->g, TN_E_INVALID, 0,
                              "%s \"%s\": empty name; wanted a list such as \"blas,reference\"",
                              r->what, r->list);
    tni_backend *b = find_backend(r->g->registry, item);
    if (!b) return no_backend(r, item);
    tni_text why = {0};
    size_t tried;
    tni_device *d = open_first(r, b, which, &why, &tried);
    tn_status s;
    if (d)
        s = add_device(r, d);
    else if (tried == 0)
        s = no_device(r, b, which);
    else
        s = tni_graph_fail(r->g, TN_E_UNAVAILABLE, 0, "%s \"%s\": %s", r->what, r->list,
                           why.s ? why.s : "unknown reason");
    tni_text_free(&why);
    return s;
}

// The text without blanks around it; changes it.
static char *trimmed(char *text)
{
    text += strspn(text, " \t");
    size_t n = strlen(text);
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\t')) n--;
    text[n] = 0;
    return text;
}

static tn_status read_list(reader *r)
{
    char *copy = strdup(r->list);
    if (!copy) return tni_graph_fail(r->g, TN_E_NOMEM, 0, "out of memory");
    tn_status s = TN_OK;
    for (char *at = copy; at && s == TN_OK;) {
        char *end = strchr(at, ',');
        if (end) *end = 0;
        s = add_item(r, trimmed(at));
        at = end ? end + 1 : NULL;
    }
    free(copy);
    return s;
}

// One device of each backend, in order of rank; those that do not open are left out.
static tn_status read_default(reader *r)
{
    const tni_registry *registry = r->g->registry;
    tni_text why = {0};
    tn_status s = TN_OK;
    for (uint32_t i = 0; i < registry->n_backends && s == TN_OK; i++) {
        tni_backend *b = registry->backends[i];
        size_t tried;
        if (b->api.rank < TN_RANK_LAST) continue;
        tni_device *d = open_first(r, b, NULL, &why, &tried);
        if (d) s = add_device(r, d);
    }
    if (s == TN_OK && r->n == 0)
        s = tni_graph_fail(r->g, TN_E_UNAVAILABLE, 0, "no backend can be used: %s",
                           why.s                  ? why.s
                           : registry->n_backends ? "none has a device"
                                                  : "none is loaded");
    tni_text_free(&why);
    return s;
}

tni_device **tni_devices_read(tn_graph *g, const char *what, const char *list, size_t *n)
{
    reader r = {.g = g, .what = what, .list = list};
    *n = 0;
    if ((list ? read_list(&r) : read_default(&r)) != TN_OK) {
        free(r.devices);
        return NULL;
    }
    *n = r.n;
    return r.devices;
}

tni_device **tni_devices_parse(tn_graph *g, const char *list, size_t *n)
{
    if (list) return tni_devices_read(g, "backends", list, n);
    const char *given = secure_getenv("TENON_BACKENDS");
    return tni_devices_read(g, "TENON_BACKENDS", given && *given ? given : NULL, n);
}
