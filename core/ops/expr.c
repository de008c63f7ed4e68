// core/ops/expr.c: turns the text of a derivative into builder calls.
//
// The rows of <tenon/elementwise.h> hold derivatives as C expressions. A text is parsed into a
// small tree whose constants are folded (so that a gradient times 1 is the gradient itself), and
// the tree is emitted as operators: scalar forms where one side is a number, broadcast forms where
// the sides have different shapes.
#include <ctype.h>
#include <math.h>

#include "core/base/base.h"
#include "core/ops/ops.h"

enum {
    MOST_NODES = 48, // the longest derivative has 9
    MOST_DEPTH = 16  // of parentheses and signs
};

typedef enum node_kind { NUMBER, VALUE, NEGATE, CALL1, CALL2 } node_kind;

typedef struct node {
    node_kind kind;
    double number;        // NUMBER
    tn_sym sym;           // VALUE
    uint32_t space;       // of the result; 0 for numbers
    uint8_t op;           // index in unaries or binaries
    const struct node *l; // operands
    const struct node *r;
} node;

typedef struct parser {
    const char *at;
    const tni_letters *letters;
    const tn_builder *b;
    const char *text;
    uint32_t n_nodes, depth;
    bool failed;
    node nodes[MOST_NODES];
} parser;

// ------------------------------------------------------------------ what can be called

static double sign_of(double x)
{
    return (x > 0) - (x < 0);
}
static double rsqrt_of(double x)
{
    return 1 / sqrt(x);
}
static double square_of(double x)
{
    return x * x;
}

static const struct {
    const char *name; // in derivatives and as operator
    double (*fold)(double);
} unaries[] = {
    {"exp", exp},     {"log", log},     {"sqrt", sqrt},    {"rsqrt", rsqrt_of},
    {"sin", sin},     {"cos", cos},     {"tan", tan},      {"sinh", sinh},
    {"cosh", cosh},   {"tanh", tanh},   {"sign", sign_of}, {"square", square_of},
    {"floor", floor}, {"ceil", ceil},   {"round", round},  {"trunc", trunc},
    {"erf", erf},     {"expm1", expm1}, {"log1p", log1p},
};

static double fold_add(double a, double b)
{
    return a + b;
}
static double fold_sub(double a, double b)
{
    return a - b;
}
static double fold_mul(double a, double b)
{
    return a * b;
}
static double fold_div(double a, double b)
{
    return a / b;
}
static double fold_gt(double a, double b)
{
    return a > b;
}
static double fold_ge(double a, double b)
{
    return a >= b;
}
static double fold_lt(double a, double b)
{
    return a < b;
}
static double fold_le(double a, double b)
{
    return a <= b;
}
static double fold_eq(double a, double b)
{
    return a == b;
}
static double fold_ne(double a, double b)
{
    return a != b;
}

// An operator of two values, with a number on the right, with a number on the left.
enum { ADD, SUB, MUL, DIV };
static const struct {
    const char *name, *plain, *scalar, *rscalar, *broadcast;
    double (*fold)(double, double);
} binaries[] = {
    [ADD] = {"+", "elemwise_add", "_plus_scalar", "_plus_scalar", "broadcast_add", fold_add},
    [SUB] = {"-", "_sub", "_minus_scalar", "_rminus_scalar", "broadcast_sub", fold_sub},
    [MUL] = {"*", "_mul", "_mul_scalar", "_mul_scalar", "broadcast_mul", fold_mul},
    [DIV] = {"/", "_div", "_div_scalar", "_rdiv_scalar", "broadcast_div", fold_div},
    {"pow", "_power", "_power_scalar", "_rpower_scalar", "broadcast_power", pow},
    {"gt", "_greater", "_greater_scalar", "_lesser_scalar", "broadcast_greater", fold_gt},
    {"ge", "_greater_equal", "_greater_equal_scalar", "_lesser_equal_scalar",
     "broadcast_greater_equal", fold_ge},
    {"lt", "_lesser", "_lesser_scalar", "_greater_scalar", "broadcast_lesser", fold_lt},
    {"le", "_lesser_equal", "_lesser_equal_scalar", "_greater_equal_scalar",
     "broadcast_lesser_equal", fold_le},
    {"eq", "_equal", "_equal_scalar", "_equal_scalar", "broadcast_equal", fold_eq},
    {"ne", "_not_equal", "_not_equal_scalar", "_not_equal_scalar", "broadcast_not_equal", fold_ne},
};
enum {
    N_UNARIES = sizeof unaries / sizeof *unaries,
    N_BINARIES = sizeof binaries / sizeof *binaries
};

