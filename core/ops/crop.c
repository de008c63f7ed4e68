// core/ops/crop.c: Crop and UpSampling: images cut to a size, and enlarged.
#include "core/base/base.h"
#include "core/ops/ops.h"

// ------------------------------------------------------------------ Crop
//
//     output[n, c, i, j] = arg0[n, c, y + i, x + j],  (y, x) = offset, or the middle
//
// The extents of the output are h_w, or those of arg1, of which only the shape is used.

typedef struct crop_params {
    tn_ints offset, h_w;
    int64_t num_args;
    int32_t center_crop;
} crop_params;

static tn_status crop_check(const void *params, char *reason, size_t size)
{
    const crop_params *p = params;
    if (p->num_args > 2)
        snprintf(reason, size, "num_args: wanted 1 or 2, got %lld", (long long)p->num_args);
    else if (p->num_args == 1 && (p->h_w.v[0] < 1 || p->h_w.v[1] < 1))
        snprintf(reason, size, "h_w: wanted two extents of at least 1, got (%lld,%lld)",
                 (long long)p->h_w.v[0], (long long)p->h_w.v[1]);
    else
        return TN_OK;
    return TN_E_INVALID;
}

// First position on spatial axis i, for extents of data and output.
static int64_t crop_begin(const crop_params *p, int32_t i, int64_t in, int64_t out)
{
    return p->center_crop ? (in - out) / 2 : p->offset.v[i];
}

// `like` is given where the call has two inputs.
static tn_status crop_rule(const tn_infer *io, tni_slot data, const tni_slot *like, tni_slot output)
{
    const crop_params *p = io->params;
    TNI_TRY(tni_merge(io, data, tn_shape_rank(4)));
    TNI_TRY(tni_merge(io, output, tn_shape_rank(4)));
    if (like) TNI_TRY(tni_merge(io, *like, tn_shape_rank(4)));
    tn_shape x = tni_shape(io, data), y = tni_shape(io, output);
    tn_shape size = like ? tni_shape(io, *like) : tn_shape_rank(4);
    for (int32_t i = 0; i < 2; i++) {
        y.dim[i] = x.dim[i] >= 0 ? x.dim[i] : y.dim[i];
        x.dim[i] = y.dim[i];
        if (!like && p->num_args == 1) size.dim[2 + i] = p->h_w.v[i];
        y.dim[2 + i] = size.dim[2 + i] >= 0 ? size.dim[2 + i] : y.dim[2 + i];
        size.dim[2 + i] = y.dim[2 + i];
        const int64_t in = x.dim[2 + i], out = y.dim[2 + i];
        if (in < 0 || out < 0) continue;
        const int64_t from = crop_begin(p, i, in, out);
        if (out > in || from > in - out)
            return tn_infer_fail(io, TN_E_SHAPE,
                                 "axis %d: %lld elements from %lld on, of %lld that there are",
                                 2 + i, (long long)out, (long long)from, (long long)in);
    }
    TNI_TRY(tni_merge(io, data, x));
    if (like) TNI_TRY(tni_merge(io, *like, size));
    return tni_merge(io, output, y);
}

static tn_status crop_shape(const tn_infer *io)
{
    const tni_slot like = TNI_IN(1);
    return crop_rule(io, TNI_IN(0), io->n_in > 1 ? &like : NULL, TNI_OUT(0));
}

// The part as begin and end of slice; NULL, and an error, if shapes are unknown.
static const char *crop_slice(const tn_builder *b, char text[TNI_LONG_TEXT], tn_sym whole,
                              tn_sym part)
{
    const crop_params *p = b->params;
    const tn_shape in = *b->shape(b->ctx, whole);
    const tn_shape like = part ? *b->shape(b->ctx, part) : in;
    int64_t begin[4] = {0}, end[4] = {TN_NONE_I64, TN_NONE_I64, 0, 0};
    if (tn_shape_size(&in) < 0 || tn_shape_size(&like) < 0) {
        b->fail(b->ctx, TN_E_SHAPE, "wanted known shapes of the inputs");
        return NULL;
    }
    for (int32_t i = 0; i < 2; i++) {
        const int64_t out = part ? like.dim[2 + i] : p->h_w.v[i];
        begin[2 + i] = crop_begin(p, i, in.dim[2 + i], out);
        end[2 + i] = begin[2 + i] + out;
    }
    text[0] = 0;
    tni_text_list(text, "begin", (tn_ints){4, begin});
    tni_text_list(text, "end", (tn_ints){4, end});
    return text;
}

