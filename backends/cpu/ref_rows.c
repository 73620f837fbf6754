/*
 * cpu/ref_rows.c - reference of the ops that treat each row alone: slow, obvious, in double.
 */
#include "dequant.h"
#include "ops.h"
#include "ref.h"

#include <math.h>
#include <string.h>

double ref_activation(uint32_t act, double x)
{
    switch (act) {
    case PL_ACT_SILU: return x / (1.0 + exp(-x));
    case PL_ACT_GELU: return 0.5 * x * (1.0 + erf(x / sqrt(2.0)));
    case PL_ACT_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case PL_ACT_RELU: return x > 0.0 ? x : 0.0;
    default: return x;
    }
}

/* gpt-oss: gate clamped from above, up from both sides, sigmoid(alpha * gate). */
double ref_glu_value(uint32_t act, double gate, double up, double alpha, double limit)
{
    if (act != PL_ACT_SWIGLU_OAI)
        return ref_activation(act, gate) * up;
    double g = fmin(gate, limit);
    double u = fmax(-limit, fmin(up, limit));
    return g / (1.0 + exp(-alpha * g)) * (u + 1.0);
}

void ref_rms(double *dst, const float *x, const float *w, int64_t n, double eps)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    double scale = 1.0 / sqrt(sum / (double)n + eps);
    for (int64_t i = 0; i < n; i++)
        dst[i] = (double)x[i] * scale * (w != NULL ? (double)w[i] : 1.0);
}

/* The table may be packed: a tied one is a LINEAR's weight too. */
void ref_embed(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    const struct operand *table = &op->in[0];
    const int32_t *ids = step_binding(step, PL_BINDING_IDS);
    size_t row_bytes = 0;
    int64_t t;
    if (table->layout == PL_LAYOUT_FILE && !pl_row_bytes(table->dtype, table->cols, &row_bytes))
        return;
    while ((t = pool_next(worker, step->n_rows)) >= 0) {
        float *out = operand_f32(step, &op->out[0], t);
        if (table->layout == PL_LAYOUT_FILE)
            dequant_row(table->dtype, out, table->data + (size_t)ids[t] * row_bytes, table->cols);
        else
            linear_unpack_row(out, table->data, table->dtype, table->cols, ids[t]);
        if (op->p.embed.scale == 1.0F)
            continue;
        for (int64_t i = 0; i < table->cols; i++)
            out[i] *= op->p.embed.scale;
    }
}

void ref_rmsnorm(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    int64_t cols = op->out[0].cols;
    int64_t width = op->p.norm.width != 0 ? (int64_t)op->p.norm.width : cols;
    int64_t per_row = cols / width;
    const float *w = operand_vector(&op->in[1]);
    int64_t i;
    while ((i = pool_next(worker, operand_rows(step, &op->out[0]) * per_row)) >= 0) {
        const float *x = operand_f32(step, &op->in[0], i / per_row) + i % per_row * width;
        float *out = operand_f32(step, &op->out[0], i / per_row) + i % per_row * width;
        double sum = 0.0;
        for (int64_t k = 0; k < width; k++)
            sum += (double)x[k] * (double)x[k];
        double scale = 1.0 / sqrt(sum / (double)width + (double)op->p.norm.eps);
        for (int64_t k = 0; k < width; k++)
            out[k] = (float)((double)x[k] * scale * (w != NULL ? (double)w[k] : 1.0));
    }
}

void ref_layernorm(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    int64_t cols = op->out[0].cols;
    const float *w = operand_vector(&op->in[1]);
    const float *b = operand_vector(&op->in[2]);
    int64_t t;
    while ((t = pool_next(worker, operand_rows(step, &op->out[0]))) >= 0) {
        const float *x = operand_f32(step, &op->in[0], t);
        float *out = operand_f32(step, &op->out[0], t);
        double mean = 0.0;
        double variance = 0.0;
        for (int64_t i = 0; i < cols; i++)
            mean += (double)x[i] / (double)cols;
        for (int64_t i = 0; i < cols; i++)
            variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)cols;
        double scale = 1.0 / sqrt(variance + (double)op->p.norm.eps);
        for (int64_t i = 0; i < cols; i++)
            out[i] = (float)(((double)x[i] - mean) * scale * (w != NULL ? (double)w[i] : 1.0) +
                             (b != NULL ? (double)b[i] : 0.0));
    }
}

void ref_glu(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    const struct pl_glu_params *p = &op->p.glu;
    int64_t t;
    while ((t = pool_next(worker, operand_rows(step, &op->out[0]))) >= 0) {
        const float *gate = operand_f32(step, &op->in[0], t);
        const float *up = operand_f32(step, &op->in[1], t);
        float *out = operand_f32(step, &op->out[0], t);
        for (int64_t i = 0; i < op->out[0].cols; i++)
            out[i] = (float)ref_glu_value(p->act, (double)gate[i], (double)up[i], (double)p->alpha,
                                          (double)p->limit);
    }
}

