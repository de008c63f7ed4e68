// tenon/sdk.h: comfort for plugin writers on top of the bare ABI: static inline, no library.
//
// This part is for operators and for the plugin's entry; <tenon/kernel.h> is for kernels. The
// core's own operators are written with exactly these macros. C11 only.
#ifndef TENON_SDK_H
#define TENON_SDK_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <tenon/plugin.h>

// ------------------------------------------------------------------ tables

// TN_PORT(.name = "data", .doc = "(n, k)"), TN_PARAM(my_params, axis, TN_P_I64, .doc = "…").
#define TN_PORT(...)                                     \
    &(const tn_port_decl)                                \
    {                                                    \
        .struct_size = sizeof(tn_port_decl), __VA_ARGS__ \
    }
#define TN_PARAM(blob, field, kind, ...)                                       \
    &(const tn_param_decl)                                                     \
    {                                                                          \
        .struct_size = sizeof(tn_param_decl), .type = (kind),                  \
        .offset = (uint32_t)offsetof(blob, field), .name = #field, __VA_ARGS__ \
    }
#define TN_PORTS(...)             \
    (const tn_port_decl *const[]) \
    {                             \
        __VA_ARGS__, NULL         \
    }
#define TN_PARAMS(...)             \
    (const tn_param_decl *const[]) \
    {                              \
        __VA_ARGS__, NULL          \
    }
#define TN_OPS(...)             \
    (const tn_op_decl *const[]) \
    {                           \
        __VA_ARGS__, NULL       \
    }
#define TN_BACKENDS(...)            \
    (const tn_backend_api *const[]) \
    {                               \
        __VA_ARGS__, NULL           \
    }
#define TN_KERNELS(...)             \
    (const tn_kernel_decl *const[]) \
    {                               \
        __VA_ARGS__, NULL           \
    }
#define TN_OP(...)                                                   \
    {                                                                \
        .struct_size = sizeof(tn_op_decl), .version = 1, __VA_ARGS__ \
    }

// The one exported function. Use once, at file scope: TN_PLUGIN_ENTRY(my_table).
#define TN_PLUGIN_ENTRY(table_)                                           \
    TN_API tn_status tn_plugin_query(const tn_hello *host, tn_reply *out) \
    {                                                                     \
        return tn_sdk_answer(host, out, &(table_));                       \
    }

static inline tn_status tn_sdk_answer(const tn_hello *host, tn_reply *out, const tn_plugin *table)
{
    out->epoch_lo = out->epoch_hi = TN_EPOCH;
    out->needs_minor = out->built_minor = TN_MINOR;
    out->sanitizer = TN_SANITIZER;
    for (uint32_t i = 0; i < host->n_offers && i < 4; i++) {
        if (host->offers[i].epoch != TN_EPOCH) continue;
        out->epoch = TN_EPOCH;
        out->table.p = table;
        return out->status = TN_OK;
    }
    snprintf(out->reason, sizeof out->reason, "speaks ABI epoch %u only", TN_EPOCH);
    return out->status = TN_E_INCOMPATIBLE;
}

// ------------------------------------------------------------------ shape rules

static inline tn_shape tn_shape_unknown(void)
{
    return (tn_shape){.ndim = -1};
}

// A shape of n axes, all unknown.
static inline tn_shape tn_shape_rank(int32_t n)
{
    tn_shape s = {.ndim = n};
    for (int32_t i = 0; i < n && i < TN_MAX_NDIM; i++) s.dim[i] = -1;
    return s;
}

static inline tn_shape tn_shape_1d(int64_t a)
{
    return (tn_shape){.ndim = 1, .dim = {a}};
}

static inline tn_shape tn_shape_2d(int64_t a, int64_t b)
{
    return (tn_shape){.ndim = 2, .dim = {a, b}};
}

// Product of the axes begin … end-1; -1 if one of them is unknown; INT64_MAX if it is more.
static inline int64_t tn_shape_span(const tn_shape *s, int32_t begin, int32_t end)
{
    int64_t n = 1;
    if (s->ndim < 0) return -1;
    for (int32_t i = begin; i < end && i < s->ndim; i++) {
        if (s->dim[i] < 0) return -1;
        n = tn_extent_times(n, s->dim[i]);
    }
    return n;
}

