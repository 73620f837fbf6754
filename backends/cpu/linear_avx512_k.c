/*
 * linear_avx512_k.c - AVX-512 VNNI tiles for types with blocks of 256 and a byte per scale: Q4_K, Q5_K,
 * Q6_K. Q5_K is Q4_K with two plane lines (pack_bits.h) before the nibbles of each 64 columns.
 */
#include "linear_avx512_k.h"

enum kind { KIND_Q4_K, KIND_Q5_K, KIND_Q6_K };

enum { Q4_SCALES = 64, Q4_MINS = 192, Q4_QUANTS = 320, Q4_GROUP = 512, Q5_GROUP = 640 };
enum { Q4_CHUNK = Q4_QUANTS + 4 * Q4_GROUP, Q5_CHUNK = Q4_QUANTS + 4 * Q5_GROUP };
enum { Q6_SCALES = 64, Q6_QUANTS = 320, Q6_RUN = 192, Q6_CHUNK = 3392 };

/* One run of 32 columns: the low or high nibbles of 8 lines, for Q5_K with the bits of a plane. */
struct run_q4 {
    const uint8_t *group, *scales, *x; /* of the first panel, of the first row */
    bool high, q5;
};

LINEAR_INLINE void add_run_q4(struct sums *total, const struct run_q4 run,
                              const struct linear_tile *t, const size_t n_panels,
                              const size_t n_rows)
{
    const uint8_t *q = run.group + (run.q5 ? 128 : 0);
    __m512i scale[2], w[2], plane[2];
    struct sums sum;
    clear(&sum, n_rows);
    LINEAR_UNROLL
    for (size_t p = 0; p < n_panels; p++)
        plane[p] = run.q5 ? load_first(run.group + p * t->panel_bytes + (run.high ? 64 : 0), n_rows)
                          : _mm512_setzero_si512();
    LINEAR_UNROLL
    for (size_t g = 0; g < 8; g++) {
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++) {
            const uint8_t *line = q + p * t->panel_bytes + 64 * g;
            w[p] = run.high ? load_vector(line) : load_first(line, n_rows);
            w[p] = run.high ? high_nibbles(w[p]) : low_nibbles(w[p]);
            if (run.q5)
                w[p] = with_plane(w[p], plane[p], g, 4);
        }
        add_step(&sum, w, run.x + 4 * g, t->x_bytes, n_panels, n_rows);
    }
    LINEAR_UNROLL
    for (size_t p = 0; p < n_panels; p++)
        scale[p] = _mm512_cvtepu8_epi32(load_16(run.scales + p * t->panel_bytes));
    add_scaled(total, &sum, scale, n_panels, n_rows);
}

LINEAR_INLINE void add_block_q4(struct sums *total, const uint8_t *chunk, const uint8_t *x,
                                const struct linear_tile *t, const size_t n_panels,
                                const size_t n_rows, const bool q5)
{
    const uint8_t *q = chunk + Q4_QUANTS, *scales = chunk + Q4_SCALES;
    for (size_t j = 0; j < 4; j++, q += q5 ? Q5_GROUP : Q4_GROUP, scales += 32, x += 64) {
        add_run_q4(total, (struct run_q4){q, scales, x, false, q5}, t, n_panels, n_rows);
        add_run_q4(total, (struct run_q4){q, scales + 16, x + 32, true, q5}, t, n_panels, n_rows);
    }
}

/* sum of min * sum(x) */
LINEAR_INLINE void add_mins_q4(struct sums *imin, const uint8_t *chunk, const uint8_t *sum32,
                               const struct linear_tile *t, const size_t n_panels,
                               const size_t n_rows)
{
    LINEAR_UNROLL
    for (size_t j = 0; j < 4; j++) {
        __m512i mins[2];
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            mins[p] = _mm512_cvtepu8_epi16(_mm256_loadu_si256(
                (const __m256i *)(const void *)(chunk + Q4_MINS + 32 * j + p * t->panel_bytes)));
        add_pairs(imin, mins, sum32 + 4 * j, t->x_bytes, n_panels, n_rows);
    }
}

