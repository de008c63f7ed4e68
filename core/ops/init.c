// core/ops/init.c: values from nothing: _zeros, _ones, _full, _arange, zeros_like, ones_like.
#include <math.h>

#include "core/ops/ops.h"

// ------------------------------------------------------------------ _zeros, _ones, _full
//
// An extent of 0 or -1, or a shape (), is unknown and comes from what uses the value.

typedef struct fill_params {
    tn_ints shape;
    double value;
    const char *ctx;
    tn_dtype dtype;
} fill_params;

static tn_status fill_shape(const tn_infer *io)
{
    return tni_merge_param_shape(io, ((const fill_params *)io->params)->shape);
}

static tn_status fill_dtype(const tn_infer *io)
{
    return tni_merge_dtype(io, TNI_OUT(0), ((const fill_params *)io->params)->dtype);
}

#define FILL_PARAMS                                                                                \
    TN_PARAM(fill_params, shape, TN_P_I64S, .def = "()", .max_len = TN_MAX_NDIM, .range = "[-1,)", \
             .doc = "extents; 0 and -1, or (): to be inferred from what uses the value"),          \
        TN_PARAM(fill_params, ctx, TN_P_STR, .def = "",                                            \
                 .doc = "read from old files, without effect"),                                    \
        TN_PARAM(fill_params, dtype, TN_P_DTYPE, .def = "float32", .doc = "of the output")

#define FILL                                                                         \
    .flags = TN_OP_ZERO_GRAD, .source = "MXNet 0.11, src/operator/tensor/init_op.h", \
    .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "of the given shape")),     \
    .params_size = sizeof(fill_params), .infer_shape = fill_shape, .infer_dtype = fill_dtype

const tn_op_decl tni_op_zeros =
    TN_OP(.name = "_zeros", .c_name = "zeros", .doc = "Zeros.", .family = "creation",
          .formula = "y = 0",
          .shape_rule = "shape; extents of 0 or -1, and (), come from what uses the value", FILL,
          .params = TN_PARAMS(FILL_PARAMS));

const tn_op_decl tni_op_ones =
    TN_OP(.name = "_ones", .c_name = "ones", .doc = "Ones.", .family = "creation",
          .formula = "y = 1",
          .shape_rule = "shape; extents of 0 or -1, and (), come from what uses the value", FILL,
          .params = TN_PARAMS(FILL_PARAMS));

const tn_op_decl tni_op_full =
    TN_OP(.name = "_full", .c_name = "full", .doc = "One number everywhere.", .family = "creation",
          .formula = "y = value",
          .shape_rule = "shape; extents of 0 or -1, and (), come from what uses the value", FILL,
          .params =
              TN_PARAMS(FILL_PARAMS, TN_PARAM(fill_params, value, TN_P_F64, .doc = "the number")));

// ------------------------------------------------------------------ _arange
//
//     start, start + step, … below stop, each `repeat` times; without stop: 0 to start

typedef struct arange_params {
    double start, stop, step; // stop NaN: none
    int64_t repeat;
    int32_t infer_range;
    const char *ctx;
    tn_dtype dtype;
} arange_params;

// Most elements: those that a double counts exactly.
static const double most_elements = 9007199254740992.0;

static double arange_size(const arange_params *p)
{
    const double from = isnan(p->stop) ? 0 : p->start, to = isnan(p->stop) ? p->start : p->stop;
    return ceil((to - from) / p->step) * (double)p->repeat;
}

static tn_status arange_check(const void *params, char *reason, size_t size)
{
    const arange_params *p = params;
    if (p->step == 0) {
        snprintf(reason, size, "step: wanted a number that is not 0");
        return TN_E_INVALID;
    }
    const double n = arange_size(p);
    if (p->infer_range || (n >= 0 && n < most_elements)) return TN_OK;
    snprintf(reason, size, "start, stop and step give %g elements", n);
    return TN_E_INVALID;
}

static tn_status arange_shape(const tn_infer *io)
{
    const arange_params *p = io->params;
    return tni_merge(io, TNI_OUT(0), tn_shape_1d(p->infer_range ? -1 : (int64_t)arange_size(p)));
}

