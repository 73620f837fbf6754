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
    {G "a{tenant=\"1\"} 1\na{tenant=\"2\"} 2\n", NULL},
    {G "a{tenant=\"1\"} 1\na 2\n", "a gauge with several series"},
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

static const char CACHE_LINE[] =
    "vllm:cache_config_info{model_name=\"m\",block_size=\"16\",num_gpu_blocks=\"64\","
    "cache_dtype=\"q8_0\",enable_prefix_caching=\"True\"} 1\n";
static const char LORA_LINE[] =
    "vllm:lora_requests_info{model_name=\"m\",max_lora=\"0\",running_lora_adapters=\"\","
    "waiting_lora_adapters=\"\"} 1";

static const char *const FIGURES[] = {
    "vllm:num_requests_running{model_name=\"m\"} 3\n",
    "vllm:num_requests_waiting{model_name=\"m\"} 2\n",
    "vllm:kv_cache_usage_perc{model_name=\"m\"} 0.25\n",
    CACHE_LINE,
    LORA_LINE,
    "vllm:prompt_tokens_total{model_name=\"m\"} 12345679001\n",
    "polder:prompt_tokens_computed_total{model_name=\"m\"} 12345678901\n",
    "vllm:request_success_total{model_name=\"m\",finished_reason=\"abort\"} 7\n",
    "vllm:num_preemptions_total{model_name=\"m\"} 8\n",
    "vllm:prefix_cache_queries_total{model_name=\"m\"} 200\n",
    "vllm:prefix_cache_hits_total{model_name=\"m\"} 100\n",
    "vllm:spec_decode_num_draft_tokens_total{model_name=\"m\"} 40\n",
    "vllm:spec_decode_num_accepted_tokens_total{model_name=\"m\"} 10\n",
    "vllm:time_to_first_token_seconds_bucket{model_name=\"m\",le=\"0.02\"} 1\n",
    "vllm:time_to_first_token_seconds_bucket{model_name=\"m\",le=\"0.04\"} 2\n",
    "vllm:time_to_first_token_seconds_bucket{model_name=\"m\",le=\"2560\"} 2\n",
    "vllm:time_to_first_token_seconds_bucket{model_name=\"m\",le=\"+Inf\"} 3\n",
    "vllm:time_to_first_token_seconds_count{model_name=\"m\"} 3\n",
    "vllm:request_prompt_tokens_bucket{model_name=\"m\",le=\"500\"} 0\n",
    "vllm:request_prompt_tokens_bucket{model_name=\"m\",le=\"1000\"} 1\n",
    "vllm:request_params_n_bucket{model_name=\"m\",le=\"2\"} 0\n",
    "vllm:request_params_n_bucket{model_name=\"m\",le=\"5\"} 1\n",
    "vllm:request_queue_time_seconds_bucket{model_name=\"m\",le=\"0.01\"} 0\n",
    "vllm:request_queue_time_seconds_bucket{model_name=\"m\",le=\"0.05\"} 1\n",
    "polder:prefix_cache_hit_tokens_total{model_name=\"m\",tier=\"device\"} 50\n",
    "polder:prefix_cache_hit_tokens_total{model_name=\"m\",tier=\"ram\"} 30\n",
    "polder:prefix_cache_hit_tokens_total{model_name=\"m\",tier=\"disk\"} 20\n",
    "polder:kv_blocks_cached{model_name=\"m\"} 9\n",
    "polder:kv_disk_dropped_total{model_name=\"m\"} 3\n",
    "polder:recomputed_tokens_total{model_name=\"m\"} 77\n",
    "polder:spec_decode_acceptance_ratio{model_name=\"m\"} 0.25\n",
    "polder:step_seconds_total{model_name=\"m\"} 1.500000000\n",
    "polder:step_rows_total{model_name=\"m\",kind=\"prefill\"} 6\n",
    "polder:step_model_fixed_seconds{model_name=\"m\"} 0.002\n",
    "polder:step_model_decode_row_seconds{model_name=\"m\"} 0.0001\n",
    "polder:requests_refused_total{model_name=\"m\",reason=\"queue_full\"} 4\n",
    "polder:requests_refused_total{model_name=\"m\",reason=\"deadline\"} 5\n",
    "polder:requests_refused_total{model_name=\"m\",reason=\"hop\"} 6\n",
    "polder:calls_preparing{model_name=\"m\"} 1\n",
};

static void figures_arrive(void **state)
{
    (void)state;
    struct metrics m = {.queue_full = 4, .deadline_missed = 5, .hop_refused = 6};
    struct engine_stats stats = {.running = 3,
                                 .waiting = 2,
                                 .blocks_used = 16,
                                 .blocks_cached = 9,
                                 .blocks_total = 64,
                                 .prompt_tokens = 12345678901ULL,
                                 .cache_queried_tokens = 200,
                                 .cache_hit_tokens = 100,
                                 .cache_ram_hit_tokens = 30,
                                 .cache_disk_hit_tokens = 20,
                                 .disk_dropped = 3,
                                 .preemptions = 8,
                                 .recomputed_tokens = 77,
                                 .draft_tokens = 40,
                                 .accepted_tokens = 10,
                                 .step_rows_decode = 5,
                                 .step_rows_prefill = 6,
                                 .step_ns = 1500000000,
                                 .step_fixed_ns = 2e6,
                                 .step_decode_ns = 1e5,
                                 .finished = {5, 6, 7, 8}};
    struct metrics_context context = {.model_name = "m",
                                      .stats = &stats,
                                      .block_tokens = 16,
                                      .n_blocks = 64,
                                      .cache_dtype = "q8_0",
                                      .prefix_cache = true,
                                      .n_calls = 3,
                                      .n_preparing = 1};
    metrics_observe(&m.ttft_s, METRICS_TTFT, 0.02);
    metrics_observe(&m.ttft_s, METRICS_TTFT, 0.021);
    metrics_observe(&m.ttft_s, METRICS_TTFT, 1e9);
    metrics_observe(&m.prompt, METRICS_COUNT, 512);
    metrics_observe(&m.n, METRICS_NUMBER, 4);
    metrics_observe(&m.queue_s, METRICS_PHASE, 0.02);
    for (size_t i = 0; i < PL_ARRAY_LEN(FIGURES); i++)
        check_page(&m, &context, FIGURES[i]);
}

