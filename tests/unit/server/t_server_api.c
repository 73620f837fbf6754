/* Whole answers of the API over a fake engine: shapes, streams, errors, states, vanished clients. */
#include "test.h"

#include <pthread.h>

#include "check.h"
#include "exposition.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/banned.h"

static struct live live; /* without a chat template: the contents are the prompt */

static int open_live(void **state)
{
    (void)state;
    live_open(&live, fake_engine_open(NULL, false));
    return 0;
}

static int close_live(void **state)
{
    (void)state;
    live_close(&live);
    return 0;
}

static void a_chat_is_answered(void **state)
{
    (void)state;
    EXPECT(&live, CHAT, chat_body("abc", ",\"max_tokens\":5"), 200, {"object", "chat.completion"},
           {"model", "fake"}, {"choices.0.index", "0"}, {"choices.0.message.role", "assistant"},
           {"choices.0.message.content", "abcab"}, {"choices.0.finish_reason", "length"},
           {"choices.0.logprobs", "null"}, {"usage.prompt_tokens", "4"},
           {"usage.completion_tokens", "5"}, {"usage.total_tokens", "9"},
           {"usage.prompt_tokens_details.cached_tokens", "0"},
           {"system_fingerprint", "polder-0.1.0-fake"});
}

static void chat_logprobs_have_their_shape(void **state)
{
    (void)state;
    EXPECT(&live, CHAT, chat_body("ab", ",\"max_tokens\":2,\"logprobs\":true,\"top_logprobs\":2"),
           200, {"choices.0.logprobs.content.0.token", "a"},
           {"choices.0.logprobs.content.0.logprob", "-0.25"},
           {"choices.0.logprobs.content.0.bytes.0", "97"},
           {"choices.0.logprobs.content.1.token", "b"},
           {"choices.0.logprobs.content.1.top_logprobs.0.token", "b"},
           {"choices.0.logprobs.content.1.top_logprobs.1.token", "z"},
           {"choices.0.logprobs.content.1.top_logprobs.1.logprob", "-3"},
           {"choices.0.logprobs.refusal", "null"});
}

static void completions_take_prompts_in_four_forms(void **state)
{
    (void)state;
    EXPECT(&live, COMPLETION, "{\"prompt\":\"xy\",\"max_tokens\":3}", 200,
           {"object", "text_completion"}, {"choices.0.text", "xyx"},
           {"choices.0.finish_reason", "length"});
    EXPECT(&live, COMPLETION, "{\"prompt\":[\"ab\",\"cd\"],\"max_tokens\":2}", 200,
           {"choices.0.text", "ab"}, {"choices.1.text", "cd"}, {"choices.1.index", "1"},
           {"usage.prompt_tokens", "6"}, {"usage.completion_tokens", "4"});
    EXPECT(&live, COMPLETION, "{\"prompt\":[104,105],\"max_tokens\":2}", 200,
           {"choices.0.text", "hi"}, {"usage.prompt_tokens", "2"});
    EXPECT(&live, COMPLETION, "{\"prompt\":[[104],[105]],\"max_tokens\":1}", 200,
           {"choices.0.text", "h"}, {"choices.1.text", "i"});
}

static void echo_with_logprobs_serves_evaluation_harnesses(void **state)
{
    (void)state;
    EXPECT(&live, COMPLETION,
           "{\"prompt\":[97,98,99],\"max_tokens\":1,\"echo\":true,\"logprobs\":1}", 200,
           {"choices.0.text", "abca"},
           {"choices.0.logprobs.tokens", "[ \"a\", \"b\", \"c\", \"a\" ]"},
           {"choices.0.logprobs.token_logprobs", "[ null, -2, -2, -0.25 ]"},
           {"choices.0.logprobs.top_logprobs.0", "null"},
           {"choices.0.logprobs.top_logprobs.1", "{ \"a\": -0.5, \"b\": -2 }"},
           {"choices.0.logprobs.top_logprobs.2", "{ \"a\": -0.5, \"c\": -2 }"},
           {"choices.0.logprobs.text_offset", "[ 0, 1, 2, 3 ]"});
    EXPECT(&live, COMPLETION, "{\"prompt\":\"ab\",\"max_tokens\":0,\"echo\":true,\"logprobs\":2}",
           200, {"choices.0.text", "ab"}, {"choices.0.finish_reason", "length"},
           {"choices.0.logprobs.tokens", "[ \"<s>\", \"a\", \"b\" ]"},
           {"choices.0.logprobs.text_offset", "[ 0, 0, 1 ]"},
           {"choices.0.logprobs.token_logprobs", "[ null, -2, -2 ]"},
           {"usage.completion_tokens", "0"});
    EXPECT(&live, COMPLETION,
           "{\"prompt\":[195,169],\"max_tokens\":0,\"echo\":true,\"logprobs\":1}", 200,
           {"choices.0.text", "\xc3\xa9"},
           {"choices.0.logprobs.tokens", "[ \"bytes:\\\\xc3\", \"bytes:\\\\xa9\" ]"});
    EXPECT(&live, COMPLETION, "{\"prompt\":\"ab\",\"max_tokens\":0}", 200, {"choices.0.text", ""},
           {"choices.0.logprobs", "null"});
}

