/*
 * server/call_state.h - struct call and its choices; shared by call.c and call_output.c only.
 */
#ifndef SERVER_CALL_STATE_H
#define SERVER_CALL_STATE_H

#include "call.h"
#include "event_queue.h"
#include "shapes.h"

struct choice {
    struct call *call;
    uint32_t index;
    uint64_t engine_id; /* 0: never submitted */
    struct token_ids prompt;
    char *echo_text; /* owned; NULL without echo */
    size_t echo_bytes;
    bool echo_done, role_done, finished;
    struct buf text; /* of a whole answer */
    struct logprobs logprobs;
    const char *finish_reason;
    uint32_t prompt_tokens, cached_tokens, output_tokens;
    int64_t first_ns, last_ns; /* clock of the first and latest token; 0: none yet */
    bool finish_lost;          /* guarded by server->lock: FINISH came but could not be queued */
    bool finish_taken;         /* finish_lost as the loop thread last saw it */
};

struct call {
    struct server *server;
    struct http_exchange *x; /* NULL once answered or gone */
    struct shapes_envelope envelope;
    bool include_usage, logprobs, with_top;
    bool begun; /* the head of the stream is out */
    int64_t arrived_ns;
    struct choice *choices;
    uint32_t n_choices, n_open; /* n_open: submitted and not finished */
    struct buf work;            /* records being handled */
    struct call *prev, *next;   /* server->calls */

    struct buf queue;        /* guarded by server->lock, as all below */
    bool ready;              /* in server->ready */
    bool overflow;           /* an event was refused: the call is lost */
    struct call *ready_next; /* while ready */
};

/* call_output.c: each handles one unpacked event of a choice; they may end the exchange (call->x NULL). */
void call_on_prompt(struct choice *c, const struct engine_event *event);
void call_on_token(struct choice *c, const struct engine_event *event);
void call_on_finish(struct choice *c, const struct engine_event *event);
/* Every choice has finished: the end of the stream, or the whole answer. */
void call_finish_output(struct call *call);
/* The call cannot go on: told in the way that is still open. Ends the exchange. */
void call_fail(struct call *call, const struct api_error *error);
/* Asks the engine to stop whatever of this call still runs. */
void call_cancel(struct call *call);

#endif
