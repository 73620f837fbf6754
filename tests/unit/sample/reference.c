/* See reference.h. */
#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/banned.h"

#define NEAR 1e-5

static int by_logit(const void *a, const void *b)
{
    const struct ref_token *x = a;
    const struct ref_token *y = b;
    if (x->logit != y->logit)
        return x->logit < y->logit ? 1 : -1;
    return x->id < y->id ? -1 : 1;
}

static void sort(struct ref *r)
{
    qsort(r->tokens, r->n, sizeof *r->tokens, by_logit);
}

static void ref_softmax(struct ref *r)
{
    double total = 0;
    for (uint32_t i = 0; i < r->n; i++)
        total += r->tokens[i].p = exp(r->tokens[i].logit - r->tokens[0].logit);
    for (uint32_t i = 0; i < r->n; i++)
        r->tokens[i].p /= total;
}

static void near(struct ref *r, double a, double b)
{
    if (fabs(a - b) < NEAR * (1 + fabs(b)))
        r->close = true;
}

static double entropy_of(const struct ref *r)
{
    double sum = 0;
    for (uint32_t i = 0; i < r->n; i++)
        if (r->tokens[i].p > 0)
            sum -= r->tokens[i].p * log(r->tokens[i].p);
    return sum;
}

/* ---- edits ----------------------------------------------------------------------------------- */

static struct ref_token *find(struct ref *r, int32_t id)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (r->tokens[i].id == id)
            return &r->tokens[i];
    return NULL;
}

static void drop(struct ref *r, int32_t id)
{
    struct ref_token *t = find(r, id);
    if (t != NULL)
        *t = r->tokens[--r->n];
}

static void start(struct ref *r, const float *logits, uint32_t n_vocab,
                  const struct sample_params *p, const struct sample_history *h)
{
    r->n = 0;
    r->close = false;
    for (uint32_t id = 0; id < n_vocab; id++) {
        bool allowed = p->n_allowed == 0;
        for (uint32_t i = 0; i < p->n_allowed; i++)
            allowed = allowed || p->allowed[i] == (int32_t)id;
        if (allowed)
            r->tokens[r->n++] = (struct ref_token){.id = (int32_t)id, .logit = (double)logits[id]};
    }
    for (uint32_t i = 0; i < p->n_bias; i++) {
        struct ref_token *t = find(r, p->bias[i].id);
        if (t != NULL)
            t->logit += (double)p->bias[i].bias;
    }
    for (uint32_t i = 0; i < p->n_bias; i++)
        if (isinf(p->bias[i].bias))
            drop(r, p->bias[i].id);
    uint32_t n_output = h->n - h->n_prompt;
    for (uint32_t w = 0; w < p->bad_words.n; w++) {
        uint32_t from = w == 0 ? 0 : p->bad_words.ends[w - 1];
        uint32_t n = p->bad_words.ends[w] - from - 1;
        const int32_t *word = p->bad_words.ids + from;
        if (n <= n_output && (n == 0 || memcmp(word, h->ids + h->n - n, n * sizeof *word) == 0))
            drop(r, word[n]);
    }
    for (uint32_t i = 0; n_output < p->min_tokens && i < p->n_eog; i++)
        drop(r, p->eog[i]);
    for (uint32_t i = 0; n_output < p->min_tokens && i < p->n_stop_ids; i++)
        drop(r, p->stop_ids[i]);
}

static void penalties(struct ref *r, const struct sample_params *p, const struct sample_history *h)
{
    uint32_t window = h->n;
    if (p->repeat_last_n >= 0 && (uint32_t)p->repeat_last_n < window)
        window = (uint32_t)p->repeat_last_n;
    for (uint32_t i = 0; i < r->n; i++) {
        struct ref_token *t = &r->tokens[i];
        bool seen = false;
        uint32_t said = 0;
        for (uint32_t k = h->n - window; k < h->n; k++)
            seen = seen || h->ids[k] == t->id;
        for (uint32_t k = h->n_prompt; k < h->n; k++)
            said += h->ids[k] == t->id;
        double factor = p->repeat_penalty == 0 ? 1 : (double)p->repeat_penalty;
        if (seen)
            t->logit = t->logit > 0 ? t->logit / factor : t->logit * factor;
        if (said > 0)
            t->logit -= said * (double)p->frequency_penalty + (double)p->presence_penalty;
    }
    sort(r);
}

