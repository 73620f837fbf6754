/* See gguf.h. Opening, look-ups and typed access; parse.c reads the bytes, place.c checks the data,
 * split.c joins shards. */
#include "impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/banned.h"

/* What parsing may take: 52 MiB holds the largest tables that GGUF_*_MAX admit. */
#define ARENA_BUDGET_BYTES ((size_t)52 * 1024 * 1024)

void gguf_printable(struct gguf_str text, char *out, size_t cap)
{
    size_t at = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool plain = c >= 0x20 && c < 0x7F && c != '\'' && c != '\\';
        size_t left_for = i + 1 == text.len ? 1 : 4; /* the NUL, or "..." and the NUL */
        if (at + (plain ? 1u : 4u) + left_for > cap) {
            (void)snprintf(out + at, cap - at, "...");
            return;
        }
        if (plain)
            out[at++] = (char)c;
        else
            at += (size_t)snprintf(out + at, cap - at, "\\x%02x", c);
    }
    out[at] = '\0';
}

bool gguf_index_init(struct gguf_index *index, struct arena *arena, uint64_t n)
{
    size_t slots = 8;
    while (slots < 2 * n)
        slots *= 2;
    index->slots = arena_array(arena, slots, sizeof *index->slots);
    index->mask = slots - 1;
    return index->slots != NULL;
}

struct gguf_str gguf_kv_name(const struct gguf *file, uint64_t i)
{
    return file->kvs[i].key;
}

static struct gguf_tensor *tensor_at(const struct gguf *file, uint64_t i)
{
    return file->joined != NULL ? file->joined[i] : &file->tensors[i];
}

struct gguf_str gguf_tensor_name(const struct gguf *file, uint64_t i)
{
    return tensor_at(file, i)->name;
}

uint32_t *gguf_index_slot(const struct gguf *file, const struct gguf_index *index,
                          gguf_name_fn name_of, struct gguf_str name)
{
    size_t at = hash_bytes(name.data, name.len) & index->mask;
    for (;; at = (at + 1) & index->mask) {
        uint32_t item = index->slots[at];
        if (item == 0)
            return &index->slots[at];
        struct gguf_str have = name_of(file, item - 1);
        if (have.len == name.len && memcmp(have.data, name.data, name.len) == 0)
            return &index->slots[at];
    }
}

enum pl_status gguf_open_one(const char *path, struct gguf *first, struct gguf **ret,
                             struct pl_error *err)
{
    struct gguf *file = calloc(1, sizeof *file);
    if (file == NULL)
        return pl_error_set(err, PL_ENOMEM, "gguf: out of memory");
    arena_init(&file->own_arena, ARENA_BUDGET_BYTES);
    file->arena = first != NULL ? first->arena : &file->own_arena;
    file->n_strings = first != NULL ? first->n_strings : 0;
    enum pl_status status = file_map(path, &file->map, err);
    if (status == PL_OK)
        status = gguf_parse(file, err);
    if (status != PL_OK) {
        gguf_close(file);
        return status;
    }
    *ret = file;
    return PL_OK;
}

enum pl_status gguf_open(const char *path, struct gguf **ret, struct pl_error *err)
{
    struct gguf *file = NULL;
    enum pl_status status = gguf_open_one(path, NULL, &file, err);
    if (status != PL_OK)
        return status;
    status = gguf_join_shards(path, &file, err);
    if (status != PL_OK) {
        gguf_close(file);
        return status;
    }
    *ret = file;
    return PL_OK;
}

void gguf_close(struct gguf *file)
{
    if (file == NULL)
        return;
    for (uint32_t i = 1; i < file->n_shards; i++)
        gguf_close(file->shards[i]);
    arena_deinit(&file->own_arena);
    file_unmap(&file->map);
    free(file);
}

uint32_t gguf_version(const struct gguf *file)
{
    return file->version;
}

size_t gguf_file_bytes(const struct gguf *file)
{
    size_t bytes = file->map.bytes;
    for (uint32_t i = 1; i < file->n_shards; i++)
        bytes += file->shards[i]->map.bytes;
    return bytes;
}

uint32_t gguf_n_shards(const struct gguf *file)
{
    return PL_MAX(file->n_shards, 1u);
}

uint64_t gguf_n_kv(const struct gguf *file)
{
    return file->n_kv;
}

