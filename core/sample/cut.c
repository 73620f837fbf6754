/* Cuts by radix selection: three passes over 11, 11 and 10 bits of a key find the logit at which the kept
 * mass is reached, whatever the distribution; see cut.h. */
#include "cut.h"

#include <math.h>
#include <string.h>

#include <polder/base.h>

#include "expf.h"
#include "base/banned.h"

#define LANES                                                                                      \
    16 /* partial results, joined in order: vector code of any width gives the same bits */

float cut_best(const float *logits, uint32_t n)
{
    float lanes[LANES];
    for (uint32_t j = 0; j < LANES; j++)
        lanes[j] = logits[0];
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (uint32_t j = 0; j < LANES; j++)
            lanes[j] = logits[i + j] > lanes[j] ? logits[i + j] : lanes[j];
    float best = lanes[0];
    for (uint32_t j = 1; j < LANES; j++)
        best = lanes[j] > best ? lanes[j] : best;
    for (; i < n; i++)
        best = logits[i] > best ? logits[i] : best;
    return best;
}

double cut_sum(const float *values, uint32_t n)
{
    double lanes[LANES] = {0};
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (uint32_t j = 0; j < LANES; j++)
            lanes[j] += (double)values[i + j];
    double sum = 0;
    for (uint32_t j = 0; j < LANES; j++)
        sum += lanes[j];
    for (; i < n; i++)
        sum += (double)values[i];
    return sum;
}

/* Unsigned keys in the order of the floats; -0 equals 0. */
static inline uint32_t key_of(float logit)
{
    float x = logit + 0.0f;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}

/* Keeps everything above the key, and the first n_equal of those equal to it. */
static void keep_above(struct sample_cands *cands, uint32_t key, uint32_t n_equal)
{
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < cands->n; i++) {
        uint32_t k = key_of(cands->logit[i]);
        if (k < key || (k == key && n_equal == 0))
            continue;
        n_equal -= k == key;
        cands->logit[n_kept] = cands->logit[i];
        cands->id[n_kept++] = cands->id[i];
    }
    cands->n = n_kept;
}

/* Adds up the weights (NULL: all 1) of candidates whose key starts with prefix (its bits above shift +
 * n_bits), by the next n_bits. */
static void weigh(const struct sample_cands *cands, const float *weights, uint32_t prefix,
                  uint32_t shift, uint32_t n_bits, double *mass)
{
    memset(mass, 0, sizeof *mass << n_bits);
    uint32_t above = shift + n_bits;
    for (uint32_t i = 0; i < cands->n; i++) {
        uint32_t key = key_of(cands->logit[i]);
        if (above < 32 && key >> above != prefix)
            continue;
        mass[(key >> shift) & ((1u << n_bits) - 1)] += weights != NULL ? (double)weights[i] : 1.0;
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

/* Keeps the fewest best candidates whose weights reach the target > 0. */
static void keep_until(struct sample_cands *cands, const float *weights, double target,
                       double *mass)
{
    static const uint32_t n_bits[] = {11, 11, 10};
    uint32_t prefix = 0;
    uint32_t shift = 32;
    double missing = target;
    for (size_t pass = 0; pass < PL_ARRAY_LEN(n_bits); pass++) {
        shift -= n_bits[pass];
        weigh(cands, weights, prefix, shift, n_bits[pass], mass);
        prefix = prefix << n_bits[pass] | find_bucket(mass, 1u << n_bits[pass], &missing);
    }
    uint32_t n_equal = 0;
    double one = 1;
    for (uint32_t i = 0; i < cands->n; i++) {
        if (key_of(cands->logit[i]) == prefix) {
            one = weights != NULL ? (double)weights[i] : 1.0;
            n_equal++;
        }
    }
    double wanted = PL_MIN(ceil(missing / one), (double)n_equal);
    keep_above(cands, prefix, wanted < 1 ? 1 : (uint32_t)wanted);
}

void cut_top_k(struct sample_cands *cands, uint32_t k, double *mass)
{
    if (k < cands->n)
        keep_until(cands, NULL, k, mass);
}

void cut_top_p(struct sample_cands *cands, float p, float *weights, double *mass)
{
    float best = cut_best(cands->logit, cands->n);
    for (uint32_t i = 0; i < cands->n; i++)
        weights[i] = sample_expf(cands->logit[i] - best);
    keep_until(cands, weights, (double)p * cut_sum(weights, cands->n), mass);
}

void cut_min_p(struct sample_cands *cands, float p)
{
    float best = cut_best(cands->logit, cands->n);
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < cands->n; i++) {
        if (sample_expf(cands->logit[i] - best) < p)
            continue;
        cands->logit[n_kept] = cands->logit[i];
        cands->id[n_kept++] = cands->id[i];
    }
    cands->n = n_kept;
}
