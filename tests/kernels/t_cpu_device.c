/*
 * t_cpu_device.c - the CPU plugin from outside: what it refuses and how, settings, buffers, failing
 * allocations, replay without allocation, giving up.
 */
#include "cpu_rig.h"
#include "fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEADS 4
#define DIM   16
#define WIDTH 64L /* HEADS * DIM */

/* ---- settings -------------------------------------------------------------------------------- */

static void refuses_bad_settings_by_name(void **state)
{
    static const struct {
        const char *setting;
        enum pl_status want;
        const char *names; /* part of the message */
    } rows[] = {
        {"isa=auto", PL_OK, ""},
        {"pin=off", PL_OK, ""},
        {"pin=on", PL_OK, ""},
        {"spin=0", PL_OK, ""},
        {"spin=1000000", PL_OK, ""},
        {"isa=scalar", PL_OK, ""},
        {"isa=mmx", PL_EINVAL, "isa=mmx"},
        {"isa=", PL_EINVAL, "isa="},
        {"isa", PL_EINVAL, "isa"},
        {"is=auto", PL_EINVAL, "is=auto"},
        {"spin=", PL_EINVAL, "spin="},
        {"spin=1000001", PL_EINVAL, "spin=1000001"},
        {"spin=99999999999999999999", PL_EINVAL, "spin=9999"},
        {"spin=-1", PL_EINVAL, "spin=-1"},
        {"spin=1us", PL_EINVAL, "spin=1us"},
        {"pin=yes", PL_EINVAL, "pin=yes"},
        {"threads=2", PL_EINVAL, "threads=2"},
        {"", PL_EINVAL, "unknown setting ''"},
        {"=", PL_EINVAL, "'='"},
    };
    const struct pl_backend *table = pl_backend_entry();
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        const char *settings[] = {rows[i].setting, NULL};
        struct pl_device_options options = {
            .struct_size = sizeof options,
            .n_threads = 2,
            .settings = settings,
        };
        struct pl_device *device = NULL;
        struct pl_error err = {""};
        enum pl_status got = table->device_open(&options, NULL, &device, &err);
        if (got != rows[i].want || strstr(err.msg, rows[i].names) == NULL)
            fail_msg("'%s': got %d '%s'", rows[i].setting, (int)got, err.msg);
        table->device_close(device);
    }
}

static void refuses_bad_device_options(void **state)
{
    const struct pl_backend *table = pl_backend_entry();
    const struct {
        struct pl_device_options options;
        enum pl_status want;
    } rows[] = {
        {{.struct_size = sizeof(struct pl_device_options), .device_i = 1}, PL_EINVAL},
        {{.struct_size = 4}, PL_EINVAL},
        {{.struct_size = sizeof(struct pl_device_options), .flags = 1u << 31}, PL_ENOTSUP},
        {{.struct_size = sizeof(struct pl_device_options), .n_threads = 100000}, PL_EINVAL},
    };
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct pl_device *device = NULL;
        struct pl_error err = {""};
        assert_int_equal(table->device_open(&rows[i].options, NULL, &device, &err), rows[i].want);
        assert_true(err.msg[0] != '\0');
        assert_null(device);
    }
    table->device_close(NULL);
    table->buffer_free(NULL);
    table->program_free(NULL);
    table->stream_close(NULL);
    table->event_free(NULL);
}

static void tells_what_it_is(void **state)
{
    const struct pl_backend *table = pl_backend_entry();
    struct pl_probe probe = {.struct_size = sizeof probe};
    struct pl_device_info info = {.struct_size = sizeof info};
    struct pl_error err;
    (void)state;
    assert_int_equal(table->probe(&probe, &err), PL_OK);
    assert_int_equal(probe.n_devices, 1);
    assert_int_equal(table->device_info(0, &info, &err), PL_OK);
    assert_int_equal(info.type, PL_DEVICE_CPU);
    assert_true(info.name[0] != '\0' && info.n_units >= 1 && info.memory_bytes > 0);
    assert_true(info.memory_free_bytes <= info.memory_bytes);
    assert_int_equal(table->device_info(1, &info, &err), PL_EINVAL);
    print_message("# %s; %s; %u units\n", probe.reason, info.features, info.n_units);
}

/* ---- a model of one layer -------------------------------------------------------------------- */

