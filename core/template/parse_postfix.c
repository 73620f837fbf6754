/*
 * template/parse_postfix.c - what stands behind an operand: .name [index] (arguments) | filter, is test.
 */
#include "syntax.h"
#include "builtins.h"

#include <string.h>

#include "base/banned.h"

static struct node *parse_slice(struct parser *p, struct node *object, struct node *start)
{
    struct node *node = template_node_new(p, NODE_SLICE, p->token->line);
    if (node == NULL)
        return NULL;
    node->u.slice.object = object;
    node->u.slice.start = start;
    template_next(p); /* the colon */
    if (p->token->kind != TOKEN_COLON && p->token->kind != TOKEN_RBRACKET &&
        (node->u.slice.stop = template_parse_expression(p)) == NULL)
        return NULL;
    if (template_skip(p, TOKEN_COLON) && p->token->kind != TOKEN_RBRACKET &&
        (node->u.slice.step = template_parse_expression(p)) == NULL)
        return NULL;
    return template_expect(p, TOKEN_RBRACKET) ? node : NULL;
}

/* object[...], behind the bracket */
static struct node *parse_subscript(struct parser *p, struct node *object, int line)
{
    if (p->token->kind == TOKEN_COLON)
        return parse_slice(p, object, NULL);
    struct node *index = p->token->kind == TOKEN_RBRACKET ? NULL : template_parse_expression(p);
    if (index == NULL)
        return template_parse_fail(p, line, "expected an index");
    if (p->token->kind == TOKEN_COLON)
        return parse_slice(p, object, index);
    if (p->token->kind == TOKEN_COMMA) {
        struct node *tuple = template_node_new(p, NODE_TUPLE, line);
        if (tuple == NULL)
            return NULL;
        tuple->u.list.first = index;
        tuple->u.list.n = 1;
        for (struct node *last = index; template_skip(p, TOKEN_COMMA); last = last->next) {
            if ((last->next = template_parse_expression(p)) == NULL)
                return NULL;
            tuple->u.list.n++;
        }
        index = tuple;
    }
    struct node *node = template_node_new(p, NODE_ITEM, line);
    if (node == NULL || !template_expect(p, TOKEN_RBRACKET))
        return NULL;
    node->u.access.object = object;
    node->u.access.index = index;
    return node;
}

static struct node *parse_dot(struct parser *p, struct node *object, int line)
{
    struct token *token = p->token;
    struct node *node = NULL;
    if (token->kind == TOKEN_INTEGER) {
        template_next(p);
        node = template_node_new(p, NODE_ITEM, line);
        if (node == NULL)
            return NULL;
        node->u.access.object = object;
        node->u.access.index =
            template_parse_const(p, line, template_int(&p->tmpl->values, token->integer));
        return node->u.access.index != NULL ? node : NULL;
    }
    const struct name *name = template_parse_name(p);
    node = name != NULL ? template_node_new(p, NODE_ATTRIBUTE, line) : NULL;
    if (node != NULL) {
        node->u.access.object = object;
        node->u.access.name = name;
    }
    return node;
}

static bool parse_argument(struct parser *p, struct argument *arg, const struct argument *before)
{
    struct token *token = p->token;
    enum { STAGE_PLAIN, STAGE_KEYWORD, STAGE_STAR, STAGE_STAR_STAR } stage = STAGE_PLAIN;
    for (; before != NULL; before = before->next)
        if (before->star == ARGUMENT_STAR_STAR)
            stage = STAGE_STAR_STAR;
        else if (before->star == ARGUMENT_STAR)
            stage = STAGE_STAR;
        else if (before->keyword != NULL && stage == STAGE_PLAIN)
            stage = STAGE_KEYWORD;
    bool keyword = token->kind == TOKEN_NAME && token->next->kind == TOKEN_ASSIGN;
    bool in_order = stage < STAGE_STAR_STAR &&
                    (token->kind == TOKEN_POW || keyword ||
                     (token->kind == TOKEN_MUL ? stage < STAGE_STAR : stage == STAGE_PLAIN));
    if (!in_order) {
        template_parse_fail(p, token->line, "invalid order of arguments in a call");
        return false;
    }
    if (template_skip(p, TOKEN_MUL)) {
        arg->star = ARGUMENT_STAR;
    } else if (template_skip(p, TOKEN_POW)) {
        arg->star = ARGUMENT_STAR_STAR;
    } else if (keyword) {
        arg->keyword = template_parse_name(p);
        template_next(p);
    }
    arg->value = template_parse_expression(p);
    return arg->value != NULL;
}

/* (a, b, c=d, *e, **f) */
static bool parse_arguments(struct parser *p, struct argument **ret)
{
    struct argument **link = ret;
    size_t n = 0;
    if (!template_expect(p, TOKEN_LPAREN))
        return false;
    while (p->token->kind != TOKEN_RPAREN) {
        if (n++ == TEMPLATE_ARGS_MAX) {
            template_parse_fail(p, p->token->line, "more than %d arguments", TEMPLATE_ARGS_MAX);
            return false;
        }
        if (*ret != NULL && !template_expect(p, TOKEN_COMMA))
            return false;
        if (p->token->kind == TOKEN_RPAREN)
            break;
        struct argument *arg = arena_zalloc(&p->tmpl->values.arena, sizeof *arg);
        if (arg == NULL) {
            template_parse_nomem(p);
            return false;
        }
        if (!parse_argument(p, arg, *ret))
            return false;
        *link = arg;
        link = &arg->next;
    }
    return template_expect(p, TOKEN_RPAREN);
}

