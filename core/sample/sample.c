/* The sampler chain; see sample.h for its order. */
#include "sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cut.h"
#include "expf.h"
#include "base/check.h"
#include "base/rng.h"
#include "base/banned.h"

struct sample_scratch {
    uint32_t n_vocab;
    struct sample_cand *cands; /* [V] */
    float *weights;            /* [V] */
    uint32_t *counts;          /* [V] all 0 between calls */
    double mass[CUT_BUCKETS];
};

enum pl_status sample_scratch_new(uint32_t n_vocab, struct sample_scratch **ret,
                                  struct pl_error *err)
{
    if (n_vocab == 0 || n_vocab > INT32_MAX)
        return pl_error_set(err, PL_EINVAL, "sample: a vocabulary of %u tokens", n_vocab);
    struct sample_scratch *s = calloc(1, sizeof *s);
    if (s != NULL) {
        s->n_vocab = n_vocab;
        s->cands = calloc(n_vocab, sizeof *s->cands);
        s->weights = calloc(n_vocab, sizeof *s->weights);
        s->counts = calloc(n_vocab, sizeof *s->counts);
    }
    if (s == NULL || s->cands == NULL || s->weights == NULL || s->counts == NULL) {
        sample_scratch_free(s);
        return pl_error_set(err, PL_ENOMEM, "sample: no memory for %u logits", n_vocab);
    }
    *ret = s;
    return PL_OK;
}

void sample_scratch_free(struct sample_scratch *scratch)
{
    if (scratch == NULL)
        return;
    free(scratch->cands);
    free(scratch->weights);
    free(scratch->counts);
    free(scratch);
}

/* ---- checks ---------------------------------------------------------------------------------- */

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

enum pl_status sample_check_params(const struct sample_params *params, uint32_t n_vocab,
                                   struct pl_error *err)
{
    const struct {
        const char *name;
        float value, min, max;
    } ranges[] = {
        {"temperature", params->temperature, 0, INFINITY},
        {"top_p", params->top_p, 0, 1},
        {"min_p", params->min_p, 0, 1},
        {"repeat_penalty", params->repeat_penalty, 0, SAMPLE_PENALTY_MAX},
        {"presence_penalty", params->presence_penalty, -SAMPLE_PENALTY_MAX, SAMPLE_PENALTY_MAX},
        {"frequency_penalty", params->frequency_penalty, -SAMPLE_PENALTY_MAX, SAMPLE_PENALTY_MAX},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ranges); i++) {
        float v = ranges[i].value;
        if (!(v >= ranges[i].min && v <= ranges[i].max) || isinf(v))
            return pl_error_set(err, PL_EINVAL, "%s: %g is not in %g to %g", ranges[i].name,
                                (double)v, (double)ranges[i].min, (double)ranges[i].max);
    }
    if (params->repeat_penalty > 0 && params->repeat_penalty < 1 / SAMPLE_PENALTY_MAX)
        return pl_error_set(err, PL_EINVAL, "repeat_penalty: %g is below %g",
                            (double)params->repeat_penalty, 1 / (double)SAMPLE_PENALTY_MAX);
    if (params->top_k < 0)
        return pl_error_set(err, PL_EINVAL, "top_k: %d is negative", params->top_k);
    if (params->repeat_last_n < -1)
        return pl_error_set(err, PL_EINVAL, "repeat_last_n: %d is below -1", params->repeat_last_n);
    return check_bias(params, n_vocab, err);
}

enum pl_status sample_check_logits(const float *logits, uint32_t n_vocab, struct pl_error *err)
{
    uint32_t n_bad = 0;
    for (uint32_t i = 0; i < n_vocab; i++) {
        uint32_t bits;
        memcpy(&bits, &logits[i], sizeof bits);
        n_bad += (bits & 0x7F800000u) == 0x7F800000u; /* infinite or NaN */
    }
    if (n_bad == 0)
        return PL_OK;
    uint32_t first = 0;
    while (isfinite(logits[first]))
        first++;
    return pl_error_set(err, PL_EINTERNAL,
                        "the model's logits are not finite (%u of %u, the first is %g of token %u)",
                        n_bad, n_vocab, (double)logits[first], first);
}

/* ---- the chain ------------------------------------------------------------------------------- */

/* While penalties are applied cands[id].id == id. */
static void apply_bias(struct sample_scratch *s, const struct sample_params *p)
{
    for (uint32_t i = 0; i < p->n_bias; i++)
        s->cands[p->bias[i].id].logit += p->bias[i].bias;
}

