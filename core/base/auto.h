/*
 * base/auto.h - scope-bound cleanup: PL_AUTO(foo_free) struct foo *f = NULL;
 *
 * The destroyer takes the pointer's value and accepts NULL. Hand over with `*ret = f; f = NULL;`. A
 * function uses PL_AUTO or goto, never both.
 *
 * PL_AUTO_DEFINE(type, fn) once, near the destroyer's declaration, makes the glue.
 */
#ifndef BASE_AUTO_H
#define BASE_AUTO_H

#include <stdlib.h>
#include <unistd.h>

#define PL_AUTO(fn) __attribute__((cleanup(pl_auto_##fn)))

#define PL_AUTO_DEFINE(type, fn)                                                                   \
    __attribute__((unused)) static inline void pl_auto_##fn(type **p)                              \
    {                                                                                              \
        fn(*p);                                                                                    \
    }

/* PL_AUTO(free) char *p = NULL; works for any pointer type. */
__attribute__((unused)) static inline void pl_auto_free(void *p)
{
    free(*(void **)p);
}

/* PL_AUTO(close_fd) int fd = -1; */
__attribute__((unused)) static inline void pl_auto_close_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#endif
