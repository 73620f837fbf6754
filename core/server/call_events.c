/* See call.h: events from the engine thread to the loop, and what is counted on the way. */
#include "call_state.h"

#include "base/clock.h"
#include "base/banned.h"

#define SCRATCH_KEPT_MAX (1u << 20) /* a larger scratch buffer (an echo's logprobs) is given back */

/* ---- engine thread ---------------------------------------------------------------------------------- */

void call_on_event(void *user, const struct engine_event *event)
{
    struct call_prompt *p = user;
    struct call *call = p->call;
    struct server *server = call->server;
    uint32_t choice_i = p->index * call->n_made + event->choice;
    int64_t now_ns = clock_now_ns();
    bool post = false;
    (void)pthread_mutex_lock(&server->lock);
    if (call->overflow || !event_pack(&call->queue, choice_i, now_ns, event)) {
        struct choice *c = &call->choices[choice_i];
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

/* ---- loop thread: figures --------------------------------------------------------------------------- */

static void observe_span(struct metrics_histogram *h, int64_t from_ns, int64_t to_ns)
{
    if (from_ns > 0 && to_ns >= from_ns)
        metrics_observe(h, METRICS_PHASE, (double)(to_ns - from_ns) / 1e9);
}

static void observe_token(struct choice *c, int64_t at_ns)
{
    struct call_prompt *p = c->prompt;
    struct metrics *m = &p->call->server->metrics;
    if (p->first_ns == 0) {
        p->first_ns = at_ns;
        metrics_observe(&m->ttft_s, METRICS_TTFT, (double)(at_ns - p->call->arrived_ns) / 1e9);
    }
    if (c->last_ns != 0)
        metrics_observe(&m->itl_s, METRICS_ITL, (double)(at_ns - c->last_ns) / 1e9);
    else
        c->first_ns = at_ns;
    c->last_ns = at_ns;
}

/* What is told once for a request, when its last text has ended. */
static void observe_request(struct call_prompt *p, const struct engine_event *event)
{
    struct metrics *m = &p->call->server->metrics;
    struct tenant *tenant = &m->tenants.rows[p->call->tenant_row];
    tenant->prompt_tokens += event->prompt_tokens;
    tenant->cached_tokens += event->cached_tokens;
    if (event->status == PL_ETIMEDOUT) {
        m->deadline_missed++;
        tenant->refused++;
    }
    if (event->finish != ENGINE_FINISH_STOP && event->finish != ENGINE_FINISH_LENGTH)
        return;
    metrics_observe(&m->prompt, METRICS_COUNT, event->prompt_tokens);
    metrics_observe(&m->longest, METRICS_COUNT, p->longest_tokens);
    observe_span(&m->queue_s, event->submitted_ns, event->admitted_ns);
    observe_span(&m->prefill_s, event->admitted_ns, event->first_ns);
}

static void observe_finish(struct choice *c, const struct engine_event *event, int64_t at_ns)
{
    struct call_prompt *p = c->prompt;
    struct metrics *m = &p->call->server->metrics;
    m->tenants.rows[p->call->tenant_row].output_tokens += event->output_tokens;
    p->longest_tokens = PL_MAX(p->longest_tokens, event->output_tokens);
    if (event->finish != ENGINE_FINISH_STOP && event->finish != ENGINE_FINISH_LENGTH)
        return;
    metrics_observe(&m->output, METRICS_COUNT, event->output_tokens);
    metrics_observe(&m->e2e_s, METRICS_PHASE, (double)(at_ns - p->call->arrived_ns) / 1e9);
    observe_span(&m->decode_s, event->first_ns, event->finished_ns);
    observe_span(&m->inference_s, event->admitted_ns, event->finished_ns);
    if (event->output_tokens > 1) {
        metrics_observe(&m->tpot_s, METRICS_ITL,
                        (double)(c->last_ns - c->first_ns) / 1e9 / (event->output_tokens - 1));
    }
}

/* ---- loop thread: events ---------------------------------------------------------------------------- */

/* Whether it was the last one of its prompt. */
static bool finish_choice(struct choice *c)
{
    if (c->finished)
        return false;
    c->finished = true;
    c->prompt->call->n_open--;
    return --c->prompt->n_open == 0;
}

static void handle_record(struct call *call, const struct event_record *record)
{
    struct choice *c = &call->choices[record->choice_i];
    const struct engine_event *event = &record->event;
    switch (event->kind) {
    case ENGINE_EVENT_PROMPT:
        if (call->x != NULL)
            call_on_prompt(c->prompt, event);
        break;
    case ENGINE_EVENT_TOKEN:
        observe_token(c, record->at_ns);
        if (call->x != NULL)
            call_on_token(c, event);
        break;
    case ENGINE_EVENT_FINISH:
        observe_finish(c, event, record->at_ns);
        if (finish_choice(c))
            observe_request(c->prompt, event);
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
            (void)finish_choice(&call->choices[i]);
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

void call_free_if_over(struct call *call)
{
    if (call->x == NULL && call->n_open == 0)
        call_free(call);
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
    call_free_if_over(call);
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
        call_free(call);
    }
}
