/* Random worlds: whatever comes and goes, no plan breaks a promise, every row finds its past, everyone finishes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/banned.h"

#define N_CLIENTS 120
#define N_WORLDS  200
#define N_TENANTS 5

struct world {
    struct bench b;
    struct client *clients; /* [N_CLIENTS] in order of arrival */
    uint32_t *arrives_at;   /* steps; UINT32_MAX: a fork of the one before it */
    uint32_t *leaves_at;    /* cancelled then, or UINT32_MAX */
    uint64_t seed;
    uint32_t turns;
    uint64_t digest; /* of all plans */
};

/* What one test of worlds wants to see happen, summed over all of them. */
struct sums {
    uint64_t preemptions, recomputed, n_cached, n_yields, n_stalls, n_expired, n_copies, n_waits,
        n_ram_hits, n_disk_hits;
};

static uint32_t dice(const struct world *w, uint64_t stream, uint64_t n, uint32_t sides)
{
    return (uint32_t)(rng_uniform(w->seed, stream, n) * (float)sides);
}

/* ---- making ---------------------------------------------------------------------------------- */

static void make_client(struct world *w, uint32_t i)
{
    static const char *const names[N_TENANTS] = {"ada", "bob", "cem", "dov", "eve"};
    static const float weights[N_TENANTS] = {1, 2, 4, 0.5F, 1};
    uint32_t tenant = dice(w, 4, i, 1 + (uint32_t)(w->seed % N_TENANTS));
    const struct client_options options = {
        .tenant = names[tenant],
        .weight = weights[tenant],
        .seed = 1 + i + w->seed * 1000,
        .n_shared = dice(w, 5, i, 2) == 0 ? 16 * dice(w, 6, i, 5) : 0,
        .shared = dice(w, 7, i, 3),
        .n_prompt = 1 + dice(w, 8, i, 90),
        .n_new = 1 + dice(w, 9, i, 37), /* at most 127 computed: 8 blocks */
        .out_from = dice(w, 10, i, 5) == 0 ? 1 + dice(w, 11, i, 20) : 0,
        .priority = dice(w, 12, i, 4) == 0 ? (int32_t)dice(w, 13, i, 3) - 1 : 0,
    };
    struct client *c = &w->clients[i];
    client_open(&w->b, c, &options);
    c->n_draft = dice(w, 14, i, 3) == 0 ? 1 + dice(w, 15, i, 5) : 0;
    c->right_of8 = dice(w, 16, i, 9);
}

/* The clients behind i that are to fork from it have its prompt and no life of their own before. */
static void make_forks(struct world *w, uint32_t i, uint32_t n)
{
    struct client *from = &w->clients[i];
    for (uint32_t k = 1; k <= n; k++) {
        struct client *to = &w->clients[i + k];
        const struct client_options options = {
            .tenant = "ada",
            .seed = w->seed * 1000 + 500 + i + k,
            .n_prompt = from->n_prompt,
            .n_new = 1 + dice(w, 17, i + k, 37),
        };
        client_open(&w->b, to, &options);
        memcpy(to->ids, from->ids, from->n_prompt * sizeof *to->ids);
        sched_tenant_leave(w->b.sched, to->seq.tenant);
        to->seq.tenant = sched_tenant_enter(w->b.sched, "ada", 3, 1);
        w->arrives_at[i + k] = UINT32_MAX;
    }
    from->n_forks = n;
    from->forks = from + 1;
}

static void make_world(struct world *w, uint64_t seed, struct bench_options options)
{
    memset(w, 0, sizeof *w);
    w->seed = seed;
    w->clients = calloc(N_CLIENTS, sizeof *w->clients);
    w->arrives_at = calloc(N_CLIENTS, sizeof *w->arrives_at);
    w->leaves_at = calloc(N_CLIENTS, sizeof *w->leaves_at);
    assert_true(w->clients != NULL && w->arrives_at != NULL && w->leaves_at != NULL);
    options.n_blocks = 8 + dice(w, 0, 3, 40);
    options.rows = 1 + dice(w, 0, 0, 60);
    options.seqs = 1 + dice(w, 0, 1, PL_MIN(options.rows, 20));
    options.outputs = options.seqs + dice(w, 0, 2, 20);
    bench_open(&w->b, &options);
    uint32_t at = 0;
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        if (w->clients[i].ids != NULL)
            continue; /* a fork */
        at += dice(w, 1, i, 10);
        w->arrives_at[i] = at;
        w->leaves_at[i] = dice(w, 2, i, 5) == 0 ? at + dice(w, 3, i, 60) : UINT32_MAX;
        make_client(w, i);
        uint32_t n_forks = dice(w, 18, i, 6) == 0 ? 1 + dice(w, 19, i, 3) : 0;
        if (i + n_forks < N_CLIENTS && w->leaves_at[i] == UINT32_MAX)
            make_forks(w, i, n_forks);
    }
    for (uint32_t i = 0; i < N_CLIENTS; i++)
        if (w->arrives_at[i] == UINT32_MAX)
            w->leaves_at[i] = UINT32_MAX;
}

