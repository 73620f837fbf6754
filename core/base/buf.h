/*
 * base/buf.h - a growable byte buffer with a sticky failure.
 *
 * Appends after a failure do nothing, so that a writer checks `failed` once at its end. data is kept
 * NUL-terminated whenever it is not NULL.
 *
 * Ownership: the buffer owns data; buf_take hands it over.  Threads: one owner.
 * Limits: max_bytes given at init (0 = SIZE_MAX / 2); beyond it is a failure.  Source: ours.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <polder/base.h>

#include <stdarg.h>

struct buf {
    char *data;       /* len bytes and a NUL; NULL while nothing was appended */
    size_t len;       /* bytes */
    size_t capacity;  /* bytes allocated */
    size_t max_bytes; /* len never exceeds it */
    bool failed;      /* an append was refused or malloc failed */
};

void buf_init(struct buf *buf, size_t max_bytes);
void buf_deinit(struct buf *buf);
void buf_clear(struct buf *buf); /* len 0, failure forgotten, memory kept */

void buf_append(struct buf *buf, const void *bytes, size_t n);
void buf_str(struct buf *buf, const char *text); /* NUL-terminated */
void buf_char(struct buf *buf, char c);
PL_PRINTF(2, 3) void buf_printf(struct buf *buf, const char *fmt, ...);
PL_PRINTF(2, 0) void buf_vprintf(struct buf *buf, const char *fmt, va_list args);

/* Room for n more bytes, or NULL; the caller writes there and then adds to len with buf_commit. */
PL_NODISCARD char *buf_reserve(struct buf *buf, size_t n);
void buf_commit(struct buf *buf, size_t n);

/* Drops the first n bytes. */
void buf_consume(struct buf *buf, size_t n);

/* The malloc'ed, NUL-terminated contents ("" when empty), now the caller's; NULL after a failure. The
 * buffer is empty again. */
PL_NODISCARD char *buf_take(struct buf *buf);

#endif
