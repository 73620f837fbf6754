/*
 * linear_avx512.c - the AVX-512 VNNI level: its table, activation formats and finish.
 */
#include "linear_avx512.h"
#include "linear_body.h"

void linear_avx512_prepare_f32(uint8_t *dst, const float *x, size_t cols)
{
    prepare_f32(dst, x, cols);
}

void linear_avx512_prepare_bf16(uint8_t *dst, const float *x, size_t cols)
{
    prepare_bf16(dst, x, cols);
}

void linear_avx512_prepare_q8_32(uint8_t *dst, const float *x, size_t cols)
{
    prepare_q8_32(dst, x, cols);
}

void linear_avx512_prepare_q8_256(uint8_t *dst, const float *x, size_t cols)
{
    prepare_q8_256(dst, x, cols);
}

void linear_avx512_finish(const struct linear_task *task, float *y0, float *y1, size_t panel,
                          size_t n_panels, size_t row, size_t n_rows)
{
    finish(task, y0, y1, panel, n_panels, row, n_rows);
}

const struct linear_isa linear_isa_avx512 = {
    .level = LINEAR_AVX512,
    .finish = linear_avx512_finish,
    .prepare = LINEAR_AVX512_PREPARE,
    .kernels =
        {
            LINEAR_AVX512_LIST(LINEAR_AVX512_ROW)[LINEAR_TYPE_BF16] = {linear_avx512_bf16,
                                                                       LINEAR_ACT_F32, 12, 2},
        },
};
