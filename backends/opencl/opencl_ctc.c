// backends/opencl/opencl_ctc.c: the CTC loss and its gradient.
#include "opencl.h"

typedef struct ctc { // as ctc.cl has it
    cl_int steps, n, classes, letters, places, blank, first, data_lengths, label_lengths;
} ctc;

// Where things are in scratch.
typedef struct places {
    uint64_t norm, letter, state, alpha, beta;
} places;

static ctc ctc_of(const tn_call *call)
{
    const int64_t *data = call->in[0]->dims;
    const bool last = tn_call_is(call, "blank_label", "last");
    return (ctc){.steps = (cl_int)data[0],
                 .n = (cl_int)data[1],
                 .classes = (cl_int)data[2],
                 .letters = (cl_int)call->in[1]->dims[1],
                 .places = 2 * (cl_int)call->in[1]->dims[1] + 1,
                 .blank = last ? (cl_int)data[2] - 1 : 0,
                 .first = last ? 0 : 1,
                 .data_lengths = tn_call_bool(call, "use_data_lengths", false),
                 .label_lengths = tn_call_bool(call, "use_label_lengths", false)};
}

// Indices of alpha have 32 bits.
static const char *ctc_cannot(const tn_call *call)
{
    const int64_t *data = call->in[0]->dims, letters = call->in[1]->dims[1];
    const int64_t sequences = tn_extent_times(data[0], data[1]);
    if (letters > INT32_MAX / 4) return "a sequence of more than 536870911 labels";
    return tn_extent_times(sequences, 2 * letters + 1) > INT32_MAX
               ? "steps * sequences * (2 * labels + 1) > 2147483647"
               : NULL;
}

static ocl_launch *add(ocl_plan *p, const char *name)
{
    const tn_call *c = p->k->call;
    const tn_dtype types[] = {c->in[0]->dtype, c->in[1]->dtype, c->in[2 % c->n_in]->dtype,
                              c->in[c->n_in - 1]->dtype};
    ocl_text t = {.host = p->k->host};
    ocl_prologue(&t, types[0] == TN_F64 ? TN_F64 : ocl_wide(p->device), 4, types);
    ocl_append(&t, ocl_ctc_cl);
    return ocl_add_text(p, &t, name);
}

static void scratch(ocl_plan *p, ocl_launch *l, uint32_t n, const uint64_t *at)
{
    for (uint32_t i = 0; i < n; i++) ocl_scratch(p, l, at[i]);
}

static void one_each(ocl_plan *p, ocl_launch *l, const ctc *c)
{
    const size_t most = p->device->group < 64 ? p->device->group : 64;
    size_t local = 1;
    while (local < most && local < (size_t)c->places) local *= 2;
    ocl_bytes(p, l, c, sizeof *c);
    ocl_groups(p, l, (const size_t[]){(size_t)c->n, 1, 1}, (const size_t[]){local, 1, 1});
}

static void prepare(ocl_plan *p, const ctc *c, const places *at)
{
    ocl_launch *l = add(p, "read_labels");
    ocl_in(p, l, 1);
    ocl_in(p, l, c->data_lengths ? 2 : 1);
    ocl_in(p, l, p->k->call->n_in - 1);
    scratch(p, l, 2, (const uint64_t[]){at->letter, at->state});
    ocl_bytes(p, l, c, sizeof *c);
    ocl_over(p, l, c->n, 1, 1);
    l = add(p, "normalise");
    ocl_in(p, l, 0);
    ocl_scratch(p, l, at->norm);
    ocl_bytes(p, l, c, sizeof *c);
    ocl_over(p, l, (int64_t)c->steps * c->n, 1, 1);
}

static void run_along(ocl_plan *p, const ctc *c, const places *at)
{
    ocl_launch *l = add(p, "forward");
    ocl_in(p, l, 0);
    scratch(p, l, 4, (const uint64_t[]){at->norm, at->letter, at->state, at->alpha});
    ocl_out(p, l, 0);
    one_each(p, l, c);
    l = add(p, "backward");
    ocl_in(p, l, 0);
    scratch(p, l, 4, (const uint64_t[]){at->norm, at->letter, at->state, at->beta});
    one_each(p, l, c);
}

static void put_gradient(ocl_plan *p, const ctc *c, const places *at)
{
    ocl_launch *l = add(p, "put_softmax");
    ocl_in(p, l, 0);
    scratch(p, l, 2, (const uint64_t[]){at->norm, at->state});
    ocl_out(p, l, 1);
    ocl_bytes(p, l, c, sizeof *c);
    ocl_over(p, l, c->classes, c->n, c->steps);
    l = add(p, "put_letters");
    ocl_in(p, l, 0);
    scratch(p, l, 5, (const uint64_t[]){at->norm, at->letter, at->state, at->alpha, at->beta});
    ocl_out(p, l, 1);
    ocl_bytes(p, l, c, sizeof *c);
    ocl_over(p, l, c->classes ? c->places : 0, c->n, c->steps);
}

// Inputs data, label, lengths of either; outputs loss, gradient.
static tn_status ctc_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const ctc c = ctc_of(k->call);
    const int64_t steps = (int64_t)c.steps * c.n;
    ocl_room room = {0};
    places at;
    at.norm = ocl_take(&room, steps, 16);
    at.letter = ocl_take(&room, (int64_t)c.n * c.places, sizeof(cl_int));
    at.state = ocl_take(&room, c.n, 4 * sizeof(cl_int));
    at.alpha = ocl_take(&room, steps * c.places, 8);
    at.beta = ocl_take(&room, steps * c.places, 8);
    info->scratch_bytes = c.n ? room.used : 0;
    ocl_plan *p = ocl_begin(k);
    if (c.n == 0) return ocl_end(p);
    prepare(p, &c, &at);
    run_along(p, &c, &at);
    put_gradient(p, &c, &at);
    return ocl_end(p);
}

const tn_kernel_row ocl_ctcs[] = {
    OCL_ROW("_contrib_CTCLoss", TN_FLOATS, ctc_cannot, ctc_setup),
    {0},
};
