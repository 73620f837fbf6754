/*
 * template/text.c - building text: str(), repr(), escaping. See eval.h for marks.
 */
#include "eval.h"
#include "unicode.h"

#include <base/utf8.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

bool template_put(struct eval *ev, const char *text, size_t n)
{
    if (ev->status != PL_OK)
        return false;
    if (n > TEMPLATE_OUTPUT_BYTES_MAX - ev->out.len) {
        template_fail_limit(ev, "too much text");
        return false;
    }
    buf_append(&ev->out, text, n);
    if (ev->out.failed) {
        template_fail_nomem(ev);
        return false;
    }
    return template_step_bytes(ev, n);
}

bool template_put_char(struct eval *ev, char c)
{
    return template_put(ev, &c, 1);
}

bool template_put_text(struct eval *ev, const char *text)
{
    return template_put(ev, text, strlen(text));
}

bool template_put_code(struct eval *ev, uint32_t code)
{
    char bytes[UTF8_MAX_BYTES];
    return template_put(ev, bytes, utf8_encode(code, bytes));
}

bool template_put_fill(struct eval *ev, const char *fill, size_t fill_n, size_t times)
{
    size_t n = 0;
    if (!pl_mul_size(fill_n, times, &n) || n > TEMPLATE_OUTPUT_BYTES_MAX) {
        template_fail_limit(ev, "too much text");
        return false;
    }
    for (size_t i = 0; i < times && n > 0; i++)
        if (!template_put(ev, fill, fill_n))
            return false;
    return template_step(ev, times / 16);
}

struct template_value *template_take(struct eval *ev, size_t mark)
{
    if (ev->status != PL_OK)
        return NULL;
    struct template_value *string = template_string(
        ev->values, ev->out.len > mark ? ev->out.data + mark : "", ev->out.len - mark);
    template_drop(ev, mark);
    return template_check(ev, string);
}

void template_drop(struct eval *ev, size_t mark)
{
    if (ev->out.len > mark) {
        ev->out.len = mark;
        ev->out.data[mark] = '\0';
    }
}

struct template_value *template_substring(struct eval *ev, const struct template_value *string,
                                          size_t start, size_t end)
{
    if (ev->status != PL_OK)
        return NULL;
    struct template_value *part =
        end - start == 1
            ? template_string(ev->values, string->u.string.text + start, 1)
            : template_string_ref(ev->values, string->u.string.text + start, end - start);
    part = template_check(ev, part);
    if (part == NULL || !template_step_bytes(ev, end - start))
        return NULL;
    return string->safe ? template_markup(ev, part) : part;
}

/* ---- numbers ---------------------------------------------------------------------------------- */

/* Shortest digits that read back as d, written as Python writes them. */
size_t template_format_double(double d, char ret[40])
{
    if (isnan(d))
        return (size_t)snprintf(ret, 40, "nan");
    if (isinf(d))
        return (size_t)snprintf(ret, 40, d < 0 ? "-inf" : "inf");
    char digits[40];
    int precision = 0;
    do {
        snprintf(digits, sizeof digits, "%.*e", precision, d);
    } while (strtod(digits, NULL) != d && ++precision < 17);
    const char *e = strchr(digits, 'e');
    int exponent = 0;
    for (const char *c = e + 2; *c != '\0'; c++)
        exponent = exponent * 10 + (*c - '0');
    if (e[1] == '-')
        exponent = -exponent;
    if (exponent < -4 || exponent >= 16)
        return (size_t)snprintf(ret, 40, "%.*s%s", (int)(e - digits), digits, e);
    int n = snprintf(ret, 40, "%.*f", PL_MAX(precision - exponent, 1), d);
    return (size_t)n;
}

static bool put_double(struct eval *ev, double d)
{
    char text[40];
    return template_put(ev, text, template_format_double(d, text));
}

static bool put_int(struct eval *ev, int64_t i)
{
    char text[24];
    return template_put(ev, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)i));
}

/* ---- repr ------------------------------------------------------------------------------------- */

static bool put_escape_code(struct eval *ev, uint32_t code)
{
    char text[12];
    int n = code > 0xFFFF ? snprintf(text, sizeof text, "\\U%08x", code)
            : code > 0xFF ? snprintf(text, sizeof text, "\\u%04x", code)
                          : snprintf(text, sizeof text, "\\x%02x", code);
    return template_put(ev, text, (size_t)n);
}

