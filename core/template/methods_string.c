/*
 * template/methods_string.c - methods of str: case, stripping, padding, searching, replacing.
 */
#include "eval.h"
#include "unicode.h"

#include <string.h>

#include "base/banned.h"

#define TEXT(v)  ((v)->u.string.text)
#define BYTES(v) ((v)->u.string.bytes)

/* ---- case ------------------------------------------------------------------------------------- */

enum casing { CASING_UPPER, CASING_LOWER, CASING_TITLE, CASING_FOLDED };

static bool put_cased(struct eval *ev, uint32_t code, enum casing casing)
{
    uint32_t codes[TEMPLATE_CASE_MAX];
    size_t n = 0;
    switch (casing) {
    case CASING_UPPER: n = template_code_to_upper(code, codes); break;
    case CASING_LOWER: n = template_code_to_lower(code, codes); break;
    case CASING_TITLE: n = template_code_to_title(code, codes); break;
    case CASING_FOLDED: n = template_code_to_folded(code, codes); break;
    }
    for (size_t i = 0; i < n; i++)
        if (!template_put_code(ev, codes[i]))
            return false;
    return true;
}

/* A sigma that ends a word: behind a cased letter, not before one. */
static bool is_final_sigma(const char *s, size_t n, size_t at)
{
    size_t bytes = 0;
    if (at == 0)
        return false;
    size_t before = template_char_before(s, at);
    if (!template_code_is_cased(template_char_code(s + before, at - before, &bytes)))
        return false;
    size_t after = at + template_char_bytes(s + at, n - at);
    return after >= n || !template_code_is_cased(template_char_code(s + after, n - after, &bytes));
}

static bool put_char_cased(struct eval *ev, const struct template_value *self, size_t at,
                           size_t *ret_bytes, enum casing casing)
{
    const char *s = TEXT(self);
    uint32_t code = template_char_code(s + at, BYTES(self) - at, ret_bytes);
    if (code == TEMPLATE_NO_CODE)
        return template_put(ev, s + at, *ret_bytes);
    if (code == 0x3A3 && casing == CASING_LOWER && is_final_sigma(s, BYTES(self), at))
        return template_put_code(ev, 0x3C2);
    return put_cased(ev, code, casing);
}

static struct template_value *map_case(struct eval *ev, struct template_value *self,
                                       enum casing first, enum casing rest)
{
    size_t mark = template_mark(ev);
    size_t bytes = 0;
    for (size_t at = 0; at < BYTES(self); at += bytes)
        if (!put_char_cased(ev, self, at, &bytes, at == 0 ? first : rest))
            return NULL;
    return template_step(ev, BYTES(self) / 8) ? template_take(ev, mark) : NULL;
}

static struct template_value *str_upper(struct eval *ev, struct template_value *self,
                                        const struct call_args *args)
{
    (void)args;
    return map_case(ev, self, CASING_UPPER, CASING_UPPER);
}

static struct template_value *str_lower(struct eval *ev, struct template_value *self,
                                        const struct call_args *args)
{
    (void)args;
    return map_case(ev, self, CASING_LOWER, CASING_LOWER);
}

static struct template_value *str_casefold(struct eval *ev, struct template_value *self,
                                           const struct call_args *args)
{
    (void)args;
    return map_case(ev, self, CASING_FOLDED, CASING_FOLDED);
}

static struct template_value *str_capitalize(struct eval *ev, struct template_value *self,
                                             const struct call_args *args)
{
    (void)args;
    return map_case(ev, self, CASING_TITLE, CASING_LOWER);
}

static struct template_value *str_title(struct eval *ev, struct template_value *self,
                                        const struct call_args *args)
{
    (void)args;
    size_t mark = template_mark(ev);
    size_t bytes = 0;
    bool in_word = false;
    for (size_t at = 0; at < BYTES(self); at += bytes) {
        if (!put_char_cased(ev, self, at, &bytes, in_word ? CASING_LOWER : CASING_TITLE))
            return NULL;
        in_word = template_code_is_cased(template_char_code(TEXT(self) + at, bytes, &bytes));
    }
    return template_step(ev, BYTES(self) / 8) ? template_take(ev, mark) : NULL;
}

