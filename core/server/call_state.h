/*
 * server/call_state.h - struct call, its prompts and its choices; shared by the files of a call only.
 *
 *   call -- prompts[n_prompts]     one engine request each: what was asked once is counted once
 *        \_ choices[n_prompts * n_made]   one text each; prompt p's are [p * n_made, (p + 1) * n_made)
 *
 * n_made (best_of) texts are made for each prompt, n of them are told: where that is fewer, the best by mean
 * log-probability per token. Choice k of prompt p is told as index p * n + k, as OpenAI orders them.
 */
#ifndef SERVER_CALL_STATE_H
#define SERVER_CALL_STATE_H

#include "call.h"
#include "event_queue.h"
#include "hop.h"
#include "shapes.h"

/* One prompt: one engine request. */
struct call_prompt {
    struct call *call;
    uint32_t index;
    uint64_t engine_id; /* 0: never submitted */
    struct token_ids ids;
    char *echo_text; /* owned; NULL without echo */
    size_t echo_bytes;
    struct logprobs echoed;     /* of the prompt's tokens, for each choice to begin with */
    struct buf prompt_logprobs; /* vLLM's list, still open */
    uint32_t prompt_tokens, cached_tokens, longest_tokens; /* longest: of its texts */
    uint32_t n_open;                                       /* choices submitted and not finished */
    int64_t first_ns;                                      /* of its first token; 0: none yet */
};

struct choice {
    struct call_prompt *prompt;
    uint32_t index; /* in the answer, while it is told in the order made */
    bool echo_done, role_done, finished;
    struct buf text; /* of a whole answer */
    struct logprobs logprobs;
    const char *finish_reason;
    uint32_t output_tokens;
    double logprob_sum; /* of n_scored tokens: for best_of */
    uint32_t n_scored;
    int64_t first_ns, last_ns; /* clock of the first and latest token; 0: none yet */
    bool finish_lost;          /* guarded by server->lock: FINISH came but could not be queued */
    bool finish_taken;         /* finish_lost as the loop thread last saw it */
};

struct call {
    struct server *server;
    struct http_exchange *x; /* NULL once answered or gone */
    struct shapes_envelope envelope;
    bool include_usage, logprobs, prompt_logprobs;
    uint32_t n_top, n_prompt_top; /* alternatives of each */
    bool begun;                   /* the head of the stream is out */
    bool linked;                  /* in server->calls */
    int64_t arrived_ns;
    uint32_t tenant_row; /* of server->metrics.tenants */
    struct call_prompt *prompts;
    struct choice *choices;
    uint32_t n_prompts, n, n_made;
    uint32_t n_choices, n_open; /* n_open: submitted and not finished */
    struct buf work;            /* records being handled */
    struct call *prev, *next;   /* server->calls */

    struct buf queue;        /* guarded by server->lock, as all below */
    bool ready;              /* in server->ready */
    bool overflow;           /* an event was refused: the call is lost */
    struct call *ready_next; /* while ready */
};

/* call_storage.c. Not linked, without an exchange: any thread may make one while the server is ready. NULL:
 * memory is short. */
PL_NODISCARD struct call *call_new(struct server *server, const struct request *request);
void call_link(struct call *call); /* loop thread */
void call_free(struct call *call); /* loop thread where linked; accepts NULL */

/* call_events.c: engine_request.on_event; user: the struct call_prompt. */
void call_on_event(void *user, const struct engine_event *event);
/* The exchange has ended and nothing runs any more: frees it. */
void call_free_if_over(struct call *call);

/* call_output.c: each handles one unpacked event; they may end the exchange (call->x NULL). */
void call_on_prompt(struct call_prompt *p, const struct engine_event *event);
void call_on_token(struct choice *c, const struct engine_event *event);
void call_on_finish(struct choice *c, const struct engine_event *event);
/* Every choice has finished: the end of the stream, or the whole answer. */
void call_finish_output(struct call *call);
/* The call cannot go on: told in the way that is still open. Ends the exchange. */
void call_fail(struct call *call, const struct api_error *error);
/* Asks the engine to stop whatever of this call still runs. */
void call_cancel(struct call *call);

#endif
