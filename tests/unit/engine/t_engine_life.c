/* How requests and engines end: cancel, failures, memory, full queues, draining, closing, many threads. */
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

static const int32_t PROMPT[200] = {5, 6, 7, 8, 9, 10};

static enum pl_status try_open(struct engine_options options, struct engine **ret,
                               struct pl_error *err)
{
    if (options.model_path == NULL)
        options.model_path = "some/model.gguf";
    return engine_open(&options, ret, err);
}

static struct engine *open_engine(struct engine_options options)
{
    struct engine *engine = NULL;
    assert_int_equal(try_open(options, &engine, NULL), PL_OK);
    return engine;
}

static int reset(void **state)
{
    (void)state;
    fake_reset();
    fault_fail_at(0);
    return 0;
}

static struct engine_request request_of(uint32_t n_prompt, uint32_t max_tokens)
{
    return (struct engine_request){
        .prompt = PROMPT, .n_prompt = n_prompt, .max_tokens = max_tokens, .ignore_eos = true};
}

/* Nothing of the requests is left in the engine, and it still works. */
static void assert_consistent(struct engine *engine)
{
    struct engine_stats stats;
    struct client c;
    client_init(&c);
    client_run(&c, engine, request_of(3, 4));
    assert_int_equal(c.finish, ENGINE_FINISH_LENGTH);
    assert_int_equal(c.n_ids, 4);
    engine_stats(engine, &stats);
    assert_int_equal(stats.running + stats.waiting, 0);
    assert_int_equal(stats.blocks_used, 0);
    client_deinit(&c);
}

/* ---- cancel ---------------------------------------------------------------------------------- */

static void cancels_a_waiting_request(void **state)
{
    (void)state;
    struct engine *engine = open_engine((struct engine_options){.seqs_max = 1});
    struct client running, waiting;
    client_init(&running);
    client_init(&waiting);
    fake_gate(false);
    assert_int_equal(client_submit(&running, engine, request_of(3, 20), NULL), PL_OK);
    fake_await_steps(1);
    assert_int_equal(client_submit(&waiting, engine, request_of(3, 20), NULL), PL_OK);
    engine_cancel(engine, waiting.id);
    fake_gate(true);
    client_wait(&waiting);
    assert_int_equal(waiting.finish, ENGINE_FINISH_CANCEL);
    assert_int_equal(waiting.n_ids, 0);
    client_wait(&running);
    assert_int_equal(running.finish, ENGINE_FINISH_LENGTH);
    assert_consistent(engine);
    client_deinit(&running);
    client_deinit(&waiting);
    engine_close(engine);
}

static void cancels_between_the_chunks_of_a_prefill(void **state)
{
    (void)state;
    struct engine *engine = open_engine((struct engine_options){.rows_max = 10});
    struct client c;
    client_init(&c);
    fake_gate(false);
    assert_int_equal(client_submit(&c, engine, request_of(200, 20), NULL), PL_OK);
    fake_await_steps(1);
    engine_cancel(engine, c.id);
    fake_gate(true);
    client_wait(&c);
    assert_int_equal(c.finish, ENGINE_FINISH_CANCEL);
    assert_int_equal(c.n_ids, 0);
    assert_int_equal(fake_steps(), 1); /* within one step */
    assert_consistent(engine);
    client_deinit(&c);
    engine_close(engine);
}

static void cancels_a_decode_within_one_step(void **state)
{
    (void)state;
    struct engine *engine = open_engine((struct engine_options){0});
    struct client c;
    client_init(&c);
    fake_allow(5);
    assert_int_equal(client_submit(&c, engine, request_of(3, 200), NULL), PL_OK);
    client_await_tokens(&c, 5);
    fake_await_steps(6);
    engine_cancel(engine, c.id);
    fake_gate(true);
    client_wait(&c);
    assert_int_equal(c.finish, ENGINE_FINISH_CANCEL);
    assert_int_equal(c.n_ids, 5);
    assert_int_equal(c.output_tokens, 5);
    assert_int_equal(fake_steps(), 6);
    assert_consistent(engine);
    client_deinit(&c);
    engine_close(engine);
}

