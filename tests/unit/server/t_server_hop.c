/* Who a request is for: believed from an authenticated hop, ignored or refused from anybody else. */
#include "test.h"

#include "check.h"
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/banned.h"

#define KEY "plh_0123456789abcdef"
#define HOP "x-polder-hop: " KEY "\r\n"

static struct live live; /* with a hop key */

static int open_live(void **state)
{
    (void)state;
    live_open_with(&live, fake_engine_open(NULL, false), &(struct server_options){.hop_key = KEY},
                   "127.0.0.1:0");
    return 0;
}

static int close_live(void **state)
{
    (void)state;
    live_close(&live);
    return 0;
}

static struct fake_asked ask_with(struct live *l, const char *headers, const char *more)
{
    struct reply reply = live_read(live_send(l, "POST", CHAT, headers, chat_body("a", more)));
    if (reply.status != 200)
        fail_msg("%s%s: %d %s", headers, more, reply.status, reply.body);
    reply_free(&reply);
    return fake_engine_last(l->engine);
}

static void an_authenticated_hop_is_believed(void **state)
{
    (void)state;
    int64_t before_ns = clock_now_ns();
    struct fake_asked asked =
        ask_with(&live,
                 HOP "X-Polder-Org: acme\r\nx-polder-tenant: team 7\r\nx-polder-weight: 2.5\r\n"
                     "x-polder-priority: -3\r\nx-polder-deadline-ms: 5000\r\n",
                 ",\"max_tokens\":1,\"cache_salt\":\"s\",\"priority\":9");
    assert_string_equal(asked.scope, "acme");
    assert_string_equal(asked.tenant, "team 7");
    assert_string_equal(asked.salt, "s");
    assert_true(asked.weight == 2.5F);
    assert_int_equal(asked.priority, -3); /* the header before the body */
    assert_in_range(asked.deadline_ns, before_ns + 5000 * CLOCK_NS_PER_MS,
                    clock_now_ns() + 5000 * CLOCK_NS_PER_MS);
    asked = ask_with(&live, HOP "x-polder-org: acme\r\n", ",\"max_tokens\":1,\"priority\":-9");
    assert_int_equal(asked.priority, 0); /* a client does not put itself first */
    asked = ask_with(&live, HOP "x-polder-org: acme\r\n", ",\"max_tokens\":1,\"priority\":9");
    assert_string_equal(asked.tenant, "acme"); /* an organisation is its own tenant */
    assert_int_equal(asked.priority, 9);
    assert_true(asked.weight == 0);
    assert_int_equal(asked.deadline_ns, 0);
    assert_string_equal(asked.salt, "");
}

static void forged_headers_are_ignored(void **state)
{
    (void)state;
    struct fake_asked asked =
        ask_with(&live,
                 "x-polder-org: acme\r\nx-polder-tenant: t\r\nx-polder-weight: 1000\r\n"
                 "x-polder-priority: -3\r\nx-polder-deadline-ms: junk\r\n",
                 ",\"max_tokens\":1,\"cache_salt\":\"s\"");
    assert_string_equal(asked.scope, "");
    assert_string_equal(asked.tenant, "");
    assert_true(asked.weight == 0);
    assert_int_equal(asked.priority, 0);
    assert_int_equal(asked.deadline_ns, 0);
    assert_string_equal(asked.salt, "s"); /* narrows only: anybody may */
}

static void a_wrong_key_is_refused_not_ignored(void **state)
{
    (void)state;
    static const char *const KEYS[] = {
        "x-polder-hop: wrong\r\n",
        "x-polder-hop: \r\n",
        "x-polder-hop: plh_0123456789abcdeF\r\n",
        "x-polder-hop: plh_0123456789abcde\r\n",
        "x-polder-hop: " KEY KEY "\r\n",
        "x-polder-hop: " KEY "x\r\n",
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(KEYS); i++)
        EXPECT_WITH(&live, CHAT, KEYS[i], chat_body("a", ""), 401, {"error.code", "hop_refused"},
                    {"error.type", "authentication_error"},
                    {"error.message", "x-polder-hop: not the key of this worker"});
    EXPECT_WITH(&live, CHAT, HOP HOP, chat_body("a", ""), 400, {"error.param", "x-polder-hop"});
    struct live none;
    live_open(&none, fake_engine_open(NULL, false));
    EXPECT_WITH(&none, CHAT, HOP, chat_body("a", ""), 401, {"error.code", "hop_refused"});
    live_close(&none);
}

