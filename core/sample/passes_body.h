/*
 * sample/passes_body.h - the functions of a table in passes.h; included once by each file that compiles them.
 *
 * Lanes are arrays of 16: what compilers turn into one AVX-512 register, two of AVX2 or four of SSE2. Weights are
 * added up as floats over 64 values (four per lane), then as doubles.
 *
 * Threads: pure.  Source: ours.
 */
#ifndef SAMPLE_PASSES_BODY_H
#define SAMPLE_PASSES_BODY_H

#include "passes.h"

#include <float.h>
#include <string.h>

#include "expf.h"

#define LANES 16
#define STEPS (PASS_BLOCK / LANES)
#define LEAST (-FLT_MAX) /* of a candidate */
#define D_MIN (-100.0f)  /* e^-100 is 0 here: keeps 0 * INFINITY out of sums */

static uint32_t count_bad(const float *x, uint32_t n)
{
    uint32_t n_bad = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        n_bad += (bits & 0x7F800000u) == 0x7F800000u;
    }
    return n_bad;
}

static inline float best_of_block(const float *x)
{
    float lanes[LANES];
    for (uint32_t j = 0; j < LANES; j++)
        lanes[j] = x[j];
    for (uint32_t k = 1; k < STEPS; k++)
        for (uint32_t j = 0; j < LANES; j++)
            lanes[j] = x[k * LANES + j] > lanes[j] ? x[k * LANES + j] : lanes[j];
    for (uint32_t half = LANES / 2; half > 0; half /= 2)
        for (uint32_t j = 0; j < half; j++)
            lanes[j] = lanes[j + half] > lanes[j] ? lanes[j + half] : lanes[j];
    return lanes[0];
}

static inline float best_of_few(const float *x, uint32_t n, float best)
{
    for (uint32_t i = 0; i < n; i++)
        best = x[i] > best ? x[i] : best;
    return best;
}

static float best_of(const float *x, uint32_t n)
{
    float lanes[LANES];
    for (uint32_t j = 0; j < LANES; j++)
        lanes[j] = x[0];
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (uint32_t j = 0; j < LANES; j++)
            lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
    return best_of_few(x + i, n - i, best_of_few(lanes, LANES, x[0]));
}

static uint32_t block_bests(const float *x, uint32_t n, float *bests)
{
    uint32_t n_blocks = 0;
    uint32_t i = 0;
    for (; i + PASS_BLOCK <= n; i += PASS_BLOCK)
        bests[n_blocks++] = best_of_block(x + i);
    if (i < n)
        bests[n_blocks++] = best_of_few(x + i, n - i, x[i]);
    return n_blocks;
}

static inline float weight_of(float x, float best, float scale)
{
    return sample_expf((x - best) * scale);
}

static inline double join(const double *lanes)
{
    double sum = 0;
    for (uint32_t j = 0; j < LANES; j++)
        sum += lanes[j];
    return sum;
}

/* lanes += the 64 values */
static inline void add_block(const float *w, double *lanes)
{
    float part[LANES];
    for (uint32_t j = 0; j < LANES; j++)
        part[j] = (w[j] + w[LANES + j]) + (w[2 * LANES + j] + w[3 * LANES + j]);
    for (uint32_t j = 0; j < LANES; j++)
        lanes[j] += (double)part[j];
}
_Static_assert(STEPS == 4, "add_block adds four values per lane");

static double exp_sum(const float *x, uint32_t n, float best, float scale)
{
    double lanes[LANES] = {0};
    uint32_t i = 0;
    for (; i + PASS_BLOCK <= n; i += PASS_BLOCK) {
        float w[PASS_BLOCK];
        for (uint32_t j = 0; j < PASS_BLOCK; j++)
            w[j] = weight_of(x[i + j], best, scale);
        add_block(w, lanes);
    }
    double sum = join(lanes);
    for (; i < n; i++)
        sum += (double)weight_of(x[i], best, scale);
    return sum;
}

static inline double exps_chunk(const float *x, uint32_t n, float best, float scale, float *weights)
{
    double lanes[LANES] = {0};
    for (uint32_t i = 0; i < n; i++)
        weights[i] = weight_of(x[i], best, scale);
    uint32_t i = 0;
    for (; i + PASS_BLOCK <= n; i += PASS_BLOCK)
        add_block(weights + i, lanes);
    double sum = join(lanes);
    for (; i < n; i++)
        sum += (double)weights[i];
    return sum;
}

