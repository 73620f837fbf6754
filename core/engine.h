/*
 * engine.h - the narrow boundary: a model that turns requests into streams of tokens.
 *
 * Everything above (servers, tools) sees this header; everything below (model, exec, kv, sched, sample,
 * plugins) is hidden behind it. One engine thread owns the scheduler and the device; callers submit and
 * cancel from any thread and are told of events on the engine thread.
 *
 *   submit -> [queued] -> [prefill, in chunks] -> TOKEN* -> FINISH (exactly once, always)
 *
 * Ownership: an engine owns all of its requests; what a request struct points to is copied by submit.
 * Threads: engine_open/close from one thread; submit, cancel, tokens, stats from any. Callbacks run on the
 * engine thread: they must not block, and may call engine_cancel.
 * Errors: at submit (nothing is kept then): PL_EINVAL naming the parameter, PL_ELIMIT for a prompt that
 * can't fit, PL_EBUSY when the queue is full, PL_ECLOSED while draining. Later ones arrive as FINISH.
 * Shared prefixes: what an earlier or running request of the same scope has computed is not computed again.
 * Same text: tokens depend on prompt, parameters and seed only, whatever else runs, however the prompt was
 * cut into chunks, and after a preemption (on a backend whose rows do not depend on the batch: the CPU).
 * Limits: ENGINE_*_MAX.  Source: ours; scheduling after vLLM's token budget, paging after Kwon et al. 2023.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <polder/status.h>

#define ENGINE_STOPS_MAX      16     /* stop strings of a request */
#define ENGINE_STOP_BYTES_MAX 1024   /* of one stop string */
#define ENGINE_BIAS_MAX       1024   /* logit_bias entries, twice what OpenAI takes */
#define ENGINE_SAMPLERS_MAX   16     /* steps of one order: each once, and some twice */
#define ENGINE_STOP_IDS_MAX   256    /* stop_ids */
#define ENGINE_ALLOWED_MAX    262144 /* allowed: the largest vocabularies */
#define ENGINE_WORDS_MAX                                                                           \
    65536 /* sequences of bad_words or dry_words: a third of a vocabulary may end with an e */
#define ENGINE_WORD_IDS_MAX 524288 /* ids of one such list */
#define ENGINE_LOGPROBS_MAX 20     /* alternatives per token, OpenAI's limit */
#define ENGINE_CHOICES_MAX  128    /* texts of one request: OpenAI's limit of n */
#define ENGINE_NAME_MAX     256    /* bytes of a tenant's, organisation's name and of a salt */
#define ENGINE_WEIGHT_MAX   1e6F   /* of a tenant */
#define ENGINE_DRAFT_MAX    16     /* guessed tokens checked in one step */

struct engine;
struct token_vocab;
struct gguf;

enum engine_kv_type {
    ENGINE_KV_F16 = 0,
    ENGINE_KV_F32 = 1,
    ENGINE_KV_Q8_0 = 2, /* half of F16's memory; head sizes that are multiples of 32 */
};

/* Zero means the default everywhere. */
struct engine_options {
    const char *model_path;              /* GGUF file */
    const char *backend;                 /* plugin name; NULL: the best by score */
    const char *backend_dir;             /* NULL: the baked-in or environment's folder */
    const char *const *backend_settings; /* "key=value", ended by NULL */
    uint32_t device_i;
    uint32_t n_threads; /* CPU threads of the backend; 0 = physical cores allowed */
    bool reference;     /* slow reference kernels */
    enum engine_kv_type kv_type;
    uint32_t ctx_tokens; /* longest sequence; 0 = the model's, at most what kv_tokens holds */
    uint32_t kv_tokens;  /* tokens of all sequences together; 0 = sized from memory */
    uint32_t seqs_max;   /* sequences in one step, at most rows_max; 0 = 64 */
    uint32_t rows_max;   /* token budget of a step; 0 = 512 */
    uint32_t queue_max;  /* requests waiting, besides the seqs_max that may run; 0 = 512 */

    bool no_prefix_cache; /* every request computes its whole prompt */
    uint64_t
        kv_ram_bytes; /* evicted KV blocks are kept here (where the device is not the CPU); 0 = none */
    const char *kv_disk_dir; /* and here, beyond restarts; NULL = none */
    uint64_t kv_disk_bytes;  /* bound of that folder */
    uint32_t draft_max; /* n-gram speculation: guesses per step, <= ENGINE_DRAFT_MAX; 0 = off */
    uint32_t
        step_target_ms; /* longest step with a prefill chunk among decodes; 0 = twice the decodes' own */

