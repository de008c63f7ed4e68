// tests/plugins/blocked.c: the backend "blocked": host memory, but matrices in a layout of its own.
//
// A test double for everything that reorders. A float32 matrix (n, m) in the layout "blocked"
// lies column by column, each column padded with zeros to a multiple of four rows, so neither its
// order nor its size is that of row-major. FullyConnected asks for it on data and gives it out;
// relu, _mul and elemwise_add take whatever their first input has. Kernels accept row-major too,
// as every kernel must. Padding is checked: a reorder or a kernel that leaves it dirty is an error.
#include <tenon/kernel.h>

static const char domain[] = "blocked";
enum { COLUMNS = 1, PAD = 4 }; // id of the one layout; rows of a column are padded to PAD

// How a matrix lies: element (i, j) at i * row + j * column.
typedef struct grid {
    int64_t n, m, row, column;
    bool blocked;
} grid;

typedef struct blocked_state {
    grid in[3], out;
    int64_t k;
} blocked_state;

static int64_t padded(int64_t n)
{
    return (n + PAD - 1) / PAD * PAD;
}

static bool is_blocked(const tn_layout *l)
{
    return l->domain && strcmp(l->domain, domain) == 0 && l->id == COLUMNS;
}

static grid grid_of(const tn_value_info *v)
{
    grid g = {.n = v->ndim == 2 ? v->dims[0] : 1, .m = v->ndim == 2 ? v->dims[1] : v->size};
    g.blocked = is_blocked(&v->layout);
    g.row = g.blocked ? 1 : g.m;
    g.column = g.blocked ? padded(g.n) : 1;
    return g;
}

static tn_layout blocked_layout(const tn_value_info *v)
{
    const uint64_t bytes = (uint64_t)(padded(v->dims[0]) * v->dims[1]) * sizeof(float);
    return (tn_layout){domain, COLUMNS, bytes};
}

static void clear_padding(const grid *g, float *y)
{
    for (int64_t j = 0; g->blocked && j < g->m; j++)
        for (int64_t i = g->n; i < g->column; i++) y[i + j * g->column] = 0;
}

static bool padding_dirty(const grid *g, const float *x)
{
    for (int64_t j = 0; g->blocked && j < g->m; j++)
        for (int64_t i = g->n; i < g->column; i++)
            if (x[i + j * g->column] != 0) return true;
    return false;
}

// ------------------------------------------------------------------ kernels

static const char *cannot(const tn_call *c)
{
    for (uint32_t i = 0; i < c->n_in + c->n_out; i++) {
        const tn_layout *l = i < c->n_in ? &c->in[i]->layout : &c->out[i - c->n_in]->layout;
        if (l->domain && !is_blocked(l)) return "a layout of another backend";
    }
    if (c->in[0]->ndim != 2) return "only matrices";
    return NULL;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blocked_state *s = k->state;
    for (uint32_t i = 0; i < k->call->n_in && i < 3; i++) s->in[i] = grid_of(k->call->in[i]);
    s->out = grid_of(k->call->out[0]);
    s->k = k->call->in[0]->dims[1];
    info->impl = s->out.blocked ? "columns" : "rows";
    return TN_OK;
}

static tn_status check_inputs(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const blocked_state *s = k->state;
    for (uint32_t i = 0; i < a->n_in && i < 3; i++)
        if (padding_dirty(&s->in[i], a->in[i].host))
            return tn_fail(k->host, TN_E_INTERNAL, "blocked: %s: input %u has dirty padding",
                           k->call->name ? k->call->name : k->call->op->name, i);
    return TN_OK;
}