struct layer {
    struct rig rig;
    int32_t x, table, q, k, v, attn, logits;
};

static const struct pl_kv_group group = {
    .kind = PL_KV_FULL,
    .dtype_k = PL_DTYPE_F16,
    .dtype_v = PL_DTYPE_F16,
    .n_layers = 1,
    .n_kv_heads = HEADS,
    .head_dim_k = DIM,
    .head_dim_v = DIM,
    .block_tokens = 16,
    .n_blocks = 16,
    .max_blocks = 4,
};

static const struct rig_options layer_options = {
    .n_threads = 2,
    .rows = 12,
    .seqs = 3,
    .outputs = 3,
    .kv_tokens = 64,
};

static void make_values(struct layer *m)
{
    struct rig *rig = &m->rig;
    rig_kv(rig, &group);
    m->table = rig_weight(rig, PL_DTYPE_Q8_0, PL_USE_TIED, 96, WIDTH);
    m->x = rig_act(rig, PL_ROWS_TOKENS, 12, WIDTH);
    m->q = rig_act(rig, PL_ROWS_TOKENS, 12, WIDTH);
    m->k = rig_act(rig, PL_ROWS_TOKENS, 12, WIDTH);
    m->v = rig_act(rig, PL_ROWS_TOKENS, 12, WIDTH);
    m->attn = rig_act(rig, PL_ROWS_TOKENS, 12, WIDTH);
    m->logits = rig_binding(rig, PL_BINDING_LOGITS, PL_DTYPE_F32, PL_ROWS_OUTPUTS, 3, 96);
}

static void make_layer(struct layer *m)
{
    struct rig *rig = &m->rig;
    make_values(m);
    struct pl_op *op = rig_op(rig, PL_OP_EMBED);
    op->in[0] = m->table;
    op->out[0] = m->x;
    op->p.embed.scale = 1.0F;
    op = rig_op(rig, PL_OP_LINEAR);
    op->in[PL_LINEAR_X] = m->x;
    op->in[PL_LINEAR_NORM] = rig_vector(rig, WIDTH);
    op->p.linear = (struct pl_linear_params){.n_weights = 3, .norm_eps = 1e-5F, .scale = 1.0F};
    int32_t outs[] = {m->q, m->k, m->v};
    for (int i = 0; i < 3; i++) {
        op->in[PL_LINEAR_W + i] = rig_weight(rig, PL_DTYPE_Q4_0, PL_USE_LINEAR, WIDTH, WIDTH);
        op->out[i] = outs[i];
    }
    op = rig_op(rig, PL_OP_QKV_POST);
    op->in[PL_QKV_Q] = m->q;
    op->in[PL_QKV_K] = m->k;
    op->in[PL_QKV_V] = m->v;
    op->out[0] = m->q;
    op->p.qkv_post = (struct pl_qkv_post_params){
        .n_heads = HEADS,
        .n_kv_heads = HEADS,
        .head_dim = DIM,
        .head_dim_v = DIM,
        .rope = PL_ROPE_NORM,
        .rot_dim = DIM,
        .freq_base = 10000.0F,
        .freq_scale = 1.0F,
        .attn_factor = 1.0F,
    };
    op = rig_op(rig, PL_OP_ATTN);
    op->flags = PL_ATTN_CAUSAL;
    op->in[PL_ATTN_Q] = m->q;
    op->out[0] = m->attn;
    op->p.attn = (struct pl_attn_params){
        .n_heads = HEADS,
        .n_kv_heads = HEADS,
        .head_dim = DIM,
        .head_dim_v = DIM,
        .scale = 0.25F,
    };
    int32_t rows = rig_binding(rig, PL_BINDING_OUT_ROWS, PL_DTYPE_I32, PL_ROWS_OUTPUTS, 3, 1);
    int32_t last = rig_act(rig, PL_ROWS_OUTPUTS, 3, WIDTH);
    op = rig_op(rig, PL_OP_GATHER_ROWS);
    op->in[0] = m->attn;
    op->in[1] = rows;
    op->out[0] = last;
    op = rig_op(rig, PL_OP_LINEAR);
    op->in[PL_LINEAR_X] = last;
    op->in[PL_LINEAR_W] = m->table;
    op->out[0] = m->logits;
    op->p.linear = (struct pl_linear_params){.n_weights = 1, .scale = 1.0F};
}

