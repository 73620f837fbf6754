/*
 * template/filters_html.c - filters for markup and URLs, and attr.
 */
#include "eval.h"
#include "unicode.h"

#include <string.h>

#include "base/banned.h"

#define TEXT(v)  ((v)->u.string.text)
#define BYTES(v) ((v)->u.string.bytes)

static struct template_value *filter_escape(struct eval *ev, struct template_value *self,
                                            const struct call_args *args)
{
    (void)args;
    return template_escape(ev, self);
}

static struct template_value *filter_forceescape(struct eval *ev, struct template_value *self,
                                                 const struct call_args *args)
{
    (void)args;
    struct template_value *text = template_str(ev, self);
    if (text == NULL)
        return NULL;
    struct template_value plain = *text;
    plain.safe = false;
    size_t mark = template_mark(ev);
    return template_put_escaped(ev, &plain) ? template_markup(ev, template_take(ev, mark)) : NULL;
}

static struct template_value *filter_safe(struct eval *ev, struct template_value *self,
                                          const struct call_args *args)
{
    (void)args;
    return template_markup(ev, template_str(ev, self));
}

/* ---- striptags -------------------------------------------------------------------------------- */

static const char *const entities[][2] = {
    {"&amp;", "&"},   {"&lt;", "<"},  {"&gt;", ">"},   {"&#34;", "\""},
    {"&quot;", "\""}, {"&#39;", "'"}, {"&apos;", "'"}, {"&nbsp;", "\xC2\xA0"},
};

static bool put_unescaped(struct eval *ev, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (s[i] == '&' && k < PL_ARRAY_LEN(entities) &&
               (strlen(entities[k][0]) > n - i ||
                memcmp(s + i, entities[k][0], strlen(entities[k][0])) != 0))
            k++;
        bool entity = s[i] == '&' && k < PL_ARRAY_LEN(entities);
        if (!(entity ? template_put_text(ev, entities[k][1]) : template_put_char(ev, s[i])))
            return false;
        i += entity ? strlen(entities[k][0]) - 1 : 0;
    }
    return true;
}

/* Text without <...> and <!-- ... -->. */
static struct template_value *without_tags(struct eval *ev, const struct template_value *text)
{
    size_t mark = template_mark(ev);
    size_t n = BYTES(text);
    const char *s = TEXT(text);
    for (size_t i = 0; i < n;) {
        const char *end = NULL;
        if (n - i >= 4 && memcmp(s + i, "<!--", 4) == 0) {
            end = memmem(s + i + 4, n - i - 4, "-->", 3);
            end = end != NULL ? end + 3 : NULL;
        } else if (s[i] == '<') {
            end = memchr(s + i, '>', n - i);
            end = end != NULL ? end + 1 : NULL;
            if (end == NULL) /* no tag ends any more */
                return template_put(ev, s + i, n - i) ? template_take(ev, mark) : NULL;
        }
        if (end != NULL)
            i = (size_t)(end - s);
        else if (!template_put_char(ev, s[i++]))
            return NULL;
    }
    return template_take(ev, mark);
}

static struct template_value *filter_striptags(struct eval *ev, struct template_value *self,
                                               const struct call_args *args)
{
    (void)args;
    struct template_value *text = template_str(ev, self);
    text = text != NULL ? without_tags(ev, text) : NULL;
    if (text == NULL)
        return NULL;
    size_t mark = template_mark(ev);
    bool gap = false;
    size_t bytes = 0;
    for (size_t at = 0; at < BYTES(text); at += bytes) {
        if (template_code_is_space(template_char_code(TEXT(text) + at, BYTES(text) - at, &bytes))) {
            gap = ev->out.len > mark;
            continue;
        }
        if ((gap && !template_put_char(ev, ' ')) || !template_put(ev, TEXT(text) + at, bytes))
            return NULL;
        gap = false;
    }
    text = template_take(ev, mark);
    return text != NULL && put_unescaped(ev, TEXT(text), BYTES(text)) ? template_take(ev, mark)
                                                                      : NULL;
}

/* ---- attributes and URLs ---------------------------------------------------------------------- */

static bool valid_attribute_name(const struct template_value *key)
{
    return key->kind == VALUE_STRING && memchr(TEXT(key), '\0', BYTES(key)) == NULL &&
           strcspn(TEXT(key), " \t\n\r\f\v/>=") >= BYTES(key);
}

