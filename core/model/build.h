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

/* Is there a tensor of this name? Layers as below. */
bool build_has(const struct build *b, int layer, const char *name);

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

/* Part [begin, end) of the rows of a matrix, or of the elements of a vector, that holds several of them one
 * behind the other. total: rows or elements of the whole. */
struct build_part {
    int64_t total, begin, end;
};
int32_t build_weight_part(struct build *b, int layer, const char *name,
                          const struct build_part *part, int64_t cols, enum build_need need);
int32_t build_vector_part(struct build *b, int layer, const char *name,
                          const struct build_part *part, enum build_need need);

/* KV groups from the hyper-parameters: one of the layers with full attention, one of those with a window,
 * each if there are such. */
void build_kv_groups(struct build *b);

/* Where the K and V of a layer are. */
struct build_kv {
    uint32_t group, layer;
};
struct build_kv build_kv_of(const struct build *b, int layer);

/* Appends op unless an error stuck. */
void build_op(struct build *b, const struct pl_op *op);

#endif
