/*
 * linear_avx512.h - what the AVX-512 kernel files share: names, small steps, tile tables.
 *
 * A tile of P panels times R rows keeps P * R accumulators in registers; a weight vector is loaded
 * once for R rows, an activation word is broadcast once for P panels. Each (P, R) is a function of its
 * own, made from one inlined body with constant P and R.
 */
#ifndef CPU_LINEAR_AVX512_H
#define CPU_LINEAR_AVX512_H

#include "linear_kernels.h"

#include <immintrin.h>

#define LINEAR_AVX512_LIST(X)                                                                      \
    X(F32, f32, LINEAR_ACT_F32, 12, 1)                                                             \
    X(F16, f16, LINEAR_ACT_F32, 12, 2)                                                             \
    X(Q8_0, q8_0, LINEAR_ACT_Q8_32, 6, 1)                                                          \
    X(Q4_0, q4_0, LINEAR_ACT_Q8_32, 6, 1)                                                          \
    X(Q4_1, q4_1, LINEAR_ACT_Q8_32, 6, 1)                                                          \
    X(Q5_0, q5_0, LINEAR_ACT_Q8_32, 6, 1)                                                          \
    X(Q5_1, q5_1, LINEAR_ACT_Q8_32, 6, 1)                                                          \
    X(IQ4_NL, iq4_nl, LINEAR_ACT_Q8_32, 6, 1)                                                      \
    X(MXFP4, mxfp4, LINEAR_ACT_Q8_32, 6, 1)                                                        \
    X(Q2_K, q2_k, LINEAR_ACT_Q8_256, 6, 1)                                                         \
    X(Q3_K, q3_k, LINEAR_ACT_Q8_256, 6, 1)                                                         \
    X(IQ4_XS, iq4_xs, LINEAR_ACT_Q8_256, 6, 1)                                                     \
    X(Q4_K, q4_k, LINEAR_ACT_Q8_256, 6, 1)                                                         \
    X(Q5_K, q5_k, LINEAR_ACT_Q8_256, 6, 1)                                                         \
    X(Q6_K, q6_k, LINEAR_ACT_Q8_256, 6, 1)

#define LINEAR_X(dtype, name, act, rows, stream) linear_tile_fn linear_avx512_##name;
LINEAR_AVX512_LIST(LINEAR_X)
#undef LINEAR_X
linear_tile_fn linear_avx512_bf16, linear_avx512_bf16_dp;

linear_finish_fn linear_avx512_finish;
linear_prepare_fn linear_avx512_prepare_f32, linear_avx512_prepare_bf16;
linear_prepare_fn linear_avx512_prepare_q8_32, linear_avx512_prepare_q8_256;

#define LINEAR_AVX512_ROW(dtype, name, act, rows, stream)                                          \
    [LINEAR_TYPE_##dtype] = {linear_avx512_##name, act, rows, stream},
#define LINEAR_AVX512_PREPARE                                                                      \
    {                                                                                              \
        [LINEAR_ACT_F32] = linear_avx512_prepare_f32,                                              \
        [LINEAR_ACT_BF16] = linear_avx512_prepare_bf16,                                            \
        [LINEAR_ACT_Q8_32] = linear_avx512_prepare_q8_32,                                          \
        [LINEAR_ACT_Q8_256] = linear_avx512_prepare_q8_256,                                        \
    }

/* A tile of few rows asks for weights this far ahead: about the bytes that one core has in flight at
 * 100 ns and 40 GB/s. Line by line as it goes: a burst at once fills the miss buffers and stalls. With
 * more rows the arithmetic takes longer than the memory. */
#define PREFETCH_BYTES 4096
#define PREFETCH_ROWS  6

/* Four int8 of a row of x, in every lane. */
LINEAR_INLINE __m512i splat_word(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm512_set1_epi32(v);
}

LINEAR_INLINE __m512 splat_float(const uint8_t *p)
{
    float v;
    memcpy(&v, p, sizeof v);
    return _mm512_set1_ps(v);
}

LINEAR_INLINE __m512i load_vector(const uint8_t *p)
{
    return _mm512_loadu_si512(p);
}

/* 16 f16 scales. */
LINEAR_INLINE __m512 load_half(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

LINEAR_INLINE __m512i low_nibbles(__m512i v)
{
    return _mm512_and_si512(v, _mm512_set1_epi8(15));
}

LINEAR_INLINE __m512i high_nibbles(__m512i v)
{
    return _mm512_and_si512(_mm512_srli_epi16(v, 4), _mm512_set1_epi8(15));
}

/* Values of a table of 16 by nibbles, as unsigned bytes: `offset` too large. */
LINEAR_INLINE __m512i from_codebook(__m512i nibbles, const int8_t *book, const int offset)
{
    __m128i table = _mm_loadu_si128((const __m128i *)(const void *)book);
    table = _mm_add_epi8(table, _mm_set1_epi8((char)offset));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), nibbles);
}

