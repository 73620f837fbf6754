/*
 * server/api_error.h - an error as the API reports it: HTTP status and OpenAI's four fields.
 *
 * status 0 means "no error yet"; the first error stays (later ones are ignored), so that a parser may
 * read all of its fields and ask once.
 *
 * Ownership: the caller's; type and code are static strings.  Threads: one owner.
 * Limits: the message is cut with "...".  Source: OpenAI API reference, error object.
 */
#ifndef SERVER_API_ERROR_H
#define SERVER_API_ERROR_H

#include "base/buf.h"

#include <polder/status.h>

struct api_error {
    int status;             /* HTTP; 0 = none */
    const char *type;       /* "invalid_request_error", ... */
    const char *code;       /* or NULL */
    uint32_t retry_after_s; /* with 429 and 503; 0: SERVER_RETRY_AFTER_S */
    char param[96];         /* field at fault; empty = null */
    char message[512];      /* NUL-terminated */
};

/* A request at fault: 400 invalid_request_error about `param` (may be NULL). */
PL_PRINTF(3, 4)
void api_error_param(struct api_error *error, const char *param, const char *fmt, ...);

/* Any other status, with the type that belongs to it. */
PL_PRINTF(4, 5)
void api_error_set(struct api_error *error, int status, const char *code, const char *fmt, ...);

/* {"error":{"message","type","param","code"}} */
void api_error_write(const struct api_error *error, struct buf *out);

#endif
