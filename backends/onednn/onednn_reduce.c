// backends/onednn/onednn_reduce.c: sum, mean, max and min over axes.
//
// oneDNN's fast code reduces what lies innermost. A sum over what lies outermost, as the gradient
// of a bias is, is one of rows: of short ones by loops, which all threads share; of others, and of
// what is stored as bfloat16, it is the product of a row of ones with the rest.
#include "onednn_loops.h"

typedef struct reduce {
    od_state base;
    void *ones;        // float, or bfloat16
    uint64_t bytes;    // of ones
    int64_t rows, row; // by loops: how many, and elements of one; else 0
    uint32_t workers;  // by loops: that have a sum of their own in the scratch memory
    int64_t planes;    // row-major ones of all samples, whose sums are in the scratch memory
    int64_t channels;  // of them
} reduce;

enum { LINE = 512 }; // elements that are added up side by side

uint32_t od_reduced_axes(const tn_call *c, const tn_value_info *x)
{
    const tn_ints axis = tn_call_ints(c, "axis");
    const uint32_t all = x->ndim < 31 ? (1u << x->ndim) - 1 : 0;
    uint32_t set = axis.n ? 0 : all;
    for (size_t i = 0; i < axis.n; i++) {
        const int64_t a = axis.v[i] < 0 ? axis.v[i] + x->ndim : axis.v[i];
        set |= 1u << (a & 31);
    }
    return tn_call_bool(c, "exclude", false) && axis.n ? all & ~set : set;
}

static bool is_sum(const tn_call *c)
{
    return strcmp(c->op->name, "sum") == 0;
}

// Does a sum over these axes leave the channels, which lie innermost in that layout? Then inner is
// their number.
static bool leaves_innermost(const tn_call *c, bool last, int64_t *inner)
{
    const tn_value_info *x = c->in[0];
    const uint32_t set = od_reduced_axes(c, x);
    *inner = 1;
    if (last) { // (outer…, channels of axis 1)
        *inner = x->ndim > 1 ? x->dims[1] : 1;
        return x->ndim > 2 && set == (((1u << x->ndim) - 1) & ~2u);
    }
    int32_t axis = x->ndim;
    while (axis > 0 && !(set >> (axis - 1) & 1)) *inner *= x->dims[--axis];
    for (int32_t i = 0; i < axis; i++)
        if (!(set >> i & 1)) return false;
    return axis > 0 && axis < x->ndim;
}

// ------------------------------------------------------------------ descriptors

static dnnl_primitive_desc_t ones_pd(const tn_call *c, int64_t inner, dnnl_memory_desc_t md[3])
{
    const int64_t n = c->in[0]->size / inner;
    const tn_dtype dtype = od_is_narrow(&c->in[0]->layout) ? TN_BF16 : TN_F32;
    dnnl_matmul_desc_t d;
    md[0] = od_dense(2, (const int64_t[]){1, n}, dtype);
    md[1] = od_dense(2, (const int64_t[]){n, inner}, dtype);
    md[2] = od_dense(2, (const int64_t[]){1, inner}, TN_F32);
    if (dnnl_matmul_desc_init(&d, &md[0], &md[1], NULL, &md[2]) != dnnl_success) return NULL;
    return od_descriptor(&d, NULL);
}

static dnnl_primitive_desc_t reduce_pd(const tn_call *c, dnnl_memory_desc_t md[2])
{
    static const struct {
        const char *op;
        dnnl_alg_kind_t kind;
    } kinds[] = {{"sum", dnnl_reduction_sum},
                 {"mean", dnnl_reduction_mean},
                 {"max", dnnl_reduction_max},
                 {"min", dnnl_reduction_min}};
    const tn_value_info *x = c->in[0];
    const uint32_t set = od_reduced_axes(c, x);
    dnnl_dims_t kept;
    dnnl_reduction_desc_t d;
    if (x->ndim < 1 || x->ndim > DNNL_MAX_NDIMS) return NULL;
    for (int32_t i = 0; i < x->ndim; i++) kept[i] = set >> i & 1 ? 1 : x->dims[i];
    md[0] = od_plain(x, 0);
    md[1] = od_dense(x->ndim, kept, x->dtype);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].op, c->op->name) == 0 &&
            dnnl_reduction_desc_init(&d, kinds[i].kind, &md[0], &md[1], 0, 0) == dnnl_success)
            return od_descriptor(&d, NULL);
    return NULL;
}

