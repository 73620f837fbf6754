/* Request bodies: what is taken, what it means, and what is refused with which field named. */
#include "test.h"

#include "request.h"

#include <stdio.h>

#include "base/banned.h"

static const struct engine_sampling DEFAULTS = {.temperature = 1, .top_p = 1};

#define CHAT(fields)       "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" fields "}"
#define COMPLETION(fields) "{\"prompt\":\"hi\"" fields "}"

static const struct {
    enum request_kind kind;
    const char *body;
} GOOD[] = {
    {REQUEST_CHAT, CHAT("")},
    {REQUEST_CHAT, CHAT(",\"model\":null,\"temperature\":null,\"stop\":null,\"seed\":null")},
    {REQUEST_CHAT, CHAT(",\"temperature\":0,\"top_p\":1,\"top_k\":-1,\"min_p\":0.5")},
    {REQUEST_CHAT, CHAT(",\"temperature\":2,\"presence_penalty\":-2,\"frequency_penalty\":2")},
    {REQUEST_CHAT, CHAT(",\"something_else\":{\"a\":[1]},\"metadata\":{},\"store\":false")},
    {REQUEST_CHAT, CHAT(",\"stop\":\"x\"")},
    {REQUEST_CHAT, CHAT(",\"stop\":[\"x\",\"\",\"y\"]")},
    {REQUEST_CHAT, CHAT(",\"stream\":true,\"stream_options\":{\"include_usage\":true}")},
    {REQUEST_CHAT, CHAT(",\"stream\":true,\"stream_options\":{}")},
    {REQUEST_CHAT, CHAT(",\"logprobs\":true,\"top_logprobs\":20")},
    {REQUEST_CHAT, CHAT(",\"logit_bias\":{\"5\":-100,\"7\":0.5}")},
    {REQUEST_CHAT, CHAT(",\"n\":1,\"user\":\"me\",\"response_format\":{\"type\":\"text\"}")},
    {REQUEST_CHAT, CHAT(",\"min_tokens\":1,\"max_tokens\":1,\"max_completion_tokens\":1")},
    {REQUEST_CHAT, CHAT(",\"tools\":[],\"tool_choice\":\"auto\"")},
    {REQUEST_CHAT, CHAT(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]")},
    {REQUEST_CHAT, CHAT(",\"chat_template_kwargs\":{\"enable_thinking\":false}")},
    {REQUEST_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
                   "\"text\":\"a\"},{\"text\":\"b\"}]}]}"},
    {REQUEST_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\","
                   "\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":"
                   "\"{}\"}}]},{\"role\":\"tool\",\"content\":\"1\"}]}"},
    {REQUEST_COMPLETION, COMPLETION("")},
    {REQUEST_COMPLETION, COMPLETION(",\"echo\":true,\"logprobs\":1,\"max_tokens\":0")},
    {REQUEST_COMPLETION, COMPLETION(",\"n\":2,\"best_of\":2,\"stream\":true")},
    {REQUEST_COMPLETION, COMPLETION(",\"n\":128,\"best_of\":128,\"prompt_logprobs\":20")},
    {REQUEST_COMPLETION, COMPLETION(",\"n\":null,\"best_of\":null,\"prompt_logprobs\":null")},
    {REQUEST_COMPLETION, "{\"prompt\":[[1],[2],[3],[4],[5],[6],[7],[8]],\"n\":128}"},
    {REQUEST_COMPLETION, COMPLETION(",\"priority\":-5,\"cache_salt\":\"a b\"")},
    {REQUEST_COMPLETION, COMPLETION(",\"suffix\":null,\"best_of\":1,\"logprobs\":null")},
    {REQUEST_COMPLETION, "{\"prompt\":[\"a\",\"b\"]}"},
    {REQUEST_COMPLETION, "{\"prompt\":[1,2,3]}"},
    {REQUEST_COMPLETION, "{\"prompt\":[[1,2],[3]]}"},
    {REQUEST_COMPLETION, "{\"prompt\":\"\"}"},
};

/* kind, body, param, part of the message */
static const struct {
    enum request_kind kind;
    const char *body, *param, *message;
} BAD[] = {
    {REQUEST_CHAT, "{", "", "body is not valid JSON: unexpected end at byte 1"},
    {REQUEST_CHAT, "[1]", "", "expected a JSON object"},
    {REQUEST_CHAT, "{}", "messages", "messages: required: array"},
    {REQUEST_CHAT, "{\"messages\":null}", "messages", "required"},
    {REQUEST_CHAT, "{\"messages\":\"hi\"}", "messages", "expected array, got string"},
    {REQUEST_CHAT, "{\"messages\":[]}", "messages", "must not be empty"},
    {REQUEST_CHAT, "{\"messages\":[\"hi\"]}", "messages[0]", "expected object, got string"},
    {REQUEST_CHAT, "{\"messages\":[null]}", "messages[0]", "expected object, got null"},
    {REQUEST_CHAT, "{\"messages\":[{\"content\":\"a\"}]}", "messages[0].role", "required"},
    {REQUEST_CHAT, "{\"messages\":[{\"role\":1,\"content\":\"a\"}]}", "messages[0].role",
     "expected string, got number"},
    {REQUEST_CHAT, "{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content", "required"},
    {REQUEST_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":null}]}", "messages[0].content",
     "required"},
    {REQUEST_CHAT,
     "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":7}]}",
     "messages[1].content", "messages[1].content: expected string or array, got number"},
    {REQUEST_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[\"a\"]}]}",
     "messages[0].content[0]", "expected object, got string"},
    {REQUEST_CHAT,
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}]}",
     "messages[0].content[0].type", "'text' parts only"},
    {REQUEST_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}",
     "messages[0].content[0].text", "required"},
    {REQUEST_CHAT, "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":{}}]}",
     "messages[0].tool_calls", "expected array, got object"},
    {REQUEST_CHAT, "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{}]}]}",
     "messages[0].tool_calls[0].function", "required"},
    {REQUEST_CHAT, CHAT(",\"model\":5"), "model", "expected string, got number"},
    {REQUEST_CHAT, CHAT(",\"temperature\":\"hot\""), "temperature", "expected number, got string"},
    {REQUEST_CHAT, CHAT(",\"temperature\":-0.1"), "temperature", "expected 0 to 2, got -0.1"},
    {REQUEST_CHAT, CHAT(",\"temperature\":2.5"), "temperature", "expected 0 to 2, got 2.5"},
    {REQUEST_CHAT, CHAT(",\"temperature\":1e999"), "temperature", "expected 0 to 2"},
    {REQUEST_CHAT, CHAT(",\"temperature\":true"), "temperature", "expected number, got boolean"},
    {REQUEST_CHAT, CHAT(",\"top_p\":1.5"), "top_p", "expected 0 to 1"},
    {REQUEST_CHAT, CHAT(",\"top_k\":1.5"), "top_k", "expected integer, got a fraction"},
    {REQUEST_CHAT, CHAT(",\"top_k\":-2"), "top_k", "expected -1 to"},
    {REQUEST_CHAT, CHAT(",\"min_p\":-1"), "min_p", "expected 0 to 1"},
    {REQUEST_CHAT, CHAT(",\"repetition_penalty\":0"), "repetition_penalty", "expected 0.01 to 10"},
    {REQUEST_CHAT, CHAT(",\"repeat_penalty\":\"1\""), "repeat_penalty", "expected number"},
    {REQUEST_CHAT, CHAT(",\"presence_penalty\":3"), "presence_penalty", "expected -2 to 2"},
    {REQUEST_CHAT, CHAT(",\"frequency_penalty\":[]"), "frequency_penalty", "got array"},
    {REQUEST_CHAT, CHAT(",\"seed\":1.5"), "seed", "expected integer"},
    {REQUEST_CHAT, CHAT(",\"seed\":\"1\""), "seed", "expected integer, got string"},
    {REQUEST_CHAT, CHAT(",\"max_tokens\":0"), "max_tokens", "expected 1 to"},
    {REQUEST_CHAT, CHAT(",\"max_tokens\":-1"), "max_tokens", "expected 1 to"},
    {REQUEST_CHAT, CHAT(",\"max_tokens\":\"10\""), "max_tokens", "expected integer, got string"},
    {REQUEST_CHAT, CHAT(",\"max_tokens\":99999999999999999999"), "max_tokens", "expected 1 to"},
    {REQUEST_CHAT, CHAT(",\"max_completion_tokens\":1.0"), "max_completion_tokens", "integer"},
    {REQUEST_CHAT, CHAT(",\"min_tokens\":-1"), "min_tokens", "expected 0 to"},
    {REQUEST_CHAT, CHAT(",\"stop\":5"), "stop", "expected string or array, got number"},
    {REQUEST_CHAT, CHAT(",\"stop\":[\"a\",5]"), "stop[1]", "expected string, got number"},
    {REQUEST_CHAT, CHAT(",\"stop\":\"a\\u0000b\""), "stop", "NUL"},
    {REQUEST_CHAT,
     CHAT(",\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"a\",\"b\",\"c\","
          "\"d\",\"e\",\"f\",\"g\",\"h\"]"),
     "stop", "17 strings, at most 16"},
    {REQUEST_CHAT, CHAT(",\"stream\":\"yes\""), "stream", "expected boolean, got string"},
    {REQUEST_CHAT, CHAT(",\"stream\":1"), "stream", "expected boolean, got number"},
    {REQUEST_CHAT, CHAT(",\"stream_options\":{}"), "stream_options", "only allowed when stream"},
    {REQUEST_CHAT, CHAT(",\"stream\":true,\"stream_options\":{\"include_usage\":1}"),
     "stream_options.include_usage", "expected boolean"},
    {REQUEST_CHAT, CHAT(",\"logprobs\":1"), "logprobs", "expected boolean, got number"},
    {REQUEST_CHAT, CHAT(",\"top_logprobs\":1"), "top_logprobs", "needs logprobs"},
    {REQUEST_CHAT, CHAT(",\"logprobs\":true,\"top_logprobs\":21"), "top_logprobs", "0 to 20"},
    {REQUEST_CHAT, CHAT(",\"n\":129"), "n", "expected 1 to 128, got 129"},
    {REQUEST_CHAT, CHAT(",\"n\":2.0"), "n", "expected integer"},
    {REQUEST_CHAT, CHAT(",\"n\":true"), "n", "expected integer, got boolean"},
    {REQUEST_CHAT, CHAT(",\"best_of\":2"), "best_of", "chats don't have it"},
    {REQUEST_CHAT, CHAT(",\"prompt_logprobs\":-1"), "prompt_logprobs", "expected 0 to 20"},
    {REQUEST_CHAT, CHAT(",\"prompt_logprobs\":true"), "prompt_logprobs", "expected integer"},
    {REQUEST_CHAT, CHAT(",\"prompt_logprobs\":0,\"stream\":true"), "prompt_logprobs",
     "not available when stream"},
    {REQUEST_CHAT, CHAT(",\"priority\":\"high\""), "priority", "expected integer, got string"},
    {REQUEST_CHAT, CHAT(",\"priority\":3000000000"), "priority", "expected -2147483648 to"},
    {REQUEST_CHAT, CHAT(",\"cache_salt\":5"), "cache_salt", "expected string"},
    {REQUEST_CHAT, CHAT(",\"cache_salt\":\"\""), "cache_salt", "must not be empty"},
    {REQUEST_CHAT, CHAT(",\"n\":0"), "n", "expected 1 to"},
    {REQUEST_CHAT, CHAT(",\"ignore_eos\":1"), "ignore_eos", "expected boolean"},
    {REQUEST_CHAT, CHAT(",\"user\":1"), "user", "expected string"},
    {REQUEST_CHAT, CHAT(",\"tools\":{}"), "tools", "expected array"},
    {REQUEST_CHAT, CHAT(",\"tools\":[{\"type\":\"x\"}]"), "tools[0].type", "'function'"},
    {REQUEST_CHAT, CHAT(",\"tools\":[{\"type\":\"function\"}]"), "tools[0].function", "required"},
    {REQUEST_CHAT, CHAT(",\"tool_choice\":\"required\""), "tool_choice", "'auto' or 'none'"},
    {REQUEST_CHAT, CHAT(",\"tool_choice\":{\"type\":\"function\"}"), "tool_choice",
     "not supported"},
    {REQUEST_CHAT, CHAT(",\"tool_choice\":1"), "tool_choice", "expected string or object"},
    {REQUEST_CHAT, CHAT(",\"chat_template_kwargs\":[]"), "chat_template_kwargs", "expected object"},
    {REQUEST_CHAT, CHAT(",\"add_generation_prompt\":0"), "add_generation_prompt", "boolean"},
    {REQUEST_CHAT, CHAT(",\"response_format\":{\"type\":\"json_object\"}"), "response_format.type",
     "only 'text'"},
    {REQUEST_CHAT, CHAT(",\"response_format\":\"text\""), "response_format", "expected object"},
    {REQUEST_COMPLETION, "{}", "prompt", "required"},
    {REQUEST_COMPLETION, "{\"prompt\":5}", "prompt", "expected string or array of token ids"},
    {REQUEST_COMPLETION, "{\"prompt\":{}}", "prompt", "got object"},
    {REQUEST_COMPLETION, "{\"prompt\":[]}", "prompt", "must not be empty"},
    {REQUEST_COMPLETION, "{\"prompt\":[1,\"a\"]}", "prompt[1]", "expected a token id, got string"},
    {REQUEST_COMPLETION, "{\"prompt\":[1,-1]}", "prompt[1]", "expected a token id, got -1"},
    {REQUEST_COMPLETION, "{\"prompt\":[1,2.0]}", "prompt[1]", "expected a token id"},
    {REQUEST_COMPLETION, "{\"prompt\":[null]}", "prompt[0]", "expected a token id, got null"},
    {REQUEST_COMPLETION, "{\"prompt\":[\"a\",1]}", "prompt[1]", "expected string as prompt[0] is"},
    {REQUEST_COMPLETION, "{\"prompt\":[[1],\"a\"]}", "prompt[1]", "expected array"},
    {REQUEST_COMPLETION, "{\"prompt\":[[1],[\"a\"]]}", "prompt[1][0]", "expected a token id"},
    {REQUEST_COMPLETION, COMPLETION(",\"max_tokens\":-1"), "max_tokens", "expected 0 to"},
    {REQUEST_COMPLETION, COMPLETION(",\"echo\":\"yes\""), "echo", "expected boolean"},
    {REQUEST_COMPLETION, COMPLETION(",\"logprobs\":true"), "logprobs", "expected integer"},
    {REQUEST_COMPLETION, COMPLETION(",\"logprobs\":21"), "logprobs", "expected 0 to 20"},
    {REQUEST_COMPLETION, COMPLETION(",\"suffix\":\"x\""), "suffix", "not supported"},
    {REQUEST_COMPLETION, COMPLETION(",\"best_of\":1,\"n\":2"), "best_of",
     "must be at least n, which is 2, got 1"},
    {REQUEST_COMPLETION, COMPLETION(",\"best_of\":0"), "best_of", "expected 1 to 128"},
    {REQUEST_COMPLETION, COMPLETION(",\"best_of\":2,\"stream\":true"), "best_of",
     "cannot be streamed"},
    {REQUEST_COMPLETION, "{\"prompt\":[[1],[1],[1],[1],[1],[1],[1],[1],[1]],\"n\":128}", "n",
     "128 texts for each of 9 prompts, at most 1024"},
    {REQUEST_COMPLETION,
     "{\"prompt\":[[1],[1],[1],[1],[1],[1],[1],[1],[1]],\"n\":2,\"best_of\":128}", "best_of",
     "128 texts for each"},
};

