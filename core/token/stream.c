/* See token.h. Incremental detokenisation: only whole UTF-8 characters leave. */
#include "token.h"

#include <string.h>

#include "base/utf8.h"
#include "base/banned.h"

static const char replacement[] = {'\xEF', '\xBF', '\xBD'}; /* U+FFFD */

void token_stream_init(struct token_stream *stream)
{
    *stream = (struct token_stream){0};
}

/* Adds one byte to what is held; moves out what that completes or spoils. */
static size_t push_byte(struct token_stream *stream, char byte, char *out)
{
    size_t out_n = 0;
    stream->held[stream->held_n++] = byte;
    while (stream->held_n > 0) {
        uint32_t code;
        size_t bytes;
        enum utf8_result result = utf8_decode(stream->held, stream->held_n, &code, &bytes);
        if (result == UTF8_INCOMPLETE)
            break;
        if (result == UTF8_OK) {
            memcpy(out + out_n, stream->held, bytes);
            out_n += bytes;
        } else {
            memcpy(out + out_n, replacement, sizeof replacement);
            out_n += sizeof replacement;
        }
        stream->held_n -= bytes;
        memmove(stream->held, stream->held + bytes, stream->held_n);
    }
    return out_n;
}

size_t token_stream_push(struct token_stream *stream, const char *piece, size_t n, char *out)
{
    size_t out_n = 0;
    size_t at = 0;
    if (n > 0 && stream->strip_space) {
        stream->strip_space = false;
        at = piece[0] == ' ' ? 1 : 0;
    }
    for (; at < n; at++) {
        if (stream->held_n == 0 && (unsigned char)piece[at] < 0x80)
            out[out_n++] = piece[at];
        else
            out_n += push_byte(stream, piece[at], out + out_n);
    }
    return out_n;
}

size_t token_stream_end(struct token_stream *stream, char *out)
{
    size_t n = 0;
    if (stream->held_n > 0) { /* the beginning of one character: one replacement */
        memcpy(out, replacement, sizeof replacement);
        n = sizeof replacement;
    }
    stream->held_n = 0;
    return n;
}
