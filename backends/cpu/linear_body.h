/*
 * linear_body.h - activation formats and the finish of a tile, compiled once per ISA level.
 *
 * Written with the compilers' vector extension, which each level's flags turn into its own
 * instructions. No operation here is fused, approximate or reordered by the compiler
 * (-ffp-contract=off), so all levels give the same bits. Included by one .c file of each level, which
 * then names prepare_*() and finish() in its table.
 *
 * exp is 2^n * p(r), r = x - n ln 2 in two parts, p the Taylor polynomial to r^7 (|r| <= 0.347):
 * relative error below 2.5e-7; arguments are held in [-87, 88], where the result is a normal number.
 */
#ifndef CPU_LINEAR_BODY_H
#define CPU_LINEAR_BODY_H

#include "linear_kernels.h"

#include <math.h>

typedef float v16f __attribute__((vector_size(64)));
typedef int32_t v16i __attribute__((vector_size(64)));
typedef uint32_t v16u __attribute__((vector_size(64)));

/* Adding it leaves the nearest whole number, ties to even, in the low bits: for |x| < 2^21. */
#define ROUND_MAGIC 12582912.0f /* 1.5 * 2^23 */

LINEAR_INLINE v16f load16(const float *p)
{
    v16f v;
    memcpy(&v, p, sizeof v);
    return v;
}

LINEAR_INLINE void store16(float *p, v16f v)
{
    memcpy(p, &v, sizeof v);
}

LINEAR_INLINE v16f splat(float x)
{
    return x - (v16f){0};
}

LINEAR_INLINE v16f select16(v16i mask, v16f yes, v16f no)
{
    return (v16f)(((v16i)yes & mask) | ((v16i)no & ~mask));
}

/* ---- activations ----------------------------------------------------------------------------- */

/* The first n of 16 values, the others 0. */
LINEAR_INLINE v16f load_part(const float *p, size_t n)
{
    v16f v = {0};
    memcpy(&v, p, (size_t)PL_MIN(n, 16) * sizeof *p);
    return v;
}

static void prepare_f32(uint8_t *dst, const float *x, size_t cols)
{
    memcpy(dst, x, cols * sizeof *x);
}

/* To nearest even; NaN stays one. The tail of the last cache line is zero. */
static void prepare_bf16(uint8_t *dst, const float *x, size_t cols)
{
    size_t padded = (size_t)pl_align_up(cols, LINEAR_ALIGN / 2);
    for (size_t k = 0; k < padded; k += 16) {
        v16u bits =
            (v16u)(k + 16 <= cols ? load16(x + k) : load_part(x + k, cols - PL_MIN(k, cols)));
        v16u nan = (v16u)((v16i)(bits & 0x7fffffffu) > (v16i)(v16u){0} + 0x7f800000);
        v16u rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
        v16u half = (rounded & ~nan) | (((bits >> 16) | 0x40u) & nan);
        for (size_t i = 0; i < 16; i++) {
            uint16_t h = (uint16_t)half[i];
            memcpy(dst + 2 * (k + i), &h, 2);
        }
    }
}

LINEAR_INLINE int32_t max16(v16i v)
{
    int32_t max = 0;
    for (size_t i = 0; i < 16; i++)
        max = PL_MAX(max, v[i]);
    return max;
}

LINEAR_INLINE int32_t sum16(v16i v)
{
    int32_t sum = 0;
    for (size_t i = 0; i < 16; i++)
        sum += v[i];
    return sum;
}

LINEAR_INLINE v16i max_lanes(v16i a, v16i b)
{
    v16i mask = a > b;
    return (a & mask) | (b & ~mask);
}

/* The scale of a block and its reciprocal from the largest magnitude's bits. Blocks with NaN or
 * infinity get a NaN scale over zeros, blocks below 2^-100 become zero: 127 / amax would overflow. */
