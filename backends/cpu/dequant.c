/*
 * cpu/dequant.c - expansion of GGUF blocks; see dequant.h.
 *
 * Every block function takes one block and writes its values in order. Byte tables (offset: field):
 *   Q4_0    0: d f16, 2: 16 nibble pairs           value d * (q - 8); low nibbles are values 0..15
 *   Q4_1    0: d, 2: m, 4: 16 pairs                d * q + m
 *   Q5_0    0: d, 2: 32 high bits, 6: 16 pairs     d * (q - 16)
 *   Q5_1    0: d, 2: m, 4: 32 high bits, 8: pairs  d * q + m
 *   Q8_0    0: d, 2: 32 int8                       d * q
 *   Q2_K    0: 16 scale|min<<4, 16: 64 x 4 crumbs, 80: d, 82: dmin
 *   Q3_K    0: 32 high-bit bytes, 32: 64 x 4 crumbs, 96: 16 scales of 6 bits in 12 bytes, 108: d
 *   Q4_K    0: d, 2: dmin, 4: 8 scales and 8 mins of 6 bits in 12 bytes, 16: 128 nibble pairs
 *   Q5_K    as Q4_K, 16: 32 high-bit bytes, 48: 128 pairs
 *   Q6_K    0: 128 low nibbles pairs, 128: 64 x 4 high crumbs, 192: 16 int8 scales, 208: d
 *   IQ4_NL  as Q4_0 with a table of 16 values
 *   IQ4_XS  0: d, 2: high 2 bits of 8 scales, 4: low nibbles of 8 scales, 8: 128 pairs
 *   MXFP4   0: exponent, 1: 16 pairs of E2M1
 */
#include "dequant.h"

#include <string.h>

static const int8_t nl4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
static const int8_t e2m1_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = half >> 10 & 0x1fu;
    uint32_t mantissa = half & 0x3ffu;
    if (exponent == 31)
        return bits_to_float(sign | 0x7f800000u | mantissa << 13);
    if (exponent != 0)
        return bits_to_float(sign | (exponent + 112) << 23 | mantissa << 13);
    float tiny = (float)mantissa * 0x1p-24f; /* exact: subnormal halves are multiples of 2^-24 */
    return sign != 0 ? -tiny : tiny;
}

uint16_t float_to_half(float value)
{
    uint32_t bits = float_to_bits(value);
    uint32_t sign = bits >> 16 & 0x8000u;
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) /* a quiet NaN */
        return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x1ffu));
    if (magnitude >= 0x47800000u) /* 65536 and more, infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) { /* below 2^-14: multiples of 2^-24, rounded by the addition */
        float shifted = bits_to_float(magnitude) + 0.5f;
        return (uint16_t)(sign | (float_to_bits(shifted) - 0x3f000000u));
    }
    uint32_t odd = magnitude >> 13 & 1u;
    uint32_t rounded = magnitude + 0xfffu + odd; /* may carry into the exponent, up to infinity */
    return (uint16_t)(sign | ((rounded - 0x38000000u) >> 13));
}

uint16_t float_to_bf16(float value)
{
    uint32_t bits = float_to_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static uint16_t load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)load16(p) | (uint32_t)load16(p + 2) << 16;
}

static float load_half(const uint8_t *p)
{
    return half_to_float(load16(p));
}

/* ---- plain types ----------------------------------------------------------------------------- */

static void block_f32(float *y, const uint8_t *b)
{
    *y = bits_to_float(load32(b));
}

static void block_f16(float *y, const uint8_t *b)
{
    *y = load_half(b);
}

static void block_bf16(float *y, const uint8_t *b)
{
    *y = bits_to_float((uint32_t)load16(b) << 16);
}

/* ---- blocks of 32 ---------------------------------------------------------------------------- */

static void block_q4_0(float *y, const uint8_t *b)
{
    float d = load_half(b);
    for (int i = 0; i < 16; i++) {
        y[i] = (float)((b[2 + i] & 15) - 8) * d;
        y[i + 16] = (float)((b[2 + i] >> 4) - 8) * d;
    }
}

