/*
 * Phi-3: as Llama, with q, k, v in one tensor and gate and up in another, rotary embedding over halves, and
 * frequency factors for short and for long contexts. A sliding window in the metadata is not applied, as
 * in GGUF's reference: converters are known to have written wrong ones.
 *
 * Source: Abdin et al. 2024 (arXiv 2404.14219); LongRoPE: Ding et al. 2024 (arXiv 2402.13753).
 */
#include "arch.h"
#include "decoder.h"

#include "base/banned.h"

const struct model_arch arch_phi3 = {
    .name = "phi3",
    .emit = decoder_emit,
    .rope = PL_ROPE_NEOX,
    .act = PL_ACT_SILU,
    .qkv_bias = BUILD_OPTIONAL,
    .gate_in_up = true,
};