    /* The embedder runs the engine itself (a simulator on a virtual clock): no thread is started, on_wake is called,
     * on any thread and under the engine's lock (it must only take note), when engine_turn has something to do. */
    void (*on_wake)(void *user);
    void (*on_log)(void *user,
                   const char *line); /* remarks for the operator, any thread; may be NULL */
    /* Progress of loading in [0, 1], on the opening thread; may be NULL. Return false to give up. */
    bool (*on_progress)(void *user, double fraction);
    void *user;
};

PL_NODISCARD enum pl_status engine_open(const struct engine_options *options, struct engine **ret,
                                        struct pl_error *err);
/* Cancels what runs (their FINISH events are delivered first), joins the engine thread, frees all. */
void engine_close(struct engine *engine);

struct engine_info {
    const char *model_name;   /* general.name or the file's base name */
    const char *architecture; /* "llama" */
    const char *backend;      /* "cpu" */
    const char *device;       /* "AMD EPYC ..." */
    uint64_t n_params;
    uint64_t weight_bytes;           /* packed, on the device */
    uint32_t ctx_tokens;             /* longest sequence this engine takes */
    uint32_t ctx_train_tokens;       /* what the model was trained for */
    uint32_t block_tokens, n_blocks; /* KV cache */
    uint32_t seqs_max, queue_max;    /* as in force */
    const char *chat_template;       /* NUL-terminated, or NULL if the file has none */
};
const struct engine_info *engine_info(const struct engine *engine);  /* immutable */
const struct token_vocab *engine_vocab(const struct engine *engine); /* immutable */

/* ---- requests -------------------------------------------------------------------------------- */

struct engine_bias {
    int32_t id;
    float bias; /* added to the logit; -100 and below bans in effect */
};

/* llama-server's samplers, for an order of one's own. */
enum engine_sampler {
    ENGINE_SAMPLER_PENALTIES,
    ENGINE_SAMPLER_DRY,
    ENGINE_SAMPLER_TOP_N_SIGMA,
    ENGINE_SAMPLER_TOP_K,
    ENGINE_SAMPLER_TYPICAL_P,
    ENGINE_SAMPLER_TOP_P,
    ENGINE_SAMPLER_MIN_P,
    ENGINE_SAMPLER_XTC,
    ENGINE_SAMPLER_TEMPERATURE,
};

/* n sequences of token ids, one after the other; none is empty. */
struct engine_words {
    const int32_t *ids;
    const uint32_t *ends; /* [n] where each ends in ids */
    uint32_t n;
};

/* Zero-initialised fields are "off"; engine_sampling_default gives the API's defaults. Lists are copied by submit;
 * their ids are < V. Each parameter's meaning and source: docs/internals/sample.md. */
struct engine_sampling {
    float temperature;                       /* 0 = greedy, no filter counts then; default 1 */
    float dynatemp_range, dynatemp_exponent; /* temperature +- range by the entropy; exponent 1 */
    int32_t top_k;                           /* 0 = off */
    float top_p;                             /* 1 (or 0) = off */
    float min_p;                             /* 0 = off */
    float typical_p;                         /* 1 (or 0) = off */
    float top_n_sigma;                       /* 0 = off */
    float xtc_probability, xtc_threshold;    /* probability 0 = off; threshold default 0.1 */
    uint32_t min_keep;      /* tokens that typical_p, top_p, min_p and xtc leave at least */
    float repeat_penalty;   /* 1 (or 0) = off: divides positive, multiplies negative logits */
    float presence_penalty; /* OpenAI's: over generated tokens */
    float frequency_penalty;
    int32_t
        repeat_last_n; /* window of repeat_penalty over prompt and output; -1 = all; default 64 */
    float dry_multiplier;                  /* 0 = off */
    float dry_base;                        /* >= 1; default 1.75 */
    uint32_t dry_allowed_length;           /* default 2 */
    int32_t dry_penalty_last_n;            /* window over prompt and output; -1 = all; default 64 */
    uint32_t mirostat;                     /* 1, 2: instead of all filters; 0 = off */
    float mirostat_tau, mirostat_eta;      /* default 5, 0.1 */
    float adaptive_target, adaptive_decay; /* [0, 1]; [0, 0.99], default 0.9 */
    uint32_t
        min_tokens; /* before as many, no end-of-generation token, stop_ids or stop string counts */
    bool adaptive;  /* adaptive-p, after all filters */
    bool own_samplers;   /* samplers [n_samplers] instead of the default order */
    bool include_stop;   /* the stop string or token that ends the text is part of it */
    bool final_logprobs; /* TOKEN events: of the distribution drawn from; else of the raw logits */
    bool has_seed;
    uint64_t seed; /* used if has_seed, else drawn */
    uint32_t n_samplers;
    uint8_t samplers[ENGINE_SAMPLERS_MAX]; /* enum engine_sampler */
    /* Lists. */
    uint32_t n_bias, n_allowed, n_stop_ids, n_logprob_ids, n_dry_breakers;
    const struct engine_bias *bias;
    const int32_t *allowed; /* no other token is chosen; n_allowed 0 = all may be */
    const int32_t
        *stop_ids; /* each ends the text as an end-of-generation token does, ignore_eos or not */
    const int32_t *
        logprob_ids; /* these are the alternatives of TOKEN events, in this order; n_logprob_ids 0: the
                                 * n_logprobs best; <= ENGINE_LOGPROBS_MAX */
    const int32_t *dry_breakers;   /* tokens that end a repeat */
    struct engine_words dry_words; /* sequences that do, by increasing first id */
    struct engine_words
        bad_words; /* in generated tokens, their last one never follows the others */
};
struct engine_sampling engine_sampling_default(void);

