// core/exec/rebind.c: an executor of the same symbol for other shapes.
#include "core/exec/exec.h"

// What the new executor is bound with; lists are by argument, then state.
typedef struct rebind {
    tn_exec *e;
    tni_types types;
    tn_named_dims *shapes;
    tn_named_dtype *dtypes;
    tn_named_tensor *args, *auxs, *grads, *heads;
    tn_named_req *reqs;
    tn_bind_options o;
} rebind;

static const char *name_of(const tn_exec *e, size_t var)
{
    return var < e->args.n ? e->args.v[var] : e->auxs.v[var - e->args.n];
}

static tn_tensor *tensor_of(const tn_exec *e, size_t var)
{
    return var < e->args.n ? e->arg[var] : e->aux[var - e->args.n];
}

static tn_status fail(tn_exec *e, tn_status status, const char *what)
{
    return tni_fail(&e->error, status, NULL, "reshape: %s", what);
}

// Errors stay in the private graph.
static tn_status infer_types(const tn_exec *e, tni_types *types)
{
    uint32_t *nodes = calloc((size_t)e->n_source + 1, sizeof *nodes);
    if (!nodes) return TN_E_NOMEM;
    for (uint32_t i = 0; i < e->n_source; i++) nodes[i] = i + 1;
    const tn_status status =
        tni_infer(e->source, types, nodes, e->n_source, TNI_INFER_SHAPES | TNI_INFER_DTYPES);
    free(nodes);
    return status;
}

static tn_status infer(rebind *r)
{
    tn_exec *e = r->e;
    const tn_status status = infer_types(e, &r->types);
    const char *text = tni_error_text(&e->source->error);
    if (status) fail(e, status, *text ? text : "out of memory");
    tni_error_clear(&e->source->error);
    return status;
}

static tn_status merge_given(rebind *r, tn_shapes shapes)
{
    tn_exec *e = r->e;
    if (shapes.n && !shapes.v) return fail(e, TN_E_INVALID, "shapes are counted, and not given");
    for (size_t i = 0; i < shapes.n; i++) {
        const tn_named_dims *in = &shapes.v[i];
        tn_shape shape = {.ndim = (int32_t)in->dims.ndim};
        uint32_t var = 0;
        const bool arg = in->name && tni_map_get(&e->args.index, in->name, &var);
        if (!arg && (!in->name || !tni_map_get(&e->auxs.index, in->name, &var)))
            return tni_exec_unknown(e, "reshape", "argument or state", in->name ? in->name : "",
                                    &e->args, &e->auxs);
        if (!in->dims.dim || in->dims.ndim > TN_MAX_NDIM)
            return tni_fail(&e->error, TN_E_INVALID, NULL,
                            "reshape: %s: wanted a shape of at most %d axes", in->name,
                            TN_MAX_NDIM);
        memcpy(shape.dim, in->dims.dim, in->dims.ndim * sizeof *shape.dim);
        const uint32_t value = tni_value(e->source, e->vars[arg ? var : e->args.n + var]);
        const tn_status status = tni_types_merge_shape(&r->types, value, &shape);
        if (status)
            return tni_fail(&e->error, status, NULL, "reshape: %s: two different shapes", in->name);
    }
    return TN_OK;
}

// Inputs that the new shapes do not determine keep their old ones.
static tn_status merge_old(rebind *r)
{
    const tn_exec *e = r->e;
    for (size_t i = 0; i < e->args.n + e->auxs.n; i++) {
        const uint32_t value = tni_value(e->source, e->vars[i]);
        if (tn_shape_size(tni_types_shape(&r->types, value)) >= 0) continue;
        if (tni_types_merge_shape(&r->types, value, &tensor_of(e, i)->shape))
            return tni_fail(&r->e->error, TN_E_SHAPE, NULL,
                            "reshape: %s: its new shape is not given, and its old one does not fit",
                            name_of(e, i));
    }
    return TN_OK;
}

static bool same_shape(const tn_shape *a, const tn_shape *b)
{
    bool equal = a->ndim == b->ndim;
    for (int32_t d = 0; equal && d < a->ndim; d++) equal = a->dim[d] == b->dim[d];
    return equal;
}

// What is certain before inference.
static tn_status start(rebind *r, tn_shapes shapes)
{
    const tn_exec *e = r->e;
    if (!tni_types_init(&r->types) || !tni_types_grow(&r->types, e->source))
        return fail(r->e, TN_E_NOMEM, "out of memory");
    for (size_t i = 0; i < e->args.n + e->auxs.n; i++) {
        const uint32_t value = tni_value(e->source, e->vars[i]);
        tni_types_merge_dtype(&r->types, value, tensor_of(e, i)->dtype);
    }
    return merge_given(r, shapes);
}

// A rule may have preferred a shape where others fit too: labels (n) for data (n, 1). Old shapes
// of as many elements, and those of inputs that are not determined, stay if all of them fit.
static tn_status prefer_old(rebind *r, tn_shapes shapes)
{
    tn_exec *e = r->e;
    rebind old = {.e = e};
    tn_status status = start(&old, shapes);
    size_t n = 0;
    for (size_t i = 0; !status && i < e->args.n + e->auxs.n; i++) {
        const uint32_t value = tni_value(e->source, e->vars[i]);
        const tn_shape *was = &tensor_of(e, i)->shape, *now = tni_types_shape(&r->types, value);
        const int64_t size = tn_shape_size(now);
        if (same_shape(was, now) || (size >= 0 && size != tn_shape_size(was))) continue;
        n += tni_types_merge_shape(&old.types, value, was) == TN_OK; // else: given
    }
    if (!status && n && infer_types(e, &old.types) == TN_OK) {
        const tni_types types = r->types;
        r->types = old.types;
        old.types = types;
    }
    tni_error_clear(&e->source->error);
    tni_types_free(&old.types);
    return status;
}

