/*
 * bench_linear.c - speed of backends/cpu/linear.h beside what the machine can do in the same seconds.
 *
 *   bench_linear [-t threads] [-r rounds] [-l level] [-T rows] [-c cols] [-n outputs] [-m MiB] [TYPE...]
 *
 * decode   one row against a weight of -m MiB (far above the caches): GB/s of packed weight, and its
 *          share of a plain read of the same memory
 * prefill  -T rows against [-n, -c]: GOPS (2 per multiply-add), and its share of the instruction's peak
 *          (vpdpbusd, vdpbf16ps or fma in registers)
 * Each round measures probe, product, probe; a share is that of the round, and the median round and
 * the best are printed. Nothing here is a test.
 */
#include "linear.h"

#include <immintrin.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 64, ROUNDS_MAX = 99 };

/* NOLINTBEGIN(concurrency-mt-unsafe): options are read and exit is called by the first thread only */

static struct {
    int threads, rounds;
    enum linear_level level;
    int64_t rows, cols, outputs;
    size_t bytes;
} opt = {2, 7, LINEAR_AVX512_BF16, 512, 2048, 8192, (size_t)256 << 20};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- threads --------------------------------------------------------------------------------- */

typedef void part_fn(void *arg, int part, int parts);

struct part {
    pthread_t thread;
    part_fn *fn;
    void *arg;
    int part;
    double begin, end;
};

static pthread_barrier_t barrier;

static void *part_main(void *arg)
{
    struct part *p = arg;
    pthread_barrier_wait(&barrier);
    p->begin = now();
    p->fn(p->arg, p->part, opt.threads);
    p->end = now();
    return NULL;
}

/* Seconds from the first thread's begin to the last one's end. */
static double measure(part_fn *fn, void *arg)
{
    struct part parts[THREADS_MAX];
    pthread_barrier_init(&barrier, NULL, (unsigned)opt.threads);
    for (int i = 0; i < opt.threads; i++) {
        parts[i] = (struct part){.fn = fn, .arg = arg, .part = i};
        if (i > 0 && pthread_create(&parts[i].thread, NULL, part_main, &parts[i]) != 0)
            exit(1);
    }
    part_main(&parts[0]);
    double begin = parts[0].begin, end = parts[0].end;
    for (int i = 1; i < opt.threads; i++) {
        pthread_join(parts[i].thread, NULL);
        begin = PL_MIN(begin, parts[i].begin);
        end = PL_MAX(end, parts[i].end);
    }
    pthread_barrier_destroy(&barrier);
    return end - begin;
}

/* ---- probes ---------------------------------------------------------------------------------- */

struct memory {
    uint8_t *at;
    size_t bytes;
    uint64_t sink[THREADS_MAX];
};

__attribute__((target("avx512f"))) static void read_all(void *arg, int part, int parts)
{
    struct memory *m = arg;
    size_t share = m->bytes / (size_t)parts & ~(size_t)4095;
    const uint8_t *p = m->at + (size_t)part * share;
    __m512i sum[4] = {0};
    for (size_t i = 0; i < share; i += 256) {
        for (size_t j = 0; j < 4; j++) {
            _mm_prefetch((const char *)p + i + 64 * j + 4096, _MM_HINT_T0);
            sum[j] = _mm512_add_epi64(sum[j], _mm512_load_si512(p + i + 64 * j));
        }
    }
    m->sink[part] = (uint64_t)_mm512_reduce_add_epi64(
        _mm512_add_epi64(_mm512_add_epi64(sum[0], sum[1]), _mm512_add_epi64(sum[2], sum[3])));
}

enum peak { PEAK_VNNI, PEAK_BF16, PEAK_FMA };
enum { PEAK_LOOPS = 4000000, PEAK_CHAINS = 12 };

#define PEAK_EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define PEAK_FN(name, features, type, zero, STEP)                                                  \
    __attribute__((target(features))) static void name(void *arg, int part, int parts)             \
    {                                                                                              \
        struct memory *m = arg;                                                                    \
        (void)parts;                                                                               \
        type w = zero;                                                                             \
        __asm__ volatile("" : "+v"(w));                                                            \
        PEAK_EACH(PEAK_INIT)                                                                       \
        for (int n = 0; n < PEAK_LOOPS; n++) {                                                     \
            PEAK_EACH(STEP)                                                                        \
        }                                                                                          \
        memcpy(&m->sink[part], &acc0, 8);                                                          \
    }
