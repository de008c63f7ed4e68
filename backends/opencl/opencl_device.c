// backends/opencl/opencl_device.c: platforms and devices, and how they are opened.
#include "opencl.h"

enum { MOST_PLATFORMS = 16 };

const char *ocl_error_name(cl_int error)
{
    switch (error) {
#define NAME(name) \
    case name: return #name;
        NAME(CL_DEVICE_NOT_FOUND)
        NAME(CL_DEVICE_NOT_AVAILABLE)
        NAME(CL_COMPILER_NOT_AVAILABLE)
        NAME(CL_MEM_OBJECT_ALLOCATION_FAILURE)
        NAME(CL_OUT_OF_RESOURCES)
        NAME(CL_OUT_OF_HOST_MEMORY)
        NAME(CL_BUILD_PROGRAM_FAILURE)
        NAME(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST)
        NAME(CL_INVALID_VALUE)
        NAME(CL_INVALID_DEVICE)
        NAME(CL_INVALID_CONTEXT)
        NAME(CL_INVALID_COMMAND_QUEUE)
        NAME(CL_INVALID_MEM_OBJECT)
        NAME(CL_INVALID_BINARY)
        NAME(CL_INVALID_BUILD_OPTIONS)
        NAME(CL_INVALID_PROGRAM)
        NAME(CL_INVALID_PROGRAM_EXECUTABLE)
        NAME(CL_INVALID_KERNEL_NAME)
        NAME(CL_INVALID_KERNEL)
        NAME(CL_INVALID_ARG_INDEX)
        NAME(CL_INVALID_ARG_VALUE)
        NAME(CL_INVALID_ARG_SIZE)
        NAME(CL_INVALID_KERNEL_ARGS)
        NAME(CL_INVALID_WORK_DIMENSION)
        NAME(CL_INVALID_WORK_GROUP_SIZE)
        NAME(CL_INVALID_WORK_ITEM_SIZE)
        NAME(CL_INVALID_GLOBAL_WORK_SIZE)
        NAME(CL_INVALID_EVENT)
        NAME(CL_INVALID_OPERATION)
        NAME(CL_INVALID_BUFFER_SIZE)
#undef NAME
    case -1001: return "no platform: no driver is registered with the ICD loader";
    default: return "unknown error";
    }
}

tn_status ocl_failed(const tn_device *device, cl_int error, const char *what)
{
    tn_status status = TN_E_INTERNAL;
    switch (error) {
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
    case CL_OUT_OF_HOST_MEMORY:
    case CL_INVALID_BUFFER_SIZE: status = TN_E_NOMEM; break;
    case CL_DEVICE_NOT_AVAILABLE:
    case CL_OUT_OF_RESOURCES:
    case CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST: status = TN_E_DEVICE_LOST; break;
    default: break;
    }
    return tn_fail(device->plugin->host, status, "opencl:%s (%s): %s: %s (%d)", device->number,
                   device->name, what, ocl_error_name(error), (int)error);
}

// ------------------------------------------------------------------ what there is

static void text_of(cl_device_id id, cl_device_info what, char *out, size_t size)
{
    memset(out, 0, size);
    if (clGetDeviceInfo(id, what, size - 1, out, NULL) != CL_SUCCESS)
        snprintf(out, size, "unknown");
}

static cl_ulong number_of(cl_device_id id, cl_device_info what, size_t bytes)
{
    cl_ulong v = 0; // little and big values alike: zeroed, and read by their own size
    cl_uint small = 0;
    if (bytes == sizeof small) {
        clGetDeviceInfo(id, what, sizeof small, &small, NULL);
        return small;
    }
    clGetDeviceInfo(id, what, sizeof v, &v, NULL);
    return v;
}

static bool has_extension(cl_device_id id, const char *name)
{
    size_t n = 0;
    if (clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, 0, NULL, &n) != CL_SUCCESS || n > 1 << 16)
        return false;
    char *all = calloc(1, n + 1);
    const bool read = all && clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, n, all, NULL) == CL_SUCCESS;
    const bool found = read && strstr(all, name);
    free(all);
    return found;
}

