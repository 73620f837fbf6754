/* See impl.h. Models split over files: finds, checks and joins the shards.
 *
 *   NAME-00001-of-00003.gguf   all metadata, split.no 0, split.count 3, split.tensors.count, tensors
 *   NAME-00002-of-00003.gguf   split.no 1 and the same two counts, tensors
 *   NAME-00003-of-00003.gguf   split.no 2, ...
 *
 * Each shard is a whole GGUF file with its own alignment and is parsed as such. That they belong together
 * is told by the names, the three keys, tensors that differ, and keys of later shards, if any, that say the
 * same as in the first. */
#include "impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define KEY_NO      "split.no"
#define KEY_COUNT   "split.count"
#define KEY_TENSORS "split.tensors.count"

#define SUFFIX_FORM  "-00001-of-00001.gguf"
#define SUFFIX_BYTES (sizeof SUFFIX_FORM - 1)
#define SHARD_DIGITS 5

/* What the name of a shard tells. */
struct split_name {
    const char *path;
    size_t prefix; /* bytes before the suffix */
    uint32_t no;   /* from 0 */
    uint32_t count;
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* Five digits at text. */
static bool parse_digits(const char *text, uint32_t *ret)
{
    uint32_t value = 0;
    for (int i = 0; i < SHARD_DIGITS; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(text[i] - '0');
    }
    *ret = value;
    return true;
}

static bool parse_name(const char *path, struct split_name *ret)
{
    size_t n = strlen(path);
    if (n <= SUFFIX_BYTES)
        return false;
    const char *suffix = path + n - SUFFIX_BYTES;
    uint32_t no = 0;
    uint32_t count = 0;
    if (suffix[0] != '-' || !parse_digits(suffix + 1, &no) ||
        memcmp(suffix + 1 + SHARD_DIGITS, "-of-", 4) != 0 ||
        !parse_digits(suffix + 1 + SHARD_DIGITS + 4, &count) ||
        strcmp(suffix + 1 + SHARD_DIGITS + 4 + SHARD_DIGITS, ".gguf") != 0 || no == 0)
        return false;
    *ret = (struct split_name){path, n - SUFFIX_BYTES, no - 1, count};
    return true;
}

/* The path of shard `no`; malloc'ed. */
static char *shard_path(const struct split_name *name, uint32_t no)
{
    size_t cap = name->prefix + 64;
    char *path = malloc(cap);
    if (path != NULL)
        (void)snprintf(path, cap, "%.*s-%05u-of-%05u.gguf", (int)name->prefix, name->path, no + 1,
                       name->count);
    return path;
}

/* ---- checks ---------------------------------------------------------------------------------- */

/* What a message about a shard begins with. */
struct shard_label {
    char text[128];
};

static struct shard_label label(const char *path)
{
    struct shard_label l;
    const char *name = base_name(path);
    gguf_printable((struct gguf_str){name, strlen(name)}, l.text, sizeof l.text);
    return l;
}

static bool equal_values(const struct gguf_kv *a, const struct gguf_kv *b)
{
    if (a->type != b->type || a->elem_type != b->elem_type || a->n_elems != b->n_elems)
        return false;
    if (a->elem_type != GGUF_STRING)
        return memcmp(a->data, b->data, (size_t)a->n_elems * gguf_type_bytes(a->elem_type)) == 0;
    for (uint64_t i = 0; i < a->n_elems; i++) {
        if (a->strings[i].len != b->strings[i].len ||
            memcmp(a->strings[i].data, b->strings[i].data, a->strings[i].len) != 0)
            return false;
    }
    return true;
}

static bool is_key(struct gguf_str key, const char *name)
{
    return key.len == strlen(name) && memcmp(key.data, name, key.len) == 0;
}

/* Later shards have the split keys only, or repeat others. */
static enum pl_status check_same_model(const struct gguf *first, const struct gguf *shard,
                                       const char *path, struct pl_error *err)
{
    for (uint64_t i = 0; i < shard->n_kv; i++) {
        const struct gguf_kv *kv = &shard->kvs[i];
        if (is_key(kv->key, KEY_NO) || is_key(kv->key, KEY_COUNT) ||
            is_key(kv->key, "general.alignment")) /* checked already; each file's own */
            continue;
        uint32_t item = *gguf_index_slot(first, &first->kv_index, gguf_kv_name, kv->key);
        if (item != 0 && equal_values(kv, &first->kvs[item - 1]))
            continue;
        char key[72];
        gguf_printable(kv->key, key, sizeof key);
        return pl_error_set(err, PL_EFORMAT,
                            "gguf: shard '%s' is of another model: key '%s' %s the first shard",
                            label(path).text, key, item == 0 ? "is not in" : "differs from");
    }
    return PL_OK;
}

static enum pl_status get_split_key(const struct gguf *shard, const char *path, const char *key,
                                    uint32_t *ret, struct pl_error *err)
{
    struct pl_error why = {""};
    enum pl_status status = gguf_get_u32(shard, key, ret, &why);
    if (status == PL_OK)
        return PL_OK;
    if (status == PL_ENOENT)
        return pl_error_set(err, PL_EFORMAT, "gguf: shard '%s': key '%s' is absent",
                            label(path).text, key);
    return pl_error_set(err, PL_EFORMAT, "gguf: shard '%s': key '%s' is no integer from 0 on",
                        label(path).text, key);
}

/* The shard says of itself what its name and place say. */
static enum pl_status check_shard(const struct gguf *shard, const char *path, uint32_t no,
                                  uint32_t count, struct pl_error *err)
{
    const struct {
        const char *key;
        uint32_t want;
    } rows[] = {{KEY_COUNT, count}, {KEY_NO, no}};
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        uint32_t got = 0;
        enum pl_status status = get_split_key(shard, path, rows[i].key, &got, err);
        if (status != PL_OK)
            return status;
        if (got != rows[i].want)
            return pl_error_set(err, PL_EFORMAT, "gguf: shard '%s': key '%s' is %u, expected %u",
                                label(path).text, rows[i].key, got, rows[i].want);
    }
    return PL_OK;
}

