// tests/backends/opencl_device.h: what tests of the opencl backend ask of the bench's env.
#ifndef TENON_OPENCL_DEVICE_H
#define TENON_OPENCL_DEVICE_H

#include "backends/opencl/opencl_counters.h"
#include "core/env/env.h"
#include "tests/tn_numeric.h"

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

// Numbers of -1 .. 1 in all arguments, in whatever memory they are.
static inline void fill_samples(tn_exec *e, tn_dtype dtype)
{
    const tn_names names = tn_exec_arguments(e);
    for (size_t a = 0; a < names.n; a++) {
        tn_tensor *t = tn_exec_arg(e, names.v[a]);
        const tn_shape shape = tn_tensor_shape(t);
        tn_tensor *values = tn_sample(dtype, tn_shape_dims(&shape), -1, 1, a);
        CU_ASSERT_EQUAL(tn_tensor_copy(t, values), TN_OK);
        tn_tensor_release(values);
    }
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
