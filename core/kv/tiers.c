/* RAM and disk tiers, the owner's side: which block goes where; see tiers.h. */
#include "tiers.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"

#include "internal.h"
#include "base/banned.h"

/* ---- looking --------------------------------------------------------------------------------- */

uint32_t kv_tiers_in_ram(const struct kv_cache *cache, uint32_t group_i, const struct kv_hash *hash)
{
    return cache->tiers == NULL ? KV_NONE : kv_shelf_find(&cache->tiers->ram[group_i].shelf, hash);
}

static uint32_t disk_slot_of(const struct kv_tiers *tiers, uint32_t group_i,
                             const struct kv_hash *hash)
{
    return tiers->disk_on ? kv_shelf_find(&tiers->disk[group_i], hash) : KV_NONE;
}

bool kv_tiers_on_disk(const struct kv_cache *cache, uint32_t group_i, const struct kv_hash *hash)
{
    return cache->tiers != NULL && disk_slot_of(cache->tiers, group_i, hash) != KV_NONE;
}

static uint32_t group_of_job(const struct kv_cache *cache, uint32_t job_i)
{
    uint32_t g = cache->o.n_groups - 1;
    while (cache->tiers->ram[g].first_job > job_i)
        g--;
    return g;
}

void kv_tiers_publish(struct kv_cache *cache)
{
    struct kv_tiers *tiers = cache->tiers;
    const struct kv_shelf *ram = &tiers->ram[0].shelf;
    uint64_t n_ram = tiers->has_ram ? (uint64_t)ram->n - ram->n_free : 0;
    uint64_t n_disk = tiers->disk_on ? (uint64_t)tiers->disk[0].n - tiers->disk[0].n_free : 0;
    atomic_store_explicit(&tiers->ram_blocks, n_ram, memory_order_relaxed);
    atomic_store_explicit(&tiers->disk_blocks, n_disk, memory_order_relaxed);
}

/* ---- RAM slots ------------------------------------------------------------------------------- */

void kv_ram_hold(struct kv_ram *ram, uint32_t slot)
{
    if (ram->users[slot]++ == 0)
        kv_shelf_take(&ram->shelf, slot);
}

void kv_ram_release(struct kv_ram *ram, uint32_t slot)
{
    PL_CHECK(ram->users[slot] > 0);
    if (--ram->users[slot] > 0)
        return;
    if (kv_hash_is_zero(&ram->shelf.hash[slot]))
        kv_shelf_put_free(&ram->shelf, slot);
    else if ((ram->flags[slot] & KV_SLOT_COLD) != 0)
        kv_shelf_put_oldest(&ram->shelf, slot);
    else
        kv_shelf_put_newest(&ram->shelf, slot);
}

static void forget_unwritten(struct kv_tiers *tiers, uint32_t job_i)
{
    if (tiers->unwritten.n > 0 && kv_links_has(&tiers->unwritten, job_i))
        kv_links_remove(&tiers->unwritten, job_i);
}

/* An unlabelled slot with one user; KV_NONE if all are taken. */
static uint32_t take_ram_slot(struct kv_tiers *tiers, uint32_t group_i)
{
    struct kv_ram *ram = &tiers->ram[group_i];
    uint32_t slot = kv_shelf_first_free(&ram->shelf);
    if (slot == KV_NONE)
        slot = kv_shelf_oldest(&ram->shelf);
    if (slot == KV_NONE)
        return KV_NONE;
    kv_ram_hold(ram, slot);
    kv_shelf_unlabel(&ram->shelf, slot);
    forget_unwritten(tiers, ram->first_job + slot);
    ram->flags[slot] = 0;
    return slot;
}

static uint32_t backlog(const struct kv_tiers *tiers)
{
    return tiers->unwritten.count + tiers->n_storing;
}

static void want_stored(struct kv_tiers *tiers, uint32_t group_i, uint32_t slot)
{
    const struct kv_ram *ram = &tiers->ram[group_i];
    uint32_t job_i = ram->first_job + slot;
    if (tiers->disk_on && (ram->flags[slot] & KV_SLOT_STORING) == 0 &&
        !kv_links_has(&tiers->unwritten, job_i) &&
        disk_slot_of(tiers, group_i, &ram->shelf.hash[slot]) == KV_NONE)
        kv_links_push(&tiers->unwritten, job_i);
}

