/*
 * polder-bench server: throughput and latency of an OpenAI-compatible server under concurrent streams.
 *
 * Prompts are random words. How many words make the wanted number of tokens is measured first, by asking
 * the server itself (usage.prompt_tokens); so it works with any tokenizer.
 */
#include "bench.h"
#include "options.h"

#if defined(BENCH_HAVE_HTTP) && defined(PL_HAVE_JSONC)

#include "load.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_writer.h"
#include "base/rng.h"

#include "base/banned.h"

#define FIT_ROUNDS 4 /* corrections of the number of words */

struct server_options {
    const char *url, *concurrency, *output, *model;
    int64_t prompt_tokens, max_tokens, shared_prefix, n_requests;
};

/* Finds a dialect that the server understands, with a prompt of `words` words. */
static enum pl_status find_dialect(struct load_target *target, const struct load_body *body,
                                   struct load_usage *ret, struct pl_error *err)
{
    static const struct load_dialect dialects[] = {
        {.completions = false, .plain = false},
        {.completions = false, .plain = true},
        {.completions = true, .plain = false},
        {.completions = true, .plain = true},
    };
    enum pl_status status = PL_EIO;
    for (size_t i = 0; i < PL_ARRAY_LEN(dialects) && status != PL_OK; i++) {
        target->dialect = dialects[i];
        status = load_ask(target, body, ret, err);
        if (status != PL_OK && status != PL_EINVAL && status != PL_EIO)
            return status;
    }
    if (status == PL_OK && ret->prompt_tokens < 0)
        return pl_error_set(err, PL_EFORMAT, "the server tells no usage.prompt_tokens");
    return status;
}

/* Words for `tokens` tokens in front of what base has, where base makes base_tokens. */
static enum pl_status fit_words(struct load_target *target, const struct load_body *base,
                                int64_t base_tokens, int64_t tokens, bool shared, uint32_t *ret,
                                struct pl_error *err)
{
    double per_word = 1.5;
    uint32_t words = (uint32_t)PL_MAX((double)tokens / per_word, 1.0);
    for (int round = 0; round < FIT_ROUNDS; round++) {
        struct load_body body = *base;
        body.seed += 1 + (uint64_t)round;
        *(shared ? &body.shared_words : &body.words) += words;
        struct load_usage usage;
        enum pl_status status = load_ask(target, &body, &usage, err);
        if (status != PL_OK)
            return status;
        int64_t got = usage.prompt_tokens - base_tokens;
        if (llabs(got - tokens) * 50 <= tokens || got <= 0) /* within 2 % */
            break;
        double next = (double)words * (double)tokens / (double)got;
        words = (uint32_t)PL_MIN(PL_MAX(next + 0.5, 1.0), (double)LOAD_WORDS_MAX);
    }
    *ret = words;
    return PL_OK;
}

static enum pl_status calibrate(struct load_target *target, const struct server_options *o,
                                struct load_body *ret, struct pl_error *err)
{
    struct load_body body = {.seed = rng_entropy(), .words = 1, .max_tokens = 1};
    struct load_usage usage;
    enum pl_status status = find_dialect(target, &body, &usage, err);
    if (status != PL_OK)
        return status;
    uint32_t own = 0;
    uint32_t shared = 0;
    int64_t base = usage.prompt_tokens;
    if (o->prompt_tokens > base) {
        status = fit_words(target, &body, base, o->prompt_tokens - base, false, &own, err);
        body.words += own;
    }
    if (status == PL_OK && o->shared_prefix > 0) {
        struct load_body short_body = body;
        short_body.words = 1;
        status = fit_words(target, &short_body, base, o->shared_prefix, true, &shared, err);
        body.shared_words = shared;
    }
    body.max_tokens = (uint32_t)o->max_tokens;
    body.seed = rng_entropy(); /* prompts that no prefix cache has seen */
    *ret = body;
    return status;
}

/* ---- output ---------------------------------------------------------------------------------- */

struct figures {
    double output_tok_s, total_tok_s;
    double ttft_ms[2], gap_ms[3]; /* p50 p95; p50 p90 p99 */
};

static struct figures figures_of(struct load_result *r)
{
    double wall = r->wall_s > 0 ? r->wall_s : 1e-9;
    return (struct figures){
        .output_tok_s = (double)r->output_tokens / wall,
        .total_tok_s = (double)(r->output_tokens + r->prompt_tokens) / wall,
        .ttft_ms = {1e3 * samples_quantile(&r->ttft_s, 0.5),
                    1e3 * samples_quantile(&r->ttft_s, 0.95)},
        .gap_ms = {1e3 * samples_quantile(&r->gap_s, 0.5), 1e3 * samples_quantile(&r->gap_s, 0.9),
                   1e3 * samples_quantile(&r->gap_s, 0.99)},
    };
}

