// backends/opencl/opencl_direct.c: convolutions without columns, for CPUs.
//
// Vectors hold filters, of which panels are made (direct.cl), and the elements of windows are read
// where they lie, so that nothing is written that is larger than the data. Where windows reach
// beyond the data, a copy with zeros around it is made first.
#include "opencl_conv.h"

enum { BLOCK = 8 }; // positions, or rows, that sums are held of
#define MOST_BYTES \
    (UINT64_C(64) << 20)    // of copies and panels at a time, unless one image needs more
#define LEAST_PRODUCTS 4096 // of vectors in a work item, so that few are started

typedef struct geometry { // as direct.cl has it
    cl_int narrow[3], window[3], stride[3], dilate[3];
    cl_int plane, line, channels, channel;
} geometry;

typedef struct frame { // as direct.cl has it
    cl_int wide[3], pad[3], extent[3];
} frame;

// Filters of a panel: two vectors, or one where the second would be empty too often. (Sums of one
// vector need more loads each.)
static int64_t tile_of(const ocl_conv *c)
{
    const int64_t two = ocl_gemm_pad(c->dtype), one = two / 2;
    const int64_t by_two = (c->narrow + two - 1) / two * two;
    const int64_t by_one = (c->narrow + one - 1) / one * one;
    return by_one * 9 <= by_two * 8 ? one : two;
}

static int64_t tiles_of(const ocl_conv *c)
{
    return (c->narrow + tile_of(c) - 1) / tile_of(c);
}

// What windows reach along each axis.
static frame frame_of(const ocl_slides *s)
{
    frame f;
    for (int i = 0; i < 3; i++) {
        f.wide[i] = s->wide[i];
        f.pad[i] = s->pad[i];
        f.extent[i] = s->stride[i] * (s->narrow[i] - 1) + s->dilate[i] * (s->window[i] - 1) + 1;
    }
    return f;
}

static bool is_framed(const frame *f)
{
    for (int i = 0; i < 3; i++)
        if (f->pad[i] != 0 || f->extent[i] > f->wide[i]) return true;
    return false;
}

static geometry geometry_of(const ocl_conv *c)
{
    const frame f = frame_of(&c->s);
    const cl_int *extent = is_framed(&f) ? f.extent : f.wide;
    geometry g = {.line = extent[2],
                  .plane = extent[1] * extent[2],
                  .channels = (cl_int)c->wide,
                  .channel = extent[0] * extent[1] * extent[2]};
    memcpy(g.narrow, c->s.narrow, sizeof g.narrow);
    memcpy(g.window, c->s.window, sizeof g.window);
    memcpy(g.stride, c->s.stride, sizeof g.stride);
    memcpy(g.dilate, c->s.dilate, sizeof g.dilate);
    return g;
}

// Elements of one image and group in the copy with zeros; 0: there is none.
static int64_t framed(const ocl_conv *c)
{
    const frame f = frame_of(&c->s);
    return is_framed(&f) ? c->wide * f.extent[0] * f.extent[1] * f.extent[2] : 0;
}

// Vectors of filters should be full for the greater part, there should be more positions than
// panels are worth, and the copy has the indices of a work item.
static bool is_direct(const ocl_plan *p, const ocl_conv *c)
{
    if (!p->device->cpu || !ocl_in_registers(p->device) || !(OCL_REALS & TN_BIT(c->dtype)))
        return false;
    if (c->plain || c->narrow * 8 < tiles_of(c) * tile_of(c) * 3) return false;
    for (int i = 0; i < 3; i++) {
        const int64_t reach = (int64_t)c->s.stride[i] * (c->s.narrow[i] - 1) +
                              (int64_t)c->s.dilate[i] * (c->s.window[i] - 1) + 1;
        if (c->s.pad[i] < 0 || c->s.pad[i] > INT32_MAX / 4 || reach > INT32_MAX / 4) return false;
    }
    return c->batch * c->narrow_points >= 64 && framed(c) * c->batch * c->groups <= INT32_MAX &&
           c->batch && c->rows;
}

static ocl_launch *add(ocl_plan *p, const ocl_conv *c, const char *name)
{
    ocl_text t = {.host = p->k->host};
    ocl_prologue(&t, ocl_number(c->dtype), 0, NULL);
    if (tile_of(c) < ocl_gemm_pad(c->dtype)) ocl_append(&t, "#define ONE_VECTOR 1\n");
    ocl_append(&t, ocl_vectors_cl);
    ocl_append(&t, ocl_direct_cl);
    return ocl_add_text(p, &t, name);
}

// Blocks of n positions that give a work item enough to do where each takes `products`.
static int64_t share(int64_t n, int64_t products)
{
    const int64_t blocks = LEAST_PRODUCTS / (BLOCK * (products ? products : 1)) + 1;
    return blocks * BLOCK < n || n == 0 ? blocks * BLOCK : (n + BLOCK - 1) / BLOCK * BLOCK;
}

