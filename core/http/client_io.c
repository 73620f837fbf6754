/* See client_impl.h: connecting, sending, and the answer's bytes. */
#include "client_impl.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/banned.h"

#define INTERIM_MAX 8 /* 1xx answers before the real one; a server sends one */

static void on_io(void *user, uint32_t events);

/* ---- connect --------------------------------------------------------------------------------- */

static void on_idle_timer(void *user)
{
    http_client_conn_close(user);
}

static struct http_client_conn *new_conn(struct http_call *call, int fd)
{
    struct http_client_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        return NULL;
    conn->client = call->client;
    conn->call = call;
    conn->address = call->address;
    conn->link.next = conn->link.prev = &conn->link;
    conn->io.fn = on_io;
    conn->timer.fn = on_idle_timer;
    conn->io.user = conn->timer.user = conn;
    if (http_io_watch(call->client->loop, &conn->io, fd, EPOLLOUT, NULL) != PL_OK) {
        free(conn);
        return NULL;
    }
    return conn;
}

void http_call_connect(struct http_call *call)
{
    const struct sockaddr *to = &call->address.socket.any;
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        http_call_fail(call, PL_EIO, "can't open a socket", strerrordesc_np(errno));
        return;
    }
    int one = 1;
    if (to->sa_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, to, call->address.bytes) != 0 && errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        http_call_fail(call, PL_EIO, "can't connect", strerrordesc_np(error));
        return;
    }
    call->conn = new_conn(call, fd);
    if (call->conn == NULL) {
        close(fd);
        http_call_fail(call, PL_ENOMEM, "no memory for a connection", "");
        return;
    }
    call->phase = HTTP_CALL_CONNECT;
    http_call_set_deadline(call, call->options.connect_timeout_ms);
}

