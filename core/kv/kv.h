/*
 * kv/kv.h - who owns which block of the paged KV cache.
 *
 * The cache is cut into blocks of P tokens. A pool keeps the free ones in a list and counts the owners
 * of the others; a table lists the blocks of one sequence, entry j holding its positions j*P .. j*P+P-1.
 * Nothing here knows what a block contains or where it lies.
 *
 *   pool   free_head -> 4 -> 1 -> 7 -> END       next[b] = KV_USED for a block that is owned
 *          refs[]       0 2 1 1 0 1 1 0
 *   table  blocks[]     3 | 1 | 5                48 tokens with P = 16
 *
 * Invariants (kv_pool_check):
 *   1. a block is in the free list exactly if refs[b] == 0;
 *   2. the free list has n_free entries and no cycle;
 *   3. refs[b] = number of table entries that name b (known to the callers only).
 *
 * Shared prefixes will join here: a table entry that is found instead of allocated takes kv_block_ref, and
 * a block whose refs fall to 0 may then wait in an eviction list before it is free.
 *
 * Ownership: the pool owns its two arrays; a table's storage belongs to whoever made the sequence.
 * Threads: one owner (the engine thread).  Errors: init may fail for memory; later nothing fails but "no free
 * block", and nothing allocates.  Limits: KV_BLOCKS_MAX.
 * Source: Kwon et al., "Efficient memory management for LLM serving with PagedAttention", SOSP 2023.
 */
#ifndef KV_KV_H
#define KV_KV_H

#include <polder/status.h>

#define KV_BLOCKS_MAX (1u << 30) /* block numbers are int32 in the block table of a step */

struct kv_pool {
    uint32_t n_blocks;
    uint32_t block_tokens; /* P */
    uint32_t n_free;
    uint32_t free_head; /* first free block, or KV_END */
    uint32_t *next;     /* [n_blocks] the free block after this one, KV_END, or KV_USED */
    uint32_t *refs;     /* [n_blocks] owners */
};

/* The blocks of one sequence, in order. */
struct kv_table {
    int32_t *blocks;       /* [n_blocks_max], the first n_blocks in use */
    uint32_t n_blocks;     /* owned now */
    uint32_t n_blocks_max; /* room in blocks */
};

PL_NODISCARD enum pl_status kv_pool_init(struct kv_pool *pool, uint32_t n_blocks,
                                         uint32_t block_tokens, struct pl_error *err);
void kv_pool_deinit(struct kv_pool *pool); /* accepts a zeroed pool */

/* Blocks that n_tokens take. */
uint32_t kv_blocks_for(const struct kv_pool *pool, uint32_t n_tokens);

/* A free block with one owner; false if there is none. O(1). */
PL_NODISCARD bool kv_block_alloc(struct kv_pool *pool, int32_t *ret_block);

/* One more owner; one owner less, and the last one frees it. O(1). The block must be owned (PL_CHECK). */
void kv_block_ref(struct kv_pool *pool, int32_t block);
void kv_block_unref(struct kv_pool *pool, int32_t block);

/* Grows the table until it holds n_tokens: all the blocks, or none and false. n_tokens must be within the
 * table's room (PL_CHECK). */
PL_NODISCARD bool kv_table_grow(struct kv_table *table, struct kv_pool *pool, uint32_t n_tokens);

/* Gives all blocks back, the tail first. */
void kv_table_clear(struct kv_table *table, struct kv_pool *pool);

/* Invariants 1 and 2, in O(n_blocks): for tests and after a fault. */
bool kv_pool_check(const struct kv_pool *pool);

#endif
