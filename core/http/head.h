/*
 * http/head.h - the seam between the head's machine (head.c) and the meaning of its lines
 * (head_fields.c).
 *
 * Private to the room.  Each returns HTTP_PARSE_MORE to go on, or what http_head_fail returned.
 * Source: RFC 9110, RFC 9112.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "parser.h"

/* Sets the error; returns HTTP_PARSE_ERROR. reason: static text. */
enum http_parse http_head_fail(struct http_head *head, uint16_t status, const char *reason);

/* The request line is complete: splits the target into host, path and query. */
enum http_parse http_head_target(struct http_head *head, const char *data);

/* Field n_fields - 1 is complete: framing, connection, host, expectation. */
enum http_parse http_head_field(struct http_head *head, const char *data);

/* The empty line is there: what only the whole head shows. HTTP_PARSE_DONE or an error. */
enum http_parse http_head_finish(struct http_head *head, const char *data);

#endif
