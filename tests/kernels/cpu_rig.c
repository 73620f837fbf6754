/*
 * cpu_rig.c - see cpu_rig.h.
 */
#include "cpu_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SENTINEL_BYTES 64
#define SENTINEL       0xa5

uint32_t rig_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint32_t)(*seed >> 32);
}

float rig_uniform(uint64_t *seed)
{
    return (float)rig_random(seed) * 0x1p-31F - 1.0F;
}

static bool on_aborted(void *user)
{
    const struct rig *rig = user;
    return rig->abort;
}

enum pl_status rig_try_open(struct rig *rig, const struct rig_options *options,
                            struct pl_error *err)
{
    static const char *const isa_settings[] = {"isa=auto", "isa=scalar", "isa=avx2", "isa=avx512",
                                               "isa=neon"};
    const char *settings[RIG_SETTINGS] = {NULL};
    for (size_t i = 0; options->isa != NULL && i < PL_ARRAY_LEN(isa_settings); i++)
        if (strcmp(isa_settings[i] + 4, options->isa) == 0)
            settings[0] = isa_settings[i];
    *rig = (struct rig){.table = pl_backend_entry(), .seed = 88172645463325252u};
    rig->host = (struct pl_host){
        .struct_size = sizeof rig->host,
        .user = rig,
        .aborted = on_aborted,
    };
    struct pl_device_options device = {
        .struct_size = sizeof device,
        .n_threads = options->n_threads,
        .flags = options->reference ? PL_DEVICE_REFERENCE : 0,
        .settings = settings,
    };
    rig->desc = (struct pl_program_desc){
        .struct_size = sizeof rig->desc,
        .value_stride = sizeof(struct pl_value),
        .op_stride = sizeof(struct pl_op),
        .group_stride = sizeof(struct pl_kv_group),
        .set_stride = sizeof(struct pl_binding_set),
        .rows_max = PL_MAX(options->rows, 1u),
        .seqs_max = PL_MAX(options->seqs, 1u),
        .outputs_max = PL_MAX(options->outputs, 1u),
        .kv_tokens_max = PL_MAX(options->kv_tokens, 1u),
    };
    enum pl_status status = rig->table->device_open(&device, &rig->host, &rig->device, err);
    if (status == PL_OK)
        status = rig->table->stream_open(rig->device, &rig->stream, err);
    return status;
}

void rig_open(struct rig *rig, const struct rig_options *options)
{
    struct pl_error err = {""};
    if (rig_try_open(rig, options, &err) != PL_OK)
        fail_msg("%s", err.msg);
}

void rig_close(struct rig *rig)
{
    rig_check(rig);
    rig->table->program_free(rig->program);
    rig->table->buffer_free(rig->workspace);
    rig->table->buffer_free(rig->group.buffer);
    for (int i = 0; i < 2; i++)
        rig->table->buffer_free(rig->sets[i].buffer);
    for (uint32_t i = 0; i < rig->desc.n_values; i++)
        rig->table->buffer_free(rig->buffers[i]);
    rig->table->stream_close(rig->stream);
    rig->table->device_close(rig->device);
}

static int32_t add_value(struct rig *rig, const struct pl_value *value)
{
    assert_true(rig->desc.n_values < RIG_VALUES);
    rig->values[rig->desc.n_values] = *value;
    return (int32_t)rig->desc.n_values++;
}

static struct pl_buffer *new_buffer(struct rig *rig, uint64_t bytes)
{
    struct pl_buffer *buffer = NULL;
    struct pl_error err;
    assert_int_equal(rig->table->buffer_new(rig->device, PL_MEM_DEVICE, bytes, &buffer, &err),
                     PL_OK);
    return buffer;
}

