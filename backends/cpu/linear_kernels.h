/*
 * linear_kernels.h - what the packers, the kernels of each level and the driver of linear.h share.
 *
 * A packed weight is linear_panels(rows) panels of equal size, each a run of chunks: the next
 * chunk_elems columns of 16 rows in chunk_bytes bytes, a multiple of a cache line. Inside a chunk the
 * vector of a column (or of 4 adjacent int8 columns, or 2 of BF16) holds the 16 rows side by side:
 *
 *   panel   | chunk 0 | chunk 1 | ...            chunk (Q4_0) | d, block 0 | d, block 1 |   2 x 32 B
 *                                                             | nibbles, block 0        |      256 B
 *                                                             | nibbles, block 1        |      256 B
 *
 * A new type is one row of LINEAR_TYPE_LIST, one pack_*.c with its struct linear_format, and a kernel
 * per level where it shall be fast; the portable kernel runs from `decode` alone.
 *
 * Float order, the same at every level (C6):
 *   F32, F16, BF16 widened   acc = fma(w[k], x[k], acc), k upwards
 *   Q8_32 types, per block   acc = fma((float)isum, d * dx, acc); with minima then
 *                            acc = fma((float)sum(x), m * dx, acc)
 *   Q8_256 types, per block  acc = fma((float)isum, d * dx, acc); with minima then
 *                            acc = fma(-(float)imin, dmin * dx, acc)
 * where isum = sum of w * x (times the whole-number scale of each 16), imin = sum of min * sum(x), both
 * exact in int32.
 *
 * Ownership, threads: as in linear.h.  Source: ours; block formats are GGUF's.
 */
#ifndef CPU_LINEAR_KERNELS_H
#define CPU_LINEAR_KERNELS_H

#include "linear.h"

#include <string.h>

#define LINEAR_INLINE static inline __attribute__((always_inline))

/* Loops over registers: they must vanish. In sanitizer builds they need not, and instrumenting what they
 * unroll to takes minutes. */
#if defined(LINEAR_SMALL)
#define LINEAR_UNROLL
#elif defined(__clang__)
#define LINEAR_UNROLL _Pragma("clang loop unroll(full)")
#else
#define LINEAR_UNROLL _Pragma("GCC unroll 32")
#endif

/* ---- types ----------------------------------------------------------------------------------- */

/* dtype, name of its struct linear_format */
#define LINEAR_TYPE_LIST(X)                                                                        \
    X(F32, f32)                                                                                    \
    X(F16, f16)                                                                                    \
    X(BF16, bf16)                                                                                  \
    X(Q8_0, q8_0)                                                                                  \
    X(Q4_0, q4_0)                                                                                  \
    X(Q4_1, q4_1)                                                                                  \
    X(Q5_0, q5_0)                                                                                  \
    X(Q5_1, q5_1)                                                                                  \
    X(IQ4_NL, iq4_nl)                                                                              \
    X(MXFP4, mxfp4)                                                                                \
    X(Q2_K, q2_k)                                                                                  \
    X(Q3_K, q3_k)                                                                                  \
    X(IQ4_XS, iq4_xs)                                                                              \
    X(Q4_K, q4_k)                                                                                  \
    X(Q5_K, q5_k)                                                                                  \
    X(Q6_K, q6_k)

enum linear_type {
#define LINEAR_X(dtype, name) LINEAR_TYPE_##dtype,
    LINEAR_TYPE_LIST(LINEAR_X)
#undef LINEAR_X
        LINEAR_TYPES
};

/* One row's part of one block, as whole numbers. Types of 256: value k is d * scale[k / 16] * w[k], less
 * dmin * min[k / 16]. Types of 32: d * w[k], plus dmin. dmin and min with has_min only. */
struct linear_block {
    float d, dmin;
    int16_t scale[16], min[16];
    int8_t w[256];
};

/* How a type is packed. Plain types have `expand`, block types `decode`. */
struct linear_format {
    uint32_t dtype;
    uint32_t block_elems; /* 1 for plain types, 32 or 256 */
    uint32_t chunk_elems; /* a multiple of block_elems */
    uint32_t chunk_bytes; /* of 16 rows, a multiple of LINEAR_ALIGN */
    bool has_min;         /* see struct linear_block */

    /* Packs columns [0, n) of one chunk, n <= chunk_elems, into dst, which is zero. src: the chunk's
     * first block of the panel's first row. n_rows: 1..16. */
    void (*pack)(uint8_t *dst, const uint8_t *src, size_t src_stride, size_t n_rows, size_t n);
    /* dst[0..n) of one lane of a chunk. */
    void (*expand)(float *dst, const uint8_t *chunk, size_t lane, size_t n);
    /* Block block_i of one lane of a chunk. */
    void (*decode)(struct linear_block *ret, const uint8_t *chunk, size_t block_i, size_t lane);
};

