/*
 * core/model/hparams.h - the numbers of a model, read from "<architecture>.*" metadata (private).
 *
 * Every number has been checked against HPARAMS_*_MAX and against the others (heads divide, rot_dim even).
 */
#ifndef MODEL_HPARAMS_H
#define MODEL_HPARAMS_H

#include "gguf/gguf.h"

/* Far above any published model, low enough that no product of two overflows 63 bits. */
#define HPARAMS_LAYERS_MAX 1024
#define HPARAMS_EMBD_MAX   (1u << 17)
#define HPARAMS_FF_MAX     (1u << 20)
#define HPARAMS_HEADS_MAX  1024
#define HPARAMS_HEAD_MAX   1024
#define HPARAMS_VOCAB_MAX  (1u << 24)
#define HPARAMS_CTX_MAX    (1u << 30)

struct model_arch;

struct hparams {
    const struct model_arch *arch;
    uint32_t n_layers, n_embd, n_ff, n_heads, n_kv_heads;
    uint32_t head_dim, head_dim_v; /* of q and k; of v */
    uint32_t n_vocab;              /* rows of token_embd.weight */
    uint32_t ctx_train_tokens;
    uint32_t rope;          /* enum pl_rope */
    uint32_t rot_dim;       /* rotated elements of a head, even */
    uint32_t rope_orig_ctx; /* tokens that the unscaled rotation was trained for */
    float norm_eps;
    float freq_base, freq_scale;   /* theta; 1/factor of linear and YaRN scaling */
    float ext_factor, attn_factor; /* YaRN */
    float beta_fast, beta_slow;
    float attn_scale;                              /* of scores */
    float attn_softcap, final_softcap;             /* 0 = none */
    float embd_scale, residual_scale, logit_scale; /* 1 for most */

    /* Layers that see the last `window` tokens only, and how they rotate. */
    uint32_t window; /* 0 = none */
    float window_freq_base, window_freq_scale;
    bool windowed[HPARAMS_LAYERS_MAX];
};

PL_NODISCARD enum pl_status hparams_read(const struct gguf *file, struct hparams *ret,
                                         struct pl_error *err);

#endif
