/*
 * bench/ops_attn.c - cases of QKV_POST and ATTN over a paged KV group with several sequences.
 *
 * Both ops run in one program, as in a model; a case judges one of them. Row data belongs to (sequence,
 * position), so that a schedule of chunks can be compared with the whole at once.
 */
#include "ops_cases.h"

#include <math.h>

#include "base/banned.h"

#define KV_LAYERS 2 /* the case uses the last, so that a wrong layer offset shows */

struct heads {
    uint32_t n_heads, n_kv_heads, dim_k, dim_v; /* H, K, D, Dv */
};

struct attn_options {
    uint32_t judged; /* PL_OP_QKV_POST or PL_OP_ATTN */
    struct heads heads;
    uint32_t lens[OPS_SEQS_MAX]; /* ended by 0 */
    uint32_t dtype_kv;
    uint32_t rope, rot_dim;
    float freq_scale, ext_factor;
    bool bias, qk_norm, factors, sinks, not_causal;
    float softcap;
    uint32_t window;
    const char *what;
};

static void set_group(struct ops_case *c, const struct attn_options *o)
{
    c->has_kv = true;
    c->group = (struct pl_kv_group){
        .kind = PL_KV_FULL,
        .dtype_k = o->dtype_kv,
        .dtype_v = o->dtype_kv,
        .n_layers = KV_LAYERS,
        .n_kv_heads = o->heads.n_kv_heads,
        .head_dim_k = o->heads.dim_k,
        .head_dim_v = o->heads.dim_v,
        .block_tokens = 16,
    };
    uint32_t longest = 0;
    for (c->n_seqs = 0; c->n_seqs < OPS_SEQS_MAX && o->lens[c->n_seqs] != 0; c->n_seqs++) {
        uint32_t len = o->lens[c->n_seqs];
        c->lens[c->n_seqs] = len;
        c->n_rows += len;
        c->group.n_blocks += (uint32_t)pl_div_up(len, c->group.block_tokens);
        longest = PL_MAX(longest, len);
    }
    c->group.n_blocks += 3; /* never used: must stay untouched */
    c->group.max_blocks = (uint32_t)pl_div_up(longest, c->group.block_tokens) + 1;
    c->rows_max = c->n_rows;
}

static void add_qkv_post(struct ops_case *c, const struct attn_options *o, int32_t q, int32_t q_out)
{
    const struct heads *h = &o->heads;
    int64_t rows = (int64_t)c->rows_max;
    int64_t k_cols = (int64_t)h->n_kv_heads * h->dim_k;
    int64_t v_cols = (int64_t)h->n_kv_heads * h->dim_v;
    int64_t q_cols = (int64_t)h->n_heads * h->dim_k;
    struct pl_op *op = ops_add_op(c, PL_OP_QKV_POST);
    op->in[PL_QKV_Q] = q;
    op->in[PL_QKV_K] = ops_add_input(c, PL_ROWS_TOKENS, rows, k_cols);
    op->in[PL_QKV_V] = ops_add_input(c, PL_ROWS_TOKENS, rows, v_cols);
    if (o->bias) {
        op->in[PL_QKV_BIAS_Q] = ops_add_vector(c, q_cols, 0, 0.5F);
        op->in[PL_QKV_BIAS_K] = ops_add_vector(c, k_cols, 0, 0.5F);
        op->in[PL_QKV_BIAS_V] = ops_add_vector(c, v_cols, 0, 0.5F);
    }
    if (o->qk_norm) {
        op->in[PL_QKV_NORM_Q] = ops_add_vector(c, h->dim_k, 1, 0.2F);
        op->in[PL_QKV_NORM_K] = ops_add_vector(c, h->dim_k, 1, 0.2F);
    }
    if (o->factors)
        op->in[PL_QKV_FACTORS] = ops_add_vector(c, o->rot_dim / 2, 4, 0.9F);
    op->out[0] = q_out;
    op->p.qkv_post = (struct pl_qkv_post_params){
        .kv_layer = KV_LAYERS - 1,
        .n_heads = h->n_heads,
        .n_kv_heads = h->n_kv_heads,
        .head_dim = h->dim_k,
        .head_dim_v = h->dim_v,
        .rope = o->rope,
        .rot_dim = o->rot_dim,
        .freq_base = 10000,
        .freq_scale = o->freq_scale == 0 ? 1 : o->freq_scale,
        .ext_factor = o->ext_factor,
        .attn_factor = 1,
        .beta_fast = o->ext_factor != 0 ? 32 : 0,
        .beta_slow = o->ext_factor != 0 ? 1 : 0,
        .orig_ctx = o->ext_factor != 0 ? 64 : 0,
        .norm_eps = o->qk_norm ? 1e-6F : 0,
    };
}

