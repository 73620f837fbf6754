/*
 * linear_avx512_q32.c - AVX-512 VNNI tiles for types with one scale per 32 values: Q8_0, Q4_0, Q4_1,
 * Q5_0, Q5_1, IQ4_NL, MXFP4.
 *
 * vpdpbusd multiplies unsigned weights by signed activations; where the stored weight (q + 128, q + 8,
 * codebook + 128, ...) is too large, the offset is taken back by starting each block's sum at
 * -offset * sum(x). Sums are exact, so their order is free; the float part per block and lane is
 * acc = fma((float)isum, d * dx, acc), and with minima acc = fma((float)sum(x), m * dx, acc).
 */
#include "linear_avx512.h"
#include "pack_bits.h"

enum kind { KIND_Q8_0, KIND_Q4_0, KIND_Q4_1, KIND_Q5_0, KIND_Q5_1, KIND_IQ4_NL, KIND_MXFP4 };

struct geometry {
    size_t quants, block; /* bytes: offset of block 0's quants, a block's quants */
    size_t blocks;        /* of a chunk */
    unsigned offset_log2; /* the stored value is this power of two too large; 0: exact */
    bool plane;           /* a block begins with a line of top bits */
    size_t mins;          /* offset of the minima; 0: none */
};

LINEAR_INLINE struct geometry geometry_of(const enum kind kind)
{
    switch (kind) {
    case KIND_Q8_0: return (struct geometry){64, 512, 2, 7, false, 0};
    case KIND_Q4_0: return (struct geometry){64, 256, 2, 3, false, 0};
    case KIND_Q4_1: return (struct geometry){128, 256, 2, 0, false, 64};
    case KIND_Q5_0: return (struct geometry){64, 320, 2, 4, true, 0};
    case KIND_Q5_1: return (struct geometry){128, 320, 2, 0, true, 64};
    case KIND_IQ4_NL: return (struct geometry){64, 256, 2, 7, false, 0};
    case KIND_MXFP4: break;
    }
    return (struct geometry){64, 256, 4, 4, false, 0};
}

LINEAR_INLINE size_t chunk_bytes_of(const struct geometry geo)
{
    return geo.quants + geo.blocks * geo.block;
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

/* The unsigned weights of step s: nibbles of line v, the low ones of steps 0..3, the high ones of
 * steps 4..7. */
LINEAR_INLINE __m512i weights_of(__m512i v, __m512i plane, const size_t s, const enum kind kind)
{
    __m512i w = s < 4 ? low_nibbles(v) : high_nibbles(v);
    if (geometry_of(kind).plane)
        return with_plane(w, plane, s, 4);
    if (kind == KIND_IQ4_NL)
        return from_codebook(w, pack_iq4_values, 128);
    if (kind == KIND_MXFP4)
        return from_codebook(w, pack_e2m1_values, 16);
    return w;
}

LINEAR_INLINE void add_block(__m512i isum[6][2], const uint8_t *q, size_t panel_bytes,
                             const uint8_t *x, size_t x_bytes, const size_t n_panels,
                             const size_t n_rows, const enum kind kind)
{
    const bool planes = geometry_of(kind).plane;
    __m512i w[2], v[2], plane[2];
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
    for (size_t p = 0; p < n_panels; p++)
        plane[p] = planes ? load_first(q + p * panel_bytes, n_rows) : _mm512_setzero_si512();
    q += planes ? 64 : 0;
    LINEAR_UNROLL
    for (size_t g = 0; g < 4; g++) {
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++) {
            v[p] = load_first(q + p * panel_bytes + 64 * g, n_rows);
            w[p] = weights_of(v[p], plane[p], g, kind);
        }
        add_step(isum, w, x + 4 * g, x_bytes, n_panels, n_rows);
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            w[p] = weights_of(v[p], plane[p], g + 4, kind);
        add_step(isum, w, x + 16 + 4 * g, x_bytes, n_panels, n_rows);
    }
}

/* Half of 2^(e - 127), of 16 exponents; exact down to e = 0. */
LINEAR_INLINE __m512 load_half_e8m0(const uint8_t *p)
{
    __m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    __m512i tiny = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
    __mmask16 is_tiny = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, is_tiny, tiny));
}

/* The scales of block i of a chunk. */
LINEAR_INLINE __m512 load_scale(const uint8_t *chunk, const size_t i, const enum kind kind)
{
    return kind == KIND_MXFP4 ? load_half_e8m0(chunk + 16 * i) : load_half(chunk + 32 * i);
}

