/* See work.h. */
#include "work.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

struct desk {
    struct server *server;
    pthread_t thread;
    bool running;          /* loop thread's */
    struct http_task task; /* posted when .done becomes non-empty */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t wake;
    struct work *first, **last; /* waiting, oldest first */
    uint32_t n_waiting;
    size_t waiting_bytes;
    struct work *done;
    bool stop;
};

/* ---- worker thread --------------------------------------------------------------------------------- */

/* The oldest work that waits, taken off the queue; NULL: the desk stops. */
static struct work *take(struct desk *desk)
{
    (void)pthread_mutex_lock(&desk->lock);
    while (desk->first == NULL && !desk->stop)
        (void)pthread_cond_wait(&desk->wake, &desk->lock);
    struct work *w = desk->stop ? NULL : desk->first;
    if (w != NULL) {
        desk->first = w->next;
        if (desk->first == NULL)
            desk->last = &desk->first;
        desk->n_waiting--;
        desk->waiting_bytes -= w->body.n;
    }
    (void)pthread_mutex_unlock(&desk->lock);
    return w;
}

static void hand_back(struct desk *desk, struct work *w)
{
    (void)pthread_mutex_lock(&desk->lock);
    bool post = desk->done == NULL;
    w->next = desk->done;
    desk->done = w;
    (void)pthread_mutex_unlock(&desk->lock);
    /* The desk is there until this thread is joined. */
    if (post)
        http_loop_post(desk->server->loop, &desk->task);
}

static void *run(void *user)
{
    struct desk *desk = user;
    struct work *w;
    while ((w = take(desk)) != NULL) {
        if (!atomic_load(&w->cancelled))
            w->compute(w);
        hand_back(desk, w);
    }
    return NULL;
}

/* ---- loop thread ------------------------------------------------------------------------------------ */

static void finish(struct work *w)
{
    if (w->x != NULL)
        http_exchange_on_close(w->x, NULL, NULL);
    free(w->copy);
    w->copy = NULL;
    w->body = (struct http_slice){0};
    w->finish(w);
}

static void finish_list(struct server *server, struct work *list)
{
    struct work *in_order = NULL;
    while (list != NULL) { /* the latest is first */
        struct work *next = list->next;
        list->next = in_order;
        in_order = list;
        list = next;
    }
    while (in_order != NULL) {
        struct work *next = in_order->next;
        server->n_preparing--;
        finish(in_order);
        in_order = next;
    }
}

static void on_done(void *user)
{
    struct desk *desk = user;
    (void)pthread_mutex_lock(&desk->lock);
    struct work *list = desk->done;
    desk->done = NULL;
    (void)pthread_mutex_unlock(&desk->lock);
    finish_list(desk->server, list);
}

static void on_gone(void *user)
{
    struct work *w = user;
    w->x = NULL;
    atomic_store(&w->cancelled, true);
}

static bool put(struct desk *desk, struct work *w)
{
    (void)pthread_mutex_lock(&desk->lock);
    bool room = desk->n_waiting == 0 || (desk->n_waiting < SERVER_WORK_MAX &&
                                         desk->waiting_bytes + w->body.n <= SERVER_WORK_BYTES_MAX);
    if (room) {
        *desk->last = w;
        desk->last = &w->next;
        desk->n_waiting++;
        desk->waiting_bytes += w->body.n;
        (void)pthread_cond_signal(&desk->wake);
    }
    (void)pthread_mutex_unlock(&desk->lock);
    return room;
}

void work_begin(struct work *w, struct http_exchange *x)
{
    struct server *server = w->server;
    struct desk *desk = server->desk;
    w->x = x;
    w->body = http_exchange_body(x);
    if (w->body.n <= SERVER_INLINE_BODY_MAX || desk == NULL || !desk->running) {
        w->compute(w);
        finish(w);
        return;
    }
    w->copy = malloc(w->body.n + 1); /* the exchange's bytes go when the client does */
    if (w->copy == NULL) {
        api_error_set(&w->error, 500, NULL, "out of memory");
        finish(w);
        return;
    }
    memcpy(w->copy, w->body.data, w->body.n);
    w->copy[w->body.n] = '\0';
    w->body.data = w->copy;
    http_exchange_on_close(x, on_gone, w);
    server->n_preparing++;
    if (!put(desk, w)) {
        server->n_preparing--;
        api_error_set(&w->error, 429, "queue_full", "too many large requests wait to be read");
        finish(w);
    }
}

/* ---- life ------------------------------------------------------------------------------------------- */

enum pl_status desk_open(struct server *server, struct pl_error *err)
{
    struct desk *desk = calloc(1, sizeof *desk);
    if (desk == NULL)
        return pl_error_set(err, PL_ENOMEM, "server: out of memory");
    desk->server = server;
    desk->last = &desk->first;
    desk->task = (struct http_task){.fn = on_done, .user = desk};
    (void)pthread_mutex_init(&desk->lock, NULL);
    (void)pthread_cond_init(&desk->wake, NULL);
    server->desk = desk;
    if (pthread_create(&desk->thread, NULL, run, desk) != 0)
        return pl_error_set(err, PL_EIO, "server: cannot start a thread");
    desk->running = true;
    return PL_OK;
}

void desk_stop(struct server *server)
{
    struct desk *desk = server->desk;
    if (desk == NULL || !desk->running)
        return;
    (void)pthread_mutex_lock(&desk->lock);
    desk->stop = true;
    (void)pthread_cond_signal(&desk->wake);
    (void)pthread_mutex_unlock(&desk->lock);
    (void)pthread_join(desk->thread, NULL);
    desk->running = false;
}

void desk_close(struct server *server)
{
    struct desk *desk = server->desk;
    if (desk == NULL)
        return;
    http_loop_unpost(server->loop, &desk->task);
    struct work *waiting = desk->first;
    finish_list(server, desk->done);
    finish_list(server, waiting);
    (void)pthread_mutex_destroy(&desk->lock);
    (void)pthread_cond_destroy(&desk->wake);
    free(desk);
    server->desk = NULL;
}