static void end_world(struct world *w)
{
    for (uint32_t i = 0; i < N_CLIENTS; i++)
        client_close(&w->b, &w->clients[i]);
    bench_close(&w->b);
    free(w->clients);
    free(w->arrives_at);
    free(w->leaves_at);
}

/* ---- living ---------------------------------------------------------------------------------- */

static void come_and_go(struct world *w, uint32_t step, struct sums *sums)
{
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        struct client *c = &w->clients[i];
        if (w->arrives_at[i] == step) {
            if (dice(w, 20, i, 4) == 0)
                c->seq.deadline_ns = w->b.now_ns + 1 + dice(w, 21, i, 400);
            client_add(&w->b, c);
        }
        if (w->leaves_at[i] == step && c->seq.state != SCHED_OUTSIDE) {
            sched_remove(w->b.sched, &c->seq);
            c->done = true;
        }
    }
    struct sched_seq *late;
    while ((late = sched_expired(w->b.sched, w->b.now_ns)) != NULL) {
        struct client *c = client_of(late);
        assert_true(late->state == SCHED_WAITING && late->deadline_ns < w->b.now_ns);
        assert_int_equal(c->n_sampled, 0);
        sched_remove(w->b.sched, late);
        c->done = true;
        sums->n_expired++;
        w->leaves_at[c - w->clients] = 0;
        for (uint32_t k = 0; k < c->n_forks; k++)
            c->forks[k].done = true;
    }
}

static bool all_done(const struct world *w)
{
    for (uint32_t i = 0; i < N_CLIENTS; i++)
        if (!w->clients[i].done)
            return false;
    return true;
}

static void digest_plan(struct world *w, const struct sched_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_items; i++) {
        const struct sched_item *item = &plan->items[i];
        uint64_t word = (uint64_t)(client_of(item->seq) - w->clients) << 40 |
                        (uint64_t)item->start << 20 | (uint64_t)item->n_rows << 4 | item->n_draft;
        w->digest = (w->digest ^ word) * UINT64_C(0x100000001b3);
    }
}

/* Turns the world until everyone is done. */
static void live(struct world *w, struct sums *sums)
{
    for (; !all_done(w); w->turns++) {
        struct sched_stats stats;
        assert_true(w->turns < 100000);
        come_and_go(w, w->turns, sums);
        const struct sched_plan *plan = bench_plan(&w->b);
        sched_stats(w->b.sched, &stats);
        assert_true(plan->n_items > 0 || stats.running + stats.waiting == 0);
        sums->n_stalls += stats.stalled;
        digest_plan(w, plan);
        bench_finish(&w->b, plan, 1 + dice(w, 22, w->turns, 9) * (int64_t)plan->n_rows);
        if (w->turns % 16 == 0)
            assert_true(kv_cache_check(w->b.cache));
    }
    struct sched_stats stats;
    sched_stats(w->b.sched, &stats);
    sums->preemptions += stats.preemptions;
    sums->recomputed += stats.recomputed_tokens;
    sums->n_copies += w->b.n_copies;
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        const struct client *c = &w->clients[i];
        sums->n_cached += c->seq.n_cached;
        sums->n_yields += c->seq.n_yields;
        if (c->first_step != UINT64_MAX && w->leaves_at[i] == UINT32_MAX)
            assert_int_equal(c->n_prompt + c->n_sampled, c->n_goal);
    }
}

static void live_in_worlds(uint64_t n, struct bench_options options, struct sums *sums)
{
    for (uint64_t seed = 0; seed < n; seed++) {
        struct world w;
        if (options.window > 0)
            options.window = 1 + (uint32_t)(seed * 7 % 60);
        make_world(&w, seed, options);
        live(&w, sums);
        sums->n_waits += w.b.n_waits;
        struct kv_cache_stats stats;
        kv_cache_stats(w.b.cache, &stats);
        sums->n_ram_hits += stats.ram_hit_tokens;
        sums->n_disk_hits += stats.disk_hit_tokens;
        end_world(&w);
    }
    print_message("# preemptions %lu, of them for fairness %lu; tokens recomputed %lu, found %lu, "
                  "in RAM %lu, on disk %lu; stalls %lu, waits %lu, expired %lu, copies %lu\n",
                  sums->preemptions, sums->n_yields, sums->recomputed, sums->n_cached,
                  sums->n_ram_hits, sums->n_disk_hits, sums->n_stalls, sums->n_waits,
                  sums->n_expired, sums->n_copies);
}

