/*
 * cpu/check.c - the rules of operands and parameters, one function per kind of op; see check.h.
 */
#include "check.h"

#include "dequant.h"
#include "kv.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

bool strided_copy(void *dst, size_t size, const void *array, uint32_t stride, uint32_t i)
{
    const uint8_t *src = (const uint8_t *)array + (size_t)i * stride;
    memset(dst, 0, size);
    memcpy(dst, src, PL_MIN(size, (size_t)stride));
    for (size_t k = size; k < stride; k++)
        if (src[k] != 0)
            return false;
    return true;
}

static enum pl_status no(const struct op_view *v, enum pl_status status, struct pl_error *err,
                         const char *what)
{
    const char *name = pl_op_name(v->op.opcode);
    return pl_error_set(err, status, "cpu: %s: %s%s", name != NULL ? name : "op", what,
                        status == PL_ENOTSUP ? " not supported" : "");
}

#define REFUSE(cond, status, what)                                                                 \
    do {                                                                                           \
        if (cond)                                                                                  \
            return no(v, (status), err, (what));                                                   \
    } while (0)

/* ---- shapes ---------------------------------------------------------------------------------- */

static bool given(const struct pl_value *value)
{
    return value->kind != PL_VALUE_NONE;
}

/* An F32 matrix of the step. */
static bool is_matrix(const struct pl_value *x)
{
    return (x->kind == PL_VALUE_ACT || x->kind == PL_VALUE_BINDING) && x->dtype == PL_DTYPE_F32;
}

static bool same_rows(const struct pl_value *a, const struct pl_value *b)
{
    return a->row_kind == b->row_kind && (a->row_kind != PL_ROWS_FIXED || a->rows == b->rows);
}

static bool same_shape(const struct pl_value *a, const struct pl_value *b)
{
    return same_rows(a, b) && a->cols == b->cols;
}

static bool is_vector(const struct pl_value *x, int64_t n)
{
    return x->kind == PL_VALUE_WEIGHT && x->rows == 1 && x->cols == n &&
           (x->layout == CPU_LAYOUT_F32 ||
            (x->layout == PL_LAYOUT_FILE && x->dtype == PL_DTYPE_F32));
}

static bool vector_or_none(const struct pl_value *x, int64_t n)
{
    return !given(x) || is_vector(x, n);
}

/* No operands but in[0..n_in) and out[0..n_out). */
static bool only(const struct op_view *v, int n_in, int n_out)
{
    for (int i = n_in; i < PL_OP_IN_MAX; i++)
        if (given(&v->in[i]))
            return false;
    for (int i = n_out; i < PL_OP_OUT_MAX; i++)
        if (given(&v->out[i]))
            return false;
    return true;
}

static bool finite_positive(float x)
{
    return isfinite(x) && x > 0.0F;
}

/* ---- ops ------------------------------------------------------------------------------------- */

static enum pl_status check_embed(const struct op_view *v, struct pl_error *err)
{
    const struct pl_value *table = &v->in[0];
    REFUSE(!only(v, 1, 1) || table->kind != PL_VALUE_WEIGHT, PL_EINVAL, "operands");
    REFUSE(table->layout != PL_LAYOUT_FILE && table->layout != LINEAR_LAYOUT_R16, PL_ENOTSUP,
           "the table's layout");
    REFUSE(!is_matrix(&v->out[0]) || v->out[0].row_kind != PL_ROWS_TOKENS ||
               v->out[0].cols != table->cols,
           PL_EINVAL, "shape of the output");
    REFUSE(!isfinite(v->op.p.embed.scale), PL_EINVAL, "scale is not finite");
    return PL_OK;
}