static void block_q4_1(float *y, const uint8_t *b)
{
    float d = load_half(b);
    float m = load_half(b + 2);
    for (int i = 0; i < 16; i++) {
        y[i] = (float)(b[4 + i] & 15) * d + m;
        y[i + 16] = (float)(b[4 + i] >> 4) * d + m;
    }
}

/* Value i of 32: a nibble and one bit of `high`. */
static int five_bits(const uint8_t *pairs, uint32_t high, int i)
{
    int nibble = i < 16 ? pairs[i] & 15 : pairs[i - 16] >> 4;
    return nibble | (int)(high >> i & 1u) << 4;
}

static void block_q5_0(float *y, const uint8_t *b)
{
    float d = load_half(b);
    uint32_t high = load32(b + 2);
    for (int i = 0; i < 32; i++)
        y[i] = (float)(five_bits(b + 6, high, i) - 16) * d;
}

static void block_q5_1(float *y, const uint8_t *b)
{
    float d = load_half(b);
    float m = load_half(b + 2);
    uint32_t high = load32(b + 4);
    for (int i = 0; i < 32; i++)
        y[i] = (float)five_bits(b + 8, high, i) * d + m;
}

static void block_q8_0(float *y, const uint8_t *b)
{
    float d = load_half(b);
    for (int i = 0; i < 32; i++)
        y[i] = (float)(int8_t)b[2 + i] * d;
}

static void block_iq4_nl(float *y, const uint8_t *b)
{
    float d = load_half(b);
    for (int i = 0; i < 16; i++) {
        y[i] = d * (float)nl4_values[b[2 + i] & 15];
        y[i + 16] = d * (float)nl4_values[b[2 + i] >> 4];
    }
}

