// backends/opencl/vectors.cl: sums in registers, 8 rows by two vectors: what
// products and direct convolutions of CPUs are made of.
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
