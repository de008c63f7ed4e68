// tools/train_data.c: the data sets that `tenon train` reads.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/train.h"

static int dataset_make(dataset *d, int64_t n, int64_t height, int64_t width)
{
    *d = (dataset){.n = n, .height = height, .width = width};
    d->x = calloc((size_t)(n * height * width) + 1, sizeof *d->x);
    d->y = calloc((size_t)n + 1, sizeof *d->y);
    return d->x && d->y ? EXIT_OK : tool_fail("train", "out of memory");
}

void datasets_free(datasets *d)
{
    free(d->train.x);
    free(d->train.y);
    free(d->test.x);
    free(d->test.y);
    *d = (datasets){0};
}

// Classes are 0 … classes-1 over both parts.
static int count_classes(datasets *d)
{
    double largest = 0;
    const dataset *parts[] = {&d->train, &d->test};
    for (int p = 0; p < 2; p++)
        for (int64_t i = 0; i < parts[p]->n; i++) {
            const double y = parts[p]->y[i];
            if (y < 0 || y > 100000 || y != floor(y))
                return tool_fail("train",
                                 "%s: %g is no class, wanted 0, 1, 2, … in the last column",
                                 d->name, y);
            largest = fmax(largest, y);
        }
    d->train.classes = d->test.classes = (int64_t)largest + 1;
    return EXIT_OK;
}

// ------------------------------------------------------------------ idx

// The file `name` in `dir`, or name.gz.
static tn_tensor *load_idx(tn_env *env, const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (access(path, R_OK) != 0) snprintf(path, sizeof path, "%s/%s.gz", dir, name);
    return tn_idx_load(env, path);
}

static int load_part(tn_env *env, const char *dir, const char *part, dataset *out)
{
    char name[64];
    snprintf(name, sizeof name, "%s-images-idx3-ubyte", part);
    tn_tensor *images = load_idx(env, dir, name);
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte", part);
    tn_tensor *labels = images ? load_idx(env, dir, name) : NULL;
    int code = EXIT_FAILED;
    if (!images || !labels) {
        tool_env_fail("train", env);
    } else {
        const tn_shape s = tn_tensor_shape(images), l = tn_tensor_shape(labels);
        if (s.ndim != 3 || l.ndim != 1 || s.dim[0] != l.dim[0] ||
            tn_tensor_dtype(images) != TN_U8 || tn_tensor_dtype(labels) != TN_U8)
            tool_fail("train", "%s: images %s and labels %s do not belong together", dir,
                      tool_shape_text(&s), tool_shape_text(&l));
        else
            code = dataset_make(out, s.dim[0], s.dim[1], s.dim[2]);
    }
    if (code == EXIT_OK) {
        const uint8_t *pixels = tn_tensor_data(images), *classes = tn_tensor_data(labels);
        const int64_t total = out->n * out->height * out->width;
        for (int64_t i = 0; i < total; i++) out->x[i] = (float)pixels[i] / 255.0f;
        for (int64_t i = 0; i < out->n; i++) out->y[i] = classes[i];
    }
    tn_tensor_release(images);
    tn_tensor_release(labels);
    return code;
}

// ------------------------------------------------------------------ csv

static void copy_row(dataset *d, int64_t to, const float *row, float scale)
{
    const int64_t pixels = d->height * d->width;
    for (int64_t i = 0; i < pixels; i++) d->x[to * pixels + i] = row[i] * scale;
    d->y[to] = row[pixels];
}

static int load_csv(tn_env *env, const char *path, datasets *out)
{
    tn_tensor *table = tn_csv_load(env, path);
    if (!table) return tool_env_fail("train", env);
    const tn_shape s = tn_tensor_shape(table);
    const int64_t rows = s.dim[0], columns = s.dim[1];
    const float *v = tn_tensor_data(table);
    int64_t side = (int64_t)lround(sqrt((double)columns - 1));
    const bool square = side * side == columns - 1;
    const int64_t height = square ? side : 1, width = square ? side : columns - 1;
    const int64_t held_out = rows / 5;
    int code = EXIT_FAILED;
    if (rows < 5 || columns < 2)
        tool_fail("train",
                  "%s: wanted at least 5 rows of 2 columns (numbers, then the class), got %lld of "
                  "%lld",
                  path, (long long)rows, (long long)columns);
    else if (dataset_make(&out->train, rows - held_out, height, width) == EXIT_OK &&
             dataset_make(&out->test, held_out, height, width) == EXIT_OK)
        code = EXIT_OK;
    float largest = 0;
    for (int64_t r = 0; code == EXIT_OK && r < rows; r++)
        for (int64_t c = 0; c + 1 < columns; c++)
            largest = fmaxf(largest, fabsf(v[r * columns + c]));
    const float scale = largest > 0 ? 1.0f / largest : 1.0f;
    for (int64_t r = 0, train = 0, test = 0; code == EXIT_OK && r < rows; r++) {
        if (r % 5 == 4)
            copy_row(&out->test, test++, v + r * columns, scale);
        else
            copy_row(&out->train, train++, v + r * columns, scale);
    }
    tn_tensor_release(table);
    return code;
}

// ------------------------------------------------------------------ choosing

// The digits: beside the installation of this program, or in the source tree it was built from.
static bool find_digits(char *path, size_t size)
{
    char self[4000];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = 0;
        char *slash = strrchr(self, '/');
        if (slash) *slash = 0;
        snprintf(path, size, "%s/../share/tenon/digits.csv.gz", self);
        if (access(path, R_OK) == 0) return true;
    }
    snprintf(path, size, "%s/digits.csv.gz", TENON_SOURCE_DATA_DIR);
    return access(path, R_OK) == 0;
}

int datasets_load(tn_env *env, const char *path, datasets *out)
{
    char digits[4096];
    struct stat st;
    *out = (datasets){.name = path};
    if (!path) {
        if (!find_digits(digits, sizeof digits))
            return tool_fail("train", "digits.csv.gz is not where it was installed; give --data");
        path = digits;
        out->name = "1,797 handwritten digits (E. Alpaydin, C. Kaynak, UCI; CC BY 4.0)";
    }
    int code = EXIT_FAILED;
    if (stat(path, &st) != 0)
        tool_fail("train", "%s: no such file or directory", path);
    else if (!S_ISDIR(st.st_mode))
        code = load_csv(env, path, out);
    else if (load_part(env, path, "train", &out->train) == EXIT_OK)
        code = load_part(env, path, "t10k", &out->test);
    if (code == EXIT_OK &&
        (out->train.height != out->test.height || out->train.width != out->test.width))
        code = tool_fail("train", "%s: training and test pictures differ in size", path);
    if (code == EXIT_OK) code = count_classes(out);
    if (code != EXIT_OK) datasets_free(out);
    return code;
}
