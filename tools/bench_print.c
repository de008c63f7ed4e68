// tools/bench_print.c: results of `tenon bench` for a reader.
#include <string.h>

#include "tools/bench.h"

static double number(const json_t *of, const char *key)
{
    return json_number_value(json_object_get(of, key));
}

static const char *text(const json_t *of, const char *key)
{
    const char *s = json_string_value(json_object_get(of, key));
    return s ? s : "";
}

// "12.3 MB", in one of four buffers.
static const char *bytes(double n)
{
    static char buffers[4][32];
    static unsigned next;
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    char *at = buffers[next++ % 4];
    int unit = 0;
    for (; n >= 999.95 && unit < 4; unit++) n /= 1000.0;
    snprintf(at, sizeof buffers[0], unit ? "%.1f %s" : "%.0f %s", n, units[unit]);
    return at;
}

static void print_chain(const json_t *r)
{
    printf("overhead: %.0f scalar additions of one element: %.1f ns a node "
           "(min %.1f, max %.1f, %.0f timings); fused %.1f ns\n",
           number(r, "nodes"), number(r, "median_ns"), number(r, "min_ns"), number(r, "max_ns"),
           number(r, "samples"), number(r, "fused_median_ns"));
}

static void print_graph(const json_t *r)
{
    const char *name;
    json_t *seconds = json_object_get(r, "seconds"), *one;
    const long nodes = (long)number(r, "nodes");
    printf("%-14s %10ld %10ld nodes\n", "", (nodes + 1) / 2, nodes);
    json_object_foreach(seconds, name, one)
    {
        const double half = number(one, "half_s"), whole = number(one, "whole_s");
        printf("%-14s %8.3f s %8.3f s  ratio %.2f\n", name, half, whole, whole / half);
    }
}

static void print_speed(const json_t *r)
{
    printf("  %.4g ms a step (min %.4g, max %.4g, %.0f timings; %.4g ms of CPU); %.4g samples/s\n",
           number(r, "median_ms"), number(r, "min_ms"), number(r, "max_ms"), number(r, "samples"),
           number(r, "cpu_ms"), number(r, "samples_per_s"));
    if (number(r, "gflop_per_s") <= 0) return;
    printf("  %.4g GFLOP a step, %.4g GFLOP/s", number(r, "gflop"), number(r, "gflop_per_s"));
    if (number(r, "peak_share") > 0)
        printf(": %.1f %% of the %.4g that a large dot reaches", 100 * number(r, "peak_share"),
               number(r, "peak_gflop_per_s"));
    putchar('\n');
}

static void print_memory(const json_t *r)
{
    const json_t *allocations = json_object_get(r, "allocations");
    printf("  planned %s, lower bound %s, one place for each value %s\n",
           bytes(number(r, "planned_bytes")), bytes(number(r, "lower_bound_bytes")),
           bytes(number(r, "naive_bytes")));
    printf("  peak RSS %s; bound in %.4g ms; ", bytes(number(r, "peak_rss_bytes")),
           number(r, "bind_ms"));
    if (json_is_integer(allocations))
        printf("%.0f heap allocations in all timings\n", json_number_value(allocations));
    else
        printf("heap allocations are not counted in this build\n");
}

// Rows of a list: milliseconds, share, and two texts.
static void print_list(const json_t *r, const char *key, const char *what, const char *also,
                       size_t most)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(r, key), i, one)
    {
        if (i == most) {
            printf("    … and %zu more\n", json_array_size(json_object_get(r, key)) - most);
            break;
        }
        printf("    %9.4f ms %5.1f %%  %s", number(one, "ms"), 100 * number(one, "share"),
               text(one, what));
        if (*text(one, "op"))
            printf(" (%s)", *text(one, "fused") ? text(one, "fused") : text(one, "op"));
        if (*text(one, also)) printf("  %s", text(one, also));
        if (json_is_true(json_object_get(one, "once"))) printf("  once");
        if (json_is_integer(json_object_get(one, "rows")))
            printf("  %.0f rows", number(one, "rows"));
        putchar('\n');
    }
}

static void print_profile(const json_t *r)
{
    if (!json_object_get(r, "profile")) return;
    printf("  measured by row: %.4g ms a step, of which %.4g ms in rows (%.0f steps)\n",
           number(r, "profile_wall_ms"), number(r, "profile_sum_ms"), number(r, "profile_steps"));
    printf("  by device\n");
    print_list(r, "devices", "device", "none", 100);
    printf("  by implementation\n");
    print_list(r, "implementations", "impl", "device", 30);
    printf("  by node\n");
    print_list(r, "profile", "name", "impl", 40);
}

void bench_print(const json_t *r)
{
    if (strcmp(text(r, "workload"), "overhead") == 0) {
        print_chain(r);
    } else if (strcmp(text(r, "workload"), "graph") == 0) {
        print_graph(r);
    } else {
        printf("%s %s, batch %.0f, %s", text(r, "workload"), text(r, "mode"), number(r, "batch"),
               text(r, "dtype"));
        if (strcmp(text(r, "compute"), text(r, "dtype")) != 0)
            printf(", %s allowed", text(r, "compute"));
        printf("\n  %s\n", text(r, "placement"));
        print_speed(r);
        print_memory(r);
        print_profile(r);
    }
    fflush(stdout);
}
