/* Allocation faults by wrapped symbols; see fault.h. */
#include "fault.h"

#include <stdatomic.h>
#include <stddef.h>

static atomic_long counted;
static atomic_long failing_at;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

void fault_fail_at(long n)
{
    atomic_store(&counted, 0);
    atomic_store(&failing_at, n);
}

long fault_count(void)
{
    return atomic_load(&counted);
}

bool fault_hit(void)
{
    long n = atomic_load(&failing_at);
    return n > 0 && atomic_load(&counted) >= n;
}

static bool fails(void)
{
    return atomic_fetch_add(&counted, 1) + 1 == atomic_load(&failing_at);
}

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    return fails() ? NULL : __real_calloc(n, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return fails() ? NULL : __real_realloc(old, bytes);
}
