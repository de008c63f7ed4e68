// tenon/kernel.h: comfort for kernel writers: a backend is a table of rows
// {operator, dtypes, cannot, setup, run}, and everything else of the ABI is filled in here.
//
// Static inline, no library, C11 only. A backend of host memory needs TN_HOST_BACKEND of
// <tenon/host_backend.h>, which is included here, and its families of rows; a single kernel in an
// operator plugin needs TN_HOST_KERNEL.
#ifndef TENON_KERNEL_H
#define TENON_KERNEL_H

#include <math.h>
#include <stdlib.h>
#include <tenon/sdk.h>

typedef struct tn_kernel_row tn_kernel_row;

// What tn_kernel is for backends made with this header. `state` has row->state_size bytes, zeroed
// before setup.
typedef struct tn_sdk_kernel {
    const tn_call *call; // valid as long as the kernel
    const tn_kernel_row *row;
    const tn_host_api *host;
    void *plugin; // what init() returned
    void *state;
    uint64_t bytes; // of this and its state
} tn_sdk_kernel;

struct tn_kernel_row {
    const char *op;
    uint32_t dtypes;  // TN_BIT set: dtype of input 0, or of output 0 if there is no input
    uint32_t flags;   // TN_K_*; TN_ROW_*
    const char *impl; // implementation name for reports; NULL: "generic"
    size_t state_size;
    // Why this kernel leaves the call to another, or NULL if it takes it. Pure, and the same
    // whatever the layouts of the values are.
    const char *(*cannot)(const tn_call *call);
    // Chooses sizes and fills info (scratch, stash, inplace, impl); may fail. NULL: nothing to do.
    tn_status (*setup)(tn_sdk_kernel *k, tn_kernel_info *info);
    tn_status (*run)(const tn_sdk_kernel *k, const tn_run_args *a);
    // Releases what setup acquired; not called after a setup that failed. NULL: nothing.
    void (*teardown)(tn_sdk_kernel *k);
    // Wishes for layouts, as tn_backend_api.layouts; NULL: row-major, whatever arrives.
    tn_status (*layouts)(const tn_host_api *host, const tn_call *call, tn_layout *in,
                         tn_layout *out);
};
enum {
    TN_ROW_INPLACE = 1 << 16 // output 0 may be written over input 0 and, if of one size, input 1
};

#define TN_FLOATS (TN_BIT(TN_F32) | TN_BIT(TN_F64) | TN_BIT(TN_F16) | TN_BIT(TN_BF16))
#define TN_INTEGERS (TN_BIT(TN_I8) | TN_BIT(TN_U8) | TN_BIT(TN_I32) | TN_BIT(TN_I64))
#define TN_ALL_DTYPES (TN_FLOATS | TN_INTEGERS | TN_BIT(TN_BOOL))

// ------------------------------------------------------------------ reading a call

// The declaration of a parameter, or NULL. Calls carry the operator's declaration, so a kernel
// reads parameters by name and survives declarations that grow.
static inline const tn_param_decl *tn_call_decl(const tn_call *c, const char *name)
{
    if (c->op->params)
        for (const tn_param_decl *const *p = c->op->params; *p; p++)
            if (strcmp((*p)->name, name) == 0) return *p;
    return NULL;
}

static inline const void *tn_call_param(const tn_call *c, const char *name)
{
    const tn_param_decl *p = tn_call_decl(c, name);
    return p ? (const char *)c->params + p->offset : NULL;
}

// Value of a parameter; the fallback if the operator (an older or newer one) has none of that name.
static inline int64_t tn_call_i64(const tn_call *c, const char *name, int64_t fallback)
{
    const void *p = tn_call_param(c, name);
    return p ? *(const int64_t *)p : fallback;
}
static inline double tn_call_f64(const tn_call *c, const char *name, double fallback)
{
    const void *p = tn_call_param(c, name);
    return p ? *(const double *)p : fallback;
}
static inline bool tn_call_bool(const tn_call *c, const char *name, bool fallback)
{
    const void *p = tn_call_param(c, name);
    return p ? *(const int32_t *)p != 0 : fallback;
}
static inline tn_dtype tn_call_dtype(const tn_call *c, const char *name)
{
    const void *p = tn_call_param(c, name);
    return p ? *(const tn_dtype *)p : TN_DTYPE_NONE;
}
static inline tn_ints tn_call_ints(const tn_call *c, const char *name)
{
    const void *p = tn_call_param(c, name);
    return p ? *(const tn_ints *)p : (tn_ints){0, NULL};
}
static inline tn_reals tn_call_reals(const tn_call *c, const char *name)
{
    const void *p = tn_call_param(c, name);
    return p ? *(const tn_reals *)p : (tn_reals){0, NULL};
}

