/* One worker and its clients on the virtual clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "base/banned.h"

#define N_IDS 2000

static int32_t prompt[N_IDS];

static int fill(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < N_IDS; i++)
        prompt[i] = sim_word(i * i % 1009 + i);
    return 0;
}

static struct sim *open_world(uint64_t seed)
{
    struct sim *sim = NULL;
    struct pl_error err = {{0}};
    if (sim_open(&(struct sim_options){.seed = seed, .log = getenv("SIM_LOG") ? stderr : NULL},
                 &sim, &err) != PL_OK)
        fail_msg("%s", err.msg);
    return sim;
}

static struct sim_worker *add_worker(struct sim *sim, struct sim_worker_options options)
{
    struct sim_worker *worker = NULL;
    struct pl_error err = {{0}};
    if (sim_worker_add(sim, &options, &worker, &err) != PL_OK)
        fail_msg("%s", err.msg);
    return worker;
}

static void keep(void *user, const struct sim_answer *answer)
{
    struct sim_answer *to = user;
    *to = *answer;
}

static struct sim_answer ask(struct sim *sim, struct sim_worker *worker, uint32_t n_ids,
                             uint32_t n_out)
{
    struct sim_answer answer = {.http_status = -1};
    const struct sim_request request = {.address = sim_worker_address(worker),
                                        .ids = prompt,
                                        .n_ids = n_ids,
                                        .max_tokens = n_out,
                                        .on_done = keep,
                                        .user = &answer};
    struct pl_error err = {{0}};
    assert_int_equal(sim_request_begin(sim, &request, &err), PL_OK);
    assert_int_equal(sim_run(sim, sim_now_ns(sim) + 100 * SIM_NS_PER_S, &err), PL_OK);
    assert_int_equal(sim_n_requests(sim), 0);
    if (answer.outcome != SIM_DONE)
        fail_msg("%s: HTTP %d, %s", sim_outcome_name(answer.outcome), answer.http_status,
                 answer.message);
    return answer;
}

static void a_request_takes_the_time_that_the_profile_says(void **state)
{
    (void)state;
    struct sim *sim = open_world(1);
    struct sim_worker *worker = add_worker(sim, (struct sim_worker_options){0});
    struct sim_answer answer = ask(sim, worker, 1000, 11);
    assert_int_equal(answer.prompt_tokens, 1000);
    assert_int_equal(answer.output_tokens, 11);
    /* 6.75 ms + 1000 * 24 us + 1000 * 500.5 * 2.8 ns; then 6.76 ms and 51.8 ns per token in the cache. */
    assert_in_range(answer.first_ns - answer.begun_ns, 32150000, 32153000);
    assert_int_equal(answer.n_gaps, 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_in_range(answer.done_ns - answer.first_ns, 68118000, 68125000);
    sim_close(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_takes_the_time_that_the_profile_says),
    };
    return cmocka_run_group_tests_name("sim_world", tests, fill, NULL);
}
