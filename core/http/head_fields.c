/* See head.h: what the lines of a head mean, and which combinations are refused. */
#include "head.h"

#include <string.h>

#include "chars.h"

#include "base/banned.h"

#define LENGTH_DIGITS_MAX 18 /* fits an int64_t */

/* ---- the target ------------------------------------------------------------------------------ */

static bool percent_encoding_valid(struct http_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.data[i] != '%')
            continue;
        if (s.n - i < 3 || !http_char_is(s.data[i + 1], HTTP_CHAR_HEX) ||
            !http_char_is(s.data[i + 2], HTTP_CHAR_HEX))
            return false;
        i += 2;
    }
    return true;
}

/* Bytes of the host part of "host[:port]": an IP literal in brackets, or a name. */
static size_t host_part(struct http_slice s)
{
    size_t n = 0;
    if (s.n > 0 && s.data[0] == '[') {
        for (n = 1; n < s.n && s.data[n] != ']'; n++)
            if (!http_char_is(s.data[n], HTTP_CHAR_HEX) && s.data[n] != ':' && s.data[n] != '.')
                return 0;
        return n < s.n && n > 1 ? n + 1 : 0;
    }
    while (n < s.n && http_char_is(s.data[n], HTTP_CHAR_HOST))
        n++;
    return n;
}

static bool host_valid(struct http_slice s)
{
    if (s.n == 0)
        return true; /* RFC 9110 section 7.2: sent for a target without authority */
    size_t n = host_part(s);
    if (n == 0 || !percent_encoding_valid((struct http_slice){.data = s.data, .n = n}))
        return false;
    if (n == s.n)
        return true;
    if (s.data[n++] != ':')
        return false;
    while (n < s.n && http_char_is_digit(s.data[n]))
        n++;
    return n == s.n;
}

/* Bytes of "http://" or "https://" in front of an absolute target; 0 if there is none. */
static uint32_t scheme_bytes(struct http_slice target)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < PL_ARRAY_LEN(schemes); i++) {
        size_t n = strlen(schemes[i]);
        struct http_slice start = {.data = target.data, .n = PL_MIN(n, target.n)};
        if (http_slice_is_nocase(start, schemes[i]))
            return (uint32_t)n;
    }
    return 0;
}

static void split_query(struct http_head *head, const char *data, struct http_span rest)
{
    const char *mark = memchr(data + rest.at, '?', rest.n);
    head->path = rest;
    head->query = (struct http_span){.at = rest.at + rest.n, .n = 0};
    if (mark == NULL)
        return;
    head->path.n = (uint32_t)(mark - (data + rest.at));
    head->query.at = rest.at + head->path.n + 1;
    head->query.n = rest.n - head->path.n - 1;
}

static enum http_parse absolute_target(struct http_head *head, const char *data, uint32_t skip)
{
    uint32_t end = head->target.at + head->target.n;
    uint32_t at = head->target.at + skip;
    uint32_t host_at = at;
    while (at < end && data[at] != '/' && data[at] != '?')
        at++;
    head->host = (struct http_span){.at = host_at, .n = at - host_at};
    if (head->host.n == 0 || !host_valid(http_span_slice(data, head->host)))
        return http_head_fail(head, 400, "the target's host is not valid");
    split_query(head, data, (struct http_span){.at = at, .n = end - at});
    return HTTP_PARSE_MORE;
}

enum http_parse http_head_target(struct http_head *head, const char *data)
{
    struct http_slice target = http_span_slice(data, head->target);
    struct http_slice method = http_span_slice(data, head->method);
    if (http_slice_is(method, "CONNECT"))
        return http_head_fail(head, 501, "CONNECT is not offered");
    if (!percent_encoding_valid(target))
        return http_head_fail(head, 400, "the request target has a '%' without two hex digits");
    if (target.data[0] == '/') {
        split_query(head, data, head->target);
        return HTTP_PARSE_MORE;
    }
    if (http_slice_is(target, "*") && http_slice_is(method, "OPTIONS")) {
        split_query(head, data, head->target);
        return HTTP_PARSE_MORE;
    }
    uint32_t skip = scheme_bytes(target);
    if (skip == 0)
        return http_head_fail(head, 400, "the request target does not begin with '/'");
    return absolute_target(head, data, skip);
}

/* ---- fields ---------------------------------------------------------------------------------- */

static enum http_parse on_content_length(struct http_head *head, struct http_slice value)
{
    if (head->content_length >= 0)
        return http_head_fail(head, 400, "more than one Content-Length");
    int64_t length = 0;
    size_t digits = 0;
    for (size_t i = 0; i < value.n; i++) {
        if (!http_char_is_digit(value.data[i]))
            return http_head_fail(head, 400, "Content-Length is not a plain number");
        digits += digits > 0 || value.data[i] != '0';
        if (digits > LENGTH_DIGITS_MAX)
            return http_head_fail(head, 413, "Content-Length is too large");
        length = length * 10 + (value.data[i] - '0');
    }
    if (value.n == 0)
        return http_head_fail(head, 400, "Content-Length is not a plain number");
    head->content_length = length;
    return HTTP_PARSE_MORE;
}