static void print_md(struct load_result *results, size_t n)
{
    puts("| conc | requests | errors | prompt tok | output tok | output tok/s | total tok/s | TTFT "
         "p50 ms | p95 | ITL p50 ms | p90 | p99 |");
    puts("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (size_t i = 0; i < n; i++) {
        struct load_result *r = &results[i];
        struct figures f = figures_of(r);
        printf("| %u | %u | %u | %lld | %lld | %.1f | %.1f | %.1f | %.1f | %.2f | %.2f | %.2f |\n",
               r->concurrency, r->n_done + r->n_errors, r->n_errors, (long long)r->prompt_tokens,
               (long long)r->output_tokens, f.output_tok_s, f.total_tok_s, f.ttft_ms[0],
               f.ttft_ms[1], f.gap_ms[0], f.gap_ms[1], f.gap_ms[2]);
    }
}

static void result_json(struct json_writer *w, struct load_result *r)
{
    struct figures f = figures_of(r);
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"concurrency", r->concurrency},
        {"requests", r->n_done + r->n_errors},
        {"errors", r->n_errors},
        {"wall_s", r->wall_s},
        {"prompt_tokens", (double)r->prompt_tokens},
        {"cached_tokens", (double)r->cached_tokens},
        {"output_tokens", (double)r->output_tokens},
        {"output_tok_s", f.output_tok_s},
        {"total_tok_s", f.total_tok_s},
        {"ttft_p50_ms", f.ttft_ms[0]},
        {"ttft_p95_ms", f.ttft_ms[1]},
        {"itl_p50_ms", f.gap_ms[0]},
        {"itl_p90_ms", f.gap_ms[1]},
        {"itl_p99_ms", f.gap_ms[2]},
        {"request_p50_s", samples_quantile(&r->total_s, 0.5)},
    };
    json_object(w);
    for (size_t i = 0; i < PL_ARRAY_LEN(numbers); i++) {
        json_key(w, numbers[i].key);
        json_f64(w, numbers[i].value);
    }
    if (r->first_error[0] != '\0') {
        json_key(w, "first_error");
        json_cstring(w, r->first_error);
    }
    json_object_end(w);
}

static int print_json(const struct load_target *target, const struct server_options *o,
                      struct load_result *results, size_t n)
{
    struct buf out;
    struct json_writer w;
    buf_init(&out, 0);
    json_begin(&w, &out);
    json_object(&w);
    json_key(&w, "url");
    json_cstring(&w, o->url);
    json_key(&w, "model");
    json_cstring(&w, target->model);
    json_key(&w, "endpoint");
    json_cstring(&w, target->dialect.completions ? "completions" : "chat/completions");
    json_key(&w, "max_tokens");
    json_i64(&w, o->max_tokens);
    json_key(&w, "shared_prefix");
    json_i64(&w, o->shared_prefix);
    json_key(&w, "results");
    json_array(&w);
    for (size_t i = 0; i < n; i++)
        result_json(&w, &results[i]);
    json_array_end(&w);
    json_object_end(&w);
    bool failed = out.failed;
    if (!failed)
        puts(out.data);
    buf_deinit(&out);
    return failed ? bench_fail("server", "out of memory") : BENCH_OK;
}

/* ---- the runs -------------------------------------------------------------------------------- */

static int run_levels(struct load_target *target, const struct server_options *o,
                      const int64_t *levels, struct load_result *results, size_t n)
{
    struct pl_error err = {{0}};
    struct load_body body;
    if (calibrate(target, o, &body, &err) != PL_OK)
        return bench_fail("server", "%s", err.msg);
    int code = BENCH_OK;
    for (size_t i = 0; i < n; i++) {
        int64_t n_requests = o->n_requests > 0 ? o->n_requests : 4 * levels[i];
        const struct load_plan plan = {
            .concurrency = (uint32_t)levels[i],
            .n_requests = (uint32_t)n_requests,
            .body = body,
        };
        body.seed += (uint64_t)n_requests; /* no prompt twice */
        if (load_run(target, &plan, &results[i], &err) != PL_OK)
            return bench_fail("server", "%s", err.msg);
        fprintf(stderr, "concurrency %lld: %u of %lld done in %.2f s%s%s\n", (long long)levels[i],
                results[i].n_done, (long long)n_requests, results[i].wall_s,
                results[i].n_errors > 0 ? "; first error: " : "", results[i].first_error);
        if (results[i].n_errors > 0)
            code = BENCH_FAILED;
    }
    return code;
}

