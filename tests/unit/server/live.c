/* See live.h. */
#include "test.h"

#include <pthread.h>

#include "base/buf.h"
#include "live.h"

#include <arpa/inet.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine.h"
#include "base/banned.h"

static void *run(void *user)
{
    struct live *live = user;
    struct pl_error err = {0};
    if (http_loop_run(live->loop, &err) != PL_OK)
        abort();
    return NULL;
}

static void must(enum pl_status status, const struct pl_error *err)
{
    if (status != PL_OK)
        fail_msg("%s", err->msg);
}

void live_open(struct live *live, struct engine *engine)
{
    live_open_with(live, engine, &(struct server_options){.chat_template = NULL}, "127.0.0.1:0");
}

void live_open_with(struct live *live, struct engine *engine, const struct server_options *with,
                    const char *address)
{
    static const char *const NAMES[] = {"fake", "alias"};
    struct pl_error err = {0};
    struct server_options options = *with;
    options.names = NAMES;
    options.n_names = 2;
    struct http_server_options http = {.half_close = false};
    *live = (struct live){.engine = engine};
    if (strncmp(address, "unix:", 5) == 0)
        live->unix_path = address + 5;
    must(http_loop_open(&live->loop, &err), &err);
    must(server_open(live->loop, &options, &live->server, &err), &err);
    server_http_options(live->server, &http);
    must(http_server_open(live->loop, &http, &live->http, &err), &err);
    must(http_server_listen(live->http, address, &err), &err);
    if (engine != NULL)
        must(server_ready(live->server, engine, &err), &err);
    assert_int_equal(pthread_create(&live->thread, NULL, run, live), 0);
}

void live_close(struct live *live)
{
    http_loop_stop(live->loop);
    (void)pthread_join(live->thread, NULL);
    http_server_close(live->http);
    server_stop(live->server);
    engine_close(live->engine);
    server_close(live->server);
    http_loop_close(live->loop);
}

struct job {
    struct live *live;
    void (*fn)(struct live *live);
    sem_t done;
};

static void run_job(void *user)
{
    struct job *job = user;
    job->fn(job->live);
    (void)sem_post(&job->done);
}

void live_on_loop(struct live *live, void (*fn)(struct live *live))
{
    struct job job = {.live = live, .fn = fn};
    struct http_task task = {.fn = run_job, .user = &job};
    (void)sem_init(&job.done, 0, 0);
    http_loop_post(live->loop, &task);
    (void)sem_wait(&job.done);
    (void)sem_destroy(&job.done);
}

/* ---- client ------------------------------------------------------------------------------------------ */

static int connect_tcp(const struct live *live)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(http_server_port(live->http)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static int connect_unix(const struct live *live)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", live->unix_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void send_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);
        assert_true(sent > 0);
        text += sent;
        n -= (size_t)sent;
    }
}

int live_send(struct live *live, const char *method, const char *path, const char *headers,
              const char *body)
{
    int fd = live->unix_path != NULL ? connect_unix(live) : connect_tcp(live);
    struct timeval limit = {.tv_sec = 20};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    size_t n = strlen(body), room = n + strlen(headers) + 512;
    char *text = malloc(room);
    assert_non_null(text);
    int length = snprintf(text, room,
                          "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s"
                          "Content-Length: %zu\r\n\r\n%s",
                          method, path, headers, n, body);
    send_all(fd, text, (size_t)length);
    free(text);
    return fd;
}

/* Chunked coding undone in place. */
static void join_chunks(char *body)
{
    char *to = body;
    for (char *from = body;;) {
        char *end = NULL;
        unsigned long n = strtoul(from, &end, 16);
        if (end == from || n == 0)
            break;
        from = end + 2;
        if (strlen(from) < n)
            n = strlen(from); /* cut off */
        memmove(to, from, n);
        to += n;
        from += n;
        if (*from == '\0')
            break;
        from += 2;
    }
    *to = '\0';
}

struct reply live_read(int fd)
{
    struct buf all;
    buf_init(&all, 0);
    for (;;) {
        char part[65536];
        ssize_t n = recv(fd, part, sizeof part, 0);
        if (n <= 0)
            break;
        buf_append(&all, part, (size_t)n);
    }
    (void)close(fd);
    struct reply reply = {.text = buf_take(&all)};
    reply.body = strstr(reply.text, "\r\n\r\n");
    if (reply.body == NULL) {
        reply.body = reply.text + strlen(reply.text);
        return reply;
    }
    reply.body += 4;
    reply.status = (int)strtoul(reply.text + 9, NULL, 10);
    reply.body[-2] = '\0'; /* the head is a string of its own */
    if (strcasestr(reply.text, "transfer-encoding: chunked") != NULL)
        join_chunks(reply.body);
    return reply;
}

struct reply live_ask(struct live *live, const char *method, const char *path, const char *body)
{
    return live_read(live_send(live, method, path, "", body));
}

void reply_free(struct reply *reply)
{
    free(reply->text);
    *reply = (struct reply){0};
}

/* ---- JSON ---------------------------------------------------------------------------------------------- */

struct json_object *reply_json(const struct reply *reply)
{
    struct json_object *json = json_tokener_parse(reply->body);
    if (json == NULL)
        fail_msg("not JSON: %s", reply->body);
    return json;
}

int reply_events(const struct reply *reply, char **ret, int max)
{
    int n = 0;
    for (char *at = reply->body; *at != '\0' && n < max;) {
        if (strncmp(at, "data: ", 6) != 0)
            fail_msg("not an event: %.80s", at);
        ret[n++] = at + 6;
        char *end = strstr(at, "\n\n");
        if (end == NULL) {
            fail_msg("an event without its end: %.80s", at);
            return n;
        }
        *end = '\0';
        at = end + 2;
    }
    return n;
}

const char *json_at(struct json_object *json, const char *path)
{
    while (*path != '\0') {
        char key[64];
        size_t n = strcspn(path, ".");
        (void)snprintf(key, sizeof key, "%.*s", (int)n, path);
        path += n + (path[n] == '.');
        if (json_object_is_type(json, json_type_array))
            json = json_object_array_get_idx(json, strtoul(key, NULL, 10));
        else if (!json_object_object_get_ex(json, key, &json))
            return "";
    }
    return json != NULL ? json_object_get_string(json) : "null";
}
