/* See client.h. */
#include "client.h"

#include <string.h>

#include "base/check.h"
#include "base/banned.h"

void client_init(struct client *client)
{
    memset(client, 0, sizeof *client);
    pthread_mutex_init(&client->mutex, NULL);
    pthread_cond_init(&client->changed, NULL);
}

void client_deinit(struct client *client)
{
    pthread_cond_destroy(&client->changed);
    pthread_mutex_destroy(&client->mutex);
}

static void add_text(struct client *c, const struct engine_event *event)
{
    PL_CHECK(c->text_bytes + event->text_bytes < CLIENT_TEXT_MAX);
    if (event->text_bytes > 0)
        memcpy(c->text + c->text_bytes, event->text, event->text_bytes);
    c->text_bytes += event->text_bytes;
}

static void on_token(struct client *c, const struct engine_event *event)
{
    PL_CHECK(c->n_ids < CLIENT_TOKENS_MAX);
    add_text(c, event);
    for (uint32_t i = 0; i < event->n_top && i < 3; i++)
        c->top[c->n_ids][i] = event->top[i];
    c->logprobs[c->n_ids] = event->logprob;
    c->ids[c->n_ids++] = event->id;
    if (c->cancel_in != NULL && c->n_ids == c->cancel_at)
        engine_cancel(c->cancel_in, c->id);
}

static void on_finish(struct client *c, const struct engine_event *event)
{
    c->n_finish++;
    c->finish = event->finish;
    c->status = event->status;
    snprintf(c->message, sizeof c->message, "%s", event->message != NULL ? event->message : "");
    snprintf(c->stop, sizeof c->stop, "%s", event->stop != NULL ? event->stop : "");
    c->prompt_tokens = event->prompt_tokens;
    c->output_tokens = event->output_tokens;
    c->cached_tokens = event->cached_tokens;
    c->draft_tokens = event->draft_tokens;
    c->accepted_tokens = event->accepted_tokens;
    c->submitted_ns = event->submitted_ns;
    c->admitted_ns = event->admitted_ns;
    c->first_ns = event->first_ns;
    c->finished_ns = event->finished_ns;
    add_text(c, event);
}

void client_take(struct client *client, const struct engine_event *event)
{
    struct client *c = client;
    pthread_mutex_lock(&c->mutex);
    c->n_after_finish += c->n_finish > 0;
    switch (event->kind) {
    case ENGINE_EVENT_PROMPT:
        c->prompt_after_token |= c->n_ids > 0;
        c->prompt_ids[c->n_prompt] = event->id;
        c->prompt_logprobs[c->n_prompt++] = event->logprob;
        break;
    case ENGINE_EVENT_TOKEN: on_token(c, event); break;
    case ENGINE_EVENT_FINISH: on_finish(c, event); break;
    }
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->mutex);
}

static void on_event(void *user, const struct engine_event *event)
{
    client_take(user, event);
}

enum pl_status client_submit(struct client *client, struct engine *engine,
                             struct engine_request request, struct pl_error *err)
{
    request.on_event = on_event;
    request.user = client;
    uint64_t id = 0;
    enum pl_status status = engine_submit(engine, &request, &id, err);
    pthread_mutex_lock(&client->mutex);
    client->id = id;
    pthread_mutex_unlock(&client->mutex);
    return status;
}

void client_wait(struct client *client)
{
    pthread_mutex_lock(&client->mutex);
    while (client->n_finish == 0)
        pthread_cond_wait(&client->changed, &client->mutex);
    pthread_mutex_unlock(&client->mutex);
}

void client_await_tokens(struct client *c, uint32_t n)
{
    pthread_mutex_lock(&c->mutex);
    while (c->n_finish == 0 && c->n_ids < n)
        pthread_cond_wait(&c->changed, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

bool client_is_finished(struct client *client)
{
    pthread_mutex_lock(&client->mutex);
    bool finished = client->n_finish > 0;
    pthread_mutex_unlock(&client->mutex);
    return finished;
}

void client_run(struct client *client, struct engine *engine, struct engine_request request)
{
    struct pl_error err = {{0}};
    enum pl_status status = client_submit(client, engine, request, &err);
    if (status != PL_OK)
        fprintf(stderr, "submit: %s\n", err.msg);
    PL_CHECK(status == PL_OK);
    client_wait(client);
}
