/* Who comes first, who makes way, who waits for whom: case by case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "base/banned.h"

#define N_CLIENTS 40

static struct client c[N_CLIENTS];

static void open_bench(struct bench *b, uint32_t n_blocks, uint32_t rows, uint32_t seqs)
{
    memset(c, 0, sizeof c);
    const struct bench_options options = {
        .n_blocks = n_blocks, .rows = rows, .seqs = seqs, .tenants = 4};
    bench_open(b, &options);
}

static void close_bench(struct bench *b)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(c); i++)
        client_close(b, &c[i]);
    bench_close(b);
}

static void start(struct bench *b, uint32_t i, struct client_options options)
{
    options.seed = 100 + i;
    client_start(b, &c[i], &options);
}

static struct sched_stats stats_of(const struct bench *b)
{
    struct sched_stats stats;
    sched_stats(b->sched, &stats);
    return stats;
}

static void run_until_done(struct bench *b)
{
    for (int i = 0; i < 10000 && bench_step(b)->n_items > 0; i++)
        ;
    assert_int_equal(stats_of(b).running + stats_of(b).waiting, 0);
}

/* ---- priorities and deadlines ---------------------------------------------------------------- */

static void higher_priority_takes_the_seat_of_a_lower_one(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 64, 64, 2);
    start(&b, 0, (struct client_options){.n_prompt = 40, .n_new = 50, .priority = 1});
    start(&b, 1, (struct client_options){.n_prompt = 40, .n_new = 50});
    bench_step(&b);
    bench_step(&b);
    bench_step(&b);
    start(&b, 2, (struct client_options){.n_prompt = 10, .n_new = 5});
    bench_step(&b);
    assert_int_equal(c[0].seq.state, SCHED_WAITING); /* the lower one, though it came first */
    assert_int_equal(c[0].seq.n_preemptions, 1);
    assert_int_equal(c[1].seq.state, SCHED_DECODE);
    assert_int_equal(c[2].seq.state, SCHED_DECODE);
    start(&b, 3, (struct client_options){.n_prompt = 10, .n_new = 5});
    bench_step(&b);
    assert_int_equal(c[3].seq.state, SCHED_WAITING); /* equals wait */
    run_until_done(&b);
    assert_int_equal(stats_of(&b).preemptions, 1);
    assert_int_equal(stats_of(&b).recomputed_tokens, 9); /* of 41, 32 were found */
    close_bench(&b);
}

static void higher_priority_takes_the_blocks_of_a_lower_one(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 8, 64, 4);
    start(&b, 0, (struct client_options){.n_prompt = 60, .n_new = 20, .priority = 2});
    bench_step(&b);
    start(&b, 1, (struct client_options){.n_prompt = 90, .n_new = 10, .priority = 1});
    bench_step(&b);
    assert_int_equal(c[0].seq.state, SCHED_WAITING);
    assert_int_equal(c[1].seq.state, SCHED_PREFILL);
    run_until_done(&b);
    assert_true(c[0].done && c[1].done);
    close_bench(&b);
}

static void earlier_deadline_first_among_equals(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 64, 16, 1);
    start(&b, 0, (struct client_options){.n_prompt = 10, .n_new = 1});
    start(&b, 1, (struct client_options){.n_prompt = 10, .n_new = 1, .deadline_ns = 900});
    start(&b, 2, (struct client_options){.n_prompt = 10, .n_new = 1, .deadline_ns = 500});
    start(&b, 3,
          (struct client_options){.n_prompt = 10, .n_new = 1, .priority = -1, .deadline_ns = 999});
    run_until_done(&b);
    assert_int_equal(c[3].first_step, 0);
    assert_int_equal(c[2].first_step, 1);
    assert_int_equal(c[1].first_step, 2);
    assert_int_equal(c[0].first_step, 3);
    close_bench(&b);
}

