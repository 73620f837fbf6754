/*
 * core/model/build.h - what emitters write with: tensors looked up by name with their shape stated, ops
 * appended in order (private).
 *
 * The first error sticks: later calls do nothing and return PL_NO_VALUE, so that an emitter reads as the
 * formula that it is and nobody checks in between.
 */
#ifndef MODEL_BUILD_H
#define MODEL_BUILD_H

#include "graph.h"
#include "hparams.h"
#include "model.h"

struct build {
    const struct gguf *file;
    const struct hparams *hp;
    const struct model_limits *limits;
    struct graph *graph;
    enum pl_status status; /* the first error */
    struct pl_error *err;
};

/* Weight "name" or "blk.<layer>.<name>" (layer >= 0) of [rows, cols]; vectors have 1 row. A required one
 * that is absent, or any of another shape, is an error. Optional: PL_NO_VALUE when absent. */
enum build_need { BUILD_REQUIRED, BUILD_OPTIONAL };
int32_t build_weight(struct build *b, int layer, const char *name, int64_t rows, int64_t cols,
                     enum build_need need);
int32_t build_vector(struct build *b, int layer, const char *name, int64_t cols,
                     enum build_need need);
/* The embedding table; tied: it is the output matrix too. */
int32_t build_table(struct build *b, const char *name, int64_t rows, int64_t cols, bool tied);

int32_t build_act(struct build *b, enum pl_rows rows, int64_t cols);
int32_t build_binding(struct build *b, enum pl_binding binding, enum pl_rows rows, int64_t cols,
                      uint32_t dtype);

/* A layer group of full attention over all layers, from the hyper-parameters; its number. */
uint32_t build_full_kv_group(struct build *b);

/* Appends op unless an error stuck. */
void build_op(struct build *b, const struct pl_op *op);

#endif
