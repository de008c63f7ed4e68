// backends/opencl/opencl_map.c: kernels generated from formulas: one work item
// per element.
#include "opencl_map.h"

// ------------------------------------------------------------------ boxes

void ocl_box_collapse(ocl_box *b)
{
    ocl_box r = {.start = b->start};
    for (int32_t i = 0; i < b->ndim; i++) {
        if (b->dim[i] == 1) continue;
        const int32_t last = r.ndim - 1;
        if (last >= 0 && r.stride[last] == b->dim[i] * b->stride[i]) {
            r.dim[last] *= b->dim[i];
            r.stride[last] = b->stride[i];
        } else {
            ocl_box_add(&r, b->dim[i], b->stride[i]);
        }
    }
    if (r.ndim == 0) ocl_box_add(&r, 1, 1);
    *b = r;
}

ocl_box ocl_broadcast(const tn_value_info *from, const tn_value_info *to)
{
    ocl_box b = {0};
    const int32_t shift = to->ndim - from->ndim;
    if (from->size == to->size) {
        ocl_box_add(&b, to->size, 1);
        return b;
    }
    for (int32_t axis = 0; axis < to->ndim; axis++) {
        const int32_t at = axis - shift;
        const bool repeats = at < 0 || from->dims[at] == 1;
        ocl_box_add(&b, to->dims[axis], repeats ? 0 : tn_span(from, at + 1, from->ndim));
    }
    ocl_box_collapse(&b);
    return b;
}

// Does the walk take the elements one after the other?
static bool is_plain(const ocl_box *b)
{
    return b->ndim == 1 && b->stride[0] == 1 && b->start == 0;
}

// ------------------------------------------------------------------ text

// Declares at<i>, where element i of operand `in` is; box b<in> is an argument.
static void put_place(ocl_text *t, uint32_t in, const ocl_box *b)
{
    ocl_printf(t, "    int at%u = (int)b%u.start;\n", in, in);
    char rest[16] = "i";
    if (b->ndim > 1) {
        snprintf(rest, sizeof rest, "r%u", in);
        ocl_printf(t, "    int %s = i;\n", rest);
    }
    for (int32_t axis = b->ndim; axis-- > 0;) {
        if (axis == 0)
            ocl_printf(t, "    at%u += %s * (int)b%u.stride[0];\n", in, rest, in);
        else
            ocl_printf(t,
                       "    { const int n = (int)b%u.dim[%d], q = r%u / n;\n"
                       "      at%u += (r%u - q * n) * (int)b%u.stride[%d]; r%u = q; }\n",
                       in, (int)axis, in, in, in, in, (int)axis, in);
    }
}

static void put_constants(ocl_text *t, const ocl_formula *f, uint32_t first)
{
    for (uint32_t j = 0; j < f->n_constants; j++) {
        char name[16];
        snprintf(name, sizeof name, "c%u", j);
        ocl_printf(t, "    const A %s = k.c[%u];\n",
                   f->constant_name[j] ? f->constant_name[j] : name, first + j);
    }
}

const char *ocl_text_of(const ocl_formula *f)
{
    return f->text ? f->text : f->built;
}

static double round_to(tn_dtype dtype, double v)
{
    switch (dtype) {
    case TN_F32: return (double)(float)v;
    case TN_F16: return (double)tn_f16_to_f32(tn_f64_to_f16(v));
    case TN_BF16: return (double)tn_bf16_to_f32(tn_f64_to_bf16(v));
    case TN_I8: return (double)tn_saturate(v, INT8_MIN, INT8_MAX);
    case TN_U8: return (double)tn_saturate(v, 0, UINT8_MAX);
    case TN_I32: return (double)tn_saturate(v, INT32_MIN, INT32_MAX);
    case TN_BOOL: return v != 0;
    default: return v;
    }
}

void ocl_take_constants(ocl_numbers *k, const ocl_formula *f, tn_dtype dtype)
{
    for (uint32_t i = 0; i < f->n_constants && k->n < OCL_MAX_CONSTANTS; i++)
        k->v[k->n++] = f->rounded ? round_to(dtype, f->constant[i]) : f->constant[i];
}

void ocl_pass_constants(ocl_plan *p, ocl_launch *l, tn_dtype number, const ocl_numbers *k)
{
    union {
        float f32[OCL_MAX_CONSTANTS];
        double f64[OCL_MAX_CONSTANTS];
        cl_long i64[OCL_MAX_CONSTANTS];
    } all;
    for (uint32_t i = 0; i < k->n; i++) {
        if (number == TN_F64)
            all.f64[i] = k->v[i];
        else if (number == TN_F32)
            all.f32[i] = (float)k->v[i];
        else
            all.i64[i] = tn_saturate(k->v[i], INT64_MIN, INT64_MAX);
    }
    if (k->n) ocl_bytes(p, l, &all, k->n * (number == TN_F32 ? 4 : 8));
}