static bool is_breaker(const struct sample_params *p, int32_t id)
{
    for (uint32_t i = 0; i < p->n_dry_breakers; i++)
        if (p->dry_breakers[i] == id)
            return true;
    return false;
}

/* Whether a breaker begins at ids[at]; how long the longest is. */
static uint32_t break_at(const struct sample_params *p, const int32_t *ids, uint32_t at, uint32_t n)
{
    uint32_t longest = is_breaker(p, ids[at]) ? 1 : 0;
    for (uint32_t w = 0; w < p->dry_words.n; w++) {
        uint32_t from = w == 0 ? 0 : p->dry_words.ends[w - 1];
        uint32_t len = p->dry_words.ends[w] - from;
        if (at + len <= n && memcmp(ids + at, p->dry_words.ids + from, len * sizeof *ids) == 0)
            longest = PL_MAX(longest, len);
    }
    return longest;
}

static void dry(struct ref *r, const struct sample_params *p, const struct sample_history *h)
{
    uint32_t n = h->n;
    if (p->dry_multiplier == 0 || p->dry_last_n == 0)
        return;
    if (p->dry_last_n > 0)
        n = PL_MIN(n, (uint32_t)p->dry_last_n);
    const int32_t *ids = h->ids + (h->n - n);
    uint32_t limit = n;
    for (uint32_t at = n; at-- > 0 && limit == n;) {
        uint32_t len = break_at(p, ids, at, n);
        if (len > 0)
            limit = n - at - len;
    }
    for (uint32_t i = 0; i < r->n; i++) {
        struct ref_token *t = &r->tokens[i];
        int64_t longest = -1;
        for (uint32_t at = 1; at < n; at++) { /* ids[at] follows a match that ends at at - 1 */
            uint32_t len = 0;
            while (len < at && ids[at - 1 - len] == ids[n - 1 - len])
                len++;
            if (ids[at] == t->id)
                longest = PL_MAX(longest, (int64_t)PL_MIN(len, limit));
        }
        if (longest >= (int64_t)p->dry_allowed_length && limit >= p->dry_allowed_length &&
            n > p->dry_allowed_length && !is_breaker(p, t->id))
            t->logit -= PL_MIN(
                (double)p->dry_multiplier *
                    pow((double)p->dry_base, (double)(longest - (int64_t)p->dry_allowed_length)),
                1e30);
    }
    sort(r);
}

/* ---- filters --------------------------------------------------------------------------------- */

static void top_n_sigma(struct ref *r, double n)
{
    double mean = 0;
    double square = 0;
    for (uint32_t i = 0; i < r->n; i++)
        mean += r->tokens[i].logit / r->n;
    for (uint32_t i = 0; i < r->n; i++)
        square += (r->tokens[i].logit - mean) * (r->tokens[i].logit - mean) / r->n;
    double least = r->tokens[0].logit - n * sqrt(square);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        near(r, r->tokens[i].logit, least);
        kept += r->tokens[i].logit >= least;
    }
    r->n = PL_MAX(kept, 1u);
}

static void top_p(struct ref *r, double p, uint32_t min_keep)
{
    ref_softmax(r);
    double sum = 0;
    uint32_t kept = 0;
    while (kept < r->n && (sum < p || kept < min_keep)) {
        sum += r->tokens[kept++].p;
        near(r, sum, p);
    }
    r->n = kept;
}

