/* See loop.h. Signals are in loop_signal.c, the timers' heap in timer.c. */
#include "loop_impl.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

#include "base/banned.h"

#define TIMERS_PER_TURN                                                                            \
    1024 /* a timer that re-arms itself in the past can't starve the descriptors */

/* ---- waking ---------------------------------------------------------------------------------- */

static void wake(const struct http_loop *loop)
{
    uint64_t one = 1;
    ssize_t n = write(loop->wake_fd, &one, sizeof one); /* EAGAIN: it is awake already */
    (void)n;
}

static void on_wake(void *user, uint32_t events)
{
    (void)events;
    const struct http_loop *loop = user;
    uint64_t count;
    ssize_t n = read(loop->wake_fd, &count, sizeof count);
    (void)n;
}

/* ---- open, close ----------------------------------------------------------------------------- */

static enum pl_status open_descriptors(struct http_loop *loop, struct pl_error *err)
{
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return pl_error_set(err, PL_EIO, "http: epoll_create1: %s", strerrordesc_np(errno));
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0)
        return pl_error_set(err, PL_EIO, "http: eventfd: %s", strerrordesc_np(errno));
    loop->wake_io.fn = on_wake;
    loop->wake_io.user = loop;
    return http_io_watch(loop, &loop->wake_io, loop->wake_fd, EPOLLIN, err);
}

