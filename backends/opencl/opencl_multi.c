// backends/opencl/opencl_multi.c: several calls of one formula as one launch, such as the updates
// of all parameters of a network, each of which takes less time than a launch does.
//
// The kernel's arguments are the tensors of all calls. A work item finds out whose elements it
// works on, and has that call's tensors, length and constants then.
#include "opencl_map.h"

// The formulas of a call, and which constants each part has: parts with the same ones share them.
typedef struct several {
    ocl_formula f;                    // of part 0; the others differ in their constants only
    ocl_numbers sets[OCL_MOST_PARTS]; // of constants
    uint32_t set_of[OCL_MOST_PARTS];  // by part
    uint32_t n_sets;
} several;

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool is_alike(const ocl_formula *a, const ocl_formula *b)
{
    bool same = a->n_in == b->n_in && a->n_constants == b->n_constants && a->written == b->written;
    same =
        same && is_same_text(ocl_text_of(a), ocl_text_of(b)) && is_same_text(a->before, b->before);
    for (uint32_t i = 0; same && i < a->n_in; i++)
        same = is_same_text(a->operand[i], b->operand[i]);
    for (uint32_t i = 0; same && i < a->n_constants; i++)
        same = is_same_text(a->constant_name[i], b->constant_name[i]);
    return same;
}

// Part p's set of constants: one that is there, or a new one.
static void take_set(several *s, uint32_t p, const ocl_formula *f, tn_dtype dtype)
{
    ocl_numbers *mine = &s->sets[s->n_sets];
    uint32_t i = 0;
    mine->n = 0;
    ocl_take_constants(mine, f, dtype);
    while (i < s->n_sets && memcmp(s->sets[i].v, mine->v, mine->n * sizeof *mine->v) != 0) i++;
    s->set_of[p] = i;
    if (i == s->n_sets) s->n_sets++;
}

static const char *part_cannot(const tn_call *c, uint32_t p, const ocl_formula *f)
{
    const tn_call *part = c->parts[p].call, *first = c->parts[0].call;
    if (part->n_out != 1 || c->out_parts[p] != p) return "takes calls of one result each";
    if (part->n_in != first->n_in || part->n_in > OCL_OPERANDS) return "too many inputs";
    if (part->out[0]->dtype != first->out[0]->dtype) return "the calls have other dtypes";
    for (uint32_t i = 0; i < part->n_in; i++)
        if (part->in[i]->dtype != first->in[i]->dtype) return "the calls have other dtypes";
    for (uint32_t i = 0; i < f->n_in; i++)
        if (f->operand[i] && part->in[i]->size != part->out[0]->size)
            return "an input has another size than the result";
    return NULL;
}

static const char *find_formulas(const tn_call *c, several *s)
{
    if (c->n_parts > OCL_MOST_PARTS || c->n_out != c->n_parts) return "too many calls, or results";
    s->n_sets = 0;
    for (uint32_t p = 0; p < c->n_parts; p++) {
        const tn_call *part = c->parts[p].call;
        ocl_formula f;
        if (!ocl_formula_of(part, p ? &f : &s->f)) return "the operator has no formula";
        if (p && !is_alike(&f, &s->f)) return "the calls have different formulas";
        const char *why = part_cannot(c, p, &s->f);
        if (why) return why;
        take_set(s, p, p ? &f : &s->f, tn_call_main_dtype(part));
    }
    const size_t numbers = 8 * (size_t)s->n_sets * s->f.n_constants;
    const size_t tensors = 16 * ((size_t)c->n_in + c->n_out);
    return tensors + numbers + 4 * (size_t)c->n_parts > OCL_MOST_ARGUMENTS
               ? "more arguments than every device takes"
               : NULL;
}

static const char *multi_cannot(const tn_call *c)
{
    several s;
    return find_formulas(c, &s);
}

// ------------------------------------------------------------------ text

static void put_arguments(ocl_text *t, const tn_call *c, const several *s)
{
    const uint32_t n = s->f.n_constants;
    if (n) ocl_printf(t, "typedef struct numbers { A c[%u]; } numbers;\n", n);
    ocl_append(t, "__kernel void multi(");
    for (uint32_t p = 0; p < c->n_parts; p++) {
        for (uint32_t i = 0; i < s->f.n_in; i++)
            if (s->f.operand[i]) ocl_printf(t, "OUT(i%u_%u), ", i, p);
        ocl_printf(t, "OUT(o_%u),\n    ", p);
    }
    for (uint32_t i = 0; n && i < s->n_sets; i++) ocl_printf(t, "const numbers k_%u, ", i);
    for (uint32_t p = 0; p < c->n_parts; p++)
        ocl_printf(t, "const int n_%u%s", p, p + 1 < c->n_parts ? ", " : ")\n{\n");
}

