/* See metrics.h: the page. docs/metrics.md says what each family means; keep both together. */
#include "metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/banned.h"

struct page {
    struct buf *out;
    char labels[640]; /* model_name="...", escaped */
    size_t labels_bytes;
};

/* The value of a label, escaped as the format wants: backslash, quote and line end. */
static size_t escape_label(char *to, size_t bytes, const char *from)
{
    size_t at = 0;
    for (const char *p = from; *p != '\0' && at + 3 < bytes; p++) {
        if (*p == '\\' || *p == '"' || *p == '\n')
            to[at++] = '\\';
        to[at++] = *p;
        if (*p == '\n')
            to[at - 1] = 'n';
    }
    to[at] = '\0';
    return at;
}

static void set_labels(struct page *page, const char *model_name)
{
    char name[sizeof page->labels - 16];
    (void)escape_label(name, sizeof name, model_name);
    page->labels_bytes =
        (size_t)snprintf(page->labels, sizeof page->labels, "model_name=\"%s\"", name);
}

/* A page has a thousand lines, is asked for 20 times a second, and is written on the loop: no printf. */
static void put_count(struct buf *out, uint64_t value)
{
    char digits[24];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_append(out, digits + at, sizeof digits - at);
}

static void put_number(struct buf *out, double value)
{
    if (value >= 0 && value < 1e15 && value == floor(value))
        put_count(out, (uint64_t)value);
    else
        buf_printf(out, "%.9g", value);
}

static void head(const struct page *page, const char *name, const char *type, const char *help)
{
    const char *const parts[] = {"# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n"};
    for (size_t i = 0; i < PL_ARRAY_LEN(parts); i++)
        buf_str(page->out, parts[i]);
}

/* name{labels[,label="value"]} and a blank; label may be NULL. */
static void series(const struct page *page, const char *name, const char *part, const char *label,
                   const char *value)
{
    struct buf *out = page->out;
    buf_str(out, name);
    buf_str(out, part);
    buf_char(out, '{');
    buf_append(out, page->labels, page->labels_bytes);
    if (label != NULL) {
        buf_char(out, ',');
        buf_str(out, label);
        buf_str(out, "=\"");
        buf_str(out, value);
        buf_char(out, '"');
    }
    buf_str(out, "} ");
}

static void gauge(const struct page *page, const char *name, double value, const char *help)
{
    head(page, name, "gauge", help);
    series(page, name, "", NULL, NULL);
    put_number(page->out, value);
    buf_char(page->out, '\n');
}

static void counter(const struct page *page, const char *name, uint64_t value, const char *help)
{
    head(page, name, "counter", help);
    series(page, name, "", NULL, NULL);
    put_count(page->out, value);
    buf_char(page->out, '\n');
}

static void seconds(const struct page *page, const char *name, double ns, const char *help)
{
    head(page, name, "counter", help);
    series(page, name, "", NULL, NULL);
    buf_printf(page->out, "%.9f\n", ns / 1e9);
}

/* A counter's series told apart by one more label. */
struct labelled {
    const char *value;
    uint64_t count;
};

static void counters(const struct page *page, const char *name, const char *label,
                     const struct labelled *rows, size_t n, const char *help)
{
    head(page, name, "counter", help);
    for (size_t i = 0; i < n; i++) {
        series(page, name, "", label, rows[i].value);
        put_count(page->out, rows[i].count);
        buf_char(page->out, '\n');
    }
}

/* One line of a histogram; le NULL: its count. */
static void bucket(const struct page *page, const char *name, const char *le, uint64_t n)
{
    series(page, name, le != NULL ? "_bucket" : "_count", le != NULL ? "le" : NULL, le);
    put_count(page->out, n);
    buf_char(page->out, '\n');
}

static void histogram(const struct page *page, const char *name, const struct metrics_histogram *h,
                      enum metrics_bounds kind, const char *help)
{
    size_t n = 0;
    const double *bounds = metrics_bounds(kind, &n);
    uint64_t total = 0;
    head(page, name, "histogram", help);
    for (size_t i = 0; i <= n; i++) {
        char le[32] = "+Inf";
        if (i < n)
            (void)snprintf(le, sizeof le, "%.9g", bounds[i]);
        total += h->counts[i];
        bucket(page, name, le, total);
    }
    series(page, name, "_sum", NULL, NULL);
    put_number(page->out, h->sum);
    buf_char(page->out, '\n');
    bucket(page, name, NULL, total);
}

