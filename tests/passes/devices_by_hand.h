// tests/passes/devices_by_hand.h: backends that only answer questions, for tests of placement.
//
//   alpha, beta   host memory; each knows the operators that its `ops` lists
//   far:0, far:1  memory of their own
//   tile          host memory and a layout: relu and sigmoid read and write tiles, elemwise_add
//   takes what
//                 comes; FullyConnected wants its weight in tiles
//   broken        cannot be opened
//   quiet         ranks below the default order
#ifndef TENON_TESTS_DEVICES_BY_HAND_H
#define TENON_TESTS_DEVICES_BY_HAND_H

#include "core/env/env.h"
#include "core/passes/place.h"
#include "tests/passes/extra_ops.h"

struct tn_device {
    const char *ops; // "|relu|"; NULL: none
    unsigned asked;  // calls of supports()
    bool f32_only, fails;
    tn_status bad_layouts;  // what layouts() returns
    bool empty_layouts;     // layouts() gives layouts without bytes
    bool shy;               // layouts(): what leaves is made of row-major, too
    bool dense;             // layouts() gives layouts without padding
    const char *domain;     // of its layouts; NULL: "tile"
    const tn_call *forward; // of the last question
};

enum { ALPHA, BETA, FAR, TILE, BROKEN, QUIET, N_BY_HAND };

static struct by_hand {
    tni_backend backends[N_BY_HAND];
    tni_backend *list[N_BY_HAND];
    tni_device devices[N_BY_HAND][2];
    tn_device handles[N_BY_HAND][2];
    tni_plugin plugin;
    tni_placed placed;
    tni_types types;
} hand;

static tn_status hand_supports(tn_device *d, const tn_call *call, tn_verdict *v)
{
    char wanted[80];
    snprintf(wanted, sizeof wanted, "|%s|", call->op->name);
    d->asked++;
    d->forward = call->forward;
    if (d->fails) return TN_E_INTERNAL;
    v->reason = TN_NO_OP;
    snprintf(v->text, sizeof v->text, "no kernel for %s", call->op->name);
    if (!d->ops || !strstr(d->ops, wanted)) return TN_OK;
    v->reason = TN_NO_DTYPE;
    snprintf(v->text, sizeof v->text, "float32 only");
    if (d->f32_only && call->n_in && call->in[0]->dtype != TN_F32) return TN_OK;
    v->ok = 1;
    return TN_OK;
}

static const tn_layout hand_tile = {.domain = "tile", .id = 7, .bytes = 4096};

static tn_status hand_layouts(tn_device *d, const tn_call *call, tn_layout *in, tn_layout *out)
{
    const char *op = call->op->name;
    const tn_layout tile = {d->domain ? d->domain : hand_tile.domain, 7, d->dense ? 128 : 4096};
    if (d->bad_layouts != TN_OK) return d->bad_layouts;
    if (strcmp(op, "relu") == 0 || strcmp(op, "sigmoid") == 0) in[0] = out[0] = tile;
    if (d->shy && !(call->out[0]->flags & TN_VALUE_STAYS)) in[0] = out[0] = (tn_layout){NULL, 0, 0};
    if (strcmp(op, "elemwise_add") == 0) out[0] = in[0];
    if (strcmp(op, "FullyConnected") == 0) in[1] = tile;
    if (strcmp(op, "Dropout") == 0) in[0] = (tn_layout){NULL, 0, 0};
    for (uint32_t i = 0; i < call->n_in; i++) // also what the core does not give
        if (strcmp(op, "states") == 0) in[i] = tile;
    if (d->empty_layouts) in[0].bytes = 0;
    return TN_OK;
}

static tn_status hand_reorder(tn_device *d, const tn_value_info *src, const tn_value_info *dst,
                              tn_kernel **out, tn_kernel_info *info)
{
    (void)d, (void)src, (void)dst, (void)out, (void)info;
    return TN_E_UNSUPPORTED; // nothing runs in these tests
}

static tn_status hand_open(void *plugin, const char *id, tn_device **out)
{
    (void)plugin, (void)id, (void)out;
    return TN_E_UNAVAILABLE;
}

static inline void hand_backend(int which, const char *name, int32_t rank, uint32_t n)
{
    static const char *const ids[] = {"0", "1"};
    static const char *const uris[] = {"far:0", "far:1"};
    tni_backend *b = &hand.backends[which];
    b->api = (tn_backend_api){.struct_size = sizeof b->api,
                              .name = name,
                              .rank = rank,
                              .open = hand_open,
                              .supports = hand_supports};
    b->entry = (tn_backend_entry){.size = sizeof b->entry, .name = name, .rank = rank};
    b->plugin = &hand.plugin;
    b->devices = hand.devices[which];
    b->n_devices = n;
    for (uint32_t i = 0; i < n; i++) {
        tni_device *d = &b->devices[i];
        *d = (tni_device){.backend = b, .handle = &hand.handles[which][i]};
        d->info = (tn_device_info){.struct_size = sizeof d->info,
                                   .id = ids[i],
                                   .kind = which == FAR ? (i ? "gpu" : "accelerator") : "cpu",
                                   .flags = which == FAR ? 0 : TN_DEV_HOST_MEMORY};
        d->uri = (char *)(n > 1 ? uris[i] : name);
    }
    hand.list[which] = b;
}