// Declares `part`, the number of the part that the work item is of, and `at`, its number there.
static void put_search(ocl_text *t, const tn_call *c)
{
    ocl_append(t, "    int part = 0;\n    long at = get_global_id(0);\n");
    for (uint32_t p = 0; p + 1 < c->n_parts; p++)
        ocl_printf(t, "    if (part == %u && at >= ITEMS(n_%u)) { at -= ITEMS(n_%u); part++; }\n",
                   p, p, p);
}

static void put_tensor(ocl_text *t, const char *to, const char *from, uint32_t p)
{
    ocl_printf(t, " %s_p = %s_%u_p; %s_o = %s_%u_o;", to, from, p, to, from, p);
}

// Declares the tensors, n and k, and gives them what they are for `part`.
static void put_choice(ocl_text *t, const tn_call *c, const several *s)
{
    char name[16];
    for (uint32_t i = 0; i < s->f.n_in; i++)
        if (s->f.operand[i]) ocl_printf(t, "    __global uchar *i%u_p; ulong i%u_o;\n", i, i);
    ocl_append(t, "    __global uchar *o0_p; ulong o0_o;\n    int n;\n");
    if (s->f.n_constants) ocl_append(t, "    numbers k = k_0;\n");
    ocl_append(t, "    switch (part) {\n");
    for (uint32_t p = 0; p < c->n_parts; p++) {
        ocl_printf(t, p + 1 < c->n_parts ? "    case %u:" : "    default:", p);
        for (uint32_t i = 0; i < s->f.n_in; i++) {
            snprintf(name, sizeof name, "i%u", i);
            if (s->f.operand[i]) put_tensor(t, name, name, p);
        }
        put_tensor(t, "o0", "o", p);
        ocl_printf(t, " n = n_%u;", p);
        if (s->set_of[p]) ocl_printf(t, " k = k_%u;", s->set_of[p]);
        ocl_append(t, " break;\n");
    }
    ocl_append(t, "    }\n");
}

static void put_multi(ocl_text *t, const tn_call *c, const several *s)
{
    const tn_call *first = c->parts[0].call;
    const tn_dtype number = ocl_number(tn_call_main_dtype(first));
    ocl_put_types(t, first, number);
    ocl_vocabulary(t, number, ocl_text_of(&s->f));
    ocl_put_each(t, "at");
    put_arguments(t, c, s);
    put_search(t, c);
    put_choice(t, c, s);
    ocl_append(t, "EACH(i, n) {\n");
    ocl_put_element(t, first, &s->f, NULL);
    ocl_append(t, "}\n}\n");
}

// ------------------------------------------------------------------ the plan

// Result p may be written over inputs of its own part that are read where it is written.
static void permit_inplace(const tn_call *c, const several *s, tn_kernel_info *info)
{
    for (uint32_t i = 0; i < s->f.n_in && i < 2; i++)
        for (uint32_t p = 0; p < c->n_parts && info->n_inplace < TN_MAX_INPLACE; p++) {
            const uint32_t in = (uint32_t)c->parts[p].from[i];
            if (s->f.operand[i] && c->in[in]->bytes == c->out[p]->bytes)
                info->inplace[info->n_inplace++] = (tn_inplace){in, p};
        }
}

static tn_status multi_setup(tn_sdk_kernel *k, tn_kernel_info *info)
{
    const tn_call *c = k->call;
    ocl_plan *p = ocl_begin(k);
    several s;
    const char *why = find_formulas(c, &s);
    if (why) return tn_fail(k->host, TN_E_INTERNAL, "%s: %s", c->name, why);
    ocl_text t = {.host = k->host};
    put_multi(&t, c, &s);
    ocl_launch *l = ocl_add_text(p, &t, "multi");
    int64_t items = 0;
    for (uint32_t q = 0; q < c->n_parts; q++) {
        for (uint32_t i = 0; i < s.f.n_in; i++)
            if (s.f.operand[i]) ocl_in(p, l, (uint32_t)c->parts[q].from[i]);
        ocl_out(p, l, q);
    }
    const tn_dtype number = ocl_number(tn_call_main_dtype(c->parts[0].call));
    for (uint32_t i = 0; i < s.n_sets; i++) ocl_pass_constants(p, l, number, &s.sets[i]);
    for (uint32_t q = 0; q < c->n_parts; q++) {
        ocl_int(p, l, c->out[q]->size);
        items += ocl_items(p, c->out[q]->size);
    }
    ocl_over_items(p, l, items);
    permit_inplace(c, &s, info);
    return ocl_end(p);
}

const tn_kernel_row ocl_multis[] = {
    {.op = "_multi",
     .dtypes = TN_ALL_DTYPES,
     .flags = OCL_FLAGS,
     .impl = "generated, several calls",
     .state_size = sizeof(ocl_plan),
     .cannot = multi_cannot,
     .setup = multi_setup,
     .run = ocl_run,
     .teardown = ocl_teardown},
    {0},
};
