/* From logits to events: sampling, detokenising, stop strings, log probabilities; see impl.h. */
#include "impl.h"

#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/banned.h"

/* ---- log probabilities ----------------------------------------------------------------------- */

static void take_top(struct engine_event *event, const struct sample_logprob *found, uint32_t n,
                     struct engine_logprob *top)
{
    for (uint32_t i = 0; i < n; i++)
        top[i] = (struct engine_logprob){.id = found[i].id, .logprob = found[i].logprob};
    event->top = top;
    event->n_top = n;
}

/* Fills an event's logprob and alternatives; top [ENGINE_LOGPROBS_MAX] must live as long as the event. */
static void fill_logprobs(const struct engine *engine, const struct request *r, const float *logits,
                          struct engine_logprob *top, struct engine_event *event)
{
    struct sample_logprob found[ENGINE_LOGPROBS_MAX];
    sample_logprobs(logits, engine->n_vocab, event->id, found, r->n_logprobs, &event->logprob);
    take_top(event, found, r->n_logprobs, top);
}

/* The same for a token that was just drawn. */
static void fill_token_logprobs(const struct engine *engine, const struct choice *c,
                                const float *logits, struct engine_logprob *top,
                                struct engine_event *event)
{
    const struct sampling_extras *x = &c->extras;
    struct sample_logprob found[ENGINE_LOGPROBS_MAX];
    uint32_t n = c->request->n_logprobs;
    if (x->n_logprob_ids > 0) {
        n = x->n_logprob_ids;
        for (uint32_t i = 0; i < n; i++)
            found[i].id = x->logprob_ids[i];
        sample_logprobs_of(logits, engine->n_vocab, event->id, found, n, &event->logprob);
    } else if (x->final_logprobs) {
        n = sample_final_logprobs(engine->scratch, event->id, found, n, &event->logprob);
    } else {
        sample_logprobs(logits, engine->n_vocab, event->id, found, n, &event->logprob);
    }
    take_top(event, found, n, top);
}

void deliver_prompt_first(struct request *request)
{
    if (!request->prompt_logprobs || request->n_prompt_out > 0)
        return;
    struct engine_event event = {
        .kind = ENGINE_EVENT_PROMPT,
        .id = request->choices[0].tokens[0],
        .logprob = NAN,
    };
    request->n_prompt_out = 1;
    request->on_event(request->user, &event);
}

