/* From a caller's struct to a request that needs no more memory; see impl.h. Runs on the caller's thread. */
#include "impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/utf8.h"
#include "base/banned.h"

enum pl_status request_check_prompt(const struct engine *engine, const struct engine_request *from,
                                    struct pl_error *err)
{
    uint32_t ctx_tokens = engine->info.ctx_tokens;
    if (from->prompt == NULL || from->n_prompt == 0)
        return pl_error_set(err, PL_EINVAL, "prompt: it has no token");
    /* Room for one generated token, unless none is wanted. */
    if (from->n_prompt > ctx_tokens - (from->no_generation ? 0 : 1))
        return pl_error_set(err, PL_ELIMIT, "prompt: %u tokens%s exceed the context of %u tokens",
                            from->n_prompt, from->no_generation ? "" : " and room for a new one",
                            ctx_tokens);
    for (uint32_t i = 0; i < from->n_prompt; i++)
        if (from->prompt[i] < 0 || (uint32_t)from->prompt[i] >= engine->n_vocab)
            return pl_error_set(err, PL_EINVAL,
                                "prompt: token %d at position %u is not in the vocabulary of %u",
                                from->prompt[i], i, engine->n_vocab);
    return PL_OK;
}

static enum pl_status check_stops(const struct engine_request *from, struct pl_error *err)
{
    if (from->n_stops > ENGINE_STOPS_MAX)
        return pl_error_set(err, PL_EINVAL, "stop: %u strings, at most %u are taken", from->n_stops,
                            ENGINE_STOPS_MAX);
    for (uint32_t i = 0; i < from->n_stops; i++) {
        size_t n = from->stops[i] == NULL ? 0 : strlen(from->stops[i]);
        if (n == 0 || n > ENGINE_STOP_BYTES_MAX)
            return pl_error_set(err, PL_EINVAL, "stop: string %u has %zu bytes, not 1 to %u", i, n,
                                ENGINE_STOP_BYTES_MAX);
        if (!utf8_valid(from->stops[i], n))
            return pl_error_set(err, PL_EINVAL, "stop: string %u is not UTF-8", i);
    }
    return PL_OK;
}

