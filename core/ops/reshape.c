// core/ops/reshape.c: operators that give the same elements another shape: Flatten, Reshape,
// reshape_like, expand_dims. They need no kernel: the bytes stay as they are.
#include "core/ops/ops.h"

static tn_status like_gradient(const tn_builder *b)
{
    const tn_sym dy = tn_grad_head(b, 0);
    if (dy) tn_grad_set(b, 0, tni_call2(b, "reshape_like", dy, tn_grad_in(b, 0)));
    return TN_OK;
}

// Input 0 and output 0 have equally many elements; fills in one unknown extent of the input.
static tn_status same_size(const tn_infer *io)
{
    tn_shape in = tni_shape(io, TNI_IN(0));
    const tn_shape out = tni_shape(io, TNI_OUT(0));
    const int64_t n_out = tn_shape_size(&out);
    tni_solve(&in, 0, in.ndim, n_out);
    const int64_t n_in = tn_shape_size(&in);
    char si[TNI_SHOW], so[TNI_SHOW];
    if (n_in >= 0 && n_out >= 0 && n_in != n_out)
        return tn_infer_fail(io, TN_E_SHAPE, "%.80s has %lld elements, %.80s has %lld",
                             tni_show(si, &in), (long long)n_in, tni_show(so, &out),
                             (long long)n_out);
    return tni_merge(io, TNI_IN(0), in);
}

// ------------------------------------------------------------------ Flatten
//
//     (d0, d1, …) → (d0, d1 · d2 · …)

static tn_status flatten_shape(const tn_infer *io)
{
    tn_shape in = tni_shape(io, TNI_IN(0));
    if (in.ndim == 0)
        return tn_infer_fail(io, TN_E_SHAPE, "data: wanted at least 1 axis, got a scalar");
    if (in.ndim < 0) return tni_merge(io, TNI_OUT(0), tn_shape_rank(2));
    TNI_TRY(tni_merge(io, TNI_OUT(0),
                      tn_shape_2d(in.dim[0], in.ndim == 1 ? 1 : tn_shape_span(&in, 1, in.ndim))));
    const tn_shape out = tni_shape(io, TNI_OUT(0));
    in.dim[0] = out.dim[0];
    tni_solve(&in, 1, in.ndim, out.dim[1]);
    return tni_merge(io, TNI_IN(0), in);
}

static tn_status flatten_expand(const tn_builder *b)
{
    const tn_sym x = tn_grad_in(b, 0);
    b->set_output(b->ctx, 0, tn_emit(b, "Reshape", "shape=(0,-1)", &x, 1));
    return TN_OK;
}

const tn_op_decl tni_op_flatten =
    TN_OP(.name = "Flatten", .aliases = "flatten", .flags = TN_OP_IDENTITY,
          .doc = "Flattens all axes but the first: (d0, d1, d2, ...) becomes (d0, d1 d2 ...).",
          .family = "shape", .formula = "y = data, seen as a matrix",
          .shape_rule = "(d0, d1, ...) -> (d0, d1 * d2 * ...)",
          .source = "MXNet 0.11, src/operator/tensor/matrix_op.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(d0, ...)")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(d0, rest)")),
          .infer_shape = flatten_shape, .gradient = like_gradient, .expand = flatten_expand);

// ------------------------------------------------------------------ Reshape
//
// Codes are read from left to right while a pointer walks over the extents of data:
//   n > 0  this extent; the pointer moves on by one
//   0      copies an extent
//   -1     whatever is left over (once); the pointer moves on by one
//   -2     copies all remaining extents
//   -3     the product of two extents
//   -4     splits an extent into the two entries that follow, one of which may be -1
// With reverse both lists are turned round first and the result is turned back, so there a -4
// stands behind its two factors. MXNet 0.11 puts what -1 stands for into a wrong place behind a -2
// or -4; here it stands where -1 stands.

typedef struct reshape_params {
    tn_ints shape, target_shape;
    int32_t reverse, keep_highest;
} reshape_params;

// Room for codes: every extent may come from a -4 with its two factors.
enum { MOST_CODES = 3 * TN_MAX_NDIM };

// Codes in the order in which they are read. The deprecated target_shape is put into codes.
static size_t reshape_codes(const reshape_params *p, int64_t codes[MOST_CODES])
{
    const bool old = p->shape.n == 0;
    const tn_ints list = old ? p->target_shape : p->shape;
    for (size_t i = 0; i < list.n; i++) {
        const int64_t v = list.v[!old && p->reverse ? list.n - 1 - i : i];
        codes[i] = old && v == 0 ? -1 : v;
    }
    if (old && p->keep_highest && list.n) codes[0] = 0;
    return list.n;
}

