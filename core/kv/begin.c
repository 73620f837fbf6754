/* Beginning a sequence: what of it is there, on which tier, and taking it; see cache.h. */
#include "base/check.h"

#include "internal.h"
#include "base/banned.h"

/* ---- looking --------------------------------------------------------------------------------- */

static bool is_there(const struct kv_cache *cache, uint32_t group_i, const struct kv_hash *hash,
                     bool use_disk, bool *ret_needs_disk)
{
    if (kv_shelf_find(&cache->groups[group_i].shelf, hash) != KV_NONE ||
        kv_tiers_in_ram(cache, group_i, hash) != KV_NONE)
        return true;
    if (!use_disk || !kv_tiers_on_disk(cache, group_i, hash))
        return false;
    *ret_needs_disk = true;
    return true;
}

/* The longest prefix, of at most limit blocks, that can be had: all its blocks of full groups are there, and
 * of each window group those in the window of the position behind it. */
static uint32_t find_prefix(const struct kv_cache *cache, const struct kv_seq *seq, uint32_t limit,
                            bool use_disk, bool *ret_needs_disk)
{
    uint32_t n_found = 0;
    uint32_t run[KV_GROUPS_MAX] = {0}; /* blocks that are there in one piece up to this one */
    for (uint32_t j = 0; j < limit; j++) {
        bool good = true;
        for (uint32_t g = 0; g < cache->o.n_groups; g++) {
            bool there = is_there(cache, g, &seq->hashes[j], use_disk, ret_needs_disk);
            if (!there && cache->groups[g].window_tokens == 0)
                return n_found;
            run[g] = there ? run[g] + 1 : 0;
            uint32_t n_seen = j + 1 - kv_first_seen(cache, g, (j + 1) * cache->o.block_tokens);
            good = good && run[g] >= n_seen;
        }
        if (good)
            n_found = j + 1;
    }
    return n_found;
}

/* Whether a held sequence is about to compute block j of seq. */
static bool is_pending(const struct kv_cache *cache, const struct kv_seq *seq, uint32_t j)
{
    for (uint32_t i = 0; i < cache->n_held; i++) {
        const struct kv_seq *other = cache->held[i];
        if (other->n_indexed <= j && other->n_hashes > j &&
            kv_hash_equal(&other->hashes[j], &seq->hashes[j]))
            return true;
    }
    return false;
}

/* ---- taking ---------------------------------------------------------------------------------- */

/* Copies a block from RAM to the device; -1 if the device fails. The RAM slot is held by the caller. */
static int32_t copy_up(struct kv_cache *cache, uint32_t group_i, uint32_t slot,
                       const struct kv_hash *hash)
{
    struct kv_group *group = &cache->groups[group_i];
    struct kv_ram *ram = &cache->tiers->ram[group_i];
    int32_t block = kv_block_take(cache, group_i);
    struct pl_error err = {{0}};
    enum pl_status status = cache->o.device.write(cache->o.device.user, group_i, block,
                                                  ram->bytes + slot * group->block_bytes, &err);
    if (status != PL_OK) {
        kv_block_release(cache, group_i, block);
        kv_device_failed(cache, status, &err);
        return -1;
    }
    kv_shelf_label(&group->shelf, (uint32_t)block, hash);
    bool from_disk = (ram->flags[slot] & KV_SLOT_FROM_DISK) != 0;
    group->source[block] = from_disk ? KV_FROM_DISK : KV_FROM_RAM;
    ram->flags[slot] &= (uint8_t)~KV_SLOT_FROM_DISK;
    return block;
}

/* Entries of seq->blocks during gather: a device block, AT_NOTHING, or a RAM slot that is held. */
#define AT_NOTHING (-1)
static int32_t at_slot(uint32_t slot)
{
    return -2 - (int32_t)slot;
}

static uint32_t slot_at(int32_t entry)
{
    return (uint32_t)(-2 - entry);
}

/* What there is of block j: held, on the device or in RAM; as an entry. */
static int32_t hold_found(struct kv_cache *cache, uint32_t group_i, const struct kv_hash *hash)
{
    uint32_t block = kv_shelf_find(&cache->groups[group_i].shelf, hash);
    if (block != KV_NONE) {
        kv_block_hold(&cache->groups[group_i], (int32_t)block);
        return (int32_t)block;
    }
    uint32_t slot = kv_tiers_in_ram(cache, group_i, hash);
    if (slot == KV_NONE)
        return AT_NOTHING;
    kv_ram_hold(&cache->tiers->ram[group_i], slot);
    return at_slot(slot);
}

/* Holds the first n blocks of seq on the device, copied up from RAM where they are there. How many of them, from the
 * first one, it could: less than n for lack of room or of blocks, or when the device fails. */
