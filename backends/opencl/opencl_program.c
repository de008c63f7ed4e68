// backends/opencl/opencl_program.c: programs: built once per device, kept on
// disk.
//
// A file of the cache holds one program's binary behind a header with its
// checksum. Its name is a hash of the device, the driver, the options and the
// text, so that a change of any of them makes another file. Files are written
// under another name and renamed: a reader, in this process or another, sees a
// whole file or none.
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "opencl.h"

#define FORMAT "tenon opencl program 1"

struct ocl_program {
    ocl_program *next;
    uint64_t key[2];
    cl_program program;
};

enum { PATH = 1024, OPTIONS = 512 };
#define MOST_BYTES (UINT64_C(256) << 20) // of a cached binary

// FNV-1a; seeds make two of it.
static uint64_t hash(uint64_t h, const void *p, size_t n)
{
    const unsigned char *c = p;
    for (size_t i = 0; i < n; i++) h = (h ^ c[i]) * UINT64_C(1099511628211);
    return h;
}

// Options of every build.
static void options_of(const tn_device *d, char out[OPTIONS])
{
    const tn_host_api *host = d->plugin->host;
    const char *flags = host->option(host->host, "flags");
    snprintf(out, OPTIONS, "-cl-std=CL1.2 -w%s %s", d->cpu ? " -DTN_ON_CPU=1" : "",
             flags ? flags : "");
}

static void key_of(const tn_device *d, const char *options, const char *text, uint64_t key[2])
{
    char platform[OCL_NAME] = "";
    clGetPlatformInfo(d->platform, CL_PLATFORM_VERSION, sizeof platform - 1, platform, NULL);
    const char *const parts[] = {FORMAT, platform, d->name, d->driver, options, text};
    key[0] = UINT64_C(14695981039346656037);
    key[1] = UINT64_C(0x9E3779B97F4A7C15);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        for (int j = 0; j < 2; j++) key[j] = hash(key[j], parts[i], strlen(parts[i]) + 1);
}

// ------------------------------------------------------------------ the folder

// Makes the folder and those above it; false if that is impossible.
static bool make_folder(char *path)
{
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = 0;
        const int made = mkdir(path, 0700);
        const bool failed = made && errno != EEXIST;
        *at = '/';
        if (failed) return false;
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

// Path of the file for that key; false: there is no cache.
static bool cache_path(const tn_device *d, const uint64_t key[2], char path[PATH])
{
    const tn_host_api *host = d->plugin->host;
    const char *option = host->option(host->host, "cache");
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (option && strcmp(option, "off") == 0) return false;
    int n;
    if (option && *option)
        n = snprintf(path, PATH - 64, "%s", option);
    else if (xdg && *xdg == '/')
        n = snprintf(path, PATH - 64, "%s/tenon/opencl", xdg);
    else if (home && *home == '/')
        n = snprintf(path, PATH - 64, "%s/.cache/tenon/opencl", home);
    else
        return false;
    if (n <= 0 || n >= PATH - 64 || !make_folder(path)) return false;
    snprintf(path + n, 64, "/%016llx%016llx.bin", (unsigned long long)key[0],
             (unsigned long long)key[1]);
    return true;
}

static bool read_all(int fd, void *p, size_t n)
{
    char *to = p;
    while (n) {
        const ssize_t got = read(fd, to, n);
        if (got <= 0) return false;
        to += got;
        n -= (size_t)got;
    }
    return true;
}

static bool write_all(int fd, const void *p, size_t n)
{
    const char *from = p;
    while (n) {
        const ssize_t put = write(fd, from, n);
        if (put <= 0) return false;
        from += put;
        n -= (size_t)put;
    }
    return true;
}

// The header: a mark, the number of bytes behind it and their checksum.
typedef struct header {
    char mark[32];
    uint64_t bytes, sum;
} header;

static header header_of(const void *binary, size_t bytes)
{
    header h = {FORMAT, bytes, hash(UINT64_C(14695981039346656037), binary, bytes)};
    return h;
}

static unsigned char *read_binary(const tn_device *d, const char *path, size_t *bytes)
{
    const tn_host_api *host = d->plugin->host;
    header h;
    unsigned char *binary = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    if (read_all(fd, &h, sizeof h) && h.bytes && h.bytes <= MOST_BYTES)
        binary = host->alloc(host->host, h.bytes, 64);
    *bytes = binary ? (size_t)h.bytes : 0;
    if (binary) {
        const bool whole = read_all(fd, binary, *bytes);
        const header wanted = header_of(binary, *bytes);
        if (!whole || memcmp(&wanted, &h, sizeof h) != 0) {
            host->free(host->host, binary, *bytes, 64);
            binary = NULL;
            atomic_fetch_add(&d->plugin->counters.refused, 1);
        }
    }
    close(fd);
    return binary;
}

static void write_binary(const char *path, const void *binary, size_t bytes)
{
    char other[PATH + 32];
    const header h = header_of(binary, bytes);
    snprintf(other, sizeof other, "%s.XXXXXX", path);
    const int fd = mkostemp(other, O_CLOEXEC);
    if (fd < 0) return;
    const bool written = write_all(fd, &h, sizeof h) && write_all(fd, binary, bytes);
    if (close(fd) || !written || rename(other, path)) unlink(other);
}

// Keeps a program that was built; without a word where that is impossible.
static void keep(const tn_device *d, cl_program program, const char *path)
{
    const tn_host_api *host = d->plugin->host;
    size_t bytes = 0;
    if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, NULL)) return;
    if (bytes == 0 || bytes > MOST_BYTES) return;
    unsigned char *binary = host->alloc(host->host, bytes, 64);
    if (!binary) return;
    if (clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS)
        write_binary(path, binary, bytes);
    host->free(host->host, binary, bytes, 64);
}

