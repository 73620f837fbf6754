/*
 * server/metrics.h - the worker's figures in Prometheus text format 0.0.4, by vLLM's names and our own.
 *
 * Schedulers scrape these 20 times a second and one malformed line costs them the whole scrape, so: every
 * family has one TYPE line, every gauge of vLLM's one series, label values are bounded in number, and
 * writing waits for nobody (the engine's part is a snapshot). docs/metrics.md lists them all.
 *
 * Ownership: a plain struct.  Threads: loop thread.  Limits: METRICS_BOUNDS_MAX, TENANTS_MAX.
 * Source: Prometheus exposition formats; vLLM's metric names and bucket bounds.
 */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "tenants.h"

#include "base/buf.h"

#define METRICS_BOUNDS_MAX 24 /* finite bucket bounds of one histogram */

struct metrics_histogram {
    uint64_t counts[METRICS_BOUNDS_MAX + 1]; /* per bucket, not cumulative; last: +Inf */
    double sum;
};

/* member, metric name, bounds, help */
#define METRICS_HISTOGRAMS(X)                                                                      \
    X(ttft_s, "vllm:time_to_first_token_seconds", TTFT, "Arrival to first token.")                 \
    X(itl_s, "vllm:inter_token_latency_seconds", ITL, "Time between two tokens of a text.")        \
    X(tpot_s, "vllm:request_time_per_output_token_seconds", ITL,                                   \
      "Mean time per token after the first, per text.")                                            \
    X(e2e_s, "vllm:e2e_request_latency_seconds", PHASE, "Arrival to the last token.")              \
    X(queue_s, "vllm:request_queue_time_seconds", PHASE,                                           \
      "Waiting until the first row is computed.")                                                  \
    X(prefill_s, "vllm:request_prefill_time_seconds", PHASE, "First row computed to first token.") \
    X(decode_s, "vllm:request_decode_time_seconds", PHASE, "First token to the last.")             \
    X(inference_s, "vllm:request_inference_time_seconds", PHASE, "First row computed to the end.") \
    X(prompt, "vllm:request_prompt_tokens", COUNT, "Prompt tokens per request.")                   \
    X(output, "vllm:request_generation_tokens", COUNT, "Generated tokens per text.")               \
    X(longest, "vllm:request_max_num_generation_tokens", COUNT,                                    \
      "Generated tokens of a request's longest text.")                                             \
    X(max_tokens, "vllm:request_params_max_tokens", COUNT, "max_tokens as asked for.")             \
    X(n, "vllm:request_params_n", NUMBER, "n as asked for.")

struct metrics {
#define METRICS_X(member, name, bounds, help) struct metrics_histogram member;
    METRICS_HISTOGRAMS(METRICS_X)
#undef METRICS_X
    uint64_t http_requests;
    uint64_t queue_full, deadline_missed, hop_refused; /* requests refused, by reason */
    struct tenants tenants;
};

enum metrics_bounds {
    METRICS_TTFT,
    METRICS_ITL,
    METRICS_PHASE,
    METRICS_COUNT,
    METRICS_NUMBER,
};

void metrics_observe(struct metrics_histogram *h, enum metrics_bounds bounds, double value);
void metrics_observe_n(struct metrics_histogram *h, enum metrics_bounds bounds, double value,
                       uint64_t n);

/* What is not the server's own; stats may be all zero while the model loads. */
struct metrics_context {
    const char *model_name;
    const struct engine_stats *stats;
    uint32_t block_tokens, n_blocks;     /* 0: not known yet, and cache_config_info is left out */
    const char *cache_dtype;             /* "f16"; NULL: not told */
    bool prefix_cache;                   /* whether there is one */
    const struct engine_tenant *tenants; /* n_tenants with requests inside */
    uint32_t n_tenants;
    uint32_t n_calls;     /* not answered to the end */
    uint32_t n_preparing; /* of these, being read and tokenised beside the loop */
    int64_t started_unix_s;
};

/* metrics_page.c */
void metrics_write(const struct metrics *m, const struct metrics_context *context, struct buf *out);

/* For metrics_page.c: the finite bounds of a kind. */
const double *metrics_bounds(enum metrics_bounds bounds, size_t *ret_n);

#endif