static tn_status refuse_shape(char *reason, size_t size, const char *why)
{
    snprintf(reason, size, "shape: %s", why);
    return TN_E_INVALID;
}

// -1: unknown, or more than an int64_t can count; nothing of whatever is nothing.
static void multiply(int64_t *product, int64_t factor)
{
    if (*product == 0 || factor == 0)
        *product = 0;
    else if (*product < 0 || factor < 0 || __builtin_mul_overflow(*product, factor, product))
        *product = -1;
}

static tn_status reshape_check(const void *params, char *reason, size_t size)
{
    const reshape_params *p = params;
    int64_t codes[MOST_CODES];
    int inferred = 0, extents = 0;
    int64_t elements = 1;
    if (p->shape.n == 0 && p->target_shape.n == 0)
        return refuse_shape(reason, size, "required: a list of extents and codes");
    if (p->shape.n > MOST_CODES || p->target_shape.n > MOST_CODES)
        return refuse_shape(reason, size, "has too many entries");
    const size_t n = reshape_codes(p, codes);
    for (size_t i = 0; i < n; i++) {
        inferred += codes[i] == -1;
        extents += codes[i] == -4 ? 2 : 1;
        if (codes[i] > 0) multiply(&elements, codes[i]);
        if (codes[i] < -4)
            return refuse_shape(reason, size, "wanted codes from -4 to -1, or extents");
        if (codes[i] != -4) continue;
        if (i + 2 >= n)
            return refuse_shape(reason, size,
                                "-4 needs two factors (behind it; with reverse "
                                "before it)");
        const int64_t f = codes[i + 1], g = codes[i + 2];
        if ((f < 1 && f != -1) || (g < 1 && g != -1) || (f == -1 && g == -1))
            return refuse_shape(reason, size, "the factors of -4 are extents, at most one is -1");
        i += 2;
    }
    if (inferred > 1) return refuse_shape(reason, size, "more than one extent is to be inferred");
    if (extents > TN_MAX_NDIM) return refuse_shape(reason, size, "has too many extents");
    if (elements < 0) return refuse_shape(reason, size, "has too many elements");
    return TN_OK;
}

// The walk over the codes. `over` and `under` are what -1 stands for, as a quotient: extents of
// data that are not passed on as they are (-1 if unknown), and extents given by number.
typedef struct walk {
    tn_shape in, out;
    int32_t at; // next extent of data
    int64_t over, under;
} walk;

static int64_t next_extent(walk *w)
{
    return w->in.dim[w->at++];
}

static void put(walk *w, int64_t extent)
{
    if (w->out.ndim < TN_MAX_NDIM) w->out.dim[w->out.ndim] = extent;
    w->out.ndim++; // past the limit only counted
}

// -4: one extent into two factors; false if they do not multiply to it.
static bool split(walk *w, int64_t f, int64_t g)
{
    const int64_t d = next_extent(w);
    if (d >= 0 && f < 0) f = d % g ? -2 : d / g;
    if (d >= 0 && g < 0) g = d % f ? -2 : d / f;
    put(w, f);
    put(w, g);
    return d < 0 || (f > 0 && d % f == 0 && d / f == g) || (d == 0 && f * g == 0);
}

// One code; returns how many entries it used, 0 if it does not fit the data.
static size_t step(walk *w, const int64_t *code)
{
    const int32_t left = w->in.ndim - w->at;
    const int32_t wanted = *code == 0 || *code == -4 ? 1 : *code == -3 ? 2 : 0;
    if (left < wanted) return 0;
    switch (*code) {
    case 0: put(w, next_extent(w)); return 1;
    case -2:
        while (w->at < w->in.ndim) put(w, next_extent(w));
        return 1;
    case -3: {
        int64_t product = next_extent(w);
        multiply(&product, next_extent(w));
        put(w, product);
        return 1;
    }
    case -4: return split(w, code[1], code[2]) ? 3 : 0;
    default:
        put(w, *code);
        if (*code > 0) w->under *= *code; // reshape_check() has excluded an overflow
        if (left > 0) multiply(&w->over, next_extent(w));
        return 1;
    }
}

static void turn_round(tn_shape *s)
{
    for (int32_t i = 0; i < s->ndim / 2; i++) {
        const int64_t d = s->dim[i];
        s->dim[i] = s->dim[s->ndim - 1 - i];
        s->dim[s->ndim - 1 - i] = d;
    }
}

