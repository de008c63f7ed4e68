// plugins/cdist/cdist.c: an operator with kernels of its own: distances of all pairs of two sets.
//
//     cdist(lhs, rhs)[i, j] = distance of row i of lhs (n, k) and row j of rhs (m, k)  → (n, m)
//
// For nearest neighbours, clustering and metric learning. The plugin shows everything that an
// operator may need when it cannot be said in simpler ones: a parameter that is a choice, a shape
// rule that works in both directions, a gradient that calls a second, internal operator, and
// kernels for both (cdist_kernels.h) that run on every backend of host memory, in all threads.
//
// Built and loaded like plugins/swish.
#include "cdist_kernels.h"

// ------------------------------------------------------------------ declaration

typedef struct cdist_params {
    int32_t metric; // index into the choices
} cdist_params;

#define METRICS "euclidean|sqeuclidean|cityblock"
#define METRIC_DOC                                                                       \
    "euclidean: sqrt of the sum of squared differences; sqeuclidean: without the sqrt; " \
    "cityblock: sum of absolute differences"

// lhs (n, k), rhs (m, k), output (n, m): what is known of one says something of the others, so
// that a bind may begin with any of them. A merge adds what is known and finds contradictions; the
// core then writes a message with the names of node and argument.
static tn_status merge_columns(const tn_infer *io, uint32_t to, uint32_t from)
{
    const tn_shape *other = io->in_shape(io->ctx, from);
    const tn_shape wanted = tn_shape_2d(-1, other->ndim == 2 ? other->dim[1] : -1);
    return io->merge_in_shape(io->ctx, to, &wanted);
}

// Both are matrices, and k is common.
static tn_status merge_sets(const tn_infer *io, uint32_t lhs, uint32_t rhs)
{
    const tn_status s = merge_columns(io, lhs, rhs);
    return s == TN_OK ? merge_columns(io, rhs, lhs) : s;
}

static tn_status cdist_shape(const tn_infer *io)
{
    tn_status s = merge_sets(io, 0, 1);
    if (s != TN_OK) return s;
    const tn_shape wanted =
        tn_shape_2d(io->in_shape(io->ctx, 0)->dim[0], io->in_shape(io->ctx, 1)->dim[0]);
    s = io->merge_out_shape(io->ctx, 0, &wanted);
    if (s != TN_OK) return s;
    const tn_shape out = *io->out_shape(io->ctx, 0);
    const tn_shape left = tn_shape_2d(out.dim[0], -1), right = tn_shape_2d(out.dim[1], -1);
    s = io->merge_in_shape(io->ctx, 0, &left);
    return s == TN_OK ? io->merge_in_shape(io->ctx, 1, &right) : s;
}

// d lhs, d rhs = _backward_cdist(dy, lhs, rhs, y): one operator gives both.
static tn_status cdist_gradient(const tn_builder *b)
{
    static const char *const names[] = {"metric=euclidean", "metric=sqeuclidean",
                                        "metric=cityblock"};
    const cdist_params *p = b->params;
    const tn_sym dy = tn_grad_head(b, 0);
    if (!dy) return TN_OK; // known to be zero: then so are the gradients
    const tn_sym first = TN_EMIT(b, "_backward_cdist", names[p->metric], dy, tn_grad_in(b, 0),
                                 tn_grad_in(b, 1), tn_grad_out(b, 0));
    tn_grad_set(b, 0, first);
    tn_grad_set(b, 1, b->result(b->ctx, first, 1));
    return TN_OK;
}

