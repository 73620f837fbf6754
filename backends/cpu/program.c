/*
 * cpu/program.c - makes the flat op array and runs it.
 *
 * program_new checks every op again, resolves each value to an address and each op to a function.
 * program_submit looks at the counts only and lets all workers walk the array:
 *
 *   for each op:  op->run by all  ->  has the host aborted? (caller)  ->  barrier
 */
#include "kv.h"
#include "ops.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define OPS_MAX 65536 /* a few hundred layers of a few dozen ops */

/* ---- building -------------------------------------------------------------------------------- */

struct builder {
    struct pl_device *device;
    const struct pl_program_desc *desc;
    struct pl_program *program;
    uint64_t workspace_bytes;
    struct pl_error *err;
};

static uint64_t elements_bytes(const struct pl_value *v)
{
    return (uint64_t)v->rows * (uint64_t)v->cols * pl_dtype_info(v->dtype).block_bytes;
}

static enum pl_status check_place(const struct builder *b, const struct pl_buffer *buffer,
                                  uint64_t offset, uint64_t bytes, const char *what)
{
    if (buffer == NULL)
        return pl_error_set(b->err, PL_EINVAL, "cpu: %s without a buffer", what);
    if (offset > buffer->bytes || bytes > buffer->bytes - offset)
        return pl_error_set(b->err, PL_EINVAL,
                            "cpu: %s: %" PRIu64 " bytes at %" PRIu64 " of a buffer of %" PRIu64,
                            what, bytes, offset, buffer->bytes);
    return PL_OK;
}

static enum pl_status check_aligned(const struct builder *b, const void *data, size_t align,
                                    const char *what)
{
    if ((uintptr_t)data % align != 0)
        return pl_error_set(b->err, PL_EINVAL, "cpu: %s is not aligned to %zu bytes", what, align);
    return PL_OK;
}

static enum pl_status resolve_binding(const struct builder *b, const struct pl_value *v)
{
    enum pl_status status = PL_OK;
    for (uint32_t i = 0; i < b->program->n_sets && status == PL_OK; i++) {
        const struct pl_binding_set *set = &b->program->sets[i];
        status = check_place(b, set->buffer, set->offset[v->binding], elements_bytes(v), "binding");
    }
    return status;
}

static enum pl_status resolve(const struct builder *b, const struct pl_value *v,
                              struct operand *ret)
{
    *ret = (struct operand){
        .rows = v->rows,
        .cols = v->cols,
        .kind = v->kind,
        .dtype = v->dtype,
        .row_kind = v->row_kind,
        .binding = v->binding,
        .layout = v->layout,
    };
    if (v->kind == PL_VALUE_NONE)
        return PL_OK;
    if (v->kind == PL_VALUE_BINDING)
        return resolve_binding(b, v);
    uint64_t bytes = elements_bytes(v);
    size_t align = CPU_ALIGN;
    if (v->kind == PL_VALUE_WEIGHT) {
        if (!cpu_weight_bytes(v->dtype, v->layout, v->rows, v->cols, &bytes))
            return pl_error_set(b->err, PL_EINVAL, "cpu: layout of a weight");
        /* Rows of the file may lie anywhere, but an F32 vector is read in place as floats. */
        if (v->layout == PL_LAYOUT_FILE)
            align = v->dtype == PL_DTYPE_F32 ? sizeof(float) : 1;
    }
    const char *what = v->kind == PL_VALUE_WEIGHT ? "weight" : "activation";
    enum pl_status status = check_place(b, v->buffer, v->offset, bytes, what);
    if (status != PL_OK)
        return status;
    ret->data = v->buffer->data + v->offset;
    return check_aligned(b, ret->data, align, what);
}

static void *program_alloc(struct builder *b, size_t n, size_t size)
{
    struct pl_program *p = b->program;
    void *memory = cpu_alloc(b->device, n, size);
    if (memory != NULL)
        p->owned[p->n_owned++] = memory;
    else
        pl_error_set(b->err, PL_ENOMEM, "cpu: no memory for %zu x %zu bytes of a program", n, size);
    return memory;
}