static struct template_value *filter_xmlattr(struct eval *ev, struct template_value *self,
                                             const struct call_args *args)
{
    if (self->kind != VALUE_DICT)
        return template_fail_type(ev, "xmlattr: not a mapping", self);
    size_t mark = template_mark(ev);
    bool space = template_arg_truth(args, 0, true);
    for (size_t i = 0; i < self->u.dict->n; i++) {
        const struct dict_entry *entry = &self->u.dict->entries[i];
        if (entry->item->kind == VALUE_NONE || entry->item->kind == VALUE_UNDEFINED)
            continue;
        struct template_value *key =
            entry->key->kind == VALUE_STRING
                ? template_check(ev,
                                 template_string(ev->values, TEXT(entry->key), BYTES(entry->key)))
                : entry->key;
        if (key == NULL || !valid_attribute_name(key))
            return template_fail(ev, "xmlattr: invalid character in an attribute name");
        if (((space || ev->out.len > mark) && !template_put_char(ev, ' ')) ||
            !template_put_escaped(ev, key) || !template_put_text(ev, "=\"") ||
            !template_put_escaped(ev, entry->item) || !template_put_char(ev, '"'))
            return NULL;
    }
    return template_take(ev, mark);
}

static bool is_unreserved(unsigned char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20u) >= 'a' && (c | 0x20u) <= 'z') || c == '_' ||
           c == '.' || c == '-' || c == '~';
}

static bool put_quoted(struct eval *ev, struct template_value *value, bool query)
{
    static const char hex[] = "0123456789ABCDEF";
    struct template_value *text = template_str(ev, value);
    for (size_t i = 0; text != NULL && i < BYTES(text); i++) {
        unsigned char c = (unsigned char)TEXT(text)[i];
        char coded[3] = {'%', hex[c >> 4], hex[c & 15]};
        bool ok = is_unreserved(c) || (c == '/' && !query) ? template_put_char(ev, (char)c)
                  : c == ' ' && query                      ? template_put_char(ev, '+')
                                                           : template_put(ev, coded, 3);
        if (!ok)
            return false;
    }
    return text != NULL;
}

static struct template_value *filter_urlencode(struct eval *ev, struct template_value *self,
                                               const struct call_args *args)
{
    (void)args;
    size_t mark = template_mark(ev);
    if (self->kind == VALUE_STRING || !template_is_iterable(self))
        return put_quoted(ev, self, false) ? template_take(ev, mark) : NULL;
    struct seq pairs;
    struct template_value view = *self;
    if (self->kind == VALUE_DICT) {
        view.kind = VALUE_VIEW;
        view.view = VIEW_ITEMS;
    }
    if (!template_iterate(ev, &view, &pairs))
        return NULL;
    for (size_t i = 0; i < pairs.n; i++) {
        struct seq pair;
        if (!template_iterate(ev, pairs.items[i], &pair))
            return NULL;
        if (pair.n != 2)
            return template_fail(ev, "urlencode: not a pair of key and value");
        if ((i > 0 && !template_put_char(ev, '&')) || !put_quoted(ev, pair.items[0], true) ||
            !template_put_char(ev, '=') || !put_quoted(ev, pair.items[1], true))
            return NULL;
    }
    return template_take(ev, mark);
}

static struct template_value *filter_attr(struct eval *ev, struct template_value *self,
                                          const struct call_args *args)
{
    struct template_value *name = template_str(ev, args->bound[0]);
    if (name == NULL)
        return NULL;
    if (self->kind == VALUE_UNDEFINED)
        return template_fail_undefined(ev, self);
    struct template_value *value = template_attribute(ev, self, TEXT(name), BYTES(name));
    if (value == NULL && ev->status == PL_OK)
        value = template_undefined_name(ev, name, template_type_name(self));
    return value;
}

static const struct builtin rows[] = {
    {"e", filter_escape, "", 0, false},
    {"escape", filter_escape, "", 0, false},
    {"forceescape", filter_forceescape, "", 0, false},
    {"safe", filter_safe, "", 0, false},
    {"striptags", filter_striptags, "", 0, false},
    {"xmlattr", filter_xmlattr, "autospace", 0, false},
    {"urlencode", filter_urlencode, "", 0, false},
    {"attr", filter_attr, "name", 1, false},
};

const struct builtin_table template_filters_html = BUILTIN_TABLE(rows);
