/* Every allocation of the request path fails once: an error or a whole result, never a leak or a crash. */
#include "test.h"

#include "call_state.h"
#include "chat.h"
#include "fake_engine.h"
#include "fault.h"
#include "prompts.h"

#include "base/banned.h"

static const struct engine_sampling DEFAULTS = {.temperature = 1, .top_p = 1};

static const struct {
    enum request_kind kind;
    const char *body;
} BODIES[] = {
    {REQUEST_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],"
                   "\"logit_bias\":{\"1\":2,\"3\":4},\"stop\":[\"x\"]}"},
    {REQUEST_COMPLETION, "{\"prompt\":[[1,2,3],[4]]}"},
    {REQUEST_COMPLETION, "{\"prompt\":[\"a\",\"b\"]}"},
    {REQUEST_COMPLETION, "{\"prompt\":\"a\",\"logit_bias\":{\"1\":2}}"},
};

static void parsing_survives_every_failed_allocation(void **state)
{
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(BODIES); i++) {
        bool done = false;
        for (long n = 1; !done && n < 100; n++) {
            struct api_error error = {0};
            struct request r;
            fault_fail_at(n);
            bool ok = request_parse(BODIES[i].kind, BODIES[i].body, strlen(BODIES[i].body),
                                    &DEFAULTS, &r, &error);
            done = !fault_hit();
            fault_fail_at(0);
            assert_true(ok || error.status == 500);
            assert_true(!done || ok);
            if (ok)
                request_deinit(&r);
        }
        assert_true(done);
    }
}

static void logprobs_pass_a_failure_on(void **state)
{
    (void)state;
    bool done = false;
    for (long n = 1; !done && n < 100; n++) {
        struct logprobs lp;
        struct buf out;
        struct json_writer w;
        struct engine_event event = {.kind = ENGINE_EVENT_TOKEN, .id = 'a', .logprob = -1};
        logprobs_init(&lp, NULL, false, 1 << 16);
        buf_init(&out, 0);
        json_begin(&w, &out);
        fault_fail_at(n);
        for (int i = 0; i < 40; i++)
            logprobs_add(&lp, &event, true);
        logprobs_take(&lp, &w);
        done = !fault_hit();
        fault_fail_at(0);
        assert_true(out.failed != done);
        logprobs_deinit(&lp);
        buf_deinit(&out);
    }
    assert_true(done);
}

static const char *const CALLS[] = {
    "{\"prompt\":[\"ab\",\"cd\"],\"n\":2,\"best_of\":3,\"echo\":true,\"logprobs\":1}",
    "{\"prompt\":[[1,2],[3]],\"echo\":true,\"prompt_logprobs\":1}",
};

static void making_a_call_survives_every_failed_allocation(void **state)
{
    (void)state;
    struct engine *engine = fake_engine_open(NULL, false);
    struct server server = {
        .names = {NULL}, .info = engine_info(engine), .vocab = engine_vocab(engine)};
    server.piece_bytes_max = 1;
    for (size_t i = 0; i < PL_ARRAY_LEN(CALLS); i++) {
        bool done = false;
        for (long n = 1; !done && n < 100; n++) {
            struct api_error error = {0};
            struct request r;
            assert_true(request_parse(REQUEST_COMPLETION, CALLS[i], strlen(CALLS[i]), &DEFAULTS, &r,
                                      &error));
            fault_fail_at(n);
            struct call *call = call_new(&server, &r);
            bool ok = call != NULL && prompts_make(call, &r, &error);
            done = !fault_hit();
            fault_fail_at(0);
            assert_true(ok == done);
            assert_true(ok || call == NULL || error.status == 500);
            call_free(call);
            request_deinit(&r);
        }
        assert_true(done);
    }
    engine_close(engine);
}

static void resolving_sampling_survives_every_failed_allocation(void **state)
{
    (void)state;
    static const char BODY[] =
        "{\"prompt\":\"a\",\"logit_bias\":[[\"ab\",1],[3,false]],\"bad_words\":[\"ab\",\"c\"],"
        "\"dry_multiplier\":1,\"dry_sequence_breakers\":[\"im\",\"x\"],"
        "\"allowed_token_ids\":[1,2],\"stop_token_ids\":[3],\"logprob_token_ids\":[4]}";
    struct engine *engine = fake_engine_open(NULL, false);
    bool done = false;
    for (long n = 1; !done && n < 200; n++) {
        struct api_error error = {0};
        struct request r;
        fault_fail_at(n);
        bool parsed =
            request_parse(REQUEST_COMPLETION, BODY, sizeof BODY - 1, &DEFAULTS, &r, &error);
        bool ok = parsed && request_resolve_sampling(&r, engine_vocab(engine), &error);
        done = !fault_hit();
        fault_fail_at(0);
        assert_true(ok == done);
        assert_true(ok || error.status == 500);
        if (parsed)
            request_deinit(&r);
    }
    assert_true(done);
    engine_close(engine);
}

static void prompt_logprobs_pass_a_failure_on(void **state)
{
    (void)state;
    static const struct engine_logprob TOP[] = {{'a', -0.5F}, {'b', -1.5F}};
    struct engine *engine = fake_engine_open(NULL, false);
    bool done = false;
    for (long n = 1; !done && n < 100; n++) {
        struct shapes_envelope e = {.chat = true};
        struct engine_event event = {
            .kind = ENGINE_EVENT_PROMPT, .id = 'c', .logprob = -1, .top = TOP, .n_top = 2};
        struct buf list, out;
        struct json_writer w;
        buf_init(&list, 0);
        buf_init(&out, 0);
        json_begin(&w, &out);
        fault_fail_at(n);
        for (int i = 0; i < 40; i++)
            prompt_logprobs_add(&list, engine_vocab(engine), &event, 2);
        shapes_begin(&e, &w);
        shapes_end(&e, NULL, &list, &w);
        done = !fault_hit();
        fault_fail_at(0);
        assert_true(out.failed != done);
        buf_deinit(&list);
        buf_deinit(&out);
    }
    assert_true(done);
    engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parsing_survives_every_failed_allocation),
        cmocka_unit_test(making_a_call_survives_every_failed_allocation),
        cmocka_unit_test(resolving_sampling_survives_every_failed_allocation),
        cmocka_unit_test(prompt_logprobs_pass_a_failure_on),
        cmocka_unit_test(logprobs_pass_a_failure_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