static tn_status arange_dtype(const tn_infer *io)
{
    return tni_merge_dtype(io, TNI_OUT(0), ((const arange_params *)io->params)->dtype);
}

const tn_op_decl tni_op_arange =
    TN_OP(.name = "_arange", .c_name = "arange", .flags = TN_OP_ZERO_GRAD,
          .doc = "Evenly spaced numbers: start, start + step, ... below stop.",
          .family = "creation",
          .formula = "y = start, start + step, ... below stop, each repeat times",
          .shape_rule = "(repeat * ceil((stop - start) / step),)",
          .source = "MXNet 0.11, src/operator/tensor/init_op.h; infer_range from 1.x",
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(repeat * numbers,)")),
          .params = TN_PARAMS(
              TN_PARAM(arange_params, start, TN_P_F64,
                       .doc = "first number; without stop, the end of a range from 0"),
              TN_PARAM(arange_params, stop, TN_P_F64, .def = "None", .flags = TN_PF_NONE,
                       .doc = "end of the range, not part of it"),
              TN_PARAM(arange_params, step, TN_P_F64, .def = "1.0", .doc = "may be negative"),
              TN_PARAM(arange_params, repeat, TN_P_I64, .def = "1", .range = "[1,)",
                       .doc = "how often each number stands there"),
              TN_PARAM(arange_params, infer_range, TN_P_BOOL, .def = "False",
                       .doc = "take the length from what uses the value, not from stop"),
              TN_PARAM(arange_params, ctx, TN_P_STR, .def = "",
                       .doc = "read from old files, without effect"),
              TN_PARAM(arange_params, dtype, TN_P_DTYPE, .def = "float32", .doc = "of the output")),
          .params_size = sizeof(arange_params), .check = arange_check, .infer_shape = arange_shape,
          .infer_dtype = arange_dtype);

// ------------------------------------------------------------------ zeros_like, ones_like

#define LIKE                                                                                   \
    .flags = TN_OP_ZERO_GRAD, .source = "MXNet 0.11, src/operator/tensor/init_op.cc",          \
    .inputs = TN_PORTS(                                                                        \
        TN_PORT(.name = "data", .doc = "gives shape and dtype", .flags = TN_PORT_SHAPE_ONLY)), \
    .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of data"))

// A constant of that shape. What has no element is made from a range without any, and what has no
// axis from one of a single element.
static tn_status fill_like(const tn_builder *b, int value)
{
    const tn_sym like = tn_grad_in(b, 0);
    const tn_shape s = *b->shape(b->ctx, like);
    const int64_t n = tn_shape_size(&s), one = 1;
    const char *dtype = tn_dtype_name(b->dtype(b->ctx, like));
    char text[TNI_LONG_TEXT] = "";
    if (n == 0) {
        snprintf(text, sizeof text, "start=0; stop=0; dtype=%s", dtype);
        const tn_sym none = tn_emit(b, "_arange", text, NULL, 0);
        b->set_output(b->ctx, 0, tni_call2(b, "reshape_like", none, like));
        return TN_OK;
    }
    tni_text_list(text, "shape", s.ndim ? (tn_ints){(size_t)s.ndim, s.dim} : (tn_ints){1, &one});
    const size_t at = strlen(text);
    snprintf(text + at, sizeof text - at, "value=%d; dtype=%s", value, dtype);
    const tn_sym y = tn_emit(b, "_full", text, NULL, 0);
    b->set_output(b->ctx, 0, s.ndim ? y : tni_call2(b, "reshape_like", y, like));
    return TN_OK;
}

static tn_status zeros_like_expand(const tn_builder *b)
{
    return fill_like(b, 0);
}

static tn_status ones_like_expand(const tn_builder *b)
{
    return fill_like(b, 1);
}

const tn_op_decl tni_op_zeros_like =
    TN_OP(.name = "zeros_like", .doc = "Zeros in the shape and dtype of data.",
          .family = "creation", .formula = "y = 0", LIKE, .expand = zeros_like_expand);

const tn_op_decl tni_op_ones_like =
    TN_OP(.name = "ones_like", .doc = "Ones in the shape and dtype of data.", .family = "creation",
          .formula = "y = 1", LIKE, .expand = ones_like_expand);
