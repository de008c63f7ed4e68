// tenon/elementwise.h: every elementwise operator as one row: forward, derivative, dtypes, doc.
//
// The core makes from a row the operator, its documentation and its gradient (it parses the text
// of the derivative); a backend makes its kernels by expanding the same row in C or as text.
//
// Expressions are C over x (input), y (result) or a, b, y (binary), with + - * / and calls of:
// exp log sqrt sin … as in <math.h>; sign, rsqrt, square, digamma, erfinv, gt ge lt le eq ne (1 or
// 0), pymod (sign of the divisor, 0 for divisor 0); C(number) for a constant that is no integer. A
// derivative never uses ?: and never another name, so that it can be parsed. The file that expands
// a row defines these names first; <tenon/scalar.h> has them over double and int64_t.
#ifndef TENON_ELEMENTWISE_H
#define TENON_ELEMENTWISE_H

// X(op, dtypes, uses, forward, derivative, doc)
//   dtypes: ALL or FLOATS.  uses: what the derivative reads: X, Y, XY, NONE (a constant); ZERO:
//   the gradient is zero. The backward operator is _backward_<op>(dy, x and/or y as `uses` says).
#define TN_UNARY_ROWS(X_) TN_UNARY_ROWS_0_11(X_) TN_UNARY_ROWS_LATER(X_)

// Those of MXNet 0.11.
// clang-format off
#define TN_UNARY_ROWS_0_11(X_) \
    X_(relu,       ALL,    Y,    (x > 0 ? x : 0),        gt(y, 0),              "max(x, 0); the derivative at 0 is 0") \
    X_(sigmoid,    FLOATS, Y,    1 / (1 + exp(-x)),      y * (1 - y),           "1 / (1 + exp(-x))") \
    X_(softrelu,   FLOATS, Y,    (x > 20 ? x : log1p(exp(x))), 1 - exp(-y),     "log(1 + exp(x)); x itself above 20") \
    X_(tanh,       FLOATS, Y,    tanh(x),                1 - y * y,             "hyperbolic tangent") \
    X_(negative,   ALL,    NONE, -x,                     -1,                    "-x") \
    X_(reciprocal, FLOATS, Y,    1 / x,                  -(y * y),              "1 / x") \
    X_(abs,        ALL,    X,    (x < 0 ? -x : x),       sign(x),               "|x|; the derivative at 0 is 0") \
    X_(sign,       ALL,    ZERO, sign(x),                0,                     "-1, 0 or 1") \
    X_(round,      ALL,    ZERO, round(x),               0,                     "nearest integer, n.5 away from 0") \
    X_(rint,       ALL,    ZERO, (x - floor(x) <= ceil(x) - x ? floor(x) : ceil(x)), 0, "nearest integer, n.5 to the lower") \
    X_(ceil,       ALL,    ZERO, ceil(x),                0,                     "smallest integer not below x") \
    X_(floor,      ALL,    ZERO, floor(x),               0,                     "largest integer not above x") \
    X_(trunc,      ALL,    ZERO, trunc(x),               0,                     "nearest integer not further from 0") \
    X_(fix,        ALL,    ZERO, trunc(x),               0,                     "nearest integer not further from 0") \
    X_(square,     ALL,    X,    x * x,                  2 * x,                 "x * x") \
    X_(sqrt,       FLOATS, Y,    sqrt(x),                C(0.5) / y,            "square root") \
    X_(rsqrt,      FLOATS, XY,   1 / sqrt(x),            C(-0.5) * y / x,       "1 / sqrt(x)") \
    X_(exp,        FLOATS, Y,    exp(x),                 y,                     "e to the x") \
    X_(log,        FLOATS, X,    log(x),                 1 / x,                 "natural logarithm") \
    X_(log10,      FLOATS, X,    log10(x),               C(0.43429448190325182765) / x, "logarithm to base 10") \
    X_(log2,       FLOATS, X,    log2(x),                C(1.44269504088896340736) / x, "logarithm to base 2") \
    X_(log1p,      FLOATS, X,    log1p(x),               1 / (1 + x),           "log(1 + x), exact near 0") \
    X_(expm1,      FLOATS, Y,    expm1(x),               y + 1,                 "exp(x) - 1, exact near 0") \
    X_(sin,        FLOATS, X,    sin(x),                 cos(x),                "sine of radians") \
    X_(cos,        FLOATS, X,    cos(x),                 -sin(x),               "cosine of radians") \
    X_(tan,        FLOATS, Y,    tan(x),                 y * y + 1,             "tangent of radians") \
    X_(arcsin,     FLOATS, X,    asin(x),                rsqrt(1 - x * x),      "inverse sine") \
    X_(arccos,     FLOATS, X,    acos(x),                -rsqrt(1 - x * x),     "inverse cosine") \
    X_(arctan,     FLOATS, X,    atan(x),                1 / (x * x + 1),       "inverse tangent") \
    X_(degrees,    FLOATS, NONE, x * C(57.29577951308232088), C(57.29577951308232088), "radians to degrees") \
    X_(radians,    FLOATS, NONE, x * C(0.01745329251994329577), C(0.01745329251994329577), "degrees to radians") \
    X_(sinh,       FLOATS, X,    sinh(x),                cosh(x),               "hyperbolic sine") \
    X_(cosh,       FLOATS, X,    cosh(x),                sinh(x),               "hyperbolic cosine") \
    X_(arcsinh,    FLOATS, X,    asinh(x),               rsqrt(x * x + 1),      "inverse hyperbolic sine") \
    X_(arccosh,    FLOATS, X,    acosh(x),               rsqrt(x * x - 1),      "inverse hyperbolic cosine") \
    X_(arctanh,    FLOATS, X,    atanh(x),               1 / (1 - x * x),       "inverse hyperbolic tangent") \
    X_(gamma,      FLOATS, XY,   tgamma(x),              y * digamma(x),        "gamma function") \
    X_(gammaln,    FLOATS, X,    lgamma(x),              digamma(x),            "logarithm of |gamma(x)|")

