// core/ops/rnn_expand.c: RNN and its gradient in terms of simpler operators, step by step.
//
// The products with W are made for all steps at once, those with U step by step. See rnn.c for the
// formulas; the names here are those of there.
#include <stdlib.h>

#include "core/ops/rnn.h"

// More steps, all layers and directions together, are refused: a placement takes no expansion of
// more than 100000 nodes, and SliceChannel has at most so many outputs.
enum { MOST_STEPS = 65000 };

// What a step leaves for the gradient.
typedef struct step {
    tn_sym h_prev, c_prev; // state and cell before it
    tn_sym gate[4];        // as in the formulas: rnn: h alone
    tn_sym h2h;            // gru: b₂
    tn_sym h, c, tanh_c;   // after it
} step;

typedef struct unrolled {
    const tn_builder *b;
    const tni_rnn *r;
    int64_t t, n, features;         // steps, sequences, of data
    int64_t d, h, gates;            // directions, units of one, g
    tn_sym parameters, state, cell; // state, cell: first of D L parts
    tn_sym mask;                    // first of L - 1 parts; 0: none
    step *steps;                    // L · D · T
    tn_sym *x;                      // inputs of each layer, and the last output
    tn_sym *list;                   // for operators with many inputs
    tn_sym *pieces;                 // gradient: the parameters' pieces in their order
    tn_sym *dstate, *dcell;         // gradient: of the first states and cells
} unrolled;

static tn_status no_memory(const tn_builder *b)
{
    return b->fail(b->ctx, TN_E_NOMEM, "out of memory");
}

// Finds out all sizes and allocates; release() frees, whatever this returns.
static tn_status prepare(unrolled *u, const tn_builder *b)
{
    const tn_shape data = *b->shape(b->ctx, tn_grad_in(b, 0));
    *u = (unrolled){.b = b, .r = b->params};
    const tni_rnn *r = u->r;
    if (tn_shape_size(&data) < 0 || data.ndim != 3)
        return b->fail(b->ctx, TN_E_NO_GRADIENT,
                       "its steps can be told apart only where the shape of data is known: second "
                       "derivatives are made by a bind, not by tn_gradient()");
    u->t = data.dim[0];
    u->n = data.dim[1];
    u->features = data.dim[2];
    u->d = tni_rnn_directions(r);
    u->h = r->state_size;
    u->gates = tni_rnn_gates(r);
    const int64_t directions = r->num_layers * u->d;
    if (u->t > MOST_STEPS / directions)
        return b->fail(b->ctx, TN_E_UNSUPPORTED,
                       "it has more than 65000 steps, all layers and directions together: that "
                       "many need a backend with a kernel for RNN");
    const size_t cells = (size_t)directions;
    u->steps = calloc(cells * (size_t)u->t + 1, sizeof *u->steps);
    const size_t most = (size_t)u->t + 4 * cells + 8;
    u->x = calloc((size_t)r->num_layers + 1, sizeof *u->x);
    u->list = calloc(most, sizeof *u->list);
    u->pieces = calloc(4 * cells, sizeof *u->pieces);
    u->dstate = calloc(cells, sizeof *u->dstate);
    u->dcell = calloc(cells, sizeof *u->dcell);
    if (!u->steps || !u->x || !u->list || !u->pieces || !u->dstate || !u->dcell)
        return no_memory(b);
    return TN_OK;
}

static void release(unrolled *u)
{
    free(u->steps);
    free(u->x);
    free(u->list);
    free(u->pieces);
    free(u->dstate);
    free(u->dcell);
}

// ------------------------------------------------------------------ parts

// x taken apart along an axis that is dropped, or along the columns; part 0.
static tn_sym apart(const unrolled *u, tn_sym x, int64_t n, int axis, int squeeze)
{
    char text[TN_TEXT];
    tn_text(text, "num_outputs=%lld; axis=%d; squeeze_axis=%d", (long long)n, axis, squeeze);
    return tn_emit(u->b, "SliceChannel", text, &x, 1);
}

static tn_sym part(const unrolled *u, tn_sym first, int64_t i)
{
    return u->b->result(u->b->ctx, first, (uint32_t)i);
}

// Joins values along an axis that is there.
static tn_sym joined(const unrolled *u, const tn_sym *v, int64_t n, int axis)
{
    char text[TN_TEXT];
    if (n == 1) return v[0];
    tn_text(text, "num_args=%lld; dim=%d", (long long)n, axis);
    return tn_emit(u->b, "Concat", text, v, (uint32_t)n);
}

