/*
 * base/clock.h - all time goes through here, so that a simulator can replace it.
 *
 * Monotonic nanoseconds for durations and deadlines, Unix nanoseconds for timestamps shown to people.
 *
 * Threads: reading from any; clock_set_source before threads start.  Source: ours.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_NS_PER_S  1000000000LL
#define CLOCK_NS_PER_MS 1000000LL

struct clock_source {
    int64_t (*now_ns)(void *user);  /* monotonic */
    int64_t (*unix_ns)(void *user); /* since 1970-01-01 UTC */
    /* NULL for a clock that runs by itself. Else time is virtual and stands still while anything can be done: an
     * event loop that has nothing left to do calls this instead of sleeping, with the time of its next timer, or
     * INT64_MAX if it has none. */
    void (*skip_to)(void *user, int64_t due_ns);
    void *user;
};

int64_t clock_now_ns(void);
int64_t clock_unix_ns(void);
int64_t clock_unix_s(void);

/* Whether time stands still until clock_skip_to. */
bool clock_is_virtual(void);

/* Instead of sleeping until due_ns; only on a virtual clock. */
void clock_skip_to(int64_t due_ns);

/* CPU time of this process, all threads: for figures only, never replaced. */
int64_t clock_cpu_ns(void);

/* Replaces the clock; NULL restores the system's. The source must outlive its use. */
void clock_set_source(const struct clock_source *source);

#endif
