// backends/opencl/gemm.cl: c(m, n) = a(m, k) b(k, n) + bias, a batch of them.
//
// Element (i, j) of a matrix is at i * row + j * col; products of a batch are
// `step` apart, and k may come in `segments` stretches, `seg` apart. bias_mode:
// 0 none, 1 per column, 2 per row. Product z takes a and bias number z % cycle,
// unless cycle is 0. TAIL(v, i) is what becomes of v, element i of c.
#ifndef TAIL
#define TAIL(v, i) (v)
#define TAIL_ARGUMENTS
#define TAIL_GET
#define STORED_AS_COMPUTED 1
#endif
#define ARGUMENTS                                                                                 \
    IN(a), IN(b), OUT(c), IN(bias), const int bias_mode, const int cycle, const int m,            \
        const int n, const int k, const int segments, const int a_row, const int a_col,           \
        const long a_step, const long a_seg, const int b_row, const int b_col, const long b_step, \
        const long b_seg, const int c_row, const int c_col, const long c_step

#if defined(GEMM_REGISTER) // with vectors.cl before it
// b as panels of 2 VN columns, whose lines lie side by side, 0 where there is no
// column: `per` lines, a multiple of 8, by one work item.
__kernel void panels(IN(b), OUT(to), const int n, const int k, const int b_row, const int b_col,
                     const int per)
{
    GET(A, b);
    PUT(A, to);
    const int begin = (int)get_global_id(0) * per, end = min(k, begin + per);
    const int j0 = (int)get_global_id(1) * 2 * VN, left = n - j0;
    const __global A *from = b + (long)j0 * b_col;
    __global A *lines = to + (long)j0 * k;
    if (b_col == 1) {
        for (int l = begin; l < end; l++) {
            const __global A *p = from + (long)l * b_row;
            const bool whole = left >= 2 * VN;
            STORE(whole ? LOAD(p) : lanes(p, left), lines + (long)l * 2 * VN);
            STORE(whole ? LOAD(p + VN) : lanes(p + VN, left - VN), lines + (long)l * 2 * VN + VN);
        }
        return;
    }
    for (int l = begin; l < end; l += 8)
        for (int j = 0; j < 2 * VN; j += 8) {
            H h[8];
            for (int r = 0; r < 8; r++)
                h[r] = j + r < left ? some(from + (long)(j + r) * b_col + l, k - l) : (H)(0);
            TURN(h)
            for (int r = 0; r < 8; r++)
                if (l + r < k) vstore8(h[r], 0, lines + (long)(l + r) * 2 * VN + j);
        }
}

// a, whose columns are contiguous, the same way: panels of 8 rows.
__kernel void row_panels(IN(a), OUT(to), const int m, const int k, const int a_col, const int per)
{
    GET(A, a);
    PUT(A, to);
    const int begin = (int)get_global_id(0) * per, end = min(k, begin + per);
    for (int i = (int)get_global_id(1) * 16; i < min(m, (int)get_global_id(1) * 16 + 16); i += 8)
        for (int l = begin; l < end; l++)
            vstore8(some(a + (long)l * a_col + i, m - i), 0, to + (long)i * k + (long)l * 8);
}

// 8 rows by two vectors of columns in registers; b's rows are contiguous. Tiles
// of 8 rows are `a_tile` apart, those of 2 VN columns `b_tile`.
#define BEGIN(r)                    \
    V x##r = (V)(0), y##r = (V)(0); \
    const __global A *a##r =        \
        a + za * a_step + (long)(i0 / 8) * a_tile + (long)(min(i0 + r, m - 1) - i0) * a_row;
