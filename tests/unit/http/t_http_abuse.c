/* t_http_abuse.c - clients that vanish, dawdle or come in crowds: they harm themselves only. */
#include "http_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"

#include "base/banned.h"

#define H     "Host: a\r\n"
#define CLOSE "Connection: close\r\n"
#define HANG  "GET /hang HTTP/1.1\r\n" H "\r\n"
#define LEN   "GET /len HTTP/1.1\r\n" H CLOSE "\r\n"
#define IDLE  1000

static bool serves(const struct rig *rig)
{
    struct buf got;
    buf_init(&got, 0);
    rig_talk(rig, LEN, &got);
    bool ok = strstr(got.data, "\r\n\r\nhello") != NULL;
    buf_deinit(&got);
    return ok;
}

static void notices_vanished_clients(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, &(struct http_server_options){.idle_timeout_ms = 60000}, NULL);
    for (int i = 0; i < 20; i++) {
        int fd = rig_connect(&rig);
        rig_send(fd, HANG);
        assert_true(rig_wait(&rig.requests, i + 1));
        if (i % 2 == 1) { /* a reset */
            struct linger reset = {.l_onoff = 1};
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        }
        close(fd);
        assert_true(rig_wait(&rig.closed, i + 1));
    }
    assert_true(serves(&rig));
    rig_stop(&rig);
}

static void half_close_is_an_option(void **state)
{
    (void)state;
    struct rig rig;
    struct buf got;
    buf_init(&got, 0);
    rig_start(&rig, &(struct http_server_options){.half_close = true}, NULL);
    int fd = rig_connect(&rig);
    rig_send(fd, "GET /later HTTP/1.1\r\n" H "\r\nGET /len HTTP/1.1\r\n" H "\r\n");
    (void)shutdown(fd, SHUT_WR);
    rig_read_all(fd, &got);
    assert_int_equal(rig_count(got.data, "hello"), 2);
    close(fd);
    rig_stop(&rig);
    buf_clear(&got);
    rig_start(&rig, &(struct http_server_options){.half_close = false}, NULL);
    fd = rig_connect(&rig);
    rig_send(fd, HANG);
    assert_true(rig_wait(&rig.requests, 1));
    (void)shutdown(fd, SHUT_WR);
    assert_true(rig_wait(&rig.closed, 1));
    close(fd);
    fd = rig_connect(&rig); /* what is answered at once is answered */
    rig_send(fd, "GET /len HTTP/1.1\r\n" H "\r\n");
    (void)shutdown(fd, SHUT_WR);
    rig_read_all(fd, &got);
    assert_int_equal(rig_count(got.data, "hello"), 1);
    close(fd);
    rig_stop(&rig);
    buf_deinit(&got);
}

static void drops_slow_readers(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(
        &rig,
        &(struct http_server_options){.stream_pending_max = 100000, .socket_send_bytes = 4096},
        NULL);
    int fd = rig_connect(&rig);
    rig_send(fd, "GET /flood HTTP/1.1\r\n" H "\r\n");
    assert_true(rig_wait(&rig.closed, 1));
    assert_int_equal(atomic_load(&rig.flood_status), PL_ELIMIT);
    assert_true(serves(&rig));
    close(fd);
    rig_stop(&rig);
}

static void drops_stalled_readers(void **state)
{
    (void)state;
    struct rig rig;
    struct http_server_stats stats;
    rig_start(&rig,
              &(struct http_server_options){.write_timeout_ms = 200, .socket_send_bytes = 4096},
              NULL);
    int fd = rig_connect(&rig);
    struct buf got;
    buf_init(&got, 0);
    rig_send(fd, "GET /big HTTP/1.1\r\n" H "\r\n");
    usleep(600000);
    rig_read_all(fd, &got);
    assert_true(got.len < RIG_BIG_BYTES);
    assert_true(serves(&rig));
    close(fd);
    buf_deinit(&got);
    http_loop_stop(rig.loop);
    pthread_join(rig.thread, NULL);
    http_server_stats(rig.server, &stats);
    assert_int_equal(stats.connections, 0);
    http_server_close(rig.server);
    http_loop_close(rig.loop);
}

static void survives_partial_writes(void **state)
{
    (void)state;
    struct rig rig;
    struct buf got;
    buf_init(&got, 0);
    rig_start(&rig, &(struct http_server_options){.socket_send_bytes = 2048}, NULL);
    rig_talk(&rig, "GET /big HTTP/1.1\r\n" H "\r\nGET /big HTTP/1.1\r\n" H CLOSE "\r\n", &got);
    assert_true(got.len > 2 * (size_t)RIG_BIG_BYTES);
    const char *body = strstr(got.data, "\r\n\r\n") + 4;
    for (size_t i = 0; i < RIG_BIG_BYTES; i++)
        if (body[i] != (char)('a' + i % 23))
            fail_msg("byte %zu is wrong", i);
    assert_memory_equal(body + RIG_BIG_BYTES, "HTTP/1.1 200", 12);
    buf_deinit(&got);
    rig_stop(&rig);
}