static bool put_repr_char(struct eval *ev, const char *s, size_t bytes, uint32_t code, char quote)
{
    switch (code) {
    case '\n': return template_put_text(ev, "\\n");
    case '\r': return template_put_text(ev, "\\r");
    case '\t': return template_put_text(ev, "\\t");
    case '\\': return template_put_text(ev, "\\\\");
    default: break;
    }
    if (code == (unsigned char)quote)
        return template_put_char(ev, '\\') && template_put_char(ev, quote);
    if (code != TEMPLATE_NO_CODE && !template_code_is_printable(code))
        return put_escape_code(ev, code);
    return template_put(ev, s, bytes);
}

static bool put_repr_string(struct eval *ev, const char *s, size_t n)
{
    bool single = n > 0 && memchr(s, '\'', n) != NULL;
    char quote = single && memchr(s, '"', n) == NULL ? '"' : '\'';
    if (!template_put_char(ev, quote))
        return false;
    size_t bytes = 0;
    for (size_t i = 0; i < n; i += bytes) {
        uint32_t code = template_char_code(s + i, n - i, &bytes);
        if (!put_repr_char(ev, s + i, bytes, code, quote))
            return false;
    }
    return template_put_char(ev, quote) && template_step_bytes(ev, n);
}

static bool put_items(struct eval *ev, const struct template_value *list, const char *open,
                      const char *close)
{
    if (!template_put_text(ev, open))
        return false;
    for (size_t i = 0; i < list->u.list.n; i++)
        if ((i > 0 && !template_put_text(ev, ", ")) ||
            !template_put_repr(ev, list->u.list.items[i]))
            return false;
    return template_put_text(ev, close);
}

static bool put_dict(struct eval *ev, const struct dict *dict)
{
    if (!template_put_char(ev, '{'))
        return false;
    for (size_t i = 0; i < dict->n; i++)
        if ((i > 0 && !template_put_text(ev, ", ")) ||
            !template_put_repr(ev, dict->entries[i].key) || !template_put_text(ev, ": ") ||
            !template_put_repr(ev, dict->entries[i].item))
            return false;
    return template_put_char(ev, '}');
}

static bool put_view(struct eval *ev, const struct template_value *view)
{
    static const char *const names[] = {"dict_keys([", "dict_values([", "dict_items(["};
    const struct dict *dict = view->u.dict;
    if (!template_put_text(ev, names[view->view]))
        return false;
    for (size_t i = 0; i < dict->n; i++) {
        const struct dict_entry *entry = &dict->entries[i];
        bool ok = i == 0 || template_put_text(ev, ", ");
        if (view->view == VIEW_ITEMS)
            ok = ok && template_put_char(ev, '(') && template_put_repr(ev, entry->key) &&
                 template_put_text(ev, ", ") && template_put_repr(ev, entry->item) &&
                 template_put_char(ev, ')');
        else
            ok = ok && template_put_repr(ev, view->view == VIEW_KEYS ? entry->key : entry->item);
        if (!ok)
            return false;
    }
    return template_put_text(ev, "])");
}

static bool put_range(struct eval *ev, const struct template_value *range)
{
    bool ok = template_put_text(ev, "range(") && put_int(ev, range->u.range.start) &&
              template_put_text(ev, ", ") && put_int(ev, range->u.range.stop);
    if (range->u.range.step != 1)
        ok = ok && template_put_text(ev, ", ") && put_int(ev, range->u.range.step);
    return ok && template_put_char(ev, ')');
}

static bool put_macro(struct eval *ev, const struct template_value *macro)
{
    const struct node *node = macro->u.macro.node;
    if (node->kind == NODE_CALL_BLOCK)
        return template_put_text(ev, "<Macro anonymous>");
    return template_put_text(ev, "<Macro '") && template_put_text(ev, node->u.macro.name->text) &&
           template_put_text(ev, "'>");
}

static bool put_loop(struct eval *ev, const struct template_value *value)
{
    struct template_value *length = template_loop_attribute(ev, value->u.loop, "length", 6);
    return length != NULL && template_put_text(ev, "<LoopContext ") &&
           put_int(ev, value->u.loop->index0 + 1) && template_put_char(ev, '/') &&
           template_put_str(ev, length) && template_put_char(ev, '>');
}

static bool put_opaque(struct eval *ev, const struct template_value *value)
{
    return template_put_char(ev, '<') && template_put_text(ev, template_type_name(value)) &&
           template_put_text(ev, " object>");
}

