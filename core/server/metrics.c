/* See metrics.h. */
#include "metrics.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/banned.h"

static const double TTFT_BOUNDS[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                     0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                     20,    40,    80,   160,  640,  2560};
static const double ITL_BOUNDS[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                    0.15,  0.2,    0.3,   0.4,  0.5,   0.75, 1,     2.5,
                                    5,     7.5,    10,    20,   40,    80};
static const double E2E_BOUNDS[] = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                    30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};
static const double COUNT_BOUNDS[] = {1,    2,    5,   10,  20,  50,  100, 200, 500, 1000,
                                      2000, 5000, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6};

static const struct {
    const double *bounds;
    size_t n;
} BOUNDS[] = {
    [METRICS_TTFT] = {TTFT_BOUNDS, PL_ARRAY_LEN(TTFT_BOUNDS)},
    [METRICS_ITL] = {ITL_BOUNDS, PL_ARRAY_LEN(ITL_BOUNDS)},
    [METRICS_E2E] = {E2E_BOUNDS, PL_ARRAY_LEN(E2E_BOUNDS)},
    [METRICS_COUNT] = {COUNT_BOUNDS, PL_ARRAY_LEN(COUNT_BOUNDS)},
};
_Static_assert(PL_ARRAY_LEN(TTFT_BOUNDS) <= METRICS_BOUNDS_MAX, "ttft");
_Static_assert(PL_ARRAY_LEN(ITL_BOUNDS) <= METRICS_BOUNDS_MAX, "itl");
_Static_assert(PL_ARRAY_LEN(E2E_BOUNDS) <= METRICS_BOUNDS_MAX, "e2e");
_Static_assert(PL_ARRAY_LEN(COUNT_BOUNDS) <= METRICS_BOUNDS_MAX, "count");

void metrics_observe_n(struct metrics_histogram *h, enum metrics_bounds bounds, double value,
                       uint64_t n)
{
    size_t i = 0;
    while (i < BOUNDS[bounds].n && value > BOUNDS[bounds].bounds[i])
        i++;
    h->counts[i] += n;
    h->sum += value * (double)n;
}

void metrics_observe(struct metrics_histogram *h, enum metrics_bounds bounds, double value)
{
    metrics_observe_n(h, bounds, value, 1);
}

/* ---- text ---------------------------------------------------------------------------------------- */

struct page {
    struct buf *out;
    char labels[640]; /* model_name="...", escaped */
};

/* Label values escape backslash, quote and line end; other control characters would be legal but help
 * nobody. */
static void set_labels(struct page *page, const char *model_name)
{
    size_t at = (size_t)snprintf(page->labels, sizeof page->labels, "model_name=\"");
    for (const char *p = model_name; *p != '\0' && at < sizeof page->labels - 4; p++) {
        if (*p == '\\' || *p == '"' || *p == '\n')
            page->labels[at++] = '\\';
        page->labels[at++] = *p;
        if (*p == '\n')
            page->labels[at - 1] = 'n';
    }
    page->labels[at++] = '"';
    page->labels[at] = '\0';
}

