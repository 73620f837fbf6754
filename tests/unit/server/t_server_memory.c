/* Every allocation of the request path fails once: an error or a whole result, never a leak or a crash. */
#include "test.h"

#include "fault.h"
#include "logprobs.h"
#include "request.h"

#include "base/banned.h"

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
            bool ok =
                request_parse(BODIES[i].kind, BODIES[i].body, strlen(BODIES[i].body), &r, &error);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parsing_survives_every_failed_allocation),
        cmocka_unit_test(logprobs_pass_a_failure_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
