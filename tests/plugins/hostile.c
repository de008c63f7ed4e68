// tests/plugins/hostile.c: one small plugin, of which CMake builds many that are wrong somewhere.
//
// As it stands it is a good plugin: one operator <name>_op, one backend <name> that declines every
// call, one kernel for others. CMakeLists.txt here lists the variants, each with the definitions
// that spoil it; test_hostile.c says how each must be refused.
#include <tenon/kernel.h>

#ifndef PLUGIN_NAME
#define PLUGIN_NAME HOSTILE_NAME
#endif
#ifndef OP_NAME
#define OP_NAME HOSTILE_NAME "_op"
#endif
#ifndef OP_ALIASES
#define OP_ALIASES NULL
#endif
#ifndef BACKEND_NAME
#define BACKEND_NAME HOSTILE_NAME
#endif
#ifndef BACKEND_RUN
#define BACKEND_RUN run
#endif
#ifndef BACKEND_UPLOAD
#define BACKEND_UPLOAD NULL
#endif
#ifndef BACKEND_FLUSH
#define BACKEND_FLUSH NULL
#endif
#ifndef BACKEND_QUEUE
#define BACKEND_QUEUE NULL
#endif
#ifndef BACKEND_LAYOUTS
#define BACKEND_LAYOUTS NULL
#endif
#ifndef BACKEND_SIZE
#define BACKEND_SIZE sizeof(tn_backend_api)
#endif
#ifndef PLUGIN_SIZE
#define PLUGIN_SIZE sizeof(tn_plugin)
#endif
#ifndef OP_SIZE
#define OP_SIZE sizeof(tn_op_decl)
#endif
#ifndef KERNEL_SIZE
#define KERNEL_SIZE sizeof(tn_kernel_decl)
#endif
#ifndef KERNEL_OP
#define KERNEL_OP OP_NAME
#endif
#ifndef KERNEL_RUN
#define KERNEL_RUN run
#endif
#ifndef PARAM_OFFSET
#define PARAM_OFFSET offsetof(params, slope)
#endif
#ifndef PARAM_DEFAULT
#define PARAM_DEFAULT "1.0"
#endif
#ifndef OPTION_DEFAULT
#define OPTION_DEFAULT "4"
#endif
#ifndef SECOND_OP
#define SECOND_OP NULL
#endif
#ifndef SECOND_BACKEND
#define SECOND_BACKEND NULL
#endif
#ifndef DEVICES
#define DEVICES device(sink, sink_ctx, "0")
#endif
#ifndef DEVICE_FLAGS
#define DEVICE_FLAGS TN_DEV_HOST_MEMORY
#endif
#ifndef OPEN
#define OPEN tn_fail(p->host, TN_E_UNAVAILABLE, "the device is on holiday")
#endif
#ifndef INIT
#define INIT TN_OK
#endif
#ifndef REPLY
#define REPLY (void)0
#endif
#ifndef TABLE
#define TABLE &plugin
#endif

typedef struct params {
    double slope;
} params;

static int shutdowns; // over all envs: the test reads it through get_extension

static tn_status init(const tn_host_api *host, void **plugin)
{
    const tn_status s = INIT;
    return s == TN_OK ? tn_sdk_init(host, NULL, plugin) : s;
}

static void shutdown(void *plugin)
{
    shutdowns++;
    tn_sdk_shutdown(plugin);
}

static const void *extension(void *plugin, const char *id)
{
    (void)plugin;
    return strcmp(id, "test.shutdowns/1") == 0 ? &shutdowns : NULL;
}

static tn_status device(tn_device_sink sink, void *sink_ctx, const char *id)
{
    const tn_device_info info = {
        .struct_size = sizeof info, .flags = DEVICE_FLAGS, .id = id, .kind = "cpu"};
    return sink(sink_ctx, &info);
}

static tn_status enumerate(void *plugin, tn_device_sink sink, void *sink_ctx)
{
    const tn_sdk_plugin *p = plugin;
    (void)p;
    (void)sink;
    (void)sink_ctx;
    (void)device;
    return DEVICES;
}

static tn_status open(void *plugin, const char *device_id, tn_device **out)
{
    const tn_sdk_plugin *p = plugin;
    (void)p;
    (void)device_id;
    (void)out;
    return OPEN;
}

static void close(tn_device *handle)
{
    (void)handle;
}

static tn_status supports(tn_device *handle, const tn_call *call, tn_verdict *out)
{
    (void)handle;
    return tn_refuse(out, TN_NO_OP, "declines %s as everything", call->op->name);
}

