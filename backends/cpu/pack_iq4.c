/*
 * pack_iq4.c - packing of IQ4_NL and IQ4_XS weights: nibbles that stand for the 16 values of a codebook.
 *
 *   IQ4_NL file block, 18 B:   0 d f16 | 2 nibbles [16]: low k, high k + 16    value = d * book[q]
 *          chunk, 576 B:       0 d f16 [2 blocks][16 rows]
 *                             64 lines [2 blocks][4]                           the file's nibbles
 *   IQ4_XS file block, 136 B:  0 d f16 | 2 high pairs of bits of 8 scales u16 | 4 low nibbles of scales [4]
 *                              8 nibbles [128]: 16 bytes per 32 columns, low k, high k + 16
 *                              value = d * (scale[k/32] - 32) * book[q]
 *          chunk, 2240 B:      0 d f16 [16 rows] | 32 unused
 *                             64 scale - 32 int8 [8][16 rows]
 *                            192 lines [8 of 32 columns][4]                    the file's nibbles
 * IQ4_XS takes 2.9 % more than the file: scales of one byte each and padding.
 */
#include "pack_bits.h"

/* ---- IQ4_NL ---------------------------------------------------------------------------------- */

enum { NL_FILE_BLOCK = 18, NL_QUANTS = 64, NL_BLOCK = 256 };

static void decode_nibbles(int8_t *w, const uint8_t *lane)
{
    for (size_t k = 0; k < 16; k++) {
        w[k] = pack_iq4_values[pack_byte(lane, k) & 15];
        w[k + 16] = pack_iq4_values[pack_byte(lane, k) >> 4];
    }
}

static void pack_nl(uint8_t *dst, const uint8_t *src, size_t src_stride, size_t n_rows, size_t n)
{
    for (size_t b = 0; b < n / 32; b++) {
        for (size_t r = 0; r < n_rows; r++) {
            const uint8_t *s = src + r * src_stride + (size_t)b * NL_FILE_BLOCK;
            memcpy(dst + 32 * b + 2 * r, s, 2);
            pack_lines(dst + NL_QUANTS + b * NL_BLOCK + 4 * r, s + 2, 16);
        }
    }
}

static void decode_nl(struct linear_block *ret, const uint8_t *chunk, size_t block_i, size_t lane)
{
    ret->d = linear_f16_to_f32(linear_load_u16(chunk + 32 * block_i + 2 * lane));
    decode_nibbles(ret->w, chunk + NL_QUANTS + block_i * NL_BLOCK + 4 * lane);
}

const struct linear_format linear_format_iq4_nl = {
    .dtype = PL_DTYPE_IQ4_NL,
    .block_elems = 32,
    .chunk_elems = 64,
    .chunk_bytes = NL_QUANTS + 2 * NL_BLOCK,
    .pack = pack_nl,
    .decode = decode_nl,
};

/* ---- IQ4_XS ---------------------------------------------------------------------------------- */

enum { XS_SCALES = 64, XS_QUANTS = 192, XS_RUN = 256, XS_CHUNK = XS_QUANTS + 8 * XS_RUN };

static int file_scale(const uint8_t *s, size_t j)
{
    int low = s[4 + j / 2] >> (4 * (j % 2)) & 15;
    return low | (linear_load_u16(s + 2) >> (2 * j) & 3) << 4;
}

static void pack_xs(uint8_t *dst, const uint8_t *src, size_t src_stride, size_t n_rows, size_t n)
{
    (void)n;
    for (size_t r = 0; r < n_rows; r++) {
        const uint8_t *s = src + r * src_stride;
        memcpy(dst + 2 * r, s, 2);
        for (size_t j = 0; j < 8; j++) {
            dst[XS_SCALES + 16 * j + r] = (uint8_t)(file_scale(s, j) - 32);
            pack_lines(dst + XS_QUANTS + XS_RUN * j + 4 * r, s + 8 + 16 * j, 16);
        }
    }
}

static void decode_xs(struct linear_block *ret, const uint8_t *chunk, size_t block_i, size_t lane)
{
    (void)block_i;
    ret->d = linear_f16_to_f32(linear_load_u16(chunk + 2 * lane));
    for (size_t j = 0; j < 16; j++) {
        uint8_t scale = chunk[XS_SCALES + 16 * (j / 2) + lane];
        ret->scale[j] = (int16_t)((scale ^ 0x80) - 0x80);
    }
    for (size_t j = 0; j < 8; j++)
        decode_nibbles(ret->w + 32 * j, chunk + XS_QUANTS + XS_RUN * j + 4 * lane);
}

const struct linear_format linear_format_iq4_xs = {
    .dtype = PL_DTYPE_IQ4_XS,
    .block_elems = 256,
    .chunk_elems = 256,
    .chunk_bytes = XS_CHUNK,
    .pack = pack_xs,
    .decode = decode_xs,
};