static tn_status crop_expand(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym x = tn_grad_in(b, 0), like = b->n_in > 1 ? tn_grad_in(b, 1) : 0;
    if (!crop_slice(b, text, x, like)) return TN_E_SHAPE;
    b->set_output(b->ctx, 0, tn_emit(b, "slice", text, &x, 1));
    return TN_OK;
}

static const char *crop_text(char text[TNI_LONG_TEXT], const crop_params *p)
{
    snprintf(text, TNI_LONG_TEXT, "num_args=2; center_crop=%d; ", p->center_crop);
    tni_text_list(text, "offset", p->offset);
    return text;
}

static tn_status crop_gradient(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy)
        tn_grad_set(b, 0,
                    TN_EMIT(b, "_backward_Crop", crop_text(text, b->params), dy, tn_grad_in(b, 0)));
    return TN_OK;
}

// clang-format off
#define CROP_PARAMS                                                                                \
    .params = TN_PARAMS(                                                                           \
        TN_PARAM(crop_params, num_args, TN_P_I64, .range = "[1,3]",                                \
                 .doc = "1: the size is h_w; 2: it is that of arg1"),                              \
        TN_PARAM(crop_params, offset, TN_P_I64S, .def = "(0,0)", .range = "[0,)", .min_len = 2,    \
                 .max_len = 2, .doc = "(y, x): where the part begins"),                            \
        TN_PARAM(crop_params, h_w, TN_P_I64S, .def = "(0,0)", .range = "[0,)", .min_len = 2,       \
                 .max_len = 2, .doc = "height and width, for one input"),                          \
        TN_PARAM(crop_params, center_crop, TN_P_BOOL, .def = "False",                              \
                 .doc = "cut out the middle, and ignore offset")),                                 \
    .params_size = sizeof(crop_params), .check = crop_check
// clang-format on

const tn_op_decl tni_op_crop =
    TN_OP(.name = "Crop", .c_name = "crop_layer",
          .doc = "Cuts height and width of arg0 to h_w, or to those of a second input, arg1, whose "
                 "values do not matter. Begins at offset, or cuts out the middle. The gradient is "
                 "0 outside. Not the operator crop, which is slice.",
          .family = "vision", .formula = "y = data[:,:,top:top + height,left:left + width]",
          .shape_rule = "(n, c, h, w) -> (n, c, height, width) by h_w or of crop_like",
          .source = "MXNet 0.11, src/operator/crop-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "arg", .flags = TN_PORT_VARIADIC,
                                     .doc = "(n, c, h, w); the second gives the size")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(n, c, height, width)")),
          CROP_PARAMS, .count = "num_args", .infer_shape = crop_shape, .gradient = crop_gradient,
          .expand = crop_expand);

