// tests/backends/opencl_device.h: what tests of the opencl backend ask of the bench's env.
#ifndef TENON_OPENCL_DEVICE_H
#define TENON_OPENCL_DEVICE_H

#include "backends/opencl/opencl_counters.h"
#include "core/env/env.h"
#include "tests/tn_test.h"

// Is there a device to run on? If not, the test is skipped, which is said.
static inline bool has_device(void)
{
    for (size_t i = 0; i < tn_env_num_backends(bench.env); i++) {
        const tn_backend_entry *b = tn_env_backend(bench.env, i);
        if (strcmp(b->name, "opencl") != 0) continue;
        for (size_t j = 0; j < b->n_devices; j++)
            if (!tn_env_device(bench.env, i, j)->unusable) return true;
    }
    tn_skip("no OpenCL device here");
    return false;
}

// What the backend has made and not given back; NULL: there is no such backend.
static inline const ocl_counters *counters(tn_env *env)
{
    const tni_registry *r = tni_env_registry(env);
    for (uint32_t i = 0; i < r->n_backends; i++)
        if (strcmp(r->backends[i]->api.name, "opencl") == 0)
            return r->backends[i]->api.get_extension(r->backends[i]->self, OCL_COUNTERS);
    return NULL;
}

#endif
