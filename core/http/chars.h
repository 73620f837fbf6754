/*
 * http/chars.h - character classes of the HTTP grammar, one table for parsing and for writing.
 *
 * Private to the room.  Threads: constants.  Source: RFC 9110 section 5.6.2 (token), 5.5 (field value);
 * RFC 3986 (target); a field value may hold obs-text (0x80..0xff), a target and a token may not.
 */
#ifndef HTTP_CHARS_H
#define HTTP_CHARS_H

#include <polder/base.h>

enum http_char_class {
    HTTP_CHAR_TOKEN = 1,  /* tchar */
    HTTP_CHAR_VALUE = 2,  /* VCHAR, obs-text, SP, HTAB */
    HTTP_CHAR_TARGET = 4, /* pchar, '/', '?', '[', ']' */
    HTTP_CHAR_HOST = 8,   /* reg-name and IP-literal without brackets and ':' */
    HTTP_CHAR_HEX = 16,
};

extern const uint8_t http_chars[256]; /* sets of enum http_char_class */

static inline bool http_char_is(char c, enum http_char_class class)
{
    return (http_chars[(unsigned char)c] & class) != 0;
}

/* Value of a HTTP_CHAR_HEX digit. */
static inline unsigned http_char_hex(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

static inline bool http_char_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

#endif
