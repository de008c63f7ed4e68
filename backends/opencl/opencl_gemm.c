// backends/opencl/opencl_gemm.c: matrix products, and the operators that are
// one.
#include "opencl.h"

// ------------------------------------------------------------------ launches

typedef enum gemm_way { WAY_NN, WAY_NT, WAY_LOCAL } gemm_way;

bool ocl_in_registers(const tn_device *d)
{
    const tn_host_api *host = d->plugin->host;
    const char *option = host->option(host->host, "gemm");
    if (option && strcmp(option, "local") == 0 && d->group >= 256) return false;
    if (option && strcmp(option, "register") == 0) return true;
    return d->cpu || d->group < 256;
}

static gemm_way way_of(const ocl_plan *p, const ocl_gemm *g)
{
    if (!(OCL_REALS & TN_BIT(g->dtype)) || !ocl_in_registers(p->device)) return WAY_LOCAL;
    if (g->b.col == 1 && g->c.col == 1) return WAY_NN;
    return g->a.col == 1 && g->b.row == 1 ? WAY_NT : WAY_LOCAL;
}

int64_t ocl_gemm_pad(tn_dtype dtype)
{
    return dtype == TN_F64 ? 16 : 32; // two vectors
}

static void put_matrix(ocl_plan *p, ocl_launch *l, const ocl_matrix *x)
{
    if (x->where == OCL_M_SCRATCH)
        ocl_scratch(p, l, x->offset);
    else if (x->where == OCL_M_IN)
        ocl_in_at(p, l, x->index, x->offset);
    else
        ocl_out_at(p, l, x->index, x->offset);
}

static ocl_launch *add(ocl_plan *p, const ocl_gemm *g, gemm_way way, const char *name)
{
    const tn_dtype number = ocl_number(g->dtype);
    ocl_text t = {.host = p->k->host};
    ocl_prologue(&t, number, 4, (const tn_dtype[]){g->dtype, g->dtype, g->dtype, g->dtype});
    if (g->tail) ocl_tail_put(&t, g->tail);
    if (way != WAY_LOCAL) {
        ocl_append(&t, "#define GEMM_REGISTER 1\n");
        ocl_append(&t, ocl_vectors_cl);
    }
    ocl_append(&t, ocl_gemm_cl);
    ocl_launch *l = ocl_add_text(p, &t, name);
    return l;
}

// cᵀ = bᵀ aᵀ
static ocl_gemm swapped(const ocl_gemm *g)
{
    ocl_gemm s = *g;
    s.m = g->n, s.n = g->m;
    s.a = g->b, s.b = g->a;
    s.a.row = g->b.col, s.a.col = g->b.row;
    s.b.row = g->a.col, s.b.col = g->a.row;
    s.c.row = g->c.col, s.c.col = g->c.row;
    s.bias_by_row = !g->bias_by_row;
    s.a.padded = s.b.padded = false;
    return s;
}

static void over_tiles(ocl_plan *p, ocl_launch *l, const ocl_gemm *g, gemm_way way)
{
    const int64_t columns = way == WAY_NN ? ocl_gemm_pad(g->dtype) : way == WAY_NT ? 4 : 64;
    const int64_t rows = way == WAY_NN ? 8 : way == WAY_NT ? 4 : 64;
    const size_t across = (size_t)((g->n + columns - 1) / columns);
    const size_t down = (size_t)((g->m + rows - 1) / rows), side = way == WAY_LOCAL ? 16 : 1;
    if (way == WAY_LOCAL || p->device->cpu) {
        ocl_groups(p, l, (const size_t[3]){across, down, (size_t)g->batch},
                   (const size_t[3]){side, side, 1});
        return;
    }
    ocl_over(p, l, (int64_t)across, (int64_t)down, g->batch);
}

void ocl_multiply(ocl_plan *p, const ocl_gemm *wanted, const char **impl)
{
    static const char *const names[] = {"gemm_nn", "gemm_nt", "gemm_local"};
    static const char *const impls[] = {"gemm in registers", "gemm in registers, dot products",
                                        "gemm in local memory"};
    const ocl_gemm g = wanted->c.col != 1 && wanted->c.row == 1 ? swapped(wanted) : *wanted;
    const gemm_way way = way_of(p, &g);
    ocl_launch *l = add(p, &g, way, names[way]);
    if (impl) *impl = impls[way];
    put_matrix(p, l, &g.a);
    put_matrix(p, l, &g.b);
    put_matrix(p, l, &g.c);
    ocl_in(p, l, g.bias < 0 ? 0 : (uint32_t)g.bias);
    ocl_int(p, l, g.bias < 0 ? 0 : g.bias_by_row ? 2 : 1);
    ocl_int(p, l, g.cycle);
    const int64_t sizes[] = {g.m, g.n, g.k, g.segments, g.a.row, g.a.col};
    for (int i = 0; i < 6; i++) ocl_int(p, l, sizes[i]);
    ocl_long(p, l, g.a.step);
    ocl_long(p, l, g.a.segment);
    ocl_int(p, l, g.b.row);
    ocl_int(p, l, g.b.col);
    ocl_long(p, l, g.b.step);
    ocl_long(p, l, g.b.segment);
    ocl_int(p, l, g.c.row);
    ocl_int(p, l, g.c.col);
    ocl_long(p, l, g.c.step);
    if (way == WAY_NN) {
        ocl_int(p, l, g.b.padded);
        ocl_int(p, l, g.b.tile ? g.b.tile : ocl_gemm_pad(g.dtype));
        ocl_int(p, l, g.a.tile ? g.a.tile : 8 * g.a.row);
    }
    if (g.tail) ocl_tail_pass(p, l, g.tail);
    over_tiles(p, l, &g, way);
}

