/* See sha256.h. Two ways to compress blocks: plain C, and the x86 SHA instructions where the CPU has them.
 *
 * Names follow the standard: H is `state`, W the message schedule, K the 64 constants, a..h the working
 * variables. */
#include "sha256.h"

#include <stdatomic.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#define HAVE_SHA_NI 1
#endif

#include "banned.h"

#define BLOCK_BYTES  64
#define LENGTH_BYTES 8 /* the bit count that ends the last block */

/* First 32 bits of the fractional parts of the cube roots of the first 64 primes (4.2.2). */
static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotr(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static uint32_t load_be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* One round (6.2.2, step 3). Instead of moving eight variables the names move: after eight rounds each is
 * back at its place. */
#define ROUND(a, b, c, d, e, f, g, h, t)                                                           \
    do {                                                                                           \
        uint32_t t1 = (h) + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) +                             \
                      ((g) ^ ((e) & ((f) ^ (g)))) + K[t] + w[t];                                   \
        (d) += t1;                                                                                 \
        (h) = t1 + (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + (((a) & (b)) | ((c) & ((a) | (b)))); \
    } while (0)

static void compress_plain(uint32_t state[8], const unsigned char *block)
{
    uint32_t w[64];
    for (size_t t = 0; t < 16; t++)
        w[t] = load_be32(block + 4 * t);
    for (size_t t = 16; t < 64; t++) {
        uint32_t s0 = rotr(w[t - 15], 7) ^ rotr(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotr(w[t - 2], 17) ^ rotr(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (size_t t = 0; t < 64; t += 8) {
        ROUND(a, b, c, d, e, f, g, h, t);
        ROUND(h, a, b, c, d, e, f, g, t + 1);
        ROUND(g, h, a, b, c, d, e, f, t + 2);
        ROUND(f, g, h, a, b, c, d, e, t + 3);
        ROUND(e, f, g, h, a, b, c, d, t + 4);
        ROUND(d, e, f, g, h, a, b, c, t + 5);
        ROUND(c, d, e, f, g, h, a, b, t + 6);
        ROUND(b, c, d, e, f, g, h, a, t + 7);
    }
    const uint32_t v[8] = {a, b, c, d, e, f, g, h};
    for (size_t i = 0; i < 8; i++)
        state[i] += v[i];
}
#undef ROUND

static void compress_blocks_plain(uint32_t state[8], const unsigned char *blocks, size_t n_blocks)
{
    for (size_t i = 0; i < n_blocks; i++)
        compress_plain(state, blocks + i * BLOCK_BYTES);
}

#ifdef HAVE_SHA_NI
/* The instructions keep the variables as (a, b, e, f) and (c, d, g, h), highest lane first, and do two
 * rounds each; a schedule of four words at a time is kept in a ring of four vectors. */
__attribute__((target("sha,sse4.1"))) static void compress_blocks_sha_ni(
    uint32_t state[8], const unsigned char *blocks, size_t n_blocks)
{
    const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    __m128i abef = _mm_set_epi32((int)state[0], (int)state[1], (int)state[4], (int)state[5]);
    __m128i cdgh = _mm_set_epi32((int)state[2], (int)state[3], (int)state[6], (int)state[7]);
    for (size_t i = 0; i < n_blocks; i++, blocks += BLOCK_BYTES) {
        __m128i abef_before = abef, cdgh_before = cdgh, w[4];
        for (int g = 0; g < 16; g++) { /* four rounds each */
            if (g < 4) {
                w[g] = _mm_loadu_si128((const __m128i *)(const void *)(blocks + 16 * (size_t)g));
                w[g] = _mm_shuffle_epi8(w[g], swap);
            } else {
                __m128i w7 = _mm_alignr_epi8(w[(g + 3) & 3], w[(g + 2) & 3], 4);
                __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[g & 3], w[(g + 1) & 3]), w7);
                w[g & 3] = _mm_sha256msg2_epu32(sum, w[(g + 3) & 3]);
            }
            __m128i k = _mm_loadu_si128((const __m128i *)(const void *)(K + 4 * (size_t)g));
            __m128i wk = _mm_add_epi32(w[g & 3], k);
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0E));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    state[0] = (uint32_t)_mm_extract_epi32(abef, 3);
    state[1] = (uint32_t)_mm_extract_epi32(abef, 2);
    state[4] = (uint32_t)_mm_extract_epi32(abef, 1);
    state[5] = (uint32_t)_mm_extract_epi32(abef, 0);
    state[2] = (uint32_t)_mm_extract_epi32(cdgh, 3);
    state[3] = (uint32_t)_mm_extract_epi32(cdgh, 2);
    state[6] = (uint32_t)_mm_extract_epi32(cdgh, 1);
    state[7] = (uint32_t)_mm_extract_epi32(cdgh, 0);
}

static bool cpu_has_sha_ni(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_SSE4_1) == 0)
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_SHA) != 0;
}
#endif

