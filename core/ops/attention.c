// core/ops/attention.c: scaled_dot_product_attention, and the machinery that it expands into.
//
//     scores = scale Q Kᵀ + mask,  weights = softmax(scores),  output = drop(weights) V
//
// A score of -inf is masked: it has weight 0 and gets no gradient. A row that is masked wholly has
// weights 0, and its output is 0. Operators in the expansion that depend on shapes or dtypes have
// internal operators around them, so that gradients can be built before a bind.
#include <math.h>

#include "core/base/base.h"
#include "core/ops/ops.h"

typedef struct attention_params {
    double dropout_p, scale;
    int32_t is_causal, enable_gqa, use_mask;
} attention_params;

enum { QUERY, KEY, VALUE, MASK };
enum { OUTPUT, WEIGHTS, DROPPED };

// ------------------------------------------------------------------ _scale_by_extent
//
//     output = data / sqrt(extent of the last axis of like)

static tn_status scale_shape(const tn_infer *io)
{
    const tn_shape like = tni_shape(io, TNI_IN(1));
    if (like.ndim == 0)
        return tn_infer_fail(io, TN_E_SHAPE, "like: wanted at least 1 axis, got a scalar");
    return tni_link(io, TNI_IN(0), TNI_OUT(0));
}

static tn_status scale_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, tni_call2(b, "_scale_by_extent", dy, tn_grad_in(b, 1)));
    return TN_OK;
}

static tn_status scale_expand(const tn_builder *b)
{
    const tn_shape s = *b->shape(b->ctx, tn_grad_in(b, 1));
    const int64_t n = s.ndim > 0 ? s.dim[s.ndim - 1] : -1;
    if (n < 0) return b->fail(b->ctx, TN_E_SHAPE, "_scale_by_extent: wanted a known shape");
    const double factor = n ? 1 / sqrt((double)n) : 1; // sums of nothing are 0 anyway
    b->set_output(b->ctx, 0, tni_call_scalar(b, "_mul_scalar", tn_grad_in(b, 0), factor));
    return TN_OK;
}

const tn_op_decl tni_op_scale_by_extent =
    TN_OP(.name = "_scale_by_extent", .flags = TN_OP_INTERNAL,
          .doc = "data divided by the root of the extent of the last axis of like.",
          .inputs = TN_PORTS(TN_PORT(.name = "data"), TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), .infer_shape = scale_shape,
          .infer_dtype = tni_dtype_all_but_in1, .gradient = scale_gradient, .expand = scale_expand);

// ------------------------------------------------------------------ _repeat_heads
//
//     output[…, h, i, j] = data[…, h div r, i, j], r = heads of like / heads of data

// The heads of `many` are a multiple of those of `few`; the result has the first's number.
static tn_status heads_rule(const tn_infer *io, tni_slot few, tni_slot many_like, tni_slot many)
{
    const tn_shape like = tni_shape(io, many_like);
    tn_shape s = tni_shape(io, few), y = tni_shape(io, many);
    if (s.ndim < 0 && y.ndim >= 0) s = tn_shape_rank(y.ndim);
    if (s.ndim < 0 || like.ndim < 0) return TN_OK;
    if (s.ndim < 3 || s.ndim == TN_MAX_NDIM || like.ndim < 3)
        return tn_infer_fail(io, TN_E_SHAPE, "wanted (..., heads, length, width) of 3 to %d axes",
                             TN_MAX_NDIM - 1);
    const int32_t at = s.ndim - 3;
    const int64_t h = s.dim[at], n = like.dim[like.ndim - 3];
    if (h >= 0 && n >= 0 && (h == 0 ? n != 0 : n % h != 0))
        return tn_infer_fail(io, TN_E_SHAPE,
                             "%lld heads of query, wanted a multiple of the %lld of key and value",
                             (long long)n, (long long)h);
    s.dim[at] = n;
    TNI_TRY(tni_merge(io, many, s));
    s = tni_shape(io, many);
    s.dim[at] = h;
    return tni_merge(io, few, s);
}

static tn_status repeat_shape(const tn_infer *io)
{
    return heads_rule(io, TNI_IN(0), TNI_IN(1), TNI_OUT(0));
}

static tn_status repeat_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0), like = tn_grad_in(b, 1), x = tn_grad_in(b, 0);
    if (dy) tn_grad_set(b, 0, TN_EMIT(b, "_backward_repeat_heads", NULL, dy, like, x));
    return TN_OK;
}

