// backends/onednn/onednn_moves.c: what moves elements and computes nothing: new shapes, broadcast
// and transposed values. What is repeated is copied (onednn_repeat.c), all others are reorders
// between two ways of walking through memory.
//
// Bytes are moved, whatever they mean, so every dtype stays exact.
#include <tenon/shapes.h>

#include "onednn_repeat.h"

// Axes with their strides in input and output, in elements.
typedef struct walk {
    int n;
    dnnl_dims_t dims, from, to;
} walk;

static void add_axis(walk *w, int64_t dim, int64_t from, int64_t to)
{
    w->dims[w->n] = dim;
    w->from[w->n] = from;
    w->to[w->n++] = to;
}

// The same walk over as few axes as possible; then one more for the parts of an element that is of
// no size that oneDNN moves.
static walk shortest(const walk *w, int64_t parts)
{
    walk s = {0};
    for (int i = 0; i < w->n; i++) {
        const int64_t dim = w->dims[i], from = w->from[i] * parts, to = w->to[i] * parts;
        const int last = s.n - 1;
        if (dim == 1) continue;
        if (s.n && s.from[last] == from * dim && s.to[last] == to * dim) {
            s.dims[last] *= dim;
            s.from[last] = from;
            s.to[last] = to;
        } else {
            add_axis(&s, dim, from, to);
        }
    }
    if (parts > 1 || s.n == 0) add_axis(&s, parts, 1, 1);
    return s;
}

// Strides of a row-major value.
static void steps_of(const tn_value_info *v, int64_t steps[TN_MAX_NDIM])
{
    int64_t step = 1;
    for (int32_t i = v->ndim; i-- > 0; step *= v->dims[i]) steps[i] = step;
}

// A walk over elements of so many bytes as a primitive.
static dnnl_primitive_desc_t descriptor(const tn_call *c, const walk *given, size_t size,
                                        dnnl_memory_desc_t md[2])
{
    const bool words = size % 4 == 0;
    const walk w = shortest(given, (int64_t)(words ? size / 4 : size));
    const dnnl_data_type_t type = words ? dnnl_s32 : dnnl_u8;
    dnnl_primitive_desc_t pd = NULL;
    if (!od_engine() ||
        dnnl_memory_desc_init_by_strides(&md[0], w.n, w.dims, type, w.from) != dnnl_success ||
        dnnl_memory_desc_init_by_strides(&md[1], w.n, w.dims, type, w.to) != dnnl_success)
        return NULL;
    const int before = od_enter(od_threads(c));
    if (dnnl_reorder_primitive_desc_create(&pd, &md[0], od_engine(), &md[1], od_engine(),
                                           od_attributes()) != dnnl_success)
        pd = NULL;
    od_leave(before);
    return pd;
}

static tn_status add_walk(tn_sdk_kernel *k, tn_kernel_info *info, const walk *w, size_t size)
{
    dnnl_memory_desc_t md[2];
    dnnl_primitive_desc_t pd = descriptor(k->call, w, size, md);
    tn_status s = pd ? od_add(k, info, pd, 2) : od_fail(k, dnnl_unimplemented, k->call->op->name);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_FROM, &md[0], OD_IN, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_TO, &md[1], OD_OUT, 0);
    if (pd) dnnl_primitive_desc_destroy(pd);
    return od_end(k, s);
}

// ------------------------------------------------------------------ the same elements

static const char *copy_cannot(const tn_call *c)
{
    return c->in[0]->size == 0 ? od_no_elements : NULL;
}

// Values of one shape keep their layout. A new shape is made of row-major elements, which stay
// bfloat16 if they are stored so.
static tn_status copy_layouts(const tn_host_api *host, const tn_call *c, tn_layout *in,
                              tn_layout *out)
{
    const tn_value_info *x = c->in[0], *y = c->out[0];
    const tn_layout arrives = in[0];
    const dnnl_memory_desc_t px = od_plain(x, 0), py = od_plain(y, 0);
    const dnnl_memory_desc_t nx = od_narrow(&px), ny = od_narrow(&py);
    tn_layout lx, ly;
    (void)host;
    for (uint32_t i = 0; i < c->n_in; i++) in[i] = (tn_layout){NULL, 0, 0};
    if (od_is_ours(&arrives) && tn_same_shape(x, y)) {
        in[0] = out[0] = arrives;
    } else if (od_is_narrow(&arrives) && od_layout(&nx, x, &lx) && od_layout(&ny, y, &ly)) {
        in[0] = lx;
        out[0] = ly;
    }
    return TN_OK;
}