#define PANELS_PAY (INT64_C(1) << 24) // multiplications; below, starting more kernels costs more

// Should b be laid out as panels first? Its lines are then read one after the other, so that no
// power of 2 is between them; each is read by m / 8 tiles.
static bool wants_panels(const ocl_plan *p, const ocl_gemm *g)
{
    return p->device->cpu && ocl_in_registers(p->device) && (OCL_REALS & TN_BIT(g->dtype)) &&
           g->batch == 1 && g->segments == 1 && g->c.col == 1 && (g->b.col == 1 || g->b.row == 1) &&
           g->m >= 48 && g->m * g->k >= PANELS_PAY / (g->n ? g->n : 1);
}

enum { PER = 128 }; // lines of panels that a work item makes

// The product with b as panels in scratch memory, …
static ocl_matrix as_panels(ocl_plan *p, const ocl_gemm *g, ocl_room *room)
{
    const int64_t width = ocl_gemm_pad(g->dtype), tiles = (g->n + width - 1) / width;
    const uint64_t to = ocl_take(room, tiles * width * g->k, tn_dtype_size(g->dtype));
    ocl_launch *l = add(p, g, WAY_NN, "panels");
    put_matrix(p, l, &g->b);
    ocl_scratch(p, l, to);
    const int64_t numbers[] = {g->n, g->k, g->b.row, g->b.col, PER};
    for (int i = 0; i < 5; i++) ocl_int(p, l, numbers[i]);
    ocl_singly(p, l, (g->k + PER - 1) / PER, tiles, 1);
    return (ocl_matrix){.where = OCL_M_SCRATCH,
                        .offset = to,
                        .row = width,
                        .col = 1,
                        .padded = true,
                        .tile = width * g->k};
}

// … and with a, where its rows lie across and there are many columns to use them.
static ocl_matrix as_row_panels(ocl_plan *p, const ocl_gemm *g, ocl_room *room)
{
    if (g->a.row != 1 || g->a.col < 64 || g->n < 64) return g->a;
    const uint64_t to = ocl_take(room, (g->m + 7) / 8 * 8 * g->k, tn_dtype_size(g->dtype));
    ocl_launch *l = add(p, g, WAY_NN, "row_panels");
    put_matrix(p, l, &g->a);
    ocl_scratch(p, l, to);
    const int64_t numbers[] = {g->m, g->k, g->a.col, PER};
    for (int i = 0; i < 4; i++) ocl_int(p, l, numbers[i]);
    ocl_singly(p, l, (g->k + PER - 1) / PER, (g->m + 15) / 16, 1);
    return (ocl_matrix){.where = OCL_M_SCRATCH, .offset = to, .row = 1, .col = 8, .tile = 8 * g->k};
}

// ------------------------------------------------------------------ operators

// x as an (r, c) matrix, or as the transposed view of a stored (c, r) one.
static ocl_matrix view(uint32_t index, int64_t r, int64_t c, bool transposed)
{
    ocl_matrix x = {.where = OCL_M_IN, .index = index, .row = c, .col = 1};
    if (transposed) x.row = 1, x.col = r;
    return x;
}

static ocl_matrix result(int64_t r, int64_t c, bool transposed)
{
    ocl_matrix x = view(0, r, c, transposed);
    x.where = OCL_M_OUT;
    return x;
}

static ocl_gemm product(const tn_call *c, int64_t m, int64_t n, int64_t k)
{
    return (ocl_gemm){
        .dtype = c->out[0]->dtype, .m = m, .n = n, .k = k, .batch = 1, .segments = 1, .bias = -1};
}

// a(m, k) of dot: the last axis of lhs is contracted, with transpose_a the
// first.
static void dot_sizes(const tn_call *c, const tn_value_info *lhs, const tn_value_info *rhs,
                      int64_t *m, int64_t *n, int64_t *k)
{
    if (tn_call_bool(c, "transpose_a", false))
        *k = tn_span(lhs, 0, 1), *m = tn_span(lhs, 1, lhs->ndim);
    else
        *m = tn_span(lhs, 0, lhs->ndim - 1), *k = tn_span(lhs, lhs->ndim - 1, lhs->ndim);
    *n = tn_call_bool(c, "transpose_b", false) ? tn_span(rhs, 0, rhs->ndim - 1)
                                               : tn_span(rhs, 1, rhs->ndim);
}