static tn_status crop_backward_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(crop_rule(io, TNI_OUT(0), NULL, TNI_IN(0)));
    return tni_link(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status crop_backward_gradient(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym g = tn_grad_head(b, 0);
    if (g) tn_grad_set(b, 0, TN_EMIT(b, "Crop", crop_text(text, b->params), g, tn_grad_in(b, 0)));
    return TN_OK;
}

static tn_status crop_backward_expand(const tn_builder *b)
{
    char text[TNI_LONG_TEXT];
    const tn_sym dy = tn_grad_in(b, 0), like = tn_grad_in(b, 1);
    if (!crop_slice(b, text, like, dy)) return TN_E_SHAPE;
    b->set_output(b->ctx, 0, TN_EMIT(b, "_backward_slice", text, dy, like));
    return TN_OK;
}

const tn_op_decl tni_op_backward_crop =
    TN_OP(.name = "_backward_Crop", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of Crop: zeros in the shape of like, with dy where the part was.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of like")),
          CROP_PARAMS, .infer_shape = crop_backward_shape, .infer_dtype = tni_dtype_all_but_in1,
          .gradient = crop_backward_gradient, .expand = crop_backward_expand);

// ------------------------------------------------------------------ UpSampling
//
// nearest: every pixel becomes scale by scale pixels; further inputs are enlarged to the same size,
// and then all are joined along the channels, or added up.
// bilinear: each channel by itself passes a Deconvolution with stride scale, kernel
// 2 scale - scale mod 2 and pad ceil((scale - 1) / 2), whose weight begins as bilinear weights.

typedef struct up_params {
    int64_t scale, num_filter, num_args, workspace;
    int32_t sample_type, multi_input_mode;
} up_params;
enum { NEAREST, BILINEAR };
enum { CONCAT, SUM };

static tn_status up_check(const void *params, char *reason, size_t size)
{
    const up_params *p = params;
    if (p->sample_type != BILINEAR || p->num_filter > 0) return TN_OK;
    snprintf(reason, size, "num_filter: sample_type bilinear wants the number of channels");
    return TN_E_INVALID;
}

static int64_t up_kernel(const up_params *p)
{
    return 2 * p->scale - p->scale % 2;
}

// Height and width of data times scale, in both directions.
static tn_status up_extents(const tn_infer *io, tn_shape *x, tn_shape *y)
{
    const up_params *p = io->params;
    for (int32_t i = 2; i < 4; i++) {
        if (x->dim[i] > TNI_MOST_EXTENT)
            return tn_infer_fail(io, TN_E_SHAPE, "axis %d has %lld", i, (long long)x->dim[i]);
        if (y->dim[i] >= 0 && y->dim[i] % p->scale)
            return tn_infer_fail(io, TN_E_SHAPE,
                                 "axis %d of the output has %lld, wanted a multiple of %lld", i,
                                 (long long)y->dim[i], (long long)p->scale);
        if (x->dim[i] >= 0)
            y->dim[i] = x->dim[i] * p->scale;
        else if (y->dim[i] >= 0)
            x->dim[i] = y->dim[i] / p->scale;
    }
    return TN_OK;
}

// Can an image of extents x be enlarged to those of y, by one whole factor?
static bool up_fits(const tn_shape *x, const tn_shape *y)
{
    for (int32_t k = 2; k < 4; k++) {
        if (y->dim[k] < 0 || x->dim[k] < 0) return true; // not known yet
        if (x->dim[k] == 0 ? y->dim[k] != 0 : y->dim[k] % x->dim[k] != 0) return false;
    }
    if (x->dim[2] == 0 || x->dim[3] == 0) return true;
    return y->dim[2] / x->dim[2] == y->dim[3] / x->dim[3];
}

static tn_status up_unfit(const tn_infer *io, const tn_shape *x, const tn_shape *y)
{
    return tn_infer_fail(io, TN_E_SHAPE, "(%lld,%lld) cannot be enlarged to (%lld,%lld)",
                         (long long)x->dim[2], (long long)x->dim[3], (long long)y->dim[2],
                         (long long)y->dim[3]);
}

// What input i (not the first) and the output say of each other.
static tn_status up_other(const tn_infer *io, uint32_t i, const tn_shape *y)
{
    const up_params *p = io->params;
    tn_shape x = tn_shape_rank(4);
    x.dim[0] = y->dim[0];
    if (p->multi_input_mode == SUM) x.dim[1] = y->dim[1];
    TNI_TRY(tni_merge(io, TNI_IN(i), x));
    x = tni_shape(io, TNI_IN(i));
    return up_fits(&x, y) ? TN_OK : up_unfit(io, &x, y);
}

static tn_status up_nearest_shape(const tn_infer *io)
{
    const up_params *p = io->params;
    TNI_TRY(tni_merge(io, TNI_IN(0), tn_shape_rank(4)));
    TNI_TRY(tni_merge(io, TNI_OUT(0), tn_shape_rank(4)));
    tn_shape x = tni_shape(io, TNI_IN(0)), y = tni_shape(io, TNI_OUT(0));
    TNI_TRY(up_extents(io, &x, &y));
    for (uint32_t i = 0; i < io->n_in; i++) {
        const tn_shape at = tni_shape(io, TNI_IN(i));
        if (y.dim[0] < 0 && at.ndim == 4) y.dim[0] = at.dim[0];
        if (y.dim[1] < 0 && at.ndim == 4 && p->multi_input_mode == SUM) y.dim[1] = at.dim[1];
    }
    x.dim[0] = y.dim[0];
    if (p->multi_input_mode == SUM || io->n_in == 1) {
        if (x.dim[1] < 0) x.dim[1] = y.dim[1];
        y.dim[1] = x.dim[1];
    }
    TNI_TRY(tni_merge(io, TNI_IN(0), x));
    int64_t channels = 0;
    for (uint32_t i = 0; i < io->n_in; i++) {
        if (i) TNI_TRY(up_other(io, i, &y));
        const int64_t c = tni_shape(io, TNI_IN(i)).dim[1];
        if (channels < 0 || c < 0 || __builtin_add_overflow(channels, c, &channels)) channels = -1;
    }
    if (p->multi_input_mode == CONCAT && channels >= 0) y.dim[1] = channels;
    return tni_merge(io, TNI_OUT(0), y);
}

static tn_status up_bilinear_shape(const tn_infer *io)
{
    const up_params *p = io->params;
    const int64_t k = up_kernel(p);
    const tn_shape weight = {.ndim = 4, .dim = {p->num_filter, 1, k, k}};
    tn_shape channels = tn_shape_rank(4);
    channels.dim[1] = p->num_filter;
    TNI_TRY(tni_merge(io, TNI_IN(0), channels));
    TNI_TRY(tni_merge(io, TNI_IN(1), weight));
    TNI_TRY(tni_merge(io, TNI_OUT(0), channels));
    tn_shape x = tni_shape(io, TNI_IN(0)), y = tni_shape(io, TNI_OUT(0));
    TNI_TRY(up_extents(io, &x, &y));
    for (int32_t i = 2; i < 4; i++)
        if (x.dim[i] == 0)
            return tn_infer_fail(io, TN_E_SHAPE, "axis %d of data: wanted at least 1 element", i);
    if (x.dim[0] < 0) x.dim[0] = y.dim[0];
    y.dim[0] = x.dim[0];
    TNI_TRY(tni_merge(io, TNI_IN(0), x));
    return tni_merge(io, TNI_OUT(0), y);
}

static tn_status up_shape(const tn_infer *io)
{
    const up_params *p = io->params;
    return p->sample_type == BILINEAR ? up_bilinear_shape(io) : up_nearest_shape(io);
}

// Joins the inputs two by two, so that there may be any number of them. Of what the first is made
// like, nothing but the shape is used: so its gradient is _backward_enlarge, too.
static tn_status up_nearest_expand(const tn_builder *b)
{
    const up_params *p = b->params;
    char text[TN_TEXT];
    tn_sym like = tn_grad_in(b, 0);
    for (int axis = 3; axis >= 2; axis--) {
        tn_text(text, "axis=%d; repeats=%lld", axis, (long long)p->scale);
        like = tn_emit(b, "repeat", text, &like, 1);
    }
    tn_sym all = tni_call2(b, "_enlarge_like", tn_grad_in(b, 0), like);
    for (uint32_t i = 1; i < b->n_in; i++) {
        const tn_sym more = tni_call2(b, "_enlarge_like", tn_grad_in(b, i), all);
        all = p->multi_input_mode == SUM ? tni_call2(b, "elemwise_add", all, more)
                                         : TN_EMIT(b, "Concat", "num_args=2; dim=1", all, more);
    }
    b->set_output(b->ctx, 0, all);
    return TN_OK;
}

static tn_status up_expand(const tn_builder *b)
{
    const up_params *p = b->params;
    char text[TN_TEXT];
    if (p->sample_type == NEAREST) return up_nearest_expand(b);
    const long long k = up_kernel(p), s = p->scale, pad = s / 2, c = p->num_filter;
    tn_text(text,
            "kernel=(%lld,%lld); stride=(%lld,%lld); pad=(%lld,%lld); num_filter=%lld; "
            "num_group=%lld; no_bias=1",
            k, k, s, s, pad, pad, c, c);
    b->set_output(b->ctx, 0, TN_EMIT(b, "Deconvolution", text, tn_grad_in(b, 0), tn_grad_in(b, 1)));
    return TN_OK;
}

const tn_op_decl tni_op_up_sampling =
    TN_OP(.name = "UpSampling", .c_name = "up_sampling",
          .doc =
              "Enlarges height and width. nearest: repeats pixels; further inputs are enlarged to "
              "the size of the first one's result, and joined along the channels or added. "
              "bilinear: a Deconvolution of each channel with a weight that begins bilinear.",
          .family = "layer",
          .formula = "nearest: y[n,c,i,j] = x[n,c,i div scale,j div scale]; bilinear: a "
                     "Deconvolution by channels",
          .shape_rule = "(n, c, h, w) -> (n, c, scale * h, scale * w); several inputs are scaled "
                        "to the first and joined or summed",
          .source = "MXNet 0.11, src/operator/upsampling-inl.h",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .when = "sample_type=bilinear",
                                     .doc = "(n, num_filter, h, w)"),
                             TN_PORT(.name = "weight", .when = "sample_type=bilinear",
                                     .init = "[\"bilinear\", {}]",
                                     .doc = "(num_filter, 1, k, k), k = 2 scale - scale mod 2"),
                             TN_PORT(.name = "arg", .flags = TN_PORT_VARIADIC,
                                     .when = "sample_type=nearest", .doc = "(n, c, h, w)")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(n, channels, scale h, scale w)")),
          .params = TN_PARAMS(
              TN_PARAM(up_params, scale, TN_P_I64, .range = "[1,1000]", .doc = "how much larger"),
              TN_PARAM(up_params, num_filter, TN_P_I64, .def = "0", .range = "[0,100000]",
                       .doc = "channels of bilinear"),
              TN_PARAM(up_params, sample_type, TN_P_ENUM, .choices = "nearest|bilinear",
                       .doc = "repeat pixels, or pass a Deconvolution"),
              TN_PARAM(up_params, multi_input_mode, TN_P_ENUM, .def = "concat",
                       .choices = "concat|sum", .doc = "what becomes of several inputs"),
              TN_PARAM(up_params, num_args, TN_P_I64, .range = "[1,)", .doc = "number of inputs"),
              TN_PARAM(up_params, workspace, TN_P_I64, .def = "512", .range = "[0,)",
                       .doc = "read from files, without effect")),
          .params_size = sizeof(up_params), .count = "num_args", .check = up_check,
          .infer_shape = up_shape, .expand = up_expand);