enum pl_status http_loop_open(struct http_loop **ret, struct pl_error *err)
{
    struct http_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        return pl_error_set(err, PL_ENOMEM, "http: no memory for an event loop");
    loop->epoll_fd = loop->wake_fd = loop->signal_fd = -1;
    pthread_mutex_init(&loop->lock, NULL);
    enum pl_status status = open_descriptors(loop, err);
    if (status != PL_OK) {
        http_loop_close(loop);
        return status;
    }
    *ret = loop;
    return PL_OK;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void http_loop_close(struct http_loop *loop)
{
    if (loop == NULL)
        return;
    http_loop_signals_deinit(loop);
    close_fd(loop->wake_fd);
    close_fd(loop->epoll_fd);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

char *http_loop_scratch(struct http_loop *loop)
{
    return loop->scratch;
}

int64_t http_loop_now_ns(const struct http_loop *loop)
{
    return loop->running ? loop->now_ns : clock_now_ns();
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static void unlink_task(struct http_loop *loop, struct http_task *task)
{
    if (task->prev != NULL)
        task->prev->next = task->next;
    else
        loop->tasks = task->next;
    if (task->next != NULL)
        task->next->prev = task->prev;
    else
        loop->tasks_last = task->prev;
    task->next = task->prev = NULL;
    task->queued = false;
    loop->n_tasks--;
}

void http_loop_post(struct http_loop *loop, struct http_task *task)
{
    pthread_mutex_lock(&loop->lock);
    bool asleep = false;
    if (!task->queued) {
        task->queued = true;
        task->next = NULL;
        task->prev = loop->tasks_last;
        if (task->prev != NULL)
            task->prev->next = task;
        else
            loop->tasks = task;
        loop->tasks_last = task;
        loop->n_tasks++;
        asleep = loop->asleep;
        loop->asleep = false; /* one write wakes it for all */
    }
    /* Under the lock: a loop that sees the task's effect may be closed, and wake_fd with it. */
    if (asleep)
        wake(loop);
    pthread_mutex_unlock(&loop->lock);
}

void http_loop_unpost(struct http_loop *loop, struct http_task *task)
{
    pthread_mutex_lock(&loop->lock);
    if (task->queued)
        unlink_task(loop, task);
    pthread_mutex_unlock(&loop->lock);
}

/* Runs what was queued when it began: a task that posts itself waits for the next turn. */
static void run_tasks(struct http_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    for (size_t n = loop->n_tasks; n > 0 && loop->tasks != NULL; n--) {
        struct http_task *task = loop->tasks;
        void (*fn)(void *) = task->fn;
        void *user = task->user;
        unlink_task(loop, task);
        pthread_mutex_unlock(&loop->lock);
        fn(user); /* may free task */
        pthread_mutex_lock(&loop->lock);
    }
    pthread_mutex_unlock(&loop->lock);
}

/* ---- timers ---------------------------------------------------------------------------------- */

void http_timer_arm(struct http_loop *loop, struct http_timer *timer, int64_t due_ns)
{
    if (timer->armed)
        http_timers_remove(&loop->timers, timer);
    timer->due_ns = due_ns;
    http_timers_insert(&loop->timers, timer);
}

void http_timer_arm_ms(struct http_loop *loop, struct http_timer *timer, int64_t from_now_ms)
{
    http_timer_arm(loop, timer, http_loop_now_ns(loop) + from_now_ms * CLOCK_NS_PER_MS);
}

void http_timer_cancel(struct http_loop *loop, struct http_timer *timer)
{
    if (timer->armed)
        http_timers_remove(&loop->timers, timer);
}

static void run_timers(struct http_loop *loop)
{
    for (int n = 0; n < TIMERS_PER_TURN; n++) {
        struct http_timer *timer = loop->timers;
        if (timer == NULL || timer->due_ns > loop->now_ns)
            return;
        http_timers_remove(&loop->timers, timer);
        timer->fn(timer->user);
    }
}

/* ---- descriptors ----------------------------------------------------------------------------- */

enum pl_status http_io_watch(struct http_loop *loop, struct http_io *io, int fd, uint32_t events,
                             struct pl_error *err)
{
    struct epoll_event event = {.events = events, .data.ptr = io};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return pl_error_set(err, PL_EIO, "http: epoll_ctl: %s", strerrordesc_np(errno));
    io->fd = fd;
    io->events = events;
    io->watched = true;
    return PL_OK;
}

void http_io_change(struct http_loop *loop, struct http_io *io, uint32_t events)
{
    if (io->events == events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = io};
    PL_CHECK(io->watched);
    PL_CHECK(epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, io->fd, &event) == 0);
    io->events = events;
}

void http_io_unwatch(struct http_loop *loop, struct http_io *io)
{
    if (!io->watched)
        return;
    io->watched = false;
    PL_CHECK(epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL) == 0);
    for (int i = loop->event_i; i < loop->n_events; i++)
        if (loop->events[i].data.ptr == io)
            loop->events[i].data.ptr = NULL;
}

static void run_events(struct http_loop *loop)
{
    for (loop->event_i = 0; loop->event_i < loop->n_events;) {
        const struct epoll_event *event = &loop->events[loop->event_i++];
        const struct http_io *io = event->data.ptr;
        if (io != NULL)
            io->fn(io->user, event->events);
    }
    loop->event_i = loop->n_events = 0;
}

/* ---- deferred work --------------------------------------------------------------------------- */

void http_loop_defer(struct http_loop *loop, struct http_deferred *deferred)
{
    if (deferred->queued)
        return;
    deferred->queued = true;
    deferred->next = NULL;
    deferred->prev = loop->deferred_last;
    if (deferred->prev != NULL)
        deferred->prev->next = deferred;
    else
        loop->deferred = deferred;
    loop->deferred_last = deferred;
    loop->n_deferred++;
}

void http_loop_undefer(struct http_loop *loop, struct http_deferred *deferred)
{
    if (!deferred->queued)
        return;
    if (deferred->prev != NULL)
        deferred->prev->next = deferred->next;
    else
        loop->deferred = deferred->next;
    if (deferred->next != NULL)
        deferred->next->prev = deferred->prev;
    else
        loop->deferred_last = deferred->prev;
    deferred->next = deferred->prev = NULL;
    deferred->queued = false;
    loop->n_deferred--;
}

static void run_deferred(struct http_loop *loop)
{
    for (size_t n = loop->n_deferred; n > 0 && loop->deferred != NULL; n--) {
        struct http_deferred *deferred = loop->deferred;
        http_loop_undefer(loop, deferred);
        deferred->fn(deferred->user);
    }
}

/* ---- run ------------------------------------------------------------------------------------- */

void http_loop_stop(struct http_loop *loop)
{
    atomic_store(&loop->stop, true);
    int saved = errno; /* a signal handler leaves errno alone */
    wake(loop);
    errno = saved;
}

/* ms that epoll may sleep: 0 when work waits, -1 when nothing is timed. */
static int sleep_ms(struct http_loop *loop)
{
    if (loop->n_deferred > 0)
        return 0;
    pthread_mutex_lock(&loop->lock);
    loop->asleep = loop->tasks == NULL;
    bool work = !loop->asleep;
    pthread_mutex_unlock(&loop->lock);
    if (work)
        return 0;
    if (loop->timers == NULL)
        return -1;
    int64_t left_ns = loop->timers->due_ns - clock_now_ns();
    if (left_ns <= 0)
        return 0;
    int64_t left_ms = pl_div_up(left_ns, CLOCK_NS_PER_MS);
    return (int)PL_MIN(left_ms, (int64_t)INT_MAX);
}

/* On a virtual clock nobody sleeps: if nothing is ready the clock goes on to the next timer. */
static int wait_for_events(struct http_loop *loop, int timeout_ms)
{
    bool skips = timeout_ms != 0 && clock_is_virtual();
    int n = epoll_wait(loop->epoll_fd, loop->events, HTTP_LOOP_EVENTS_MAX, skips ? 0 : timeout_ms);
    if (skips && n == 0)
        clock_skip_to(loop->timers != NULL ? loop->timers->due_ns : INT64_MAX);
    return n;
}

static enum pl_status take_events(struct http_loop *loop, struct pl_error *err)
{
    int timeout_ms = sleep_ms(loop);
    int n = wait_for_events(loop, timeout_ms);
    if (timeout_ms != 0) {
        pthread_mutex_lock(&loop->lock);
        loop->asleep = false;
        pthread_mutex_unlock(&loop->lock);
    }
    loop->now_ns = clock_now_ns();
    if (n < 0 && errno != EINTR)
        return pl_error_set(err, PL_EIO, "http: epoll_wait: %s", strerrordesc_np(errno));
    loop->event_i = 0;
    loop->n_events = PL_MAX(n, 0);
    return PL_OK;
}

enum pl_status http_loop_run(struct http_loop *loop, struct pl_error *err)
{
    enum pl_status status = PL_OK;
    loop->running = true;
    loop->now_ns = clock_now_ns();
    while (status == PL_OK && !atomic_exchange(&loop->stop, false)) {
        run_timers(loop);
        run_tasks(loop);
        run_deferred(loop);
        status = take_events(loop, err);
        if (status == PL_OK)
            run_events(loop);
    }
    run_deferred(loop); /* what the last events left: replies are on their way before it returns */
    loop->running = false;
    return status;
}