#define PEAK_INIT(i) __typeof__(w) acc##i = w;
#define PEAK_STEP_VNNI(i)                                                                          \
    acc##i = _mm512_dpbusd_epi32(acc##i, w, w);                                                    \
    __asm__ volatile("" : "+v"(acc##i));
#define PEAK_STEP_BF16(i)                                                                          \
    acc##i = _mm512_dpbf16_ps(acc##i, (__m512bh)w, (__m512bh)w);                                   \
    __asm__ volatile("" : "+v"(acc##i));
#define PEAK_STEP_FMA(i)                                                                           \
    acc##i = _mm512_fmadd_ps(acc##i, w, w);                                                        \
    __asm__ volatile("" : "+v"(acc##i));
PEAK_FN(peak_vnni, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512(), PEAK_STEP_VNNI)
PEAK_FN(peak_bf16, "avx512f,avx512bf16", __m512, _mm512_setzero_ps(), PEAK_STEP_BF16)
PEAK_FN(peak_fma, "avx512f", __m512, _mm512_setzero_ps(), PEAK_STEP_FMA)

/* Operations per second of all threads. */
static double peak_ops(struct memory *m, enum peak peak)
{
    static part_fn *const fns[] = {peak_vnni, peak_bf16, peak_fma};
    static const double ops[] = {128, 64, 32};
    return ops[peak] * PEAK_CHAINS * PEAK_LOOPS * opt.threads / measure(fns[peak], m);
}

/* ---- products -------------------------------------------------------------------------------- */

struct product {
    struct linear_task task;
    int64_t n_rows, n_panels, step;
};

static void run_part(void *arg, int part, int parts)
{
    const struct product *p = arg;
    int64_t begin = p->n_panels * part / parts, end = p->n_panels * (part + 1) / parts;
    for (int64_t n = begin; n < end; n += p->step)
        linear_run(&p->task, n, PL_MIN(n + p->step, end), 0, p->n_rows);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_shares(const char *what, const char *unit, double *rate, double *share)
{
    qsort(rate, (size_t)opt.rounds, sizeof *rate, by_value);
    qsort(share, (size_t)opt.rounds, sizeof *share, by_value);
    printf("  %-8s best %7.1f %s, share of probe: median %5.1f %%, best %5.1f %%\n", what,
           rate[opt.rounds - 1], unit, share[opt.rounds / 2] * 100, share[opt.rounds - 1] * 100);
}

static void *must(void *p)
{
    if (p == NULL || p == MAP_FAILED)
        exit(1);
    return p;
}

/* A product of random bytes: speed does not depend on values (scales are made small). */
static struct product product_new(struct memory *m, uint32_t dtype, int64_t outputs, int64_t n_rows)
{
    const struct linear_isa *isa = linear_isa_get(opt.level);
    enum linear_act_format format = linear_act_format(isa, dtype);
    size_t row_bytes = linear_act_row_bytes(format, opt.cols);
    float *x = must(aligned_alloc(64, (size_t)(n_rows * opt.cols) * 4));
    uint8_t *act = must(aligned_alloc(64, (size_t)n_rows * row_bytes));
    float *out = must(aligned_alloc(64, (size_t)(n_rows * outputs) * 4));
    memset(out, 0, (size_t)(n_rows * outputs) * 4);
    for (int64_t i = 0; i < n_rows * opt.cols; i++)
        x[i] = (float)(i * 7919 % 1000) * 1e-3f - 0.5f;
    double begin = now();
    linear_act_prepare(isa, format, act, x, opt.cols, opt.cols, 0, n_rows);
    if (n_rows > 1)
        printf("  prepare  %.2f ns/value\n", (now() - begin) * 1e9 / (double)(n_rows * opt.cols));
    free(x);
    return (struct product){
        .task = {.isa = isa,
                 .w = {{dtype, outputs, opt.cols, m->at, NULL}},
                 .x = {act},
                 .out = out,
                 .out_stride = outputs,
                 .scale = 1},
        .n_rows = n_rows,
        .n_panels = linear_panels(outputs),
        .step = n_rows > 1 ? 1 << 20 : 16,
    };
}

static void product_free(struct product *p)
{
    free((void *)(uintptr_t)p->task.x[0]);
    free(p->task.out);
}

static void bench_decode(struct memory *m, uint32_t dtype, int64_t n_rows)
{
    uint32_t layout;
    uint64_t panel;
    double rate[ROUNDS_MAX], share[ROUNDS_MAX];
    if (!linear_layout_query(dtype, 1, opt.cols, &layout, &panel))
        return;
    int64_t outputs = (int64_t)(m->bytes / panel) * LINEAR_PANEL_ROWS;
    struct product p = product_new(m, dtype, outputs, n_rows);
    struct memory same = {.at = m->at, .bytes = (size_t)(p.n_panels * (int64_t)panel)};
    for (int i = 0; i < opt.rounds; i++) {
        double a = measure(read_all, &same), t = measure(run_part, &p),
               b = measure(read_all, &same);
        rate[i] = (double)same.bytes / t * 1e-9;
        share[i] = PL_MIN(a, b) / t;
    }
    char what[32];
    snprintf(what, sizeof what, "decode%d", (int)n_rows);
    print_shares(what, "GB/s", rate, share);
    product_free(&p);
}

static void bench_prefill(struct memory *m, uint32_t dtype)
{
    double rate[ROUNDS_MAX], share[ROUNDS_MAX];
    uint32_t layout;
    uint64_t panel;
    if (!linear_layout_query(dtype, 1, opt.cols, &layout, &panel))
        return;
    int64_t outputs = PL_MIN(opt.outputs, (int64_t)(m->bytes / panel) * LINEAR_PANEL_ROWS);
    struct product p = product_new(m, dtype, outputs, opt.rows);
    enum linear_act_format format = linear_act_format(p.task.isa, dtype);
    enum peak peak = format == LINEAR_ACT_F32    ? PEAK_FMA
                     : format == LINEAR_ACT_BF16 ? PEAK_BF16
                                                 : PEAK_VNNI;
    double ops = 2.0 * (double)opt.rows * (double)opt.cols * (double)outputs;
    for (int i = 0; i < opt.rounds; i++) {
        double a = peak_ops(m, peak), t = measure(run_part, &p), b = peak_ops(m, peak);
        rate[i] = ops / t * 1e-9;
        share[i] = ops / t / PL_MAX(a, b);
    }
    print_shares("prefill", "GOPS", rate, share);
    product_free(&p);
}

static void bench_type(struct memory *m, uint32_t dtype)
{
    printf("%s\n", pl_dtype_info(dtype).name);
    bench_decode(m, dtype, 1);
    bench_decode(m, dtype, 4);
    bench_decode(m, dtype, 8);
    bench_prefill(m, dtype);
    fflush(stdout);
}

/* ---- main ------------------------------------------------------------------------------------ */

static void parse_options(int argc, char **argv)
{
    int c;
    while ((c = getopt(argc, argv, "t:r:l:T:c:n:m:")) != -1) {
        long long v = strtoll(optarg != NULL ? optarg : "0", NULL, 10);
        switch (c) {
        case 't': opt.threads = (int)PL_MIN(PL_MAX(v, 1), THREADS_MAX); break;
        case 'r': opt.rounds = (int)PL_MIN(PL_MAX(v, 1), ROUNDS_MAX); break;
        case 'l': opt.level = (enum linear_level)v; break;
        case 'T': opt.rows = v; break;
        case 'c': opt.cols = v; break;
        case 'n': opt.outputs = v; break;
        case 'm': opt.bytes = (size_t)v << 20; break;
        default: exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    const uint32_t types[] = {PL_DTYPE_F32,    PL_DTYPE_F16,   PL_DTYPE_BF16, PL_DTYPE_Q8_0,
                              PL_DTYPE_Q4_0,   PL_DTYPE_Q4_1,  PL_DTYPE_Q5_0, PL_DTYPE_Q5_1,
                              PL_DTYPE_IQ4_NL, PL_DTYPE_MXFP4, PL_DTYPE_Q2_K, PL_DTYPE_Q3_K,
                              PL_DTYPE_Q4_K,   PL_DTYPE_Q5_K,  PL_DTYPE_Q6_K, PL_DTYPE_IQ4_XS};
    struct memory m = {.bytes = opt.bytes};
    m.at = must(
        mmap(NULL, m.bytes + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    madvise(m.at, m.bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < m.bytes; i++) /* as f16, f32 and e8m0 normal numbers of at most 2 */
        m.at[i] = (uint8_t)((i * 2654435761u >> 24 & 0x1f) | 0x20);
    for (size_t i = 0; i < PL_ARRAY_LEN(types); i++) {
        bool wanted = optind >= argc;
        for (int a = optind; a < argc; a++)
            wanted |= strcmp(argv[a], pl_dtype_info(types[i]).name) == 0;
        if (wanted)
            bench_type(&m, types[i]);
    }
    munmap(m.at, m.bytes + 4096);
    return 0;
}

/* NOLINTEND(concurrency-mt-unsafe) */
