/*
 * template/filters_lazy.c - filters that give a generator: nothing is computed before it is read, and it
 * is read once. A generator is true, has no length and no items by number; `list` makes it a list.
 */
#include "eval.h"

#include <string.h>

#include "base/banned.h"

/* ---- generators ------------------------------------------------------------------------------- */

static struct template_value *new_iterator(struct eval *ev, iterator_fn make,
                                           struct template_value *source,
                                           const struct call_args *args)
{
    struct template_value *value =
        template_check(ev, template_value_new(ev->values, VALUE_ITERATOR));
    struct iterator *it = template_alloc(ev, 1, sizeof *it);
    struct call_args *kept = template_alloc(ev, 1, sizeof *kept);
    if (value == NULL || it == NULL || kept == NULL)
        return NULL;
    *kept = *args;
    it->make = make;
    it->source = source;
    it->args = kept;
    value->u.iterator = it;
    return value;
}

/* Defines filter `name`, whose generator is made by make_<name>. */
#define LAZY_FILTER(name)                                                                          \
    static struct template_value *filter_##name(struct eval *ev, struct template_value *self,      \
                                                const struct call_args *args)                      \
    {                                                                                              \
        return new_iterator(ev, make_##name, self, args);                                          \
    }

static bool add(struct eval *ev, struct template_value *list, struct template_value *item)
{
    if (item == NULL)
        return false;
    if (template_list_add(ev->values, list, item))
        return true;
    template_fail_nomem(ev);
    return false;
}

/* ---- attributes by path ----------------------------------------------------------------------- */

static bool all_digits(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] < '0' || s[i] > '9')
            return false;
    return n > 0 && n < 18;
}

static struct template_value *path_part(struct eval *ev, const char *s, size_t n)
{
    if (!all_digits(s, n))
        return template_check(ev, template_string(ev->values, s, n));
    int64_t index = 0;
    for (size_t i = 0; i < n; i++)
        index = index * 10 + (s[i] - '0');
    return template_check(ev, template_int(ev->values, index));
}

struct template_value *template_path_get(struct eval *ev, struct template_value *item,
                                         const struct template_value *path,
                                         struct template_value *fallback)
{
    if (path == NULL || path->kind == VALUE_NONE)
        return item;
    if (path->kind != VALUE_STRING) {
        struct template_value key = *path;
        struct template_value *copy =
            template_check(ev, template_value_new(ev->values, VALUE_NONE));
        if (copy == NULL)
            return NULL;
        *copy = key;
        item = template_getitem(ev, item, copy);
        return item != NULL && fallback != NULL && item->kind == VALUE_UNDEFINED ? fallback : item;
    }
    const char *s = path->u.string.text;
    const char *end = s + path->u.string.bytes;
    for (;;) {
        const char *dot = memchr(s, '.', (size_t)(end - s));
        struct template_value *part = path_part(ev, s, (size_t)((dot != NULL ? dot : end) - s));
        item = part != NULL ? template_getitem(ev, item, part) : NULL;
        if (item == NULL)
            return NULL;
        if (fallback != NULL && item->kind == VALUE_UNDEFINED)
            item = fallback;
        if (dot == NULL)
            return item;
        s = dot + 1;
    }
}

/* ---- map, select, reject ---------------------------------------------------------------------- */

/* args without its first `skip` positional ones */
static struct call_args drop_args(const struct call_args *args, size_t skip)
{
    struct call_args rest = *args;
    rest.items = args->n > skip ? args->items + skip : NULL;
    rest.n = args->n > skip ? args->n - skip : 0;
    return rest;
}

static const struct keyword *find_keyword(const struct call_args *args, const char *name)
{
    for (size_t i = 0; i < args->keywords_n; i++)
        if (args->keywords[i].n == strlen(name) &&
            memcmp(args->keywords[i].text, name, args->keywords[i].n) == 0)
            return &args->keywords[i];
    return NULL;
}

static const struct builtin *named_row(struct eval *ev, const struct template_value *name,
                                       bool test)
{
    const struct builtin *row = NULL;
    if (name->kind == VALUE_STRING)
        row = test ? template_test_find(name->u.string.text, name->u.string.bytes)
                   : template_filter_find(name->u.string.text, name->u.string.bytes);
    if (row == NULL)
        template_fail(ev, "no such %s in map, select or reject", test ? "test" : "filter");
    return row;
}

