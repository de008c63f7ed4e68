// backends/onednn/onednn_rnn_back.c: the gradient of RNN: back through time, layer by layer.
//
// Inputs data, parameters, state, dy, dstate and, of an LSTM, cell, dcell; outputs the gradients of
// data, parameters, state and cell.
#include "onednn_rnn.h"

enum { DY = 3, DSTATE, CELL, DCELL };

// Memory that layers take turns with; layers from the second on have weights of one size.
typedef struct shared {
    od_spot w, u, dx[2];
} shared;

// oneDNN adds to gradients of weights and biases: they lie side by side, to be set to 0 first.
static tn_status place_sums(tn_sdk_kernel *k, tn_kernel_info *info)
{
    od_rnn *r = k->state;
    r->sums = (info->scratch_bytes + 63) / 64 * 64;
    for (int64_t layer = 0; layer < r->is.layers; layer++) {
        od_rnn_layer l;
        if (!od_rnn_open(r, layer, od_workers(k), &l))
            return od_fail(k, dnnl_unimplemented, "the gradient of an RNN");
        od_rnn_kept *kept = &r->kept[layer];
        kept->dw = od_in_scratch(info, &l.dw);
        kept->du = od_in_scratch(info, &l.du);
        kept->db = od_in_scratch(info, &l.b);
        od_rnn_close(&l);
    }
    r->sums_bytes = info->scratch_bytes - r->sums;
    return TN_OK;
}

// Where the forward kernel left what it kept: the same places, counted again.
static tn_status find_kept(tn_sdk_kernel *k)
{
    od_rnn *r = k->state;
    tn_kernel_info same = {.struct_size = sizeof same};
    for (int64_t layer = 0; layer < r->is.layers; layer++) {
        od_rnn_layer l;
        if (!od_rnn_open(r, layer, od_workers_of(k, k->call->forward), &l))
            return od_fail(k, dnnl_unimplemented, "the gradient of an RNN");
        r->kept[layer] = od_rnn_places(r, &same, layer, OD_STASH, &l);
        od_rnn_close(&l);
    }
    return TN_OK;
}

static tn_status bind_cells(tn_sdk_kernel *k, tn_status s, int64_t layer, const od_rnn_layer *l)
{
    const od_rnn *r = k->state;
    const uint64_t at = od_rnn_state_bytes(r, layer);
    if (r->is.cell != TN_CELL_LSTM) return s;
    s = od_rnn_bind(k, s, DNNL_ARG_SRC_ITER_C, &l->c, (od_spot){OD_IN, CELL, at});
    s = od_rnn_bind(k, s, DNNL_ARG_DST_ITER_C, &l->c, r->kept[layer].c);
    s = od_rnn_bind(k, s, DNNL_ARG_DIFF_DST_ITER_C, &l->c, (od_spot){OD_IN, DCELL, at});
    return od_rnn_bind(k, s, DNNL_ARG_DIFF_SRC_ITER_C, &l->c, (od_spot){OD_OUT, 3, at});
}

static tn_status add_layer(tn_sdk_kernel *k, tn_kernel_info *info, int64_t layer,
                           const od_rnn_layer *l, const shared *at)
{
    const od_rnn *r = k->state;
    const od_rnn_kept *kept = &r->kept[layer];
    const uint64_t states = od_rnn_state_bytes(r, layer);
    od_spot x, h;
    const od_spot dx = layer ? at->dx[layer % 2] : (od_spot){OD_OUT, 0, 0};
    const od_spot dy = layer + 1 < r->is.layers ? at->dx[(layer + 1) % 2] : (od_spot){OD_IN, DY, 0};
    const od_spot b = {OD_SCRATCH, r->bias + (uint64_t)layer * dnnl_memory_desc_get_size(&l->b), 0};
    tn_status s = od_rnn_weights(k, info, layer, false, &l->back_w, at->w, false);
    if (s == TN_OK) s = od_rnn_weights(k, info, layer, true, &l->back_u, at->u, false);
    if (s == TN_OK) s = od_rnn_input(k, info, layer, l, &x);
    if (s == TN_OK) s = od_rnn_states(k, info, layer, l, &h);
    if (s != TN_OK) return s;
    s = od_add(k, info, l->backward, 20);
    s = od_rnn_bind(k, s, DNNL_ARG_SRC_LAYER, &l->x, x);
    s = od_rnn_bind(k, s, DNNL_ARG_SRC_ITER, &l->h, h);
    s = od_rnn_bind(k, s, DNNL_ARG_WEIGHTS_LAYER, &l->back_w, at->w);
    s = od_rnn_bind(k, s, DNNL_ARG_WEIGHTS_ITER, &l->back_u, at->u);
    s = od_rnn_bind(k, s, DNNL_ARG_BIAS, &l->b, b);
    s = od_rnn_bind(k, s, DNNL_ARG_DST_LAYER, &l->y, kept->y);
    s = od_rnn_bind(k, s, DNNL_ARG_DST_ITER, &l->h, kept->h);
    s = od_rnn_bind(k, s, DNNL_ARG_WORKSPACE, &l->work, kept->work);
    s = od_rnn_bind(k, s, DNNL_ARG_DIFF_DST_LAYER, &l->dy, dy);
    s = od_rnn_bind(k, s, DNNL_ARG_DIFF_DST_ITER, &l->dh, (od_spot){OD_IN, DSTATE, states});
    s = od_rnn_bind(k, s, DNNL_ARG_DIFF_SRC_LAYER, &l->dx, dx);
    s = od_rnn_bind(k, s, DNNL_ARG_DIFF_SRC_ITER, &l->dh, (od_spot){OD_OUT, 2, states});
    s = od_rnn_bind(k, s, DNNL_ARG_DIFF_WEIGHTS_LAYER, &l->dw, kept->dw);
    s = od_rnn_bind(k, s, DNNL_ARG_DIFF_WEIGHTS_ITER, &l->du, kept->du);
    s = od_rnn_bind(k, s, DNNL_ARG_DIFF_BIAS, &l->b, kept->db);
    s = bind_cells(k, s, layer, l);
    if (s == TN_OK && layer && r->drops) s = od_rnn_times_mask(k, info, layer, &l->dx, dx, dx);
    if (s == TN_OK) s = od_rnn_weights(k, info, layer, false, &l->dw, kept->dw, true);
    return s == TN_OK ? od_rnn_weights(k, info, layer, true, &l->du, kept->du, true) : s;
}

