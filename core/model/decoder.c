/* See decoder.h. Each function appends the ops of one part; x is the residual stream [T, E], to which parts
 * add in place. */
#include "decoder.h"
#include "arch.h"

#include <math.h>
#include <stdio.h>

#include "base/banned.h"

/* ---- attention --------------------------------------------------------------------------------- */

/* One matrix each, or parts of one that holds all three. */
static void add_qkv_weights(struct build *b, int layer, struct pl_op *op)
{
    const struct hparams *hp = b->hp;
    static const char *const names[3] = {"attn_q", "attn_k", "attn_v"};
    const int64_t widths[3] = {(int64_t)hp->n_heads * hp->head_dim,
                               (int64_t)hp->n_kv_heads * hp->head_dim,
                               (int64_t)hp->n_kv_heads * hp->head_dim_v};
    bool fused = build_has(b, layer, "attn_qkv.weight");
    struct build_part part = {.total = widths[0] + widths[1] + widths[2]};
    for (int i = 0; i < 3; i++) {
        char name[32];
        part.begin = part.end;
        part.end += widths[i];
        if (fused) {
            op->in[PL_LINEAR_W + i] =
                build_weight_part(b, layer, "attn_qkv.weight", &part, hp->n_embd, BUILD_REQUIRED);
            op->in[PL_LINEAR_B + i] =
                build_vector_part(b, layer, "attn_qkv.bias", &part, hp->arch->qkv_bias);
            continue;
        }
        (void)snprintf(name, sizeof name, "%s.weight", names[i]);
        op->in[PL_LINEAR_W + i] =
            build_weight(b, layer, name, widths[i], hp->n_embd, BUILD_REQUIRED);
        (void)snprintf(name, sizeof name, "%s.bias", names[i]);
        op->in[PL_LINEAR_B + i] = build_vector(b, layer, name, widths[i], hp->arch->qkv_bias);
    }
}

static void emit_qkv(struct build *b, int layer, int32_t x, const int32_t qkv[3])
{
    const struct hparams *hp = b->hp;
    struct pl_op op = graph_op(PL_OP_LINEAR);
    op.in[PL_LINEAR_X] = x;
    add_qkv_weights(b, layer, &op);
    for (int i = 0; i < 3; i++)
        op.out[i] = qkv[i];
    op.in[PL_LINEAR_NORM] = build_vector(b, layer, "attn_norm.weight", hp->n_embd, BUILD_REQUIRED);
    op.p.linear =
        (struct pl_linear_params){.n_weights = 3, .norm_eps = hp->norm_eps, .scale = 1.0f};
    build_op(b, &op);
}

/* Frequency factors: one set, or one for contexts up to the original one and one beyond. */
static int32_t rope_factors(struct build *b)
{
    const struct hparams *hp = b->hp;
    const char *name = "rope_freqs.weight";
    if (!build_has(b, -1, name) && build_has(b, -1, "rope_factors_long.weight")) {
        uint32_t ctx = b->limits->ctx_tokens != 0 ? b->limits->ctx_tokens : hp->ctx_train_tokens;
        name = ctx > hp->rope_orig_ctx ? "rope_factors_long.weight" : "rope_factors_short.weight";
        return build_vector(b, -1, name, hp->rot_dim / 2, BUILD_REQUIRED);
    }
    return build_vector(b, -1, name, hp->rot_dim / 2, BUILD_OPTIONAL);
}

static void emit_qkv_post(struct build *b, int layer, const int32_t qkv[3])
{
    const struct hparams *hp = b->hp;
    struct build_kv kv = build_kv_of(b, layer);
    bool windowed = hp->windowed[layer];
    struct pl_op op = graph_op(PL_OP_QKV_POST);
    op.in[PL_QKV_Q] = qkv[0];
    op.in[PL_QKV_K] = qkv[1];
    op.in[PL_QKV_V] = qkv[2];
    op.in[PL_QKV_FACTORS] = rope_factors(b);
    if (hp->arch->qk_norm) {
        op.in[PL_QKV_NORM_Q] =
            build_vector(b, layer, "attn_q_norm.weight", hp->head_dim, BUILD_REQUIRED);
        op.in[PL_QKV_NORM_K] =
            build_vector(b, layer, "attn_k_norm.weight", hp->head_dim, BUILD_REQUIRED);
    }
    op.out[0] = qkv[0];
    op.p.qkv_post = (struct pl_qkv_post_params){
        .kv_group = kv.group,
        .kv_layer = kv.layer,
        .n_heads = hp->n_heads,
        .n_kv_heads = hp->n_kv_heads,
        .head_dim = hp->head_dim,
        .head_dim_v = hp->head_dim_v,
        .rope = hp->rope,
        .rot_dim = hp->rot_dim,
        .freq_base = windowed ? hp->window_freq_base : hp->freq_base,
        .freq_scale = windowed ? hp->window_freq_scale : hp->freq_scale,
        .ext_factor = hp->ext_factor,
        .attn_factor = hp->attn_factor,
        .beta_fast = hp->beta_fast,
        .beta_slow = hp->beta_slow,
        .orig_ctx = hp->ext_factor != 0.0f ? hp->rope_orig_ctx : 0,
        .norm_eps = hp->arch->qk_norm ? hp->norm_eps : 0.0f,
    };
    build_op(b, &op);
}

