/*
 * cpu/fast_attn_q8_body.h - keys and values in Q8_0, once for all instruction sets; included by
 * fast_attn_body.h.
 *
 *   q . K:   q once per row as 16 bits with one scale; per block of 32 an exact 32-bit sum,
 *            then  s += sum * scale(position, block)
 *   p . V:   per tile and block of 32 the weights p * scale(position); bytes become floats
 *
 * 15 bits of the largest element of q leave an error of 2e-5 of it, far below what Q8_0 itself costs. A
 * block sums 32 products below 2^15 * 2^7: no overflow. Weights of positions that a row does not see are
 * zero, whatever their bytes and scales are.
 *
 * Threads: pure functions.  Source: ours; layout: kv.h.
 */
#ifndef CPU_FAST_ATTN_Q8_BODY_H
#define CPU_FAST_ATTN_Q8_BODY_H

#include "dequant.h"
#include "fast_body.h"

#define ATTN_BATCH_N 8 /* queries at a time whose sums fit 32 registers; 4 with fewer */
#define TILE_VECS    (KV_TILE / VF_N)
#define TILE_PAIRS   (KV_TILE / 2)
#define Q16_MAX      32767.0F
#define TINY         1e-30F /* a largest value below is taken as zero: its inverse must stay finite */

#define ALWAYS_INLINE static inline __attribute__((always_inline))

typedef int16_t vh __attribute__((vector_size(sizeof(vf) / 2))); /* VF_N of 16 bits */
typedef int8_t vb __attribute__((vector_size(sizeof(vf) / 4)));

/* Nearest even, |x| < 2^22. A NaN becomes any number: its scale must be NaN. */
static inline vi vf_round(vf x)
{
    const vf magic = vf_set1(12582912.0F);
    return (vi)(x + magic) - (vi)magic;
}

static inline vf vf_whole(vi x)
{
    return __builtin_convertvector(x, vf);
}

static inline vi vf_magnitude_bits(vf x)
{
    return (vi)((vu)x & 0x7fffffffU);
}

static inline vi vi_larger(vi a, vi b)
{
    vi mask = (vi)(a > b);
    return (a & mask) | (b & ~mask);
}

/* The largest of non-negative floats given as bits: a NaN is larger than all. */
static inline float largest_of_bits(vi bits)
{
    int32_t lane[VF_N];
    memcpy(lane, &bits, sizeof bits);
    int32_t max = lane[0];
    for (int i = 1; i < VF_N; i++)
        max = lane[i] > max ? lane[i] : max;
    return bits_to_float((uint32_t)max);
}

static void body_to_q8(int8_t *y, uint16_t *scales, const float *x, int64_t n)
{
    for (int64_t b = 0; b < n; b += KV_Q8_BLOCK) {
        vi bits = vf_magnitude_bits(vf_load(x + b));
        for (int64_t i = VF_N; i < KV_Q8_BLOCK; i += VF_N)
            bits = vi_larger(bits, vf_magnitude_bits(vf_load(x + b + i)));
        float scale = largest_of_bits(bits) / 127.0F;
        uint16_t half = scale <= 65504.0F ? float_to_half(scale) : KV_Q8_NAN;
        float d = half_to_float(half);
        vf inverse = vf_set1(d > 0.0F ? 1.0F / d : 0.0F); /* a NaN is not above 0 */
        scales[b / KV_Q8_BLOCK] = half;
        for (int64_t i = 0; i < KV_Q8_BLOCK; i += VF_N) {
            vi whole = vf_round(vf_clamp(vf_load(x + b + i) * inverse, -127.0F, 127.0F));
            vb bytes = __builtin_convertvector(whole, vb);
            memcpy(y + b + i, &bytes, sizeof bytes);
        }
    }
}

/* y = x / scale as 16 bits; the scale, NaN if x holds one (or an infinity). n is a multiple of 32. */
static inline float to_q16(int16_t *y, const float *x, int64_t n)
{
    vi bits = vf_magnitude_bits(vf_load(x));
    for (int64_t i = VF_N; i < n; i += VF_N)
        bits = vi_larger(bits, vf_magnitude_bits(vf_load(x + i)));
    float max = largest_of_bits(bits);
    float inverse = max > TINY && max < INFINITY ? Q16_MAX / max : 0.0F;
    for (int64_t i = 0; i < n; i += VF_N) {
        vh words = __builtin_convertvector(vf_round(vf_load(x + i) * vf_set1(inverse)), vh);
        memcpy(y + i, &words, sizeof words);
    }
    return max < INFINITY ? max / Q16_MAX : NAN;
}

static inline int32_t load_pair(const int16_t *p)
{
    int32_t pair;
    memcpy(&pair, p, sizeof pair);
    return pair;
}

/* whole[b] = q . K over one block of 32; nb is a constant after inlining. */
ALWAYS_INLINE void block_dots(vi (*whole)[TILE_VECS], const int16_t *const *q, const int8_t *bytes,
                              int64_t block, int nb)
{
    for (int b = 0; b < nb; b++)
        for (int c = 0; c < TILE_VECS; c++)
            whole[b][c] = (vi)vf_set1(0.0F);
    for (int64_t i = block; i < block + KV_Q8_BLOCK; i += 2) {
        vs key[TILE_VECS];
        for (int64_t c = 0; c < TILE_VECS; c++)
            key[c] = vs_load_bytes(bytes + i * KV_TILE + c * 2 * VF_N);
        for (int b = 0; b < nb; b++)
            for (int c = 0; c < TILE_VECS; c++)
                whole[b][c] = vi_dot(whole[b][c], key[c], load_pair(q[b] + i));
    }
}

/* s[b][0..16) = q . K for nb queries. */
ALWAYS_INLINE void scores_q8(float (*s)[KV_TILE], const int16_t *const *q, const float *q_scale,
                             const uint8_t *k, int64_t d, int nb)
{
    const int8_t *bytes = (const int8_t *)k;
    const uint16_t *scales = (const uint16_t *)(const void *)(k + d * KV_TILE);
    vf sum[ATTN_BATCH_N][TILE_VECS];
    for (int b = 0; b < nb; b++)
        for (int c = 0; c < TILE_VECS; c++)
            sum[b][c] = vf_set1(0.0F);
    for (int64_t block = 0; block < d; block += KV_Q8_BLOCK) {
        vi whole[ATTN_BATCH_N][TILE_VECS];
        block_dots(whole, q, bytes, block, nb);
        for (int c = 0; c < TILE_VECS; c++) {
            vf scale = vf_load_half(scales + block / KV_Q8_BLOCK * KV_TILE + c * VF_N);
            for (int b = 0; b < nb; b++)
                sum[b][c] = vf_fma(vf_whole(whole[b][c]), scale, sum[b][c]);
        }
    }
    for (int b = 0; b < nb; b++)
        for (int c = 0; c < TILE_VECS; c++)
            vf_store(&s[b][c * VF_N], sum[b][c] * vf_set1(q_scale[b]));
}

/* The weights of one block of V: p * scale, zero where p is. */
ALWAYS_INLINE void block_weights(float *w, const float *p, const uint16_t *scales)
{
    for (int c = 0; c < TILE_VECS; c++) {
        vf weight = vf_load(p + c * VF_N);
        vf x = weight * vf_load_half(scales + c * VF_N);
        vf_store(w + c * VF_N, vf_select((vi)(weight == vf_set1(0.0F)), vf_set1(0.0F), x));
    }
}

#endif
