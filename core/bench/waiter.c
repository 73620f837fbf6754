/*
 * bench/waiter.c - a counter under a lock.
 */
#include "waiter.h"

#include "base/banned.h"

void waiter_init(struct waiter *waiter)
{
    *waiter = (struct waiter){0};
    pthread_mutex_init(&waiter->lock, NULL);
    pthread_cond_init(&waiter->done, NULL);
}

void waiter_deinit(struct waiter *waiter)
{
    pthread_cond_destroy(&waiter->done);
    pthread_mutex_destroy(&waiter->lock);
}

void waiter_add(struct waiter *waiter, uint32_t n)
{
    pthread_mutex_lock(&waiter->lock);
    waiter->pending += n;
    pthread_mutex_unlock(&waiter->lock);
}

void waiter_finish(struct waiter *waiter, const char *message)
{
    pthread_mutex_lock(&waiter->lock);
    if (message != NULL && waiter->fail.msg[0] == '\0')
        (void)pl_error_set(&waiter->fail, PL_EIO, "%s", message);
    if (--waiter->pending == 0)
        pthread_cond_broadcast(&waiter->done);
    pthread_mutex_unlock(&waiter->lock);
}

bool waiter_wait(struct waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    while (waiter->pending > 0)
        pthread_cond_wait(&waiter->done, &waiter->lock);
    bool ok = waiter->fail.msg[0] == '\0';
    pthread_mutex_unlock(&waiter->lock);
    return ok;
}
