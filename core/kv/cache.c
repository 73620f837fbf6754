/* The cache as a whole: open, close, room, statistics, check; see cache.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/check.h"

#include "internal.h"
#include "base/banned.h"

static enum pl_status check_options(const struct kv_cache_options *o, struct pl_error *err)
{
    if (o->block_tokens == 0 || o->n_groups == 0 || o->n_groups > KV_GROUPS_MAX || o->seqs_max == 0)
        return pl_error_set(err, PL_EINVAL, "kv: %u groups of blocks of %u tokens, %u sequences",
                            o->n_groups, o->block_tokens, o->seqs_max);
    for (uint32_t g = 0; g < o->n_groups; g++)
        if (o->groups[g].n_blocks == 0 || o->groups[g].n_blocks > KV_BLOCKS_MAX)
            return pl_error_set(err, PL_EINVAL, "kv: %u blocks in group %u", o->groups[g].n_blocks,
                                g);
    return PL_OK;
}

static bool init_group(struct kv_group *group, const struct kv_group_options *o)
{
    group->window_tokens = o->window_tokens;
    group->block_bytes = o->block_bytes;
    group->refs = calloc(o->n_blocks, sizeof *group->refs);
    group->source = calloc(o->n_blocks, sizeof *group->source);
    return group->refs != NULL && group->source != NULL &&
           kv_shelf_init(&group->shelf, o->n_blocks);
}

enum pl_status kv_cache_open(const struct kv_cache_options *options, struct kv_cache **ret,
                             struct pl_error *err)
{
    enum pl_status status = check_options(options, err);
    if (status != PL_OK)
        return status;
    struct kv_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return pl_error_set(err, PL_ENOMEM, "kv: no memory for the cache");
    cache->o = *options;
    cache->o.disk_dir = NULL;
    cache->held = calloc((size_t)options->seqs_max + 1, sizeof(struct kv_seq *));
    bool ok = cache->held != NULL;
    for (uint32_t g = 0; ok && g < options->n_groups; g++)
        ok = init_group(&cache->groups[g], &options->groups[g]);
    unsigned char key[32];
    PL_CHECK(getrandom(key, sizeof key, 0) == (ssize_t)sizeof key); /* can't fail for 32 bytes */
    if (ok)
        status = kv_tiers_open(cache, options, key, err);
    else
        status = pl_error_set(err, PL_ENOMEM, "kv: no memory to count %u blocks",
                              options->groups[0].n_blocks);
    if (status != PL_OK) {
        kv_cache_close(cache);
        return status;
    }
    kv_hash_keys(cache, key);
    kv_publish(cache);
    if (cache->tiers != NULL)
        kv_tiers_publish(cache);
    *ret = cache;
    return PL_OK;
}

void kv_cache_close(struct kv_cache *cache)
{
    if (cache == NULL)
        return;
    PL_CHECK(cache->n_held == 0);
    kv_tiers_close(cache);
    for (uint32_t g = 0; g < cache->o.n_groups; g++) {
        kv_shelf_deinit(&cache->groups[g].shelf);
        free(cache->groups[g].refs);
        free(cache->groups[g].source);
    }
    free((void *)cache->held);
    free(cache);
}

/* ---- room ------------------------------------------------------------------------------------ */

uint32_t kv_cache_blocks_for(const struct kv_cache *cache, uint32_t n_tokens)
{
    uint32_t block_tokens = cache->o.block_tokens;
    return n_tokens / block_tokens + (n_tokens % block_tokens != 0);
}

/* Blocks of one group that a sequence of n_tokens holds at most at any time. */
static uint32_t blocks_at_most(const struct kv_cache *cache, uint32_t group_i, uint32_t n_tokens)
{
    uint32_t n = kv_cache_blocks_for(cache, n_tokens);
    uint64_t window = cache->groups[group_i].window_tokens;
    if (window == 0 || cache->o.grow_tokens_max == 0)
        return n;
    /* window - 1 positions before the next one and those that are grown by, cut at any place */
    uint64_t seen = window - 1 + cache->o.grow_tokens_max;
    return (uint32_t)PL_MIN((uint64_t)n,
                            (seen + cache->o.block_tokens - 2) / cache->o.block_tokens + 1);
}

bool kv_cache_fits(const struct kv_cache *cache, uint32_t n_tokens)
{
    for (uint32_t g = 0; g < cache->o.n_groups; g++)
        if (blocks_at_most(cache, g, n_tokens) > cache->groups[g].shelf.n)
            return false;
    return true;
}

