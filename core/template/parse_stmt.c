/*
 * template/parse_stmt.c - statements: a list of text, {{ output }} and {% tags %} up to an end tag.
 *
 * Supported tags: for if set with macro call filter block print break continue generation autoescape
 * (false). include, import, from and extends parse and fail when reached: a chat template has nothing
 * to load from.
 */
#include "syntax.h"
#include "builtins.h"

#include <string.h>

#include "base/banned.h"

typedef struct node *(*statement_fn)(struct parser *p, int line);

#define END_NAMES_MAX 3

/* Behind a tag's own part: `%}`, then statements up to one of the end tags, whose name is next. */
static bool parse_body(struct parser *p, const char *const ends[END_NAMES_MAX], struct node **ret);

static bool parse_body_to(struct parser *p, const char *end, struct node **ret)
{
    const char *const ends[END_NAMES_MAX] = {end};
    if (!parse_body(p, ends, ret))
        return false;
    template_next(p);
    return true;
}

/* ---- targets ---------------------------------------------------------------------------------- */

static bool check_target(struct parser *p, const struct node *node, bool with)
{
    if (node->kind == NODE_NAME) {
        if (node->u.name == p->tmpl->name_loop && p->fors > 0 && !with) {
            template_parse_fail(p, node->line, "can't assign to 'loop' inside a for statement");
            return false;
        }
        return true;
    }
    if (node->kind != NODE_TUPLE) {
        template_parse_fail(p, node->line, "can't assign to this expression");
        return false;
    }
    for (const struct node *item = node->u.list.first; item != NULL; item = item->next)
        if (!check_target(p, item, with))
            return false;
    return true;
}

static struct node *parse_target(struct parser *p, const char *end, bool with)
{
    const struct tuple_rules rules = {.primaries = true, .end = end};
    struct node *target = template_parse_tuple(p, &rules);
    return target != NULL && check_target(p, target, with) ? target : NULL;
}

static struct node *parse_set_target(struct parser *p)
{
    if (p->token->next == NULL || p->token->next->kind != TOKEN_DOT)
        return parse_target(p, NULL, false);
    struct node *target = template_node_new(p, NODE_NAMESPACE_REF, p->token->line);
    const struct name *object = template_parse_name(p);
    if (target == NULL || object == NULL || !template_expect(p, TOKEN_DOT))
        return NULL;
    target->u.ref.object = object;
    target->u.ref.name = template_parse_name(p);
    return target->u.ref.name != NULL ? target : NULL;
}

/* ---- statements ------------------------------------------------------------------------------- */

static struct node *parse_set_block(struct parser *p, struct node *node)
{
    bool soft = template_parse_soften(p, false);
    node->kind = NODE_SET_BLOCK;
    if (p->token->kind == TOKEN_PIPE &&
        (node->u.set.filter = template_parse_filters(p, NULL, false)) == NULL)
        return NULL;
    bool ok = parse_body_to(p, "endset", &node->u.set.body);
    p->soft = soft;
    return ok ? node : NULL;
}

static struct node *parse_set(struct parser *p, int line)
{
    static const struct tuple_rules any = {0};
    struct node *node = template_node_new(p, NODE_SET, line);
    if (node == NULL || (node->u.set.target = parse_set_target(p)) == NULL)
        return NULL;
    if (template_skip(p, TOKEN_ASSIGN)) {
        node->u.set.value = template_parse_tuple(p, &any);
        return node->u.set.value != NULL ? node : NULL;
    }
    return parse_set_block(p, node);
}

static bool parse_loop_body(struct parser *p, struct node *node)
{
    static const char *const ends[END_NAMES_MAX] = {"else", "endfor"};
    p->loops++;
    bool ok = parse_body(p, ends, &node->u.loop.body);
    p->loops--;
    if (!ok)
        return false;
    if (template_skip_name(p, "endfor"))
        return true;
    template_next(p);
    return parse_body_to(p, "endfor", &node->u.loop.other);
}

static struct node *parse_for(struct parser *p, int line)
{
    static const struct tuple_rules iter_rules = {.no_condition = true, .end = "recursive"};
    struct node *node = template_node_new(p, NODE_FOR, line);
    if (node == NULL)
        return NULL;
    p->fors++;
    node->u.loop.target = parse_target(p, "in", false);
    if (node->u.loop.target == NULL)
        return NULL;
    if (!template_skip_name(p, "in"))
        return template_parse_fail(p, p->token->line, "expected 'in' in a for statement");
    if ((node->u.loop.iter = template_parse_tuple(p, &iter_rules)) == NULL)
        return NULL;
    bool soft = template_parse_soften(p, false);
    if (template_skip_name(p, "if") && (node->u.loop.test = template_parse_expression(p)) == NULL)
        return NULL;
    node->u.loop.recursive = template_skip_name(p, "recursive");
    bool ok = parse_loop_body(p, node);
    p->fors--;
    p->soft = soft;
    return ok ? node : NULL;
}

