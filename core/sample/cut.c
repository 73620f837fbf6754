/* Cuts by radix selection: three passes over 11, 11 and 10 bits of a key find the logit at which the kept
 * mass is reached, whatever the distribution; see cut.h. */
#include "cut.h"

#include <math.h>
#include <string.h>

#include <polder/base.h>

#include "expf.h"
#include "base/banned.h"

/* Unsigned keys in the order of the floats; -0 equals 0. */
static inline uint32_t key_of(float logit)
{
    float x = logit + 0.0f;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}

struct weighing {
    bool by_mass; /* weight e^(logit - best), else 1 */
    float best;
};

static inline double weight_of(const struct weighing *w, float logit)
{
    return w->by_mass ? (double)sample_expf(logit - w->best) : 1.0;
}

/* Keeps everything above the key, and the first n_equal of those equal to it. */
static uint32_t keep_above(struct sample_cand *cands, uint32_t n, uint32_t key, uint32_t n_equal)
{
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = key_of(cands[i].logit);
        bool keep = k > key;
        if (k == key && n_equal > 0) {
            keep = true;
            n_equal--;
        }
        if (keep)
            cands[n_kept++] = cands[i];
    }
    return n_kept;
}

/* Adds up the weights of candidates whose key starts with prefix (bits above shift + n_bits), by the next
 * n_bits. */
static void weigh(const struct sample_cand *cands, uint32_t n, const struct weighing *w,
                  uint32_t prefix, uint32_t shift, uint32_t n_bits, double *mass)
{
    memset(mass, 0, sizeof *mass << n_bits);
    uint32_t above = shift + n_bits;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t key = key_of(cands[i].logit);
        if (above < 32 && key >> above != prefix)
            continue;
        mass[(key >> shift) & ((1u << n_bits) - 1)] += weight_of(w, cands[i].logit);
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
static uint32_t keep_until(struct sample_cand *cands, uint32_t n, const struct weighing *w,
                           double target, double *mass)
{
    static const uint32_t n_bits[] = {11, 11, 10};
    uint32_t prefix = 0;
    uint32_t shift = 32;
    double missing = target;
    for (size_t pass = 0; pass < PL_ARRAY_LEN(n_bits); pass++) {
        shift -= n_bits[pass];
        weigh(cands, n, w, prefix, shift, n_bits[pass], mass);
        prefix = prefix << n_bits[pass] | find_bucket(mass, 1u << n_bits[pass], &missing);
    }
    uint32_t n_equal = 0;
    double one = 1;
    for (uint32_t i = 0; i < n; i++) {
        if (key_of(cands[i].logit) == prefix) {
            one = weight_of(w, cands[i].logit);
            n_equal++;
        }
    }
    double wanted = PL_MIN(ceil(missing / one), (double)n_equal);
    return keep_above(cands, n, prefix, wanted < 1 ? 1 : (uint32_t)wanted);
}

float cut_best(const struct sample_cand *cands, uint32_t n)
{
    float best = cands[0].logit;
    for (uint32_t i = 1; i < n; i++)
        best = cands[i].logit > best ? cands[i].logit : best;
    return best;
}

uint32_t cut_top_k(struct sample_cand *cands, uint32_t n, uint32_t k, double *mass)
{
    if (k >= n)
        return n;
    struct weighing w = {.by_mass = false};
    return keep_until(cands, n, &w, k, mass);
}

uint32_t cut_top_p(struct sample_cand *cands, uint32_t n, float p, double *mass)
{
    struct weighing w = {.by_mass = true, .best = cut_best(cands, n)};
    double total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += weight_of(&w, cands[i].logit);
    return keep_until(cands, n, &w, (double)p * total, mass);
}

uint32_t cut_min_p(struct sample_cand *cands, uint32_t n, float p)
{
    float best = cut_best(cands, n);
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (sample_expf(cands[i].logit - best) >= p)
            cands[n_kept++] = cands[i];
    return n_kept;
}