/* The same, with what the model's file wants instead (general.sampling.temp, .top_k, .top_p, .min_p). Immutable. */
const struct engine_sampling *engine_sampling_of_model(const struct engine *engine);

enum engine_finish {
    ENGINE_FINISH_STOP,   /* end-of-generation token or stop string */
    ENGINE_FINISH_LENGTH, /* max_tokens or the context's end */
    ENGINE_FINISH_CANCEL,
    ENGINE_FINISH_ERROR, /* see status and message */
};

struct engine_logprob {
    int32_t id;
    float logprob; /* natural log of softmax of the raw logits */
};

enum engine_event_kind {
    ENGINE_EVENT_PROMPT, /* prompt logprobs of one position, where asked: before the first TOKEN */
    ENGINE_EVENT_TOKEN, /* one generated token; not the end-of-generation token that stops a text, which
                          * counts in output_tokens only */
    ENGINE_EVENT_FINISH, /* the last event of a choice; the request's last one is that of its last choice */
};

/* Valid during the callback only. */
struct engine_event {
    enum engine_event_kind kind;
    int32_t id;       /* PROMPT, TOKEN */
    const char *text; /* TOKEN, FINISH: text now certain: whole UTF-8 characters that can be
                                       * no part of a stop string; may be empty; not NUL-terminated */
    size_t text_bytes;
    float logprob;                    /* of id; PROMPT: NAN at position 0 */
    uint32_t choice;                  /* which of the request's n texts; PROMPT: 0 */
    const struct engine_logprob *top; /* alternatives, best first, n_top as asked */
    uint32_t n_top;
    enum engine_finish finish; /* FINISH */
    const char *stop; /* FINISH by a stop string: that string, else NULL. The first one complete in
                       * the text, the longest of several that end there; it is not part of the text */
    enum pl_status status; /* FINISH by error */
    const char *message;   /* FINISH by error: one line */
    /* FINISH of each choice. prompt and cached tokens are the request's, told with every choice. */
    uint32_t prompt_tokens, cached_tokens, output_tokens;
    uint32_t draft_tokens, accepted_tokens; /* speculation */
    int64_t submitted_ns, admitted_ns, first_ns,
        finished_ns; /* clock_now_ns; 0 where it never came to that: submit,
                                                               * first row computed, first token, end */
};

typedef void engine_event_fn(void *user, const struct engine_event *event);

struct engine_request {
    const int32_t *prompt; /* >= 1 ids, each < V */
    uint32_t n_prompt;
    uint32_t max_tokens; /* 0 = until the context's end */
    bool
        no_generation; /* prompt logprobs only (echo with max_tokens 0): FINISH_LENGTH after them */
    struct engine_sampling sampling;
    const char *const *stops; /* n_stops NUL-terminated strings */
    uint32_t n_stops;
    bool ignore_eos;
    bool special_text;    /* control tokens appear in text */
    bool logprobs;        /* fill logprob and top of TOKEN events */
    bool prompt_logprobs; /* PROMPT events */
    uint32_t n_logprobs;  /* alternatives, <= ENGINE_LOGPROBS_MAX */
    uint32_t
        n; /* texts, each with its own seed (seed + choice); 0 = 1, <= ENGINE_CHOICES_MAX; the prompt is computed once */

