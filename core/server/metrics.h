/*
 * server/metrics.h - the worker's figures in Prometheus text format 0.0.4, by vLLM's names.
 *
 * Schedulers scrape these 20 times a second and one malformed line costs them the whole scrape, so: every
 * family has one TYPE line, every gauge one series, and writing waits for nobody (the engine's part is a
 * snapshot).
 *
 * Ownership: a plain struct.  Threads: loop thread.  Limits: METRICS_BOUNDS_MAX.
 * Source: Prometheus exposition formats; vLLM's metric names and bucket bounds.
 */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "base/buf.h"

#include "engine.h"

#define METRICS_BOUNDS_MAX 24 /* finite bucket bounds of one histogram */

struct metrics_histogram {
    uint64_t counts[METRICS_BOUNDS_MAX + 1]; /* per bucket, not cumulative; last: +Inf */
    double sum;
};

/* member, metric name, bounds, help */
#define METRICS_HISTOGRAMS(X)                                                                      \
    X(ttft_s, "vllm:time_to_first_token_seconds", TTFT, "Arrival to first token.")                 \
    X(itl_s, "vllm:inter_token_latency_seconds", ITL, "Time between two tokens of a request.")     \
    X(tpot_s, "vllm:request_time_per_output_token_seconds", ITL,                                   \
      "Mean time per token after the first, per request.")                                         \
    X(e2e_s, "vllm:e2e_request_latency_seconds", E2E, "Arrival to the last token.")                \
    X(prompt, "vllm:request_prompt_tokens", COUNT, "Prompt tokens per request.")                   \
    X(output, "vllm:request_generation_tokens", COUNT, "Generated tokens per request.")            \
    X(max_tokens, "vllm:request_params_max_tokens", COUNT, "max_tokens as asked for.")

struct metrics {
#define METRICS_X(member, name, bounds, help) struct metrics_histogram member;
    METRICS_HISTOGRAMS(METRICS_X)
#undef METRICS_X
    uint64_t queried_tokens, cached_tokens; /* of finished requests */
    uint64_t http_requests;
};

enum metrics_bounds {
    METRICS_TTFT,
    METRICS_ITL,
    METRICS_E2E,
    METRICS_COUNT,
};

void metrics_observe(struct metrics_histogram *h, enum metrics_bounds bounds, double value);
void metrics_observe_n(struct metrics_histogram *h, enum metrics_bounds bounds, double value,
                       uint64_t n);

/* What is not the server's own; stats may be all zero while the model loads. */
struct metrics_context {
    const char *model_name;
    const struct engine_stats *stats;
    uint32_t block_tokens, n_blocks; /* 0: not known yet, and cache_config_info is left out */
    int64_t started_unix_s;
};

void metrics_write(const struct metrics *m, const struct metrics_context *context, struct buf *out);

#endif
