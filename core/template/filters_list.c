/*
 * template/filters_list.c - filters of sequences that give their result at once.
 */
#include "eval.h"

#include <string.h>

#include "base/banned.h"

/* Strings in lower case, others as they are: how sort and its like compare by default. */
struct template_value *template_ignore_case(struct eval *ev, struct template_value *value)
{
    struct call_args none = {0};
    if (value->kind != VALUE_STRING)
        return value;
    return template_builtin_call(ev, template_method_find(VALUE_STRING, "lower", 5), value, &none);
}

static struct template_value *sort_key(struct eval *ev, struct template_value *item,
                                       const struct template_value *path, bool case_sensitive)
{
    struct template_value *key = template_path_get(ev, item, path, NULL);
    return key != NULL && !case_sensitive ? template_ignore_case(ev, key) : key;
}

static struct template_value *filter_first(struct eval *ev, struct template_value *self,
                                           const struct call_args *args)
{
    (void)args;
    struct seq seq;
    size_t before = self->kind == VALUE_ITERATOR ? self->u.iterator->pos : 0;
    if (!template_iterate(ev, self, &seq))
        return NULL;
    if (seq.n == 0)
        return template_undefined(ev, "no first item, the sequence was empty");
    if (self->kind == VALUE_ITERATOR)
        self->u.iterator->pos = before + 1;
    return seq.items[0];
}

static struct template_value *filter_last(struct eval *ev, struct template_value *self,
                                          const struct call_args *args)
{
    (void)args;
    struct seq seq;
    if (self->kind == VALUE_ITERATOR || self->kind == VALUE_LOOP)
        return template_fail_type(ev, "last: not reversible", self);
    if (!template_iterate(ev, self, &seq))
        return NULL;
    return seq.n > 0 ? seq.items[seq.n - 1]
                     : template_undefined(ev, "no last item, the sequence was empty");
}

static struct template_value *filter_length(struct eval *ev, struct template_value *self,
                                            const struct call_args *args)
{
    (void)args;
    size_t n = 0;
    return template_length(ev, self, &n) ? template_check(ev, template_int(ev->values, (int64_t)n))
                                         : NULL;
}

static struct template_value *filter_list(struct eval *ev, struct template_value *self,
                                          const struct call_args *args)
{
    (void)args;
    struct seq seq;
    if (!template_iterate(ev, self, &seq))
        return NULL;
    return template_check(ev, template_list_of(ev->values, seq.items, seq.n));
}

static struct template_value *filter_join(struct eval *ev, struct template_value *self,
                                          const struct call_args *args)
{
    struct template_value *separator = template_str(ev, template_arg(args, 0, ev->values->empty));
    struct template_value *path = args->bound[1];
    struct seq seq;
    if (separator == NULL || !template_iterate(ev, self, &seq))
        return NULL;
    struct template_value **items = seq.items;
    if (path != NULL && path->kind != VALUE_NONE) {
        items = template_alloc(ev, seq.n, sizeof(void *));
        for (size_t i = 0; items != NULL && i < seq.n; i++)
            if ((items[i] = template_path_get(ev, seq.items[i], path, NULL)) == NULL)
                return NULL;
        if (items == NULL)
            return NULL;
    }
    size_t mark = template_mark(ev);
    for (size_t i = 0; i < seq.n; i++)
        if ((i > 0 && !template_put_str(ev, separator)) || !template_put_str(ev, items[i]))
            return NULL;
    return template_take(ev, mark);
}

/* "a,b.c" into keys by each path; a list, so that they compare in order. */
static struct template_value *multi_key(struct eval *ev, struct template_value *item,
                                        const struct template_value *path, bool case_sensitive)
{
    struct template_value *key = template_check(ev, template_list(ev->values));
    bool many = path != NULL && path->kind == VALUE_STRING;
    const char *s = many ? path->u.string.text : "";
    const char *end = many ? s + path->u.string.bytes : s;
    while (key != NULL) {
        const char *comma = many ? memchr(s, ',', (size_t)(end - s)) : NULL;
        struct template_value *part = NULL;
        if (many)
            part = template_check(
                ev, template_string(ev->values, s, (size_t)((comma != NULL ? comma : end) - s)));
        if (many && part == NULL)
            return NULL;
        struct template_value *value = sort_key(ev, item, many ? part : path, case_sensitive);
        if (value == NULL)
            return NULL;
        if (!template_list_add(ev->values, key, value))
            return template_fail_nomem(ev);
        if (comma == NULL)
            break;
        s = comma + 1;
    }
    return key;
}

