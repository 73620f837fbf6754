/*
 * cpu/ops_attn.c - fast path of QKV_POST and ATTN: splits the work, the kernels are in fast_*.
 *
 *   QKV_POST  chunk = one row and one KV head with the query heads that share it
 *   ATTN      chunk = a few adjacent rows and one KV head; inside, runs of rows of one sequence
 *             few rows of long sequences: chunk = one row, one KV head and one segment of positions;
 *             then one row and one KV head, to join the segments
 */
#include "dequant.h"
#include "fast.h"
#include "ops.h"

#include <math.h>
#include <string.h>

#define ROPE_CHUNK        8 /* rows of angles */
#define CHUNKS_PER_THREAD 4 /* enough to even out sequences of different length */
#define SPLIT_PER_THREAD  2 /* fewer rows and heads than that per thread: positions are shared too */

static const float *at(const float *vector, size_t i)
{
    return vector != NULL ? vector + i : NULL;
}

/* ---- QKV_POST -------------------------------------------------------------------------------- */

/* Row t: cos [rot_dim/2], sin [rot_dim/2] at its position, times the magnitude. */
static void fill_rope(const struct cpu_step *step, const struct cpu_op *op, int64_t t)
{
    const struct pl_qkv_post_params *p = &op->p.qkv_post;
    const float *factors = operand_vector(&op->in[PL_QKV_FACTORS]);
    double magnitude = rope_magnitude(p);
    double pos = (double)step_binding(step, PL_BINDING_POS)[t];
    uint32_t half = p->rot_dim / 2;
    float *row = op->rope_table + t * p->rot_dim;
    for (uint32_t i = 0; i < half; i++) {
        double theta = pos * op->rope_inv[i] / (factors != NULL ? (double)factors[i] : 1.0);
        row[i] = (float)(cos(theta) * magnitude);
        row[half + i] = (float)(sin(theta) * magnitude);
    }
}

/* y = rope(norm(x + bias)) of one head; y may be x. */
static void prepare_head(const struct cpu_step *step, const struct cpu_op *op, float *y,
                         const float *x, const float *bias, const float *norm, int64_t t)
{
    const struct fast_kernels *f = step->device->fast;
    const struct pl_qkv_post_params *p = &op->p.qkv_post;
    if (bias != NULL)
        f->add(y, x, bias, p->head_dim);
    else if (y != x)
        memcpy(y, x, p->head_dim * sizeof *y);
    if (norm != NULL)
        f->rmsnorm(y, y, norm, p->head_dim, p->norm_eps);
    if (p->rope != PL_ROPE_NONE) {
        const float *row = op->rope_table + t * p->rot_dim;
        f->rope(y, row, row + p->rot_dim / 2, p->rot_dim / 2, p->rope);
    }
}

static void scatter_scales(uint16_t *dst, const uint16_t *scales, size_t head_dim)
{
    for (size_t i = 0; i < head_dim / KV_Q8_BLOCK; i++)
        dst[i * KV_TILE] = scales[i];
}

static void write_k(const struct cpu_step *step, const struct kv_geometry *kv, uint8_t *tile,
                    size_t slot, const float *k)
{
    if (kv->dtype_k == PL_DTYPE_Q8_0) {
        int8_t bytes[CPU_HEAD_DIM_MAX];
        uint16_t scales[CPU_HEAD_DIM_MAX / KV_Q8_BLOCK];
        step->device->fast->to_q8(bytes, scales, k, kv->head_dim_k);
        for (size_t i = 0; i < kv->head_dim_k; i += 2)
            memcpy(tile + kv_q8_k_at(i, slot), bytes + i, 2);
        scatter_scales(kv_q8_scales(tile, kv->head_dim_k) + slot, scales, kv->head_dim_k);
    } else if (kv->dtype_k == PL_DTYPE_F16) {
        uint16_t half[CPU_HEAD_DIM_MAX];
        uint16_t *dst = (uint16_t *)(void *)tile + slot;
        step->device->fast->to_half(half, k, kv->head_dim_k);
        for (size_t i = 0; i < kv->head_dim_k; i++)
            dst[i * KV_TILE] = half[i];
    } else {
        float *dst = (float *)(void *)tile + slot;
        for (size_t i = 0; i < kv->head_dim_k; i++)
            dst[i * KV_TILE] = k[i];
    }
}