static void open_layer(struct layer *m)
{
    *m = (struct layer){0};
    rig_open(&m->rig, &layer_options);
    make_layer(m);
}

/* One to three sequences of up to four rows. */
static enum pl_status random_step(struct layer *m, uint64_t *seed, struct pl_error *err)
{
    struct rig *rig = &m->rig;
    uint32_t seqs = 1 + rig_random(seed) % 3;
    int32_t row = 0;
    for (uint32_t s = 0; s < seqs; s++) {
        int32_t rows = (int32_t)(1 + rig_random(seed) % 4);
        int32_t begin = (int32_t)(rig_random(seed) % 60);
        rig_ints(rig, PL_BINDING_SEQ_START)[s] = row;
        rig_ints(rig, PL_BINDING_KV_LEN)[s] = begin + rows;
        rig_ints(rig, PL_BINDING_OUT_ROWS)[s] = row;
        for (int32_t b = 0; b < 4; b++)
            rig_ints(rig, PL_BINDING_BLOCK_TABLE)[s * 4 + (uint32_t)b] = (int32_t)s * 4 + b;
        for (int32_t i = 0; i < rows; i++, row++) {
            rig_ints(rig, PL_BINDING_IDS)[row] = (int32_t)(rig_random(seed) % 96);
            rig_ints(rig, PL_BINDING_POS)[row] = begin + i;
            rig_ints(rig, PL_BINDING_ROW_SEQ)[row] = (int32_t)s;
        }
    }
    return rig_step(rig, (uint32_t)row, seqs, rig_random(seed) % (seqs + 1), err);
}

static void replays_1000_mixed_steps_without_allocating(void **state)
{
    struct layer m;
    struct pl_error err = {""};
    struct pl_device_stats before = {.struct_size = sizeof before};
    struct pl_device_stats after = {.struct_size = sizeof after};
    uint64_t seed = 42;
    (void)state;
    open_layer(&m);
    if (rig_build(&m.rig, &err) != PL_OK)
        fail_msg("%s", err.msg);
    m.rig.table->device_stats(m.rig.device, &before);
    fault_fail_at(0);
    for (int i = 0; i < 1000; i++)
        if (random_step(&m, &seed, &err) != PL_OK)
            fail_msg("%s", err.msg);
    assert_int_equal(fault_count(), 0);
    m.rig.table->device_stats(m.rig.device, &after);
    assert_int_equal(after.n_allocs, before.n_allocs);
    assert_int_equal(after.n_compiles, before.n_compiles);
    assert_int_equal(after.n_submits, before.n_submits + 1000);
    assert_true(after.bytes_used > 0);
    rig_close(&m.rig);
}

static void gives_up_when_the_host_has_aborted(void **state)
{
    struct layer m;
    struct pl_error err = {""};
    uint64_t seed = 1;
    (void)state;
    open_layer(&m);
    assert_int_equal(rig_build(&m.rig, &err), PL_OK);
    m.rig.abort = true;
    assert_int_equal(random_step(&m, &seed, &err), PL_ECANCELED);
    m.rig.abort = false;
    assert_int_equal(random_step(&m, &seed, &err), PL_OK);
    rig_close(&m.rig);
}

static void refuses_steps_above_the_maxima(void **state)
{
    static const struct {
        uint32_t size, set, rows, seqs, outputs, query, kv, flags;
    } rows[] = {
        {sizeof(struct pl_step), 2, 1, 1, 1, 1, 1, 0},
        {sizeof(struct pl_step), 0, 0, 1, 1, 0, 1, 0},
        {sizeof(struct pl_step), 0, 13, 1, 1, 1, 1, 0},
        {sizeof(struct pl_step), 0, 1, 0, 1, 1, 1, 0},
        {sizeof(struct pl_step), 0, 4, 4, 1, 1, 1, 0},
        {sizeof(struct pl_step), 0, 4, 1, 4, 1, 1, 0},
        {sizeof(struct pl_step), 0, 4, 1, 1, 5, 1, 0},
        {sizeof(struct pl_step), 0, 4, 1, 1, 4, 65, 0},
        {sizeof(struct pl_step), 0, 1, 1, 1, 1, 1, 1},
        {8, 0, 1, 1, 1, 1, 1, 0},
    };
    struct layer m;
    struct pl_error err = {""};
    (void)state;
    open_layer(&m);
    assert_int_equal(rig_build(&m.rig, &err), PL_OK);
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct pl_step step = {rows[i].size,    rows[i].set,   rows[i].rows, rows[i].seqs,
                               rows[i].outputs, rows[i].query, rows[i].kv,   rows[i].flags};
        err.msg[0] = '\0';
        if (m.rig.table->program_submit(m.rig.stream, m.rig.program, &step, &err) != PL_EINVAL ||
            err.msg[0] == '\0')
            fail_msg("row %d was taken", (int)i);
    }
    rig_close(&m.rig);
}

