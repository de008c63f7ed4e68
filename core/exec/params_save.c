// core/exec/params_save.c: tensors as an MXNet array list (.params), V2.
//
// V2 cannot say rank 0, since that means "no array" there: a tensor of rank 0 is written as V3,
// which MXNet reads from 1.6 on in its NumPy mode.
#include <endian.h>
#include <tenon/tensor.h>

#include "core/exec/exec.h"

static void put_u32(tni_writer *w, uint32_t v)
{
    v = htole32(v);
    tni_writer_put(w, &v, sizeof v);
}

static void put_u64(tni_writer *w, uint64_t v)
{
    v = htole64(v);
    tni_writer_put(w, &v, sizeof v);
}

static void put_head(tni_writer *w, tn_tensor *t)
{
    const tn_shape shape = tn_tensor_shape(t);
    put_u32(w, shape.ndim ? 0xF993FAC9u : 0xF993FACAu);
    put_u32(w, 0); // dense
    put_u32(w, (uint32_t)shape.ndim);
    for (int32_t i = 0; i < shape.ndim; i++) put_u64(w, (uint64_t)shape.dim[i]);
    put_u32(w, 1); // cpu
    put_u32(w, 0); // (0)
    put_u32(w, (uint32_t)tn_tensor_dtype(t) - 1);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "elements are written as they lie");

static bool put_elements(tni_writer *w, tn_tensor *t)
{
    const uint64_t bytes = tn_tensor_bytes(t);
    const void *const data = tn_tensor_data(t);
    if (data || !bytes) {
        if (bytes) tni_writer_put(w, data, (size_t)bytes);
        return true;
    }
    void *const copy = malloc((size_t)bytes);
    if (!copy) return !tni_env_fail(t->env, TN_E_NOMEM, "tn_params_save: out of memory");
    const tn_status status = tn_tensor_get(t, copy, bytes);
    if (!status) tni_writer_put(w, copy, (size_t)bytes);
    free(copy);
    return !status;
}

static bool put_list(tni_writer *w, tn_tensors tensors, bool named)
{
    put_u64(w, 0x112);
    put_u64(w, 0);
    put_u64(w, tensors.n);
    for (size_t i = 0; i < tensors.n; i++) {
        put_head(w, tensors.v[i].tensor);
        if (!put_elements(w, tensors.v[i].tensor)) return false;
    }
    put_u64(w, named ? tensors.n : 0);
    for (size_t i = 0; i < tensors.n && named; i++) {
        const size_t length = strlen(tensors.v[i].name);
        put_u64(w, length);
        tni_writer_put(w, tensors.v[i].name, length);
    }
    return true;
}

static tn_status check(tn_env *env, tn_tensors tensors, bool *named)
{
    *named = tensors.n && tensors.v[0].name;
    for (size_t i = 0; i < tensors.n; i++) {
        if (!tensors.v[i].tensor)
            return tni_env_fail(env, TN_E_INVALID,
                                "tn_params_save: item %zu: wanted a tensor, got "
                                "NULL",
                                i);
        if (!tensors.v[i].name != !*named)
            return tni_env_fail(env, TN_E_INVALID,
                                "tn_params_save: item %zu: wanted names for all "
                                "tensors or for none",
                                i);
    }
    return TN_OK;
}

tn_status tn_params_save(tn_env *env, const char *path, tn_tensors tensors)
{
    bool named;
    if (tensors.n && !tensors.v)
        return tni_env_fail(env, TN_E_INVALID, "tn_params_save: %zu tensors, and no list",
                            tensors.n);
    tn_status status = check(env, tensors, &named);
    if (status) return status;
    tni_writer w;
    tni_error error = {0};
    status = tni_writer_open(&w, path, &error);
    if (!status && !put_list(&w, tensors, named)) {
        tni_writer_abandon(&w);
        return tn_env_status(env);
    }
    if (!status) status = tni_writer_commit(&w, &error);
    if (status) tni_env_fail(env, status, "tn_params_save: %s", tni_error_text(&error));
    tni_error_clear(&error);
    return status;
}
