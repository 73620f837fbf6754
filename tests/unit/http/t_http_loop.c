/* t_http_loop.c - tasks from many threads, timers in order, signals, stop. */
#include "http/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/rng.h"

#include "base/banned.h"

#define THREADS 4
#define POSTS   5000
#define TIMERS  2000

static struct http_loop *open_loop(void)
{
    struct http_loop *loop = NULL;
    struct pl_error err;
    PL_CHECK(http_loop_open(&loop, &err) == PL_OK);
    return loop;
}

/* ---- tasks ----------------------------------------------------------------------------------- */

struct poster {
    struct http_loop *loop;
    struct http_task tasks[POSTS];
    int ran; /* loop thread */
};

struct shared {
    struct http_loop *loop;
    struct poster posters[THREADS];
    int left;
};

static struct shared shared;

static void on_task(void *user)
{
    struct poster *poster = user;
    poster->ran++;
    if (--shared.left == 0)
        http_loop_stop(shared.loop);
}

static void *post_all(void *user)
{
    struct poster *poster = user;
    for (int i = 0; i < POSTS; i++) {
        poster->tasks[i] = (struct http_task){.fn = on_task, .user = poster};
        http_loop_post(poster->loop, &poster->tasks[i]);
    }
    return NULL;
}

static void loses_no_post(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    shared.loop = open_loop();
    shared.left = THREADS * POSTS;
    for (int i = 0; i < THREADS; i++) {
        shared.posters[i].loop = shared.loop;
        shared.posters[i].ran = 0;
        assert_int_equal(pthread_create(&threads[i], NULL, post_all, &shared.posters[i]), 0);
    }
    assert_int_equal(http_loop_run(shared.loop, NULL), PL_OK);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(shared.posters[i].ran, POSTS);
    }
    http_loop_close(shared.loop);
}

struct merged {
    struct http_loop *loop;
    struct http_task task;
    int seen;  /* loop thread */
    int value; /* atomic */
};

static void on_merged(void *user)
{
    struct merged *m = user;
    m->seen = __atomic_load_n(&m->value, __ATOMIC_SEQ_CST);
    if (m->seen == POSTS)
        http_loop_stop(m->loop);
}

static void *post_merged(void *user)
{
    struct merged *m = user;
    for (int i = 1; i <= POSTS; i++) {
        __atomic_store_n(&m->value, i, __ATOMIC_SEQ_CST);
        http_loop_post(m->loop, &m->task);
    }
    return NULL;
}

static void merges_posts_but_shows_the_last(void **state)
{
    (void)state;
    struct merged m = {.loop = open_loop()};
    m.task = (struct http_task){.fn = on_merged, .user = &m};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, post_merged, &m), 0);
    assert_int_equal(http_loop_run(m.loop, NULL), PL_OK);
    pthread_join(thread, NULL);
    assert_int_equal(m.seen, POSTS);
    http_loop_close(m.loop);
}

static void fail_if_run(void *user)
{
    (void)user;
    abort();
}

static void stop_loop(void *user)
{
    http_loop_stop(user);
}

static void takes_a_task_back(void **state)
{
    (void)state;
    struct http_loop *loop = open_loop();
    struct http_task never = {.fn = fail_if_run}, first = {.fn = stop_loop, .user = loop};
    http_loop_post(loop, &never);
    http_loop_post(loop, &first);
    http_loop_unpost(loop, &never);
    http_loop_unpost(loop, &never);
    assert_int_equal(http_loop_run(loop, NULL), PL_OK);
    http_loop_close(loop);
}

/* ---- timers ---------------------------------------------------------------------------------- */

static int64_t fake_ns;

static int64_t fake_now(void *user)
{
    (void)user;
    return fake_ns;
}

struct timed {
    struct http_loop *loop;
    struct http_timer timers[TIMERS];
    struct item {
        struct timed *all;
        bool fired, cancelled;
    } items[TIMERS];
    int64_t last_ns;
    int fired, wrong;
};

static struct timed timed;

static void on_timed(void *user)
{
    struct item *item = user;
    const struct http_timer *timer = &timed.timers[item - timed.items];
    timed.wrong += item->cancelled || item->fired || timer->due_ns < timed.last_ns;
    timed.last_ns = timer->due_ns;
    item->fired = true;
    timed.fired++;
}