static struct node *parse_call(struct parser *p, struct node *callee)
{
    struct node *node = template_node_new(p, NODE_CALL, p->token->line);
    if (node == NULL)
        return NULL;
    node->u.call.callee = callee;
    return parse_arguments(p, &node->u.call.arguments) ? node : NULL;
}

static struct node *parse_postfix(struct parser *p, struct node *node)
{
    while (node != NULL) {
        int line = p->token->line;
        if (template_skip(p, TOKEN_DOT))
            node = parse_dot(p, node, line);
        else if (template_skip(p, TOKEN_LBRACKET))
            node = parse_subscript(p, node, line);
        else if (p->token->kind == TOKEN_LPAREN)
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

/* name or name.name.name */
static const struct name *parse_dotted_name(struct parser *p)
{
    const struct name *name = template_parse_name(p);
    while (name != NULL && template_skip(p, TOKEN_DOT)) {
        const struct name *part = template_parse_name(p);
        char *joined =
            part != NULL ? arena_alloc(&p->tmpl->values.arena, name->n + part->n + 2) : NULL;
        if (joined == NULL)
            return p->status == PL_OK ? template_parse_nomem(p) : NULL;
        memcpy(joined, name->text, name->n);
        joined[name->n] = '.';
        memcpy(joined + name->n + 1, part->text, part->n);
        name = template_intern(p->tmpl, joined, name->n + part->n + 1);
        if (name == NULL)
            return template_parse_nomem(p);
    }
    return name;
}

struct node *template_parse_filters(struct parser *p, struct node *operand, bool bare)
{
    struct node *node = operand;
    while (bare || template_skip(p, TOKEN_PIPE)) {
        bare = false;
        int line = p->token->line;
        const struct name *name = parse_dotted_name(p);
        struct node *filter = name != NULL ? template_node_new(p, NODE_FILTER, line) : NULL;
        if (filter == NULL)
            return NULL;
        filter->u.call.callee = node;
        filter->u.call.name = name;
        filter->u.call.builtin = template_filter_find(name->text, name->n);
        if (filter->u.call.builtin == NULL)
            template_parse_note_unknown(p, filter);
        if (p->token->kind == TOKEN_LPAREN && !parse_arguments(p, &filter->u.call.arguments))
            return NULL;
        node = filter;
    }
    return node;
}

static bool starts_test_argument(const struct parser *p)
{
    switch ((int)p->token->kind) {
    case TOKEN_NAME:
        return !template_at_name(p, "else") && !template_at_name(p, "or") &&
               !template_at_name(p, "and");
    case TOKEN_STRING:
    case TOKEN_INTEGER:
    case TOKEN_FLOAT:
    case TOKEN_LBRACKET:
    case TOKEN_LBRACE: return true;
    default: return false;
    }
}

/* `is [not] name [argument]`, behind `is` */
static struct node *parse_test(struct parser *p, struct node *operand, int line)
{
    bool negated = template_skip_name(p, "not");
    const struct name *name = parse_dotted_name(p);
    struct node *node = name != NULL ? template_node_new(p, NODE_TEST, line) : NULL;
    if (node == NULL)
        return NULL;
    node->u.call.callee = operand;
    node->u.call.name = name;
    node->u.call.builtin = template_test_find(name->text, name->n);
    if (node->u.call.builtin == NULL)
        template_parse_note_unknown(p, node);
    if (p->token->kind == TOKEN_LPAREN) {
        if (!parse_arguments(p, &node->u.call.arguments))
            return NULL;
    } else if (starts_test_argument(p)) {
        if (template_at_name(p, "is"))
            return template_parse_fail(p, line, "tests can't be chained with 'is'");
        struct argument *arg = arena_zalloc(&p->tmpl->values.arena, sizeof *arg);
        if (arg == NULL)
            return template_parse_nomem(p);
        arg->value = parse_postfix(p, template_parse_primary(p));
        if (arg->value == NULL)
            return NULL;
        node->u.call.arguments = arg;
    }
    return negated ? template_parse_binary(p, NODE_NOT, OP_EQ, line, node) : node;
}

static struct node *parse_filters_and_tests(struct parser *p, struct node *node)
{
    while (node != NULL) {
        int line = p->token->line;
        if (p->token->kind == TOKEN_PIPE)
            node = template_parse_filters(p, node, false);
        else if (template_skip_name(p, "is"))
            node = parse_test(p, node, line);
        else if (p->token->kind == TOKEN_LPAREN)
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

struct node *template_parse_unary(struct parser *p, bool with_filters)
{
    if (!template_parse_enter(p))
        return NULL;
    struct node *node = NULL;
    int line = p->token->line;
    if (template_skip(p, TOKEN_SUB))
        node = template_parse_binary(p, NODE_NEG, OP_SUB, line, template_parse_unary(p, false));
    else if (template_skip(p, TOKEN_ADD))
        node = template_parse_binary(p, NODE_POS, OP_ADD, line, template_parse_unary(p, false));
    else
        node = template_parse_primary(p);
    node = parse_postfix(p, node);
    if (with_filters)
        node = parse_filters_and_tests(p, node);
    template_parse_leave(p);
    return node;
}
