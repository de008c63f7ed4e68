// tests/plugins/fuser.c: the backend "fuser": runs fused calls that begin with FullyConnected or
// softmax, or are elementwise, over float32, as plain as can be.
//
// It takes relu, _mul and elemwise_add as parts, one output, and no more than three parts after
// the first: so the core has to leave something out of longer chains. Of calls side by side it
// takes up to four of sgd_mom_update; FUSER_FAILS=3 in the environment: it cannot prepare itself
// for three and more after all.
#include <math.h>
#include <stdlib.h>
#include <tenon/kernel.h>

enum { MOST = 4, PLACES = 4096 };

static bool is(const tn_call *c, const char *op)
{
    return strcmp(c->op->name, op) == 0;
}

// ------------------------------------------------------------------ single operators

static float elementwise(const tn_call *c, float a, float b)
{
    if (is(c, "relu")) return a > 0 ? a : 0;
    return is(c, "_mul") ? a * b : a + b;
}

// y(n, m) = x(n, k) · w(m, k)ᵀ
static void connect(const tn_call *c, const float *x, const float *w, float *y)
{
    const int64_t n = c->out[0]->dims[0], m = c->out[0]->dims[1], k = c->in[1]->dims[1];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++) {
            double sum = 0;
            for (int64_t l = 0; l < k; l++) sum += (double)x[i * k + l] * (double)w[j * k + l];
            y[i * m + j] = (float)sum;
        }
}

// y(n, m) = softmax of the rows of x
static void soften(const tn_call *c, const float *x, float *y)
{
    const int64_t n = c->out[0]->dims[0], m = c->out[0]->dims[1];
    for (int64_t i = 0; i < n; i++) {
        double most = (double)x[i * m], sum = 0;
        for (int64_t j = 1; j < m; j++) most = fmax(most, (double)x[i * m + j]);
        for (int64_t j = 0; j < m; j++) sum += exp((double)x[i * m + j] - most);
        for (int64_t j = 0; j < m; j++)
            y[i * m + j] = (float)(exp((double)x[i * m + j] - most) / sum);
    }
}

static const char *soften_cannot(const tn_call *c)
{
    const int64_t axis = tn_call_i64(c, "axis", -1);
    if ((axis != -1 && axis != 1) || !isnan(tn_call_f64(c, "temperature", NAN))) return "rows only";
    return c->out[0]->ndim == 2 && c->out[0]->size <= PLACES ? NULL : "small matrices only";
}

static tn_status run_soften(const tn_sdk_kernel *k, const tn_run_args *a)
{
    soften(k->call, a->in[0].host, a->out[0].host);
    return TN_OK;
}

static const char *connect_cannot(const tn_call *c)
{
    if (!tn_call_bool(c, "no_bias", false)) return "has no bias";
    return c->out[0]->ndim == 2 && c->out[0]->size <= PLACES ? NULL : "small matrices only";
}

static tn_status run_connect(const tn_sdk_kernel *k, const tn_run_args *a)
{
    connect(k->call, a->in[0].host, a->in[1].host, a->out[0].host);
    return TN_OK;
}

static tn_status run_elementwise(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const float *x = a->in[0].host, *z = a->in[a->n_in - 1].host;
    float *y = a->out[0].host;
    for (int64_t i = 0; i < k->call->out[0]->size; i++) y[i] = elementwise(k->call, x[i], z[i]);
    return TN_OK;
}

// ------------------------------------------------------------------ fused calls

static const char *fused_cannot(const tn_call *c)
{
    if (c->n_parts > MOST) return "takes four parts at most";
    if (c->n_out != 1) return "gives one result";
    if (c->out[0]->size > PLACES) return "small values only";
    for (uint32_t i = 0; i < c->n_parts; i++) {
        const tn_call *part = c->parts[i].call;
        if (i == 0 && is(part, "FullyConnected")) {
            const char *why = connect_cannot(part);
            if (why) return why;
        } else if (i == 0 && is(part, "softmax")) {
            if (soften_cannot(part)) return soften_cannot(part);
        } else if (!is(part, "relu") && !is(part, "_mul") && !is(part, "elemwise_add")) {
            return "takes relu, _mul and elemwise_add";
        }
    }
    return NULL;
}

