/*
 * template/filters_number.c - filters of numbers, and pprint.
 */
#include "eval.h"
#include "unicode.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define NUMBER_TEXT_MAX 400 /* a double written out in full has 309 digits */

/* The number in the text as Python reads it: blanks around, single underscores between digits. In ASCII
 * to ret; false where it can't be a number. */
static bool number_text(const struct template_value *text, char ret[NUMBER_TEXT_MAX])
{
    const char *s = text->u.string.text;
    size_t n = text->u.string.bytes;
    size_t bytes = 0;
    size_t len = 0;
    size_t start = 0;
    while (start < n && template_code_is_space(template_char_code(s + start, n - start, &bytes)))
        start += bytes;
    while (n > start) {
        size_t at = start + template_char_before(s + start, n - start);
        if (!template_code_is_space(template_char_code(s + at, n - at, &bytes)))
            break;
        n = at;
    }
    for (size_t at = start; at < n; at += bytes) {
        uint32_t code = template_char_code(s + at, n - at, &bytes);
        if (code == '_') {
            bool between =
                at > start && s[at - 1] != '_' && at + 1 < n && s[at + 1] != '_' && len > 0;
            if (!between)
                return false;
            continue;
        }
        unsigned digit = template_code_decimal(code);
        if ((code >= 0x80 && digit > 9) || code == 0 || len + 1 >= NUMBER_TEXT_MAX)
            return false;
        ret[len++] = (char)(digit <= 9 ? '0' + digit : code);
    }
    ret[len] = '\0';
    return len > 0;
}

static unsigned letter_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'z' ? (unsigned)(lower - 'a') + 10 : 99;
}

/* 1: read, 0: no number, -1: beyond 64 bits */
static int read_int(const char *s, unsigned base, int64_t *ret)
{
    bool negative = *s == '-';
    s += *s == '-' || *s == '+';
    char prefix = (char)(base == 2 ? 'b' : base == 8 ? 'o' : base == 16 ? 'x' : '\0');
    if (prefix != '\0' && s[0] == '0' && (s[1] | 0x20) == prefix)
        s += 2;
    int64_t value = 0;
    bool fits = true;
    if (*s == '\0')
        return 0;
    for (; *s != '\0'; s++) {
        unsigned digit = letter_digit(*s);
        if (digit >= base)
            return 0;
        fits = fits && !__builtin_mul_overflow(value, (int64_t)base, &value) &&
               !__builtin_sub_overflow(value, (int64_t)digit, &value);
    }
    if (!negative && fits)
        fits = !__builtin_sub_overflow((int64_t)0, value, &value);
    *ret = value;
    return fits ? 1 : -1;
}

static bool read_double(const char *s, double *ret)
{
    const char *word = s + (*s == '-' || *s == '+');
    bool named = strcasecmp(word, "inf") == 0 || strcasecmp(word, "infinity") == 0 ||
                 strcasecmp(word, "nan") == 0;
    if (!named && strspn(word, "0123456789.eE+-") != strlen(word))
        return false;
    char *end = NULL;
    *ret = strtod(s, &end);
    return end != s && *end == '\0';
}

static struct template_value *int_of_double(struct eval *ev, double d,
                                            struct template_value *fallback)
{
    if (isnan(d))
        return fallback; /* ValueError in Python */
    if (isinf(d))
        return template_fail(ev, "infinity is no integer");
    if (d < 9223372036854775808.0 && d >= -9223372036854775808.0)
        return template_check(ev, template_int(ev->values, (int64_t)d));
    char text[NUMBER_TEXT_MAX];
    int n = snprintf(text, sizeof text, "%.0f", d);
    return template_check(ev, template_int_digits(ev->values, text, (size_t)n));
}

