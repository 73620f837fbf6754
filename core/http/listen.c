/* See server.h: listening sockets and accept. */
#include "conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

#define BACKLOG          1024 /* the kernel caps it at net.core.somaxconn */
#define ACCEPTS_PER_TURN 64   /* so that a flood of connects does not starve those inside */
#define ACCEPT_REST_MS   100  /* pause when descriptors or memory are out */

/* ---- accept ---------------------------------------------------------------------------------- */

void http_server_pause_accept(struct http_server *server)
{
    for (size_t i = 0; i < server->n_listeners; i++)
        http_io_change(server->loop, &server->listeners[i].io, 0);
    http_timer_arm_ms(server->loop, &server->accept_timer, ACCEPT_REST_MS);
}

void http_server_resume_accept(struct http_server *server)
{
    for (size_t i = 0; i < server->n_listeners; i++)
        http_io_change(server->loop, &server->listeners[i].io, EPOLLIN);
    http_timer_cancel(server->loop, &server->accept_timer);
}

/* No connection struct for this one: a few words, and goodbye. */
static void turn_away(struct http_server *server, int fd)
{
    static const struct http_failure full = {
        .status = 503,
        .message = "too many connections",
    };
    struct buf body, out;
    buf_init(&body, 0);
    buf_init(&out, 0);
    http_failure_write(&body, &full);
    static const struct http_header retry = {"Retry-After", "1"};
    struct http_reply reply = {
        .status = 503,
        .content_type = "application/json",
        .headers = &retry,
        .n_headers = 1,
    };
    struct http_reply_head how = {
        .framing = HTTP_FRAMING_LENGTH,
        .body_bytes = body.len,
        .connection = "close",
    };
    http_reply_write_head(server, &out, &reply, &how);
    buf_append(&out, body.data, body.len);
    if (!body.failed && !out.failed) {
        ssize_t n = send(fd, out.data, out.len, MSG_NOSIGNAL);
        (void)n; /* best effort */
        (void)shutdown(fd, SHUT_WR);
    }
    buf_deinit(&body);
    buf_deinit(&out);
    close(fd);
    server->stats.refused++;
}

static void set_socket_options(const struct http_server *server, int fd, int family)
{
    int one = 1;
    if (family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int send_bytes = (int)PL_MIN(server->options.socket_send_bytes, (uint32_t)INT32_MAX);
    if (send_bytes > 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes);
}

static void take(struct http_server *server, int fd, const struct sockaddr *peer)
{
    if (server->stats.connections >= server->options.connections_max &&
        !http_server_evict_idle(server)) {
        turn_away(server, fd);
        return;
    }
    set_socket_options(server, fd, peer->sa_family);
    if (http_conn_new(server, fd, peer) == NULL)
        http_server_pause_accept(server);
}

static bool accept_error_passes(int error)
{
    switch (error) { /* errors of that connection, accept(2) */
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ENONET: return true;
    default: return false;
    }
}

static void on_accept(void *user, uint32_t events)
{
    (void)events;
    struct http_listener *listener = user;
    struct http_server *server = listener->server;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct http_address peer = {.bytes = sizeof peer.socket};
        int fd = accept4(listener->fd, &peer.socket.any, &peer.bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take(server, fd, &peer.socket.any);
            continue;
        }
        if (accept_error_passes(errno))
            continue;
        if (errno != EAGAIN && !http_server_evict_idle(server))
            http_server_pause_accept(server); /* EMFILE, ENFILE, ENOMEM, ENOBUFS */
        return;
    }
}

/* ---- listen ---------------------------------------------------------------------------------- */

static enum pl_status refused(const char *what, const char *address, struct pl_error *err)
{
    enum pl_status status = errno == EADDRINUSE                 ? PL_EBUSY
                            : errno == EACCES || errno == EPERM ? PL_EPERM
                                                                : PL_EIO;
    return pl_error_set(err, status, "http: %s %.120s: %s", what, address, strerrordesc_np(errno));
}

