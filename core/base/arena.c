/* See arena.h. Chunks double from ARENA_CHUNK_MIN up to ARENA_CHUNK_MAX; larger requests get their own. */
#include "arena.h"

#include <stdlib.h>
#include <string.h>

#include "banned.h"

#define ARENA_ALIGN     16
#define ARENA_CHUNK_MIN 4096          /* one page */
#define ARENA_CHUNK_MAX (1024 * 1024) /* beyond it doubling only wastes */

struct arena_chunk {
    struct arena_chunk *next; /* older */
    size_t capacity;          /* bytes behind this header */
    size_t used;
    size_t reserved; /* keeps the data aligned to 16 */
};

_Static_assert(sizeof(struct arena_chunk) % ARENA_ALIGN == 0, "data behind the header is aligned");

void arena_init(struct arena *arena, size_t budget_bytes)
{
    *arena = (struct arena){.budget_bytes = budget_bytes};
}

static void free_from(struct arena_chunk *chunk)
{
    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void arena_deinit(struct arena *arena)
{
    if (arena == NULL)
        return;
    free_from(arena->head);
    arena->head = NULL;
    arena->used_bytes = 0;
}

void arena_reset(struct arena *arena)
{
    if (arena->head != NULL) {
        free_from(arena->head->next);
        arena->head->next = NULL;
        arena->head->used = 0;
    }
    arena->used_bytes = 0;
}

static struct arena_chunk *grow(struct arena *arena, size_t bytes)
{
    size_t capacity = ARENA_CHUNK_MIN - sizeof(struct arena_chunk);
    if (arena->head != NULL)
        capacity = PL_MIN(arena->head->capacity * 2, (size_t)ARENA_CHUNK_MAX);
    capacity = PL_MAX(capacity, bytes) & ~(size_t)(ARENA_ALIGN - 1);
    struct arena_chunk *chunk = malloc(sizeof *chunk + capacity);
    if (chunk == NULL)
        return NULL;
    *chunk = (struct arena_chunk){.next = arena->head, .capacity = capacity};
    arena->head = chunk;
    return chunk;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    size_t need = pl_align_up(PL_MAX(bytes, (size_t)1), ARENA_ALIGN);
    if (need > arena->budget_bytes - arena->used_bytes)
        return NULL;
    struct arena_chunk *chunk = arena->head;
    if (chunk == NULL || chunk->capacity - chunk->used < need) {
        chunk = grow(arena, need);
        if (chunk == NULL)
            return NULL;
    }
    char *data = (char *)(chunk + 1) + chunk->used;
    chunk->used += need;
    arena->used_bytes += need;
    return data;
}

void *arena_zalloc(struct arena *arena, size_t bytes)
{
    void *p = arena_alloc(arena, bytes);
    if (p != NULL)
        memset(p, 0, bytes);
    return p;
}

void *arena_array(struct arena *arena, size_t n, size_t elem_bytes)
{
    size_t bytes = 0;
    return pl_mul_size(n, elem_bytes, &bytes) ? arena_zalloc(arena, bytes) : NULL;
}

char *arena_strndup(struct arena *arena, const char *text, size_t n)
{
    char *copy = n < SIZE_MAX ? arena_alloc(arena, n + 1) : NULL;
    if (copy != NULL) {
        memcpy(copy, text, n);
        copy[n] = '\0';
    }
    return copy;
}
