/*
 * bench/ops_contract.c - one row per promise.
 */
#include "ops_contract.h"

#include <string.h>

#include "base/banned.h"

#define UNKNOWN     77u /* no enum of the interface has it */
#define TAIL_BYTES  48  /* what a newer host may append to an array element */
#define WIDE(type)  (sizeof(type) + TAIL_BYTES)
#define BUFFER_TEST 4096

/* A program that a test may spoil: copies with room behind each element. */
struct spoiled {
    const struct ops_device *device;
    struct pl_program_desc desc;
    struct pl_op op; /* the one asked about */
    struct pl_value values[OPS_VALUES_MAX];
    struct pl_kv_group group;
    unsigned char wide_ops[2 * WIDE(struct pl_op)];
    unsigned char wide_values[OPS_VALUES_MAX * WIDE(struct pl_value)];
    int32_t first_in; /* the op's first operand */
    int32_t weight;   /* its first weight operand, or PL_NO_VALUE */
};

enum spoiled_want { WANT_OK, WANT_ENOTSUP, WANT_FAILURE };

/* Spoils one thing; false: not applicable to this op. */
typedef bool spoil_fn(struct spoiled *s);

static bool spoil_opcode(struct spoiled *s)
{
    s->op.opcode = 4000;
    return true;
}

static bool spoil_no_opcode(struct spoiled *s)
{
    s->op.opcode = PL_OP_NONE;
    return true;
}

static bool spoil_flag(struct spoiled *s)
{
    s->op.flags |= 1u << 31;
    return true;
}

static bool spoil_op_reserved(struct spoiled *s)
{
    s->op.reserved = 1;
    return true;
}

static bool spoil_param_tail(struct spoiled *s)
{
    s->op.p.raw[PL_OP_PARAM_BYTES - 1] = 1;
    return true;
}

static bool spoil_enum(struct spoiled *s)
{
    switch (s->op.opcode) {
    case PL_OP_LINEAR:
        s->op.p.linear.act = UNKNOWN;
        s->op.p.linear.n_weights = 2;
        return true;
    case PL_OP_GLU:
    case PL_OP_ACT: s->op.p.glu.act = UNKNOWN; return true;
    case PL_OP_QKV_POST: s->op.p.qkv_post.rope = UNKNOWN; return true;
    default: return false;
    }
}

static bool spoil_index(struct spoiled *s)
{
    s->op.in[0] = 100000;
    return true;
}

static bool spoil_negative_index(struct spoiled *s)
{
    s->op.out[0] = -2;
    return true;
}

static bool spoil_value_kind(struct spoiled *s)
{
    if (s->first_in < 0)
        return false;
    s->values[s->first_in].kind = UNKNOWN;
    return true;
}

static bool spoil_value_dtype(struct spoiled *s)
{
    if (s->first_in < 0)
        return false;
    s->values[s->first_in].dtype = UNKNOWN;
    return true;
}

static bool spoil_row_kind(struct spoiled *s)
{
    if (s->op.out[0] < 0)
        return false;
    s->values[s->op.out[0]].row_kind = UNKNOWN;
    return true;
}

static bool spoil_value_flags(struct spoiled *s)
{
    if (s->op.out[0] < 0)
        return false;
    s->values[s->op.out[0]].flags = 1u << 30;
    return true;
}

static bool spoil_value_reserved(struct spoiled *s)
{
    if (s->op.out[0] < 0)
        return false;
    s->values[s->op.out[0]].reserved[2] = 1;
    return true;
}

static bool spoil_layout(struct spoiled *s)
{
    if (s->weight < 0)
        return false;
    s->values[s->weight].layout = 0xdeadu;
    return true;
}

static bool spoil_program_flags(struct spoiled *s)
{
    s->desc.flags = 1u << 31;
    return true;
}

static bool has_group(const struct spoiled *s)
{
    return s->op.opcode == PL_OP_ATTN || s->op.opcode == PL_OP_QKV_POST;
}

static bool spoil_group_kind(struct spoiled *s)
{
    s->group.kind = UNKNOWN;
    return has_group(s);
}