void ref_act(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    int64_t t;
    while ((t = pool_next(worker, operand_rows(step, &op->out[0]))) >= 0) {
        const float *x = operand_f32(step, &op->in[0], t);
        float *out = operand_f32(step, &op->out[0], t);
        for (int64_t i = 0; i < op->out[0].cols; i++)
            out[i] = (float)ref_activation(op->p.glu.act, (double)x[i]);
    }
}

void ref_binary(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    bool vector = op->in[1].kind == PL_VALUE_WEIGHT;
    int64_t t;
    while ((t = pool_next(worker, operand_rows(step, &op->out[0]))) >= 0) {
        const float *a = operand_f32(step, &op->in[0], t);
        const float *b = operand_f32(step, &op->in[1], vector ? 0 : t);
        float *out = operand_f32(step, &op->out[0], t);
        for (int64_t i = 0; i < op->out[0].cols; i++)
            out[i] = op->opcode == PL_OP_ADD ? a[i] + b[i] : a[i] * b[i];
    }
}

/* SCALE, SOFTCAP, FILL. */
void ref_scale(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    double value = (double)op->p.scale.value;
    int64_t t;
    while ((t = pool_next(worker, operand_rows(step, &op->out[0]))) >= 0) {
        float *out = operand_f32(step, &op->out[0], t);
        const float *x = op->opcode != PL_OP_FILL ? operand_f32(step, &op->in[0], t) : NULL;
        for (int64_t i = 0; i < op->out[0].cols; i++) {
            if (x == NULL)
                out[i] = op->p.scale.value;
            else if (op->opcode == PL_OP_SOFTCAP)
                out[i] = (float)(value * tanh((double)x[i] / value));
            else
                out[i] = (float)((double)x[i] * value);
        }
    }
}

static void cast_row(uint32_t to, void *dst, uint32_t from, const void *src, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float value = from == PL_DTYPE_F32 ? ((const float *)src)[i] : 0.0F;
        if (from == PL_DTYPE_F16)
            value = half_to_float(((const uint16_t *)src)[i]);
        else if (from == PL_DTYPE_BF16)
            value = bits_to_float((uint32_t)((const uint16_t *)src)[i] << 16);
        if (to == PL_DTYPE_F32)
            ((float *)dst)[i] = value;
        else if (to == PL_DTYPE_F16)
            ((uint16_t *)dst)[i] = float_to_half(value);
        else
            ((uint16_t *)dst)[i] = float_to_bf16(value);
    }
}

/* COPY and CAST. */
void ref_copy(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    const struct operand *in = &op->in[0];
    const struct operand *out = &op->out[0];
    size_t in_bytes = (size_t)in->cols * pl_dtype_info(in->dtype).block_bytes;
    size_t out_bytes = (size_t)out->cols * pl_dtype_info(out->dtype).block_bytes;
    int64_t t;
    while ((t = pool_next(worker, operand_rows(step, out))) >= 0) {
        const uint8_t *src = (const uint8_t *)operand_data(step, in) + (size_t)t * in_bytes;
        uint8_t *dst = (uint8_t *)operand_data(step, out) + (size_t)t * out_bytes;
        if (in->dtype == out->dtype)
            memmove(dst, src, in_bytes);
        else
            cast_row(out->dtype, dst, in->dtype, src, in->cols);
    }
}

void ref_gather(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    const int32_t *index = operand_data(step, &op->in[1]);
    size_t bytes = (size_t)op->out[0].cols * sizeof(float);
    int64_t o;
    while ((o = pool_next(worker, operand_rows(step, &op->out[0]))) >= 0)
        memcpy(operand_f32(step, &op->out[0], o), operand_f32(step, &op->in[0], index[o]), bytes);
}

cpu_run_fn *ref_op(uint32_t opcode)
{
    switch (opcode) {
    case PL_OP_EMBED: return ref_embed;
    case PL_OP_LINEAR: return ref_linear;
    case PL_OP_RMSNORM: return ref_rmsnorm;
    case PL_OP_LAYERNORM: return ref_layernorm;
    case PL_OP_GLU: return ref_glu;
    case PL_OP_ACT: return ref_act;
    case PL_OP_ADD:
    case PL_OP_MUL: return ref_binary;
    case PL_OP_SCALE:
    case PL_OP_SOFTCAP:
    case PL_OP_FILL: return ref_scale;
    case PL_OP_COPY:
    case PL_OP_CAST: return ref_copy;
    case PL_OP_GATHER_ROWS: return ref_gather;
    case PL_OP_QKV_POST: return ref_qkv_post;
    case PL_OP_ATTN: return ref_attn;
    default: return NULL;
    }
}
