/*
 * linear_avx512_bf16.c - the AVX-512 level with vdpbf16ps: as linear_avx512.c, but BF16 weights meet
 * activations rounded to BF16, a pair of columns per instruction.
 */
#include "linear_avx512.h"

LINEAR_INLINE void tile_dp(float *out, const struct linear_tile *t, const size_t n_panels,
                           const size_t n_rows, const int none)
{
    __m512 acc[12][2];
    (void)none;
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        acc[r][0] = acc[r][1] = _mm512_setzero_ps();
    const uint8_t *w = t->w;
    for (size_t k = 0; k < t->cols; k += 2, w += 64) {
        __m512i v[2];
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            v[p] = load_first(w + p * t->panel_bytes, n_rows);
        LINEAR_UNROLL
        for (size_t r = 0; r < n_rows; r++) {
            __m512i x = splat_word(t->x + r * t->x_bytes + 2 * k);
            LINEAR_UNROLL
            for (size_t p = 0; p < n_panels; p++)
                acc[r][p] = _mm512_dpbf16_ps(acc[r][p], (__m512bh)v[p], (__m512bh)x);
        }
    }
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        LINEAR_UNROLL
    for (size_t p = 0; p < n_panels; p++)
        _mm512_store_ps(out + r * LINEAR_TILE_COLS + p * LINEAR_PANEL_ROWS, acc[r][p]);
}

TILES_12(linear_avx512_bf16_dp, tile_dp, 0)

const struct linear_isa linear_isa_avx512_bf16 = {
    .level = LINEAR_AVX512_BF16,
    .finish = linear_avx512_finish,
    .prepare = LINEAR_AVX512_PREPARE,
    .kernels =
        {
            LINEAR_AVX512_LIST(LINEAR_AVX512_ROW)[LINEAR_TYPE_BF16] = {linear_avx512_bf16_dp,
                                                                       LINEAR_ACT_BF16, 12, 1},
        },
};
