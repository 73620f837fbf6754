/*
 * cpu/pool.c - the thread team: start, jobs, barriers; see pool.h.
 *
 * Two words are waited on: `job` (workers between jobs) and `generation` (inside a job). Each is
 * incremented with sequential consistency before `sleepers` is read, and a sleeper counts itself before
 * the kernel compares the word again, so that no wake-up is lost.
 */
#include "pool.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CACHE_LINE  64
#define SPIN_BATCH  64         /* pauses between two looks at the clock: about 2 us */
#define STACK_BYTES (1u << 20) /* kernels keep less than 64 KiB on the stack */

struct pool_thread {
    struct worker worker;
    pthread_t thread;
};

/* Words that different workers write lie on cache lines of their own. */
struct pool { /* NOLINT(clang-analyzer-optin.performance.Padding) */
    /* Written by the caller before a job, read by all. */
    pool_job_fn *fn;
    void *arg;
    uint32_t n_threads;
    uint32_t spin_us;
    uint32_t n_started; /* threads to join */
    struct pool_thread *threads;
    void *memory; /* what to free: the pool starts at a cache line in it */
    _Alignas(CACHE_LINE) _Atomic uint32_t job;
    _Atomic uint32_t quit;
    _Alignas(CACHE_LINE) _Atomic uint32_t generation;
    _Atomic uint32_t sleepers;
    _Alignas(CACHE_LINE) _Atomic uint32_t arrived;
    _Alignas(CACHE_LINE) _Atomic int64_t next;
};

static inline void pause_core(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

static int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake_all(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* Returns once *word != old. */
static void wait_change(struct pool *pool, _Atomic uint32_t *word, uint32_t old)
{
    int64_t deadline = 0;
    for (;;) {
        for (int i = 0; i < SPIN_BATCH; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != old)
                return;
            pause_core();
        }
        int64_t now = now_us();
        if (deadline == 0)
            deadline = now + pool->spin_us;
        if (now >= deadline)
            break;
        sched_yield();
    }
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(word) == old)
        futex_wait(word, old);
    atomic_fetch_sub(&pool->sleepers, 1);
}

static void announce(struct pool *pool, _Atomic uint32_t *word)
{
    atomic_fetch_add(word, 1);
    if (atomic_load(&pool->sleepers) > 0)
        futex_wake_all(word);
}

void pool_barrier(struct worker *worker)
{
    struct pool *pool = worker->pool;
    if (pool->n_threads == 1) {
        atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
        return;
    }
    uint32_t generation = atomic_load_explicit(&pool->generation, memory_order_acquire);
    uint32_t before = atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel);
    if (before + 1 < pool->n_threads) {
        wait_change(pool, &pool->generation, generation);
        return;
    }
    atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    announce(pool, &pool->generation);
}

int64_t pool_next(struct worker *worker, int64_t n)
{
    /* Looking first keeps the number of increments, and so the counter, bounded. */
    if (atomic_load_explicit(&worker->pool->next, memory_order_relaxed) >= n)
        return -1;
    int64_t i = atomic_fetch_add_explicit(&worker->pool->next, 1, memory_order_relaxed);
    return i < n ? i : -1;
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct pool *pool = worker->pool;
    uint32_t seen = 0;
    for (;;) {
        wait_change(pool, &pool->job, seen);
        seen++;
        if (atomic_load_explicit(&pool->quit, memory_order_acquire) != 0)
            return NULL;
        pool->fn(worker, pool->arg);
        pool_barrier(worker);
    }
}

void pool_run(struct pool *pool, pool_job_fn *fn, void *arg)
{
    struct worker *caller = &pool->threads[0].worker;
    pool->fn = fn;
    pool->arg = arg;
    if (pool->n_threads > 1)
        announce(pool, &pool->job);
    fn(caller, arg);
    pool_barrier(caller);
}

static void pin_thread(pthread_t thread, uint32_t i)
{
    cpu_set_t allowed;
    cpu_set_t one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    uint32_t left = i % (uint32_t)PL_MAX(CPU_COUNT(&allowed), 1);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || left-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        pthread_setaffinity_np(thread, sizeof one, &one); /* a wish: failure harms nothing */
        return;
    }
}

static enum pl_status start_threads(struct pool *pool, bool pin, struct pl_error *err)
{
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0)
        return pl_error_set(err, PL_ENOMEM, "cpu: no memory for thread attributes");
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    int rc = 0;
    while (rc == 0 && pool->n_started + 1 < pool->n_threads) {
        struct pool_thread *t = &pool->threads[pool->n_started + 1];
        rc = pthread_create(&t->thread, &attr, work, &t->worker);
        if (rc != 0)
            break;
        pool->n_started++;
        if (pin)
            pin_thread(t->thread, pool->n_started);
    }
    pthread_attr_destroy(&attr);
    if (rc == 0)
        return PL_OK;
    return pl_error_set(err, rc == ENOMEM ? PL_ENOMEM : PL_ELIMIT,
                        "cpu: thread %u of %u could not be started", pool->n_started + 2,
                        pool->n_threads);
}

enum pl_status pool_new(const struct pool_options *options, struct pool **ret, struct pl_error *err)
{
    if (options->n_threads < 1 || options->n_threads > POOL_THREADS_MAX)
        return pl_error_set(err, PL_EINVAL, "cpu: %u threads, allowed 1 to %d", options->n_threads,
                            POOL_THREADS_MAX);
    uint8_t *memory = calloc(1, sizeof(struct pool) + CACHE_LINE);
    struct pool_thread *threads = calloc(options->n_threads, sizeof *threads);
    if (memory == NULL || threads == NULL) {
        free(memory);
        free(threads);
        return pl_error_set(err, PL_ENOMEM, "cpu: no memory for %u threads", options->n_threads);
    }
    void *aligned = memory + (-(uintptr_t)memory & (CACHE_LINE - 1));
    struct pool *pool = aligned;
    pool->memory = memory;
    pool->threads = threads;
    pool->n_threads = options->n_threads;
    pool->spin_us = options->spin_us;
    for (uint32_t i = 0; i < pool->n_threads; i++)
        threads[i].worker = (struct worker){.pool = pool, .i = i};
    enum pl_status status = start_threads(pool, options->pin, err);
    if (status != PL_OK) {
        pool_free(pool);
        return status;
    }
    *ret = pool;
    return PL_OK;
}

void pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    atomic_store_explicit(&pool->quit, 1, memory_order_release);
    announce(pool, &pool->job);
    for (uint32_t i = 1; i <= pool->n_started; i++)
        pthread_join(pool->threads[i].thread, NULL);
    free(pool->threads);
    free(pool->memory);
}

uint32_t pool_threads(const struct pool *pool)
{
    return pool->n_threads;
}
