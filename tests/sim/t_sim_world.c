/* One worker and its clients on the virtual clock: times, texts, prefixes, deadlines, the queue, the same run twice. */
#include "t_help.h"

#include <math.h>
#include <string.h>

#include "base/banned.h"

#define N_IDS 4000

static int32_t prompt[N_IDS];
static struct sim *sim;
static struct sim_worker *worker;

static int fill(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < N_IDS; i++)
        prompt[i] = sim_word(i * i % 1009 + i);
    return 0;
}

static void open_world(struct sim_worker_options options)
{
    struct pl_error err = {{0}};
    FILE *log = getenv("SIM_LOG") != NULL ? stderr : NULL; /* NOLINT(concurrency-mt-unsafe) */
    help_must(sim_open(&(struct sim_options){.seed = 1, .log = log}, &sim, &err), &err);
    help_must(sim_worker_add(sim, &options, &worker, &err), &err);
}

static int close_world(void **state)
{
    (void)state;
    sim_close(sim);
    sim = NULL;
    return 0;
}

static void keep(void *user, const struct sim_answer *answer)
{
    struct sim_answer *to = user;
    *to = *answer;
    to->gaps_ns = NULL;
}

static void begin(struct sim_request request, struct sim_answer *answer)
{
    struct pl_error err = {{0}};
    *answer = (struct sim_answer){.http_status = -1};
    request.address = request.address != NULL ? request.address : sim_worker_address(worker);
    request.ids = request.ids != NULL ? request.ids : prompt;
    request.on_done = keep;
    request.user = answer;
    help_must(sim_request_begin(sim, &request, &err), &err);
}

static void run_all(void)
{
    struct pl_error err = {{0}};
    help_must(sim_run(sim, sim_now_ns(sim) + 1000 * SIM_NS_PER_S, &err), &err);
    assert_int_equal(sim_n_requests(sim), 0);
}

static struct sim_answer ask(struct sim_request request)
{
    struct sim_answer answer;
    begin(request, &answer);
    run_all();
    return answer;
}

static struct sim_answer ask_well(struct sim_request request)
{
    struct sim_answer answer = ask(request);
    if (answer.outcome != SIM_DONE)
        fail_msg("%s: HTTP %d, %s", sim_outcome_name(answer.outcome), answer.http_status,
                 answer.message);
    return answer;
}

static double ttft_ms(const struct sim_answer *answer)
{
    return (double)(answer->first_ns - answer->begun_ns) / 1e6;
}

/* ---- time and text ------------------------------------------------------------------------------- */

static void a_request_takes_the_time_that_the_profile_says(void **state)
{
    (void)state;
    open_world((struct sim_worker_options){0});
    struct sim_answer answer = ask_well((struct sim_request){.n_ids = 1000, .max_tokens = 11});
    assert_int_equal(answer.prompt_tokens, 1000);
    assert_int_equal(answer.output_tokens, 11);
    assert_int_equal(answer.n_gaps, 10);
    /* 6.75 ms + 1000 * 24 us + 1000 * 500.5 * 2.8 ns; then 6.76 ms and 51.8 ns per token in the cache. */
    help_between("TTFT", ttft_ms(&answer), 32.150, 32.153);
    help_between("decode", (double)(answer.done_ns - answer.first_ns) / 1e6, 68.118, 68.125);
}

/* The harness must notice what is wrong: another prompt's text, and a device that writes to the wrong place. */
static void a_wrong_text_is_noticed(void **state)
{
    (void)state;
    open_world((struct sim_worker_options){.settings = {"words=260-400"}, .n_settings = 1});
    struct sim_answer answer = ask((struct sim_request){.n_ids = 100, .max_tokens = 20});
    assert_int_equal(answer.outcome, SIM_WRONG);
}