static tn_status run_fused(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const tn_call *c = k->call;
    static _Thread_local float result[MOST][PLACES];
    for (uint32_t p = 0; p < c->n_parts; p++) {
        const tn_part *part = &c->parts[p];
        const float *in[8] = {NULL};
        for (uint32_t i = 0; i < part->call->n_in && i < 8; i++)
            in[i] = part->from[i] < 0 ? result[-1 - part->from[i]] : a->in[part->from[i]].host;
        if (is(part->call, "FullyConnected")) {
            connect(part->call, in[0], in[1], result[p]);
            continue;
        }
        if (is(part->call, "softmax")) {
            soften(part->call, in[0], result[p]);
            continue;
        }
        const float *z = in[part->call->n_in - 1];
        for (int64_t i = 0; i < c->out[0]->size; i++)
            result[p][i] = elementwise(part->call, in[0][i], z[i]);
    }
    if (c->out[0]->bytes) memcpy(a->out[0].host, result[c->out_parts[0]], c->out[0]->bytes);
    return TN_OK;
}

// ------------------------------------------------------------------ calls side by side

static void update(const tn_call *c, const tn_arg *const in[3], const tn_arg *out)
{
    const double lr = tn_call_f64(c, "lr", 0), momentum = tn_call_f64(c, "momentum", 0);
    const float *w = in[0]->host, *g = in[1]->host;
    float *m = in[2]->host, *made = out->host;
    for (int64_t i = 0; i < c->out[0]->size; i++) {
        m[i] = (float)(momentum * (double)m[i] - lr * (double)g[i]);
        made[i] = w[i] + m[i];
    }
}

static const char *update_cannot(const tn_call *c)
{
    const bool plain = tn_call_f64(c, "wd", 0) == 0 && tn_call_f64(c, "rescale_grad", 1) == 1;
    return plain && tn_call_f64(c, "clip_gradient", -1) < 0 ? NULL : "lr and momentum only";
}

static tn_status run_update(const tn_sdk_kernel *k, const tn_run_args *a)
{
    update(k->call, (const tn_arg *const[]){&a->in[0], &a->in[1], &a->in[2]}, &a->out[0]);
    return TN_OK;
}

static const char *multi_cannot(const tn_call *c)
{
    if (c->n_parts > MOST) return "takes four calls at most";
    if (c->n_out != c->n_parts) return "takes calls whose results are wanted";
    for (uint32_t p = 0; p < c->n_parts; p++) {
        if (!is(c->parts[p].call, "sgd_mom_update")) return "takes sgd_mom_update";
        if (update_cannot(c->parts[p].call)) return update_cannot(c->parts[p].call);
    }
    return NULL;
}

static tn_status multi_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    const char *least = getenv("FUSER_FAILS");
    if (least && c->n_parts >= (uint32_t)atoi(least))
        return tn_fail(k->host, TN_E_UNAVAILABLE, "too many at once");
    for (uint32_t p = 0; p < c->n_parts; p++)
        info->inplace[info->n_inplace++] = (tn_inplace){(uint32_t)c->parts[p].from[0], p};
    return TN_OK;
}

static tn_status run_multi(const tn_sdk_kernel *k, const tn_run_args *a)
{
    for (uint32_t p = 0; p < k->call->n_parts; p++) {
        const int32_t *from = k->call->parts[p].from;
        const tn_arg *const in[] = {&a->in[from[0]], &a->in[from[1]], &a->in[from[2]]};
        update(k->call->parts[p].call, in, &a->out[p]);
    }
    return TN_OK;
}

#define ROW(op_, cannot_, run_)                                                   \
    {                                                                             \
        .op = (op_), .dtypes = TN_BIT(TN_F32), .cannot = (cannot_), .run = (run_) \
    }
static const tn_kernel_row rows[] = {ROW("FullyConnected", connect_cannot, run_connect),
                                     ROW("softmax", soften_cannot, run_soften),
                                     ROW("relu", NULL, run_elementwise),
                                     ROW("_mul", NULL, run_elementwise),
                                     ROW("elemwise_add", NULL, run_elementwise),
                                     ROW("_fused", fused_cannot, run_fused),
                                     ROW("sgd_mom_update", update_cannot, run_update),
                                     {.op = "_multi",
                                      .dtypes = TN_BIT(TN_F32),
                                      .cannot = multi_cannot,
                                      .setup = multi_setup,
                                      .run = run_multi},
                                     {0}};
static const tn_kernel_row *const families[] = {rows, NULL};
TN_HOST_BACKEND(fuser, -200, families, "runs several operators as one")
