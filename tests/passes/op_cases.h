// tests/passes/op_cases.h: what the shape and dtype rules of one call make of what is known.
//
// A case is text: "(2,3) ? -> (?,4)" are two inputs and an output, "?" is unknown. What is wanted
// is text of the same kind, or "!" and a part of the error.
#ifndef TENON_TESTS_OP_CASES_H
#define TENON_TESTS_OP_CASES_H

#include "extra_ops.h"

typedef struct op_case {
    const char *op, *params, *given, *wanted;
} op_case;

enum { MOST_WORDS = 24 };

// "(2,?,4)" or "?" → shape; "float32" or "?" → dtype.
static inline tn_shape shape_word(const char *word)
{
    tn_shape s = {0};
    if (*word == '?') return (tn_shape){.ndim = -1};
    for (word++; *word && *word != ')'; word++) {
        char *end = (char *)word + 1;
        if (*word == ',') continue;
        s.dim[s.ndim++] = *word == '?' ? -1 : strtoll(word, &end, 10);
        word = end - 1;
    }
    return s;
}

// Words before and behind "->", cut in place.
static inline size_t cut_words(char *text, const char *words[MOST_WORDS], size_t *n_in)
{
    size_t n = 0;
    char *rest = NULL;
    *n_in = 0;
    for (char *w = strtok_r(text, " ", &rest); w && n < MOST_WORDS; w = strtok_r(NULL, " ", &rest))
        if (strcmp(w, "->") == 0)
            *n_in = n;
        else
            words[n++] = w;
    return n;
}

static inline tn_status tell(tni_types *t, uint32_t what, uint32_t value, const char *word)
{
    if (what == TNI_INFER_SHAPES) {
        const tn_shape s = shape_word(word);
        return tni_types_merge_shape(t, value, &s);
    }
    return *word == '?' ? TN_OK : tni_types_merge_dtype(t, value, tn_dtype_find(word));
}

static inline void show(tni_text *out, const tni_types *t, uint32_t what, uint32_t value)
{
    if (what == TNI_INFER_SHAPES)
        tni_text_shape(out, tni_types_shape(t, value));
    else
        tni_text_add(out, t->dtype[value] ? tn_dtype_name(t->dtype[value]) : "?");
}

// Everything that is known in the end, as text in the form of a case.
static inline void show_all(tni_text *out, const tni_types *t, uint32_t what, const tni_node *node)
{
    for (uint32_t i = 0; i < node->n_in; i++) {
        show(out, t, what, tni_value(bench.g, node->in[i]));
        tni_text_add(out, " ");
    }
    tni_text_add(out, "->");
    for (uint32_t i = 0; i < node->n_out; i++) {
        tni_text_add(out, " ");
        show(out, t, what, node->value0 + i);
    }
}

// Infers the call of one case; the result, or "!" and the error, is added to out.
static inline void infer_case(const op_case *c, uint32_t what, tni_text *out)
{
    char text[512];
    const char *words[MOST_WORDS];
    tni_entry in[MOST_WORDS];
    uint32_t ids[MOST_WORDS + 1];
    size_t n_in = 0;
    tni_types types;
    snprintf(text, sizeof text, "%s", c->given);
    const size_t n = cut_words(text, words, &n_in);
    tn_graph_free(bench.g);
    bench.g = tn_graph_new(bench.env);
    for (size_t i = 0; i < n_in; i++)
        in[i] = (tni_entry){tni_node_add(bench.g, &(tni_node_spec){.name = "x"}), 0};
    const tni_entry y = tni_build(bench.g, NULL, c->op, c->params, in, (uint32_t)n_in, "op", 0);
    tn_status s = tn_graph_status(bench.g);
    CU_ASSERT_FATAL(tni_types_init(&types) && tni_types_grow(&types, bench.g));
    for (uint32_t i = 0; i < y.node; i++) ids[i] = i + 1;
    for (size_t i = 0; i < n && !s; i++) {
        const uint32_t value = i < n_in
                                   ? tni_value(bench.g, in[i])
                                   : tni_node_at(bench.g, y.node)->value0 + (uint32_t)(i - n_in);
        s = tell(&types, what, value, words[i]);
    }
    if (!s) s = tni_infer(bench.g, &types, ids, y.node, what);
    if (s)
        tni_text_printf(out, "!%s", tn_graph_error(bench.g));
    else
        show_all(out, &types, what, tni_node_at(bench.g, y.node));
    tni_types_free(&types);
}

static inline void check_op_cases(int line, const char *file, uint32_t what, const op_case *cases,
                                  size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const op_case *c = &cases[i];
        tni_text got = {0}, wanted = {0};
        tni_text_printf(&got, "%s(%s) %s: ", c->op, c->params ? c->params : "", c->given);
        tni_text_add(&wanted, got.s);
        infer_case(c, what, &got);
        tni_text_add(&wanted, c->wanted);
        if (*c->wanted == '!')
            tn_check_has(line, file, got.s, c->wanted + 1);
        else
            tn_check_str(line, file, got.s, wanted.s);
        tni_text_free(&got);
        tni_text_free(&wanted);
    }
}

// OP_SHAPES({"dot", NULL, "(2,3) (3,4) -> ?", "(2,3) (3,4) -> (2,4)"}, …)
#define OP_SHAPES(...)                                                                   \
    check_op_cases(__LINE__, __FILE__, TNI_INFER_SHAPES, (const op_case[]){__VA_ARGS__}, \
                   sizeof((const op_case[]){__VA_ARGS__}) / sizeof(op_case))
#define OP_DTYPES(...)                                                                   \
    check_op_cases(__LINE__, __FILE__, TNI_INFER_DTYPES, (const op_case[]){__VA_ARGS__}, \
                   sizeof((const op_case[]){__VA_ARGS__}) / sizeof(op_case))

#endif
