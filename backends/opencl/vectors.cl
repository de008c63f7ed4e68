// backends/opencl/vectors.cl: sums in registers, 8 rows by two vectors, and
// blocks of 8 by 8 that are turned: what products and direct convolutions of
// CPUs are made of.
#ifdef A_IS_F64
#define V double8
#define VN 8
#define LOAD(p) vload8(0, p)
#define STORE(v, p) vstore8(v, 0, p)
#else
#define V float16
#define VN 16
#define LOAD(p) vload16(0, p)
#define STORE(v, p) vstore16(v, 0, p)
#endif

// The vector at p of which `left` lanes exist.
V lanes(const __global A *p, int left)
{
    A v[VN];
    for (int i = 0; i < VN; i++) v[i] = i < left ? p[i] : (A)0;
    return LOAD(v);
}

// The sum of the lanes.
A total(V v)
{
#ifdef A_IS_F64
    const double4 h = v.lo + v.hi;
#else
    const float8 g = v.lo + v.hi;
    const float4 h = g.lo + g.hi;
#endif
    return (h.x + h.y) + (h.z + h.w);
}

// x0 y0 .. x7 y7 are the sums; STEP adds column `at` of rows a0 .. a7 times b0 b1.
#define ROWS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define STEP(r)            \
    x##r += a##r[at] * b0; \
    y##r += a##r[at] * b1;

#ifdef A_IS_F64
#define H double8
#else
#define H float8
#endif

// 8 vectors of 8 become the columns of what they were.
#define PAIRS_LO(a, b) (H)(a.s0, b.s0, a.s1, b.s1, a.s4, b.s4, a.s5, b.s5)
#define PAIRS_HI(a, b) (H)(a.s2, b.s2, a.s3, b.s3, a.s6, b.s6, a.s7, b.s7)
#define FOURS_LO(a, b) (H)(a.s01, b.s01, a.s45, b.s45)
#define FOURS_HI(a, b) (H)(a.s23, b.s23, a.s67, b.s67)
#define TURN(h)                                                       \
    {                                                                 \
        const H t0 = PAIRS_LO(h[0], h[1]), t1 = PAIRS_HI(h[0], h[1]); \
        const H t2 = PAIRS_LO(h[2], h[3]), t3 = PAIRS_HI(h[2], h[3]); \
        const H t4 = PAIRS_LO(h[4], h[5]), t5 = PAIRS_HI(h[4], h[5]); \
        const H t6 = PAIRS_LO(h[6], h[7]), t7 = PAIRS_HI(h[6], h[7]); \
        const H u0 = FOURS_LO(t0, t2), u1 = FOURS_HI(t0, t2);         \
        const H u2 = FOURS_LO(t1, t3), u3 = FOURS_HI(t1, t3);         \
        const H u4 = FOURS_LO(t4, t6), u5 = FOURS_HI(t4, t6);         \
        const H u6 = FOURS_LO(t5, t7), u7 = FOURS_HI(t5, t7);         \
        h[0] = (H)(u0.lo, u4.lo), h[1] = (H)(u1.lo, u5.lo);           \
        h[2] = (H)(u2.lo, u6.lo), h[3] = (H)(u3.lo, u7.lo);           \
        h[4] = (H)(u0.hi, u4.hi), h[5] = (H)(u1.hi, u5.hi);           \
        h[6] = (H)(u2.hi, u6.hi), h[7] = (H)(u3.hi, u7.hi);           \
    }

// The first `left` numbers at p, and zeros; the other way round.
H some(const __global A *p, int left)
{
    A v[8];
    if (left >= 8) return vload8(0, p);
    for (int i = 0; i < 8; i++) v[i] = i < left ? p[i] : (A)0;
    return vload8(0, v);
}
void put_some(H h, __global A *p, int left)
{
    A v[8];
    if (left >= 8) {
        vstore8(h, 0, p);
        return;
    }
    vstore8(h, 0, v);
    for (int i = 0; i < left; i++) p[i] = v[i];
}
