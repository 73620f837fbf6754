/*
 * kv/links.h - a queue of small numbers from whose middle one can be taken: circular, doubly linked, in arrays.
 *
 *   node n is the head; next[n] the first, prev[n] the last; a number that is not in the queue points to itself.
 *
 * Ownership: the queue owns its array.  Threads: one owner.  Errors: init, for memory.  Source: ours.
 */
#ifndef KV_LINKS_H
#define KV_LINKS_H

#include <stdlib.h>

#include <polder/base.h>

struct kv_links {
    uint32_t n;     /* numbers 0 .. n-1 */
    uint32_t count; /* in the queue */
    uint32_t *next; /* [n + 1] */
    uint32_t *prev; /* [n + 1] */
};

PL_NODISCARD static inline bool kv_links_init(struct kv_links *links, uint32_t n)
{
    size_t words = (size_t)n + 1;
    uint32_t *next = malloc(2 * words * sizeof *next);
    if (next == NULL)
        return false;
    *links = (struct kv_links){.n = n, .next = next, .prev = next + words};
    for (uint32_t i = 0; i <= n; i++)
        links->next[i] = links->prev[i] = i;
    return true;
}

static inline void kv_links_deinit(struct kv_links *links)
{
    free(links->next);
    *links = (struct kv_links){0};
}

static inline bool kv_links_has(const struct kv_links *links, uint32_t i)
{
    return links->next[i] != i;
}

static inline void kv_links_push(struct kv_links *links, uint32_t i)
{
    links->prev[i] = links->prev[links->n];
    links->next[i] = links->n;
    links->next[links->prev[i]] = i;
    links->prev[links->n] = i;
    links->count++;
}

static inline void kv_links_remove(struct kv_links *links, uint32_t i)
{
    links->next[links->prev[i]] = links->next[i];
    links->prev[links->next[i]] = links->prev[i];
    links->next[i] = links->prev[i] = i;
    links->count--;
}

/* The first of the queue, which must not be empty. */
static inline uint32_t kv_links_first(const struct kv_links *links)
{
    return links->next[links->n];
}

#endif
