// backends/onednn/onednn.c: the onednn backend: what oneDNN has primitives for, in float32 and
// bfloat16, with layouts of its own between its nodes, and the little that a network needs besides.
#include "onednn.h"

static const tn_kernel_row *const families[] = {
    onednn_columns, onednn_taps,       onednn_conv,    onednn_dense,    onednn_pool,
    onednn_norm,    onednn_lrn,        onednn_softmax, onednn_eltwise,  onednn_binary,
    onednn_sum,     onednn_reduce,     onednn_concat,  onednn_moves,    onednn_loss,
    onednn_loops,   onednn_dropout,    onednn_rnn,     onednn_rnn_back, onednn_resample,
    onednn_index,   onednn_layer_norm, onednn_groups,  onednn_fused,    onednn_squares,
    NULL,
};

typedef struct od_options {
    int32_t winograd;
} od_options;

TN_HOST_BACKEND_API_PERMUTES(onednn, 40, families, "CPU kernels of oneDNN", .unusable = od_unusable,
                             .driver = od_driver, .reorder = onednn_reorder)

static tn_status init(const tn_host_api *host, void **plugin)
{
    const char *winograd = host->option(host->host, "winograd");
    od_winograd_allow(!winograd || strcmp(winograd, "off") != 0);
    return onednn_init(host, plugin);
}

static const tn_plugin plugin = {
    .struct_size = sizeof plugin,
    .name = "onednn",
    .version = TN_VERSION_TEXT,
    .vendor = "Tenon",
    .license = "Apache-2.0",
    .init = init,
    .shutdown = tn_sdk_shutdown,
    .backends = TN_BACKENDS(&onednn_backend_api),
    .options = TN_PARAMS(
        TN_PARAM(od_options, winograd, TN_P_ENUM, .def = "on", .choices = "on|off",
                 .doc = "3x3 convolutions of float32 by Winograd's way, where that is less work")),
};
TN_PLUGIN_ENTRY(plugin)
