/* Filters; see sample.h and chain.h. None sorts the vocabulary: a bound that is surely low enough (from the bests
 * of blocks, from the mass above it) leaves few candidates, and radix selection (Knuth, TAOCP 3, 5.2.5), by
 * weight, finds the border among those. Cost does not depend on the distribution's shape by more than a
 * few passes. */
#include "chain.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "expf.h"
#include "base/banned.h"

#define DEPTH_BUCKETS 64.0f /* of the first digit, per unit of the logit */
#define FEW                                                                                        \
    2048 /* so many values are selected by digits of 8 bits: less to clear and to look through */

/* Where a kept part ends: everything above the key, and the first n_equal of those equal to it. */
struct border {
    uint32_t key;
    uint32_t n_equal;
};

/* Unsigned keys in the order of the floats; -0 equals 0. */
static inline uint32_t key_of(float score)
{
    float x = score + 0.0f;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}

static float score_of(uint32_t key)
{
    uint32_t bits = key >> 31 != 0 ? key & 0x7FFFFFFFu : ~key;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* ---- selection ------------------------------------------------------------------------------- */

struct scores {
    const float *score;
    const float *weights; /* NULL: all 1 */
    uint32_t n;
};

/* The bucket, from the highest down, in which *missing is reached; *missing is then what it must give. Sums of
 * parts may round to less than the whole: then the last bucket that has any gives all of it. */
static uint32_t find_bucket(const double *mass, uint32_t n_buckets, double *missing)
{
    uint32_t last = 0;
    for (uint32_t b = n_buckets; b-- > 0;) {
        if (mass[b] <= 0)
            continue;
        if (*missing <= mass[b])
            return b;
        *missing -= mass[b];
        last = b;
    }
    *missing = mass[last];
    return last;
}

/* Scores are looked for by two kinds of digits: many first by their depth below the best one, which spreads them
 * over all buckets, then by the bits of their keys, to the last. Both fall with the score. */
struct digit {
    bool by_depth;
    float best;
    uint32_t shift, mask;
};

static inline uint32_t digit_of(const struct digit *d, float score)
{
    if (!d->by_depth)
        return key_of(score) >> d->shift & d->mask;
    float depth = (d->best - score) * DEPTH_BUCKETS;
    return CUT_BUCKETS - 1 - (depth < CUT_BUCKETS - 1 ? (uint32_t)depth : CUT_BUCKETS - 1);
}

/* Adds up the weights by digit. */
static inline void weigh(const struct scores *in, const struct digit *d, double *mass)
{
    memset(mass, 0, sizeof *mass * (d->mask + 1));
    if (in->weights == NULL)
        for (uint32_t i = 0; i < in->n; i++)
            mass[digit_of(d, in->score[i])] += 1;
    else
        for (uint32_t i = 0; i < in->n; i++)
            mass[digit_of(d, in->score[i])] += (double)in->weights[i];
}

/* Leaves those in the bucket, in the scratch's spare arrays, where `in` may already be. */
static inline void narrow(struct sample_scratch *s, struct scores *in, const struct digit *d,
                          uint32_t bucket)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < in->n; i++) {
        float score = in->score[i];
        float weight = in->weights != NULL ? in->weights[i] : 1;
        s->spare_score[n] = score;
        s->spare_weights[n] = weight;
        n += digit_of(d, score) == bucket;
    }
    in->score = s->spare_score;
    in->weights = in->weights != NULL ? s->spare_weights : NULL;
    in->n = n;
}

static void descend(struct sample_scratch *s, struct scores *in, const struct digit d,
                    double *missing)
{
    weigh(in, &d, s->mass);
    narrow(s, in, &d, find_bucket(s->mass, d.mask + 1, missing));
}

