/*
 * template/filters_text.c - filters of strings; most are the method of str under another name, applied
 * to str(value).
 */
#include "eval.h"
#include "unicode.h"

#include <string.h>

#include "base/banned.h"

#define TEXT(v)  ((v)->u.string.text)
#define BYTES(v) ((v)->u.string.bytes)

static struct template_value *by_method(struct eval *ev, struct template_value *self,
                                        const char *method, const struct call_args *args)
{
    struct template_value *text = template_str(ev, self);
    if (text == NULL)
        return NULL;
    return template_builtin_call(ev, template_method_find(VALUE_STRING, method, strlen(method)),
                                 text, args);
}

#define METHOD_FILTER(name)                                                                        \
    static struct template_value *filter_##name(struct eval *ev, struct template_value *self,      \
                                                const struct call_args *args)                      \
    {                                                                                              \
        return by_method(ev, self, #name, args);                                                   \
    }

METHOD_FILTER(upper)
METHOD_FILTER(lower)
METHOD_FILTER(capitalize)

static struct template_value *filter_trim(struct eval *ev, struct template_value *self,
                                          const struct call_args *args)
{
    return by_method(ev, self, "strip", args);
}

static struct template_value *filter_center(struct eval *ev, struct template_value *self,
                                            const struct call_args *args)
{
    struct template_value *width = template_arg(args, 0, template_int(ev->values, 80));
    struct call_args one = {.items = &width, .n = 1};
    return by_method(ev, self, "center", &one);
}

static struct template_value *filter_string(struct eval *ev, struct template_value *self,
                                            const struct call_args *args)
{
    (void)args;
    return template_str(ev, self);
}

static struct template_value *filter_default(struct eval *ev, struct template_value *self,
                                             const struct call_args *args)
{
    bool replace = self->kind == VALUE_UNDEFINED ||
                   (template_arg_truth(args, 1, false) && !template_truth(self));
    return replace ? template_arg(args, 0, ev->values->empty) : self;
}

/* Words begin behind a blank, a hyphen or an opening bracket. */
static bool begins_word(uint32_t code)
{
    return code == '-' || code == '(' || code == '{' || code == '[' || code == '<' ||
           template_code_is_space(code);
}

static struct template_value *filter_title(struct eval *ev, struct template_value *self,
                                           const struct call_args *args)
{
    struct template_value *text = template_str(ev, self);
    if (text == NULL)
        return NULL;
    size_t mark = template_mark(ev);
    bool first = true;
    size_t bytes = 0;
    size_t start = 0; /* of what gets the same case */
    for (size_t at = 0; at <= BYTES(text); at += bytes) {
        bool ended = at == BYTES(text);
        uint32_t code = ended ? 0 : template_char_code(TEXT(text) + at, BYTES(text) - at, &bytes);
        bool cut = ended || first || begins_word(code);
        if (cut && at > start) {
            struct template_value *part = template_substring(ev, text, start, at);
            part = part != NULL ? by_method(ev, part, "lower", args) : NULL;
            if (part == NULL || !template_put_str(ev, part))
                return NULL;
        }
        if (ended)
            break;
        if (cut) {
            struct template_value *part = template_substring(ev, text, at, at + bytes);
            part = part != NULL ? by_method(ev, part, "upper", args) : NULL;
            if (part == NULL || !template_put_str(ev, part))
                return NULL;
            start = at + bytes;
        }
        first = begins_word(code);
    }
    return template_take(ev, mark);
}

static struct template_value *filter_replace(struct eval *ev, struct template_value *self,
                                             const struct call_args *args)
{
    struct template_value *items[3] = {template_str(ev, args->bound[0]),
                                       template_str(ev, args->bound[1]), args->bound[2]};
    bool counted = items[2] != NULL && items[2]->kind != VALUE_NONE;
    struct call_args plain = {.items = items, .n = counted ? 3 : 2};
    return items[0] != NULL && items[1] != NULL
               ? by_method(ev, template_unmarked(ev, self), "replace", &plain)
               : NULL;
}

static struct template_value *filter_format(struct eval *ev, struct template_value *self,
                                            const struct call_args *args)
{
    struct template_value *format = template_str(ev, self);
    if (format == NULL)
        return NULL;
    if (args->keywords_n == 0) {
        struct template_value *tuple =
            template_check(ev, template_tuple(ev->values, args->items, args->n));
        return tuple != NULL ? template_format_percent(ev, format, tuple) : NULL;
    }
    if (args->n > 0)
        return template_fail(ev, "format: either positional or keyword arguments");
    struct template_value *dict = template_check(ev, template_dict(ev->values));
    for (size_t i = 0; dict != NULL && i < args->keywords_n; i++)
        if (!template_dict_set(ev->values, dict, args->keywords[i].text, args->keywords[i].n,
                               args->keywords[i].value))
            return template_fail_nomem(ev);
    return dict != NULL ? template_format_percent(ev, format, dict) : NULL;
}

/* ---- lines ------------------------------------------------------------------------------------ */

static struct template_value *split_lines(struct eval *ev, struct template_value *text)
{
    struct call_args none = {0};
    return by_method(ev, text, "splitlines", &none);
}

static struct template_value *indentation(struct eval *ev, const struct call_args *args)
{
    int64_t width = 4;
    if (args->bound[0] != NULL && args->bound[0]->kind == VALUE_STRING)
        return args->bound[0];
    if (!template_arg_int(ev, args, 0, &width))
        return NULL;
    size_t mark = template_mark(ev);
    return template_put_fill(ev, " ", 1, width > 0 ? (size_t)width : 0) ? template_take(ev, mark)
                                                                        : NULL;
}

static struct template_value *filter_indent(struct eval *ev, struct template_value *self,
                                            const struct call_args *args)
{
    bool first = template_arg_truth(args, 1, false);
    bool blank = template_arg_truth(args, 2, false);
    struct template_value *newline = template_check(ev, template_string(ev->values, "\n", 1));
    struct template_value *indent = indentation(ev, args);
    if (newline == NULL || indent == NULL)
        return NULL;
    if (self->kind != VALUE_STRING)
        return template_fail_type(ev, "indent: not a string", self);
    struct template_value *text = template_concat(ev, self, newline);
    struct template_value *lines = text != NULL ? split_lines(ev, text) : NULL;
    size_t mark = template_mark(ev);
    for (size_t i = 0; lines != NULL && i < lines->u.list.n; i++) {
        struct template_value *line = lines->u.list.items[i];
        bool indented = i == 0 ? first : blank || BYTES(line) > 0;
        if ((i > 0 && !template_put_char(ev, '\n')) ||
            (indented && !template_put_str(ev, indent)) || !template_put_str(ev, line))
            return NULL;
    }
    struct template_value *result = lines != NULL ? template_take(ev, mark) : NULL;
    return self->safe ? template_markup(ev, result) : result;
}

static struct template_value *cut(struct eval *ev, struct template_value *text, int64_t stop)
{
    struct template_value *end = template_check(ev, template_int(ev->values, stop));
    return end != NULL ? template_slice(ev, text, NULL, end, NULL) : NULL;
}

static struct template_value *filter_truncate(struct eval *ev, struct template_value *self,
                                              const struct call_args *args)
{
    int64_t length = 255;
    int64_t leeway = 5;
    struct template_value *end = template_check(ev, template_string(ev->values, "...", 3));
    if (end == NULL || !template_arg_int(ev, args, 0, &length) ||
        !template_arg_string(ev, args, 2, &end))
        return NULL;
    if (args->bound[3] != NULL && args->bound[3]->kind != VALUE_NONE &&
        !template_arg_int(ev, args, 3, &leeway))
        return NULL;
    int64_t end_chars = (int64_t)end->u.string.chars;
    if (length < end_chars || leeway < 0)
        return template_fail(ev, "truncate: length or leeway too small");
    size_t chars = 0;
    if (!template_length(ev, self, &chars))
        return NULL;
    if ((int64_t)chars - leeway <= length)
        return self;
    if (self->kind != VALUE_STRING)
        return template_fail_type(ev, "truncate: not a string", self);
    struct template_value *text = cut(ev, self, length - end_chars);
    if (text != NULL && !template_arg_truth(args, 1, false)) {
        const char *space = memrchr(TEXT(text), ' ', BYTES(text));
        if (space != NULL)
            text = template_substring(ev, text, 0, (size_t)(space - TEXT(text)));
    }
    return text != NULL ? template_binary(ev, OP_ADD, text, end) : NULL;
}

static struct template_value *filter_wordcount(struct eval *ev, struct template_value *self,
                                               const struct call_args *args)
{
    (void)args;
    struct template_value *text = template_str(ev, self);
    int64_t count = 0;
    bool in_word = false;
    size_t bytes = 0;
    for (size_t at = 0; text != NULL && at < BYTES(text); at += bytes) {
        uint32_t code = template_char_code(TEXT(text) + at, BYTES(text) - at, &bytes);
        bool word = code == '_' || template_code_is_alpha(code) || template_code_is_numeric(code);
        count += word && !in_word;
        in_word = word;
    }
    return text != NULL ? template_check(ev, template_int(ev->values, count)) : NULL;
}

static const struct builtin rows[] = {
    {"upper", filter_upper, "", 0, false},
    {"lower", filter_lower, "", 0, false},
    {"capitalize", filter_capitalize, "", 0, false},
    {"title", filter_title, "", 0, false},
    {"trim", filter_trim, "chars", 0, false},
    {"center", filter_center, "width", 0, false},
    {"string", filter_string, "", 0, false},
    {"default", filter_default, "default_value,boolean", 0, false},
    {"d", filter_default, "default_value,boolean", 0, false},
    {"replace", filter_replace, "old,new,count", 2, false},
    {"format", filter_format, "...", 0, false},
    {"indent", filter_indent, "width,first,blank", 0, false},
    {"truncate", filter_truncate, "length,killwords,end,leeway", 0, false},
    {"wordcount", filter_wordcount, "", 0, false},
};

const struct builtin_table template_filters_text = BUILTIN_TABLE(rows);
