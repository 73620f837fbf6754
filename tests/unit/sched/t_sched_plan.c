/* The step planner, case by case: budgets, order, chunks, preemption, stalls, drafts, forks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "bench.h"
#include "fault.h"
#include "base/banned.h"

static struct client c[8];

static void open_bench(struct bench *b, uint32_t n_blocks, uint32_t rows, uint32_t seqs,
                       uint32_t outputs)
{
    memset(c, 0, sizeof c);
    const struct bench_options options = {
        .n_blocks = n_blocks, .rows = rows, .seqs = seqs, .outputs = outputs};
    bench_open(b, &options);
}

static void close_bench(struct bench *b)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(c); i++)
        client_close(b, &c[i]);
    bench_close(b);
}

static void start(struct bench *b, uint32_t i, uint32_t n_prompt, uint32_t n_new)
{
    const struct client_options options = {.seed = i + 1, .n_prompt = n_prompt, .n_new = n_new};
    client_start(b, &c[i], &options);
}

static uint64_t preemptions(const struct bench *b)
{
    struct sched_stats stats;
    sched_stats(b->sched, &stats);
    return stats.preemptions;
}

/* ---- the budget ------------------------------------------------------------------------------ */

static void splits_a_prompt_into_chunks_of_the_budget(void **state)
{
    (void)state;
    static const uint32_t rows[] = {10, 10, 5, 1, 1};
    struct bench b;
    open_bench(&b, 8, 10, 4, 10);
    start(&b, 0, 25, 3);
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        const struct sched_plan *plan = bench_plan(&b);
        assert_int_equal(plan->n_items, 1);
        assert_int_equal(plan->n_rows, rows[i]);
        assert_int_equal(plan->n_outputs, i >= 2);
        assert_int_equal(plan->n_decode_rows, i >= 3);
        assert_int_equal(plan->items[0].complete, i >= 2);
        bench_finish(&b, plan, 0);
    }
    assert_true(c[0].done);
    assert_int_equal(bench_plan(&b)->n_items, 0);
    close_bench(&b);
}

static void decodes_come_before_prefills_in_the_budget(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 32, 8, 4, 8);
    start(&b, 0, 2, 20);
    start(&b, 1, 3, 20);
    bench_step(&b);
    start(&b, 2, 40, 2);
    const struct sched_plan *plan = bench_step(&b);
    assert_int_equal(plan->n_items, 3);
    assert_int_equal(plan->items[0].n_rows, 1);
    assert_int_equal(plan->items[1].n_rows, 1);
    assert_int_equal(plan->items[2].n_rows, 6);
    assert_int_equal(plan->n_rows, 8);
    assert_int_equal(plan->n_decode_rows, 2);
    close_bench(&b);
}

static void rows_with_logits_are_limited_by_outputs(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 32, 64, 2, 4);
    const struct client_options all = {.seed = 9, .n_prompt = 12, .n_new = 2, .out_from = 5};
    client_start(&b, &c[0], &all);
    start(&b, 1, 3, 2);
    const struct sched_plan *plan = bench_step(&b);
    assert_int_equal(plan->n_items, 2);
    assert_int_equal(plan->items[1].n_rows, 2); /* no output is left for its end */
    assert_false(plan->items[1].complete);
    assert_int_equal(plan->items[0].n_rows, 9);
    assert_int_equal(plan->items[0].n_outputs, 4);
    plan = bench_step(&b);
    assert_int_equal(plan->items[0].start, 9);
    assert_int_equal(plan->items[0].n_outputs, 3);
    assert_true(plan->items[0].complete);
    assert_int_equal(plan->n_items, 2);
    assert_int_equal(plan->n_outputs, 4);
    close_bench(&b);
}

/* ---- room ------------------------------------------------------------------------------------ */

static void preempts_the_youngest_and_resumes_it_first(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 4, 64, 3, 64);
    start(&b, 0, 15, 30); /* 44 computed tokens: 3 blocks */
    start(&b, 1, 15, 20);
    start(&b, 2, 15, 20);
    start(&b, 3, 1, 1);
    bench_step(&b);
    bench_step(&b); /* 16 computed each, in 3 blocks of 4 */
    assert_int_equal(preemptions(&b), 0);
    const struct sched_plan *plan = bench_plan(&b); /* each needs a second block */
    assert_int_equal(preemptions(&b), 1);
    assert_int_equal(plan->n_items, 2);
    assert_int_equal(c[2].seq.state, SCHED_WAITING);
    assert_int_equal(c[2].seq.n_computed, 0);
    assert_int_equal(c[2].seq.n_tokens, 17);
    bench_finish(&b, plan, 0);
    for (int i = 0; i < 100 && !c[2].done; i++)
        bench_step(&b);
    assert_true(c[0].done && c[1].done && c[2].done);
    assert_int_equal(c[2].n_sampled, 20);
    assert_true(c[3].first_step > c[2].first_step);
    for (int i = 0; i < 5; i++)
        bench_step(&b);
    assert_true(c[3].done);
    close_bench(&b);
}

