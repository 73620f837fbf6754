/*
 * linear_avx2_k.c - AVX2 tiles for types with blocks of 256 and a byte per scale: Q4_K, Q5_K, Q6_K.
 */
#include "linear_avx2.h"

enum kind { KIND_Q4_K, KIND_Q5_K, KIND_Q6_K };

enum {
    Q4_DMIN = 32,
    Q4_SCALES = 64,
    Q4_MINS = 192,
    Q4_QUANTS = 320,
    Q4_GROUP = 512,
    Q5_GROUP = 640
};
enum { Q4_CHUNK = Q4_QUANTS + 4 * Q4_GROUP, Q5_CHUNK = Q4_QUANTS + 4 * Q5_GROUP };
enum { Q6_SCALES = 64, Q6_QUANTS = 320, Q6_RUN = 192, Q6_CHUNK = 3392 };

/* 64 columns: 32 of low nibbles with one scale, 32 of high ones with the next; of Q5_K, after a plane
 * line of each. */
LINEAR_INLINE void add_pair_q4(__m256i total[LINEAR_AVX2_ROWS], const uint8_t *group,
                               const uint8_t *scales, const uint8_t *x, size_t x_bytes,
                               const size_t n_rows, const bool q5)
{
    const __m256i one = _mm256_set1_epi16(1);
    const uint8_t *q = group + (q5 ? 128 : 0);
    LINEAR_UNROLL
    for (size_t high = 0; high < 2; high++) {
        __m256i sum[LINEAR_AVX2_ROWS];
        __m256i plane = q5 ? load_lanes(group + 64 * high) : _mm256_setzero_si256();
        LINEAR_UNROLL
        for (size_t r = 0; r < n_rows; r++)
            sum[r] = _mm256_setzero_si256();
        LINEAR_UNROLL
        for (size_t g = 0; g < 8; g += 2) {
            __m256i v = load_lanes(q + 64 * g), w = load_lanes(q + 64 * g + 64);
            if (high == 0) {
                prefetch_ahead(q + 64 * g);
                prefetch_ahead(q + 64 * g + 64);
            }
            v = high ? high_nibbles(v) : low_nibbles(v);
            w = high ? high_nibbles(w) : low_nibbles(w);
            if (q5) {
                v = with_plane(v, plane, g, 4);
                w = with_plane(w, plane, g + 1, 4);
            }
            LINEAR_UNROLL
            for (size_t r = 0; r < n_rows; r++) {
                const uint8_t *word = x + r * x_bytes + 32 * high + 4 * g;
                /* |sum of 4 products| <= 4 * 31 * 127: fits 16 bits */
                __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(v, splat_word(word)),
                                                 _mm256_maddubs_epi16(w, splat_word(word + 4)));
                sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(pairs, one));
            }
        }
        __m256i scale = _mm256_cvtepu8_epi32(
            _mm_loadl_epi64((const __m128i *)(const void *)(scales + 16 * high)));
        LINEAR_UNROLL
        for (size_t r = 0; r < n_rows; r++)
            total[r] = _mm256_add_epi32(total[r], _mm256_mullo_epi32(sum[r], scale));
    }
}

LINEAR_INLINE void add_mins_q4(__m256i imin[LINEAR_AVX2_ROWS], const uint8_t *mins,
                               const uint8_t *sum32, size_t x_bytes, const size_t n_rows)
{
    LINEAR_UNROLL
    for (size_t j = 0; j < 4; j++) {
        __m256i m = _mm256_cvtepu8_epi16(load_16(mins + 32 * j));
        LINEAR_UNROLL
        for (size_t r = 0; r < n_rows; r++)
            imin[r] = _mm256_add_epi32(
                imin[r], _mm256_madd_epi16(m, splat_word(sum32 + r * x_bytes + 4 * j)));
    }
}