static void pump(struct kv_cache *cache);

/* Copies a device block into a RAM slot, from where it goes to disk. */
static void copy_down(struct kv_cache *cache, uint32_t group_i, uint32_t block, uint8_t flags)
{
    struct kv_tiers *tiers = cache->tiers;
    struct kv_ram *ram = &tiers->ram[group_i];
    const struct kv_group *group = &cache->groups[group_i];
    uint32_t slot = take_ram_slot(tiers, group_i);
    if (slot == KV_NONE)
        return;
    struct pl_error err = {{0}};
    enum pl_status status = cache->o.device.read(cache->o.device.user, group_i, (int32_t)block,
                                                 ram->bytes + slot * group->block_bytes, &err);
    if (status == PL_OK) {
        kv_shelf_label(&ram->shelf, slot, &group->shelf.hash[block]);
        ram->flags[slot] = flags;
        kv_count(&tiers->ram_stored, tiers->has_ram);
        want_stored(tiers, group_i, slot);
    } else {
        kv_device_failed(cache, status, &err);
    }
    kv_ram_release(ram, slot);
    pump(cache);
    kv_tiers_publish(cache);
}

/* ---- what happens to device blocks ----------------------------------------------------------- */

void kv_tiers_forget(struct kv_cache *cache, uint32_t group_i, uint32_t block)
{
    struct kv_tiers *tiers = cache->tiers;
    if (tiers != NULL && tiers->io != NULL && kv_links_has(&tiers->ahead[group_i], block))
        kv_links_remove(&tiers->ahead[group_i], block);
}

void kv_tiers_evict(struct kv_cache *cache, uint32_t group_i, uint32_t block)
{
    struct kv_tiers *tiers = cache->tiers;
    if (tiers == NULL)
        return;
    const struct kv_hash *hash = &cache->groups[group_i].shelf.hash[block];
    struct kv_ram *ram = &tiers->ram[group_i];
    uint32_t slot = kv_shelf_find(&ram->shelf, hash);
    if (slot != KV_NONE) {
        ram->flags[slot] &= (uint8_t)~KV_SLOT_COLD;
        kv_shelf_touch(&ram->shelf, slot);
        return;
    }
    bool on_disk = disk_slot_of(tiers, group_i, hash) != KV_NONE;
    bool is_worth =
        tiers->has_ram || (tiers->disk_on && !on_disk && backlog(tiers) < tiers->store_max);
    if (is_worth)
        copy_down(cache, group_i, block, 0);
}

void kv_tiers_given_back(struct kv_cache *cache, uint32_t group_i, uint32_t block)
{
    struct kv_tiers *tiers = cache->tiers;
    const struct kv_hash *hash = &cache->groups[group_i].shelf.hash[block];
    if (tiers == NULL || kv_hash_is_zero(hash))
        return;
    uint32_t slot = kv_shelf_find(&tiers->ram[group_i].shelf, hash);
    if (slot != KV_NONE && (tiers->ram[group_i].flags[slot] & KV_SLOT_COLD) == 0)
        kv_shelf_touch(&tiers->ram[group_i].shelf, slot);
    if (!tiers->disk_on)
        return;
    uint32_t disk_slot = kv_shelf_find(&tiers->disk[group_i], hash);
    if (disk_slot != KV_NONE)
        kv_shelf_touch(&tiers->disk[group_i], disk_slot);
    else if (!kv_links_has(&tiers->ahead[group_i], block))
        kv_links_push(&tiers->ahead[group_i], block);
}

/* ---- stores ---------------------------------------------------------------------------------- */

static void forget_waiting(struct kv_links *links)
{
    while (links->count > 0)
        kv_links_remove(links, kv_links_first(links));
}

