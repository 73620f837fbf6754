/* See conn.h: life, events, deadlines and output of a connection. */
#include "conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"

#include "base/banned.h"

#define LINGER_MS        2000  /* how long a client may still talk after a refusal */
#define COMPACT_BYTES    65536 /* sent bytes that are worth moving the rest */
#define BODY_BYTES_PER_S 1024  /* slowest body: RFC 1122-era modem; each KiB earns a second */

static void on_io(void *user, uint32_t events);
static void on_timer(void *user);
static void settle(void *user);

/* ---- lists ----------------------------------------------------------------------------------- */

static void link_all(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    conn->all.prev = server->all.prev;
    if (conn->all.prev != NULL)
        conn->all.prev->all.next = conn;
    else
        server->all.next = conn;
    server->all.prev = conn;
    server->stats.connections++;
}

static void unlink_all(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    if (conn->all.prev != NULL)
        conn->all.prev->all.next = conn->all.next;
    else
        server->all.next = conn->all.next;
    if (conn->all.next != NULL)
        conn->all.next->all.prev = conn->all.prev;
    else
        server->all.prev = conn->all.prev;
    server->stats.connections--;
}

static void link_idle(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    if (conn->in_idle)
        return;
    conn->in_idle = true;
    conn->idle_since_ns = http_loop_now_ns(server->loop);
    conn->idle.next = NULL;
    conn->idle.prev = server->idle.prev;
    if (conn->idle.prev != NULL)
        conn->idle.prev->idle.next = conn;
    else
        server->idle.next = conn;
    server->idle.prev = conn;
    server->stats.idle++;
}

static void unlink_idle(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    if (!conn->in_idle)
        return;
    conn->in_idle = false;
    if (conn->idle.prev != NULL)
        conn->idle.prev->idle.next = conn->idle.next;
    else
        server->idle.next = conn->idle.next;
    if (conn->idle.next != NULL)
        conn->idle.next->idle.prev = conn->idle.prev;
    else
        server->idle.prev = conn->idle.prev;
    server->stats.idle--;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void keep_peer(struct http_conn *conn, const struct sockaddr *peer)
{
    conn->peer.any.sa_family = peer->sa_family;
    if (peer->sa_family == AF_INET)
        memcpy(&conn->peer.v4, peer, sizeof conn->peer.v4);
    else if (peer->sa_family == AF_INET6)
        memcpy(&conn->peer.v6, peer, sizeof conn->peer.v6);
}

struct http_conn *http_conn_new(struct http_server *server, int fd, const struct sockaddr *peer)
{
    struct http_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        http_transport_plain.close(NULL, fd);
        return NULL;
    }
    conn->server = server;
    conn->transport = &http_transport_plain;
    conn->io.fn = on_io;
    conn->timer.fn = on_timer;
    conn->settle.fn = settle;
    conn->io.user = conn->timer.user = conn->settle.user = conn;
    buf_init(&conn->in, 0);
    buf_init(&conn->out, 0);
    keep_peer(conn, peer);
    if (http_io_watch(server->loop, &conn->io, fd, EPOLLIN | EPOLLRDHUP, NULL) != PL_OK) {
        http_transport_plain.close(NULL, fd);
        free(conn);
        return NULL;
    }
    link_all(conn);
    link_idle(conn);
    server->stats.accepted++;
    http_conn_set_deadline(conn, http_loop_now_ns(server->loop) +
                                     server->options.head_timeout_ms * CLOCK_NS_PER_MS);
    return conn;
}

void http_conn_touch(struct http_conn *conn)
{
    http_loop_defer(conn->server->loop, &conn->settle);
}

void http_conn_kill(struct http_conn *conn)
{
    if (conn->dead)
        return;
    conn->dead = true;
    int fd = conn->io.fd;
    http_io_unwatch(conn->server->loop, &conn->io);
    http_timer_cancel(conn->server->loop, &conn->timer);
    unlink_idle(conn);
    conn->transport->close(conn->transport_state, fd);
    buf_deinit(&conn->in);
    buf_deinit(&conn->out);
    conn->out_sent = 0;
    if (conn->x != NULL) {
        conn->server->stats.vanished++;
        conn->server->stats.slow_readers += conn->slow;
        if (conn->x->failed == PL_OK)
            conn->x->failed = PL_ECLOSED;
    }
    http_conn_touch(conn);
}

