// core/ops/grid.c: GridGenerator, BilinearSampler, SpatialTransformer.
#include "core/ops/ops.h"

typedef struct grid_params {
    tn_ints target_shape;
    int32_t transform_type, sampler_type;
} grid_params;
enum { AFFINE, WARP };

static tn_status grid_check(const void *params, char *reason, size_t size)
{
    const grid_params *p = params;
    if (p->transform_type == WARP) return TN_OK; // reads no target_shape
    if (p->target_shape.n == 2 && p->target_shape.v[0] > 0 && p->target_shape.v[1] > 0)
        return TN_OK;
    snprintf(reason, size, "target_shape: wanted (height, width), both at least 1, for affine");
    return TN_E_INVALID;
}

// ------------------------------------------------------------------ GridGenerator
//
// affine, with θ[n] = data[n] as a matrix of 2 rows and 3 columns, for i < H, j < W:
//     output[n, :, i, j] = θ[n] · (x_j, y_i, 1),  x_j = (2 j - (W - 1)) / (W - 1), y_i likewise
//     grid_dst (3, H W): the columns (x_j, y_i, 1)
// warp, with data a flow in points:
//     output[n, 0, i, j] = 2 (j + data[n, 0, i, j]) / (W - 1) - 1, output[n, 1, i, j] likewise
//     grid_dst (2, H, W): j and i
//
// An axis with a single point has the coordinate 0. MXNet divides by zero there.

// theta (N, 6), output (N, any, H, W), dst (3, H W)
static tn_status affine_shape(const tn_infer *io, tni_slot theta, tni_slot output, tni_slot dst)
{
    const grid_params *p = io->params;
    const int64_t h = p->target_shape.v[0], w = p->target_shape.v[1];
    TNI_TRY(tni_merge(io, theta, tn_shape_2d(-1, 6)));
    int64_t n = tni_shape(io, theta).dim[0];
    const tn_shape y = {.ndim = 4, .dim = {n, -1, h, w}};
    TNI_TRY(tni_merge(io, output, y));
    n = tni_shape(io, output).dim[0];
    TNI_TRY(tni_merge(io, theta, tn_shape_2d(n, 6)));
    return tni_merge(io, dst, tn_shape_2d(3, tn_extent_times(h, w)));
}

static tn_status generator_shape(const tn_infer *io)
{
    const grid_params *p = io->params;
    const tn_shape two = {.ndim = 4, .dim = {-1, 2, -1, -1}};
    TNI_TRY(tni_merge(io, TNI_OUT(0), two));
    if (p->transform_type == AFFINE) return affine_shape(io, TNI_IN(0), TNI_OUT(0), TNI_OUT(1));
    TNI_TRY(tni_merge(io, TNI_IN(0), two));
    TNI_TRY(tni_link(io, TNI_IN(0), TNI_OUT(0)));
    tn_shape y = tni_shape(io, TNI_OUT(0));
    const tn_shape dst = {.ndim = 3, .dim = {2, y.dim[2], y.dim[3]}};
    TNI_TRY(tni_merge(io, TNI_OUT(1), dst));
    for (int i = 1; i < 3; i++) y.dim[i + 1] = tni_shape(io, TNI_OUT(1)).dim[i];
    TNI_TRY(tni_merge(io, TNI_OUT(0), y));
    return tni_link(io, TNI_OUT(0), TNI_IN(0));
}

// Coordinates of `n` points of an axis, each `repeat` times: (1, n repeat), in the dtype of like.
static tn_sym coordinates(const tn_builder *b, int64_t n, int64_t repeat, tn_sym like)
{
    char text[TN_TEXT];
    tn_text(text, "start=%lld; stop=%lld; step=2; repeat=%lld", 1 - (long long)n, (long long)n,
            (long long)repeat);
    const tn_sym twice = tni_call2(b, "_cast_as", tn_emit(b, "_arange", text, NULL, 0), like);
    const tn_sym c = tni_call_scalar(b, "_div_scalar", twice, n > 1 ? (double)(n - 1) : 1);
    return tni_call_with(b, "Reshape", "shape=(1,-1)", c);
}

