/*
 * cpu/pool.h - one team of threads that walks an op list together.
 *
 * A job is run by all workers, the caller being worker 0. Inside a job there are two means of working
 * together: pool_next hands out chunk numbers 0, 1, 2, ... to whoever asks first, and pool_barrier
 * waits for all and starts the numbers anew. Which worker got which chunk must never show in a result.
 *
 * Waiting is a bounded spin (with sched_yield, so that a worker whose core was taken gets it back) and
 * then a futex sleep.
 *
 * Ownership: pool_free joins the threads.  Threads: pool_run from one thread at a time; pool_next and
 * pool_barrier from inside a job.  Errors: PL_ENOMEM, PL_ELIMIT (no more threads).
 * Limits: POOL_THREADS_MAX.  Source: ours; futex(2).
 */
#ifndef CPU_POOL_H
#define CPU_POOL_H

#include <polder/status.h>

#define POOL_THREADS_MAX 1024 /* more than any board has cores; bounds a foolish setting */

struct pool;

struct worker {
    struct pool *pool;
    uint32_t i; /* 0 = the caller of pool_run */
};

typedef void pool_job_fn(struct worker *worker, void *arg);

struct pool_options {
    uint32_t n_threads; /* 1 .. POOL_THREADS_MAX, including the caller */
    uint32_t spin_us;   /* how long to spin before sleeping */
    bool pin;           /* worker i onto the i-th allowed processor; never the caller */
};

PL_NODISCARD enum pl_status pool_new(const struct pool_options *options, struct pool **ret,
                                     struct pl_error *err);
void pool_free(struct pool *pool);
uint32_t pool_threads(const struct pool *pool);

/* Runs fn on all workers; returns when all are done. */
void pool_run(struct pool *pool, pool_job_fn *fn, void *arg);

/* Waits for all workers of the job; what they wrote before is visible after. */
void pool_barrier(struct worker *worker);

/* The next chunk number below n, or -1 when there is none left before the next barrier. */
int64_t pool_next(struct worker *worker, int64_t n);

#endif