// A work item computes an element; on a CPU so many, one after the other, that their loop is worth
// starting and made of vectors.
enum { CPU_ELEMENTS = 16384 };
void ocl_put_each(ocl_text *t, const char *item)
{
    ocl_printf(
        t,
        "#ifdef TN_ON_CPU\n#define ITEMS(n) ((n) / %d + ((n) %% %d > 0))\n"
        "#define EACH(i, n) const int first = (int)%s * %d,"
        " end = first + min(n - first, %d);"
        " _Pragma(\"clang loop vectorize(assume_safety)\") for (int i = first; i < end; i++)\n"
        "#else\n#define ITEMS(n) (n)\n#define EACH(i, n) const int i = (int)%s; if (i < n)\n"
        "#endif\n",
        CPU_ELEMENTS, CPU_ELEMENTS, item, CPU_ELEMENTS, CPU_ELEMENTS, item);
}

int64_t ocl_items(const ocl_plan *p, int64_t n)
{
    return p->device->cpu ? (n + CPU_ELEMENTS - 1) / CPU_ELEMENTS : n;
}

void ocl_over_items(ocl_plan *p, ocl_launch *l, int64_t items)
{
    if (p->device->cpu)
        ocl_singly(p, l, items, 1, 1);
    else
        ocl_over(p, l, items, 1, 1);
}

// The kernel's head: inputs that are read, boxes, outputs, constants, n.
static void put_head(ocl_text *t, const bool *read, uint32_t n_in, const ocl_box *boxes,
                     uint32_t n_out, uint32_t n_constants)
{
    ocl_put_each(t, "get_global_id(0)");
    if (n_constants) ocl_printf(t, "typedef struct numbers { A c[%u]; } numbers;\n", n_constants);
    ocl_append(t, "__kernel void map(");
    for (uint32_t i = 0; i < n_in; i++) {
        if (!read[i]) continue;
        ocl_printf(t, "OUT(i%u), ", i);
        if (!is_plain(&boxes[i])) ocl_printf(t, "const box b%u, ", i);
    }
    for (uint32_t i = 0; i < n_out; i++) ocl_printf(t, "OUT(o%u), ", i);
    ocl_printf(t, "%sconst int n)\n{\nEACH(i, n) {\n", n_constants ? "const numbers k, " : "");
}

static void pass_head(ocl_plan *p, ocl_launch *l, const bool *read, uint32_t n_in,
                      const ocl_box *boxes)
{
    const tn_call *c = p->k->call;
    for (uint32_t i = 0; i < n_in; i++) {
        if (!read[i]) continue;
        ocl_in(p, l, i);
        if (!is_plain(&boxes[i])) ocl_bytes(p, l, &boxes[i], sizeof boxes[i]);
    }
    for (uint32_t i = 0; i < c->n_out; i++) ocl_out(p, l, i);
}

void ocl_put_types(ocl_text *t, const tn_call *c, tn_dtype number)
{
    tn_dtype dtypes[2 * OCL_OPERANDS + OCL_MAX_OUTPUTS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_in && i < 2 * OCL_OPERANDS; i++) dtypes[n++] = c->in[i]->dtype;
    for (uint32_t i = 0; i < c->n_out && i < OCL_MAX_OUTPUTS; i++) dtypes[n++] = c->out[i]->dtype;
    ocl_prologue(t, number, n, dtypes);
}

void ocl_put_element(ocl_text *t, const tn_call *c, const ocl_formula *f, const ocl_box *boxes)
{
    put_constants(t, f, 0);
    for (uint32_t i = 0; i < f->n_in; i++) {
        if (!f->operand[i]) continue;
        const bool plain = !boxes || is_plain(&boxes[i]);
        if (!plain) put_place(t, i, &boxes[i]);
        ocl_printf(t, "    PUT(T%u, i%u);\n    A %s = LD%u(i%u, %s", i, i, f->operand[i], i, i,
                   plain ? "i" : "at");
        if (!plain) ocl_printf(t, "%u", i);
        ocl_append(t, ");\n");
    }
    ocl_printf(t, "    PUT(T%u, o0);\n    %s\n", c->n_in, f->before ? f->before : "");
    ocl_printf(t, "    const A result = (%s);\n", ocl_text_of(f));
    for (uint32_t i = 0; i < f->n_in; i++)
        if (f->written >> i & 1) ocl_printf(t, "    ST%u(i%u, i, %s);\n", i, i, f->operand[i]);
    ocl_printf(t, "    ST%u(o0, i, result);\n", c->n_in);
}

