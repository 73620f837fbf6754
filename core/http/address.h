/*
 * http/address.h - where to listen or connect, as text: "127.0.0.1:8080", "[::1]:8080", "unix:/path".
 *
 * No names are looked up, so nothing here blocks; "localhost" is understood as 127.0.0.1 and an empty
 * host (":8080") means loopback too: nothing listens beyond it until told.
 *
 * Ownership: plain values.  Threads: pure functions.  Errors: PL_EINVAL naming the text.
 * Limits: a Unix path as long as sockaddr_un takes (107 bytes).  Source: RFC 3986 section 3.2.2 (brackets).
 */
#ifndef HTTP_ADDRESS_H
#define HTTP_ADDRESS_H

#include <polder/status.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#define HTTP_ADDRESS_TEXT_MAX 128 /* bytes with NUL: "unix:" and the longest path fit */

struct http_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
    } socket;
    socklen_t bytes; /* of the member in use */
};

PL_NODISCARD enum pl_status http_address_parse(const char *text, struct http_address *ret,
                                               struct pl_error *err);

/* Only this machine can reach it: 127.0.0.0/8, ::1, a Unix socket. */
bool http_address_is_loopback(const struct http_address *address);

/* The TCP port in host order; 0 for a Unix socket. */
uint16_t http_address_port(const struct http_address *address);

/* The text form, NUL-terminated; a peer without a name gives "unix:". */
void http_address_format(const struct http_address *address, char ret[HTTP_ADDRESS_TEXT_MAX]);

#endif
