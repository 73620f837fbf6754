/* See state.h: models, health, load, metrics, the cache's reset. */
#include "state.h"

#include <string.h>

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/banned.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* %xx decoded into ret (bytes with NUL); false if it is malformed, holds NUL or does not fit. */
static bool percent_decode(struct http_slice s, char *ret, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int c = (unsigned char)s.data[i];
        if (c == '%') {
            int high = i + 2 < s.n ? hex_digit(s.data[i + 1]) : -1;
            int low = i + 2 < s.n ? hex_digit(s.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = high * 16 + low;
            i += 2;
        }
        if (c == 0 || n + 1 >= bytes)
            return false;
        ret[n++] = (char)c;
    }
    ret[n] = '\0';
    return true;
}

static void write_model(const struct server *server, const char *name, struct json_writer *w)
{
    json_object(w);
    json_key(w, "id");
    json_cstring(w, name);
    json_key(w, "object");
    json_cstring(w, "model");
    json_key(w, "created");
    json_i64(w, server->started_unix_s);
    json_key(w, "owned_by");
    json_cstring(w, "polder");
    json_key(w, "max_model_len");
    json_u64(w, server->info->ctx_tokens);
    json_object_end(w);
}

void answer_models(struct server *server, struct http_exchange *x)
{
    struct buf out;
    struct json_writer w;
    buf_init(&out, SERVER_WHOLE_BYTES_MAX);
    json_begin(&w, &out);
    json_object(&w);
    json_key(&w, "object");
    json_cstring(&w, "list");
    json_key(&w, "data");
    json_array(&w);
    for (size_t i = 0; i < server->n_names; i++)
        write_model(server, server->names[i], &w);
    json_array_end(&w);
    json_object_end(&w);
    server_reply_json(x, &out);
    buf_deinit(&out);
}

void answer_model(struct server *server, struct http_exchange *x)
{
    char name[SERVER_NAME_MAX + 1];
    struct api_error error = {0};
    struct http_slice id = http_exchange_path(x);
    id.data += sizeof MODEL_PREFIX - 1;
    id.n -= sizeof MODEL_PREFIX - 1;
    if (!percent_decode(id, name, sizeof name))
        api_error_param(&error, "model", "model: not a valid name in the path");
    if (error.status != 0 || !server_check_model(server, name, &error)) {
        server_reply_error(x, &error);
        return;
    }
    struct buf out;
    struct json_writer w;
    buf_init(&out, SERVER_WHOLE_BYTES_MAX);
    json_begin(&w, &out);
    write_model(server, name, &w);
    server_reply_json(x, &out);
    buf_deinit(&out);
}

void answer_health(struct server *server, struct http_exchange *x)
{
    static const char OK[] = "{\"status\":\"ok\"}";
    (void)server;
    server_reply(x, 200, "application/json", OK, sizeof OK - 1);
}

/* vLLM's server_load, and what the engine has of it. */
void answer_load(struct server *server, struct http_exchange *x)
{
    struct engine_stats stats = {0};
    struct buf out;
    struct json_writer w;
    if (server->engine != NULL)
        engine_stats(server->engine, &stats);
    buf_init(&out, 0);
    json_begin(&w, &out);
    json_object(&w);
    json_key(&w, "server_load");
    json_u64(&w, server_n_calls(server));
    json_key(&w, "running");
    json_u64(&w, stats.running);
    json_key(&w, "waiting");
    json_u64(&w, stats.waiting);
    json_object_end(&w);
    server_reply_json(x, &out);
    buf_deinit(&out);
}

void answer_reset_prefix_cache(struct server *server, struct http_exchange *x)
{
    static const char OK[] = "{\"status\":\"ok\"}";
    struct api_error error = {0};
    struct hop hop;
    if (!hop_read(&server->trust, x, clock_now_ns(), &hop, &error)) {
        server->metrics.hop_refused++;
    } else if (!hop.trusted) {
        api_error_set(&error, 403, "hop_required",
                      "only the gateway of this worker may do this (x-polder-hop)");
    }
    if (error.status != 0) {
        server_reply_error(x, &error);
        return;
    }
    engine_reset_cache(server->engine);
    server_reply(x, 200, "application/json", OK, sizeof OK - 1);
}

void answer_metrics(struct server *server, struct http_exchange *x)
{
    struct engine_stats stats = {0};
    struct engine_tenant tenants[ENGINE_TENANTS_MAX];
    struct metrics_context context = {
        .model_name = server->names[0],
        .stats = &stats,
        .cache_dtype = server->cache_dtype[0] != '\0' ? server->cache_dtype : NULL,
        .prefix_cache = server->prefix_cache,
        .tenants = tenants,
        .n_calls = server_n_calls(server),
        .n_preparing = server->n_preparing,
        .started_unix_s = server->started_unix_s,
    };
    if (server->engine != NULL) {
        engine_stats(server->engine, &stats);
        context.n_tenants = engine_tenants(server->engine, tenants);
        context.block_tokens = server->info->block_tokens;
        context.n_blocks = server->info->n_blocks;
    }
    struct buf out;
    buf_init(&out, SERVER_WHOLE_BYTES_MAX);
    metrics_write(&server->metrics, &context, &out);
    server_reply(x, out.failed ? 500 : 200, "text/plain; version=0.0.4; charset=utf-8",
                 out.failed ? "" : out.data, out.failed ? 0 : out.len);
    buf_deinit(&out);
}
