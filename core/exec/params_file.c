// core/exec/params_file.c: MXNet's array lists (.params): V0 to V3 are read, V2 is written.
//
// A list is a magic, the arrays, and as many names (or none), all little-endian. Source: MXNet
// src/ndarray/ndarray.cc, NDArray::Save and LegacyLoad, versions 0.8 to 1.9.
#include <endian.h>
#include <tenon/tensor.h>

#include "core/exec/exec.h"

#define LIST_MAGIC 0x112u
#define MAGIC_V1 0xF993FAC8u // int64 extents
#define MAGIC_V2 0xF993FAC9u // and a storage type
#define MAGIC_V3 0xF993FACAu // and NumPy's shapes: rank 0 is a scalar

// MXNet's type flags; Tenon's dtypes are one more, where Tenon has them.
static const tni_raw raws[] = {
    {'f', 4, false}, {'f', 8, false}, {'f', 2, false}, {'u', 1, false}, {'i', 4, false},
    {'i', 1, false}, {'i', 8, false}, {'b', 1, false}, {'i', 2, false}, {'u', 2, false},
    {'u', 4, false}, {'u', 8, false}, {'w', 2, false},
};
enum { N_RAWS = sizeof raws / sizeof *raws };

typedef struct reader {
    tn_env *env;
    const char *source; // path or name of the call, for messages
    const unsigned char *p;
    size_t n, at; // bytes in all; of the next one
} reader;

// An array of the file; its elements are not read yet.
typedef struct array {
    size_t begin; // where it stands in the file
    uint32_t magic;
    int32_t storage; // 0 dense, 1 row_sparse, 2 csr
    bool none;       // an array without a shape: it has nothing else either
    tn_shape shape;
    tni_raw raw;
    const unsigned char *data;
} array;

// ------------------------------------------------------------------ reading

__attribute__((format(printf, 3, 4))) static bool bad(const reader *r, size_t at,
                                                      const char *format, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    tni_env_fail(r->env, TN_E_FORMAT, "%s: byte %zu: %s", r->source, at, text);
    return false;
}

static const void *take(reader *r, uint64_t n, const char *what)
{
    if (n > r->n - r->at) {
        bad(r, r->at, "%s: wanted %llu bytes, got %zu", what, (unsigned long long)n, r->n - r->at);
        return NULL;
    }
    const void *const p = r->p + r->at;
    r->at += (size_t)n;
    return p;
}

static bool take_u32(reader *r, uint32_t *v, const char *what)
{
    const void *const p = take(r, sizeof *v, what);
    if (p) memcpy(v, p, sizeof *v);
    *v = le32toh(*v);
    return p != NULL;
}

static bool take_u64(reader *r, uint64_t *v, const char *what)
{
    const void *const p = take(r, sizeof *v, what);
    if (p) memcpy(v, p, sizeof *v);
    *v = le64toh(*v);
    return p != NULL;
}

// An extent that the file does not know makes ndim -1; only V3 files have such.
static bool take_extents(reader *r, uint32_t ndim, uint32_t magic, tn_shape *shape)
{
    const bool narrow = magic <= TN_MAX_NDIM; // V0
    bool known = true;
    shape->ndim = (int32_t)ndim;
    for (uint32_t i = 0; i < ndim; i++) {
        uint32_t v4 = 0;
        uint64_t v8 = 0;
        const size_t at = r->at;
        if (narrow ? !take_u32(r, &v4, "extent") : !take_u64(r, &v8, "extent")) return false;
        const int64_t extent = narrow ? (int64_t)v4 : (int64_t)v8;
        if (extent < 0 && !(magic == MAGIC_V3 && extent == -1))
            return bad(r, at, "extent %u: wanted at least 0, got %lld", i, (long long)extent);
        if (extent < 0) known = false;
        shape->dim[i] = extent;
    }
    if (!known) shape->ndim = -1;
    return true;
}

// For V0 the rank has been read as the magic.
static bool take_shape(reader *r, uint32_t magic, tn_shape *shape)
{
    const size_t at = r->at;
    uint32_t ndim = magic;
    *shape = (tn_shape){.ndim = -1};
    if (magic > TN_MAX_NDIM && !take_u32(r, &ndim, "rank")) return false;
    if (magic == MAGIC_V3 && ndim == UINT32_MAX) return true; // unknown
    if (ndim > TN_MAX_NDIM)
        return bad(r, at, "rank: wanted at most %d axes, got %u", TN_MAX_NDIM, ndim);
    return take_extents(r, ndim, magic, shape);
}

