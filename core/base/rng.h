/*
 * base/rng.h - a counter-based random generator: the n-th number of a seed, computed alone.
 *
 * Philox4x32-10: no state, so a row of a batch draws the same numbers whatever else runs and wherever
 * it runs (CPU or GPU). Not for secrets.
 *
 * Threads: pure functions.  Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

/* Four 32-bit words for counter (hi, lo) under the 64-bit key `seed`. */
void rng_philox(uint64_t seed, uint64_t counter_lo, uint64_t counter_hi, uint32_t ret[4]);

/* Uniform in [0, 1), 24 bits, number `n` of stream `stream` of `seed`. */
float rng_uniform(uint64_t seed, uint64_t stream, uint64_t n);

/* A 64-bit value that differs between calls and processes (getrandom): for seeds. */
uint64_t rng_entropy(void);

#endif
