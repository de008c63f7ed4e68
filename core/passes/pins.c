// core/passes/pins.c: which devices may run a node: the bind's list, a pin, or a group's list.
#include "core/passes/place.h"

static tni_candidates *set_add(tni_pins *p, tni_device **devices, size_t n, const char *who)
{
    void *sets = p->sets;
    if (!tni_grow(&sets, &p->capacity, p->n_sets + 1, sizeof *p->sets)) {
        free(devices);
        tni_graph_fail(p->g, TN_E_NOMEM, 0, "out of memory");
        return NULL;
    }
    p->sets = sets;
    p->sets[p->n_sets] = (tni_candidates){devices, n, who, (uint32_t)p->n_sets};
    return &p->sets[p->n_sets++];
}

tn_status tni_pins_init(tni_pins *p, tn_graph *g, const tni_place_options *options)
{
    size_t n;
    *p = (tni_pins){.g = g, .options = options};
    tni_device **devices = tni_devices_parse(g, options->backends, &n);
    if (!devices || !set_add(p, devices, n, NULL)) return g->error.status;
    return TN_OK;
}

void tni_pins_free(tni_pins *p)
{
    for (size_t i = 0; i < p->n_sets; i++) free(p->sets[i].devices);
    free(p->sets);
    tni_map_free(&p->backends);
    tni_map_free(&p->groups);
    tni_arena_free(&p->arena);
    *p = (tni_pins){0};
}

static tn_status fail_pin(const tni_pins *p, uint32_t node, const char *pin)
{
    const tni_candidates *all = &p->sets[0];
    tni_text list = {0};
    for (size_t i = 0; i < all->n; i++)
        tni_text_printf(&list, "%s%s", i ? ", " : "", all->devices[i]->uri);
    const tn_status s =
        tni_node_fail(p->g, TN_E_INVALID, node,
                      "__backend__ \"%s\" is not on the list of this bind, which is: %s", pin,
                      list.s ? list.s : "");
    tni_text_free(&list);
    return s;
}

// The devices of the bind's list that the pin names; with `others`, the rest of it behind them.
static tni_candidates *add_named(tni_pins *p, const char *pin, bool others)
{
    const tni_candidates all = p->sets[0];
    tni_device **devices = calloc(all.n + 1, sizeof(tni_device *));
    const char *who = tni_printf(&p->arena, "__backend__ \"%s\"", pin);
    size_t n = 0;
    if (!devices || !who) {
        free(devices);
        tni_graph_fail(p->g, TN_E_NOMEM, 0, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < all.n; i++)
        if (tni_device_is(all.devices[i], pin)) devices[n++] = all.devices[i];
    for (size_t i = 0; i < all.n && others; i++)
        if (!tni_device_is(all.devices[i], pin)) devices[n++] = all.devices[i];
    return set_add(p, devices, n, who);
}

static tni_candidates *add_pin(tni_pins *p, uint32_t node, const char *pin)
{
    const tni_candidates *of_gradients = add_named(p, pin, true);
    const uint32_t number = (uint32_t)p->n_sets - 1;
    tni_candidates *c = of_gradients ? add_named(p, pin, false) : NULL;
    if (!c) return NULL;
    c->gradients = number;
    if (c->n) return c;
    fail_pin(p, node, pin);
    return NULL;
}

static tn_status fail_group(const tni_pins *p, uint32_t node, const char *group)
{
    const tn_attrs map = p->options->groups;
    const char **names = calloc(map.n + 1, sizeof *names);
    tni_text near = {0};
    for (size_t i = 0; names && i < map.n; i++) names[i] = map.v[i].key;
    if (names) tni_text_nearest(&near, group, names, map.n);
    const tn_status s =
        tni_node_fail(p->g, TN_E_NOT_FOUND, node, "__ctx_group__ \"%s\" has no device%s", group,
                      near.s ? near.s : "");
    tni_text_free(&near);
    free(names);
    return s;
}

static tni_candidates *add_group(tni_pins *p, uint32_t node, const char *group)
{
    const tn_attrs map = p->options->groups;
    const char *who = tni_printf(&p->arena, "group \"%s\"", group);
    size_t n;
    for (size_t i = 0; i < map.n && who; i++) {
        if (strcmp(map.v[i].key, group) != 0) continue;
        tni_device **devices =
            tni_devices_read(p->g, who, map.v[i].value ? map.v[i].value : "", &n);
        return devices ? set_add(p, devices, n, who) : NULL;
    }
    if (!who)
        tni_graph_fail(p->g, TN_E_NOMEM, 0, "out of memory");
    else
        fail_group(p, node, group);
    return NULL;
}

typedef tni_candidates *(*add_fn)(tni_pins *p, uint32_t node, const char *text);

// The set of that text, made when it is first met.
static tn_status find(tni_pins *p, tni_map *map, const char *text, add_fn add, uint32_t node,
                      uint32_t *set)
{
    if (tni_map_get(map, text, set)) return TN_OK;
    const tni_candidates *made = add(p, node, text);
    if (!made) return p->g->error.status;
    *set = (uint32_t)(p->n_sets - 1);
    const char *key = tni_strdup(&p->arena, text);
    if (!key || !tni_map_put(map, key, *set))
        return tni_graph_fail(p->g, TN_E_NOMEM, 0, "out of memory");
    return TN_OK;
}

// Gradients have copies of the attributes of their forward nodes.
static bool has_pin_of_forward(const tni_pins *p, const tni_node *n, const char *pin)
{
    const tni_node *forward = n->forward ? tni_node_at(p->g, n->forward) : NULL;
    const char *its = forward && forward->attrs ? tni_attr_find(forward, "__backend__") : NULL;
    return its && strcmp(its, pin) == 0;
}

tn_status tni_pins_find(tni_pins *p, uint32_t node, uint32_t inherited, uint32_t *set)
{
    const tni_node *n = tni_node_at(p->g, node);
    *set = p->sets[inherited].gradients;
    if (!n->attrs) return TN_OK;
    const char *pin = tni_attr_find(n, "__backend__");
    if (pin && has_pin_of_forward(p, n, pin)) return TN_OK;
    if (pin) return find(p, &p->backends, pin, add_pin, node, set);
    const char *group = p->options->groups.n ? tni_attr_find(n, "__ctx_group__") : NULL;
    return group ? find(p, &p->groups, group, add_group, node, set) : TN_OK;
}
