/* Devices that fail, workers that die, clients that leave: nobody hangs, no text is wrong. */
#include "t_help.h"

#include <string.h>

#include "base/banned.h"

static void assert_empty(struct help_run *run)
{
    struct engine_stats stats;
    for (uint32_t i = 0; i < sim_n_workers(run->run.sim); i++) {
        struct sim_worker *worker = sim_worker_at(run->run.sim, i);
        if (!sim_worker_is_up(worker))
            continue;
        engine_stats(sim_worker_engine(worker), &stats);
        assert_int_equal(stats.running + stats.waiting, 0);
        assert_int_equal(stats.blocks_used, 0);
    }
}

/* Every request is answered, with a right text or with words; how many were done. */
static uint64_t assert_honest(struct help_run *run)
{
    const struct load_figures *f = help_all(run);
    assert_int_equal(f->n_over, f->n_begun);
    assert_int_equal(f->outcomes[SIM_WRONG], 0);
    assert_empty(run);
    return f->outcomes[SIM_DONE];
}

#define CROWD                                                                                      \
    "tenant name=a rate=20 prompt=lognormal:300:0.8:max=3000 output=lognormal:80:0.7:max=400\n"    \
    "       prefixes=4 prefix_tokens=600\n"

static void steps_that_fail_end_their_requests_only(void **state)
{
    (void)state;
    struct help_run *run = help_run("stop_s 30\nworker set=fail=0.01\n" CROWD);
    const struct load_figures *f = help_all(run);
    uint64_t n_done = assert_honest(run);
    assert_int_equal(f->outcomes[SIM_BROKEN], 0);
    assert_true(f->outcomes[SIM_FAILED] > 0);
    assert_non_null(strstr(f->first_error, "fails"));
    assert_true(n_done > 0);
    help_end(run);
}

static void slow_steps_harm_nothing(void **state)
{
    (void)state;
    struct help_run *run =
        help_run("stop_s 30\nworker set=slow=0.05 set=slow_factor=20 kv_tokens=30000\n" CROWD);
    (void)assert_honest(run);
    help_all_done(help_all(run));
    help_end(run);
}

static void a_worker_that_is_killed_comes_back(void **state)
{
    (void)state;
    struct help_run *run =
        help_run("stop_s 40\nworker count=2\n" CROWD "fault at_s=10 worker=0 kind=down until_s=15\n"
                 "fault at_s=20 worker=1 kind=down until_s=21\n");
    const struct load_figures *f = help_all(run);
    uint64_t n_done = assert_honest(run);
    assert_true(f->outcomes[SIM_BROKEN] > 0); /* those whose connection it was */
    assert_true(n_done > f->n_begun * 9 / 10);
    for (uint32_t i = 0; i < 2; i++)
        assert_true(sim_worker_is_up(sim_worker_at(run->run.sim, i)));
    help_end(run);
}

static void a_lost_device_answers_with_errors_until_its_worker_is_new(void **state)
{
    (void)state;
    struct help_run *run = help_run("stop_s 40\npick round\nworker count=2\n" CROWD
                                    "fault at_s=10 worker=0 kind=lost until_s=20\n");
    const struct load_figures *f = help_all(run);
    uint64_t n_done = assert_honest(run);
    assert_non_null(strstr(f->first_error, "lost"));
    /* A quarter of the time, half of the requests: an eighth. */
    help_between("part that failed",
                 (double)(f->outcomes[SIM_FAILED] + f->outcomes[SIM_BROKEN]) / (double)f->n_begun,
                 0.10, 0.16);
    assert_true(n_done > 0);
    help_end(run);
}

static void a_device_that_is_lost_after_some_steps_says_so(void **state)
{
    (void)state;
    struct help_run *run = help_run("stop_s 5\nworker set=lost_after=100\n" CROWD);
    const struct load_figures *f = help_all(run);
    (void)assert_honest(run);
    assert_true(f->outcomes[SIM_FAILED] > 50);
    help_end(run);
}

