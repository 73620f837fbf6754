/* See json_check.h. A scope stack of one bit per level says whether it is an object. */
#include "json_check.h"

#include <string.h>

#include "base/utf8.h"
#include "base/banned.h"

struct scan {
    const char *text;
    size_t n, at;
    const char *wrong; /* first complaint */
};

static int peek(const struct scan *s)
{
    return s->at < s->n ? (unsigned char)s->text[s->at] : -1;
}

static bool take(struct scan *s, char c)
{
    if (peek(s) != (unsigned char)c)
        return false;
    s->at++;
    return true;
}

static bool fail(struct scan *s, const char *wrong)
{
    if (s->wrong == NULL)
        s->wrong = s->at >= s->n ? "unexpected end" : wrong;
    return false;
}

static void skip_blanks(struct scan *s)
{
    for (int c = peek(s); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = peek(s))
        s->at++;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool digits(struct scan *s)
{
    if (!is_digit(peek(s)))
        return fail(s, "expected a digit");
    while (is_digit(peek(s)))
        s->at++;
    return true;
}

static bool number(struct scan *s)
{
    (void)take(s, '-');
    if (take(s, '0')) {
        if (is_digit(peek(s)))
            return fail(s, "number with a leading zero");
    } else if (!digits(s)) {
        return false;
    }
    if (take(s, '.') && !digits(s))
        return false;
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            (void)take(s, '-');
        return digits(s);
    }
    return true;
}

static bool escape(struct scan *s)
{
    int c = peek(s);
    if (c == 'u') {
        for (int i = 1; i <= 4; i++) {
            s->at++;
            int h = peek(s);
            if (!is_digit(h) && !(h >= 'a' && h <= 'f') && !(h >= 'A' && h <= 'F'))
                return fail(s, "bad \\u escape");
        }
    } else if (c <= 0 || strchr("\"\\/bfnrt", c) == NULL) {
        return fail(s, "bad escape");
    }
    s->at++;
    return true;
}

/* The bytes of a string, after its quote. */
static bool string_rest(struct scan *s)
{
    for (;;) {
        int c = peek(s);
        if (c < 0x20)
            return fail(s, "control character in a string");
        if (c >= 0x80) {
            uint32_t code;
            size_t bytes;
            if (utf8_decode(s->text + s->at, s->n - s->at, &code, &bytes) != UTF8_OK)
                return fail(s, "invalid UTF-8");
            s->at += bytes;
            continue;
        }
        s->at++;
        if (c == '"')
            return true;
        if (c == '\\' && !escape(s))
            return false;
    }
}

static bool word(struct scan *s, const char *text)
{
    for (; *text != '\0'; text++) {
        if (!take(s, *text))
            return fail(s, "unexpected character");
    }
    return true;
}

static bool scalar(struct scan *s)
{
    switch (peek(s)) {
    case '"': s->at++; return string_rest(s);
    case 't': return word(s, "true");
    case 'f': return word(s, "false");
    case 'n': return word(s, "null");
    default:
        if (peek(s) == '-' || is_digit(peek(s)))
            return number(s);
        return fail(s, "unexpected character");
    }
}

static bool key(struct scan *s)
{
    skip_blanks(s);
    if (!take(s, '"'))
        return fail(s, "expected a string as key");
    if (!string_rest(s))
        return false;
    skip_blanks(s);
    if (!take(s, ':'))
        return fail(s, "expected ':'");
    return true;
}

/* Objects by bit: scopes >> 0 is the innermost. */
struct scopes {
    uint64_t objects;
    unsigned depth;
};

/* After a value: closes what ends here, or steps to the next item. True while more values follow. */
static bool after_value(struct scan *s, struct scopes *scopes)
{
    while (scopes->depth > 0) {
        bool object = (scopes->objects & 1) != 0;
        skip_blanks(s);
        if (take(s, ','))
            return !object || key(s);
        if (!take(s, object ? '}' : ']'))
            return fail(s, object ? "expected ',' or '}'" : "expected ',' or ']'");
        scopes->objects >>= 1;
        scopes->depth--;
    }
    return false;
}

/* Opens scopes until a scalar or an empty scope was read. */
static bool value(struct scan *s, struct scopes *scopes, unsigned depth_max)
{
    for (;;) {
        skip_blanks(s);
        bool object = peek(s) == '{';
        if (!object && peek(s) != '[')
            return scalar(s);
        if (scopes->depth == depth_max)
            return fail(s, "nested too deeply");
        s->at++;
        skip_blanks(s);
        if (take(s, object ? '}' : ']'))
            return true;
        scopes->objects = scopes->objects << 1 | (object ? 1U : 0U);
        scopes->depth++;
        if (object && !key(s))
            return false;
    }
}

const char *json_check(const char *text, size_t n, unsigned depth_max, size_t *ret_at)
{
    struct scan s = {.text = text, .n = n};
    struct scopes scopes = {0};
    depth_max = PL_MIN(depth_max, (unsigned)JSON_CHECK_DEPTH_MAX);
    do {
        if (!value(&s, &scopes, depth_max))
            break;
    } while (after_value(&s, &scopes));
    if (s.wrong == NULL) {
        skip_blanks(&s);
        if (s.at < n)
            s.wrong = "more text after the value";
    }
    *ret_at = s.at;
    return s.wrong;
}
