/*
 * linear_avx2_q32.c - AVX2 tiles for types with one scale per 32 values: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1,
 * IQ4_NL, MXFP4.
 */
#include "linear_avx2.h"
#include "pack_bits.h"

enum kind { KIND_Q8_0, KIND_Q4_0, KIND_Q4_1, KIND_Q5_0, KIND_Q5_1, KIND_IQ4_NL, KIND_MXFP4 };

struct geometry {
    size_t quants, block; /* bytes: offset of block 0's quants, a block's quants */
    size_t blocks;        /* of a chunk */
    int offset_log2;      /* weights are multiplied this power of two too large; 0: exact */
    bool plane;           /* a block begins with a line of top bits */
    size_t mins;          /* offset of the minima; 0: none */
};

LINEAR_INLINE struct geometry geometry_of(const enum kind kind)
{
    switch (kind) {
    case KIND_Q8_0: return (struct geometry){64, 512, 2, 0, false, 0};
    case KIND_Q4_0: return (struct geometry){64, 256, 2, 3, false, 0};
    case KIND_Q4_1: return (struct geometry){128, 256, 2, 0, false, 64};
    case KIND_Q5_0: return (struct geometry){64, 320, 2, 4, true, 0};
    case KIND_Q5_1: return (struct geometry){128, 320, 2, 0, true, 64};
    case KIND_IQ4_NL: return (struct geometry){64, 256, 2, 0, false, 0};
    case KIND_MXFP4: break;
    }
    return (struct geometry){64, 256, 4, 4, false, 0};
}

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

/* Unsigned weights of 5 bits or less: nibbles, with a plane, or MXFP4's codebook plus 16. */
LINEAR_INLINE void sum_nibbles(__m256i sum[LINEAR_AVX2_ROWS], const uint8_t *q, const uint8_t *x,
                               size_t x_bytes, const size_t n_rows, const enum kind kind)
{
    const __m256i one = _mm256_set1_epi16(1);
    const bool planes = geometry_of(kind).plane;
    __m256i plane = planes ? load_lanes(q) : _mm256_setzero_si256();
    q += planes ? 64 : 0;
    LINEAR_UNROLL
    for (size_t g = 0; g < 4; g++) {
        __m256i v = load_lanes(q + 64 * g);
        prefetch_ahead(q + 64 * g);
        __m256i low = low_nibbles(v), high = high_nibbles(v);
        if (planes) {
            low = with_plane(low, plane, g, 4);
            high = with_plane(high, plane, g + 4, 4);
        }
        if (kind == KIND_MXFP4) {
            low = from_codebook(low, pack_e2m1_values, 16);
            high = from_codebook(high, pack_e2m1_values, 16);
        }
        LINEAR_UNROLL
        for (size_t r = 0; r < n_rows; r++) {
            const uint8_t *word = x + r * x_bytes + 4 * g;
            /* four products of at most 31 * 127 fit 16 bits: add before widening */
            __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(low, splat_word(word)),
                                             _mm256_maddubs_epi16(high, splat_word(word + 16)));
            sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(pairs, one));
        }
    }
}

/* Weights of a codebook of 8 bits, signed. */
LINEAR_INLINE void sum_iq4_nl(__m256i sum[LINEAR_AVX2_ROWS], const uint8_t *q, const uint8_t *x,
                              size_t x_bytes, const size_t n_rows)
{
    LINEAR_UNROLL
    for (size_t g = 0; g < 4; g++) {
        __m256i v = load_lanes(q + 64 * g);
        prefetch_ahead(q + 64 * g);
        __m256i low = from_codebook(low_nibbles(v), pack_iq4_values, 0);
        __m256i high = from_codebook(high_nibbles(v), pack_iq4_values, 0);
        LINEAR_UNROLL
        for (size_t r = 0; r < n_rows; r++) {
            const uint8_t *word = x + r * x_bytes + 4 * g;
            sum[r] = dot_s8(sum[r], low, splat_word(word));
            sum[r] = dot_s8(sum[r], high, splat_word(word + 16));
        }
    }
}