/* ---- refusals of ops ------------------------------------------------------------------------- */

enum spoil {
    SPOIL_OPCODE,
    SPOIL_PROGRAM_FLAG,
    SPOIL_FUTURE_OP,
    SPOIL_FLAG,
    SPOIL_RESERVED,
    SPOIL_PARAM_TAIL,
    SPOIL_ACT,
    SPOIL_ROPE,
    SPOIL_VALUE_FLAG,
    SPOIL_VALUE_RESERVED,
    SPOIL_VALUE_KIND,
    SPOIL_WEIGHT_TYPE,
    SPOIL_WEIGHT_LAYOUT,
    SPOIL_GROUP_KIND,
    SPOIL_GROUP_RESERVED,
    SPOIL_GROUP_TYPE,
    SPOIL_ATTN_FLAG,
    SPOIL_N_WEIGHTS,
    SPOIL_NOTSUP_LAST,
    SPOIL_INDEX,
    SPOIL_NEGATIVE_INDEX,
    SPOIL_MISSING,
    SPOIL_EXTRA_OPERAND,
    SPOIL_SHAPE,
    SPOIL_ROWS,
    SPOIL_HEADS,
    SPOIL_GROUP_INDEX,
    SPOIL_LAYER,
    SPOIL_ROT_DIM,
    SPOIL_LAST,
};

/* Makes one thing wrong; returns the op to ask about. Ops: 0 EMBED 1 LINEAR 2 QKV_POST 3 ATTN. */
static uint32_t spoil(struct layer *m, enum spoil what)
{
    struct pl_op *ops = m->rig.ops;
    struct pl_value *values = m->rig.values;
    switch (what) {
    case SPOIL_OPCODE: ops[1].opcode = 1000; return 1;
    case SPOIL_PROGRAM_FLAG: m->rig.desc.flags = 1; return 1;
    case SPOIL_FUTURE_OP: ops[1].opcode = PL_OP_MOE_LINEAR; return 1;
    case SPOIL_FLAG: ops[1].flags = 1; return 1;
    case SPOIL_RESERVED: ops[1].reserved = 1; return 1;
    case SPOIL_PARAM_TAIL: ops[1].p.raw[PL_OP_PARAM_BYTES - 1] = 1; return 1;
    case SPOIL_ACT: ops[1].p.linear.act = 99; return 1;
    case SPOIL_ROPE: ops[2].p.qkv_post.rope = 3; return 2;
    case SPOIL_VALUE_FLAG: values[m->x].flags = 1; return 1;
    case SPOIL_VALUE_RESERVED: values[m->x].reserved[2] = 1; return 1;
    case SPOIL_VALUE_KIND: values[m->x].kind = 9; return 1;
    case SPOIL_WEIGHT_TYPE: values[ops[1].in[PL_LINEAR_W]].dtype = 77; return 1;
    case SPOIL_WEIGHT_LAYOUT: values[ops[1].in[PL_LINEAR_W]].layout = 77; return 1;
    case SPOIL_GROUP_KIND: m->rig.group.kind = PL_KV_LATENT; return 2;
    case SPOIL_GROUP_RESERVED: m->rig.group.reserved[0] = 1; return 3;
    case SPOIL_GROUP_TYPE: m->rig.group.dtype_v = PL_DTYPE_Q8_0; return 3;
    case SPOIL_ATTN_FLAG: ops[3].flags = 3; return 3;
    case SPOIL_N_WEIGHTS: ops[1].p.linear.n_weights = 5; return 1;
    case SPOIL_INDEX: ops[1].in[0] = 1000; return 1;
    case SPOIL_NEGATIVE_INDEX: ops[1].in[0] = -2; return 1;
    case SPOIL_MISSING: ops[1].in[PL_LINEAR_W + 1] = PL_NO_VALUE; return 1;
    case SPOIL_EXTRA_OPERAND: ops[0].in[5] = m->x; return 0;
    case SPOIL_SHAPE: values[m->k].cols--; return 1;
    case SPOIL_ROWS: values[m->x].rows--; return 1;
    case SPOIL_HEADS: ops[3].p.attn.n_kv_heads = 2; return 3;
    case SPOIL_GROUP_INDEX: ops[3].p.attn.kv_group = 1; return 3;
    case SPOIL_LAYER: ops[3].p.attn.kv_layer = 1; return 3;
    case SPOIL_ROT_DIM: ops[2].p.qkv_post.rot_dim = 7; return 2;
    case SPOIL_NOTSUP_LAST:
    case SPOIL_LAST:
    default: return UINT32_MAX;
    }
}

