/*
 * pack_q5.c - packing of Q5_0 and Q5_1 weights: chunks of 64 columns, two blocks of 32.
 *
 *   file block, Q5_0 22 B: 0 d f16 | 2 top bits u32: bit k of column k | 6 nibbles [16]: low k, high k + 16
 *               Q5_1 24 B: 0 d f16 | 2 m f16 | 4 top bits u32 | 8 nibbles [16]
 *                          value = d * (q - 16);  Q5_1: d * q + m
 *   chunk, Q5_0 704 B:     0 d f16 [2 blocks][16 rows]
 *                         64 [2 blocks]: a plane line (pack_bits.h), 4 lines of the file's nibbles
 *          Q5_1 768 B:     0 d f16 [2 blocks][16 rows] | 64 m f16 [2 blocks][16 rows]
 *                        128 as in Q5_0
 */
#include "pack_bits.h"

enum { BLOCK = 320, QUANTS_0 = 64, QUANTS_1 = 128, MINS = 64 };

/* s: the block's top bits, then its nibbles. */
static void pack_block(uint8_t *lane, const uint8_t *s)
{
    pack_plane(lane, linear_load_u32(s));
    pack_lines(lane + PACK_LINE, s + 4, 16);
}

static void decode_block(struct linear_block *ret, const uint8_t *lane, int offset)
{
    for (size_t k = 0; k < 32; k++) {
        uint8_t byte = pack_byte(lane + PACK_LINE, k % 16);
        int nibble = k < 16 ? byte & 15 : byte >> 4;
        ret->w[k] = (int8_t)((nibble | pack_plane_bit(lane, k) << 4) - offset);
    }
}

static void pack_0(uint8_t *dst, const uint8_t *src, size_t src_stride, size_t n_rows, size_t n)
{
    for (size_t b = 0; b < n / 32; b++) {
        for (size_t r = 0; r < n_rows; r++) {
            const uint8_t *s = src + r * src_stride + 22 * b;
            memcpy(dst + 32 * b + 2 * r, s, 2);
            pack_block(dst + QUANTS_0 + b * BLOCK + 4 * r, s + 2);
        }
    }
}

static void decode_0(struct linear_block *ret, const uint8_t *chunk, size_t block_i, size_t lane)
{
    ret->d = linear_f16_to_f32(linear_load_u16(chunk + 32 * block_i + 2 * lane));
    decode_block(ret, chunk + QUANTS_0 + block_i * BLOCK + 4 * lane, 16);
}

static void pack_1(uint8_t *dst, const uint8_t *src, size_t src_stride, size_t n_rows, size_t n)
{
    for (size_t b = 0; b < n / 32; b++) {
        for (size_t r = 0; r < n_rows; r++) {
            const uint8_t *s = src + r * src_stride + 24 * b;
            memcpy(dst + 32 * b + 2 * r, s, 2);
            memcpy(dst + MINS + 32 * b + 2 * r, s + 2, 2);
            pack_block(dst + QUANTS_1 + b * BLOCK + 4 * r, s + 4);
        }
    }
}

static void decode_1(struct linear_block *ret, const uint8_t *chunk, size_t block_i, size_t lane)
{
    ret->d = linear_f16_to_f32(linear_load_u16(chunk + 32 * block_i + 2 * lane));
    ret->dmin = linear_f16_to_f32(linear_load_u16(chunk + MINS + 32 * block_i + 2 * lane));
    decode_block(ret, chunk + QUANTS_1 + block_i * BLOCK + 4 * lane, 0);
}

const struct linear_format linear_format_q5_0 = {
    .dtype = PL_DTYPE_Q5_0,
    .block_elems = 32,
    .chunk_elems = 64,
    .chunk_bytes = QUANTS_0 + 2 * BLOCK,
    .pack = pack_0,
    .decode = decode_0,
};

const struct linear_format linear_format_q5_1 = {
    .dtype = PL_DTYPE_Q5_1,
    .block_elems = 32,
    .chunk_elems = 64,
    .chunk_bytes = QUANTS_1 + 2 * BLOCK,
    .has_min = true,
    .pack = pack_1,
    .decode = decode_1,
};