static tn_status reshape_fail(const tn_infer *io, const tn_shape *in, const char *why)
{
    const reshape_params *p = io->params;
    char codes[TN_TEXT] = "", si[TNI_SHOW];
    tn_text_ints(codes, p->shape.n ? p->shape : p->target_shape);
    return tn_infer_fail(io, TN_E_SHAPE, "shape %.80s does not fit data %.80s: %s", codes,
                         tni_show(si, in), why);
}

// What the codes alone say while not even the rank of data is known.
static tn_status reshape_without_data(const tn_infer *io, const int64_t *codes, size_t n)
{
    const reshape_params *p = io->params;
    tn_shape out = tn_shape_rank((int32_t)(n <= TN_MAX_NDIM ? n : 0));
    for (size_t i = 0; i < n; i++) {
        if (n > TN_MAX_NDIM || codes[i] == 0 || codes[i] < -1) return TN_OK;
        out.dim[i] = codes[i];
    }
    if (p->reverse && p->shape.n) turn_round(&out);
    return tni_merge(io, TNI_OUT(0), out);
}

// Puts what -1 stands for into its place, or checks that all elements are used.
static tn_status reshape_rest(const tn_infer *io, walk *w, int32_t inferred)
{
    while (w->at < w->in.ndim) multiply(&w->over, next_extent(w));
    if (inferred >= 0) {
        if (w->over < 0) return TN_OK;
        if (w->over % w->under) return reshape_fail(io, &w->in, "-1 would not be a whole number");
        w->out.dim[inferred] = w->over / w->under;
        return TN_OK;
    }
    if (w->over < 0 || w->over == w->under) return TN_OK;
    return reshape_fail(io, &w->in, "the numbers of elements differ");
}

static tn_status reshape_shape(const tn_infer *io)
{
    const reshape_params *p = io->params;
    int64_t codes[MOST_CODES];
    const size_t n = reshape_codes(p, codes);
    const bool reverse = p->reverse && p->shape.n;
    walk w = {.in = tni_shape(io, TNI_IN(0)), .over = 1, .under = 1};
    int32_t inferred = -1;
    if (w.in.ndim < 0) return reshape_without_data(io, codes, n);
    if (reverse) turn_round(&w.in);
    for (size_t i = 0; i < n;) {
        if (codes[i] == -1) inferred = w.out.ndim;
        const size_t used = step(&w, &codes[i]);
        if (used == 0) {
            w.in = tni_shape(io, TNI_IN(0));
            return reshape_fail(
                io, &w.in, codes[i] == -4 ? "-4 cannot split as wanted" : "it has too few axes");
        }
        i += used;
    }
    if (w.out.ndim > TN_MAX_NDIM)
        return tn_infer_fail(io, TN_E_SHAPE, "the result has %d axes, at most %d are there",
                             w.out.ndim, TN_MAX_NDIM);
    TNI_TRY(reshape_rest(io, &w, inferred));
    if (reverse) turn_round(&w.out);
    TNI_TRY(tni_merge(io, TNI_OUT(0), w.out));
    return same_size(io);
}

const tn_op_decl tni_op_reshape =
    TN_OP(.name = "Reshape", .aliases = "reshape", .flags = TN_OP_IDENTITY,
          .doc =
              "The same elements in another shape. Codes in shape: 0 copies an extent of data, -1 "
              "is whatever is left over, -2 copies all remaining extents, -3 multiplies two, -4 "
              "splits one into the next two entries, one of which may be -1.",
          .family = "shape", .formula = "y = data, seen in another shape",
          .shape_rule = "by codes: n an extent, 0 copies one, -1 what is left over, -2 copies the "
                        "rest, -3 joins two, -4 splits one",
          .source = "MXNet 0.11, src/operator/tensor/matrix_op-inl.h, with -1 put where it stands",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "the same elements")),
          .params = TN_PARAMS(
              TN_PARAM(reshape_params, shape, TN_P_I64S, .def = "()", .doc = "extents and codes"),
              TN_PARAM(reshape_params, reverse, TN_P_BOOL, .def = "False",
                       .doc = "read codes and extents from the last to the first"),
              TN_PARAM(reshape_params, target_shape, TN_P_I64S, .def = "()", .range = "[0,)",
                       .doc = "deprecated: extents, of which one may be 0 for what is left over"),
              TN_PARAM(reshape_params, keep_highest, TN_P_BOOL, .def = "False",
                       .doc = "deprecated: target_shape keeps the first extent of data")),
          .params_size = sizeof(reshape_params), .check = reshape_check,
          .infer_shape = reshape_shape, .gradient = like_gradient);

