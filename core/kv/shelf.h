/*
 * kv/shelf.h - numbered places for blocks, found by hash, freed in the order of last use.
 *
 * The device blocks of a group, the slots of the RAM tier and those of the disk file are each one shelf.
 *
 *   buckets[hash] -> place -> place        chain[]: labelled places whose hashes share a bucket
 *   free  <-> place <-> place <-> free     unlabelled, empty
 *   lru   <-> oldest <-> newest <-> lru    labelled, nobody uses it: may be taken for something else
 *   taken                                  in no list: held, or under a transfer; labelled or not
 *
 * Invariants (kv_shelf_check): each place is free, in the LRU list or taken; a free place has no label; a place
 * in the LRU list has one; each label is found by its hash, at one place only.
 *
 * Ownership: the shelf owns its arrays.  Threads: one owner.  Errors: init may fail for memory; later nothing
 * fails or allocates.  All operations are O(1), find expected.  Source: ours.
 */
#ifndef KV_SHELF_H
#define KV_SHELF_H

#include "cache.h"

#define KV_NONE UINT32_MAX

enum kv_place_state { KV_PLACE_FREE, KV_PLACE_LRU, KV_PLACE_TAKEN };

struct kv_shelf {
    uint32_t n;           /* places */
    uint32_t n_free;      /* in the free list */
    uint32_t n_lru;       /* in the LRU list */
    uint32_t mask;        /* buckets less one; a power of two */
    struct kv_hash *hash; /* [n] label; zero = none */
    uint32_t *buckets;    /* [mask + 1] first place, or KV_NONE */
    uint32_t *chain;      /* [n] next place of the bucket, or KV_NONE */
    uint32_t *next; /* [n + 2] circular; node n heads the free list, node n + 1 the LRU list */
    uint32_t *prev; /* [n + 2] */
    uint8_t *state; /* [n] enum kv_place_state */
};

static inline bool kv_hash_is_zero(const struct kv_hash *hash)
{
    return (hash->w[0] | hash->w[1]) == 0;
}

static inline bool kv_hash_equal(const struct kv_hash *a, const struct kv_hash *b)
{
    return a->w[0] == b->w[0] && a->w[1] == b->w[1];
}

PL_NODISCARD bool kv_shelf_init(struct kv_shelf *shelf, uint32_t n);
void kv_shelf_deinit(struct kv_shelf *shelf); /* accepts a zeroed shelf */

/* The place with that label, or KV_NONE. */
uint32_t kv_shelf_find(const struct kv_shelf *shelf, const struct kv_hash *hash);

/* Labels a taken place with a hash that no place has; takes a label off (if there is one). */
void kv_shelf_label(struct kv_shelf *shelf, uint32_t place, const struct kv_hash *hash);
void kv_shelf_unlabel(struct kv_shelf *shelf, uint32_t place);

/* Off its list. The place must be in one. */
void kv_shelf_take(struct kv_shelf *shelf, uint32_t place);

/* A taken place back into a list: free (its label comes off), or into the LRU list as its newest or oldest. */
void kv_shelf_put_free(struct kv_shelf *shelf, uint32_t place);
void kv_shelf_put_newest(struct kv_shelf *shelf, uint32_t place);
void kv_shelf_put_oldest(struct kv_shelf *shelf, uint32_t place);

/* A place of the LRU list becomes its newest; a taken one is left alone. */
void kv_shelf_touch(struct kv_shelf *shelf, uint32_t place);

/* First of the free list, oldest of the LRU list; KV_NONE where it is empty. */
uint32_t kv_shelf_first_free(const struct kv_shelf *shelf);
uint32_t kv_shelf_oldest(const struct kv_shelf *shelf);

bool kv_shelf_check(const struct kv_shelf *shelf);

#endif
