/* Places found by hash and reused by age; see shelf.h. */
#include "shelf.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/banned.h"

static uint32_t free_head(const struct kv_shelf *shelf)
{
    return shelf->n;
}

static uint32_t lru_head(const struct kv_shelf *shelf)
{
    return shelf->n + 1;
}

bool kv_shelf_init(struct kv_shelf *shelf, uint32_t n)
{
    PL_CHECK(n > 0 && n <= KV_BLOCKS_MAX);
    size_t n_buckets = 16;
    while (n_buckets < n)
        n_buckets *= 2;
    size_t words = n_buckets + n + 2 * ((size_t)n + 2);
    *shelf = (struct kv_shelf){.n = n, .n_free = n, .mask = (uint32_t)(n_buckets - 1)};
    shelf->hash = calloc(n, sizeof *shelf->hash);
    shelf->buckets = malloc(words * sizeof *shelf->buckets);
    shelf->state = calloc(n, 1);
    if (shelf->hash == NULL || shelf->buckets == NULL || shelf->state == NULL) {
        kv_shelf_deinit(shelf);
        return false;
    }
    memset(shelf->buckets, 0xff, words * sizeof *shelf->buckets);
    shelf->chain = shelf->buckets + n_buckets;
    shelf->next = shelf->chain + n;
    shelf->prev = shelf->next + n + 2;
    for (uint32_t i = 0; i <= n; i++) { /* the free list in order: 0, 1, ... */
        shelf->next[i] = i < n ? i + 1 : 0;
        shelf->prev[i] = i > 0 ? i - 1 : n;
    }
    shelf->next[n + 1] = n + 1;
    shelf->prev[n + 1] = n + 1;
    return true;
}

void kv_shelf_deinit(struct kv_shelf *shelf)
{
    free(shelf->hash);
    free(shelf->buckets); /* chain, next and prev are parts of it */
    free(shelf->state);
    *shelf = (struct kv_shelf){0};
}

/* The hash is keyed: nobody can choose colliding buckets. */
static uint32_t *bucket_of(const struct kv_shelf *shelf, const struct kv_hash *hash)
{
    return &shelf->buckets[hash->w[0] & shelf->mask];
}

uint32_t kv_shelf_find(const struct kv_shelf *shelf, const struct kv_hash *hash)
{
    if (shelf->n == 0)
        return KV_NONE;
    uint32_t place = *bucket_of(shelf, hash);
    while (place != KV_NONE && !kv_hash_equal(&shelf->hash[place], hash))
        place = shelf->chain[place];
    return place;
}

void kv_shelf_label(struct kv_shelf *shelf, uint32_t place, const struct kv_hash *hash)
{
    PL_CHECK(place < shelf->n && shelf->state[place] == KV_PLACE_TAKEN);
    PL_CHECK(kv_hash_is_zero(&shelf->hash[place]) && !kv_hash_is_zero(hash));
    uint32_t *bucket = bucket_of(shelf, hash);
    shelf->hash[place] = *hash;
    shelf->chain[place] = *bucket;
    *bucket = place;
}

void kv_shelf_unlabel(struct kv_shelf *shelf, uint32_t place)
{
    if (kv_hash_is_zero(&shelf->hash[place]))
        return;
    uint32_t *link = bucket_of(shelf, &shelf->hash[place]);
    while (*link != place) {
        PL_CHECK(*link != KV_NONE);
        link = &shelf->chain[*link];
    }
    *link = shelf->chain[place];
    shelf->chain[place] = KV_NONE;
    shelf->hash[place] = (struct kv_hash){{0, 0}};
}

void kv_shelf_take(struct kv_shelf *shelf, uint32_t place)
{
    PL_CHECK(place < shelf->n && shelf->state[place] != KV_PLACE_TAKEN);
    if (shelf->state[place] == KV_PLACE_FREE)
        shelf->n_free--;
    else
        shelf->n_lru--;
    shelf->state[place] = KV_PLACE_TAKEN;
    shelf->next[shelf->prev[place]] = shelf->next[place];
    shelf->prev[shelf->next[place]] = shelf->prev[place];
}

