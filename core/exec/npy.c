// core/exec/npy.c: NumPy .npy files: versions 1 to 3 are read, version 1 is written.
//
// A magic, a version, the length of a header, the header (a Python dict of descr, fortran_order
// and shape), the elements. Source: NumPy, NEP 1 and numpy/lib/format.py.
#include <endian.h>
#include <tenon/tensor.h>

#include "core/exec/exec.h"

#define MAGIC "\x93NUMPY"
enum { MAGIC_BYTES = 6 };

typedef struct npy {
    tn_env *env;
    const char *path;
    const unsigned char *p;
    size_t n, at, end; // bytes in all; of the next one; where the header ends
    tni_raw raw;
    tn_shape shape;
    bool fortran; // first index fastest
} npy;

// ------------------------------------------------------------------ the header

__attribute__((format(printf, 2, 3))) static bool bad(const npy *f, const char *format, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    tni_env_fail(f->env, TN_E_FORMAT, "%s: byte %zu: %s", f->path, f->at, text);
    return false;
}

static void skip_space(npy *f)
{
    while (f->at < f->end && strchr(" \t\r\n", f->p[f->at]) && f->p[f->at]) f->at++;
}

// The next character that is no space, without taking it; 0 at the end of the header.
static char peek(npy *f)
{
    skip_space(f);
    return f->at < f->end ? (char)f->p[f->at] : '\0';
}

static bool accept(npy *f, char c)
{
    if (peek(f) != c) return false;
    f->at++;
    return true;
}

static bool expect(npy *f, char c)
{
    if (accept(f, c)) return true;
    const char got = peek(f);
    return bad(f, "header: wanted '%c', got '%c'", c, got ? got : ' ');
}

// A Python string of at most size - 1 characters, without escapes.
static bool get_string(npy *f, char *text, size_t size)
{
    const char quote = peek(f);
    if (quote != '\'' && quote != '"') return bad(f, "header: wanted a string");
    f->at++;
    size_t n = 0;
    while (f->at < f->end && f->p[f->at] != (unsigned char)quote && n + 1 < size)
        text[n++] = (char)f->p[f->at++];
    text[n] = '\0';
    if (f->at < f->end && f->p[f->at] == (unsigned char)quote) {
        f->at++;
        return true;
    }
    return bad(f, "header: wanted the end of a string of at most %zu characters", size - 1);
}

static bool get_descr(npy *f)
{
    if (peek(f) == '[' || peek(f) == '{')
        return bad(f, "descr: wanted a plain dtype, got a structured one");
    char text[16];
    if (!get_string(f, text, sizeof text)) return false;
    const char *s = text;
    const bool little = htole16(1) == 1;
    const char order = strchr("<>=|", *s) && *s ? *s++ : '=';
    f->raw =
        (tni_raw){.kind = *s, .swapped = (order == '<' && !little) || (order == '>' && little)};
    const char *const digits = *s ? s + 1 : s;
    if (!strcmp(s, "?"))
        f->raw = (tni_raw){'b', 1, false};
    else if (strspn(digits, "0123456789") == 1 && !digits[1])
        f->raw.size = (uint8_t)(*digits - '0');
    if (tni_raw_dtype(f->raw) && f->raw.kind != 'w') return true;
    return bad(f, "descr: wanted b1, i1 to i8, u1 to u8, f2, f4 or f8, got \"%s\"", text);
}

static bool get_bool(npy *f)
{
    skip_space(f);
    const size_t left = f->end - f->at;
    const char *const p = (const char *)f->p + f->at;
    f->fortran = left >= 4 && !strncmp(p, "True", 4);
    if (!f->fortran && (left < 5 || strncmp(p, "False", 5) != 0))
        return bad(f, "fortran_order: wanted True or False");
    f->at += f->fortran ? 4 : 5;
    return true;
}

