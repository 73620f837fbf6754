/*
 * Qwen2 and Qwen2.5: as Llama, with biases on q, k and v and rotary embedding over halves (the table row
 * says so). The biases are required: a file without them is not a Qwen2.
 *
 * Source: Yang et al. 2024 (arXiv 2407.10671).
 */
#include "arch.h"
#include "decoder.h"

#include "base/banned.h"

void arch_qwen2_emit(struct build *build)
{
    const struct hparams *hp = build->hp;
    /* Looked up for the check alone; the shared decoder finds them again as optional ones. */
    if (gguf_find_tensor(build->file, "blk.0.attn_q.bias") == NULL && build->status == PL_OK) {
        build->status =
            pl_error_set(build->err, PL_EFORMAT,
                         "model: tensor 'blk.0.attn_q.bias': absent, %s needs it", hp->arch->name);
        return;
    }
    decoder_emit_plain(build);
}