static enum pl_status check_linear_params(const struct op_view *v, struct pl_error *err)
{
    const struct pl_linear_params *p = &v->op.p.linear;
    REFUSE(p->n_weights < 1 || p->n_weights > 4, PL_ENOTSUP, "number of weights");
    REFUSE(p->act > PL_ACT_SWIGLU_OAI, PL_ENOTSUP, "activation");
    REFUSE(p->act != PL_ACT_NONE && p->n_weights != 2, PL_EINVAL,
           "an activation needs two weights, gate and up");
    REFUSE(!isfinite(p->scale) || (given(&v->in[PL_LINEAR_NORM]) && !(p->norm_eps >= 0.0F)),
           PL_EINVAL, "scale or eps");
    return PL_OK;
}

static enum pl_status check_linear(const struct op_view *v, struct pl_error *err)
{
    const struct pl_linear_params *p = &v->op.p.linear;
    const struct pl_value *x = &v->in[PL_LINEAR_X];
    enum pl_status status = check_linear_params(v, err);
    if (status != PL_OK)
        return status;
    uint32_t n_outs = p->act == PL_ACT_NONE ? p->n_weights : 1;
    REFUSE(!is_matrix(x) || !only(v, PL_LINEAR_RESIDUAL + 1, (int)n_outs), PL_EINVAL, "operands");
    REFUSE(!vector_or_none(&v->in[PL_LINEAR_NORM], x->cols), PL_EINVAL, "shape of the norm");
    for (uint32_t i = 0; i < 4; i++) {
        const struct pl_value *w = &v->in[PL_LINEAR_W + i];
        const struct pl_value *b = &v->in[PL_LINEAR_B + i];
        REFUSE((i < p->n_weights) != given(w) || (i >= p->n_weights && given(b)), PL_EINVAL,
               "weights or biases that differ from n_weights");
        if (i >= p->n_weights)
            continue;
        REFUSE(w->kind != PL_VALUE_WEIGHT || w->cols != x->cols, PL_EINVAL, "shape of a weight");
        REFUSE(w->layout != PL_LAYOUT_FILE && w->layout != LINEAR_LAYOUT_R16, PL_ENOTSUP,
               "a weight's layout");
        REFUSE(!vector_or_none(b, w->rows), PL_EINVAL, "shape of a bias");
        const struct pl_value *out = &v->out[i < n_outs ? i : 0];
        REFUSE(!is_matrix(out) || !same_rows(out, x) || out->cols != w->rows, PL_EINVAL,
               "shape of an output");
    }
    const struct pl_value *residual = &v->in[PL_LINEAR_RESIDUAL];
    REFUSE(given(residual) && (!is_matrix(residual) || !same_shape(residual, &v->out[0])),
           PL_EINVAL, "shape of the residual");
    return PL_OK;
}

static enum pl_status check_norm(const struct op_view *v, struct pl_error *err)
{
    const struct pl_norm_params *p = &v->op.p.norm;
    bool layer = v->op.opcode == PL_OP_LAYERNORM;
    REFUSE(!only(v, layer ? 3 : 2, 1) || !is_matrix(&v->in[0]) || !is_matrix(&v->out[0]) ||
               !same_shape(&v->in[0], &v->out[0]),
           PL_EINVAL, "operands");
    int64_t cols = v->in[0].cols;
    int64_t width = p->width != 0 ? (int64_t)p->width : cols;
    REFUSE(layer && width != cols, PL_ENOTSUP, "groups");
    REFUSE(width > cols || cols % width != 0, PL_EINVAL, "width");
    REFUSE(!vector_or_none(&v->in[1], width) || (layer && !vector_or_none(&v->in[2], width)),
           PL_EINVAL, "shape of the weight");
    REFUSE(!(p->eps >= 0.0F) || !isfinite(p->eps), PL_EINVAL, "eps");
    return PL_OK;
}

