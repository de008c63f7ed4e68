// core/graph/fields.c: the one place that knows how the argument struct of tn_apply() is laid out.
//
// In order, with natural C alignment: uint32_t size; each declared input as tn_symbol (a variadic
// one as tn_symbols); each parameter but the one that counts the variadic inputs; const char *name;
// tn_attrs attrs. A parameter is
//   BOOL   bool if its default is False or it has none, else tn_opt_bool
//   I64    int64_t if it is required, or its default is 0, or 0 is outside its range (0 is then
//          "not given"); else tn_opt_i64, also where None or 0 apart from the default is a value
//   F64    double if it is required, else tn_opt_f64
//   ENUM   int: 0 not given, index of the choice + 1     STR  const char *
//   I64S   tn_ints     F64S  tn_reals                    DTYPE tn_dtype
#include "core/graph/schema.h"

// Size and alignment of a C type, by its text.
typedef struct c_type {
    const char *text;
    uint32_t size, align;
} c_type;
#define C_TYPE(t)                                       \
    (c_type)                                            \
    {                                                   \
#t, (uint32_t)sizeof(t), (uint32_t) _Alignof(t) \
    }
#define C_STRING                                                              \
    (c_type)                                                                  \
    {                                                                         \
        "const char *", (uint32_t)sizeof(char *), (uint32_t) _Alignof(char *) \
    }

static bool is_zero(const char *def)
{
    return strcmp(def, "0") == 0 || strcmp(def, "False") == 0 || strcmp(def, "false") == 0;
}

static bool excludes_zero(const tni_param *p)
{
    return p->lo > 0 || p->hi < 0 || (p->lo == 0 && p->lo_open) || (p->hi == 0 && p->hi_open);
}

static c_type type_of_i64(const tni_param *p)
{
    if (!p->decl.def) return C_TYPE(int64_t);
    if (p->decl.flags & (TN_PF_GIVEN | TN_PF_NONE)) return C_TYPE(tn_opt_i64);
    if (is_zero(p->decl.def) || excludes_zero(p)) return C_TYPE(int64_t);
    return C_TYPE(tn_opt_i64);
}

static c_type type_of(const tni_param *p)
{
    const char *def = p->decl.def;
    switch (p->decl.type) {
    case TN_P_BOOL: return !def || is_zero(def) ? C_TYPE(bool) : C_TYPE(tn_opt_bool);
    case TN_P_I64: return type_of_i64(p);
    case TN_P_F64: return def ? C_TYPE(tn_opt_f64) : C_TYPE(double);
    case TN_P_ENUM: return C_TYPE(int);
    case TN_P_I64S: return C_TYPE(tn_ints);
    case TN_P_F64S: return C_TYPE(tn_reals);
    case TN_P_DTYPE: return C_TYPE(tn_dtype);
    default: return C_STRING;
    }
}

// Words that cannot be fields: of C and C++, and the fields that every struct has.
static bool is_reserved(const char *name)
{
    static const char *const words[] = {
        "size",     "name",     "attrs",    "auto",     "bool",     "break",     "case",
        "catch",    "char",     "class",    "const",    "continue", "default",   "delete",
        "do",       "double",   "else",     "enum",     "explicit", "export",    "extern",
        "false",    "float",    "for",      "friend",   "goto",     "if",        "inline",
        "int",      "long",     "new",      "operator", "private",  "protected", "public",
        "register", "restrict", "return",   "short",    "signed",   "sizeof",    "static",
        "struct",   "switch",   "template", "this",     "throw",    "true",      "try",
        "typedef",  "typename", "union",    "unsigned", "using",    "virtual",   "void",
        "volatile", "while"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i], name) == 0) return true;
    return false;
}

// Puts a field behind the last one.
static void add(tni_op *op, tni_field *fields, tni_field f, c_type type)
{
    const tni_field *last = op->n_fields ? &fields[op->n_fields - 1] : NULL;
    const uint32_t end = last ? last->offset + last->size : 0;
    f.type = type.text;
    f.offset = (end + type.align - 1) / type.align * type.align;
    f.size = type.size;
    fields[op->n_fields++] = f;
}

static const char *field_name(tni_arena *arena, const char *name)
{
    return is_reserved(name) ? tni_printf(arena, "%s_", name) : name;
}

bool tni_fields_lay(tni_op *op, tni_arena *arena)
{
    tni_field *fields = tni_alloc(arena, (3 + op->n_in + op->n_params) * sizeof *fields);
    if (!fields) return false;
    op->fields = fields;
    op->n_fields = 0;
    add(op, fields, (tni_field){TNI_FIELD_SIZE, .name = "size"}, C_TYPE(uint32_t));
    for (uint32_t i = 0; i < op->n_in; i++) {
        const bool list = op->in[i].flags & TN_PORT_VARIADIC;
        const char *name = field_name(arena, op->in[i].name);
        if (!name) return false;
        add(op, fields, (tni_field){TNI_FIELD_INPUT, .index = i, .name = name},
            list ? C_TYPE(tn_symbols) : C_TYPE(tn_symbol));
    }
    for (uint32_t i = 0; i < op->n_params; i++) {
        const char *name = field_name(arena, op->params[i].decl.name);
        if (!name) return false;
        if ((int32_t)i == op->count_param) continue;
        add(op, fields, (tni_field){TNI_FIELD_PARAM, .index = i, .name = name},
            type_of(&op->params[i]));
    }
    add(op, fields, (tni_field){TNI_FIELD_NAME, .name = "name"}, C_STRING);
    add(op, fields, (tni_field){TNI_FIELD_ATTRS, .name = "attrs"}, C_TYPE(tn_attrs));
    return true;
}

const tni_field *tni_args_field(const tni_op *op, uint32_t index)
{
    return index < op->n_fields ? &op->fields[index] : NULL;
}
