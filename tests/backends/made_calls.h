// tests/backends/made_calls.h: calls as a core would make them, for headers that read calls.
#ifndef TENON_TESTS_MADE_CALLS_H
#define TENON_TESTS_MADE_CALLS_H

#include <tenon/kernel.h>

// Parameter `name_` of an operator, which lies in a `struct blob` of the test.
#define PARAM(name_, choices_)                                                        \
    &(const tn_param_decl)                                                            \
    {                                                                                 \
        .struct_size = sizeof(tn_param_decl), .offset = offsetof(struct blob, name_), \
        .name = #name_, .choices = choices_                                           \
    }

// A call with two inputs of these shapes.
typedef struct made {
    tn_op_decl op;
    tn_value_info value[2];
    const tn_value_info *in[2];
    tn_call call;
} made;

static inline void make_call(made *m, const char *op, const tn_param_decl *const *params,
                             const void *b, tn_dims first, tn_dims second)
{
    const tn_dims dims[] = {first, second};
    *m = (made){.op = {.name = op, .params = params}};
    for (int i = 0; i < 2; i++) {
        m->value[i] =
            (tn_value_info){.ndim = (int32_t)dims[i].ndim, .dims = dims[i].dim, .size = 1};
        for (size_t k = 0; k < dims[i].ndim; k++) m->value[i].size *= dims[i].dim[k];
        m->in[i] = &m->value[i];
    }
    m->call = (tn_call){.op = &m->op, .params = b, .n_in = 2, .in = m->in};
}

#endif
