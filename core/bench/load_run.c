/*
 * bench/load_run.c - the target's address, single calls, and many streams at once.
 */
#include "load.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "http/address.h"
#include "http/client.h"
#include "http/sse.h"

#include "base/banned.h"

#define CALL_TIMEOUT_MS 600000u

/* ---- the target ------------------------------------------------------------------------------ */

/* A host name to a numeric address; what http/address.h understands is left as it is. */
static enum pl_status resolve(const char *authority, char ret[HTTP_ADDRESS_TEXT_MAX],
                              struct pl_error *err)
{
    struct http_address address;
    char with_port[256];
    const char *colon = strrchr(authority, ':');
    bool has_port = colon != NULL && strchr(colon, ']') == NULL;
    snprintf(with_port, sizeof with_port, "%s%s", authority, has_port ? "" : ":80");
    if (http_address_parse(with_port, &address, NULL) == PL_OK) {
        http_address_format(&address, ret);
        return PL_OK;
    }
    char *port = strrchr(with_port, ':');
    *port++ = '\0';
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char host[128];
    if (getaddrinfo(with_port, port, &hints, &found) != 0 ||
        getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof host, NULL, 0,
                    NI_NUMERICHOST) != 0) {
        if (found != NULL)
            freeaddrinfo(found);
        return pl_error_set(err, PL_EINVAL, "can't find host '%s'", with_port);
    }
    int n = snprintf(ret, HTTP_ADDRESS_TEXT_MAX, found->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
                     host, port);
    freeaddrinfo(found);
    return n < HTTP_ADDRESS_TEXT_MAX
               ? PL_OK
               : pl_error_set(err, PL_EINVAL, "the address of '%s' is too long", with_port);
}

static enum pl_status split_url(const char *url, struct load_target *ret, struct pl_error *err)
{
    static const char scheme[] = "http://";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return pl_error_set(err, PL_EINVAL, "'%.100s' does not begin with http://", url);
    const char *authority = url + sizeof scheme - 1;
    size_t n = strcspn(authority, "/?#");
    size_t rest = strcspn(authority + n, "?#");
    if (n == 0 || n >= sizeof ret->host || rest >= sizeof ret->prefix)
        return pl_error_set(err, PL_EINVAL, "'%.100s' has no host, or is too long", url);
    snprintf(ret->host, sizeof ret->host, "%.*s", (int)n, authority);
    snprintf(ret->prefix, sizeof ret->prefix, "%.*s", (int)rest, authority + n);
    size_t len = strlen(ret->prefix);
    while (len > 0 && ret->prefix[len - 1] == '/')
        ret->prefix[--len] = '\0';
    if (len >= 3 && strcmp(ret->prefix + len - 3, "/v1") == 0)
        ret->prefix[len - 3] = '\0';
    return resolve(ret->host, ret->address, err);
}

enum pl_status load_open(const char *url, struct load_target *ret, struct pl_error *err)
{
    *ret = (struct load_target){.timeout_ms = CALL_TIMEOUT_MS};
    enum pl_status status = split_url(url, ret, err);
    if (status != PL_OK)
        return status;
    const char *key = getenv("OPENAI_API_KEY"); /* NOLINT(concurrency-mt-unsafe): one thread */
    if (key != NULL && key[0] != '\0')
        snprintf(ret->bearer, sizeof ret->bearer, "Bearer %s", key);
    status = http_loop_open(&ret->loop, err);
    if (status != PL_OK)
        return status;
    const struct http_client_options options = {.idle_max = LOAD_CONC_MAX};
    status = http_client_open(ret->loop, &options, &ret->client, err);
    if (status != PL_OK)
        load_close(ret);
    return status;
}

void load_close(struct load_target *target)
{
    http_client_close(target->client);
    http_loop_close(target->loop);
    target->client = NULL;
    target->loop = NULL;
}

/* The options that all calls share; target_path is written into path. */
static struct http_call_options call_options(const struct load_target *target, const char *what,
                                             struct http_header *header, char *path, size_t size)
{
    snprintf(path, size, "%s/v1/%s", target->prefix, what);
    *header = (struct http_header){.name = "Authorization", .value = target->bearer};
    return (struct http_call_options){
        .address = target->address,
        .host = target->host,
        .target = path,
        .headers = header,
        .n_headers = target->bearer[0] != '\0' ? 1 : 0,
        .answer_bytes_max = LOAD_ANSWER_MAX,
        .head_timeout_ms = target->timeout_ms,
        .gap_timeout_ms = target->timeout_ms,
    };
}

static const char *endpoint(const struct load_target *target)
{
    return target->dialect.completions ? "completions" : "chat/completions";
}

/* ---- one call, waited for -------------------------------------------------------------------- */

struct single {
    struct http_loop *loop;
    struct buf body;
    int http_status;
    enum pl_status status;
    struct pl_error err;
};

static void on_single_head(void *user, const struct http_answer *answer)
{
    struct single *s = user;
    s->http_status = answer->status;
}

