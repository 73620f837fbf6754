/*
 * sched/sched.h - which sequences run in the next step, and with which tokens.
 *
 * Pure bookkeeping: no thread, no clock, no device, no token ids. A sequence is a number of known tokens
 * (prompt and generated) of which the first n_computed are in the KV cache; a step computes more of them,
 * and the row of the last known token gives the logits of the next one. So decode, chunked prefill and
 * recomputing after a preemption are one thing.
 *
 *                  sched_add                 sched_plan: admit
 *        (outside) ---------> WAITING ------------------------------> PREFILL
 *            ^                  ^  ^                                   |   |
 *            |                  |  +--- sched_plan: preempt -----------+   | sched_commit: all known
 *            |                  |                                          v tokens computed
 *            |                  +------ sched_plan: preempt ------------- DECODE <-+
 *            +-- sched_remove (any state)                                   |      | sched_append +
 *                                                                           +------+ plan + commit
 *
 * One step: (1) a row for each decoding sequence, oldest first; one that needs a block when none is free takes
 * it from the youngest running sequence, which loses all its blocks and goes to the front of the queue;
 * (2) running prefills, oldest first, as many rows as the budget leaves; (3) admission in order of arrival
 * while seats, rows and blocks last, unless someone was preempted in this step.
 *
 * Invariants:
 *   1. every running sequence arrived before every waiting one, and both lists are in order of arrival;
 *   2. a running sequence owns blocks for all its computed tokens, a waiting one owns none;
 *   3. rows <= rows_max, sequences <= seqs_max, outputs <= outputs_max in each plan;
 *   4. the oldest running sequence is never preempted (it fits alone: sched_check_fit), so all finish.
 *
 * Ownership: the caller owns sequences and the pool; both outlive their stay here.
 * Threads: one owner.  Errors: sched_init for memory, sched_check_fit; the rest can't fail.
 * Limits: those of its options.  Source: token budget after vLLM's V1 scheduler; ours, docs/internals/sched.md.
 */
#ifndef SCHED_SCHED_H
#define SCHED_SCHED_H

#include "kv/kv.h"

#define SCHED_OUT_LAST UINT32_MAX /* out_from: logits of the last known token only */

enum sched_state {
    SCHED_OUTSIDE = 0,
    SCHED_WAITING,
    SCHED_PREFILL, /* running, more than one known token is not computed */
    SCHED_DECODE,  /* running, all but the newest token are computed */
};

/* Embedded in the caller's request. The caller sets n_tokens, kv_tokens_max, out_from and the table's
 * storage before sched_add; afterwards it changes out_from and reads the rest. */
struct sched_seq {
    struct sched_seq *prev, *next;
    enum sched_state state;
    uint32_t n_tokens;      /* known: prompt and generated; >= 1 */
    uint32_t n_computed;    /* of them in the KV cache */
    uint32_t kv_tokens_max; /* the most that will ever be computed; room of the table */
    uint32_t out_from;      /* rows of this position and beyond give logits; SCHED_OUT_LAST */
    uint32_t n_preemptions;
    struct kv_table table;
};

/* A run of rows of one sequence: tokens start .. start+n_rows-1; the last n_outputs rows give logits. */
struct sched_item {
    struct sched_seq *seq;
    uint32_t start;
    uint32_t n_rows;
    uint32_t n_outputs;
    bool complete; /* the run ends with the last known token: a new one can be sampled */
};

struct sched_plan {
    struct sched_item *items; /* [n_items], distinct sequences */
    uint32_t n_items, n_rows, n_outputs;
};

struct sched_options {
    struct kv_pool *pool; /* outlives the scheduler */
    uint32_t rows_max;    /* token budget of a step */
    uint32_t seqs_max;    /* running sequences, <= rows_max, <= outputs_max */
    uint32_t outputs_max; /* rows with logits in a step */
};

struct sched_list {
    struct sched_seq *first, *last;
    uint32_t n;
};

struct sched {
    struct sched_options options;
    struct sched_list running, waiting;
    struct sched_plan plan; /* items [seqs_max] */
    uint64_t n_preemptions;
};

PL_NODISCARD enum pl_status sched_init(struct sched *sched, const struct sched_options *options,
                                       struct pl_error *err);
void sched_deinit(struct sched *sched); /* accepts a zeroed one; sequences must be outside */

/* PL_ELIMIT with the numbers if a sequence of that many computed tokens can never run here. */
PL_NODISCARD enum pl_status sched_check_fit(const struct sched *sched, uint32_t kv_tokens_max,
                                            struct pl_error *err);

/* To the end of the queue. */
void sched_add(struct sched *sched, struct sched_seq *seq);

/* The next step; empty (n_items 0) only if there is no sequence. Valid until the next call of sched_plan. A plan
 * is either committed or all its sequences are removed before the next one. */
const struct sched_plan *sched_plan(struct sched *sched);

/* The plan's rows are in the KV cache now. */
void sched_commit(struct sched *sched);

/* The sequence, complete in the last commit, got one more known token. */
void sched_append(struct sched *sched, struct sched_seq *seq);

/* Out, from any state; its blocks are free at once. */
void sched_remove(struct sched *sched, struct sched_seq *seq);

/* Invariants 1 to 3 and the pool's; for tests. */
bool sched_check(const struct sched *sched);

#endif
