/* Making and unmaking the tiers: slots, the disk tier's index; see tiers.h. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#include "internal.h"
#include "base/banned.h"

/* ---- RAM ------------------------------------------------------------------------------------- */

/* Slots for what passes between device and disk where no RAM tier is wanted. */
static void count_staging(const struct kv_cache_options *o, uint32_t *ret_n_slots)
{
    uint64_t row_bytes = 0; /* a slot of each group */
    for (uint32_t g = 0; g < o->n_groups; g++)
        row_bytes += o->groups[g].block_bytes;
    PL_CHECK(row_bytes > 0);
    uint64_t n = KV_STAGING_BYTES / row_bytes;
    n = PL_MAX((uint64_t)KV_STAGING_LEAST, PL_MIN(n, (uint64_t)KV_STAGING_SLOTS));
    for (uint32_t g = 0; g < o->n_groups; g++)
        ret_n_slots[g] = (uint32_t)n;
}

static enum pl_status count_slots(const struct kv_cache_options *o, uint32_t *ret_n_slots,
                                  struct pl_error *err)
{
    uint64_t slot_bytes[KV_GROUPS_MAX];
    for (uint32_t g = 0; g < o->n_groups; g++) {
        slot_bytes[g] = o->groups[g].block_bytes;
        if (slot_bytes[g] == 0 || o->device.read == NULL || o->device.write == NULL)
            return pl_error_set(err, PL_EINVAL, "kv: the tiers can't see blocks of group %u", g);
    }
    if (o->ram_bytes == 0)
        count_staging(o, ret_n_slots);
    else if (!kv_share_bytes(o->ram_bytes, o->n_groups, o->groups, slot_bytes, ret_n_slots))
        return pl_error_set(err, PL_EINVAL, "kv: %llu bytes of RAM tier are too few for a block",
                            (unsigned long long)o->ram_bytes);
    return PL_OK;
}

static bool init_ram(struct kv_ram *ram, uint32_t n, uint64_t block_bytes, uint32_t first_job)
{
    size_t bytes = 0;
    PL_CHECK(n > 0);
    ram->first_job = first_job;
    ram->users = calloc(n, sizeof *ram->users);
    ram->flags = calloc(n, sizeof *ram->flags);
    if (pl_mul_size(n, block_bytes, &bytes))
        ram->bytes = malloc(bytes); /* pages come as blocks do */
    return ram->users != NULL && ram->flags != NULL && ram->bytes != NULL &&
           kv_shelf_init(&ram->shelf, n);
}

static enum pl_status init_slots(struct kv_cache *cache, const struct kv_cache_options *o,
                                 struct pl_error *err)
{
    struct kv_tiers *tiers = cache->tiers;
    uint32_t n_slots[KV_GROUPS_MAX] = {0};
    enum pl_status status = count_slots(o, n_slots, err);
    if (status != PL_OK)
        return status;
    uint64_t n_jobs = 0;
    bool ok = true;
    for (uint32_t g = 0; ok && g < o->n_groups; g++) {
        ok = n_jobs + n_slots[g] <= KV_BLOCKS_MAX &&
             init_ram(&tiers->ram[g], n_slots[g], o->groups[g].block_bytes, (uint32_t)n_jobs);
        n_jobs += n_slots[g];
    }
    tiers->n_jobs = (uint32_t)n_jobs;
    tiers->store_max = PL_MAX(1u, tiers->n_jobs / 2);
    tiers->has_ram = o->ram_bytes > 0;
    if (!ok)
        return pl_error_set(err, PL_ENOMEM, "kv: no memory for a RAM tier of %llu bytes",
                            (unsigned long long)o->ram_bytes);
    return PL_OK;
}

/* ---- disk ------------------------------------------------------------------------------------ */

/* A slot that the scan found. */
struct found {
    uint64_t number;
    struct kv_hash hash;
    uint32_t slot;
};

struct found_list {
    struct found *items; /* [n_max] */
    uint32_t n, n_max;
};

static void note_slot(void *user, uint32_t slot, uint64_t number, const struct kv_hash *hash)
{
    struct found_list *list = user;
    PL_CHECK(list->n < list->n_max);
    list->items[list->n++] = (struct found){number, *hash, slot};
}

