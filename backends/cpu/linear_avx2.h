/*
 * linear_avx2.h - what the AVX2 kernel files share.
 *
 * A panel's 16 rows are two halves of 8 lanes. One tile computes one panel for up to four rows; a
 * half at a time, so that 4 sums, 4 accumulators and the weights stay in 16 registers.
 *
 * There is no vpdpbusd: vpmaddubsw adds two products in 16 bits and saturates, which no pair here can
 * reach: weights of 6 bits or less times int8 stay below 2^14; 8-bit weights are taken as |w| <= 128
 * with the sign moved to x, |x| <= 127, 2 * 128 * 127 < 2^15.
 */
#ifndef CPU_LINEAR_AVX2_H
#define CPU_LINEAR_AVX2_H

#include "linear_kernels.h"

#include <immintrin.h>

#define LINEAR_AVX2_ROWS 4

linear_tile_fn linear_avx2_f32, linear_avx2_f16, linear_avx2_bf16;
linear_tile_fn linear_avx2_q8_0, linear_avx2_q4_0, linear_avx2_q4_k, linear_avx2_q6_k;

LINEAR_INLINE __m256i load_lanes(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

LINEAR_INLINE __m128i load_16(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

LINEAR_INLINE __m256i splat_word(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

LINEAR_INLINE __m256 splat_float(const uint8_t *p)
{
    float v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_ps(v);
}

/* 8 f16 scales. */
LINEAR_INLINE __m256 load_half(const uint8_t *p)
{
    return _mm256_cvtph_ps(load_16(p));
}

LINEAR_INLINE void prefetch_ahead(const uint8_t *p)
{
    _mm_prefetch((const char *)((uintptr_t)p + 4096), _MM_HINT_T0);
}

/* sum += the four products of each lane; w is unsigned and below 64. */
LINEAR_INLINE __m256i dot_u6(__m256i sum, __m256i w, __m256i x)
{
    return _mm256_add_epi32(sum,
                            _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), _mm256_set1_epi16(1)));
}

/* Likewise for signed w. */
LINEAR_INLINE __m256i dot_s8(__m256i sum, __m256i w, __m256i x)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* `name` from body(out, tile, half, R, arg): each panel and half in turn. */
#define TILE_HALVES(name, body, arg, R)                                                            \
    static void name##_##R(float *out, const struct linear_tile *t)                                \
    {                                                                                              \
        for (size_t p = 0; p < t->n_panels; p++) {                                                 \
            struct linear_tile one = *t;                                                           \
            one.w += p * t->panel_bytes;                                                           \
            body(out + p * LINEAR_PANEL_ROWS, &one, 0, R, arg);                                    \
            body(out + p * LINEAR_PANEL_ROWS + 8, &one, 1, R, arg);                                \
        }                                                                                          \
    }
#define TILES_4(name, body, arg)                                                                   \
    TILE_HALVES(name, body, arg, 1)                                                                \
    TILE_HALVES(name, body, arg, 2)                                                                \
    TILE_HALVES(name, body, arg, 3)                                                                \
    TILE_HALVES(name, body, arg, 4)                                                                \
    void name(float *out, const struct linear_tile *t)                                             \
    {                                                                                              \
        static linear_tile_fn *const tiles[LINEAR_AVX2_ROWS] = {name##_1, name##_2, name##_3,      \
                                                                name##_4};                         \
        tiles[t->n_rows - 1](out, t);                                                              \
    }

#endif