static bool put_compound(struct eval *ev, const struct template_value *value)
{
    switch ((enum value_kind)value->kind) {
    case VALUE_LIST: return put_items(ev, value, "[", "]");
    case VALUE_TUPLE: return put_items(ev, value, "(", value->u.list.n == 1 ? ",)" : ")");
    case VALUE_DICT: return put_dict(ev, value->u.dict);
    case VALUE_NAMESPACE:
        return template_put_text(ev, "<Namespace ") && put_dict(ev, value->u.dict) &&
               template_put_char(ev, '>');
    case VALUE_VIEW: return put_view(ev, value);
    case VALUE_RANGE: return put_range(ev, value);
    case VALUE_MACRO: return put_macro(ev, value);
    case VALUE_LOOP: return put_loop(ev, value);
    case VALUE_UNDEFINED:
    case VALUE_NONE:
    case VALUE_BOOL:
    case VALUE_INT:
    case VALUE_BIG:
    case VALUE_FLOAT:
    case VALUE_STRING:
    case VALUE_ITERATOR:
    case VALUE_BUILTIN:
    case VALUE_CYCLER:
    case VALUE_JOINER: break;
    }
    return put_opaque(ev, value);
}

bool template_put_repr(struct eval *ev, const struct template_value *value)
{
    if (value->kind == VALUE_UNDEFINED)
        return template_put_text(ev, "Undefined");
    if (value->kind == VALUE_STRING) {
        bool ok = !value->safe || template_put_text(ev, "Markup(");
        ok = ok && put_repr_string(ev, value->u.string.text, value->u.string.bytes);
        return ok && (!value->safe || template_put_char(ev, ')'));
    }
    if (value->kind <= VALUE_FLOAT)
        return template_put_str(ev, value);
    if (!template_enter(ev))
        return false;
    bool ok = put_compound(ev, value);
    template_leave(ev);
    return ok;
}

bool template_put_str(struct eval *ev, const struct template_value *value)
{
    switch ((int)value->kind) {
    case VALUE_UNDEFINED: return ev->status == PL_OK;
    case VALUE_NONE: return template_put_text(ev, "None");
    case VALUE_BOOL: return template_put_text(ev, value->u.boolean ? "True" : "False");
    case VALUE_INT: return put_int(ev, value->u.integer);
    case VALUE_FLOAT: return put_double(ev, value->u.number);
    case VALUE_BIG:
    case VALUE_STRING: return template_put(ev, value->u.string.text, value->u.string.bytes);
    default: return template_put_repr(ev, value);
    }
}

struct template_value *template_str(struct eval *ev, struct template_value *value)
{
    if (value->kind == VALUE_STRING)
        return value;
    size_t mark = template_mark(ev);
    return template_put_str(ev, value) ? template_take(ev, mark) : NULL;
}

/* ---- markup ----------------------------------------------------------------------------------- */

struct template_value *template_markup(struct eval *ev, struct template_value *string)
{
    if (string == NULL || string->safe)
        return string;
    struct template_value *copy = template_check(ev, template_value_new(ev->values, VALUE_STRING));
    if (copy == NULL)
        return NULL;
    *copy = *string;
    copy->safe = true;
    return copy;
}

struct template_value *template_unmarked(struct eval *ev, struct template_value *value)
{
    struct template_value *string = template_str(ev, value);
    if (string == NULL || !string->safe)
        return string;
    struct template_value *copy = template_check(ev, template_value_new(ev->values, VALUE_STRING));
    if (copy == NULL)
        return NULL;
    *copy = *string;
    copy->safe = false;
    return copy;
}

static const char *html_entity(char c)
{
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '\'': return "&#39;";
    case '"': return "&#34;";
    default: return NULL;
    }
}

bool template_put_escaped(struct eval *ev, const struct template_value *value)
{
    if (value->safe)
        return template_put_str(ev, value);
    size_t mark = template_mark(ev);
    struct template_value *string = NULL;
    if (!template_put_str(ev, value) || (string = template_take(ev, mark)) == NULL)
        return false;
    const char *s = string->u.string.text;
    size_t n = string->u.string.bytes;
    size_t start = 0;
    for (size_t i = 0; i < n; i++) {
        const char *entity = html_entity(s[i]);
        if (entity == NULL)
            continue;
        if (!template_put(ev, s + start, i - start) || !template_put_text(ev, entity))
            return false;
        start = i + 1;
    }
    return template_put(ev, s + start, n - start);
}

struct template_value *template_escape(struct eval *ev, struct template_value *value)
{
    if (value->safe)
        return value;
    size_t mark = template_mark(ev);
    return template_put_escaped(ev, value) ? template_markup(ev, template_take(ev, mark)) : NULL;
}
