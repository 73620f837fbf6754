/*
 * cpu/simd_avx512.h - the vector of fast_body.h with AVX-512 F: sixteen floats.
 *
 * Source: Intel Intrinsics Guide.
 */
#ifndef CPU_SIMD_H
#define CPU_SIMD_H

#include <immintrin.h>
#include <stdint.h>

#define VF_N 16L
typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));

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

#endif