LINEAR_INLINE void sum_block(__m256i sum[LINEAR_AVX2_ROWS], const uint8_t *q, const uint8_t *x,
                             size_t x_bytes, const size_t n_rows, const enum kind kind)
{
    if (kind == KIND_Q8_0)
        sum_q8_0(sum, q, x, x_bytes, n_rows);
    else if (kind == KIND_IQ4_NL)
        sum_iq4_nl(sum, q, x, x_bytes, n_rows);
    else
        sum_nibbles(sum, q, x, x_bytes, n_rows, kind);
}

/* Half of 2^(e - 127), of 8 exponents; exact down to e = 0. */
LINEAR_INLINE __m256 load_half_e8m0(const uint8_t *p)
{
    __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
    __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    __m256i is_tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, tiny, is_tiny));
}

/* Where the reading of a tile stands: the rows' parts of one block. */
struct cursor {
    const uint8_t *x, *dx, *negsum; /* of the first row; others x_bytes further each */
    size_t x_bytes;
};

/* Block i of a chunk, for the 8 lanes of a half; moves the cursor on. */
LINEAR_INLINE void add_scaled_block(__m256 acc[LINEAR_AVX2_ROWS], const uint8_t *chunk,
                                    struct cursor *c, const size_t i, const size_t half,
                                    const size_t n_rows, const enum kind kind)
{
    const struct geometry geo = geometry_of(kind);
    __m256i sum[LINEAR_AVX2_ROWS];
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        sum[r] = geo.offset_log2 > 0
                     ? _mm256_slli_epi32(splat_word(c->negsum + r * c->x_bytes), geo.offset_log2)
                     : _mm256_setzero_si256();
    sum_block(sum, chunk + geo.quants + i * geo.block + 32 * half, c->x, c->x_bytes, n_rows, kind);
    __m256 dw = kind == KIND_MXFP4 ? load_half_e8m0(chunk + 16 * i + 8 * half)
                                   : load_half(chunk + 32 * i + 16 * half);
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++) {
        __m256 dx = splat_float(c->dx + r * c->x_bytes);
        acc[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[r]), _mm256_mul_ps(dw, dx), acc[r]);
        if (geo.mins > 0) {
            __m256 m = load_half(chunk + geo.mins + 32 * i + 16 * half);
            __m256 negsum = _mm256_cvtepi32_ps(splat_word(c->negsum + r * c->x_bytes));
            acc[r] = _mm256_fnmadd_ps(negsum, _mm256_mul_ps(m, dx), acc[r]);
        }
    }
    c->x += 32;
    c->dx += 4;
    c->negsum += 4;
}

LINEAR_INLINE void tile_q32(float *out, const struct linear_tile *t, const size_t half,
                            const size_t n_rows, const enum kind kind)
{
    const struct geometry geo = geometry_of(kind);
    const struct linear_q8_32 at = linear_q8_32_of(t->cols);
    struct cursor c = {t->x, t->x + at.d, t->x + at.negsum, t->x_bytes};
    __m256 acc[LINEAR_AVX2_ROWS];
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        acc[r] = _mm256_setzero_ps();
    const uint8_t *chunk = t->w;
    for (size_t left = t->cols / 32, n; left > 0; left -= n) {
        n = PL_MIN(left, geo.blocks);
        for (size_t i = 0; i < n; i++)
            add_scaled_block(acc, chunk, &c, i, half, n_rows, kind);
        chunk += geo.quants + geo.blocks * geo.block;
    }
    LINEAR_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        _mm256_storeu_ps(out + r * LINEAR_TILE_COLS, acc[r]);
}

TILES_4(linear_avx2_q8_0, tile_q32, KIND_Q8_0)
TILES_4(linear_avx2_q4_0, tile_q32, KIND_Q4_0)
TILES_4(linear_avx2_q4_1, tile_q32, KIND_Q4_1)
TILES_4(linear_avx2_q5_0, tile_q32, KIND_Q5_0)
TILES_4(linear_avx2_q5_1, tile_q32, KIND_Q5_1)
TILES_4(linear_avx2_iq4_nl, tile_q32, KIND_IQ4_NL)
TILES_4(linear_avx2_mxfp4, tile_q32, KIND_MXFP4)
