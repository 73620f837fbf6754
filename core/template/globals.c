/*
 * template/globals.c - the functions every template has: range, dict, namespace, cycler, joiner,
 * raise_exception, strftime_now.
 */
#include "eval.h"
#include "strftime.h"

#include "base/banned.h"

static struct template_value *global_range(struct eval *ev, struct template_value *self,
                                           const struct call_args *args)
{
    (void)self;
    int64_t start = 0;
    int64_t stop = 0;
    int64_t step = 1;
    if (args->bound[1] == NULL) {
        if (!template_arg_int(ev, args, 0, &stop))
            return NULL;
    } else if (!template_arg_int(ev, args, 0, &start) || !template_arg_int(ev, args, 1, &stop) ||
               !template_arg_int(ev, args, 2, &step)) {
        return NULL;
    }
    if (step == 0)
        return template_fail(ev, "range() arg 3 must not be zero");
    uint64_t distance = 0;
    if (step > 0 ? stop > start : stop < start)
        distance = step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    uint64_t stride = step > 0 ? (uint64_t)step : (uint64_t)0 - (uint64_t)step;
    uint64_t n = distance / stride + (distance % stride != 0);
    if (n > TEMPLATE_RANGE_MAX)
        return template_fail_limit(ev, "range too big");
    struct template_value *range = template_check(ev, template_value_new(ev->values, VALUE_RANGE));
    if (range == NULL)
        return NULL;
    range->u.range.start = start;
    range->u.range.stop = stop;
    range->u.range.step = step;
    range->u.range.n = (size_t)n;
    return range;
}

static bool put_pairs(struct eval *ev, struct dict *dict, struct template_value *source)
{
    struct seq seq;
    if (source->kind == VALUE_DICT) {
        for (size_t i = 0; i < source->u.dict->n; i++)
            if (!template_dict_put(ev, dict, source->u.dict->entries[i].key,
                                   source->u.dict->entries[i].item))
                return false;
        return true;
    }
    if (source->kind == VALUE_UNDEFINED) { /* its keys are asked for */
        template_fail_undefined(ev, source);
        return false;
    }
    if (!template_iterate(ev, source, &seq))
        return false;
    for (size_t i = 0; i < seq.n; i++) {
        struct seq pair;
        if (!template_iterate(ev, seq.items[i], &pair))
            return false;
        if (pair.n != 2) {
            template_fail(ev, "a pair of key and value is required, got %zu items", pair.n);
            return false;
        }
        if (!template_dict_put(ev, dict, pair.items[0], pair.items[1]))
            return false;
    }
    return true;
}

static struct template_value *global_dict(struct eval *ev, struct template_value *self,
                                          const struct call_args *args)
{
    (void)self;
    struct template_value *value = template_check(ev, template_dict(ev->values));
    if (value == NULL)
        return NULL;
    if (args->n > 1)
        return template_fail(ev, "expected at most 1 argument, got %zu", args->n);
    if (args->n == 1 && !put_pairs(ev, value->u.dict, args->items[0]))
        return NULL;
    for (size_t i = 0; i < args->keywords_n; i++) {
        const struct keyword *keyword = &args->keywords[i];
        if (!template_dict_set(ev->values, value, keyword->text, keyword->n, keyword->value))
            return template_fail_nomem(ev);
    }
    return value;
}

static struct template_value *global_namespace(struct eval *ev, struct template_value *self,
                                               const struct call_args *args)
{
    struct template_value *value = global_dict(ev, self, args);
    if (value != NULL)
        value->kind = VALUE_NAMESPACE;
    return value;
}

static struct template_value *global_cycler(struct eval *ev, struct template_value *self,
                                            const struct call_args *args)
{
    (void)self;
    if (args->n == 0 || args->keywords_n > 0)
        return template_fail(ev, "a cycler needs at least one item, by position");
    struct template_value *value = template_check(ev, template_value_new(ev->values, VALUE_CYCLER));
    struct cycler *cycler = template_alloc(ev, 1, sizeof *cycler);
    if (value == NULL || cycler == NULL)
        return NULL;
    cycler->items = args->items;
    cycler->n = args->n;
    value->u.cycler = cycler;
    return value;
}

static struct template_value *global_joiner(struct eval *ev, struct template_value *self,
                                            const struct call_args *args)
{
    (void)self;
    struct template_value *fallback = template_check(ev, template_string(ev->values, ", ", 2));
    struct template_value *value = template_check(ev, template_value_new(ev->values, VALUE_JOINER));
    if (value == NULL || fallback == NULL)
        return NULL;
    value->u.separator = template_arg(args, 0, fallback);
    return value;
}

static struct template_value *global_raise(struct eval *ev, struct template_value *self,
                                           const struct call_args *args)
{
    (void)self;
    struct template_value *message = template_str(ev, args->bound[0]);
    if (message != NULL)
        ev->status = pl_error_set(ev->err, PL_EINVAL, "%.*s",
                                  (int)PL_MIN(message->u.string.bytes, (size_t)PL_ERROR_MAX),
                                  message->u.string.text);
    return NULL;
}

static struct template_value *global_strftime(struct eval *ev, struct template_value *self,
                                              const struct call_args *args)
{
    (void)self;
    struct template_value *format = NULL;
    if (!template_arg_string(ev, args, 0, &format))
        return NULL;
    size_t mark = template_mark(ev);
    if (!template_put_time(ev, format->u.string.text, format->u.string.bytes))
        return NULL;
    return template_take(ev, mark);
}

static const struct builtin rows[] = {
    {"range", global_range, "start,stop,step", 1, false},
    {"dict", global_dict, "...", 0, false},
    {"namespace", global_namespace, "...", 0, false},
    {"cycler", global_cycler, "...", 0, false},
    {"joiner", global_joiner, "sep", 0, false},
    {"raise_exception", global_raise, "message", 1, false},
    {"strftime_now", global_strftime, "format", 1, false},
};

const struct builtin_table template_globals = BUILTIN_TABLE(rows);