#ifdef STORED_AS_COMPUTED
#define IS_STORED(j) ((j) <= n)
#else
#define IS_STORED(j) false
#endif
#ifdef TN_ON_CPU
#define IN_VECTORS _Pragma("clang loop vectorize(assume_safety)")
#else
#define IN_VECTORS
#endif
#define END(r)                                                                    \
    if (i0 + r < m) {                                                             \
        const A more = bias_mode == 2 ? bias[first_bias + i0 + r] : (A)0;         \
        const long at = z * c_step + (long)(i0 + r) * c_row;                      \
        x##r += more + bias0;                                                     \
        y##r += more + bias1;                                                     \
        if (IS_STORED(j0 + 2 * VN)) {                                             \
            STORE(x##r, c + at + j0);                                             \
            STORE(y##r, c + at + j0 + VN);                                        \
        } else {                                                                  \
            A v[2 * VN];                                                          \
            STORE(x##r, v);                                                       \
            STORE(y##r, v + VN);                                                  \
            if (j0 + 2 * VN <= n) {                                               \
                IN_VECTORS for (int j = 0; j < 2 * VN; j++) c[at + j0 + j] =      \
                    TAIL(v[j], at + j0 + j);                                      \
            } else {                                                              \
                for (int j = j0; j < n; j++) c[at + j] = TAIL(v[j - j1], at + j); \
            }                                                                     \
        }                                                                         \
    }
__kernel void gemm_nn(ARGUMENTS, const int padded, const int b_tile,
                      const int a_tile TAIL_ARGUMENTS)
{
    GET(A, a);
    GET(A, b);
    GET(A, bias);
    PUT(A, c);
    TAIL_GET
    const int j0 = (int)get_global_id(0) * 2 * VN, i0 = (int)get_global_id(1) * 8;
    const long z = (long)get_global_id(2), za = cycle ? z % cycle : z;
    const int first_bias = cycle ? (int)za * m : 0;
    if (i0 >= m || j0 >= n) return;
    // The last columns are computed together with some before them, which are not
    // stored.
    const bool whole = padded || j0 + 2 * VN <= n, narrow = !whole && n < 2 * VN;
    const int j1 = whole || narrow ? j0 : n - 2 * VN;
    ROWS(BEGIN)
    for (int s = 0; s < segments; s++) {
        const __global A *pb =
            b + z * b_step + s * b_seg + (long)(j0 / (2 * VN)) * b_tile + j1 - j0;
        long at = s * a_seg;
        if (narrow) {
            for (int l = 0; l < k; l++, at += a_col, pb += b_row) {
                const V b0 = lanes(pb, n - j1), b1 = lanes(pb + VN, n - j1 - VN);
                ROWS(STEP)
            }
        } else {
            for (int l = 0; l < k; l++, at += a_col, pb += b_row) {
                const V b0 = LOAD(pb), b1 = LOAD(pb + VN);
                ROWS(STEP)
            }
        }
    }
    V bias0 = (V)(0), bias1 = (V)(0);
    if (bias_mode == 1) {
        bias0 = lanes(bias + j1, n - j1);
        bias1 = lanes(bias + j1 + VN, n - j1 - VN);
    }
    ROWS(END)
}

// 4 by 4 sums of vectors along k, which is contiguous in a and b.
#define FOUR(X, r) X(r, 0) X(r, 1) X(r, 2) X(r, 3)
#define SIXTEEN(X) FOUR(X, 0) FOUR(X, 1) FOUR(X, 2) FOUR(X, 3)
#define SUM_BEGIN(r, q) \
    V s##r##q = (V)(0); \
    A t##r##q = 0;
#define SUM_VECTOR(r, q) s##r##q += va##r * vb##q;
#define SUM_NUMBER(r, q) t##r##q += a##r[l] * b##q[l];
#define SUM_END(r, q)                                                                 \
    if (i0 + r < m && j0 + q < n) {                                                   \
        const long at = z * c_step + (long)(i0 + r) * c_row + (long)(j0 + q) * c_col; \
        const A more = bias_mode == 1   ? bias[j0 + q]                                \
                       : bias_mode == 2 ? bias[first_bias + i0 + r]                   \
                                        : (A)0;                                       \
        c[at] = TAIL(t##r##q + total(s##r##q) + more, at);                            \
    }
#define POINT_A(r) \
    const __global A *a##r = a + za * a_step + s * a_seg + (long)min(i0 + r, m - 1) * a_row;
#define POINT_B(q) \
    const __global A *b##q = b + z * b_step + s * b_seg + (long)min(j0 + q, n - 1) * b_col;
__kernel void gemm_nt(ARGUMENTS TAIL_ARGUMENTS)
{
    GET(A, a);
    GET(A, b);
    GET(A, bias);
    PUT(A, c);
    TAIL_GET
    const int j0 = (int)get_global_id(0) * 4, i0 = (int)get_global_id(1) * 4;
    const long z = (long)get_global_id(2), za = cycle ? z % cycle : z;
    const int first_bias = cycle ? (int)za * m : 0;
    if (i0 >= m || j0 >= n) return;
    SIXTEEN(SUM_BEGIN)
    for (int s = 0; s < segments; s++) {
        POINT_A(0)
        POINT_A(1)
        POINT_A(2) POINT_A(3) POINT_B(0) POINT_B(1) POINT_B(2) POINT_B(3) int l = 0;
        for (; l + VN <= k; l += VN) {
            const V va0 = LOAD(a0 + l), va1 = LOAD(a1 + l), va2 = LOAD(a2 + l), va3 = LOAD(a3 + l);
            const V vb0 = LOAD(b0 + l), vb1 = LOAD(b1 + l), vb2 = LOAD(b2 + l), vb3 = LOAD(b3 + l);
            SIXTEEN(SUM_VECTOR)
        }
        for (; l < k; l++) {
            SIXTEEN(SUM_NUMBER)
        }
    }
    SIXTEEN(SUM_END)
}

#else // tiles of 64 x 64 in local memory, 4 x 4 per work item; any strides and
      // dtype

__kernel __attribute__((reqd_work_group_size(16, 16, 1))) void gemm_local(ARGUMENTS TAIL_ARGUMENTS)
{
    GET(T0, a);
    GET(T1, b);
    GET(T2, bias);
    PUT(T3, c);
    TAIL_GET
    __local A ta[16][65], tb[16][65];
    const int x = (int)get_local_id(0), y = (int)get_local_id(1), id = y * 16 + x;
    const int i0 = (int)get_group_id(1) * 64, j0 = (int)get_group_id(0) * 64;
    const long z = (long)get_group_id(2);
    const int first_bias = cycle ? (int)(z % cycle) * m : 0;
    A sum[4][4];
    for (int r = 0; r < 4; r++)
        for (int q = 0; q < 4; q++) sum[r][q] = 0;
    for (int s = 0; s < segments; s++) {
        const long za = (cycle ? z % cycle : z) * a_step + s * a_seg, zb = z * b_step + s * b_seg;
        for (int l0 = 0; l0 < k; l0 += 16) {
            for (int e = 0; e < 4; e++) {
                // Neighbours read neighbours: along k or across it, as the matrix lies.
                const int ka = a_col == 1 ? id % 16 : id / 64 + 4 * e;
                const int ia = a_col == 1 ? id / 16 + 16 * e : id % 64;
                const int kb = b_row == 1 ? id % 16 : id / 64 + 4 * e;
                const int jb = b_row == 1 ? id / 16 + 16 * e : id % 64;
                ta[ka][ia] = i0 + ia < m && l0 + ka < k
                                 ? LD0(a, za + (long)(i0 + ia) * a_row + (long)(l0 + ka) * a_col)
                                 : (A)0;
                tb[kb][jb] = j0 + jb < n && l0 + kb < k
                                 ? LD1(b, zb + (long)(l0 + kb) * b_row + (long)(j0 + jb) * b_col)
                                 : (A)0;
            }
            barrier(CLK_LOCAL_MEM_FENCE);
            for (int l = 0; l < 16; l++) {
                A va[4], vb[4];
                for (int r = 0; r < 4; r++) va[r] = ta[l][y + 16 * r];
                for (int q = 0; q < 4; q++) vb[q] = tb[l][x + 16 * q];
                for (int r = 0; r < 4; r++)
                    for (int q = 0; q < 4; q++) sum[r][q] += va[r] * vb[q];
            }
            barrier(CLK_LOCAL_MEM_FENCE);
        }
    }
    for (int r = 0; r < 4; r++)
        for (int q = 0; q < 4; q++) {
            const int i = i0 + y + 16 * r, j = j0 + x + 16 * q;
            if (i >= m || j >= n) continue;
            A v = sum[r][q];
            if (bias_mode) v += LD2(bias, bias_mode == 1 ? j : first_bias + i);
            const long at = z * c_step + (long)i * c_row + (long)j * c_col;
            ST3(c, at, TAIL(v, at));
        }
}
#endif
