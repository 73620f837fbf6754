/*
 * template/value_ops.c - what Python does with values: truth, equality, order, hashes, iteration.
 */
#include "eval.h"
#include "unicode.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

const char *template_type_name(const struct template_value *value)
{
    static const char *const names[] = {
        [VALUE_UNDEFINED] = "Undefined",
        [VALUE_NONE] = "NoneType",
        [VALUE_BOOL] = "bool",
        [VALUE_INT] = "int",
        [VALUE_BIG] = "int",
        [VALUE_FLOAT] = "float",
        [VALUE_STRING] = "str",
        [VALUE_LIST] = "list",
        [VALUE_TUPLE] = "tuple",
        [VALUE_DICT] = "dict",
        [VALUE_VIEW] = "dict view",
        [VALUE_RANGE] = "range",
        [VALUE_ITERATOR] = "generator",
        [VALUE_NAMESPACE] = "Namespace",
        [VALUE_LOOP] = "LoopContext",
        [VALUE_MACRO] = "Macro",
        [VALUE_BUILTIN] = "function",
        [VALUE_CYCLER] = "Cycler",
        [VALUE_JOINER] = "Joiner",
    };
    return names[value->kind];
}

bool template_truth(const struct template_value *value)
{
    switch ((int)value->kind) {
    case VALUE_UNDEFINED:
    case VALUE_NONE: return false;
    case VALUE_BOOL: return value->u.boolean;
    case VALUE_INT: return value->u.integer != 0;
    case VALUE_FLOAT: return value->u.number != 0;
    case VALUE_STRING: return value->u.string.bytes != 0;
    case VALUE_LIST:
    case VALUE_TUPLE: return value->u.list.n != 0;
    case VALUE_DICT:
    case VALUE_VIEW: return value->u.dict->n != 0;
    case VALUE_RANGE: return value->u.range.n != 0;
    default: return true;
    }
}

bool template_is_number(const struct template_value *value)
{
    return value->kind == VALUE_BOOL || value->kind == VALUE_INT || value->kind == VALUE_BIG ||
           value->kind == VALUE_FLOAT;
}

bool template_as_int(const struct template_value *value, int64_t *ret)
{
    if (value->kind == VALUE_BOOL)
        *ret = value->u.boolean;
    else if (value->kind == VALUE_INT)
        *ret = value->u.integer;
    else
        return false;
    return true;
}

double template_as_double(const struct template_value *value)
{
    int64_t i = 0;
    if (value->kind == VALUE_BIG)
        return template_big_double(value);
    return template_as_int(value, &i) ? (double)i : value->u.number;
}

/* ---- equality and order ----------------------------------------------------------------------- */

/* Exactly, also where a double can't hold the integer. */
static int compare_int_double(int64_t i, double d)
{
    if (d >= 9223372036854775808.0)
        return -1;
    if (d < -9223372036854775808.0)
        return 1;
    int64_t whole = (int64_t)d;
    if (i != whole)
        return i < whole ? -1 : 1;
    double rest = d - (double)whole;
    return rest > 0 ? -1 : rest < 0;
}

/* a is beyond 64 bits, so it is never equal to one within, and further from zero. */
static int compare_big(const struct template_value *a, const struct template_value *b)
{
    if (b->kind == VALUE_BIG)
        return template_big_compare(a, b);
    if (b->kind == VALUE_FLOAT)
        return isnan(b->u.number) ? 2 : template_big_compare_double(a, b->u.number);
    return a->u.string.text[0] == '-' ? -1 : 1;
}

/* -1, 0, 1, or 2 where one is not a number. */
static int compare_numbers(const struct template_value *a, const struct template_value *b)
{
    int64_t x = 0;
    int64_t y = 0;
    if (a->kind == VALUE_BIG)
        return compare_big(a, b);
    if (b->kind == VALUE_BIG) {
        int order = compare_big(b, a);
        return order == 2 ? 2 : -order;
    }
    bool a_int = template_as_int(a, &x);
    bool b_int = template_as_int(b, &y);
    if (a_int && b_int)
        return x < y ? -1 : x > y;
    if ((!a_int && isnan(a->u.number)) || (!b_int && isnan(b->u.number)))
        return 2;
    if (a_int)
        return compare_int_double(x, b->u.number);
    if (b_int)
        return -compare_int_double(y, a->u.number);
    return a->u.number < b->u.number ? -1 : a->u.number > b->u.number;
}

