// core/ops/fourier.c: _contrib_fft and _contrib_ifft: Fourier transforms of the last axis.
//
// With t = 2 π n k / d, complex numbers standing as pairs (real, imaginary) on the last axis:
//   fft    y[k] = Σ_n x[n] (cos t, -sin t)            (…, d)  → (…, 2d)
//   ifft   y[n] = Σ_k re[k] cos t - im[k] sin t       (…, 2d) → (…, d): the real part, not divided
//                                                     by d
// Seen as matrices they are the transposes of one another, so each is the other's gradient.
#include "core/ops/ops.h"

typedef struct fourier_params {
    int64_t compute_size;
} fourier_params;

// Slots: real numbers (…, d), complex ones (…, 2d).
static tn_status fourier_rule(const tn_infer *io, tni_slot real, tni_slot complex)
{
    tn_shape x = tni_shape(io, real), z = tni_shape(io, complex);
    if (x.ndim < 0 && z.ndim < 0) return TN_OK;
    if (x.ndim < 0) x = tn_shape_rank(z.ndim);
    const int32_t last = x.ndim - 1;
    if (last < 0) return tn_infer_fail(io, TN_E_SHAPE, "data: wanted at least one axis, got none");
    const int64_t d = x.dim[last];
    if (d > INT64_MAX / 2)
        return tn_infer_fail(io, TN_E_SHAPE, "data: %lld numbers are too many", (long long)d);
    x.dim[last] = d < 0 ? -1 : 2 * d;
    TNI_TRY(tni_merge(io, complex, x));
    z = tni_shape(io, complex);
    if (z.dim[last] % 2 > 0)
        return tn_infer_fail(io, TN_E_SHAPE,
                             "the last axis holds pairs: wanted an even extent, got %lld",
                             (long long)z.dim[last]);
    z.dim[last] = z.dim[last] < 0 ? -1 : z.dim[last] / 2;
    return tni_merge(io, real, z);
}

static tn_status fft_shape(const tn_infer *io)
{
    return fourier_rule(io, TNI_IN(0), TNI_OUT(0));
}

static tn_status ifft_shape(const tn_infer *io)
{
    return fourier_rule(io, TNI_OUT(0), TNI_IN(0));
}

static tn_status fft_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, tni_call(b, "_contrib_ifft", dy));
    return TN_OK;
}

static tn_status ifft_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, tni_call(b, "_contrib_fft", dy));
    return TN_OK;
}

static tn_sym count(const tn_builder *b, int64_t n, int repeat, const char *shape)
{
    char text[TN_TEXT];
    tn_text(text, "start=0; stop=%lld; repeat=%d; dtype=int64", (long long)n, repeat);
    const tn_sym v = tn_emit(b, "_arange", text, NULL, 0);
    return tn_emit(b, "Reshape", shape, &v, 1);
}

// The matrix (d, 2d) with cos(t + c π / 2) in row n and column 2k + c. n k is reduced modulo d as a
// whole number, so that t stays small and exact.
static tn_sym matrix(const tn_builder *b, int64_t d, tn_sym like)
{
    const double turn = 6.28318530717958647693;
    const tn_sym n = count(b, d, 1, "shape=(-1,1)"), k = count(b, d, 2, "shape=(1,-1)");
    const tn_sym nk = tni_call2(b, "broadcast_mul", n, k);
    const tn_sym part = tni_call_scalar(b, "_mod_scalar", nk, (double)d);
    const tn_sym c = tni_call_scalar(b, "_mod_scalar", count(b, 2 * d, 1, "shape=(1,-1)"), 2);
    const tn_sym t = tni_call_scalar(
        b, "_mul_scalar", tn_emit(b, "Cast", "dtype=float64", &part, 1), turn / (double)d);
    const tn_sym quarter =
        tni_call_scalar(b, "_mul_scalar", tn_emit(b, "Cast", "dtype=float64", &c, 1), turn / 4);
    const tn_sym m = tni_call(b, "cos", tni_call2(b, "broadcast_add", t, quarter));
    char text[TN_TEXT];
    tn_text(text, "dtype=%s", tn_dtype_name(b->dtype(b->ctx, like)));
    return tn_emit(b, "Cast", text, &m, 1);
}

static tn_status fourier_expand(const tn_builder *b, int64_t d, const char *transposed)
{
    const tn_sym x = tn_grad_in(b, 0);
    b->set_output(b->ctx, 0,
                  d == 0 ? tni_call(b, "_copy", x)
                         : TN_EMIT(b, "dot", transposed, x, matrix(b, d, x)));
    return TN_OK;
}

static tn_status fft_expand(const tn_builder *b)
{
    const tn_shape x = *b->shape(b->ctx, tn_grad_in(b, 0));
    if (x.ndim < 1 || x.dim[x.ndim - 1] < 0)
        return b->fail(b->ctx, TN_E_SHAPE, "the length of the last axis is not known");
    return fourier_expand(b, x.dim[x.ndim - 1], NULL);
}

static tn_status ifft_expand(const tn_builder *b)
{
    const tn_shape x = *b->shape(b->ctx, tn_grad_in(b, 0));
    if (x.ndim < 1 || x.dim[x.ndim - 1] < 0)
        return b->fail(b->ctx, TN_E_SHAPE, "the length of the last axis is not known");
    return fourier_expand(b, x.dim[x.ndim - 1] / 2, "transpose_b=1");
}

#define FOURIER                                                                               \
    .params = TN_PARAMS(TN_PARAM(fourier_params, compute_size, TN_P_I64, .def = "128",        \
                                 .range = "[1,)", .doc = "read from files, without effect")), \
    .params_size = sizeof(fourier_params)

const tn_op_decl tni_op_fft = TN_OP(
        .name = "_contrib_fft",
        .doc = "Fourier transform of the last axis: sum of x[n] exp(-2 pi i n k / d), real and "
               "imaginary parts in turn.",
        .family = "signal",
        .formula =
            "y[k] = sum_n x[n] (cos t, -sin t), t = 2 pi n k / d, real and imaginary parts in turn",
        .shape_rule = "(..., d) -> (..., 2 d)",
        .source = "MXNet 0.11, src/operator/contrib/fft-inl.h",
        .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(..., d): real numbers")),
        .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(..., 2d)")), FOURIER,
        .infer_shape = fft_shape, .gradient = fft_gradient, .expand = fft_expand);

const tn_op_decl tni_op_ifft =
    TN_OP(.name = "_contrib_ifft",
          .doc = "Real part of the inverse Fourier transform of the last axis, not divided by d: "
                 "_contrib_ifft of _contrib_fft is d times the data.",
          .family = "signal",
          .formula = "y[n] = sum_k re[k] cos t - im[k] sin t, t = 2 pi n k / d, not divided by d",
          .shape_rule = "(..., 2 d) -> (..., d)",
          .source = "MXNet 0.11, src/operator/contrib/ifft-inl.h",
          .inputs = TN_PORTS(
              TN_PORT(.name = "data", .doc = "(..., 2d): real and imaginary parts in turn")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(..., d)")), FOURIER,
          .infer_shape = ifft_shape, .gradient = ifft_gradient, .expand = ifft_expand);