void http_conn_drop_request(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    struct http_request *req = conn->req;
    if (req == NULL)
        return;
    conn->req = NULL;
    buf_deinit(&req->bytes);
    if (server->n_requests == HTTP_REQUESTS_CACHED) {
        free(req);
        return;
    }
    req->next = server->requests;
    server->requests = req;
    server->n_requests++;
}

static void tell_closed(struct http_conn *conn)
{
    struct http_exchange *x = conn->x;
    struct http_server *server = conn->server;
    if (x == NULL)
        return;
    x->closing = true;
    server->stats.exchanges--;
    if (x->on_close != NULL)
        x->on_close(x->close_user);
    conn->x = NULL;
    free(x);
}

void http_conn_free(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    http_conn_kill(conn);
    tell_closed(conn);
    http_conn_drop_request(conn);
    http_loop_undefer(server->loop, &conn->settle);
    unlink_all(conn);
    free(conn);
    http_server_conn_gone(server);
}

/* ---- deadlines ------------------------------------------------------------------------------- */

/* The timer is only ever moved to an earlier time; a deadline that moved away is found when it fires.
 * So a busy connection does not touch the heap. */
void http_conn_set_deadline(struct http_conn *conn, int64_t deadline_ns)
{
    conn->deadline_ns = deadline_ns;
    if (deadline_ns != 0 && (!conn->timer.armed || conn->timer.due_ns > deadline_ns))
        http_timer_arm(conn->server->loop, &conn->timer, deadline_ns);
}

static int64_t deadline_after(const struct http_conn *conn, uint32_t timeout_ms)
{
    return http_loop_now_ns(conn->server->loop) + timeout_ms * CLOCK_NS_PER_MS;
}

void http_conn_go_idle(struct http_conn *conn)
{
    http_conn_set_deadline(conn, deadline_after(conn, conn->server->options.idle_timeout_ms));
    link_idle(conn);
}

static void on_deadline(struct http_conn *conn)
{
    if (conn->write_blocked) {
        conn->slow = true;
        if (conn->x != NULL)
            conn->x->failed = PL_ELIMIT;
        http_conn_kill(conn);
    } else if (conn->phase == HTTP_PHASE_HEAD && conn->req != NULL) {
        http_conn_refuse(conn, 408, "the request's head did not arrive in time");
    } else if (conn->phase == HTTP_PHASE_BODY) {
        http_conn_refuse(conn, 408, "the request's body did not arrive in time");
    } else {
        http_conn_kill(conn);
    }
}

static void on_timer(void *user)
{
    struct http_conn *conn = user;
    if (conn->deadline_ns == 0)
        return;
    int64_t deadline_ns = conn->deadline_ns;
    if (conn->phase == HTTP_PHASE_BODY && !conn->write_blocked)
        deadline_ns += (int64_t)(conn->req->body_wire / BODY_BYTES_PER_S) * CLOCK_NS_PER_S;
    if (deadline_ns > http_loop_now_ns(conn->server->loop))
        http_timer_arm(conn->server->loop, &conn->timer, deadline_ns);
    else
        on_deadline(conn);
}

/* ---- output ---------------------------------------------------------------------------------- */

size_t http_conn_pending(const struct http_conn *conn)
{
    return conn->out.len - conn->out_sent;
}