static void fires_timers_in_order(void **state)
{
    (void)state;
    const struct clock_source source = {.now_ns = fake_now, .unix_ns = fake_now};
    clock_set_source(&source);
    fake_ns = 0;
    timed = (struct timed){.loop = open_loop()};
    int expected = 0;
    for (int i = 0; i < TIMERS; i++) {
        timed.items[i].all = &timed;
        timed.timers[i] = (struct http_timer){.fn = on_timed, .user = &timed.items[i]};
        http_timer_arm(timed.loop, &timed.timers[i],
                       (int64_t)(rng_uniform(1, 0, (uint64_t)i) * 1e6F));
    }
    for (int i = 0; i < TIMERS; i++) {
        float draw = rng_uniform(2, 0, (uint64_t)i);
        if (draw < 0.3F) {
            http_timer_cancel(timed.loop, &timed.timers[i]);
            timed.items[i].cancelled = true;
        } else if (draw < 0.6F) {
            http_timer_arm(timed.loop, &timed.timers[i], (int64_t)(draw * 1e7F));
        }
        expected += !timed.items[i].cancelled;
    }
    struct http_timer end = {.fn = stop_loop, .user = timed.loop};
    http_timer_arm(timed.loop, &end, 100000000);
    fake_ns = 200000000; /* all are due: TIMERS_PER_TURN bounds a turn, none is lost */
    assert_int_equal(http_loop_run(timed.loop, NULL), PL_OK);
    assert_int_equal(timed.fired, expected);
    assert_int_equal(timed.wrong, 0);
    http_loop_close(timed.loop);
    clock_set_source(NULL);
}

static void sleeps_until_a_timer_is_due(void **state)
{
    (void)state;
    struct http_loop *loop = open_loop();
    struct http_timer timer = {.fn = stop_loop, .user = loop};
    int64_t before = clock_now_ns(), cpu = clock_cpu_ns();
    http_timer_arm_ms(loop, &timer, 50);
    assert_int_equal(http_loop_run(loop, NULL), PL_OK);
    assert_true(clock_now_ns() - before >= 50 * CLOCK_NS_PER_MS);
    assert_true(clock_cpu_ns() - cpu < 25 * CLOCK_NS_PER_MS);
    http_loop_close(loop);
}

/* ---- signals, stop --------------------------------------------------------------------------- */

static int signal_seen;

static void on_signal(void *user, int signo)
{
    signal_seen = signo;
    http_loop_stop(user);
}

static void delivers_signals(void **state)
{
    (void)state;
    struct http_loop *loop = open_loop();
    struct pl_error err;
    assert_int_equal(http_loop_on_signal(loop, SIGKILL, on_signal, loop, &err), PL_EINVAL);
    assert_int_equal(http_loop_on_signal(loop, SIGUSR1, on_signal, loop, &err), PL_OK);
    assert_int_equal(http_loop_on_signal(loop, SIGTERM, on_signal, loop, &err), PL_OK);
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    assert_int_equal(http_loop_run(loop, &err), PL_OK);
    assert_int_equal(signal_seen, SIGTERM);
    http_loop_close(loop);
}

static struct http_loop *alarm_loop;

static void on_alarm(int signo)
{
    (void)signo;
    http_loop_stop(alarm_loop);
}

static void stops_from_a_signal_handler(void **state)
{
    (void)state;
    alarm_loop = open_loop();
    struct sigaction action = {.sa_handler = on_alarm};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    (void)alarm(1);
    assert_int_equal(http_loop_run(alarm_loop, NULL), PL_OK);
    http_loop_stop(alarm_loop);
    http_loop_stop(alarm_loop);
    assert_int_equal(http_loop_run(alarm_loop, NULL), PL_OK); /* an earlier stop counts */
    http_loop_close(alarm_loop);
    http_loop_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"loses no post of several threads", loses_no_post, NULL, NULL, NULL},
        {"merges posts, but a run follows the last", merges_posts_but_shows_the_last, NULL, NULL,
         NULL},
        {"takes a task back", takes_a_task_back, NULL, NULL, NULL},
        {"fires timers in order, moved and cancelled ones too", fires_timers_in_order, NULL, NULL,
         NULL},
        {"sleeps until a timer is due", sleeps_until_a_timer_is_due, NULL, NULL, NULL},
        {"delivers signals as events", delivers_signals, NULL, NULL, NULL},
        {"stops from a signal handler", stops_from_a_signal_handler, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
