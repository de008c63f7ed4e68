// backends/onednn/onednn_rnn.c: RNN forward: plain, LSTM and GRU, layer by layer.
#include "onednn_rnn.h"

// ------------------------------------------------------------------ calls

void od_rnn_sizes(const tn_call *c, od_rnn *r)
{
    r->is = tn_rnn_of(c);
    r->biases = r->is.cell == TN_CELL_GRU ? 4 : r->is.g;
    r->training = r->is.backward || (c->flags & TN_CALL_TRAINING);
    // oneDNN 2.6 divides by zero in a GRU of bfloat16, and has only slow code for plain cells.
    r->narrow = !r->training && r->is.cell == TN_CELL_LSTM && od_may_narrow(c);
}

// ------------------------------------------------------------------ descriptors

static dnnl_memory_desc_t any(int n, const int64_t *dims, dnnl_data_type_t type)
{
    dnnl_memory_desc_t md = {0};
    dnnl_dims_t d;
    for (int i = 0; i < n; i++) d[i] = dims[i];
    if (dnnl_memory_desc_init_by_tag(&md, n, d, type, dnnl_format_tag_any) != dnnl_success)
        md = (dnnl_memory_desc_t){0};
    return md;
}

// Weights without a layout yet.
static void set_shapes(const od_rnn *r, int64_t layer, od_rnn_layer *l)
{
    const int64_t in = layer ? r->is.d * r->is.h : r->is.in;
    const tn_dtype dtype = r->narrow ? TN_BF16 : TN_F32;
    const int64_t w[] = {1, r->is.d, in, r->is.g, r->is.h},
                  u[] = {1, r->is.d, r->is.h, r->is.g, r->is.h};
    l->x = od_dense(3, (const int64_t[]){r->is.t, r->is.n, in}, dtype);
    l->y = od_dense(3, (const int64_t[]){r->is.t, r->is.n, r->is.d * r->is.h}, dtype);
    l->h = od_dense(4, (const int64_t[]){1, r->is.d, r->is.n, r->is.h}, dtype);
    l->c = od_dense(4, (const int64_t[]){1, r->is.d, r->is.n, r->is.h}, TN_F32);
    l->b = od_dense(4, (const int64_t[]){1, r->is.d, r->biases, r->is.h}, TN_F32);
    l->w = l->back_w = any(5, w, od_type(dtype));
    l->u = l->back_u = any(5, u, od_type(dtype));
    l->dw = any(5, w, dnnl_f32);
    l->du = any(5, u, dnnl_f32);
    l->dx = l->x;
    l->dy = l->y;
    l->dh = l->c;
}

static dnnl_rnn_direction_t direction(const od_rnn *r)
{
    return r->is.d == 2 ? dnnl_bidirectional_concat : dnnl_unidirectional_left2right;
}

static dnnl_alg_kind_t activation(const od_rnn *r)
{
    return r->is.cell == TN_CELL_RELU ? dnnl_eltwise_relu : dnnl_eltwise_tanh;
}

static bool open_forward(const od_rnn *r, od_rnn_layer *l)
{
    const dnnl_prop_kind_t prop = r->training ? dnnl_forward_training : dnnl_forward_inference;
    const dnnl_rnn_direction_t to = direction(r);
    dnnl_rnn_desc_t d;
    dnnl_status_t s;
    if (r->is.cell == TN_CELL_LSTM)
        s = dnnl_lstm_forward_desc_init(&d, prop, to, &l->x, &l->h, &l->c, &l->w, &l->u, &l->b,
                                        &l->y, &l->h, &l->c, 0);
    else if (r->is.cell == TN_CELL_GRU)
        s = dnnl_lbr_gru_forward_desc_init(&d, prop, to, &l->x, &l->h, &l->w, &l->u, &l->b, &l->y,
                                           &l->h, 0);
    else
        s = dnnl_vanilla_rnn_forward_desc_init(&d, prop, activation(r), to, &l->x, &l->h, &l->w,
                                               &l->u, &l->b, &l->y, &l->h, 0, 0, 0);
    l->pd = s == dnnl_success ? od_descriptor(&d, NULL) : NULL;
    return l->pd != NULL;
}

static bool open_backward(const od_rnn *r, od_rnn_layer *l)
{
    const dnnl_prop_kind_t prop = dnnl_backward;
    const dnnl_rnn_direction_t to = direction(r);
    const dnnl_memory_desc_t *w = &l->back_w, *u = &l->back_u, *dw = &l->dw, *du = &l->du;
    dnnl_rnn_desc_t d;
    dnnl_status_t s;
    if (r->is.cell == TN_CELL_LSTM)
        s = dnnl_lstm_backward_desc_init(&d, prop, to, &l->x, &l->h, &l->c, w, u, &l->b, &l->y,
                                         &l->h, &l->c, &l->dx, &l->dh, &l->dh, dw, du, &l->b,
                                         &l->dy, &l->dh, &l->dh, 0);
    else if (r->is.cell == TN_CELL_GRU)
        s = dnnl_lbr_gru_backward_desc_init(&d, prop, to, &l->x, &l->h, w, u, &l->b, &l->y, &l->h,
                                            &l->dx, &l->dh, dw, du, &l->b, &l->dy, &l->dh, 0);
    else
        s = dnnl_vanilla_rnn_backward_desc_init(&d, prop, activation(r), to, &l->x, &l->h, w, u,
                                                &l->b, &l->y, &l->h, &l->dx, &l->dh, dw, du, &l->b,
                                                &l->dy, &l->dh, 0, 0, 0);
    l->backward = s == dnnl_success ? od_descriptor(&d, l->pd) : NULL;
    return l->backward != NULL;
}

