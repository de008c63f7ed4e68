// core/exec/access.c: what an executor gives out and takes: tensors, names, parameters, seed.
#include "core/exec/exec.h"

tn_status tn_exec_status(const tn_exec *e)
{
    return e ? e->error.status : TN_E_INVALID;
}

const char *tn_exec_error(const tn_exec *e)
{
    return e ? tni_error_text(&e->error) : "no executor: the bind failed";
}

void tn_exec_forgive(tn_exec *e)
{
    if (e) tni_error_clear(&e->error);
}

tn_status tni_exec_unknown(tn_exec *e, const char *where, const char *what, const char *name,
                           const tni_names *a, const tni_names *b)
{
    tni_text text = {0};
    const size_t n = a->n + (b ? b->n : 0);
    const char **all = calloc(n + 1, sizeof *all);
    for (size_t i = 0; all && i < n; i++) all[i] = i < a->n ? a->v[i] : b->v[i - a->n];
    if (all) tni_text_nearest(&text, name, all, n);
    const tn_status status =
        tni_fail(&e->error, TN_E_NOT_FOUND, NULL, "%s: no %s has the name \"%s\"%s", where, what,
                 name, text.s ? text.s : "");
    tni_text_free(&text);
    free(all);
    return status;
}

// ------------------------------------------------------------------ tensors

static tn_tensor *find(tn_exec *e, const char *where, const char *what, const tni_names *names,
                       tn_tensor **list, const char *name)
{
    uint32_t i = 0;
    if (name && tni_map_get(&names->index, name, &i)) return list[i];
    tni_exec_unknown(e, where, what, name ? name : "", names, NULL);
    return NULL;
}

tn_tensor *tn_exec_arg(tn_exec *e, const char *name)
{
    if (!e) return NULL;
    return find(e, "tn_exec_arg", "argument", &e->args, e->arg, name);
}

tn_tensor *tn_exec_grad(tn_exec *e, const char *name)
{
    if (!e) return NULL;
    return find(e, "tn_exec_grad", "argument", &e->args, e->grad, name);
}

tn_tensor *tn_exec_aux(tn_exec *e, const char *name)
{
    if (!e) return NULL;
    return find(e, "tn_exec_aux", "auxiliary state", &e->auxs, e->aux, name);
}

bool tni_output_ambiguous(const tn_exec *e, tni_error *error, const char *where, uint32_t i)
{
    if (!e->twin[i]) return false;
    tni_fail(error, TN_E_EXISTS, NULL, "%s: outputs %u and %u are two values of the name \"%s\"",
             where, i, e->twin[i] - 1, e->outs.v[i]);
    return true;
}

tn_tensor *tn_exec_out(tn_exec *e, const char *name)
{
    if (!e) return NULL;
    tn_tensor *first = find(e, "tn_exec_out", "output", &e->outs, e->out, name);
    uint32_t at = 0;
    if (!first || !tni_map_get(&e->outs.index, name, &at)) return first;
    return tni_output_ambiguous(e, &e->error, "tn_exec_out", at) ? NULL : first;
}

size_t tn_exec_num_outputs(const tn_exec *e)
{
    return e ? e->outs.n : 0;
}

tn_tensor *tn_exec_output(tn_exec *e, size_t i)
{
    return e && i < e->outs.n ? e->out[i] : NULL;
}

static tn_names names_of(const tni_names *names)
{
    return names ? (tn_names){names->n, names->v} : (tn_names){0, NULL};
}

tn_names tn_exec_arguments(const tn_exec *e)
{
    return names_of(e ? &e->args : NULL);
}

tn_names tn_exec_auxiliary_states(const tn_exec *e)
{
    return names_of(e ? &e->auxs : NULL);
}

tn_names tn_exec_outputs(const tn_exec *e)
{
    return names_of(e ? &e->outs : NULL);
}

bool tn_exec_is_loss(const tn_exec *e, size_t i)
{
    return e && i < e->outs.n && e->is_loss[i];
}

// ------------------------------------------------------------------ setting

