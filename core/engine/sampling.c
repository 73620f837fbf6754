/* Sampling parameters from the caller's struct to the sampler's; see impl.h. Runs on the caller's thread. */
#include "impl.h"

#include "base/banned.h"

enum pl_status sampling_check(const struct engine_sampling *from, struct pl_error *err)
{
    if (from->n_bias > ENGINE_BIAS_MAX)
        return pl_error_set(err, PL_EINVAL, "logit_bias: %u entries, at most %u are taken",
                            from->n_bias, ENGINE_BIAS_MAX);
    return PL_OK;
}

bool sampling_copy(struct arena *arena, const struct engine_sampling *from, uint64_t seed,
                   struct sample_params *ret)
{
    struct sample_bias *bias = arena_array(arena, from->n_bias, sizeof *bias);
    if (bias == NULL)
        return false;
    for (uint32_t i = 0; i < from->n_bias; i++)
        bias[i] = (struct sample_bias){.id = from->bias[i].id, .bias = from->bias[i].bias};
    *ret = (struct sample_params){
        .temperature = from->temperature,
        .top_k = from->top_k,
        .top_p = from->top_p,
        .min_p = from->min_p,
        .repeat_penalty = from->repeat_penalty,
        .presence_penalty = from->presence_penalty,
        .frequency_penalty = from->frequency_penalty,
        .repeat_last_n = from->repeat_last_n,
        .seed = seed,
        .bias = bias,
        .n_bias = from->n_bias,
    };
    return true;
}
