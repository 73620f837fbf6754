/* Log probabilities, of the raw logits and of the final distribution; see sample.h. */
#include "chain.h"

#include <math.h>

#include "base/check.h"
#include "base/banned.h"

static double log_sum_exp(const float *logits, uint32_t n)
{
    const struct passes *pass = passes_get();
    float best = pass->best(logits, n);
    return (double)best + log(pass->exp_sum(logits, n, best, 1));
}

static uint32_t insert(struct sample_logprob *top, uint32_t n, uint32_t n_top, int32_t id,
                       float logit)
{
    if (n == n_top && !(logit > top[n - 1].logprob))
        return n;
    uint32_t at = n < n_top ? n++ : n - 1;
    for (; at > 0 && logit > top[at - 1].logprob; at--)
        top[at] = top[at - 1];
    top[at] = (struct sample_logprob){.id = id, .logprob = logit};
    return n;
}

/* Insertion into a short list, best first. Most blocks have nothing that is good enough. */
static uint32_t find_top(const struct sample_cands *c, struct sample_logprob *top, uint32_t n_top)
{
    const struct passes *pass = passes_get();
    uint32_t n = 0;
    for (uint32_t from = 0; from < c->n; from += PASS_BLOCK * 4) {
        uint32_t end = PL_MIN(from + PASS_BLOCK * 4, c->n);
        if (n == n_top && !(pass->best(c->logit + from, end - from) > top[n - 1].logprob))
            continue;
        for (uint32_t i = from; i < end; i++)
            n = insert(top, n, n_top, cands_id(c, i), c->logit[i]);
    }
    return n;
}

void sample_logprobs(const float *logits, uint32_t n_vocab, int32_t id, struct sample_logprob *top,
                     uint32_t n_top, float *ret)
{
    PL_CHECK(id >= 0 && (uint32_t)id < n_vocab);
    PL_CHECK(n_top <= n_vocab && n_top <= SAMPLE_TOP_MAX);
    double lse = log_sum_exp(logits, n_vocab);
    *ret = (float)((double)logits[id] - lse);
    if (n_top == 0)
        return;
    const struct sample_cands all = {.logit = logits, .n = n_vocab};
    (void)find_top(&all, top, n_top);
    for (uint32_t i = 0; i < n_top; i++)
        top[i].logprob = (float)((double)top[i].logprob - lse);
}

void sample_logprobs_of(const float *logits, uint32_t n_vocab, int32_t id,
                        struct sample_logprob *list, uint32_t n, float *ret)
{
    double lse = log_sum_exp(logits, n_vocab);
    PL_CHECK(id >= 0 && (uint32_t)id < n_vocab);
    *ret = (float)((double)logits[id] - lse);
    for (uint32_t i = 0; i < n; i++) {
        PL_CHECK(list[i].id >= 0 && (uint32_t)list[i].id < n_vocab);
        list[i].logprob = (float)((double)logits[list[i].id] - lse);
    }
}

uint32_t sample_final_logprobs(struct sample_scratch *scratch, int32_t id,
                               struct sample_logprob *top, uint32_t n_top, float *ret)
{
    PL_CHECK(n_top <= SAMPLE_TOP_MAX);
    struct sample_scratch *s = scratch;
    const struct sample_cands *c = &s->cands;
    double best = (double)cands_best(s);
    double log_total = log(s->total);
    *ret = -INFINITY;
    for (uint32_t i = 0; i < c->n; i++)
        if (cands_id(c, i) == id)
            *ret = (float)(((double)c->logit[i] - best) * (double)c->scale - log_total);
    uint32_t n = n_top > 0 ? find_top(c, top, n_top) : 0;
    while (n > 0 && !(top[n - 1].logprob > -INFINITY))
        n--; /* banned */
    for (uint32_t i = 0; i < n; i++)
        top[i].logprob = (float)(((double)top[i].logprob - best) * (double)c->scale - log_total);
    return n;
}
