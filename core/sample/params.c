/* What parameters and logits may be; see sample.h. */
#include "sample.h"

#include <float.h>
#include <math.h>

#include "passes.h"
#include "base/banned.h"

static enum pl_status check_floats(const struct sample_params *p, struct pl_error *err)
{
    const struct {
        const char *name;
        float value, min, max;
    } ranges[] = {
        {"temperature", p->temperature, 0, FLT_MAX},
        {"dynatemp_range", p->dynatemp_range, 0, SAMPLE_PENALTY_MAX},
        {"dynatemp_exponent", p->dynatemp_exponent, 0, SAMPLE_PENALTY_MAX},
        {"top_p", p->top_p, 0, 1},
        {"min_p", p->min_p, 0, 1},
        {"typical_p", p->typical_p, 0, 1},
        {"top_n_sigma", p->top_n_sigma, 0, SAMPLE_PENALTY_MAX},
        {"xtc_probability", p->xtc_probability, 0, 1},
        {"xtc_threshold", p->xtc_threshold, 0, 1},
        {"repeat_penalty", p->repeat_penalty, 0, SAMPLE_PENALTY_MAX},
        {"presence_penalty", p->presence_penalty, -SAMPLE_PENALTY_MAX, SAMPLE_PENALTY_MAX},
        {"frequency_penalty", p->frequency_penalty, -SAMPLE_PENALTY_MAX, SAMPLE_PENALTY_MAX},
        {"dry_multiplier", p->dry_multiplier, 0, SAMPLE_PENALTY_MAX},
        {"dry_base", p->dry_base, p->dry_multiplier > 0 ? 1 : 0, SAMPLE_PENALTY_MAX},
        {"mirostat_tau", p->mirostat_tau, 0, SAMPLE_PENALTY_MAX},
        {"mirostat_eta", p->mirostat_eta, 0, SAMPLE_PENALTY_MAX},
        {"adaptive_target", p->adaptive_target, 0, 1},
        {"adaptive_decay", p->adaptive_decay, 0, 0.99f},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ranges); i++) {
        float v = ranges[i].value;
        if (!(v >= ranges[i].min && v <= ranges[i].max)) /* NaN too */
            return pl_error_set(err, PL_EINVAL, "%s: %g is not in %g to %g", ranges[i].name,
                                (double)v, (double)ranges[i].min, (double)ranges[i].max);
    }
    if (p->repeat_penalty > 0 && p->repeat_penalty < 1 / SAMPLE_PENALTY_MAX)
        return pl_error_set(err, PL_EINVAL, "repeat_penalty: %g is below %g",
                            (double)p->repeat_penalty, 1 / (double)SAMPLE_PENALTY_MAX);
    return PL_OK;
}

static enum pl_status check_ints(const struct sample_params *p, struct pl_error *err)
{
    if (p->top_k < 0)
        return pl_error_set(err, PL_EINVAL, "top_k: %d is negative", p->top_k);
    if (p->repeat_last_n < -1)
        return pl_error_set(err, PL_EINVAL, "repeat_last_n: %d is below -1", p->repeat_last_n);
    if (p->dry_last_n < -1)
        return pl_error_set(err, PL_EINVAL, "dry_penalty_last_n: %d is below -1", p->dry_last_n);
    if (p->mirostat > 2)
        return pl_error_set(err, PL_EINVAL, "mirostat: %u is not 0, 1 or 2", p->mirostat);
    if (p->n_steps > SAMPLE_STEPS_MAX)
        return pl_error_set(err, PL_EINVAL, "samplers: %u of them, at most %u", p->n_steps,
                            SAMPLE_STEPS_MAX);
    for (uint32_t i = 0; i < p->n_steps; i++)
        if (p->steps[i] >= SAMPLE_N_STEPS)
            return pl_error_set(err, PL_EINVAL, "samplers: there is no %u", p->steps[i]);
    return PL_OK;
}

static enum pl_status check_bias(const struct sample_params *p, uint32_t n_vocab,
                                 struct pl_error *err)
{
    for (uint32_t i = 0; i < p->n_bias; i++) {
        int32_t id = p->bias[i].id;
        if (id < 0 || (uint32_t)id >= n_vocab)
            return pl_error_set(err, PL_EINVAL,
                                "logit_bias: token %d is not in the vocabulary of %u", id, n_vocab);
        float bias = p->bias[i].bias;
        if (bias != -INFINITY && !(fabsf(bias) <= SAMPLE_PENALTY_MAX)) /* NaN too */
            return pl_error_set(err, PL_EINVAL, "logit_bias: %g of token %d is not in -%g to %g",
                                (double)bias, id, (double)SAMPLE_PENALTY_MAX,
                                (double)SAMPLE_PENALTY_MAX);
    }
    return PL_OK;
}

