/* cmocka with what it needs before it, and small helpers of these tests. */
#ifndef TEST_H
#define TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Exactly n bytes on the heap, so that ASan sees a read beyond them. */
static inline char *test_copy(const char *text, size_t n)
{
    char *copy = malloc(n > 0 ? n : 1);
    if (copy == NULL)
        abort();
    memcpy(copy, text, n);
    return copy;
}

#endif
