/*
 * linear_avx2.c - the AVX2 level: its table, activation formats and finish.
 */
#include "linear_avx2.h"
#include "linear_body.h"

#define ROW(dtype, name, act)                                                                      \
    [LINEAR_TYPE_##dtype] = {linear_avx2_##name, act, LINEAR_AVX2_ROWS, 1},

const struct linear_isa linear_isa_avx2 = {
    .level = LINEAR_AVX2,
    .finish = finish,
    .prepare = LINEAR_BODY_PREPARE,
    .kernels = {LINEAR_AVX2_LIST(ROW)},
};
