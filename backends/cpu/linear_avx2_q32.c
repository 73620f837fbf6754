/*
 * linear_avx2_q32.c - AVX2 tiles for types with one scale per 32 values: Q8_0, Q4_0.
 */
#include "linear_avx2.h"

enum kind { KIND_Q8_0, KIND_Q4_0 };

/* The whole-number sums of one block, exact. x: the block of the first row. */
LINEAR_INLINE void sum_q8_0(__m256i sum[LINEAR_AVX2_ROWS], const uint8_t *q, const uint8_t *x,
                            size_t x_bytes, const size_t n_rows)
{
    LINEAR_UNROLL
    for (size_t g = 0; g < 8; g++) {
        __m256i w = _mm256_xor_si256(load_lanes(q + 64 * g), _mm256_set1_epi8((char)0x80));
        prefetch_ahead(q + 64 * g);
        LINEAR_UNROLL
        for (size_t r = 0; r < n_rows; r++)
            sum[r] = dot_s8(sum[r], w, splat_word(x + r * x_bytes + 4 * g));
    }
}

LINEAR_INLINE void sum_q4_0(__m256i sum[LINEAR_AVX2_ROWS], const uint8_t *q, const uint8_t *x,
                            size_t x_bytes, const size_t n_rows)
{
    const __m256i mask = _mm256_set1_epi8(15), one = _mm256_set1_epi16(1);
    LINEAR_UNROLL
    for (size_t g = 0; g < 4; g++) {
        __m256i v = load_lanes(q + 64 * g);
        prefetch_ahead(q + 64 * g);
        __m256i low = _mm256_and_si256(v, mask);
        __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), mask);
        LINEAR_UNROLL
        for (size_t r = 0; r < n_rows; r++) {
            const uint8_t *word = x + r * x_bytes + 4 * g;
            /* four products of a nibble fit 16 bits: add before widening */
            __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(low, splat_word(word)),
                                             _mm256_maddubs_epi16(high, splat_word(word + 16)));
            sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(pairs, one));
        }
    }
}

LINEAR_INLINE void tile_q32(float *out, const struct linear_tile *t, const size_t half,
                            const size_t n_rows, const enum kind kind)
{
    const size_t block_bytes = kind == KIND_Q8_0 ? 512 : 256, chunk_bytes = 64 + 2 * block_bytes;
    const struct linear_q8_32 at = linear_q8_32_of(t->cols);
    __m256 acc[LINEAR_AVX2_ROWS];
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        acc[r] = _mm256_setzero_ps();
    const uint8_t *chunk = t->w;
    for (size_t b = 0; b < t->cols / 32; b++) {
        const size_t odd = b & 1;
        const uint8_t *q = chunk + 64 + odd * block_bytes + 32 * half;
        __m256i sum[LINEAR_AVX2_ROWS];
        LINEAR_UNROLL
        for (size_t r = 0; r < n_rows; r++)
            sum[r] =
                kind == KIND_Q8_0
                    ? _mm256_setzero_si256()
                    : _mm256_slli_epi32(splat_word(t->x + r * t->x_bytes + at.negsum + 4 * b), 3);
        if (kind == KIND_Q8_0)
            sum_q8_0(sum, q, t->x + 32 * b, t->x_bytes, n_rows);
        else
            sum_q4_0(sum, q, t->x + 32 * b, t->x_bytes, n_rows);
        __m256 dw = load_half(chunk + 32 * odd + 16 * half);
        LINEAR_UNROLL
        for (size_t r = 0; r < n_rows; r++) {
            __m256 dx = splat_float(t->x + r * t->x_bytes + at.d + 4 * b);
            acc[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r]), _mm256_mul_ps(dw, dx), acc[r]);
        }
        chunk += odd * chunk_bytes;
    }
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        _mm256_storeu_ps(out + r * LINEAR_TILE_COLS, acc[r]);
}

TILES_4(linear_avx2_q8_0, tile_q32, KIND_Q8_0)
TILES_4(linear_avx2_q4_0, tile_q32, KIND_Q4_0)