static void streams_have_openai_s_chunks(void **state)
{
    (void)state;
    EVENTS(
        &live, CHAT, chat_body("ab", ",\"max_tokens\":2,\"stream\":true"),
        "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
        "\"logprobs\":null,\"finish_reason\":null}]}",
        "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"logprobs\":null,"
        "\"finish_reason\":null}]}",
        "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"},\"logprobs\":null,"
        "\"finish_reason\":null}]}",
        "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"length\"}]}",
        "[DONE]");
    EVENTS(&live, COMPLETION, "{\"prompt\":\"a\",\"max_tokens\":1,\"stream\":true}",
           "\"choices\":[{\"index\":0,\"text\":\"a\",\"logprobs\":null,\"finish_reason\":null}]}",
           "\"choices\":[{\"index\":0,\"text\":\"\",\"logprobs\":null,"
           "\"finish_reason\":\"length\"}]}",
           "[DONE]");
}

static void usage_comes_last_and_is_null_before(void **state)
{
    (void)state;
    EVENTS(
        &live, COMPLETION,
        "{\"prompt\":\"a\",\"max_tokens\":1,\"stream\":true,\"stream_options\":"
        "{\"include_usage\":true}}",
        "\"choices\":[{\"index\":0,\"text\":\"a\",\"logprobs\":null,\"finish_reason\":null}],"
        "\"usage\":null}",
        "\"choices\":[{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"length\"}],"
        "\"usage\":null}",
        "\"choices\":[],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":1,\"total_tokens\":3,"
        "\"prompt_tokens_details\":{\"cached_tokens\":0}}}",
        "[DONE]");
}

static void a_streamed_echo_comes_in_one_chunk(void **state)
{
    (void)state;
    EVENTS(&live, COMPLETION,
           "{\"prompt\":[97,98],\"max_tokens\":1,\"stream\":true,\"echo\":true,\"logprobs\":0}",
           "\"choices\":[{\"index\":0,\"text\":\"ab\",\"logprobs\":{\"tokens\":[\"a\",\"b\"],"
           "\"token_logprobs\":[null,-2],\"top_logprobs\":[null,null],\"text_offset\":[0,1]},"
           "\"finish_reason\":null}]}",
           "\"choices\":[{\"index\":0,\"text\":\"a\",\"logprobs\":{\"tokens\":[\"a\"],"
           "\"token_logprobs\":[-0.25],\"top_logprobs\":[null],\"text_offset\":[2]},"
           "\"finish_reason\":null}]}",
           "\"choices\":[{\"index\":0,\"text\":\"\",\"logprobs\":null,"
           "\"finish_reason\":\"length\"}]}",
           "[DONE]");
}

static void an_error_before_the_first_byte_is_a_status(void **state)
{
    (void)state;
    EXPECT(&live, CHAT, chat_body("error after 0", ",\"stream\":true"), 500,
           {"error.message", "cpu: device lost"}, {"error.type", "server_error"},
           {"error.param", "null"});
    EXPECT(&live, CHAT, chat_body("error after 2", ""), 500, {"error.message", "cpu: device lost"});
    EXPECT(&live, CHAT, chat_body("broken", ""), 500, {"error.message", "fake: internal error"});
}

