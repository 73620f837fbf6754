/*
 * polder/status.h - how every fallible function reports: a status and, for people, one line.
 *
 * A function that can fail returns enum pl_status and is PL_NODISCARD; its last parameter may be a
 * caller-owned struct pl_error, which it writes only on failure and which may be NULL. ret_
 * parameters are written only on success. The message stands alone: it names the room and the
 * thing ("gguf: tensor 'blk.3.attn_q': 2 dims, expected 1"), without a line end.
 *
 * Ownership: the caller's.  Threads: no shared state.  Limits: PL_ERROR_MAX.  Source: ours.
 */
#ifndef POLDER_STATUS_H
#define POLDER_STATUS_H

#include <polder/base.h>

#include <stdarg.h>
#include <stdio.h>

/* name, value, text. Values are part of the ABI: append only, never reuse. */
#define PL_STATUS_LIST(X)                                                                          \
    X(OK, 0, "ok")                                                                                 \
    X(EINVAL, -1, "invalid argument")                                                              \
    X(ENOMEM, -2, "out of memory")                                                                 \
    X(ENOTSUP, -3, "not supported")                                                                \
    X(EIO, -4, "input/output error")                                                               \
    X(ENOENT, -5, "not found")                                                                     \
    X(EFORMAT, -6, "malformed data")                                                               \
    X(ELIMIT, -7, "limit exceeded")                                                                \
    X(EBUSY, -8, "busy")                                                                           \
    X(ECANCELED, -9, "cancelled")                                                                  \
    X(ETIMEDOUT, -10, "timed out")                                                                 \
    X(EPERM, -11, "not permitted")                                                                 \
    X(EVERSION, -12, "version mismatch")                                                           \
    X(ELOST, -13, "device lost")                                                                   \
    X(ECLOSED, -14, "closed")                                                                      \
    X(EINTERNAL, -15, "internal error")

enum pl_status {
#define PL_X(name, value, text) PL_##name = (value),
    PL_STATUS_LIST(PL_X)
#undef PL_X
};

#define PL_ERROR_MAX 256 /* one terminal line and a half; longer messages are cut with "..." */

struct pl_error {
    char msg[PL_ERROR_MAX]; /* NUL-terminated */
};

/* The status's own words, for a status that came without a message. Static storage. */
static inline const char *pl_status_text(enum pl_status status)
{
    switch (status) {
#define PL_X(name, value, text)                                                                    \
    case PL_##name: return text;
        PL_STATUS_LIST(PL_X)
#undef PL_X
    default: return "unknown status";
    }
}

/* Sets err->msg (err may be NULL) and returns status: `return pl_error_set(err, PL_EINVAL, ...)`. */
PL_PRINTF(3, 4)
static inline enum pl_status pl_error_set(struct pl_error *err, enum pl_status status,
                                          const char *fmt, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, fmt);
        int n = vsnprintf(err->msg, sizeof err->msg, fmt, args);
        va_end(args);
        if (n >= (int)sizeof err->msg) {
            err->msg[sizeof err->msg - 4] = '.';
            err->msg[sizeof err->msg - 3] = '.';
            err->msg[sizeof err->msg - 2] = '.';
        }
    }
    return status;
}

#endif
