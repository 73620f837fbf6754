/*
 * server/request.h - an API request, read from JSON and checked field by field.
 *
 *   body bytes -> json_check -> json-c tree -> request_parse -> struct request
 *
 * Unknown fields are ignored, as SDKs add some; known ones must have the right type and range, and what
 * this server cannot do (suffix, response_format, forced tool calls) is refused by name rather than
 * dropped. Nothing here knows the model; ids and lengths are checked when the prompt is made.
 *
 * Ownership: a request owns the JSON tree that its strings point into; request_deinit frees all.
 * Threads: one owner.  Errors: api_error.  Limits: server_limits.h, ENGINE_*_MAX.
 * Source: OpenAI API reference; vLLM's and llama-server's further sampling fields.
 */
#ifndef SERVER_REQUEST_H
#define SERVER_REQUEST_H

#include "fields.h"
#include "request_sampling.h"

#include "engine.h"

enum request_kind {
    REQUEST_CHAT,
    REQUEST_COMPLETION,
};

/* One prompt of a completion: text, or ids where text is NULL. */
struct request_prompt {
    const char *text;
    size_t text_bytes;
    int32_t *ids; /* owned */
    size_t n_ids;
};

struct request {
    enum request_kind kind;
    uint32_t n_stops;
    struct json_object *body;        /* owned */
    const char *model;               /* NULL: whichever is served */
    struct engine_sampling sampling; /* complete after request_resolve_sampling */
    struct sampling_lists lists;     /* what it points at */
    const char *stops[ENGINE_STOPS_MAX];
    int64_t max_tokens;     /* where has_max_tokens */
    int64_t priority;       /* as the body says; whether it is believed is the hop's matter */
    const char *cache_salt; /* NULL: none */
    size_t cache_salt_bytes;
    uint32_t n, best_of;                    /* texts per prompt: told, made; 1 <= n <= best_of */
    uint32_t n_logprobs, n_prompt_logprobs; /* alternatives */
    bool has_max_tokens; /* else until the context's end (chat) or 16 (completions) */
    bool stream, include_usage, ignore_eos;
    bool special_text; /* control tokens are told */
    bool logprobs, prompt_logprobs;
    /* completions */
    bool echo;
    uint32_t n_prompts;
    struct request_prompt *prompts; /* owned */
    /* chat */
    struct json_object *messages, *tools, *tool_choice, *template_kwargs; /* in body, or NULL */
    bool add_generation_prompt;
};

/* defaults: sampling where the request says nothing. On failure *error says why and nothing is kept; true
 * means success. */
PL_NODISCARD bool request_parse(enum request_kind kind, const char *text, size_t n,
                                const struct engine_sampling *defaults, struct request *ret,
                                struct api_error *error);
void request_deinit(struct request *request);

/* Reads an array of token ids (>= 0); false and an error naming path[i]. *ret is malloc'ed. */
PL_NODISCARD bool request_ids(struct json_object *array, const char *path, int32_t **ret,
                              size_t *ret_n, struct api_error *error);

/* The chat part alone: messages, tools, template options. Also for /apply-template. */
void request_parse_chat(const struct fields *f, struct request *ret);

#endif
