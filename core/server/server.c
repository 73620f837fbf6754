/* See server.h: the server's life and its route table. */
#include "server.h"

#include "call.h"
#include "chat.h"
#include "work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <polder/version.h>

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/banned.h"

static void on_chat(struct server *server, struct http_exchange *x)
{
    call_start(server, x, REQUEST_CHAT);
}

static void on_completion(struct server *server, struct http_exchange *x)
{
    call_start(server, x, REQUEST_COMPLETION);
}

/* ---- routes ---------------------------------------------------------------------------------------- */

enum route_method {
    ROUTE_GET = 1, /* and HEAD */
    ROUTE_POST = 2,
};

enum route_need { /* in which states it is answered; else 503 */
                  ROUTE_ALWAYS,
                  ROUTE_MODEL,  /* ready or draining */
                  ROUTE_ACCEPTS /* ready only */
};

static const struct route {
    const char *path; /* a trailing '/' matches what lies below */
    enum route_method method;
    enum route_need need;
    void (*handle)(struct server *server, struct http_exchange *x);
} ROUTES[] = {
    {"/v1/chat/completions", ROUTE_POST, ROUTE_ACCEPTS, on_chat},
    {"/v1/completions", ROUTE_POST, ROUTE_ACCEPTS, on_completion},
    {"/v1/models", ROUTE_GET, ROUTE_ACCEPTS, answer_models},
    {MODEL_PREFIX, ROUTE_GET, ROUTE_ACCEPTS, answer_model},
    {"/health", ROUTE_GET, ROUTE_ACCEPTS, answer_health},
    {"/v1/health", ROUTE_GET, ROUTE_ACCEPTS, answer_health},
    {"/load", ROUTE_GET, ROUTE_ALWAYS, answer_load},
    {"/metrics", ROUTE_GET, ROUTE_ALWAYS, answer_metrics},
    {"/reset_prefix_cache", ROUTE_POST, ROUTE_MODEL, answer_reset_prefix_cache},
    {"/tokenize", ROUTE_POST, ROUTE_MODEL, utility_tokenize},
    {"/detokenize", ROUTE_POST, ROUTE_MODEL, utility_detokenize},
    {"/apply-template", ROUTE_POST, ROUTE_MODEL, utility_apply_template},
};

static bool route_matches(const struct route *route, struct http_slice path)
{
    size_t n = strlen(route->path);
    bool below = route->path[n - 1] == '/';
    return below ? path.n > n && memcmp(path.data, route->path, n) == 0
                 : http_slice_is(path, route->path);
}

static const struct route *find_route(struct http_slice path)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(ROUTES); i++) {
        if (route_matches(&ROUTES[i], path))
            return &ROUTES[i];
    }
    return NULL;
}

/* Paths are bytes of a client: shown only as far as they are harmless in a message. */
static void reply_no_route(struct http_exchange *x)
{
    struct http_slice method = http_exchange_method(x), path = http_exchange_path(x);
    struct api_error error = {0};
    api_error_set(&error, 404, "not_found", "no such route: %.*s %.*s", (int)PL_MIN(method.n, 32U),
                  method.data, (int)PL_MIN(path.n, 200U), path.data);
    server_reply_error(x, &error);
}

static void reply_wrong_method(struct http_exchange *x, const struct route *route)
{
    struct http_slice method = http_exchange_method(x);
    const char *allow = route->method == ROUTE_GET ? "GET, HEAD" : "POST";
    char message[192];
    (void)snprintf(message, sizeof message, "%s takes %s, not %.*s", route->path, allow,
                   (int)PL_MIN(method.n, 32U), method.data);
    char id[SERVER_REQUEST_ID_MAX + 1];
    server_request_id(x, id);
    struct http_header headers[] = {{"Allow", allow}, {"x-request-id", id}};
    http_respond_failure(x, &(struct http_failure){
                                .status = 405,
                                .message = message,
                                .code = "method_not_allowed",
                                .headers = headers,
                                .n_headers = PL_ARRAY_LEN(headers),
                            });
}

/* Whether this state answers the route; else the 503 in *error. */
static bool state_allows(const struct server *server, enum route_need need, struct api_error *error)
{
    if (need == ROUTE_ALWAYS || server->state == SERVER_READY ||
        (need == ROUTE_MODEL && server->engine != NULL))
        return true;
    if (server->state == SERVER_LOADING)
        api_error_set(error, 503, "loading", "loading model (%d %%)",
                      atomic_load(&server->progress_permille) / 10);
    else
        api_error_set(error, 503, "shutting_down", "shutting down: no new requests");
    return false;
}

void server_on_request(void *user, struct http_exchange *x)
{
    struct server *server = user;
    server->metrics.http_requests++;
    const struct route *route = find_route(http_exchange_path(x));
    if (route == NULL) {
        reply_no_route(x);
        return;
    }
    struct http_slice method = http_exchange_method(x);
    bool allowed = route->method == ROUTE_GET
                       ? http_slice_is(method, "GET") || http_slice_is(method, "HEAD")
                       : http_slice_is(method, "POST");
    if (!allowed) {
        reply_wrong_method(x, route);
        return;
    }
    struct api_error error = {0};
    if (state_allows(server, route->need, &error))
        route->handle(server, x);
    else
        server_reply_error(x, &error);
}

