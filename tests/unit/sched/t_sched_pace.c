/* Chunks by measured time: a long prompt among decodes, on machines of several kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "city.h"
#include "base/rng.h"
#include "base/banned.h"

#define N_DECODERS 31
#define N_STEPS    4000

/* A machine that computes and reads at the same time: the longer of both counts. */
struct profile {
    const char *name;
    struct machine machine;
    double free_rows; /* hidden behind reading the weights */
    double jitter;    /* of one step in 200, times */
};

static const struct profile profiles[] = {
    {.name = "straight line", .machine = {6e6, 20e3, 20, 60e3, 1, 0, 0}},
    {.name = "straight line, noise", .machine = {6e6, 20e3, 20, 60e3, 1, 0.05, 0}, .jitter = 1.6},
    {.name = "rows hidden", .machine = {6e6, 20e3, 20, 60e3, 1, 0.03, 0}, .free_rows = 150},
    {.name = "slow core", .machine = {20e6, 3e6, 500, 2e6, 200, 0.05, 0}, .jitter = 1.5},
    {.name = "reading rules", .machine = {1e6, 1e3, 400, 10e3, 30, 0.02, 0}},
    {.name = "rows rule", .machine = {1e5, 1e6, 10, 9e5, 20, 0.05, 0}},
};

static int64_t step_ns(const struct profile *profile, const struct sched_plan *plan, uint64_t n)
{
    double ns = (double)machine_ns(&profile->machine, plan, 5, n);
    uint32_t rows = plan->n_rows - plan->n_decode_rows;
    ns -= PL_MIN(rows, profile->free_rows) * profile->machine.prefill_row;
    if (profile->jitter > 0 && rng_uniform(6, 0, n) < 0.005F)
        ns *= profile->jitter;
    return (int64_t)ns;
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static int64_t quantile(int64_t *ns, uint32_t n, double q)
{
    assert_true(n > 0);
    qsort(ns, n, sizeof *ns, compare);
    return ns[(uint32_t)(q * (n - 1))];
}

struct trial {
    struct bench b;
    struct client clients[N_DECODERS], *longs;
    int64_t ns[N_STEPS];
    uint32_t n;
};

static void open_trial(struct trial *t, int64_t target_ns)
{
    const struct bench_options options = {
        .n_blocks = 16384, .rows = 2048, .seqs = 32, .outputs = 64, .step_target_ns = target_ns};
    memset(t, 0, sizeof *t);
    bench_open(&t->b, &options);
    t->b.fast = true;
    for (uint32_t i = 0; i < N_DECODERS; i++) {
        const struct client_options chat = {.seed = i, .n_prompt = 50 + 20 * i, .n_new = 3000};
        client_start(&t->b, &t->clients[i], &chat);
    }
}

static void close_trial(struct trial *t)
{
    for (uint32_t i = 0; i < N_DECODERS; i++)
        client_close(&t->b, &t->clients[i]);
    bench_close(&t->b);
}

static uint32_t turn(struct trial *t, const struct profile *profile)
{
    const struct sched_plan *plan = bench_plan(&t->b);
    uint32_t n_chunk = plan->n_rows - plan->n_decode_rows;
    int64_t ns = step_ns(profile, plan, t->b.n_steps);
    bench_finish(&t->b, plan, ns);
    assert_true(t->n < N_STEPS);
    t->ns[t->n++] = ns;
    return n_chunk;
}

/* All decode; the last hundred steps' times stand in ns. */
static void warm_up(struct trial *t, const struct profile *profile)
{
    while (t->clients[N_DECODERS - 1].seq.state != SCHED_DECODE)
        turn(t, profile);
    t->n = 0;
    for (int k = 0; k < 100; k++)
        turn(t, profile);
}

/* Steps of the long prompt: how many, in *ret_p99 how long. */
static uint32_t run_long(struct trial *t, const struct profile *profile, uint64_t seed,
                         int64_t *ret_p99)
{
    struct client prompt;
    const struct client_options options = {.seed = 100 + seed, .n_prompt = 4096, .n_new = 1};
    client_start(&t->b, &prompt, &options);
    t->n = 0;
    while (!prompt.done) {
        uint32_t left = prompt.seq.n_tokens - prompt.seq.n_computed;
        uint32_t n_chunk = turn(t, profile);
        assert_true(n_chunk >= PL_MIN(16, left));
        assert_true(n_chunk < 64 || n_chunk == left || prompt.done ||
                    prompt.seq.n_computed % 16 == 0);
    }
    client_close(&t->b, &prompt);
    uint32_t n = t->n;
    *ret_p99 = quantile(t->ns, t->n, 0.99);
    return n;
}

static void a_long_prompt_at_most_doubles_the_time_between_tokens(void **state)
{
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(profiles); i++) {
        static struct trial t;
        open_trial(&t, 0);
        warm_up(&t, &profiles[i]);
        for (uint64_t k = 0; k < 3; k++) {
            /* Without the prompt: as many steps before it as behind it, for the contexts grow. */
            int64_t around[200];
            int64_t p99;
            memcpy(around, t.ns + t.n - 100, 100 * sizeof *around);
            uint32_t n = run_long(&t, &profiles[i], k, &p99);
            for (int s = 0; s < 100; s++)
                turn(&t, &profiles[i]);
            memcpy(around + 100, t.ns + t.n - 100, 100 * sizeof *around);
            int64_t p50 = quantile(around, 200, 0.5);
            double ratio = (double)p99 / (double)p50;
            print_message("# %s: p50 %.2f ms without, p99 %.2f ms with: %.2f; %u steps\n",
                          profiles[i].name, (double)p50 / (double)MS, (double)p99 / (double)MS,
                          ratio, n);
            assert_true(ratio <= 2);
        }
        close_trial(&t);
    }
}