// ------------------------------------------------------------------ _enlarge_like
//
// Height and width of data become those of like, by one whole factor, pixels being repeated.

static tn_status enlarge_shape(const tn_infer *io)
{
    for (uint32_t i = 0; i < 2; i++) TNI_TRY(tni_merge(io, TNI_IN(i), tn_shape_rank(4)));
    TNI_TRY(tni_merge(io, TNI_OUT(0), tn_shape_rank(4)));
    tn_shape x = tni_shape(io, TNI_IN(0)), size = tni_shape(io, TNI_IN(1));
    tn_shape y = tni_shape(io, TNI_OUT(0));
    for (int32_t i = 0; i < 4; i++) {
        int64_t *of = i < 2 ? &x.dim[i] : &size.dim[i];
        if (*of < 0) *of = y.dim[i];
        y.dim[i] = *of;
    }
    TNI_TRY(tni_merge(io, TNI_IN(0), x));
    TNI_TRY(tni_merge(io, TNI_IN(1), size));
    TNI_TRY(tni_merge(io, TNI_OUT(0), y));
    return up_fits(&x, &y) ? TN_OK : up_unfit(io, &x, &y);
}

static tn_status enlarge_expand(const tn_builder *b)
{
    tn_sym x = tn_grad_in(b, 0);
    const tn_shape from = *b->shape(b->ctx, x), to = *b->shape(b->ctx, tn_grad_in(b, 1));
    char text[TN_TEXT];
    if (tn_shape_size(&from) < 0 || tn_shape_size(&to) < 0)
        return b->fail(b->ctx, TN_E_SHAPE, "wanted known shapes of the inputs");
    for (int axis = 3; axis >= 2; axis--) {
        const int64_t by = from.dim[axis] ? to.dim[axis] / from.dim[axis] : 1;
        tn_text(text, "axis=%d; repeats=%lld", axis, (long long)by);
        x = tn_emit(b, "repeat", text, &x, 1);
    }
    b->set_output(b->ctx, 0, x);
    return TN_OK;
}

