/*
 * core/exec/decompose.c - what a device does not take is taken apart, by the rules stated in polder/op.h.
 *
 * fit_ops walks the op list and asks the device about each op; one that is unsupported is replaced by its
 * decomposition, whose ops are asked about in turn. An op without a decomposition ends with the device's
 * own reason.
 */
#include "internal.h"

#include <stdlib.h>

#include "base/banned.h"

#define DEPTH_MAX 4 /* LINEAR -> GLU -> ACT and MUL is the longest chain */

struct fitter {
    struct exec *exec;
    struct graph *graph; /* of exec: values are appended here */
    struct graph out;    /* only its op list is used */
    struct pl_error *err;
};

static void fit_op(struct fitter *f, const struct pl_op *op, int depth, enum pl_status *status);

/* Emits one simple op; the status sticks. */
static void emit(struct fitter *f, const struct pl_op *op, int depth, enum pl_status *status)
{
    if (*status == PL_OK)
        fit_op(f, op, depth + 1, status);
}

static int64_t cols_of(const struct fitter *f, int32_t value)
{
    return f->graph->values[value].cols;
}

/* y = x * W^T + b for weight i of op, without norm, act, scale and residual. */
static int32_t emit_plain_linear(struct fitter *f, const struct pl_op *op, int32_t x, uint32_t i,
                                 int depth, enum pl_status *status)
{
    struct pl_op linear = graph_op(PL_OP_LINEAR);
    int32_t weight = op->in[(uint32_t)PL_LINEAR_W + i];
    linear.in[PL_LINEAR_X] = x;
    linear.in[PL_LINEAR_W] = weight;
    linear.in[PL_LINEAR_B] = op->in[(uint32_t)PL_LINEAR_B + i];
    linear.out[0] = graph_add_act_like(f->graph, x, f->graph->values[weight].rows);
    linear.p.linear = (struct pl_linear_params){.n_weights = 1, .scale = 1.0f};
    emit(f, &linear, depth, status);
    return linear.out[0];
}

/* out = in * scale, then + residual, each only where there is something to do. */
static void emit_tail(struct fitter *f, const struct pl_op *op, int32_t y, uint32_t i, int depth,
                      enum pl_status *status)
{
    int32_t residual = i == 0 ? op->in[PL_LINEAR_RESIDUAL] : PL_NO_VALUE;
    struct pl_op scale = graph_op(PL_OP_SCALE);
    scale.in[0] = y;
    scale.out[0] =
        residual == PL_NO_VALUE ? op->out[i] : graph_add_act_like(f->graph, y, cols_of(f, y));
    scale.p.scale.value = op->p.linear.scale;
    emit(f, &scale, depth, status);
    if (residual == PL_NO_VALUE)
        return;
    struct pl_op add = graph_op(PL_OP_ADD);
    add.in[0] = scale.out[0];
    add.in[1] = residual;
    add.out[0] = op->out[i];
    emit(f, &add, depth, status);
}

static bool linear_is_plain(const struct pl_op *op)
{
    const struct pl_linear_params *p = &op->p.linear;
    return p->n_weights == 1 && p->act == PL_ACT_NONE && p->scale == 1.0f &&
           op->in[PL_LINEAR_NORM] == PL_NO_VALUE && op->in[PL_LINEAR_RESIDUAL] == PL_NO_VALUE;
}

static bool split_linear(struct fitter *f, const struct pl_op *op, int depth,
                         enum pl_status *status)
{
    const struct pl_linear_params *p = &op->p.linear;
    if (linear_is_plain(op))
        return false;
    int32_t x = op->in[PL_LINEAR_X];
    if (op->in[PL_LINEAR_NORM] != PL_NO_VALUE) {
        struct pl_op norm = graph_op(PL_OP_RMSNORM);
        norm.in[0] = x;
        norm.in[1] = op->in[PL_LINEAR_NORM];
        norm.out[0] = graph_add_act_like(f->graph, x, cols_of(f, x));
        norm.p.norm.eps = p->norm_eps;
        emit(f, &norm, depth, status);
        x = norm.out[0];
    }
    int32_t y[4] = {PL_NO_VALUE, PL_NO_VALUE, PL_NO_VALUE, PL_NO_VALUE};
    for (uint32_t i = 0; i < p->n_weights && *status == PL_OK && !f->graph->failed; i++)
        y[i] = emit_plain_linear(f, op, x, i, depth, status);
    if (*status != PL_OK || f->graph->failed)
        return true;
    if (p->act != PL_ACT_NONE) {
        struct pl_op glu = graph_op(PL_OP_GLU);
        glu.in[0] = y[0];
        glu.in[1] = y[1];
        glu.out[0] = graph_add_act_like(f->graph, y[0], cols_of(f, y[0]));
        glu.p.glu = (struct pl_glu_params){.act = p->act, .alpha = p->alpha, .limit = p->limit};
        emit(f, &glu, depth, status);
        emit_tail(f, op, glu.out[0], 0, depth, status);
        return true;
    }
    for (uint32_t i = 0; i < p->n_weights && *status == PL_OK; i++)
        emit_tail(f, op, y[i], i, depth, status);
    return true;
}

