/*
 * cpu/ref_linear.c - reference of LINEAR: one dot product after the other, in double.
 *
 * Workspace: normed input [T, M] in double, then per worker two weight rows [2, M] in F32.
 */
#include "dequant.h"
#include "ops.h"
#include "ref.h"

struct scratch {
    double *x; /* [T, M] */
    float *w;  /* [2, M] of this worker */
};

static size_t rows_bytes(int64_t cols)
{
    return pl_align_up(2 * (size_t)cols * sizeof(float), CPU_ALIGN);
}

uint64_t ref_linear_workspace(const struct pl_device *device, const struct pl_program_desc *desc,
                              const struct op_view *view)
{
    const struct pl_value *x = &view->in[PL_LINEAR_X];
    (void)desc;
    return pl_align_up((size_t)x->rows * (size_t)x->cols * sizeof(double), CPU_ALIGN) +
           device->n_threads * rows_bytes(x->cols);
}

static struct scratch scratch_of(const struct cpu_step *step, const struct cpu_op *op, uint32_t i)
{
    const struct operand *x = &op->in[PL_LINEAR_X];
    size_t x_bytes = pl_align_up((size_t)x->rows * (size_t)x->cols * sizeof(double), CPU_ALIGN);
    return (struct scratch){
        .x = (double *)(void *)step->workspace,
        .w = (float *)(void *)(step->workspace + x_bytes + i * rows_bytes(x->cols)),
    };
}

static void read_weight_row(float *dst, const struct operand *w, int64_t n)
{
    size_t row_bytes;
    if (w->layout == LINEAR_LAYOUT_R16)
        linear_unpack_row(dst, w->data, w->dtype, w->cols, n);
    else if (pl_row_bytes(w->dtype, w->cols, &row_bytes))
        dequant_row(w->dtype, dst, w->data + (size_t)n * row_bytes, w->cols);
}

static double dot(const double *x, const float *w, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * (double)w[i];
    return sum;
}

static double biased(const struct cpu_op *op, uint32_t i, double y, int64_t n)
{
    const float *bias = operand_vector(&op->in[PL_LINEAR_B + i]);
    return bias != NULL ? y + (double)bias[n] : y;
}

/* Column n of output out_i, for all rows. */
static void column(const struct cpu_step *step, const struct cpu_op *op, const struct scratch *s,
                   uint32_t out_i, int64_t n)
{
    const struct pl_linear_params *p = &op->p.linear;
    const struct operand *residual = &op->in[PL_LINEAR_RESIDUAL];
    int64_t cols = op->in[PL_LINEAR_X].cols;
    read_weight_row(s->w, &op->in[PL_LINEAR_W + out_i], n);
    if (p->act != PL_ACT_NONE)
        read_weight_row(s->w + cols, &op->in[PL_LINEAR_W + 1], n);
    for (int64_t t = 0; t < operand_rows(step, &op->in[PL_LINEAR_X]); t++) {
        const double *x = s->x + t * cols;
        double y = biased(op, out_i, dot(x, s->w, cols), n);
        if (p->act != PL_ACT_NONE) {
            double up = biased(op, 1, dot(x, s->w + cols, cols), n);
            y = ref_glu_value(p->act, y, up, (double)p->alpha, (double)p->limit);
        }
        y *= (double)p->scale;
        if (out_i == 0 && operand_given(residual))
            y += (double)operand_f32(step, residual, t)[n];
        operand_f32(step, &op->out[out_i], t)[n] = (float)y;
    }
}

void ref_linear(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    const struct operand *x = &op->in[PL_LINEAR_X];
    const float *norm = operand_vector(&op->in[PL_LINEAR_NORM]);
    struct scratch s = scratch_of(step, op, worker->i);
    int64_t t;
    while ((t = pool_next(worker, operand_rows(step, x))) >= 0) {
        const float *row = operand_f32(step, x, t);
        if (norm != NULL)
            ref_rms(s.x + t * x->cols, row, norm, x->cols, (double)op->p.linear.norm_eps);
        else
            for (int64_t i = 0; i < x->cols; i++)
                s.x[t * x->cols + i] = (double)row[i];
    }
    pool_barrier(worker);
    uint32_t n_outs = op->p.linear.act != PL_ACT_NONE ? 1 : op->p.linear.n_weights;
    for (uint32_t i = 0; i < n_outs; i++) {
        int64_t n;
        while ((n = pool_next(worker, op->out[i].cols)) >= 0)
            column(step, op, &s, i, n);
        pool_barrier(worker);
    }
}