/* ---- life ------------------------------------------------------------------------------------------ */

/* NULL stays NULL. */
static bool copy_text(const char *from, char **ret)
{
    *ret = from != NULL ? strdup(from) : NULL;
    return from == NULL || *ret != NULL;
}

enum pl_status server_open(struct http_loop *loop, const struct server_options *options,
                           struct server **ret, struct pl_error *err)
{
    if (options->n_names == 0 || options->n_names > SERVER_NAMES_MAX)
        return pl_error_set(err, PL_EINVAL, "server: %zu model names, expected 1 to %d",
                            options->n_names, SERVER_NAMES_MAX);
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return pl_error_set(err, PL_ENOMEM, "server: out of memory");
    server->loop = loop;
    server->started_unix_s = clock_unix_s();
    server->drain = (struct http_task){.fn = call_drain, .user = server};
    buf_init(&server->scratch, SERVER_WHOLE_BYTES_MAX);
    (void)pthread_mutex_init(&server->lock, NULL);
    bool ok = true;
    for (; ok && server->n_names < options->n_names; server->n_names++) {
        server->names[server->n_names] = strndup(options->names[server->n_names], SERVER_NAME_MAX);
        ok = server->names[server->n_names] != NULL;
    }
    ok = ok && copy_text(options->chat_template, &server->chat_template) &&
         copy_text(options->hop_key, &server->hop_key);
    if (!ok) {
        server_close(server);
        return pl_error_set(err, PL_ENOMEM, "server: out of memory");
    }
    server->trust = (struct hop_trust){.key = server->hop_key, .unix_socket = options->trust_unix};
    server->prefix_cache = !options->no_prefix_cache;
    server->single_thread = options->single_thread;
    if (options->cache_dtype != NULL)
        (void)snprintf(server->cache_dtype, sizeof server->cache_dtype, "%s", options->cache_dtype);
    *ret = server;
    return PL_OK;
}

void server_stop(struct server *server)
{
    if (server != NULL)
        desk_stop(server);
}

void server_close(struct server *server)
{
    if (server == NULL)
        return;
    http_loop_unpost(server->loop, &server->drain);
    desk_stop(server);
    desk_close(server);
    call_free_all(server);
    chat_close(server->chat);
    for (size_t i = 0; i < PL_ARRAY_LEN(server->names); i++)
        free(server->names[i]);
    free(server->chat_template);
    if (server->hop_key != NULL)
        explicit_bzero(server->hop_key, strlen(server->hop_key));
    free(server->hop_key);
    buf_deinit(&server->scratch);
    (void)pthread_mutex_destroy(&server->lock);
    free(server);
}

void server_http_options(struct server *server, struct http_server_options *ret)
{
    ret->on_request = server_on_request;
    ret->user = server;
    ret->body_bytes_max = SERVER_BODY_MAX;
    ret->stream_pending_max = SERVER_UNSENT_MAX;
}

void server_set_progress(struct server *server, double fraction)
{
    atomic_store(&server->progress_permille, (int)(fraction * 1000));
}

static bool has_name(const struct server *server, const char *name)
{
    if (name == NULL || name[0] == '\0')
        return true; /* nothing to add */
    for (size_t i = 0; i < server->n_names; i++) {
        if (strcmp(server->names[i], name) == 0)
            return true;
    }
    return false;
}

enum pl_status server_ready(struct server *server, struct engine *engine, struct pl_error *err)
{
    const struct engine_info *info = engine_info(engine);
    const struct token_vocab *vocab = engine_vocab(engine);
    const char *source =
        server->chat_template != NULL ? server->chat_template : info->chat_template;
    struct pl_error why = {0};
    enum pl_status status = chat_open(source, vocab, &server->chat, &why);
    if (status != PL_OK)
        return pl_error_set(err, status, "chat template: %s (another: --chat-template FILE)",
                            why.msg);
    server->engine = engine;
    server->info = info;
    server->vocab = vocab;
    if (server->n_names < SERVER_NAMES_MAX && !has_name(server, info->model_name)) {
        char *alias = strndup(info->model_name, SERVER_NAME_MAX);
        if (alias == NULL)
            return pl_error_set(err, PL_ENOMEM, "server: out of memory");
        server->names[server->n_names++] = alias; /* the name in the file is an alias */
    }
    server->piece_bytes_max = 1;
    for (int32_t id = 0; id < token_count(vocab); id++) {
        size_t n = token_piece(vocab, id, true).len;
        server->piece_bytes_max = PL_MAX(server->piece_bytes_max, n);
    }
    (void)snprintf(server->fingerprint, sizeof server->fingerprint, "polder-%s-%s", PL_VERSION,
                   info->backend);
    status = server->single_thread ? PL_OK : desk_open(server, err);
    if (status == PL_OK)
        server->state = SERVER_READY;
    return status;
}

void server_drain(struct server *server)
{
    server->state = SERVER_DRAINING;
}

uint32_t server_n_calls(const struct server *server)
{
    return server->n_calls + server->n_preparing;
}

const char *server_template_remark(const struct server *server)
{
    const char *fallback = chat_fallback(server->chat);
    if (fallback == NULL)
        return NULL;
    return strcmp(fallback, "chatml") == 0
               ? "the model has no chat template: ChatML is used, as it has those tokens"
               : "the model has no chat template: the messages' contents are used as plain text";
}
