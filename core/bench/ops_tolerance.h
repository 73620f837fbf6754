/*
 * bench/ops_tolerance.h - how far a backend may be from the reference: one table.
 *
 * Ownership: constants.  Threads: any.  Source: ours; the reasons stand beside the rows in ops_tolerance.c.
 */
#ifndef BENCH_OPS_TOLERANCE_H
#define BENCH_OPS_TOLERANCE_H

#include <polder/op.h>

struct ops_tolerance {
    double nmse; /* sum((a-b)^2) / sum(b^2) over an output */
    double max;  /* largest |a-b|, in units of the output's root mean square */
};

/* dtype: of the weight, or of the KV for QKV_POST and ATTN. */
struct ops_tolerance ops_tolerance_of(uint32_t opcode, uint32_t dtype);

struct ops_distance {
    double nmse, max;
    size_t worst_i;  /* where the largest difference is */
    bool not_finite; /* a NaN or infinity that the reference does not have */
};

/* Distance of got from want. */
struct ops_distance ops_compare(const float *got, const float *want, size_t n);

#endif
