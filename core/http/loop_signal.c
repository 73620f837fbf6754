/* See loop.h: signals as events of the loop, through signalfd. */
#include "loop_impl.h"

#include <errno.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/banned.h"

static void on_signals(void *user, uint32_t events)
{
    (void)events;
    struct http_loop *loop = user;
    struct signalfd_siginfo info;
    while (read(loop->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo >= HTTP_SIGNALS)
            continue;
        const struct http_signal_handler *handler = &loop->handlers[info.ssi_signo];
        if (handler->fn != NULL)
            handler->fn(handler->user, (int)info.ssi_signo);
    }
}

static enum pl_status watch_signals(struct http_loop *loop, struct pl_error *err)
{
    int fd = signalfd(loop->signal_fd, &loop->signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return pl_error_set(err, PL_EIO, "http: signalfd: %s", strerrordesc_np(errno));
    loop->signal_fd = fd;
    if (loop->signal_io.watched)
        return PL_OK;
    loop->signal_io.fn = on_signals;
    loop->signal_io.user = loop;
    return http_io_watch(loop, &loop->signal_io, fd, EPOLLIN, err);
}

enum pl_status http_loop_on_signal(struct http_loop *loop, int signo,
                                   void (*fn)(void *user, int signo), void *user,
                                   struct pl_error *err)
{
    if (signo < 1 || signo >= HTTP_SIGNALS || signo == SIGKILL || signo == SIGSTOP)
        return pl_error_set(err, PL_EINVAL, "http: signal %d can't be caught", signo);
    loop->handlers[signo] = (struct http_signal_handler){.fn = fn, .user = user};
    if (sigismember(&loop->signals, signo) == 1)
        return PL_OK;
    sigset_t one, before;
    sigemptyset(&one);
    sigaddset(&one, signo);
    int error = pthread_sigmask(SIG_BLOCK, &one, &before);
    if (error != 0)
        return pl_error_set(err, PL_EINVAL, "http: pthread_sigmask: %s", strerrordesc_np(error));
    if (sigismember(&before, signo) == 0)
        sigaddset(&loop->blocked, signo);
    sigaddset(&loop->signals, signo);
    return watch_signals(loop, err);
}

void http_loop_signals_deinit(struct http_loop *loop)
{
    if (loop->signal_fd < 0)
        return;
    http_io_unwatch(loop, &loop->signal_io);
    close(loop->signal_fd);
    loop->signal_fd = -1;
    pthread_sigmask(SIG_UNBLOCK, &loop->blocked, NULL);
}
