/*
 * unit/sample/reference.h - the sampler chain once more: slow, sorted, in double.
 *
 * Written from the published descriptions of each sampler, not from core/sample. A result says when a decision fell
 * so near a border that rounding decides: such a case proves nothing.
 *
 * Threads: none.
 */
#ifndef UNIT_SAMPLE_REFERENCE_H
#define UNIT_SAMPLE_REFERENCE_H

#include "sample/sample.h"

#define REF_V_MAX 6000

struct ref_token {
    int32_t id;
    double logit;
    double p; /* before adaptive-p's transform */
    double q; /* that it is drawn with */
};

struct ref {
    struct ref_token tokens[REF_V_MAX]; /* best first, lower ids first among equals */
    uint32_t n;
    bool close;
};

/* The distribution that the next token is drawn from; mu, sum and weight are not advanced. */
void ref_run(struct ref *r, const float *logits, uint32_t n_vocab, const struct sample_params *p,
             const struct sample_history *h, const struct sample_state *state);

/* The state after id was drawn from what ref_run left. */
void ref_advance(const struct ref *r, const struct sample_params *p, int32_t id,
                 struct sample_state *state);

#endif
