/*
 * base/blake2b.h - BLAKE2b: a keyed hash of any length up to 64 bytes, for block names and as a MAC.
 *
 * A state that has swallowed its key can be copied and used many times: a keyed hash of up to 128 bytes then
 * costs one compression.
 *
 *     struct blake2b keyed, state;
 *     blake2b_init(&keyed, 16, key, sizeof key, "polder-kv-block");
 *     state = keyed; blake2b_update(&state, bytes, n); blake2b_final(&state, digest);
 *
 * Ownership: the caller's storage, no pointers inside.  Threads: pure but for the state.
 * Errors: none; wrong lengths are programmer errors (PL_CHECK).
 * Source: RFC 7693; the personalisation field is that of the BLAKE2 paper (2013), section 2.8.
 */
#ifndef BASE_BLAKE2B_H
#define BASE_BLAKE2B_H

#include <stddef.h>
#include <stdint.h>

#define BLAKE2B_BLOCK_BYTES    128
#define BLAKE2B_DIGEST_MAX     64
#define BLAKE2B_KEY_MAX        64
#define BLAKE2B_PERSONAL_BYTES 16

struct blake2b {
    uint64_t h[8];                            /* chain value */
    uint64_t n_bytes;                         /* compressed so far; 2^64 is beyond any caller */
    unsigned char block[BLAKE2B_BLOCK_BYTES]; /* not compressed yet: the last block is special */
    uint32_t n_block;                         /* bytes of it */
    uint32_t digest_bytes;                    /* 1..64 */
};

/* key may be NULL with n_key 0. personal: at most 16 bytes of text that separates uses, or NULL. */
void blake2b_init(struct blake2b *state, size_t digest_bytes, const void *key, size_t n_key,
                  const char *personal);
void blake2b_update(struct blake2b *state, const void *bytes, size_t n);
/* Writes digest_bytes; the state can't be used any more. */
void blake2b_final(struct blake2b *state, void *digest);

/* Whether n bytes are equal, in a time that does not tell where they differ: for MACs. */
int blake2b_equal(const void *a, const void *b, size_t n);

#endif