static void attn_case(struct ops_walk *walk, const struct attn_options *o)
{
    const struct heads *h = &o->heads;
    struct ops_case c;
    if (!ops_case_begin(walk, &c, o->judged, "%s H%u K%u D%u/%u, sequences %u,%u.. %s",
                        pl_dtype_info(o->dtype_kv).name, h->n_heads, h->n_kv_heads, h->dim_k,
                        h->dim_v, o->lens[0], o->lens[1], o->what))
        return;
    c.dtype = o->dtype_kv;
    c.chunkable = !o->not_causal;
    set_group(&c, o);
    int64_t rows = (int64_t)c.rows_max;
    int32_t q = ops_add_input(&c, PL_ROWS_TOKENS, rows, (int64_t)h->n_heads * h->dim_k);
    int32_t q_out = ops_add_output(&c, PL_ROWS_TOKENS, rows, (int64_t)h->n_heads * h->dim_k);
    int32_t out = ops_add_output(&c, PL_ROWS_TOKENS, rows, (int64_t)h->n_heads * h->dim_v);
    add_qkv_post(&c, o, q, q_out);
    struct pl_op *attn = ops_add_op(&c, PL_OP_ATTN);
    attn->in[PL_ATTN_Q] = q_out;
    if (o->sinks)
        attn->in[PL_ATTN_SINKS] = ops_add_vector(&c, h->n_heads, 0, 1);
    attn->out[0] = out;
    attn->flags = o->not_causal ? 0 : PL_ATTN_CAUSAL;
    attn->p.attn = (struct pl_attn_params){
        .kv_layer = KV_LAYERS - 1,
        .n_heads = h->n_heads,
        .n_kv_heads = h->n_kv_heads,
        .head_dim = h->dim_k,
        .head_dim_v = h->dim_v,
        .scale = 1.0F / sqrtf((float)h->dim_k),
        .softcap = o->softcap,
        .window = o->window,
    };
    if (q_out >= 0)
        c.values[q_out].compared = o->judged == PL_OP_QKV_POST;
    if (out >= 0)
        c.values[out].compared = o->judged == PL_OP_ATTN;
    ops_case_end(walk, &c);
}

static const struct attn_options qkv_rows[] = {
    {.heads = {4, 2, 32, 32}, .lens = {1}, .rope = PL_ROPE_NORM, .rot_dim = 32, .what = "rope"},
    {.heads = {4, 2, 32, 32}, .lens = {37, 5}, .rope = PL_ROPE_NORM, .rot_dim = 32, .what = "rope"},
    {.heads = {4, 2, 32, 32}, .lens = {37, 5}, .rope = PL_ROPE_NEOX, .rot_dim = 32, .what = "neox"},
    {.heads = {3, 1, 80, 80},
     .lens = {19},
     .rope = PL_ROPE_NEOX,
     .rot_dim = 20,
     .what = "neox, part of a head"},
    {.heads = {3, 1, 80, 80},
     .lens = {19},
     .rope = PL_ROPE_NORM,
     .rot_dim = 60,
     .what = "rope, part of a head"},
    {.heads = {2, 2, 64, 64}, .lens = {9, 2}, .rope = PL_ROPE_NONE, .what = "no rope"},
    {.heads = {4, 2, 32, 32},
     .lens = {21},
     .rope = PL_ROPE_NEOX,
     .rot_dim = 32,
     .bias = true,
     .what = "neox bias"},
    {.heads = {4, 2, 32, 32},
     .lens = {21},
     .rope = PL_ROPE_NEOX,
     .rot_dim = 32,
     .qk_norm = true,
     .what = "neox qk-norm"},
    {.heads = {4, 2, 64, 64},
     .lens = {150},
     .rope = PL_ROPE_NORM,
     .rot_dim = 64,
     .factors = true,
     .what = "rope factors"},
    {.heads = {4, 2, 64, 64},
     .lens = {150},
     .rope = PL_ROPE_NORM,
     .rot_dim = 64,
     .freq_scale = 0.25F,
     .what = "rope linear scaling"},
    {.heads = {4, 2, 64, 64},
     .lens = {150},
     .rope = PL_ROPE_NEOX,
     .rot_dim = 64,
     .freq_scale = 0.25F,
     .ext_factor = 1,
     .what = "yarn"},
    {.heads = {8, 4, 64, 64},
     .lens = {1500},
     .rope = PL_ROPE_NORM,
     .rot_dim = 64,
     .what = "rope far out"},
    {.heads = {4, 4, 48, 16},
     .lens = {23, 8},
     .rope = PL_ROPE_NORM,
     .rot_dim = 48,
     .bias = true,
     .qk_norm = true,
     .what = "narrow values"},
};