/* Step g of a run: the low six bits of line g, or all three lines' top bits put together. */
LINEAR_INLINE __m512i weights_q6(const uint8_t *run, const size_t g, const size_t n_rows)
{
    if (g < 3)
        return _mm512_and_si512(load_first(run + 64 * g, n_rows), _mm512_set1_epi8(0x3f));
    __m512i a = _mm512_srli_epi16(load_vector(run), 4);
    __m512i b = _mm512_srli_epi16(load_vector(run + 64), 2);
    __m512i v = load_vector(run + 128);
    v = _mm512_ternarylogic_epi32(_mm512_set1_epi8((char)0xc0), v, b, 0xca); /* mask ? v : b */
    v = _mm512_ternarylogic_epi32(_mm512_set1_epi8((char)0xf0), v, a, 0xca);
    return _mm512_and_si512(_mm512_srli_epi16(v, 2), _mm512_set1_epi8(0x3f));
}

/* One run of 16 columns. */
LINEAR_INLINE void add_run_q6(struct sums *total, const uint8_t *run, const uint8_t *scales,
                              const uint8_t *x, const uint8_t *negsum, const struct linear_tile *t,
                              const size_t n_panels, const size_t n_rows)
{
    struct sums sum;
    __m512i scale[2], w[2];
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        sum.v[r][0] = sum.v[r][1] = _mm512_slli_epi32(splat_word(negsum + r * t->x_bytes), 5);
    LINEAR_UNROLL
    for (size_t g = 0; g < 4; g++) {
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            w[p] = weights_q6(run + p * t->panel_bytes, g, n_rows);
        add_step(&sum, w, x + 4 * g, t->x_bytes, n_panels, n_rows);
    }
    LINEAR_UNROLL
    for (size_t p = 0; p < n_panels; p++)
        scale[p] = _mm512_cvtepi8_epi32(load_16(scales + p * t->panel_bytes));
    add_scaled(total, &sum, scale, n_panels, n_rows);
}

LINEAR_INLINE void add_block_q6(struct sums *total, const uint8_t *chunk, const uint8_t *x,
                                const uint8_t *negsum, const struct linear_tile *t,
                                const size_t n_panels, const size_t n_rows)
{
    const uint8_t *run = chunk + Q6_QUANTS, *scales = chunk + Q6_SCALES;
    for (size_t j = 0; j < 16; j++, run += Q6_RUN, scales += 16, x += 16, negsum += 4)
        add_run_q6(total, run, scales, x, negsum, t, n_panels, n_rows);
}

LINEAR_INLINE void tile_k(float *out, const struct linear_tile *t, const size_t n_panels,
                          const size_t n_rows, const enum kind kind)
{
    const struct linear_q8_256 at = linear_q8_256_of(t->cols);
    const size_t chunk_bytes = kind == KIND_Q4_K   ? Q4_CHUNK
                               : kind == KIND_Q5_K ? Q5_CHUNK
                                                   : Q6_CHUNK;
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        memset(out + r * LINEAR_TILE_COLS, 0, LINEAR_TILE_COLS * sizeof *out);

    const uint8_t *chunk = t->w;
    for (size_t b = 0; b < t->cols / 256; b++, chunk += chunk_bytes) {
        const uint8_t *x = t->x + 256 * b, *dx = t->x + at.d + 4 * b;
        struct sums total;
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            for (size_t i = 0; i < 320; i += 64)
                prefetch_ahead(chunk + p * t->panel_bytes + i, n_rows);
        clear(&total, n_rows);
        if (kind == KIND_Q6_K) {
            add_block_q6(&total, chunk, x, t->x + at.negsum16 + 64 * b, t, n_panels, n_rows);
            add_float(out, &total, chunk, dx, false, t, n_panels, n_rows);
            continue;
        }
        add_block_q4(&total, chunk, x, t, n_panels, n_rows, kind == KIND_Q5_K);
        add_float(out, &total, chunk, dx, false, t, n_panels, n_rows);
        clear(&total, n_rows);
        add_mins_q4(&total, chunk, t->x + at.sum32 + 16 * b, t, n_panels, n_rows);
        add_float(out, &total, chunk + 32, dx, true, t, n_panels, n_rows);
    }
}

TILES_6(linear_avx512_q4_k, tile_k, KIND_Q4_K)
TILES_6(linear_avx512_q5_k, tile_k, KIND_Q5_K)
TILES_6(linear_avx512_q6_k, tile_k, KIND_Q6_K)
