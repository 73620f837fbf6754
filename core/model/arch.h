/*
 * core/model/arch.h - the row of the architecture table (private).
 *
 * A row says what a file of the architecture must hold and which numbers it leaves unsaid; decoder.c reads
 * the flags, hparams.c the rest. Zero means "as Llama".
 */
#ifndef MODEL_ARCH_H
#define MODEL_ARCH_H

#include "build.h"
#include "hparams.h"

/* One architecture: a file arch_<name>.c with its row, and a line in arch.c. */
struct model_arch {
    const char *name;                  /* general.architecture */
    void (*emit)(struct build *build); /* appends the forward pass; errors stick to the builder */

    /* decoder.c */
    uint32_t rope;            /* enum pl_rope of its files */
    uint32_t act;             /* enum pl_act of the gate */
    enum build_need qkv_bias; /* biases of q, k and v: every layer's, or where they are */
    bool qk_norm;             /* attn_q_norm and attn_k_norm, per head, before the rotation */
    bool post_norms; /* post_attention_norm and post_ffw_norm, before the residual is added */
    bool gate_in_up; /* ffn_up holds the gate's rows, then its own */

    /* hparams.c */
    uint32_t window_period; /* of that many layers the last sees all, the others a window; 0: no
                                * windows, whatever the file says */
    uint32_t window_tokens; /* without a key; 0: then no windows */
    float window_freq_base; /* without a key; 0: that of the other layers */
    bool window_unscaled;   /* rope scaling is not for windowed layers */
    float attn_softcap, final_softcap; /* without a key; 0: none */
    bool embd_sqrt;                    /* embeddings times sqrt(n_embd) */
    bool rope_switch;                  /* rope.scaling.finetuned = false: no rotation at all */
    bool multipliers;                  /* keys of embedding, residual, attention and logit scale */
    uint32_t wide_layers; /* models of that many layers scale scores by 1/sqrt(n_embd / n_heads) */
};

/* NULL for an unknown name. */
const struct model_arch *arch_find(struct gguf_str name);

extern const struct model_arch arch_llama, arch_qwen2, arch_qwen3, arch_gemma2, arch_gemma3,
    arch_phi3, arch_granite;

#endif
