/* Names of blocks: a chain of keyed hashes over token ids, starting from a scope. */
#include <string.h>

#include "base/check.h"

#include "internal.h"
#include "base/banned.h"

void kv_hash_keys(struct kv_cache *cache, const unsigned char key[32])
{
    blake2b_init(&cache->scope_hash, sizeof(struct kv_hash), key, 32, "polder-kv-scope");
    blake2b_init(&cache->block_hash, sizeof(struct kv_hash), key, 32, "polder-kv-block");
    unsigned char none =
        0; /* an update pushes the key through the compression: copies start behind it */
    blake2b_update(&cache->scope_hash, cache->o.model_id, sizeof cache->o.model_id);
    blake2b_update(&cache->block_hash, &none, 1);
    cache->block_hash.n_block = 0;
}

static struct kv_hash finish(struct blake2b *state)
{
    struct kv_hash hash;
    blake2b_final(state, &hash);
    if (kv_hash_is_zero(&hash)) /* zero means "no hash" */
        hash.w[0] = 1;
    return hash;
}

struct kv_hash kv_scope(const struct kv_cache *cache, const void *name, size_t n, const void *salt,
                        size_t n_salt)
{
    struct blake2b state = cache->scope_hash;
    uint64_t sizes[2] = {n, n_salt}; /* so that ("ab", "c") is not ("a", "bc") */
    blake2b_update(&state, sizes, sizeof sizes);
    if (n > 0)
        blake2b_update(&state, name, n);
    if (n_salt > 0)
        blake2b_update(&state, salt, n_salt);
    return finish(&state);
}

void kv_seq_hash(const struct kv_cache *cache, struct kv_seq *seq, const int32_t *ids,
                 uint32_t n_tokens)
{
    if (cache->o.no_sharing)
        return;
    uint32_t block_tokens = cache->o.block_tokens;
    uint32_t n = PL_MIN(n_tokens / block_tokens, seq->n_blocks_max);
    for (uint32_t j = seq->n_hashes; j < n; j++) {
        struct blake2b state = cache->block_hash;
        blake2b_update(&state, j > 0 ? &seq->hashes[j - 1] : &seq->scope, sizeof seq->scope);
        blake2b_update(&state, ids + (size_t)j * block_tokens, sizeof *ids * block_tokens);
        seq->hashes[j] = finish(&state);
    }
    seq->n_hashes = PL_MAX(seq->n_hashes, n);
}