// How often each head of `few` stands in `like`; 0 and an error if that is not known.
static int64_t repeats(const tn_builder *b, tn_sym few, tn_sym like)
{
    const tn_shape s = *b->shape(b->ctx, few), l = *b->shape(b->ctx, like);
    const bool known = tn_shape_size(&s) >= 0 && s.ndim >= 3 && tn_shape_size(&l) >= 0;
    if (!known) b->fail(b->ctx, TN_E_SHAPE, "_repeat_heads: wanted known shapes");
    if (!known) return 0;
    return s.dim[s.ndim - 3] ? l.dim[l.ndim - 3] / s.dim[s.ndim - 3] : 1;
}

static tn_status repeat_expand(const tn_builder *b)
{
    const tn_sym x = tn_grad_in(b, 0);
    const int64_t r = repeats(b, x, tn_grad_in(b, 1));
    const tn_shape s = *b->shape(b->ctx, x);
    char text[TN_TEXT];
    if (r == 0 && s.ndim >= 3) {
        tn_shape none = s;
        none.dim[s.ndim - 3] = 0;
        b->set_output(b->ctx, 0, tni_zeros(b, none, b->dtype(b->ctx, x)));
        return TN_OK;
    }
    tn_text(text, "repeats=%lld; axis=-3", (long long)r);
    b->set_output(b->ctx, 0, r == 1 ? tni_call(b, "_copy", x) : tn_emit(b, "repeat", text, &x, 1));
    return TN_OK;
}

const tn_op_decl tni_op_repeat_heads =
    TN_OP(.name = "_repeat_heads", .flags = TN_OP_INTERNAL,
          .doc = "Repeats each entry of the third axis from the end, to as many as like has.",
          .inputs = TN_PORTS(TN_PORT(.name = "data"), TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), .infer_shape = repeat_shape,
          .infer_dtype = tni_dtype_all_but_in1, .gradient = repeat_gradient,
          .expand = repeat_expand);

static tn_status backward_repeat_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(2), TNI_OUT(0)));
    TNI_TRY(heads_rule(io, TNI_OUT(0), TNI_IN(1), TNI_IN(0)));
    return tni_link(io, TNI_IN(2), TNI_OUT(0));
}

static tn_status backward_repeat_gradient(const tn_builder *b)
{
    const tn_sym g = tn_grad_head(b, 0);
    if (g) tn_grad_set(b, 0, tni_call2(b, "_repeat_heads", g, tn_grad_in(b, 1)));
    return TN_OK;
}

static tn_status backward_repeat_expand(const tn_builder *b)
{
    const tn_sym dy = tn_grad_in(b, 0), like = tn_grad_in(b, 2);
    const int64_t r = repeats(b, like, tn_grad_in(b, 1));
    const tn_shape s = *b->shape(b->ctx, like);
    if (s.ndim < 3) return TN_OK;
    tn_shape split = s;
    split.ndim++;
    split.dim[s.ndim - 2] = r;
    split.dim[s.ndim - 1] = s.dim[s.ndim - 2];
    split.dim[s.ndim] = s.dim[s.ndim - 1];
    const tn_sym x = tni_reshape(b, dy, split);
    b->set_output(b->ctx, 0, tn_emit(b, "sum", "axis=(-3,)", &x, 1));
    return TN_OK;
}

const tn_op_decl tni_op_backward_repeat_heads =
    TN_OP(.name = "_backward_repeat_heads", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of _repeat_heads: sums over the repetitions.",
          .inputs =
              TN_PORTS(TN_PORT(.name = "dy"),
                       TN_PORT(.name = "many", .flags = TN_PORT_SHAPE_ONLY | TN_PORT_NO_GRAD),
                       TN_PORT(.name = "like", .flags = TN_PORT_SHAPE_ONLY | TN_PORT_NO_GRAD)),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), .infer_shape = backward_repeat_shape,
          .infer_dtype = tni_dtype_all_but_in1, .gradient = backward_repeat_gradient,
          .expand = backward_repeat_expand);

// ------------------------------------------------------------------ _masked_scores
//
//     output = scores + mask, or -inf where a boolean mask is false