static void an_error_in_a_stream_is_its_last_event(void **state)
{
    (void)state;
    EVENTS(&live, COMPLETION, "{\"prompt\":\"error after 1\",\"max_tokens\":9,\"stream\":true}",
           "\"choices\":[{\"index\":0,\"text\":\"e\",\"logprobs\":null,\"finish_reason\":null}]}",
           "{\"error\":{\"message\":\"cpu: device lost\",\"type\":\"server_error\",\"param\":null,"
           "\"code\":null}}");
}

static void a_full_queue_is_429_with_retry_after(void **state)
{
    (void)state;
    struct reply reply = live_ask(&live, "POST", CHAT, chat_body("busy", ""));
    assert_int_equal(reply.status, 429);
    assert_non_null(strcasestr(reply.text, "\r\nRetry-After: 7\r\n")); /* as the engine says */
    assert_non_null(strcasestr(reply.text, "\r\nretry-after-ms: 7000\r\n"));
    assert_non_null(strstr(reply.body, "\"type\":\"rate_limit_error\""));
    assert_non_null(strstr(reply.body, "\"code\":\"queue_full\""));
    reply_free(&reply);
    /* one of several prompts is refused: the others are cancelled, the answer is one error */
    reply = live_ask(&live, "POST", COMPLETION, "{\"prompt\":[\"endless\",\"busy\"]}");
    assert_int_equal(reply.status, 429);
    reply_free(&reply);
}

static void a_prompt_that_does_not_fit_is_named_with_numbers(void **state)
{
    (void)state;
    char body[2048] = "{\"prompt\":\"", *at = body + strlen(body);
    memset(at, 'x', 600);
    memcpy(at + 600, "\"}", 3);
    EXPECT(&live, COMPLETION, body, 400, {"error.code", "context_length_exceeded"},
           {"error.param", "prompt"},
           {"error.message",
            "prompt: 601 tokens and one to generate exceed the context length of 512 tokens"});
    EXPECT(&live, COMPLETION, "{\"prompt\":[1,99999]}", 400, {"error.param", "prompt"},
           {"error.message", "prompt: token id 99999 at 1 is outside the vocabulary of 260"});
    EXPECT(&live, CHAT, chat_body("a", ",\"logit_bias\":{\"260\":1}"), 400,
           {"error.param", "logit_bias"});
    EXPECT(&live, COMPLETION, "{\"prompt\":[[]]}", 400, {"error.param", "prompt"});
}

static void models_are_known_by_their_names(void **state)
{
    (void)state;
    EXPECT(&live, CHAT, chat_body("a", ",\"max_tokens\":1,\"model\":\"nope\""), 404,
           {"error.code", "model_not_found"}, {"error.param", "model"},
           {"error.type", "invalid_request_error"});
    static const char *const NAMES[] = {"fake", "alias", "general name", "default"};
    for (size_t i = 0; i < PL_ARRAY_LEN(NAMES); i++) {
        char more[128];
        (void)snprintf(more, sizeof more, ",\"max_tokens\":1,\"model\":\"%s\"", NAMES[i]);
        struct reply reply = live_ask(&live, "POST", CHAT, chat_body("a", more));
        assert_int_equal(reply.status, 200);
        reply_free(&reply);
    }
    struct reply reply = live_ask(&live, "GET", "/v1/models", "");
    struct json_object *json = reply_json(&reply);
    assert_string_equal(json_at(json, "object"), "list");
    assert_string_equal(json_at(json, "data.0.id"), "fake");
    assert_string_equal(json_at(json, "data.0.max_model_len"), "512");
    json_object_put(json);
    reply_free(&reply);
    reply = live_ask(&live, "GET", "/v1/models/general%20name", "");
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(reply.body, "\"id\":\"general name\""));
    reply_free(&reply);
    reply = live_ask(&live, "GET", "/v1/models/nope", "");
    assert_int_equal(reply.status, 404);
    reply_free(&reply);
}

static void routes_and_methods_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path;
        int status;
        const char *head;
    } ROWS[] = {
        {"GET", "/nope", 404, "application/json"},
        {"GET", "/v1/models/", 404, ""},
        {"GET", CHAT, 405, "Allow: POST"},
        {"DELETE", COMPLETION, 405, "Allow: POST"},
        {"POST", "/v1/models", 405, "Allow: GET, HEAD"},
        {"GET", "/health", 200, "application/json"},
        {"HEAD", "/v1/health", 200, "application/json"},
        {"GET", "/metrics", 200, "text/plain; version=0.0.4"},
        {"POST", "/tokenize", 400, ""},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        struct reply reply = live_ask(&live, ROWS[i].method, ROWS[i].path, "");
        if (reply.status != ROWS[i].status || strstr(reply.text, ROWS[i].head) == NULL)
            fail_msg("%s %s: %s%s", ROWS[i].method, ROWS[i].path, reply.text, reply.body);
        if (reply.status >= 400)
            assert_non_null(strstr(reply.body, "{\"error\":{\"message\":"));
        reply_free(&reply);
    }
}

