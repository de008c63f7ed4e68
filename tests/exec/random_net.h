// tests/exec/random_net.h: random networks of any operators, the same ones for the same seed.
//
// A network grows by operators on values that it has, old or new, so that values have many readers.
// Every shape is known; bounds on values keep numbers small. Where the answer may jump (relu at 0,
// maximum of two) the operator is given nothing but variables and what is moved from them, unless
// the network is for one backend only: those numbers are the same on every backend.
#ifndef TENON_TESTS_RANDOM_NET_H
#define TENON_TESTS_RANDOM_NET_H

#include "tests/exec/random_values.h"

// ------------------------------------------------------------------ elementwise

static inline bool rn_unary(rn_net *r)
{
    const rn_value x = rn_pick(r);
    switch (rn_draw(r, 6)) {
    case 0: return rn_add(r, tn_op("square", NULL, x.s), x.most * x.most, false);
    case 1: return rn_add(r, tn_op("negative", NULL, x.s), x.most, x.exact);
    case 2: return x.most < 2 && rn_add(r, tn_op(RN_OF(r, "exp", "expm1"), NULL, x.s), 8, false);
    case 3: return rn_add(r, tn_op("softrelu", NULL, x.s), x.most + 1, false);
    default:
        return rn_add(r,
                      tn_op(RN_OF(r, "sigmoid", "tanh", "sin", "cos", "arctan", "erf"), NULL, x.s),
                      2, false);
    }
}

// Functions of positive numbers.
static inline bool rn_of_positive(rn_net *r)
{
    const rn_value x = rn_pick(r);
    const tn_symbol s = tn_op("_plus_scalar", "scalar=1", tn_op("square", NULL, x.s));
    const char *op = RN_OF(r, "sqrt", "rsqrt", "log", "reciprocal", "log1p", "gammaln");
    if (op[0] == 'g') return rn_add(r, tn_op(op, NULL, s), 1e9, false);
    return rn_add(r, tn_op(op, NULL, s), x.most + 1, false);
}

static inline bool rn_jump(rn_net *r)
{
    const rn_value x = rn_pick_exact(r), y = rn_partner(r, &x, !r->jumps);
    switch (rn_draw(r, 6)) {
    case 0: return rn_add(r, tn_op("clip", "a_min=-0.5; a_max=0.4", x.s), 1, x.exact);
    case 1: return rn_add(r, tn_op("smooth_l1", "scalar=1.5", x.s), x.most * x.most + 1, false);
    case 2: return rn_add(r, tn_op("Activation", "act_type=relu", x.s), x.most, x.exact);
    case 3:
        return rn_add(r, tn_op(RN_OF(r, "_maximum", "_minimum"), NULL, x.s, y.s),
                      fmax(x.most, y.most), x.exact && y.exact);
    case 4: {
        const rn_value c = rn_partner(r, &x, true);
        const tn_symbol where = tn_op("where", NULL, tn_op("_greater", NULL, x.s, y.s), c.s, x.s);
        return rn_add(r, where, fmax(c.most, x.most), x.exact && c.exact);
    }
    default: return rn_add(r, tn_op(RN_OF(r, "relu", "abs"), NULL, x.s), x.most, x.exact);
    }
}

// Steps have a gradient of zero, which differences see only between the steps.
static inline bool rn_step(rn_net *r)
{
    const rn_value x = rn_pick_exact(r), y = rn_partner(r, &x, !r->jumps);
    if (r->smooth) return false;
    if (rn_one_in(r, 2))
        return rn_add(r, tn_op(RN_OF(r, "sign", "round", "floor", "ceil", "trunc"), NULL, x.s),
                      x.most + 1, x.exact);
    return rn_add(r, tn_op(RN_OF(r, "_greater", "_lesser_equal", "_equal"), NULL, x.s, y.s), 1,
                  x.exact && y.exact);
}

