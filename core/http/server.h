/*
 * http/server.h - a strict HTTP/1.1 server on one loop: bounded requests in, replies and streams out.
 *
 * A request reaches the handler only when its head and its whole bounded body are there and well formed;
 * whatever is ambiguous (request smuggling) is refused before, with an error body in OpenAI's shape. One
 * exchange at a time per connection; pipelined requests wait their turn, unread.
 *
 *   [head] --on_headers?--> [body] --on_request--> [handler's] --respond----------------> over
 *                \__ respond: refused, over                \__ stream_begin, write*, end -> over
 *                                                          \__ client gone: on_close ----> over
 *
 * Exchange lifetime. A struct http_exchange is valid from on_headers/on_request until the first of:
 *   - http_respond*, http_stream_end or http_stream_abort is called (invalid when that returns), or
 *   - its on_close callback is called by the server (invalid when that callback returns).
 * Exactly one of the two happens. on_close is called from the loop, never from inside one of your calls.
 * The request (method, path, headers, body...) is readable until the response begins: copy what is needed
 * after http_stream_begin. A handler may keep an exchange and answer later, from a posted task.
 *
 * Ownership: the server owns exchanges; bytes given to respond and write are copied.
 * Threads: everything on the loop thread; other threads use http_loop_post.
 * Errors: replies never fail to end the exchange: out of memory closes the connection. Stream writes
 * report PL_ECLOSED (client gone) and PL_ELIMIT (reader too slow); on_close follows.
 * Limits: struct http_server_options; fields of a head HTTP_FIELDS_MAX (parser.h).
 * Source: RFC 9110, RFC 9112; server-sent events: WHATWG HTML section 9.2.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "address.h"
#include "loop.h"
#include "parser.h"

struct http_server;
struct http_exchange;

/* Zero means the default everywhere. */
struct http_server_options {
    /* A whole request is there. Required. Answer now, or keep the exchange and answer later. */
    void (*on_request)(void *user, struct http_exchange *x);
    /* The head is there, the body is not (and, with Expect: 100-continue, not even sent). Refuse by
     * replying here; return without reply to go on. Optional. Not the place for http_stream_begin. */
    void (*on_headers)(void *user, struct http_exchange *x);
    void *user;

    uint32_t head_bytes_max;  /* request line and fields; default 16 KiB; beyond: 431 (414) */
    uint64_t body_bytes_max;  /* decoded; default 16 MiB; beyond: 413 */
    uint32_t connections_max; /* default 10000; then those idle for a second go first, else 503 */
    uint32_t stream_pending_max; /* bytes written and not taken by the client; default 1 MiB */
    uint32_t idle_timeout_ms;    /* between requests; default 75 s */
    uint32_t head_timeout_ms;    /* first byte (or accept) to the head's end; default 15 s; 408 */
    uint32_t
        body_timeout_ms; /* head to the body's end, plus 1 s per KiB received; default 30 s; 408 */
    uint32_t write_timeout_ms;  /* a client takes nothing for this long; default 30 s */
    uint32_t socket_send_bytes; /* SO_SNDBUF; 0 = the kernel's */
    bool half_close; /* a client that ended its sending side still wants its answer; then a
                                      vanished one is noticed only when a write fails. Default: gone */
};

/* No listener yet. */
PL_NODISCARD enum pl_status http_server_open(struct http_loop *loop,
                                             const struct http_server_options *options,
                                             struct http_server **ret, struct pl_error *err);

/* Listens on an address of http/address.h; port 0 picks one. May be called several times. A Unix
 * socket is made with mode 0600; a stale one (nobody listens) is replaced, a live one is PL_EBUSY.
 * PL_EBUSY: address in use; PL_EPERM, PL_EIO otherwise. */
PL_NODISCARD enum pl_status http_server_listen(struct http_server *server, const char *address,
                                               struct pl_error *err);

/* The same for a socket that listens already (socket activation); the server owns it on success. */
PL_NODISCARD enum pl_status http_server_adopt(struct http_server *server, int fd,
                                              struct pl_error *err);

/* Port of the first TCP listener, 0 if there is none. */
uint16_t http_server_port(const struct http_server *server);

/* Stops listening, closes idle connections, answers what comes on others with Connection: close, and
 * calls on_done once (from the loop) when the last connection is gone; on_done may call
 * http_server_close. A second call replaces on_done. */
void http_server_drain(struct http_server *server, void (*on_done)(void *user), void *user);

/* Ends everything now; on_close is called for each unfinished exchange. Not from inside on_headers,
 * on_request or on_close. Accepts NULL. */
void http_server_close(struct http_server *server);

struct http_server_stats {
    uint32_t connections;  /* open now */
    uint32_t idle;         /* of these, between requests */
    uint32_t exchanges;    /* in the handler's hands now */
    uint64_t accepted;     /* since open, and so on below */
    uint64_t requests;     /* given to on_request */
    uint64_t refused;      /* answered by the server itself: malformed, over a limit, too slow */
    uint64_t vanished;     /* on_close calls */
    uint64_t slow_readers; /* of these, for stream_pending_max or write_timeout_ms */
};
void http_server_stats(const struct http_server *server, struct http_server_stats *ret);

