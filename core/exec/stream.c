// core/exec/stream.c: files read in pieces, plain or gzip.
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "core/exec/exec.h"

enum {
    BUFFER = 1 << 17,      // bytes zlib reads at a time
    MOST_AT_ONCE = 1 << 30 // gzread counts in int
};

bool tni_stream_open(tni_stream *s, tn_env *env, const char *path)
{
    *s = (tni_stream){.env = env, .path = path ? path : "(no path)"};
    const int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    struct stat info;
    if (fd < 0 || fstat(fd, &info)) {
        tni_env_fail(env, TN_E_IO, "%s: %s", s->path, strerror(path ? errno : EINVAL));
    } else if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode)) {
        tni_env_fail(env, TN_E_IO, "%s: is neither a file nor a pipe", s->path);
    } else {
        s->gz = gzdopen(fd, "rb");
        if (s->gz) {
            gzbuffer(s->gz, BUFFER);
            return true;
        }
        tni_env_fail(env, TN_E_NOMEM, "%s: out of memory", s->path);
    }
    if (fd >= 0) close(fd);
    return false;
}

static int64_t failed(tni_stream *s)
{
    int code;
    const char *const text = gzerror(s->gz, &code);
    if (code == Z_ERRNO)
        tni_env_fail(s->env, TN_E_IO, "%s: %s", s->path, strerror(errno));
    else
        tni_env_fail(s->env, code == Z_MEM_ERROR ? TN_E_NOMEM : TN_E_FORMAT,
                     "%s: byte %llu after unpacking: %s", s->path, (unsigned long long)s->at,
                     text && *text ? text : "damaged gzip data");
    return -1;
}

int64_t tni_stream_read(tni_stream *s, void *bytes, size_t n)
{
    size_t done = 0;
    while (done < n) {
        const size_t piece = n - done < MOST_AT_ONCE ? n - done : (size_t)MOST_AT_ONCE;
        const int got = gzread(s->gz, (char *)bytes + done, (unsigned)piece);
        if (got < 0) return failed(s);
        done += (size_t)got;
        s->at += (uint64_t)got;
        if ((size_t)got == piece) continue;
        int code; // a gzip file that is cut off gives what it has and then this
        gzerror(s->gz, &code);
        if (code != Z_OK && code != Z_STREAM_END) return failed(s);
        break;
    }
    return (int64_t)done;
}

void tni_stream_close(tni_stream *s)
{
    if (s->gz) gzclose_r(s->gz);
    s->gz = NULL;
}
