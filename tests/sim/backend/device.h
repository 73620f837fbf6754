/*
 * sim/backend/device.h - the simulated device's own structs; inside this folder.
 *
 *   settings.c  "key=value" and profile files -> struct sim_settings
 *   memory.c    buffers
 *   program.c   what a model needs of it; a step's arithmetic (text.h) and its time
 *   backend.c   the table, streams, events, faults
 *
 * Time of a step, by the profile:
 *   t = fixed + decode * D + prefill * R + kv * K + pair * Q
 * with D sequences of one row, R rows of sequences with several, K tokens in the caches of the D, and Q the pairs
 * (row, visible token) of the R rows. Where a device's time does not rise evenly with D, lines "decode_at N US" of the
 * profile stand for fixed + decode * D, straight lines between them, where D > 0. The device does one thing at a time: a step begins when the one before is
 * done, and moves of KV blocks take `block` each.
 *
 * Source: ours, docs/internals/sim.md; the profiles cite theirs.
 */
#ifndef SIM_BACKEND_DEVICE_H
#define SIM_BACKEND_DEVICE_H

#include <polder/backend.h>

#include "hook.h"
#include "text.h"

#define SIM_ALIGN 64 /* bytes */

#define SIM_KNOTS_MAX 16

struct sim_profile {
    char name[PL_NAME_MAX];
    struct sim_knot { /* measured: a step of n decodes takes ns, without the reading of KV */
        double n, ns;
    } knots[SIM_KNOTS_MAX]; /* rising; in place of fixed + decode * D */
    uint32_t n_knots;
    double fixed_ns, decode_ns, prefill_ns, kv_ns, pair_ns, block_ns;
};

struct sim_settings {
    struct sim_profile profile;
    uint64_t seed;
    double fail_rate; /* of submits: PL_EIO */
    double slow_rate; /* of steps: slow_factor times as long */
    double slow_factor;
    int64_t lost_after;            /* submits; then PL_ELOST; < 0: never */
    int32_t word_first, word_last; /* ids that are said; < 0: by the vocabulary's size */
    int32_t eos_id;
    double eos_rate;
    bool unified; /* memory can be mapped, like a CPU's; else like a discrete GPU's */
    const struct sim_hook *hook;
};

/* ---- settings.c ---------------------------------------------------------------------------------- */

PL_NODISCARD enum pl_status sim_settings_read(const char *const *list, struct sim_settings *ret,
                                              struct pl_error *err);

/* ---- memory.c ------------------------------------------------------------------------------------ */

struct pl_buffer {
    struct pl_device *device;
    uint8_t *data;
    void *owned; /* what to free; NULL: imported */
    uint64_t bytes;
    bool mappable, kv;
};

enum pl_status sim_buffer_new(struct pl_device *device, enum pl_mem_kind kind, uint64_t bytes,
                              struct pl_buffer **ret, struct pl_error *err);
enum pl_status sim_buffer_import(struct pl_device *device, const void *host, uint64_t bytes,
                                 struct pl_buffer **ret, struct pl_error *err);
void sim_buffer_free(struct pl_buffer *buffer);
void *sim_buffer_map(struct pl_buffer *buffer);
enum pl_status sim_buffer_write(struct pl_buffer *buffer, uint64_t offset, const void *src,
                                uint64_t bytes, struct pl_error *err);
enum pl_status sim_buffer_read(struct pl_buffer *buffer, uint64_t offset, void *dst, uint64_t bytes,
                               struct pl_error *err);

/* ---- program.c ----------------------------------------------------------------------------------- */

struct sim_group {
    uint64_t *entries; /* [n_blocks, P] */
    uint32_t n_blocks, max_blocks, block_tokens, window_tokens;
};

struct sim_set { /* host addresses of one binding set */
    const int32_t *ids, *pos, *row_seq, *seq_start, *kv_len, *out_rows;
    const int32_t *tables[PL_KV_GROUPS_MAX];
    float *logits;
};

struct pl_program {
    struct pl_device *device;
    uint32_t n_sets, n_groups, rows_max, seqs_max, outputs_max, n_vocab;
    struct sim_set *sets; /* [n_sets] */
    struct sim_group groups[PL_KV_GROUPS_MAX];
    struct sim_words words;
};

enum pl_status sim_op_query(struct pl_device *device, const struct pl_program_desc *program,
                            uint32_t op_i, struct pl_op_support *ret, struct pl_error *err);
enum pl_status sim_weight_query(struct pl_device *device, const struct pl_weight_desc *desc,
                                struct pl_weight_layout *ret, struct pl_error *err);
enum pl_status sim_weight_pack(struct pl_device *device, const struct pl_weight_desc *desc,
                               const void *src, size_t src_bytes, struct pl_buffer *dst,
                               uint64_t dst_offset, struct pl_error *err);
enum pl_status sim_kv_query(struct pl_device *device, const struct pl_kv_group *group,
                            struct pl_kv_layout *ret, struct pl_error *err);
enum pl_status sim_program_new(struct pl_device *device, const struct pl_program_desc *desc,
                               struct pl_program **ret, struct pl_error *err);
void sim_program_free(struct pl_program *program);

/* Checks the step against step.h, and computes it; PL_EINVAL says what is wrong. *ret_ns: how long it takes. */
PL_NODISCARD enum pl_status sim_program_run(struct pl_program *program, const struct pl_step *step,
                                            double *ret_ns, struct pl_error *err);

/* ---- backend.c ----------------------------------------------------------------------------------- */

struct pl_device {
    struct sim_settings settings;
    struct pl_device_stats stats;
    int64_t busy_until_ns; /* what was given to it so far is done then */
};

/* Adds to what the device has to do. */
void sim_device_work(struct pl_device *device, double ns);

#endif