static int compare_strings(const struct template_value *a, const struct template_value *b)
{
    size_t n = PL_MIN(a->u.string.bytes, b->u.string.bytes);
    int order = n > 0 ? memcmp(a->u.string.text, b->u.string.text, n) : 0;
    if (order != 0)
        return order < 0 ? -1 : 1;
    return a->u.string.bytes < b->u.string.bytes ? -1 : a->u.string.bytes > b->u.string.bytes;
}

static bool equal_lists(struct eval *ev, const struct template_value *a,
                        const struct template_value *b, bool *ret)
{
    bool same = a->u.list.n == b->u.list.n;
    for (size_t i = 0; same && i < a->u.list.n; i++)
        if (!template_equal(ev, a->u.list.items[i], b->u.list.items[i], &same))
            return false;
    *ret = same;
    return true;
}

static bool equal_dicts(struct eval *ev, const struct dict *a, const struct dict *b, bool *ret)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++) {
        struct dict_entry *other = NULL;
        if (!template_dict_find(ev, b, a->entries[i].key, &other))
            return false;
        same = other != NULL;
        if (same && !template_equal(ev, a->entries[i].item, other->item, &same))
            return false;
    }
    *ret = same;
    return true;
}

static bool equal_ranges(const struct template_value *a, const struct template_value *b)
{
    if (a->u.range.n != b->u.range.n)
        return false;
    return a->u.range.n == 0 || (a->u.range.start == b->u.range.start &&
                                 (a->u.range.n == 1 || a->u.range.step == b->u.range.step));
}

static bool equal_kind(struct eval *ev, const struct template_value *a,
                       const struct template_value *b, bool *ret)
{
    switch ((int)a->kind) {
    case VALUE_UNDEFINED:
    case VALUE_NONE: *ret = true; return true;
    case VALUE_STRING:
        *ret = a->u.string.bytes == b->u.string.bytes && compare_strings(a, b) == 0;
        return template_step_bytes(ev, a->u.string.bytes);
    case VALUE_LIST:
    case VALUE_TUPLE: return equal_lists(ev, a, b, ret);
    case VALUE_DICT: return equal_dicts(ev, a->u.dict, b->u.dict, ret);
    case VALUE_RANGE: *ret = equal_ranges(a, b); return true;
    case VALUE_BUILTIN:
        *ret = a->u.function.builtin == b->u.function.builtin &&
               a->u.function.self == b->u.function.self;
        return true;
    default: *ret = false; return true;
    }
}

bool template_equal(struct eval *ev, const struct template_value *a, const struct template_value *b,
                    bool *ret)
{
    if (template_is_number(a) && template_is_number(b)) {
        *ret = compare_numbers(a, b) == 0;
        return template_step(ev, 1);
    }
    if (a == b || a->kind != b->kind) {
        *ret = a == b;
        return template_step(ev, 1);
    }
    if (!template_enter(ev))
        return false;
    bool ok = equal_kind(ev, a, b, ret);
    template_leave(ev);
    return ok;
}

static bool less_lists(struct eval *ev, const struct template_value *a,
                       const struct template_value *b, bool *ret)
{
    size_t n = PL_MIN(a->u.list.n, b->u.list.n);
    for (size_t i = 0; i < n; i++) {
        bool same = false;
        if (!template_equal(ev, a->u.list.items[i], b->u.list.items[i], &same))
            return false;
        if (!same)
            return template_less(ev, a->u.list.items[i], b->u.list.items[i], ret);
    }
    *ret = a->u.list.n < b->u.list.n;
    return true;
}

