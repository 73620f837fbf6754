/*
 * http/loop.h - one thread's event loop: descriptors, timers, signals, and work posted by other threads.
 *
 * Everything it keeps is embedded in the caller's structs (io, timer, task), so that once the loop is
 * open nothing here allocates and nothing can fail for want of memory. One loop per thread; servers and
 * clients of this room live on a loop and are called on its thread only.
 *
 *   run:  due timers -> posted tasks -> deferred work (flushes) -> epoll_wait -> descriptor callbacks
 *
 * Ownership: the caller owns every io, timer and task and keeps it alive while watched, armed, posted.
 * Threads: http_loop_post and http_loop_stop from any thread, http_loop_stop also from a signal handler;
 * all else on the thread that runs the loop (or before it runs).
 * Errors: open and watch report the system's refusal; the rest can't fail.
 * Limits: HTTP_LOOP_EVENTS_MAX per turn.  Source: epoll(7), eventfd(2), signalfd(2); the timers are a
 * pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986). All time comes from base/clock.h.
 */
#ifndef HTTP_LOOP_H
#define HTTP_LOOP_H

#include <polder/status.h>

#define HTTP_LOOP_EVENTS_MAX 256 /* descriptor events taken from the kernel in one turn */

struct http_loop;

PL_NODISCARD enum pl_status http_loop_open(struct http_loop **ret, struct pl_error *err);

/* After run has returned and the servers and clients on it are closed. Tasks still queued are dropped
 * unrun. Accepts NULL. */
void http_loop_close(struct http_loop *loop);

/* Serves until http_loop_stop; a stop that came earlier makes it return at once, and is used up. */
PL_NODISCARD enum pl_status http_loop_run(struct http_loop *loop, struct pl_error *err);

/* Makes run return soon. Any thread, any number of times, async-signal-safe. */
void http_loop_stop(struct http_loop *loop);

/* The clock as read at the start of this turn, ns; cheaper than clock_now_ns and steady within a turn. */
int64_t http_loop_now_ns(const struct http_loop *loop);

/* ---- tasks: work from other threads ---------------------------------------------------------- */

/* Zero-initialise, set fn and user. The rest belongs to the loop. */
struct http_task {
    void (*fn)(void *user); /* runs on the loop thread */
    void *user;
    struct http_task *next, *prev; /* loop's; guarded by the loop's lock */
    bool queued;                   /* loop's; guarded by the loop's lock */
};

/* Runs task->fn(user) once on the loop thread. A post of a task that is queued already is merged with
 * it: after the last post at least one whole run of fn follows. fn may post the task again, or free it.
 * Posted tasks run in order; none is lost; posting before run or from within the loop is fine. */
void http_loop_post(struct http_loop *loop, struct http_task *task);

/* Takes a queued task back; nothing if it isn't queued. Loop thread only, so that afterwards the task is
 * neither queued nor running, unless another thread posts it again. */
void http_loop_unpost(struct http_loop *loop, struct http_task *task);

/* ---- timers ---------------------------------------------------------------------------------- */

/* Zero-initialise, set fn and user. One shot. */
struct http_timer {
    void (*fn)(void *user);
    void *user;
    int64_t due_ns;                         /* on clock_now_ns's scale, while armed */
    struct http_timer *child, *next, *prev; /* loop's; prev: left sibling, or the parent */
    bool armed;                             /* loop's */
};

/* Calls fn once the clock has reached due_ns; moves a timer that is armed already. */
void http_timer_arm(struct http_loop *loop, struct http_timer *timer, int64_t due_ns);
void http_timer_arm_ms(struct http_loop *loop, struct http_timer *timer, int64_t from_now_ms);
void http_timer_cancel(struct http_loop *loop, struct http_timer *timer); /* nothing if not armed */

/* ---- descriptors ----------------------------------------------------------------------------- */

/* Zero-initialise, set fn and user. */
struct http_io {
    void (*fn)(void *user, uint32_t events); /* EPOLL* bits, level-triggered */
    void *user;
    int fd;          /* loop's, while watched */
    uint32_t events; /* loop's: bits asked for */
    bool watched;    /* loop's */
};

/* Watches fd (not owned) for events. PL_EIO when the kernel refuses. */
PL_NODISCARD enum pl_status http_io_watch(struct http_loop *loop, struct http_io *io, int fd,
                                          uint32_t events, struct pl_error *err);
/* Changes the bits of a watched io. */
void http_io_change(struct http_loop *loop, struct http_io *io, uint32_t events);
/* Before fd is closed. No event of this turn reaches the io any more. Nothing if not watched. */
void http_io_unwatch(struct http_loop *loop, struct http_io *io);

/* ---- deferred work --------------------------------------------------------------------------- */

/* Zero-initialise, set fn and user. Work to do once at the end of this turn, before the loop sleeps:
 * how many small writes become one system call. */
struct http_deferred {
    void (*fn)(void *user);
    void *user;
    struct http_deferred *next, *prev; /* loop's */
    bool queued;                       /* loop's */
};

void http_loop_defer(struct http_loop *loop, struct http_deferred *deferred); /* merged if queued */
void http_loop_undefer(struct http_loop *loop, struct http_deferred *deferred);

/* ---- signals --------------------------------------------------------------------------------- */

/* Calls fn(user, signo) on the loop thread when the process gets the signal, until the loop closes; a
 * second call for the same signal replaces the first. The signal is blocked in the calling thread, so
 * call it before other threads start; a child process inherits the mask and resets it before
 * exec. PL_EINVAL for a signal that can't be caught. */
PL_NODISCARD enum pl_status http_loop_on_signal(struct http_loop *loop, int signo,
                                                void (*fn)(void *user, int signo), void *user,
                                                struct pl_error *err);

/* ---- shared scratch -------------------------------------------------------------------------- */

#define HTTP_LOOP_SCRATCH_BYTES 65536 /* one read: what a socket buffer usually holds */

/* HTTP_LOOP_SCRATCH_BYTES bytes for use within one callback: sockets read into it, so that an idle
 * connection owns no buffer. */
char *http_loop_scratch(struct http_loop *loop);

#endif
