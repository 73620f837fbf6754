/*
 * Gemma 3, text: as Gemma 2 with norms of q and k in the place of soft caps; five layers with a sliding
 * window, then one that sees all. Windowed layers rotate with base 10,000 and are not scaled, the others
 * with the file's base and scaling.
 *
 * The 27B model (62 layers) scales scores by the embedding's share of a head; no key says so.
 *
 * Source: Gemma Team 2025 (arXiv 2503.19786), section 2.
 */
#include "arch.h"
#include "decoder.h"

#include "base/banned.h"

const struct model_arch arch_gemma3 = {
    .name = "gemma3",
    .emit = decoder_emit,
    .rope = PL_ROPE_NEOX,
    .act = PL_ACT_GELU_TANH,
    .qkv_bias = BUILD_OPTIONAL,
    .qk_norm = true,
    .post_norms = true,
    .window_period = 6,
    .window_freq_base = 10000.0f,
    .window_unscaled = true,
    .embd_sqrt = true,
    .wide_layers = 62,
};
