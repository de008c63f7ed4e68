// core/ops/correlation.c: Correlation of the patches of two images.
#include "core/base/base.h"
#include "core/ops/ops.h"

// With a and b the two images with pad_size zeros on each side, radius r = ⌊kernel_size / 2⌋ and
// D = 2 ⌊max_displacement / stride2⌋ + 1 displacements each way:
//
//     output[n, q, i, j] = 1 / (k² C) Σ_{u, v < k, c} f(a[n, c, y + u, x + v],
//                                                       b[n, c, y + u + dy, x + v + dx])
//     y = i stride1 + max_displacement, x = j stride1 + max_displacement
//     dy = (⌊q / D⌋ - ⌊D / 2⌋) stride2, dx = (q mod D - ⌊D / 2⌋) stride2
//
// f is the product, or without is_multiply the absolute difference. The output has
// ⌈(H + 2 pad_size - 2 (max_displacement + r)) / stride1⌉ rows, and columns likewise. tmp1 and tmp2
// are a and b with the channels last, (N, H + 2 pad_size, W + 2 pad_size, C).

typedef struct correlation_params {
    int64_t kernel_size, max_displacement, stride1, stride2, pad_size;
    int32_t is_multiply;
} correlation_params;

// An expansion has a few nodes for each displacement.
enum { MOST_DISPLACEMENTS = 255 }; // each way

static tn_status correlation_check(const void *params, char *reason, size_t size)
{
    const correlation_params *p = params;
    if (p->kernel_size % 2 == 1) return TN_OK;
    snprintf(reason, size, "kernel_size: wanted an odd number, got %lld",
             (long long)p->kernel_size);
    return TN_E_INVALID;
}

static int64_t displacements(const correlation_params *p)
{
    return 2 * (p->max_displacement / p->stride2) + 1;
}

// Points on each side that the output has not, without the padding.
static int64_t border(const correlation_params *p)
{
    return p->max_displacement + p->kernel_size / 2;
}

// Spatial axis i: what data, output and the padded data say of each other.
static tn_status correlation_axis(const tn_infer *io, int32_t i, int64_t *in, int64_t *out,
                                  int64_t *padded)
{
    const correlation_params *p = io->params;
    const int64_t pad = 2 * p->pad_size, sides = 2 * border(p);
    if (*in < 0 && *padded >= pad) *in = *padded - pad;
    if (*in < 0 && *out > 0 && *out <= TNI_MOST_EXTENT && p->stride1 == 1 && *out + sides >= pad)
        *in = *out + sides - pad;
    if (*in < 0) return TN_OK;
    if (*in > TNI_MOST_EXTENT || *in + pad <= sides)
        return tn_infer_fail(io, TN_E_SHAPE,
                             "spatial axis %d has %lld points with its padding, wanted more than "
                             "%lld: twice max_displacement and half the kernel",
                             i, (long long)(*in > TNI_MOST_EXTENT ? *in : *in + pad),
                             (long long)sides);
    *padded = *in + pad;
    *out = (*padded - sides - 1) / p->stride1 + 1;
    return TN_OK;
}

static tn_status correlation_shape(const tn_infer *io)
{
    const correlation_params *p = io->params;
    const int64_t d = displacements(p);
    TNI_TRY(tni_merge(io, TNI_IN(0), tn_shape_rank(4)));
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_IN(1)));
    TNI_TRY(tni_merge(io, TNI_OUT(0), (tn_shape){.ndim = 4, .dim = {-1, d * d, -1, -1}}));
    TNI_TRY(tni_merge(io, TNI_OUT(1), tn_shape_rank(4)));
    TNI_TRY(tni_link(io, TNI_OUT(1), TNI_OUT(2)));
    tn_shape x = tni_shape(io, TNI_IN(0)), y = tni_shape(io, TNI_OUT(0));
    tn_shape t = tni_shape(io, TNI_OUT(1));
    for (int32_t i = 0; i < 2; i++) {
        int64_t out = -1, padded = t.dim[1 + i];
        if (x.dim[2 + i] < 0) out = y.dim[2 + i];
        TNI_TRY(correlation_axis(io, i, &x.dim[2 + i], &out, &padded));
        if (out >= 0) y.dim[2 + i] = out;
        t.dim[1 + i] = padded;
    }
    if (x.dim[0] < 0) x.dim[0] = y.dim[0] >= 0 ? y.dim[0] : t.dim[0];
    if (x.dim[1] < 0) x.dim[1] = t.dim[3];
    y.dim[0] = t.dim[0] = x.dim[0];
    t.dim[3] = x.dim[1];
    TNI_TRY(tni_merge(io, TNI_OUT(0), y));
    TNI_TRY(tni_merge(io, TNI_OUT(1), t));
    TNI_TRY(tni_link(io, TNI_OUT(1), TNI_OUT(2)));
    TNI_TRY(tni_merge(io, TNI_IN(0), x));
    return tni_link(io, TNI_IN(0), TNI_IN(1));
}

