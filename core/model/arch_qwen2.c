/*
 * Qwen2 and Qwen2.5: as Llama, with required biases on q, k and v and rotary embedding over halves; both are
 * said in the table row.
 *
 * Source: Yang et al. 2024 (arXiv 2407.10671).
 */
#include "arch.h"
#include "decoder.h"

#include "base/banned.h"

void arch_qwen2_emit(struct build *build)
{
    decoder_emit_plain(build);
}
