/*
 * See parser.h: the machine of message heads.
 *
 *   request:   START -> [EMPTY_LF] -> METHOD -> TARGET -> VERSION -> LINE_LF -> FIELD ...
 *   response:  VERSION -> STATUS -> REASON -> LINE_LF -> FIELD ...
 *   fields:    FIELD -> NAME -> BLANK -> VALUE -> VALUE_LF -> FIELD ... -> END_LF -> DONE
 *
 * Each state has one function, which takes at least one byte. Meaning is checked where a line ends, in
 * head_fields.c.
 */
#include "head.h"

#include <string.h>

#include "chars.h"

#include "base/banned.h"

enum state {
    STATE_START,
    STATE_EMPTY_LF,
    STATE_METHOD,
    STATE_TARGET,
    STATE_VERSION,
    STATE_STATUS,
    STATE_REASON,
    STATE_LINE_LF,
    STATE_FIELD,
    STATE_NAME,
    STATE_BLANK,
    STATE_VALUE,
    STATE_VALUE_LF,
    STATE_END_LF,
    STATE_DONE,
    STATE_ERROR,
};

#define VERSION_BYTES 8 /* "HTTP/1.1" */
#define STATUS_BYTES  3

enum http_parse http_head_fail(struct http_head *head, uint16_t status, const char *reason)
{
    head->state = STATE_ERROR;
    head->error_status = status;
    head->error_reason = reason;
    return HTTP_PARSE_ERROR;
}

void http_head_init(struct http_head *head, enum http_kind kind, uint32_t head_bytes_max)
{
    memset(head, 0, offsetof(struct http_head, fields)); /* n_fields = 0 guards the rest */
    head->error_status = 0;
    head->error_reason = "";
    head->pos = head->mark = 0;
    head->head_bytes_max = head_bytes_max;
    head->lines_before = 0;
    head->host_seen = head->te_seen = false;
    head->connection_close = head->connection_keep = head->connection_upgrade = false;
    head->kind = kind;
    head->content_length = -1;
    head->state = kind == HTTP_REQUEST ? STATE_START : STATE_VERSION;
}

static void enter(struct http_head *head, enum state state)
{
    head->state = (uint8_t)state;
    head->mark = head->pos;
}

static struct http_span since_mark(const struct http_head *head)
{
    return (struct http_span){.at = head->mark, .n = head->pos - head->mark};
}

/* Moves over bytes of a class; true if it met another one before the end. */
static bool skip(struct http_head *head, const char *data, uint32_t end, enum http_char_class class)
{
    uint32_t pos = head->pos;
    while (pos < end && http_char_is(data[pos], class))
        pos++;
    head->pos = pos;
    return pos < end;
}

/* ---- request line ---------------------------------------------------------------------------- */

static enum http_parse on_start(struct http_head *head, const char *data, uint32_t end)
{
    (void)end;
    if (data[head->pos] == '\r' && head->lines_before == 0) {
        head->pos++;
        head->lines_before = 1; /* RFC 9112 section 2.2: one empty line before is forgiven */
        enter(head, STATE_EMPTY_LF);
        return HTTP_PARSE_MORE;
    }
    if (!http_char_is(data[head->pos], HTTP_CHAR_TOKEN))
        return http_head_fail(head, 400, "the request does not begin with a method");
    enter(head, STATE_METHOD);
    return HTTP_PARSE_MORE;
}

static enum http_parse on_empty_lf(struct http_head *head, const char *data, uint32_t end)
{
    (void)end;
    if (data[head->pos] != '\n')
        return http_head_fail(head, 400, "CR without LF");
    head->pos++;
    enter(head, STATE_START);
    return HTTP_PARSE_MORE;
}

static enum http_parse on_method(struct http_head *head, const char *data, uint32_t end)
{
    uint32_t limit = PL_MIN(end, head->mark + HTTP_METHOD_BYTES_MAX + 1);
    bool stopped = skip(head, data, limit, HTTP_CHAR_TOKEN);
    if (head->pos - head->mark > HTTP_METHOD_BYTES_MAX)
        return http_head_fail(head, 501, "the method is too long");
    if (!stopped)
        return HTTP_PARSE_MORE;
    if (data[head->pos] != ' ')
        return http_head_fail(head, 400, "the method is not a token followed by one space");
    head->method = since_mark(head);
    head->pos++;
    enter(head, STATE_TARGET);
    return HTTP_PARSE_MORE;
}

