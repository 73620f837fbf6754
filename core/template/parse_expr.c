/*
 * template/parse_expr.c - expressions, by recursive descent in Jinja's order of binding:
 *
 *     a if b else c < or < and < not < == != < <= > >= in, not in < + - < ~ < * / // % < ** < - + (sign)
 *     < postfix . [] () < | filter, is test
 */
#include "syntax.h"

#include <string.h>

#include "base/banned.h"

/* ---- operators -------------------------------------------------------------------------------- */

struct node *template_parse_binary(struct parser *p, enum node_kind kind, enum op_kind op, int line,
                                   struct node *left)
{
    struct node *node = left != NULL ? template_node_new(p, kind, line) : NULL;
    if (node != NULL) {
        node->u.binary.op = op;
        node->u.binary.left = left;
    }
    return node;
}

enum level {
    LEVEL_OR,
    LEVEL_AND,
    LEVEL_NOT,
    LEVEL_COMPARE,
    LEVEL_ADD,
    LEVEL_CONCAT,
    LEVEL_MUL,
    LEVEL_POW
};

struct binary_row {
    enum level level;
    enum token_kind token;
    enum op_kind op;
};

static const struct binary_row binary_rows[] = {
    {LEVEL_ADD, TOKEN_ADD, OP_ADD},           {LEVEL_ADD, TOKEN_SUB, OP_SUB},
    {LEVEL_MUL, TOKEN_MUL, OP_MUL},           {LEVEL_MUL, TOKEN_DIV, OP_DIV},
    {LEVEL_MUL, TOKEN_FLOORDIV, OP_FLOORDIV}, {LEVEL_MUL, TOKEN_MOD, OP_MOD},
    {LEVEL_POW, TOKEN_POW, OP_POW},           {LEVEL_COMPARE, TOKEN_EQ, OP_EQ},
    {LEVEL_COMPARE, TOKEN_NE, OP_NE},         {LEVEL_COMPARE, TOKEN_LT, OP_LT},
    {LEVEL_COMPARE, TOKEN_LE, OP_LE},         {LEVEL_COMPARE, TOKEN_GT, OP_GT},
    {LEVEL_COMPARE, TOKEN_GE, OP_GE},
};

/* Takes an operator of that level if one is next. */
static bool take_operator(struct parser *p, enum level level, enum op_kind *ret)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(binary_rows); i++) {
        if (binary_rows[i].level == level && binary_rows[i].token == p->token->kind) {
            *ret = binary_rows[i].op;
            template_next(p);
            return true;
        }
    }
    if (level != LEVEL_COMPARE)
        return false;
    if (template_skip_name(p, "in")) {
        *ret = OP_IN;
        return true;
    }
    if (template_at_name(p, "not") && template_token_is(p->token->next, "in")) {
        template_next(p);
        template_next(p);
        *ret = OP_NOT_IN;
        return true;
    }
    return false;
}

static struct node *parse_level(struct parser *p, enum level level);

/* left-associative: a op b op c */
static struct node *parse_chain(struct parser *p, enum level level)
{
    int line = p->token->line;
    struct node *left = level == LEVEL_POW
                            ? template_parse_unary(p, true)
                            : parse_level(p, level == LEVEL_ADD ? LEVEL_CONCAT : LEVEL_POW);
    enum op_kind op = OP_ADD;
    while (left != NULL && take_operator(p, level, &op)) {
        struct node *node = template_parse_binary(p, NODE_BINARY, op, line, left);
        if (node == NULL)
            return NULL;
        node->u.binary.right = level == LEVEL_POW
                                   ? template_parse_unary(p, true)
                                   : parse_level(p, level == LEVEL_ADD ? LEVEL_CONCAT : LEVEL_POW);
        if (node->u.binary.right == NULL)
            return NULL;
        left = node;
        line = p->token->line;
    }
    return left;
}

static struct node *parse_compare(struct parser *p)
{
    int line = p->token->line;
    struct node *left = parse_level(p, LEVEL_ADD);
    struct node *first = NULL;
    struct node **link = &first;
    enum op_kind op = OP_EQ;
    while (left != NULL && take_operator(p, LEVEL_COMPARE, &op)) {
        struct node *node = template_node_new(p, NODE_COMPARE, line);
        if (node == NULL)
            return NULL;
        node->u.compare.op = op;
        node->u.compare.left = first == NULL ? left : NULL;
        node->u.compare.right = parse_level(p, LEVEL_ADD);
        if (node->u.compare.right == NULL)
            return NULL;
        *link = node;
        link = &node->u.compare.rest;
    }
    return first != NULL ? first : left;
}

static struct node *parse_concat(struct parser *p)
{
    int line = p->token->line;
    struct node *first = parse_level(p, LEVEL_MUL);
    if (first == NULL || p->token->kind != TOKEN_TILDE)
        return first;
    struct node *node = template_node_new(p, NODE_CONCAT, line);
    if (node == NULL)
        return NULL;
    node->u.list.first = first;
    node->u.list.n = 1;
    struct node *last = first;
    while (template_skip(p, TOKEN_TILDE)) {
        last->next = parse_level(p, LEVEL_MUL);
        last = last->next;
        if (last == NULL)
            return NULL;
        node->u.list.n++;
    }
    return node;
}

