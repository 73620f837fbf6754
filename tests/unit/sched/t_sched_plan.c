/* The step planner: budgets, order, chunks, preemption, and that everyone finishes whatever happens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "sched/sched.h"
#include "base/rng.h"
#include "base/banned.h"

#define P         16
#define ROOM      64 /* blocks of a table here */
#define N_CLIENTS 150

/* A sequence with a goal: it leaves when it has that many tokens. */
struct client {
    struct sched_seq seq;
    int32_t blocks[ROOM];
    uint32_t n_prompt, n_goal;
    uint32_t arrives_at, leaves_at; /* steps; leaves_at: cancelled then, or UINT32_MAX */
    uint32_t first_run;             /* step of its first row, or UINT32_MAX */
    uint32_t n_sampled;
    bool done;
};

struct bench {
    struct kv_pool pool;
    struct sched sched;
};

static void open_bench(struct bench *b, uint32_t n_blocks, uint32_t rows, uint32_t seqs,
                       uint32_t outputs)
{
    assert_int_equal(kv_pool_init(&b->pool, n_blocks, P, NULL), PL_OK);
    const struct sched_options options = {
        .pool = &b->pool, .rows_max = rows, .seqs_max = seqs, .outputs_max = outputs};
    assert_int_equal(sched_init(&b->sched, &options, NULL), PL_OK);
}

static void close_bench(struct bench *b)
{
    assert_int_equal(b->pool.n_free, b->pool.n_blocks);
    sched_deinit(&b->sched);
    kv_pool_deinit(&b->pool);
}

static void add(struct bench *b, struct client *c, uint32_t n_prompt, uint32_t n_new)
{
    c->n_prompt = n_prompt;
    c->n_goal = n_prompt + n_new;
    c->first_run = UINT32_MAX;
    c->seq = (struct sched_seq){
        .n_tokens = n_prompt,
        .kv_tokens_max = c->n_goal - 1,
        .out_from = c->seq.out_from != 0 ? c->seq.out_from : SCHED_OUT_LAST,
        .table = {.blocks = c->blocks, .n_blocks_max = ROOM},
    };
    sched_add(&b->sched, &c->seq);
}

static struct client *client_of(struct sched_seq *seq)
{
    return (struct client *)(void *)seq;
}

/* What the engine does after a step: commit, and a token for each complete sequence. */
static void finish_step(struct bench *b, const struct sched_plan *plan)
{
    sched_commit(&b->sched);
    for (uint32_t i = 0; i < plan->n_items; i++) {
        struct client *c = client_of(plan->items[i].seq);
        if (!plan->items[i].complete)
            continue;
        c->n_sampled++;
        if (c->n_prompt + c->n_sampled == c->n_goal) {
            sched_remove(&b->sched, &c->seq);
            c->done = true;
        } else {
            sched_append(&b->sched, &c->seq);
        }
    }
}

static const struct sched_plan *run_step(struct bench *b)
{
    const struct sched_plan *plan = sched_plan(&b->sched);
    assert_true(sched_check(&b->sched));
    finish_step(b, plan);
    assert_true(sched_check(&b->sched));
    return plan;
}

/* ---- small cases ----------------------------------------------------------------------------- */

static void splits_a_prompt_into_chunks_of_the_budget(void **state)
{
    (void)state;
    static const uint32_t rows[] = {10, 10, 5, 1, 1};
    struct bench b;
    struct client c = {0};
    open_bench(&b, 8, 10, 4, 10);
    add(&b, &c, 25, 3);
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        const struct sched_plan *plan = sched_plan(&b.sched);
        assert_int_equal(plan->n_items, 1);
        assert_int_equal(plan->n_rows, rows[i]);
        assert_int_equal(plan->n_outputs, i >= 2);
        assert_int_equal(plan->items[0].complete, i >= 2);
        finish_step(&b, plan);
    }
    assert_true(c.done);
    assert_int_equal(sched_plan(&b.sched)->n_items, 0);
    close_bench(&b);
}

static void decodes_come_before_prefills_in_the_budget(void **state)
{
    (void)state;
    struct bench b;
    static struct client c[3];
    memset(c, 0, sizeof c);
    open_bench(&b, 32, 8, 4, 8);
    add(&b, &c[0], 2, 20);
    add(&b, &c[1], 3, 20);
    run_step(&b);
    add(&b, &c[2], 40, 2);
    const struct sched_plan *plan = run_step(&b);
    assert_int_equal(plan->n_items, 3);
    assert_int_equal(plan->items[0].n_rows, 1);
    assert_int_equal(plan->items[1].n_rows, 1);
    assert_int_equal(plan->items[2].n_rows, 6);
    assert_int_equal(plan->n_rows, 8);
    for (int i = 0; i < 3; i++)
        sched_remove(&b.sched, &c[i].seq);
    close_bench(&b);
}

