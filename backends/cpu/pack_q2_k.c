/*
 * pack_q2_k.c - packing of Q2_K weights: a chunk is one block of 256 columns.
 *
 *   file block, 84 B:      0 scale | min << 4 [16] | 16 crumbs [64] | 80 d f16 | 82 dmin f16
 *                          value = d * scale[k/16] * q - dmin * min[k/16]
 *                          crumbs: 32 bytes per 128 columns, two bits t of byte l: column 32t + l
 *   chunk, 1344 B:         0 d f16 [16 rows] | 32 dmin f16 [16 rows]
 *                         64 scale | min << 4 u8 [16][16 rows]
 *                        320 lines [16 runs of 16 columns]: crumb g of byte i: column 4g + i
 */
#include "pack_bits.h"

enum { DMIN = 32, SCALES = 64, QUANTS = 320, CHUNK = QUANTS + 16 * 64 };

/* Column k of a file block. */
static int file_crumb(const uint8_t *q, size_t k)
{
    return q[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3;
}

static void pack(uint8_t *dst, const uint8_t *src, size_t src_stride, size_t n_rows, size_t n)
{
    (void)n;
    for (size_t r = 0; r < n_rows; r++) {
        const uint8_t *s = src + r * src_stride;
        memcpy(dst + 2 * r, s + 80, 2);
        memcpy(dst + DMIN + 2 * r, s + 82, 2);
        for (size_t j = 0; j < 16; j++) {
            dst[SCALES + 16 * j + r] = s[j];
            for (size_t i = 0; i < 4; i++) {
                int byte = 0;
                for (size_t g = 0; g < 4; g++)
                    byte |= file_crumb(s + 16, 16 * j + 4 * g + i) << (2 * g);
                dst[QUANTS + PACK_LINE * j + 4 * r + i] = (uint8_t)byte;
            }
        }
    }
}

static void decode(struct linear_block *ret, const uint8_t *chunk, size_t block_i, size_t lane)
{
    (void)block_i;
    ret->d = linear_f16_to_f32(linear_load_u16(chunk + 2 * lane));
    ret->dmin = linear_f16_to_f32(linear_load_u16(chunk + DMIN + 2 * lane));
    for (size_t j = 0; j < 16; j++) {
        uint8_t both = chunk[SCALES + 16 * j + lane];
        ret->scale[j] = (int16_t)(both & 15);
        ret->min[j] = (int16_t)(both >> 4);
        for (size_t k = 0; k < 16; k++)
            ret->w[16 * j + k] =
                (int8_t)(chunk[QUANTS + PACK_LINE * j + 4 * lane + k % 4] >> (2 * (k / 4)) & 3);
    }
}

const struct linear_format linear_format_q2_k = {
    .dtype = PL_DTYPE_Q2_K,
    .block_elems = 256,
    .chunk_elems = 256,
    .chunk_bytes = CHUNK,
    .has_min = true,
    .pack = pack,
    .decode = decode,
};