// Joins values along a new first axis.
static tn_sym stacked(const unrolled *u, const tn_sym *v, int64_t n)
{
    char text[TN_TEXT];
    tn_text(text, "num_args=%lld; axis=0", (long long)n);
    return tn_emit(u->b, "stack", text, v, (uint32_t)n);
}

static tn_sym add(const unrolled *u, tn_sym x, tn_sym y)
{
    return tni_call2(u->b, "elemwise_add", x, y);
}

static tn_sym mul(const unrolled *u, tn_sym x, tn_sym y)
{
    return tni_call2(u->b, "_mul", x, y);
}

static int64_t width(const unrolled *u, int64_t layer)
{
    return layer ? u->d * u->h : u->features;
}

// The four pieces of the parameters that belong to direction d of a layer.
typedef enum piece { I2H_WEIGHT, H2H_WEIGHT, I2H_BIAS, H2H_BIAS } piece;

// Place of a piece among all of them, in the order of packing.
static size_t piece_index(const unrolled *u, int64_t layer, int64_t d, piece which)
{
    const int64_t before = which >= I2H_BIAS ? u->r->num_layers * u->d : 0;
    return (size_t)(2 * (before + layer * u->d + d) + which % 2);
}

static tn_sym piece_of(const unrolled *u, int64_t layer, int64_t d, piece which)
{
    const int64_t rows = u->gates * u->h, each = u->h * (u->d + 1);
    const int64_t columns = which == I2H_WEIGHT ? width(u, layer) : u->h;
    char text[TN_TEXT];
    int64_t at = 0, size = rows;
    if (which >= I2H_BIAS) {
        const int64_t all = u->r->num_layers * u->d;
        at = tni_rnn_length(u->r, u->features) - 2 * rows * all + 2 * rows * (layer * u->d + d) +
             (which == H2H_BIAS ? rows : 0);
    } else {
        if (layer) at = rows * (u->d * (u->features + u->h) + (layer - 1) * u->d * each);
        at += d * rows * (width(u, layer) + u->h);
        if (which == H2H_WEIGHT) at += rows * width(u, layer);
        size = rows * columns;
    }
    tn_text(text, "axis=0; begin=%lld; end=%lld", (long long)at, (long long)(at + size));
    const tn_sym flat = tn_emit(u->b, "slice_axis", text, &u->parameters, 1);
    if (which >= I2H_BIAS) return flat;
    tn_text(text, "shape=(%lld,%lld)", (long long)rows, (long long)columns);
    return tn_emit(u->b, "Reshape", text, &flat, 1);
}

static step *steps_of(const unrolled *u, int64_t layer, int64_t d)
{
    return u->steps + (layer * u->d + d) * u->t;
}

// Step i, as direction d comes by them.
static int64_t nth(const unrolled *u, int64_t d, int64_t i)
{
    return d ? u->t - 1 - i : i;
}

// ------------------------------------------------------------------ one step

static void lstm_step(const unrolled *u, step *s, tn_sym sum)
{
    const tn_builder *b = u->b;
    const tn_sym first = apart(u, sum, 4, 1, 0);
    for (int64_t i = 0; i < 4; i++)
        s->gate[i] = tni_call(b, i == 2 ? "tanh" : "sigmoid", part(u, first, i));
    s->c = add(u, mul(u, s->gate[1], s->c_prev), mul(u, s->gate[0], s->gate[2]));
    s->tanh_c = tni_call(b, "tanh", s->c);
    s->h = mul(u, s->gate[3], s->tanh_c);
}

static void gru_step(const unrolled *u, step *s, tn_sym i2h, tn_sym h2h)
{
    const tn_builder *b = u->b;
    const tn_sym first = apart(u, i2h, 3, 1, 0), second = apart(u, h2h, 3, 1, 0);
    for (int64_t i = 0; i < 2; i++)
        s->gate[i] = tni_call(b, "sigmoid", add(u, part(u, first, i), part(u, second, i)));
    s->h2h = part(u, second, 2);
    s->gate[2] = tni_call(b, "tanh", add(u, part(u, first, 2), mul(u, s->gate[0], s->h2h)));
    const tn_sym rest = tni_call_scalar(b, "_rminus_scalar", s->gate[1], 1);
    s->h = add(u, mul(u, rest, s->gate[2]), mul(u, s->gate[1], s->h_prev));
}

static void one_step(const unrolled *u, step *s, tn_sym i2h, tn_sym h2h)
{
    switch (u->r->mode) {
    case TNI_RNN_LSTM: lstm_step(u, s, add(u, i2h, h2h)); break;
    case TNI_RNN_GRU: gru_step(u, s, i2h, h2h); break;
    default: s->h = tni_call(u->b, u->r->mode == TNI_RNN_RELU ? "relu" : "tanh", add(u, i2h, h2h));
    }
}