static inline bool rn_scalar(rn_net *r)
{
    const rn_value x = rn_pick(r);
    const char *op = RN_OF(r, "_plus_scalar", "_minus_scalar", "_rminus_scalar", "_mul_scalar",
                           "_div_scalar", "_hypot_scalar");
    const char *number = RN_OF(r, "scalar=1", "scalar=0.5", "scalar=-1.25", "scalar=2");
    return rn_add(r, tn_op(op, number, x.s), 2 * x.most + 2, false);
}

static inline bool rn_binary(rn_net *r)
{
    const rn_value x = rn_pick(r), y = rn_partner(r, &x, false);
    if (rn_one_in(r, 8)) { // a divisor of at least 1
        const tn_symbol one = tn_op("_plus_scalar", "scalar=1", tn_op("square", NULL, y.s));
        return rn_add(r, tn_op("_div", NULL, x.s, one), x.most, false);
    }
    if (rn_one_in(r, 2)) return rn_add(r, tn_op("_mul", NULL, x.s, y.s), x.most * y.most, false);
    return rn_add(r, tn_op(RN_OF(r, "elemwise_add", "_sub"), NULL, x.s, y.s), x.most + y.most,
                  false);
}

static inline bool rn_add_n(rn_net *r)
{
    const rn_value x = rn_pick(r), y = rn_partner(r, &x, false), z = rn_partner(r, &x, false);
    if (rn_one_in(r, 3)) return rn_add(r, tn_op("add_n", "num_args=1", x.s), x.most, x.exact);
    return rn_add(r, tn_op("add_n", "num_args=3", x.s, y.s, z.s), x.most + y.most + z.most, false);
}

static inline bool rn_broadcast(rn_net *r)
{
    const rn_value x = rn_pick(r);
    tn_shape s = x.shape;
    if (s.ndim == 0) return false;
    for (int32_t i = 0; i < s.ndim; i++)
        if (rn_one_in(r, 2)) s.dim[i] = 1;
    const rn_value y = rn_weight(r, s);
    const char *op = RN_OF(r, "broadcast_add", "broadcast_sub", "broadcast_mul", "broadcast_hypot");
    if (rn_one_in(r, 2)) return rn_add(r, tn_op(op, NULL, y.s, x.s), 2 * x.most + 2, false);
    return rn_add(r, tn_op(op, NULL, x.s, y.s), 2 * x.most + 2, false);
}

// ------------------------------------------------------------------ reductions

static inline bool rn_reduce(rn_net *r)
{
    const bool jumps = !r->smooth && rn_one_in(r, 4); // equal ones share no slope
    const rn_value x = jumps ? rn_pick_exact(r) : rn_pick(r);
    char axes[64] = "()";
    int axis;
    if (x.shape.ndim > 0 && !rn_one_in(r, 4)) {
        rn_axis(r, &x, &axis);
        if (x.shape.ndim > 1 && rn_one_in(r, 2))
            snprintf(axes, sizeof axes, "(%d,%d)", axis, (axis + 1) % x.shape.ndim - x.shape.ndim);
        else
            snprintf(axes, sizeof axes, "%d", axis);
    }
    const char *params = rn_text("axis=%s; keepdims=%d; exclude=%d", axes, (int)rn_draw(r, 2),
                                 axes[1] != ')' && rn_one_in(r, 4));
    if (jumps && tn_shape_size(&x.shape) > 0)
        return rn_add(r, tn_op(RN_OF(r, "max", "min"), params, x.s), x.most, x.exact);
    if (rn_one_in(r, 6) && tn_shape_size(&x.shape) < 20) {
        const tn_symbol near_one = tn_op("_plus_scalar", "scalar=0.6", tn_op("sigmoid", NULL, x.s));
        return rn_add(r, tn_op("prod", params, near_one), 1e9, false);
    }
    if (rn_one_in(r, 6)) return rn_add(r, tn_op("norm", NULL, x.s), 1e9, false);
    return rn_add(r, tn_op(RN_OF(r, "sum", "mean"), params, x.s),
                  x.most * (double)tn_shape_size(&x.shape), false);
}