// True, and all old shapes in r->types, if what is given are the old shapes too.
static bool nothing_changes(rebind *r)
{
    const tn_exec *e = r->e;
    bool same = true;
    for (size_t i = 0; same && i < e->args.n + e->auxs.n; i++)
        same = tni_types_merge_shape(&r->types, tni_value(e->source, e->vars[i]),
                                     &tensor_of(e, i)->shape) == TN_OK;
    return same;
}

static tn_status find_shapes(rebind *r, tn_shapes shapes)
{
    tn_status status = start(r, shapes);
    if (!status && nothing_changes(r)) return infer(r);
    tni_types_free(&r->types);
    if (!status) status = start(r, shapes);
    if (!status) status = infer(r);
    if (!status) status = prefer_old(r, shapes);
    if (!status) status = merge_old(r);
    return status ? status : infer(r);
}

static bool make_lists(rebind *r)
{
    const size_t n = r->e->args.n + r->e->auxs.n + 1;
    r->shapes = calloc(n, sizeof *r->shapes);
    r->dtypes = calloc(n, sizeof *r->dtypes);
    r->args = calloc(n, sizeof *r->args);
    r->auxs = calloc(n, sizeof *r->auxs);
    r->grads = calloc(n, sizeof *r->grads);
    r->reqs = calloc(n, sizeof *r->reqs);
    r->heads = calloc(r->e->outs.n + 1, sizeof *r->heads);
    return r->shapes && r->dtypes && r->args && r->auxs && r->grads && r->reqs && r->heads;
}

// Tensors whose shape stays are shared; the others get the new shape.
static void fill_lists(rebind *r)
{
    const tn_exec *e = r->e;
    tn_bind_options *o = &r->o;
    size_t n_args = 0, n_auxs = 0, n_grads = 0;
    const size_t n = e->args.n + e->auxs.n;
    for (size_t i = 0; i < n; i++) {
        const tn_shape *shape = tni_types_shape(&r->types, tni_value(e->source, e->vars[i]));
        tn_tensor *t = tensor_of(e, i);
        const char *name = name_of(e, i);
        const bool stays = same_shape(&t->shape, shape);
        r->shapes[i] = (tn_named_dims){name, {(size_t)shape->ndim, shape->dim}};
        r->dtypes[i] = (tn_named_dtype){name, t->dtype};
        if (i < e->args.n) r->reqs[i] = (tn_named_req){name, (tn_grad_req)e->req[i]};
        if (!stays) continue;
        if (i >= e->args.n) r->auxs[n_auxs++] = (tn_named_tensor){name, t};
        if (i < e->args.n) r->args[n_args++] = (tn_named_tensor){name, t};
        if (i < e->args.n && e->grad[i]) r->grads[n_grads++] = (tn_named_tensor){name, e->grad[i]};
    }
    for (size_t i = 0; i < e->outs.n; i++) {
        const tn_shape *shape = tni_types_shape(&r->types, tni_value(e->source, e->heads[i]));
        if (e->head_given[i] && same_shape(&e->head[i]->shape, shape))
            r->heads[o->heads.n++] = (tn_named_tensor){e->outs.v[i], e->head[i]};
    }
    o->heads.v = r->heads;
    o->shapes = (tn_shapes){n, r->shapes};
    o->dtypes = (tn_dtypes){n, r->dtypes};
    o->args = (tn_tensors){n_args, r->args};
    o->auxs = (tn_tensors){n_auxs, r->auxs};
    o->grads = (tn_tensors){n_grads, r->grads};
    o->grad_reqs = (tn_grad_reqs){e->args.n, r->reqs};
}

static void rebind_free(rebind *r)
{
    tni_types_free(&r->types);
    free(r->shapes);
    free(r->dtypes);
    free(r->args);
    free(r->auxs);
    free(r->grads);
    free(r->reqs);
    free(r->heads);
}

tn_exec *tn_exec_reshape(tn_exec *e, tn_shapes shapes)
{
    if (!e) return NULL;
    rebind r = {.e = e,
                .o = {.size = sizeof(tn_bind_options),
                      .backends = e->backends,
                      .groups = e->groups,
                      .share = e,
                      .seed = e->seed,
                      .threads = (int32_t)e->workers,
                      .flags = e->flags,
                      .inputs = e->inputs,
                      .compute = e->compute}};
    tn_exec *made = NULL;
    if (e->error.status) return NULL;
    tn_status status = find_shapes(&r, shapes);
    if (!status && !make_lists(&r)) status = fail(e, TN_E_NOMEM, "out of memory");
    if (!status) {
        fill_lists(&r);
        made = tni_bind_symbol(e->source, (tni_entries){e->outs.n, e->heads}, &r.o, false);
        if (!made) fail(e, e->source->error.status, tni_error_text(&e->source->error));
        tni_error_clear(&e->source->error);
    }
    rebind_free(&r);
    return made;
}
