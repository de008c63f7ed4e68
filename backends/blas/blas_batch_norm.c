// backends/blas/blas_batch_norm.c: BatchNorm and its gradient, alone or with the relu behind it.
//
// Where channels lie in rows of contiguous elements, items are channels. Where the channels are the
// last axis, WIDTH of them are worked on together, each step a row of them. Sums are double.
//
// With relu the forward keeps the factor and the shift of each channel in the stash. The gradient
// computes the results again from the data, which it reads anyway, to see which were positive.
#ifndef T

#include "blas.h"

enum { WIDTH = 64 };

// A BatchNorm or its gradient, and which inputs and outputs of the call at hand are its own.
typedef struct norm_state {
    tn_norm_call call;
    int32_t in[7], out[3]; // out: -1: nobody reads it
    bool relu;
} norm_state;

typedef struct norm_run {
    const tn_norm_call *b;
    const norm_state *at;
    const tn_run_args *a;
    bool of_batch; // mean and variance are those of the batch
} norm_run;

// What is found of up to WIDTH channels.
typedef struct moments {
    double sum[WIDTH], squares[WIDTH]; // Σ x, Σ x²; of gradients Σ dy, Σ dy x
    double mean[WIDTH], var[WIDTH];
} moments;

#define THIS_FILE "blas_batch_norm.c"
#include "blas_each_type.h"

static tn_status setup_at(tn_sdk_kernel *k, const tn_call *own, bool relu)
{
    norm_state *n = k->state;
    n->relu = relu;
    if (tn_norm_of(own, &n->call)) return TN_OK;
    return blas_no_axis(k, "axis");
}

static void alone(norm_state *n)
{
    for (int32_t i = 0; i < 7; i++) n->in[i] = i;
    for (int32_t i = 0; i < 3; i++) n->out[i] = i;
}

static tn_status setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    alone(k->state);
    blas_inplace(k, info, 0); // each channel is read before it is written
    return setup_at(k, k->call, false);
}

// dx may also take the place of data.
static tn_status backward_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_status s = setup(k, info);
    if (s == TN_OK) blas_inplace(k, info, 1);
    return s;
}

static tn_status over_channels(const tn_sdk_kernel *k, const tn_run_args *a, tn_range_fn f32,
                               tn_range_fn f64)
{
    const norm_state *n = k->state;
    const tn_norm_call *b = &n->call;
    const tn_line l = b->line;
    norm_run r = {b, n, a, tn_norm_of_batch(b, a)};
    const int64_t width = l.inner == 1 ? WIDTH : 1;
    blas_items(k, a, (l.n + width - 1) / width, b->n * width, BLAS_CHEAP,
               k->call->in[n->in[0]]->dtype == TN_F64 ? f64 : f32, &r);
    return TN_OK;
}

// Inputs data, gamma, beta, moving_mean, moving_var; outputs output, mean, var.
static tn_status forward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return over_channels(k, a, forward_range_f32, forward_range_f64);
}

// Inputs dy, data, gamma, mean, var, moving_mean, moving_var; outputs dx, dgamma, dbeta.
static tn_status backward(const tn_sdk_kernel *k, const tn_run_args *a)
{
    return over_channels(k, a, backward_range_f32, backward_range_f64);
}

// ------------------------------------------------------------------ with relu
//
//     BatchNorm → relu
//     gradient of relu → gradient of BatchNorm    if the forward was such a call

// Finds the values of part `own` of the fused call: input 0 of it, if it is made inside, is that of
// part 0; an output that is not its own stands for its output 0.
static void find_places(const tn_call *c, uint32_t own, norm_state *n)
{
    const tn_part *p = &c->parts[own];
    for (int32_t i = 0; i < 3; i++) n->out[i] = -1;
    for (uint32_t i = 0; i < p->call->n_in && i < 7; i++)
        n->in[i] = p->from[i] >= 0 ? p->from[i] : c->parts[0].from[0];
    for (uint32_t o = 0; o < c->n_out; o++)
        n->out[c->out_parts[o] == own ? c->out_numbers[o] : 0] = (int32_t)o;
}

static bool is_relu(const tn_call *c)
{
    return strcmp(c->op->name, "relu") == 0 ||
           (strcmp(c->op->name, "Activation") == 0 && tn_call_is(c, "act_type", "relu"));
}

