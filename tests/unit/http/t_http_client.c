/*
 * t_http_client.c - the client against the room's own server, against a server that says what a row tells it
 * to, and with every allocation failing once.
 */
#include "http/client.h"
#include "http/server.h"

#include "base/buf.h"
#include "base/check.h"
#include "fault.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/banned.h"

#define BIG (300u << 10)

static struct http_loop *loop;
static struct http_client *client;
static struct http_server *server;
static char address[64];
static int n_connections;

/* ---- one call -------------------------------------------------------------------------------- */

struct result {
    int heads, dones, status;
    enum pl_status code;
    char message[256];
    struct buf body;
    struct http_call *call;
    bool cancel_in_head, cancel_in_body, pause;
    struct http_timer timer;
};

static void on_head(void *user, const struct http_answer *answer)
{
    struct result *r = user;
    struct http_slice date;
    r->heads++;
    r->status = answer->status;
    (void)http_answer_header(answer, "date", &date);
    if (r->cancel_in_head) {
        http_call_cancel(r->call);
        http_loop_stop(loop);
    }
}

static void on_resume(void *user)
{
    struct result *r = user;
    r->pause = false;
    http_call_resume(r->call);
}

static void on_body(void *user, const char *data, size_t n)
{
    struct result *r = user;
    buf_append(&r->body, data, n);
    if (r->cancel_in_body) {
        http_call_cancel(r->call);
        http_loop_stop(loop);
    } else if (r->pause) {
        http_call_pause(r->call);
        r->timer = (struct http_timer){.fn = on_resume, .user = r};
        http_timer_arm_ms(loop, &r->timer, 30);
    }
}

static void on_done(void *user, enum pl_status status, const char *message)
{
    struct result *r = user;
    http_timer_cancel(loop, &r->timer);
    r->dones++;
    r->code = status;
    (void)snprintf(r->message, sizeof r->message, "%s", message);
    http_loop_stop(loop);
}

/* Runs one call to its end; returns false if it could not begin. */
static bool call(struct result *r, struct http_call_options options)
{
    buf_init(&r->body, 0);
    if (options.address == NULL)
        options.address = address;
    options.on_head = on_head;
    options.on_body = on_body;
    options.on_done = on_done;
    options.user = r;
    if (http_call_begin(client, &options, &r->call, NULL) != PL_OK)
        return false;
    PL_CHECK(r->dones == 0);
    PL_CHECK(http_loop_run(loop, NULL) == PL_OK);
    return true;
}

/* ---- our server ------------------------------------------------------------------------------ */

static void on_request(void *user, struct http_exchange *x)
{
    (void)user;
    struct http_slice body = http_exchange_body(x);
    if (http_exchange_is(x, "GET", "/stream")) {
        if (http_sse_begin(x, NULL, 0) != PL_OK || http_sse_write(x, "one", 3) != PL_OK) {
            http_stream_abort(x);
            return;
        }
        http_stream_end(x);
    } else if (http_exchange_is(x, "GET", "/abort")) {
        struct http_reply reply = {.status = 200};
        if (http_stream_begin(x, &reply) == PL_OK)
            (void)(http_stream_write(x, "part", 4) == PL_OK);
        http_stream_abort(x);
    } else if (!http_exchange_is(x, "GET", "/hang")) {
        http_respond_json(x, 200, body.data, body.n);
    }
}

static int start(void **state)
{
    (void)state;
    static const struct http_server_options options = {.on_request = on_request};
    PL_CHECK(http_loop_open(&loop, NULL) == PL_OK);
    PL_CHECK(http_server_open(loop, &options, &server, NULL) == PL_OK);
    PL_CHECK(http_server_listen(server, "127.0.0.1:0", NULL) == PL_OK);
    PL_CHECK(http_client_open(loop, NULL, &client, NULL) == PL_OK);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", http_server_port(server));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    http_client_close(client);
    http_server_close(server);
    http_loop_close(loop);
    return 0;
}

static void calls_and_reuses(void **state)
{
    (void)state;
    char *big = malloc(BIG);
    assert_non_null(big);
    memset(big, 'x', BIG);
    struct http_server_stats before, after;
    http_server_stats(server, &before);
    for (int i = 0; i < 5; i++) {
        struct result r = {0};
        size_t n = i % 2 == 0 ? 2 : BIG;
        assert_true(
            call(&r, (struct http_call_options){.target = "/", .body = big, .body_bytes = n}));
        assert_int_equal(r.code, PL_OK);
        assert_int_equal(r.status, 200);
        assert_int_equal(r.body.len, n);
        assert_int_equal(r.heads, 1);
        buf_deinit(&r.body);
    }
    struct result r = {0};
    assert_true(call(&r, (struct http_call_options){.target = "/stream"}));
    assert_string_equal(r.body.data, "data: one\n\n");
    buf_deinit(&r.body);
    r = (struct result){0};
    assert_true(call(&r, (struct http_call_options){.target = "/x", .method = "HEAD"}));
    assert_int_equal(r.code, PL_OK);
    http_server_stats(server, &after);
    assert_int_equal(after.accepted - before.accepted, 1); /* all on one connection */
    r = (struct result){0};
    assert_true(call(&r, (struct http_call_options){.target = "/stream", .fresh = true}));
    assert_int_equal(r.code, PL_OK);
    buf_deinit(&r.body);
    free(big);
}

