/*
 * cpu/simd_avx512.h - the vector of fast_body.h with AVX-512 F and BW: sixteen floats.
 *
 * Compiled with VNNI as well (fast_avx512_vnni.c) vi_dot is one instruction; the bits are the same.
 *
 * Source: Intel Intrinsics Guide.
 */
#ifndef CPU_SIMD_H
#define CPU_SIMD_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

#define VF_N 16L
typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
typedef int16_t vs __attribute__((vector_size(64)));

static inline vf vf_fma(vf a, vf b, vf c)
{
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

static inline vf vf_load_half(const uint16_t *p)
{
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

static inline void vf_store_half(uint16_t *p, vf x)
{
    _mm256_storeu_si256((__m256i *)(void *)p,
                        _mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

static inline float vf_sum(vf x)
{
    return _mm512_reduce_add_ps((__m512)x);
}

static inline float vf_largest(vf x)
{
    return _mm512_reduce_max_ps((__m512)x);
}

static inline vf vf_load_bytes(const int8_t *p)
{
    return (vf)_mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}

static inline bool vf_any_above(vf a, vf b)
{
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ) != 0;
}

static inline vs vs_load_bytes(const int8_t *p)
{
    return (vs)_mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

static inline vi vi_dot(vi sum, vs a, int32_t pair)
{
#ifdef __AVX512VNNI__
    return (vi)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, _mm512_set1_epi32(pair));
#else
    return sum + (vi)_mm512_madd_epi16((__m512i)a, _mm512_set1_epi32(pair));
#endif
}

#endif
