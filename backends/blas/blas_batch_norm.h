// backends/blas/blas_batch_norm.h: the loops of blas_batch_norm.c, which includes it once per type.
//
// Rows are of one channel; steps go over channels that lie side by side, WIDTH of them at most.
// Loops with relu know which results were positive by computing them again.

// ------------------------------------------------------------------ rows

// sum += Σ x, squares += Σ x y
BLAS_CLONES static void N(row_sums)(const T *x, const T *y, int64_t n, double out[2])
{
    double sum = 0, squares = 0;
    BLAS_SIMD_SUM(sum, squares)
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)y[i];
    }
    out[0] += sum;
    out[1] += squares;
}

BLAS_CLONES static double N(row_squares)(const T *x, int64_t n, double mean)
{
    double sum = 0;
    BLAS_SIMD_SUM(sum)
    for (int64_t i = 0; i < n; i++) sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    return sum;
}

// y = (x - mean) scale + shift
BLAS_CLONES static void N(row_normal)(const T *x, T *y, int64_t n, const T of[3])
{
    const T mean = of[0], scale = of[1], shift = of[2];
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * scale + shift;
}

BLAS_INLINE T N(positive)(T y)
{
    return y > 0 ? y : 0;
}

// dy where the forward's result was positive; computed as there. of: mean, factor, shift.
BLAS_INLINE T N(passed)(T dy, T x, T mean, T factor, T shift)
{
    return (x - mean) * factor + shift > 0 ? dy : 0;
}

BLAS_CLONES static void N(row_normal_relu)(const T *x, T *y, int64_t n, const T of[3])
{
    const T mean = of[0], scale = of[1], shift = of[2];
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) y[i] = N(positive)((x[i] - mean) * scale + shift);
}

BLAS_CLONES static void N(row_sums_relu)(const T *dy, const T *x, int64_t n, const T of[3],
                                         double out[2])
{
    const T mean = of[0], factor = of[1], shift = of[2];
    double sum = 0, squares = 0;
    BLAS_SIMD_SUM(sum, squares)
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)N(passed)(dy[i], x[i], mean, factor, shift);
        sum += d;
        squares += d * (double)x[i];
    }
    out[0] += sum;
    out[1] += squares;
}

// dx = scale dy + slope (x - mean) + shift
BLAS_CLONES static void N(row_gradient)(const T *dy, const T *x, T *dx, int64_t n, const T of[4])
{
    const T mean = of[0], scale = of[1], slope = of[2], shift = of[3];
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) dx[i] = (dy[i] * scale + shift) + (x[i] - mean) * slope;
}

BLAS_CLONES static void N(row_gradient_relu)(const T *dy, const T *x, T *dx, int64_t n,
                                             const T of[4], const T kept[3])
{
    const T mean = of[0], scale = of[1], slope = of[2], shift = of[3];
    const T factor = kept[1], level = kept[2];
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++)
        dx[i] =
            (N(passed)(dy[i], x[i], mean, factor, level) * scale + shift) + (x[i] - mean) * slope;
}

// ------------------------------------------------------------------ columns

BLAS_CLONES static void N(step_sums)(const T *x, const T *y, int64_t n, moments *m)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) {
        m->sum[i] += (double)x[i];
        m->squares[i] += (double)x[i] * (double)y[i];
    }
}

BLAS_CLONES static void N(step_squares)(const T *x, int64_t n, moments *m)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)x[i] - m->mean[i];
        m->var[i] += d * d;
    }
}

BLAS_CLONES static void N(step_normal)(const T *x, T *y, int64_t n, T of[][WIDTH])
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - of[0][i]) * of[1][i] + of[2][i];
}

BLAS_CLONES static void N(step_gradient)(const T *dy, const T *x, T *dx, int64_t n, T of[][WIDTH])
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++)
        dx[i] = (dy[i] * of[1][i] + of[3][i]) + (x[i] - of[0][i]) * of[2][i];
}

BLAS_CLONES static void N(step_normal_relu)(const T *x, T *y, int64_t n, T of[][WIDTH])
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) y[i] = N(positive)((x[i] - of[0][i]) * of[1][i] + of[2][i]);
}

BLAS_CLONES static void N(step_sums_relu)(const T *dy, const T *x, int64_t n, T of[][WIDTH],
                                          moments *m)
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)N(passed)(dy[i], x[i], of[0][i], of[1][i], of[2][i]);
        m->sum[i] += d;
        m->squares[i] += d * (double)x[i];
    }
}

BLAS_CLONES static void N(step_gradient_relu)(const T *dy, const T *x, T *dx, int64_t n,
                                              T of[][WIDTH], T kept[][WIDTH])
{
    BLAS_SIMD
    for (int64_t i = 0; i < n; i++)
        dx[i] = (N(passed)(dy[i], x[i], of[0][i], kept[1][i], kept[2][i]) * of[1][i] + of[3][i]) +
                (x[i] - of[0][i]) * of[2][i];
}