/* Somebody accepts connections there. */
static bool unix_alive(const struct http_address *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return true; /* unknown: leave it alone */
    int result = connect(fd, &address->socket.any, address->bytes);
    bool alive = result == 0 || errno != ECONNREFUSED;
    close(fd);
    return alive;
}

/* A socket file that nobody listens on is in the way. */
static void remove_stale(const struct http_address *address)
{
    struct stat st;
    const char *path = address->socket.un.sun_path;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && !unix_alive(address))
        (void)unlink(path);
}

static bool bind_and_listen(int fd, const struct http_address *address)
{
    int one = 1;
    bool is_unix = address->socket.any.sa_family == AF_UNIX;
    if (is_unix)
        remove_stale(address);
    else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0)
        return false;
    if (address->socket.any.sa_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) != 0)
        return false;
    if (bind(fd, &address->socket.any, address->bytes) != 0)
        return false;
    /* Before listen nobody can connect, so the mode is right for the first who does. */
    if (is_unix && chmod(address->socket.un.sun_path, S_IRUSR | S_IWUSR) != 0)
        return false;
    return listen(fd, BACKLOG) == 0;
}

static enum pl_status add_listener(struct http_server *server, int fd, struct pl_error *err)
{
    if (server->n_listeners == HTTP_LISTENERS_MAX)
        return pl_error_set(err, PL_ELIMIT, "http: more than %d listening addresses",
                            HTTP_LISTENERS_MAX);
    struct http_listener *listener = &server->listeners[server->n_listeners];
    *listener = (struct http_listener){.server = server, .fd = fd};
    listener->io.fn = on_accept;
    listener->io.user = listener;
    enum pl_status status = http_io_watch(server->loop, &listener->io, fd, EPOLLIN, err);
    if (status == PL_OK)
        server->n_listeners++;
    return status;
}

enum pl_status http_server_listen(struct http_server *server, const char *address,
                                  struct pl_error *err)
{
    struct http_address parsed;
    enum pl_status status = http_address_parse(address, &parsed, err);
    if (status != PL_OK)
        return status;
    bool is_unix = parsed.socket.any.sa_family == AF_UNIX;
    char *path = NULL;
    if (is_unix && (path = strdup(parsed.socket.un.sun_path)) == NULL)
        return pl_error_set(err, PL_ENOMEM, "http: no memory to listen on %.100s", address);
    int fd = socket(parsed.socket.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        status = refused("socket for", address, err);
    else if (!bind_and_listen(fd, &parsed))
        status = refused("listen on", address, err);
    else
        status = add_listener(server, fd, err);
    if (status != PL_OK) {
        if (fd >= 0)
            close(fd);
        free(path);
        return status;
    }
    server->listeners[server->n_listeners - 1].unix_path = path;
    return PL_OK;
}

enum pl_status http_server_adopt(struct http_server *server, int fd, struct pl_error *err)
{
    int listening = 0;
    socklen_t bytes = sizeof listening;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes) != 0 || !listening)
        return pl_error_set(err, PL_EINVAL, "http: descriptor %d is not a listening socket", fd);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return pl_error_set(err, PL_EIO, "http: descriptor %d: %s", fd, strerrordesc_np(errno));
    return add_listener(server, fd, err);
}

uint16_t http_server_port(const struct http_server *server)
{
    for (size_t i = 0; i < server->n_listeners; i++) {
        struct http_address address = {.bytes = sizeof address.socket};
        if (getsockname(server->listeners[i].fd, &address.socket.any, &address.bytes) == 0 &&
            http_address_port(&address) != 0)
            return http_address_port(&address);
    }
    return 0;
}

void http_server_close_listeners(struct http_server *server)
{
    for (size_t i = 0; i < server->n_listeners; i++) {
        struct http_listener *listener = &server->listeners[i];
        http_io_unwatch(server->loop, &listener->io);
        close(listener->fd);
        if (listener->unix_path != NULL)
            (void)unlink(listener->unix_path);
        free(listener->unix_path);
    }
    server->n_listeners = 0;
    http_timer_cancel(server->loop, &server->accept_timer);
}
