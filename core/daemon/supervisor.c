/*
 * The serve role: a supervisor that keeps one worker running.
 *
 *   STARTING --READY--> UP --worker dies--> WAITING --backoff--> STARTING
 *       |  worker exits 1 or 2 before it was ever ready: its message stands, serve ends with that code
 *       SIGTERM/SIGINT in any state: STOPPING --worker exits--> end
 *
 * The supervisor opens no device, no model and no thread. It owns the listening TCP socket, so that the
 * port stays the same over restarts and connections made meanwhile wait instead of failing. The worker is
 * a child by fork and exec of this program, in its own process group (a terminal's Ctrl-C reaches only
 * the supervisor, which forwards it once), and gets SIGTERM from the kernel if the supervisor dies.
 */
#include "roles.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/address.h"
#include "http/loop.h"
#include "notify.h"
#include "base/banned.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS   10000
#define STEADY_MS        30000 /* a worker up for this long has earned a quick restart again */
#define KILL_GRACE_MS    5000  /* beyond the worker's own drain deadline */
#define LISTEN_BACKLOG   1024

enum state {
    STATE_STARTING,
    STATE_UP,
    STATE_WAITING, /* for the backoff */
    STATE_STOPPING,
};

struct supervisor {
    const struct options *options;
    int n_args;
    char *const *args;
    struct http_loop *loop;
    enum state state;
    bool was_ready; /* at least once */
    int listen_fd;  /* -1: the worker listens itself (Unix socket) */
    pid_t pid;      /* the worker, 0 none */
    int status_fd;  /* read end of its status pipe, -1 none */
    struct http_io status_io;
    struct http_timer timer; /* backoff, or the kill deadline */
    int64_t backoff_ms, up_ns;
    int exit_code;
};

/* ---- the worker process ------------------------------------------------------------------------------ */

/* In the child, after fork: only async-signal-safe calls would be needed if there were threads; there are
 * none. Does not return. */
static void exec_worker(const struct supervisor *s, int status_fd, pid_t parent)
{
    char **argv = calloc((size_t)s->n_args + 5, sizeof *argv);
    char text[16];
    sigset_t none;
    (void)sigemptyset(&none);
    (void)pthread_sigmask(SIG_SETMASK, &none, NULL);
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (argv == NULL || getppid() != parent)
        _exit(ROLE_LOST);
    argv[0] = (char *)(uintptr_t) "polderd";
    argv[1] = (char *)(uintptr_t) "worker";
    for (int i = 0; i < s->n_args; i++)
        argv[2 + i] = s->args[i];
    argv[2 + s->n_args] =
        (char *)(uintptr_t) "--model"; /* what was found for it; the last one counts */
    argv[3 + s->n_args] = (char *)(uintptr_t)s->options->model;
    /* NOLINTBEGIN(concurrency-mt-unsafe): a single thread */
    (void)unsetenv("NOTIFY_SOCKET"); /* readiness is passed on by the supervisor */
    (void)snprintf(text, sizeof text, "%d", status_fd);
    (void)setenv(ROLE_ENV_STATUS_FD, text, 1);
    (void)fcntl(status_fd, F_SETFD, 0);
    if (s->listen_fd >= 0) {
        (void)snprintf(text, sizeof text, "%d", s->listen_fd);
        (void)setenv(ROLE_ENV_LISTEN_FD, text, 1);
        (void)fcntl(s->listen_fd, F_SETFD, 0);
    }
    /* NOLINTEND(concurrency-mt-unsafe) */
    (void)execv("/proc/self/exe", argv);
    _exit(ROLE_LOST);
}

static void close_status(struct supervisor *s)
{
    if (s->status_fd < 0)
        return;
    http_io_unwatch(s->loop, &s->status_io);
    (void)close(s->status_fd);
    s->status_fd = -1;
}

static void on_status(void *user, uint32_t events)
{
    struct supervisor *s = user;
    char line[64] = "";
    (void)events;
    ssize_t n = read(s->status_fd, line, sizeof line - 1);
    if (n <= 0) {
        close_status(s); /* the worker is gone: SIGCHLD tells the rest */
        return;
    }
    if (s->state != STATE_STARTING || strstr(line, ROLE_STATUS_READY) == NULL)
        return;
    s->state = STATE_UP;
    s->was_ready = true;
    s->up_ns = clock_now_ns();
    notify_send("READY=1\nSTATUS=serving");
}

static enum pl_status start_worker(struct supervisor *s, struct pl_error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return pl_error_set(err, PL_EIO, "cannot make a pipe");
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        exec_worker(s, ends[1], parent);
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        return pl_error_set(err, PL_EIO, "cannot fork");
    }
    s->pid = pid;
    s->status_fd = ends[0];
    s->state = STATE_STARTING;
    return http_io_watch(s->loop, &s->status_io, ends[0], EPOLLIN, err);
}

/* ---- what dies is restarted ---------------------------------------------------------------------------- */

static void on_timer(void *user)
{
    struct supervisor *s = user;
    struct pl_error err = {0};
    if (s->state == STATE_STOPPING) {
        log_warn("the worker did not end in time: killed");
        (void)kill(s->pid, SIGKILL);
        return;
    }
    if (s->state == STATE_WAITING && start_worker(s, &err) != PL_OK) {
        log_error("%s", err.msg);
        s->exit_code = ROLE_FAILED;
        http_loop_stop(s->loop);
    }
}

