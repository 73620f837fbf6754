/*
 * pack_mxfp4.c - packing of MXFP4 weights: chunks of 128 columns, four blocks of 32.
 *
 *   file block, 17 B:      0 exponent e8m0 | 1 nibbles [16] of E2M1: low k, high k + 16
 *                          value = 2^(e - 128) * book[q], the codebook being E2M1 doubled
 *   chunk, 1088 B:         0 exponent u8 [4 blocks][16 rows]
 *                         64 lines [4 blocks][4]                           the file's nibbles
 * Four blocks, because the exponents of fewer do not fill a cache line.
 */
#include "pack_bits.h"

enum { FILE_BLOCK = 17, QUANTS = 64, BLOCK = 256 };

static void pack(uint8_t *dst, const uint8_t *src, size_t src_stride, size_t n_rows, size_t n)
{
    for (size_t b = 0; b < n / 32; b++) {
        for (size_t r = 0; r < n_rows; r++) {
            const uint8_t *s = src + r * src_stride + (size_t)b * FILE_BLOCK;
            dst[16 * b + r] = s[0];
            pack_lines(dst + QUANTS + b * BLOCK + 4 * r, s + 1, 16);
        }
    }
}

static void decode(struct linear_block *ret, const uint8_t *chunk, size_t block_i, size_t lane)
{
    const uint8_t *q = chunk + QUANTS + block_i * BLOCK + 4 * lane;
    uint32_t e = chunk[16 * block_i + lane];
    ret->d = linear_f32_of_bits(e < 2 ? 0x00200000u << e : (e - 1) << 23);
    for (size_t k = 0; k < 16; k++) {
        ret->w[k] = pack_e2m1_values[pack_byte(q, k) & 15];
        ret->w[k + 16] = pack_e2m1_values[pack_byte(q, k) >> 4];
    }
}

const struct linear_format linear_format_mxfp4 = {
    .dtype = PL_DTYPE_MXFP4,
    .block_elems = 32,
    .chunk_elems = 128,
    .chunk_bytes = QUANTS + 4 * BLOCK,
    .pack = pack,
    .decode = decode,
};