// Input `in`, from that byte on, z matrices (filters, n), as panels at scratch `to`.
static void add_panel(ocl_plan *p, const ocl_conv *c, uint32_t in, uint64_t from, int64_t n,
                      int64_t z, uint64_t to)
{
    const int64_t per = share(n, 4);
    ocl_launch *l = add(p, c, "panel");
    ocl_in_at(p, l, in, from);
    ocl_scratch(p, l, to);
    ocl_int(p, l, c->narrow);
    ocl_int(p, l, n);
    ocl_int(p, l, per);
    ocl_singly(p, l, (n + per - 1) / per, tiles_of(c), z);
}

// The images of input `in` from `first` on with zeros around them, at scratch `to`.
static void add_frame(ocl_plan *p, const ocl_conv *c, uint32_t in, int64_t first, int64_t n,
                      uint64_t to)
{
    const frame f = frame_of(&c->s);
    const int64_t lines = n * c->groups * c->wide * f.extent[0] * f.extent[1];
    if (!is_framed(&f)) return;
    ocl_launch *l = add(p, c, "padded");
    ocl_in_at(p, l, in, ocl_conv_bytes(c, first * c->groups * c->wide * c->wide_points));
    ocl_scratch(p, l, to);
    ocl_bytes(p, l, &f, sizeof f);
    ocl_int(p, l, lines);
    ocl_over(p, l, lines, 1, 1);
}

// The argument: the copy with zeros, or the data.
static void put_wide(ocl_plan *p, ocl_launch *l, const ocl_conv *c, uint32_t in, int64_t first,
                     uint64_t copy)
{
    if (framed(c))
        ocl_scratch(p, l, copy);
    else
        ocl_in_at(p, l, in, ocl_conv_bytes(c, first * c->groups * c->wide * c->wide_points));
}

// How many images are computed at a time where one needs so many elements of scratch.
static int64_t at_once(const ocl_conv *c, int64_t elements)
{
    const uint64_t bytes = ocl_conv_bytes(c, elements);
    const int64_t n = bytes ? (int64_t)(MOST_BYTES / bytes) : c->batch;
    return n < 1 ? 1 : n > c->batch ? c->batch : n;
}

// Input 1, w(groups)(channels, filters, window), as the panel of the way back at scratch `to`.
static void add_back_panel(ocl_plan *p, const ocl_conv *c, uint64_t to)
{
    const int64_t window = c->rows / c->wide, per = share(c->wide, 4 * window);
    ocl_launch *l = add(p, c, "back_panel");
    ocl_in(p, l, 1);
    ocl_scratch(p, l, to);
    ocl_int(p, l, c->narrow);
    ocl_int(p, l, c->wide);
    ocl_int(p, l, window);
    ocl_int(p, l, per);
    ocl_singly(p, l, (c->wide + per - 1) / per, tiles_of(c), c->groups);
}

// Images from `first` on, whose copy with zeros and panel of weights are in scratch.
static void add_narrow(ocl_plan *p, const ocl_conv *c, bool bias, int64_t first, int64_t n,
                       const uint64_t scratch[2])
{
    const int64_t per = share(c->narrow_points, c->rows);
    const geometry g = geometry_of(c);
    ocl_launch *l = add(p, c, "direct_narrow");
    put_wide(p, l, c, 0, first, scratch[0]);
    ocl_scratch(p, l, scratch[1]);
    ocl_in(p, l, bias ? 2 : 0);
    ocl_out_at(p, l, 0, ocl_conv_bytes(c, first * c->groups * c->narrow * c->narrow_points));
    ocl_bytes(p, l, &g, sizeof g);
    ocl_int(p, l, bias);
    ocl_int(p, l, c->narrow);
    ocl_int(p, l, c->groups);
    ocl_int(p, l, c->narrow_points);
    ocl_int(p, l, per);
    ocl_singly(p, l, (c->narrow_points + per - 1) / per, tiles_of(c), n * c->groups);
}

static void convolve(ocl_plan *p, tn_kernel_info *info, const ocl_conv *c, bool back, bool bias)
{
    const size_t item = tn_dtype_size(c->dtype);
    const int64_t chunk = at_once(c, framed(c) * c->groups);
    ocl_room room = {0};
    const uint64_t w = ocl_take(&room, c->groups * tiles_of(c) * tile_of(c) * c->rows, item);
    const uint64_t copy = ocl_take(&room, framed(c) * c->groups * chunk, item);
    info->scratch_bytes = room.used;
    info->impl = "filters in vectors";
    if (back)
        add_back_panel(p, c, w);
    else
        add_panel(p, c, 1, 0, c->rows, c->groups, w);
    for (int64_t first = 0; first < c->batch; first += chunk) {
        const int64_t n = c->batch - first < chunk ? c->batch - first : chunk;
        add_frame(p, c, 0, first, n, copy);
        add_narrow(p, c, bias, first, n, (const uint64_t[2]){copy, w});
    }
}