static bool get_extent(npy *f, int64_t *extent)
{
    int64_t v = 0;
    size_t digits = 0;
    for (char c = peek(f); f->at < f->end && c >= '0' && c <= '9'; digits++) {
        if (__builtin_mul_overflow(v, (int64_t)10, &v) ||
            __builtin_add_overflow(v, (int64_t)(c - '0'), &v))
            return bad(f, "shape: an extent beyond 2^63");
        f->at++;
        c = f->at < f->end ? (char)f->p[f->at] : '\0';
    }
    if (!digits) return bad(f, "shape: wanted an extent");
    if (f->at < f->end && f->p[f->at] == 'L') f->at++; // as Python 2 wrote long integers
    *extent = v;
    return true;
}

static bool get_shape(npy *f)
{
    f->shape = (tn_shape){0};
    if (!expect(f, '(')) return false;
    while (!accept(f, ')')) {
        if (f->shape.ndim == TN_MAX_NDIM)
            return bad(f, "shape: wanted at most %d axes, got more", TN_MAX_NDIM);
        if (!get_extent(f, &f->shape.dim[f->shape.ndim++])) return false;
        if (!accept(f, ',') && peek(f) != ')') return expect(f, ',');
    }
    return true;
}

static bool get_dict(npy *f)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    bool (*const get[])(npy *) = {get_descr, get_bool, get_shape};
    bool seen[3] = {false};
    if (!expect(f, '{')) return false;
    while (!accept(f, '}')) {
        char key[16];
        if (!get_string(f, key, sizeof key) || !expect(f, ':')) return false;
        size_t k = 0;
        while (k < 3 && strcmp(key, keys[k])) k++;
        if (k == 3 || seen[k])
            return bad(f, "header: wanted descr, fortran_order and shape once, got %s", key);
        seen[k] = true;
        if (!get[k](f)) return false;
        if (!accept(f, ',') && peek(f) != '}') return expect(f, ',');
    }
    for (size_t k = 0; k < 3; k++)
        if (!seen[k]) return bad(f, "header: wanted %s, got none", keys[k]);
    if (peek(f)) return bad(f, "header: wanted its end, got '%c'", peek(f));
    f->at = f->end;
    return true;
}

static bool get_header(npy *f)
{
    if (f->n < MAGIC_BYTES + 2 || memcmp(f->p, MAGIC, MAGIC_BYTES) != 0)
        return bad(f, "wanted the magic of an npy file");
    f->at = MAGIC_BYTES;
    const unsigned version = f->p[f->at];
    if (version < 1 || version > 3)
        return bad(f, "version: wanted 1, 2 or 3, got %u.%u", version, f->p[f->at + 1]);
    f->at += 2;
    uint32_t length = 0; // little-endian, two or four bytes
    const size_t width = version == 1 ? 2 : 4;
    if (f->n - f->at < width) return bad(f, "header: wanted its length, got the end of the file");
    memcpy(&length, f->p + f->at, width);
    length = le32toh(length);
    f->at += width;
    if (length > f->n - f->at)
        return bad(f, "header: wanted %u bytes, got %zu", length, f->n - f->at);
    f->end = f->at + length;
    return get_dict(f);
}

// ------------------------------------------------------------------ elements

// Elements in Fortran's order (first index fastest) into C's (last index fastest).
static void to_c_order(unsigned char *dst, const unsigned char *src, const tn_shape *shape,
                       size_t size)
{
    size_t stride[TN_MAX_NDIM], step = size;
    int64_t index[TN_MAX_NDIM] = {0};
    for (int32_t i = shape->ndim - 1; i >= 0; i--) {
        stride[i] = step;
        step *= (size_t)shape->dim[i];
    }
    const int64_t n = tn_shape_size(shape);
    size_t at = 0;
    for (int64_t k = 0; k < n; k++) {
        memcpy(dst + at, src + (size_t)k * size, size);
        for (int32_t i = 0; i < shape->ndim; i++) {
            at += stride[i];
            if (++index[i] < shape->dim[i]) break;
            at -= stride[i] * (size_t)shape->dim[i];
            index[i] = 0;
        }
    }
}

