// backends/onednn/onednn_fused.c: calls that the core fused: a layer and what follows it,
// elementwise, as one primitive with post-ops.
//
//     layer → function …                         convolution + relu
//     layer → + a value of the same shape → …    the end of a residual block
//     sum → function                             the same where something stands between
//
// oneDNN adds to what is in the memory of its result. There the value is already, if the core puts
// the result over it, which it may; else a run copies it first.
#include "onednn.h"

typedef struct fused {
    od_state base;
    uint32_t sum; // input that is added; 0: none
    uint64_t bytes;
} fused;

static const od_leader *const leaders[] = {&onednn_conv_leader, &onednn_dense_leader,
                                           &onednn_norm_leader, &onednn_point_leader,
                                           &onednn_binary_leader};

static const od_leader *leader_of(const tn_call *part)
{
    const char *name = part->op->name;
    const size_t length = strlen(name);
    for (size_t i = 0; i < sizeof leaders / sizeof *leaders; i++)
        for (const char *at = leaders[i]->op; *at; at += strcspn(at, " "), at += *at == ' ')
            if (strcspn(at, " ") == length && strncmp(at, name, length) == 0) return leaders[i];
    return NULL;
}

// The leader as a call over the values of the fused one.
static tn_call lead_of(const tn_call *c)
{
    tn_call lead = *c->parts[0].call;
    lead.in = c->in;
    lead.out = c->out;
    lead.n_out = c->n_out;
    return lead;
}

// ------------------------------------------------------------------ tails

typedef struct function_numbers {
    dnnl_alg_kind_t kind;
    float alpha, beta;
} function_numbers;

static bool function_of(const tn_call *part, function_numbers *f)
{
    return od_function(part, &f->kind, &f->alpha, &f->beta);
}

static bool is_sum(const tn_call *part)
{
    const char *name = part->op->name;
    if (strcmp(name, "add_n") == 0) return part->n_in == 2;
    return strcmp(name, "elemwise_add") == 0 || strcmp(name, "_grad_add") == 0;
}

// The input that part i of c adds to the result of the part before it; 0: it does something else.
// (Input 0 belongs to the leader.)
static uint32_t added_input(const tn_call *c, uint32_t i)
{
    const int32_t *from = c->parts[i].from, before = -(int32_t)i;
    if (!is_sum(c->parts[i].call)) return 0;
    if (from[0] == before && from[1] > 0) return (uint32_t)from[1];
    if (from[1] == before && from[0] > 0) return (uint32_t)from[0];
    return 0;
}

// oneDNN 2.6 gives two functions of one kind the numbers of the first. (Seen: y = -3 x + 0.5 as two
// post-ops came out as 9 x.)
static bool comes_twice(const tn_call *c, uint32_t i, const function_numbers *f)
{
    function_numbers g;
    for (uint32_t k = 1; k < i; k++)
        if (function_of(c->parts[k].call, &g) && g.kind == f->kind) return true;
    return false;
}

static const char *append(const tn_call *c, uint32_t i, dnnl_post_ops_t ops, od_tail *tail)
{
    function_numbers f;
    if (function_of(c->parts[i].call, &f)) {
        if (comes_twice(c, i, &f)) return "two functions of one kind";
        if (c->parts[i].from[0] != -(int32_t)i) return "a part reads something else than the last";
        return dnnl_post_ops_append_eltwise(ops, 1, f.kind, f.alpha, f.beta) == dnnl_success
                   ? NULL
                   : "oneDNN refuses a part";
    }
    const uint32_t input = added_input(c, i);
    if (!input || tail->sum) return "a part is neither a function of oneDNN nor the only sum";
    tail->sum = input;
    return dnnl_post_ops_append_sum(ops, 1) == dnnl_success ? NULL : "oneDNN refuses a sum";
}

// Fills in the tail of a fused call, or says why there is none. To be freed in any case.
static const char *make_tail(const tn_call *c, od_tail *tail)
{
    dnnl_post_ops_t ops = NULL;
    const char *why = NULL;
    *tail = (od_tail){0};
    if (dnnl_post_ops_create(&ops) != dnnl_success) return "no memory";
    for (uint32_t i = 1; i < c->n_parts && !why; i++) why = append(c, i, ops, tail);
    if (!why && (dnnl_primitive_attr_clone(&tail->attributes, od_attributes()) != dnnl_success ||
                 dnnl_primitive_attr_set_post_ops(tail->attributes, ops) != dnnl_success))
        why = "oneDNN refuses these post-ops";
    dnnl_post_ops_destroy(ops);
    return why;
}

