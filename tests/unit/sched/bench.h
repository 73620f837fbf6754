/*
 * bench.h - a scheduler with its real cache, on a modelled device, for the tests of this folder.
 *
 * The device is an array that remembers for each place of each block which tokens it was computed from, so that
 * bench_run can tell whether every row that runs would have found the right keys and values.
 *
 * Clients are sequences with a goal. Their tokens follow from seeds: equal seeds, equal prompts.
 *
 * Errors: every breach fails the test.  Threads: one.  Source: ours.
 */
#ifndef BENCH_H
#define BENCH_H

#include <semaphore.h>

#include "sched/sched.h"

#define P 16 /* tokens of a block here */

struct bench {
    struct kv_cache *cache;
    struct sched *sched;
    struct sched_options options;
    uint64_t *content[2]; /* by group: [n_blocks * P] chain of the tokens up to there */
    uint32_t window;      /* of the second group; 0 = there is none */
    sem_t ready;          /* posted by the disk tier's thread */
    int64_t now_ns;
    uint64_t n_steps, n_rows, n_copies, n_waits;
    bool fast; /* long experiments: looks at the whole every 64 steps, at no contents */
};

struct bench_options {
    uint32_t n_blocks, rows, seqs, outputs,
        tenants; /* 0: rows 64, seqs 8, outputs = rows, tenants 8 */
    int64_t step_target_ns;
    uint32_t
        window; /* > 0: a second group, of just the blocks that windows and a step's rows take */
    uint32_t n_ram_blocks; /* tiers */
    const char *disk_dir;
    uint32_t n_disk_blocks;
};

void bench_open(struct bench *b, const struct bench_options *options);
void bench_close(struct bench *b); /* all blocks must have come back */

/* A sequence that leaves when it has n_goal tokens. */
struct client {
    struct sched_seq seq; /* first: client_of casts */
    int32_t *ids;
    void *storage;
    uint64_t seed;
    uint32_t n_prompt, n_goal;
    uint32_t n_draft;   /* guesses that it makes after each token */
    uint32_t right_of8; /* of eight guesses, how many are right */
    uint32_t n_forks;   /* still to be made when the prompt is done */
    uint32_t n_sampled;
    struct client *forks;
    uint64_t first_step;                 /* of its first row; UINT64_MAX: none */
    int64_t added_ns, first_ns, last_ns; /* token times */
    int64_t gap_max_ns;
    bool done;
};

struct client_options {
    const char *tenant; /* NULL: "one" */
    float weight;       /* 0: 1 */
    uint64_t seed;
    uint32_t n_shared; /* first tokens of the prompt that depend on `shared` only */
    uint64_t shared;
    uint32_t n_prompt, n_new;
    uint32_t out_from; /* 0: SCHED_OUT_LAST */
    int32_t priority;
    int64_t deadline_ns;
};

void client_open(struct bench *b, struct client *c, const struct client_options *options);
void client_close(struct bench *b,
                  struct client *c); /* removes it if it is inside; accepts a zeroed one */
void client_add(struct bench *b, struct client *c);
struct client *client_of(struct sched_seq *seq);

/* Opens and adds. */
void client_start(struct bench *b, struct client *c, const struct client_options *options);

/* Plans, checks the plan from outside, and leaves it. Waits for the disk where all others do. */
const struct sched_plan *bench_plan(struct bench *b);
/* What the engine does after a step: rows into the cache, commit, tokens, guesses, forks; the clock moves. */
void bench_finish(struct bench *b, const struct sched_plan *plan, int64_t took_ns);
/* Both; took_ns 0. */
const struct sched_plan *bench_step(struct bench *b);

#endif
