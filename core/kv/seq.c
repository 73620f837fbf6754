/* Sequences: made, grown, committed, forked, ended; see cache.h. */
#include <string.h>

#include "base/check.h"

#include "internal.h"
#include "base/banned.h"

size_t kv_seq_bytes(const struct kv_cache *cache, uint32_t n_tokens_max)
{
    size_t n = kv_cache_blocks_for(cache, n_tokens_max);
    return n * sizeof(struct kv_hash) + cache->o.n_groups * n * sizeof(int32_t);
}

void kv_seq_init(const struct kv_cache *cache, struct kv_seq *seq, void *storage,
                 uint32_t n_tokens_max, struct kv_hash scope)
{
    PL_CHECK((uintptr_t)storage % 16 == 0);
    uint32_t n = kv_cache_blocks_for(cache, n_tokens_max);
    *seq = (struct kv_seq){.hashes = storage, .scope = scope, .n_blocks_max = n};
    int32_t *blocks = (int32_t *)(seq->hashes + n);
    for (uint32_t g = 0; g < cache->o.n_groups; g++)
        seq->blocks[g] = blocks + (size_t)g * n;
}

void kv_seq_hold(struct kv_cache *cache, struct kv_seq *seq)
{
    PL_CHECK(cache->n_held <= cache->o.seqs_max);
    seq->held_i = cache->n_held;
    seq->held = true;
    seq->n_pending = 0;
    seq->n_missing = 0;
    cache->held[cache->n_held++] = seq;
}

/* ---- grow ------------------------------------------------------------------------------------ */

/* A block that this sequence may not write: others hold it too, or it can be found. */
static bool is_shared(const struct kv_group *group, int32_t block)
{
    return group->refs[block] > 1 || !kv_hash_is_zero(&group->shelf.hash[block]);
}

static uint32_t count_shared(const struct kv_group *group, const struct kv_seq *seq,
                             uint32_t group_i, uint32_t from)
{
    uint32_t n = 0;
    for (uint32_t j = PL_MAX(from, seq->n_first[group_i]); j < seq->n_blocks; j++)
        n += is_shared(group, seq->blocks[group_i][j]);
    return n;
}

/* Puts a copy in the place of entry j. */
static bool copy_block(struct kv_cache *cache, struct kv_seq *seq, uint32_t group_i, uint32_t j)
{
    int32_t from = seq->blocks[group_i][j];
    int32_t to = kv_block_take(cache, group_i);
    struct pl_error err = {{0}};
    PL_CHECK(cache->o.device.copy != NULL);
    enum pl_status status = cache->o.device.copy(cache->o.device.user, group_i, from, to, &err);
    if (status != PL_OK) {
        kv_block_forget(cache, group_i, (uint32_t)from);
        kv_block_release(cache, group_i, to);
        kv_device_failed(cache, status, &err);
        return false;
    }
    kv_block_release(cache, group_i, from);
    seq->blocks[group_i][j] = to;
    return true;
}

bool kv_seq_grow(struct kv_cache *cache, struct kv_seq *seq, uint32_t n_computed, uint32_t n_tokens)
{
    PL_CHECK(seq->held);
    uint32_t n = PL_MAX(kv_cache_blocks_for(cache, n_tokens), seq->n_blocks);
    uint32_t written = n_computed / cache->o.block_tokens;
    PL_CHECK(n <= seq->n_blocks_max && written <= seq->n_blocks);
    uint32_t n_shared[KV_GROUPS_MAX] = {0};
    for (uint32_t g = 0; g < cache->o.n_groups; g++) {
        n_shared[g] = count_shared(&cache->groups[g], seq, g, written);
        if (!kv_blocks_available(&cache->groups[g], (uint64_t)n_shared[g] + n - seq->n_blocks))
            return false;
    }
    for (uint32_t g = 0; g < cache->o.n_groups; g++) {
        for (uint32_t j = PL_MAX(written, seq->n_first[g]); n_shared[g] > 0 && j < seq->n_blocks;
             j++) {
            if (!is_shared(&cache->groups[g], seq->blocks[g][j]))
                continue;
            if (!copy_block(cache, seq, g, j))
                return false;
        }
    }
    seq->n_indexed = PL_MIN(seq->n_indexed, written);
    for (uint32_t g = 0; g < cache->o.n_groups; g++)
        for (uint32_t j = seq->n_blocks; j < n; j++)
            seq->blocks[g][j] = kv_block_take(cache, g);
    seq->n_blocks = n;
    kv_publish(cache);
    return true;
}