static struct template_value *str_swapcase(struct eval *ev, struct template_value *self,
                                           const struct call_args *args)
{
    (void)args;
    size_t mark = template_mark(ev);
    size_t bytes = 0;
    for (size_t at = 0; at < BYTES(self); at += bytes) {
        uint32_t code = template_char_code(TEXT(self) + at, BYTES(self) - at, &bytes);
        if (!put_char_cased(ev, self, at, &bytes,
                            template_code_is_upper(code) ? CASING_LOWER : CASING_UPPER))
            return NULL;
    }
    return template_step(ev, BYTES(self) / 8) ? template_take(ev, mark) : NULL;
}

/* ---- stripping and padding -------------------------------------------------------------------- */

static bool strips(const struct template_value *chars, const char *s, size_t n)
{
    size_t bytes = 0;
    if (chars == NULL)
        return template_code_is_space(template_char_code(s, n, &bytes));
    for (size_t at = 0; at < BYTES(chars); at += bytes) {
        bytes = template_char_bytes(TEXT(chars) + at, BYTES(chars) - at);
        if (bytes == n && memcmp(TEXT(chars) + at, s, n) == 0)
            return true;
    }
    return false;
}

static struct template_value *strip(struct eval *ev, struct template_value *self,
                                    const struct call_args *args, bool left, bool right)
{
    struct template_value *chars = NULL;
    if (args->bound[0] != NULL && args->bound[0]->kind != VALUE_NONE &&
        !template_arg_string(ev, args, 0, &chars))
        return NULL;
    size_t start = 0;
    size_t end = BYTES(self);
    size_t looked = 1 + (chars != NULL ? BYTES(chars) / 16 : 0);
    while (left && start < end) {
        size_t bytes = template_char_bytes(TEXT(self) + start, end - start);
        if (!template_step(ev, looked) || !strips(chars, TEXT(self) + start, bytes))
            break;
        start += bytes;
    }
    while (right && end > start) {
        size_t at = start + template_char_before(TEXT(self) + start, end - start);
        if (!template_step(ev, looked) || !strips(chars, TEXT(self) + at, end - at))
            break;
        end = at;
    }
    if (start == 0 && end == BYTES(self))
        return ev->status == PL_OK ? self : NULL;
    return template_substring(ev, self, start, end);
}

static struct template_value *str_strip(struct eval *ev, struct template_value *self,
                                        const struct call_args *args)
{
    return strip(ev, self, args, true, true);
}

static struct template_value *str_lstrip(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    return strip(ev, self, args, true, false);
}

static struct template_value *str_rstrip(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    return strip(ev, self, args, false, true);
}

static bool starts_with(const struct template_value *self, const struct template_value *part)
{
    return BYTES(part) <= BYTES(self) && memcmp(TEXT(self), TEXT(part), BYTES(part)) == 0;
}

static bool ends_with(const struct template_value *self, const struct template_value *part)
{
    return BYTES(part) <= BYTES(self) &&
           memcmp(TEXT(self) + BYTES(self) - BYTES(part), TEXT(part), BYTES(part)) == 0;
}

static struct template_value *str_removeprefix(struct eval *ev, struct template_value *self,
                                               const struct call_args *args)
{
    struct template_value *part = NULL;
    if (!template_arg_string(ev, args, 0, &part))
        return NULL;
    return starts_with(self, part) ? template_substring(ev, self, BYTES(part), BYTES(self)) : self;
}

static struct template_value *str_removesuffix(struct eval *ev, struct template_value *self,
                                               const struct call_args *args)
{
    struct template_value *part = NULL;
    if (!template_arg_string(ev, args, 0, &part))
        return NULL;
    return ends_with(self, part) ? template_substring(ev, self, 0, BYTES(self) - BYTES(part))
                                 : self;
}

