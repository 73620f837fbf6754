/*
 * template/format.c - see format.h.
 */
#include "format.h"
#include "unicode.h"

#include <base/utf8.h>

#include <math.h>
#include <string.h>

#include "base/banned.h"

#define DIGITS_MAX 800 /* 309 before the point, FORMAT_PRECISION_MAX behind, signs */

/* Sign and prefix (0x), then digits, then fraction and exponent. */
struct number_parts {
    char prefix[4];
    size_t prefix_n;
    char text[DIGITS_MAX];
    size_t text_n;
    size_t whole_n; /* digits that can be grouped */
};

static bool put_padded(struct eval *ev, const struct format_spec *spec, size_t chars,
                       const char *text, size_t n, char align)
{
    size_t room = spec->width > (int64_t)chars ? (size_t)spec->width - chars : 0;
    size_t before = align == '>' ? room : align == '^' ? room / 2 : 0;
    return template_put_fill(ev, spec->fill, spec->fill_n, before) && template_put(ev, text, n) &&
           template_put_fill(ev, spec->fill, spec->fill_n, room - before);
}

static bool put_string(struct eval *ev, const struct format_spec *spec,
                       const struct template_value *text)
{
    size_t n = 0;
    size_t chars = 0;
    int64_t limit = spec->precision >= 0 ? spec->precision : INT64_MAX;
    while (n < text->u.string.bytes && (int64_t)chars < limit) {
        n += template_char_bytes(text->u.string.text + n, text->u.string.bytes - n);
        chars++;
    }
    return put_padded(ev, spec, chars, text->u.string.text, n,
                      (char)(spec->align != 0 ? spec->align : '<'));
}

static void set_sign(const struct format_spec *spec, bool negative, struct number_parts *parts)
{
    if (negative)
        parts->prefix[parts->prefix_n++] = '-';
    else if (spec->sign == '+' || spec->sign == ' ')
        parts->prefix[parts->prefix_n++] = spec->sign;
}

static bool put_grouped(struct eval *ev, const struct number_parts *parts, char group, size_t size)
{
    for (size_t i = 0; i < parts->whole_n; i++) {
        if (i > 0 && group != 0 && (parts->whole_n - i) % size == 0 &&
            !template_put_char(ev, group))
            return false;
        if (!template_put_char(ev, parts->text[i]))
            return false;
    }
    return template_put(ev, parts->text + parts->whole_n, parts->text_n - parts->whole_n);
}

static bool put_number(struct eval *ev, const struct format_spec *spec,
                       const struct number_parts *parts)
{
    bool decimal = spec->type == 0 || strchr("bBoxX", spec->type) == NULL;
    size_t size = decimal ? 3 : 4;
    size_t groups = spec->group != 0 && parts->whole_n > 0 ? (parts->whole_n - 1) / size : 0;
    size_t chars = parts->prefix_n + parts->text_n + groups;
    size_t room = spec->width > (int64_t)chars ? (size_t)spec->width - chars : 0;
    char align = (char)(spec->align != 0 ? spec->align : '>');
    size_t before = align == '>' ? room : align == '^' ? room / 2 : 0;
    size_t inside = align == '=' ? room : 0;
    return template_put_fill(ev, spec->fill, spec->fill_n, before) &&
           template_put(ev, parts->prefix, parts->prefix_n) &&
           template_put_fill(ev, spec->fill, spec->fill_n, inside) &&
           put_grouped(ev, parts, spec->group, size) &&
           template_put_fill(ev, spec->fill, spec->fill_n, room - before - inside);
}

static bool put_int(struct eval *ev, const struct format_spec *spec, int64_t i)
{
    struct number_parts parts = {.prefix_n = 0};
    uint64_t magnitude = i < 0 ? (uint64_t)0 - (uint64_t)i : (uint64_t)i;
    unsigned base = spec->type == 'b'            ? 2
                    : spec->type == 'o'          ? 8
                    : (spec->type | 0x20) == 'x' ? 16
                                                 : 10;
    const char *digits = spec->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    char reversed[72];
    size_t n = 0;
    do {
        reversed[n++] = digits[magnitude % base];
        magnitude /= base;
    } while (magnitude > 0);
    set_sign(spec, i < 0, &parts);
    if (spec->alternate && base != 10) {
        parts.prefix[parts.prefix_n++] = '0';
        parts.prefix[parts.prefix_n++] = spec->type;
    }
    while (n > 0)
        parts.text[parts.text_n++] = reversed[--n];
    parts.whole_n = parts.text_n;
    return put_number(ev, spec, &parts);
}

