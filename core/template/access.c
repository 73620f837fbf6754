/*
 * template/access.c - a.b, a[b], a[b:c:d], with the sandbox's rules: `a.b` looks for a method first and
 * an item then, `a['b']` for an item first; what would change a list or dict, and names that begin with
 * an underscore, are out of reach.
 */
#include "eval.h"
#include "unicode.h"

#include <string.h>

#include "base/banned.h"

/* ---- attributes ------------------------------------------------------------------------------- */

/* Attributes that Python has and the sandbox refuses: they give undefined. Jinja up to 3.1.2 lets pop
 * and clear of a list through, and published templates use pop. */
static const char *const refused[] = {
    "append", "clear",   "extend",     "insert", "pop",    "popitem",
    "remove", "reverse", "setdefault", "sort",   "update",
};

static bool is_refused(const struct template_value *object, const char *name, size_t n)
{
    if (n > 2 && name[0] == '_' && name[1] == '_')
        return object->kind != VALUE_NAMESPACE &&
               ((n == 9 && memcmp(name, "__class__", n) == 0) ||
                (n == 7 && memcmp(name, "__len__", n) == 0 && template_has_length(object)));
    if (object->kind != VALUE_LIST && object->kind != VALUE_DICT)
        return false;
    bool list = object->kind == VALUE_LIST;
    for (size_t i = 0; i < PL_ARRAY_LEN(refused); i++) {
        if (strlen(refused[i]) != n || memcmp(refused[i], name, n) != 0)
            continue;
        bool of_dict = strncmp(refused[i], "popitem", n) == 0 || strcmp(refused[i], "clear") == 0 ||
                       strcmp(refused[i], "setdefault") == 0 || strcmp(refused[i], "update") == 0;
        return of_dict != list; /* a list's own clear and pop are let through */
    }
    return false;
}

static bool is(const char *name, size_t n, const char *text)
{
    return strlen(text) == n && memcmp(name, text, n) == 0;
}

static struct template_value *number_attribute(struct eval *ev, struct template_value *number,
                                               const char *name, size_t n)
{
    bool is_float = number->kind == VALUE_FLOAT;
    if (is(name, n, "real") || (!is_float && is(name, n, "numerator")))
        return number->kind == VALUE_BOOL
                   ? template_check(ev, template_int(ev->values, number->u.boolean))
                   : number;
    if (is(name, n, "imag"))
        return template_check(ev, is_float ? template_float(ev->values, 0)
                                           : template_int(ev->values, 0));
    if (!is_float && is(name, n, "denominator"))
        return template_check(ev, template_int(ev->values, 1));
    return NULL;
}

static struct template_value *macro_attribute(struct eval *ev, const struct macro *macro,
                                              const char *name, size_t n)
{
    const struct node *node = macro->node;
    if (is(name, n, "name"))
        return node->kind == NODE_MACRO ? node->u.macro.name->value : ev->tmpl->name_caller->value;
    const struct signature *signature = &node->u.macro.signature;
    if (is(name, n, "caller"))
        return template_bool(ev->values, signature->wants_caller);
    if (is(name, n, "catch_kwargs"))
        return template_bool(ev->values, signature->wants_kwargs);
    if (is(name, n, "catch_varargs"))
        return template_bool(ev->values, signature->wants_varargs);
    if (!is(name, n, "arguments"))
        return NULL;
    struct template_value *list = template_check(ev, template_list(ev->values));
    for (const struct parameter *p = signature->parameters; p != NULL && list != NULL; p = p->next)
        if (!template_list_add(ev->values, list, p->name->value))
            return template_fail_nomem(ev);
    return list;
}

static struct template_value *own_attribute(struct eval *ev, struct template_value *object,
                                            const char *name, size_t n)
{
    switch ((int)object->kind) {
    case VALUE_BOOL:
    case VALUE_INT:
    case VALUE_BIG:
    case VALUE_FLOAT: return number_attribute(ev, object, name, n);
    case VALUE_NAMESPACE: {
        struct dict_entry *entry = template_dict_find_text(object->u.dict, name, n);
        return entry != NULL ? entry->item : NULL;
    }
    case VALUE_LOOP: return template_loop_attribute(ev, object->u.loop, name, n);
    case VALUE_MACRO: return macro_attribute(ev, &object->u.macro, name, n);
    case VALUE_RANGE:
        if (is(name, n, "start"))
            return template_check(ev, template_int(ev->values, object->u.range.start));
        if (is(name, n, "stop"))
            return template_check(ev, template_int(ev->values, object->u.range.stop));
        return is(name, n, "step")
                   ? template_check(ev, template_int(ev->values, object->u.range.step))
                   : NULL;
    case VALUE_CYCLER:
        return is(name, n, "current") ? object->u.cycler->items[object->u.cycler->pos] : NULL;
    case VALUE_TUPLE:
        if (object->named && is(name, n, "grouper"))
            return object->u.list.items[0];
        return object->named && is(name, n, "list") ? object->u.list.items[1] : NULL;
    default: return NULL;
    }
}

