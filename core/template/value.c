/*
 * template/value.c - the arena of values, constructors, dicts. See value.h.
 */
#include "value.h"
#include "unicode.h"

#include <base/hash.h>

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define DICT_SMALL 8 /* entries that a scan finds faster than an index */

/* ---- arena ------------------------------------------------------------------------------------ */

struct template_value *template_value_new(struct template_values *values, enum value_kind kind)
{
    struct template_value *value = arena_zalloc(&values->arena, sizeof *value);
    if (value != NULL)
        value->kind = (uint8_t)kind;
    return value;
}

enum pl_status template_values_init(struct template_values *values, size_t budget_bytes)
{
    memset(values, 0, sizeof *values);
    arena_init(&values->arena, budget_bytes);
    values->none = template_value_new(values, VALUE_NONE);
    values->boolean[0] = template_value_new(values, VALUE_BOOL);
    values->boolean[1] = template_value_new(values, VALUE_BOOL);
    values->empty = template_string_ref(values, "", 0);
    struct template_value *ints = arena_array(&values->arena, TEMPLATE_SMALL_INT_N, sizeof *ints);
    if (values->none == NULL || values->boolean[0] == NULL || values->boolean[1] == NULL ||
        values->empty == NULL || ints == NULL) {
        arena_deinit(&values->arena);
        return PL_ENOMEM;
    }
    values->boolean[1]->u.boolean = true;
    for (int i = 0; i < TEMPLATE_SMALL_INT_N; i++) {
        ints[i].kind = VALUE_INT;
        ints[i].u.integer = TEMPLATE_SMALL_INT_MIN + i;
        values->ints[i] = &ints[i];
    }
    return PL_OK;
}

void template_values_deinit(struct template_values *values)
{
    arena_deinit(&values->arena);
}

enum pl_status template_values_new(struct template_values **ret, struct pl_error *err)
{
    struct template_values *values = malloc(sizeof *values);
    if (values == NULL || template_values_init(values, TEMPLATE_VALUES_BYTES_MAX) != PL_OK) {
        free(values);
        return pl_error_set(err, PL_ENOMEM, "template: out of memory");
    }
    *ret = values;
    return PL_OK;
}

void template_values_free(struct template_values *values)
{
    if (values == NULL)
        return;
    template_values_deinit(values);
    free(values);
}

/* ---- scalars ---------------------------------------------------------------------------------- */

struct template_value *template_none(struct template_values *values)
{
    return values->none;
}

struct template_value *template_bool(struct template_values *values, bool b)
{
    return values->boolean[b];
}

struct template_value *template_int(struct template_values *values, int64_t i)
{
    if (i >= TEMPLATE_SMALL_INT_MIN && i <= TEMPLATE_SMALL_INT_MAX)
        return values->ints[i - TEMPLATE_SMALL_INT_MIN];
    struct template_value *value = template_value_new(values, VALUE_INT);
    if (value != NULL)
        value->u.integer = i;
    return value;
}

struct template_value *template_float(struct template_values *values, double d)
{
    struct template_value *value = template_value_new(values, VALUE_FLOAT);
    if (value != NULL)
        value->u.number = d;
    return value;
}

struct template_value *template_string_ref(struct template_values *values, const char *text,
                                           size_t n)
{
    struct template_value *value = template_value_new(values, VALUE_STRING);
    if (value == NULL)
        return NULL;
    value->u.string.text = text;
    value->u.string.bytes = n;
    value->u.string.chars = template_char_count(text, n);
    return value;
}

struct template_value *template_string(struct template_values *values, const char *text, size_t n)
{
    if (n == 0)
        return values->empty;
    bool single = n == 1 && (unsigned char)text[0] < 128;
    if (single && values->ascii[(unsigned char)text[0]] != NULL)
        return values->ascii[(unsigned char)text[0]];
    const char *copy = arena_strndup(&values->arena, text, n);
    struct template_value *value = copy != NULL ? template_string_ref(values, copy, n) : NULL;
    if (single)
        values->ascii[(unsigned char)text[0]] = value;
    return value;
}

/* ---- lists ------------------------------------------------------------------------------------ */

struct template_value *template_list(struct template_values *values)
{
    return template_value_new(values, VALUE_LIST);
}

bool template_list_add(struct template_values *values, struct template_value *list,
                       struct template_value *item)
{
    if (list == NULL || item == NULL || list->kind != VALUE_LIST)
        return false;
    if (list->u.list.n == list->u.list.capacity) {
        size_t capacity = PL_MAX(list->u.list.capacity * 2, (size_t)4);
        struct template_value **items = arena_array(&values->arena, capacity, sizeof(void *));
        if (items == NULL)
            return false;
        if (list->u.list.n > 0)
            memcpy(items, list->u.list.items, list->u.list.n * sizeof(void *));
        list->u.list.items = items;
        list->u.list.capacity = capacity;
    }
    list->u.list.items[list->u.list.n++] = item;
    return true;
}

struct template_value *template_list_of(struct template_values *values,
                                        struct template_value **items, size_t n)
{
    struct template_value *list = template_value_new(values, VALUE_LIST);
    if (list != NULL) {
        list->u.list.items = items;
        list->u.list.n = list->u.list.capacity = n;
    }
    return list;
}