#define LINEAR_X(dtype, name) extern const struct linear_format linear_format_##name;
LINEAR_TYPE_LIST(LINEAR_X)
#undef LINEAR_X

/* Index of a dtype, or LINEAR_TYPES. */
enum linear_type linear_type_of(uint32_t dtype);
const struct linear_format *linear_format_of(enum linear_type type);

LINEAR_INLINE size_t linear_panel_bytes(const struct linear_format *f, size_t cols)
{
    return ((cols + f->chunk_elems - 1) / f->chunk_elems) * f->chunk_bytes;
}

/* ---- prepared activations: offsets of the parts of a row -------------------------------------- */

struct linear_q8_32 {
    size_t d;      /* f32 per 32 */
    size_t negsum; /* i32 per 32: minus the sum of the int8 */
    size_t bytes;
};

LINEAR_INLINE struct linear_q8_32 linear_q8_32_of(size_t cols)
{
    struct linear_q8_32 o;
    o.d = pl_align_up(cols, LINEAR_ALIGN);
    o.negsum = o.d + cols / 32 * 4;
    o.bytes = pl_align_up(o.negsum + cols / 32 * 4, LINEAR_ALIGN);
    return o;
}

struct linear_q8_256 {
    size_t negsum16; /* i32 per 16: minus the sum of the int8 */
    size_t sum16;    /* i16 per 16 */
    size_t sum32;    /* i16 per 32 */
    size_t d;        /* f32 per 256 */
    size_t bytes;
};

LINEAR_INLINE struct linear_q8_256 linear_q8_256_of(size_t cols)
{
    struct linear_q8_256 o;
    size_t n = cols / 256;
    o.negsum16 = cols;
    o.sum16 = o.negsum16 + n * 64;
    o.sum32 = o.sum16 + n * 32;
    o.d = o.sum32 + n * 16;
    o.bytes = pl_align_up(o.d + n * 4, LINEAR_ALIGN);
    return o;
}

/* ---- kernels --------------------------------------------------------------------------------- */

#define LINEAR_TILE_PANELS 2
#define LINEAR_TILE_ROWS   12
#define LINEAR_TILE_COLS   ((size_t)LINEAR_TILE_PANELS * LINEAR_PANEL_ROWS)

/* One tile: n_panels adjacent panels times n_rows rows. */
struct linear_tile {
    const uint8_t *w; /* first panel */
    const uint8_t *x; /* first prepared row */
    size_t panel_bytes, x_bytes;
    size_t cols;
    size_t n_panels, n_rows; /* 1..LINEAR_TILE_PANELS, 1..rows_max of the kernel */
};

/* out: [n_rows][LINEAR_TILE_COLS], LINEAR_ALIGN aligned. */
typedef void linear_tile_fn(float *out, const struct linear_tile *tile);

struct linear_kernel {
    linear_tile_fn *tile; /* NULL: this level takes the portable one */
    enum linear_act_format act;
    size_t rows_max;      /* 1..LINEAR_TILE_ROWS */
    size_t stream_panels; /* panels of a tile of few rows: 1, or 2 where one chain of fma is slower
                           * than memory */
};

/* dst: one prepared row. */
typedef void linear_prepare_fn(uint8_t *dst, const float *x, size_t cols);

/* Writes a finished tile. y1 is the second weight's, NULL without GLU. */
typedef void linear_finish_fn(const struct linear_task *task, float *y0, float *y1, size_t panel,
                              size_t n_panels, size_t row, size_t n_rows);

struct linear_isa {
    enum linear_level level;
    linear_finish_fn *finish;
    linear_prepare_fn *prepare[LINEAR_ACT_FORMATS];
    struct linear_kernel kernels[LINEAR_TYPES];
};

extern const struct linear_isa linear_isa_scalar;
#if defined(__x86_64__)
extern const struct linear_isa linear_isa_avx2, linear_isa_avx512, linear_isa_avx512_bf16;
#endif

/* ---- small conversions ----------------------------------------------------------------------- */

LINEAR_INLINE uint16_t linear_load_u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

LINEAR_INLINE uint32_t linear_load_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

LINEAR_INLINE float linear_f32_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Exact; a signalling NaN becomes quiet, as the vector instructions have it. */
LINEAR_INLINE float linear_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exp = (h >> 10) & 31u, man = h & 0x3ffu;
    if (exp == 31)
        return linear_f32_of_bits(sign | 0x7f800000u | (man << 13) | (man != 0 ? 0x400000u : 0));
    if (exp == 0) {
        float f = (float)man * 0x1p-24f;
        return sign != 0 ? -f : f;
    }
    return linear_f32_of_bits(sign | ((exp + 112) << 23) | (man << 13));
}

LINEAR_INLINE float linear_bf16_to_f32(uint16_t h)
{
    return linear_f32_of_bits((uint32_t)h << 16);
}

#endif