static void refuses_what_it_does_not_know(void **state)
{
    (void)state;
    for (enum spoil what = SPOIL_OPCODE; what < SPOIL_LAST; what++) {
        struct layer m;
        struct pl_error err = {""};
        struct pl_op_support support = {.struct_size = sizeof support};
        open_layer(&m);
        assert_int_equal(rig_build(&m.rig, &err), PL_OK);
        struct rig saved = m.rig; /* the sentinels are checked with the values as they were */
        uint32_t op = spoil(&m, what);
        enum pl_status want = what < SPOIL_NOTSUP_LAST ? PL_ENOTSUP : PL_EINVAL;
        if (op != UINT32_MAX) {
            struct pl_program *program = NULL;
            enum pl_status got =
                m.rig.table->op_query(m.rig.device, &m.rig.desc, op, &support, &err);
            if (got != want || strncmp(err.msg, "cpu: ", 5) != 0)
                fail_msg("spoil %d: got %d '%s'", (int)what, (int)got, err.msg);
            assert_int_equal(m.rig.table->program_new(m.rig.device, &m.rig.desc, &program, &err),
                             want);
            assert_null(program);
        }
        memcpy(m.rig.values, saved.values, sizeof saved.values);
        rig_close(&m.rig);
    }
}

/* A newer host's longer structs: known while the tail is zero. */
static void takes_longer_structs_with_a_zero_tail(void **state)
{
    struct layer m;
    struct pl_error err = {""};
    struct {
        struct pl_op op;
        uint64_t tail;
    } ops[RIG_OPS];
    struct pl_op_support support = {.struct_size = sizeof support};
    (void)state;
    open_layer(&m);
    assert_int_equal(rig_build(&m.rig, &err), PL_OK);
    memset(ops, 0, sizeof ops);
    for (uint32_t i = 0; i < m.rig.desc.n_ops; i++)
        ops[i].op = m.rig.ops[i];
    m.rig.desc.ops = &ops[0].op;
    m.rig.desc.op_stride = sizeof ops[0];
    assert_int_equal(m.rig.table->op_query(m.rig.device, &m.rig.desc, 3, &support, &err), PL_OK);
    ops[3].tail = 1;
    assert_int_equal(m.rig.table->op_query(m.rig.device, &m.rig.desc, 3, &support, &err),
                     PL_ENOTSUP);
    rig_close(&m.rig);
}

static void refuses_programs_whose_memory_does_not_fit(void **state)
{
    (void)state;
    for (int what = 0; what < 7; what++) {
        struct layer m;
        struct pl_error err = {""};
        struct pl_program *program = NULL;
        open_layer(&m);
        assert_int_equal(rig_build(&m.rig, &err), PL_OK);
        struct rig saved = m.rig;
        switch (what) {
        case 0: m.rig.values[m.x].offset += 4096; break;
        case 1: m.rig.values[m.x].offset = UINT64_MAX - 63; break;
        case 2: m.rig.values[m.x].buffer = NULL; break;
        case 3: m.rig.desc.workspace = NULL; break;
        case 4: m.rig.group.n_blocks += 1000000; break;
        case 5: m.rig.sets[1].offset[PL_BINDING_POS] = (uint64_t)1 << 40; break;
        default: m.rig.values[m.x].offset += 4; break;
        }
        enum pl_status got = m.rig.table->program_new(m.rig.device, &m.rig.desc, &program, &err);
        if (got != PL_EINVAL)
            fail_msg("%d: got %d '%s'", what, (int)got, err.msg);
        memcpy(m.rig.values, saved.values, sizeof saved.values);
        rig_close(&m.rig);
    }
}

