/*
 * template/format_spec.c - str.format: "{} {0} {name.attr[key]!r:>10}".
 */
#include "format.h"
#include "unicode.h"

#include <string.h>

#include "base/banned.h"

struct braces {
    const struct call_args *args;
    size_t next;    /* automatic number */
    bool automatic; /* {} was used */
    bool manual;    /* {0} was used */
};

static bool put_braces(struct eval *ev, struct braces *b, const char *s, size_t n, unsigned depth);

/* ---- fields ----------------------------------------------------------------------------------- */

static bool read_index(const char *s, size_t n, int64_t *ret)
{
    int64_t index = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9' || i > 9)
            return false;
        index = index * 10 + (s[i] - '0');
    }
    *ret = index;
    return n > 0;
}

static struct template_value *first_part(struct eval *ev, struct braces *b, const char *s, size_t n)
{
    int64_t index = 0;
    bool numbered = read_index(s, n, &index);
    if (n == 0) {
        index = (int64_t)b->next++;
        b->automatic = true;
    } else {
        b->manual = b->manual || numbered;
    }
    if (b->automatic && b->manual)
        return template_fail(ev, "format: can't mix automatic and manual numbering");
    if (n == 0 || numbered) {
        if (index >= (int64_t)b->args->n)
            return template_fail(ev, "format: replacement index %lld out of range",
                                 (long long)index);
        return b->args->items[index];
    }
    for (size_t i = 0; i < b->args->keywords_n; i++)
        if (b->args->keywords[i].n == n && memcmp(b->args->keywords[i].text, s, n) == 0)
            return b->args->keywords[i].value;
    return template_fail(ev, "format: no argument '%.*s'", (int)PL_MIN(n, (size_t)60), s);
}

/* name.attribute[item]... */
static struct template_value *field_value(struct eval *ev, struct braces *b, const char *s,
                                          size_t n)
{
    size_t at = 0;
    while (at < n && s[at] != '.' && s[at] != '[')
        at++;
    struct template_value *value = first_part(ev, b, s, at);
    while (value != NULL && at < n) {
        bool item = s[at] == '[';
        size_t start = ++at;
        while (at < n && (item ? s[at] != ']' : s[at] != '.' && s[at] != '['))
            at++;
        int64_t index = 0;
        struct template_value *key = item && read_index(s + start, at - start, &index)
                                         ? template_int(ev->values, index)
                                         : template_string(ev->values, s + start, at - start);
        key = template_check(ev, key);
        if (key == NULL || at == start || (item && at == n))
            return template_fail(ev, "format: malformed field name");
        value = item ? template_getitem(ev, value, key) : template_getattr(ev, value, key);
        at += item;
    }
    return value;
}

/* ---- specification ---------------------------------------------------------------------------- */

static bool is_align(char c)
{
    return c == '<' || c == '>' || c == '=' || c == '^';
}

static size_t parse_digits(const char *s, size_t n, size_t at, int64_t *ret)
{
    if (at < n && s[at] >= '0' && s[at] <= '9')
        *ret = 0;
    for (; at < n && s[at] >= '0' && s[at] <= '9'; at++)
        *ret = PL_MIN(*ret * 10 + (s[at] - '0'), (int64_t)TEMPLATE_OUTPUT_BYTES_MAX + 1);
    return at;
}

static size_t parse_align(const char *s, size_t n, struct format_spec *spec)
{
    size_t bytes = n > 0 ? template_char_bytes(s, n) : 0;
    if (bytes > 0 && bytes <= sizeof spec->fill && bytes < n && is_align(s[bytes])) {
        memcpy(spec->fill, s, bytes);
        spec->fill_n = bytes;
        spec->align = s[bytes];
        return bytes + 1;
    }
    if (n > 0 && is_align(s[0])) {
        spec->align = s[0];
        return 1;
    }
    return 0;
}