enum way {
    WAY_UNKNOWN, /* not looked yet: cpuid is slow inside virtual machines */
    WAY_PLAIN,
    WAY_CPU,
};
static atomic_int way;

static enum way best_way(void)
{
#ifdef HAVE_SHA_NI
    return cpu_has_sha_ni() ? WAY_CPU : WAY_PLAIN;
#else
    return WAY_PLAIN;
#endif
}

void sha256_use_plain(bool plain)
{
    atomic_store(&way, (int)(plain ? WAY_PLAIN : best_way()));
}

static void compress(uint32_t state[8], const unsigned char *blocks, size_t n_blocks)
{
    if (atomic_load(&way) == WAY_UNKNOWN)
        sha256_use_plain(false);
#ifdef HAVE_SHA_NI
    if (atomic_load(&way) == WAY_CPU) {
        compress_blocks_sha_ni(state, blocks, n_blocks);
        return;
    }
#endif
    compress_blocks_plain(state, blocks, n_blocks);
}

void sha256_begin(struct sha256 *h)
{
    /* First 32 bits of the fractional parts of the square roots of the first eight primes (5.3.3). */
    static const uint32_t FIRST[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(h->state, FIRST, sizeof h->state);
    h->n_bytes = 0;
}

void sha256_add(struct sha256 *h, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    size_t held = (size_t)(h->n_bytes % BLOCK_BYTES);
    h->n_bytes += n;
    if (held > 0) {
        size_t take = PL_MIN(n, BLOCK_BYTES - held);
        memcpy(h->block + held, p, take);
        if (held + take < BLOCK_BYTES)
            return;
        compress(h->state, h->block, 1);
        p += take;
        n -= take;
    }
    if (n >= BLOCK_BYTES)
        compress(h->state, p, n / BLOCK_BYTES);
    if (n % BLOCK_BYTES > 0)
        memcpy(h->block, p + n / BLOCK_BYTES * BLOCK_BYTES, n % BLOCK_BYTES);
}

void sha256_end(struct sha256 *h, unsigned char ret[SHA256_BYTES])
{
    static const unsigned char PADDING[BLOCK_BYTES] = {0x80};
    uint64_t bits = h->n_bytes * 8;
    unsigned char length[LENGTH_BYTES];
    for (size_t i = 0; i < LENGTH_BYTES; i++)
        length[i] = (unsigned char)(bits >> (56 - 8 * i));
    size_t held = (size_t)(h->n_bytes % BLOCK_BYTES);
    size_t room = BLOCK_BYTES - LENGTH_BYTES;
    sha256_add(h, PADDING, held < room ? room - held : BLOCK_BYTES + room - held);
    sha256_add(h, length, sizeof length);
    for (size_t i = 0; i < SHA256_BYTES; i++)
        ret[i] = (unsigned char)(h->state[i / 4] >> (24 - 8 * (i % 4)));
}

void sha256_hex(const unsigned char digest[SHA256_BYTES], char ret[SHA256_HEX_BYTES])
{
    static const char DIGITS[] = "0123456789abcdef";
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        ret[2 * i] = DIGITS[digest[i] >> 4];
        ret[2 * i + 1] = DIGITS[digest[i] & 15];
    }
    ret[SHA256_HEX_BYTES - 1] = '\0';
}