struct template_value *template_attribute(struct eval *ev, struct template_value *object,
                                          const char *name, size_t n)
{
    if (n > 0 && name[0] == '_' && object->kind != VALUE_NAMESPACE)
        return NULL;
    struct template_value *value = own_attribute(ev, object, name, n);
    if (value != NULL || ev->status != PL_OK)
        return value;
    const struct builtin *method = template_method_find((enum value_kind)object->kind, name, n);
    if (method == NULL)
        return NULL;
    value = template_check(ev, template_value_new(ev->values, VALUE_BUILTIN));
    if (value == NULL)
        return NULL;
    value->u.function.builtin = method;
    value->u.function.self = object;
    return value;
}

static struct template_value *unsafe(struct eval *ev)
{
    return template_undefined(ev, "access to an attribute that the sandbox refuses");
}

/* ---- items ------------------------------------------------------------------------------------ */

/* Byte offset of character i of the string, i <= chars. */
static size_t char_offset(const struct template_value *string, size_t i)
{
    if (string->u.string.chars == string->u.string.bytes)
        return i;
    size_t at = 0;
    for (size_t k = 0; k < i; k++)
        at += template_char_bytes(string->u.string.text + at, string->u.string.bytes - at);
    return at;
}

static struct template_value *string_at(struct eval *ev, const struct template_value *string,
                                        size_t i)
{
    size_t start = char_offset(string, i);
    size_t bytes =
        template_char_bytes(string->u.string.text + start, string->u.string.bytes - start);
    return template_step(ev, start / 8) ? template_substring(ev, string, start, start + bytes)
                                        : NULL;
}

static struct template_value *sequence_at(struct eval *ev, struct template_value *object, size_t i)
{
    switch ((int)object->kind) {
    case VALUE_STRING: return string_at(ev, object, i);
    case VALUE_RANGE: return template_range_at(ev, object, i);
    default: return object->u.list.items[i];
    }
}

static bool is_sequence(const struct template_value *value)
{
    return value->kind == VALUE_STRING || value->kind == VALUE_LIST || value->kind == VALUE_TUPLE ||
           value->kind == VALUE_RANGE;
}

/* The item, or NULL without failure where there is none. */
static struct template_value *find_item(struct eval *ev, struct template_value *object,
                                        struct template_value *key)
{
    int64_t i = 0;
    if (object->kind == VALUE_DICT) {
        struct dict_entry *entry = NULL;
        if (!template_hashable(key))
            return NULL;
        return template_dict_find(ev, object->u.dict, key, &entry) && entry != NULL ? entry->item
                                                                                    : NULL;
    }
    if (!is_sequence(object) || !template_as_int(key, &i))
        return NULL;
    size_t n = 0;
    if (!template_length(ev, object, &n))
        return NULL;
    if (i < 0)
        i += (int64_t)n;
    return i >= 0 && i < (int64_t)n ? sequence_at(ev, object, (size_t)i) : NULL;
}

struct template_value *template_getattr(struct eval *ev, struct template_value *object,
                                        struct template_value *name)
{
    const char *text = name->u.string.text;
    size_t n = name->u.string.bytes;
    if (is_refused(object, text, n))
        return unsafe(ev);
    if (object->kind == VALUE_UNDEFINED)
        return template_fail_undefined(ev, object);
    struct template_value *value = template_attribute(ev, object, text, n);
    if (value == NULL && ev->status == PL_OK)
        value = find_item(ev, object, name);
    if (value == NULL && ev->status == PL_OK)
        value = template_undefined_name(ev, name, template_type_name(object));
    return value;
}

struct template_value *template_getitem(struct eval *ev, struct template_value *object,
                                        struct template_value *key)
{
    if (object->kind == VALUE_UNDEFINED)
        return template_fail_undefined(ev, object);
    struct template_value *value = find_item(ev, object, key);
    if (value != NULL || ev->status != PL_OK)
        return value;
    if (key->kind == VALUE_STRING) {
        if (is_refused(object, key->u.string.text, key->u.string.bytes))
            return unsafe(ev);
        value = template_attribute(ev, object, key->u.string.text, key->u.string.bytes);
        if (value != NULL || ev->status != PL_OK)
            return value;
    }
    return template_undefined_name(ev, key, template_type_name(object));
}

/* ---- slices ----------------------------------------------------------------------------------- */

struct slice {
    int64_t start;
    int64_t stop;
    int64_t step;
    size_t n;
};

