// backends/reference/reference_correlation.c: Correlation of the patches of two images.
#include "reference.h"

typedef struct correlation {
    int64_t channels, height, width;            // of the data
    int64_t rows, columns;                      // of the result
    int64_t kernel, most, step, displaced, pad; // kernel_size, max_displacement, strides, pad_size
    int64_t each_way;                           // displacements
    bool multiply;
} correlation;

static tn_status correlation_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    (void)info;
    correlation *s = k->state;
    s->channels = c->in[0]->dims[1];
    s->height = c->in[0]->dims[2];
    s->width = c->in[0]->dims[3];
    s->rows = c->out[0]->dims[2];
    s->columns = c->out[0]->dims[3];
    s->kernel = tn_call_i64(c, "kernel_size", 1);
    s->most = tn_call_i64(c, "max_displacement", 1);
    s->step = tn_call_i64(c, "stride1", 1);
    s->displaced = tn_call_i64(c, "stride2", 1);
    s->pad = tn_call_i64(c, "pad_size", 0);
    s->each_way = 2 * (s->most / s->displaced) + 1;
    s->multiply = tn_call_bool(c, "is_multiply", true);
    return TN_OK;
}

// Element (y, x) of the padded plane that begins at `plane`.
static double padded_at(const correlation *s, ref_array data, int64_t plane, int64_t y, int64_t x)
{
    y -= s->pad;
    x -= s->pad;
    if (y < 0 || y >= s->height || x < 0 || x >= s->width) return 0;
    return ref_get_real(data, plane + y * s->width + x);
}

// Σ f over two patches whose first points are (y, x) and (y + dy, x + dx), in one channel.
static double compare(const correlation *s, const ref_array data[2], int64_t plane,
                      const int64_t at[2], const int64_t by[2])
{
    double sum = 0;
    for (int64_t u = 0; u < s->kernel; u++)
        for (int64_t v = 0; v < s->kernel; v++) {
            const double p = padded_at(s, data[0], plane, at[0] + u, at[1] + v);
            const double q = padded_at(s, data[1], plane, at[0] + by[0] + u, at[1] + by[1] + v);
            sum += s->multiply ? p * q : fabs(p - q);
        }
    return sum;
}

// data (n, c, h, w) as (n, h + 2 pad, w + 2 pad, c), with zeros around it.
static void put_padded(const correlation *s, ref_array data, ref_array out)
{
    const int64_t h = s->height + 2 * s->pad, w = s->width + 2 * s->pad, c = s->channels;
    for (int64_t i = 0; i < out.n; i++) {
        const int64_t plane = (i / (h * w * c) * c + i % c) * s->height * s->width;
        ref_put_real(out, i, padded_at(s, data, plane, i / (w * c) % h, i / c % w));
    }
}

static tn_status run_correlation(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const correlation *s = k->state;
    const ref_array data[2] = {ref_in(k, a, 0), ref_in(k, a, 1)}, out = ref_out(k, a, 0);
    const int64_t d = s->each_way, places = s->rows * s->columns;
    const double terms = (double)s->kernel * (double)s->kernel * (double)s->channels;
    for (int64_t o = 0; o < out.n; o++) {
        const int64_t q = o / places % (d * d), n = o / places / (d * d);
        const int64_t at[2] = {o % places / s->columns * s->step + s->most,
                               o % s->columns * s->step + s->most};
        const int64_t by[2] = {(q / d - d / 2) * s->displaced, (q % d - d / 2) * s->displaced};
        double sum = 0;
        for (int64_t c = 0; c < s->channels; c++)
            sum += compare(s, data, (n * s->channels + c) * s->height * s->width, at, by);
        ref_put_real(out, o, sum / terms);
    }
    for (uint32_t i = 0; i < 2; i++) put_padded(s, data[i], ref_out(k, a, 1 + i));
    return TN_OK;
}

const tn_kernel_row ref_correlation[] = {
    {.op = "Correlation",
     .dtypes = TN_FLOATS,
     .flags = REF_FLAGS,
     .state_size = sizeof(correlation),
     .setup = correlation_setup,
     .run = run_correlation},
    {0},
};
