/*
 * linear_avx512_pairs.c - AVX-512 VNNI tiles for types with blocks of 256 whose scales lie in pairs, as
 * vpdpwssd takes them: Q2_K, Q3_K, IQ4_XS.
 *
 * A lane of a pair holds the scales of runs 2j and 2j + 1, sign-extended to 16 bits. Weights are
 * multiplied unsigned: Q3_K as q, 4 too large, IQ4_XS as the codebook plus 128; the offset is taken
 * back once per block, offset * sum of scale * sum(x), the same sum that Q2_K needs of its minima.
 */
#include "linear_avx512_k.h"
#include "pack_bits.h"

enum kind { KIND_Q2_K, KIND_Q3_K, KIND_IQ4_XS };

enum { SCALES = 64, Q3_HIGHS = 192 };

/* 32 columns take two lines of crumbs, three of three bits, or four of nibbles. IQ4_XS has one scale for
 * all 32, the others two. */
struct geometry {
    size_t quants, pair, chunk; /* offset of the first line; columns of a pair; bytes */
    size_t per_32;
    unsigned offset_log2;
};

LINEAR_INLINE struct geometry geometry_of(const enum kind kind)
{
    return kind == KIND_Q2_K   ? (struct geometry){320, 32, 1344, 128, 0}
           : kind == KIND_Q3_K ? (struct geometry){256, 32, 1792, 192, 2}
                               : (struct geometry){192, 64, 2240, 256, 7};
}

/* The scales of Q3_K out of six bits each, in order of pairs. */
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

/* The whole numbers of pair j that scale the runs (or, `mins`, that Q2_K takes off). */
LINEAR_INLINE __m512i load_pair(const uint8_t *scales, const size_t j, const bool mins,
                                const enum kind kind)
{
    __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)(scales + 32 * j));
    if (kind != KIND_Q2_K)
        return _mm512_cvtepi8_epi16(bytes);
    __m512i both = _mm512_cvtepu8_epi16(bytes);
    return mins ? _mm512_srli_epi16(both, 4) : _mm512_and_si512(both, _mm512_set1_epi16(15));
}

/* Run 0 or 1 of a pair, as int32. */
LINEAR_INLINE __m512i scale_of(__m512i pair, const size_t run)
{
    return _mm512_srai_epi32(run == 0 ? _mm512_slli_epi32(pair, 16) : pair, 16);
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

/* Step s of 32 columns: columns 4s..4s+3. */
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
    const uint8_t *line = q + 64 * (s / 4);
    return crumbs(s % 4 == 0 ? load_first(line, n_rows) : load_vector(line), s % 4);
}

/* Run 0 or 1 of a pair, its 32 columns (which 16-column runs share) of the first panel and row. */
struct run {
    const uint8_t *q, *x;
    size_t i;
};

/* The steps of one run: 4 of a run of 16 columns, 8 of 32. */
LINEAR_INLINE void add_run(struct sums *total, const struct run run, const __m512i pair[2],
                           const struct linear_tile *t, const size_t n_panels, const size_t n_rows,
                           const enum kind kind)
{
    const size_t first = kind == KIND_IQ4_XS ? 0 : 4 * run.i;
    const size_t n_steps = kind == KIND_IQ4_XS ? 8 : 4;
    __m512i scale[2], w[2];
    struct sums sum;
    clear(&sum, n_rows);
    LINEAR_UNROLL
    for (size_t s = first; s < first + n_steps; s++) {
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            w[p] = weights_of(run.q + p * t->panel_bytes, s, n_rows, kind);
        add_step(&sum, w, run.x + 4 * s, t->x_bytes, n_panels, n_rows);
    }
    LINEAR_UNROLL
    for (size_t p = 0; p < n_panels; p++)
        scale[p] = scale_of(pair[p], run.i);
    add_scaled(total, &sum, scale, n_panels, n_rows);
}

/* total: sum of scale * w * x, offsets still in;  scales: of each panel */
LINEAR_INLINE void add_block(struct sums *total, const uint8_t *chunk, const uint8_t *scales[2],
                             const uint8_t *x, const struct linear_tile *t, const size_t n_panels,
                             const size_t n_rows, const enum kind kind)
{
    const struct geometry geo = geometry_of(kind);
    const uint8_t *q = chunk + geo.quants;
    const size_t second = geo.pair == 64 ? geo.per_32 : 0, x_second = geo.pair == 64 ? 32 : 0;
    for (size_t j = 0; j < 256 / geo.pair; j++) {
        __m512i pair[2];
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            pair[p] = load_pair(scales[p], j, false, kind);
        add_run(total, (struct run){q, x, 0}, pair, t, n_panels, n_rows, kind);
        add_run(total, (struct run){q + second, x + x_second, 1}, pair, t, n_panels, n_rows, kind);
        q += geo.per_32 + second;
        x += geo.pair;
    }
}

/* imin: sum of scale (or Q2_K's min) * sum(x) */
LINEAR_INLINE void add_sums(struct sums *imin, const uint8_t *scales[2], const uint8_t *sums,
                            const struct linear_tile *t, const size_t n_panels, const size_t n_rows,
                            const enum kind kind)
{
    LINEAR_UNROLL
    for (size_t j = 0; j < 256 / geometry_of(kind).pair; j++) {
        __m512i pair[2];
        LINEAR_UNROLL
        for (size_t p = 0; p < n_panels; p++)
            pair[p] = load_pair(scales[p], j, true, kind);
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
        const uint8_t *sums = geo.pair == 64 ? t->x + at.sum32 + 16 * b : t->x + at.sum16 + 32 * b;
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