/* q, k, v of a layer, K and V written to the cache, attention: [T, H*Dv]. */
static int32_t emit_attention(struct build *b, int layer, int32_t x)
{
    const struct hparams *hp = b->hp;
    const int32_t qkv[3] = {
        build_act(b, PL_ROWS_TOKENS, (int64_t)hp->n_heads * hp->head_dim),
        build_act(b, PL_ROWS_TOKENS, (int64_t)hp->n_kv_heads * hp->head_dim),
        build_act(b, PL_ROWS_TOKENS, (int64_t)hp->n_kv_heads * hp->head_dim_v),
    };
    emit_qkv(b, layer, x, qkv);
    emit_qkv_post(b, layer, qkv);

    struct build_kv kv = build_kv_of(b, layer);
    struct pl_op op = graph_op(PL_OP_ATTN);
    op.flags = PL_ATTN_CAUSAL;
    op.in[PL_ATTN_Q] = qkv[0];
    op.out[0] = build_act(b, PL_ROWS_TOKENS, (int64_t)hp->n_heads * hp->head_dim_v);
    op.p.attn = (struct pl_attn_params){
        .kv_group = kv.group,
        .kv_layer = kv.layer,
        .n_heads = hp->n_heads,
        .n_kv_heads = hp->n_kv_heads,
        .head_dim = hp->head_dim,
        .head_dim_v = hp->head_dim_v,
        .scale = hp->attn_scale,
        .softcap = hp->attn_softcap,
        .window = hp->windowed[layer] ? hp->window : 0,
    };
    build_op(b, &op);
    return op.out[0];
}

/* ---- what is added to the residual stream ------------------------------------------------------ */

struct projection {
    const char *name;      /* of the matrix */
    const char *post_norm; /* where the architecture has them */
    int32_t a;             /* input [R, a_cols], R rows as x */
    int64_t a_cols;
};

/* x += post(a * W^T (+ bias)) * residual scale. */
static void emit_projection(struct build *b, int layer, const struct projection *p, int32_t x,
                            enum pl_rows rows)
{
    const struct hparams *hp = b->hp;
    char tensor[32];
    struct pl_op op = graph_op(PL_OP_LINEAR);
    op.in[PL_LINEAR_X] = p->a;
    (void)snprintf(tensor, sizeof tensor, "%s.weight", p->name);
    op.in[PL_LINEAR_W] = build_weight(b, layer, tensor, hp->n_embd, p->a_cols, BUILD_REQUIRED);
    (void)snprintf(tensor, sizeof tensor, "%s.bias", p->name);
    op.in[PL_LINEAR_B] = build_vector(b, layer, tensor, hp->n_embd, BUILD_OPTIONAL);
    op.p.linear = (struct pl_linear_params){.n_weights = 1, .scale = hp->residual_scale};
    if (!hp->arch->post_norms) {
        op.in[PL_LINEAR_RESIDUAL] = x;
        op.out[0] = x;
        build_op(b, &op);
        return;
    }
    op.out[0] = build_act(b, rows, hp->n_embd);
    build_op(b, &op);
    struct pl_op norm = graph_op(PL_OP_RMSNORM);
    norm.in[0] = op.out[0];
    norm.in[1] = build_vector(b, layer, p->post_norm, hp->n_embd, BUILD_REQUIRED);
    norm.out[0] = build_act(b, rows, hp->n_embd);
    norm.p.norm.eps = hp->norm_eps;
    build_op(b, &norm);
    struct pl_op add = graph_op(PL_OP_ADD);
    add.in[0] = x;
    add.in[1] = norm.out[0];
    add.out[0] = x;
    build_op(b, &add);
}

