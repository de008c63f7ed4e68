// backends/onednn/onednn_base.c: the library: its engine, descriptors, errors and threads.
#include <omp.h>
#include <threads.h>

#include "onednn.h"

// ------------------------------------------------------------------ engine

// One engine for the process: it has no state that would belong to anybody, and primitives of all
// executors are kept in one cache of the library anyway.
static once_flag made = ONCE_FLAG_INIT;
static struct {
    dnnl_engine_t engine;
    dnnl_primitive_attr_t attributes;
    char driver[96];
} library;

static const char *isa_name(dnnl_cpu_isa_t isa)
{
    static const struct {
        dnnl_cpu_isa_t isa;
        const char *name;
    } names[] = {{dnnl_cpu_isa_avx512_core_amx, "AVX-512 and AMX"},
                 {dnnl_cpu_isa_avx512_core_bf16, "AVX-512 with bfloat16"},
                 {dnnl_cpu_isa_avx512_core_vnni, "AVX-512 with VNNI"},
                 {dnnl_cpu_isa_avx512_core, "AVX-512"},
                 {dnnl_cpu_isa_avx2_vnni, "AVX2 with VNNI"},
                 {dnnl_cpu_isa_avx2, "AVX2"},
                 {dnnl_cpu_isa_avx, "AVX"},
                 {dnnl_cpu_isa_sse41, "SSE4.1"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].isa == isa) return names[i].name;
    return "plain C++";
}

static void make(void)
{
    const dnnl_version_t *v = dnnl_version();
    snprintf(library.driver, sizeof library.driver, "oneDNN %d.%d.%d, %s", v->major, v->minor,
             v->patch, isa_name(dnnl_get_effective_cpu_isa()));
    if (dnnl_engine_create(&library.engine, dnnl_cpu, 0) != dnnl_success) library.engine = NULL;
    if (dnnl_primitive_attr_create(&library.attributes) != dnnl_success ||
        dnnl_primitive_attr_set_scratchpad_mode(library.attributes, dnnl_scratchpad_mode_user) !=
            dnnl_success)
        library.attributes = NULL;
}

dnnl_engine_t od_engine(void)
{
    call_once(&made, make);
    return library.engine;
}

const_dnnl_primitive_attr_t od_attributes(void)
{
    call_once(&made, make);
    return library.attributes;
}

const char *od_driver(const tn_host_api *host)
{
    (void)host;
    call_once(&made, make);
    return library.driver;
}

const char *od_unusable(const tn_host_api *host)
{
    (void)host;
    return od_engine() && od_attributes() ? NULL : "oneDNN cannot make an engine for this CPU";
}

// ------------------------------------------------------------------ words

dnnl_data_type_t od_type(tn_dtype dtype)
{
    switch (dtype) {
    case TN_F32: return dnnl_f32;
    case TN_BF16: return dnnl_bf16;
    case TN_F16: return dnnl_f16;
    case TN_I32: return dnnl_s32;
    case TN_I8: return dnnl_s8;
    case TN_U8: return dnnl_u8;
    default: return dnnl_data_type_undef;
    }
}

tn_status od_fail(const tn_sdk_kernel *k, dnnl_status_t status, const char *what)
{
    static const char *const texts[] = {
        "done",          "out of memory", "invalid arguments", "there is no implementation",
        "end of a list", "a run failed",  "not wanted",
    };
    const char *text = (size_t)status < sizeof texts / sizeof *texts ? texts[status] : "unknown";
    return tn_fail(k->host, status == dnnl_out_of_memory ? TN_E_NOMEM : TN_E_INTERNAL,
                   "oneDNN: %s: %s", what, text);
}

// ------------------------------------------------------------------ threads

int od_enter(uint32_t workers)
{
    const int before = omp_get_max_threads();
    if (workers == 0 || (int)workers == before) return 0;
    omp_set_num_threads((int)workers);
    return before;
}

void od_leave(int before)
{
    if (before) omp_set_num_threads(before);
}

// Waking another thread and waiting for it takes 2 microseconds and more, in which one thread goes
// through so many elements. oneDNN itself would give each thread one of two.
enum { FEW = 8192 };