static void head(const struct page *page, const char *name, const char *type, const char *help)
{
    buf_printf(page->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(const struct page *page, const char *name, double value, const char *help)
{
    head(page, name, "gauge", help);
    buf_printf(page->out, "%s{%s} %.9g\n", name, page->labels, value);
}

static void counter(const struct page *page, const char *name, uint64_t value, const char *help)
{
    head(page, name, "counter", help);
    buf_printf(page->out, "%s{%s} %llu\n", name, page->labels, (unsigned long long)value);
}

static void histogram(const struct page *page, const char *name, const struct metrics_histogram *h,
                      enum metrics_bounds bounds, const char *help)
{
    head(page, name, "histogram", help);
    uint64_t total = 0;
    for (size_t i = 0; i <= BOUNDS[bounds].n; i++) {
        char le[32] = "+Inf";
        if (i < BOUNDS[bounds].n)
            (void)snprintf(le, sizeof le, "%.9g", BOUNDS[bounds].bounds[i]);
        total += h->counts[i];
        buf_printf(page->out, "%s_bucket{%s,le=\"%s\"} %llu\n", name, page->labels, le,
                   (unsigned long long)total);
    }
    buf_printf(page->out, "%s_sum{%s} %.9g\n", name, page->labels, h->sum);
    buf_printf(page->out, "%s_count{%s} %llu\n", name, page->labels, (unsigned long long)total);
}

static void write_requests(const struct page *page, const struct engine_stats *s)
{
    static const char *const REASONS[] = {
        [ENGINE_FINISH_STOP] = "stop",
        [ENGINE_FINISH_LENGTH] = "length",
        [ENGINE_FINISH_CANCEL] = "abort",
        [ENGINE_FINISH_ERROR] = "error",
    };
    head(page, "vllm:request_success_total", "counter", "Finished requests by reason.");
    for (size_t i = 0; i < PL_ARRAY_LEN(REASONS); i++) {
        buf_printf(page->out, "vllm:request_success_total{%s,finished_reason=\"%s\"} %llu\n",
                   page->labels, REASONS[i], (unsigned long long)s->finished[i]);
    }
}

static void write_engine(const struct page *page, const struct metrics_context *context)
{
    const struct engine_stats *s = context->stats;
    double usage = s->blocks_total > 0 ? (double)s->blocks_used / (double)s->blocks_total : 0;
    gauge(page, "vllm:num_requests_running", s->running, "Requests in the batch.");
    gauge(page, "vllm:num_requests_waiting", s->waiting, "Requests in the queue.");
    gauge(page, "vllm:kv_cache_usage_perc", usage, "KV blocks in use, 0 to 1.");
    if (context->n_blocks > 0) {
        head(page, "vllm:cache_config_info", "gauge", "Shape of the KV cache.");
        buf_printf(page->out,
                   "vllm:cache_config_info{%s,block_size=\"%u\",num_gpu_blocks=\"%u\"} 1\n",
                   page->labels, context->block_tokens, context->n_blocks);
    }
    counter(page, "vllm:prompt_tokens_total", s->prompt_tokens, "Prompt tokens processed.");
    counter(page, "vllm:generation_tokens_total", s->generated_tokens, "Tokens generated.");
    counter(page, "vllm:num_preemptions_total", s->preemptions, "Requests put back to waiting.");
    write_requests(page, s);
}

/* Resident bytes by the kernel's own file; 0 where it can't be read. */
static uint64_t resident_bytes(void)
{
    unsigned long long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu %llu", &total, &resident) != 2) /* NOLINT(cert-err34-c): kernel's text */
        resident = 0;
    (void)fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void write_process(const struct page *page, const struct metrics_context *context)
{
    head(page, "process_start_time_seconds", "gauge", "Unix time of the start.");
    buf_printf(page->out, "process_start_time_seconds %lld\n", (long long)context->started_unix_s);
    head(page, "process_resident_memory_bytes", "gauge", "Resident memory.");
    buf_printf(page->out, "process_resident_memory_bytes %llu\n",
               (unsigned long long)resident_bytes());
    head(page, "process_cpu_seconds_total", "counter", "CPU time, all threads.");
    buf_printf(page->out, "process_cpu_seconds_total %.6f\n", (double)clock_cpu_ns() / 1e9);
}

void metrics_write(const struct metrics *m, const struct metrics_context *context, struct buf *out)
{
    struct page page = {.out = out};
    set_labels(&page, context->model_name);
    write_engine(&page, context);
    counter(&page, "vllm:prefix_cache_queries_total", m->queried_tokens,
            "Prompt tokens looked up in the prefix cache.");
    counter(&page, "vllm:prefix_cache_hits_total", m->cached_tokens,
            "Prompt tokens found in the prefix cache.");
    counter(&page, "polder:http_requests_total", m->http_requests, "HTTP requests handled.");
#define METRICS_X(member, name, bounds, help)                                                      \
    histogram(&page, name, &m->member, METRICS_##bounds, help);
    METRICS_HISTOGRAMS(METRICS_X)
#undef METRICS_X
    histogram(&page, "vllm:time_per_output_token_seconds", &m->itl_s, METRICS_ITL,
              "The same as inter_token_latency_seconds, by its older name.");
    write_process(&page, context);
}