static bool same_rope(const struct cpu_op *a, const struct cpu_op *b)
{
    const struct pl_qkv_post_params *p = &a->p.qkv_post;
    const struct pl_qkv_post_params *q = &b->p.qkv_post;
    return b->opcode == PL_OP_QKV_POST && b->rope_table != NULL && p->rot_dim == q->rot_dim &&
           p->freq_base == q->freq_base && p->freq_scale == q->freq_scale &&
           p->ext_factor == q->ext_factor && p->attn_factor == q->attn_factor &&
           p->beta_fast == q->beta_fast && p->beta_slow == q->beta_slow &&
           p->orig_ctx == q->orig_ctx && a->in[PL_QKV_FACTORS].data == b->in[PL_QKV_FACTORS].data;
}

/* One table of angles for all ops that rotate alike; the first of them fills it in each step. */
static enum pl_status make_rope(struct builder *b, struct cpu_op *op, uint32_t op_i)
{
    const struct pl_qkv_post_params *p = &op->p.qkv_post;
    if (p->rope == PL_ROPE_NONE)
        return PL_OK;
    for (uint32_t i = 0; i < op_i; i++) {
        const struct cpu_op *other = &b->program->ops[i];
        if (same_rope(op, other)) {
            op->rope_inv = other->rope_inv;
            op->rope_table = other->rope_table;
            return PL_OK;
        }
    }
    double *inv = program_alloc(b, p->rot_dim / 2, sizeof *inv);
    float *table = inv != NULL
                       ? program_alloc(b, (size_t)b->desc->rows_max * p->rot_dim, sizeof *table)
                       : NULL;
    if (table == NULL)
        return PL_ENOMEM;
    rope_inverse_frequencies(inv, p);
    op->rope_inv = inv;
    op->rope_table = table;
    op->rope_first = true;
    return PL_OK;
}

/* Bindings that ops on rows of sequences read without naming them. */
static enum pl_status check_step_bindings(const struct builder *b, const struct op_view *view)
{
    uint64_t n_rows = b->desc->rows_max;
    uint64_t n_seqs = b->desc->seqs_max;
    bool kv = view->group.kind != 0;
    const struct {
        bool used;
        uint32_t binding;
        uint64_t n;
    } list[] = {
        {view->op.opcode == PL_OP_EMBED, PL_BINDING_IDS, n_rows},
        {kv, PL_BINDING_POS, n_rows},
        {kv, PL_BINDING_ROW_SEQ, n_rows},
        {kv, PL_BINDING_KV_LEN, n_seqs},
        {kv, PL_BINDING_BLOCK_TABLE + view->kv.group_i, n_seqs * view->kv.max_blocks},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(list); i++) {
        struct pl_value v = {
            .binding = list[i].binding,
            .dtype = PL_DTYPE_I32,
            .rows = (int64_t)list[i].n,
            .cols = 1,
        };
        enum pl_status status = list[i].used ? resolve_binding(b, &v) : PL_OK;
        if (status != PL_OK)
            return status;
    }
    return PL_OK;
}

static enum pl_status place_kv(const struct builder *b, const struct op_view *view,
                               struct cpu_op *op)
{
    if (view->group.kind == 0)
        return PL_OK;
    size_t bytes;
    op->kv = view->kv;
    if (!pl_mul_size(view->kv.block_bytes, view->group.n_blocks, &bytes))
        return pl_error_set(b->err, PL_EINVAL, "cpu: KV group of %u blocks is too large",
                            view->group.n_blocks);
    if ((uint64_t)view->kv.max_blocks * view->kv.block_tokens < b->desc->kv_tokens_max)
        return pl_error_set(b->err, PL_EINVAL, "cpu: %u blocks of %u don't hold %u tokens",
                            view->kv.max_blocks, view->kv.block_tokens, b->desc->kv_tokens_max);
    enum pl_status status = check_place(b, view->group.buffer, 0, bytes, "KV group");
    if (status != PL_OK)
        return status;
    op->kv.data = view->group.buffer->data;
    return check_aligned(b, op->kv.data, CPU_ALIGN, "KV group");
}

