/*
 * server/hop.h - who a request is for, as an authenticated hop in front of this worker says.
 *
 *   x-polder-hop          the key that the worker was started with: what makes the rest believed
 *   x-polder-org          organisation: prefixes are shared within it only
 *   x-polder-tenant       account of the fair scheduler (absent: the organisation)
 *   x-polder-weight       that account's share, > 0 (absent: 1)
 *   x-polder-priority     lower goes first (absent: the body's if above 0, else 0)
 *   x-polder-deadline-ms  from arrival to the first token, else 504
 *
 * Without a hop these fields are ignored, as a client may write whatever it likes; a wrong key is refused,
 * because a gateway with a stale key would otherwise put all organisations into one. A connection of a
 * Unix socket that the operator trusts (its mode is 0600) needs no key.
 *
 * Ownership: names point into the request's head: valid until its response begins.  Threads: loop thread.
 * Errors: api_error; 401 for a wrong key, 400 for a field that an authenticated hop sends malformed or
 * twice (a hop that adds to a client's field instead of replacing it).  Limits: HOP_*.  Source: ours.
 */
#ifndef SERVER_HOP_H
#define SERVER_HOP_H

#include "api_error.h"

#include "http/server.h"

#define HOP_WEIGHT_MIN      0.001
#define HOP_WEIGHT_MAX      1000000.0
#define HOP_PRIORITY_MAX    1000000  /* and as far below 0 */
#define HOP_DEADLINE_MAX_MS 86400000 /* a day */

/* What authenticates a hop. */
struct hop_trust {
    const char *key; /* NUL-terminated, NULL: none is taken */
    bool unix_socket;
};

struct hop {
    bool trusted;
    struct http_slice org, tenant; /* empty: everybody's */
    float weight;                  /* 0: 1 */
    bool has_priority;
    int32_t priority;
    int64_t deadline_ns; /* clock_now_ns's scale; 0: none */
};

PL_NODISCARD bool hop_read(const struct hop_trust *trust, const struct http_exchange *x,
                           int64_t arrived_ns, struct hop *ret, struct api_error *error);

#endif