/* Steps by their rows, counted by the engine in powers of two. */
static void step_rows(const struct page *page, const struct engine_stats *s)
{
    static const char NAME[] = "vllm:iteration_tokens_total";
    uint64_t total = 0;
    head(page, NAME, "histogram", "Tokens computed in a step.");
    for (uint32_t i = 0; i < ENGINE_STEP_BUCKETS; i++) {
        char le[32] = "+Inf";
        if (i + 1 < ENGINE_STEP_BUCKETS)
            (void)snprintf(le, sizeof le, "%u", 1u << i);
        total += s->step_counts[i];
        bucket(page, NAME, le, total);
    }
    series(page, NAME, "_sum", NULL, NULL);
    put_count(page->out, s->step_rows_decode + s->step_rows_prefill);
    buf_char(page->out, '\n');
    bucket(page, NAME, NULL, total);
}

/* ---- by vLLM's names ----------------------------------------------------------------------------- */

static void write_requests(const struct page *page, const struct engine_stats *s)
{
    const struct labelled rows[] = {
        {"stop", s->finished[ENGINE_FINISH_STOP]},
        {"length", s->finished[ENGINE_FINISH_LENGTH]},
        {"abort", s->finished[ENGINE_FINISH_CANCEL]},
        {"error", s->finished[ENGINE_FINISH_ERROR]},
    };
    counters(page, "vllm:request_success_total", "finished_reason", rows, PL_ARRAY_LEN(rows),
             "Finished requests by reason.");
}

static void write_cache_config(const struct page *page, const struct metrics_context *context)
{
    static const char NAME[] = "vllm:cache_config_info";
    if (context->n_blocks == 0)
        return;
    head(page, NAME, "gauge", "Shape of the KV cache.");
    buf_printf(page->out, "%s{%s,block_size=\"%u\",num_gpu_blocks=\"%u\"", NAME, page->labels,
               context->block_tokens, context->n_blocks);
    if (context->cache_dtype != NULL)
        buf_printf(page->out, ",cache_dtype=\"%s\"", context->cache_dtype);
    buf_printf(page->out, ",enable_prefix_caching=\"%s\"} 1\n",
               context->prefix_cache ? "True" : "False");
}

/* No adapters are served; endpoint pickers that look for the family count its absence as an error. */
static void write_lora(const struct page *page)
{
    static const char NAME[] = "vllm:lora_requests_info";
    head(page, NAME, "gauge", "LoRA adapters of requests inside, at the time given.");
    buf_printf(page->out,
               "%s{%s,max_lora=\"0\",running_lora_adapters=\"\",waiting_lora_adapters=\"\"} %lld\n",
               NAME, page->labels, (long long)clock_unix_s());
}

static void write_engine(const struct page *page, const struct metrics_context *context)
{
    const struct engine_stats *s = context->stats;
    double usage = s->blocks_total > 0 ? (double)s->blocks_used / s->blocks_total : 0;
    gauge(page, "vllm:num_requests_running", s->running, "Sequences that are being computed.");
    gauge(page, "vllm:num_requests_waiting", s->waiting, "Sequences in the queue.");
    gauge(page, "vllm:kv_cache_usage_perc", usage, "KV blocks held by sequences, 0 to 1.");
    write_cache_config(page, context);
    write_lora(page);
    counter(page, "vllm:prompt_tokens_total", s->prompt_tokens + s->cache_hit_tokens,
            "Prompt tokens processed, computed or cached.");
    counter(page, "vllm:generation_tokens_total", s->generated_tokens, "Tokens generated.");
    counter(page, "vllm:num_preemptions_total", s->preemptions, "Sequences put back to waiting.");
    counter(page, "vllm:prefix_cache_queries_total", s->cache_queried_tokens,
            "Prompt tokens looked up in the prefix cache.");
    counter(page, "vllm:prefix_cache_hits_total", s->cache_hit_tokens,
            "Prompt tokens found in the prefix cache.");
    counter(page, "vllm:spec_decode_num_drafts_total", s->drafts, "Runs of guesses.");
    counter(page, "vllm:spec_decode_num_draft_tokens_total", s->draft_tokens,
            "Tokens guessed ahead.");
    counter(page, "vllm:spec_decode_num_accepted_tokens_total", s->accepted_tokens,
            "Guessed tokens that were right.");
    write_requests(page, s);
}

