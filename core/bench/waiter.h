/*
 * bench/waiter.h - waits for requests to finish while their events arrive on the engine's thread.
 *
 * Ownership: the caller's.  Threads: finish and fail from the engine thread, wait from the caller's;
 * guarded by lock.  Errors: the first failure is kept.  Limits: none.  Source: ours.
 */
#ifndef BENCH_WAITER_H
#define BENCH_WAITER_H

#include <polder/status.h>

#include <pthread.h>

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t done;
    uint32_t pending;     /* guarded by lock */
    struct pl_error fail; /* guarded by lock; "" while all is well */
};

void waiter_init(struct waiter *waiter);
void waiter_deinit(struct waiter *waiter);
void waiter_add(struct waiter *waiter, uint32_t n);

/* One request is over; message: NULL or why it failed. */
void waiter_finish(struct waiter *waiter, const char *message);

/* Until all are over; false if one failed, with its message in fail. */
PL_NODISCARD bool waiter_wait(struct waiter *waiter);

#endif