static struct template_value *make_map(struct eval *ev, struct template_value *source,
                                       const struct call_args *args)
{
    const struct keyword *path = args->n == 0 ? find_keyword(args, "attribute") : NULL;
    const struct keyword *fallback = path != NULL ? find_keyword(args, "default") : NULL;
    struct template_value *list = template_check(ev, template_list(ev->values));
    const struct builtin *filter = NULL;
    struct call_args rest = drop_args(args, 1);
    struct seq seq;
    if (list == NULL || (template_has_length(source) && !template_truth(source)))
        return list;
    if (path != NULL && args->keywords_n > (fallback != NULL ? 2u : 1u))
        return template_fail(ev, "map: unexpected keyword argument");
    if (path == NULL && args->n == 0)
        return template_fail(ev, "map requires a filter argument");
    if (path == NULL && (filter = named_row(ev, args->items[0], false)) == NULL)
        return NULL;
    if (!template_truth(source))
        return list;
    if (!template_iterate(ev, source, &seq))
        return NULL;
    for (size_t i = 0; i < seq.n; i++) {
        struct template_value *item =
            path != NULL ? template_path_get(ev, seq.items[i], path->value,
                                             fallback != NULL && fallback->value->kind != VALUE_NONE
                                                 ? fallback->value
                                                 : NULL)
                         : template_builtin_call(ev, filter, seq.items[i], &rest);
        if (!add(ev, list, item))
            return NULL;
    }
    return list;
}

struct selection {
    bool attribute; /* the test is of an attribute */
    bool wanted;    /* keep where the test is this */
};

static bool is_selected(struct eval *ev, const struct selection *selection,
                        struct template_value *item, const struct builtin *test,
                        const struct call_args *args, bool *ret)
{
    size_t skip = selection->attribute ? 1 : 0;
    struct call_args rest = drop_args(args, skip + 1);
    if (selection->attribute)
        item = template_path_get(ev, item, args->items[0], NULL);
    if (item != NULL && test != NULL)
        item = template_builtin_call(ev, test, item, &rest);
    if (item != NULL)
        *ret = template_truth(item) == selection->wanted;
    return item != NULL;
}

static struct template_value *make_selection(struct eval *ev, struct template_value *source,
                                             const struct call_args *args,
                                             const struct selection *selection)
{
    size_t skip = selection->attribute ? 1 : 0;
    struct template_value *list = template_check(ev, template_list(ev->values));
    const struct builtin *test = NULL;
    struct seq seq;
    if (list == NULL || !template_truth(source))
        return list;
    if (selection->attribute && args->n == 0)
        return template_fail(ev, "an attribute name is missing");
    if (args->n > skip && (test = named_row(ev, args->items[skip], true)) == NULL)
        return NULL;
    if (!template_iterate(ev, source, &seq))
        return NULL;
    for (size_t i = 0; i < seq.n; i++) {
        bool selected = false;
        if (!is_selected(ev, selection, seq.items[i], test, args, &selected) ||
            (selected && !add(ev, list, seq.items[i])))
            return NULL;
    }
    return list;
}

#define MAKE_SELECTION(name, by_attribute, keep)                                                   \
    static struct template_value *make_##name(struct eval *ev, struct template_value *source,      \
                                              const struct call_args *args)                        \
    {                                                                                              \
        static const struct selection selection = {.attribute = by_attribute, .wanted = keep};     \
        return make_selection(ev, source, args, &selection);                                       \
    }

MAKE_SELECTION(select, false, true)
MAKE_SELECTION(reject, false, false)
MAKE_SELECTION(selectattr, true, true)
MAKE_SELECTION(rejectattr, true, false)

/* ---- items, unique, batch, slice, reverse ----------------------------------------------------- */

static struct template_value *make_items(struct eval *ev, struct template_value *source,
                                         const struct call_args *args)
{
    (void)args;
    struct template_value *list = template_check(ev, template_list(ev->values));
    if (list == NULL || source->kind == VALUE_UNDEFINED)
        return list;
    if (source->kind != VALUE_DICT)
        return template_fail(ev, "can only get item pairs from a mapping");
    for (size_t i = 0; i < source->u.dict->n; i++) {
        const struct dict_entry *entry = &source->u.dict->entries[i];
        if (!add(ev, list, template_check(ev, template_pair(ev->values, entry->key, entry->item))))
            return NULL;
    }
    return list;
}

static struct template_value *make_unique(struct eval *ev, struct template_value *source,
                                          const struct call_args *args)
{
    bool case_sensitive = template_arg_truth(args, 0, false);
    struct template_value *list = template_check(ev, template_list(ev->values));
    struct dict *seen = template_alloc(ev, 1, sizeof *seen);
    struct seq seq;
    if (list == NULL || seen == NULL || !template_iterate(ev, source, &seq))
        return NULL;
    for (size_t i = 0; i < seq.n; i++) {
        struct dict_entry *entry = NULL;
        struct template_value *key = template_path_get(ev, seq.items[i], args->bound[1], NULL);
        key = key != NULL && !case_sensitive ? template_ignore_case(ev, key) : key;
        if (key == NULL || !template_dict_find(ev, seen, key, &entry))
            return NULL;
        if (entry == NULL &&
            (!template_dict_put(ev, seen, key, key) || !add(ev, list, seq.items[i])))
            return NULL;
    }
    return list;
}

