/* Temperature and draws; see sample.h and chain.h.
 *
 * Mirostat: Basu et al. 2021 (algorithm 1; "2" is its simpler form). Adaptive-p: MrJackSpade 2025, as in
 * llama.cpp's pull request 17927. Dynamic temperature: kalomaze 2023. */
#include "chain.h"

#include <float.h>
#include <math.h>

#include "base/banned.h"

#define MIROSTAT_BESTS 100 /* tokens by which version 1 estimates the distribution's slope */

/* Adaptive-p's transform of a token's distance to the target, in units of WIDTH. */
#define ADAPTIVE_WIDTH 0.3
#define ADAPTIVE_PEAK  5.0
#define ADAPTIVE_SLOPE 10.0

/* ---- temperature ----------------------------------------------------------------------------- */

/* temperature +- range, by how even the distribution is: 0 for one certain token, 1 for equal ones. */
static double dynamic_temperature(const struct sample_scratch *s, const struct sample_params *p)
{
    const struct sample_cands *c = &s->cands;
    double low = PL_MAX((double)p->temperature - (double)p->dynatemp_range, 0.0);
    double high = (double)p->temperature + (double)p->dynatemp_range;
    struct pass_entropy e = s->pass->entropy(c->logit, c->n, cands_best(s), c->scale);
    if (e.n <= 1)
        return (double)p->temperature;
    double evenness = (e.surprise / e.weight + log(e.weight)) / log(e.n);
    return low +
           (high - low) * pow(PL_MIN(PL_MAX(evenness, 0.0), 1.0), (double)p->dynatemp_exponent);
}

bool draw_temperature(struct sample_scratch *s, const struct sample_params *p)
{
    double temperature = p->dynatemp_range > 0 ? dynamic_temperature(s, p) : (double)p->temperature;
    float scale = (float)((double)s->cands.scale / temperature);
    if (!isfinite(scale) || scale > 1e30f)
        return false;
    s->cands.scale = PL_MAX(scale, FLT_MIN);
    return true;
}

void draw_best(struct sample_scratch *s)
{
    struct sample_cands *c = &s->cands;
    float best = cands_best(s);
    uint32_t i = 0;
    while (i + 1 < c->n && c->logit[i] != best)
        i++;
    s->id[0] = cands_id(c, i);
    s->logit[0] = best;
    *c = (struct sample_cands){.logit = s->logit, .id = s->id, .n = 1, .scale = 1};
}

/* ---- the plain draw -------------------------------------------------------------------------- */

/* The first candidate from `from` on at which the sum passes the target. */
static uint32_t walk(const struct sample_scratch *s, uint32_t from, double sum, double target)
{
    uint32_t end = PL_MIN(from + PASS_CHUNK, s->cands.n);
    uint32_t chosen = from;
    for (uint32_t i = from; i < end; i++) {
        if (s->weights[i] <= 0)
            continue;
        chosen = i; /* the last one with weight, should rounding leave target >= sum */
        sum += (double)s->weights[i];
        if (sum > target)
            break;
    }
    return chosen;
}

uint32_t draw_plain(struct sample_scratch *s, float uniform)
{
    const struct sample_cands *c = &s->cands;
    s->total = s->pass->exps(c->logit, c->n, cands_best(s), c->scale, s->weights, s->chunks);
    /* uniform is a multiple of 2^-24: the middle of its step, so that 0 doesn't choose the first id. */
    double target = ((double)uniform + 0x1p-25) * s->total;
    double sum = 0;
    double before = 0; /* the sum up to the last chunk with weight */
    uint32_t chunk = 0;
    for (uint32_t from = 0; from < c->n; from += PASS_CHUNK) {
        double weight = s->chunks[from / PASS_CHUNK];
        if (weight <= 0)
            continue;
        chunk = from;
        before = sum;
        sum += weight;
        if (sum > target)
            break;
    }
    return walk(s, chunk, before, target);
}

/* ---- mirostat -------------------------------------------------------------------------------- */

/* How many tokens have, by Zipf's law with the estimated exponent, a surprise that averages mu. */
static double mirostat_k(const float *bests, uint32_t n, double scale, double mu, double n_vocab)
{
    double sum_tb = 0;
    double sum_tt = 0;
    for (uint32_t i = 0; i + 1 < n; i++) {
        double t = log((i + 2.0) / (i + 1.0));
        sum_tb += t * ((double)bests[i] - (double)bests[i + 1]) * scale;
        sum_tt += t * t;
    }
    if (sum_tb <= 0)
        return HUGE_VAL; /* all equal: there is no slope to cut by */
    double exponent = sum_tb / sum_tt;
    double above = exponent - 1;
    double ratio = fabs(above) < 1e-9 ? 1 / log(n_vocab) : above / (1 - pow(n_vocab, -above));
    return pow(ratio * pow(2, mu), 1 / exponent);
}

uint32_t draw_mirostat(struct sample_scratch *s, const struct sample_params *p, float uniform)
{
    if (!draw_temperature(s, p))
        draw_best(s);
    if (p->mirostat == 1 && s->cands.n > 1) {
        float bests[MIROSTAT_BESTS];
        uint32_t n = cut_bests(s, bests, MIROSTAT_BESTS);
        double k = mirostat_k(bests, n, (double)s->cands.scale, p->state->mu, s->n_vocab);
        if (k < (double)s->cands.n) /* NaN and infinity leave all */
            cut_top_k(s, k < 1 ? 1 : (uint32_t)k);
    } else if (p->mirostat == 2) {
        cut_surprise(s, p->state->mu);
    }
    uint32_t i = draw_plain(s, uniform);
    double surprise = -log2((double)s->weights[i] / s->total);
    p->state->mu -= (double)p->mirostat_eta * (surprise - (double)p->mirostat_tau);
    return i;
}

/* ---- adaptive-p ------------------------------------------------------------------------------ */

static double clamp(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

uint32_t draw_adaptive(struct sample_scratch *s, const struct sample_params *p, float uniform)
{
    struct sample_state *state = p->state;
    cands_keep(s, -FLT_MAX);
    struct sample_cands *c = &s->cands;
    double total = s->pass->exps(c->logit, c->n, cands_best(s), c->scale, s->score, s->chunks);
    double target = clamp(2 * (double)p->adaptive_target - state->sum / state->weight);
    for (uint32_t i = 0; i < c->n; i++) {
        double distance = fabs((double)s->score[i] / total - target) / ADAPTIVE_WIDTH;
        s->logit[i] =
            (float)(ADAPTIVE_PEAK - ADAPTIVE_SLOPE * distance * distance / (1 + distance));
    }
    c->scale = 1;
    uint32_t i = draw_plain(s, uniform);
    state->sum = (double)s->score[i] / total + (double)p->adaptive_decay * state->sum;
    state->weight = 1 + (double)p->adaptive_decay * state->weight;
    return i;
}

void sample_state_init(struct sample_state *state, const struct sample_params *params)
{
    double weight = 1 / (1 - (double)params->adaptive_decay);
    *state = (struct sample_state){
        .mu = 2 * (double)params->mirostat_tau,
        .sum = (double)params->adaptive_target * weight,
        .weight = weight,
    };
}