static void judge(tn_device *d)
{
    char version[OCL_NAME];
    unsigned major = 0, minor = 0;
    text_of(d->id, CL_DEVICE_VERSION, version, sizeof version);
    sscanf(version, "OpenCL %u.%u", &major, &minor);
    const bool usable = number_of(d->id, CL_DEVICE_AVAILABLE, sizeof(cl_bool)) != 0;
    if (major * 10 + minor < 12)
        snprintf(d->unusable, sizeof d->unusable, "%.100s device, OpenCL 1.2 needed", version);
    else if (!usable)
        snprintf(d->unusable, sizeof d->unusable, "the driver says that it is not available");
    else if (!number_of(d->id, CL_DEVICE_COMPILER_AVAILABLE, sizeof(cl_bool)))
        snprintf(d->unusable, sizeof d->unusable, "the driver has no compiler");
    else if (!number_of(d->id, CL_DEVICE_ENDIAN_LITTLE, sizeof(cl_bool)))
        snprintf(d->unusable, sizeof d->unusable, "the device is not little-endian");
}

static void describe(tn_device *d)
{
    char version[OCL_NAME];
    cl_device_type type = 0;
    size_t group = 0;
    text_of(d->id, CL_DEVICE_NAME, d->name, sizeof d->name);
    text_of(d->id, CL_DRIVER_VERSION, d->driver, sizeof d->driver);
    text_of(d->id, CL_DEVICE_VERSION, version, sizeof version);
    snprintf(d->driver + strlen(d->driver), sizeof d->driver - strlen(d->driver), ", %s", version);
    clGetDeviceInfo(d->id, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    clGetDeviceInfo(d->id, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof group, &group, NULL);
    snprintf(d->kind, sizeof d->kind, "%s",
             type & CL_DEVICE_TYPE_CPU   ? "cpu"
             : type & CL_DEVICE_TYPE_GPU ? "gpu"
                                         : "accelerator");
    const tn_host_api *host = d->plugin->host;
    const char *ways = host->option(host->host, "ways");
    const bool given = ways && strcmp(ways, "auto") != 0;
    d->cpu = strcmp(given ? ways : d->kind, "cpu") == 0;
    d->group = group ? group : 1;
    d->memory = number_of(d->id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(cl_ulong));
    d->max_alloc = number_of(d->id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(cl_ulong));
    d->local_memory = number_of(d->id, CL_DEVICE_LOCAL_MEM_SIZE, sizeof(cl_ulong));
    d->units = (uint32_t)number_of(d->id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(cl_uint));
    d->fp64 = has_extension(d->id, "cl_khr_fp64");
    judge(d);
}

// No device: the platforms, and what each answered. Platforms that cannot begin are the usual
// cause: PoCL has no devices where it cannot write its cache.
static void say_why_none(ocl_plugin *p, const cl_platform_id *platforms, cl_uint n)
{
    size_t at = 0;
    if (!n) {
        snprintf(p->none, sizeof p->none, "no OpenCL driver is installed");
        return;
    }
    at += (size_t)snprintf(p->none, sizeof p->none, "no OpenCL platform offers a device:");
    for (cl_uint i = 0; i < n && i < MOST_PLATFORMS && at < OCL_NAME; i++) {
        char name[64] = "unknown";
        cl_uint m = 0;
        clGetPlatformInfo(platforms[i], CL_PLATFORM_NAME, sizeof name - 1, name, NULL);
        const cl_int error = clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 0, NULL, &m);
        at += (size_t)snprintf(p->none + at, sizeof p->none - at, "%s %.63s: %s", i ? "," : "",
                               name, error ? ocl_error_name(error) : "none");
    }
    snprintf(p->none + at, sizeof p->none - at,
             "; PoCL needs a folder that it can write to: POCL_CACHE_DIR, XDG_CACHE_HOME or HOME");
}

