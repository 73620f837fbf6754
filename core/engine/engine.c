/* Opening, closing, and what callers may do from any thread; see engine.h and impl.h. */
#include "impl.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/banned.h"

#define PIECE_END_BYTES 16 /* what token_stream_end may write */

/* ---- opening --------------------------------------------------------------------------------- */

static enum pl_status check_options(const struct engine_options *o, struct pl_error *err)
{
    const struct {
        const char *name;
        uint32_t value, max;
    } limits[] = {
        {"seqs_max", o->seqs_max, ENGINE_SEQS_LIMIT},
        {"rows_max", o->rows_max, ENGINE_ROWS_LIMIT},
        {"queue_max", o->queue_max, ENGINE_QUEUE_LIMIT},
        {"ctx_tokens", o->ctx_tokens, ENGINE_TOKENS_LIMIT},
    };
    if (o->model_path == NULL)
        return pl_error_set(err, PL_EINVAL, "engine: model_path is missing");
    if (o->kv_type != ENGINE_KV_F16 && o->kv_type != ENGINE_KV_F32)
        return pl_error_set(err, PL_EINVAL, "engine: kv_type %d is unknown", (int)o->kv_type);
    for (size_t i = 0; i < PL_ARRAY_LEN(limits); i++)
        if (limits[i].value > limits[i].max)
            return pl_error_set(err, PL_EINVAL, "engine: %s %u is above %u", limits[i].name,
                                limits[i].value, limits[i].max);
    return PL_OK;
}

static enum pl_status open_exec(struct engine *engine, const struct engine_options *o,
                                struct pl_error *err)
{
    const struct plugin_entry *backend = NULL;
    enum pl_status status = plugin_registry_scan(o->backend_dir, &engine->registry, err);
    if (status == PL_OK)
        status = plugin_choose(engine->registry, o->backend, &backend, err);
    if (status != PL_OK)
        return status;
    uint32_t rows_max = o->rows_max > 0 ? o->rows_max : ENGINE_ROWS_DEFAULT;
    uint32_t seqs_max = o->seqs_max > 0 ? o->seqs_max : ENGINE_SEQS_DEFAULT;
    seqs_max = PL_MIN(seqs_max, rows_max); /* a decoding sequence is a row */
    struct exec_options options = {
        .file = engine->file,
        .backend = backend,
        .device =
            {
                .device_i = o->device_i,
                .n_threads = o->n_threads,
                .flags = o->reference ? PL_DEVICE_REFERENCE : 0,
                .settings = o->backend_settings,
            },
        .dtype_kv = o->kv_type == ENGINE_KV_F32 ? PL_DTYPE_F32 : PL_DTYPE_F16,
        .ctx_tokens = o->ctx_tokens,
        .kv_tokens = o->kv_tokens,
        .seqs_max = seqs_max,
        .rows_max = rows_max,
        .outputs_max = seqs_max,
        .on_progress = o->on_progress,
        .user = o->user,
    };
    return exec_open(&options, &engine->exec, err);
}

/* General.name, or the file's name. */
static const char *model_name(struct engine *engine, const char *path)
{
    struct gguf_str name;
    if (gguf_get_str(engine->file, "general.name", &name, NULL) == PL_OK && name.len > 0)
        return arena_strndup(&engine->arena, name.data, name.len);
    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    return arena_strndup(&engine->arena, base, strlen(base));
}

static enum pl_status fill_info(struct engine *engine, const char *path, struct pl_error *err)
{
    const struct exec_info *from = exec_info(engine->exec);
    uint64_t kv_tokens = (uint64_t)from->n_blocks * from->block_tokens;
    struct gguf_str template;
    const char *chat_template = NULL;
    const char *name = model_name(engine, path);
    bool has_template =
        gguf_get_str(engine->file, "tokenizer.chat_template", &template, NULL) == PL_OK;
    if (has_template)
        chat_template = arena_strndup(&engine->arena, template.data, template.len);
    if (name == NULL || (has_template && chat_template == NULL))
        return pl_error_set(err, PL_ENOMEM, "engine: no memory for the model's name and template");
    engine->info = (struct engine_info){
        .model_name = name,
        .architecture = from->architecture,
        .backend = from->backend,
        .device = from->device,
        .n_params = from->n_params,
        .weight_bytes = from->weight_bytes,
        .ctx_tokens = (uint32_t)PL_MIN((uint64_t)from->ctx_tokens, kv_tokens),
        .ctx_train_tokens = from->ctx_train_tokens,
        .block_tokens = from->block_tokens,
        .n_blocks = from->n_blocks,
        .chat_template = chat_template,
    };
    engine->n_vocab = from->n_vocab;
    engine->seqs_max = PL_MIN(from->seqs_max, PL_MIN(from->rows_max, from->outputs_max));
    return PL_OK;
}