static void switch_off(struct kv_cache *cache, const struct kv_job *job)
{
    struct kv_tiers *tiers = cache->tiers;
    if (!tiers->disk_on)
        return;
    tiers->disk_on = false;
    kv_count(&tiers->disk_errors, 1);
    for (uint32_t g = 0; g < cache->o.n_groups; g++)
        forget_waiting(&tiers->ahead[g]);
    forget_waiting(&tiers->unwritten);
    if (cache->o.on_log == NULL)
        return;
    char line[PL_ERROR_MAX + 64];
    snprintf(line, sizeof line, "%s; the disk tier is off until the next start",
             job->error.msg[0] != '\0' ? job->error.msg : "kv: disk tier: it can't be cleared");
    cache->o.on_log(cache->o.user, line);
}

/* An unlabelled, taken disk slot; KV_NONE if all are under transfer. */
static uint32_t take_disk_slot(struct kv_shelf *disk)
{
    uint32_t slot = kv_shelf_first_free(disk);
    if (slot == KV_NONE)
        slot = kv_shelf_oldest(disk);
    if (slot == KV_NONE)
        return KV_NONE;
    kv_shelf_take(disk, slot);
    kv_shelf_unlabel(disk, slot);
    return slot;
}

/* Submits a store job for a RAM slot. False if no disk slot is to be had now. */
static bool submit_store(struct kv_cache *cache, uint32_t job_i)
{
    struct kv_tiers *tiers = cache->tiers;
    uint32_t g = group_of_job(cache, job_i);
    struct kv_ram *ram = &tiers->ram[g];
    uint32_t slot = job_i - ram->first_job;
    if (disk_slot_of(tiers, g, &ram->shelf.hash[slot]) != KV_NONE) {
        kv_links_remove(&tiers->unwritten, job_i);
        return true;
    }
    uint32_t disk_slot = take_disk_slot(&tiers->disk[g]);
    if (disk_slot == KV_NONE)
        return false;
    kv_links_remove(&tiers->unwritten, job_i);
    kv_ram_hold(ram, slot);
    ram->flags[slot] |= KV_SLOT_STORING;
    tiers->n_storing++;
    tiers->jobs[job_i] = (struct kv_job){
        .data = ram->bytes + slot * cache->groups[g].block_bytes,
        .hash = ram->shelf.hash[slot],
        .number = tiers->number++,
        .op = KV_JOB_STORE,
        .group_i = g,
        .disk_slot = disk_slot,
    };
    kv_io_submit(tiers->io, job_i);
    return true;
}

static void pump(struct kv_cache *cache)
{
    struct kv_tiers *tiers = cache->tiers;
    while (tiers->disk_on && tiers->unwritten.count > 0 && tiers->n_storing < tiers->store_max)
        if (!submit_store(cache, kv_links_first(&tiers->unwritten)))
            break;
}

static void finish_store(struct kv_cache *cache, const struct kv_job *job, uint32_t slot)
{
    struct kv_tiers *tiers = cache->tiers;
    struct kv_ram *ram = &tiers->ram[job->group_i];
    struct kv_shelf *disk = &tiers->disk[job->group_i];
    bool good = job->result == PL_OK && (ram->flags[slot] & KV_SLOT_VOID) == 0;
    if (good) {
        kv_shelf_label(disk, job->disk_slot, &job->hash);
        kv_shelf_put_newest(disk, job->disk_slot);
        kv_count(&tiers->disk_stored, 1);
    } else {
        kv_shelf_put_free(disk, job->disk_slot);
    }
    tiers->n_storing--;
    ram->flags[slot] &= (uint8_t) ~(KV_SLOT_STORING | KV_SLOT_VOID);
    kv_ram_release(ram, slot);
}

/* ---- loads ----------------------------------------------------------------------------------- */

static void finish_load(struct kv_cache *cache, const struct kv_job *job, uint32_t slot)
{
    struct kv_tiers *tiers = cache->tiers;
    struct kv_ram *ram = &tiers->ram[job->group_i];
    struct kv_shelf *disk = &tiers->disk[job->group_i];
    bool is_void = (ram->flags[slot] & KV_SLOT_VOID) != 0;
    ram->flags[slot] = 0;
    if (job->result == PL_OK && !is_void && kv_shelf_find(&ram->shelf, &job->hash) == KV_NONE) {
        kv_shelf_label(&ram->shelf, slot, &job->hash);
        ram->flags[slot] = KV_SLOT_FROM_DISK;
    }
    if (job->result == PL_EFORMAT)
        kv_count(&tiers->disk_dropped, 1);
    if (job->result == PL_EFORMAT || kv_hash_is_zero(&disk->hash[job->disk_slot]))
        kv_shelf_put_free(disk, job->disk_slot);
    else
        kv_shelf_put_newest(disk, job->disk_slot);
    tiers->n_loading--;
    ram->n_loading--;
    kv_ram_release(ram, slot);
}