static tn_status copy_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const uint64_t bytes = k->call->in[0]->bytes;
    const size_t size = bytes % 4 ? 1 : 4;
    walk w = {0};
    add_axis(&w, (int64_t)(bytes / size), 1, 1);
    info->inplace[info->n_inplace++] = (tn_inplace){0, 0};
    return add_walk(k, info, &w, size);
}

static tn_status copy(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return a->in[0].host == a->out[0].host ? TN_OK : od_run(k, a);
}

// ------------------------------------------------------------------ Cast

// Whole numbers to float32, and between float32 and bfloat16: where oneDNN's rounding is ours. To
// whole numbers it rounds, where C cuts off.
static dnnl_primitive_desc_t cast_pd(const tn_call *c, dnnl_memory_desc_t md[2])
{
    dnnl_primitive_desc_t pd = NULL;
    md[0] = od_dense(1, &c->in[0]->size, c->in[0]->dtype);
    md[1] = od_dense(1, &c->out[0]->size, c->out[0]->dtype);
    const int before = od_enter(od_threads(c));
    if (!od_engine() ||
        dnnl_reorder_primitive_desc_create(&pd, &md[0], od_engine(), &md[1], od_engine(),
                                           od_attributes()) != dnnl_success)
        pd = NULL;
    od_leave(before);
    return pd;
}

static const char *cast_cannot(const tn_call *c)
{
    const tn_dtype from = c->in[0]->dtype, to = c->out[0]->dtype;
    dnnl_memory_desc_t md[2];
    if (c->in[0]->size == 0) return od_no_elements;
    if (to != TN_F32 && !(to == TN_BF16 && from == TN_F32))
        return "a cast that rounds otherwise, or to a dtype that oneDNN has not";
    dnnl_primitive_desc_t pd = cast_pd(c, md);
    if (pd) dnnl_primitive_desc_destroy(pd);
    return pd ? NULL : od_no_primitive;
}

static tn_status cast_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    dnnl_memory_desc_t md[2];
    dnnl_primitive_desc_t pd = cast_pd(k->call, md);
    tn_status s = pd ? od_add(k, info, pd, 2) : od_fail(k, dnnl_unimplemented, "Cast");
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_FROM, &md[0], OD_IN, 0);
    if (s == TN_OK) s = od_bind(k, DNNL_ARG_TO, &md[1], OD_OUT, 0);
    if (pd) dnnl_primitive_desc_destroy(pd);
    return od_end(k, s);
}

// ------------------------------------------------------------------ repeated along axes

// Axes that the value lacks on the left, and those of extent 1, are repeated.
static void repeated(const tn_value_info *x, const tn_value_info *y, od_repeat *r)
{
    int64_t from[TN_MAX_NDIM];
    const int32_t lacks = y->ndim - x->ndim;
    steps_of(x, from);
    for (int32_t i = 0; i < y->ndim; i++) {
        const bool has = i >= lacks && x->dims[i - lacks] == y->dims[i];
        od_repeat_axis(r, y->dims[i], has ? from[i - lacks] : 0);
    }
}

// _broadcast_reduced(data, like): the result of a reduction over axis (), keepdims, exclude, spread
// back over like's shape. Data holds the kept axes in their order. Returns the places of each
// element.
static int64_t spread(const tn_call *c, od_repeat *r)
{
    const tn_value_info *like = c->in[1];
    const uint32_t gone = od_reduced_axes(c, like);
    int64_t from[TN_MAX_NDIM], next = 1, share = 1;
    for (int32_t i = like->ndim; i-- > 0;) {
        const bool kept = !(gone >> i & 1);
        from[i] = kept ? next : 0;
        *(kept ? &next : &share) *= like->dims[i];
    }
    for (int32_t i = 0; i < like->ndim; i++) od_repeat_axis(r, like->dims[i], from[i]);
    return share;
}

