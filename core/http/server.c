/* See server.h: open, drain, close, figures. */
#include "conn.h"

#include <stdlib.h>

#include "base/clock.h"

#include "base/banned.h"

#define DEFAULT_HEAD_BYTES       (16u << 10)
#define DEFAULT_BODY_BYTES       (16u << 20)
#define DEFAULT_CONNECTIONS      10000u
#define DEFAULT_STREAM_PENDING   (1u << 20)
#define DEFAULT_IDLE_TIMEOUT_MS  75000u
#define DEFAULT_HEAD_TIMEOUT_MS  15000u
#define DEFAULT_BODY_TIMEOUT_MS  30000u
#define DEFAULT_WRITE_TIMEOUT_MS 30000u
#define HEAD_BYTES_MAX           (1u << 20) /* spans are 32 bits, and a head is parsed in one buffer */

static void fill(uint32_t *value, uint32_t by_default)
{
    if (*value == 0)
        *value = by_default;
}

static void fill_defaults(struct http_server_options *options)
{
    fill(&options->head_bytes_max, DEFAULT_HEAD_BYTES);
    fill(&options->connections_max, DEFAULT_CONNECTIONS);
    fill(&options->stream_pending_max, DEFAULT_STREAM_PENDING);
    fill(&options->idle_timeout_ms, DEFAULT_IDLE_TIMEOUT_MS);
    fill(&options->head_timeout_ms, DEFAULT_HEAD_TIMEOUT_MS);
    fill(&options->body_timeout_ms, DEFAULT_BODY_TIMEOUT_MS);
    fill(&options->write_timeout_ms, DEFAULT_WRITE_TIMEOUT_MS);
    if (options->body_bytes_max == 0)
        options->body_bytes_max = DEFAULT_BODY_BYTES;
}

static void announce_drained(void *user)
{
    struct http_server *server = user;
    void (*fn)(void *) = server->on_drained;
    server->on_drained = NULL;
    if (fn != NULL)
        fn(server->drained_user); /* may close the server */
}

static void on_accept_timer(void *user)
{
    http_server_resume_accept(user);
}

enum pl_status http_server_open(struct http_loop *loop, const struct http_server_options *options,
                                struct http_server **ret, struct pl_error *err)
{
    if (options->on_request == NULL)
        return pl_error_set(err, PL_EINVAL, "http: a server without on_request");
    if (options->head_bytes_max > HEAD_BYTES_MAX || options->body_bytes_max > SIZE_MAX / 4)
        return pl_error_set(err, PL_EINVAL, "http: head_bytes_max or body_bytes_max is too large");
    struct http_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return pl_error_set(err, PL_ENOMEM, "http: no memory for a server");
    server->loop = loop;
    server->options = *options;
    fill_defaults(&server->options);
    server->accept_timer.fn = on_accept_timer;
    server->accept_timer.user = server;
    server->drained.fn = announce_drained;
    server->drained.user = server;
    *ret = server;
    return PL_OK;
}

bool http_server_evict_idle(struct http_server *server)
{
    struct http_conn *oldest = server->idle.next;
    int64_t latest_ns = http_loop_now_ns(server->loop) - HTTP_EVICT_AFTER_MS * CLOCK_NS_PER_MS;
    if (oldest == NULL || oldest->idle_since_ns > latest_ns)
        return false;
    http_conn_kill(oldest);
    return true;
}

void http_server_conn_gone(struct http_server *server)
{
    http_server_resume_accept(server);
    if (server->draining && server->all.next == NULL)
        http_loop_defer(server->loop, &server->drained);
}

void http_server_drain(struct http_server *server, void (*on_done)(void *user), void *user)
{
    server->on_drained = on_done;
    server->drained_user = user;
    server->draining = true;
    http_server_close_listeners(server);
    for (struct http_conn *conn = server->all.next; conn != NULL; conn = conn->all.next)
        if (!conn->dead)
            http_conn_touch(conn); /* idle ones find out */
    if (server->all.next == NULL)
        http_loop_defer(server->loop, &server->drained);
}

void http_server_close(struct http_server *server)
{
    if (server == NULL)
        return;
    server->on_drained = NULL;
    server->draining = true;
    http_server_close_listeners(server);
    while (server->all.next != NULL)
        http_conn_free(server->all.next);
    while (server->requests != NULL) {
        struct http_request *req = server->requests;
        server->requests = req->next;
        free(req);
    }
    http_timer_cancel(server->loop, &server->accept_timer);
    http_loop_undefer(server->loop, &server->drained);
    free(server);
}

void http_server_stats(const struct http_server *server, struct http_server_stats *ret)
{
    *ret = server->stats;
}
