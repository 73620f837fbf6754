/* See http_rig.h. */
#include "http_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/check.h"

#include "base/banned.h"

/* ---- handler --------------------------------------------------------------------------------- */

static const char hello[] = "hello";
static char flood_piece[16384];

struct parked {
    struct rig *rig;
    struct http_exchange *x;
    struct http_timer timer;
};

static void respond_hello(struct http_exchange *x)
{
    struct http_reply reply = {
        .status = 200, .content_type = "text/plain", .body = hello, .body_bytes = sizeof hello - 1};
    http_respond(x, &reply);
}

static void on_close(void *user)
{
    struct parked *parked = user;
    http_timer_cancel(parked->rig->loop, &parked->timer);
    atomic_fetch_add(&parked->rig->closed, 1);
    free(parked);
}

static void on_later(void *user)
{
    struct parked *parked = user;
    respond_hello(parked->x);
    free(parked);
}

static struct parked *park(struct rig *rig, struct http_exchange *x)
{
    struct parked *parked = calloc(1, sizeof *parked);
    PL_CHECK(parked != NULL);
    parked->rig = rig;
    parked->x = x;
    parked->timer.fn = on_later;
    parked->timer.user = parked;
    http_exchange_on_close(x, on_close, parked);
    return parked;
}

static void flood(struct rig *rig, struct http_exchange *x)
{
    enum pl_status status = PL_OK;
    (void)park(rig, x);
    struct http_reply reply = {.status = 200, .content_type = "text/plain"};
    PL_CHECK(http_stream_begin(x, &reply) == PL_OK);
    for (int i = 0; i < 100000 && status == PL_OK; i++)
        status = http_stream_write(x, flood_piece, sizeof flood_piece);
    PL_CHECK(http_stream_write(x, flood_piece, 1) == status);
    atomic_store(&rig->flood_status, status);
}

static void big(struct http_exchange *x)
{
    char *body = malloc(RIG_BIG_BYTES);
    PL_CHECK(body != NULL);
    for (size_t i = 0; i < RIG_BIG_BYTES; i++)
        body[i] = (char)('a' + i % 23);
    http_respond_json(x, 200, body, RIG_BIG_BYTES);
    free(body);
}

static void stream(struct http_exchange *x)
{
    PL_CHECK(http_sse_begin(x, NULL, 0) == PL_OK);
    PL_CHECK(http_exchange_path(x).n == 0); /* released */
    if (http_sse_write(x, "one", 3) != PL_OK || http_sse_comment(x, "ping") != PL_OK ||
        http_sse_write(x, "two\nlines", 9) != PL_OK)
        http_stream_abort(x);
    else
        http_stream_end(x);
}

static void bad(struct http_exchange *x)
{
    static const struct http_header header = {"X-A", "a\r\nX-B: b"};
    struct http_reply reply = {.status = 200, .headers = &header, .n_headers = 1};
    http_respond(x, &reply);
}

static void on_request(void *user, struct http_exchange *x)
{
    struct rig *rig = user;
    atomic_fetch_add(&rig->requests, 1);
    struct http_slice path = http_exchange_path(x);
    struct http_slice body = http_exchange_body(x);
    if (http_slice_is(path, "/len"))
        respond_hello(x);
    else if (http_slice_is(path, "/echo"))
        http_respond_json(x, 200, body.data, body.n);
    else if (http_slice_is(path, "/later"))
        http_timer_arm_ms(rig->loop, &park(rig, x)->timer, 20);
    else if (http_slice_is(path, "/hang"))
        (void)park(rig, x);
    else if (http_slice_is(path, "/stream"))
        stream(x);
    else if (http_slice_is(path, "/flood"))
        flood(rig, x);
    else if (http_slice_is(path, "/big"))
        big(x);
    else if (http_slice_is(path, "/bad"))
        bad(x);
    else
        http_respond_failure(x, &(struct http_failure){.status = 404, .message = "no such path"});
}

static void on_headers(void *user, struct http_exchange *x)
{
    (void)user;
    struct http_slice value;
    if (http_exchange_header(x, "x-refuse", &value))
        http_respond_failure(x, &(struct http_failure){.status = 401, .message = "refused"});
}

/* ---- life ------------------------------------------------------------------------------------ */

static void *run(void *user)
{
    struct rig *rig = user;
    PL_CHECK(http_loop_run(rig->loop, NULL) == PL_OK);
    return NULL;
}

void rig_start(struct rig *rig, const struct http_server_options *options, const char *listen)
{
    struct pl_error err = {.msg = ""};
    struct http_server_options all = *options;
    memset(rig, 0, sizeof *rig);
    all.on_request = on_request;
    all.on_headers = on_headers;
    all.user = rig;
    bool up =
        http_loop_open(&rig->loop, &err) == PL_OK &&
        http_server_open(rig->loop, &all, &rig->server, &err) == PL_OK &&
        http_server_listen(rig->server, listen != NULL ? listen : "127.0.0.1:0", &err) == PL_OK;
    if (!up)
        fprintf(stderr, "rig: %s\n", err.msg);
    PL_CHECK(up);
    rig->port = http_server_port(rig->server);
    PL_CHECK(pthread_create(&rig->thread, NULL, run, rig) == 0);
}

void rig_stop(struct rig *rig)
{
    http_loop_stop(rig->loop);
    pthread_join(rig->thread, NULL);
    http_server_close(rig->server);
    http_loop_close(rig->loop);
}

static void on_drained(void *user)
{
    struct rig *rig = user;
    atomic_store(&rig->drained, 1);
}

static void start_drain(void *user)
{
    struct rig *rig = user;
    http_server_drain(rig->server, on_drained, rig);
}

void rig_drain(struct rig *rig)
{
    rig->drain = (struct http_task){.fn = start_drain, .user = rig};
    http_loop_post(rig->loop, &rig->drain);
}

/* ---- sockets --------------------------------------------------------------------------------- */

int rig_connect(const struct rig *rig)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(rig->port)};
    struct timeval patience = {.tv_sec = 5};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    PL_CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
    PL_CHECK(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    return fd;
}

void rig_send(int fd, const char *text)
{
    size_t n = strlen(text);
    while (n > 0) {
        ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* closed by the server: the reader finds out */
        text += sent;
        n -= (size_t)sent;
    }
}

static bool read_some(int fd, struct buf *ret)
{
    char piece[65536];
    ssize_t n = recv(fd, piece, sizeof piece, 0);
    if (n <= 0)
        return false;
    buf_append(ret, piece, (size_t)n);
    return true;
}

void rig_read_all(int fd, struct buf *ret)
{
    buf_append(ret, "", 0);
    while (read_some(fd, ret))
        continue;
}

bool rig_read_until(int fd, const char *text, struct buf *ret)
{
    buf_append(ret, "", 0);
    while (strstr(ret->data, text) == NULL)
        if (!read_some(fd, ret))
            return false;
    return true;
}

void rig_talk(const struct rig *rig, const char *text, struct buf *ret)
{
    int fd = rig_connect(rig);
    rig_send(fd, text);
    rig_read_all(fd, ret);
    close(fd);
}

bool rig_wait(const atomic_int *value, int want)
{
    for (int i = 0; i < 5000 && atomic_load(value) != want; i++)
        usleep(1000);
    return atomic_load(value) == want;
}

size_t rig_count(const char *haystack, const char *needle)
{
    size_t n = 0;
    for (const char *at = strstr(haystack, needle); at != NULL; at = strstr(at + 1, needle))
        n++;
    return n;
}