static void the_request_id_is_echoed_or_made(void **state)
{
    (void)state;
    struct reply reply =
        live_read(live_send(&live, "GET", "/health", "X-Request-Id: my-id-1\r\n", ""));
    assert_non_null(strstr(reply.text, "x-request-id: my-id-1\r\n"));
    reply_free(&reply);
    reply = live_read(live_send(&live, "POST", CHAT, "X-Request-Id: my-id-2\r\n",
                                chat_body("a", ",\"max_tokens\":1,\"stream\":true")));
    assert_non_null(strstr(reply.text, "x-request-id: my-id-2\r\n"));
    reply_free(&reply);
    reply = live_read(live_send(&live, "GET", "/health", "X-Request-Id: a b\r\n", ""));
    assert_non_null(strstr(reply.text, "x-request-id: req-"));
    reply_free(&reply);
}

static void llama_server_s_utilities_work(void **state)
{
    (void)state;
    EXPECT(&live, "/tokenize", "{\"content\":\"hi\"}", 200, {"tokens", "[ 104, 105 ]"});
    EXPECT(&live, "/tokenize", "{\"content\":\"<s>\",\"add_special\":true}", 200,
           {"tokens", "[ 256, 256 ]"});
    EXPECT(&live, "/tokenize", "{\"content\":\"<s>\",\"parse_special\":false}", 200,
           {"tokens", "[ 60, 115, 62 ]"});
    EXPECT(&live, "/tokenize", "{\"content\":\"h\xc3\xa9\",\"with_pieces\":true}", 200,
           {"tokens.0.id", "104"}, {"tokens.0.piece", "h"}, {"tokens.1.piece", "[ 195 ]"});
    EXPECT(&live, "/tokenize", "{\"content\":5}", 400, {"error.param", "content"},
           {"error.message", "content: expected string, got number"});
    EXPECT(&live, "/tokenize", "{}", 400, {"error.param", "content"});
    EXPECT(&live, "/detokenize", "{\"tokens\":[104,105]}", 200, {"content", "hi"});
    EXPECT(&live, "/detokenize", "{\"tokens\":[]}", 200, {"content", ""});
    EXPECT(&live, "/detokenize", "{\"tokens\":[104,9999]}", 400, {"error.param", "tokens"});
    EXPECT(&live, "/detokenize", "{\"tokens\":\"a\"}", 400, {"error.param", "tokens"});
    EXPECT(&live, "/apply-template", "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", 200,
           {"prompt", "a"}, {"fallback", "plain"});
    EXPECT(&live, "/apply-template", "{\"messages\":7}", 400, {"error.param", "messages"});
    EXPECT(&live, "/apply-template",
           "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],"
           "\"chat_template\":\"<{{ messages[0].role }}>\"}",
           200, {"prompt", "<user>"});
    EXPECT(&live, "/apply-template",
           "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"chat_template\":\"{% if \"}",
           400, {"error.param", "chat_template"});
}

static void metrics_are_well_formed_under_load(void **state)
{
    (void)state;
    struct reply reply = live_ask(&live, "GET", "/metrics", "");
    int line = 0;
    const char *wrong = exposition_check(reply.body, &line);
    if (wrong != NULL)
        fail_msg("line %d: %s\n%s", line, wrong, reply.body);
    assert_non_null(strstr(reply.body, "vllm:time_to_first_token_seconds_count"));
    reply_free(&reply);
}

static void a_vanished_client_cancels_its_call(void **state)
{
    (void)state;
    uint32_t before = fake_engine_cancels();
    int stream = live_send(&live, "POST", CHAT, "", chat_body("endless", ",\"stream\":true"));
    int whole = live_send(&live, "POST", CHAT, "", chat_body("endless", ""));
    int hanging = live_send(&live, "POST", CHAT, "", chat_body("hang", ""));
    char byte;
    assert_int_equal(recv(stream, &byte, 1, 0), 1);
    (void)usleep(20000);
    (void)close(stream);
    (void)close(whole);
    (void)close(hanging);
    assert_int_equal(calls_left(&live), 0);
    assert_int_equal(fake_engine_cancels() - before, 3);
}

