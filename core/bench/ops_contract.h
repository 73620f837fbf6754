/*
 * bench/ops_contract.h - what a backend must refuse, and the small promises of its table.
 *
 * Unknown opcodes, flags, enums and non-zero tails answer "unsupported"; a longer stride with nothing in it
 * changes nothing; bad ranges are refused; destroyers accept NULL; new memory is zero.
 *
 * Ownership: none.  Threads: one.  Source: include/polder/backend.h, op.h.
 */
#ifndef BENCH_OPS_CONTRACT_H
#define BENCH_OPS_CONTRACT_H

#include "ops_run.h"

/* Called for each check: why is "" when it holds. */
typedef void ops_check_fn(void *user, const char *name, const char *why);

/* Refusals of the ops of one supported case. */
void ops_check_refusals(const struct ops_device *device, const struct ops_case *c,
                        ops_check_fn *on_check, void *user);

/* Counts beyond a program's maxima. */
void ops_check_submit(const struct ops_device *device, const struct ops_case *c,
                      ops_check_fn *on_check, void *user);

/* Buffers, events, queries, options. n_devices: what probe said. */
void ops_check_device(const struct ops_device *device, uint32_t n_devices, ops_check_fn *on_check,
                      void *user);

#endif