static int measure(struct load_target *target, const struct server_options *o,
                   const int64_t *levels, size_t n, unsigned form)
{
    struct pl_error err = {{0}};
    if (o->model != NULL)
        snprintf(target->model, sizeof target->model, "%s", o->model);
    else if (load_find_model(target, &err) != PL_OK)
        return bench_fail("server", "%s", err.msg);
    struct load_result *results = calloc(n + 1, sizeof *results);
    if (results == NULL)
        return bench_fail("server", "out of memory");
    int code = run_levels(target, o, levels, results, n);
    bool measured = results[0].wall_s > 0;
    if (measured && form == 1)
        code = print_json(target, o, results, n) == BENCH_OK ? code : BENCH_FAILED;
    else if (measured)
        print_md(results, n);
    for (size_t i = 0; i < n; i++)
        load_result_deinit(&results[i]);
    free(results);
    return code;
}

static int run(const struct server_options *o, const int64_t *levels, size_t n, unsigned form)
{
    struct load_target target;
    struct pl_error err = {{0}};
    if (load_open(o->url, &target, &err) != PL_OK)
        return bench_fail("server", "%s", err.msg);
    int code = measure(&target, o, levels, n, form);
    load_close(&target);
    return code;
}

static enum options_result parse(struct server_options *o, int argc, char **argv)
{
    const struct option_row rows[] = {
        {.name = "--url",
         .value = "URL",
         .kind = OPTION_TEXT,
         .target = &o->url,
         .required = true,
         .help = "http://HOST:PORT of the server"},
        {.name = "--concurrency",
         .value = "N,N,...",
         .kind = OPTION_TEXT,
         .target = &o->concurrency,
         .help = "streams at once, one run for each; default 1"},
        {.name = "--prompt-tokens",
         .value = "N",
         .kind = OPTION_INT,
         .target = &o->prompt_tokens,
         .min = 1,
         .max = LOAD_WORDS_MAX,
         .help = "tokens of a prompt; default 128"},
        {.name = "--max-tokens",
         .value = "N",
         .kind = OPTION_INT,
         .target = &o->max_tokens,
         .min = 1,
         .max = 1 << 20,
         .help = "tokens to generate; default 64"},
        {.name = "--shared-prefix",
         .value = "N",
         .kind = OPTION_INT,
         .target = &o->shared_prefix,
         .min = 0,
         .max = LOAD_WORDS_MAX,
         .help = "tokens in front of each prompt that all share (a system message); default 0"},
        {.name = "--requests",
         .value = "N",
         .kind = OPTION_INT,
         .target = &o->n_requests,
         .min = 0,
         .max = 10000000,
         .help = "requests of each run; default four times its concurrency"},
        {.name = "--model",
         .value = "NAME",
         .kind = OPTION_TEXT,
         .target = &o->model,
         .help = "model to ask for; default: the first of /v1/models"},
        {.name = "-o",
         .value = "json|md",
         .kind = OPTION_TEXT,
         .target = &o->output,
         .help = "output form; default md"},
    };
    const struct options options = {
        .command = "server",
        .summary = "Streams completions from an OpenAI-compatible server and reports throughput,\n"
                   "time to first token and inter-token times. A key is taken from OPENAI_API_KEY.",
        .rows = rows,
        .n_rows = PL_ARRAY_LEN(rows),
    };
    return options_parse(&options, argc, argv);
}

int cmd_server(int argc, char **argv)
{
    struct server_options o = {
        .concurrency = "1", .output = "md", .prompt_tokens = 128, .max_tokens = 64};
    enum options_result parsed = parse(&o, argc, argv);
    if (parsed != OPTIONS_RUN)
        return options_exit(parsed);
    static const char *const outputs[] = {"md", "json", NULL};
    unsigned form = 0;
    int64_t *levels = NULL;
    size_t n = 0;
    if (!options_choice("server", "-o", o.output, outputs, &form) ||
        !options_numbers("server", "--concurrency", o.concurrency, 1, LOAD_CONC_MAX, &levels, &n))
        return BENCH_USAGE;
    int code = run(&o, levels, n, form);
    free(levels);
    return code;
}

#else

#ifdef BENCH_HAVE_HTTP
#define LACKS "json-c"
#else
#define LACKS "the HTTP client"
#endif

int cmd_server(PL_UNUSED int argc, PL_UNUSED char **argv)
{
    return bench_lacks("server", LACKS);
}

#endif
