// tenon/base.h: what every other header stands on: status codes, dtypes, shapes.
//
// Nothing in here allocates. The header is C11 and C++11, and needs <stdint.h> only.
#ifndef TENON_BASE_H
#define TENON_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define TN_BEGIN_DECLS extern "C" {
#define TN_END_DECLS }
#else
#define TN_BEGIN_DECLS
#define TN_END_DECLS
#endif

// Marks what a shared object exports; everything else is built with hidden visibility.
#define TN_API __attribute__((visibility("default")))

TN_BEGIN_DECLS

// Version of this library: TN_VERSION_MAJOR * 10000 + MINOR * 100 + PATCH.
#define TN_VERSION 100
#define TN_VERSION_TEXT "0.1.0"

// What a call came to. 0 is success; a code not listed here is a generic failure.
typedef int32_t tn_status;
enum {
    TN_OK = 0,
    TN_E_INVALID = 1,      // an argument is wrong: the text says which, wanted, got
    TN_E_UNSUPPORTED = 2,  // legal, but nothing here can do it
    TN_E_UNAVAILABLE = 3,  // no such device, driver or file here: not a bug
    TN_E_NOMEM = 4,        // out of memory, or over a limit that protects memory
    TN_E_INCOMPATIBLE = 5, // plugin and core cannot talk to each other
    TN_E_INTERNAL = 6,     // a bug in Tenon or in a plugin
    TN_E_DEVICE_LOST = 7,  // the device failed or went away
    TN_E_NOT_FOUND = 8,    // no such name
    TN_E_EXISTS = 9,       // the name is taken
    TN_E_SHAPE = 10,       // shapes contradict each other, or stay unknown
    TN_E_DTYPE = 11,       // dtypes contradict each other, or stay unknown
    TN_E_NO_GRADIENT = 12, // an operator on the path has no gradient
    TN_E_IO = 13,          // reading or writing failed: the text has the system's reason
    TN_E_FORMAT = 14       // a file is not what its format says
};

// Short English name of a status, such as "invalid argument"; never NULL. [any thread]
TN_API const char *tn_status_text(tn_status status);

// Element types. The value is MXNet's type flag + 1, so that 0 can mean "not given".
// int32_t and not an enum type: these numbers cross the plugin border.
typedef int32_t tn_dtype;
enum {
    TN_DTYPE_NONE = 0, // unknown, or not given
    TN_F32 = 1,
    TN_F64 = 2,
    TN_F16 = 3, // IEEE binary16, stored as uint16_t
    TN_U8 = 4,
    TN_I32 = 5,
    TN_I8 = 6,
    TN_I64 = 7,
    TN_BOOL = 8,  // one byte, 0 or 1
    TN_BF16 = 13, // bfloat16, stored as uint16_t
    TN_DTYPE_END = 14
};

// One bit per dtype, for sets of dtypes.
#define TN_BIT(dtype) (1u << (uint32_t)(dtype))

// Bytes of one element; 0 for TN_DTYPE_NONE and for numbers that are no dtype. [any thread]
static inline size_t tn_dtype_size(tn_dtype dtype)
{
    switch (dtype) {
    case TN_F64:
    case TN_I64: return 8;
    case TN_F32:
    case TN_I32: return 4;
    case TN_F16:
    case TN_BF16: return 2;
    case TN_U8:
    case TN_I8:
    case TN_BOOL: return 1;
    default: return 0;
    }
}

// "float32", "bfloat16", …; "unknown" for anything else. [any thread]
TN_API const char *tn_dtype_name(tn_dtype dtype);

// The dtype of that name ("float32", "int8", …), or TN_DTYPE_NONE. [any thread]
TN_API tn_dtype tn_dtype_find(const char *name);

// Most axes that a tensor may have.
#define TN_MAX_NDIM 8

// A shape as Tenon gives it out. ndim -1: even the rank is unknown; an extent of -1 is unknown.
// An extent of 0 is a legal empty axis. Row-major: the last axis is contiguous.
typedef struct tn_shape {
    int32_t ndim;
    int32_t reserved;
    int64_t dim[TN_MAX_NDIM];
} tn_shape;

// A shape as a caller gives it: TN_DIMS(64, 784). dim NULL means "not given"; an extent of -1
// is unknown. Borrowed for the length of the call.
typedef struct tn_dims {
    size_t ndim;
    const int64_t *dim;
} tn_dims;

// A shape that was given out, handed back: tn_tensor_new(env, dtype, tn_shape_dims(&shape)) is a
// tensor of that shape. It borrows from shape, whose rank has to be known. [any thread]
static inline tn_dims tn_shape_dims(const tn_shape *shape)
{
    const tn_dims dims = {(size_t)shape->ndim, shape->dim};
    return dims;
}

// Product of two extents; INT64_MAX if it is more than that. [any thread]
static inline int64_t tn_extent_times(int64_t a, int64_t b)
{
    return a > 0 && b > INT64_MAX / a ? INT64_MAX : a * b;
}

// Elements of a shape; -1 if anything in it is unknown; 1 for rank 0; INT64_MAX if there are more.
// [any thread]
static inline int64_t tn_shape_size(const tn_shape *shape)
{
    int64_t n = 1;
    if (shape->ndim < 0) return -1;
    for (int32_t i = 0; i < shape->ndim; i++) {
        if (shape->dim[i] < 0) return -1;
        n = tn_extent_times(n, shape->dim[i]);
    }
    return n;
}

// Lists of numbers inside operator parameters: axes, kernel sizes. TN_NONE_I64 stands for
// a None in the list (MXNet's slice begin=(None, 1)).
#define TN_NONE_I64 INT64_MIN
typedef struct tn_ints {
    size_t n;
    const int64_t *v;
} tn_ints;
typedef struct tn_reals {
    size_t n;
    const double *v;
} tn_reals;

#ifndef __cplusplus
#define TN_COUNT_(type, ...) (sizeof((const type[]){__VA_ARGS__}) / sizeof(type))
#define TN_DIMS(...) ((tn_dims){TN_COUNT_(int64_t, __VA_ARGS__), (const int64_t[]){__VA_ARGS__}})
#define TN_INTS(...) ((tn_ints){TN_COUNT_(int64_t, __VA_ARGS__), (const int64_t[]){__VA_ARGS__}})
#define TN_REALS(...) ((tn_reals){TN_COUNT_(double, __VA_ARGS__), (const double[]){__VA_ARGS__}})
#define TN_SCALAR ((tn_dims){0, (const int64_t[]){0}})
#endif

TN_END_DECLS

#endif