static void takes_good_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(GOOD); i++) {
        struct api_error error = {0};
        struct request r;
        size_t n = strlen(GOOD[i].body);
        char *body = test_copy(GOOD[i].body, n);
        bool ok = request_parse(GOOD[i].kind, body, n, &DEFAULTS, &r, &error);
        if (!ok)
            print_error("row %zu %s: %s\n", i, GOOD[i].body, error.message);
        assert_true(ok);
        request_deinit(&r);
        free(body);
    }
}

static void refuses_bad_requests_naming_the_field(void **state)
{
    (void)state;
    bool failed = false;
    for (size_t i = 0; i < PL_ARRAY_LEN(BAD); i++) {
        struct api_error error = {0};
        struct request r;
        bool ok =
            request_parse(BAD[i].kind, BAD[i].body, strlen(BAD[i].body), &DEFAULTS, &r, &error);
        if (ok)
            request_deinit(&r);
        if (ok || error.status != 400 || strcmp(error.param, BAD[i].param) != 0 ||
            strstr(error.message, BAD[i].message) == NULL) {
            print_error("row %zu %s: got %d '%s' '%s', want '%s' '%s'\n", i, BAD[i].body,
                        error.status, error.param, error.message, BAD[i].param, BAD[i].message);
            failed = true;
        }
    }
    assert_false(failed);
}