static inline bool rn_spread(rn_net *r)
{
    const rn_value x = rn_pick(r);
    if (tn_shape_size(&x.shape) > RN_ELEMENTS / 4 || x.shape.ndim == 0) return false;
    int axis;
    rn_axis(r, &x, &axis);
    if (x.shape.dim[axis] == 1) {
        if (rn_one_in(r, 2))
            return rn_add(r, tn_op("broadcast_axis", rn_text("axis=%d; size=3", axis), x.s), x.most,
                          x.exact);
        tn_shape s = x.shape;
        s.dim[axis] = 4;
        const rn_value like = rn_weight(r, s);
        return rn_add(r, tn_op("broadcast_like", NULL, x.s, like.s), x.most, x.exact);
    }
    if (rn_one_in(r, 2)) return rn_add(r, tn_op("zeros_like", NULL, x.s), 0, true);
    return rn_add(r, tn_op("ones_like", NULL, x.s), 1, true);
}

// ------------------------------------------------------------------ matrices

static inline bool rn_dense(rn_net *r)
{
    const rn_value x = rn_pick(r);
    if (x.shape.ndim < 1 || tn_shape_size(&x.shape) == 0) return false;
    const bool flat = !rn_one_in(r, 3);
    int64_t k = 1;
    for (int32_t i = flat ? 1 : x.shape.ndim - 1; i < x.shape.ndim; i++) k *= x.shape.dim[i];
    const int64_t units = 1 + (int64_t)rn_draw(r, 4);
    const rn_value w = rn_weight(r, RN_DIMS(units, k)), b = rn_weight(r, RN_DIMS(units));
    const bool biased = rn_one_in(r, 2);
    const char *params =
        rn_text("num_hidden=%d; flatten=%d; no_bias=%d", (int)units, flat, !biased);
    const double most = x.most * (double)k + 1;
    if (!biased) return rn_add(r, tn_op("FullyConnected", params, x.s, w.s), most, false);
    return rn_add(r, tn_op("FullyConnected", params, x.s, w.s, b.s), most, false);
}

static inline bool rn_dot(rn_net *r)
{
    const rn_value x = rn_pick(r);
    const bool batched = x.shape.ndim == 3;
    if (x.shape.ndim < 1 || x.shape.ndim > 3 || tn_shape_size(&x.shape) == 0) return false;
    const int64_t *d = x.shape.dim, other = 1 + (int64_t)rn_draw(r, 4);
    const double most = x.most * (double)tn_shape_size(&x.shape);
    if (x.shape.ndim == 1)
        return rn_add(r, tn_op("dot", NULL, x.s, rn_partner(r, &x, false).s), 1e9, false);
    if (rn_one_in(r, 4)) { // x' x: twice the same value
        const char *own = rn_one_in(r, 2) ? "transpose_a=1" : "transpose_b=1";
        return rn_add(r, tn_op(batched ? "batch_dot" : "dot", own, x.s, x.s), 1e9, false);
    }
    const int ta = (int)rn_draw(r, 2), tb = (int)rn_draw(r, 2);
    const char *params = rn_text("transpose_a=%d; transpose_b=%d", ta, tb);
    if (!batched) {
        const int64_t k = ta ? d[0] : d[1];
        const rn_value y = rn_weight(r, tb ? RN_DIMS(other, k) : RN_DIMS(k, other));
        return rn_add(r, tn_op("dot", params, x.s, y.s), most, false);
    }
    const int64_t k = ta ? d[1] : d[2];
    const rn_value y = rn_weight(r, tb ? RN_DIMS(d[0], other, k) : RN_DIMS(d[0], k, other));
    return rn_add(r, tn_op("batch_dot", params, x.s, y.s), most, false);
}

// ------------------------------------------------------------------ moves

