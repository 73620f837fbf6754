/* From logits to events: sampling, detokenising, stop strings, log probabilities; see impl.h. */
#include "impl.h"

#include <math.h>

#include "base/check.h"
#include "base/banned.h"

/* ---- log probabilities ----------------------------------------------------------------------- */

/* Fills an event's logprob and alternatives; top [ENGINE_LOGPROBS_MAX] must live as long as the event. */
static void fill_logprobs(const struct engine *engine, const struct request *r, const float *logits,
                          struct engine_logprob *top, struct engine_event *event)
{
    struct sample_logprob found[ENGINE_LOGPROBS_MAX];
    sample_logprobs(logits, engine->n_vocab, event->id, found, r->n_logprobs, &event->logprob);
    for (uint32_t i = 0; i < r->n_logprobs; i++)
        top[i] = (struct engine_logprob){.id = found[i].id, .logprob = found[i].logprob};
    event->top = top;
    event->n_top = r->n_logprobs;
}

void deliver_prompt_first(struct request *request)
{
    if (!request->prompt_logprobs || request->n_prompt_out > 0)
        return;
    struct engine_event event = {
        .kind = ENGINE_EVENT_PROMPT,
        .id = request->tokens[0],
        .logprob = NAN,
    };
    request->n_prompt_out = 1;
    request->on_event(request->user, &event);
}

void deliver_prompt(struct engine *engine, struct request *request, const float *logits,
                    uint32_t n_rows)
{
    struct engine_logprob top[ENGINE_LOGPROBS_MAX];
    struct request *r = request;
    deliver_prompt_first(r);
    for (uint32_t i = 0; i < n_rows && r->n_prompt_out < r->n_prompt; i++) {
        struct engine_event event = {
            .kind = ENGINE_EVENT_PROMPT,
            .id = r->tokens[r->n_prompt_out],
        };
        fill_logprobs(engine, r, logits + (size_t)i * engine->n_vocab, top, &event);
        r->n_prompt_out++;
        r->on_event(r->user, &event);
    }
    /* Should the sequence be computed again, these rows are not wanted again. */
    r->seq.out_from = r->n_prompt_out < r->n_prompt ? r->n_prompt_out - 1 : SCHED_OUT_LAST;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Text through the stop matcher into engine->stop_text; the stop string that ended it, or NULL. */
static const char *pass_stops(struct engine *engine, struct request *r, const char *text, size_t n,
                              size_t *ret_n)
{
    int i = stop_push(&r->stop, text, n, engine->stop_text, ret_n);
    return i < 0 ? NULL : r->stop.strings[i].text;
}

/* End of generation: what was held back, in engine->stop_text. The rest of a cut character leaves as
 * U+FFFD, which may complete a stop string: that one is returned. */
static const char *flush_text(struct engine *engine, struct request *r, size_t *ret_n)
{
    size_t n = token_stream_end(&r->stream, engine->piece_text);
    const char *stop = pass_stops(engine, r, engine->piece_text, n, ret_n);
    if (stop == NULL)
        *ret_n += stop_end(&r->stop, engine->stop_text + *ret_n);
    return stop;
}

/* ---- finish ---------------------------------------------------------------------------------- */

static void count_finish(struct engine *engine, enum engine_finish finish)
{
    atomic_fetch_add_explicit(&engine->counters.finished[finish], 1, memory_order_relaxed);
    engine_publish(engine);
}

static void leave(struct engine *engine, struct request *r)
{
    if (r->seq.state != SCHED_OUTSIDE)
        sched_remove(&engine->sched, &r->seq);
    pthread_mutex_lock(&engine->mutex);
    uint32_t slot = (uint32_t)(r->id % engine->n_slots);
    PL_CHECK(engine->slots[slot] == r);
    engine->slots[slot] = NULL;
    engine->n_inside--;
    engine->free_slots[engine->n_slots - engine->n_inside - 1] = slot;
    atomic_store_explicit(&engine->counters.inside, engine->n_inside, memory_order_relaxed);
    pthread_mutex_unlock(&engine->mutex);
}

/* Sends the FINISH event and frees the request. */
static void send_finish(struct engine *engine, struct request *r, struct engine_event *event)
{
    event->kind = ENGINE_EVENT_FINISH;
    event->prompt_tokens = r->n_prompt;
    event->output_tokens = r->n_output;
    leave(engine, r);
    count_finish(engine, event->finish);
    r->on_event(r->user, event);
    request_free(r);
}

void deliver_finish(struct engine *engine, struct request *request, enum engine_finish finish,
                    enum pl_status status, const char *message)
{
    struct engine_event event = {
        .finish = finish,
        .status = status,
        .message = message,
        .text = "",
    };
    send_finish(engine, request, &event);
}

/* The generation came to an end of itself. */
static void end_text(struct engine *engine, struct request *r, enum engine_finish finish)
{
    struct engine_event event = {.finish = finish, .text = engine->stop_text};
    event.stop = flush_text(engine, r, &event.text_bytes);
    if (event.stop != NULL)
        event.finish = ENGINE_FINISH_STOP;
    send_finish(engine, r, &event);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/* Sends the TOKEN event; the stop string that ends the text, or NULL. */
static const char *send_token(struct engine *engine, struct request *r, int32_t id,
                              const float *logits)
{
    struct engine_logprob top[ENGINE_LOGPROBS_MAX];
    struct engine_event event = {.kind = ENGINE_EVENT_TOKEN, .id = id, .text = engine->stop_text};
    struct gguf_str piece = token_piece(engine->vocab, id, r->special_text);
    size_t n = token_stream_push(&r->stream, piece.data, piece.len, engine->piece_text);
    const char *stop = pass_stops(engine, r, engine->piece_text, n, &event.text_bytes);
    if (r->logprobs)
        fill_logprobs(engine, r, logits, top, &event);
    r->on_event(r->user, &event);
    return stop;
}

void deliver_token(struct engine *engine, struct request *request, const float *logits)
{
    struct request *r = request;
    struct sample_history history = {
        .ids = r->tokens,
        .n_prompt = r->n_prompt,
        .n = r->n_prompt + r->n_output,
    };
    struct pl_error err;
    int32_t id = 0;
    enum pl_status status = sample_check_logits(logits, engine->n_vocab, &err);
    if (status == PL_OK)
        status = sample_token(engine->scratch, logits, &r->sampling, &history, &id, &err);
    if (status != PL_OK) {
        deliver_finish(engine, r, ENGINE_FINISH_ERROR, status, err.msg);
        return;
    }
    r->tokens[history.n] = id;
    r->n_output++;
    engine->generated_tokens++;
    if (!r->ignore_eos && token_is_eog(engine->vocab, id)) {
        end_text(engine, r, ENGINE_FINISH_STOP);
        return;
    }
    const char *stop = send_token(engine, r, id, logits);
    if (stop != NULL) {
        struct engine_event event = {.finish = ENGINE_FINISH_STOP, .stop = stop, .text = ""};
        send_finish(engine, r, &event);
    } else if (r->n_prompt + r->n_output == r->n_limit) {
        end_text(engine, r, ENGINE_FINISH_LENGTH);
    } else {
        sched_append(&engine->sched, &r->seq);
    }
}