// x (N, C, H, W) as (N, H + 2 pad, W + 2 pad, C), with zeros around it.
static tn_sym padded(const tn_builder *b, tn_sym x)
{
    const correlation_params *p = b->params;
    char text[TN_TEXT];
    const tn_sym last = tni_call_with(b, "transpose", "axes=(0,2,3,1)", x);
    if (p->pad_size == 0) return last;
    tn_text(text, "pad=%lld", (long long)p->pad_size);
    return tni_call_with(b, "_zero_border", text, last);
}

// Positions m + d … end - (m - d) of an axis, m = max_displacement, as part of a text.
static void range_text(char begin[TN_NUMBER], char end[TN_NUMBER], int64_t m, int64_t d)
{
    snprintf(begin, TN_NUMBER, "%lld", (long long)(m + d));
    if (m == d)
        snprintf(end, TN_NUMBER, "None");
    else
        snprintf(end, TN_NUMBER, "%lld", (long long)(d - m));
}

// The points of all patches of an image that is moved by (dy, dx): without a border of
// max_displacement points. Patches of a single point are stepped over here.
static tn_sym displaced(const tn_builder *b, tn_sym image, int64_t dy, int64_t dx)
{
    const correlation_params *p = b->params;
    const int64_t m = p->max_displacement;
    const long long step = p->kernel_size == 1 ? p->stride1 : 1;
    char text[TN_TEXT], y[2][TN_NUMBER], x[2][TN_NUMBER];
    range_text(y[0], y[1], m, dy);
    range_text(x[0], x[1], m, dx);
    tn_text(text, "begin=(None,%s,%s); end=(None,%s,%s); step=(None,%lld,%lld)", y[0], x[0], y[1],
            x[1], step, step);
    return tni_call_with(b, "slice", text, image);
}

// Means over the channels for one row of displacements: (N, D, rows, columns).
static tn_sym displaced_row(const tn_builder *b, tn_sym first, tn_sym image, int64_t dy)
{
    const correlation_params *p = b->params;
    const int64_t d = displacements(p);
    tn_sym means[MOST_DISPLACEMENTS];
    char text[TN_TEXT];
    for (int64_t i = 0; i < d; i++) {
        const tn_sym second = displaced(b, image, dy, (i - d / 2) * p->stride2);
        const tn_sym f = p->is_multiply ? tni_call2(b, "_mul", first, second)
                                        : tni_call(b, "abs", tni_call2(b, "_sub", first, second));
        means[i] = tni_call_with(b, "mean", "axis=(3,)", f);
    }
    tn_text(text, "num_args=%lld; axis=1", (long long)d);
    return tn_emit(b, "stack", text, means, (uint32_t)d);
}

static tn_status correlation_expand(const tn_builder *b)
{
    const correlation_params *p = b->params;
    const int64_t d = displacements(p);
    const long long k = p->kernel_size, s = p->stride1;
    tn_sym rows[MOST_DISPLACEMENTS];
    char text[TN_TEXT];
    if (d > MOST_DISPLACEMENTS) {
        tn_text(text,
                "%lld displacements each way: an expansion, and so a gradient, has at most %d",
                (long long)d, MOST_DISPLACEMENTS);
        return b->fail(b->ctx, TN_E_UNSUPPORTED, text);
    }
    const tn_sym one = padded(b, tn_grad_in(b, 0)), two = padded(b, tn_grad_in(b, 1));
    const tn_sym first = displaced(b, one, 0, 0);
    for (int64_t i = 0; i < d; i++)
        rows[i] = displaced_row(b, first, two, (i - d / 2) * p->stride2);
    tn_text(text, "num_args=%lld; dim=1", (long long)d);
    tn_sym y = tn_emit(b, "Concat", text, rows, (uint32_t)d);
    tn_text(text, "pool_type=avg; kernel=(%lld,%lld); stride=(%lld,%lld)", k, k, s, s);
    if (k > 1) y = tni_call_with(b, "Pooling", text, y);
    b->set_output(b->ctx, 0, y);
    b->set_output(b->ctx, 1, one);
    b->set_output(b->ctx, 2, two);
    return TN_OK;
}