static void refuses_weights_it_can_not_hold(void **state)
{
    static const struct {
        struct pl_weight_desc desc;
        enum pl_status want;
    } rows[] = {
#define W(t, u, r, c, rb, re, cb, ce) {sizeof(struct pl_weight_desc), t, u, 0, r, c, rb, re, cb, ce}
        {W(PL_DTYPE_Q4_0, PL_USE_LINEAR, 4, 64, 0, 4, 0, 64), PL_OK},
        {W(PL_DTYPE_Q4_0, PL_USE_LINEAR, 4, 64, 1, 3, 32, 64), PL_OK},
        {W(PL_DTYPE_Q4_0, PL_USE_LINEAR, 4, 64, 1, 3, 16, 64), PL_EINVAL},
        {W(PL_DTYPE_Q4_0, PL_USE_LINEAR, 4, 63, 0, 4, 0, 63), PL_EINVAL},
        {W(PL_DTYPE_Q4_0, PL_USE_LINEAR, 4, 64, 0, 5, 0, 64), PL_EINVAL},
        {W(PL_DTYPE_Q4_0, PL_USE_LINEAR, 4, 64, 3, 3, 0, 64), PL_EINVAL},
        {W(PL_DTYPE_Q4_0, PL_USE_LINEAR, -4, 64, 0, 4, 0, 64), PL_EINVAL},
        {W(PL_DTYPE_Q4_0, PL_USE_LINEAR, INT64_MAX, 64, 0, 4, 0, 64), PL_EINVAL},
        {W(PL_DTYPE_I32, PL_USE_LINEAR, 4, 64, 0, 4, 0, 64), PL_ENOTSUP},
        {W(99, PL_USE_LINEAR, 4, 64, 0, 4, 0, 64), PL_ENOTSUP},
        {W(PL_DTYPE_F32, 9, 4, 64, 0, 4, 0, 64), PL_ENOTSUP},
        {W(PL_DTYPE_F16, PL_USE_VECTOR, 1, 7, 0, 1, 0, 7), PL_OK},
#undef W
    };
    struct rig rig;
    struct pl_error err = {""};
    (void)state;
    rig_open(&rig, &(struct rig_options){.n_threads = 2});
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct pl_weight_layout layout = {.struct_size = sizeof layout};
        enum pl_status got = rig.table->weight_query(rig.device, &rows[i].desc, &layout, &err);
        if (got != rows[i].want)
            fail_msg("row %d: got %d '%s'", (int)i, (int)got, err.msg);
    }
    rig_close(&rig);
}

/* ---- buffers --------------------------------------------------------------------------------- */

static void buffers_are_zero_aligned_and_bounded(void **state)
{
    static const uint64_t sizes[] = {1, 63, 4096, 3u << 20};
    struct rig rig;
    struct pl_error err = {""};
    uint8_t byte = 7;
    (void)state;
    rig_open(&rig, &(struct rig_options){.n_threads = 1});
    for (size_t i = 0; i < PL_ARRAY_LEN(sizes); i++) {
        struct pl_buffer *b = NULL;
        assert_int_equal(rig.table->buffer_new(rig.device, PL_MEM_DEVICE, sizes[i], &b, &err),
                         PL_OK);
        const uint8_t *data = rig.table->buffer_map(b);
        assert_int_equal((uintptr_t)data % 64, 0);
        for (uint64_t k = 0; k < sizes[i]; k++)
            assert_int_equal(data[k], 0);
        assert_int_equal(rig.table->buffer_write(b, sizes[i] - 1, &byte, 1, &err), PL_OK);
        assert_int_equal(data[sizes[i] - 1], 7);
        assert_int_equal(rig.table->buffer_write(b, sizes[i], &byte, 1, &err), PL_EINVAL);
        assert_int_equal(rig.table->buffer_read(b, 1, &byte, UINT64_MAX, &err), PL_EINVAL);
        assert_int_equal(rig.table->buffer_read(b, UINT64_MAX, &byte, 1, &err), PL_EINVAL);
        rig.table->buffer_free(b);
    }
    struct pl_buffer *b = NULL;
    assert_int_equal(rig.table->buffer_new(rig.device, PL_MEM_DEVICE, 0, &b, &err), PL_EINVAL);
    assert_int_equal(rig.table->buffer_new(rig.device, PL_MEM_DEVICE, UINT64_MAX, &b, &err),
                     PL_ENOMEM);
    assert_non_null(strstr(err.msg, "18446744073709551615"));
    assert_int_equal(rig.table->buffer_import(rig.device, sizes, sizeof sizes, &b, &err), PL_OK);
    assert_ptr_equal(rig.table->buffer_map(b), sizes);
    assert_int_equal(rig.table->buffer_write(b, 0, &byte, 1, &err), PL_EINVAL);
    rig.table->buffer_free(b);
    struct pl_event *event = NULL;
    assert_int_equal(rig.table->event_new(rig.device, &event, &err), PL_OK);
    assert_int_equal(rig.table->event_record(event, rig.stream, &err), PL_OK);
    assert_int_equal(rig.table->event_wait(event, &err), PL_OK);
    assert_true(rig.table->event_query(event));
    rig.table->event_free(event);
    rig_close(&rig);
}

