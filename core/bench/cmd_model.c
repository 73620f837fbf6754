/*
 * polder-bench model: speed of prefill (ppN) and of decode (tgN, for -b sequences at once) through the
 * engine, as a server would drive it.
 *
 * Prompts are random ids, new ones for each run, so that no prefix cache answers. A decode run starts from
 * prompts of one token and counts every generated token over the time from the first submit to the last
 * finish. One run of each kind warms up and isn't counted.
 */
#include "bench.h"

#ifdef BENCH_HAVE_ENGINE

#include "session.h"
#include "stats.h"
#include "waiter.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/rng.h"
#include "token/token.h"

#include "base/banned.h"

#define MODEL_TOKENS_MAX (1 << 20) /* of -p and -n: eight times the longest context in use */
#define MODEL_BATCH_MAX  1024
#define MODEL_RUNS_MAX   1000

struct plan {
    int64_t n_prompt, n_gen, n_batch, n_runs; /* -p -n -b -r */
    int64_t n_threads;
    const char *kv_type;
    double load_s;
};

struct result {
    char name[48]; /* "pp512", "tg128", "tg128 b4" */
    int64_t n_prompt, n_gen, n_batch;
    struct samples tokens_per_s;
};

static void on_event(void *user, const struct engine_event *event)
{
    struct waiter *waiter = user;
    if (event->kind != ENGINE_EVENT_FINISH)
        return;
    waiter_finish(waiter, event->finish == ENGINE_FINISH_LENGTH  ? NULL
                          : event->finish == ENGINE_FINISH_ERROR ? event->message
                                                                 : "ended too early");
}

/* Submits n_batch requests of n_prompt random tokens each and waits; the seconds that it took. */
static bool run_once(struct engine *engine, int64_t n_prompt, int64_t n_gen, int64_t n_batch,
                     double *ret_s)
{
    static uint64_t n_runs; /* the number of the stream of random ids */
    n_runs++;
    uint32_t n_vocab = (uint32_t)token_count(engine_vocab(engine));
    int32_t *ids = calloc((size_t)(n_prompt * n_batch), sizeof *ids);
    if (ids == NULL) {
        bench_fail("model", "no memory for a prompt");
        return false;
    }
    for (int64_t i = 0; i < n_prompt * n_batch; i++)
        ids[i] = (int32_t)((double)rng_uniform(1, n_runs, (uint64_t)i) * n_vocab);
    struct waiter waiter;
    waiter_init(&waiter);
    waiter_add(&waiter, (uint32_t)n_batch);
    struct pl_error err = {{0}};
    int64_t start = clock_now_ns();
    for (int64_t b = 0; b < n_batch; b++) {
        const struct engine_request request = {
            .prompt = ids + b * n_prompt,
            .n_prompt = (uint32_t)n_prompt,
            .max_tokens = (uint32_t)n_gen,
            .ignore_eos = true,
            .on_event = on_event,
            .user = &waiter,
        };
        uint64_t id = 0;
        if (engine_submit(engine, &request, &id, &err) != PL_OK)
            waiter_finish(&waiter, err.msg);
    }
    bool ok = waiter_wait(&waiter);
    *ret_s = (double)(clock_now_ns() - start) / CLOCK_NS_PER_S;
    if (!ok)
        bench_fail("model", "%s", waiter.fail.msg);
    waiter_deinit(&waiter);
    free(ids);
    return ok;
}

static bool measure(struct engine *engine, struct result *result, int64_t n_runs)
{
    bool prefill = result->n_gen == 0;
    int64_t n_prompt = prefill ? result->n_prompt : 1;
    int64_t n_gen = prefill ? 1 : result->n_gen;
    double tokens = (double)(prefill ? n_prompt : n_gen * result->n_batch);
    for (int64_t run = -1; run < n_runs; run++) {
        double seconds = 0;
        if (!run_once(engine, n_prompt, n_gen, result->n_batch, &seconds))
            return false;
        if (run >= 0)
            samples_add(&result->tokens_per_s, tokens / seconds);
        fprintf(stderr, "%s run %lld of %lld: %.2f tok/s%s\n", result->name, (long long)run + 1,
                (long long)n_runs, tokens / seconds, run < 0 ? " (warm-up)" : "");
    }
    return true;
}

