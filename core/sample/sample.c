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
    struct sample_cands cands; /* arrays [V] */
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
        s->cands.logit = calloc(n_vocab, sizeof *s->cands.logit);
        s->cands.id = calloc(n_vocab, sizeof *s->cands.id);
        s->weights = calloc(n_vocab, sizeof *s->weights);
        s->counts = calloc(n_vocab, sizeof *s->counts);
    }
    if (s == NULL || s->cands.logit == NULL || s->cands.id == NULL || s->weights == NULL ||
        s->counts == NULL) {
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
    free(scratch->cands.logit);
    free(scratch->cands.id);
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

/* While bias and penalties are applied cands.logit[id] is the logit of id. */
static void apply_bias(struct sample_scratch *s, const struct sample_params *p)
{
    for (uint32_t i = 0; i < p->n_bias; i++)
        s->cands.logit[p->bias[i].id] += p->bias[i].bias;
}

static bool has_repeat(const struct sample_params *p)
{
    return p->repeat_penalty != 0 && p->repeat_penalty != 1 && p->repeat_last_n != 0;
}

static void apply_repeat(struct sample_scratch *s, const struct sample_params *p,
                         const struct sample_history *h)
{
    uint32_t n = h->n;
    if (p->repeat_last_n > 0)
        n = PL_MIN(n, (uint32_t)p->repeat_last_n);
    const int32_t *ids = h->ids + (h->n - n);
    for (uint32_t i = 0; i < n; i++) {
        if (s->counts[ids[i]]++ > 0)
            continue; /* once per token, however often it occurs */
        float *logit = &s->cands.logit[ids[i]];
        *logit = *logit > 0 ? *logit / p->repeat_penalty : *logit * p->repeat_penalty;
    }
    for (uint32_t i = 0; i < n; i++)
        s->counts[ids[i]] = 0;
}

static void apply_output_penalties(struct sample_scratch *s, const struct sample_params *p,
                                   const struct sample_history *h)
{
    for (uint32_t i = h->n_prompt; i < h->n; i++)
        s->counts[h->ids[i]]++;
    for (uint32_t i = h->n_prompt; i < h->n; i++) {
        int32_t id = h->ids[i];
        if (s->counts[id] == 0)
            continue; /* done at an earlier occurrence */
        s->cands.logit[id] -= (float)s->counts[id] * p->frequency_penalty + p->presence_penalty;
        s->counts[id] = 0;
    }
}

/* The candidates after bias and penalties; what those made infinite is dropped. */
static void fill_cands(struct sample_scratch *s, const float *logits, const struct sample_params *p,
                       const struct sample_history *h)
{
    struct sample_cands *c = &s->cands;
    memcpy(c->logit, logits, s->n_vocab * sizeof *logits);
    for (uint32_t i = 0; i < s->n_vocab; i++)
        c->id[i] = (int32_t)i;
    c->n = s->n_vocab;
    apply_bias(s, p);
    if (has_repeat(p))
        apply_repeat(s, p, h);
    if (p->presence_penalty != 0 || p->frequency_penalty != 0)
        apply_output_penalties(s, p, h);
    if (p->n_bias == 0 && !has_repeat(p))
        return;
    c->n = 0;
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        if (!isfinite(c->logit[i]))
            continue;
        c->logit[c->n] = c->logit[i];
        c->id[c->n++] = (int32_t)i;
    }
}

/* Index of the first of the largest. */
static uint32_t best_of(const float *logits, uint32_t n)
{
    float best = cut_best(logits, n);
    uint32_t i = 0;
    while (i + 1 < n && logits[i] != best)
        i++;
    return i;
}

static int32_t draw(struct sample_scratch *s, float temperature, float uniform)
{
    const struct sample_cands *c = &s->cands;
    float best = cut_best(c->logit, c->n);
    float scale = 1.0f / temperature;
    if (!isfinite(scale)) /* so cold that only the best is left */
        return c->id[best_of(c->logit, c->n)];
    for (uint32_t i = 0; i < c->n; i++)
        s->weights[i] = sample_expf((c->logit[i] - best) * scale);
    /* uniform is a multiple of 2^-24: the middle of its step, so that 0 doesn't choose the first id. */
    double target = ((double)uniform + 0x1p-25) * cut_sum(s->weights, c->n);
    double sum = 0;
    uint32_t chosen = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        if (s->weights[i] <= 0)
            continue;
        chosen = i; /* the last one with weight, should rounding leave target >= sum */
        sum += (double)s->weights[i];
        if (sum > target)
            break;
    }
    return c->id[chosen];
}

static void filter(struct sample_scratch *s, const struct sample_params *p)
{
    if (p->top_k > 0)
        cut_top_k(&s->cands, (uint32_t)p->top_k, s->mass);
    if (p->top_p > 0 && p->top_p < 1)
        cut_top_p(&s->cands, p->top_p, s->weights, s->mass);
    if (p->min_p > 0)
        cut_min_p(&s->cands, p->min_p);
}

enum pl_status sample_token(struct sample_scratch *scratch, const float *logits,
                            const struct sample_params *params,
                            const struct sample_history *history, int32_t *ret_id,
                            struct pl_error *err)
{
    struct sample_scratch *s = scratch;
    PL_CHECK(history->n_prompt <= history->n);
    fill_cands(s, logits, params, history);
    if (s->cands.n == 0)
        return pl_error_set(err, PL_EINTERNAL, "logit_bias and penalties leave no token to choose");
    if (params->temperature <= 0) {
        *ret_id = s->cands.id[best_of(s->cands.logit, s->cands.n)];
        return PL_OK;
    }
    filter(s, params);
    *ret_id = draw(s, params->temperature, rng_uniform(params->seed, 0, history->n));
    return PL_OK;
}
