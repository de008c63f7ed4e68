// tools/bench_direct.c: what Tenon adds to a primitive of oneDNN: chains of one convolution,
// through Tenon and as a loop over dnnl_primitive_execute(), in turns, in one process.
//
//     bench_direct [seconds for each shape (2)]
//
// One thread, processor time, fastest run. The primitive, the layouts and the memory are as large
// on both sides. Tenon's chain also has a reorder at each end, which count as part of it.
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenon/tenon.h>
#include <time.h>

enum { CHAIN = 64 }; // convolutions

static const int64_t shapes[][4] = {{1, 16, 8, 8}, {1, 32, 14, 14}, {1, 64, 28, 28}};

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// ------------------------------------------------------------------ Tenon

static tn_exec *bind_chain(tn_graph *g, const int64_t shape[4])
{
    tn_symbol x = tn_variable(g, "data");
    const tn_symbol w = tn_variable(g, "weight"), b = tn_variable(g, "bias");
    char filters[24];
    snprintf(filters, sizeof filters, "%lld", (long long)shape[1]);
    for (int i = 0; i < CHAIN; i++)
        x = tn_call(g, "Convolution", .inputs = TN_SYMS(x, w, b),
                    .params =
                        TN_ATTRS({"kernel", "(3,3)"}, {"pad", "(1,1)"}, {"num_filter", filters}));
    return tn_simple_bind(g, x, .backends = "onednn", .threads = 1, .inputs = "data",
                          .grad_req = TN_NULL, .shapes = TN_SHAPES({"data", {4, shape}}));
}

// ------------------------------------------------------------------ oneDNN

typedef struct direct {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t convolution;
    dnnl_memory_t data[2], weight, bias, scratch;
} direct;

static bool make_memory(const direct *d, const dnnl_memory_desc_t *md, dnnl_memory_t *out)
{
    void *p = NULL;
    if (dnnl_memory_create(out, md, d->engine, DNNL_MEMORY_ALLOCATE) != dnnl_success) return false;
    if (dnnl_memory_get_data_handle(*out, &p) != dnnl_success) return false;
    if (p) memset(p, 0, dnnl_memory_desc_get_size(md));
    return true;
}

static bool make_primitive(direct *d, const int64_t s[4])
{
    const dnnl_dims_t image = {s[0], s[1], s[2], s[3]}, kernel = {s[1], s[1], 3, 3};
    const dnnl_dims_t channels = {s[1]}, one = {1, 1};
    dnnl_memory_desc_t x, w, b;
    dnnl_convolution_desc_t c;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t pd;
    dnnl_memory_desc_init_by_tag(&x, 4, image, dnnl_f32, dnnl_nhwc);
    dnnl_memory_desc_init_by_tag(&w, 4, kernel, dnnl_f32, dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&b, 1, channels, dnnl_f32, dnnl_a);
    if (dnnl_engine_create(&d->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags) != dnnl_success ||
        dnnl_primitive_attr_create(&attr) != dnnl_success ||
        dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) != dnnl_success ||
        dnnl_convolution_forward_desc_init(&c, dnnl_forward_inference, dnnl_convolution_direct, &x,
                                           &w, &b, &x, one, one, one) != dnnl_success ||
        dnnl_primitive_desc_create(&pd, &c, attr, d->engine, NULL) != dnnl_success ||
        dnnl_primitive_create(&d->convolution, pd) != dnnl_success)
        return false;
    const bool ok =
        make_memory(d, &x, &d->data[0]) && make_memory(d, &x, &d->data[1]) &&
        make_memory(d, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0), &d->weight) &&
        make_memory(d, &b, &d->bias) &&
        make_memory(d, dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0), &d->scratch);
    dnnl_primitive_desc_destroy(pd);
    dnnl_primitive_attr_destroy(attr);
    return ok;
}

static void free_direct(direct *d)
{
    dnnl_memory_t all[] = {d->data[0], d->data[1], d->weight, d->bias, d->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]) dnnl_memory_destroy(all[i]);
    if (d->convolution) dnnl_primitive_destroy(d->convolution);
    if (d->stream) dnnl_stream_destroy(d->stream);
    if (d->engine) dnnl_engine_destroy(d->engine);
}

static bool run_direct(const direct *d)
{
    dnnl_status_t s = dnnl_success;
    for (int i = 0; i < CHAIN && s == dnnl_success; i++) {
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, d->data[i % 2]},
                                        {DNNL_ARG_WEIGHTS, d->weight},
                                        {DNNL_ARG_BIAS, d->bias},
                                        {DNNL_ARG_DST, d->data[(i + 1) % 2]},
                                        {DNNL_ARG_SCRATCHPAD, d->scratch}};
        s = dnnl_primitive_execute(d->convolution, d->stream, 5, args);
    }
    return s == dnnl_success;
}

// ------------------------------------------------------------------ in turns

typedef struct times {
    double direct, tenon; // fastest run, seconds of a chain
} times;

static bool measure(const direct *d, tn_exec *e, double seconds, times *t)
{
    const double end = now(CLOCK_MONOTONIC) + seconds;
    *t = (times){1e9, 1e9};
    for (int i = 0; i < 10 || now(CLOCK_MONOTONIC) < end; i++) {
        const double a = now(CLOCK_PROCESS_CPUTIME_ID);
        if (!run_direct(d)) return false;
        const double b = now(CLOCK_PROCESS_CPUTIME_ID);
        if (tn_forward(e, false) != TN_OK) return false;
        const double c = now(CLOCK_PROCESS_CPUTIME_ID);
        if (i >= 3 && b - a < t->direct) t->direct = b - a;
        if (i >= 3 && c - b < t->tenon) t->tenon = c - b;
    }
    return true;
}

static bool compare(tn_env *env, const int64_t s[4], double seconds)
{
    direct d = {0};
    times t;
    tn_graph *g = tn_graph_new(env);
    tn_exec *e = bind_chain(g, s);
    if (!e) fprintf(stderr, "bench_direct: %s\n", tn_graph_error(g));
    const bool ok = e && make_primitive(&d, s) && measure(&d, e, seconds, &t);
    if (ok)
        printf("%lldx%lldx%lldx%lld, 3x3: oneDNN alone %.2f us, through Tenon %.2f us: %+.2f us, "
               "%+.1f %%\n",
               (long long)s[0], (long long)s[1], (long long)s[2], (long long)s[3],
               t.direct / CHAIN * 1e6, t.tenon / CHAIN * 1e6, (t.tenon - t.direct) / CHAIN * 1e6,
               100 * (t.tenon / t.direct - 1));
    free_direct(&d);
    tn_exec_free(e);
    tn_graph_free(g);
    return ok;
}

int main(int argc, char **argv)
{
    const double seconds = argc > 1 ? strtod(argv[1], NULL) : 2;
    omp_set_num_threads(1);
    tn_env *env = tn_env_new(NULL);
    bool ok = true;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        ok = ok && compare(env, shapes[i], seconds);
    if (!ok) fprintf(stderr, "bench_direct: it could not be measured\n");
    tn_env_free(env);
    return ok ? 0 : 1;
}