int32_t rig_act(struct rig *rig, uint32_t row_kind, int64_t rows, int64_t cols)
{
    size_t bytes = (size_t)rows * (size_t)cols * sizeof(float);
    struct pl_value v = {
        .kind = PL_VALUE_ACT,
        .dtype = PL_DTYPE_F32,
        .row_kind = row_kind,
        .rows = rows,
        .cols = cols,
        .buffer = new_buffer(rig, bytes + 2 * (size_t)SENTINEL_BYTES),
        .offset = SENTINEL_BYTES,
    };
    memset(rig->table->buffer_map(v.buffer), SENTINEL, bytes + 2 * (size_t)SENTINEL_BYTES);
    int32_t i = add_value(rig, &v);
    rig->buffers[i] = v.buffer;
    rig_fill(rig, i, rig->seed + (uint64_t)i);
    return i;
}

void rig_fill(struct rig *rig, int32_t value, uint64_t seed)
{
    float *data = rig_data(rig, value);
    const struct pl_value *v = &rig->values[value];
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    for (int64_t i = 0; i < v->rows * v->cols; i++)
        data[i] = rig_uniform(&state) * 2.0F;
}

void rig_check(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->desc.n_values; i++) {
        const struct pl_value *v = &rig->values[i];
        if (v->kind != PL_VALUE_ACT)
            continue;
        const uint8_t *base = rig->table->buffer_map(v->buffer);
        const uint8_t *end =
            base + SENTINEL_BYTES +
            (size_t)v->rows * (size_t)v->cols * pl_dtype_info(v->dtype).block_bytes;
        for (int k = 0; k < SENTINEL_BYTES; k++)
            if (base[k] != SENTINEL || end[k] != SENTINEL)
                fail_msg("value %u: a sentinel was overwritten", i);
    }
}

/* Offsets of f16 scales in a block. */
static const struct {
    uint32_t dtype;
    int at[2];
} scales[] = {
    {PL_DTYPE_Q4_0, {0, -1}},   {PL_DTYPE_Q4_1, {0, 2}},    {PL_DTYPE_Q5_0, {0, -1}},
    {PL_DTYPE_Q5_1, {0, 2}},    {PL_DTYPE_Q8_0, {0, -1}},   {PL_DTYPE_Q2_K, {80, 82}},
    {PL_DTYPE_Q3_K, {108, -1}}, {PL_DTYPE_Q4_K, {0, 2}},    {PL_DTYPE_Q5_K, {0, 2}},
    {PL_DTYPE_Q6_K, {208, -1}}, {PL_DTYPE_IQ4_NL, {0, -1}}, {PL_DTYPE_IQ4_XS, {0, -1}},
};

static void tame_block(uint32_t dtype, uint8_t *block, uint64_t *seed)
{
    if (dtype == PL_DTYPE_MXFP4)
        block[0] = (uint8_t)(120 + block[0] % 8);
    for (size_t k = 0; k < PL_ARRAY_LEN(scales); k++) {
        if (scales[k].dtype != dtype)
            continue;
        for (int s = 0; s < 2; s++) {
            uint16_t half = (uint16_t)(0x1c00u + rig_random(seed) % 0x800u); /* 2^-8 .. 2^-6 */
            if (scales[k].at[s] >= 0)
                memcpy(block + scales[k].at[s], &half, sizeof half);
        }
    }
}

void rig_random_blocks(uint32_t dtype, uint8_t *dst, size_t bytes, uint64_t *seed)
{
    struct pl_dtype_info info = pl_dtype_info(dtype);
    for (size_t i = 0; i < bytes; i += info.block_bytes) {
        for (size_t k = 0; k < info.block_bytes; k++)
            dst[i + k] = (uint8_t)rig_random(seed);
        float plain = rig_uniform(seed);
        uint32_t bits;
        memcpy(&bits, &plain, sizeof bits);
        uint16_t bf16 = (uint16_t)(bits >> 16);
        /* Sign, exponent 2^-6 .. 2^-1, any mantissa. */
        uint16_t f16 = (uint16_t)((rig_random(seed) & 0x83ffu) | (9 + rig_random(seed) % 6) << 10);
        if (dtype == PL_DTYPE_F32)
            memcpy(dst + i, &plain, sizeof plain);
        else if (dtype == PL_DTYPE_BF16)
            memcpy(dst + i, &bf16, sizeof bf16);
        else if (dtype == PL_DTYPE_F16)
            memcpy(dst + i, &f16, sizeof f16);
        else
            tame_block(dtype, dst + i, seed);
    }
}

