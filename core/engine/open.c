/* The parts of an engine: file, vocabulary, device, KV cache, scheduler; see impl.h. */
#include "impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/blake2b.h"
#include "base/clock.h"
#include "base/banned.h"

#define MODEL_SAMPLE_BYTES 256u /* of a tensor's begin, middle and end, for identify_model */

#define PIECE_END_BYTES 16 /* what token_stream_end may write */
#define DRAFT_SEQS      4 /* sequences that may guess at their longest: more of them don't gain by it */

static const uint32_t KV_DTYPES[] = {
    [ENGINE_KV_F16] = PL_DTYPE_F16,
    [ENGINE_KV_F32] = PL_DTYPE_F32,
    [ENGINE_KV_Q8_0] = PL_DTYPE_Q8_0,
};

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
        {"draft_max", o->draft_max, ENGINE_DRAFT_MAX},
    };
    if (o->model_path == NULL)
        return pl_error_set(err, PL_EINVAL, "engine: model_path is missing");
    if ((unsigned)o->kv_type >= PL_ARRAY_LEN(KV_DTYPES))
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
        .dtype_kv = KV_DTYPES[o->kv_type],
        .ctx_tokens = o->ctx_tokens,
        .kv_tokens = o->kv_tokens,
        .seqs_max = seqs_max,
        .rows_max = rows_max,
        .outputs_max = PL_MIN(rows_max, seqs_max + DRAFT_SEQS * o->draft_max),
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

/* What the file says of sampling; a value out of range is ignored, as a hint of someone else's. */
static void read_sampling(struct engine *engine)
{
    struct engine_sampling *s = &engine->sampling;
    double value;
    uint32_t top_k;
    *s = engine_sampling_default();
    const struct {
        const char *key;
        float *to;
        double max;
    } floats[] = {
        {"general.sampling.temp", &s->temperature, 2},
        {"general.sampling.top_p", &s->top_p, 1},
        {"general.sampling.min_p", &s->min_p, 1},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(floats); i++)
        if (gguf_get_f64(engine->file, floats[i].key, &value, NULL) == PL_OK && value >= 0 &&
            value <= floats[i].max)
            *floats[i].to = (float)value;
    if (gguf_get_u32(engine->file, "general.sampling.top_k", &top_k, NULL) == PL_OK &&
        top_k <= engine->n_vocab)
        s->top_k = (int32_t)top_k;
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
    read_sampling(engine);
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
    engine->info.seqs_max = engine->seqs_max;
    engine->info.queue_max = queue_max;
    engine->n_slots = engine->seqs_max + queue_max;
    engine->slots = calloc(engine->n_slots, sizeof(void *));
    engine->free_slots = calloc(engine->n_slots, sizeof *engine->free_slots);
    engine->skip = calloc(engine->seqs_max, sizeof *engine->skip);
    engine->tenant_stats = calloc(ENGINE_TENANTS_MAX, sizeof *engine->tenant_stats);
    if (engine->slots == NULL || engine->free_slots == NULL || engine->skip == NULL ||
        engine->tenant_stats == NULL || !alloc_text(engine))
        return pl_error_set(err, PL_ENOMEM, "engine: no memory for %u requests", engine->n_slots);
    for (uint32_t i = 0; i < engine->n_slots; i++)
        engine->free_slots[i] = engine->n_slots - 1 - i;
    return PL_OK;
}

/* ---- the KV cache ---------------------------------------------------------------------------- */

static enum pl_status copy_block(void *user, uint32_t group, int32_t from, int32_t to,
                                 struct pl_error *err)
{
    struct engine *engine = user;
    return exec_kv_copy(engine->exec, group, from, to, err);
}

static enum pl_status read_block(void *user, uint32_t group, int32_t block, void *dst,
                                 struct pl_error *err)
{
    struct engine *engine = user;
    return exec_kv_read(engine->exec, group, block, dst, err);
}

static enum pl_status write_block(void *user, uint32_t group, int32_t block, const void *src,
                                  struct pl_error *err)
{
    struct engine *engine = user;
    return exec_kv_write(engine->exec, group, block, src, err);
}

static void on_kv_ready(void *user)
{
    struct engine *engine = user;
    pthread_mutex_lock(&engine->mutex);
    engine->kv_ready = true;
    engine_wake_locked(engine);
    pthread_mutex_unlock(&engine->mutex);
}

static void on_kv_log(void *user, const char *line)
{
    const struct engine *engine = user;
    if (engine->on_log != NULL)
        engine->on_log(engine->user, line);
}

static bool begins_with(struct gguf_str text, const char *prefix)
{
    size_t n = strlen(prefix);
    return text.len >= n && memcmp(text.data, prefix, n) == 0;
}