// mask, aligned at the last axes, is broadcast to scores.
static tn_status mask_rule(const tn_infer *io, tni_slot mask, tni_slot scores)
{
    const tn_shape m = tni_shape(io, mask), s = tni_shape(io, scores);
    bool fits = m.ndim <= s.ndim;
    if (m.ndim < 0 || s.ndim < 0) return TN_OK;
    for (int32_t back = 0; fits && back < m.ndim; back++) {
        const int64_t e = m.dim[m.ndim - 1 - back], to = s.dim[s.ndim - 1 - back];
        fits = e < 0 || to < 0 || e == 1 || e == to;
    }
    char sm[TNI_SHOW], ss[TNI_SHOW];
    return fits ? TN_OK
                : tn_infer_fail(io, TN_E_SHAPE,
                                "attn_mask %.70s cannot be broadcast to (..., L, S) %.70s",
                                tni_show(sm, &m), tni_show(ss, &s));
}

static tn_status masked_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    return mask_rule(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status masked_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (!dy) return TN_OK;
    tn_grad_set(b, 0, dy); // masked scores get none: their weight is 0
    tn_grad_set(b, 1, tni_call2(b, "_backward_attn_mask", dy, tn_grad_in(b, 1)));
    return TN_OK;
}

// -inf in the shape of x
static tn_sym minus_infinity(const tn_builder *b, tn_sym x)
{
    return tni_call_scalar(b, "_plus_scalar", tni_call(b, "zeros_like", x), -INFINITY);
}

static tn_status masked_expand(const tn_builder *b)
{
    const tn_sym scores = tn_grad_in(b, 0), mask = tn_grad_in(b, 1);
    if (b->dtype(b->ctx, mask) != TN_BOOL) {
        char text[TN_TEXT];
        tn_text(text, "dtype=%s", tn_dtype_name(b->dtype(b->ctx, scores)));
        const tn_sym as = tn_emit(b, "Cast", text, &mask, 1);
        b->set_output(b->ctx, 0, tni_call2(b, "broadcast_add", scores, as));
        return TN_OK;
    }
    const tn_sym kept = tni_call2(b, "broadcast_like", mask, scores);
    b->set_output(b->ctx, 0, TN_EMIT(b, "where", NULL, kept, scores, minus_infinity(b, scores)));
    return TN_OK;
}

const tn_op_decl tni_op_masked_scores =
    TN_OP(.name = "_masked_scores", .flags = TN_OP_INTERNAL,
          .doc = "Scores with a mask added; a boolean mask makes them -inf where it is false.",
          .inputs = TN_PORTS(TN_PORT(.name = "scores"), TN_PORT(.name = "mask")),
          .outputs = TN_PORTS(TN_PORT(.name = "output")), .infer_shape = masked_shape,
          .infer_dtype = tni_dtype_label, .gradient = masked_gradient, .expand = masked_expand);

static tn_status mask_backward_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    return mask_rule(io, TNI_OUT(0), TNI_IN(0));
}

static tn_status mask_backward_dtype(const tn_infer *io)
{
    return tni_link_dtype(io, TNI_IN(1), TNI_OUT(0));
}

static tn_status mask_backward_gradient(const tn_builder *b)
{
    const tn_sym g = tn_grad_head(b, 0), dy = tn_grad_in(b, 0);
    if (!g) return TN_OK;
    tn_grad_set(b, 0, tni_call2(b, "_cast_like", tni_call2(b, "broadcast_like", g, dy), dy));
    return TN_OK;
}

static tn_status mask_backward_expand(const tn_builder *b)
{
    const tn_sym dy = tn_grad_in(b, 0), mask = tn_grad_in(b, 1);
    const bool boolean = b->dtype(b->ctx, mask) == TN_BOOL;
    const tn_sym sum = boolean ? tni_call(b, "zeros_like", mask) : tni_sum_like(b, dy, mask);
    b->set_output(b->ctx, 0, tni_call2(b, "_cast_like", sum, mask));
    return TN_OK;
}

const tn_op_decl tni_op_backward_attn_mask =
    TN_OP(.name = "_backward_attn_mask", .flags = TN_OP_INTERNAL,
          .doc = "Gradient of an attention's mask: dy summed to its shape; 0 for a boolean one.",
          .inputs = TN_PORTS(TN_PORT(.name = "dy"), TNI_PORT_LIKE),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of like")),
          .infer_shape = mask_backward_shape, .infer_dtype = mask_backward_dtype,
          .gradient = mask_backward_gradient, .expand = mask_backward_expand);

// ------------------------------------------------------------------ shapes of an attention

