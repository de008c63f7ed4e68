// backends/opencl/opencl_source.c: texts of programs: types of elements, and
// the vocabulary of elementwise rows.
#include "opencl.h"

// ------------------------------------------------------------------ growing
// texts

static bool grow(ocl_text *t, size_t n)
{
    if (t->failed) return false;
    if (t->n + n + 1 <= t->capacity) return true;
    const size_t capacity = (t->n + n + 1) * 2;
    char *s = t->host->alloc(t->host->host, capacity, 64);
    if (!s) {
        t->failed = true;
        return false;
    }
    if (t->s) {
        memcpy(s, t->s, t->n + 1);
        t->host->free(t->host->host, t->s, t->capacity, 64);
    }
    t->s = s;
    t->capacity = capacity;
    return true;
}

void ocl_append(ocl_text *t, const char *text)
{
    const size_t n = strlen(text);
    if (!grow(t, n)) return;
    memcpy(t->s + t->n, text, n + 1);
    t->n += n;
}

void ocl_printf(ocl_text *t, const char *format, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, format);
    const int n = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof text)
        t->failed = true;
    else
        ocl_append(t, text);
}

void ocl_text_free(ocl_text *t)
{
    if (t->s) t->host->free(t->host->host, t->s, t->capacity, 64);
    t->s = NULL;
    t->n = t->capacity = 0;
}

// ------------------------------------------------------------------ types

tn_dtype ocl_number(tn_dtype dtype)
{
    if (dtype == TN_F64) return TN_F64;
    return ocl_is_float(dtype) ? TN_F32 : TN_I64;
}

const char *ocl_c_type(tn_dtype number)
{
    return number == TN_F32 ? "float" : number == TN_F64 ? "double" : "long";
}

typedef struct storage {
    const char *type, *load; // load of element i of p
    const char *from_real,
        *from_whole; // what is stored of v, a float number or a long
} storage;

// Floats become integers without the fraction, saturated, NaN as 0; integers
// become narrower ones by their low bits; bool is v != 0.
static storage storage_of(tn_dtype dtype)
{
    switch (dtype) {
    case TN_F32: return (storage){"float", "p[i]", "(float)(v)", "(float)(v)"};
    case TN_F64: return (storage){"double", "p[i]", "(double)(v)", "(double)(v)"};
    case TN_I8: return (storage){"char", "p[i]", "(char)tn_whole(v, -128, 127)", "(char)(v)"};
    case TN_U8: return (storage){"uchar", "p[i]", "(uchar)tn_whole(v, 0, 255)", "(uchar)(v)"};
    case TN_I32:
        return (storage){"int", "p[i]", "(int)tn_whole(v, -2147483648L, 2147483647L)", "(int)(v)"};
    case TN_I64: return (storage){"long", "p[i]", "tn_whole(v, LONG_MIN, LONG_MAX)", "(v)"};
    default: return (storage){"uchar", "(p[i] != 0)", "((v) != 0)", "((v) != 0)"};
    }
}

// The 16-bit floats: OpenCL stores and loads halves without having them as a type.
static const char half_text[] =
    "#define TN_LOAD_HALF(p, i) vload_half((i), (const __global half *)(p))\n"
    "#define TN_STORE_HALF(p, i, v) vstore_half_rte(tn_half(v), (i), "
    "(__global half *)(p))\n"
    "#ifdef A_IS_F64\n#define tn_half(v) (double)(v)\n#else\n#define tn_half(v) (float)(v)\n"
    "#endif\n"
    "float tn_load_bf16(ushort v) { return as_float((uint)v << 16); }\n"
    "ushort tn_bf16(float v)\n"
    "{\n"
    "    const uint u = as_uint(v);\n"
    "    if (isnan(v)) return (ushort)((u >> 16) | 64);\n"
    "    return (ushort)((u + 0x7FFF + ((u >> 16) & 1)) >> 16);\n"
    "}\n";

static void one_type(ocl_text *t, uint32_t i, tn_dtype dtype, bool whole)
{
    if (dtype == TN_F16) {
        ocl_printf(t,
                   "#define T%u ushort\n#define LD%u(p, i) ((A)TN_LOAD_HALF(p, i))\n"
                   "#define ST%u(p, i, v) TN_STORE_HALF(p, i, v)\n",
                   i, i, i);
    } else if (dtype == TN_BF16) {
        ocl_printf(t,
                   "#define T%u ushort\n#define LD%u(p, i) ((A)tn_load_bf16((p)[i]))\n"
                   "#define ST%u(p, i, v) ((p)[i] = tn_bf16((float)(v)))\n",
                   i, i, i);
    } else {
        const storage s = storage_of(dtype);
        ocl_printf(t, "#define T%u %s\n#define LD%u(p, i) ((A)((p)[i])%s)\n", i, s.type, i,
                   dtype == TN_BOOL ? " != 0" : "");
        ocl_printf(t, "#define ST%u(p, i, v) ((p)[i] = %s)\n", i,
                   whole ? s.from_whole : s.from_real);
    }
}