static struct request parse(enum request_kind kind, const char *body)
{
    struct api_error error = {0};
    struct request r;
    if (!request_parse(kind, body, strlen(body), &DEFAULTS, &r, &error))
        fail_msg("%s: %s", body, error.message);
    return r;
}

static void the_smaller_limit_wins(void **state)
{
    (void)state;
    struct request r = parse(REQUEST_CHAT, CHAT(",\"max_tokens\":9,\"max_completion_tokens\":4"));
    assert_int_equal(r.max_tokens, 4);
    request_deinit(&r);
    r = parse(REQUEST_CHAT, CHAT(",\"max_tokens\":3,\"max_completion_tokens\":4"));
    assert_int_equal(r.max_tokens, 3);
    request_deinit(&r);
    r = parse(REQUEST_CHAT, CHAT(""));
    assert_false(r.has_max_tokens);
    request_deinit(&r);
    r = parse(REQUEST_COMPLETION, COMPLETION(""));
    assert_int_equal(r.max_tokens, 16);
    request_deinit(&r);
}

static void sampling_fields_arrive(void **state)
{
    (void)state;
    struct request r =
        parse(REQUEST_CHAT, CHAT(",\"temperature\":0.5,\"top_p\":0,\"top_k\":-1,\"min_p\":0.25,"
                                 "\"repetition_penalty\":1.5,\"seed\":-7"));
    assert_true(r.sampling.temperature == 0.5F);
    assert_true(r.sampling.top_p > 0 && r.sampling.top_p < 1e-30F); /* 0 is "off" to the engine */
    assert_int_equal(r.sampling.top_k, 0);
    assert_true(r.sampling.min_p == 0.25F);
    assert_true(r.sampling.repeat_penalty == 1.5F);
    assert_true(r.sampling.has_seed);
    assert_int_equal((int64_t)r.sampling.seed, -7);
    request_deinit(&r);
    r = parse(REQUEST_CHAT, CHAT(""));
    assert_false(r.sampling.has_seed);
    request_deinit(&r);
}

