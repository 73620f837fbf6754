/*
 * engine/impl.h - what the engine's files share: the engine, a request, and who may touch what when.
 *
 *   callers' threads                      engine thread
 *   ----------------                      -------------
 *   request_new (all memory)
 *   submit: slot, inbox  -- mutex -->     take inbox, cancels
 *   cancel: flag         -- mutex -->     sched_plan, exec_*, sample, detokenise, on_event
 *   stats, info          <- atomics --    counters, after each step
 *   logits: exclusive    -- mutex -->     parks while another thread uses exec
 *
 * The mutex guards the slots, the inbox and the flags below it, is held for a few instructions, and never
 * during a step or a callback. Everything else of a request belongs to the engine thread once it is in the inbox.
 *
 * Ownership: the engine owns requests from submit to FINISH.  Threads: as drawn.
 * Errors: request_new; the rest is delivered.  Limits: ENGINE_*_LIMIT.  Source: ours, docs/internals/engine.md.
 */
#ifndef ENGINE_IMPL_H
#define ENGINE_IMPL_H

#include "engine.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "exec/exec.h"
#include "sample/sample.h"
#include "sample/stop.h"
#include "sched/sched.h"
#include "token/token.h"

#define ENGINE_SEQS_DEFAULT  64  /* concurrent clients of a small server */
#define ENGINE_ROWS_DEFAULT  512 /* a prefill chunk that keeps decode latency low on a CPU */
#define ENGINE_QUEUE_DEFAULT 512
#define ENGINE_SEQS_LIMIT    4096       /* one block table row each, in device memory */
#define ENGINE_ROWS_LIMIT    65536      /* activations of one step */
#define ENGINE_QUEUE_LIMIT   32768      /* prompts wait in memory */
#define ENGINE_TOKENS_LIMIT  (1u << 30) /* of a sequence: positions are int32 */

#define ENGINE_N_FINISH 4 /* values of enum engine_finish */

struct request {
    struct sched_seq seq; /* first: the scheduler's handle on it */
    struct request *next; /* in the inbox */
    uint64_t id;
    bool cancel; /* guarded by engine.mutex */

    int32_t *tokens;        /* [n_limit] prompt, then output */
    uint32_t n_prompt;      /* tokens */
    uint32_t n_output;      /* tokens */
    uint32_t n_limit;       /* tokens in all, at the most */
    uint32_t n_prompt_out;  /* PROMPT events delivered */
    uint32_t n_prompt_seen; /* prompt tokens computed at least once: counted once */

    struct sample_params sampling;
    struct token_stream stream;
    struct stop stop;
    bool no_generation, ignore_eos, special_text, logprobs, prompt_logprobs;
    uint32_t n_logprobs;
    engine_event_fn *on_event;
    void *user;

    struct arena arena; /* all that the pointers above point to */
};

/* Counters that engine_stats reads; written by the engine thread unless said. */
struct counters {
    _Atomic uint32_t inside; /* guarded by mutex for writing */
    _Atomic uint32_t running, blocks_used;
    _Atomic uint64_t prompt_tokens, generated_tokens, steps, preemptions;
    _Atomic uint64_t finished[ENGINE_N_FINISH];
};

struct engine {
    /* Immutable after open. */
    struct engine_info info;
    uint32_t n_vocab, seqs_max, n_slots;
    struct gguf *file;
    struct plugin_registry *registry;
    struct token_vocab *vocab;
    struct arena arena; /* strings of info */

    /* Owned by the engine thread while it is not parked. */
    struct exec *exec;
    struct kv_pool pool;
    struct sched sched;
    struct sample_scratch *scratch;
    bool *skip;       /* [seqs_max] items of the plan whose request was cancelled */
    char *piece_text; /* detokenised piece */
    char *stop_text;  /* what the stop matcher lets out */
    uint64_t prompt_tokens, generated_tokens, steps; /* behind the counters */

    struct counters counters;

    pthread_t thread;
    bool thread_started;
    pthread_mutex_t mutex;
    pthread_cond_t wake; /* the engine thread has something to do */
    pthread_cond_t parked_changed;
    /* Guarded by mutex. */
    struct request **slots; /* [n_slots] requests inside, by id % n_slots */
    uint32_t *free_slots;   /* [n_slots - n_inside in use] */
    uint32_t n_inside;
    uint64_t n_submitted; /* ever */
    struct request *inbox_first, *inbox_last;
    bool cancel_pending; /* some request's flag is set */
    bool draining, closing;
    bool exclusive; /* a caller uses exec in engine_logits */
    bool parked;    /* the engine thread waits and touches nothing */
};

/* ---- request.c ------------------------------------------------------------------------------- */

/* A request with all the memory that it will ever need, checked against the engine's limits. */
PL_NODISCARD enum pl_status request_new(const struct engine *engine,
                                        const struct engine_request *from, struct request **ret,
                                        struct pl_error *err);
void request_free(struct request *request);

/* The part of the check that concerns the prompt: its length and ids. */
PL_NODISCARD enum pl_status request_check_prompt(const struct engine *engine,
                                                 const struct engine_request *from,
                                                 struct pl_error *err);

/* ---- loop.c ---------------------------------------------------------------------------------- */

void *engine_loop(void *user); /* user: the engine */

/* Publishes the scheduler's figures to engine_stats. */
void engine_publish(struct engine *engine);

/* ---- step.c ---------------------------------------------------------------------------------- */

/* Plans, runs and delivers one step; the scheduler has at least one sequence. */
void engine_step(struct engine *engine);

/* ---- deliver.c ------------------------------------------------------------------------------- */

/* PROMPT events of positions whose predecessor's logits [n_rows, V] are there: of rows start.. */
void deliver_prompt(struct engine *engine, struct request *request, const float *logits,
                    uint32_t n_rows);

/* Position 0 has no predecessor: its PROMPT event comes first, without a logprob. */
void deliver_prompt_first(struct request *request);

/* Samples from one row, appends and delivers the token; finishes (and frees) the request if it was the last. */
void deliver_token(struct engine *engine, struct request *request, const float *logits);

/* The FINISH event; the request is out of scheduler and slots before it, and freed after it. */
void deliver_finish(struct engine *engine, struct request *request, enum engine_finish finish,
                    enum pl_status status, const char *message);

#endif