static void a_reader_that_is_too_slow_is_dropped(void **state)
{
    (void)state;
    uint32_t before = fake_engine_cancels();
    int fd = live_send(&live, "POST", CHAT, "", chat_body("flood", ",\"stream\":true"));
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), 1);
    assert_int_equal(calls_left(&live), 0); /* nothing more was read, and nothing waits for it */
    assert_true(fake_engine_cancels() > before);
    (void)close(fd);
}

static void many_clients_at_once_get_their_own_text(void **state)
{
    (void)state;
    int fds[64];
    for (int i = 0; i < 64; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "client %02d ", i);
        fds[i] = live_send(&live, "POST", CHAT, "",
                           chat_body(text, i % 2 == 0 ? ",\"max_tokens\":40"
                                                      : ",\"max_tokens\":400,\"stream\":true"));
    }
    for (int i = 1; i < 64; i += 2)
        (void)close(fds[i]);
    for (int i = 0; i < 64; i += 2) {
        char want[64];
        struct reply reply = live_read(fds[i]);
        (void)snprintf(want, sizeof want, "client %02d client %02d client %02d client %02d ", i, i,
                       i, i);
        struct json_object *json = reply_json(&reply);
        assert_string_equal(json_at(json, "choices.0.message.content"), want);
        json_object_put(json);
        reply_free(&reply);
    }
    assert_int_equal(calls_left(&live), 0);
}

static void while_loading_all_but_metrics_is_503(void **state)
{
    (void)state;
    struct live loading;
    live_open(&loading, NULL);
    server_set_progress(loading.server, 0.5);
    static const char *const PATHS[] = {CHAT, "/tokenize"};
    for (size_t i = 0; i < PL_ARRAY_LEN(PATHS); i++) {
        struct reply reply = live_ask(&loading, "POST", PATHS[i], "{}");
        assert_int_equal(reply.status, 503);
        assert_non_null(strstr(reply.body, "loading model (50 %)"));
        assert_non_null(strcasestr(reply.text, "\r\nRetry-After: 1\r\n"));
        reply_free(&reply);
    }
    static const char *const GETS[] = {"/health", "/v1/models", "/v1/models/fake"};
    for (size_t i = 0; i < PL_ARRAY_LEN(GETS); i++) {
        struct reply reply = live_ask(&loading, "GET", GETS[i], "");
        assert_int_equal(reply.status, 503);
        reply_free(&reply);
    }
    struct reply reply = live_ask(&loading, "GET", "/metrics", "");
    int line = 0;
    assert_int_equal(reply.status, 200);
    assert_null(exposition_check(reply.body, &line));
    reply_free(&reply);
    live_close(&loading);
}

static void drain(struct live *l)
{
    server_drain(l->server);
}

static void while_draining_new_calls_are_503_and_running_ones_finish(void **state)
{
    (void)state;
    struct live draining;
    live_open(&draining, fake_engine_open(NULL, false));
    int fd = live_send(&draining, "POST", CHAT, "",
                       chat_body("abc", ",\"max_tokens\":300,\"stream\":true"));
    char byte;
    assert_int_equal(recv(fd, &byte, 1, MSG_PEEK), 1);
    live_on_loop(&draining, drain);
    struct reply reply = live_ask(&draining, "POST", CHAT, chat_body("a", ""));
    assert_int_equal(reply.status, 503);
    assert_non_null(strstr(reply.body, "shutting down"));
    reply_free(&reply);
    reply = live_read(fd);
    assert_non_null(strstr(reply.body, "data: [DONE]"));
    reply_free(&reply);
    live_close(&draining);
}

static void closing_with_calls_inside_leaks_nothing(void **state)
{
    (void)state;
    struct live closing;
    live_open(&closing, fake_engine_open(NULL, false));
    int a = live_send(&closing, "POST", CHAT, "", chat_body("hang", ""));
    int b = live_send(&closing, "POST", CHAT, "", chat_body("endless", ",\"stream\":true"));
    char byte;
    assert_int_equal(recv(b, &byte, 1, 0), 1);
    live_close(&closing);
    (void)close(a);
    (void)close(b);
}

