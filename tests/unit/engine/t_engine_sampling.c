/* Sampling parameters through the engine: what ends a text, what is told of it, and samplers with a memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "client.h"
#include "fake.h"
#include "fault.h"
#include "base/banned.h"

static struct engine *open_engine(struct engine_options options)
{
    struct engine *engine = NULL;
    options.model_path = "some/model.gguf";
    assert_int_equal(engine_open(&options, &engine, NULL), PL_OK);
    return engine;
}

static int reset(void **state)
{
    (void)state;
    fake_reset();
    fault_fail_at(0);
    return 0;
}

static const int32_t PROMPT[] = {20, 21, 22};

static struct engine_request request_of(uint32_t max_tokens)
{
    return (struct engine_request){
        .prompt = PROMPT, .n_prompt = 3, .max_tokens = max_tokens, .ignore_eos = true};
}

static void run(struct client *c, struct engine *engine, struct engine_request request)
{
    client_init(c);
    client_run(c, engine, request);
    assert_int_equal(c->n_finish, 1);
    client_deinit(c);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void a_stop_id_ends_the_text(void **state)
{
    (void)state;
    struct engine *engine = open_engine((struct engine_options){0});
    static struct client whole, c;
    struct engine_request request = request_of(12);
    run(&whole, engine, request);
    int32_t stop = whole.ids[7];
    uint32_t at = 0;
    while (whole.ids[at] != stop)
        at++;
    request.sampling.stop_ids = &stop;
    request.sampling.n_stop_ids = 1;
    run(&c, engine, request); /* although end-of-generation tokens are ignored */
    assert_int_equal(c.finish, ENGINE_FINISH_STOP);
    assert_int_equal(c.n_ids, at);
    assert_int_equal(c.output_tokens, at + 1);
    assert_string_equal(c.stop, "");
    assert_memory_equal(c.ids, whole.ids, at * sizeof *c.ids);
    request.sampling.include_stop = true;
    run(&c, engine, request);
    assert_int_equal(c.finish, ENGINE_FINISH_STOP);
    assert_int_equal(c.n_ids, at + 1);
    assert_int_equal(c.ids[at], stop);
    engine_close(engine);
}