// Those of later libraries: core/ops/elemwise.c names the source of each.
#define TN_UNARY_ROWS_LATER(X_) \
    X_(erf,        FLOATS, X,    erf(x),                 C(1.12837916709551257390) * exp(-(x * x)), "error function") \
    X_(erfinv,     FLOATS, Y,    erfinv(x),              C(0.88622692545275801365) * exp(y * y), "inverse of the error function; NaN outside [-1, 1]") \
    X_(cbrt,       FLOATS, Y,    cbrt(x),                1 / (3 * y * y),       "cube root") \
    X_(rcbrt,      FLOATS, XY,   1 / cbrt(x),            -y / (3 * x),          "1 / cube root of x") \
    X_(logical_not, ALL,   ZERO, eq(x, 0),               0,                     "1 where x is 0, else 0") \
    X_(softsign,   FLOATS, Y,    x / (1 + (x < 0 ? -x : x)), square(1 - y * sign(y)), "x / (1 + |x|)") \
    X_(softplus,   FLOATS, Y,    (x > 0 ? x : 0) + log1p(exp(x > 0 ? -x : x)), -expm1(-y), "log(1 + exp(x)) for all x") \
    X_(silu,       FLOATS, XY,   x / (1 + exp(-x)),      1 / (1 + exp(-x)) + y / (1 + exp(x)), "x * sigmoid(x)") \
    X_(mish,       FLOATS, X,    x * tanh(log1p(exp(x))), tanh(log1p(exp(x))) + x * (1 - square(tanh(log1p(exp(x))))) / (1 + exp(-x)), "x * tanh(log(1 + exp(x)))") \
    X_(hard_swish, FLOATS, X,    (x <= -3 ? 0 : x >= 3 ? x : x * (x / 6 + C(0.5))), ge(x, 3) + gt(x, -3) * lt(x, 3) * (x / 3 + C(0.5)), "x * clip(x / 6 + 0.5, 0, 1)") \
    X_(gelu,       FLOATS, X,    x * (C(0.5) + C(0.5) * erf(x * C(0.70710678118654752440))), C(0.5) + C(0.5) * erf(x * C(0.70710678118654752440)) + x * C(0.39894228040143267794) * exp(C(-0.5) * x * x), "x * (1 + erf(x / sqrt(2))) / 2: x times the normal distribution function") \
    X_(gelu_tanh,  FLOATS, XY,   x / (1 + exp(-x * (C(1.59576912160573071176) + C(0.07135481627260025) * x * x))), 1 / (1 + exp(-x * (C(1.59576912160573071176) + C(0.07135481627260025) * x * x))) + y * (C(1.59576912160573071176) + C(0.21406444881780076) * x * x) / (1 + exp(x * (C(1.59576912160573071176) + C(0.07135481627260025) * x * x))), "gelu approximated by x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2")

