/*
 * cpu/ops_linear.c - fast path of LINEAR: prepares activations, then splits the outputs.
 *
 * First, by rows: the optional norm, and the input in every format that a weight wants. Then, by
 * panels of 16 outputs: packed weights through linear.h; weights that lie as in the file (no packing
 * for their type) are expanded to F32 a few rows at a time.
 *
 * Workspace: normed input F32 [T, M] | one area [T, row] per activation format | per worker
 * [2, FILE_ROWS, M] F32 of expanded weights.
 */
#include "dequant.h"
#include "fast.h"
#include "ops.h"

#define FILE_ROWS         8  /* expanded at a time: 8 rows of 4096 are 128 KiB, half of an L2 */
#define CHUNK_LEAST       4  /* panels: linear_run blocks its rows over at least these */
#define CHUNK_MOST        64 /* panels */
#define CHUNKS_PER_THREAD 8

struct linear_space {
    size_t normed;                     /* offset of [T, M] */
    size_t format[LINEAR_ACT_FORMATS]; /* offsets; 0 where the format is not used */
    size_t row_bytes[LINEAR_ACT_FORMATS];
    size_t expanded, expanded_bytes; /* of worker 0; of each worker */
    size_t bytes;
};

/* What a weight is multiplied with: the packed kernel's format, or plain F32 for rows of the file. */
static enum linear_act_format format_of(const struct pl_device *device, uint32_t dtype,
                                        uint32_t layout)
{
    return layout == LINEAR_LAYOUT_R16 ? linear_act_format(device->linear, dtype) : LINEAR_ACT_NONE;
}

static void plan_format(struct linear_space *s, enum linear_act_format format, size_t rows,
                        int64_t cols)
{
    if (format == LINEAR_ACT_NONE || s->row_bytes[format] != 0)
        return;
    s->row_bytes[format] = linear_act_row_bytes(format, cols);
    s->format[format] = s->bytes;
    s->bytes += pl_align_up(rows * s->row_bytes[format], CPU_ALIGN);
}

static struct linear_space plan_space(size_t rows, int64_t cols, uint32_t n_threads, bool norm,
                                      const enum linear_act_format *formats, uint32_t n)
{
    struct linear_space s = {0};
    if (norm)
        s.bytes = pl_align_up(rows * (size_t)cols * sizeof(float), CPU_ALIGN);
    for (uint32_t i = 0; i < n; i++)
        plan_format(&s, formats[i], rows, cols);
    s.expanded = s.bytes;
    for (uint32_t i = 0; i < n; i++)
        if (formats[i] == LINEAR_ACT_NONE)
            s.expanded_bytes = pl_align_up((size_t)cols * 2 * FILE_ROWS * sizeof(float), CPU_ALIGN);
    s.bytes += n_threads * s.expanded_bytes;
    return s;
}

uint64_t fast_linear_workspace(const struct pl_device *device, const struct pl_program_desc *desc,
                               const struct op_view *view)
{
    const struct pl_value *x = &view->in[PL_LINEAR_X];
    enum linear_act_format formats[4];
    (void)desc;
    for (uint32_t i = 0; i < view->op.p.linear.n_weights; i++) {
        const struct pl_value *w = &view->in[PL_LINEAR_W + i];
        formats[i] = format_of(device, w->dtype, w->layout);
    }
    return plan_space((size_t)x->rows, x->cols, device->n_threads,
                      view->in[PL_LINEAR_NORM].kind != PL_VALUE_NONE, formats,
                      view->op.p.linear.n_weights)
        .bytes;
}

/* ---- running --------------------------------------------------------------------------------- */

struct linear_call {
    const struct cpu_step *step;
    const struct cpu_op *op;
    struct linear_space space;
    enum linear_act_format format[4]; /* of each weight */
    int64_t rows;                     /* of this step */
    float *expanded;                  /* this worker's */
};

