/* See client.h: calls, the pool of idle connections, the end of a call. */
#include "client_impl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"

#include "base/banned.h"

#define DEFAULT_HEAD_BYTES         (64u << 10)
#define DEFAULT_IDLE_MAX           64u
#define DEFAULT_IDLE_TIMEOUT_MS    30000u
#define DEFAULT_ANSWER_BYTES       (64u << 20)
#define DEFAULT_CONNECT_TIMEOUT_MS 5000u
#define DEFAULT_HEAD_TIMEOUT_MS    600000u
#define DEFAULT_GAP_TIMEOUT_MS     300000u

static void step(void *user);

/* ---- rings ----------------------------------------------------------------------------------- */

static void ring_add(struct http_link *anchor, struct http_link *link)
{
    link->next = anchor;
    link->prev = anchor->prev;
    anchor->prev->next = link;
    anchor->prev = link;
}

static void ring_remove(struct http_link *link)
{
    link->next->prev = link->prev;
    link->prev->next = link->next;
    link->next = link->prev = link;
}

/* link is the first member of both structs. */
static struct http_client_conn *conn_of(struct http_link *link)
{
    return (struct http_client_conn *)link;
}

static struct http_call *call_of(struct http_link *link)
{
    return (struct http_call *)link;
}

/* ---- client ---------------------------------------------------------------------------------- */

static uint32_t or_default(uint32_t value, uint32_t by_default)
{
    return value != 0 ? value : by_default;
}

enum pl_status http_client_open(struct http_loop *loop, const struct http_client_options *options,
                                struct http_client **ret, struct pl_error *err)
{
    struct http_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return pl_error_set(err, PL_ENOMEM, "http: no memory for a client");
    static const struct http_client_options none;
    const struct http_client_options *given = options != NULL ? options : &none;
    client->loop = loop;
    client->options.head_bytes_max = or_default(given->head_bytes_max, DEFAULT_HEAD_BYTES);
    client->options.idle_max = or_default(given->idle_max, DEFAULT_IDLE_MAX);
    client->options.idle_timeout_ms = or_default(given->idle_timeout_ms, DEFAULT_IDLE_TIMEOUT_MS);
    client->calls.next = client->calls.prev = &client->calls;
    client->idle.next = client->idle.prev = &client->idle;
    *ret = client;
    return PL_OK;
}

void http_client_conn_close(struct http_client_conn *conn)
{
    struct http_client *client = conn->client;
    if (conn->call == NULL) {
        ring_remove(&conn->link);
        client->n_idle--;
    }
    int fd = conn->io.fd;
    http_timer_cancel(client->loop, &conn->timer);
    http_io_unwatch(client->loop, &conn->io);
    close(fd);
    free(conn);
}

static void free_call(struct http_call *call)
{
    if (call->conn != NULL)
        http_client_conn_close(call->conn);
    http_loop_undefer(call->client->loop, &call->step);
    http_timer_cancel(call->client->loop, &call->timer);
    ring_remove(&call->link);
    buf_deinit(&call->request);
    buf_deinit(&call->bytes);
    free(call);
}

void http_client_close(struct http_client *client)
{
    if (client == NULL)
        return;
    struct http_link *link, *next;
    for (link = client->calls.next; link != &client->calls; link = next) {
        next = link->next;
        free_call(call_of(link));
    }
    for (link = client->idle.next; link != &client->idle; link = next) {
        next = link->next;
        http_client_conn_close(conn_of(link));
    }
    free(client);
}

/* ---- idle connections ------------------------------------------------------------------------ */

static void put_idle(struct http_client_conn *conn)
{
    struct http_client *client = conn->client;
    if (client->n_idle == client->options.idle_max)
        http_client_conn_close(conn_of(client->idle.next));
    conn->call = NULL;
    ring_add(&client->idle, &conn->link);
    client->n_idle++;
    http_io_change(client->loop, &conn->io, EPOLLIN | EPOLLRDHUP);
    http_timer_arm_ms(client->loop, &conn->timer, client->options.idle_timeout_ms);
}

/* The one that was idle for the shortest time: least likely to be closed by the server. */
static struct http_client_conn *take_idle(struct http_client *client,
                                          const struct http_address *address)
{
    struct http_link *link = client->idle.prev;
    while (link != &client->idle) {
        struct http_client_conn *conn = conn_of(link);
        if (conn->address.bytes == address->bytes &&
            memcmp(&conn->address.socket, &address->socket, address->bytes) == 0) {
            ring_remove(link);
            client->n_idle--;
            http_timer_cancel(client->loop, &conn->timer);
            return conn;
        }
        link = link->prev;
    }
    return NULL;
}

