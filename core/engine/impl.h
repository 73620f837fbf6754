/*
 * engine/impl.h - what the engine's files share: the engine, a request and its choices, who may touch what when.
 *
 *   callers' threads                      engine thread
 *   ----------------                      -------------
 *   request_new (all memory, hashes)
 *   submit: slot, inbox  -- mutex -->     take inbox, cancels
 *   cancel: flag         -- mutex -->     sched_plan, exec_*, sample, detokenise, on_event
 *   stats, tenants       <- figures_lock  a copy, after each step
 *   logits: exclusive    -- mutex -->     parks while another thread uses exec
 *
 * The mutex guards the slots, the inbox and the flags below it, is held for a few instructions, and never
 * during a step or a callback. Everything else of a request belongs to the engine thread once it is in the inbox.
 *
 * A request has n choices, each a sequence of its own for the scheduler. The first one computes the prompt; when its
 * last row is there the others fork from it (their blocks are shared) and sample from the same logits.
 *
 * Ownership: the engine owns requests from submit to the last FINISH.  Threads: as drawn.
 * Errors: request_new; the rest is delivered.  Limits: ENGINE_*_LIMIT.  Source: ours, docs/internals/engine.md.
 */
#ifndef ENGINE_IMPL_H
#define ENGINE_IMPL_H

#include "engine.h"

#include <pthread.h>

#include "base/arena.h"
#include "exec/exec.h"
#include "kv/cache.h"
#include "sample/sample.h"
#include "sample/stop.h"
#include "sched/sched.h"
#include "spec/ngram.h"
#include "token/token.h"

#define ENGINE_SEQS_DEFAULT  64  /* concurrent clients of a small server */
#define ENGINE_ROWS_DEFAULT  512 /* a prefill chunk that keeps decode latency low on a CPU */
#define ENGINE_QUEUE_DEFAULT 512
#define ENGINE_SEQS_LIMIT    4096       /* one block table row each, in device memory */
#define ENGINE_ROWS_LIMIT    65536      /* activations of one step */
#define ENGINE_QUEUE_LIMIT   32768      /* prompts wait in memory */
#define ENGINE_TOKENS_LIMIT  (1u << 30) /* of a sequence: positions are int32 */

#define ENGINE_LATE "engine: the deadline passed before the first token"

#define ENGINE_N_FINISH 4 /* values of enum engine_finish */

/* What of engine_sampling is not the sampler's. */
struct sampling_extras {
    bool include_stop, final_logprobs;
    const int32_t *logprob_ids; /* [n_logprob_ids] instead of the best */
    uint32_t n_logprob_ids;
};

/* One of the texts of a request. */
struct choice {
    struct sched_seq seq; /* first: the scheduler's handle on it */
    struct request *request;
    uint32_t index;
    bool finished;
    int32_t *tokens;   /* [request->n_limit + draft_max] prompt, then output, then guesses */
    uint32_t n_output; /* tokens */
    struct sample_params sampling;
    struct sample_state sample_state;
    struct sampling_extras extras;
    struct token_stream stream;
    struct stop stop;
    struct ngram ngram; /* unused without speculation */
    uint32_t draft_tokens, accepted_tokens;
    int64_t first_ns; /* of the first token */
};

struct request {
    struct request *next; /* in the inbox */
    uint64_t id;
    bool cancel; /* guarded by engine.mutex */

    struct choice *choices; /* [n_choices] */
    uint32_t n_choices, n_open;
    bool forked; /* the prompt is computed, all choices go their way */

    uint32_t n_prompt;      /* tokens */
    uint32_t n_limit;       /* tokens in all, at the most */
    uint32_t n_prompt_out;  /* PROMPT events delivered */
    uint32_t n_prompt_seen; /* prompt tokens computed at least once: counted once */

    bool no_generation, ignore_eos, special_text, logprobs, prompt_logprobs;
    uint32_t n_logprobs;
    engine_event_fn *on_event;
    void *user;

    const char *tenant_name; /* [tenant_bytes] */
    size_t tenant_bytes;
    float weight;
    struct sched_tenant *tenant; /* NULL before it is taken in */
    int64_t submitted_ns, admitted_ns;
    uint32_t n_cached;

    struct arena arena; /* all that the pointers above point to */
};

/* What engine_stats and engine_tenants tell; see publish. */
struct figures {
    struct engine_stats stats;
    struct engine_tenant tenants[ENGINE_TENANTS_MAX];
    uint32_t n_tenants;
    double finished_per_s; /* moving average */
};

struct engine {
    /* Immutable after open. */
    struct engine_info info;
    struct engine_sampling sampling; /* defaults */
    uint32_t n_vocab, seqs_max, n_slots, draft_max;
    struct gguf *file;
    struct plugin_registry *registry;
    struct token_vocab *vocab;
    struct arena arena; /* strings of info */
    void (*on_wake)(void *user);
    void (*on_log)(void *user, const char *line);
    void *user;

