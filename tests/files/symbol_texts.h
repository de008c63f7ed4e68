// tests/files/symbol_texts.h: texts of symbol files, and what comes of reading them.
#ifndef TENON_TESTS_SYMBOL_TEXTS_H
#define TENON_TESTS_SYMBOL_TEXTS_H

#include "tests/files/mxnet_ops.h"

static inline tn_symbol parse(const char *text)
{
    return tn_symbol_parse(bench.g, text, strlen(text));
}

// A file of version 1.5 around these nodes (JSON text). arg_nodes and heads likewise.
static inline const char *file_of(const char *nodes, const char *arg_nodes, const char *heads,
                                  const char *version)
{
    static char text[8192];
    snprintf(text, sizeof text,
             "{\"nodes\": [%s], \"arg_nodes\": [%s], \"heads\": [%s], \"attrs\": "
             "{\"mxnet_version\": [\"int\", %s]}}",
             nodes, arg_nodes, heads, version);
    return text;
}

#define VAR(name) "{\"op\": \"null\", \"name\": \"" name "\", \"inputs\": []}"
#define RELU(name, in)                                                                       \
    "{\"op\": \"Activation\", \"name\": \"" name "\", \"attrs\": {\"act_type\": \"relu\"}, " \
    "\"inputs\": [" in "]}"

// The text is refused with that status and a message that has `part`; the graph stays as it was.
static inline void refuses(const char *text, tn_status status, const char *part)
{
    const size_t before = tn_graph_num_nodes(bench.g);
    CU_ASSERT_EQUAL(parse(text).node, 0);
    CU_ASSERT_EQUAL(tn_graph_status(bench.g), status);
    TN_CHECK_HAS(tn_graph_error(bench.g), part);
    CU_ASSERT_EQUAL(tn_graph_num_nodes(bench.g), before);
    tn_graph_forgive(bench.g);
}

static inline const char *attr_of(tn_symbol s, const char *node, const char *key)
{
    const tn_attr_dict_result dict = tn_attr_dict(bench.g, s);
    for (size_t i = 0; i < dict.n; i++)
        for (size_t k = 0; k < dict.v[i].attrs.n && !strcmp(dict.v[i].node, node); k++)
            if (!strcmp(dict.v[i].attrs.v[k].key, key)) return dict.v[i].attrs.v[k].value;
    return NULL;
}

#endif