static enum pl_status build_op(struct builder *b, uint32_t op_i)
{
    struct op_view view;
    struct cpu_op *op = &b->program->ops[op_i];
    enum pl_status status = check_op(b->desc, op_i, &view, b->err);
    if (status != PL_OK)
        return status;
    op->run = b->device->reference ? ref_op(view.op.opcode) : fast_op(view.op.opcode);
    op->opcode = view.op.opcode;
    op->flags = view.op.flags;
    op->p = view.op.p;
    for (int i = 0; i < PL_OP_IN_MAX && status == PL_OK; i++)
        status = resolve(b, &view.in[i], &op->in[i]);
    for (int i = 0; i < PL_OP_OUT_MAX && status == PL_OK; i++)
        status = resolve(b, &view.out[i], &op->out[i]);
    if (status == PL_OK)
        status = check_step_bindings(b, &view);
    if (status == PL_OK)
        status = place_kv(b, &view, op);
    if (status == PL_OK && op->opcode == PL_OP_QKV_POST)
        status = make_rope(b, op, op_i);
    uint64_t workspace = op_workspace(b->device, b->desc, &view);
    b->workspace_bytes = PL_MAX(b->workspace_bytes, workspace);
    return status;
}

static enum pl_status place_workspace(const struct builder *b)
{
    const struct pl_program_desc *desc = b->desc;
    if (b->workspace_bytes == 0)
        return PL_OK;
    enum pl_status status =
        check_place(b, desc->workspace, desc->workspace_offset, b->workspace_bytes, "workspace");
    if (status != PL_OK)
        return status;
    b->program->workspace = desc->workspace->data + desc->workspace_offset;
    return check_aligned(b, b->program->workspace, CPU_ALIGN, "workspace");
}

static enum pl_status copy_sets(const struct builder *b)
{
    const struct pl_program_desc *desc = b->desc;
    for (uint32_t i = 0; i < desc->n_sets; i++) {
        struct pl_binding_set *set = &b->program->sets[i];
        if (!strided_copy(set, sizeof *set, desc->sets, desc->set_stride, i))
            return pl_error_set(b->err, PL_ENOTSUP, "cpu: a binding set's unknown field");
        if (set->buffer == NULL)
            return pl_error_set(b->err, PL_EINVAL, "cpu: binding set %u has no buffer", i);
        for (uint32_t k = 0; k < PL_BINDING_MAX; k++)
            if (set->offset[k] % CPU_ALIGN != 0)
                return pl_error_set(b->err, PL_EINVAL, "cpu: binding %u of set %u is not aligned",
                                    k, i);
    }
    return PL_OK;
}

static enum pl_status fill_program(struct builder *b)
{
    enum pl_status status = copy_sets(b);
    for (uint32_t i = 0; i < b->desc->n_ops && status == PL_OK; i++)
        status = build_op(b, i);
    return status == PL_OK ? place_workspace(b) : status;
}

static enum pl_status check_desc(const struct pl_program_desc *desc, struct pl_error *err)
{
    if (desc->struct_size < sizeof *desc || desc->flags != 0)
        return pl_error_set(err, PL_ENOTSUP, "cpu: program of another interface or with flags %#x",
                            desc->flags);
    if (desc->n_ops < 1 || desc->n_ops > OPS_MAX || desc->rows_max < 1 || desc->seqs_max < 1)
        return pl_error_set(err, PL_EINVAL, "cpu: program of %u ops, %u rows, %u sequences",
                            desc->n_ops, desc->rows_max, desc->seqs_max);
    if (desc->n_sets < 1 || desc->sets == NULL)
        return pl_error_set(err, PL_EINVAL, "cpu: program without binding sets");
    return PL_OK;
}

enum pl_status cpu_program_new(struct pl_device *device, const struct pl_program_desc *desc,
                               struct pl_program **ret, struct pl_error *err)
{
    enum pl_status status = check_desc(desc, err);
    if (status != PL_OK)
        return status;
    struct pl_program *p = cpu_alloc(device, 1, sizeof *p);
    if (p == NULL)
        return pl_error_set(err, PL_ENOMEM, "cpu: no memory for a program");
    p->device = device;
    p->n_ops = desc->n_ops;
    p->n_sets = desc->n_sets;
    p->rows_max = desc->rows_max;
    p->seqs_max = desc->seqs_max;
    p->outputs_max = desc->outputs_max;
    p->kv_tokens_max = desc->kv_tokens_max;
    p->ops = cpu_alloc(device, desc->n_ops, sizeof *p->ops);
    p->sets = cpu_alloc(device, desc->n_sets, sizeof *p->sets);
    p->owned = cpu_alloc(device, 2 * (size_t)desc->n_ops, sizeof *p->owned);
    struct builder b = {.device = device, .desc = desc, .program = p, .err = err};
    if (p->ops == NULL || p->sets == NULL || p->owned == NULL)
        status =
            pl_error_set(err, PL_ENOMEM, "cpu: no memory for a program of %u ops", desc->n_ops);
    else
        status = fill_program(&b);
    if (status != PL_OK) {
        cpu_program_free(p);
        return status;
    }
    atomic_fetch_add_explicit(&device->n_compiles, 1, memory_order_relaxed);
    *ret = p;
    return PL_OK;
}

