/*
 * linear_avx512_k.h - what the AVX-512 tiles of types with blocks of 256 share.
 *
 * A run of 16 or 32 columns that shares a scale is summed by vpdpbusd, multiplied by its scale and
 * added to the block's total, all in int32 (|total| < 2^28); float comes in once per block:
 * acc = fma((float)total, d * dx, acc), and for minima acc = fma(-(float)imin, dmin * dx, acc).
 * The accumulators of the float part wait in `out`, which stays in the first-level cache.
 */
#ifndef CPU_LINEAR_AVX512_K_H
#define CPU_LINEAR_AVX512_K_H

#include "linear_avx512.h"

/* Sums by [row][panel]. */
struct sums {
    __m512i v[6][2];
};

LINEAR_INLINE void clear(struct sums *s, const size_t n_rows)
{
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        s->v[r][0] = s->v[r][1] = _mm512_setzero_si512();
}

/* total += sum * scale */
LINEAR_INLINE void add_scaled(struct sums *total, const struct sums *sum, const __m512i scale[2],
                              const size_t n_panels, const size_t n_rows)
{
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        LINEAR_UNROLL
    for (size_t p = 0; p < n_panels; p++)
        total->v[r][p] =
            _mm512_add_epi32(total->v[r][p], _mm512_mullo_epi32(sum->v[r][p], scale[p]));
}

LINEAR_INLINE void add_step(struct sums *sum, const __m512i w[2], const uint8_t *x, size_t x_bytes,
                            const size_t n_panels, const size_t n_rows)
{
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        __m512i word = splat_word(x + r * x_bytes);
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            sum->v[r][p] = _mm512_dpbusd_epi32(sum->v[r][p], w[p], word);
    }
}

LINEAR_INLINE __m128i load_16(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* imin += the two whole numbers of each lane times those of a word of every row of x: two runs per
 * vpdpwssd. */
LINEAR_INLINE void add_pairs(struct sums *imin, const __m512i pairs[2], const uint8_t *sums,
                             size_t x_bytes, const size_t n_panels, const size_t n_rows)
{
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        __m512i word = splat_word(sums + r * x_bytes);
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            imin->v[r][p] = _mm512_dpwssd_epi32(imin->v[r][p], pairs[p], word);
    }
}

/* acc = fma(total * sign, d * dx, acc) */
LINEAR_INLINE void add_float(float *out, const struct sums *total, const uint8_t *d,
                             const uint8_t *dx, const bool negative, const struct linear_tile *t,
                             const size_t n_panels, const size_t n_rows)
{
    LINEAR_UNROLL
    for (size_t p = 0; p < n_panels; p++) {
        __m512 dw = load_half(d + p * t->panel_bytes);
        LINEAR_UNROLL
        for (size_t r = 0; r < n_rows; r++) {
            float *o = out + r * LINEAR_TILE_COLS + p * LINEAR_PANEL_ROWS;
            __m512 scale = _mm512_mul_ps(dw, splat_float(dx + r * t->x_bytes));
            __m512 whole = _mm512_cvtepi32_ps(total->v[r][p]), acc = _mm512_load_ps(o);
            _mm512_store_ps(o, negative ? _mm512_fnmadd_ps(whole, scale, acc)
                                        : _mm512_fmadd_ps(whole, scale, acc));
        }
    }
}

#endif