int32_t rig_weight(struct rig *rig, uint32_t dtype, uint32_t use, int64_t rows, int64_t cols)
{
    struct pl_error err;
    size_t row_bytes = 0;
    struct pl_weight_layout layout = {.struct_size = sizeof layout};
    struct pl_weight_desc desc = {
        .struct_size = sizeof desc,
        .dtype = dtype,
        .use = use,
        .rows = rows,
        .cols = cols,
        .row_end = rows,
        .col_end = cols,
    };
    uint64_t seed = (rig->seed + rig->desc.n_values) * 0x9e3779b97f4a7c15u + 7;
    assert_true(pl_row_bytes(dtype, cols, &row_bytes) && rows > 0 && row_bytes > 0);
    if (rows <= 0 || row_bytes == 0)
        return PL_NO_VALUE;
    uint8_t *file = malloc((size_t)rows * row_bytes);
    assert_non_null(file);
    rig_random_blocks(dtype, file, (size_t)rows * row_bytes, &seed);
    if (rig->table->weight_query(rig->device, &desc, &layout, &err) != PL_OK)
        fail_msg("%s", err.msg);
    struct pl_buffer *buffer = new_buffer(rig, layout.bytes);
    if (rig->table->weight_pack(rig->device, &desc, file, (size_t)rows * row_bytes, buffer, 0,
                                &err) != PL_OK)
        fail_msg("%s", err.msg);
    free(file);
    int32_t i = add_value(rig, &(struct pl_value){
                                   .kind = PL_VALUE_WEIGHT,
                                   .dtype = dtype,
                                   .rows = rows,
                                   .cols = cols,
                                   .buffer = buffer,
                                   .layout = layout.layout,
                               });
    rig->buffers[i] = buffer;
    return i;
}

int32_t rig_vector(struct rig *rig, int64_t cols)
{
    int32_t i = rig_weight(rig, PL_DTYPE_F32, PL_USE_VECTOR, 1, cols);
    float *data = rig_data(rig, i);
    for (int64_t k = 0; k < cols; k++)
        data[k] = 1.0F + data[k] * 0.5F;
    return i;
}

static uint64_t binding_bytes(const struct rig *rig, uint32_t binding)
{
    const struct pl_program_desc *d = &rig->desc;
    switch (binding) {
    case PL_BINDING_SEQ_START: return 4 * ((uint64_t)d->seqs_max + 1);
    case PL_BINDING_KV_LEN: return 4 * (uint64_t)d->seqs_max;
    case PL_BINDING_OUT_ROWS: return 4 * (uint64_t)d->outputs_max;
    case PL_BINDING_BLOCK_TABLE: return 4 * (uint64_t)d->seqs_max * rig->group.max_blocks;
    case PL_BINDING_LOGITS:
        for (uint32_t i = 0; i < d->n_values; i++)
            if (rig->values[i].binding == PL_BINDING_LOGITS)
                return 4 * (uint64_t)(rig->values[i].rows * rig->values[i].cols);
        return 0;
    default: return binding <= PL_BINDING_ROW_SEQ ? 4 * (uint64_t)d->rows_max : 0;
    }
}

int32_t rig_binding(struct rig *rig, uint32_t binding, uint32_t dtype, uint32_t row_kind,
                    int64_t rows, int64_t cols)
{
    return add_value(rig, &(struct pl_value){
                              .kind = PL_VALUE_BINDING,
                              .dtype = dtype,
                              .row_kind = row_kind,
                              .binding = binding,
                              .rows = rows,
                              .cols = cols,
                          });
}