// ------------------------------------------------------------------ the tree

static const node *refuse(parser *p, const char *why)
{
    char text[TN_TEXT];
    if (!p->failed) {
        tn_text(text, "%s: derivative '%s': %s", p->b->op->name, p->text, why);
        p->b->fail(p->b->ctx, TN_E_NO_GRADIENT, text);
    }
    p->failed = true;
    return &p->nodes[0];
}

static const node *add_node(parser *p, node n)
{
    if (p->n_nodes == MOST_NODES) return refuse(p, "is too long");
    p->nodes[p->n_nodes] = n;
    return &p->nodes[p->n_nodes++];
}

static const node *make_number(parser *p, double v)
{
    return add_node(p, (node){.kind = NUMBER, .number = v});
}

static bool is_number(const node *n, double v)
{
    return n->kind == NUMBER && n->number == v;
}

static const node *make_negate(parser *p, const node *l)
{
    if (l->kind == NUMBER) return make_number(p, -l->number);
    if (l->kind == NEGATE) return l->l;
    return add_node(p, (node){.kind = NEGATE, .space = l->space, .l = l});
}

static const node *make_unary(parser *p, uint8_t op, const node *l)
{
    if (l->kind == NUMBER) return make_number(p, unaries[op].fold(l->number));
    return add_node(p, (node){.kind = CALL1, .space = l->space, .op = op, .l = l});
}

// x + 0, x - 0, x · 1, x / 1, x ** 1 are x; 0 · x is 0, so that b · a ** (b - 1) is 0 for b = 0.
static const node *make_binary(parser *p, uint8_t op, const node *l, const node *r)
{
    const bool is_power = binaries[op].fold == pow;
    if (l->kind == NUMBER && r->kind == NUMBER)
        return make_number(p, binaries[op].fold(l->number, r->number));
    if ((op == MUL && (is_number(l, 0) || is_number(r, 0))) || (op == DIV && is_number(l, 0)))
        return make_number(p, 0);
    if (is_power && is_number(r, 0)) return make_number(p, 1);
    if ((op == ADD || op == SUB) && is_number(r, 0)) return l;
    if ((op == MUL || op == DIV || is_power) && is_number(r, 1)) return l;
    if ((op == ADD && is_number(l, 0)) || (op == MUL && is_number(l, 1))) return r;
    if (op == SUB && is_number(l, 0)) return make_negate(p, r);
    return add_node(p,
                    (node){.kind = CALL2, .space = l->space | r->space, .op = op, .l = l, .r = r});
}

// ------------------------------------------------------------------ the parser

static const node *parse_sum(parser *p);

static void skip(parser *p)
{
    while (*p->at == ' ') p->at++;
}

static bool take(parser *p, char c)
{
    skip(p);
    if (*p->at != c) return false;
    p->at++;
    return true;
}

static const node *parse_letter(parser *p, char letter)
{
    const tni_letters *t = p->letters;
    const tni_operand *o = NULL;
    switch (letter) {
    case 'a': o = &t->a; break;
    case 'b': o = &t->b; break;
    case 'x': o = &t->x; break;
    case 'y': o = &t->y; break;
    default: return refuse(p, "has a name that is no operand");
    }
    if (!o->sym) return make_number(p, o->number);
    return add_node(p, (node){.kind = VALUE, .sym = o->sym, .space = o->space});
}

// name(…): C(number), a function of one, or of two.
static const node *parse_call(parser *p, const char *name)
{
    const node *l = parse_sum(p);
    const bool two = take(p, ',');
    const node *r = two ? parse_sum(p) : NULL;
    if (!take(p, ')')) return refuse(p, "lacks a )");
    if (!two && strcmp(name, "C") == 0) return l;
    for (uint8_t i = 0; !two && i < N_UNARIES; i++)
        if (strcmp(unaries[i].name, name) == 0) return make_unary(p, i, l);
    for (uint8_t i = 0; two && i < N_BINARIES; i++)
        if (strcmp(binaries[i].name, name) == 0) return make_binary(p, i, l, r);
    char why[80];
    snprintf(why, sizeof why, "there is no operator for %.32s()", name);
    return refuse(p, why);
}

static const node *parse_name(parser *p)
{
    char name[16];
    size_t n = 0;
    while (isalnum((unsigned char)*p->at) || *p->at == '_') {
        if (n + 1 == sizeof name) return refuse(p, "has a name that is too long");
        name[n++] = *p->at++;
    }
    name[n] = 0;
    if (take(p, '(')) return parse_call(p, name);
    return n == 1 ? parse_letter(p, name[0]) : refuse(p, "has a name that is no operand");
}