/* The bits of step s of a plane line (pack_bits.h) at bit `at` of each byte, beside w. */
LINEAR_INLINE __m512i with_plane(__m512i w, __m512i plane, const size_t s, const size_t at)
{
    plane = s <= at ? _mm512_slli_epi32(plane, (unsigned)(at - s))
                    : _mm512_srli_epi32(plane, (unsigned)(s - at));
    /* mask & plane | w */
    return _mm512_ternarylogic_epi32(_mm512_set1_epi8((char)(1 << at)), plane, w, 0xea);
}

/* The line PREFETCH_BYTES after p; past the end of the weight it does no harm. */
LINEAR_INLINE void prefetch_ahead(const uint8_t *p, const size_t n_rows)
{
    if (n_rows <= PREFETCH_ROWS)
        _mm_prefetch((const char *)((uintptr_t)p + PREFETCH_BYTES), _MM_HINT_T0);
}

/* Loads a line of weights for the first time in a tile. */
LINEAR_INLINE __m512i load_first(const uint8_t *p, const size_t n_rows)
{
    prefetch_ahead(p, n_rows);
    return load_vector(p);
}

#if defined(LINEAR_SMALL)
/* One function for every P and R. */
#define TILES_6(name, body, arg)                                                                   \
    void name(float *out, const struct linear_tile *t)                                             \
    {                                                                                              \
        body(out, t, t->n_panels, t->n_rows, arg);                                                 \
    }
#define TILES_12(name, body, arg) TILES_6(name, body, arg)
#else
/* Functions `name`_<P>x<R> from body(out, tile, P, R, arg), and `name` that picks one. */
#define TILE_ONE(name, body, arg, P, R)                                                            \
    static void name##_##P##x##R(float *out, const struct linear_tile *t)                          \
    {                                                                                              \
        body(out, t, P, R, arg);                                                                   \
    }
#define TILE_P6(name, body, arg, P)                                                                \
    TILE_ONE(name, body, arg, P, 1)                                                                \
    TILE_ONE(name, body, arg, P, 2)                                                                \
    TILE_ONE(name, body, arg, P, 3)                                                                \
    TILE_ONE(name, body, arg, P, 4)                                                                \
    TILE_ONE(name, body, arg, P, 5)                                                                \
    TILE_ONE(name, body, arg, P, 6)
#define TILE_P12(name, body, arg, P)                                                               \
    TILE_P6(name, body, arg, P)                                                                    \
    TILE_ONE(name, body, arg, P, 7)                                                                \
    TILE_ONE(name, body, arg, P, 8)                                                                \
    TILE_ONE(name, body, arg, P, 9)                                                                \
    TILE_ONE(name, body, arg, P, 10)                                                               \
    TILE_ONE(name, body, arg, P, 11)                                                               \
    TILE_ONE(name, body, arg, P, 12)
#define TILE_R6(name, P)                                                                           \
    name##_##P##x1, name##_##P##x2, name##_##P##x3, name##_##P##x4, name##_##P##x5, name##_##P##x6
#define TILE_R12(name, P)                                                                          \
    TILE_R6(name, P), name##_##P##x7, name##_##P##x8, name##_##P##x9, name##_##P##x10,             \
        name##_##P##x11, name##_##P##x12

#define TILE_PICK(name, rows)                                                                      \
    void name(float *out, const struct linear_tile *t)                                             \
    {                                                                                              \
        static linear_tile_fn *const tiles[2][rows] = {                                            \
            {TILE_R##rows(name, 1)},                                                               \
            {TILE_R##rows(name, 2)},                                                               \
        };                                                                                         \
        tiles[t->n_panels - 1][t->n_rows - 1](out, t);                                             \
    }
#define TILES_6(name, body, arg)                                                                   \
    TILE_P6(name, body, arg, 1)                                                                    \
    TILE_P6(name, body, arg, 2)                                                                    \
    TILE_PICK(name, 6)
#define TILES_12(name, body, arg)                                                                  \
    TILE_P12(name, body, arg, 1)                                                                   \
    TILE_P12(name, body, arg, 2)                                                                   \
    TILE_PICK(name, 12)

#endif /* LINEAR_SMALL */

#endif
