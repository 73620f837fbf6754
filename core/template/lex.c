/*
 * template/lex.c - source text to tokens: tags, whitespace control, numbers, strings.
 *
 * Settings are Hugging Face's: a newline behind a block or comment tag is dropped (trim_blocks), blanks
 * before a block or comment tag that stands first on its line are dropped (lstrip_blocks), one newline
 * at the end of the source is dropped. "-" in a tag drops all blanks on that side, "+" keeps them.
 */
#include "syntax.h"
#include "unicode.h"

#include <base/utf8.h>

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define BALANCE_MAX 1024 /* open brackets in one tag; the parser's depth ends sooner */

struct lexer {
    struct template_values *values;
    const char *s; /* newlines are \n */
    size_t n;
    size_t pos;
    int line;
    bool line_starting; /* the last match ended with a newline */
    char open[BALANCE_MAX];
    size_t open_n;
    struct token **tail;
    enum pl_status status;
    struct pl_error *err;
};

static bool fail_at(struct lexer *lex, int line, const char *what)
{
    lex->status = pl_error_set(lex->err, PL_EFORMAT, "template: line %d: %s", line, what);
    return false;
}

static bool fail(struct lexer *lex, const char *what)
{
    return fail_at(lex, lex->line, what);
}

static bool fail_memory(struct lexer *lex)
{
    bool budget = lex->values->arena.used_bytes + (64u << 10) > lex->values->arena.budget_bytes;
    lex->status = pl_error_set(lex->err, budget ? PL_ELIMIT : PL_ENOMEM, "template: %s",
                               budget ? "the source is too large" : "out of memory");
    return false;
}

static struct token *emit(struct lexer *lex, enum token_kind kind, const char *text, size_t n)
{
    struct token *token = arena_zalloc(&lex->values->arena, sizeof *token);
    if (token == NULL) {
        fail_memory(lex);
        return NULL;
    }
    token->kind = kind;
    token->line = lex->line;
    token->text = text;
    token->n = n;
    *lex->tail = token;
    lex->tail = &token->next;
    return token;
}

/* Moves to `end`, counting lines. */
static void advance(struct lexer *lex, size_t end)
{
    for (size_t i = lex->pos; i < end; i++)
        lex->line += lex->s[i] == '\n';
    if (end > lex->pos)
        lex->line_starting = lex->s[end - 1] == '\n';
    lex->pos = end;
}

static bool starts(const struct lexer *lex, size_t pos, const char *text)
{
    size_t n = strlen(text);
    return n <= lex->n - pos && memcmp(lex->s + pos, text, n) == 0;
}

static size_t skip_space(const struct lexer *lex, size_t pos)
{
    size_t bytes = 0;
    while (pos < lex->n &&
           template_code_is_space(template_char_code(lex->s + pos, lex->n - pos, &bytes)))
        pos += bytes;
    return pos;
}

/* ---- text between tags ------------------------------------------------------------------------ */

/* End of the text [start, end) before a tag with that sign ('-', '+' or 0), after stripping. */
static size_t strip_before(const struct lexer *lex, size_t start, size_t end, char sign,
                           bool variable)
{
    size_t stripped = end;
    while (stripped > start) {
        size_t at = start + template_char_before(lex->s + start, stripped - start);
        size_t bytes = 0;
        if (!template_code_is_space(template_char_code(lex->s + at, stripped - at, &bytes)))
            break;
        if (sign != '-' && lex->s[at] == '\n')
            break;
        stripped = at;
    }
    if (sign == '-')
        return stripped;
    if (sign == '+' || variable)
        return end;
    bool at_line_start = stripped > start ? lex->s[stripped - 1] == '\n' : lex->line_starting;
    return at_line_start ? stripped : end;
}

static bool emit_data(struct lexer *lex, size_t start, size_t end)
{
    return end == start || emit(lex, TOKEN_DATA, lex->s + start, end - start) != NULL;
}

/* `{%- raw -%}` at pos: true, *ret_end behind it. */
static bool match_raw_begin(const struct lexer *lex, size_t pos, size_t *ret_end)
{
    pos += 2;
    if (pos < lex->n && (lex->s[pos] == '-' || lex->s[pos] == '+'))
        pos++;
    pos = skip_space(lex, pos);
    if (!starts(lex, pos, "raw"))
        return false;
    pos = skip_space(lex, pos + 3);
    if (starts(lex, pos, "-%}"))
        *ret_end = skip_space(lex, pos + 3);
    else if (starts(lex, pos, "%}"))
        *ret_end = pos + 2;
    else
        return false;
    return true;
}