/* Text scratch for the longest piece of the vocabulary, with what the stop matcher may have held. */
static bool alloc_text(struct engine *engine)
{
    size_t n_piece = 0;
    for (int32_t id = 0; id < token_count(engine->vocab); id++)
        n_piece = PL_MAX(n_piece, token_piece(engine->vocab, id, true).len);
    size_t n = TOKEN_STREAM_OUT_MAX(n_piece) + PIECE_END_BYTES;
    engine->piece_text = malloc(n);
    engine->stop_text = malloc(n + ENGINE_STOP_BYTES_MAX);
    return engine->piece_text != NULL && engine->stop_text != NULL;
}

static enum pl_status alloc_tables(struct engine *engine, const struct engine_options *o,
                                   struct pl_error *err)
{
    uint32_t queue_max = o->queue_max > 0 ? o->queue_max : ENGINE_QUEUE_DEFAULT;
    engine->n_slots = engine->seqs_max + queue_max;
    engine->slots = calloc(engine->n_slots, sizeof(void *));
    engine->free_slots = calloc(engine->n_slots, sizeof *engine->free_slots);
    engine->skip = calloc(engine->seqs_max, sizeof *engine->skip);
    if (engine->slots == NULL || engine->free_slots == NULL || engine->skip == NULL ||
        !alloc_text(engine))
        return pl_error_set(err, PL_ENOMEM, "engine: no memory for %u requests", engine->n_slots);
    for (uint32_t i = 0; i < engine->n_slots; i++)
        engine->free_slots[i] = engine->n_slots - 1 - i;
    return PL_OK;
}

static enum pl_status init_sched(struct engine *engine, struct pl_error *err)
{
    const struct exec_info *info = exec_info(engine->exec);
    enum pl_status status = kv_pool_init(&engine->pool, info->n_blocks, info->block_tokens, err);
    if (status != PL_OK)
        return status;
    const struct sched_options options = {
        .pool = &engine->pool,
        .rows_max = info->rows_max,
        .seqs_max = engine->seqs_max,
        .outputs_max = info->outputs_max,
    };
    return sched_init(&engine->sched, &options, err);
}

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

static enum pl_status open_parts(struct engine *engine, const struct engine_options *o,
                                 struct pl_error *err)
{
    enum pl_status status = gguf_open(o->model_path, &engine->file, err);
    if (status == PL_OK)
        status = token_open(engine->file, &engine->vocab, err);
    if (status == PL_OK)
        status = open_exec(engine, o, err);
    if (status == PL_OK)
        status = fill_info(engine, o->model_path, err);
    if (status == PL_OK)
        status = alloc_tables(engine, o, err);
    if (status == PL_OK)
        status = sample_scratch_new(engine->n_vocab, &engine->scratch, err);
    if (status == PL_OK)
        status = init_sched(engine, err);
    if (status == PL_OK)
        status = start_thread(engine, err);
    return status;
}

enum pl_status engine_open(const struct engine_options *options, struct engine **ret,
                           struct pl_error *err)
{
    enum pl_status status = check_options(options, err);
    if (status != PL_OK)
        return status;
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return pl_error_set(err, PL_ENOMEM, "engine: no memory");
    arena_init(&engine->arena, SIZE_MAX / 2); /* the file's size bounds its strings */
    /* With default attributes these only store zeros (POSIX: EAGAIN, ENOMEM; neither in glibc or musl). */
    PL_CHECK(pthread_mutex_init(&engine->mutex, NULL) == 0);
    PL_CHECK(pthread_cond_init(&engine->wake, NULL) == 0);
    PL_CHECK(pthread_cond_init(&engine->parked_changed, NULL) == 0);
    status = open_parts(engine, options, err);
    if (status != PL_OK) {
        engine_close(engine);
        return status;
    }
    *ret = engine;
    return PL_OK;
}