bool kv_cache_has_room(const struct kv_cache *cache, uint32_t n_tokens)
{
    for (uint32_t g = 0; g < cache->o.n_groups; g++)
        if (!kv_blocks_available(&cache->groups[g], blocks_at_most(cache, g, n_tokens)))
            return false;
    return true;
}

enum pl_status kv_cache_error(struct kv_cache *cache, struct pl_error *err)
{
    enum pl_status status = cache->device_status;
    if (status != PL_OK && err != NULL)
        *err = cache->device_error;
    cache->device_status = PL_OK;
    return status;
}

bool kv_cache_idle(struct kv_cache *cache)
{
    kv_tiers_drain(cache);
    return kv_tiers_idle(cache);
}

void kv_cache_reset(struct kv_cache *cache)
{
    kv_tiers_drain(cache);
    for (uint32_t g = 0; g < cache->o.n_groups; g++) {
        struct kv_shelf *shelf = &cache->groups[g].shelf;
        for (uint32_t b = kv_shelf_oldest(shelf); b != KV_NONE; b = kv_shelf_oldest(shelf)) {
            kv_shelf_take(shelf, b);
            kv_block_forget(cache, g, b);
            kv_shelf_put_free(shelf, b);
        }
    }
    kv_tiers_reset(cache);
    kv_publish(cache);
}

static uint64_t value_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void kv_cache_stats(const struct kv_cache *cache, struct kv_cache_stats *ret)
{
    const struct kv_counters *c = &cache->counters;
    *ret = (struct kv_cache_stats){
        .blocks_total = cache->o.groups[0].n_blocks,
        .blocks_held = (uint32_t)value_of(&c->held),
        .blocks_cached = (uint32_t)value_of(&c->cached),
        .queried_tokens = value_of(&c->queried_tokens),
        .hit_tokens = value_of(&c->hit_tokens),
        .ram_hit_tokens = value_of(&c->ram_hit_tokens),
        .disk_hit_tokens = value_of(&c->disk_hit_tokens),
        .evicted_blocks = value_of(&c->evicted_blocks),
    };
    const struct kv_tiers *tiers = cache->tiers;
    if (tiers == NULL)
        return;
    ret->ram_blocks = value_of(&tiers->ram_blocks);
    ret->ram_blocks_max = tiers->has_ram ? tiers->ram[0].shelf.n : 0;
    ret->disk_blocks = value_of(&tiers->disk_blocks);
    ret->disk_blocks_max = tiers->disk[0].n;
    ret->ram_stored = value_of(&tiers->ram_stored);
    ret->disk_stored = value_of(&tiers->disk_stored);
    ret->disk_dropped = value_of(&tiers->disk_dropped);
    ret->disk_errors = value_of(&tiers->disk_errors);
}

/* ---- invariants ------------------------------------------------------------------------------ */

/* Whether the owners that group counts are those that the held sequences name, and it marks them as taken. */
static bool check_group(const struct kv_cache *cache, uint32_t group_i)
{
    const struct kv_group *group = &cache->groups[group_i];
    if (!kv_shelf_check(&group->shelf))
        return false;
    uint64_t n_named = 0;
    for (uint32_t i = 0; i < cache->n_held; i++) {
        const struct kv_seq *seq = cache->held[i];
        if (!seq->held || seq->held_i != i || seq->n_first[group_i] > seq->n_blocks ||
            seq->n_blocks > seq->n_blocks_max)
            return false;
        for (uint32_t j = 0; j < seq->n_blocks; j++) {
            int32_t block = seq->blocks[group_i][j];
            if ((block < 0) != (j < seq->n_first[group_i]))
                return false;
            if (block >= 0 && ((uint32_t)block >= group->shelf.n || group->refs[block] == 0))
                return false;
            n_named += block >= 0;
        }
    }
    uint64_t n_counted = 0;
    for (uint32_t b = 0; b < group->shelf.n; b++) {
        if ((group->refs[b] > 0) != (group->shelf.state[b] == KV_PLACE_TAKEN))
            return false;
        n_counted += group->refs[b];
    }
    return n_named == n_counted;
}

bool kv_cache_check(const struct kv_cache *cache)
{
    for (uint32_t g = 0; g < cache->o.n_groups; g++)
        if (!check_group(cache, g))
            return false;
    return kv_tiers_check(cache);
}
