/* Bias, bans and penalties: what changes single logits before anything is cut; see sample.h. */
#include "chain.h"

#include <math.h>

#include "base/banned.h"

/* A logit that became infinite (an extreme penalty) is out, as a banned one is. */
static void put(float *logit, float value)
{
    *logit = isfinite(value) ? value : -INFINITY;
}

static void ban(struct sample_scratch *s, int32_t id)
{
    float *logit = cands_find(s, id);
    if (logit != NULL)
        *logit = -INFINITY;
}

/* ---- the start ------------------------------------------------------------------------------- */

static void take_allowed(struct sample_scratch *s, const float *logits,
                         const struct sample_params *p)
{
    for (uint32_t i = 0; i < p->n_allowed; i++) {
        s->id[i] = p->allowed[i];
        s->logit[i] = logits[p->allowed[i]];
    }
    s->cands = (struct sample_cands){.logit = s->logit, .id = s->id, .n = p->n_allowed, .scale = 1};
}

/* Whether the generated text ends with all of the word but its last token. */
static bool word_is_due(const int32_t *word, uint32_t n, const struct sample_history *h)
{
    uint32_t n_output = h->n - h->n_prompt;
    if (n - 1 > n_output)
        return false;
    const int32_t *end = h->ids + (h->n - (n - 1));
    for (uint32_t i = 0; i + 1 < n; i++)
        if (end[i] != word[i])
            return false;
    return true;
}

static void ban_words(struct sample_scratch *s, const struct sample_words *words,
                      const struct sample_history *h)
{
    uint32_t start = 0;
    for (uint32_t i = 0; i < words->n; i++) {
        uint32_t end = words->ends[i];
        if (word_is_due(words->ids + start, end - start, h))
            ban(s, words->ids[end - 1]);
        start = end;
    }
}

void edit_start(struct sample_scratch *s, const float *logits, const struct sample_params *p,
                const struct sample_history *h)
{
    s->cands = (struct sample_cands){.logit = logits, .n = s->n_vocab, .scale = 1};
    if (p->n_allowed > 0)
        take_allowed(s, logits, p);
    for (uint32_t i = 0; i < p->n_bias; i++) {
        float *logit = cands_find(s, p->bias[i].id);
        if (logit != NULL)
            put(logit, *logit + p->bias[i].bias);
    }
    ban_words(s, &p->bad_words, h);
    if (h->n - h->n_prompt < p->min_tokens) {
        for (uint32_t i = 0; i < p->n_eog; i++)
            ban(s, p->eog[i]);
        for (uint32_t i = 0; i < p->n_stop_ids; i++)
            ban(s, p->stop_ids[i]);
    }
}

/* ---- penalties ------------------------------------------------------------------------------- */

static void apply_repeat(struct sample_scratch *s, const struct sample_params *p,
                         const struct sample_history *h)
{
    uint32_t n = h->n;
    if (p->repeat_last_n > 0)
        n = PL_MIN(n, (uint32_t)p->repeat_last_n);
    const int32_t *ids = h->ids + (h->n - n);
    for (uint32_t i = 0; i < n; i++) {
        if (s->counts[ids[i]]++ > 0)
            continue; /* once per token, however often it occurs */
        float *logit = cands_find(s, ids[i]);
        if (logit != NULL)
            put(logit, *logit > 0 ? *logit / p->repeat_penalty : *logit * p->repeat_penalty);
    }
    for (uint32_t i = 0; i < n; i++)
        s->counts[ids[i]] = 0;
}

static void apply_output(struct sample_scratch *s, const struct sample_params *p,
                         const struct sample_history *h)
{
    for (uint32_t i = h->n_prompt; i < h->n; i++)
        s->counts[h->ids[i]]++;
    for (uint32_t i = h->n_prompt; i < h->n; i++) {
        int32_t id = h->ids[i];
        if (s->counts[id] == 0)
            continue; /* done at an earlier occurrence */
        float *logit = cands_find(s, id);
        if (logit != NULL)
            put(logit,
                *logit - ((float)s->counts[id] * p->frequency_penalty + p->presence_penalty));
        s->counts[id] = 0;
    }
}

void edit_penalties(struct sample_scratch *s, const struct sample_params *p,
                    const struct sample_history *h)
{
    if (p->repeat_penalty != 0 && p->repeat_penalty != 1 && p->repeat_last_n != 0)
        apply_repeat(s, p, h);
    if (p->presence_penalty != 0 || p->frequency_penalty != 0)
        apply_output(s, p, h);
}
