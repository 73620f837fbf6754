/*
 * fetch/retry.h - how long to wait before the next try.
 *
 * Exponential with jitter: try n waits between half and all of first * 2^(n-1), at most RETRY_WAIT_MAX_MS;
 * a server's Retry-After counts where it is longer.
 *
 * Threads: pure function.  Source: ours; "equal jitter" of M. Brooker, "Exponential backoff and jitter", 2015.
 */
#ifndef FETCH_RETRY_H
#define FETCH_RETRY_H

#include <polder/base.h>

#define RETRY_WAIT_MAX_MS   60000
#define RETRY_AFTER_LIMIT_S 600 /* a server that wants more is given up on for now */

/* n_fails: tries in a row that gained nothing, from 1; retry_after_s: -1 not said; random: any 32 bits. */
uint32_t retry_wait_ms(uint32_t first_ms, uint32_t n_fails, int64_t retry_after_s, uint32_t random);

#endif