static struct linear_call call_of(const struct cpu_step *step, const struct cpu_op *op,
                                  const struct worker *worker)
{
    const struct operand *x = &op->in[PL_LINEAR_X];
    struct linear_call c = {.step = step, .op = op, .rows = operand_rows(step, x)};
    for (uint32_t i = 0; i < op->p.linear.n_weights; i++) {
        const struct operand *w = &op->in[PL_LINEAR_W + i];
        c.format[i] = format_of(step->device, w->dtype, w->layout);
    }
    c.space = plan_space((size_t)x->rows, x->cols, step->device->n_threads,
                         operand_given(&op->in[PL_LINEAR_NORM]), c.format, op->p.linear.n_weights);
    c.expanded =
        (float *)(void *)(step->workspace + c.space.expanded + worker->i * c.space.expanded_bytes);
    return c;
}

/* Row t of the input, normed where the op says so. */
static const float *input_row(const struct linear_call *c, int64_t t)
{
    const struct operand *x = &c->op->in[PL_LINEAR_X];
    if (operand_given(&c->op->in[PL_LINEAR_NORM]))
        return (const float *)(const void *)(c->step->workspace + c->space.normed) + t * x->cols;
    return operand_f32(c->step, x, t);
}

static void prepare_row(const struct linear_call *c, int64_t t)
{
    const struct operand *x = &c->op->in[PL_LINEAR_X];
    const float *norm = operand_vector(&c->op->in[PL_LINEAR_NORM]);
    if (norm != NULL) {
        float *y = (float *)(void *)(c->step->workspace + c->space.normed) + t * x->cols;
        c->step->device->fast->rmsnorm(y, operand_f32(c->step, x, t), norm, x->cols,
                                       c->op->p.linear.norm_eps);
    }
    for (int f = LINEAR_ACT_NONE + 1; f < LINEAR_ACT_FORMATS; f++)
        if (c->space.row_bytes[f] != 0)
            linear_act_prepare(c->step->device->linear, (enum linear_act_format)f,
                               c->step->workspace + c->space.format[f], input_row(c, 0), x->cols,
                               x->cols, t, t + 1);
}

static struct linear_weight weight_of(const struct cpu_op *op, uint32_t i)
{
    const struct operand *w = &op->in[PL_LINEAR_W + i];
    return (struct linear_weight){
        .dtype = w->dtype,
        .rows = w->rows,
        .cols = w->cols,
        .packed = w->data,
        .bias = operand_vector(&op->in[PL_LINEAR_B + i]),
    };
}

static void run_packed(const struct linear_call *c, uint32_t i, int64_t begin, int64_t end)
{
    const struct pl_linear_params *p = &c->op->p.linear;
    const struct operand *residual = &c->op->in[PL_LINEAR_RESIDUAL];
    bool glu = p->act != PL_ACT_NONE;
    struct linear_task task = {
        .isa = c->step->device->linear,
        .w[0] = weight_of(c->op, i),
        .x[0] = c->step->workspace + c->space.format[c->format[i]],
        .out = operand_f32(c->step, &c->op->out[i], 0),
        .out_stride = c->op->out[i].cols,
        .act = (enum pl_act)p->act,
        .scale = p->scale,
        .alpha = p->alpha,
        .limit = p->limit,
    };
    if (glu) {
        task.w[1] = weight_of(c->op, 1);
        task.x[1] = c->step->workspace + c->space.format[c->format[1]];
    }
    if (i == 0 && operand_given(residual)) {
        task.residual = operand_f32(c->step, residual, 0);
        task.residual_stride = residual->cols;
    }
    linear_run(&task, begin, end, 0, c->rows);
}

/* Rows [n, n + count) of a weight as F32. */
static void expand_rows(float *dst, const struct operand *w, int64_t n, int64_t count)
{
    size_t row_bytes = 0;
    if (w->layout == PL_LAYOUT_FILE && !pl_row_bytes(w->dtype, w->cols, &row_bytes))
        return;
    for (int64_t i = 0; i < count; i++) {
        if (w->layout == LINEAR_LAYOUT_R16)
            linear_unpack_row(dst + i * w->cols, w->data, w->dtype, w->cols, n + i);
        else
            dequant_row(w->dtype, dst + i * w->cols, w->data + (size_t)(n + i) * row_bytes,
                        w->cols);
    }
}