static void min_p(struct ref *r, double p, uint32_t min_keep)
{
    uint32_t kept = 0;
    while (kept < r->n) {
        double ratio = exp(r->tokens[kept].logit - r->tokens[0].logit);
        if (kept > 0)
            near(r, ratio / p, 1);
        if (ratio < p && kept >= PL_MAX(min_keep, 1u))
            break;
        kept++;
    }
    r->n = kept;
}

static double typical_mean;

static int by_typical(const void *a, const void *b)
{
    const struct ref_token *x = a;
    const struct ref_token *y = b;
    double dx = fabs(-log(x->p) - typical_mean);
    double dy = fabs(-log(y->p) - typical_mean);
    if (dx != dy)
        return dx < dy ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static void typical_p(struct ref *r, double p, uint32_t min_keep)
{
    ref_softmax(r);
    typical_mean = entropy_of(r);
    for (uint32_t i = 0; i < r->n; i++)
        if (r->tokens[i].p <= 0)
            r->close = true;
    qsort(r->tokens, r->n, sizeof *r->tokens, by_typical);
    double sum = 0;
    uint32_t kept = 0;
    while (kept < r->n && (sum < p || kept < min_keep)) {
        sum += r->tokens[kept++].p;
        near(r, sum, p);
    }
    if (kept < r->n)
        near(r, fabs(-log(r->tokens[kept].p) - typical_mean),
             fabs(-log(r->tokens[kept - 1].p) - typical_mean));
    r->n = kept;
    sort(r);
}

static void xtc(struct ref *r, double threshold, uint32_t min_keep)
{
    ref_softmax(r);
    uint32_t n_above = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        near(r, r->tokens[i].p / threshold, 1);
        n_above += r->tokens[i].p >= threshold;
    }
    if (n_above < 2 || r->n - (n_above - 1) < min_keep)
        return;
    r->n -= n_above - 1;
    memmove(r->tokens, r->tokens + (n_above - 1), r->n * sizeof *r->tokens);
}

static void temperature(struct ref *r, const struct sample_params *p)
{
    double t = (double)p->temperature;
    if (p->dynatemp_range > 0 && r->n > 1) {
        ref_softmax(r);
        double low = PL_MAX(t - (double)p->dynatemp_range, 0.0);
        double high = t + (double)p->dynatemp_range;
        t = low + (high - low) * pow(entropy_of(r) / log(r->n), (double)p->dynatemp_exponent);
    }
    if (t < 1e-3)
        r->close = true; /* differences of floats */
    if (t < 1e-30)
        r->n = 1;
    for (uint32_t i = 0; i < r->n; i++)
        r->tokens[i].logit /= PL_MAX(t, 1e-30);
}

static void mirostat(struct ref *r, const struct sample_params *p, uint32_t n_vocab, double mu)
{
    ref_softmax(r);
    if (p->mirostat == 2) {
        uint32_t kept = 0;
        while (kept < r->n && (kept == 0 || -log2(r->tokens[kept].p) <= mu))
            kept++;
        if (kept < r->n)
            near(r, -log2(r->tokens[kept].p), mu);
        near(r, -log2(r->tokens[kept - 1].p), mu);
        r->n = kept;
        return;
    }
    if (r->n < 2)
        return;
    double tb = 0;
    double tt = 0;
    for (uint32_t i = 0; i + 1 < PL_MIN(r->n, 100u); i++) {
        double t = log((i + 2.0) / (i + 1.0));
        tb += t * log(r->tokens[i].p / r->tokens[i + 1].p);
        tt += t * t;
    }
    double s = tb / tt;
    double e = s - 1;
    double k = pow(e * pow(2, mu) / (1 - pow(n_vocab, -e)), 1 / s);
    near(r, k, floor(k));
    near(r, k, ceil(k));
    if (k < r->n)
        r->n = k < 1 ? 1 : (uint32_t)k;
}