static void restart_later(struct supervisor *s)
{
    bool steady =
        s->state == STATE_UP && clock_now_ns() - s->up_ns > (int64_t)STEADY_MS * CLOCK_NS_PER_MS;
    if (steady || s->backoff_ms == 0)
        s->backoff_ms = BACKOFF_FIRST_MS;
    else
        s->backoff_ms = PL_MIN(s->backoff_ms * 2, (int64_t)BACKOFF_MAX_MS);
    s->state = STATE_WAITING;
    log_info("restarting the worker in %lld ms", (long long)s->backoff_ms);
    notify_send("STATUS=restarting the worker");
    http_timer_arm_ms(s->loop, &s->timer, s->backoff_ms);
}

static void on_worker_end(struct supervisor *s, int how)
{
    bool exited = WIFEXITED(how);
    int code = exited ? WEXITSTATUS(how) : 0;
    s->pid = 0;
    close_status(s);
    if (s->state == STATE_STOPPING) {
        /* a SIGTERM that came before the worker could handle it ended it just as well */
        s->exit_code = exited ? code : WTERMSIG(how) == SIGTERM ? ROLE_OK : ROLE_LOST;
        http_loop_stop(s->loop);
        return;
    }
    if (exited && !s->was_ready && (code == ROLE_FAILED || code == ROLE_USAGE)) {
        log_error("the worker could not start; not tried again"); /* its own line says why */
        s->exit_code = code;
        http_loop_stop(s->loop);
        return;
    }
    if (exited)
        log_error("the worker ended with code %d", code);
    else
        log_error("the worker was ended by signal %d", WTERMSIG(how));
    restart_later(s);
}

static void on_child(void *user, int signo)
{
    struct supervisor *s = user;
    int how = 0;
    pid_t pid;
    (void)signo;
    while ((pid = waitpid(-1, &how, WNOHANG)) > 0) {
        if (pid == s->pid)
            on_worker_end(s, how);
    }
}

/* ---- signals -------------------------------------------------------------------------------------------- */

static void on_terminate(void *user, int signo)
{
    struct supervisor *s = user;
    (void)signo;
    if (s->state != STATE_STOPPING) {
        http_timer_cancel(s->loop, &s->timer);
        notify_send("STOPPING=1");
        /* Our copy of the socket would keep taking connections that nobody answers. */
        if (s->listen_fd >= 0)
            (void)close(s->listen_fd);
        s->listen_fd = -1;
        s->state = STATE_STOPPING;
        int64_t limit_ms = (int64_t)s->options->shutdown_timeout * 1000 + KILL_GRACE_MS;
        http_timer_arm_ms(s->loop, &s->timer, limit_ms);
    }
    if (s->pid > 0)
        (void)kill(s->pid, SIGTERM);
    else
        http_loop_stop(s->loop);
}

static void on_hangup(void *user, int signo)
{
    (void)user;
    (void)signo;
    log_info("SIGHUP: nothing to reload");
}

static enum pl_status watch_signals(struct supervisor *s, struct pl_error *err)
{
    static const struct {
        int signo;
        void (*fn)(void *user, int signo);
    } SIGNALS[] = {
        {SIGTERM, on_terminate},
        {SIGINT, on_terminate},
        {SIGHUP, on_hangup},
        {SIGCHLD, on_child},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(SIGNALS); i++) {
        enum pl_status status =
            http_loop_on_signal(s->loop, SIGNALS[i].signo, SIGNALS[i].fn, s, err);
        if (status != PL_OK)
            return status;
    }
    return PL_OK;
}

/* ---- start ---------------------------------------------------------------------------------------------- */

/* Binds a TCP address; a Unix socket is left to the worker, whose path stays the same anyway. */
static enum pl_status open_listener(struct supervisor *s, struct pl_error *err)
{
    struct http_address address;
    const char *text = s->options->listen;
    enum pl_status status = http_address_parse(text, &address, err);
    if (status != PL_OK || address.socket.any.sa_family == AF_UNIX)
        return status;
    int on = 1;
    int fd = socket(address.socket.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return pl_error_set(err, PL_EIO, "cannot make a socket for %s", text);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, &address.socket.any, address.bytes) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        status = errno == EADDRINUSE ? PL_EBUSY : PL_EIO;
        (void)close(fd);
        return pl_error_set(err, status, "cannot listen on %s: %s", text,
                            status == PL_EBUSY
                                ? "the address is in use (--listen 127.0.0.1:0 picks a port)"
                                : "refused by the system");
    }
    s->listen_fd = fd;
    return PL_OK;
}

int role_serve(const struct options *options, int n, char *const *args)
{
    struct supervisor s = {
        .options = options,
        .n_args = n,
        .args = args,
        .listen_fd = -1,
        .status_fd = -1,
    };
    s.timer = (struct http_timer){.fn = on_timer, .user = &s};
    s.status_io = (struct http_io){.fn = on_status, .user = &s};
    struct pl_error err = {0};
    enum pl_status status = http_loop_open(&s.loop, &err);
    if (status == PL_OK)
        status = watch_signals(&s, &err);
    if (status == PL_OK)
        status = open_listener(&s, &err);
    if (status == PL_OK)
        status = start_worker(&s, &err);
    if (status == PL_OK)
        status = http_loop_run(s.loop, &err);
    if (status != PL_OK) {
        log_error("%s", err.msg);
        s.exit_code = ROLE_FAILED;
    }
    close_status(&s);
    if (s.listen_fd >= 0)
        (void)close(s.listen_fd);
    if (s.loop != NULL)
        http_timer_cancel(s.loop, &s.timer);
    http_loop_close(s.loop);
    return s.exit_code;
}