static struct template_value *filter_sort(struct eval *ev, struct template_value *self,
                                          const struct call_args *args)
{
    bool case_sensitive = template_arg_truth(args, 1, false);
    struct seq seq;
    if (!template_iterate(ev, self, &seq))
        return NULL;
    struct template_value **items = template_alloc(ev, seq.n, sizeof(void *));
    struct template_value **keys = template_alloc(ev, seq.n, sizeof(void *));
    if (items == NULL || keys == NULL)
        return NULL;
    for (size_t i = 0; i < seq.n; i++) {
        items[i] = seq.items[i];
        keys[i] = multi_key(ev, items[i], args->bound[2], case_sensitive);
        if (keys[i] == NULL)
            return NULL;
    }
    if (!template_sort(ev, items, keys, seq.n, template_arg_truth(args, 0, false)))
        return NULL;
    return template_check(ev, template_list_of(ev->values, items, seq.n));
}

static struct template_value *filter_dictsort(struct eval *ev, struct template_value *self,
                                              const struct call_args *args)
{
    bool case_sensitive = template_arg_truth(args, 0, false);
    struct template_value *by = NULL;
    if (!template_arg_string(ev, args, 1, &by))
        return NULL;
    bool by_value =
        by != NULL && by->u.string.bytes == 5 && memcmp(by->u.string.text, "value", 5) == 0;
    if (by != NULL && !by_value &&
        (by->u.string.bytes != 3 || memcmp(by->u.string.text, "key", 3) != 0))
        return template_fail(ev, "dictsort: sort by 'key' or 'value'");
    if (self->kind != VALUE_DICT)
        return template_fail_type(ev, "dictsort: not a mapping", self);
    const struct dict *dict = self->u.dict;
    struct template_value **items = template_alloc(ev, dict->n, sizeof(void *));
    struct template_value **keys = template_alloc(ev, dict->n, sizeof(void *));
    for (size_t i = 0; items != NULL && keys != NULL && i < dict->n; i++) {
        const struct dict_entry *entry = &dict->entries[i];
        items[i] = template_check(ev, template_pair(ev->values, entry->key, entry->item));
        keys[i] = sort_key(ev, by_value ? entry->item : entry->key, NULL, case_sensitive);
        if (items[i] == NULL || keys[i] == NULL)
            return NULL;
    }
    if (items == NULL || keys == NULL ||
        !template_sort(ev, items, keys, dict->n, template_arg_truth(args, 2, false)))
        return NULL;
    return template_check(ev, template_list_of(ev->values, items, dict->n));
}

static struct template_value *extreme(struct eval *ev, struct template_value *self,
                                      const struct call_args *args, bool largest)
{
    bool case_sensitive = template_arg_truth(args, 0, false);
    struct seq seq;
    if (!template_iterate(ev, self, &seq))
        return NULL;
    if (seq.n == 0)
        return template_undefined(ev, "no aggregated item, the sequence was empty");
    struct template_value *best = seq.items[0];
    struct template_value *best_key = sort_key(ev, best, args->bound[1], case_sensitive);
    for (size_t i = 1; best_key != NULL && i < seq.n; i++) {
        struct template_value *key = sort_key(ev, seq.items[i], args->bound[1], case_sensitive);
        bool better = false;
        if (key == NULL || !(largest ? template_less(ev, best_key, key, &better)
                                     : template_less(ev, key, best_key, &better)))
            return NULL;
        if (better) {
            best = seq.items[i];
            best_key = key;
        }
    }
    return best_key != NULL ? best : NULL;
}

static struct template_value *filter_min(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    return extreme(ev, self, args, false);
}