/* An end tag (`%}` or `#}`) at pos with its sign and what it swallows; 0 where there is none. */
static size_t match_end(const struct lexer *lex, size_t pos, const char *tag)
{
    if (pos >= lex->n)
        return 0;
    if (lex->s[pos] == '+' && starts(lex, pos + 1, tag))
        return pos + 3;
    if (lex->s[pos] == '-' && starts(lex, pos + 1, tag))
        return skip_space(lex, pos + 3);
    if (!starts(lex, pos, tag))
        return 0;
    return pos + 2 + (pos + 2 < lex->n && lex->s[pos + 2] == '\n');
}

static bool lex_raw(struct lexer *lex)
{
    size_t start = lex->pos;
    for (size_t i = start; i + 2 <= lex->n; i++) {
        if (!starts(lex, i, "{%"))
            continue;
        size_t at = i + 2;
        char sign = (char)(at < lex->n ? lex->s[at] : 0);
        if (sign == '-' || sign == '+')
            at++;
        else
            sign = 0;
        at = skip_space(lex, at);
        if (!starts(lex, at, "endraw"))
            continue;
        size_t end = match_end(lex, skip_space(lex, at + 6), "%}");
        if (end == 0)
            continue;
        if (!emit_data(lex, start, strip_before(lex, start, i, sign, false)))
            return false;
        advance(lex, end);
        return true;
    }
    return fail(lex, "Missing end of raw directive");
}

static bool lex_comment(struct lexer *lex)
{
    for (size_t i = lex->pos; i < lex->n; i++) {
        size_t end = match_end(lex, i, "#}");
        if (end != 0) {
            advance(lex, end);
            return true;
        }
    }
    return fail(lex, "Missing end of comment tag");
}

/* ---- inside tags ------------------------------------------------------------------------------ */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* digits with single underscores between them */
static size_t skip_digits(const struct lexer *lex, size_t pos)
{
    while (pos < lex->n && (is_digit(lex->s[pos]) ||
                            (lex->s[pos] == '_' && pos + 1 < lex->n && is_digit(lex->s[pos + 1]))))
        pos++;
    return pos;
}

/* End of a float literal at pos; 0 where there is none. */
static size_t match_float(const struct lexer *lex, size_t pos)
{
    if (pos > 0 && lex->s[pos - 1] == '.')
        return 0;
    size_t end = skip_digits(lex, pos);
    bool is_float = false;
    if (end + 1 < lex->n && lex->s[end] == '.' && is_digit(lex->s[end + 1])) {
        end = skip_digits(lex, end + 1);
        is_float = true;
    }
    if (end < lex->n && (lex->s[end] | 0x20) == 'e') {
        size_t exp = end + 1;
        if (exp < lex->n && (lex->s[exp] == '+' || lex->s[exp] == '-'))
            exp++;
        if (exp < lex->n && is_digit(lex->s[exp])) {
            end = skip_digits(lex, exp);
            is_float = true;
        }
    }
    return is_float ? end : 0;
}

static unsigned digit_value(char c)
{
    if (is_digit(c))
        return (unsigned)(c - '0');
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? (unsigned)(lower - 'a') + 10 : 99;
}

static unsigned literal_base(const struct lexer *lex, size_t pos)
{
    if (lex->s[pos] != '0' || pos + 2 >= lex->n)
        return 10;
    unsigned base = 10;
    switch (lex->s[pos + 1] | 0x20) {
    case 'b': base = 2; break;
    case 'o': base = 8; break;
    case 'x': base = 16; break;
    default: return 10;
    }
    size_t digit = pos + 2 + (lex->s[pos + 2] == '_');
    return digit < lex->n && digit_value(lex->s[digit]) < base ? base : 10;
}

/* The decimal literal up to end, without its underscores. */
static struct template_value *wide_integer(struct lexer *lex, size_t end)
{
    char *digits = arena_alloc(&lex->values->arena, end - lex->pos);
    size_t n = 0;
    if (digits == NULL)
        return NULL;
    for (size_t i = lex->pos; i < end; i++)
        if (lex->s[i] != '_')
            digits[n++] = lex->s[i];
    return template_int_digits(lex->values, digits, n);
}

