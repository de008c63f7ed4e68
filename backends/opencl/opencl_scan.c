// backends/opencl/opencl_scan.c: running sums along an axis.
#include "opencl.h"

typedef struct scan {
    tn_line line;
    int64_t lines, chunk, chunks; // chunk: elements
} scan;

// Many lines keep the device busy; few are cut.
static scan scan_of(const tn_value_info *x, int32_t axis)
{
    enum { ENOUGH = 4096, CHUNK = 64, MOST = 1024 };
    scan s = {.line = axis < 0 ? (tn_line){1, x->size, 1} : tn_around(x, axis)};
    s.lines = s.line.outer * s.line.inner;
    s.chunks = s.lines >= ENOUGH ? 1 : (s.line.n + CHUNK - 1) / CHUNK;
    if (s.chunks > MOST) s.chunks = MOST;
    if (s.chunks < 1) s.chunks = 1;
    s.chunk = (s.line.n + s.chunks - 1) / s.chunks;
    return s;
}

// Sums are of the output's kind: floats are cut off where those are whole.
static const char *from_text(tn_dtype x, tn_dtype number)
{
    if (number != TN_I64 || !ocl_is_float(x)) return "#define FROM0(p, i) LD0(p, i)\n";
    return x == TN_F16    ? "#define FROM0(p, i) convert_long_sat_rtz(TN_LOAD_HALF(p, i))\n"
           : x == TN_BF16 ? "#define FROM0(p, i) convert_long_sat_rtz(tn_load_bf16((p)[i]))\n"
                          : "#define FROM0(p, i) convert_long_sat_rtz((p)[i])\n";
}

static ocl_launch *add(ocl_plan *p, const char *name)
{
    const tn_call *c = p->k->call;
    const tn_dtype types[] = {c->in[0]->dtype, c->out[0]->dtype};
    ocl_text t = {.host = p->k->host};
    ocl_prologue(&t, ocl_number(types[1]), 2, types);
    ocl_append(&t, from_text(types[0], ocl_number(types[1])));
    ocl_append(&t, ocl_scan_cl);
    return ocl_add_text(p, &t, name);
}

static void pass(ocl_plan *p, ocl_launch *l, const scan *s)
{
    ocl_int(p, l, s->lines);
    ocl_int(p, l, s->line.n);
    ocl_int(p, l, s->line.inner);
    ocl_int(p, l, tn_call_bool(p->k->call, "reverse", false));
    ocl_int(p, l, s->chunk);
}

// Scratch: the sums of chunks, (chunk, line).
static tn_status cumsum_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *x = k->call->in[0];
    const int64_t axis = tn_call_i64(k->call, "axis", TN_NONE_I64);
    const int32_t at = axis == TN_NONE_I64 ? -1 : tn_axis(axis, x->ndim);
    if (axis != TN_NONE_I64 && at < 0) return ocl_no_axis(k, "axis");
    const scan s = scan_of(x, at);
    info->scratch_bytes = (uint64_t)(s.lines * s.chunks) * 8;
    ocl_plan *p = ocl_begin(k);
    if (s.chunks > 1) {
        ocl_launch *sums = add(p, "chunk_sums");
        ocl_in(p, sums, 0);
        ocl_scratch(p, sums, 0);
        pass(p, sums, &s);
        ocl_over(p, sums, s.lines, s.chunks, 1);
        sums = add(p, "scan_sums");
        ocl_scratch(p, sums, 0);
        ocl_int(p, sums, s.lines);
        ocl_int(p, sums, s.chunks);
        ocl_over(p, sums, s.lines, 1, 1);
    }
    ocl_launch *l = add(p, "scan_chunks");
    ocl_in(p, l, 0);
    ocl_scratch(p, l, 0);
    ocl_out(p, l, 0);
    pass(p, l, &s);
    ocl_int(p, l, s.chunks);
    ocl_int(p, l, tn_call_bool(k->call, "exclusive", false));
    ocl_over(p, l, x->size ? s.lines : 0, s.chunks, 1);
    return ocl_end(p);
}

const tn_kernel_row ocl_scans[] = {
    OCL_ROW("cumsum", TN_ALL_DTYPES, NULL, cumsum_setup),
    {0},
};
