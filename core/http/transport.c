/* See transport.h: plain sockets. */
#include "transport.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/banned.h"

static ssize_t plain_read(void *state, int fd, void *data, size_t n)
{
    (void)state;
    return recv(fd, data, n, 0);
}

static ssize_t plain_write(void *state, int fd, const void *data, size_t n)
{
    (void)state;
    return send(fd, data, n, MSG_NOSIGNAL);
}

static void plain_close(void *state, int fd)
{
    (void)state;
    close(fd);
}

const struct http_transport http_transport_plain = {
    .read = plain_read,
    .write = plain_write,
    .close = plain_close,
};
