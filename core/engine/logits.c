/* engine_logits: teacher-forced logits on the caller's thread, while the engine thread is parked. */
#include "impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/rng.h"
#include "base/banned.h"

/* Keeps the engine thread parked until end_exclusive. */
static enum pl_status begin_exclusive(struct engine *engine, struct pl_error *err)
{
    if (engine->thread_started && pthread_equal(pthread_self(), engine->thread))
        return pl_error_set(err, PL_EBUSY, "engine: logits can't be asked for by a callback");
    pthread_mutex_lock(&engine->mutex);
    if (engine->n_inside > 0 || engine->exclusive || engine->closing) {
        uint32_t n_inside = engine->n_inside;
        pthread_mutex_unlock(&engine->mutex);
        return pl_error_set(err, PL_EBUSY, "engine: logits need an idle engine; %u requests are in",
                            n_inside);
    }
    engine->exclusive = true;
    while (!engine->parked) /* it is on its way: nothing is left to step */
        pthread_cond_wait(&engine->parked_changed, &engine->mutex);
    pthread_mutex_unlock(&engine->mutex);
    return PL_OK;
}

static void end_exclusive(struct engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    engine->exclusive = false;
    engine_wake_locked(engine);
    pthread_mutex_unlock(&engine->mutex);
}

/* One step of one sequence: rows start .. start+n_rows-1, all with logits. */
static enum pl_status run_rows(struct engine *engine, const int32_t *ids, uint32_t start,
                               uint32_t n_rows, const struct kv_seq *kv, float *logits,
                               struct pl_error *err)
{
    struct exec_view view;
    enum pl_status status = exec_begin(engine->exec, &view, err);
    if (status != PL_OK)
        return status;
    for (uint32_t i = 0; i < n_rows; i++) {
        view.ids[i] = ids[start + i];
        view.pos[i] = (int32_t)(start + i);
        view.row_seq[i] = 0;
        view.out_rows[i] = (int32_t)i;
    }
    view.seq_start[0] = 0;
    view.seq_start[1] = (int32_t)n_rows;
    view.kv_len[0] = (int32_t)(start + n_rows);
    engine_fill_blocks(&view, kv, 0, exec_info(engine->exec));
    status = exec_submit(engine->exec, n_rows, 1, n_rows, err);
    if (status != PL_OK)
        return status;
    const float *out = NULL;
    status = exec_wait(engine->exec, &out, err);
    if (status == PL_OK)
        memcpy(logits + (size_t)start * engine->n_vocab, out,
               (size_t)n_rows * engine->n_vocab * sizeof *logits);
    return status;
}

static enum pl_status run_all(struct engine *engine, const int32_t *ids, uint32_t n,
                              struct kv_seq *kv, float *logits, struct pl_error *err)
{
    const struct exec_info *info = exec_info(engine->exec);
    uint32_t rows_max = PL_MIN(info->rows_max, info->outputs_max);
    for (uint32_t start = 0; start < n; start += rows_max) {
        uint32_t n_rows = PL_MIN(rows_max, n - start);
        if (!kv_seq_grow(engine->cache, kv, start, start + n_rows))
            return pl_error_set(err, PL_ELIMIT, "engine: no room in the KV cache for %u tokens",
                                start + n_rows);
        enum pl_status status = kv_cache_error(engine->cache, err);
        if (status == PL_OK)
            status = run_rows(engine, ids, start, n_rows, kv, logits, err);
        if (status != PL_OK)
            return status;
        kv_seq_commit(engine->cache, kv, ids, start + n_rows);
    }
    return PL_OK;
}

/* A sequence of its own, in a scope that nobody else has, so that it is computed whole. */
static enum pl_status run_alone(struct engine *engine, const int32_t *ids, uint32_t n,
                                void *storage, float *logits, struct pl_error *err)
{
    struct kv_seq kv;
    uint32_t n_cached = 0;
    kv_seq_init(engine->cache, &kv, storage, n, (struct kv_hash){{rng_entropy(), rng_entropy()}});
    enum kv_begin begin = kv_seq_begin(engine->cache, &kv, 0, false, &n_cached);
    PL_CHECK(begin == KV_BEGIN_OK && n_cached == 0); /* nobody is in */
    enum pl_status status = run_all(engine, ids, n, &kv, logits, err);
    kv_seq_end(engine->cache, &kv);
    return status;
}

enum pl_status engine_logits(struct engine *engine, const int32_t *ids, uint32_t n, float *logits,
                             struct pl_error *err)
{
    const struct engine_request as_request = {.prompt = ids, .n_prompt = n, .no_generation = true};
    enum pl_status status = request_check_prompt(engine, &as_request, err);
    if (status != PL_OK)
        return status;
    void *storage = calloc(1, kv_seq_bytes(engine->cache, n));
    if (storage == NULL)
        return pl_error_set(err, PL_ENOMEM, "engine: no memory for logits of %u tokens", n);
    status = begin_exclusive(engine, err);
    if (status == PL_OK) {
        status = run_alone(engine, ids, n, storage, logits, err);
        end_exclusive(engine);
    }
    free(storage);
    return status;
}
