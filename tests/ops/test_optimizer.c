// tests/ops/test_optimizer.c: one step of sgd_update, sgd_mom_update and adam_update.
#include <math.h>

#include "tests/tn_numeric.h"

static tn_exec *step(const char *op, const char *params)
{
    tn_fresh();
    return tn_try(tn_op(op, params, tn_var("w"), tn_var("g")),
                  .given = TN_TENSORS({"w", TN_TENSOR(TN_F32, TN_DIMS(3), 1, -2, 4)},
                                      {"g", TN_TENSOR(TN_F32, TN_DIMS(3), 0.5, 3, -3)}));
}

// w − lr g; then (1 − lr wd) w − lr clip(rescale g)
static void sgd_update_decays_scales_and_clips(void)
{
    tn_exec *e = step("sgd_update", "lr=0.5");
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 0.75, -3.5, 5.5);
    tn_exec_free(e);
    e = step("sgd_update", "lr=0.5; wd=0.25; rescale_grad=2; clip_gradient=2");
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 0.875 - 0.5, -1.75 - 1, 3.5 + 1);
    tn_exec_free(e);
    e = step("sgd_update", "lr=0.5; clip_gradient=0"); // 0 clips all, only below 0 is off
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 1, -2, 4);
    tn_exec_free(e);
}

static tn_tensor *state(tn_exec *e, size_t i)
{
    return e ? tn_exec_aux(e, tn_exec_auxiliary_states(e).v[i]) : NULL;
}

// m = momentum m − lr wd w − lr g;  w + m
static void sgd_mom_update_keeps_its_momentum(void)
{
    tn_exec *e = step("sgd_mom_update", "lr=0.5; momentum=0.5; wd=0.25");
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 1 - 0.375, -2 - 1.25, 4 + 1);
    TN_CHECK_VALUES(state(e, 0), 1e-6, -0.375, -1.25, 1);
    if (e) tn_forward(e, false); // the same weight again, with the new momentum
    TN_CHECK_VALUES(state(e, 0), 1e-6, -0.5625, -1.875, 1.5);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 1 - 0.5625, -2 - 1.875, 4 + 1.5);
    tn_exec_free(e);
}

// g' = clip(rescale g + wd w): 0.5 + 0.5, 3 − 1 clipped to 1, −3 + 2 = −1
static void adam_update_decays_before_it_clips(void)
{
    tn_exec *e =
        step("adam_update", "lr=0.1; beta1=0.5; beta2=0.75; epsilon=0; wd=0.5; clip_gradient=1");
    TN_CHECK_VALUES(state(e, 0), 1e-6, 0.5, 0.5, -0.5);
    TN_CHECK_VALUES(state(e, 1), 1e-6, 0.25, 0.25, 0.25);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 0.9, -2.1, 4.1);
    if (e) tn_forward(e, false);
    TN_CHECK_VALUES(state(e, 0), 1e-6, 0.75, 0.75, -0.75);
    TN_CHECK_VALUES(state(e, 1), 1e-6, 0.4375, 0.4375, 0.4375);
    const double d = 0.1 * 0.75 / sqrt(0.4375);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 1 - d, -2 - d, 4 + d);
    tn_exec_free(e);
}

// n = γ₁ n + (1 − γ₁) g², here 0.75 · g²; then the quotient is g / √n, limited by clip_weights.
static void rmsprop_update_divides_by_the_mean_square(void)
{
    tn_exec *e = step("rmsprop_update", "lr=0.5; gamma1=0.25; epsilon=0");
    const double d = 0.5 / sqrt(0.75);
    TN_CHECK_VALUES(state(e, 0), 1e-6, 0.1875, 6.75, 6.75);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 1 - d, -2 - d, 4 + d);
    tn_exec_free(e);
    e = step("rmsprop_update", "lr=0.5; gamma1=0.25; epsilon=0; clip_weights=1.5");
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 1 - d, -1.5, 1.5);
    tn_exec_free(e);
    e = step("rmsprop_update", "lr=1; gamma1=0; epsilon=3; wd=0.5; clip_gradient=1"); // g = ±1
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 0.5, -2.5, 4.5);
    tn_exec_free(e);
}

