/*
 * http/timer.h - the heap behind a loop's timers.
 *
 * Private to the room.  Ownership: the caller's timers.  Threads: one owner.  Source: Fredman, Sedgewick,
 * Sleator, Tarjan, "The pairing heap: a new form of self-adjusting heap", 1986.
 */
#ifndef HTTP_TIMER_H
#define HTTP_TIMER_H

#include "loop.h"

/* *root: the timer that is due first, or NULL. timer->due_ns is set; the timer is not armed. */
void http_timers_insert(struct http_timer **root, struct http_timer *timer);
/* The timer is in this heap. */
void http_timers_remove(struct http_timer **root, struct http_timer *timer);

#endif
