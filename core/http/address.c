/* See address.h. */
#include "address.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

#include "base/parse.h"

#include "base/banned.h"

#define UNIX_PREFIX "unix:"

static enum pl_status bad(const char *text, const char *why, struct pl_error *err)
{
    return pl_error_set(err, PL_EINVAL, "http: address '%.100s': %s", text, why);
}

static enum pl_status parse_unix(const char *text, struct http_address *ret, struct pl_error *err)
{
    const char *path = text + strlen(UNIX_PREFIX);
    size_t n = strlen(path);
    struct http_address address = {0};
    if (n == 0)
        return bad(text, "no path", err);
    if (n >= sizeof address.socket.un.sun_path)
        return bad(text, "the path is too long for a Unix socket", err);
    address.socket.un.sun_family = AF_UNIX;
    memcpy(address.socket.un.sun_path, path, n + 1);
    address.bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    *ret = address;
    return PL_OK;
}

/* host: without brackets, n bytes. */
static bool set_host(struct http_address *address, const char *host, size_t n, bool brackets,
                     uint16_t port)
{
    char text[INET6_ADDRSTRLEN];
    if (n == 0 && !brackets) {
        host = "127.0.0.1";
        n = strlen(host);
    } else if (n == strlen("localhost") && memcmp(host, "localhost", n) == 0 && !brackets) {
        return set_host(address, "", 0, false, port);
    }
    if (n >= sizeof text)
        return false;
    memcpy(text, host, n);
    text[n] = '\0';
    *address = (struct http_address){0};
    if (brackets) {
        address->socket.v6.sin6_family = AF_INET6;
        address->socket.v6.sin6_port = htons(port);
        address->bytes = sizeof address->socket.v6;
        return inet_pton(AF_INET6, text, &address->socket.v6.sin6_addr) == 1;
    }
    address->socket.v4.sin_family = AF_INET;
    address->socket.v4.sin_port = htons(port);
    address->bytes = sizeof address->socket.v4;
    return inet_pton(AF_INET, text, &address->socket.v4.sin_addr) == 1;
}

enum pl_status http_address_parse(const char *text, struct http_address *ret, struct pl_error *err)
{
    if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
        return parse_unix(text, ret, err);
    const char *colon = strrchr(text, ':');
    int64_t port;
    if (colon == NULL || !parse_i64(colon + 1, 0, UINT16_MAX, &port))
        return bad(text, "expected HOST:PORT, [IPV6]:PORT or unix:PATH", err);
    const char *host = text;
    size_t n = (size_t)(colon - text);
    bool brackets = n >= 2 && host[0] == '[' && host[n - 1] == ']';
    if (brackets) {
        host++;
        n -= 2;
    }
    struct http_address address;
    if (!set_host(&address, host, n, brackets, (uint16_t)port))
        return bad(text, "the host is not a numeric address or 'localhost'", err);
    *ret = address;
    return PL_OK;
}

bool http_address_is_loopback(const struct http_address *address)
{
    switch (address->socket.any.sa_family) {
    case AF_UNIX: return true;
    case AF_INET: return ntohl(address->socket.v4.sin_addr.s_addr) >> 24 == 127;
    case AF_INET6: return IN6_IS_ADDR_LOOPBACK(&address->socket.v6.sin6_addr);
    default: return false;
    }
}

uint16_t http_address_port(const struct http_address *address)
{
    switch (address->socket.any.sa_family) {
    case AF_INET: return ntohs(address->socket.v4.sin_port);
    case AF_INET6: return ntohs(address->socket.v6.sin6_port);
    default: return 0;
    }
}

void http_address_format(const struct http_address *address, char ret[HTTP_ADDRESS_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = http_address_port(address);
    switch (address->socket.any.sa_family) {
    case AF_UNIX: {
        bool named = address->bytes > offsetof(struct sockaddr_un, sun_path);
        int n = named ? (int)sizeof address->socket.un.sun_path : 0;
        (void)snprintf(ret, HTTP_ADDRESS_TEXT_MAX, "unix:%.*s", n, address->socket.un.sun_path);
        return;
    }
    case AF_INET:
        (void)inet_ntop(AF_INET, &address->socket.v4.sin_addr, host, sizeof host);
        (void)snprintf(ret, HTTP_ADDRESS_TEXT_MAX, "%s:%u", host, port);
        return;
    case AF_INET6:
        (void)inet_ntop(AF_INET6, &address->socket.v6.sin6_addr, host, sizeof host);
        (void)snprintf(ret, HTTP_ADDRESS_TEXT_MAX, "[%s]:%u", host, port);
        return;
    default: (void)snprintf(ret, HTTP_ADDRESS_TEXT_MAX, "unknown"); return;
    }
}
