/*
 * lib/fault.h - makes the n-th allocation fail, and counts allocations.
 *
 * Link the test with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc (PL_FAULT_LINK in CMake): calls of all
 * statically linked code are then counted, those inside shared libraries are not.
 *
 * Threads: any; counters are atomic.  Source: ours, after raft's and sqlite's fault injection.
 */
#ifndef LIB_FAULT_H
#define LIB_FAULT_H

#include <stdbool.h>

/* From now on: count from 0, and let the n-th allocation (1-based) return NULL; 0 = none. */
void fault_fail_at(long n);

/* Allocations since the last fault_fail_at, the failed one included. */
long fault_count(void);

/* The chosen allocation has failed. */
bool fault_hit(void);

#endif