struct template_value *template_tuple(struct template_values *values,
                                      struct template_value *const *items, size_t n)
{
    struct template_value *tuple = template_value_new(values, VALUE_TUPLE);
    struct template_value **copy = arena_array(&values->arena, n, sizeof(void *));
    if (tuple == NULL || copy == NULL)
        return NULL;
    if (n > 0)
        memcpy(copy, items, n * sizeof(void *));
    tuple->u.list.items = copy;
    tuple->u.list.n = tuple->u.list.capacity = n;
    return tuple;
}

struct template_value *template_pair(struct template_values *values, struct template_value *a,
                                     struct template_value *b)
{
    struct template_value *items[2] = {a, b};
    return a != NULL && b != NULL ? template_tuple(values, items, 2) : NULL;
}

/* ---- dicts ------------------------------------------------------------------------------------ */

uint64_t template_hash_text(const char *text, size_t n)
{
    return hash_bytes(text, n);
}

struct dict *template_dict_new(struct template_values *values)
{
    return arena_zalloc(&values->arena, sizeof(struct dict));
}

struct template_value *template_dict(struct template_values *values)
{
    struct template_value *value = template_value_new(values, VALUE_DICT);
    struct dict *dict = template_dict_new(values);
    if (value == NULL || dict == NULL)
        return NULL;
    value->u.dict = dict;
    return value;
}

struct dict_entry *template_dict_probe(const struct dict *dict, uint64_t hash, size_t *cursor)
{
    if (dict->index == NULL) {
        for (size_t i = (*cursor)++; i < dict->n; i = (*cursor)++)
            if (dict->entries[i].hash == hash)
                return &dict->entries[i];
        return NULL;
    }
    size_t mask = dict->index_n - 1;
    while (*cursor < dict->index_n) {
        uint32_t slot = dict->index[((size_t)hash + *cursor) & mask];
        (*cursor)++;
        if (slot == 0)
            return NULL;
        if (dict->entries[slot - 1].hash == hash)
            return &dict->entries[slot - 1];
    }
    return NULL;
}

static void index_entry(struct dict *dict, size_t i)
{
    size_t mask = dict->index_n - 1;
    size_t slot = (size_t)dict->entries[i].hash & mask;
    while (dict->index[slot] != 0)
        slot = (slot + 1) & mask;
    dict->index[slot] = (uint32_t)(i + 1);
}

static bool grow_dict(struct template_values *values, struct dict *dict)
{
    if (dict->n >= UINT32_MAX / 4)
        return false;
    size_t capacity = PL_MAX(dict->capacity * 2, (size_t)4);
    struct dict_entry *entries = arena_array(&values->arena, capacity, sizeof *entries);
    if (entries == NULL)
        return false;
    uint32_t *index = NULL;
    if (capacity > DICT_SMALL) {
        index = arena_array(&values->arena, capacity * 2, sizeof *index);
        if (index == NULL)
            return false;
    }
    if (dict->n > 0)
        memcpy(entries, dict->entries, dict->n * sizeof *entries);
    dict->entries = entries;
    dict->capacity = capacity;
    dict->index = index;
    dict->index_n = index != NULL ? capacity * 2 : 0;
    for (size_t i = 0; index != NULL && i < dict->n; i++)
        index_entry(dict, i);
    return true;
}

bool template_dict_append(struct template_values *values, struct dict *dict,
                          struct template_value *key, uint64_t hash, struct template_value *item)
{
    if (dict->n == dict->capacity && !grow_dict(values, dict))
        return false;
    dict->entries[dict->n++] = (struct dict_entry){.key = key, .item = item, .hash = hash};
    if (dict->index != NULL)
        index_entry(dict, dict->n - 1);
    return true;
}

struct dict_entry *template_dict_find_text(const struct dict *dict, const char *text, size_t n)
{
    uint64_t hash = template_hash_text(text, n);
    size_t cursor = 0;
    struct dict_entry *entry;
    while ((entry = template_dict_probe(dict, hash, &cursor)) != NULL) {
        const struct template_value *key = entry->key;
        if (key->kind == VALUE_STRING && key->u.string.bytes == n &&
            memcmp(key->u.string.text, text, n) == 0)
            return entry;
    }
    return NULL;
}

bool template_dict_put_text(struct template_values *values, struct dict *dict,
                            struct template_value *key, struct template_value *item)
{
    struct dict_entry *entry =
        template_dict_find_text(dict, key->u.string.text, key->u.string.bytes);
    if (entry != NULL) {
        entry->item = item;
        return true;
    }
    uint64_t hash = template_hash_text(key->u.string.text, key->u.string.bytes);
    return template_dict_append(values, dict, key, hash, item);
}

bool template_dict_set(struct template_values *values, struct template_value *dict, const char *key,
                       size_t key_n, struct template_value *item)
{
    if (dict == NULL || item == NULL || dict->kind != VALUE_DICT)
        return false;
    struct dict_entry *entry = template_dict_find_text(dict->u.dict, key, key_n);
    if (entry != NULL) {
        entry->item = item;
        return true;
    }
    struct template_value *name = template_string(values, key, key_n);
    if (name == NULL)
        return false;
    return template_dict_append(values, dict->u.dict, name, template_hash_text(key, key_n), item);
}

struct template_value *template_dict_get(const struct template_value *dict, const char *key,
                                         size_t key_n)
{
    if (dict == NULL || dict->kind != VALUE_DICT)
        return NULL;
    const struct dict_entry *entry = template_dict_find_text(dict->u.dict, key, key_n);
    return entry != NULL ? entry->item : NULL;
}
