/* See shapes.h. */
#include "shapes.h"

#include <stdio.h>

#include "base/rng.h"
#include "base/banned.h"

#define ID_CHARS 24 /* of 36: 124 bits */

void shapes_make_id(struct shapes_envelope *e)
{
    static const char DIGITS[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    size_t at = (size_t)snprintf(e->id, sizeof e->id, "%s", e->chat ? "chatcmpl-" : "cmpl-");
    for (size_t i = 0; i < ID_CHARS;) {
        uint64_t bits = rng_entropy();
        for (size_t j = 0; j < 12 && i < ID_CHARS; j++, i++) {
            e->id[at++] = DIGITS[bits % 36];
            bits /= 36;
        }
    }
    e->id[at] = '\0';
}

static const char *object_name(const struct shapes_envelope *e)
{
    if (!e->chat)
        return "text_completion";
    return e->stream ? "chat.completion.chunk" : "chat.completion";
}

void shapes_begin(const struct shapes_envelope *e, struct json_writer *w)
{
    json_object(w);
    json_key(w, "id");
    json_cstring(w, e->id);
    json_key(w, "object");
    json_cstring(w, object_name(e));
    json_key(w, "created");
    json_i64(w, e->created);
    json_key(w, "model");
    json_cstring(w, e->model);
    json_key(w, "system_fingerprint");
    json_cstring(w, e->fingerprint);
    json_key(w, "choices");
    json_array(w);
}

static void write_usage(const struct shapes_usage *usage, struct json_writer *w)
{
    json_object(w);
    json_key(w, "prompt_tokens");
    json_u64(w, usage->prompt_tokens);
    json_key(w, "completion_tokens");
    json_u64(w, usage->completion_tokens);
    json_key(w, "total_tokens");
    json_u64(w, usage->prompt_tokens + usage->completion_tokens);
    json_key(w, "prompt_tokens_details");
    json_object(w);
    json_key(w, "cached_tokens");
    json_u64(w, usage->cached_tokens);
    json_object_end(w);
    json_object_end(w);
}

static void write_prompt_logprobs(const struct buf *list, struct json_writer *w)
{
    if (list == NULL)
        return;
    json_key(w, "prompt_logprobs");
    json_array(w);
    if (list->len > 0)
        json_raw(w, list->data, list->len);
    json_array_end(w);
    if (list->failed)
        w->out->failed = true;
}

void shapes_end(const struct shapes_envelope *e, const struct shapes_usage *usage,
                const struct buf *prompt_logprobs, struct json_writer *w)
{
    json_array_end(w);
    write_prompt_logprobs(prompt_logprobs, w);
    if (usage != NULL) {
        json_key(w, "usage");
        write_usage(usage, w);
    } else if (e->usage_null) {
        json_key(w, "usage");
        json_null(w);
    }
    json_object_end(w);
}

static void write_delta(const struct shapes_choice *c, struct json_writer *w)
{
    json_key(w, "delta");
    json_object(w);
    if (c->role) {
        json_key(w, "role");
        json_cstring(w, "assistant");
    }
    if (c->text != NULL) {
        json_key(w, "content");
        json_string(w, c->text, c->text_bytes);
    }
    json_object_end(w);
}

static void write_message(const struct shapes_choice *c, struct json_writer *w)
{
    json_key(w, "message");
    json_object(w);
    json_key(w, "role");
    json_cstring(w, "assistant");
    json_key(w, "content");
    json_string(w, c->text != NULL ? c->text : "", c->text_bytes);
    json_key(w, "refusal");
    json_null(w);
    json_object_end(w);
}

void shapes_choice(const struct shapes_envelope *e, const struct shapes_choice *c,
                   struct json_writer *w)
{
    json_object(w);
    json_key(w, "index");
    json_u64(w, c->index);
    if (!e->chat) {
        json_key(w, "text");
        json_string(w, c->text != NULL ? c->text : "", c->text_bytes);
    } else if (e->stream) {
        write_delta(c, w);
    } else {
        write_message(c, w);
    }
    json_key(w, "logprobs");
    if (c->logprobs != NULL)
        logprobs_take(c->logprobs, w);
    else
        json_null(w);
    json_key(w, "finish_reason");
    json_cstring(w, c->finish_reason);
    write_prompt_logprobs(c->prompt_logprobs, w);
    json_object_end(w);
}
