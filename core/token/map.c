/* See impl.h. Hash tables: token bytes to id, and pairs of ids to their merge.
 *
 * Names are hashed by the multilinear family over 32-bit words, k0 + k1 n + k2 w0 + k3 w1 + ... with
 * random 64-bit keys: two given names collide in the high 32 bits with probability 2^-32 whatever they
 * are (Lemire, Kaser, "Strongly universal string hashing is fast", 2014), at a third of SipHash's cost for
 * names of a few bytes. The keys never leave the process. */
#include "impl.h"

#include <string.h>

#include "base/rng.h"
#include "base/banned.h"

#define BATCH 32 /* look-ups in flight: beyond it nothing is gained (measured) */

const uint64_t *token_hash_keys(struct arena *arena)
{
    uint64_t *keys = arena_alloc(arena, TOKEN_HASH_KEYS * sizeof *keys);
    if (keys == NULL)
        return NULL;
    uint64_t seed = rng_entropy();
    uint64_t more = rng_entropy();
    for (size_t i = 0; i < TOKEN_HASH_KEYS; i++) {
        uint32_t words[4];
        rng_philox(seed, i, more, words);
        keys[i] = ((uint64_t)words[0] << 32) | words[1];
    }
    return keys;
}

bool token_map_init(struct token_map *map, struct arena *arena, const uint64_t *keys,
                    const struct gguf_str *names, size_t n)
{
    size_t slots = 8;
    unsigned bits = 3;
    while (slots < 2 * n) {
        slots *= 2;
        bits++;
    }
    map->slots = arena_array(arena, slots, sizeof *map->slots);
    map->keys = keys;
    map->shift = 64 - bits;
    map->mask = slots - 1;
    map->names = names;
    return map->slots != NULL;
}

static uint64_t hash_name(const uint64_t *keys, const char *bytes, size_t n)
{
    uint64_t hash = keys[0] + keys[1] * n;
    uint32_t word = 0;
    for (keys += 2; n >= sizeof word; n -= sizeof word, bytes += sizeof word) {
        memcpy(&word, bytes, sizeof word);
        hash += *keys++ * word;
    }
    word = 0;
    for (size_t i = 0; i < n; i++)
        word |= (uint32_t)(unsigned char)bytes[i] << (8 * i);
    return hash + *keys * word;
}

static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 16);
}

static bool has_name(const struct token_map *map, int32_t id, const char *bytes, size_t n)
{
    struct gguf_str name = map->names[id];
    return name.len == n && memcmp(name.data, bytes, n) == 0;
}

/* The slot that has the name, or the free one where it would go. */
static struct token_slot *find_slot(const struct token_map *map, uint64_t hash, const char *bytes,
                                    size_t n)
{
    for (size_t at = (size_t)(hash >> map->shift);; at = (at + 1) & map->mask) {
        struct token_slot *slot = &map->slots[at];
        if (slot->item == 0)
            return slot;
        if (slot->tag == tag_of(hash) && has_name(map, (int32_t)slot->item - 1, bytes, n))
            return slot;
    }
}

int32_t token_map_find(const struct token_map *map, const char *bytes, size_t n)
{
    if (n > TOKEN_BYTES_MAX)
        return TOKEN_NONE;
    const struct token_slot *slot = find_slot(map, hash_name(map->keys, bytes, n), bytes, n);
    return (int32_t)slot->item - 1; /* a free slot: TOKEN_NONE */
}

/* ---- many at once ---------------------------------------------------------------------------- */

void token_probe_hash(const struct token_map *map, struct token_probe *probe)
{
    probe->hash = probe->n > TOKEN_BYTES_MAX ? 0 : hash_name(map->keys, probe->bytes, probe->n);
    __builtin_prefetch(&map->slots[probe->hash >> map->shift]);
}

void token_probe_peek(const struct token_map *map, struct token_probe *probe)
{
    size_t at = (size_t)(probe->hash >> map->shift);
    while (map->slots[at].item != 0 && map->slots[at].tag != tag_of(probe->hash))
        at = (at + 1) & map->mask;
    probe->guess = (int32_t)map->slots[at].item - 1;
    if (probe->guess != TOKEN_NONE)
        __builtin_prefetch(&map->names[probe->guess]);
}

void token_probe_touch(const struct token_map *map, const struct token_probe *probe)
{
    if (probe->guess != TOKEN_NONE)
        __builtin_prefetch(map->names[probe->guess].data);
}

int32_t token_probe_end(const struct token_map *map, const struct token_probe *probe)
{
    if (probe->guess == TOKEN_NONE || has_name(map, probe->guess, probe->bytes, probe->n))
        return probe->guess;
    return token_map_find(map, probe->bytes, probe->n);
}

struct token_twice token_map_add(struct token_map *map, const int32_t *ids, size_t n)
{
    struct token_twice twice = {TOKEN_NONE, TOKEN_NONE};
    for (size_t at = 0; at < n; at += BATCH) {
        struct token_probe probes[BATCH];
        size_t count = PL_MIN((size_t)BATCH, n - at);
        for (size_t i = 0; i < count; i++) {
            struct gguf_str name = map->names[ids[at + i]];
            probes[i] = (struct token_probe){.bytes = name.data, .n = name.len};
            token_probe_hash(map, &probes[i]);
        }
        for (size_t i = 0; i < count; i++) {
            struct token_slot *slot = find_slot(map, probes[i].hash, probes[i].bytes, probes[i].n);
            if (slot->item == 0)
                *slot = (struct token_slot){tag_of(probes[i].hash), (uint32_t)ids[at + i] + 1};
            else if (twice.first == TOKEN_NONE)
                twice = (struct token_twice){(int32_t)slot->item - 1, ids[at + i]};
        }
    }
    return twice;
}

/* ---- pairs ----------------------------------------------------------------------------------- */

bool token_pairs_init(struct token_pairs *pairs, struct arena *arena, size_t n)
{
    size_t slots = 8;
    unsigned bits = 3;
    while (slots < n + n / 2) { /* a third is free at least; smaller tables miss caches less */
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

static size_t pair_home(const struct token_pairs *pairs, uint32_t left, uint32_t right)
{
    uint64_t key = ((uint64_t)left << 32) | right;
    return (size_t)((key * pairs->multiplier) >> pairs->shift);
}

static struct token_pair *pair_slot(const struct token_pairs *pairs, uint32_t left, uint32_t right)
{
    for (size_t at = pair_home(pairs, left, right);; at = (at + 1) & pairs->mask) {
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

void token_pairs_touch(const struct token_pairs *pairs, const struct token_pair *pair)
{
    __builtin_prefetch(&pairs->slots[pair_home(pairs, pair->left, pair->right)], 1);
}

const struct token_pair *token_pairs_find(const struct token_pairs *pairs, int32_t left,
                                          int32_t right)
{
    if (left < 0 || right < 0)
        return NULL;
    const struct token_pair *slot = pair_slot(pairs, (uint32_t)left, (uint32_t)right);
    return slot->left == UINT32_MAX ? NULL : slot;
}
