// tests/plugins/needs_host.c: a plugin that calls a function of libtenon, which no plugin may.
#include <tenon/env.h>
#include <tenon/sdk.h>

static tn_status init(const tn_host_api *host, void **plugin)
{
    (void)host;
    *plugin = tn_env_new(NULL);
    return TN_OK;
}

static const tn_plugin plugin = {.struct_size = sizeof plugin, .name = "needs_host", .init = init};
TN_PLUGIN_ENTRY(plugin)
