/*
 * model/graph.h - a model as flat lists: values, ops, KV groups and where each weight comes from.
 *
 * Emitters fill a graph, core/exec rewrites it (decomposition) and places it on a device. Lists grow; an
 * index, once given, stays.
 *
 * Ownership: the graph owns its lists; tensors point into the opened file.  Threads: one owner.
 * Errors: a sticky flag: after a failed growth additions do nothing and `failed` is true.
 * Limits: GRAPH_*_MAX.  Source: ours.
 */
#ifndef MODEL_GRAPH_H
#define MODEL_GRAPH_H

#include "gguf/gguf.h"

#include <polder/step.h>

#define GRAPH_VALUES_MAX (1u << 20) /* 1,024 layers of 1,024 values: beyond any model */
#define GRAPH_OPS_MAX    (1u << 18)

/* Where a PL_VALUE_WEIGHT comes from. */
struct graph_weight {
    const struct gguf_tensor *tensor;
    uint32_t use;                                   /* enum pl_weight_use */
    int64_t row_begin, row_end, col_begin, col_end; /* the part of the tensor; whole for most */
    int32_t value;                                  /* index of its value */
    uint64_t packed_bytes;                          /* core/exec: size in the device's layout */
    bool in_place; /* core/exec: the device takes the file's own bytes */
};

struct graph {
    struct pl_value *values;
    struct pl_op *ops;
    struct graph_weight *weights;
    struct pl_kv_group groups[PL_KV_GROUPS_MAX];
    uint32_t n_values, n_ops, n_weights, n_groups;
    uint32_t values_cap, ops_cap, weights_cap;
    bool failed;
};

void graph_init(struct graph *graph);
void graph_deinit(struct graph *graph);

/* Appends a copy; the index, or PL_NO_VALUE after a failure. */
int32_t graph_add_value(struct graph *graph, const struct pl_value *value);
void graph_add_op(struct graph *graph, const struct pl_op *op);
/* weight->value is filled in; packed_bytes and in_place stay for core/exec. */
int32_t graph_add_weight(struct graph *graph, const struct graph_weight *weight,
                         const struct pl_value *value);

/* A new activation shaped like rows of `like` with `cols` columns. */
int32_t graph_add_act_like(struct graph *graph, int32_t like, int64_t cols);

/* An op with all operands absent and parameters zero. */
struct pl_op graph_op(enum pl_opcode opcode);

#endif
