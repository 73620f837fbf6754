/* See rng.h. */
#include "rng.h"

#include <sys/random.h>

#include "check.h"
#include "banned.h"

#define PHILOX_M0     0xD2511F53u
#define PHILOX_M1     0xCD9E8D57u
#define PHILOX_W0     0x9E3779B9u
#define PHILOX_W1     0xBB67AE85u
#define PHILOX_ROUNDS 10

void rng_philox(uint64_t seed, uint64_t counter_lo, uint64_t counter_hi, uint32_t ret[4])
{
    uint32_t k0 = (uint32_t)seed;
    uint32_t k1 = (uint32_t)(seed >> 32);
    uint32_t c0 = (uint32_t)counter_lo;
    uint32_t c1 = (uint32_t)(counter_lo >> 32);
    uint32_t c2 = (uint32_t)counter_hi;
    uint32_t c3 = (uint32_t)(counter_hi >> 32);
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        uint64_t p0 = (uint64_t)PHILOX_M0 * c0;
        uint64_t p1 = (uint64_t)PHILOX_M1 * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    ret[0] = c0;
    ret[1] = c1;
    ret[2] = c2;
    ret[3] = c3;
}

float rng_uniform(uint64_t seed, uint64_t stream, uint64_t n)
{
    uint32_t words[4];
    rng_philox(seed, n, stream, words);
    return (float)(words[0] >> 8) * 0x1p-24f;
}

uint64_t rng_entropy(void)
{
    uint64_t value = 0;
    PL_CHECK(getrandom(&value, sizeof value, 0) ==
             (ssize_t)sizeof value); /* cannot fail for 8 bytes */
    return value;
}