static struct template_value *make_batch(struct eval *ev, struct template_value *source,
                                         const struct call_args *args)
{
    int64_t size = 0;
    struct template_value *list = template_check(ev, template_list(ev->values));
    struct template_value *fill = args->bound[1];
    struct template_value *row = NULL;
    struct seq seq;
    if (list == NULL || !template_arg_int(ev, args, 0, &size) ||
        !template_iterate(ev, source, &seq))
        return NULL;
    for (size_t i = 0; i < seq.n; i++) {
        if (row == NULL || (int64_t)row->u.list.n == size) {
            row = template_check(ev, template_list(ev->values));
            if (row == NULL || !add(ev, list, row))
                return NULL;
        }
        if (!add(ev, row, seq.items[i]))
            return NULL;
    }
    while (row != NULL && fill != NULL && fill->kind != VALUE_NONE && (int64_t)row->u.list.n < size)
        if (!template_step(ev, 1) || !add(ev, row, fill))
            return NULL;
    return list;
}

static struct template_value *make_slice(struct eval *ev, struct template_value *source,
                                         const struct call_args *args)
{
    int64_t slices = 0;
    struct template_value *list = template_check(ev, template_list(ev->values));
    struct template_value *fill = args->bound[1];
    struct seq seq;
    if (list == NULL || !template_arg_int(ev, args, 0, &slices) ||
        !template_iterate(ev, source, &seq))
        return NULL;
    if (slices == 0)
        return template_fail(ev, "division by zero");
    size_t at = 0;
    for (int64_t i = 0; i < slices; i++) {
        struct template_value *row =
            template_step(ev, 1) ? template_check(ev, template_list(ev->values)) : NULL;
        bool longer = i < (int64_t)seq.n % slices;
        size_t n = seq.n / (size_t)slices + longer;
        if (row == NULL || !add(ev, list, row))
            return NULL;
        for (size_t k = 0; k < n; k++)
            if (!add(ev, row, seq.items[at++]))
                return NULL;
        if (fill != NULL && fill->kind != VALUE_NONE && !longer && !add(ev, row, fill))
            return NULL;
    }
    return list;
}

static struct template_value *make_reverse(struct eval *ev, struct template_value *source,
                                           const struct call_args *args)
{
    (void)args;
    struct seq seq;
    if (!template_iterate(ev, source, &seq))
        return NULL;
    struct template_value **items = template_alloc(ev, seq.n, sizeof(void *));
    if (items == NULL)
        return NULL;
    for (size_t i = 0; i < seq.n; i++)
        items[i] = seq.items[seq.n - 1 - i];
    return template_check(ev, template_list_of(ev->values, items, seq.n));
}

static struct template_value *filter_reverse(struct eval *ev, struct template_value *self,
                                             const struct call_args *args)
{
    if (self->kind == VALUE_STRING) {
        struct template_value *step = template_check(ev, template_int(ev->values, -1));
        return step != NULL ? template_slice(ev, self, NULL, NULL, step) : NULL;
    }
    if (!template_is_iterable(self) || self->kind == VALUE_LOOP)
        return template_fail(ev, "reverse: the argument must be iterable");
    if (self->kind == VALUE_ITERATOR)
        return make_reverse(ev, self, args);
    return new_iterator(ev, make_reverse, self, args);
}

LAZY_FILTER(map)
LAZY_FILTER(select)
LAZY_FILTER(reject)
LAZY_FILTER(selectattr)
LAZY_FILTER(rejectattr)
LAZY_FILTER(items)
LAZY_FILTER(unique)
LAZY_FILTER(batch)
LAZY_FILTER(slice)

static const struct builtin rows[] = {
    {"map", filter_map, "...", 0, false},
    {"select", filter_select, "...", 0, false},
    {"reject", filter_reject, "...", 0, false},
    {"selectattr", filter_selectattr, "...", 0, false},
    {"rejectattr", filter_rejectattr, "...", 0, false},
    {"items", filter_items, "", 0, false},
    {"unique", filter_unique, "case_sensitive,attribute", 0, false},
    {"batch", filter_batch, "linecount,fill_with", 1, false},
    {"slice", filter_slice, "slices,fill_with", 1, false},
    {"reverse", filter_reverse, "", 0, false},
};

const struct builtin_table template_filters_lazy = BUILTIN_TABLE(rows);
