/*
 * Qwen3, dense: as Qwen2, with norms of each head of q and k in the place of biases.
 *
 * Source: Yang et al. 2025 (arXiv 2505.09388).
 */
#include "arch.h"
#include "decoder.h"

#include "base/banned.h"

const struct model_arch arch_qwen3 = {
    .name = "qwen3",
    .emit = decoder_emit,
    .rope = PL_ROPE_NEOX,
    .act = PL_ACT_SILU,
    .qkv_bias = BUILD_OPTIONAL,
    .qk_norm = true,
};
