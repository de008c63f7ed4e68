// backends/onednn/onednn_layout.c: memory layouts of oneDNN as layouts of values, and back.
//
// A value that is not row-major has a layout of the domain "onednn". Its number says everything
// about it, so nothing has to be registered anywhere, and equal memory has equal numbers:
//
//     bits 0-2    axes, less 1
//     bits 3-20   the axes by falling stride, 3 bits each; axes of extent 1 stand where they
//                 would in row-major order
//     bits 21-22  inner blocks, at most 3
//     bits 23-43  each block: 3 bits the axis, 4 bits its size as a place in block_sizes
//     bits 44-62  groups, if the first axis was cut into groups and the rest; else 0
//     bit 63      a float32 value is stored as bfloat16: see tn_call.compute
#include "onednn.h"

static const char domain[] = "onednn";
enum { MOST_AXES = 6, MOST_BLOCKS = 3, MOST_GROUPS = 1 << 19 };

// Of inner blocks. New ones are added behind, at most 16 in all.
static const int64_t block_sizes[] = {1, 2, 4, 8, 16, 32, 64, 128, 3, 6, 12, 24, 48, 96};
enum { N_BLOCK_SIZES = sizeof block_sizes / sizeof *block_sizes };

bool od_is_ours(const tn_layout *layout)
{
    return layout->domain && strcmp(layout->domain, domain) == 0;
}

bool od_is_narrow(const tn_layout *layout)
{
    return od_is_ours(layout) && layout->id >> 63;
}

// Of the elements as they are stored.
static tn_dtype stored(const tn_value_info *v)
{
    return od_is_narrow(&v->layout) ? TN_BF16 : v->dtype;
}

void od_follow(const tn_call *call, const uint32_t *inputs, uint32_t n, tn_layout *in,
               tn_layout *out)
{
    const tn_value_info *y = call->out[0];
    tn_layout l = {NULL, 0, 0};
    for (uint32_t i = 0; i < n && !l.domain; i++) {
        const tn_value_info *x = od_input(call, inputs[i]);
        if (x && od_is_ours(&x->layout) && x->dtype == y->dtype && tn_same_shape(x, y))
            l = x->layout;
    }
    for (uint32_t i = 0; i < call->n_in; i++) {
        const bool same = call->in[i]->dtype == y->dtype && tn_same_shape(call->in[i], y);
        in[i] = same ? l : (tn_layout){NULL, 0, 0};
    }
    if (l.domain) out[0] = l;
}

// ------------------------------------------------------------------ descriptors of values

// A scalar counts as one axis of extent 1; axes of a value, the first one cut if there are groups.
static int axes_of(const tn_value_info *v, int64_t groups, dnnl_dims_t dims)
{
    int n = 0;
    if (v->ndim == 0) dims[n++] = 1;
    for (int32_t i = 0; i < v->ndim && n < DNNL_MAX_NDIMS; i++) {
        if (i == 0 && groups > 1) dims[n++] = groups;
        dims[n++] = i == 0 && groups > 1 ? v->dims[0] / groups : v->dims[i];
    }
    return n;
}

dnnl_memory_desc_t od_dense(int ndims, const int64_t *dims, tn_dtype dtype)
{
    dnnl_memory_desc_t md = {0};
    dnnl_dims_t strides, mine;
    int64_t step = 1;
    for (int i = ndims; i-- > 0; step *= dims[i] > 0 ? dims[i] : 1) {
        strides[i] = step;
        mine[i] = dims[i];
    }
    if (dnnl_memory_desc_init_by_strides(&md, ndims, mine, od_type(dtype), strides) != dnnl_success)
        md = (dnnl_memory_desc_t){0};
    return md;
}

dnnl_memory_desc_t od_plain(const tn_value_info *v, int64_t groups)
{
    dnnl_dims_t dims;
    const int n = axes_of(v, groups, dims);
    return od_dense(n, dims, v->dtype);
}

dnnl_memory_desc_t od_any(const tn_value_info *v, int64_t groups)
{
    dnnl_memory_desc_t md = {0};
    dnnl_dims_t dims;
    const int n = axes_of(v, groups, dims);
    if (dnnl_memory_desc_init_by_tag(&md, n, dims, od_type(v->dtype), dnnl_format_tag_any) !=
        dnnl_success)
        md = (dnnl_memory_desc_t){0};
    return md;
}

