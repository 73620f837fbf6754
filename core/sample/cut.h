/*
 * sample/cut.h - the candidates of one draw, and cutting them down to the best without sorting.
 *
 * Candidates stay in order of ids through every cut, so that equal logits are settled by id and all sums
 * run in one order. Logits and ids lie in two arrays: most passes read logits only, in vectors.
 *
 * Threads: pure functions on the caller's arrays.  Source: radix selection (Knuth, TAOCP 3, 5.2.5), by weight.
 */
#ifndef SAMPLE_CUT_H
#define SAMPLE_CUT_H

#include <stdint.h>

/* A radix pass looks at 11 bits of the logit's key. */
#define CUT_BUCKETS 2048

struct sample_cands {
    float *logit; /* [n] finite */
    int32_t *id;  /* [n] increasing */
    uint32_t n;
};

/* Largest of n > 0 finite values. */
float cut_best(const float *logits, uint32_t n);

/* Sum of n values, in a fixed order. */
double cut_sum(const float *values, uint32_t n);

/* Keeps the k best (1 <= k), lower ids first among equals. mass [CUT_BUCKETS]: scratch. */
void cut_top_k(struct sample_cands *cands, uint32_t k, double *mass);

/* Keeps the fewest best whose softmax mass reaches p of all, 0 < p < 1; at least one. weights [n]: scratch. */
void cut_top_p(struct sample_cands *cands, float p, float *weights, double *mass);

/* Keeps those with at least p times the best one's probability, 0 < p <= 1. */
void cut_min_p(struct sample_cands *cands, float p);

#endif
