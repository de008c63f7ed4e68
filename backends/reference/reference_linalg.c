// backends/reference/reference_linalg.c: the Cholesky factor and triangular systems. All sums and
// the factor itself are float64 until they are stored.
#include "reference.h"

// ------------------------------------------------------------------ linalg_potrf

// Scratch: one matrix, n × n doubles.
static tn_status potrf_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *a = k->call->in[0];
    const int64_t n = a->dims[a->ndim - 1];
    info->scratch_bytes = (uint64_t)(n * n) * sizeof(double);
    ref_inplace(k, info, 0);
    return TN_OK;
}

// l(n, n) holds A in its lower triangle, and then the factor:
//     l[j, j] = √(a[j, j] − Σ l[j, p]²),  l[i, j] = (a[i, j] − Σ l[i, p] l[j, p]) / l[j, j]
// with sums over p < j. Returns the first j whose root does not exist, or n.
static int64_t factorise(double *l, int64_t n)
{
    for (int64_t j = 0; j < n; j++) {
        for (int64_t i = j; i < n; i++) {
            double sum = l[i * n + j];
            for (int64_t p = 0; p < j; p++) sum -= l[i * n + p] * l[j * n + p];
            if (i == j && !(sum > 0)) return j; // NaN, too
            l[i * n + j] = i == j ? sqrt(sum) : sum / l[j * n + j];
        }
    }
    return n;
}

// The factor as matrix b of y: 0 above the diagonal, NaN below if there is none.
static void store(ref_array y, int64_t b, const double *l, int64_t n, bool failed)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            ref_put_real(y, (b * n + i) * n + j, j > i ? 0 : failed ? NAN : l[i * n + j]);
}

static tn_status potrf(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    const tn_value_info *v = k->call->in[0];
    const int64_t n = v->dims[v->ndim - 1], count = tn_span(v, 0, v->ndim - 2);
    double *l = a->scratch.host;
    int64_t bad = -1, minor = 0;
    if (y.n == 0) return TN_OK;
    for (int64_t b = 0; b < count; b++) {
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j <= i; j++) l[i * n + j] = ref_get_real(x, (b * n + i) * n + j);
        const int64_t reached = factorise(l, n);
        store(y, b, l, n, reached < n);
        if (reached < n && bad < 0) bad = b, minor = reached + 1;
    }
    if (bad < 0) return TN_OK;
    return tn_fail(k->host, TN_E_INVALID,
                   "matrix %lld of %lld is not positive definite: its leading minor of "
                   "order %lld is not positive",
                   (long long)bad, (long long)count, (long long)minor);
}

// ------------------------------------------------------------------ linalg_trsm

// Systems L x = b, or Lᵀ x = b: a triangle of side n, and how its vectors lie in a matrix of B.
typedef struct systems {
    int64_t n, vectors, count; // side, vectors in a matrix, matrices
    int64_t step, next; // elements from one number of a vector to the next; to the next vector
    double alpha;
    bool forward; // L, solved from the top; otherwise Lᵀ, from the bottom
} systems;

// Scratch: one vector.
static tn_status trsm_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_value_info *a = k->call->in[0], *b = k->call->in[1];
    const bool right = tn_call_bool(k->call, "rightside", false);
    const int64_t rows = b->dims[b->ndim - 2], cols = b->dims[b->ndim - 1];
    systems *s = k->state;
    s->n = a->dims[a->ndim - 1];
    s->count = tn_span(a, 0, a->ndim - 2);
    s->vectors = right ? rows : cols;
    s->step = right ? 1 : cols;
    s->next = right ? cols : 1;
    s->alpha = tn_call_f64(k->call, "alpha", 1);
    // X A = B says Aᵀ Xᵀ = Bᵀ
    s->forward = tn_call_bool(k->call, "transpose", false) == right;
    info->scratch_bytes = (uint64_t)s->n * sizeof(double);
    ref_inplace(k, info, 1);
    return TN_OK;
}

// x := L⁻¹ x or L⁻ᵀ x; the triangle begins at element `at` of a.
static void solve(const systems *s, ref_array a, int64_t at, double *x)
{
    const int64_t n = s->n;
    for (int64_t step = 0; step < n; step++) {
        const int64_t i = s->forward ? step : n - 1 - step;
        double sum = x[i];
        for (int64_t p = 0; s->forward && p < i; p++) sum -= ref_get_real(a, at + i * n + p) * x[p];
        for (int64_t p = i + 1; !s->forward && p < n; p++)
            sum -= ref_get_real(a, at + p * n + i) * x[p];
        x[i] = sum / ref_get_real(a, at + i * n + i);
    }
}

static tn_status trsm(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const systems *s = k->state;
    const ref_array triangle = ref_in(k, a, 0), b = ref_in(k, a, 1), y = ref_out(k, a, 0);
    double *x = a->scratch.host;
    if (y.n == 0) return TN_OK;
    for (int64_t m = 0; m < s->count; m++) {
        for (int64_t v = 0; v < s->vectors; v++) {
            const int64_t at = m * s->n * s->vectors + v * s->next;
            for (int64_t i = 0; i < s->n; i++) x[i] = s->alpha * ref_get_real(b, at + i * s->step);
            solve(s, triangle, m * s->n * s->n, x);
            for (int64_t i = 0; i < s->n; i++) ref_put_real(y, at + i * s->step, x[i]);
        }
    }
    return TN_OK;
}

const tn_kernel_row ref_linalg[] = {
    {.op = "linalg_potrf",
     .dtypes = TN_FLOATS,
     .flags = REF_FLAGS,
     .setup = potrf_setup,
     .run = potrf},
    {.op = "linalg_trsm",
     .dtypes = TN_FLOATS,
     .flags = REF_FLAGS,
     .state_size = sizeof(systems),
     .setup = trsm_setup,
     .run = trsm},
    {0},
};
