/*
 * template/json_read.c - JSON text to values, as Python's json.loads does it: the order of members is
 * kept, the last of equal names wins, integers of any length keep all their digits.
 */
#include "value.h"

#include <base/utf8.h>

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

struct reader {
    struct template_values *values;
    const char *s;
    size_t n;
    size_t at;
    unsigned depth;
    const char *wrong; /* static text; NULL: memory */
};

static struct template_value *read_value(struct reader *r);

static void *wrong(struct reader *r, const char *what)
{
    if (r->wrong == NULL)
        r->wrong = what;
    return NULL;
}

static char peek(const struct reader *r)
{
    return (char)(r->at < r->n ? r->s[r->at] : '\0');
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->n && (r->s[r->at] == ' ' || r->s[r->at] == '\t' || r->s[r->at] == '\n' ||
                            r->s[r->at] == '\r'))
        r->at++;
}

static bool skip_char(struct reader *r, char c)
{
    if (r->at >= r->n || r->s[r->at] != c)
        return false;
    r->at++;
    return true;
}

/* ---- strings ---------------------------------------------------------------------------------- */

/* Behind \u; UTF8_REPLACEMENT's caller can't tell, so *ok says whether there were four digits. */
static uint32_t read_hex4(struct reader *r, bool *ok)
{
    uint32_t code = 0;
    for (int i = 0; i < 4; i++) {
        char c = peek(r);
        char lower = (char)(c | 0x20);
        *ok = *ok && ((c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'f'));
        if (!*ok)
            return 0;
        code = code * 16 + (uint32_t)(c <= '9' ? c - '0' : lower - 'a' + 10);
        r->at++;
    }
    return code;
}

/* A pair of surrogates is one code point; a lone one becomes U+FFFD. */
static uint32_t read_unicode(struct reader *r, bool *ok)
{
    uint32_t high = read_hex4(r, ok);
    if (high < 0xD800 || high > 0xDBFF || r->n - r->at < 6 || r->s[r->at] != '\\' ||
        r->s[r->at + 1] != 'u')
        return high;
    size_t behind = r->at;
    r->at += 2;
    uint32_t low = read_hex4(r, ok);
    if (low >= 0xDC00 && low <= 0xDFFF)
        return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    r->at = behind;
    return high;
}

static bool read_escape(struct reader *r, char *out, size_t *n)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meant[] = "\"\\/\b\f\n\r\t";
    char c = peek(r);
    const char *letter = c != '\0' ? strchr(letters, c) : NULL;
    r->at++;
    if (letter != NULL) {
        out[(*n)++] = meant[letter - letters];
        return true;
    }
    bool ok = c == 'u';
    uint32_t code = ok ? read_unicode(r, &ok) : 0;
    if (ok)
        *n += utf8_encode(code, out + *n);
    return ok;
}

/* Behind the opening quote. An escape is never shorter than what it stands for. */
static struct template_value *read_string(struct reader *r)
{
    size_t end = r->at;
    while (end < r->n && r->s[end] != '"')
        end += r->s[end] == '\\' ? 2 : 1;
    if (end >= r->n)
        return wrong(r, "a string is not closed");
    char *out = arena_alloc(&r->values->arena, end - r->at + 1);
    size_t n = 0;
    if (out == NULL)
        return NULL;
    while (r->at < end) {
        char c = r->s[r->at++];
        if ((unsigned char)c < 0x20)
            return wrong(r, "a control character in a string");
        if (c != '\\')
            out[n++] = c;
        else if (!read_escape(r, out, &n))
            return wrong(r, "an unknown escape in a string");
    }
    r->at = end + 1;
    out[n] = '\0';
    return template_string_ref(r->values, out, n);
}

/* ---- numbers ---------------------------------------------------------------------------------- */

static size_t skip_digits(struct reader *r)
{
    size_t start = r->at;
    while (r->at < r->n && r->s[r->at] >= '0' && r->s[r->at] <= '9')
        r->at++;
    return r->at - start;
}

