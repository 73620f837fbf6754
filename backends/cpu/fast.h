/*
 * cpu/fast.h - the row and attention kernels of one instruction set, as a table.
 *
 * Every kernel works on whole rows and fixes its order of summation by the row alone: neither the
 * number of rows nor the thread that runs it shows in the bits of a result. Destination first, as
 * memcpy. No kernel allocates; pointers are aligned as floats unless said.
 *
 * How it is built: fast_body.h holds the kernels once, over a vector type that simd_*.h defines;
 * fast_<isa>.c compiles it with that instruction set's flags.
 *
 * Threads: pure functions.  Errors: none.  Source: formulas in polder/op.h; exp and tanh: Moshier's
 * Cephes library (expf.c, tanhf.c), attention: Dao et al. 2022, arXiv:2205.14135.
 */
#ifndef CPU_FAST_H
#define CPU_FAST_H

#include "kv.h"

/* Attention of some rows of one sequence over one KV head and the query heads that share it. */
struct attn_task {
    const struct kv_geometry *kv;
    const int32_t *blocks; /* row of the block table */
    const float *q;        /* row 0, first query head of the group: [rows][q_stride] */
    float *out;            /* likewise: [rows][out_stride] */
    int64_t q_stride, out_stride;
    const int32_t *pos; /* [rows] */
    const float *sinks; /* [group] or NULL */
    int64_t rows;       /* >= 1, at most ATTN_ROWS_MAX */
    int64_t group;      /* query heads per KV head */
    int64_t kv_len;     /* of the sequence */
    uint32_t layer, kv_head;
    uint32_t window; /* 0 = none */
    bool causal;
    float scale, softcap;
    float *scratch; /* attn_scratch_bytes(), CPU_ALIGN aligned */
};

#define ATTN_ROWS_MAX 16   /* query rows that share the reading of K and V: state stays in L2 */
#define ATTN_SEGMENT  1024 /* positions summed by themselves: joining costs 1/1000 of summing */

/* What a segment comes to: sums, totals by lane and maximum of each query. */
static inline size_t attn_state_floats(int64_t queries, uint32_t head_dim_v)
{
    return pl_align_up((size_t)queries * (pl_align_up(head_dim_v, 16) + KV_TILE + 1), KV_TILE);
}

/* Two states, of a segment and of those before; per query scale and 16 bits of q, for keys in Q8_0. */
static inline size_t attn_scratch_bytes(int64_t group, uint32_t head_dim, uint32_t head_dim_v)
{
    int64_t queries = ATTN_ROWS_MAX * group;
    size_t q_bytes = (size_t)queries * (sizeof(float) + head_dim * sizeof(int16_t));
    return pl_align_up(2 * attn_state_floats(queries, head_dim_v) * sizeof(float) + q_bytes,
                       CPU_ALIGN);
}

struct fast_kernels {
    enum cpu_isa isa;
    /* y[i] = x[i] / sqrt(mean(x^2) + eps) * w[i]; w may be NULL; y may be x */
    void (*rmsnorm)(float *y, const float *x, const float *w, int64_t n, float eps);
    /* y[i] = (x[i] - mean) / sqrt(var + eps) * w[i] + b[i]; w, b may be NULL; y may be x */
    void (*layernorm)(float *y, const float *x, const float *w, const float *b, int64_t n,
                      float eps);
    /* y may be a or b */
    void (*add)(float *y, const float *a, const float *b, int64_t n);
    void (*mul)(float *y, const float *a, const float *b, int64_t n);
    /* y may be x */
    void (*scale)(float *y, const float *x, float value, int64_t n);
    void (*softcap)(float *y, const float *x, float cap, int64_t n);
    void (*act)(float *y, const float *x, uint32_t act, int64_t n);
    /* y may be gate or up */
    void (*glu)(float *y, const float *gate, const float *up, const struct pl_glu_params *p,
                int64_t n);
    /* Rotates the first 2*half elements of x in place by cos[half], sin[half]. */
    void (*rope)(float *x, const float *cosine, const float *sine, int64_t half, uint32_t rope);
    void (*to_half)(uint16_t *y, const float *x, int64_t n);
    /* Q8_0 as kv.h defines it: y [n], scales [n/32]; n is a multiple of 32 */
    void (*to_q8)(int8_t *y, uint16_t *scales, const float *x, int64_t n);
    /* y[j] = x . w[j*n ..], j < n_w */
    void (*dots)(float *y, const float *x, const float *w, int64_t n, int64_t n_w);
    void (*attend)(const struct attn_task *task);
    /* The same bits by parts: any thread computes the state of segment i (of positions i*ATTN_SEGMENT ..)
     * where the rows see some of it; then the states [n_segments][attn_state_floats] become the output. */
    void (*attend_part)(const struct attn_task *task, int64_t segment, float *state);
    void (*attend_join)(const struct attn_task *task, float *states);
};

/* The table of an instruction set, NULL if this build lacks it. vnni: the processor has AVX512-VNNI,
 * which changes no bit. */
const struct fast_kernels *fast_kernels_get(enum cpu_isa isa, bool vnni);

/* One per file fast_<isa>.c. */
extern const struct fast_kernels fast_scalar_kernels, fast_avx2_kernels, fast_avx512_kernels,
    fast_avx512_vnni_kernels, fast_neon_kernels;

#endif
