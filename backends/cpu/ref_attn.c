/*
 * cpu/ref_attn.c - reference of QKV_POST and ATTN over the paged cache, element by element, in double.
 */
#include "dequant.h"
#include "kv.h"
#include "ops.h"
#include "ref.h"

#include <math.h>

/* Where an element is in its part of a tile: at index `at`; Q8_0 with a scale at index `scale_at`. */
struct place {
    uint32_t dtype;
    uint8_t *part;
    size_t at;
    uint16_t *scale; /* Q8_0 */
};

static struct place place_k(const struct kv_geometry *kv, uint8_t *tile, size_t i, size_t slot)
{
    if (kv->dtype_k == PL_DTYPE_Q8_0)
        return (struct place){kv->dtype_k, tile, kv_q8_k_at(i, slot),
                              kv_q8_scales(tile, kv->head_dim_k) + kv_q8_scale_at(i, slot)};
    return (struct place){kv->dtype_k, tile, i * KV_TILE + slot, NULL};
}

static struct place place_v(const struct kv_geometry *kv, uint8_t *tile, size_t i, size_t slot)
{
    uint8_t *part = tile + kv->tile_k_bytes;
    if (kv->dtype_v == PL_DTYPE_Q8_0)
        return (struct place){kv->dtype_v, part, slot * kv_v_stride(kv) + i,
                              kv_q8_scales(part, kv->head_dim_v) + kv_q8_scale_at(i, slot)};
    return (struct place){kv->dtype_v, part, slot * kv_v_stride(kv) + i, NULL};
}

static double kv_read(struct place p)
{
    if (p.dtype == PL_DTYPE_Q8_0)
        return (double)half_to_float(*p.scale) * ((const int8_t *)(const void *)p.part)[p.at];
    if (p.dtype == PL_DTYPE_F16)
        return (double)half_to_float(((const uint16_t *)(const void *)p.part)[p.at]);
    return (double)((const float *)(const void *)p.part)[p.at];
}

/* The scale of n values as F16 holds it; NaN where it can't. */
static uint16_t q8_scale(const double *x, size_t n)
{
    double largest = 0.0;
    for (size_t i = 0; i < n; i++)
        largest = !(fabs(x[i]) <= largest) ? fabs(x[i]) : largest; /* a NaN is kept */
    float scale = (float)largest / 127.0F;
    return scale <= 65504.0F ? float_to_half(scale) : KV_Q8_NAN;
}

/* Writes element i of x, a position's n elements. */
static void kv_write(struct place p, const double *x, size_t i)
{
    if (p.dtype == PL_DTYPE_Q8_0) {
        *p.scale = q8_scale(x + i / KV_Q8_BLOCK * KV_Q8_BLOCK, KV_Q8_BLOCK);
        double d = (double)half_to_float(*p.scale);
        double whole = d > 0.0 ? rint(x[i] / d) : 0.0;
        p.part[p.at] = (uint8_t)(int8_t)fmax(-127.0, fmin(127.0, whole));
    } else if (p.dtype == PL_DTYPE_F16) {
        ((uint16_t *)(void *)p.part)[p.at] = float_to_half((float)x[i]);
    } else {
        ((float *)(void *)p.part)[p.at] = (float)x[i];
    }
}

static const int32_t *block_row(const struct cpu_step *step, const struct kv_geometry *kv,
                                int64_t seq)
{
    return step_binding(step, PL_BINDING_BLOCK_TABLE + kv->group_i) + seq * kv->max_blocks;
}