static void rows_with_logits_are_limited_by_outputs(void **state)
{
    (void)state;
    struct bench b;
    static struct client c[2];
    memset(c, 0, sizeof c);
    open_bench(&b, 32, 64, 2, 4);
    c[0].seq.out_from = 5; /* logits from the sixth row on */
    add(&b, &c[0], 12, 2);
    add(&b, &c[1], 3, 2);
    const struct sched_plan *plan = run_step(&b);
    assert_int_equal(plan->n_items, 1); /* no outputs are left for the other's end */
    assert_int_equal(plan->items[0].n_rows, 9);
    assert_int_equal(plan->items[0].n_outputs, 4);
    plan = run_step(&b);
    assert_int_equal(plan->items[0].start, 9);
    assert_int_equal(plan->items[0].n_outputs, 3);
    assert_true(plan->items[0].complete);
    assert_int_equal(plan->n_items, 2);
    assert_int_equal(plan->n_outputs, 4);
    for (int i = 0; i < 2; i++)
        sched_remove(&b.sched, &c[i].seq);
    close_bench(&b);
}

static void preempts_the_youngest_and_resumes_it_first(void **state)
{
    (void)state;
    struct bench b;
    static struct client c[4];
    memset(c, 0, sizeof c);
    open_bench(&b, 4, 64, 3, 64);
    add(&b, &c[0], 15, 30); /* 44 computed tokens: 3 blocks */
    add(&b, &c[1], 15, 20);
    add(&b, &c[2], 15, 20);
    add(&b, &c[3], 1, 1);
    run_step(&b);
    run_step(&b); /* 16 computed each */
    assert_int_equal(b.pool.n_free, 1);
    const struct sched_plan *plan = run_step(&b); /* each needs a second block */
    assert_int_equal(b.sched.n_preemptions, 1);
    assert_int_equal(plan->n_items, 2);
    assert_int_equal(c[2].seq.state, SCHED_WAITING);
    assert_int_equal(c[2].seq.n_computed, 0);
    assert_int_equal(c[2].seq.n_tokens, 17);
    assert_ptr_equal(b.sched.waiting.first, &c[2].seq); /* before c[3], which came later */
    for (int i = 0; i < 100 && !c[2].done; i++)
        run_step(&b);
    assert_true(c[0].done && c[1].done && c[2].done);
    assert_int_equal(c[2].n_sampled, 20);
    for (int i = 0; i < 5; i++)
        run_step(&b);
    assert_true(c[3].done);
    close_bench(&b);
}

static void removes_from_any_state(void **state)
{
    (void)state;
    struct bench b;
    static struct client c[3];
    memset(c, 0, sizeof c);
    open_bench(&b, 8, 16, 2, 16);
    add(&b, &c[0], 4, 9);
    add(&b, &c[1], 60, 9);
    add(&b, &c[2], 4, 9);
    run_step(&b);
    assert_int_equal(c[0].seq.state, SCHED_DECODE);
    assert_int_equal(c[1].seq.state, SCHED_PREFILL);
    assert_int_equal(c[2].seq.state, SCHED_WAITING);
    for (int i = 0; i < 3; i++) {
        sched_remove(&b.sched, &c[i].seq);
        assert_int_equal(c[i].seq.state, SCHED_OUTSIDE);
        assert_true(sched_check(&b.sched));
    }
    close_bench(&b);
}

static void refuses_what_never_fits_with_the_numbers(void **state)
{
    (void)state;
    struct bench b;
    struct pl_error err = {{0}};
    open_bench(&b, 3, 16, 2, 16);
    assert_int_equal(sched_check_fit(&b.sched, 48, &err), PL_OK);
    assert_int_equal(sched_check_fit(&b.sched, 49, &err), PL_ELIMIT);
    assert_string_equal(err.msg, "sched: a sequence of 49 tokens takes 4 KV blocks of 16 tokens; "
                                 "there are 3 in all");
    close_bench(&b);
    struct sched sched = {0};
    const struct sched_options bad[] = {
        {.rows_max = 4, .seqs_max = 5, .outputs_max = 8},
        {.rows_max = 4, .seqs_max = 0, .outputs_max = 8},
        {.rows_max = 4, .seqs_max = 4, .outputs_max = 3},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++)
        assert_int_equal(sched_init(&sched, &bad[i], &err), PL_EINVAL);
    const struct sched_options good = {.rows_max = 4, .seqs_max = 4, .outputs_max = 4};
    fault_fail_at(1);
    assert_int_equal(sched_init(&sched, &good, &err), PL_ENOMEM);
    fault_fail_at(0);
    sched_deinit(&sched);
}

/* ---- properties ------------------------------------------------------------------------------ */

struct world {
    struct bench b;
    struct client *clients; /* [N_CLIENTS] in order of arrival */
    uint64_t seed;
    uint32_t rows, seqs, outputs;
};

static uint32_t dice(const struct world *w, uint64_t stream, uint64_t n, uint32_t sides)
{
    return (uint32_t)(rng_uniform(w->seed, stream, n) * (float)sides);
}

