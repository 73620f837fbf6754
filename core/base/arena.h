/*
 * base/arena.h - bump allocation: many small pieces, one lifetime, freed together.
 *
 * Ownership: memory belongs to the arena until reset or deinit.  Threads: one owner at a time.
 * Errors: NULL on failure, and the arena stays usable.  Limits: a budget given at init; exceeding it
 * is a failure, so that hostile input cannot take more.  Source: ours.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <polder/base.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *head; /* newest chunk */
    size_t used_bytes;        /* handed out since init or reset, with alignment */
    size_t budget_bytes;      /* used_bytes never exceeds it */
};

/* No memory is taken before the first allocation. */
void arena_init(struct arena *arena, size_t budget_bytes);
void arena_deinit(struct arena *arena);

/* Forgets all allocations; keeps the newest chunk for reuse. */
void arena_reset(struct arena *arena);

/* bytes of memory aligned to 16, uninitialised / zeroed. 0 bytes gives a valid unique pointer. */
PL_NODISCARD void *arena_alloc(struct arena *arena, size_t bytes);
PL_NODISCARD void *arena_zalloc(struct arena *arena, size_t bytes);

/* Zeroed array of n elements; NULL on overflow too. */
PL_NODISCARD void *arena_array(struct arena *arena, size_t n, size_t elem_bytes);

/* A NUL-terminated copy of n bytes. */
PL_NODISCARD char *arena_strndup(struct arena *arena, const char *text, size_t n);

#endif
