// tests/passes/extra_ops.h: operators that only a test knows, added to what its graph looks up.
#ifndef TENON_TESTS_EXTRA_OPS_H
#define TENON_TESTS_EXTRA_OPS_H

#include <tenon/sdk.h>

#include "core/passes/pass.h"
#include "tests/tn_test.h"

static tni_registry extra_registry;

static inline bool extra_enter(const char *name, uint32_t index)
{
    return tni_map_put(&extra_registry.by_name, name, index);
}

// bench.g knows the operators of its env and these. False, and a failed check, if one is malformed.
// Undo with extra_ops_free() at the end of the test.
static inline bool extra_ops(const tn_op_decl *const *ops)
{
    const tni_registry *base = tni_env_registry(bench.env);
    tni_error error = {0};
    uint32_t n = base->n_ops;
    extra_registry = (tni_registry){0};
    extra_registry.ops = tni_alloc(&extra_registry.arena, (n + 64) * sizeof *extra_registry.ops);
    bool ok = extra_registry.ops != NULL;
    for (uint32_t i = 0; i < n && ok; i++) {
        extra_registry.ops[i] = base->ops[i];
        ok = extra_enter(base->ops[i]->decl.name, i);
        for (const char **a = base->ops[i]->aliases; a && *a && ok; a++) ok = extra_enter(*a, i);
    }
    for (size_t i = 0; ops[i] && ok; i++, n++) {
        extra_registry.ops[n] = tni_op_new(&extra_registry.arena, ops[i], "test", &error);
        ok = extra_registry.ops[n] && extra_enter(ops[i]->name, n);
    }
    extra_registry.n_ops = n;
    bench.g->registry = &extra_registry;
    TN_CHECK_STR(tni_error_text(&error), "");
    tni_error_clear(&error);
    CU_ASSERT(ok);
    return ok;
}

static inline void extra_ops_free(void)
{
    tni_map_free(&extra_registry.by_name);
    tni_arena_free(&extra_registry.arena);
}

#endif