static void chatml_is_used_where_its_tokens_are(void **state)
{
    (void)state;
    struct live chatml;
    live_open(&chatml, fake_engine_open(NULL, true));
    struct reply reply = live_ask(&chatml, "POST", "/apply-template",
                                  "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}");
    struct json_object *json = reply_json(&reply);
    assert_string_equal(json_at(json, "prompt"),
                        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n");
    assert_string_equal(json_at(json, "fallback"), "chatml");
    json_object_put(json);
    reply_free(&reply);
    live_close(&chatml);
}

static void templates_get_messages_tools_and_kwargs(void **state)
{
    (void)state;
    static const char TEMPLATE[] =
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}:{{ m.content }}"
        "{% for c in m.tool_calls or [] %}{{ c.function.name }}={{ c.function.arguments.x }}"
        "{% endfor %}]{% endfor %}{{ tools[0].function.name if tools }}{{ colour }}"
        "{% if messages[0].content == 'bad' %}{{ raise_exception('no bad words') }}{% endif %}";
    struct live own;
    live_open(&own, fake_engine_open(TEMPLATE, false));
    struct reply reply = live_ask(
        &own, "POST", "/apply-template",
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
        "{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":\"assistant\",\"tool_calls\":[{"
        "\"function\":"
        "{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":[1,2.5]}\"}}]}],\"tools\":[{\"type\":"
        "\"function\",\"function\":{\"name\":\"t\"}}],\"chat_template_kwargs\":{\"colour\":\"red\"}"
        "}");
    struct json_object *json = reply_json(&reply);
    assert_string_equal(json_at(json, "prompt"), "<s>[user:a\nb][assistant:Nonef=[1, 2.5]]tred");
    assert_string_equal(json_at(json, "fallback"), "");
    json_object_put(json);
    reply_free(&reply);
    /* BOS comes from the template: it is not added again */
    reply = live_ask(&own, "POST", CHAT, chat_body("a", ",\"max_tokens\":1"));
    json = reply_json(&reply);
    assert_string_equal(json_at(json, "usage.prompt_tokens"), "9"); /* <s>[user:a] */
    json_object_put(json);
    reply_free(&reply);
    reply = live_ask(&own, "POST", CHAT, chat_body("bad", ""));
    assert_int_equal(reply.status, 400);
    assert_non_null(strstr(reply.body, "no bad words"));
    reply_free(&reply);
    live_close(&own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chat_is_answered),
        cmocka_unit_test(chat_logprobs_have_their_shape),
        cmocka_unit_test(completions_take_prompts_in_four_forms),
        cmocka_unit_test(echo_with_logprobs_serves_evaluation_harnesses),
        cmocka_unit_test(streams_have_openai_s_chunks),
        cmocka_unit_test(usage_comes_last_and_is_null_before),
        cmocka_unit_test(a_streamed_echo_comes_in_one_chunk),
        cmocka_unit_test(an_error_before_the_first_byte_is_a_status),
        cmocka_unit_test(an_error_in_a_stream_is_its_last_event),
        cmocka_unit_test(a_full_queue_is_429_with_retry_after),
        cmocka_unit_test(a_prompt_that_does_not_fit_is_named_with_numbers),
        cmocka_unit_test(models_are_known_by_their_names),
        cmocka_unit_test(routes_and_methods_are_checked),
        cmocka_unit_test(the_request_id_is_echoed_or_made),
        cmocka_unit_test(llama_server_s_utilities_work),
        cmocka_unit_test(metrics_are_well_formed_under_load),
        cmocka_unit_test(a_vanished_client_cancels_its_call),
        cmocka_unit_test(a_reader_that_is_too_slow_is_dropped),
        cmocka_unit_test(many_clients_at_once_get_their_own_text),
        cmocka_unit_test(while_loading_all_but_metrics_is_503),
        cmocka_unit_test(while_draining_new_calls_are_503_and_running_ones_finish),
        cmocka_unit_test(closing_with_calls_inside_leaks_nothing),
        cmocka_unit_test(chatml_is_used_where_its_tokens_are),
        cmocka_unit_test(templates_get_messages_tools_and_kwargs),
    };
    return cmocka_run_group_tests(tests, open_live, close_live);
}