bool ocl_direct_narrow(ocl_plan *p, tn_kernel_info *info, const ocl_conv *c, bool bias)
{
    if (!is_direct(p, c)) return false;
    convolve(p, info, c, false, bias);
    return true;
}

// With strides of 1 the way back is a convolution of the narrow side, too, windows the other way
// round. It has a product for each element of the wide side: more than columns have, so that there
// should not be many more, lanes without a channel included.
bool ocl_direct_wide(ocl_plan *p, tn_kernel_info *info, const ocl_conv *c, bool bias)
{
    ocl_conv b = *c;
    b.wide = c->narrow, b.narrow = c->wide;
    b.wide_points = c->narrow_points, b.narrow_points = c->wide_points;
    b.rows = c->wide ? c->rows / c->wide * c->narrow : 0;
    for (int i = 0; i < 3; i++) {
        if (c->s.stride[i] != 1) return false;
        b.s.wide[i] = c->s.narrow[i], b.s.narrow[i] = c->s.wide[i];
        b.s.pad[i] = c->s.dilate[i] * (c->s.window[i] - 1) - c->s.pad[i];
    }
    if (!is_direct(p, &b) ||
        tiles_of(&b) * tile_of(&b) * b.narrow_points > 2 * c->wide * c->narrow_points)
        return false;
    convolve(p, info, &b, true, bias);
    return true;
}

// Images of a part, so that there are some work items for each unit of the device.
static int64_t part_of(const ocl_plan *p, const ocl_conv *c, int64_t chunk)
{
    const int64_t items = (c->rows + BLOCK - 1) / BLOCK * tiles_of(c) * c->groups;
    const int64_t wanted = (4 * (int64_t)p->device->units + items - 1) / items;
    const int64_t parts = wanted < chunk ? wanted : chunk;
    return (chunk + parts - 1) / parts;
}

static void sum_weights(ocl_plan *p, tn_kernel_info *info, const ocl_conv *c, const uint32_t in[2])
{
    const size_t item = tn_dtype_size(c->dtype);
    const geometry g = geometry_of(c);
    const int64_t width = tiles_of(c) * tile_of(c), y_panel = c->groups * width * c->narrow_points;
    const int64_t chunk = at_once(c, framed(c) * c->groups + y_panel), part = part_of(p, c, chunk);
    const int64_t sums = c->groups * width * c->rows, parts = (chunk + part - 1) / part;
    int64_t done = 0;
    ocl_room room = {0};
    const uint64_t copy = ocl_take(&room, framed(c) * c->groups * chunk, item);
    const uint64_t y = ocl_take(&room, y_panel * chunk, item);
    const uint64_t sum = ocl_take(&room, sums * parts * ((c->batch + chunk - 1) / chunk), item);
    info->scratch_bytes = room.used;
    info->impl = "filters in vectors";
    for (int64_t first = 0; first < c->batch; first += chunk) {
        const int64_t n = c->batch - first < chunk ? c->batch - first : chunk;
        const int64_t here = (n + part - 1) / part;
        add_frame(p, c, in[0], first, n, copy);
        add_panel(p, c, in[1], ocl_conv_bytes(c, first * c->groups * c->narrow * c->narrow_points),
                  c->narrow_points, n * c->groups, y);
        ocl_launch *l = add(p, c, "direct_weight");
        put_wide(p, l, c, in[0], first, copy);
        ocl_scratch(p, l, y);
        ocl_scratch(p, l, sum + ocl_conv_bytes(c, done * sums));
        ocl_bytes(p, l, &g, sizeof g);
        const int64_t sizes[] = {c->rows, c->groups, c->narrow_points, part, n};
        for (int i = 0; i < 5; i++) ocl_int(p, l, sizes[i]);
        ocl_singly(p, l, (c->rows + BLOCK - 1) / BLOCK, tiles_of(c), here * c->groups);
        done += here;
    }
    const int64_t per = share(c->rows, 4 * done);
    ocl_launch *l = add(p, c, "unpanel");
    ocl_scratch(p, l, sum);
    ocl_out(p, l, 0);
    ocl_int(p, l, c->narrow);
    ocl_int(p, l, c->rows);
    ocl_int(p, l, per);
    ocl_int(p, l, done);
    ocl_long(p, l, sums);
    ocl_singly(p, l, (c->rows + per - 1) / per, tiles_of(c), c->groups);
}

bool ocl_direct_weight(ocl_plan *p, tn_kernel_info *info, const ocl_conv *c, const uint32_t in[2])
{
    if (!is_direct(p, c)) return false;
    sum_weights(p, info, c, in);
    return true;
}
