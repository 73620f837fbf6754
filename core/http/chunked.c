/*
 * See parser.h: the machine of chunked bodies.
 *
 *   SIZE -> [EXT] -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *   SIZE (0) ...  -> SIZE_LF -> TRAILER -> [NAME -> VALUE -> VALUE_LF -> TRAILER] -> END_LF -> DONE
 */
#include "parser.h"

#include "chars.h"

#include "base/banned.h"

enum state {
    STATE_SIZE,
    STATE_EXT,
    STATE_SIZE_LF,
    STATE_DATA,
    STATE_DATA_CR,
    STATE_DATA_LF,
    STATE_TRAILER,
    STATE_NAME,
    STATE_VALUE,
    STATE_VALUE_LF,
    STATE_END_LF,
    STATE_DONE,
    STATE_ERROR,
};

#define SIZE_DIGITS_MAX 15 /* hex digits, leading zeros included: sums stay below 2^64 */

void http_chunked_init(struct http_chunked *chunked, uint64_t body_bytes_max)
{
    *chunked = (struct http_chunked){
        .body_bytes_max = body_bytes_max,
        .error_reason = "",
        .state = STATE_SIZE,
    };
}

static enum http_parse fail(struct http_chunked *chunked, uint16_t status, const char *reason)
{
    chunked->state = STATE_ERROR;
    chunked->error_status = status;
    chunked->error_reason = reason;
    return HTTP_PARSE_ERROR;
}

static enum http_parse go(struct http_chunked *chunked, enum state state)
{
    chunked->state = (uint8_t)state;
    return HTTP_PARSE_MORE;
}

static enum http_parse on_size(struct http_chunked *chunked, char c)
{
    if (http_char_is(c, HTTP_CHAR_HEX)) {
        if (chunked->digits == SIZE_DIGITS_MAX)
            return fail(chunked, 413, "a chunk size has too many digits");
        chunked->digits++;
        chunked->left = chunked->left * 16 + http_char_hex(c);
        return HTTP_PARSE_MORE;
    }
    if (chunked->digits == 0 || (c != ';' && c != '\r'))
        return fail(chunked, 400, "a chunk size is not a hexadecimal number");
    if (chunked->left > chunked->body_bytes_max - chunked->body_bytes)
        return fail(chunked, 413, "the body is too large");
    chunked->body_bytes += chunked->left;
    return go(chunked, c == ';' ? STATE_EXT : STATE_SIZE_LF);
}

static enum http_parse on_ext(struct http_chunked *chunked, char c)
{
    if (c == '\r')
        return go(chunked, STATE_SIZE_LF);
    if (!http_char_is(c, HTTP_CHAR_VALUE))
        return fail(chunked, 400, "a chunk extension holds a control character");
    if (++chunked->ext_bytes > HTTP_CHUNK_EXT_BYTES_MAX)
        return fail(chunked, 400, "the chunk extensions are too long");
    return HTTP_PARSE_MORE;
}

/* LF must follow CR; then `next`. */
static enum http_parse on_lf(struct http_chunked *chunked, char c, enum state next)
{
    if (c != '\n')
        return fail(chunked, 400, "CR without LF in a chunked body");
    return go(chunked, next);
}

static enum http_parse on_size_lf(struct http_chunked *chunked, char c)
{
    chunked->digits = 0;
    return on_lf(chunked, c, chunked->left > 0 ? STATE_DATA : STATE_TRAILER);
}

static enum http_parse on_data_cr(struct http_chunked *chunked, char c)
{
    if (c != '\r')
        return fail(chunked, 400, "a chunk is longer than its size");
    return go(chunked, STATE_DATA_LF);
}

static enum http_parse on_trailer(struct http_chunked *chunked, char c)
{
    if (chunked->state == STATE_TRAILER && c == '\r')
        return go(chunked, STATE_END_LF);
    if (++chunked->trailer_bytes > HTTP_TRAILER_BYTES_MAX)
        return fail(chunked, 431, "the trailer section is too large");
    if (chunked->state == STATE_VALUE) {
        if (c == '\r')
            return go(chunked, STATE_VALUE_LF);
        return http_char_is(c, HTTP_CHAR_VALUE)
                   ? HTTP_PARSE_MORE
                   : fail(chunked, 400, "a trailer value holds a control character");
    }
    if (chunked->state == STATE_NAME && c == ':')
        return go(chunked, STATE_VALUE);
    if (!http_char_is(c, HTTP_CHAR_TOKEN))
        return fail(chunked, 400, "a trailer name is not a token");
    return go(chunked, STATE_NAME);
}

static enum http_parse step(struct http_chunked *chunked, char c)
{
    switch ((enum state)chunked->state) {
    case STATE_SIZE: return on_size(chunked, c);
    case STATE_EXT: return on_ext(chunked, c);
    case STATE_SIZE_LF: return on_size_lf(chunked, c);
    case STATE_DATA_CR: return on_data_cr(chunked, c);
    case STATE_DATA_LF: return on_lf(chunked, c, STATE_SIZE);
    case STATE_TRAILER:
    case STATE_NAME:
    case STATE_VALUE: return on_trailer(chunked, c);
    case STATE_VALUE_LF: return on_lf(chunked, c, STATE_TRAILER);
    case STATE_END_LF:
        return on_lf(chunked, c, STATE_DONE) == HTTP_PARSE_MORE ? HTTP_PARSE_DONE
                                                                : HTTP_PARSE_ERROR;
    case STATE_DONE: return HTTP_PARSE_DONE;
    case STATE_DATA: /* taken in one piece by http_chunked_feed */
    case STATE_ERROR: break;
    }
    return HTTP_PARSE_ERROR;
}

enum http_parse http_chunked_feed(struct http_chunked *chunked, const char *data, size_t n,
                                  size_t *ret_used, struct http_slice *ret_body)
{
    *ret_used = 0;
    *ret_body = (struct http_slice){.data = data, .n = 0};
    if (chunked->state == STATE_DONE)
        return HTTP_PARSE_DONE;
    size_t used = 0;
    enum http_parse parse = HTTP_PARSE_MORE;
    while (used < n && parse == HTTP_PARSE_MORE) {
        if (chunked->state == STATE_DATA) {
            size_t piece = (size_t)PL_MIN((uint64_t)(n - used), chunked->left);
            *ret_body = (struct http_slice){.data = data + used, .n = piece};
            used += piece;
            chunked->left -= piece;
            if (chunked->left == 0)
                chunked->state = STATE_DATA_CR;
            break;
        }
        parse = step(chunked, data[used++]);
    }
    *ret_used = used;
    return parse;
}
