/*
 * linear_case.c - see linear_case.h.
 */
#include "linear_case.h"

#include "dequant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Limits: int8 with a scale per 32 (256) normal values has an NMSE of about 2e-5 (4e-5); the minima of
 * Q4_K cancel part of the output of random weights, which makes the rest weigh more. */
const struct case_type case_types[] = {
    {PL_DTYPE_F32, 0, "F32", 1e-10, {-1, -1}},     {PL_DTYPE_F16, 0, "F16", 1e-10, {-1, -1}},
    {PL_DTYPE_BF16, 0, "BF16", 1e-5, {-1, -1}},    {PL_DTYPE_Q8_0, 8, "Q8_0", 1e-4, {0, -1}},
    {PL_DTYPE_Q4_0, 12, "Q4_0", 1e-4, {0, -1}},    {PL_DTYPE_Q4_1, 12, "Q4_1", 2e-4, {0, 2}},
    {PL_DTYPE_Q5_0, 11, "Q5_0", 1e-4, {0, -1}},    {PL_DTYPE_Q5_1, 11, "Q5_1", 2e-4, {0, 2}},
    {PL_DTYPE_IQ4_NL, 8, "IQ4_NL", 1e-4, {0, -1}}, {PL_DTYPE_MXFP4, 124, "MXFP4", 1e-4, {-1, -1}},
    {PL_DTYPE_Q2_K, 9, "Q2_K", 2e-4, {80, 82}},    {PL_DTYPE_Q3_K, 8, "Q3_K", 2e-4, {108, -1}},
    {PL_DTYPE_IQ4_XS, 4, "IQ4_XS", 2e-4, {0, -1}}, {PL_DTYPE_Q4_K, 8, "Q4_K", 2e-4, {0, 2}},
    {PL_DTYPE_Q5_K, 7, "Q5_K", 2e-4, {0, 2}},      {PL_DTYPE_Q6_K, 5, "Q6_K", 2e-4, {208, -1}},
};
const int case_n_types = (int)PL_ARRAY_LEN(case_types);

int case_levels(enum linear_level ret[LINEAR_LEVELS])
{
    int n = 0;
    ret[n++] = LINEAR_SCALAR;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        ret[n++] = LINEAR_AVX2;
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni"))
        ret[n++] = LINEAR_AVX512;
    if (n == 3 && __builtin_cpu_supports("avx512bf16"))
        ret[n++] = LINEAR_AVX512_BF16;
#elif defined(__aarch64__)
    ret[n++] = LINEAR_NEON;
#endif
    return n;
}

const char *case_level_name(enum linear_level level)
{
    static const char *const names[LINEAR_LEVELS] = {"scalar", "avx2", "avx512", "avx512_bf16",
                                                     "neon"};
    return names[level];
}

uint32_t case_random(uint64_t *state)
{
    uint64_t s = *state;
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    *state = s;
    return (uint32_t)(s * 0x2545f4914f6cdd1du >> 32);
}

float case_uniform(uint64_t *state)
{
    return (float)(int32_t)(case_random(state) & ~0xffu) * 0x1p-31f;
}

float case_normal(uint64_t *state)
{
    float sum = 0;
    for (int i = 0; i < 6; i++)
        sum += case_uniform(state);
    return sum * 0.70710678f;
}

/* ---- memory: [size, 64 bytes of header] data [64 bytes of sentinel] ---------------------------- */

void *case_alloc(size_t bytes, int fill)
{
    uint8_t *base = aligned_alloc(LINEAR_ALIGN, pl_align_up(bytes, LINEAR_ALIGN) + 192);
    assert_non_null(base);
    memcpy(base, &bytes, sizeof bytes);
    memset(base + 64, fill, bytes);
    memset(base + 64 + bytes, 0xa5, 64);
    return base + 64;
}

void case_release(void *memory)
{
    uint8_t *data = memory;
    size_t bytes;
    memcpy(&bytes, data - 64, sizeof bytes);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(data[bytes + i], 0xa5);
    free(data - 64);
}

/* ---- weights --------------------------------------------------------------------------------- */

/* A random f16: any mantissa and sign, exponent up to the type's, now and then zero or subnormal. */
static uint16_t random_scale(uint64_t *state, uint32_t exponent)
{
    uint32_t bits = case_random(state);
    uint32_t e = exponent - (bits >> 16) % 3;
    if ((bits >> 20) % 64 == 0)
        e = 0;
    return (uint16_t)((bits & 0x83ffu) | e << 10);
}

/* An e8m0 exponent up to the type's, now and then one of the two that make subnormal floats. */
static uint8_t random_exponent(uint64_t *state, uint32_t exponent)
{
    uint32_t bits = case_random(state);
    return (uint8_t)(bits % 64 == 0 ? bits >> 8 & 1 : exponent - (bits >> 16) % 3);
}

