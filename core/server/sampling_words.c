/* See request_sampling.h: logit_bias, bad_words and DRY's sequence breakers, as far as they need the vocabulary. */
#include "request_sampling.h"

#include "request.h"
#include "token/token.h"

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "base/banned.h"

#define BIAS_LIMIT   100.0 /* OpenAI's range: [-100, 100] */
#define BREAKER_TAIL 20    /* tokens of a breaker after its first: as far as llama-server looks */
#define NEWLINE      "\n"

static const char *const DEFAULT_BREAKERS[] = {"\n", ":", "\"", "*"};

struct resolve {
    struct request *r;
    const struct token_vocab *vocab;
    struct api_error *error;
};

static bool out_of_memory(struct api_error *error)
{
    api_error_set(error, 500, NULL, "out of memory");
    return false;
}

/* Plain text to tokens: nothing is added, no special token is recognised. */
static bool encode(const struct resolve *x, const char *text, size_t n, const char *param,
                   struct token_ids *ret)
{
    static const struct token_encode_options PLAIN = {0};
    struct pl_error err = {0};
    enum pl_status status = token_encode(x->vocab, text, n, &PLAIN, ret, &err);
    if (status == PL_OK)
        return true;
    if (status == PL_ENOMEM)
        return out_of_memory(x->error);
    api_error_param(x->error, param, "%s: %s", param, err.msg);
    return false;
}

/* ---- ids ------------------------------------------------------------------------------------- */

static bool ids_exist(const struct resolve *x, const char *name, const int32_t *ids, uint32_t n)
{
    int32_t count = token_count(x->vocab);
    for (uint32_t i = 0; i < n; i++) {
        if (ids[i] < count)
            continue;
        api_error_param(x->error, name, "%s: token id %d is outside the vocabulary of %d", name,
                        ids[i], count);
        return false;
    }
    return true;
}

/* ---- logit_bias ------------------------------------------------------------------------------ */

static bool add_bias(const struct resolve *x, int32_t id, float bias)
{
    struct request *r = x->r;
    if (!ids_exist(x, "logit_bias", &id, 1))
        return false;
    if (r->sampling.n_bias == ENGINE_BIAS_MAX) {
        api_error_param(x->error, "logit_bias", "logit_bias: more than %d entries",
                        ENGINE_BIAS_MAX);
        return false;
    }
    if (r->lists.bias == NULL)
        r->lists.bias = calloc(ENGINE_BIAS_MAX, sizeof *r->lists.bias);
    if (r->lists.bias == NULL)
        return out_of_memory(x->error);
    r->lists.bias[r->sampling.n_bias++] = (struct engine_bias){.id = id, .bias = bias};
    r->sampling.bias = r->lists.bias;
    return true;
}

/* false bans, as llama-server has it. */
static bool read_bias(const struct resolve *x, const char *key, struct json_object *value,
                      float *ret)
{
    struct fields inner = {.path = "logit_bias", .error = x->error};
    if (json_object_is_type(value, json_type_boolean) && !json_object_get_boolean(value)) {
        *ret = -INFINITY;
        return true;
    }
    bool number =
        json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double);
    double bias = number ? json_object_get_double(value) : 0;
    if (!number)
        fields_fail(&inner, key, "expected number or false, got %s", fields_type_name(value));
    else if (!(bias >= -BIAS_LIMIT && bias <= BIAS_LIMIT))
        fields_fail(&inner, key, "expected -100 to 100, got %g", bias);
    else
        *ret = (float)bias;
    return x->error->status == 0;
}

/* A token id as text, else a text whose tokens are all meant. */
static bool add_text_bias(const struct resolve *x, const char *text, size_t n, float bias)
{
    int64_t id = 0;
    if (parse_i64(text, INT64_MIN, INT64_MAX, &id)) {
        if (id >= 0 && id <= INT32_MAX)
            return add_bias(x, (int32_t)id, bias);
        api_error_param(x->error, "logit_bias", "logit_bias: there is no token '%.40s'", text);
        return false;
    }
    struct token_ids ids = {0};
    if (!encode(x, text, n, "logit_bias", &ids))
        return false;
    bool ok = true;
    for (size_t i = 0; i < ids.n && ok; i++)
        ok = add_bias(x, ids.ids[i], bias);
    token_ids_free(&ids);
    return ok;
}