static void removes_from_any_state(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 8, 16, 2, 16);
    start(&b, 0, 4, 9);
    start(&b, 1, 60, 9);
    start(&b, 2, 4, 9);
    bench_step(&b);
    assert_int_equal(c[0].seq.state, SCHED_DECODE);
    assert_int_equal(c[1].seq.state, SCHED_PREFILL);
    assert_int_equal(c[2].seq.state, SCHED_WAITING);
    for (int i = 0; i < 3; i++) {
        sched_remove(b.sched, &c[i].seq);
        assert_int_equal(c[i].seq.state, SCHED_OUTSIDE);
        assert_true(sched_check(b.sched));
    }
    close_bench(&b);
}

static void a_plan_may_lose_its_sequences_instead_of_a_commit(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 8, 64, 4, 64);
    for (uint32_t i = 0; i < 4; i++)
        start(&b, i, 5 + i, 9);
    bench_step(&b);
    assert_int_equal(bench_plan(&b)->n_items, 4);
    struct sched_seq *seq;
    while ((seq = sched_first_running(b.sched)) != NULL)
        sched_remove(b.sched, seq);
    assert_int_equal(bench_plan(&b)->n_items, 0);
    start(&b, 4, 3, 1);
    bench_step(&b);
    assert_true(c[4].done);
    close_bench(&b);
}

static void refuses_what_never_fits_with_the_numbers(void **state)
{
    (void)state;
    struct bench b;
    struct pl_error err = {{0}};
    open_bench(&b, 3, 16, 2, 16);
    assert_int_equal(sched_check_fit(b.sched, 48, &err), PL_OK);
    assert_int_equal(sched_check_fit(b.sched, 49, &err), PL_ELIMIT);
    assert_string_equal(err.msg, "sched: a sequence of 49 tokens takes 4 KV blocks of 16 tokens; "
                                 "there are 3 in all");
    struct sched *sched = NULL;
    const struct sched_options bad[] = {
        {.rows_max = 4, .seqs_max = 5, .outputs_max = 8, .tenants_max = 1},
        {.rows_max = 4, .seqs_max = 0, .outputs_max = 8, .tenants_max = 1},
        {.rows_max = 4, .seqs_max = 4, .outputs_max = 3, .tenants_max = 1},
        {.rows_max = 4, .seqs_max = 4, .outputs_max = 4},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++)
        assert_int_equal(sched_open(&bad[i], &sched, &err), PL_EINVAL);
    for (long n = 1; n <= 4; n++) {
        fault_fail_at(n);
        assert_int_equal(sched_open(&b.options, &sched, &err), PL_ENOMEM);
    }
    fault_fail_at(0);
    assert_null(sched);
    sched_close(NULL);
    close_bench(&b);
}

static void allocates_nothing_after_open(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b, 9, 64, 4, 64);
    for (uint32_t i = 0; i < 8; i++)
        start(&b, i, 5 + 7 * i, 20);
    fault_fail_at(0);
    for (int i = 0; i < 400; i++)
        bench_step(&b);
    assert_int_equal(fault_count(), 0);
    for (uint32_t i = 0; i < 8; i++)
        assert_true(c[i].done);
    assert_true(preemptions(&b) > 0);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_a_prompt_into_chunks_of_the_budget),
        cmocka_unit_test(decodes_come_before_prefills_in_the_budget),
        cmocka_unit_test(rows_with_logits_are_limited_by_outputs),
        cmocka_unit_test(preempts_the_youngest_and_resumes_it_first),
        cmocka_unit_test(removes_from_any_state),
        cmocka_unit_test(a_plan_may_lose_its_sequences_instead_of_a_commit),
        cmocka_unit_test(refuses_what_never_fits_with_the_numbers),
        cmocka_unit_test(allocates_nothing_after_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