// Dense, with the axes in that order.
static dnnl_memory_desc_t ordered(int n, const int64_t *dims, const int *order, tn_dtype dtype)
{
    dnnl_memory_desc_t md = {0};
    dnnl_dims_t strides, mine;
    int64_t step = 1;
    for (int i = n; i-- > 0; step *= dims[order[i]]) strides[order[i]] = step;
    for (int i = 0; i < n; i++) mine[i] = dims[i];
    if (dnnl_memory_desc_init_by_strides(&md, n, mine, od_type(dtype), strides) != dnnl_success)
        md = (dnnl_memory_desc_t){0};
    return md;
}

dnnl_memory_desc_t od_dense_last(const int64_t dims[4], tn_dtype dtype)
{
    return ordered(4, dims, (const int[]){0, 2, 3, 1}, dtype);
}

static dnnl_memory_desc_t last_of(const tn_value_info *v, tn_dtype dtype)
{
    dnnl_dims_t dims;
    int order[DNNL_MAX_NDIMS] = {0};
    const int n = axes_of(v, 0, dims);
    if (n < 3) return od_dense(n, dims, dtype);
    for (int i = 1; i + 1 < n; i++) order[i] = i + 1;
    order[n - 1] = 1;
    return ordered(n, dims, order, dtype);
}

dnnl_memory_desc_t od_last(const tn_value_info *v)
{
    return last_of(v, v->dtype);
}

dnnl_memory_desc_t od_narrow(const dnnl_memory_desc_t *md)
{
    dnnl_memory_desc_t narrow = *md;
    if (md->data_type == dnnl_f32) narrow.data_type = dnnl_bf16;
    return narrow;
}

// ------------------------------------------------------------------ numbers

typedef struct shape {
    int n, blocks;
    int64_t outer[DNNL_MAX_NDIMS]; // extents over the blocks
    int order[DNNL_MAX_NDIMS];
    int block_axis[MOST_BLOCKS], block_size[MOST_BLOCKS]; // places in block_sizes
    int64_t groups;
} shape;

// Axes of extent 1 are put in front of the axis behind them, or behind the one before them, so that
// a layout in which they make no difference has one number.
static void place_small_axes(shape *s, int known)
{
    for (int axis = 0; axis < s->n; axis++) {
        if (s->outer[axis] > 1) continue;
        int at = 0;
        for (int i = 0; i < known && axis > 0; i++)
            if (s->order[i] == axis - 1) at = i + 1;
        for (int i = 0; i < known && axis > 0; i++)
            if (s->order[i] == axis + 1) at = i;
        memmove(&s->order[at + 1], &s->order[at], (size_t)(known - at) * sizeof s->order[0]);
        s->order[at] = axis;
        known++;
    }
}

// The axes by falling stride.
static void order_axes(shape *s, const dnnl_dims_t strides)
{
    int known = 0;
    for (int axis = 0; axis < s->n; axis++) {
        if (s->outer[axis] <= 1) continue;
        int at = known++;
        for (; at > 0 && strides[s->order[at - 1]] < strides[axis]; at--)
            s->order[at] = s->order[at - 1];
        s->order[at] = axis;
    }
    place_small_axes(s, known);
}

// What a descriptor looks like; false: like nothing that has a number.
static bool shape_of(const dnnl_memory_desc_t *md, int32_t ndim, shape *s)
{
    const dnnl_blocking_desc_t *b = &md->format_desc.blocking;
    const int ours = ndim == 0 ? 1 : ndim;
    *s = (shape){.n = md->ndims};
    if (md->format_kind != dnnl_blocked || md->extra.flags || md->offset0) return false;
    if (md->ndims > MOST_AXES || b->inner_nblks > MOST_BLOCKS) return false;
    if (md->ndims != ours && md->ndims != ours + 1) return false;
    s->groups = md->ndims == ours ? 0 : md->dims[0];
    if (s->groups >= MOST_GROUPS) return false;
    for (int i = 0; i < md->ndims; i++) s->outer[i] = md->padded_dims[i];
    s->blocks = b->inner_nblks;
    for (int i = 0; i < s->blocks; i++) {
        const int64_t size = b->inner_blks[i];
        while (s->block_size[i] < N_BLOCK_SIZES && block_sizes[s->block_size[i]] != size)
            s->block_size[i]++;
        if (s->block_size[i] == N_BLOCK_SIZES) return false;
        s->block_axis[i] = (int)b->inner_idxs[i];
        s->outer[s->block_axis[i]] /= size;
    }
    order_axes(s, b->strides);
    return true;
}

