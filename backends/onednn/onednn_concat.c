// backends/onednn/onednn_concat.c: Concat, SliceChannel and their gradients: copies of parts.
#include "onednn_loops.h"
#include "onednn_pieces.h"

static od_cut cut_of(const tn_call *c)
{
    const char *op = c->op->name;
    const bool concat = strcmp(op, "Concat") == 0;
    const bool channels = strcmp(op, "SliceChannel") == 0;
    const bool join = concat || strcmp(op, "_backward_SliceChannel") == 0;
    const tn_value_info *whole = join ? c->out[0] : c->in[0];
    const int64_t axis = tn_call_i64(c, channels || (join && !concat) ? "axis" : "dim", 1);
    return (od_cut){join, whole, tn_axis(axis, whole->ndim)};
}

static const char *cannot(const tn_call *c)
{
    if (od_empty(c)) return od_no_elements;
    if (!od_same_dtypes(c)) return od_mixed_dtypes;
    return cut_of(c).axis < 0 ? "it has no such axis" : NULL;
}

static tn_status layouts(const tn_host_api *host, const tn_call *c, tn_layout *in, tn_layout *out)
{
    const od_cut cut = cut_of(c);
    (void)host;
    od_cut_layouts(&cut, c, in, out);
    return TN_OK;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const od_cut cut = cut_of(k->call);
    (void)info;
    od_pieces_init(k->state, &cut);
    return TN_OK;
}

#define ROW(op_)                                                                            \
    {                                                                                       \
        .op = op_, .dtypes = TN_ALL_DTYPES, .flags = OD_FLAGS | TN_K_DETERMINISTIC,         \
        .impl = "copies (no primitive)", .state_size = sizeof(od_pieces), .cannot = cannot, \
        .setup = setup, .run = od_pieces_run, .layouts = layouts                            \
    }

const tn_kernel_row onednn_concat[] = {
    ROW("Concat"), ROW("_backward_Concat"), ROW("SliceChannel"), ROW("_backward_SliceChannel"), {0},
};