void http_conn_flush(struct http_conn *conn)
{
    bool progress = false;
    bool was_blocked = conn->write_blocked;
    conn->write_blocked = false;
    while (!conn->dead && http_conn_pending(conn) > 0) {
        ssize_t n =
            conn->transport->write(conn->transport_state, conn->io.fd,
                                   conn->out.data + conn->out_sent, http_conn_pending(conn));
        if (n >= 0) {
            conn->out_sent += (size_t)n;
            progress = true;
            continue;
        }
        if (errno == EINTR)
            continue;
        conn->write_blocked = errno == EAGAIN;
        if (!conn->write_blocked)
            http_conn_kill(conn);
        break;
    }
    if (conn->dead)
        return;
    if (http_conn_pending(conn) == 0) {
        buf_deinit(&conn->out);
        conn->out_sent = 0;
    } else if (conn->out_sent >= COMPACT_BYTES && conn->out_sent >= http_conn_pending(conn)) {
        buf_consume(&conn->out, conn->out_sent);
        conn->out_sent = 0;
    }
    if (conn->write_blocked && (progress || !was_blocked))
        http_conn_set_deadline(conn, deadline_after(conn, conn->server->options.write_timeout_ms));
}

/* ---- settle: once at the end of a turn in which something happened ---------------------------- */

static void finish_closing(struct http_conn *conn)
{
    if (!conn->input_unread) {
        http_conn_kill(conn);
        return;
    }
    /* Closing with unread input makes the kernel send a reset, which can destroy the answer on its way:
     * end our side, and drop what still comes for a while. */
    (void)shutdown(conn->io.fd, SHUT_WR);
    conn->phase = HTTP_PHASE_LINGER;
    http_conn_set_deadline(conn, deadline_after(conn, LINGER_MS));
}

static void set_phase_deadline(struct http_conn *conn)
{
    switch ((enum http_phase)conn->phase) {
    case HTTP_PHASE_HEAD:
        if (conn->req == NULL)
            http_conn_go_idle(conn);
        else
            http_conn_set_deadline(conn, conn->req->deadline_ns);
        break;
    case HTTP_PHASE_BODY: http_conn_set_deadline(conn, conn->req->deadline_ns); break;
    case HTTP_PHASE_HANDLER: http_conn_set_deadline(conn, 0); break;
    case HTTP_PHASE_FLUSH:
    case HTTP_PHASE_LINGER: break;
    }
}

static void after_drained(struct http_conn *conn)
{
    struct http_exchange *x = conn->x;
    if (x != NULL && x->on_drain != NULL) {
        void (*fn)(void *) = x->on_drain;
        x->on_drain = NULL;
        fn(x->drain_user);
        if (conn->dead)
            return;
    }
    if (conn->phase == HTTP_PHASE_FLUSH && http_conn_pending(conn) == 0)
        finish_closing(conn);
    else if (conn->phase == HTTP_PHASE_HEAD)
        http_conn_feed_kept(conn);
}

bool http_conn_may_read(const struct http_conn *conn)
{
    if (conn->phase == HTTP_PHASE_LINGER)
        return true;
    return conn->phase < HTTP_PHASE_HANDLER && !conn->write_blocked && conn->in.len == 0;
}

static void set_events(struct http_conn *conn)
{
    if (http_conn_may_read(conn))
        conn->read_blocked = false;
    uint32_t events = conn->half_closed ? 0 : (uint32_t)EPOLLRDHUP;
    if (!conn->read_blocked)
        events |= EPOLLIN;
    if (conn->write_blocked)
        events |= EPOLLOUT;
    http_io_change(conn->server->loop, &conn->io, events);
}

static bool drainable(const struct http_conn *conn)
{
    return conn->server->draining && conn->phase == HTTP_PHASE_HEAD && conn->req == NULL &&
           conn->in.len == 0 && http_conn_pending(conn) == 0;
}