// output(n, m) = data(n, k) · weight(m, k)ᵀ + bias(m). Without flatten n counts
// all the axes of data but the last.
static ocl_gemm fully_connected(const tn_call *c)
{
    const tn_value_info *weight = c->in[1];
    const int64_t n = tn_span(weight, 0, 1), k = tn_span(weight, 1, weight->ndim);
    ocl_gemm g = product(c, n ? c->out[0]->size / n : 0, n, k);
    g.c = result(g.m, n, false);
    g.a = view(0, g.m, k, false);
    g.b = view(1, k, n, true);
    g.bias = c->n_in > 2 ? 2 : -1;
    return g;
}

// out = lhs · rhs over one axis of each
static ocl_gemm dot(const tn_call *c)
{
    int64_t m, n, k;
    dot_sizes(c, c->in[0], c->in[1], &m, &n, &k);
    ocl_gemm g = product(c, m, n, k);
    g.c = result(m, n, false);
    g.a = view(0, m, k, tn_call_bool(c, "transpose_a", false));
    g.b = view(1, k, n, tn_call_bool(c, "transpose_b", false));
    return g;
}

// Inputs dy, rhs, lhs' shape: d lhs(m, k) = dy(m, n) · rhs(k, n)ᵀ, laid out as
// lhs is.
static ocl_gemm backward_dot_lhs(const tn_call *c)
{
    int64_t m, n, k;
    dot_sizes(c, c->in[2], c->in[1], &m, &n, &k);
    ocl_gemm g = product(c, m, k, n);
    g.c = result(m, k, tn_call_bool(c, "transpose_a", false));
    g.a = view(0, m, n, false);
    g.b = view(1, n, k, !tn_call_bool(c, "transpose_b", false));
    return g;
}

// Inputs dy, lhs, rhs' shape: d rhs(k, n) = lhs(m, k)ᵀ · dy(m, n), laid out as
// rhs is.
static ocl_gemm backward_dot_rhs(const tn_call *c)
{
    int64_t m, n, k;
    dot_sizes(c, c->in[1], c->in[2], &m, &n, &k);
    ocl_gemm g = product(c, k, n, m);
    g.c = result(k, n, tn_call_bool(c, "transpose_b", false));
    g.a = view(1, k, m, !tn_call_bool(c, "transpose_a", false));
    g.b = view(0, m, n, false);
    return g;
}

// out(b, m, n) = lhs(b, m, k) · rhs(b, k, n) for each b; the flags transpose
// the last two axes.
static ocl_gemm batch_dot(const tn_call *c)
{
    const bool ta = tn_call_bool(c, "transpose_a", false);
    const int64_t *out = c->out[0]->dims;
    ocl_gemm g = product(c, out[1], out[2], c->in[0]->dims[ta ? 1 : 2]);
    g.batch = out[0];
    g.c = result(g.m, g.n, false);
    g.a = view(0, g.m, g.k, ta);
    g.b = view(1, g.k, g.n, tn_call_bool(c, "transpose_b", false));
    g.c.step = g.m * g.n;
    g.a.step = g.m * g.k;
    g.b.step = g.k * g.n;
    return g;
}

static const struct {
    const char *op;
    ocl_gemm (*describe)(const tn_call *c);
} products[] = {
    {"FullyConnected", fully_connected},
    {"dot", dot},
    {"_backward_dot_lhs", backward_dot_lhs},
    {"_backward_dot_rhs", backward_dot_rhs},
    {"batch_dot", batch_dot},
};

bool ocl_is_product(const char *op)
{
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++)
        if (strcmp(products[i].op, op) == 0) return true;
    return false;
}

void ocl_product(ocl_plan *p, tn_kernel_info *info, const tn_call *c, const ocl_tail *tail)
{
    size_t i = 0;
    while (strcmp(products[i].op, c->op->name) != 0) i++; // those that come are in the table
    ocl_gemm g = products[i].describe(c);
    g.tail = tail;
    if (g.c.col != 1 && g.c.row == 1) g = swapped(&g);
    const bool panels = wants_panels(p, &g);
    if (panels) {
        ocl_room room = {0};
        const ocl_matrix a = as_row_panels(p, &g, &room), b = as_panels(p, &g, &room);
        g.a = a, g.b = b;
        info->scratch_bytes = room.used;
    }
    ocl_multiply(p, &g, &info->impl);
    if (panels) info->impl = "gemm in registers, panels";
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    ocl_plan *p = ocl_begin(k);
    ocl_product(p, info, k->call, NULL);
    return ocl_end(p);
}

#define ROW(op_) OCL_ROW(op_, TN_ALL_DTYPES, NULL, setup)

const tn_kernel_row ocl_dense[] = {
    ROW("FullyConnected"),    ROW("dot"),       ROW("_backward_dot_lhs"),
    ROW("_backward_dot_rhs"), ROW("batch_dot"), {0},
};
