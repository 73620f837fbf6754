/* See clock.h. */
#include "clock.h"

#include <stddef.h>
#include <time.h>

#include "banned.h"

static int64_t read_clock(clockid_t id)
{
    struct timespec ts = {0, 0};
    (void)clock_gettime(id, &ts); /* fails only for an unknown id */
    return (int64_t)ts.tv_sec * CLOCK_NS_PER_S + ts.tv_nsec;
}

static int64_t system_now(void *user)
{
    (void)user;
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t system_unix(void *user)
{
    (void)user;
    return read_clock(CLOCK_REALTIME);
}

static const struct clock_source system_source = {.now_ns = system_now, .unix_ns = system_unix};
static const struct clock_source *current = &system_source;

int64_t clock_now_ns(void)
{
    return current->now_ns(current->user);
}

int64_t clock_unix_ns(void)
{
    return current->unix_ns(current->user);
}

int64_t clock_unix_s(void)
{
    return clock_unix_ns() / CLOCK_NS_PER_S;
}

int64_t clock_cpu_ns(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

bool clock_is_virtual(void)
{
    return current->skip_to != NULL;
}

void clock_skip_to(int64_t due_ns)
{
    current->skip_to(current->user, due_ns);
}

void clock_set_source(const struct clock_source *source)
{
    current = source != NULL ? source : &system_source;
}