static struct template_value *filter_int(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    struct template_value *fallback = template_arg(args, 0, template_int(ev->values, 0));
    int64_t base = 10;
    int64_t i = 0;
    double d = 0;
    char text[NUMBER_TEXT_MAX];
    if (!template_arg_int(ev, args, 1, &base))
        return NULL;
    if (self->kind == VALUE_UNDEFINED)
        return template_fail_undefined(ev, self);
    if (template_as_int(self, &i))
        return template_check(ev, template_int(ev->values, i));
    if (self->kind == VALUE_BIG)
        return self;
    if (self->kind == VALUE_FLOAT)
        return int_of_double(ev, self->u.number, fallback);
    if (self->kind != VALUE_STRING || !number_text(self, text))
        return fallback;
    int read = base >= 2 && base <= 36 ? read_int(text, (unsigned)base, &i) : 0;
    if (read < 0)
        return base == 10
                   ? template_check(ev, template_int_digits(ev->values, text + (*text == '+'),
                                                            strlen(text + (*text == '+'))))
                   : template_fail(ev, "integer beyond 64 bits");
    if (read > 0)
        return template_check(ev, template_int(ev->values, i));
    return read_double(text, &d) ? int_of_double(ev, d, fallback) : fallback;
}

static struct template_value *filter_float(struct eval *ev, struct template_value *self,
                                           const struct call_args *args)
{
    char text[NUMBER_TEXT_MAX];
    double d = 0;
    if (self->kind == VALUE_UNDEFINED)
        return template_fail_undefined(ev, self);
    if (template_is_number(self))
        d = template_as_double(self);
    else if (self->kind != VALUE_STRING || !number_text(self, text) || !read_double(text, &d))
        return template_arg(args, 0, template_check(ev, template_float(ev->values, 0)));
    return template_check(ev, template_float(ev->values, d));
}

static struct template_value *filter_abs(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    (void)args;
    int64_t i = 0;
    if (!template_is_number(self))
        return template_fail_type(ev, "abs: not a number", self);
    if (self->kind == VALUE_BIG)
        return self->u.string.text[0] != '-'
                   ? self
                   : template_check(ev, template_big_negate(ev->values, self));
    if (!template_as_int(self, &i))
        return template_check(ev, template_float(ev->values, fabs(self->u.number)));
    return template_check(ev, template_int_wide(ev->values, i < 0 ? -(pl_int128)i : (pl_int128)i));
}

/* Correctly rounded in decimal, halves to even, as Python's round(). */
static double round_double(double d, int64_t digits)
{
    char text[NUMBER_TEXT_MAX];
    if (!isfinite(d) || digits > 30)
        return d;
    if (digits >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)digits, d);
        return strtod(text, NULL);
    }
    if (digits < -308)
        return copysign(0.0, d);
    double scale = pow(10, (double)-digits);
    return nearbyint(d / scale) * scale;
}

static pl_int128 round_int(int64_t i, int64_t digits)
{
    if (digits >= 0)
        return i;
    if (digits < -18)
        return 0;
    int64_t scale = 1;
    for (; digits < 0; digits++)
        scale *= 10;
    int64_t rest = i % scale;
    int64_t low = i - rest;
    int64_t twice = (rest < 0 ? -rest : rest) - (scale - (rest < 0 ? -rest : rest));
    bool up = twice > 0 || (twice == 0 && (low / scale) % 2 != 0);
    return up ? (pl_int128)low + (rest < 0 ? -scale : scale) : low;
}

static struct template_value *filter_round(struct eval *ev, struct template_value *self,
                                           const struct call_args *args)
{
    int64_t precision = 0;
    int64_t i = 0;
    struct template_value *method = NULL;
    if (!template_arg_int(ev, args, 0, &precision) || !template_arg_string(ev, args, 1, &method))
        return NULL;
    if (!template_is_number(self))
        return template_fail_type(ev, "round: not a number", self);
    size_t n = method != NULL ? method->u.string.bytes : 6;
    const char *name = method != NULL ? method->u.string.text : "common";
    if (n == 6 && memcmp(name, "common", n) == 0) {
        if (self->kind == VALUE_BIG)
            return precision >= 0 ? self : template_fail(ev, "integer beyond 64 bits");
        if (template_as_int(self, &i))
            return template_check(ev, template_int_wide(ev->values, round_int(i, precision)));
        return template_check(ev,
                              template_float(ev->values, round_double(self->u.number, precision)));
    }
    bool up = n == 4 && memcmp(name, "ceil", n) == 0;
    if (!up && (n != 5 || memcmp(name, "floor", n) != 0))
        return template_fail(ev, "round: the method must be common, ceil or floor");
    double scale = pow(10, (double)precision);
    double scaled = template_as_double(self) * scale;
    if (!isfinite(scaled) || scale == 0)
        return template_fail(ev, "round: out of range");
    return template_check(
        ev, template_float(ev->values, ((up ? ceil(scaled) : floor(scaled)) + 0.0) / scale));
}