static struct template_value *read_float(struct reader *r, size_t start)
{
    size_t n = r->at - start;
    char *text = arena_alloc(&r->values->arena, n + 1);
    if (text == NULL)
        return NULL;
    memcpy(text, r->s + start, n);
    text[n] = '\0';
    return template_float(r->values, strtod(text, NULL));
}

static struct template_value *read_number(struct reader *r)
{
    size_t start = r->at;
    bool whole = true;
    (void)skip_char(r, '-');
    bool zero = peek(r) == '0';
    size_t digits = skip_digits(r);
    if (digits == 0 || (zero && digits > 1))
        return wrong(r, "not a value");
    if (skip_char(r, '.')) {
        whole = false;
        if (skip_digits(r) == 0)
            return wrong(r, "a number without digits");
    }
    if (skip_char(r, 'e') || skip_char(r, 'E')) {
        whole = false;
        if (!skip_char(r, '+'))
            (void)skip_char(r, '-');
        if (skip_digits(r) == 0)
            return wrong(r, "a number without digits");
    }
    if (!whole)
        return read_float(r, start);
    return template_int_digits(r->values, r->s + start, r->at - start);
}

/* ---- the rest --------------------------------------------------------------------------------- */

static struct template_value *read_list(struct reader *r)
{
    struct template_value *list = template_list(r->values);
    skip_blanks(r);
    if (skip_char(r, ']'))
        return list;
    do {
        struct template_value *item = read_value(r);
        if (item == NULL || !template_list_add(r->values, list, item))
            return NULL;
    } while (skip_char(r, ','));
    return skip_char(r, ']') ? list : wrong(r, "expected ',' or ']'");
}

static struct template_value *read_object(struct reader *r)
{
    struct template_value *dict = template_dict(r->values);
    skip_blanks(r);
    if (skip_char(r, '}'))
        return dict;
    do {
        skip_blanks(r);
        if (!skip_char(r, '"'))
            return wrong(r, "expected a name in quotes");
        struct template_value *key = read_string(r);
        skip_blanks(r);
        if (key != NULL && !skip_char(r, ':'))
            return wrong(r, "expected ':'");
        struct template_value *item = key != NULL ? read_value(r) : NULL;
        if (item == NULL || dict == NULL ||
            !template_dict_put_text(r->values, dict->u.dict, key, item))
            return NULL;
    } while (skip_char(r, ','));
    return skip_char(r, '}') ? dict : wrong(r, "expected ',' or '}'");
}

static bool skip_word(struct reader *r, const char *word)
{
    size_t n = strlen(word);
    if (r->n - r->at < n || memcmp(r->s + r->at, word, n) != 0)
        return false;
    r->at += n;
    return true;
}

static struct template_value *read_bare(struct reader *r)
{
    if (skip_char(r, '"'))
        return read_string(r);
    if (skip_char(r, '['))
        return read_list(r);
    if (skip_char(r, '{'))
        return read_object(r);
    if (skip_word(r, "null"))
        return template_none(r->values);
    if (skip_word(r, "true"))
        return template_bool(r->values, true);
    if (skip_word(r, "false"))
        return template_bool(r->values, false);
    return read_number(r);
}

/* Calls itself through lists and objects, at most TEMPLATE_JSON_DEPTH_MAX deep. */
static struct template_value *read_value(struct reader *r)
{
    if (r->depth >= TEMPLATE_JSON_DEPTH_MAX)
        return wrong(r, "nested too deep");
    r->depth++;
    skip_blanks(r);
    struct template_value *value = read_bare(r);
    skip_blanks(r);
    r->depth--;
    return value;
}

enum pl_status template_json_read(struct template_values *values, const char *text, size_t n,
                                  struct template_value **ret, struct pl_error *err)
{
    struct reader r = {.values = values, .s = text, .n = n};
    struct template_value *value = read_value(&r);
    if (value != NULL && r.at < n)
        value = wrong(&r, "more text behind the value");
    if (value == NULL && r.wrong == NULL)
        return pl_error_set(err, PL_ENOMEM, "json: out of memory");
    if (value == NULL)
        return pl_error_set(err, PL_EFORMAT, "json: byte %zu: %s", r.at, r.wrong);
    *ret = value;
    return PL_OK;
}
