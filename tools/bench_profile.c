// tools/bench_profile.c: time of each row of a network's runs, by implementation and by device, and
// as events in the form that Chrome's tracing and its like read.
#include <stdlib.h>
#include <string.h>

#include "tools/bench.h"

// What runs a network: rows of the network itself, then those of its updates.
typedef struct part {
    tn_exec *exec;
    const char *name;
} part;

static bool set(json_t *to, const char *key, json_t *value)
{
    return json_object_set_new(to, key, value) == 0;
}

// ------------------------------------------------------------------ sums

// Adds a row's milliseconds to the object of `list` whose member `key` is `value`, and whose
// member `also` is `too` (NULL: none).
static bool add_to(json_t *list, const char *key, const char *value, const char *also,
                   const char *too, double ms)
{
    json_t *at = NULL;
    size_t i;
    json_array_foreach(list, i, at)
    {
        const bool same = strcmp(json_string_value(json_object_get(at, key)), value) == 0;
        if (same && (!also || strcmp(json_string_value(json_object_get(at, also)), too) == 0))
            break;
    }
    if (i == json_array_size(list)) {
        at = json_pack("{s:s, s:f, s:i}", key, value, "ms", 0.0, "rows", 0);
        if (!at || json_array_append_new(list, at) != 0) return false;
        if (also && !set(at, also, json_string(too))) return false;
    }
    return set(at, "ms", json_real(json_real_value(json_object_get(at, "ms")) + ms)) &&
           set(at, "rows", json_integer(json_integer_value(json_object_get(at, "rows")) + 1));
}

static int by_ms(const void *a, const void *b)
{
    const double x = json_real_value(json_object_get(*(json_t *const *)a, "ms"));
    const double y = json_real_value(json_object_get(*(json_t *const *)b, "ms"));
    return (x < y) - (x > y);
}

// A new list of the same objects, the longest first, each with its share of sum. Drops `list`.
static json_t *ranked(json_t *list, double sum)
{
    const size_t n = json_array_size(list);
    json_t **at = calloc(n + 1, sizeof(json_t *)), *out = json_array();
    bool ok = at && out;
    for (size_t i = 0; ok && i < n; i++) {
        at[i] = json_array_get(list, i);
        const double ms = json_real_value(json_object_get(at[i], "ms"));
        ok = set(at[i], "share", json_real(sum > 0 ? ms / sum : 0.0));
    }
    if (ok) qsort(at, n, sizeof(json_t *), by_ms);
    for (size_t i = 0; ok && i < n; i++) ok = json_array_append(out, at[i]) == 0;
    free(at);
    json_decref(list);
    if (ok) return out;
    json_decref(out);
    return NULL;
}

// ------------------------------------------------------------------ rows

typedef struct lists {
    json_t *rows, *implementations, *devices, *events;
    double sum; // milliseconds of a step
    long steps;
    int pid;
} lists;

static bool add_event(lists *l, const tn_profile_row *r, const char *pass, int tid)
{
    if (!r->runs) return true;
    json_t *event = json_pack(
        "{s:s, s:s, s:s, s:f, s:f, s:i, s:i, s:{s:s, s:s, s:s, s:s, s:s}}", "name", r->name, "cat",
        r->op, "ph", "X", "ts", r->began * 1e6, "dur", r->last * 1e6, "pid", l->pid, "tid", tid,
        "args", "op", r->op, "fused", r->fused, "device", r->device, "impl", r->impl, "pass", pass);
    return event && json_array_append_new(l->events, event) == 0;
}

// Rows that run once for all are not part of a step's time.
static bool add_row(lists *l, const tn_profile_row *r, const char *pass, int tid)
{
    const double ms = r->once ? 0.0 : r->total / (double)l->steps * 1e3;
    const char *impl = *r->impl ? r->impl : r->op;
    json_t *row = json_pack(
        "{s:o, s:s, s:s, s:s, s:o, s:s, s:b, s:I, s:f, s:f}", "name", tool_json_text(r->name), "op",
        r->op, "fused", r->fused, "device", r->device, "impl", tool_json_text(r->impl), "pass",
        pass, "once", r->once, "runs", (json_int_t)r->runs, "ms", ms, "least_ms", r->least * 1e3);
    l->sum += ms;
    return row && json_array_append_new(l->rows, row) == 0 &&
           (r->once || (add_to(l->implementations, "impl", impl, "device", r->device, ms) &&
                        add_to(l->devices, "device", r->device, NULL, NULL, ms))) &&
           add_event(l, r, pass, tid);
}

static bool add_part(lists *l, const part *p, int tid)
{
    bool ok = true;
    for (size_t i = 0; ok; i++) {
        const tn_profile_row *r = tn_exec_profile_row(p->exec, i);
        if (!r) break;
        ok = add_row(l, r, p->name ? p->name : r->backward ? "backward" : "forward", tid);
    }
    return ok;
}

static bool add_title(lists *l, const char *kind, int tid, const char *text)
{
    json_t *title = json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "name", kind, "ph", "M", "pid",
                              l->pid, "tid", tid, "args", "name", text);
    return title && json_array_append_new(l->events, title) == 0;
}

// What a viewer calls the process and its threads.
static bool add_titles(lists *l, const bench_net *n)
{
    char text[128];
    snprintf(text, sizeof text, "%s %s, batch %lld", n->model->name,
             n->training ? "training" : "inference", (long long)n->batch);
    return add_title(l, "process_name", 1, text) && add_title(l, "thread_name", 1, "network") &&
           (!n->update || add_title(l, "thread_name", 2, "updates"));
}

// ------------------------------------------------------------------ runs

// Measured steps: as many as fit into a fourth of the time, at least two. Returns their wall time
// in seconds, negative after a message.
static double run(bench_net *n, long *steps)
{
    const double start = bench_now();
    for (*steps = 0; *steps < 2 || bench_now() - start < 0.25 * n->o->seconds; ++*steps)
        if (bench_net_step(n) != EXIT_OK) return -1.0;
    return bench_now() - start;
}

static bool keep(json_t *result, lists *l, double wall)
{
    json_t *rows = ranked(l->rows, l->sum), *implementations = ranked(l->implementations, l->sum);
    json_t *devices = ranked(l->devices, l->sum);
    return set(result, "profile_steps", json_integer(l->steps)) &&
           set(result, "profile_wall_ms", json_real(wall / (double)l->steps * 1e3)) &&
           set(result, "profile_sum_ms", json_real(l->sum)) && set(result, "profile", rows) &&
           set(result, "implementations", implementations) && set(result, "devices", devices) &&
           set(result, "trace", l->events);
}

bool bench_profile(bench_net *n, json_t *result, int pid)
{
    const part parts[] = {{n->exec, NULL}, {n->update, "update"}};
    lists l = {json_array(), json_array(), json_array(), json_array(), 0.0, 0, pid};
    bool ok = l.rows && l.implementations && l.devices && l.events && add_titles(&l, n);
    tn_exec_refresh(n->exec); // so that what runs once runs here, too
    for (size_t i = 0; i < 2; i++)
        if (parts[i].exec && tn_exec_profile(parts[i].exec, true) != TN_OK) ok = false;
    const double wall = run(n, &l.steps);
    for (size_t i = 0; ok && wall > 0 && i < 2; i++)
        if (parts[i].exec) ok = add_part(&l, &parts[i], (int)i + 1);
    if (wall > 0 && (!ok || !keep(result, &l, wall))) tool_fail("bench", "out of memory");
    return ok && wall > 0;
}
