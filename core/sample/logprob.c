/* Log probabilities of the raw logits; see sample.h. */
#include "sample.h"

#include <math.h>

#include "cut.h"
#include "expf.h"
#include "base/check.h"
#include "base/banned.h"

#define LANES 16 /* partial sums, added up in order: vector code of any width gives the same bits */

static double log_sum_exp(const float *logits, uint32_t n, float best)
{
    double lanes[LANES] = {0};
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (uint32_t j = 0; j < LANES; j++)
            lanes[j] += (double)sample_expf(logits[i + j] - best);
    double sum = 0;
    for (uint32_t j = 0; j < LANES; j++)
        sum += lanes[j];
    for (; i < n; i++)
        sum += (double)sample_expf(logits[i] - best);
    return (double)best + log(sum);
}

/* Insertion into a short list, best first: most logits fail the first comparison. */
static void find_top(const float *logits, uint32_t n_vocab, struct sample_logprob *top,
                     uint32_t n_top)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_vocab; i++) {
        if (n == n_top && !(logits[i] > top[n - 1].logprob))
            continue;
        uint32_t at = n < n_top ? n++ : n - 1;
        while (at > 0 && logits[i] > top[at - 1].logprob) {
            top[at] = top[at - 1];
            at--;
        }
        top[at] = (struct sample_logprob){.id = (int32_t)i, .logprob = logits[i]};
    }
}

void sample_logprobs(const float *logits, uint32_t n_vocab, int32_t id, struct sample_logprob *top,
                     uint32_t n_top, float *ret)
{
    PL_CHECK(id >= 0 && (uint32_t)id < n_vocab);
    PL_CHECK(n_top <= n_vocab && n_top <= SAMPLE_TOP_MAX);
    float best = cut_best(logits, n_vocab);
    double lse = log_sum_exp(logits, n_vocab, best);
    *ret = (float)((double)logits[id] - lse);
    if (n_top == 0)
        return;
    find_top(logits, n_vocab, top, n_top);
    for (uint32_t i = 0; i < n_top; i++)
        top[i].logprob = (float)((double)top[i].logprob - lse);
}