static void apply_repeat(struct sample_scratch *s, const struct sample_params *p,
                         const struct sample_history *h)
{
    float penalty = p->repeat_penalty;
    if (penalty == 0 || penalty == 1 || p->repeat_last_n == 0)
        return;
    uint32_t n = h->n;
    if (p->repeat_last_n > 0)
        n = PL_MIN(n, (uint32_t)p->repeat_last_n);
    const int32_t *ids = h->ids + (h->n - n);
    for (uint32_t i = 0; i < n; i++) {
        if (s->counts[ids[i]]++ > 0)
            continue; /* once per token, however often it occurs */
        float *logit = &s->cands[ids[i]].logit;
        *logit = *logit > 0 ? *logit / penalty : *logit * penalty;
    }
    for (uint32_t i = 0; i < n; i++)
        s->counts[ids[i]] = 0;
}

static void apply_output_penalties(struct sample_scratch *s, const struct sample_params *p,
                                   const struct sample_history *h)
{
    if (p->presence_penalty == 0 && p->frequency_penalty == 0)
        return;
    for (uint32_t i = h->n_prompt; i < h->n; i++)
        s->counts[h->ids[i]]++;
    for (uint32_t i = h->n_prompt; i < h->n; i++) {
        int32_t id = h->ids[i];
        if (s->counts[id] == 0)
            continue; /* done at an earlier occurrence */
        s->cands[id].logit -= (float)s->counts[id] * p->frequency_penalty + p->presence_penalty;
        s->counts[id] = 0;
    }
}

static int32_t best_of(const struct sample_cand *cands, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (cands[i].logit > cands[best].logit)
            best = i;
    return cands[best].id;
}

/* Drops what bias or penalties made infinite, downwards. */
static uint32_t drop_banned(struct sample_cand *cands, uint32_t n)
{
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (isfinite(cands[i].logit))
            cands[n_kept++] = cands[i];
    return n_kept;
}

static int32_t draw(struct sample_scratch *s, uint32_t n, float temperature, float uniform)
{
    const struct sample_cand *cands = s->cands;
    float best = cut_best(cands, n);
    float scale = 1.0f / temperature;
    if (!isfinite(scale)) /* so cold that only the best are left */
        return best_of(cands, n);
    for (uint32_t i = 0; i < n; i++)
        s->weights[i] = sample_expf((cands[i].logit - best) * scale);
    double total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += (double)s->weights[i];
    double target = (double)uniform * total;
    double sum = 0;
    uint32_t chosen = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (s->weights[i] <= 0)
            continue;
        chosen = i; /* the last one with weight, should rounding leave target >= sum */
        sum += (double)s->weights[i];
        if (sum > target)
            break;
    }
    return cands[chosen].id;
}

static uint32_t filter(struct sample_scratch *s, uint32_t n, const struct sample_params *p)
{
    if (p->top_k > 0)
        n = cut_top_k(s->cands, n, (uint32_t)p->top_k, s->mass);
    if (p->top_p > 0 && p->top_p < 1)
        n = cut_top_p(s->cands, n, p->top_p, s->mass);
    if (p->min_p > 0)
        n = cut_min_p(s->cands, n, p->min_p);
    return n;
}

enum pl_status sample_token(struct sample_scratch *scratch, const float *logits,
                            const struct sample_params *params,
                            const struct sample_history *history, int32_t *ret_id,
                            struct pl_error *err)
{
    struct sample_scratch *s = scratch;
    PL_CHECK(history->n_prompt <= history->n);
    for (uint32_t i = 0; i < s->n_vocab; i++)
        s->cands[i] = (struct sample_cand){.logit = logits[i], .id = (int32_t)i};
    apply_bias(s, params);
    apply_repeat(s, params, history);
    apply_output_penalties(s, params, history);
    uint32_t n = drop_banned(s->cands, s->n_vocab);
    if (n == 0)
        return pl_error_set(err, PL_EINTERNAL, "logit_bias and penalties leave no token to choose");
    if (params->temperature <= 0) {
        *ret_id = best_of(s->cands, n);
        return PL_OK;
    }
    n = filter(s, n, params);
    *ret_id = draw(s, n, params->temperature, rng_uniform(params->seed, 0, history->n));
    return PL_OK;
}
