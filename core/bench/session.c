/*
 * bench/session.c - opening an engine, reading token lists.
 */
#include "session.h"

#include "bench.h"
#include "lines.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

int session_open(const char *command, const struct session_options *options,
                 const struct session_sizes *sizes, struct engine **ret)
{
    static const char *const kv_types[] = {"f16", "f32", "q8_0", NULL}; /* enum engine_kv_type */
    unsigned kv_type = 0;
    if (options->kv_type != NULL &&
        !options_choice(command, "--kv-type", options->kv_type, kv_types, &kv_type))
        return BENCH_USAGE;
    const struct engine_options opening = {
        .model_path = options->model,
        .backend = options->backend,
        .backend_dir = options->backend_dir,
        .n_threads = (uint32_t)options->n_threads,
        .reference = options->reference,
        .kv_type = (enum engine_kv_type)kv_type,
        .ctx_tokens = sizes->ctx_tokens,
        .kv_tokens = sizes->kv_tokens,
        .seqs_max = sizes->seqs_max,
        .rows_max = sizes->rows_max,
        .queue_max = sizes->queue_max,
    };
    struct pl_error err = {{0}};
    if (engine_open(&opening, ret, &err) != PL_OK)
        return bench_fail(command, "%s", err.msg);
    return BENCH_OK;
}

/* Commas for whatever may stand between numbers. Returns the text without leading ones. */
static char *make_list(char *text)
{
    char *out = text;
    bool number = false;
    for (const char *in = text; *in != '\0'; in++) {
        if (strchr("[], \t\r\n", *in) == NULL) {
            *out++ = *in;
            number = true;
        } else if (number) {
            *out++ = ',';
            number = false;
        }
    }
    if (out > text && out[-1] == ',')
        out--;
    *out = '\0';
    return text;
}

int32_t *session_tokens(const char *command, const char *text, size_t *ret_n)
{
    char *input = NULL;
    if (strcmp(text, "-") == 0) {
        size_t n = 0;
        input = lines_read_all(command, &n);
        if (input == NULL)
            return NULL;
        text = make_list(input);
    }
    int64_t *numbers = NULL;
    size_t n = 0;
    int32_t *ids = NULL;
    if (options_numbers(command, "--tokens", text, 0, INT32_MAX, &numbers, &n)) {
        ids = calloc(n, sizeof *ids);
        if (ids == NULL)
            bench_fail(command, "no memory for %zu tokens", n);
        for (size_t i = 0; ids != NULL && i < n; i++)
            ids[i] = (int32_t)numbers[i];
        *ret_n = n;
    }
    free(numbers);
    free(input);
    return ids;
}