static void free_tail(od_tail *tail)
{
    if (tail->attributes) dnnl_primitive_attr_destroy(tail->attributes);
    tail->attributes = NULL;
}

// A convolution computes its post-ops for whole vectors of channels. Functions that take long are
// better a primitive of their own, which knows no filling, if a quarter of the vectors or more
// would be that and the result stays near (oneDNN 2.6, AVX-512: 1.05 to 1.4 times as fast; relu is
// not).
enum { VECTOR = 16, NEAR_BYTES = 8 << 20 };

static bool is_apart(const tn_call *c)
{
    const tn_call *lead = c->parts[0].call;
    function_numbers f;
    if (strcmp(lead->op->name, "Convolution") != 0 || c->n_parts != 2) return false;
    if (!function_of(c->parts[1].call, &f) || tn_call_i64(lead, "num_group", 1) != 1) return false;
    if (f.kind != dnnl_eltwise_tanh && f.kind != dnnl_eltwise_logistic) return false;
    if (c->out[0]->dtype != TN_F32 || od_may_narrow(lead)) return false;
    const int64_t filters = lead->in[1]->dims[0];
    const int64_t filled = (filters + VECTOR - 1) / VECTOR * VECTOR;
    return 3 * filled >= 4 * filters && c->out[0]->size <= NEAR_BYTES / (int64_t)sizeof(float);
}

// ------------------------------------------------------------------ kernels

// A question about one part: may it stand in a tail?
static const char *part_cannot(const tn_call *part)
{
    function_numbers f;
    return is_sum(part) || function_of(part, &f) ? NULL : "oneDNN has no post-op for it";
}

static const char *cannot(const tn_call *c)
{
    const tn_call *first = c->parts[0].call;
    const od_leader *leader = leader_of(first);
    if (c->n_parts == 1 && (!leader || !part_cannot(first))) return part_cannot(first);
    if (!leader) return "oneDNN fuses behind layers and products only";
    if (c->n_out != 1 || c->out_parts[0] != c->n_parts - 1)
        return "a result in the middle is needed, too";
    const tn_call lead = lead_of(c);
    od_tail tail;
    const char *why = make_tail(c, &tail);
    if (!why) why = leader->cannot(&lead, &tail);
    free_tail(&tail);
    return why;
}

static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    const tn_call lead = lead_of(c);
    od_tail tail;
    const char *why = make_tail(c, &tail);
    tn_status s = why ? tn_fail(host, TN_E_INTERNAL, "%s", why) : TN_OK;
    for (uint32_t i = 0; i < c->n_in; i++) // of some only the shape is wanted, however they lie
        if (od_input(c, i)) in[i] = (tn_layout){NULL, 0, 0};
    const od_tail *inside = is_apart(c) ? NULL : &tail;
    if (s == TN_OK) s = leader_of(c->parts[0].call)->layouts(&lead, inside, in, out);
    if (tail.sum) in[tail.sum] = out[0];
    free_tail(&tail);
    return s;
}

static tn_status add_apart(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const dnnl_memory_desc_t md = od_md(k->call->out[0], 0);
    fused *f = k->state;
    const size_t n = strlen(f->base.impl);
    snprintf(f->base.impl + n, sizeof f->base.impl - n, ", eltwise");
    return od_add_function(k, k->call->parts[1].call, &md, info);
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const tn_call lead = lead_of(c);
    fused *f = k->state;
    od_tail tail;
    const char *why = make_tail(c, &tail);
    f->sum = tail.sum;
    f->bytes = c->out[0]->bytes;
    if (tail.sum && c->in[tail.sum]->bytes != f->bytes) why = "a sum of values in two layouts";
    const bool apart = is_apart(c);
    tn_status s = why ? tn_fail(k->host, TN_E_INTERNAL, "%s", why)
                      : leader_of(c->parts[0].call)->add(k, &lead, apart ? NULL : &tail, info);
    if (s == TN_OK && apart) s = add_apart(k, info);
    if (tail.sum) info->inplace[info->n_inplace++] = (tn_inplace){tail.sum, 0};
    free_tail(&tail);
    return od_end(k, s);
}

static tn_status run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const fused *f = k->state;
    if (f->sum && a->in[f->sum].host != a->out[0].host)
        memcpy(a->out[0].host, a->in[f->sum].host, (size_t)f->bytes);
    return od_run(k, a);
}

const tn_kernel_row onednn_fused[] = {
    {.op = "_fused",
     .dtypes = OD_FLOATS,
     .flags = OD_FLAGS,
     .impl = "post-ops",
     .state_size = sizeof(fused),
     .cannot = cannot,
     .setup = setup,
     .run = run,
     .teardown = od_stop,
     .layouts = layouts},
    {0},
};
