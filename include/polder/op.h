/*
 * polder/op.h - the operations that a model is written in: opcodes, operand slots, parameters.
 *
 * A model is a flat list of struct pl_op over a table of struct pl_value. Ops are shaped for language
 * models and fused where every backend gains; each fused op has a decomposition into simple ones,
 * stated at its opcode, that core/exec applies where a device answers "unsupported".
 *
 * Rule of unknowns: a backend answers PL_ENOTSUP from op_query for an opcode, flag or enum value that
 * it does not know and for any non-zero byte behind the parameter struct that it knows. So an old
 * plugin never computes a new meaning wrongly.
 *
 * Shape letters: T rows (tokens) of the step, S sequences, O output rows, E embed, F ffn, V vocab,
 * H query heads, K kv heads, D head_dim, L layers, P tokens of a KV block. All matrices are row-major;
 * a weight [N, M] maps M inputs to N outputs (GGUF's order).
 *
 * Ownership: descriptors are the caller's and may be freed after program_new.  Threads: plain data.
 * Limits: PL_OP_IN_MAX, PL_OP_OUT_MAX, PL_OP_PARAM_BYTES.  Source: ours; formulas at each op.
 */
#ifndef POLDER_OP_H
#define POLDER_OP_H

#include <polder/base.h>
#include <polder/tensor.h>

/* Stable numbers: never reused, never reordered. The third column is the struct of union pl_op_params
 * that the op reads, `raw` where it has none (yet). */
#define PL_OP_LIST(X)                                                                              \
    X(EMBED, 1, embed)                                                                             \
    X(LINEAR, 2, linear)                                                                           \
    X(RMSNORM, 3, norm)                                                                            \
    X(LAYERNORM, 4, norm)                                                                          \
    X(GLU, 5, glu)                                                                                 \
    X(ADD, 6, raw)                                                                                 \
    X(MUL, 7, raw)                                                                                 \
    X(SCALE, 8, scale)                                                                             \
    X(SOFTCAP, 9, scale)                                                                           \
    X(ACT, 10, glu)                                                                                \
    X(QKV_POST, 11, qkv_post)                                                                      \
    X(ATTN, 12, attn)                                                                              \
    X(GATHER_ROWS, 13, raw)                                                                        \
    X(SAMPLE, 14, raw)                                                                             \
    X(KV_COPY, 15, raw)                                                                            \
    X(KV_GATHER, 16, raw)                                                                          \
    X(KV_SCATTER, 17, raw)                                                                         \
    X(KV_TOKEN_MOVE, 18, raw)                                                                      \
    X(MOE_ROUTE, 19, raw)                                                                          \
    X(MOE_LINEAR, 20, raw)                                                                         \
    X(MOE_COMBINE, 21, raw)                                                                        \
    X(MLA_KV_WRITE, 22, raw)                                                                       \
    X(MLA_ATTN, 23, raw)                                                                           \
    X(LORA_SHRINK, 24, raw)                                                                        \
    X(LORA_EXPAND, 25, raw)                                                                        \
    X(POOL, 26, raw)                                                                               \
    X(L2NORM, 27, raw)                                                                             \
    X(VERIFY, 28, raw)                                                                             \
    X(CAST, 29, raw)                                                                               \
    X(COPY, 30, raw)                                                                               \
    X(FILL, 31, scale)                                                                             \
    X(ALL_REDUCE, 32, raw)                                                                         \
    X(ALL_GATHER, 33, raw)                                                                         \
    X(SSM_CONV, 34, raw)                                                                           \
    X(SSM_SCAN, 35, raw)                                                                           \
    X(DELTA_NET, 36, raw)

enum pl_opcode {
    PL_OP_NONE = 0,
#define PL_X(name, value, params) PL_OP_##name = (value),
    PL_OP_LIST(PL_X)
#undef PL_X
};

/* "LINEAR"; NULL for an unknown number. */
static inline const char *pl_op_name(uint32_t opcode)
{
    switch (opcode) {
#define PL_X(name, value, params)                                                                  \
    case (value): return #name;
        PL_OP_LIST(PL_X)
#undef PL_X
    default: return NULL;
    }
}

/* ---- values ---------------------------------------------------------------------------------- */

enum pl_value_kind {
    PL_VALUE_NONE = 0,
    PL_VALUE_WEIGHT = 1,  /* constant, in `buffer` at `offset`, laid out as `layout` says */
    PL_VALUE_ACT = 2,     /* activation, in `buffer` at `offset`, placed by core/exec by liveness */
    PL_VALUE_BINDING = 3, /* one tensor of the step's binding set, see step.h */
};

enum pl_rows {
    PL_ROWS_FIXED = 0,   /* `rows` rows */
    PL_ROWS_TOKENS = 1,  /* T: step.n_rows; `rows` holds the maximum */
    PL_ROWS_OUTPUTS = 2, /* O: step.n_outputs; `rows` holds the maximum */
    PL_ROWS_SEQS = 3,    /* S: step.n_seqs; `rows` holds the maximum */
};

struct pl_buffer; /* device memory; defined by each backend */

