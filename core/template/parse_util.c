/*
 * template/parse_util.c - what both parser files share: failing, depth, tokens, names.
 */
#include "syntax.h"

#include <stdarg.h>
#include <string.h>

#include "base/banned.h"

void *template_parse_fail(struct parser *p, int line, const char *fmt, ...)
{
    if (p->status != PL_OK)
        return NULL;
    char what[PL_ERROR_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    p->status = pl_error_set(p->err, PL_EFORMAT, "template: line %d: %s", line, what);
    return NULL;
}

void *template_parse_nomem(struct parser *p)
{
    if (p->status != PL_OK)
        return NULL;
    const struct arena *arena = &p->tmpl->values.arena;
    bool budget = arena->used_bytes + (64u << 10) > arena->budget_bytes;
    p->status = pl_error_set(p->err, budget ? PL_ELIMIT : PL_ENOMEM, "template: %s",
                             budget ? "the source is too large" : "out of memory");
    return NULL;
}

bool template_parse_soften(struct parser *p, bool soft)
{
    bool before = p->soft;
    p->soft = soft;
    return before;
}

void template_parse_note_unknown(struct parser *p, struct node *node)
{
    if (p->soft)
        return;
    node->u.call.unknown = p->unknown;
    p->unknown = node;
}

bool template_parse_enter(struct parser *p)
{
    if (p->status != PL_OK)
        return false;
    if (p->depth >= TEMPLATE_PARSE_DEPTH_MAX) {
        p->status = pl_error_set(p->err, PL_ELIMIT, "template: line %d: nested deeper than %d",
                                 p->token->line, TEMPLATE_PARSE_DEPTH_MAX);
        return false;
    }
    p->depth++;
    return true;
}

void template_parse_leave(struct parser *p)
{
    p->depth--;
}

struct node *template_node_new(struct parser *p, enum node_kind kind, int line)
{
    struct node *node = arena_zalloc(&p->tmpl->values.arena, sizeof *node);
    if (node == NULL)
        return template_parse_nomem(p);
    node->kind = kind;
    node->line = line;
    return node;
}

struct token *template_next(struct parser *p)
{
    struct token *token = p->token;
    if (token->next != NULL)
        p->token = token->next;
    return token;
}

bool template_token_is(const struct token *token, const char *text)
{
    return token->kind == TOKEN_NAME && token->n == strlen(text) &&
           memcmp(token->text, text, token->n) == 0;
}

bool template_at_name(const struct parser *p, const char *text)
{
    return template_token_is(p->token, text);
}

bool template_skip_name(struct parser *p, const char *text)
{
    if (!template_at_name(p, text))
        return false;
    template_next(p);
    return true;
}

bool template_skip(struct parser *p, enum token_kind kind)
{
    if (p->token->kind != kind)
        return false;
    template_next(p);
    return true;
}

static const char *kind_text(enum token_kind kind)
{
    switch ((int)kind) {
    case TOKEN_EOF: return "end of template";
    case TOKEN_DATA: return "text";
    case TOKEN_VARIABLE_BEGIN: return "{{";
    case TOKEN_VARIABLE_END: return "}}";
    case TOKEN_BLOCK_BEGIN: return "{%";
    case TOKEN_BLOCK_END: return "%}";
    case TOKEN_NAME: return "name";
    case TOKEN_STRING: return "string";
    case TOKEN_ASSIGN: return "=";
    case TOKEN_COLON: return ":";
    case TOKEN_COMMA: return ",";
    case TOKEN_LPAREN: return "(";
    case TOKEN_RPAREN: return ")";
    case TOKEN_RBRACKET: return "]";
    case TOKEN_RBRACE: return "}";
    default: return "operator";
    }
}

const char *template_token_text(const struct token *token, char *ret, size_t ret_n)
{
    bool own = token->n > 0 && token->kind != TOKEN_DATA;
    snprintf(ret, ret_n, "%.*s", own ? (int)PL_MIN(token->n, (size_t)40) : 40,
             own ? token->text : kind_text(token->kind));
    return ret;
}

bool template_expect(struct parser *p, enum token_kind kind)
{
    if (p->status != PL_OK)
        return false;
    if (template_skip(p, kind))
        return true;
    char got[64];
    template_parse_fail(p, p->token->line, "expected '%s', got '%s'", kind_text(kind),
                        template_token_text(p->token, got, sizeof got));
    return false;
}

const struct name *template_intern(struct template *tmpl, const char *text, size_t n)
{
    struct name **bucket = &tmpl->names[template_hash_text(text, n) % TEMPLATE_NAME_BUCKETS];
    for (struct name *name = *bucket; name != NULL; name = name->next)
        if (name->n == n && memcmp(name->text, text, n) == 0)
            return name;
    struct name *name = arena_zalloc(&tmpl->values.arena, sizeof *name);
    char *copy = arena_strndup(&tmpl->values.arena, text, n);
    if (name == NULL || copy == NULL)
        return NULL;
    name->text = copy;
    name->n = n;
    name->value = template_string_ref(&tmpl->values, copy, n);
    if (name->value == NULL)
        return NULL;
    name->next = *bucket;
    *bucket = name;
    return name;
}

const struct name *template_parse_name(struct parser *p)
{
    struct token *token = p->token;
    if (!template_expect(p, TOKEN_NAME))
        return NULL;
    const struct name *name = template_intern(p->tmpl, token->text, token->n);
    return name != NULL ? name : template_parse_nomem(p);
}
