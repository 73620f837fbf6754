/* Opening, closing, and what callers may do from any thread; see engine.h and impl.h. */
#include "impl.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/banned.h"

#define CROWD_PART 8 /* one tenant alone gets 8/9 of the queue; k of them 8k/(8k+1) */

/* Signals are the program's business: the engine thread takes none. */
static enum pl_status start_thread(struct engine *engine, struct pl_error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&engine->thread, NULL, engine_loop, engine);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return pl_error_set(err, PL_ENOMEM, "engine: can't start a thread (error %d)", rc);
    engine->thread_started = true;
    return PL_OK;
}

enum pl_status engine_open(const struct engine_options *options, struct engine **ret,
                           struct pl_error *err)
{
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return pl_error_set(err, PL_ENOMEM, "engine: no memory");
    arena_init(&engine->arena, SIZE_MAX / 2); /* the file's size bounds its strings */
    /* With default attributes these only store zeros (POSIX: EAGAIN, ENOMEM; neither in glibc or musl). */
    PL_CHECK(pthread_mutex_init(&engine->mutex, NULL) == 0);
    PL_CHECK(pthread_mutex_init(&engine->figures_lock, NULL) == 0);
    PL_CHECK(pthread_cond_init(&engine->wake, NULL) == 0);
    PL_CHECK(pthread_cond_init(&engine->parked_changed, NULL) == 0);
    enum pl_status status = engine_open_parts(engine, options, err);
    if (status == PL_OK) {
        engine_publish(engine);
        engine->parked = true; /* until a thread says otherwise */
        if (engine->on_wake == NULL)
            status = start_thread(engine, err);
    }
    if (status != PL_OK) {
        engine_close(engine);
        return status;
    }
    *ret = engine;
    return PL_OK;
}

static void end_requests(struct engine *engine)
{
    if (engine->thread_started) {
        pthread_mutex_lock(&engine->mutex);
        engine->closing = true;
        pthread_cond_signal(&engine->wake);
        pthread_mutex_unlock(&engine->mutex);
        pthread_join(engine->thread, NULL);
    } else if (engine->on_wake != NULL && engine->sched != NULL) {
        engine_finish_all(engine);
    }
    PL_CHECK(engine->n_inside == 0);
}

void engine_close(struct engine *engine)
{
    if (engine == NULL)
        return;
    end_requests(engine);
    sched_close(engine->sched);
    kv_cache_close(engine->cache); /* reads from the device what goes to disk */
    sample_scratch_free(engine->scratch);
    free(engine->tenant_stats);
    free(engine->skip);
    free(engine->piece_text);
    free(engine->stop_text);
    free(engine->slots);
    free(engine->free_slots);
    exec_close(engine->exec);
    plugin_registry_free(engine->registry);
    token_close(engine->vocab);
    gguf_close(engine->file);
    arena_deinit(&engine->arena);
    pthread_cond_destroy(&engine->parked_changed);
    pthread_cond_destroy(&engine->wake);
    pthread_mutex_destroy(&engine->figures_lock);
    pthread_mutex_destroy(&engine->mutex);
    free(engine);
}

const struct engine_info *engine_info(const struct engine *engine)
{
    return &engine->info;
}

const struct token_vocab *engine_vocab(const struct engine *engine)
{
    return engine->vocab;
}

/* ---- requests -------------------------------------------------------------------------------- */

struct engine_sampling engine_sampling_default(void)
{
    return (struct engine_sampling){
        .temperature = 1,
        .dynatemp_exponent = 1,
        .top_p = 1,
        .typical_p = 1,
        .xtc_threshold = 0.1F,
        .repeat_penalty = 1,
        .repeat_last_n = 64,
        .dry_base = 1.75F,
        .dry_allowed_length = 2,
        .dry_penalty_last_n = 64,
        .mirostat_tau = 5,
        .mirostat_eta = 0.1F,
        .adaptive_decay = 0.9F,
    };
}

/* With the mutex held: would r's tenant crowd the others out? Once the queue is half full, a tenant holds at most
 * CROWD_PART times what is free behind it, so that there is always room for one that holds little (dynamic
 * thresholds; Choudhury, Hahne 1998). Requests without a tenant are nobody's crowd. */
