/*
 * base/utf8.h - UTF-8 decoding that never reads past its input and never accepts an ill-formed byte.
 *
 * Follows the "maximal subpart" practice for replacement: each ill-formed prefix becomes one U+FFFD.
 *
 * Threads: pure functions.  Source: Unicode 15 section 3.9, table 3-7.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <polder/base.h>

#define UTF8_REPLACEMENT 0xFFFDu
#define UTF8_MAX_BYTES   4

enum utf8_result {
    UTF8_OK,         /* one code point */
    UTF8_INVALID,    /* the bytes can't begin a code point: replace them by U+FFFD */
    UTF8_INCOMPLETE, /* a valid beginning, cut off by the end of input */
};

/* Looks at the code point at the start of s (n > 0 bytes). *ret_bytes: how many bytes it, the invalid
 * part or the incomplete beginning takes (>= 1). *ret_code: the code point, or U+FFFD. */
enum utf8_result utf8_decode(const char *s, size_t n, uint32_t *ret_code, size_t *ret_bytes);

/* Writes a code point (a surrogate or a value above U+10FFFF as U+FFFD); returns the bytes, 1..4. */
size_t utf8_encode(uint32_t code, char ret[UTF8_MAX_BYTES]);

/* All of s is well-formed UTF-8. */
bool utf8_valid(const char *s, size_t n);

/* Length of the longest prefix of s that does not end inside a code point that more bytes could
 * complete: n, or n less an incomplete tail of 1..3 bytes. */
size_t utf8_complete_prefix(const char *s, size_t n);

#endif
