/*
 * polder-bench logits: every position's logits of one token sequence, for comparison with a reference.
 */
#include "bench.h"

#ifdef BENCH_HAVE_ENGINE

#include "npy.h"
#include "session.h"

#include <stdlib.h>

#include "token/token.h"

#include "base/banned.h"

static int write_logits(struct engine *engine, const int32_t *ids, size_t n, const char *path)
{
    size_t n_vocab = (size_t)token_count(engine_vocab(engine));
    size_t count = 0;
    float *logits = NULL;
    if (pl_mul_size(n, n_vocab, &count))
        logits = calloc(count, sizeof *logits);
    if (logits == NULL)
        return bench_fail("logits", "no memory for %zu x %zu logits", n, n_vocab);
    struct pl_error err = {{0}};
    enum pl_status status = engine_logits(engine, ids, (uint32_t)n, logits, &err);
    if (status == PL_OK)
        status = npy_write(path, logits, n, n_vocab, &err);
    free(logits);
    return status == PL_OK ? BENCH_OK : bench_fail("logits", "%s", err.msg);
}

int cmd_logits(int argc, char **argv)
{
    struct session_options session = {0};
    const char *tokens = NULL;
    const char *output = NULL;
    const struct option_row rows[] = {
        SESSION_ROWS(&session),
        {.name = "--tokens",
         .value = "ID,ID,...",
         .kind = OPTION_TEXT,
         .target = &tokens,
         .required = true,
         .help = "the sequence, fed as it is; - reads it from standard input"},
        {.name = "--output",
         .value = "FILE.npy",
         .kind = OPTION_TEXT,
         .target = &output,
         .required = true,
         .help = "float32 [n_tokens, n_vocab], C order; - is standard output"},
    };
    const struct options options = {
        .command = "logits",
        .summary =
            "Runs one token sequence through a model and writes the logits after each token.",
        .rows = rows,
        .n_rows = PL_ARRAY_LEN(rows),
    };
    enum options_result parsed = options_parse(&options, argc, argv);
    if (parsed != OPTIONS_RUN)
        return options_exit(parsed);
    size_t n = 0;
    int32_t *ids = session_tokens("logits", tokens, &n);
    if (ids == NULL)
        return BENCH_USAGE;
    struct engine *engine = NULL;
    const struct session_sizes sizes = {.seqs_max = 1};
    int code = session_open("logits", &session, &sizes, &engine);
    if (code == BENCH_OK)
        code = write_logits(engine, ids, n, output);
    engine_close(engine);
    free(ids);
    return code;
}

#else

#include "base/banned.h"

int cmd_logits(PL_UNUSED int argc, PL_UNUSED char **argv)
{
    return bench_lacks("logits", "the engine");
}

#endif