static void write_histograms(const struct page *page, const struct metrics *m)
{
#define METRICS_X(member, name, bounds, help)                                                      \
    histogram(page, name, &m->member, METRICS_##bounds, help);
    METRICS_HISTOGRAMS(METRICS_X)
#undef METRICS_X
    histogram(page, "vllm:time_per_output_token_seconds", &m->itl_s, METRICS_ITL,
              "The same as inter_token_latency_seconds, by its older name.");
}

/* ---- by our own ------------------------------------------------------------------------------------ */

static void write_tiers(const struct page *page, const struct engine_stats *s)
{
    uint64_t below = s->cache_ram_hit_tokens + s->cache_disk_hit_tokens;
    const struct labelled hits[] = {
        {"device", s->cache_hit_tokens - PL_MIN(below, s->cache_hit_tokens)},
        {"ram", s->cache_ram_hit_tokens},
        {"disk", s->cache_disk_hit_tokens},
    };
    counters(page, "polder:prefix_cache_hit_tokens_total", "tier", hits, PL_ARRAY_LEN(hits),
             "Prompt tokens found in the prefix cache, by where.");
    gauge(page, "polder:kv_blocks", s->blocks_total, "KV blocks on the device.");
    gauge(page, "polder:kv_blocks_used", s->blocks_used, "Of these, held by sequences.");
    gauge(page, "polder:kv_blocks_cached", s->blocks_cached, "Of these, kept for later prefixes.");
    gauge(page, "polder:kv_ram_blocks", (double)s->ram_blocks, "KV blocks kept in RAM.");
    gauge(page, "polder:kv_ram_blocks_max", (double)s->ram_blocks_max, "At the most.");
    gauge(page, "polder:kv_disk_blocks", (double)s->disk_blocks, "KV blocks kept on disk.");
    gauge(page, "polder:kv_disk_blocks_max", (double)s->disk_blocks_max, "At the most.");
    counter(page, "polder:kv_evicted_blocks_total", s->cache_evicted_blocks,
            "Cached blocks that left the device for want of room.");
    counter(page, "polder:kv_disk_dropped_total", s->disk_dropped,
            "Blocks that were not written, or were found torn.");
    counter(page, "polder:kv_disk_errors_total", s->disk_errors, "Failed reads and writes.");
}

static void write_steps(const struct page *page, const struct engine_stats *s)
{
    const struct labelled rows[] = {{"decode", s->step_rows_decode},
                                    {"prefill", s->step_rows_prefill}};
    double drafts = (double)s->draft_tokens;
    counter(page, "polder:prompt_tokens_computed_total", s->prompt_tokens,
            "Prompt tokens computed.");
    counter(page, "polder:recomputed_tokens_total", s->recomputed_tokens,
            "Tokens computed again after a preemption.");
    counter(page, "polder:steps_total", s->steps, "Steps of the engine.");
    seconds(page, "polder:step_seconds_total", (double)s->step_ns, "Device time of all steps.");
    counters(page, "polder:step_rows_total", "kind", rows, PL_ARRAY_LEN(rows),
             "Rows (tokens) computed in steps.");
    gauge(page, "polder:step_model_fixed_seconds", s->step_fixed_ns / 1e9,
          "The scheduler's model of a step: its fixed part.");
    gauge(page, "polder:step_model_decode_row_seconds", s->step_decode_ns / 1e9,
          "And for each decode row.");
    gauge(page, "polder:step_model_prefill_row_seconds", s->step_prefill_ns / 1e9,
          "And for each prefill row.");
    gauge(page, "polder:spec_decode_acceptance_ratio",
          drafts > 0 ? (double)s->accepted_tokens / drafts : 0,
          "Guessed tokens that were right, of all since the start.");
    counter(page, "polder:device_allocs_total", s->device_allocs,
            "Device allocations while serving.");
    counter(page, "polder:device_compiles_total", s->device_compiles,
            "Programs compiled while serving.");
}

/* What the engine tells of the tenants inside, by the rows that have names here. */
static void gather(const struct tenants *tenants, const struct metrics_context *context,
                   struct engine_tenant *rows)
{
    for (uint32_t i = 0; i < context->n_tenants; i++) {
        const struct engine_tenant *from = &context->tenants[i];
        size_t n = strnlen(from->name, sizeof from->name);
        struct engine_tenant *to = &rows[tenants_find(tenants, from->name, n)];
        to->running += from->running;
        to->waiting += from->waiting;
        to->counter = PL_MAX(to->counter, from->counter);
    }
}

struct tenant_series {
    const char *name, *type, *help;
    double (*of)(const struct tenant *row, const struct engine_tenant *inside);
};

static double running_of(const struct tenant *row, const struct engine_tenant *inside)
{
    (void)row;
    return inside->running;
}

static double waiting_of(const struct tenant *row, const struct engine_tenant *inside)
{
    (void)row;
    return inside->waiting;
}

static double counter_of(const struct tenant *row, const struct engine_tenant *inside)
{
    (void)row;
    return inside->counter;
}

static double requests_of(const struct tenant *row, const struct engine_tenant *inside)
{
    (void)inside;
    return (double)row->requests;
}

static double refused_of(const struct tenant *row, const struct engine_tenant *inside)
{
    (void)inside;
    return (double)row->refused;
}

static double prompt_of(const struct tenant *row, const struct engine_tenant *inside)
{
    (void)inside;
    return (double)row->prompt_tokens;
}

static double cached_of(const struct tenant *row, const struct engine_tenant *inside)
{
    (void)inside;
    return (double)row->cached_tokens;
}

static double output_of(const struct tenant *row, const struct engine_tenant *inside)
{
    (void)inside;
    return (double)row->output_tokens;
}

static const struct tenant_series TENANT_SERIES[] = {
    {"polder:tenant_running", "gauge", "Sequences that are being computed.", running_of},
    {"polder:tenant_waiting", "gauge", "Sequences in the queue.", waiting_of},
    {"polder:tenant_virtual_tokens", "gauge", "Virtual tokens of the fair scheduler.", counter_of},
    {"polder:tenant_requests_total", "counter", "Requests taken.", requests_of},
    {"polder:tenant_refused_total", "counter", "Requests refused: queue full, too late.",
     refused_of},
    {"polder:tenant_prompt_tokens_total", "counter", "Prompt tokens of finished requests.",
     prompt_of},
    {"polder:tenant_cached_tokens_total", "counter", "Of these, found in the prefix cache.",
     cached_of},
    {"polder:tenant_output_tokens_total", "counter", "Generated tokens of finished requests.",
     output_of},
};

static void write_tenants(const struct page *page, const struct metrics *m,
                          const struct metrics_context *context)
{
    struct engine_tenant inside[PL_ARRAY_LEN(m->tenants.rows)] = {0};
    gather(&m->tenants, context, inside);
    for (size_t k = 0; m->tenants.n > 0 && k < PL_ARRAY_LEN(TENANT_SERIES); k++) {
        const struct tenant_series *family = &TENANT_SERIES[k];
        head(page, family->name, family->type, family->help);
        for (uint32_t i = 0; i < m->tenants.n; i++) {
            char name[2 * TENANTS_NAME_BYTES + 3];
            (void)escape_label(name, sizeof name, m->tenants.rows[i].name);
            series(page, family->name, "", "tenant", name);
            put_number(page->out, family->of(&m->tenants.rows[i], &inside[i]));
            buf_char(page->out, '\n');
        }
    }
}

static void write_server(const struct page *page, const struct metrics *m,
                         const struct metrics_context *context)
{
    const struct labelled refused[] = {
        {"queue_full", m->queue_full}, {"deadline", m->deadline_missed}, {"hop", m->hop_refused}};
    gauge(page, "polder:calls", context->n_calls, "Calls that are not answered to the end.");
    gauge(page, "polder:calls_preparing", context->n_preparing,
          "Of these, being read and tokenised beside the loop.");
    counter(page, "polder:http_requests_total", m->http_requests, "HTTP requests handled.");
    counters(page, "polder:requests_refused_total", "reason", refused, PL_ARRAY_LEN(refused),
             "Requests refused, by reason.");
}

/* ---- the process ----------------------------------------------------------------------------------- */

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
    write_histograms(&page, m);
    step_rows(&page, context->stats);
    write_tiers(&page, context->stats);
    write_steps(&page, context->stats);
    write_tenants(&page, m, context);
    write_server(&page, m, context);
    write_process(&page, context);
}
