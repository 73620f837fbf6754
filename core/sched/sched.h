/*
 * sched/sched.h - which tokens are computed in the next step, and whose.
 *
 * A sequence is a list of known tokens of which the first n_computed are in the KV cache; a step computes more of them,
 * and the row of the last known token gives the logits of the next one. So decode, chunked prefill and
 * recomputing after a preemption are one thing. Behind the known tokens of a decode may stand n_draft guesses
 * (speculation): their rows are computed too, and sched_append says how many of them turned out right.
 *
 *                  sched_add                 sched_plan: admit
 *        (outside) ---------> WAITING ------------------------------> PREFILL
 *            ^                  ^  ^                                   |   |
 *            |                  |  +--- sched_plan: preempt -----------+   | sched_commit: all known
 *            |                  |                                          v tokens computed
 *            |                  +------ sched_plan: preempt ------------- DECODE <-+
 *            +-- sched_remove (any state)          sched_fork: straight to  |      | sched_append +
 *                                                                           +------+ plan + commit
 *
 * Who comes first: priority (lower value first), then the tenant that has been served least for its weight
 * (virtual token counter), then the earliest deadline, then arrival. Preemption goes the other way round. A
 * preempted sequence keeps what the KV cache keeps of it: kv_seq_begin finds it again.
 *
 * The budget: one for decodes and prefill chunks together, rows_max at the most. While sequences decode, chunks
 * are cut so that a step takes at most step_target_ns by a model of step time that is fitted to the measured
 * steps (0: under twice what the same decodes take without a chunk, so that a long prompt doesn't double
 * anyone's time between tokens).
 *
 * Invariants: see docs/internals/sched.md; sched_check.
 * Ownership: the caller owns sequences, tenants' names are copied, the cache outlives the scheduler.
 * Threads: one owner.  Errors: sched_open for memory, sched_check_fit; the rest can't fail, allocates nothing.
 * Limits: those of its options.
 * Source: token budget after vLLM's V1 scheduler; Sheng et al., "Fairness in Serving Large Language Models",
 * OSDI 2024 (virtual token counter); ours, docs/internals/sched.md.
 */
#ifndef SCHED_SCHED_H
#define SCHED_SCHED_H

#include "kv/cache.h"

#define SCHED_OUT_LAST UINT32_MAX /* out_from: logits of the last known token only */

enum sched_state {
    SCHED_OUTSIDE = 0,
    SCHED_WAITING,
    SCHED_PREFILL, /* running, more than one known token is not computed */
    SCHED_DECODE,  /* running, all but the newest token are computed */
};

struct sched_tenant; /* the scheduler's account of one tenant */
struct sched_seq;

struct sched_link { /* of a tree, the scheduler's */
    struct sched_seq *left, *right;
};

/* Embedded in the caller's request. The caller zeroes it and sets the first part before sched_add, calls
 * kv_seq_init on kv, and changes out_from, n_draft and ids' contents beyond n_tokens afterwards; it reads the rest. */
struct sched_seq {
    const int32_t *ids;     /* known tokens and drafts; stays where it is */
    uint32_t n_tokens;      /* known: prompt and generated; >= 1 */
    uint32_t kv_tokens_max; /* the most that will ever be computed; room of kv */
    uint32_t out_from;      /* rows of this position and beyond give logits; SCHED_OUT_LAST */
    uint32_t
        n_draft; /* guesses at ids[n_tokens..]; used in DECODE, as many as fit; reset by commit */
    int32_t priority;            /* lower first; 0 normal */
    int64_t deadline_ns;         /* on sched_plan's clock: first token wanted by then; 0 = none */
    bool no_reuse;               /* begins without a look into the cache */
    struct sched_tenant *tenant; /* sched_tenant_enter */

    struct kv_seq kv; /* blocks */
    enum sched_state state;
    uint32_t n_computed; /* of the known tokens, in the KV cache */
    uint32_t n_cached;   /* of them, found in the cache at the first admission */
    uint32_t n_preemptions;
    int64_t added_ns, admitted_ns; /* first admission; 0: not yet */
    struct sched_seq *prev, *next; /* the scheduler's, as all that follows: running or set aside */
    struct sched_link links[2];    /* in its tenant's tree of its state; in the tree of deadlines */
    uint64_t arrival;
    int64_t due_ns;    /* order within a tenant: deadline, or a while after arrival */
    uint32_t n_prompt; /* known tokens when added */
    uint32_t n_high; /* positions below were in the cache once: charged, and recomputed if again */
    uint32_t n_blocks;      /* of kv, as counted for its tenant */
    uint32_t n_pledged;     /* blocks that its prefill is still to take */
    uint32_t n_since;       /* rows computed since its admission */
    uint32_t n_yields;      /* preemptions in favour of a tenant served less */
    uint32_t n_guessed;     /* drafts in the last commit */
    uint32_t item_i;        /* its item in the plan, if planned */
    uint32_t stall_plans;   /* plans in a row in which the stall brought nothing new */
    uint32_t stall_pending; /* the block that was pending at the last stall */
    int64_t stalled_ns;     /* since then */
    bool stalled;           /* kv_seq_begin answered LOADING or PENDING */
    bool aside;             /* stalled, and not in the tenant's tree */
    bool planned;           /* in the plan that is not committed yet */
};