    /* Whose it is. Names are bytes; NULL with 0 bytes: everybody's. */
    const char *tenant; /* fairness: an account of its own */
    size_t tenant_bytes;
    float weight;      /* the tenant's share; 0 = 1 */
    const char *scope; /* organisation: prefixes are shared within it only */
    size_t scope_bytes;
    const char *salt; /* cache_salt: a further split of the scope */
    size_t salt_bytes;
    int32_t priority; /* lower first; 0 normal */
    int64_t
        deadline_ns; /* clock_now_ns by which the first token is wanted, else FINISH_ERROR with PL_ETIMEDOUT; 0 = none */
    bool
        no_cache_read; /* don't look for a cached prefix (what is computed may still be found by others) */

    engine_event_fn *on_event;
    void *user;
};

/* *ret_id: for cancel; never 0, never reused. The first event may come before this returns. */
PL_NODISCARD enum pl_status engine_submit(struct engine *engine,
                                          const struct engine_request *request, uint64_t *ret_id,
                                          struct pl_error *err);

/* Asks for FINISH_CANCEL within one step; nothing happens for an unknown or finished id. */
void engine_cancel(struct engine *engine, uint64_t id);

/* Refuses new requests from now on; those inside go on. */
void engine_drain(struct engine *engine);

/* ---- figures --------------------------------------------------------------------------------- */

/* A snapshot, taken without waiting for the engine thread. Counters since open. */
#define ENGINE_STEP_BUCKETS 15 /* rows in a step: up to 1, 2, 4, ... 8192, more */

struct engine_stats {
    uint32_t running, waiting;                         /* sequences; waiting: preempted ones too */
    uint32_t blocks_used, blocks_cached, blocks_total; /* used: held by sequences */
    uint64_t prompt_tokens, generated_tokens, steps;   /* prompt_tokens: computed ones */
    uint64_t finished[4];                              /* by enum engine_finish */
    uint64_t preemptions, recomputed_tokens;
    uint64_t cache_queried_tokens, cache_hit_tokens; /* prefix cache */
    uint64_t cache_ram_hit_tokens, cache_disk_hit_tokens, cache_evicted_blocks;
    uint64_t ram_blocks, ram_blocks_max, disk_blocks, disk_blocks_max, disk_dropped, disk_errors;
    uint64_t drafts, draft_tokens, accepted_tokens; /* runs of guesses; their tokens */
    uint64_t step_rows_decode, step_rows_prefill;   /* summed over steps */
    uint64_t step_counts[ENGINE_STEP_BUCKETS]; /* steps by rows: [i] up to 2^i, the last: more */
    int64_t step_ns;                           /* device time of all steps */
    double step_fixed_ns, step_decode_ns, step_prefill_ns; /* the scheduler's model of a step */
    uint64_t device_allocs, device_compiles;               /* C7 */
};
void engine_stats(struct engine *engine, struct engine_stats *ret);

#define ENGINE_TENANTS_MAX 64 /* told by engine_tenants; no more than that */

struct engine_tenant {
    char name[64]; /* cut; "" = everybody's */
    float weight;
    uint32_t running, waiting;
    uint64_t prompt_tokens, output_tokens; /* computed for it since it was last absent */
    double counter;                        /* virtual tokens of the fair scheduler */
};
/* Tenants with requests inside, as of the latest step; how many. Any thread. */
uint32_t engine_tenants(struct engine *engine, struct engine_tenant ret[ENGINE_TENANTS_MAX]);

/* Seconds after which a request refused with PL_EBUSY may come in: from the rate at which requests leave; >= 1. */
uint32_t engine_retry_after_s(struct engine *engine);

/* Forgets all cached prefixes that no request uses, in all tiers, before the next step. */
void engine_reset_cache(struct engine *engine);

/* ---- without a thread of its own (engine_options.on_wake) -------------------------------------- */

enum engine_turn {
    ENGINE_TURN_IDLE, /* nothing to do until on_wake */
    ENGINE_TURN_BUSY, /* the device works on a step: call again when it may be done */
    ENGINE_TURN_DONE, /* a step was delivered: call again */
};
/* Takes what callers left, submits a step, or delivers it if the device is done. Never blocks on the device. One
 * thread at a time. */
enum engine_turn engine_turn(struct engine *engine);

/* ---- for tools and tests --------------------------------------------------------------------- */

/* Teacher-forced logits of one sequence: logits[n_tokens, V] F32, row i after token i. Runs in chunks on
 * the calling thread while no request is in the engine (PL_EBUSY otherwise). */
PL_NODISCARD enum pl_status engine_logits(struct engine *engine, const int32_t *ids, uint32_t n,
                                          float *logits, struct pl_error *err);

#endif
