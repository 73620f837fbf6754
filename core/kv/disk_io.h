/*
 * kv/disk_io.h - the thread that reads and writes blocks of the disk tier, so that the engine's never waits for a disk.
 *
 *   owner thread     kv_io_submit -> loads ---\                  /-> done -> kv_io_next_done
 *                                    stores ---+-> I/O thread --+
 *                    kv_io_clear  -> void before now            \-> on_ready after a load marked `notify`
 *
 * Loads go before stores. A job's buffer and fields belong to the I/O thread from submit until it comes back as done.
 * After the first error every job comes back failed at once.
 *
 * Ownership: the jobs' array is the caller's; open takes the file over.
 * Threads: one owner; `lock` guards queues and flags and is never held during I/O or a callback.
 * Errors: open; afterwards they are jobs' results.  Limits: as many jobs as were given.  Source: ours.
 */
#ifndef KV_DISK_IO_H
#define KV_DISK_IO_H

#include "disk_file.h"

enum kv_job_op { KV_JOB_LOAD, KV_JOB_STORE };

struct kv_job {
    void *data; /* a block of the group */
    struct kv_hash hash;
    uint64_t number; /* of a store */
    enum kv_job_op op;
    uint32_t group_i;
    uint32_t disk_slot;
    bool notify;           /* on_ready after it */
    uint32_t clears;       /* kv_io_clear calls before it; set by submit */
    enum pl_status result; /* PL_ECANCELED: cleared before it ran; PL_ECLOSED: after an error */
    struct pl_error error;
};

struct kv_io;

/* Takes over file (closes it even when it fails). */
PL_NODISCARD enum pl_status kv_io_open(struct kv_disk_file *file, struct kv_job *jobs,
                                       uint32_t n_jobs, void (*on_ready)(void *user), void *user,
                                       struct kv_io **ret, struct pl_error *err);
void kv_io_close(
    struct kv_io *io); /* works off what waits; done jobs are forgotten; accepts NULL */

/* A job that is not under way. */
void kv_io_submit(struct kv_io *io, uint32_t job_i);

/* A job that is done; false if there is none. Cheap then. wait: until there is one (some must be under way). */
PL_NODISCARD bool kv_io_next_done(struct kv_io *io, bool wait, uint32_t *ret_job_i);

/* Forgets the file's blocks; jobs submitted before it and not begun are not run. */
void kv_io_clear(struct kv_io *io);

/* on_ready, by the thread, once no store waits any more. */
void kv_io_wake_when_stored(struct kv_io *io);

#endif
