// tests/exec/test_op_storm.c: drawn calls of every operator, valid and invalid: each is composed
// and inferred, and those of a small size are bound and run, forward and backward. Nothing crashes,
// hangs or reads outside; every refusal has a text.
//
// One call of the storm again, shown: TENON_STORM_SEED=1 TENON_STORM_CALL=4711 test_op_storm.
// TENON_STORM_CALLS=1000000 makes it longer.
#include <signal.h>
#include <unistd.h>

#include "tests/exec/storm.h"
#include "tests/tn_numeric.h"

enum {
    CALLS = 100000,
    MOST_ELEMENTS = 1 << 13, // of all arguments and outputs of a call that is bound
    MOST_BYTES = 1 << 20,    // of the memory plan of a call that is run
    SECONDS = 20,            // one call may take
};

static uint64_t seed, number;
static char shown[8192]; // the running call, for whoever stops it

static void say(void)
{
    static const char head[] = "\n    the call that failed: ";
    if (write(STDERR_FILENO, head, sizeof head - 1) < 0 ||
        write(STDERR_FILENO, shown, strlen(shown)) < 0)
        return;
}

static void stopped(int sig)
{
    say();
    signal(sig, SIG_DFL);
    raise(sig);
}

// Called by the sanitizers before they end the program, so they must be seen from their libraries.
TN_API void __asan_on_error(void);
TN_API void __ubsan_on_report(void);
TN_API const char *__asan_default_options(void);
void __asan_on_error(void)
{
    say();
}
void __ubsan_on_report(void)
{
    say();
}
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1"; // huge shapes: an error of the library, not of the run
}

static void watch(void)
{
    signal(SIGALRM, stopped);
    signal(SIGABRT, stopped);
    if (TN_SANITIZER) return;
    signal(SIGSEGV, stopped);
    signal(SIGFPE, stopped);
    signal(SIGBUS, stopped);
}

static void show(const storm_call *c)
{
    size_t n = (size_t)snprintf(shown, sizeof shown,
                                "TENON_STORM_SEED=%llu TENON_STORM_CALL=%llu test_op_storm\n"
                                "    %s(%.2000s)%s of",
                                (unsigned long long)seed, (unsigned long long)number,
                                c->op->decl.name, c->params, c->train ? " in training" : "");
    for (size_t i = 0; i < c->n_in; i++) {
        n += (size_t)snprintf(shown + n, sizeof shown - n, " %s(",
                              c->dtype[i] ? tn_dtype_name(c->dtype[i]) : "any");
        for (int32_t j = 0; j < c->shape[i].ndim; j++)
            n += (size_t)snprintf(shown + n, sizeof shown - n, "%lld,",
                                  (long long)c->shape[i].dim[j]);
        n += (size_t)snprintf(shown + n, sizeof shown - n, c->shape[i].ndim < 0 ? "?)" : ")");
    }
    snprintf(shown + n, sizeof shown - n, "\n");
}

static void complain(const char *what)
{
    char text[9000];
    snprintf(text, sizeof text, "%s: %s", shown, what);
    TN_CHECK_STR(text, "a result, or an error that says why");
}

// An error has a text, and is none of Tenon's own.
static bool refused(tn_status status, const char *text)
{
    if (status == TN_OK) return false;
    if (status == TN_E_INTERNAL || !text || !*text) complain(text ? text : "no text");
    return true;
}

// ------------------------------------------------------------------ one call

enum { MOST_OPS = 4000 };
typedef struct tally {
    size_t composed, inferred, run, differentiated, refused;
    uint32_t runs[MOST_OPS]; // of each operator of the registry
} tally;

static const char *const input_names[] = {"x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7"};

// The shapes of the inputs whose rank is known.
static tn_shapes shapes_of(const storm_call *c, tn_named_dims list[STORM_MOST_IN])
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_in; i++)
        if (c->shape[i].ndim >= 0)
            list[n++] =
                (tn_named_dims){input_names[i], {(size_t)c->shape[i].ndim, c->shape[i].dim}};
    return (tn_shapes){n, list};
}

static tn_symbol compose(storm_call *c)
{
    tn_symbol x[STORM_MOST_IN];
    tn_attr attrs[64];
    char text[STORM_TEXT];
    size_t n = 0;
    char *rest = text;
    snprintf(text, sizeof text, "%s", c->params);
    for (char *word; (word = strsep(&rest, ";")) && n < 64;) {
        char *value = strchr(word, '=');
        if (!value) continue;
        *value = 0;
        attrs[n++] = (tn_attr){word + strspn(word, " "), value + 1};
    }
    for (size_t i = 0; i < c->n_in; i++)
        x[i] = tn_variable(bench.g, input_names[i], .dtype = c->dtype[i]);
    return tn_call(bench.g, c->op->decl.name, .name = "op", .inputs = {c->n_in, x},
                   .params = {n, attrs});
}

// Number of elements of all arguments, outputs and states; -1 if something is unknown or too large.
static int64_t elements(const storm_call *c, tn_symbol y)
{
    tn_named_dims list[STORM_MOST_IN];
    const tn_shape_result *r = tn_infer_shape_partial(bench.g, y, shapes_of(c, list));
    int64_t sum = 0;
    if (!r || !r->complete) return -1;
    for (size_t i = 0; i < r->n_args + r->n_outs + r->n_auxs; i++) {
        tn_shape s =
            r->args[i].shape; // a reduction over an empty axis may give as much as the rest
        for (int32_t k = 0; k < s.ndim; k++) s.dim[k] += s.dim[k] == 0;
        const int64_t n = tn_shape_size(&s);
        if (n < 0 || n > MOST_ELEMENTS) return -1;
        sum += n;
    }
    return sum <= MOST_ELEMENTS ? sum : -1;
}