/* GLU and ACT. */
static enum pl_status check_act(const struct op_view *v, struct pl_error *err)
{
    bool glu = v->op.opcode == PL_OP_GLU;
    uint32_t act = v->op.p.glu.act;
    REFUSE(act > PL_ACT_SWIGLU_OAI || (!glu && act == PL_ACT_SWIGLU_OAI), PL_ENOTSUP, "activation");
    REFUSE(!only(v, glu ? 2 : 1, 1) || !is_matrix(&v->in[0]) || !is_matrix(&v->out[0]) ||
               !same_shape(&v->in[0], &v->out[0]),
           PL_EINVAL, "operands");
    REFUSE(glu && (!is_matrix(&v->in[1]) || !same_shape(&v->in[0], &v->in[1])), PL_EINVAL,
           "shapes");
    return PL_OK;
}

/* ADD and MUL; b may be a vector, for all rows. */
static enum pl_status check_binary(const struct op_view *v, struct pl_error *err)
{
    const struct pl_value *a = &v->in[0];
    const struct pl_value *b = &v->in[1];
    REFUSE(!only(v, 2, 1) || !is_matrix(a) || !is_matrix(&v->out[0]) || !same_shape(a, &v->out[0]),
           PL_EINVAL, "operands");
    REFUSE(!is_vector(b, a->cols) && !(is_matrix(b) && same_shape(a, b)), PL_EINVAL, "shapes");
    return PL_OK;
}

/* SCALE and SOFTCAP; FILL without an input. */
static enum pl_status check_scale(const struct op_view *v, struct pl_error *err)
{
    bool fill = v->op.opcode == PL_OP_FILL;
    REFUSE(!only(v, fill ? 0 : 1, 1) || !is_matrix(&v->out[0]), PL_EINVAL, "operands");
    REFUSE(!fill && (!is_matrix(&v->in[0]) || !same_shape(&v->in[0], &v->out[0])), PL_EINVAL,
           "shapes");
    REFUSE(!isfinite(v->op.p.scale.value) ||
               (v->op.opcode == PL_OP_SOFTCAP && !finite_positive(v->op.p.scale.value)),
           PL_EINVAL, "value");
    return PL_OK;
}

static bool is_castable(const struct pl_value *x)
{
    return (x->kind == PL_VALUE_ACT || x->kind == PL_VALUE_BINDING) &&
           (x->dtype == PL_DTYPE_F32 || x->dtype == PL_DTYPE_F16 || x->dtype == PL_DTYPE_BF16);
}

/* CAST between float types; COPY of one type. */
static enum pl_status check_copy(const struct op_view *v, struct pl_error *err)
{
    const struct pl_value *x = &v->in[0];
    const struct pl_value *out = &v->out[0];
    bool cast = v->op.opcode == PL_OP_CAST;
    REFUSE(!only(v, 1, 1) || !given(x) || !given(out) || !same_shape(x, out), PL_EINVAL,
           "operands");
    REFUSE(!cast && x->dtype != out->dtype, PL_EINVAL, "types differ");
    bool i32 = !cast && x->dtype == PL_DTYPE_I32 && x->kind != PL_VALUE_WEIGHT &&
               out->kind != PL_VALUE_WEIGHT;
    REFUSE(!i32 && (!is_castable(x) || !is_castable(out)), PL_ENOTSUP, "type");
    return PL_OK;
}

static enum pl_status check_gather(const struct op_view *v, struct pl_error *err)
{
    const struct pl_value *x = &v->in[0];
    const struct pl_value *index = &v->in[1];
    const struct pl_value *out = &v->out[0];
    REFUSE(!only(v, 2, 1) || !is_matrix(x) || !is_matrix(out) || out->cols != x->cols, PL_EINVAL,
           "operands");
    REFUSE((index->kind != PL_VALUE_ACT && index->kind != PL_VALUE_BINDING) ||
               index->dtype != PL_DTYPE_I32 || index->cols != 1 || !same_rows(index, out),
           PL_EINVAL, "index: one I32 per output row is wanted,");
    return PL_OK;
}

/* ---- ops on KV ------------------------------------------------------------------------------- */

