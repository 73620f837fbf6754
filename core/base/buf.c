/* See buf.h. Capacity doubles from BUF_MIN. */
#include "buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define BUF_MIN 64

void buf_init(struct buf *buf, size_t max_bytes)
{
    *buf = (struct buf){.max_bytes = max_bytes != 0 ? max_bytes : SIZE_MAX / 2};
}

void buf_deinit(struct buf *buf)
{
    if (buf == NULL)
        return;
    free(buf->data);
    buf_init(buf, buf->max_bytes);
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->failed = false;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

char *buf_reserve(struct buf *buf, size_t n)
{
    if (buf->failed || n > buf->max_bytes - buf->len) {
        buf->failed = true;
        return NULL;
    }
    size_t need = buf->len + n + 1;
    if (need > buf->capacity) {
        size_t capacity = PL_MAX(buf->capacity * 2, (size_t)BUF_MIN);
        capacity = PL_MAX(capacity, need);
        char *data = realloc(buf->data, capacity);
        if (data == NULL) {
            buf->failed = true;
            return NULL;
        }
        buf->data = data;
        buf->capacity = capacity;
    }
    return buf->data + buf->len;
}

void buf_commit(struct buf *buf, size_t n)
{
    buf->len += n;
    buf->data[buf->len] = '\0';
}

void buf_append(struct buf *buf, const void *bytes, size_t n)
{
    char *to = buf_reserve(buf, n);
    if (to == NULL)
        return;
    if (n > 0)
        memcpy(to, bytes, n);
    buf_commit(buf, n);
}

void buf_str(struct buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text));
}

void buf_char(struct buf *buf, char c)
{
    buf_append(buf, &c, 1);
}

void buf_vprintf(struct buf *buf, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    char *to = n >= 0 ? buf_reserve(buf, (size_t)n) : NULL;
    if (to != NULL) {
        (void)vsnprintf(to, (size_t)n + 1, fmt, again);
        buf_commit(buf, (size_t)n);
    }
    va_end(again);
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    buf_vprintf(buf, fmt, args);
    va_end(args);
}

void buf_consume(struct buf *buf, size_t n)
{
    if (n == 0)
        return;
    n = PL_MIN(n, buf->len);
    memmove(buf->data, buf->data + n, buf->len - n + 1);
    buf->len -= n;
}

char *buf_take(struct buf *buf)
{
    buf_append(buf, "", 0); /* an empty buffer still gives "" */
    char *data = buf->failed ? NULL : buf->data;
    if (data != NULL)
        buf->data = NULL;
    buf_deinit(buf);
    return data;
}