static bool lex_integer(struct lexer *lex)
{
    unsigned base = literal_base(lex, lex->pos);
    size_t pos = lex->pos + (base == 10 ? 0 : 2);
    bool zeros = base == 10 && lex->s[pos] == '0'; /* 0 is followed by zeros only */
    int64_t integer = 0;
    bool fits = true;
    for (; pos < lex->n; pos++) {
        size_t digit = pos + (lex->s[pos] == '_');
        if (digit >= lex->n || digit_value(lex->s[digit]) >= base ||
            (zeros && lex->s[digit] != '0'))
            break;
        pos = digit;
        fits = fits && !__builtin_mul_overflow(integer, (int64_t)base, &integer) &&
               !__builtin_add_overflow(integer, (int64_t)digit_value(lex->s[pos]), &integer);
    }
    if (!fits && base != 10)
        return fail(lex, "integer literal beyond 64 bits");
    struct token *token = emit(lex, TOKEN_INTEGER, lex->s + lex->pos, pos - lex->pos);
    if (token == NULL)
        return false;
    token->integer = integer;
    token->wide = fits ? NULL : wide_integer(lex, pos);
    if (!fits && token->wide == NULL)
        return fail_memory(lex);
    advance(lex, pos);
    return true;
}

static bool lex_number(struct lexer *lex)
{
    size_t end = match_float(lex, lex->pos);
    if (end == 0)
        return lex_integer(lex);
    char *digits = arena_alloc(&lex->values->arena, end - lex->pos + 1);
    struct token *token = digits != NULL ? emit(lex, TOKEN_FLOAT, digits, 0) : NULL;
    if (token == NULL)
        return fail_memory(lex);
    size_t n = 0;
    for (size_t i = lex->pos; i < end; i++)
        if (lex->s[i] != '_')
            digits[n++] = lex->s[i];
    digits[n] = '\0';
    token->n = n;
    token->number = strtod(digits, NULL);
    advance(lex, end);
    return true;
}

/* \xHH \uHHHH \UHHHHHHHH at s[*pos] (the letter): the code point; *pos moves behind it. */
static bool read_hex(struct lexer *lex, size_t *pos, size_t end, size_t digits, uint32_t *ret)
{
    uint32_t code = 0;
    if (end - *pos < digits + 1)
        return fail(lex, "truncated \\ escape in a string");
    for (size_t i = 1; i <= digits; i++) {
        unsigned v = digit_value(lex->s[*pos + i]);
        if (v > 15)
            return fail(lex, "truncated \\ escape in a string");
        code = code * 16 + v;
    }
    if (code > 0x10FFFF)
        return fail(lex, "illegal Unicode character in a string");
    *pos += digits + 1;
    *ret = code;
    return true;
}

static size_t hex_digits(char c)
{
    return c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
}

/* One escape; *pos is behind the backslash. Appends to out, returns false on an error. */
static bool unescape(struct lexer *lex, size_t *pos, size_t end, char *out, size_t *out_n)
{
    static const char letters[] = "abfnrtv\\'\"";
    static const char values[] = "\a\b\f\n\r\t\v\\'\"";
    char c = lex->s[*pos];
    uint32_t code = 0;
    if (c == '\n') {
        (*pos)++;
        return true;
    }
    const char *letter = strchr(letters, c);
    if (c != '\0' && letter != NULL) {
        out[(*out_n)++] = values[letter - letters];
        (*pos)++;
        return true;
    }
    if (c >= '0' && c <= '7') {
        for (int i = 0; i < 3 && *pos < end && lex->s[*pos] >= '0' && lex->s[*pos] <= '7'; i++)
            code = code * 8 + (uint32_t)(lex->s[(*pos)++] - '0');
    } else if (hex_digits(c) != 0) {
        if (!read_hex(lex, pos, end, hex_digits(c), &code))
            return false;
        uint32_t low = 0;
        size_t next = *pos + 1;
        if (code >= 0xD800 && code < 0xDC00 && end - *pos >= 6 && lex->s[*pos] == '\\' &&
            lex->s[next] == 'u' && read_hex(lex, &next, end, 4, &low) && low >= 0xDC00 &&
            low < 0xE000) {
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
            *pos = next;
        }
    } else if (c == 'N') {
        return fail(lex, "\\N escapes are not supported in strings");
    } else {
        out[(*out_n)++] = '\\'; /* unknown: stays as it is */
        return true;
    }
    *out_n += utf8_encode(code, out + *out_n);
    return true;
}