// Does the call give output 0 of part 0?
static bool leaves_middle(const tn_call *c)
{
    for (uint32_t o = 0; o < c->n_out; o++)
        if (c->out_parts[o] == 0 && c->out_numbers[o] == 0) return true;
    return false;
}

static const char *relu_cannot(const tn_call *c)
{
    const tn_part *p = c->parts;
    if (c->n_parts != 2 || strcmp(p[0].call->op->name, "BatchNorm") != 0 || !is_relu(p[1].call))
        return "no BatchNorm and relu";
    return leaves_middle(c) ? "a result in the middle is needed, too" : NULL;
}

static const char *relu_back_cannot(const tn_call *c)
{
    const tn_part *p = c->parts;
    if (c->n_parts != 2 || strcmp(p[0].call->op->name, "_backward_relu") != 0 ||
        strcmp(p[1].call->op->name, "_backward_BatchNorm") != 0 || p[1].from[0] != -1)
        return "no gradients of relu and BatchNorm";
    if (!c->forward || relu_cannot(c->forward)) return "the forward keeps no factors";
    return leaves_middle(c) ? "a result in the middle is needed, too" : NULL;
}

// Output 0 of the norm may take the place of its input i.
static void permit(const norm_state *n, uint32_t i, tn_kernel_info *info)
{
    if (n->out[0] >= 0 && info->n_inplace < TN_MAX_INPLACE)
        info->inplace[info->n_inplace++] = (tn_inplace){(uint32_t)n->in[i], (uint32_t)n->out[0]};
}

static tn_status relu_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    norm_state *n = k->state;
    const tn_value_info *c = k->call->parts[0].call->out[1];
    find_places(k->call, 0, n);
    permit(n, 0, info);
    if (!(k->call->flags & TN_CALL_INFERENCE)) info->stash_bytes = 2 * c->bytes;
    return setup_at(k, k->call->parts[0].call, true);
}

static tn_status relu_back_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    norm_state *n = k->state;
    find_places(k->call, 1, n);
    permit(n, 0, info);
    permit(n, 1, info);
    return setup_at(k, k->call->parts[1].call, true);
}

#define ROW(op_, cannot_, setup_, run_)                                                         \
    {                                                                                           \
        .op = op_, .dtypes = BLAS_REALS, .flags = BLAS_FLAGS, .state_size = sizeof(norm_state), \
        .cannot = cannot_, .setup = setup_, .run = run_                                         \
    }

const tn_kernel_row blas_batch_norms[] = {
    ROW("BatchNorm", NULL, setup, forward),
    ROW("_backward_BatchNorm", NULL, backward_setup, backward),
    ROW("_fused", relu_cannot, relu_setup, forward),
    ROW("_fused", relu_back_cannot, relu_back_setup, backward),
    {0},
};

#else // once per type

#include "blas_batch_norm.h"

// ------------------------------------------------------------------ channels

static const void *N(input)(const norm_run *r, int i)
{
    return r->a->in[r->at->in[i]].host;
}

// NULL: nobody reads it.
static void *N(output)(const norm_run *r, int i)
{
    return r->at->out[i] < 0 ? NULL : r->a->out[r->at->out[i]].host;
}

// Channels c … c + n-1, which are one if rows are contiguous: Σ x and Σ x y of each.
static void N(sums)(const tn_norm_call *b, const T *x, const T *y, int64_t c, int64_t n, moments *m)
{
    const tn_line l = b->line;
    memset(m, 0, sizeof *m);
    if (l.inner == 1) {
        for (int64_t i = 0; i < l.outer; i++) N(step_sums)(x + i * l.n + c, y + i * l.n + c, n, m);
        return;
    }
    double s[2] = {0, 0};
    for (int64_t i = 0; i < l.outer; i++) {
        const int64_t at = (i * l.n + c) * l.inner;
        N(row_sums)(x + at, y + at, l.inner, s);
    }
    m->sum[0] = s[0], m->squares[0] = s[1];
}