const struct gguf_kv *gguf_kv_at(const struct gguf *file, uint64_t i)
{
    PL_CHECK(i < file->n_kv);
    return &file->kvs[i];
}

uint64_t gguf_n_tensors(const struct gguf *file)
{
    return file->joined != NULL ? file->n_joined : file->n_tensors;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *file, uint64_t i)
{
    PL_CHECK(i < gguf_n_tensors(file));
    return tensor_at(file, i);
}

const struct gguf_kv *gguf_find(const struct gguf *file, const char *key)
{
    struct gguf_str name = {key, strlen(key)};
    uint32_t item = *gguf_index_slot(file, &file->kv_index, gguf_kv_name, name);
    return item == 0 ? NULL : &file->kvs[item - 1];
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf *file, const char *name)
{
    struct gguf_str text = {name, strlen(name)};
    uint32_t item = *gguf_index_slot(file, &file->tensor_index, gguf_tensor_name, text);
    return item == 0 ? NULL : tensor_at(file, item - 1);
}

/* ---- values ---------------------------------------------------------------------------------- */

/* A number of any type as the widest of its kind. */
struct number {
    enum { NUMBER_NONE, NUMBER_U64, NUMBER_I64, NUMBER_F64 } kind;
    uint64_t u;
    int64_t i;
    double f;
};

#define LOAD(type, var)                                                                            \
    type var;                                                                                      \
    memcpy(&var, p, sizeof var)

static struct number load_number(enum gguf_type type, const unsigned char *p)
{
    struct number n = {.kind = NUMBER_NONE};
    switch (type) {
    case GGUF_U8: n = (struct number){.kind = NUMBER_U64, .u = *p}; break;
    case GGUF_BOOL: n = (struct number){.kind = NUMBER_U64, .u = *p != 0}; break;
    case GGUF_I8: n = (struct number){.kind = NUMBER_I64, .i = (int8_t)*p}; break;
    case GGUF_U16: {
        LOAD(uint16_t, v);
        n = (struct number){.kind = NUMBER_U64, .u = v};
        break;
    }
    case GGUF_I16: {
        LOAD(int16_t, v);
        n = (struct number){.kind = NUMBER_I64, .i = v};
        break;
    }
    case GGUF_U32: {
        LOAD(uint32_t, v);
        n = (struct number){.kind = NUMBER_U64, .u = v};
        break;
    }
    case GGUF_I32: {
        LOAD(int32_t, v);
        n = (struct number){.kind = NUMBER_I64, .i = v};
        break;
    }
    case GGUF_F32: {
        LOAD(float, v);
        n = (struct number){.kind = NUMBER_F64, .f = (double)v};
        break;
    }
    case GGUF_U64: {
        LOAD(uint64_t, v);
        n = (struct number){.kind = NUMBER_U64, .u = v};
        break;
    }
    case GGUF_I64: {
        LOAD(int64_t, v);
        n = (struct number){.kind = NUMBER_I64, .i = v};
        break;
    }
    case GGUF_F64: {
        LOAD(double, v);
        n = (struct number){.kind = NUMBER_F64, .f = v};
        break;
    }
    case GGUF_STRING:
    case GGUF_ARRAY: break;
    }
    return n;
}

static double number_f64(struct number n)
{
    return n.kind == NUMBER_F64 ? n.f : n.kind == NUMBER_I64 ? (double)n.i : (double)n.u;
}

static int64_t number_i64(struct number n)
{
    if (n.kind == NUMBER_I64)
        return n.i;
    if (n.kind == NUMBER_U64)
        return n.u > INT64_MAX ? INT64_MAX : (int64_t)n.u;
    if (isnan(n.f))
        return 0;
    if (n.f >= 9223372036854775808.0)
        return INT64_MAX;
    return n.f <= -9223372036854775808.0 ? INT64_MIN : (int64_t)n.f;
}

static struct number elem(const struct gguf_kv *kv, uint64_t i)
{
    PL_CHECK(i < kv->n_elems && kv->elem_type != GGUF_STRING);
    return load_number(kv->elem_type, kv->data + i * gguf_type_bytes(kv->elem_type));
}

double gguf_elem_f64(const struct gguf_kv *kv, uint64_t i)
{
    return number_f64(elem(kv, i));
}

int64_t gguf_elem_i64(const struct gguf_kv *kv, uint64_t i)
{
    return number_i64(elem(kv, i));
}