bool template_less(struct eval *ev, const struct template_value *a, const struct template_value *b,
                   bool *ret)
{
    if (template_is_number(a) && template_is_number(b)) {
        *ret = compare_numbers(a, b) == -1;
        return template_step(ev, 1);
    }
    if (a->kind == VALUE_STRING && b->kind == VALUE_STRING) {
        *ret = compare_strings(a, b) < 0;
        return template_step(ev, 1) && template_step_bytes(ev, a->u.string.bytes);
    }
    if (a->kind == b->kind && (a->kind == VALUE_LIST || a->kind == VALUE_TUPLE)) {
        if (!template_enter(ev))
            return false;
        bool ok = less_lists(ev, a, b, ret);
        template_leave(ev);
        return ok;
    }
    if (a->kind == VALUE_UNDEFINED || b->kind == VALUE_UNDEFINED) {
        template_fail_undefined(ev, a->kind == VALUE_UNDEFINED ? a : b);
        return false;
    }
    template_fail(ev, "order is not defined between '%s' and '%s'", template_type_name(a),
                  template_type_name(b));
    return false;
}

/* ---- hashes and dicts ------------------------------------------------------------------------- */

bool template_hashable(const struct template_value *value)
{
    if (value->kind == VALUE_TUPLE) {
        for (size_t i = 0; i < value->u.list.n; i++)
            if (value->u.list.items[i]->kind != VALUE_TUPLE &&
                !template_hashable(value->u.list.items[i]))
                return false;
        return true;
    }
    return value->kind != VALUE_LIST && value->kind != VALUE_DICT && value->kind != VALUE_VIEW;
}

static uint64_t hash_number(const struct template_value *value)
{
    int64_t i = 0;
    if (template_as_int(value, &i))
        return template_hash_text((const char *)&i, sizeof i);
    double d = template_as_double(value); /* a long integer hashes as the float that equals it */
    if (d >= -9223372036854775808.0 && d < 9223372036854775808.0 && d == floor(d)) {
        i = (int64_t)d;
        return template_hash_text((const char *)&i, sizeof i);
    }
    return template_hash_text((const char *)&d, sizeof d);
}

static bool hash_tuple(struct eval *ev, const struct template_value *tuple, uint64_t *ret)
{
    uint64_t hash = 0x9E3779B97F4A7C15u;
    for (size_t i = 0; i < tuple->u.list.n; i++) {
        uint64_t item = 0;
        if (!template_hash(ev, tuple->u.list.items[i], &item))
            return false;
        hash = (hash ^ item) * 0x100000001B3u;
    }
    *ret = hash;
    return true;
}

bool template_hash(struct eval *ev, const struct template_value *value, uint64_t *ret)
{
    if (template_is_number(value)) {
        *ret = hash_number(value);
        return true;
    }
    if (value->kind == VALUE_STRING) {
        *ret = template_hash_text(value->u.string.text, value->u.string.bytes);
        return template_step_bytes(ev, value->u.string.bytes);
    }
    if (value->kind == VALUE_TUPLE) {
        if (!template_enter(ev))
            return false;
        bool ok = hash_tuple(ev, value, ret);
        template_leave(ev);
        return ok;
    }
    if (!template_hashable(value)) {
        template_fail(ev, "unhashable type: '%s'", template_type_name(value));
        return false;
    }
    *ret = value->kind; /* few and rare */
    return true;
}

bool template_dict_find(struct eval *ev, const struct dict *dict, struct template_value *key,
                        struct dict_entry **ret)
{
    uint64_t hash = 0;
    if (!template_step(ev, 1) || !template_hash(ev, key, &hash))
        return false;
    size_t cursor = 0;
    struct dict_entry *entry;
    while ((entry = template_dict_probe(dict, hash, &cursor)) != NULL) {
        bool same = false;
        if (!template_equal(ev, entry->key, key, &same))
            return false;
        if (same)
            break;
    }
    *ret = entry;
    return true;
}

bool template_dict_put(struct eval *ev, struct dict *dict, struct template_value *key,
                       struct template_value *item)
{
    struct dict_entry *entry = NULL;
    uint64_t hash = 0;
    if (!template_dict_find(ev, dict, key, &entry) || !template_hash(ev, key, &hash))
        return false;
    if (entry != NULL) {
        entry->item = item;
        return true;
    }
    if (!template_dict_append(ev->values, dict, key, hash, item)) {
        template_fail_nomem(ev);
        return false;
    }
    return true;
}