static void look(ocl_plugin *p)
{
    cl_platform_id platforms[MOST_PLATFORMS];
    cl_uint n = 0;
    p->harm = ocl_probe();
    p->enumerated = true;
    if (p->harm) return;
    if (clGetPlatformIDs(MOST_PLATFORMS, platforms, &n) != CL_SUCCESS) n = 0;
    for (cl_uint i = 0; i < n && i < MOST_PLATFORMS; i++) {
        cl_device_id ids[OCL_MAX_DEVICES];
        cl_uint m = 0;
        if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, OCL_MAX_DEVICES, ids, &m)) continue;
        for (cl_uint j = 0; j < m && j < OCL_MAX_DEVICES && p->n_devices < OCL_MAX_DEVICES; j++) {
            tn_device *d = &p->devices[p->n_devices];
            d->plugin = p;
            d->platform = platforms[i];
            d->id = ids[j];
            snprintf(d->number, sizeof d->number, "%u", p->n_devices++);
            describe(d);
        }
    }
    if (!p->n_devices) say_why_none(p, platforms, n);
}

tn_status ocl_enumerate(void *plugin, tn_device_sink sink, void *sink_ctx)
{
    ocl_plugin *p = plugin;
    pthread_mutex_lock(&p->lock);
    if (!p->enumerated) look(p);
    pthread_mutex_unlock(&p->lock);
    if (p->harm < 0)
        return tn_fail(p->host, TN_E_UNAVAILABLE,
                       "an OpenCL driver does not answer when it is asked for its devices");
    if (p->harm)
        return tn_fail(p->host, TN_E_UNAVAILABLE,
                       "an OpenCL driver ends the process that asks for its devices (signal %d)",
                       p->harm);
    if (!p->n_devices) return tn_fail(p->host, TN_E_UNAVAILABLE, "%s", p->none);
    for (uint32_t i = 0; i < p->n_devices; i++) {
        const tn_device *d = &p->devices[i];
        const tn_device_info info = {.struct_size = sizeof info,
                                     .flags = TN_DEV_OWN_THREADS,
                                     .id = d->number,
                                     .kind = d->kind,
                                     .name = d->name,
                                     .driver = d->driver,
                                     .mem_total = d->memory,
                                     .unusable = d->unusable[0] ? d->unusable : NULL};
        const tn_status s = sink(sink_ctx, &info);
        if (s != TN_OK) return s;
    }
    return TN_OK;
}

// ------------------------------------------------------------------ opening

static void close_now(tn_device *d)
{
    ocl_programs_free(d);
    ocl_queue_end(&d->own);
    ocl_events_free(d);
    pthread_mutex_destroy(&d->own_lock);
    if (d->context) clReleaseContext(d->context);
    d->context = NULL;
}

static tn_status open_now(tn_device *d)
{
    cl_int error;
    d->context = clCreateContext(NULL, 1, &d->id, NULL, NULL, &error);
    if (!d->context) return ocl_failed(d, error, "making a context");
    if (pthread_mutex_init(&d->own_lock, NULL)) {
        clReleaseContext(d->context);
        d->context = NULL;
        return ocl_failed(d, CL_OUT_OF_HOST_MEMORY, "a lock");
    }
    const tn_status s = ocl_queue_make(d, &d->own);
    if (s != TN_OK) close_now(d);
    return s;
}

tn_status ocl_open(void *plugin, const char *device_id, tn_device **out)
{
    ocl_plugin *p = plugin;
    tn_device *d = NULL;
    for (uint32_t i = 0; i < p->n_devices; i++)
        if (strcmp(p->devices[i].number, device_id) == 0) d = &p->devices[i];
    if (!d)
        return tn_fail(p->host, TN_E_NOT_FOUND, "opencl: no device %s: there are %u", device_id,
                       p->n_devices);
    if (d->unusable[0])
        return tn_fail(p->host, TN_E_UNAVAILABLE, "opencl:%s: %s", device_id, d->unusable);
    pthread_mutex_lock(&p->lock);
    const tn_status s = d->n_open ? TN_OK : open_now(d);
    if (s == TN_OK) d->n_open++;
    pthread_mutex_unlock(&p->lock);
    *out = s == TN_OK ? d : NULL;
    return s;
}

void ocl_close(tn_device *device)
{
    pthread_mutex_lock(&device->plugin->lock);
    if (device->n_open && --device->n_open == 0) close_now(device);
    pthread_mutex_unlock(&device->plugin->lock);
}