static void put_map(ocl_text *t, const tn_call *c, const ocl_formula *f, const ocl_box *boxes,
                    tn_dtype number)
{
    bool read[OCL_OPERANDS] = {false};
    for (uint32_t i = 0; i < f->n_in; i++) read[i] = f->operand[i] != NULL;
    ocl_put_types(t, c, number);
    ocl_vocabulary(t, number, ocl_text_of(f));
    put_head(t, read, f->n_in, boxes, 1, f->n_constants);
    ocl_put_element(t, c, f, boxes);
    ocl_append(t, "}\n}\n");
}

void ocl_map(ocl_plan *p, const ocl_formula *f, const ocl_box *boxes)
{
    const tn_call *c = p->k->call;
    const tn_dtype dtype = tn_call_main_dtype(c), number = ocl_number(dtype);
    ocl_box own[OCL_OPERANDS];
    bool read[OCL_OPERANDS] = {false};
    for (uint32_t i = 0; i < f->n_in; i++) {
        own[i] = boxes ? boxes[i] : ocl_broadcast(c->in[i], c->out[0]);
        ocl_box_collapse(&own[i]);
        read[i] = f->operand[i] != NULL;
    }
    ocl_text t = {.host = p->k->host};
    put_map(&t, c, f, own, number);
    ocl_launch *l = ocl_add_text(p, &t, "map");
    ocl_numbers k = {.n = 0};
    ocl_take_constants(&k, f, dtype);
    pass_head(p, l, read, f->n_in, own);
    ocl_pass_constants(p, l, number, &k);
    ocl_int(p, l, c->out[0]->size);
    ocl_over_items(p, l, ocl_items(p, c->out[0]->size));
}

// Output 0 may be written over inputs that are read where it is written.
static void permit_inplace(const tn_call *c, const ocl_formula *f, tn_kernel_info *info)
{
    for (uint32_t i = 0; i < f->n_in && i < 2; i++)
        if (f->operand[i] && c->in[i]->size == c->out[0]->size &&
            !(c->in[i]->flags & TN_VALUE_SHAPE_ONLY))
            ocl_inplace(c, info, i);
}

tn_status ocl_map_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    ocl_plan *p = ocl_begin(k);
    ocl_formula f;
    if (!ocl_formula_of(k->call, &f))
        return tn_fail(k->host, TN_E_INTERNAL, "%s: no formula", k->call->op->name);
    ocl_map(p, &f, NULL);
    permit_inplace(k->call, &f, info);
    return ocl_end(p);
}

// ------------------------------------------------------------------ fused
// calls

// Where the elements of each input are; how many inputs broadcast.
static uint32_t find_places(const tn_call *c, ocl_box *boxes)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_in; i++) {
        boxes[i] = ocl_broadcast(c->in[i], c->out[0]);
        ocl_box_collapse(&boxes[i]);
        n += !is_plain(&boxes[i]);
    }
    return n;
}

static bool too_many_arguments(const tn_call *c, uint32_t constants)
{
    ocl_box boxes[OCL_OPERANDS];
    const size_t n = find_places(c, boxes);
    return n * sizeof(ocl_box) + 16 * (c->n_in + c->n_out) + 8 * constants + 8 > OCL_MOST_ARGUMENTS;
}

const char *ocl_part_cannot(const tn_call *c, const tn_part *part, const ocl_formula *f)
{
    const tn_value_info *out = c->out[0];
    if (part->call->out[0]->size != out->size || part->call->out[0]->dtype != out->dtype)
        return "a part has another dtype or size";
    for (uint32_t j = 0; j < f->n_in; j++) {
        const tn_value_info *in = part->call->in[j];
        if (in->dtype != out->dtype) return "a part has inputs of another dtype";
        if (in->size != out->size && (part->from[j] < 0 || in->ndim > out->ndim))
            return "a part has inputs of another size";
    }
    return NULL;
}

static const char *fused_cannot(const tn_call *c)
{
    uint32_t constants = 0;
    if (c->n_parts > OCL_MOST_PARTS) return "fuses at most 32 operators";
    if (c->n_in > OCL_OPERANDS || c->n_out > OCL_MAX_OUTPUTS) return "too many inputs or outputs";
    for (uint32_t i = 0; i < c->n_parts; i++) {
        const tn_call *part = c->parts[i].call;
        ocl_formula f;
        if (!(part->op->flags & TN_OP_ELEMENTWISE)) return "fuses elementwise operators only";
        if (!ocl_formula_of(part, &f) || f.written) return "a part has no formula";
        const char *why = ocl_part_cannot(c, &c->parts[i], &f);
        if (why) return why;
        constants += f.n_constants;
    }
    if (constants > OCL_MAX_CONSTANTS) return "too many constants";
    return too_many_arguments(c, constants) ? "too many operands that broadcast" : NULL;
}

