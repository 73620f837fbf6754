/* See retry.h. */
#include "retry.h"

#include "base/banned.h"

uint32_t retry_wait_ms(uint32_t first_ms, uint32_t n_fails, int64_t retry_after_s, uint32_t random)
{
    uint64_t wait = first_ms;
    for (uint32_t i = 1; i < n_fails && wait < RETRY_WAIT_MAX_MS; i++)
        wait *= 2;
    wait = PL_MIN(wait, (uint64_t)RETRY_WAIT_MAX_MS);
    wait = wait / 2 + (wait - wait / 2) * random / UINT32_MAX;
    if (retry_after_s > 0)
        wait = PL_MAX(wait, (uint64_t)PL_MIN(retry_after_s, (int64_t)RETRY_AFTER_LIMIT_S) * 1000);
    return (uint32_t)wait;
}
