/*
 * pack_q4_1.c - packing of Q4_1 weights: chunks of 64 columns, two blocks of 32.
 *
 *   file block, 20 B:      0 d f16 | 2 m f16 | 4 nibbles [16]: low k, high k + 16   value = d * q + m
 *   chunk, 640 B:          0 d f16 [2 blocks][16 rows]
 *                         64 m f16 [2 blocks][16 rows]
 *                        128 lines [2 blocks][4]                           the file's nibbles
 */
#include "pack_bits.h"

enum { FILE_BLOCK = 20, MINS = 64, QUANTS = 128, BLOCK = 256 };

static void pack(uint8_t *dst, const uint8_t *src, size_t src_stride, size_t n_rows, size_t n)
{
    for (size_t b = 0; b < n / 32; b++) {
        for (size_t r = 0; r < n_rows; r++) {
            const uint8_t *s = src + r * src_stride + (size_t)b * FILE_BLOCK;
            memcpy(dst + 32 * b + 2 * r, s, 2);
            memcpy(dst + MINS + 32 * b + 2 * r, s + 2, 2);
            pack_lines(dst + QUANTS + b * BLOCK + 4 * r, s + 4, 16);
        }
    }
}

static void decode(struct linear_block *ret, const uint8_t *chunk, size_t block_i, size_t lane)
{
    const uint8_t *q = chunk + QUANTS + block_i * BLOCK + 4 * lane;
    ret->d = linear_f16_to_f32(linear_load_u16(chunk + 32 * block_i + 2 * lane));
    ret->dmin = linear_f16_to_f32(linear_load_u16(chunk + MINS + 32 * block_i + 2 * lane));
    for (size_t k = 0; k < 16; k++) {
        ret->w[k] = (int8_t)(pack_byte(q, k) & 15);
        ret->w[k + 16] = (int8_t)(pack_byte(q, k) >> 4);
    }
}

const struct linear_format linear_format_q4_1 = {
    .dtype = PL_DTYPE_Q4_1,
    .block_elems = 32,
    .chunk_elems = 64,
    .chunk_bytes = QUANTS + 2 * BLOCK,
    .has_min = true,
    .pack = pack,
    .decode = decode,
};