/* Where the reading of a tile stands: the rows' parts of one block. */
struct cursor {
    const uint8_t *x, *dx, *negsum; /* of the first row; others x_bytes further each */
    size_t panel_bytes, x_bytes;
};

/* acc += sum(x) * m * dx: minus the negative sum, so that the bits are those of the portable code. */
LINEAR_INLINE void add_mins(__m512 acc[6][2], const uint8_t *m, const struct cursor *c,
                            const size_t n_panels, const size_t n_rows)
{
    __m512 mins[2];
    LINEAR_UNROLL
    for (size_t p = 0; p < n_panels; p++)
        mins[p] = load_half(m + p * c->panel_bytes);
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        __m512 scale = splat_float(c->dx + r * c->x_bytes);
        __m512 negsum = _mm512_cvtepi32_ps(splat_word(c->negsum + r * c->x_bytes));
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            acc[r][p] = _mm512_fnmadd_ps(negsum, _mm512_mul_ps(mins[p], scale), acc[r][p]);
    }
}

/* Block i of a chunk; moves the cursor on. */
LINEAR_INLINE void add_scaled_block(__m512 acc[6][2], const uint8_t *chunk, struct cursor *c,
                                    const size_t i, const size_t n_panels, const size_t n_rows,
                                    const enum kind kind)
{
    const struct geometry geo = geometry_of(kind);
    __m512i isum[6][2];
    __m512 dw[2];
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        isum[r][0] = isum[r][1] =
            geo.offset_log2 > 0
                ? _mm512_slli_epi32(splat_word(c->negsum + r * c->x_bytes), geo.offset_log2)
                : _mm512_setzero_si512();
    add_block(isum, chunk + geo.quants + i * geo.block, c->panel_bytes, c->x, c->x_bytes, n_panels,
              n_rows, kind);
    LINEAR_UNROLL
    for (size_t p = 0; p < n_panels; p++)
        dw[p] = load_scale(chunk + p * c->panel_bytes, i, kind);
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        __m512 scale = splat_float(c->dx + r * c->x_bytes);
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            acc[r][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(isum[r][p]), _mm512_mul_ps(dw[p], scale),
                                        acc[r][p]);
    }
    if (geo.mins > 0)
        add_mins(acc, chunk + geo.mins + 32 * i, c, n_panels, n_rows);
    c->x += 32;
    c->dx += 4;
    c->negsum += 4;
}

LINEAR_INLINE void tile_q32(float *out, const struct linear_tile *t, const size_t n_panels,
                            const size_t n_rows, const enum kind kind)
{
    const struct geometry geo = geometry_of(kind);
    const struct linear_q8_32 at = linear_q8_32_of(t->cols);
    size_t left = t->cols / 32; /* blocks */
    struct cursor c = {t->x, t->x + at.d, t->x + at.negsum, t->panel_bytes, t->x_bytes};
    __m512 acc[6][2];
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        acc[r][0] = acc[r][1] = _mm512_setzero_ps();

    const uint8_t *chunk = t->w;
    for (; left >= geo.blocks; left -= geo.blocks, chunk += chunk_bytes_of(geo)) {
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            for (size_t i = 0; i < geo.quants; i += 64)
                prefetch_ahead(chunk + p * c.panel_bytes + i, n_rows);
        LINEAR_UNROLL
        for (size_t i = 0; i < geo.blocks; i++)
            add_scaled_block(acc, chunk, &c, i, n_panels, n_rows, kind);
    }
    for (size_t i = 0; i < left; i++)
        add_scaled_block(acc, chunk, &c, i, n_panels, n_rows, kind);
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        LINEAR_UNROLL
    for (size_t p = 0; p < n_panels; p++)
        _mm512_store_ps(out + r * LINEAR_TILE_COLS + p * LINEAR_PANEL_ROWS, acc[r][p]);
}

TILES_6(linear_avx512_q8_0, tile_q32, KIND_Q8_0)
TILES_6(linear_avx512_q4_0, tile_q32, KIND_Q4_0)
TILES_6(linear_avx512_q4_1, tile_q32, KIND_Q4_1)
TILES_6(linear_avx512_q5_0, tile_q32, KIND_Q5_0)
TILES_6(linear_avx512_q5_1, tile_q32, KIND_Q5_1)
TILES_6(linear_avx512_iq4_nl, tile_q32, KIND_IQ4_NL)
TILES_6(linear_avx512_mxfp4, tile_q32, KIND_MXFP4)