static void agree(int64_t *x, int64_t *y)
{
    if (*x < 0) *x = *y;
    if (*y < 0 || *x >= 0) *y = *x; // if they differ, the merge tells
}

// Leading axes of `from`, broadcast with those in `lead`, which has `n` of them. The third axis
// from the end is left out if `heads`: it is repeated to that of query.
static tn_status lead_with(const tn_infer *io, uint32_t i, tn_shape *lead, bool heads)
{
    tn_shape s = tni_shape(io, TNI_IN(i));
    if (s.ndim < 0) return TN_OK;
    for (int32_t back = 0; back < s.ndim - 2; back++) {
        int64_t *to = &lead->dim[lead->ndim - 1 - back], whole = -1;
        if (back == 0 && heads) continue;
        if (!tni_join_axis(&s.dim[s.ndim - 3 - back], to, &whole))
            return tn_infer_fail(io, TN_E_SHAPE,
                                 "leading axes of query, key and value do not fit together: %lld "
                                 "and %lld",
                                 (long long)s.dim[s.ndim - 3 - back], (long long)*to);
        *to = whole;
    }
    return TN_OK;
}

static tn_status merge_matrix(const tn_infer *io, tni_slot slot, int64_t rows, int64_t cols)
{
    tn_shape s = tni_shape(io, slot);
    if (s.ndim < 0) return TN_OK;
    s.dim[s.ndim - 2] = rows;
    s.dim[s.ndim - 1] = cols;
    return tni_merge(io, slot, s);
}

// The leading axes that the inputs up to `last` are broadcast to, in the first axes; ndim is their
// number, -1: unknown.
static tn_status attention_lead(const tn_infer *io, uint32_t last, tn_shape *lead)
{
    const attention_params *p = io->params;
    lead->ndim = 0;
    for (uint32_t i = QUERY; i <= last; i++) {
        const tn_shape s = tni_shape(io, TNI_IN(i));
        if (s.ndim >= 0 && s.ndim < (p->enable_gqa ? 3 : 2))
            return tn_infer_fail(io, TN_E_SHAPE, "%s: wanted at least %d axes, got %d",
                                 io->op->inputs[i]->name, p->enable_gqa ? 3 : 2, s.ndim);
        if (s.ndim < 0 || lead->ndim < 0)
            lead->ndim = -1;
        else if (s.ndim - 2 > lead->ndim)
            lead->ndim = s.ndim - 2;
    }
    if (lead->ndim < 0) return TN_OK;
    for (int32_t i = 0; i < lead->ndim; i++) lead->dim[i] = 1;
    for (uint32_t i = QUERY; i <= last; i++)
        TNI_TRY(lead_with(io, i, lead, i != QUERY && p->enable_gqa));
    return TN_OK;
}

// A matrix of `rows` and `cols` for each place of the leading axes.
static tn_status merge_lead(const tn_infer *io, tni_slot slot, tn_shape lead, int64_t rows,
                            int64_t cols)
{
    if (lead.ndim < 0) return TN_OK;
    lead.ndim += 2;
    lead.dim[lead.ndim - 2] = rows;
    lead.dim[lead.ndim - 1] = cols;
    return tni_merge(io, slot, lead);
}

static tn_status attention_shape(const tn_infer *io)
{
    tn_shape lead, weights;
    int64_t length[2] = {-1, -1}, width[2] = {-1, -1}; // L and S, E and Ev
    TNI_TRY(attention_lead(io, VALUE, &lead));
    TNI_TRY(attention_lead(io, KEY, &weights));
    const tni_slot places[] = {TNI_IN(QUERY), TNI_IN(KEY), TNI_IN(VALUE), TNI_OUT(OUTPUT)};
    for (int i = 0; i < 4; i++) {
        tn_shape s = tni_shape(io, places[i]);
        if (s.ndim < 2) continue;
        agree(&length[i == 1 || i == 2], &s.dim[s.ndim - 2]);
        agree(&width[i >= 2], &s.dim[s.ndim - 1]);
    }
    for (int i = 0; i < 3; i++) TNI_TRY(merge_matrix(io, places[i], length[i > 0], width[i == 2]));
    TNI_TRY(merge_lead(io, TNI_OUT(OUTPUT), lead, length[0], width[1]));
    for (uint32_t i = WEIGHTS; i < io->n_out; i++)
        TNI_TRY(merge_lead(io, TNI_OUT(i), weights, length[0], length[1]));
    return io->n_in > MASK ? mask_rule(io, TNI_IN(MASK), TNI_OUT(WEIGHTS)) : TN_OK;
}

