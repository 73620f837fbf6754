/* See graph.h. */
#include "graph.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define GROW_MIN 64

void graph_init(struct graph *graph)
{
    *graph = (struct graph){0};
}

void graph_deinit(struct graph *graph)
{
    if (graph == NULL)
        return;
    free(graph->values);
    free(graph->ops);
    free(graph->weights);
    graph_init(graph);
}

/* The list with room for one more element; NULL (and failed) when there is none to be had. */
static void *grow(struct graph *graph, void *list, uint32_t n, uint32_t *cap, uint32_t max,
                  size_t elem_bytes)
{
    if (graph->failed)
        return NULL;
    if (n < *cap)
        return list;
    uint32_t want = *cap == 0 ? GROW_MIN : *cap * 2;
    void *bigger = n < max ? realloc(list, want * elem_bytes) : NULL;
    if (bigger == NULL) {
        graph->failed = true;
        return NULL;
    }
    *cap = want;
    return bigger;
}

int32_t graph_add_value(struct graph *graph, const struct pl_value *value)
{
    struct pl_value *list = grow(graph, graph->values, graph->n_values, &graph->values_cap,
                                 GRAPH_VALUES_MAX, sizeof *graph->values);
    if (list == NULL)
        return PL_NO_VALUE;
    graph->values = list;
    list[graph->n_values] = *value;
    return (int32_t)graph->n_values++;
}

void graph_add_op(struct graph *graph, const struct pl_op *op)
{
    struct pl_op *list =
        grow(graph, graph->ops, graph->n_ops, &graph->ops_cap, GRAPH_OPS_MAX, sizeof *graph->ops);
    if (list == NULL)
        return;
    graph->ops = list;
    list[graph->n_ops++] = *op;
}

int32_t graph_add_weight(struct graph *graph, const struct graph_weight *weight,
                         const struct pl_value *value)
{
    struct graph_weight *list = grow(graph, graph->weights, graph->n_weights, &graph->weights_cap,
                                     GRAPH_VALUES_MAX, sizeof *graph->weights);
    if (list == NULL)
        return PL_NO_VALUE;
    graph->weights = list;
    int32_t index = graph_add_value(graph, value);
    if (index == PL_NO_VALUE)
        return index;
    list[graph->n_weights] = *weight;
    list[graph->n_weights++].value = index;
    return index;
}

int32_t graph_add_act_like(struct graph *graph, int32_t like, int64_t cols)
{
    if (graph->failed)
        return PL_NO_VALUE;
    const struct pl_value *rows = &graph->values[like];
    struct pl_value value = {.kind = PL_VALUE_ACT,
                             .dtype = PL_DTYPE_F32,
                             .row_kind = rows->row_kind,
                             .rows = rows->rows,
                             .cols = cols};
    return graph_add_value(graph, &value);
}

struct pl_op graph_op(enum pl_opcode opcode)
{
    struct pl_op op;
    memset(&op, 0, sizeof op);
    op.opcode = opcode;
    for (int i = 0; i < PL_OP_IN_MAX; i++)
        op.in[i] = PL_NO_VALUE;
    for (int i = 0; i < PL_OP_OUT_MAX; i++)
        op.out[i] = PL_NO_VALUE;
    return op;
}