static void a_token_that_was_computed_while_the_cancel_came_is_dropped(void **state)
{
    (void)state;
    struct engine *engine = open_engine((struct engine_options){0});
    struct client c;
    client_init(&c);
    fake_gate(false);
    assert_int_equal(client_submit(&c, engine, request_of(3, 200), NULL), PL_OK);
    fake_await_steps(1);
    engine_cancel(engine, c.id);
    engine_cancel(engine, c.id); /* twice is once */
    fake_gate(true);
    client_wait(&c);
    assert_int_equal(c.n_ids, 0);
    assert_int_equal(c.n_finish, 1);
    engine_cancel(engine, c.id);       /* finished */
    engine_cancel(engine, 0);          /* never was */
    engine_cancel(engine, UINT64_MAX); /* never was */
    assert_consistent(engine);
    client_deinit(&c);
    engine_close(engine);
}

static void a_callback_may_cancel_its_own_request(void **state)
{
    (void)state;
    struct engine *engine = open_engine((struct engine_options){0});
    struct client c;
    client_init(&c);
    c.cancel_in = engine;
    c.cancel_at = 7;
    fake_gate(false);
    assert_int_equal(client_submit(&c, engine, request_of(3, 200), NULL), PL_OK);
    fake_gate(true);
    client_wait(&c);
    assert_int_equal(c.finish, ENGINE_FINISH_CANCEL);
    assert_int_equal(c.n_ids, 7);
    assert_consistent(engine);
    client_deinit(&c);
    engine_close(engine);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void a_device_failure_at_any_call_ends_what_runs_and_nothing_else(void **state)
{
    (void)state;
    struct engine *engine =
        open_engine((struct engine_options){.seqs_max = 2, .rows_max = 16, .kv_tokens = 256});
    for (long n = 1; n <= 60; n++) {
        struct client c[3];
        fake_gate(false);
        for (int i = 0; i < 3; i++)
            client_init(&c[i]);
        fake_fail_at(n);
        for (int i = 0; i < 3; i++)
            assert_int_equal(client_submit(&c[i], engine, request_of(20, 8), NULL), PL_OK);
        fake_gate(true);
        uint32_t n_failed = 0;
        for (int i = 0; i < 3; i++) {
            client_wait(&c[i]);
            assert_int_equal(c[i].n_finish, 1);
            if (c[i].finish == ENGINE_FINISH_ERROR) {
                n_failed++;
                assert_int_equal(c[i].status, PL_ELOST);
                assert_string_equal(c[i].message, "fake: device lost");
            } else {
                assert_int_equal(c[i].finish, ENGINE_FINISH_LENGTH);
            }
            client_deinit(&c[i]);
        }
        assert_true(fake_calls() < n ? n_failed == 0 : n_failed >= 1 && n_failed <= 2);
        fake_fail_at(0);
        assert_consistent(engine);
    }
    engine_close(engine);
}

static void logits_that_are_not_finite_end_their_request_alone(void **state)
{
    (void)state;
    static const int32_t bad[] = {5, 77};
    struct engine *engine = open_engine((struct engine_options){0});
    fake_nan_after(77);
    for (int with_prompt = 0; with_prompt < 2; with_prompt++) {
        struct client good, ill;
        client_init(&good);
        client_init(&ill);
        struct engine_request request = {.prompt = bad, .n_prompt = 2, .max_tokens = 5};
        request.prompt_logprobs = with_prompt != 0;
        struct engine_bias never = {.id = 77, .bias = -1000};
        struct engine_request other = request_of(3, 30);
        other.sampling.bias = &never;
        other.sampling.n_bias = 1;
        assert_int_equal(client_submit(&good, engine, other, NULL), PL_OK);
        assert_int_equal(client_submit(&ill, engine, request, NULL), PL_OK);
        client_wait(&good);
        client_wait(&ill);
        assert_int_equal(good.finish, ENGINE_FINISH_LENGTH);
        assert_int_equal(ill.finish, ENGINE_FINISH_ERROR);
        assert_int_equal(ill.status, PL_EINTERNAL);
        assert_non_null(strstr(ill.message, "not finite"));
        client_deinit(&good);
        client_deinit(&ill);
    }
    engine_close(engine);
}

static void opening_fails_cleanly_at_any_allocation(void **state)
{
    (void)state;
    for (long n = 1;; n++) {
        struct engine *engine = NULL;
        struct pl_error err = {{0}};
        fault_fail_at(n);
        enum pl_status status = try_open((struct engine_options){.queue_max = 4}, &engine, &err);
        bool hit = fault_hit();
        fault_fail_at(0);
        if (!hit) {
            assert_int_equal(status, PL_OK);
            engine_close(engine);
            assert_true(n > 10);
            return;
        }
        assert_int_equal(status, PL_ENOMEM);
        assert_null(engine);
        assert_true(err.msg[0] != '\0');
    }
}

static void submitting_fails_cleanly_at_any_allocation(void **state)
{
    (void)state;
    static const char *const stops[] = {"abc", "de"};
    static const struct engine_bias bias[] = {{.id = 3, .bias = 1}};
    struct engine *engine = open_engine((struct engine_options){0});
    struct engine_request request = request_of(100, 20);
    request.stops = stops;
    request.n_stops = 2;
    request.sampling.bias = bias;
    request.sampling.n_bias = 1;
    bool hit = true;
    for (long n = 1; hit; n++) {
        struct client c;
        client_init(&c);
        fault_fail_at(n);
        enum pl_status status = client_submit(&c, engine, request, NULL);
        hit = fault_hit();
        fault_fail_at(0);
        assert_int_equal(status, hit ? PL_ENOMEM : PL_OK);
        if (!hit)
            client_wait(&c);
        client_deinit(&c);
        assert_consistent(engine);
    }
    engine_close(engine);
}

/* The number of preemptions on the way. */
static uint64_t run_without_allocating(struct engine_options options)
{
    static const char *const stops[] = {"never said", " w1 w2 w3"};
    struct engine *engine = open_engine(options);
    static struct client c[12];
    fake_gate(false);
    for (uint32_t i = 0; i < 12; i++) {
        client_init(&c[i]);
        struct engine_request request = request_of(20 + 15 * i, 30);
        request.stops = stops;
        request.n_stops = 2;
        request.logprobs = true;
        request.prompt_logprobs = i % 2 == 0;
        request.n_logprobs = 3;
        request.sampling = engine_sampling_default();
        request.sampling.top_k = (int32_t)i * 5;
        request.sampling.top_p = 0.9f;
        request.sampling.repeat_penalty = 1.2f;
        request.sampling.presence_penalty = 0.5f;
        assert_int_equal(client_submit(&c[i], engine, request, NULL), PL_OK);
    }
    fault_fail_at(0); /* counts from here */
    fake_gate(true);
    for (uint32_t i = 0; i < 12; i++)
        client_wait(&c[i]);
    assert_int_equal(fault_count(), 0);
    struct engine_stats stats;
    engine_stats(engine, &stats);
    for (uint32_t i = 0; i < 12; i++)
        client_deinit(&c[i]);
    engine_close(engine);
    return stats.preemptions;
}

static void nothing_is_allocated_between_admission_and_finish(void **state)
{
    (void)state;
    struct engine_options options = {.rows_max = 32, .ctx_tokens = 224, .kv_tokens = 384};
    options.draft_max = 4;
    (void)run_without_allocating(options);
    options.kv_ram_bytes = 1 << 16;
    (void)run_without_allocating(options);
    options.no_prefix_cache = true;
    assert_true(run_without_allocating(options) > 0); /* preempted, too */
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refuses_bad_requests_by_naming_the_parameter(void **state)
{
    (void)state;
    static const int32_t no_such_id[] = {1, FAKE_N_VOCAB};
    static const int32_t negative_id[] = {-1};
    static const char *const empty_stop[] = {"x", ""};
    static const char *const bad_stop[] = {"\xff"};
    static const struct engine_bias bad_bias[] = {{.id = FAKE_N_VOCAB, .bias = 1}};
    const struct engine_request good = request_of(4, 4);
    const struct {
        const char *reason;
        struct engine_request request;
        enum pl_status status;
    } cases[] = {
        {"prompt: it has no token", request_of(0, 1), PL_EINVAL},
        {"prompt: token 300", {.prompt = no_such_id, .n_prompt = 2}, PL_EINVAL},
        {"prompt: token -1", {.prompt = negative_id, .n_prompt = 1}, PL_EINVAL},
        {"prompt: 64 tokens", request_of(64, 1), PL_ELIMIT},
        {"stop: string 1", {.stops = empty_stop, .n_stops = 2}, PL_EINVAL},
        {"stop: string 0 is not UTF-8", {.stops = bad_stop, .n_stops = 1}, PL_EINVAL},
        {"stop: 17 strings", {.n_stops = 17}, PL_EINVAL},
        {"logprobs: 21", {.n_logprobs = 21}, PL_EINVAL},
        {"logit_bias: token 300", {.sampling = {.bias = bad_bias, .n_bias = 1}}, PL_EINVAL},
        {"logit_bias: 1025 entries", {.sampling = {.n_bias = 1025}}, PL_EINVAL},
        {"temperature: -1", {.sampling = {.temperature = -1}}, PL_EINVAL},
        {"temperature: nan", {.sampling = {.temperature = NAN}}, PL_EINVAL},
        {"temperature: inf", {.sampling = {.temperature = INFINITY}}, PL_EINVAL},
        {"top_k: -1", {.sampling = {.top_k = -1}}, PL_EINVAL},
        {"top_p: 1.5", {.sampling = {.top_p = 1.5f}}, PL_EINVAL},
        {"min_p: -0.5", {.sampling = {.min_p = -0.5f}}, PL_EINVAL},
        {"repeat_penalty: -1", {.sampling = {.repeat_penalty = -1}}, PL_EINVAL},
        {"presence_penalty: inf", {.sampling = {.presence_penalty = INFINITY}}, PL_EINVAL},
        {"frequency_penalty: nan", {.sampling = {.frequency_penalty = NAN}}, PL_EINVAL},
        {"repeat_last_n: -2", {.sampling = {.repeat_last_n = -2}}, PL_EINVAL},
    };
    struct engine *engine = open_engine((struct engine_options){.ctx_tokens = 64});
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct engine_request request = cases[i].request;
        struct pl_error err = {{0}};
        struct client c;
        client_init(&c);
        if (request.prompt == NULL) {
            request.prompt = good.prompt;
            request.n_prompt = good.n_prompt;
        }
        enum pl_status status = client_submit(&c, engine, request, &err);
        if (status != cases[i].status || strstr(err.msg, cases[i].reason) != err.msg)
            print_error("case %zu: want %s, got %d %s\n", i, cases[i].reason, status, err.msg);
        assert_int_equal(status, cases[i].status);
        assert_memory_equal(err.msg, cases[i].reason, strlen(cases[i].reason));
        assert_int_equal(c.n_finish, 0);
        client_deinit(&c);
    }
    assert_consistent(engine);
    engine_close(engine);
}

static void refuses_bad_options_and_models(void **state)
{
    (void)state;
    const struct {
        struct engine_options options;
        enum pl_status status;
    } cases[] = {
        {{.model_path = "absent.gguf"}, PL_ENOENT},
        {{.backend = "abacus"}, PL_ENOENT},
        {{.seqs_max = 1u << 20}, PL_EINVAL},
        {{.rows_max = 1u << 20}, PL_EINVAL},
        {{.queue_max = 1u << 20}, PL_EINVAL},
        {{.kv_type = (enum engine_kv_type)7}, PL_EINVAL},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct engine *engine = NULL;
        struct pl_error err = {{0}};
        assert_int_equal(try_open(cases[i].options, &engine, &err), cases[i].status);
        assert_null(engine);
        assert_true(err.msg[0] != '\0');
    }
    struct engine *engine = NULL;
    fake_refuse_open(true);
    assert_int_equal(try_open((struct engine_options){0}, &engine, NULL), PL_ENOTSUP);
}

static void a_full_queue_is_busy_and_recovers(void **state)
{
    (void)state;
    struct engine *engine = open_engine((struct engine_options){.seqs_max = 2, .queue_max = 3});
    struct client c[6];
    struct pl_error err = {{0}};
    fake_gate(false);
    for (int i = 0; i < 6; i++)
        client_init(&c[i]);
    for (int i = 0; i < 5; i++)
        assert_int_equal(client_submit(&c[i], engine, request_of(3, 3), NULL), PL_OK);
    assert_int_equal(client_submit(&c[5], engine, request_of(3, 3), &err), PL_EBUSY);
    struct engine_stats stats;
    engine_stats(engine, &stats);
    assert_int_equal(stats.running + stats.waiting, 5);
    fake_gate(true);
    for (int i = 0; i < 5; i++)
        client_wait(&c[i]);
    assert_int_equal(client_submit(&c[5], engine, request_of(3, 3), NULL), PL_OK);
    client_wait(&c[5]);
    for (int i = 0; i < 6; i++)
        client_deinit(&c[i]);
    engine_close(engine);
}

static void draining_refuses_new_requests_and_finishes_old_ones(void **state)
{
    (void)state;
    struct engine *engine = open_engine((struct engine_options){0});
    struct client old, late;
    client_init(&old);
    client_init(&late);
    fake_gate(false);
    assert_int_equal(client_submit(&old, engine, request_of(3, 9), NULL), PL_OK);
    engine_drain(engine);
    assert_int_equal(client_submit(&late, engine, request_of(3, 9), NULL), PL_ECLOSED);
    fake_gate(true);
    client_wait(&old);
    assert_int_equal(old.finish, ENGINE_FINISH_LENGTH);
    assert_int_equal(old.n_ids, 9);
    client_deinit(&old);
    client_deinit(&late);
    engine_close(engine);
}

static void *close_engine(void *engine)
{
    engine_close(engine);
    return NULL;
}

static void closing_cancels_what_runs_and_what_waits(void **state)
{
    (void)state;
    static struct client c[20];
    static struct client late;
    struct engine *engine =
        open_engine((struct engine_options){.seqs_max = 4, .rows_max = 16, .queue_max = 16});
    fake_allow(20);
    for (int i = 0; i < 20; i++) {
        client_init(&c[i]);
        assert_int_equal(client_submit(&c[i], engine, request_of(100, 100), NULL), PL_OK);
    }
    fake_await_steps(21);
    pthread_t closer;
    assert_int_equal(pthread_create(&closer, NULL, close_engine, engine), 0);
    enum pl_status status = PL_EBUSY; /* it is full until it closes */
    client_init(&late);
    while (status == PL_EBUSY)
        status = client_submit(&late, engine, request_of(1, 1), NULL);
    assert_int_equal(status, PL_ECLOSED);
    client_deinit(&late);
    fake_gate(true);
    pthread_join(closer, NULL);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(c[i].n_finish, 1);
        assert_int_equal(c[i].n_after_finish, 0);
        assert_int_equal(c[i].finish, ENGINE_FINISH_CANCEL);
        client_deinit(&c[i]);
    }
    engine_close(NULL);
}

