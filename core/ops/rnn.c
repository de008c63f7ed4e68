// core/ops/rnn.c: RNN: recurrent layers over a whole sequence, and its gradient.
//
// L = num_layers layers of D = 1 or 2 directions, each with H = state_size units and g gates. One
// step of a direction makes of its input x, the state h and, in an LSTM, the cell c
//
//     a = W x + w,  b = U h + u     g blocks of H numbers each
//     rnn    h ← act(a + b), act: relu or tanh
//     lstm   i f g o = blocks of a + b;  c ← σ(f) c + σ(i) tanh(g);  h ← σ(o) tanh(c)
//     gru    r = σ(a₀ + b₀);  z = σ(a₁ + b₁);  n = tanh(a₂ + r b₂);  h ← (1 - z) n + z h
//
// The second direction goes through the sequence from its end. Outputs of both stand side by side,
// and are the input of the next layer. `parameters` holds first W (gH, inputs) and U (gH, H) of
// each layer and direction, then w (gH) and u (gH) of each; layer by layer, direction by direction.
//
// While training, with p > 0, what a layer hands on to the next one is multiplied by a mask as
// Dropout draws it. The masks are a hidden output, since the gradient cannot draw them again.
// Everything else that it needs it computes again from the inputs: then forward and gradient may
// run on different backends, and nothing is kept at inference. A backend that runs both may save
// that work with a stash (tn_kernel_info), in whatever form its library has.
#include "core/ops/rnn.h"

int64_t tni_rnn_length(const tni_rnn *r, int64_t features)
{
    const int64_t d = tni_rnn_directions(r), h = r->state_size;
    const int64_t rows = tn_extent_times(d * tni_rnn_gates(r), h);
    int64_t columns, length;
    if (__builtin_add_overflow(h + 2, features, &columns)) return INT64_MAX;
    length = tn_extent_times(rows, columns);
    const int64_t more = tn_extent_times(rows, r->num_layers - 1);
    if (__builtin_add_overflow(length, tn_extent_times(more, h + d * h + 2), &length))
        return INT64_MAX;
    return length;
}

// ------------------------------------------------------------------ shapes

// The values of a call that have a shape in common; -1 extents are unknown.
typedef struct rnn_slots {
    tni_slot data[2], parameters[2], state[4], output[1];
    int n_data, n_state; // of parameters there are as many as of data
    bool masked;
    tni_slot mask; // or NO_MASK
} rnn_slots;
#define NO_MASK INT32_MIN

typedef struct rnn_sizes {
    int64_t t, n, features, length; // steps, sequences, of data, of parameters
} rnn_sizes;

// Tells a value its number of axes and the known extents of `shape`, and learns of it extent
// `axis`, if that is not known yet.
static tn_status learn(const tn_infer *io, tni_slot slot, tn_shape shape, int32_t axis,
                       int64_t *extent)
{
    TNI_TRY(tni_merge(io, slot, shape));
    if (*extent < 0) *extent = tni_shape(io, slot).dim[axis];
    return TN_OK;
}

static tn_shape shape_3d(int64_t a, int64_t b, int64_t c)
{
    return (tn_shape){.ndim = 3, .dim = {a, b, c}};
}

// Number of features ↔ length of parameters.
static tn_status solve_length(const tn_infer *io, const tni_rnn *r, rnn_sizes *s)
{
    const int64_t base = tni_rnn_length(r, 0);
    const int64_t each = tni_rnn_directions(r) * tni_rnn_gates(r) * r->state_size;
    if (s->features == 0)
        return tn_infer_fail(io, TN_E_SHAPE, "data: wanted at least 1 feature, got 0");
    if (s->features > 0) {
        s->length = tni_rnn_length(r, s->features);
        if (s->length == INT64_MAX)
            return tn_infer_fail(io, TN_E_SHAPE, "parameters: there would be too many");
        return TN_OK;
    }
    if (s->length < 0) return TN_OK;
    if (s->length <= base || (s->length - base) % each)
        return tn_infer_fail(io, TN_E_SHAPE,
                             "parameters: %lld elements fit no number of features of data: wanted "
                             "%lld, and %lld for each feature",
                             (long long)s->length, (long long)base, (long long)each);
    s->features = (s->length - base) / each;
    return TN_OK;
}

static tn_shape mask_shape(const tni_rnn *r, const rnn_slots *at, const rnn_sizes *s)
{
    const int64_t width = tni_rnn_directions(r) * r->state_size;
    if (!at->masked) return tn_shape_1d(0);
    return (tn_shape){.ndim = 4, .dim = {r->num_layers - 1, s->t, s->n, width}};
}