static uint64_t peak_rss_bytes(void)
{
    struct rusage usage = {0};
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

static void print_md(const struct engine_info *info, const struct plan *plan,
                     struct result *results, size_t n)
{
    puts("| model | params | size | backend | threads | kv | test | tok/s | min | max | runs |");
    puts("| --- | ---: | ---: | --- | ---: | --- | --- | ---: | ---: | ---: | ---: |");
    for (size_t i = 0; i < n; i++) {
        struct samples *s = &results[i].tokens_per_s;
        printf("| %s %s | %.1f M | %.1f MiB | %s | %lld | %s | %s | %.2f | %.2f | %.2f | %zu |\n",
               info->architecture, info->model_name, (double)info->n_params / 1e6,
               (double)info->weight_bytes / (1 << 20), info->backend, (long long)plan->n_threads,
               plan->kv_type, results[i].name, samples_median(s), samples_quantile(s, 0),
               samples_quantile(s, 1), s->n);
    }
}

static void result_json(struct json_writer *w, struct result *result)
{
    struct samples *s = &result->tokens_per_s;
    json_object(w);
    json_key(w, "test");
    json_cstring(w, result->name);
    json_key(w, "n_prompt");
    json_i64(w, result->n_prompt);
    json_key(w, "n_gen");
    json_i64(w, result->n_gen);
    json_key(w, "batch");
    json_i64(w, result->n_batch);
    json_key(w, "samples");
    json_array(w);
    for (size_t i = 0; i < s->n; i++)
        json_f64(w, s->values[i]);
    json_array_end(w);
    json_key(w, "tok_s");
    json_f64(w, samples_median(s));
    json_key(w, "min");
    json_f64(w, samples_quantile(s, 0));
    json_key(w, "max");
    json_f64(w, samples_quantile(s, 1));
    json_key(w, "deviation");
    json_f64(w, samples_deviation(s));
    json_object_end(w);
}

static int print_json(const struct engine_info *info, const struct plan *plan,
                      struct result *results, size_t n)
{
    struct buf out;
    buf_init(&out, 0);
    struct json_writer w;
    json_begin(&w, &out);
    json_object(&w);
    const struct {
        const char *key, *value;
    } texts[] = {
        {"model", info->model_name}, {"architecture", info->architecture},
        {"backend", info->backend},  {"device", info->device},
        {"kv_type", plan->kv_type},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(texts); i++) {
        json_key(&w, texts[i].key);
        json_cstring(&w, texts[i].value);
    }
    json_key(&w, "n_params");
    json_u64(&w, info->n_params);
    json_key(&w, "weight_bytes");
    json_u64(&w, info->weight_bytes);
    json_key(&w, "threads");
    json_i64(&w, plan->n_threads);
    json_key(&w, "load_s");
    json_f64(&w, plan->load_s);
    json_key(&w, "peak_rss_bytes");
    json_u64(&w, peak_rss_bytes());
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
    return failed ? bench_fail("model", "out of memory") : BENCH_OK;
}

/* The results that the plan asks for, not yet measured; how many. */
static size_t make_results(const struct plan *plan, struct result results[2])
{
    size_t n = 0;
    if (plan->n_prompt > 0) {
        results[n] = (struct result){.n_prompt = plan->n_prompt, .n_batch = 1};
        snprintf(results[n].name, sizeof results[n].name, "pp%lld", (long long)plan->n_prompt);
        n++;
    }
    if (plan->n_gen > 0) {
        results[n] = (struct result){.n_gen = plan->n_gen, .n_batch = plan->n_batch};
        int len =
            snprintf(results[n].name, sizeof results[n].name, "tg%lld", (long long)plan->n_gen);
        if (plan->n_batch > 1)
            snprintf(results[n].name + len, sizeof results[n].name - (size_t)len, " b%lld",
                     (long long)plan->n_batch);
        n++;
    }
    return n;
}

static int run_plan(const struct session_options *session, struct plan *plan, unsigned form)
{
    struct result results[2] = {{.n_prompt = 0}, {.n_prompt = 0}};
    size_t n = make_results(plan, results);
    uint32_t ctx_tokens = (uint32_t)PL_MAX(plan->n_prompt + 1, plan->n_gen + 1);
    const struct session_sizes sizes = {
        .ctx_tokens = ctx_tokens,
        .kv_tokens = (uint32_t)PL_MAX((plan->n_gen + 32) * plan->n_batch, ctx_tokens + 32),
        .seqs_max = (uint32_t)plan->n_batch,
        .queue_max = (uint32_t)plan->n_batch + 1,
    };
    struct engine *engine = NULL;
    int64_t start = clock_now_ns();
    int code = session_open("model", session, &sizes, &engine);
    plan->load_s = (double)(clock_now_ns() - start) / CLOCK_NS_PER_S;
    for (size_t i = 0; code == BENCH_OK && i < n; i++)
        if (!measure(engine, &results[i], plan->n_runs))
            code = BENCH_FAILED;
    if (code == BENCH_OK && form == 1)
        code = print_json(engine_info(engine), plan, results, n);
    else if (code == BENCH_OK)
        print_md(engine_info(engine), plan, results, n);
    for (size_t i = 0; i < n; i++)
        samples_deinit(&results[i].tokens_per_s);
    engine_close(engine);
    return code;
}

int cmd_model(int argc, char **argv)
{
    struct session_options session = {0};
    struct plan plan = {.n_prompt = 512, .n_gen = 128, .n_batch = 1, .n_runs = 5};
    const char *output = "md";
    const struct option_row rows[] = {
        SESSION_ROWS(&session),
        {.name = "-p",
         .value = "N",
         .kind = OPTION_INT,
         .target = &plan.n_prompt,
         .min = 0,
         .max = MODEL_TOKENS_MAX,
         .help = "prompt tokens of the prefill test; default 512, 0: none"},
        {.name = "-n",
         .value = "N",
         .kind = OPTION_INT,
         .target = &plan.n_gen,
         .min = 0,
         .max = MODEL_TOKENS_MAX,
         .help = "tokens of the decode test; default 128, 0: none"},
        {.name = "-b",
         .value = "N",
         .kind = OPTION_INT,
         .target = &plan.n_batch,
         .min = 1,
         .max = MODEL_BATCH_MAX,
         .help = "sequences decoded at once; default 1"},
        {.name = "-r",
         .value = "N",
         .kind = OPTION_INT,
         .target = &plan.n_runs,
         .min = 1,
         .max = MODEL_RUNS_MAX,
         .help = "runs of each test after a warm-up; default 5"},
        {.name = "-o",
         .value = "json|md",
         .kind = OPTION_TEXT,
         .target = &output,
         .help = "output form; default md"},
    };
    const struct options options = {
        .command = "model",
        .summary = "Measures prefill (pp) and decode (tg) speed; medians over runs.",
        .rows = rows,
        .n_rows = PL_ARRAY_LEN(rows),
    };
    enum options_result parsed = options_parse(&options, argc, argv);
    if (parsed != OPTIONS_RUN)
        return options_exit(parsed);
    static const char *const outputs[] = {"md", "json", NULL};
    unsigned form = 0;
    if (!options_choice("model", "-o", output, outputs, &form))
        return BENCH_USAGE;
    plan.n_threads = session.n_threads;
    plan.kv_type = session.kv_type == NULL ? "f16" : session.kv_type;
    return run_plan(&session, &plan, form);
}

#else

#include "base/banned.h"

int cmd_model(PL_UNUSED int argc, PL_UNUSED char **argv)
{
    return bench_lacks("model", "the engine");
}

#endif