// By ones: *inner is set. Otherwise a reduction of a row-major value.
static dnnl_primitive_desc_t descriptor(const tn_call *c, bool last, dnnl_memory_desc_t md[3],
                                        int64_t *inner)
{
    const bool by_ones = is_sum(c) && c->in[0]->dtype == TN_F32 && leaves_innermost(c, last, inner);
    const int before = od_enter(od_threads(c));
    dnnl_primitive_desc_t pd = by_ones ? ones_pd(c, *inner, md) : reduce_pd(c, md);
    if (!by_ones) *inner = 0;
    od_leave(before);
    return pd;
}

// ------------------------------------------------------------------ kernels

static const char *cannot(const tn_call *c)
{
    dnnl_memory_desc_t md[3];
    int64_t inner;
    if (od_empty(c)) return od_no_elements;
    if (!od_same_dtypes(c)) return od_mixed_dtypes;
    // The gradient of a convolution's bias is fast where its layout is ours.
    const bool channels =
        is_sum(c) && c->in[0]->dtype == TN_F32 && leaves_innermost(c, true, &inner);
    dnnl_primitive_desc_t pd = descriptor(c, false, md, &inner);
    const char *why = !pd ? od_no_primitive : od_score(pd) || channels ? NULL : od_only_loops;
    if (pd) dnnl_primitive_desc_destroy(pd);
    return why;
}

// Where channels are what is left, channels last stay so; oneDNN has only loops for row-major ones,
// but we have others. What is stored as bfloat16 may be read as that: one is one, and it is added
// up in float32.
static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    const tn_value_info *x = c->in[0];
    const dnnl_memory_desc_t last = od_last(x);
    const dnnl_memory_desc_t plain = od_plain(x, 0);
    const bool narrow = od_is_narrow(&in[0]), sum = is_sum(c) && x->dtype == TN_F32;
    const bool ours = od_is_ours(&in[0]);
    int64_t inner;
    (void)host;
    (void)out;
    in[0] = (tn_layout){NULL, 0, 0};
    const bool channels = sum && ours && leaves_innermost(c, true, &inner);
    if (!channels && !(narrow && sum && leaves_innermost(c, false, &inner))) return TN_OK;
    const dnnl_memory_desc_t md = channels ? last : plain;
    const dnnl_memory_desc_t half = od_narrow(&md);
    od_layout(narrow ? &half : &md, x, &in[0]);
    return TN_OK;
}

static tn_status make_ones(tn_sdk_kernel *k, tn_kernel_info *info, int64_t n)
{
    reduce *r = k->state;
    const bool narrow = od_is_narrow(&k->call->in[0]->layout);
    r->bytes = (uint64_t)n * (narrow ? sizeof(uint16_t) : sizeof(float));
    r->ones = k->host->alloc(k->host->host, r->bytes, 64);
    if (!r->ones) return tn_fail(k->host, TN_E_NOMEM, "no memory for a row of ones");
    float *wide = r->ones;
    uint16_t *half = r->ones;
    for (int64_t i = 0; i < n && narrow; i++) half[i] = 0x3f80; // 1
    for (int64_t i = 0; i < n && !narrow; i++) wide[i] = 1;
    info->persistent_bytes = r->bytes;
    return TN_OK;
}

static void teardown(tn_sdk_kernel *k)
{
    reduce *r = k->state;
    if (r->ones) k->host->free(k->host->host, r->ones, r->bytes, 64);
    r->ones = NULL;
    od_stop(k);
}

// oneDNN's memory object of the ones gets its address here, and keeps it.
static tn_status bind_ones(tn_sdk_kernel *k, const dnnl_memory_desc_t *md)
{
    reduce *r = k->state;
    const tn_status s = od_bind(k, DNNL_ARG_SRC, md, OD_KEPT, 0);
    if (s != TN_OK) return s;
    od_step *step = &r->base.steps[0];
    step->places[step->n - 1].at = r->ones;
    const dnnl_status_t status =
        dnnl_memory_set_data_handle(step->args[step->n - 1].memory, r->ones);
    return status == dnnl_success ? TN_OK : od_fail(k, status, "a memory object");
}

// Several rows are one line, so that each element of it waits for none of its neighbours.
OD_CLONES static void od_add_lines(float *sum, const float *x, int64_t line, int64_t n)
{
    for (int64_t i = 0; i + 1 < n; i += 2, x += 2 * line) {
        OD_SIMD
        for (int64_t j = 0; j < line; j++) sum[j] += x[j] + x[line + j];
    }
    if (n % 2 == 0) return;
    OD_SIMD
    for (int64_t j = 0; j < line; j++) sum[j] += x[j];
}

typedef struct row_sums {
    const reduce *r;
    const float *x;
    float *each; // (workers, row)
} row_sums;