static tn_status rnn_rule(const tn_infer *io, const rnn_slots *at)
{
    const tni_rnn *r = io->params;
    const int64_t d = tni_rnn_directions(r), h = r->state_size;
    rnn_sizes s = {-1, -1, -1, -1};
    for (int round = 0; round < 2; round++) { // the first one learns
        const tn_shape output = shape_3d(s.t, s.n, d * h);
        const tn_shape data = shape_3d(s.t, s.n, s.features);
        for (int i = 0; i < at->n_data; i++) {
            TNI_TRY(learn(io, at->data[i], data, 0, &s.t));
            TNI_TRY(learn(io, at->data[i], data, 1, &s.n));
            TNI_TRY(learn(io, at->data[i], data, 2, &s.features));
            TNI_TRY(learn(io, at->parameters[i], tn_shape_1d(s.length), 0, &s.length));
        }
        TNI_TRY(learn(io, at->output[0], output, 0, &s.t));
        TNI_TRY(learn(io, at->output[0], output, 1, &s.n));
        for (int i = 0; i < at->n_state; i++)
            TNI_TRY(learn(io, at->state[i], shape_3d(r->num_layers * d, s.n, h), 1, &s.n));
        TNI_TRY(solve_length(io, r, &s));
    }
    return at->mask == NO_MASK ? TN_OK : tni_merge(io, at->mask, mask_shape(r, at, &s));
}

// Has a call masks? Without a layer below another there is nothing to drop.
static bool is_masked(const tni_rnn *r)
{
    return r->p > 0 && r->num_layers > 1;
}

static tn_status rnn_shape(const tn_infer *io)
{
    const tni_rnn *r = io->params;
    const bool lstm = r->mode == TNI_RNN_LSTM;
    return rnn_rule(io, &(rnn_slots){.data = {TNI_IN(0)},
                                     .parameters = {TNI_IN(1)},
                                     .n_data = 1,
                                     .state = {TNI_IN(2), TNI_OUT(1), TNI_IN(3), TNI_OUT(2)},
                                     .n_state = lstm ? 4 : 2,
                                     .output = {TNI_OUT(0)},
                                     .masked = is_masked(r),
                                     .mask = TNI_OUT(lstm ? 3 : 2)});
}

// ------------------------------------------------------------------ RNN

static tn_status rnn_gradient(const tn_builder *b)
{
    static const char *const modes[] = {"rnn_relu", "rnn_tanh", "lstm", "gru"};
    const tni_rnn *r = b->params;
    const bool lstm = r->mode == TNI_RNN_LSTM;
    char text[TN_TEXT];
    tn_sym in[8];
    uint32_t n = 0;
    if (!tn_grad_head(b, 0) && !tn_grad_head(b, 1) && !(lstm && tn_grad_head(b, 2))) return TN_OK;
    for (uint32_t i = 0; i < 3; i++) in[n++] = tn_grad_in(b, i);
    in[n++] = tni_head_or_zeros(b, 0);
    in[n++] = tni_head_or_zeros(b, 1);
    if (lstm) {
        in[n++] = tn_grad_in(b, 3);
        in[n++] = tni_head_or_zeros(b, 2);
    }
    if (is_masked(r)) in[n++] = tn_grad_out(b, b->n_out - 1);
    tn_text(text, "state_size=%lld; num_layers=%lld; bidirectional=%d; mode=%s; dropout=%d",
            (long long)r->state_size, (long long)r->num_layers, r->bidirectional, modes[r->mode],
            is_masked(r));
    const tn_sym first = tn_emit(b, "_backward_RNN", text, in, n);
    for (uint32_t i = 0; i < b->n_in; i++) tn_grad_set(b, i, b->result(b->ctx, first, i));
    return TN_OK;
}

// clang-format off
#define RNN_PARAMS                                                                                 \
    TN_PARAM(tni_rnn, state_size, TN_P_I64, .range = "[1,4294967295]",                             \
             .doc = "H: units of each direction of a layer"),                                      \
    TN_PARAM(tni_rnn, num_layers, TN_P_I64, .range = "[1,30000]",                                  \
             .doc = "L: layers, one on the other"),                                                \
    TN_PARAM(tni_rnn, bidirectional, TN_P_BOOL, .def = "False",                                    \
             .doc = "each layer also goes through the sequence from its end (D = 2)"),             \
    TN_PARAM(tni_rnn, mode, TN_P_ENUM, .choices = "rnn_relu|rnn_tanh|lstm|gru",                    \
             .doc = "kind of cell; g: 1, 1, 4 or 3 gates")
// clang-format on