LINEAR_INLINE float block_scale(int32_t amax_bits, float *ret_inverse)
{
    float amax = linear_f32_of_bits((uint32_t)amax_bits);
    bool ordinary = amax_bits < 0x7f800000 && amax >= 0x1p-100f;
    *ret_inverse = ordinary ? 127.0f / amax : 0;
    if (amax_bits >= 0x7f800000)
        return linear_f32_of_bits(0x7fc00000u);
    return ordinary ? amax / 127.0f : 0;
}

/* 16 values to int8 at dst; the return value is their sum. */
LINEAR_INLINE int32_t quantise16(uint8_t *dst, v16f v, float inverse)
{
    if (inverse == 0) { /* the block may hold NaN or infinity, which times zero is no number */
        memset(dst, 0, 16);
        return 0;
    }
    v16i q = (v16i)(v * inverse + ROUND_MAGIC) - (v16i)splat(ROUND_MAGIC);
    int8_t narrow[16];
    for (size_t i = 0; i < 16; i++)
        narrow[i] = (int8_t)q[i];
    memcpy(dst, narrow, sizeof narrow);
    return sum16(q);
}

static void prepare_q8_32(uint8_t *dst, const float *x, size_t cols)
{
    struct linear_q8_32 at = linear_q8_32_of(cols);
    for (size_t b = 0; b < cols / 32; b++) {
        v16f lo = load16(x + 32 * b), hi = load16(x + 32 * b + 16);
        float inverse;
        float d =
            block_scale(max16(max_lanes((v16i)lo & 0x7fffffff, (v16i)hi & 0x7fffffff)), &inverse);
        int32_t negsum = -quantise16(dst + 32 * b, lo, inverse);
        negsum -= quantise16(dst + 32 * b + 16, hi, inverse);
        memcpy(dst + at.d + 4 * b, &d, 4);
        memcpy(dst + at.negsum + 4 * b, &negsum, 4);
    }
}

static void prepare_q8_256(uint8_t *dst, const float *x, size_t cols)
{
    struct linear_q8_256 at = linear_q8_256_of(cols);
    for (size_t b = 0; b < cols / 256; b++) {
        v16i max = {0};
        for (size_t j = 0; j < 16; j++)
            max = max_lanes(max, (v16i)load16(x + 256 * b + 16 * j) & 0x7fffffff);
        float inverse;
        float d = block_scale(max16(max), &inverse);
        int16_t sums[16], sums32[8];
        int32_t negsums[16];
        for (size_t j = 0; j < 16; j++) {
            int32_t sum = quantise16(dst + 256 * b + 16 * j, load16(x + 256 * b + 16 * j), inverse);
            sums[j] = (int16_t)sum;
            negsums[j] = -sum;
        }
        for (size_t j = 0; j < 8; j++)
            sums32[j] = (int16_t)(sums[2 * j] + sums[2 * j + 1]);
        memcpy(dst + at.negsum16 + 64 * b, negsums, sizeof negsums);
        memcpy(dst + at.sum16 + 32 * b, sums, sizeof sums);
        memcpy(dst + at.sum32 + 16 * b, sums32, sizeof sums32);
        memcpy(dst + at.d + 4 * b, &d, 4);
    }
}

/* ---- finish ---------------------------------------------------------------------------------- */

LINEAR_INLINE v16f clamp16(v16f x, float low, float high)
{
    x = select16(x < low, splat(low), x); /* NaN passes */
    return select16(x > high, splat(high), x);
}

LINEAR_INLINE v16f exp16(v16f x)
{
    x = clamp16(x, -87.0f, 88.0f);
    v16f shifted = x * 1.44269504f + ROUND_MAGIC;
    v16f n = shifted - ROUND_MAGIC;
    v16f r = (x - n * 0.693145752f) - n * 1.42860677e-6f; /* ln 2: 16 bits exactly, the rest */
    v16f p = r * (1.0f / 5040) + (1.0f / 720);
    p = p * r + (1.0f / 120);
    p = p * r + (1.0f / 24);
    p = p * r + (1.0f / 6);
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    v16i exponent = ((v16i)shifted - (v16i)splat(ROUND_MAGIC) + 127) << 23;
    return p * (v16f)exponent;
}

