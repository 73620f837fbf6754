/* The architecture table: data first, one row each. */
#include "arch.h"
#include "model.h"

#include <string.h>

#include "base/banned.h"

static const struct model_arch archs[] = {
    {.name = "llama", .rope = PL_ROPE_NORM, .emit = arch_llama_emit}, /* and Mistral */
    {.name = "qwen2", .rope = PL_ROPE_NEOX, .emit = arch_qwen2_emit},
};

const char *model_architectures(void)
{
    return "llama, qwen2";
}

const struct model_arch *arch_find(struct gguf_str name)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(archs); i++)
        if (strlen(archs[i].name) == name.len && memcmp(archs[i].name, name.data, name.len) == 0)
            return &archs[i];
    return NULL;
}
