/*
 * sample/sample.h - from a row of logits to the next token.
 *
 * A function of logits, parameters, the sequence so far and its position; no order of calls, no batch. So a request
 * with a seed gives the same text alone, among others, and after a preemption. Mirostat and adaptive-p
 * follow the text with a few numbers: those are struct sample_state, one per sequence, which sample_token
 * reads and advances. Rows of different sequences may run on several threads, each with its own scratch.
 *
 *   logits -> bias, bans (allowed, bad words, min_tokens) -> steps -> draw
 *
 * Steps are llama-server's samplers, in its default order unless the request gives another:
 *
 *   penalties, dry, top_n_sigma, top_k, typical_p, top_p, min_p, xtc, temperature
 *
 * so filters see probabilities at temperature 1, of the tokens that the step before kept. Temperature 0 takes
 * the best logit after penalties and dry, the lowest id among equals; no other step counts then. Mirostat
 * replaces all steps after dry by the temperature and its own cut. Two differences to llama-server:
 * presence and frequency count generated tokens only, as OpenAI's API says; a random number belongs to
 * (seed, position), not to the order of draws.
 *
 * The draw inverts the cumulative distribution in order of ids at rng_uniform(seed, 0, position) + 2^-25, where
 * position is the number of tokens before the new one; xtc asks stream 1. Sums have a fixed order.
 *
 * Ownership: arrays of params are the caller's, and live as long as params are used.
 * Threads: functions are pure but for the scratch (one thread at a time) and params->state (its sequence).
 * Errors: PL_EINVAL naming a parameter; PL_EINTERNAL for logits that are not finite or all banned.
 * Limits: SAMPLE_*_MAX.  Cost: a few passes over V, no sort, no allocation; neutral parameters cost nothing.
 * Source: llama-server's samplers; vLLM's SamplingParams; OpenAI API reference; papers in docs/internals/sample.md.
 */
#ifndef SAMPLE_SAMPLE_H
#define SAMPLE_SAMPLE_H

#include <polder/status.h>

#define SAMPLE_TOP_MAX        64 /* alternatives of sample_logprobs: three times what the API takes */
#define SAMPLE_PENALTY_MAX    1e6f /* of penalties and biases: larger ones only make infinities */
#define SAMPLE_STEPS_MAX      16   /* of one order: every step once, and some twice */
#define SAMPLE_VOCAB_MAX      (1u << 24) /* tokens: float sums stay exact enough, scratch below 1 GiB */
#define SAMPLE_DRY_WINDOW_MAX 65536      /* tokens that dry looks back on, at the most */

struct sample_bias {
    int32_t id;
    float bias; /* added to the logit; -INFINITY bans */
};

enum sample_step {
    SAMPLE_STEP_PENALTIES,
    SAMPLE_STEP_DRY,
    SAMPLE_STEP_TOP_N_SIGMA,
    SAMPLE_STEP_TOP_K,
    SAMPLE_STEP_TYPICAL_P,
    SAMPLE_STEP_TOP_P,
    SAMPLE_STEP_MIN_P,
    SAMPLE_STEP_XTC,
    SAMPLE_STEP_TEMPERATURE,
    SAMPLE_N_STEPS,
};

/* Sequences of tokens, one after the other. */
struct sample_words {
    const int32_t *ids;
    const uint32_t *ends; /* [n] where each ends in ids; none is empty */
    uint32_t n;
};

/* What mirostat and adaptive-p remember of one sequence. To take back a token, put back a copy from before. */
struct sample_state {
    double mu;          /* mirostat: the surprise, in bits, at which it cuts */
    double sum, weight; /* adaptive-p: decaying sums of the drawn tokens' probabilities, and of 1 */
};