static bool add_pair(const struct resolve *x, const char *where, struct json_object *pair)
{
    struct fields inner = {.path = "logit_bias", .error = x->error};
    if (!json_object_is_type(pair, json_type_array) || json_object_array_length(pair) != 2) {
        fields_fail(&inner, where, "expected [token, bias], got %s", fields_type_name(pair));
        return false;
    }
    struct json_object *token = json_object_array_get_idx(pair, 0);
    float bias = 0;
    int64_t id = 0;
    if (!read_bias(x, where, json_object_array_get_idx(pair, 1), &bias))
        return false;
    if (fields_is_int(token, 0, INT32_MAX, &id))
        return add_bias(x, (int32_t)id, bias);
    if (json_object_is_type(token, json_type_string))
        return add_text_bias(x, json_object_get_string(token),
                             (size_t)json_object_get_string_len(token), bias);
    fields_fail(&inner, where, "expected a token id or a text, got %s", fields_type_name(token));
    return false;
}

static bool resolve_bias(const struct resolve *x, const struct fields *f)
{
    struct json_object *value = fields_get(f, "logit_bias");
    if (value == NULL)
        return f->error->status == 0;
    if (json_object_is_type(value, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(value); i++) {
            char where[32];
            (void)snprintf(where, sizeof where, "[%zu]", i);
            if (!add_pair(x, where, json_object_array_get_idx(value, i)))
                return false;
        }
        return true;
    }
    if (!json_object_is_type(value, json_type_object)) {
        fields_fail(f, "logit_bias", "expected object or array, got %s", fields_type_name(value));
        return false;
    }
    bool ok = true;
    json_object_object_foreach(value, key, entry)
    {
        float bias = 0;
        ok = ok && read_bias(x, key, entry, &bias) && add_text_bias(x, key, strlen(key), bias);
    }
    return ok;
}

/* ---- lists of words -------------------------------------------------------------------------- */

static bool has_word(const struct sampling_words *words, const int32_t *ids, size_t n)
{
    uint32_t start = 0;
    for (uint32_t i = 0; i < words->n; i++) {
        if (words->ends[i] - start == n && memcmp(words->ids + start, ids, n * sizeof *ids) == 0)
            return true;
        start = words->ends[i];
    }
    return false;
}

/* Appends ids[0..n), n > 0. Room for all that the engine takes is made at once. */
static bool add_word(const struct resolve *x, struct sampling_words *words, const char *param,
                     const int32_t *ids, size_t n)
{
    if (words->n == ENGINE_WORDS_MAX || words->n_ids + n > ENGINE_WORD_IDS_MAX) {
        api_error_param(x->error, param, "%s: too many tokens together", param);
        return false;
    }
    if (words->ids == NULL)
        words->ids = calloc(ENGINE_WORD_IDS_MAX, sizeof *words->ids);
    if (words->ends == NULL)
        words->ends = calloc(ENGINE_WORDS_MAX, sizeof *words->ends);
    if (words->ids == NULL || words->ends == NULL)
        return out_of_memory(x->error);
    memcpy(words->ids + words->n_ids, ids, n * sizeof *ids);
    words->n_ids += (uint32_t)n;
    words->ends[words->n++] = words->n_ids;
    return true;
}

static struct engine_words view_of(const struct sampling_words *words)
{
    return (struct engine_words){.ids = words->ids, .ends = words->ends, .n = words->n};
}

/* ---- bad_words ------------------------------------------------------------------------------- */

/* The word's tokens after `before`. A newline before it is cut off again: what is left is the word as it goes on
 * in a text, also where the tokenizer puts a space before every text. */
static bool add_variant(const struct resolve *x, const char *before, const char *word, size_t n)
{
    char text[SAMPLING_WORD_BYTES_MAX + 2];
    struct token_ids ids = {0};
    size_t n_before = strlen(before);
    (void)snprintf(text, sizeof text, "%s%.*s", before, (int)n, word);
    if (!encode(x, text, n_before + n, "bad_words", &ids))
        return false;
    size_t from = 0;
    if (strcmp(before, NEWLINE) == 0) {
        from = ids.n; /* nothing, should the newline not be a token's end */
        for (size_t i = 0; i < ids.n && from == ids.n; i++) {
            struct gguf_str piece = token_piece(x->vocab, ids.ids[i], true);
            if (piece.len > 0 && piece.data[piece.len - 1] == '\n')
                from = i + 1;
        }
    }
    bool ok = from >= ids.n || has_word(&x->r->lists.bad_words, ids.ids + from, ids.n - from) ||
              add_word(x, &x->r->lists.bad_words, "bad_words", ids.ids + from, ids.n - from);
    token_ids_free(&ids);
    return ok;
}

