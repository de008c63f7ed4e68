// backends/opencl/opencl_optimizer.c: parameter updates as formulas; states are
// written in place.
//
// Source: MXNet 0.11, src/operator/optimizer_op-inl.h.
#include "opencl.h"

// A bound below 0 clips nothing; NaN stays.
#define CLIPPED(g) \
    "const A h = " g ", g2 = bound < 0 ? h : h > bound ? bound : h < -bound ? -bound : h; "
#define PLAIN_GRADIENT CLIPPED("rescale * g")
#define DECAYED_GRADIENT CLIPPED("rescale * g + wd * w")

static const struct update {
    const char *op;
    const char *operand[6];
    uint32_t written; // by input: bits
    const char *before, *text;
    const char *constant[6];
} updates[] = {
    {"sgd_update", {"w", "g"}, 0, PLAIN_GRADIENT, "kept * w - lr * g2", {NULL}},
    {"sgd_mom_update",
     {"w", "g", "m"},
     1 << 2,
     PLAIN_GRADIENT "m = momentum * m - lr * wd * w - lr * g2;",
     "w + m",
     {"momentum"}},
    {"adam_update",
     {"w", "g", "m", "v"},
     1 << 2 | 1 << 3,
     DECAYED_GRADIENT "m = beta1 * m + rest1 * g2; v = beta2 * v + rest2 * g2 * g2;",
     "w - lr * m / (sqrt(v) + epsilon)",
     {"beta1", "beta2", "epsilon", "rest1", "rest2"}},
    {"mp_sgd_update",
     {"w16", "g", "w"},
     1 << 2,
     PLAIN_GRADIENT "w = kept * w - lr * g2;",
     "w",
     {NULL}},
    {"mp_sgd_mom_update",
     {"w16", "g", "m", "w"},
     1 << 2 | 1 << 3,
     PLAIN_GRADIENT "m = momentum * m - lr * wd * w - lr * g2; w = w + m;",
     "w",
     {"momentum"}},
    {"rmsprop_update",
     {"w", "g", "n2"},
     1 << 2,
     DECAYED_GRADIENT "n2 = gamma1 * n2 + rest3 * g2 * g2; "
                      "const A r = w - lr * g2 / sqrt(n2 + epsilon);",
     "limit < 0 ? r : r > limit ? limit : r < -limit ? -limit : r",
     {"gamma1", "epsilon", "limit", "rest3"}},
    {"rmspropalex_update",
     {"w", "g", "n2", "m", "d"},
     1 << 2 | 1 << 3 | 1 << 4,
     DECAYED_GRADIENT "n2 = gamma1 * n2 + rest3 * g2 * g2; m = gamma1 * "
                      "m + rest3 * g2; "
                      "d = gamma2 * d - lr * g2 / sqrt(n2 - m * m + epsilon); "
                      "const A r = w + d;",
     "limit < 0 ? r : r > limit ? limit : r < -limit ? -limit : r",
     {"gamma1", "gamma2", "epsilon", "limit", "rest3"}},
};

static void add(ocl_formula *f, const char *name, double v)
{
    f->constant_name[f->n_constants] = name;
    f->constant[f->n_constants++] = v;
}

static double parameter(const tn_call *c, const char *name)
{
    if (strcmp(name, "limit") == 0) return tn_call_f64(c, "clip_weights", -1);
    if (strcmp(name, "momentum") == 0) return tn_call_f64(c, name, 0);
    if (strcmp(name, "beta1") == 0) return tn_call_f64(c, name, 0.9);
    if (strcmp(name, "beta2") == 0) return tn_call_f64(c, name, 0.999);
    if (strcmp(name, "gamma1") == 0) return tn_call_f64(c, name, 0.95);
    if (strcmp(name, "gamma2") == 0) return tn_call_f64(c, name, 0.9);
    // 1 - beta in float32 would have lost digits that 1 - 0.999 needs.
    if (strcmp(name, "rest1") == 0) return 1 - parameter(c, "beta1");
    if (strcmp(name, "rest2") == 0) return 1 - parameter(c, "beta2");
    if (strcmp(name, "rest3") == 0) return 1 - parameter(c, "gamma1");
    return tn_call_f64(c, name, 1e-8);
}

bool ocl_update_formula(const tn_call *c, ocl_formula *f)
{
    const struct update *u = NULL;
    for (size_t i = 0; i < sizeof updates / sizeof updates[0]; i++)
        if (strcmp(updates[i].op, c->op->name) == 0) u = &updates[i];
    if (!u) return false;
    const double lr = tn_call_f64(c, "lr", 0), wd = tn_call_f64(c, "wd", 0);
    *f = (ocl_formula){.text = u->text, .before = u->before, .written = u->written};
    while (f->n_in < 6 && u->operand[f->n_in]) {
        f->operand[f->n_in] = u->operand[f->n_in];
        f->n_in++;
    }
    add(f, "lr", lr);
    add(f, "wd", wd);
    add(f, "rescale", tn_call_f64(c, "rescale_grad", 1));
    add(f, "bound", tn_call_f64(c, "clip_gradient", -1));
    add(f, "kept", 1 - lr * wd);
    for (int i = 0; i < 6 && u->constant[i]; i++)
        add(f, u->constant[i], parameter(c, u->constant[i]));
    return true;
}