static void on_single_body(void *user, const char *data, size_t n)
{
    struct single *s = user;
    buf_append(&s->body, data, n);
}

static void on_single_done(void *user, enum pl_status status, const char *message)
{
    struct single *s = user;
    s->status = status;
    if (status != PL_OK)
        (void)pl_error_set(&s->err, status, "%s", message);
    http_loop_stop(s->loop);
}

static enum pl_status call_and_wait(struct load_target *target, const char *what, const char *body,
                                    size_t n, struct single *s, struct pl_error *err)
{
    char path[512];
    struct http_header header;
    struct http_call_options options = call_options(target, what, &header, path, sizeof path);
    options.body = body;
    options.body_bytes = n;
    options.on_head = on_single_head;
    options.on_body = on_single_body;
    options.on_done = on_single_done;
    options.user = s;
    *s = (struct single){.loop = target->loop};
    buf_init(&s->body, LOAD_ANSWER_MAX);
    struct http_call *call = NULL;
    enum pl_status status = http_call_begin(target->client, &options, &call, err);
    if (status == PL_OK)
        status = http_loop_run(target->loop, err);
    if (status == PL_OK && s->status != PL_OK)
        status = pl_error_set(err, s->status, "%s", s->err.msg);
    if (status == PL_OK && s->body.failed)
        status = pl_error_set(err, PL_ENOMEM, "no memory for an answer");
    return status;
}

enum pl_status load_find_model(struct load_target *target, struct pl_error *err)
{
    struct single s;
    enum pl_status status = call_and_wait(target, "models", NULL, 0, &s, err);
    if (status == PL_OK && s.http_status != 200)
        status = pl_error_set(err, PL_EIO, "GET /v1/models: HTTP %d", s.http_status);
    else if (status == PL_OK && !load_read_model(s.body.data, s.body.len, target->model))
        status = pl_error_set(err, PL_EFORMAT, "GET /v1/models: names no model");
    buf_deinit(&s.body);
    return status;
}

enum pl_status load_ask(struct load_target *target, const struct load_body *body,
                        struct load_usage *ret, struct pl_error *err)
{
    size_t n = 0;
    char *text = load_make_body(target, body, &n);
    if (text == NULL)
        return pl_error_set(err, PL_ENOMEM, "no memory for a request");
    struct single s;
    struct load_reply reply = {.usage = {-1, -1, -1}};
    enum pl_status status = call_and_wait(target, endpoint(target), text, n, &s, err);
    bool json =
        status == PL_OK && s.body.len > 0 && load_read_reply(s.body.data, s.body.len, &reply);
    if (status == PL_OK && s.http_status != 200)
        status = pl_error_set(err, s.http_status >= 500 ? PL_EIO : PL_EINVAL, "HTTP %d: %s",
                              s.http_status, json && reply.failed ? reply.message : "no reason");
    else if (status == PL_OK && !json)
        status = pl_error_set(err, PL_EFORMAT, "the answer is no JSON object");
    if (status == PL_OK)
        *ret = reply.usage;
    buf_deinit(&s.body);
    free(text);
    return status;
}

/* ---- many streams ---------------------------------------------------------------------------- */

struct fleet;

/* One of the concurrent clients; it begins the next request when one is over. */
struct stream {
    struct fleet *fleet;
    struct http_sse sse;
    struct buf plain; /* the body of an answer that is no stream: an error */
    int64_t start_ns, last_ns;
    uint32_t n_chunks;
    int http_status;
    bool finished; /* a finish_reason came */
    struct load_usage usage;
    char message[PL_ERROR_MAX];
};

struct fleet {
    struct load_target *target;
    const struct load_plan *plan;
    struct load_result *result;
    struct stream *streams;
    uint32_t n_begun, n_over;
};

static void begin_next(struct stream *stream);

static void on_event(void *user, const struct http_sse_event *event)
{
    struct stream *stream = user;
    struct load_reply reply;
    if (http_slice_is(event->data, "[DONE]") ||
        !load_read_reply(event->data.data, event->data.n, &reply))
        return;
    int64_t now_ns = clock_now_ns();
    if (reply.has_text) {
        struct load_result *result = stream->fleet->result;
        if (stream->n_chunks == 0)
            samples_add(&result->ttft_s, (double)(now_ns - stream->start_ns) / CLOCK_NS_PER_S);
        else
            samples_add(&result->gap_s, (double)(now_ns - stream->last_ns) / CLOCK_NS_PER_S);
        stream->n_chunks++;
        stream->last_ns = now_ns;
    }
    stream->finished = stream->finished || reply.finished;
    if (reply.usage.completion_tokens >= 0)
        stream->usage = reply.usage;
    if (reply.failed)
        memcpy(stream->message, reply.message, sizeof stream->message);
}

static void on_head(void *user, const struct http_answer *answer)
{
    struct stream *stream = user;
    stream->http_status = answer->status;
}

