/* See call.h: a call's life; what it answers is in call_output.c. */
#include "call.h"

#include "call_state.h"
#include "prompts.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/banned.h"

#define SCRATCH_KEPT_MAX (1u << 20) /* a larger scratch buffer (an echo's logprobs) is given back */

/* ---- storage ------------------------------------------------------------------------------------ */

static void free_choice(struct choice *c)
{
    token_ids_free(&c->prompt);
    free(c->echo_text);
    buf_deinit(&c->text);
    logprobs_deinit(&c->logprobs);
}

static void free_call(struct call *call)
{
    struct server *server = call->server;
    for (uint32_t i = 0; i < call->n_choices; i++)
        free_choice(&call->choices[i]);
    free(call->choices);
    buf_deinit(&call->work);
    buf_deinit(&call->queue);
    *(call->prev != NULL ? &call->prev->next : &server->calls) = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    server->n_calls--;
    free(call);
}

static void free_if_over(struct call *call)
{
    if (call->x == NULL && call->n_open == 0)
        free_call(call);
}

static struct call *new_call(struct server *server, struct http_exchange *x,
                             const struct request *request)
{
    uint32_t n = request->kind == REQUEST_CHAT ? 1 : request->n_prompts;
    struct call *call = calloc(1, sizeof *call);
    struct choice *choices = calloc(n, sizeof *choices);
    if (call == NULL || choices == NULL) {
        free(call);
        free(choices);
        return NULL;
    }
    bool chat = request->kind == REQUEST_CHAT;
    *call = (struct call){
        .server = server,
        .x = x,
        .envelope = {.chat = chat,
                     .stream = request->stream,
                     .usage_null = request->include_usage,
                     .created = clock_unix_s(),
                     .model = server->names[0],
                     .fingerprint = server->fingerprint},
        .include_usage = request->include_usage,
        .logprobs = request->logprobs,
        .with_top = request->n_logprobs > 0,
        .arrived_ns = clock_now_ns(),
        .choices = choices,
        .n_choices = n,
        .next = server->calls,
    };
    shapes_make_id(&call->envelope);
    buf_init(&call->work, SERVER_QUEUE_BYTES_MAX);
    buf_init(&call->queue, SERVER_QUEUE_BYTES_MAX);
    for (uint32_t i = 0; i < n; i++) {
        choices[i].call = call;
        choices[i].index = i;
        buf_init(&choices[i].text, SERVER_WHOLE_BYTES_MAX);
        logprobs_init(&choices[i].logprobs, server->vocab, chat, SERVER_WHOLE_BYTES_MAX);
    }
    if (server->calls != NULL)
        server->calls->prev = call;
    server->calls = call;
    server->n_calls++;
    return call;
}

/* ---- engine thread -------------------------------------------------------------------------------- */

static void on_event(void *user, const struct engine_event *event)
{
    struct choice *c = user;
    struct call *call = c->call;
    struct server *server = call->server;
    int64_t now_ns = clock_now_ns();
    bool post = false;
    (void)pthread_mutex_lock(&server->lock);
    if (call->overflow || !event_pack(&call->queue, c->index, now_ns, event)) {
        call->overflow = true;
        c->finish_lost = c->finish_lost || event->kind == ENGINE_EVENT_FINISH;
    }
    if (!call->ready) {
        call->ready = true;
        call->ready_next = server->ready;
        post = server->ready == NULL;
        server->ready = call;
    }
    (void)pthread_mutex_unlock(&server->lock);
    /* Outside the lock: after FINISH the call may be gone by now, the server is not. */
    if (post)
        http_loop_post(server->loop, &server->drain);
}

/* ---- start ---------------------------------------------------------------------------------------- */

static struct engine_request engine_request_of(struct choice *c, const struct request *request)
{
    return (struct engine_request){
        .prompt = c->prompt.ids,
        .n_prompt = (uint32_t)c->prompt.n,
        .max_tokens = request->has_max_tokens ? (uint32_t)request->max_tokens : 0,
        .no_generation = request->has_max_tokens && request->max_tokens == 0,
        .sampling = request->sampling,
        .stops = request->stops,
        .n_stops = request->n_stops,
        .ignore_eos = request->ignore_eos,
        .logprobs = request->logprobs,
        .prompt_logprobs = request->logprobs && request->echo,
        .n_logprobs = request->n_logprobs,
        .on_event = on_event,
        .user = c,
    };
}

static bool submit_all(struct call *call, const struct request *request, struct api_error *error)
{
    const char *param = call->envelope.chat ? "messages" : "prompt";
    for (uint32_t i = 0; i < call->n_choices; i++) {
        struct choice *c = &call->choices[i];
        struct engine_request engine_request = engine_request_of(c, request);
        struct pl_error err = {0};
        uint64_t id = 0;
        enum pl_status status = engine_submit(call->server->engine, &engine_request, &id, &err);
        if (status != PL_OK) {
            server_status_error(status, &err, status == PL_ELIMIT ? param : NULL, error);
            if (status == PL_ELIMIT)
                error->code = "context_length_exceeded";
            return false;
        }
        c->engine_id = id;
        call->n_open++;
        token_ids_free(&c->prompt); /* the engine has its copy */
        if (request->has_max_tokens)
            metrics_observe(&call->server->metrics.max_tokens, METRICS_COUNT,
                            (double)request->max_tokens);
    }
    return true;
}

static void on_gone(void *user)
{
    struct call *call = user;
    call->x = NULL;
    call_cancel(call);
    free_if_over(call);
}

