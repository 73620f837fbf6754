/*
 * linear_avx512_float.c - AVX-512 tiles for F32, F16 and BF16 weights against F32 activations.
 *
 * One chain per output: acc = fma(w[k], x[k], acc), k upwards. 24 chains of a full tile hide its
 * latency; a decode tile waits for memory anyway.
 */
#include "linear_avx512.h"

enum kind { KIND_F32, KIND_F16, KIND_BF16 };

/* Column k0 + i of a chunk of two. */
LINEAR_INLINE __m512 load_column(const uint8_t *chunk, const enum kind kind, const size_t i)
{
    if (kind == KIND_F16)
        return load_half(chunk + 32 * i);
    if (kind == KIND_BF16) {
        __m512i v = load_vector(chunk);
        return _mm512_castsi512_ps(
            i == 0 ? _mm512_slli_epi32(v, 16)
                   : _mm512_and_si512(v, _mm512_set1_epi32((int32_t)0xffff0000)));
    }
    return _mm512_castsi512_ps(load_vector(chunk + 64 * i));
}

LINEAR_INLINE void add_column(__m512 acc[12][2], const struct linear_tile *t, const uint8_t *w,
                              size_t k, const size_t i, const size_t n_panels, const size_t n_rows,
                              const enum kind kind)
{
    __m512 v[2];
    LINEAR_UNROLL
    for (size_t p = 0; p < n_panels; p++)
        v[p] = load_column(w + p * t->panel_bytes, kind, i);
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        __m512 x = splat_float(t->x + r * t->x_bytes + 4 * (k + i));
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            acc[r][p] = _mm512_fmadd_ps(v[p], x, acc[r][p]);
    }
}

LINEAR_INLINE void tile_float(float *out, const struct linear_tile *t, const size_t n_panels,
                              const size_t n_rows, const enum kind kind)
{
    const size_t pair_bytes = kind == KIND_F32 ? 128 : 64;
    __m512 acc[12][2];
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        acc[r][0] = acc[r][1] = _mm512_setzero_ps();
    const uint8_t *w = t->w;
    size_t k = 0;
    for (; k + 2 <= t->cols; k += 2, w += pair_bytes) {
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++) {
            prefetch_ahead(w + p * t->panel_bytes, n_rows);
            if (pair_bytes > 64)
                prefetch_ahead(w + p * t->panel_bytes + 64, n_rows);
        }
        add_column(acc, t, w, k, 0, n_panels, n_rows, kind);
        add_column(acc, t, w, k, 1, n_panels, n_rows, kind);
    }
    if (k < t->cols)
        add_column(acc, t, w, k, 0, n_panels, n_rows, kind);
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        LINEAR_UNROLL
    for (size_t p = 0; p < n_panels; p++)
        _mm512_store_ps(out + r * LINEAR_TILE_COLS + p * LINEAR_PANEL_ROWS, acc[r][p]);
}

TILES_12(linear_avx512_f32, tile_float, KIND_F32)
TILES_12(linear_avx512_f16, tile_float, KIND_F16)
TILES_12(linear_avx512_bf16, tile_float, KIND_BF16)
