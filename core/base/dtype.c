// core/base/dtype.c: names of dtypes and of status codes.
#include "core/base/base.h"

static const char *const dtype_names[TN_DTYPE_END] = {
    [TN_F32] = "float32", [TN_F64] = "float64", [TN_F16] = "float16",
    [TN_U8] = "uint8",    [TN_I32] = "int32",   [TN_I8] = "int8",
    [TN_I64] = "int64",   [TN_BOOL] = "bool",   [TN_BF16] = "bfloat16",
};

const char *tn_dtype_name(tn_dtype dtype)
{
    if (dtype <= TN_DTYPE_NONE || dtype >= TN_DTYPE_END || !dtype_names[dtype]) return "unknown";
    return dtype_names[dtype];
}

tn_dtype tn_dtype_find(const char *name)
{
    for (tn_dtype d = 1; name && d < TN_DTYPE_END; d++)
        if (dtype_names[d] && strcmp(dtype_names[d], name) == 0) return d;
    return TN_DTYPE_NONE;
}

const char *tn_status_text(tn_status status)
{
    static const char *const texts[] = {
        [TN_OK] = "success",
        [TN_E_INVALID] = "invalid argument",
        [TN_E_UNSUPPORTED] = "unsupported",
        [TN_E_UNAVAILABLE] = "unavailable",
        [TN_E_NOMEM] = "out of memory",
        [TN_E_INCOMPATIBLE] = "incompatible",
        [TN_E_INTERNAL] = "internal error",
        [TN_E_DEVICE_LOST] = "device lost",
        [TN_E_NOT_FOUND] = "not found",
        [TN_E_EXISTS] = "exists already",
        [TN_E_SHAPE] = "shape error",
        [TN_E_DTYPE] = "dtype error",
        [TN_E_NO_GRADIENT] = "no gradient",
        [TN_E_IO] = "input/output error",
        [TN_E_FORMAT] = "malformed file",
    };
    const bool known = status >= 0 && (size_t)status < sizeof texts / sizeof *texts;
    return known ? texts[status] : "failure";
}