static bool lex_string(struct lexer *lex)
{
    char quote = lex->s[lex->pos];
    size_t end = lex->pos + 1;
    while (end < lex->n && lex->s[end] != quote)
        end += lex->s[end] == '\\' ? 2 : 1;
    if (end >= lex->n)
        return fail(lex, "a string is not closed");
    char *out = arena_alloc(&lex->values->arena, 2 * (end - lex->pos) + 8);
    if (out == NULL)
        return fail_memory(lex);
    size_t n = 0;
    size_t i = lex->pos + 1;
    while (i < end) {
        if (lex->s[i] != '\\') {
            out[n++] = lex->s[i++];
            continue;
        }
        i++;
        if (!unescape(lex, &i, end, out, &n))
            return false;
    }
    out[n] = '\0';
    if (emit(lex, TOKEN_STRING, out, n) == NULL)
        return false;
    advance(lex, end + 1);
    return true;
}

static bool is_name_start(const struct lexer *lex, size_t pos, size_t *ret_bytes)
{
    uint32_t code = template_char_code(lex->s + pos, lex->n - pos, ret_bytes);
    return code == '_' || template_code_is_alpha(code) ||
           (code >= 0x80 && code != TEMPLATE_NO_CODE && !template_code_is_space(code));
}

static bool lex_name(struct lexer *lex)
{
    size_t end = lex->pos;
    size_t bytes = 0;
    while (end < lex->n && (is_digit(lex->s[end]) || is_name_start(lex, end, &bytes)))
        end += is_digit(lex->s[end]) ? 1 : bytes;
    if (emit(lex, TOKEN_NAME, lex->s + lex->pos, end - lex->pos) == NULL)
        return false;
    advance(lex, end);
    return true;
}

struct operator_row {
    const char *text;
    enum token_kind kind;
};

/* longest first */
static const struct operator_row operators[] = {
    {"//", TOKEN_FLOORDIV}, {"**", TOKEN_POW},      {"==", TOKEN_EQ},    {"!=", TOKEN_NE},
    {">=", TOKEN_GE},       {"<=", TOKEN_LE},       {"+", TOKEN_ADD},    {"-", TOKEN_SUB},
    {"/", TOKEN_DIV},       {"*", TOKEN_MUL},       {"%", TOKEN_MOD},    {"~", TOKEN_TILDE},
    {"[", TOKEN_LBRACKET},  {"]", TOKEN_RBRACKET},  {"(", TOKEN_LPAREN}, {")", TOKEN_RPAREN},
    {"{", TOKEN_LBRACE},    {"}", TOKEN_RBRACE},    {">", TOKEN_GT},     {"<", TOKEN_LT},
    {"=", TOKEN_ASSIGN},    {".", TOKEN_DOT},       {":", TOKEN_COLON},  {"|", TOKEN_PIPE},
    {",", TOKEN_COMMA},     {";", TOKEN_SEMICOLON},
};

static bool balance(struct lexer *lex, char c)
{
    if (c == '(' || c == '[' || c == '{') {
        if (lex->open_n == BALANCE_MAX) {
            lex->status = pl_error_set(lex->err, PL_ELIMIT,
                                       "template: line %d: too many open brackets", lex->line);
            return false;
        }
        lex->open[lex->open_n++] = (char)(c == '(' ? ')' : c == '[' ? ']' : '}');
        return true;
    }
    if (c != ')' && c != ']' && c != '}')
        return true;
    if (lex->open_n == 0 || lex->open[lex->open_n - 1] != c)
        return fail(lex, "a bracket is closed that is not open");
    lex->open_n--;
    return true;
}

static bool lex_operator(struct lexer *lex)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(operators); i++) {
        if (!starts(lex, lex->pos, operators[i].text))
            continue;
        if (!balance(lex, lex->s[lex->pos]) ||
            emit(lex, operators[i].kind, operators[i].text, strlen(operators[i].text)) == NULL)
            return false;
        advance(lex, lex->pos + strlen(operators[i].text));
        return true;
    }
    return fail(lex, "unexpected character");
}