/* Rotates one head in place. */
static void rotate(double *x, const struct cpu_op *op, int64_t pos)
{
    const struct pl_qkv_post_params *p = &op->p.qkv_post;
    const float *factors = operand_vector(&op->in[PL_QKV_FACTORS]);
    double magnitude = rope_magnitude(p);
    uint32_t half = p->rot_dim / 2;
    if (p->rope == PL_ROPE_NONE)
        return;
    for (uint32_t i = 0; i < half; i++) {
        double theta = (double)pos * op->rope_inv[i] / (factors != NULL ? (double)factors[i] : 1.0);
        uint32_t a = p->rope == PL_ROPE_NORM ? 2 * i : i;
        uint32_t b = p->rope == PL_ROPE_NORM ? 2 * i + 1 : i + half;
        double xa = x[a];
        double xb = x[b];
        x[a] = (xa * cos(theta) - xb * sin(theta)) * magnitude;
        x[b] = (xa * sin(theta) + xb * cos(theta)) * magnitude;
    }
}

/* dst = rope(norm(x + bias)) of head h of a row. */
static void prepare_head(double *dst, const struct cpu_op *op, const float *x, const float *bias,
                         const float *norm, int64_t pos)
{
    const struct pl_qkv_post_params *p = &op->p.qkv_post;
    double sum = 0.0;
    for (uint32_t i = 0; i < p->head_dim; i++) {
        dst[i] = (double)x[i] + (bias != NULL ? (double)bias[i] : 0.0);
        sum += dst[i] * dst[i];
    }
    double scale = 1.0 / sqrt(sum / p->head_dim + (double)p->norm_eps);
    for (uint32_t i = 0; norm != NULL && i < p->head_dim; i++)
        dst[i] *= scale * (double)norm[i];
    rotate(dst, op, pos);
}

static const float *at(const float *vector, size_t i)
{
    return vector != NULL ? vector + i : NULL;
}

static void write_kv_head(const struct cpu_step *step, const struct cpu_op *op, int64_t t,
                          uint32_t head)
{
    const struct pl_qkv_post_params *p = &op->p.qkv_post;
    const struct kv_geometry *kv = &op->kv;
    const float *k = operand_f32(step, &op->in[PL_QKV_K], t) + (size_t)head * p->head_dim;
    const float *v = operand_f32(step, &op->in[PL_QKV_V], t) + (size_t)head * p->head_dim_v;
    const float *bias_k = operand_vector(&op->in[PL_QKV_BIAS_K]);
    const float *bias_v = at(operand_vector(&op->in[PL_QKV_BIAS_V]), (size_t)head * p->head_dim_v);
    int64_t pos = step_binding(step, PL_BINDING_POS)[t];
    int64_t seq = step_binding(step, PL_BINDING_ROW_SEQ)[t];
    uint8_t *tile = kv_tile(kv, block_row(step, kv, seq), p->kv_layer, head, pos);
    size_t slot = (size_t)pos & (kv->tile_tokens - 1);
    double row[CPU_HEAD_DIM_MAX] = {0.0};
    prepare_head(row, op, k, at(bias_k, (size_t)head * p->head_dim),
                 operand_vector(&op->in[PL_QKV_NORM_K]), pos);
    for (size_t i = 0; i < p->head_dim; i++)
        kv_write(place_k(kv, tile, i, slot), row, i);
    for (size_t i = 0; i < p->head_dim_v; i++)
        row[i] = (double)v[i] + (bias_v != NULL ? (double)bias_v[i] : 0.0);
    for (size_t i = 0; i < p->head_dim_v; i++)
        kv_write(place_v(kv, tile, i, slot), row, i);
}

void ref_qkv_post(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    const struct pl_qkv_post_params *p = &op->p.qkv_post;
    const float *bias_q = operand_vector(&op->in[PL_QKV_BIAS_Q]);
    const int32_t *pos = step_binding(step, PL_BINDING_POS);
    double row[CPU_HEAD_DIM_MAX] = {0.0};
    int64_t t;
    while ((t = pool_next(worker, step->n_rows)) >= 0) {
        for (uint32_t h = 0; h < p->n_heads; h++) {
            size_t begin = (size_t)h * p->head_dim;
            prepare_head(row, op, operand_f32(step, &op->in[PL_QKV_Q], t) + begin,
                         at(bias_q, begin), operand_vector(&op->in[PL_QKV_NORM_Q]), pos[t]);
            for (uint32_t i = 0; i < p->head_dim; i++)
                operand_f32(step, &op->out[0], t)[begin + i] = (float)row[i];
        }
        for (uint32_t h = 0; h < p->n_kv_heads; h++)
            write_kv_head(step, op, t, h);
    }
}

