/*
 * kv/tiers.h - where blocks go when the device needs the room: slots in RAM, slots in a file.
 *
 *   device block --evicted, or copied ahead--> RAM slot --store job--> disk slot
 *        ^                                      ^   |                      |
 *        +---------- kv_seq_begin --------------+---+<------ load job -----+
 *
 * A RAM slot is free, in its LRU list (content known by hash) or taken: by a job, or while begin reads it. Without a
 * RAM tier a few slots exist all the same: what passes between device and disk rests there.
 * A disk slot is free, in its LRU list, or taken: labelled while it is loaded from, unlabelled while it is stored to.
 *
 * What a sequence gives back is copied to disk ahead of its eviction, a little at a time (KV_AHEAD_SHARE of the
 * owner's time), tail first as it was given back: so a restart finds it, and it leaves the disk tail first too.
 *
 * Ownership: the cache's.  Threads: the owner's; the I/O thread sees jobs only (disk_io.h).
 * Errors: open; a disk that fails is switched off with a log line; a device that fails: kv_device_failed.
 * Source: ours, docs/internals/kv.md.
 */
#ifndef KV_TIERS_H
#define KV_TIERS_H

#include <stdatomic.h>

#include "disk_io.h"
#include "links.h"
#include "shelf.h"

#define KV_AHEAD_SHARE   20u         /* copying ahead takes one part in 20 of the owner's time */
#define KV_STAGING_SLOTS 64u         /* per group, where there is no RAM tier */
#define KV_STAGING_LEAST 4u          /* of them, however large a block is */
#define KV_STAGING_BYTES (64u << 20) /* of all of them, if the least allows */

#define KV_SLOT_FROM_DISK 1u /* loaded, and not used since */
#define KV_SLOT_COLD      2u /* a copy made ahead: the device has it too */
#define KV_SLOT_STORING   4u /* a store job has it */
#define KV_SLOT_VOID      8u /* the cache was reset while a job had it */

/* RAM slots of one group. */
struct kv_ram {
    struct kv_shelf shelf;
    unsigned char *bytes; /* [n][block_bytes] */
    uint32_t *users;      /* [n] jobs and readers; > 0 exactly for taken slots */
    uint8_t *flags;       /* [n] KV_SLOT_* */
    uint32_t first_job;   /* slot i's job is jobs[first_job + i] */
    uint32_t n_loading;   /* slots that load jobs have */
};

struct kv_tiers {
    bool has_ram; /* else the slots are staging only */
    struct kv_ram ram[KV_GROUPS_MAX];
    struct kv_shelf disk[KV_GROUPS_MAX];  /* n = 0 without a disk tier */
    struct kv_links ahead[KV_GROUPS_MAX]; /* device blocks to be copied to disk, labelled */
    struct kv_links unwritten;            /* jobs' numbers: RAM slots, labelled, to be stored */
    struct kv_job *jobs;                  /* [n_jobs] one for each RAM slot */
    uint32_t n_jobs;
    uint32_t n_storing, n_loading; /* jobs under way */
    uint32_t store_max;            /* at most so many slots wait for or are in a store job */
    uint32_t ahead_turn;           /* group to copy ahead from next */
    int64_t ahead_ns;              /* not before this time */
    uint64_t number;               /* of the next store */
    uint64_t n_done;               /* jobs that came back */
    struct kv_io *io;              /* NULL without a disk tier */
    bool disk_on;                  /* it has not failed */
    _Atomic uint64_t ram_blocks, disk_blocks; /* as of the last call */
    _Atomic uint64_t ram_stored, disk_stored, disk_dropped, disk_errors;
};

struct kv_cache;
struct kv_seq;

/* NULL without tiers. *ret_key: the key of block names, if the disk tier has one (else untouched). */
PL_NODISCARD enum pl_status kv_tiers_open(struct kv_cache *cache,
                                          const struct kv_cache_options *options,
                                          unsigned char ret_key[32], struct pl_error *err);
void kv_tiers_close(struct kv_cache *cache); /* stores what waits first */
void kv_tiers_flush_and_stop(struct kv_cache *cache);

void kv_tiers_publish(struct kv_cache *cache); /* statistics */

/* Takes back jobs that are done, submits stores that there is room for. First thing in each call of the cache. */
void kv_tiers_drain(struct kv_cache *cache);

/* The RAM slot of that block, or KV_NONE; whether the disk has it, or is loading it. */
uint32_t kv_tiers_in_ram(const struct kv_cache *cache, uint32_t group_i,
                         const struct kv_hash *hash);
bool kv_tiers_on_disk(const struct kv_cache *cache, uint32_t group_i, const struct kv_hash *hash);

/* A labelled device block is about to be evicted; an owner gave it back; its label comes off. */
void kv_tiers_evict(struct kv_cache *cache, uint32_t group_i, uint32_t block);
void kv_tiers_given_back(struct kv_cache *cache, uint32_t group_i, uint32_t block);
void kv_tiers_forget(struct kv_cache *cache, uint32_t group_i, uint32_t block);

/* A reader more or less of a RAM slot, which stays meanwhile. */
void kv_ram_hold(struct kv_ram *ram, uint32_t slot);
void kv_ram_release(struct kv_ram *ram, uint32_t slot);

/* Begins to load what the first n blocks of seq need from disk. False if waiting is of no use: take what is there. */
bool kv_tiers_load(struct kv_cache *cache, struct kv_seq *seq, uint32_t n);

/* Whether seq, told to wait, has nothing new to look at. */
bool kv_tiers_still_loading(const struct kv_cache *cache, const struct kv_seq *seq);

/* Copies a block ahead if it is time; see kv_cache_idle. */
void kv_tiers_tick(struct kv_cache *cache);
bool kv_tiers_idle(struct kv_cache *cache);

void kv_tiers_reset(struct kv_cache *cache);
bool kv_tiers_check(const struct kv_cache *cache);

#endif
