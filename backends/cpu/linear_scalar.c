/*
 * linear_scalar.c - the portable level: every type from its `expand` or `decode`, one lane at a time.
 *
 * It is what other levels are compared to bit by bit, and what they fall back on for a type that they
 * have no kernel for. fmaf() is fused by definition, in software where the processor can't.
 */
#include "linear_body.h"

/* acc = fma(w, x, acc) over one chunk of a plain type. */
static void plain_tile(float *out, const struct linear_tile *t, const struct linear_format *f)
{
    for (size_t p = 0; p < t->n_panels; p++) {
        for (size_t lane = 0; lane < LINEAR_PANEL_ROWS; lane++) {
            float acc[LINEAR_TILE_ROWS] = {0};
            const uint8_t *chunk = t->w + p * t->panel_bytes;
            for (size_t k = 0; k < t->cols; k += f->chunk_elems, chunk += f->chunk_bytes) {
                float w[2] = {0};
                size_t n = (size_t)PL_MIN(t->cols - k, f->chunk_elems);
                f->expand(w, chunk, lane, n);
                for (size_t r = 0; r < t->n_rows; r++) {
                    const float *x = (const float *)(const void *)(t->x + r * t->x_bytes);
                    for (size_t i = 0; i < n; i++)
                        acc[r] = fmaf(w[i], x[k + i], acc[r]);
                }
            }
            for (size_t r = 0; r < t->n_rows; r++)
                out[r * LINEAR_TILE_COLS + p * LINEAR_PANEL_ROWS + lane] = acc[r];
        }
    }
}

static float read_f32(const uint8_t *p)
{
    float f;
    memcpy(&f, p, sizeof f);
    return f;
}

static int32_t dot(const int8_t *w, const uint8_t *x, size_t n)
{
    int32_t sum = 0;
    for (size_t k = 0; k < n; k++)
        sum += w[k] * (int8_t)x[k];
    return sum;
}

/* One block of 32 of one row of x. */
static float add_block32(float acc, const struct linear_block *w, const uint8_t *x, size_t cols,
                         size_t block_i, bool has_min)
{
    struct linear_q8_32 at = linear_q8_32_of(cols);
    float dx = read_f32(x + at.d + 4 * block_i);
    acc = fmaf((float)dot(w->w, x + 32 * block_i, 32), w->d * dx, acc);
    if (!has_min)
        return acc;
    int32_t negsum = (int32_t)linear_load_u32(x + at.negsum + 4 * block_i);
    return fmaf(-(float)negsum, w->dmin * dx, acc);
}

/* One block of 256 of one row of x. */
static float add_block256(float acc, const struct linear_block *w, const uint8_t *x, size_t cols,
                          size_t block_i, bool has_min)
{
    struct linear_q8_256 at = linear_q8_256_of(cols);
    int32_t isum = 0, imin = 0;
    for (size_t j = 0; j < 16; j++) {
        isum += w->scale[j] * dot(w->w + 16 * j, x + 256 * block_i + 16 * j, 16);
        if (has_min)
            imin += w->min[j] * (int16_t)linear_load_u16(x + at.sum16 + 32 * block_i + 2 * j);
    }
    float dx = read_f32(x + at.d + 4 * block_i);
    acc = fmaf((float)isum, w->d * dx, acc);
    return has_min ? fmaf(-(float)imin, w->dmin * dx, acc) : acc;
}

static void block_tile(float *out, const struct linear_tile *t, const struct linear_format *f)
{
    size_t per_chunk = f->chunk_elems / f->block_elems;
    for (size_t p = 0; p < t->n_panels; p++) {
        for (size_t lane = 0; lane < LINEAR_PANEL_ROWS; lane++) {
            float acc[LINEAR_TILE_ROWS] = {0};
            const uint8_t *panel = t->w + p * t->panel_bytes;
            for (size_t b = 0; b < t->cols / f->block_elems; b++) {
                struct linear_block w;
                f->decode(&w, panel + b / per_chunk * f->chunk_bytes, b % per_chunk, lane);
                for (size_t r = 0; r < t->n_rows; r++) {
                    const uint8_t *x = t->x + r * t->x_bytes;
                    acc[r] = f->block_elems == 32
                                 ? add_block32(acc[r], &w, x, t->cols, b, f->has_min)
                                 : add_block256(acc[r], &w, x, t->cols, b, f->has_min);
                }
            }
            for (size_t r = 0; r < t->n_rows; r++)
                out[r * LINEAR_TILE_COLS + p * LINEAR_PANEL_ROWS + lane] = acc[r];
        }
    }
}

#define SCALAR_KERNELS(X)                                                                          \
    X(F32, f32, plain_tile, LINEAR_ACT_F32)                                                        \
    X(F16, f16, plain_tile, LINEAR_ACT_F32)                                                        \
    X(BF16, bf16, plain_tile, LINEAR_ACT_F32)                                                      \
    X(Q8_0, q8_0, block_tile, LINEAR_ACT_Q8_32)                                                    \
    X(Q4_0, q4_0, block_tile, LINEAR_ACT_Q8_32)                                                    \
    X(Q4_1, q4_1, block_tile, LINEAR_ACT_Q8_32)                                                    \
    X(Q5_0, q5_0, block_tile, LINEAR_ACT_Q8_32)                                                    \
    X(Q5_1, q5_1, block_tile, LINEAR_ACT_Q8_32)                                                    \
    X(IQ4_NL, iq4_nl, block_tile, LINEAR_ACT_Q8_32)                                                \
    X(MXFP4, mxfp4, block_tile, LINEAR_ACT_Q8_32)                                                  \
    X(Q2_K, q2_k, block_tile, LINEAR_ACT_Q8_256)                                                   \
    X(Q3_K, q3_k, block_tile, LINEAR_ACT_Q8_256)                                                   \
    X(IQ4_XS, iq4_xs, block_tile, LINEAR_ACT_Q8_256)                                               \
    X(Q4_K, q4_k, block_tile, LINEAR_ACT_Q8_256)                                                   \
    X(Q5_K, q5_k, block_tile, LINEAR_ACT_Q8_256)                                                   \
    X(Q6_K, q6_k, block_tile, LINEAR_ACT_Q8_256)

#define KERNEL(dtype, name, generic, act)                                                          \
    static void tile_##name(float *out, const struct linear_tile *tile)                            \
    {                                                                                              \
        generic(out, tile, &linear_format_##name);                                                 \
    }
SCALAR_KERNELS(KERNEL)

#define ROW(dtype, name, generic, act)                                                             \
    [LINEAR_TYPE_##dtype] = {tile_##name, act, LINEAR_TILE_ROWS, 1},

const struct linear_isa linear_isa_scalar = {
    .level = LINEAR_SCALAR,
    .finish = finish,
    .prepare = LINEAR_BODY_PREPARE,
    .kernels = {SCALAR_KERNELS(ROW)},
};
