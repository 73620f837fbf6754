/*
 * template/methods_split.c - methods of str that take it apart or put it together.
 */
#include "eval.h"
#include "unicode.h"

#include <string.h>

#include "base/banned.h"

#define TEXT(v)  ((v)->u.string.text)
#define BYTES(v) ((v)->u.string.bytes)

static bool add_part(struct eval *ev, struct template_value *list,
                     const struct template_value *self, size_t start, size_t end)
{
    struct template_value *part =
        template_step(ev, 1) ? template_substring(ev, self, start, end) : NULL;
    if (part == NULL)
        return false;
    if (template_list_add(ev->values, list, part))
        return true;
    template_fail_nomem(ev);
    return false;
}

static bool space_at(const struct template_value *self, size_t at, size_t *ret_bytes)
{
    return template_code_is_space(template_char_code(TEXT(self) + at, BYTES(self) - at, ret_bytes));
}

static size_t skip(const struct template_value *self, size_t at, bool space)
{
    size_t bytes = 0;
    while (at < BYTES(self) && space_at(self, at, &bytes) == space)
        at += bytes;
    return at;
}

/* The start of the run of blanks, or of others, that ends at `end`. */
static size_t skip_back(const struct template_value *self, size_t end, bool space)
{
    size_t bytes = 0;
    while (end > 0) {
        size_t at = template_char_before(TEXT(self), end);
        if (template_code_is_space(template_char_code(TEXT(self) + at, end - at, &bytes)) != space)
            break;
        end = at;
    }
    return end;
}

static bool split_blanks(struct eval *ev, struct template_value *list,
                         const struct template_value *self, int64_t max)
{
    size_t at = skip(self, 0, true);
    while (at < BYTES(self)) {
        size_t end = max == 0 ? BYTES(self) : skip(self, at, false);
        max -= max > 0;
        if (!add_part(ev, list, self, at, end))
            return false;
        at = skip(self, end, true);
    }
    return template_step(ev, BYTES(self) / 8);
}

static bool split_text(struct eval *ev, struct template_value *list,
                       const struct template_value *self, const struct template_value *separator,
                       int64_t max)
{
    size_t start = 0;
    while (max-- != 0) {
        const char *at =
            memmem(TEXT(self) + start, BYTES(self) - start, TEXT(separator), BYTES(separator));
        if (at == NULL)
            break;
        size_t end = (size_t)(at - TEXT(self));
        if (!add_part(ev, list, self, start, end))
            return false;
        start = end + BYTES(separator);
    }
    return add_part(ev, list, self, start, BYTES(self)) && template_step_bytes(ev, BYTES(self));
}

static bool rsplit_blanks(struct eval *ev, struct template_value *list,
                          const struct template_value *self, int64_t max)
{
    size_t end = skip_back(self, BYTES(self), true);
    while (end > 0) {
        size_t start = max == 0 ? 0 : skip_back(self, end, false);
        max -= max > 0;
        if (!add_part(ev, list, self, start, end))
            return false;
        end = start == 0 ? 0 : skip_back(self, start, true);
    }
    return template_step(ev, BYTES(self) / 8);
}

static bool rsplit_text(struct eval *ev, struct template_value *list,
                        const struct template_value *self, const struct template_value *separator,
                        int64_t max)
{
    size_t n = BYTES(separator);
    size_t end = BYTES(self);
    size_t at = end;
    while (max != 0 && at >= n) {
        if (memcmp(TEXT(self) + at - n, TEXT(separator), n) != 0) {
            at--;
            continue;
        }
        if (!add_part(ev, list, self, at, end))
            return false;
        end = at = at - n;
        max--;
    }
    return add_part(ev, list, self, 0, end) && template_step(ev, BYTES(self) / 8);
}

static void reverse(struct template_value *list)
{
    struct template_value **items = list->u.list.items;
    for (size_t a = 0, b = list->u.list.n; a + 1 < b; a++) {
        struct template_value *item = items[a];
        items[a] = items[--b];
        items[b] = item;
    }
}

static struct template_value *split(struct eval *ev, struct template_value *self,
                                    const struct call_args *args, bool right)
{
    struct template_value *separator = NULL;
    int64_t max = -1;
    if (args->bound[0] != NULL && args->bound[0]->kind != VALUE_NONE &&
        !template_arg_string(ev, args, 0, &separator))
        return NULL;
    if (!template_arg_int(ev, args, 1, &max))
        return NULL;
    if (separator != NULL && BYTES(separator) == 0)
        return template_fail(ev, "empty separator");
    max = PL_MAX(max, (int64_t)-1);
    struct template_value *list = template_check(ev, template_list(ev->values));
    if (list == NULL)
        return NULL;
    bool ok = false;
    if (right)
        ok = separator != NULL ? rsplit_text(ev, list, self, separator, max)
                               : rsplit_blanks(ev, list, self, max);
    else
        ok = separator != NULL ? split_text(ev, list, self, separator, max)
                               : split_blanks(ev, list, self, max);
    if (right)
        reverse(list);
    return ok ? list : NULL;
}

