/*
 * Gemma 2: norms before and after attention and feed-forward, GELU (tanh) gate, scaled embedding, soft caps on
 * scores and logits, a sliding window on every other layer. Norm weights in GGUF have their 1 added.
 *
 * The 27B model (46 layers) scales scores by the embedding's share of a head, not by the head's own size; no
 * key says so.
 *
 * Source: Gemma Team 2024 (arXiv 2408.00118), table 1 and section 2.
 */
#include "arch.h"
#include "decoder.h"

#include "base/banned.h"

const struct model_arch arch_gemma2 = {
    .name = "gemma2",
    .emit = decoder_emit,
    .rope = PL_ROPE_NEOX,
    .act = PL_ACT_GELU_TANH,
    .qkv_bias = BUILD_OPTIONAL,
    .post_norms = true,
    .window_period = 2,
    .window_tokens = 4096,
    .attn_softcap = 50.0f,
    .final_softcap = 30.0f,
    .embd_sqrt = true,
    .wide_layers = 46,
};