static void holds_a_thousand_idle(void **state)
{
    (void)state;
    struct rig rig;
    static int fds[IDLE];
    struct buf got;
    buf_init(&got, 0);
    rig_start(&rig, &(struct http_server_options){.head_timeout_ms = 60000}, NULL);
    for (int i = 0; i < IDLE; i++) {
        fds[i] = rig_connect(&rig);
        rig_send(fds[i], "GET /len HTTP/1.1\r\n" H "\r\n");
    }
    assert_true(rig_wait(&rig.requests, IDLE));
    for (int i = 0; i < IDLE; i += 97) {
        assert_true(rig_read_until(fds[i], "hello", &got));
        buf_clear(&got);
    }
    assert_true(serves(&rig));
    rig_drain(&rig); /* idle ones do not hold it up */
    assert_true(rig_wait(&rig.drained, 1));
    for (int i = 0; i < IDLE; i++)
        close(fds[i]);
    buf_deinit(&got);
    rig_stop(&rig);
}

static void turns_away_beyond_the_limit(void **state)
{
    (void)state;
    struct rig rig;
    struct buf got;
    buf_init(&got, 0);
    rig_start(&rig, &(struct http_server_options){.connections_max = 2}, NULL);
    int idle = rig_connect(&rig), busy[2];
    busy[0] = rig_connect(&rig);
    rig_send(busy[0], HANG);
    assert_true(rig_wait(&rig.requests, 1));
    usleep(1100000);
    busy[1] = rig_connect(&rig); /* the idle one makes room */
    rig_send(busy[1], HANG);
    assert_true(rig_wait(&rig.requests, 2));
    rig_read_all(idle, &got);
    assert_int_equal(got.len, 0);
    rig_talk(&rig, "", &got);
    assert_non_null(strstr(got.data, "HTTP/1.1 503"));
    close(busy[0]);
    assert_true(rig_wait(&rig.closed, 1));
    assert_true(serves(&rig));
    close(idle);
    close(busy[1]);
    buf_deinit(&got);
    rig_stop(&rig);
}

#define CROWD 20
#define SPARE 4

static void outlives_lack_of_descriptors(void **state)
{
    (void)state;
    struct rig rig;
    struct rlimit before;
    int fds[CROWD];
    struct sockaddr_in to = {.sin_family = AF_INET};
    rig_start(&rig, &(struct http_server_options){.connections_max = 0}, NULL);
    to.sin_port = htons(rig.port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < CROWD; i++)
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit tight = {.rlim_cur = (rlim_t)fds[CROWD - 1] + 1 + SPARE,
                           .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    for (int i = 0; i < CROWD; i++) {
        assert_int_equal(connect(fds[i], (struct sockaddr *)&to, sizeof to), 0);
        rig_send(fds[i], HANG);
    }
    if (!rig_wait(&rig.requests, SPARE))
        print_error("%d requests\n", atomic_load(&rig.requests));
    int64_t cpu_ns = clock_cpu_ns();
    usleep(300000);
    assert_true(clock_cpu_ns() - cpu_ns < 100 * CLOCK_NS_PER_MS); /* no busy waiting */
    assert_int_equal(atomic_load(&rig.requests), SPARE);
    for (int i = 0; i < CROWD; i++)
        close(fds[i]); /* those inside go, those outside come and go */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(serves(&rig));
    rig_stop(&rig);
}

static void drains_in_order(void **state)
{
    (void)state;
    struct rig rig;
    struct buf got;
    buf_init(&got, 0);
    rig_start(&rig, &(struct http_server_options){.idle_timeout_ms = 60000}, NULL);
    int fd = rig_connect(&rig), idle = rig_connect(&rig), hang = rig_connect(&rig);
    rig_send(hang, HANG);
    assert_true(rig_wait(&rig.requests, 1));
    rig_send(fd, "GET /later HTTP/1.1\r\n" H "\r\n");
    assert_true(rig_wait(&rig.requests, 2));
    rig_drain(&rig);
    rig_read_all(fd, &got);
    assert_non_null(strstr(got.data, "Connection: close\r\n"));
    assert_non_null(strstr(got.data, "hello"));
    buf_clear(&got);
    rig_read_all(idle, &got);
    assert_int_equal(got.len, 0);
    assert_int_equal(atomic_load(&rig.drained), 0);
    close(hang);
    assert_true(rig_wait(&rig.drained, 1));
    close(fd);
    close(idle);
    rig_stop(&rig);
    buf_deinit(&got);
}

static void closing_tells_handlers(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig, &(struct http_server_options){.idle_timeout_ms = 60000}, NULL);
    int fd = rig_connect(&rig);
    rig_send(fd, HANG);
    assert_true(rig_wait(&rig.requests, 1));
    rig_stop(&rig);
    assert_int_equal(atomic_load(&rig.closed), 1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"notices vanished clients at once", notices_vanished_clients, NULL, NULL, NULL},
        {"takes a half-closed client for gone unless told", half_close_is_an_option, NULL, NULL,
         NULL},
        {"drops slow readers of streams", drops_slow_readers, NULL, NULL, NULL},
        {"drops stalled readers of replies", drops_stalled_readers, NULL, NULL, NULL},
        {"survives partial writes", survives_partial_writes, NULL, NULL, NULL},
        {"holds a thousand idle connections", holds_a_thousand_idle, NULL, NULL, NULL},
        {"turns clients away beyond the limit", turns_away_beyond_the_limit, NULL, NULL, NULL},
        {"outlives a lack of descriptors", outlives_lack_of_descriptors, NULL, NULL, NULL},
        {"drains: finishes what runs, says close", drains_in_order, NULL, NULL, NULL},
        {"closing tells the handlers", closing_tells_handlers, NULL, NULL, NULL},
    };
    struct rlimit files; /* a thousand connections have two ends each */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = PL_MIN(files.rlim_max, (rlim_t)4096);
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
