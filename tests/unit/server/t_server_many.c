/* Several texts for one prompt: order, streams, best_of, usage, prompt log-probabilities, errors of one. */
#include "test.h"

#include "check.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/banned.h"

static struct live live;

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

static void n_texts_share_one_prompt(void **state)
{
    (void)state;
    EXPECT(&live, CHAT, chat_body("abc", ",\"max_tokens\":4,\"n\":3"), 200,
           {"choices.0.message.content", "abca"}, {"choices.1.message.content", "bcab"},
           {"choices.2.message.content", "cabc"}, {"choices.2.index", "2"},
           {"choices.2.message.role", "assistant"}, {"choices.2.finish_reason", "length"},
           {"usage.prompt_tokens", "4"}, {"usage.completion_tokens", "12"},
           {"usage.total_tokens", "16"});
    EXPECT(&live, COMPLETION, "{\"prompt\":\"abc\",\"max_tokens\":2,\"n\":2}", 200,
           {"choices.0.text", "ab"}, {"choices.1.text", "bc"}, {"usage.prompt_tokens", "4"},
           {"usage.completion_tokens", "4"});
}

static void prompts_come_before_texts_in_the_order(void **state)
{
    (void)state;
    EXPECT(&live, COMPLETION, "{\"prompt\":[\"abc\",\"xyz\"],\"max_tokens\":2,\"n\":2}", 200,
           {"choices.0.text", "ab"}, {"choices.1.text", "bc"}, {"choices.2.text", "xy"},
           {"choices.3.text", "yz"}, {"choices.3.index", "3"}, {"usage.prompt_tokens", "8"},
           {"usage.completion_tokens", "8"});
}

/* The chunks of one text, joined. */
static void text_of(char **events, int n, const char *index, char *ret, char *ret_finish)
{
    ret[0] = ret_finish[0] = '\0';
    for (int i = 0; i < n - 1; i++) {
        struct json_object *json = json_tokener_parse(events[i]);
        assert_non_null(json);
        if (strcmp(json_at(json, "choices.0.index"), index) == 0) {
            (void)snprintf(ret + strlen(ret), 64, "%s", json_at(json, "choices.0.text"));
            if (strcmp(json_at(json, "choices.0.finish_reason"), "null") != 0)
                (void)snprintf(ret_finish, 64, "%s", json_at(json, "choices.0.finish_reason"));
        }
        json_object_put(json);
    }
}