static enum http_parse on_target(struct http_head *head, const char *data, uint32_t end)
{
    if (!skip(head, data, end, HTTP_CHAR_TARGET))
        return HTTP_PARSE_MORE;
    if (data[head->pos] != ' ' || head->pos == head->mark)
        return http_head_fail(head, 400, "the request target holds a byte that it may not");
    head->target = since_mark(head);
    head->pos++;
    enter(head, STATE_VERSION);
    return HTTP_PARSE_MORE;
}

/* ---- both: the version ----------------------------------------------------------------------- */

/* The n-th byte of "HTTP/d.d"; its end is checked by the caller. */
static enum http_parse version_byte(struct http_head *head, const char *data, uint32_t i)
{
    static const char pattern[] = "HTTP/0.0";
    char c = data[head->pos];
    bool fits = pattern[i] == '0' ? http_char_is_digit(c) : c == pattern[i];
    if (!fits)
        return http_head_fail(head, 400, "the protocol is not HTTP/1.1");
    if (i == VERSION_BYTES - 1) {
        if (data[head->pos - 2] != '1' || c > '1')
            return http_head_fail(head, 505, "the protocol version is not offered");
        head->version_minor = (uint8_t)(c - '0');
    }
    head->pos++;
    return HTTP_PARSE_MORE;
}

static enum http_parse on_version(struct http_head *head, const char *data, uint32_t end)
{
    (void)end;
    uint32_t i = head->pos - head->mark;
    if (i < VERSION_BYTES)
        return version_byte(head, data, i);
    bool request = head->kind == HTTP_REQUEST;
    if (data[head->pos] != (request ? '\r' : ' '))
        return http_head_fail(head, 400, "the version is not followed as it must be");
    head->pos++;
    enter(head, request ? STATE_LINE_LF : STATE_STATUS);
    return HTTP_PARSE_MORE;
}

/* ---- status line ----------------------------------------------------------------------------- */

static enum http_parse on_status(struct http_head *head, const char *data, uint32_t end)
{
    (void)end;
    char c = data[head->pos];
    uint32_t i = head->pos - head->mark;
    if (i < STATUS_BYTES) {
        if (!http_char_is_digit(c) || (i == 0 && (c < '1' || c > '5')))
            return http_head_fail(head, 400, "the status is not three digits, 100 to 599");
        head->status = (uint16_t)(head->status * 10 + (c - '0'));
        head->pos++;
        return HTTP_PARSE_MORE;
    }
    if (c != ' ' && c != '\r') /* some servers omit the blank before an empty reason */
        return http_head_fail(head, 400, "the status is not followed by a blank");
    head->pos += c == ' ';
    enter(head, STATE_REASON);
    return HTTP_PARSE_MORE;
}

static enum http_parse on_reason(struct http_head *head, const char *data, uint32_t end)
{
    if (!skip(head, data, end, HTTP_CHAR_VALUE))
        return HTTP_PARSE_MORE;
    if (data[head->pos] != '\r')
        return http_head_fail(head, 400, "the reason phrase holds a byte that it may not");
    head->reason = since_mark(head);
    head->pos++;
    enter(head, STATE_LINE_LF);
    return HTTP_PARSE_MORE;
}

static enum http_parse on_line_lf(struct http_head *head, const char *data, uint32_t end)
{
    (void)end;
    if (data[head->pos] != '\n')
        return http_head_fail(head, 400, "CR without LF");
    head->pos++;
    enter(head, STATE_FIELD);
    return head->kind == HTTP_REQUEST ? http_head_target(head, data) : HTTP_PARSE_MORE;
}

/* ---- fields ---------------------------------------------------------------------------------- */

static enum http_parse on_field(struct http_head *head, const char *data, uint32_t end)
{
    (void)end;
    char c = data[head->pos];
    if (c == '\r') {
        head->pos++;
        enter(head, STATE_END_LF);
        return HTTP_PARSE_MORE;
    }
    if (c == ' ' || c == '\t')
        return http_head_fail(head, 400, "a field line begins with a blank (obsolete folding)");
    if (!http_char_is(c, HTTP_CHAR_TOKEN))
        return http_head_fail(head, 400, "a field name is not a token");
    if (head->n_fields == HTTP_FIELDS_MAX)
        return http_head_fail(head, 431, "too many header fields");
    enter(head, STATE_NAME);
    return HTTP_PARSE_MORE;
}

