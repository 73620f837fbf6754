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

#define LINEAR_AVX2_LIST(X)                                                                        \
    X(F32, f32, LINEAR_ACT_F32)                                                                    \
    X(F16, f16, LINEAR_ACT_F32)                                                                    \
    X(BF16, bf16, LINEAR_ACT_F32)                                                                  \
    X(Q8_0, q8_0, LINEAR_ACT_Q8_32)                                                                \
    X(Q4_0, q4_0, LINEAR_ACT_Q8_32)                                                                \
    X(Q4_1, q4_1, LINEAR_ACT_Q8_32)                                                                \
    X(Q5_0, q5_0, LINEAR_ACT_Q8_32)                                                                \
    X(Q5_1, q5_1, LINEAR_ACT_Q8_32)                                                                \
    X(IQ4_NL, iq4_nl, LINEAR_ACT_Q8_32)                                                            \
    X(MXFP4, mxfp4, LINEAR_ACT_Q8_32)                                                              \
    X(Q2_K, q2_k, LINEAR_ACT_Q8_256)                                                               \
    X(Q3_K, q3_k, LINEAR_ACT_Q8_256)                                                               \
    X(IQ4_XS, iq4_xs, LINEAR_ACT_Q8_256)                                                           \
    X(Q4_K, q4_k, LINEAR_ACT_Q8_256)                                                               \
    X(Q5_K, q5_k, LINEAR_ACT_Q8_256)                                                               \
    X(Q6_K, q6_k, LINEAR_ACT_Q8_256)

#define LINEAR_X(dtype, name, act) linear_tile_fn linear_avx2_##name;
LINEAR_AVX2_LIST(LINEAR_X)
#undef LINEAR_X

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

LINEAR_INLINE __m256i low_nibbles(__m256i v)
{
    return _mm256_and_si256(v, _mm256_set1_epi8(15));
}

LINEAR_INLINE __m256i high_nibbles(__m256i v)
{
    return _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15));
}

/* The bits of step s of a plane line (pack_bits.h) at bit `at` of each byte, beside w. */
LINEAR_INLINE __m256i with_plane(__m256i w, __m256i plane, const size_t s, const size_t at)
{
    plane =
        s <= at ? _mm256_slli_epi16(plane, (int)(at - s)) : _mm256_srli_epi16(plane, (int)(s - at));
    return _mm256_or_si256(w, _mm256_and_si256(plane, _mm256_set1_epi8((char)(1 << at))));
}

/* Values of a table of 16 by nibbles, `offset` too large. */
LINEAR_INLINE __m256i from_codebook(__m256i nibbles, const int8_t *book, const int offset)
{
    __m128i table = _mm_add_epi8(load_16((const uint8_t *)book), _mm_set1_epi8((char)offset));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), nibbles);
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

/* acc = fma(+-total, d * dx, acc) */
LINEAR_INLINE void add_float(__m256 acc[LINEAR_AVX2_ROWS], const __m256i *total, const uint8_t *d,
                             const uint8_t *dx, size_t x_bytes, const bool negative,
                             const size_t n_rows)
{
    __m256 dw = load_half(d);
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        __m256 scale = _mm256_mul_ps(dw, splat_float(dx + r * x_bytes));
        __m256 whole = _mm256_cvtepi32_ps(total[r]);
        acc[r] = negative ? _mm256_fnmadd_ps(whole, scale, acc[r])
                          : _mm256_fmadd_ps(whole, scale, acc[r]);
    }
}

/* Function `name` from body(out, tile, half, R, arg): each panel and half in turn. */
#define TILE_HALVES(name, body, arg, R)                                                            \
    void name(float *out, const struct linear_tile *t)                                             \
    {                                                                                              \
        for (size_t p = 0; p < t->n_panels; p++) {                                                 \
            struct linear_tile one = *t;                                                           \
            one.w += p * t->panel_bytes;                                                           \
            body(out + p * LINEAR_PANEL_ROWS, &one, 0, R, arg);                                    \
            body(out + p * LINEAR_PANEL_ROWS + 8, &one, 1, R, arg);                                \
        }                                                                                          \
    }
#if defined(LINEAR_SMALL)
/* One function for every R. */
#define TILES_4(name, body, arg) TILE_HALVES(name, body, arg, t->n_rows)
#else
#define TILES_4(name, body, arg)                                                                   \
    static TILE_HALVES(name##_1, body, arg, 1) static TILE_HALVES(                                 \
        name##_2, body, arg, 2) static TILE_HALVES(name##_3, body, arg,                            \
                                                   3) static TILE_HALVES(name##_4, body, arg,      \
                                                                         4) void                   \
    name(float *out, const struct linear_tile *t)                                                  \
    {                                                                                              \
        static linear_tile_fn *const tiles[LINEAR_AVX2_ROWS] = {name##_1, name##_2, name##_3,      \
                                                                name##_4};                         \
        tiles[t->n_rows - 1](out, t);                                                              \
    }
#endif /* LINEAR_SMALL */

#endif
