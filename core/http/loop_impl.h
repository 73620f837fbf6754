/*
 * http/loop_impl.h - the loop's struct, for loop.c and loop_signal.c.
 *
 * Private to the room.  Threads: owned by the loop thread but for what says otherwise.  Source: ours.
 */
#ifndef HTTP_LOOP_IMPL_H
#define HTTP_LOOP_IMPL_H

#include "loop.h"
#include "timer.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#define HTTP_SIGNALS 65 /* signal numbers 1..64 on Linux */

struct http_signal_handler {
    void (*fn)(void *user, int signo);
    void *user;
};

struct http_loop {
    int epoll_fd, wake_fd, signal_fd; /* -1: none */
    atomic_bool stop;                 /* any thread, signal handlers */
    bool running;

    pthread_mutex_t lock;
    struct http_task *tasks, *tasks_last; /* guarded by lock */
    size_t n_tasks;                       /* guarded by lock */
    bool asleep;                          /* guarded by lock: a post must write to wake_fd */

    int64_t now_ns; /* start of this turn */
    struct http_timer *timers;
    struct http_deferred *deferred, *deferred_last;
    size_t n_deferred;

    struct http_io wake_io, signal_io;
    struct http_signal_handler handlers[HTTP_SIGNALS];
    sigset_t signals; /* watched */
    sigset_t blocked; /* of these, those that this loop has blocked */

    int event_i, n_events; /* events[event_i..] are still to be delivered */
    struct epoll_event events[HTTP_LOOP_EVENTS_MAX];
    char scratch[HTTP_LOOP_SCRATCH_BYTES];
};

/* Closes the descriptor and unblocks what the loop has blocked. */
void http_loop_signals_deinit(struct http_loop *loop);

#endif
