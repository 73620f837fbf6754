/*
 * sample/passes.h - the loops over a whole vocabulary: one table of functions, compiled for several CPUs.
 *
 * The same plain C (passes_body.h) is compiled for the baseline and, on x86-64, for AVX2 and AVX-512. Every sum
 * has a fixed shape (16 lanes, joined in order) and no multiplication is fused with an addition, so
 * that all tables give the same bits: which CPU samples never shows in the text.
 *
 * Values may be -INFINITY ("not a candidate") unless said; never NaN or +INFINITY.
 *
 * Threads: pure functions on the caller's arrays.  Source: ours.
 */
#ifndef SAMPLE_PASSES_H
#define SAMPLE_PASSES_H

#include <stddef.h>
#include <stdint.h>

#define PASS_BLOCK 64   /* values whose best is one entry of block_bests */
#define PASS_CHUNK 1024 /* weights whose sum is one entry of exps' chunks */

/* Sums over candidates with weight w = e^((x - best) * scale). */
struct pass_entropy {
    double weight;   /* sum of w */
    double surprise; /* sum of w * (best - x) * scale */
    double n;        /* candidates */
};

struct pass_moments {
    double sum, squares, n; /* of candidates; squares: of distances from `around` */
};

struct passes {
    /* How many values are infinite or NaN. */
    uint32_t (*count_bad)(const float *x, uint32_t n);
    /* Largest of n > 0 values. */
    float (*best)(const float *x, uint32_t n);
    /* bests[i]: largest of block i; the last block may be short. Returns the number of blocks. */
    uint32_t (*block_bests)(const float *x, uint32_t n, float *bests);
    /* Sum of w. */
    double (*exp_sum)(const float *x, uint32_t n, float best, float scale);
    /* weights[i] = w; chunks[j]: the sum of chunk j; returns the sum of all chunks, added in order. */
    double (*exps)(const float *x, uint32_t n, float best, float scale, float *weights,
                   double *chunks);
    struct pass_entropy (*entropy)(const float *x, uint32_t n, float best, float scale);
    struct pass_moments (*moments)(const float *x, uint32_t n, double around);
    /* Copies values >= least > -INFINITY, in order, with their ids (NULL: ids are indices); returns how many.
     * out may be x and out_ids ids. */
    uint32_t (*keep)(const float *x, const int32_t *ids, uint32_t n, float least, float *out,
                     int32_t *out_ids);
    /* x[i] *= scale */
    void (*multiply)(float *x, uint32_t n, float scale);
};

/* The best table for the running CPU. */
const struct passes *passes_get(void);

extern const struct passes passes_baseline;
#if defined(__x86_64__)
extern const struct passes passes_avx2, passes_avx512;
#endif

#endif
