/*
 * cpu/ops.h - the functions that run ops: which one for an opcode, and what scratch it needs.
 *
 * Two tables: the reference (ref_*.c: slow, obvious, double accumulation; the oracle of every test) and
 * the fast path (ops_*.c, which split the work and call the kernels of one instruction set).
 * A function is entered by all workers of the pool at once and may use pool_next and pool_barrier; a
 * barrier follows every op.
 *
 * Threads: as pool.h says.  Errors: none, everything was checked before.  Source: polder/op.h.
 */
#ifndef CPU_OPS_H
#define CPU_OPS_H

#include "check.h"

/* NULL: no such op. */
cpu_run_fn *ref_op(uint32_t opcode);
cpu_run_fn *fast_op(uint32_t opcode);

/* ref_*.c */
cpu_run_fn ref_embed, ref_linear, ref_rmsnorm, ref_layernorm, ref_glu, ref_act, ref_binary,
    ref_scale, ref_copy, ref_gather, ref_qkv_post, ref_attn;

/* ops_*.c */
cpu_run_fn fast_embed, fast_linear, fast_norm, fast_glu, fast_act, fast_binary, fast_scale,
    fast_copy, fast_gather, fast_qkv_post, fast_attn;

/* Bytes of workspace, multiples of CPU_ALIGN. */
uint64_t ref_linear_workspace(const struct pl_device *device, const struct pl_program_desc *desc,
                              const struct op_view *view);
uint64_t fast_linear_workspace(const struct pl_device *device, const struct pl_program_desc *desc,
                               const struct op_view *view);
uint64_t fast_attn_workspace(const struct pl_device *device, const struct pl_program_desc *desc,
                             const struct op_view *view);
uint64_t ref_attn_workspace(const struct pl_device *device, const struct pl_program_desc *desc,
                            const struct op_view *view);

/* rope.c: angle per position of pair i without factors, [rot_dim/2]. */
void rope_inverse_frequencies(double *dst, const struct pl_qkv_post_params *p);
/* What cos and sin are multiplied with. */
double rope_magnitude(const struct pl_qkv_post_params *p);

#endif
