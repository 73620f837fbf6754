/*
 * pack_q6_k.c - packing of Q6_K weights: a chunk is one block of 256 columns.
 *
 *   file block, 210 B:     0 low nibbles [2][64] | 128 high pairs of bits [2][32] | 192 scale int8 [16]
 *                          208 d f16                          value = d * scale[k/16] * (q - 32)
 *                          half h, column l of 0..31, quarter t: column 128h + 32t + l has low nibble
 *                          t/2 of byte 64h + 32(t%2) + l and bits 2t, 2t+1 of high byte 32h + l
 *   chunk, 3392 B:         0 d f16 [16 rows] | 32 unused
 *                         64 scale int8 [16][16 rows]
 *                        320 bytes [16 runs of 16 columns][3][16 rows][4]
 * The three bytes at place i of a run hold q of columns i, 4 + i and 8 + i in their low six bits, and
 * in their top two bits the pairs of bits of column 12 + i, lowest pair first: three loads make four
 * steps, and the fourth costs six instructions.
 */
#include "linear_kernels.h"

enum { SCALES = 64, QUANTS = 320, RUN = 192, CHUNK = QUANTS + 16 * RUN };

/* Column k of a file block, 0..63. */
static uint8_t file_quant(const uint8_t *s, size_t k)
{
    size_t h = k / 128, t = k / 32 % 4, l = k % 32;
    int low = s[64 * h + 32 * (t % 2) + l] >> (4 * (t / 2)) & 15;
    int high = s[128 + 32 * h + l] >> (2 * t) & 3;
    return (uint8_t)(low | high << 4);
}

static void pack(uint8_t *dst, const uint8_t *src, size_t src_stride, size_t n_rows, size_t n)
{
    (void)n;
    for (size_t r = 0; r < n_rows; r++) {
        const uint8_t *s = src + r * src_stride;
        memcpy(dst + 2 * r, s + 208, 2);
        for (size_t j = 0; j < 16; j++) {
            uint8_t *d = dst + QUANTS + RUN * j + 4 * r;
            dst[SCALES + 16 * j + r] = s[192 + j];
            for (size_t i = 0; i < 4; i++) {
                int last = file_quant(s, 16 * j + 12 + i);
                for (size_t g = 0; g < 3; g++)
                    d[64 * g + i] =
                        (uint8_t)(file_quant(s, 16 * j + 4 * g + i) | (last >> (2 * g) & 3) << 6);
            }
        }
    }
}

static void decode(struct linear_block *ret, const uint8_t *chunk, size_t block_i, size_t lane)
{
    (void)block_i;
    ret->d = linear_f16_to_f32(linear_load_u16(chunk + 2 * lane));
    for (size_t j = 0; j < 16; j++) {
        const uint8_t *q = chunk + QUANTS + RUN * j + 4 * lane;
        int8_t *w = ret->w + 16 * j;
        ret->scale[j] = (int16_t)((chunk[SCALES + 16 * j + lane] ^ 0x80) - 0x80);
        for (size_t i = 0; i < 4; i++) {
            int last = q[i] >> 6 | q[64 + i] >> 6 << 2 | q[128 + i] >> 6 << 4;
            for (size_t g = 0; g < 3; g++)
                w[4 * g + i] = (int8_t)((q[64 * g + i] & 63) - 32);
            w[12 + i] = (int8_t)(last - 32);
        }
    }
}

const struct linear_format linear_format_q6_k = {
    .dtype = PL_DTYPE_Q6_K,
    .block_elems = 256,
    .chunk_elems = 256,
    .chunk_bytes = CHUNK,
    .pack = pack,
    .decode = decode,
};