/* Never a step without a chunk: what decodes alone take must be found out from mixed steps. */
static void a_stream_of_prompts_is_cut_as_well(void **state)
{
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(profiles); i++) {
        static struct trial t;
        static int64_t permille[N_STEPS];
        uint32_t n = 0;
        struct client prompts[2] = {0};
        open_trial(&t, 0);
        for (uint64_t step = 0; step < 2000; step++) {
            for (int k = 0; k < 2; k++) {
                if (prompts[k].ids != NULL && !prompts[k].done)
                    continue;
                client_close(&t.b, &prompts[k]);
                const struct client_options options = {.seed = 10 * step + (uint64_t)k,
                                                       .n_prompt = 1000 + 300 * (uint32_t)k,
                                                       .n_new = 1};
                client_start(&t.b, &prompts[k], &options);
            }
            const struct sched_plan *plan = bench_plan(&t.b);
            struct sched_plan plain = {.items = plan->items};
            while (plain.n_items < plan->n_items &&
                   plan->items[plain.n_items].seq->state == SCHED_DECODE)
                plain.n_items++;
            int64_t plain_ns = machine_ns(&profiles[i].machine, &plain, 5, t.b.n_steps);
            int64_t ns = step_ns(&profiles[i], plan, t.b.n_steps);
            if (step >= 400)
                permille[n++] = 1000 * ns / plain_ns;
            bench_finish(&t.b, plan, ns);
        }
        double p50 = (double)quantile(permille, n, 0.5) / 1000;
        double p99 = (double)quantile(permille, n, 0.99) / 1000;
        print_message("# %s: steps take %.2f times their decodes, p99 %.2f\n", profiles[i].name,
                      p50, p99);
        assert_true(p99 <= 2.1 && p50 > 1.3);
        for (int k = 0; k < 2; k++)
            client_close(&t.b, &prompts[k]);
        close_trial(&t);
    }
}

