// core/passes/fold.c: what an executor for inference need not compute: batch norms behind layers
// become part of their weights, dropouts are passed by.
//
//     BatchNorm(layer(x, w) + b) = layer(x, w s) + (b - mean) s + beta,
//     s = gamma / √(var + eps), for each output channel
//
// Reads a graph and writes another. The new weights are ordinary nodes; they depend on constants
// only, so an executor computes them once.
#include "core/passes/place.h"

typedef struct folder {
    const tn_graph *src;
    const tni_types *types;
    tni_folded *out;
    uint32_t *readers;  // by value of src; UINT32_MAX: it leaves
    uint32_t *norm_of;  // by node of src: the batch norm that a layer takes in; 0: none
    uint32_t *layer_of; // and the other way round
    tni_entry *in;      // inputs of the node at hand
    size_t in_room;
    size_t n_folded;
} folder;

// ------------------------------------------------------------------ parameters by name

static const void *param(const tni_node *n, const char *name)
{
    for (uint32_t i = 0; i < n->op->n_params; i++)
        if (strcmp(n->op->params[i].decl.name, name) == 0)
            return (const char *)n->params + n->op->params[i].decl.offset;
    return NULL;
}

static int32_t flag(const tni_node *n, const char *name)
{
    const int32_t *p = param(n, name);
    return p ? *p : 0;
}

static int64_t number(const tni_node *n, const char *name, int64_t otherwise)
{
    const int64_t *p = param(n, name);
    return p ? *p : otherwise;
}

static bool is(const tni_node *n, const char *op)
{
    return n->op && strcmp(n->op->decl.name, op) == 0;
}

// ------------------------------------------------------------------ which batch norms

// Where the output channels stand among the axes of a layer's weight; -1: it is no such layer.
static int32_t channel_axis(const tni_node *n)
{
    if (is(n, "Convolution") || is(n, "FullyConnected")) return 0;
    if (is(n, "Deconvolution") && number(n, "num_group", 1) == 1) return 1;
    return -1;
}

// Do both wish for the same place?
static bool same_place(const tni_node *a, const tni_node *b)
{
    static const char *const keys[] = {"__backend__", "__ctx_group__"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *x = tni_attr_find(a, keys[i]), *y = tni_attr_find(b, keys[i]);
        if (x != y && (!x || !y || strcmp(x, y) != 0)) return false;
    }
    return true;
}

// Its batch norm may be folded into layer c: nobody else sees the layer's result, channels stand
// on axis 1 of it.
static bool may_fold(const folder *f, const tni_node *norm, uint32_t c)
{
    const tni_node *layer = tni_node_at(f->src, c);
    const tn_shape *y = tni_types_shape(f->types, norm->value0);
    const tn_dtype dtype = f->types->dtype[norm->value0];
    if (channel_axis(layer) < 0 || f->readers[layer->value0] != 1) return false;
    if (f->readers[norm->value0 + 1] || f->readers[norm->value0 + 2]) return false;
    if (!same_place(layer, norm)) return false;
    if (dtype != TN_F32 && dtype != TN_F64) return false;
    if (is(layer, "FullyConnected") && y->ndim != 2) return false;
    const int64_t axis = number(norm, "axis", 1);
    return axis == 1 || axis + y->ndim == 1;
}

static bool is_dropout(const folder *f, const tni_node *n)
{
    return is(n, "Dropout") && flag(n, "mode") == 0 && !f->readers[n->value0 + 1];
}

