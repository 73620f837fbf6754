/*
 * A client of the engine for tests: records every event of one request, without allocating.
 *
 * Threads: the engine thread writes, under the mutex; others read after client_wait.
 */
#ifndef UNIT_ENGINE_CLIENT_H
#define UNIT_ENGINE_CLIENT_H

#include <pthread.h>

#include "engine.h"

#define CLIENT_TOKENS_MAX 1024
#define CLIENT_TEXT_MAX   8192

struct client {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct engine *cancel_in; /* cancels itself after cancel_at tokens, if set */
    uint64_t id;
    size_t text_bytes;
    char text[CLIENT_TEXT_MAX]; /* NUL-terminated */
    char message[PL_ERROR_MAX];
    char stop[64];
    int32_t ids[CLIENT_TOKENS_MAX];
    float logprobs[CLIENT_TOKENS_MAX];
    struct engine_logprob top[CLIENT_TOKENS_MAX][3]; /* the first three alternatives */
    int32_t prompt_ids[CLIENT_TOKENS_MAX];
    float prompt_logprobs[CLIENT_TOKENS_MAX];
    uint32_t n_ids, n_prompt, n_finish, n_after_finish;
    enum engine_finish finish;
    enum pl_status status;
    uint32_t prompt_tokens, cached_tokens, output_tokens, cancel_at;
    uint32_t draft_tokens, accepted_tokens;
    int64_t submitted_ns, admitted_ns, first_ns, finished_ns;
    bool prompt_after_token;
};

void client_init(struct client *client);
void client_deinit(struct client *client);

/* Submits with on_event and user filled in. */
enum pl_status client_submit(struct client *client, struct engine *engine,
                             struct engine_request request, struct pl_error *err);

/* Records one event: for tests that hand out the events of several choices themselves. */
void client_take(struct client *client, const struct engine_event *event);

void client_wait(struct client *client);                /* until FINISH */
void client_await_tokens(struct client *c, uint32_t n); /* until n TOKEN events or FINISH */
bool client_is_finished(struct client *client);

/* Submits and waits; the submit must succeed. */
void client_run(struct client *client, struct engine *engine, struct engine_request request);

#endif
