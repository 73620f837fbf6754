/*
 * fetch/url.h - the URLs that a download may touch: http and https, strictly.
 *
 * The grammar is narrower than RFC 3986 on purpose, so that this parser and the library that opens the
 * connection cannot disagree about the host: no user part, no backslash, no blank or control character,
 * hosts of plain ASCII or a bracketed IPv6 address.
 *
 * Ownership: the caller's storage.  Threads: pure functions.  Errors: PL_EINVAL.
 * Limits: URL_MAX.  Source: RFC 3986, RFC 6454 section 4 (origin).
 */
#ifndef FETCH_URL_H
#define FETCH_URL_H

#include <polder/status.h>

#define URL_MAX      8192 /* bytes: signed addresses of object stores have about 2,000 */
#define URL_HOST_MAX 256

struct url {
    bool tls;                /* https */
    char host[URL_HOST_MAX]; /* lower case; IPv6 with brackets */
    uint16_t port;           /* the scheme's own where none is written */
    size_t path;             /* offset in text of what follows the authority: "", "/...", "?..." */
    char text[URL_MAX];      /* the whole, as given, less a fragment */
};

PL_NODISCARD enum pl_status url_parse(const char *text, struct url *ret, struct pl_error *err);

/* Same scheme, host and port: a secret for one may go to the other. */
bool url_same_origin(const struct url *a, const struct url *b);

/* The host is this machine by its very name: localhost, 127.x.y.z, [::1]. */
bool url_is_loopback(const struct url *url);

/* The URL without query (which may hold a signature): for messages and for the record. */
void url_shown(const struct url *url, char ret[URL_MAX]);

/* Undoes %XX in n bytes of text, for file names; what is no valid escape stays. Returns the length. */
size_t url_unescape(const char *text, size_t n, char *ret, size_t cap);

/* Appends text to out[cap] at *at, escaping all but unreserved characters (and '/', if keep_slash). False
 * where it does not fit. */
bool url_escape(const char *text, size_t n, bool keep_slash, char *out, size_t cap, size_t *at);

#endif