static void run_step(struct ref *r, uint8_t step, const struct sample_params *p,
                     const struct sample_history *h)
{
    bool plain = p->temperature > 0 && p->mirostat == 0;
    if (step == SAMPLE_STEP_PENALTIES)
        penalties(r, p, h);
    else if (step == SAMPLE_STEP_DRY)
        dry(r, p, h);
    else if (!plain)
        return;
    else if (step == SAMPLE_STEP_TOP_N_SIGMA && p->top_n_sigma > 0)
        top_n_sigma(r, (double)p->top_n_sigma);
    else if (step == SAMPLE_STEP_TOP_K && p->top_k > 0)
        r->n = PL_MIN(r->n, (uint32_t)p->top_k);
    else if (step == SAMPLE_STEP_TYPICAL_P && p->typical_p > 0 && p->typical_p < 1)
        typical_p(r, (double)p->typical_p, p->min_keep);
    else if (step == SAMPLE_STEP_TOP_P && p->top_p > 0 && p->top_p < 1)
        top_p(r, (double)p->top_p, p->min_keep);
    else if (step == SAMPLE_STEP_MIN_P && p->min_p > 0)
        min_p(r, (double)p->min_p, p->min_keep);
    else if (step == SAMPLE_STEP_XTC && p->xtc_threshold <= 0.5f &&
             rng_uniform(p->seed, 1, h->n) < p->xtc_probability)
        xtc(r, (double)p->xtc_threshold, p->min_keep);
    else if (step == SAMPLE_STEP_TEMPERATURE)
        temperature(r, p);
}

static double adaptive_transform(const struct ref *r, const struct sample_params *p,
                                 const struct sample_state *state, uint32_t i)
{
    double target = 2 * (double)p->adaptive_target - state->sum / state->weight;
    target = PL_MIN(PL_MAX(target, 0.0), 1.0);
    double d = fabs(r->tokens[i].p - target) / 0.3;
    return 5 - 10 * d * d / (1 + d);
}

void ref_run(struct ref *r, const float *logits, uint32_t n_vocab, const struct sample_params *p,
             const struct sample_history *h, const struct sample_state *state)
{
    static const uint8_t order[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    start(r, logits, n_vocab, p, h);
    sort(r);
    const uint8_t *steps = p->own_steps ? p->steps : order;
    uint32_t n_steps = p->own_steps ? p->n_steps : SAMPLE_N_STEPS;
    for (uint32_t i = 0; i < n_steps; i++)
        run_step(r, steps[i], p, h);
    if (p->temperature <= 0) {
        r->n = 1;
    } else if (p->mirostat != 0) {
        temperature(r, p);
        mirostat(r, p, n_vocab, state->mu);
    } else if (p->adaptive) {
        ref_softmax(r);
        for (uint32_t i = 0; i < r->n; i++)
            r->tokens[i].logit = adaptive_transform(r, p, state, i);
        sort(r); /* p keeps the old probabilities until here */
    }
    if (!p->adaptive || p->temperature <= 0 || p->mirostat != 0)
        ref_softmax(r);
    double total = 0;
    for (uint32_t i = 0; i < r->n; i++)
        total += r->tokens[i].q = exp(r->tokens[i].logit - r->tokens[0].logit);
    for (uint32_t i = 0; i < r->n; i++)
        r->tokens[i].q /= total;
}

void ref_advance(const struct ref *r, const struct sample_params *p, int32_t id,
                 struct sample_state *state)
{
    for (uint32_t i = 0; i < r->n; i++) {
        if (r->tokens[i].id != id)
            continue;
        if (p->mirostat != 0) {
            state->mu -=
                (double)p->mirostat_eta * (-log2(r->tokens[i].p) - (double)p->mirostat_tau);
        } else if (p->adaptive) {
            state->sum = r->tokens[i].p + (double)p->adaptive_decay * state->sum;
            state->weight = 1 + (double)p->adaptive_decay * state->weight;
        }
        return;
    }
}