/* Bias, GLU, scale, residual of outputs [n, n + count) of row t. */
static void finish_outputs(const struct linear_call *c, uint32_t i, int64_t t, int64_t n,
                           int64_t count, float *y, float *up)
{
    const struct fast_kernels *f = c->step->device->fast;
    const struct pl_linear_params *p = &c->op->p.linear;
    const struct operand *residual = &c->op->in[PL_LINEAR_RESIDUAL];
    const float *bias = operand_vector(&c->op->in[PL_LINEAR_B + i]);
    float *out = operand_f32(c->step, &c->op->out[i], t) + n;
    if (bias != NULL)
        f->add(y, y, bias + n, count);
    if (p->act != PL_ACT_NONE) {
        const float *bias_up = operand_vector(&c->op->in[PL_LINEAR_B + 1]);
        struct pl_glu_params glu = {.act = p->act, .alpha = p->alpha, .limit = p->limit};
        if (bias_up != NULL)
            f->add(up, up, bias_up + n, count);
        f->glu(y, y, up, &glu, count);
    }
    f->scale(y, y, p->scale, count);
    if (i == 0 && operand_given(residual))
        f->add(out, y, operand_f32(c->step, residual, t) + n, count);
    else
        f->scale(out, y, 1.0F, count);
}

static void run_file(const struct linear_call *c, uint32_t i, int64_t begin, int64_t end)
{
    const struct fast_kernels *f = c->step->device->fast;
    bool glu = c->op->p.linear.act != PL_ACT_NONE;
    int64_t cols = c->op->in[PL_LINEAR_X].cols;
    float *second = c->expanded + FILE_ROWS * cols;
    float y[FILE_ROWS];
    float up[FILE_ROWS];
    for (int64_t n = begin; n < end; n += FILE_ROWS) {
        int64_t count = PL_MIN((int64_t)FILE_ROWS, end - n);
        expand_rows(c->expanded, &c->op->in[PL_LINEAR_W + i], n, count);
        if (glu)
            expand_rows(second, &c->op->in[PL_LINEAR_W + 1], n, count);
        for (int64_t t = 0; t < c->rows; t++) {
            f->dots(y, input_row(c, t), c->expanded, cols, count);
            if (glu)
                f->dots(up, input_row(c, t), second, cols, count);
            finish_outputs(c, i, t, n, count, y, up);
        }
    }
}

/* Panels [begin, end) of output i. */
static void run_panels(const struct linear_call *c, uint32_t i, int64_t begin, int64_t end)
{
    bool packed = c->format[i] != LINEAR_ACT_NONE;
    if (c->op->p.linear.act != PL_ACT_NONE)
        packed = packed && c->format[1] != LINEAR_ACT_NONE;
    if (packed)
        run_packed(c, i, begin, end);
    else
        run_file(c, i, begin * LINEAR_PANEL_ROWS,
                 PL_MIN(end * LINEAR_PANEL_ROWS, c->op->out[i].cols));
}

void fast_linear(const struct cpu_step *step, const struct cpu_op *op, struct worker *worker)
{
    struct linear_call c = call_of(step, op, worker);
    uint32_t n_outs = op->p.linear.act != PL_ACT_NONE ? 1 : op->p.linear.n_weights;
    int64_t i;
    while ((i = pool_next(worker, c.rows)) >= 0)
        prepare_row(&c, i);
    pool_barrier(worker);
    int64_t total = 0;
    for (uint32_t k = 0; k < n_outs; k++)
        total += linear_panels(op->out[k].cols);
    int64_t chunk = total / (CHUNKS_PER_THREAD * (int64_t)step->device->n_threads);
    chunk = PL_MIN(PL_MAX(chunk, (int64_t)CHUNK_LEAST), (int64_t)CHUNK_MOST);
    /* Chunks are numbered through all outputs, none crosses from one to the next. */
    int64_t first[5] = {0};
    for (uint32_t k = 0; k < n_outs; k++)
        first[k + 1] = first[k] + pl_div_up(linear_panels(op->out[k].cols), chunk);
    while ((i = pool_next(worker, first[n_outs])) >= 0) {
        uint32_t k = 0;
        while (i >= first[k + 1])
            k++;
        int64_t begin = (i - first[k]) * chunk;
        run_panels(&c, k, begin, PL_MIN(begin + chunk, linear_panels(op->out[k].cols)));
    }
}