static void submit_load(struct kv_cache *cache, uint32_t group_i, uint32_t slot, uint32_t disk_slot)
{
    struct kv_tiers *tiers = cache->tiers;
    struct kv_ram *ram = &tiers->ram[group_i];
    kv_shelf_take(&tiers->disk[group_i], disk_slot);
    ram->n_loading++;
    tiers->n_loading++;
    tiers->jobs[ram->first_job + slot] = (struct kv_job){
        .data = ram->bytes + slot * cache->groups[group_i].block_bytes,
        .hash = tiers->disk[group_i].hash[disk_slot],
        .op = KV_JOB_LOAD,
        .group_i = group_i,
        .disk_slot = disk_slot,
    };
}

/* The disk slot of a block that is neither on the device nor in RAM; else KV_NONE. */
static uint32_t missing_slot(const struct kv_cache *cache, uint32_t group_i,
                             const struct kv_hash *hash)
{
    if (kv_shelf_find(&cache->groups[group_i].shelf, hash) != KV_NONE ||
        kv_tiers_in_ram(cache, group_i, hash) != KV_NONE)
        return KV_NONE;
    return disk_slot_of(cache->tiers, group_i, hash);
}

static void count_missing(const struct kv_cache *cache, const struct kv_seq *seq, uint32_t n,
                          uint32_t *ret_n_missing, uint32_t *ret_n_under_way)
{
    for (uint32_t g = 0; g < cache->o.n_groups; g++) {
        const struct kv_shelf *disk = &cache->tiers->disk[g];
        for (uint32_t j = kv_first_seen(cache, g, n * cache->o.block_tokens); j < n; j++) {
            uint32_t disk_slot = missing_slot(cache, g, &seq->hashes[j]);
            *ret_n_missing += disk_slot != KV_NONE;
            *ret_n_under_way += disk_slot != KV_NONE && disk->state[disk_slot] == KV_PLACE_TAKEN;
        }
    }
}

/* Submits loads in the order of positions, as many as there are slots for; the last one tells. */
static uint32_t submit_loads(struct kv_cache *cache, const struct kv_seq *seq, uint32_t n)
{
    struct kv_tiers *tiers = cache->tiers;
    uint32_t last_job = KV_NONE;
    uint32_t n_submitted = 0;
    for (uint32_t j = 0; j < n; j++) {
        for (uint32_t g = 0; g < cache->o.n_groups; g++) {
            struct kv_ram *ram = &tiers->ram[g];
            uint32_t load_max = PL_MAX(1u, ram->shelf.n / 2); /* of the other half stores live */
            if (j < kv_first_seen(cache, g, n * cache->o.block_tokens) ||
                ram->n_loading >= load_max)
                continue;
            uint32_t disk_slot = missing_slot(cache, g, &seq->hashes[j]);
            if (disk_slot == KV_NONE || tiers->disk[g].state[disk_slot] == KV_PLACE_TAKEN)
                continue;
            uint32_t slot = take_ram_slot(tiers, g);
            if (slot == KV_NONE)
                continue;
            submit_load(cache, g, slot, disk_slot);
            if (last_job != KV_NONE)
                kv_io_submit(tiers->io, last_job);
            last_job = ram->first_job + slot;
            n_submitted++;
        }
    }
    if (last_job != KV_NONE) {
        tiers->jobs[last_job].notify = true;
        kv_io_submit(tiers->io, last_job);
    }
    return n_submitted;
}