void cpu_program_free(struct pl_program *program)
{
    if (program == NULL)
        return;
    for (uint32_t i = 0; program->owned != NULL && i < program->n_owned; i++)
        free(program->owned[i]);
    free(program->owned);
    free(program->sets);
    free(program->ops);
    free(program);
}

/* ---- running --------------------------------------------------------------------------------- */

static bool aborted(const struct pl_host *host)
{
    return host != NULL && host->aborted != NULL && host->aborted(host->user);
}

static void walk(struct worker *worker, void *arg)
{
    const struct cpu_step *step = arg;
    const struct pl_program *program = step->program;
    for (uint32_t i = 0; i < program->n_ops; i++) {
        const struct cpu_op *op = &program->ops[i];
        op->run(step, op, worker);
        /* Written before the barrier by one, read after it by all: all leave at the same op. */
        if (worker->i == 0 && aborted(step->device->host))
            atomic_store_explicit(step->stop, true, memory_order_relaxed);
        pool_barrier(worker);
        if (atomic_load_explicit(step->stop, memory_order_relaxed))
            return;
    }
}

static enum pl_status check_step(const struct pl_program *p, const struct pl_step *s,
                                 struct pl_error *err)
{
    if (s->struct_size < sizeof *s || s->flags != 0)
        return pl_error_set(err, PL_EINVAL, "cpu: step of another interface or with flags %#x",
                            s->flags);
    if (s->binding_set >= p->n_sets)
        return pl_error_set(err, PL_EINVAL, "cpu: binding set %u of %u", s->binding_set, p->n_sets);
    if (s->n_rows < 1 || s->n_rows > p->rows_max || s->n_seqs < 1 || s->n_seqs > p->seqs_max ||
        s->n_outputs > p->outputs_max)
        return pl_error_set(err, PL_EINVAL,
                            "cpu: step of %u rows, %u sequences, %u outputs; the program has "
                            "%u, %u, %u at most",
                            s->n_rows, s->n_seqs, s->n_outputs, p->rows_max, p->seqs_max,
                            p->outputs_max);
    if (s->kv_tokens_max > p->kv_tokens_max || s->query_tokens_max > s->n_rows)
        return pl_error_set(err, PL_EINVAL,
                            "cpu: step of %u tokens in cache (%u at most), %u in one sequence",
                            s->kv_tokens_max, p->kv_tokens_max, s->query_tokens_max);
    return PL_OK;
}

enum pl_status cpu_program_submit(struct pl_stream *stream, struct pl_program *program,
                                  const struct pl_step *step, struct pl_error *err)
{
    struct pl_device *device = stream->device;
    enum pl_status status = check_step(program, step, err);
    if (status != PL_OK)
        return status;
    if (aborted(device->host))
        return pl_error_set(err, PL_ECANCELED, "cpu: step given up");
    _Atomic bool stop = false;
    const struct pl_binding_set *set = &program->sets[step->binding_set];
    struct cpu_step running = {
        .program = program,
        .device = device,
        .set = set->buffer->data,
        .offset = set->offset,
        .n_rows = step->n_rows,
        .n_seqs = step->n_seqs,
        .n_outputs = step->n_outputs,
        .query_tokens_max = step->query_tokens_max,
        .kv_tokens_max = step->kv_tokens_max,
        .workspace = program->workspace,
        .stop = &stop,
    };
    pool_run(device->pool, walk, &running);
    atomic_fetch_add_explicit(&device->n_submits, 1, memory_order_relaxed);
    if (atomic_load_explicit(&stop, memory_order_relaxed))
        return pl_error_set(err, PL_ECANCELED, "cpu: step given up");
    return PL_OK;
}
