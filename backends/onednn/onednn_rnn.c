// backends/onednn/onednn_rnn.c: RNN forward: plain, LSTM and GRU, layer by layer.
#include "onednn_rnn.h"
#include "onednn_loops.h"

// ------------------------------------------------------------------ weights

tn_status od_rnn_reorder(tn_sdk_kernel *k, tn_kernel_info *info, const dnnl_memory_desc_t *from,
                         od_spot a, const dnnl_memory_desc_t *to, od_spot b)
{
    dnnl_primitive_desc_t pd = NULL;
    const int before = od_enter(od_workers(k));
    const dnnl_status_t status = dnnl_reorder_primitive_desc_create(&pd, from, od_engine(), to,
                                                                    od_engine(), od_attributes());
    od_leave(before);
    if (status != dnnl_success) return od_fail(k, status, "a reorder of an RNN");
    tn_status s = od_add(k, info, pd, 2);
    if (s == TN_OK) s = od_bind_at(k, DNNL_ARG_FROM, from, a.from, a.index, a.offset);
    if (s == TN_OK) s = od_bind_at(k, DNNL_ARG_TO, to, b.from, b.index, b.offset);
    dnnl_primitive_desc_destroy(pd);
    return s;
}

// Some gates of a layer's weights, as the parameters have them; in, width: of its data, of this.
static dnnl_memory_desc_t stored(const od_rnn *r, int64_t in, int64_t width, int64_t gates)
{
    const int64_t lane = r->is.g * r->is.h * (in + r->is.h); // from one direction to the next
    const dnnl_dims_t dims = {1, r->is.d, width, gates, r->is.h};
    const dnnl_dims_t steps = {r->is.d * lane, lane, 1, r->is.h * width, width};
    dnnl_memory_desc_t md;
    if (dnnl_memory_desc_init_by_strides(&md, 5, dims, dnnl_f32, steps) != dnnl_success)
        md = (dnnl_memory_desc_t){0};
    return md;
}

tn_status od_rnn_weights(tn_sdk_kernel *k, tn_kernel_info *info, int64_t layer, bool recurrent,
                         const dnnl_memory_desc_t *md, od_spot at, bool back)
{
    static const int64_t ours[] = {1, 0, 2}; // oneDNN's GRU begins with the update gate
    const od_rnn *r = k->state;
    const tn_rnn_lane lane = tn_rnn_lane_of(&r->is, layer, 0);
    const int64_t in = lane.in, width = recurrent ? r->is.h : in;
    const int64_t first = recurrent ? lane.h2h : lane.i2h;
    const int64_t gates = r->is.cell == TN_CELL_GRU ? 1 : r->is.g;
    tn_status s = TN_OK;
    for (int64_t q = 0; q < r->is.g && s == TN_OK; q += gates) {
        const int64_t gate = gates == 1 && r->is.g == 3 ? ours[q] : 0;
        const dnnl_dims_t dims = {1, r->is.d, width, gates, r->is.h}, from = {0, 0, 0, q, 0};
        const dnnl_memory_desc_t mine = stored(r, in, width, gates);
        const od_spot p = {back ? OD_OUT : OD_IN, 1,
                           (uint64_t)(first + gate * r->is.h * width) * sizeof(float)};
        dnnl_memory_desc_t part;
        const dnnl_status_t status = dnnl_memory_desc_init_submemory(&part, md, dims, from);
        if (status != dnnl_success) return od_fail(k, status, "gates of an RNN");
        s = back ? od_rnn_reorder(k, info, &part, at, &mine, p)
                 : od_rnn_reorder(k, info, &mine, p, &part, at);
    }
    return s;
}