// ------------------------------------------------------------------ forward

// y = x · weightᵀ + bias on the last axis
static tn_sym linear(const unrolled *u, tn_sym x, tn_sym weight, tn_sym bias)
{
    char text[TN_TEXT];
    tn_text(text, "num_hidden=%lld; flatten=0", (long long)(u->gates * u->h));
    return TN_EMIT(u->b, "FullyConnected", text, x, weight, bias);
}

// One direction of a layer: (T, N, H). Without steps it is what is left of the empty products.
static tn_sym direction(const unrolled *u, int64_t layer, int64_t d)
{
    const tn_builder *b = u->b;
    step *steps = steps_of(u, layer, d);
    const tn_sym i2h =
        linear(u, u->x[layer], piece_of(u, layer, d, I2H_WEIGHT), piece_of(u, layer, d, I2H_BIAS));
    char text[TN_TEXT];
    if (u->t == 0) {
        tn_text(text, "axis=2; begin=0; end=%lld", (long long)u->h);
        return tn_emit(b, "slice_axis", text, &i2h, 1);
    }
    const tn_sym weight = piece_of(u, layer, d, H2H_WEIGHT), bias = piece_of(u, layer, d, H2H_BIAS);
    const tn_sym first = apart(u, i2h, u->t, 0, 1);
    tn_sym h = part(u, u->state, layer * u->d + d);
    tn_sym c = u->cell ? part(u, u->cell, layer * u->d + d) : 0;
    for (int64_t i = 0; i < u->t; i++) {
        const int64_t t = nth(u, d, i);
        step *s = &steps[t];
        s->h_prev = h;
        s->c_prev = c;
        one_step(u, s, part(u, first, t), linear(u, h, weight, bias));
        h = s->h;
        c = s->c;
        u->list[t] = h;
    }
    return stacked(u, u->list, u->t);
}

// The masks of all layers but the last: one Dropout of as many ones.
static tn_sym draw_mask(const unrolled *u, tn_sym like)
{
    const int64_t n = u->r->num_layers - 1;
    char text[TN_TEXT], p[TN_NUMBER];
    const tn_sym ones = tni_call(u->b, "ones_like", like);
    for (int64_t i = 0; i < n; i++) u->list[i] = ones;
    const tn_sym all = stacked(u, u->list, n);
    tn_text(text, "p=%s", tn_number(p, u->r->p));
    return part(u, tn_emit(u->b, "Dropout", text, &all, 1), 1);
}

// All layers, from x[0] on. draws: the mask is still to be drawn, and is returned.
static tn_sym forward(unrolled *u, bool draws)
{
    const int64_t layers = u->r->num_layers;
    tn_sym y[2], mask = 0;
    for (int64_t l = 0; l < layers; l++) {
        for (int64_t d = 0; d < u->d; d++) y[d] = direction(u, l, d);
        u->x[l + 1] = joined(u, y, u->d, 2);
        if (l == 0 && draws) {
            mask = draw_mask(u, u->x[1]);
            u->mask = apart(u, mask, layers - 1, 0, 1);
        }
        if (l + 1 < layers && u->mask) u->x[l + 1] = mul(u, u->x[l + 1], part(u, u->mask, l));
    }
    return mask;
}

static void read_inputs(unrolled *u, uint32_t cell)
{
    const int64_t n = u->r->num_layers * u->d;
    u->x[0] = tn_grad_in(u->b, 0);
    u->parameters = tn_grad_in(u->b, 1);
    u->state = apart(u, tn_grad_in(u->b, 2), n, 0, 1);
    if (u->r->mode == TNI_RNN_LSTM) u->cell = apart(u, tn_grad_in(u->b, cell), n, 0, 1);
}

// The states, or cells, at the end of all directions: (L D, N, H).
static tn_sym ends(const unrolled *u, bool cells)
{
    const int64_t n = u->r->num_layers * u->d;
    if (u->t == 0) return tni_call(u->b, "_copy", tn_grad_in(u->b, cells ? 3 : 2));
    for (int64_t i = 0; i < n; i++) {
        const step *s = &steps_of(u, i / u->d, i % u->d)[nth(u, i % u->d, u->t - 1)];
        u->list[i] = cells ? s->c : s->h;
    }
    return stacked(u, u->list, n);
}