static struct template_value *str_split(struct eval *ev, struct template_value *self,
                                        const struct call_args *args)
{
    return split(ev, self, args, false);
}

static struct template_value *str_rsplit(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    return split(ev, self, args, true);
}

static struct template_value *str_splitlines(struct eval *ev, struct template_value *self,
                                             const struct call_args *args)
{
    bool keep = template_arg_truth(args, 0, false);
    struct template_value *list = template_check(ev, template_list(ev->values));
    size_t start = 0;
    size_t bytes = 0;
    for (size_t at = 0; list != NULL && at < BYTES(self); at += bytes) {
        uint32_t code = template_char_code(TEXT(self) + at, BYTES(self) - at, &bytes);
        if (!template_code_is_line_end(code))
            continue;
        if (code == '\r' && at + 1 < BYTES(self) && TEXT(self)[at + 1] == '\n')
            bytes++;
        if (!add_part(ev, list, self, start, keep ? at + bytes : at))
            return NULL;
        start = at + bytes;
    }
    if (list != NULL && start < BYTES(self) && !add_part(ev, list, self, start, BYTES(self)))
        return NULL;
    return template_step(ev, BYTES(self) / 8) ? list : NULL;
}

static struct template_value *partition(struct eval *ev, struct template_value *self,
                                        const struct call_args *args, bool last)
{
    struct template_value *separator = NULL;
    if (!template_arg_string(ev, args, 0, &separator) || !template_step(ev, BYTES(self) / 8))
        return NULL;
    size_t n = BYTES(separator);
    if (n == 0)
        return template_fail(ev, "empty separator");
    size_t found = SIZE_MAX;
    for (size_t at = 0; at + n <= BYTES(self);) {
        const char *hit = memmem(TEXT(self) + at, BYTES(self) - at, TEXT(separator), n);
        if (hit == NULL)
            break;
        found = (size_t)(hit - TEXT(self));
        at = found + 1;
        if (!last)
            break;
    }
    struct template_value *empty =
        self->safe ? template_markup(ev, ev->values->empty) : ev->values->empty;
    struct template_value *items[3] = {self, empty, empty};
    if (found == SIZE_MAX && last) {
        items[0] = empty;
        items[2] = self;
    } else if (found != SIZE_MAX) {
        items[0] = template_substring(ev, self, 0, found);
        items[1] = self->safe ? template_escape(ev, separator) : separator;
        items[2] = template_substring(ev, self, found + n, BYTES(self));
    }
    if (items[0] == NULL || items[1] == NULL || items[2] == NULL)
        return NULL;
    return template_check(ev, template_tuple(ev->values, items, 3));
}

static struct template_value *str_partition(struct eval *ev, struct template_value *self,
                                            const struct call_args *args)
{
    return partition(ev, self, args, false);
}

static struct template_value *str_rpartition(struct eval *ev, struct template_value *self,
                                             const struct call_args *args)
{
    return partition(ev, self, args, true);
}

static struct template_value *str_join(struct eval *ev, struct template_value *self,
                                       const struct call_args *args)
{
    struct seq seq;
    if (!template_iterate(ev, args->bound[0], &seq))
        return NULL;
    size_t mark = template_mark(ev);
    for (size_t i = 0; i < seq.n; i++) {
        if (seq.items[i]->kind != VALUE_STRING)
            return template_fail_type(ev, "only strings can be joined", seq.items[i]);
        if (i > 0 && !template_put_str(ev, self))
            return NULL;
        if (self->safe ? !template_put_escaped(ev, seq.items[i])
                       : !template_put_str(ev, seq.items[i]))
            return NULL;
    }
    return template_take(ev, mark);
}

static struct template_value *str_format(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    return template_format_braces(ev, self, args);
}

static struct template_value *str_format_map(struct eval *ev, struct template_value *self,
                                             const struct call_args *args)
{
    const struct template_value *map = args->bound[0];
    if (map->kind != VALUE_DICT)
        return template_fail_type(ev, "format_map() needs a mapping", map);
    struct call_args named = {0};
    named.keywords = template_alloc(ev, map->u.dict->n, sizeof *named.keywords);
    for (size_t i = 0; named.keywords != NULL && i < map->u.dict->n; i++) {
        const struct dict_entry *entry = &map->u.dict->entries[i];
        if (entry->key->kind == VALUE_STRING)
            named.keywords[named.keywords_n++] =
                (struct keyword){TEXT(entry->key), BYTES(entry->key), entry->item};
    }
    return named.keywords != NULL ? template_format_braces(ev, self, &named) : NULL;
}

static const struct builtin rows[] = {
    {"split", str_split, "sep,maxsplit", 0, false},
    {"rsplit", str_rsplit, "sep,maxsplit", 0, false},
    {"splitlines", str_splitlines, "keepends", 0, false},
    {"partition", str_partition, "sep", 1, false},
    {"rpartition", str_rpartition, "sep", 1, false},
    {"join", str_join, "iterable", 1, true},
    {"format", str_format, "...", 0, true},
    {"format_map", str_format_map, "mapping", 1, true},
};

const struct builtin_table template_methods_string_split = BUILTIN_TABLE(rows);
