/*
 * core/exec/place.c - weights: the layout that the device wants, buffers that hold them, packed bytes.
 *
 * Packed weights share buffers of up to the device's largest size; weights that a device takes as they lie
 * in the file are imported where they are mapped, without a copy.
 */
#include "internal.h"

#include <stdlib.h>

#include "base/banned.h"

static struct pl_weight_desc describe(const struct graph_weight *weight)
{
    return (struct pl_weight_desc){.struct_size = sizeof(struct pl_weight_desc),
                                   .dtype = weight->tensor->dtype,
                                   .use = weight->use,
                                   .rows = weight->tensor->dims[1],
                                   .cols = weight->tensor->dims[0],
                                   .row_begin = weight->row_begin,
                                   .row_end = weight->row_end,
                                   .col_begin = weight->col_begin,
                                   .col_end = weight->col_end};
}

static bool is_whole(const struct graph_weight *weight)
{
    return weight->row_end - weight->row_begin == weight->tensor->dims[1] &&
           weight->col_end - weight->col_begin == weight->tensor->dims[0];
}

/* Of the file, for progress. */
static uint64_t file_bytes(const struct graph_weight *weight)
{
    const struct gguf_tensor *tensor = weight->tensor;
    uint64_t rows = (uint64_t)(weight->row_end - weight->row_begin);
    return tensor->bytes / (uint64_t)tensor->dims[1] * rows;
}

enum pl_status exec_query_weights(struct exec *exec, struct pl_error *err)
{
    struct graph *graph = &exec->graph;
    for (uint32_t i = 0; i < graph->n_weights; i++) {
        struct graph_weight *weight = &graph->weights[i];
        struct pl_value *value = &graph->values[weight->value];
        struct pl_weight_desc desc = describe(weight);
        struct pl_weight_layout layout = {.struct_size = sizeof layout};
        struct pl_error why = {{0}};
        enum pl_status status = exec->api->weight_query(exec->device, &desc, &layout, &why);
        if (status != PL_OK)
            return pl_error_set(err, status, "exec: backend '%s', tensor '%s': %s", exec->api->name,
                                weight->tensor->name_text, why.msg);
        value->layout = layout.layout;
        weight->in_place = layout.in_place != 0 && is_whole(weight); /* parts may lie unaligned */
        weight->packed_bytes = pl_align_up(layout.bytes, exec->alignment_bytes);
    }
    return PL_OK;
}

static enum pl_status add_buffer(struct exec *exec, struct pl_buffer *buffer, struct pl_error *err)
{
    size_t n = exec->n_weight_buffers;
    struct pl_buffer **list = realloc(exec->weights, (n + 1) * sizeof(struct pl_buffer *));
    if (list == NULL) {
        exec->api->buffer_free(buffer);
        return pl_error_set(err, PL_ENOMEM, "exec: out of memory for the list of weight buffers");
    }
    exec->weights = list;
    exec->weights[exec->n_weight_buffers++] = buffer;
    return PL_OK;
}

/* Uses the file's own bytes, where the backend offered that; false: it can't after all. */
static bool import_in_place(struct exec *exec, const struct graph_weight *weight)
{
    struct pl_value *value = &exec->graph.values[weight->value];
    struct pl_buffer *buffer = NULL;
    if (exec->api->buffer_import(exec->device, weight->tensor->data, weight->tensor->bytes, &buffer,
                                 NULL) != PL_OK)
        return false;
    if (add_buffer(exec, buffer, NULL) != PL_OK)
        return false;
    value->buffer = buffer;
    value->offset = 0;
    return true;
}

