/* The tables of passes give the same bits, and rows may be sampled on several threads at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "passes.h"
#include "sample/sample.h"
#include "base/rng.h"
#include "base/banned.h"

#define N_MAX 5000

static float values[N_MAX];

static void fill(uint32_t n, uint32_t row)
{
    for (uint32_t i = 0; i < n; i++) {
        float u = rng_uniform(8, row, i);
        values[i] = u < 0.1f ? -INFINITY : 40 * u - 20;
    }
    values[n / 2] = 3;
}

static uint32_t list_tables(const struct passes *list[3])
{
    uint32_t n = 0;
    list[n++] = &passes_baseline;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        list[n++] = &passes_avx2;
    if (passes_get() == &passes_avx512)
        list[n++] = &passes_avx512;
#endif
    return n;
}

struct results {
    uint32_t bad, n_blocks, n_kept, n_kept_in_place;
    float best, bests[N_MAX];
    double exp_sum, exps, chunks[N_MAX / PASS_CHUNK + 1];
    float weights[N_MAX], kept[N_MAX], scaled[N_MAX];
    int32_t ids[N_MAX];
    struct pass_entropy entropy;
    struct pass_moments moments;
};

static void run(const struct passes *pass, uint32_t n, struct results *r)
{
    memset(r, 0, sizeof *r);
    r->bad = pass->count_bad(values, n);
    r->best = pass->best(values, n);
    r->n_blocks = pass->block_bests(values, n, r->bests);
    r->exp_sum = pass->exp_sum(values, n, r->best, 0.7f);
    r->exps = pass->exps(values, n, r->best, 0.7f, r->weights, r->chunks);
    r->entropy = pass->entropy(values, n, r->best, 0.7f);
    r->moments = pass->moments(values, n, 0.25);
    r->n_kept = pass->keep(values, NULL, n, -FLT_MAX, r->kept, r->ids);
    r->n_kept_in_place = pass->keep(r->kept, r->ids, r->n_kept, 5, r->kept, r->ids);
    memcpy(r->scaled, values, n * sizeof *values);
    pass->multiply(r->scaled, n, 1.1f);
}

static void all_tables_give_the_same_bits(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 15, 16, 17, 63, 64, 65, 127, 1023, 1024, 1025, 4999, N_MAX};
    static struct results expected, got;
    const struct passes *list[3];
    uint32_t n_tables = list_tables(list);
    for (size_t i = 0; i < PL_ARRAY_LEN(sizes); i++) {
        fill(sizes[i], (uint32_t)i);
        run(list[0], sizes[i], &expected);
        for (uint32_t t = 1; t < n_tables; t++) {
            run(list[t], sizes[i], &got);
            assert_memory_equal(&got, &expected, sizeof got);
        }
    }
    print_message("%u tables\n", n_tables);
}

static void sums_agree_with_doubles(void **state)
{
    (void)state;
    static struct results r;
    fill(N_MAX, 3);
    run(passes_get(), N_MAX, &r);
    double total = 0;
    double surprise = 0;
    double n = 0;
    double sum = 0;
    for (uint32_t i = 0; i < N_MAX; i++) {
        if (isinf(values[i]))
            continue;
        double d = ((double)values[i] - (double)r.best) * (double)0.7f;
        total += exp(d);
        surprise -= exp(d) * d;
        sum += (double)values[i];
        n++;
    }
    assert_true(fabs(r.exp_sum / total - 1) < 1e-6 && fabs(r.exps / total - 1) < 1e-6);
    assert_true(fabs(r.entropy.weight / total - 1) < 1e-6);
    assert_true(fabs(r.entropy.surprise / surprise - 1) < 1e-5);
    assert_true(r.entropy.n == n && r.moments.n == n && r.n_kept == n);
    assert_true(fabs(r.moments.sum - sum) < 1e-6 * fabs(sum));
    assert_int_equal(r.bad, N_MAX - (uint32_t)n);
}

/* ---- threads --------------------------------------------------------------------------------- */

#define N_THREADS 4
#define N_ROWS    200
#define V         2000

static float rows[8][V];
static int32_t results[N_THREADS][N_ROWS];

static void *sample_rows(void *user)
{
    int32_t *ids = user;
    static const int32_t history_ids[N_ROWS];
    struct sample_scratch *s = NULL;
    if (sample_scratch_new(V, &s, NULL) != PL_OK)
        return NULL;
    for (uint32_t i = 0; i < N_ROWS; i++) {
        struct sample_state memory;
        struct sample_params p = {.temperature = 1, .seed = i, .state = &memory};
        const struct sample_history h = {.ids = history_ids, .n = i};
        p.top_k = i % 3 == 0 ? 40 : 0;
        p.top_p = i % 2 == 0 ? 0.9f : 0;
        p.mirostat = i % 5 == 4 ? 2 : 0;
        p.mirostat_tau = 3;
        p.typical_p = i % 7 == 0 ? 0.8f : 0;
        sample_state_init(&memory, &p);
        if (sample_token(s, rows[i % 8], &p, &h, &ids[i], NULL) != PL_OK)
            ids[i] = -1;
    }
    sample_scratch_free(s);
    return user;
}

static void threads_with_their_own_scratch_agree(void **state)
{
    (void)state;
    pthread_t threads[N_THREADS];
    for (uint32_t r = 0; r < 8; r++)
        for (uint32_t i = 0; i < V; i++)
            rows[r][i] = 12 * rng_uniform(4, r, i);
    for (uint32_t t = 0; t < N_THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, sample_rows, results[t]), 0);
    for (uint32_t t = 0; t < N_THREADS; t++) {
        void *done = NULL;
        assert_int_equal(pthread_join(threads[t], &done), 0);
        assert_ptr_equal(done, results[t]);
    }
    for (uint32_t t = 1; t < N_THREADS; t++)
        assert_memory_equal(results[t], results[0], sizeof results[0]);
    assert_true(results[0][0] >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_tables_give_the_same_bits),
        cmocka_unit_test(sums_agree_with_doubles),
        cmocka_unit_test(threads_with_their_own_scratch_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
