/*
 * server/call.h - one generation request from its JSON to its last byte.
 *
 *   call_start: hop -> work: parse -> prompts (beside the loop where the body is large) -> engine_submit, one
 *               for each prompt
 *   engine thread: event -> packed into the call's queue -> call on server->ready -> loop is posted
 *   loop thread:   call_drain: records -> chunks (stream) or buffers (whole) -> reply
 *
 * A call lives until its exchange has ended and every choice has had its FINISH event:
 *
 *   exchange   open --reply, end--> none       choices   n_open > 0 --FINISH each--> 0
 *                \__ client gone: cancel, none
 *
 * Ownership: the server's list; frees itself.  Threads: loop thread, except the queue side, which is
 * guarded by server->lock.  Errors: before the first byte a JSON error; after it an SSE error event, and
 * the stream ends without [DONE].  Limits: SERVER_QUEUE_BYTES_MAX, SERVER_UNSENT_MAX.
 */
#ifndef SERVER_CALL_H
#define SERVER_CALL_H

#include "request.h"
#include "state.h"

/* Takes the exchange: it is answered now or later. */
void call_start(struct server *server, struct http_exchange *x, enum request_kind kind);

/* Handles what the engine thread has queued; server->drain runs it; user: the server. */
void call_drain(void *user);

/* After the engine is closed: frees every call. */
void call_free_all(struct server *server);

#endif
