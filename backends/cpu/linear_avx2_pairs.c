/*
 * linear_avx2_pairs.c - AVX2 tiles for types with blocks of 256 whose scales are used in pairs: Q2_K,
 * Q3_K, IQ4_XS.
 *
 * Runs of Q2_K and Q3_K are summed in 16 bits (16 products of at most 7 * 127 in four places) and
 * multiplied by their scale in vpmaddwd. Q3_K's offset of 4 is taken back once per block, by the same
 * sum of scale * sum(x) that Q2_K needs of its minima; IQ4_XS's codebook is multiplied signed.
 */
#include "linear_avx2.h"
#include "pack_bits.h"

enum kind { KIND_Q2_K, KIND_Q3_K, KIND_IQ4_XS };

enum { SCALES = 64, Q2_QUANTS = 320, Q2_GROUP = 128, Q2_CHUNK = 1344 };
enum { Q3_HIGHS = 192, Q3_QUANTS = 256, Q3_GROUP = 192, Q3_CHUNK = 1792 };
enum { XS_QUANTS = 192, XS_RUN = 256, XS_CHUNK = 2240 };

/* The scales of Q3_K out of six bits each, of 16 rows. */
LINEAR_INLINE void unpack_q3(uint8_t *ret, const uint8_t *chunk)
{
    for (size_t i = 0; i < 64; i += 32) {
        const __m256i low[2] = {load_lanes(chunk + SCALES + i),
                                load_lanes(chunk + SCALES + 64 + i)};
        const __m256i highs = load_lanes(chunk + Q3_HIGHS + i);
        LINEAR_UNROLL
        for (size_t t = 0; t < 4; t++) {
            __m256i v = t % 2 != 0 ? high_nibbles(low[t / 2]) : low_nibbles(low[t / 2]);
            __m256i h = t < 2 ? _mm256_slli_epi16(highs, (int)(4 - 2 * t))
                              : _mm256_srli_epi16(highs, (int)(2 * t - 4));
            v = _mm256_or_si256(v, _mm256_and_si256(h, _mm256_set1_epi8(0x30)));
            _mm256_storeu_si256((__m256i *)(void *)(ret + 64 * t + i),
                                _mm256_sub_epi8(v, _mm256_set1_epi8(32)));
        }
    }
}

/* The scales (or, `mins`, Q2_K's minima) of a pair of runs, 16 bits each; p: of the half. */
LINEAR_INLINE __m256i load_pair(const uint8_t *p, const bool mins, const enum kind kind)
{
    __m128i even = _mm_loadl_epi64((const __m128i *)(const void *)p);
    __m128i odd = _mm_loadl_epi64((const __m128i *)(const void *)(p + 16));
    __m128i bytes = _mm_unpacklo_epi8(even, odd);
    if (kind != KIND_Q2_K)
        return _mm256_cvtepi8_epi16(bytes);
    __m256i both = _mm256_cvtepu8_epi16(bytes);
    return mins ? _mm256_srli_epi16(both, 4) : _mm256_and_si256(both, _mm256_set1_epi16(15));
}

/* Run 0 or 1 of a pair in both places of 16 bits. */
LINEAR_INLINE __m256i twice(__m256i pair, const size_t run)
{
    return run == 0 ? _mm256_blend_epi16(pair, _mm256_slli_epi32(pair, 16), 0xaa)
                    : _mm256_blend_epi16(_mm256_srli_epi32(pair, 16), pair, 0xaa);
}

/* Step s of 32 columns of Q3_K; see pack_q3_k.c for the last two. */
LINEAR_INLINE __m256i weights_q3(const uint8_t *q, const size_t s)
{
    const __m256i seven = _mm256_set1_epi8(7);
    __m256i v = load_lanes(q + (s < 6 ? 64 * (s / 2) : 0));
    if (s < 6)
        return _mm256_and_si256(s % 2 == 0 ? v : _mm256_srli_epi16(v, 3), seven);
    __m256i b = load_lanes(q + 64), c = load_lanes(q + 128);
    v = _mm256_and_si256(_mm256_srli_epi16(v, 6), _mm256_set1_epi8(0x03));
    b = _mm256_and_si256(_mm256_srli_epi16(b, 4), _mm256_set1_epi8(0x0c));
    c = _mm256_and_si256(_mm256_srli_epi16(c, 2), _mm256_set1_epi8(0x30));
    v = _mm256_or_si256(v, _mm256_or_si256(b, c));
    return _mm256_and_si256(s == 6 ? v : _mm256_srli_epi16(v, 3), seven);
}

