/*
 * linear_avx512_pairs.c - AVX-512 VNNI tiles for types with blocks of 256 that need one sum over pairs of
 * runs beside the product: Q2_K, Q3_K, IQ4_XS.
 *
 * Weights are multiplied unsigned: Q3_K as q, 4 too large, IQ4_XS as the codebook plus 128; the offset
 * is taken back once per block, as offset * sum of scale * sum(x), which is the sum that Q2_K needs of
 * its minima. vpdpwssd adds two runs of it.
 */
#include "linear_avx512_k.h"
#include "pack_bits.h"

enum kind { KIND_Q2_K, KIND_Q3_K, KIND_IQ4_XS };

enum { SCALES = 64, Q3_HIGHS = 192 };

/* A group is what one turn of the loop over a block takes: one line of crumbs, 16 columns; three lines of
 * three bits, 32 columns of two runs; four lines of nibbles, one run of 32. */
struct geometry {
    size_t quants, chunk;      /* bytes: offset of the first line; a chunk */
    size_t group, group_steps; /* bytes; steps of 4 columns */
    size_t run_steps;
    unsigned offset_log2;
};

LINEAR_INLINE struct geometry geometry_of(const enum kind kind)
{
    return kind == KIND_Q2_K   ? (struct geometry){320, 1344, 64, 4, 4, 0}
           : kind == KIND_Q3_K ? (struct geometry){256, 1792, 192, 8, 4, 2}
                               : (struct geometry){192, 2240, 256, 8, 8, 7};
}

/* The scales of Q3_K out of six bits each. */
LINEAR_INLINE void unpack_q3(uint8_t *ret, const uint8_t *chunk)
{
    const __m512i low[2] = {load_vector(chunk + SCALES), load_vector(chunk + SCALES + 64)};
    const __m512i highs = load_vector(chunk + Q3_HIGHS);
    LINEAR_UNROLL
    for (size_t t = 0; t < 4; t++) {
        __m512i v = t % 2 != 0 ? high_nibbles(low[t / 2]) : low_nibbles(low[t / 2]);
        __m512i h = t < 2 ? _mm512_slli_epi32(highs, (unsigned)(4 - 2 * t))
                          : _mm512_srli_epi32(highs, (unsigned)(2 * t - 4));
        v = _mm512_ternarylogic_epi32(_mm512_set1_epi8(0x30), h, v, 0xea); /* mask & h | v */
        _mm512_storeu_si512(ret + 64 * t, _mm512_sub_epi8(v, _mm512_set1_epi8(32)));
    }
}

/* The scales of a run, as int32. */
LINEAR_INLINE __m512i load_scale(const uint8_t *p, const enum kind kind)
{
    if (kind == KIND_Q2_K)
        return _mm512_and_si512(_mm512_cvtepu8_epi32(load_16(p)), _mm512_set1_epi32(15));
    return _mm512_cvtepi8_epi32(load_16(p));
}

/* What sums of x are multiplied by, scales or Q2_K's minima: of two runs, 16 bits each. */
LINEAR_INLINE __m512i load_pair(const uint8_t *p, const enum kind kind)
{
    __m128i a = load_16(p), b = load_16(p + 16);
    __m256i bytes = _mm256_set_m128i(_mm_unpackhi_epi8(a, b), _mm_unpacklo_epi8(a, b));
    return kind == KIND_Q2_K ? _mm512_srli_epi16(_mm512_cvtepu8_epi16(bytes), 4)
                             : _mm512_cvtepi8_epi16(bytes);
}

/* Crumb g of the bytes of a line. */
LINEAR_INLINE __m512i crumbs(__m512i line, const size_t g)
{
    return _mm512_and_si512(_mm512_srli_epi32(line, (unsigned)(2 * g)), _mm512_set1_epi8(3));
}

/* Step s of Q3_K; see pack_q3_k.c for the last two. */
LINEAR_INLINE __m512i weights_q3(const uint8_t *q, const size_t s, const size_t n_rows)
{
    const __m512i seven = _mm512_set1_epi8(7);
    if (s < 6) {
        const uint8_t *line = q + 64 * (s / 2);
        return s % 2 == 0 ? _mm512_and_si512(load_first(line, n_rows), seven)
                          : _mm512_and_si512(_mm512_srli_epi32(load_vector(line), 3), seven);
    }
    __m512i a = _mm512_srli_epi32(load_vector(q), 4);
    __m512i b = _mm512_srli_epi32(load_vector(q + 64), 2);
    __m512i v = load_vector(q + 128);
    v = _mm512_ternarylogic_epi32(_mm512_set1_epi8((char)0xc0), v, b, 0xca); /* mask ? v : b */
    v = _mm512_ternarylogic_epi32(_mm512_set1_epi8((char)0xf0), v, a, 0xca);
    return _mm512_and_si512(_mm512_srli_epi32(v, s == 6 ? 2 : 5), seven);
}

/* Step s of a group: columns 4s..4s+3. */
LINEAR_INLINE __m512i weights_of(const uint8_t *q, const size_t s, const size_t n_rows,
                                 const enum kind kind)
{
    if (kind == KIND_Q3_K)
        return weights_q3(q, s, n_rows);
    if (kind == KIND_IQ4_XS) {
        const uint8_t *line = q + 64 * (s % 4);
        return from_codebook(s < 4 ? low_nibbles(load_first(line, n_rows))
                                   : high_nibbles(load_vector(line)),
                             pack_iq4_values, 128);
    }
    return crumbs(s == 0 ? load_first(q, n_rows) : load_vector(q), s);
}

