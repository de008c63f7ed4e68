// plugins/swish/swish.c: an operator without a kernel: swish(x) = x · sigmoid(beta · x).
//
// The whole plugin is this file. It says what swish means in terms of operators that exist, and
// from that follow, without another line: shapes and dtypes, the gradient (also the second one),
// and that it runs on every backend, now and later. Write a kernel (see plugins/cdist) only when
// the operator cannot be said in simpler ones, or when that is measurably too slow.
//
// To build it outside of Tenon's tree, this folder is enough (it has a CMakeLists.txt), or by hand:
//
//     cc -shared -fPIC -fvisibility=hidden $(pkg-config --cflags tenon) swish.c -o swish.so
//
// To use it, put swish.so into a directory of TENON_PLUGIN_PATH, or call tn_env_load(env,
// "./swish.so"). Then, in C and in MXNet's JSON alike, by name:
//
//     y = tn_call(g, "swish", .inputs = TN_SYMS(x), .params = TN_ATTRS({"beta", "1.5"}));
#include <tenon/sdk.h>

// Parameters as the core hands them over: parsed from text, defaults filled in, ranges checked.
typedef struct swish_params {
    double beta;
} swish_params;

// Called when nobody has a kernel for swish, that is, always. Each TN_EMIT adds a call of another
// operator and gives its first output. Errors stick: nothing needs to be checked in between.
static tn_status swish_expand(const tn_builder *b)
{
    const swish_params *p = b->params;
    char text[TN_TEXT], beta[TN_NUMBER];
    const tn_sym x = b->input(b->ctx, 0);
    tn_text(text, "scalar=%s", tn_number(beta, p->beta));
    const tn_sym scaled = TN_EMIT(b, "_mul_scalar", text, x);
    const tn_sym gate = TN_EMIT(b, "sigmoid", NULL, scaled);
    b->set_output(b->ctx, 0, TN_EMIT(b, "_mul", NULL, x, gate));
    return TN_OK;
}

// No infer_shape, no infer_dtype: then all inputs and outputs have one shape and one dtype.
static const tn_op_decl swish =
    TN_OP(.name = "swish",
          .doc = "Swish activation: x * sigmoid(beta * x). With beta = 1 it is also called SiLU.",
          .source = "Ramachandran, Zoph, Le: Searching for Activation Functions, arXiv:1710.05941",
          .inputs = TN_PORTS(TN_PORT(.name = "data", .doc = "any shape")),
          .outputs = TN_PORTS(TN_PORT(.name = "output", .doc = "shape of data")),
          .params = TN_PARAMS(TN_PARAM(swish_params, beta, TN_P_F64, .def = "1.0",
                                       .doc = "slope of the gate; large values come near to relu")),
          .params_size = sizeof(swish_params), .expand = swish_expand);

static const tn_plugin plugin = {
    .struct_size = sizeof plugin,
    .name = "swish",
    .version = TN_VERSION_TEXT,
    .vendor = "Tenon",
    .license = "Apache-2.0",
    .ops = TN_OPS(&swish),
};

// The one symbol that a plugin exports.
TN_PLUGIN_ENTRY(plugin)
