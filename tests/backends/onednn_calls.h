// tests/backends/onednn_calls.h: single calls on the onednn backend, with gradients, against the
// reference backend.
#ifndef TENON_TESTS_ONEDNN_CALLS_H
#define TENON_TESTS_ONEDNN_CALLS_H

#include "onednn_nets.h"
#include "tests/passes/op_rows.h"

static const char *const names[] = {"x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7"};

static inline size_t shapes_of(const op_row *row, tn_shape s[8])
{
    size_t n = 0;
    for (const char *at = row->shapes; *at && n < 8; n++) at = op_row_shape(at, &s[n]);
    return n;
}

// The call with gradients on these backends, after a step.
static inline tn_exec *run_call(const op_row *row, const char *backends, tn_dtype dtype)
{
    tn_shape s[8];
    tn_symbol x[8];
    size_t n = 0;
    const tni_entry y = op_row_call(row, x, &n, dtype);
    shapes_of(row, s);
    const tn_symbol call = {y.node, 0, x[0].graph};
    tn_exec *e = tn_simple_bind(bench.g, call, .backends = backends, .grad_req = TN_WRITE);
    if (!TN_CHECK_EXEC(e)) {
        TN_CHECK_STR(row->op, "bound");
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        tn_tensor *t = tn_sample(dtype, (tn_dims){(size_t)s[i].ndim, s[i].dim}, 0.1, 2, 7 + i);
        tn_exec_set_all(e, TN_TENSORS({names[i], t}), false);
        tn_tensor_release(t);
    }
    tn_forward(e, true);
    const tn_shape out = tn_tensor_shape(tn_exec_output(e, 0));
    tn_tensor *head = tn_sample(dtype, (tn_dims){(size_t)out.ndim, out.dim}, -1, 1, 3);
    tn_backward(e, TN_TENSORS({NULL, head}));
    tn_tensor_release(head);
    TN_CHECK_EXEC(e);
    return e;
}

// Does the node "op" stand on onednn in the report?
static inline bool is_taken(tn_exec *e)
{
    const char *line = strstr(tn_exec_report_text(e), "\"op\"");
    const char *end = line ? strchr(line, '\n') : NULL,
               *at = line ? strstr(line, "onednn: ") : NULL;
    return at && end && at < end;
}

// True if onednn took the operator itself.
static inline bool check_call(const op_row *row, tn_dtype dtype, double tolerance)
{
    tn_exec *got = run_call(row, "onednn,reference", dtype);
    tn_exec *wanted = run_call(row, "reference", dtype);
    if (got && wanted && !all_near(got, wanted, tolerance))
        printf("\n    %s(%s) %s\n", row->op, row->params ? row->params : "", row->shapes);
    const bool taken = got && is_taken(got);
    tn_exec_free(got);
    tn_exec_free(wanted);
    return taken;
}

#endif