// X(op, scalar, rscalar, broadcast, grads, forward, da, db, doc)
//   The same function under four names: op(a, b) of equal shapes; scalar(a; b) and, where the order
//   matters, rscalar(b; a) with a number, `-` if there is none; broadcast(a, b).
//   grads: BOTH, or ZERO. All dtypes.
#define TN_BINARY_ROWS(X_) TN_BINARY_ROWS_0_11(X_) TN_BINARY_ROWS_LATER(X_)

#define TN_BINARY_ROWS_0_11(X_) \
    X_(elemwise_add,   _plus_scalar,          -,              broadcast_add,           BOTH, a + b,            1,                  1,               "a + b") \
    X_(_sub,           _minus_scalar,         _rminus_scalar, broadcast_sub,           BOTH, a - b,            1,                  -1,              "a - b") \
    X_(_mul,           _mul_scalar,           -,              broadcast_mul,           BOTH, a * b,            b,                  a,               "a * b") \
    X_(_div,           _div_scalar,           _rdiv_scalar,   broadcast_div,           BOTH, a / b,            1 / b,              -(a / (b * b)),  "a / b; integers truncate, and x / 0 is 0 for integers") \
    X_(_mod,           _mod_scalar,           _rmod_scalar,   broadcast_mod,           BOTH, pymod(a, b),      1,                  -floor(a / b),   "a - floor(a / b) * b: the sign of b; 0 where b is 0") \
    X_(_power,         _power_scalar,         _rpower_scalar, broadcast_power,         BOTH, pow(a, b),        b * pow(a, b - 1),  y * log(a),      "a to the b") \
    X_(_maximum,       _maximum_scalar,       -,              broadcast_maximum,       BOTH, (a >= b ? a : b), ge(a, b),           lt(a, b),        "the larger; at a tie the gradient goes to a") \
    X_(_minimum,       _minimum_scalar,       -,              broadcast_minimum,       BOTH, (a <= b ? a : b), le(a, b),           gt(a, b),        "the smaller; at a tie the gradient goes to a") \
    X_(_hypot,         _hypot_scalar,         -,              broadcast_hypot,         BOTH, hypot(a, b),      a / y,              b / y,           "sqrt(a * a + b * b)") \
    X_(_equal,         _equal_scalar,         -,              broadcast_equal,         ZERO, eq(a, b),         0,                  0,               "1 where a == b, else 0") \
    X_(_not_equal,     _not_equal_scalar,     -,              broadcast_not_equal,     ZERO, ne(a, b),         0,                  0,               "1 where a != b, else 0") \
    X_(_greater,       _greater_scalar,       -,              broadcast_greater,       ZERO, gt(a, b),         0,                  0,               "1 where a > b, else 0") \
    X_(_greater_equal, _greater_equal_scalar, -,              broadcast_greater_equal, ZERO, ge(a, b),         0,                  0,               "1 where a >= b, else 0") \
    X_(_lesser,        _lesser_scalar,        -,              broadcast_lesser,        ZERO, lt(a, b),         0,                  0,               "1 where a < b, else 0") \
    X_(_lesser_equal,  _lesser_equal_scalar,  -,              broadcast_lesser_equal,  ZERO, le(a, b),         0,                  0,               "1 where a <= b, else 0")

#define TN_BINARY_ROWS_LATER(X_) \
    X_(_logical_and,   _logical_and_scalar,   -,              broadcast_logical_and,   ZERO, ne(a, 0) * ne(b, 0), 0,               0,               "1 where neither a nor b is 0, else 0") \
    X_(_logical_or,    _logical_or_scalar,    -,              broadcast_logical_or,    ZERO, gt(ne(a, 0) + ne(b, 0), 0), 0,        0,               "1 where a or b is not 0, else 0") \
    X_(_logical_xor,   _logical_xor_scalar,   -,              broadcast_logical_xor,   ZERO, ne(ne(a, 0), ne(b, 0)), 0,            0,               "1 where one of a and b is 0 and the other is not, else 0")
// clang-format on

#endif