/* The fewest best scores whose weights reach target > 0; at least one. */
static struct border find_border(struct sample_scratch *s, const struct scores *all, double target)
{
    struct scores in = *all;
    double missing = target;
    if (in.n > FEW) {
        const struct digit depth = {
            .by_depth = true, .best = s->pass->best(in.score, in.n), .mask = CUT_BUCKETS - 1};
        descend(s, &in, depth, &missing);
    }
    uint32_t n_bits = in.n > FEW ? 11 : 8;
    for (uint32_t shift = 32; shift > 0;) {
        uint32_t n = PL_MIN(n_bits, shift);
        shift -= n;
        const struct digit digit = {.shift = shift, .mask = (1u << n) - 1};
        descend(s, &in, digit, &missing);
    }
    /* What is left has one score; the first of them, as many as it takes. */
    struct border b = {.key = key_of(in.score[0])};
    while (b.n_equal < in.n && (b.n_equal == 0 || missing > 0)) {
        missing -= in.weights != NULL ? (double)in.weights[b.n_equal] : 1.0;
        b.n_equal++;
    }
    return b;
}

static uint32_t count_border(const struct scores *in, struct border b)
{
    uint32_t n = b.n_equal;
    for (uint32_t i = 0; i < in->n; i++)
        n += key_of(in->score[i]) > b.key;
    return n;
}

/* As find_border, and at least min_keep of them. */
static struct border find_border_of(struct sample_scratch *s, const struct scores *in,
                                    double target, uint32_t min_keep)
{
    struct border b = find_border(s, in, target);
    if (min_keep <= 1 || count_border(in, b) >= PL_MIN(min_keep, in->n))
        return b;
    const struct scores count = {.score = in->score, .n = in->n};
    return find_border(s, &count, PL_MIN(min_keep, in->n));
}

/* score: of each sparse candidate; may be their logits. */
static void keep_above(struct sample_scratch *s, const float *score, struct border b)
{
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < s->cands.n; i++) {
        uint32_t key = key_of(score[i]);
        uint32_t equal = key == b.key && b.n_equal > 0;
        s->logit[n_kept] = s->logit[i];
        s->id[n_kept] = s->id[i];
        n_kept += equal | (uint32_t)(key > b.key);
        b.n_equal -= equal;
    }
    s->cands.n = n_kept;
}

/* A logit that at least k candidates reach, if so many blocks have one; else the least of all. */
static float bound_of(struct sample_scratch *s, uint32_t k)
{
    const struct scores blocks = {
        .score = s->weights,
        .n = s->pass->block_bests(s->cands.logit, s->cands.n, s->weights),
    };
    if (k >= blocks.n)
        return -FLT_MAX;
    return PL_MAX(score_of(find_border(s, &blocks, k).key), -FLT_MAX);
}

/* ---- by rank --------------------------------------------------------------------------------- */

void cut_top_k(struct sample_scratch *s, uint32_t k)
{
    if (k >= s->cands.n)
        return;
    cands_keep(s, bound_of(s, k));
    if (k >= s->cands.n)
        return;
    const struct scores in = {.score = s->logit, .n = s->cands.n};
    keep_above(s, s->logit, find_border(s, &in, k));
}

uint32_t cut_bests(struct sample_scratch *s, float *bests, uint32_t n)
{
    uint32_t n_bests = 0;
    float least = bound_of(s, n);
    for (uint32_t i = 0; i < s->cands.n; i++) {
        float logit = s->cands.logit[i];
        if (!(logit >= least) || (n_bests == n && !(logit > bests[n - 1])))
            continue;
        uint32_t at = n_bests < n ? n_bests++ : n - 1;
        for (; at > 0 && logit > bests[at - 1]; at--)
            bests[at] = bests[at - 1];
        bests[at] = logit;
    }
    return n_bests;
}

/* ---- by logit -------------------------------------------------------------------------------- */

static uint32_t count_from(const struct sample_cands *c, float least)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n; i++)
        n += c->logit[i] >= least;
    return n;
}

/* least <= the best logit */
static void keep_from(struct sample_scratch *s, double least, uint32_t min_keep)
{
    float from = (float)PL_MAX(least, (double)-FLT_MAX);
    if (min_keep > 1 && count_from(&s->cands, from) < min_keep)
        cut_top_k(s, min_keep);
    else
        cands_keep(s, from);
}