bool kv_tiers_load(struct kv_cache *cache, struct kv_seq *seq, uint32_t n)
{
    struct kv_tiers *tiers = cache->tiers;
    uint32_t n_missing = 0;
    uint32_t n_under_way = 0;
    count_missing(cache, seq, n, &n_missing, &n_under_way);
    if (n_missing == 0)
        return false;
    /* Each round must have brought something, or it would go on for ever. */
    bool again = seq->n_missing == 0 || n_missing < seq->n_missing - 1;
    uint32_t n_submitted = again ? submit_loads(cache, seq, n) : 0;
    if (n_submitted > 0)
        seq->n_missing = n_missing + 1;
    seq->n_done = tiers->n_done;
    return n_submitted > 0 || n_under_way > 0 || (again && tiers->n_loading > 0);
}

bool kv_tiers_still_loading(const struct kv_cache *cache, const struct kv_seq *seq)
{
    const struct kv_tiers *tiers = cache->tiers;
    return tiers != NULL && seq->n_missing > 0 && tiers->n_loading > 0 &&
           seq->n_done == tiers->n_done;
}

static void finish_job(struct kv_cache *cache, uint32_t job_i)
{
    struct kv_tiers *tiers = cache->tiers;
    const struct kv_job *job = &tiers->jobs[job_i];
    uint32_t slot = job_i - tiers->ram[job->group_i].first_job;
    tiers->n_done++;
    if (job->op == KV_JOB_STORE)
        finish_store(cache, job, slot);
    else
        finish_load(cache, job, slot);
    if (job->result == PL_EIO || job->result == PL_ECLOSED)
        switch_off(cache, job);
}

void kv_tiers_drain(struct kv_cache *cache)
{
    struct kv_tiers *tiers = cache->tiers;
    if (tiers == NULL || tiers->io == NULL)
        return;
    uint32_t job_i = 0;
    bool any = false;
    while (kv_io_next_done(tiers->io, false, &job_i)) {
        finish_job(cache, job_i);
        any = true;
    }
    if (any) {
        pump(cache);
        kv_tiers_publish(cache);
    }
}

/* ---- copying ahead --------------------------------------------------------------------------- */

static bool has_ahead(const struct kv_cache *cache)
{
    for (uint32_t g = 0; g < cache->o.n_groups; g++)
        if (cache->tiers->ahead[g].count > 0)
            return true;
    return false;
}

/* Copies the next block that waits for it; groups take turns. */
static void copy_ahead(struct kv_cache *cache)
{
    struct kv_tiers *tiers = cache->tiers;
    do
        tiers->ahead_turn = (tiers->ahead_turn + 1) % cache->o.n_groups;
    while (tiers->ahead[tiers->ahead_turn].count == 0);
    uint32_t g = tiers->ahead_turn;
    uint32_t block = kv_links_first(&tiers->ahead[g]);
    kv_links_remove(&tiers->ahead[g], block);
    const struct kv_hash *hash = &cache->groups[g].shelf.hash[block];
    if (disk_slot_of(tiers, g, hash) != KV_NONE)
        return;
    uint32_t slot = kv_tiers_in_ram(cache, g, hash);
    if (slot == KV_NONE) {
        copy_down(cache, g, block, KV_SLOT_COLD);
    } else {
        want_stored(tiers, g, slot);
        pump(cache);
    }
}

void kv_tiers_tick(struct kv_cache *cache)
{
    struct kv_tiers *tiers = cache->tiers;
    if (tiers == NULL || !tiers->disk_on || !has_ahead(cache) || backlog(tiers) >= tiers->store_max)
        return;
    int64_t from_ns = clock_now_ns();
    if (from_ns < tiers->ahead_ns)
        return;
    copy_ahead(cache);
    int64_t to_ns = clock_now_ns();
    tiers->ahead_ns = to_ns + (to_ns - from_ns) * (KV_AHEAD_SHARE - 1);
}

bool kv_tiers_idle(struct kv_cache *cache)
{
    struct kv_tiers *tiers = cache->tiers;
    if (tiers == NULL || !tiers->disk_on)
        return false;
    if (has_ahead(cache) && backlog(tiers) < tiers->store_max) {
        copy_ahead(cache);
        return true;
    }
    if ((has_ahead(cache) || tiers->unwritten.count > 0) && tiers->n_storing > 0)
        kv_io_wake_when_stored(tiers->io);
    return false;
}