static void logits_need_an_idle_engine(void **state)
{
    (void)state;
    static float logits[4 * FAKE_N_VOCAB];
    struct engine *engine = open_engine((struct engine_options){0});
    struct client c;
    client_init(&c);
    fake_gate(false);
    assert_int_equal(client_submit(&c, engine, request_of(3, 5), NULL), PL_OK);
    assert_int_equal(engine_logits(engine, PROMPT, 4, logits, NULL), PL_EBUSY);
    fake_gate(true);
    client_wait(&c);
    assert_int_equal(engine_logits(engine, PROMPT, 4, logits, NULL), PL_OK);
    fake_fail_at(2);
    assert_int_equal(engine_logits(engine, PROMPT, 4, logits, NULL), PL_ELOST);
    fake_fail_at(0);
    assert_int_equal(engine_logits(engine, PROMPT, 0, logits, NULL), PL_EINVAL);
    assert_consistent(engine);
    client_deinit(&c);
    engine_close(engine);
}

/* ---- figures and threads --------------------------------------------------------------------- */

static void counts_what_it_did(void **state)
{
    (void)state;
    struct engine *engine =
        open_engine((struct engine_options){.rows_max = 16, .no_prefix_cache = true});
    struct engine_stats stats;
    struct client c[2];
    for (int i = 0; i < 2; i++) {
        client_init(&c[i]);
        client_run(&c[i], engine, request_of(40, 6));
        client_deinit(&c[i]);
    }
    engine_stats(engine, &stats);
    assert_int_equal(stats.prompt_tokens, 80);
    assert_int_equal(stats.generated_tokens, 12);
    assert_int_equal(stats.steps, 2 * (3 + 5));
    assert_int_equal(stats.finished[ENGINE_FINISH_LENGTH], 2);
    assert_int_equal(stats.blocks_total, engine_info(engine)->n_blocks);
    assert_int_equal(stats.device_allocs, 3);
    assert_string_equal(engine_info(engine)->model_name, "model.gguf");
    assert_string_equal(engine_info(engine)->chat_template, "{{ x }}");
    assert_non_null(engine_vocab(engine));
    engine_close(engine);
}