static struct template_value *pad(struct eval *ev, struct template_value *self,
                                  const struct call_args *args, bool left, bool right)
{
    int64_t width = 0;
    struct template_value *fill = NULL;
    if (!template_arg_int(ev, args, 0, &width) || !template_arg_string(ev, args, 1, &fill))
        return NULL;
    if (fill != NULL && fill->u.string.chars != 1)
        return template_fail(ev, "the fill character must be exactly one character long");
    int64_t chars = (int64_t)self->u.string.chars;
    if (width <= chars)
        return self;
    size_t room = (size_t)(width - chars);
    size_t before = !left ? 0 : !right ? room : room / 2 + (room & (size_t)width & 1);
    const char *text = fill != NULL ? TEXT(fill) : " ";
    size_t n = fill != NULL ? BYTES(fill) : 1;
    size_t mark = template_mark(ev);
    if (!template_put_fill(ev, text, n, before) || !template_put_str(ev, self) ||
        !template_put_fill(ev, text, n, room - before))
        return NULL;
    return template_take(ev, mark);
}

static struct template_value *str_center(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    return pad(ev, self, args, true, true);
}

static struct template_value *str_ljust(struct eval *ev, struct template_value *self,
                                        const struct call_args *args)
{
    return pad(ev, self, args, false, true);
}

static struct template_value *str_rjust(struct eval *ev, struct template_value *self,
                                        const struct call_args *args)
{
    return pad(ev, self, args, true, false);
}

static struct template_value *str_zfill(struct eval *ev, struct template_value *self,
                                        const struct call_args *args)
{
    int64_t width = 0;
    if (!template_arg_int(ev, args, 0, &width))
        return NULL;
    int64_t chars = (int64_t)self->u.string.chars;
    if (width <= chars)
        return self;
    size_t sign = BYTES(self) > 0 && (TEXT(self)[0] == '-' || TEXT(self)[0] == '+');
    size_t mark = template_mark(ev);
    if (!template_put(ev, TEXT(self), sign) ||
        !template_put_fill(ev, "0", 1, (size_t)(width - chars)) ||
        !template_put(ev, TEXT(self) + sign, BYTES(self) - sign))
        return NULL;
    return template_take(ev, mark);
}

static struct template_value *str_expandtabs(struct eval *ev, struct template_value *self,
                                             const struct call_args *args)
{
    int64_t size = 8;
    if (!template_arg_int(ev, args, 0, &size))
        return NULL;
    size_t mark = template_mark(ev);
    int64_t column = 0;
    size_t bytes = 0;
    for (size_t at = 0; at < BYTES(self); at += bytes) {
        char c = TEXT(self)[at];
        bytes = template_char_bytes(TEXT(self) + at, BYTES(self) - at);
        int64_t spaces = c == '\t' && size > 0 ? size - column % size : 0;
        if (c == '\t' ? !template_put_fill(ev, " ", 1, (size_t)spaces)
                      : !template_put(ev, TEXT(self) + at, bytes))
            return NULL;
        column = c == '\n' || c == '\r' ? 0 : c == '\t' ? column + spaces : column + 1;
    }
    return template_take(ev, mark);
}

/* ---- searching -------------------------------------------------------------------------------- */

/* Byte offset of character i, for a bound of a search; negative i counts from the end. */
static size_t search_bound(const struct template_value *self, int64_t i)
{
    int64_t chars = (int64_t)self->u.string.chars;
    i = i < 0 ? PL_MAX(i + chars, (int64_t)0) : PL_MIN(i, chars);
    if (self->u.string.chars == BYTES(self))
        return (size_t)i;
    size_t at = 0;
    while (i-- > 0)
        at += template_char_bytes(TEXT(self) + at, BYTES(self) - at);
    return at;
}

/* The part [start, end) of self that args 1 and 2 name; false where it is empty or turned round and
 * nothing can be found. */
static bool search_part(struct eval *ev, const struct template_value *self,
                        const struct call_args *args, size_t *ret_start, size_t *ret_end,
                        bool *ret_any)
{
    int64_t from = 0;
    int64_t to = INT64_MAX;
    if (args->bound[1] != NULL && args->bound[1]->kind != VALUE_NONE &&
        !template_arg_int(ev, args, 1, &from))
        return false;
    if (args->bound[2] != NULL && args->bound[2]->kind != VALUE_NONE &&
        !template_arg_int(ev, args, 2, &to))
        return false;
    *ret_start = search_bound(self, from);
    *ret_end = search_bound(self, to);
    *ret_any = *ret_start <= *ret_end && from <= (int64_t)self->u.string.chars;
    return template_step(ev, BYTES(self) / 16);
}