static bool split_glu(struct fitter *f, const struct pl_op *op, int depth, enum pl_status *status)
{
    if (op->p.glu.act == PL_ACT_SWIGLU_OAI) /* clamps the up half as well: not act(gate) * up */
        return false;
    struct pl_op act = graph_op(PL_OP_ACT);
    act.in[0] = op->in[0];
    act.out[0] = graph_add_act_like(f->graph, op->in[0], cols_of(f, op->in[0]));
    act.p.glu = op->p.glu;
    emit(f, &act, depth, status);
    struct pl_op mul = graph_op(PL_OP_MUL);
    mul.in[0] = act.out[0];
    mul.in[1] = op->in[1];
    mul.out[0] = op->out[0];
    emit(f, &mul, depth, status);
    return true;
}

static bool split_embed(struct fitter *f, const struct pl_op *op, int depth, enum pl_status *status)
{
    if (op->p.embed.scale == 1.0f)
        return false;
    struct pl_op embed = *op;
    embed.p.embed.scale = 1.0f;
    embed.out[0] = graph_add_act_like(f->graph, op->out[0], cols_of(f, op->out[0]));
    emit(f, &embed, depth, status);
    struct pl_op scale = graph_op(PL_OP_SCALE);
    scale.in[0] = embed.out[0];
    scale.out[0] = op->out[0];
    scale.p.scale.value = op->p.embed.scale;
    emit(f, &scale, depth, status);
    return true;
}

/* False: there is no decomposition. */
static bool split(struct fitter *f, const struct pl_op *op, int depth, enum pl_status *status)
{
    if (op->opcode == PL_OP_LINEAR)
        return split_linear(f, op, depth, status);
    if (op->opcode == PL_OP_GLU)
        return split_glu(f, op, depth, status);
    if (op->opcode == PL_OP_EMBED)
        return split_embed(f, op, depth, status);
    return false;
}

/* Asks the device about op as the only one of a program over the graph's values. */
static enum pl_status query(struct fitter *f, const struct pl_op *op, struct pl_error *err)
{
    struct exec *exec = f->exec;
    struct pl_program_desc desc = exec_program_desc(exec);
    struct pl_op_support support = {.struct_size = sizeof support};
    desc.ops = op;
    desc.n_ops = 1;
    enum pl_status status = exec->api->op_query(exec->device, &desc, 0, &support, err);
    if (status == PL_OK)
        exec->workspace_bytes = PL_MAX(exec->workspace_bytes, support.workspace_bytes);
    return status;
}

static void fit_op(struct fitter *f, const struct pl_op *op, int depth, enum pl_status *status)
{
    struct pl_error why = {{0}};
    if (f->graph->failed || f->out.failed) {
        *status = pl_error_set(f->err, PL_ENOMEM, "exec: out of memory for the op list");
        return;
    }
    *status = query(f, op, &why);
    if (*status == PL_OK) {
        graph_add_op(&f->out, op);
        return;
    }
    if (*status == PL_ENOTSUP && depth < DEPTH_MAX) {
        *status = PL_OK;
        if (split(f, op, depth, status))
            return;
        *status = PL_ENOTSUP;
    }
    const char *name = pl_op_name(op->opcode);
    *status = pl_error_set(f->err, *status, "exec: backend '%s' does not take %s: %s",
                           f->exec->api->name, name != NULL ? name : "an unknown op", why.msg);
}

enum pl_status exec_fit_ops(struct exec *exec, struct pl_error *err)
{
    struct fitter f = {.exec = exec, .graph = &exec->graph, .err = err};
    enum pl_status status = PL_OK;
    graph_init(&f.out);
    for (uint32_t i = 0; i < exec->graph.n_ops && status == PL_OK; i++) {
        struct pl_op op = exec->graph.ops[i]; /* a copy: values may grow while it is split */
        fit_op(&f, &op, 0, &status);
    }
    if (status == PL_OK && (f.out.failed || exec->graph.failed))
        status = pl_error_set(err, PL_ENOMEM, "exec: out of memory for the op list");
    if (status != PL_OK) {
        graph_deinit(&f.out);
        return status;
    }
    free(exec->graph.ops);
    exec->graph.ops = f.out.ops;
    exec->graph.n_ops = f.out.n_ops;
    exec->graph.ops_cap = f.out.ops_cap;
    return PL_OK;
}
