/* See decoder.h. */
#include "decoder.h"
#include "arch.h"

#include <math.h>
#include <stdio.h>

#include "base/banned.h"

static bool has_tensor(const struct build *b, const char *name)
{
    return gguf_find_tensor(b->file, name) != NULL;
}

int32_t decoder_table(struct build *b)
{
    return build_table(b, "token_embd.weight", b->hp->n_vocab, b->hp->n_embd,
                       !has_tensor(b, "output.weight"));
}

int32_t decoder_embed(struct build *b, int32_t table, float scale)
{
    int32_t x = build_act(b, PL_ROWS_TOKENS, b->hp->n_embd);
    struct pl_op op = graph_op(PL_OP_EMBED);
    op.in[0] = table;
    op.out[0] = x;
    op.p.embed.scale = scale;
    build_op(b, &op);
    return x;
}

static void emit_qkv(struct build *b, int layer, int32_t x, const int32_t qkv[3])
{
    const struct hparams *hp = b->hp;
    const int64_t widths[3] = {(int64_t)hp->n_heads * hp->head_dim,
                               (int64_t)hp->n_kv_heads * hp->head_dim,
                               (int64_t)hp->n_kv_heads * hp->head_dim_v};
    static const char *const weights[3] = {"attn_q.weight", "attn_k.weight", "attn_v.weight"};
    static const char *const biases[3] = {"attn_q.bias", "attn_k.bias", "attn_v.bias"};
    struct pl_op op = graph_op(PL_OP_LINEAR);
    op.in[PL_LINEAR_X] = x;
    for (int i = 0; i < 3; i++) {
        op.in[PL_LINEAR_W + i] =
            build_weight(b, layer, weights[i], widths[i], hp->n_embd, BUILD_REQUIRED);
        op.in[PL_LINEAR_B + i] = build_vector(b, layer, biases[i], widths[i], hp->arch->qkv_bias);
        op.out[i] = qkv[i];
    }
    op.in[PL_LINEAR_NORM] = build_vector(b, layer, "attn_norm.weight", hp->n_embd, BUILD_REQUIRED);
    op.p.linear =
        (struct pl_linear_params){.n_weights = 3, .norm_eps = hp->norm_eps, .scale = 1.0f};
    build_op(b, &op);
}

static void emit_qkv_post(struct build *b, int layer, uint32_t kv_group, const int32_t qkv[3])
{
    const struct hparams *hp = b->hp;
    struct pl_op op = graph_op(PL_OP_QKV_POST);
    op.in[PL_QKV_Q] = qkv[0];
    op.in[PL_QKV_K] = qkv[1];
    op.in[PL_QKV_V] = qkv[2];
    op.in[PL_QKV_FACTORS] =
        build_vector(b, -1, "rope_freqs.weight", hp->rot_dim / 2, BUILD_OPTIONAL);
    op.out[0] = qkv[0];
    op.p.qkv_post = (struct pl_qkv_post_params){
        .kv_group = kv_group,
        .kv_layer = (uint32_t)layer,
        .n_heads = hp->n_heads,
        .n_kv_heads = hp->n_kv_heads,
        .head_dim = hp->head_dim,
        .head_dim_v = hp->head_dim_v,
        .rope = hp->arch->rope,
        .rot_dim = hp->rot_dim,
        .freq_base = hp->freq_base,
        .freq_scale = hp->freq_scale,
        .ext_factor = hp->ext_factor,
        .attn_factor = hp->attn_factor,
        .beta_fast = hp->beta_fast,
        .beta_slow = hp->beta_slow,
        .orig_ctx = hp->rope_orig_ctx,
    };
    build_op(b, &op);
}

int32_t decoder_attention(struct build *b, int layer, int32_t x, uint32_t kv_group)
{
    const struct hparams *hp = b->hp;
    const int32_t qkv[3] = {
        build_act(b, PL_ROWS_TOKENS, (int64_t)hp->n_heads * hp->head_dim),
        build_act(b, PL_ROWS_TOKENS, (int64_t)hp->n_kv_heads * hp->head_dim),
        build_act(b, PL_ROWS_TOKENS, (int64_t)hp->n_kv_heads * hp->head_dim_v),
    };
    emit_qkv(b, layer, x, qkv);
    emit_qkv_post(b, layer, kv_group, qkv);

    struct pl_op op = graph_op(PL_OP_ATTN);
    op.flags = PL_ATTN_CAUSAL;
    op.in[PL_ATTN_Q] = qkv[0];
    op.out[0] = build_act(b, PL_ROWS_TOKENS, (int64_t)hp->n_heads * hp->head_dim_v);
    op.p.attn = (struct pl_attn_params){
        .kv_group = kv_group,
        .kv_layer = (uint32_t)layer,
        .n_heads = hp->n_heads,
        .n_kv_heads = hp->n_kv_heads,
        .head_dim = hp->head_dim,
        .head_dim_v = hp->head_dim_v,
        .scale = 1.0f / sqrtf((float)hp->head_dim),
    };
    build_op(b, &op);
    return op.out[0];
}

