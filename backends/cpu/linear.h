/*
 * linear.h - matrix products of the CPU plugin: packed weights, prepared activations, run by parts.
 *
 * Weights are repacked at load into panels of 16 output rows, interleaved so that a vector lane is
 * an output row ("R16"); the packing loses nothing, so a tied table serves EMBED from the same bytes.
 * Activations are converted once per row into the format that the weight's kernel wants. A run
 * computes any rectangle of [rows of x] x [panels of w] with the whole epilogue (bias, GLU, scale,
 * residual), so the caller may split work as it likes.
 *
 * Invariant (bar C6): the bits of one output element depend on its row of x and its row of w only:
 * not on the rectangle, the number of rows, the thread count; nor on the ISA level, save for BF16
 * weights, where LINEAR_AVX512_BF16 rounds activations to BF16 and the other levels do not.
 *
 * How a caller uses it:
 *   load:  linear_layout_query -> buffer of `bytes` (64-byte aligned) -> linear_pack_range, any
 *          disjoint panel ranges in parallel
 *   step:  linear_act_format of each weight -> one buffer of n_rows * linear_act_row_bytes per
 *          distinct format -> linear_act_prepare, any disjoint row ranges in parallel -> barrier
 *          -> linear_run on disjoint rectangles
 *
 * Ownership: all memory is the caller's; nothing is allocated.  Threads: no state; disjoint ranges
 * may run at the same time.  Errors: queries answer false; the rest cannot fail on checked input.
 * Limits: LINEAR_DIM_MAX.  Source: ours, see docs/internals/cpu-linear.md.
 */
#ifndef CPU_LINEAR_H
#define CPU_LINEAR_H

#include <polder/op.h>

#define LINEAR_PANEL_ROWS 16 /* lanes of a 512-bit vector of 32-bit elements */
#define LINEAR_ALIGN      64 /* of packed weights and prepared activations: a cache line */
#define LINEAR_LAYOUT_R16 1u /* layout id of every packed type; pl_value.dtype tells them apart */
#define LINEAR_DIM_MAX    ((int64_t)1 << 31) /* rows or columns: far above any model */

/* What the processor can do; the caller detects it. Each x86 level includes those before it. */
enum linear_level {
    LINEAR_SCALAR = 0,      /* portable C: for correctness */
    LINEAR_AVX2 = 1,        /* avx2, fma, f16c */
    LINEAR_AVX512 = 2,      /* avx512 f, bw, vl, dq, vnni */
    LINEAR_AVX512_BF16 = 3, /* and avx512_bf16 */
    LINEAR_NEON = 4,        /* AArch64 base: for correctness */
    LINEAR_LEVELS = 5,
};

/* The formats that activation rows are converted to. */
enum linear_act_format {
    LINEAR_ACT_NONE = 0,   /* no packed kernel for the type */
    LINEAR_ACT_F32 = 1,    /* as it is */
    LINEAR_ACT_BF16 = 2,   /* rounded to nearest even */
    LINEAR_ACT_Q8_32 = 3,  /* int8, one scale and one sum per 32 values */
    LINEAR_ACT_Q8_256 = 4, /* int8, one scale per 256 values, sums per 16 and 32 */
    LINEAR_ACT_FORMATS = 5,
};

/* ---- weights --------------------------------------------------------------------------------- */

static inline int64_t linear_panels(int64_t rows)
{
    return pl_div_up(rows, LINEAR_PANEL_ROWS);
}

/* The packed size of a [rows, cols] weight of a file type. False: the type has no packing, cols is
 * no whole number of blocks, or a size is outside 1..LINEAR_DIM_MAX or overflows. Every level reads
 * the same layout. */
PL_NODISCARD bool linear_layout_query(uint32_t dtype, int64_t rows, int64_t cols,
                                      uint32_t *ret_layout, uint64_t *ret_bytes);

/* Packs panels [panel_begin, panel_end) of a weight that linear_layout_query accepted.
 *   dst         the whole packed weight, LINEAR_ALIGN aligned; only the range's bytes are written
 *   src         row 0 of the weight (or slice) in file order, any alignment
 *   src_stride  bytes from row to row (larger than a row for a slice of columns)
 * Rows beyond the last of an incomplete panel become zero. */
void linear_pack_range(void *dst, const void *src, size_t src_stride, uint32_t dtype, int64_t rows,
                       int64_t cols, int64_t panel_begin, int64_t panel_end);

/* dst[0..cols) = row `row` of a packed weight, bit-equal to expanding the file's row. */
void linear_unpack_row(float *dst, const void *packed, uint32_t dtype, int64_t cols, int64_t row);

/* ---- activations ----------------------------------------------------------------------------- */

/* The table of one level, or NULL if this build lacks it (other architecture). The caller has made
 * sure that the processor runs it. Static storage. */
const struct linear_isa *linear_isa_get(enum linear_level level);

/* What a weight type wants its activations in; LINEAR_ACT_NONE where there is no packed kernel. */
enum linear_act_format linear_act_format(const struct linear_isa *isa, uint32_t dtype);

/* Bytes of one prepared row, a multiple of LINEAR_ALIGN. */
size_t linear_act_row_bytes(enum linear_act_format format, int64_t cols);

/* Prepares rows [row_begin, row_end): dst + row * linear_act_row_bytes <- x + row * x_stride.
 *   x         f32, x_stride elements from row to row; a NaN or infinity makes all outputs of its row
 *             NaN or infinite, never ordinary numbers; int8 formats take blocks below 2^-100 as zero
 *   cols      a multiple of the weight's block
 *   dst       LINEAR_ALIGN aligned */
void linear_act_prepare(const struct linear_isa *isa, enum linear_act_format format, void *dst,
                        const float *x, int64_t x_stride, int64_t cols, int64_t row_begin,
                        int64_t row_end);

/* ---- products -------------------------------------------------------------------------------- */

struct linear_weight {
    uint32_t dtype;     /* enum pl_dtype, of the file */
    int64_t rows, cols; /* N outputs, M inputs */
    const void *packed; /* LINEAR_LAYOUT_R16 */
    const float *bias;  /* [N] or NULL */
};

/* out[t, n] = f(x[t, :] . w0[n, :], x[t, :] . w1[n, :]) for rows t and outputs n:
 *   act NONE:  (y0 + bias0) * scale                       (+ residual[t, n])
 *   act else:  act(y0 + bias0) * (y1 + bias1) * scale     (+ residual[t, n]); gate w0, up w1 */
struct linear_task {
    const struct linear_isa *isa;
    struct linear_weight w[2]; /* w[1] with act only: same rows and cols as w[0], any type */
    const void *x[2];          /* row 0 of prepared activations in the format of w[i].dtype */
    float *out;                /* [T, N]; columns beyond N are never written */
    const float *residual;     /* [T, N] or NULL; may be out */
    int64_t out_stride;        /* elements from row to row, >= N */
    int64_t residual_stride;   /* likewise */
    enum pl_act act;
    float scale;        /* 1 for most */
    float alpha, limit; /* PL_ACT_SWIGLU_OAI */
};

/* Computes outputs of panels [panel_begin, panel_end) for rows [row_begin, row_end). It blocks for
 * the caches itself: best with all rows and at least 4 panels at a time; a thread's panels should be
 * adjacent. */
void linear_run(const struct linear_task *task, int64_t panel_begin, int64_t panel_end,
                int64_t row_begin, int64_t row_end);

#endif
