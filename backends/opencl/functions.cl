// backends/opencl/functions.cl: functions of elementwise rows that OpenCL C
// lacks, over A.
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