/* Byte offset of the first or last part in s[start, end), or SIZE_MAX. */
static size_t find_text(const struct template_value *self, const struct template_value *part,
                        size_t start, size_t end, bool last)
{
    const char *s = TEXT(self);
    size_t n = BYTES(part);
    if (n > end - start)
        return SIZE_MAX;
    if (n == 0)
        return last ? end : start;
    if (!last) {
        const char *at = memmem(s + start, end - start, TEXT(part), n);
        return at != NULL ? (size_t)(at - s) : SIZE_MAX;
    }
    for (size_t at = end - n + 1; at-- > start;)
        if (s[at] == TEXT(part)[0] && memcmp(s + at, TEXT(part), n) == 0)
            return at;
    return SIZE_MAX;
}

static struct template_value *find(struct eval *ev, struct template_value *self,
                                   const struct call_args *args, bool last, bool must)
{
    struct template_value *part = NULL;
    size_t start = 0;
    size_t end = 0;
    bool any = false;
    if (!template_arg_string(ev, args, 0, &part) ||
        !search_part(ev, self, args, &start, &end, &any))
        return NULL;
    if (last && !template_step(
                    ev, BYTES(part) > 1 ? BYTES(self) * PL_MIN(BYTES(part), (size_t)64) / 64 : 0))
        return NULL;
    size_t at = any ? find_text(self, part, start, end, last) : SIZE_MAX;
    if (at == SIZE_MAX && must)
        return template_fail(ev, "substring not found");
    int64_t index = at == SIZE_MAX ? -1 : (int64_t)template_char_count(TEXT(self), at);
    return template_check(ev, template_int(ev->values, index));
}

static struct template_value *str_find(struct eval *ev, struct template_value *self,
                                       const struct call_args *args)
{
    return find(ev, self, args, false, false);
}

static struct template_value *str_rfind(struct eval *ev, struct template_value *self,
                                        const struct call_args *args)
{
    return find(ev, self, args, true, false);
}

static struct template_value *str_index(struct eval *ev, struct template_value *self,
                                        const struct call_args *args)
{
    return find(ev, self, args, false, true);
}

static struct template_value *str_rindex(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    return find(ev, self, args, true, true);
}

static struct template_value *str_count(struct eval *ev, struct template_value *self,
                                        const struct call_args *args)
{
    struct template_value *part = NULL;
    size_t at = 0;
    size_t end = 0;
    bool any = false;
    if (!template_arg_string(ev, args, 0, &part) || !search_part(ev, self, args, &at, &end, &any))
        return NULL;
    int64_t count = 0;
    if (any && BYTES(part) == 0)
        count = (int64_t)template_char_count(TEXT(self) + at, end - at) + 1;
    while (any && BYTES(part) > 0 && (at = find_text(self, part, at, end, false)) != SIZE_MAX) {
        at += BYTES(part);
        count++;
    }
    return template_check(ev, template_int(ev->values, count));
}

/* startswith and endswith take a string or a tuple of strings. */
static struct template_value *matches_end(struct eval *ev, struct template_value *self,
                                          const struct call_args *args,
                                          bool (*matches)(const struct template_value *,
                                                          const struct template_value *))
{
    size_t start = 0;
    size_t end = 0;
    bool any = false;
    if (!search_part(ev, self, args, &start, &end, &any))
        return NULL;
    struct template_value *wanted = args->bound[0];
    bool tuple = wanted->kind == VALUE_TUPLE;
    struct template_value *const *parts = tuple ? wanted->u.list.items : &wanted;
    size_t n = tuple ? wanted->u.list.n : 1;
    struct template_value *part =
        any ? template_substring(ev, self, start, end) : ev->values->empty;
    bool found = false;
    for (size_t i = 0; i < n && part != NULL; i++) {
        if (parts[i]->kind != VALUE_STRING)
            return template_fail_type(
                ev, "startswith and endswith need a string or a tuple of strings", parts[i]);
        found = found || (any && matches(part, parts[i]));
    }
    return part != NULL ? template_bool(ev->values, found) : NULL;
}

