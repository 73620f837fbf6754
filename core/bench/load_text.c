/*
 * bench/load_text.c - prompts of random words and the JSON around them.
 */
#include "load.h"

#include <stdlib.h>

#include "base/json_writer.h"
#include "base/rng.h"

#include "base/banned.h"

/* Frequent short words: one or two tokens each in the vocabularies of today. */
static const char *const words[] = {
    "time",  "house", "river", "small", "green", "table", "night", "water", "paper", "stone",
    "light", "music", "story", "field", "road",  "hand",  "world", "point", "group", "plant",
    "start", "north", "young", "early", "sound", "place", "white", "black", "heart", "voice",
    "money", "horse", "ship",  "tree",  "bird",  "fire",  "snow",  "rain",  "wind",  "door",
    "open",  "close", "learn", "write", "read",  "build", "carry", "watch", "think", "begin",
    "after", "under", "above", "never", "often", "again", "three", "seven", "first", "last",
};

#define N_WORDS 60.0F
_Static_assert(PL_ARRAY_LEN(words) == 60, "N_WORDS");
#define SHARED_SEED 0x5a5a5a5aULL /* one text for all prompts of all runs */

static void put_words(struct buf *out, uint64_t seed, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        size_t w = (size_t)(rng_uniform(seed, 1, i) * N_WORDS);
        buf_str(out, i == 0 ? "" : " ");
        buf_str(out, words[PL_MIN(w, PL_ARRAY_LEN(words) - 1)]);
    }
}

static void message(struct json_writer *w, const char *role, const struct buf *text)
{
    json_object(w);
    json_key(w, "role");
    json_cstring(w, role);
    json_key(w, "content");
    json_string(w, text->data == NULL ? "" : text->data, text->len);
    json_object_end(w);
}

static void put_prompt(struct json_writer *w, const struct load_target *target,
                       const struct load_body *body)
{
    struct buf shared;
    struct buf own;
    buf_init(&shared, 0);
    buf_init(&own, 0);
    put_words(&shared, SHARED_SEED, body->shared_words);
    put_words(&own, body->seed, body->words);
    if (target->dialect.completions) {
        if (body->shared_words > 0)
            buf_char(&shared, ' ');
        buf_append(&shared, own.data, own.len);
        json_key(w, "prompt");
        json_string(w, shared.data == NULL ? "" : shared.data, shared.len);
    } else {
        json_key(w, "messages");
        json_array(w);
        if (body->shared_words > 0)
            message(w, "system", &shared);
        message(w, "user", &own);
        json_array_end(w);
    }
    w->out->failed = w->out->failed || shared.failed || own.failed;
    buf_deinit(&shared);
    buf_deinit(&own);
}

char *load_make_body(const struct load_target *target, const struct load_body *body, size_t *ret_n)
{
    struct buf out;
    struct json_writer w;
    buf_init(&out, 0);
    json_begin(&w, &out);
    json_object(&w);
    json_key(&w, "model");
    json_cstring(&w, target->model);
    put_prompt(&w, target, body);
    json_key(&w, "max_tokens");
    json_u64(&w, body->max_tokens);
    json_key(&w, "temperature");
    json_u64(&w, 0);
    if (!target->dialect.plain) {
        json_key(&w, "ignore_eos");
        json_bool(&w, true);
    }
    if (body->stream) {
        json_key(&w, "stream");
        json_bool(&w, true);
        json_key(&w, "stream_options");
        json_raw(&w, "{\"include_usage\":true}", sizeof "{\"include_usage\":true}" - 1);
    }
    json_object_end(&w);
    *ret_n = out.len;
    char *text = buf_take(&out);
    buf_deinit(&out);
    return text;
}