static tn_status enlarge_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, tni_call2(b, "_backward_enlarge", dy, tn_grad_in(b, 0)));
    return TN_OK;
}

const tn_op_decl tni_op_enlarge_like =
    TN_OP(.name = "_enlarge_like", .flags = TN_OP_INTERNAL,
          .doc = "Repeats pixels, so that height and width become those of like.",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(n, c, h, w)"), TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), .infer_shape = enlarge_shape,
          .infer_dtype = tni_dtype_all_but_in1, .gradient = enlarge_gradient,
          .expand = enlarge_expand);

static tn_status shrink_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    TNI_TRY(tni_merge(io, TNI_OUT(0), tn_shape_rank(4)));
    TNI_TRY(tni_merge(io, TNI_IN(0), tn_shape_rank(4)));
    tn_shape dx = tni_shape(io, TNI_OUT(0)), dy = tni_shape(io, TNI_IN(0));
    for (int32_t i = 0; i < 2; i++) {
        if (dx.dim[i] < 0) dx.dim[i] = dy.dim[i];
        dy.dim[i] = dx.dim[i];
    }
    TNI_TRY(tni_merge(io, TNI_OUT(0), dx));
    TNI_TRY(tni_merge(io, TNI_IN(0), dy));
    if (!up_fits(&dx, &dy)) return up_unfit(io, &dx, &dy);
    return tni_link(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status shrink_gradient(const tn_builder *b)
{
    const tn_sym g = tn_grad_head(b, 0);
    if (g) tn_grad_set(b, 0, tni_call2(b, "_enlarge_like", g, tn_grad_in(b, 0)));
    return TN_OK;
}

// Height and width are split into pixels and their copies, and these are summed.
static tn_status shrink_expand(const tn_builder *b)
{
    const tn_sym dy = tn_grad_in(b, 0), like = tn_grad_in(b, 1);
    const tn_shape from = *b->shape(b->ctx, dy), to = *b->shape(b->ctx, like);
    char text[TN_TEXT];
    if (tn_shape_size(&from) < 0 || tn_shape_size(&to) < 0)
        return b->fail(b->ctx, TN_E_SHAPE, "wanted known shapes of the inputs");
    if (tn_shape_size(&to) == 0) {
        const tn_dtype dtype = b->dtype(b->ctx, dy);
        b->set_output(b->ctx, 0, tni_cast(b, tni_call(b, "zeros_like", like), dtype));
        return TN_OK;
    }
    tn_text(text, "shape=(0,0,-4,%lld,-1,-4,%lld,-1)", (long long)to.dim[2], (long long)to.dim[3]);
    const tn_sym split = tn_emit(b, "Reshape", text, &dy, 1);
    b->set_output(b->ctx, 0, tn_emit(b, "sum", "axis=(3,5)", &split, 1));
    return TN_OK;
}

const tn_op_decl tni_op_backward_enlarge =
    TN_OP(.name = "_backward_enlarge", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of _enlarge_like: the sum of each pixel's copies.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of like")),
          .infer_shape = shrink_shape, .infer_dtype = tni_dtype_all_but_in1,
          .gradient = shrink_gradient, .expand = shrink_expand);