static void start_parsed(struct server *server, struct http_exchange *x, struct request *request)
{
    struct api_error error = {0};
    struct call *call = NULL;
    bool ok = server_check_model(server, request->model, &error) &&
              prompts_check_bias(server, request, &error);
    if (ok) {
        call = new_call(server, x, request);
        if (call == NULL)
            api_error_set(&error, 500, NULL, "out of memory");
        ok = call != NULL && prompts_make(call, request, &error) &&
             submit_all(call, request, &error);
    }
    if (ok) {
        http_exchange_on_close(x, on_gone, call);
    } else if (call != NULL) {
        call_fail(call, &error);
        free_if_over(call);
    } else {
        server_reply_error(x, &error);
    }
}

void call_start(struct server *server, struct http_exchange *x, enum request_kind kind)
{
    struct http_slice body = http_exchange_body(x);
    struct api_error error = {0};
    struct request request;
    if (!request_parse(kind, body.data, body.n, &request, &error)) {
        server_reply_error(x, &error);
        return;
    }
    start_parsed(server, x, &request);
    request_deinit(&request);
}

/* ---- loop thread: events -------------------------------------------------------------------------- */

static void observe_token(struct choice *c, int64_t at_ns)
{
    struct metrics *m = &c->call->server->metrics;
    if (c->first_ns == 0) {
        c->first_ns = at_ns;
        metrics_observe(&m->ttft_s, METRICS_TTFT, (double)(at_ns - c->call->arrived_ns) / 1e9);
    } else {
        metrics_observe(&m->itl_s, METRICS_ITL, (double)(at_ns - c->last_ns) / 1e9);
    }
    c->last_ns = at_ns;
}

static void observe_finish(struct choice *c, const struct engine_event *event, int64_t at_ns)
{
    struct metrics *m = &c->call->server->metrics;
    m->queried_tokens += event->prompt_tokens;
    m->cached_tokens += event->cached_tokens;
    if (event->finish != ENGINE_FINISH_STOP && event->finish != ENGINE_FINISH_LENGTH)
        return;
    metrics_observe(&m->prompt, METRICS_COUNT, event->prompt_tokens);
    metrics_observe(&m->output, METRICS_COUNT, event->output_tokens);
    metrics_observe(&m->e2e_s, METRICS_E2E, (double)(at_ns - c->call->arrived_ns) / 1e9);
    if (event->output_tokens > 1) {
        metrics_observe(&m->tpot_s, METRICS_ITL,
                        (double)(c->last_ns - c->first_ns) / 1e9 / (event->output_tokens - 1));
    }
}

static void finish_choice(struct choice *c)
{
    if (c->finished)
        return;
    c->finished = true;
    c->call->n_open--;
}

static void handle_record(struct call *call, const struct event_record *record)
{
    struct choice *c = &call->choices[record->choice_i];
    const struct engine_event *event = &record->event;
    switch (event->kind) {
    case ENGINE_EVENT_PROMPT:
        if (call->x != NULL)
            call_on_prompt(c, event);
        break;
    case ENGINE_EVENT_TOKEN:
        observe_token(c, record->at_ns);
        if (call->x != NULL)
            call_on_token(c, event);
        break;
    case ENGINE_EVENT_FINISH:
        observe_finish(c, event, record->at_ns);
        finish_choice(c);
        call_on_finish(c, event);
        break;
    }
}

static void give_up(struct call *call)
{
    struct api_error error = {0};
    api_error_set(&error, 500, NULL, "events came faster than they could be handled");
    call_fail(call, &error);
    for (uint32_t i = 0; i < call->n_choices; i++) {
        if (call->choices[i].finish_taken)
            finish_choice(&call->choices[i]);
    }
}

/* Takes what the engine thread has queued for a call that was on the ready list. All of it at once: what
 * comes later puts the call on the list again, so that a call whose last FINISH was taken is on no list. */
static bool take_queue(struct call *call, struct call **ret_next)
{
    struct server *server = call->server;
    (void)pthread_mutex_lock(&server->lock);
    *ret_next = call->ready_next;
    call->ready = false;
    struct buf taken = call->queue;
    call->queue = call->work;
    call->work = taken;
    bool overflow = call->overflow;
    for (uint32_t i = 0; overflow && i < call->n_choices; i++)
        call->choices[i].finish_taken = call->choices[i].finish_lost;
    (void)pthread_mutex_unlock(&server->lock);
    return overflow;
}

static void handle_call(struct call *call, bool overflow)
{
    struct event_record record;
    size_t at = 0;
    while (event_unpack(&call->work, &at, &record))
        handle_record(call, &record);
    buf_clear(&call->work);
    if (overflow)
        give_up(call);
    if (call->n_open == 0)
        call_finish_output(call);
    free_if_over(call);
}

void call_drain(void *user)
{
    struct server *server = user;
    (void)pthread_mutex_lock(&server->lock);
    struct call *call = server->ready;
    server->ready = NULL;
    (void)pthread_mutex_unlock(&server->lock);
    while (call != NULL) {
        struct call *next = NULL;
        bool overflow = take_queue(call, &next);
        handle_call(call, overflow);
        call = next;
    }
    if (server->scratch.capacity > SCRATCH_KEPT_MAX)
        buf_deinit(&server->scratch);
}

void call_free_all(struct server *server)
{
    for (struct call *call = server->calls, *next; call != NULL; call = next) {
        next = call->next;
        free_call(call);
    }
}