static tn_status prepare(tn_device *handle, const tn_call *call, tn_kernel **out,
                         tn_kernel_info *info)
{
    (void)handle;
    (void)call;
    (void)out;
    (void)info;
    return TN_E_UNSUPPORTED;
}

static tn_status run(tn_kernel *kernel, const tn_run_args *args)
{
    (void)kernel;
    (void)args;
    return TN_E_UNSUPPORTED;
}

static void destroy(tn_kernel *kernel)
{
    (void)kernel;
}

static tn_status kernel_supports(void *plugin, const tn_call *call, tn_verdict *out)
{
    (void)plugin;
    return supports(NULL, call, out);
}

static tn_status kernel_prepare(void *plugin, const void *interface, const tn_call *call,
                                tn_kernel **out, tn_kernel_info *info)
{
    (void)plugin;
    (void)interface;
    return prepare(NULL, call, out, info);
}

#if defined(HALF_MEMORY)
static tn_status upload(tn_device *handle, tn_queue *queue, tn_buffer *dst, uint64_t offset,
                        const void *src, uint64_t bytes)
{
    (void)handle, (void)queue, (void)dst, (void)offset, (void)src, (void)bytes;
    return TN_OK;
}
#elif defined(HALF_QUEUE)
static tn_status queue_create(tn_device *handle, tn_queue **out)
{
    (void)handle, (void)out;
    return TN_OK;
}
#elif defined(LONE_FLUSH)
static tn_status queue_flush(tn_device *handle, tn_queue *queue)
{
    (void)handle, (void)queue;
    return TN_OK;
}
#elif defined(NO_REORDER)
static tn_status layouts(tn_device *handle, const tn_call *call, tn_layout *in, tn_layout *out)
{
    (void)handle, (void)call, (void)in, (void)out;
    return TN_OK;
}
#endif

static const tn_op_decl op = {
    .struct_size = OP_SIZE,
    .name = OP_NAME,
    .aliases = OP_ALIASES,
    .doc = "Declared for a test.",
    .inputs = TN_PORTS(TN_PORT(.name = "data")),
    .outputs = TN_PORTS(TN_PORT(.name = "output")),
    .params = TN_PARAMS(&(const tn_param_decl){.struct_size = sizeof(tn_param_decl),
                                               .type = TN_P_F64,
                                               .offset = PARAM_OFFSET,
                                               .name = "slope",
                                               .def = PARAM_DEFAULT}),
    .params_size = sizeof(params),
    .version = 1,
};

static const tn_backend_api backend = {
    .struct_size = BACKEND_SIZE,
    .name = BACKEND_NAME,
    .rank = -200,
    .enumerate = enumerate,
    .open = open,
    .close = close,
    .upload = BACKEND_UPLOAD,
    .queue_create = BACKEND_QUEUE,
    .supports = supports,
    .layouts = BACKEND_LAYOUTS,
    .prepare = prepare,
    .run = BACKEND_RUN,
    .kernel_destroy = destroy,
    .get_extension = extension,
    .queue_flush = BACKEND_FLUSH,
};

static const tn_kernel_decl kernel = {
    .struct_size = KERNEL_SIZE,
    .op = KERNEL_OP,
    .backend = "host",
    .supports = kernel_supports,
    .prepare = kernel_prepare,
    .run = KERNEL_RUN,
    .kernel_destroy = destroy,
};

__attribute__((unused)) static const tn_plugin plugin = {
    .struct_size = PLUGIN_SIZE,
    .name = PLUGIN_NAME,
    .version = "1.0",
    .init = init,
    .shutdown = shutdown,
    .ops = (const tn_op_decl *const[]){&op, SECOND_OP, NULL},
    .backends = (const tn_backend_api *const[]){&backend, SECOND_BACKEND, NULL},
    .kernels = (const tn_kernel_decl *const[]){&kernel, NULL},
    .options = TN_PARAMS(&(const tn_param_decl){.struct_size = sizeof(tn_param_decl),
                                                .type = TN_P_I64,
                                                .name = "level",
                                                .def = OPTION_DEFAULT,
                                                .range = "[0,9]"}),
};

TN_API tn_status tn_plugin_query(const tn_hello *host, tn_reply *out)
{
    const tn_status s = tn_sdk_answer(host, out, TABLE);
    REPLY;
    return s == TN_OK ? out->status : s;
}