static void many_at_once_get_the_right_texts(void **state)
{
    (void)state;
    static struct sim_answer answers[40];
    open_world((struct sim_worker_options){.seqs_max = 16, .rows_max = 64, .kv_tokens = 4096});
    for (uint32_t i = 0; i < 40; i++)
        begin((struct sim_request){.n_ids = 10 + i * 37 % 400, .max_tokens = 5 + i % 50},
              &answers[i]);
    run_all();
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(answers[i].outcome, SIM_DONE);
}

static void blocks_come_back_from_ram_as_they_went(void **state)
{
    (void)state;
    open_world((struct sim_worker_options){.kv_tokens = 4096, .kv_ram_bytes = 64 << 20});
    struct engine_stats stats;
    static int32_t other[N_IDS];
    for (uint32_t i = 0; i < N_IDS; i++)
        other[i] = sim_word(i * 31 + 5);
    (void)ask_well((struct sim_request){.n_ids = 2000, .max_tokens = 8});
    (void)ask_well((struct sim_request){.ids = other, .n_ids = 3900, .max_tokens = 8});
    struct sim_answer again = ask_well((struct sim_request){.n_ids = 2000, .max_tokens = 64});
    engine_stats(sim_worker_engine(worker), &stats);
    assert_true(again.cached_tokens >= 1984);
    assert_true(stats.cache_ram_hit_tokens > 1000);
}

static void several_texts_of_one_prompt_end(void **state)
{
    (void)state;
    open_world((struct sim_worker_options){0});
    struct sim_answer answer = ask_well(
        (struct sim_request){.n_ids = 333, .max_tokens = 30, .n = 4, .temperature = 1, .seed = 5});
    assert_int_equal(answer.output_tokens, 4 * 30);
}

static void a_device_can_end_texts(void **state)
{
    (void)state;
    open_world((struct sim_worker_options){.settings = {"eos_rate=0.1"}, .n_settings = 1});
    uint32_t total = 0;
    for (uint32_t i = 0; i < 50; i++) {
        struct sim_answer answer =
            ask((struct sim_request){.n_ids = 50 + i, .max_tokens = 200, .no_check = true});
        total += answer.output_tokens;
    }
    help_between("mean length", total / 50.0, 5, 16); /* geometric: 9 */
}

/* ---- what the engine promises --------------------------------------------------------------------- */

static void a_prefix_seen_before_costs_a_tenth(void **state)
{
    (void)state;
    open_world((struct sim_worker_options){0});
    struct sim_answer first = ask_well((struct sim_request){.n_ids = N_IDS, .max_tokens = 4});
    struct sim_answer second = ask_well((struct sim_request){.n_ids = N_IDS, .max_tokens = 4});
    assert_int_equal(first.cached_tokens, 0);
    assert_true(second.cached_tokens >= N_IDS - 16);
    help_between("TTFT of the second over the first", ttft_ms(&second) / ttft_ms(&first), 0, 0.1);
}

static void a_deadline_that_passes_is_told(void **state)
{
    (void)state;
    static struct sim_answer longest, late, early;
    open_world((struct sim_worker_options){.seqs_max = 1});
    begin((struct sim_request){.n_ids = 100, .max_tokens = 200}, &longest); /* 1.36 s */
    struct pl_error err;
    help_must(sim_run(sim, SIM_NS_PER_S / 10, &err), &err); /* it runs */
    begin((struct sim_request){.n_ids = 100, .max_tokens = 2, .deadline_ms = 500}, &late);
    begin((struct sim_request){.n_ids = 100, .max_tokens = 2, .deadline_ms = 5000}, &early);
    run_all();
    assert_int_equal(longest.outcome, SIM_DONE);
    assert_int_equal(early.outcome, SIM_DONE);
    assert_int_equal(late.outcome, SIM_FAILED);
    assert_int_equal(late.http_status, 504);
    help_between("told after ms", (double)(late.done_ns - late.begun_ns) / 1e6, 500, 520);
}

