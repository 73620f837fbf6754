/* The scratch and the chain; see sample.h for its order, chain.h for what the steps share. */
#include "sample.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chain.h"
#include "base/check.h"
#include "base/rng.h"
#include "base/banned.h"

enum { STREAM_DRAW, STREAM_XTC };

static const uint8_t DEFAULT_STEPS[] = {
    SAMPLE_STEP_PENALTIES, SAMPLE_STEP_DRY,       SAMPLE_STEP_TOP_N_SIGMA,
    SAMPLE_STEP_TOP_K,     SAMPLE_STEP_TYPICAL_P, SAMPLE_STEP_TOP_P,
    SAMPLE_STEP_MIN_P,     SAMPLE_STEP_XTC,       SAMPLE_STEP_TEMPERATURE,
};

/* ---- scratch --------------------------------------------------------------------------------- */

static bool fill_scratch(struct sample_scratch *s)
{
    s->logit = calloc(s->n_vocab, sizeof *s->logit);
    s->id = calloc(s->n_vocab, sizeof *s->id);
    s->weights = calloc(s->n_vocab, sizeof *s->weights);
    s->score = calloc(s->n_vocab, sizeof *s->score);
    s->spare_score = calloc(s->n_vocab, sizeof *s->spare_score);
    s->spare_weights = calloc(s->n_vocab, sizeof *s->spare_weights);
    s->counts = calloc(s->n_vocab, sizeof *s->counts);
    s->lengths = calloc(SAMPLE_DRY_WINDOW_MAX, sizeof *s->lengths);
    s->chunks = calloc(s->n_vocab / PASS_CHUNK + 1, sizeof *s->chunks);
    return s->logit != NULL && s->id != NULL && s->weights != NULL && s->score != NULL &&
           s->spare_score != NULL && s->spare_weights != NULL && s->counts != NULL &&
           s->lengths != NULL && s->chunks != NULL;
}

enum pl_status sample_scratch_new(uint32_t n_vocab, struct sample_scratch **ret,
                                  struct pl_error *err)
{
    if (n_vocab == 0 || n_vocab > SAMPLE_VOCAB_MAX)
        return pl_error_set(err, PL_EINVAL, "sample: a vocabulary of %u tokens", n_vocab);
    struct sample_scratch *s = calloc(1, sizeof *s);
    if (s != NULL) {
        s->n_vocab = n_vocab;
        s->pass = passes_get();
    }
    if (s == NULL || !fill_scratch(s)) {
        sample_scratch_free(s);
        return pl_error_set(err, PL_ENOMEM, "sample: no memory for %u logits", n_vocab);
    }
    *ret = s;
    return PL_OK;
}

void sample_scratch_free(struct sample_scratch *scratch)
{
    if (scratch == NULL)
        return;
    free(scratch->logit);
    free(scratch->id);
    free(scratch->weights);
    free(scratch->score);
    free(scratch->spare_score);
    free(scratch->spare_weights);
    free(scratch->counts);
    free(scratch->lengths);
    free(scratch->chunks);
    free(scratch);
}

/* ---- candidates ------------------------------------------------------------------------------ */

float cands_best(const struct sample_scratch *s)
{
    return s->cands.n == 0 ? -INFINITY : s->pass->best(s->cands.logit, s->cands.n);
}

/* From the caller's row to the scratch's copy, before the first write. */
static void own(struct sample_scratch *s)
{
    if (s->cands.logit == s->logit)
        return;
    memcpy(s->logit, s->cands.logit, s->cands.n * sizeof *s->logit);
    s->cands.logit = s->logit;
}

