/* The disk tier's I/O thread; see disk_io.h. */
#include "disk_io.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/banned.h"

/* A ring of job numbers: each job is in one queue at most, so none can be full. */
struct queue {
    uint32_t *ring; /* [n_jobs] */
    uint32_t head, count;
};

struct kv_io {
    struct kv_disk_file file; /* the thread's */
    struct kv_job *jobs;
    uint32_t n_jobs;
    uint32_t *rings; /* of the three queues */
    void (*on_ready)(void *user);
    void *user;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;              /* for the thread */
    pthread_cond_t finished;          /* for the owner */
    struct queue loads, stores, done; /* guarded by lock, as all below */
    uint32_t n_running;               /* jobs that the thread works on: 0 or 1 */
    uint32_t clears, clears_done;     /* asked for; carried out or under way */
    bool stop, wake_when_stored;
    bool failed;             /* the thread's: the file can't be used any more */
    struct pl_error error;   /* the thread's: why */
    _Atomic uint32_t n_done; /* = done.count, for a look without the lock */
};

static void push(const struct kv_io *io, struct queue *queue, uint32_t job_i)
{
    PL_CHECK(queue->count < io->n_jobs);
    queue->ring[(queue->head + queue->count++) % io->n_jobs] = job_i;
}

static uint32_t pop(const struct kv_io *io, struct queue *queue)
{
    uint32_t job_i = queue->ring[queue->head];
    queue->head = (queue->head + 1) % io->n_jobs;
    queue->count--;
    return job_i;
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Without the lock. */
static void run(struct kv_io *io, struct kv_job *job, bool is_void)
{
    if (io->failed) {
        job->result = PL_ECLOSED;
        job->error = io->error;
    } else if (is_void) {
        job->result = PL_ECANCELED;
    } else if (job->op == KV_JOB_LOAD) {
        job->result = kv_disk_read(&io->file, job->group_i, job->disk_slot, &job->hash, job->data,
                                   &job->error);
    } else {
        job->result = kv_disk_write(&io->file, job->group_i, job->disk_slot, job->number,
                                    &job->hash, job->data, &job->error);
    }
    if (job->result == PL_EIO) {
        io->failed = true;
        io->error = job->error;
    }
}

static void clear(struct kv_io *io)
{
    if (!io->failed && kv_disk_clear(&io->file, &io->error) != PL_OK)
        io->failed = true; /* the owner hears of it with the next job */
}

/* With the lock, which is given up meanwhile: what was done before is to be seen by whom it wakes. */
static void tell(struct kv_io *io)
{
    pthread_mutex_unlock(&io->lock);
    if (io->on_ready != NULL)
        io->on_ready(io->user);
    pthread_mutex_lock(&io->lock);
}

/* One piece of work; with the lock, which is given up meanwhile. False if there is none. */
static bool work_once(struct kv_io *io)
{
    if (io->clears != io->clears_done) {
        io->clears_done = io->clears;
        pthread_mutex_unlock(&io->lock);
        clear(io);
        pthread_mutex_lock(&io->lock);
        return true;
    }
    if (io->wake_when_stored && io->stores.count == 0) {
        io->wake_when_stored = false;
        tell(io);
        return true;
    }
    struct queue *queue = io->loads.count > 0 ? &io->loads : &io->stores;
    if (queue->count == 0)
        return false;
    uint32_t job_i = pop(io, queue);
    struct kv_job *job = &io->jobs[job_i];
    bool is_void = job->clears != io->clears_done;
    bool notify = job->notify;
    io->n_running = 1;
    pthread_mutex_unlock(&io->lock);
    run(io, job, is_void);
    pthread_mutex_lock(&io->lock);
    io->n_running = 0;
    push(io, &io->done, job_i);
    atomic_store_explicit(&io->n_done, io->done.count, memory_order_release);
    pthread_cond_signal(&io->finished);
    if (notify)
        tell(io);
    return true;
}

static void *io_main(void *user)
{
    struct kv_io *io = user;
    pthread_mutex_lock(&io->lock);
    for (;;) {
        if (work_once(io))
            continue;
        if (io->stop)
            break;
        pthread_cond_wait(&io->work, &io->lock);
    }
    pthread_mutex_unlock(&io->lock);
    return NULL;
}

/* ---- the owner's side ------------------------------------------------------------------------ */

/* The new thread gets no signals: those are for the program's own threads. */
static bool start_thread(struct kv_io *io)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return false;
    bool ok = pthread_create(&io->thread, NULL, io_main, io) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

static void release(struct kv_io *io)
{
    kv_disk_close(&io->file);
    pthread_cond_destroy(&io->finished);
    pthread_cond_destroy(&io->work);
    pthread_mutex_destroy(&io->lock);
    free(io->rings);
    free(io);
}

enum pl_status kv_io_open(struct kv_disk_file *file, struct kv_job *jobs, uint32_t n_jobs,
                          void (*on_ready)(void *user), void *user, struct kv_io **ret,
                          struct pl_error *err)
{
    struct kv_io *io = calloc(1, sizeof *io);
    uint32_t *rings = calloc(n_jobs, 3 * sizeof *rings);
    if (io == NULL || rings == NULL) {
        free(io);
        free(rings);
        kv_disk_close(file);
        return pl_error_set(err, PL_ENOMEM, "kv: no memory for the queues of the disk tier");
    }
    io->file = *file;
    io->jobs = jobs;
    io->n_jobs = n_jobs;
    io->rings = rings;
    io->loads.ring = rings;
    io->stores.ring = rings + n_jobs;
    io->done.ring = rings + (size_t)2 * n_jobs;
    io->on_ready = on_ready;
    io->user = user;
    pthread_mutex_init(&io->lock, NULL);
    pthread_cond_init(&io->work, NULL);
    pthread_cond_init(&io->finished, NULL);
    if (!start_thread(io)) {
        release(io);
        return pl_error_set(err, PL_ENOMEM, "kv: no thread for the disk tier");
    }
    *ret = io;
    return PL_OK;
}

void kv_io_close(struct kv_io *io)
{
    if (io == NULL)
        return;
    pthread_mutex_lock(&io->lock);
    io->stop = true;
    pthread_cond_signal(&io->work);
    pthread_mutex_unlock(&io->lock);
    pthread_join(io->thread, NULL);
    release(io);
}

void kv_io_submit(struct kv_io *io, uint32_t job_i)
{
    struct kv_job *job = &io->jobs[job_i];
    pthread_mutex_lock(&io->lock);
    job->clears = io->clears;
    push(io, job->op == KV_JOB_LOAD ? &io->loads : &io->stores, job_i);
    pthread_cond_signal(&io->work);
    pthread_mutex_unlock(&io->lock);
}

bool kv_io_next_done(struct kv_io *io, bool wait, uint32_t *ret_job_i)
{
    if (!wait && atomic_load_explicit(&io->n_done, memory_order_acquire) == 0)
        return false;
    pthread_mutex_lock(&io->lock);
    while (wait && io->done.count == 0) {
        PL_CHECK(io->loads.count + io->stores.count + io->n_running > 0);
        pthread_cond_wait(&io->finished, &io->lock);
    }
    bool any = io->done.count > 0;
    if (any)
        *ret_job_i = pop(io, &io->done);
    atomic_store_explicit(&io->n_done, io->done.count, memory_order_relaxed);
    pthread_mutex_unlock(&io->lock);
    return any;
}

void kv_io_clear(struct kv_io *io)
{
    pthread_mutex_lock(&io->lock);
    io->clears++;
    pthread_cond_signal(&io->work);
    pthread_mutex_unlock(&io->lock);
}

void kv_io_wake_when_stored(struct kv_io *io)
{
    pthread_mutex_lock(&io->lock);
    io->wake_when_stored = true;
    pthread_cond_signal(&io->work);
    pthread_mutex_unlock(&io->lock);
}