static void a_body_s_priority_needs_a_hop(void **state)
{
    (void)state;
    EXPECT(&live, CHAT, chat_body("a", ",\"priority\":-1"), 400, {"error.param", "priority"},
           {"error.message", "priority: only the gateway of this worker may set it "
                             "(x-polder-hop); leave it out or 0"});
    EXPECT(&live, COMPLETION, "{\"prompt\":\"a\",\"priority\":1}", 400,
           {"error.param", "priority"});
    EXPECT(&live, CHAT, chat_body("a", ",\"max_tokens\":1,\"priority\":0"), 200,
           {"object", "chat.completion"});
}

static void malformed_fields_of_a_hop_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *headers, *param;
    } ROWS[] = {
        {"x-polder-weight: 0\r\n", "x-polder-weight"},
        {"x-polder-weight: -1\r\n", "x-polder-weight"},
        {"x-polder-weight: nan\r\n", "x-polder-weight"},
        {"x-polder-weight: 1e30\r\n", "x-polder-weight"},
        {"x-polder-weight: \r\n", "x-polder-weight"},
        {"x-polder-weight: 1.0000000000000000000000000000000000000\r\n", "x-polder-weight"},
        {"x-polder-priority: 1.5\r\n", "x-polder-priority"},
        {"x-polder-priority: 99999999\r\n", "x-polder-priority"},
        {"x-polder-priority: high\r\n", "x-polder-priority"},
        {"x-polder-deadline-ms: 0\r\n", "x-polder-deadline-ms"},
        {"x-polder-deadline-ms: -5\r\n", "x-polder-deadline-ms"},
        {"x-polder-deadline-ms: 86400001\r\n", "x-polder-deadline-ms"},
        {"x-polder-org: a\r\nX-POLDER-ORG: b\r\n", "x-polder-org"},
        {"x-polder-tenant: a\r\nx-polder-tenant: a\r\n", "x-polder-tenant"},
        {"x-polder-tenant: \xc3\xa9\r\n", "x-polder-tenant"},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        char headers[300];
        (void)snprintf(headers, sizeof headers, HOP "%s", ROWS[i].headers);
        struct expect row = {"error.param", ROWS[i].param};
        check_ask(&live, CHAT, headers, chat_body("a", ""), 400, &row, 1);
    }
    char headers[400], name[ENGINE_NAME_MAX + 2] = "";
    memset(name, 'o', ENGINE_NAME_MAX + 1);
    (void)snprintf(headers, sizeof headers, HOP "x-polder-org: %s\r\n", name);
    EXPECT_WITH(&live, CHAT, headers, chat_body("a", ""), 400, {"error.param", "x-polder-org"});
    (void)snprintf(headers, sizeof headers, HOP "x-polder-org: %s\r\n", name + 1);
    assert_string_equal(ask_with(&live, headers, ",\"max_tokens\":1").scope, name + 1);
}