/* All that waits goes to disk, as far as there is room. Blocks on the I/O thread: at close only. */
static void flush(struct kv_cache *cache)
{
    struct kv_tiers *tiers = cache->tiers;
    for (uint32_t g = 0; g < cache->o.n_groups; g++)
        while (tiers->ahead[g].count > tiers->disk[g].n) /* the oldest would be overwritten */
            kv_links_remove(&tiers->ahead[g], kv_links_first(&tiers->ahead[g]));
    for (;;) {
        uint32_t job_i = 0;
        kv_tiers_drain(cache);
        pump(cache);
        if (tiers->disk_on && has_ahead(cache) && backlog(tiers) < tiers->store_max)
            copy_ahead(cache);
        else if (tiers->n_storing + tiers->n_loading > 0 &&
                 kv_io_next_done(tiers->io, true, &job_i))
            finish_job(cache, job_i);
        else
            break;
    }
}

void kv_tiers_flush_and_stop(struct kv_cache *cache)
{
    struct kv_tiers *tiers = cache->tiers;
    if (tiers->io == NULL)
        return;
    flush(cache);
    kv_io_close(tiers->io);
    tiers->io = NULL;
    tiers->disk_on = false;
}

/* ---- reset, check ---------------------------------------------------------------------------- */

/* Forgets the labels of all places: those in the LRU list are free then, taken ones when their users are done. */
static void empty_shelf(struct kv_shelf *shelf)
{
    for (uint32_t p = 0; p < shelf->n; p++) {
        if (shelf->state[p] == KV_PLACE_LRU) {
            kv_shelf_take(shelf, p);
            kv_shelf_put_free(shelf, p);
        } else {
            kv_shelf_unlabel(shelf, p);
        }
    }
}

void kv_tiers_reset(struct kv_cache *cache)
{
    struct kv_tiers *tiers = cache->tiers;
    if (tiers == NULL)
        return;
    forget_waiting(&tiers->unwritten);
    for (uint32_t g = 0; g < cache->o.n_groups; g++) {
        struct kv_ram *ram = &tiers->ram[g];
        empty_shelf(&ram->shelf);
        empty_shelf(&tiers->disk[g]);
        for (uint32_t slot = 0; slot < ram->shelf.n; slot++)
            if (ram->users[slot] > 0)
                ram->flags[slot] |= KV_SLOT_VOID;
    }
    if (tiers->disk_on)
        kv_io_clear(tiers->io);
    kv_tiers_publish(cache);
}

static bool check_ram(const struct kv_tiers *tiers, const struct kv_ram *ram)
{
    if (!kv_shelf_check(&ram->shelf))
        return false;
    for (uint32_t slot = 0; slot < ram->shelf.n; slot++) {
        if ((ram->users[slot] > 0) != (ram->shelf.state[slot] == KV_PLACE_TAKEN))
            return false;
        bool is_unwritten =
            tiers->unwritten.n > 0 && kv_links_has(&tiers->unwritten, ram->first_job + slot);
        if (is_unwritten &&
            (kv_hash_is_zero(&ram->shelf.hash[slot]) || (ram->flags[slot] & KV_SLOT_STORING) != 0))
            return false;
    }
    return true;
}

bool kv_tiers_check(const struct kv_cache *cache)
{
    const struct kv_tiers *tiers = cache->tiers;
    if (tiers == NULL)
        return true;
    uint32_t n_loading = 0;
    for (uint32_t g = 0; g < cache->o.n_groups; g++) {
        if (!check_ram(tiers, &tiers->ram[g]))
            return false;
        n_loading += tiers->ram[g].n_loading;
        if (tiers->disk[g].n == 0)
            continue;
        if (!kv_shelf_check(&tiers->disk[g]))
            return false;
        const struct kv_links *ahead = &tiers->ahead[g];
        for (uint32_t b = 0; b < ahead->n; b++)
            if (kv_links_has(ahead, b) && kv_hash_is_zero(&cache->groups[g].shelf.hash[b]))
                return false;
    }
    return n_loading == tiers->n_loading && tiers->n_storing <= tiers->store_max;
}
