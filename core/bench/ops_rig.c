/*
 * bench/ops_rig.c - placing a case on a device, running it, reading it back.
 */
#include "ops_rig.h"

#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define WORKSPACE_MIN 4096

static void on_log(PL_UNUSED void *user, enum pl_log_level level, const char *line)
{
    if (level <= PL_LOG_WARN)
        fprintf(stderr, "%s\n", line);
}

static bool on_aborted(PL_UNUSED void *user)
{
    return false;
}

enum pl_status ops_device_open(const struct pl_backend *table,
                               const struct ops_device_options *options, struct ops_device *ret,
                               struct pl_error *err)
{
    *ret = (struct ops_device){.table = table};
    ret->host = (struct pl_host){.struct_size = sizeof ret->host,
                                 .abi_major = PL_ABI_MAJOR,
                                 .abi_minor = PL_ABI_MINOR,
                                 .log = on_log,
                                 .aborted = on_aborted};
    struct pl_device_info info = {.struct_size = sizeof info};
    enum pl_status status = table->device_info(options->device_i, &info, err);
    if (status != PL_OK)
        return status;
    uint32_t align = info.alignment_bytes;
    if (align == 0 || (align & (align - 1)) != 0 || align > RIG_GUARD_BYTES)
        return pl_error_set(err, PL_EFORMAT, "device_info: alignment of %u bytes", align);
    ret->type = info.type;
    ret->alignment_bytes = align;
    const struct pl_device_options opening = {.struct_size = sizeof opening,
                                              .device_i = options->device_i,
                                              .n_threads = options->n_threads,
                                              .flags = options->flags,
                                              .settings = options->settings};
    status = table->device_open(&opening, &ret->host, &ret->device, err);
    if (status == PL_OK)
        status = table->stream_open(ret->device, &ret->stream, err);
    return status;
}

void ops_device_close(struct ops_device *device)
{
    if (device->table == NULL)
        return;
    device->table->stream_close(device->stream);
    device->table->device_close(device->device);
    *device = (struct ops_device){0};
}

struct pl_program_desc rig_desc(const struct ops_rig *rig)
{
    const struct ops_case *c = rig->c;
    return (struct pl_program_desc){
        .struct_size = sizeof(struct pl_program_desc),
        .values = rig->values,
        .ops = c->ops,
        .groups = &rig->group,
        .sets = rig->sets,
        .n_values = c->n_values,
        .value_stride = sizeof rig->values[0],
        .n_ops = c->n_ops,
        .op_stride = sizeof c->ops[0],
        .n_groups = c->has_kv ? 1 : 0,
        .group_stride = sizeof rig->group,
        .n_sets = rig->sets[0].buffer != NULL ? RIG_SETS : 0,
        .set_stride = sizeof rig->sets[0],
        .rows_max = c->rows_max,
        .seqs_max = PL_MAX(c->n_seqs, 1u),
        .outputs_max = PL_MAX(c->rows_max, 1u),
        .kv_tokens_max = c->has_kv ? c->group.max_blocks * c->group.block_tokens : c->rows_max,
        .workspace = rig->workspace,
    };
}

static struct pl_weight_desc weight_desc(const struct ops_value *v)
{
    return (struct pl_weight_desc){
        .struct_size = sizeof(struct pl_weight_desc),
        .dtype = v->value.dtype,
        .use = v->use,
        .rows = v->value.rows,
        .cols = v->value.cols,
        .row_end = v->value.rows,
        .col_end = v->value.cols,
    };
}

