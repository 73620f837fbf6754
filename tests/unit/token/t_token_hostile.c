/* core/token under text made to hurt: work stays about linear, any bytes come back, threads agree. */
#include "small_vocab.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include <cmocka.h>

#include "base/banned.h"

/* One name per rule, and aliases whose rows differ. */
static const char *const pre_names[] = {
    "default",      "gpt-2",          "starcoder",   "falcon",      "llama-bpe",  "dbrx",
    "qwen2",        "qwen35",         "longcat",     "gpt-4o",      "tekken",     "bloom",
    "viking",       "minicpm5",       "smollm",      "chatglm-bpe", "bailingmoe", "seed-coder",
    "deepseek-llm", "deepseek-coder", "deepseek-v3", "spark2_5",    "youtu",      "jais-2",
    "exaone-moe",   "chameleon",      "tiny_aya",    "superbpe",    "kimi-k2",    "afmoe",
    "ufakzeka",     "laguna",
};

static const char *const parts[] = {
    "a",
    "A",
    " ",
    "\n",
    "\t",
    "1",
    "<",
    "'",
    "aA",
    " \n",
    " a",
    "1 ",
    "\xE4\xB8\xAD",
    "\xCC\x81",
    "\xC2\xA0",
    "\xEA\xB0\x80",
    "'s",
    "\r\n",
    "a1",
    "\xFF",
    "\xF0\x9F\x98\x80",
    "a\xCC\x81",
    "\xD7\x90 A",
};

#define RUN_BYTES  ((size_t)100 * 1000)
#define LONG_BYTES ((size_t)1000 * 1000)

static struct token_vocab *open_bpe(const char *pre)
{
    enum pl_status status;
    struct pl_error err = {""};
    struct token_vocab *vocab = vocab_open_bpe(&(struct vocab_flaws){.pre = pre}, &status, &err);
    if (vocab == NULL)
        fail_msg("%s: %s", pre, err.msg);
    assert_null(token_warning(vocab));
    return vocab;
}

static struct token_vocab *open_spm(void)
{
    enum pl_status status;
    return vocab_open_spm(&(struct vocab_flaws){0}, &status, NULL);
}

static char *repeat(const char *part, size_t bytes)
{
    char *text = malloc(bytes + 1);
    assert_non_null(text);
    size_t n = strlen(part);
    for (size_t i = 0; i < bytes; i++)
        text[i] = part[i % n];
    text[bytes] = '\0';
    return text;
}

/* CPU seconds of an encode whose text must come back. */
static double timed_round_trip(const struct token_vocab *vocab, const char *text, size_t n)
{
    struct token_ids ids = {0};
    struct pl_error err = {""};
    char *back = NULL;
    size_t bytes = 0;
    const struct token_encode_options plain = {0};
    int64_t begin = clock_cpu_ns();
    enum pl_status status = token_encode(vocab, text, n, &plain, &ids, &err);
    double seconds = (double)(clock_cpu_ns() - begin) / 1e9;
    if (status != PL_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(token_decode(vocab, ids.ids, ids.n, true, &back, &bytes, &err), PL_OK);
    assert_int_equal(bytes, n);
    assert_memory_equal(back, text, n);
    free(back);
    token_ids_free(&ids);
    return seconds;
}

static void runs_of_anything_cost_linear_time_under_every_rule(void **state)
{
    (void)state;
    double worst = 0;
    for (size_t p = 0; p < PL_ARRAY_LEN(pre_names); p++) {
        struct token_vocab *vocab = open_bpe(pre_names[p]);
        for (size_t i = 0; i < PL_ARRAY_LEN(parts); i++) {
            char *text = repeat(parts[i], RUN_BYTES);
            text[RUN_BYTES - 1] = 'x'; /* spoils what wants the end of the text */
            double seconds = timed_round_trip(vocab, text, RUN_BYTES);
            if (seconds > 5) /* a hundred times what it takes; quadratic work takes longer still */
                fail_msg("%s: run of part %zu: %.1f s", pre_names[p], i, seconds);
            worst = PL_MAX(worst, seconds);
            free(text);
        }
        token_close(vocab);
    }
    print_message("# worst 100 kB run: %.3f s\n", worst);
}

static void a_megabyte_of_one_letter_is_one_pre_token(void **state)
{
    (void)state;
    struct token_vocab *vocabs[] = {open_bpe("gpt-2"), open_spm()};
    for (size_t i = 0; i < PL_ARRAY_LEN(vocabs); i++) {
        static const char *const letters[] = {"a", "h", "i", "hi"};
        for (size_t k = 0; k < PL_ARRAY_LEN(letters); k++) {
            char *text = repeat(letters[k], LONG_BYTES);
            double seconds = timed_round_trip(vocabs[i], text, LONG_BYTES);
            if (seconds > 10)
                fail_msg("vocabulary %zu, '%s': %.1f s", i, letters[k], seconds);
            free(text);
        }
        token_close(vocabs[i]);
    }
}

static void refuses_more_text_than_the_limit(void **state)
{
    (void)state;
    struct token_vocab *vocab = open_spm();
    struct token_ids ids = {0};
    struct pl_error err = {""};
    const struct token_encode_options plain = {0};
    assert_int_equal(token_encode(vocab, "", TOKEN_TEXT_MAX + 1, &plain, &ids, &err), PL_ELIMIT);
    assert_null(ids.ids);
    token_close(vocab);
}

/* Random text of what tokenizers care about, about a third of it any bytes where `bytes`. Returns its
 * length, at most n. */
static size_t fill_random(char *text, size_t n, uint64_t seed, bool bytes)
{
    size_t at = 0;
    for (uint64_t i = 0; at < n; i++) {
        uint32_t word[4];
        rng_philox(seed, i, 0, word);
        const char *part = parts[word[0] % PL_ARRAY_LEN(parts)];
        if (bytes && word[1] % 3 == 0) {
            text[at++] = (char)word[2];
            continue;
        }
        if (!bytes && part[0] == '\xFF')
            continue;
        if (at + strlen(part) > n)
            break;
        for (size_t k = 0; part[k] != '\0'; k++)
            text[at++] = part[k];
    }
    return at;
}

static void round_trips(const struct token_vocab *vocab, bool any)
{
    for (uint64_t seed = 0; seed < 400; seed++) {
        char text[300];
        size_t n = 1 + (size_t)(seed % sizeof text);
        n = PL_MIN(n, sizeof text);
        n = fill_random(text, n, seed, any);
        timed_round_trip(vocab, text, n);
    }
}

static void any_bytes_come_back(void **state)
{
    (void)state;
    for (size_t p = 0; p < PL_ARRAY_LEN(pre_names); p++) {
        struct token_vocab *vocab = open_bpe(pre_names[p]);
        round_trips(vocab, true);
        token_close(vocab);
    }
}

static void any_bytes_come_back_from_real_vocabularies(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool any_bytes; /* else it lacks tokens for bytes that UTF-8 never has */
    } rows[] = {{"llama-bpe", true},  {"gpt-2", true},     {"qwen2", true}, {"deepseek-llm", false},
                {"starcoder", false}, {"llama-spm", true}, {"phi-3", true}};
    const char *shared = getenv("PL_SHARED"); /* NOLINT(concurrency-mt-unsafe): one thread */
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        char path[512];
        struct gguf *file = NULL;
        struct token_vocab *vocab = NULL;
        snprintf(path, sizeof path, "%s/data/vocab/ggml-vocab-%s.gguf", shared ? shared : "",
                 rows[i].name);
        if (gguf_open(path, &file, NULL) != PL_OK) {
            print_message("# no %s: skipped\n", path);
            skip();
        }
        assert_int_equal(token_open(file, &vocab, NULL), PL_OK);
        gguf_close(file);
        round_trips(vocab, rows[i].any_bytes);
        token_close(vocab);
    }
}

