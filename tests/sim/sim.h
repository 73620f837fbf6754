/*
 * sim/sim.h - a small world on a virtual clock: workers, clients and faults in one thread.
 *
 * Each worker is what polderd runs: core/engine (driven by engine_turn), core/server, a core/http server on a Unix socket;
 * only its device is the plugin "sim", whose steps take the time that a profile says. Clients are core/http's, over real
 * sockets. All of it lives on one http_loop. While anything can be done, time stands still; when the loop has nothing
 * ready it jumps to the next timer: a request that is due, a device that is done, a deadline.
 *
 *   sim_run:   events, tasks, replies at time t  ->  nothing ready  ->  t = next timer  ->  ...
 *
 * So a run is determined by its options: equal options, equal log (sim_digest), on any machine at any load. What does
 * not take time is the host's own work: parsing, planning, sampling.
 *
 * Ownership: the world owns workers, requests and its folder; strings in options are copied.
 * Threads: one; one world at a time in a process (the clock is the process's).
 * Errors: pl_status with a line; what happens to requests is told in their answers.
 * Limits: SIM_*_MAX.  Source: ours, docs/internals/sim.md.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <polder/status.h>

#include <stdio.h>

#include "engine.h"
#include "http/client.h"
#include "http/loop.h"

#define SIM_WORKERS_MAX 256
#define SIM_NS_PER_S    1000000000LL
#define SIM_FOREVER     INT64_MAX

struct sim;
struct sim_worker;

/* ---- the world ----------------------------------------------------------------------------------- */

/* Zero means the default. */
struct sim_options {
    uint64_t seed;
    const char *backend_dir; /* NULL: of this build */
    FILE *log;               /* every event as a line; not owned */
};

PL_NODISCARD enum pl_status sim_open(const struct sim_options *options, struct sim **ret,
                                     struct pl_error *err);
void sim_close(struct sim *sim); /* accepts NULL */

struct http_loop *sim_loop(struct sim *sim);
struct http_client *sim_client(struct sim *sim);
uint64_t sim_seed(const struct sim *sim);
const char *sim_dir(const struct sim *sim);        /* for sockets; removed at close */
const char *sim_model_path(const struct sim *sim); /* of the GGUF that workers open */

/* Virtual time since the world began. */
int64_t sim_now_ns(const struct sim *sim);

/* Runs until that time, sim_stop, or until nothing is left that could happen. */
PL_NODISCARD enum pl_status sim_run(struct sim *sim, int64_t until_ns, struct pl_error *err);
void sim_stop(struct sim *sim);

/* fn(user) at that time; PL_ENOMEM. */
PL_NODISCARD enum pl_status sim_at(struct sim *sim, int64_t at_ns, void (*fn)(void *user),
                                   void *user);

/* A line of the log: "<time> <text>"; counts in the digest. */
PL_PRINTF(2, 3) void sim_log(struct sim *sim, const char *fmt, ...);
uint64_t sim_digest(const struct sim *sim);

/* ---- workers ------------------------------------------------------------------------------------- */

#define SIM_SETTINGS_MAX 8

/* Zero means the default: the engine's, and for kv_tokens the profile's capacity. */
struct sim_worker_options {
    const char *profile; /* name of a file in tests/sim/profiles, or a path; NULL: "h100-8b" */
    uint32_t seqs_max;   /* default 256, as vLLM's */
    uint32_t rows_max;   /* default 2048, as vLLM's for online serving */
    uint32_t queue_max, kv_tokens, ctx_tokens, step_target_ms, draft_max;
    uint64_t kv_ram_bytes;
    bool no_prefix_cache;
    const char *settings[SIM_SETTINGS_MAX]; /* more of the device: "fail=0.01" */
    size_t n_settings;
    const char *key; /* of the hop; NULL: whoever reaches the socket is believed */
};

/* A worker that is up. */
PL_NODISCARD enum pl_status sim_worker_add(struct sim *sim,
                                           const struct sim_worker_options *options,
                                           struct sim_worker **ret, struct pl_error *err);