static void a_stream_mixes_the_texts_by_index(void **state)
{
    (void)state;
    struct reply reply = live_ask(&live, "POST", COMPLETION,
                                  "{\"prompt\":[\"abc\",\"xyz\"],\"max_tokens\":3,\"n\":2,"
                                  "\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    char *events[64];
    int n = reply_events(&reply, events, 64);
    static const struct {
        const char *index, *text;
    } WANT[] = {{"0", "abc"}, {"1", "bca"}, {"2", "xyz"}, {"3", "yzx"}};
    for (size_t i = 0; i < PL_ARRAY_LEN(WANT); i++) {
        char text[512], finish[64];
        text_of(events, n, WANT[i].index, text, finish);
        assert_string_equal(text, WANT[i].text);
        assert_string_equal(finish, "length");
    }
    assert_string_equal(events[n - 1], "[DONE]");
    struct json_object *json = json_tokener_parse(events[n - 2]);
    assert_string_equal(json_at(json, "choices"), "[ ]");
    assert_string_equal(json_at(json, "usage.prompt_tokens"), "8");
    assert_string_equal(json_at(json, "usage.completion_tokens"), "12");
    json_object_put(json);
    reply_free(&reply);
}

static void each_text_of_a_chat_stream_begins_with_its_role(void **state)
{
    (void)state;
    struct reply reply =
        live_ask(&live, "POST", CHAT, chat_body("ab", ",\"max_tokens\":1,\"n\":2,\"stream\":true"));
    for (int i = 0; i < 2; i++) {
        char want[80];
        (void)snprintf(want, sizeof want, "{\"index\":%d,\"delta\":{\"role\":\"assistant\"", i);
        assert_non_null(strstr(reply.body, want));
    }
    reply_free(&reply);
}

static void best_of_tells_the_best_by_mean_logprob(void **state)
{
    (void)state;
    /* means: -0.25, -0.75, -0.125, -0.75 */
    EXPECT(&live, COMPLETION, "{\"prompt\":\"abcd\",\"max_tokens\":2,\"best_of\":4}", 200,
           {"choices.0.text", "cd"}, {"choices.0.index", "0"}, {"choices.0.logprobs", "null"},
           {"choices.1.text", ""}, {"usage.prompt_tokens", "5"}, {"usage.completion_tokens", "8"});
    EXPECT(&live, COMPLETION, "{\"prompt\":\"abcd\",\"max_tokens\":2,\"best_of\":4,\"n\":3}", 200,
           {"choices.0.text", "cd"}, {"choices.1.text", "ab"}, {"choices.2.text", "bc"},
           {"choices.2.index", "2"}, {"usage.completion_tokens", "8"});
    /* as many as are made: the order made */
    EXPECT(&live, COMPLETION, "{\"prompt\":\"abcd\",\"max_tokens\":2,\"best_of\":3,\"n\":3}", 200,
           {"choices.0.text", "ab"}, {"choices.2.text", "cd"});
    assert_false(fake_engine_last(live.engine).logprobs);
    /* per token, not in sum: text 7 has one token of -0.75, text 0 eight of -0.25 */
    EXPECT(&live, COMPLETION, "{\"prompt\":\"uneven\",\"max_tokens\":8,\"best_of\":8,\"n\":2}", 200,
           {"choices.0.text", "evenun"}, {"choices.1.text", "unevenun"},
           {"usage.completion_tokens", "36"});
    EXPECT(&live, COMPLETION, "{\"prompt\":[\"wxyz\",\"abcd\"],\"max_tokens\":3,\"best_of\":3}",
           200, {"choices.0.text", "yzw"}, {"choices.1.text", "cda"}, {"choices.1.index", "1"});
}

static void best_of_keeps_each_text_s_logprobs(void **state)
{
    (void)state;
    EXPECT(&live, COMPLETION,
           "{\"prompt\":\"abcd\",\"max_tokens\":1,\"best_of\":3,\"n\":2,\"logprobs\":1,"
           "\"echo\":true}",
           200, {"choices.0.text", "abcdc"},
           {"choices.0.logprobs.token_logprobs", "[ null, -2, -2, -2, -2, -0.125 ]"},
           {"choices.0.logprobs.text_offset", "[ 0, 0, 1, 2, 3, 4 ]"}, {"choices.1.text", "abcda"},
           {"choices.1.logprobs.token_logprobs", "[ null, -2, -2, -2, -2, -0.25 ]"},
           {"choices.1.logprobs.top_logprobs.5", "{ \"a\": -0.25 }"});
}

static void prompt_logprobs_have_vllm_s_shape(void **state)
{
    (void)state;
    EXPECT(&live, COMPLETION, "{\"prompt\":[97,99],\"max_tokens\":1,\"prompt_logprobs\":1}", 200,
           {"choices.0.text", "a"}, {"choices.0.logprobs", "null"},
           {"choices.0.prompt_logprobs.0", "null"},
           {"choices.0.prompt_logprobs.1.99.logprob", "-2"},
           {"choices.0.prompt_logprobs.1.99.rank", "null"},
           {"choices.0.prompt_logprobs.1.99.decoded_token", "c"},
           {"choices.0.prompt_logprobs.1.97.logprob", "-0.5"},
           {"choices.0.prompt_logprobs.1.97.rank", "1"}, {"choices.0.prompt_logprobs.1.98", ""});
    assert_true(fake_engine_last(live.engine).no_cache_read); /* every position is computed */
    /* 0: the prompt's own tokens only; each text carries them; other figures are not mixed in */
    EXPECT(&live, COMPLETION,
           "{\"prompt\":[97,98],\"max_tokens\":1,\"prompt_logprobs\":0,\"logprobs\":2,\"n\":2}",
           200,
           {"choices.1.prompt_logprobs", "[ null, { \"98\": { \"logprob\": -2, \"rank\": 2, "
                                         "\"decoded_token\": \"b\" } } ]"},
           {"choices.1.logprobs.tokens", "[ \"b\" ]"},
           {"choices.1.logprobs.top_logprobs.0", "{ \"b\": -0.75, \"z\": -3 }"});
    /* a chat has them once, beside its choices */
    EXPECT(&live, CHAT, chat_body("a", ",\"max_tokens\":1,\"prompt_logprobs\":2,\"n\":2"), 200,
           {"prompt_logprobs.0", "null"}, {"prompt_logprobs.1.97.rank", "1"},
           {"prompt_logprobs.1.98.rank", "2"}, {"choices.0.prompt_logprobs", ""},
           {"choices.1.message.content", "a"});
    /* without generation */
    EXPECT(&live, COMPLETION, "{\"prompt\":[97,98],\"max_tokens\":0,\"prompt_logprobs\":0}", 200,
           {"choices.0.text", ""}, {"choices.0.prompt_logprobs.1.98.logprob", "-2"});
    /* a token that is no whole UTF-8 */
    EXPECT(&live, COMPLETION, "{\"prompt\":[195,169],\"max_tokens\":0,\"prompt_logprobs\":0}", 200,
           {"choices.0.prompt_logprobs.1.169.decoded_token", "\xef\xbf\xbd"});
    EXPECT(&live, COMPLETION, "{\"prompt\":[97,98],\"max_tokens\":1}", 200,
           {"choices.0.prompt_logprobs", ""});
    assert_false(fake_engine_last(live.engine).no_cache_read);
}

static void cached_tokens_are_told_once_per_prompt(void **state)
{
    (void)state;
    /* 33 tokens: two blocks of 16 were found */
    static const char LONG[] = "abcdefghijklmnopqrstuvwxyzabcdef";
    char body[400];
    (void)snprintf(body, sizeof body, "{\"prompt\":[\"%s\",\"%s\"],\"max_tokens\":1,\"n\":3}", LONG,
                   LONG);
    EXPECT(&live, COMPLETION, body, 200, {"usage.prompt_tokens", "66"},
           {"usage.prompt_tokens_details.cached_tokens", "64"}, {"usage.completion_tokens", "6"});
    (void)snprintf(body, sizeof body,
                   "{\"prompt\":\"%s\",\"max_tokens\":1,\"n\":2,\"stream\":true,"
                   "\"stream_options\":{\"include_usage\":true}}",
                   LONG);
    struct reply reply = live_ask(&live, "POST", COMPLETION, body);
    assert_non_null(strstr(reply.body, "\"usage\":{\"prompt_tokens\":33,\"completion_tokens\":2,"
                                       "\"total_tokens\":35,\"prompt_tokens_details\":{"
                                       "\"cached_tokens\":32}}"));
    reply_free(&reply);
}

static void an_error_of_one_text_is_the_call_s(void **state)
{
    (void)state;
    EXPECT(&live, CHAT, chat_body("error after 2", ",\"n\":3"), 500,
           {"error.message", "cpu: device lost"});
    EXPECT(&live, COMPLETION, "{\"prompt\":[\"endless\",\"error after 1\"],\"n\":2}", 500,
           {"error.message", "cpu: device lost"});
    assert_int_equal(calls_left(&live), 0);
}

static void one_cancel_ends_all_texts_of_a_prompt(void **state)
{
    (void)state;
    uint32_t before = fake_engine_cancels();
    int a = live_send(&live, "POST", COMPLETION, "", "{\"prompt\":[\"hang\",\"hang\"],\"n\":8}");
    int b = live_send(&live, "POST", CHAT, "", chat_body("endless", ",\"stream\":true,\"n\":5"));
    char byte;
    assert_int_equal(recv(b, &byte, 1, 0), 1);
    (void)usleep(20000);
    (void)close(a);
    (void)close(b);
    assert_int_equal(calls_left(&live), 0);
    assert_int_equal(fake_engine_cancels() - before, 3);
}

static void a_missed_deadline_is_504(void **state)
{
    (void)state;
    EXPECT(&live, CHAT, chat_body("late", ",\"n\":2"), 504, {"error.code", "deadline_exceeded"},
           {"error.type", "timeout_error"}, {"error.message", "the deadline has passed"});
    EXPECT(&live, CHAT, chat_body("late", ",\"stream\":true"), 504,
           {"error.code", "deadline_exceeded"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(n_texts_share_one_prompt),
        cmocka_unit_test(prompts_come_before_texts_in_the_order),
        cmocka_unit_test(a_stream_mixes_the_texts_by_index),
        cmocka_unit_test(each_text_of_a_chat_stream_begins_with_its_role),
        cmocka_unit_test(best_of_tells_the_best_by_mean_logprob),
        cmocka_unit_test(best_of_keeps_each_text_s_logprobs),
        cmocka_unit_test(prompt_logprobs_have_vllm_s_shape),
        cmocka_unit_test(cached_tokens_are_told_once_per_prompt),
        cmocka_unit_test(an_error_of_one_text_is_the_call_s),
        cmocka_unit_test(one_cancel_ends_all_texts_of_a_prompt),
        cmocka_unit_test(a_missed_deadline_is_504),
    };
    return cmocka_run_group_tests(tests, open_live, close_live);
}