static void fill_all(storm_call *c, tn_exec *e)
{
    const tn_names args = tn_exec_arguments(e), auxs = tn_exec_auxiliary_states(e);
    for (size_t i = 0; i < args.n; i++) storm_fill(c, tn_exec_arg(e, args.v[i]));
    for (size_t i = 0; i < auxs.n; i++) storm_fill(c, tn_exec_aux(e, auxs.v[i]));
}

static bool backward(storm_call *c, tn_exec *e)
{
    tn_named_tensor heads[64];
    const size_t n = tn_exec_num_outputs(e);
    if (n > 64) return false;
    for (size_t i = 0; i < n; i++) {
        tn_tensor *y = tn_exec_output(e, i);
        const tn_shape s = tn_tensor_shape(y);
        heads[i] = (tn_named_tensor){
            NULL, tn_tensor_new(bench.env, tn_tensor_dtype(y), tn_shape_dims(&s))};
        storm_fill(c, heads[i].tensor);
    }
    tn_backward(e, (tn_tensors){n, heads});
    for (size_t i = 0; i < n; i++) tn_tensor_release(heads[i].tensor);
    return !refused(tn_exec_status(e), tn_exec_error(e));
}

static void run(storm_call *c, tn_exec *e, bool gradients, tally *t)
{
    if (tn_exec_memory(e).planned > MOST_BYTES) return;
    fill_all(c, e);
    const tni_registry *r = tni_env_registry(bench.env);
    for (uint32_t i = 0; i < r->n_ops && i < MOST_OPS; i++) t->runs[i] += r->ops[i] == c->op;
    tn_forward(e, c->train);
    if (refused(tn_exec_status(e), tn_exec_error(e))) return;
    t->run++;
    if (gradients && backward(c, e)) t->differentiated++;
}

// Binds with gradients where there are any, or without.
static void bind_and_run(storm_call *c, tn_symbol y, tally *t)
{
    tn_named_dims list[STORM_MOST_IN];
    for (int gradients = 1; gradients >= 0; gradients--) {
        tn_exec *e = tn_simple_bind(bench.g, y, .backends = tn_backends(), .threads = 1,
                                    .shapes = shapes_of(c, list),
                                    .grad_req = gradients ? TN_WRITE : TN_NULL);
        if (refused(tn_graph_status(bench.g), tn_graph_error(bench.g))) {
            tn_graph_forgive(bench.g);
            continue;
        }
        run(c, e, gradients, t);
        tn_exec_free(e);
        return;
    }
}

static void one_call(tally *t)
{
    storm_call c;
    storm_make(&c, seed, number);
    show(&c);
    alarm(SECONDS);
    tn_fresh();
    const tn_symbol y = compose(&c);
    if (!refused(tn_graph_status(bench.g), tn_graph_error(bench.g))) {
        t->composed++;
        tn_infer_dtype(bench.g, y, (tn_dtypes){0});
        const bool typed = !refused(tn_graph_status(bench.g), tn_graph_error(bench.g));
        tn_graph_forgive(bench.g);
        const int64_t n = elements(&c, y);
        const bool shaped = !refused(tn_graph_status(bench.g), tn_graph_error(bench.g));
        tn_graph_forgive(bench.g);
        t->inferred += typed && shaped;
        if (typed && shaped && n >= 0) bind_and_run(&c, y, t);
    } else {
        t->refused++;
    }
    alarm(0);
}

// ------------------------------------------------------------------ the storm

static uint64_t asked(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

// Every operator of the core was among those that ran, and often enough to mean something.
static void check_all_ran(const tally *t)
{
    const tni_registry *r = tni_env_registry(bench.env);
    char text[200];
    for (uint32_t i = 0; i < r->n_ops; i++) {
        const char *op = r->ops[i]->decl.name;
        if (*r->ops[i]->plugin || t->runs[i] >= 5) continue;
        // The core makes these between devices and layouts, and of nodes that run as one; a
        // user's call of them has no kernel.
        if (strcmp(op, "_CrossDeviceCopy") == 0 || strcmp(op, "_reorder") == 0 ||
            strcmp(op, "_fused") == 0 || strcmp(op, "_multi") == 0)
            continue;
        snprintf(text, sizeof text, "%s, run %u times", op, t->runs[i]);
        TN_CHECK_STR(text, "run at least 5 times");
    }
}

static void a_storm_of_calls(void)
{
    static tally t;
    const uint64_t calls = asked("TENON_STORM_CALLS", CALLS);
    seed = asked("TENON_STORM_SEED", 1);
    watch();
    if (getenv("TENON_STORM_CALL")) {
        number = asked("TENON_STORM_CALL", 0);
        one_call(&t);
        printf("\n    %s    %s\n", shown, tn_graph_error(bench.g));
        CU_PASS("one call");
        return;
    }
    for (number = 0; number < calls; number++) one_call(&t);
    printf("\n    %zu refused, %zu composed, %zu inferred, %zu run, %zu with gradients\n",
           t.refused, t.composed, t.inferred, t.run, t.differentiated);
    CU_ASSERT(t.refused > calls / 50);
    CU_ASSERT(t.run > calls / 5);
    CU_ASSERT(t.differentiated > calls / 10);
    if (calls >= CALLS) check_all_ran(&t);
}

TN_TEST_MAIN({"a storm of calls", a_storm_of_calls})
