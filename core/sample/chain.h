/*
 * sample/chain.h - what the steps share: the candidates, and the scratch that they lie in; inside this room.
 *
 *   dense    id == NULL: logit [V] by id, -INFINITY where banned; it is the caller's row until somebody writes
 *   sparse   logit [n], id [n] increasing, all finite; in the scratch's buffers
 *
 * Candidates stay in order of ids through every cut, so that equal logits are settled by id and all sums run
 * in one order. A temperature is kept as a factor until a step needs the scaled logits.
 *
 * Ownership: buffers belong to the scratch.  Threads: the scratch's.  Source: ours.
 */
#ifndef SAMPLE_CHAIN_H
#define SAMPLE_CHAIN_H

#include "passes.h"
#include "sample.h"

#define CUT_BUCKETS 2048 /* a radix pass looks at 11 bits of a key */

struct sample_cands {
    const float *logit;
    const int32_t *id; /* NULL: dense */
    uint32_t n;
    float scale; /* logits are meant times this, > 0 */
};

struct sample_scratch {
    uint32_t n_vocab;
    const struct passes *pass;
    struct sample_cands cands;
    float *logit;                       /* [V] cands.logit once written */
    int32_t *id;                        /* [V] cands.id when sparse */
    float *weights;                     /* [V] of one step; after the draw the final ones */
    float *score;                       /* [V] of one step */
    float *spare_score, *spare_weights; /* [V] of a selection */
    uint32_t *counts;                   /* [V] all 0 between steps */
    uint32_t *lengths;                  /* [SAMPLE_DRY_WINDOW_MAX] */
    double *chunks;                     /* [V / PASS_CHUNK + 1] */
    double mass[CUT_BUCKETS];
    double total; /* sum of the final weights */
};

static inline int32_t cands_id(const struct sample_cands *c, uint32_t i)
{
    return c->id != NULL ? c->id[i] : (int32_t)i;
}

/* Best logit; -INFINITY when nothing is left. */
float cands_best(const struct sample_scratch *s);

/* The logit of an id for writing, or NULL if it is no candidate. */
float *cands_find(struct sample_scratch *s, int32_t id);

/* Keeps those with logit >= least (-FLT_MAX: all candidates); sparse afterwards. */
void cands_keep(struct sample_scratch *s, float least);

/* Multiplies the scale into the logits. */
void cands_settle(struct sample_scratch *s);

/* edits.c: bias and bans make the first candidates; penalties. */
void edit_start(struct sample_scratch *s, const float *logits, const struct sample_params *p,
                const struct sample_history *h);
void edit_penalties(struct sample_scratch *s, const struct sample_params *p,
                    const struct sample_history *h);
/* dry.c */
void edit_dry(struct sample_scratch *s, const struct sample_params *p,
              const struct sample_history *h);

/* cut.c: each keeps the fewest best candidates that fulfil it, at least one and at least min_keep. */
void cut_top_k(struct sample_scratch *s, uint32_t k);
void cut_top_p(struct sample_scratch *s, float p, uint32_t min_keep);
void cut_min_p(struct sample_scratch *s, float p, uint32_t min_keep);
void cut_typical_p(struct sample_scratch *s, float p, uint32_t min_keep);
void cut_top_n_sigma(struct sample_scratch *s, float n);
void cut_xtc(struct sample_scratch *s, float threshold, uint32_t min_keep);
/* Those whose surprise is at most so many bits; the best one alone if there are none. */
void cut_surprise(struct sample_scratch *s, double bits);
/* The n best logits, best first, into bests [n]; returns how many there are. Candidates stay. */
uint32_t cut_bests(struct sample_scratch *s, float *bests, uint32_t n);

/* draw.c: the temperature becomes the scale; false: so cold that only the best is left. */
bool draw_temperature(struct sample_scratch *s, const struct sample_params *p);
/* Leaves only the best, the lowest id among equals. */
void draw_best(struct sample_scratch *s);
/* All end with the final weights; the index of the chosen candidate. */
uint32_t draw_plain(struct sample_scratch *s, float uniform);
uint32_t draw_mirostat(struct sample_scratch *s, const struct sample_params *p, float uniform);
uint32_t draw_adaptive(struct sample_scratch *s, const struct sample_params *p, float uniform);

#endif