/* ---- commit ---------------------------------------------------------------------------------- */

/* Makes block j findable; where another block has that content already, that one stays. */
static void index_block(struct kv_group *group, const struct kv_seq *seq, uint32_t group_i,
                        uint32_t j)
{
    int32_t block = seq->blocks[group_i][j];
    if (block < 0 || !kv_hash_is_zero(&group->shelf.hash[block]) ||
        kv_shelf_find(&group->shelf, &seq->hashes[j]) != KV_NONE)
        return;
    kv_shelf_label(&group->shelf, (uint32_t)block, &seq->hashes[j]);
}

void kv_seq_commit(struct kv_cache *cache, struct kv_seq *seq, const int32_t *ids,
                   uint32_t n_computed)
{
    uint32_t n_full = n_computed / cache->o.block_tokens;
    PL_CHECK(seq->held && kv_cache_blocks_for(cache, n_computed) <= seq->n_blocks);
    kv_tiers_drain(cache);
    if (!seq->counted)
        kv_seq_count_hit(cache, seq);
    kv_seq_hash(cache, seq, ids, n_computed);
    for (uint32_t g = 0; g < cache->o.n_groups; g++) {
        struct kv_group *group = &cache->groups[g];
        for (uint32_t j = seq->n_indexed; j < PL_MIN(n_full, seq->n_hashes); j++)
            index_block(group, seq, g, j);
        uint32_t first = kv_first_seen(cache, g, n_computed);
        for (uint32_t j = seq->n_first[g]; j < first; j++) {
            kv_block_release(cache, g, seq->blocks[g][j]);
            seq->blocks[g][j] = -1;
        }
        seq->n_first[g] = PL_MAX(seq->n_first[g], first);
    }
    seq->n_indexed = PL_MAX(seq->n_indexed, PL_MIN(n_full, seq->n_hashes));
    kv_tiers_tick(cache);
    kv_publish(cache);
}

/* ---- fork, end ------------------------------------------------------------------------------- */

bool kv_seq_fork(struct kv_cache *cache, const struct kv_seq *from, struct kv_seq *to,
                 uint32_t n_tokens)
{
    uint32_t n = kv_cache_blocks_for(cache, n_tokens);
    uint32_t n_full = n_tokens / cache->o.block_tokens;
    PL_CHECK(from->held && !to->held && n <= from->n_blocks && n <= to->n_blocks_max);
    for (uint32_t g = 0; g < cache->o.n_groups; g++) {
        if (from->n_first[g] > kv_first_seen(cache, g, n_tokens))
            return false; /* what position n_tokens sees has been given back */
        if (n > n_full && !kv_blocks_available(&cache->groups[g], 1))
            return false;
    }
    for (uint32_t g = 0; g < cache->o.n_groups; g++) {
        to->n_first[g] = from->n_first[g];
        for (uint32_t j = 0; j < n; j++) {
            to->blocks[g][j] = from->blocks[g][j];
            if (to->blocks[g][j] >= 0)
                kv_block_hold(&cache->groups[g], to->blocks[g][j]);
        }
    }
    uint32_t n_known = PL_MIN(from->n_hashes, n_full);
    if (n_known > 0 && (to->n_hashes < n_known ||
                        !kv_hash_equal(&to->hashes[n_known - 1], &from->hashes[n_known - 1]))) {
        memcpy(to->hashes, from->hashes, n_known * sizeof *to->hashes);
        to->n_hashes = n_known;
    }
    to->scope = from->scope;
    to->n_queried = to->n_hit = 0;
    to->n_blocks = n;
    to->n_indexed = PL_MIN(from->n_indexed, n_full);
    kv_seq_hold(cache, to);
    kv_publish(cache);
    return true;
}

void kv_seq_end(struct kv_cache *cache, struct kv_seq *seq)
{
    seq->n_pending = 0;
    seq->n_missing = 0;
    if (!seq->held)
        return;
    kv_tiers_drain(cache);
    kv_seq_give_back(cache, seq);
    seq->held = false;
    struct kv_seq *last = cache->held[--cache->n_held];
    cache->held[seq->held_i] = last;
    last->held_i = seq->held_i;
    kv_tiers_tick(cache);
    kv_publish(cache);
}
