/*
 * sample/cut.h - the candidates of one draw, and cutting them down to the best without sorting.
 *
 * Candidates stay in order of ids through every cut, so that equal logits are settled by id and all sums
 * run in one order.
 *
 * Threads: pure functions on the caller's arrays.  Source: radix selection (Knuth, TAOCP 3, 5.2.5), by weight.
 */
#ifndef SAMPLE_CUT_H
#define SAMPLE_CUT_H

#include <stdint.h>

struct sample_cand {
    float logit; /* finite */
    int32_t id;
};

/* A radix pass looks at 11 bits of the logit's key. */
#define CUT_BUCKETS 2048

/* Largest logit; n > 0. */
float cut_best(const struct sample_cand *cands, uint32_t n);

/* Keeps the k best (1 <= k), lower ids first among equals; returns how many. mass [CUT_BUCKETS]: scratch. */
uint32_t cut_top_k(struct sample_cand *cands, uint32_t n, uint32_t k, double *mass);

/* Keeps the fewest best whose softmax mass reaches p of all, 0 < p < 1; at least one. */
uint32_t cut_top_p(struct sample_cand *cands, uint32_t n, float p, double *mass);

/* Keeps those with at least p times the best one's probability, 0 < p <= 1. */
uint32_t cut_min_p(struct sample_cand *cands, uint32_t n, float p);

#endif
