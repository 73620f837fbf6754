/*
 * core/model/arch.h - the row of the architecture table and what an emitter works with (private).
 */
#ifndef MODEL_ARCH_H
#define MODEL_ARCH_H

#include "build.h"
#include "hparams.h"

/* One architecture. To add one: a row in arch.c and a file arch_<name>.c with its emitter. */
struct model_arch {
    const char *name;                  /* general.architecture */
    uint32_t rope;                     /* enum pl_rope of its files */
    enum build_need qkv_bias;          /* biases of q, k and v: every layer's, or where they are */
    void (*emit)(struct build *build); /* appends the forward pass; errors stick to the builder */
};

/* NULL for an unknown name. */
const struct model_arch *arch_find(struct gguf_str name);

void arch_llama_emit(struct build *build);
void arch_qwen2_emit(struct build *build);

#endif
