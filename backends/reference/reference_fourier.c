// backends/reference/reference_fourier.c: _contrib_fft, _contrib_ifft: Fourier transforms of rows.
//
// Rows of a power of two by halving, others by the definition; all in float64.
#include "reference.h"

typedef struct complex_number {
    double re, im;
} complex_number;

typedef struct fourier {
    int64_t rows, d;
    bool inverse;
} fourier;

// Scratch: exp(-2 π i j / d), a row, and room for the sums of one that is no power of two.
static tn_status fourier_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    fourier *f = k->state;
    const tn_value_info *x = k->call->in[0];
    const int64_t last = x->dims[x->ndim - 1];
    f->inverse = strcmp(k->call->op->name, "_contrib_ifft") == 0;
    f->d = f->inverse ? last / 2 : last;
    f->rows = x->size ? x->size / last : 0;
    if (x->size) info->scratch_bytes = (uint64_t)f->d * 3 * sizeof(complex_number);
    return TN_OK;
}

static complex_number times(complex_number a, complex_number b)
{
    return (complex_number){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

// root[j], or its conjugate for the inverse
static complex_number root_of(const fourier *f, const complex_number *root, int64_t j)
{
    const complex_number r = root[j];
    return f->inverse ? (complex_number){r.re, -r.im} : r;
}

// z[k] = Σ_n z[n] root^(n k), by the definition
static void transform_any(const fourier *f, const complex_number *root, complex_number *z,
                          complex_number *sums)
{
    for (int64_t k = 0; k < f->d; k++) {
        sums[k] = (complex_number){0, 0};
        for (int64_t n = 0, at = 0; n < f->d; n++, at = at >= f->d - k ? at - (f->d - k) : at + k) {
            const complex_number p = times(z[n], root_of(f, root, at)); // at = n k mod d
            sums[k].re += p.re;
            sums[k].im += p.im;
        }
    }
    memcpy(z, sums, (size_t)f->d * sizeof *z);
}

// Element i stands where its bits, read backwards, say.
static void reverse_bits(complex_number *z, int64_t d)
{
    for (int64_t i = 1, j = 0; i < d; i++) {
        int64_t bit = d / 2;
        for (; j & bit; bit /= 2) j -= bit;
        j += bit;
        if (i >= j) continue;
        const complex_number swapped = z[i];
        z[i] = z[j];
        z[j] = swapped;
    }
}

// The same for a power of two. Source: Cooley, Tukey, 1965.
static void transform_power(const fourier *f, const complex_number *root, complex_number *z)
{
    reverse_bits(z, f->d);
    for (int64_t half = 1; half < f->d; half *= 2)
        for (int64_t i = 0; i < f->d; i++) {
            if (i & half) continue;
            const int64_t at = i % half * (f->d / half / 2);
            const complex_number a = z[i], b = times(z[i + half], root_of(f, root, at));
            z[i] = (complex_number){a.re + b.re, a.im + b.im};
            z[i + half] = (complex_number){a.re - b.re, a.im - b.im};
        }
}

static tn_status fourier_run(const tn_sdk_kernel *k, const tn_run_args *a)
{
    const fourier *f = k->state;
    const ref_array x = ref_in(k, a, 0), y = ref_out(k, a, 0);
    complex_number *root = a->scratch.host, *z = root + f->d;
    const double turn = 6.28318530717958647693 / (double)f->d;
    for (int64_t j = 0; f->rows && j < f->d; j++)
        root[j] = (complex_number){cos(turn * (double)j), -sin(turn * (double)j)};
    for (int64_t row = 0; row < f->rows; row++) {
        const int64_t first = row * f->d;
        for (int64_t j = 0; j < f->d; j++) {
            const int64_t i = first + j;
            z[j] = f->inverse ? (complex_number){ref_get_real(x, 2 * i), ref_get_real(x, 2 * i + 1)}
                              : (complex_number){ref_get_real(x, i), 0};
        }
        if (f->d & (f->d - 1))
            transform_any(f, root, z, z + f->d);
        else
            transform_power(f, root, z);
        for (int64_t j = 0; j < f->d; j++) {
            const int64_t i = first + j;
            ref_put_real(y, f->inverse ? i : 2 * i, z[j].re);
            if (!f->inverse) ref_put_real(y, 2 * i + 1, z[j].im);
        }
    }
    return TN_OK;
}

#define ROW(op_)                                                                           \
    {                                                                                      \
        .op = op_, .dtypes = TN_FLOATS, .flags = REF_FLAGS, .state_size = sizeof(fourier), \
        .setup = fourier_setup, .run = fourier_run                                         \
    }

const tn_kernel_row ref_fourier[] = {ROW("_contrib_fft"), ROW("_contrib_ifft"), {0}};