#define N_THREADS 6

struct hammer {
    struct engine *engine;
    uint32_t i;
    uint32_t n_done;
};

static void *hammer(void *user)
{
    struct hammer *h = user;
    for (uint32_t k = 0; k < 40; k++) {
        struct engine_stats stats;
        struct client c;
        client_init(&c);
        uint32_t n = h->i * 40 + k;
        enum pl_status status =
            client_submit(&c, h->engine, request_of(1 + n % 90, 1 + n % 40), NULL);
        if (status == PL_OK) {
            if (n % 3 == 0) {
                client_await_tokens(&c, n % 7);
                engine_cancel(h->engine, c.id);
            }
            engine_stats(h->engine, &stats);
            client_wait(&c);
            h->n_done += c.n_finish == 1;
        } else {
            h->n_done += status == PL_EBUSY;
        }
        client_deinit(&c);
    }
    return NULL;
}

static void many_threads_submit_and_cancel(void **state)
{
    (void)state;
    struct engine *engine = open_engine((struct engine_options){
        .seqs_max = 4, .rows_max = 24, .queue_max = 1, .ctx_tokens = 144, .kv_tokens = 160});
    pthread_t threads[N_THREADS];
    struct hammer hammers[N_THREADS];
    for (uint32_t i = 0; i < N_THREADS; i++) {
        hammers[i] = (struct hammer){.engine = engine, .i = i};
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &hammers[i]), 0);
    }
    for (uint32_t i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(hammers[i].n_done, 40);
    }
    assert_false(fake_contract_broken());
    assert_consistent(engine);
    engine_close(engine);
}

#define TEST(f) cmocka_unit_test_setup(f, reset)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cancels_a_waiting_request),
        TEST(cancels_between_the_chunks_of_a_prefill),
        TEST(cancels_a_decode_within_one_step),
        TEST(a_token_that_was_computed_while_the_cancel_came_is_dropped),
        TEST(a_callback_may_cancel_its_own_request),
        TEST(a_device_failure_at_any_call_ends_what_runs_and_nothing_else),
        TEST(logits_that_are_not_finite_end_their_request_alone),
        TEST(opening_fails_cleanly_at_any_allocation),
        TEST(submitting_fails_cleanly_at_any_allocation),
        TEST(nothing_is_allocated_between_admission_and_finish),
        TEST(refuses_bad_requests_by_naming_the_parameter),
        TEST(refuses_bad_options_and_models),
        TEST(a_full_queue_is_busy_and_recovers),
        TEST(draining_refuses_new_requests_and_finishes_old_ones),
        TEST(closing_cancels_what_runs_and_what_waits),
        TEST(logits_need_an_idle_engine),
        TEST(counts_what_it_did),
        TEST(many_threads_submit_and_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