// The mask is of any dtype; if nobody says which, it is as the data.
static tn_status attention_dtype(const tn_infer *io)
{
    tn_dtype known = TN_DTYPE_NONE;
    for (uint32_t i = 0; i < 3 && !known; i++) known = tni_dtype(io, TNI_IN(i));
    for (uint32_t i = 0; i < io->n_out && !known; i++) known = tni_dtype(io, TNI_OUT(i));
    for (uint32_t i = 0; i < 3; i++) TNI_TRY(tni_merge_dtype(io, TNI_IN(i), known));
    for (uint32_t i = 0; i < io->n_out; i++) TNI_TRY(tni_merge_dtype(io, TNI_OUT(i), known));
    if (io->n_in <= MASK || tni_dtype(io, TNI_IN(MASK))) return TN_OK;
    return tni_merge_dtype(io, TNI_IN(MASK), known);
}

// ------------------------------------------------------------------ expansion and gradient

// key or value with as many heads as query has.
static tn_sym with_heads(const tn_builder *b, uint32_t i)
{
    const attention_params *p = b->params;
    const tn_sym x = tn_grad_in(b, i), like = tn_grad_in(b, QUERY);
    return p->enable_gqa ? tni_call2(b, "_repeat_heads", x, like) : x;
}

static tn_sym scaled(const tn_builder *b, tn_sym x)
{
    const attention_params *p = b->params;
    if (isnan(p->scale)) return tni_call2(b, "_scale_by_extent", x, tn_grad_in(b, QUERY));
    return tni_call_scalar(b, "_mul_scalar", x, p->scale);
}

static tn_sym attention_weights(const tn_builder *b)
{
    const attention_params *p = b->params;
    const tn_sym query = scaled(b, tn_grad_in(b, QUERY)); // first: products of float16 may be large
    tn_sym scores = TN_EMIT(b, "matmul", "transpose_b=1", query, with_heads(b, KEY));
    if (p->is_causal) {
        const tn_sym row = tn_emit(b, "_positions", "axis=-2", &scores, 1);
        const tn_sym column = tn_emit(b, "_positions", "axis=-1", &scores, 1);
        scores = TN_EMIT(b, "where", NULL, tni_call2(b, "_lesser_equal", column, row), scores,
                         minus_infinity(b, scores));
    }
    if (b->n_in > MASK) scores = tni_call2(b, "_masked_scores", scores, tn_grad_in(b, MASK));
    const tn_sym weights = tn_emit(b, "softmax", "axis=-1", &scores, 1);
    if (!p->is_causal && b->n_in <= MASK) return weights;
    const tn_sym kept = tni_call_scalar(b, "_not_equal_scalar", scores, -INFINITY);
    return TN_EMIT(b, "where", NULL, kept, weights, tni_call(b, "zeros_like", weights));
}

static tn_status attention_expand(const tn_builder *b)
{
    const attention_params *p = b->params;
    char text[TN_TEXT], number[TNI_NUMBER];
    const tn_sym value = with_heads(b, VALUE), weights = attention_weights(b);
    tn_sym used = weights;
    b->set_output(b->ctx, WEIGHTS, weights);
    if (p->dropout_p > 0) {
        tn_text(text, "p=%s", tni_number(number, p->dropout_p));
        used = tn_emit(b, "Dropout", text, &weights, 1);
        b->set_output(b->ctx, DROPPED, b->result(b->ctx, used, 1));
    }
    b->set_output(b->ctx, OUTPUT, tni_call2(b, "matmul", used, value));
    return TN_OK;
}

// Gradient of a repeated key or value, for the one that was repeated.
static tn_sym of_heads(const tn_builder *b, uint32_t i, tn_sym d)
{
    const attention_params *p = b->params;
    if (!p->enable_gqa) return d;
    return TN_EMIT(b, "_backward_repeat_heads", NULL, d, tn_grad_in(b, QUERY), tn_grad_in(b, i));
}