static bool put_big(struct eval *ev, const struct format_spec *spec,
                    const struct template_value *big)
{
    struct number_parts parts = {.prefix_n = 0};
    bool negative = big->u.string.text[0] == '-';
    size_t n = big->u.string.bytes - negative;
    if (n > sizeof parts.text) {
        template_fail_limit(ev, "too many digits in a formatted integer");
        return false;
    }
    set_sign(spec, negative, &parts);
    memcpy(parts.text, big->u.string.text + negative, n);
    parts.text_n = parts.whole_n = n;
    return put_number(ev, spec, &parts);
}

/* The digits of |d| by the type, in C's words. */
static int double_digits(const struct format_spec *spec, double d, char *ret, size_t ret_n)
{
    int precision =
        (int)PL_MIN(spec->precision < 0 ? 6 : spec->precision, (int64_t)FORMAT_PRECISION_MAX);
    switch (spec->type) {
    case 'e': return snprintf(ret, ret_n, spec->alternate ? "%#.*e" : "%.*e", precision, d);
    case 'E': return snprintf(ret, ret_n, spec->alternate ? "%#.*E" : "%.*E", precision, d);
    case 'f':
    case '%': return snprintf(ret, ret_n, spec->alternate ? "%#.*f" : "%.*f", precision, d);
    case 'F': return snprintf(ret, ret_n, spec->alternate ? "%#.*F" : "%.*F", precision, d);
    case 'G': return snprintf(ret, ret_n, spec->alternate ? "%#.*G" : "%.*G", precision, d);
    case 'g':
    case 'n': return snprintf(ret, ret_n, spec->alternate ? "%#.*g" : "%.*g", precision, d);
    default: break;
    }
    if (spec->precision < 0)
        return (int)template_format_double(d, ret);
    int n = snprintf(ret, ret_n, "%.*g", PL_MAX(precision, 1), d);
    if (isfinite(d) && strpbrk(ret, ".e") == NULL)
        n += snprintf(ret + n, ret_n - (size_t)n, ".0");
    return n;
}

static bool put_double(struct eval *ev, const struct format_spec *spec, double d)
{
    struct number_parts parts = {.prefix_n = 0};
    set_sign(spec, signbit(d) && !isnan(d), &parts);
    double magnitude = spec->type == '%' ? fabs(d) * 100 : fabs(d);
    int n = double_digits(spec, magnitude, parts.text, sizeof parts.text - 1);
    parts.text_n = (size_t)n;
    if (spec->type == '%')
        parts.text[parts.text_n++] = '%';
    while (parts.whole_n < parts.text_n && parts.text[parts.whole_n] >= '0' &&
           parts.text[parts.whole_n] <= '9')
        parts.whole_n++;
    return put_number(ev, spec, &parts);
}

static bool is_float_type(char type)
{
    return type != 0 && strchr("eEfFgG%", type) != NULL;
}

static bool put_big_formatted(struct eval *ev, const struct format_spec *spec,
                              const struct template_value *big)
{
    if (is_float_type(spec->type))
        return put_double(ev, spec, template_as_double(big));
    if (spec->type == 0 || spec->type == 'd' || spec->type == 'n')
        return put_big(ev, spec, big);
    template_fail(ev, "a conversion of an integer beyond 64 bits");
    return false;
}

/* Nothing in it is for numbers only. */
static bool fits_string(const struct format_spec *spec)
{
    return (spec->type == 0 || spec->type == 's') && spec->sign == 0 && spec->group == 0 &&
           spec->align != '=' && !spec->alternate;
}

bool template_put_formatted(struct eval *ev, const struct format_spec *spec,
                            struct template_value *value)
{
    int64_t i = 0;
    if (spec->width > (int64_t)TEMPLATE_OUTPUT_BYTES_MAX) {
        template_fail_limit(ev, "too much text");
        return false;
    }
    if (value->kind == VALUE_STRING) {
        if (fits_string(spec))
            return put_string(ev, spec, value);
    } else if (value->kind == VALUE_FLOAT) {
        if (spec->type == 0 || spec->type == 'n' || is_float_type(spec->type))
            return put_double(ev, spec, value->u.number);
    } else if (value->kind == VALUE_BIG) {
        return put_big_formatted(ev, spec, value);
    } else if (template_as_int(value, &i)) {
        if (is_float_type(spec->type))
            return put_double(ev, spec, (double)i);
        if (spec->type == 'c') {
            char bytes[UTF8_MAX_BYTES];
            if (i >= 0 && i <= 0x10FFFF)
                return put_padded(ev, spec, 1, bytes, utf8_encode((uint32_t)i, bytes),
                                  (char)(spec->align != 0 ? spec->align : '<'));
        } else if (spec->type == 0 || strchr("dboxXn", spec->type) != NULL) {
            return put_int(ev, spec, i);
        }
    }
    template_fail(ev, "unknown format code '%c' for a value of type '%s'",
                  spec->type != 0 ? spec->type : ' ', template_type_name(value));
    return false;
}