void deliver_prompt(struct engine *engine, struct choice *c, const float *logits, uint32_t n_rows)
{
    struct engine_logprob top[ENGINE_LOGPROBS_MAX];
    struct request *r = c->request;
    deliver_prompt_first(r);
    for (uint32_t i = 0; i < n_rows && r->n_prompt_out < r->n_prompt; i++) {
        struct engine_event event = {
            .kind = ENGINE_EVENT_PROMPT,
            .id = c->tokens[r->n_prompt_out],
        };
        fill_logprobs(engine, r, logits + (size_t)i * engine->n_vocab, top, &event);
        r->n_prompt_out++;
        r->on_event(r->user, &event);
    }
    /* Should the sequence be computed again, these rows are not wanted again. */
    c->seq.out_from = r->n_prompt_out < r->n_prompt ? r->n_prompt_out - 1 : SCHED_OUT_LAST;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Text through the stop matcher into engine->stop_text; the stop string that ended it, or NULL. */
static const char *pass_stops(struct engine *engine, struct choice *c, const char *text, size_t n,
                              size_t *ret_n)
{
    if (c->n_output <= c->sampling.min_tokens && c->stop.n_held == 0) {
        memcpy(engine->stop_text, text, n); /* too early to stop */
        *ret_n = n;
        return NULL;
    }
    int i = stop_push(&c->stop, text, n, engine->stop_text, ret_n);
    if (i < 0)
        return NULL;
    if (c->extras.include_stop)
        *ret_n += c->stop.strings[i].n; /* it lies behind the text */
    return c->stop.strings[i].text;
}

/* End of generation: what was held back, in engine->stop_text. The rest of a cut character leaves as
 * U+FFFD, which may complete a stop string: that one is returned. */
static const char *flush_text(struct engine *engine, struct choice *c, size_t *ret_n)
{
    size_t n = token_stream_end(&c->stream, engine->piece_text);
    const char *stop = pass_stops(engine, c, engine->piece_text, n, ret_n);
    if (stop == NULL)
        *ret_n += stop_end(&c->stop, engine->stop_text + *ret_n);
    return stop;
}

/* ---- finish ---------------------------------------------------------------------------------- */

/* The choice leaves; with the last one the request does. True if it did. */
static bool leave(struct engine *engine, struct choice *c)
{
    struct request *r = c->request;
    if (c->seq.state != SCHED_OUTSIDE)
        sched_remove(engine->sched, &c->seq);
    c->finished = true;
    r->n_open--;
    bool last = r->n_open == 0;
    if (last && r->tenant != NULL)
        sched_tenant_leave(engine->sched, r->tenant);
    pthread_mutex_lock(&engine->mutex);
    engine->n_inside--;
    if (last) {
        uint32_t slot = (uint32_t)(r->id % engine->n_slots);
        PL_CHECK(engine->slots[slot] == r);
        engine->slots[slot] = NULL;
        engine->n_requests--;
        engine->free_slots[engine->n_slots - engine->n_requests - 1] = slot;
    }
    pthread_mutex_unlock(&engine->mutex);
    return last;
}

/* Sends the FINISH event; with the last choice's the request is freed. */
static void send_finish(struct engine *engine, struct choice *c, struct engine_event *event)
{
    struct request *r = c->request;
    event->kind = ENGINE_EVENT_FINISH;
    event->choice = c->index;
    event->prompt_tokens = r->n_prompt;
    event->cached_tokens = r->n_cached;
    event->output_tokens = c->n_output;
    event->draft_tokens = c->draft_tokens;
    event->accepted_tokens = c->accepted_tokens;
    event->submitted_ns = r->submitted_ns;
    event->admitted_ns = r->admitted_ns;
    event->first_ns = c->first_ns;
    event->finished_ns = clock_now_ns();
    bool last = leave(engine, c);
    engine->counting.stats.finished[event->finish]++;
    engine_publish(engine);
    r->on_event(r->user, event);
    if (last)
        request_free(r);
}

void deliver_finish(struct engine *engine, struct choice *c, enum engine_finish finish,
                    enum pl_status status, const char *message)
{
    struct engine_event event = {
        .finish = finish,
        .status = status,
        .message = message,
        .text = "",
    };
    send_finish(engine, c, &event);
}

void deliver_finish_all(struct engine *engine, struct request *request, enum engine_finish finish,
                        enum pl_status status, const char *message)
{
    uint32_t n_open = request->n_open; /* the request is gone after the last of them */
    for (uint32_t i = 0; n_open > 0; i++) {
        if (request->choices[i].finished)
            continue;
        n_open--;
        deliver_finish(engine, &request->choices[i], finish, status, message);
    }
}

/* The generation came to an end of itself. */
static void end_text(struct engine *engine, struct choice *c, enum engine_finish finish)
{
    struct engine_event event = {.finish = finish, .text = engine->stop_text};
    event.stop = flush_text(engine, c, &event.text_bytes);
    if (event.stop != NULL)
        event.finish = ENGINE_FINISH_STOP;
    send_finish(engine, c, &event);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/* Sends the TOKEN event; the stop string that ends the text, or NULL. */
static const char *send_token(struct engine *engine, struct choice *c, int32_t id,
                              const float *logits)
{
    struct engine_logprob top[ENGINE_LOGPROBS_MAX];
    const struct request *r = c->request;
    struct engine_event event = {
        .kind = ENGINE_EVENT_TOKEN, .choice = c->index, .id = id, .text = engine->stop_text};
    struct gguf_str piece = token_piece(engine->vocab, id, r->special_text);
    size_t n = token_stream_push(&c->stream, piece.data, piece.len, engine->piece_text);
    const char *stop = pass_stops(engine, c, engine->piece_text, n, &event.text_bytes);
    if (r->logprobs)
        fill_token_logprobs(engine, c, logits, top, &event);
    r->on_event(r->user, &event);
    return stop;
}

static enum pl_status sample(struct engine *engine, const struct choice *c, const float *logits,
                             int32_t *ret_id, struct pl_error *err)
{
    const struct sample_history history = {
        .ids = c->tokens,
        .n_prompt = c->request->n_prompt,
        .n = c->request->n_prompt + c->n_output,
    };
    enum pl_status status = sample_check_logits(logits, engine->n_vocab, err);
    if (status == PL_OK)
        status = sample_token(engine->scratch, logits, &c->sampling, &history, ret_id, err);
    return status;
}

bool deliver_token(struct engine *engine, struct choice *c, const float *logits, int32_t *ret_id)
{
    struct request *r = c->request;
    struct pl_error err;
    int32_t id = 0;
    enum pl_status status = sample(engine, c, logits, &id, &err);
    if (status != PL_OK) {
        deliver_finish(engine, c, ENGINE_FINISH_ERROR, status, err.msg);
        return false;
    }
    c->tokens[r->n_prompt + c->n_output] = id;
    c->n_output++;
    engine->counting.stats.generated_tokens++;
    if (c->first_ns == 0)
        c->first_ns = clock_now_ns();
    bool stop_id = sample_is_stop(&c->sampling, id);
    if ((stop_id && !c->extras.include_stop) ||
        (!stop_id && !r->ignore_eos && token_is_eog(engine->vocab, id))) {
        end_text(engine, c, ENGINE_FINISH_STOP);
        return false;
    }
    const char *stop = send_token(engine, c, id, logits);
    if (stop != NULL) {
        struct engine_event event = {.finish = ENGINE_FINISH_STOP, .stop = stop, .text = ""};
        send_finish(engine, c, &event);
        return false;
    }
    if (stop_id) {
        end_text(engine, c, ENGINE_FINISH_STOP);
        return false;
    }
    if (r->n_prompt + c->n_output == r->n_limit) {
        end_text(engine, c, ENGINE_FINISH_LENGTH);
        return false;
    }
    *ret_id = id;
    return true;
}
