/*
 * template/syntax.h - tokens and the parse tree, and who makes them.
 *
 *     source --lex.c--> list of tokens --parse_expr.c, parse_stmt.c--> tree of nodes --eval_*.c--> text
 *
 * Names are interned: equal names have equal pointers, so that a variable is found by comparing one
 * word. Tokens and nodes live in the arena of the template and never change after parsing.
 *
 * Errors: PL_EFORMAT "template: line N: ...", PL_ELIMIT, PL_ENOMEM.
 * Limits: TEMPLATE_SOURCE_BYTES_MAX, TEMPLATE_TREE_BYTES_MAX, TEMPLATE_PARSE_DEPTH_MAX.
 * Source: Jinja 3.1 documentation and behaviour.
 */
#ifndef TEMPLATE_SYNTAX_H
#define TEMPLATE_SYNTAX_H

#include "value.h"

/* ---- tokens ----------------------------------------------------------------------------------- */

enum token_kind {
    TOKEN_EOF,
    TOKEN_DATA,
    TOKEN_VARIABLE_BEGIN,
    TOKEN_VARIABLE_END,
    TOKEN_BLOCK_BEGIN,
    TOKEN_BLOCK_END,
    TOKEN_NAME,
    TOKEN_STRING,
    TOKEN_INTEGER,
    TOKEN_FLOAT,
    TOKEN_ADD,
    TOKEN_SUB,
    TOKEN_MUL,
    TOKEN_DIV,
    TOKEN_FLOORDIV,
    TOKEN_MOD,
    TOKEN_POW,
    TOKEN_TILDE,
    TOKEN_LBRACKET,
    TOKEN_RBRACKET,
    TOKEN_LPAREN,
    TOKEN_RPAREN,
    TOKEN_LBRACE,
    TOKEN_RBRACE,
    TOKEN_EQ,
    TOKEN_NE,
    TOKEN_GT,
    TOKEN_GE,
    TOKEN_LT,
    TOKEN_LE,
    TOKEN_ASSIGN,
    TOKEN_DOT,
    TOKEN_COLON,
    TOKEN_PIPE,
    TOKEN_COMMA,
    TOKEN_SEMICOLON,
};

struct token {
    enum token_kind kind;
    int line;
    const char *text; /* data, name, unescaped string; not NUL-terminated */
    size_t n;         /* bytes */
    int64_t integer;
    struct template_value *wide; /* an integer beyond 64 bits; else NULL */
    double number;
    struct token *next; /* NULL behind TOKEN_EOF */
};

/* *ret: the first token of the list. */
PL_NODISCARD enum pl_status template_lex(struct template_values *values, const char *source,
                                         size_t n, struct token **ret, struct pl_error *err);

/* ---- tree ------------------------------------------------------------------------------------- */

enum node_kind {
    /* expressions */
    NODE_CONST,
    NODE_NAME,
    NODE_LIST,
    NODE_TUPLE,
    NODE_DICT,
    NODE_NOT,
    NODE_NEG,
    NODE_POS,
    NODE_AND,
    NODE_OR,
    NODE_BINARY,
    NODE_CONCAT,
    NODE_COMPARE,
    NODE_CONDITION,
    NODE_ATTRIBUTE,
    NODE_ITEM,
    NODE_SLICE,
    NODE_CALL,
    NODE_FILTER,
    NODE_TEST,
    /* statements */
    NODE_DATA,
    NODE_OUTPUT,
    NODE_IF,
    NODE_FOR,
    NODE_BREAK,
    NODE_CONTINUE,
    NODE_SET,
    NODE_SET_BLOCK,
    NODE_NAMESPACE_REF, /* a target: ns.name */
    NODE_WITH,
    NODE_MACRO,
    NODE_CALL_BLOCK,
    NODE_FILTER_BLOCK,
    NODE_SCOPE, /* generation, block: a body with names of its own */
    NODE_UNSUPPORTED,
};

/* operators of NODE_BINARY and NODE_COMPARE */
enum op_kind {
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_FLOORDIV,
    OP_MOD,
    OP_POW,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_IN,
    OP_NOT_IN,
};

struct name {
    const char *text; /* NUL-terminated; one pointer per spelling */
    size_t n;
    struct template_value *value; /* the same as a string */
    struct name *next;            /* in its bucket */
};

struct argument {
    struct node *value;
    const struct name *keyword; /* NULL: positional */
    enum { ARGUMENT_PLAIN, ARGUMENT_STAR, ARGUMENT_STAR_STAR } star;
    struct argument *next;
};

struct parameter {
    const struct name *name;
    struct node *fallback; /* may be NULL */
    struct parameter *next;
};

struct signature {
    struct parameter *parameters;
    size_t n;
    bool wants_caller; /* the body reads that name */
    bool wants_varargs;
    bool wants_kwargs;
};