// ------------------------------------------------------------------ reshape_like

static tn_status reshape_like_shape(const tn_infer *io)
{
    TNI_TRY(tni_link(io, TNI_IN(1), TNI_OUT(0)));
    return same_size(io);
}

const tn_op_decl tni_op_reshape_like =
    TN_OP(.name = "reshape_like", .flags = TN_OP_IDENTITY,
          .doc = "The elements of lhs in the shape of rhs.", .family = "shape",
          .formula = "y = lhs, seen in the shape of rhs",
          .shape_rule = "output has the shape of rhs, which has as many elements as lhs",
          .source = "MXNet 1.x, src/operator/tensor/elemwise_unary_op_basic.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "lhs", .doc = "of any shape"),
                             TN_PORT(.name = "rhs", .doc = "gives the shape",
                                     .flags = TN_PORT_SHAPE_ONLY | TN_PORT_NO_GRAD)),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "in the shape of rhs")),
          .infer_shape = reshape_like_shape, .infer_dtype = tni_dtype_all_but_in1,
          .gradient = like_gradient);

// ------------------------------------------------------------------ expand_dims

typedef struct expand_params {
    int64_t axis;
} expand_params;

static tn_status expand_dims_shape(const tn_infer *io)
{
    const expand_params *p = io->params;
    const tn_shape known = tni_shape(io, TNI_OUT(0));
    tn_shape in = tni_shape(io, TNI_IN(0));
    const int32_t ndim = in.ndim >= 0 ? in.ndim : known.ndim - 1;
    if (ndim < 0) return known.ndim == 0 ? tni_merge(io, TNI_OUT(0), tn_shape_rank(1)) : TN_OK;
    const int64_t axis = p->axis < 0 ? p->axis + ndim : p->axis;
    if (axis < 0 || axis > ndim || ndim == TN_MAX_NDIM)
        return tn_infer_fail(io, TN_E_SHAPE, "axis: %lld for a value with %d axes",
                             (long long)p->axis, ndim);
    if (in.ndim < 0) in = tn_shape_rank(ndim);
    tn_shape out = tn_shape_rank(ndim + 1), back = in;
    for (int32_t i = 0; i < ndim; i++) out.dim[i < axis ? i : i + 1] = in.dim[i];
    out.dim[axis] = 1;
    TNI_TRY(tni_merge(io, TNI_OUT(0), out));
    out = tni_shape(io, TNI_OUT(0));
    for (int32_t i = 0; i < ndim; i++) back.dim[i] = out.dim[i < axis ? i : i + 1];
    return tni_merge(io, TNI_IN(0), back);
}

// The extent at the new axis is split into 1 and itself; behind the last axis, itself and 1.
static tn_status expand_dims_expand(const tn_builder *b)
{
    const expand_params *p = b->params;
    const tn_sym x = tn_grad_in(b, 0);
    const int32_t ndim = b->shape(b->ctx, x)->ndim;
    const int64_t axis = p->axis < 0 ? p->axis + ndim : p->axis;
    const bool last = axis == ndim;
    int64_t codes[TN_MAX_NDIM + 4] = {0};
    char text[TNI_LONG_TEXT] = "";
    size_t n = (size_t)(last ? axis - 1 : axis);
    if (ndim == 0) {
        n = 0;
        codes[n++] = 1;
    } else {
        codes[n++] = -4;
        codes[n++] = last ? -1 : 1;
        codes[n++] = last ? 1 : -1;
        codes[n++] = -2;
    }
    tni_text_list(text, "shape", (tn_ints){n, codes});
    b->set_output(b->ctx, 0, tn_emit(b, "Reshape", text, &x, 1));
    return TN_OK;
}

const tn_op_decl tni_op_expand_dims =
    TN_OP(.name = "expand_dims", .flags = TN_OP_IDENTITY,
          .doc = "Inserts an axis of extent 1. A negative axis counts the axes of data, so -1 "
                 "stands before the last one.",
          .family = "shape", .formula = "y = data with one more axis",
          .shape_rule = "(a, b) -> (1, a, b), (a, 1, b) or (a, b, 1) by axis",
          .source = "MXNet 0.11, src/operator/tensor/matrix_op.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "of any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "data with one more axis")),
          .params = TN_PARAMS(TN_PARAM(expand_params, axis, TN_P_I64,
                                       .doc = "place of the new axis, from 0 to the number of "
                                              "axes of data")),
          .params_size = sizeof(expand_params), .infer_shape = expand_dims_shape,
          .gradient = like_gradient, .expand = expand_dims_expand);