// y = f(a, b) over matrices of one shape that may lie in different ways.
#define POINTWISE(name_, n_in_, formula_)                                   \
    static tn_status name_(const tn_sdk_kernel *k, const tn_run_args *args) \
    {                                                                       \
        const blocked_state *s = k->state;                                  \
        const grid *g0 = &s->in[0], *g1 = &s->in[(n_in_)-1], *o = &s->out;  \
        const float *x0 = args->in[0].host, *x1 = args->in[(n_in_)-1].host; \
        float *y = args->out[0].host;                                       \
        const tn_status status = check_inputs(k, args);                     \
        for (int64_t i = 0; i < o->n; i++) {                                \
            for (int64_t j = 0; j < o->m; j++) {                            \
                const float a = x0[i * g0->row + j * g0->column];           \
                const float b = x1[i * g1->row + j * g1->column];           \
                (void)b;                                                    \
                y[i * o->row + j * o->column] = (formula_);                 \
            }                                                               \
        }                                                                   \
        clear_padding(o, y);                                                \
        return status;                                                      \
    }
POINTWISE(blocked_relu, 1, a > 0 ? a : 0)
POINTWISE(blocked_mul, 2, a *b)
POINTWISE(blocked_add, 2, a + b)

// y (n, m) = data (n, k) · weight (m, k)ᵀ + bias (m,)
static tn_status blocked_dense(const tn_sdk_kernel *k, const tn_run_args *args)
{
    const blocked_state *s = k->state;
    const grid *x = &s->in[0], *w = &s->in[1], *o = &s->out;
    const float *data = args->in[0].host, *weight = args->in[1].host;
    const float *bias = args->n_in == 3 ? args->in[2].host : NULL;
    float *y = args->out[0].host;
    const tn_status status = check_inputs(k, args);
    for (int64_t i = 0; i < o->n; i++) {
        for (int64_t j = 0; j < o->m; j++) {
            double sum = bias ? (double)bias[j] : 0;
            for (int64_t c = 0; c < s->k; c++)
                sum += (double)data[i * x->row + c * x->column] *
                       (double)weight[j * w->row + c * w->column];
            y[i * o->row + j * o->column] = (float)sum;
        }
    }
    clear_padding(o, y);
    return status;
}

#define ROW(op_, run_)                                                                       \
    {                                                                                        \
        .op = (op_), .dtypes = TN_BIT(TN_F32), .flags = TN_K_REENTRANT | TN_K_DETERMINISTIC, \
        .state_size = sizeof(blocked_state), .cannot = cannot, .setup = setup, .run = (run_) \
    }
static const tn_kernel_row rows[] = {
    ROW("relu", blocked_relu),
    ROW("_mul", blocked_mul),
    ROW("elemwise_add", blocked_add),
    ROW("FullyConnected", blocked_dense),
    {0},
};
static const tn_kernel_row *const families[] = {rows, NULL};

// ------------------------------------------------------------------ layouts and reorders

static tn_status layouts(tn_device *device, const tn_call *call, tn_layout *in, tn_layout *out)
{
    const bool dense = strcmp(call->op->name, "FullyConnected") == 0;
    (void)device;
    if (dense) {
        in[0] = blocked_layout(call->in[0]); // weight and bias stay as they are
        out[0] = blocked_layout(call->out[0]);
        return TN_OK;
    }
    // Elementwise: the layout of the first input is good for all.
    if (!is_blocked(&in[0])) return TN_OK;
    for (uint32_t i = 1; i < call->n_in; i++) in[i] = blocked_layout(call->in[i]);
    out[0] = blocked_layout(call->out[0]);
    return TN_OK;
}

// A kernel of _reorder is no row: it knows nothing but the two layouts.
typedef struct reorder {
    const tn_host_api *host;
    grid from, to;
} reorder;

typedef struct blocked_kernel {
    tn_kernel *row;   // a kernel of a row, or …
    reorder *reorder; // … this
} blocked_kernel;

static tn_status kernel_new(const tn_host_api *host, blocked_kernel **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? TN_OK : tn_fail(host, TN_E_NOMEM, "blocked: no memory for a kernel");
}

