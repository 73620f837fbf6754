/* What comes out of the engine: the same tokens however they were batched, and the text that they make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "fake.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "base/banned.h"

#define N_CLIENTS  64
#define PROMPT_MAX 60

static struct engine *open_engine(struct engine_options options)
{
    struct engine *engine = NULL;
    struct pl_error err = {{0}};
    options.model_path = "some/model.gguf";
    enum pl_status status = engine_open(&options, &engine, &err);
    if (status != PL_OK)
        print_error("engine_open: %s\n", err.msg);
    assert_int_equal(status, PL_OK);
    return engine;
}

static int reset(void **state)
{
    (void)state;
    fake_reset();
    return 0;
}

struct job {
    int32_t prompt[PROMPT_MAX];
    struct engine_request request;
    struct client solo, batched;
};

/* Request i of a mixed crowd: greedy and sampled, short and long, with and without penalties. */
static void make_job(struct job *job, uint32_t i)
{
    uint32_t n_prompt = 1 + (uint32_t)(rng_uniform(5, 1, i) * (PROMPT_MAX - 1));
    for (uint32_t j = 0; j < n_prompt; j++)
        job->prompt[j] = (int32_t)(rng_uniform(5, 2 + i, j) * 290);
    struct engine_sampling sampling = engine_sampling_default();
    sampling.has_seed = true;
    sampling.seed = i / 2;
    sampling.temperature = i % 3 == 0 ? 0.0f : 0.9f;
    sampling.top_k = i % 4 == 1 ? 40 : 0;
    sampling.top_p = i % 5 == 1 ? 0.9f : 1.0f;
    sampling.min_p = i % 7 == 1 ? 0.05f : 0.0f;
    sampling.repeat_penalty = i % 6 == 1 ? 1.3f : 1.0f;
    sampling.frequency_penalty = i % 8 == 1 ? 0.5f : 0.0f;
    job->request = (struct engine_request){
        .prompt = job->prompt,
        .n_prompt = n_prompt,
        .max_tokens = 1 + i % 50,
        .sampling = sampling,
        .logprobs = i % 2 == 0,
        .prompt_logprobs = i % 9 == 2,
        .n_logprobs = 3,
    };
    client_init(&job->solo);
    client_init(&job->batched);
}

static void assert_same(const struct client *a, const struct client *b)
{
    assert_int_equal(a->n_finish, 1);
    assert_int_equal(b->n_finish, 1);
    assert_int_equal(a->finish, b->finish);
    assert_int_equal(a->n_ids, b->n_ids);
    assert_memory_equal(a->ids, b->ids, a->n_ids * sizeof a->ids[0]);
    assert_memory_equal(a->logprobs, b->logprobs, a->n_ids * sizeof a->logprobs[0]);
    assert_string_equal(a->text, b->text);
    assert_int_equal(a->n_prompt, b->n_prompt);
    assert_memory_equal(a->prompt_ids, b->prompt_ids, a->n_prompt * sizeof a->prompt_ids[0]);
    assert_memory_equal(a->prompt_logprobs, b->prompt_logprobs,
                        a->n_prompt * sizeof a->prompt_logprobs[0]);
    assert_false(b->prompt_after_token);
    assert_int_equal(b->n_after_finish, 0);
}

static struct job *make_jobs(void)
{
    struct job *jobs = calloc(N_CLIENTS, sizeof *jobs);
    assert_non_null(jobs);
    struct engine *engine = open_engine((struct engine_options){0});
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        make_job(&jobs[i], i);
        client_run(&jobs[i].solo, engine, jobs[i].request);
    }
    engine_close(engine);
    return jobs;
}

static void free_jobs(struct job *jobs)
{
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        client_deinit(&jobs[i].solo);
        client_deinit(&jobs[i].batched);
    }
    free(jobs);
}