static void fill_rows(uint8_t *file, const struct case_type *type, size_t bytes, uint64_t *state)
{
    struct pl_dtype_info info = pl_dtype_info(type->dtype);
    for (size_t at = 0; at + info.block_bytes <= bytes; at += info.block_bytes) {
        float value = case_normal(state) * 0.05f;
        uint16_t half = float_to_half(value), brain = float_to_bf16(value);
        switch (type->dtype) {
        case PL_DTYPE_F32: memcpy(file + at, &value, 4); continue;
        case PL_DTYPE_F16: memcpy(file + at, &half, 2); continue;
        case PL_DTYPE_BF16: memcpy(file + at, &brain, 2); continue;
        default: break;
        }
        for (uint32_t i = 0; i < info.block_bytes; i++)
            file[at + i] = (uint8_t)case_random(state);
        if (type->dtype == PL_DTYPE_MXFP4)
            file[at] = random_exponent(state, type->exponent);
        for (int i = 0; i < 2 && type->scale_at[i] >= 0; i++) {
            uint16_t scale = random_scale(state, type->exponent);
            memcpy(file + at + (size_t)type->scale_at[i], &scale, 2);
        }
    }
}

void case_weight_init(struct case_weight *w, const struct case_type *type, int64_t rows,
                      int64_t cols, uint64_t seed)
{
    *w = (struct case_weight){.type = type, .rows = rows, .cols = cols};
    uint32_t layout;
    uint64_t bytes;
    assert_true(pl_row_bytes(type->dtype, cols, &w->row_bytes));
    assert_true(linear_layout_query(type->dtype, rows, cols, &layout, &bytes));
    assert_int_equal(layout, LINEAR_LAYOUT_R16);
    assert_int_equal(bytes % LINEAR_ALIGN, 0);
    w->packed_bytes = (size_t)bytes;
    w->file = case_alloc((size_t)rows * w->row_bytes, 0);
    w->packed = case_alloc(w->packed_bytes, 0xcc);
    fill_rows(w->file, type, (size_t)rows * w->row_bytes, &seed);
    linear_pack_range(w->packed, w->file, w->row_bytes, type->dtype, rows, cols, 0,
                      linear_panels(rows));
}

void case_weight_deinit(struct case_weight *w)
{
    case_release(w->file);
    case_release(w->packed);
}

uint8_t *case_prepare(const struct linear_isa *isa, uint32_t dtype, const float *x, int64_t cols,
                      int64_t n_rows)
{
    enum linear_act_format format = linear_act_format(isa, dtype);
    assert_int_not_equal(format, LINEAR_ACT_NONE);
    uint8_t *act = case_alloc((size_t)n_rows * linear_act_row_bytes(format, cols), 0);
    linear_act_prepare(isa, format, act, x, cols, cols, 0, n_rows);
    return act;
}

/* ---- references ------------------------------------------------------------------------------ */

/* x rounded to int8 by blocks: largest magnitude is 127, ties to even. */
static void round_blocks(float *x, int64_t cols, int64_t block)
{
    for (int64_t b = 0; b < cols; b += block) {
        float max = 0;
        for (int64_t k = b; k < b + block; k++)
            max = fmaxf(max, fabsf(x[k]));
        float d = max / 127.0f, inverse = max != 0 ? 127.0f / max : 0;
        for (int64_t k = b; k < b + block; k++)
            x[k] = d * nearbyintf(x[k] * inverse);
    }
}

static void round_row(float *x, int64_t cols, enum linear_act_format format)
{
    if (format == LINEAR_ACT_Q8_32)
        round_blocks(x, cols, 32);
    if (format == LINEAR_ACT_Q8_256)
        round_blocks(x, cols, 256);
    for (int64_t k = 0; k < cols && format == LINEAR_ACT_BF16; k++)
        x[k] = bits_to_float((uint32_t)float_to_bf16(x[k]) << 16);
}

void case_reference(double *ref, const struct case_weight *w, const float *x, int64_t n_rows,
                    enum linear_act_format rounded_as)
{
    size_t bytes = (size_t)w->cols * sizeof(float);
    float *row = case_alloc(bytes, 0), *in = case_alloc(bytes * (size_t)n_rows, 0);
    memcpy(in, x, bytes * (size_t)n_rows);
    for (int64_t t = 0; t < n_rows; t++)
        round_row(in + t * w->cols, w->cols, rounded_as);
    for (int64_t n = 0; n < w->rows; n++) {
        dequant_row(w->type->dtype, row, w->file + (size_t)n * w->row_bytes, w->cols);
        for (int64_t t = 0; t < n_rows; t++) {
            double sum = 0;
            for (int64_t k = 0; k < w->cols; k++)
                sum += (double)row[k] * (double)in[t * w->cols + k];
            ref[t * w->rows + n] = sum;
        }
    }
    case_release(row);
    case_release(in);
}

bool case_same_bits(float a, float b)
{
    return float_to_bits(a) == float_to_bits(b);
}

double case_nmse(const float *a, const double *b, int64_t n)
{
    double error = 0, power = 0;
    for (int64_t i = 0; i < n; i++) {
        error += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        power += b[i] * b[i];
    }
    return error == 0 ? 0 : error / power;
}