static tn_status affine_expand(const tn_builder *b)
{
    const grid_params *p = b->params;
    const long long h = p->target_shape.v[0], w = p->target_shape.v[1];
    const tn_sym theta = tni_wide(b, tn_grad_in(b, 0));
    char text[TN_TEXT];
    tn_text(text, "axis=0; size=%lld", h);
    const tn_sym rows = tni_call_with(b, "broadcast_axis", text, coordinates(b, w, 1, theta));
    const tn_sym x = tni_call_with(b, "Reshape", "shape=(1,-1)", rows);
    const tn_sym y = coordinates(b, h, w, theta);
    const tn_sym dst = TN_EMIT(b, "Concat", "num_args=3; dim=0", x, y, tni_call(b, "ones_like", y));
    const tn_sym matrices = tni_call_with(b, "Reshape", "shape=(-1,3)", theta);
    tn_text(text, "shape=(-4,-1,2,-4,%lld,%lld)", h, w);
    tni_set_narrow(b, 0, tni_call_with(b, "Reshape", text, tni_call2(b, "dot", matrices, dst)));
    tni_set_narrow(b, 1, dst);
    return TN_OK;
}

// Points (N, 1, H, W) on an axis of the image as coordinates: with m its extent less 1,
// 2 m / max(m², 1) · points - min(m, 1), which is 0 for an extent of 1.
static tn_sym as_coordinate(const tn_builder *b, tn_sym points, int32_t axis)
{
    const tn_sym m = tni_call_scalar(b, "_minus_scalar", tni_extent(b, points, axis), 1);
    const tn_sym real = tni_call2(b, "_cast_as", m, points);
    const tn_sym square =
        tni_call_scalar(b, "_maximum_scalar", tni_call2(b, "_mul", real, real), 1);
    const tn_sym twice = tni_call_scalar(b, "_mul_scalar", points, 2);
    const tn_sym wide = tni_call2(b, "broadcast_mul", twice, real);
    const tn_sym from_0 = tni_call2(b, "broadcast_div", wide, square);
    return tni_call2(b, "broadcast_sub", from_0, tni_call_scalar(b, "_minimum_scalar", real, 1));
}

static tn_status warp_expand(const tn_builder *b)
{
    const tn_sym flow = tni_wide(b, tn_grad_in(b, 0)); // squares of extents have to fit in
    const tn_sym image = tni_call_with(b, "sum", "axis=(0,)", flow); // for its shape, (2, H, W)
    const tn_sym j = tni_call_with(b, "_positions", "axis=2", tni_part(b, image, 0, 0));
    const tn_sym i = tni_call_with(b, "_positions", "axis=1", tni_part(b, image, 0, 1));
    const tn_sym whole = TN_EMIT(b, "Concat", "num_args=2; dim=0", j, i);
    const tn_sym dst = tni_call2(b, "_cast_as", whole, flow);
    const tn_sym points = tni_call2(b, "broadcast_add", flow, dst);
    const tn_sym x = as_coordinate(b, tni_part(b, points, 1, 0), 3);
    const tn_sym y = as_coordinate(b, tni_part(b, points, 1, 1), 2);
    tni_set_narrow(b, 0, TN_EMIT(b, "Concat", "num_args=2; dim=1", x, y));
    tni_set_narrow(b, 1, dst);
    return TN_OK;
}

static tn_status generator_expand(const tn_builder *b)
{
    const grid_params *p = b->params;
    return p->transform_type == AFFINE ? affine_expand(b) : warp_expand(b);
}

// clang-format off
#define TARGET                                                                                     \
    TN_PARAM(grid_params, target_shape, TN_P_I64S, .def = "(0,0)", .range = "[0,1000000]",         \
             .max_len = 2, .doc = "height and width of the grid")
// clang-format on

const tn_op_decl tni_op_grid_generator =
    TN_OP(.name = "GridGenerator",
          .doc = "Positions to look an image up at, for BilinearSampler: -1 is the first and 1 the "
                 "last point of an axis. affine: the points of a regular grid, each multiplied by "
                 "a matrix of 2 rows and 3 columns. warp: the points of the image moved by a flow, "
                 "which counts in points.",
          .family = "vision",
          .formula = "affine: y[n,:,i,j] = data[n] . (x_j, y_i, 1), x_j = (2 j - (W - 1)) / (W - "
                     "1), y_i likewise;  warp: y[n,0,i,j] = 2 (j + data[n,0,i,j]) / (W - 1) - 1, "
                     "y[n,1,i,j] likewise",
          .shape_rule =
              "affine: (N, 6) -> (N, 2, target_shape...); warp: (N, 2, H, W) -> (N, 2, H, W)",
          .source = "MXNet 0.11, src/operator/grid_generator-inl.h",
          .inputs = TN_PORTS(
              TN_PORT(.name = "data", .doc = "affine: (N, 6); warp: (N, 2, H, W), x and y")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(N, 2, H, W): x and y"),
                              TN_PORT(.name = "grid_dst", .flags = TN_PORT_HIDDEN,
                                      .doc = "the points that are mapped: (3, H W) or (2, H, W)")),
          .params = TN_PARAMS(TN_PARAM(grid_params, transform_type, TN_P_ENUM,
                                       .choices = "affine|warp", .doc = "what data is"),
                              TARGET),
          .params_size = sizeof(grid_params), .check = grid_check, .infer_shape = generator_shape,
          .infer_dtype = tni_dtype_one_float, .expand = generator_expand);