// All of ours: w of each direction, then u; gates i f g o, or r z n. Of oneDNN's GRU: z r n, and
// what is added to the state's part of n.
void od_rnn_add_biases(const od_rnn *r, const tn_run_args *a)
{
    const float *w = (const float *)a->in[1].host + tn_rnn_lane_of(&r->is, 0, 0).i2h_bias;
    float *b = (float *)(void *)((char *)a->scratch.host + r->bias);
    const int64_t h = r->is.h, rows = r->is.g * h;
    for (int64_t lane = 0; lane < r->is.layers * r->is.d; lane++) {
        const float *u = w + rows;
        const bool gru = r->is.cell == TN_CELL_GRU;
        for (int64_t i = 0; i < (gru ? h : rows); i++)
            b[i] = gru ? w[h + i] + u[h + i] : w[i] + u[i];
        for (int64_t i = 0; gru && i < h; i++) {
            b[h + i] = w[i] + u[i];
            b[2 * h + i] = w[2 * h + i];
            b[3 * h + i] = u[2 * h + i];
        }
        w += 2 * rows;
        b += r->biases * h;
    }
}

// ------------------------------------------------------------------ steps

tn_status od_rnn_bind(tn_sdk_kernel *k, tn_status before, int arg, const dnnl_memory_desc_t *md,
                      od_spot at)
{
    return before == TN_OK ? od_bind_at(k, arg, md, at.from, at.index, at.offset) : before;
}

static od_spot keep(tn_kernel_info *info, od_from where, const dnnl_memory_desc_t *md)
{
    if (where == OD_SCRATCH) return od_in_scratch(info, md);
    const uint64_t at = (info->stash_bytes + 63) / 64 * 64;
    info->stash_bytes = at + dnnl_memory_desc_get_size(md);
    return (od_spot){OD_STASH, at, 0};
}

od_rnn_kept od_rnn_places(const od_rnn *r, tn_kernel_info *info, int64_t layer, od_from keeps,
                          const od_rnn_layer *l)
{
    od_rnn_kept p = {0};
    const uint64_t states = od_rnn_state_bytes(r, layer);
    const bool last = layer + 1 == r->is.layers, out = !r->training && !r->narrow;
    p.work = keep(info, keeps, &l->work);
    p.y = last && out ? (od_spot){OD_OUT, 0, 0} : keep(info, keeps, &l->y);
    p.h = out ? (od_spot){OD_OUT, 1, states} : keep(info, keeps, &l->h);
    p.c = !r->training ? (od_spot){OD_OUT, 2, states} : keep(info, keeps, &l->c);
    return p;
}

tn_status od_rnn_times_mask(tn_sdk_kernel *k, tn_kernel_info *info, int64_t layer,
                            const dnnl_memory_desc_t *md, od_spot from, od_spot to)
{
    const od_rnn *r = k->state;
    const uint64_t size = (uint64_t)(r->is.t * r->is.n * r->is.d * r->is.h) * sizeof(float);
    const uint32_t out = k->call->n_out - 1, in = k->call->n_in - 1;
    const od_spot mask = {r->is.backward ? OD_IN : OD_OUT, r->is.backward ? in : out,
                          (uint64_t)(layer - 1) * size};
    dnnl_memory_desc_t wide = *md;
    dnnl_binary_desc_t d;
    dnnl_primitive_desc_t pd = NULL;
    wide.data_type = dnnl_f32;
    const int before = od_enter(od_workers(k));
    if (dnnl_binary_desc_init(&d, dnnl_binary_mul, md, &wide, md) == dnnl_success)
        pd = od_descriptor(&d, NULL);
    od_leave(before);
    if (!pd) return od_fail(k, dnnl_unimplemented, "the mask of an RNN");
    tn_status s = od_add(k, info, pd, 3);
    s = od_rnn_bind(k, s, DNNL_ARG_SRC_0, md, from);
    s = od_rnn_bind(k, s, DNNL_ARG_SRC_1, &wide, mask);
    s = od_rnn_bind(k, s, DNNL_ARG_DST, md, to);
    dnnl_primitive_desc_destroy(pd);
    return s;
}

// Memory that several steps take turns with.
static od_spot turns(tn_kernel_info *info, od_spot *at, const dnnl_memory_desc_t *md)
{
    if (at->from != OD_SCRATCH) *at = od_in_scratch(info, md);
    return *at;
}

// From float32 to how md has it, or back.
static tn_status round_to(tn_sdk_kernel *k, tn_kernel_info *info, const dnnl_memory_desc_t *md,
                          od_spot wide, od_spot narrow, bool back)
{
    dnnl_memory_desc_t f32 = *md;
    f32.data_type = dnnl_f32;
    return back ? od_rnn_reorder(k, info, md, narrow, &f32, wide)
                : od_rnn_reorder(k, info, &f32, wide, md, narrow);
}

