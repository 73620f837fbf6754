/*
 * fetch/part.h - a file while it comes in: FILE.part and FILE.part.info, until it is FILE and FILE.info.
 *
 *   open --write*--> whole --install--> FILE          reset: back to no bytes
 *     close at any point keeps both files; discard removes them
 *
 * Invariants: `have` bytes are in the file and in the hash, in order. What open finds counts only if the
 * record beside it is of the same URL, up to what was synced, or up to the file's end when the machine has
 * not been restarted since (a process that is killed loses nothing, a machine that crashes may). All bytes
 * found are hashed again, so that the digest at the end is one of bytes on this disk.
 *
 * Ownership: part_close takes the descriptor; the caller holds the model's lock.  Threads: one owner.
 * Errors: PL_ELIMIT when the disk is full, PL_EIO; the bytes before stay.  Source: ours.
 */
#ifndef FETCH_PART_H
#define FETCH_PART_H

#include <limits.h>

#include "base/sha256.h"
#include "info.h"

#define PART_SYNC_BYTES                                                                            \
    ((uint64_t)64 << 20) /* between fdatasync's: what a crash of the machine costs */

struct part {
    int fd;              /* -1 closed */
    char path[PATH_MAX]; /* of FILE; ".part" and so on are appended */
    struct info info;    /* as it will be written */
    uint64_t have;       /* bytes */
    uint64_t found;      /* of them, there when it was opened */
    struct sha256 hash;  /* of them all */
};

/* Called while found bytes are read; false stops (PL_ECANCELED). May be NULL. */
typedef bool part_tick_fn(void *user, uint64_t done, uint64_t total);

/* path: of FILE, absolute or not. url: what it comes from, without query. */
PL_NODISCARD enum pl_status part_open(struct part *part, const char *path, const char *url,
                                      part_tick_fn *tick, void *user, struct pl_error *err);
void part_close(struct part *part);

/* Forgets all bytes and what was known of the file. */
PL_NODISCARD enum pl_status part_reset(struct part *part, struct pl_error *err);

PL_NODISCARD enum pl_status part_write(struct part *part, const void *bytes, size_t n,
                                       struct pl_error *err);

/* Bytes and record reach the disk. */
PL_NODISCARD enum pl_status part_sync(struct part *part, struct pl_error *err);

/* The digest of what is there, which may grow further. */
void part_digest(const struct part *part, char ret[SHA256_HEX_BYTES]);

/* Closes, renames to FILE over an older one, and writes FILE.info. All bytes must be synced. */
PL_NODISCARD enum pl_status part_install(struct part *part, struct pl_error *err);

/* Closes and removes both files. */
void part_discard(struct part *part);

#endif
