// core/passes/placement.c: compares a placement with the JSON report of an earlier one.
#include <jansson.h>

#include "core/passes/place.h"

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

// The next node from `id` on that runs a kernel; past the end if there is none.
static uint32_t next_kernel(const tni_placed *p, uint32_t id)
{
    while (id <= p->g->n_nodes && p->at[id].kind != TNI_KERNEL) id++;
    return id;
}

static tn_status differs(const tni_placed *p, uint32_t id, size_t i, const json_t *wanted,
                         tni_error *error)
{
    const tni_node *n = tni_node_at(p->g, id);
    const tni_place *at = &p->at[id];
    const char *name = text_of(wanted, "name"), *op = text_of(wanted, "op");
    const char *device = text_of(wanted, "device");
    if (!name || !op || !device)
        return tni_fail(error, TN_E_FORMAT, NULL,
                        "placement: node %zu lacks a text \"name\", \"op\" or \"device\"", i);
    if (strcmp(n->name, name) != 0 || strcmp(n->op->decl.name, op) != 0)
        return tni_fail(error, TN_E_INVALID, NULL,
                        "placement: node %zu: wanted %s (%s), got %s (%s): it is of another graph",
                        i, name, op, n->name, n->op->decl.name);
    if (strcmp(at->device->uri, device) == 0) return TN_OK;
    const tni_refusal *r = at->refusals;
    while (r && strcmp(r->device, device) != 0) r = r->next;
    return tni_fail(error, TN_E_INVALID, NULL, "placement: %s (%s): wanted %s, got %s%s%s%s",
                    n->name, n->op->decl.name, device, at->device->uri, r ? " (" : "",
                    r ? r->text : "", r ? ")" : "");
}

static tn_status compare(const tni_placed *p, const json_t *nodes, tni_error *error)
{
    uint32_t id = next_kernel(p, 1);
    const size_t n = json_array_size(nodes);
    for (size_t i = 0; i < n; i++, id = next_kernel(p, id + 1)) {
        const json_t *wanted = json_array_get(nodes, i);
        const char *name = text_of(wanted, "name");
        if (id > p->g->n_nodes)
            return tni_fail(error, TN_E_INVALID, NULL,
                            "placement: wanted %zu nodes, got %zu: %s is missing", n, i,
                            name ? name : "one");
        const tn_status s = differs(p, id, i, wanted, error);
        if (s != TN_OK) return s;
    }
    if (id <= p->g->n_nodes)
        return tni_fail(error, TN_E_INVALID, NULL, "placement: wanted %zu nodes, got more: %s", n,
                        tni_node_at(p->g, id)->name);
    return TN_OK;
}

tn_status tni_placement_check(const tni_placed *p, const char *json, tni_error *error)
{
    json_error_t where;
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &where);
    if (!root)
        return tni_fail(error, TN_E_FORMAT, NULL, "placement: byte %d of the JSON: %s",
                        where.position, where.text);
    const json_t *version = json_object_get(root, "version");
    const json_t *nodes = json_object_get(root, "nodes");
    tn_status s;
    if (!json_is_integer(version) || json_integer_value(version) != 1)
        s = tni_fail(error, TN_E_FORMAT, NULL, "placement: the JSON is no report of version 1");
    else if (!json_is_array(nodes))
        s = tni_fail(error, TN_E_FORMAT, NULL, "placement: the JSON has no list \"nodes\"");
    else
        s = compare(p, nodes, error);
    json_decref(root);
    return s;
}