/* Opens the next shared buffer: as much of the rest as fits one. */
static enum pl_status open_buffer(struct exec *exec, uint32_t from, uint64_t *ret_bytes,
                                  struct pl_error *err)
{
    const struct graph *graph = &exec->graph;
    uint64_t bytes = 0;
    for (uint32_t i = from; i < graph->n_weights; i++) {
        if (graph->values[graph->weights[i].value].buffer != NULL)
            continue;
        uint64_t more = graph->weights[i].packed_bytes;
        if (bytes > 0 && bytes + more > exec->buffer_bytes_max)
            break;
        bytes += more;
    }
    struct pl_buffer *buffer = NULL;
    struct pl_error why = {{0}};
    enum pl_status status =
        exec->api->buffer_new(exec->device, PL_MEM_DEVICE, bytes, &buffer, &why);
    if (status != PL_OK)
        return pl_error_set(err, status, "exec: %llu MiB of weights: %s",
                            (unsigned long long)(bytes >> 20), why.msg);
    *ret_bytes = bytes;
    return add_buffer(exec, buffer, err);
}

static void import_weights(struct exec *exec)
{
    for (uint32_t i = 0; i < exec->graph.n_weights; i++) {
        const struct graph_weight *weight = &exec->graph.weights[i];
        exec->info.weight_bytes += weight->packed_bytes;
        if (weight->in_place)
            (void)import_in_place(exec, weight); /* else it is copied like the others */
    }
}

static enum pl_status assign_buffers(struct exec *exec, struct pl_error *err)
{
    struct graph *graph = &exec->graph;
    uint64_t capacity = 0;
    uint64_t used = 0;
    for (uint32_t i = 0; i < graph->n_weights; i++) {
        struct pl_value *value = &graph->values[graph->weights[i].value];
        if (value->buffer != NULL)
            continue;
        uint64_t bytes = graph->weights[i].packed_bytes;
        if (capacity == 0 || used + bytes > capacity) {
            enum pl_status status = open_buffer(exec, i, &capacity, err);
            if (status != PL_OK)
                return status;
            used = 0;
        }
        value->buffer = exec->weights[exec->n_weight_buffers - 1];
        value->offset = used;
        used += bytes;
    }
    return PL_OK;
}

static enum pl_status pack(struct exec *exec, const struct graph_weight *weight,
                           struct pl_error *err)
{
    const struct pl_value *value = &exec->graph.values[weight->value];
    struct pl_weight_desc desc = describe(weight);
    struct pl_error why = {{0}};
    enum pl_status status =
        exec->api->weight_pack(exec->device, &desc, weight->tensor->data, weight->tensor->bytes,
                               value->buffer, value->offset, &why);
    if (status != PL_OK)
        return pl_error_set(err, status, "exec: tensor '%s': %s", weight->tensor->name_text,
                            why.msg);
    gguf_release_tensor(exec->options.file, weight->tensor);
    return PL_OK;
}

static bool is_imported(const struct exec *exec, const struct graph_weight *weight)
{
    const struct pl_value *value = &exec->graph.values[weight->value];
    return value->layout == PL_LAYOUT_FILE &&
           exec->api->buffer_map(value->buffer) == (const void *)weight->tensor->data;
}

enum pl_status exec_place_weights(struct exec *exec, struct pl_error *err)
{
    import_weights(exec);
    enum pl_status status = assign_buffers(exec, err);
    if (status != PL_OK)
        return status;
    uint64_t total = 0;
    uint64_t done = 0;
    for (uint32_t i = 0; i < exec->graph.n_weights; i++)
        total += file_bytes(&exec->graph.weights[i]);
    for (uint32_t i = 0; i < exec->graph.n_weights; i++) {
        const struct graph_weight *weight = &exec->graph.weights[i];
        if (!is_imported(exec, weight)) {
            status = pack(exec, weight, err);
            if (status != PL_OK)
                return status;
        }
        done += file_bytes(weight);
        if (exec->options.on_progress != NULL &&
            !exec->options.on_progress(exec->options.user, (double)done / (double)total))
            return pl_error_set(err, PL_ECANCELED, "exec: loading was given up");
    }
    return PL_OK;
}
