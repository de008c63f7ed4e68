// tests/plugins/far.h: what the backends of this plugin share: "far", and "lazy"
// and "plain" with queues.
#ifndef TENON_TESTS_FAR_H
#define TENON_TESTS_FAR_H

#include <tenon/kernel.h>

#include "far_memory.h"

enum { FAR_DEVICES = 2 }; // of each backend

struct tn_device {
    struct far_plugin *plugin;
    char name[16]; // "far:0"
    const char *id;
};

typedef struct far_plugin {
    const tn_host_api *host;
    tn_far_counters counters;
    uint64_t limit; // bytes of all buffers; 0: any
    long long fail; // number of the run that fails; 0: none
    tn_device devices[FAR_DEVICES], lazy_devices[FAR_DEVICES];
} far_plugin;

struct tn_buffer {
    tn_device *device;
    uint64_t bytes;
    char *data;
};

extern const tn_backend_api far_lazy_backend, far_plain_backend; // far_queue.c

tn_status far_list(far_plugin *p, tn_device *devices, tn_device_sink sink, void *sink_ctx);
tn_status far_find(far_plugin *p, tn_device *devices, const char *id, tn_device **out);
void far_close(tn_device *device);
const void *far_extension(void *plugin, const char *id);

tn_status far_alloc(tn_device *device, uint64_t bytes, uint64_t align, tn_buffer **out);
void far_free(tn_device *device, tn_buffer *buffer);
tn_status far_upload(tn_device *device, tn_queue *queue, tn_buffer *dst, uint64_t offset,
                     const void *src, uint64_t bytes);
tn_status far_download(tn_device *device, tn_queue *queue, tn_buffer *src, uint64_t offset,
                       void *dst, uint64_t bytes);
tn_status far_copy(tn_device *device, tn_queue *queue, tn_buffer *src, uint64_t src_offset,
                   tn_buffer *dst, uint64_t dst_offset, uint64_t bytes);

tn_status far_supports(tn_device *device, const tn_call *call, tn_verdict *out);
tn_status far_prepare(tn_device *device, const tn_call *call, tn_kernel **out,
                      tn_kernel_info *info);
void far_destroy(tn_kernel *kernel);
uint32_t far_may_support(tn_device *device, const char *op, tn_dtype dtype);

#endif