// True if the enum parameter has that value: tn_call_is(c, "act_type", "relu").
static inline bool tn_call_is(const tn_call *c, const char *name, const char *value)
{
    const tn_param_decl *p = tn_call_decl(c, name);
    if (!p || !p->choices) return false;
    int32_t left = *(const int32_t *)(const void *)((const char *)c->params + p->offset);
    const char *at = p->choices;
    while (left > 0 && at) {
        at = strchr(at, '|');
        if (at) at++;
        left--;
    }
    const size_t n = strlen(value);
    return left == 0 && at && strncmp(at, value, n) == 0 && (at[n] == 0 || at[n] == '|');
}

// The dtype that rows are chosen by.
static inline tn_dtype tn_call_main_dtype(const tn_call *c)
{
    return c->n_in ? c->in[0]->dtype : c->n_out ? c->out[0]->dtype : TN_DTYPE_NONE;
}

__attribute__((format(printf, 3, 4))) static inline tn_status
tn_fail(const tn_host_api *host, tn_status status, const char *format, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return host->fail(host->host, status, text);
}

__attribute__((format(printf, 3, 4))) static inline tn_status
tn_refuse(tn_verdict *v, uint32_t reason, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(v->text, sizeof v->text, format, ap);
    va_end(ap);
    v->ok = 0;
    v->reason = reason;
    return TN_OK;
}

// ------------------------------------------------------------------ rows as a backend

// The row that takes the call, or NULL and the reason in v. Families end with NULL, tables with a
// row without op. Tables are asked in order, so a special row stands before a general one.
static inline const tn_kernel_row *tn_rows_find(const tn_kernel_row *const *families,
                                                const tn_call *call, tn_verdict *v)
{
    const tn_dtype dtype = tn_call_main_dtype(call);
    tn_refuse(v, TN_NO_OP, "no kernel for %s", call->op->name);
    for (const tn_kernel_row *const *f = families; *f; f++) {
        for (const tn_kernel_row *r = *f; r->op; r++) {
            if (strcmp(r->op, call->op->name) != 0) continue;
            if (dtype < 0 || dtype >= TN_DTYPE_END || !(r->dtypes & TN_BIT(dtype))) {
                if (v->reason == TN_NO_OP)
                    tn_refuse(v, TN_NO_DTYPE, "no kernel for %s of this dtype", call->op->name);
                continue;
            }
            const char *why = r->cannot ? r->cannot(call) : NULL;
            if (!why) {
                v->ok = 1;
                v->reason = 0;
                v->text[0] = 0;
                return r;
            }
            tn_refuse(v, TN_NO_PARAM, "%s", why);
        }
    }
    return NULL;
}

static inline uint32_t tn_rows_may_support(const tn_kernel_row *const *families, const char *op,
                                           tn_dtype dtype)
{
    for (const tn_kernel_row *const *f = families; *f; f++)
        for (const tn_kernel_row *r = *f; r->op; r++)
            if (strcmp(r->op, op) == 0 && (r->dtypes & TN_BIT(dtype))) return 1;
    return 0;
}

static inline void tn_row_inplace(const tn_call *c, tn_kernel_info *info)
{
    for (uint32_t i = 0; i < c->n_in && i < 2 && c->n_out; i++) {
        if (c->in[i]->bytes != c->out[0]->bytes || (c->in[i]->flags & TN_VALUE_SHAPE_ONLY))
            continue;
        if (tn_dtype_size(c->in[i]->dtype) != tn_dtype_size(c->out[0]->dtype)) continue;
        info->inplace[info->n_inplace++] = (tn_inplace){i, 0};
    }
}

