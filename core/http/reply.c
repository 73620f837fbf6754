/* See server.h: whole replies, and the head of any response. */
#include "conn.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json_writer.h"

#include "base/banned.h"

static void refresh_date(struct http_server *server)
{
    int64_t now_s = clock_unix_s();
    if (now_s == server->date_s && server->date[0] != '\0')
        return;
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t t = (time_t)now_s;
    struct tm tm = {0};
    (void)gmtime_r(&t, &tm);
    unsigned day = (unsigned)tm.tm_wday % 7, month = (unsigned)tm.tm_mon % 12;
    unsigned year = (unsigned)(tm.tm_year + 1900) % 10000;
    (void)snprintf(server->date, sizeof server->date, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
                   days + (size_t)day * 3, (unsigned)tm.tm_mday % 100, months + (size_t)month * 3,
                   year, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
                   (unsigned)tm.tm_sec % 100);
    server->date_s = now_s;
}

static void add(struct buf *out, const char *text)
{
    buf_append(out, text, strlen(text));
}

static void add_field(struct buf *out, const char *name, const char *value)
{
    add(out, name);
    buf_append(out, ": ", 2);
    add(out, value);
    buf_append(out, "\r\n", 2);
}

static void add_number(struct buf *out, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_append(out, digits + at, sizeof digits - at);
}

void http_reply_write_head(struct http_server *server, struct buf *out,
                           const struct http_reply *reply, const struct http_reply_head *how)
{
    refresh_date(server);
    buf_append(out, "HTTP/1.1 ", 9);
    add_number(out, (uint64_t)reply->status);
    buf_append(out, " ", 1);
    add(out, http_status_text(reply->status));
    buf_append(out, "\r\n", 2);
    add_field(out, "Date", server->date);
    if (reply->content_type != NULL)
        add_field(out, "Content-Type", reply->content_type);
    if (how->framing == HTTP_FRAMING_LENGTH) {
        add(out, "Content-Length: ");
        add_number(out, how->body_bytes);
        buf_append(out, "\r\n", 2);
    } else if (how->framing == HTTP_FRAMING_CHUNKED) {
        add_field(out, "Transfer-Encoding", "chunked");
    }
    if (how->connection != NULL)
        add_field(out, "Connection", how->connection);
    for (size_t i = 0; i < reply->n_headers; i++)
        add_field(out, reply->headers[i].name, reply->headers[i].value);
    buf_append(out, "\r\n", 2);
}

/* ---- checks ---------------------------------------------------------------------------------- */

/* The server writes these itself. */
static bool name_reserved(const char *name)
{
    static const char *const names[] = {"content-length", "transfer-encoding", "connection", "date",
                                        "content-type",   "keep-alive",        "upgrade"};
    struct http_slice slice = {.data = name, .n = strlen(name)};
    for (size_t i = 0; i < PL_ARRAY_LEN(names); i++)
        if (http_slice_is_nocase(slice, names[i]))
            return true;
    return false;
}

bool http_reply_valid(const struct http_reply *reply)
{
    if (reply->status < 200 || reply->status > 599)
        return false;
    if (reply->content_type != NULL && !http_value_valid(reply->content_type))
        return false;
    for (size_t i = 0; i < reply->n_headers; i++) {
        const struct http_header *header = &reply->headers[i];
        if (!http_name_valid(header->name) || !http_value_valid(header->value) ||
            name_reserved(header->name))
            return false;
    }
    return true;
}

bool http_reply_keeps(const struct http_exchange *x)
{
    const struct http_conn *conn = x->conn;
    return x->keep_alive && !conn->close_after && !conn->server->draining &&
           conn->phase == HTTP_PHASE_HANDLER;
}

/* ---- replies --------------------------------------------------------------------------------- */

static bool status_has_body(int status)
{
    return status != 204 && status != 304;
}

static void respond_valid(struct http_exchange *x, const struct http_reply *reply)
{
    struct http_conn *conn = x->conn;
    bool keep = http_reply_keeps(x);
    bool body = status_has_body(reply->status);
    struct http_reply_head how = {
        .framing = body ? HTTP_FRAMING_LENGTH : HTTP_FRAMING_NONE,
        .body_bytes = reply->body_bytes,
        .connection = !keep       ? "close"
                      : x->http10 ? "keep-alive"
                                  : NULL,
    };
    http_reply_write_head(conn->server, &conn->out, reply, &how);
    if (body && !x->head_only)
        buf_append(&conn->out, reply->body, reply->body_bytes);
    if (conn->out.failed)
        http_conn_kill(conn);
    http_conn_end_exchange(conn, keep);
}

void http_respond(struct http_exchange *x, const struct http_reply *reply)
{
    static const struct http_failure broken = {
        .status = 500,
        .message = "the server made a reply that HTTP does not allow",
    };
    if (x->closing)
        return;
    if (x->conn->dead || x->streaming) /* streaming: a mistake of the handler; cut the stream */
        http_stream_abort(x);
    else if (!http_reply_valid(reply))
        http_respond_failure(x, &broken);
    else
        respond_valid(x, reply);
}

void http_respond_json(struct http_exchange *x, int status, const void *json, size_t n)
{
    struct http_reply reply = {
        .status = status,
        .content_type = "application/json",
        .body = json,
        .body_bytes = n,
    };
    http_respond(x, &reply);
}

void http_failure_write(struct buf *out, const struct http_failure *failure)
{
    const char *type = failure->type;
    if (type == NULL)
        type = failure->status < 500 ? "invalid_request_error" : "server_error";
    struct json_writer w;
    json_begin(&w, out);
    json_object(&w);
    json_key(&w, "error");
    json_object(&w);
    json_key(&w, "message");
    json_cstring(&w, failure->message);
    json_key(&w, "type");
    json_cstring(&w, type);
    json_key(&w, "param");
    json_cstring(&w, failure->param);
    json_key(&w, "code");
    json_cstring(&w, failure->code);
    json_object_end(&w);
    json_object_end(&w);
}

void http_respond_failure(struct http_exchange *x, const struct http_failure *failure)
{
    static const struct http_reply no_memory = {.status = 500};
    struct buf body;
    buf_init(&body, 0);
    http_failure_write(&body, failure);
    struct http_reply reply = {
        .status = failure->status,
        .content_type = "application/json",
        .headers = failure->headers,
        .n_headers = failure->n_headers,
        .body = body.data,
        .body_bytes = body.len,
    };
    http_respond(x, body.failed ? &no_memory : &reply);
    buf_deinit(&body);
}