const tn_op_decl tni_op_correlation =
    TN_OP(.name = "Correlation",
          .doc =
              "Compares each patch of data1 with the patches of data2 around its place: means of "
              "products, or without is_multiply of absolute differences. Channel q is for the "
              "displacement (floor(q / D), q mod D) of D = 2 floor(max_displacement / stride2) "
              "+ 1 each way, y first. Output extents: ceil((x + 2 pad_size - 2 max_displacement "
              "- kernel_size + 1) / stride1).",
          .family = "vision",
          .formula = "y[n,q,i,j] = mean over the patch and c of a[n,c,p] * b[n,c,p + d(q)], or |a "
                     "- b|, around p = (i, j) * stride1 + max_displacement",
          .shape_rule =
              "(N, C, H, W) twice -> (N, D^2, out...), D = 2 floor(max_displacement / stride2) + "
              "1, out = ceil((x + 2 pad_size - 2 max_displacement - kernel_size + 1) / stride1)",
          .source = "MXNet 0.11, src/operator/correlation.cc; arXiv:1504.06852",
          .inputs = TN_PORTS(TN_PORT(.name = "data1", .doc = "(N, C, H, W)"),
                             TN_PORT(.name = "data2", .doc = "in the shape of data1")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(N, D^2, H', W')"),
                              TN_PORT(.name = "tmp1", .flags = TN_PORT_HIDDEN,
                                      .doc = "data1 with padding, channels last"),
                              TN_PORT(.name = "tmp2", .flags = TN_PORT_HIDDEN,
                                      .doc = "data2 with padding, channels last")),
          .params = TN_PARAMS(
              TN_PARAM(correlation_params, kernel_size, TN_P_I64, .def = "1", .range = "[0,100000]",
                       .doc = "points of a patch each way, an odd number"),
              TN_PARAM(correlation_params, max_displacement, TN_P_I64, .def = "1",
                       .range = "[0,100000]", .doc = "farthest displacement each way"),
              TN_PARAM(correlation_params, stride1, TN_P_I64, .def = "1", .range = "[1,100000]",
                       .doc = "step from patch to patch of data1"),
              TN_PARAM(correlation_params, stride2, TN_P_I64, .def = "1", .range = "[1,100000]",
                       .doc = "step from displacement to displacement"),
              TN_PARAM(correlation_params, pad_size, TN_P_I64, .def = "0", .range = "[0,100000]",
                       .doc = "zeros on each side of both inputs"),
              TN_PARAM(correlation_params, is_multiply, TN_P_BOOL, .def = "True",
                       .doc = "products; else absolute differences")),
          .params_size = sizeof(correlation_params), .check = correlation_check,
          .infer_shape = correlation_shape, .infer_dtype = tni_dtype_one_float,
          .expand = correlation_expand);

// ------------------------------------------------------------------ _zero_border
//
//     (n, h, w, c) → (n, h + 2 pad, w + 2 pad, c), and back by slice

typedef struct border_params {
    int64_t pad;
} border_params;

static tn_status border_shape(const tn_infer *io)
{
    const int64_t more = 2 * ((const border_params *)io->params)->pad;
    TNI_TRY(tni_merge(io, TNI_IN(0), tn_shape_rank(4)));
    TNI_TRY(tni_merge(io, TNI_OUT(0), tn_shape_rank(4)));
    tn_shape x = tni_shape(io, TNI_IN(0)), y = tni_shape(io, TNI_OUT(0));
    for (int i = 0; i < 4; i++) {
        const int64_t wider = i == 1 || i == 2 ? more : 0;
        if (x.dim[i] < 0 && y.dim[i] >= wider) x.dim[i] = y.dim[i] - wider;
        if (x.dim[i] >= 0 && x.dim[i] <= TNI_MOST_EXTENT) y.dim[i] = x.dim[i] + wider;
    }
    TNI_TRY(tni_merge(io, TNI_OUT(0), y));
    return tni_merge(io, TNI_IN(0), x);
}

static tn_status border_gradient(const tn_builder *b)
{
    const long long pad = ((const border_params *)b->params)->pad;
    const tn_sym dy = tn_grad_head(b, 0);
    char text[TN_TEXT];
    tn_text(text, "begin=(None,%lld,%lld); end=(None,%lld,%lld)", pad, pad, -pad, -pad);
    if (dy) tn_grad_set(b, 0, tni_call_with(b, "slice", text, dy));
    return TN_OK;
}

static tn_status border_expand(const tn_builder *b)
{
    const long long pad = ((const border_params *)b->params)->pad;
    const tn_sym x = tn_grad_in(b, 0);
    const tn_shape s = *b->shape(b->ctx, x);
    char shape[TN_TEXT], place[TN_TEXT]; // an extent of 0 is found by _backward_slice
    tn_text(shape, "shape=(%lld,%lld,%lld,%lld); dtype=%s", (long long)s.dim[0],
            (long long)s.dim[1] + 2 * pad, (long long)s.dim[2] + 2 * pad, (long long)s.dim[3],
            tn_dtype_name(b->dtype(b->ctx, x)));
    tn_text(place, "begin=(None,%lld,%lld); end=(None,%lld,%lld)", pad, pad, -pad, -pad);
    b->set_output(b->ctx, 0,
                  TN_EMIT(b, "_backward_slice", place, x, tn_emit(b, "_zeros", shape, NULL, 0)));
    return TN_OK;
}

const tn_op_decl tni_op_zero_border =
    TN_OP(.name = "_zero_border", .flags = TN_OP_INTERNAL,
          .doc = "Puts zeros around images whose channels stand last.",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(n, h, w, c)")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(n, h + 2 pad, w + 2 pad, c)")),
          .params = TN_PARAMS(TN_PARAM(border_params, pad, TN_P_I64, .range = "[1,100000]",
                                       .doc = "zeros on each side")),
          .params_size = sizeof(border_params), .infer_shape = border_shape,
          .gradient = border_gradient, .expand = border_expand);