static uint32_t gather(struct kv_cache *cache, struct kv_seq *seq, uint32_t n)
{
    for (uint32_t g = 0; g < cache->o.n_groups; g++) {
        seq->n_first[g] = kv_first_seen(cache, g, n * cache->o.block_tokens);
        for (uint32_t j = 0; j < n; j++)
            seq->blocks[g][j] =
                j < seq->n_first[g] ? AT_NOTHING : hold_found(cache, g, &seq->hashes[j]);
    }
    seq->n_blocks = n;
    uint32_t n_good = n;
    for (uint32_t j = 0; j < n; j++) {
        for (uint32_t g = 0; g < cache->o.n_groups; g++) {
            int32_t *entry = &seq->blocks[g][j];
            if (*entry < AT_NOTHING) {
                uint32_t slot = slot_at(*entry);
                bool room = kv_blocks_available(&cache->groups[g], 1);
                *entry = room ? copy_up(cache, g, slot, &seq->hashes[j]) : AT_NOTHING;
                kv_ram_release(&cache->tiers->ram[g], slot);
            }
            if (*entry == AT_NOTHING && j >= seq->n_first[g])
                n_good = PL_MIN(n_good, j);
        }
    }
    return n_good;
}

void kv_seq_give_back(struct kv_cache *cache, struct kv_seq *seq)
{
    for (uint32_t g = 0; g < cache->o.n_groups; g++) {
        for (uint32_t j = seq->n_blocks; j > seq->n_first[g]; j--)
            if (seq->blocks[g][j - 1] >= 0)
                kv_block_release(cache, g, seq->blocks[g][j - 1]);
        seq->n_first[g] = 0;
    }
    seq->n_blocks = 0;
    seq->n_indexed = 0;
}

/* ---- begin ----------------------------------------------------------------------------------- */

void kv_seq_count_hit(struct kv_cache *cache, struct kv_seq *seq)
{
    struct kv_counters *c = &cache->counters;
    uint64_t block_tokens = cache->o.block_tokens;
    uint64_t n_from[3] = {0, 0, 0};
    struct kv_group *group = &cache->groups[0];
    for (uint32_t j = seq->n_first[0]; j < seq->n_hit; j++) {
        uint8_t *source = &group->source[seq->blocks[0][j]];
        n_from[*source]++;
        *source = KV_FROM_DEVICE;
    }
    kv_count(&c->queried_tokens, seq->n_queried * block_tokens);
    kv_count(&c->hit_tokens, seq->n_hit * block_tokens);
    kv_count(&c->ram_hit_tokens, n_from[KV_FROM_RAM] * block_tokens);
    kv_count(&c->disk_hit_tokens, n_from[KV_FROM_DISK] * block_tokens);
    seq->counted = true;
}

/* Whether seq, which needs the first n blocks, some of which are on disk, shall wait for them. What is in RAM already
 * goes to the device meanwhile: few RAM slots are then enough for a long prefix. */
static bool wait_for_disk(struct kv_cache *cache, struct kv_seq *seq, uint32_t n)
{
    (void)gather(cache, seq, n);
    bool wait = kv_tiers_load(cache, seq, n);
    kv_seq_give_back(cache, seq);
    return wait;
}

/* KV_BEGIN_OK: n blocks are held. */
static enum kv_begin take_longest(struct kv_cache *cache, struct kv_seq *seq, uint32_t most,
                                  bool wait)
{
    bool use_disk = wait;
    uint32_t limit = most;
    for (;;) {
        bool needs_disk = false;
        uint32_t n = find_prefix(cache, seq, limit, use_disk, &needs_disk);
        if (needs_disk && wait_for_disk(cache, seq, n))
            return KV_BEGIN_LOADING;
        if (needs_disk) { /* it was of no use: what is here now */
            use_disk = false;
            continue;
        }
        if (wait && n < limit && is_pending(cache, seq, n)) {
            seq->n_pending = n + 1;
            return KV_BEGIN_PENDING;
        }
        uint32_t n_good = gather(cache, seq, n);
        if (n_good == n)
            return KV_BEGIN_OK;
        kv_seq_give_back(cache, seq);
        limit = n_good; /* a shorter one may need other blocks of window groups: look again */
    }
}

enum kv_begin kv_seq_begin(struct kv_cache *cache, struct kv_seq *seq, uint32_t n_reuse_max,
                           bool wait, uint32_t *ret_n_cached)
{
    PL_CHECK(!seq->held);
    kv_tiers_drain(cache);
    uint32_t most = PL_MIN(seq->n_hashes, n_reuse_max / cache->o.block_tokens);
    if (wait && seq->n_pending > 0 && seq->n_pending <= most &&
        is_pending(cache, seq, seq->n_pending - 1))
        return KV_BEGIN_PENDING;
    if (wait && kv_tiers_still_loading(cache, seq))
        return KV_BEGIN_LOADING;
    enum kv_begin answer = take_longest(cache, seq, most, wait);
    if (answer != KV_BEGIN_OK)
        return answer;
    kv_seq_hold(cache, seq);
    seq->n_indexed = seq->n_blocks;
    seq->n_queried = most;
    seq->n_hit = seq->n_blocks;
    kv_publish(cache);
    *ret_n_cached = seq->n_blocks * cache->o.block_tokens;
    return KV_BEGIN_OK;
}
