/*
 * core/exec/plan.c - activation memory: every activation gets an offset in one buffer, shared by those
 * that are never alive together.
 *
 * A value is alive from the op that first writes it to the op that last touches it, both included, so an
 * op's outputs never overlap its other operands. Placement: largest first, each at the lowest offset that
 * is free during its life.
 *
 *   bytes ^  +----x----------------------------+
 *         |  |                                 |
 *         |  +-q-+  +--a--+ +---h---+          |
 *         +------------------------------------> ops
 */
#include "internal.h"

#include <stdlib.h>

#include "base/banned.h"

struct life {
    int32_t value;
    uint32_t first, last; /* op indices */
    uint64_t offset, bytes;
};

static void touch(struct life *lives, const struct graph *graph, int32_t value, uint32_t op_i)
{
    if (value == PL_NO_VALUE || graph->values[value].kind != PL_VALUE_ACT)
        return;
    struct life *life = &lives[value];
    if (life->value == PL_NO_VALUE)
        *life = (struct life){.value = value, .first = op_i};
    life->last = op_i;
}

static bool overlap(const struct life *a, const struct life *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static int by_offset(const void *a, const void *b)
{
    const struct life *x = *(const struct life *const *)a;
    const struct life *y = *(const struct life *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static int by_bytes_falling(const void *a, const void *b)
{
    const struct life *x = a;
    const struct life *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return (x->value > y->value) - (x->value < y->value);
}

/* Lowest offset where `life` fits beside the n placed ones; busy is scratch for n pointers. */
static uint64_t lowest_offset(struct life *placed, uint32_t n, const struct life *life,
                              const struct life **busy)
{
    uint32_t n_busy = 0;
    for (uint32_t i = 0; i < n; i++)
        if (overlap(&placed[i], life))
            busy[n_busy++] = &placed[i];
    qsort(busy, n_busy, sizeof(struct life *), by_offset);
    uint64_t offset = 0;
    for (uint32_t i = 0; i < n_busy; i++) {
        if (offset + life->bytes <= busy[i]->offset)
            break;
        offset = PL_MAX(offset, busy[i]->offset + busy[i]->bytes);
    }
    return offset;
}

/* Moves the values that are used to the front, with their sizes; how many. */
static uint32_t collect(struct life *lives, const struct graph *graph, uint32_t alignment_bytes)
{
    for (uint32_t i = 0; i < graph->n_values; i++)
        lives[i].value = PL_NO_VALUE;
    for (uint32_t i = 0; i < graph->n_ops; i++) {
        for (int slot = 0; slot < PL_OP_IN_MAX; slot++)
            touch(lives, graph, graph->ops[i].in[slot], i);
        for (int slot = 0; slot < PL_OP_OUT_MAX; slot++)
            touch(lives, graph, graph->ops[i].out[slot], i);
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < graph->n_values; i++) {
        if (lives[i].value == PL_NO_VALUE)
            continue;
        const struct pl_value *value = &graph->values[i];
        uint64_t elem_bytes = pl_dtype_info(value->dtype).block_bytes;
        lives[n] = lives[i];
        lives[n].bytes = pl_align_up((uint64_t)value->rows * (uint64_t)value->cols * elem_bytes,
                                     alignment_bytes);
        n++;
    }
    return n;
}

enum pl_status exec_plan_acts(struct graph *graph, uint32_t alignment_bytes, uint64_t *ret_bytes,
                              struct pl_error *err)
{
    struct life *lives = calloc(graph->n_values + 1, sizeof *lives);
    const struct life **busy = calloc(graph->n_values + 1, sizeof(struct life *));
    if (lives == NULL || busy == NULL) {
        free(lives);
        free(busy);
        return pl_error_set(err, PL_ENOMEM, "exec: out of memory for the activation plan");
    }
    uint32_t n = collect(lives, graph, alignment_bytes);
    qsort(lives, n, sizeof *lives, by_bytes_falling);
    uint64_t total = 0;
    for (uint32_t i = 0; i < n; i++) {
        lives[i].offset = lowest_offset(lives, i, &lives[i], busy);
        graph->values[lives[i].value].offset = lives[i].offset;
        total = PL_MAX(total, lives[i].offset + lives[i].bytes);
    }
    free(lives);
    free(busy);
    *ret_bytes = total;
    return PL_OK;
}