// ------------------------------------------------------------------ BilinearSampler
//
//     Y = (grid[n, 1, i, j] + 1) (H - 1) / 2,  X = (grid[n, 0, i, j] + 1) (W - 1) / 2
//     output[n, c, i, j] = Σ_{h, w} data[n, c, h, w] · max(0, 1 - |Y - h|) · max(0, 1 - |X - w|)
//
// The slope at a position that is a whole number is the one towards higher positions. tmp is the
// grid as (N, H', W', 2).

static tn_status sampler_shape(const tn_infer *io)
{
    for (int round = 0; round < 2; round++) {
        TNI_TRY(tni_merge(io, TNI_IN(0), tn_shape_rank(4)));
        TNI_TRY(tni_merge(io, TNI_IN(1), (tn_shape){.ndim = 4, .dim = {-1, 2, -1, -1}}));
        TNI_TRY(tni_merge(io, TNI_OUT(1), (tn_shape){.ndim = 4, .dim = {-1, -1, -1, 2}}));
        const tn_shape g = tni_shape(io, TNI_IN(1)), t = tni_shape(io, TNI_OUT(1));
        tn_shape x = tni_shape(io, TNI_IN(0));
        const tn_shape by_grid = {.ndim = 4, .dim = {g.dim[0], x.dim[1], g.dim[2], g.dim[3]}};
        const tn_shape by_tmp = {.ndim = 4, .dim = {t.dim[0], -1, t.dim[1], t.dim[2]}};
        TNI_TRY(tni_merge(io, TNI_OUT(0), by_grid));
        TNI_TRY(tni_merge(io, TNI_OUT(0), by_tmp));
        TNI_TRY(tni_merge(io, TNI_OUT(0), (tn_shape){.ndim = 4, .dim = {x.dim[0], -1, -1, -1}}));
        const tn_shape y = tni_shape(io, TNI_OUT(0));
        x.dim[0] = y.dim[0];
        x.dim[1] = y.dim[1];
        TNI_TRY(tni_merge(io, TNI_IN(0), x));
        const tn_shape grid = {.ndim = 4, .dim = {y.dim[0], 2, y.dim[2], y.dim[3]}};
        const tn_shape tmp = {.ndim = 4, .dim = {y.dim[0], y.dim[2], y.dim[3], 2}};
        TNI_TRY(tni_merge(io, TNI_IN(1), grid));
        TNI_TRY(tni_merge(io, TNI_OUT(1), tmp));
    }
    return TN_OK;
}

static tn_status sampler_expand(const tn_builder *b)
{
    const tn_sym grid = tn_grad_in(b, 1);
    const tn_sym x = tni_part(b, grid, 1, 0), y = tni_part(b, grid, 1, 1);
    b->set_output(b->ctx, 0, TN_EMIT(b, "_bilinear", "normalized=1", tn_grad_in(b, 0), y, x));
    b->set_output(b->ctx, 1, tni_call_with(b, "transpose", "axes=(0,2,3,1)", grid));
    return TN_OK;
}

const tn_op_decl tni_op_bilinear_sampler =
    TN_OP(.name = "BilinearSampler",
          .doc = "Looks data up at the positions of a grid, linearly between its four nearest "
                 "points: grid[:, 0] is x and grid[:, 1] is y, -1 the first and 1 the last point "
                 "of an axis. Outside of data everything is 0. A position that is NaN is outside.",
          .family = "vision",
          .formula =
              "y[n,c,i,j] = sum_{h,w} data[n,c,h,w] * max(0, 1 - |Y - h|) * max(0, 1 - |X - w|), Y "
              "= (grid[n,1,i,j] + 1) (H - 1) / 2, X = (grid[n,0,i,j] + 1) (W - 1) / 2",
          .shape_rule = "(N, C, H, W) (N, 2, H', W') -> (N, C, H', W')",
          .source = "MXNet 0.11, src/operator/bilinear_sampler.cc",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "(N, C, H, W)"),
                             TN_PORT(.name = "grid", .doc = "(N, 2, H', W'): x and y")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(N, C, H', W')"),
                              TN_PORT(.name = "tmp", .flags = TN_PORT_HIDDEN,
                                      .doc = "(N, H', W', 2): the grid, x and y side by side")),
          .infer_shape = sampler_shape, .infer_dtype = tni_dtype_one_float,
          .expand = sampler_expand);

