/* See build.h. */
#include "build.h"

#include <polder/backend.h>
#include <stdio.h>

#include "base/banned.h"

#define NAME_MAX_BYTES 72 /* GGUF tensor names are at most 64 bytes */

static void fail_memory(struct build *b)
{
    if (b->status == PL_OK && b->graph->failed)
        b->status = pl_error_set(b->err, PL_ENOMEM, "model: out of memory for the op list");
}

static int32_t find_existing(const struct build *b, const struct gguf_tensor *tensor)
{
    for (uint32_t i = 0; i < b->graph->n_weights; i++)
        if (b->graph->weights[i].tensor == tensor)
            return b->graph->weights[i].value;
    return PL_NO_VALUE;
}

static bool is_weight_type(enum pl_dtype dtype)
{
    return dtype != PL_DTYPE_I8 && dtype != PL_DTYPE_I16 && dtype != PL_DTYPE_I32 &&
           dtype != PL_DTYPE_I64 && dtype != PL_DTYPE_F64;
}

static int32_t add_weight(struct build *b, int layer, const char *name, const int64_t shape[2],
                          uint32_t use, enum build_need need)
{
    char full[NAME_MAX_BYTES];
    if (b->status != PL_OK)
        return PL_NO_VALUE;
    if (layer >= 0)
        (void)snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    else
        (void)snprintf(full, sizeof full, "%s", name);
    const struct gguf_tensor *tensor = gguf_find_tensor(b->file, full);
    if (tensor == NULL) {
        if (need == BUILD_REQUIRED)
            b->status = pl_error_set(b->err, PL_EFORMAT, "model: tensor '%s': absent", full);
        return PL_NO_VALUE;
    }
    bool vector = use == PL_USE_VECTOR;
    if (tensor->dims[0] != shape[1] || tensor->dims[1] != shape[0] || tensor->dims[2] != 1 ||
        tensor->dims[3] != 1 || (vector && tensor->n_dims != 1)) {
        b->status =
            pl_error_set(b->err, PL_EFORMAT,
                         "model: tensor '%s': [%lld, %lld] in %u dims, expected [%lld, %lld]", full,
                         (long long)tensor->dims[0], (long long)tensor->dims[1], tensor->n_dims,
                         (long long)shape[1], (long long)shape[0]);
        return PL_NO_VALUE;
    }
    struct pl_dtype_info type = pl_dtype_info(tensor->dtype);
    if (!is_weight_type(tensor->dtype) || (vector && type.block_elems != 1)) {
        b->status = pl_error_set(b->err, PL_ENOTSUP, "model: tensor '%s': type %s can't be a %s",
                                 full, type.name, vector ? "vector" : "matrix");
        return PL_NO_VALUE;
    }
    /* Layer tensors are looked up once each; only layer-less ones can be shared. */
    int32_t index = layer < 0 ? find_existing(b, tensor) : PL_NO_VALUE;
    if (index != PL_NO_VALUE)
        return index;
    struct pl_value value = {
        .kind = PL_VALUE_WEIGHT, .dtype = tensor->dtype, .rows = shape[0], .cols = shape[1]};
    index = graph_add_weight(b->graph, tensor, use, &value);
    fail_memory(b);
    return index;
}

int32_t build_weight(struct build *b, int layer, const char *name, int64_t rows, int64_t cols,
                     enum build_need need)
{
    return add_weight(b, layer, name, (const int64_t[2]){rows, cols}, PL_USE_LINEAR, need);
}

int32_t build_vector(struct build *b, int layer, const char *name, int64_t cols,
                     enum build_need need)
{
    return add_weight(b, layer, name, (const int64_t[2]){1, cols}, PL_USE_VECTOR, need);
}

int32_t build_table(struct build *b, const char *name, int64_t rows, int64_t cols, bool tied)
{
    return add_weight(b, -1, name, (const int64_t[2]){rows, cols},
                      tied ? PL_USE_TIED : PL_USE_TABLE, BUILD_REQUIRED);
}

static int64_t rows_of(const struct build *b, enum pl_rows rows)
{
    switch (rows) {
    case PL_ROWS_TOKENS: return b->limits->rows_max;
    case PL_ROWS_OUTPUTS: return b->limits->outputs_max;
    case PL_ROWS_SEQS: return b->limits->seqs_max;
    case PL_ROWS_FIXED: return 1;
    }
    return 1;
}

static int32_t add_value(struct build *b, const struct pl_value *value)
{
    if (b->status != PL_OK)
        return PL_NO_VALUE;
    int32_t index = graph_add_value(b->graph, value);
    fail_memory(b);
    return index;
}

int32_t build_act(struct build *b, enum pl_rows rows, int64_t cols)
{
    struct pl_value value = {.kind = PL_VALUE_ACT,
                             .dtype = PL_DTYPE_F32,
                             .row_kind = rows,
                             .rows = rows_of(b, rows),
                             .cols = cols};
    return add_value(b, &value);
}

int32_t build_binding(struct build *b, enum pl_binding binding, enum pl_rows rows, int64_t cols,
                      uint32_t dtype)
{
    struct pl_value value = {.kind = PL_VALUE_BINDING,
                             .dtype = dtype,
                             .row_kind = rows,
                             .binding = binding,
                             .rows = rows_of(b, rows),
                             .cols = cols};
    return add_value(b, &value);
}

uint32_t build_full_kv_group(struct build *b)
{
    const struct hparams *hp = b->hp;
    struct graph *graph = b->graph;
    if (b->status != PL_OK)
        return 0;
    graph->groups[graph->n_groups] = (struct pl_kv_group){
        .kind = PL_KV_FULL,
        .dtype_k = b->limits->dtype_kv,
        .dtype_v = b->limits->dtype_kv,
        .n_layers = hp->n_layers,
        .n_kv_heads = hp->n_kv_heads,
        .head_dim_k = hp->head_dim,
        .head_dim_v = hp->head_dim_v,
        .block_tokens = b->limits->block_tokens,
    };
    return graph->n_groups++;
}

void build_op(struct build *b, const struct pl_op *op)
{
    if (b->status != PL_OK)
        return;
    graph_add_op(b->graph, op);
    fail_memory(b);
}