#define HAND_OPS "|relu|sigmoid|elemwise_add|FullyConnected|_copy|Dropout|states|"

// bench.g knows these backends only, the operators of its env, and `ops` (NULL: none more).
static inline void hand_begin(const tn_op_decl *const *ops)
{
    static const tn_op_decl *const none[] = {NULL};
    memset(&hand, 0, sizeof hand);
    hand.plugin = (tni_plugin){.id = UINT64_MAX, .name = "by_hand"};
    extra_ops(ops ? ops : none);
    hand_backend(ALPHA, "alpha", 20, 1);
    hand_backend(BETA, "beta", 10, 1);
    hand_backend(FAR, "far", 5, 2);
    hand_backend(TILE, "tile", 4, 1);
    hand_backend(BROKEN, "broken", 30, 1);
    hand_backend(QUIET, "quiet", -200, 1);
    hand.backends[TILE].api.layouts = hand_layouts;
    hand.backends[TILE].api.prepare_reorder = hand_reorder;
    hand.devices[BROKEN][0].handle = NULL;
    for (int i = 0; i < N_BY_HAND; i++)
        hand.handles[i][0].ops = hand.handles[i][1].ops = i == ALPHA ? "|relu|" : HAND_OPS;
    extra_registry.backends = hand.list;
    extra_registry.n_backends = N_BY_HAND;
}

static inline void hand_forget(void)
{
    tni_placed_free(&hand.placed);
    tni_types_free(&hand.types);
}

static inline void hand_end(void)
{
    hand_forget();
    free(hand.devices[BROKEN][0].open_error);
    extra_ops_free();
}

// Infers and places bench.g, whose first n_forward nodes are forward nodes (0: all).
static inline tn_status hand_place(uint32_t n_forward, const tni_place_options *options)
{
    tn_graph *g = bench.g;
    hand_forget();
    uint32_t *ids = calloc(g->n_nodes + 1, sizeof *ids);
    for (uint32_t i = 0; ids && i < g->n_nodes; i++) ids[i] = i + 1;
    tn_status s =
        ids && tni_types_init(&hand.types) && tni_types_grow(&hand.types, g) ? TN_OK : TN_E_NOMEM;
    if (s == TN_OK)
        s = tni_infer(g, &hand.types, ids, g->n_nodes, TNI_INFER_SHAPES | TNI_INFER_DTYPES);
    if (s == TN_OK)
        s = tni_place_graph(g, &hand.types, n_forward ? n_forward : (uint32_t)g->n_nodes, options,
                            &hand.placed);
    free(ids);
    return s;
}
#define PLACE(...) hand_place(0, &(tni_place_options){__VA_ARGS__})

// What was placed, in one line: "x relu0:alpha x_0_copy:host>far:0 y_0_reorder:tile".
static inline const char *hand_show(void)
{
    static tni_text t;
    const tni_placed *p = &hand.placed;
    t.n = 0;
    tni_text_add(&t, "");
    for (uint32_t id = 1; p->g && id <= p->g->n_nodes; id++) {
        const tni_node *n = tni_node_at(p->g, id);
        const tni_place *at = &p->at[id];
        tni_text_printf(&t, "%s%s", id > 1 ? " " : "", n->name);
        if (id == p->n_forward + 1 && id > 1) tni_text_add(&t, "(backward)");
        if (at->kind == TNI_VARIABLE && at->memory) tni_text_printf(&t, "@%s", at->memory->uri);
        if (at->kind == TNI_KERNEL || at->kind == TNI_REORDER)
            tni_text_printf(&t, ":%s", at->device->uri);
        if (at->kind == TNI_COPY) {
            const tni_device *from = p->at[n->in[0].node].memory;
            tni_text_printf(&t, ":%s>%s", from ? from->uri : "host",
                            at->memory ? at->memory->uri : "host");
        }
    }
    return t.s;
}

static inline tn_symbol hand_var(const char *name)
{
    return tn_variable(bench.g, name, .shape = TN_DIMS(4, 8), .dtype = TN_F32);
}

static inline tn_symbol hand_op(const char *op, const char *name, tn_symbol x)
{
    return tn_call(bench.g, op, .name = name, .inputs = TN_SYMS(x));
}

static inline tn_symbol hand_op2(const char *op, const char *name, tn_symbol x, tn_symbol y)
{
    return tn_call(bench.g, op, .name = name, .inputs = TN_SYMS(x, y));
}

static inline tni_entry hand_entry(tn_symbol s)
{
    return tni_symbol_entry(bench.g, s, "test");
}

#endif