/* x += down(act(gate(norm x)) * up(norm x)). */
static void emit_ffn(struct build *b, int layer, int32_t x, enum pl_rows rows)
{
    const struct hparams *hp = b->hp;
    const int64_t n_ff = hp->n_ff;
    int32_t h = build_act(b, rows, n_ff);
    struct pl_op op = graph_op(PL_OP_LINEAR);
    op.in[PL_LINEAR_X] = x;
    if (hp->arch->gate_in_up) {
        const struct build_part gate = {2 * n_ff, 0, n_ff};
        const struct build_part up = {2 * n_ff, n_ff, 2 * n_ff};
        op.in[PL_LINEAR_W] =
            build_weight_part(b, layer, "ffn_up.weight", &gate, hp->n_embd, BUILD_REQUIRED);
        op.in[PL_LINEAR_W + 1] =
            build_weight_part(b, layer, "ffn_up.weight", &up, hp->n_embd, BUILD_REQUIRED);
    } else {
        op.in[PL_LINEAR_W] =
            build_weight(b, layer, "ffn_gate.weight", n_ff, hp->n_embd, BUILD_REQUIRED);
        op.in[PL_LINEAR_W + 1] =
            build_weight(b, layer, "ffn_up.weight", n_ff, hp->n_embd, BUILD_REQUIRED);
        op.in[PL_LINEAR_B] = build_vector(b, layer, "ffn_gate.bias", n_ff, BUILD_OPTIONAL);
        op.in[PL_LINEAR_B + 1] = build_vector(b, layer, "ffn_up.bias", n_ff, BUILD_OPTIONAL);
    }
    op.in[PL_LINEAR_NORM] = build_vector(b, layer, "ffn_norm.weight", hp->n_embd, BUILD_REQUIRED);
    op.out[0] = h;
    op.p.linear = (struct pl_linear_params){
        .n_weights = 2, .act = hp->arch->act, .norm_eps = hp->norm_eps, .scale = 1.0f};
    build_op(b, &op);
    const struct projection down = {"ffn_down", "post_ffw_norm.weight", h, n_ff};
    emit_projection(b, layer, &down, x, rows);
}

/* ---- first and last ---------------------------------------------------------------------------- */

static int32_t emit_embed(struct build *b, int32_t table)
{
    struct pl_op op = graph_op(PL_OP_EMBED);
    op.in[0] = table;
    op.out[0] = build_act(b, PL_ROWS_TOKENS, b->hp->n_embd);
    op.p.embed.scale = b->hp->embd_scale;
    build_op(b, &op);
    return op.out[0];
}

/* Rows of x that the step wants logits for: [O, cols of x]. */
static int32_t emit_gather(struct build *b, int32_t x, int64_t cols)
{
    struct pl_op op = graph_op(PL_OP_GATHER_ROWS);
    op.in[0] = x;
    op.in[1] = build_binding(b, PL_BINDING_OUT_ROWS, PL_ROWS_OUTPUTS, 1, PL_DTYPE_I32);
    op.out[0] = build_act(b, PL_ROWS_OUTPUTS, cols);
    build_op(b, &op);
    return op.out[0];
}

/* logits = cap(W * norm(y) * scale); W is output.weight or, tied, the table. */
static void emit_head(struct build *b, int32_t y, int32_t table)
{
    const struct hparams *hp = b->hp;
    struct pl_op op = graph_op(PL_OP_LINEAR);
    op.in[PL_LINEAR_X] = y;
    op.in[PL_LINEAR_W] =
        build_has(b, -1, "output.weight")
            ? build_weight(b, -1, "output.weight", hp->n_vocab, hp->n_embd, BUILD_REQUIRED)
            : table;
    op.in[PL_LINEAR_NORM] = build_vector(b, -1, "output_norm.weight", hp->n_embd, BUILD_REQUIRED);
    op.out[0] = build_binding(b, PL_BINDING_LOGITS, PL_ROWS_OUTPUTS, hp->n_vocab, PL_DTYPE_F32);
    op.p.linear = (struct pl_linear_params){
        .n_weights = 1, .norm_eps = hp->norm_eps, .scale = hp->logit_scale};
    build_op(b, &op);
    if (hp->final_softcap == 0.0f)
        return;
    struct pl_op cap = graph_op(PL_OP_SOFTCAP);
    cap.in[0] = op.out[0];
    cap.out[0] = op.out[0];
    cap.p.scale.value = hp->final_softcap;
    build_op(b, &cap);
}

void decoder_emit(struct build *b)
{
    const struct hparams *hp = b->hp;
    const int64_t attn_cols = (int64_t)hp->n_heads * hp->head_dim_v;
    enum pl_rows rows = PL_ROWS_TOKENS;
    build_kv_groups(b);
    int32_t table = build_table(b, "token_embd.weight", hp->n_vocab, hp->n_embd,
                                !build_has(b, -1, "output.weight"));
    int32_t x = emit_embed(b, table);
    for (int layer = 0; layer < (int)hp->n_layers; layer++) {
        int32_t a = emit_attention(b, layer, x);
        if (layer == (int)hp->n_layers - 1) { /* what follows is wanted for output rows only */
            a = emit_gather(b, a, attn_cols);
            x = emit_gather(b, x, hp->n_embd);
            rows = PL_ROWS_OUTPUTS;
        }
        const struct projection out = {"attn_output", "post_attention_norm.weight", a, attn_cols};
        emit_projection(b, layer, &out, x, rows);
        emit_ffn(b, layer, x, rows);
    }
    emit_head(b, x, table);
}
