/*
 * fetch/transfer.h - one HTTP request and its answer, by libcurl; redirects are the caller's.
 *
 * libcurl is opened when the first transfer is (dlopen): it and the thirty libraries that it needs are not
 * mapped into a server that never fetches anything, and a machine without it runs all the rest. A build
 * without its headers has transfer_none.c instead of transfer_curl.c.
 *
 * Ownership: transfer_close frees all; a result's location is the caller's.  Threads: one owner.
 * Errors: PL_ENOTSUP where libcurl is missing, naming the package.  Source: libcurl's documentation.
 */
#ifndef FETCH_TRANSFER_H
#define FETCH_TRANSFER_H

#include <polder/status.h>

#include "answer.h"

struct transfer;

struct transfer_options {
    const char *proxy;   /* NULL: by environment (https_proxy, no_proxy, ...) */
    const char *ca_file; /* NULL: the system's certificates */
    uint32_t stall_s;    /* seconds without a byte that end a transfer */
};

struct transfer_request {
    const char *url;
    const char *token;    /* sent as a bearer's; NULL none */
    uint64_t offset;      /* > 0: asks for the bytes from here on */
    const char *if_range; /* ... if the file still has this validator; "" none */

    /* Called in this order, any number of times the last two. user is theirs. */
    bool (*on_answer)(void *user, const struct answer *answer); /* false: the body is not wanted */
    bool (*on_body)(void *user, const void *bytes, size_t n);   /* false: stop */
    bool (*on_tick)(void *user); /* every second or more often; false: stop */
    void *user;
};

enum transfer_end {
    TRANSFER_DONE,        /* an answer came, and its whole body if it was wanted */
    TRANSFER_STOPPED,     /* by on_body or on_tick */
    TRANSFER_BROKEN,      /* cut off, stalled, garbled: another try may help */
    TRANSFER_UNREACHABLE, /* no connection: no name, no route, nobody listens */
    TRANSFER_REFUSED,     /* another try will not help: a certificate, a proxy that says no */
};

struct transfer_result {
    enum transfer_end end;
    struct answer answer;  /* DONE, and what came of it otherwise; status 0: none */
    char *location;        /* of a redirect, absolute; malloc'ed, NULL none */
    int64_t retry_after_s; /* -1: not said */
    char why[160];         /* other than DONE and STOPPED */
};

PL_NODISCARD enum pl_status transfer_open(const struct transfer_options *options,
                                          struct transfer **ret, struct pl_error *err);
void transfer_close(struct transfer *t);

/* Fails for want of memory only; everything else is a result. */
PL_NODISCARD enum pl_status transfer_run(struct transfer *t, const struct transfer_request *request,
                                         struct transfer_result *ret, struct pl_error *err);

#endif
