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

// ------------------------------------------------------------------ layouts and reorders

static tn_status dense_wishes(const tn_host_api *host, const tn_call *call, tn_layout *in,
                              tn_layout *out)
{
    (void)host;
    in[0] = blocked_layout(call->in[0]); // weight and bias stay as they are
    out[0] = blocked_layout(call->out[0]);
    return TN_OK;
}

// Elementwise: the layout of the first input is good for all.
static tn_status pointwise_wishes(const tn_host_api *host, const tn_call *call, tn_layout *in,
                                  tn_layout *out)
{
    (void)host;
    if (!is_blocked(&in[0])) return TN_OK;
    for (uint32_t i = 1; i < call->n_in; i++) in[i] = blocked_layout(call->in[i]);
    out[0] = blocked_layout(call->out[0]);
    return TN_OK;
}

static tn_status reorder_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    blocked_state *s = k->state;
    const tn_value_info *from = k->call->in[0];
    if (from->ndim != 2 || from->dtype != TN_F32)
        return tn_fail(k->host, TN_E_UNSUPPORTED, "blocked: only float32 matrices are reordered");
    s->in[0] = grid_of(from);
    s->out = grid_of(k->call->out[0]);
    info->impl = s->out.blocked ? "to columns" : "to rows";
    return TN_OK;
}

static tn_status run_reorder(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const blocked_state *s = k->state;
    const float *x = a->in[0].host;
    float *y = a->out[0].host;
    if (padding_dirty(&s->in[0], x))
        return tn_fail(k->host, TN_E_INTERNAL, "blocked: a reorder's input has dirty padding");
    for (int64_t i = 0; i < s->out.n; i++)
        for (int64_t j = 0; j < s->out.m; j++)
            y[i * s->out.row + j * s->out.column] = x[i * s->in[0].row + j * s->in[0].column];
    clear_padding(&s->out, y);
    return TN_OK;
}

// ------------------------------------------------------------------ tables

#define ROW(op_, run_, layouts_)                                                              \
    {                                                                                         \
        .op = (op_), .dtypes = TN_BIT(TN_F32), .flags = TN_K_REENTRANT | TN_K_DETERMINISTIC,  \
        .state_size = sizeof(blocked_state), .cannot = cannot, .setup = setup, .run = (run_), \
        .layouts = (layouts_)                                                                 \
    }
static const tn_kernel_row rows[] = {
    ROW("relu", blocked_relu, pointwise_wishes),
    ROW("_mul", blocked_mul, pointwise_wishes),
    ROW("elemwise_add", blocked_add, pointwise_wishes),
    ROW("FullyConnected", blocked_dense, dense_wishes),
    {0},
};
static const tn_kernel_row *const families[] = {rows, NULL};

static const tn_kernel_row to_or_from_columns = {
    .state_size = sizeof(blocked_state), .setup = reorder_setup, .run = run_reorder};

// Ranked so that it is used only where a test names it.
TN_HOST_BACKEND_LAYOUTS(blocked, -200, families, "matrices by padded columns",
                        .reorder = &to_or_from_columns)