LINEAR_INLINE v16f gelu_erf16(v16f x)
{
    for (size_t i = 0; i < 16; i++)
        x[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.707106781f));
    return x;
}

/* tanh u = 1 - 2 / (exp 2u + 1), u = sqrt(2/pi) (x + 0.044715 x^3) */
LINEAR_INLINE v16f gelu_tanh16(v16f x)
{
    v16f u = 0.797884561f * (x + 0.044715f * x * x * x);
    return 0.5f * x * (2.0f - 2.0f / (exp16(2.0f * u) + 1.0f));
}

LINEAR_INLINE v16f glu16(const struct linear_task *t, v16f gate, v16f up)
{
    switch (t->act) {
    case PL_ACT_SILU: return gate / (1.0f + exp16(-gate)) * up;
    case PL_ACT_GELU: return gelu_erf16(gate) * up;
    case PL_ACT_GELU_TANH: return gelu_tanh16(gate) * up;
    case PL_ACT_RELU: return select16(gate < 0.0f, (v16f){0}, gate) * up;
    case PL_ACT_SWIGLU_OAI:
        gate = select16(gate > t->limit, splat(t->limit), gate);
        up = clamp16(up, -t->limit, t->limit);
        return gate / (1.0f + exp16(-t->alpha * gate)) * (up + 1.0f);
    case PL_ACT_NONE: break;
    }
    return gate;
}

/* 16 outputs of one row; n of them exist. Bias and residual point at the first, or are NULL. */
LINEAR_INLINE void finish16(const struct linear_task *t, const float *y0, const float *y1,
                            const float *const bias[2], const float *residual, float *out, size_t n)
{
    v16f y = load16(y0);
    if (bias[0] != NULL)
        y += n >= 16 ? load16(bias[0]) : load_part(bias[0], n);
    if (y1 != NULL) {
        v16f up = load16(y1);
        if (bias[1] != NULL)
            up += n >= 16 ? load16(bias[1]) : load_part(bias[1], n);
        y = glu16(t, y, up);
    }
    y *= t->scale;
    if (residual != NULL)
        y += n >= 16 ? load16(residual) : load_part(residual, n);
    if (n >= 16)
        store16(out, y);
    else
        memcpy(out, &y, (size_t)n * sizeof *out);
}

static void finish(const struct linear_task *t, float *y0, float *y1, size_t panel, size_t n_panels,
                   size_t row, size_t n_rows)
{
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t p = 0; p < n_panels; p++) {
            size_t col = (panel + p) * LINEAR_PANEL_ROWS;
            size_t at = r * LINEAR_TILE_COLS + p * LINEAR_PANEL_ROWS;
            const float *const bias[2] = {
                t->w[0].bias != NULL ? t->w[0].bias + col : NULL,
                y1 != NULL && t->w[1].bias != NULL ? t->w[1].bias + col : NULL,
            };
            const float *residual = NULL;
            if (t->residual != NULL)
                residual = t->residual + (row + r) * (size_t)t->residual_stride + col;
            finish16(t, y0 + at, y1 != NULL ? y1 + at : NULL, bias, residual,
                     t->out + (row + r) * (size_t)t->out_stride + col, (size_t)t->w[0].rows - col);
        }
    }
}

#define LINEAR_BODY_PREPARE                                                                        \
    {                                                                                              \
        [LINEAR_ACT_F32] = prepare_f32, [LINEAR_ACT_BF16] = prepare_bf16,                          \
        [LINEAR_ACT_Q8_32] = prepare_q8_32, [LINEAR_ACT_Q8_256] = prepare_q8_256,                  \
    }

#endif