static enum http_parse on_name(struct http_head *head, const char *data, uint32_t end)
{
    if (!skip(head, data, end, HTTP_CHAR_TOKEN))
        return HTTP_PARSE_MORE;
    char c = data[head->pos];
    if (c == ' ' || c == '\t')
        return http_head_fail(head, 400, "a blank before the colon of a field");
    if (c != ':')
        return http_head_fail(head, 400, "a field name is not a token");
    head->fields[head->n_fields].name = since_mark(head);
    head->pos++;
    enter(head, STATE_BLANK);
    return HTTP_PARSE_MORE;
}

static enum http_parse on_blank(struct http_head *head, const char *data, uint32_t end)
{
    while (head->pos < end && (data[head->pos] == ' ' || data[head->pos] == '\t'))
        head->pos++;
    if (head->pos < end)
        enter(head, STATE_VALUE);
    return HTTP_PARSE_MORE;
}

static enum http_parse on_value(struct http_head *head, const char *data, uint32_t end)
{
    if (!skip(head, data, end, HTTP_CHAR_VALUE))
        return HTTP_PARSE_MORE;
    if (data[head->pos] == '\n')
        return http_head_fail(head, 400, "LF without CR");
    if (data[head->pos] != '\r')
        return http_head_fail(head, 400, "a field value holds a control character");
    struct http_span value = since_mark(head);
    while (value.n > 0 &&
           (data[value.at + value.n - 1] == ' ' || data[value.at + value.n - 1] == '\t'))
        value.n--;
    head->fields[head->n_fields].value = value;
    head->pos++;
    enter(head, STATE_VALUE_LF);
    return HTTP_PARSE_MORE;
}

static enum http_parse on_value_lf(struct http_head *head, const char *data, uint32_t end)
{
    (void)end;
    if (data[head->pos] != '\n')
        return http_head_fail(head, 400, "CR without LF");
    head->pos++;
    head->n_fields++;
    enter(head, STATE_FIELD);
    return http_head_field(head, data);
}

static enum http_parse on_end_lf(struct http_head *head, const char *data, uint32_t end)
{
    (void)end;
    if (data[head->pos] != '\n')
        return http_head_fail(head, 400, "CR without LF");
    head->pos++;
    enum http_parse parse = http_head_finish(head, data);
    if (parse == HTTP_PARSE_DONE) {
        head->head_bytes = head->pos;
        enter(head, STATE_DONE);
    }
    return parse;
}

typedef enum http_parse step_fn(struct http_head *head, const char *data, uint32_t end);

static step_fn *const steps[] = {
    [STATE_START] = on_start,       [STATE_EMPTY_LF] = on_empty_lf, [STATE_METHOD] = on_method,
    [STATE_TARGET] = on_target,     [STATE_VERSION] = on_version,   [STATE_STATUS] = on_status,
    [STATE_REASON] = on_reason,     [STATE_LINE_LF] = on_line_lf,   [STATE_FIELD] = on_field,
    [STATE_NAME] = on_name,         [STATE_BLANK] = on_blank,       [STATE_VALUE] = on_value,
    [STATE_VALUE_LF] = on_value_lf, [STATE_END_LF] = on_end_lf,
};

enum http_parse http_head_feed(struct http_head *head, const char *data, size_t n)
{
    if (head->state == STATE_DONE)
        return HTTP_PARSE_DONE;
    if (head->state == STATE_ERROR)
        return HTTP_PARSE_ERROR;
    uint32_t end = (uint32_t)PL_MIN(n, (size_t)head->head_bytes_max);
    while (head->pos < end) {
        enum http_parse parse = steps[head->state](head, data, end);
        if (parse != HTTP_PARSE_MORE)
            return parse;
    }
    if (n < head->head_bytes_max)
        return HTTP_PARSE_MORE;
    if (head->state == STATE_TARGET)
        return http_head_fail(head, 414, "the request target is too long");
    return http_head_fail(head, 431, "the header section is too large");
}
