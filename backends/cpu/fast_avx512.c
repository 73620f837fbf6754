/*
 * cpu/fast_avx512.c - the row and attention kernels compiled for AVX-512 F, BW, DQ, VL.
 */
#include "simd_avx512.h"

#include "fast_attn_body.h"

const struct fast_kernels fast_avx512_kernels = {
    .isa = CPU_ISA_AVX512,
    .rmsnorm = body_rmsnorm,
    .layernorm = body_layernorm,
    .add = body_add,
    .mul = body_mul,
    .scale = body_scale,
    .softcap = body_softcap,
    .act = body_act,
    .glu = body_glu,
    .rope = body_rope,
    .to_half = body_to_half,
    .to_q8 = body_to_q8,
    .dots = body_dots,
    .attend = body_attend,
    .attend_part = body_attend_part,
    .attend_join = body_attend_join,
};