static bool add_bad_word(const struct resolve *x, const struct fields *f, const char *where,
                         struct json_object *value)
{
    if (!json_object_is_type(value, json_type_string)) {
        fields_fail(f, where, "expected string, got %s", fields_type_name(value));
        return false;
    }
    const char *word = json_object_get_string(value);
    size_t n = (size_t)json_object_get_string_len(value);
    while (n > 0 && *word == ' ') {
        word++;
        n--;
    }
    if (n == 0 || n > SAMPLING_WORD_BYTES_MAX || strlen(word) != n) {
        fields_fail(f, where, "%zu bytes without leading spaces, not 1 to %d and no NUL", n,
                    SAMPLING_WORD_BYTES_MAX);
        return false;
    }
    return add_variant(x, "", word, n) && add_variant(x, " ", word, n) &&
           add_variant(x, NEWLINE, word, n);
}

static bool resolve_bad_words(const struct resolve *x, const struct fields *f)
{
    struct json_object *array = fields_array(f, "bad_words");
    size_t n = array != NULL ? json_object_array_length(array) : 0;
    if (n > SAMPLING_WORDS_MAX)
        fields_fail(f, "bad_words", "%zu words, at most %d", n, SAMPLING_WORDS_MAX);
    for (size_t i = 0; i < n && f->error->status == 0; i++) {
        char where[32];
        (void)snprintf(where, sizeof where, "bad_words[%zu]", i);
        if (!add_bad_word(x, f, where, json_object_array_get_idx(array, i)))
            return false;
    }
    x->r->sampling.bad_words = view_of(&x->r->lists.bad_words);
    return f->error->status == 0;
}

/* ---- DRY's sequence breakers ----------------------------------------------------------------- */

struct breaker {
    const char *text;
    size_t n;
    bool known[SAMPLING_BREAKER_BYTES_MAX]; /* tails[i] are the tokens of text + i */
    struct token_ids tails[SAMPLING_BREAKER_BYTES_MAX];
};

struct breakers {
    struct breaker list[SAMPLING_BREAKERS_MAX];
    size_t n;
    bool starts[256]; /* first bytes */
};

static bool contains(struct gguf_str piece, const struct breaker *b)
{
    for (size_t at = 0; at + b->n <= piece.len; at++)
        if (memcmp(piece.data + at, b->text, b->n) == 0)
            return true;
    return false;
}

/* The piece ends with the breaker's first `done` bytes: its token, then the tokens of the rest, break. */
static bool add_split(const struct resolve *x, struct breaker *b, int32_t id, size_t done)
{
    int32_t word[1 + BREAKER_TAIL] = {id};
    struct token_ids *tail = &b->tails[done];
    if (!b->known[done] && !encode(x, b->text + done, b->n - done, "dry_sequence_breakers", tail))
        return false;
    b->known[done] = true;
    size_t n = PL_MIN(tail->n, (size_t)BREAKER_TAIL);
    if (n == 0)
        return true;
    memcpy(word + 1, tail->ids, n * sizeof *word);
    return add_word(x, &x->r->lists.dry_words, "dry_sequence_breakers", word, n + 1);
}

static bool add_splits(const struct resolve *x, struct breaker *b, int32_t id,
                       struct gguf_str piece)
{
    for (size_t done = 1; done < b->n && done <= piece.len; done++)
        if (memcmp(piece.data + piece.len - done, b->text, done) == 0 && !add_split(x, b, id, done))
            return false;
    return true;
}

static bool add_token(const struct resolve *x, struct breakers *breakers, int32_t id)
{
    struct gguf_str piece = token_piece(x->vocab, id, true);
    bool any = false;
    for (size_t i = 0; i < piece.len && !any; i++)
        any = breakers->starts[(unsigned char)piece.data[i]];
    for (size_t i = 0; any && i < breakers->n; i++) {
        if (contains(piece, &breakers->list[i])) {
            x->r->lists.dry_breakers[x->r->sampling.n_dry_breakers++] = id;
            return true;
        }
    }
    for (size_t i = 0; any && i < breakers->n; i++)
        if (!add_splits(x, &breakers->list[i], id, piece))
            return false;
    return true;
}

