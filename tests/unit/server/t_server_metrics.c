/* The metrics page passes a strict reader, and the reader is strict. */
#include "test.h"

#include "exposition.h"
#include "metrics.h"

#include <stdio.h>

#include "base/banned.h"

#define G "# HELP a x\n# TYPE a gauge\n"
#define H "# TYPE h histogram\n"

static const struct {
    const char *text, *wrong;
} PAGES[] = {
    {G "a 1\n", NULL},
    {G "a{m=\"x\\\"y\\\\z\\n\"} 1.5\n", NULL},
    {H "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n", NULL},
    {G "a 1", "the last line has no line end"},
    {"a 1\n", "a sample without TYPE"},
    {G "# TYPE a gauge\na 1\n", "TYPE twice"},
    {G "a 1\na 2\n", "a series twice"},
    {G "a{m=\"1\"} 1\na{m=\"2\"} 2\n", "a gauge with several series"},
    {G "a{m=1} 1\n", "malformed labels"},
    {G "a{m=\"\\q\"} 1\n", "malformed labels"},
    {G "a x\n", "malformed value (or a timestamp)"},
    {G "a 1 1700000000\n", "malformed value (or a timestamp)"},
    {G, "a family without samples"},
    {"# EOF\n", "a comment that is neither HELP nor TYPE"},
    {"# TYPE c counter\nc 1\n", "a counter whose name does not end in _total"},
    {H "h_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",
     "buckets are not cumulative"},
    {H "h_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 3\n", "_count is not the +Inf bucket"},
    {H "h_bucket{le=\"+Inf\"} 2\nh_count 2\n", "an incomplete histogram"},
    {G "# TYPE b gauge\nb 1\na 1\n", "families interleaved"},
};

static void the_reader_is_strict(void **state)
{
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(PAGES); i++) {
        int line = 0;
        const char *wrong = exposition_check(PAGES[i].text, &line);
        if ((wrong == NULL) != (PAGES[i].wrong == NULL) ||
            (wrong != NULL && strcmp(wrong, PAGES[i].wrong) != 0))
            fail_msg("row %zu: got %s, want %s", i, wrong, PAGES[i].wrong);
    }
}

static void check_page(const struct metrics *m, const struct metrics_context *context,
                       const char *expected)
{
    struct buf out;
    int line = 0;
    buf_init(&out, 0);
    metrics_write(m, context, &out);
    const char *wrong = exposition_check(out.data, &line);
    if (wrong != NULL)
        fail_msg("line %d: %s\n%s", line, wrong, out.data);
    if (strstr(out.data, expected) == NULL)
        fail_msg("not found: %s\n%s", expected, out.data);
    buf_deinit(&out);
}

static void an_empty_page_is_well_formed(void **state)
{
    (void)state;
    struct metrics m = {0};
    struct engine_stats stats = {0};
    struct metrics_context context = {.model_name = "m", .stats = &stats};
    check_page(&m, &context, "vllm:num_requests_waiting{model_name=\"m\"} 0\n");
}

static void figures_arrive(void **state)
{
    (void)state;
    struct metrics m = {0};
    struct engine_stats stats = {.running = 3,
                                 .waiting = 2,
                                 .blocks_used = 16,
                                 .blocks_total = 64,
                                 .prompt_tokens = 12345678901ULL,
                                 .finished = {5, 6, 7, 8}};
    struct metrics_context context = {
        .model_name = "m", .stats = &stats, .block_tokens = 16, .n_blocks = 64};
    metrics_observe(&m.ttft_s, METRICS_TTFT, 0.02);
    metrics_observe(&m.ttft_s, METRICS_TTFT, 0.021);
    metrics_observe(&m.ttft_s, METRICS_TTFT, 1e9);
    metrics_observe(&m.prompt, METRICS_COUNT, 512);
    static const char *const LINES[] = {
        "vllm:num_requests_running{model_name=\"m\"} 3\n",
        "vllm:num_requests_waiting{model_name=\"m\"} 2\n",
        "vllm:kv_cache_usage_perc{model_name=\"m\"} 0.25\n",
        "vllm:cache_config_info{model_name=\"m\",block_size=\"16\",num_gpu_blocks=\"64\"} 1\n",
        "vllm:prompt_tokens_total{model_name=\"m\"} 12345678901\n",
        "vllm:request_success_total{model_name=\"m\",finished_reason=\"abort\"} 7\n",
        "vllm:time_to_first_token_seconds_bucket{model_name=\"m\",le=\"0.02\"} 1\n",
        "vllm:time_to_first_token_seconds_bucket{model_name=\"m\",le=\"0.04\"} 2\n",
        "vllm:time_to_first_token_seconds_bucket{model_name=\"m\",le=\"2560\"} 2\n",
        "vllm:time_to_first_token_seconds_bucket{model_name=\"m\",le=\"+Inf\"} 3\n",
        "vllm:time_to_first_token_seconds_count{model_name=\"m\"} 3\n",
        "vllm:request_prompt_tokens_bucket{model_name=\"m\",le=\"500\"} 0\n",
        "vllm:request_prompt_tokens_bucket{model_name=\"m\",le=\"1000\"} 1\n",
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(LINES); i++)
        check_page(&m, &context, LINES[i]);
}

static void label_values_are_escaped(void **state)
{
    (void)state;
    struct metrics m = {0};
    struct engine_stats stats = {0};
    struct metrics_context context = {.model_name = "a\"b\\c\nd", .stats = &stats};
    check_page(&m, &context, "{model_name=\"a\\\"b\\\\c\\nd\"} 0\n");
    char longest[400];
    memset(longest, '"', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    context.model_name = longest;
    check_page(&m, &context, "\\\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reader_is_strict),
        cmocka_unit_test(an_empty_page_is_well_formed),
        cmocka_unit_test(figures_arrive),
        cmocka_unit_test(label_values_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
