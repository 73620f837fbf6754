/*
 * http/client.h - a strict HTTP/1.1 client on the same loop: calls with streamed answers, reused
 * connections, every wait bounded.
 *
 *   call_begin -> connect or reuse -> send -> on_head (once) -> on_body* -> on_done (exactly once)
 *
 * Ownership: the client owns calls; what the options point to is copied, so it may go when begin
 * returns. A call is valid until its on_done is called or http_call_cancel returns.
 * Threads: everything on the loop thread. Callbacks come from the loop, never from inside begin; they
 * may begin and cancel calls, and may not close the client.
 * Errors: on_done's status: PL_OK, PL_EIO (connect, reset, early end), PL_EFORMAT (not valid HTTP),
 * PL_ETIMEDOUT, PL_ELIMIT, PL_ENOMEM, with a message that names the address and the stage. A reused connection
 * that turns out to be closed before any byte of the answer is replaced by a fresh one, once, if the
 * method is safe to repeat (GET, HEAD) or nothing of the request was taken.
 * Limits: struct http_client_options.  Source: RFC 9110, RFC 9112.
 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include "loop.h"
#include "parser.h"
#include "server.h"

struct http_client;
struct http_call;

/* Zero means the default. */
struct http_client_options {
    uint32_t head_bytes_max;  /* of an answer; default 64 KiB */
    uint32_t idle_max;        /* idle connections kept, all addresses together; default 64 */
    uint32_t idle_timeout_ms; /* an idle connection is kept; default 30 s */
};

PL_NODISCARD enum pl_status http_client_open(struct http_loop *loop,
                                             const struct http_client_options *options,
                                             struct http_client **ret, struct pl_error *err);
/* Cancels all calls (no on_done). Accepts NULL. */
void http_client_close(struct http_client *client);

/* The head of an answer: slices valid during on_head. */
struct http_answer {
    int status;
    const struct http_head *head;
    const char *bytes; /* what the head's spans point into */
};
bool http_answer_header(const struct http_answer *answer, const char *name, struct http_slice *ret);

/* Zero means the default. */
struct http_call_options {
    const char *address;               /* of http/address.h; required */
    const char *host;                  /* Host field; NULL: from the address */
    const char *method;                /* NULL: "GET", with a body "POST" */
    const char *target;                /* "/v1/models?x=1"; required */
    const char *content_type;          /* NULL: "application/json" if there is a body */
    const struct http_header *headers; /* n_headers more */
    size_t n_headers;
    const void *body; /* body_bytes */
    size_t body_bytes;
    uint64_t answer_bytes_max;   /* of the answer's body; default 64 MiB; UINT64_MAX = no limit */
    uint32_t connect_timeout_ms; /* default 5 s */
    uint32_t head_timeout_ms;    /* request sent to the answer's head; default 600 s */
    uint32_t gap_timeout_ms; /* between bytes of the body, and for a stalled send; default 300 s */
    bool fresh;              /* neither reuse a connection nor keep it */
    void (*on_head)(void *user, const struct http_answer *answer); /* optional; not for 1xx */
    void (*on_body)(void *user, const char *data, size_t n);       /* optional; n > 0 */
    void (*on_done)(void *user, enum pl_status status, const char *message); /* required; message ""
                                                                              * when PL_OK */
    void *user;
};

/* PL_EINVAL for a bad option, PL_ENOMEM; no callback then. */
PL_NODISCARD enum pl_status http_call_begin(struct http_client *client,
                                            const struct http_call_options *options,
                                            struct http_call **ret, struct pl_error *err);

/* Ends the call now: the connection is closed, no more callbacks. */
void http_call_cancel(struct http_call *call);

/* Stops and resumes reading the answer: back-pressure for relays. What one read has brought already (at
 * most HTTP_LOOP_SCRATCH_BYTES) is still delivered, and on_done with it if it completes the answer. The
 * gap timeout rests meanwhile. */
void http_call_pause(struct http_call *call);
void http_call_resume(struct http_call *call);

#endif