static void on_body(void *user, const char *data, size_t n)
{
    struct stream *stream = user;
    if (stream->http_status != 200)
        buf_append(&stream->plain, data, n);
    else if (http_sse_feed(&stream->sse, data, n) != PL_OK && stream->message[0] == '\0')
        snprintf(stream->message, sizeof stream->message, "the event stream is malformed");
}

/* Why the stream did not end well; "" if it did. */
static void judge(struct stream *stream, enum pl_status status, const char *message)
{
    struct load_reply reply;
    if (stream->message[0] != '\0')
        return;
    if (status != PL_OK)
        snprintf(stream->message, sizeof stream->message, "%s", message);
    else if (stream->http_status != 200)
        snprintf(stream->message, sizeof stream->message, "HTTP %d: %.200s", stream->http_status,
                 stream->plain.len > 0 &&
                         load_read_reply(stream->plain.data, stream->plain.len, &reply) &&
                         reply.failed
                     ? reply.message
                     : "no reason");
    else if (!stream->finished)
        snprintf(stream->message, sizeof stream->message, "the stream ended without a finish");
}

static void finish(struct stream *stream)
{
    struct fleet *fleet = stream->fleet;
    struct load_result *result = fleet->result;
    if (stream->message[0] == '\0') {
        result->n_done++;
        result->output_tokens += stream->usage.completion_tokens >= 0
                                     ? stream->usage.completion_tokens
                                     : (int64_t)stream->n_chunks;
        result->prompt_tokens += PL_MAX(stream->usage.prompt_tokens, 0);
        result->cached_tokens += PL_MAX(stream->usage.cached_tokens, 0);
        samples_add(&result->total_s, (double)(clock_now_ns() - stream->start_ns) / CLOCK_NS_PER_S);
    } else {
        result->n_errors++;
        if (result->first_error[0] == '\0')
            memcpy(result->first_error, stream->message, sizeof result->first_error);
    }
    http_sse_deinit(&stream->sse);
    buf_deinit(&stream->plain);
    fleet->n_over++;
}

static void on_done(void *user, enum pl_status status, const char *message)
{
    struct stream *stream = user;
    struct fleet *fleet = stream->fleet;
    judge(stream, status, message);
    finish(stream);
    if (fleet->n_begun < fleet->plan->n_requests)
        begin_next(stream);
    else if (fleet->n_over == fleet->n_begun)
        http_loop_stop(fleet->target->loop);
}

/* A request that can't even begin counts as an error; the stream then tries the next one. */
static void begin_next(struct stream *stream)
{
    struct fleet *fleet = stream->fleet;
    while (fleet->n_begun < fleet->plan->n_requests) {
        *stream = (struct stream){.fleet = fleet, .usage = {-1, -1, -1}};
        http_sse_init(&stream->sse, LOAD_ANSWER_MAX, on_event, stream);
        buf_init(&stream->plain, LOAD_ANSWER_MAX);
        struct load_body body = fleet->plan->body;
        body.seed += fleet->n_begun++;
        body.stream = true;
        size_t n = 0;
        char *text = load_make_body(fleet->target, &body, &n);
        char path[512];
        struct http_header header;
        struct http_call_options options =
            call_options(fleet->target, endpoint(fleet->target), &header, path, sizeof path);
        options.body = text;
        options.body_bytes = n;
        options.on_head = on_head;
        options.on_body = on_body;
        options.on_done = on_done;
        options.user = stream;
        struct http_call *call = NULL;
        struct pl_error err = {{0}};
        stream->start_ns = clock_now_ns();
        enum pl_status status = text == NULL
                                    ? pl_error_set(&err, PL_ENOMEM, "no memory for a request")
                                    : http_call_begin(fleet->target->client, &options, &call, &err);
        free(text);
        if (status == PL_OK)
            return;
        judge(stream, status, err.msg);
        finish(stream);
    }
}

enum pl_status load_run(struct load_target *target, const struct load_plan *plan,
                        struct load_result *ret, struct pl_error *err)
{
    *ret = (struct load_result){.concurrency = plan->concurrency};
    struct fleet fleet = {.target = target, .plan = plan, .result = ret};
    uint32_t n = PL_MIN(plan->concurrency, plan->n_requests);
    fleet.streams = calloc(n, sizeof *fleet.streams);
    if (fleet.streams == NULL)
        return pl_error_set(err, PL_ENOMEM, "no memory for %u streams", n);
    int64_t start_ns = clock_now_ns();
    for (uint32_t i = 0; i < n; i++) {
        fleet.streams[i].fleet = &fleet;
        begin_next(&fleet.streams[i]);
    }
    enum pl_status status = PL_OK;
    if (fleet.n_over < fleet.n_begun)
        status = http_loop_run(target->loop, err);
    ret->wall_s = (double)(clock_now_ns() - start_ns) / CLOCK_NS_PER_S;
    free(fleet.streams);
    return status;
}

void load_result_deinit(struct load_result *result)
{
    samples_deinit(&result->ttft_s);
    samples_deinit(&result->gap_s);
    samples_deinit(&result->total_s);
}