static bool crowds(const struct engine *engine, const struct request *r)
{
    if (r->tenant_bytes == 0 || engine->n_inside < engine->n_slots / 2)
        return false;
    uint64_t n_own = r->n_choices;
    for (uint32_t i = 0; i < engine->n_slots; i++) {
        const struct request *other = engine->slots[i];
        if (other != NULL && other->tenant_bytes == r->tenant_bytes &&
            memcmp(other->tenant_name, r->tenant_name, r->tenant_bytes) == 0)
            n_own += other->n_choices;
    }
    uint64_t n_free = engine->n_slots - engine->n_inside - r->n_choices;
    return n_own > CROWD_PART * n_free;
}

const struct engine_sampling *engine_sampling_of_model(const struct engine *engine)
{
    return &engine->sampling;
}

/* With the mutex held: would so many texts be taken now? PL_ECLOSED or PL_EBUSY. */
static enum pl_status check_room(const struct engine *engine, uint32_t n_choices,
                                 struct pl_error *err)
{
    if (engine->draining || engine->closing)
        return pl_error_set(err, PL_ECLOSED, "engine: it takes no more requests");
    if (n_choices > engine->n_slots - engine->n_inside)
        return pl_error_set(err, PL_EBUSY, "engine: the queue is full (%u texts)",
                            engine->n_inside);
    return PL_OK;
}

/* With the mutex held: a slot and an id for r, and into the inbox; PL_ECLOSED or PL_EBUSY. */
static enum pl_status enter(struct engine *engine, struct request *r, struct pl_error *err)
{
    enum pl_status status = check_room(engine, r->n_choices, err);
    if (status != PL_OK)
        return status;
    if (crowds(engine, r))
        return pl_error_set(err, PL_EBUSY, "engine: this tenant's part of the queue is full");
    uint32_t slot = engine->free_slots[engine->n_slots - engine->n_requests - 1];
    engine->slots[slot] = r;
    engine->n_requests++;
    engine->n_inside += r->n_choices;
    engine->n_submitted++;
    r->id = engine->n_submitted * engine->n_slots + slot;
    if (engine->inbox_last != NULL)
        engine->inbox_last->next = r;
    else
        engine->inbox_first = r;
    engine->inbox_last = r;
    return PL_OK;
}

enum pl_status engine_submit(struct engine *engine, const struct engine_request *request,
                             uint64_t *ret_id, struct pl_error *err)
{
    struct request *r = NULL;
    /* Nothing is copied for a request that would be turned away anyway; what is wrong with n, request_new tells. */
    pthread_mutex_lock(&engine->mutex);
    enum pl_status status =
        check_room(engine, request->n <= engine->n_slots ? PL_MAX(request->n, 1) : 1, err);
    pthread_mutex_unlock(&engine->mutex);
    if (status == PL_OK)
        status = request_new(engine, request, &r, err);
    if (status != PL_OK)
        return status;
    pthread_mutex_lock(&engine->mutex);
    status = enter(engine, r, err);
    if (status == PL_OK) {
        *ret_id = r->id; /* before anyone can see FINISH */
        engine_wake_locked(engine);
    }
    pthread_mutex_unlock(&engine->mutex);
    if (status != PL_OK)
        request_free(r);
    return status;
}

void engine_cancel(struct engine *engine, uint64_t id)
{
    pthread_mutex_lock(&engine->mutex);
    struct request *r = engine->slots[id % engine->n_slots];
    if (r != NULL && r->id == id && !r->cancel) {
        r->cancel = true;
        engine->cancel_pending = true;
        engine_wake_locked(engine);
    }
    pthread_mutex_unlock(&engine->mutex);
}

void engine_drain(struct engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    engine->draining = true;
    pthread_mutex_unlock(&engine->mutex);
}

void engine_reset_cache(struct engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    engine->reset_cache = true;
    engine_wake_locked(engine);
    pthread_mutex_unlock(&engine->mutex);
}
