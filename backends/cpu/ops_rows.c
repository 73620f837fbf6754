/*
 * cpu/ops_rows.c - fast path of the ops that treat each row alone, and the table of the fast path.
 *
 * A chunk of work is one row: rows are thousands of elements, and one row per step (decode) is run by
 * whichever worker comes first.
 */
#include "fast.h"
#include "ops.h"

#include <string.h>

const struct fast_kernels *fast_kernels_get(enum cpu_isa isa, bool vnni)
{
#if defined(__x86_64__)
    if (vnni && isa == CPU_ISA_AVX512)
        return &fast_avx512_vnni_kernels;
#else
    (void)vnni;
#endif
    static const struct fast_kernels *const built[] = {
        &fast_scalar_kernels,
#if defined(__x86_64__)
        &fast_avx2_kernels,
        &fast_avx512_kernels,
#elif defined(__aarch64__)
        &fast_neon_kernels,
#endif
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(built); i++)
        if (built[i]->isa == isa)
            return built[i];
    return NULL;
}

void fast_norm(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    const struct fast_kernels *f = step->device->fast;
    const float *w = operand_vector(&op->in[1]);
    const float *b = operand_vector(&op->in[2]);
    int64_t cols = op->out[0].cols;
    int64_t width = op->p.norm.width != 0 ? (int64_t)op->p.norm.width : cols;
    int64_t t;
    while ((t = pool_next(worker, operand_rows(step, &op->out[0]))) >= 0) {
        const float *x = operand_f32(step, &op->in[0], t);
        float *y = operand_f32(step, &op->out[0], t);
        if (op->opcode == PL_OP_LAYERNORM)
            f->layernorm(y, x, w, b, cols, op->p.norm.eps);
        else
            for (int64_t i = 0; i < cols; i += width)
                f->rmsnorm(y + i, x + i, w, width, op->p.norm.eps);
    }
}

void fast_glu(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    int64_t t;
    while ((t = pool_next(worker, operand_rows(step, &op->out[0]))) >= 0)
        step->device->fast->glu(operand_f32(step, &op->out[0], t), operand_f32(step, &op->in[0], t),
                                operand_f32(step, &op->in[1], t), &op->p.glu, op->out[0].cols);
}

void fast_act(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    int64_t t;
    while ((t = pool_next(worker, operand_rows(step, &op->out[0]))) >= 0)
        step->device->fast->act(operand_f32(step, &op->out[0], t), operand_f32(step, &op->in[0], t),
                                op->p.glu.act, op->out[0].cols);
}

/* ADD and MUL; b may be a vector, for all rows. */
void fast_binary(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    const struct fast_kernels *f = step->device->fast;
    bool vector = op->in[1].kind == PL_VALUE_WEIGHT;
    int64_t t;
    while ((t = pool_next(worker, operand_rows(step, &op->out[0]))) >= 0) {
        const float *a = operand_f32(step, &op->in[0], t);
        const float *b = operand_f32(step, &op->in[1], vector ? 0 : t);
        float *y = operand_f32(step, &op->out[0], t);
        if (op->opcode == PL_OP_ADD)
            f->add(y, a, b, op->out[0].cols);
        else
            f->mul(y, a, b, op->out[0].cols);
    }
}

/* SCALE, SOFTCAP, FILL. */
void fast_scale(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    const struct fast_kernels *f = step->device->fast;
    float value = op->p.scale.value;
    int64_t cols = op->out[0].cols;
    int64_t t;
    while ((t = pool_next(worker, operand_rows(step, &op->out[0]))) >= 0) {
        float *y = operand_f32(step, &op->out[0], t);
        if (op->opcode == PL_OP_SCALE)
            f->scale(y, operand_f32(step, &op->in[0], t), value, cols);
        else if (op->opcode == PL_OP_SOFTCAP)
            f->softcap(y, operand_f32(step, &op->in[0], t), value, cols);
        else
            for (int64_t i = 0; i < cols; i++)
                y[i] = value;
    }
}

/* Copies and conversions gain nothing from a kernel of their own: they wait for memory. */
cpu_run_fn *fast_op(uint32_t opcode)
{
    switch (opcode) {
    case PL_OP_EMBED: return ref_embed;
    case PL_OP_LINEAR: return fast_linear;
    case PL_OP_RMSNORM:
    case PL_OP_LAYERNORM: return fast_norm;
    case PL_OP_GLU: return fast_glu;
    case PL_OP_ACT: return fast_act;
    case PL_OP_ADD:
    case PL_OP_MUL: return fast_binary;
    case PL_OP_SCALE:
    case PL_OP_SOFTCAP:
    case PL_OP_FILL: return fast_scale;
    case PL_OP_COPY:
    case PL_OP_CAST: return ref_copy;
    case PL_OP_GATHER_ROWS: return ref_gather;
    case PL_OP_QKV_POST: return fast_qkv_post;
    case PL_OP_ATTN: return fast_attn;
    default: return NULL;
    }
}
