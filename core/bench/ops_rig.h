/*
 * bench/ops_rig.h - one case placed on one device: weights packed, guards laid, program compiled.
 *
 * Uses include/polder/backend.h only. Each activation lies in a buffer of its own between two guards of a
 * known pattern; the KV buffer and unused blocks carry the pattern too.
 *
 * Ownership: a rig frees what it made.  Threads: one.
 * Errors: PL_ENOTSUP with the backend's reason; any other status is a defect.
 * Limits: those of ops_cases.h.  Source: ours.
 */
#ifndef BENCH_OPS_RIG_H
#define BENCH_OPS_RIG_H

#include "ops_cases.h"

#define RIG_SETS        2
#define RIG_GUARD_BYTES 4096u /* a multiple of every alignment that a device may ask for */
#define RIG_PATTERN     0xa5  /* a small finite number in every float type */

/* An opened device and its queue. */
struct ops_device {
    const struct pl_backend *table;
    struct pl_device *device;
    struct pl_stream *stream;
    struct pl_host host;
    uint32_t type; /* enum pl_device_type */
    uint32_t alignment_bytes;
};

struct ops_device_options {
    uint32_t device_i, n_threads, flags;
    const char *const *settings;
};

PL_NODISCARD enum pl_status ops_device_open(const struct pl_backend *table,
                                            const struct ops_device_options *options,
                                            struct ops_device *ret, struct pl_error *err);
void ops_device_close(struct ops_device *device);

struct ops_rig {
    const struct ops_device *device;
    const struct ops_case *c;
    struct pl_value values[OPS_VALUES_MAX];
    struct pl_buffer *buffers[OPS_VALUES_MAX];
    void *imported[OPS_VALUES_MAX]; /* host memory behind an imported weight */
    struct pl_kv_group group;
    uint64_t block_bytes;
    struct pl_buffer *workspace;
    struct pl_binding_set sets[RIG_SETS];
    unsigned char *set_bytes[RIG_SETS]; /* where each set is mapped */
    struct pl_program *program;
};

/* The descriptor of the case as it stands; for queries before buffers exist too. */
struct pl_program_desc rig_desc(const struct ops_rig *rig);

/* Fills values and layouts without any buffer: enough for op_query. */
PL_NODISCARD enum pl_status rig_describe(struct ops_rig *rig, const struct ops_device *device,
                                         const struct ops_case *c, struct pl_error *err);

/* Everything. On failure rig_deinit must be called as well. */
PL_NODISCARD enum pl_status rig_init(struct ops_rig *rig, const struct ops_device *device,
                                     const struct ops_case *c, struct pl_error *err);
void rig_deinit(struct ops_rig *rig);

/* The memory of a binding in a set. */
int32_t *rig_binding(struct ops_rig *rig, uint32_t set, enum pl_binding binding);

/* Fills an activation with the pattern, then writes rows (F32) from its beginning. */
PL_NODISCARD enum pl_status rig_write(struct ops_rig *rig, uint32_t value_i, const float *rows,
                                      int64_t n_rows, struct pl_error *err);

PL_NODISCARD enum pl_status rig_run(struct ops_rig *rig, const struct pl_step *step,
                                    struct pl_error *err);

/* Reads n_rows rows back. PL_EINTERNAL if a guard was overwritten. */
PL_NODISCARD enum pl_status rig_read(struct ops_rig *rig, uint32_t value_i, float *rows,
                                     int64_t n_rows, struct pl_error *err);

/* The KV blocks marked unused still hold the pattern. */
PL_NODISCARD enum pl_status rig_check_blocks(struct ops_rig *rig, const bool *used,
                                             struct pl_error *err);

#endif