// Mean and biased variance. Of float the sums of squares, in double, are exact enough for the
// variance to be taken from them.
static void N(find_moments)(const tn_norm_call *b, const T *x, int64_t c, int64_t n, moments *m)
{
    const tn_line l = b->line;
    const double share = 1 / (double)b->n;
    N(sums)(b, x, x, c, n, m);
    for (int64_t i = 0; i < n; i++) m->mean[i] = m->sum[i] * share;
    if (IS_F32) {
        for (int64_t i = 0; i < n; i++) {
            const double var = m->squares[i] * share - m->mean[i] * m->mean[i];
            m->var[i] = var < 0 ? 0 : var;
        }
        return;
    }
    for (int64_t i = 0; i < l.outer; i++) {
        const int64_t at = (i * l.n + c) * l.inner;
        if (l.inner == 1)
            N(step_squares)(x + at, n, m);
        else
            m->var[0] += N(row_squares)(x + at, l.inner, m->mean[0]);
    }
    for (int64_t i = 0; i < n; i++) m->var[i] *= share;
}

// Keeps what the gradient of relu is to know of channels c …; nothing where there is none.
static void N(keep)(const norm_run *r, int64_t c, int64_t n, T of[3][WIDTH])
{
    T *kept = r->at->relu ? r->a->stash.host : NULL;
    for (int64_t i = 0; kept && i < n; i++) {
        kept[c + i] = of[1][i];
        kept[r->b->line.n + c + i] = of[2][i];
    }
}

static void N(normalise)(const norm_run *r, int64_t c, int64_t n, T of[3][WIDTH])
{
    const tn_line l = r->b->line;
    const bool relu = r->at->relu;
    const T *x = N(input)(r, 0), one[3] = {of[0][0], of[1][0], of[2][0]};
    T *y = N(output)(r, 0);
    for (int64_t i = 0; y && i < l.outer; i++) {
        const int64_t at = (i * l.n + c) * l.inner;
        if (l.inner == 1)
            (relu ? N(step_normal_relu) : N(step_normal))(x + at, y + at, n, of);
        else
            (relu ? N(row_normal_relu) : N(row_normal))(x + at, y + at, l.inner, one);
    }
}

//     y = gamma (x - mean) / √(var + eps) + beta
static void N(forward_channels)(const norm_run *r, int64_t c, int64_t n)
{
    const tn_norm_call *b = r->b;
    const T *x = N(input)(r, 0), *gamma = N(input)(r, 1), *beta = N(input)(r, 2);
    const T *moving[2] = {N(input)(r, 3), N(input)(r, 4)};
    T *mean = N(output)(r, 1), *var = N(output)(r, 2), of[3][WIDTH];
    moments m;
    if (r->of_batch) N(find_moments)(b, x, c, n, &m);
    for (int64_t i = 0; i < n; i++) {
        if (!r->of_batch) m.mean[i] = (double)moving[0][c + i], m.var[i] = (double)moving[1][c + i];
        const double scale = (b->fix_gamma ? 1 : (double)gamma[c + i]) / sqrt(m.var[i] + b->eps);
        of[0][i] = (T)m.mean[i], of[1][i] = (T)scale, of[2][i] = beta[c + i];
        if (mean) mean[c + i] = (T)m.mean[i];
        if (var) var[c + i] = (T)m.var[i];
    }
    N(keep)(r, c, n, of);
    N(normalise)(r, c, n, of);
}

// With x̂ = (x - mean) / √(var + eps) and sums over a channel of n elements
//
//     dbeta = Σ dy        dgamma = Σ dy x̂, 0 with fix_gamma
//     dx = gamma / √(var + eps) · (dy - dbeta / n - x̂ Σ dy x̂ / n)
//
// where the last two terms stand for what mean and var depend on x: not if they are the moving
// ones. The batch's own move the states.
static void N(gradients)(const norm_run *r, int64_t c, int64_t n, const moments *m, T of[4][WIDTH])
{
    const tn_norm_call *b = r->b;
    const T *gamma = N(input)(r, 2), *mean = N(input)(r, 3), *var = N(input)(r, 4);
    T *moving[2] = {r->a->in[r->at->in[5]].host, r->a->in[r->at->in[6]].host};
    T *dgamma = N(output)(r, 1), *dbeta = N(output)(r, 2);
    for (int64_t i = 0; i < n; i++) {
        const double mu = (double)mean[c + i], root = 1 / sqrt((double)var[c + i] + b->eps);
        const double scale = (b->fix_gamma ? 1 : (double)gamma[c + i]) * root;
        const double product = b->n ? (m->squares[i] - mu * m->sum[i]) * root : 0;
        const double share = r->of_batch ? 1 / (double)b->n : 0;
        of[0][i] = mean[c + i];
        of[1][i] = (T)scale;
        // A sum that does not count may be NaN.
        of[2][i] = r->of_batch ? (T)(-scale * root * product * share) : 0;
        of[3][i] = r->of_batch ? (T)(-scale * m->sum[i] * share) : 0;
        if (dgamma) dgamma[c + i] = (T)(b->fix_gamma ? 0 : product);
        if (dbeta) dbeta[c + i] = (T)m->sum[i];
        if (!r->of_batch || b->n == 0) continue;
        for (int j = 0; j < 2; j++) {
            const double batch = (double)(j ? var : mean)[c + i];
            moving[j][c + i] =
                (T)(b->momentum * (double)moving[j][c + i] + (1 - b->momentum) * batch);
        }
    }
}