/* A run of rows of one sequence: tokens start .. start+n_rows-1; the last n_outputs rows give logits. */
struct sched_item {
    struct sched_seq *seq;
    uint32_t start;
    uint32_t n_rows;
    uint32_t n_outputs;
    uint32_t n_draft; /* of n_rows, the last ones are guesses */
    bool complete;    /* the run holds the last known token: a new one can be sampled */
};

struct sched_plan {
    struct sched_item
        *items; /* [n_items], distinct; seq is NULL once it was removed before the commit */
    uint32_t n_items, n_rows, n_outputs;
    uint32_t n_decode_rows; /* of n_rows, those of sequences in DECODE, drafts included */
};

struct sched_options {
    struct kv_cache *cache; /* outlives the scheduler; kv_seq_grow spans at most rows_max */
    uint32_t rows_max;      /* token budget of a step */
    uint32_t seqs_max;      /* running sequences, <= rows_max, <= outputs_max */
    uint32_t outputs_max;   /* rows with logits in a step */
    uint32_t tenants_max;   /* with sequences inside at the same time */
    int64_t step_target_ns; /* 0 = twice the decodes' own time */
};

struct sched;

PL_NODISCARD enum pl_status sched_open(const struct sched_options *options, struct sched **ret,
                                       struct pl_error *err);
void sched_close(struct sched *sched); /* accepts NULL; sequences must be outside */

/* PL_ELIMIT with the numbers if a sequence of that many computed tokens can never run here. Any thread. */
PL_NODISCARD enum pl_status sched_check_fit(const struct sched *sched, uint32_t kv_tokens_max,
                                            struct pl_error *err);

/* ---- tenants --------------------------------------------------------------------------------- */

/* The account of a name, made if there is none; one more user of it. weight > 0: its share relative to others (the
 * latest one given holds). NULL if tenants_max accounts are in use. An account that nobody uses may be forgotten:
 * who comes back is treated as the least served of those inside, as in the paper. */
struct sched_tenant *sched_tenant_enter(struct sched *sched, const char *name, size_t n,
                                        float weight);
void sched_tenant_leave(struct sched *sched, struct sched_tenant *tenant);

struct sched_tenant_stats {
    char name[64]; /* cut */
    float weight;
    double counter;                        /* virtual tokens */
    uint64_t prompt_tokens, output_tokens; /* computed for it (cached ones cost nothing) */
    uint32_t running, waiting;
};
/* Tenants in use, at most n_max, by name; how many there are. Owner thread. */
uint32_t sched_tenants(const struct sched *sched, struct sched_tenant_stats *ret, uint32_t n_max);

/* ---- sequences ------------------------------------------------------------------------------- */

void sched_add(struct sched *sched, struct sched_seq *seq, int64_t now_ns);

/* `to` (outside, n_tokens equal to from's) joins as a copy of `from`, which is complete in the last commit:
 * shares its computed blocks and decodes beside it. False if there is no seat or no room now: nothing changed (add it
 * instead; it finds the shared blocks in the cache). */
PL_NODISCARD bool sched_fork(struct sched *sched, const struct sched_seq *from,
                             struct sched_seq *to, int64_t now_ns);

/* The next step. Empty (n_items 0) if there is no sequence, or all that there are wait for blocks from disk (then
 * kv's on_ready wakes the caller). Valid until the next call. A plan is either committed or all its sequences
 * are removed before the next one. */
const struct sched_plan *sched_plan(struct sched *sched, int64_t now_ns);

/* The plan's rows are in the KV cache now; took_ns: how long the device took for them, 0 = unknown. */
void sched_commit(struct sched *sched, int64_t took_ns);

/* The sequence, complete in the last commit, got n >= 1 more known tokens: n-1 right guesses and a new one. */
void sched_append(struct sched *sched, struct sched_seq *seq, uint32_t n);

/* Out, from any state; its blocks are free at once, or cached. */
void sched_remove(struct sched *sched, struct sched_seq *seq);

/* A waiting sequence whose deadline has passed before its first token, or NULL: to be removed and refused. */
struct sched_seq *sched_expired(struct sched *sched, int64_t now_ns);

/* Running sequences, any order: the first of them, or NULL. To end them all after a device error. */
struct sched_seq *sched_first_running(const struct sched *sched);

struct sched_stats {
    uint32_t running, waiting,
        stalled; /* stalled: of waiting, for blocks from disk or being computed */
    uint64_t preemptions, preempted_tokens; /* tokens: computed ones given up, found again or not */
    uint64_t recomputed_tokens;             /* computed more than once */
    double step_fixed_ns, step_decode_ns,
        step_prefill_ns; /* the fitted model: per step, decode row, prefill row */
    uint32_t chunk_rows; /* prefill rows of the latest mixed step */
};
void sched_stats(const struct sched *sched, struct sched_stats *ret); /* owner thread */

/* Invariants; for tests. */
bool sched_check(const struct sched *sched);

#endif
