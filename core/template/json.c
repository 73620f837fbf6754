/*
 * template/json.c - the tojson filter: json.dumps with ensure_ascii off, as Hugging Face sets it.
 */
#include "eval.h"
#include "unicode.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

struct json_style {
    bool ascii;
    bool sort;
    const struct template_value *indent; /* a string per level; NULL: one line */
    const struct template_value *item_separator;
    const struct template_value *key_separator;
};

static bool put_json(struct eval *ev, const struct json_style *style,
                     const struct template_value *value, size_t level);

static bool put_unicode_escape(struct eval *ev, uint32_t code)
{
    char text[16];
    int n = code > 0xFFFF ? snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xD7C0 + (code >> 10),
                                     0xDC00 + (code & 0x3FF))
                          : snprintf(text, sizeof text, "\\u%04x", code);
    return template_put(ev, text, (size_t)n);
}

static const char *short_escape(uint32_t code)
{
    switch (code) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    case '\f': return "\\f";
    case '\b': return "\\b";
    default: return NULL;
    }
}

static bool put_json_string(struct eval *ev, const struct json_style *style, const char *s,
                            size_t n)
{
    if (!template_put_char(ev, '"'))
        return false;
    size_t start = 0; /* of what stays as it is */
    size_t bytes = 0;
    for (size_t at = 0; at < n; at += bytes) {
        uint32_t code = template_char_code(s + at, n - at, &bytes);
        const char *escape = short_escape(code);
        bool coded = code < 0x20 || (style->ascii && code > 0x7E && code != TEMPLATE_NO_CODE);
        if (escape == NULL && !coded)
            continue;
        if (!template_put(ev, s + start, at - start) ||
            !(escape != NULL ? template_put_text(ev, escape) : put_unicode_escape(ev, code)))
            return false;
        start = at + bytes;
    }
    return template_put(ev, s + start, n - start) && template_put_char(ev, '"') &&
           template_step(ev, n / 32);
}

static bool put_break(struct eval *ev, const struct json_style *style, size_t level)
{
    if (style->indent == NULL)
        return true;
    return template_put_char(ev, '\n') && template_put_fill(ev, style->indent->u.string.text,
                                                            style->indent->u.string.bytes, level);
}

static bool put_json_float(struct eval *ev, double d)
{
    if (isnan(d))
        return template_put_text(ev, "NaN");
    if (isinf(d))
        return template_put_text(ev, d < 0 ? "-Infinity" : "Infinity");
    char text[40];
    return template_put(ev, text, template_format_double(d, text));
}

static bool put_json_list(struct eval *ev, const struct json_style *style,
                          const struct template_value *list, size_t level)
{
    if (list->u.list.n == 0)
        return template_put_text(ev, "[]");
    if (!template_put_char(ev, '['))
        return false;
    for (size_t i = 0; i < list->u.list.n; i++)
        if ((i > 0 && !template_put_str(ev, style->item_separator)) ||
            !put_break(ev, style, level + 1) ||
            !put_json(ev, style, list->u.list.items[i], level + 1))
            return false;
    return put_break(ev, style, level) && template_put_char(ev, ']');
}

/* Keys that are not strings are written as one. */
static bool put_json_key(struct eval *ev, const struct json_style *style,
                         const struct template_value *key)
{
    if (key->kind == VALUE_STRING)
        return put_json_string(ev, style, key->u.string.text, key->u.string.bytes);
    if (key->kind > VALUE_FLOAT || key->kind == VALUE_UNDEFINED) {
        template_fail_type(ev, "keys of JSON must be str, int, float, bool or None", key);
        return false;
    }
    return template_put_char(ev, '"') && put_json(ev, style, key, 0) && template_put_char(ev, '"');
}

/* Entries in the order of their keys. */
static struct template_value **sorted_items(struct eval *ev, const struct dict *dict)
{
    struct template_value **pairs = template_alloc(ev, dict->n, sizeof(void *));
    struct template_value **keys = template_alloc(ev, dict->n, sizeof(void *));
    if (pairs == NULL || keys == NULL)
        return NULL;
    for (size_t i = 0; i < dict->n; i++) {
        keys[i] = dict->entries[i].key;
        pairs[i] = template_check(ev, template_pair(ev->values, keys[i], dict->entries[i].item));
        if (pairs[i] == NULL)
            return NULL;
    }
    return template_sort(ev, pairs, keys, dict->n, false) ? pairs : NULL;
}