/* One run of 16 columns of Q6_K; see pack_q6_k.c for the fourth step. */
LINEAR_INLINE void add_run_q6(__m256i total[LINEAR_AVX2_ROWS], const uint8_t *run,
                              const uint8_t *scales, const uint8_t *x, const uint8_t *negsum,
                              size_t x_bytes, const size_t n_rows)
{
    const __m256i six = _mm256_set1_epi8(0x3f);
    __m256i a = load_lanes(run), b = load_lanes(run + 64), c = load_lanes(run + 128);
    __m256i last = _mm256_and_si256(_mm256_srli_epi16(a, 6), _mm256_set1_epi8(3));
    last = _mm256_or_si256(last, _mm256_and_si256(_mm256_srli_epi16(b, 4), _mm256_set1_epi8(0x0c)));
    last = _mm256_or_si256(last, _mm256_and_si256(_mm256_srli_epi16(c, 2), _mm256_set1_epi8(0x30)));
    prefetch_ahead(run);
    prefetch_ahead(run + 64);
    prefetch_ahead(run + 128);
    a = _mm256_and_si256(a, six);
    b = _mm256_and_si256(b, six);
    c = _mm256_and_si256(c, six);
    __m256i scale = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)scales));
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        const uint8_t *word = x + r * x_bytes;
        __m256i sum = _mm256_slli_epi32(splat_word(negsum + r * x_bytes), 5);
        sum = dot_u6(sum, a, splat_word(word));
        sum = dot_u6(sum, b, splat_word(word + 4));
        sum = dot_u6(sum, c, splat_word(word + 8));
        sum = dot_u6(sum, last, splat_word(word + 12));
        total[r] = _mm256_add_epi32(total[r], _mm256_mullo_epi32(sum, scale));
    }
}

LINEAR_INLINE void tile_k(float *out, const struct linear_tile *t, const size_t half,
                          const size_t n_rows, const enum kind kind)
{
    const struct linear_q8_256 at = linear_q8_256_of(t->cols);
    const bool q5 = kind == KIND_Q5_K, q6 = kind == KIND_Q6_K;
    const size_t group = q5 ? Q5_GROUP : Q4_GROUP;
    const size_t chunk_bytes = q6 ? Q6_CHUNK : q5 ? Q5_CHUNK : Q4_CHUNK;
    __m256 acc[LINEAR_AVX2_ROWS];
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        acc[r] = _mm256_setzero_ps();
    const uint8_t *chunk = t->w;
    for (size_t b = 0; b < t->cols / 256; b++, chunk += chunk_bytes) {
        const uint8_t *x = t->x + 256 * b, *dx = t->x + at.d + 4 * b;
        __m256i total[LINEAR_AVX2_ROWS], imin[LINEAR_AVX2_ROWS];
        LINEAR_UNROLL
        for (size_t r = 0; r < n_rows; r++)
            total[r] = imin[r] = _mm256_setzero_si256();
        if (q6) {
            for (size_t j = 0; j < 16; j++)
                add_run_q6(total, chunk + Q6_QUANTS + Q6_RUN * j + 32 * half,
                           chunk + Q6_SCALES + 16 * j + 8 * half, x + 16 * j,
                           t->x + at.negsum16 + 64 * b + 4 * j, t->x_bytes, n_rows);
            add_float(acc, total, chunk + 16 * half, dx, t->x_bytes, false, n_rows);
            continue;
        }
        for (size_t j = 0; j < 4; j++)
            add_pair_q4(total, chunk + Q4_QUANTS + group * j + 32 * half,
                        chunk + Q4_SCALES + 32 * j + 8 * half, x + 64 * j, t->x_bytes, n_rows, q5);
        add_mins_q4(imin, chunk + Q4_MINS + 16 * half, t->x + at.sum32 + 16 * b, t->x_bytes,
                    n_rows);
        add_float(acc, total, chunk + 16 * half, dx, t->x_bytes, false, n_rows);
        add_float(acc, imin, chunk + Q4_DMIN + 16 * half, dx, t->x_bytes, true, n_rows);
    }
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        _mm256_storeu_ps(out + r * LINEAR_TILE_COLS, acc[r]);
}

TILES_4(linear_avx2_q4_k, tile_k, KIND_Q4_K)
TILES_4(linear_avx2_q5_k, tile_k, KIND_Q5_K)
TILES_4(linear_avx2_q6_k, tile_k, KIND_Q6_K)