static double exps(const float *x, uint32_t n, float best, float scale, float *weights,
                   double *chunks)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i += PASS_CHUNK) {
        uint32_t n_chunk = n - i < PASS_CHUNK ? n - i : PASS_CHUNK;
        double chunk = exps_chunk(x + i, n_chunk, best, scale, weights + i);
        chunks[i / PASS_CHUNK] = chunk;
        sum += chunk;
    }
    return sum;
}

static struct pass_entropy entropy(const float *x, uint32_t n, float best, float scale)
{
    double weight[LANES] = {0};
    double surprise[LANES] = {0};
    uint32_t n_cands = 0;
    uint32_t i = 0;
    for (; i + PASS_BLOCK <= n; i += PASS_BLOCK) {
        float w[PASS_BLOCK];
        float wd[PASS_BLOCK];
        for (uint32_t j = 0; j < PASS_BLOCK; j++) {
            float d = (x[i + j] - best) * scale;
            d = d > D_MIN ? d : D_MIN;
            w[j] = sample_expf(d);
            wd[j] = w[j] * -d;
        }
        for (uint32_t j = 0; j < PASS_BLOCK; j++)
            n_cands += x[i + j] >= LEAST;
        add_block(w, weight);
        add_block(wd, surprise);
    }
    struct pass_entropy sums = {.weight = join(weight), .surprise = join(surprise)};
    for (; i < n; i++) {
        float d = (x[i] - best) * scale;
        d = d > D_MIN ? d : D_MIN;
        float w = sample_expf(d);
        sums.weight += (double)w;
        sums.surprise += (double)(w * -d);
        n_cands += x[i] >= LEAST;
    }
    sums.n = n_cands;
    return sums;
}

static struct pass_moments moments(const float *x, uint32_t n, double around)
{
    double sum[LANES] = {0};
    double squares[LANES] = {0};
    uint32_t n_cands = 0;
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (uint32_t j = 0; j < LANES; j++) {
            float v = x[i + j];
            double d = (double)v - around;
            n_cands += v >= LEAST;
            sum[j] += v >= LEAST ? (double)v : 0;
            squares[j] += v >= LEAST ? d * d : 0;
        }
    }
    struct pass_moments m = {.sum = join(sum), .squares = join(squares)};
    for (; i < n; i++) {
        if (!(x[i] >= LEAST))
            continue;
        double d = (double)x[i] - around;
        m.sum += (double)x[i];
        m.squares += d * d;
        n_cands++;
    }
    m.n = n_cands;
    return m;
}

static inline uint32_t keep_few(const float *x, const int32_t *ids, uint32_t from, uint32_t to,
                                float least, float *out, int32_t *out_ids, uint32_t n_kept)
{
    for (uint32_t i = from; i < to; i++) { /* no branch: it would be guessed wrong often */
        float value = x[i];
        out_ids[n_kept] = ids != NULL ? ids[i] : (int32_t)i;
        out[n_kept] = value;
        n_kept += value >= least;
    }
    return n_kept;
}

static uint32_t keep(const float *x, const int32_t *ids, uint32_t n, float least, float *out,
                     int32_t *out_ids)
{
    uint32_t n_kept = 0;
    uint32_t i = 0;
    for (; i + PASS_BLOCK <= n; i += PASS_BLOCK)
        if (best_of_block(x + i) >= least) /* most blocks of a large vocabulary have none */
            n_kept = keep_few(x, ids, i, i + PASS_BLOCK, least, out, out_ids, n_kept);
    return keep_few(x, ids, i, n, least, out, out_ids, n_kept);
}

static void multiply(float *x, uint32_t n, float scale)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] *= scale;
}

#define PASSES_TABLE                                                                               \
    {                                                                                              \
        .count_bad = count_bad, .best = best_of, .block_bests = block_bests, .exp_sum = exp_sum,   \
        .exps = exps, .entropy = entropy, .moments = moments, .keep = keep, .multiply = multiply,  \
    }

#endif