/* End of the tag at pos; 0 while it goes on. */
static size_t match_tag_end(const struct lexer *lex, bool variable)
{
    if (lex->open_n > 0)
        return 0;
    if (!variable)
        return match_end(lex, lex->pos, "%}");
    if (starts(lex, lex->pos, "-}}"))
        return skip_space(lex, lex->pos + 3);
    return starts(lex, lex->pos, "}}") ? lex->pos + 2 : 0;
}

static bool lex_token(struct lexer *lex)
{
    char c = lex->s[lex->pos];
    size_t bytes = 0;
    if (is_digit(c))
        return lex_number(lex);
    if (c == '"' || c == '\'')
        return lex_string(lex);
    if (is_name_start(lex, lex->pos, &bytes))
        return lex_name(lex);
    return lex_operator(lex);
}

static bool lex_tag(struct lexer *lex, bool variable)
{
    int begun = lex->line;
    lex->open_n = 0;
    while (lex->pos < lex->n) {
        size_t end = match_tag_end(lex, variable);
        if (end != 0) {
            if (emit(lex, variable ? TOKEN_VARIABLE_END : TOKEN_BLOCK_END, "", 0) == NULL)
                return false;
            advance(lex, end);
            return true;
        }
        size_t space = skip_space(lex, lex->pos);
        if (space > lex->pos)
            advance(lex, space);
        else if (!lex_token(lex))
            return false;
    }
    return fail_at(lex, begun, "a tag is not closed");
}

/* ---- the whole source ------------------------------------------------------------------------- */

/* Position of the next tag; n where there is none. */
static size_t find_tag(const struct lexer *lex)
{
    for (size_t i = lex->pos; i + 1 < lex->n; i++) {
        const char *brace = memchr(lex->s + i, '{', lex->n - 1 - i);
        if (brace == NULL)
            break;
        i = (size_t)(brace - lex->s);
        if (brace[1] == '{' || brace[1] == '%' || brace[1] == '#')
            return i;
    }
    return lex->n;
}

static bool lex_piece(struct lexer *lex)
{
    size_t start = lex->pos;
    size_t tag = find_tag(lex);
    if (tag == lex->n) {
        bool ok = emit_data(lex, start, tag);
        advance(lex, tag);
        return ok;
    }
    char type = lex->s[tag + 1];
    char sign = (char)(tag + 2 < lex->n ? lex->s[tag + 2] : 0);
    if (sign != '-' && sign != '+')
        sign = 0;
    if (!emit_data(lex, start, strip_before(lex, start, tag, sign, type == '{')))
        return false;
    size_t raw_end = 0;
    if (type == '%' && match_raw_begin(lex, tag, &raw_end)) {
        advance(lex, raw_end);
        return lex_raw(lex);
    }
    advance(lex, tag + 2 + (sign != 0));
    if (type == '#')
        return lex_comment(lex);
    enum token_kind kind = type == '{' ? TOKEN_VARIABLE_BEGIN : TOKEN_BLOCK_BEGIN;
    return emit(lex, kind, "", 0) != NULL && lex_tag(lex, type == '{');
}

/* A copy with \n for every line end, and without the last one. */
static char *normalise(struct template_values *values, const char *source, size_t n, size_t *ret_n)
{
    char *copy = arena_alloc(&values->arena, n + 1);
    if (copy == NULL)
        return NULL;
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        if (source[i] == '\r') {
            copy[len++] = '\n';
            i += i + 1 < n && source[i + 1] == '\n';
        } else {
            copy[len++] = source[i];
        }
    }
    if (len > 0 && copy[len - 1] == '\n')
        len--;
    copy[len] = '\0';
    *ret_n = len;
    return copy;
}

enum pl_status template_lex(struct template_values *values, const char *source, size_t n,
                            struct token **ret, struct pl_error *err)
{
    struct token *first = NULL;
    struct lexer lex = {
        .values = values, .line = 1, .line_starting = true, .tail = &first, .err = err};
    lex.s = normalise(values, source, n, &lex.n);
    if (lex.s == NULL) {
        fail_memory(&lex);
        return lex.status;
    }
    while (lex.pos < lex.n)
        if (!lex_piece(&lex))
            return lex.status;
    if (emit(&lex, TOKEN_EOF, "", 0) == NULL)
        return lex.status;
    *ret = first;
    return PL_OK;
}
