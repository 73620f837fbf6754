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

/* "name", or "blk.<layer>.name" where layer >= 0. */
static void full_name(int layer, const char *name, char ret[NAME_MAX_BYTES])
{
    if (layer >= 0)
        (void)snprintf(ret, NAME_MAX_BYTES, "blk.%d.%s", layer, name);
    else
        (void)snprintf(ret, NAME_MAX_BYTES, "%s", name);
}

bool build_has(const struct build *b, int layer, const char *name)
{
    char full[NAME_MAX_BYTES];
    full_name(layer, name, full);
    return gguf_find_tensor(b->file, full) != NULL;
}

static bool is_weight_type(enum pl_dtype dtype)
{
    return dtype != PL_DTYPE_I8 && dtype != PL_DTYPE_I16 && dtype != PL_DTYPE_I32 &&
           dtype != PL_DTYPE_I64 && dtype != PL_DTYPE_F64;
}

/* What a tensor must be: [rows, cols], and the part of it that is wanted, in rows or (vectors) columns. */
struct shape {
    int64_t rows, cols;
    int64_t begin, end;
    uint32_t use; /* enum pl_weight_use */
};

static enum pl_status check_tensor(const struct build *b, const struct gguf_tensor *tensor,
                                   const struct shape *shape, const char *name)
{
    bool vector = shape->use == PL_USE_VECTOR;
    if (tensor->dims[0] != shape->cols || tensor->dims[1] != shape->rows || tensor->dims[2] != 1 ||
        tensor->dims[3] != 1 || (vector && tensor->n_dims != 1))
        return pl_error_set(b->err, PL_EFORMAT,
                            "model: tensor '%s': [%lld, %lld] in %u dims, expected [%lld, %lld]",
                            name, (long long)tensor->dims[0], (long long)tensor->dims[1],
                            tensor->n_dims, (long long)shape->cols, (long long)shape->rows);
    struct pl_dtype_info type = pl_dtype_info(tensor->dtype);
    if (!is_weight_type(tensor->dtype) || (vector && type.block_elems != 1))
        return pl_error_set(b->err, PL_ENOTSUP, "model: tensor '%s': type %s can't be a %s", name,
                            type.name, vector ? "vector" : "matrix");
    return PL_OK;
}

static int32_t add_weight(struct build *b, int layer, const char *name, const struct shape *shape,
                          enum build_need need)
{
    char full[NAME_MAX_BYTES];
    if (b->status != PL_OK)
        return PL_NO_VALUE;
    full_name(layer, name, full);
    const struct gguf_tensor *tensor = gguf_find_tensor(b->file, full);
    if (tensor == NULL) {
        if (need == BUILD_REQUIRED)
            b->status = pl_error_set(b->err, PL_EFORMAT, "model: tensor '%s': absent", full);
        return PL_NO_VALUE;
    }
    b->status = check_tensor(b, tensor, shape, full);
    if (b->status != PL_OK)
        return PL_NO_VALUE;
    /* Layer tensors are looked up once each, or in parts; only layer-less ones can be shared. */
    int32_t index = layer < 0 ? find_existing(b, tensor) : PL_NO_VALUE;
    if (index != PL_NO_VALUE)
        return index;
    bool vector = shape->use == PL_USE_VECTOR;
    struct graph_weight weight = {
        .tensor = tensor,
        .use = shape->use,
        .row_begin = vector ? 0 : shape->begin,
        .row_end = vector ? 1 : shape->end,
        .col_begin = vector ? shape->begin : 0,
        .col_end = vector ? shape->end : shape->cols,
    };
    struct pl_value value = {.kind = PL_VALUE_WEIGHT,
                             .dtype = tensor->dtype,
                             .rows = weight.row_end - weight.row_begin,
                             .cols = weight.col_end - weight.col_begin};
    index = graph_add_weight(b->graph, &weight, &value);
    fail_memory(b);
    return index;
}

int32_t build_weight_part(struct build *b, int layer, const char *name,
                          const struct build_part *part, int64_t cols, enum build_need need)
{
    const struct shape shape = {part->total, cols, part->begin, part->end, PL_USE_LINEAR};
    return add_weight(b, layer, name, &shape, need);
}

int32_t build_vector_part(struct build *b, int layer, const char *name,
                          const struct build_part *part, enum build_need need)
{
    const struct shape shape = {1, part->total, part->begin, part->end, PL_USE_VECTOR};
    return add_weight(b, layer, name, &shape, need);
}

int32_t build_weight(struct build *b, int layer, const char *name, int64_t rows, int64_t cols,
                     enum build_need need)
{
    const struct shape shape = {rows, cols, 0, rows, PL_USE_LINEAR};
    return add_weight(b, layer, name, &shape, need);
}

int32_t build_vector(struct build *b, int layer, const char *name, int64_t cols,
                     enum build_need need)
{
    const struct shape shape = {1, cols, 0, cols, PL_USE_VECTOR};
    return add_weight(b, layer, name, &shape, need);
}

int32_t build_table(struct build *b, const char *name, int64_t rows, int64_t cols, bool tied)
{
    const struct shape shape = {rows, cols, 0, rows, tied ? PL_USE_TIED : PL_USE_TABLE};
    return add_weight(b, -1, name, &shape, BUILD_REQUIRED);
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

static void add_kv_group(struct build *b, uint32_t window, uint32_t n_layers)
{
    const struct hparams *hp = b->hp;
    if (n_layers == 0)
        return;
    b->graph->groups[b->graph->n_groups++] = (struct pl_kv_group){
        .kind = window > 0 ? PL_KV_WINDOW : PL_KV_FULL,
        .dtype_k = b->limits->dtype_kv,
        .dtype_v = b->limits->dtype_kv,
        .n_layers = n_layers,
        .n_kv_heads = hp->n_kv_heads,
        .head_dim_k = hp->head_dim,
        .head_dim_v = hp->head_dim_v,
        .block_tokens = b->limits->block_tokens,
        .window_tokens = window,
    };
}

void build_kv_groups(struct build *b)
{
    uint32_t n_windowed = 0;
    if (b->status != PL_OK)
        return;
    for (uint32_t i = 0; i < b->hp->n_layers; i++)
        n_windowed += b->hp->windowed[i];
    add_kv_group(b, 0, b->hp->n_layers - n_windowed);
    add_kv_group(b, b->hp->window, n_windowed);
}

struct build_kv build_kv_of(const struct build *b, int layer)
{
    const struct hparams *hp = b->hp;
    bool windowed = hp->windowed[layer];
    bool any_full = false;
    struct build_kv kv = {0};
    for (int i = 0; i < layer; i++)
        kv.layer += hp->windowed[i] == windowed;
    for (uint32_t i = 0; i < hp->n_layers; i++)
        any_full = any_full || !hp->windowed[i];
    kv.group = windowed && any_full ? 1 : 0;
    return kv;
}

void build_op(struct build *b, const struct pl_op *op)
{
    if (b->status != PL_OK)
        return;
    graph_add_op(b->graph, op);
    fail_memory(b);
}