static void write_v(const struct cpu_step *step, const struct kv_geometry *kv, uint8_t *tile,
                    size_t slot, const float *v, const float *bias)
{
    const struct fast_kernels *f = step->device->fast;
    uint8_t *base = tile + kv->tile_k_bytes;
    size_t begin = slot * kv_v_stride(kv);
    float sum[CPU_HEAD_DIM_MAX];
    if (bias != NULL) {
        f->add(sum, v, bias, kv->head_dim_v);
        v = sum;
    }
    if (kv->dtype_v == PL_DTYPE_Q8_0) {
        uint16_t scales[CPU_HEAD_DIM_MAX / KV_Q8_BLOCK];
        f->to_q8((int8_t *)base + begin, scales, v, kv->head_dim_v);
        scatter_scales(kv_q8_scales(base, kv->head_dim_v) + slot, scales, kv->head_dim_v);
    } else if (kv->dtype_v == PL_DTYPE_F16)
        f->to_half((uint16_t *)(void *)base + begin, v, kv->head_dim_v);
    else
        memcpy((float *)(void *)base + begin, v, kv->head_dim_v * sizeof *v);
}

static void post_row(const struct cpu_step *step, const struct cpu_op *op, int64_t t, uint32_t head)
{
    const struct pl_qkv_post_params *p = &op->p.qkv_post;
    const struct kv_geometry *kv = &op->kv;
    uint32_t group = p->n_heads / p->n_kv_heads;
    for (uint32_t h = head * group; h < (head + 1) * group; h++) {
        size_t begin = (size_t)h * p->head_dim;
        prepare_head(step, op, operand_f32(step, &op->out[0], t) + begin,
                     operand_f32(step, &op->in[PL_QKV_Q], t) + begin,
                     at(operand_vector(&op->in[PL_QKV_BIAS_Q]), begin),
                     operand_vector(&op->in[PL_QKV_NORM_Q]), t);
    }
    int64_t pos = step_binding(step, PL_BINDING_POS)[t];
    int64_t seq = step_binding(step, PL_BINDING_ROW_SEQ)[t];
    const int32_t *blocks =
        step_binding(step, PL_BINDING_BLOCK_TABLE + kv->group_i) + seq * kv->max_blocks;
    uint8_t *tile = kv_tile(kv, blocks, p->kv_layer, head, pos);
    size_t slot = (size_t)pos & (kv->tile_tokens - 1);
    float k[CPU_HEAD_DIM_MAX];
    size_t k_begin = (size_t)head * p->head_dim;
    size_t v_begin = (size_t)head * p->head_dim_v;
    prepare_head(step, op, k, operand_f32(step, &op->in[PL_QKV_K], t) + k_begin,
                 at(operand_vector(&op->in[PL_QKV_BIAS_K]), k_begin),
                 operand_vector(&op->in[PL_QKV_NORM_K]), t);
    write_k(step, kv, tile, slot, k);
    write_v(step, kv, tile, slot, operand_f32(step, &op->in[PL_QKV_V], t) + v_begin,
            at(operand_vector(&op->in[PL_QKV_BIAS_V]), v_begin));
}

void fast_qkv_post(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    int64_t n_kv_heads = op->p.qkv_post.n_kv_heads;
    int64_t i;
    if (op->rope_first) {
        while ((i = pool_next(worker, pl_div_up(step->n_rows, ROPE_CHUNK))) >= 0) {
            int64_t end = PL_MIN((i + 1) * ROPE_CHUNK, step->n_rows);
            for (int64_t t = i * ROPE_CHUNK; t < end; t++)
                fill_rope(step, op, t);
        }
        pool_barrier(worker);
    }
    while ((i = pool_next(worker, step->n_rows * n_kv_heads)) >= 0)
        post_row(step, op, i / n_kv_heads, (uint32_t)(i % n_kv_heads));
}

/* ---- ATTN ------------------------------------------------------------------------------------ */

/* Rows that may be split, and the states that they leave. */
static int64_t split_rows_max(uint32_t n_threads, uint32_t n_kv_heads)
{
    return n_threads > 1 ? (SPLIT_PER_THREAD * (int64_t)n_threads - 1) / n_kv_heads : 0;
}

static uint64_t split_bytes(const struct pl_attn_params *p, int64_t rows, int64_t kv_tokens)
{
    int64_t group = p->n_heads / p->n_kv_heads;
    uint64_t states = (uint64_t)(rows * p->n_kv_heads * pl_div_up(kv_tokens, ATTN_SEGMENT));
    return states * attn_state_floats(group, p->head_dim_v) * sizeof(float);
}

static uint64_t scratch_bytes(const struct pl_attn_params *p)
{
    return attn_scratch_bytes(p->n_heads / p->n_kv_heads, p->head_dim, p->head_dim_v);
}

