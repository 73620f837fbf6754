/*
 * fetch/request.h - a request across redirects: where it may go, and what it may take along.
 *
 * - plain http only to this machine, or where the user allowed it; never from https down to http
 * - the token goes to the origin of the first URL alone (scheme, host and port), and never in the clear
 *   beyond this machine
 * - REQUEST_REDIRECTS_MAX redirects
 * - what an answer of the first origin says about the file behind the redirect (X-Linked-*) is kept
 *
 * Ownership: the caller's storage.  Threads: one owner.
 * Errors: PL_EPERM for a forbidden place, PL_ELIMIT for too many redirects, PL_ENOMEM.
 * Source: ours; RFC 9110 section 15.4.
 */
#ifndef FETCH_REQUEST_H
#define FETCH_REQUEST_H

#include "transfer.h"
#include "url.h"

#define REQUEST_REDIRECTS_MAX 10 /* the Hub and its stores use 1 to 3 */

struct request {
    struct transfer *transfer;
    const struct url *url;
    const char *token; /* for the URL's origin; NULL none */
    bool insecure;     /* plain http is allowed anywhere */
    uint64_t offset;   /* as in struct transfer_request */
    const char *if_range;
    /* linked: what the first origin has said (sha256, linked_size, commit); the rest of it is empty */
    bool (*on_answer)(void *user, const struct answer *answer, const struct answer *linked);
    bool (*on_body)(void *user, const void *bytes, size_t n);
    bool (*on_tick)(void *user);
    void *user;
};

/* ret->location is always NULL. */
PL_NODISCARD enum pl_status request_run(const struct request *request, struct transfer_result *ret,
                                        struct pl_error *err);

/* The URL may be asked (rule one). */
PL_NODISCARD enum pl_status request_allowed(const struct url *url, bool insecure,
                                            struct pl_error *err);

#endif