/* Links a taken place in behind node. */
static void link_behind(struct kv_shelf *shelf, uint32_t place, uint32_t node)
{
    PL_CHECK(place < shelf->n && shelf->state[place] == KV_PLACE_TAKEN);
    shelf->prev[place] = node;
    shelf->next[place] = shelf->next[node];
    shelf->prev[shelf->next[node]] = place;
    shelf->next[node] = place;
}

void kv_shelf_put_free(struct kv_shelf *shelf, uint32_t place)
{
    kv_shelf_unlabel(shelf, place);
    link_behind(shelf, place, free_head(shelf));
    shelf->state[place] = KV_PLACE_FREE;
    shelf->n_free++;
}

static void put_lru(struct kv_shelf *shelf, uint32_t place, uint32_t node)
{
    PL_CHECK(!kv_hash_is_zero(&shelf->hash[place]));
    link_behind(shelf, place, node);
    shelf->state[place] = KV_PLACE_LRU;
    shelf->n_lru++;
}

void kv_shelf_put_newest(struct kv_shelf *shelf, uint32_t place)
{
    put_lru(shelf, place, shelf->prev[lru_head(shelf)]);
}

void kv_shelf_put_oldest(struct kv_shelf *shelf, uint32_t place)
{
    put_lru(shelf, place, lru_head(shelf));
}

void kv_shelf_touch(struct kv_shelf *shelf, uint32_t place)
{
    if (shelf->state[place] != KV_PLACE_LRU)
        return;
    kv_shelf_take(shelf, place);
    kv_shelf_put_newest(shelf, place);
}

uint32_t kv_shelf_first_free(const struct kv_shelf *shelf)
{
    return shelf->n_free > 0 ? shelf->next[free_head(shelf)] : KV_NONE;
}

uint32_t kv_shelf_oldest(const struct kv_shelf *shelf)
{
    return shelf->n_lru > 0 ? shelf->next[lru_head(shelf)] : KV_NONE;
}

/* Whether the list of that head has n places in that state and is linked both ways. */
static bool check_list(const struct kv_shelf *shelf, uint32_t head, uint32_t n,
                       enum kv_place_state state)
{
    uint32_t n_seen = 0;
    uint32_t before = head;
    for (uint32_t p = shelf->next[head]; p != head; p = shelf->next[p]) {
        if (p >= shelf->n || shelf->state[p] != state || shelf->prev[p] != before || n_seen == n)
            return false;
        if (kv_hash_is_zero(&shelf->hash[p]) != (state == KV_PLACE_FREE))
            return false;
        before = p;
        n_seen++;
    }
    return n_seen == n && shelf->prev[head] == before;
}

bool kv_shelf_check(const struct kv_shelf *shelf)
{
    if (!check_list(shelf, free_head(shelf), shelf->n_free, KV_PLACE_FREE) ||
        !check_list(shelf, lru_head(shelf), shelf->n_lru, KV_PLACE_LRU))
        return false;
    uint32_t n_states[3] = {0, 0, 0};
    uint32_t n_labels = 0;
    for (uint32_t p = 0; p < shelf->n; p++) {
        if (shelf->state[p] > KV_PLACE_TAKEN)
            return false;
        n_states[shelf->state[p]]++;
        if (kv_hash_is_zero(&shelf->hash[p]))
            continue;
        n_labels++;
        if (kv_shelf_find(shelf, &shelf->hash[p]) != p)
            return false;
    }
    uint32_t n_chained = 0;
    for (uint32_t b = 0; b <= shelf->mask; b++)
        for (uint32_t p = shelf->buckets[b]; p != KV_NONE && n_chained <= n_labels;
             p = shelf->chain[p])
            n_chained++;
    return n_chained == n_labels && n_states[KV_PLACE_FREE] == shelf->n_free &&
           n_states[KV_PLACE_LRU] == shelf->n_lru;
}
