// tests/nets/test_same_answers.c: networks give on every backend, and on several at once, what they
// give on the reference: outputs, all gradients, auxiliary states.
//
// Runs once for each list of backends that tests/CMakeLists.txt names; that list runs the whole
// network, so that what it cannot run is an error.
#include "tests/nets/zoo_run.h"

static void check(size_t i)
{
    tn_exec_free(zoo_check(&zoo[i], &(zoo_way){.backends = bench.backends}));
}

static void perceptron(void)
{
    check(0);
}

static void lenet(void)
{
    check(1);
}

static void residual_network(void)
{
    check(2);
}

static void lstm(void)
{
    check(3);
}

static void unrolled_lstm(void)
{
    check(4);
}

// ------------------------------------------------------------------ several backends in one
// network

// Devices that run at least one node, as the first line of the report has them.
static size_t devices_in_use(tn_exec *e)
{
    static const char *const names[] = {" blas ", " onednn ", " reference ", " opencl"};
    char line[1024];
    const char *text = e ? tn_exec_report_text(e) : "";
    size_t n = 0;
    snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\n"), text);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) n += strstr(line, names[i]) != NULL;
    return n;
}

// Every backend that is here, the bench's own first.
static const char *everywhere(const char **pins)
{
    static const char *const all[] = {"opencl", "onednn", "blas", "reference"};
    static char list[128];
    static char own[32];
    size_t n = 0;
    snprintf(own, sizeof own, "%.*s", (int)strcspn(bench.backends, ",:"), bench.backends);
    snprintf(list, sizeof list, "%s", own);
    pins[n++] = own;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strcmp(all[i], own) == 0 || !zoo_has(all[i])) continue;
        snprintf(list + strlen(list), sizeof list - strlen(list), ",%s", all[i]);
        pins[n++] = all[i];
    }
    pins[n] = NULL;
    return list;
}

// Neighbours run on different backends, all of them here: values go from each to each.
static void nodes_pinned_in_turn(void)
{
    const char *pins[8];
    const char *list = everywhere(pins);
    size_t copies = 0;
    for (size_t i = 0; i < ZOO_NETS; i++) {
        tn_exec *e = zoo_check(&zoo[i], &(zoo_way){.backends = list, .pins = pins});
        if (!e) continue;
        CU_ASSERT(devices_in_use(e) >= 2);
        copies += tn_exec_memory(e).n_copies;
        tn_exec_free(e);
    }
    if (zoo_has("opencl")) CU_ASSERT(copies >= ZOO_NETS);
}

// Half of the network on the bench's list, half on other backends, in both orders.
static void groups_on_two_devices(void)
{
    const bool device = strncmp(bench.backends, "opencl", 6) == 0;
    const char *others = device ? "blas" : zoo_has("opencl") ? "opencl" : "reference";
    for (size_t i = 0; i < 2 * ZOO_NETS; i++) {
        const zoo_way way = {.backends = "reference",
                             .first = i % 2 ? others : bench.backends,
                             .other = i % 2 ? bench.backends : others};
        tn_exec *e = zoo_check(&zoo[i / 2], &way);
        if (!e) continue;
        CU_ASSERT(devices_in_use(e) >= 2);
        if (zoo_has("opencl")) CU_ASSERT(tn_exec_memory(e).n_copies > 0);
        tn_exec_free(e);
    }
}

TN_TEST_MAIN({"perceptron", perceptron}, {"LeNet", lenet}, {"residual network", residual_network},
             {"LSTM", lstm}, {"unrolled LSTM", unrolled_lstm},
             {"nodes pinned in turn", nodes_pinned_in_turn},
             {"groups on two devices", groups_on_two_devices})
