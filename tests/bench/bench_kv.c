/*
 * What the KV cache's bookkeeping costs: naming blocks, finding a prompt of 6,000 tokens, giving it back.
 *
 *     bench_kv [sequences held beside]       CPU time of this thread; the best of five rounds
 *
 * A tool, not a test. The device's copies are not part of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/blake2b.h"
#include "kv/cache.h"
#include "base/banned.h"

#define P        16
#define N_TOKENS 6000
#define N_BLOCKS 65536
#define ROUNDS   5
#define REPEATS  400
#define SEQS     256

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct kv_seq *make(struct kv_cache *cache, struct kv_hash scope)
{
    struct kv_seq *seq = malloc(sizeof *seq);
    void *storage = malloc(kv_seq_bytes(cache, N_TOKENS + P));
    if (seq == NULL || storage == NULL)
        abort();
    kv_seq_init(cache, seq, storage, N_TOKENS + P, scope);
    return seq;
}

static void compute(struct kv_cache *cache, struct kv_seq *seq, const int32_t *ids)
{
    uint32_t n_cached = 0;
    (void)kv_seq_begin(cache, seq, N_TOKENS, false, &n_cached);
    if (!kv_seq_grow(cache, seq, n_cached, N_TOKENS))
        abort();
    kv_seq_commit(cache, seq, ids, N_TOKENS);
}

struct best {
    double hash, begin, end, grow, commit; /* ns of one round of REPEATS */
};

static void keep(double *best, double value)
{
    if (*best == 0 || value < *best)
        *best = value;
}

static void measure(struct kv_cache *cache, struct kv_seq *seq, struct kv_hash scope,
                    const int32_t *ids, struct best *best)
{
    struct best sum = {0};
    for (int i = 0; i < REPEATS; i++) {
        uint32_t n_cached = 0;
        kv_seq_init(cache, seq, seq->hashes, N_TOKENS + P, scope);
        double t0 = now_ns();
        kv_seq_hash(cache, seq, ids, N_TOKENS);
        double t1 = now_ns();
        if (kv_seq_begin(cache, seq, N_TOKENS, true, &n_cached) != KV_BEGIN_OK ||
            n_cached != N_TOKENS)
            abort();
        double t2 = now_ns();
        if (!kv_seq_grow(cache, seq, N_TOKENS, N_TOKENS + 1))
            abort();
        double t3 = now_ns();
        kv_seq_commit(cache, seq, ids, N_TOKENS + 1);
        double t4 = now_ns();
        kv_seq_end(cache, seq);
        double t5 = now_ns();
        sum.hash += t1 - t0;
        sum.begin += t2 - t1;
        sum.grow += t3 - t2;
        sum.commit += t4 - t3;
        sum.end += t5 - t4;
    }
    keep(&best->hash, sum.hash);
    keep(&best->begin, sum.begin);
    keep(&best->grow, sum.grow);
    keep(&best->commit, sum.commit);
    keep(&best->end, sum.end);
}

static void bench_blake2b(void)
{
    static unsigned char data[1 << 20];
    double best = 0;
    for (int i = 0; i < 20; i++) {
        struct blake2b state;
        double from = now_ns();
        blake2b_init(&state, 32, "key", 3, NULL);
        blake2b_update(&state, data, sizeof data);
        blake2b_final(&state, data);
        keep(&best, now_ns() - from);
    }
    printf("BLAKE2b of 1 MiB: %.2f GB/s\n", sizeof data / best);
}

int main(int argc, char **argv)
{
    int n_beside = argc > 1 ? (int)(argv[1][0] - '0') * 10 : 0; /* a digit: tens of sequences */
    struct kv_cache_options o = {.block_tokens = P, .n_groups = 1, .seqs_max = SEQS};
    o.groups[0].n_blocks = N_BLOCKS;
    struct kv_cache *cache = NULL;
    struct pl_error err;
    if (kv_cache_open(&o, &cache, &err) != PL_OK)
        return 1;
    struct kv_hash scope = kv_scope(cache, "bench", 5, NULL, 0);
    static int32_t ids[N_TOKENS + P];
    struct kv_seq *beside[SEQS];
    for (int s = 0; s < n_beside; s++) { /* other prompts in the index, held */
        for (int i = 0; i < N_TOKENS + P; i++)
            ids[i] = i * 7 + s + 1;
        beside[s] = make(cache, scope);
        compute(cache, beside[s], ids);
    }
    for (int i = 0; i < N_TOKENS + P; i++)
        ids[i] = i;
    struct kv_seq *seq = make(cache, scope);
    compute(cache, seq, ids);
    kv_seq_end(cache, seq);
    struct best best = {0};
    for (int round = 0; round < ROUNDS; round++)
        measure(cache, seq, scope, ids, &best);
    const double n_blocks = (double)REPEATS * N_TOKENS / P;
    printf("%d sequences beside\n", n_beside);
    printf("hash    %8.1f ns a block, %6.2f ns a token, %.2f GB/s of ids\n", best.hash / n_blocks,
           best.hash / n_blocks / P, P * 4 / (best.hash / n_blocks));
    printf("begin   %8.1f ns a block (hit of 375 blocks: %.2f us)\n", best.begin / n_blocks,
           best.begin / REPEATS / 1e3);
    printf("grow    %8.1f ns\ncommit  %8.1f ns\n", best.grow / REPEATS, best.commit / REPEATS);
    printf("end     %8.1f ns a block\n", best.end / n_blocks);
    bench_blake2b();
    for (int s = 0; s < n_beside; s++)
        kv_seq_end(cache, beside[s]);
    kv_cache_close(cache);
    return 0;
}