// With D what dropout multiplies by, W the weights, U = W D:
//     dV = Uᵀ dY,  dW = (dY Vᵀ) D,  dscores = W (dW - Σ W dW),  dQ = scale dscores K, …
static tn_status attention_gradient(const tn_builder *b)
{
    const attention_params *p = b->params;
    const tn_sym dy = tn_grad_head(b, OUTPUT), w = tn_grad_out(b, WEIGHTS);
    tn_sym dw = tn_grad_head(b, WEIGHTS);
    if (dy) {
        const bool drops = p->dropout_p > 0;
        const tn_sym mask = drops ? tn_grad_out(b, DROPPED) : 0, v = with_heads(b, VALUE);
        const tn_sym used = drops ? tni_call2(b, "_mul", w, mask) : w;
        tn_sym du = TN_EMIT(b, "_backward_matmul_a", NULL, dy, v, w);
        if (drops) du = tni_call2(b, "_mul", du, mask);
        dw = dw ? tni_call2(b, "elemwise_add", dw, du) : du;
        tn_grad_set(b, VALUE,
                    of_heads(b, VALUE, TN_EMIT(b, "_backward_matmul_b", NULL, dy, used, v)));
    }
    if (!dw) return TN_OK;
    const tn_sym t = tni_call2(b, "_mul", w, dw);
    const tn_sym sum = tn_emit(b, "sum", "axis=(-1,); keepdims=1", &t, 1);
    const tn_sym ds = tni_call2(b, "elemwise_sub", t, tni_call2(b, "broadcast_mul", w, sum));
    const tn_sym q = tn_grad_in(b, QUERY), k = with_heads(b, KEY), dp = scaled(b, ds);
    tn_grad_set(b, QUERY, TN_EMIT(b, "_backward_matmul_a", "transpose_b=1", dp, k, q));
    tn_grad_set(b, KEY,
                of_heads(b, KEY, TN_EMIT(b, "_backward_matmul_b", "transpose_b=1", dp, q, k)));
    if (b->n_in > MASK)
        tn_grad_set(b, MASK, tni_call2(b, "_backward_attn_mask", ds, tn_grad_in(b, MASK)));
    return TN_OK;
}

const tn_op_decl tni_op_attention =
    TN_OP(.name = "scaled_dot_product_attention", .flags = TN_OP_RANDOM | TN_OP_MODE,
          .doc = "Attention: softmax(scale query transpose(key) + attn_mask) value. Masked scores "
                 "have weight 0; a row that is masked wholly gives zeros. Leading axes are "
                 "broadcast.",
          .family = "layer", .formula = "y = softmax(scale * query . key^T + mask) . value",
          .shape_rule = "(..., L, E) (..., S, E) (..., S, Ev) -> (..., L, Ev)",
          .source = "Vaswani and others, Attention Is All You Need, 2017; PyTorch, "
                    "torch.nn.functional.scaled_dot_product_attention",
          .inputs = TN_PORTS(
              TN_PORT(.name = "query", .doc = "(..., L, E)"),
              TN_PORT(.name = "key", .doc = "(..., S, E)"),
              TN_PORT(.name = "value", .doc = "(..., S, Ev)"),
              TN_PORT(.name = "attn_mask", .when = "use_mask",
                      .doc = "broadcast to (..., L, S): added to the scores; a boolean one says "
                             "which scores take part")),
          .outputs = TN_PORTS(
              TN_PORT(.name = "output", .doc = "(..., L, Ev)"),
              TN_PORT(.name = "weights", .flags = TN_PORT_HIDDEN,
                      .doc = "(..., L, S), before dropout"),
              TN_PORT(.name = "mask", .flags = TN_PORT_HIDDEN,
                      .doc = "(..., L, S): 0, or 1 / (1 - dropout_p); only with dropout_p")),
          .params = TN_PARAMS(
              TN_PARAM(attention_params, dropout_p, TN_P_F64, .def = "0.0", .range = "[0,1]",
                       .doc = "probability to drop a weight while training"),
              TN_PARAM(attention_params, is_causal, TN_P_BOOL, .def = "False",
                       .doc = "row i sees columns up to i only"),
              TN_PARAM(attention_params, scale, TN_P_F64, .def = "None", .flags = TN_PF_NONE,
                       .doc = "factor of the scores; None: 1 / sqrt(E)"),
              TN_PARAM(attention_params, use_mask, TN_P_BOOL, .def = "False",
                       .doc = "there is an attn_mask"),
              TN_PARAM(attention_params, enable_gqa, TN_P_BOOL, .def = "False",
                       .doc = "key and value have fewer heads, in the third axis from the end; "
                              "each is used for a group of query's")),
          .params_size = sizeof(attention_params), .infer_shape = attention_shape,
          .infer_dtype = attention_dtype, .gradient = attention_gradient,
          .expand = attention_expand);