/* Half of 2^(e - 127), as the values of the table are doubled; exact down to e = 0. */
static float half_e8m0(uint8_t e)
{
    return bits_to_float(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

static void block_mxfp4(float *y, const uint8_t *b)
{
    float d = half_e8m0(b[0]);
    for (int i = 0; i < 16; i++) {
        y[i] = (float)e2m1_doubled[b[1 + i] & 15] * d;
        y[i + 16] = (float)e2m1_doubled[b[1 + i] >> 4] * d;
    }
}

/* ---- blocks of 256 --------------------------------------------------------------------------- */

/* Value i (0..255) of 64 bytes of four 2-bit fields: each 32 bytes hold 128 values, 32 per field. */
static int crumb(const uint8_t *q, int i)
{
    return q[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
}

/* Value i (0..255) of 128 bytes of nibbles: each 32 bytes hold 64 values, low nibbles first. */
static int nibble64(const uint8_t *q, int i)
{
    uint8_t byte = q[i / 64 * 32 + i % 32];
    return i % 64 < 32 ? byte & 15 : byte >> 4;
}

static void block_q2_k(float *y, const uint8_t *b)
{
    float d = load_half(b + 80);
    float dmin = load_half(b + 82);
    for (int i = 0; i < 256; i++) {
        float scale = d * (float)(b[i / 16] & 15);
        float min = dmin * (float)(b[i / 16] >> 4);
        y[i] = scale * (float)crumb(b + 16, i) - min;
    }
}

/* Scale i (0..15) of Q3_K: 4 low bits in bytes 0..7, 2 high bits in bytes 8..11, offset 32. */
static int q3_scale(const uint8_t *s, int i)
{
    int low = i < 8 ? s[i] & 15 : s[i - 8] >> 4;
    int high = s[8 + i % 4] >> (i / 4 * 2) & 3;
    return (low | high << 4) - 32;
}

static void block_q3_k(float *y, const uint8_t *b)
{
    float d = load_half(b + 108);
    for (int i = 0; i < 256; i++) {
        float scale = d * (float)q3_scale(b + 96, i / 16);
        int high = b[i % 32] >> (i / 32) & 1;
        y[i] = scale * (float)(crumb(b + 32, i) - (high != 0 ? 0 : 4));
    }
}

/* Scale and min i (0..7) of Q4_K and Q5_K: 6 bits each, packed in 12 bytes. */
static void k4_scale_min(const uint8_t *s, int i, int *ret_scale, int *ret_min)
{
    if (i < 4) {
        *ret_scale = s[i] & 63;
        *ret_min = s[i + 4] & 63;
    } else {
        *ret_scale = (s[i + 4] & 15) | (s[i - 4] >> 6) << 4;
        *ret_min = s[i + 4] >> 4 | (s[i] >> 6) << 4;
    }
}

static void block_q4_k(float *y, const uint8_t *b)
{
    float d = load_half(b);
    float dmin = load_half(b + 2);
    for (int i = 0; i < 256; i++) {
        int scale;
        int min;
        k4_scale_min(b + 4, i / 32, &scale, &min);
        y[i] = d * (float)scale * (float)nibble64(b + 16, i) - dmin * (float)min;
    }
}

static void block_q5_k(float *y, const uint8_t *b)
{
    float d = load_half(b);
    float dmin = load_half(b + 2);
    for (int i = 0; i < 256; i++) {
        int scale;
        int min;
        k4_scale_min(b + 4, i / 32, &scale, &min);
        int q = nibble64(b + 48, i) | (b[16 + i % 32] >> (i / 32) & 1) << 4;
        y[i] = d * (float)scale * (float)q - dmin * (float)min;
    }
}

static void block_q6_k(float *y, const uint8_t *b)
{
    float d = load_half(b + 208);
    for (int i = 0; i < 256; i++) {
        int in_half = i % 128;
        uint8_t low = b[i / 128 * 64 + in_half % 64];
        int q = (in_half < 64 ? low & 15 : low >> 4) | crumb(b + 128, i) << 4;
        y[i] = d * (float)(int8_t)b[192 + i / 16] * (float)(q - 32);
    }
}

static void block_iq4_xs(float *y, const uint8_t *b)
{
    float d = load_half(b);
    uint16_t high = load16(b + 2);
    for (int i = 0; i < 256; i++) {
        int group = i / 32;
        int low = b[4 + group / 2] >> (group % 2 * 4) & 15;
        float scale = d * (float)((low | (high >> (group * 2) & 3) << 4) - 32);
        uint8_t byte = b[8 + group * 16 + i % 16];
        y[i] = scale * (float)nl4_values[i % 32 < 16 ? byte & 15 : byte >> 4];
    }
}

typedef void block_fn(float *y, const uint8_t *block);

static block_fn *block_fn_of(uint32_t dtype)
{
    switch (dtype) {
    case PL_DTYPE_F32: return block_f32;
    case PL_DTYPE_F16: return block_f16;
    case PL_DTYPE_BF16: return block_bf16;
    case PL_DTYPE_Q4_0: return block_q4_0;
    case PL_DTYPE_Q4_1: return block_q4_1;
    case PL_DTYPE_Q5_0: return block_q5_0;
    case PL_DTYPE_Q5_1: return block_q5_1;
    case PL_DTYPE_Q8_0: return block_q8_0;
    case PL_DTYPE_Q2_K: return block_q2_k;
    case PL_DTYPE_Q3_K: return block_q3_k;
    case PL_DTYPE_Q4_K: return block_q4_k;
    case PL_DTYPE_Q5_K: return block_q5_k;
    case PL_DTYPE_Q6_K: return block_q6_k;
    case PL_DTYPE_IQ4_NL: return block_iq4_nl;
    case PL_DTYPE_IQ4_XS: return block_iq4_xs;
    case PL_DTYPE_MXFP4: return block_mxfp4;
    default: return NULL;
    }
}

bool dequant_supports(uint32_t dtype)
{
    return block_fn_of(dtype) != NULL;
}

void dequant_row(uint32_t dtype, float *dst, const void *src, int64_t n)
{
    block_fn *expand = block_fn_of(dtype);
    struct pl_dtype_info info = pl_dtype_info(dtype);
    const uint8_t *block = src;
    if (dtype == PL_DTYPE_F32) {
        memcpy(dst, src, (size_t)n * sizeof *dst);
        return;
    }
    for (int64_t i = 0; i < n; i += info.block_elems, block += info.block_bytes)
        expand(dst + i, block);
}