static struct node *parse_not(struct parser *p)
{
    int line = p->token->line;
    if (!template_skip_name(p, "not"))
        return parse_level(p, LEVEL_COMPARE);
    if (!template_parse_enter(p))
        return NULL;
    struct node *operand = parse_level(p, LEVEL_NOT);
    template_parse_leave(p);
    return template_parse_binary(p, NODE_NOT, OP_EQ, line, operand);
}

static struct node *parse_logic(struct parser *p, enum level level)
{
    enum node_kind kind = level == LEVEL_OR ? NODE_OR : NODE_AND;
    const char *word = level == LEVEL_OR ? "or" : "and";
    enum level inner = level == LEVEL_OR ? LEVEL_AND : LEVEL_NOT;
    int line = p->token->line;
    struct node *left = parse_level(p, inner);
    while (left != NULL && template_skip_name(p, word)) {
        struct node *node = template_parse_binary(p, kind, OP_EQ, line, left);
        if (node == NULL)
            return NULL;
        node->u.binary.right = parse_level(p, inner);
        if (node->u.binary.right == NULL)
            return NULL;
        left = node;
        line = p->token->line;
    }
    return left;
}

static struct node *parse_level(struct parser *p, enum level level)
{
    switch (level) {
    case LEVEL_OR:
    case LEVEL_AND: return parse_logic(p, level);
    case LEVEL_NOT: return parse_not(p);
    case LEVEL_COMPARE: return parse_compare(p);
    case LEVEL_CONCAT: return parse_concat(p);
    case LEVEL_ADD:
    case LEVEL_MUL:
    case LEVEL_POW: break;
    }
    /* multiplication's operands are powers */
    return level == LEVEL_MUL ? parse_chain(p, LEVEL_MUL) : parse_chain(p, level);
}

struct node *template_parse_or(struct parser *p)
{
    if (!template_parse_enter(p))
        return NULL;
    struct node *node = parse_level(p, LEVEL_OR);
    template_parse_leave(p);
    return node;
}

static struct node *parse_conditions(struct parser *p, struct node *then, int line)
{
    while (then != NULL && template_skip_name(p, "if")) {
        struct node *node = template_node_new(p, NODE_CONDITION, line);
        if (node == NULL)
            return NULL;
        node->u.condition.then = then;
        node->u.condition.test = template_parse_or(p);
        if (node->u.condition.test == NULL)
            return NULL;
        if (template_skip_name(p, "else")) {
            node->u.condition.other = template_parse_expression(p);
            if (node->u.condition.other == NULL)
                return NULL;
        }
        then = node;
        line = p->token->line;
    }
    return then;
}

static struct node *parse_condition(struct parser *p)
{
    int line = p->token->line;
    const struct node *unknown = p->unknown;
    struct node *then = template_parse_or(p);
    if (then == NULL || !template_at_name(p, "if"))
        return then;
    p->unknown = unknown; /* what stands before `if` is soft too */
    bool soft = template_parse_soften(p, true);
    then = parse_conditions(p, then, line);
    p->soft = soft;
    return then;
}
struct node *template_parse_expression(struct parser *p)
{
    if (!template_parse_enter(p))
        return NULL;
    struct node *node = parse_condition(p);
    template_parse_leave(p);
    return node;
}

/* ---- lists of expressions --------------------------------------------------------------------- */

static bool at_tuple_end(const struct parser *p, const struct tuple_rules *rules)
{
    return p->token->kind == TOKEN_VARIABLE_END || p->token->kind == TOKEN_BLOCK_END ||
           p->token->kind == TOKEN_RPAREN ||
           (rules->end != NULL && template_at_name(p, rules->end));
}

static struct node *parse_tuple_item(struct parser *p, const struct tuple_rules *rules)
{
    if (rules->primaries)
        return template_parse_primary(p);
    return rules->no_condition ? template_parse_or(p) : template_parse_expression(p);
}

static struct node *parse_tuple_items(struct parser *p, const struct tuple_rules *rules)
{
    int line = p->token->line;
    struct node *first = NULL;
    struct node **link = &first;
    size_t n = 0;
    bool is_tuple = false;
    while (!at_tuple_end(p, rules)) {
        struct node *item = parse_tuple_item(p, rules);
        if (item == NULL)
            return NULL;
        *link = item;
        link = &item->next;
        n++;
        if (!template_skip(p, TOKEN_COMMA))
            break;
        is_tuple = true;
    }
    if (!is_tuple && n == 1)
        return first;
    if (n == 0 && !rules->parentheses) {
        char got[64];
        return template_parse_fail(p, p->token->line, "expected an expression, got '%s'",
                                   template_token_text(p->token, got, sizeof got));
    }
    struct node *node = template_node_new(p, NODE_TUPLE, line);
    if (node != NULL) {
        node->u.list.first = first;
        node->u.list.n = n;
    }
    return node;
}