// A kernel with its state and `more` bytes behind it, zeroed; NULL if there is no memory.
static inline tn_sdk_kernel *tn_row_new(const tn_kernel_row *row, const tn_host_api *host,
                                        void *plugin, size_t more)
{
    const size_t head = (sizeof(tn_sdk_kernel) + 63) / 64 * 64;
    const size_t state = (row->state_size + 63) / 64 * 64, bytes = head + state + more;
    tn_sdk_kernel *k = (tn_sdk_kernel *)host->alloc(host->host, bytes, 64);
    if (!k) return NULL;
    memset(k, 0, bytes);
    *k = (tn_sdk_kernel){NULL, row, host, plugin, (char *)k + head, bytes};
    return k;
}

// Finishes what tn_row_new began: it has its call.
static inline tn_status tn_row_setup(tn_sdk_kernel *k, tn_kernel **out, tn_kernel_info *info)
{
    const tn_kernel_row *row = k->row;
    info->impl = row->impl ? row->impl : "generic";
    info->flags = row->flags & 0xFFFFu;
    if (row->flags & TN_ROW_INPLACE) tn_row_inplace(k->call, info);
    const tn_status s = row->setup ? row->setup(k, info) : TN_OK;
    if (s != TN_OK) {
        k->host->free(k->host->host, k, k->bytes, 64);
        return s;
    }
    *out = (tn_kernel *)k;
    return TN_OK;
}

static inline tn_status tn_row_prepare(const tn_kernel_row *row, const tn_host_api *host,
                                       void *plugin, const tn_call *call, tn_kernel **out,
                                       tn_kernel_info *info)
{
    tn_sdk_kernel *k = tn_row_new(row, host, plugin, 0);
    if (!k) return tn_fail(host, TN_E_NOMEM, "%s: no memory for a kernel", call->op->name);
    k->call = call;
    return tn_row_setup(k, out, info);
}

static inline tn_status tn_row_run(tn_kernel *kernel, const tn_run_args *a)
{
    const tn_sdk_kernel *k = (const tn_sdk_kernel *)kernel;
    return k->row->run(k, a);
}

static inline void tn_row_destroy(tn_kernel *kernel)
{
    tn_sdk_kernel *k = (tn_sdk_kernel *)kernel;
    if (k->row->teardown) k->row->teardown(k);
    k->host->free(k->host->host, k, k->bytes, 64);
}

// ------------------------------------------------------------------ kernels from rows

// Finds the row that takes the call and prepares it: what supports() took.
static inline tn_status tn_rows_prepare(const tn_kernel_row *const *families,
                                        const tn_host_api *host, void *plugin, const tn_call *call,
                                        tn_kernel **out, tn_kernel_info *info)
{
    tn_verdict v = {.struct_size = sizeof v};
    const tn_kernel_row *row = tn_rows_find(families, call, &v);
    if (!row) return tn_fail(host, TN_E_UNSUPPORTED, "%s", v.text);
    return tn_row_prepare(row, host, plugin, call, out, info);
}

// A reorder is no call of the graph: the kernel brings one of its own.
typedef struct tn_sdk_reorder {
    tn_call call;
    const tn_value_info *values[2];
} tn_sdk_reorder;

// prepare_reorder() by a row that brings in[0] into the layout of out[0]. The row is asked for by
// no name and no dtype, so its setup refuses what it cannot do.
static inline tn_status tn_row_prepare_reorder(const tn_kernel_row *row, const tn_host_api *host,
                                               void *plugin, const tn_value_info *src,
                                               const tn_value_info *dst, tn_kernel **out,
                                               tn_kernel_info *info)
{
    static const tn_op_decl op = {.struct_size = sizeof op, .name = "_reorder", .version = 1};
    tn_sdk_kernel *k = tn_row_new(row, host, plugin, sizeof(tn_sdk_reorder));
    if (!k) return tn_fail(host, TN_E_NOMEM, "no memory for a reorder");
    tn_sdk_reorder *r = (tn_sdk_reorder *)(void *)((char *)k + k->bytes - sizeof *r);
    r->values[0] = src;
    r->values[1] = dst;
    r->call = (tn_call){.struct_size = sizeof r->call,
                        .op = &op,
                        .n_in = 1,
                        .n_out = 1,
                        .in = &r->values[0],
                        .out = &r->values[1],
                        .max_workers = info->max_workers};
    k->call = &r->call;
    return tn_row_setup(k, out, info);
}