static struct template_value *str_startswith(struct eval *ev, struct template_value *self,
                                             const struct call_args *args)
{
    return matches_end(ev, self, args, starts_with);
}

static struct template_value *str_endswith(struct eval *ev, struct template_value *self,
                                           const struct call_args *args)
{
    return matches_end(ev, self, args, ends_with);
}

/* ---- replacing -------------------------------------------------------------------------------- */

/* An empty part matches before each character and at the end. */
static bool replace_empty(struct eval *ev, const struct template_value *self,
                          const struct template_value *with, int64_t count)
{
    size_t bytes = 0;
    for (size_t at = 0; at <= BYTES(self); at += bytes) {
        if (count-- == 0)
            return template_put(ev, TEXT(self) + at, BYTES(self) - at);
        if (!template_put_str(ev, with))
            return false;
        if (at == BYTES(self))
            break;
        bytes = template_char_bytes(TEXT(self) + at, BYTES(self) - at);
        if (!template_put(ev, TEXT(self) + at, bytes))
            return false;
    }
    return template_step(ev, self->u.string.chars / 8);
}

static bool replace_part(struct eval *ev, const struct template_value *self,
                         const struct template_value *part, const struct template_value *with,
                         int64_t count)
{
    size_t start = 0;
    while (count-- != 0) {
        size_t at = find_text(self, part, start, BYTES(self), false);
        if (at == SIZE_MAX)
            break;
        if (!template_step(ev, 1) || !template_put(ev, TEXT(self) + start, at - start) ||
            !template_put_str(ev, with))
            return false;
        start = at + BYTES(part);
    }
    return template_put(ev, TEXT(self) + start, BYTES(self) - start);
}

static struct template_value *str_replace(struct eval *ev, struct template_value *self,
                                          const struct call_args *args)
{
    struct template_value *part = NULL;
    struct template_value *with = NULL;
    int64_t count = -1;
    if (!template_arg_string(ev, args, 0, &part) || !template_arg_string(ev, args, 1, &with) ||
        !template_arg_int(ev, args, 2, &count))
        return NULL;
    if (args->bound[2] != NULL && args->bound[2]->kind == VALUE_BIG)
        return template_fail(ev, "replace: a count beyond 64 bits");
    size_t mark = template_mark(ev);
    bool ok = BYTES(part) == 0 ? replace_empty(ev, self, with, count)
                               : replace_part(ev, self, part, with, count);
    return ok ? template_take(ev, mark) : NULL;
}

static const struct builtin rows[] = {
    {"upper", str_upper, "", 0, true},
    {"lower", str_lower, "", 0, true},
    {"casefold", str_casefold, "", 0, true},
    {"capitalize", str_capitalize, "", 0, true},
    {"title", str_title, "", 0, true},
    {"swapcase", str_swapcase, "", 0, true},
    {"strip", str_strip, "chars", 0, true},
    {"lstrip", str_lstrip, "chars", 0, true},
    {"rstrip", str_rstrip, "chars", 0, true},
    {"removeprefix", str_removeprefix, "prefix", 1, true},
    {"removesuffix", str_removesuffix, "suffix", 1, true},
    {"center", str_center, "width,fillchar", 1, true},
    {"ljust", str_ljust, "width,fillchar", 1, true},
    {"rjust", str_rjust, "width,fillchar", 1, true},
    {"zfill", str_zfill, "width", 1, true},
    {"expandtabs", str_expandtabs, "tabsize", 0, true},
    {"find", str_find, "sub,start,end", 1, false},
    {"rfind", str_rfind, "sub,start,end", 1, false},
    {"index", str_index, "sub,start,end", 1, false},
    {"rindex", str_rindex, "sub,start,end", 1, false},
    {"count", str_count, "sub,start,end", 1, false},
    {"startswith", str_startswith, "prefix,start,end", 1, false},
    {"endswith", str_endswith, "suffix,start,end", 1, false},
    {"replace", str_replace, "old,new,count", 2, true},
};

const struct builtin_table template_methods_string = BUILTIN_TABLE(rows);
