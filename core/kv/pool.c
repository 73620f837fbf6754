/* Block pool and block tables; see kv.h. */
#include "kv.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/banned.h"

#define KV_END  UINT32_MAX       /* end of the free list */
#define KV_USED (UINT32_MAX - 1) /* not in the free list */

enum pl_status kv_pool_init(struct kv_pool *pool, uint32_t n_blocks, uint32_t block_tokens,
                            struct pl_error *err)
{
    if (n_blocks == 0 || n_blocks > KV_BLOCKS_MAX || block_tokens == 0)
        return pl_error_set(err, PL_EINVAL, "kv: %u blocks of %u tokens", n_blocks, block_tokens);
    uint32_t *arrays = calloc(n_blocks, 2 * sizeof *arrays);
    if (arrays == NULL)
        return pl_error_set(err, PL_ENOMEM, "kv: no memory to count %u blocks", n_blocks);
    *pool = (struct kv_pool){
        .n_blocks = n_blocks,
        .block_tokens = block_tokens,
        .n_free = n_blocks,
        .free_head = 0,
        .next = arrays,
        .refs = arrays + n_blocks,
    };
    for (uint32_t b = 0; b < n_blocks; b++)
        pool->next[b] = b + 1 < n_blocks ? b + 1 : KV_END;
    return PL_OK;
}

void kv_pool_deinit(struct kv_pool *pool)
{
    free(pool->next); /* refs is the second half of it */
    *pool = (struct kv_pool){0};
}

uint32_t kv_blocks_for(const struct kv_pool *pool, uint32_t n_tokens)
{
    return n_tokens / pool->block_tokens + (n_tokens % pool->block_tokens != 0);
}

bool kv_block_alloc(struct kv_pool *pool, int32_t *ret_block)
{
    uint32_t block = pool->free_head;
    if (block == KV_END)
        return false;
    PL_CHECK(block < pool->n_blocks && pool->refs[block] == 0);
    pool->free_head = pool->next[block];
    pool->next[block] = KV_USED;
    pool->refs[block] = 1;
    pool->n_free--;
    *ret_block = (int32_t)block;
    return true;
}

static uint32_t owned(const struct kv_pool *pool, int32_t block)
{
    PL_CHECK(block >= 0 && (uint32_t)block < pool->n_blocks);
    PL_CHECK(pool->refs[block] > 0 && pool->next[block] == KV_USED);
    return (uint32_t)block;
}

void kv_block_ref(struct kv_pool *pool, int32_t block)
{
    uint32_t b = owned(pool, block);
    PL_CHECK(pool->refs[b] < UINT32_MAX);
    pool->refs[b]++;
}

void kv_block_unref(struct kv_pool *pool, int32_t block)
{
    uint32_t b = owned(pool, block);
    pool->refs[b]--;
    if (pool->refs[b] > 0)
        return;
    pool->next[b] = pool->free_head;
    pool->free_head = b;
    pool->n_free++;
}

bool kv_table_grow(struct kv_table *table, struct kv_pool *pool, uint32_t n_tokens)
{
    uint32_t n = kv_blocks_for(pool, n_tokens);
    PL_CHECK(n <= table->n_blocks_max);
    if (n <= table->n_blocks)
        return true;
    if (n - table->n_blocks > pool->n_free)
        return false;
    while (table->n_blocks < n) {
        bool got = kv_block_alloc(pool, &table->blocks[table->n_blocks]);
        PL_CHECK(got);
        table->n_blocks++;
    }
    return true;
}

void kv_table_clear(struct kv_table *table, struct kv_pool *pool)
{
    while (table->n_blocks > 0)
        kv_block_unref(pool, table->blocks[--table->n_blocks]);
}

bool kv_pool_check(const struct kv_pool *pool)
{
    uint32_t n_listed = 0;
    for (uint32_t b = pool->free_head; b != KV_END; b = pool->next[b]) {
        if (b >= pool->n_blocks || pool->refs[b] != 0 || n_listed == pool->n_blocks)
            return false;
        n_listed++;
    }
    uint32_t n_unowned = 0;
    for (uint32_t b = 0; b < pool->n_blocks; b++) {
        if ((pool->refs[b] == 0) != (pool->next[b] != KV_USED))
            return false;
        n_unowned += pool->refs[b] == 0;
    }
    return n_listed == pool->n_free && n_unowned == pool->n_free;
}