static inline bool rn_concat(rn_net *r)
{
    const rn_value x = rn_pick(r), y = rn_partner(r, &x, false);
    if (x.shape.ndim < 1 || tn_shape_size(&x.shape) > RN_ELEMENTS / 3) return false;
    int axis;
    rn_axis(r, &x, &axis);
    const double most = fmax(x.most, y.most);
    if (rn_one_in(r, 3) && x.shape.ndim < TN_MAX_NDIM)
        return rn_add(r, tn_op("stack", rn_text("num_args=2; axis=%d", axis), x.s, y.s), most,
                      x.exact && y.exact);
    tn_shape s = x.shape;
    s.dim[axis] = rn_extent(r);
    const rn_value z = rn_weight(r, s);
    return rn_add(r, tn_op("Concat", rn_text("num_args=3; dim=%d", axis), x.s, z.s, y.s),
                  fmax(most, 1), x.exact && y.exact);
}

static inline bool rn_split(rn_net *r)
{
    const rn_value x = rn_pick(r);
    if (x.shape.ndim < 1) return false;
    int axis;
    const int given = rn_axis(r, &x, &axis);
    const int64_t extent = x.shape.dim[axis];
    if (extent < 1) return false;
    const int64_t parts = rn_one_in(r, 2) ? extent : 1;
    const tn_symbol all = tn_op("SliceChannel",
                                rn_text("num_outputs=%d; axis=%d; squeeze_axis=%d", (int)parts,
                                        given, extent == parts && rn_one_in(r, 2)),
                                x.s);
    bool ok = true;
    for (int64_t i = 0; ok && i < parts; i++)
        if (i == 0 || !rn_one_in(r, 3)) // some parts have no reader
            ok = rn_add(r, tn_output(bench.g, all, (size_t)i), x.most, x.exact);
    return ok;
}

static inline bool rn_slice(rn_net *r)
{
    const rn_value x = rn_pick(r);
    if (x.shape.ndim < 1 || tn_shape_size(&x.shape) == 0) return false;
    int axis;
    const int given = rn_axis(r, &x, &axis);
    const int64_t extent = x.shape.dim[axis];
    const int64_t begin = (int64_t)rn_draw(r, (uint64_t)extent);
    const int64_t end = begin + 1 + (int64_t)rn_draw(r, (uint64_t)(extent - begin));
    if (rn_one_in(r, 2)) {
        const char *last = end == extent ? "None" : rn_text("%d", (int)(end - extent));
        return rn_add(
            r,
            tn_op("slice_axis", rn_text("axis=%d; begin=%d; end=%s", given, (int)begin, last), x.s),
            x.most, x.exact);
    }
    const int64_t rows = x.shape.dim[0];
    const char *step = rn_one_in(r, 3) ? "; step=(2)" : "";
    const int64_t from = (int64_t)rn_draw(r, (uint64_t)rows);
    return rn_add(r, tn_op("slice", rn_text("begin=(%d); end=(None)%s", (int)from, step), x.s),
                  x.most, x.exact);
}

static inline bool rn_move(rn_net *r)
{
    const rn_value x = rn_pick(r);
    const int32_t ndim = x.shape.ndim;
    const bool filled = tn_shape_size(&x.shape) > 0;
    int axis = 0, other = 0;
    if (ndim) {
        rn_axis(r, &x, &axis);
        rn_axis(r, &x, &other);
    }
    tn_symbol y;
    switch (rn_draw(r, 6)) {
    case 0: y = tn_op("transpose", NULL, x.s); break;
    case 1:
        if (axis == other) return false;
        y = tn_op("SwapAxis", rn_text("dim1=%d; dim2=%d", axis, other), x.s);
        break;
    case 2:
        if (ndim == TN_MAX_NDIM) return false;
        y = tn_op("expand_dims", rn_text("axis=%d", axis), x.s);
        break;
    case 3:
        if (ndim < 1 || !filled) return false;
        y = tn_op("Flatten", NULL, x.s);
        break;
    case 4:
        if (ndim < 1 || ndim == TN_MAX_NDIM || !filled) return false;
        y = tn_op("Reshape", RN_OF(r, "shape=(-1)", "shape=(0,-1)", "shape=(-1,1)", "shape=(-2,1)"),
                  x.s);
        break;
    default: y = tn_op(RN_OF(r, "_copy", "_copy", "negative"), NULL, x.s); break;
    }
    return rn_add(r, y, x.most, x.exact);
}

