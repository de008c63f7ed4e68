// core/exec/idx.c: idx files, as MNIST has them, plain or gzip.
//
// Two zero bytes, a type, the number of axes; then each extent as 32 bits and the elements, all of
// it big-endian. Source: Y. LeCun, "The MNIST database of handwritten digits".
#include <endian.h>
#include <tenon/tensor.h>

#include "core/exec/exec.h"

enum { FIRST_PIECE = 1 << 20 }; // bytes asked for before any has arrived

typedef struct idx_head {
    tni_raw raw;
    tn_shape shape;
    uint64_t bytes; // of the elements
} idx_head;

static bool raw_of(unsigned char type, tni_raw *raw)
{
    switch (type) {
    case 0x08: *raw = (tni_raw){'u', 1, false}; return true;
    case 0x09: *raw = (tni_raw){'i', 1, false}; return true;
    case 0x0B: *raw = (tni_raw){'i', 2, false}; break;
    case 0x0C: *raw = (tni_raw){'i', 4, false}; break;
    case 0x0D: *raw = (tni_raw){'f', 4, false}; break;
    case 0x0E: *raw = (tni_raw){'f', 8, false}; break;
    default: return false;
    }
    raw->swapped = htobe16(1) != 1;
    return true;
}

static bool cut_off(const tni_stream *s, const char *what, uint64_t wanted, int64_t got)
{
    if (got >= 0)
        tni_env_fail(s->env, TN_E_FORMAT, "%s: byte %llu: %s: wanted %llu bytes, got %lld", s->path,
                     (unsigned long long)s->at, what, (unsigned long long)wanted, (long long)got);
    return false;
}

static bool read_head(tni_stream *s, idx_head *head)
{
    unsigned char magic[4] = {0};
    int64_t got = tni_stream_read(s, magic, sizeof magic);
    if (got != sizeof magic) return cut_off(s, "idx magic", sizeof magic, got);
    if (magic[0] || magic[1] || !raw_of(magic[2], &head->raw) || magic[3] > TN_MAX_NDIM) {
        tni_env_fail(s->env, TN_E_FORMAT,
                     "%s: byte 0: wanted idx magic 00 00, type 08 09 0b 0c 0d or 0e, at most %d "
                     "axes; got %02x %02x %02x %02x",
                     s->path, TN_MAX_NDIM, magic[0], magic[1], magic[2], magic[3]);
        return false;
    }
    head->shape = (tn_shape){.ndim = magic[3]};
    for (int32_t i = 0; i < head->shape.ndim; i++) {
        uint32_t extent;
        got = tni_stream_read(s, &extent, sizeof extent);
        if (got != sizeof extent) return cut_off(s, "extent", sizeof extent, got);
        head->shape.dim[i] = be32toh(extent);
    }
    if (tni_raw_bytes(&head->shape, head->raw.size, &head->bytes)) return true;
    tni_env_fail(s->env, TN_E_FORMAT,
                 "%s: byte 4: the extents make more elements than memory holds", s->path);
    return false;
}

// Reads `wanted` bytes into memory that grows as they arrive: a small file cannot ask for much.
static char *read_growing(tni_stream *s, uint64_t wanted)
{
    char *bytes = NULL;
    size_t capacity = 0;
    uint64_t have = 0;
    do {
        const uint64_t piece = have ? have : FIRST_PIECE; // doubles each time
        const uint64_t n = wanted - have < piece ? wanted - have : piece;
        if (!tni_grow((void **)&bytes, &capacity, (size_t)(have + n) + 1, 1)) {
            tni_env_fail(s->env, TN_E_NOMEM, "%s: out of memory at byte %llu", s->path,
                         (unsigned long long)s->at);
            break;
        }
        const int64_t got = tni_stream_read(s, bytes + have, (size_t)n);
        if (got != (int64_t)n) {
            cut_off(s, "elements", wanted, got < 0 ? got : (int64_t)have + got);
            break;
        }
        have += n;
        if (have == wanted) return bytes;
    } while (have < wanted);
    free(bytes);
    return NULL;
}

static bool at_end(tni_stream *s)
{
    char more;
    const int64_t got = tni_stream_read(s, &more, 1);
    if (got > 0)
        tni_env_fail(s->env, TN_E_FORMAT, "%s: byte %llu: wanted the end of the file, got more",
                     s->path, (unsigned long long)s->at - 1);
    return got == 0;
}

tn_tensor *tn_idx_load(tn_env *env, const char *path)
{
    tni_stream s;
    idx_head head;
    tn_tensor *result = NULL;
    if (!tni_stream_open(&s, env, path)) return NULL;
    if (read_head(&s, &head)) {
        char *const bytes = read_growing(&s, head.bytes);
        if (bytes && at_end(&s)) result = tni_raw_tensor(env, path, head.raw, &head.shape, bytes);
        free(bytes);
    }
    tni_stream_close(&s);
    return result;
}