/* ---- joining --------------------------------------------------------------------------------- */

static enum pl_status open_shard(struct gguf *first, const struct split_name *name, uint32_t no,
                                 struct pl_error *err)
{
    char *path = shard_path(name, no);
    if (path == NULL)
        return pl_error_set(err, PL_ENOMEM, "gguf: out of memory");
    struct gguf *shard = NULL;
    struct pl_error why = {""};
    enum pl_status status = gguf_open_one(path, first, &shard, &why);
    if (status == PL_ENOENT) {
        (void)pl_error_set(err, status, "gguf: shard %u of %u is missing: '%s'", no + 1,
                           name->count, label(path).text);
    } else if (status != PL_OK) {
        const char *text = strncmp(why.msg, "gguf: ", 6) == 0 ? why.msg + 6 : why.msg;
        (void)pl_error_set(err, status, "gguf: shard '%s': %s", label(path).text, text);
    } else {
        first->shards[no] = shard;
        first->n_shards = no + 1;
        first->n_strings = shard->n_strings;
        status = check_shard(shard, path, no, name->count, err);
        if (status == PL_OK)
            status = check_same_model(first, shard, path, err);
    }
    free(path);
    return status;
}

/* One table and one index over the tensors of all shards. */
static enum pl_status join_tensors(struct gguf *first, uint64_t total, struct pl_error *err)
{
    struct gguf_tensor **joined =
        arena_array(first->arena, (size_t)total, sizeof(struct gguf_tensor *));
    if (joined == NULL || !gguf_index_init(&first->tensor_index, first->arena, total))
        return pl_error_set(err, PL_ENOMEM, "gguf: out of memory for %llu tensors",
                            (unsigned long long)total);
    first->joined = joined;
    for (uint32_t s = 0; s < first->n_shards; s++) {
        struct gguf *shard = first->shards[s];
        for (uint64_t i = 0; i < shard->n_tensors; i++) {
            struct gguf_tensor *tensor = &shard->tensors[i];
            uint32_t *slot =
                gguf_index_slot(first, &first->tensor_index, gguf_tensor_name, tensor->name);
            if (*slot != 0)
                return pl_error_set(
                    err, PL_EFORMAT,
                    "gguf: tensor '%s' of shard %u of %u is in an earlier shard too",
                    tensor->name_text, s + 1, first->n_shards);
            joined[first->n_joined++] = tensor;
            *slot = (uint32_t)first->n_joined;
        }
    }
    return PL_OK;
}