static const struct attn_options attn_rows[] = {
    {.heads = {1, 1, 16, 16}, .lens = {1}, .what = "one token"},
    {.heads = {1, 1, 8, 8}, .lens = {3}, .what = "small"},
    {.heads = {8, 8, 64, 64}, .lens = {33}, .what = "no grouping"},
    {.heads = {8, 2, 64, 64}, .lens = {17, 64, 1, 5}, .what = ""},
    {.heads = {7, 1, 32, 32}, .lens = {16, 15, 31, 32, 33, 1, 2, 3}, .what = "block borders"},
    {.heads = {4, 2, 80, 80}, .lens = {41, 7}, .what = ""},
    {.heads = {6, 3, 96, 96}, .lens = {29}, .what = ""},
    {.heads = {8, 2, 128, 128}, .lens = {70, 3}, .what = ""},
    {.heads = {2, 1, 256, 256}, .lens = {50}, .what = ""},
    {.heads = {4, 1, 40, 24}, .lens = {27, 9}, .what = "narrow values"},
    {.heads = {4, 2, 64, 64}, .lens = {1100}, .what = "long"},
    {.heads = {4, 2, 64, 64}, .lens = {90, 20}, .window = 32, .what = "window"},
    {.heads = {4, 2, 64, 64}, .lens = {40}, .window = 1, .what = "window of one"},
    {.heads = {4, 2, 64, 64}, .lens = {60, 5}, .softcap = 5, .what = "softcap"},
    {.heads = {8, 2, 64, 64}, .lens = {60, 5}, .sinks = true, .what = "sinks"},
    {.heads = {8, 2, 64, 64}, .lens = {90}, .sinks = true, .window = 16, .what = "sinks window"},
    {.heads = {4, 4, 32, 32}, .lens = {47, 12}, .not_causal = true, .what = "not causal"},
};

/* Q8_0 is of 32 elements of a head. */
static bool takes_heads(uint32_t dtype, const struct heads *h)
{
    return dtype != PL_DTYPE_Q8_0 || (h->dim_k % 32 == 0 && h->dim_v % 32 == 0);
}

void ops_cases_attn(struct ops_walk *walk)
{
    static const uint32_t types[] = {PL_DTYPE_F32, PL_DTYPE_F16, PL_DTYPE_Q8_0};
    for (size_t t = 0; t < PL_ARRAY_LEN(types); t++) {
        for (size_t i = 0; i < PL_ARRAY_LEN(qkv_rows); i++) {
            struct attn_options o = qkv_rows[i];
            o.judged = PL_OP_QKV_POST;
            o.dtype_kv = types[t];
            if (takes_heads(types[t], &o.heads))
                attn_case(walk, &o);
        }
        for (size_t i = 0; i < PL_ARRAY_LEN(attn_rows); i++) {
            struct attn_options o = attn_rows[i];
            o.judged = PL_OP_ATTN;
            o.dtype_kv = types[t];
            o.rope = PL_ROPE_NORM;
            o.rot_dim = o.heads.dim_k;
            if (takes_heads(types[t], &o.heads))
                attn_case(walk, &o);
        }
    }
}