static const char *move_cannot(const tn_call *c)
{
    return c->out[0]->size == 0 ? od_no_elements : NULL;
}

static const char *spread_cannot(const tn_call *c)
{
    if (c->out[0]->size == 0) return od_no_elements;
    if (tn_call_bool(c, "scale_by_count", false) && c->in[0]->dtype != TN_F32)
        return "a mean's gradient in another dtype than float32";
    return NULL;
}

static tn_status repeat_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    (void)info;
    repeated(k->call->in[0], k->call->out[0], k->state);
    od_repeat_end(k->state, tn_dtype_size(k->call->in[0]->dtype), 1);
    return TN_OK;
}

static tn_status spread_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const int64_t share = spread(k->call, k->state);
    const bool scales = tn_call_bool(k->call, "scale_by_count", false);
    (void)info;
    od_repeat_end(k->state, tn_dtype_size(k->call->in[0]->dtype), scales ? 1 / (float)share : 1);
    return TN_OK;
}

// ------------------------------------------------------------------ other orders of axes

static const char *order_cannot(const tn_call *c)
{
    int32_t order[TN_MAX_NDIM];
    if (c->out[0]->size == 0) return od_no_elements;
    return tn_axes_order(c, c->in[0]->ndim, order) ? "it has no such axis" : NULL;
}

static tn_status order_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *x = k->call->in[0], *y = k->call->out[0];
    int64_t from[TN_MAX_NDIM], to[TN_MAX_NDIM];
    int32_t order[TN_MAX_NDIM] = {0};
    walk w = {0};
    tn_axes_order(k->call, x->ndim, order);
    steps_of(x, from);
    steps_of(y, to);
    for (int32_t i = 0; i < y->ndim; i++) add_axis(&w, y->dims[i], from[order[i]], to[i]);
    return add_walk(k, info, &w, tn_dtype_size(x->dtype));
}

// ------------------------------------------------------------------ rows

#define ROW(op_, cannot_, setup_)                                                              \
    {                                                                                          \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = OD_FLAGS | TN_K_DETERMINISTIC,            \
        .impl = "reorder", .state_size = sizeof(od_state), .cannot = cannot_, .setup = setup_, \
        .run = od_run, .teardown = od_stop                                                     \
    }
#define REPEAT(op_, cannot_, setup_)                                                         \
    {                                                                                        \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = OD_FLAGS | TN_K_DETERMINISTIC,          \
        .impl = "copies (no primitive)", .state_size = sizeof(od_repeat), .cannot = cannot_, \
        .setup = setup_, .run = od_repeat_run                                                \
    }
#define COPY(op_)                                                                      \
    {                                                                                  \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = OD_FLAGS | TN_K_DETERMINISTIC,    \
        .impl = "reorder", .state_size = sizeof(od_state), .cannot = copy_cannot,      \
        .setup = copy_setup, .run = copy, .teardown = od_stop, .layouts = copy_layouts \
    }

const tn_kernel_row onednn_moves[] = {
    COPY("_copy"),
    COPY("BlockGrad"),
    COPY("make_loss"),
    COPY("MakeLoss"),
    COPY("LinearRegressionOutput"),
    COPY("MAERegressionOutput"),
    COPY("Flatten"),
    COPY("Reshape"),
    COPY("reshape_like"),
    COPY("expand_dims"),
    COPY("squeeze"),
    COPY("_identity_with_attr_like_rhs"),
    {.op = "Cast",
     .dtypes = OD_FLOATS | OD_WHOLE,
     .flags = OD_FLAGS | TN_K_DETERMINISTIC,
     .impl = "reorder",
     .state_size = sizeof(od_state),
     .cannot = cast_cannot,
     .setup = cast_setup,
     .run = od_run,
     .teardown = od_stop},
    REPEAT("broadcast_to", move_cannot, repeat_setup),
    REPEAT("broadcast_axis", move_cannot, repeat_setup),
    REPEAT("broadcast_like", move_cannot, repeat_setup),
    REPEAT("_broadcast_reduced", spread_cannot, spread_setup),
    ROW("transpose", order_cannot, order_setup),
    ROW("SwapAxis", order_cannot, order_setup),
    {0},
};
