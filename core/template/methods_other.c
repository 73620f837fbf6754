/*
 * template/methods_other.c - methods of dict, list, tuple, range, loop and cycler that change nothing.
 */
#include "eval.h"

#include <string.h>

#include "base/banned.h"

/* ---- dict ------------------------------------------------------------------------------------- */

static struct template_value *new_view(struct eval *ev, const struct template_value *self,
                                       enum view_kind kind)
{
    struct template_value *view = template_check(ev, template_value_new(ev->values, VALUE_VIEW));
    if (view != NULL) {
        view->view = (uint8_t)kind;
        view->u.dict = self->u.dict;
    }
    return view;
}

static struct template_value *dict_keys(struct eval *ev, struct template_value *self,
                                        const struct call_args *args)
{
    (void)args;
    return new_view(ev, self, VIEW_KEYS);
}

static struct template_value *dict_values(struct eval *ev, struct template_value *self,
                                          const struct call_args *args)
{
    (void)args;
    return new_view(ev, self, VIEW_VALUES);
}

static struct template_value *dict_items(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    (void)args;
    return new_view(ev, self, VIEW_ITEMS);
}

static struct template_value *dict_get(struct eval *ev, struct template_value *self,
                                       const struct call_args *args)
{
    struct dict_entry *entry = NULL;
    if (!template_dict_find(ev, self->u.dict, args->bound[0], &entry))
        return NULL;
    return entry != NULL ? entry->item : template_arg(args, 1, template_none(ev->values));
}

static struct template_value *dict_copy(struct eval *ev, struct template_value *self,
                                        const struct call_args *args)
{
    (void)ev;
    (void)args;
    return self; /* nothing can change either */
}

static struct template_value *dict_fromkeys(struct eval *ev, struct template_value *self,
                                            const struct call_args *args)
{
    (void)self;
    struct seq seq;
    struct template_value *dict = template_check(ev, template_dict(ev->values));
    if (dict == NULL || !template_iterate(ev, args->bound[0], &seq))
        return NULL;
    for (size_t i = 0; i < seq.n; i++)
        if (!template_dict_put(ev, dict->u.dict, seq.items[i],
                               template_arg(args, 1, template_none(ev->values))))
            return NULL;
    return dict;
}

static const struct builtin dict_rows[] = {
    {"get", dict_get, "key,default", 1, false},
    {"keys", dict_keys, "", 0, false},
    {"values", dict_values, "", 0, false},
    {"items", dict_items, "", 0, false},
    {"copy", dict_copy, "", 0, false},
    {"fromkeys", dict_fromkeys, "iterable,value", 1, false},
};

const struct builtin_table template_methods_dict = BUILTIN_TABLE(dict_rows);

/* ---- list, tuple, range ----------------------------------------------------------------------- */

static bool index_bound(struct eval *ev, const struct call_args *args, size_t i, size_t n,
                        size_t *ret)
{
    int64_t at = (int64_t)*ret;
    if (!template_arg_int(ev, args, i, &at))
        return false;
    at = at < 0 ? PL_MAX(at + (int64_t)n, (int64_t)0) : PL_MIN(at, (int64_t)n);
    *ret = (size_t)at;
    return true;
}

static struct template_value *list_index(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    struct seq seq;
    if (!template_iterate(ev, self, &seq))
        return NULL;
    size_t start = 0;
    size_t end = seq.n;
    if (!index_bound(ev, args, 1, seq.n, &start) || !index_bound(ev, args, 2, seq.n, &end))
        return NULL;
    for (size_t i = start; i < end; i++) {
        bool same = false;
        if (!template_equal(ev, seq.items[i], args->bound[0], &same))
            return NULL;
        if (same)
            return template_check(ev, template_int(ev->values, (int64_t)i));
    }
    return template_fail(ev, "index(): the value is not in the %s", template_type_name(self));
}

static struct template_value *list_count(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    struct seq seq;
    int64_t count = 0;
    if (!template_iterate(ev, self, &seq))
        return NULL;
    for (size_t i = 0; i < seq.n; i++) {
        bool same = false;
        if (!template_equal(ev, seq.items[i], args->bound[0], &same))
            return NULL;
        count += same;
    }
    return template_check(ev, template_int(ev->values, count));
}