static bool parse_spec(const char *s, size_t n, bool number, struct format_spec *spec)
{
    *spec = (struct format_spec){.fill = " ", .fill_n = 1, .precision = -1};
    size_t at = parse_align(s, n, spec);
    if (at < n && (s[at] == '+' || s[at] == '-' || s[at] == ' '))
        spec->sign = s[at++];
    if (at < n && s[at] == '#') {
        spec->alternate = true;
        at++;
    }
    if (at < n && s[at] == '0') {
        if (spec->align == 0) {
            spec->fill[0] = '0';
            spec->align = number ? '=' : '<';
        }
        at++;
    }
    at = parse_digits(s, n, at, &spec->width);
    if (at < n && (s[at] == ',' || s[at] == '_'))
        spec->group = s[at++];
    if (at < n && s[at] == '.') {
        size_t digits = parse_digits(s, n, at + 1, &spec->precision);
        if (digits == at + 1)
            return false;
        at = digits;
    }
    if (at < n)
        spec->type = s[at++];
    return at == n && (spec->type == 0 || strchr("sdboxXneEfFgGc%", spec->type) != NULL);
}

/* ---- replacement ------------------------------------------------------------------------------ */

static bool put_value(struct eval *ev, struct template_value *value, const char *s, size_t n)
{
    if (n == 0)
        return template_put_str(ev, value);
    struct format_spec spec;
    if (value->kind != VALUE_STRING && !template_is_number(value)) {
        template_fail_type(ev, "format: a specification is not supported by this type", value);
        return false;
    }
    if (!parse_spec(s, n, template_is_number(value), &spec)) {
        template_fail(ev, "format: invalid format specification");
        return false;
    }
    return template_put_formatted(ev, &spec, value);
}

/* The field s[0, n): name[!conversion][:spec]. */
static bool put_replacement(struct eval *ev, struct braces *b, const char *s, size_t n,
                            unsigned depth)
{
    size_t name_n = 0;
    while (name_n < n && s[name_n] != '!' && s[name_n] != ':')
        name_n += s[name_n] == '[' && memchr(s + name_n, ']', n - name_n) != NULL
                      ? (size_t)((const char *)memchr(s + name_n, ']', n - name_n) - (s + name_n))
                      : 1;
    struct template_value *value = field_value(ev, b, s, name_n);
    size_t at = name_n;
    size_t mark = template_mark(ev);
    if (value == NULL)
        return false;
    if (at < n && s[at] == '!') {
        char conversion = (char)(at + 1 < n ? s[at + 1] : '\0');
        at += 2;
        if ((at < n && s[at] != ':') || conversion == '\0' || strchr("rsa", conversion) == NULL) {
            template_fail(ev, "format: malformed conversion");
            return false;
        }
        if (!(conversion == 's' ? template_put_str(ev, value) : template_put_repr(ev, value)) ||
            (value = template_take(ev, mark)) == NULL)
            return false;
    }
    if (at >= n)
        return put_value(ev, value, "", 0);
    if (!put_braces(ev, b, s + at + 1, n - at - 1, depth + 1))
        return false;
    struct template_value *spec = template_take(ev, mark);
    return spec != NULL && put_value(ev, value, spec->u.string.text, spec->u.string.bytes);
}

/* Length of the field behind its "{", up to its "}"; SIZE_MAX where it doesn't end. */
static size_t field_length(const char *s, size_t n)
{
    int open = 1;
    for (size_t i = 0; i < n; i++) {
        open += (s[i] == '{') - (s[i] == '}');
        if (open == 0)
            return i;
    }
    return SIZE_MAX;
}

static bool put_braces(struct eval *ev, struct braces *b, const char *s, size_t n, unsigned depth)
{
    if (depth > 2) {
        template_fail(ev, "format: nested too deep");
        return false;
    }
    for (size_t at = 0; at < n; at++) {
        bool brace = s[at] == '{' || s[at] == '}';
        if (brace && at + 1 < n && s[at + 1] == s[at] && depth == 0) {
            at++;
            brace = false;
        }
        if (!brace) {
            if (!template_put_char(ev, s[at]))
                return false;
            continue;
        }
        size_t length = s[at] == '{' ? field_length(s + at + 1, n - at - 1) : SIZE_MAX;
        if (length == SIZE_MAX) {
            template_fail(ev, "format: single brace");
            return false;
        }
        if (!put_replacement(ev, b, s + at + 1, length, depth))
            return false;
        at += length + 1;
    }
    return true;
}

struct template_value *template_format_braces(struct eval *ev, struct template_value *format,
                                              const struct call_args *args)
{
    struct braces b = {.args = args};
    size_t mark = template_mark(ev);
    if (!put_braces(ev, &b, format->u.string.text, format->u.string.bytes, 0))
        return NULL;
    return template_take(ev, mark);
}