tn_status tni_rnn_expand(const tn_builder *b)
{
    unrolled u;
    tn_status s = prepare(&u, b);
    if (s == TN_OK) {
        const bool lstm = u.r->mode == TNI_RNN_LSTM;
        read_inputs(&u, 3);
        const tn_sym mask = forward(&u, u.r->p > 0 && u.r->num_layers > 1);
        b->set_output(b->ctx, 0, u.x[u.r->num_layers]);
        b->set_output(b->ctx, 1, ends(&u, false));
        if (lstm) b->set_output(b->ctx, 2, ends(&u, true));
        if (mask) b->set_output(b->ctx, lstm ? 3 : 2, mask); // nobody asks for an empty one
    }
    release(&u);
    return s;
}

// ------------------------------------------------------------------ one step back

// Gradients on the way back through the steps of one direction.
typedef struct way {
    tn_sym dh, dc; // of the state and the cell after a step, then of those before it
    tn_sym da, db; // of a and b; the same but for gru
} way;

static tn_sym sigmoid_back(const unrolled *u, tn_sym dy, tn_sym y)
{
    return tni_call2(u->b, "_backward_sigmoid", dy, y);
}

static tn_sym tanh_back(const unrolled *u, tn_sym dy, tn_sym y)
{
    return tni_call2(u->b, "_backward_tanh", dy, y);
}

static void lstm_back(const unrolled *u, const step *s, way *w)
{
    const tn_sym *g = s->gate;
    const tn_sym through = tanh_back(u, mul(u, w->dh, g[3]), s->tanh_c);
    const tn_sym dc = add(u, w->dc, through);
    const tn_sym blocks[] = {
        sigmoid_back(u, mul(u, dc, g[2]), g[0]), sigmoid_back(u, mul(u, dc, s->c_prev), g[1]),
        tanh_back(u, mul(u, dc, g[0]), g[2]), sigmoid_back(u, mul(u, w->dh, s->tanh_c), g[3])};
    w->da = w->db = joined(u, blocks, 4, 1);
    w->dc = mul(u, dc, g[1]);
}

// Returns what goes from dh to h_prev without passing through U.
static tn_sym gru_back(const unrolled *u, const step *s, way *w)
{
    const tn_sym *g = s->gate;
    const tn_sym rest = tni_call_scalar(u->b, "_rminus_scalar", g[1], 1);
    const tn_sym dn = tanh_back(u, mul(u, w->dh, rest), g[2]);
    const tn_sym dz = mul(u, w->dh, tni_call2(u->b, "_sub", s->h_prev, g[2]));
    tn_sym blocks[] = {sigmoid_back(u, mul(u, dn, s->h2h), g[0]), sigmoid_back(u, dz, g[1]), dn};
    w->da = joined(u, blocks, 3, 1);
    blocks[2] = mul(u, dn, g[0]);
    w->db = joined(u, blocks, 3, 1);
    return mul(u, w->dh, g[1]);
}

static void step_back(const unrolled *u, const step *s, way *w, tn_sym h2h_weight)
{
    tn_sym direct = 0;
    switch (u->r->mode) {
    case TNI_RNN_LSTM: lstm_back(u, s, w); break;
    case TNI_RNN_GRU: direct = gru_back(u, s, w); break;
    case TNI_RNN_RELU: w->da = w->db = tni_call2(u->b, "_backward_relu", w->dh, s->h); break;
    default: w->da = w->db = tanh_back(u, w->dh, s->h);
    }
    w->dh = tni_call2(u->b, "dot", w->db, h2h_weight);
    if (direct) w->dh = add(u, w->dh, direct);
}

// ------------------------------------------------------------------ backward

// (T, N, k) as (T N, k)
static tn_sym rows(const unrolled *u, tn_sym x)
{
    return tn_emit(u->b, "Reshape", "shape=(-1,0); reverse=1", &x, 1);
}

static tn_sym flat(const unrolled *u, tn_sym x)
{
    return tn_emit(u->b, "Reshape", "shape=(-1,)", &x, 1);
}

// Gradients of a weight and a bias from those of their products, da, and the factors x, both for
// all steps.
static void set_pieces(const unrolled *u, int64_t layer, int64_t d, piece weight, tn_sym da,
                       tn_sym x)
{
    const tn_sym all = rows(u, da);
    const tn_sym dw = TN_EMIT(u->b, "dot", "transpose_a=1", all, rows(u, x));
    const piece bias = weight == I2H_WEIGHT ? I2H_BIAS : H2H_BIAS;
    u->pieces[piece_index(u, layer, d, weight)] = flat(u, dw);
    u->pieces[piece_index(u, layer, d, bias)] = tn_emit(u->b, "sum", "axis=(0,)", &all, 1);
}