static struct template_value *filter_max(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    return extreme(ev, self, args, true);
}

static struct template_value *filter_sum(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    struct template_value *sum = template_arg(args, 1, template_int(ev->values, 0));
    struct seq seq;
    if (sum->kind == VALUE_STRING)
        return template_fail(ev, "sum: strings can't be summed, join them");
    if (!template_iterate(ev, self, &seq))
        return NULL;
    for (size_t i = 0; i < seq.n && sum != NULL; i++) {
        struct template_value *item = template_path_get(ev, seq.items[i], args->bound[0], NULL);
        sum = item != NULL ? template_binary(ev, OP_ADD, sum, item) : NULL;
    }
    return sum;
}

/* ---- groupby ---------------------------------------------------------------------------------- */

static struct template_value *new_group(struct eval *ev, struct template_value *grouper,
                                        struct template_value **items, size_t n)
{
    struct template_value *list = template_check(ev, template_list_of(ev->values, items, n));
    struct template_value *group =
        list != NULL ? template_check(ev, template_pair(ev->values, grouper, list)) : NULL;
    if (group != NULL)
        group->named = true;
    return group;
}

static struct template_value *group_key(struct eval *ev, struct template_value *item,
                                        const struct call_args *args, bool case_sensitive)
{
    struct template_value *fallback = args->bound[1];
    if (fallback != NULL && fallback->kind == VALUE_NONE)
        fallback = NULL;
    struct template_value *key = template_path_get(ev, item, args->bound[0], fallback);
    return key != NULL && !case_sensitive ? template_ignore_case(ev, key) : key;
}

static struct template_value *filter_groupby(struct eval *ev, struct template_value *self,
                                             const struct call_args *args)
{
    bool case_sensitive = template_arg_truth(args, 2, false);
    struct template_value *groups = template_check(ev, template_list(ev->values));
    struct seq seq;
    if (groups == NULL || !template_iterate(ev, self, &seq))
        return NULL;
    struct template_value **items = template_alloc(ev, seq.n, sizeof(void *));
    struct template_value **keys = template_alloc(ev, seq.n, sizeof(void *));
    for (size_t i = 0; items != NULL && keys != NULL && i < seq.n; i++) {
        items[i] = seq.items[i];
        if ((keys[i] = group_key(ev, items[i], args, case_sensitive)) == NULL)
            return NULL;
    }
    if (items == NULL || keys == NULL || !template_sort(ev, items, keys, seq.n, false))
        return NULL;
    for (size_t start = 0, end = 0; start < seq.n; start = end) {
        struct template_value *key = group_key(ev, items[start], args, case_sensitive);
        bool same = key != NULL;
        for (end = start + 1; same && end < seq.n; end += same) {
            struct template_value *other = group_key(ev, items[end], args, case_sensitive);
            if (other == NULL || !template_equal(ev, key, other, &same))
                return NULL;
        }
        struct template_value *name = key != NULL ? group_key(ev, items[start], args, true) : NULL;
        struct template_value *group =
            name != NULL ? new_group(ev, name, items + start, end - start) : NULL;
        if (group == NULL)
            return NULL;
        if (!template_list_add(ev->values, groups, group))
            return template_fail_nomem(ev);
    }
    return groups;
}

static const struct builtin rows[] = {
    {"first", filter_first, "", 0, false},
    {"last", filter_last, "", 0, false},
    {"length", filter_length, "", 0, false},
    {"count", filter_length, "", 0, false},
    {"list", filter_list, "", 0, false},
    {"join", filter_join, "d,attribute", 0, false},
    {"sort", filter_sort, "reverse,case_sensitive,attribute", 0, false},
    {"dictsort", filter_dictsort, "case_sensitive,by,reverse", 0, false},
    {"min", filter_min, "case_sensitive,attribute", 0, false},
    {"max", filter_max, "case_sensitive,attribute", 0, false},
    {"sum", filter_sum, "attribute,start", 0, false},
    {"groupby", filter_groupby, "attribute,default,case_sensitive", 1, false},
};

const struct builtin_table template_filters_list = BUILTIN_TABLE(rows);
