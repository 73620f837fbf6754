/*
 * pack_q6_k.c - packing of Q6_K weights: a chunk is one block of 256 columns.
 *
 *   file block, 210 B:     0 low nibbles [2][64] | 128 high pairs of bits [2][32] | 192 scale int8 [16]
 *                          208 d f16                          value = d * scale[k/16] * (q - 32)
 *                          half h, column l of 0..31, quarter t: column 128h + 32t + l has low nibble
 *                          t/2 of byte 64h + 32(t%2) + l and bits 2t, 2t+1 of high byte 32h + l
 *   chunk, 3392 B:         0 d f16 [16 rows] | 32 unused
 *                         64 scale int8 [16][16 rows]
 *                        320 bytes [2 halves][24 steps][16 rows][4]: 16 steps of low nibbles, 8 of
 *                            high bits, the file's bytes
 */
#include "linear_kernels.h"

enum { SCALES = 64, QUANTS = 320, HALF = 24 * 64, CHUNK = QUANTS + 2 * HALF };

static void pack(uint8_t *dst, const uint8_t *src, size_t src_stride, int n_rows, int n)
{
    (void)n;
    for (int r = 0; r < n_rows; r++) {
        const uint8_t *s = src + (size_t)r * src_stride;
        memcpy(dst + 2 * r, s + 208, 2);
        for (int j = 0; j < 16; j++)
            dst[SCALES + 16 * j + r] = s[192 + j];
        for (int h = 0; h < 2; h++) {
            uint8_t *d = dst + QUANTS + h * HALF + 4 * r;
            for (int g = 0; g < 16; g++)
                memcpy(d + 64 * g, s + 64 * h + 4 * g, 4);
            for (int g = 0; g < 8; g++)
                memcpy(d + 64 * (16 + g), s + 128 + 32 * h + 4 * g, 4);
        }
    }
}

static void decode(struct linear_block *ret, const uint8_t *chunk, int block_i, int lane)
{
    (void)block_i;
    ret->d = linear_f16_to_f32(linear_load_u16(chunk + 2 * lane));
    for (int j = 0; j < 16; j++)
        ret->scale[j] = (int8_t)chunk[SCALES + 16 * j + lane];
    for (int k = 0; k < 256; k++) {
        const uint8_t *q = chunk + QUANTS + k / 128 * HALF + 4 * lane + k % 4;
        int t = k / 32 % 4, g = k % 32 / 4;
        int low = q[64 * (8 * (t % 2) + g)] >> (4 * (t / 2)) & 15;
        int high = q[64 * (16 + g)] >> (2 * t) & 3;
        ret->w[k] = (int8_t)((low | high << 4) - 32);
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
