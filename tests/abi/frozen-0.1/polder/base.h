/*
 * polder/base.h - compiler attributes and checked arithmetic that every other header uses.
 *
 * Nothing here allocates, locks or fails loudly; libc only. Source: ours.
 */
#ifndef POLDER_BASE_H
#define POLDER_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PL_EXPORT         __attribute__((visibility("default")))
#define PL_NODISCARD      __attribute__((warn_unused_result))
#define PL_PRINTF(fmt, a) __attribute__((format(printf, fmt, a)))
#define PL_UNUSED         __attribute__((unused))

/* PL_MALLOC_FREE(x_free): on a constructor; GCC's analyzer then reports leaks and mismatched
 * frees. Clang knows the plain attribute only. */
#if defined(__GNUC__) && !defined(__clang__)
#define PL_MALLOC_FREE(free_fn) __attribute__((malloc, malloc(free_fn, 1)))
#else
#define PL_MALLOC_FREE(free_fn) __attribute__((malloc))
#endif

#define PL_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define PL_MIN(a, b)    ((a) < (b) ? (a) : (b))
#define PL_MAX(a, b)    ((a) > (b) ? (a) : (b))

/* Products and sums of sizes; false on overflow, and then *ret is unspecified. */
PL_NODISCARD static inline bool pl_mul_size(size_t a, size_t b, size_t *ret)
{
    return !__builtin_mul_overflow(a, b, ret);
}

PL_NODISCARD static inline bool pl_add_size(size_t a, size_t b, size_t *ret)
{
    return !__builtin_add_overflow(a, b, ret);
}

/* value rounded up to a multiple of align, which is a power of two; the caller knows that the sum
 * fits. */
static inline size_t pl_align_up(size_t value, size_t align)
{
    return (value + align - 1) & ~(align - 1);
}

static inline int64_t pl_div_up(int64_t value, int64_t by)
{
    return (value + by - 1) / by;
}

#endif