// ------------------------------------------------------------------ a plugin's state

typedef struct tn_host_backend tn_host_backend;

// The state of a plugin that is made with this header; of a backend of host memory,
// <tenon/host_backend.h>, it is the one device at the same time.
typedef struct tn_sdk_plugin {
    const tn_host_api *host;
    const tn_host_backend *backend; // NULL in a plugin without a backend
} tn_sdk_plugin;

static inline tn_status tn_sdk_init(const tn_host_api *host, const tn_host_backend *backend,
                                    void **plugin)
{
    tn_sdk_plugin *p = (tn_sdk_plugin *)host->alloc(host->host, sizeof *p, 64);
    if (!p) return tn_fail(host, TN_E_NOMEM, "no memory for the plugin");
    *p = (tn_sdk_plugin){host, backend};
    *plugin = p;
    return TN_OK;
}

static inline void tn_sdk_shutdown(void *plugin)
{
    const tn_sdk_plugin *p = (const tn_sdk_plugin *)plugin;
    p->host->free(p->host->host, plugin, sizeof *p, 64);
}

// ------------------------------------------------------------------ kernels in an operator plugin

// Kernels of one operator for every device of host memory, from a table of rows; the plugin's
// entry in `kernels` is &<ident>_kernel. The plugin's init is tn_sdk_plugin_init, or it returns a
// struct that begins with a tn_sdk_plugin.
#define TN_HOST_KERNEL(ident_, op_, rows_)                                                      \
    static const tn_kernel_row *const ident_##_families[] = {(rows_), NULL};                    \
    static tn_status ident_##_supports(void *plugin, const tn_call *call, tn_verdict *out)      \
    {                                                                                           \
        (void)plugin;                                                                           \
        tn_rows_find(ident_##_families, call, out);                                             \
        return TN_OK;                                                                           \
    }                                                                                           \
    static tn_status ident_##_prepare(void *plugin, const void *interface, const tn_call *call, \
                                      tn_kernel **out, tn_kernel_info *info)                    \
    {                                                                                           \
        (void)interface;                                                                        \
        const tn_sdk_plugin *p = (const tn_sdk_plugin *)plugin;                                 \
        return tn_rows_prepare(ident_##_families, p->host, plugin, call, out, info);            \
    }                                                                                           \
    static const tn_kernel_decl ident_##_kernel = {                                             \
        .struct_size = sizeof(tn_kernel_decl),                                                  \
        .op = (op_),                                                                            \
        .backend = "host",                                                                      \
        .supports = ident_##_supports,                                                          \
        .prepare = ident_##_prepare,                                                            \
        .run = tn_row_run,                                                                      \
        .kernel_destroy = tn_row_destroy,                                                       \
    };

static inline tn_status tn_sdk_plugin_init(const tn_host_api *host, void **plugin)
{
    return tn_sdk_init(host, NULL, plugin);
}

// v as a whole number from lo to hi: truncated, cut off at the ends, 0 for NaN.
static inline int64_t tn_saturate(double v, int64_t lo, int64_t hi)
{
    if (isnan(v)) return 0;
    if (v <= (double)lo) return lo;
    if (v >= (double)hi) return hi; // (double)INT64_MAX is 2^63, which does not fit either
    return (int64_t)v;
}

// ------------------------------------------------------------------ loops

// Adapter for parallel_for: TN_FOR(k, a, n, grain, fn, &ctx).
static inline void tn_parallel(const tn_sdk_kernel *k, const tn_run_args *a, int64_t n,
                               int64_t grain, tn_range_fn fn, void *ctx)
{
    if (n <= 0) return;
    if (a->max_workers == 1 || n <= grain) {
        fn(ctx, 0, n, 0);
        return;
    }
    k->host->parallel_for(k->host->host, n, grain, a->max_workers, fn, ctx);
}

#include <tenon/host_backend.h>

#endif