static bool spoil_group_dtype(struct spoiled *s)
{
    s->group.dtype_k = UNKNOWN;
    return has_group(s);
}

static bool spoil_group_reserved(struct spoiled *s)
{
    s->group.reserved[3] = 1;
    return has_group(s);
}

static bool spoil_group_index(struct spoiled *s)
{
    if (s->op.opcode == PL_OP_ATTN)
        s->op.p.attn.kv_group = 3;
    else
        s->op.p.qkv_post.kv_group = 3;
    return has_group(s);
}

/* A newer host: longer elements, nothing in what was added. */
static bool widen(struct spoiled *s)
{
    memset(s->wide_ops, 0, sizeof s->wide_ops);
    memcpy(s->wide_ops, &s->op, sizeof s->op);
    s->desc.ops = (const struct pl_op *)(const void *)s->wide_ops;
    s->desc.op_stride = (uint32_t)WIDE(struct pl_op);
    memset(s->wide_values, 0, sizeof s->wide_values);
    for (uint32_t i = 0; i < s->desc.n_values; i++)
        memcpy(s->wide_values + i * WIDE(struct pl_value), &s->values[i], sizeof s->values[i]);
    s->desc.values = (const struct pl_value *)(const void *)s->wide_values;
    s->desc.value_stride = (uint32_t)WIDE(struct pl_value);
    return true;
}

static bool spoil_op_tail(struct spoiled *s)
{
    widen(s);
    s->wide_ops[sizeof(struct pl_op) + 3] = 1;
    return true;
}

static bool spoil_value_tail(struct spoiled *s)
{
    widen(s);
    if (s->op.out[0] >= 0)
        s->wide_values[(size_t)s->op.out[0] * WIDE(struct pl_value) + sizeof(struct pl_value)] = 9;
    return s->op.out[0] >= 0;
}

static bool spoil_nothing(PL_UNUSED struct spoiled *s)
{
    return true;
}

static const struct refusal {
    const char *name;
    spoil_fn *spoil;
    enum spoiled_want want;
} refusals[] = {
    {"is supported as it stands", spoil_nothing, WANT_OK},
    {"is supported with longer strides", widen, WANT_OK},
    {"refuses an unknown opcode", spoil_opcode, WANT_ENOTSUP},
    {"refuses opcode 0", spoil_no_opcode, WANT_ENOTSUP},
    {"refuses an unknown flag", spoil_flag, WANT_ENOTSUP},
    {"refuses a reserved field of the op", spoil_op_reserved, WANT_ENOTSUP},
    {"refuses a byte behind its parameters", spoil_param_tail, WANT_ENOTSUP},
    {"refuses an unknown enum", spoil_enum, WANT_ENOTSUP},
    {"refuses a tail of the op", spoil_op_tail, WANT_ENOTSUP},
    {"refuses a tail of a value", spoil_value_tail, WANT_ENOTSUP},
    {"refuses a flag of a value", spoil_value_flags, WANT_ENOTSUP},
    {"refuses a reserved field of a value", spoil_value_reserved, WANT_ENOTSUP},
    {"refuses a flag of the program", spoil_program_flags, WANT_ENOTSUP},
    {"refuses an operand beyond the values", spoil_index, WANT_FAILURE},
    {"refuses a negative operand", spoil_negative_index, WANT_FAILURE},
    {"refuses an unknown kind of value", spoil_value_kind, WANT_FAILURE},
    {"refuses an unknown type", spoil_value_dtype, WANT_FAILURE},
    {"refuses an unknown kind of rows", spoil_row_kind, WANT_FAILURE},
    {"refuses an unknown layout", spoil_layout, WANT_FAILURE},
    {"refuses an unknown kind of KV", spoil_group_kind, WANT_ENOTSUP},
    {"refuses an unknown type of KV", spoil_group_dtype, WANT_ENOTSUP},
    {"refuses a reserved field of the KV group", spoil_group_reserved, WANT_ENOTSUP},
    {"refuses a KV group beyond the groups", spoil_group_index, WANT_FAILURE},
};

