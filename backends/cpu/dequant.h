/*
 * cpu/dequant.h - rows of GGUF blocks as F32, exactly.
 *
 * "Exactly": the same sequence of F32 operations as the format's definition, so that the values are
 * equal bit by bit to those of any other exact reader.
 *
 * Ownership: none.  Threads: any.  Errors: none; the type and the length have been checked before.
 * Source: the GGUF/ggml block formats (ggml-common.h describes the structs), OCP MX 1.0 for MXFP4.
 */
#ifndef CPU_DEQUANT_H
#define CPU_DEQUANT_H

#include <polder/tensor.h>

bool dequant_supports(uint32_t dtype);

/* dst[0..n) <- n values at src (any alignment); n is a whole number of blocks of a supported type. */
void dequant_row(uint32_t dtype, float *dst, const void *src, int64_t n);

float half_to_float(uint16_t half);
uint16_t float_to_half(float value); /* nearest even; overflow becomes infinity */
uint16_t float_to_bf16(float value); /* nearest even */

static inline float bits_to_float(uint32_t bits)
{
    union {
        uint32_t u;
        float f;
    } pun = {.u = bits};
    return pun.f;
}

static inline uint32_t float_to_bits(float value)
{
    union {
        float f;
        uint32_t u;
    } pun = {.f = value};
    return pun.u;
}

#endif