static void choices_and_owner_arrive(void **state)
{
    (void)state;
    struct request r =
        parse(REQUEST_COMPLETION, COMPLETION(",\"n\":2,\"best_of\":5,\"prompt_logprobs\":3,"
                                             "\"priority\":-7,\"cache_salt\":\"abc\""));
    assert_int_equal(r.n, 2);
    assert_int_equal(r.best_of, 5);
    assert_true(r.prompt_logprobs);
    assert_int_equal(r.n_prompt_logprobs, 3);
    assert_int_equal(r.priority, -7);
    assert_string_equal(r.cache_salt, "abc");
    assert_int_equal(r.cache_salt_bytes, 3);
    request_deinit(&r);
    r = parse(REQUEST_COMPLETION, COMPLETION(",\"n\":3"));
    assert_int_equal(r.best_of, 3); /* as many as are told */
    assert_false(r.prompt_logprobs);
    assert_null(r.cache_salt);
    request_deinit(&r);
}

static void a_long_cache_salt_is_refused(void **state)
{
    (void)state;
    char body[400] = "{\"prompt\":\"a\",\"cache_salt\":\"", *at = body + strlen(body);
    struct api_error error = {0};
    struct request r;
    memset(at, 'x', ENGINE_NAME_MAX + 1);
    memcpy(at + ENGINE_NAME_MAX + 1, "\"}", 3);
    assert_false(request_parse(REQUEST_COMPLETION, body, strlen(body), &DEFAULTS, &r, &error));
    assert_string_equal(error.param, "cache_salt");
    assert_string_equal(error.message, "cache_salt: 257 bytes, at most 256");
}

static void empty_stop_strings_are_dropped(void **state)
{
    (void)state;
    struct request r = parse(REQUEST_CHAT, CHAT(",\"stop\":[\"\",\"x\",\"\"]"));
    assert_int_equal(r.n_stops, 1);
    assert_string_equal(r.stops[0], "x");
    request_deinit(&r);
}

static void tool_choice_none_hides_the_tools(void **state)
{
    (void)state;
    struct request r =
        parse(REQUEST_CHAT, CHAT(",\"tool_choice\":\"none\",\"tools\":[{\"type\":\"function\","
                                 "\"function\":{\"name\":\"f\"}}]"));
    assert_null(r.tools);
    request_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_good_requests),
        cmocka_unit_test(refuses_bad_requests_naming_the_field),
        cmocka_unit_test(the_smaller_limit_wins),
        cmocka_unit_test(sampling_fields_arrive),
        cmocka_unit_test(choices_and_owner_arrive),
        cmocka_unit_test(a_long_cache_salt_is_refused),
        cmocka_unit_test(empty_stop_strings_are_dropped),
        cmocka_unit_test(tool_choice_none_hides_the_tools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