/* ---- request --------------------------------------------------------------------------------- */

static void add(struct buf *out, const char *text)
{
    buf_append(out, text, strlen(text));
}

static void add_field(struct buf *out, const char *name, const char *value)
{
    add(out, name);
    add(out, ": ");
    add(out, value);
    add(out, "\r\n");
}

static bool target_valid(const char *target)
{
    if (target[0] != '/')
        return false;
    for (const char *c = target; *c != '\0'; c++)
        if (*c <= ' ' || *c == 0x7f)
            return false;
    return true;
}

static enum pl_status check_options(const struct http_call_options *options, struct pl_error *err)
{
    if (options->on_done == NULL)
        return pl_error_set(err, PL_EINVAL, "http: a call without on_done");
    if (options->target == NULL || !target_valid(options->target))
        return pl_error_set(err, PL_EINVAL,
                            "http: a call's target must begin with '/' and hold no blank");
    if (options->method != NULL && !http_name_valid(options->method))
        return pl_error_set(err, PL_EINVAL, "http: a call's method is not a token");
    if ((options->host != NULL && !http_value_valid(options->host)) ||
        (options->content_type != NULL && !http_value_valid(options->content_type)))
        return pl_error_set(err, PL_EINVAL, "http: a call's host or content type holds a control");
    for (size_t i = 0; i < options->n_headers; i++)
        if (!http_name_valid(options->headers[i].name) ||
            !http_value_valid(options->headers[i].value))
            return pl_error_set(err, PL_EINVAL, "http: field %zu of a call is not valid", i);
    return PL_OK;
}