static void reports_broken_answers(void **state)
{
    (void)state;
    struct result r = {0};
    assert_true(call(&r, (struct http_call_options){.target = "/abort"}));
    assert_int_equal(r.code, PL_EIO);
    assert_non_null(strstr(r.message, "middle of the answer"));
    buf_deinit(&r.body);
    r = (struct result){0};
    assert_true(call(&r, (struct http_call_options){.target = "/hang", .head_timeout_ms = 50}));
    assert_int_equal(r.code, PL_ETIMEDOUT);
    assert_non_null(strstr(r.message, address));
    r = (struct result){0};
    assert_true(call(&r, (struct http_call_options){.target = "/", .address = "127.0.0.1:1"}));
    assert_int_equal(r.code, PL_EIO);
    r = (struct result){0};
    assert_true(
        call(&r, (struct http_call_options){.target = "/", .address = "unix:/nonexistent"}));
    assert_int_equal(r.code, PL_EIO);
    r = (struct result){0};
    assert_true(
        call(&r, (struct http_call_options){
                     .target = "/", .body = address, .body_bytes = 60, .answer_bytes_max = 10}));
    assert_int_equal(r.code, PL_ELIMIT);
    buf_deinit(&r.body);
}

static void refuses_bad_options(void **state)
{
    (void)state;
    static const struct http_header split = {"X", "a\r\nb"};
    const struct http_call_options rows[] = {
        {.target = NULL},
        {.target = "x"},
        {.target = "/a b"},
        {.target = "/a\r\nX: y"},
        {.target = "/", .method = "G T"},
        {.target = "/", .host = "a\r\n"},
        {.target = "/", .address = "nowhere"},
        {.target = "/", .headers = &split, .n_headers = 1},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct result r = {0};
        if (call(&r, rows[i]))
            fail_msg("row %zu was accepted", i);
    }
}

static void cancels_and_pauses(void **state)
{
    (void)state;
    char big[20000];
    memset(big, 'y', sizeof big);
    struct http_call_options options = {.target = "/", .body = big, .body_bytes = sizeof big};
    struct result r = {.cancel_in_head = true};
    assert_true(call(&r, options));
    assert_int_equal(r.dones, 0);
    r = (struct result){.cancel_in_body = true};
    assert_true(call(&r, options));
    assert_int_equal(r.dones, 0);
    buf_deinit(&r.body);
    r = (struct result){.pause = true};
    assert_true(call(&r, options));
    assert_int_equal(r.code, PL_OK);
    assert_int_equal(r.body.len, sizeof big);
    buf_deinit(&r.body);
    options.address = address;
    options.on_done = on_done;
    options.user = &r;
    assert_int_equal(http_call_begin(client, &options, &r.call, NULL), PL_OK);
    http_call_cancel(r.call); /* before it started */
}

/* ---- a server that says what it is told ------------------------------------------------------ */

struct canned { /* NOLINT(clang-analyzer-optin.performance.Padding): rows read in this order */
    const char *fact, *answer;
    enum pl_status code;
    const char *body; /* PL_OK */
    bool hold;        /* keeps the connection open */
};