static struct node *parse_if_parts(struct parser *p, int line)
{
    static const struct tuple_rules test_rules = {.no_condition = true};
    static const char *const ends[END_NAMES_MAX] = {"elif", "else", "endif"};
    struct node *first = NULL;
    struct node **link = &first;
    for (;;) {
        struct node *node = template_node_new(p, NODE_IF, line);
        if (node == NULL ||
            (node->u.condition.test = template_parse_tuple(p, &test_rules)) == NULL ||
            !parse_body(p, ends, &node->u.condition.then))
            return NULL;
        *link = node;
        link = &node->u.condition.other;
        line = p->token->line;
        if (template_skip_name(p, "elif"))
            continue;
        if (template_skip_name(p, "else"))
            return parse_body_to(p, "endif", link) ? first : NULL;
        template_next(p);
        return first;
    }
}

static struct node *parse_if(struct parser *p, int line)
{
    bool soft = template_parse_soften(p, true);
    struct node *node = parse_if_parts(p, line);
    p->soft = soft;
    return node;
}

static struct node *parse_with(struct parser *p, int line)
{
    struct node *node = template_node_new(p, NODE_WITH, line);
    if (node == NULL)
        return NULL;
    struct node **target = &node->u.with.targets;
    struct node **value = &node->u.with.values;
    while (p->token->kind != TOKEN_BLOCK_END) {
        if (*target != NULL || target != &node->u.with.targets) {
            if (!template_expect(p, TOKEN_COMMA))
                return NULL;
        }
        *target = parse_target(p, NULL, true);
        if (*target == NULL || !template_expect(p, TOKEN_ASSIGN))
            return NULL;
        *value = template_parse_expression(p);
        if (*value == NULL)
            return NULL;
        target = &(*target)->next;
        value = &(*value)->next;
    }
    bool soft = template_parse_soften(p, false);
    bool ok = parse_body_to(p, "endwith", &node->u.with.body);
    p->soft = soft;
    return ok ? node : NULL;
}

static bool parse_signature(struct parser *p, struct signature *signature)
{
    struct parameter **link = &signature->parameters;
    bool fallbacks = false;
    if (!template_expect(p, TOKEN_LPAREN))
        return false;
    while (p->token->kind != TOKEN_RPAREN) {
        if (signature->n > 0 && !template_expect(p, TOKEN_COMMA))
            return false;
        struct parameter *parameter = arena_zalloc(&p->tmpl->values.arena, sizeof *parameter);
        if (parameter == NULL) {
            template_parse_nomem(p);
            return false;
        }
        parameter->name = template_parse_name(p);
        if (parameter->name == NULL)
            return false;
        if (template_skip(p, TOKEN_ASSIGN)) {
            fallbacks = true;
            if ((parameter->fallback = template_parse_expression(p)) == NULL)
                return false;
        } else if (fallbacks || signature->n >= TEMPLATE_ARGS_MAX) {
            template_parse_fail(p, p->token->line,
                                "a parameter without default behind one with a default");
            return false;
        }
        *link = parameter;
        link = &parameter->next;
        signature->n++;
    }
    return template_expect(p, TOKEN_RPAREN);
}

/* The body of a macro, call block or generation: notes which special names it reads. */
static bool parse_macro_body(struct parser *p, struct signature *signature, const char *end,
                             struct node **ret)
{
    struct macro_scope scope = {.signature = signature, .outer = p->macros};
    unsigned loops = p->loops;
    bool soft = template_parse_soften(p, false);
    p->macros = &scope;
    p->loops = 0; /* a break can't leave a macro */
    bool ok = parse_body_to(p, end, ret);
    p->macros = scope.outer;
    p->loops = loops;
    p->soft = soft;
    return ok;
}

static struct node *parse_macro(struct parser *p, int line)
{
    struct node *node = template_node_new(p, NODE_MACRO, line);
    if (node == NULL || (node->u.macro.name = template_parse_name(p)) == NULL ||
        !parse_signature(p, &node->u.macro.signature))
        return NULL;
    return parse_macro_body(p, &node->u.macro.signature, "endmacro", &node->u.macro.body) ? node
                                                                                          : NULL;
}