static inline bool tn_shape_equal(const tn_shape *a, const tn_shape *b)
{
    if (a->ndim != b->ndim) return false;
    for (int32_t i = 0; i < a->ndim; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

// Axis counted from the end if negative; -1 if there is no such axis.
static inline int32_t tn_axis(int64_t axis, int32_t ndim)
{
    if (axis < 0) axis += ndim;
    return axis < 0 || axis >= ndim ? -1 : (int32_t)axis;
}

// Writes a message like printf and fails with it.
__attribute__((format(printf, 3, 4))) static inline tn_status
tn_infer_fail(const tn_infer *io, tn_status status, const char *format, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return io->fail(io->ctx, status, text);
}

// Inputs a and b have one shape; input i and output o have one shape.
static inline tn_status tn_infer_in_out(const tn_infer *io, uint32_t i, uint32_t o)
{
    const tn_shape in = *io->in_shape(io->ctx, i);
    const tn_status s = io->merge_out_shape(io->ctx, o, &in);
    if (s != TN_OK) return s;
    const tn_shape out = *io->out_shape(io->ctx, o);
    return io->merge_in_shape(io->ctx, i, &out);
}

static inline tn_status tn_infer_in_in(const tn_infer *io, uint32_t a, uint32_t b)
{
    const tn_shape sa = *io->in_shape(io->ctx, a);
    const tn_status s = io->merge_in_shape(io->ctx, b, &sa);
    if (s != TN_OK) return s;
    const tn_shape sb = *io->in_shape(io->ctx, b);
    return io->merge_in_shape(io->ctx, a, &sb);
}

// ------------------------------------------------------------------ gradients and expansions

// Emits a call: TN_EMIT(b, "elemwise_add", NULL, x, y) with at least one input.
#define TN_EMIT(b, op, params, ...)                             \
    tn_emit((b), (op), (params), (const tn_sym[]){__VA_ARGS__}, \
            (uint32_t)(sizeof((const tn_sym[]){__VA_ARGS__}) / sizeof(tn_sym)))

static inline tn_sym tn_emit(const tn_builder *b, const char *op, const char *params,
                             const tn_sym *in, uint32_t n)
{
    return b->apply(b->ctx, op, params, in, n);
}

// Parameter text: char p[TN_TEXT]; tn_text(p, "axis=%lld; keepdims=%d", axis, 1).
#define TN_TEXT 256
__attribute__((format(printf, 2, 3))) static inline const char *tn_text(char *buffer,
                                                                        const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(buffer, TN_TEXT, format, ap);
    va_end(ap);
    return buffer;
}

// A number as parameter text: tn_number(n, 0.5) with char n[TN_NUMBER]. All digits that it needs,
// and a point whatever the locale has. Returns buffer.
#define TN_NUMBER 40
static inline const char *tn_number(char *buffer, double value)
{
    char raw[TN_NUMBER];
    size_t n = 0;
    snprintf(raw, sizeof raw, "%.17g", value);
    for (const char *c = raw; *c; c++) {
        if (strchr("0123456789+-einfa", *c))
            buffer[n++] = *c;
        else if (n && buffer[n - 1] != '.')
            buffer[n++] = '.'; // a decimal point may have several bytes
    }
    buffer[n] = 0;
    return buffer;
}

// A list as parameter text: "(1,2,None)". Appends to buffer of TN_TEXT bytes.
static inline void tn_text_ints(char *buffer, tn_ints list)
{
    size_t at = strlen(buffer);
    at += (size_t)snprintf(buffer + at, TN_TEXT - at, "(");
    for (size_t i = 0; i < list.n && at < TN_TEXT - 32; i++)
        at += list.v[i] == TN_NONE_I64
                  ? (size_t)snprintf(buffer + at, TN_TEXT - at, "None,")
                  : (size_t)snprintf(buffer + at, TN_TEXT - at, "%lld,", (long long)list.v[i]);
    snprintf(buffer + at, TN_TEXT - at, ")");
}

static inline tn_sym tn_grad_in(const tn_builder *b, uint32_t i)
{
    return b->input(b->ctx, i);
}
static inline tn_sym tn_grad_out(const tn_builder *b, uint32_t i)
{
    return b->output(b->ctx, i);
}
static inline tn_sym tn_grad_head(const tn_builder *b, uint32_t i)
{
    return b->out_grad(b->ctx, i);
}
static inline void tn_grad_set(const tn_builder *b, uint32_t i, tn_sym value)
{
    b->set_in_grad(b->ctx, i, value);
}

#endif