static enum pl_status check_request(const struct engine *engine, const struct engine_request *from,
                                    struct pl_error *err)
{
    if (from->on_event == NULL)
        return pl_error_set(err, PL_EINVAL, "on_event: a request needs a callback");
    if (from->n_logprobs > ENGINE_LOGPROBS_MAX || from->n_logprobs > engine->n_vocab)
        return pl_error_set(err, PL_EINVAL, "logprobs: %u alternatives, at most %u are given",
                            from->n_logprobs, PL_MIN(ENGINE_LOGPROBS_MAX, engine->n_vocab));
    if (from->sampling.n_bias > ENGINE_BIAS_MAX)
        return pl_error_set(err, PL_EINVAL, "logit_bias: %u entries, at most %u are taken",
                            from->sampling.n_bias, ENGINE_BIAS_MAX);
    enum pl_status status = request_check_prompt(engine, from, err);
    return status != PL_OK ? status : check_stops(from, err);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static bool copy_stops(struct request *r, const struct engine_request *from)
{
    size_t n_held = 0;
    r->stop.strings = arena_array(&r->arena, from->n_stops, sizeof *r->stop.strings);
    if (r->stop.strings == NULL)
        return false;
    for (uint32_t i = 0; i < from->n_stops; i++) {
        struct stop_string *string = &r->stop.strings[i];
        size_t n = strlen(from->stops[i]);
        string->n = (uint16_t)n;
        string->text = arena_strndup(&r->arena, from->stops[i], n);
        string->links = arena_alloc(&r->arena, n * sizeof *string->links);
        if (string->text == NULL || string->links == NULL)
            return false;
        stop_string_init(string);
        n_held = PL_MAX(n_held, n);
    }
    r->stop.n_strings = from->n_stops;
    r->stop.held = arena_alloc(&r->arena, n_held);
    return r->stop.held != NULL;
}

static bool copy_sampling(struct request *r, const struct engine_sampling *from)
{
    struct sample_bias *bias = arena_array(&r->arena, from->n_bias, sizeof *bias);
    if (bias == NULL)
        return false;
    for (uint32_t i = 0; i < from->n_bias; i++)
        bias[i] = (struct sample_bias){.id = from->bias[i].id, .bias = from->bias[i].bias};
    r->sampling = (struct sample_params){
        .temperature = from->temperature,
        .top_k = from->top_k,
        .top_p = from->top_p,
        .min_p = from->min_p,
        .repeat_penalty = from->repeat_penalty,
        .presence_penalty = from->presence_penalty,
        .frequency_penalty = from->frequency_penalty,
        .repeat_last_n = from->repeat_last_n,
        .seed = from->has_seed ? from->seed : rng_entropy(),
        .bias = bias,
        .n_bias = from->n_bias,
    };
    return true;
}

static bool copy_tokens(struct request *r, const struct engine_request *from,
                        const struct kv_pool *pool)
{
    struct kv_table *table = &r->seq.table;
    table->n_blocks_max = kv_blocks_for(pool, r->seq.kv_tokens_max);
    table->blocks = arena_alloc(&r->arena, table->n_blocks_max * sizeof *table->blocks);
    r->tokens = arena_alloc(&r->arena, r->n_limit * sizeof *r->tokens);
    if (table->blocks == NULL || r->tokens == NULL)
        return false;
    memcpy(r->tokens, from->prompt, from->n_prompt * sizeof *r->tokens);
    return true;
}

/* How many tokens will be known and computed at the most. The last generated token never is computed, nor
 * is the prompt's last one where nothing follows it. */
static void set_extent(struct request *r, const struct engine_request *from, uint32_t ctx_tokens)
{
    uint32_t n_new = ctx_tokens - from->n_prompt;
    if (from->no_generation)
        n_new = 0;
    else if (from->max_tokens > 0)
        n_new = PL_MIN(n_new, from->max_tokens);
    r->n_prompt = from->n_prompt;
    r->n_limit = from->n_prompt + n_new;
    r->seq.n_tokens = from->no_generation ? from->n_prompt - 1 : from->n_prompt;
    r->seq.kv_tokens_max = r->n_limit - 1;
    r->seq.out_from = from->prompt_logprobs ? 0 : SCHED_OUT_LAST;
}

static bool fill(struct request *r, const struct engine *engine, const struct engine_request *from)
{
    r->no_generation = from->no_generation;
    r->ignore_eos = from->ignore_eos;
    r->special_text = from->special_text;
    r->logprobs = from->logprobs;
    r->prompt_logprobs = from->prompt_logprobs;
    r->n_logprobs = from->n_logprobs;
    r->on_event = from->on_event;
    r->user = from->user;
    token_stream_init(&r->stream);
    set_extent(r, from, engine->info.ctx_tokens);
    return copy_tokens(r, from, &engine->pool) && copy_sampling(r, &from->sampling) &&
           copy_stops(r, from);
}

enum pl_status request_new(const struct engine *engine, const struct engine_request *from,
                           struct request **ret, struct pl_error *err)
{
    enum pl_status status = check_request(engine, from, err);
    if (status != PL_OK)
        return status;
    struct request *r = calloc(1, sizeof *r);
    if (r == NULL)
        return pl_error_set(err, PL_ENOMEM, "engine: no memory for a request");
    arena_init(&r->arena, SIZE_MAX / 2); /* every part has its own limit */
    if (!fill(r, engine, from)) {
        status = pl_error_set(err, PL_ENOMEM, "engine: no memory for a request of %u tokens",
                              r->n_limit);
        request_free(r);
        return status;
    }
    status = sample_check_params(&r->sampling, engine->n_vocab, err);
    if (status == PL_OK)
        status = sched_check_fit(&engine->sched, r->seq.kv_tokens_max, err);
    if (status != PL_OK) {
        request_free(r);
        return status;
    }
    *ret = r;
    return PL_OK;
}

void request_free(struct request *request)
{
    if (request == NULL)
        return;
    arena_deinit(&request->arena);
    free(request);
}
