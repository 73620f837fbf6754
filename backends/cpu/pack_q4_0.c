/*
 * pack_q4_0.c - packing of Q4_0 weights: chunks of 64 columns, two blocks of 32.
 *
 *   file block, 18 B:      0 d f16 | 2 nibbles [16]: low k, high k + 16     value = d * (q - 8)
 *   chunk, 576 B:          0 d f16 [2 blocks][16 rows]
 *                         64 bytes [2 blocks][4 steps][16 rows][4]          the file's bytes
 */
#include "linear_kernels.h"

enum { FILE_BLOCK = 18, BLOCK = 256, QUANTS = 64 };

static void pack(uint8_t *dst, const uint8_t *src, size_t src_stride, size_t n_rows, size_t n)
{
    for (size_t b = 0; b < n / 32; b++) {
        for (size_t r = 0; r < n_rows; r++) {
            const uint8_t *s = src + r * src_stride + (size_t)b * FILE_BLOCK;
            uint8_t *d = dst + QUANTS + b * BLOCK + 4 * r;
            memcpy(dst + 32 * b + 2 * r, s, 2);
            for (size_t g = 0; g < 4; g++)
                memcpy(d + 64 * g, s + 2 + 4 * g, 4);
        }
    }
}

static void decode(struct linear_block *ret, const uint8_t *chunk, size_t block_i, size_t lane)
{
    const uint8_t *q = chunk + QUANTS + block_i * BLOCK + 4 * lane;
    ret->d = linear_f16_to_f32(linear_load_u16(chunk + 32 * block_i + 2 * lane));
    for (size_t k = 0; k < 16; k++) {
        uint8_t byte = q[64 * (k / 4) + k % 4];
        ret->w[k] = (int8_t)((byte & 15) - 8);
        ret->w[k + 16] = (int8_t)((byte >> 4) - 8);
    }
}

const struct linear_format linear_format_q4_0 = {
    .dtype = PL_DTYPE_Q4_0,
    .block_elems = 32,
    .chunk_elems = 64,
    .chunk_bytes = QUANTS + 2 * BLOCK,
    .pack = pack,
    .decode = decode,
};