/* ---- length and iteration --------------------------------------------------------------------- */

bool template_has_length(const struct template_value *value)
{
    switch ((int)value->kind) {
    case VALUE_UNDEFINED:
    case VALUE_STRING:
    case VALUE_LIST:
    case VALUE_TUPLE:
    case VALUE_DICT:
    case VALUE_VIEW:
    case VALUE_RANGE:
    case VALUE_LOOP: return true;
    default: return false;
    }
}

bool template_length(struct eval *ev, const struct template_value *value, size_t *ret)
{
    switch ((int)value->kind) {
    case VALUE_UNDEFINED: *ret = 0; return true;
    case VALUE_STRING: *ret = value->u.string.chars; return true;
    case VALUE_LIST:
    case VALUE_TUPLE: *ret = value->u.list.n; return true;
    case VALUE_DICT:
    case VALUE_VIEW: *ret = value->u.dict->n; return true;
    case VALUE_RANGE: *ret = value->u.range.n; return true;
    case VALUE_LOOP: {
        struct template_value *length = template_loop_attribute(ev, value->u.loop, "length", 6);
        if (length != NULL)
            *ret = (size_t)length->u.integer;
        return length != NULL;
    }
    default: template_fail_type(ev, "no length", value); return false;
    }
}

bool template_is_iterable(const struct template_value *value)
{
    return template_has_length(value) || value->kind == VALUE_ITERATOR;
}

struct template_value *template_range_at(struct eval *ev, const struct template_value *range,
                                         size_t i)
{
    int64_t at = range->u.range.start + (int64_t)i * range->u.range.step;
    return template_check(ev, template_int(ev->values, at));
}

static bool iterate_string(struct eval *ev, const struct template_value *string, struct seq *ret)
{
    struct template_value plain = *string; /* the characters of Markup are plain */
    plain.safe = false;
    struct template_value **items = template_alloc(ev, string->u.string.chars, sizeof(void *));
    if (items == NULL)
        return false;
    size_t n = 0;
    size_t bytes = 0;
    for (size_t at = 0; at < string->u.string.bytes; at += bytes) {
        bytes = template_char_bytes(string->u.string.text + at, string->u.string.bytes - at);
        items[n] = template_substring(ev, &plain, at, at + bytes);
        if (items[n++] == NULL)
            return false;
    }
    *ret = (struct seq){items, n};
    return template_step(ev, n / 16);
}

static bool iterate_dict(struct eval *ev, const struct dict *dict, enum view_kind view,
                         struct seq *ret)
{
    struct template_value **items = template_alloc(ev, dict->n, sizeof(void *));
    if (items == NULL)
        return false;
    for (size_t i = 0; i < dict->n; i++) {
        const struct dict_entry *entry = &dict->entries[i];
        items[i] = view == VIEW_KEYS ? entry->key
                   : view == VIEW_VALUES
                       ? entry->item
                       : template_check(ev, template_pair(ev->values, entry->key, entry->item));
        if (items[i] == NULL)
            return false;
    }
    *ret = (struct seq){items, dict->n};
    return template_step(ev, dict->n / 16);
}

