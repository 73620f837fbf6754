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

#define FEW                                                                                        \
    2048 /* so many values are selected by digits of 8 bits: less to clear and to look through */

/* Where a kept part ends: everything above the key, and the first n_equal of those equal to it. */
struct border {
    uint32_t key;
    uint32_t n_equal;
    uint32_t n_above;
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

/* Adds up the weights of scores whose key starts with prefix (its bits above shift + n_bits), by the next n_bits. */
static void weigh(const struct scores *in, uint32_t prefix, uint32_t shift, uint32_t n_bits,
                  double *mass)
{
    memset(mass, 0, sizeof *mass << n_bits);
    uint32_t above = shift + n_bits;
    for (uint32_t i = 0; i < in->n; i++) {
        uint32_t key = key_of(in->score[i]);
        if (above < 32 && key >> above != prefix)
            continue;
        mass[(key >> shift) & ((1u << n_bits) - 1)] +=
            in->weights != NULL ? (double)in->weights[i] : 1.0;
    }
}

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

/* The fewest best scores whose weights reach target > 0; at least one. */
static struct border find_border(const struct scores *in, double target, double *mass)
{
    static const uint8_t many[] = {11, 11, 10};
    static const uint8_t few[] = {8, 8, 8, 8};
    const uint8_t *n_bits = in->n <= FEW ? few : many;
    struct border b = {0};
    uint32_t shift = 32;
    double missing = target;
    while (shift > 0) {
        shift -= *n_bits;
        weigh(in, b.key, shift, *n_bits, mass);
        b.key = b.key << *n_bits | find_bucket(mass, 1u << *n_bits, &missing);
        n_bits++;
    }
    uint32_t n_equal = 0;
    double one = 1;
    for (uint32_t i = 0; i < in->n; i++) {
        uint32_t key = key_of(in->score[i]);
        b.n_above += key > b.key;
        if (key != b.key)
            continue;
        one = in->weights != NULL ? (double)in->weights[i] : 1.0;
        n_equal++;
    }
    double wanted = one > 0 ? PL_MIN(ceil(missing / one), (double)n_equal) : 1;
    b.n_equal = wanted < 1 ? 1 : (uint32_t)wanted;
    return b;
}

/* As find_border, and at least min_keep of them. */
static struct border find_border_of(const struct scores *in, double target, uint32_t min_keep,
                                    double *mass)
{
    struct border b = find_border(in, target, mass);
    if (b.n_above + b.n_equal >= PL_MIN(min_keep, in->n))
        return b;
    const struct scores count = {.score = in->score, .n = in->n};
    return find_border(&count, PL_MIN(min_keep, in->n), mass);
}

/* score: of each sparse candidate; may be their logits. */
static void keep_above(struct sample_scratch *s, const float *score, struct border b)
{
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < s->cands.n; i++) {
        uint32_t key = key_of(score[i]);
        if (key < b.key || (key == b.key && b.n_equal == 0))
            continue;
        b.n_equal -= key == b.key;
        s->logit[n_kept] = s->logit[i];
        s->id[n_kept++] = s->id[i];
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
    return PL_MAX(score_of(find_border(&blocks, k, s->mass).key), -FLT_MAX);
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
    keep_above(s, s->logit, find_border(&in, k, s->mass));
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
    keep_from(s, (double)best + PL_MIN(least, 0.0), 1);
}

/* ---- by mass --------------------------------------------------------------------------------- */

/* Logits below the best within which the mass is looked for, before all candidates are. */
static const float DEPTHS[] = {8, 16, FLT_MAX};

void cut_top_p(struct sample_scratch *s, float p, uint32_t min_keep)
{
    const struct sample_cands whole = s->cands;
    float best = cands_best(s);
    double target = (double)p * s->pass->exp_sum(whole.logit, whole.n, best, 1);
    bool reached = false;
    for (size_t i = 0; i < PL_ARRAY_LEN(DEPTHS) && !reached; i++) {
        /* Into score and id: what is cut from stays whole for the next depth. */
        float least = DEPTHS[i] < FLT_MAX ? best - DEPTHS[i] : -FLT_MAX;
        bool last = i + 1 == PL_ARRAY_LEN(DEPTHS);
        if (whole.id != NULL && !last)
            continue; /* sparse: ids can't be kept twice, and few they are */
        s->cands.n = s->pass->keep(whole.logit, whole.id, whole.n, least, s->score, s->id);
        double mass = s->pass->exps(s->score, s->cands.n, best, 1, s->weights, s->chunks);
        reached = mass >= target && s->cands.n >= min_keep;
    }
    memcpy(s->logit, s->score, s->cands.n * sizeof *s->logit);
    s->cands.logit = s->logit;
    s->cands.id = s->id;
    const struct scores in = {.score = s->logit, .weights = s->weights, .n = s->cands.n};
    keep_above(s, s->logit, find_border_of(&in, target, min_keep, s->mass));
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
    keep_above(s, s->score, find_border_of(&in, (double)p * total, min_keep, s->mass));
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
