/*
 * linear_avx2.c - the AVX2 level: its table, activation formats and finish.
 */
#include "linear_avx2.h"
#include "linear_body.h"

const struct linear_isa linear_isa_avx2 = {
    .level = LINEAR_AVX2,
    .finish = finish,
    .prepare = LINEAR_BODY_PREPARE,
    .kernels =
        {
            [LINEAR_TYPE_F32] = {linear_avx2_f32, LINEAR_ACT_F32, LINEAR_AVX2_ROWS, 1},
            [LINEAR_TYPE_F16] = {linear_avx2_f16, LINEAR_ACT_F32, LINEAR_AVX2_ROWS, 1},
            [LINEAR_TYPE_BF16] = {linear_avx2_bf16, LINEAR_ACT_F32, LINEAR_AVX2_ROWS, 1},
            [LINEAR_TYPE_Q8_0] = {linear_avx2_q8_0, LINEAR_ACT_Q8_32, LINEAR_AVX2_ROWS, 1},
            [LINEAR_TYPE_Q4_0] = {linear_avx2_q4_0, LINEAR_ACT_Q8_32, LINEAR_AVX2_ROWS, 1},
            [LINEAR_TYPE_Q4_K] = {linear_avx2_q4_k, LINEAR_ACT_Q8_256, LINEAR_AVX2_ROWS, 1},
            [LINEAR_TYPE_Q6_K] = {linear_avx2_q6_k, LINEAR_ACT_Q8_256, LINEAR_AVX2_ROWS, 1},
        },
};
