/*
 * base/parse.h - whole strings to numbers, with ranges; what strtol and atoi get wrong.
 *
 * Each accepts exactly the text given (no blanks, no tail), decimal only, and returns false, leaving
 * *ret alone, for anything else or a value outside [min, max].  Source: ours.
 */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include <polder/base.h>

PL_NODISCARD bool parse_i64(const char *text, int64_t min, int64_t max, int64_t *ret);
PL_NODISCARD bool parse_u64_n(const char *text, size_t n, uint64_t max, uint64_t *ret);
PL_NODISCARD bool parse_f64(const char *text, double min, double max, double *ret);

/* "512", "64K", "1M", "2G" (binary): bytes. */
PL_NODISCARD bool parse_bytes(const char *text, uint64_t max, uint64_t *ret);

#endif
