/*
 * kv/internal.h - the cache's inside, shared by its files; nothing else includes it.
 *
 *   cache.c   open, close, room, statistics, check      begin.c   kv_seq_begin;  seq.c  the rest of a sequence
 *   hash.c    names of blocks                           blocks.c  device blocks: taken, released, evicted
 *   shelf.c   places found by hash, freed by age           tiers*.c  RAM and disk
 *   links.h   queues of numbers                           disk_*.c  I/O thread, file, folder
 */
#ifndef KV_INTERNAL_H
#define KV_INTERNAL_H

#include <stdatomic.h>

#include "base/blake2b.h"

#include "cache.h"
#include "shelf.h"
#include "tiers.h"

enum kv_source { KV_FROM_DEVICE, KV_FROM_RAM, KV_FROM_DISK };

/* Device blocks of one group. */
struct kv_group {
    struct kv_shelf shelf; /* label = hash while indexed; taken = held */
    uint32_t *refs;        /* [n] sequences that hold the block */
    uint8_t *source; /* [n] enum kv_source: how its content came here, until a hit has counted it */
    uint32_t window_tokens; /* 0 = full attention */
    uint64_t block_bytes;
};

/* Written by the owner thread, read by any. */
struct kv_counters {
    _Atomic uint64_t held, cached; /* group 0, as of the last call */
    _Atomic uint64_t queried_tokens, hit_tokens, ram_hit_tokens, disk_hit_tokens, evicted_blocks;
};

struct kv_cache {
    struct kv_cache_options o; /* disk_dir is not kept */
    struct kv_group groups[KV_GROUPS_MAX];
    struct blake2b scope_hash; /* states that have swallowed the key */
    struct blake2b block_hash;
    struct kv_seq **held; /* [seqs_max + 1], the first n_held in use */
    uint32_t n_held;
    enum pl_status device_status; /* what a device copy failed with first; PL_OK = nothing */
    struct pl_error device_error;
    struct kv_counters counters;
    struct kv_tiers *tiers; /* NULL without */
};

static inline void kv_count(_Atomic uint64_t *counter, uint64_t n)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + n, memory_order_relaxed);
}

/* hash.c */
void kv_hash_keys(struct kv_cache *cache, const unsigned char key[32]);

/* blocks.c: n blocks are to be had by eviction; a block with one owner (there must be one to be had); an owner
 * more; one less. */
bool kv_blocks_available(const struct kv_group *group, uint64_t n);
int32_t kv_block_take(struct kv_cache *cache, uint32_t group_i);
void kv_block_hold(struct kv_group *group, int32_t block);
void kv_block_release(struct kv_cache *cache, uint32_t group_i, int32_t block);
void kv_block_forget(struct kv_cache *cache, uint32_t group_i,
                     uint32_t block); /* not findable any more */
void kv_device_failed(struct kv_cache *cache, enum pl_status status, const struct pl_error *err);
void kv_publish(struct kv_cache *cache); /* statistics of group 0 */

/* seq.c: into the list of held sequences. begin.c: all its blocks, the tail first. */
void kv_seq_hold(struct kv_cache *cache, struct kv_seq *seq);
void kv_seq_give_back(struct kv_cache *cache, struct kv_seq *seq);
void kv_seq_count_hit(struct kv_cache *cache,
                      struct kv_seq *seq); /* before the first blocks change */

/* First block that position n_tokens (the next) and later ones of that group can see. */
uint32_t kv_first_seen(const struct kv_cache *cache, uint32_t group_i, uint32_t n_tokens);

#endif