static tn_status add_layers(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const od_rnn *r = k->state;
    const bool many = r->is.layers > 1;
    tn_status s = TN_OK;
    shared at = {0};
    for (int64_t layer = r->is.layers; layer-- > 0 && s == TN_OK;) {
        od_rnn_layer l;
        if (!od_rnn_open(r, layer, od_workers(k), &l))
            return od_fail(k, dnnl_unimplemented, "the gradient of an RNN");
        if (layer == 0 || layer + 1 == r->is.layers) {
            at.w = od_in_scratch(info, &l.back_w);
            at.u = od_in_scratch(info, &l.back_u);
        }
        if (many && layer + 1 == r->is.layers)
            for (int i = 0; i < 2; i++) at.dx[i] = od_in_scratch(info, &l.dx);
        s = add_layer(k, info, layer, &l, &at);
        od_rnn_close(&l);
    }
    return s;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *forward = k->call->forward;
    const bool stashed = forward && (forward->flags & TN_CALL_TRAINING);
    tn_status s = od_rnn_start(k, info);
    if (s == TN_OK) s = stashed ? find_kept(k) : od_rnn_forward(k, info, OD_SCRATCH);
    if (s == TN_OK) s = place_sums(k, info);
    if (s == TN_OK) s = add_layers(k, info);
    if (s != TN_OK) od_rnn_stop(k);
    return s;
}

// Gradients of a lane's biases w and u, of those of oneDNN: see od_rnn_add_biases().
static void give_lane(const od_rnn *r, const float *db, float *w)
{
    static const int ours[] = {1, 0, 2}; // of a GRU: gates r z n are oneDNN's 1, 0, 2
    const size_t bytes = (size_t)r->is.h * sizeof *db;
    float *u = w + r->is.g * r->is.h;
    for (int64_t gate = 0; gate < r->is.g; gate++) {
        const bool gru = r->is.cell == TN_CELL_GRU;
        const int64_t from = gru ? ours[gate] : gate;
        memcpy(w + gate * r->is.h, db + from * r->is.h, bytes);
        memcpy(u + gate * r->is.h, db + (gru && gate == 2 ? 3 : from) * r->is.h, bytes);
    }
}

static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const od_rnn *r = k->state;
    char *scratch = a->scratch.host;
    float *bias = (float *)a->out[1].host + tn_rnn_lane_of(&r->is, 0, 0).i2h_bias;
    memset(scratch + r->sums, 0, r->sums_bytes);
    od_rnn_add_biases(r, a);
    const tn_status s = od_run(k, a);
    for (int64_t layer = 0; layer < r->is.layers && s == TN_OK; layer++)
        for (int64_t d = 0; d < r->is.d; d++, bias += 2 * r->is.g * r->is.h) {
            const char *sums = scratch + r->kept[layer].db.index;
            give_lane(r, (const float *)(const void *)sums + d * r->biases * r->is.h, bias);
        }
    return s;
}

const tn_kernel_row onednn_rnn_back[] = {
    {.op = "_backward_RNN",
     .dtypes = TN_BIT(TN_F32),
     .flags = OD_FLAGS,
     .state_size = sizeof(od_rnn),
     .cannot = od_rnn_cannot,
     .setup = setup,
     .run = run,
     .teardown = od_rnn_stop},
    {0},
};
