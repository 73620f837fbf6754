/*
 * template/unicode.h - what Python's str knows about characters: classes and case mapping.
 *
 * Text is UTF-8. A "character" here is a lead byte with the continuation bytes behind it: a code point
 * where the text is well formed, and some unit that is copied as it is where it is not.
 *
 * Threads: pure functions.  Source: Unicode through utf8proc (PL_HAVE_UTF8PROC); without it ASCII and
 * a few ranges.
 */
#ifndef TEMPLATE_UNICODE_H
#define TEMPLATE_UNICODE_H

#include <polder/base.h>

#define TEMPLATE_NO_CODE  0xFFFFFFFFu /* an ill-formed unit: no property holds for it */
#define TEMPLATE_CASE_MAX 3           /* code points that one maps to at most */

/* Bytes of the character at s (n > 0). */
size_t template_char_bytes(const char *s, size_t n);

/* Code point at s (n > 0), TEMPLATE_NO_CODE if ill-formed; *ret_bytes as template_char_bytes. */
uint32_t template_char_code(const char *s, size_t n, size_t *ret_bytes);

/* Start of the character that ends just before s[n] (n > 0). */
size_t template_char_before(const char *s, size_t n);

/* Characters of s. */
size_t template_char_count(const char *s, size_t n);

bool template_code_is_space(uint32_t code);     /* str.isspace */
bool template_code_is_line_end(uint32_t code);  /* str.splitlines */
bool template_code_is_printable(uint32_t code); /* repr shows it as it is */
bool template_code_is_alpha(uint32_t code);
bool template_code_is_decimal(uint32_t code);
bool template_code_is_digit(uint32_t code);
bool template_code_is_numeric(uint32_t code);
bool template_code_is_lower(uint32_t code);
bool template_code_is_upper(uint32_t code); /* and title case */
bool template_code_is_cased(uint32_t code);

/* Value of a decimal digit in any script; 10 where it isn't one. */
unsigned template_code_decimal(uint32_t code);

/* Full mappings; each returns how many code points it wrote. */
size_t template_code_to_upper(uint32_t code, uint32_t ret[TEMPLATE_CASE_MAX]);
size_t template_code_to_title(uint32_t code, uint32_t ret[TEMPLATE_CASE_MAX]);
size_t template_code_to_folded(uint32_t code, uint32_t ret[TEMPLATE_CASE_MAX]); /* str.casefold */
size_t template_code_to_lower(uint32_t code, uint32_t ret[TEMPLATE_CASE_MAX]);

#endif