/* Which of a case's ops is judged. */
static uint32_t judged_op(const struct ops_case *c)
{
    for (uint32_t i = 0; i < c->n_ops; i++)
        if (c->ops[i].opcode == c->opcode)
            return i;
    return 0;
}

static void make_spoiled(struct spoiled *s, const struct ops_rig *rig)
{
    const struct ops_case *c = rig->c;
    memset(s, 0, sizeof *s);
    s->device = rig->device;
    s->op = c->ops[judged_op(c)];
    memcpy(s->values, rig->values, sizeof s->values);
    s->group = rig->group;
    s->desc = rig_desc(rig);
    s->desc.ops = &s->op;
    s->desc.n_ops = 1;
    s->desc.values = s->values;
    s->desc.groups = &s->group;
    s->first_in = s->op.in[0];
    s->weight = PL_NO_VALUE;
    for (size_t i = 0; i < PL_OP_IN_MAX && s->weight < 0; i++)
        if (s->op.in[i] >= 0 && s->values[s->op.in[i]].kind == PL_VALUE_WEIGHT)
            s->weight = s->op.in[i];
}

void ops_check_refusals(const struct ops_device *device, const struct ops_case *c,
                        ops_check_fn *on_check, void *user)
{
    struct ops_rig rig;
    struct pl_error err = {{0}};
    if (rig_describe(&rig, device, c, &err) != PL_OK)
        return;
    for (size_t i = 0; i < PL_ARRAY_LEN(refusals); i++) {
        struct spoiled s;
        make_spoiled(&s, &rig);
        if (!refusals[i].spoil(&s))
            continue;
        struct pl_op_support support = {.struct_size = sizeof support};
        struct pl_error said = {{0}};
        enum pl_status status =
            device->table->op_query(device->device, &s.desc, 0, &support, &said);
        enum spoiled_want want = refusals[i].want;
        bool holds = want == WANT_OK        ? status == PL_OK
                     : want == WANT_ENOTSUP ? status == PL_ENOTSUP
                                            : status != PL_OK;
        char name[OPS_NAME_MAX];
        char why[PL_ERROR_MAX] = "";
        snprintf(name, sizeof name, "%s %s", pl_op_name(c->opcode), refusals[i].name);
        if (!holds)
            snprintf(why, sizeof why, "answered '%s': %.160s", pl_status_text(status), said.msg);
        else if (status != PL_OK && said.msg[0] == '\0')
            snprintf(why, sizeof why, "refused without a reason");
        on_check(user, name, why);
    }
}

void ops_check_submit(const struct ops_device *device, const struct ops_case *c,
                      ops_check_fn *on_check, void *user)
{
    struct ops_rig rig = {0};
    struct pl_error err = {{0}};
    if (rig_init(&rig, device, c, &err) == PL_OK) {
        struct pl_program_desc desc = rig_desc(&rig);
        const struct pl_step good = {.struct_size = sizeof good,
                                     .n_rows = 1,
                                     .n_seqs = 1,
                                     .query_tokens_max = 1,
                                     .kv_tokens_max = 1};
        struct {
            const char *name;
            struct pl_step step;
        } rows[] = {
            {"submit refuses more rows than the maximum", good},
            {"submit refuses more sequences than the maximum", good},
            {"submit refuses more outputs than the maximum", good},
            {"submit refuses a binding set that does not exist", good},
        };
        rows[0].step.n_rows = desc.rows_max + 1;
        rows[1].step.n_seqs = desc.seqs_max + 1;
        rows[2].step.n_outputs = desc.outputs_max + 1;
        rows[3].step.binding_set = desc.n_sets;
        for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
            struct pl_error said = {{0}};
            enum pl_status status = rig_run(&rig, &rows[i].step, &said);
            on_check(user, rows[i].name, status == PL_EINVAL ? "" : pl_status_text(status));
        }
    }
    rig_deinit(&rig);
}

/* ---- the device ------------------------------------------------------------------------------ */

