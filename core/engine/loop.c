/* The engine thread: sleeps, takes what callers left, steps; see impl.h. */
#include "impl.h"

#include <time.h>

#include "base/clock.h"
#include "base/banned.h"

#define STALLED_NAP_NS (100 * CLOCK_NS_PER_MS)

/* What callers left since the last look. */
struct mail {
    struct request *submitted; /* list, in order of arrival */
    bool cancels, closing, reset_cache;
};

void engine_wake_locked(struct engine *engine)
{
    if (engine->on_wake != NULL)
        engine->on_wake(engine->user);
    else
        pthread_cond_signal(&engine->wake);
}

/* ---- mail ------------------------------------------------------------------------------------ */

static bool sched_is_empty(const struct engine *engine)
{
    struct sched_stats stats;
    sched_stats(engine->sched, &stats);
    return stats.running + stats.waiting == 0;
}

/* With the mutex held: is there nothing to do before someone calls or a block comes from disk? */
static bool is_idle(const struct engine *engine)
{
    if (engine->closing)
        return false;
    bool empty = sched_is_empty(engine);
    if (empty && engine->exclusive)
        return true;
    bool mail = engine->inbox_first != NULL || engine->cancel_pending || engine->reset_cache;
    return !mail && (empty || (engine->stalled && !engine->kv_ready));
}

/* With the mutex held. */
static struct mail take_mail(struct engine *engine)
{
    struct mail mail = {
        .submitted = engine->inbox_first,
        .cancels = engine->cancel_pending,
        .closing = engine->closing,
        .reset_cache = engine->reset_cache,
    };
    engine->inbox_first = engine->inbox_last = NULL;
    engine->cancel_pending = engine->reset_cache = engine->kv_ready = engine->stalled = false;
    return mail;
}

/* Uses the time without work, with the mutex held, which is given up meanwhile: blocks are copied towards the disk, one
 * at a time, until someone calls or the disk has enough of them; kv_ready tells when it wants more. */
static void use_idle_time(struct engine *engine)
{
    bool more = true;
    while (more && is_idle(engine) && !engine->exclusive) {
        engine->kv_ready = false;
        pthread_mutex_unlock(&engine->mutex);
        more = kv_cache_idle(engine->cache);
        pthread_mutex_lock(&engine->mutex);
    }
}

/* With the mutex held. Sequences that wait for the disk have deadlines, and the scheduler's patience ends: then the
 * sleep is short. */
static void sleep_until_woken(struct engine *engine)
{
    if (!engine->stalled) {
        pthread_cond_wait(&engine->wake, &engine->mutex);
        return;
    }
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME,
                        &until); /* the condition's clock; never a virtual one: there is a thread */
    until.tv_nsec += STALLED_NAP_NS;
    if (until.tv_nsec >= CLOCK_NS_PER_S) {
        until.tv_nsec -= CLOCK_NS_PER_S;
        until.tv_sec++;
    }
    if (pthread_cond_timedwait(&engine->wake, &engine->mutex, &until) != 0)
        engine->stalled = false; /* plan again */
}

/* Sleeps while there is nothing to do. */
static struct mail await_mail(struct engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    engine->parked = false; /* it is at first */
    while (is_idle(engine)) {
        use_idle_time(engine);
        if (!is_idle(engine) || (engine->kv_ready && !engine->exclusive))
            continue;
        engine->parked = true;
        pthread_cond_broadcast(&engine->parked_changed);
        sleep_until_woken(engine);
        engine->parked = false;
    }
    struct mail mail = take_mail(engine);
    pthread_mutex_unlock(&engine->mutex);
    return mail;
}

/* ---- requests come in and go ------------------------------------------------------------------- */

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
        if (!needs_step(r)) {
            deliver_prompt_first(r);
            deliver_finish_all(engine, r, ENGINE_FINISH_LENGTH, PL_OK, NULL);
            continue;
        }
        r->tenant = sched_tenant_enter(engine->sched, r->tenant_name, r->tenant_bytes, r->weight);
        for (uint32_t i = 0; i < r->n_choices; i++)
            r->choices[i].seq.tenant = r->tenant;
        sched_add(engine->sched, &r->choices[0].seq, r->submitted_ns);
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
        if (due && r->tenant != NULL)
            deliver_finish_all(engine, r, ENGINE_FINISH_CANCEL, PL_OK, NULL);
    }
}

/* Those that waited too long for their first token. */
static void finish_expired(struct engine *engine)
{
    int64_t now_ns = clock_now_ns();
    struct sched_seq *seq;
    while ((seq = sched_expired(engine->sched, now_ns)) != NULL) {
        struct request *r = ((struct choice *)(void *)seq)->request;
        deliver_finish_all(engine, r, ENGINE_FINISH_ERROR, PL_ETIMEDOUT, ENGINE_LATE);
    }
}

static void handle_mail(struct engine *engine, const struct mail *mail)
{
    take_in(engine, mail->submitted);
    if (mail->cancels || mail->closing)
        finish_cancelled(engine, mail->closing);
    if (mail->reset_cache)
        kv_cache_reset(engine->cache);
    finish_expired(engine);
}

/* A step, if any sequence can run. */
static bool begin_step(struct engine *engine)
{
    engine_publish(engine);
    return !sched_is_empty(engine) && engine_step_begin(engine);
}

/* ---- the thread ------------------------------------------------------------------------------ */

void *engine_loop(void *user)
{
    struct engine *engine = user;
    for (;;) {
        struct mail mail = await_mail(engine);
        handle_mail(engine, &mail);
        if (mail.closing)
            return NULL;
        if (begin_step(engine)) /* which tells the figures of the step before */
            engine_step_end(engine);
    }
}

void engine_finish_all(struct engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    engine->closing = true;
    struct mail mail = take_mail(engine);
    pthread_mutex_unlock(&engine->mutex);
    if (engine->plan != NULL)
        engine_step_end(engine);
    handle_mail(engine, &mail);
    engine_publish(engine);
}

/* ---- without a thread ------------------------------------------------------------------------ */

enum engine_turn engine_turn(struct engine *engine)
{
    if (engine->plan != NULL) {
        if (!exec_ready(engine->exec))
            return ENGINE_TURN_BUSY;
        engine_step_end(engine);
        engine_publish(engine);
        return ENGINE_TURN_DONE;
    }
    pthread_mutex_lock(&engine->mutex);
    bool idle = is_idle(engine);
    struct mail mail = {0};
    if (!idle)
        mail = take_mail(engine);
    pthread_mutex_unlock(&engine->mutex);
    if (idle)
        return kv_cache_idle(engine->cache) ? ENGINE_TURN_DONE : ENGINE_TURN_IDLE;
    handle_mail(engine, &mail);
    bool begun = begin_step(engine);
    engine_publish(engine);
    return begun ? ENGINE_TURN_BUSY : ENGINE_TURN_DONE;
}