static void a_trusted_unix_socket_is_a_hop(void **state)
{
    (void)state;
    char folder[] = "/tmp/polder-hop-XXXXXX", address[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(address, sizeof address, "unix:%s/s", folder);
    static const bool TRUST[] = {true, false};
    for (size_t i = 0; i < PL_ARRAY_LEN(TRUST); i++) {
        struct live un;
        live_open_with(&un, fake_engine_open(NULL, false),
                       &(struct server_options){.hop_key = KEY, .trust_unix = TRUST[i]}, address);
        struct fake_asked asked = ask_with(&un, "x-polder-org: acme\r\n", ",\"max_tokens\":1");
        assert_string_equal(asked.scope, TRUST[i] ? "acme" : "");
        asked = ask_with(&un, HOP "x-polder-org: acme\r\n", ",\"max_tokens\":1");
        assert_string_equal(asked.scope, "acme");
        /* a key that is given counts, wherever it comes from */
        EXPECT_WITH(&un, CHAT, "x-polder-hop: x\r\n", chat_body("a", ""), 401,
                    {"error.code", "hop_refused"});
        live_close(&un);
    }
    /* TCP is none, whatever the option says */
    struct live tcp;
    live_open_with(&tcp, fake_engine_open(NULL, false),
                   &(struct server_options){.trust_unix = true}, "127.0.0.1:0");
    assert_string_equal(ask_with(&tcp, "x-polder-org: a\r\n", ",\"max_tokens\":1").scope, "");
    live_close(&tcp);
    (void)unlink(address + 5);
    (void)rmdir(folder);
}

static void only_a_hop_resets_the_cache(void **state)
{
    (void)state;
    EXPECT(&live, "/reset_prefix_cache", "", 403, {"error.code", "hop_required"},
           {"error.type", "permission_error"});
    EXPECT_WITH(&live, "/reset_prefix_cache", "x-polder-hop: no\r\n", "", 401,
                {"error.code", "hop_refused"});
    assert_int_equal(fake_engine_resets(live.engine), 0);
    EXPECT_WITH(&live, "/reset_prefix_cache", HOP, "", 200, {"status", "ok"});
    assert_int_equal(fake_engine_resets(live.engine), 1);
}

static void load_is_told(void **state)
{
    (void)state;
    struct reply reply = live_ask(&live, "GET", "/load", "");
    assert_string_equal(reply.body, "{\"server_load\":0,\"running\":1,\"waiting\":0}");
    reply_free(&reply);
    int fd = live_send(&live, "POST", CHAT, "", chat_body("hang", ""));
    for (int i = 0; i < 200; i++) {
        reply = live_ask(&live, "GET", "/load", "");
        bool one = strstr(reply.body, "\"server_load\":1,") != NULL;
        reply_free(&reply);
        if (one)
            break;
        assert_int_not_equal(i, 199);
        (void)usleep(5000);
    }
    (void)close(fd);
    assert_int_equal(calls_left(&live), 0);
}

static void tenants_are_counted(void **state)
{
    (void)state;
    (void)ask_with(&live, HOP "x-polder-tenant: counted\r\n", ",\"max_tokens\":3,\"n\":2");
    EXPECT_WITH(&live, CHAT, HOP "x-polder-tenant: counted\r\n", chat_body("busy", ""), 429,
                {"error.code", "queue_full"});
    struct reply reply = live_ask(&live, "GET", "/metrics", "");
    static const char *const LINES[] = {
        "polder:tenant_requests_total{model_name=\"fake\",tenant=\"counted\"} 2\n",
        "polder:tenant_refused_total{model_name=\"fake\",tenant=\"counted\"} 1\n",
        "polder:tenant_prompt_tokens_total{model_name=\"fake\",tenant=\"counted\"} 2\n",
        "polder:tenant_output_tokens_total{model_name=\"fake\",tenant=\"counted\"} 6\n",
        "polder:tenant_running{model_name=\"fake\",tenant=\"default\"} 1\n",
        "polder:tenant_waiting{model_name=\"fake\",tenant=\"other\"} 2\n",
        "vllm:request_decode_time_seconds_bucket{model_name=\"fake\",le=\"0.5\"} 0\n",
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(LINES); i++) {
        if (strstr(reply.body, LINES[i]) == NULL)
            fail_msg("not found: %s\n%s", LINES[i], reply.body);
    }
    reply_free(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_authenticated_hop_is_believed),
        cmocka_unit_test(forged_headers_are_ignored),
        cmocka_unit_test(a_wrong_key_is_refused_not_ignored),
        cmocka_unit_test(a_body_s_priority_needs_a_hop),
        cmocka_unit_test(malformed_fields_of_a_hop_are_named),
        cmocka_unit_test(a_trusted_unix_socket_is_a_hop),
        cmocka_unit_test(only_a_hop_resets_the_cache),
        cmocka_unit_test(load_is_told),
        cmocka_unit_test(tenants_are_counted),
    };
    return cmocka_run_group_tests(tests, open_live, close_live);
}