void ocl_prologue(ocl_text *t, tn_dtype number, uint32_t n, const tn_dtype *dtype)
{
    bool wide = number == TN_F64, halves = false;
    for (uint32_t i = 0; i < n; i++) {
        wide |= dtype[i] == TN_F64;
        halves |= dtype[i] == TN_F16 || dtype[i] == TN_BF16;
    }
    if (wide) ocl_append(t, "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n");
    ocl_printf(t, "typedef %s A;\n#define A_IS_%s 1\n#define I int\n", ocl_c_type(number),
               number == TN_F32   ? "F32"
               : number == TN_F64 ? "F64"
                                  : "I64");
    if (halves) ocl_append(t, half_text);
    if (number != TN_I64)
        ocl_append(t, "long tn_whole(A v, long lo, long hi)\n"
                      "{\n"
                      "    if (isnan(v)) return 0;\n"
                      "    return v <= (A)lo ? lo : v >= (A)hi ? hi : (long)v;\n"
                      "}\n");
    ocl_append(t, "#define IN(k) const __global uchar *k##_p, const ulong k##_o\n"
                  "#define OUT(k) __global uchar *k##_p, const ulong k##_o\n"
                  "#define GET(T, k) const __global T *k = (const __global T "
                  "*)(k##_p + k##_o)\n"
                  "#define PUT(T, k) __global T *k = (__global T *)(k##_p + k##_o)\n"
                  "typedef struct box {\n"
                  "    long dim[8], stride[8], start;\n"
                  "    int ndim, unused;\n"
                  "} box;\n"
                  "int box_at(const box *b, int i)\n"
                  "{\n"
                  "    long at = b->start;\n"
                  "    for (int axis = b->ndim; axis-- > 0;) {\n"
                  "        const int n = (int)b->dim[axis];\n"
                  "        at += (i % n) * b->stride[axis];\n"
                  "        i /= n;\n"
                  "    }\n"
                  "    return (int)at;\n"
                  "}\n");
    for (uint32_t i = 0; i < n; i++) {
        one_type(t, i, dtype[i], number == TN_I64);
        // An element as a whole number, whatever A is.
        if (number == TN_I64)
            ocl_printf(t, "#define WHOLE%u(p, i) LD%u(p, i)\n", i, i);
        else if (ocl_is_float(dtype[i]))
            ocl_printf(t, "#define WHOLE%u(p, i) tn_whole(LD%u(p, i), LONG_MIN, LONG_MAX)\n", i, i);
        else
            ocl_printf(t, "#define WHOLE%u(p, i) ((long)(p)[i])\n", i);
    }
}

tn_dtype ocl_wide(const tn_device *device)
{
    return device->fp64 ? TN_F64 : TN_F32;
}

void ocl_wide_text(ocl_text *t, const tn_device *device)
{
    if (device->fp64)
        ocl_append(t, "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n#define DC(n) (n)\n");
    else
        ocl_append(t, "#define DC(n) (n##f)\n");
    ocl_printf(t, "typedef %s D;\n", ocl_c_type(ocl_wide(device)));
}

void ocl_complaints(ocl_text *t)
{
    ocl_append(t, "#define FAULT __global long *fault, const ulong cookie\n"
                  "void complain(__global long *fault, ulong cookie, long a, long b)\n"
                  "{\n"
                  "    if (fault[0]) return;\n"
                  "    fault[0] = (long)cookie;\n"
                  "    fault[1] = a;\n"
                  "    fault[2] = b;\n"
                  "}\n");
}

// ------------------------------------------------------------------ vocabulary

void ocl_vocabulary(ocl_text *t, tn_dtype number, const char *text)
{
    static const char *const functions[] = {"pymod",  "quotient", "pow", "hypot", "digamma",
                                            "erfinv", "exp",      "log", "tanh"};
    ocl_append(t, "#define square(x) ((x) * (x))\n"
                  "#define sign(x) (((x) > 0) - ((x) < 0))\n"
                  "#define gt(a, b) ((a) > (b))\n#define ge(a, b) ((a) >= (b))\n"
                  "#define lt(a, b) ((a) < (b))\n#define le(a, b) ((a) <= (b))\n"
                  "#define eq(a, b) ((a) == (b))\n#define ne(a, b) ((a) != (b))\n");
    if (number == TN_I64)
        ocl_append(t, "#define round(x) (x)\n#define floor(x) (x)\n#define ceil(x) (x)\n"
                      "#define trunc(x) (x)\n#define C(n) (n)\n");
    else
        ocl_append(t, number == TN_F32 ? "#define C(n) (n##f)\n" : "#define C(n) (n)\n");
    // Building takes time: programs have what they need.
    bool any = false;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (!strstr(text, functions[i])) continue;
        ocl_printf(t, "#define USES_%s 1\n", functions[i]);
        any = true;
    }
    if (any) ocl_append(t, ocl_functions_cl);
}