static void some_rows(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const row_sums *s = ctx;
    const int64_t row = s->r->row, rows = LINE / row, lines = (end - begin) / rows;
    const float *x = s->x + begin * row;
    float sum[LINE] = {0}, *mine = s->each + worker * row;
    od_add_lines(sum, x, rows * row, lines);
    od_add_lines(mine, x + lines * rows * row, row, end - begin - lines * rows);
    od_add_lines(mine, sum, row, rows);
}

static tn_status run_rows(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const reduce *r = k->state;
    row_sums s = {r, a->in[0].host, a->scratch.host};
    tn_run_args mine = *a;
    if (a->max_workers == 0 || a->max_workers > r->workers) mine.max_workers = r->workers;
    memset(s.each, 0, (size_t)(r->workers * r->row) * sizeof(float));
    memset(a->out[0].host, 0, (size_t)r->row * sizeof(float));
    od_items(k, &mine, r->rows, r->row, some_rows, &s);
    od_add_lines(a->out[0].host, s.each, r->row, r->workers);
    return TN_OK;
}

static tn_status setup_rows(tn_sdk_kernel *k, tn_kernel_info *info, int64_t row)
{
    reduce *r = k->state;
    r->row = row;
    r->rows = k->call->in[0]->size / row;
    r->workers = od_workers(k);
    info->scratch_bytes = (uint64_t)(r->workers * row) * sizeof(float);
    info->impl = "sum of rows";
    return TN_OK;
}

OD_CLONES static double od_plane_sum(const float *x, int64_t n)
{
    double sum = 0;
    _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < n; i++) sum += (double)x[i];
    return sum;
}

typedef struct plane_sums {
    const float *x;
    double *sums; // (planes)
    int64_t size; // of a plane
} plane_sums;

static void some_planes(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const plane_sums *p = ctx;
    (void)worker;
    for (int64_t i = begin; i < end; i++) p->sums[i] = od_plane_sum(p->x + i * p->size, p->size);
}

static tn_status run_planes(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const reduce *r = k->state;
    plane_sums p = {a->in[0].host, a->scratch.host, k->call->in[0]->size / r->planes};
    float *y = a->out[0].host;
    od_items(k, a, r->planes, p.size, some_planes, &p);
    for (int64_t c = 0; c < r->channels; c++) {
        double sum = 0;
        for (int64_t i = c; i < r->planes; i += r->channels) sum += p.sums[i];
        y[c] = (float)sum;
    }
    return TN_OK;
}

static tn_status setup_planes(tn_sdk_kernel *k, tn_kernel_info *info)
{
    reduce *r = k->state;
    r->channels = k->call->in[0]->dims[1];
    r->planes = k->call->in[0]->dims[0] * r->channels;
    info->scratch_bytes = (uint64_t)r->planes * sizeof(double);
    info->impl = "sum of planes";
    return TN_OK;
}

static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const reduce *r = k->state;
    if (r->planes) return run_planes(k, a);
    return r->rows ? run_rows(k, a) : od_run(k, a);
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    dnnl_memory_desc_t md[3];
    int64_t inner;
    const bool last =
        od_is_ours(&k->call->in[0]->layout) && leaves_innermost(k->call, true, &inner);
    if (is_sum(k->call) && k->call->in[0]->dtype == TN_F32 &&
        leaves_innermost(k->call, last, &inner) && inner <= LINE &&
        !od_is_narrow(&k->call->in[0]->layout))
        return setup_rows(k, info, inner);
    if (is_sum(k->call) && k->call->in[0]->dtype == TN_F32 && !last &&
        !od_is_ours(&k->call->in[0]->layout) && leaves_innermost(k->call, true, &inner))
        return setup_planes(k, info);
    dnnl_primitive_desc_t pd = descriptor(k->call, last, md, &inner);
    tn_status s = pd ? od_add(k, info, pd, 3) : od_fail(k, dnnl_unimplemented, k->call->op->name);
    if (s == TN_OK && inner) s = make_ones(k, info, k->call->in[0]->size / inner);
    if (s == TN_OK && inner) s = bind_ones(k, &md[0]);
    if (s == TN_OK)
        s = od_bind(k, inner ? DNNL_ARG_WEIGHTS : DNNL_ARG_SRC, &md[inner != 0], OD_IN, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_DST, &md[inner ? 2 : 1], OD_OUT, 0);
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (s != TN_OK) teardown(k);
    return s;
}

#define ROW(op_)                                                                    \
    {                                                                               \
        .op = op_, .dtypes = OD_FLOATS, .flags = OD_FLAGS, .impl = "reduction",     \
        .state_size = sizeof(reduce), .cannot = cannot, .setup = setup, .run = run, \
        .teardown = teardown, .layouts = layouts                                    \
    }

const tn_kernel_row onednn_reduce[] = {
    ROW("sum"), ROW("mean"), ROW("max"), ROW("min"), {0},
};