static void settle(void *user)
{
    struct http_conn *conn = user;
    if (!conn->dead)
        http_conn_flush(conn);
    if (!conn->dead && http_conn_pending(conn) == 0)
        after_drained(conn);
    if (!conn->dead && drainable(conn))
        http_conn_kill(conn);
    if (conn->dead) {
        http_conn_free(conn);
        return;
    }
    if (!conn->write_blocked)
        set_phase_deadline(conn);
    set_events(conn);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void linger(struct http_conn *conn, ssize_t n)
{
    if (n == 0)
        http_conn_kill(conn); /* the rest is dropped; the deadline bounds it */
}

static void on_end(struct http_conn *conn)
{
    conn->half_closed = true;
    conn->close_after = true;
    if (conn->phase == HTTP_PHASE_HEAD && http_conn_pending(conn) > 0) {
        http_conn_drop_request(conn);
        conn->phase = HTTP_PHASE_FLUSH;
        http_conn_touch(conn);
        return;
    }
    http_conn_kill(conn);
}

static void on_readable(struct http_conn *conn)
{
    char *scratch = http_loop_scratch(conn->server->loop);
    ssize_t n =
        conn->transport->read(conn->transport_state, conn->io.fd, scratch, HTTP_LOOP_SCRATCH_BYTES);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            http_conn_kill(conn);
        return;
    }
    if (conn->phase == HTTP_PHASE_LINGER) {
        linger(conn, n);
        return;
    }
    if (n == 0) {
        on_end(conn);
        return;
    }
    unlink_idle(conn);
    http_conn_feed(conn, scratch, (size_t)n);
    if (!conn->dead)
        http_conn_touch(conn);
}

/* The client ended its side while a response is being made. */
static void on_hangup(struct http_conn *conn)
{
    if (conn->x != NULL && !conn->server->options.half_close) {
        http_conn_kill(conn);
        return;
    }
    conn->half_closed = true;
    http_conn_touch(conn);
}

static void on_io(void *user, uint32_t events)
{
    struct http_conn *conn = user;
    if (events & EPOLLERR) {
        http_conn_kill(conn);
        return;
    }
    if (events & EPOLLOUT)
        http_conn_touch(conn);
    bool may_read = http_conn_may_read(conn);
    if ((events & EPOLLHUP) && !(may_read && (events & EPOLLIN))) {
        http_conn_kill(conn);
        return;
    }
    if ((events & EPOLLIN) && may_read) {
        on_readable(conn);
        return;
    }
    if (events & EPOLLRDHUP)
        on_hangup(conn);
    if (conn->dead || !(events & EPOLLIN))
        return;
    conn->read_blocked = true;
    http_conn_touch(conn);
}

/* ---- ends ------------------------------------------------------------------------------------ */

void http_conn_end_exchange(struct http_conn *conn, bool keep)
{
    free(conn->x);
    conn->x = NULL;
    conn->server->stats.exchanges--;
    http_conn_touch(conn);
    if (conn->dead)
        return;
    if (conn->phase == HTTP_PHASE_BODY || conn->in.len > 0 || conn->read_blocked)
        conn->input_unread = true;
    http_conn_drop_request(conn);
    if (keep && !conn->close_after && conn->phase == HTTP_PHASE_HANDLER) {
        conn->input_unread = false;
        conn->phase = HTTP_PHASE_HEAD;
        return;
    }
    conn->close_after = true;
    conn->phase = HTTP_PHASE_FLUSH;
}

void http_conn_refuse(struct http_conn *conn, int status, const char *reason)
{
    struct buf body;
    struct http_failure failure = {
        .status = status,
        .message = reason,
        .type = "invalid_request_error", /* 501 and 505 too: the client is at fault */
    };
    conn->server->stats.refused++;
    if (conn->x != NULL) {
        tell_closed(conn);
        if (conn->dead)
            return;
    }
    buf_init(&body, 0);
    http_failure_write(&body, &failure);
    struct http_reply reply = {
        .status = status,
        .content_type = "application/json",
        .body = body.data,
        .body_bytes = body.len,
    };
    struct http_reply_head how = {
        .framing = HTTP_FRAMING_LENGTH,
        .body_bytes = body.len,
        .connection = "close",
    };
    http_reply_write_head(conn->server, &conn->out, &reply, &how);
    buf_append(&conn->out, body.data, body.len);
    bool failed = body.failed || conn->out.failed;
    buf_deinit(&body);
    http_conn_drop_request(conn);
    conn->phase = HTTP_PHASE_FLUSH;
    conn->close_after = conn->input_unread = true;
    if (failed)
        http_conn_kill(conn);
    else
        http_conn_touch(conn);
}