// ------------------------------------------------------------------ the rest

static inline bool rn_softmax(rn_net *r)
{
    const rn_value x = rn_pick(r);
    int axis;
    if (x.shape.ndim < 1) return false;
    const char *params = rn_text("axis=%d", rn_axis(r, &x, &axis));
    if (rn_one_in(r, 2)) return rn_add(r, tn_op("softmax", params, x.s), 1, false);
    return rn_add(r, tn_op("log_softmax", params, x.s), 2 * x.most + 3, false);
}

// Convolution, pooling and normalisation of (n, c, w) and (n, c, h, w).
static inline bool rn_layer(rn_net *r)
{
    const rn_value x = rn_pick(r);
    const int32_t ndim = x.shape.ndim;
    if (ndim < 2 || tn_shape_size(&x.shape) == 0) return false;
    const int64_t channels = x.shape.dim[1];
    if (ndim < 3 || rn_one_in(r, 3)) { // its states are zero at first: inference is steep
        const rn_value gamma = rn_weight(r, RN_DIMS(channels));
        const rn_value beta = rn_weight(r, RN_DIMS(channels));
        const char *params = RN_OF(r, "fix_gamma=0; eps=0.1", "eps=0.1", "eps=0.1; momentum=0.5");
        return rn_add(r, tn_op("BatchNorm", params, x.s, gamma.s, beta.s), 1e9, false);
    }
    if (ndim > 4) return false;
    const char *kernel = ndim == 3 ? "(2,)" : "(2,2)", *pad = ndim == 3 ? "(1,)" : "(1,1)";
    if (rn_one_in(r, 2)) {
        const char *type = RN_OF(r, "avg", "sum");
        const char *params = rn_text("kernel=%s; pad=%s; pool_type=%s", kernel, pad, type);
        return rn_add(r, tn_op("Pooling", params, x.s), 4 * x.most, false);
    }
    const rn_value w =
        rn_weight(r, ndim == 3 ? RN_DIMS(2, channels, 2) : RN_DIMS(2, channels, 2, 2));
    const char *params = rn_text("kernel=%s; pad=%s; num_filter=2; no_bias=1", kernel, pad);
    return rn_add(r, tn_op("Convolution", params, x.s, w.s), 4 * (double)channels * x.most, false);
}

static inline bool rn_index(rn_net *r)
{
    const rn_value w = rn_weight(r, RN_DIMS(5, 3));
    const int64_t extent = rn_extent(r);
    const rn_value i = rn_variable(r, RN_DIMS(extent), 0, 4, true);
    if (!w.s.node || !i.s.node) return false;
    if (rn_one_in(r, 2))
        return rn_add(r, tn_op("Embedding", "input_dim=5; output_dim=3", i.s, w.s), 1, true);
    return rn_add(r, tn_op("take", NULL, w.s, i.s), 1, true);
}

// What cannot be checked by differences: the gradient stops, or numbers are drawn.
static inline bool rn_odd(rn_net *r)
{
    const rn_value x = rn_pick(r);
    if (r->smooth) return false;
    switch (rn_draw(r, 4)) {
    case 0: return rn_add(r, tn_op("BlockGrad", NULL, x.s), x.most, x.exact);
    case 1:
        r->random = true;
        return rn_add(r, tn_op("Dropout", RN_OF(r, "p=0.5", "p=0.3; mode=always"), x.s), 2 * x.most,
                      false);
    case 2:
        r->random = true;
        return rn_add(r,
                      tn_op0("random_uniform", rn_text("low=-1; high=1; shape=(2,3); dtype=%s",
                                                       tn_dtype_name(r->dtype))),
                      1, false);
    default:
        return rn_add(r,
                      tn_op("Cast", rn_text("dtype=%s", tn_dtype_name(r->dtype)),
                            tn_op("Cast", "dtype=float64", x.s)),
                      x.most, x.exact);
    }
}