static void clients_that_leave_or_read_slowly_cost_nothing_but_their_own(void **state)
{
    (void)state;
    struct help_run *run =
        help_run("stop_s 30\nworker seqs=64\n"
                 "tenant name=a rate=15 prompt=300 output=200 hang_up=0.5\n"
                 "tenant name=b rate=3 prompt=300 output=300 slow_reader=1\n"
                 "tenant name=c rate=3 prompt=300 output=50 n=3 temperature=1\n");
    const struct load_figures *a = help_figures(run, 0);
    (void)assert_honest(run);
    assert_int_equal(a->outcomes[SIM_DONE] + a->outcomes[SIM_HUNG_UP], a->n_begun);
    help_between("part that hung up", (double)a->outcomes[SIM_HUNG_UP] / (double)a->n_begun, 0.4,
                 0.6);
    help_all_done(help_figures(run, 1));
    help_all_done(help_figures(run, 2));
    help_end(run);
}

/* Deadlines under overload: who can't be served in time is told so in time. */
static void those_who_wait_in_vain_are_told_by_their_deadline(void **state)
{
    (void)state;
    struct help_run *run =
        help_run("stop_s 30\nworker seqs=16\n"
                 "tenant name=a rate=30 prompt=400 output=100 deadline_ms=2000\n");
    struct load_figures *f = help_all(run);
    uint64_t n_done = assert_honest(run);
    assert_int_equal(f->timeouts + n_done + f->outcomes[SIM_REFUSED], f->n_begun);
    assert_true(f->timeouts > 100);
    assert_true(n_done > 300);
    help_between("longest TTFT", load_quantile(&f->ttft_s, 1), 0, 2.1);
    help_end(run);
}

/* All of it at once, with little memory, over several seeds. */
static void everything_at_once_ends_well(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 4; seed++) {
        char text[1024];
        (void)snprintf(
            text, sizeof text,
            "seed %u\nstop_s 20\n"
            "worker count=3 seqs=24 rows=256 queue=40 kv_tokens=12000 draft=4 kv_ram_mb=1\n"
            "       set=fail=0.002 set=slow=0.02\n"
            "tenant name=a org=x rate=15 prompt=lognormal:400:1:max=4000 "
            "output=lognormal:60:1:max=800\n"
            "       prefixes=5 prefix_tokens=900 hang_up=0.1 slow_reader=0.05\n"
            "tenant name=b org=y arrival=closed users=20 prompt=10-2000 output=5-100 weight=2\n"
            "tenant name=c arrival=bursts burst=60 rate=0.2 prompt=50 output=30 deadline_ms=3000\n"
            "tenant name=d rate=2 prompt=200 output=100 n=3 temperature=0.9\n"
            "fault at_s=4 worker=0 kind=lost until_s=6\nfault at_s=8 worker=1 kind=down "
            "until_s=9\nfault at_s=12 worker=2 kind=fails until_s=13\n",
            seed);
        struct help_run *run = help_run(text);
        uint64_t n_done = assert_honest(run);
        assert_true(n_done > help_all(run)->n_begun / 3);
        help_end(run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_that_fail_end_their_requests_only),
        cmocka_unit_test(slow_steps_harm_nothing),
        cmocka_unit_test(a_worker_that_is_killed_comes_back),
        cmocka_unit_test(a_lost_device_answers_with_errors_until_its_worker_is_new),
        cmocka_unit_test(a_device_that_is_lost_after_some_steps_says_so),
        cmocka_unit_test(clients_that_leave_or_read_slowly_cost_nothing_but_their_own),
        cmocka_unit_test(those_who_wait_in_vain_are_told_by_their_deadline),
        cmocka_unit_test(everything_at_once_ends_well),
    };
    return cmocka_run_group_tests_name("sim_faults", tests, NULL, NULL);
}