void engine_close(struct engine *engine)
{
    if (engine == NULL)
        return;
    if (engine->thread_started) {
        pthread_mutex_lock(&engine->mutex);
        engine->closing = true;
        pthread_cond_signal(&engine->wake);
        pthread_mutex_unlock(&engine->mutex);
        pthread_join(engine->thread, NULL);
        PL_CHECK(engine->n_inside == 0);
    }
    sched_deinit(&engine->sched);
    kv_pool_deinit(&engine->pool);
    sample_scratch_free(engine->scratch);
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
        .top_p = 1,
        .repeat_penalty = 1,
        .repeat_last_n = 64,
    };
}

/* With the mutex held: a slot and an id for r, and into the inbox; PL_ECLOSED or PL_EBUSY. */
static enum pl_status enter(struct engine *engine, struct request *r, struct pl_error *err)
{
    if (engine->draining || engine->closing)
        return pl_error_set(err, PL_ECLOSED, "engine: it takes no more requests");
    if (engine->n_inside == engine->n_slots)
        return pl_error_set(err, PL_EBUSY, "engine: the queue is full (%u requests)",
                            engine->n_inside);
    uint32_t slot = engine->free_slots[engine->n_slots - engine->n_inside - 1];
    engine->slots[slot] = r;
    engine->n_inside++;
    engine->n_submitted++;
    r->id = engine->n_submitted * engine->n_slots + slot;
    if (engine->inbox_last != NULL)
        engine->inbox_last->next = r;
    else
        engine->inbox_first = r;
    engine->inbox_last = r;
    atomic_store_explicit(&engine->counters.inside, engine->n_inside, memory_order_relaxed);
    return PL_OK;
}

enum pl_status engine_submit(struct engine *engine, const struct engine_request *request,
                             uint64_t *ret_id, struct pl_error *err)
{
    struct request *r = NULL;
    enum pl_status status = request_new(engine, request, &r, err);
    if (status != PL_OK)
        return status;
    pthread_mutex_lock(&engine->mutex);
    status = enter(engine, r, err);
    if (status == PL_OK) {
        *ret_id = r->id; /* before anyone can see FINISH */
        pthread_cond_signal(&engine->wake);
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
        pthread_cond_signal(&engine->wake);
    }
    pthread_mutex_unlock(&engine->mutex);
}

void engine_drain(struct engine *engine)
{
    pthread_mutex_lock(&engine->mutex);
    engine->draining = true;
    pthread_mutex_unlock(&engine->mutex);
}

/* ---- figures --------------------------------------------------------------------------------- */

void engine_stats(const struct engine *engine, struct engine_stats *ret)
{
    const struct counters *c = &engine->counters;
    struct pl_device_stats device = {.struct_size = sizeof device};
    exec_device_stats(engine->exec, &device);
    uint32_t inside = atomic_load_explicit(&c->inside, memory_order_relaxed);
    uint32_t running = atomic_load_explicit(&c->running, memory_order_relaxed);
    *ret = (struct engine_stats){
        .running = running,
        .waiting = inside > running ? inside - running : 0,
        .blocks_used = atomic_load_explicit(&c->blocks_used, memory_order_relaxed),
        .blocks_total = engine->info.n_blocks,
        .prompt_tokens = atomic_load_explicit(&c->prompt_tokens, memory_order_relaxed),
        .generated_tokens = atomic_load_explicit(&c->generated_tokens, memory_order_relaxed),
        .steps = atomic_load_explicit(&c->steps, memory_order_relaxed),
        .preemptions = atomic_load_explicit(&c->preemptions, memory_order_relaxed),
        .device_allocs = device.n_allocs,
        .device_compiles = device.n_compiles,
    };
    for (uint32_t i = 0; i < ENGINE_N_FINISH; i++)
        ret->finished[i] = atomic_load_explicit(&c->finished[i], memory_order_relaxed);
}