static tn_tensor *get_tensor(npy *f)
{
    uint64_t bytes;
    if (!get_header(f)) return NULL;
    if (!tni_raw_bytes(&f->shape, f->raw.size, &bytes)) {
        bad(f, "elements: wanted more bytes than there can be, got %zu", f->n - f->at);
        return NULL;
    }
    if (bytes != f->n - f->at) {
        bad(f, "elements: wanted %llu bytes for the shape, got %zu", (unsigned long long)bytes,
            f->n - f->at);
        return NULL;
    }
    const unsigned char *const data = f->p + f->at;
    if (!f->fortran || f->shape.ndim < 2 || !bytes)
        return tni_raw_tensor(f->env, f->path, f->raw, &f->shape, data);
    unsigned char *const turned = malloc((size_t)bytes);
    if (!turned) {
        tni_env_fail(f->env, TN_E_NOMEM, "%s: out of memory", f->path);
        return NULL;
    }
    to_c_order(turned, data, &f->shape, f->raw.size);
    tn_tensor *const t = tni_raw_tensor(f->env, f->path, f->raw, &f->shape, turned);
    free(turned);
    return t;
}

tn_tensor *tn_npy_load(tn_env *env, const char *path)
{
    char *bytes;
    size_t n;
    tni_error error = {0};
    const tn_status status = tni_file_read(path, &bytes, &n, &error);
    if (status) {
        tni_env_fail(env, status, "%s", tni_error_text(&error));
        tni_error_clear(&error);
        return NULL;
    }
    npy f = {.env = env, .path = path, .p = (const unsigned char *)bytes, .n = n};
    tn_tensor *const t = get_tensor(&f);
    free(bytes);
    return t;
}

// ------------------------------------------------------------------ writing

static const char *descr_of(tn_dtype dtype)
{
    switch (dtype) {
    case TN_F64: return "f8";
    case TN_F16: return "f2";
    case TN_U8: return "u1";
    case TN_I8: return "i1";
    case TN_I32: return "i4";
    case TN_I64: return "i8";
    case TN_BOOL: return "b1";
    default: return "f4";
    }
}

// Everything before the elements: padded so that these begin at a multiple of 64.
static void put_header(tni_writer *w, tn_tensor *t)
{
    const tn_shape shape = tn_tensor_shape(t);
    char text[256] = "";
    const bool single = tn_dtype_size(tn_tensor_dtype(t)) == 1;
    const char order = single ? '|' : htole16(1) == 1 ? '<' : '>';
    size_t n =
        (size_t)snprintf(text, sizeof text, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                         order, descr_of(tn_tensor_dtype(t)));
    for (int32_t i = 0; i < shape.ndim; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%lld", i ? ", " : "",
                              (long long)shape.dim[i]);
    n += (size_t)snprintf(text + n, sizeof text - n, "%s), }", shape.ndim == 1 ? "," : "");
    const size_t before = MAGIC_BYTES + 2 + 2;
    while ((before + n + 1) % 64) text[n++] = ' ';
    text[n++] = '\n';
    const uint16_t length = htole16((uint16_t)n);
    tni_writer_put(w, MAGIC "\x01", MAGIC_BYTES + 2); // version 1.0
    tni_writer_put(w, &length, sizeof length);
    tni_writer_put(w, text, n);
}

tn_status tn_npy_save(tn_env *env, const char *path, tn_tensor *t)
{
    if (!t) return tni_env_fail(env, TN_E_INVALID, "tn_npy_save: wanted a tensor, got NULL");
    const bool as_is = tn_tensor_data(t) && tn_tensor_dtype(t) != TN_BF16;
    tn_tensor *const host =
        as_is ? tn_tensor_retain(t)
              : tn_tensor_cast(t, tn_tensor_dtype(t) == TN_BF16 ? TN_F32 : tn_tensor_dtype(t));
    if (!host) return tn_env_status(env);
    tni_writer w;
    tni_error error = {0};
    tn_status status = tni_writer_open(&w, path, &error);
    if (!status) {
        put_header(&w, host);
        tni_writer_put(&w, tn_tensor_data(host), (size_t)tn_tensor_bytes(host));
        status = tni_writer_commit(&w, &error);
    }
    if (status) tni_env_fail(env, status, "tn_npy_save: %s", tni_error_text(&error));
    tni_error_clear(&error);
    tn_tensor_release(host);
    return status;
}
