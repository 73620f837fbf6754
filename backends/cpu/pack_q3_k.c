/*
 * pack_q3_k.c - packing of Q3_K weights: a chunk is one block of 256 columns.
 *
 *   file block, 110 B:     0 top bits [32]: bit j of byte k is column 32j + k's
 *                         32 crumbs [64]: 32 bytes per 128 columns, two bits t of byte l: column 32t + l
 *                         96 scales [12]: scale j has low nibble j/8 of byte j%8, and bits 2(j/4) and
 *                            up of byte 8 + j%4
 *                        108 d f16        value = d * (scale[k/16] - 32) * (q - 4), q = crumb | top << 2
 *   chunk, 1792 B:         0 d f16 [16 rows] | 32 unused
 *                         64 low nibbles of scales, two lines, and 192 high pairs of bits, one line:
 *                            byte 16i + r of quarter t is scale 4t + i of row r; quarters 0
 *                            to 3 are the low and high nibbles of the first line, then the second,
 *                            and pair of bits t of the third
 *                        256 [8 of 32 columns]: three lines
 * Byte i of line l holds q of column 8l + i in its low three bits, of column 8l + 4 + i in the next
 * three, and in its top two bits l of the three pairs that columns 24 + i (low three bits) and 28 + i
 * make. A kernel gets 8 steps out of the three lines by 17 instructions, and 64 scales out of theirs by
 * four; 1.8 % more than the file.
 */
#include "pack_bits.h"

enum { CRUMBS = 32, FILE_SCALES = 96, D = 108 };
enum { SCALES = 64, HIGHS = 192, QUANTS = 256, GROUP = 192, CHUNK = QUANTS + 8 * GROUP };

static int file_scale(const uint8_t *s, size_t j)
{
    return (s[j % 8] >> (4 * (j / 8)) & 15) | (s[8 + j % 4] >> (2 * (j / 4)) & 3) << 4;
}

/* Column k of a file block, 0..7. */
static int file_quant(const uint8_t *s, size_t k)
{
    int crumb = s[CRUMBS + k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3;
    return crumb | (s[k % 32] >> (k / 32) & 1) << 2;
}

static void pack_scale(uint8_t *dst, size_t j, size_t r, int scale)
{
    size_t t = j / 4, at = 16 * (j % 4) + r;
    uint8_t *low = dst + SCALES + PACK_LINE * (t / 2) + at, *high = dst + HIGHS + at;
    *low = (uint8_t)(*low | (scale & 15) << (4 * (t % 2)));
    *high = (uint8_t)(*high | (scale >> 4) << (2 * t));
}

static int unpack_scale(const uint8_t *chunk, size_t j, size_t r)
{
    size_t t = j / 4, at = 16 * (j % 4) + r;
    int low = chunk[SCALES + PACK_LINE * (t / 2) + at] >> (4 * (t % 2)) & 15;
    return low | (chunk[HIGHS + at] >> (2 * t) & 3) << 4;
}

/* 32 columns of one row, from column k. */
static void pack_group(uint8_t *lane, const uint8_t *s, size_t k)
{
    for (size_t i = 0; i < 4; i++) {
        int last = file_quant(s, k + 24 + i) | file_quant(s, k + 28 + i) << 3;
        for (size_t l = 0; l < 3; l++) {
            int pair = file_quant(s, k + 8 * l + i) | file_quant(s, k + 8 * l + 4 + i) << 3;
            lane[PACK_LINE * l + i] = (uint8_t)(pair | (last >> (2 * l) & 3) << 6);
        }
    }
}

static void pack(uint8_t *dst, const uint8_t *src, size_t src_stride, size_t n_rows, size_t n)
{
    (void)n;
    for (size_t r = 0; r < n_rows; r++) {
        const uint8_t *s = src + r * src_stride;
        memcpy(dst + 2 * r, s + D, 2);
        for (size_t j = 0; j < 16; j++)
            pack_scale(dst, j, r, file_scale(s + FILE_SCALES, j));
        for (size_t j = 0; j < 8; j++)
            pack_group(dst + QUANTS + GROUP * j + 4 * r, s, 32 * j);
    }
}

/* 32 columns of one row. */
static void decode_group(int8_t *w, const uint8_t *lane)
{
    for (size_t i = 0; i < 4; i++) {
        const uint8_t *q = lane + i;
        int last = q[0] >> 6 | q[PACK_LINE] >> 6 << 2 | q[2 * PACK_LINE] >> 6 << 4;
        for (size_t l = 0; l < 3; l++) {
            w[8 * l + i] = (int8_t)((q[PACK_LINE * l] & 7) - 4);
            w[8 * l + 4 + i] = (int8_t)((q[PACK_LINE * l] >> 3 & 7) - 4);
        }
        w[24 + i] = (int8_t)((last & 7) - 4);
        w[28 + i] = (int8_t)((last >> 3) - 4);
    }
}

static void decode(struct linear_block *ret, const uint8_t *chunk, size_t block_i, size_t lane)
{
    (void)block_i;
    ret->d = linear_f16_to_f32(linear_load_u16(chunk + 2 * lane));
    for (size_t j = 0; j < 16; j++)
        ret->scale[j] = (int16_t)(unpack_scale(chunk, j, lane) - 32);
    for (size_t j = 0; j < 8; j++)
        decode_group(ret->w + 32 * j, chunk + QUANTS + GROUP * j + 4 * lane);
}

const struct linear_format linear_format_q3_k = {
    .dtype = PL_DTYPE_Q3_K,
    .block_elems = 256,
    .chunk_elems = 256,
    .chunk_bytes = CHUNK,
    .pack = pack,
    .decode = decode,
};