static void make_world(struct world *w, uint64_t seed)
{
    w->seed = seed;
    w->rows = 1 + dice(w, 0, 0, 40);
    w->seqs = 1 + dice(w, 0, 1, w->rows);
    w->outputs = w->seqs + dice(w, 0, 2, 20);
    uint32_t n_blocks = 8 + dice(w, 0, 3, 24);
    open_bench(&w->b, n_blocks, w->rows, w->seqs, w->outputs);
    w->clients = calloc(N_CLIENTS, sizeof *w->clients);
    assert_non_null(w->clients);
    uint32_t at = 0;
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        struct client *c = &w->clients[i];
        at += dice(w, 1, i, 12);
        c->arrives_at = at;
        c->leaves_at = dice(w, 2, i, 5) == 0 ? at + dice(w, 3, i, 60) : UINT32_MAX;
        c->n_prompt = 1 + dice(w, 4, i, 90);
        c->n_goal = c->n_prompt + 1 + dice(w, 5, i, 37); /* at most 127 computed: 8 blocks */
        c->seq.out_from = dice(w, 6, i, 4) == 0 ? 1 + dice(w, 7, i, c->n_prompt) : 0;
    }
}

static void come_and_go(struct world *w, uint32_t step)
{
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        struct client *c = &w->clients[i];
        if (c->arrives_at == step)
            add(&w->b, c, c->n_prompt, c->n_goal - c->n_prompt);
        if (c->leaves_at == step && c->seq.state != SCHED_OUTSIDE) {
            sched_remove(&w->b.sched, &c->seq);
            c->done = true;
        }
    }
}

/* Everything that a plan promises, looked at from outside. */
static void assert_plan(struct world *w, const struct sched_plan *plan, uint32_t step)
{
    uint32_t n_rows = 0;
    uint32_t n_outputs = 0;
    for (uint32_t i = 0; i < plan->n_items; i++) {
        const struct sched_item *item = &plan->items[i];
        struct client *c = client_of(item->seq);
        assert_int_equal(item->start, c->seq.n_computed);
        assert_true(item->n_rows > 0 && item->start + item->n_rows <= c->seq.n_tokens);
        assert_int_equal(item->complete, item->start + item->n_rows == c->seq.n_tokens);
        uint32_t expected = 0;
        for (uint32_t row = item->start; row < item->start + item->n_rows; row++)
            expected += row >= c->seq.out_from || row == c->seq.n_tokens - 1;
        assert_int_equal(item->n_outputs, expected);
        assert_true(kv_blocks_for(&w->b.pool, item->start + item->n_rows) <= c->seq.table.n_blocks);
        for (uint32_t j = 0; j < i; j++)
            assert_ptr_not_equal(plan->items[j].seq, item->seq);
        n_rows += item->n_rows;
        n_outputs += item->n_outputs;
        if (c->first_run == UINT32_MAX)
            c->first_run = step;
    }
    assert_int_equal(n_rows, plan->n_rows);
    assert_int_equal(n_outputs, plan->n_outputs);
    assert_true(n_rows <= w->rows && plan->n_items <= w->seqs && n_outputs <= w->outputs);
}

/* Running sequences arrived before waiting ones, and both lists are in order of arrival. */
static void assert_order(const struct sched *sched)
{
    const struct sched_seq *last = NULL;
    const struct sched_list *lists[] = {&sched->running, &sched->waiting};
    for (size_t i = 0; i < PL_ARRAY_LEN(lists); i++)
        for (const struct sched_seq *seq = lists[i]->first; seq != NULL; seq = seq->next) {
            assert_true(last == NULL || last < seq); /* clients lie in order of arrival */
            last = seq;
        }
}

static bool all_done(const struct world *w)
{
    for (uint32_t i = 0; i < N_CLIENTS; i++)
        if (!w->clients[i].done)
            return false;
    return true;
}

static void everyone_finishes_in_any_world(void **state)
{
    (void)state;
    uint64_t n_preemptions = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct world w;
        make_world(&w, seed);
        uint32_t step = 0;
        for (; !all_done(&w); step++) {
            assert_true(step < 200000);
            come_and_go(&w, step);
            const struct sched_plan *plan = sched_plan(&w.b.sched);
            assert_true(sched_check(&w.b.sched));
            assert_order(&w.b.sched);
            assert_plan(&w, plan, step);
            finish_step(&w.b, plan);
            assert_true(sched_check(&w.b.sched));
        }
        /* First come, first served: nobody ran before an earlier arrival that stayed. */
        uint32_t latest = 0;
        for (uint32_t i = 0; i < N_CLIENTS; i++) {
            const struct client *c = &w.clients[i];
            if (c->leaves_at != UINT32_MAX)
                continue;
            assert_int_equal(c->n_prompt + c->n_sampled, c->n_goal);
            assert_true(c->first_run >= latest);
            latest = c->first_run;
        }
        n_preemptions += w.b.sched.n_preemptions;
        close_bench(&w.b);
        free(w.clients);
    }
    assert_true(n_preemptions > 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_a_prompt_into_chunks_of_the_budget),
        cmocka_unit_test(decodes_come_before_prefills_in_the_budget),
        cmocka_unit_test(rows_with_logits_are_limited_by_outputs),
        cmocka_unit_test(preempts_the_youngest_and_resumes_it_first),
        cmocka_unit_test(removes_from_any_state),
        cmocka_unit_test(refuses_what_never_fits_with_the_numbers),
        cmocka_unit_test(everyone_finishes_in_any_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
