// core/graph/harmless.c: parameters that some MXNet has and Tenon's operator has not, and that do
// not matter. Files may have them; nodes keep them, so that they are written again.
#include "core/graph/graph.h"

// They change no result at these values ("|" between them); NULL: at any value. Sources: the
// DMLC_DECLARE_FIELD lists of MXNet 0.9 to 1.9.
static const struct {
    const char *key, *values;
} harmless[] = {
    {"axes", "()|None"},
    {"count_include_pad", "True|1|None"},
    {"cudnn_algo_bwd_data", NULL},
    {"cudnn_algo_bwd_data_prec", NULL},
    {"cudnn_algo_bwd_filter", NULL},
    {"cudnn_algo_bwd_filter_prec", NULL},
    {"cudnn_algo_fwd", NULL},
    {"cudnn_algo_fwd_prec", NULL},
    {"cudnn_algo_verbose", NULL},
    {"cudnn_off", NULL},
    {"cudnn_tensor_core_only", NULL},
    {"cudnn_tune", NULL},
    {"dtype", "None"},
    {"flatten", "True|1"},
    {"forward_stype", "None|default"},
    {"infer_range", "False|0"},
    {"layout", "None|NCW|NCHW|NCDHW"},
    {"lazy_update", NULL},
    {"lstm_state_clip_max", "None"},
    {"lstm_state_clip_min", "None"},
    {"lstm_state_clip_nan", "False|0"},
    {"max_calib_range", NULL},
    {"min_calib_range", NULL},
    {"out_dtype", "None"},
    {"p_value", NULL},
    {"projection_size", "None"},
    {"safe_accumulation", NULL},
    {"sparse_grad", NULL},
    {"temperature", "None|1|1.0"},
    {"use_length", "False|0"},
    {"use_sequence_length", "False|0"},
    {"workspace", NULL},
};

static bool among(const char *value, const char *values)
{
    const size_t length = strlen(value);
    for (const char *s = values; *s; s += *s == '|') {
        const size_t n = strcspn(s, "|");
        if (n == length && !strncmp(s, value, n)) return true;
        s += n;
    }
    return false;
}

bool tni_param_harmless(const char *key, const char *value)
{
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (!strcmp(harmless[i].key, key))
            return !harmless[i].values || among(value, harmless[i].values);
    return false;
}

tn_attrs tni_attrs_params(const tni_node *n, const tni_op *op, tni_arena *arena)
{
    const tn_attrs all = tni_attrs_sorted(n, arena);
    tn_attr *const v = all.v ? tni_alloc(arena, (all.n + 1) * sizeof *v) : NULL;
    tn_attrs result = {0, v};
    for (size_t i = 0; i < all.n && v; i++) {
        const tn_attr *const a = &all.v[i];
        if (tni_param_find(op, a->key) < 0 && tni_param_harmless(a->key, a->value)) continue;
        v[result.n++] = *a;
    }
    return result;
}
