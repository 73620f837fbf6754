/*
 * cpu/topo.c - processor features, cores and memory; see topo.h.
 */
#include "topo.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#define CORES_MAX  1024 /* CPU_SETSIZE */
#define PATH_BYTES 512  /* longer control group paths are not looked at */

#if defined(__x86_64__)
#define XCR0_AVX    0x06u /* SSE and AVX state */
#define XCR0_AVX512 0xe6u /* and opmask, ZMM_Hi256, Hi16_ZMM */

static uint64_t xcr0(void)
{
    uint32_t lo;
    uint32_t hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

struct cpu_features cpu_features_get(void)
{
    struct cpu_features f = {0};
    uint32_t a;
    uint32_t b;
    uint32_t c;
    uint32_t d;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_OSXSAVE) == 0)
        return f;
    uint64_t state = xcr0();
    if ((state & XCR0_AVX) != XCR0_AVX)
        return f;
    f.fma = (c & bit_FMA) != 0;
    f.f16c = (c & bit_F16C) != 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0)
        return f;
    f.avx2 = (b & bit_AVX2) != 0;
    if ((state & XCR0_AVX512) == XCR0_AVX512) {
        f.avx512f = (b & bit_AVX512F) != 0;
        f.avx512bw = (b & bit_AVX512BW) != 0;
        f.avx512dq = (b & bit_AVX512DQ) != 0;
        f.avx512vl = (b & bit_AVX512VL) != 0;
        f.avx512_vnni = (c & bit_AVX512VNNI) != 0;
    }
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) {
        f.avx_vnni = (a & (1u << 4)) != 0;
        f.avx512_bf16 = f.avx512f && (a & (1u << 5)) != 0;
    }
    return f;
}

void cpu_model_name(char *ret, size_t bytes)
{
    uint32_t words[12] = {0};
    char name[sizeof words + 1];
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t *w = &words[4 * (size_t)i];
        if (__get_cpuid(0x80000002u + i, &w[0], &w[1], &w[2], &w[3]) == 0)
            break;
    }
    memcpy(name, words, sizeof words);
    name[sizeof words] = '\0';
    size_t n = strlen(name);
    while (n > 0 && name[n - 1] == ' ')
        name[--n] = '\0';
    const char *start = name + strspn(name, " ");
    snprintf(ret, bytes, "%s", *start != '\0' ? start : "x86-64 processor");
}
#elif defined(__aarch64__)
struct cpu_features cpu_features_get(void)
{
    unsigned long caps = getauxval(AT_HWCAP);
    return (struct cpu_features){
        .neon = (caps & HWCAP_ASIMD) != 0,
        .dotprod = (caps & HWCAP_ASIMDDP) != 0,
    };
}

void cpu_model_name(char *ret, size_t bytes)
{
    snprintf(ret, bytes, "ARM64 processor");
}
#else
struct cpu_features cpu_features_get(void)
{
    return (struct cpu_features){0};
}

void cpu_model_name(char *ret, size_t bytes)
{
    snprintf(ret, bytes, "processor");
}
#endif

bool cpu_isa_usable(enum cpu_isa isa, const struct cpu_features *f)
{
    switch (isa) {
    case CPU_ISA_AUTO:
    case CPU_ISA_SCALAR: return true;
    case CPU_ISA_NEON: return f->neon;
    case CPU_ISA_AVX2: return f->avx2 && f->fma && f->f16c;
    case CPU_ISA_AVX512:
        return f->avx2 && f->fma && f->f16c && f->avx512f && f->avx512bw && f->avx512dq &&
               f->avx512vl;
    default: return false;
    }
}

enum cpu_isa cpu_isa_best(const struct cpu_features *features)
{
    for (enum cpu_isa isa = CPU_ISA_AVX512; isa > CPU_ISA_SCALAR; isa--)
        if (cpu_isa_usable(isa, features))
            return isa;
    return CPU_ISA_SCALAR;
}

const char *cpu_isa_name(enum cpu_isa isa)
{
    static const char *const names[] = {
        [CPU_ISA_AUTO] = "auto", [CPU_ISA_SCALAR] = "scalar", [CPU_ISA_NEON] = "neon",
        [CPU_ISA_AVX2] = "avx2", [CPU_ISA_AVX512] = "avx512",
    };
    return (size_t)isa < PL_ARRAY_LEN(names) ? names[isa] : "?";
}