static bool slice_bound(struct eval *ev, const struct template_value *value, int64_t fallback,
                        int64_t low, int64_t high, int64_t n, int64_t *ret)
{
    int64_t i = 0;
    if (value == NULL || value->kind == VALUE_NONE) {
        *ret = fallback;
        return true;
    }
    if (value->kind == VALUE_BIG)
        i = value->u.string.text[0] == '-' ? INT64_MIN : INT64_MAX;
    else if (!template_as_int(value, &i)) {
        template_fail_type(ev, "a slice bound is not an integer", value);
        return false;
    }
    if (i < 0)
        i = i < -n ? low : i + n;
    *ret = PL_MIN(PL_MAX(i, low), high);
    return true;
}

static bool resolve_slice(struct eval *ev, size_t length, struct template_value *const bounds[3],
                          struct slice *ret)
{
    int64_t n = (int64_t)length;
    int64_t step = 1;
    int64_t start = 0;
    int64_t stop = 0;
    if (bounds[2] != NULL && bounds[2]->kind != VALUE_NONE && !template_as_int(bounds[2], &step)) {
        template_fail_type(ev, "a slice step is not an integer", bounds[2]);
        return false;
    }
    if (step == 0) {
        template_fail(ev, "slice step is zero");
        return false;
    }
    step = PL_MAX(step, -INT64_MAX);
    int64_t low = step > 0 ? 0 : -1;
    int64_t high = step > 0 ? n : n - 1;
    if (!slice_bound(ev, bounds[0], step > 0 ? low : high, low, high, n, &start) ||
        !slice_bound(ev, bounds[1], step > 0 ? high : low, low, high, n, &stop))
        return false;
    int64_t distance = step > 0 ? stop - start : start - stop;
    int64_t stride = step > 0 ? step : -step;
    *ret =
        (struct slice){start, stop, step, distance > 0 ? (size_t)((distance - 1) / stride + 1) : 0};
    return true;
}

static struct template_value *slice_string(struct eval *ev, struct template_value *string,
                                           const struct slice *slice)
{
    if (!template_step_bytes(ev, string->u.string.bytes))
        return NULL;
    if (slice->step == 1) {
        size_t start = char_offset(string, (size_t)slice->start);
        size_t end = char_offset(string, (size_t)slice->start + slice->n);
        return template_substring(ev, string, start, end);
    }
    struct seq chars;
    if (!template_iterate(ev, string, &chars))
        return NULL;
    size_t mark = template_mark(ev);
    for (size_t i = 0; i < slice->n; i++)
        if (!template_put_str(ev, chars.items[slice->start + (int64_t)i * slice->step]))
            return NULL;
    struct template_value *result = template_take(ev, mark);
    return string->safe ? template_markup(ev, result) : result;
}

static struct template_value *slice_range(struct eval *ev, const struct template_value *range,
                                          const struct slice *slice)
{
    struct template_value *part = template_check(ev, template_value_new(ev->values, VALUE_RANGE));
    if (part == NULL)
        return NULL;
    int64_t step = 0;
    if (__builtin_mul_overflow(range->u.range.step, slice->step, &step))
        return template_fail(ev, "integer beyond 64 bits");
    part->u.range.start = range->u.range.start + slice->start * range->u.range.step;
    part->u.range.step = step;
    part->u.range.n = slice->n;
    if (__builtin_mul_overflow(range->u.range.step, slice->stop, &step) ||
        __builtin_add_overflow(range->u.range.start, step, &part->u.range.stop))
        return template_fail(ev, "integer beyond 64 bits");
    return part;
}

static struct template_value *slice_list(struct eval *ev, const struct template_value *list,
                                         const struct slice *slice)
{
    struct template_value **items = template_alloc(ev, slice->n, sizeof(void *));
    if (items == NULL || !template_step(ev, slice->n / 16))
        return NULL;
    for (size_t i = 0; i < slice->n; i++)
        items[i] = list->u.list.items[slice->start + (int64_t)i * slice->step];
    struct template_value *part = template_check(ev, template_list_of(ev->values, items, slice->n));
    if (part != NULL)
        part->kind = list->kind;
    return part;
}

struct template_value *template_slice(struct eval *ev, struct template_value *object,
                                      struct template_value *start, struct template_value *stop,
                                      struct template_value *step)
{
    if (!is_sequence(object))
        return template_fail_type(ev, "can't be sliced", object);
    struct template_value *const bounds[3] = {start, stop, step};
    struct slice slice;
    size_t n = 0;
    if (!template_length(ev, object, &n) || !resolve_slice(ev, n, bounds, &slice))
        return NULL;
    if (object->kind == VALUE_STRING)
        return slice_string(ev, object, &slice);
    return object->kind == VALUE_RANGE ? slice_range(ev, object, &slice)
                                       : slice_list(ev, object, &slice);
}
