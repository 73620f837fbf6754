/*
 * http/conn.h - one connection of the server: its states, its buffers, its clock.
 *
 *   HEAD ----------> BODY --------> HANDLER --response ended--> HEAD (next request)
 *     |   head done         whole          \__ response ended, close --> FLUSH
 *     \__ malformed, too slow, too large: refused ----------------------> FLUSH
 *   FLUSH --all sent--> LINGER (input unread: say no more, drop what comes) --> dead
 *                  \--> dead
 *   any --client gone, timeout, out of memory--> dead --settle: on_close--> freed
 *
 *   transition          function
 *   HEAD -> BODY        conn_read.c head_done
 *   BODY -> HANDLER     conn_read.c request_done
 *   HANDLER -> *        http_conn_end_exchange
 *   * -> FLUSH          http_conn_refuse, http_conn_end_exchange
 *   FLUSH -> LINGER     conn.c finish_closing
 *   * -> dead           http_conn_kill; memory goes in settle, from the loop
 *
 * Invariants
 *  1. x != NULL only in BODY and HANDLER (and, dead, until settle has called on_close).
 *  2. While HANDLER, FLUSH or unsent output: nothing is read; bytes read before wait in `in`.
 *  3. A connection between requests owns no buffer: in, out and req are empty.
 *  4. Nothing frees a connection but settle and http_server_close: callers up the stack may look at
 *     `dead` after any callback.
 *
 * Private to the room.  Threads: the loop's.  Source: ours.
 */
#ifndef HTTP_CONN_H
#define HTTP_CONN_H

#include "server.h"
#include "transport.h"

#include "base/buf.h"

#include <netinet/in.h>

#define HTTP_LISTENERS_MAX   8  /* addresses of one server */
#define HTTP_REQUESTS_CACHED 32 /* request structs kept for reuse: what one turn has in flight */
#define HTTP_EVICT_AFTER_MS                                                                        \
    1000                    /* a request may be on its way to a connection that fell idle later */
#define HTTP_DATE_BYTES  30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and NUL */
#define HTTP_FLUSH_BYTES 65536 /* unsent output that is sent before the turn's end */

enum http_phase {
    HTTP_PHASE_HEAD,
    HTTP_PHASE_BODY,
    HTTP_PHASE_HANDLER,
    HTTP_PHASE_FLUSH,
    HTTP_PHASE_LINGER,
};

/* What is known of a request until its response begins. */
struct http_request {
    struct http_head head;
    struct http_chunked chunked;
    struct buf bytes;          /* the head, then the body as decoded */
    int64_t deadline_ns;       /* of the part being read */
    uint64_t body_wire;        /* bytes of it received, framing included */
    struct http_request *next; /* in the server's cache */
};

struct http_exchange {
    struct http_conn *conn;
    void (*on_close)(void *user);
    void *close_user;
    void (*on_drain)(void *user);
    void *drain_user;
    bool head_only;        /* the method is HEAD */
    bool http10;           /* the client speaks 1.0 */
    bool keep_alive;       /* the client would keep the connection */
    bool streaming;        /* the response has begun */
    bool chunked;          /* and is chunked */
    bool closing;          /* on_close is running: replies are ignored */
    enum pl_status failed; /* what writes report from now on */
};

/* A doubly linked list through the connections: all, and the idle ones from longest idle on. */
struct http_conn_link {
    struct http_conn *next, *prev;
};

struct http_conn {
    struct http_server *server;
    struct http_conn_link all, idle;
    bool in_idle;
    uint8_t phase;      /* enum http_phase */
    bool dead;          /* fd is closed; settle frees */
    bool close_after;   /* no further request on this connection */
    bool input_unread;  /* bytes of the client may be unread when we close: linger */
    bool read_blocked;  /* EPOLLIN is off until reading is allowed again */
    bool write_blocked; /* the kernel takes no more: EPOLLOUT is on */
    bool half_closed;   /* the client ended its side and may: EPOLLRDHUP is off */
    bool slow;          /* killed for reading too slowly */
    struct http_io io;
    struct http_timer timer; /* armed at or before deadline_ns */
    int64_t deadline_ns;     /* 0: none */
    int64_t idle_since_ns;   /* while in_idle */
    struct http_deferred settle;
    const struct http_transport *transport;
    void *transport_state;
    struct http_request *req; /* being read, or readable for the handler */
    struct http_exchange *x;  /* the handler's */
    struct buf in;            /* read, not yet looked at */
    struct buf out;           /* out.data[out_sent..] is to be sent */
    size_t out_sent;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer;
};

