/*
 * bench/ops_data.c - random activations, and random weight blocks of every type.
 *
 * Quantised blocks are random bits; only their scales are set, so that values have a wanted spread. That
 * reaches every code of a format, which real quantisation does not.
 */
#include "ops_cases.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"

#include "base/banned.h"

void ops_fill_normal(float *out, size_t n, uint64_t seed, uint64_t stream, float mean, float spread)
{
    /* The sum of four uniform numbers: tails end at 3.5 deviations, which is fine for tests. */
    for (size_t i = 0; i < n; i++) {
        uint32_t r[4];
        rng_philox(seed, i, stream, r);
        double sum = 0;
        for (int k = 0; k < 4; k++)
            sum += (double)r[k] / 4294967296.0 - 0.5;
        out[i] = mean + spread * (float)(sum * 1.7320508);
    }
}

/* F32 to F16, to nearest even; tiny values become 0, large ones are cut. */
static uint16_t half_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint16_t sign = (uint16_t)((bits >> 16) & 0x8000u);
    int32_t exponent = (int32_t)((bits >> 23) & 0xffu) - 127 + 15;
    uint32_t mantissa = bits & 0x7fffffu;
    if (exponent <= 0) /* subnormal: multiples of 2^-24 */
        return (uint16_t)(sign | (uint16_t)lrintf(fabsf(x) * 16777216.0F));
    if (exponent >= 31)
        return (uint16_t)(sign | 0x7bffu);
    uint32_t half = ((uint32_t)exponent << 10) | (mantissa >> 13);
    uint32_t rest = mantissa & 0x1fffu;
    if (rest > 0x1000u || (rest == 0x1000u && (half & 1u) != 0))
        half++;
    return (uint16_t)(sign | PL_MIN(half, 0x7bffu));
}

static uint16_t bfloat_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

#define NO_FIELD (-1)

/* Where a block's half-precision fields are, and what its integers amount to. */
struct block_scales {
    uint32_t dtype;
    int scale_at;    /* byte offset of the scale */
    int min_at;      /* of the second field, or NO_FIELD */
    float rms;       /* of the integers that the scale multiplies, less their mean */
    float min_ratio; /* second field = scale * this, so that the mean is about 0 */
};

static const struct block_scales block_table[] = {
    {PL_DTYPE_Q4_0, 0, NO_FIELD, 4.6F, 0}, {PL_DTYPE_Q4_1, 0, 2, 4.6F, -7.5F},
    {PL_DTYPE_Q5_0, 0, NO_FIELD, 9.2F, 0}, {PL_DTYPE_Q5_1, 0, 2, 9.2F, -15.5F},
    {PL_DTYPE_Q8_0, 0, NO_FIELD, 74, 0},   {PL_DTYPE_Q2_K, 80, 82, 12, 1.5F},
    {PL_DTYPE_Q3_K, 108, NO_FIELD, 43, 0}, {PL_DTYPE_Q4_K, 0, 2, 210, 7.5F},
    {PL_DTYPE_Q5_K, 0, 2, 420, 15.5F},     {PL_DTYPE_Q6_K, 208, NO_FIELD, 1370, 0},
    {PL_DTYPE_IQ4_NL, 0, NO_FIELD, 70, 0}, {PL_DTYPE_IQ4_XS, 0, NO_FIELD, 1300, 0},
};

static void put_half(unsigned char *block, int at, float x)
{
    uint16_t half = half_of(x);
    if (at != NO_FIELD)
        memcpy(block + at, &half, sizeof half);
}

static void fill_random(unsigned char *out, size_t bytes, uint64_t seed, uint64_t stream)
{
    for (size_t i = 0; i < bytes; i += 16) {
        uint32_t r[4];
        rng_philox(seed, i / 16, stream, r);
        memcpy(out + i, r, PL_MIN(sizeof r, bytes - i));
    }
}

/* E8M0 scales are powers of two: the block's first byte. */
static void scale_mxfp4(unsigned char *out, size_t n_blocks, size_t block_bytes, float spread)
{
    int exponent = (int)lroundf(log2f(spread / 6.0F)); /* the doubled codes have an rms of 6 */
    for (size_t i = 0; i < n_blocks; i++)
        out[i * block_bytes] = (unsigned char)(128 + exponent + out[i * block_bytes] % 3 - 1);
}

static bool scale_blocks(unsigned char *out, uint32_t dtype, size_t n_blocks, float spread,
                         uint64_t seed, uint64_t stream)
{
    struct pl_dtype_info info = pl_dtype_info(dtype);
    if (dtype == PL_DTYPE_MXFP4) {
        scale_mxfp4(out, n_blocks, info.block_bytes, spread);
        return true;
    }
    const struct block_scales *row = NULL;
    for (size_t i = 0; i < PL_ARRAY_LEN(block_table); i++)
        row = block_table[i].dtype == dtype ? &block_table[i] : row;
    if (row == NULL)
        return false;
    for (size_t i = 0; i < n_blocks; i++) {
        float u = rng_uniform(seed, stream + 1000, i); /* 0.5 to 1.5 times, one in eight negative */
        float scale = spread / row->rms * (0.5F + u) * (i % 8 == 5 ? -1.0F : 1.0F);
        put_half(out + i * info.block_bytes, row->scale_at, scale);
        put_half(out + i * info.block_bytes, row->min_at, scale * row->min_ratio);
    }
    return true;
}

bool ops_fill_weight(void *out, uint32_t dtype, size_t n_elems, uint64_t seed, uint64_t stream,
                     float spread)
{
    struct pl_dtype_info info = pl_dtype_info(dtype);
    if (dtype == PL_DTYPE_F32) {
        ops_fill_normal(out, n_elems, seed, stream, 0, spread);
        return true;
    }
    if (dtype == PL_DTYPE_F16 || dtype == PL_DTYPE_BF16) {
        for (size_t i = 0; i < n_elems; i++) {
            float x = 0;
            ops_fill_normal(&x, 1, seed ^ (i << 20), stream, 0, spread);
            uint16_t bits = dtype == PL_DTYPE_F16 ? half_of(x) : bfloat_of(x);
            memcpy((char *)out + 2 * i, &bits, sizeof bits);
        }
        return true;
    }
    if (info.name == NULL)
        return false;
    size_t n_blocks = n_elems / info.block_elems;
    fill_random(out, n_blocks * info.block_bytes, seed, stream);
    return scale_blocks(out, dtype, n_blocks, spread, seed, stream);
}