/* The four steps of run 0 or 1 of a pair of Q2_K or Q3_K. */
LINEAR_INLINE void load_run_16(__m256i w[4], const uint8_t *group, const size_t run,
                               const enum kind kind)
{
    __m256i v = load_lanes(group + 64 * run);
    prefetch_ahead(group + 64 * run);
    if (kind == KIND_Q3_K && run == 1)
        prefetch_ahead(group + 128);
    LINEAR_UNROLL
    for (size_t g = 0; g < 4; g++)
        w[g] = kind == KIND_Q3_K
                   ? weights_q3(group, 4 * run + g)
                   : _mm256_and_si256(_mm256_srli_epi16(v, (int)(2 * g)), _mm256_set1_epi8(3));
}

LINEAR_INLINE void add_run_16(__m256i total[LINEAR_AVX2_ROWS], const __m256i w[4], __m256i scale,
                              const uint8_t *x, size_t x_bytes, const size_t n_rows)
{
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        __m256i sum = _mm256_setzero_si256();
        LINEAR_UNROLL
        for (size_t g = 0; g < 4; g++)
            sum = _mm256_add_epi16(sum,
                                   _mm256_maddubs_epi16(w[g], splat_word(x + r * x_bytes + 4 * g)));
        total[r] = _mm256_add_epi32(total[r], _mm256_madd_epi16(sum, scale));
    }
}

/* A run of 32 columns of IQ4_XS. */
LINEAR_INLINE void add_run_xs(__m256i total[LINEAR_AVX2_ROWS], const uint8_t *q, __m256i scale,
                              const uint8_t *x, size_t x_bytes, const size_t n_rows)
{
    __m256i sum[LINEAR_AVX2_ROWS];
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        sum[r] = _mm256_setzero_si256();
    LINEAR_UNROLL
    for (size_t g = 0; g < 4; g++) {
        __m256i v = load_lanes(q + 64 * g);
        prefetch_ahead(q + 64 * g);
        __m256i low = from_codebook(low_nibbles(v), pack_iq4_values, 0);
        __m256i high = from_codebook(high_nibbles(v), pack_iq4_values, 0);
        LINEAR_UNROLL
        for (size_t r = 0; r < n_rows; r++) {
            sum[r] = dot_s8(sum[r], low, splat_word(x + r * x_bytes + 4 * g));
            sum[r] = dot_s8(sum[r], high, splat_word(x + r * x_bytes + 4 * g + 16));
        }
    }
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        total[r] = _mm256_add_epi32(total[r], _mm256_mullo_epi32(sum[r], scale));
}

/* total: of one block of IQ4_XS, whole. */
LINEAR_INLINE void add_block_xs(__m256i total[LINEAR_AVX2_ROWS], const uint8_t *chunk,
                                const uint8_t *x, size_t x_bytes, const size_t half,
                                const size_t n_rows)
{
    for (size_t j = 0; j < 4; j++) {
        __m256i pair = load_pair(chunk + SCALES + 32 * j + 8 * half, false, KIND_IQ4_XS);
        const uint8_t *q = chunk + XS_QUANTS + j * 2 * XS_RUN + 32 * half;
        add_run_xs(total, q, _mm256_srai_epi32(_mm256_slli_epi32(pair, 16), 16), x + 64 * j,
                   x_bytes, n_rows);
        add_run_xs(total, q + XS_RUN, _mm256_srai_epi32(pair, 16), x + 64 * j + 32, x_bytes,
                   n_rows);
    }
}

