// tests/nets/test_mixed_nets.c: random networks whose nodes are pinned at random to reference,
// blas, onednn and opencl give what they give on the reference: outputs, gradients, states.
//
// TENON_NET=<seed> runs that network only and prints it. Runs once for each list of backends that
// tests/CMakeLists.txt names; what is not pinned goes to the first of the list that has it.
#include "tests/exec/random_way.h"
#include "tests/nets/zoo_run.h"

enum { NETS = 60 };

static void complain(uint64_t seed, const char *why)
{
    char text[700];
    snprintf(text, sizeof text, "network %llu: %s", (unsigned long long)seed, why);
    CU_assertImplementation(CU_FALSE, __LINE__, text, __FILE__, "", CU_FALSE);
}

// The bench's list and, behind it, every other backend that is here.
static const char *all_backends(void)
{
    static const char *const names[] = {"onednn", "opencl", "blas", "reference"};
    static char list[160];
    snprintf(list, sizeof list, "%s", bench.backends);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (zoo_has(names[i]) && !strstr(list, names[i]))
            snprintf(list + strlen(list), sizeof list - strlen(list), ",%s", names[i]);
    return list;
}

// Two of three nodes are pinned to a backend that may have a kernel for them.
static void pin_at_random(tn_symbol y, uint64_t seed)
{
    static const char *const names[] = {"onednn", "opencl", "blas", "reference"};
    const tn_symbol all = tn_internals(bench.g, y);
    const size_t n = tn_outputs(bench.g, all).n;
    for (size_t i = 0; i < n; i++) {
        const tn_symbol s = tn_output(bench.g, all, i);
        const uint32_t draw = (uint32_t)(tn_philox_uniform_f32(seed, 77, i) * 6);
        const char *op = tn_symbol_op(bench.g, s);
        if (!op || draw >= 4 || !zoo_has(names[draw]) || !zoo_has_kernel(names[draw], op)) continue;
        tn_attr_set(bench.g, s, "__backend__", names[draw]);
    }
}

// A hint of tn_env_backend_has() may be wrong for one call, and a pin is a hard requirement.
static bool no_kernel(const char *why)
{
    return strstr(why, "no kernel for ") && strstr(why, "in __backend__");
}

static void networks_pinned_at_random(void)
{
    static record base, other;
    static const way plain = {.backends = "reference"};
    const char *seed_text = getenv("TENON_NET");
    const uint64_t only = seed_text ? strtoull(seed_text, NULL, 10) : 0;
    const way mixed = {.backends = all_backends()};
    size_t n_run = 0;
    for (uint64_t seed = 5001; seed <= 5000 + NETS; seed++) {
        rn_net net = {.state = seed * 7919, .dtype = TN_F32};
        char why[512] = "";
        if (only && seed != only) continue;
        tn_fresh();
        const tn_symbol y = rn_make(&net);
        if (tn_graph_status(bench.g) || !run_way(&net, y, &plain, &base, why)) {
            complain(seed, *why ? why : tn_graph_error(bench.g));
            continue;
        }
        pin_at_random(y, seed);
        if (only) printf("\n%s", tn_symbol_text(bench.g, y));
        if (run_way(&net, y, &mixed, &other, why)) {
            n_run++;
            if (!same(&other, &base, 1e-4, why)) complain(seed, why);
        } else if (!no_kernel(why)) {
            complain(seed, why);
        }
        record_free(&base);
        record_free(&other);
    }
    CU_ASSERT(only || n_run > NETS / 2);
}

TN_TEST_MAIN({"networks pinned at random", networks_pinned_at_random})
