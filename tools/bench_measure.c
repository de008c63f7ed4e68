// tools/bench_measure.c: how long steps take, how fast that is, and what memory they need.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "tools/bench.h"

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double bench_now(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

// Of all threads of this process, those that wait for work by spinning too.
static double cpu_now(void)
{
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

// ------------------------------------------------------------------ samples

enum { MOST_SAMPLES = 100000, LEAST_SAMPLES = 3 };

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_summarise(double *seconds, long n, bench_times *out)
{
    qsort(seconds, (size_t)n, sizeof *seconds, by_size);
    out->samples = n;
    out->median = n % 2 ? seconds[n / 2] : 0.5 * (seconds[n / 2 - 1] + seconds[n / 2]);
    out->min = seconds[0];
    out->max = seconds[n - 1];
}

// Seconds of a step after `count` of them in a row; negative: it failed.
static double time_steps(bench_net *n, long count)
{
    const double start = bench_now();
    for (long i = 0; i < count; i++)
        if (bench_net_step(n) != EXIT_OK) return -1.0;
    return (bench_now() - start) / (double)count;
}

// First runs allocate, fill caches and wake threads: a fifth of the time goes without being told.
// Returns the seconds of a step; negative: it failed.
static double warm_up(bench_net *n, double seconds)
{
    const double start = bench_now();
    double step = time_steps(n, 1);
    do {
        if (step >= 0) step = time_steps(n, 1);
    } while (step >= 0 && bench_now() - start < 0.2 * seconds);
    return step;
}

static bool sample(bench_net *n, bench_times *t)
{
    const bench_options *o = n->o;
    const long most = o->runs ? o->runs : MOST_SAMPLES;
    const double step = warm_up(n, o->seconds);
    double *seconds = calloc((size_t)most, sizeof *seconds);
    long count = 0;
    bool ok = seconds && step >= 0;
    if (!seconds) tool_fail("bench", "out of memory");
    // Samples of at least 50 µs, so that reading the clock does not count.
    t->inner = ok && step < 5e-5 ? (long)ceil(5e-5 / (step > 1e-7 ? step : 1e-7)) : 1;
    for (long i = 0; ok && i < most; i++) seconds[i] = 0.0; // touched before the heap is watched
    bench_heap_watch();
    const double start = bench_now(), used = cpu_now();
    while (ok && count < most) {
        seconds[count] = time_steps(n, t->inner);
        ok = seconds[count++] >= 0;
        if (!o->runs && count >= LEAST_SAMPLES && bench_now() - start >= o->seconds) break;
    }
    t->cpu = (cpu_now() - used) / (double)(count ? count * t->inner : 1);
    t->allocations = bench_heap_rest();
    if (ok) bench_summarise(seconds, count, t);
    free(seconds);
    return ok;
}

// ------------------------------------------------------------------ results

static bool set(json_t *to, const char *key, json_t *value)
{
    return json_object_set_new(to, key, value) == 0;
}

static json_t *real_or_null(double v)
{
    return v > 0 ? json_real(v) : json_null();
}

static bool add_times(json_t *to, const bench_net *n, const bench_times *t, double peak)
{
    const double rate = n->flops / t->median * 1e-9;
    return set(to, "samples", json_integer(t->samples)) &&
           set(to, "steps_a_sample", json_integer(t->inner)) &&
           set(to, "median_ms", json_real(t->median * 1e3)) &&
           set(to, "min_ms", json_real(t->min * 1e3)) &&
           set(to, "max_ms", json_real(t->max * 1e3)) &&
           set(to, "cpu_ms", json_real(t->cpu * 1e3)) &&
           set(to, "samples_per_s", json_real((double)n->batch / t->median)) &&
           set(to, "gflop", real_or_null(n->flops * 1e-9)) &&
           set(to, "gflop_per_s", real_or_null(rate)) &&
           set(to, "peak_gflop_per_s", real_or_null(peak)) &&
           set(to, "peak_share", real_or_null(peak > 0 ? rate / peak : 0)) &&
           set(to, "bind_ms", json_real(n->bind_seconds * 1e3));
}

// Of the network and of its updates together.
static bool add_memory(json_t *to, const bench_net *n, const bench_times *t)
{
    const tn_memory_report a = tn_exec_memory(n->exec), b = tn_exec_memory(n->update);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return set(to, "planned_bytes", json_integer((json_int_t)(a.planned + b.planned))) &&
           set(to, "lower_bound_bytes",
               json_integer((json_int_t)(a.lower_bound + b.lower_bound))) &&
           set(to, "naive_bytes", json_integer((json_int_t)(a.naive + b.naive))) &&
           set(to, "external_bytes", json_integer((json_int_t)a.external)) &&
           set(to, "peak_rss_bytes", json_integer((json_int_t)usage.ru_maxrss * 1024)) &&
           set(to, "allocations", t->allocations < 0 ? json_null() : json_integer(t->allocations));
}

// "blas,reference": the devices of a bind that nobody gave a list.
static json_t *usual_backends(tn_exec *e)
{
    const char *text = tn_exec_report_json(e);
    json_t *report = text ? json_loads(text, 0, NULL) : NULL, *one;
    char list[512] = "";
    size_t i;
    json_array_foreach(json_object_get(report, "devices"), i, one)
    {
        const size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", n ? "," : "", json_string_value(one));
    }
    json_decref(report);
    return json_string(list);
}

static json_t *head_of(const bench_net *n)
{
    const bench_options *o = n->o;
    const char *text = tn_exec_report_text(n->exec), *end = text;
    while (end && *end && *end != '\n') end++;
    json_t *backends = o->backends ? tool_json_text(o->backends) : usual_backends(n->exec);
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:o, s:I, s:o}", "workload", n->model->name, "mode",
                     n->training ? "training" : "inference", "batch", (json_int_t)n->batch, "dtype",
                     tn_dtype_name(o->dtype), "compute",
                     tn_dtype_name(o->compute ? o->compute : o->dtype), "backends", backends,
                     "threads", (json_int_t)tn_env_num_threads(n->env), "placement",
                     text ? json_stringn(text, (size_t)(end - text)) : json_null());
}

