/* See token.h. Builds a vocabulary from tokenizer.ggml.* metadata and checks all of it.
 *
 *   texts, types  ->  by_text  ->  special ids  ->  pieces, merge tables (spm.c, bpe.c)  ->  trie
 *
 * Whatever the file says is checked here once; encode and decode then trust the tables. */
#include "impl.h"
#include "split.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define ARENA_BUDGET_BYTES                                                                         \
    ((size_t)512 * 1024 * 1024) /* the largest vocabularies take about 60 MiB */

static const char tokens_key[] = "tokenizer.ggml.tokens";

static const struct {
    const char *name;
    enum token_model model;
} models
    [] =
        {
            {"llama", TOKEN_MODEL_SPM},      {"gpt2", TOKEN_MODEL_BPE},
            {"bert", TOKEN_MODEL_WORDPIECE}, {"t5", TOKEN_MODEL_UNIGRAM},
            {"gemma4", TOKEN_MODEL_BPE}, /* with a pre-tokenizer of that name */
};

static enum pl_status read_model(struct token_vocab *v, const struct gguf *file,
                                 struct pl_error *err)
{
    static const char key[] = "tokenizer.ggml.model";
    struct gguf_str name;
    enum pl_status status = gguf_get_str(file, key, &name, err);
    if (status != PL_OK)
        return status == PL_ENOENT ? PL_EFORMAT : status;
    for (size_t i = 0; i < PL_ARRAY_LEN(models); i++) {
        if (strlen(models[i].name) == name.len &&
            memcmp(models[i].name, name.data, name.len) == 0) {
            v->model = models[i].model;
            return PL_OK;
        }
    }
    char text[64];
    gguf_printable(name, text, sizeof text);
    return pl_error_set(err, PL_ENOTSUP, "token: key '%s': tokenizer '%s' is not supported", key,
                        text);
}

/* ---- tokens, types, scores ------------------------------------------------------------------- */

static enum pl_status no_memory(struct pl_error *err)
{
    return pl_error_set(err, PL_ENOMEM, "token: out of memory");
}

/* All texts into one block, each with a NUL behind it. */
static enum pl_status copy_texts(struct token_vocab *v, const struct gguf_str *texts,
                                 struct pl_error *err)
{
    size_t bytes = 0;
    for (int32_t id = 0; id < v->n; id++) {
        if (texts[id].len > TOKEN_BYTES_MAX)
            return pl_error_set(err, PL_EFORMAT,
                                "token: key '%s': token %d has %zu bytes, at most %d", tokens_key,
                                id, texts[id].len, TOKEN_BYTES_MAX);
        bytes += texts[id].len + 1;
    }
    char *copy = arena_alloc(&v->arena, bytes);
    if (copy == NULL)
        return no_memory(err);
    for (int32_t id = 0; id < v->n; id++) {
        size_t n = texts[id].len;
        memcpy(copy, texts[id].data, n);
        copy[n] = '\0';
        v->texts[id] = (struct gguf_str){copy, n};
        v->token_bytes_max = PL_MAX(v->token_bytes_max, n);
        copy += n + 1;
    }
    return PL_OK;
}

static enum pl_status index_texts(struct token_vocab *v, struct pl_error *err)
{
    int32_t *ids = malloc((size_t)v->n * sizeof *ids);
    if (ids == NULL)
        return no_memory(err);
    size_t n = 0;
    for (int32_t id = 0; id < v->n; id++) {
        if (v->texts[id].len > 0) /* else an unused place: never found by text */
            ids[n++] = id;
    }
    struct token_twice twice = token_map_add(&v->by_text, ids, n);
    free(ids);
    if (twice.first == TOKEN_NONE)
        return PL_OK;
    char shown[64];
    gguf_printable(v->texts[twice.first], shown, sizeof shown);
    return pl_error_set(err, PL_EFORMAT, "token: key '%s': tokens %d and %d are both '%s'",
                        tokens_key, twice.first, twice.second, shown);
}

static enum pl_status read_texts(struct token_vocab *v, const struct gguf *file,
                                 struct pl_error *err)
{
    const struct gguf_kv *kv = gguf_find(file, tokens_key);
    if (kv == NULL)
        return pl_error_set(err, PL_EFORMAT, "token: key '%s' is absent", tokens_key);
    if (kv->type != GGUF_ARRAY || kv->elem_type != GGUF_STRING)
        return pl_error_set(
            err, PL_EFORMAT, "token: key '%s' is %s%s, expected an array of strings", tokens_key,
            kv->type == GGUF_ARRAY ? "an array of " : "of type ", gguf_type_name(kv->elem_type));
    if (kv->n_elems == 0 || kv->n_elems > TOKEN_VOCAB_MAX)
        return pl_error_set(err, PL_EFORMAT, "token: key '%s' has %llu tokens, expected 1 to %d",
                            tokens_key, (unsigned long long)kv->n_elems, TOKEN_VOCAB_MAX);
    size_t n = (size_t)kv->n_elems;
    v->n = (int32_t)n;
    v->texts = arena_array(&v->arena, n, sizeof *v->texts);
    v->pieces = arena_array(&v->arena, n, sizeof *v->pieces);
    v->attrs = arena_zalloc(&v->arena, n);
    v->whole = arena_zalloc(&v->arena, n * sizeof *v->whole);
    v->hash_keys = token_hash_keys(&v->arena);
    if (v->texts == NULL || v->pieces == NULL || v->attrs == NULL || v->whole == NULL ||
        v->hash_keys == NULL || !token_map_init(&v->by_text, &v->arena, v->hash_keys, v->texts, n))
        return no_memory(err);
    enum pl_status status = copy_texts(v, kv->strings, err);
    return status == PL_OK ? index_texts(v, err) : status;
}

