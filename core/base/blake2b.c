/* BLAKE2b as RFC 7693 describes it; see blake2b.h. */
#include "blake2b.h"

#include <string.h>

#include "check.h"
#include "banned.h"

static const uint64_t iv[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

/* Order of the message words in round r: row r mod 10 (RFC 7693, section 2.7). */
static const uint8_t sigma[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint64_t rotate(uint64_t x, unsigned n)
{
    return x >> n | x << (64 - n);
}

static inline uint64_t load64(const unsigned char *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

/* A quarter round. Four work on columns, four on diagonals; with a constant order v[] lives in registers. */
#define MIX(a, b, c, d, x, y)                                                                      \
    do {                                                                                           \
        v[a] += v[b] + (x);                                                                        \
        v[d] = rotate(v[d] ^ v[a], 32);                                                            \
        v[c] += v[d];                                                                              \
        v[b] = rotate(v[b] ^ v[c], 24);                                                            \
        v[a] += v[b] + (y);                                                                        \
        v[d] = rotate(v[d] ^ v[a], 16);                                                            \
        v[c] += v[d];                                                                              \
        v[b] = rotate(v[b] ^ v[c], 63);                                                            \
    } while (0)

__attribute__((always_inline)) static inline void mix_all(uint64_t *v, const uint64_t *m,
                                                          const uint8_t *order)
{
    MIX(0, 4, 8, 12, m[order[0]], m[order[1]]);
    MIX(1, 5, 9, 13, m[order[2]], m[order[3]]);
    MIX(2, 6, 10, 14, m[order[4]], m[order[5]]);
    MIX(3, 7, 11, 15, m[order[6]], m[order[7]]);
    MIX(0, 5, 10, 15, m[order[8]], m[order[9]]);
    MIX(1, 6, 11, 12, m[order[10]], m[order[11]]);
    MIX(2, 7, 8, 13, m[order[12]], m[order[13]]);
    MIX(3, 4, 9, 14, m[order[14]], m[order[15]]);
}

static void compress(struct blake2b *state, const unsigned char *block, int is_last)
{
    uint64_t m[16];
    uint64_t v[16];
    for (unsigned i = 0; i < 16; i++)
        m[i] = load64(block + (size_t)8 * i);
    for (unsigned i = 0; i < 8; i++) {
        v[i] = state->h[i];
        v[i + 8] = iv[i];
    }
    v[12] ^= state->n_bytes;
    if (is_last)
        v[14] = ~v[14];
    mix_all(v, m, sigma[0]);
    mix_all(v, m, sigma[1]);
    mix_all(v, m, sigma[2]);
    mix_all(v, m, sigma[3]);
    mix_all(v, m, sigma[4]);
    mix_all(v, m, sigma[5]);
    mix_all(v, m, sigma[6]);
    mix_all(v, m, sigma[7]);
    mix_all(v, m, sigma[8]);
    mix_all(v, m, sigma[9]);
    mix_all(v, m, sigma[0]);
    mix_all(v, m, sigma[1]);
    for (unsigned i = 0; i < 8; i++)
        state->h[i] ^= v[i] ^ v[i + 8];
}

void blake2b_init(struct blake2b *state, size_t digest_bytes, const void *key, size_t n_key,
                  const char *personal)
{
    PL_CHECK(digest_bytes >= 1 && digest_bytes <= BLAKE2B_DIGEST_MAX && n_key <= BLAKE2B_KEY_MAX);
    unsigned char parameters[64] = {(unsigned char)digest_bytes, (unsigned char)n_key, 1, 1};
    if (personal != NULL) {
        size_t n = strlen(personal);
        PL_CHECK(n <= BLAKE2B_PERSONAL_BYTES);
        for (size_t i = 0; i < n; i++)
            parameters[48 + i] = (unsigned char)personal[i];
    }
    *state = (struct blake2b){.digest_bytes = (uint32_t)digest_bytes};
    for (unsigned i = 0; i < 8; i++)
        state->h[i] = iv[i] ^ load64(parameters + (size_t)8 * i);
    if (n_key > 0) { /* the key is a block of its own; the last one if no message follows */
        memcpy(state->block, key, n_key);
        state->n_block = BLAKE2B_BLOCK_BYTES;
    }
}

void blake2b_update(struct blake2b *state, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    while (n > 0) {
        if (state->n_block == BLAKE2B_BLOCK_BYTES) { /* more follows: it isn't the last */
            state->n_bytes += BLAKE2B_BLOCK_BYTES;
            compress(state, state->block, 0);
            state->n_block = 0;
        }
        if (state->n_block == 0 && n > BLAKE2B_BLOCK_BYTES) { /* whole blocks from where they lie */
            state->n_bytes += BLAKE2B_BLOCK_BYTES;
            compress(state, p, 0);
            p += BLAKE2B_BLOCK_BYTES;
            n -= BLAKE2B_BLOCK_BYTES;
            continue;
        }
        size_t room = BLAKE2B_BLOCK_BYTES - state->n_block;
        size_t part = n < room ? n : room;
        memcpy(state->block + state->n_block, p, part);
        state->n_block += (uint32_t)part;
        p += part;
        n -= part;
    }
}

void blake2b_final(struct blake2b *state, void *digest)
{
    memset(state->block + state->n_block, 0, BLAKE2B_BLOCK_BYTES - state->n_block);
    state->n_bytes += state->n_block;
    compress(state, state->block, 1);
    unsigned char out[BLAKE2B_DIGEST_MAX];
    for (unsigned i = 0; i < BLAKE2B_DIGEST_MAX; i++)
        out[i] = (unsigned char)(state->h[i / 8] >> 8 * (i % 8));
    memcpy(digest, out, state->digest_bytes);
}

int blake2b_equal(const void *a, const void *b, size_t n)
{
    const unsigned char *x = a;
    const unsigned char *y = b;
    unsigned difference = 0;
    for (size_t i = 0; i < n; i++)
        difference |= (unsigned)(x[i] ^ y[i]);
    return difference == 0;
}
