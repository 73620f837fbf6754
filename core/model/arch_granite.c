/*
 * Granite 3, dense: as Llama, with multipliers on embedding, residuals, scores and logits.
 *
 * Source: IBM Granite Team 2024, "Granite 3.0 Language Models"; keys as in GGUF files of the models.
 */
#include "arch.h"
#include "decoder.h"

#include "base/banned.h"

const struct model_arch arch_granite = {
    .name = "granite",
    .emit = decoder_emit,
    .rope = PL_ROPE_NORM,
    .act = PL_ACT_SILU,
    .qkv_bias = BUILD_OPTIONAL,
    .rope_switch = true,
    .multipliers = true,
};