static bool iterate_range(struct eval *ev, const struct template_value *range, struct seq *ret)
{
    size_t n = range->u.range.n;
    struct template_value **items = template_alloc(ev, n, sizeof(void *));
    if (items == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((items[i] = template_range_at(ev, range, i)) == NULL)
            return false;
    *ret = (struct seq){items, n};
    return template_step(ev, n / 16);
}

/* Makes a generator's items when it is first read. */
static bool iterate_iterator(struct eval *ev, struct iterator *it, struct seq *ret)
{
    if (it->make != NULL) {
        iterator_fn make = it->make;
        it->make = NULL;
        if (!template_enter(ev))
            return false;
        struct template_value *list = make(ev, it->source, it->args);
        template_leave(ev);
        if (list == NULL)
            return false;
        it->items = list->u.list.items;
        it->n = list->u.list.n;
    }
    *ret = (struct seq){it->items != NULL ? it->items + it->pos : NULL, it->n - it->pos};
    it->pos = it->n;
    return true;
}

bool template_iterate(struct eval *ev, struct template_value *value, struct seq *ret)
{
    if (!template_step(ev, 1))
        return false;
    switch ((int)value->kind) {
    case VALUE_UNDEFINED: *ret = (struct seq){0}; return true;
    case VALUE_STRING: return iterate_string(ev, value, ret);
    case VALUE_LIST:
    case VALUE_TUPLE:
        *ret = (struct seq){value->u.list.items, value->u.list.n};
        return template_step(ev, value->u.list.n / 16);
    case VALUE_DICT: return iterate_dict(ev, value->u.dict, VIEW_KEYS, ret);
    case VALUE_VIEW: return iterate_dict(ev, value->u.dict, (enum view_kind)value->view, ret);
    case VALUE_RANGE: return iterate_range(ev, value, ret);
    case VALUE_ITERATOR: return iterate_iterator(ev, value->u.iterator, ret);
    default: template_fail_type(ev, "not iterable", value); return false;
    }
}

/* ---- membership ------------------------------------------------------------------------------- */

static bool contains_text(struct eval *ev, const struct template_value *string,
                          const struct template_value *part, bool *ret)
{
    if (part->kind != VALUE_STRING) {
        template_fail_type(ev, "'in <string>' requires a string on the left", part);
        return false;
    }
    *ret = part->u.string.bytes == 0 || memmem(string->u.string.text, string->u.string.bytes,
                                               part->u.string.text, part->u.string.bytes) != NULL;
    return template_step_bytes(ev, string->u.string.bytes);
}

bool template_contains(struct eval *ev, struct template_value *container,
                       struct template_value *item, bool *ret)
{
    if (container->kind == VALUE_STRING)
        return contains_text(ev, container, item, ret);
    if (container->kind == VALUE_DICT ||
        (container->kind == VALUE_VIEW && container->view == VIEW_KEYS)) {
        struct dict_entry *entry = NULL;
        bool ok = template_dict_find(ev, container->u.dict, item, &entry);
        *ret = entry != NULL;
        return ok;
    }
    struct seq seq = {0};
    if (!template_iterate(ev, container, &seq))
        return false;
    *ret = false;
    for (size_t i = 0; seq.items != NULL && i < seq.n && !*ret; i++)
        if (!template_equal(ev, seq.items[i], item, ret))
            return false;
    return true;
}

/* ---- sorting ---------------------------------------------------------------------------------- */

struct sort_row {
    struct template_value *item;
    struct template_value *key;
};

/* Merges the sorted halves of rows[0, n) through scratch. */
static bool merge(struct eval *ev, struct sort_row *rows, struct sort_row *scratch, size_t half,
                  size_t n, bool reverse)
{
    size_t a = 0;
    size_t b = half;
    memcpy(scratch, rows, n * sizeof *rows);
    for (size_t i = 0; i < n; i++) {
        bool take_b = a == half;
        if (!take_b && b < n) {
            const struct template_value *x = scratch[a].key;
            const struct template_value *y = scratch[b].key;
            if (!(reverse ? template_less(ev, x, y, &take_b) : template_less(ev, y, x, &take_b)))
                return false;
        }
        rows[i] = take_b ? scratch[b++] : scratch[a++];
    }
    return true;
}

bool template_sort(struct eval *ev, struct template_value **items, struct template_value **keys,
                   size_t n, bool reverse)
{
    struct sort_row *rows = template_alloc(ev, n, 2 * sizeof *rows);
    if (rows == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        rows[i] = (struct sort_row){items[i], keys[i]};
    for (size_t width = 1; width < n; width *= 2)
        for (size_t at = 0; n - at > width; at += PL_MIN(2 * width, n - at))
            if (!merge(ev, rows + at, rows + n, width, PL_MIN(2 * width, n - at), reverse))
                return false;
    for (size_t i = 0; i < n; i++)
        items[i] = rows[i].item;
    return true;
}
