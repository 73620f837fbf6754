/*
 * base/clock.h - all time goes through here, so that a simulator can replace it.
 *
 * Monotonic nanoseconds for durations and deadlines, Unix nanoseconds for timestamps shown to people.
 *
 * Threads: reading from any; clock_set_source before threads start.  Source: ours.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_NS_PER_S  1000000000LL
#define CLOCK_NS_PER_MS 1000000LL

struct clock_source {
    int64_t (*now_ns)(void *user);  /* monotonic */
    int64_t (*unix_ns)(void *user); /* since 1970-01-01 UTC */
    void *user;
};

int64_t clock_now_ns(void);
int64_t clock_unix_ns(void);
int64_t clock_unix_s(void);

/* CPU time of this process, all threads: for figures only, never replaced. */
int64_t clock_cpu_ns(void);

/* Replaces the clock; NULL restores the system's. The source must outlive its use. */
void clock_set_source(const struct clock_source *source);

#endif