bool od_rnn_open(const od_rnn *r, int64_t layer, uint32_t workers, od_rnn_layer *l)
{
    *l = (od_rnn_layer){0};
    set_shapes(r, layer, l);
    const int before = od_enter(workers);
    const bool ok = open_forward(r, l) && (!r->is.backward || open_backward(r, l));
    od_leave(before);
    if (!ok) {
        od_rnn_close(l);
        return false;
    }
    l->w = od_query(l->pd, dnnl_query_weights_md, 0);
    l->u = od_query(l->pd, dnnl_query_weights_md, 1);
    l->work = od_query(l->pd, dnnl_query_workspace_md, 0);
    if (!l->backward) return true;
    l->back_w = od_query(l->backward, dnnl_query_weights_md, 0);
    l->back_u = od_query(l->backward, dnnl_query_weights_md, 1);
    l->dw = od_query(l->backward, dnnl_query_diff_weights_md, 0);
    l->du = od_query(l->backward, dnnl_query_diff_weights_md, 1);
    return true;
}

void od_rnn_close(od_rnn_layer *l)
{
    if (l->pd) dnnl_primitive_desc_destroy(l->pd);
    if (l->backward) dnnl_primitive_desc_destroy(l->backward);
    l->pd = l->backward = NULL;
}

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

// The weights, then the layer. Layers from the second on take turns with their memory.
typedef struct shared {
    od_spot w, u, x, h;
} shared;

static tn_status add_layer(tn_sdk_kernel *k, tn_kernel_info *info, int64_t layer,
                           const od_rnn_layer *l, const shared *at)
{
    const od_rnn *r = k->state;
    const od_rnn_kept *kept = &r->kept[layer];
    const uint64_t states = od_rnn_state_bytes(r, layer);
    const od_spot h = r->narrow ? at->h : (od_spot){OD_IN, 2, states};
    const od_spot b = {OD_SCRATCH, r->bias + (uint64_t)layer * dnnl_memory_desc_get_size(&l->b), 0};
    tn_status s = od_rnn_weights(k, info, layer, false, &l->w, at->w, false);
    if (s == TN_OK) s = od_rnn_weights(k, info, layer, true, &l->u, at->u, false);
    if (s == TN_OK && r->narrow)
        s = od_rnn_reorder(k, info, &l->c, (od_spot){OD_IN, 2, states}, &l->h, h);
    if (s == TN_OK) s = od_add(k, info, l->pd, 10);
    s = od_rnn_bind(k, s, DNNL_ARG_SRC_LAYER, &l->x, layer ? r->kept[layer - 1].y : at->x);
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
    if (s == TN_OK && r->narrow)
        s = od_rnn_reorder(k, info, &l->h, kept->h, &l->c, (od_spot){OD_OUT, 1, states});
    return s;
}

// The data, and the results, of a kernel that computes in bfloat16.
static tn_status narrow_end(tn_sdk_kernel *k, tn_kernel_info *info, const dnnl_memory_desc_t *md,
                            od_spot narrow, bool out)
{
    dnnl_memory_desc_t wide = *md;
    const od_spot whole = {out ? OD_OUT : OD_IN, 0, 0};
    wide.data_type = dnnl_f32;
    return out ? od_rnn_reorder(k, info, md, narrow, &wide, whole)
               : od_rnn_reorder(k, info, &wide, whole, md, narrow);
}

tn_status od_rnn_forward(tn_sdk_kernel *k, tn_kernel_info *info, od_from keeps)
{
    od_rnn *r = k->state;
    shared at = {.x = {OD_IN, 0, 0}};
    tn_status s = TN_OK;
    for (int64_t layer = 0; layer < r->is.layers && s == TN_OK; layer++) {
        od_rnn_layer l;
        if (!od_rnn_open(r, layer, od_workers(k), &l))
            return od_fail(k, dnnl_unimplemented, "a layer of an RNN");
        if (layer < 2) {
            at.w = od_in_scratch(info, &l.w);
            at.u = od_in_scratch(info, &l.u);
        }
        if (layer == 0 && r->narrow) {
            at.x = od_in_scratch(info, &l.x);
            at.h = od_in_scratch(info, &l.h);
            s = narrow_end(k, info, &l.x, at.x, false);
        }
        r->kept[layer] = od_rnn_places(r, info, layer, keeps, &l);
        if (s == TN_OK) s = add_layer(k, info, layer, &l, &at);
        if (s == TN_OK && r->narrow && layer + 1 == r->is.layers)
            s = narrow_end(k, info, &l.y, r->kept[layer].y, true);
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
    if (r.is.masked) return "dropout between layers";
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

// From the stash to the outputs.
static void copy_out(const od_rnn *r, const tn_run_args *a)
{
    const char *stash = a->stash.host;
    const size_t bytes = (size_t)(r->is.d * r->is.n * r->is.h) * sizeof(float);
    memcpy(a->out[0].host, stash + r->kept[r->is.layers - 1].y.index,
           (size_t)(r->is.t * r->is.n * r->is.d * r->is.h) * sizeof(float));
    for (int64_t l = 0; l < r->is.layers; l++) {
        const size_t at = od_rnn_state_bytes(r, l);
        memcpy((char *)a->out[1].host + at, stash + r->kept[l].h.index, bytes);
        if (r->is.cell == TN_CELL_LSTM)
            memcpy((char *)a->out[2].host + at, stash + r->kept[l].c.index, bytes);
    }
}

static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const od_rnn *r = k->state;
    od_rnn_add_biases(r, a);
    const tn_status s = od_run(k, a);
    if (s == TN_OK && r->training) copy_out(r, a);
    return s;
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