static enum pl_status check_kv(struct op_view *v, uint32_t layer, uint32_t n_heads,
                               uint32_t n_kv_heads, uint32_t d, uint32_t dv, struct pl_error *err)
{
    const char *reason;
    if (!kv_geometry_init(&v->kv, &v->group, &reason))
        return no(v, PL_ENOTSUP, err, reason);
    REFUSE(v->group.layout != CPU_KV_LAYOUT, PL_ENOTSUP, "the KV group's layout");
    REFUSE(layer >= v->kv.n_layers, PL_EINVAL, "kv_layer");
    REFUSE(n_kv_heads != v->kv.n_kv_heads || d != v->kv.head_dim_k || dv != v->kv.head_dim_v,
           PL_EINVAL, "heads differ from the KV group's");
    REFUSE(n_heads == 0 || n_heads % n_kv_heads != 0 || n_heads > 65536, PL_EINVAL, "n_heads");
    return PL_OK;
}

static bool token_matrix(const struct pl_value *x, uint32_t n, uint32_t d)
{
    return is_matrix(x) && x->row_kind == PL_ROWS_TOKENS && x->cols == (int64_t)n * d;
}

static enum pl_status check_rope(const struct op_view *v, struct pl_error *err)
{
    const struct pl_qkv_post_params *p = &v->op.p.qkv_post;
    REFUSE(p->rope > PL_ROPE_NEOX, PL_ENOTSUP, "kind of rope");
    if (p->rope == PL_ROPE_NONE)
        return PL_OK;
    REFUSE(p->rot_dim == 0 || p->rot_dim % 2 != 0 || p->rot_dim > p->head_dim, PL_EINVAL,
           "rot_dim");
    REFUSE(!finite_positive(p->freq_base) || !finite_positive(p->freq_scale) ||
               !isfinite(p->ext_factor) || !isfinite(p->attn_factor),
           PL_EINVAL, "rope frequencies");
    REFUSE(p->ext_factor != 0.0F && (!finite_positive(p->beta_fast) ||
                                     !finite_positive(p->beta_slow) || p->orig_ctx == 0),
           PL_EINVAL, "YaRN parameters");
    return PL_OK;
}

static enum pl_status check_qkv_post(struct op_view *v, struct pl_error *err)
{
    const struct pl_qkv_post_params *p = &v->op.p.qkv_post;
    enum pl_status status =
        check_kv(v, p->kv_layer, p->n_heads, p->n_kv_heads, p->head_dim, p->head_dim_v, err);
    if (status == PL_OK)
        status = check_rope(v, err);
    if (status != PL_OK)
        return status;
    const struct pl_value *in = v->in;
    REFUSE(!only(v, PL_QKV_FACTORS + 1, 1) ||
               !token_matrix(&in[PL_QKV_Q], p->n_heads, p->head_dim) ||
               !token_matrix(&in[PL_QKV_K], p->n_kv_heads, p->head_dim) ||
               !token_matrix(&in[PL_QKV_V], p->n_kv_heads, p->head_dim_v) ||
               !token_matrix(&v->out[0], p->n_heads, p->head_dim),
           PL_EINVAL, "shapes of q, k, v");
    REFUSE(!vector_or_none(&in[PL_QKV_BIAS_Q], in[PL_QKV_Q].cols) ||
               !vector_or_none(&in[PL_QKV_BIAS_K], in[PL_QKV_K].cols) ||
               !vector_or_none(&in[PL_QKV_BIAS_V], in[PL_QKV_V].cols) ||
               !vector_or_none(&in[PL_QKV_NORM_Q], p->head_dim) ||
               !vector_or_none(&in[PL_QKV_NORM_K], p->head_dim) ||
               !vector_or_none(&in[PL_QKV_FACTORS], p->rot_dim / 2),
           PL_EINVAL, "shape of a bias, norm or factors");
    bool normed = given(&in[PL_QKV_NORM_Q]) || given(&in[PL_QKV_NORM_K]);
    REFUSE(normed && !(p->norm_eps >= 0.0F), PL_EINVAL, "eps");
    return PL_OK;
}