// Gradient of the inputs of a layer as far as it comes through direction d; dy is (T, N, H).
// heads: w->dh and w->dc at the end of the sequence.
static tn_sym direction_back(const unrolled *u, int64_t layer, int64_t d, tn_sym dy, way *w)
{
    const step *steps = steps_of(u, layer, d);
    const tn_sym first = apart(u, dy, u->t, 0, 1);
    const tn_sym weight = piece_of(u, layer, d, H2H_WEIGHT);
    tn_sym *da = calloc((size_t)u->t, 2 * sizeof *da);
    if (!da) {
        no_memory(u->b);
        return 0;
    }
    tn_sym *db = da + u->t;
    for (int64_t i = u->t; i-- > 0;) {
        const int64_t t = nth(u, d, i);
        w->dh = add(u, w->dh, part(u, first, t));
        step_back(u, &steps[t], w, weight);
        da[t] = w->da;
        db[t] = w->db;
        u->list[t] = steps[t].h_prev;
    }
    const tn_sym all_a = stacked(u, da, u->t);
    const tn_sym all_b = u->r->mode == TNI_RNN_GRU ? stacked(u, db, u->t) : all_a;
    free(da);
    set_pieces(u, layer, d, I2H_WEIGHT, all_a, u->x[layer]);
    set_pieces(u, layer, d, H2H_WEIGHT, all_b, stacked(u, u->list, u->t));
    return tni_call2(u->b, "dot", all_a, piece_of(u, layer, d, I2H_WEIGHT));
}

// From the gradient of the last layer's output to that of the data.
static tn_sym layers_back(const unrolled *u, tn_sym dy, tn_sym dstate, tn_sym dcell)
{
    for (int64_t l = u->r->num_layers; l-- > 0;) {
        tn_sym parts[2] = {dy}, dx = 0;
        if (u->d == 2) {
            parts[0] = apart(u, dy, 2, 2, 0);
            parts[1] = part(u, parts[0], 1);
        }
        for (int64_t d = 0; d < u->d; d++) {
            const int64_t i = l * u->d + d;
            way w = {.dh = part(u, dstate, i), .dc = dcell ? part(u, dcell, i) : 0};
            const tn_sym more = direction_back(u, l, d, parts[d], &w);
            dx = dx ? add(u, dx, more) : more;
            u->dstate[i] = w.dh;
            u->dcell[i] = w.dc;
        }
        dy = l && u->mask ? mul(u, dx, part(u, u->mask, l - 1)) : dx;
    }
    return dy;
}

// Without steps the states pass through, and nothing else matters.
static void nothing_back(const unrolled *u)
{
    const tn_builder *b = u->b;
    b->set_output(b->ctx, 0, tni_call(b, "zeros_like", tn_grad_in(b, 0)));
    b->set_output(b->ctx, 1, tni_call(b, "zeros_like", tn_grad_in(b, 1)));
    b->set_output(b->ctx, 2, tni_call(b, "_copy", tn_grad_in(b, TNI_RNN_DSTATE)));
    if (u->r->mode == TNI_RNN_LSTM)
        b->set_output(b->ctx, 3, tni_call(b, "_copy", tn_grad_in(b, TNI_RNN_DCELL)));
}

static void all_back(unrolled *u)
{
    const tn_builder *b = u->b;
    const int64_t n = u->r->num_layers * u->d;
    const bool lstm = u->r->mode == TNI_RNN_LSTM;
    const tn_sym dstate = apart(u, tn_grad_in(b, TNI_RNN_DSTATE), n, 0, 1);
    const tn_sym dcell = lstm ? apart(u, tn_grad_in(b, TNI_RNN_DCELL), n, 0, 1) : 0;
    if (u->r->dropout) u->mask = apart(u, tn_grad_in(b, b->n_in - 1), u->r->num_layers - 1, 0, 1);
    read_inputs(u, TNI_RNN_CELL);
    forward(u, false);
    b->set_output(b->ctx, 0, layers_back(u, tn_grad_in(b, TNI_RNN_DY), dstate, dcell));
    b->set_output(b->ctx, 1, joined(u, u->pieces, 4 * n, 0));
    b->set_output(b->ctx, 2, stacked(u, u->dstate, n));
    if (lstm) b->set_output(b->ctx, 3, stacked(u, u->dcell, n));
}

tn_status tni_rnn_backward_expand(const tn_builder *b)
{
    unrolled u;
    const tn_status s = prepare(&u, b);
    if (s == TN_OK && u.t == 0)
        nothing_back(&u);
    else if (s == TN_OK)
        all_back(&u);
    release(&u);
    return s;
}
