/* The architecture table; see arch.h. */
#include "arch.h"
#include "model.h"

#include <string.h>

#include "base/banned.h"

#define ARCH_LIST(X) X(llama) X(qwen2) X(qwen3) X(gemma2) X(gemma3) X(phi3) X(granite)

static const struct model_arch *const archs[] = {
#define ARCH_ROW(name) &arch_##name,
    ARCH_LIST(ARCH_ROW)
#undef ARCH_ROW
};

const char *model_architectures(void)
{
#define ARCH_NAME(name) ", " #name
    static const char names[] = ARCH_LIST(ARCH_NAME);
#undef ARCH_NAME
    return names + 2; /* without the first comma */
}

const struct model_arch *arch_find(struct gguf_str name)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(archs); i++)
        if (strlen(archs[i]->name) == name.len && memcmp(archs[i]->name, name.data, name.len) == 0)
            return archs[i];
    return NULL;
}