static void everyone_finishes_in_any_world(void **state)
{
    (void)state;
    struct sums sums = {0};
    live_in_worlds(N_WORLDS, (struct bench_options){0}, &sums);
    assert_true(sums.preemptions > 200 && sums.n_yields > 50 && sums.n_cached > 10000 &&
                sums.n_stalls > 50 && sums.n_expired > 50 && sums.n_copies > 50);
}

static void everyone_finishes_with_windows(void **state)
{
    (void)state;
    struct sums sums = {0};
    live_in_worlds(N_WORLDS, (struct bench_options){.window = 1}, &sums);
    assert_true(sums.preemptions > 200 && sums.n_cached > 1000);
}

static void remove_folder(const char *path)
{
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (const struct dirent *entry;
         (entry = readdir(dir)) != NULL;) /* NOLINT(concurrency-mt-unsafe): one thread */
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    (void)closedir(dir);
    assert_int_equal(rmdir(path), 0);
}

static void everyone_finishes_with_tiers(void **state)
{
    (void)state;
    char dir[] = "/tmp/t_sched_XXXXXX";
    struct sums sums = {0};
    assert_non_null(mkdtemp(dir));
    live_in_worlds(N_WORLDS / 2, (struct bench_options){.n_ram_blocks = 40}, &sums);
    assert_true(sums.n_ram_hits > 1000);
    live_in_worlds(N_WORLDS / 4,
                   (struct bench_options){
                       .n_ram_blocks = 40, .disk_dir = dir, .n_disk_blocks = 4000, .window = 1},
                   &sums);
    live_in_worlds(
        N_WORLDS / 4,
        (struct bench_options){.n_ram_blocks = 20, .disk_dir = dir, .n_disk_blocks = 4000}, &sums);
    assert_true(sums.n_disk_hits > 1000);
    remove_folder(dir);
}

static void equal_worlds_go_the_same_way(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct world w[2];
        struct sums sums = {0};
        for (int i = 0; i < 2; i++) {
            make_world(&w[i], seed, (struct bench_options){0});
            live(&w[i], &sums);
            end_world(&w[i]);
        }
        assert_int_equal(w[0].digest, w[1].digest);
        assert_int_equal(w[0].turns, w[1].turns);
    }
}

/* The limits that the engine may set. */
static void a_crowd_is_planned_too(void **state)
{
    (void)state;
    enum { SEATS = 4096, CROWD = 32768 + SEATS, TENANTS = 64 };
    const struct bench_options options = {
        .n_blocks = 3 * SEATS, .rows = 8192, .seqs = SEATS, .outputs = SEATS, .tenants = TENANTS};
    struct bench b;
    struct client *clients = calloc(CROWD, sizeof *clients);
    assert_non_null(clients);
    bench_open(&b, &options);
    b.fast = true;
    for (uint32_t i = 0; i < CROWD; i++) {
        const char name[3] = {(char)('a' + i % 8), (char)('a' + i / 8 % 8), 0};
        const struct client_options o = {.tenant = name,
                                         .seed = i,
                                         .n_prompt = 10 + i % 13,
                                         .n_new = 1 + i % 40,
                                         .priority = (int32_t)(i % 3),
                                         .deadline_ns = i % 5 == 0 ? 1000000 - i : 0};
        client_start(&b, &clients[i], &o);
    }
    int64_t worst_ns = 0;
    int64_t sum_ns = 0;
    while (true) {
        int64_t start_ns = clock_now_ns();
        const struct sched_plan *plan = sched_plan(b.sched, b.now_ns);
        int64_t took_ns = clock_now_ns() - start_ns;
        worst_ns = PL_MAX(worst_ns, took_ns);
        sum_ns += took_ns;
        if (plan->n_items == 0)
            break;
        bench_finish(&b, plan, 1000);
        assert_true(b.n_steps < 20000);
    }
    print_message("# %lu steps; a plan takes %.2f ms, at most %.2f\n", b.n_steps,
                  (double)sum_ns / (double)b.n_steps / 1e6, (double)worst_ns / 1e6);
    for (uint32_t i = 0; i < CROWD; i++) {
        assert_true(clients[i].done);
        client_close(&b, &clients[i]);
    }
    free(clients);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everyone_finishes_in_any_world),
        cmocka_unit_test(everyone_finishes_with_windows),
        cmocka_unit_test(everyone_finishes_with_tiers),
        cmocka_unit_test(equal_worlds_go_the_same_way),
        cmocka_unit_test(a_crowd_is_planned_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