uint32_t sim_n_workers(const struct sim *sim);
struct sim_worker *sim_worker_at(struct sim *sim, uint32_t i);
uint32_t sim_worker_index(const struct sim_worker *w);
const char *sim_worker_address(const struct sim_worker *w); /* of http/address.h */
bool sim_worker_is_up(const struct sim_worker *w);
struct engine *sim_worker_engine(struct sim_worker *w); /* NULL while down */

/* Like kill -9: connections break, the cache is gone. And up again, cold. */
void sim_worker_down(struct sim_worker *w);
PL_NODISCARD enum pl_status sim_worker_up(struct sim_worker *w, struct pl_error *err);

/* The device answers with that status from now on; PL_OK mends it. PL_ELOST is what a lost device says: an engine
 * does not come back from it, only down and up help. */
void sim_worker_fault(struct sim_worker *w, enum pl_status status);

/* Device time spent in steps, as a part of the time that has passed. */
double sim_worker_busy(const struct sim_worker *w);

/* ---- profiles, as far as the harness reads them ---------------------------------------------------- */

#define SIM_POINTS_MAX 32

struct sim_point { /* a published measurement */
    char source[32];
    uint32_t users, n_in, n_out; /* closed loop clients, prompt and output tokens */
    double tok_s;                /* output tokens per second */
};

struct sim_profile_facts {
    uint32_t kv_tokens; /* 0: not told */
    struct sim_point points[SIM_POINTS_MAX];
    uint32_t n_points;
};

PL_NODISCARD enum pl_status sim_profile_read(const char *name, struct sim_profile_facts *ret,
                                             struct pl_error *err);

/* ---- requests ------------------------------------------------------------------------------------ */

enum sim_outcome {
    SIM_DONE,    /* to the end, and the text is right (where it is checked) */
    SIM_REFUSED, /* HTTP 429 */
    SIM_FAILED,  /* an explicit error: a status, an error event */
    SIM_BROKEN,  /* the connection failed: the client knows that the text is not whole */
    SIM_HUNG_UP, /* by this client */
    SIM_WRONG,   /* a text that is not what the prompt gives, or an end without a finish */
};
const char *sim_outcome_name(enum sim_outcome outcome);

struct sim_answer {
    enum sim_outcome outcome;
    int http_status;                     /* 0: none came */
    char message[PL_ERROR_MAX];          /* why not DONE */
    int64_t begun_ns, first_ns, done_ns; /* sim_now_ns; first_ns: 0 if no text came */
    uint32_t prompt_tokens, cached_tokens, output_tokens; /* output: seen by the client */
    const int64_t *gaps_ns; /* n_gaps: between texts; valid during the callback */
    uint32_t n_gaps;
    uint32_t retry_after_s; /* of a refusal; 0: not told */
};

struct sim_request {
    const char *address; /* required */
    const int32_t *ids;  /* n_ids >= 1: the prompt; sim_word for sensible ones */
    uint32_t n_ids;
    uint32_t max_tokens;
    const char *tenant, *org; /* NULL: none; need an authenticated hop */
    const char *key;          /* x-polder-hop; NULL: the socket's word is enough */
    double weight;            /* 0: 1 */
    int32_t priority;
    uint32_t deadline_ms; /* 0: none */
    double temperature;   /* 0: greedy, and the text is checked */
    uint64_t seed;        /* of sampling */
    uint32_t n;           /* texts; 0: 1; with more the text is not checked */
    bool no_check; /* the text is not the plain device's: end of generation is on, for instance */
    uint32_t hang_up_after; /* tokens; 0: never */
    uint32_t pause_after;   /* tokens; the reader then takes nothing for pause_ms */
    uint32_t pause_ms;
    void (*on_done)(void *user, const struct sim_answer *answer); /* exactly once */
    void *user;
};

/* Begins now. PL_EINVAL, PL_ENOMEM: no callback then. */
PL_NODISCARD enum pl_status sim_request_begin(struct sim *sim, const struct sim_request *request,
                                              struct pl_error *err);

/* Requests that have begun and not ended. */
uint32_t sim_n_requests(const struct sim *sim);

/* ---- words --------------------------------------------------------------------------------------- */

/* Word i of the model's vocabulary as a token id, for any i. */
int32_t sim_word(uint64_t i);

#endif