/* An array beside the tokens: absent (*ret NULL), or of their length. */
static enum pl_status find_beside(const struct token_vocab *v, const struct gguf *file,
                                  const char *key, const struct gguf_kv **ret, struct pl_error *err)
{
    const struct gguf_kv *kv = gguf_find(file, key);
    *ret = kv;
    if (kv == NULL)
        return PL_OK;
    if (kv->type != GGUF_ARRAY || kv->elem_type == GGUF_STRING || kv->elem_type == GGUF_BOOL)
        return pl_error_set(err, PL_EFORMAT, "token: key '%s' is not an array of numbers", key);
    if (kv->n_elems != (uint64_t)v->n)
        return pl_error_set(err, PL_EFORMAT, "token: key '%s' has %llu elements for %d tokens", key,
                            (unsigned long long)kv->n_elems, v->n);
    return PL_OK;
}

static enum pl_status read_types(struct token_vocab *v, const struct gguf *file,
                                 struct pl_error *err)
{
    static const char key[] = "tokenizer.ggml.token_type";
    static const uint8_t attr_of_type[] = {
        [0] = TOKEN_ATTR_UNUSED,  [1] = TOKEN_ATTR_NORMAL, [2] = TOKEN_ATTR_UNKNOWN,
        [3] = TOKEN_ATTR_CONTROL, [4] = TOKEN_ATTR_USER,   [5] = TOKEN_ATTR_UNUSED,
        [6] = TOKEN_ATTR_BYTE,
    };
    const struct gguf_kv *kv = NULL;
    enum pl_status status = find_beside(v, file, key, &kv, err);
    if (status != PL_OK)
        return status;
    v->typed = kv != NULL;
    for (int32_t id = 0; id < v->n; id++) {
        int64_t type = kv == NULL ? 1 : gguf_elem_i64(kv, (uint64_t)id);
        if (type < 0 || type >= (int64_t)sizeof attr_of_type)
            return pl_error_set(err, PL_EFORMAT, "token: key '%s': token %d has type %lld", key, id,
                                (long long)type);
        v->attrs[id] = attr_of_type[type];
    }
    return PL_OK;
}

static enum pl_status check_scores(const struct token_vocab *v, const struct gguf *file,
                                   struct pl_error *err)
{
    static const char key[] = "tokenizer.ggml.scores";
    const struct gguf_kv *kv = NULL;
    enum pl_status status = find_beside(v, file, key, &kv, err);
    if (status != PL_OK || kv == NULL)
        return status;
    for (int32_t id = 0; id < v->n; id++) {
        if (isnan(gguf_elem_f64(kv, (uint64_t)id)))
            return pl_error_set(err, PL_EFORMAT,
                                "token: key '%s': the score of token %d is no number", key, id);
    }
    return PL_OK;
}

/* ---- open, close ----------------------------------------------------------------------------- */

static enum pl_status init_model(struct token_vocab *v, const struct gguf *file,
                                 struct pl_error *err)
{
    switch (v->model) {
    case TOKEN_MODEL_SPM: return token_spm_init(v, file, err);
    case TOKEN_MODEL_BPE: return token_bpe_init(v, file, err);
    case TOKEN_MODEL_WORDPIECE: return token_wordpiece_init(v, file, err);
    case TOKEN_MODEL_UNIGRAM: return token_unigram_init(v, file, err);
    }
    return PL_EINTERNAL;
}

static enum pl_status build(struct token_vocab *v, const struct gguf *file, struct pl_error *err)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(v->byte_ids); i++)
        v->byte_ids[i] = TOKEN_NONE;
    enum pl_status status = read_model(v, file, err);
    if (status == PL_OK)
        status = read_texts(v, file, err);
    if (status == PL_OK)
        status = read_types(v, file, err);
    if (status == PL_OK)
        status = check_scores(v, file, err);
    bool spm = v->model == TOKEN_MODEL_SPM;
    bool wordpiece = v->model == TOKEN_MODEL_WORDPIECE;
    v->add_bos = spm || wordpiece;
    v->add_eos = wordpiece || v->model == TOKEN_MODEL_UNIGRAM;
    v->add_space_prefix = spm || wordpiece;
    if (status == PL_OK)
        status = token_read_special(v, file, err);
    if (status == PL_OK)
        status = init_model(v, file, err);
    if (status == PL_OK && !token_trie_init(v))
        status = pl_error_set(err, PL_ENOMEM, "token: out of memory");
    return status;
}

enum pl_status token_open(const struct gguf *file, struct token_vocab **ret, struct pl_error *err)
{
    struct token_vocab *v = calloc(1, sizeof *v);
    if (v == NULL)
        return pl_error_set(err, PL_ENOMEM, "token: out of memory");
    arena_init(&v->arena, ARENA_BUDGET_BYTES);
    enum pl_status status = build(v, file, err);
    if (status != PL_OK) {
        token_close(v);
        return status;
    }
    *ret = v;
    return PL_OK;
}

void token_close(struct token_vocab *vocab)
{
    if (vocab == NULL)
        return;
    token_split_close(vocab->split);
    arena_deinit(&vocab->arena);
    free(vocab);
}
