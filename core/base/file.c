// core/base/file.c: files read whole, and files written so that a failure leaves the old one.
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/base.h"

// ------------------------------------------------------------------ reading

// Reads fd to its end. `expected` is a first guess only: the file may grow or shrink meanwhile.
static tn_status read_all(int fd, const char *path, size_t expected, char **bytes, size_t *n,
                          tni_error *error)
{
    size_t capacity = expected + 2, used = 0; // room for the NUL, and to see the end
    char *buffer = malloc(capacity);
    while (buffer) {
        if (used + 1 >= capacity && !tni_grow((void **)&buffer, &capacity, capacity + 4096, 1))
            break;
        const ssize_t got = read(fd, buffer + used, capacity - used - 1);
        if (got > 0) {
            used += (size_t)got;
        } else if (got == 0) {
            buffer[used] = '\0';
            *bytes = buffer;
            *n = used;
            return TN_OK;
        } else if (errno != EINTR) {
            tni_fail(error, TN_E_IO, NULL, "%s: %s", path, strerror(errno));
            free(buffer);
            return TN_E_IO;
        }
    }
    free(buffer);
    return tni_fail(error, TN_E_NOMEM, NULL, "%s: out of memory after %zu bytes", path, used);
}

tn_status tni_file_read(const char *path, char **bytes, size_t *n, tni_error *error)
{
    const int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    struct stat info;
    if (fd < 0 || fstat(fd, &info)) {
        const int reason = path ? errno : EINVAL;
        if (fd >= 0) close(fd);
        return tni_fail(error, TN_E_IO, NULL, "%s: %s", path ? path : "(no path)",
                        strerror(reason));
    }
    tn_status status;
    if (S_ISREG(info.st_mode) || S_ISFIFO(info.st_mode)) {
        const size_t size = S_ISREG(info.st_mode) ? (size_t)info.st_size : 0;
        status = read_all(fd, path, size, bytes, n, error);
    } else { // a directory, or a device that may never end
        status = tni_fail(error, TN_E_IO, NULL, "%s: is neither a file nor a pipe", path);
    }
    close(fd);
    return status;
}

// ------------------------------------------------------------------ writing

// Opens a new file beside path, with the permissions of an old one that it will replace.
static int open_beside(const char *path, const struct stat *old, char **name)
{
    static atomic_uint serial;
    for (int i = 0; i < 100; i++) { // names left behind by processes that died are passed over
        const unsigned number = atomic_fetch_add(&serial, 1);
        if (asprintf(name, "%s.%ld-%u.tmp", path, (long)getpid(), number) < 0) {
            *name = NULL;
            errno = ENOMEM;
            return -1;
        }
        const int fd = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 && old) (void)fchmod(fd, old->st_mode & 0777); // else: those of a new file
        if (fd >= 0 || errno != EEXIST) return fd;
        free(*name);
        *name = NULL;
    }
    errno = EEXIST;
    return -1;
}

tn_status tni_writer_open(tni_writer *w, const char *path, tni_error *error)
{
    *w = (tni_writer){0};
    if (!path) return tni_fail(error, TN_E_INVALID, NULL, "path: wanted a file name, got NULL");
    struct stat old;
    const bool exists = stat(path, &old) == 0;
    int fd;
    if (exists && !S_ISREG(old.st_mode))
        fd = open(path, O_WRONLY | O_CLOEXEC);
    else
        fd = open_beside(path, exists ? &old : NULL, &w->temporary);
    w->path = strdup(path);
    w->file = fd >= 0 && w->path ? fdopen(fd, "wb") : NULL;
    if (w->file) return TN_OK;
    const tn_status status =
        tni_fail(error, w->path ? TN_E_IO : TN_E_NOMEM, NULL, "%s: %s", path, strerror(errno));
    if (fd >= 0) {
        close(fd);
        if (w->temporary) unlink(w->temporary);
    }
    free(w->path);
    free(w->temporary);
    *w = (tni_writer){0};
    return status;
}

void tni_writer_put(tni_writer *w, const void *bytes, size_t n)
{
    if (n) fwrite(bytes, 1, n, w->file);
}

static void writer_free(tni_writer *w)
{
    free(w->path);
    free(w->temporary);
    *w = (tni_writer){0};
}

tn_status tni_writer_commit(tni_writer *w, tni_error *error)
{
    errno = 0;
    bool ok = !ferror(w->file) && fflush(w->file) == 0;
    int reason = errno;
    if (fclose(w->file) && ok) {
        ok = false;
        reason = errno;
    }
    if (ok && w->temporary && rename(w->temporary, w->path)) {
        ok = false;
        reason = errno;
    }
    tn_status status = TN_OK;
    if (!ok) {
        status = tni_fail(error, TN_E_IO, NULL, "%s: %s", w->path,
                          reason ? strerror(reason) : "writing failed");
        if (w->temporary) unlink(w->temporary);
    }
    writer_free(w);
    return status;
}

void tni_writer_abandon(tni_writer *w)
{
    if (!w->file) return;
    fclose(w->file);
    if (w->temporary) unlink(w->temporary);
    writer_free(w);
}
