/*
 * linear_case.h - random weights, activations and references for the tests of backends/cpu/linear.h.
 *
 * The oracle for block formats is backends/cpu/dequant.c, written apart from the packers. Everything is
 * made from a seed; memory is aligned and ends in sentinels, checked by case_free.
 */
#ifndef LINEAR_CASE_H
#define LINEAR_CASE_H

#include "linear.h"

struct case_type {
    uint32_t dtype;
    uint32_t exponent; /* of random f16 scales, 2^(exponent - 15) at most; of MXFP4's: - 127 */
    const char *name;
    double nmse_max; /* against unrounded activations */
    int scale_at[2]; /* offsets of f16 scales in a block; -1: none */
};

extern const struct case_type case_types[];
extern const int case_n_types;

/* A weight in file order and packed. */
struct case_weight {
    const struct case_type *type;
    int64_t rows, cols;
    size_t row_bytes;
    uint8_t *file;
    uint8_t *packed;
    size_t packed_bytes;
};

/* The levels that this machine runs; returns how many. */
int case_levels(enum linear_level ret[LINEAR_LEVELS]);
const char *case_level_name(enum linear_level level);

/* xorshift, uniform 32 bits; uniform in [-1, 1); about normal. */
uint32_t case_random(uint64_t *state);
float case_uniform(uint64_t *state);
float case_normal(uint64_t *state);

/* LINEAR_ALIGN aligned, filled with `fill`, followed by a sentinel that case_release checks. */
void *case_alloc(size_t bytes, int fill);
void case_release(void *memory);

void case_weight_init(struct case_weight *w, const struct case_type *type, int64_t rows,
                      int64_t cols, uint64_t seed);
void case_weight_deinit(struct case_weight *w);

/* Prepared activations of [n_rows, cols] for a type; case_release them. */
uint8_t *case_prepare(const struct linear_isa *isa, uint32_t dtype, const float *x, int64_t cols,
                      int64_t n_rows);

/* ref [n_rows, w->rows] in double over expanded weights; x as the format rounds it, or as it is. */
void case_reference(double *ref, const struct case_weight *w, const float *x, int64_t n_rows,
                    enum linear_act_format rounded_as);

bool case_same_bits(float a, float b);

/* sum (a - b)^2 / sum b^2 */
double case_nmse(const float *a, const double *b, int64_t n);

#endif
