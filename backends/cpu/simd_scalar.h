/*
 * cpu/simd_scalar.h - the vector of fast_body.h on the compiler's baseline: four floats, no FMA.
 *
 * On x86-64 that is SSE2. It is there for correctness on any machine, not for speed.
 *
 * Source: GCC vector extensions.
 */
#ifndef CPU_SIMD_H
#define CPU_SIMD_H

#include "dequant.h"

#define VF_N 4L
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));
typedef int16_t vs __attribute__((vector_size(16)));

static inline vf vf_fma(vf a, vf b, vf c)
{
    return a * b + c;
}

static inline vf vf_load_half(const uint16_t *p)
{
    return (vf){half_to_float(p[0]), half_to_float(p[1]), half_to_float(p[2]), half_to_float(p[3])};
}

static inline void vf_store_half(uint16_t *p, vf x)
{
    for (int i = 0; i < VF_N; i++)
        p[i] = float_to_half(x[i]);
}

static inline float vf_sum(vf x)
{
    return (x[0] + x[2]) + (x[1] + x[3]);
}

static inline float larger(float a, float b)
{
    return a > b ? a : b;
}

static inline float vf_largest(vf x)
{
    return larger(larger(x[0], x[2]), larger(x[1], x[3]));
}

static inline vf vf_load_bytes(const int8_t *p)
{
    return (vf){(float)p[0], (float)p[1], (float)p[2], (float)p[3]};
}

static inline bool vf_any_above(vf a, vf b)
{
    return a[0] > b[0] || a[1] > b[1] || a[2] > b[2] || a[3] > b[3];
}

static inline vs vs_load_bytes(const int8_t *p)
{
    return (vs){p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]};
}

static inline vi vi_dot(vi sum, vs a, int32_t pair)
{
    int32_t low = (int16_t)pair;
    int32_t high = pair >> 16;
    for (int i = 0; i < VF_N; i++)
        sum[i] += a[2 * i] * low + a[2 * i + 1] * high;
    return sum;
}

#endif