static struct template_value *filter_filesizeformat(struct eval *ev, struct template_value *self,
                                                    const struct call_args *args)
{
    static const char units[] = "kMGTPEZY";
    bool binary = template_arg_truth(args, 0, false);
    double base = binary ? 1024 : 1000;
    double bytes = 0;
    char text[NUMBER_TEXT_MAX];
    if (template_is_number(self))
        bytes = template_as_double(self);
    else if (self->kind != VALUE_STRING || !number_text(self, text) || !read_double(text, &bytes))
        return template_fail_type(ev, "filesizeformat: not a number", self);
    if (bytes == 1)
        return template_check(ev, template_string(ev->values, "1 Byte", 6));
    int n = 0;
    if (bytes < base) {
        n = snprintf(text, sizeof text, "%.0f Bytes", trunc(bytes) + 0.0);
    } else {
        double unit = base * base;
        size_t i = 0;
        while (i < 7 && bytes >= unit) {
            unit *= base;
            i++;
        }
        n = snprintf(text, sizeof text, "%.1f %c%sB", base * bytes / unit,
                     binary && i == 0 ? 'K' : units[i], binary ? "i" : "");
    }
    return template_check(
        ev, template_string(ev->values, text, (size_t)PL_MIN(n, NUMBER_TEXT_MAX - 1)));
}

/* Python's pformat for what fits on a line of 80: keys in order. Longer values are not wrapped. */
static bool put_pretty(struct eval *ev, const struct template_value *value);

static bool put_pretty_list(struct eval *ev, const struct template_value *list)
{
    bool tuple = list->kind == VALUE_TUPLE;
    bool ok = template_put_char(ev, tuple ? '(' : '[');
    for (size_t i = 0; ok && i < list->u.list.n; i++)
        ok = (i == 0 || template_put_text(ev, ", ")) && put_pretty(ev, list->u.list.items[i]);
    return ok && template_put_text(ev, !tuple ? "]" : list->u.list.n == 1 ? ",)" : ")");
}

static bool put_pretty_dict(struct eval *ev, const struct dict *dict)
{
    struct template_value **pairs = template_alloc(ev, dict->n, sizeof(void *));
    struct template_value **keys = template_alloc(ev, dict->n, sizeof(void *));
    if (pairs == NULL || keys == NULL)
        return false;
    for (size_t i = 0; i < dict->n; i++) {
        keys[i] = dict->entries[i].key;
        pairs[i] = template_check(ev, template_pair(ev->values, keys[i], dict->entries[i].item));
        if (pairs[i] == NULL)
            return false;
    }
    bool ok = template_sort(ev, pairs, keys, dict->n, false) && template_put_char(ev, '{');
    for (size_t i = 0; ok && i < dict->n; i++)
        ok = (i == 0 || template_put_text(ev, ", ")) &&
             template_put_repr(ev, pairs[i]->u.list.items[0]) && template_put_text(ev, ": ") &&
             put_pretty(ev, pairs[i]->u.list.items[1]);
    return ok && template_put_char(ev, '}');
}

static bool put_pretty(struct eval *ev, const struct template_value *value)
{
    bool list = value->kind == VALUE_LIST || value->kind == VALUE_TUPLE;
    if (!list && value->kind != VALUE_DICT)
        return template_put_repr(ev, value);
    if (!template_enter(ev))
        return false;
    bool ok = list ? put_pretty_list(ev, value) : put_pretty_dict(ev, value->u.dict);
    template_leave(ev);
    return ok;
}

static struct template_value *filter_pprint(struct eval *ev, struct template_value *self,
                                            const struct call_args *args)
{
    (void)args;
    size_t mark = template_mark(ev);
    return put_pretty(ev, self) ? template_take(ev, mark) : NULL;
}

static const struct builtin rows[] = {
    {"int", filter_int, "default,base", 0, false},
    {"float", filter_float, "default", 0, false},
    {"abs", filter_abs, "", 0, false},
    {"round", filter_round, "precision,method", 0, false},
    {"filesizeformat", filter_filesizeformat, "binary", 0, false},
    {"pprint", filter_pprint, "", 0, false},
};

const struct builtin_table template_filters_number = BUILTIN_TABLE(rows);