void cpu_features_text(const struct cpu_features *f, char *ret, size_t bytes)
{
    const struct {
        const char *name;
        bool has;
    } list[] = {
#define PL_X(feature) {#feature, f->feature},
        CPU_FEATURE_LIST(PL_X)
#undef PL_X
    };
    size_t used = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < PL_ARRAY_LEN(list); i++) {
        if (!list[i].has)
            continue;
        int n = snprintf(ret + used, bytes - used, "%s%s", used > 0 ? " " : "", list[i].name);
        if (n < 0 || used + (size_t)n >= bytes)
            return;
        used += (size_t)n;
    }
}

/* ---- control groups and /proc ---------------------------------------------------------------- */

/* The first line of a small file; false if it can't be read. */
static bool read_line(const char *path, char *ret, int bytes)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool ok = fgets(ret, bytes, file) != NULL;
    fclose(file);
    return ok;
}

static bool parse_u64(const char *text, const char **end, uint64_t *ret)
{
    uint64_t value = 0;
    const char *p = text + strspn(text, " \t");
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return false;
    *end = p;
    *ret = value;
    return true;
}

/* Calls see() with the line of `file` in our control group and in each of its parents (version 2). */
static void for_each_cgroup(const char *file, void (*see)(const char *line, void *arg), void *arg)
{
    char own[PATH_BYTES] = "";
    char path[PATH_BYTES * 2];
    char line[128];
    if (!read_line("/proc/self/cgroup", own, sizeof own) || strncmp(own, "0::/", 4) != 0)
        own[0] = '\0';
    own[strcspn(own, "\n")] = '\0';
    char *group = own[0] != '\0' ? own + 3 : own; /* keeps the leading slash */
    for (;;) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", group, file);
        if (read_line(path, line, sizeof line))
            see(line, arg);
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            return;
        *slash = '\0';
    }
}

static void see_quota(const char *line, void *arg)
{
    uint64_t *cores = arg;
    uint64_t quota;
    uint64_t period;
    const char *p;
    if (!parse_u64(line, &p, &quota) || !parse_u64(p, &p, &period) || period == 0)
        return; /* "max" */
    *cores = PL_MIN(*cores, PL_MAX((quota + period - 1) / period, 1u));
}

static uint64_t topology_id(size_t cpu, const char *name)
{
    char path[128];
    char line[64];
    const char *p;
    uint64_t id;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%zu/topology/%s", cpu, name);
    if (!read_line(path, line, sizeof line) || !parse_u64(line, &p, &id))
        return UINT64_MAX;
    return id;
}

uint32_t cpu_cores_allowed(void)
{
    cpu_set_t allowed;
    uint64_t seen[CORES_MAX];
    uint64_t cores = UINT64_MAX;
    size_t n = 0;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return 1;
    for (size_t cpu = 0; cpu < CPU_SETSIZE && n < CORES_MAX; cpu++) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        uint64_t core = topology_id(cpu, "core_id");
        uint64_t id = core == UINT64_MAX ? UINT64_MAX - cpu
                                         : topology_id(cpu, "physical_package_id") << 32 | core;
        size_t i = 0;
        while (i < n && seen[i] != id)
            i++;
        if (i == n)
            seen[n++] = id;
    }
    for_each_cgroup("cpu.max", see_quota, &cores);
    return (uint32_t)PL_MAX(PL_MIN(cores, (uint64_t)n), 1u);
}

static uint64_t meminfo_bytes(const char *key)
{
    char line[128];
    uint64_t kib = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL) {
        const char *end;
        if (strncmp(line, key, strlen(key)) == 0 && parse_u64(line + strlen(key), &end, &kib))
            break;
    }
    fclose(file);
    return kib * 1024;
}

static void see_least(const char *line, void *arg)
{
    uint64_t *least = arg;
    uint64_t value;
    const char *end;
    if (parse_u64(line, &end, &value))
        *least = PL_MIN(*least, value);
}

void cpu_memory(uint64_t *ret_total, uint64_t *ret_free)
{
    uint64_t limit = UINT64_MAX;
    uint64_t used = UINT64_MAX;
    uint64_t total = meminfo_bytes("MemTotal:");
    uint64_t available = meminfo_bytes("MemAvailable:");
    for_each_cgroup("memory.max", see_least, &limit);
    if (limit < total) {
        for_each_cgroup("memory.current", see_least, &used);
        uint64_t left = used < limit ? limit - used : 0;
        total = limit;
        available = PL_MIN(available, left);
    }
    *ret_total = total;
    *ret_free = available;
}