/* A tensor [rows, cols]. Fields that a kind does not use are zero. 80 bytes. */
struct pl_value {
    uint32_t kind;     /* enum pl_value_kind */
    uint32_t dtype;    /* enum pl_dtype: of activations and bindings F32, F16, BF16 or I32; of
                               * weights the type of the file, whatever the layout made of it */
    uint32_t row_kind; /* enum pl_rows */
    uint32_t binding;  /* enum pl_binding, for PL_VALUE_BINDING */
    int64_t rows;      /* rows, or their maximum */
    int64_t cols;      /* elements of a row */
    struct pl_buffer *buffer; /* WEIGHT, ACT: where it lives; NULL while only queried */
    uint64_t offset;          /* bytes into buffer */
    uint32_t layout;          /* WEIGHT: id that weight_query gave, PL_LAYOUT_FILE = as in GGUF */
    uint32_t flags;           /* none yet: 0 */
    uint64_t reserved[3];     /* 0 */
};

#define PL_LAYOUT_FILE 0u /* row-major rows of GGUF blocks, as pl_row_bytes() says */

/* ---- parameters ------------------------------------------------------------------------------ */

enum pl_act {
    PL_ACT_NONE = 0,
    PL_ACT_SILU = 1,       /* x * sigmoid(x) */
    PL_ACT_GELU = 2,       /* x * Phi(x), erf form */
    PL_ACT_GELU_TANH = 3,  /* tanh approximation */
    PL_ACT_RELU = 4,       /* max(x, 0) */
    PL_ACT_SWIGLU_OAI = 5, /* GLU only: gpt-oss's clamped form, uses alpha and limit */
};

/* EMBED: out0[t, :] = scale * table[ids[t], :]; reads the binding IDS. An id outside [0, rows of the
 * table) is the host's error: it never gets here. */
struct pl_embed_params {
    float scale; /* 1 for most; sqrt(E) for Gemma */
};

/* LINEAR: xn = norm given ? rmsnorm(x) * norm : x;  y_i = xn * W_i^T + b_i, i < n_weights.
 *   act NONE: out_i = y_i * scale, and out_0 += residual where given
 *   act else: n_weights = 2, out_0 = act(y_0) * y_1 * scale (+ residual): gate first, up second
 * out_0 may be the residual value itself. Decomposition: RMSNORM; LINEAR of one weight each with
 * neither norm nor act; GLU; SCALE; ADD. A single-weight LINEAR without norm and act is mandatory. */
struct pl_linear_params {
    uint32_t n_weights; /* 1..4 */
    uint32_t act;       /* enum pl_act */
    float norm_eps;     /* with a norm weight */
    float scale;        /* 1 for most */
    float alpha, limit; /* PL_ACT_SWIGLU_OAI */
};

/* RMSNORM: out0 = x / sqrt(mean(x^2) + eps) * w, over groups of `width` elements of a row (0 = the
 * whole row; head_dim for per-head norms, w has `width` elements). w may be absent: 1.
 * LAYERNORM: out0 = (x - mean) / sqrt(var + eps) * w + b. */
struct pl_norm_params {
    float eps;
    uint32_t width;
};

/* GLU: out0 = act(gate) * up.  ACT: out0 = act(x). */
struct pl_glu_params {
    uint32_t act;       /* enum pl_act */
    float alpha, limit; /* PL_ACT_SWIGLU_OAI */
};

/* SCALE: out0 = x * value.  SOFTCAP: out0 = value * tanh(x / value).  FILL: out0 = value. */
struct pl_scale_params {
    float value;
};

enum pl_rope {
    PL_ROPE_NONE = 0,
    PL_ROPE_NORM = 1, /* rotates adjacent pairs (2i, 2i+1): llama in GGUF order */
    PL_ROPE_NEOX = 2, /* rotates (i, i + rot_dim/2): qwen2, phi3, gemma */
};

/* QKV_POST: q, k, v += bias where given; per-head RMSNorm of q and k where given; rotary embedding of
 * the first rot_dim elements of each head of q and k at the row's position; k and v are converted to
 * the group's types and written to the group's block of the row (BLOCK_TABLE, POS, ROW_SEQ).
 * out0 = q [T, H*D] (may be the q input itself).
 * Angle of pair i (Su et al. 2021; YaRN: Peng et al. 2023, as in GGUF's reference):
 *   inv_i = freq_base^(-2i/rot_dim) / factor_i (factors [rot_dim/2] where given, else 1)
 *   interpolated = freq_scale * inv_i * pos, extrapolated = inv_i * pos
 *   ext_factor = 0: theta = interpolated, magnitude = attn_factor
 *   else theta mixes both by ramp(beta_fast, beta_slow, orig_ctx) * ext_factor, and
 *        magnitude = attn_factor * (1 + 0.1 * ln(1 / freq_scale))
 * All-or-nothing with ATTN of the same group: a device supports both or the group lives elsewhere. */