static const tn_op_decl cdist =
    TN_OP(.name = "cdist",
          .doc = "Distances of all pairs of rows: output[i, j] = distance(lhs[i], rhs[j]). "
                 "Where two rows are equal, the gradient of the euclidean distance is 0.",
          .source = "named after scipy.spatial.distance.cdist, whose three metrics these are",
          .inputs = TN_PORTS(TN_PORT(.name = "lhs", .doc = "(n, k)"),
                             TN_PORT(.name = "rhs", .doc = "(m, k)")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(n, m)")),
          .params = TN_PARAMS(TN_PARAM(cdist_params, metric, TN_P_ENUM, .def = "euclidean",
                                       .choices = METRICS, .doc = METRIC_DOC)),
          .params_size = sizeof(cdist_params), .infer_shape = cdist_shape,
          .gradient = cdist_gradient);

// ------------------------------------------------------------------ its backward operator

// dy and y are (n, m); the results have the shapes of lhs and rhs.
static tn_status backward_cdist_shape(const tn_infer *io)
{
    tn_status s = merge_sets(io, 1, 2);
    if (s == TN_OK) s = tn_infer_in_out(io, 1, 0);
    if (s == TN_OK) s = tn_infer_in_out(io, 2, 1);
    if (s == TN_OK) s = tn_infer_in_in(io, 0, 3);
    if (s != TN_OK) return s;
    const tn_shape y =
        tn_shape_2d(io->in_shape(io->ctx, 1)->dim[0], io->in_shape(io->ctx, 2)->dim[0]);
    s = io->merge_in_shape(io->ctx, 0, &y);
    return s == TN_OK ? io->merge_in_shape(io->ctx, 3, &y) : s;
}

// INTERNAL: not shown to users. NO_GRAD: a second derivative is refused with a message.
static const tn_op_decl backward_cdist =
    TN_OP(.name = "_backward_cdist", .flags = TN_OP_INTERNAL | TN_OP_NO_GRAD,
          .doc = "Gradient of cdist with respect to both inputs.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy", .doc = "(n, m)"), TN_PORT(.name = "lhs"),
                             TN_PORT(.name = "rhs"), TN_PORT(.name = "y", .doc = "(n, m)")),
          .outputs = TN_PORTS(TN_PORT(.name = "dlhs"), TN_PORT(.name = "drhs")),
          .params = TN_PARAMS(TN_PARAM(cdist_params, metric, TN_P_ENUM, .def = "euclidean",
                                       .choices = METRICS, .doc = METRIC_DOC)),
          .params_size = sizeof(cdist_params), .infer_shape = backward_cdist_shape);

// ------------------------------------------------------------------ kernels

// One row per dtype: the first that fits is taken. Workers do not share what they write, so the
// bits do not depend on the number of threads.
// clang-format off
#define ROW(op_, dtype_, impl_, run_)                                   \
    {.op = (op_), .dtypes = TN_BIT(dtype_), .impl = (impl_),            \
     .flags = TN_K_REENTRANT | TN_K_DETERMINISTIC,                      \
     .state_size = sizeof(cdist_state), .setup = cdist_setup, .run = (run_)}
// clang-format on

static const tn_kernel_row cdist_rows[] = {
    ROW("cdist", TN_F32, "rows f32", cdist_f32),
    ROW("cdist", TN_F64, "rows f64", cdist_f64),
    {0},
};
static const tn_kernel_row backward_rows[] = {
    ROW("_backward_cdist", TN_F32, "rows f32", backward_f32),
    ROW("_backward_cdist", TN_F64, "rows f64", backward_f64),
    {0},
};

TN_HOST_KERNEL(forward, "cdist", cdist_rows)
TN_HOST_KERNEL(backward, "_backward_cdist", backward_rows)

static const tn_plugin plugin = {
    .struct_size = sizeof plugin,
    .name = "cdist",
    .version = TN_VERSION_TEXT,
    .vendor = "Tenon",
    .license = "Apache-2.0",
    .init = tn_sdk_plugin_init, // kernels made with TN_HOST_KERNEL need these two
    .shutdown = tn_sdk_shutdown,
    .ops = TN_OPS(&cdist, &backward_cdist),
    .kernels = TN_KERNELS(&forward_kernel, &backward_kernel),
};
TN_PLUGIN_ENTRY(plugin)