/* What endpoint pickers, autoscalers and dashboards ask for by name. */
static void every_family_of_vllm_s_is_there(void **state)
{
    (void)state;
    static const char *const NAMES[] = {
        "request_success_total counter",
        "prompt_tokens_total counter",
        "generation_tokens_total counter",
        "request_prompt_tokens histogram",
        "request_generation_tokens histogram",
        "request_params_max_tokens histogram",
        "request_params_n histogram",
        "request_max_num_generation_tokens histogram",
        "e2e_request_latency_seconds histogram",
        "time_to_first_token_seconds histogram",
        "inter_token_latency_seconds histogram",
        "time_per_output_token_seconds histogram",
        "request_time_per_output_token_seconds histogram",
        "request_queue_time_seconds histogram",
        "request_inference_time_seconds histogram",
        "request_prefill_time_seconds histogram",
        "request_decode_time_seconds histogram",
        "prefix_cache_hits_total counter",
        "prefix_cache_queries_total counter",
        "num_preemptions_total counter",
        "num_requests_waiting gauge",
        "num_requests_running gauge",
        "kv_cache_usage_perc gauge",
        "cache_config_info gauge",
        "lora_requests_info gauge",
    };
    struct metrics m = {0};
    struct engine_stats stats = {0};
    struct metrics_context context = {
        .model_name = "m", .stats = &stats, .block_tokens = 16, .n_blocks = 64};
    for (size_t i = 0; i < PL_ARRAY_LEN(NAMES); i++) {
        char line[128];
        (void)snprintf(line, sizeof line, "\n# TYPE vllm:%s\n", NAMES[i]);
        check_page(&m, &context, line);
    }
}

static void tenants_have_their_rows_and_the_rest_is_other(void **state)
{
    (void)state;
    struct metrics m = {0};
    struct engine_stats stats = {0};
    struct engine_tenant inside[] = {
        {.name = "", .running = 1, .counter = 5},
        {.name = "alice", .waiting = 2, .counter = 7},
        {.name = "never seen here", .running = 3, .counter = 1},
        {.name = "other", .running = 4, .counter = 2},
    };
    struct metrics_context context = {
        .model_name = "m", .stats = &stats, .tenants = inside, .n_tenants = 4};
    uint32_t alice = tenants_row(&m.tenants, "alice", 5);
    m.tenants.rows[alice].prompt_tokens = 11;
    assert_int_equal(tenants_row(&m.tenants, "default", 7), tenants_row(&m.tenants, "", 0));
    assert_int_equal(tenants_row(&m.tenants, "alice", 5), alice);
    assert_int_equal(tenants_row(&m.tenants, "other", 5), 1);
    for (int i = 0; i < 3 * TENANTS_MAX; i++) {
        char name[100];
        (void)snprintf(name, sizeof name, "tenant \"%d\"", i);
        m.tenants.rows[tenants_row(&m.tenants, name, strlen(name))].requests++;
    }
    assert_int_equal(m.tenants.n, TENANTS_MAX + 2);
    assert_int_equal(m.tenants.rows[1].requests, 2 * TENANTS_MAX + 1);
    static const char *const LINES[] = {
        "polder:tenant_running{model_name=\"m\",tenant=\"default\"} 1\n",
        "polder:tenant_running{model_name=\"m\",tenant=\"other\"} 7\n",
        "polder:tenant_waiting{model_name=\"m\",tenant=\"alice\"} 2\n",
        "polder:tenant_virtual_tokens{model_name=\"m\",tenant=\"alice\"} 7\n",
        "polder:tenant_prompt_tokens_total{model_name=\"m\",tenant=\"alice\"} 11\n",
        "polder:tenant_requests_total{model_name=\"m\",tenant=\"tenant \\\"0\\\"\"} 1\n",
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(LINES); i++)
        check_page(&m, &context, LINES[i]);
}

static void long_tenant_names_are_cut_alike(void **state)
{
    (void)state;
    struct tenants t = {0};
    char name[200];
    memset(name, 'x', sizeof name);
    uint32_t row = tenants_row(&t, name, 200);
    assert_int_equal(strlen(t.rows[row].name), TENANTS_NAME_BYTES - 1);
    assert_int_equal(tenants_row(&t, name, 63), row);
    assert_int_equal(tenants_find(&t, name, 150), row);
    assert_int_not_equal(tenants_row(&t, name, 62), row);
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
        cmocka_unit_test(every_family_of_vllm_s_is_there),
        cmocka_unit_test(tenants_have_their_rows_and_the_rest_is_other),
        cmocka_unit_test(long_tenant_names_are_cut_alike),
        cmocka_unit_test(label_values_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
