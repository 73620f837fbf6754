/*
 * cpu/query.c - what this plugin says to the planner: ops, their scratch, KV layouts.
 */
#include "kv.h"
#include "ops.h"

#include <string.h>

uint64_t op_workspace(const struct pl_device *device, const struct pl_program_desc *desc,
                      const struct op_view *view)
{
    switch (view->op.opcode) {
    case PL_OP_LINEAR:
        return device->reference ? ref_linear_workspace(device, desc, view)
                                 : fast_linear_workspace(device, desc, view);
    case PL_OP_ATTN: return device->reference ? 0 : fast_attn_workspace(device, desc, view);
    default: return 0;
    }
}

enum pl_status cpu_op_query(struct pl_device *device, const struct pl_program_desc *program,
                            uint32_t op_i, struct pl_op_support *ret, struct pl_error *err)
{
    struct op_view view;
    enum pl_status status = check_op(program, op_i, &view, err);
    if (status != PL_OK)
        return status;
    struct pl_op_support out = {
        .struct_size = ret->struct_size,
        .workspace_bytes = op_workspace(device, program, &view),
    };
    memcpy(ret, &out, PL_MIN(sizeof out, (size_t)ret->struct_size));
    return PL_OK;
}

enum pl_status cpu_kv_query(struct pl_device *device, const struct pl_kv_group *group,
                            struct pl_kv_layout *ret, struct pl_error *err)
{
    struct kv_geometry kv;
    const char *reason;
    (void)device;
    if (!kv_geometry_init(&kv, group, &reason))
        return pl_error_set(err, PL_ENOTSUP, "cpu: %s not supported", reason);
    struct pl_kv_layout out = {
        .struct_size = ret->struct_size,
        .layout = CPU_KV_LAYOUT,
        .block_bytes = kv.block_bytes,
    };
    memcpy(ret, &out, PL_MIN(sizeof out, (size_t)ret->struct_size));
    return PL_OK;
}