static struct template_value *list_copy(struct eval *ev, struct template_value *self,
                                        const struct call_args *args)
{
    (void)args;
    return template_check(ev, template_list_of(ev->values, self->u.list.items, self->u.list.n));
}

/* The array of items may be another list's too: it is replaced, not written to. */
static struct template_value *list_pop(struct eval *ev, struct template_value *self,
                                       const struct call_args *args)
{
    int64_t i = -1;
    size_t n = self->u.list.n;
    if (!template_arg_int(ev, args, 0, &i))
        return NULL;
    if (i < 0)
        i += (int64_t)n;
    if (i < 0 || i >= (int64_t)n)
        return template_fail(ev, "pop from an empty list, or index out of range");
    struct template_value *item = self->u.list.items[i];
    if (i == 0) {
        self->u.list.items++;
    } else if (i + 1 < (int64_t)n) {
        struct template_value **items = template_alloc(ev, n - 1, sizeof(void *));
        if (items == NULL || !template_step(ev, n / 16))
            return NULL;
        memcpy(items, self->u.list.items, (size_t)i * sizeof(void *));
        memcpy(items + i, self->u.list.items + i + 1, (n - (size_t)i - 1) * sizeof(void *));
        self->u.list.items = items;
    }
    self->u.list.n = self->u.list.capacity = n - 1;
    return item;
}

static struct template_value *list_clear(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    (void)args;
    self->u.list.n = self->u.list.capacity = 0;
    return template_none(ev->values);
}

static const struct builtin sequence_rows[] = {
    {"index", list_index, "value,start,stop", 1, false},
    {"count", list_count, "value", 1, false},
};

const struct builtin_table template_methods_sequence = BUILTIN_TABLE(sequence_rows);

static const struct builtin list_rows[] = {
    {"copy", list_copy, "", 0, false},
    {"pop", list_pop, "index", 0, false},
    {"clear", list_clear, "", 0, false},
};

const struct builtin_table template_methods_list = BUILTIN_TABLE(list_rows);

/* ---- loop ------------------------------------------------------------------------------------- */

static struct template_value *loop_cycle(struct eval *ev, struct template_value *self,
                                         const struct call_args *args)
{
    if (args->n == 0)
        return template_fail(ev, "no items for cycling given");
    return args->items[(size_t)PL_MAX(self->u.loop->index0, (int64_t)0) % args->n];
}

static struct template_value *loop_changed(struct eval *ev, struct template_value *self,
                                           const struct call_args *args)
{
    struct loop *loop = self->u.loop;
    struct template_value *now =
        template_check(ev, template_tuple(ev->values, args->items, args->n));
    bool same = false;
    if (now == NULL || (loop->changed != NULL && !template_equal(ev, loop->changed, now, &same)))
        return NULL;
    loop->changed = now;
    return template_bool(ev->values, !same);
}

static const struct builtin loop_rows[] = {
    {"cycle", loop_cycle, "...", 0, false},
    {"changed", loop_changed, "...", 0, false},
};

const struct builtin_table template_methods_loop = BUILTIN_TABLE(loop_rows);

/* ---- cycler ----------------------------------------------------------------------------------- */

static struct template_value *cycler_next(struct eval *ev, struct template_value *self,
                                          const struct call_args *args)
{
    (void)ev;
    (void)args;
    struct cycler *cycler = self->u.cycler;
    struct template_value *item = cycler->items[cycler->pos];
    cycler->pos = (cycler->pos + 1) % cycler->n;
    return item;
}

static struct template_value *cycler_reset(struct eval *ev, struct template_value *self,
                                           const struct call_args *args)
{
    (void)args;
    self->u.cycler->pos = 0;
    return template_none(ev->values);
}

static const struct builtin cycler_rows[] = {
    {"next", cycler_next, "", 0, false},
    {"reset", cycler_reset, "", 0, false},
};

const struct builtin_table template_methods_cycler = BUILTIN_TABLE(cycler_rows);
