// backends/opencl/opencl_linalg.c: the Cholesky factor and triangular systems.
#include "opencl.h"

enum { BLOCK = 32 }; // columns that are done at a time

static ocl_launch *add(ocl_plan *p, const char *name)
{
    const tn_dtype dtype = p->k->call->out[0]->dtype;
    ocl_text t = {.host = p->k->host};
    ocl_prologue(&t, ocl_number(dtype), 1, &dtype);
    ocl_complaints(&t);
    ocl_append(&t, ocl_linalg_cl);
    return ocl_add_text(p, &t, name);
}

// ------------------------------------------------------------------ linalg_potrf

// Matrices in scratch: l, and how far each came.
typedef struct factor {
    int64_t n, count;
    uint64_t l, reached; // in scratch
} factor;

static tn_status not_definite(const ocl_plan *p, const int64_t what[2])
{
    const tn_call *c = p->k->call;
    return tn_fail(
        p->k->host, TN_E_INVALID,
        "%s (%s) on opencl:%s: matrix %lld of %lld is not positive definite: its leading minor of "
        "order %lld is not positive",
        c->name, c->op->name, p->device->number, (long long)what[0],
        (long long)tn_span(c->in[0], 0, c->in[0]->ndim - 2), (long long)what[1]);
}

static void factor_columns(ocl_plan *p, const factor *f, int64_t begin)
{
    static const char *const names[] = {"factor_block", "factor_row", "take_columns"};
    const int64_t end = tn_least(begin + BLOCK, f->n), rest = f->n - end;
    for (int i = 0; i < 3; i++) {
        ocl_launch *l = add(p, names[i]);
        ocl_scratch(p, l, f->l);
        if (i == 0) ocl_scratch(p, l, f->reached);
        ocl_int(p, l, f->n);
        if (i == 0) ocl_int(p, l, f->count);
        ocl_int(p, l, begin);
        ocl_int(p, l, end);
        if (i == 0)
            ocl_over(p, l, f->count, 1, 1);
        else if (i == 1)
            ocl_over(p, l, rest, f->count, 1);
        else
            ocl_over(p, l, rest, rest, f->count);
    }
}

static tn_status potrf_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *x = k->call->in[0];
    factor f = {.n = x->dims[x->ndim - 1], .count = tn_span(x, 0, x->ndim - 2)};
    ocl_room room = {0};
    f.l = ocl_take(&room, x->size, 8);
    f.reached = ocl_take(&room, f.count, sizeof(cl_int));
    info->scratch_bytes = room.used;
    ocl_inplace(k->call, info, 0);
    ocl_plan *p = ocl_begin(k);
    if (x->size == 0) return ocl_end(p);
    ocl_launch *l = add(p, "load_lower");
    ocl_in(p, l, 0);
    ocl_scratch(p, l, f.l);
    ocl_scratch(p, l, f.reached);
    ocl_int(p, l, f.n);
    ocl_over(p, l, f.n, f.n, f.count);
    for (int64_t begin = 0; begin < f.n; begin += BLOCK) factor_columns(p, &f, begin);
    l = add(p, "store_lower");
    ocl_scratch(p, l, f.l);
    ocl_scratch(p, l, f.reached);
    ocl_out(p, l, 0);
    ocl_int(p, l, f.n);
    ocl_over(p, l, f.n, f.n, f.count);
    l = add(p, "check_roots");
    ocl_scratch(p, l, f.reached);
    ocl_int(p, l, f.n);
    ocl_int(p, l, f.count);
    ocl_fault(p, l, not_definite);
    ocl_groups(p, l, (const size_t[]){1, 1, 1}, (const size_t[]){1, 1, 1});
    return ocl_end(p);
}

// ------------------------------------------------------------------ linalg_trsm

typedef struct systems {
    int64_t n, vectors, count; // side of a triangle; vectors of each; triangles
    int64_t next, step;        // from vector to vector, and inside one, in B
    bool back;                 // from the bottom up, with the transposed triangle
} systems;

static systems systems_of(const tn_call *c)
{
    const tn_value_info *a = c->in[0], *b = c->in[1];
    const bool right = tn_call_bool(c, "rightside", false);
    const int64_t rows = b->dims[b->ndim - 2], columns = b->dims[b->ndim - 1];
    return (systems){.n = a->dims[a->ndim - 1],
                     .vectors = right ? rows : columns,
                     .count = tn_span(a, 0, a->ndim - 2),
                     .next = right ? columns : 1,
                     .step = right ? 1 : columns,
                     // X A = B says Aᵀ Xᵀ = Bᵀ
                     .back = tn_call_bool(c, "transpose", false) != right};
}

static void move_vectors(ocl_plan *p, const systems *s, bool in)
{
    ocl_launch *l = add(p, in ? "load_vectors" : "store_vectors");
    if (in) ocl_in(p, l, 1);
    ocl_scratch(p, l, 0);
    if (!in) ocl_out(p, l, 0);
    ocl_int(p, l, s->n);
    ocl_int(p, l, s->vectors);
    ocl_int(p, l, s->next);
    ocl_int(p, l, s->step);
    if (in)
        ocl_real(p, l, ocl_number(p->k->call->out[0]->dtype), tn_call_f64(p->k->call, "alpha", 1));
    ocl_over(p, l, s->vectors, s->n, s->count);
}

// Numbers begin … end-1 of all vectors, and what they take from those that are left.
static void solve_numbers(ocl_plan *p, const systems *s, int64_t begin, int64_t end)
{
    for (int i = 0; i < 2; i++) {
        ocl_launch *l = add(p, i == 0 ? "solve_block" : "take_block");
        ocl_in(p, l, 0);
        ocl_scratch(p, l, 0);
        ocl_int(p, l, s->n);
        ocl_int(p, l, s->vectors);
        ocl_int(p, l, begin);
        ocl_int(p, l, end);
        ocl_int(p, l, s->back);
        if (i == 1) ocl_int(p, l, s->back ? 0 : end);
        if (i == 1)
            ocl_over(p, l, s->vectors, s->back ? begin : s->n - end, s->count);
        else
            ocl_over(p, l, s->vectors, s->count, 1);
    }
}

// Scratch: the vectors.
static tn_status trsm_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const systems s = systems_of(k->call);
    info->scratch_bytes = (uint64_t)k->call->in[1]->size * 8;
    ocl_inplace(k->call, info, 1);
    ocl_plan *p = ocl_begin(k);
    if (k->call->in[1]->size == 0) return ocl_end(p);
    move_vectors(p, &s, true);
    const int64_t blocks = (s.n + BLOCK - 1) / BLOCK;
    for (int64_t i = 0; i < blocks; i++) {
        const int64_t begin = (s.back ? blocks - 1 - i : i) * BLOCK;
        solve_numbers(p, &s, begin, tn_least(begin + BLOCK, s.n));
    }
    move_vectors(p, &s, false);
    return ocl_end(p);
}

const tn_kernel_row ocl_linalgs[] = {
    OCL_ROW("linalg_potrf", TN_FLOATS, NULL, potrf_setup),
    OCL_ROW("linalg_trsm", TN_FLOATS, NULL, trsm_setup),
    {0},
};