static bool take_type(reader *r, tni_raw *raw)
{
    const size_t at = r->at;
    uint32_t type = 0;
    if (!take_u32(r, &type, "dtype")) return false;
    if (type >= N_RAWS) return bad(r, at, "dtype: wanted 0 to %d, got %u", N_RAWS - 1, type);
    *raw = raws[type];
    raw->swapped = raw->size > 1 && htole16(1) != 1;
    return true;
}

static bool take_elements(reader *r, const tn_shape *shape, size_t element, const void **data)
{
    uint64_t bytes;
    if (!tni_raw_bytes(shape, element, &bytes))
        return bad(r, r->at, "elements: the extents make more than memory holds");
    *data = take(r, bytes, "elements");
    return *data != NULL;
}

// What follows the shape: device, dtype, elements; for a sparse array also its index arrays.
static bool take_body(reader *r, array *a, const tn_shape *stored)
{
    const size_t at = r->at;
    uint32_t device = 0, number = 0;
    if (!take_u32(r, &device, "device") || !take_u32(r, &number, "device number")) return false;
    if (device < 1 || device > 5) // cpu, gpu, pinned, -, shared
        return bad(r, at, "device: wanted 1 to 5, got %u", device);
    if (!take_type(r, &a->raw)) return false;
    tni_raw index[2];
    tn_shape extents[2];
    for (int32_t i = 0; i < a->storage; i++) // row_sparse has one index array, csr two
        if (!take_type(r, &index[i]) || !take_shape(r, MAGIC_V2, &extents[i])) return false;
    const void *data = NULL;
    if (!take_elements(r, stored, a->raw.size, &data)) return false;
    a->data = data;
    for (int32_t i = 0; i < a->storage; i++)
        if (!take_elements(r, &extents[i], index[i].size, &data)) return false;
    return true;
}

static bool take_array(reader *r, array *a)
{
    *a = (array){.begin = r->at};
    if (!take_u32(r, &a->magic, "array")) return false;
    if (a->magic > TN_MAX_NDIM && (a->magic < MAGIC_V1 || a->magic > MAGIC_V3))
        return bad(r, a->begin, "array: wanted a magic or a rank up to %d, got 0x%x", TN_MAX_NDIM,
                   a->magic);
    uint32_t storage = 0;
    if (a->magic >= MAGIC_V2 && !take_u32(r, &storage, "storage type")) return false;
    if (storage > 2)
        return bad(r, r->at - 4, "storage type: wanted 0, 1 or 2, got %d", (int)storage);
    a->storage = (int32_t)storage;
    tn_shape stored;
    if (a->storage && !take_shape(r, a->magic, &stored)) return false;
    if (a->storage && stored.ndim < 0) return bad(r, r->at, "storage shape: it is unknown");
    if (!take_shape(r, a->magic, &a->shape)) return false;
    a->none = a->shape.ndim < 0 || (a->shape.ndim == 0 && a->magic != MAGIC_V3);
    return a->none || take_body(r, a, a->storage ? &stored : &a->shape);
}

static bool take_count(reader *r, uint64_t smallest, const char *what, uint64_t *n)
{
    const size_t at = r->at;
    if (!take_u64(r, n, what)) return false;
    const uint64_t most = (r->n - r->at) / smallest; // that the rest of the file has room for
    if (*n <= most) return true;
    return bad(r, at, "%s: wanted at most %llu, got %llu", what, (unsigned long long)most,
               (unsigned long long)*n);
}

static bool take_name(reader *r, const char **name)
{
    uint64_t length = 0;
    if (!take_u64(r, &length, "length of a name")) return false;
    const char *const text = take(r, length, "name");
    if (!text) return false;
    if (memchr(text, 0, (size_t)length)) return bad(r, r->at - (size_t)length, "name: a NUL in it");
    *name = strndup(text, (size_t)length);
    if (!*name) tni_env_fail(r->env, TN_E_NOMEM, "%s: out of memory", r->source);
    return *name != NULL;
}

static bool take_names(reader *r, tn_tensor_list *list)
{
    const size_t at = r->at;
    uint64_t n = 0;
    if (!take_count(r, sizeof(uint64_t), "number of names", &n)) return false;
    if (n && n != list->n)
        return bad(r, at, "number of names: wanted %zu or 0, got %llu", list->n,
                   (unsigned long long)n);
    for (size_t i = 0; i < n; i++)
        if (!take_name(r, &list->v[i].name)) return false;
    if (r->at != r->n)
        return bad(r, r->at, "wanted the end of the file, got %zu bytes more", r->n - r->at);
    return true;
}