struct pl_qkv_post_params {
    uint32_t kv_group, kv_layer;   /* which group, which of its layers */
    uint32_t n_heads, n_kv_heads;  /* H, K */
    uint32_t head_dim, head_dim_v; /* D of q and k; of v */
    uint32_t rope;                 /* enum pl_rope */
    uint32_t rot_dim;              /* even, <= head_dim */
    float freq_base, freq_scale;   /* > 0 */
    float ext_factor, attn_factor; /* 0 and 1 without YaRN */
    float beta_fast, beta_slow;    /* YaRN */
    uint32_t orig_ctx;             /* YaRN, tokens */
    float norm_eps;                /* with qk norm weights */
};

#define PL_ATTN_CAUSAL 1u /* op.flags: a row sees positions <= its own; else the whole sequence */

/* ATTN: out0[t, h, :] = softmax(scale * q[t,h] . K[j, h*K/H] ...) V over the row's sequence, from the
 * paged group (BLOCK_TABLE, KV_LEN, ROW_SEQ, POS). window w > 0: row p sees j with p - w < j <= p, also where
 * not causal.
 * softcap c > 0: scores become c * tanh(score / c). sinks [H] where given join the softmax's
 * denominator. QKV_POST of the same layer has run before in the same program. */
struct pl_attn_params {
    uint32_t kv_group, kv_layer;
    uint32_t n_heads, n_kv_heads;
    uint32_t head_dim, head_dim_v;
    float scale;     /* 1/sqrt(D) for most */
    float softcap;   /* 0 = none */
    uint32_t window; /* tokens, 0 = none */
};

#define PL_OP_PARAM_BYTES 128 /* twice the largest of today */

union pl_op_params {
    struct pl_embed_params embed;
    struct pl_linear_params linear;
    struct pl_norm_params norm;
    struct pl_glu_params glu;
    struct pl_scale_params scale;
    struct pl_qkv_post_params qkv_post;
    struct pl_attn_params attn;
    uint8_t raw[PL_OP_PARAM_BYTES];
};

/* ---- operands -------------------------------------------------------------------------------- */

#define PL_OP_IN_MAX  12
#define PL_OP_OUT_MAX 4
#define PL_NO_VALUE   (-1) /* an optional operand that is absent; unused slots hold it too */

/* Slots of pl_op.in by op. Ops that are not listed take in[0] (and in[1]) in reading order:
 * (out[0] of ADD, MUL, SCALE and SOFTCAP may be in[0].)
 * EMBED table; RMSNORM x, w; LAYERNORM x, w, b; GLU gate, up; ADD and MUL a, b, where b may have one row that
 * serves all rows of a; SCALE, SOFTCAP, ACT x; GATHER_ROWS x [T, C], index i32 [O, 1]:
 * out0[o, :] = x[index[o], :]. */
enum pl_linear_slot {
    PL_LINEAR_X = 0,        /* [R, M], R rows of any kind */
    PL_LINEAR_W = 1,        /* ..4: weights [N_i, M] */
    PL_LINEAR_B = 5,        /* ..8: biases [1, N_i], optional */
    PL_LINEAR_NORM = 9,     /* RMSNorm weight [1, M], optional */
    PL_LINEAR_RESIDUAL = 10 /* [R, N_0], optional */
};

enum pl_qkv_slot {
    PL_QKV_Q = 0,       /* [T, H*D] */
    PL_QKV_K = 1,       /* [T, K*D] */
    PL_QKV_V = 2,       /* [T, K*Dv] */
    PL_QKV_BIAS_Q = 3,  /* [1, H*D], optional */
    PL_QKV_BIAS_K = 4,  /* [1, K*D], optional */
    PL_QKV_BIAS_V = 5,  /* [1, K*Dv], optional */
    PL_QKV_NORM_Q = 6,  /* [1, D], optional */
    PL_QKV_NORM_K = 7,  /* [1, D], optional */
    PL_QKV_FACTORS = 8, /* [1, rot_dim/2], optional */
};

enum pl_attn_slot {
    PL_ATTN_Q = 0,     /* [T, H*D] */
    PL_ATTN_SINKS = 1, /* [1, H], optional */
};

/* One operation. 208 bytes. */
struct pl_op {
    uint32_t opcode;            /* enum pl_opcode */
    uint32_t flags;             /* PL_<OP>_* bits of that op; unknown ones: unsupported */
    int32_t in[PL_OP_IN_MAX];   /* indices into the value table, PL_NO_VALUE where absent */
    int32_t out[PL_OP_OUT_MAX]; /* likewise */
    uint64_t reserved;          /* 0 */
    union pl_op_params p;
};

_Static_assert(sizeof(struct pl_value) == 80, "pl_value crosses the ABI");
_Static_assert(offsetof(struct pl_value, buffer) == 32, "pl_value crosses the ABI");
_Static_assert(sizeof(union pl_op_params) == PL_OP_PARAM_BYTES, "pl_op_params crosses the ABI");
_Static_assert(sizeof(struct pl_op) == 208, "pl_op crosses the ABI");
_Static_assert(offsetof(struct pl_op, p) == 80, "pl_op crosses the ABI");

#endif