/* Zero is "off" everywhere. */
struct sample_params {
    float temperature; /* 0 = greedy */
    float dynatemp_range,
        dynatemp_exponent; /* temperature +- range, by normalised entropy ^ exponent */
    int32_t top_k;         /* 0 = off */
    float top_p;           /* 0 or 1 = off */
    float min_p;           /* 0 = off */
    float typical_p;       /* 0 or 1 = off */
    float top_n_sigma;     /* 0 = off; standard deviations of the logits below the best */
    float xtc_probability, xtc_threshold; /* probability 0 or threshold > 0.5 = off */
    uint32_t min_keep;       /* tokens that typical_p, top_p, min_p and xtc leave at least */
    float repeat_penalty;    /* 0 or 1 = off; divides positive logits, multiplies others */
    float presence_penalty;  /* subtracted once from each generated token's logit */
    float frequency_penalty; /* subtracted as often as the token was generated */
    int32_t repeat_last_n;   /* tokens of prompt and output for repeat_penalty; 0 = off, -1 = all */
    float dry_multiplier;    /* 0 = off; penalty multiplier * base ^ (length - allowed_length) */
    float dry_base;          /* >= 1 */
    uint32_t dry_allowed_length; /* repeats of fewer tokens go free */
    int32_t dry_last_n;          /* tokens looked at; 0 = off, -1 = all */
    const int32_t *dry_breakers; /* [n_dry_breakers] increasing: tokens that end a repeat */
    uint32_t n_dry_breakers;
    struct sample_words dry_words;         /* sequences that do, by increasing first token */
    uint32_t mirostat;                     /* 0, 1 or 2 */
    float mirostat_tau, mirostat_eta;      /* bits; rate */
    bool adaptive;                         /* adaptive-p, before the draw */
    float adaptive_target, adaptive_decay; /* [0, 1]; [0, 0.99] */
    bool own_steps;                        /* steps [n_steps] instead of the default order */
    uint8_t steps[SAMPLE_STEPS_MAX];
    uint32_t n_steps;
    uint64_t seed;
    const struct sample_bias *bias; /* several for one id add up */
    uint32_t n_bias;
    const int32_t *allowed; /* [n_allowed] increasing; 0 = all are */
    uint32_t n_allowed;
    struct sample_words
        bad_words;       /* in generated tokens, their last one never follows the others */
    uint32_t min_tokens; /* before as many are generated, eog and stop_ids are banned */
    const int32_t *eog, *stop_ids;
    uint32_t n_eog, n_stop_ids;
    struct sample_state
        *state; /* NULL without mirostat and adaptive; a copy for another sequence has its own */
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

/* Ranges, finite values, ids below n_vocab, at least one token that nothing bans for good. */
PL_NODISCARD enum pl_status sample_check_params(const struct sample_params *params,
                                                uint32_t n_vocab, struct pl_error *err);

/* The state before a sequence's first token. */
void sample_state_init(struct sample_state *state, const struct sample_params *params);

/* All finite, or PL_EINTERNAL naming the first that isn't: a broken model or backend. */
PL_NODISCARD enum pl_status sample_check_logits(const float *logits, uint32_t n_vocab,
                                                struct pl_error *err);

/* The next token. logits [V] finite, unchanged; params checked. */
PL_NODISCARD enum pl_status sample_token(struct sample_scratch *scratch, const float *logits,
                                         const struct sample_params *params,
                                         const struct sample_history *history, int32_t *ret_id,
                                         struct pl_error *err);

/* After sample_token, while its logits live: *ret and top are of the distribution that the token was drawn
 * from. Returns how many of n_top <= SAMPLE_TOP_MAX there were; best first, the lower id first among equals. */
uint32_t sample_final_logprobs(struct sample_scratch *scratch, int32_t id,
                               struct sample_logprob *top, uint32_t n_top, float *ret);

/* One of params->stop_ids. */
bool sample_is_stop(const struct sample_params *params, int32_t id);

/* *ret: logprob of id under the raw logits [n_vocab], which are finite. top [n_top]: the best tokens, best
 * first, the lower id first among equals; n_top <= SAMPLE_TOP_MAX and <= n_vocab (PL_CHECK). */
void sample_logprobs(const float *logits, uint32_t n_vocab, int32_t id, struct sample_logprob *top,
                     uint32_t n_top, float *ret);

/* The same for tokens of the caller's choice: fills the logprob of each of list [n], whose ids are < n_vocab. */
void sample_logprobs_of(const float *logits, uint32_t n_vocab, int32_t id,
                        struct sample_logprob *list, uint32_t n, float *ret);

#endif