static void a_stream_of_deadlines_starves_nobody_for_longer_than_a_minute(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 64, 16, 1);
    start(&b, 0, (struct client_options){.n_prompt = 10, .n_new = 1});
    for (uint32_t i = 1; i < 30 && !c[0].done; i++) {
        b.now_ns = i * INT64_C(5000000000);
        start(&b, i,
              (struct client_options){
                  .n_prompt = 10, .n_new = 1, .deadline_ns = b.now_ns + INT64_C(2000000000)});
        bench_step(&b);
    }
    assert_true(c[0].done);
    assert_true(b.now_ns <= INT64_C(65000000000) && b.now_ns > INT64_C(50000000000));
    run_until_done(&b);
    close_bench(&b);
}

static void tells_who_waited_too_long(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 64, 16, 1);
    start(&b, 0, (struct client_options){.n_prompt = 10, .n_new = 9, .deadline_ns = 50});
    bench_step(&b);
    start(&b, 1, (struct client_options){.n_prompt = 10, .n_new = 1, .deadline_ns = 200});
    start(&b, 2, (struct client_options){.n_prompt = 10, .n_new = 1, .deadline_ns = 100});
    start(&b, 3, (struct client_options){.n_prompt = 10, .n_new = 1});
    assert_null(sched_expired(b.sched, 100));
    assert_ptr_equal(sched_expired(b.sched, 101), &c[2].seq);
    sched_remove(b.sched, &c[2].seq);
    assert_null(sched_expired(b.sched, 101));
    assert_ptr_equal(sched_expired(b.sched, 1000), &c[1].seq);
    sched_remove(b.sched, &c[1].seq);
    assert_null(sched_expired(b.sched, 1000)); /* c[0] has its first token */
    run_until_done(&b);
    close_bench(&b);
}

/* ---- tenants --------------------------------------------------------------------------------- */

static void the_tenant_served_least_comes_first(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 64, 64, 1);
    start(&b, 0, (struct client_options){.tenant = "a", .n_prompt = 60, .n_new = 1});
    start(&b, 1, (struct client_options){.tenant = "a", .n_prompt = 60, .n_new = 1});
    start(&b, 2, (struct client_options){.tenant = "a", .n_prompt = 60, .n_new = 1});
    start(&b, 3, (struct client_options){.tenant = "b", .n_prompt = 60, .n_new = 1});
    start(&b, 4, (struct client_options){.tenant = "b", .n_prompt = 60, .n_new = 1});
    run_until_done(&b);
    assert_int_equal(c[0].first_step, 0);
    assert_int_equal(c[3].first_step, 1);
    assert_int_equal(c[1].first_step, 2);
    assert_int_equal(c[4].first_step, 3);
    assert_int_equal(c[2].first_step, 4);
    struct sched_tenant_stats stats[2];
    assert_int_equal(sched_tenants(b.sched, stats, 2), 2);
    assert_string_equal(stats[0].name, "a");
    assert_int_equal(stats[0].prompt_tokens, 180);
    assert_int_equal(stats[0].output_tokens, 3);
    assert_int_equal((int)stats[0].counter, 186);
    assert_int_equal((int)stats[1].counter, 124);
    close_bench(&b);
}

static void accounts_are_few_and_found_again(void **state)
{
    (void)state;
    struct bench b;
    char name[200];
    struct sched_tenant_stats stats[4];
    open_bench(&b, 64, 64, 1);
    memset(name, 'x', sizeof name);
    struct sched_tenant *t[4];
    t[0] = sched_tenant_enter(b.sched, name, 150, 1);
    t[1] = sched_tenant_enter(b.sched, name, 151, 2);
    t[2] = sched_tenant_enter(b.sched, "", 0, 1);
    t[3] = sched_tenant_enter(b.sched, "d", 1, 1);
    assert_ptr_not_equal(t[0], t[1]);
    assert_null(sched_tenant_enter(b.sched, "e", 1, 1));
    assert_ptr_equal(sched_tenant_enter(b.sched, name, 150, 3), t[0]);
    sched_tenant_leave(b.sched, t[0]);
    sched_tenant_leave(b.sched, t[0]);
    assert_int_equal(sched_tenants(b.sched, stats, 4), 3);
    assert_string_equal(stats[0].name, "");
    assert_string_equal(stats[1].name, "d");
    assert_int_equal(strlen(stats[2].name), 63);
    assert_int_equal(sched_tenants(b.sched, stats, 1), 3);
    struct sched_tenant *e = sched_tenant_enter(b.sched, "e", 1, 1);
    assert_ptr_equal(e, t[0]); /* the place of one that nobody used */
    sched_tenant_leave(b.sched, e);
    for (int i = 1; i < 4; i++)
        sched_tenant_leave(b.sched, t[i]);
    close_bench(&b);
}