static enum http_parse on_transfer_encoding(struct http_head *head, struct http_slice value)
{
    if (head->te_seen)
        return http_head_fail(head, 400, "more than one Transfer-Encoding");
    head->te_seen = true;
    if (!http_slice_is_nocase(value, "chunked"))
        return http_head_fail(head, 501, "a Transfer-Encoding other than chunked");
    head->chunked = true;
    return HTTP_PARSE_MORE;
}

static enum http_parse on_host(struct http_head *head, const char *data)
{
    if (head->kind == HTTP_RESPONSE)
        return HTTP_PARSE_MORE;
    struct http_span value = head->fields[head->n_fields - 1].value;
    struct http_slice host = http_span_slice(data, value);
    if (head->host_seen)
        return http_head_fail(head, 400, "more than one Host");
    head->host_seen = true;
    if (!host_valid(host))
        return http_head_fail(head, 400, "Host is not valid");
    if (head->host.n == 0) {
        head->host = value;
        return HTTP_PARSE_MORE;
    }
    struct http_slice named = http_span_slice(data, head->host); /* by an absolute target */
    bool same = named.n == host.n;
    for (size_t i = 0; same && i < host.n; i++)
        same = (named.data[i] | 0x20) == (host.data[i] | 0x20) || named.data[i] == host.data[i];
    return same ? HTTP_PARSE_MORE
                : http_head_fail(head, 400, "Host differs from the request target's");
}

static enum http_parse on_connection(struct http_head *head, struct http_slice value)
{
    struct http_slice item;
    while (http_list_next(&value, &item)) {
        head->connection_close |= http_slice_is_nocase(item, "close");
        head->connection_keep |= http_slice_is_nocase(item, "keep-alive");
        head->connection_upgrade |= http_slice_is_nocase(item, "upgrade");
    }
    return HTTP_PARSE_MORE;
}

static enum http_parse on_expect(struct http_head *head, struct http_slice value)
{
    if (head->kind == HTTP_RESPONSE || head->version_minor == 0)
        return HTTP_PARSE_MORE;
    if (!http_slice_is_nocase(value, "100-continue"))
        return http_head_fail(head, 417, "an expectation other than 100-continue");
    head->expect_continue = true;
    return HTTP_PARSE_MORE;
}

enum http_parse http_head_field(struct http_head *head, const char *data)
{
    const struct http_field *field = &head->fields[head->n_fields - 1];
    struct http_slice name = http_span_slice(data, field->name);
    struct http_slice value = http_span_slice(data, field->value);
    switch (name.n) { /* lengths first: most fields are none of these */
    case 4: return http_slice_is_nocase(name, "host") ? on_host(head, data) : HTTP_PARSE_MORE;
    case 6: return http_slice_is_nocase(name, "expect") ? on_expect(head, value) : HTTP_PARSE_MORE;
    case 7: head->upgrade |= http_slice_is_nocase(name, "upgrade"); return HTTP_PARSE_MORE;
    case 10:
        return http_slice_is_nocase(name, "connection") ? on_connection(head, value)
                                                        : HTTP_PARSE_MORE;
    case 14:
        return http_slice_is_nocase(name, "content-length") ? on_content_length(head, value)
                                                            : HTTP_PARSE_MORE;
    case 17:
        return http_slice_is_nocase(name, "transfer-encoding") ? on_transfer_encoding(head, value)
                                                               : HTTP_PARSE_MORE;
    default: return HTTP_PARSE_MORE;
    }
}

enum http_parse http_head_finish(struct http_head *head, const char *data)
{
    (void)data;
    bool request = head->kind == HTTP_REQUEST;
    if (head->te_seen && head->content_length >= 0)
        return http_head_fail(head, 400, "both Content-Length and Transfer-Encoding");
    if (head->te_seen && head->version_minor == 0)
        return http_head_fail(head, 400, "Transfer-Encoding in HTTP/1.0");
    if (request && !head->host_seen && head->version_minor > 0)
        return http_head_fail(head, 400, "no Host");
    head->upgrade = head->upgrade && head->connection_upgrade;
    head->keep_alive =
        !head->connection_close && (head->version_minor > 0 || head->connection_keep);
    return HTTP_PARSE_DONE;
}

/* ---- lookup ---------------------------------------------------------------------------------- */

const struct http_field *http_head_find(const struct http_head *head, const char *data,
                                        const char *name, const struct http_field *after)
{
    const struct http_field *field = after == NULL ? head->fields : after + 1;
    for (; field < head->fields + head->n_fields; field++)
        if (http_slice_is_nocase(http_span_slice(data, field->name), name))
            return field;
    return NULL;
}