struct http_listener {
    struct http_server *server;
    struct http_io io;
    int fd;
    char *unix_path; /* removed at close; NULL for others */
};

struct http_server {
    struct http_loop *loop;
    struct http_server_options options; /* defaults filled in */
    struct http_listener listeners[HTTP_LISTENERS_MAX];
    size_t n_listeners;
    struct http_timer accept_timer; /* listeners rest while it is armed */
    struct http_conn_link all;      /* next: first, prev: last */
    struct http_conn_link idle;
    struct http_request *requests; /* cache */
    size_t n_requests;
    bool draining;
    void (*on_drained)(void *user);
    void *drained_user;
    struct http_deferred drained; /* announces */
    struct http_server_stats stats;
    int64_t date_s; /* second that `date` shows */
    char date[HTTP_DATE_BYTES];
};

/* ---- conn.c ---------------------------------------------------------------------------------- */

/* Takes fd over; NULL (fd closed) without memory. */
struct http_conn *http_conn_new(struct http_server *server, int fd, const struct sockaddr *peer);

/* Closes fd now; on_close and free follow in settle. */
void http_conn_kill(struct http_conn *conn);

/* Calls on_close if an exchange is unfinished, and frees. Only settle and http_server_close. */
void http_conn_free(struct http_conn *conn);

/* Asks for settle at the end of this turn: flush, go on, close. */
void http_conn_touch(struct http_conn *conn);

/* Sends what the kernel takes; kills on error. */
void http_conn_flush(struct http_conn *conn);

size_t http_conn_pending(const struct http_conn *conn); /* bytes to send */
bool http_conn_may_read(const struct http_conn *conn);
void http_conn_set_deadline(struct http_conn *conn, int64_t deadline_ns); /* 0: none */
void http_conn_go_idle(struct http_conn *conn);

/* Answers with the server's own error, and closes. An exchange that the handler has seen is told. */
void http_conn_refuse(struct http_conn *conn, int status, const char *reason);

/* The response has ended: frees x, readies the connection for what follows. */
void http_conn_end_exchange(struct http_conn *conn, bool keep);

/* Forgets the request, into the server's cache. */
void http_conn_drop_request(struct http_conn *conn);

/* ---- conn_read.c ----------------------------------------------------------------------------- */

/* Bytes of the client: requests are parsed and handed out; what can't be used now is kept in `in`. */
void http_conn_feed(struct http_conn *conn, const char *data, size_t n);

/* Goes on with `in`. */
void http_conn_feed_kept(struct http_conn *conn);

/* ---- reply.c --------------------------------------------------------------------------------- */

/* How the end of a body is told. */
enum http_framing {
    HTTP_FRAMING_LENGTH,
    HTTP_FRAMING_CHUNKED,
    HTTP_FRAMING_CLOSE, /* by the connection's end */
    HTTP_FRAMING_NONE,  /* a status without body */
};

struct http_reply_head {
    enum http_framing framing;
    uint64_t body_bytes;    /* HTTP_FRAMING_LENGTH */
    const char *connection; /* NULL: no field */
};

/* Appends the head to out. */
void http_reply_write_head(struct http_server *server, struct buf *out,
                           const struct http_reply *reply, const struct http_reply_head *how);

/* Status and fields may be sent. */
bool http_reply_valid(const struct http_reply *reply);

/* The connection may live on after this exchange. */
bool http_reply_keeps(const struct http_exchange *x);

/* Appends OpenAI's error object. */
void http_failure_write(struct buf *out, const struct http_failure *failure);

/* ---- server.c, listen.c ---------------------------------------------------------------------- */

void http_server_pause_accept(struct http_server *server);
void http_server_resume_accept(struct http_server *server);
void http_server_close_listeners(struct http_server *server);
/* Closes the connection that is idle longest, if it is idle for HTTP_EVICT_AFTER_MS; else false. */
bool http_server_evict_idle(struct http_server *server);
/* A connection was freed: resume accepting, announce the end of a drain. */
void http_server_conn_gone(struct http_server *server);

#endif
