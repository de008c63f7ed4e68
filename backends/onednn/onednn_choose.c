// backends/onednn/onednn_choose.c: which implementation, and with it which layouts, a call gets.
//
// oneDNN says what layouts an implementation likes when it is asked with "any". But what it likes
// best by itself differs from layer to layer, and a reorder between two layers costs more than what
// is won. So values are first offered as they arrive, then with channels last, which oneDNN's
// implementations for x86 take without loss, and only then is oneDNN free to choose; but first
// where a problem is known to gain more than reorders cost. The best kind of implementation wins,
// and of equals the first.
#include "onednn.h"

enum { ARRIVAL, LAST, ANY, WAYS };

static dnnl_memory_desc_t swap_axes(const dnnl_memory_desc_t *md, int64_t groups)
{
    dnnl_memory_desc_t out = *md;
    int order[DNNL_MAX_NDIMS];
    const int first = groups > 1;
    for (int i = 0; i < md->ndims; i++) order[i] = i;
    order[first] = first + 1;
    order[first + 1] = first;
    if (md->format_kind == dnnl_format_kind_any) {
        out.dims[first] = md->dims[first + 1];
        out.dims[first + 1] = md->dims[first];
        out.padded_dims[first] = md->padded_dims[first + 1];
        out.padded_dims[first + 1] = md->padded_dims[first];
    } else if (dnnl_memory_desc_permute_axes(&out, md, order) != dnnl_success) {
        return (dnnl_memory_desc_t){0};
    }
    return out;
}

// Data that arrives as bfloat16 stays so.
static bool is_narrow(const od_problem *p)
{
    if (p->narrow) return true;
    for (int i = 0; i < p->n; i++)
        if (!p->v[i].out && p->v[i].role == OD_ACT && od_is_narrow(&p->v[i].info->layout))
            return true;
    return false;
}

// How value v is offered.
static dnnl_memory_desc_t offer(const od_problem *p, const od_value *v, int way)
{
    dnnl_memory_desc_t md;
    const int64_t groups = v->role == OD_WEIGHT ? p->groups : 0;
    if (way == WAYS || v->role == OD_VECTOR)
        md = od_md(v->info, groups);
    else if (v->role == OD_WEIGHT || way == ANY || (way == ARRIVAL && v->out))
        md = od_any(v->info, groups);
    else
        md = way == LAST ? od_last(v->info) : od_md(v->info, 0);
    const bool gradient = v->role == OD_WEIGHT && v->out; // of weights: added up in float32
    if (way != WAYS && v->role != OD_VECTOR && !gradient && is_narrow(p)) md = od_narrow(&md);
    return v->swapped ? swap_axes(&md, groups) : md;
}

// In the axes of the value.
static dnnl_memory_desc_t native(const od_problem *p, const od_value *v,
                                 const dnnl_memory_desc_t *md)
{
    return v->swapped ? swap_axes(md, v->role == OD_WEIGHT ? p->groups : 0) : *md;
}

// Tries one way; false: there is no implementation, or its layouts have no number, or do not fit.
static bool try_way(const od_problem *p, int way, bool fit, od_choice *c)
{
    dnnl_memory_desc_t md[OD_VALUES];
    *c = (od_choice){0};
    for (int i = 0; i < p->n; i++) md[i] = offer(p, &p->v[i], way);
    const int before = od_enter(od_threads(p->call));
    c->pd = p->make(p, md, &c->hint);
    od_leave(before);
    bool ok = c->pd != NULL;
    for (int i = 0; ok && i < p->n; i++) {
        const od_value *v = &p->v[i];
        tn_layout l;
        c->md[i] = od_query(c->pd, v->query, v->query_index);
        const dnnl_memory_desc_t mine = native(p, v, &c->md[i]);
        ok = fit && way != WAYS ? od_fits(&mine, v->info) : od_layout(&mine, v->info, &l);
    }
    if (ok)
        c->score = od_score(c->pd);
    else
        od_choice_free(c);
    return ok;
}

void od_choice_free(od_choice *c)
{
    if (c->pd) dnnl_primitive_desc_destroy(c->pd);
    if (c->hint) dnnl_primitive_desc_destroy(c->hint);
    c->pd = c->hint = NULL;
}

void od_choose(const od_problem *p, bool fit, od_choice *c)
{
    bool arrives = !p->last_first; // is what arrives to be offered first?
    for (int i = 0; i < p->n; i++)
        if (!p->v[i].out && p->v[i].role == OD_ACT && od_is_ours(&p->v[i].info->layout))
            arrives = true;
    static const int orders[3][WAYS] = {
        {LAST, ANY, ARRIVAL}, {ARRIVAL, LAST, ANY}, {ANY, ARRIVAL, LAST}};
    const int *order = orders[p->any_first ? 2 : arrives];
    od_choice one;
    *c = (od_choice){.score = -1};
    for (int i = 0; i < WAYS && c->score < 2; i++) {
        if (!try_way(p, order[i], fit, &one)) continue;
        if (one.score > c->score) {
            od_choice_free(c);
            *c = one;
        } else {
            od_choice_free(&one);
        }
    }
    if (!c->pd && fit && try_way(p, WAYS, true, &one)) *c = one;
}

void od_wish(const od_problem *p, tn_layout *in, tn_layout *out)
{
    od_choice c;
    od_choose(p, false, &c);
    for (uint32_t i = 0; i < p->call->n_in; i++) in[i] = (tn_layout){NULL, 0, 0};
    for (int i = 0; c.pd && i < p->n; i++) {
        const od_value *v = &p->v[i];
        const dnnl_memory_desc_t mine = native(p, v, &c.md[i]);
        od_layout(&mine, v->info, v->out ? &out[v->index] : &in[v->index]);
    }
    od_choice_free(&c);
}
