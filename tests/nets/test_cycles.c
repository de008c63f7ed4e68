// tests/nets/test_cycles.c: two hundred times bind, run and free leave nothing behind: no block or
// byte of the heap, no buffer on a device.
//
// Runs once for the reference and for each list of backends that tests/CMakeLists.txt names. What a
// library keeps for later, as oneDNN keeps programs, is there after the first rounds.
#include <malloc.h>
#include <unistd.h>

#include "backends/opencl/opencl_counters.h"
#include "core/env/env.h"
#include "tests/exec/heap.h"
#include "tests/nets/zoo_run.h"

enum { ROUNDS = 40, WARM = 5 }; // of all ZOO_NETS networks: 200 cycles

#if TN_SANITIZER == 1
extern size_t __sanitizer_get_current_allocated_bytes(void);
#endif

// Blocks that this process has allocated and not freed; with the address sanitizer, bytes.
static long live(void)
{
#if TN_SANITIZER == 1
    return (long)__sanitizer_get_current_allocated_bytes();
#else
    return atomic_load(&heap_live);
#endif
}

// A driver's own threads free what belonged to a finished command a moment later.
static bool settles_at(long most)
{
    const int patience = strncmp(bench.backends, "opencl", 6) == 0 ? 40 : 0;
    for (int i = 0; i < patience && live() > most; i++) usleep(10000);
    return live() <= most;
}

// Pages of the process, for memory that comes from elsewhere than the heap.
static long pages(void)
{
    long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &size, &resident) != 2) resident = 0;
    if (f) fclose(f);
    return resident;
}

static const ocl_counters *device_counters(void)
{
    const tni_registry *r = tni_env_registry(bench.env);
    for (uint32_t i = 0; i < r->n_backends; i++)
        if (strcmp(r->backends[i]->api.name, "opencl") == 0)
            return r->backends[i]->api.get_extension(r->backends[i]->self, OCL_COUNTERS);
    return NULL;
}

static void cycle(const zoo_net *net)
{
    const bool device = strncmp(bench.backends, "opencl", 6) == 0;
    tn_exec *e = zoo_bind(net, &(zoo_way){.backends = bench.backends});
    tn_forward(e, true);
    tn_backward(e, TN_NO_HEADS);
    tn_forward(e, false);
    TN_CHECK_EXEC(e);
    if (device) CU_ASSERT(device_counters()->live_buffers > 0);
    tn_exec_free(e);
    tn_fresh();
}

static void cycles_leave_nothing(void)
{
    long blocks = 0, resident = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < ZOO_NETS; i++) cycle(&zoo[i]);
        if (round != WARM) continue;
        settles_at(0);
        blocks = live();
        resident = pages();
    }
    CU_ASSERT(settles_at(blocks));
    // Executors of these networks take megabytes, so that 1 in 100 that stays would be seen. The
    // address sanitizer keeps what is freed.
    if (!TN_SANITIZER) CU_ASSERT(pages() - resident < (8 << 20) / sysconf(_SC_PAGESIZE));
    if (!device_counters()) return;
    CU_ASSERT_EQUAL(device_counters()->live_buffers, 0);
    CU_ASSERT_EQUAL(device_counters()->live_bytes, 0);
    CU_ASSERT_EQUAL(device_counters()->live_kernels, 0);
}

// A bind that fails on its way leaves nothing either.
static void failing_binds_leave_nothing(void)
{
    long blocks = 0;
    for (int i = 0; i < 50; i++) {
        tn_fresh();
        tn_symbol x = tn_op("FullyConnected", "num_hidden=3", tn_var("data"));
        x = tn_op("elemwise_add", NULL, x, tn_var("other"));
        CU_ASSERT_PTR_NULL(
            tn_simple_bind(bench.g, x, .backends = bench.backends, .grad_req = TN_WRITE,
                           .shapes = TN_SHAPES({"data", TN_DIMS(2, 4)}, {"other", TN_DIMS(5, 5)})));
        tn_fresh();
        x = tn_op("FullyConnected", "num_hidden=3", tn_var("data"));
        tn_attr_set(bench.g, x, "__backend__", "null");
        CU_ASSERT_PTR_NULL(tn_simple_bind(bench.g, x, .backends = bench.backends,
                                          .shapes = TN_SHAPES({"data", TN_DIMS(2, 4)})));
        tn_fresh();
        if (i == 4) blocks = live();
    }
    CU_ASSERT(live() <= blocks);
}

TN_TEST_MAIN({"cycles leave nothing", cycles_leave_nothing},
             {"failing binds leave nothing", failing_binds_leave_nothing})