const tn_op_decl tni_op_rnn =
    TN_OP(.name = "RNN", .flags = TN_OP_RANDOM | TN_OP_MODE,
          .doc =
              "Recurrent layers over a sequence of T steps: plain, LSTM or GRU. parameters: the "
              "weights i2h (gH, inputs) and h2h (gH, H) of each layer and direction, then the "
              "biases i2h and h2h (gH each). Gates: lstm in, forget, cell, out; gru reset, update, "
              "new, with new = tanh(i2h + reset * h2h).",
          .family = "layer",
          .formula = "z = W x_t + b_W + R h_{t-1} + b_R;  rnn: h_t = relu or tanh of z;  lstm: i, "
                     "f, g, o = z by gates, c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g), h_t "
                     "= sigmoid(o) * tanh(c_t);  gru: r, u = sigmoid(z), n = tanh(W x_t + b_W + r "
                     "* (R h_{t-1} + b_R)), h_t = (1 - u) * n + u * h_{t-1}",
          .shape_rule = "(T, N, I) (size,) (L D, N, H) -> (T, N, D H) and the states, (L D, N, H); "
                        "size = D g H (I + H + 2) + (L - 1) D g H (D H + H + 2)",
          .source = "MXNet 0.11, src/operator/rnn-inl.h and cudnn_rnn-inl.h",
          .inputs = TN_PORTS(
              TN_PORT(.name = "data", .doc = "(T, N, I): steps, sequences, features"),
              TN_PORT(.name = "parameters",
                      .doc = "vector of D g H (I + H + 2) + (L - 1) D g H (D H + H + 2) numbers"),
              TN_PORT(.name = "state", .doc = "(L D, N, H): what each direction starts from"),
              TN_PORT(.name = "state_cell", .doc = "(L D, N, H): cells to start from",
                      .when = "mode=lstm")),
          .outputs = TN_PORTS(
              TN_PORT(.name = "output", .doc = "(T, N, D H): states of the last layer"),
              TN_PORT(.name = "state", .flags = TN_PORT_HIDDEN, .visible = "state_outputs",
                      .doc = "(L D, N, H): where each direction ended"),
              TN_PORT(.name = "state_cell", .flags = TN_PORT_HIDDEN, .visible = "state_outputs",
                      .when = "mode=lstm", .doc = "(L D, N, H): cells at the end"),
              TN_PORT(.name = "mask", .flags = TN_PORT_HIDDEN,
                      .doc = "(L - 1, T, N, D H): factors of dropout; empty without it")),
          .params = TN_PARAMS(
              RNN_PARAMS,
              TN_PARAM(tni_rnn, p, TN_P_F64, .def = "0.0", .range = "[0,1]",
                       .doc = "probability to drop what a layer hands to the next, in training"),
              TN_PARAM(tni_rnn, state_outputs, TN_P_BOOL, .def = "False",
                       .doc = "give the last states out, and the last cells of an LSTM")),
          .params_size = sizeof(tni_rnn), .infer_shape = rnn_shape, .gradient = rnn_gradient,
          .expand = tni_rnn_expand);

// ------------------------------------------------------------------ its gradient

static tn_status rnn_backward_shape(const tn_infer *io)
{
    const tni_rnn *r = io->params;
    const bool lstm = r->mode == TNI_RNN_LSTM;
    const tni_slot last = TNI_IN(io->n_in - 1);
    rnn_slots at = {.data = {TNI_IN(0), TNI_OUT(0)},
                    .parameters = {TNI_IN(1), TNI_OUT(1)},
                    .n_data = 2,
                    .state = {TNI_IN(2), TNI_IN(TNI_RNN_DSTATE), TNI_OUT(2)},
                    .n_state = 3,
                    .output = {TNI_IN(TNI_RNN_DY)},
                    .masked = r->dropout,
                    .mask = r->dropout ? last : NO_MASK};
    TNI_TRY(rnn_rule(io, &at));
    if (!lstm) return TN_OK;
    at.state[0] = TNI_IN(TNI_RNN_CELL);
    at.state[1] = TNI_IN(TNI_RNN_DCELL);
    at.state[2] = TNI_OUT(3);
    TNI_TRY(rnn_rule(io, &at));
    at.state[0] = TNI_IN(2);
    return rnn_rule(io, &at); // what the cells know, for the states
}

#define LSTM_ONLY .when = "mode=lstm"

// It has no rule for its gradient: second derivatives go through its expansion, which takes known
// shapes. A bind has them; tn_gradient() has not, and gets an error from the expansion.
const tn_op_decl tni_op_backward_rnn =
    TN_OP(.name = "_backward_RNN", .flags = TN_OP_INTERNAL,
          .doc = "Gradients of all inputs of RNN, by running it again and then back through time.",
          .inputs = TN_PORTS(TN_PORT(.name = "data"), TN_PORT(.name = "parameters"),
                             TN_PORT(.name = "state"), TN_PORT(.name = "dy"),
                             TN_PORT(.name = "dstate"), TN_PORT(.name = "state_cell", LSTM_ONLY),
                             TN_PORT(.name = "dstate_cell", LSTM_ONLY),
                             TN_PORT(.name = "mask", .flags = TN_PORT_NO_GRAD, .when = "dropout")),
          .outputs = TN_PORTS(TN_PORT(.name = "data_grad"), TN_PORT(.name = "parameters_grad"),
                              TN_PORT(.name = "state_grad"),
                              TN_PORT(.name = "state_cell_grad", LSTM_ONLY)),
          .params = TN_PARAMS(RNN_PARAMS, TN_PARAM(tni_rnn, dropout, TN_P_BOOL, .def = "False",
                                                   .doc = "the mask of the forward run is given")),
          .params_size = sizeof(tni_rnn), .infer_shape = rnn_backward_shape,
          .expand = tni_rnn_backward_expand);
