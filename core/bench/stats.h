/*
 * bench/stats.h - order statistics of small samples.
 *
 * Ownership: samples own their array until deinit.  Threads: one owner.
 * Errors: a sample that found no memory is counted in `lost`.  Limits: memory.  Source: ours; the p-quantile
 * is the value at rank ceil(p * n), a value that was measured, never one between two.
 */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <polder/base.h>

struct samples {
    double *values;
    size_t n, capacity;
    size_t lost;
};

void samples_deinit(struct samples *samples);
void samples_add(struct samples *samples, double value);

/* Sorts. p in [0, 1]; NAN without samples. */
double samples_quantile(struct samples *samples, double p);

/* The mean of the middle two for an even number. Sorts. */
double samples_median(struct samples *samples);

/* Sample standard deviation; 0 with fewer than two. */
double samples_deviation(const struct samples *samples);

#endif
