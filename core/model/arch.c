/* The architecture table: data first, one row each. */
#include "arch.h"
#include "model.h"

#include <string.h>

#include "base/banned.h"

/* name, rotary embedding, biases on q, k and v, emitter */
#define ARCH_LIST(X)                                                                               \
    X("llama", PL_ROPE_NORM, BUILD_OPTIONAL, arch_llama_emit) /* and Mistral */                    \
    X("qwen2", PL_ROPE_NEOX, BUILD_REQUIRED, arch_qwen2_emit)

static const struct model_arch archs[] = {
#define ARCH_ROW(text, rope_kind, bias, fn)                                                        \
    {.name = (text), .rope = (rope_kind), .qkv_bias = (bias), .emit = (fn)},
    ARCH_LIST(ARCH_ROW)
#undef ARCH_ROW
};

const char *model_architectures(void)
{
#define ARCH_NAME(text, rope_kind, bias, fn) ", " text
    static const char names[] = ARCH_LIST(ARCH_NAME);
#undef ARCH_NAME
    return names + 2; /* without the first comma */
}

const struct model_arch *arch_find(struct gguf_str name)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(archs); i++)
        if (strlen(archs[i].name) == name.len && memcmp(archs[i].name, name.data, name.len) == 0)
            return &archs[i];
    return NULL;
}
