/*
 * cpu/fast_body.h - the row kernels, once for all instruction sets; included by fast_<isa>.c after its
 * simd_<isa>.h, which gives vf, vi, VF_N, vf_fma, vf_load_half, vf_store_half, vf_sum, vf_largest.
 *
 * A row's tail is computed in a vector padded with zeros, by the same instructions as its body.
 *
 * Threads: pure functions.  Source: see fast.h.
 */
#ifndef CPU_FAST_BODY_H
#define CPU_FAST_BODY_H

#include "fast.h"

#include <math.h>
#include <string.h>

typedef uint32_t vu __attribute__((vector_size(sizeof(vf))));

static inline vf vf_set1(float x)
{
    return x - (vf){0};
}

static inline vf vf_load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void vf_store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

/* n < VF_N elements, zeros behind them. */
static inline vf vf_load_part(const float *p, int64_t n)
{
    float part[VF_N] = {0};
    memcpy(part, p, (size_t)n * sizeof *p);
    return vf_load(part);
}

static inline void vf_store_part(float *p, vf v, int64_t n)
{
    float part[VF_N];
    vf_store(part, v);
    memcpy(p, part, (size_t)n * sizeof *p);
}

static inline vf vf_select(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

/* A NaN in x stays. */
static inline vf vf_clamp(vf x, float low, float high)
{
    x = vf_select((vi)(x < vf_set1(low)), vf_set1(low), x);
    return vf_select((vi)(x > vf_set1(high)), vf_set1(high), x);
}

/* e^x, relative error below 2e-7 for -87.3 <= x <= 88.3; clamped outside. 2^n is made by putting n
 * into the exponent: adding 1.5 * 2^23 leaves the nearest integer in the low bits. */
static inline vf vf_exp(vf x)
{
    const vf magic = vf_set1(12582912.0F);
    x = vf_clamp(x, -87.3F, 88.3F);
    vf t = vf_fma(x, vf_set1(1.44269504F), magic);
    vf n = t - magic;
    vf r = vf_fma(n, vf_set1(-0.693359375F), x);
    r = vf_fma(n, vf_set1(2.12194440e-4F), r);
    vf p = vf_set1(1.9875691500e-4F);
    p = vf_fma(p, r, vf_set1(1.3981999507e-3F));
    p = vf_fma(p, r, vf_set1(8.3334519073e-3F));
    p = vf_fma(p, r, vf_set1(4.1665795894e-2F));
    p = vf_fma(p, r, vf_set1(1.6666665459e-1F));
    p = vf_fma(p, r, vf_set1(5.0000001201e-1F));
    p = vf_fma(p, r * r, r) + vf_set1(1.0F);
    return p * (vf)(((vu)t + 127u) << 23);
}

/* tanh x: a polynomial near 0, where 1 - 2 / (e^2x + 1) would lose its digits. */
static inline vf vf_tanh(vf x)
{
    vf z = x * x;
    vf p = vf_set1(-5.70498872745e-3F);
    p = vf_fma(p, z, vf_set1(2.06390887954e-2F));
    p = vf_fma(p, z, vf_set1(-5.37397155531e-2F));
    p = vf_fma(p, z, vf_set1(1.33314422036e-1F));
    p = vf_fma(p, z, vf_set1(-3.33332819422e-1F));
    vf near = vf_fma(p * z, x, x);
    vf far = vf_set1(1.0F) - vf_set1(2.0F) / (vf_exp(x + x) + vf_set1(1.0F));
    return vf_select((vi)(z < vf_set1(0.390625F)), near, far);
}

static inline vf vf_sigmoid(vf x)
{
    return vf_set1(1.0F) / (vf_set1(1.0F) + vf_exp(-x));
}

/* ---- elementwise ----------------------------------------------------------------------------- */

typedef vf unary_fn(vf x, float value);
typedef vf binary_fn(vf a, vf b, const struct pl_glu_params *p);

/* Inlined with a constant fn, so that each kernel is one loop. */
static inline __attribute__((always_inline)) void map1(float *y, const float *x, float value,
                                                       int64_t n, unary_fn *fn)
{
    int64_t i = 0;
    for (; i + VF_N <= n; i += VF_N)
        vf_store(y + i, fn(vf_load(x + i), value));
    if (i < n)
        vf_store_part(y + i, fn(vf_load_part(x + i, n - i), value), n - i);
}

static inline __attribute__((always_inline)) void map2(float *y, const float *a, const float *b,
                                                       const struct pl_glu_params *p, int64_t n,
                                                       binary_fn *fn)
{
    int64_t i = 0;
    for (; i + VF_N <= n; i += VF_N)
        vf_store(y + i, fn(vf_load(a + i), vf_load(b + i), p));
    if (i < n)
        vf_store_part(y + i, fn(vf_load_part(a + i, n - i), vf_load_part(b + i, n - i), p), n - i);
}

static inline vf one_add(vf a, vf b, const struct pl_glu_params *p)
{
    (void)p;
    return a + b;
}

static inline vf one_mul(vf a, vf b, const struct pl_glu_params *p)
{
    (void)p;
    return a * b;
}

static inline vf one_scale(vf x, float value)
{
    return x * vf_set1(value);
}

static inline vf one_softcap(vf x, float value)
{
    return vf_tanh(x / vf_set1(value)) * vf_set1(value);
}

static inline vf one_silu(vf x, float value)
{
    (void)value;
    return x * vf_sigmoid(x);
}

static inline vf one_gelu_tanh(vf x, float value)
{
    (void)value;
    vf cubic = vf_fma(x * x * x, vf_set1(0.044715F), x);
    vf half = x * vf_set1(0.5F);
    return vf_fma(half, vf_tanh(cubic * vf_set1(0.797884561F)), half);
}

static inline vf one_gelu(vf x, float value)
{
    float e[VF_N];
    (void)value;
    vf_store(e, x * vf_set1(0.707106781F));
    for (int i = 0; i < VF_N; i++)
        e[i] = erff(e[i]);
    vf half = x * vf_set1(0.5F);
    return vf_fma(half, vf_load(e), half);
}

static inline vf one_relu(vf x, float value)
{
    (void)value;
    return vf_select((vi)(x < vf_set1(0.0F)), vf_set1(0.0F), x);
}

static inline vf glu_silu(vf gate, vf up, const struct pl_glu_params *p)
{
    (void)p;
    return one_silu(gate, 0.0F) * up;
}

static inline vf glu_gelu(vf gate, vf up, const struct pl_glu_params *p)
{
    (void)p;
    return one_gelu(gate, 0.0F) * up;
}

static inline vf glu_gelu_tanh(vf gate, vf up, const struct pl_glu_params *p)
{
    (void)p;
    return one_gelu_tanh(gate, 0.0F) * up;
}

static inline vf glu_relu(vf gate, vf up, const struct pl_glu_params *p)
{
    (void)p;
    return one_relu(gate, 0.0F) * up;
}

static inline vf glu_oai(vf gate, vf up, const struct pl_glu_params *p)
{
    gate = vf_select((vi)(gate > vf_set1(p->limit)), vf_set1(p->limit), gate);
    up = vf_clamp(up, -p->limit, p->limit);
    return gate * vf_sigmoid(gate * vf_set1(p->alpha)) * (up + vf_set1(1.0F));
}

static void body_add(float *y, const float *a, const float *b, int64_t n)
{
    map2(y, a, b, NULL, n, one_add);
}

static void body_mul(float *y, const float *a, const float *b, int64_t n)
{
    map2(y, a, b, NULL, n, one_mul);
}

static void body_scale(float *y, const float *x, float value, int64_t n)
{
    map1(y, x, value, n, one_scale);
}

static void body_softcap(float *y, const float *x, float cap, int64_t n)
{
    map1(y, x, cap, n, one_softcap);
}

static void body_act(float *y, const float *x, uint32_t act, int64_t n)
{
    switch (act) {
    case PL_ACT_SILU: map1(y, x, 0.0F, n, one_silu); break;
    case PL_ACT_GELU: map1(y, x, 0.0F, n, one_gelu); break;
    case PL_ACT_GELU_TANH: map1(y, x, 0.0F, n, one_gelu_tanh); break;
    case PL_ACT_RELU: map1(y, x, 0.0F, n, one_relu); break;
    default: memmove(y, x, (size_t)n * sizeof *y); break;
    }
}

static void body_glu(float *y, const float *gate, const float *up, const struct pl_glu_params *p,
                     int64_t n)
{
    switch (p->act) {
    case PL_ACT_SILU: map2(y, gate, up, p, n, glu_silu); break;
    case PL_ACT_GELU: map2(y, gate, up, p, n, glu_gelu); break;
    case PL_ACT_GELU_TANH: map2(y, gate, up, p, n, glu_gelu_tanh); break;
    case PL_ACT_RELU: map2(y, gate, up, p, n, glu_relu); break;
    case PL_ACT_SWIGLU_OAI: map2(y, gate, up, p, n, glu_oai); break;
    default: map2(y, gate, up, p, n, one_mul); break;
    }
}

static void body_to_half(uint16_t *y, const float *x, int64_t n)
{
    int64_t i = 0;
    for (; i + VF_N <= n; i += VF_N)
        vf_store_half(y + i, vf_load(x + i));
    if (i < n) {
        uint16_t part[VF_N];
        vf_store_half(part, vf_load_part(x + i, n - i));
        memcpy(y + i, part, (size_t)(n - i) * sizeof *y);
    }
}

/* ---- sums over a row ------------------------------------------------------------------------- */

/* Four chains hide the latency of the multiply-add; their number is part of the result's definition. */
static inline float dot_row(const float *a, const float *b, int64_t n)
{
    vf s0 = vf_set1(0.0F);
    vf s1 = s0;
    vf s2 = s0;
    vf s3 = s0;
    int64_t i = 0;
    for (; i + 4 * VF_N <= n; i += 4 * VF_N) {
        s0 = vf_fma(vf_load(a + i), vf_load(b + i), s0);
        s1 = vf_fma(vf_load(a + i + VF_N), vf_load(b + i + VF_N), s1);
        s2 = vf_fma(vf_load(a + i + 2 * VF_N), vf_load(b + i + 2 * VF_N), s2);
        s3 = vf_fma(vf_load(a + i + 3 * VF_N), vf_load(b + i + 3 * VF_N), s3);
    }
    for (; i + VF_N <= n; i += VF_N)
        s0 = vf_fma(vf_load(a + i), vf_load(b + i), s0);
    if (i < n)
        s1 = vf_fma(vf_load_part(a + i, n - i), vf_load_part(b + i, n - i), s1);
    return vf_sum((s0 + s2) + (s1 + s3));
}

static void body_dots(float *y, const float *x, const float *w, int64_t n, int64_t n_w)
{
    for (int64_t j = 0; j < n_w; j++)
        y[j] = dot_row(x, w + j * n, n);
}

static void body_rmsnorm(float *y, const float *x, const float *w, int64_t n, float eps)
{
    float scale = 1.0F / sqrtf(dot_row(x, x, n) / (float)n + eps);
    body_scale(y, x, scale, n);
    if (w != NULL)
        body_mul(y, y, w, n);
}

static void body_layernorm(float *y, const float *x, const float *w, const float *b, int64_t n,
                           float eps)
{
    vf sum = vf_set1(0.0F);
    int64_t i = 0;
    for (; i + VF_N <= n; i += VF_N)
        sum += vf_load(x + i);
    if (i < n)
        sum += vf_load_part(x + i, n - i);
    float mean = vf_sum(sum) / (float)n;
    for (i = 0; i < n; i++)
        y[i] = x[i] - mean;
    body_scale(y, y, 1.0F / sqrtf(dot_row(y, y, n) / (float)n + eps), n);
    if (w != NULL)
        body_mul(y, y, w, n);
    if (b != NULL)
        body_add(y, y, b, n);
}

/* ---- rotary embedding ------------------------------------------------------------------------ */

static void body_rope(float *x, const float *cosine, const float *sine, int64_t half, uint32_t rope)
{
    int64_t i = 0;
    if (rope == PL_ROPE_NORM) {
        for (; i < half; i++) {
            float a = x[2 * i];
            float b = x[2 * i + 1];
            x[2 * i] = a * cosine[i] - b * sine[i];
            x[2 * i + 1] = a * sine[i] + b * cosine[i];
        }
        return;
    }
    for (; i + VF_N <= half; i += VF_N) {
        vf a = vf_load(x + i);
        vf b = vf_load(x + half + i);
        vf c = vf_load(cosine + i);
        vf s = vf_load(sine + i);
        vf_store(x + i, a * c - b * s);
        vf_store(x + half + i, a * s + b * c);
    }
    for (; i < half; i++) {
        float a = x[i];
        float b = x[half + i];
        x[i] = a * cosine[i] - b * sine[i];
        x[half + i] = a * sine[i] + b * cosine[i];
    }
}

#endif
