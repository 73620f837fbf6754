/*
 * Llama and its kin (Llama 2, 3.x, Mistral, and what else calls itself "llama" in GGUF): RMSNorm, grouped
 * query attention with adjacent-pair rotary embedding, SwiGLU; optional biases; Llama 3's frequency factors
 * in rope_freqs.weight.
 *
 * Source: Touvron et al. 2023 (arXiv 2302.13971, 2307.09288); Dubey et al. 2024 (arXiv 2407.21783).
 */
#include "arch.h"
#include "decoder.h"

#include "base/banned.h"

const struct model_arch arch_llama = {
    .name = "llama",
    .emit = decoder_emit,
    .rope = PL_ROPE_NORM,
    .act = PL_ACT_SILU,
    .qkv_bias = BUILD_OPTIONAL,
};