struct ids {
    const char *name;
    const int32_t *ids;
    uint32_t n;
    bool increasing;
};

static enum pl_status check_ids(const struct ids *list, uint32_t n_vocab, struct pl_error *err)
{
    for (uint32_t i = 0; i < list->n; i++) {
        int32_t id = list->ids[i];
        if (id < 0 || (uint32_t)id >= n_vocab)
            return pl_error_set(err, PL_EINVAL, "%s: token %d is not in the vocabulary of %u",
                                list->name, id, n_vocab);
        if (list->increasing && i > 0 && id <= list->ids[i - 1])
            return pl_error_set(err, PL_EINVAL, "%s: token %d is not above the one before",
                                list->name, id);
    }
    return PL_OK;
}

static enum pl_status check_words(const struct sample_words *words, const char *name,
                                  uint32_t n_vocab, struct pl_error *err)
{
    for (uint32_t i = 0; i < words->n; i++)
        if (words->ends[i] <= (i == 0 ? 0 : words->ends[i - 1]))
            return pl_error_set(err, PL_EINVAL, "%s: entry %u has no token", name, i);
    const struct ids list = {name, words->ids, words->n == 0 ? 0 : words->ends[words->n - 1],
                             false};
    return check_ids(&list, n_vocab, err);
}

static enum pl_status check_lists(const struct sample_params *p, uint32_t n_vocab,
                                  struct pl_error *err)
{
    const struct ids lists[] = {
        {"allowed_token_ids", p->allowed, p->n_allowed, true},
        {"stop_token_ids", p->stop_ids, p->n_stop_ids, false},
        {"end of generation", p->eog, p->n_eog, false},
        {"dry_sequence_breakers", p->dry_breakers, p->n_dry_breakers, true},
    };
    enum pl_status status = PL_OK;
    for (size_t i = 0; i < PL_ARRAY_LEN(lists) && status == PL_OK; i++)
        status = check_ids(&lists[i], n_vocab, err);
    if (status == PL_OK)
        status = check_words(&p->bad_words, "bad_words", n_vocab, err);
    return status != PL_OK ? status
                           : check_words(&p->dry_words, "dry_sequence_breakers", n_vocab, err);
}

/* ---- a token must be left -------------------------------------------------------------------- */

static bool is_bad_word(const struct sample_params *p, int32_t id)
{
    uint32_t start = 0;
    for (uint32_t i = 0; i < p->bad_words.n; i++) {
        if (p->bad_words.ends[i] - start == 1 && p->bad_words.ids[start] == id)
            return true;
        start = p->bad_words.ends[i];
    }
    return false;
}

static bool is_banned(const struct sample_params *p, int32_t id)
{
    for (uint32_t i = 0; i < p->n_bias; i++)
        if (p->bias[i].id == id && p->bias[i].bias == -INFINITY)
            return true;
    bool ends = sample_is_stop(p, id);
    for (uint32_t i = 0; i < p->n_eog && !ends; i++)
        ends = p->eog[i] == id;
    return (ends && p->min_tokens > 0) || is_bad_word(p, id);
}

/* Whether the first token can be chosen at all. More bans than tokens are needed to leave none, so this looks
 * at no more tokens than there are bans, and one. */
static bool leaves_any(const struct sample_params *p, uint32_t n_vocab)
{
    uint32_t n = p->n_allowed > 0 ? p->n_allowed : n_vocab;
    for (uint32_t i = 0; i < n; i++)
        if (!is_banned(p, p->n_allowed > 0 ? p->allowed[i] : (int32_t)i))
            return true;
    return false;
}

enum pl_status sample_check_params(const struct sample_params *params, uint32_t n_vocab,
                                   struct pl_error *err)
{
    enum pl_status status = check_floats(params, err);
    if (status == PL_OK)
        status = check_ints(params, err);
    if (status == PL_OK)
        status = check_bias(params, n_vocab, err);
    if (status == PL_OK)
        status = check_lists(params, n_vocab, err);
    if (status == PL_OK && !leaves_any(params, n_vocab))
        status = pl_error_set(err, PL_EINVAL,
                              "%s: together with the other bans no token is left to choose",
                              params->n_allowed > 0 ? "allowed_token_ids" : "logit_bias");
    return status;
}

enum pl_status sample_check_logits(const float *logits, uint32_t n_vocab, struct pl_error *err)
{
    uint32_t n_bad = passes_get()->count_bad(logits, n_vocab);
    if (n_bad == 0)
        return PL_OK;
    uint32_t first = 0;
    while (isfinite(logits[first]))
        first++;
    return pl_error_set(err, PL_EINTERNAL,
                        "the model's logits are not finite (%u of %u, the first is %g of token %u)",
                        n_bad, n_vocab, (double)logits[first], first);
}
