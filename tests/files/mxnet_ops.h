// tests/files/mxnet_ops.h: convolutional operators as files name them, where none are registered.
//
// Only what reading a file needs: ports and parameters. An operator that the env has itself is
// taken from there.
#ifndef TENON_TESTS_MXNET_OPS_H
#define TENON_TESTS_MXNET_OPS_H

#include "tests/passes/extra_ops.h"

typedef struct mxnet_params {
    tn_ints kernel, stride, pad, dilate;
    int64_t num_filter, num_group, workspace;
    int32_t no_bias, global_pool, pool_type, pooling_convention;
    int32_t fix_gamma, use_global_stats, output_mean_var;
    double eps, momentum;
} mxnet_params;

#define MXNET_INTS(field) TN_PARAM(mxnet_params, field, TN_P_I64S, .def = "()")
#define MXNET_BOOL(field, text) TN_PARAM(mxnet_params, field, TN_P_BOOL, .def = text)
#define MXNET_INPUT(port, ...) TN_PORT(.name = port, .doc = port, __VA_ARGS__)
#define MXNET_OUTPUT(port, ...) TN_PORT(.name = port, .doc = port, __VA_ARGS__)

static const tn_op_decl mxnet_convolution =
    TN_OP(.name = "Convolution", .doc = "Convolution.", .flags = TN_OP_NO_GRAD,
          .inputs = TN_PORTS(MXNET_INPUT("data", .flags = 0), MXNET_INPUT("weight", .flags = 0),
                             MXNET_INPUT("bias", .when = "!no_bias")),
          .outputs = TN_PORTS(MXNET_OUTPUT("output", .flags = 0)),
          .params =
              TN_PARAMS(MXNET_INTS(kernel), MXNET_INTS(stride), MXNET_INTS(pad), MXNET_INTS(dilate),
                        TN_PARAM(mxnet_params, num_filter, TN_P_I64, .flags = 0),
                        TN_PARAM(mxnet_params, num_group, TN_P_I64, .def = "1"),
                        TN_PARAM(mxnet_params, workspace, TN_P_I64, .def = "1024"),
                        MXNET_BOOL(no_bias, "False")),
          .params_size = sizeof(mxnet_params));

static const tn_op_decl mxnet_pooling =
    TN_OP(.name = "Pooling", .doc = "Pooling.", .flags = TN_OP_NO_GRAD,
          .inputs = TN_PORTS(MXNET_INPUT("data", .flags = 0)),
          .outputs = TN_PORTS(MXNET_OUTPUT("output", .flags = 0)),
          .params = TN_PARAMS(
              MXNET_INTS(kernel), MXNET_INTS(stride), MXNET_INTS(pad),
              MXNET_BOOL(global_pool, "False"),
              TN_PARAM(mxnet_params, pool_type, TN_P_ENUM, .choices = "max|avg|sum", .def = "max"),
              TN_PARAM(mxnet_params, pooling_convention, TN_P_ENUM, .choices = "valid|full",
                       .def = "valid")),
          .params_size = sizeof(mxnet_params));

static const tn_op_decl mxnet_batch_norm =
    TN_OP(.name = "BatchNorm", .doc = "Batch normalisation.", .flags = TN_OP_NO_GRAD,
          .inputs =
              TN_PORTS(MXNET_INPUT("data", .flags = 0), MXNET_INPUT("gamma", .flags = 0),
                       MXNET_INPUT("beta", .flags = 0),
                       MXNET_INPUT("moving_mean", .flags = TN_PORT_AUX, .init = "[\"zero\", {}]"),
                       MXNET_INPUT("moving_var", .flags = TN_PORT_AUX, .init = "[\"one\", {}]")),
          .outputs =
              TN_PORTS(MXNET_OUTPUT("output", .flags = 0),
                       MXNET_OUTPUT("mean", .flags = TN_PORT_HIDDEN, .visible = "output_mean_var"),
                       MXNET_OUTPUT("var", .flags = TN_PORT_HIDDEN, .visible = "output_mean_var")),
          .params = TN_PARAMS(TN_PARAM(mxnet_params, eps, TN_P_F64, .def = "1e-3"),
                              TN_PARAM(mxnet_params, momentum, TN_P_F64, .def = "0.9"),
                              MXNET_BOOL(fix_gamma, "True"), MXNET_BOOL(use_global_stats, "False"),
                              MXNET_BOOL(output_mean_var, "False")),
          .params_size = sizeof(mxnet_params));

// bench.g knows the three. Undo with extra_ops_free().
static inline bool mxnet_ops(void)
{
    const tn_op_decl *const ours[] = {&mxnet_convolution, &mxnet_pooling, &mxnet_batch_norm};
    const tn_op_decl *missing[4] = {NULL};
    size_t n = 0;
    for (size_t i = 0; i < 3; i++)
        if (!tn_env_op_find(bench.env, ours[i]->name)) missing[n++] = ours[i];
    return extra_ops(missing);
}

#endif