static tn_status prepare(tn_device *device, const tn_call *call, tn_kernel **out,
                         tn_kernel_info *info)
{
    const tn_host_api *host = ((tn_sdk_plugin *)device)->host;
    tn_verdict v = {.struct_size = sizeof v};
    const tn_kernel_row *row = tn_rows_find(families, call, &v);
    blocked_kernel *k = NULL;
    if (!row) return tn_fail(host, TN_E_UNSUPPORTED, "blocked: %s", v.text);
    tn_status s = kernel_new(host, &k);
    if (s == TN_OK) s = tn_row_prepare(row, host, device, call, &k->row, info);
    if (s != TN_OK) {
        free(k);
        return s;
    }
    *out = (tn_kernel *)k;
    return TN_OK;
}

static tn_status prepare_reorder(tn_device *device, const tn_value_info *src,
                                 const tn_value_info *dst, tn_kernel **out, tn_kernel_info *info)
{
    const tn_host_api *host = ((tn_sdk_plugin *)device)->host;
    blocked_kernel *k = NULL;
    if (src->ndim != 2 || src->dtype != TN_F32)
        return tn_fail(host, TN_E_UNSUPPORTED, "blocked: only float32 matrices are reordered");
    const tn_status s = kernel_new(host, &k);
    if (s != TN_OK) return s;
    k->reorder = calloc(1, sizeof *k->reorder);
    if (!k->reorder) {
        free(k);
        return tn_fail(host, TN_E_NOMEM, "blocked: no memory for a reorder");
    }
    *k->reorder = (reorder){host, grid_of(src), grid_of(dst)};
    info->impl = k->reorder->to.blocked ? "to columns" : "to rows";
    info->flags = TN_K_REENTRANT | TN_K_DETERMINISTIC;
    *out = (tn_kernel *)k;
    return TN_OK;
}

static tn_status run_reorder(const reorder *r, const tn_run_args *a)
{
    const float *x = a->in[0].host;
    float *y = a->out[0].host;
    if (padding_dirty(&r->from, x))
        return tn_fail(r->host, TN_E_INTERNAL, "blocked: a reorder's input has dirty padding");
    for (int64_t i = 0; i < r->to.n; i++)
        for (int64_t j = 0; j < r->to.m; j++)
            y[i * r->to.row + j * r->to.column] = x[i * r->from.row + j * r->from.column];
    clear_padding(&r->to, y);
    return TN_OK;
}

static tn_status run(tn_kernel *kernel, const tn_run_args *a)
{
    const blocked_kernel *k = (const blocked_kernel *)kernel;
    return k->reorder ? run_reorder(k->reorder, a) : tn_row_run(k->row, a);
}

static void destroy(tn_kernel *kernel)
{
    blocked_kernel *k = (blocked_kernel *)kernel;
    if (k->row) tn_row_destroy(k->row);
    free(k->reorder);
    free(k);
}

// ------------------------------------------------------------------ tables

static const tn_host_backend description = {
    .name = "blocked", .description = "matrices by padded columns", .families = families};

static tn_status init(const tn_host_api *host, void **plugin)
{
    return tn_sdk_init(host, &description, plugin);
}

static const tn_backend_api backend = {
    .struct_size = sizeof backend,
    .name = "blocked",
    .rank = -200, // only where a test names it
    .enumerate = tn_sdk_enumerate,
    .open = tn_sdk_open,
    .close = tn_sdk_close,
    .supports = tn_sdk_supports,
    .layouts = layouts,
    .prepare = prepare,
    .prepare_reorder = prepare_reorder,
    .run = run,
    .kernel_destroy = destroy,
    .may_support = tn_sdk_may_support,
};

static const tn_plugin plugin = {
    .struct_size = sizeof plugin,
    .name = "blocked",
    .version = "1",
    .init = init,
    .shutdown = tn_sdk_shutdown,
    .backends = (const tn_backend_api *const[]){&backend, NULL},
};
TN_PLUGIN_ENTRY(plugin)
