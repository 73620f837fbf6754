/*
 * server/json_check.h - is this text exactly one JSON value by RFC 8259?
 *
 * json-c builds our trees but takes more than JSON even when told to be strict (NaN, 'single quotes',
 * raw control characters, "1."), so bodies pass here first. One pass, no allocation, no recursion.
 *
 * Threads: pure.  Limits: depth as given, <= JSON_CHECK_DEPTH_MAX.  Source: RFC 8259.
 */
#ifndef SERVER_JSON_CHECK_H
#define SERVER_JSON_CHECK_H

#include <polder/base.h>

#define JSON_CHECK_DEPTH_MAX 64

/* NULL if text is well-formed; else what was wrong (static) and *ret_at, the byte it was found at. */
const char *json_check(const char *text, size_t n, unsigned depth_max, size_t *ret_at);

#endif
