/*
 * http/transport.h - how a connection moves bytes: plain sockets now, TLS by the same three functions.
 *
 * Private to the room.  Ownership: state belongs to the connection and is freed by close, which also
 * closes fd.  Threads: the loop's.
 * Errors: as read(2) and write(2): -1 with errno, EAGAIN when it would block; 0 from read is the end.
 * Source: ours; the seam follows Valkey's connection types.
 */
#ifndef HTTP_TRANSPORT_H
#define HTTP_TRANSPORT_H

#include <stddef.h>
#include <sys/types.h>

struct http_transport {
    ssize_t (*read)(void *state, int fd, void *data, size_t n);
    ssize_t (*write)(void *state, int fd, const void *data, size_t n);
    void (*close)(void *state, int fd);
};

extern const struct http_transport http_transport_plain;

#endif