/* A value of the file's metadata, numbers as doubles. */
static void hash_value(struct blake2b *state, const struct gguf_kv *kv)
{
    blake2b_update(state, &kv->key.len, sizeof kv->key.len);
    blake2b_update(state, kv->key.data, kv->key.len);
    blake2b_update(state, &kv->n_elems, sizeof kv->n_elems);
    for (uint64_t i = 0; i < kv->n_elems; i++) {
        if (kv->strings != NULL) {
            blake2b_update(state, &kv->strings[i].len, sizeof kv->strings[i].len);
            blake2b_update(state, kv->strings[i].data, kv->strings[i].len);
        } else {
            double number = gguf_elem_f64(kv, i);
            blake2b_update(state, &number, sizeof number);
        }
    }
}

/* Rope, epsilon, windows, scales: equal weights compute other blocks by them. What names the file or concerns text
 * only is left out. */
static void hash_settings(struct blake2b *state, const struct gguf *file)
{
    for (uint64_t i = 0; i < gguf_n_kv(file); i++) {
        const struct gguf_kv *kv = gguf_kv_at(file, i);
        if (!begins_with(kv->key, "tokenizer.") &&
            (!begins_with(kv->key, "general.") || begins_with(kv->key, "general.architecture")))
            hash_value(state, kv);
    }
}

/* Names the model and what a block's bytes mean, without reading all of a large file: settings, and shapes, types and
 * samples of each tensor. Two files that agree in all of it and differ elsewhere would be taken for one. */
static void identify_model(const struct engine *engine, uint8_t ret[32])
{
    struct blake2b state;
    const struct exec_info *info = exec_info(engine->exec);
    blake2b_init(&state, 32, NULL, 0, "polder-model");
    blake2b_update(&state, info->kv_layout, strlen(info->kv_layout));
    uint64_t file_bytes = gguf_file_bytes(engine->file);
    blake2b_update(&state, &file_bytes, sizeof file_bytes);
    hash_settings(&state, engine->file);
    for (uint64_t i = 0; i < gguf_n_tensors(engine->file); i++) {
        const struct gguf_tensor *tensor = gguf_tensor_at(engine->file, i);
        blake2b_update(&state, tensor->name.data, tensor->name.len);
        blake2b_update(&state, &tensor->dtype, sizeof tensor->dtype);
        blake2b_update(&state, tensor->dims, sizeof tensor->dims);
        size_t n = PL_MIN(tensor->bytes, MODEL_SAMPLE_BYTES);
        const uint8_t *data = tensor->data;
        blake2b_update(&state, data, n);
        blake2b_update(&state, data + (tensor->bytes - n) / 2, n);
        blake2b_update(&state, data + (tensor->bytes - n), n);
    }
    blake2b_final(&state, ret);
}

static enum pl_status open_cache(struct engine *engine, const struct engine_options *o,
                                 struct pl_error *err)
{
    const struct exec_info *info = exec_info(engine->exec);
    struct kv_cache_options options = {
        .block_tokens = info->block_tokens,
        .n_groups = info->n_groups,
        .seqs_max = engine->seqs_max + 1,  /* the scheduler's spare place */
        .grow_tokens_max = info->rows_max, /* the scheduler grows by the rows of a step */
        .no_sharing = o->no_prefix_cache,
        .device = {.user = engine, .copy = copy_block, .read = read_block, .write = write_block},
        .ram_bytes = o->kv_ram_bytes,
        .disk_dir = o->kv_disk_dir,
        .disk_bytes = o->kv_disk_bytes,
        .on_ready = on_kv_ready,
        .on_log = on_kv_log,
        .user = engine,
    };
    for (uint32_t g = 0; g < info->n_groups; g++)
        options.groups[g] = (struct kv_group_options){
            .n_blocks = info->groups[g].n_blocks,
            .window_tokens = info->groups[g].window_tokens,
            .block_bytes = info->groups[g].block_bytes,
        };
    if (o->kv_disk_dir != NULL)
        identify_model(engine, options.model_id);
    return kv_cache_open(&options, &engine->cache, err);
}

static enum pl_status open_sched(struct engine *engine, const struct engine_options *o,
                                 struct pl_error *err)
{
    const struct exec_info *info = exec_info(engine->exec);
    const struct sched_options options = {
        .cache = engine->cache,
        .rows_max = info->rows_max,
        .seqs_max = engine->seqs_max,
        .outputs_max = info->outputs_max,
        .tenants_max = engine->n_slots, /* one per request at the most */
        .step_target_ns = o->step_target_ms * CLOCK_NS_PER_MS,
    };
    return sched_open(&options, &engine->sched, err);
}

enum pl_status engine_open_parts(struct engine *engine, const struct engine_options *o,
                                 struct pl_error *err)
{
    enum pl_status status = check_options(o, err);
    if (status != PL_OK)
        return status;
    engine->on_wake = o->on_wake;
    engine->on_log = o->on_log;
    engine->user = o->user;
    engine->draft_max = o->draft_max;
    status = gguf_open(o->model_path, &engine->file, err);
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
        status = open_cache(engine, o, err);
    if (status == PL_OK)
        status = open_sched(engine, o, err);
    return status;
}