static void write_request(struct http_call *call, const struct http_call_options *options)
{
    struct buf *out = &call->request;
    bool body = options->body_bytes > 0;
    const char *method = options->method;
    if (method == NULL)
        method = body ? "POST" : "GET";
    call->head_only = strcmp(method, "HEAD") == 0;
    call->repeatable = call->head_only || strcmp(method, "GET") == 0;
    char address[HTTP_ADDRESS_TEXT_MAX];
    http_address_format(&call->address, address);
    bool is_unix = call->address.socket.any.sa_family == AF_UNIX;
    const char *host = options->host;
    if (host == NULL)
        host = is_unix ? "localhost" : address;
    add(out, method);
    add(out, " ");
    add(out, options->target);
    add(out, " HTTP/1.1\r\n");
    add_field(out, "Host", host);
    if (body || !call->repeatable) {
        buf_printf(out, "Content-Length: %zu\r\n", options->body_bytes);
        if (body)
            add_field(out, "Content-Type",
                      options->content_type != NULL ? options->content_type : "application/json");
    }
    if (options->fresh)
        add_field(out, "Connection", "close");
    for (size_t i = 0; i < options->n_headers; i++)
        add_field(out, options->headers[i].name, options->headers[i].value);
    add(out, "\r\n");
    buf_append(out, options->body, options->body_bytes);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void on_timer(void *user)
{
    struct http_call *call = user;
    if (call->deadline_ns == 0)
        return;
    if (call->deadline_ns > http_loop_now_ns(call->client->loop)) {
        http_timer_arm(call->client->loop, &call->timer, call->deadline_ns);
        return;
    }
    static const char *const stages[] = {
        [HTTP_CALL_CONNECT] = "timed out while connecting",
        [HTTP_CALL_SEND] = "timed out while sending the request",
        [HTTP_CALL_HEAD] = "timed out waiting for the answer",
        [HTTP_CALL_BODY] = "timed out in the middle of the answer",
        [HTTP_CALL_OVER] = "timed out",
    };
    http_call_fail(call, PL_ETIMEDOUT, stages[call->phase], "");
}

static void fill_defaults(struct http_call_options *options)
{
    if (options->answer_bytes_max == 0)
        options->answer_bytes_max = DEFAULT_ANSWER_BYTES;
    options->connect_timeout_ms =
        or_default(options->connect_timeout_ms, DEFAULT_CONNECT_TIMEOUT_MS);
    options->head_timeout_ms = or_default(options->head_timeout_ms, DEFAULT_HEAD_TIMEOUT_MS);
    options->gap_timeout_ms = or_default(options->gap_timeout_ms, DEFAULT_GAP_TIMEOUT_MS);
}

enum pl_status http_call_begin(struct http_client *client, const struct http_call_options *options,
                               struct http_call **ret, struct pl_error *err)
{
    struct http_address address;
    enum pl_status status = check_options(options, err);
    if (status == PL_OK)
        status = http_address_parse(options->address, &address, err);
    if (status != PL_OK)
        return status;
    struct http_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return pl_error_set(err, PL_ENOMEM, "http: no memory for a call");
    call->client = client;
    call->options = *options;
    fill_defaults(&call->options);
    call->address = address;
    call->step.fn = step;
    call->timer.fn = on_timer;
    call->step.user = call->timer.user = call;
    buf_init(&call->request, 0);
    buf_init(&call->bytes, 0);
    ring_add(&client->calls, &call->link);
    write_request(call, options);
    if (call->request.failed) {
        free_call(call);
        return pl_error_set(err, PL_ENOMEM, "http: no memory for a request");
    }
    http_loop_defer(client->loop, &call->step);
    *ret = call;
    return PL_OK;
}

void http_call_set_deadline(struct http_call *call, uint32_t timeout_ms)
{
    struct http_loop *loop = call->client->loop;
    call->deadline_ns = http_loop_now_ns(loop) + timeout_ms * CLOCK_NS_PER_MS;
    if (!call->timer.armed || call->timer.due_ns > call->deadline_ns)
        http_timer_arm(loop, &call->timer, call->deadline_ns);
}

static void start(struct http_call *call)
{
    struct http_client_conn *conn = NULL;
    if (!call->options.fresh && !call->reused)
        conn = take_idle(call->client, &call->address);
    call->reused = conn != NULL;
    http_head_init(&call->head, HTTP_RESPONSE, call->client->options.head_bytes_max);
    if (conn == NULL) {
        http_call_connect(call);
        return;
    }
    conn->call = call;
    call->conn = conn;
    http_call_send(call);
}

static void finish(struct http_call *call)
{
    call->depth++;
    call->options.on_done(call->options.user, call->status, call->error.msg);
    free_call(call);
}

static void step(void *user)
{
    struct http_call *call = user;
    if (call->phase == HTTP_CALL_OVER)
        finish(call);
    else
        start(call);
}

void http_call_over(struct http_call *call, enum pl_status status, bool keep)
{
    struct http_client_conn *conn = call->conn;
    call->phase = HTTP_CALL_OVER;
    call->status = status;
    call->deadline_ns = 0;
    call->conn = NULL;
    if (conn != NULL && keep)
        put_idle(conn);
    else if (conn != NULL)
        http_client_conn_close(conn);
    http_loop_defer(call->client->loop, &call->step);
}

void http_call_fail(struct http_call *call, enum pl_status status, const char *what,
                    const char *detail)
{
    char address[HTTP_ADDRESS_TEXT_MAX];
    http_address_format(&call->address, address);
    (void)pl_error_set(&call->error, status, "http: %s: %s%s%s", address, what,
                       detail[0] != '\0' ? ": " : "", detail);
    http_call_over(call, status, false);
}

bool http_call_retry(struct http_call *call)
{
    if (!call->reused || call->heard || !(call->repeatable || call->sent == 0))
        return false;
    http_client_conn_close(call->conn);
    call->conn = NULL;
    call->sent = 0;
    call->phase = HTTP_CALL_CONNECT;
    http_loop_defer(call->client->loop, &call->step); /* reused is set: start takes a fresh one */
    return true;
}

bool http_call_reap(struct http_call *call)
{
    if (!call->cancelled || call->depth > 0)
        return call->cancelled;
    free_call(call);
    return true;
}

void http_call_cancel(struct http_call *call)
{
    if (call == NULL || call->cancelled)
        return;
    if (call->depth == 0) {
        free_call(call);
        return;
    }
    if (call->phase == HTTP_CALL_OVER)
        return; /* inside on_done: it is going already */
    call->cancelled = true;
    http_call_over(call, PL_ECANCELED, false);
    http_loop_undefer(call->client->loop, &call->step);
}

void http_call_pause(struct http_call *call)
{
    call->paused = true;
    if (call->conn != NULL) {
        call->deadline_ns = 0;
        http_call_set_events(call);
    }
}

void http_call_resume(struct http_call *call)
{
    call->paused = false;
    if (call->conn != NULL) {
        http_call_set_deadline(call, call->options.gap_timeout_ms);
        http_call_set_events(call);
    }
}

bool http_answer_header(const struct http_answer *answer, const char *name, struct http_slice *ret)
{
    const struct http_field *field = http_head_find(answer->head, answer->bytes, name, NULL);
    if (field == NULL)
        return false;
    *ret = http_span_slice(answer->bytes, field->value);
    return true;
}