/* ---- threads --------------------------------------------------------------------------------- */

#define THREADS 4

struct worker {
    const struct token_vocab *vocab;
    const char *text;
    size_t n;
    struct token_ids ids;
};

static void *encode_many_times(void *arg)
{
    struct worker *w = arg;
    const struct token_encode_options plain = {0};
    for (int i = 0; i < 50; i++) {
        token_ids_free(&w->ids);
        if (token_encode(w->vocab, w->text, w->n, &plain, &w->ids, NULL) != PL_OK)
            break;
    }
    return NULL;
}

static void threads_that_share_a_vocabulary_agree(void **state)
{
    (void)state;
    char text[2000];
    size_t text_n = fill_random(text, sizeof text, 7, true);
    static const char words[] = "hello hello hi aaaa hello";
    for (size_t i = 0; words[i] != '\0'; i++)
        text[i] = words[i];
    struct token_vocab *vocabs[] = {open_bpe("gpt-2"), open_bpe("deepseek-llm"), open_spm()};
    for (size_t v = 0; v < PL_ARRAY_LEN(vocabs); v++) {
        struct worker workers[THREADS];
        pthread_t threads[THREADS];
        for (size_t i = 0; i < THREADS; i++) {
            workers[i] = (struct worker){.vocab = vocabs[v], .text = text, .n = text_n};
            assert_int_equal(pthread_create(&threads[i], NULL, encode_many_times, &workers[i]), 0);
        }
        for (size_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        for (size_t i = 0; i < THREADS; i++) {
            assert_true(workers[i].ids.n > 0);
            assert_int_equal(workers[i].ids.n, workers[0].ids.n);
            assert_memory_equal(workers[i].ids.ids, workers[0].ids.ids,
                                workers[0].ids.n * sizeof *workers[0].ids.ids);
        }
        for (size_t i = 0; i < THREADS; i++)
            token_ids_free(&workers[i].ids);
        token_close(vocabs[v]);
    }
}

/* ---- without machine code -------------------------------------------------------------------- */

#ifndef PR_SET_MDWE
#define PR_SET_MDWE              65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

/* The last test: what it denies stays denied to this process. */
static void patterns_are_interpreted_where_code_may_not_be_made(void **state)
{
    (void)state;
    if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0) {
        print_message("# this kernel can't deny write and execute: skipped\n");
        skip();
    }
    for (size_t p = 0; p < PL_ARRAY_LEN(pre_names); p++) {
        struct token_vocab *vocab = open_bpe(pre_names[p]);
        round_trips(vocab, true);
        for (size_t i = 0; i < PL_ARRAY_LEN(parts); i++) {
            char *text = repeat(parts[i], RUN_BYTES);
            text[RUN_BYTES - 1] = 'x';
            double seconds = timed_round_trip(vocab, text, RUN_BYTES);
            if (seconds > 5)
                fail_msg("%s: run of part %zu: %.1f s", pre_names[p], i, seconds);
            free(text);
        }
        token_close(vocab);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_of_anything_cost_linear_time_under_every_rule),
        cmocka_unit_test(a_megabyte_of_one_letter_is_one_pre_token),
        cmocka_unit_test(refuses_more_text_than_the_limit),
        cmocka_unit_test(any_bytes_come_back),
        cmocka_unit_test(any_bytes_come_back_from_real_vocabularies),
        cmocka_unit_test(threads_that_share_a_vocabulary_agree),
        cmocka_unit_test(patterns_are_interpreted_where_code_may_not_be_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
