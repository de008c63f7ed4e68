// core/ops/ops.c: the core's operators as one plugin table.
#include "core/ops/ops.h"

#define TNI_ITEM(id) &tni_op_##id,
static const tn_op_decl *const all_ops[] = {TNI_ALL_OPS NULL};
#undef TNI_ITEM

const tn_plugin tni_core_plugin = {
    .struct_size = sizeof(tn_plugin),
    .name = "core",
    .version = TN_VERSION_TEXT,
    .vendor = "Tenon",
    .license = "Apache-2.0",
    .ops = all_ops,
};
