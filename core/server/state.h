/*
 * server/state.h - struct server and what its files share; inside this room.
 *
 * Threads: fields are the loop thread's, except those marked.
 */
#ifndef SERVER_STATE_H
#define SERVER_STATE_H

#include "api_error.h"
#include "hop.h"
#include "metrics.h"
#include "server.h"
#include "server_limits.h"

#include "token/token.h"

#include <pthread.h>
#include <stdatomic.h>

struct call;
struct chat;
struct desk;

enum server_state {
    SERVER_LOADING,
    SERVER_READY,
    SERVER_DRAINING,
};

struct server {
    struct http_loop *loop;
    char *names[SERVER_NAMES_MAX]; /* owned */
    size_t n_names;
    char *chat_template;    /* owned, or NULL */
    char *hop_key;          /* owned: trust's, or NULL */
    struct hop_trust trust; /* what makes a hop believed */
    char cache_dtype[16];   /* for the metrics; empty: not told */
    bool prefix_cache, single_thread;
    enum server_state state;
    atomic_int progress_permille; /* any thread */
    int64_t started_unix_s;
    char fingerprint[64];

    struct engine *engine; /* NULL until ready, and so on below */
    const struct engine_info *info;
    const struct token_vocab *vocab;
    struct chat *chat;      /* owned */
    size_t piece_bytes_max; /* longest token: bounds what a prompt of n bytes may need */

    struct metrics metrics;
    struct desk *desk;    /* owned; NULL: all bodies are read on the loop */
    uint32_t n_preparing; /* works that are beside the loop */
    struct call *calls;   /* all, linked */
    uint32_t n_calls;
    struct buf scratch; /* one chunk or body at a time */

    pthread_mutex_t lock;   /* guards .ready and, of each call, its queue side */
    struct call *ready;     /* calls with events to handle */
    struct http_task drain; /* posted when .ready becomes non-empty */
};

/* Replies of this server carry x-request-id, and Retry-After where it helps. Each ends the exchange. */
void server_reply(struct http_exchange *x, int status, const char *content_type, const char *body,
                  size_t n);
void server_reply_error(struct http_exchange *x, const struct api_error *error);
/* What was written into a buf; 500 if that failed. */
void server_reply_json(struct http_exchange *x, const struct buf *json);

/* The x-request-id to answer with: the client's if it is printable and short, else a fresh one. */
void server_request_id(const struct http_exchange *x, char ret[SERVER_REQUEST_ID_MAX + 1]);

/* model names one that is served, or is NULL or "default"; else a 404 in *error. */
PL_NODISCARD bool server_check_model(const struct server *server, const char *model,
                                     struct api_error *error);

/* A status of the engine, tokenizer or the like as an API error about `param`. */
void server_status_error(enum pl_status status, const struct pl_error *err, const char *param,
                         struct api_error *error);

/* answers.c: what needs no engine thread. */
void answer_models(struct server *server, struct http_exchange *x);
void answer_model(struct server *server, struct http_exchange *x); /* /v1/models/... */
void answer_health(struct server *server, struct http_exchange *x);
void answer_load(struct server *server, struct http_exchange *x);
void answer_metrics(struct server *server, struct http_exchange *x);
void answer_reset_prefix_cache(struct server *server, struct http_exchange *x);

#define MODEL_PREFIX "/v1/models/"

/* utility.c: /tokenize, /detokenize, /apply-template. */
void utility_tokenize(struct server *server, struct http_exchange *x);
void utility_detokenize(struct server *server, struct http_exchange *x);
void utility_apply_template(struct server *server, struct http_exchange *x);

#endif
