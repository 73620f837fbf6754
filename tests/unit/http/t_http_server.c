/* t_http_server.c - the server over real sockets: protocol, order, limits, refusals. */
#include "http_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/banned.h"

#define H     "Host: a\r\n"
#define CLOSE "Connection: close\r\n"

static struct rig rig;

static int start(void **state)
{
    (void)state;
    const struct http_server_options options = {
        .head_bytes_max = 2048,
        .body_bytes_max = 1000,
        .head_timeout_ms = 300,
        .body_timeout_ms = 300,
    };
    rig_start(&rig, &options, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}

/* ---- whole conversations on one connection --------------------------------------------------- */

struct talk {
    const char *fact, *send;
    const char *first; /* what the answer begins with */
    const char *has;   /* and contains; NULL: nothing */
    const char *lacks; /* and does not; NULL: nothing */
    size_t answers;    /* status lines in it */
};

static const struct talk talks[] = {
    {"answers and closes when asked", "GET /len HTTP/1.1\r\n" H CLOSE "\r\n", "HTTP/1.1 200 OK\r\n",
     "Connection: close\r\n", "keep-alive", 1},
    {"pipelined, in order, the slow one first",
     "GET /later HTTP/1.1\r\n" H "\r\nPOST /echo HTTP/1.1\r\n" H
     "Content-Length: 2\r\n\r\nabGET /none HTTP/1.1\r\n" H CLOSE "\r\n",
     "HTTP/1.1 200 OK", "abHTTP/1.1 404 Not Found", NULL, 3},
    {"chunked body",
     "POST /echo HTTP/1.1\r\n" H CLOSE "Transfer-Encoding: chunked\r\n\r\n"
     "3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: v\r\n\r\n",
     "HTTP/1.1 200", "\r\n\r\nabcde", NULL, 1},
    {"HEAD has the length and no body", "HEAD /len HTTP/1.1\r\n" H CLOSE "\r\n", "HTTP/1.1 200",
     "Content-Length: 5\r\n", "hello", 1},
    {"HEAD of a stream", "HEAD /stream HTTP/1.1\r\n" H CLOSE "\r\n", "HTTP/1.1 200",
     "text/event-stream", "data:", 1},
    {"1.0 is closed", "GET /len HTTP/1.0\r\n\r\n", "HTTP/1.1 200", "Connection: close\r\n", NULL,
     1},
    {"1.0 keep-alive is announced and kept",
     "GET /len HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /len HTTP/1.0\r\n\r\n", "HTTP/1.1 200",
     "Connection: keep-alive\r\n", NULL, 2},
    {"1.0 stream ends with the connection",
     "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200",
     "\r\n\r\ndata: one\n\n: ping\n\ndata: two\ndata: lines\n\n", "chunked", 1},
    {"1.1 stream is chunked", "GET /stream HTTP/1.1\r\n" H CLOSE "\r\n", "HTTP/1.1 200",
     "b\r\ndata: one\n\n\r\n", "keep-alive", 1},
    {"stream says no cache, no buffering", "GET /stream HTTP/1.1\r\n" H CLOSE "\r\n",
     "HTTP/1.1 200", "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n", NULL, 1},
    {"stream, then another request",
     "GET /stream HTTP/1.1\r\n" H "\r\nGET /len HTTP/1.1\r\n" H CLOSE "\r\n", "HTTP/1.1 200",
     "0\r\n\r\nHTTP/1.1 200 OK", NULL, 2},
    {"a handler's bad field becomes 500", "GET /bad HTTP/1.1\r\n" H CLOSE "\r\n", "HTTP/1.1 500",
     "server_error", "X-B", 1},
    {"refused by its head, body unsent",
     "POST /echo HTTP/1.1\r\n" H "X-Refuse: 1\r\nContent-Length: 900\r\n\r\n", "HTTP/1.1 401",
     "Connection: close\r\n", NULL, 1},
    {"refused by its head, without a body: goes on",
     "GET /len HTTP/1.1\r\n" H "X-Refuse: 1\r\n\r\nGET /len HTTP/1.1\r\n" H CLOSE "\r\n",
     "HTTP/1.1 401", "hello", NULL, 2},
    {"continue, then the answer",
     "POST /echo HTTP/1.1\r\n" H CLOSE "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
     "HTTP/1.1 200", "ab", NULL, 1}, /* the body came along: no 100 needed */
    {"smuggling: length and chunked",
     "POST /echo HTTP/1.1\r\n" H "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
     "GET /len HTTP/1.1\r\n" H "\r\n",
     "HTTP/1.1 400", "invalid_request_error", "hello", 1},
    {"smuggling: two lengths",
     "POST /echo HTTP/1.1\r\n" H
     "Content-Length: 0\r\nContent-Length: 31\r\n\r\nGET /len HTTP/1.1\r\n" H "\r\n",
     "HTTP/1.1 400", "\"param\":null,\"code\":null", "hello", 1},
    {"smuggling: blank before colon",
     "POST /echo HTTP/1.1\r\n" H
     "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /len HTTP/1.1\r\n" H "\r\n",
     "HTTP/1.1 400", NULL, "hello", 1},
    {"smuggling: chunk longer than its size",
     "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n"
     "GET /len HTTP/1.1\r\n" H "\r\n",
     "HTTP/1.1 400", NULL, "hello", 1},
    {"smuggling: bare LF", "GET /len HTTP/1.1\n" H "\n", "HTTP/1.1 400", NULL, "hello", 1},
    {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505", NULL, NULL, 1},
    {"body too large by its length", "POST /echo HTTP/1.1\r\n" H "Content-Length: 1001\r\n\r\n",
     "HTTP/1.1 413", NULL, NULL, 1},
    {"body too large by its chunks",
     "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3e9\r\n", "HTTP/1.1 413", NULL,
     NULL, 1},
    {"head too slow", "GET /len HTTP/1.1\r\n", "HTTP/1.1 408", NULL, NULL, 1},
    {"body too slow", "POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nab", "HTTP/1.1 408",
     NULL, NULL, 1},
    {"nothing sent: closed without a word", "", "", NULL, "HTTP", 0},
};

static bool talk_right(const struct talk *talk, const char *got)
{
    return strncmp(got, talk->first, strlen(talk->first)) == 0 &&
           (talk->has == NULL || strstr(got, talk->has) != NULL) &&
           (talk->lacks == NULL || strstr(got, talk->lacks) == NULL) &&
           rig_count(got, "HTTP/1.1 ") == talk->answers;
}

static void speaks_http(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < PL_ARRAY_LEN(talks); i++) {
        struct buf got;
        buf_init(&got, 0);
        rig_talk(&rig, talks[i].send, &got);
        if (!talk_right(&talks[i], got.data)) {
            print_error("%zu %s: got\n%s\n", i, talks[i].fact, got.data);
            wrong++;
        }
        buf_deinit(&got);
    }
    assert_int_equal(wrong, 0);
}

static void takes_bytes_one_by_one(void **state)
{
    (void)state;
    static const char text[] =
        "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"
        "POST /echo HTTP/1.1\r\n" H CLOSE "Transfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n";
    struct buf got;
    buf_init(&got, 0);
    int fd = rig_connect(&rig);
    for (size_t i = 0; text[i] != '\0'; i++) {
        char one[2] = {text[i], '\0'};
        rig_send(fd, one);
        if (i % 8 == 0)
            usleep(200);
    }
    rig_read_all(fd, &got);
    close(fd);
    assert_non_null(strstr(got.data, "\r\n\r\nabcHTTP/1.1 200 OK"));
    assert_non_null(strstr(got.data, "\r\n\r\nxyz"));
    buf_deinit(&got);
}

static void sends_continue(void **state)
{
    (void)state;
    struct buf got;
    buf_init(&got, 0);
    int fd = rig_connect(&rig);
    rig_send(fd,
             "POST /echo HTTP/1.1\r\n" H CLOSE "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_true(rig_read_until(fd, "HTTP/1.1 100 Continue\r\n\r\n", &got));
    rig_send(fd, "ab");
    rig_read_all(fd, &got);
    assert_non_null(strstr(got.data, "\r\n\r\nab"));
    close(fd);
    buf_deinit(&got);
}

static void refuses_large_heads(void **state)
{
    (void)state;
    char text[8192];
    struct buf got;
    buf_init(&got, 0);
    (void)snprintf(text, sizeof text, "GET /len HTTP/1.1\r\n" H "X: %04000d\r\n\r\n", 0);
    rig_talk(&rig, text, &got);
    assert_non_null(strstr(got.data, "HTTP/1.1 431"));
    buf_clear(&got);
    (void)snprintf(text, sizeof text, "GET /%04000d HTTP/1.1\r\n" H "\r\n", 0);
    rig_talk(&rig, text, &got);
    assert_non_null(strstr(got.data, "HTTP/1.1 414"));
    buf_deinit(&got);
}

static void answers_a_thousand_pipelined(void **state)
{
    (void)state;
    struct buf text, got;
    buf_init(&text, 0);
    buf_init(&got, 0);
    for (int i = 0; i < 999; i++)
        buf_str(&text, "GET /len HTTP/1.1\r\n" H "\r\n");
    buf_str(&text, "GET /len HTTP/1.1\r\n" H CLOSE "\r\n");
    rig_talk(&rig, text.data, &got);
    assert_int_equal(rig_count(got.data, "HTTP/1.1 200 OK"), 1000);
    buf_deinit(&text);
    buf_deinit(&got);
}

static void listens_on_a_unix_socket(void **state)
{
    (void)state;
    char path[64], address[80];
    struct rig other;
    const struct http_server_options options = {.idle_timeout_ms = 1000};
    (void)snprintf(path, sizeof path, "/tmp/t_http_server.%d", (int)getpid());
    (void)snprintf(address, sizeof address, "unix:%s", path);
    for (int round = 0; round < 2; round++) { /* the second finds a stale socket */
        struct stat st;
        struct pl_error err;
        rig_start(&other, &options, address);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(other.port, 0);
        /* somebody listens there: it is not taken away */
        assert_int_equal(http_server_listen(rig.server, address, &err), PL_EBUSY);
        if (round == 0)
            assert_int_equal(link(path, "/tmp/t_http_server.stale"), 0);
        rig_stop(&other);
        assert_int_not_equal(stat(path, &st), 0);
        if (round == 0)
            assert_int_equal(rename("/tmp/t_http_server.stale", path), 0);
    }
}

static void names_bad_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {"",        "8080",         "1.2.3:80",   "a.example:80",
                                      "[::1:80", "::1:80",       "127.0.0.1:", "127.0.0.1:70000",
                                      "unix:",   "127.0.0.1:-1", "[]:80",      "[127.0.0.1]:80"};
    struct http_address address;
    struct pl_error err;
    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++)
        if (http_address_parse(bad[i], &address, &err) != PL_EINVAL)
            fail_msg("accepted '%s'", bad[i]);
    assert_int_equal(http_address_parse("0.0.0.0:80", &address, &err), PL_OK);
    assert_false(http_address_is_loopback(&address));
    assert_int_equal(http_address_parse("[::1]:80", &address, &err), PL_OK);
    assert_true(http_address_is_loopback(&address));
    assert_int_equal(http_address_parse(":0", &address, &err), PL_OK);
    assert_true(http_address_is_loopback(&address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"speaks HTTP/1.1 strictly", speaks_http, NULL, NULL, NULL},
        {"takes bytes one by one", takes_bytes_one_by_one, NULL, NULL, NULL},
        {"sends 100 Continue when the body waits for it", sends_continue, NULL, NULL, NULL},
        {"refuses large heads and targets", refuses_large_heads, NULL, NULL, NULL},
        {"answers a thousand pipelined requests", answers_a_thousand_pipelined, NULL, NULL, NULL},
        {"listens on a Unix socket of mode 0600", listens_on_a_unix_socket, NULL, NULL, NULL},
        {"names bad addresses", names_bad_addresses, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests(tests, start, stop);
}