float *cands_find(struct sample_scratch *s, int32_t id)
{
    own(s);
    if (s->cands.id == NULL)
        return &s->logit[id];
    uint32_t low = 0;
    uint32_t high = s->cands.n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->id[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->cands.n && s->id[low] == id ? &s->logit[low] : NULL;
}

void cands_keep(struct sample_scratch *s, float least)
{
    struct sample_cands *c = &s->cands;
    c->n = s->pass->keep(c->logit, c->id, c->n, least, s->logit, s->id);
    c->logit = s->logit;
    c->id = s->id;
}

void cands_settle(struct sample_scratch *s)
{
    if (s->cands.scale == 1)
        return;
    own(s);
    s->pass->multiply(s->logit, s->cands.n, s->cands.scale);
    s->cands.scale = 1;
}

/* ---- the chain ------------------------------------------------------------------------------- */

static void filter(struct sample_scratch *s, enum sample_step step, const struct sample_params *p,
                   float xtc_chance)
{
    if (step == SAMPLE_STEP_TOP_N_SIGMA && p->top_n_sigma > 0)
        cut_top_n_sigma(s, p->top_n_sigma);
    else if (step == SAMPLE_STEP_TOP_K && p->top_k > 0)
        cut_top_k(s, (uint32_t)p->top_k);
    else if (step == SAMPLE_STEP_TYPICAL_P && p->typical_p > 0 && p->typical_p < 1)
        cut_typical_p(s, p->typical_p, p->min_keep);
    else if (step == SAMPLE_STEP_TOP_P && p->top_p > 0 && p->top_p < 1)
        cut_top_p(s, p->top_p, p->min_keep);
    else if (step == SAMPLE_STEP_MIN_P && p->min_p > 0)
        cut_min_p(s, p->min_p, p->min_keep);
    else if (step == SAMPLE_STEP_XTC && p->xtc_threshold <= 0.5f && xtc_chance < p->xtc_probability)
        cut_xtc(s, p->xtc_threshold, p->min_keep);
}

/* One step. Where only the best is wanted (greedy, mirostat's cut comes instead) filters are left out. */
static void run_step(struct sample_scratch *s, enum sample_step step, const struct sample_params *p,
                     const struct sample_history *h)
{
    bool edits_only = p->temperature <= 0 || p->mirostat != 0;
    if (step != SAMPLE_STEP_TEMPERATURE && !edits_only)
        cands_settle(s);
    if (step == SAMPLE_STEP_PENALTIES)
        edit_penalties(s, p, h);
    else if (step == SAMPLE_STEP_DRY)
        edit_dry(s, p, h);
    else if (edits_only)
        return;
    else if (step == SAMPLE_STEP_TEMPERATURE && !draw_temperature(s, p))
        draw_best(s);
    else if (step != SAMPLE_STEP_TEMPERATURE)
        filter(s, step, p, p->xtc_probability > 0 ? rng_uniform(p->seed, STREAM_XTC, h->n) : 1);
}

static void run_steps(struct sample_scratch *s, const struct sample_params *p,
                      const struct sample_history *h)
{
    const uint8_t *steps = p->own_steps ? p->steps : DEFAULT_STEPS;
    uint32_t n = p->own_steps ? p->n_steps : (uint32_t)PL_ARRAY_LEN(DEFAULT_STEPS);
    for (uint32_t i = 0; i < n; i++)
        run_step(s, (enum sample_step)steps[i], p, h);
}

static uint32_t draw(struct sample_scratch *s, const struct sample_params *p,
                     const struct sample_history *h)
{
    float uniform = rng_uniform(p->seed, STREAM_DRAW, h->n);
    if (p->temperature <= 0) {
        draw_best(s);
        return draw_plain(s, uniform);
    }
    if (p->mirostat != 0)
        return draw_mirostat(s, p, uniform);
    if (p->adaptive)
        return draw_adaptive(s, p, uniform);
    return draw_plain(s, uniform);
}

/* The caller's row, which is finite, always has one. */
static bool any_left(const struct sample_scratch *s, const float *logits)
{
    return s->cands.logit == logits || cands_best(s) > -INFINITY;
}

enum pl_status sample_token(struct sample_scratch *scratch, const float *logits,
                            const struct sample_params *params,
                            const struct sample_history *history, int32_t *ret_id,
                            struct pl_error *err)
{
    struct sample_scratch *s = scratch;
    PL_CHECK(history->n_prompt <= history->n);
    PL_CHECK(params->state != NULL || (params->mirostat == 0 && !params->adaptive));
    edit_start(s, logits, params, history);
    if (any_left(s, logits))
        run_steps(s, params, history);
    if (!any_left(s, logits))
        return pl_error_set(err, PL_EINTERNAL,
                            "logit_bias, bans and penalties leave no token to choose");
    *ret_id = cands_id(&s->cands, draw(s, params, history));
    return PL_OK;
}

bool sample_is_stop(const struct sample_params *params, int32_t id)
{
    for (uint32_t i = 0; i < params->n_stop_ids; i++)
        if (params->stop_ids[i] == id)
            return true;
    return false;
}
