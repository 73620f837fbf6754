/* See state.h: replies with the headers that all of ours carry, and common errors. */
#include "state.h"

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "base/banned.h"

void server_request_id(const struct http_exchange *x, char ret[SERVER_REQUEST_ID_MAX + 1])
{
    struct http_slice given;
    bool usable = http_exchange_header(x, "x-request-id", &given) && given.n > 0 &&
                  given.n <= SERVER_REQUEST_ID_MAX;
    for (size_t i = 0; usable && i < given.n; i++)
        usable = given.data[i] > 0x20 && given.data[i] < 0x7f;
    if (usable) {
        memcpy(ret, given.data, given.n);
        ret[given.n] = '\0';
        return;
    }
    (void)snprintf(ret, SERVER_REQUEST_ID_MAX + 1, "req-%016llx%016llx",
                   (unsigned long long)rng_entropy(), (unsigned long long)rng_entropy());
}

static void reply(struct http_exchange *x, int status, uint32_t retry_after_s,
                  const char *content_type, const char *body, size_t n)
{
    char id[SERVER_REQUEST_ID_MAX + 1], s[16], ms[20];
    server_request_id(x, id);
    retry_after_s = retry_after_s > 0 ? retry_after_s : SERVER_RETRY_AFTER_S;
    (void)snprintf(s, sizeof s, "%u", retry_after_s);
    (void)snprintf(ms, sizeof ms, "%llu", (unsigned long long)retry_after_s * 1000);
    /* OpenAI's SDKs read retry-after-ms first */
    struct http_header headers[] = {
        {"x-request-id", id}, {"Retry-After", s}, {"retry-after-ms", ms}};
    bool retry = status == 429 || status == 503;
    http_respond(x, &(struct http_reply){
                        .status = status,
                        .content_type = content_type,
                        .headers = headers,
                        .n_headers = retry ? PL_ARRAY_LEN(headers) : 1,
                        .body = body,
                        .body_bytes = n,
                    });
}

void server_reply(struct http_exchange *x, int status, const char *content_type, const char *body,
                  size_t n)
{
    reply(x, status, 0, content_type, body, n);
}

void server_reply_error(struct http_exchange *x, const struct api_error *error)
{
    struct buf out;
    buf_init(&out, 0);
    api_error_write(error, &out);
    reply(x, error->status, error->retry_after_s, "application/json", out.failed ? "{}" : out.data,
          out.failed ? 2 : out.len);
    buf_deinit(&out);
}

void server_reply_json(struct http_exchange *x, const struct buf *json)
{
    if (json->failed) {
        struct api_error error = {0};
        api_error_set(&error, 500, NULL, "the answer is too large");
        server_reply_error(x, &error);
        return;
    }
    server_reply(x, 200, "application/json", json->data, json->len);
}

bool server_check_model(const struct server *server, const char *model, struct api_error *error)
{
    if (model == NULL || strcmp(model, "default") == 0)
        return true;
    for (size_t i = 0; i < server->n_names; i++) {
        if (strcmp(server->names[i], model) == 0)
            return true;
    }
    api_error_set(error, 404, "model_not_found", "model '%.200s' is not served here; try '%s'",
                  model, server->names[0]);
    (void)snprintf(error->param, sizeof error->param, "model");
    return false;
}

void server_status_error(enum pl_status status, const struct pl_error *err, const char *param,
                         struct api_error *error)
{
    const char *message = err->msg[0] != '\0' ? err->msg : pl_status_text(status);
    if (status == PL_EINVAL || status == PL_EFORMAT || status == PL_ELIMIT)
        api_error_param(error, param, "%s", message);
    else if (status == PL_EBUSY)
        api_error_set(error, 429, "queue_full", "%s", message);
    else if (status == PL_ECLOSED)
        api_error_set(error, 503, "shutting_down", "%s", message);
    else
        api_error_set(error, 500, NULL, "%s", message);
}
