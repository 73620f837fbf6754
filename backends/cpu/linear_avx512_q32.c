/*
 * linear_avx512_q32.c - AVX-512 VNNI tiles for types with one scale per 32 values: Q8_0, Q4_0.
 *
 * vpdpbusd multiplies unsigned weights by signed activations; the offset of the weights (q + 128,
 * q + 8) is taken back by starting each block's sum at -offset * sum(x). Sums are exact, so their
 * order is free; the float part per block and lane is acc = fma((float)isum, d * dx, acc).
 */
#include "linear_avx512.h"

enum kind { KIND_Q8_0, KIND_Q4_0 };

struct geometry {
    size_t quants, block, chunk; /* bytes: offset of block 0's quants, a block's quants, a chunk */
    unsigned offset_log2;        /* the stored value is this power of two too large */
};

LINEAR_INLINE struct geometry geometry_of(const enum kind kind)
{
    return kind == KIND_Q8_0 ? (struct geometry){64, 512, 1088, 7}
                             : (struct geometry){64, 256, 576, 3};
}

/* Adds the four columns at word i of the rows of x. */
LINEAR_INLINE void add_step(__m512i isum[6][2], const __m512i w[2], const uint8_t *x,
                            size_t x_bytes, const size_t n_panels, const size_t n_rows)
{
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        __m512i word = splat_word(x + r * x_bytes);
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            isum[r][p] = _mm512_dpbusd_epi32(isum[r][p], w[p], word);
    }
}

LINEAR_INLINE void add_block(__m512i isum[6][2], const uint8_t *q, size_t panel_bytes,
                             const uint8_t *x, size_t x_bytes, const size_t n_panels,
                             const size_t n_rows, const enum kind kind)
{
    __m512i w[2], v[2];
    if (kind == KIND_Q8_0) {
        LINEAR_UNROLL
        for (size_t g = 0; g < 8; g++) {
            LINEAR_UNROLL
            for (size_t p = 0; p < n_panels; p++)
                w[p] = load_first(q + p * panel_bytes + 64 * g, n_rows);
            add_step(isum, w, x + 4 * g, x_bytes, n_panels, n_rows);
        }
        return;
    }
    LINEAR_UNROLL
    for (size_t g = 0; g < 4; g++) {
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++) {
            v[p] = load_first(q + p * panel_bytes + 64 * g, n_rows);
            w[p] = low_nibbles(v[p]);
        }
        add_step(isum, w, x + 4 * g, x_bytes, n_panels, n_rows);
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            w[p] = high_nibbles(v[p]);
        add_step(isum, w, x + 16 + 4 * g, x_bytes, n_panels, n_rows);
    }
}

/* Where the reading of a tile stands: the rows' parts of one block. */
struct cursor {
    const uint8_t *x, *dx, *negsum; /* of the first row; others x_bytes further each */
    size_t panel_bytes, x_bytes;
};

/* Block `half` of a chunk; moves the cursor on. */
LINEAR_INLINE void add_scaled_block(__m512 acc[6][2], const uint8_t *chunk, struct cursor *c,
                                    const size_t half, const size_t n_panels, const size_t n_rows,
                                    const enum kind kind)
{
    const struct geometry geo = geometry_of(kind);
    const uint8_t *q = chunk + geo.quants + half * geo.block, *d = chunk + half * 32;
    __m512i isum[6][2];
    __m512 dw[2];
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        isum[r][0] = isum[r][1] =
            _mm512_slli_epi32(splat_word(c->negsum + r * c->x_bytes), geo.offset_log2);
    add_block(isum, q, c->panel_bytes, c->x, c->x_bytes, n_panels, n_rows, kind);
    LINEAR_UNROLL
    for (size_t p = 0; p < n_panels; p++)
        dw[p] = load_half(d + p * c->panel_bytes);
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        __m512 scale = splat_float(c->dx + r * c->x_bytes);
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            acc[r][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum[r][p]), _mm512_mul_ps(dw[p], scale),
                                        acc[r][p]);
    }
    c->x += 32;
    c->dx += 4;
    c->negsum += 4;
}

LINEAR_INLINE void tile_q32(float *out, const struct linear_tile *t, const size_t n_panels,
                            const size_t n_rows, const enum kind kind)
{
    const struct geometry geo = geometry_of(kind);
    const struct linear_q8_32 at = linear_q8_32_of(t->cols);
    const size_t n_blocks = t->cols / 32;
    struct cursor c = {t->x, t->x + at.d, t->x + at.negsum, t->panel_bytes, t->x_bytes};
    __m512 acc[6][2];
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        acc[r][0] = acc[r][1] = _mm512_setzero_ps();

    const uint8_t *chunk = t->w;
    for (size_t b = 0; b + 2 <= n_blocks; b += 2, chunk += geo.chunk) {
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            prefetch_ahead(chunk + p * c.panel_bytes, n_rows);
        add_scaled_block(acc, chunk, &c, 0, n_panels, n_rows, kind);
        add_scaled_block(acc, chunk, &c, 1, n_panels, n_rows, kind);
    }
    if (n_blocks % 2 != 0)
        add_scaled_block(acc, chunk, &c, 0, n_panels, n_rows, kind);
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        LINEAR_UNROLL
    for (size_t p = 0; p < n_panels; p++)
        _mm512_store_ps(out + r * LINEAR_TILE_COLS + p * LINEAR_PANEL_ROWS, acc[r][p]);
}

TILES_6(linear_avx512_q8_0, tile_q32, KIND_Q8_0)
TILES_6(linear_avx512_q4_0, tile_q32, KIND_Q4_0)