enum pl_status rig_describe(struct ops_rig *rig, const struct ops_device *device,
                            const struct ops_case *c, struct pl_error *err)
{
    *rig = (struct ops_rig){.device = device, .c = c, .group = c->group};
    for (uint32_t i = 0; i < c->n_values; i++) {
        rig->values[i] = c->values[i].value;
        if (rig->values[i].kind != PL_VALUE_WEIGHT)
            continue;
        struct pl_weight_desc desc = weight_desc(&c->values[i]);
        struct pl_weight_layout layout = {.struct_size = sizeof layout};
        enum pl_status status = device->table->weight_query(device->device, &desc, &layout, err);
        if (status != PL_OK)
            return status;
        rig->values[i].layout = layout.layout;
    }
    if (!c->has_kv)
        return PL_OK;
    struct pl_kv_layout layout = {.struct_size = sizeof layout};
    enum pl_status status = device->table->kv_query(device->device, &rig->group, &layout, err);
    rig->group.layout = layout.layout;
    rig->block_bytes = layout.block_bytes;
    return status;
}

/* Tries the file's bytes as they lie, at the 32-byte alignment that GGUF promises and no better. */
static bool import_weight(struct ops_rig *rig, uint32_t i)
{
    const struct ops_value *v = &rig->c->values[i];
    size_t bytes = pl_align_up(v->bytes + 32, 64);
    unsigned char *memory = aligned_alloc(64, bytes);
    if (memory == NULL)
        return false;
    rig->imported[i] = memory;
    memcpy(memory + 32, v->data, v->bytes);
    struct pl_error ignored;
    return rig->device->table->buffer_import(rig->device->device, memory + 32, v->bytes,
                                             &rig->buffers[i], &ignored) == PL_OK;
}

static enum pl_status place_weight(struct ops_rig *rig, uint32_t i, struct pl_error *err)
{
    const struct ops_device *d = rig->device;
    const struct ops_value *v = &rig->c->values[i];
    struct pl_weight_desc desc = weight_desc(v);
    struct pl_weight_layout layout = {.struct_size = sizeof layout};
    enum pl_status status = d->table->weight_query(d->device, &desc, &layout, err);
    if (status != PL_OK)
        return status;
    if (layout.in_place != 0 && import_weight(rig, i)) {
        rig->values[i].buffer = rig->buffers[i];
        return PL_OK;
    }
    status = d->table->buffer_new(d->device, PL_MEM_DEVICE, layout.bytes + d->alignment_bytes,
                                  &rig->buffers[i], err);
    if (status != PL_OK)
        return status;
    rig->values[i].buffer = rig->buffers[i];
    rig->values[i].offset = d->alignment_bytes; /* not the buffer's own beginning */
    return d->table->weight_pack(d->device, &desc, v->data, v->bytes, rig->buffers[i],
                                 rig->values[i].offset, err);
}

static enum pl_status place_act(struct ops_rig *rig, uint32_t i, struct pl_error *err)
{
    const struct pl_value *v = &rig->values[i];
    uint64_t bytes = (uint64_t)(v->rows * v->cols) * sizeof(float);
    enum pl_status status = rig->device->table->buffer_new(rig->device->device, PL_MEM_DEVICE,
                                                           bytes + 2 * (uint64_t)RIG_GUARD_BYTES,
                                                           &rig->buffers[i], err);
    rig->values[i].buffer = rig->buffers[i];
    rig->values[i].offset = RIG_GUARD_BYTES;
    if (status == PL_OK)
        status =
            rig_write(rig, i, rig->c->values[i].data, rig->c->values[i].data ? v->rows : 0, err);
    return status;
}

static enum pl_status fill_buffer(struct ops_rig *rig, struct pl_buffer *buffer, uint64_t bytes,
                                  struct pl_error *err)
{
    unsigned char *pattern = malloc(bytes);
    if (pattern == NULL)
        return pl_error_set(err, PL_ENOMEM, "no memory for a pattern");
    memset(pattern, RIG_PATTERN, bytes);
    enum pl_status status = rig->device->table->buffer_write(buffer, 0, pattern, bytes, err);
    free(pattern);
    return status;
}

static enum pl_status place_kv(struct ops_rig *rig, struct pl_error *err)
{
    uint64_t bytes = rig->block_bytes * rig->group.n_blocks;
    enum pl_status status = rig->device->table->buffer_new(rig->device->device, PL_MEM_DEVICE,
                                                           bytes, &rig->group.buffer, err);
    return status == PL_OK ? fill_buffer(rig, rig->group.buffer, bytes, err) : status;
}

