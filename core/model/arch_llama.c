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

void arch_llama_emit(struct build *build)
{
    decoder_emit_plain(build);
}