static void add_breaker(struct breakers *breakers, const char *text, size_t n)
{
    breakers->list[breakers->n++] = (struct breaker){.text = text, .n = n};
    breakers->starts[(unsigned char)text[0]] = true;
}

static bool read_breakers(const struct fields *f, struct breakers *breakers)
{
    struct json_object *array = fields_array(f, "dry_sequence_breakers");
    size_t n = array != NULL ? json_object_array_length(array) : 0;
    if (array == NULL && f->error->status == 0) {
        for (size_t i = 0; i < PL_ARRAY_LEN(DEFAULT_BREAKERS); i++)
            add_breaker(breakers, DEFAULT_BREAKERS[i], strlen(DEFAULT_BREAKERS[i]));
    } else if (n == 0 || n > SAMPLING_BREAKERS_MAX) {
        fields_fail(f, "dry_sequence_breakers", "%zu strings, not 1 to %d", n,
                    SAMPLING_BREAKERS_MAX);
    }
    for (size_t i = 0; i < n && f->error->status == 0; i++) {
        struct json_object *item = json_object_array_get_idx(array, i);
        char where[48];
        (void)snprintf(where, sizeof where, "dry_sequence_breakers[%zu]", i);
        size_t bytes = (size_t)json_object_get_string_len(item);
        if (!json_object_is_type(item, json_type_string))
            fields_fail(f, where, "expected string, got %s", fields_type_name(item));
        else if (bytes == 0 || bytes > SAMPLING_BREAKER_BYTES_MAX)
            fields_fail(f, where, "%zu bytes, not 1 to %d", bytes, SAMPLING_BREAKER_BYTES_MAX);
        else
            add_breaker(breakers, json_object_get_string(item), bytes);
    }
    return f->error->status == 0;
}

static bool find_breakers(const struct resolve *x, struct breakers *breakers)
{
    int32_t count = token_count(x->vocab);
    struct engine_sampling *s = &x->r->sampling;
    x->r->lists.dry_breakers = calloc((size_t)count, sizeof *x->r->lists.dry_breakers);
    if (x->r->lists.dry_breakers == NULL)
        return out_of_memory(x->error);
    bool ok = true;
    for (int32_t id = 0; id < count && ok; id++)
        ok = add_token(x, breakers, id);
    s->dry_breakers = x->r->lists.dry_breakers;
    s->dry_words = view_of(&x->r->lists.dry_words);
    return ok;
}

static bool resolve_breakers(const struct resolve *x, const struct fields *f)
{
    struct breakers *breakers = calloc(1, sizeof *breakers);
    if (breakers == NULL)
        return out_of_memory(x->error);
    bool ok = read_breakers(f, breakers);
    if (ok && x->r->sampling.dry_multiplier > 0)
        ok = find_breakers(x, breakers);
    for (size_t i = 0; i < breakers->n; i++)
        for (size_t at = 0; at < SAMPLING_BREAKER_BYTES_MAX; at++)
            token_ids_free(&breakers->list[i].tails[at]);
    free(breakers);
    return ok;
}

/* ---- all of it ------------------------------------------------------------------------------- */

bool request_resolve_sampling(struct request *r, const struct token_vocab *vocab,
                              struct api_error *error)
{
    const struct resolve x = {.r = r, .vocab = vocab, .error = error};
    const struct fields f = {.object = r->body, .path = "", .error = error};
    const struct engine_sampling *s = &r->sampling;
    return ids_exist(&x, "allowed_token_ids", s->allowed, s->n_allowed) &&
           ids_exist(&x, "stop_token_ids", s->stop_ids, s->n_stop_ids) &&
           ids_exist(&x, "logprob_token_ids", s->logprob_ids, s->n_logprob_ids) &&
           resolve_bias(&x, &f) && resolve_bad_words(&x, &f) && resolve_breakers(&x, &f);
}

void sampling_lists_free(struct sampling_lists *lists)
{
    free(lists->bias);
    free(lists->allowed);
    free(lists->stop_ids);
    free(lists->logprob_ids);
    free(lists->dry_breakers);
    free(lists->bad_words.ids);
    free(lists->bad_words.ends);
    free(lists->dry_words.ids);
    free(lists->dry_words.ends);
    *lists = (struct sampling_lists){0};
}
