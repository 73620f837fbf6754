/* See conn.h: bytes of the client become requests. */
#include "conn.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#include "base/banned.h"

#define HEAD_PIECE_BYTES                                                                           \
    2048 /* heads are appended in pieces: most fit one, and little is copied twice */

static const char continue_line[] = "HTTP/1.1 100 Continue\r\n\r\n";

static bool begin_request(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    struct http_request *req = server->requests;
    if (req != NULL) {
        server->requests = req->next;
        server->n_requests--;
    } else {
        req = malloc(sizeof *req);
        if (req == NULL)
            return false;
    }
    http_head_init(&req->head, HTTP_REQUEST, server->options.head_bytes_max);
    buf_init(&req->bytes, 0);
    req->body_wire = 0;
    req->next = NULL;
    req->deadline_ns =
        http_loop_now_ns(server->loop) + server->options.head_timeout_ms * CLOCK_NS_PER_MS;
    http_conn_set_deadline(conn, req->deadline_ns);
    conn->req = req;
    return true;
}

static bool begin_exchange(struct http_conn *conn)
{
    const struct http_request *req = conn->req;
    struct http_slice method = http_span_slice(req->bytes.data, req->head.method);
    struct http_exchange *x = calloc(1, sizeof *x);
    if (x == NULL)
        return false;
    x->conn = conn;
    x->head_only = http_slice_is(method, "HEAD");
    x->http10 = req->head.version_minor == 0;
    x->keep_alive = req->head.keep_alive;
    conn->x = x;
    conn->server->stats.exchanges++;
    return true;
}

static void request_done(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    conn->phase = HTTP_PHASE_HANDLER;
    http_conn_set_deadline(conn, 0);
    server->stats.requests++;
    server->options.on_request(server->options.user, conn->x);
}

/* Declared body; false if it is refused. */
static bool check_body(struct http_conn *conn)
{
    const struct http_head *head = &conn->req->head;
    if (head->content_length < 0 ||
        (uint64_t)head->content_length <= conn->server->options.body_bytes_max)
        return true;
    http_conn_refuse(conn, 413, "the request's body is too large");
    return false;
}

static void begin_body(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    struct http_request *req = conn->req;
    http_chunked_init(&req->chunked, server->options.body_bytes_max);
    req->deadline_ns =
        http_loop_now_ns(server->loop) + server->options.body_timeout_ms * CLOCK_NS_PER_MS;
    http_conn_set_deadline(conn, req->deadline_ns);
}

/* more: bytes of the body are here already. */
static void head_done(struct http_conn *conn, bool more)
{
    struct http_server *server = conn->server;
    if (!check_body(conn))
        return;
    if (!begin_exchange(conn)) {
        http_conn_kill(conn);
        return;
    }
    bool body = conn->req->head.chunked || conn->req->head.content_length > 0;
    conn->phase = body ? HTTP_PHASE_BODY : HTTP_PHASE_HANDLER;
    if (server->options.on_headers != NULL)
        server->options.on_headers(server->options.user, conn->x);
    if (conn->dead || conn->x == NULL || conn->x->streaming)
        return; /* the handler replied */
    if (!body) {
        request_done(conn);
        return;
    }
    if (conn->req->head.expect_continue && !more) {
        buf_append(&conn->out, continue_line, strlen(continue_line));
        http_conn_touch(conn);
    }
    begin_body(conn);
}

/* Each takes bytes from data, n > 0, and returns how many; 0 only if the connection takes no more. */
static size_t feed_head(struct http_conn *conn, const char *data, size_t n)
{
    if (conn->req == NULL && !begin_request(conn)) {
        http_conn_kill(conn);
        return 0;
    }
    struct http_request *req = conn->req;
    size_t before = req->bytes.len;
    size_t piece = PL_MIN(n, (size_t)HEAD_PIECE_BYTES);
    buf_append(&req->bytes, data, piece);
    if (req->bytes.failed) {
        http_conn_kill(conn);
        return 0;
    }
    switch (http_head_feed(&req->head, req->bytes.data, req->bytes.len)) {
    case HTTP_PARSE_MORE: return piece;
    case HTTP_PARSE_ERROR:
        http_conn_refuse(conn, req->head.error_status, req->head.error_reason);
        return 0;
    case HTTP_PARSE_DONE: break;
    }
    size_t used = req->head.head_bytes - before;
    req->bytes.len = req->head.head_bytes;
    req->bytes.data[req->bytes.len] = '\0';
    head_done(conn, used < n);
    return used;
}

static size_t feed_chunked(struct http_conn *conn, const char *data, size_t n)
{
    struct http_request *req = conn->req;
    struct http_slice body;
    size_t used;
    enum http_parse parse = http_chunked_feed(&req->chunked, data, n, &used, &body);
    req->body_wire += used;
    buf_append(&req->bytes, body.data, body.n);
    if (req->bytes.failed)
        http_conn_kill(conn);
    else if (parse == HTTP_PARSE_ERROR)
        http_conn_refuse(conn, req->chunked.error_status, req->chunked.error_reason);
    else if (parse == HTTP_PARSE_DONE)
        request_done(conn);
    return used;
}

static size_t feed_body(struct http_conn *conn, const char *data, size_t n)
{
    struct http_request *req = conn->req;
    if (req->head.chunked)
        return feed_chunked(conn, data, n);
    uint64_t left = (uint64_t)req->head.content_length - req->body_wire;
    size_t piece = (size_t)PL_MIN((uint64_t)n, left);
    buf_append(&req->bytes, data, piece);
    req->body_wire += piece;
    if (req->bytes.failed)
        http_conn_kill(conn);
    else if (piece == left)
        request_done(conn);
    return piece;
}

static bool wants_input(const struct http_conn *conn)
{
    return !conn->dead && conn->phase < HTTP_PHASE_HANDLER && !conn->write_blocked &&
           http_conn_pending(conn) < HTTP_FLUSH_BYTES;
}

void http_conn_feed(struct http_conn *conn, const char *data, size_t n)
{
    while (n > 0 && wants_input(conn)) {
        size_t used =
            conn->phase == HTTP_PHASE_HEAD ? feed_head(conn, data, n) : feed_body(conn, data, n);
        data += used;
        n -= used;
    }
    if (n == 0 || conn->dead)
        return;
    if (conn->phase > HTTP_PHASE_HANDLER) {
        conn->input_unread = true;
        return;
    }
    buf_append(&conn->in, data, n); /* pipelined: its turn comes */
    if (conn->in.failed)
        http_conn_kill(conn);
}

void http_conn_feed_kept(struct http_conn *conn)
{
    if (conn->in.len == 0)
        return;
    struct buf kept = conn->in;
    buf_init(&conn->in, 0);
    http_conn_feed(conn, kept.data, kept.len);
    buf_deinit(&kept);
    if (!conn->dead)
        http_conn_touch(conn);
}