/* Where a run stands: its group, of the first panel and row, and its steps of it. */
struct run {
    const uint8_t *q, *x;
    const uint8_t *scales[2]; /* of each panel */
    size_t first, n_steps;
};

LINEAR_INLINE void add_run(struct sums *total, const struct run *run, const struct linear_tile *t,
                           const size_t n_panels, const size_t n_rows, const enum kind kind)
{
    __m512i scale[2], w[2];
    struct sums sum;
    clear(&sum, n_rows);
    LINEAR_UNROLL
    for (size_t s = run->first; s < run->first + run->n_steps; s++) {
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            w[p] = weights_of(run->q + p * t->panel_bytes, s, n_rows, kind);
        add_step(&sum, w, run->x + 4 * s, t->x_bytes, n_panels, n_rows);
    }
    LINEAR_UNROLL
    for (size_t p = 0; p < n_panels; p++)
        scale[p] = load_scale(run->scales[p], kind);
    add_scaled(total, &sum, scale, n_panels, n_rows);
}

/* total: sum of scale * w * x, offsets still in;  scales: of each panel */
LINEAR_INLINE void add_block(struct sums *total, const uint8_t *chunk,
                             const uint8_t *const scales[2], const uint8_t *x,
                             const struct linear_tile *t, const size_t n_panels,
                             const size_t n_rows, const enum kind kind)
{
    const struct geometry geo = geometry_of(kind);
    const uint8_t *q = chunk + geo.quants;
    size_t at = 0; /* of a run's scales */
    for (size_t j = 0; j < 64 / geo.group_steps; j++, q += geo.group, x += 4 * geo.group_steps) {
        LINEAR_UNROLL
        for (size_t s = 0; s < geo.group_steps; s += geo.run_steps, at += 16) {
            const struct run run = {
                q, x, {scales[0] + at, scales[n_panels - 1] + at}, s, geo.run_steps};
            add_run(total, &run, t, n_panels, n_rows, kind);
        }
    }
}

/* imin: sum of scale (or Q2_K's min) * sum(x) */
LINEAR_INLINE void add_sums(struct sums *imin, const uint8_t *const scales[2], const uint8_t *sums,
                            const struct linear_tile *t, const size_t n_panels, const size_t n_rows,
                            const enum kind kind)
{
    LINEAR_UNROLL
    for (size_t j = 0; j < 32 / geometry_of(kind).run_steps; j++) {
        __m512i pair[2];
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            pair[p] = load_pair(scales[p] + 32 * j, kind);
        add_pairs(imin, pair, sums + 4 * j, t->x_bytes, n_panels, n_rows);
    }
}

/* total -= imin << log2 */
LINEAR_INLINE void take_offset(struct sums *total, const struct sums *imin, const unsigned log2,
                               const size_t n_panels, const size_t n_rows)
{
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        LINEAR_UNROLL
    for (size_t p = 0; p < n_panels; p++)
        total->v[r][p] = _mm512_sub_epi32(total->v[r][p], _mm512_slli_epi32(imin->v[r][p], log2));
}

LINEAR_INLINE void tile_pairs(float *out, const struct linear_tile *t, const size_t n_panels,
                              const size_t n_rows, const enum kind kind)
{
    _Alignas(64) uint8_t unpacked[2][256];
    const struct geometry geo = geometry_of(kind);
    const struct linear_q8_256 at = linear_q8_256_of(t->cols);
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        memset(out + r * LINEAR_TILE_COLS, 0, LINEAR_TILE_COLS * sizeof *out);

    const uint8_t *chunk = t->w;
    for (size_t b = 0; b < t->cols / 256; b++, chunk += geo.chunk) {
        const uint8_t *dx = t->x + at.d + 4 * b, *scales[2];
        const uint8_t *sums =
            kind == KIND_IQ4_XS ? t->x + at.sum32 + 16 * b : t->x + at.sum16 + 32 * b;
        struct sums total, imin;
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++) {
            for (size_t i = 0; i < geo.quants; i += 64)
                prefetch_ahead(chunk + p * t->panel_bytes + i, n_rows);
            if (kind == KIND_Q3_K)
                unpack_q3(unpacked[p], chunk + p * t->panel_bytes);
            scales[p] = kind == KIND_Q3_K ? unpacked[p] : chunk + p * t->panel_bytes + SCALES;
        }
        clear(&total, n_rows);
        add_block(&total, chunk, scales, t->x + 256 * b, t, n_panels, n_rows, kind);
        clear(&imin, n_rows);
        add_sums(&imin, scales, sums, t, n_panels, n_rows, kind);
        if (kind != KIND_Q2_K)
            take_offset(&total, &imin, geo.offset_log2, n_panels, n_rows);
        add_float(out, &total, chunk, dx, false, t, n_panels, n_rows);
        if (kind == KIND_Q2_K)
            add_float(out, &imin, chunk + 32, dx, true, t, n_panels, n_rows);
    }
}

TILES_6(linear_avx512_q2_k, tile_pairs, KIND_Q2_K)
TILES_6(linear_avx512_q3_k, tile_pairs, KIND_Q3_K)
TILES_6(linear_avx512_iq4_xs, tile_pairs, KIND_IQ4_XS)
