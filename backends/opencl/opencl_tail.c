// backends/opencl/opencl_tail.c: products with elementwise operators behind them, as one: the
// product calls tail() for each number before it stores it.
#include "opencl_map.h"

struct ocl_tail {
    const tn_call *call;
    ocl_text body;           // of the parts
    ocl_numbers numbers;     // their constants
    bool read[OCL_OPERANDS]; // inputs of the call that they read
};

static const char *tail_cannot(const tn_call *c, uint32_t *constants)
{
    for (uint32_t i = 1; i < c->n_parts; i++) {
        const tn_part *part = &c->parts[i];
        ocl_formula f;
        if (!(part->call->op->flags & TN_OP_ELEMENTWISE) || !ocl_formula_of(part->call, &f) ||
            f.written)
            return "a part has no formula";
        const char *why = ocl_part_cannot(c, part, &f);
        if (why) return why;
        for (uint32_t j = 0; j < f.n_in; j++)
            if (f.operand[j] && part->call->in[j]->size != c->out[0]->size)
                return "a part has inputs of another size";
        *constants += f.n_constants;
    }
    return NULL;
}

static const char *led_cannot(const tn_call *c)
{
    uint32_t constants = 0;
    if (c->n_parts < 2 || !ocl_is_product(c->parts[0].call->op->name)) return "no product in front";
    if (c->n_parts > OCL_MOST_PARTS) return "fuses at most 32 operators";
    if (c->n_in > OCL_OPERANDS) return "too many inputs";
    if (c->n_out != 1 || c->out_parts[0] + 1 != c->n_parts) return "a result inside is read";
    for (uint32_t i = 0; i < c->parts[0].call->n_in; i++)
        if (c->in[i]->dtype != c->out[0]->dtype) return "a part has another dtype or size";
    if (c->parts[0].call->out[0]->dtype != c->out[0]->dtype) return "a part has another dtype";
    const char *why = tail_cannot(c, &constants);
    if (why) return why;
    return constants > OCL_MAX_CONSTANTS ? "too many constants" : NULL;
}

static void describe(ocl_tail *tail, const tn_call *c)
{
    for (uint32_t i = 1; i < c->n_parts; i++) {
        const tn_part *part = &c->parts[i];
        ocl_formula f;
        ocl_formula_of(part->call, &f);
        for (uint32_t j = 0; j < f.n_in; j++)
            if (f.operand[j] && part->from[j] >= 0) tail->read[part->from[j]] = true;
        ocl_put_part(&tail->body, part, i, &f, tail->numbers.n);
        ocl_take_constants(&tail->numbers, &f, c->out[0]->dtype);
    }
}

// tail(v, i, ...) is what becomes of v, element i of the product; TAIL_ARGUMENTS are the kernel's
// further ones, of which TAIL_GET makes those that TAIL(v, i) passes on.
void ocl_tail_put(ocl_text *t, const ocl_tail *tail)
{
    const tn_call *c = tail->call;
    const uint32_t n = tail->numbers.n;
    ocl_vocabulary(t, ocl_number(c->out[0]->dtype), tail->body.s ? tail->body.s : "");
    if (n) ocl_printf(t, "typedef struct numbers { A c[%u]; } numbers;\n", n);
    ocl_append(t, "A tail(A p0, long i");
    for (uint32_t i = 0; i < c->n_in; i++)
        if (tail->read[i]) ocl_printf(t, ", const __global T0 *u%u", i);
    ocl_printf(t, "%s)\n{\n", n ? ", const numbers k" : "");
    for (uint32_t i = 0; i < c->n_in; i++)
        if (tail->read[i]) ocl_printf(t, "    const A v%u = LD0(u%u, i);\n", i, i);
    if (tail->body.s) ocl_append(t, tail->body.s);
    ocl_printf(t, "    return p%u;\n}\n#define TAIL_ARGUMENTS ", c->n_parts - 1);
    for (uint32_t i = 0; i < c->n_in; i++)
        if (tail->read[i]) ocl_printf(t, ", IN(u%u)", i);
    ocl_printf(t, "%s\n#define TAIL_GET ", n ? ", const numbers constants" : "");
    for (uint32_t i = 0; i < c->n_in; i++)
        if (tail->read[i]) ocl_printf(t, "GET(T0, u%u); ", i);
    ocl_append(t, "\n#define TAIL(v, i) tail((v), (i)");
    for (uint32_t i = 0; i < c->n_in; i++)
        if (tail->read[i]) ocl_printf(t, ", u%u", i);
    ocl_printf(t, "%s)\n", n ? ", constants" : "");
    t->failed |= tail->body.failed;
}

void ocl_tail_pass(ocl_plan *p, ocl_launch *l, const ocl_tail *tail)
{
    for (uint32_t i = 0; i < tail->call->n_in; i++)
        if (tail->read[i]) ocl_in(p, l, i);
    ocl_pass_constants(p, l, ocl_number(tail->call->out[0]->dtype), &tail->numbers);
}

static tn_status led_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    ocl_plan *p = ocl_begin(k);
    ocl_tail tail = {.call = c, .body = {.host = k->host}};
    describe(&tail, c);
    ocl_product(p, info, c->parts[0].call, &tail);
    for (uint32_t i = c->parts[0].call->n_in; i < c->n_in; i++)
        if (tail.read[i]) ocl_inplace(c, info, i);
    ocl_text_free(&tail.body);
    return ocl_end(p);
}

const tn_kernel_row ocl_led[] = {
    {.op = "_fused",
     .dtypes = TN_FLOATS,
     .flags = OCL_FLAGS,
     .impl = "opencl",
     .state_size = sizeof(ocl_plan),
     .cannot = led_cannot,
     .setup = led_setup,
     .run = ocl_run,
     .teardown = ocl_teardown},
    {0},
};