/* All jobs at once in an engine of these options; the number of preemptions. */
static uint64_t run_crowd(struct job *jobs, struct engine_options options)
{
    fake_reset();
    struct engine *engine = open_engine(options);
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        client_deinit(&jobs[i].batched);
        client_init(&jobs[i].batched);
        assert_int_equal(client_submit(&jobs[i].batched, engine, jobs[i].request, NULL), PL_OK);
    }
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        client_wait(&jobs[i].batched);
        assert_same(&jobs[i].solo, &jobs[i].batched);
    }
    struct engine_stats stats;
    engine_stats(engine, &stats);
    assert_int_equal(stats.running, 0);
    assert_int_equal(stats.waiting, 0);
    assert_int_equal(stats.blocks_used, 0);
    assert_false(fake_contract_broken());
    uint32_t rows_max = options.rows_max > 0 ? options.rows_max : 512;
    assert_true(fake_rows_seen() <= rows_max);
    engine_close(engine);
    return stats.preemptions;
}

static void text_is_the_same_alone_and_among_63_others(void **state)
{
    (void)state;
    struct job *jobs = make_jobs();
    run_crowd(jobs, (struct engine_options){.kv_tokens = 64 * 256});
    free_jobs(jobs);
}

static void text_is_the_same_at_any_token_budget(void **state)
{
    (void)state;
    static const uint32_t rows[] = {1, 2, 3, 7, 16, 17, 64, 100, 512};
    struct job *jobs = make_jobs();
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++)
        run_crowd(jobs, (struct engine_options){.rows_max = rows[i], .kv_tokens = 64 * 256});
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++)
        run_crowd(jobs, (struct engine_options){.seqs_max = rows[i], .kv_tokens = 64 * 256});
    free_jobs(jobs);
}

static void text_is_the_same_after_preemption(void **state)
{
    (void)state;
    struct job *jobs = make_jobs();
    uint64_t n = run_crowd(jobs, (struct engine_options){.ctx_tokens = 128, .kv_tokens = 128});
    n += run_crowd(jobs, (struct engine_options){.ctx_tokens = 128, .kv_tokens = 288});
    n += run_crowd(jobs,
                   (struct engine_options){.ctx_tokens = 128, .kv_tokens = 304, .rows_max = 9});
    assert_true(n > 10);
    free_jobs(jobs);
}

/* ---- finishing ------------------------------------------------------------------------------- */

static struct engine_request simple_request(const int32_t *prompt, uint32_t n, uint32_t max_tokens)
{
    return (struct engine_request){.prompt = prompt, .n_prompt = n, .max_tokens = max_tokens};
}

static void length_ends_at_max_tokens_or_at_the_context(void **state)
{
    (void)state;
    static const int32_t prompt[40] = {1, 2, 3};
    const struct {
        uint32_t n_prompt, max_tokens, expected;
    } cases[] = {{3, 1, 1}, {3, 5, 5}, {3, 0, 61}, {3, 61, 61}, {3, 62, 61}, {40, 1000, 24}};
    struct engine *engine = open_engine((struct engine_options){.ctx_tokens = 64});
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct client c;
        client_init(&c);
        client_run(&c, engine, simple_request(prompt, cases[i].n_prompt, cases[i].max_tokens));
        assert_int_equal(c.finish, ENGINE_FINISH_LENGTH);
        assert_int_equal(c.n_ids, cases[i].expected);
        assert_int_equal(c.output_tokens, cases[i].expected);
        assert_int_equal(c.prompt_tokens, cases[i].n_prompt);
        client_deinit(&c);
    }
    engine_close(engine);
}

static void end_of_generation_stops_unless_ignored(void **state)
{
    (void)state;
    static const int32_t prompt[] = {10, 11, 12};
    struct engine *engine = open_engine((struct engine_options){0});
    struct client c[3];
    for (int i = 0; i < 3; i++)
        client_init(&c[i]);
    client_run(&c[0], engine, simple_request(prompt, 3, 8));
    assert_int_equal(c[0].n_ids, 8);
    fake_eos_after(c[0].ids[3]); /* the token after these is EOS now */
    struct engine_request request = simple_request(prompt, 3, 8);
    client_run(&c[1], engine, request);
    assert_int_equal(c[1].finish, ENGINE_FINISH_STOP);
    assert_string_equal(c[1].stop, "");
    assert_true(c[1].n_ids <= 4);
    assert_int_equal(c[1].output_tokens, c[1].n_ids + 1); /* EOS counts, and has no event */
    request.ignore_eos = true;
    request.special_text = true;
    client_run(&c[2], engine, request);
    assert_int_equal(c[2].finish, ENGINE_FINISH_LENGTH);
    assert_int_equal(c[2].n_ids, 8);
    assert_int_equal(c[2].ids[c[1].n_ids], FAKE_EOS);
    assert_non_null(strstr(c[2].text, " w43")); /* its text, as special_text asks */
    for (int i = 0; i < 3; i++)
        client_deinit(&c[i]);
    engine_close(engine);
}