/* ---- failing allocations --------------------------------------------------------------------- */

static void survives_any_failing_allocation_of_open(void **state)
{
    const struct pl_backend *table = pl_backend_entry();
    struct pl_device_options options = {.struct_size = sizeof options, .n_threads = 2};
    (void)state;
    for (long n = 1;; n++) {
        struct pl_device *device = NULL;
        struct pl_error err = {""};
        fault_fail_at(n);
        enum pl_status status = table->device_open(&options, NULL, &device, &err);
        bool hit = fault_hit();
        fault_fail_at(0);
        table->device_close(device);
        if (!hit)
            break;
        /* Reading the machine (fopen) may fail without failing the open. */
        assert_true(status == PL_OK || (status == PL_ENOMEM && err.msg[0] != '\0'));
    }
}

static void survives_any_failing_allocation_of_a_program(void **state)
{
    struct layer m;
    struct pl_error err = {""};
    int failures = 0;
    (void)state;
    open_layer(&m);
    assert_int_equal(rig_build(&m.rig, &err), PL_OK);
    for (long n = 1;; n++) {
        struct pl_program *program = NULL;
        fault_fail_at(n);
        enum pl_status status = m.rig.table->program_new(m.rig.device, &m.rig.desc, &program, &err);
        bool hit = fault_hit();
        fault_fail_at(0);
        m.rig.table->program_free(program);
        if (!hit) {
            assert_int_equal(status, PL_OK);
            break;
        }
        failures++;
        assert_int_equal(status, PL_ENOMEM);
        assert_null(program);
    }
    assert_true(failures >= 4);
    rig_close(&m.rig);
}

int main(void)
{
#define TEST(fn, text)                                                                             \
    {                                                                                              \
        text, fn, NULL, NULL, NULL                                                                 \
    }
    const struct CMUnitTest tests[] = {
        TEST(refuses_bad_settings_by_name, "refuses bad settings by name"),
        TEST(refuses_bad_device_options, "refuses bad device options"),
        TEST(tells_what_it_is, "tells what it is"),
        TEST(replays_1000_mixed_steps_without_allocating,
             "replays 1000 mixed steps without allocating"),
        TEST(gives_up_when_the_host_has_aborted, "gives up when the host has aborted"),
        TEST(refuses_steps_above_the_maxima, "refuses steps above the maxima"),
        TEST(refuses_what_it_does_not_know, "refuses what it does not know"),
        TEST(takes_longer_structs_with_a_zero_tail, "takes longer structs with a zero tail"),
        TEST(refuses_programs_whose_memory_does_not_fit,
             "refuses programs whose memory does not fit"),
        TEST(refuses_weights_it_can_not_hold, "refuses weights it can't hold"),
        TEST(buffers_are_zero_aligned_and_bounded, "buffers are zero, aligned and bounded"),
        TEST(survives_any_failing_allocation_of_open, "survives any failing allocation of open"),
        TEST(survives_any_failing_allocation_of_a_program,
             "survives any failing allocation of a program"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