// Is it dense in the order that was found?
static bool is_dense(const dnnl_memory_desc_t *md, const shape *s)
{
    int64_t step = 1;
    for (int i = 0; i < s->blocks; i++) step *= block_sizes[s->block_size[i]];
    for (int i = s->n; i-- > 0; step *= s->outer[s->order[i]]) {
        const int axis = s->order[i];
        if (s->outer[axis] > 1 && md->format_desc.blocking.strides[axis] != step) return false;
    }
    return true;
}

static bool is_row_major(const dnnl_memory_desc_t *md, const shape *s)
{
    for (int i = 0; i < s->n; i++)
        if (s->order[i] != i || md->padded_dims[i] != md->dims[i]) return false;
    return s->blocks == 0;
}

static uint64_t number_of(const shape *s)
{
    uint64_t id = (uint64_t)(s->n - 1) | (uint64_t)s->blocks << 21 | (uint64_t)s->groups << 44;
    for (int i = 0; i < s->n; i++) id |= (uint64_t)s->order[i] << (3 + 3 * i);
    for (int i = 0; i < s->blocks; i++)
        id |= (uint64_t)(s->block_axis[i] | s->block_size[i] << 3) << (23 + 7 * i);
    return id;
}

bool od_layout(const dnnl_memory_desc_t *md, const tn_value_info *v, tn_layout *out)
{
    shape s;
    const bool narrow = md->data_type != od_type(v->dtype);
    if (narrow && (md->data_type != dnnl_bf16 || v->dtype != TN_F32)) return false;
    if (!shape_of(md, v->ndim, &s) || !is_dense(md, &s)) return false;
    // TN_BACKEND_PERMUTES: where elements are not as they were, there is another number of bytes.
    // Channels that are stored as bfloat16 in blocks twice as large would have the same.
    const uint64_t size = dnnl_memory_desc_get_size(md);
    const uint64_t bytes =
        narrow && size == (uint64_t)v->size * tn_dtype_size(v->dtype) ? size + 64 : size;
    *out = !narrow && is_row_major(md, &s)
               ? (tn_layout){NULL, 0, bytes}
               : (tn_layout){domain, number_of(&s) | (uint64_t)narrow << 63, bytes};
    return true;
}

bool od_fits(const dnnl_memory_desc_t *md, const tn_value_info *v)
{
    tn_layout l;
    if (!od_layout(md, v, &l)) return false;
    if (!v->layout.domain) return !l.domain;
    return l.domain && od_is_ours(&v->layout) && l.id == v->layout.id;
}

int64_t od_groups(const tn_layout *layout)
{
    return od_is_ours(layout) ? (int64_t)(layout->id >> 44 & (MOST_GROUPS - 1)) : 0;
}

// The descriptor that a number stands for.
static dnnl_memory_desc_t decode(const tn_value_info *v)
{
    const uint64_t id = v->layout.id;
    const int blocks = (int)(id >> 21 & 3);
    int order[DNNL_MAX_NDIMS];
    dnnl_dims_t dims, outer;
    const int n = axes_of(v, od_groups(&v->layout), dims);
    if (n != (int)(id & 7) + 1) return (dnnl_memory_desc_t){0};
    for (int i = 0; i < n; i++) {
        order[i] = (int)(id >> (3 + 3 * i) & 7);
        outer[i] = dims[i];
        if (order[i] >= n) return (dnnl_memory_desc_t){0};
    }
    dnnl_memory_desc_t md = ordered(n, dims, order, stored(v));
    dnnl_blocking_desc_t *b = &md.format_desc.blocking;
    int64_t step = 1, size[DNNL_MAX_NDIMS];
    for (int i = 0; i < n; i++) size[i] = 1;
    b->inner_nblks = blocks;
    for (int i = 0; i < blocks; i++) {
        const int axis = (int)(id >> (23 + 7 * i) & 7), place = (int)(id >> (26 + 7 * i) & 15);
        if (axis >= n || place >= N_BLOCK_SIZES) return (dnnl_memory_desc_t){0};
        b->inner_idxs[i] = axis;
        b->inner_blks[i] = block_sizes[place];
        size[axis] *= block_sizes[place];
        step *= block_sizes[place];
    }
    for (int i = 0; i < n; i++) {
        outer[i] = (dims[i] + size[i] - 1) / size[i];
        md.padded_dims[i] = outer[i] * size[i];
    }
    for (int i = n; i-- > 0; step *= outer[order[i]]) b->strides[order[i]] = step;
    return md;
}

dnnl_memory_desc_t od_md(const tn_value_info *v, int64_t groups)
{
    if (!od_is_ours(&v->layout)) return od_plain(v, groups);
    const dnnl_memory_desc_t last = last_of(v, stored(v));
    return od_fits(&last, v) ? last : decode(v);
}