tn_status od_rnn_input(tn_sdk_kernel *k, tn_kernel_info *info, int64_t layer, const od_rnn_layer *l,
                       od_spot *x)
{
    od_rnn *r = k->state;
    *x = layer ? r->kept[layer - 1].y : (od_spot){OD_IN, 0, 0};
    if (layer ? !r->drops : !r->narrow) return TN_OK;
    const od_spot from = *x;
    *x = turns(info, &r->x[layer > 0], &l->x);
    return layer ? od_rnn_times_mask(k, info, layer, &l->x, from, *x)
                 : round_to(k, info, &l->x, from, *x, false);
}

tn_status od_rnn_states(tn_sdk_kernel *k, tn_kernel_info *info, int64_t layer,
                        const od_rnn_layer *l, od_spot *h)
{
    od_rnn *r = k->state;
    *h = (od_spot){OD_IN, 2, od_rnn_state_bytes(r, layer)};
    if (!r->narrow) return TN_OK;
    const od_spot from = *h;
    *h = turns(info, &r->h, &l->h);
    return round_to(k, info, &l->h, from, *h, false);
}

// What does not lie in an output goes there, unless this is but the first half of a gradient.
static tn_status give(tn_sdk_kernel *k, tn_kernel_info *info, int64_t layer, const od_rnn_layer *l)
{
    const od_rnn *r = k->state;
    const od_rnn_kept *kept = &r->kept[layer];
    const uint64_t states = od_rnn_state_bytes(r, layer);
    tn_status s = TN_OK;
    if (r->is.backward) return TN_OK;
    if (layer + 1 == r->is.layers && kept->y.from != OD_OUT)
        s = round_to(k, info, &l->y, (od_spot){OD_OUT, 0, 0}, kept->y, true);
    if (s == TN_OK && kept->h.from != OD_OUT)
        s = round_to(k, info, &l->h, (od_spot){OD_OUT, 1, states}, kept->h, true);
    if (s == TN_OK && kept->c.from != OD_OUT && r->is.cell == TN_CELL_LSTM)
        s = round_to(k, info, &l->c, (od_spot){OD_OUT, 2, states}, kept->c, true);
    return s;
}

// The weights, then the layer. Layers from the second on take turns with their memory.
typedef struct shared {
    od_spot w, u;
} shared;

static tn_status add_layer(tn_sdk_kernel *k, tn_kernel_info *info, int64_t layer,
                           const od_rnn_layer *l, const shared *at)
{
    const od_rnn *r = k->state;
    const od_rnn_kept *kept = &r->kept[layer];
    const uint64_t states = od_rnn_state_bytes(r, layer);
    const od_spot b = {OD_SCRATCH, r->bias + (uint64_t)layer * dnnl_memory_desc_get_size(&l->b), 0};
    od_spot x, h;
    tn_status s = od_rnn_weights(k, info, layer, false, &l->w, at->w, false);
    if (s == TN_OK) s = od_rnn_weights(k, info, layer, true, &l->u, at->u, false);
    if (s == TN_OK) s = od_rnn_input(k, info, layer, l, &x);
    if (s == TN_OK) s = od_rnn_states(k, info, layer, l, &h);
    if (s != TN_OK) return s;
    s = od_add(k, info, l->pd, 10);
    s = od_rnn_bind(k, s, DNNL_ARG_SRC_LAYER, &l->x, x);
    s = od_rnn_bind(k, s, DNNL_ARG_SRC_ITER, &l->h, h);
    s = od_rnn_bind(k, s, DNNL_ARG_WEIGHTS_LAYER, &l->w, at->w);
    s = od_rnn_bind(k, s, DNNL_ARG_WEIGHTS_ITER, &l->u, at->u);
    s = od_rnn_bind(k, s, DNNL_ARG_BIAS, &l->b, b);
    s = od_rnn_bind(k, s, DNNL_ARG_DST_LAYER, &l->y, kept->y);
    s = od_rnn_bind(k, s, DNNL_ARG_DST_ITER, &l->h, kept->h);
    if (r->is.cell == TN_CELL_LSTM) {
        s = od_rnn_bind(k, s, DNNL_ARG_SRC_ITER_C, &l->c,
                        (od_spot){OD_IN, r->is.backward ? 5 : 3, states});
        s = od_rnn_bind(k, s, DNNL_ARG_DST_ITER_C, &l->c, kept->c);
    }
    if (dnnl_memory_desc_get_size(&l->work))
        s = od_rnn_bind(k, s, DNNL_ARG_WORKSPACE, &l->work, kept->work);
    return s == TN_OK ? give(k, info, layer, l) : s;
}

