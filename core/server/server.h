/*
 * server/server.h - the worker's API: OpenAI JSON on one side, core/engine.h on the other.
 *
 *   LOADING --server_ready--> READY --server_drain--> DRAINING
 *
 * It listens before the model is there: until server_ready, /health and every call answer 503 "loading
 * model"; while draining new calls answer 503 and running ones finish. A call belongs to one exchange;
 * a client that goes away cancels its call, a reader that is too slow is dropped.
 *
 * Ownership: the loop, the HTTP server and the engine are the caller's. Close in this order: HTTP server
 * (its on_close callbacks cancel calls), server_stop (large bodies are read by a thread that uses the
 * engine's vocabulary), engine (delivers the last events), then server_close.
 * Threads: everything on the loop thread, except server_set_progress and the engine's callbacks.
 * Errors: as returned; those of requests are answered in OpenAI's shape.
 * Limits: server_limits.h.  Source: OpenAI API reference; llama-server's /tokenize family.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "http/server.h"

struct engine;
struct server;

struct server_options {
    const char *const *names; /* n_names served names, 1 or more; the first is what answers say */
    size_t n_names;
    const char *chat_template; /* text; NULL: the model's own */
    const char *hop_key;       /* the gateway's, as hop.h says; NULL: none is believed */
    bool trust_unix;           /* whoever reaches a Unix socket of ours is an authenticated hop */
    const char *cache_dtype;   /* "f16": told in the metrics; NULL: not told */
    bool no_prefix_cache;      /* told in the metrics */
    bool single_thread;        /* no thread of our own: for a simulator on a virtual clock */
};

PL_NODISCARD enum pl_status server_open(struct http_loop *loop,
                                        const struct server_options *options, struct server **ret,
                                        struct pl_error *err);
/* Ends the thread that reads large bodies; before the engine is closed. Accepts NULL. */
void server_stop(struct server *server);
/* Accepts NULL. */
void server_close(struct server *server);

/* The limits that the HTTP server should hold for us; user and on_request are set too. */
void server_http_options(struct server *server, struct http_server_options *ret);

/* Loading progress in [0, 1], for the 503 that is answered meanwhile. Any thread. */
void server_set_progress(struct server *server, double fraction);

/* The engine is open: calls are taken from now on. PL_EFORMAT if the chat template doesn't parse. */
PL_NODISCARD enum pl_status server_ready(struct server *server, struct engine *engine,
                                         struct pl_error *err);

/* New calls answer 503 from now on. */
void server_drain(struct server *server);

/* Calls that have not been answered to the end. */
uint32_t server_n_calls(const struct server *server);

/* NULL, or a remark about the chat template in use, for the operator's log. After server_ready. */
const char *server_template_remark(const struct server *server);

/* http_server_options.on_request; user is the struct server. */
void server_on_request(void *user, struct http_exchange *x);

#endif