static struct node *parse_call_block(struct parser *p, int line)
{
    struct node *node = template_node_new(p, NODE_CALL_BLOCK, line);
    if (node == NULL)
        return NULL;
    if (p->token->kind == TOKEN_LPAREN && !parse_signature(p, &node->u.macro.signature))
        return NULL;
    node->u.macro.call = template_parse_expression(p);
    if (node->u.macro.call == NULL)
        return NULL;
    if (node->u.macro.call->kind != NODE_CALL)
        return template_parse_fail(p, line, "expected a call in a call block");
    return parse_macro_body(p, &node->u.macro.signature, "endcall", &node->u.macro.body) ? node
                                                                                         : NULL;
}

static struct node *parse_filter_block(struct parser *p, int line)
{
    struct node *node = template_node_new(p, NODE_FILTER_BLOCK, line);
    if (node == NULL || (node->u.set.filter = template_parse_filters(p, NULL, true)) == NULL)
        return NULL;
    return parse_body_to(p, "endfilter", &node->u.set.body) ? node : NULL;
}

static struct node *parse_print(struct parser *p, int line)
{
    struct node *node = template_node_new(p, NODE_OUTPUT, line);
    if (node == NULL)
        return NULL;
    struct node **link = &node->u.list.first;
    while (p->token->kind != TOKEN_BLOCK_END) {
        if (node->u.list.n > 0 && !template_expect(p, TOKEN_COMMA))
            return NULL;
        *link = template_parse_expression(p);
        if (*link == NULL)
            return NULL;
        link = &(*link)->next;
        node->u.list.n++;
    }
    return node;
}

static struct node *parse_jump(struct parser *p, enum node_kind kind, int line)
{
    if (p->loops == 0)
        return template_parse_fail(p, line, "'%s' outside of a for statement",
                                   kind == NODE_BREAK ? "break" : "continue");
    return template_node_new(p, kind, line);
}

static struct node *parse_break(struct parser *p, int line)
{
    return parse_jump(p, NODE_BREAK, line);
}

static struct node *parse_continue(struct parser *p, int line)
{
    return parse_jump(p, NODE_CONTINUE, line);
}

static struct node *parse_generation(struct parser *p, int line)
{
    struct node *node = template_node_new(p, NODE_SCOPE, line);
    return node != NULL && parse_macro_body(p, &node->u.scope.signature, "endgeneration",
                                            &node->u.scope.body)
               ? node
               : NULL;
}

static struct node *parse_block(struct parser *p, int line)
{
    struct node *node = template_node_new(p, NODE_SCOPE, line);
    const struct name *name = template_parse_name(p);
    if (node == NULL || name == NULL)
        return NULL;
    node->u.scope.from_root = !template_skip_name(p, "scoped");
    template_skip_name(p, "required");
    unsigned loops = p->loops;
    p->loops = 0;
    bool ok = parse_body_to(p, "endblock", &node->u.scope.body);
    p->loops = loops;
    if (ok)
        template_skip_name(p, name->text);
    return ok ? node : NULL;
}

static struct node *parse_autoescape(struct parser *p, int line)
{
    struct node *node = template_node_new(p, NODE_SCOPE, line);
    struct node *on = template_parse_expression(p);
    if (node == NULL || on == NULL)
        return NULL;
    if (on->kind != NODE_CONST || on->u.constant != template_bool(&p->tmpl->values, false))
        return template_parse_fail(p, line, "autoescape is not supported");
    return parse_body_to(p, "endautoescape", &node->u.scope.body) ? node : NULL;
}

struct statement_row {
    const char *tag;
    statement_fn parse; /* NULL: parses, and fails when reached */
    bool hard;          /* all of it has variables of its own: see template_parse_soften */
};

static const struct statement_row statements[] = {
    {"for", parse_for, false},
    {"if", parse_if, false},
    {"set", parse_set, false},
    {"macro", parse_macro, true},
    {"call", parse_call_block, false},
    {"filter", parse_filter_block, true},
    {"with", parse_with, false},
    {"break", parse_break, false},
    {"continue", parse_continue, false},
    {"generation", parse_generation, false},
    {"print", parse_print, false},
    {"block", parse_block, true},
    {"autoescape", parse_autoescape, true},
    {"include", NULL, false},
    {"import", NULL, false},
    {"from", NULL, false},
    {"extends", NULL, false},
};