static void on_connected(struct http_call *call)
{
    int error = 0;
    socklen_t bytes = sizeof error;
    if (getsockopt(call->conn->io.fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0)
        error = errno;
    if (error != 0)
        http_call_fail(call, PL_EIO, "can't connect", strerrordesc_np(error));
    else
        http_call_send(call);
}

/* ---- send ------------------------------------------------------------------------------------ */

void http_call_set_events(struct http_call *call)
{
    uint32_t events = 0;
    if (call->phase == HTTP_CALL_CONNECT || call->sent < call->request.len)
        events |= EPOLLOUT;
    if (call->phase != HTTP_CALL_CONNECT && !call->paused)
        events |= EPOLLIN;
    http_io_change(call->client->loop, &call->conn->io, events);
}

static void on_send_error(struct http_call *call, int error)
{
    if (http_call_retry(call))
        return;
    if (error == EPIPE || error == ECONNRESET) {
        /* The server may have answered before it closed: read that first; reading reports the rest. */
        call->sent = call->request.len;
        call->options.fresh = true;
        return;
    }
    http_call_fail(call, PL_EIO, "can't send the request", strerrordesc_np(error));
}

void http_call_send(struct http_call *call)
{
    if (call->phase == HTTP_CALL_CONNECT)
        call->phase = HTTP_CALL_SEND;
    size_t before = call->sent;
    while (call->sent < call->request.len) {
        ssize_t n = send(call->conn->io.fd, call->request.data + call->sent,
                         call->request.len - call->sent, MSG_NOSIGNAL);
        if (n >= 0) {
            call->sent += (size_t)n;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN) {
            on_send_error(call, errno);
            if (call->conn == NULL)
                return;
        }
        break;
    }
    bool whole = call->sent == call->request.len;
    if (whole && call->phase == HTTP_CALL_SEND) {
        call->phase = HTTP_CALL_HEAD;
        http_call_set_deadline(call, call->options.head_timeout_ms);
    } else if (!whole && (call->sent > before || before == 0)) {
        http_call_set_deadline(call, call->options.gap_timeout_ms);
    }
    http_call_set_events(call);
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* Each returns false when the call is over, cancelled, or freed. */

static bool give_head(struct http_call *call)
{
    const struct http_answer answer = {
        .status = call->head.status,
        .head = &call->head,
        .bytes = call->bytes.data,
    };
    if (call->options.on_head == NULL)
        return true;
    call->depth++;
    call->options.on_head(call->options.user, &answer);
    call->depth--;
    return !http_call_reap(call);
}

static bool give_body(struct http_call *call, const char *data, size_t n)
{
    if (n == 0)
        return true;
    if (n > call->options.answer_bytes_max - call->n_body) {
        http_call_fail(call, PL_ELIMIT, "the answer is too large", "");
        return false;
    }
    call->n_body += n;
    if (call->options.on_body == NULL)
        return true;
    call->depth++;
    call->options.on_body(call->options.user, data, n);
    call->depth--;
    return !http_call_reap(call);
}

/* The answer is complete; extra: more bytes have come than it has. */
static bool complete(struct http_call *call, bool extra)
{
    bool keep = call->head.keep_alive && !extra && !call->options.fresh &&
                call->sent == call->request.len && call->body_kind != HTTP_BODY_UNTIL_CLOSE;
    http_call_over(call, PL_OK, keep);
    return false;
}

static void choose_body(struct http_call *call)
{
    const struct http_head *head = &call->head;
    call->phase = HTTP_CALL_BODY;
    if (call->head_only || head->status == 204 || head->status == 304) {
        call->body_kind = HTTP_BODY_NONE;
    } else if (head->chunked) {
        call->body_kind = HTTP_BODY_CHUNKED;
        http_chunked_init(&call->chunked, call->options.answer_bytes_max);
    } else if (head->content_length >= 0) {
        call->body_kind = head->content_length > 0 ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
        call->left = (uint64_t)head->content_length;
    } else {
        call->body_kind = HTTP_BODY_UNTIL_CLOSE;
    }
}

static bool head_done(struct http_call *call, bool more)
{
    if (call->head.status < 200) {
        if (call->head.status == 101 || ++call->n_interim > INTERIM_MAX) {
            http_call_fail(call, PL_EFORMAT, "an interim answer that was not asked for", "");
            return false;
        }
        http_head_init(&call->head, HTTP_RESPONSE, call->client->options.head_bytes_max);
        buf_clear(&call->bytes);
        return true;
    }
    choose_body(call);
    if (!give_head(call))
        return false;
    buf_deinit(&call->bytes);
    return call->body_kind == HTTP_BODY_NONE ? complete(call, more) : true;
}

static bool feed_head(struct http_call *call, const char **data, size_t *n)
{
    size_t before = call->bytes.len;
    buf_append(&call->bytes, *data, *n);
    if (call->bytes.failed) {
        http_call_fail(call, PL_ENOMEM, "no memory for the answer", "");
        return false;
    }
    enum http_parse parse = http_head_feed(&call->head, call->bytes.data, call->bytes.len);
    if (parse == HTTP_PARSE_ERROR) {
        http_call_fail(call, PL_EFORMAT, "not a valid HTTP/1.1 answer", call->head.error_reason);
        return false;
    }
    size_t used = parse == HTTP_PARSE_MORE ? *n : call->head.head_bytes - before;
    *data += used;
    *n -= used;
    return parse == HTTP_PARSE_MORE ? true : head_done(call, *n > 0);
}

static bool feed_chunked(struct http_call *call, const char **data, size_t *n)
{
    struct http_slice body;
    size_t used;
    enum http_parse parse = http_chunked_feed(&call->chunked, *data, *n, &used, &body);
    *data += used;
    *n -= used;
    if (!give_body(call, body.data, body.n))
        return false;
    if (parse == HTTP_PARSE_ERROR) {
        http_call_fail(call, call->chunked.error_status == 413 ? PL_ELIMIT : PL_EFORMAT,
                       "the answer's body is not valid", call->chunked.error_reason);
        return false;
    }
    return parse == HTTP_PARSE_DONE ? complete(call, *n > 0) : true;
}

static bool feed_body(struct http_call *call, const char **data, size_t *n)
{
    if (call->body_kind == HTTP_BODY_CHUNKED)
        return feed_chunked(call, data, n);
    size_t piece = *n;
    if (call->body_kind == HTTP_BODY_LENGTH)
        piece = (size_t)PL_MIN((uint64_t)piece, call->left);
    const char *from = *data;
    call->left -= call->body_kind == HTTP_BODY_LENGTH ? piece : 0;
    *data += piece;
    *n -= piece;
    if (!give_body(call, from, piece))
        return false;
    if (call->body_kind == HTTP_BODY_LENGTH && call->left == 0)
        return complete(call, *n > 0);
    return true;
}

static void on_end(struct http_call *call)
{
    if (call->phase == HTTP_CALL_BODY && call->body_kind == HTTP_BODY_UNTIL_CLOSE)
        (void)complete(call, false);
    else if (call->phase == HTTP_CALL_BODY)
        http_call_fail(call, PL_EIO, "closed the connection in the middle of the answer", "");
    else if (!http_call_retry(call))
        http_call_fail(call, PL_EIO, "closed the connection before it answered", "");
}

static void on_readable(struct http_call *call)
{
    char *scratch = http_loop_scratch(call->client->loop);
    ssize_t got = recv(call->conn->io.fd, scratch, HTTP_LOOP_SCRATCH_BYTES, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got < 0) {
        int error = errno;
        if (!http_call_retry(call))
            http_call_fail(call, PL_EIO, "the connection failed", strerrordesc_np(error));
        return;
    }
    if (got == 0) {
        on_end(call);
        return;
    }
    call->heard = true;
    const char *data = scratch;
    size_t n = (size_t)got;
    bool more = true;
    while (more && n > 0)
        more =
            call->phase == HTTP_CALL_BODY ? feed_body(call, &data, &n) : feed_head(call, &data, &n);
    if (more && call->phase == HTTP_CALL_BODY && !call->paused)
        http_call_set_deadline(call, call->options.gap_timeout_ms);
}

static void on_io(void *user, uint32_t events)
{
    struct http_client_conn *conn = user;
    struct http_call *call = conn->call;
    if (call == NULL) { /* idle: closed by the server, or talking out of turn */
        http_client_conn_close(conn);
        return;
    }
    if (call->phase == HTTP_CALL_CONNECT) {
        on_connected(call);
        return;
    }
    if ((events & EPOLLOUT) && call->sent < call->request.len) {
        http_call_send(call);
        if (call->conn != conn)
            return;
    }
    if ((events & (EPOLLERR | EPOLLHUP)) || ((events & EPOLLIN) && !call->paused))
        on_readable(call);
}