static int by_number(const void *a, const void *b)
{
    const struct found *x = a;
    const struct found *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

/* Into the index, the oldest first; of two with one name the newer one stays. */
static void index_found(struct kv_tiers *tiers, struct kv_shelf *disk, struct found_list *list)
{
    qsort(list->items, list->n, sizeof *list->items, by_number);
    for (uint32_t i = 0; i < list->n; i++) {
        const struct found *found = &list->items[i];
        uint32_t older = kv_shelf_find(disk, &found->hash);
        if (older != KV_NONE) {
            kv_shelf_take(disk, older);
            kv_shelf_put_free(disk, older);
        }
        kv_shelf_take(disk, found->slot);
        kv_shelf_label(disk, found->slot, &found->hash);
        kv_shelf_put_newest(disk, found->slot);
        tiers->number = PL_MAX(tiers->number, found->number + 1);
    }
}

static enum pl_status scan_group(struct kv_tiers *tiers, struct kv_disk_file *file,
                                 uint32_t group_i, struct pl_error *err)
{
    struct kv_shelf *disk = &tiers->disk[group_i];
    uint32_t n = file->groups[group_i].n_slots;
    struct found_list list = {.items = malloc(((size_t)n + 1) * sizeof(struct found)), .n_max = n};
    enum pl_status status = PL_OK;
    if (list.items == NULL || !kv_shelf_init(disk, n))
        status = pl_error_set(err, PL_ENOMEM, "kv: no memory for the index of the disk tier");
    uint64_t n_bad = 0;
    if (status == PL_OK)
        status = kv_disk_scan(file, group_i, note_slot, &list, &n_bad, err);
    if (status == PL_OK) {
        index_found(tiers, disk, &list);
        kv_count(&tiers->disk_dropped, n_bad);
    }
    free(list.items);
    return status;
}

static enum pl_status init_disk(struct kv_cache *cache, const struct kv_cache_options *o,
                                unsigned char ret_key[32], struct pl_error *err)
{
    struct kv_tiers *tiers = cache->tiers;
    struct kv_disk_options options = {
        .dir = o->disk_dir,
        .bytes = o->disk_bytes,
        .block_tokens = o->block_tokens,
        .n_groups = o->n_groups,
    };
    memcpy(options.groups, o->groups, sizeof options.groups);
    memcpy(options.model_id, o->model_id, sizeof options.model_id);
    struct kv_disk_file file;
    enum pl_status status = kv_disk_open(&options, &file, err);
    if (status != PL_OK)
        return status;
    PL_CHECK(tiers->n_jobs > 0);
    tiers->jobs = calloc(tiers->n_jobs, sizeof *tiers->jobs);
    bool ok = tiers->jobs != NULL && kv_links_init(&tiers->unwritten, tiers->n_jobs);
    for (uint32_t g = 0; ok && g < o->n_groups; g++)
        ok = kv_links_init(&tiers->ahead[g], o->groups[g].n_blocks);
    if (!ok)
        status = pl_error_set(err, PL_ENOMEM, "kv: no memory for the disk tier");
    for (uint32_t g = 0; status == PL_OK && g < o->n_groups; g++)
        status = scan_group(tiers, &file, g, err);
    if (status != PL_OK) {
        kv_disk_close(&file);
        return status;
    }
    memcpy(ret_key, file.hash_key, sizeof file.hash_key);
    status = kv_io_open(&file, tiers->jobs, tiers->n_jobs, o->on_ready, o->user, &tiers->io, err);
    tiers->disk_on = status == PL_OK;
    return status;
}

static void free_disk(struct kv_tiers *tiers)
{
    for (uint32_t g = 0; g < KV_GROUPS_MAX; g++) {
        kv_shelf_deinit(&tiers->disk[g]);
        kv_links_deinit(&tiers->ahead[g]);
    }
    kv_links_deinit(&tiers->unwritten);
    free(tiers->jobs);
    tiers->jobs = NULL;
}

/* ---- both ------------------------------------------------------------------------------------ */

enum pl_status kv_tiers_open(struct kv_cache *cache, const struct kv_cache_options *options,
                             unsigned char ret_key[32], struct pl_error *err)
{
    bool wants_disk = options->disk_dir != NULL;
    if (options->no_sharing || (options->ram_bytes == 0 && !wants_disk))
        return PL_OK;
    cache->tiers = calloc(1, sizeof *cache->tiers);
    if (cache->tiers == NULL)
        return pl_error_set(err, PL_ENOMEM, "kv: no memory for tiers");
    enum pl_status status = init_slots(cache, options, err);
    if (status != PL_OK || !wants_disk)
        return status;
    struct pl_error why = {{0}};
    status = init_disk(cache, options, ret_key, &why);
    if (status == PL_OK)
        return PL_OK;
    free_disk(cache->tiers);
    if (status == PL_EINVAL || status == PL_ENOMEM)
        return pl_error_set(err, status, "%s", why.msg);
    /* A folder that can't be used is no reason not to serve. */
    kv_count(&cache->tiers->disk_errors, 1);
    if (options->on_log != NULL) {
        char line[PL_ERROR_MAX + 64];
        snprintf(line, sizeof line, "%s; the disk tier is off until the next start", why.msg);
        options->on_log(options->user, line);
    }
    return PL_OK;
}

void kv_tiers_close(struct kv_cache *cache)
{
    struct kv_tiers *tiers = cache->tiers;
    if (tiers == NULL)
        return;
    kv_tiers_flush_and_stop(cache);
    free_disk(tiers);
    for (uint32_t g = 0; g < KV_GROUPS_MAX; g++) {
        kv_shelf_deinit(&tiers->ram[g].shelf);
        free(tiers->ram[g].bytes);
        free(tiers->ram[g].users);
        free(tiers->ram[g].flags);
    }
    free(tiers);
    cache->tiers = NULL;
}
