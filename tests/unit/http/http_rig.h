/*
 * http_rig.h - a server on its own thread, and blocking sockets to talk to it: for the server's tests.
 *
 * The handler knows: /len ("hello"), /echo (the body), /later (as /len, 20 ms after), /hang (never),
 * /stream (three events), /flood (writes until refused), /big (RIG_BIG_BYTES), /bad (a field with a line
 * end). on_headers answers 401 to a request with X-Refuse.
 *
 * Threads: rig_* on the test's thread; the counters are atomic.  Failures end the program: test code.
 */
#ifndef HTTP_RIG_H
#define HTTP_RIG_H

#include "http/server.h"

#include "base/buf.h"

#include <pthread.h>
#include <stdatomic.h>

#define RIG_BIG_BYTES (4u << 20)

struct rig {
    struct http_loop *loop;
    struct http_server *server;
    pthread_t thread;
    struct http_task drain;
    uint16_t port;
    atomic_int requests, closed, drained;
    atomic_int flood_status; /* enum pl_status that ended the last flood */
};

/* options: limits; the handlers are the rig's. listen: NULL for 127.0.0.1:0. */
void rig_start(struct rig *rig, const struct http_server_options *options, const char *listen);
void rig_stop(struct rig *rig);  /* also frees */
void rig_drain(struct rig *rig); /* asks; rig->drained tells the end */

int rig_connect(const struct rig *rig);
void rig_send(int fd, const char *text);
/* Everything until the server closes, or 5 s of silence; NUL-terminated. */
void rig_read_all(int fd, struct buf *ret);
/* Until `text` has come; false if the server closes or is silent before. */
bool rig_read_until(int fd, const char *text, struct buf *ret);
/* One connection: sends text, reads until closed, closes. */
void rig_talk(const struct rig *rig, const char *text, struct buf *ret);
/* Waits at most 5 s for *value to reach want. */
bool rig_wait(const atomic_int *value, int want);
size_t rig_count(const char *haystack, const char *needle);

#endif
