/*
 * sample/sample.h - from a row of logits to the next token.
 *
 * A pure function of logits, parameters, the sequence so far and its position: no state, no order of calls,
 * no batch. So a request with a seed gives the same text alone, among others, and after a preemption.
 *
 * The order of the steps is llama-server's default:
 *
 *   logits -> logit_bias -> penalties (repeat, then frequency and presence) -> top_k -> top_p -> min_p
 *          -> temperature -> draw
 *
 * so top_p and min_p see probabilities at temperature 1, of the tokens that top_k kept. Temperature 0 takes
 * the best logit after the penalties, the lowest id among equals; the filters change nothing then. One
 * difference: presence and frequency count generated tokens only, as OpenAI's API says.
 *
 * The draw inverts the cumulative distribution in order of ids at rng_uniform(seed, 0, position) + 2^-25, where
 * position is the number of tokens before the new one. Sums are double, in a fixed order.
 *
 * Ownership: a scratch serves one thread, any number of requests.
 * Threads: functions are pure but for the scratch.
 * Errors: PL_EINVAL naming a parameter; PL_EINTERNAL for logits that are not finite or all banned.
 * Limits: SAMPLE_TOP_MAX.  Cost: a few passes over V, no sort, no allocation.
 * Source: llama-server's sampler chain; OpenAI API reference; Nguyen et al. 2024 (min-p); ours, docs/internals/sample.md.
 */
#ifndef SAMPLE_SAMPLE_H
#define SAMPLE_SAMPLE_H

#include <polder/status.h>

#define SAMPLE_TOP_MAX     64 /* alternatives of sample_logprobs: three times what the API takes */
#define SAMPLE_PENALTY_MAX 1e6f /* of penalties and biases: larger ones only make infinities */

struct sample_bias {
    int32_t id;
    float bias; /* added to the logit; -INFINITY bans */
};

struct sample_params {
    float temperature;       /* 0 = greedy */
    int32_t top_k;           /* 0 = off */
    float top_p;             /* 0 or 1 = off */
    float min_p;             /* 0 = off */
    float repeat_penalty;    /* 0 or 1 = off; divides positive logits, multiplies others */
    float presence_penalty;  /* subtracted once from each generated token's logit */
    float frequency_penalty; /* subtracted as often as the token was generated */
    int32_t
        repeat_last_n; /* tokens of prompt and output that repeat_penalty sees; 0 = off, -1 = all */
    uint64_t seed;
    const struct sample_bias *bias; /* several for one id add up */
    uint32_t n_bias;
};

/* The sequence so far. */
struct sample_history {
    const int32_t *ids; /* [n], all < V */
    uint32_t n_prompt;
    uint32_t n; /* prompt and output: the new token's position */
};

struct sample_logprob {
    int32_t id;
    float logprob; /* natural log of the raw logits' softmax */
};

struct sample_scratch;

PL_NODISCARD enum pl_status sample_scratch_new(uint32_t n_vocab, struct sample_scratch **ret,
                                               struct pl_error *err);
void sample_scratch_free(struct sample_scratch *scratch);

/* Ranges, finite values, ids below n_vocab. */
PL_NODISCARD enum pl_status sample_check_params(const struct sample_params *params,
                                                uint32_t n_vocab, struct pl_error *err);

/* All finite, or PL_EINTERNAL naming the first that isn't: a broken model or backend. */
PL_NODISCARD enum pl_status sample_check_logits(const float *logits, uint32_t n_vocab,
                                                struct pl_error *err);

/* The next token. logits [V] finite, unchanged; params checked. */
PL_NODISCARD enum pl_status sample_token(struct sample_scratch *scratch, const float *logits,
                                         const struct sample_params *params,
                                         const struct sample_history *history, int32_t *ret_id,
                                         struct pl_error *err);

/* *ret: logprob of id under the raw logits [n_vocab], which are finite. top [n_top]: the best tokens, best
 * first, the lower id first among equals; n_top <= SAMPLE_TOP_MAX and <= n_vocab (PL_CHECK). */
void sample_logprobs(const float *logits, uint32_t n_vocab, int32_t id, struct sample_logprob *top,
                     uint32_t n_top, float *ret);

#endif
