/* Device blocks: taken, shared, released, evicted. */
#include "base/check.h"

#include "internal.h"
#include "base/banned.h"

bool kv_blocks_available(const struct kv_group *group, uint64_t n)
{
    return n <= (uint64_t)group->shelf.n_free + group->shelf.n_lru;
}

int32_t kv_block_take(struct kv_cache *cache, uint32_t group_i)
{
    struct kv_group *group = &cache->groups[group_i];
    uint32_t b = kv_shelf_first_free(&group->shelf);
    if (b != KV_NONE) {
        kv_shelf_take(&group->shelf, b);
    } else {
        b = kv_shelf_oldest(&group->shelf);
        PL_CHECK(b != KV_NONE);
        kv_shelf_take(&group->shelf, b);
        kv_tiers_evict(cache, group_i, b);
        kv_block_forget(cache, group_i, b);
        kv_count(&cache->counters.evicted_blocks, 1);
    }
    PL_CHECK(group->refs[b] == 0);
    group->refs[b] = 1;
    group->source[b] = KV_FROM_DEVICE;
    return (int32_t)b;
}

void kv_block_hold(struct kv_group *group, int32_t block)
{
    PL_CHECK(block >= 0 && (uint32_t)block < group->shelf.n);
    if (group->refs[block] == 0)
        kv_shelf_take(&group->shelf, (uint32_t)block);
    PL_CHECK(group->refs[block] < UINT32_MAX);
    group->refs[block]++;
}

void kv_block_forget(struct kv_cache *cache, uint32_t group_i, uint32_t block)
{
    kv_tiers_forget(cache, group_i, block);
    kv_shelf_unlabel(&cache->groups[group_i].shelf, block);
}

void kv_block_release(struct kv_cache *cache, uint32_t group_i, int32_t block)
{
    struct kv_group *group = &cache->groups[group_i];
    PL_CHECK(block >= 0 && (uint32_t)block < group->shelf.n && group->refs[block] > 0);
    group->refs[block]--;
    kv_tiers_given_back(cache, group_i, (uint32_t)block);
    if (group->refs[block] > 0)
        return;
    if (kv_hash_is_zero(&group->shelf.hash[block]))
        kv_shelf_put_free(&group->shelf, (uint32_t)block);
    else
        kv_shelf_put_newest(&group->shelf, (uint32_t)block);
}

void kv_device_failed(struct kv_cache *cache, enum pl_status status, const struct pl_error *err)
{
    if (cache->device_status != PL_OK)
        return;
    cache->device_status = status;
    cache->device_error = *err;
}

void kv_publish(struct kv_cache *cache)
{
    const struct kv_shelf *shelf = &cache->groups[0].shelf;
    atomic_store_explicit(&cache->counters.cached, shelf->n_lru, memory_order_relaxed);
    atomic_store_explicit(&cache->counters.held, shelf->n - shelf->n_free - shelf->n_lru,
                          memory_order_relaxed);
}

uint32_t kv_first_seen(const struct kv_cache *cache, uint32_t group_i, uint32_t n_tokens)
{
    uint32_t window = cache->groups[group_i].window_tokens;
    if (window == 0 || n_tokens < window)
        return 0;
    return (n_tokens - window + 1) / cache->o.block_tokens; /* sees positions > n_tokens - window */
}
