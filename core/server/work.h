/*
 * server/work.h - reading a body and making tokens of it, beside the loop where the body is large.
 *
 *   loop:    work_begin --small body--> compute, finish, at once
 *              \__ large --> [bounded queue]                                   done list --> finish
 *   worker thread:               \__ compute (skipped if the client is gone) ----^
 *
 * A megabyte takes up to hundreds of milliseconds to parse, render and tokenise: on the loop every stream would
 * wait for it. One thread is enough, as it feeds one engine. What comes early may be overtaken by small bodies.
 *
 * Ownership: a work is freed by its finish, which is called exactly once, on the loop thread, also when the
 * client is gone (x is NULL then) and when the desk closes.
 * Threads: compute runs on either thread and must only read what is immutable while the server is ready;
 * the rest on the loop thread.  Errors: a full queue is a 429.  Limits: SERVER_INLINE_BODY_MAX,
 * SERVER_WORK_*.  Source: ours.
 */
#ifndef SERVER_WORK_H
#define SERVER_WORK_H

#include "state.h"

struct work {
    /* Set by the caller, the rest zero. */
    struct server *server;
    void (*compute)(struct work *w); /* reads .body, may set .error */
    void (*finish)(struct work *w);  /* answers .x unless that is NULL, and frees the work */

    struct http_exchange *x; /* loop thread; NULL: the client is gone */
    struct http_slice body;  /* NUL-terminated bytes of our own or the exchange's */
    struct api_error error;

    char *copy;            /* owned: the body of a work that is done beside the loop */
    struct work *next;     /* guarded by the desk's lock, while in a list */
    atomic_bool cancelled; /* the client is gone */
};

/* Takes the exchange. finish has been called when this returns, or will be. */
void work_begin(struct work *w, struct http_exchange *x);

/* ---- the thread: inside server.c ------------------------------------------------------------------- */

PL_NODISCARD enum pl_status desk_open(struct server *server, struct pl_error *err);
/* Ends the thread after its present work. Accepts a server without one. */
void desk_stop(struct server *server);
/* After desk_stop: finishes what is left. */
void desk_close(struct server *server);

#endif