void cut_min_p(struct sample_scratch *s, float p, uint32_t min_keep)
{
    keep_from(s, (double)cands_best(s) + log((double)p), min_keep);
}

void cut_top_n_sigma(struct sample_scratch *s, float n)
{
    if (s->cands.n <= 1)
        return;
    const struct sample_cands *c = &s->cands;
    struct pass_moments m = s->pass->moments(c->logit, c->n, 0);
    m = s->pass->moments(c->logit, c->n, m.sum / m.n);
    keep_from(s, (double)cands_best(s) - (double)n * sqrt(m.squares / m.n), 1);
}

void cut_surprise(struct sample_scratch *s, double bits)
{
    float best = cands_best(s);
    double total = s->pass->exp_sum(s->cands.logit, s->cands.n, best, s->cands.scale);
    double least = (log(total) - bits * 0.69314718055994531) / (double)s->cands.scale;
    if (least > 0)
        draw_best(s);
    else
        keep_from(s, (double)best + least, 1);
}

/* ---- by mass --------------------------------------------------------------------------------- */

/* Logits so far below the best, if all tokens had them, weigh less together than what may be missing. */
static float surely_enough(uint32_t n, double total, float p)
{
    double missing = (1 - (double)p) * total;
    return (float)(log((double)n / missing) + 1e-3);
}

void cut_top_p(struct sample_scratch *s, float p, uint32_t min_keep)
{
    const struct sample_cands *c = &s->cands;
    float best = cands_best(s);
    double total = s->pass->exp_sum(c->logit, c->n, best, 1);
    float least = best - surely_enough(c->n, total, p);
    keep_from(s, (double)least, min_keep);
    if (c->id == NULL)
        cands_keep(s, -FLT_MAX);
    (void)s->pass->exps(c->logit, c->n, best, 1, s->weights, s->chunks);
    const struct scores in = {.score = s->logit, .weights = s->weights, .n = c->n};
    keep_above(s, s->logit, find_border_of(s, &in, (double)p * total, min_keep));
}

void cut_typical_p(struct sample_scratch *s, float p, uint32_t min_keep)
{
    cands_keep(s, -FLT_MAX);
    const struct sample_cands *c = &s->cands;
    float best = cands_best(s);
    struct pass_entropy e = s->pass->entropy(c->logit, c->n, best, 1);
    /* Surprise of i: best - logit + log(total); entropy: its mean. The logarithms cancel. */
    double mean = e.surprise / e.weight;
    double total = s->pass->exps(c->logit, c->n, best, 1, s->weights, s->chunks);
    for (uint32_t i = 0; i < c->n; i++)
        s->score[i] = -(float)fabs((double)best - (double)c->logit[i] - mean);
    const struct scores in = {.score = s->score, .weights = s->weights, .n = c->n};
    keep_above(s, s->score, find_border_of(s, &in, (double)p * total, min_keep));
}

void cut_xtc(struct sample_scratch *s, float threshold, uint32_t min_keep)
{
    cands_keep(s, -FLT_MAX);
    struct sample_cands *c = &s->cands;
    double total = s->pass->exps(c->logit, c->n, cands_best(s), 1, s->weights, s->chunks);
    float least = (float)((double)threshold * total);
    uint32_t n_above = 0;
    uint32_t spared = 0; /* the least likely of them, the last among equals */
    for (uint32_t i = 0; i < c->n; i++) {
        if (s->weights[i] < least)
            continue;
        if (n_above++ == 0 || c->logit[i] <= c->logit[spared])
            spared = i;
    }
    if (n_above < 2 || c->n - (n_above - 1) < min_keep)
        return;
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        if (s->weights[i] >= least && i != spared)
            continue;
        s->logit[n_kept] = s->logit[i];
        s->id[n_kept++] = s->id[i];
    }
    c->n = n_kept;
}