/* Makes the fake model say the bytes of `text`: the logit_bias of each in turn can't, so a stop string is
 * chosen from what it says by itself. */
static void stop_strings_cut_the_text(void **state)
{
    (void)state;
    static const int32_t prompt[] = {20, 21};
    struct engine *engine = open_engine((struct engine_options){0});
    struct engine_bias words[44];
    for (int32_t i = 0; i < 44; i++) /* only words, so that the text is long and plain */
        words[i] = (struct engine_bias){.id = 256 + i, .bias = i < 42 ? 50.0f : -50.0f};
    struct engine_request request = simple_request(prompt, 2, 40);
    request.sampling.bias = words;
    request.sampling.n_bias = 44;
    struct client whole;
    client_init(&whole);
    client_run(&whole, engine, request);
    assert_int_equal(whole.finish, ENGINE_FINISH_LENGTH);
    assert_true(whole.text_bytes > 100);
    for (size_t from = 1; from < 60; from += 3) {
        for (size_t n = 1; n <= 11; n += 5) {
            char stop[32] = {0};
            memcpy(stop, whole.text + from, n);
            const char *stops[] = {"never said", stop};
            request.stops = stops;
            request.n_stops = 2;
            struct client c;
            client_init(&c);
            client_run(&c, engine, request);
            size_t at = (size_t)(strstr(whole.text, stop) - whole.text);
            assert_int_equal(c.finish, ENGINE_FINISH_STOP);
            assert_string_equal(c.stop, stop);
            assert_int_equal(c.text_bytes, at);
            assert_memory_equal(c.text, whole.text, at);
            client_deinit(&c);
        }
    }
    client_deinit(&whole);
    engine_close(engine);
}

static void text_held_for_a_stop_string_comes_out_at_the_end(void **state)
{
    (void)state;
    static const int32_t prompt[] = {20, 21};
    struct engine *engine = open_engine((struct engine_options){0});
    struct client whole, c;
    client_init(&whole);
    client_init(&c);
    struct engine_bias bias = {.id = 260, .bias = 90};
    struct engine_request request = simple_request(prompt, 2, 5);
    request.sampling.bias = &bias;
    request.sampling.n_bias = 1;
    client_run(&whole, engine, request);
    assert_string_equal(whole.text, " w4 w4 w4 w4 w4");
    const char *stops[] = {"w4 w4 w4 w4 w4!"};
    request.stops = stops;
    request.n_stops = 1;
    client_run(&c, engine, request);
    assert_string_equal(c.text, whole.text);
    assert_int_equal(c.finish, ENGINE_FINISH_LENGTH);
    client_deinit(&whole);
    client_deinit(&c);
    engine_close(engine);
}

static void every_text_is_whole_utf8(void **state)
{
    (void)state;
    struct engine *engine = open_engine((struct engine_options){0});
    for (int32_t i = 0; i < 30; i++) {
        int32_t prompt[] = {i};
        struct engine_request request = simple_request(prompt, 1, 60);
        request.sampling.temperature = 1;
        request.sampling.has_seed = true;
        request.sampling.seed = (uint64_t)i;
        struct client c;
        client_init(&c);
        client_run(&c, engine, request);
        assert_true(utf8_valid(c.text, c.text_bytes));
        client_deinit(&c);
    }
    engine_close(engine);
}

/* ---- log probabilities ----------------------------------------------------------------------- */

static double logprob_of(const float *logits, int32_t id)
{
    double sum = 0;
    for (int i = 0; i < FAKE_N_VOCAB; i++)
        sum += exp((double)logits[i]);
    return (double)logits[id] - log(sum);
}

