/* See impl.h. Hash tables: token bytes to id, and pairs of ids to their merge. */
#include "impl.h"

#include <string.h>

#include "base/hash.h"
#include "base/rng.h"
#include "base/banned.h"

bool token_map_init(struct token_map *map, struct arena *arena, const struct gguf_str *names,
                    size_t n)
{
    size_t slots = 8;
    while (slots < 2 * n)
        slots *= 2;
    map->slots = arena_array(arena, slots, sizeof *map->slots);
    map->mask = slots - 1;
    map->names = names;
    return map->slots != NULL;
}

static struct token_slot *find_slot(const struct token_map *map, const char *bytes, size_t n,
                                    uint32_t *ret_hash)
{
    uint64_t hash = hash_bytes(bytes, n);
    uint32_t low = (uint32_t)hash;
    *ret_hash = low;
    for (size_t at = (hash >> 32) & map->mask;; at = (at + 1) & map->mask) {
        struct token_slot *slot = &map->slots[at];
        if (slot->item == 0)
            return slot;
        if (slot->hash != low)
            continue;
        struct gguf_str name = map->names[slot->item - 1];
        if (name.len == n && memcmp(name.data, bytes, n) == 0)
            return slot;
    }
}

int32_t token_map_add(struct token_map *map, int32_t id)
{
    uint32_t hash;
    struct token_slot *slot = find_slot(map, map->names[id].data, map->names[id].len, &hash);
    if (slot->item != 0)
        return (int32_t)slot->item - 1;
    *slot = (struct token_slot){hash, (uint32_t)id + 1};
    return id;
}

int32_t token_map_find(const struct token_map *map, const char *bytes, size_t n)
{
    uint32_t hash;
    const struct token_slot *slot = find_slot(map, bytes, n, &hash);
    return slot->item == 0 ? TOKEN_NONE : (int32_t)slot->item - 1;
}

bool token_pairs_init(struct token_pairs *pairs, struct arena *arena, size_t n)
{
    size_t slots = 8;
    unsigned bits = 3;
    while (slots < 2 * n) {
        slots *= 2;
        bits++;
    }
    size_t bytes = 0;
    if (!pl_mul_size(slots, sizeof *pairs->slots, &bytes))
        return false;
    pairs->slots = arena_alloc(arena, bytes);
    if (pairs->slots == NULL)
        return false;
    memset(pairs->slots, 0xFF, bytes);
    pairs->mask = slots - 1;
    pairs->shift = 64 - bits;
    pairs->multiplier = rng_entropy() | 1;
    return true;
}

static struct token_pair *pair_slot(const struct token_pairs *pairs, uint32_t left, uint32_t right)
{
    uint64_t key = ((uint64_t)left << 32) | right;
    size_t at = (size_t)((key * pairs->multiplier) >> pairs->shift);
    for (;; at = (at + 1) & pairs->mask) {
        struct token_pair *slot = &pairs->slots[at];
        if (slot->left == UINT32_MAX || (slot->left == left && slot->right == right))
            return slot;
    }
}

void token_pairs_add(struct token_pairs *pairs, struct token_pair pair)
{
    struct token_pair *slot = pair_slot(pairs, pair.left, pair.right);
    if (slot->left == UINT32_MAX)
        *slot = pair;
}

const struct token_pair *token_pairs_find(const struct token_pairs *pairs, int32_t left,
                                          int32_t right)
{
    if (left < 0 || right < 0)
        return NULL;
    const struct token_pair *slot = pair_slot(pairs, (uint32_t)left, (uint32_t)right);
    return slot->left == UINT32_MAX ? NULL : slot;
}