// The tensor of an array. An array without a shape becomes an empty float32 tensor; all those of a
// file are one and the same, since four bytes of file are enough for one.
static tn_tensor *tensor_of(const reader *r, const array *a, const char *name, tn_tensor **none)
{
    static const char *const kinds[] = {"dense", "row_sparse", "csr"};
    char what[256];
    snprintf(what, sizeof what, "%.100s: byte %zu: array \"%.100s\"", r->source, a->begin,
             name ? name : "");
    if (a->storage) {
        tni_env_fail(r->env, TN_E_UNSUPPORTED, "%s: wanted dense storage, got %s", what,
                     kinds[a->storage]);
        return NULL;
    }
    if (!a->none) return tni_raw_tensor(r->env, what, a->raw, &a->shape, a->data);
    if (!*none) return *none = tn_tensor_new(r->env, TN_F32, TN_DIMS(0));
    return tn_tensor_retain(*none);
}

// Two passes: the first checks all sizes and finds the names, the second makes the tensors.
static bool read_list(reader *r, tn_tensor_list *list)
{
    uint64_t magic = 0, reserved, n = 0;
    if (!take_u64(r, &magic, "list magic")) return false;
    if (magic != LIST_MAGIC)
        return bad(r, 0, "list magic: wanted 0x%x, got 0x%llx", LIST_MAGIC,
                   (unsigned long long)magic);
    if (!take_u64(r, &reserved, "reserved word")) return false;
    if (!take_count(r, sizeof(uint32_t), "number of arrays", &n)) return false;
    const size_t first = r->at;
    array a;
    for (uint64_t i = 0; i < n; i++)
        if (!take_array(r, &a)) return false;
    list->v = calloc((size_t)n + 1, sizeof *list->v);
    if (!list->v) {
        tni_env_fail(r->env, TN_E_NOMEM, "%s: out of memory", r->source);
        return false;
    }
    list->n = (size_t)n;
    if (!take_names(r, list)) return false;
    r->at = first;
    tn_tensor *none = NULL; // borrowed from the list
    for (size_t i = 0; i < list->n; i++) {
        if (!take_array(r, &a)) return false;
        list->v[i].tensor = tensor_of(r, &a, list->v[i].name, &none);
        if (!list->v[i].tensor) return false;
    }
    return true;
}

static tn_status parse(tn_env *env, const char *source, const void *bytes, size_t n,
                       tn_tensor_list *out)
{
    reader r = {.env = env, .source = source, .p = bytes, .n = n};
    tn_tensor_list list = {0};
    *out = (tn_tensor_list){0};
    if (!read_list(&r, &list)) {
        tn_tensors_free(&list);
        return tn_env_status(env);
    }
    *out = list;
    return TN_OK;
}

tn_status tn_params_parse(tn_env *env, const void *bytes, size_t n, tn_tensor_list *out)
{
    if (!out) return tni_env_fail(env, TN_E_INVALID, "tn_params_parse: out: got NULL");
    if (bytes) return parse(env, "tn_params_parse", bytes, n, out);
    *out = (tn_tensor_list){0};
    return tni_env_fail(env, TN_E_INVALID, "tn_params_parse: bytes: wanted a file, got NULL");
}

tn_status tn_params_load(tn_env *env, const char *path, tn_tensor_list *out)
{
    char *bytes;
    size_t n;
    tni_error error = {0};
    if (!out) return tni_env_fail(env, TN_E_INVALID, "tn_params_load: out: got NULL");
    *out = (tn_tensor_list){0};
    tn_status status = tni_file_read(path, &bytes, &n, &error);
    if (status) {
        tni_env_fail(env, status, "%s", tni_error_text(&error));
        tni_error_clear(&error);
        return status;
    }
    status = parse(env, path, bytes, n, out);
    free(bytes);
    return status;
}

void tn_tensors_free(tn_tensor_list *list)
{
    if (!list) return;
    for (size_t i = 0; i < list->n; i++) {
        free((char *)list->v[i].name);
        tn_tensor_release(list->v[i].tensor);
    }
    free(list->v);
    *list = (tn_tensor_list){0};
}