static void what_the_queue_can_not_hold_is_refused_at_once(void **state)
{
    (void)state;
    static struct sim_answer answers[50];
    uint32_t counts[6] = {0};
    open_world((struct sim_worker_options){.seqs_max = 4, .queue_max = 16});
    for (uint32_t i = 0; i < 50; i++)
        begin((struct sim_request){.n_ids = 64, .max_tokens = 100}, &answers[i]);
    run_all();
    for (uint32_t i = 0; i < 50; i++) {
        counts[answers[i].outcome]++;
        if (answers[i].outcome != SIM_REFUSED)
            continue;
        assert_int_equal(answers[i].done_ns, answers[i].begun_ns);
        assert_in_range(answers[i].retry_after_s, 1, 60);
    }
    assert_int_equal(counts[SIM_DONE], 4 + 16);
    assert_int_equal(counts[SIM_REFUSED], 50 - 20);
}

/* ---- the same again ------------------------------------------------------------------------------ */

static const char MIXED[] =
    "stop_s 20\n"
    "worker count=2 seqs=16 queue=32 kv_tokens=20000 set=slow=0.02 set=fail=0.005\n"
    "tenant name=a rate=12 prompt=lognormal:300:1:max=3000 output=lognormal:40:0.8:max=400\n"
    "       prefixes=3 prefix_tokens=500 hang_up=0.1 slow_reader=0.05\n"
    "tenant name=b arrival=closed users=6 prompt=20-900 output=10-60 temperature=0.8\n"
    "tenant name=c arrival=bursts burst=20 rate=0.3 prompt=100 output=20\n"
    "fault at_s=5 worker=0 kind=lost until_s=7\n"
    "fault at_s=12 worker=1 kind=down until_s=13\n";

static void the_same_seed_gives_the_same_run_to_the_byte(void **state)
{
    (void)state;
    uint64_t digests[3];
    for (int i = 0; i < 3; i++) {
        char text[sizeof MIXED + 16];
        (void)snprintf(text, sizeof text, "seed %d\n%s", i == 2 ? 10 : 9, MIXED);
        struct help_run *run = help_run(text);
        digests[i] = sim_digest(run->run.sim);
        help_end(run);
    }
    assert_true(digests[0] == digests[1]);
    assert_true(digests[0] != digests[2]);
}

static void a_bad_scenario_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "stop_s 1\nworker\n",
        "stop_s 1\ntenant rate=1\n",
        "worker\ntenant rate=1\n",
        "stop_s 1\nworker nonsense=1\ntenant rate=1\n",
        "stop_s 1\nworker seqs=-1\ntenant rate=1\n",
        "stop_s 1\nworker\ntenant rate=1 prompt=9-3\n",
        "stop_s 1\nworker\ntenant rate=1 arrival=never\n",
        "stop_s 1\nworker\ntenant rate=1\nfault kind=melts\n",
        "stop_s 1\nworker\ntenant rate\n",
        "stop_s 1\nworker\ntenant rate=1\nnoise 1\n",
    };
    struct scenario scenario;
    struct pl_error err;
    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++)
        if (scenario_parse(bad[i], &scenario, &err) != PL_EFORMAT)
            fail_msg("taken: %s", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_request_takes_the_time_that_the_profile_says, close_world),
        cmocka_unit_test_teardown(a_wrong_text_is_noticed, close_world),
        cmocka_unit_test_teardown(many_at_once_get_the_right_texts, close_world),
        cmocka_unit_test_teardown(blocks_come_back_from_ram_as_they_went, close_world),
        cmocka_unit_test_teardown(several_texts_of_one_prompt_end, close_world),
        cmocka_unit_test_teardown(a_device_can_end_texts, close_world),
        cmocka_unit_test_teardown(a_prefix_seen_before_costs_a_tenth, close_world),
        cmocka_unit_test_teardown(a_deadline_that_passes_is_told, close_world),
        cmocka_unit_test_teardown(what_the_queue_can_not_hold_is_refused_at_once, close_world),
        cmocka_unit_test(the_same_seed_gives_the_same_run_to_the_byte),
        cmocka_unit_test(a_bad_scenario_is_refused),
    };
    return cmocka_run_group_tests_name("sim_world", tests, fill, NULL);
}
