/*
 * See loop.h: timers as an intrusive pairing heap, least due_ns at the root.
 *
 *   root            child: the first of a node's children
 *    |- a           next:  right sibling
 *    |  `- c        prev:  left sibling, or the parent for a first child; NULL for the root
 *    `- b
 *
 * Arm is O(1), cancel and pop O(log n) amortised, and no operation needs memory.
 */
#include "timer.h"

#include "base/clock.h"

#include "base/banned.h"

/* Joins two roots (either may be NULL); returns the new root. */
static struct http_timer *meld(struct http_timer *a, struct http_timer *b)
{
    if (a == NULL || b == NULL)
        return a == NULL ? b : a;
    if (b->due_ns < a->due_ns) {
        struct http_timer *t = a;
        a = b;
        b = t;
    }
    b->next = a->child;
    if (b->next != NULL)
        b->next->prev = b;
    b->prev = a;
    a->child = b;
    return a;
}

/* Joins a list of siblings into one heap: pairs from left to right, then all from right to left. */
static struct http_timer *meld_siblings(struct http_timer *first)
{
    struct http_timer *pairs = NULL; /* linked by next, last pair first */
    while (first != NULL) {
        struct http_timer *a = first, *b = first->next;
        first = b != NULL ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b != NULL)
            b->next = b->prev = NULL;
        a = meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    struct http_timer *root = NULL;
    while (pairs != NULL) {
        struct http_timer *rest = pairs->next;
        pairs->next = NULL;
        root = meld(root, pairs);
        pairs = rest;
    }
    return root;
}

static void detach(struct http_timer *timer)
{
    if (timer->prev->child == timer)
        timer->prev->child = timer->next;
    else
        timer->prev->next = timer->next;
    if (timer->next != NULL)
        timer->next->prev = timer->prev;
}

void http_timers_insert(struct http_timer **root, struct http_timer *timer)
{
    timer->child = timer->next = timer->prev = NULL;
    timer->armed = true;
    *root = meld(*root, timer);
}

void http_timers_remove(struct http_timer **root, struct http_timer *timer)
{
    struct http_timer *children = meld_siblings(timer->child);
    if (timer == *root) {
        *root = children;
    } else {
        detach(timer);
        *root = meld(*root, children);
    }
    timer->child = timer->next = timer->prev = NULL;
    timer->armed = false;
}