void decoder_project(struct build *b, int layer, const char *name, int32_t a, int64_t a_cols,
                     int32_t x)
{
    char tensor[32];
    struct pl_op op = graph_op(PL_OP_LINEAR);
    op.in[PL_LINEAR_X] = a;
    (void)snprintf(tensor, sizeof tensor, "%s.weight", name);
    op.in[PL_LINEAR_W] = build_weight(b, layer, tensor, b->hp->n_embd, a_cols, BUILD_REQUIRED);
    (void)snprintf(tensor, sizeof tensor, "%s.bias", name);
    op.in[PL_LINEAR_B] = build_vector(b, layer, tensor, b->hp->n_embd, BUILD_OPTIONAL);
    op.in[PL_LINEAR_RESIDUAL] = x;
    op.out[0] = x;
    op.p.linear = (struct pl_linear_params){.n_weights = 1, .scale = 1.0f};
    build_op(b, &op);
}

void decoder_glu_ffn(struct build *b, int layer, int32_t x, enum pl_act act)
{
    const struct hparams *hp = b->hp;
    if (b->status != PL_OK)
        return;
    enum pl_rows rows = (enum pl_rows)b->graph->values[x].row_kind;
    int32_t h = build_act(b, rows, hp->n_ff);
    struct pl_op op = graph_op(PL_OP_LINEAR);
    op.in[PL_LINEAR_X] = x;
    op.in[PL_LINEAR_W] =
        build_weight(b, layer, "ffn_gate.weight", hp->n_ff, hp->n_embd, BUILD_REQUIRED);
    op.in[PL_LINEAR_W + 1] =
        build_weight(b, layer, "ffn_up.weight", hp->n_ff, hp->n_embd, BUILD_REQUIRED);
    op.in[PL_LINEAR_B] = build_vector(b, layer, "ffn_gate.bias", hp->n_ff, BUILD_OPTIONAL);
    op.in[PL_LINEAR_B + 1] = build_vector(b, layer, "ffn_up.bias", hp->n_ff, BUILD_OPTIONAL);
    op.in[PL_LINEAR_NORM] = build_vector(b, layer, "ffn_norm.weight", hp->n_embd, BUILD_REQUIRED);
    op.out[0] = h;
    op.p.linear = (struct pl_linear_params){
        .n_weights = 2, .act = act, .norm_eps = hp->norm_eps, .scale = 1.0f};
    build_op(b, &op);
    decoder_project(b, layer, "ffn_down", h, hp->n_ff, x);
}

int32_t decoder_gather(struct build *b, int32_t x, int64_t cols)
{
    struct pl_op op = graph_op(PL_OP_GATHER_ROWS);
    op.in[0] = x;
    op.in[1] = build_binding(b, PL_BINDING_OUT_ROWS, PL_ROWS_OUTPUTS, 1, PL_DTYPE_I32);
    op.out[0] = build_act(b, PL_ROWS_OUTPUTS, cols);
    build_op(b, &op);
    return op.out[0];
}

void decoder_head(struct build *b, int32_t y, int32_t table, float scale)
{
    const struct hparams *hp = b->hp;
    struct pl_op op = graph_op(PL_OP_LINEAR);
    op.in[PL_LINEAR_X] = y;
    op.in[PL_LINEAR_W] =
        has_tensor(b, "output.weight")
            ? build_weight(b, -1, "output.weight", hp->n_vocab, hp->n_embd, BUILD_REQUIRED)
            : table;
    op.in[PL_LINEAR_NORM] = build_vector(b, -1, "output_norm.weight", hp->n_embd, BUILD_REQUIRED);
    op.out[0] = build_binding(b, PL_BINDING_LOGITS, PL_ROWS_OUTPUTS, hp->n_vocab, PL_DTYPE_F32);
    op.p.linear =
        (struct pl_linear_params){.n_weights = 1, .norm_eps = hp->norm_eps, .scale = scale};
    build_op(b, &op);
}

void decoder_emit_plain(struct build *b)
{
    const struct hparams *hp = b->hp;
    const int64_t attn_cols = (int64_t)hp->n_heads * hp->head_dim_v;
    uint32_t group = build_full_kv_group(b);
    int32_t table = decoder_table(b);
    int32_t x = decoder_embed(b, table, 1.0f);
    for (int layer = 0; layer < (int)hp->n_layers; layer++) {
        int32_t a = decoder_attention(b, layer, x, group);
        if (layer == (int)hp->n_layers - 1) { /* what follows is wanted for output rows only */
            a = decoder_gather(b, a, attn_cols);
            x = decoder_gather(b, x, hp->n_embd);
        }
        decoder_project(b, layer, "attn_output", a, attn_cols, x);
        decoder_glu_ffn(b, layer, x, PL_ACT_SILU);
    }
    decoder_head(b, x, table, 1.0f);
}