/* first: shard 0 of name->count, alone so far. */
static enum pl_status open_others(struct gguf *first, const struct split_name *name,
                                  struct pl_error *err)
{
    uint32_t claimed = 0;
    enum pl_status status = get_split_key(first, name->path, KEY_TENSORS, &claimed, err);
    if (status != PL_OK)
        return status;
    first->shards = arena_array(first->arena, name->count, sizeof(struct gguf *));
    if (first->shards == NULL)
        return pl_error_set(err, PL_ENOMEM, "gguf: out of memory for %u shards", name->count);
    first->shards[0] = first;
    uint64_t total = first->n_tensors;
    for (uint32_t no = 1; status == PL_OK && no < name->count; no++) {
        status = open_shard(first, name, no, err);
        if (status == PL_OK)
            total += first->shards[no]->n_tensors;
        if (status == PL_OK && total > GGUF_TENSORS_MAX)
            status =
                pl_error_set(err, PL_ELIMIT, "gguf: more than %u tensors in the first %u shards",
                             GGUF_TENSORS_MAX, no + 1);
    }
    if (status == PL_OK && total != claimed)
        status = pl_error_set(err, PL_EFORMAT,
                              "gguf: key '" KEY_TENSORS "' is %u, the %u shards have %llu tensors",
                              claimed, name->count, (unsigned long long)total);
    return status == PL_OK ? join_tensors(first, total, err) : status;
}

/* Replaces *file, a later shard, by the first one. */
static enum pl_status reopen_first(struct gguf **file, const struct split_name *name,
                                   struct pl_error *err)
{
    char *path = shard_path(name, 0);
    if (path == NULL)
        return pl_error_set(err, PL_ENOMEM, "gguf: out of memory");
    struct gguf *first = NULL;
    struct pl_error why = {""};
    enum pl_status status = gguf_open_one(path, NULL, &first, &why);
    if (status == PL_ENOENT) {
        (void)pl_error_set(err, status, "gguf: shard 1 of %u is missing: '%s'", name->count,
                           label(path).text);
    } else if (status != PL_OK) {
        (void)pl_error_set(err, status, "%s", why.msg);
    } else {
        gguf_close(*file);
        *file = first;
        status = check_shard(first, path, 0, name->count, err);
    }
    free(path);
    return status;
}

enum pl_status gguf_join_shards(const char *path, struct gguf **file, struct pl_error *err)
{
    if (gguf_find(*file, KEY_COUNT) == NULL && gguf_find(*file, KEY_NO) == NULL)
        return PL_OK;
    uint32_t count = 0;
    enum pl_status status = get_split_key(*file, path, KEY_COUNT, &count, err);
    if (status != PL_OK)
        return status;
    if (count <= 1) /* 0: written by tools that merge shards */
        return PL_OK;
    if (count > GGUF_SHARDS_MAX)
        return pl_error_set(err, PL_ELIMIT, "gguf: key '" KEY_COUNT "' is %u, at most %u shards",
                            count, GGUF_SHARDS_MAX);
    struct split_name name;
    if (!parse_name(path, &name))
        return pl_error_set(err, PL_EFORMAT,
                            "gguf: key '" KEY_COUNT "' is %u, but the file's name '%s' doesn't end "
                            "in -00001-of-%05u.gguf or the like",
                            count, label(path).text, count);
    if (name.count != count)
        return pl_error_set(err, PL_EFORMAT,
                            "gguf: shard '%s': key '" KEY_COUNT "' is %u, its name says %u",
                            label(path).text, count, name.count);
    status = check_shard(*file, path, name.no, count, err);
    if (status == PL_OK && name.no != 0)
        status = reopen_first(file, &name, err);
    return status == PL_OK ? open_others(*file, &name, err) : status;
}