static enum pl_status check_attn(struct op_view *v, struct pl_error *err)
{
    const struct pl_attn_params *p = &v->op.p.attn;
    enum pl_status status =
        check_kv(v, p->kv_layer, p->n_heads, p->n_kv_heads, p->head_dim, p->head_dim_v, err);
    if (status != PL_OK)
        return status;
    REFUSE((v->op.flags & ~PL_ATTN_CAUSAL) != 0, PL_ENOTSUP, "flag");
    REFUSE(!only(v, 2, 1) || !token_matrix(&v->in[PL_ATTN_Q], p->n_heads, p->head_dim) ||
               !token_matrix(&v->out[0], p->n_heads, p->head_dim_v),
           PL_EINVAL, "shapes of q or the output");
    REFUSE(!vector_or_none(&v->in[PL_ATTN_SINKS], p->n_heads), PL_EINVAL, "shape of the sinks");
    REFUSE(!isfinite(p->scale) || !isfinite(p->softcap) || p->softcap < 0.0F, PL_EINVAL,
           "scale or softcap");
    return PL_OK;
}

static enum pl_status check_operands(struct op_view *v, struct pl_error *err)
{
    switch (v->op.opcode) {
    case PL_OP_EMBED: return check_embed(v, err);
    case PL_OP_LINEAR: return check_linear(v, err);
    case PL_OP_RMSNORM:
    case PL_OP_LAYERNORM: return check_norm(v, err);
    case PL_OP_GLU:
    case PL_OP_ACT: return check_act(v, err);
    case PL_OP_ADD:
    case PL_OP_MUL: return check_binary(v, err);
    case PL_OP_SCALE:
    case PL_OP_SOFTCAP:
    case PL_OP_FILL: return check_scale(v, err);
    case PL_OP_COPY:
    case PL_OP_CAST: return check_copy(v, err);
    case PL_OP_GATHER_ROWS: return check_gather(v, err);
    case PL_OP_QKV_POST: return check_qkv_post(v, err);
    case PL_OP_ATTN: return check_attn(v, err);
    default: return no(v, PL_ENOTSUP, err, "this op is");
    }
}

/* ---- what all ops share ---------------------------------------------------------------------- */

static size_t param_bytes(uint32_t opcode)
{
    switch (opcode) {
    case PL_OP_EMBED: return sizeof(struct pl_embed_params);
    case PL_OP_LINEAR: return sizeof(struct pl_linear_params);
    case PL_OP_RMSNORM:
    case PL_OP_LAYERNORM: return sizeof(struct pl_norm_params);
    case PL_OP_GLU:
    case PL_OP_ACT: return sizeof(struct pl_glu_params);
    case PL_OP_SCALE:
    case PL_OP_SOFTCAP:
    case PL_OP_FILL: return sizeof(struct pl_scale_params);
    case PL_OP_QKV_POST: return sizeof(struct pl_qkv_post_params);
    case PL_OP_ATTN: return sizeof(struct pl_attn_params);
    default: return 0;
    }
}

static bool params_known(const struct pl_op *op)
{
    for (size_t i = param_bytes(op->opcode); i < PL_OP_PARAM_BYTES; i++)
        if (op->p.raw[i] != 0)
            return false;
    return op->reserved == 0 && (op->flags == 0 || op->opcode == PL_OP_ATTN);
}

static int64_t rows_needed(const struct pl_program_desc *desc, const struct pl_value *value)
{
    switch (value->row_kind) {
    case PL_ROWS_TOKENS: return desc->rows_max;
    case PL_ROWS_OUTPUTS: return desc->outputs_max;
    case PL_ROWS_SEQS: return desc->seqs_max;
    default: return 1;
    }
}

