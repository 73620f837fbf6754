/* Sampling parameters from the caller's struct to the sampler's; see impl.h. Runs on the caller's thread. */
#include "impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define SAME_STEP(name) _Static_assert((int)ENGINE_SAMPLER_##name == (int)SAMPLE_STEP_##name, "")
SAME_STEP(PENALTIES);
SAME_STEP(DRY);
SAME_STEP(TOP_N_SIGMA);
SAME_STEP(TOP_K);
SAME_STEP(TYPICAL_P);
SAME_STEP(TOP_P);
SAME_STEP(MIN_P);
SAME_STEP(XTC);
SAME_STEP(TEMPERATURE);
_Static_assert(ENGINE_SAMPLERS_MAX == SAMPLE_STEPS_MAX, "steps are copied");

/* ---- checks ---------------------------------------------------------------------------------- */

static enum pl_status check_words(const char *name, const struct engine_words *words,
                                  struct pl_error *err)
{
    if (words->n > ENGINE_WORDS_MAX)
        return pl_error_set(err, PL_EINVAL, "%s: %u sequences, at most %u are taken", name,
                            words->n, ENGINE_WORDS_MAX);
    uint32_t n = words->n == 0 ? 0 : words->ends[words->n - 1];
    if (n > ENGINE_WORD_IDS_MAX)
        return pl_error_set(err, PL_EINVAL, "%s: %u tokens, at most %u are taken", name, n,
                            ENGINE_WORD_IDS_MAX);
    return PL_OK;
}