json_t *bench_measure(const bench_model *model, const bench_options *o, bool training,
                      int64_t batch, double peak, int pid)
{
    bench_net n = {.model = model, .o = o, .training = training, .batch = batch};
    bench_times t = {0};
    json_t *result = NULL;
    if (bench_net_bind(&n) == EXIT_OK && sample(&n, &t)) {
        result = head_of(&n);
        bool ok = result && add_times(result, &n, &t, peak) && add_memory(result, &n, &t);
        if (!ok) tool_fail("bench", "out of memory");
        if (ok && (o->profile || o->trace)) ok = bench_profile(&n, result, pid);
        if (!ok) {
            json_decref(result);
            result = NULL;
        }
    }
    bench_net_free(&n);
    return result;
}

// ------------------------------------------------------------------ the peak

// GFLOP/s of the dot of two squares of that extent, the best of some; 0 after a message.
static double square(tn_env *env, const bench_options *o, int64_t extent)
{
    tn_graph *g = tn_graph_new(env);
    const tn_dims dims = TN_DIMS(extent, extent);
    const tn_symbol a = tn_variable(g, "a", .shape = dims, .dtype = o->dtype);
    const tn_symbol b = tn_variable(g, "b", .shape = dims, .dtype = o->dtype);
    tn_exec *e = tn_simple_bind(g, tn_dot(g, .lhs = a, .rhs = b), .backends = o->backends,
                                .threads = (int32_t)o->threads, .compute = o->compute);
    double best = 0.0;
    bool ok = e && tn_tensor_fill(tn_exec_arg(e, "a"), 0.5) == TN_OK &&
              tn_tensor_fill(tn_exec_arg(e, "b"), 0.25) == TN_OK;
    if (!e) tool_fail("bench", "the peak is not measured: %s", tn_graph_error(g));
    const double begin = bench_now();
    for (int i = 0; ok && (i < 3 || (i < 50 && bench_now() - begin < 0.3)); i++) {
        const double start = bench_now();
        ok = tn_forward(e, false) == TN_OK && tn_exec_wait(e) == TN_OK;
        const double seconds = bench_now() - start;
        if (i && (best == 0.0 || seconds < best)) best = seconds; // the first one warms up
    }
    if (e && !ok) tool_fail("bench", "the peak is not measured: %s", tn_exec_error(e));
    tn_exec_free(e);
    tn_graph_free(g);
    return ok && best > 0 ? 2e-9 * (double)extent * (double)extent * (double)extent / best : 0.0;
}

double bench_peak(const bench_options *o)
{
    tn_env *env = bench_env(o);
    double peak = 0.0;
    // Larger ones are nearer to the peak, as long as the backend can do them in bearable time.
    for (int64_t extent = 256; extent <= 2048; extent *= 2) {
        const double rate = square(env, o, extent);
        if (rate > peak) peak = rate;
        if (rate <= 0 || rate * 1e9 < 16.0 * (double)extent * (double)extent * (double)extent)
            break;
    }
    tn_env_free(env);
    return peak;
}