static bool put_json_dict(struct eval *ev, const struct json_style *style, const struct dict *dict,
                          size_t level)
{
    if (dict->n == 0)
        return template_put_text(ev, "{}");
    struct template_value **sorted = style->sort ? sorted_items(ev, dict) : NULL;
    if ((style->sort && sorted == NULL) || !template_put_char(ev, '{'))
        return false;
    for (size_t i = 0; i < dict->n; i++) {
        const struct template_value *key =
            sorted != NULL ? sorted[i]->u.list.items[0] : dict->entries[i].key;
        const struct template_value *item =
            sorted != NULL ? sorted[i]->u.list.items[1] : dict->entries[i].item;
        if ((i > 0 && !template_put_str(ev, style->item_separator)) ||
            !put_break(ev, style, level + 1) || !put_json_key(ev, style, key) ||
            !template_put_str(ev, style->key_separator) || !put_json(ev, style, item, level + 1))
            return false;
    }
    return put_break(ev, style, level) && template_put_char(ev, '}');
}

static bool put_json_compound(struct eval *ev, const struct json_style *style,
                              const struct template_value *value, size_t level)
{
    switch ((int)value->kind) {
    case VALUE_NONE: return template_put_text(ev, "null");
    case VALUE_BOOL: return template_put_text(ev, value->u.boolean ? "true" : "false");
    case VALUE_INT:
    case VALUE_BIG: return template_put_str(ev, value);
    case VALUE_FLOAT: return put_json_float(ev, value->u.number);
    case VALUE_STRING:
        return put_json_string(ev, style, value->u.string.text, value->u.string.bytes);
    case VALUE_LIST:
    case VALUE_TUPLE: return put_json_list(ev, style, value, level);
    case VALUE_DICT: return put_json_dict(ev, style, value->u.dict, level);
    default:
        template_fail(ev, "a value of type %s can't be written as JSON", template_type_name(value));
    }
    return false;
}

static bool put_json(struct eval *ev, const struct json_style *style,
                     const struct template_value *value, size_t level)
{
    if (!template_step(ev, 2) || !template_enter(ev))
        return false;
    bool ok = put_json_compound(ev, style, value, level);
    template_leave(ev);
    return ok;
}

/* A pair of strings. */
static bool read_separators(struct eval *ev, struct template_value *arg, struct json_style *style)
{
    struct seq seq;
    if (arg == NULL || arg->kind == VALUE_NONE)
        return true;
    if (!template_iterate(ev, arg, &seq))
        return false;
    if (seq.n != 2 || seq.items[0]->kind != VALUE_STRING || seq.items[1]->kind != VALUE_STRING) {
        template_fail(ev, "separators must be a pair of strings");
        return false;
    }
    style->item_separator = seq.items[0];
    style->key_separator = seq.items[1];
    return true;
}

static bool read_indent(struct eval *ev, struct template_value *arg, struct json_style *style)
{
    int64_t n = 0;
    if (arg == NULL || arg->kind == VALUE_NONE)
        return true;
    if (arg->kind == VALUE_STRING) {
        style->indent = arg;
        return true;
    }
    if (!template_as_int(arg, &n)) {
        template_fail_type(ev, "indent must be a number or a string", arg);
        return false;
    }
    size_t mark = template_mark(ev);
    if (!template_put_fill(ev, " ", 1, n > 0 ? (size_t)n : 0))
        return false;
    style->indent = template_take(ev, mark);
    return style->indent != NULL;
}

static struct template_value *filter_tojson(struct eval *ev, struct template_value *self,
                                            const struct call_args *args)
{
    struct json_style style = {.ascii = template_arg_truth(args, 0, false),
                               .sort = template_arg_truth(args, 3, false)};
    if (!read_indent(ev, args->bound[1], &style))
        return NULL;
    style.item_separator =
        template_check(ev, template_string(ev->values, ", ", style.indent != NULL ? 1 : 2));
    style.key_separator = template_check(ev, template_string(ev->values, ": ", 2));
    if (style.item_separator == NULL || style.key_separator == NULL ||
        !read_separators(ev, args->bound[2], &style))
        return NULL;
    size_t mark = template_mark(ev);
    return put_json(ev, &style, self, 0) ? template_take(ev, mark) : NULL;
}

static const struct builtin rows[] = {
    {"tojson", filter_tojson, "ensure_ascii,indent,separators,sort_keys", 0, false},
};

const struct builtin_table template_filters_json = BUILTIN_TABLE(rows);