static bool find(folder *f, const tni_entry *keep, size_t n_keep)
{
    const tn_graph *g = f->src;
    f->readers = calloc((size_t)g->n_values + 1, sizeof *f->readers);
    f->norm_of = calloc(g->n_nodes + 1, sizeof *f->norm_of);
    f->layer_of = calloc(g->n_nodes + 1, sizeof *f->layer_of);
    if (!f->readers || !f->norm_of || !f->layer_of) return false;
    for (uint32_t id = 1; id <= g->n_nodes; id++) {
        const tni_node *n = tni_node_at(g, id);
        for (uint32_t i = 0; i < n->n_in && !(n->flags & TNI_NODE_GROUP); i++)
            f->readers[tni_value(g, n->in[i])]++;
    }
    for (size_t i = 0; i < n_keep; i++) f->readers[tni_value(g, keep[i])] = UINT32_MAX;
    for (uint32_t id = 1; id <= g->n_nodes; id++) {
        const tni_node *n = tni_node_at(g, id);
        if (is_dropout(f, n)) f->n_folded++;
        if (!is(n, "BatchNorm") || n->in[0].out != 0 || !may_fold(f, n, n->in[0].node)) continue;
        f->norm_of[n->in[0].node] = id;
        f->layer_of[id] = n->in[0].node;
        f->n_folded++;
    }
    return true;
}

// ------------------------------------------------------------------ writing

static tni_entry value_of(const folder *f, tni_entry e)
{
    return f->out->values[tni_value(f->src, e)];
}

// The new node has the types of the old one's values, and stands for them.
static bool take_types(folder *f, uint32_t made, const tni_node *old)
{
    tni_folded *o = f->out;
    const uint32_t v = tni_node_at(o->g, made)->value0;
    if (!tni_types_grow(&o->types, o->g)) return false;
    for (uint32_t i = 0; i < old->n_out; i++) {
        const uint32_t u = old->value0 + i;
        if (tni_types_merge_shape(&o->types, v + i, tni_types_shape(f->types, u)) ||
            tni_types_merge_dtype(&o->types, v + i, f->types->dtype[u]))
            return false;
        o->values[u] = (tni_entry){made, i};
    }
    return true;
}

static bool write_copy(folder *f, uint32_t id)
{
    const tni_node *n = tni_node_at(f->src, id);
    void *in = f->in;
    if (!tni_grow(&in, &f->in_room, (size_t)n->n_in + 1, sizeof *f->in)) return false;
    f->in = in;
    for (uint32_t i = 0; i < n->n_in; i++) f->in[i] = value_of(f, n->in[i]);
    const tni_node_spec spec = {.op = n->op,
                                .name = n->name,
                                .params = n->params,
                                .in = f->in,
                                .n_in = n->n_in,
                                .attrs = n->attrs,
                                .file = n->file,
                                .line = n->line};
    const uint32_t made = tni_node_add(f->out->g, &spec);
    return made && take_types(f, made, n);
}

// A call for a batch norm's new weights. {0,0}: an error, in the graph.
static tni_entry call(folder *f, const tni_node *norm, const char *op, const char *params,
                      tni_entry a, tni_entry b)
{
    tn_graph *g = f->out->g;
    const tni_entry in[] = {a, b};
    if (g->error.status) return (tni_entry){0, 0};
    const char *name = tni_printf(&g->arena, "%s_fold", norm->name);
    return tni_build(g, &f->out->types, op, params, in, b.node ? 2 : 1, name, 0);
}

// s = gamma / √(var + eps)
static tni_entry scale_of(folder *f, const tni_node *norm)
{
    const tni_entry none = {0, 0};
    const double *eps = param(norm, "eps");
    char text[64], eps_text[TNI_NUMBER];
    snprintf(text, sizeof text, "scalar=%s", tni_number(eps_text, eps ? *eps : 0));
    const tni_entry var = value_of(f, norm->in[4]);
    const tni_entry s =
        call(f, norm, "rsqrt", NULL, call(f, norm, "_plus_scalar", text, var, none), none);
    return flag(norm, "fix_gamma") ? s : call(f, norm, "_mul", NULL, s, value_of(f, norm->in[1]));
}

// w s, with s along the axis of the output channels.
static tni_entry weight_of(folder *f, const tni_node *norm, const tni_node *layer, tni_entry s)
{
    const tni_entry w = value_of(f, layer->in[1]);
    const int32_t axis = channel_axis(layer);
    const int32_t ndim = tni_types_shape(f->types, tni_value(f->src, layer->in[1]))->ndim;
    char text[128] = "shape=(";
    for (int32_t i = 0; i < ndim; i++) strcat(text, i == axis ? "-1," : "1,");
    strcat(text, ")");
    const tni_entry none = {0, 0}, along = call(f, norm, "Reshape", text, s, none);
    return call(f, norm, "broadcast_mul", NULL, w, along);
}

