/*
 * cpu/simd_neon.h - the vector of fast_body.h with NEON: four floats, fused multiply-add.
 *
 * Source: Arm Neon Intrinsics Reference.
 */
#ifndef CPU_SIMD_H
#define CPU_SIMD_H

#include <arm_neon.h>
#include <stdbool.h>
#include <string.h>

#define VF_N 4L
typedef float32x4_t vf;
typedef int32x4_t vi;
typedef int16x8_t vs;

static inline vf vf_fma(vf a, vf b, vf c)
{
    return vfmaq_f32(c, a, b);
}

static inline vf vf_load_half(const uint16_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

static inline void vf_store_half(uint16_t *p, vf x)
{
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x)));
}

static inline float vf_sum(vf x)
{
    return vaddvq_f32(x);
}

static inline float vf_largest(vf x)
{
    return vmaxvq_f32(x);
}

static inline vf vf_load_bytes(const int8_t *p)
{
    int32_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8((uint32_t)bytes)))));
}

static inline bool vf_any_above(vf a, vf b)
{
    return vmaxvq_u32(vcgtq_f32(a, b)) != 0;
}

static inline vs vs_load_bytes(const int8_t *p)
{
    return vmovl_s8(vld1_s8(p));
}

static inline vi vi_dot(vi sum, vs a, int32_t pair)
{
    int16x8_t b = vreinterpretq_s16_s32(vdupq_n_s32(pair));
    int32x4_t low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
    return vaddq_s32(sum, vpaddq_s32(low, vmull_high_s16(a, b)));
}

#endif
