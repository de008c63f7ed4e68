// core/passes/early.c: copies between memories begin as early as they can.
//
// A device with a queue works on its own while the host goes on, in the order in which it was told.
//   to a device: right behind the node that made the value, so that the bytes travel while the host
//     does what comes next;
//   from a device whose downloads only begin (download_begin): likewise. The reader waits.
//   from another device: before the next node that is put into its queue, or before the reader if
//     that comes first. A download waits for everything in the queue: so it does not wait for what
//     the reader does not need, and the device has work again while the reader runs.
// Only inside of forward, and of backward: at the end of each all queues are waited for anyway.
#include "core/passes/place.h"

static tni_device *memory_of(const tni_joiner *j, uint32_t node)
{
    return tni_node_at(j->old.g, node)->op ? j->old.at[node].memory : j->homes[node];
}

static bool same_phase(const tni_joiner *j, uint32_t a, uint32_t b)
{
    return (a > j->old.n_forward) == (b > j->old.n_forward);
}

// Notes where the inputs of a node will be wanted, if that is elsewhere.
static void note_wants(tni_joiner *j, uint32_t id)
{
    const tni_node *n = tni_node_at(j->old.g, id);
    for (uint32_t i = 0; i < n->n_in; i++) {
        const uint32_t from = n->in[i].node, v = tni_value(j->old.g, n->in[i]);
        const uint32_t flags = tni_port_flags(n, i);
        if (flags & TN_PORT_SHAPE_ONLY || !same_phase(j, from, id)) continue;
        if (j->wanted[v] == &tni_home_auto && memory_of(j, from) != j->old.at[id].memory)
            j->wanted[v] = j->old.at[id].memory;
    }
}

// What a state is brought to before it is written would be out of date.
static void leave_states(tni_joiner *j, uint32_t id)
{
    const tni_node *n = tni_node_at(j->old.g, id);
    for (uint32_t i = 0; i < n->n_in; i++)
        if (tni_port_flags(n, i) & TN_PORT_AUX)
            j->wanted[tni_value(j->old.g, n->in[i])] = &tni_home_auto;
}

bool tni_early_begin(tni_joiner *j)
{
    const tn_graph *g = j->old.g;
    const size_t values = (size_t)g->n_values + 1;
    j->wanted = malloc(values * sizeof(tni_device *));
    if (!j->wanted) return false;
    for (size_t v = 0; v < values; v++) j->wanted[v] = &tni_home_auto;
    for (uint32_t id = 1; id <= g->n_nodes; id++)
        if (tni_node_at(g, id)->op) note_wants(j, id);
    for (uint32_t id = 1; id <= g->n_nodes; id++)
        if (tni_node_at(g, id)->op) leave_states(j, id);
    return true;
}

static tn_status bring(tni_joiner *j, uint32_t v)
{
    const tni_want want = {.memory = j->wanted[v], .device = j->wanted[v]};
    return tni_bring(j, v, &want).node ? TN_OK : j->p->src->error.status;
}

tn_status tni_early_made(tni_joiner *j, uint32_t id)
{
    const tni_node *n = tni_node_at(j->old.g, id);
    tn_status s = TN_OK;
    for (uint32_t v = n->value0; v < n->value0 + n->n_out && s == TN_OK; v++) {
        void *pending = j->pending;
        if (j->wanted[v] == &tni_home_auto) continue;
        const tni_device *memory = memory_of(j, id);
        if (!memory || (n->op && memory->backend->api.download_begin)) {
            s = bring(j, v);
        } else if (n->op) {
            if (!tni_grow(&pending, &j->pending_room, j->n_pending + 1, sizeof *j->pending))
                return tni_place_nomem(j->p);
            j->pending = pending;
            j->pending[j->n_pending++] = (tni_errand){v, memory_of(j, id)};
        }
    }
    return s;
}

tn_status tni_early_before(tni_joiner *j, uint32_t id)
{
    const tni_device *memory = j->old.at[id].memory;
    size_t kept = 0;
    tn_status s = TN_OK;
    if (!memory) return TN_OK;
    for (size_t i = 0; i < j->n_pending; i++)
        if (j->pending[i].memory != memory)
            j->pending[kept++] = j->pending[i];
        else if (s == TN_OK)
            s = bring(j, j->pending[i].value);
    j->n_pending = kept;
    return s;
}