/* total: of one block of Q2_K or Q3_K, offset still in;  scales: of the half, 32 bytes a pair */
LINEAR_INLINE void add_block_16(__m256i total[LINEAR_AVX2_ROWS], const uint8_t *quants,
                                const uint8_t *scales, const uint8_t *x, size_t x_bytes,
                                const size_t n_rows, const enum kind kind)
{
    for (size_t j = 0; j < 8; j++) {
        const uint8_t *group = quants + j * (kind == KIND_Q3_K ? Q3_GROUP : Q2_GROUP);
        __m256i pair = load_pair(scales + 32 * j, false, kind), w[4];
        LINEAR_UNROLL
        for (size_t run = 0; run < 2; run++) {
            load_run_16(w, group, run, kind);
            add_run_16(total, w, twice(pair, run), x + 32 * j + 16 * run, x_bytes, n_rows);
        }
    }
}

/* imin: sum of scale (or Q2_K's min) * sum(x) */
LINEAR_INLINE void add_sums(__m256i imin[LINEAR_AVX2_ROWS], const uint8_t *scales,
                            const uint8_t *sum16, size_t x_bytes, const size_t n_rows,
                            const enum kind kind)
{
    LINEAR_UNROLL
    for (size_t j = 0; j < 8; j++) {
        __m256i pair = load_pair(scales + 32 * j, true, kind);
        LINEAR_UNROLL
        for (size_t r = 0; r < n_rows; r++)
            imin[r] = _mm256_add_epi32(
                imin[r], _mm256_madd_epi16(pair, splat_word(sum16 + r * x_bytes + 4 * j)));
    }
}

LINEAR_INLINE void add_block(__m256 acc[LINEAR_AVX2_ROWS], const uint8_t *chunk, const size_t b,
                             const struct linear_tile *t, const size_t half, const size_t n_rows,
                             const enum kind kind)
{
    const struct linear_q8_256 at = linear_q8_256_of(t->cols);
    const uint8_t *x = t->x + 256 * b, *dx = t->x + at.d + 4 * b;
    const uint8_t *sum16 = t->x + at.sum16 + 32 * b, *scales = chunk + SCALES;
    uint8_t unpacked[256];
    __m256i total[LINEAR_AVX2_ROWS], imin[LINEAR_AVX2_ROWS];
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        total[r] = imin[r] = _mm256_setzero_si256();
    if (kind == KIND_IQ4_XS) {
        add_block_xs(total, chunk, x, t->x_bytes, half, n_rows);
        add_float(acc, total, chunk + 16 * half, dx, t->x_bytes, false, n_rows);
        return;
    }
    if (kind == KIND_Q3_K) {
        unpack_q3(unpacked, chunk);
        scales = unpacked;
    }
    scales += 8 * half;
    add_block_16(total, chunk + (kind == KIND_Q3_K ? Q3_QUANTS : Q2_QUANTS) + 32 * half, scales, x,
                 t->x_bytes, n_rows, kind);
    add_sums(imin, scales, sum16, t->x_bytes, n_rows, kind);
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        if (kind == KIND_Q3_K)
            total[r] = _mm256_sub_epi32(total[r], _mm256_slli_epi32(imin[r], 2));
    add_float(acc, total, chunk + 16 * half, dx, t->x_bytes, false, n_rows);
    if (kind == KIND_Q2_K)
        add_float(acc, imin, chunk + 32 + 16 * half, dx, t->x_bytes, true, n_rows);
}

LINEAR_INLINE void tile_pairs(float *out, const struct linear_tile *t, const size_t half,
                              const size_t n_rows, const enum kind kind)
{
    const size_t chunk_bytes = kind == KIND_Q2_K   ? Q2_CHUNK
                               : kind == KIND_Q3_K ? Q3_CHUNK
                                                   : XS_CHUNK;
    __m256 acc[LINEAR_AVX2_ROWS];
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        acc[r] = _mm256_setzero_ps();
    for (size_t b = 0; b < t->cols / 256; b++)
        add_block(acc, t->w + b * chunk_bytes, b, t, half, n_rows, kind);
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        _mm256_storeu_ps(out + r * LINEAR_TILE_COLS, acc[r]);
}

TILES_4(linear_avx2_q2_k, tile_pairs, KIND_Q2_K)
TILES_4(linear_avx2_q3_k, tile_pairs, KIND_Q3_K)
TILES_4(linear_avx2_iq4_xs, tile_pairs, KIND_IQ4_XS)
