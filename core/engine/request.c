/* From a caller's struct to a request that needs no more memory; see impl.h. Runs on the caller's thread. */
#include "impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
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

static enum pl_status check_names(const struct engine_request *from, struct pl_error *err)
{
    const struct {
        const char *name;
        size_t bytes;
    } names[] = {
        {"tenant", from->tenant_bytes},
        {"scope", from->scope_bytes},
        {"cache_salt", from->salt_bytes},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(names); i++)
        if (names[i].bytes > ENGINE_NAME_MAX)
            return pl_error_set(err, PL_EINVAL, "%s: %zu bytes, at most %u are taken",
                                names[i].name, names[i].bytes, ENGINE_NAME_MAX);
    if (!(from->weight >= 0 && from->weight <= ENGINE_WEIGHT_MAX))
        return pl_error_set(err, PL_EINVAL, "weight: it is not between 0 and %g",
                            (double)ENGINE_WEIGHT_MAX);
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
    if (from->n > ENGINE_CHOICES_MAX || from->n > engine->n_slots)
        return pl_error_set(err, PL_EINVAL, "n: %u texts, at most %u are made", from->n,
                            PL_MIN(ENGINE_CHOICES_MAX, engine->n_slots));
    enum pl_status status = sampling_check(&from->sampling, err);
    if (status == PL_OK)
        status = check_names(from, err);
    if (status == PL_OK)
        status = request_check_prompt(engine, from, err);
    return status != PL_OK ? status : check_stops(from, err);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static bool copy_stops(struct arena *arena, struct stop *stop, const struct engine_request *from)
{
    size_t n_held = 0;
    stop->strings = arena_array(arena, from->n_stops, sizeof *stop->strings);
    if (stop->strings == NULL)
        return false;
    for (uint32_t i = 0; i < from->n_stops; i++) {
        struct stop_string *string = &stop->strings[i];
        size_t n = strlen(from->stops[i]);
        string->n = (uint16_t)n;
        string->text = arena_strndup(arena, from->stops[i], n);
        string->links = arena_alloc(arena, n * sizeof *string->links);
        if (string->text == NULL || string->links == NULL)
            return false;
        stop_string_init(string);
        n_held = PL_MAX(n_held, n);
    }
    stop->n_strings = from->n_stops;
    stop->held = arena_alloc(arena, n_held);
    return stop->held != NULL;
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
}

/* Tokens, blocks and hashes of one sequence. */
static bool fill_sequence(const struct engine *engine, struct choice *c,
                          const struct engine_request *from)
{
    struct request *r = c->request;
    uint32_t n_tokens = r->n_limit + engine->draft_max;
    uint32_t kv_tokens_max = r->n_limit - 1;
    struct kv_hash scope =
        kv_scope(engine->cache, from->scope, from->scope_bytes, from->salt, from->salt_bytes);
    void *storage = arena_alloc(&r->arena, kv_seq_bytes(engine->cache, kv_tokens_max));
    c->tokens = arena_alloc(&r->arena, n_tokens * sizeof *c->tokens);
    if (storage == NULL || c->tokens == NULL)
        return false;
    memcpy(c->tokens, from->prompt, from->n_prompt * sizeof *c->tokens);
    c->seq = (struct sched_seq){
        .ids = c->tokens,
        .n_tokens = from->no_generation ? from->n_prompt - 1 : from->n_prompt,
        .kv_tokens_max = kv_tokens_max,
        .out_from = from->prompt_logprobs && c->index == 0 ? 0 : SCHED_OUT_LAST,
        .priority = from->priority,
        .deadline_ns = c->index == 0 ? from->deadline_ns : 0, /* the first token comes with it */
        .no_reuse = from->no_cache_read,
    };
    kv_seq_init(engine->cache, &c->seq.kv, storage, kv_tokens_max, scope);
    if (c->index == 0)
        kv_seq_hash(engine->cache, &c->seq.kv, c->tokens, PL_MIN(r->n_prompt, kv_tokens_max));
    if (engine->draft_max > 0) {
        storage = arena_alloc(&r->arena, ngram_bytes(r->n_limit));
        if (storage == NULL)
            return false;
        ngram_init(&c->ngram, storage, r->n_limit);
    }
    return true;
}

static bool fill_choice(const struct engine *engine, struct choice *c,
                        const struct engine_request *from, uint64_t seed)
{
    token_stream_init(&c->stream);
    return fill_sequence(engine, c, from) && sampling_copy(engine, &from->sampling, seed, c) &&
           copy_stops(&c->request->arena, &c->stop, from);
}

static bool fill(struct request *r, const struct engine *engine, const struct engine_request *from)
{
    uint32_t n = PL_MAX(from->n, 1);
    uint64_t seed = from->sampling.has_seed ? from->sampling.seed : rng_entropy();
    r->no_generation = from->no_generation;
    r->ignore_eos = from->ignore_eos;
    r->special_text = from->special_text;
    r->logprobs = from->logprobs;
    r->prompt_logprobs = from->prompt_logprobs;
    r->n_logprobs = from->n_logprobs;
    r->on_event = from->on_event;
    r->user = from->user;
    r->submitted_ns = clock_now_ns();
    r->weight = from->weight > 0 ? from->weight : 1;
    r->tenant_bytes = from->tenant_bytes;
    r->tenant_name =
        arena_strndup(&r->arena, from->tenant != NULL ? from->tenant : "", from->tenant_bytes);
    r->choices = arena_array(&r->arena, n, sizeof *r->choices);
    if (r->tenant_name == NULL || r->choices == NULL)
        return false;
    r->n_choices = r->n_open = n;
    set_extent(r, from, engine->info.ctx_tokens);
    for (uint32_t i = 0; i < n; i++) {
        r->choices[i].request = r;
        r->choices[i].index = i;
        if (!fill_choice(engine, &r->choices[i], from, seed + i))
            return false;
    }
    return true;
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
        status = pl_error_set(err, PL_ENOMEM, "engine: no memory for %u texts of %u tokens",
                              PL_MAX(from->n, 1), r->n_limit);
        request_free(r);
        return status;
    }
    status = sampling_check_copy(engine, &r->choices[0], err);
    if (status == PL_OK)
        status = sched_check_fit(engine->sched, r->choices[0].seq.kv_tokens_max, err);
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