static void logprobs_agree_with_teacher_forced_logits(void **state)
{
    (void)state;
    static float logits[80 * FAKE_N_VOCAB];
    int32_t ids[80];
    uint32_t n_prompt = 30;
    for (uint32_t i = 0; i < n_prompt; i++)
        ids[i] = (int32_t)(i * 7 % 256);
    struct engine *engine = open_engine((struct engine_options){.rows_max = 8});
    struct engine_request request = simple_request(ids, n_prompt, 50);
    request.logprobs = request.prompt_logprobs = true;
    request.n_logprobs = 3;
    request.ignore_eos = true;
    request.sampling.temperature = 0.8f;
    request.sampling.repeat_penalty = 1.5f;
    struct client c;
    client_init(&c);
    client_run(&c, engine, request);
    assert_int_equal(c.n_ids, 50);
    memcpy(ids + n_prompt, c.ids, 50 * sizeof ids[0]);
    assert_int_equal(engine_logits(engine, ids, 80, logits, NULL), PL_OK);
    assert_int_equal(c.n_prompt, n_prompt);
    assert_true(isnan(c.prompt_logprobs[0]));
    for (uint32_t i = 1; i < n_prompt; i++) {
        assert_int_equal(c.prompt_ids[i], ids[i]);
        double expected = logprob_of(logits + (size_t)(i - 1) * FAKE_N_VOCAB, ids[i]);
        assert_true(fabs((double)c.prompt_logprobs[i] - expected) < 1e-5);
    }
    for (uint32_t i = 0; i < 50; i++) {
        const float *row = logits + (size_t)(n_prompt + i - 1) * FAKE_N_VOCAB;
        assert_true(fabs((double)c.logprobs[i] - logprob_of(row, c.ids[i])) < 1e-5);
        assert_true(c.top[i][0].logprob >= c.top[i][1].logprob);
        assert_true(fabs((double)c.top[i][2].logprob - logprob_of(row, c.top[i][2].id)) < 1e-5);
    }
    client_deinit(&c);
    engine_close(engine);
}

static void prompt_logprobs_alone_generate_nothing(void **state)
{
    (void)state;
    static const int32_t prompt[64] = {9, 8, 7, 6};
    static const uint32_t lengths[] = {1, 2, 16, 17, 63, 64};
    struct engine *engine = open_engine((struct engine_options){.ctx_tokens = 64, .rows_max = 16});
    for (size_t i = 0; i < PL_ARRAY_LEN(lengths); i++) {
        for (int with = 0; with < 2; with++) {
            struct engine_request request = simple_request(prompt, lengths[i], 0);
            request.no_generation = true;
            request.prompt_logprobs = with != 0;
            struct client c;
            client_init(&c);
            client_run(&c, engine, request);
            assert_int_equal(c.finish, ENGINE_FINISH_LENGTH);
            assert_int_equal(c.n_prompt, with != 0 ? lengths[i] : 0);
            assert_int_equal(c.n_ids, 0);
            assert_int_equal(c.output_tokens, 0);
            client_deinit(&c);
        }
    }
    engine_close(engine);
}

static void logits_are_the_same_in_any_chunk(void **state)
{
    (void)state;
    static float a[64 * FAKE_N_VOCAB], b[64 * FAKE_N_VOCAB];
    static const uint32_t rows[] = {1, 5, 64, 500};
    int32_t ids[64];
    for (int32_t i = 0; i < 64; i++)
        ids[i] = i * 3;
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct engine *engine =
            open_engine((struct engine_options){.ctx_tokens = 64, .rows_max = rows[i]});
        assert_int_equal(engine_logits(engine, ids, 64, i == 0 ? a : b, NULL), PL_OK);
        if (i > 0)
            assert_memory_equal(a, b, sizeof a);
        assert_int_equal(engine_logits(engine, ids, 33, b, NULL), PL_OK);
        assert_memory_equal(a, b, sizeof a[0] * 33 * FAKE_N_VOCAB);
        engine_close(engine);
    }
}

#define TEST(f) cmocka_unit_test_setup(f, reset)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(text_is_the_same_alone_and_among_63_others),
        TEST(text_is_the_same_at_any_token_budget),
        TEST(text_is_the_same_after_preemption),
        TEST(length_ends_at_max_tokens_or_at_the_context),
        TEST(end_of_generation_stops_unless_ignored),
        TEST(stop_strings_cut_the_text),
        TEST(text_held_for_a_stop_string_comes_out_at_the_end),
        TEST(every_text_is_whole_utf8),
        TEST(logprobs_agree_with_teacher_forced_logits),
        TEST(prompt_logprobs_alone_generate_nothing),
        TEST(logits_are_the_same_in_any_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