static void yields_a_seat_to_one_with_none_but_not_twice_at_once(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 512, 256, 4);
    for (uint32_t i = 0; i < 6; i++)
        start(&b, i, (struct client_options){.tenant = "a", .n_prompt = 10, .n_new = 200});
    for (int i = 0; i < 20; i++)
        bench_step(&b);
    for (uint32_t i = 6; i < 12; i++)
        start(&b, i, (struct client_options){.tenant = "b", .n_prompt = 10, .n_new = 200});
    bench_step(&b);
    bench_step(&b);
    bench_step(&b);
    struct sched_tenant_stats stats[2];
    assert_int_equal(sched_tenants(b.sched, stats, 2), 2);
    assert_int_equal(stats[0].running, 2);
    assert_int_equal(stats[1].running, 2);
    assert_int_equal(c[3].seq.n_yields, 1); /* the youngest of those that ran */
    assert_int_equal(c[2].seq.n_yields, 1);
    assert_int_equal(stats_of(&b).preemptions, 2);
    run_until_done(&b);
    assert_true(stats_of(&b).preemptions < 40);
    close_bench(&b);
}

/* ---- shared beginnings ----------------------------------------------------------------------- */

static void a_common_beginning_is_computed_once(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 512, 512, 32);
    for (uint32_t i = 0; i < 32; i++)
        start(&b, i,
              (struct client_options){.n_shared = 320, .shared = 7, .n_prompt = 325, .n_new = 2});
    start(&b, 32, (struct client_options){.n_prompt = 20, .n_new = 2});
    bench_step(&b);
    assert_int_equal(stats_of(&b).running,
                     2); /* the last one has overtaken those that are put off */
    assert_int_equal(stats_of(&b).stalled, 31);
    assert_int_equal(c[32].first_step, 0);
    run_until_done(&b);
    assert_int_equal(b.n_rows, 320 + 32 * (5 + 1) + 20 + 1);
    for (uint32_t i = 1; i < 32; i++)
        assert_int_equal(c[i].seq.n_cached, 320);
    close_bench(&b);
}

static void nobody_waits_for_one_that_gets_no_rows(void **state)
{
    (void)state;
    struct bench b;
    /* The first has out_from 0: its rows all want outputs, of which few are left beside the decodes. */
    memset(c, 0, sizeof c);
    const struct bench_options options = {
        .n_blocks = 512, .rows = 64, .seqs = 4, .outputs = 4, .tenants = 4};
    bench_open(&b, &options);
    for (uint32_t i = 0; i < 2; i++)
        start(&b, i, (struct client_options){.n_prompt = 5, .n_new = 200});
    bench_step(&b);
    start(&b, 2,
          (struct client_options){
              .n_shared = 320, .shared = 7, .n_prompt = 330, .n_new = 1, .out_from = 1});
    bench_step(&b);
    start(&b, 3,
          (struct client_options){.n_shared = 320, .shared = 7, .n_prompt = 330, .n_new = 1});
    for (int i = 0; i < 60 && c[3].seq.n_computed < 320; i++)
        bench_step(&b);
    /* Two rows in a step bring a block in eight: too little to wait for. */
    assert_true(c[3].seq.n_computed >= 320 && c[2].seq.n_computed < 200);
    run_until_done(&b);
    close_bench(&b);
}

