/*
 * linear_avx2_float.c - AVX2 tiles for F32, F16 and BF16 weights: both halves of a panel at once, one
 * chain acc = fma(w[k], x[k], acc) per output.
 */
#include "linear_avx2.h"

enum kind { KIND_F32, KIND_F16, KIND_BF16 };

/* Lanes 8h.. of column i of a chunk of two (F32: of two chunks). */
LINEAR_INLINE __m256 load_column(const uint8_t *chunk, const enum kind kind, const size_t i,
                                 const size_t h)
{
    if (kind == KIND_F16)
        return load_half(chunk + 32 * i + 16 * h);
    if (kind == KIND_F32)
        return _mm256_castsi256_ps(load_lanes(chunk + 64 * i + 32 * h));
    __m256i v = load_lanes(chunk + 32 * h);
    return _mm256_castsi256_ps(i == 0
                                   ? _mm256_slli_epi32(v, 16)
                                   : _mm256_and_si256(v, _mm256_set1_epi32((int32_t)0xffff0000)));
}

LINEAR_INLINE void add_column(__m256 acc[LINEAR_AVX2_ROWS][2], const struct linear_tile *t,
                              const uint8_t *w, size_t k, const size_t i, const size_t n_rows,
                              const enum kind kind)
{
    __m256 low = load_column(w, kind, i, 0), high = load_column(w, kind, i, 1);
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        __m256 x = splat_float(t->x + r * t->x_bytes + 4 * (k + i));
        acc[r][0] = _mm256_fmadd_ps(low, x, acc[r][0]);
        acc[r][1] = _mm256_fmadd_ps(high, x, acc[r][1]);
    }
}

LINEAR_INLINE void panel_float(float *out, const struct linear_tile *t, const size_t n_rows,
                               const enum kind kind)
{
    const size_t pair_bytes = kind == KIND_F32 ? 128 : 64;
    __m256 acc[LINEAR_AVX2_ROWS][2];
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        acc[r][0] = acc[r][1] = _mm256_setzero_ps();
    const uint8_t *w = t->w;
    size_t k = 0;
    for (; k + 2 <= t->cols; k += 2, w += pair_bytes) {
        prefetch_ahead(w);
        if (pair_bytes > 64)
            prefetch_ahead(w + 64);
        add_column(acc, t, w, k, 0, n_rows, kind);
        add_column(acc, t, w, k, 1, n_rows, kind);
    }
    if (k < t->cols)
        add_column(acc, t, w, k, 0, n_rows, kind);
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        _mm256_storeu_ps(out + r * LINEAR_TILE_COLS, acc[r][0]);
        _mm256_storeu_ps(out + r * LINEAR_TILE_COLS + 8, acc[r][1]);
    }
}

/* Both halves were done with the first. */
LINEAR_INLINE void tile_float(float *out, const struct linear_tile *t, const size_t half,
                              const size_t n_rows, const enum kind kind)
{
    if (half == 0)
        panel_float(out, t, n_rows, kind);
}

TILES_4(linear_avx2_f32, tile_float, KIND_F32)
TILES_4(linear_avx2_f16, tile_float, KIND_F16)
TILES_4(linear_avx2_bf16, tile_float, KIND_BF16)