static enum pl_status load_value(const struct pl_program_desc *desc, const struct op_view *v,
                                 int32_t i, struct pl_value *ret, struct pl_error *err)
{
    if (i == PL_NO_VALUE) {
        *ret = (struct pl_value){0};
        return PL_OK;
    }
    REFUSE(i < 0 || (uint32_t)i >= desc->n_values, PL_EINVAL, "a value's index is out of range");
    REFUSE(!strided_copy(ret, sizeof *ret, desc->values, desc->value_stride, (uint32_t)i) ||
               ret->flags != 0 || ret->reserved[0] != 0 || ret->reserved[1] != 0 ||
               ret->reserved[2] != 0,
           PL_ENOTSUP, "a value's unknown field");
    REFUSE(ret->kind < PL_VALUE_WEIGHT || ret->kind > PL_VALUE_BINDING ||
               ret->row_kind > PL_ROWS_SEQS || ret->binding >= PL_BINDING_MAX,
           PL_ENOTSUP, "a value's kind");
    REFUSE(ret->rows < rows_needed(desc, ret) || ret->cols < 1 || ret->rows > LINEAR_DIM_MAX ||
               ret->cols > LINEAR_DIM_MAX,
           PL_EINVAL, "a value's rows or columns");
    REFUSE((ret->kind == PL_VALUE_BINDING) != (ret->binding != PL_BINDING_NONE), PL_EINVAL,
           "a value's binding");
    if (ret->kind != PL_VALUE_WEIGHT) {
        REFUSE(ret->layout != 0, PL_ENOTSUP, "a layout of activations");
        return PL_OK;
    }
    uint64_t bytes;
    REFUSE(ret->row_kind != PL_ROWS_FIXED, PL_EINVAL, "a weight with rows of the step");
    REFUSE(!dequant_supports(ret->dtype) ||
               !cpu_weight_bytes(ret->dtype, ret->layout, ret->rows, ret->cols, &bytes),
           PL_ENOTSUP, "a weight's type or layout");
    return PL_OK;
}

static enum pl_status load_group(const struct pl_program_desc *desc, struct op_view *v,
                                 struct pl_error *err)
{
    uint32_t i;
    if (v->op.opcode == PL_OP_QKV_POST)
        i = v->op.p.qkv_post.kv_group;
    else if (v->op.opcode == PL_OP_ATTN)
        i = v->op.p.attn.kv_group;
    else
        return PL_OK;
    REFUSE(i >= desc->n_groups || i >= PL_KV_GROUPS_MAX, PL_EINVAL, "kv_group");
    REFUSE(!strided_copy(&v->group, sizeof v->group, desc->groups, desc->group_stride, i),
           PL_ENOTSUP, "a KV group's unknown field");
    return PL_OK;
}

enum pl_status check_op(const struct pl_program_desc *desc, uint32_t op_i, struct op_view *v,
                        struct pl_error *err)
{
    *v = (struct op_view){0};
    if (op_i >= desc->n_ops)
        return pl_error_set(err, PL_EINVAL, "cpu: op %u of %u", op_i, desc->n_ops);
    if (desc->flags != 0)
        return pl_error_set(err, PL_ENOTSUP, "cpu: program flags %#x not supported", desc->flags);
    bool known = strided_copy(&v->op, sizeof v->op, desc->ops, desc->op_stride, op_i);
    REFUSE(pl_op_name(v->op.opcode) == NULL, PL_ENOTSUP, "an unknown opcode is");
    REFUSE(!known || !params_known(&v->op), PL_ENOTSUP, "an unknown flag or parameter is");
    enum pl_status status = load_group(desc, v, err);
    for (int i = 0; i < PL_OP_IN_MAX && status == PL_OK; i++)
        status = load_value(desc, v, v->op.in[i], &v->in[i], err);
    for (int i = 0; i < PL_OP_OUT_MAX && status == PL_OK; i++)
        status = load_value(desc, v, v->op.out[i], &v->out[i], err);
    if (status == PL_OK)
        status = check_operands(v, err);
    if (status == PL_OK && v->group.kind != 0)
        v->kv.group_i =
            v->op.opcode == PL_OP_ATTN ? v->op.p.attn.kv_group : v->op.p.qkv_post.kv_group;
    return status;
}
