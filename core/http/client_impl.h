/*
 * http/client_impl.h - a call and its connection.
 *
 *   CONNECT --> SEND --> HEAD --> BODY --> over
 *      \__________\________\_______\____> over (failed)
 *
 * An answer may begin while the request is still being sent (an early refusal). `over` is reached once:
 * http_call_over takes the connection away and defers on_done; cancel frees without it.
 *
 * Invariants
 *  1. A connection belongs to one call, or is in the client's idle list; never both.
 *  2. Callbacks run with call->depth > 0; a cancel inside one marks the call, and the last frame frees it.
 *
 * Private to the room.  Threads: the loop's.  Source: ours.
 */
#ifndef HTTP_CLIENT_IMPL_H
#define HTTP_CLIENT_IMPL_H

#include "client.h"

#include "base/buf.h"

enum http_call_phase {
    HTTP_CALL_CONNECT,
    HTTP_CALL_SEND,
    HTTP_CALL_HEAD,
    HTTP_CALL_BODY,
    HTTP_CALL_OVER,
};

enum http_body_kind {
    HTTP_BODY_NONE,
    HTTP_BODY_LENGTH,
    HTTP_BODY_CHUNKED,
    HTTP_BODY_UNTIL_CLOSE,
};

struct http_link {
    struct http_link *next, *prev; /* a ring with the client's anchor */
};

struct http_client_conn {
    struct http_link link; /* in the idle ring; else alone */
    struct http_client *client;
    struct http_call *call; /* NULL: idle */
    struct http_io io;
    struct http_timer timer; /* idle timeout */
    struct http_address address;
};

struct http_call {
    struct http_link link; /* among the client's calls */
    struct http_client *client;
    struct http_call_options
        options; /* numbers and callbacks; pointers to the caller's bytes are void */
    struct http_address address;
    struct http_client_conn *conn; /* NULL before start and when over */
    struct http_deferred step;     /* start, retry, finish */
    struct http_timer timer;       /* armed at or before deadline_ns */
    int64_t deadline_ns;           /* 0: none */

    uint8_t phase;     /* enum http_call_phase */
    uint8_t body_kind; /* enum http_body_kind */
    uint8_t depth;     /* callbacks on the stack */
    uint8_t n_interim; /* 1xx answers seen */
    bool repeatable;   /* GET or HEAD */
    bool head_only;    /* HEAD: no body follows */
    bool reused;       /* conn has served another call before */
    bool heard;        /* a byte of the answer has arrived */
    bool paused;
    bool cancelled;

    struct buf request;
    size_t sent;      /* bytes of it */
    struct buf bytes; /* the answer's head */
    struct http_chunked chunked;
    uint64_t left;   /* HTTP_BODY_LENGTH: bytes to come */
    uint64_t n_body; /* bytes delivered */
    enum pl_status status;
    struct pl_error error;
    struct http_head head;
};

struct http_client {
    struct http_loop *loop;
    struct http_client_options options; /* defaults filled in */
    struct http_link calls, idle;       /* anchors; idle: longest idle first */
    uint32_t n_idle;
};

/* ---- client.c -------------------------------------------------------------------------------- */

/* The end: status and message for on_done, which follows from the loop. keep: the connection may serve
 * others. */
void http_call_over(struct http_call *call, enum pl_status status, bool keep);
/* The same with "http: ADDRESS: what". */
void http_call_fail(struct http_call *call, enum pl_status status, const char *what,
                    const char *detail);
/* A connection that had been idle failed before a word of the answer: once more on a fresh one. False if
 * that is not safe. */
bool http_call_retry(struct http_call *call);
void http_call_set_deadline(struct http_call *call, uint32_t timeout_ms);
void http_client_conn_close(struct http_client_conn *conn);
/* Frees the call if it was cancelled in a callback that has returned; true then. */
bool http_call_reap(struct http_call *call);

/* ---- client_io.c ----------------------------------------------------------------------------- */

/* Gives the call a new connection, which is being made. */
void http_call_connect(struct http_call *call);
/* The connection is there: sends. */
void http_call_send(struct http_call *call);
void http_call_set_events(struct http_call *call);

#endif
