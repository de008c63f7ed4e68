// core/passes/same.c: compares and hashes the parameters of operators by value.
#include "core/passes/place.h"

// Bytes that a value of this type takes in the blob itself.
static size_t type_bytes(uint32_t type)
{
    switch (type) {
    case TN_P_I64:
    case TN_P_F64: return 8;
    case TN_P_BOOL:
    case TN_P_ENUM:
    case TN_P_DTYPE: return 4;
    default: return 0;
    }
}

// A parameter as a run of bytes. Doubles compare by their bits: NaN is None, and -0.0 is not 0.0.
typedef struct run {
    const void *bytes;
    size_t n;
} run;

static run run_of(const tni_param *p, const void *blob)
{
    const void *at = (const char *)blob + p->decl.offset;
    switch (p->decl.type) {
    case TN_P_STR: {
        const char *text = *(const char *const *)at;
        return (run){text, text ? strlen(text) + 1 : 0};
    }
    case TN_P_I64S: {
        const tn_ints *list = at;
        return (run){list->v, list->n * sizeof *list->v};
    }
    case TN_P_F64S: {
        const tn_reals *list = at;
        return (run){list->v, list->n * sizeof *list->v};
    }
    default: return (run){at, type_bytes(p->decl.type)};
    }
}

bool tni_params_equal(const tni_op *op, const void *a, const void *b)
{
    if (a == b) return true;
    if (!a || !b) return false;
    for (uint32_t i = 0; i < op->n_params; i++) {
        const run x = run_of(&op->params[i], a), y = run_of(&op->params[i], b);
        if (x.n != y.n || (x.n && memcmp(x.bytes, y.bytes, x.n) != 0)) return false;
    }
    return true;
}

uint64_t tni_params_hash(const tni_op *op, const void *params, uint64_t seed)
{
    for (uint32_t i = 0; params && i < op->n_params; i++) {
        const run x = run_of(&op->params[i], params);
        seed = tni_hash(x.n ? x.bytes : "", x.n, seed + x.n);
    }
    return seed;
}
