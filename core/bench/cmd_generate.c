/*
 * polder-bench generate: the greedy continuation of a token sequence, as a JSON array of ids.
 */
#include "bench.h"

#ifdef BENCH_HAVE_ENGINE

#include "session.h"
#include "waiter.h"

#include <stdlib.h>

#include "base/banned.h"

struct continuation {
    struct waiter waiter;
    int32_t *ids; /* [n_max]; written on the engine thread until the finish */
    size_t n, n_max;
};

static void on_event(void *user, const struct engine_event *event)
{
    struct continuation *c = user;
    if (event->kind == ENGINE_EVENT_TOKEN && c->n < c->n_max)
        c->ids[c->n++] = event->id;
    if (event->kind == ENGINE_EVENT_FINISH)
        waiter_finish(&c->waiter, event->finish == ENGINE_FINISH_ERROR ? event->message : NULL);
}

static int run(struct engine *engine, const int32_t *prompt, size_t n_prompt, size_t n_max,
               bool stop_at_end)
{
    struct continuation c = {.n_max = n_max, .ids = calloc(n_max, sizeof(int32_t))};
    if (c.ids == NULL)
        return bench_fail("generate", "no memory for %zu ids", n_max);
    const struct engine_request request = {
        .prompt = prompt,
        .n_prompt = (uint32_t)n_prompt,
        .max_tokens = (uint32_t)n_max,
        .ignore_eos = !stop_at_end,
        .on_event = on_event,
        .user = &c,
    };
    waiter_init(&c.waiter);
    waiter_add(&c.waiter, 1);
    struct pl_error err = {{0}};
    uint64_t id = 0;
    int code = BENCH_OK;
    if (engine_submit(engine, &request, &id, &err) != PL_OK)
        code = bench_fail("generate", "%s", err.msg);
    else if (!waiter_wait(&c.waiter))
        code = bench_fail("generate", "%s", c.waiter.fail.msg);
    if (code == BENCH_OK) {
        putchar('[');
        for (size_t i = 0; i < c.n; i++)
            printf("%s%d", i == 0 ? "" : ",", c.ids[i]);
        puts("]");
    }
    waiter_deinit(&c.waiter);
    free(c.ids);
    return code;
}

int cmd_generate(int argc, char **argv)
{
    struct session_options session = {0};
    const char *tokens = NULL;
    int64_t n_max = 0;
    bool stop = false;
    const struct option_row rows[] = {
        SESSION_ROWS(&session),
        {.name = "--tokens",
         .value = "ID,ID,...",
         .kind = OPTION_TEXT,
         .target = &tokens,
         .required = true,
         .help = "the prompt, fed as it is; - reads it from standard input"},
        {.name = "-n",
         .value = "N",
         .kind = OPTION_INT,
         .target = &n_max,
         .min = 1,
         .max = 1 << 24,
         .help = "tokens to generate; default 16"},
        {.name = "--stop",
         .kind = OPTION_FLAG,
         .target = &stop,
         .help = "stop at an end-of-generation token (it is printed); default: go on"},
    };
    const struct options options = {
        .command = "generate",
        .summary = "Continues a token sequence with the best token each time; prints the new ids.",
        .rows = rows,
        .n_rows = PL_ARRAY_LEN(rows),
    };
    n_max = 16;
    enum options_result parsed = options_parse(&options, argc, argv);
    if (parsed != OPTIONS_RUN)
        return options_exit(parsed);
    size_t n = 0;
    int32_t *ids = session_tokens("generate", tokens, &n);
    if (ids == NULL)
        return BENCH_USAGE;
    struct engine *engine = NULL;
    const struct session_sizes sizes = {.seqs_max = 1};
    int code = session_open("generate", &session, &sizes, &engine);
    if (code == BENCH_OK)
        code = run(engine, ids, n, (size_t)n_max, stop);
    engine_close(engine);
    free(ids);
    return code;
}

#else

#include "base/banned.h"

int cmd_generate(PL_UNUSED int argc, PL_UNUSED char **argv)
{
    return bench_lacks("generate", "the engine");
}

#endif