    /* Owned by the engine thread while it is not parked. */
    struct exec *exec;
    struct kv_cache *cache;
    struct sched *sched;
    struct sample_scratch *scratch;
    const struct sched_plan *plan; /* submitted and not delivered, else NULL */
    int64_t plan_ns;               /* when it was submitted */
    bool *skip;                    /* [seqs_max] items of the plan whose request was cancelled */
    char *piece_text;              /* detokenised piece */
    char *stop_text;               /* what the stop matcher lets out */
    struct figures counting;       /* as of now */
    uint64_t rate_finished;        /* finished requests at rate_ns, for finished_per_s */
    int64_t rate_ns;
    struct sched_tenant_stats *tenant_stats; /* [ENGINE_TENANTS_MAX] */

    pthread_mutex_t figures_lock;
    struct figures figures; /* a copy of counting */

    pthread_t thread;
    bool thread_started;
    pthread_mutex_t mutex;
    pthread_cond_t wake; /* the engine thread has something to do */
    pthread_cond_t parked_changed;
    /* Guarded by mutex. */
    struct request **slots; /* [n_slots] requests inside, by id % n_slots */
    uint32_t *free_slots;   /* [n_slots - n_requests in use] */
    uint32_t n_requests;    /* inside */
    uint32_t n_inside;      /* their choices */
    uint64_t n_submitted;   /* ever */
    struct request *inbox_first, *inbox_last;
    bool cancel_pending; /* some request's flag is set */
    bool draining, closing;
    bool reset_cache; /* before the next step */
    bool kv_ready;    /* blocks came from disk: a stalled plan may go on */
    bool stalled;     /* the last plan was empty although there are sequences */
    bool exclusive;   /* a caller uses exec in engine_logits */
    bool parked;      /* the engine thread waits and touches nothing */
};

/* ---- open.c ---------------------------------------------------------------------------------- */

/* Every part but the thread. On failure the caller closes. */
PL_NODISCARD enum pl_status engine_open_parts(struct engine *engine, const struct engine_options *o,
                                              struct pl_error *err);

/* ---- request.c, sampling.c --------------------------------------------------------------------- */

/* A request with all the memory that it will ever need, checked against the engine's limits. */
PL_NODISCARD enum pl_status request_new(const struct engine *engine,
                                        const struct engine_request *from, struct request **ret,
                                        struct pl_error *err);
void request_free(struct request *request);

/* The part of the check that concerns the prompt: its length and ids. */
PL_NODISCARD enum pl_status request_check_prompt(const struct engine *engine,
                                                 const struct engine_request *from,
                                                 struct pl_error *err);

/* Limits of the lists, before they are copied. */
PL_NODISCARD enum pl_status sampling_check(const struct engine_sampling *from,
                                           struct pl_error *err);
/* The parameters of one choice, into it and the request's arena; later choices share the first one's lists. */
PL_NODISCARD bool sampling_copy(const struct engine *engine, const struct engine_sampling *from,
                                uint64_t seed, struct choice *c);
/* All the rest: ranges and ids. */
PL_NODISCARD enum pl_status sampling_check_copy(const struct engine *engine, const struct choice *c,
                                                struct pl_error *err);

/* ---- loop.c ---------------------------------------------------------------------------------- */

void *engine_loop(void *user); /* user: the engine */

/* Tells whoever runs the engine that there is something to do; the mutex is held. */
void engine_wake_locked(struct engine *engine);

/* Ends all that is inside: for closing without a thread. */
void engine_finish_all(struct engine *engine);

/* ---- stats.c --------------------------------------------------------------------------------- */

/* Publishes the scheduler's and the cache's figures to engine_stats. */
void engine_publish(struct engine *engine);

/* ---- step.c ---------------------------------------------------------------------------------- */

/* Plans and submits a step. False if nothing can run now (all that is there waits for blocks from disk). */
bool engine_step_begin(struct engine *engine);

/* The block tables of the step's sequence seq_i. */
void engine_fill_blocks(const struct exec_view *view, const struct kv_seq *kv, uint32_t seq_i,
                        const struct exec_info *info);

/* Waits for the submitted step, commits and delivers it. */
void engine_step_end(struct engine *engine);

/* ---- deliver.c ------------------------------------------------------------------------------- */

/* PROMPT events of positions whose predecessor's logits [n_rows, V] are there: of rows start.. */
void deliver_prompt(struct engine *engine, struct choice *c, const float *logits, uint32_t n_rows);

/* Position 0 has no predecessor: its PROMPT event comes first, without a logprob. */
void deliver_prompt_first(struct request *request);

/* Samples from one row, appends and delivers the token: *ret_id. False if the choice has finished by it. */
bool deliver_token(struct engine *engine, struct choice *c, const float *logits, int32_t *ret_id);

/* The FINISH event of a choice, which is out of the scheduler before it. The request, when this was its last open
 * choice, is out of the slots before it and freed after it. */
void deliver_finish(struct engine *engine, struct choice *c, enum engine_finish finish,
                    enum pl_status status, const char *message);

/* The same for all choices that are still open. */
void deliver_finish_all(struct engine *engine, struct request *request, enum engine_finish finish,
                        enum pl_status status, const char *message);

#endif