enum pl_status sampling_check(const struct engine_sampling *from, struct pl_error *err)
{
    const struct {
        const char *name;
        uint32_t n, max;
    } lists[] = {
        {"logit_bias", from->n_bias, ENGINE_BIAS_MAX},
        {"allowed_token_ids", from->n_allowed, ENGINE_ALLOWED_MAX},
        {"stop_token_ids", from->n_stop_ids, ENGINE_STOP_IDS_MAX},
        {"samplers", from->n_samplers, ENGINE_SAMPLERS_MAX},
        {"dry_sequence_breakers", from->n_dry_breakers, SAMPLE_VOCAB_MAX},
        {"logprob_token_ids", from->n_logprob_ids, ENGINE_LOGPROBS_MAX},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(lists); i++)
        if (lists[i].n > lists[i].max)
            return pl_error_set(err, PL_EINVAL, "%s: %u entries, at most %u are taken",
                                lists[i].name, lists[i].n, lists[i].max);
    enum pl_status status = check_words("bad_words", &from->bad_words, err);
    return status != PL_OK ? status : check_words("dry_sequence_breakers", &from->dry_words, err);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static bool copy_ids(struct arena *arena, const int32_t *from, uint32_t n, const int32_t **ret)
{
    int32_t *ids = arena_array(arena, n, sizeof *ids);
    if (ids == NULL)
        return false;
    if (n > 0)
        memcpy(ids, from, n * sizeof *ids);
    *ret = ids;
    return true;
}

static int by_id(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a;
    const int32_t y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* In increasing order, each once. */
static bool copy_set(struct arena *arena, const int32_t *from, uint32_t n, const int32_t **ret,
                     uint32_t *ret_n)
{
    int32_t *ids = arena_array(arena, n, sizeof *ids);
    if (ids == NULL)
        return false;
    uint32_t n_set = 0;
    if (n > 0) {
        memcpy(ids, from, n * sizeof *ids);
        qsort(ids, n, sizeof *ids, by_id);
    }
    for (uint32_t i = 0; i < n; i++)
        if (n_set == 0 || ids[n_set - 1] != ids[i])
            ids[n_set++] = ids[i];
    *ret = ids;
    *ret_n = n_set;
    return true;
}

static bool copy_words(struct arena *arena, const struct engine_words *from,
                       struct sample_words *ret)
{
    uint32_t *ends = arena_array(arena, from->n, sizeof *ends);
    if (ends == NULL)
        return false;
    if (from->n > 0)
        memcpy(ends, from->ends, from->n * sizeof *ends);
    ret->ends = ends;
    ret->n = from->n;
    return copy_ids(arena, from->ids, from->n > 0 ? ends[from->n - 1] : 0, &ret->ids);
}

static bool copy_bias(struct arena *arena, const struct engine_sampling *from,
                      struct sample_params *ret)
{
    struct sample_bias *bias = arena_array(arena, from->n_bias, sizeof *bias);
    if (bias == NULL)
        return false;
    for (uint32_t i = 0; i < from->n_bias; i++)
        bias[i] = (struct sample_bias){.id = from->bias[i].id, .bias = from->bias[i].bias};
    ret->bias = bias;
    ret->n_bias = from->n_bias;
    return true;
}

/* The end-of-generation tokens, where min_tokens will ban them. */
static bool list_eog(struct arena *arena, const struct engine *engine, struct sample_params *ret)
{
    uint32_t n = 0;
    if (ret->min_tokens == 0)
        return true;
    for (uint32_t id = 0; id < engine->n_vocab; id++)
        n += token_is_eog(engine->vocab, (int32_t)id);
    int32_t *ids = arena_array(arena, n, sizeof *ids);
    if (ids == NULL)
        return false;
    ret->eog = ids;
    for (uint32_t id = 0; id < engine->n_vocab && ret->n_eog < n; id++)
        if (token_is_eog(engine->vocab, (int32_t)id))
            ids[ret->n_eog++] = (int32_t)id;
    return true;
}

static bool copy_lists(const struct engine *engine, const struct engine_sampling *from,
                       struct choice *c)
{
    struct arena *arena = &c->request->arena;
    struct sample_params *p = &c->sampling;
    p->n_stop_ids = from->n_stop_ids;
    c->extras.n_logprob_ids = from->n_logprob_ids;
    return copy_bias(arena, from, p) && list_eog(arena, engine, p) &&
           copy_set(arena, from->allowed, from->n_allowed, &p->allowed, &p->n_allowed) &&
           copy_set(arena, from->dry_breakers, from->n_dry_breakers, &p->dry_breakers,
                    &p->n_dry_breakers) &&
           copy_words(arena, &from->bad_words, &p->bad_words) &&
           copy_words(arena, &from->dry_words, &p->dry_words) &&
           copy_ids(arena, from->stop_ids, from->n_stop_ids, &p->stop_ids) &&
           copy_ids(arena, from->logprob_ids, from->n_logprob_ids, &c->extras.logprob_ids);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static struct sample_params params_of(const struct engine_sampling *from)
{
    struct sample_params p = {
        .temperature = from->temperature,
        .dynatemp_range = from->dynatemp_range,
        .dynatemp_exponent = from->dynatemp_exponent,
        .top_k = from->top_k,
        .top_p = from->top_p,
        .min_p = from->min_p,
        .typical_p = from->typical_p,
        .top_n_sigma = from->top_n_sigma,
        .xtc_probability = from->xtc_probability,
        .xtc_threshold = from->xtc_threshold,
        .min_keep = from->min_keep,
        .repeat_penalty = from->repeat_penalty,
        .presence_penalty = from->presence_penalty,
        .frequency_penalty = from->frequency_penalty,
        .repeat_last_n = from->repeat_last_n,
        .dry_multiplier = from->dry_multiplier,
        .dry_base = from->dry_base,
        .dry_allowed_length = from->dry_allowed_length,
        .dry_last_n = from->dry_penalty_last_n,
        .mirostat = from->mirostat,
        .mirostat_tau = from->mirostat_tau,
        .mirostat_eta = from->mirostat_eta,
        .adaptive = from->adaptive,
        .adaptive_target = from->adaptive_target,
        .adaptive_decay = from->adaptive_decay,
        .own_steps = from->own_samplers,
        .n_steps = from->n_samplers,
        .min_tokens = from->min_tokens,
    };
    memcpy(p.steps, from->samplers, from->n_samplers);
    return p;
}

bool sampling_copy(const struct engine *engine, const struct engine_sampling *from, uint64_t seed,
                   struct choice *c)
{
    const struct choice *first = &c->request->choices[0];
    if (c == first) {
        c->sampling = params_of(from);
        c->extras.include_stop = from->include_stop;
        c->extras.final_logprobs = from->final_logprobs;
        if (!copy_lists(engine, from, c))
            return false;
    } else { /* lists are shared */
        c->sampling = first->sampling;
        c->extras = first->extras;
    }
    c->sampling.seed = seed;
    c->sampling.state = &c->sample_state;
    sample_state_init(&c->sample_state, &c->sampling);
    return true;
}

enum pl_status sampling_check_copy(const struct engine *engine, const struct choice *c,
                                   struct pl_error *err)
{
    for (uint32_t i = 0; i < c->extras.n_logprob_ids; i++) {
        int32_t id = c->extras.logprob_ids[i];
        if (id < 0 || (uint32_t)id >= engine->n_vocab)
            return pl_error_set(err, PL_EINVAL,
                                "logprob_token_ids: token %d is not in the vocabulary of %u", id,
                                engine->n_vocab);
    }
    return sample_check_params(&c->sampling, engine->n_vocab, err);
}