uint64_t fast_attn_workspace(const struct pl_device *device, const struct pl_program_desc *desc,
                             const struct op_view *view)
{
    const struct pl_attn_params *p = &view->op.p.attn;
    int64_t rows =
        PL_MIN(split_rows_max(device->n_threads, p->n_kv_heads), (int64_t)desc->rows_max);
    if (desc->kv_tokens_max <= ATTN_SEGMENT)
        rows = 0;
    return device->n_threads * scratch_bytes(p) + split_bytes(p, rows, desc->kv_tokens_max);
}

/* Rows [t, end) of one sequence, one KV head. */
static struct attn_task make_task(const struct cpu_step *step, const struct cpu_op *op, int64_t t,
                                  int64_t end, uint32_t head, const struct worker *worker)
{
    const struct pl_attn_params *p = &op->p.attn;
    const struct kv_geometry *kv = &op->kv;
    int64_t group = p->n_heads / p->n_kv_heads;
    int64_t seq = step_binding(step, PL_BINDING_ROW_SEQ)[t];
    size_t first_head = (size_t)head * (size_t)group;
    return (struct attn_task){
        .kv = kv,
        .blocks = step_binding(step, PL_BINDING_BLOCK_TABLE + kv->group_i) + seq * kv->max_blocks,
        .q = operand_f32(step, &op->in[PL_ATTN_Q], t) + first_head * p->head_dim,
        .out = operand_f32(step, &op->out[0], t) + first_head * p->head_dim_v,
        .q_stride = op->in[PL_ATTN_Q].cols,
        .out_stride = op->out[0].cols,
        .pos = step_binding(step, PL_BINDING_POS) + t,
        .sinks = at(operand_vector(&op->in[PL_ATTN_SINKS]), first_head),
        .rows = end - t,
        .group = group,
        .kv_len = step_binding(step, PL_BINDING_KV_LEN)[seq],
        .layer = p->kv_layer,
        .kv_head = head,
        .window = p->window,
        .causal = (op->flags & PL_ATTN_CAUSAL) != 0,
        .scale = p->scale,
        .softcap = p->softcap,
        .scratch = (float *)(void *)(step->workspace + worker->i * scratch_bytes(p)),
    };
}

/* Few rows over long sequences: by segments, then joined. */
static void attend_split(const struct cpu_step *step, const struct cpu_op *op,
                         struct worker *worker)
{
    const struct pl_attn_params *p = &op->p.attn;
    const struct fast_kernels *f = step->device->fast;
    int64_t n_heads = p->n_kv_heads;
    int64_t n_segments = pl_div_up(step->kv_tokens_max, ATTN_SEGMENT);
    size_t floats = attn_state_floats(p->n_heads / p->n_kv_heads, p->head_dim_v);
    float *states = (float *)(void *)(step->workspace + step->device->n_threads * scratch_bytes(p));
    int64_t i;
    while ((i = pool_next(worker, step->n_rows * n_heads * n_segments)) >= 0) {
        int64_t t = i / n_segments / n_heads;
        uint32_t head = (uint32_t)(i / n_segments % n_heads);
        struct attn_task task = make_task(step, op, t, t + 1, head, worker);
        f->attend_part(&task, i % n_segments, states + (size_t)i * floats);
    }
    pool_barrier(worker);
    while ((i = pool_next(worker, step->n_rows * n_heads)) >= 0) {
        int64_t t = i / n_heads;
        struct attn_task task = make_task(step, op, t, t + 1, (uint32_t)(i % n_heads), worker);
        f->attend_join(&task, states + (size_t)(i * n_segments) * floats);
    }
}

void fast_attn(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    const struct pl_attn_params *p = &op->p.attn;
    const int32_t *row_seq = step_binding(step, PL_BINDING_ROW_SEQ);
    int64_t n_heads = p->n_kv_heads;
    int64_t rows = step->query_tokens_max > 1 ? ATTN_ROWS_MAX : 1;
    int64_t wanted = CHUNKS_PER_THREAD * (int64_t)step->device->n_threads;
    if (step->kv_tokens_max > ATTN_SEGMENT &&
        step->n_rows <= split_rows_max(step->device->n_threads, p->n_kv_heads)) {
        attend_split(step, op, worker);
        return;
    }
    while (rows > 1 && pl_div_up(step->n_rows, rows) * n_heads < wanted)
        rows /= 2;
    int64_t i;
    while ((i = pool_next(worker, pl_div_up(step->n_rows, rows) * n_heads)) >= 0) {
        int64_t t = i / n_heads * rows;
        int64_t end = PL_MIN(t + rows, step->n_rows);
        while (t < end) {
            int64_t run = t + 1;
            while (run < end && row_seq[run] == row_seq[t])
                run++;
            struct attn_task task = make_task(step, op, t, run, (uint32_t)(i % n_heads), worker);
            step->device->fast->attend(&task);
            t = run;
        }
    }
}