static void a_target_in_time_is_kept_or_missed_by_a_block_of_rows(void **state)
{
    (void)state;
    static const double targets_ms[] = {1, 20, 50};
    for (size_t i = 0; i < PL_ARRAY_LEN(targets_ms); i++) {
        static struct trial t;
        int64_t target_ns = (int64_t)(targets_ms[i] * 1e6);
        open_trial(&t, target_ns);
        warm_up(&t, &profiles[0]);
        int64_t p99;
        uint32_t n = run_long(&t, &profiles[0], 0, &p99);
        print_message("# target %.0f ms: p99 %.2f ms, %u steps\n", targets_ms[i],
                      (double)p99 / (double)MS, n);
        if (targets_ms[i] > 10)
            assert_true((double)p99 <= 1.02 * (double)target_ns &&
                        (double)p99 > 0.8 * (double)target_ns);
        else
            assert_int_equal(n, 4096 / 16);
        close_trial(&t);
    }
}

/* What ngram speculation goes by: whether one more row pays. */
static void the_cost_of_a_row_is_found_out_or_put_on_the_step(void **state)
{
    (void)state;
    static struct trial t;
    struct sched_stats stats;
    open_trial(&t, 0);
    warm_up(&t, &profiles[0]);
    for (int k = 0; k < 400; k++) { /* all steps alike */
        t.n = 0;
        turn(&t, &profiles[0]);
    }
    sched_stats(t.b.sched, &stats);
    assert_true(stats.step_decode_ns * N_DECODERS < 0.3 * stats.step_fixed_ns);
    assert_true(stats.step_fixed_ns > 5e6 && stats.step_fixed_ns < 7.5e6);
    for (uint32_t i = 0; i < N_DECODERS; i++)
        t.clients[i].right_of8 = 4;
    for (uint32_t k = 0; k < 200; k++) {
        t.n = 0;
        for (uint32_t i = 0; i < N_DECODERS; i++)
            t.clients[i].n_draft = (k + i) * (k + i) % 5 * (k % 3);
        turn(&t, &profiles[0]);
    }
    sched_stats(t.b.sched, &stats);
    print_message("# row %.1f us of 20, step %.2f ms\n", stats.step_decode_ns / 1e3,
                  stats.step_fixed_ns / 1e6);
    assert_true(stats.step_decode_ns > 16e3 && stats.step_decode_ns < 24e3);
    close_trial(&t);
}

static void without_decodes_or_times_the_whole_budget_is_used(void **state)
{
    (void)state;
    static struct trial t;
    open_trial(&t, 0);
    for (int k = 0; k < 60; k++)
        bench_step(&t.b); /* nobody says how long it took */
    struct client prompt;
    const struct client_options options = {.seed = 77, .n_prompt = 4096, .n_new = 1};
    client_start(&t.b, &prompt, &options);
    const struct sched_plan *plan = bench_step(&t.b);
    assert_true(plan->n_rows > 2048 - 16); /* but for a block's end */
    client_close(&t.b, &prompt);
    close_trial(&t);
    const struct bench_options bench = {.n_blocks = 512, .rows = 2048};
    bench_open(&t.b, &bench);
    client_start(&t.b, &prompt, &options);
    plan = bench_plan(&t.b);
    assert_int_equal(plan->n_rows, 2048);
    bench_finish(&t.b, plan, 50 * MS);
    assert_int_equal(bench_step(&t.b)->n_rows, 2048);
    client_close(&t.b, &prompt);
    bench_close(&t.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_prompt_at_most_doubles_the_time_between_tokens),
        cmocka_unit_test(a_stream_of_prompts_is_cut_as_well),
        cmocka_unit_test(a_target_in_time_is_kept_or_missed_by_a_block_of_rows),
        cmocka_unit_test(the_cost_of_a_row_is_found_out_or_put_on_the_step),
        cmocka_unit_test(without_decodes_or_times_the_whole_budget_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
