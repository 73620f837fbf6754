/* See server.h: responses whose length is not known, and server-sent events. */
#include "conn.h"

#include <string.h>
#include <sys/socket.h>

#include "base/banned.h"

#define CHUNK_HEAD_MAX 18 /* 16 hex digits, CR, LF */

/* ---- chunks ---------------------------------------------------------------------------------- */

static void begin_chunk(struct buf *out, size_t n)
{
    char head[CHUNK_HEAD_MAX];
    size_t at = sizeof head;
    head[--at] = '\n';
    head[--at] = '\r';
    do {
        head[--at] = "0123456789abcdef"[n & 15];
        n >>= 4;
    } while (n > 0);
    buf_append(out, head + at, sizeof head - at);
}

/* Opens a piece of n bytes of body: the caller appends exactly these to *ret, then ends the piece.
 * *ret is NULL for a response without body. */
static enum pl_status begin_piece(struct http_exchange *x, size_t n, struct buf **ret)
{
    *ret = NULL;
    if (x->failed != PL_OK)
        return x->failed;
    if (!x->streaming || x->closing)
        return PL_EINVAL;
    if (x->head_only || n == 0)
        return PL_OK;
    *ret = &x->conn->out;
    if (x->chunked)
        begin_chunk(*ret, n);
    return PL_OK;
}

static enum pl_status end_piece(struct http_exchange *x)
{
    struct http_conn *conn = x->conn;
    if (x->chunked)
        buf_append(&conn->out, "\r\n", 2);
    if (conn->out.failed) {
        x->failed = PL_ENOMEM;
        http_conn_kill(conn);
        return x->failed;
    }
    if (http_conn_pending(conn) >= HTTP_FLUSH_BYTES && !conn->write_blocked)
        http_conn_flush(conn);
    if (!conn->dead && http_conn_pending(conn) > conn->server->options.stream_pending_max) {
        conn->slow = true;
        x->failed = PL_ELIMIT;
        http_conn_kill(conn);
    }
    if (!conn->dead)
        http_conn_touch(conn);
    return x->failed;
}

/* ---- streams --------------------------------------------------------------------------------- */

enum pl_status http_stream_begin(struct http_exchange *x, const struct http_reply *reply)
{
    struct http_conn *conn = x->conn;
    if (x->failed != PL_OK)
        return x->failed;
    if (x->streaming || x->closing || conn->phase != HTTP_PHASE_HANDLER || !http_reply_valid(reply))
        return PL_EINVAL;
    x->chunked = !x->http10;
    if (x->http10)
        x->keep_alive = false; /* the connection's end is the body's end */
    x->keep_alive = http_reply_keeps(x);
    struct http_reply_head how = {
        .framing = x->chunked ? HTTP_FRAMING_CHUNKED : HTTP_FRAMING_CLOSE,
        .connection = x->keep_alive ? NULL : "close",
    };
    size_t before = conn->out.len;
    http_reply_write_head(conn->server, &conn->out, reply, &how);
    if (conn->out.failed) {
        conn->out.len = before;
        conn->out.failed = false;
        return PL_ENOMEM;
    }
    x->streaming = true;
    http_conn_drop_request(conn);
    http_conn_touch(conn);
    return PL_OK;
}

enum pl_status http_stream_write(struct http_exchange *x, const void *data, size_t n)
{
    struct buf *out;
    enum pl_status status = begin_piece(x, n, &out);
    if (status != PL_OK || out == NULL)
        return status;
    buf_append(out, data, n);
    return end_piece(x);
}

void http_stream_end(struct http_exchange *x)
{
    struct http_conn *conn = x->conn;
    if (x->closing)
        return;
    if (!x->streaming) {
        http_stream_abort(x);
        return;
    }
    if (!conn->dead && x->chunked && !x->head_only)
        buf_append(&conn->out, "0\r\n\r\n", 5);
    if (conn->out.failed)
        http_conn_kill(conn);
    http_conn_end_exchange(conn, x->keep_alive && !conn->server->draining);
}

void http_stream_abort(struct http_exchange *x)
{
    struct http_conn *conn = x->conn;
    if (x->closing)
        return;
    if (!conn->dead && !(x->streaming && x->chunked)) {
        /* Without chunks an orderly end would look like the body's: reset instead. */
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(conn->io.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        http_conn_kill(conn);
    }
    http_conn_end_exchange(conn, false);
}

size_t http_stream_pending(const struct http_exchange *x)
{
    return http_conn_pending(x->conn);
}

void http_stream_on_drain(struct http_exchange *x, void (*fn)(void *user), void *user)
{
    x->on_drain = fn;
    x->drain_user = user;
    if (fn != NULL && !x->conn->dead)
        http_conn_touch(x->conn);
}

/* ---- server-sent events ---------------------------------------------------------------------- */

#define SSE_HEADERS_MAX 16 /* of the caller */

enum pl_status http_sse_begin(struct http_exchange *x, const struct http_header *headers,
                              size_t n_headers)
{
    struct http_header all[SSE_HEADERS_MAX + 2] = {
        {"Cache-Control", "no-cache"},
        {"X-Accel-Buffering", "no"},
    };
    if (n_headers > SSE_HEADERS_MAX)
        return PL_EINVAL;
    if (n_headers > 0)
        memcpy(all + 2, headers, n_headers * sizeof *headers);
    struct http_reply reply = {
        .status = 200,
        .content_type = "text/event-stream",
        .headers = all,
        .n_headers = n_headers + 2,
    };
    return http_stream_begin(x, &reply);
}

/* The next line of text, which ends at LF, CR or CRLF; *text is moved behind it. A text of n line ends
 * has n + 1 lines; false after the last. */
static bool next_line(struct http_slice *text, bool *more, struct http_slice *ret)
{
    if (!*more)
        return false;
    size_t n = 0;
    while (n < text->n && text->data[n] != '\n' && text->data[n] != '\r')
        n++;
    *ret = (struct http_slice){.data = text->data, .n = n};
    *more = n < text->n;
    if (!*more)
        return true;
    n += text->data[n] == '\r' && n + 1 < text->n && text->data[n + 1] == '\n' ? 2 : 1;
    text->data += n;
    text->n -= n;
    return true;
}

#define SSE_LINE_EXTRA 7 /* "data: " and LF */

enum pl_status http_sse_write(struct http_exchange *x, const void *data, size_t n)
{
    struct http_slice text = {.data = data, .n = n}, line;
    bool more = true;
    size_t total = 1;
    while (next_line(&text, &more, &line))
        total += line.n + SSE_LINE_EXTRA;
    struct buf *out;
    enum pl_status status = begin_piece(x, total, &out);
    if (status != PL_OK || out == NULL)
        return status;
    text = (struct http_slice){.data = data, .n = n};
    more = true;
    while (next_line(&text, &more, &line)) {
        buf_append(out, "data: ", 6);
        buf_append(out, line.data, line.n);
        buf_append(out, "\n", 1);
    }
    buf_append(out, "\n", 1);
    return end_piece(x);
}

enum pl_status http_sse_comment(struct http_exchange *x, const char *text)
{
    size_t n = strcspn(text, "\r\n");
    struct buf *out;
    enum pl_status status = begin_piece(x, n + 4, &out);
    if (status != PL_OK || out == NULL)
        return status;
    buf_append(out, ": ", 2);
    buf_append(out, text, n);
    buf_append(out, "\n\n", 2);
    return end_piece(x);
}
