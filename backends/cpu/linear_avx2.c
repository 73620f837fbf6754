/*
 * linear_avx2.c - the AVX2 level: its table, activation formats and finish.
 */
#include "linear_body.h"

const struct linear_isa linear_isa_avx2 = {
    .level = LINEAR_AVX2,
    .finish = finish,
    .prepare = LINEAR_BODY_PREPARE,
    .kernels = {{0}},
};