static void forks_share_what_is_computed(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 64, 64, 4);
    for (uint32_t i = 0; i < 6; i++) {
        struct client_options options = {.seed = 50 + i, .n_prompt = 40, .n_new = 20};
        client_open(&b, &c[i], &options);
        if (i > 0)
            memcpy(c[i].ids, c[0].ids, 40 * sizeof *c[i].ids);
    }
    c[0].n_forks = 5;
    c[0].forks = &c[1];
    client_add(&b, &c[0]);
    bench_step(&b);
    assert_int_equal(stats_of(&b).running, 4); /* as many as there are seats; the others wait */
    assert_int_equal(stats_of(&b).waiting, 2);
    struct kv_cache_stats kv;
    kv_cache_stats(b.cache, &kv);
    assert_true(kv.blocks_held <= 2 + 4);
    run_until_done(&b);
    assert_true(b.n_copies >= 3);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(c[i].n_sampled, 20);
    close_bench(&b);
}

/* ---- drafts ---------------------------------------------------------------------------------- */

static void right_guesses_save_steps_and_wrong_ones_do_no_harm(void **state)
{
    (void)state;
    static const uint32_t right[] = {8, 4, 0};
    uint64_t n_steps[3];
    for (size_t i = 0; i < PL_ARRAY_LEN(right); i++) {
        struct bench b;
        open_bench(&b, 64, 64, 4);
        struct client_options options = {.seed = 3, .n_prompt = 20, .n_new = 100};
        client_open(&b, &c[0], &options);
        c[0].n_draft = 4;
        c[0].right_of8 = right[i];
        client_add(&b, &c[0]);
        run_until_done(&b);
        assert_int_equal(c[0].n_sampled, 100);
        n_steps[i] = b.n_steps;
        close_bench(&b);
    }
    assert_true(n_steps[0] <= 1 + 99 / 5 + 1);
    assert_true(n_steps[1] < 80);
    assert_int_equal(n_steps[2], 100);
}

static void guesses_leave_room_for_others(void **state)
{
    (void)state;
    struct bench b;
    memset(c, 0, sizeof c);
    const struct bench_options options = {.n_blocks = 64, .rows = 24, .seqs = 4};
    bench_open(&b, &options);
    for (uint32_t i = 0; i < 3; i++) {
        struct client_options o = {.seed = 3 + i, .n_prompt = 2, .n_new = 60};
        client_open(&b, &c[i], &o);
        c[i].n_draft = 7;
        client_add(&b, &c[i]);
    }
    bench_step(&b);
    assert_int_equal(bench_step(&b)->n_rows, 24); /* 3 rows, 21 guesses */
    start(&b, 3, (struct client_options){.n_prompt = 64, .n_new = 1});
    const struct sched_plan *plan = bench_step(&b);
    assert_int_equal(plan->n_rows - plan->n_decode_rows, 16);
    run_until_done(&b);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(higher_priority_takes_the_seat_of_a_lower_one),
        cmocka_unit_test(higher_priority_takes_the_blocks_of_a_lower_one),
        cmocka_unit_test(earlier_deadline_first_among_equals),
        cmocka_unit_test(a_stream_of_deadlines_starves_nobody_for_longer_than_a_minute),
        cmocka_unit_test(tells_who_waited_too_long),
        cmocka_unit_test(the_tenant_served_least_comes_first),
        cmocka_unit_test(accounts_are_few_and_found_again),
        cmocka_unit_test(yields_a_seat_to_one_with_none_but_not_twice_at_once),
        cmocka_unit_test(a_common_beginning_is_computed_once),
        cmocka_unit_test(nobody_waits_for_one_that_gets_no_rows),
        cmocka_unit_test(forks_share_what_is_computed),
        cmocka_unit_test(right_guesses_save_steps_and_wrong_ones_do_no_harm),
        cmocka_unit_test(guesses_leave_room_for_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
