/* See sse.h. */
#include "sse.h"

#include <string.h>

#include "base/banned.h"

static const unsigned char byte_order_mark[] = {0xef, 0xbb, 0xbf};

void http_sse_init(struct http_sse *sse, size_t event_bytes_max, http_sse_fn *on_event, void *user)
{
    *sse = (struct http_sse){.on_event = on_event, .user = user, .failed = PL_OK};
    buf_init(&sse->line, event_bytes_max);
    buf_init(&sse->data, event_bytes_max);
    buf_init(&sse->type, event_bytes_max);
    buf_init(&sse->id, event_bytes_max);
}

void http_sse_deinit(struct http_sse *sse)
{
    if (sse == NULL)
        return;
    buf_deinit(&sse->line);
    buf_deinit(&sse->data);
    buf_deinit(&sse->type);
    buf_deinit(&sse->id);
}

static struct http_slice slice_of(const struct buf *buf)
{
    return (struct http_slice){.data = buf->data != NULL ? buf->data : "", .n = buf->len};
}

static void dispatch(struct http_sse *sse)
{
    static const struct http_slice message = {.data = "message", .n = 7};
    if (sse->has_data) {
        struct http_sse_event event = {
            .type = sse->type.len > 0 ? slice_of(&sse->type) : message,
            .data = slice_of(&sse->data),
            .id = slice_of(&sse->id),
        };
        sse->on_event(sse->user, &event);
    }
    sse->has_data = false;
    buf_clear(&sse->data);
    buf_clear(&sse->type);
}

static void set(struct buf *buf, struct http_slice value)
{
    buf_clear(buf);
    buf_append(buf, value.data, value.n);
}

static void on_line(struct http_sse *sse)
{
    struct http_slice name = slice_of(&sse->line), value = {.data = "", .n = 0};
    if (name.n == 0) {
        dispatch(sse);
        return;
    }
    const char *colon = memchr(name.data, ':', name.n);
    if (colon != NULL) {
        size_t n = (size_t)(colon - name.data);
        value = (struct http_slice){.data = colon + 1, .n = name.n - n - 1};
        name.n = n;
        if (value.n > 0 && value.data[0] == ' ') {
            value.data++;
            value.n--;
        }
    }
    if (http_slice_is(name, "data")) {
        if (sse->has_data)
            buf_char(&sse->data, '\n');
        sse->has_data = true;
        buf_append(&sse->data, value.data, value.n);
    } else if (http_slice_is(name, "event")) {
        set(&sse->type, value);
    } else if (http_slice_is(name, "id") && memchr(value.data, '\0', value.n) == NULL) {
        set(&sse->id, value);
    }
}

static enum pl_status check(struct http_sse *sse)
{
    const struct buf *bufs[] = {&sse->line, &sse->data, &sse->type, &sse->id};
    for (size_t i = 0; i < PL_ARRAY_LEN(bufs) && sse->failed == PL_OK; i++)
        if (bufs[i]->failed)
            sse->failed = PL_ELIMIT;
    return sse->failed;
}

/* Drops a byte order mark at the very start; bytes that only looked like one belong to the line. */
static size_t skip_mark(struct http_sse *sse, const char *data, size_t n)
{
    size_t used = 0;
    while (used < n && sse->bom < sizeof byte_order_mark) {
        if ((unsigned char)data[used] != byte_order_mark[sse->bom]) {
            buf_append(&sse->line, byte_order_mark, sse->bom);
            sse->bom = sizeof byte_order_mark;
            break;
        }
        sse->bom++;
        used++;
    }
    return used;
}

static size_t line_bytes(const char *data, size_t n)
{
    size_t i = 0;
    while (i < n && data[i] != '\n' && data[i] != '\r')
        i++;
    return i;
}

enum pl_status http_sse_feed(struct http_sse *sse, const char *data, size_t n)
{
    size_t i = sse->failed == PL_OK ? skip_mark(sse, data, n) : n;
    while (i < n) {
        if (sse->after_cr && data[i] == '\n')
            i++;
        sse->after_cr = false;
        size_t piece = line_bytes(data + i, n - i);
        buf_append(&sse->line, data + i, piece);
        i += piece;
        if (i == n)
            break;
        sse->after_cr = data[i++] == '\r';
        on_line(sse);
        buf_clear(&sse->line);
        if (check(sse) != PL_OK)
            break;
    }
    return check(sse);
}