struct node *template_parse_tuple(struct parser *p, const struct tuple_rules *rules)
{
    if (!template_parse_enter(p))
        return NULL;
    struct node *node = parse_tuple_items(p, rules);
    template_parse_leave(p);
    return node;
}

/* `[a, b]` or `{a: b, c: d}` behind its opening bracket. */
static struct node *parse_display(struct parser *p, int line, bool dict)
{
    enum token_kind end = dict ? TOKEN_RBRACE : TOKEN_RBRACKET;
    struct node *node = template_node_new(p, dict ? NODE_DICT : NODE_LIST, line);
    if (node == NULL)
        return NULL;
    struct node **link = &node->u.list.first;
    while (p->token->kind != end) {
        if (node->u.list.n > 0 && !template_expect(p, TOKEN_COMMA))
            return NULL;
        if (p->token->kind == end)
            break;
        struct node *item = template_parse_expression(p);
        if (item == NULL)
            return NULL;
        *link = item;
        if (dict) {
            if (!template_expect(p, TOKEN_COLON) ||
                (item->next = template_parse_expression(p)) == NULL)
                return NULL;
            item = item->next;
        }
        link = &item->next;
        node->u.list.n++;
    }
    return template_expect(p, end) ? node : NULL;
}

/* ---- primaries -------------------------------------------------------------------------------- */

struct node *template_parse_const(struct parser *p, int line, struct template_value *value)
{
    struct node *node =
        value != NULL ? template_node_new(p, NODE_CONST, line) : template_parse_nomem(p);
    if (node != NULL)
        node->u.constant = value;
    return node;
}

static void note_special_name(struct parser *p, const struct name *name)
{
    const struct template *tmpl = p->tmpl;
    for (struct macro_scope *scope = p->macros; scope != NULL; scope = scope->outer) {
        scope->signature->wants_caller |= name == tmpl->name_caller;
        scope->signature->wants_varargs |= name == tmpl->name_varargs;
        scope->signature->wants_kwargs |= name == tmpl->name_kwargs;
    }
}

static struct node *parse_name_expression(struct parser *p)
{
    struct token *token = p->token;
    struct template_values *values = &p->tmpl->values;
    bool yes = template_token_is(token, "true") || template_token_is(token, "True");
    if (yes || template_token_is(token, "false") || template_token_is(token, "False"))
        return template_parse_const(p, template_next(p)->line, template_bool(values, yes));
    if (template_token_is(token, "none") || template_token_is(token, "None"))
        return template_parse_const(p, template_next(p)->line, template_none(values));
    const struct name *name = template_parse_name(p);
    struct node *node = name != NULL ? template_node_new(p, NODE_NAME, token->line) : NULL;
    if (node != NULL) {
        node->u.name = name;
        note_special_name(p, name);
    }
    return node;
}

/* Neighbouring strings are one. */
static struct node *parse_string(struct parser *p)
{
    struct template_values *values = &p->tmpl->values;
    struct token *first = template_next(p);
    if (p->token->kind != TOKEN_STRING)
        return template_parse_const(p, first->line, template_string(values, first->text, first->n));
    size_t n = first->n;
    for (struct token *t = p->token; t->kind == TOKEN_STRING; t = t->next)
        n += t->n;
    char *text = arena_alloc(&values->arena, n + 1);
    if (text == NULL)
        return template_parse_nomem(p);
    memcpy(text, first->text, first->n);
    size_t at = first->n;
    while (p->token->kind == TOKEN_STRING) {
        struct token *t = template_next(p);
        memcpy(text + at, t->text, t->n);
        at += t->n;
    }
    text[at] = '\0';
    return template_parse_const(p, first->line, template_string_ref(values, text, at));
}

struct node *template_parse_primary(struct parser *p)
{
    struct token *token = p->token;
    struct template_values *values = &p->tmpl->values;
    static const struct tuple_rules in_parentheses = {.parentheses = true};
    switch ((int)token->kind) {
    case TOKEN_NAME: return parse_name_expression(p);
    case TOKEN_STRING: return parse_string(p);
    case TOKEN_INTEGER:
        return template_parse_const(p, template_next(p)->line,
                                    token->wide != NULL ? token->wide
                                                        : template_int(values, token->integer));
    case TOKEN_FLOAT:
        return template_parse_const(p, template_next(p)->line,
                                    template_float(values, token->number));
    case TOKEN_LPAREN: {
        template_next(p);
        struct node *node = template_parse_tuple(p, &in_parentheses);
        return node != NULL && template_expect(p, TOKEN_RPAREN) ? node : NULL;
    }
    case TOKEN_LBRACKET: return parse_display(p, template_next(p)->line, false);
    case TOKEN_LBRACE: return parse_display(p, template_next(p)->line, true);
    default: break;
    }
    char got[64];
    return template_parse_fail(p, token->line, "unexpected '%s'",
                               template_token_text(token, got, sizeof got));
}