static const char *check_buffers(const struct ops_device *d)
{
    static const char zeros[BUFFER_TEST];
    char bytes[BUFFER_TEST];
    memset(bytes, 1, sizeof bytes);
    struct pl_buffer *buffer = NULL;
    struct pl_error err = {{0}};
    const struct pl_backend *t = d->table;
    if (t->buffer_new(d->device, PL_MEM_DEVICE, sizeof bytes, &buffer, &err) != PL_OK)
        return "buffer_new failed";
    const char *why = "";
    if (t->buffer_read(buffer, 0, bytes, sizeof bytes, &err) != PL_OK ||
        memcmp(bytes, zeros, sizeof bytes) != 0)
        why = "new memory is not zero";
    else if (t->buffer_read(buffer, 1, bytes, sizeof bytes, &err) != PL_EINVAL ||
             t->buffer_write(buffer, sizeof bytes, bytes, 1, &err) != PL_EINVAL ||
             t->buffer_write(buffer, UINT64_MAX, bytes, 2, &err) != PL_EINVAL)
        why = "a range outside the buffer is not PL_EINVAL";
    t->buffer_free(buffer);
    return why;
}

static const char *check_nulls(const struct ops_device *d)
{
    d->table->buffer_free(NULL);
    d->table->program_free(NULL);
    d->table->stream_close(NULL);
    d->table->event_free(NULL);
    d->table->device_close(NULL);
    return "";
}

static const char *check_events(const struct ops_device *d)
{
    struct pl_event *event = NULL;
    struct pl_error err = {{0}};
    if (d->table->event_new(d->device, &event, &err) != PL_OK)
        return "event_new failed";
    bool ok = d->table->event_record(event, d->stream, &err) == PL_OK &&
              d->table->event_wait(event, &err) == PL_OK && d->table->event_query(event);
    d->table->event_free(event);
    return ok ? "" : "a recorded event is not reached after its wait";
}

static const char *check_weight_query(const struct ops_device *d)
{
    const struct pl_weight_desc good = {.struct_size = sizeof good,
                                        .dtype = PL_DTYPE_F32,
                                        .use = PL_USE_LINEAR,
                                        .rows = 4,
                                        .cols = 64,
                                        .row_end = 4,
                                        .col_end = 64};
    struct pl_weight_desc bad[] = {good, good, good};
    bad[0].dtype = UNKNOWN;
    bad[1].use = UNKNOWN;
    bad[2].flags = 1u << 31;
    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
        struct pl_weight_layout layout = {.struct_size = sizeof layout};
        struct pl_error err = {{0}};
        if (d->table->weight_query(d->device, &bad[i], &layout, &err) != PL_ENOTSUP)
            return i == 0   ? "weight_query: an unknown type is not PL_ENOTSUP"
                   : i == 1 ? "weight_query: an unknown use is not PL_ENOTSUP"
                            : "weight_query: an unknown flag is not PL_ENOTSUP";
    }
    return "";
}

static const char *check_setting(const struct ops_device *d)
{
    static const char *const settings[] = {"no-such-setting=1", NULL};
    const struct ops_device_options options = {.settings = settings};
    struct ops_device other;
    struct pl_error err = {{0}};
    enum pl_status status = ops_device_open(d->table, &options, &other, &err);
    ops_device_close(&other);
    if (status != PL_EINVAL)
        return "an unknown setting is not PL_EINVAL";
    return strstr(err.msg, "no-such-setting") == NULL ? "the refusal does not name the setting"
                                                      : "";
}

void ops_check_device(const struct ops_device *device, uint32_t n_devices, ops_check_fn *on_check,
                      void *user)
{
    struct pl_device_info info = {.struct_size = sizeof info};
    struct pl_error err = {{0}};
    on_check(user, "device_info refuses a device that probe did not count",
             device->table->device_info(n_devices, &info, &err) == PL_OK ? "answered" : "");
    on_check(user, "device_open refuses an unknown setting, naming it", check_setting(device));
    on_check(user, "buffers are zero and their ranges checked", check_buffers(device));
    on_check(user, "destroyers accept NULL", check_nulls(device));
    on_check(user, "events are reached", check_events(device));
    on_check(user, "weight_query refuses what it does not know", check_weight_query(device));
}