/* ---- attention ------------------------------------------------------------------------------- */

/* Positions [*begin, *end) that row t sees. */
static void visible(const struct cpu_step *step, const struct cpu_op *op, int64_t t, int64_t *begin,
                    int64_t *end)
{
    const struct pl_attn_params *p = &op->p.attn;
    int64_t pos = step_binding(step, PL_BINDING_POS)[t];
    int64_t seq = step_binding(step, PL_BINDING_ROW_SEQ)[t];
    bool upto_own = (op->flags & PL_ATTN_CAUSAL) != 0 || p->window > 0;
    *end = upto_own ? pos + 1 : step_binding(step, PL_BINDING_KV_LEN)[seq];
    *begin = p->window > 0 ? PL_MAX((int64_t)0, pos + 1 - (int64_t)p->window) : 0;
}

static double score(const struct cpu_step *step, const struct cpu_op *op, int64_t t, uint32_t h,
                    int64_t j)
{
    const struct pl_attn_params *p = &op->p.attn;
    const struct kv_geometry *kv = &op->kv;
    const float *q = operand_f32(step, &op->in[PL_ATTN_Q], t) + (size_t)h * p->head_dim;
    const int32_t *blocks = block_row(step, kv, step_binding(step, PL_BINDING_ROW_SEQ)[t]);
    uint32_t head = h / (p->n_heads / p->n_kv_heads);
    uint8_t *tile = kv_tile(kv, blocks, p->kv_layer, head, j);
    size_t slot = (size_t)j & (kv->tile_tokens - 1);
    double sum = 0.0;
    for (size_t i = 0; i < p->head_dim; i++)
        sum += (double)q[i] * kv_read(place_k(kv, tile, i, slot));
    sum *= (double)p->scale;
    return p->softcap > 0.0F ? (double)p->softcap * tanh(sum / (double)p->softcap) : sum;
}

static void attend(const struct cpu_step *step, const struct cpu_op *op, int64_t t, uint32_t h)
{
    const struct pl_attn_params *p = &op->p.attn;
    const struct kv_geometry *kv = &op->kv;
    const float *sinks = operand_vector(&op->in[PL_ATTN_SINKS]);
    const int32_t *blocks = block_row(step, kv, step_binding(step, PL_BINDING_ROW_SEQ)[t]);
    uint32_t head = h / (p->n_heads / p->n_kv_heads);
    double out[CPU_HEAD_DIM_MAX] = {0.0};
    int64_t begin;
    int64_t end;
    visible(step, op, t, &begin, &end);
    double max = sinks != NULL ? (double)sinks[h] : -(double)INFINITY;
    for (int64_t j = begin; j < end; j++)
        max = fmax(max, score(step, op, t, h, j));
    double sum = sinks != NULL ? exp((double)sinks[h] - max) : 0.0;
    for (int64_t j = begin; j < end; j++) {
        double weight = exp(score(step, op, t, h, j) - max);
        uint8_t *tile = kv_tile(kv, blocks, p->kv_layer, head, j);
        size_t slot = (size_t)j & (kv->tile_tokens - 1);
        sum += weight;
        for (size_t i = 0; i < p->head_dim_v; i++)
            out[i] += weight * kv_read(place_v(kv, tile, i, slot));
    }
    for (size_t i = 0; i < p->head_dim_v; i++)
        operand_f32(step, &op->out[0], t)[(size_t)h * p->head_dim_v + i] = (float)(out[i] / sum);
}

void ref_attn(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    int64_t n_heads = op->p.attn.n_heads;
    int64_t i;
    while ((i = pool_next(worker, step->n_rows * n_heads)) >= 0)
        attend(step, op, i / n_heads, (uint32_t)(i % n_heads));
}
