/*
 * pack_plain.c - packing of F32, F16 and BF16 weights.
 *
 *   F32   chunk of 1 column:  16 x f32                      64 B
 *   F16   chunk of 2 columns: 16 x f16 of column 0, then 1  64 B
 *   BF16  chunk of 2 columns: 16 x (column 0, column 1)     64 B, pairs as vdpbf16ps takes them
 */
#include "linear_kernels.h"

static void pack_f32(uint8_t *dst, const uint8_t *src, size_t src_stride, size_t n_rows, size_t n)
{
    (void)n;
    for (size_t r = 0; r < n_rows; r++)
        memcpy(dst + 4 * r, src + r * src_stride, 4);
}

static void expand_f32(float *dst, const uint8_t *chunk, size_t lane, size_t n)
{
    (void)n;
    memcpy(dst, chunk + 4 * lane, 4);
}

static void pack_f16(uint8_t *dst, const uint8_t *src, size_t src_stride, size_t n_rows, size_t n)
{
    for (size_t r = 0; r < n_rows; r++)
        for (size_t k = 0; k < n; k++)
            memcpy(dst + 32 * k + 2 * r, src + r * src_stride + 2 * k, 2);
}

static void expand_f16(float *dst, const uint8_t *chunk, size_t lane, size_t n)
{
    for (size_t k = 0; k < n; k++)
        dst[k] = linear_f16_to_f32(linear_load_u16(chunk + 32 * k + 2 * lane));
}

static void pack_bf16(uint8_t *dst, const uint8_t *src, size_t src_stride, size_t n_rows, size_t n)
{
    for (size_t r = 0; r < n_rows; r++)
        memcpy(dst + 4 * r, src + r * src_stride, (size_t)n * 2);
}

static void expand_bf16(float *dst, const uint8_t *chunk, size_t lane, size_t n)
{
    for (size_t k = 0; k < n; k++)
        dst[k] = linear_bf16_to_f32(linear_load_u16(chunk + 4 * lane + 2 * k));
}

const struct linear_format linear_format_f32 = {
    .dtype = PL_DTYPE_F32,
    .block_elems = 1,
    .chunk_elems = 1,
    .chunk_bytes = 64,
    .pack = pack_f32,
    .expand = expand_f32,
};

const struct linear_format linear_format_f16 = {
    .dtype = PL_DTYPE_F16,
    .block_elems = 1,
    .chunk_elems = 2,
    .chunk_bytes = 64,
    .pack = pack_f16,
    .expand = expand_f16,
};

const struct linear_format linear_format_bf16 = {
    .dtype = PL_DTYPE_BF16,
    .block_elems = 1,
    .chunk_elems = 2,
    .chunk_bytes = 64,
    .pack = pack_bf16,
    .expand = expand_bf16,
};
