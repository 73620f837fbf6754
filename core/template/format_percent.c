/*
 * template/format_percent.c - the % operator on strings: "%s is %5.2f" % (name, x), "%(key)s" % dict.
 */
#include "format.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

struct percent {
    const char *s;
    size_t n;
    size_t at;
    struct template_value *arg;
    bool tuple;
    size_t used; /* items of the tuple, or 1 for a single value */
    bool mapped; /* a (key) was seen */
    bool safe;   /* the format is Markup: escape what is put in */
};

static struct template_value *next_arg(struct eval *ev, struct percent *p)
{
    size_t n = p->tuple ? p->arg->u.list.n : 1;
    if (p->used >= n)
        return template_fail(ev, "not enough arguments for format string");
    p->used++;
    return p->tuple ? p->arg->u.list.items[p->used - 1] : p->arg;
}

static bool starred(struct eval *ev, struct percent *p, int64_t *ret)
{
    struct template_value *value = next_arg(ev, p);
    if (value != NULL && !template_as_int(value, ret))
        template_fail(ev, "* wants an integer");
    return ev->status == PL_OK;
}

static bool read_number(struct eval *ev, struct percent *p, int64_t *ret)
{
    if (p->at < p->n && p->s[p->at] == '*') {
        p->at++;
        return starred(ev, p, ret);
    }
    int64_t value = 0;
    bool any = false;
    for (; p->at < p->n && p->s[p->at] >= '0' && p->s[p->at] <= '9'; p->at++) {
        value = PL_MIN(value * 10 + (p->s[p->at] - '0'), (int64_t)TEMPLATE_OUTPUT_BYTES_MAX + 1);
        any = true;
    }
    if (any)
        *ret = value;
    return true;
}

static bool read_key(struct eval *ev, struct percent *p, struct template_value **ret)
{
    size_t start = ++p->at;
    int open = 1;
    for (; p->at < p->n; p->at++) {
        open += (p->s[p->at] == '(') - (p->s[p->at] == ')');
        if (open == 0)
            break;
    }
    if (open != 0 || p->arg->kind != VALUE_DICT) {
        template_fail(ev, open != 0 ? "incomplete format key" : "format requires a mapping");
        return false;
    }
    p->mapped = true;
    struct dict_entry *entry = template_dict_find_text(p->arg->u.dict, p->s + start, p->at - start);
    if (entry == NULL) {
        template_fail(ev, "format: no key '%.*s'", (int)PL_MIN(p->at - start, (size_t)60),
                      p->s + start);
        return false;
    }
    p->at++;
    *ret = entry->item;
    return true;
}

static bool put_text_conversion(struct eval *ev, const struct percent *p, struct format_spec *spec,
                                struct template_value *value, char type)
{
    size_t mark = template_mark(ev);
    struct template_value *text = NULL;
    if (type == 's' ? template_put_str(ev, value) : template_put_repr(ev, value))
        text = template_take(ev, mark);
    if (text != NULL && p->safe && !value->safe)
        text = template_escape(ev, text);
    spec->type = 's';
    spec->sign = 0; /* without effect on text */
    spec->alternate = false;
    return text != NULL && template_put_formatted(ev, spec, text);
}

static bool put_conversion(struct eval *ev, const struct percent *p, struct format_spec *spec,
                           struct template_value *value, char type, bool zero)
{
    int64_t i = 0;
    if (type == 's' || type == 'r' || type == 'a')
        return put_text_conversion(ev, p, spec, value, type);
    if (type == 'c' && value->kind == VALUE_STRING && value->u.string.chars == 1)
        return put_text_conversion(ev, p, spec, value, 's');
    if (!template_is_number(value)) {
        template_fail_type(ev, "a number is required by the format", value);
        return false;
    }
    if (zero && spec->align != '<') {
        spec->fill[0] = '0';
        spec->align = '=';
    }
    spec->type = (char)(type == 'i' || type == 'u' ? 'd' : type);
    if (strchr("eEfFgG", type) != NULL)
        return template_put_formatted(ev, spec, value);
    if (value->kind == VALUE_BIG)
        return template_put_formatted(ev, spec, value);
    if (value->kind == VALUE_FLOAT) {
        double whole = trunc(value->u.number);
        if (spec->type != 'd' || !(fabs(whole) < 9e18)) {
            template_fail(ev, "an integer is required by the format");
            return false;
        }
        i = (int64_t)whole;
    } else {
        (void)template_as_int(value, &i);
    }
    struct template_value *integer = template_check(ev, template_int(ev->values, i));
    return integer != NULL && template_put_formatted(ev, spec, integer);
}

/* One conversion, behind its %. */
static bool put_field(struct eval *ev, struct percent *p)
{
    struct format_spec spec = {.fill = " ", .fill_n = 1, .align = '>', .precision = -1};
    struct template_value *value = NULL;
    bool zero = false;
    if (p->s[p->at] == '(' && !read_key(ev, p, &value))
        return false;
    for (; p->at < p->n && strchr("#0- +", p->s[p->at]) != NULL && p->s[p->at] != '\0'; p->at++) {
        char flag = p->s[p->at];
        zero = zero || flag == '0';
        spec.alternate = spec.alternate || flag == '#';
        if (flag == '-')
            spec.align = '<';
        else if (flag == '+' || (flag == ' ' && spec.sign == 0))
            spec.sign = flag;
    }
    if (!read_number(ev, p, &spec.width))
        return false;
    if (spec.width < 0) {
        spec.align = '<';
        spec.width = -PL_MAX(spec.width, -INT64_MAX);
    }
    if (p->at < p->n && p->s[p->at] == '.') {
        p->at++;
        spec.precision = 0;
        if (!read_number(ev, p, &spec.precision))
            return false;
    }
    while (p->at < p->n && strchr("hlL", p->s[p->at]) != NULL && p->s[p->at] != '\0')
        p->at++;
    char type = (char)(p->at < p->n ? p->s[p->at++] : '\0');
    if (type == '%')
        return template_put_char(ev, '%');
    if (type == '\0' || strchr("sradiuoxXeEfFgGc", type) == NULL) {
        template_fail(ev, "unsupported or incomplete format");
        return false;
    }
    if (value == NULL && (value = next_arg(ev, p)) == NULL)
        return false;
    return put_conversion(ev, p, &spec, value, type, zero);
}

struct template_value *template_format_percent(struct eval *ev, struct template_value *format,
                                               struct template_value *arg)
{
    struct percent p = {.s = format->u.string.text,
                        .n = format->u.string.bytes,
                        .arg = arg,
                        .tuple = arg->kind == VALUE_TUPLE,
                        .safe = format->safe};
    size_t mark = template_mark(ev);
    while (p.at < p.n) {
        const char *percent = memchr(p.s + p.at, '%', p.n - p.at);
        size_t end = percent != NULL ? (size_t)(percent - p.s) : p.n;
        if (!template_put(ev, p.s + p.at, end - p.at))
            return NULL;
        p.at = end;
        if (p.at == p.n)
            break;
        if (++p.at == p.n)
            return template_fail(ev, "incomplete format");
        if (!template_step(ev, 2) || !put_field(ev, &p))
            return NULL;
    }
    bool left_over = p.tuple ? p.used < arg->u.list.n
                             : p.used == 0 && arg->kind != VALUE_DICT && arg->kind != VALUE_LIST &&
                                   arg->kind != VALUE_UNDEFINED && arg->kind != VALUE_RANGE;
    if (left_over && !p.mapped)
        return template_fail(ev, "not all arguments converted during string formatting");
    struct template_value *result = template_take(ev, mark);
    return format->safe ? template_markup(ev, result) : result;
}