tn_status od_rnn_forward(tn_sdk_kernel *k, tn_kernel_info *info, od_from keeps)
{
    od_rnn *r = k->state;
    shared at = {0};
    tn_status s = TN_OK;
    for (int64_t layer = 0; layer < r->is.layers && s == TN_OK; layer++) {
        od_rnn_layer l;
        if (!od_rnn_open(r, layer, od_workers(k), &l))
            return od_fail(k, dnnl_unimplemented, "a layer of an RNN");
        if (layer < 2) {
            at.w = od_in_scratch(info, &l.w);
            at.u = od_in_scratch(info, &l.u);
        }
        r->kept[layer] = od_rnn_places(r, info, layer, keeps, &l);
        s = add_layer(k, info, layer, &l, &at);
        od_rnn_close(&l);
    }
    return s;
}

tn_status od_rnn_start(tn_sdk_kernel *k, tn_kernel_info *info)
{
    od_rnn *r = k->state;
    od_rnn_layer l;
    od_rnn_sizes(k->call, r);
    r->kept = k->host->alloc(k->host->host, (uint64_t)r->is.layers * sizeof *r->kept, 8);
    if (!r->kept) return tn_fail(k->host, TN_E_NOMEM, "no memory for an RNN");
    if (!od_rnn_open(r, 0, od_workers(k), &l))
        return od_fail(k, dnnl_unimplemented, "a layer of an RNN");
    snprintf(r->base.impl, sizeof r->base.impl, "rnn %s",
             od_name(r->is.backward ? l.backward : l.pd));
    info->impl = r->base.impl;
    od_rnn_close(&l);
    const int64_t all[] = {r->is.layers * r->is.d * r->biases * r->is.h};
    const dnnl_memory_desc_t biases = od_dense(1, all, TN_F32);
    r->bias = od_scratch(info, &biases);
    return TN_OK;
}

void od_rnn_stop(tn_sdk_kernel *k)
{
    od_rnn *r = k->state;
    if (r->kept) k->host->free(k->host->host, r->kept, (uint64_t)r->is.layers * sizeof *r->kept, 8);
    r->kept = NULL;
    od_stop(k);
}

// ------------------------------------------------------------------ the row

const char *od_rnn_cannot(const tn_call *c)
{
    od_rnn r = {0};
    if (c->in[0]->size == 0) return od_no_elements;
    od_rnn_sizes(c, &r);
    for (int64_t layer = 0; layer < 2 && layer < r.is.layers; layer++) {
        od_rnn_layer l;
        if (!od_rnn_open(&r, layer, c->max_workers, &l)) return od_no_primitive;
        od_rnn_close(&l);
    }
    return NULL;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    tn_status s = od_rnn_start(k, info);
    const od_rnn *r = k->state;
    if (s == TN_OK) s = od_rnn_forward(k, info, r->training ? OD_STASH : OD_SCRATCH);
    if (s != TN_OK) od_rnn_stop(k);
    return s;
}

static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const od_rnn *r = k->state;
    if (r->is.masked) od_draw_mask(k, a, a->n_out - 1, a->flags & TN_RUN_TRAIN ? r->is.p : 0);
    od_rnn_add_biases(r, a);
    return od_run(k, a);
}

const tn_kernel_row onednn_rnn[] = {
    {.op = "RNN",
     .dtypes = TN_BIT(TN_F32),
     .flags = OD_FLAGS,
     .state_size = sizeof(od_rnn),
     .cannot = od_rnn_cannot,
     .setup = setup,
     .run = run,
     .teardown = od_rnn_stop},
    {0},
};