static inline bool rn_grow(rn_net *r)
{
    static bool (*const ways[])(rn_net *) = {
        rn_unary,   rn_of_positive, rn_jump,      rn_step,   rn_scalar, rn_binary,
        rn_binary,  rn_add_n,       rn_broadcast, rn_reduce, rn_spread, rn_dense,
        rn_dot,     rn_concat,      rn_split,     rn_slice,  rn_move,   rn_move,
        rn_softmax, rn_layer,       rn_layer,     rn_index,  rn_odd};
    return ways[rn_draw(r, sizeof ways / sizeof *ways)](r);
}

static inline bool rn_grow_in_group(rn_net *r)
{
    const bool grouped = r->groups && !rn_one_in(r, 3);
    if (grouped) tn_attr_scope_push(bench.g, TN_ATTRS({"ctx_group", RN_OF(r, "one", "two")}));
    const bool grown = rn_grow(r);
    if (grouped) tn_attr_scope_pop(bench.g);
    return grown;
}

// ------------------------------------------------------------------ heads

static inline tn_symbol rn_loss(rn_net *r)
{
    const rn_value x = rn_pick(r);
    if (tn_shape_size(&x.shape) == 0 || x.shape.ndim < 1) return x.s;
    switch (rn_draw(r, 4)) {
    case 0: {
        const tn_symbol flat = tn_op("Flatten", NULL, x.s);
        const rn_value label = rn_variable(r, RN_DIMS(x.shape.dim[0]), 0, 0.5, true);
        return tn_op("SoftmaxOutput", "normalization=batch", flat, label.s);
    }
    case 1:
        return tn_op(RN_OF(r, "LinearRegressionOutput", "LogisticRegressionOutput"),
                     "grad_scale=0.5", x.s, rn_weight(r, x.shape).s);
    default: return tn_op(RN_OF(r, "MakeLoss", "make_loss"), NULL, x.s);
    }
}

static inline void rn_add_head(rn_net *r, tn_symbol s)
{
    if (r->n_heads < RN_HEADS) r->heads[r->n_heads++] = s;
}

// A network in bench.g, as one symbol; an error, if there is one, is in the graph.
static inline tn_symbol rn_make(rn_net *r)
{
    const size_t vars = 2 + rn_draw(r, 3), size = 2 + rn_draw(r, r->smooth ? 8 : 24);
    for (size_t i = 0; i < vars; i++) {
        tn_shape s = {.ndim = (int32_t)(rn_one_in(r, 8) ? rn_draw(r, 9) : 1 + rn_draw(r, 3))};
        for (int32_t d = 0, n = 1; d < s.ndim; d++) {
            s.dim[d] = n < RN_ELEMENTS / 4 ? rn_extent(r) : 1;
            n *= (int32_t)(s.dim[d] ? s.dim[d] : 1);
        }
        const rn_value x = rn_variable(r, s, -1, 1, false);
        r->v[r->n++] = x;
    }
    for (size_t i = 0, tries = 0; i < size && tries < 200 && !tn_graph_status(bench.g); tries++)
        i += rn_grow_in_group(r);
    rn_add_head(r, r->v[r->n - 1].s);
    for (size_t i = rn_draw(r, 4); i > 0; i--) {
        if (!r->smooth && rn_one_in(r, 3))
            rn_add_head(r, rn_loss(r));
        else if (rn_one_in(r, 5))
            rn_add_head(r, r->heads[rn_draw(r, r->n_heads)]);
        else if (rn_one_in(r, 6))
            rn_add_head(r, r->var[rn_draw(r, r->n_vars)].s);
        else
            rn_add_head(r, rn_pick(r).s);
    }
    return tn_group(bench.g, (tn_symbols){r->n_heads, r->heads});
}

#endif