struct node {
    enum node_kind kind;
    int line;
    struct node *next; /* sibling in a list */
    union {
        struct template_value *constant; /* CONST; DATA: the text as a string */
        const struct name *name;         /* NAME, UNSUPPORTED */
        struct {
            struct node *first; /* LIST TUPLE CONCAT OUTPUT: items; DICT: key, item, key, item... */
            size_t n;
        } list;
        struct {
            enum op_kind op;
            struct node *left;
            struct node *right;
        } binary; /* BINARY AND OR; NOT NEG POS: left */
        struct {
            enum op_kind op;   /* of this link */
            struct node *left; /* of the first link, else NULL */
            struct node *right;
            struct node *rest; /* next link: its left is this right; may be NULL */
        } compare;
        struct {
            struct node *test;
            struct node *then;
            struct node *other; /* may be NULL; IF: list of statements, elif is an IF in it */
        } condition;            /* CONDITION, IF */
        struct {
            struct node *object;
            const struct name *name; /* ATTRIBUTE */
            struct node *index;      /* ITEM */
        } access;
        struct {
            struct node *object;
            struct node *start, *stop, *step; /* may be NULL */
        } slice;
        struct {
            struct node *callee;           /* CALL; FILTER, TEST: operand, NULL in a filter block */
            const struct name *name;       /* FILTER, TEST */
            const struct builtin *builtin; /* FILTER, TEST; NULL: unknown, fails when reached */
            struct argument *arguments;
            const struct node *unknown; /* the next in the parser's chain */
        } call;
        struct {
            struct node *target;
            struct node *iter;
            struct node *test; /* may be NULL */
            struct node *body;
            struct node *other; /* may be NULL */
            bool recursive;
        } loop;
        struct {
            struct node *target;
            struct node *value;  /* SET */
            struct node *filter; /* SET_BLOCK, FILTER_BLOCK; may be NULL in a set block */
            struct node *body;
        } set;
        struct {
            const struct name *object;
            const struct name *name;
        } ref;
        struct {
            struct node *targets; /* list */
            struct node *values;  /* list, as long */
            struct node *body;
        } with;
        struct {
            const struct name *name; /* NULL: caller of a call block */
            struct signature signature;
            struct node *call; /* CALL_BLOCK */
            struct node *body;
        } macro;
        struct {
            struct node *body;
            struct signature signature; /* which of varargs and kwargs a generation reads: empty */
            bool from_root; /* sees the names of the top level only: an unscoped block */
        } scope;
    } u;
};

#define TEMPLATE_NAME_BUCKETS 256

struct template
{
    struct template_values values; /* arena of everything here */
    struct name *names[TEMPLATE_NAME_BUCKETS];
    struct node *body;            /* list of statements */
    const struct name *name_loop; /* names that the evaluator binds itself */
    const struct name *name_caller;
    const struct name *name_varargs;
    const struct name *name_kwargs;
};

/* ---- parser ----------------------------------------------------------------------------------- */

struct macro_scope {
    struct signature *signature;
    struct macro_scope *outer;
};

struct parser {
    struct template *tmpl;
    struct token *token; /* the next one */
    unsigned depth;
    unsigned loops;             /* for statements around, in this macro */
    unsigned fors;              /* for statements around, in all */
    struct macro_scope *macros; /* macros and call blocks around */
    bool soft;                  /* see template_parse_soften */
    const struct node *unknown; /* the last of a chain of filters and tests that don't exist */
    enum pl_status status;
    struct pl_error *err;
};

/* What template_parse_tuple reads and where it ends. */
struct tuple_rules {
    bool primaries;    /* only names, literals, parentheses: assignment targets */
    bool no_condition; /* no inline if */
    bool parentheses;  /* () is the empty tuple */
    const char *end;   /* a name that ends it; may be NULL */
};

struct node *template_parse_tuple(struct parser *p, const struct tuple_rules *rules);
struct node *template_parse_expression(struct parser *p);
struct node *template_parse_primary(struct parser *p);
struct node *template_parse_unary(struct parser *p, bool with_filters);
struct node *template_parse_const(struct parser *p, int line, struct template_value *value);
struct node *template_parse_binary(struct parser *p, enum node_kind kind, enum op_kind op, int line,
                                   struct node *left); /* its right is the caller's to set */
struct node *template_parse_or(struct parser *p);      /* an expression without inline if */
/* `| name(args) ...`; operand may be NULL; with `bare` the first filter has no bar. */
struct node *template_parse_filters(struct parser *p, struct node *operand, bool bare);

/* Statements up to the end of the template. */
PL_NODISCARD bool template_parse_template(struct parser *p, struct node **ret);

/* Shared by both parser files. Each returns NULL or false after a failure. */
void *template_parse_fail(struct parser *p, int line, const char *fmt, ...) PL_PRINTF(3, 4);
void *template_parse_nomem(struct parser *p);
struct node *template_node_new(struct parser *p, enum node_kind kind, int line);
const struct name *template_intern(struct template *tmpl, const char *text, size_t n);
const struct name *template_parse_name(struct parser *p);
struct token *template_next(struct parser *p);
bool template_token_is(const struct token *token, const char *text);
bool template_at_name(const struct parser *p, const char *text);
bool template_skip_name(struct parser *p, const char *text);
bool template_skip(struct parser *p, enum token_kind kind);
bool template_expect(struct parser *p, enum token_kind kind);
const char *template_token_text(const struct token *token, char *ret, size_t ret_n);

/* Jinja refuses a filter or test that doesn't exist when it compiles, but inside an if statement or an
 * inline if ("soft"), as far as no block with variables of its own begins: there it fails when reached.
 * Sets soft and returns what it was. */
bool template_parse_soften(struct parser *p, bool soft);
void template_parse_note_unknown(struct parser *p, struct node *node);
bool template_parse_enter(struct parser *p);
void template_parse_leave(struct parser *p);

#endif
