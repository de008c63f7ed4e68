// backends/onednn/onednn_rnn_layer.c: which primitive computes a layer of an RNN, and in what type.
//
// oneDNN 2.6 has two kinds of code. `brgemm` is made for the CPU; it takes bfloat16, and float32 at
// inference, and pays where a product has several rows and its weights stay in a cache. `ref` are
// loops around matrix products. Numbers behind the choices stand in docs/onednn.md.
#include "onednn_rnn.h"

// ------------------------------------------------------------------ calls

// Elements of the widest layer's weights, of one direction.
static int64_t weights(const tn_rnn_call *r)
{
    const int64_t in = r->layers > 1 ? tn_most(r->in, r->d * r->h) : r->in;
    return r->g * r->h * (in + r->h);
}

// Bytes of bfloat16 weights up to which gradients by brgemm are faster than those by ref.
enum { MOST_WEIGHTS = 4 * 1024 * 1024 };

// Is bfloat16 faster? A GRU is `ref` in both types, whose products of two or three rows and loops
// over a few units are not.
static bool pays(const od_rnn *r)
{
    const bool large = 2 * weights(&r->is) > MOST_WEIGHTS;
    if (r->is.cell == TN_CELL_GRU)
        return r->training ? r->is.n >= 8 && r->is.h >= 128 : r->is.n == 1 || r->is.n >= 4;
    return r->training ? r->is.n >= 8 && !large : r->is.n > 1 || large;
}

void od_rnn_sizes(const tn_call *c, od_rnn *r)
{
    r->is = tn_rnn_of(c);
    r->biases = r->is.cell == TN_CELL_GRU ? 4 : r->is.g;
    r->training = r->is.backward || (c->flags & TN_CALL_TRAINING);
    r->drops = r->is.masked && (r->training || !(c->flags & TN_CALL_INFERENCE));
    r->narrow = od_may_narrow(c) && pays(r);
}

// ------------------------------------------------------------------ descriptors

static dnnl_memory_desc_t tagged(int n, const int64_t *dims, dnnl_data_type_t type,
                                 dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t md = {0};
    dnnl_dims_t d;
    for (int i = 0; i < n; i++) d[i] = dims[i];
    if (dnnl_memory_desc_init_by_tag(&md, n, d, type, tag) != dnnl_success)
        md = (dnnl_memory_desc_t){0};
    return md;
}

static dnnl_memory_desc_t any(int n, const int64_t *dims, dnnl_data_type_t type)
{
    return tagged(n, dims, type, dnnl_format_tag_any);
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
    l->dx = od_dense(3, (const int64_t[]){r->is.t, r->is.n, in}, TN_F32);
    l->dy = od_dense(3, (const int64_t[]){r->is.t, r->is.n, r->is.d * r->is.h}, TN_F32);
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

// With few rows brgemm wastes most of its blocks. Code for training is ref, of which there is none
// for inference where there is brgemm.
static bool wants_ref(const od_rnn *r)
{
    return r->training || (!r->narrow && 64 * r->is.n <= r->is.h);
}

static bool try_forward(const od_rnn *r, od_rnn_layer *l)
{
    const dnnl_prop_kind_t prop = wants_ref(r) ? dnnl_forward_training : dnnl_forward_inference;
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

// For inference `ref` likes weights that are packed as a whole. Those cannot be made gate by gate,
// and oneDNN 2.6 divides by zero where they are a GRU's: rows are taken then, at the same speed.
static bool open_forward(const od_rnn *r, od_rnn_layer *l)
{
    if (!try_forward(r, l)) return false;
    if (od_query(l->pd, dnnl_query_weights_md, 0).format_kind != dnnl_format_kind_rnn_packed &&
        od_query(l->pd, dnnl_query_weights_md, 1).format_kind != dnnl_format_kind_rnn_packed)
        return true;
    dnnl_primitive_desc_destroy(l->pd);
    l->w = tagged(5, l->w.dims, l->w.data_type, dnnl_ldigo);
    l->u = tagged(5, l->u.dims, l->u.data_type, dnnl_ldigo);
    return try_forward(r, l);
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