// γ₁ = 1/2: n = g²/2, ḡ = g/2, n − ḡ² = g²/4, so the first step is lr · 2 · sign(g).
static void rmspropalex_update_keeps_three_states(void)
{
    tn_exec *e = step("rmspropalex_update", "lr=0.25; gamma1=0.5; gamma2=0.5; epsilon=0");
    TN_CHECK_VALUES(state(e, 0), 1e-6, 0.125, 4.5, 4.5);
    TN_CHECK_VALUES(state(e, 1), 1e-6, 0.25, 1.5, -1.5);
    TN_CHECK_VALUES(state(e, 2), 1e-6, -0.5, -0.5, 0.5);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 0.5, -2.5, 4.5);
    if (e) tn_forward(e, false); // n = 3/4 g², ḡ = 3/4 g: n − ḡ² = 3/16 g²
    const double d = 0.25 + 0.25 / sqrt(3. / 16);
    TN_CHECK_VALUES(tn_out(e, 0), 1e-6, 1 - d, -2 - d, 4 + d);
    tn_exec_free(e);
}

// A step of 2^-12 is lost in float16 beside 1, but not in the float32 copy.
static void mp_updates_step_on_the_wide_copy(void)
{
    static const char *const ops[] = {"mp_sgd_update", "mp_sgd_mom_update"};
    for (int i = 0; i < 2; i++) {
        tn_fresh();
        tn_symbol y = tn_op(ops[i], "lr=0.000244140625", tn_var("w"), tn_var("g"));
        tn_exec *e = tn_try(y, .given = TN_TENSORS({"w", TN_TENSOR(TN_F16, TN_DIMS(1), 1)},
                                                   {"g", TN_TENSOR(TN_F16, TN_DIMS(1), -1)}));
        tn_tensor *wide = e ? state(e, (size_t)i) : NULL;
        const float one = 1;
        CU_ASSERT(wide && tn_tensor_dtype(wide) == TN_F32);
        if (wide) tn_tensor_set(wide, &one, sizeof one);
        for (int n = 0; e && n < 4; n++) tn_forward(e, false);
        TN_CHECK_VALUES(wide, 1e-9, 1 + 4 * 0.000244140625);
        TN_CHECK_VALUES(tn_out(e, 0), 0, 1 + 0.0009765625);
        tn_exec_free(e);
    }
}

// The result bound to the weight's own tensor: repeated runs descend.
static void updates_may_be_bound_in_place(void)
{
    tn_tensor *w = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 2), *g = TN_TENSOR(TN_F32, TN_DIMS(2), 1, 1);
    const tn_symbol y = tn_op("sgd_update", "lr=0.25", tn_var("w"), tn_var("g"));
    const char *name = tn_outputs(bench.g, y).v[0];
    tn_exec *e =
        tn_simple_bind(bench.g, y, .backends = tn_backends(),
                       .args = TN_TENSORS({"w", w}, {"g", g}), .outs = TN_TENSORS({name, w}));
    TN_CHECK_EXEC(e);
    for (int i = 0; e && i < 3; i++) tn_forward(e, false);
    TN_CHECK_VALUES(w, 1e-6, 0.25, 1.25);
    tn_exec_free(e);
    tn_tensor_release(w);
    tn_tensor_release(g);
}

TN_TEST_MAIN({"sgd_update decays, scales and clips", sgd_update_decays_scales_and_clips},
             {"sgd_mom_update keeps its momentum", sgd_mom_update_keeps_its_momentum},
             {"adam_update decays before it clips", adam_update_decays_before_it_clips},
             {"rmsprop_update divides by the mean square",
              rmsprop_update_divides_by_the_mean_square},
             {"rmspropalex_update keeps three states", rmspropalex_update_keeps_three_states},
             {"mp updates step on the wide copy", mp_updates_step_on_the_wide_copy},
             {"updates may be bound in place", updates_may_be_bound_in_place})