const char *gguf_type_name(enum gguf_type type)
{
    static const char *const names[] = {
        [GGUF_U8] = "u8",         [GGUF_I8] = "i8",       [GGUF_U16] = "u16", [GGUF_I16] = "i16",
        [GGUF_U32] = "u32",       [GGUF_I32] = "i32",     [GGUF_F32] = "f32", [GGUF_BOOL] = "bool",
        [GGUF_STRING] = "string", [GGUF_ARRAY] = "array", [GGUF_U64] = "u64", [GGUF_I64] = "i64",
        [GGUF_F64] = "f64",
    };
    return (size_t)type < PL_ARRAY_LEN(names) ? names[type] : "unknown";
}

/* ---- typed look-ups -------------------------------------------------------------------------- */

static enum pl_status absent(const char *key, struct pl_error *err)
{
    return pl_error_set(err, PL_ENOENT, "gguf: key '%s' is absent", key);
}

static enum pl_status wrong_type(const struct gguf_kv *kv, const char *key, const char *want,
                                 struct pl_error *err)
{
    if (kv->type == GGUF_ARRAY)
        return pl_error_set(err, PL_EFORMAT, "gguf: key '%s' is an array of %s, expected %s", key,
                            gguf_type_name(kv->elem_type), want);
    return pl_error_set(err, PL_EFORMAT, "gguf: key '%s' is of type %s, expected %s", key,
                        gguf_type_name(kv->type), want);
}

enum pl_status gguf_get_u32(const struct gguf *file, const char *key, uint32_t *ret,
                            struct pl_error *err)
{
    const struct gguf_kv *kv = gguf_find(file, key);
    if (kv == NULL)
        return absent(key, err);
    struct number n = {.kind = NUMBER_NONE};
    if (kv->type != GGUF_BOOL && kv->type != GGUF_ARRAY)
        n = load_number(kv->type, kv->data);
    if (n.kind != NUMBER_U64 && n.kind != NUMBER_I64)
        return wrong_type(kv, key, "an integer", err);
    if (n.kind == NUMBER_I64 && n.i < 0)
        return pl_error_set(err, PL_EFORMAT, "gguf: key '%s' is %lld, expected 0 to 4294967295",
                            key, (long long)n.i);
    uint64_t value = n.kind == NUMBER_I64 ? (uint64_t)n.i : n.u;
    if (value > UINT32_MAX)
        return pl_error_set(err, PL_EFORMAT, "gguf: key '%s' is %llu, expected 0 to 4294967295",
                            key, (unsigned long long)value);
    *ret = (uint32_t)value;
    return PL_OK;
}

enum pl_status gguf_get_f64(const struct gguf *file, const char *key, double *ret,
                            struct pl_error *err)
{
    const struct gguf_kv *kv = gguf_find(file, key);
    if (kv == NULL)
        return absent(key, err);
    if (kv->type == GGUF_BOOL || kv->type == GGUF_STRING || kv->type == GGUF_ARRAY)
        return wrong_type(kv, key, "a number", err);
    *ret = number_f64(load_number(kv->type, kv->data));
    return PL_OK;
}

enum pl_status gguf_get_bool(const struct gguf *file, const char *key, bool *ret,
                             struct pl_error *err)
{
    const struct gguf_kv *kv = gguf_find(file, key);
    if (kv == NULL)
        return absent(key, err);
    if (kv->type != GGUF_BOOL)
        return wrong_type(kv, key, "bool", err);
    *ret = *kv->data != 0;
    return PL_OK;
}

enum pl_status gguf_get_str(const struct gguf *file, const char *key, struct gguf_str *ret,
                            struct pl_error *err)
{
    const struct gguf_kv *kv = gguf_find(file, key);
    if (kv == NULL)
        return absent(key, err);
    if (kv->type != GGUF_STRING)
        return wrong_type(kv, key, "a string", err);
    *ret = kv->strings[0];
    return PL_OK;
}

void gguf_release_tensor(const struct gguf *file, const struct gguf_tensor *tensor)
{
    (void)file;
    long page = sysconf(_SC_PAGESIZE);
    if (page <= 0)
        return;
    /* Only pages that hold nothing else. */
    uintptr_t first = pl_align_up((uintptr_t)tensor->data, (size_t)page);
    uintptr_t end = ((uintptr_t)tensor->data + tensor->bytes) & ~((uintptr_t)page - 1);
    if (first < end)
        (void)madvise((void *)first, end - first, MADV_DONTNEED);
}
