/* The engine thread: sleeps, takes what callers left, steps; see impl.h. */
#include "impl.h"

#include "base/banned.h"

void engine_publish(struct engine *engine)
{
    struct counters *c = &engine->counters;
    const struct sched *sched = &engine->sched;
    atomic_store_explicit(&c->running, sched->running.n, memory_order_relaxed);
    atomic_store_explicit(&c->blocks_used, engine->pool.n_blocks - engine->pool.n_free,
                          memory_order_relaxed);
    atomic_store_explicit(&c->preemptions, sched->n_preemptions, memory_order_relaxed);
    atomic_store_explicit(&c->prompt_tokens, engine->prompt_tokens, memory_order_relaxed);
    atomic_store_explicit(&c->generated_tokens, engine->generated_tokens, memory_order_relaxed);
    atomic_store_explicit(&c->steps, engine->steps, memory_order_relaxed);
}

/* What callers left since the last look. */
struct mail {
    struct request *submitted; /* list, in order of arrival */
    bool cancels;
    bool closing;
};

static bool sched_is_empty(const struct engine *engine)
{
    return engine->sched.running.n + engine->sched.waiting.n == 0;
}

/* Takes the mail; sleeps while there is none and nothing to step. */
static struct mail take_mail(struct engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    while (!engine->closing && sched_is_empty(engine) &&
           (engine->exclusive || (engine->inbox_first == NULL && !engine->cancel_pending))) {
        engine->parked = true;
        pthread_cond_broadcast(&engine->parked_changed);
        pthread_cond_wait(&engine->wake, &engine->mutex);
    }
    engine->parked = false;
    struct mail mail = {
        .submitted = engine->inbox_first,
        .cancels = engine->cancel_pending,
        .closing = engine->closing,
    };
    engine->inbox_first = engine->inbox_last = NULL;
    engine->cancel_pending = false;
    pthread_mutex_unlock(&engine->mutex);
    return mail;
}

/* A prompt of one token, or one whose logprobs nobody wants, needs no step if nothing follows it. */
static bool needs_step(const struct request *r)
{
    return !r->no_generation || (r->prompt_logprobs && r->n_prompt > 1);
}

static void take_in(struct engine *engine, struct request *list)
{
    while (list != NULL) {
        struct request *r = list;
        list = r->next;
        if (needs_step(r)) {
            sched_add(&engine->sched, &r->seq);
        } else {
            deliver_prompt_first(r);
            deliver_finish(engine, r, ENGINE_FINISH_LENGTH, PL_OK, NULL);
        }
    }
}

/* Looks at all slots, which is cheap beside the step that it saves. A callback may set more flags: those raise
 * cancel_pending again. */
static void finish_cancelled(struct engine *engine, bool all)
{
    for (uint32_t i = 0; i < engine->n_slots; i++) {
        pthread_mutex_lock(&engine->mutex);
        struct request *r = engine->slots[i];
        /* Those of the inbox come when they are taken in. */
        bool due = r != NULL && (all || r->cancel);
        pthread_mutex_unlock(&engine->mutex);
        if (due && r->seq.state != SCHED_OUTSIDE)
            deliver_finish(engine, r, ENGINE_FINISH_CANCEL, PL_OK, NULL);
    }
}

void *engine_loop(void *user)
{
    struct engine *engine = user;
    for (;;) {
        struct mail mail = take_mail(engine);
        take_in(engine, mail.submitted);
        if (mail.cancels || mail.closing)
            finish_cancelled(engine, mail.closing);
        if (mail.closing)
            return NULL;
        engine_publish(engine);
        if (!sched_is_empty(engine))
            engine_step(engine);
        engine_publish(engine);
    }
}
