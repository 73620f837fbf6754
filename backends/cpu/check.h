/*
 * cpu/check.h - is an op of a program one that this plugin can run? Asked by op_query and program_new.
 *
 * Rule of unknowns: an opcode, flag, enum value or non-zero byte that is not known here is PL_ENOTSUP;
 * what contradicts itself (a missing operand, shapes that don't fit) is PL_EINVAL. Both name the op.
 *
 * Ownership: none.  Threads: any; pure.  Limits: those of device.h.  Source: polder/op.h.
 */
#ifndef CPU_CHECK_H
#define CPU_CHECK_H

#include "device.h"

/* An op with copies of what it refers to. */
struct op_view {
    struct pl_op op;
    struct pl_value in[PL_OP_IN_MAX]; /* kind PL_VALUE_NONE where absent */
    struct pl_value out[PL_OP_OUT_MAX];
    struct pl_kv_group group; /* ops on KV */
    struct kv_geometry kv;    /* likewise, without data */
};

PL_NODISCARD enum pl_status check_op(const struct pl_program_desc *desc, uint32_t op_i,
                                     struct op_view *ret, struct pl_error *err);

/* Scratch of the op at the program's maxima. */
uint64_t op_workspace(const struct pl_device *device, const struct pl_program_desc *desc,
                      const struct op_view *view);

/* An element of an array with a stride: what we know of it is copied, the rest must be zero. False if
 * it isn't. */
PL_NODISCARD bool strided_copy(void *dst, size_t size, const void *array, uint32_t stride,
                               uint32_t i);

#endif