// Every way down passes here, so this is where depth is limited.
static const node *parse_atom(parser *p);

static const node *parse_atom_inside(parser *p)
{
    skip(p);
    if (take(p, '-')) return make_negate(p, parse_atom(p));
    if (take(p, '(')) {
        const node *n = parse_sum(p);
        return take(p, ')') ? n : refuse(p, "lacks a )");
    }
    if (isdigit((unsigned char)*p->at)) {
        char *end;
        const double v = tni_strtod(p->at, &end);
        p->at = end;
        return make_number(p, v);
    }
    if (isalpha((unsigned char)*p->at)) return parse_name(p);
    return refuse(p, "has a character out of place");
}

static const node *parse_atom(parser *p)
{
    if (p->depth == MOST_DEPTH) return refuse(p, "is nested too deep");
    p->depth++;
    const node *n = parse_atom_inside(p);
    p->depth--;
    return n;
}

static const node *parse_product(parser *p)
{
    const node *n = parse_atom(p);
    for (;;) {
        if (take(p, '*'))
            n = make_binary(p, MUL, n, parse_atom(p));
        else if (take(p, '/'))
            n = make_binary(p, DIV, n, parse_atom(p));
        else
            return n;
        if (p->failed) return n;
    }
}

static const node *parse_sum(parser *p)
{
    const node *n = parse_product(p);
    for (;;) {
        if (take(p, '+'))
            n = make_binary(p, ADD, n, parse_product(p));
        else if (take(p, '-'))
            n = make_binary(p, SUB, n, parse_product(p));
        else
            return n;
        if (p->failed) return n;
    }
}

// ------------------------------------------------------------------ emission

static tn_sym emit_pair(const parser *p, uint8_t op, tni_operand l, tni_operand r)
{
    if (!r.sym) return tni_call_scalar(p->b, binaries[op].scalar, l.sym, r.number);
    if (!l.sym && op == DIV && l.number == 1) return tni_call(p->b, "reciprocal", r.sym);
    if (!l.sym) return tni_call_scalar(p->b, binaries[op].rscalar, r.sym, l.number);
    const bool same = l.space == r.space;
    return tni_call2(p->b, same ? binaries[op].plain : binaries[op].broadcast, l.sym, r.sym);
}

// The recursion is as deep as the tree, which has at most MOST_NODES nodes.
static tni_operand emit(const parser *p, const node *n)
{
    tni_operand out = {.number = n->number, .space = n->space};
    switch (n->kind) {
    case NUMBER: break;
    case VALUE: out.sym = n->sym; break;
    case NEGATE: out.sym = tni_call(p->b, "negative", emit(p, n->l).sym); break;
    case CALL1: out.sym = tni_call(p->b, unaries[n->op].name, emit(p, n->l).sym); break;
    case CALL2: {
        const tni_operand l = emit(p, n->l);
        const tni_operand r = emit(p, n->r);
        out.sym = emit_pair(p, n->op, l, r);
        break;
    }
    }
    return out;
}

// dy · n: factors are applied to dy one by one, so that dy · (1 / b) becomes dy / b.
static tni_operand emit_times(const parser *p, tni_operand dy, const node *n)
{
    tni_operand out = {.space = dy.space | n->space};
    if (n->kind == NEGATE) {
        out.sym = tni_call(p->b, "negative", emit_times(p, dy, n->l).sym);
    } else if (n->kind == CALL2 && n->op == DIV) {
        out.sym = emit_pair(p, DIV, emit_times(p, dy, n->l), emit(p, n->r));
    } else if (n->kind != NUMBER) {
        out.sym = emit_pair(p, MUL, dy, emit(p, n));
    } else if (n->number == 1) {
        out.sym = dy.sym;
    } else if (n->number == -1) {
        out.sym = tni_call(p->b, "negative", dy.sym);
    } else if (n->number != 0) {
        out.sym = tni_call_scalar(p->b, "_mul_scalar", dy.sym, n->number);
    }
    return out;
}

tn_sym tni_derive(const tn_builder *b, const char *text, tni_operand dy, const tni_letters *at)
{
    parser p = {.at = text, .letters = at, .b = b, .text = text};
    const node *n = parse_sum(&p);
    skip(&p);
    if (!p.failed && *p.at) refuse(&p, "has something behind its end");
    if (p.failed || !dy.sym) return 0;
    return emit_times(&p, dy, n).sym;
}
