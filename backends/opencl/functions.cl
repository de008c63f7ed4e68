// backends/opencl/functions.cl: functions of elementwise rows that OpenCL C
// lacks, over A, and those that CPUs have no vectors for.
#ifdef A_IS_I64
// Whole numbers: division by 0 is 0.
#ifdef USES_pymod
long pymod(long a, long b)
{
    if (b == 0 || b == -1) return 0;
    const long r = a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
#endif
#ifdef USES_quotient
long tn_quotient(long a, long b)
{
    if (b == 0) return 0;
    return b == -1 ? -a : a / b;
}
#endif
#ifdef USES_pow
// Negative powers are fractions, which become 0, except those of 1 and -1.
long tn_pow(long a, long b)
{
    if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
    long y = 1;
    for (; b; b /= 2, a *= a)
        if (b % 2) y *= a;
    return y;
}
#define pow tn_pow
#endif
#ifdef USES_hypot
// The largest whole number whose square is not above a * a + b * b: as far as
// ulong holds it.
long tn_hypot(long a, long b)
{
    const ulong x = abs(a), y = abs(b);
    if (x > 3000000000UL || y > 3000000000UL) {
        const ulong big = max(x, y), small = min(x, y);
        const float q = (float)small / (float)big;
        return (long)((float)big * sqrt(1 + q * q));
    }
    const ulong s = x * x + y * y;
    ulong r = 0;
    for (ulong bit = 1UL << 32; bit; bit >>= 1) {
        const ulong next = r + bit;
        if (next <= 4294967295UL && next * next <= s) r = next;
    }
    return (long)r;
}
#define hypot tn_hypot
#endif
#else
#ifdef USES_pymod
A pymod(A a, A b)
{
    if (b == 0) return 0;
    const A r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
#endif
#ifdef USES_digamma
// The logarithmic derivative of gamma: by reflection and recurrence below 10,
// asymptotic above.
A digamma(A x)
{
    const A pi = (A)C(3.14159265358979323846);
    A sum = 0;
    if (x <= 0) {
        if (x == floor(x)) return (A)NAN;
        sum = -pi / tan(pi * x);
        x = 1 - x;
    }
    for (; x < 10; x++) sum -= 1 / x;
    const A r = 1 / (x * x);
    const A tail = r * (C(1.0) / 240 - r * (C(1.0) / 132 - r * (C(691.0) / 32760 - r / 12)));
    return sum + log(x) - C(0.5) / x -
           r * (C(1.0) / 12 - r * (C(1.0) / 120 - r * (C(1.0) / 252 - tail)));
}
#endif
#ifdef USES_erfinv
// From an elementary approximation by Halley's iteration; beyond 1/2 by erfc.
A erfinv(A x)
{
    const A a = fabs(x), b = (A)C(0.147), pi = (A)C(3.14159265358979323846);
    if (!(a < 1)) return a == 1 ? copysign((A)INFINITY, x) : (A)NAN;
    const A l = log((1 - a) * (1 + a)), t = 2 / (pi * b) + l / 2;
    A y = sqrt(max(sqrt(t * t - l / b) - t, (A)0));
    for (int i = 0; i < 3; i++) {
        const A off = a < C(0.5) ? erf(y) - a : (1 - a) - erfc(y);
        const A r = off * (A)C(0.88622692545275801365) * exp(y * y);
        y -= r / (1 + y * r);
    }
    return copysign(y, x);
}
#endif
#endif
#if defined(A_IS_F32) && defined(TN_ON_CPU)
// Work items become lanes of vectors where a function is a straight line of
// arithmetic, which those of drivers for CPUs are not. The polynomials are the
// Cephes library's (S. L. Moshier, 1989: expf.c, logf.c, tanhf.c).
#if defined(USES_exp) || defined(USES_tanh)
#define POWER_OF_2(n) as_float(((n) + 127) << 23)
// e^x - 1 = 2^n (1 + result) - 1, for -104 <= x <= 89 or NaN
float tn_exp_part(float x, int *n)
{
    const float shifted = x * 1.44269504088896341f + 12582912.0f; // 1.5 2^23
    const float whole = shifted - 12582912.0f;
    *n = as_int(shifted) - 0x4B400000;
    const float r = (x - whole * 0.693359375f) - whole * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return p * (r * r) + r;
}
// The power of 2 is applied in two steps, of which the first is a normal number.
float tn_exp(float x)
{
    int n;
    x = x < -104.0f ? -104.0f : x;
    x = x > 89.0f ? 89.0f : x;
    const float p = tn_exp_part(x, &n) + 1.0f;
    const int half_n = n >> 1;
    return p * POWER_OF_2(half_n) * POWER_OF_2(n - half_n);
}
float tn_expm1(float x)
{
    int n;
    float y = x < -18.0f ? -18.0f : x; // -1 to all bits
    y = y > 89.0f ? 89.0f : y;
    const float q = tn_exp_part(y, &n), h = POWER_OF_2(n - 1);
    const float v = 2.0f * (h * q + (h - 0.5f));
    return fabs(x) < 1e-7f ? x : v; // keeps -0
}
// Below 0.625 a polynomial, above 1 - 2 / (e^2|x| + 1).
float tn_tanh(float x)
{
    const float z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    const float close = p * z * x + x, far = 1.0f - 2.0f / (tn_exp(2.0f * fabs(x)) + 1.0f);
    return copysign(fabs(x) < 0.625f ? close : far, x); // of -0, too
}
#define exp tn_exp
#define expm1 tn_expm1
#define tanh tn_tanh
#endif
#ifdef USES_log
// x = m 2^e with m in sqrt(1/2) ... sqrt(2): log x = log m + e log 2
float tn_log(float x)
{
    const int tiny = x < 1.17549435e-38f; // the smallest normal number
    // Bits of sqrt(1/2) come off before the exponent is cut out.
    const uint bits = as_uint(tiny ? x * 8388608.0f : x) - 0x3F3504F3u;
    const float e = (float)((int)bits >> 23) - (tiny ? 23.0f : 0.0f);
    const float f = as_float((bits & 0x007FFFFFu) + 0x3F3504F3u) - 1.0f, z = f * f;
    float p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    float y = p * f * z + e * -2.12194440e-4f;
    y = y - 0.5f * z;
    y = (f + y) + e * 0.693359375f;
    y = x == 0.0f ? -INFINITY : x < 0.0f ? NAN : y;
    return x <= 3.40282347e38f ? y : x; // infinity and NaN
}
// log u of the rounded u = 1 + x, and what the rounding lost.
float tn_log1p(float x)
{
    const float u = 1.0f + x, l = tn_log(u), y = l + (x - (u - 1.0f)) / u;
    const float close = u == 1.0f ? x : y;
    return u > 3.40282347e38f || !(u > 0.0f) ? l : close;
}
#define log tn_log
#define log1p tn_log1p
#endif
#endif
