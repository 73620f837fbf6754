/*
 * cpu/topo.h - what the processor is and how much of it this process may use.
 *
 * Reads cpuid, /proc, /sys and the control group; changes nothing, caches nothing.
 *
 * Ownership: none.  Threads: any.  Errors: none; what can't be read is taken as unlimited or absent.
 * Limits: named in topo.c.  Source: Intel SDM vol. 1 ch. 13-14 (XCR0), AMD APM vol. 3, cgroups(7).
 */
#ifndef CPU_TOPO_H
#define CPU_TOPO_H

#include <polder/backend.h>

/* Instruction sets of the fast path, worst first. */
enum cpu_isa {
    CPU_ISA_AUTO = 0, /* the best that is here */
    CPU_ISA_SCALAR,   /* whatever the compiler's baseline has */
    CPU_ISA_NEON,     /* aarch64 */
    CPU_ISA_AVX2,     /* AVX2, FMA, F16C */
    CPU_ISA_AVX512,   /* AVX512 F BW DQ VL on top of AVX2 */
};

#define CPU_FEATURE_LIST(X)                                                                        \
    X(avx2)                                                                                        \
    X(fma)                                                                                         \
    X(f16c)                                                                                        \
    X(avx512f)                                                                                     \
    X(avx512bw)                                                                                    \
    X(avx512dq)                                                                                    \
    X(avx512vl)                                                                                    \
    X(avx512_vnni)                                                                                 \
    X(avx512_bf16)                                                                                 \
    X(avx_vnni)                                                                                    \
    X(neon)                                                                                        \
    X(dotprod)

/* Usable ones: the processor has it and the system saves its registers. */
struct cpu_features {
#define PL_X(name) bool name;
    CPU_FEATURE_LIST(PL_X)
#undef PL_X
};

struct cpu_features cpu_features_get(void);
enum cpu_isa cpu_isa_best(const struct cpu_features *features);
bool cpu_isa_usable(enum cpu_isa isa, const struct cpu_features *f);
const char *cpu_isa_name(enum cpu_isa isa);

/* Model name and the features as one line. */
void cpu_model_name(char *ret, size_t bytes);
void cpu_features_text(const struct cpu_features *f, char *ret, size_t bytes);

/* Physical cores in the affinity mask, at most the control group's quota; >= 1. */
uint32_t cpu_cores_allowed(void);

/* Memory that this process may have: total, and free now; control group included. */
void cpu_memory(uint64_t *ret_total, uint64_t *ret_free);

#endif