// Of a fused call the leader counts, for which its primitive is made.
uint32_t od_threads(const tn_call *call)
{
    const tn_call *c = call->n_parts ? call->parts[0].call : call;
    int64_t n = 0;
    for (uint32_t i = 0; i < c->n_in && n < FEW; i++) n += od_input(c, i) ? c->in[i]->size : 0;
    for (uint32_t i = 0; i < c->n_out && n < FEW; i++) n += c->out[i]->size;
    return n < FEW ? 1 : call->max_workers;
}

uint32_t od_workers_of(const tn_sdk_kernel *k, const tn_call *call)
{
    const uint32_t asked = od_threads(call), pool = k->host->threads(k->host->host);
    return asked && asked < pool ? asked : pool;
}

uint32_t od_workers(const tn_sdk_kernel *k)
{
    return od_workers_of(k, k->call);
}

// ------------------------------------------------------------------ descriptors

dnnl_primitive_desc_t od_descriptor_with(const_dnnl_op_desc_t op, const od_tail *tail,
                                         dnnl_primitive_desc_t hint)
{
    const const_dnnl_primitive_attr_t attr = tail ? tail->attributes : od_attributes();
    dnnl_primitive_desc_t pd = NULL;
    if (!od_engine() ||
        dnnl_primitive_desc_create(&pd, op, attr, od_engine(), hint) != dnnl_success)
        return NULL;
    return pd;
}

dnnl_primitive_desc_t od_descriptor(const_dnnl_op_desc_t op, dnnl_primitive_desc_t hint)
{
    return od_descriptor_with(op, NULL, hint);
}

dnnl_memory_desc_t od_query(const_dnnl_primitive_desc_t pd, dnnl_query_t what, int index)
{
    const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(pd, what, index);
    return md ? *md : (dnnl_memory_desc_t){0};
}

const char *od_name(const_dnnl_primitive_desc_t pd)
{
    const char *name = NULL;
    if (dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name) != dnnl_success)
        return "unknown";
    return name ? name : "unknown";
}

int od_score(const_dnnl_primitive_desc_t pd)
{
    const char *name = od_name(pd);
    if (strncmp(name, "ref", 3) == 0 || strstr(name, ":ref") || strstr(name, "_ref:")) return 0;
    if (strcmp(name, "simple_nchw:any") == 0) return 1; // pooling, better with channels last
    return strstr(name, "gemm") && !strstr(name, "brgemm") ? 1 : 2;
}

// ------------------------------------------------------------------ questions about calls

const char od_no_elements[] = "a value without elements";
const char od_mixed_dtypes[] = "values of different dtypes";
const char od_no_primitive[] = "oneDNN has no implementation for these values on this CPU";
const char od_only_loops[] = "oneDNN has only its plain reference code for these values";

const tn_value_info *od_input(const tn_call *call, uint32_t i)
{
    return i < call->n_in && !(call->in[i]->flags & TN_VALUE_SHAPE_ONLY) ? call->in[i] : NULL;
}

bool od_may_narrow(const tn_call *call)
{
    const unsigned wanted = dnnl_cpu_isa_avx512_core_bf16;
    return call->compute == TN_BF16 && tn_call_main_dtype(call) == TN_F32 &&
           ((unsigned)dnnl_get_effective_cpu_isa() & wanted) == wanted;
}

bool od_empty(const tn_call *call)
{
    for (uint32_t i = 0; i < call->n_in; i++)
        if (call->in[i]->size == 0) return true;
    for (uint32_t i = 0; i < call->n_out; i++)
        if (call->out[i]->size == 0) return true;
    return false;
}

bool od_same_dtypes(const tn_call *call)
{
    const tn_dtype dtype = tn_call_main_dtype(call);
    for (uint32_t i = 0; i < call->n_in; i++)
        if (od_input(call, i) && call->in[i]->dtype != dtype) return false;
    for (uint32_t i = 0; i < call->n_out; i++)
        if (call->out[i]->dtype != dtype) return false;
    return true;
}