/* Every binding gets room for the program's maxima, in every set. */
static enum pl_status place_sets(struct ops_rig *rig, struct pl_error *err)
{
    const struct ops_device *d = rig->device;
    uint64_t rows = (uint64_t)PL_MAX(rig->c->rows_max, 1u) + 1;
    uint64_t table = (uint64_t)PL_MAX(rig->c->n_seqs, 1u) * PL_MAX(rig->group.max_blocks, 1u);
    uint64_t each = pl_align_up(PL_MAX(rows, table) * sizeof(int32_t), RIG_GUARD_BYTES);
    for (uint32_t s = 0; s < RIG_SETS; s++) {
        struct pl_binding_set *set = &rig->sets[s];
        enum pl_status status = d->table->buffer_new(d->device, PL_MEM_BINDING,
                                                     each * PL_BINDING_MAX, &set->buffer, err);
        if (status != PL_OK)
            return status;
        for (uint32_t b = 0; b < PL_BINDING_MAX; b++)
            set->offset[b] = each * b;
        rig->set_bytes[s] = d->table->buffer_map(set->buffer);
        if (rig->set_bytes[s] == NULL)
            return pl_error_set(err, PL_EINTERNAL, "buffer_map: NULL for a binding buffer");
    }
    return PL_OK;
}

static enum pl_status query_ops(struct ops_rig *rig, uint64_t *ret_workspace, struct pl_error *err)
{
    struct pl_program_desc desc = rig_desc(rig);
    *ret_workspace = WORKSPACE_MIN;
    for (uint32_t i = 0; i < desc.n_ops; i++) {
        struct pl_op_support support = {.struct_size = sizeof support};
        enum pl_status status =
            rig->device->table->op_query(rig->device->device, &desc, i, &support, err);
        if (status != PL_OK)
            return status;
        *ret_workspace = PL_MAX(*ret_workspace, support.workspace_bytes);
    }
    return PL_OK;
}

static enum pl_status place_values(struct ops_rig *rig, struct pl_error *err)
{
    for (uint32_t i = 0; i < rig->c->n_values; i++) {
        enum pl_status status = PL_OK;
        if (rig->values[i].kind == PL_VALUE_WEIGHT)
            status = place_weight(rig, i, err);
        else if (rig->values[i].kind == PL_VALUE_ACT)
            status = place_act(rig, i, err);
        if (status != PL_OK)
            return status;
    }
    return PL_OK;
}

enum pl_status rig_init(struct ops_rig *rig, const struct ops_device *device,
                        const struct ops_case *c, struct pl_error *err)
{
    uint64_t workspace_bytes = 0;
    enum pl_status status = rig_describe(rig, device, c, err);
    if (status == PL_OK)
        status = query_ops(rig, &workspace_bytes, err);
    if (status != PL_OK)
        return status;
    status = place_values(rig, err);
    if (status == PL_OK && c->has_kv)
        status = place_kv(rig, err);
    if (status == PL_OK)
        status = place_sets(rig, err);
    if (status == PL_OK)
        status = device->table->buffer_new(device->device, PL_MEM_DEVICE, workspace_bytes,
                                           &rig->workspace, err);
    struct pl_program_desc desc = rig_desc(rig);
    if (status == PL_OK)
        status = device->table->program_new(device->device, &desc, &rig->program, err);
    if (status == PL_ENOTSUP) /* op_query said otherwise */
        status = pl_error_set(err, PL_EINTERNAL, "supported, but it can't be built");
    return status;
}