// (b - mean) s + beta
static tni_entry bias_of(folder *f, const tni_node *norm, const tni_node *layer, tni_entry s)
{
    const tni_entry none = {0, 0}, mean = value_of(f, norm->in[3]);
    const tni_entry moved = layer->n_in > 2
                                ? call(f, norm, "_sub", NULL, value_of(f, layer->in[2]), mean)
                                : call(f, norm, "negative", NULL, mean, none);
    return call(f, norm, "elemwise_add", NULL, call(f, norm, "_mul", NULL, moved, s),
                value_of(f, norm->in[2]));
}

// Parameters of the layer, but with a bias.
static const void *with_bias(folder *f, const tni_node *layer)
{
    void *params = tni_params_copy(layer->op, &f->out->g->arena, layer->params);
    for (uint32_t i = 0; params && i < layer->op->n_params; i++)
        if (strcmp(layer->op->params[i].decl.name, "no_bias") == 0)
            memset((char *)params + layer->op->params[i].decl.offset, 0, sizeof(int32_t));
    return params;
}

static bool write_folded(folder *f, uint32_t id)
{
    const tni_node *norm = tni_node_at(f->src, id);
    const tni_node *layer = tni_node_at(f->src, f->layer_of[id]);
    const tni_entry s = scale_of(f, norm);
    const tni_entry in[] = {value_of(f, layer->in[0]), weight_of(f, norm, layer, s),
                            bias_of(f, norm, layer, s)};
    const tni_node_spec spec = {.op = layer->op,
                                .name = layer->name,
                                .params = with_bias(f, layer),
                                .in = in,
                                .n_in = 3,
                                .attrs = layer->attrs,
                                .file = layer->file,
                                .line = layer->line};
    if (f->out->g->error.status || !spec.params) return false;
    const uint32_t made = tni_node_add(f->out->g, &spec);
    const tni_node one = {.value0 = norm->value0, .n_out = 1};
    return made && take_types(f, made, &one);
}

static bool write_all(folder *f)
{
    bool ok = true;
    for (uint32_t id = 1; ok && id <= f->src->n_nodes; id++) {
        const tni_node *n = tni_node_at(f->src, id);
        if (n->flags & TNI_NODE_GROUP || f->norm_of[id]) continue;
        if (is_dropout(f, n))
            f->out->values[n->value0] = value_of(f, n->in[0]);
        else
            ok = f->layer_of[id] ? write_folded(f, id) : write_copy(f, id);
    }
    return ok;
}

// ------------------------------------------------------------------ the whole

static bool fold(folder *f, const tni_entry *keep, size_t n_keep)
{
    tni_folded *o = f->out;
    if (!find(f, keep, n_keep)) return false;
    if (f->n_folded == 0) return true;
    o->values = calloc((size_t)f->src->n_values + 1, sizeof *o->values);
    o->g = tni_graph_bare(f->src->env);
    if (!o->values || !o->g || !tni_types_init(&o->types)) return false;
    o->g->registry = f->src->registry;
    return write_all(f);
}

tn_status tni_fold(tn_graph *src, const tni_types *types, const tni_entry *keep, size_t n_keep,
                   tni_folded *out)
{
    *out = (tni_folded){0};
    folder f = {.src = src, .types = types, .out = out};
    const bool ok = fold(&f, keep, n_keep);
    free(f.readers);
    free(f.norm_of);
    free(f.layer_of);
    free(f.in);
    if (ok) return TN_OK;
    if (out->g && out->g->error.status)
        return tni_fail(&src->error, out->g->error.status, NULL, "%s",
                        tni_error_text(&out->g->error));
    return tni_graph_fail(src, TN_E_NOMEM, 0, "out of memory");
}

void tni_folded_free(tni_folded *f)
{
    tn_graph_free(f->g);
    tni_types_free(&f->types);
    free(f->values);
    *f = (tni_folded){0};
}