// ------------------------------------------------------------------ SpatialTransformer
//
//     output = BilinearSampler(data, GridGenerator(loc)),  grid_src: the grid as (N, 2, H W)

static tn_status transformer_shape(const tn_infer *io)
{
    const grid_params *p = io->params;
    TNI_TRY(tni_merge(io, TNI_IN(0), tn_shape_rank(4)));
    TNI_TRY(affine_shape(io, TNI_IN(1), TNI_OUT(0), TNI_OUT(1)));
    tn_shape x = tni_shape(io, TNI_IN(0)), y = tni_shape(io, TNI_OUT(0));
    y.dim[0] = x.dim[0];
    y.dim[1] = x.dim[1];
    TNI_TRY(tni_merge(io, TNI_OUT(0), y));
    y = tni_shape(io, TNI_OUT(0));
    x.dim[0] = y.dim[0];
    x.dim[1] = y.dim[1];
    TNI_TRY(tni_merge(io, TNI_IN(0), x));
    const int64_t points = tn_extent_times(p->target_shape.v[0], p->target_shape.v[1]);
    const tn_shape src = {.ndim = 3, .dim = {y.dim[0], 2, points}};
    TNI_TRY(tni_merge(io, TNI_OUT(2), src));
    return tni_merge(io, TNI_IN(1), tn_shape_2d(y.dim[0], 6));
}

static tn_status transformer_expand(const tn_builder *b)
{
    const grid_params *p = b->params;
    char text[TN_TEXT];
    tn_text(text, "transform_type=affine; target_shape=(%lld,%lld)",
            (long long)p->target_shape.v[0], (long long)p->target_shape.v[1]);
    const tn_sym grid = tni_call_with(b, "GridGenerator", text, tn_grad_in(b, 1));
    b->set_output(b->ctx, 0, tni_call2(b, "BilinearSampler", tn_grad_in(b, 0), grid));
    b->set_output(b->ctx, 1, b->result(b->ctx, grid, 1));
    b->set_output(b->ctx, 2, tni_call_with(b, "Reshape", "shape=(0,0,-3)", grid));
    return TN_OK;
}

const tn_op_decl tni_op_spatial_transformer =
    TN_OP(.name = "SpatialTransformer",
          .doc = "Turns, scales and moves images by matrices that a network computes: "
                 "BilinearSampler at the positions that GridGenerator gives for loc.",
          .family = "vision", .formula = "y = BilinearSampler(data, GridGenerator(loc))",
          .shape_rule = "(N, C, H, W) (N, 6) -> (N, C, target_shape...)",
          .source = "MXNet 0.11, src/operator/spatial_transformer-inl.h; arXiv:1506.02025",
          .inputs =
              TN_PORTS(TN_PORT(.name = "data", .doc = "(N, C, H, W)"),
                       TN_PORT(.name = "loc", .doc = "(N, 6): matrices of 2 rows and 3 columns")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "(N, C, target_shape)"),
                              TN_PORT(.name = "grid_dst", .flags = TN_PORT_HIDDEN,
                                      .doc = "(3, H' W'): the points that are mapped"),
                              TN_PORT(.name = "grid_src", .flags = TN_PORT_HIDDEN,
                                      .doc = "(N, 2, H' W'): where they are looked up")),
          .params = TN_PARAMS(TARGET,
                              TN_PARAM(grid_params, transform_type, TN_P_ENUM, .choices = "affine",
                                       .doc = "what loc is"),
                              TN_PARAM(grid_params, sampler_type, TN_P_ENUM, .choices = "bilinear",
                                       .doc = "how data is looked up")),
          .params_size = sizeof(grid_params), .check = grid_check, .infer_shape = transformer_shape,
          .infer_dtype = tni_dtype_one_float, .expand = transformer_expand);