static void min_tokens_hold_off_every_end(void **state)
{
    (void)state;
    struct engine *engine = open_engine((struct engine_options){0});
    static struct client c;
    struct engine_request request = request_of(20);
    request.ignore_eos = false;
    fake_eos_after(PROMPT[2]); /* at once */
    run(&c, engine, request);
    assert_int_equal(c.finish, ENGINE_FINISH_STOP);
    assert_int_equal(c.n_ids, 0);
    request.sampling.min_tokens = 1;
    run(&c, engine, request);
    assert_true(c.n_ids >= 1);
    int32_t first = c.ids[0];
    /* A stop id and a stop string that would be said at once. */
    request.sampling.stop_ids = &first;
    request.sampling.n_stop_ids = 1;
    request.sampling.min_tokens = 6;
    run(&c, engine, request);
    assert_true(c.n_ids >= 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_true(c.ids[i] != first && c.ids[i] != FAKE_EOS);
    engine_close(engine);
}

static void a_stop_string_before_min_tokens_is_text(void **state)
{
    (void)state;
    struct engine *engine = open_engine((struct engine_options){0});
    struct engine_bias words[44];
    static struct client whole, c;
    for (int32_t i = 0; i < 44; i++) /* only words: plain text */
        words[i] = (struct engine_bias){.id = 256 + i, .bias = i < 42 ? 50.0F : -50.0F};
    struct engine_request request = request_of(30);
    request.sampling.bias = words;
    request.sampling.n_bias = 44;
    run(&whole, engine, request);
    char stop[8] = {0};
    memcpy(stop, whole.text, 4); /* its first word */
    const char *const stops[] = {stop};
    request.stops = stops;
    request.n_stops = 1;
    run(&c, engine, request);
    assert_int_equal(c.text_bytes, 0);
    request.sampling.include_stop = true;
    run(&c, engine, request);
    assert_int_equal(c.finish, ENGINE_FINISH_STOP);
    assert_string_equal(c.stop, stop);
    assert_string_equal(c.text, stop);
    request.sampling.min_tokens = 10;
    run(&c, engine, request);
    assert_true(c.n_ids >= 10);
    assert_memory_equal(c.text, whole.text, 20);
    engine_close(engine);
}

/* ---- what is told ---------------------------------------------------------------------------- */

static void asked_ids_are_the_alternatives(void **state)
{
    (void)state;
    struct engine *engine = open_engine((struct engine_options){0});
    static const int32_t ids[] = {5, 250, 17};
    static struct client c;
    struct engine_request request = request_of(4);
    request.logprobs = true;
    request.n_logprobs = 3;
    request.sampling.logprob_ids = ids;
    request.sampling.n_logprob_ids = 3;
    run(&c, engine, request);
    for (uint32_t i = 0; i < 4; i++) {
        for (uint32_t k = 0; k < 3; k++) {
            assert_int_equal(c.top[i][k].id, ids[k]);
            assert_true(c.top[i][k].logprob < 0 && c.top[i][k].logprob <= c.logprobs[i]);
        }
    }
    engine_close(engine);
}

static void final_logprobs_are_of_what_is_left(void **state)
{
    (void)state;
    struct engine *engine = open_engine((struct engine_options){0});
    static struct client c;
    struct engine_request request = request_of(40);
    request.logprobs = true;
    request.n_logprobs = 3;
    request.sampling.final_logprobs = true;
    request.sampling.temperature = 1;
    request.sampling.top_k = 3;
    request.sampling.has_seed = true;
    run(&c, engine, request);
    for (uint32_t i = 0; i < 40; i++) {
        double sum = 0;
        bool found = false;
        for (uint32_t k = 0; k < 3; k++) {
            sum += exp((double)c.top[i][k].logprob);
            found = found || c.top[i][k].id == c.ids[i];
        }
        assert_true(found);
        assert_true(fabs(sum - 1) < 1e-5);
    }
    engine_close(engine);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static struct engine_request stateful(uint32_t i, uint32_t max_tokens)
{
    struct engine_request request = request_of(max_tokens);
    struct engine_sampling *s = &request.sampling;
    *s = engine_sampling_default();
    s->has_seed = true;
    s->seed = i;
    s->mirostat = i % 3;
    s->adaptive = i % 4 == 3;
    s->adaptive_target = 0.2F;
    s->dry_multiplier = i % 5 == 4 ? 0.8F : 0;
    s->xtc_probability = i % 7 == 6 ? 0.5F : 0;
    s->top_k = i % 2 == 0 ? 50 : 0;
    s->dynatemp_range = i % 6 == 5 ? 0.5F : 0;
    return request;
}

static void texts_with_a_memory_are_the_same_in_a_crowd(void **state)
{
    (void)state;
    enum { N = 24 };
    static struct client alone[N], crowd[N];
    static int32_t prompts[N][40];
    struct engine *engine = open_engine((struct engine_options){0});
    /* Few blocks: requests lose theirs on the way and come back. */
    struct engine *narrow =
        open_engine((struct engine_options){.rows_max = 32, .ctx_tokens = 224, .kv_tokens = 384});
    for (uint32_t i = 0; i < N; i++) {
        struct engine_request request = stateful(i, 80);
        for (uint32_t j = 0; j < 40; j++)
            prompts[i][j] = (int32_t)(i * 40 + j) % 250;
        request.prompt = prompts[i];
        request.n_prompt = 40;
        run(&alone[i], engine, request);
        client_init(&crowd[i]);
    }
    for (uint32_t i = 0; i < N; i++) {
        struct engine_request request = stateful(i, 80);
        request.prompt = prompts[i];
        request.n_prompt = 40;
        assert_int_equal(client_submit(&crowd[i], narrow, request, NULL), PL_OK);
    }
    for (uint32_t i = 0; i < N; i++) {
        client_wait(&crowd[i]);
        assert_int_equal(crowd[i].n_ids, alone[i].n_ids);
        assert_memory_equal(crowd[i].ids, alone[i].ids, 80 * sizeof(int32_t));
        client_deinit(&crowd[i]);
    }
    struct engine_stats stats;
    engine_stats(narrow, &stats);
    print_message("%u preemptions\n", (unsigned)stats.preemptions);
    engine_close(narrow);
    engine_close(engine);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void lists_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const int32_t beyond[] = {FAKE_N_VOCAB};
    static const int32_t eos[] = {FAKE_EOS};
    static const uint32_t one[] = {1};
    static const uint32_t none[] = {0};
    const struct {
        const char *message;
        struct engine_sampling s;
    } cases[] = {
        {"allowed_token_ids: token 300", {.allowed = beyond, .n_allowed = 1}},
        {"stop_token_ids: token 300", {.stop_ids = beyond, .n_stop_ids = 1}},
        {"stop_token_ids: 257 entries", {.n_stop_ids = 257}},
        {"logprob_token_ids: token 300", {.logprob_ids = beyond, .n_logprob_ids = 1}},
        {"logprob_token_ids: 21 entries", {.n_logprob_ids = 21}},
        {"samplers: 17 entries", {.n_samplers = 17}},
        {"bad_words: token 300", {.bad_words = {beyond, one, 1}}},
        {"bad_words: entry 0", {.bad_words = {beyond, none, 1}}},
        {"bad_words: 65537 sequences", {.bad_words = {.n = ENGINE_WORDS_MAX + 1}}},
        {"dry_sequence_breakers: token 300", {.dry_breakers = beyond, .n_dry_breakers = 1}},
        {"allowed_token_ids: together", {.allowed = eos, .n_allowed = 1, .min_tokens = 2}},
        {"mirostat: 3", {.mirostat = 3}},
    };
    struct engine *engine = open_engine((struct engine_options){0});
    static struct client c;
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct pl_error err = {{0}};
        struct engine_request request = request_of(4);
        request.sampling = cases[i].s;
        client_init(&c);
        enum pl_status status = client_submit(&c, engine, request, &err);
        if (status != PL_EINVAL || strstr(err.msg, cases[i].message) != err.msg)
            print_error("case %zu: %d %s\n", i, (int)status, err.msg);
        assert_int_equal(status, PL_EINVAL);
        assert_true(strstr(err.msg, cases[i].message) == err.msg);
        client_deinit(&c);
    }
    engine_close(engine);
}

static void a_request_with_lists_without_memory_is_refused(void **state)
{
    (void)state;
    static int32_t many[200]; /* more than an arena's first chunk */
    static const uint32_t ends[] = {2, 5};
    static struct client c;
    struct engine *engine = open_engine((struct engine_options){0});
    for (int32_t i = 0; i < 200; i++)
        many[i] = i;
    struct engine_request request = stateful(4, 3);
    request.sampling.allowed = many;
    request.sampling.n_allowed = 200;
    request.sampling.stop_ids = many + 199;
    request.sampling.n_stop_ids = 1;
    request.sampling.bad_words = (struct engine_words){.ids = many, .ends = ends, .n = 2};
    request.sampling.min_tokens = 2;
    for (long n = 1;; n++) {
        client_init(&c);
        fault_fail_at(n);
        enum pl_status status = client_submit(&c, engine, request, NULL);
        bool hit = fault_hit();
        fault_fail_at(0);
        if (!hit) {
            assert_int_equal(status, PL_OK);
            client_wait(&c);
            client_deinit(&c);
            break;
        }
        assert_int_equal(status, PL_ENOMEM);
        client_deinit(&c);
    }
    engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_stop_id_ends_the_text, reset),
        cmocka_unit_test_setup(min_tokens_hold_off_every_end, reset),
        cmocka_unit_test_setup(a_stop_string_before_min_tokens_is_text, reset),
        cmocka_unit_test_setup(asked_ids_are_the_alternatives, reset),
        cmocka_unit_test_setup(final_logprobs_are_of_what_is_left, reset),
        cmocka_unit_test_setup(texts_with_a_memory_are_the_same_in_a_crowd, reset),
        cmocka_unit_test_setup(lists_that_make_no_sense_are_refused, reset),
        cmocka_unit_test_setup(a_request_with_lists_without_memory_is_refused, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
