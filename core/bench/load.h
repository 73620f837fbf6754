/*
 * bench/load.h - the load client of polder-bench server: an OpenAI-compatible server driven with random
 * prompts, over one event loop.
 *
 * load_text.c makes prompts and bodies, load_reply.c reads answers, load_run.c does the calls. They are
 * apart because base/json_writer.h and json-c can't be included together.
 *
 * Ownership: the target owns loop and client until load_close.  Threads: one.
 * Errors: pl_status with the server's own words where it sent some.  Limits: LOAD_*_MAX.
 * Source: OpenAI API reference, chat/completions and completions with streaming.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "stats.h"

#include <polder/status.h>

#define LOAD_NAME_MAX   256        /* bytes of a model's name */
#define LOAD_WORDS_MAX  (1u << 20) /* of a prompt */
#define LOAD_CONC_MAX   4096       /* requests at once */
#define LOAD_ANSWER_MAX ((size_t)64 << 20)

struct http_loop;
struct http_client;

/* How the server wants to be asked; found out by calibration. */
struct load_dialect {
    bool completions; /* /v1/completions: the model has no chat template */
    bool plain;       /* without ignore_eos, which is no field of OpenAI's */
};

struct load_target {
    struct http_loop *loop;
    struct http_client *client;
    char address[128]; /* of http/address.h */
    char host[256];    /* Host field */
    char prefix[256];  /* in front of /v1: "" or "/base" */
    char model[LOAD_NAME_MAX];
    char bearer[512]; /* "Bearer ..." or "" */
    struct load_dialect dialect;
    uint32_t timeout_ms; /* of a whole silence */
};

/* "http://127.0.0.1:8080", "http://host/base", with or without /v1 at the end. */
PL_NODISCARD enum pl_status load_open(const char *url, struct load_target *ret,
                                      struct pl_error *err);
void load_close(struct load_target *target);

/* Asks /v1/models for the first model's name. */
PL_NODISCARD enum pl_status load_find_model(struct load_target *target, struct pl_error *err);

/* ---- bodies: load_text.c --------------------------------------------------------------------- */

struct load_body {
    uint64_t seed;         /* of the words of this prompt alone */
    uint32_t shared_words; /* the same in all prompts, in front; 0: none */
    uint32_t words;
    uint32_t max_tokens;
    bool stream;
};

/* malloc'ed JSON; NULL: no memory. */
PL_NODISCARD char *load_make_body(const struct load_target *target, const struct load_body *body,
                                  size_t *ret_n);

/* ---- answers: load_reply.c ------------------------------------------------------------------- */

struct load_usage {
    int64_t prompt_tokens, cached_tokens, completion_tokens; /* -1: not told */
};

/* What one event of a stream, or one whole answer, holds. */
struct load_reply {
    bool has_text; /* some generated text */
    bool finished; /* a finish_reason */
    bool failed;   /* an error object: message */
    struct load_usage usage;
    char message[PL_ERROR_MAX];
};

/* False: not a JSON object. */
PL_NODISCARD bool load_read_reply(const char *json, size_t n, struct load_reply *ret);

/* The id of the first entry of /v1/models; false: there is none. */
PL_NODISCARD bool load_read_model(const char *json, size_t n, char ret[LOAD_NAME_MAX]);

/* ---- calls: load_run.c ----------------------------------------------------------------------- */

/* One request without streaming; the usage is what calibration wants. */
PL_NODISCARD enum pl_status load_ask(struct load_target *target, const struct load_body *body,
                                     struct load_usage *ret, struct pl_error *err);

struct load_plan {
    uint32_t concurrency, n_requests;
    struct load_body body; /* seed counts up per request */
};

struct load_result {
    uint32_t concurrency, n_done, n_errors;
    double wall_s;
    int64_t prompt_tokens, cached_tokens, output_tokens; /* of requests that finished */
    struct samples ttft_s, gap_s, total_s;
    char first_error[PL_ERROR_MAX];
};
void load_result_deinit(struct load_result *result);

/* Keeps `concurrency` streams open until n_requests are over. */
PL_NODISCARD enum pl_status load_run(struct load_target *target, const struct load_plan *plan,
                                     struct load_result *ret, struct pl_error *err);

#endif
