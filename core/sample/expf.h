/*
 * sample/expf.h - e^x for x <= 0, the same bits on every machine.
 *
 * libm's expf differs between libraries, and a sampled text must not; this one is a few plain
 * operations that compilers vectorise. Relative error below 2e-7; 0 below -87.
 *
 * Threads: pure.  Source: Cody and Waite 1980 (range reduction); Taylor terms to degree 7.
 */
#ifndef SAMPLE_EXPF_H
#define SAMPLE_EXPF_H

#include <stdint.h>
#include <string.h>

static inline float sample_expf(float x)
{
    const float x_min = -87.0f;      /* e^x is the smallest normal number about here */
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float y = x < x_min ? x_min : x;
    float n = (y * 1.44269504f + round) - round;
    float r = (y - n * 0.693359375f) + n * 2.12194440e-4f; /* |r| <= ln(2) / 2 */
    float p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    int32_t bits = (int32_t)((uint32_t)((int32_t)n + 127) << 23); /* 2^n */
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return x < x_min ? 0.0f : p * scale;
}

#endif
