/*
 * pack_q5_k.c - packing of Q5_K weights: a chunk is one block of 256 columns.
 *
 *   file block, 176 B:     0 d f16 | 2 dmin f16 | 4 scales and minima [12], as in Q4_K
 *                          16 top bits [32]: bit j of byte k is column 32j + k's
 *                          48 nibbles [128]: 32 bytes per 64 columns, low k, high k + 32
 *                          value = d * scale[k/32] * q - dmin * min[k/32]
 *   chunk, 2880 B:         0 d f16 [16 rows] | 32 dmin f16 [16 rows]
 *                         64 scale u8 [8][16 rows] | 192 min u8 [4][16 rows][2]
 *                        320 [4 of 64 columns]: two plane lines (pack_bits.h), of 32 columns each,
 *                            and 8 lines of the file's nibbles
 * 2.3 % more than the file, all of it scales of one byte each.
 */
#include "pack_bits.h"

enum { TOPS = 16, NIBBLES = 48 };
enum { DMIN = 32, SCALES = 64, MINS = 192, QUANTS = 320, GROUP = 640, CHUNK = QUANTS + 4 * GROUP };

static void pack(uint8_t *dst, const uint8_t *src, size_t src_stride, size_t n_rows, size_t n)
{
    (void)n;
    for (size_t r = 0; r < n_rows; r++) {
        const uint8_t *s = src + r * src_stride;
        memcpy(dst + 2 * r, s, 2);
        memcpy(dst + DMIN + 2 * r, s + 2, 2);
        for (size_t j = 0; j < 8; j++)
            pack_scale_min(s + 4, j, dst + SCALES + 16 * j + r,
                           dst + MINS + 32 * (j / 2) + 2 * r + j % 2);
        for (size_t g = 0; g < 4; g++) {
            uint8_t *lane = dst + QUANTS + GROUP * g + 4 * r;
            pack_plane(lane, pack_gather_plane(s + TOPS, 2 * g));
            pack_plane(lane + PACK_LINE, pack_gather_plane(s + TOPS, 2 * g + 1));
            pack_lines(lane + 2 * PACK_LINE, s + NIBBLES + 32 * g, 32);
        }
    }
}

static void decode(struct linear_block *ret, const uint8_t *chunk, size_t block_i, size_t lane)
{
    (void)block_i;
    ret->d = linear_f16_to_f32(linear_load_u16(chunk + 2 * lane));
    ret->dmin = linear_f16_to_f32(linear_load_u16(chunk + DMIN + 2 * lane));
    for (size_t j = 0; j < 16; j++) {
        ret->scale[j] = chunk[SCALES + 16 * (j / 2) + lane];
        ret->min[j] = chunk[MINS + 32 * (j / 4) + 2 * lane + (j / 2) % 2];
    }
    for (size_t i = 0; i < 128; i++) {
        const uint8_t *group = chunk + QUANTS + GROUP * (i / 32) + 4 * lane;
        uint8_t byte = pack_byte(group + 2 * PACK_LINE, i % 32);
        int8_t *w = ret->w + i / 32 * 64 + i % 32;
        w[0] = (int8_t)((byte & 15) | pack_plane_bit(group, i % 32) << 4);
        w[32] = (int8_t)(byte >> 4 | pack_plane_bit(group + PACK_LINE, i % 32) << 4);
    }
}

const struct linear_format linear_format_q5_k = {
    .dtype = PL_DTYPE_Q5_K,
    .block_elems = 256,
    .chunk_elems = 256,
    .chunk_bytes = CHUNK,
    .has_min = true,
    .pack = pack,
    .decode = decode,
};
