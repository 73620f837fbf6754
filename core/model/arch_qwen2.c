/*
 * Qwen2 and Qwen2.5: as Llama, with required biases on q, k and v and rotary embedding over halves.
 *
 * Source: Yang et al. 2024 (arXiv 2407.10671).
 */
#include "arch.h"
#include "decoder.h"

#include "base/banned.h"

const struct model_arch arch_qwen2 = {
    .name = "qwen2",
    .emit = decoder_emit,
    .rope = PL_ROPE_NEOX,
    .act = PL_ACT_SILU,
    .qkv_bias = BUILD_REQUIRED,
};