// The argument or state of a name, which may begin "arg:" or "aux:"; NULL: none.
static tn_tensor *target(const tn_exec *e, const char *name)
{
    uint32_t i = 0;
    const bool arg = strncmp(name, "arg:", 4) == 0, aux = strncmp(name, "aux:", 4) == 0;
    const char *rest = arg || aux ? name + 4 : name;
    if (!aux && tni_map_get(&e->args.index, rest, &i)) return e->arg[i];
    if (!arg && tni_map_get(&e->auxs.index, rest, &i)) return e->aux[i];
    return NULL;
}

static tn_status check_value(tn_exec *e, const char *where, const char *name, const tn_tensor *to,
                             const tn_tensor *src)
{
    if (!src) return tni_fail(&e->error, TN_E_INVALID, NULL, "%s: %s: no tensor", where, name);
    bool equal = src->shape.ndim == to->shape.ndim;
    for (int32_t d = 0; equal && d < to->shape.ndim; d++)
        equal = src->shape.dim[d] == to->shape.dim[d];
    if (equal) return TN_OK;
    tni_text text = {0};
    tni_text_shape(&text, &src->shape);
    tni_text_printf(&text, ", wanted ");
    tni_text_shape(&text, &to->shape);
    const tn_status status = tni_fail(&e->error, TN_E_SHAPE, NULL, "%s: %s: shape %s", where, name,
                                      text.s ? text.s : "?");
    tni_text_free(&text);
    return status;
}

// Constant rows have to run again if the tensor is that of a constant.
static void note_change(tn_exec *e, const tn_tensor *to)
{
    for (size_t i = 0; e->inference && e->is_fresh && i < e->args.n + e->auxs.n; i++)
        if ((i < e->args.n ? e->arg[i] : e->aux[i - e->args.n]) == to && e->constant[i])
            e->is_fresh = false;
}

static tn_status copy_value(tn_exec *e, const char *where, const char *name, tn_tensor *to,
                            tn_tensor *src)
{
    const tn_status status = tn_tensor_copy(to, src);
    if (status) tni_fail(&e->error, status, NULL, "%s: %s: %s", where, name, tn_env_error(e->env));
    return status;
}

tn_status tn_exec_set(tn_exec *e, const char *name, tn_tensor *src)
{
    if (!e) return TN_E_INVALID;
    tn_tensor *to = name ? target(e, name) : NULL;
    if (!to)
        return tni_exec_unknown(e, "tn_exec_set", "argument or state", name ? name : "", &e->args,
                                &e->auxs);
    const tn_status status = check_value(e, "tn_exec_set", name, to, src);
    note_change(e, to);
    return status ? status : copy_value(e, "tn_exec_set", name, to, src);
}

tn_status tn_exec_set_all(tn_exec *e, tn_tensors values, bool allow_extra)
{
    const char *where = "tn_exec_set_all";
    tn_status status = TN_OK;
    if (!e) return TN_E_INVALID;
    if (values.n && !values.v)
        return tni_fail(&e->error, TN_E_INVALID, NULL, "%s: %zu values, and no list", where,
                        values.n);
    for (size_t i = 0; !status && i < values.n; i++) {
        const char *name = values.v[i].name;
        const tn_tensor *to = name ? target(e, name) : NULL;
        if (to)
            status = check_value(e, where, name, to, values.v[i].tensor);
        else if (!allow_extra)
            status = tni_exec_unknown(e, where, "argument or state", name ? name : "", &e->args,
                                      &e->auxs);
    }
    for (size_t i = 0; !status && i < values.n; i++) {
        tn_tensor *to = values.v[i].name ? target(e, values.v[i].name) : NULL;
        if (to) status = copy_value(e, where, values.v[i].name, to, values.v[i].tensor);
        note_change(e, to);
    }
    return status;
}

void tn_exec_refresh(tn_exec *e)
{
    if (e) e->is_fresh = false;
}

void tn_exec_seed(tn_exec *e, uint64_t seed)
{
    if (!e) return;
    e->seed = seed ? seed : 1;
    e->runs = 0;
}

tn_memory_report tn_exec_memory(const tn_exec *e)
{
    return e ? e->memory : (tn_memory_report){0};
}