void rig_kv(struct rig *rig, const struct pl_kv_group *group)
{
    struct pl_kv_layout layout = {.struct_size = sizeof layout};
    struct pl_error err;
    rig->group = *group;
    if (rig->table->kv_query(rig->device, group, &layout, &err) != PL_OK)
        fail_msg("%s", err.msg);
    rig->group.layout = layout.layout;
    rig->group.buffer = new_buffer(rig, layout.block_bytes * group->n_blocks);
    /* What other sequences left in a block must never matter: NaN. */
    memset(rig->table->buffer_map(rig->group.buffer), 0xff,
           (size_t)(layout.block_bytes * group->n_blocks));
}

struct pl_op *rig_op(struct rig *rig, uint32_t opcode)
{
    assert_true(rig->desc.n_ops < RIG_OPS);
    struct pl_op *op = &rig->ops[rig->desc.n_ops++];
    *op = (struct pl_op){.opcode = opcode};
    for (int i = 0; i < PL_OP_IN_MAX; i++)
        op->in[i] = PL_NO_VALUE;
    for (int i = 0; i < PL_OP_OUT_MAX; i++)
        op->out[i] = PL_NO_VALUE;
    return op;
}

static void make_sets(struct rig *rig)
{
    uint64_t bytes = 0;
    for (uint32_t b = 0; b < PL_BINDING_MAX; b++) {
        rig->sets[0].offset[b] = bytes;
        bytes += pl_align_up((size_t)binding_bytes(rig, b), 64);
    }
    rig->sets[1] = rig->sets[0];
    for (int i = 0; i < 2; i++)
        rig->sets[i].buffer = new_buffer(rig, bytes + 64);
    rig->desc.sets = rig->sets;
    rig->desc.n_sets = 2;
}

enum pl_status rig_build(struct rig *rig, struct pl_error *err)
{
    struct pl_program_desc *d = &rig->desc;
    uint64_t workspace = 0;
    d->values = rig->values;
    d->ops = rig->ops;
    d->groups = &rig->group;
    d->n_groups = rig->group.kind != 0 ? 1 : 0;
    for (uint32_t i = 0; i < d->n_ops; i++) {
        struct pl_op_support support = {.struct_size = sizeof support};
        enum pl_status status = rig->table->op_query(rig->device, d, i, &support, err);
        if (status != PL_OK)
            return status;
        workspace = PL_MAX(workspace, support.workspace_bytes);
    }
    if (workspace > 0)
        rig->workspace = new_buffer(rig, workspace);
    d->workspace = rig->workspace;
    make_sets(rig);
    return rig->table->program_new(rig->device, d, &rig->program, err);
}

float *rig_data(struct rig *rig, int32_t value)
{
    const struct pl_value *v = &rig->values[value];
    if (v->kind == PL_VALUE_BINDING)
        return (float *)(void *)rig_ints(rig, v->binding);
    return (float *)(void *)((uint8_t *)rig->table->buffer_map(v->buffer) + v->offset);
}

int32_t *rig_ints(struct rig *rig, uint32_t binding)
{
    uint8_t *base = rig->table->buffer_map(rig->sets[0].buffer);
    return (int32_t *)(void *)(base + rig->sets[0].offset[binding]);
}

enum pl_status rig_step(struct rig *rig, uint32_t rows, uint32_t seqs, uint32_t outputs,
                        struct pl_error *err)
{
    struct pl_step step = {
        .struct_size = sizeof step,
        .n_rows = rows,
        .n_seqs = seqs,
        .n_outputs = outputs,
        .query_tokens_max = rows,
        .kv_tokens_max = rig->desc.kv_tokens_max,
    };
    enum pl_status status = rig->table->program_submit(rig->stream, rig->program, &step, err);
    return status == PL_OK ? rig->table->stream_sync(rig->stream, err) : status;
}

double rig_nmse(const float *a, const float *b, int64_t n)
{
    double diff = 0.0;
    double norm = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        diff += d * d;
        norm += (double)b[i] * (double)b[i];
    }
    if (!(diff >= 0.0))
        return 1e30; /* NaN */
    return norm > 0.0 ? diff / norm : diff;
}