static struct node *parse_unsupported(struct parser *p, const struct token *tag)
{
    struct node *node = template_node_new(p, NODE_UNSUPPORTED, tag->line);
    if (node == NULL)
        return NULL;
    node->u.name = template_intern(p->tmpl, tag->text, tag->n);
    if (node->u.name == NULL)
        return template_parse_nomem(p);
    while (p->token->kind != TOKEN_BLOCK_END && p->token->kind != TOKEN_EOF)
        template_next(p);
    return node;
}

/* A tag, behind `{%`, up to and with its last `%}`. */
static struct node *parse_statement(struct parser *p)
{
    struct token *tag = p->token;
    char text[64];
    if (tag->kind != TOKEN_NAME)
        return template_parse_fail(p, tag->line, "expected the name of a tag, got '%s'",
                                   template_token_text(tag, text, sizeof text));
    for (size_t i = 0; i < PL_ARRAY_LEN(statements); i++) {
        if (!template_skip_name(p, statements[i].tag))
            continue;
        bool soft = template_parse_soften(p, p->soft && !statements[i].hard);
        struct node *node = statements[i].parse != NULL ? statements[i].parse(p, tag->line)
                                                        : parse_unsupported(p, tag);
        p->soft = soft;
        return node != NULL && template_expect(p, TOKEN_BLOCK_END) ? node : NULL;
    }
    return template_parse_fail(p, tag->line, "unknown tag '%s'",
                               template_token_text(tag, text, sizeof text));
}

/* ---- lists of statements ---------------------------------------------------------------------- */

static bool at_end_tag(const struct parser *p, const char *const ends[END_NAMES_MAX])
{
    for (int i = 0; ends != NULL && i < END_NAMES_MAX && ends[i] != NULL; i++)
        if (template_at_name(p, ends[i]))
            return true;
    return false;
}

static struct node *parse_output(struct parser *p)
{
    static const struct tuple_rules any = {0};
    struct node *node = template_node_new(p, NODE_OUTPUT, template_next(p)->line);
    if (node == NULL || (node->u.list.first = template_parse_tuple(p, &any)) == NULL)
        return NULL;
    node->u.list.n = 1;
    return template_expect(p, TOKEN_VARIABLE_END) ? node : NULL;
}

static struct node *parse_data(struct parser *p)
{
    struct token *token = template_next(p);
    struct node *node = template_node_new(p, NODE_DATA, token->line);
    if (node == NULL)
        return NULL;
    node->u.constant = template_string_ref(&p->tmpl->values, token->text, token->n);
    return node->u.constant != NULL ? node : template_parse_nomem(p);
}

/* Statements up to one of the end tags (its name is then next), or to the end of the template. */
static bool parse_list(struct parser *p, const char *const ends[END_NAMES_MAX], struct node **ret)
{
    struct node **link = ret;
    while (p->token->kind != TOKEN_EOF) {
        struct node *node = NULL;
        if (p->token->kind == TOKEN_DATA) {
            node = parse_data(p);
        } else if (p->token->kind == TOKEN_VARIABLE_BEGIN) {
            node = parse_output(p);
        } else {
            template_next(p); /* TOKEN_BLOCK_BEGIN: nothing else stands between tags */
            if (at_end_tag(p, ends))
                return true;
            node = parse_statement(p);
        }
        if (node == NULL)
            return false;
        *link = node;
        link = &node->next;
    }
    if (ends == NULL)
        return true;
    size_t last = 0;
    while (last + 1 < END_NAMES_MAX && ends[last + 1] != NULL)
        last++;
    template_parse_fail(p, p->token->line, "unexpected end of template, expected '%s'", ends[last]);
    return false;
}

static bool parse_body(struct parser *p, const char *const ends[END_NAMES_MAX], struct node **ret)
{
    template_skip(p, TOKEN_COLON); /* as in Python, allowed */
    if (!template_expect(p, TOKEN_BLOCK_END) || !template_parse_enter(p))
        return false;
    bool ok = parse_list(p, ends, ret);
    template_parse_leave(p);
    return ok;
}

bool template_parse_template(struct parser *p, struct node **ret)
{
    if (!parse_list(p, NULL, ret))
        return false;
    const struct node *unknown = p->unknown;
    while (unknown != NULL && unknown->u.call.unknown != NULL)
        unknown = unknown->u.call.unknown; /* the first of the source */
    if (unknown != NULL)
        template_parse_fail(p, unknown->line, "no %s named '%s'",
                            unknown->kind == NODE_FILTER ? "filter" : "test",
                            unknown->u.call.name->text);
    return unknown == NULL;
}
