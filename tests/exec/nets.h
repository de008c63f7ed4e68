// tests/exec/nets.h: the networks that the tests of the executor bind, and what they look at.
#ifndef TENON_TESTS_NETS_H
#define TENON_TESTS_NETS_H

#include "core/exec/exec.h"
#include "tests/tn_test.h"

// A call with a name; the parameter texts are {"key", "value"} pairs, at least one.
#define CALL(op, call_name, x, ...)                                               \
    tn_call(bench.g, (op), .inputs = TN_SYMS(x), .params = TN_ATTRS(__VA_ARGS__), \
            .name = (call_name))
#define UNARY(op, call_name, x) tn_call(bench.g, (op), .inputs = TN_SYMS(x), .name = (call_name))
#define BINARY(op, call_name, a, b) \
    tn_call(bench.g, (op), .inputs = TN_SYMS(a, b), .name = (call_name))

// data (n, 6) → fc1 (n, 5), relu → fc2 (n, 3) → softmax "out" with out_label (n,)
static inline tn_symbol net_mlp(void)
{
    tn_symbol x = tn_variable(bench.g, "data");
    x = CALL("FullyConnected", "fc1", x, {"num_hidden", "5"});
    x = CALL("Activation", "relu1", x, {"act_type", "relu"});
    x = CALL("FullyConnected", "fc2", x, {"num_hidden", "3"});
    return UNARY("SoftmaxOutput", "out", x);
}

// x0 + 1 + 1 + … : n additions to "x"
static inline tn_symbol net_chain(size_t n)
{
    tn_symbol x = tn_variable(bench.g, "x");
    for (size_t i = 0; i < n; i++)
        x = tn_call(bench.g, "_plus_scalar", .inputs = TN_SYMS(x),
                    .params = TN_ATTRS({"scalar", "1"}));
    return x;
}

// Fills every float32 argument with a fixed pattern; labels count 0, 1, 2, 0, …
static inline void net_fill(tn_exec *e)
{
    const tn_names names = tn_exec_arguments(e);
    for (size_t i = 0; i < names.n; i++) {
        tn_tensor *t = tn_exec_arg(e, names.v[i]);
        const bool label = strstr(names.v[i], "label") != NULL;
        const int64_t n = tn_tensor_size(t);
        float *values = calloc((size_t)n + 1, sizeof *values);
        for (int64_t k = 0; k < n; k++)
            values[k] =
                label ? (float)(k % 3) : (float)((k * 37 + (int64_t)i * 11) % 23 - 11) / 16.0f;
        CU_ASSERT_EQUAL(tn_tensor_set(t, values, tn_tensor_bytes(t)), TN_OK);
        free(values);
    }
}

// Blocks that are alive at the same time must not share a byte. Returns how many do.
static inline size_t net_clashes(const tni_blocks *b)
{
    size_t n = 0;
    for (size_t i = 1; i <= b->n; i++)
        for (size_t j = i + 1; j <= b->n; j++) {
            const tni_block *x = &b->v[i], *y = &b->v[j];
            if (x->tensor || y->tensor || x->space != y->space) continue;
            if (x->end < y->begin || y->end < x->begin) continue;
            n += x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes;
        }
    return n;
}

// Are all elements of two tensors the same bytes?
static inline bool net_equal(tn_tensor *a, tn_tensor *b)
{
    const uint64_t bytes = tn_tensor_bytes(a);
    void *x = malloc((size_t)bytes + 1), *y = malloc((size_t)bytes + 1);
    const bool ok = bytes == tn_tensor_bytes(b) && x && y && !tn_tensor_get(a, x, bytes) &&
                    !tn_tensor_get(b, y, bytes) && memcmp(x, y, (size_t)bytes) == 0;
    free(x);
    free(y);
    return ok;
}

#endif
