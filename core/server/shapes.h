/*
 * server/shapes.h - the JSON of answers: whole ones and stream chunks of both endpoints.
 *
 *   envelope: id, object, created, model, system_fingerprint, choices: [...], usage
 *   whole chat        choices[i]: index, message {role, content, refusal}, logprobs, finish_reason
 *   chat chunk        choices[i]: index, delta {role?, content?}, logprobs, finish_reason
 *   completion, both  choices[i]: index, text, logprobs, finish_reason, prompt_logprobs (where asked)
 *   whole chat, at the end        prompt_logprobs (where asked)
 *
 * Threads: pure, into the caller's writer.  Source: OpenAI API reference.
 */
#ifndef SERVER_SHAPES_H
#define SERVER_SHAPES_H

#include "logprobs.h"

#define SHAPES_ID_MAX 40 /* "chatcmpl-" and 24 characters */

struct shapes_usage {
    uint64_t prompt_tokens, completion_tokens, cached_tokens;
};

/* What every object of one answer repeats. */
struct shapes_envelope {
    char id[SHAPES_ID_MAX];
    bool chat, stream;
    bool usage_null; /* stream with include_usage: "usage": null in all but the last chunk */
    int64_t created; /* Unix s */
    const char *model, *fingerprint;
};

/* A fresh id: unguessable is not needed, unique is. */
void shapes_make_id(struct shapes_envelope *e);

/* Up to the opened choices array, and from its end on. usage NULL: as the envelope says; prompt_logprobs: the
 * entries of a list, or NULL. */
void shapes_begin(const struct shapes_envelope *e, struct json_writer *w);
void shapes_end(const struct shapes_envelope *e, const struct shapes_usage *usage,
                const struct buf *prompt_logprobs, struct json_writer *w);

/* One element of choices. */
struct shapes_choice {
    uint32_t index;
    bool role;        /* chat stream: the first chunk */
    const char *text; /* NULL: an empty delta / empty text */
    size_t text_bytes;
    struct logprobs *logprobs;         /* NULL: null; else what has gathered is taken */
    const char *finish_reason;         /* NULL: null */
    const struct buf *prompt_logprobs; /* entries of a list; NULL: no such field */
};
void shapes_choice(const struct shapes_envelope *e, const struct shapes_choice *c,
                   struct json_writer *w);

#endif