/* ---- the request: valid until the response begins --------------------------------------------- */

/* Slices are not NUL-terminated, except that the byte after method, path, query, a field's value and
 * the body is always readable. */
struct http_slice http_exchange_method(const struct http_exchange *x); /* case-sensitive */
struct http_slice http_exchange_path(const struct http_exchange *x); /* "/v1/models", not decoded */
struct http_slice http_exchange_query(const struct http_exchange *x); /* after '?', else empty */
struct http_slice http_exchange_body(const struct http_exchange *x);  /* empty in on_headers */
/* Declared Content-Length, or -1 for chunked; 0 for no body. */
int64_t http_exchange_body_declared(const struct http_exchange *x);
bool http_exchange_is(const struct http_exchange *x, const char *method, const char *path);

/* The value of a field, by name without regard to case. Several fields of one name: the first. False if
 * absent. */
bool http_exchange_header(const struct http_exchange *x, const char *name, struct http_slice *ret);
size_t http_exchange_n_headers(const struct http_exchange *x);
void http_exchange_header_at(const struct http_exchange *x, size_t i, struct http_slice *ret_name,
                             struct http_slice *ret_value);

/* Valid as long as the exchange. */
void http_exchange_peer(const struct http_exchange *x, char ret[HTTP_ADDRESS_TEXT_MAX]);
bool http_exchange_peer_is_unix(const struct http_exchange *x);
struct http_loop *http_exchange_loop(const struct http_exchange *x);

/* fn(user) is called if the client vanishes, is too slow, or the server closes, before the response
 * ended. One per exchange; NULL takes it back. */
void http_exchange_on_close(struct http_exchange *x, void (*fn)(void *user), void *user);

/* ---- replies ----------------------------------------------------------------------------------- */

struct http_header {
    const char *name;  /* a token */
    const char *value; /* no CR, LF, NUL */
};

struct http_reply {
    int status;               /* 200..599 */
    const char *content_type; /* NULL: no field */
    const struct http_header
        *headers; /* n_headers more fields; not Content-Length, Transfer-Encoding,
                                        * Connection, Date: those are the server's */
    size_t n_headers;
    const void *body; /* body_bytes; ignored by http_stream_begin */
    size_t body_bytes;
};

/* Ends the exchange. HEAD gets the head alone, with the length that GET would have. A field that breaks
 * the rules turns the reply into a 500. */
void http_respond(struct http_exchange *x, const struct http_reply *reply);

/* 'application/json'. */
void http_respond_json(struct http_exchange *x, int status, const void *json, size_t n);

/* OpenAI's error shape: {"error":{"message":...,"type":...,"param":...,"code":...}}. */
struct http_failure {
    int status;
    const char *message; /* one sentence for a person */
    const char *type;    /* NULL: "invalid_request_error" below 500, else "server_error" */
    const char *param;   /* the field at fault, or NULL */
    const char *code;    /* a word for programs, or NULL */
    const struct http_header *headers; /* n_headers more fields */
    size_t n_headers;
};
void http_respond_failure(struct http_exchange *x, const struct http_failure *failure);

/* ---- streams ------------------------------------------------------------------------------------ */

/* Sends the head of a response whose length isn't known: chunked for HTTP/1.1, ended by the connection's
 * end for 1.0. PL_EINVAL (bad field) and PL_ENOMEM leave the exchange as it was: respond is still
 * possible. The request's bytes are released. */
PL_NODISCARD enum pl_status http_stream_begin(struct http_exchange *x,
                                              const struct http_reply *reply);

/* Appends to the body; sent at the end of the loop's turn, so that small writes travel together. n = 0
 * does nothing. After PL_ECLOSED or PL_ELIMIT nothing more is sent, further writes report the same, and
 * on_close follows from the loop unless the handler ends the exchange first. */
PL_NODISCARD enum pl_status http_stream_write(struct http_exchange *x, const void *data, size_t n);

/* The body is complete. Ends the exchange. */
void http_stream_end(struct http_exchange *x);

/* Breaks the connection, so that the client sees an incomplete body. Ends the exchange. */
void http_stream_abort(struct http_exchange *x);

/* Bytes written and not yet taken by the kernel. */
size_t http_stream_pending(const struct http_exchange *x);

/* fn(user) is called from the loop when pending next falls to 0; once per call. For producers that can
 * wait: write, and ask again. NULL takes it back. */
void http_stream_on_drain(struct http_exchange *x, void (*fn)(void *user), void *user);

/* Server-sent events: a stream of 'text/event-stream' with Cache-Control: no-cache and X-Accel-Buffering:
 * no (no proxy may hold events back). headers as in struct http_reply. */
PL_NODISCARD enum pl_status http_sse_begin(struct http_exchange *x,
                                           const struct http_header *headers, size_t n_headers);
/* One event "data: ...", a blank line; line ends within data become several data lines. */
PL_NODISCARD enum pl_status http_sse_write(struct http_exchange *x, const void *data, size_t n);
/* A comment line, which clients ignore: keeps proxies from closing a silent stream. */
PL_NODISCARD enum pl_status http_sse_comment(struct http_exchange *x, const char *text);

#endif
