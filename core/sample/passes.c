/* The passes for every CPU of the architecture, and the choice among the tables; see passes.h. */
#include "passes_body.h"

#include "base/banned.h"

const struct passes passes_baseline = PASSES_TABLE;

const struct passes *passes_get(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
        return &passes_avx512;
    if (__builtin_cpu_supports("avx2"))
        return &passes_avx2;
#endif
    return &passes_baseline;
}
