/* See server.h: reading a request. */
#include "conn.h"

#include <stddef.h>
#include <string.h>

#include "base/banned.h"

static const struct http_slice nothing = {.data = "", .n = 0};

/* NULL once the response has begun. */
static const struct http_request *request_of(const struct http_exchange *x)
{
    return x->conn->req;
}

static struct http_slice span_of(const struct http_request *req, struct http_span span)
{
    return http_span_slice(req->bytes.data, span);
}

struct http_slice http_exchange_method(const struct http_exchange *x)
{
    const struct http_request *req = request_of(x);
    return req != NULL ? span_of(req, req->head.method) : nothing;
}

struct http_slice http_exchange_path(const struct http_exchange *x)
{
    const struct http_request *req = request_of(x);
    if (req == NULL)
        return nothing;
    if (req->head.path.n == 0)
        return (struct http_slice){.data = "/", .n = 1};
    return span_of(req, req->head.path);
}

struct http_slice http_exchange_query(const struct http_exchange *x)
{
    const struct http_request *req = request_of(x);
    return req != NULL ? span_of(req, req->head.query) : nothing;
}

struct http_slice http_exchange_body(const struct http_exchange *x)
{
    const struct http_request *req = request_of(x);
    if (req == NULL || x->conn->phase != HTTP_PHASE_HANDLER)
        return nothing;
    return (struct http_slice){
        .data = req->bytes.data + req->head.head_bytes,
        .n = req->bytes.len - req->head.head_bytes,
    };
}

int64_t http_exchange_body_declared(const struct http_exchange *x)
{
    const struct http_request *req = request_of(x);
    if (req == NULL)
        return 0;
    return req->head.chunked ? -1 : PL_MAX(req->head.content_length, (int64_t)0);
}

bool http_exchange_is(const struct http_exchange *x, const char *method, const char *path)
{
    return http_slice_is(http_exchange_path(x), path) &&
           http_slice_is(http_exchange_method(x), method);
}

bool http_exchange_header(const struct http_exchange *x, const char *name, struct http_slice *ret)
{
    const struct http_request *req = request_of(x);
    if (req == NULL)
        return false;
    const struct http_field *field = http_head_find(&req->head, req->bytes.data, name, NULL);
    if (field == NULL)
        return false;
    *ret = span_of(req, field->value);
    return true;
}

size_t http_exchange_n_headers(const struct http_exchange *x)
{
    const struct http_request *req = request_of(x);
    return req != NULL ? req->head.n_fields : 0;
}

void http_exchange_header_at(const struct http_exchange *x, size_t i, struct http_slice *ret_name,
                             struct http_slice *ret_value)
{
    const struct http_request *req = request_of(x);
    bool there = req != NULL && i < req->head.n_fields;
    *ret_name = there ? span_of(req, req->head.fields[i].name) : nothing;
    *ret_value = there ? span_of(req, req->head.fields[i].value) : nothing;
}

void http_exchange_peer(const struct http_exchange *x, char ret[HTTP_ADDRESS_TEXT_MAX])
{
    const struct http_conn *conn = x->conn;
    struct http_address address = {0};
    address.socket.any.sa_family = conn->peer.any.sa_family;
    if (conn->peer.any.sa_family == AF_INET)
        address.socket.v4 = conn->peer.v4;
    else if (conn->peer.any.sa_family == AF_INET6)
        address.socket.v6 = conn->peer.v6;
    http_address_format(&address, ret);
}

bool http_exchange_peer_is_unix(const struct http_exchange *x)
{
    return x->conn->peer.any.sa_family == AF_UNIX;
}

struct http_loop *http_exchange_loop(const struct http_exchange *x)
{
    return x->conn->server->loop;
}

void http_exchange_on_close(struct http_exchange *x, void (*fn)(void *user), void *user)
{
    x->on_close = fn;
    x->close_user = user;
}