static const struct canned rows[] = {
    {"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", PL_OK, "ab", true},
    {"until close", "HTTP/1.1 200 OK\r\n\r\nab", PL_OK, "ab", false},
    {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", PL_OK,
     "ab", true},
    {"interim answers first",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 "
     "x\r\n\r\n",
     PL_OK, "", true},
    {"zero length", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", PL_OK, "", true},
    {"more than the length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200", PL_OK,
     "ab", true},
    {"not HTTP", "SSH-2.0-x\r\n", PL_EFORMAT, NULL, true},
    {"both framings", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
     PL_EFORMAT, NULL, true},
    {"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n", PL_EFORMAT, NULL,
     true},
    {"unasked upgrade", "HTTP/1.1 101 x\r\n\r\n", PL_EFORMAT, NULL, true},
    {"nothing", "", PL_EIO, NULL, false},
    {"half a head", "HTTP/1.1 200 OK\r\nContent", PL_EIO, NULL, false},
    {"half a body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", PL_EIO, NULL, false},
    {"half a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", PL_EIO, NULL,
     false},
    {"silence", "", PL_ETIMEDOUT, NULL, true},
    {"silence in the body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", PL_ETIMEDOUT, NULL,
     true},
};

struct teller {
    const struct canned *row;
    int listen_fd, fd;
    struct http_io accept_io, io;
};

static void on_teller_request(void *user, uint32_t events)
{
    (void)events;
    struct teller *t = user;
    char request[4096];
    ssize_t n = recv(t->fd, request, sizeof request, 0);
    http_io_unwatch(loop, &t->io);
    if (n > 0)
        n = send(t->fd, t->row->answer, strlen(t->row->answer), MSG_NOSIGNAL);
    PL_CHECK(n >= 0);
    if (!t->row->hold) {
        close(t->fd);
        t->fd = -1;
    }
}

static void on_teller_accept(void *user, uint32_t events)
{
    (void)events;
    struct teller *t = user;
    if (t->fd >= 0)
        close(t->fd);
    t->fd = accept4(t->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    PL_CHECK(t->fd >= 0);
    n_connections++;
    PL_CHECK(http_io_watch(loop, &t->io, t->fd, EPOLLIN, NULL) == PL_OK);
}

static int check_canned(const struct canned *row)
{
    struct teller t = {.row = row, .fd = -1};
    struct http_address at;
    char text[HTTP_ADDRESS_TEXT_MAX];
    PL_CHECK(http_address_parse("127.0.0.1:0", &at, NULL) == PL_OK);
    t.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    PL_CHECK(bind(t.listen_fd, &at.socket.any, at.bytes) == 0 && listen(t.listen_fd, 4) == 0);
    PL_CHECK(getsockname(t.listen_fd, &at.socket.any, &at.bytes) == 0);
    http_address_format(&at, text);
    t.accept_io = (struct http_io){.fn = on_teller_accept, .user = &t};
    t.io = (struct http_io){.fn = on_teller_request, .user = &t};
    PL_CHECK(http_io_watch(loop, &t.accept_io, t.listen_fd, EPOLLIN, NULL) == PL_OK);
    struct result r = {0};
    const struct http_call_options options = {
        .address = text, .target = "/", .head_timeout_ms = 100, .gap_timeout_ms = 100};
    bool begun = call(&r, options);
    bool right = begun && r.code == row->code && r.dones == 1 &&
                 (row->body == NULL ||
                  (r.body.len == strlen(row->body) &&
                   memcmp(r.body.data != NULL ? r.body.data : "", row->body, r.body.len) == 0));
    if (!right)
        print_error("%s: got %d '%s', want %d\n", row->fact, (int)r.code, r.message,
                    (int)row->code);
    buf_deinit(&r.body);
    http_io_unwatch(loop, &t.accept_io);
    http_io_unwatch(loop, &t.io);
    close(t.listen_fd);
    if (t.fd >= 0)
        close(t.fd);
    return !right;
}

static void judges_servers(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++)
        wrong += check_canned(&rows[i]);
    assert_int_equal(wrong, 0);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* One stream and one echo through client and server; whatever fails, the loop goes on. */
static void converse(void)
{
    struct result r = {0};
    const struct http_call_options options = {
        .target = "/stream", .head_timeout_ms = 1000, .gap_timeout_ms = 1000, .fresh = true};
    if (call(&r, options))
        assert_int_equal(r.dones, 1);
    buf_deinit(&r.body);
    r = (struct result){0};
    const struct http_call_options echo = {.target = "/",
                                           .body = "abc",
                                           .body_bytes = 3,
                                           .head_timeout_ms = 1000,
                                           .gap_timeout_ms = 1000,
                                           .fresh = true};
    if (call(&r, echo))
        assert_int_equal(r.dones, 1);
    buf_deinit(&r.body);
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    fault_fail_at(0);
    converse();
    long n = fault_count();
    assert_true(n > 10);
    for (long i = 1; i <= n; i++) {
        fault_fail_at(i);
        converse();
    }
    fault_fail_at(0);
    struct result r = {0};
    assert_true(call(&r, (struct http_call_options){.target = "/stream"}));
    assert_int_equal(r.code, PL_OK);
    buf_deinit(&r.body);
}

static void opens_or_says_why(void **state)
{
    (void)state;
    for (long i = 1; i <= 5; i++) {
        struct http_loop *l = NULL;
        struct http_server *s = NULL;
        struct http_client *c = NULL;
        const struct http_server_options options = {.on_request = on_request};
        fault_fail_at(i);
        if (http_loop_open(&l, NULL) == PL_OK && http_server_open(l, &options, &s, NULL) == PL_OK &&
            http_server_listen(s, "127.0.0.1:0", NULL) == PL_OK)
            (void)(http_client_open(l, NULL, &c, NULL) == PL_OK);
        fault_fail_at(0);
        http_client_close(c);
        http_server_close(s);
        http_loop_close(l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"calls, and reuses the connection", calls_and_reuses, NULL, NULL, NULL},
        {"reports broken answers with a reason", reports_broken_answers, NULL, NULL, NULL},
        {"refuses bad options", refuses_bad_options, NULL, NULL, NULL},
        {"cancels in callbacks, pauses and resumes", cancels_and_pauses, NULL, NULL, NULL},
        {"judges servers strictly", judges_servers, NULL, NULL, NULL},
        {"survives each failing allocation", survives_lack_of_memory, NULL, NULL, NULL},
        {"opens, or says why not", opens_or_says_why, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests(tests, start, stop);
}