// Σ dy and Σ dy x where relu let dy pass. kept: mean, factor, shift.
static void N(passed_sums)(const norm_run *r, int64_t c, int64_t n, T kept[3][WIDTH], moments *m)
{
    const tn_line l = r->b->line;
    const T *dy = N(input)(r, 0), *x = N(input)(r, 1), *mean = N(input)(r, 3);
    const T *from = r->a->stash.host;
    double s[2] = {0, 0};
    memset(m, 0, sizeof *m);
    for (int64_t i = 0; i < n; i++)
        kept[0][i] = mean[c + i], kept[1][i] = from[c + i], kept[2][i] = from[l.n + c + i];
    const T one[3] = {kept[0][0], kept[1][0], kept[2][0]};
    for (int64_t i = 0; i < l.outer; i++) {
        const int64_t at = (i * l.n + c) * l.inner;
        if (l.inner == 1)
            N(step_sums_relu)(dy + at, x + at, n, kept, m);
        else
            N(row_sums_relu)(dy + at, x + at, l.inner, one, s);
    }
    if (l.inner != 1) m->sum[0] = s[0], m->squares[0] = s[1];
}

static void N(backward_relu)(const norm_run *r, int64_t c, int64_t n)
{
    const tn_line l = r->b->line;
    const T *dy = N(input)(r, 0), *x = N(input)(r, 1);
    T *dx = N(output)(r, 0), of[4][WIDTH], kept[3][WIDTH], one[4], own[3];
    moments m;
    N(passed_sums)(r, c, n, kept, &m);
    N(gradients)(r, c, n, &m, of);
    for (int i = 0; i < 4; i++) one[i] = of[i][0];
    for (int i = 0; i < 3; i++) own[i] = kept[i][0];
    for (int64_t i = 0; dx && i < l.outer; i++) {
        const int64_t at = (i * l.n + c) * l.inner;
        if (l.inner == 1)
            N(step_gradient_relu)(dy + at, x + at, dx + at, n, of, kept);
        else
            N(row_gradient_relu)(dy + at, x + at, dx + at, l.inner, one, own);
    }
}

static void N(backward_channels)(const norm_run *r, int64_t c, int64_t n)
{
    const tn_norm_call *b = r->b;
    const tn_line l = b->line;
    const T *dy = N(input)(r, 0), *x = N(input)(r, 1);
    T *dx = N(output)(r, 0), of[4][WIDTH], one[4];
    moments m;
    N(sums)(b, dy, x, c, n, &m);
    N(gradients)(r, c, n, &m, of);
    for (int i = 0; i < 4; i++) one[i] = of[i][0];
    for (int64_t i = 0; i < l.outer; i++) {
        const int64_t at = (i * l.n + c) * l.inner;
        if (l.inner == 1)
            N(step_gradient)(dy + at, x + at, dx + at, n, of);
        else
            N(row_gradient)(dy + at, x + at, dx + at, l.inner, one);
    }
}

// ------------------------------------------------------------------ items

static void N(forward_range)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const norm_run *r = ctx;
    const int64_t width = r->b->line.inner == 1 ? WIDTH : 1;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const int64_t left = r->b->line.n - i * width;
        N(forward_channels)(r, i * width, left < width ? left : width);
    }
}

static void N(backward_range)(void *ctx, int64_t begin, int64_t end, uint32_t worker)
{
    const norm_run *r = ctx;
    const int64_t width = r->b->line.inner == 1 ? WIDTH : 1;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const int64_t left = r->b->line.n - i * width;
        (r->at->relu ? N(backward_relu) : N(backward_channels))(r, i * width,
                                                                left < width ? left : width);
    }
}

#endif