void rig_deinit(struct ops_rig *rig)
{
    if (rig->device == NULL)
        return;
    const struct pl_backend *table = rig->device->table;
    table->program_free(rig->program);
    table->buffer_free(rig->workspace);
    table->buffer_free(rig->group.buffer);
    for (uint32_t s = 0; s < RIG_SETS; s++)
        table->buffer_free(rig->sets[s].buffer);
    for (uint32_t i = 0; i < OPS_VALUES_MAX; i++) {
        table->buffer_free(rig->buffers[i]);
        free(rig->imported[i]);
    }
    *rig = (struct ops_rig){0};
}

int32_t *rig_binding(struct ops_rig *rig, uint32_t set, enum pl_binding binding)
{
    return (int32_t *)(void *)(rig->set_bytes[set] + rig->sets[set].offset[binding]);
}

static uint64_t act_bytes(const struct pl_value *v)
{
    return (uint64_t)(v->rows * v->cols) * sizeof(float) + 2 * (uint64_t)RIG_GUARD_BYTES;
}

enum pl_status rig_write(struct ops_rig *rig, uint32_t value_i, const float *rows, int64_t n_rows,
                         struct pl_error *err)
{
    const struct pl_value *v = &rig->values[value_i];
    uint64_t bytes = act_bytes(v);
    unsigned char *all = malloc(bytes);
    if (all == NULL)
        return pl_error_set(err, PL_ENOMEM, "no memory for an activation");
    memset(all, RIG_PATTERN, bytes);
    if (n_rows > 0)
        memcpy(all + RIG_GUARD_BYTES, rows, (size_t)(n_rows * v->cols) * sizeof(float));
    enum pl_status status =
        rig->device->table->buffer_write(rig->buffers[value_i], 0, all, bytes, err);
    free(all);
    return status;
}

enum pl_status rig_run(struct ops_rig *rig, const struct pl_step *step, struct pl_error *err)
{
    const struct ops_device *d = rig->device;
    enum pl_status status = d->table->program_submit(d->stream, rig->program, step, err);
    return status == PL_OK ? d->table->stream_sync(d->stream, err) : status;
}

static bool is_pattern(const unsigned char *bytes, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (bytes[i] != RIG_PATTERN)
            return false;
    return true;
}

enum pl_status rig_read(struct ops_rig *rig, uint32_t value_i, float *rows, int64_t n_rows,
                        struct pl_error *err)
{
    const struct pl_value *v = &rig->values[value_i];
    uint64_t bytes = act_bytes(v);
    unsigned char *all = malloc(bytes);
    if (all == NULL)
        return pl_error_set(err, PL_ENOMEM, "no memory for an activation");
    enum pl_status status =
        rig->device->table->buffer_read(rig->buffers[value_i], 0, all, bytes, err);
    if (status == PL_OK && !is_pattern(all, RIG_GUARD_BYTES))
        status = pl_error_set(err, PL_EINTERNAL, "wrote before value %u", value_i);
    if (status == PL_OK && !is_pattern(all + bytes - RIG_GUARD_BYTES, RIG_GUARD_BYTES))
        status = pl_error_set(err, PL_EINTERNAL, "wrote behind value %u", value_i);
    if (status == PL_OK)
        memcpy(rows, all + RIG_GUARD_BYTES, (size_t)(n_rows * v->cols) * sizeof(float));
    free(all);
    return status;
}

enum pl_status rig_check_blocks(struct ops_rig *rig, const bool *used, struct pl_error *err)
{
    unsigned char *block = malloc(rig->block_bytes);
    if (block == NULL)
        return pl_error_set(err, PL_ENOMEM, "no memory for a KV block");
    enum pl_status status = PL_OK;
    for (uint32_t b = 0; status == PL_OK && b < rig->group.n_blocks; b++) {
        if (used[b])
            continue;
        status = rig->device->table->buffer_read(rig->group.buffer, b * rig->block_bytes, block,
                                                 rig->block_bytes, err);
        if (status == PL_OK && !is_pattern(block, rig->block_bytes))
            status = pl_error_set(err, PL_EINTERNAL, "wrote to KV block %u of no sequence", b);
    }
    free(block);
    return status;
}