void ocl_put_part(ocl_text *t, const tn_part *part, uint32_t number, const ocl_formula *f,
                  uint32_t first)
{
    ocl_printf(t, "    A p%u;\n    {\n", number);
    put_constants(t, f, first);
    for (uint32_t j = 0; j < f->n_in; j++) {
        const int32_t from = part->from[j];
        if (!f->operand[j]) continue;
        // The operand's name may be that of an outer value: those begin with p and
        // v.
        ocl_printf(t, "    const A %s = %s%d;\n", f->operand[j], from < 0 ? "p" : "v",
                   from < 0 ? -1 - from : from);
    }
    ocl_printf(t, "    p%u = (%s);\n    }\n", number, ocl_text_of(f));
}

// Declares v<i>, the element of input i.
static void put_input(ocl_text *t, uint32_t i, const ocl_box *box)
{
    ocl_printf(t, "    GET(T%u, i%u);\n", i, i);
    if (is_plain(box)) {
        ocl_printf(t, "    const A v%u = LD%u(i%u, i);\n", i, i, i);
        return;
    }
    put_place(t, i, box);
    ocl_printf(t, "    const A v%u = LD%u(i%u, at%u);\n", i, i, i, i);
}

static void put_fused(ocl_text *t, const tn_call *c, const bool *read, const ocl_box *boxes,
                      ocl_numbers *k)
{
    ocl_text body = {.host = t->host};
    for (uint32_t i = 0; i < c->n_parts; i++) {
        ocl_formula f;
        ocl_formula_of(c->parts[i].call, &f);
        ocl_put_part(&body, &c->parts[i], i, &f, k->n);
        ocl_take_constants(k, &f, c->out[0]->dtype);
    }
    ocl_put_types(t, c, ocl_number(c->out[0]->dtype));
    ocl_vocabulary(t, ocl_number(c->out[0]->dtype), body.s ? body.s : "");
    put_head(t, read, c->n_in, boxes, c->n_out, k->n);
    for (uint32_t i = 0; i < c->n_in; i++)
        if (read[i]) put_input(t, i, &boxes[i]);
    if (body.s) ocl_append(t, body.s);
    for (uint32_t o = 0; o < c->n_out; o++)
        ocl_printf(t, "    PUT(T%u, o%u);\n    ST%u(o%u, i, p%u);\n", c->n_in + o, o, c->n_in + o,
                   o, c->out_parts[o]);
    ocl_append(t, "}\n}\n");
    t->failed |= body.failed;
    ocl_text_free(&body);
}

static tn_status fused_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    ocl_plan *p = ocl_begin(k);
    ocl_text t = {.host = k->host};
    ocl_numbers all = {.n = 0};
    bool read[OCL_OPERANDS] = {false};
    ocl_box boxes[OCL_OPERANDS];
    find_places(c, boxes);
    for (uint32_t i = 0; i < c->n_parts; i++) {
        ocl_formula f;
        ocl_formula_of(c->parts[i].call, &f);
        for (uint32_t j = 0; j < f.n_in; j++)
            if (f.operand[j] && c->parts[i].from[j] >= 0) read[c->parts[i].from[j]] = true;
    }
    put_fused(&t, c, read, boxes, &all);
    ocl_launch *l = ocl_add_text(p, &t, "map");
    pass_head(p, l, read, c->n_in, boxes);
    ocl_pass_constants(p, l, ocl_number(c->out[0]->dtype), &all);
    ocl_int(p, l, c->out[0]->size);
    ocl_over_items(p, l, ocl_items(p, c->out[0]->size));
    for (uint32_t i = 0; i < c->n_in && info->n_inplace < TN_MAX_INPLACE && c->n_out == 1; i++)
        if (read[i]) ocl_inplace(c, info, i);
    return ocl_end(p);
}

const tn_kernel_row ocl_fuse[] = {
    {.op = "_fused",
     .dtypes = TN_ALL_DTYPES,
     .flags = OCL_FLAGS,
     .impl = "generated, fused",
     .state_size = sizeof(ocl_plan),
     .cannot = fused_cannot,
     .setup = fused_setup,
     .run = ocl_run,
     .teardown = ocl_teardown},
    {0},
};