// ------------------------------------------------------------------ building

static cl_program load(const tn_device *d, const char *options, const char *path)
{
    const tn_host_api *host = d->plugin->host;
    size_t bytes = 0;
    unsigned char *binary = read_binary(d, path, &bytes);
    if (!binary) return NULL;
    cl_int error, status = CL_SUCCESS;
    const unsigned char *at = binary;
    cl_program p = clCreateProgramWithBinary(d->context, 1, &d->id, &bytes, &at, &status, &error);
    host->free(host->host, binary, bytes, 64);
    if (p && !error && !status && clBuildProgram(p, 1, &d->id, options, NULL, NULL) == 0) {
        atomic_fetch_add(&d->plugin->counters.loaded, 1);
        return p;
    }
    if (p) clReleaseProgram(p);
    atomic_fetch_add(&d->plugin->counters.refused, 1);
    return NULL;
}

// The first lines of what the compiler says, as many as a message holds.
static tn_status build_failed(const tn_device *d, cl_program program, cl_int error)
{
    const tn_host_api *host = d->plugin->host;
    size_t n = 0;
    clGetProgramBuildInfo(program, d->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &n);
    char *log = n && n < 1 << 24 ? calloc(1, n + 1) : NULL;
    if (log) clGetProgramBuildInfo(program, d->id, CL_PROGRAM_BUILD_LOG, n, log, NULL);
    const tn_status s =
        tn_fail(host, TN_E_INTERNAL, "opencl:%s (%s): a program does not build: %s: %.380s",
                d->number, d->name, ocl_error_name(error), log && *log ? log : "no build log");
    free(log);
    return s;
}

static tn_status build(const tn_device *d, const char *options, const char *text, cl_program *out)
{
    cl_int error;
    cl_program p = clCreateProgramWithSource(d->context, 1, &text, NULL, &error);
    if (!p) return ocl_failed(d, error, "making a program");
    error = clBuildProgram(p, 1, &d->id, options, NULL, NULL);
    if (error) {
        const tn_status s = build_failed(d, p, error);
        clReleaseProgram(p);
        return s;
    }
    atomic_fetch_add(&d->plugin->counters.built, 1);
    *out = p;
    return TN_OK;
}

// Under the plugin's lock.
static tn_status find(tn_device *d, const char *text, cl_program *out)
{
    const tn_host_api *host = d->plugin->host;
    uint64_t key[2];
    char path[PATH], options[OPTIONS];
    options_of(d, options);
    key_of(d, options, text, key);
    for (ocl_program *p = d->programs; p; p = p->next)
        if (p->key[0] == key[0] && p->key[1] == key[1]) {
            *out = p->program;
            return TN_OK;
        }
    ocl_program *fresh = host->alloc(host->host, sizeof *fresh, 64);
    if (!fresh) return ocl_failed(d, CL_OUT_OF_HOST_MEMORY, "keeping a program");
    *fresh = (ocl_program){d->programs, {key[0], key[1]}, NULL};
    const bool cached = cache_path(d, key, path);
    fresh->program = cached ? load(d, options, path) : NULL;
    if (!fresh->program) {
        const tn_status s = build(d, options, text, &fresh->program);
        if (s != TN_OK) {
            host->free(host->host, fresh, sizeof *fresh, 64);
            return s;
        }
        if (cached) keep(d, fresh->program, path);
    }
    d->programs = fresh;
    *out = fresh->program;
    return TN_OK;
}

tn_status ocl_kernel_new(tn_device *device, const char *text, const char *name, cl_kernel *out)
{
    cl_program program;
    cl_int error = CL_SUCCESS;
    pthread_mutex_lock(&device->plugin->lock);
    tn_status s = find(device, text, &program);
    if (s == TN_OK) *out = clCreateKernel(program, name, &error);
    pthread_mutex_unlock(&device->plugin->lock);
    return s == TN_OK && error ? ocl_failed(device, error, name) : s;
}

void ocl_programs_free(tn_device *device)
{
    const tn_host_api *host = device->plugin->host;
    while (device->programs) {
        ocl_program *p = device->programs;
        device->programs = p->next;
        clReleaseProgram(p->program);
        host->free(host->host, p, sizeof *p, 64);
    }
}
